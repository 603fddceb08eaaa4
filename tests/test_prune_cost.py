"""What a plan says a model costs, against counts by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.api.prune import plan
from relu_audit.records.pruning import Cost
from tests.graphs import graph

RNG = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, dtype=np.float32)


def cost(model: onnx.ModelProto, *shape: int) -> tuple[Cost, Cost]:
    data = {"x": RNG.standard_normal((4, *shape), dtype=np.float32)}
    found = plan(model, relu_audit.audit(model, data), align=1)
    return found.before, found.after


@pytest.mark.parametrize(
    ("body", "shape", "by_hand"),
    [
        ("Conv <pads = [1, 1, 1, 1]> (x, w)", (8, 3, 3, 3), 8 * 3 * 9 * 36),
        ("Conv <strides = [2, 2]> (x, w)", (8, 3, 2, 2), 8 * 3 * 4 * 9),
        ("Conv <group = 3> (x, w)", (6, 1, 3, 3), 6 * 9 * 16),
        ("ConvTranspose <strides = [2, 2]> (x, w)", (3, 8, 2, 2), 3 * 8 * 4 * 36),
        ("ConvTranspose <group = 3> (x, w)", (3, 2, 3, 3), 3 * 2 * 9 * 36),
        ("MatMul (x, w)", (6, 5), 6 * 5 * 3 * 6),
        ("MatMul (x, w)", (3, 6, 5), 3 * 6 * 5 * 6),
        ("MatMul (x, w)", (1, 6, 5), 6 * 5 * 3 * 6),
    ],
)
def test_multiplications_of_one_operator(body: str, shape: tuple[int, ...], by_hand: int) -> None:
    model = graph("float[n, 3, 6, 6] x", "float[n, c, a, b] y", f"h = {body}\n y = Relu (h)", {"w": weights(*shape)})
    before, after = cost(model, 3, 6, 6)
    assert (before.multiply_adds, after.multiply_adds) == (by_hand, by_hand)
    assert before.parameters == np.prod(shape)
    assert before.bytes == 4 * before.parameters


def test_an_image_of_one_channel_is_multiplied_too() -> None:
    model = graph(
        "float[n, 1, 6, 6] x", "float[n, c, a, b] y", "h = Conv (x, w)\n y = Relu (h)", {"w": weights(8, 1, 3, 3)}
    )
    assert cost(model, 1, 6, 6)[0].multiply_adds == 8 * 9 * 16


MULTIPLIED = 5 * 7 + 7 * 2


def of_one_sample(inputs: str, body: str, **data: np.ndarray) -> int | None:
    """Multiply-adds of one sample where ``x`` ends in five features and is multiplied by ``w`` and ``v``."""
    layers = "h = MatMul (x, w)\n r = Relu (h)\n y = MatMul (r, v)\n"
    held = {"w": weights(5, 7), "v": weights(7, 2)}
    model = graph(inputs, "float[] y, float[] z", layers + body, held)
    return plan(model, relu_audit.audit(model, data), align=1).before.multiply_adds


def test_a_model_without_a_batch_axis_is_one_sample() -> None:
    x = RNG.standard_normal((9, 5), dtype=np.float32)
    assert of_one_sample("float[5] x", "z = Identity (x)", x=x) == MULTIPLIED


@pytest.mark.parametrize("first", [True, False])
def test_only_an_axis_that_holds_samples_divides(first: bool) -> None:
    """A number and a table stand beside the samples, in front of them or behind."""
    others = "float[4, 3] t, float s"
    inputs = f"{others}, float[n, 5] x" if first else f"float[n, 5] x, {others}"
    feed = {"t": weights(4, 3), "s": np.float32(2), "x": RNG.standard_normal((9, 5), dtype=np.float32)}
    assert of_one_sample(inputs, "z = Mul (t, s)", **feed) == MULTIPLIED


def test_samples_may_lie_along_another_axis_than_the_first() -> None:
    """A recurrent operator says where; what it costs itself is the same in both models."""
    held = {"u": weights(1, 4, 5), "q": weights(1, 4, 4), "w": weights(5, 7)}
    adds: list[int] = []
    for layer in ("h = MatMul (x, w)\n y = Relu (h)", "y = Relu (x)"):
        body = f"{layer}\n z, last = RNN<hidden_size = 4> (x, u, q)"
        model = graph("float[6, n, 5] x", "float[] y, float[] z", body, held)
        audit = relu_audit.audit(model, {"x": RNG.standard_normal((6, 9, 5), dtype=np.float32)})
        assert audit.data.samples == 9
        adds.append(plan(model, audit, align=1).before.multiply_adds or 0)
    assert adds[0] - adds[1] == 6 * 5 * 7


def test_a_whole_feed_is_one_sample() -> None:
    x = RNG.standard_normal((9, 3, 5), dtype=np.float32)
    assert of_one_sample("float[n, 5] x", "z = Identity (x)", x=x) == 3 * MULTIPLIED


def test_weights_in_nodes_count_and_a_sum_of_two_computed_values_has_none() -> None:
    text = "h = MatMul (x, w)\n r = Relu (h)\n t = Transpose <perm = [0, 2, 1]> (r)\n y = MatMul (r, t)"
    model = graph("float[n, 6, 5] x", "float[n, 6, 6] y", text, {"w": weights(5, 4)})
    held = onnx.helper.make_node("Constant", [], ["w"], value=model.graph.initializer[0])
    del model.graph.initializer[:]
    model.graph.node.insert(0, held)
    before, _ = cost(model, 6, 5)
    assert (before.parameters, before.bytes, before.multiply_adds) == (20, 80, 6 * 20)


def test_what_is_cut_costs_nothing_any_more() -> None:
    bias = np.array([1, -1e4, 1, -1e4, 1, 1, 1, 1], np.float32)
    text = "h = Conv (x, w, b)\n r = Relu (h)\n y = ConvTranspose <strides = [2, 2]> (r, v)"
    model = graph(
        "float[n, 3, 6, 6] x",
        "float[n, c, d, e] y",
        text,
        {"w": weights(8, 3, 3, 3), "b": bias, "v": weights(8, 5, 2, 2)},
    )
    before, after = cost(model, 3, 6, 6)
    assert before.multiply_adds == 8 * 27 * 16 + 8 * 20 * 16
    assert after.multiply_adds == 6 * 27 * 16 + 6 * 20 * 16
    assert before.parameters - after.parameters == 2 * (27 + 1 + 20)


def test_quantized_weights_are_parameters() -> None:
    text = (
        "q = QuantizeLinear (x, s, z)\n d = DequantizeLinear (q, s, z)\n w = DequantizeLinear <axis = 0> (wq, ws, wz)\n"
        "b = DequantizeLinear <axis = 0> (bq, ws)\n h = Conv (d, w, b)\n y = Relu (h)"
    )
    codes = {
        "s": np.float32(0.1),
        "z": np.uint8(128),
        "wq": RNG.integers(-9, 9, (8, 3, 3, 3)).astype(np.int8),
        "ws": np.full(8, 0.1, np.float32),
        "wz": np.zeros(8, np.int8),
        "bq": RNG.integers(0, 9, 8).astype(np.int32),
    }
    before, _ = cost(graph("float[n, 3, 6, 6] x", "float[n, 8, 4, 4] y", text, codes), 3, 6, 6)
    assert before.parameters == 8 * 27 + 8 + 8 + 8 + 2
    assert before.multiply_adds == 8 * 27 * 16


def test_the_plan_can_be_had_by_itself() -> None:
    text = "h = Conv (x, w, b)\n r = Relu (h)\n y = Conv (r, v)"
    bias = np.array([1, -1e4, 1, -1e4], np.float32)
    model = graph(
        "float[n, 3, 6, 6] x",
        "float[n, c, d, e] y",
        text,
        {"w": weights(4, 3, 3, 3), "b": bias, "v": weights(2, 4, 1, 1)},
    )
    data = {"x": RNG.standard_normal((4, 3, 6, 6), dtype=np.float32)}
    audit = relu_audit.audit(model, data)
    assert plan(model, audit, align=1) == relu_audit.prune(model, audit, data=data, align=1).plan
