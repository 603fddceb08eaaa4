"""Findings as annotations of GitHub Actions: workflow commands, one a line.

Sources: docs.github.com, "Workflow commands for GitHub Actions"; the escapes are those of actions/toolkit,
``packages/core/src/command.ts``. A step shows ten errors and ten warnings, so what is beyond them is summed up.
"""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.errors import one_line
from relu_audit.judge.rules import BY_SLUG
from relu_audit.records import Audit
from relu_audit.report.breaches import against
from relu_audit.report.findings import Finding, findings, layer_name, rule
from relu_audit.report.names import COMMAND_MARK, short
from relu_audit.report.numbers import count, percent

KINDS = ("error", "warning", "notice")

MOST = 10
"""Annotations of a kind that GitHub shows for a step."""

_WORDS = {"passed": "passed", "failed": "failed", "inconclusive": "inconclusive", "not_set": "no limit set"}


def write(audit: Audit) -> str:
    """One line for each finding, the errors first, and one that says how it came out."""
    end = outcome(audit)
    shown = capped([end, *found(audit)])
    shown.remove(end)
    return "\n".join([*shown, end]) + "\n"


def found(audit: Audit) -> list[str]:
    """One line for each finding, however many there are."""
    every = findings(audit)
    broken = {id(one.place) for one in every if one.level == "error" and one.place is not None}
    # A layer that broke its limit is not reported a second time for having dead units.
    told = [one for one in every if not (one.rule == "dead-units" and id(one.place) in broken)]
    levels = {kind: [one for one in told if one.level == kind] for kind in ("error", "warning")}
    levels["notice"] = [one for one in every if one.level == "note" and _about_gate(one)]
    return [_line(kind, one) for kind, those in levels.items() for one in those]


def capped(lines: Sequence[str]) -> list[str]:
    """The lines that GitHub shows of a step's, by kind: the first ones, and one that says how many more there are."""
    return [line for kind in KINDS for line in _capped(kind, [one for one in lines if one.startswith(f"::{kind} ")])]


def _capped(kind: str, lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= MOST:
        return lines
    rest = command(kind, "relu-audit", f"{count(len(lines) - MOST + 1)} more; the other reports list them")
    return [*lines[: MOST - 1], rest]


def _about_gate(one: Finding) -> bool:
    """Whether a note is about what the gate did not hold against the model."""
    return one.rule == "remark" or (one.waiver is not None and one.rule in BY_SLUG)


def command(kind: str, title: str, message: str) -> str:
    """A workflow command, its title and its message escaped."""
    return f"::{kind} title={_property(_plain(title))}::{_data(_plain(message))}"


def _plain(text: str) -> str:
    return COMMAND_MARK.sub("# #", one_line(text))


def _line(kind: str, one: Finding) -> str:
    where = "" if one.place is None else f"{short(layer_name(one.place))}: "
    return command(kind, f"relu-audit: {rule(one.rule).title}", f"{where}{one.message} [{one.rule}]")


def outcome(audit: Audit) -> str:
    """One line that says how it came out."""
    dead = f"{count(audit.dead)} of {count(audit.units)} units are dead ({percent(audit.dead_fraction)})"
    seen = f"on {count(audit.data.samples)} samples of {short(audit.data.source)}"
    compared = against(audit)
    message = f"{short(audit.model.name)}: {dead} {seen}{f'; {compared}' if compared else ''}"
    return command("notice", f"relu-audit: {_WORDS[audit.gate.outcome]}", message)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
