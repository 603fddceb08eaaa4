"""What the GitHub Action does: audit each model, report to the job, and leave with the gate's word.

The inputs come in the environment (``INPUT_MAX_DEAD``), so that no shell ever reads them. Sources: docs.github.com,
"Workflow commands for GitHub Actions" (outputs, summaries, stopping commands) and "SARIF support for code scanning"
(categories).
"""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from relu_audit import Audit, AuditError, load
from relu_audit.cli import Exit
from relu_audit.cli.each import filled, worst
from relu_audit.records import share
from relu_audit.report import github, html, junit, markdown, sarif

SUMMARY_BYTES = 1 << 20
"""GitHub drops a step's summary that is larger."""

NO_ROOM = "\nMore models were audited than fit here; the reports have them.\n"

WORST_FIRST = ("error", "failed", "inconclusive", "not_set", "passed")


@dataclass(frozen=True)
class Told:
    """What came of one model.

    Attributes:
        model: Its path, as given or found.
        code: The exit code of its audit.
        audit: What was recorded; None where nothing could be.
        complaint: What was said instead.
    """

    model: Path
    code: int
    audit: Audit | None
    complaint: str

    @property
    def outcome(self) -> str:
        """One of ``WORST_FIRST``."""
        if self.audit is None or self.code not in (Exit.PASSED, Exit.FAILED, Exit.INCONCLUSIVE):
            return "error"
        return "inconclusive" if self.code == Exit.INCONCLUSIVE else self.audit.gate.outcome


def main(environment: Mapping[str, str]) -> int:
    """Do all of it; the exit code."""
    if not environment.get("GITHUB_OUTPUT"):
        print("error: GITHUB_OUTPUT is not set; this script is a step of GitHub Actions", file=sys.stderr)
        print("Elsewhere, run: relu-audit each MODELS --data DATA", file=sys.stderr)
        return Exit.UNUSABLE
    outputs = Path(environment["GITHUB_OUTPUT"])
    try:
        inputs = Inputs.read(environment)
        jobs = inputs.models()
        options = {model: inputs.options(model) for model in jobs.values()}
    except (InputError, AuditError) as error:
        print(github.command("error", "relu-audit", str(error)), flush=True)
        put(outputs, {"outcome": "error"})
        return Exit.UNUSABLE
    folder = Path(tempfile.mkdtemp(prefix="relu-audit-", dir=environment.get("RUNNER_TEMP")))
    told = [audited(model, options[model], folder / f"{name}.json") for name, model in jobs.items()]
    found = {name: one for name, one in zip(jobs, told, strict=True) if one.audit is not None}
    for name, one in found.items():
        write_reports(one, folder, name, Path(environment.get("GITHUB_WORKSPACE", ".")))
    if inputs.annotations:
        print(*step_commands(told, lenient=inputs.lenient), sep="\n", flush=True)
    if inputs.summary:
        for one in told:
            append(Path(environment["GITHUB_STEP_SUMMARY"]), summary(one))
    dead, observed = totals([one.audit for one in told if one.audit is not None])
    fraction = share(dead, observed)
    put(
        outputs,
        {
            "outcome": min((one.outcome for one in told), key=WORST_FIRST.index),
            "dead": str(dead),
            "dead-fraction": "" if fraction is None else repr(fraction),
            "json": "\n".join(str(folder / f"{name}.json") for name in found),
            "reports": str(folder) if found else "",
            "sarif": str(folder / "sarif") if inputs.sarif and found else "",
        },
    )
    return worst([inputs.verdict(one.code) for one in told])


# Inputs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """The action's inputs, checked."""

    patterns: Sequence[str]
    limits: Mapping[str, str]
    arguments: Sequence[str]
    lenient: bool
    summary: bool
    annotations: bool
    sarif: bool

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Inputs:
        """The inputs, from variables named as GitHub names them.

        Raises:
            InputError: It is not what docs/ci.md says of it.
        """

        def text(name: str) -> str:
            return environment.get(f"INPUT_{name.upper().replace('-', '_')}", "").strip()

        def word(name: str, words: Sequence[str]) -> str:
            if text(name) not in words:
                raise InputError(f"the input {name} is '{text(name)}'; it must be {' or '.join(words)}")
            return text(name)

        try:
            arguments = shlex.split(text("args"))
        except ValueError as error:
            raise InputError(f"the input args cannot be read: {error}") from error
        if any(one == "--json" or one.startswith("--json=") for one in arguments):
            raise InputError("the input args may not hold --json; the output json says where the audit is")
        if text("summary") == "true" and not environment.get("GITHUB_STEP_SUMMARY"):
            raise InputError("the input summary is true, but GITHUB_STEP_SUMMARY is not set")
        limits = ("max-dead", "max-dead-layer", "max-rare", "allow-faulty", "min-samples")
        return cls(
            patterns=[line.strip() for line in text("model").splitlines() if line.strip()],
            limits={f"--{name}": text(name) for name in ("data", "baseline", *limits) if text(name)},
            arguments=arguments,
            lenient=word("inconclusive", ("fail", "pass")) == "pass",
            summary=word("summary", ("true", "false")) == "true",
            annotations=word("annotations", ("true", "false")) == "true",
            sarif=word("sarif", ("true", "false")) == "true",
        )

    def models(self) -> dict[str, Path]:
        """The models, by a name for the reports of each that no other has.

        Raises:
            InputError: It is not what docs/ci.md says of it.
        """
        found: dict[Path, None] = {}
        for pattern in self.patterns:
            # A name may hold what would be a pattern.
            matched = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
            if not matched:
                raise InputError(f"there is no model '{pattern}'")
            found.update(dict.fromkeys(map(Path, matched)))
        if not found:
            raise InputError("the input model is empty")
        out: dict[str, Path] = {}
        for model in found:
            plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", model.stem)[:80].strip(".") or "model"
            names = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(found) + 1))
            out[next(name for name in names if name not in out)] = model
        return out

    def options(self, model: Path) -> list[str]:
        """Options of the command for a model."""
        limits = filled(self.limits, model)
        return [*(f"{name}={value}" for name, value in limits.items()), *self.arguments]

    def verdict(self, code: int) -> int:
        """The exit code for the job. Whatever no exit code of ours is, such as a crash, is a bug."""
        if code == Exit.INCONCLUSIVE and self.lenient:
            return Exit.PASSED
        return code if code in set(Exit) else Exit.BUG


