"""Back from a pre-activation to the row that bears a unit: how far, past which parameters, within which bounds."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.values import bounds
from relu_audit.values.bearing import Bearings, Lost, Path
from relu_audit.values.spans import Span, Spans
from tests.graphs import graph

KERNEL = np.random.default_rng(0).standard_normal((5, 3, 1, 1)).astype(np.float32)


def found(model: onnx.ModelProto, rank: int, **seen: Span) -> Path | Lost:
    """The path to the model's result, where values of these names were seen within bounds."""
    network = normalize(open_checkpoint(model))
    position = {node: number for number, node in enumerate(network.model.graph)}
    known = {value: seen[value.name] for node in network.model.graph for value in node.outputs if value.name in seen}
    return Bearings(network, Spans(network, known, bounds.ALL), position).of(network.model.graph.outputs[0], rank)


@pytest.mark.parametrize(("between", "near"), [(31, True), (32, True), (33, False), (40, False)])
def test_thirty_two_operators_may_stand_between(between: int, near: bool) -> None:
    steps = "\n".join(f"v{i + 1} = Neg (v{i})" for i in range(between))
    model = graph(
        "float[n, 3] x", f"float[n, 4] v{between}", f"v0 = MatMul (x, w)\n {steps}", {"w": np.ones((3, 4), "f")}
    )
    path = found(model, 2)
    assert isinstance(path, Path) is near
    if isinstance(path, Lost):
        assert path.why == "too many operators stand between it and its weights"


@pytest.mark.parametrize(("shape", "own"), [((5, 1, 1), 1), ((5, 4, 4), 16), ((4, 4), 0), ((1,), 0), ((1, 1, 1, 4), 0)])
def test_a_parameter_belongs_to_units_if_each_has_as_many_of_its_numbers(shape: tuple[int, ...], own: int) -> None:
    body = "u = Conv (x, k)\n y = Add (u, c)"
    model = graph("float[n, 3, 4, 4] x", "float[n, 5, 4, 4] y", body, {"k": KERNEL, "c": np.ones(shape, "f")})
    path = found(model, 4)
    assert isinstance(path, Path)
    assert path.own == own


@pytest.mark.parametrize(("beta", "low", "high"), [(1.0, 0.0, 6.0), (-1.0, -6.0, 0.0), (0.5, 0.0, 3.0)])
def test_a_bias_that_is_computed_moves_the_line_within_its_bounds(beta: float, low: float, high: float) -> None:
    body = f"c = Relu (b)\n y = Gemm <beta = {beta}> (x, w, c)"
    model = graph("float[n, 3] x, float[1, 4] b", "float[n, 4] y", body, {"w": np.ones((3, 4), "f")})
    path = found(model, 2, c=Span(np.zeros((1, 1)), np.full((1, 1), 6.0)))
    assert isinstance(path, Path)
    assert path.other
    assert (path.line.low == low).all()
    assert (path.line.high == high).all()
