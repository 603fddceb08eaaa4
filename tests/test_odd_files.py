"""Models and audits that are no files: a pipe without a writer, a device and a socket are refused, not waited for."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from relu_audit import audit
from relu_audit.cli import run
from relu_audit.cli.outcome import report_failure
from relu_audit.errors import ModelError, RecordError
from relu_audit.report.json import write
from tests.graphs import mlp

COMMAND = [sys.executable, "-m", "relu_audit"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, data, and an audit of both."""
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 6, 3), dead={0: (1,)}), tmp_path / "m.onnx")
    np.save(tmp_path / "d.npy", np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32))
    (tmp_path / "a.json").write_text(write(audit("m.onnx", "d.npy")))
    return tmp_path


def bound_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place))


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is a pipe"),
    "link to a pipe": (lambda place: (os.mkfifo("far"), place.symlink_to("far")), "is a pipe"),
    "socket": (bound_socket, "is a socket"),
    "device": (lambda place: place.symlink_to("/dev/zero"), "is a device"),
}
READING = {
    "audit": (["odd", "--data", "d.npy"], "model-not-found"),
    "each": (["each", "odd", "--data", "d.npy"], "model-not-found"),
    "sites": (["sites", "odd"], "model-not-found"),
    "prune": (["prune", "odd", "--audit", "a.json", "--dry-run"], "model-not-found"),
    "annotate": (["report", "a.json", "--model", "odd", "--annotate", "x.onnx"], "model-not-found"),
    "baseline": (["m.onnx", "--data", "d.npy", "--baseline", "odd"], "audit-unreadable"),
    "prune's audit": (["prune", "m.onnx", "--audit", "odd", "--dry-run"], "audit-unreadable"),
    "report": (["report", "odd"], "audit-unreadable"),
    "compare old": (["compare", "odd", "a.json"], "audit-unreadable"),
    "compare new": (["compare", "a.json", "odd"], "audit-unreadable"),
}


