"""Writing together or not at all: every place as it was after any failure, and nothing left of killed runs."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # noqa: TID251
import pytest

import relu_audit
from relu_audit import files
from relu_audit.cli import run
from relu_audit.errors import UsageError
from tests.graphs import mlp

DATA = {"x": np.random.default_rng(0).integers(-4, 5, (24, 6)).astype(np.float32)}


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file below a folder, hidden ones too: what it holds, its mode, how many names it has."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mode, file.stat().st_nlink)
        for file in folder.rglob("*")
        if file.is_file()
    }


def external(folder: Path) -> Path:
    """A model of some kilobytes of weights, which lie beside it, and its data."""
    path = folder / "m.onnx"
    model = mlp((6, 64, 64, 3), dead={0: tuple(range(8)), 1: (3, 5)})
    onnx.save(model, path, save_as_external_data=True, location="m.weights", size_threshold=0)
    np.savez(folder / "d.npz", **DATA)
    return path


def runs(model: Path) -> np.ndarray:
    """What a model makes of the data, with the weights that it names."""
    return np.asarray(onnxruntime.InferenceSession(str(model)).run(None, DATA)[0])


# One failure at any point --------------------------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    external(tmp_path)
    (tmp_path / "sub").mkdir()
    return tmp_path


PRUNE = [
    *("prune", "m.onnx", "--data", "d.npz", "-o", "s.onnx", "--json", "plan.json", "--html", "sub/plan.html"),
    *("--no-latency", "-q"),
]
AUDIT = ["m.onnx", "--data", "d.npz", "--json", "a.json", "--html", "sub/a.html", "--csv", "a.csv", "-q"]


def failing(step: int, error: BaseException) -> Callable[[Path, Path], Path]:
    """``Path.replace`` that fails once, after so many files were moved to their places."""
    left, real = [step], Path.replace

    def replace(self: Path, to: Path) -> Path:
        if self.parent != to.parent and self.suffix != ".old":
            left[0] -= 1
            if left[0] == -1:
                raise error
        return real(self, to)

    return replace


@pytest.mark.parametrize("arguments", [PRUNE, AUDIT], ids=["prune", "audit"])
@pytest.mark.parametrize("old", [True, False], ids=["over old files", "new files"])
@pytest.mark.parametrize("error", [PermissionError(1, "Not permitted"), KeyboardInterrupt()], ids=["error", "signal"])
@pytest.mark.parametrize("step", range(4))
def test_a_rename_that_fails_leaves_every_file_as_it_was(
    step: int, error: BaseException, old: bool, arguments: list[str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old:
        assert run([*arguments, *(["--align", "1"] if arguments is PRUNE else ["--limit", "12"])]) == 0
    before = contents(work)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing(step, error))
        code = run(arguments)
    if step == 3 and arguments is AUDIT:  # it moves three files
        assert code == 0
        assert contents(work) != before
    else:
        assert code == (2 if isinstance(error, OSError) else 3)
        assert contents(work) == before
    assert run(arguments) == 0
    assert not [name for name in contents(work) if name.startswith(".")]


def test_standard_output_that_fails_leaves_every_file_as_it_was(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run([*AUDIT, "--limit", "12"]) == 0
    before = contents(work)
    monkeypatch.setattr(sys, "stdout", None)
    assert run([*AUDIT, "--markdown", "-"]) == 2
    assert contents(work) == before


def test_what_cannot_be_put_back_is_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"a": b"old a", "b": b"old b"}
    for name, content in before.items():
        (work / name).write_bytes(content)
    real = Path.replace

    def broken(self: Path, to: Path) -> Path:
        if self.suffix == ".old" or to.name == "b":
            raise OSError(5, "Input/output error")
        return real(self, to)

    monkeypatch.setattr(Path, "replace", broken)
    with files.staged("a", b"new a") as a, files.staged("b", b"new b") as b, pytest.raises(UsageError) as caught:
        files.put([a, b])
    assert "cannot write" in caught.value.message
    assert f"not to be undone: '{work / 'a'}'" in caught.value.hint


def test_files_are_put_back_where_there_are_no_links(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    assert run([*AUDIT, "--limit", "12"]) == 0
    before = contents(work)
    monkeypatch.setattr(os, "link", no_links)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing(1, PermissionError(1, "Not permitted")))
        assert run(AUDIT) == 2
    assert contents(work) == before


def test_weights_in_use_never_have_a_second_name(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtimes refuse weights that have one, also those of a run that is killed meanwhile."""
    assert run(PRUNE) == 0
    (weights,) = work.glob("s.onnx.*.data")
    seen: list[int] = []
    model: list[int] = []
    real = Path.replace

    def watched(self: Path, to: Path) -> Path:
        seen.append(weights.stat().st_nlink)
        model.append((work / "s.onnx").stat().st_nlink)
        return real(self, to)

    monkeypatch.setattr(Path, "replace", watched)
    assert run(PRUNE) == 0
    assert set(seen) == {1}
    assert max(model) == 2  # the old one is kept meanwhile


