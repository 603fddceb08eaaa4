"""Layers whose units are all always on: two linear layers become one, on the premise that they stay so."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.graphs import graph
from tests.prune_checks import Judged, assert_same_function, prune, weights
from tests.prune_kit import DEAD, FLOOR, STEM, Numbers, X

BODIES = {
    "gemm": "h = Gemm (x, w0, b0)\n r = Relu (h)\n y = Gemm (r, w1, b1)",
    "factors": "h = Gemm<alpha = 0.5, beta = 2.0> (x, w0, b0)\n r = Relu (h)\n y = Gemm<alpha = 2.0> (r, w1)",
    "transposed": "w = Transpose (w1)\n h = Gemm (x, w0, b0)\n r = Relu (h)\n y = Gemm<transB = 1> (r, w, b1)",
    "matmul": "g = MatMul (x, w0)\n h = Add (b0, g)\n r = Relu (h)\n k = MatMul (r, w1)\n y = Add (k, b1)",
    "matmul without bias": "g = MatMul (x, w0)\n h = Add (g, b0)\n r = Relu (h)\n y = MatMul (r, w1)",
    "gemm after matmul": "g = MatMul (x, w0)\n h = Add (g, b0)\n r = Max (zero, h)\n y = Gemm (r, w1, b1)",
}


def rows(body: str, hidden: int = 8) -> onnx.ModelProto:
    """Six numbers to three by way of units that nothing turns off."""
    some = Numbers(len(body))
    held = {"w0": some.weights(6, hidden), "b0": some.bias(hidden) - FLOOR, "w1": some.weights(hidden, 3)}
    return graph("float[n, 6] x", "float[n, 3] y", body, held | {"b1": some.bias(3), "zero": np.float32(0)})


def images(kernel: int = 1, tail: str = "") -> onnx.ModelProto:
    """Convolutions by pixel."""
    some = Numbers(5)
    held = some.layer(1, 8, 8, 1, 1) | some.layer(2, 3, 8, kernel, kernel)
    held["b1"] -= FLOOR
    body = f"{STEM} g = Conv (r, w1, b1)\n q = Relu (g)\n y = Conv{tail} (q, w2, b2)"
    return graph(X, "float[n, 3, a, b] y", body, some.stem() | held)


def integers(model: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    shape = [dim.dim_value or 24 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)}


def merged(model: onnx.ModelProto) -> Judged:
    data = integers(model)
    found = prune(model, data, align=1, merge_linear=True)
    assert_same_function(model, found.pruned.model, [data, integers(model, 1)])
    return found


def units(found: Judged) -> set[tuple[str, int]]:
    return {(one.tensor, one.unit) for one in found.pruned.plan.removed if one.why == "merged"}


@pytest.mark.parametrize("name", BODIES)
def test_two_layers_become_one(name: str) -> None:
    found = merged(rows(BODIES[name]))
    assert units(found) == {("r", unit) for unit in range(8)}
    assert sum(array.size for array in weights(found.pruned.model).values() if array.ndim == 2) == 18
    plan = found.pruned.plan
    assert (plan.before.multiply_adds, plan.after.multiply_adds) == (6 * 8 + 8 * 3, 6 * 3)
    assert "w0" in plan.dropped
    assert any("merged" in fold.note for fold in plan.folds)
    assert found.pruned.verification is not None
    assert {one.inputs for one in found.pruned.verification.comparisons} == {"calibration", "alone", "random", "held"}
    assert "always on" in found.pruned.record().premise


def test_three_layers_become_one() -> None:
    some = Numbers(1)
    held = {"w0": some.weights(6, 8), "b0": some.bias(8) + 2**10, "w1": some.weights(8, 8), "b1": some.bias(8) + 2**17}
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n g = Gemm (r, w1, b1)\n q = Relu (g)\n y = Gemm (q, w2, b2)"
    held |= {"w2": some.weights(8, 3), "b2": some.bias(3)}
    found = merged(graph("float[n, 6] x", "float[n, 3] y", body, held))
    assert len(units(found)) == 16


def test_pointwise_convolutions_are_merged_and_dead_units_cut() -> None:
    found = merged(images())
    assert units(found) == {("q", unit) for unit in range(8)}
    assert found.dead_removed == {("r", unit) for unit in DEAD}
    assert {array.shape for array in weights(found.pruned.model).values() if array.ndim == 4} == {
        (5, 2, 3, 3),
        (3, 5, 1, 1),
    }


@pytest.mark.parametrize(
    "model",
    [
        rows(BODIES["gemm"], hidden=2),
        images(3),
        images(tail="<strides = [2, 2]>"),
        images(tail="<pads = [1, 1, 1, 1]>"),
        rows("h = Gemm (x, w0, b0)\n r = Relu (h)\n m = ReduceMax (r)\n k = Gemm (r, w1, b1)\n y = Add (k, m)"),
        rows("h = Gemm (x, w0, b0)\n r = Relu (h)\n s = Sigmoid (r)\n y = Gemm (s, w1, b1)"),
    ],
    ids=["dearer", "windows", "strides", "border", "two readers", "bent behind"],
)
def test_what_is_not_merged(model: onnx.ModelProto) -> None:
    assert not units(merged(model))


def test_an_upper_bound_bends() -> None:
    """Always on, and always at its bound for some: not the identity."""
    model = rows("h = Gemm (x, w0, b0)\n r = Clip (h, zero, top)\n y = Gemm (r, w1, b1)")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(2**14 + 2), "top"))
    assert not units(merged(model))


def test_nothing_is_merged_unless_asked_for() -> None:
    model = rows(BODIES["gemm"])
    assert not prune(model, integers(model), align=1).removed
