"""A runner for composite actions, as far as ours goes: expressions, conditions, outputs, and the commands in a log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]


@dataclass
class Job:
    """What a job that uses the action leaves behind.

    Attributes:
        code: The exit code of the step that failed; 0 if none did.
        outputs: The action's.
        log: What all steps printed.
        summary: The job's summary.
        used: Other actions that were called, by the step's name, with what they were given.
    """

    code: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    used: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """The workflow commands that a runner would obey, in the order of the log."""
        heard, awaited = [], None
        for line in self.log.splitlines():
            if awaited is not None:
                awaited = None if line.strip() == f"::{awaited}::" else awaited
            elif line.startswith("::stop-commands::"):
                awaited = line.removeprefix("::stop-commands::")
            elif line.lstrip().startswith("::") or "##[" in line:
                heard.append(line)
        return heard


def run_action(inputs: Mapping[str, str], workspace: Path, temp: Path, **environment: str) -> Job:
    """Run the action's steps as a runner does, other actions left out."""
    job, steps = Job(), {}
    given = {name: written(one.get("default", "")) for name, one in ACTION["inputs"].items()} | dict(inputs)
    assert set(given) == set(ACTION["inputs"])

    def value(name: str) -> str:
        match name.split("."):
            case ["inputs", key]:
                return given[key]
            case ["steps", step, "outputs", key]:
                return steps.get(step, {}).get(key, "")
            case ["runner", "temp"]:
                return str(temp)
            case _:
                raise AssertionError(f"the runner of the tests does not know {name}")

    for step in STEPS:
        condition = str(step.get("if", "true"))
        if (job.code and "cancelled()" not in condition) or not evaluated(condition, value):
            continue
        if "uses" in step:
            job.used[step["name"]] = {key: substituted(written(text), value) for key, text in step["with"].items()}
            steps[step.get("id")] = {"python-path": sys.executable}
            continue
        own = {key: substituted(written(text), value) for key, text in step["env"].items()}
        folder = workspace / substituted(step.get("working-directory", "."), value)
        steps[step["id"]] = _shell(job, step["run"], own | environment, workspace, folder, temp)
    job.outputs = {name: substituted(one["value"], value) for name, one in ACTION["outputs"].items()}
    return job


def _shell(
    job: Job, script: str, environment: Mapping[str, str], workspace: Path, folder: Path, temp: Path
) -> dict[str, str]:
    """Run a step's script as ``shell: bash`` does; its outputs."""
    files = {name: temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.write_text("", encoding="utf-8")
    told = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(temp),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_WORKSPACE": str(workspace),
        "RUNNER_TEMP": str(temp),
        **{name: str(path) for name, path in files.items()},
        **environment,
    }
    (temp / "step.sh").write_text(script, encoding="utf-8")
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(temp / "step.sh")]
    done = subprocess.run(command, cwd=folder, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    job.log += done.stdout.decode("utf-8", "replace")
    job.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
    job.code = job.code or done.returncode
    return outputs(files["GITHUB_OUTPUT"].read_text(encoding="utf-8"))


def outputs(text: str) -> dict[str, str]:
    """The outputs that a step has set: ``name=value``, or ``name<<END`` up to a line that is END."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        head, several, end = line.partition("<<")
        if several and "=" not in head:
            found[head] = "\n".join(iter(lambda end=end: next(lines), end))
        else:
            name, _, found_value = line.partition("=")
            found[name] = found_value
    return found


def written(value: object) -> str:
    """A value of the file as the runner passes it on: everything is text there."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def substituted(text: str, value: Callable[[str], str]) -> str:
    """A text with its expressions evaluated."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(evaluated(found[1], value)), text)


def evaluated(expression: str, value: Callable[[str], str]) -> Any:
    """An expression's value. The operators it may have mean in Python, spelt its way, what they mean on GitHub."""
    inner = re.sub(r"^\$\{\{(.*)\}\}$", r"\1", expression.strip())
    words = re.findall(r"'[^']*'|==|!=|&&|\|\||!?cancelled\(\)|true|[a-z][\w.-]*", inner)
    assert "".join(words) == inner.replace(" ", ""), inner
    spelt = {"&&": "and", "||": "or", "==": "==", "!=": "!=", "!cancelled()": "True", "true": "True"}
    source = " ".join(spelt.get(word) or (word if word[0] == "'" else repr(value(word))) for word in words)
    return eval(source, {"__builtins__": {}})  # noqa: S307 - made of literals and operators alone
