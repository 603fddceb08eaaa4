"""Which axis holds the units: every pattern of a graph that matters, and every row of the axis table against the
operator itself, by changing one index of an input and looking where the output changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import helper

from relu_audit import AuditError, audit
from relu_audit.errors import UsageError
from relu_audit.operators.axes import TABLE, AxisRule, rule
from tests import test_axes_attention, test_axes_contrib, test_axes_more, test_axes_variants
from tests.graphs import graph
from tests.oracle import Units, assert_all_agree, one_by_one, oracle, runs, spread
from tests.traces import (
    IMAGES,
    SAMPLES,
    Cases,
    Trace,
    assert_entries_go_where_told,
    assert_units_own_their_entries,
    cases_of,
    ints,
    key,
    traces,
    whole,
)

# Patterns ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """A graph, and for each of its rectifiers where its units are and which weight made them."""

    inputs: str
    outputs: str
    body: str
    weights: Mapping[str, tuple[int, ...] | np.ndarray]
    units: Mapping[str, Units]
    axes: Mapping[str, int | None]
    weight: str | None = "w"
    opset: int = 18
    together: Sequence[Sequence[str]] = ()

    @property
    def model(self) -> onnx.ModelProto:
        arrays = {n: whole(*w, seed=7) if isinstance(w, tuple) else w for n, w in self.weights.items()}
        return graph(self.inputs, self.outputs, self.body, arrays, opset=self.opset)

    @property
    def data(self) -> dict[str, np.ndarray]:
        return {value.name: _sample(value, i) for i, value in enumerate(self.model.graph.input)}


def _sample(value: onnx.ValueInfoProto, seed: int) -> np.ndarray:
    shape = [dim.dim_value or SAMPLES for dim in value.type.tensor_type.shape.dim]
    array = whole(*shape, seed=seed)
    return np.abs(array).astype(np.int64) if value.type.tensor_type.elem_type == onnx.TensorProto.INT64 else array


def shape_of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


UNKNOWN = "com.microsoft.SampleOp"
"""An operator with no row: onnxruntime's own example of one, which gives its input back and which no model has."""

IMAGE, CONV = "float[n, 2, 4, 4] x", "h = Conv <pads = [1, 1, 1, 1]> (x, w)"
TOKENS, VECTOR = "float[n, 3, 4] x", "float[n, 4] x"


def at(axis: int | None, units: Units | str = "same", tensor: str = "y") -> dict[str, Mapping[str, Units]]:
    """Units of one rectifier: on a whole axis, unless said otherwise."""
    return {"axes": {tensor: axis}, "units": {tensor: axis if units == "same" else units}}  # type: ignore[dict-item]


