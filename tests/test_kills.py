"""Runs that are killed at any moment: every output is the old one or the new one, whole, and the next run tidies up.

A process that has imported everything forks one child for each run, so that a moment is one of the run's own work. The
moments are random ones, and every change of a file that the run makes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # noqa: TID251
import pytest

import relu_audit
from tests.graphs import mlp

DATA = {"x": np.random.default_rng(0).integers(-4, 5, (400, 6)).astype(np.float32)}

FORKS = """
import json, os, signal, sys
import relu_audit.cli, relu_audit.cli.root, relu_audit.api.audit, relu_audit.api.prune, relu_audit.report.formats
import relu_audit.report.html, relu_audit.report.pruning.html, relu_audit.report.junit, relu_audit.report.sarif
import onnxruntime, rich.console

CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "fcntl.flock", "tempfile.mkdtemp"}

def kill_at(number, signal):
    count = 0
    def hook(event, arguments):
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            count += 1
            if count == number + 1:
                os.kill(os.getpid(), signal)
    sys.addaudithook(hook)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down that it is ignored
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.chdir(job["folder"])
        out = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(out, 1), os.dup2(out, 2)
        if job["number"] is not None:
            kill_at(job["number"], job["signal"])
        code = 70
        try:
            relu_audit.cli.main(job["arguments"])
        except SystemExit as leaving:
            code = leaving.code
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Command:
    """A command that writes several files.

    Attributes:
        arguments: What it is given.
        old: The same, so that it writes others.
    """

    arguments: tuple[str, ...]
    old: tuple[str, ...]


AUDIT = ("m.onnx", "--data", "d.npz", "--json", "o.json", "--html", "sub/o.html", "--csv", "o.csv", "--batch-size", "4")
PRUNE = ("prune", "m.onnx", "--data", "d.npz", "-o", "o.onnx", "--json", "o.json", "--html", "sub/o.html")
REPORT = ("report", "a.json", "--html", "sub/o.html", "--csv", "o.csv", "--junit", "o.xml")

COMMANDS = {
    "audit": Command((*AUDIT, "-q"), (*AUDIT, "-q", "--limit", "100")),
    "prune": Command((*PRUNE, "--no-latency", "-q"), (*PRUNE, "--no-latency", "-q", "--align", "1")),
    "report": Command(REPORT, (REPORT[0], "b.json", *REPORT[2:])),
}

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}