@pytest.mark.parametrize(("arguments", "slug"), READING.values(), ids=READING)
@pytest.mark.parametrize(("make", "said"), ODD.values(), ids=ODD)
def test_what_is_no_file_is_refused(
    make: Callable[[Path], object],
    said: str,
    arguments: list[str],
    slug: str,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(Path("odd"))
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert f"[{slug}]" in error
    assert said in error
    assert "odd" not in opened


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened; to open a pipe here fails, in place of waiting."""
    names: list[str] = []
    really = Path.open

    def open_path(self: Path, *arguments: Any, **more: Any) -> Any:
        names.append(self.name)
        assert self.is_file(), self
        return really(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", open_path)
    return names


def test_pipe_without_a_writer_is_not_waited_for() -> None:
    os.mkfifo("odd")
    for arguments in (["sites", "odd"], ["report", "odd"]):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=60, check=False)
        assert (done.returncode, b"is a pipe" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "link"])
def test_audit_comes_through_a_pipe_that_the_command_was_started_with(name: str) -> None:
    Path("link").symlink_to("/dev/stdin")
    done = subprocess.run(
        [*COMMAND, "report", name], input=Path("a.json").read_bytes(), capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"m.onnx on 300 samples")


def test_both_audits_come_through_pipes() -> None:
    line = f"{sys.executable} -m relu_audit compare <(cat a.json) <(cat a.json)"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_named_pipe_that_the_shell_has_opened_is_read_though_its_writer_is_gone() -> None:
    os.mkfifo("odd")
    line = f"cat a.json > odd & exec < odd; wait; {sys.executable} -m relu_audit report /dev/stdin"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_end_of_a_pipe_that_is_written_to_is_no_audit() -> None:
    """Read by its name, standard output would wait for what this process writes."""
    line = f"{sys.executable} -m relu_audit report /dev/stdout | cat; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"[audit-unreadable]" in done.stderr) == (2, True)


def test_model_comes_as_standard_input_that_is_a_file_but_not_through_a_pipe() -> None:
    with Path("m.onnx").open("rb") as file:
        done = subprocess.run([*COMMAND, "sites", "/dev/stdin"], stdin=file, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run(
        [*COMMAND, "sites", "/dev/stdin"], input=Path("m.onnx").read_bytes(), capture_output=True, check=False
    )
    assert (done.returncode, b"'/dev/stdin' is a pipe" in done.stderr) == (2, True)


# Outputs among inputs ------------------------------------------------------------------------------------------------

GATHERED = {
    "array": (["m.onnx", "--csv", "set/2.npy"], "--csv", "set"),
    "archive": (["m.onnx", "--json", "set/2.npz"], "--json", "set"),
    "tensor": (["m.onnx", "--json", "set/input_1.pb"], "--json", "set"),
    "only an ending": (["m.onnx", "--json", "set/.npz"], "--json", "set"),
    "by a link": (["m.onnx", "--json", "link/2.npz"], "--json", "set"),
    "data by a link": (["m.onnx", "--json", "set/2.npz"], "--json", "link"),
    "test set": (["m.onnx", "--json", "set/test_data_set_0/x.pb"], "--json", "set"),
    "each": (["each", "m.onnx", "--json", "set/{stem}.npy"], "--json of 'm.onnx'", "set"),
    "each's own folder": (["each", "m.onnx", "--json", "set/{stem}.npy"], "--json of 'm.onnx'", "{folder}/set"),
    "prune": (["prune", "m.onnx", "-o", "set/s.npz"], "--output", "set"),
    "prune's report": (["prune", "m.onnx", "-o", "s.onnx", "--html", "set/x.npy"], "--html", "set"),
    "annotated": (["m.onnx", "--annotate", "set/m.pb"], "--annotate", "set"),
}


@pytest.fixture
def data(folder: Path) -> Path:
    """A folder of data, with a folder in it that looks like a test set."""
    (folder / "set" / "test_data_set_0").mkdir(parents=True)
    (folder / "link").symlink_to("set")
    (folder / "d.npy").rename(folder / "set" / "1.npy")
    return folder / "set"


@pytest.mark.parametrize(("arguments", "option", "source"), GATHERED.values(), ids=GATHERED)
def test_output_that_the_next_run_would_read_as_data_is_refused(
    arguments: list[str], option: str, source: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(data.rglob("*"))
    assert run([*arguments, "--data", source]) == 2
    error = capsys.readouterr().err
    assert "[output]" in error
    assert f"error: {option} '" in error
    assert "the next run would read it for --data" in error
    assert sorted(data.rglob("*")) == before


def test_output_in_the_folder_of_data_that_no_run_reads_is_written(data: Path) -> None:
    (data / "test_data_set_0").rmdir()
    (data / "reports").mkdir()
    more = ["--html", "set/reports/a.npz", "--csv", "a.npy"]
    for _ in range(2):
        assert run(["m.onnx", "--data", "set", "--json", "set/out.json", *more, "-q"]) == 0


# No more files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["sites", "m.onnx"], ["m.onnx", "--data", "d.npy", "-q"]])
@pytest.mark.parametrize("most", [5, 7, 8, 10, 12])
def test_running_out_of_files_is_the_system_s_word(most: int, command: list[str]) -> None:
    line = f"ulimit -n {most}; exec {shlex.join([*COMMAND, *command])}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    if done.returncode:
        said = done.stderr.lower()
        assert done.returncode == 2, said
        assert b"too many open files" in said, said
        assert b"[system]" in said, said
    else:
        assert most > 7


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_running_out_of_files_is_no_fault_of_what_was_opened(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    for made in (ModelError("no graph", slug="invalid-model"), RecordError("no audit", slug="audit-unreadable")):
        made.__cause__ = ValueError("no graph")
        made.__cause__.__cause__ = OSError(number, "Too many open files")
        assert report_failure(made) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: the operating system refused: too many open files [system]")
        assert "ulimit -n" in error
    made.__cause__ = OSError(errno.ENOENT, "No such file")
    assert report_failure(made) == 2
    assert "[audit-unreadable]" in capsys.readouterr().err


def test_running_out_of_files_in_a_loader_is_the_loader_s_fault(capsys: pytest.CaptureFixture[str]) -> None:
    Path("feeds.py").write_text("def feeds():\n    raise OSError(24, 'Too many open files')\n")
    assert run(["m.onnx", "--data", "feeds.py:feeds"]) == 2
    assert "[data-code]" in capsys.readouterr().err