PATTERNS: dict[str, Pattern] = {
    "Gemm": Pattern(VECTOR, "float[n, 5] y", "h = Gemm (x, w)\n y = Relu (h)", {"w": (4, 5)}, **at(1)),
    "Gemm transB": Pattern(
        VECTOR, "float[n, 5] y", "h = Gemm <transB = 1> (x, w)\n y = Relu (h)", {"w": (5, 4)}, **at(1)
    ),
    "Gemm transA": Pattern(
        VECTOR,
        "float[n, 5] y",
        "t = Transpose (x)\n h = Gemm <transA = 1> (t, w)\n y = Relu (h)",
        {"w": (4, 5)},
        **at(1),
    ),
    "Gemm with the weight first": Pattern(
        VECTOR, "float[5, n] y", "h = Gemm <transB = 1> (w, x)\n y = Relu (h)", {"w": (5, 4)}, **at(0)
    ),
    "MatMul": Pattern(VECTOR, "float[n, 5] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": (4, 5)}, **at(1)),
    "MatMul of tokens": Pattern(TOKENS, "float[n, 3, 5] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": (4, 5)}, **at(2)),
    "MatMul with the weight first": Pattern(
        TOKENS, "float[n, 5, 4] y", "h = MatMul (w, x)\n y = Relu (h)", {"w": (5, 3)}, **at(1)
    ),
    "MatMul by a weight of higher rank": Pattern(
        "float[n, 1, 3, 4] x",
        "float[n, 2, 3, 5] y",
        "h = MatMul (x, w)\n y = Relu (h)",
        {"w": (2, 4, 5)},
        **at(1, spread(1, 3)),
    ),
    "MatMul by a transposed weight": Pattern(
        VECTOR, "float[n, 5] y", "t = Transpose (w)\n h = MatMul (x, t)\n y = Relu (h)", {"w": (5, 4)}, **at(1)
    ),
    "bias added after MatMul": Pattern(
        TOKENS,
        "float[n, 3, 5] y",
        "h = MatMul (x, w)\n g = Add (b, h)\n y = Relu (g)",
        {"w": (4, 5), "b": (5,)},
        **at(2),
    ),
    "residual stream": Pattern(
        TOKENS,
        "float[n, 3, 4] y",
        "h = MatMul (x, w)\n g = Add (h, x)\n y = Relu (g)",
        {"w": (4, 4)},
        **at(2),
    ),
    "Conv": Pattern(IMAGE, "float[n, 5, 4, 4] y", f"{CONV}\n y = Relu (h)", {"w": (5, 2, 3, 3)}, **at(1)),
    "Conv1d": Pattern(
        "float[n, 2, 6] x", "float[n, 5, 4] y", "h = Conv (x, w)\n y = Relu (h)", {"w": (5, 2, 3)}, **at(1)
    ),
    "Conv3d": Pattern(
        "float[n, 2, 3, 3, 3] x",
        "float[n, 5, 2, 2, 2] y",
        "h = Conv (x, w)\n y = Relu (h)",
        {"w": (5, 2, 2, 2, 2)},
        **at(1),
    ),
    "Conv1d by way of two dimensions": Pattern(
        "float[n, 2, 6] x",
        "float[n, 5, 4] y",
        "u = Unsqueeze (x, a)\n h = Conv (u, w)\n s = Squeeze (h, a)\n y = Relu (s)",
        {"w": (5, 2, 1, 3), "a": ints(2)},
        **at(1),
    ),
    "Conv1d by way of two dimensions, old opset": Pattern(
        "float[n, 2, 6] x",
        "float[n, 5, 4] y",
        "u = Unsqueeze <axes = [-1]> (x)\n h = Conv (u, w)\n s = Squeeze <axes = [3]> (h)\n y = Relu (s)",
        {"w": (5, 2, 3, 1)},
        opset=11,
        **at(1),
    ),
    "grouped Conv": Pattern(
        IMAGE, "float[n, 6, 2, 2] y", "h = Conv <group = 2> (x, w)\n y = Relu (h)", {"w": (6, 1, 3, 3)}, **at(1)
    ),
    "depthwise Conv": Pattern(
        IMAGE, "float[n, 2, 2, 2] y", "h = Conv <group = 2> (x, w)\n y = Relu (h)", {"w": (2, 1, 3, 3)}, **at(1)
    ),
    "depthwise then pointwise": Pattern(
        IMAGE,
        "float[n, 5, 2, 2] y",
        "h = Conv <group = 2> (x, v)\n z = Relu (h)\n g = Conv (z, w)\n y = Relu (g)",
        {"v": (2, 1, 3, 3), "w": (5, 2, 1, 1)},
        units={"z": 1, "y": 1},
        axes={"z": 1, "y": 1},
        weight=None,
    ),
    "ConvTranspose": Pattern(
        IMAGE,
        "float[n, 5, 8, 8] y",
        "h = ConvTranspose <strides = [2, 2]> (x, w)\n y = Relu (h)",
        {"w": (2, 5, 2, 2)},
        **at(1),
    ),
    "grouped ConvTranspose": Pattern(
        IMAGE,
        "float[n, 6, 8, 8] y",
        "h = ConvTranspose <group = 2, strides = [2, 2]> (x, w)\n y = Relu (h)",
        {"w": (2, 3, 2, 2)},
        **at(1),
    ),
    "BatchNormalization": Pattern(
        IMAGE,
        "float[n, 5, 4, 4] y",
        f"{CONV}\n b = BatchNormalization <epsilon = 0.25> (h, s, t, m, v)\n y = Relu (b)",
        {"w": (5, 2, 3, 3), "s": (5,), "t": (5,), "m": (5,), "v": np.full(5, 0.75, np.float32)},
        **at(1),
    ),
    "BatchNormalization of a vector": Pattern(
        VECTOR,
        "float[n, 5] y",
        "h = MatMul (x, w)\n b = BatchNormalization <epsilon = 0.25> (h, s, t, m, v)\n y = Relu (b)",
        {"w": (4, 5), "s": (5,), "t": (5,), "m": (5,), "v": np.full(5, 0.75, np.float32)},
        **at(1),
    ),
    "scale and bias per channel": Pattern(
        IMAGE,
        "float[n, 2, 4, 4] y",
        "h = Mul (x, w)\n y = Relu (h)",
        {"w": (2, 1, 1)},
        **at(1),
    ),
    "channels last": Pattern(
        "float[n, 4, 4, 2] x",
        "float[n, 4, 4, 5] y",
        "t = Transpose <perm = [0, 3, 1, 2]> (x)\n h = Conv <pads = [1, 1, 1, 1]> (t, w)\n"
        "u = Transpose <perm = [0, 2, 3, 1]> (h)\n y = Relu (u)",
        {"w": (5, 2, 3, 3)},
        **at(3),
    ),
    "channels last up to the rectifier": Pattern(
        "float[n, 4, 4, 2] x",
        "float[n, 4, 4, 5] z",
        "t = Transpose <perm = [0, 3, 1, 2]> (x)\n h = Conv <pads = [1, 1, 1, 1]> (t, w)\n y = Relu (h)\n"
        "z = Transpose <perm = [0, 2, 3, 1]> (y)",
        {"w": (5, 2, 3, 3)},
        **at(1),
    ),
    "Add of two branches": Pattern(
        IMAGE,
        "float[n, 5, 4, 4] y",
        f"{CONV}\n g = Conv (x, v)\n s = Add (h, g)\n y = Relu (s)",
        {"w": (5, 2, 3, 3), "v": (5, 2, 1, 1)},
        weight="v",
        **at(1),
    ),
    "Concat of two branches": Pattern(
        IMAGE,
        "float[n, 8, 4, 4] y",
        f"{CONV}\n g = Conv (x, v)\n s = Concat <axis = 1> (h, g)\n y = Relu (s)",
        {"w": (5, 2, 3, 3), "v": (3, 2, 1, 1)},
        weight="v",
        **at(1),
    ),
    "gate of one per channel": Pattern(
        IMAGE,
        "float[n, 5, 4, 4] y",
        f"{CONV}\n p = GlobalAveragePool (h)\n g = Conv (p, v)\n s = Mul (h, g)\n y = Relu (s)",
        {"w": (5, 2, 3, 3), "v": (5, 5, 1, 1)},
        weight="v",
        **at(1),
    ),
    "after Flatten": Pattern(
        IMAGE, "float[n, k] y", f"{CONV}\n f = Flatten (h)\n y = Relu (f)", {"w": (5, 2, 3, 3)}, **at(1, runs(1, 5))
    ),
    "after Reshape by 0, -1": Pattern(
        IMAGE,
        "float[n, k] y",
        f"{CONV}\n f = Reshape (h, s)\n y = Relu (f)",
        {"w": (5, 2, 3, 3), "s": shape_of(0, -1)},
        **at(1, runs(1, 5)),
    ),
    "after Reshape by -1, columns": Pattern(
        IMAGE,
        "float[n, k] y",
        f"{CONV}\n f = Reshape (h, s)\n y = Relu (f)",
        {"w": (5, 2, 3, 3), "s": shape_of(-1, 80)},
        **at(1, runs(1, 5)),
    ),
    "after Reshape by the batch's own size": Pattern(
        IMAGE,
        "float[n, k] y",
        f"{CONV}\n s = Shape <start = 0, end = 1> (x)\n t = Concat <axis = 0> (s, m)\n"
        "f = Reshape (h, t)\n y = Relu (f)",
        {"w": (5, 2, 3, 3), "m": ints(-1)},
        **at(1, runs(1, 5)),
    ),
    "Flatten of channels last": Pattern(
        IMAGE,
        "float[n, k] y",
        f"{CONV}\n t = Transpose <perm = [0, 2, 3, 1]> (h)\n f = Flatten (t)\n y = Relu (f)",
        {"w": (5, 2, 3, 3)},
        **at(1, lambda value: value.reshape(-1, 5)),
    ),
    "Flatten of a pooled map": Pattern(
        IMAGE,
        "float[n, k] y",
        f"{CONV}\n p = GlobalMaxPool (h)\n f = Flatten (p)\n y = Relu (f)",
        {"w": (5, 2, 3, 3)},
        **at(1),
    ),
    "patches": Pattern(
        IMAGE,
        "float[n, 4, 5] y",
        "h = Conv <strides = [2, 2]> (x, w)\n f = Reshape (h, s)\n t = Transpose <perm = [0, 2, 1]> (f)\n y = Relu (t)",
        {"w": (5, 2, 2, 2), "s": shape_of(0, 5, -1)},
        **at(2),
    ),
    "Einsum": Pattern(
        TOKENS,
        "float[n, 3, 5] y",
        'h = Einsum <equation = "btd,hd->bth"> (x, w)\n y = Relu (h)',
        {"w": (5, 4)},
        **at(2),
    ),
    "Einsum into heads": Pattern(
        TOKENS,
        "float[n, 2, 3, 5] y",
        'h = Einsum <equation = "btd,dhk->bhtk"> (x, w)\n y = Relu (h)',
        {"w": (4, 2, 5)},
        **at(1, spread(1, 3)),
    ),
    "Einsum with an ellipsis": Pattern(
        TOKENS,
        "float[n, 3, 5] y",
        'h = Einsum <equation = "...d,dh->...h"> (x, w)\n y = Relu (h)',
        {"w": (4, 5)},
        **at(2),
    ),
    "Einsum without an arrow": Pattern(
        VECTOR, "float[n, 5] y", 'h = Einsum <equation = "nd,dz"> (x, w)\n y = Relu (h)', {"w": (4, 5)}, **at(1)
    ),
    "heads": Pattern(
        TOKENS,
        "float[n, 3, 2, 3] y",
        "h = MatMul (x, w)\n r = Reshape (h, s)\n y = Relu (r)",
        {"w": (4, 6), "s": shape_of(0, 0, 2, 3)},
        **at(2, spread(2, 3)),
    ),
    "heads before positions": Pattern(
        TOKENS,
        "float[n, 2, 3, 3] y",
        "h = MatMul (x, w)\n r = Reshape (h, s)\n t = Transpose <perm = [0, 2, 1, 3]> (r)\n y = Relu (t)",
        {"w": (4, 6), "s": shape_of(0, 0, 2, 3)},
        **at(1, spread(1, 3)),
    ),
    "heads joined again": Pattern(
        TOKENS,
        "float[n, 3, 6] y",
        "h = MatMul (x, w)\n r = Reshape (h, s)\n t = Transpose <perm = [0, 2, 1, 3]> (r)\n"
        "u = Transpose <perm = [0, 2, 1, 3]> (t)\n j = Reshape (u, e)\n y = Relu (j)",
        {"w": (4, 6), "s": shape_of(0, 0, 2, 3), "e": shape_of(0, 0, 6)},
        **at(2),
    ),
    "one of three stacked projections": Pattern(
        TOKENS,
        "float[n, 2, 3, 2] y",
        "h = MatMul (x, w)\n r = Reshape (h, s)\n t = Transpose <perm = [2, 0, 3, 1, 4]> (r)\n"
        "q = Gather <axis = 0> (t, one)\n y = Relu (q)",
        {"w": (4, 12), "s": shape_of(0, 0, 3, 2, 2), "one": np.array(1)},
        **at(1, spread(1, 3)),
    ),
    "shuffled channels": Pattern(
        IMAGE,
        "float[n, 6, 4, 4] y",
        f"{CONV}\n r = Reshape (h, s)\n t = Transpose <perm = [0, 2, 1, 3, 4]> (r)\n q = Reshape (t, e)\n y = Relu (q)",
        {"w": (6, 2, 3, 3), "s": shape_of(0, 2, 3, 4, 4), "e": shape_of(0, 6, 4, 4)},
        # Units are numbered as in the weight, not as they come out of the shuffle.
        **at(1, lambda v: np.moveaxis(v.reshape(-1, 3, 2, 16), 3, 1).transpose(0, 1, 3, 2).reshape(-1, 6)),
    ),
    "tokens folded into the batch": Pattern(
        TOKENS,
        "float[k, 5] y",
        "r = Reshape (x, s)\n h = Gemm (r, w)\n y = Relu (h)",
        {"w": (4, 5), "s": shape_of(-1, 4)},
        **at(1),
    ),
    "tokens folded into the batch and back": Pattern(
        TOKENS,
        "float[n, 3, 5] y",
        "r = Reshape (x, s)\n h = Gemm (r, w)\n b = Reshape (h, e)\n y = Relu (b)",
        {"w": (4, 5), "s": shape_of(-1, 4), "e": shape_of(-1, 3, 5)},
        **at(2),
    ),
    "first token": Pattern(
        TOKENS,
        "float[n, 5] y",
        "h = MatMul (x, w)\n t = Gather <axis = 1> (h, nought)\n y = Relu (t)",
        {"w": (4, 5), "nought": np.array(0)},
        **at(1),
    ),
    "mean over tokens": Pattern(
        TOKENS,
        "float[n, 5] y",
        "h = MatMul (x, w)\n t = ReduceSum <keepdims = 0> (h, one)\n y = Relu (t)",
        {"w": (4, 5), "one": ints(1)},
        **at(1),
    ),
    "some of the units": Pattern(
        VECTOR,
        "float[n, 3] y",
        "h = MatMul (x, w)\n t = Slice (h, a, b, c)\n y = Relu (t)",
        {"w": (4, 5), "a": ints(1), "b": ints(4), "c": ints(1)},
        **at(1),
    ),
    "LayerNormalization before the weight": Pattern(
        TOKENS,
        "float[n, 3, 5] y",
        "l = LayerNormalization (x, s)\n h = MatMul (l, w)\n y = Relu (h)",
        {"w": (4, 5), "s": np.ones(4, np.float32)},
        **at(2),
    ),
    "embedding": Pattern(
        "int64[n, 3] x", "float[n, 3, 5] y", "h = Gather (w, x)\n y = Relu (h)", {"w": (3, 5)}, **at(2)
    ),
    "embedding then MatMul": Pattern(
        "int64[n, 3] x",
        "float[n, 3, 5] y",
        "e = Gather (t, x)\n p = Add (e, v)\n h = MatMul (p, w)\n y = Relu (h)",
        {"t": (3, 4), "v": (3, 4), "w": (4, 5)},
        **at(2),
    ),
    "LSTM then MatMul": Pattern(
        TOKENS,
        "float[3, n, 5] y",
        "t = Transpose <perm = [1, 0, 2]> (x)\n l, last = LSTM <hidden_size = 2> (t, i, r)\n"
        "s = Squeeze (l, one)\n h = MatMul (s, w)\n y = Relu (h)",
        {"i": (1, 8, 4), "r": (1, 8, 2), "w": (2, 5), "one": ints(1)},
        **at(2),
    ),
    "LSTM itself": Pattern(
        TOKENS,
        "float[3, 1, n, 2] y",
        "t = Transpose <perm = [1, 0, 2]> (x)\n l, last = LSTM <hidden_size = 2> (t, i, r)\n y = Relu (l)",
        {"i": (1, 8, 4), "r": (1, 8, 2)},
        weight=None,
        **at(3),
    ),
    "LSTM of two directions": Pattern(
        TOKENS,
        "float[n, 3, 4] y",
        't = Transpose <perm = [1, 0, 2]> (x)\n l = LSTM <hidden_size = 2, direction = "bidirectional"> (t, i, r)\n'
        "u = Transpose <perm = [2, 0, 1, 3]> (l)\n j = Reshape (u, s)\n y = Relu (j)",
        {"i": (2, 8, 4), "r": (2, 8, 2), "s": shape_of(0, 0, 4)},
        weight=None,
        **at(2),
    ),
    "before the weight that reads it": Pattern(
        TOKENS, "float[n, 3, 5] h", "y = Relu (x)\n h = MatMul (y, w)", {"w": (4, 5)}, weight=None, **at(2)
    ),
    "before the convolution that reads it": Pattern(
        IMAGE,
        "float[n, 5, 4, 4] h",
        "y = Relu (x)\n h = Conv <pads = [1, 1, 1, 1]> (y, w)",
        {"w": (5, 2, 3, 3)},
        weight=None,
        **at(1),
    ),
    "between an unknown operator and the weight that reads it": Pattern(
        TOKENS,
        "float[n, 3, 5] h",
        f"g = {UNKNOWN} (x)\n y = Relu (g)\n h = MatMul (y, w)",
        {"w": (4, 5)},
        weight=None,
        **at(2),
    ),
    "a vector without a batch": Pattern(
        "float[4] x", "float[5] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": (4, 5)}, **at(0)
    ),
    "one output without an axis": Pattern(
        VECTOR,
        "float[n] y",
        "h = ReduceSum <keepdims = 0> (x, one)\n y = Relu (h)",
        {"one": ints(1)},
        weight=None,
        **at(None),
    ),
    "a single number": Pattern(
        "float[1, 4] x", "float y", "h = ReduceSum <keepdims = 0> (x)\n y = Relu (h)", {}, weight=None, **at(None)
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_units_are_found_on_their_axis(name: str) -> None:
    pattern = PATTERNS[name]
    data = pattern.data
    first = pattern.model.graph.input[0].type.tensor_type.shape.dim
    feeds = one_by_one(data)
    if len(first) == 1:  # no batch axis: each row is one whole feed
        data = {"x": whole(SAMPLES, 4)}
        feeds = [{"x": row} for row in data["x"]]
    elif first[0].dim_value:
        data = {"x": whole(SAMPLES, *(dim.dim_value for dim in first))}
        feeds = [{"x": row} for row in data["x"]]
    truths = oracle(pattern.model, feeds, pattern.units)
    found = audit(pattern.model, data)
    assert {site.tensor: site.unit_axis for site in found.sites} == pattern.axes
    assert not any(site.assumed for site in found.sites)
    if pattern.weight is not None:
        assert [site.weight for site in found.sites] == [pattern.weight]
    assert found.data.samples == SAMPLES
    assert_all_agree(found, truths, exact=False)


@pytest.mark.parametrize("near_misses", [True, False])
@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_folded_tokens_are_told_apart_by_sample_or_said_to_be_counted_per_run(
    batch: int | str, batch_size: int | None, near_misses: bool
) -> None:
    pattern = PATTERNS["tokens folded into the batch"]
    data = pattern.data
    fixed = Pattern(f"float[{batch}, 3, 4] x", pattern.outputs, pattern.body, pattern.weights, {}, {})
    found = audit(fixed.model, data, batch_size=batch_size, near_misses=near_misses)
    (site,) = found.sites
    assert site.per_run == (batch == 4)
    if not site.per_run:
        truths = oracle(pattern.model, one_by_one(data), pattern.units)
        assert_all_agree(found, truths, near_misses=near_misses)
    else:
        assert site.samples == 2


# What cannot be derived ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis", "assumed"),
    [
        ((4,), 1, False),
        ((3, 4), 1, True),
        ((2, 3, 4), 1, True),
        ((4, 1), 1, False),
        ((4, 1, 1), 1, False),
        ((1, 1), 1, False),
        ((1, 4), 1, True),  # one channel, or one position
        ((), None, False),
    ],
)
def test_without_any_weight_the_fallback_is_used_and_said_to_be_assumed_where_it_is_a_choice(
    shape: tuple[int, ...], axis: int | None, assumed: bool
) -> None:
    inputs = f"float[{', '.join(map(str, ('n', *shape)))}] x"
    model = graph(inputs, inputs.replace(" x", " y"), "y = Relu (x)")
    (site,) = audit(model, {"x": whole(SAMPLES, *shape)}).sites
    assert (site.unit_axis, site.assumed, site.weight) == (axis, assumed, None)
    assert site.axis_from


