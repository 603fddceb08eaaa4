"""What every run must keep to, whatever it is given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.fuzzing.cases import Case
from tests.fuzzing.forks import Result

ROOT = Path(__file__).parents[2]

PEAK = 3 << 29
"""Bytes of memory that any run may have."""

CODES = {0, 1, 2, 3, 4}

SLUGS = {*re.findall(r"^### `([a-z-]+)`$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE)}


@dataclass(frozen=True)
class Finding:
    """A run that went wrong.

    Attributes:
        case: What was run.
        what: The kind of fault.
        detail: What shows it.
    """

    case: Case
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.case.name}: {self.what}: {self.detail}\n    relu-audit {' '.join(self.case.arguments)}"


def judge(case: Case, result: Result) -> Finding | None:
    """The first thing that is wrong with a run; None if nothing is."""
    wrong = next(((what, detail) for what, detail in _wrongs(case, result) if detail), None)
    return Finding(case, wrong[0], wrong[1]) if wrong else None


def _wrongs(case: Case, result: Result) -> list[tuple[str, str]]:
    last = " ".join(result.said.strip().splitlines()[-3:])[:300]
    work = "repo/work/"
    outputs = {f"{work}{name}" for name in case.outputs}
    changed = {name for name in {*result.before, *result.after} if result.before.get(name) != result.after.get(name)}
    missing = outputs - result.after.keys()
    refused = result.code == 2
    return [
        ("endless", f"ended after {result.seconds:.0f} s" if result.code is None else ""),
        ("crash", f"signal {-result.code}: {last}" if result.code is not None and result.code < 0 else ""),
        ("memory", f"{result.peak >> 20} MiB" if result.peak > PEAK else ""),
        ("bug", last if result.code == 70 else ""),
        ("traceback", last if "Traceback (most recent" in result.said else ""),
        ("code", f"exit code {result.code}: {last}" if result.code not in CODES else ""),
        ("strayed", ", ".join(result.strayed)),
        ("wrote", f"{sorted(changed - outputs)}" if changed - outputs else ""),
        ("missing", f"{sorted(missing)} with exit code {result.code}" if missing and result.code in (0, 1) else ""),
        ("half", f"{sorted(changed)}" if refused and changed and "--prune" not in case.arguments else ""),
        ("silent", "exit code 2 without a reason" if refused and not _reason(result.said) else ""),
    ]


def _reason(said: str) -> bool:
    """Whether a run says what is wrong, in a line with a slug that is explained, or as click does."""
    slugs = re.findall(r"^error: .*\[([a-z-]+)\]\s*$", said, re.MULTILINE)
    return bool(slugs and {*slugs} <= SLUGS) or bool(re.search(r"^Error: ", said, re.MULTILINE))
