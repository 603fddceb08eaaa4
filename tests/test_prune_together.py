"""A pruned model and its reports are written together: a disk that fills up on one of them leaves none."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
import onnx
import pytest

from relu_audit import files
from relu_audit.api.pruned import Pruned
from relu_audit.cli import run
from relu_audit.observe import latency
from tests.graphs import mlp

OUTPUTS = {"s.onnx": ["--output", "s.onnx"], "p.json": ["--json", "p.json"], "p.html": ["--html", "p.html"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latency, "TURNS", 1)
    model = mlp((4, 64, 3), dead={0: tuple(range(20))})
    onnx.save(model, "m.onnx", save_as_external_data=True, location="m.weights", size_threshold=64)
    np.savez("d.npz", x=np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prune(*more: str) -> int:
    return run(["prune", "m.onnx", "--data", "d.npz", "-q", *(word for own in OUTPUTS.values() for word in own), *more])


def fill_up(name: str, patch: pytest.MonkeyPatch) -> None:
    """Let the disk be full for one of the outputs, at its first byte or at its last."""
    staging, write = files.staging, Pruned._write

    @contextlib.contextmanager
    def full(place: Path) -> Generator[Path]:
        with staging(place) as folder:
            if place.name == name:
                (folder / "new").symlink_to("/dev/full")
            yield folder

    def broken(self: Pruned, target: Path) -> list[Path]:
        written = write(self, target)
        if target.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    patch.setattr(files, "staging", full)
    patch.setattr(Pruned, "_write", broken)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
@pytest.mark.parametrize("earlier", [False, True], ids=["nothing before", "an earlier result"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_leaves_everything_as_it_was(
    name: str, earlier: bool, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if earlier:
        assert prune("--align", "1", "--no-latency") == 0
    before = contents(folder)
    with monkeypatch.context() as patch:
        fill_up(name, patch)
        assert prune("--no-latency") == 2
    said = capsys.readouterr().err
    assert "cannot write" in said
    assert "[output]" in said
    assert contents(folder) == before
    assert prune("--no-latency") == 0
    assert set(OUTPUTS) <= set(contents(folder))


def test_what_is_measured_of_the_model_before_it_is_in_place_is_true_of_it(folder: Path) -> None:
    assert prune() == 0
    import json

    record = json.loads((folder / "p.json").read_text())
    weights = [path for path in folder.iterdir() if path.name.startswith("s.onnx")]
    assert len(weights) == 2
    assert record["files"]["after"] == sum(path.stat().st_size for path in weights)
    assert record["latency"]["after"]
    assert {path.name for path in folder.iterdir()} == {
        "m.onnx",
        "m.weights",
        "d.npz",
        *OUTPUTS,
        *(w.name for w in weights),
    }


def test_an_interruption_while_it_is_timed_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        del arguments
        raise KeyboardInterrupt

    monkeypatch.setattr(latency, "latencies", interrupted)
    before = contents(folder)
    assert prune() == 3
    assert contents(folder) == before