def test_axis_that_samples_share_with_others_leaves_a_choice() -> None:
    body = "f = Reshape (x, s)\n y = Relu (f)"
    model = graph("float[n, 3, 4] x", "float[m, 4] y", body, {"s": np.array([-1, 4])})
    (site,) = audit(model, {"x": whole(SAMPLES, 3, 4)}).sites
    assert (site.unit_axis, site.assumed) == (1, True)


def test_an_operator_nobody_knows_freezes_the_axes_behind_it() -> None:
    assert UNKNOWN not in ROWS
    body = f"h = MatMul (x, w)\n g = {UNKNOWN} (h)\n y = Relu (g)"
    model = graph("float[n, 3, 4] x", "float[n, 3, 5] y", body, {"w": whole(4, 5)})
    data = {"x": whole(SAMPLES, 3, 4)}
    found = audit(model, data)
    assert [site.assumed for site in found.sites] == [True]
    assert_all_agree(found, oracle(model, one_by_one(data), {"y": found.sites[0].unit_axis}), exact=False)


def test_units_are_found_behind_a_quantized_weight() -> None:
    # Optimised, the runtime multiplies by the quantized weight in a way of its own, so outputs agree in counts only.
    body = "d = DequantizeLinear (w, s)\n h = MatMul (x, d)\n y = Relu (h)"
    weights = {"w": whole(4, 5).astype(np.int8), "s": np.float32(0.5)}
    model, data = graph(VECTOR, "float[n, 5] y", body, weights), {"x": whole(SAMPLES, 4)}
    (site,) = audit(model, data).sites
    truth = oracle(model, one_by_one(data), {"y": 1})["y"]
    assert (site.unit_axis, site.assumed, site.weight) == (1, False, "w")
    assert (list(site.dead), list(site.fired_samples)) == (list(truth.dead), list(truth.fired_samples))