class InputError(Exception):
    """An input has a value that it cannot have."""


# The audit ----------------------------------------------------------------------------------------------------------


def audited(model: Path, options: Sequence[str], target: Path) -> Told:
    """Audit one model in a process of its own, which a crash of the runtime ends without ending the report of it."""
    # With -P, no package in the job's folder is taken for ours.
    command = [sys.executable, "-P", "-m", "relu_audit", "audit", *options, f"--json={target}", "--", str(model)]
    code, said = unheard(command)
    try:
        return Told(model, code, load(target), said)
    except AuditError:
        return Told(model, code or Exit.BUG, None, said)


def unheard(command: Sequence[str]) -> tuple[int, str]:
    """Run a command and show what it prints, while no line of it is a command to the runner: it may quote any name.

    Returns:
        The exit code, and the last line that complains of something.
    """
    token, complaint = secrets.token_hex(16), ""
    print(f"::stop-commands::{token}", flush=True)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, encoding="utf-8", errors="replace", **pipes) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            complaint = line.strip() if _COMPLAINT.match(line) else complaint
    print(f"\n::{token}::", flush=True)
    return process.returncode, complaint or f"it ended with code {process.returncode}"


_COMPLAINT = re.compile(r"(internal )?error: ", re.IGNORECASE)


# Reports ------------------------------------------------------------------------------------------------------------


def write_reports(one: Told, folder: Path, name: str, workspace: Path) -> None:
    """Write what an artifact holds, the audit itself being there already, and what code scanning takes."""
    if one.audit is None:
        return
    scanned = folder / "sarif"
    scanned.mkdir(exist_ok=True)
    contents = {
        folder / f"{name}.html": html.write(one.audit),
        folder / f"{name}.xml": junit.write(one.audit),
        scanned / f"{name}.sarif": placed(sarif.write(one.audit), one.model, workspace),
    }
    for path, content in contents.items():
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def placed(log: str, model: Path, workspace: Path) -> str:
    """Findings at the model's path in the repository, and in a category of its own: no two may share one."""
    document: dict[str, Any] = json.loads(log)
    path = model.resolve()
    if path.is_relative_to(workspace.resolve()):
        path = path.relative_to(workspace.resolve())
        uri = "/".join(quote(os.fsencode(part), safe="") for part in path.parts)
        for location in _artifact_locations(document):
            location["uri"] = uri
    for run in document["runs"]:
        run["automationDetails"] = {"id": f"relu-audit/{quote(os.fsencode(path.as_posix()))}/"}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _artifact_locations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for run in document["runs"]:
        yield from (artifact["location"] for artifact in run["artifacts"])
        for result in run["results"]:
            yield from (location["physicalLocation"]["artifactLocation"] for location in result["locations"])


def step_commands(told: Sequence[Told], *, lenient: bool) -> list[str]:
    """Workflow commands that annotate the job, as many as GitHub shows for a step; how each model came out first."""
    outcomes = [github.outcome(one.audit) for one in told if one.audit is not None and one.outcome != "error"]
    return github.capped([*outcomes, *(line for one in told for line in commands(one, lenient=lenient))])


def commands(one: Told, *, lenient: bool) -> list[str]:
    """Workflow commands for what was found in a model; none is an error where the job does not fail."""
    if one.audit is None or one.outcome == "error":
        return [github.command("error", "relu-audit", f"{one.model}: {one.complaint}")]
    lines = github.found(one.audit)
    if lenient and one.outcome == "inconclusive":
        return [re.sub("^::error ", "::warning ", line) for line in lines]
    return lines


def summary(one: Told) -> str:
    """What the job's summary says of a model."""
    if one.audit is None or one.outcome == "error":
        return f"### relu-audit: {markdown.code(str(one.model))}\n\n❌ **Error**: {markdown.prose(one.complaint)}\n"
    return markdown.write(one.audit)


def append(path: Path, text: str) -> None:
    """Append to the job's summary what still has room in it, and a word in its place otherwise."""
    said = path.read_text(encoding="utf-8") if path.exists() else ""
    room = SUMMARY_BYTES - len(said.encode()) - len(NO_ROOM)
    if not said.endswith(NO_ROOM):
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n" if len(text.encode()) < room else NO_ROOM)


def totals(audits: Sequence[Audit]) -> tuple[int, int]:
    """Dead and observed units of several audits."""
    sites = [site for one in audits for site in one.sites]
    return sum(len(site.dead) for site in sites), sum(site.observed_units for site in sites)


def put(path: Path, values: Mapping[str, str]) -> None:
    """Set outputs of the step. A value ends at a word that nobody can have put into it."""
    with path.open("a", encoding="utf-8") as file:
        for name, value in values.items():
            end = secrets.token_hex(16)
            file.write(f"{name}<<{end}\n{value}\n{end}\n")


if __name__ == "__main__":
    sys.exit(main(os.environ))