class Forks:
    """The process that forks, and what it is asked."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def run(
        self,
        folder: Path,
        arguments: tuple[str, ...],
        sent: signal.Signals = signal.SIGKILL,
        *,
        after: float | None = None,
        number: int | None = None,
    ) -> tuple[int, float]:
        """Run a command, with a signal after some seconds or at one of its changes; exit code and seconds."""
        assert self.process.stdin is not None
        job: dict[str, Any] = {"folder": str(folder), "arguments": arguments, "number": number, "signal": sent}
        self.process.stdin.write(json.dumps({**job, "output": str(self.output)}) + "\n")
        self.process.stdin.flush()
        pid, start = int(self._answer()), time.monotonic()
        if after is not None:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
        return int(self._answer()), time.monotonic() - start

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("said") / "said.txt")
    yield forks
    forks.process.communicate()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all commands are given."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "sub").mkdir()
    path = folder / "m.onnx"
    model = mlp((6, 64, 64, 3), dead={0: tuple(range(8)), 1: (3, 5)})
    onnx.save(model, path, save_as_external_data=True, location="m.weights", size_threshold=0)
    np.savez(folder / "d.npz", **DATA)
    relu_audit.audit(path, DATA).save(folder / "a.json")
    relu_audit.audit(path, DATA, limit=300).save(folder / "b.json")
    return folder


@dataclass(frozen=True)
class Before:
    """A command's folder before and after.

    Attributes:
        command: The command.
        given: Its folder with nothing written.
        old: The same with what an earlier run wrote.
        outputs: For either run what it writes.
        seconds: How long it takes.
    """

    command: Command
    given: Path
    old: Path
    outputs: tuple[dict[str, bytes], dict[str, bytes]]
    seconds: float


@pytest.fixture(scope="module", params=COMMANDS)
def before(
    request: pytest.FixtureRequest, base: Path, forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Before:
    command, folder = COMMANDS[request.param], tmp_path_factory.mktemp("before")
    outputs: list[dict[str, bytes]] = []
    seconds = 0.0
    for name, arguments in ("old", command.old), ("new", command.arguments):
        shutil.copytree(base, folder / name)
        code, seconds = forks.run(folder / name, arguments)
        assert code == 0, forks.said()
        outputs.append(written(folder / name, base))
    assert outputs[0].keys() & outputs[1].keys()
    return Before(command, base, folder / "old", (outputs[0], outputs[1]), seconds)


def written(folder: Path, given: Path) -> dict[str, bytes]:
    """Files that were not given, by name: hidden ones too."""
    names = {str(file.relative_to(folder)): file for file in folder.rglob("*") if not file.is_dir()}
    return {name: file.read_bytes() for name, file in names.items() if not (given / name).exists()}


def assert_whole(folder: Path, before: Before, code: int, sent: signal.Signals, *, over: bool) -> None:
    """Every named output is the old one or the new one; all of one run, unless the run was killed."""
    found = {name: content for name, content in written(folder, before.given).items() if ".relu-audit." not in name}
    old, new = before.outputs
    former = old if over else {}
    for name in old.keys() | new.keys():
        if name in found and found[name] not in (former.get(name), new.get(name)):
            assert_partial(folder / name)  # an audit that was interrupted, and says so
        if name not in found and name in former and name in new:
            pytest.fail(f"{name} is gone")
    if sent != signal.SIGKILL:
        runs = {found.get(name) == former.get(name) for name in new if former.get(name) != new[name]}
        assert len(runs) == 1, "some files are of the earlier run, and some of this one"
        assert code in (
            0,
            3,
            -sent,
        )  # it dies by the signal while it imports, and once nothing is left to be put in order
    if "o.onnx" in found:
        np.testing.assert_allclose(computed(folder / "o.onnx"), computed(folder / "m.onnx"), rtol=1e-4, atol=1e-5)
    for name in before.given.rglob("*"):
        if name.is_file():
            assert (folder / name.relative_to(before.given)).read_bytes() == name.read_bytes(), "what was given changed"


def assert_partial(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        assert relu_audit.load(file).partial
    elif file.suffix == ".html":
        assert "interrupted" in text
        assert text.rstrip().endswith("</html>")
    else:
        assert file.suffix == ".csv"
        assert text.endswith("\n")


def computed(model: Path) -> np.ndarray:
    """What a model makes of the data, with the weights that it names."""
    return np.asarray(onnxruntime.InferenceSession(str(model)).run(None, DATA)[0])


def killed(
    before: Before, forks: Forks, folder: Path, sent: signal.Signals, *, over: bool, **when: Any
) -> tuple[int, bool]:
    """Kill one run, look, and have the next one tidy up; its exit code, and whether it left anything."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(before.old if over else before.given, work)
    code, _ = forks.run(work, before.command.arguments, sent, **when)
    said = forks.said()
    assert "Traceback" not in said
    assert "internal error" not in said
    assert code in (0, 3, -sent), said
    assert_whole(work, before, code, sent, over=over)
    left = bool([*work.rglob(".relu-audit.*")])
    assert forks.run(work, before.command.arguments)[0] == 0, forks.said()
    assert written(work, before.given) == before.outputs[1], "the next run left something else"
    return code, left


@pytest.mark.parametrize("sent", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize("count", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments(
    count: int, sent: signal.Signals, before: Before, forks: Forks, tmp_path: Path
) -> None:
    rng = random.Random(f"{count} {sent}")  # noqa: S311
    codes = [
        killed(before, forks, tmp_path, sent, over=i % 2 == 0, after=rng.uniform(0, 1.2 * before.seconds))[0]
        for i in range(count)
    ]
    assert count < 50 or {0, -sent if sent == signal.SIGKILL else 3} <= {*codes}, "no moment was one of the run's own"


@pytest.mark.parametrize("sent", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize("step", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_change_of_a_file(
    step: int, sent: signal.Signals, before: Before, forks: Forks, tmp_path: Path
) -> None:
    """Each change that a run makes is the last before the signal; by default every nineteenth."""
    number, codes, left = (0 if step == 1 else random.Random(sent).randrange(step)), [], False  # noqa: S311
    while 0 not in codes:  # only a run that has no such change is not stopped
        code, something = killed(before, forks, tmp_path, sent, over=True, number=number)
        codes.append(code)
        left |= something
        number += step
    assert step > 1 or len(codes) > 30
    assert left or step > 1 or sent != signal.SIGKILL, "nothing was ever left, so that nothing had to be removed"