def test_a_weight_behind_an_unknown_operator_tells_the_axis_again() -> None:
    body = f"g = {UNKNOWN} (x)\n h = MatMul (g, w)\n y = Relu (h)"
    model = graph("float[n, 3, 4] x", "float[n, 3, 5] y", body, {"w": whole(4, 5)})
    data = {"x": whole(SAMPLES, 3, 4)}
    found = audit(model, data)
    assert [(site.unit_axis, site.assumed, site.weight) for site in found.sites] == [(2, False, "w")]
    assert_all_agree(found, oracle(model, one_by_one(data), {"y": 2}), exact=False)


@pytest.mark.parametrize("axis", [2, -1])
def test_the_axis_may_be_given_from_either_end(axis: int) -> None:
    model = graph("float[n, 3, 4] x", "float[n, 3, 4] y", "y = Relu (x)")
    data = {"x": whole(SAMPLES, 3, 4)}
    found = audit(model, data, unit_axes={"y": axis})
    (site,) = found.sites
    assert (site.unit_axis, site.assumed) == (2, False)
    assert "--unit-axis" in site.axis_from
    assert_all_agree(found, oracle(model, one_by_one(data), {"y": 2}))


def test_the_axis_given_wins_over_the_one_derived() -> None:
    pattern = PATTERNS["MatMul of tokens"]
    found = audit(pattern.model, pattern.data, unit_axes={"y": 1})
    assert found.sites[0].unit_axis == 1
    assert_all_agree(found, oracle(pattern.model, one_by_one(pattern.data), {"y": 1}))


@pytest.mark.parametrize(
    ("given", "words"), [({"z": 1}, "z"), ({"x": 1}, "x"), ({"y": 3}, "3 axes"), ({"y": -4}, "3 axes"), ({"": 0}, "")]
)
def test_an_axis_given_for_what_has_none_is_a_usage_error(given: dict[str, int], words: str) -> None:
    model = graph("float[n, 3, 4] x", "float[n, 3, 4] y", "y = Relu (x)")
    with pytest.raises(UsageError) as caught:
        audit(model, {"x": whole(SAMPLES, 3, 4)}, unit_axes=given)
    assert caught.value.slug == "unit-axis"
    assert words in caught.value.message


def test_sequences_of_different_lengths_are_one_site_where_the_units_are_known() -> None:
    model = graph("float[1, t, 4] x", "float[1, t, 5] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": whole(4, 5)})
    feeds = [{"x": whole(1, length, 4)} for length in (3, 5, 1)]
    assert_all_agree(audit(model, feeds), oracle(model, feeds, {"y": 2}))


def test_units_that_change_in_number_are_an_error_of_ours() -> None:
    model = graph("float[1, t, 4] x", "float[1, t, 4] y", "y = Relu (x)")
    feeds = [{"x": whole(1, length, 4)} for length in (3, 5)]
    with pytest.raises(AuditError):
        audit(model, feeds, unit_axes={"y": 1})


# Shapes in the file --------------------------------------------------------------------------------------------------


def with_shapes(model: onnx.ModelProto, **shapes: Sequence[int | str]) -> onnx.ModelProto:
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()
    )
    return model


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"h": ["n", 5, 4, 4]},
        {"h": ["n", 7, 9, 9]},
        {"h": [1, 5]},
        {"y": ["n", 3, 2, 1]},
        {"h": [], "y": ["a", "b"]},
    ],
    ids=["missing", "right", "stale sizes", "stale rank", "stale result", "nonsense"],
)
def test_stale_and_missing_shapes_change_nothing(shapes: dict[str, Sequence[int | str]]) -> None:
    body = f"{CONV}\n y = Relu (h)\n z = Identity (y)"
    model = graph(IMAGE, "float[n, a, b, c] z", body, {"w": whole(5, 2, 3, 3)})
    data = {"x": whole(SAMPLES, 2, 4, 4)}
    truths = oracle(model, one_by_one(data), {"y": 1})
    found = audit(with_shapes(model, **shapes), data)
    assert [(site.unit_axis, site.assumed) for site in found.sites] == [(1, False)]
    assert_all_agree(found, truths)


