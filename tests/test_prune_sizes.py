"""Models of open size: what is exact at the size of the calibration data has to be exact at every other."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - the file as its user runs it
import pytest

import relu_audit
from tests.graphs import graph

RNG = np.random.default_rng(0)
DEAD = (1, 4, 6)


def stem(body: str, weights: dict[str, np.ndarray], channels: int = 3) -> onnx.ModelProto:
    """A convolution with dead units, a BatchNorm that makes constants of them, and what reads that."""
    bias = np.zeros(8, np.float32)
    bias[list(DEAD)] = -1e5
    whole = {
        "w": RNG.integers(-2, 3, (8, channels, 3, 3)).astype(np.float32),
        "b": bias,
        "s": np.ones(8, np.float32),
        "t": np.arange(1, 9, dtype=np.float32),
        "m": np.zeros(8, np.float32),
        "v": np.ones(8, np.float32),
        "v2": RNG.integers(-2, 3, (4, 8, 3, 3)).astype(np.float32),
        "g": RNG.integers(-2, 3, (8, 4)).astype(np.float32),
        "hw": np.array([2, 3]),
    }
    text = (
        "c = Conv <pads = [1, 1, 1, 1]> (x, w, b)\n r = Relu (c)\n"
        f"n = BatchNormalization <epsilon = 0.0> (r, s, t, m, v)\n {body}"
    )
    return graph(f"float[n, {channels}, a, b] x", "float[n, k, d, e] y", text, {**whole, **weights}, opset=17)


BODIES = {
    "sum over the image": "z = ReduceSum <keepdims = 1> (n, hw)\n y = Conv (z, v1)",
    "largest share of a row": "z = Softmax <axis = 3> (n)\n y = Conv (z, v1)",
    "dilated further than the data reaches": "y = Conv <dilations = [9, 9], pads = [9, 9, 9, 9]> (n, v2)",
    "padded at the end, every second pixel": "y = Conv <strides = [2, 2], pads = [0, 0, 1, 1]> (n, v3)",
    "padded as much as it takes": 'y = Conv <strides = [2, 2], auto_pad = "SAME_UPPER"> (n, v3)',
    "pooled with padding that counts": (
        "z = AveragePool <kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 1, 1], count_include_pad = 1> (n)\n"
        "y = Conv (z, v1)"
    ),
    "padded to a multiple of eight": """
        f = Shape <start = 2> (r)
        q = Mod (f, eight)
        missing = Sub (eight, q)
        p = Concat <axis = 0> (none, missing)
        z = Pad (r, p)
        y = Conv <pads = [1, 1, 1, 1]> (z, v2)
    """,
    "cut to half its height": """
        f = Shape <start = 2, end = 3> (r)
        h = Div (f, two)
        e = Concat <axis = 0> (five, h)
        z = Slice (r, low, e, both)
        y = Conv <pads = [1, 1, 1, 1]> (z, v5)
    """,
    "everything": "y = Conv <pads = [1, 1, 1, 1]> (r, v2)",
}

WEIGHTS = {
    "v1": RNG.integers(-2, 3, (4, 8, 1, 1)).astype(np.float32),
    "v3": RNG.integers(-2, 3, (4, 8, 2, 2)).astype(np.float32),
    "v5": RNG.integers(-2, 3, (4, 5, 3, 3)).astype(np.float32),
    "eight": np.array([8]),
    "none": np.zeros(6, np.int64),
    "two": np.array([2]),
    "five": np.array([5]),
    "low": np.zeros(2, np.int64),
    "both": np.array([1, 2]),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_function_is_kept_at_sizes_that_the_data_did_not_have(name: str) -> None:
    used = {key: value for key, value in WEIGHTS.items() if key in BODIES[name]}
    model = stem(BODIES[name], used)
    data = {"x": RNG.integers(-3, 4, (40, 3, 8, 8)).astype(np.float32)}
    audit = relu_audit.audit(model, data)
    assert set(audit.sites[0].dead) >= set(DEAD)
    pruned = relu_audit.prune(model, audit, data=data, align=1)
    same_at_every_size(model, pruned.model)


def same_at_every_size(old: onnx.ModelProto, new: onnx.ModelProto) -> None:
    """Both models on images of sizes that the data did not have."""
    before, after = (ort.InferenceSession(m.SerializeToString()) for m in (old, new))
    for shape in ((1, 3, 8, 8), (2, 3, 9, 9), (1, 3, 17, 12), (3, 3, 33, 31)):
        x = RNG.integers(-3, 4, shape).astype(np.float32)
        a, b = before.run(None, {"x": x})[0], after.run(None, {"x": x})[0]
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max())


def test_what_no_size_touches_goes() -> None:
    model = stem(BODIES["everything"], {})
    data = {"x": RNG.integers(-3, 4, (40, 3, 8, 8)).astype(np.float32)}
    audit = relu_audit.audit(model, data)
    pruned = relu_audit.prune(model, audit, data=data, align=1)
    assert {one.unit for one in pruned.plan.removed} >= set(DEAD)


@pytest.mark.parametrize(
    "reduced",
    ["ReduceSum <keepdims = 1> (one, hw)", "Softmax <axis = 3> (one)", "CumSum (one, across)"],
)
def test_a_dead_layer_whose_constant_depends_on_the_size(reduced: str) -> None:
    """What takes its place has to be right at any size."""
    text = (
        "c = Conv <pads = [1, 1, 1, 1]> (x, w, b)\n r = Relu (c)\n d = Conv (r, v1, low)\n q = Relu (d)\n"
        f"one = Add (q, ones)\n k = {reduced}\n a = Add (c, k)\n y = Conv (a, v1)"
    )
    weights = {
        "w": RNG.integers(-2, 3, (8, 3, 3, 3)).astype(np.float32),
        "b": np.arange(8, dtype=np.float32),
        "v1": RNG.integers(-2, 3, (8, 8, 1, 1)).astype(np.float32),
        "low": np.full(8, -1e5, np.float32),
        "ones": np.ones(1, np.float32),
        "hw": np.array([2, 3]),
        "across": np.array(3),
    }
    used = {key: value for key, value in weights.items() if key in text}
    model = graph("float[n, 3, a, b] x", "float[n, k, d, e] y", text, used, opset=17)
    data = {"x": RNG.integers(-3, 4, (40, 3, 8, 8)).astype(np.float32)}
    pruned = relu_audit.prune(model, relu_audit.audit(model, data), data=data, align=1)
    assert len(pruned.plan.removed) >= 8
    same_at_every_size(model, pruned.model)