def test_data_is_on_the_disk_before_its_name_is(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, int]] = []
    sync, move = os.fsync, Path.replace

    def synced(handle: int) -> None:
        events.append(("sync", os.fstat(handle).st_ino))
        sync(handle)

    def moved(self: Path, to: Path) -> Path:
        if self.parent != to.parent:
            events.append(("move", self.stat().st_ino))
        return move(self, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", moved)
    assert run(PRUNE) == 0
    moves = [i for i, (what, _) in enumerate(events) if what == "move"]
    assert len(moves) == 4
    for i in moves:
        assert ("sync", events[i][1]) in events[:i]
    assert {("sync", folder.stat().st_ino) for folder in (work, work / "sub")} <= {*events[moves[-1] :]}


def test_library_writes_whole_files_too(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = relu_audit.audit(work / "m.onnx", DATA)
    for saved in audit, relu_audit.compare(audit, audit):
        (work / "a.json").write_text("old", encoding="utf-8")
        (work / "link.json").unlink(missing_ok=True)
        (work / "link.json").symlink_to("a.json")
        before = contents(work)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing(0, OSError(28, "No space left on device")))
            with pytest.raises(UsageError, match="No space left"):
                saved.save("link.json")
        assert contents(work) == before
        saved.save("link.json")
        assert (work / "link.json").is_symlink()
        assert json.loads((work / "a.json").read_text()) == json.loads(saved.to_json())
    with pytest.raises(UsageError):
        audit.save(work)


# Leftovers -----------------------------------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from relu_audit import files
with files.staging(Path(sys.argv[1])) as folder:
    (folder / "new").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def holder(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that is in the middle of writing, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_run_left_is_removed_by_the_next_and_nothing_else(work: Path) -> None:
    dead, left = holder(work / "a.json")
    dead.kill()
    dead.communicate()
    living, used = holder(work / "a.json")  # it has swept, so the next one is left again
    assert not left.exists()
    dead, left = holder(work / "b.json")
    dead.kill()
    dead.communicate()
    (work / files.LOCK).touch()
    users = [".relu-audit.notes.tmp", ".relu-audit.abcdefgh.tmp.old", "relu-audit.abcdefgh.tmp", ".a.json.abcdefgh.tmp"]
    for name in users:
        (work / name).mkdir()
        (work / name / "mine").write_text("mine", encoding="utf-8")
    (work / ".relu-audit.filefile.tmp").write_text("mine", encoding="utf-8")
    (work / ".relu-audit.linklink.tmp").symlink_to("sub", target_is_directory=True)
    try:
        assert left.exists()
        assert run(AUDIT) == 0
        assert not left.exists()
        assert (used / "new").read_text() == "half"
        assert all((work / name / "mine").exists() for name in users)
        assert (work / ".relu-audit.filefile.tmp").exists()
        assert (work / ".relu-audit.linklink.tmp").exists()
        assert (work / "sub").is_dir()
        assert not (work / files.LOCK).exists()
    finally:
        living.communicate()
    assert not used.exists()


def test_weights_without_their_model_are_removed_by_the_next_run(work: Path) -> None:
    (work / "s.onnx.0123456789ab.data").write_bytes(b"moved before the run was killed")
    assert run(PRUNE) == 0
    assert len(list(work.glob("s.onnx.*"))) == 1


def test_where_nothing_can_be_locked_nothing_of_another_run_is_removed(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    (work / "s.onnx.0123456789ab.data").write_bytes(b"of a run that goes on")
    (work / ".relu-audit.abcdefgh.tmp").mkdir()
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert run(PRUNE) == 0
    assert (work / "s.onnx.0123456789ab.data").exists()
    assert (work / ".relu-audit.abcdefgh.tmp").exists()
    np.testing.assert_allclose(runs(work / "s.onnx"), runs(work / "m.onnx"), rtol=1e-4, atol=1e-5)


# Two at a time -------------------------------------------------------------------------------------------------------


def _save_again_and_again(folder: Path, align: int, rounds: int, barrier: Any) -> None:
    path = folder / "m.onnx"
    pruned = relu_audit.prune(path, relu_audit.audit(path, DATA), data=DATA, align=align)
    for _ in range(rounds):
        barrier.wait(60)
        pruned.save(folder / "s.onnx")
        barrier.wait(60)
        barrier.wait(60)  # the judge looks


@pytest.mark.parametrize("rounds", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_two_prunings_to_one_output_leave_a_model_with_its_weights(rounds: int, work: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    both = [context.Process(target=_save_again_and_again, args=(work, align, rounds, barrier)) for align in (1, 8)]
    for process in both:
        process.start()
    expected = runs(work / "m.onnx")
    try:
        for _ in range(rounds):
            barrier.wait(60)
            barrier.wait(60)
            (weights,) = work.glob("s.onnx.*.data")
            model = onnx.load(work / "s.onnx", load_external_data=False)
            assert {e.value for w in model.graph.initializer for e in w.external_data if e.key == "location"} == {
                weights.name
            }
            np.testing.assert_allclose(runs(work / "s.onnx"), expected, rtol=1e-4, atol=1e-5)
            barrier.wait(60)
    finally:
        barrier.abort()
        for process in both:
            process.join(60)
    assert sorted(file.name for file in work.iterdir()) == [
        "d.npz",
        "m.onnx",
        "m.weights",
        "s.onnx",
        weights.name,
        "sub",
    ]


def test_threads_take_turns(work: Path) -> None:
    """Reports of one run stay together whoever else writes them."""

    def write(word: bytes) -> None:
        for _ in range(50):
            with files.staged("a", word) as a, files.staged("b", word) as b:
                files.put([a, b])

    writers = [threading.Thread(target=write, args=(word,)) for word in (b"one", b"two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (work / "a").read_bytes() == (work / "b").read_bytes()
    assert not list(work.glob(".*"))