@pytest.mark.parametrize("declared", ["n, 5", "n, 7", "1, 5", "4, 5", "n, 5, 1", "5", "n, m"])
def test_a_stale_shape_of_a_result_changes_nothing(declared: str) -> None:
    body = "h = MatMul (x, w)\n y = Relu (h)"
    model = graph(VECTOR, f"float[{declared}] y", body, {"w": whole(4, 5)})
    data = {"x": whole(SAMPLES, 4)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {"y": 1}))


def test_shapes_that_inference_gets_wrong_are_not_imposed_on_the_runtime() -> None:
    # Before opset 11 a negative axis is not in the specification, but exporters write it and onnxruntime takes it;
    # ONNX's own inference makes a number of the result.
    body = "c = Concat <axis = -1> (x, x)\n g = Gemm (c, w, b)\n y = Max (nought, g)\n z = Gemm (y, v, d)"
    weights = {"w": whole(8, 5), "b": whole(5), "nought": np.float32(0), "v": whole(5, 3), "d": whole(3)}
    model = graph(VECTOR, "float[n, 3] z", body, weights, opset=9)
    data = {"x": whole(SAMPLES, 4)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {"y": 1}))


@pytest.mark.parametrize("result", ["of known rank", "of unknown rank"])
@pytest.mark.parametrize("name", ["MatMul", "MatMul of tokens", "Conv", "Conv1d", "channels last", "after Flatten"])
def test_without_the_shape_of_an_input_units_are_right_or_said_to_be_assumed(name: str, result: str) -> None:
    pattern = PATTERNS[name]
    model, data = pattern.model, pattern.data
    unshaped = onnx.ModelProto.FromString(model.SerializeToString())
    unshaped.graph.input[0].type.tensor_type.ClearField("shape")
    if result == "of unknown rank":
        unshaped.graph.output[0].type.tensor_type.ClearField("shape")
    found = audit(unshaped, data)
    (site,) = found.sites
    units = {"y": site.unit_axis} if site.assumed else pattern.units
    assert_all_agree(found, oracle(model, one_by_one(data), units))


# Sites that are one, and sites that are two --------------------------------------------------------------------------

TWO = "float[n, 4] x, float[n, 4] z"


def test_one_weight_in_two_places_is_one_site_with_the_positions_of_both() -> None:
    body = "g = MatMul (x, w)\n h = MatMul (z, w)\n a = Relu (g)\n b = Relu (h)"
    model = graph(TWO, "float[n, 5] a, float[n, 5] b", body, {"w": whole(4, 5)})
    data = {"x": whole(SAMPLES, 4), "z": whole(SAMPLES, 4, seed=1)}
    found = audit(model, data)
    assert [(site.tensor, site.tensors) for site in found.sites] == [("a", ("a", "b"))]
    assert_all_agree(found, oracle(model, one_by_one(data), {"a": 1, "b": 1}, together=[("a", "b")]))


def test_one_weight_transposed_in_two_places_is_one_site() -> None:
    body = "v = Transpose (w)\n u = Transpose (w)\n g = MatMul (x, v)\n h = MatMul (z, u)\n a = Relu (g)\n b = Relu (h)"
    model = graph(TWO, "float[n, 5] a, float[n, 5] b", body, {"w": whole(5, 4)})
    data = {"x": whole(SAMPLES, 4), "z": whole(SAMPLES, 4, seed=1)}
    found = audit(model, data)
    assert [site.tensors for site in found.sites] == [("a", "b")]
    assert_all_agree(found, oracle(model, one_by_one(data), {"a": 1, "b": 1}, together=[("a", "b")]))


@pytest.mark.parametrize("batch", ["n", 4])
def test_one_weight_on_maps_of_different_sizes_is_one_site(batch: int | str) -> None:
    body = "p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)\n g = Conv (x, w)\n h = Conv (p, w)\n"
    body += "a = Relu (g)\n b = Relu (h)"
    outputs = "float[n, 5, 4, 4] a, float[n, 5, 2, 2] b"
    model = graph(IMAGE, outputs, body, {"w": whole(5, 2, 1, 1)})
    data = {"x": whole(SAMPLES, 2, 4, 4)}
    truths = oracle(model, one_by_one(data), {"a": 1, "b": 1}, together=[("a", "b")])
    fixed = graph(IMAGE.replace("n", str(batch)), outputs, body, {"w": whole(5, 2, 1, 1)})
    assert_all_agree(audit(fixed, data), truths)


@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_one_weight_with_and_without_a_batch_axis_counts_every_position_once(batch: int | str) -> None:
    body = "g = MatMul (x, w)\n r = Reshape (x, s)\n h = MatMul (r, w)\n a = Relu (g)\n b = Relu (h)"
    weights = {"w": whole(4, 5), "s": shape_of(-1, 4)}
    model = graph(TOKENS, "float[n, 3, 5] a, float[k, 5] b", body, weights)
    data = {"x": whole(SAMPLES, 3, 4)}
    truths = oracle(model, one_by_one(data), {"a": 2, "b": 1}, together=[("a", "b")])
    fixed = graph(TOKENS.replace("n", str(batch)), "float[n, 3, 5] a, float[k, 5] b", body, weights)
    found = audit(fixed, data)
    if batch == 3:  # samples cannot be told apart in one of the two places, but positions are what they are
        assert sum(site.positions for site in found.sites) == truths["a"].positions
        fired = np.sum([site.fired_positions for site in found.sites], axis=0)
        assert fired.tolist() == truths["a"].fired_positions
    else:
        assert_all_agree(found, truths)


def test_a_pre_activation_rectified_twice_is_one_site_and_counts_once() -> None:
    body = "h = MatMul (x, w)\n a = Relu (h)\n b = Relu (h)"
    model = graph(VECTOR, "float[n, 5] a, float[n, 5] b", body, {"w": whole(4, 5)})
    data = {"x": whole(SAMPLES, 4)}
    found = audit(model, data)
    assert [site.tensors for site in found.sites] == [("a", "b")]
    assert_all_agree(found, oracle(model, one_by_one(data), {"a": 1}))


def test_a_rectifier_read_in_two_places_is_one_site() -> None:
    body = "h = MatMul (x, w)\n a = Relu (h)\n b = MatMul (a, v)\n c = MatMul (a, u)\n d = Add (b, c)"
    model = graph(VECTOR, "float[n, 3] d", body, {"w": whole(4, 5), "v": whole(5, 3), "u": whole(5, 3, seed=1)})
    data = {"x": whole(SAMPLES, 4)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {"a": 1}))


def test_rectifiers_behind_different_weights_are_two_sites_even_if_the_weights_are_equal() -> None:
    body = "g = MatMul (x, w)\n h = MatMul (x, v)\n a = Relu (g)\n b = Relu (h)"
    model = graph(VECTOR, "float[n, 5] a, float[n, 5] b", body, {"w": whole(4, 5), "v": whole(4, 5)})
    data = {"x": whole(SAMPLES, 4)}
    found = audit(model, data)
    assert [site.tensors for site in found.sites] == [("a",), ("b",)]
    assert_all_agree(found, oracle(model, one_by_one(data), {"a": 1, "b": 1}))


