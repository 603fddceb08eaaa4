"""Operators that onnxruntime does not know by itself: registered from a library, or named in the error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.cli import run
from tests.graphs import graph

X = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
W[:, 3] = 0


def model() -> onnx.ModelProto:
    """A rectifier in front of a custom operator (which splits by sign) and one behind it."""
    body = "h = MatMul (x, w)\n a = Relu (h)\n s = Sub (a, one)\n m, p = ai.onnx.contrib.NegPos (s)\n y = Relu (m)"
    made = graph("float[n, 4] x", "float[n, 6] y, float[n, 6] p", body, {"w": W, "one": np.float32(1)})
    made.opset_import.add(domain="ai.onnx.contrib", version=1)
    return made


def library() -> str:
    return pytest.importorskip("onnxruntime_extensions").get_library_path()


def test_a_registered_library_runs_the_model() -> None:
    audit = relu_audit.audit(model(), {"x": X}, custom_ops=[library()])
    before, behind = audit.sites
    truth = np.maximum(X @ W, 0) > 0
    assert before.fired_samples == tuple(truth.sum(axis=0).tolist())
    assert before.dead == (3,)
    assert (behind.tensor, len(behind.dead), behind.assumed) == ("y", 6, True)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(model(), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    arguments = [str(tmp_path / "m.onnx"), "--data", str(tmp_path / "d.npz")]
    assert run([*arguments, "--custom-ops", library()]) == 0
    assert "12" in capsys.readouterr().out
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert "NegPos" in error
    assert "ai.onnx.contrib" in error
    assert "--custom-ops" in error


def test_sites_needs_no_library() -> None:
    listing = relu_audit.sites(model())
    assert [(site.tensor, site.assumed) for site in listing.sites] == [("a", False), ("y", True)]


@pytest.mark.parametrize("made", [False, True])
def test_a_library_that_is_none_is_refused(made: bool, tmp_path: Path) -> None:
    path = tmp_path / "ops.so"
    if made:
        path.write_bytes(b"not a library")
    with pytest.raises(relu_audit.AuditError) as caught:
        relu_audit.audit(model(), {"x": X}, custom_ops=[path])
    assert caught.value.slug == "custom-ops"
