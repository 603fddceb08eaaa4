"""What the user states of samples: followed where it fits the model, refused where it does not or is contradictory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.cli import run
from tests.graphs import graph

WEIGHT = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)


def turned() -> onnx.ModelProto:
    """Features first, samples last, and a table that belongs to every sample."""
    body = "t = Transpose <perm = [1, 0]> (x)\n s = Add (t, table)\n h = MatMul (s, w)\n y = Relu (h)"
    return graph("float[4, n] x, float[4] table", "float[n, 5] y", body, {"w": WEIGHT})


def data(samples: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.standard_normal((4, samples)).astype(np.float32),
        "table": rng.standard_normal(4).astype(np.float32),
    }


def test_the_stated_axis_holds_the_samples() -> None:
    fed = data()
    (site,) = relu_audit.audit(turned(), fed, batch_axes={"x": 1}).sites
    assert site.samples == 7
    assert site.fired_samples == tuple(((fed["x"].T + fed["table"]) @ WEIGHT > 0).sum(axis=0).tolist())


WRONG: list[tuple[Mapping[str, int | None], Literal["rows", "feeds"] | None, str]] = [
    ({"X": 0}, None, "'X', which is not an input"),
    ({"x": 2}, None, "2 axes"),
    ({"x": -1}, None, "2 axes"),
    ({"x": 1}, "feeds", "contradict"),
    ({"x": None, "table": None}, "rows", "contradict"),
]


@pytest.mark.parametrize(("axes", "samples", "said"), WRONG)
def test_what_does_not_fit_is_refused(
    axes: Mapping[str, int | None], samples: Literal["rows", "feeds"] | None, said: str
) -> None:
    with pytest.raises(relu_audit.AuditError) as caught:
        relu_audit.audit(turned(), data(), batch_axes=axes, samples=samples)
    assert caught.value.slug == "batch-axis"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [["--samples", "feeds", "--batch-axis", "x=1"], ["--batch-axis", "y=0"], ["--batch-axis", "x=9"]],
    ids=" ".join,
)
def test_the_command_ends_with_exit_code_2(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(turned(), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", **data())
    command = [str(tmp_path / "m.onnx"), "--data", str(tmp_path / "d.npz"), *options]
    assert run(command) == 2
    assert "batch-axis" in capsys.readouterr().err