@pytest.mark.parametrize("cut", [(2, 2), (1, 3)], ids=["halves", "unequal parts"])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_parts_of_one_layer_are_sites_of_their_own(cut: tuple[int, int], opset: int) -> None:
    weights = {"w": whole(4, 4), "s": ints(*cut)}
    parts = "Split <axis = 1> (h, s)" if opset >= 13 else f"Split <axis = 1, split = {list(cut)}> (h)"
    body = f"h = MatMul (x, w)\n p, q = {parts}\n a = Relu (p)\n b = Relu (q)"
    model = graph(VECTOR, f"float[n, {cut[0]}] a, float[n, {cut[1]}] b", body, weights, opset=opset)
    data = {"x": whole(SAMPLES, 4)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {"a": 1, "b": 1}))


def test_results_of_one_operator_are_sites_of_their_own() -> None:
    body = "t = Transpose <perm = [1, 0, 2]> (x)\n l, last = LSTM <hidden_size = 2> (t, i, r)\n"
    body += "a = Relu (l)\n b = Relu (last)"
    model = graph(TOKENS, "float[3, 1, n, 2] a, float[1, n, 2] b", body, {"i": whole(1, 8, 4), "r": whole(1, 8, 2)})
    data = {"x": whole(SAMPLES, 3, 4)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {"a": 3, "b": 2}), exact=False)


# The table, row by row -----------------------------------------------------------------------------------------------
INTEGERS = (-2.2, -0.7, 0.4, 1.6, 2.7)

UNARY: dict[str, Trace] = {
    op: Trace(f"y = {op} (x)", opset=opset)
    for op, opset in {
        **dict.fromkeys(("Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Dropout"), 18),
        **dict.fromkeys(("Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log"), 18),
        **dict.fromkeys(("Mish", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Sinh", "Softplus"), 18),
        **dict.fromkeys(("Softsign", "Sqrt", "Tan", "Tanh"), 18),
        "Gelu": 20,
        "Swish": 24,
    }.items()
}

ELEMENTWISE: dict[str, list[Trace]] = {
    op: [
        Trace(f"y = {op} (x, z)", z=(3, 1)),
        Trace(f"y = {op} (z, x)", z=(1, 4)),
        Trace(f"y = {op} (x, w)", weights={"w": (3, 1)}),
        Trace(f"y = {op} (w, x)", weights={"w": (4,)}),
    ]
    for op in ("Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum")
}

INTEGER_PAIRS: dict[str, Trace] = {
    **{op: Trace(f"y = {op} (x, z)", z=(3, 1), dtype="bool") for op in ("And", "Or", "Xor")},
    **{op: Trace(f"y = {op} (x, z)", z=(3, 1), dtype="int32") for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    **{op: Trace(f"y = {op} (x, z)", z=(3, 1)) for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    "Equal": Trace("y = Equal (x, z)", z=(3, 1), dtype="int32", values=(0, 1)),
    "Mod": Trace("y = Mod (x, z)", z=(3, 1), dtype="int32", values=range(1, 30)),
    "BitShift": Trace('y = BitShift <direction = "LEFT"> (x, z)', z=(3, 1), dtype="uint8"),
}

REDUCTIONS: dict[str, list[Trace]] = {
    f"Reduce{op}": [
        Trace(f"y = Reduce{op} <axes = [1]> (x)", opset=11),
        Trace(f"y = Reduce{op} <keepdims = 0> (x, a)", weights={"a": ints(-1)}, opset=18),
        Trace(f"y = Reduce{op} (x, a)", weights={"a": ints(0, 2)}, opset=18),
        Trace(f"y = Reduce{op} (x)", opset=18),
        Trace(f"y = Reduce{op} <noop_with_empty_axes = 1> (x)", opset=18),
    ]
    for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
}

RECURRENT: dict[str, list[Trace]] = {
    op: [
        Trace(
            f'y, last = {op} <hidden_size = 2, direction = "bidirectional"> (x, w, r, , , z)',
            x=(1, 3, 4),
            z=(2, 3, 2),
            weights={"w": (2, gates * 2, 4), "r": (2, gates * 2, 2)},
            outputs=("y", "last"),
            born=(1, 3),
        ),
        Trace(
            f"y, last = {op} <hidden_size = 2> (x, w, r)",
            x=(3, 2, 4),
            weights={"w": (1, gates * 2, 4), "r": (1, gates * 2, 2)},
            outputs=("y", "last"),
            born=(3,),
            spreads=("w", "r"),
        ),
    ]
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))
}

CASES: dict[str, Trace | list[Trace]] = {
    **UNARY,
    **ELEMENTWISE,
    **INTEGER_PAIRS,
    **REDUCTIONS,
    **RECURRENT,
    "Acosh": Trace("y = Acosh (x)", values=(1, 1.5, 2, 3)),
    "BitwiseNot": Trace("y = BitwiseNot (x)", dtype="int32"),
    "Cast": Trace("y = Cast <to = 7> (x)", values=(0, 1, 2, 3)),
    "Ceil": Trace("y = Ceil (x)", values=INTEGERS),
    "Floor": Trace("y = Floor (x)", values=INTEGERS),
    "Round": Trace("y = Round (x)", values=INTEGERS),
    "Sign": Trace("y = Sign (x)", values=INTEGERS),
    "Shrink": Trace("y = Shrink (x)", values=INTEGERS),
    "ThresholdedRelu": Trace("y = ThresholdedRelu (x)", values=INTEGERS),
    "IsInf": Trace("y = IsInf (x)", values=(0, np.inf)),
    "IsNaN": Trace("y = IsNaN (x)", values=(0, np.nan)),
    "Not": Trace("y = Not (x)", dtype="bool"),
    "Hardmax": Trace("y = Hardmax (x)"),
    "LogSoftmax": Trace("y = LogSoftmax (x)"),
    "Softmax": [Trace("y = Softmax (x)"), Trace("y = Softmax <axis = 1> (x)")],
    "LRN": Trace("y = LRN <size = 3> (x)", x=IMAGES),
    "LpNormalization": Trace("y = LpNormalization <axis = 1> (x)"),
    "MeanVarianceNormalization": Trace("y = MeanVarianceNormalization (x)", x=IMAGES),
    "Trilu": Trace("y = Trilu (x)"),
    "CumSum": Trace("y = CumSum (x, a)", weights={"a": np.array(1)}),
    "PRelu": Trace("y = PRelu (x, w)", weights={"w": (3, 1)}, values=(-1, -0.5, 0.5)),
    "Where": [
        Trace("c = Greater (x, half)\n y = Where (c, x, z)", z=(3, 1), weights={"half": np.float32(0.5)}),
        Trace("y = Where (z, x, w)", z=(3, 1), z_dtype="bool", z_values=(0, 1), weights={"w": (4,)}),
    ],
    "CastLike": Trace("y = CastLike (x, w)", weights={"w": (1,)}),
    "Clip": [
        Trace("y = Clip (x, w)", weights={"w": np.float32(0.3)}),
        Trace("y = Clip <min = 0.3> (x)", opset=9),
    ],
    "DequantizeLinear": Trace("y = DequantizeLinear (x, w)", dtype="uint8", weights={"w": np.float32(0.5)}),
    "QuantizeLinear": Trace("y = QuantizeLinear (x, w)", weights={"w": np.float32(0.01)}),
    "LayerNormalization": [
        Trace("y = LayerNormalization (x, w)", weights={"w": (4,)}),
        Trace("y = LayerNormalization <axis = 1> (x, w, b)", weights={"w": (3, 4), "b": (3, 4)}),
    ],
    "RMSNormalization": Trace("y = RMSNormalization (x, w)", weights={"w": (4,)}, opset=23),
    "Conv": [
        Trace("y = Conv (x, w, b)", x=IMAGES, weights={"w": (5, 3, 3, 3), "b": (5,)}, born=(1,)),
        Trace("y = Conv <pads = [1, 1, 1, 1]> (x, w)", x=IMAGES, weights={"w": (5, 3, 3, 3)}, born=(1,)),
        Trace("y = Conv <group = 3> (x, w)", x=IMAGES, weights={"w": (6, 1, 2, 2)}, born=(1,)),
        Trace("y = Conv <group = 2> (x, w)", x=(2, 4, 5), weights={"w": (6, 2, 2)}, born=(1,)),
    ],
    "ConvTranspose": [
        Trace("y = ConvTranspose <strides = [2, 2]> (x, w)", x=IMAGES, weights={"w": (3, 5, 2, 2)}, born=(1,)),
        Trace("y = ConvTranspose <group = 2> (x, w, b)", x=(2, 4, 5), weights={"w": (4, 3, 2), "b": (6,)}, born=(1,)),
    ],
    "DeformConv": Trace(
        "y = DeformConv (x, w, z)", x=IMAGES, z=(2, 8, 3, 3), weights={"w": (5, 3, 2, 2)}, opset=19, born=(1,)
    ),
    "Gemm": [
        Trace("y = Gemm (x, w, b)", x=(3, 4), weights={"w": (4, 5), "b": (5,)}, born=(1,)),
        Trace("y = Gemm <transA = 1> (x, w)", x=(4, 3), weights={"w": (4, 5)}, born=(1,)),
        Trace("y = Gemm <transB = 1> (x, w)", x=(3, 4), weights={"w": (5, 4)}, born=(1,)),
        Trace("y = Gemm <transA = 1, transB = 1> (x, w)", x=(4, 3), weights={"w": (5, 4)}, born=(1,)),
        Trace("y = Gemm (w, x)", x=(4, 3), weights={"w": (5, 4)}, born=(0,)),
        Trace("y = Gemm <transB = 1> (w, x, b)", x=(3, 4), weights={"w": (5, 4), "b": (5, 1)}, born=(0,)),
        Trace("y = Gemm (x, z)", x=(3, 4), z=(4, 5)),
    ],
    "MatMul": [
        Trace("y = MatMul (x, w)", x=(3, 4), weights={"w": (4, 5)}, born=(1,)),
        Trace("y = MatMul (x, w)", weights={"w": (4, 5)}, born=(2,)),
        Trace("y = MatMul (w, x)", weights={"w": (5, 3)}, born=(1,)),
        Trace("y = MatMul (x, w)", x=(2, 1, 3, 4), weights={"w": (6, 4, 5)}, born=(1, 3)),
        Trace("y = MatMul (x, w)", x=(2, 3, 4), weights={"w": (1, 4, 5)}, born=(2,)),
        Trace("y = MatMul (x, w)", x=(4,), weights={"w": (4, 5)}, born=(0,)),
        Trace("y = MatMul (x, w)", x=(4,), weights={"w": (2, 4, 5)}, born=(0, 1)),
        Trace("y = MatMul (x, w)", weights={"w": (4,)}),
        Trace("y = MatMul (w, x)", weights={"w": (3,)}),
        Trace("y = MatMul (x, z)", z=(2, 4, 5)),
        Trace("y = MatMul (x, z)", z=(4,)),
    ],
    "Einsum": [
        Trace('y = Einsum <equation = "btd,dh->bth"> (x, w)', weights={"w": (4, 5)}, born=(2,)),
        Trace('y = Einsum <equation = "btd,dhk->bhtk"> (x, w)', weights={"w": (4, 2, 5)}, born=(1, 3)),
        Trace('y = Einsum <equation = "...d,dh->...h"> (x, w)', weights={"w": (4, 5)}, born=(2,)),
        Trace('y = Einsum <equation = "bd,da"> (x, w)', x=(3, 4), weights={"w": (4, 5)}, born=(0,)),
        Trace('y = Einsum <equation = "bts->bst"> (x)'),
        Trace('y = Einsum <equation = "bts,bus->btu"> (x, z)', z=(2, 5, 4)),
    ],
    "BatchNormalization": [
        Trace("y = BatchNormalization (x, w, b, m, v)", x=IMAGES, weights=dict.fromkeys("wbmv", (3,))),
        Trace("y = BatchNormalization (x, w, b, m, v)", x=(4, 3), weights=dict.fromkeys("wbmv", (3,))),
    ],
    "InstanceNormalization": Trace("y = InstanceNormalization (x, w, b)", x=IMAGES, weights=dict.fromkeys("wb", (3,))),
    "GroupNormalization": [
        Trace("y = GroupNormalization <num_groups = 2> (x, w, b)", x=(2, 4, 3), weights=dict.fromkeys("wb", (2,))),
        Trace(
            "y = GroupNormalization <num_groups = 2> (x, w, b)",
            x=(2, 4, 3),
            weights=dict.fromkeys("wb", (4,)),
            opset=21,
        ),
    ],
    "AveragePool": Trace("y = AveragePool <kernel_shape = [2, 2]> (x)", x=IMAGES),
    "LpPool": Trace("y = LpPool <kernel_shape = [2, 2]> (x)", x=IMAGES),
    "MaxPool": [
        Trace("y = MaxPool <kernel_shape = [2, 2]> (x)", x=IMAGES),
        Trace("y, where = MaxPool <kernel_shape = [2]> (x)", outputs=("y",)),
    ],
    "GlobalAveragePool": Trace("y = GlobalAveragePool (x)", x=IMAGES),
    "GlobalLpPool": Trace("y = GlobalLpPool (x)", x=IMAGES),
    "GlobalMaxPool": Trace("y = GlobalMaxPool (x)", x=IMAGES),
    "ArgMax": [Trace("y = ArgMax <axis = 2> (x)"), Trace("y = ArgMax <axis = -1, keepdims = 0> (x)")],
    "ArgMin": [Trace("y = ArgMin (x)"), Trace("y = ArgMin <axis = 1, keepdims = 0> (x)")],
    "Transpose": [Trace("y = Transpose (x)"), Trace("y = Transpose <perm = [1, 2, 0]> (x)")],
    "Reshape": [
        Trace("y = Reshape (x, s)", weights={"s": shape_of(*target)}, x=x)
        for x, target in (
            ((2, 3, 4), (0, -1)),
            ((2, 3, 4), (-1, 4)),
            ((2, 3, 4), (6, 4)),
            ((2, 3, 4), (2, 12)),
            ((2, 3, 4), (24,)),
            ((2, 3, 4), (2, 3, 2, 2)),
            ((2, 6, 4), (2, 2, 3, 4)),
            ((2, 6, 4), (4, 3, 4)),
            ((2, 3, 4), (1, 2, 3, 4, 1)),
            ((2, 1, 4), (2, 4)),
            ((6, 4), (3, 8)),
            ((4, 6), (3, 8)),
            ((2, 3, 4), (0, 4, 3)),
            ((1, 3, 4), (3, 1, 4)),
            ((4, 6), (3, 4, 2)),
            ((4, 3, 6), (3, 4, 3, 2)),
        )
    ],
    "Flatten": [Trace(f"y = Flatten <axis = {axis}> (x)") for axis in (0, 1, 2, 3, -1)],
    "Squeeze": [
        Trace("y = Squeeze (x, a)", x=(2, 1, 4), weights={"a": ints(-2)}),
        Trace("y = Squeeze (x)", x=(2, 1, 4)),
        Trace("y = Squeeze <axes = [1]> (x)", x=(2, 1, 4), opset=11),
    ],
    "Unsqueeze": [
        Trace("y = Unsqueeze (x, a)", weights={"a": ints(1, -1)}),
        Trace("y = Unsqueeze <axes = [0]> (x)", opset=11),
    ],
    "Concat": [Trace("y = Concat <axis = 1> (x, z)", z=(2, 5, 4)), Trace("y = Concat <axis = -1> (x, z)", z=(2, 3, 1))],
    "Split": [
        Trace("y, q = Split <axis = 2, num_outputs = 2> (x)", outputs=("y", "q")),
        Trace("y, q = Split (x, s)", weights={"s": ints(1, 1)}, outputs=("y", "q")),
        Trace("y, q = Split <axis = -2, split = [1, 2]> (x)", outputs=("y", "q"), opset=11),
    ],
    "TopK": [
        Trace("y, where = TopK (x, k)", weights={"k": ints(2)}, outputs=("y", "where")),
        Trace("y, where = TopK <axis = 1> (x, k)", weights={"k": ints(2)}, outputs=("y", "where")),
    ],
    "Slice": [
        Trace("y = Slice (x, a, b, c)", weights={"a": ints(1), "b": ints(3), "c": ints(-1)}),
        Trace("y = Slice (x, a, b)", weights={"a": ints(1, 1), "b": ints(2, 3)}),
        Trace("y = Slice <axes = [1], starts = [0], ends = [2]> (x)", opset=9),
        Trace("y = Slice <starts = [0, 1], ends = [1, 3]> (x)", opset=9),
        Trace("y = Slice (x, a, b, c, d)", weights={"a": ints(-1), "b": ints(-9), "c": ints(2), "d": ints(-1)}),
    ],
    "Gather": [
        Trace("y = Gather <axis = 1> (x, i)", weights={"i": np.array(0)}),
        Trace("y = Gather <axis = 1> (x, i)", weights={"i": ints(2, 0)}),
        Trace("y = Gather <axis = -1> (x, i)", weights={"i": np.array([[0, 1], [2, 3]])}),
        Trace("y = Gather (w, x)", x=(2, 3), dtype="int64", values=range(4), weights={"w": (4, 5)}),
        Trace("y = Gather <axis = 1> (x, z)", z=(2,), z_dtype="int64", z_values=range(3)),
    ],
    "Pad": [
        Trace("y = Pad (x, p)", weights={"p": ints(0, 1, 0, 0, 0, 0)}),
        Trace("y = Pad (x, p)", weights={"p": ints(0, 0, 0, 0, 1, 0)}),
        Trace("y = Pad (x, p, , a)", weights={"p": ints(1, 1), "a": ints(-1)}),
        Trace("y = Pad <pads = [0, 0, 1, 0, 0, 1]> (x)", opset=9),
    ],
    "Expand": [
        Trace("y = Expand (x, s)", weights={"s": shape_of(5, 1, 1, 1)}),
        Trace("y = Expand (x, s)", x=(2, 1, 4), weights={"s": shape_of(3, 1)}),
    ],
    "Tile": [
        Trace("y = Tile (x, r)", weights={"r": ints(1, 2, 1)}),
        Trace("y = Tile (x, r)", x=(2, 1, 4), weights={"r": ints(1, 3, 1)}),
    ],
    "Resize": [
        Trace("y = Resize (x, , s)", x=IMAGES, weights={"s": np.array([1, 1, 2, 2], np.float32)}),
        Trace("y = Resize (x, , , t)", x=IMAGES, weights={"t": ints(2, 3, 8, 6)}),
    ],
    "Upsample": Trace("y = Upsample (x, s)", x=IMAGES, weights={"s": np.array([1, 1, 2, 2], np.float32)}, opset=9),
    "If": Trace(
        "c = Constant <value = bool {1}> ()\n y = If (c) <then_branch = t () => (float[2, 3, 4] a) { a = Neg (x) },"
        " else_branch = e () => (float[2, 3, 4] b) { b = Exp (x) }>"
    ),
    "Loop": Trace(
        "m = Constant <value = int64 {2}> ()\n c = Constant <value = bool {1}> ()\n"
        "y, all = Loop (m, c, x) <body = b (int64 i, bool go, float[2, 3, 4] v)"
        " => (bool on, float[2, 3, 4] u, float[2, 3, 4] s) { on = Identity (go)  u = Exp (v)  s = Neg (v) }>",
        outputs=("y", "all"),
    ),
    "Scan": [
        Trace(
            "y, all = Scan (z, x) <num_scan_inputs = 1, body = b (float[3, 4] v, float[3, 4] e)"
            " => (float[3, 4] u, float[3, 4] s) { u = Add (v, e)  s = Neg (e) }>",
            z=(3, 4),
            outputs=("y", "all"),
        ),
        Trace(
            "y = Scan (x) <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],"
            " body = b (float[2, 4] e) => (float[2, 4] s) { s = Neg (e) }>",
        ),
    ],
    "ai.onnx.ml.Scaler": Trace("y = ai.onnx.ml.Scaler <offset = [0.5], scale = [2.0]> (x)", x=(3, 4)),
    "ai.onnx.ml.Normalizer": Trace('y = ai.onnx.ml.Normalizer <norm = "L1"> (x)', x=(3, 4)),
    "ai.onnx.ml.Binarizer": Trace("y = ai.onnx.ml.Binarizer <threshold = 0.5> (x)", x=(3, 4)),
    "ai.onnx.ml.Imputer": Trace(
        "y = ai.onnx.ml.Imputer <imputed_value_floats = [0.5], replaced_value_float = 0.0> (x)", x=(3, 4)
    ),
}

FORGETS = frozenset(
    {
        ("DeformConv", "z", 2),  # offsets and scanned axes: what they hold is known from another input
        ("DeformConv", "z", 3),
        ("Scan", "x", 0),
        ("Scan", "x", 1),
    }
)
"""Axes that an operator keeps in place though its row does not say so; it costs speed and not truth."""


ROWS = sorted({key(row) for row in TABLE})
FILES: tuple[Cases, ...] = (
    CASES,
    test_axes_more.CASES,
    test_axes_contrib.CASES,
    test_axes_variants.CASES,
    test_axes_attention.CASES,
)
"""The cases of all files."""


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_table_has_a_case(name: str) -> None:
    assert [case for cases in FILES for case in cases_of(name, cases)], (
        f"the axis table has a row for {name}, and nothing checks it: add a case to CASES"
    )


def test_every_case_is_of_a_row() -> None:
    named = {name for cases in FILES for name in cases}
    assert named <= set(ROWS)


@pytest.mark.parametrize("row", TABLE, ids=key)
def test_a_row_holds_from_the_opset_that_it_names(row: AxisRule) -> None:
    assert rule(row.domain, row.op, row.since) is row
    below = rule(row.domain, row.op, row.since - 1)
    assert below is None or below.since < row.since


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_where_the_table_says_an_axis_goes_its_entries_go(name: str, case: Trace) -> None:
    assert_entries_go_where_told(name, case, forgets=FORGETS)


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_each_unit_that_the_table_tells_of_belongs_to_its_own_entries_of_the_weight(name: str, case: Trace) -> None:
    assert_units_own_their_entries(name, case, several=name in RECURRENT)
