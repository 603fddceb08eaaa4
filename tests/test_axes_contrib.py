"""Rows of the axis table for operators of onnxruntime's own: com.microsoft and its blocked image layout."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from relu_audit import audit
from tests.graphs import graph
from tests.oracle import assert_all_agree, one_by_one, oracle
from tests.traces import (
    BLOCKED,
    IMAGES,
    NOUGHT,
    QUANTIZED,
    SAMPLES,
    Cases,
    Shapes,
    Trace,
    assert_entries_go_where_told,
    assert_units_own_their_entries,
    codes,
    traces,
    whole,
)

MS = "com.microsoft"


def quantized(body: str, weights: Shapes | None = None, **rest: object) -> Trace:
    """A case whose input and result are codes: ``s`` is their scale of one, ``o`` their zero point of zero."""
    return Trace(body, dtype="uint8", weights={**QUANTIZED, **(weights or {})}, **rest)  # type: ignore[arg-type]


def in_blocks(body: str, weights: Shapes | None = None, channels: int = 16, **rest: object) -> Trace:
    """A case inside the blocked layout: ``x`` goes in as ``u``, and ``v`` comes out as ``y``."""
    text = f"u = {BLOCKED}.ReorderInput (x)\n {body}\n y = {BLOCKED}.ReorderOutput <channels = {channels}> (v)"
    return Trace(text, x=(2, 16, 4, 4), weights=weights or {}, **rest)  # type: ignore[arg-type]


PER_COLUMN: Shapes = {"v": np.ones(5, np.float32), "q": np.zeros(5, np.int8)}

PRODUCTS: tuple[tuple[str, str, tuple[int, ...], tuple[int, ...] | None, Shapes, tuple[int, ...]], ...] = (
    ("x", "w", (3, 4), None, {"w": codes(4, 5)}, (1,)),
    ("x", "w", (2, 3, 4), None, {"w": codes(4, 5)}, (2,)),
    ("w", "x", (2, 3, 4), None, {"w": codes(5, 3)}, (1,)),
    ("x", "w", (2, 1, 3, 4), None, {"w": codes(6, 4, 5)}, (1, 3)),
    ("x", "w", (4,), None, {"w": codes(4, 5)}, (0,)),
    ("x", "w", (2, 3, 4), None, {"w": codes(4)}, ()),
    ("w", "x", (2, 3, 4), None, {"w": codes(3)}, ()),
)
"""Operands of a product, in either order: matrices, stacks of them, vectors; and where units come to be."""

FIRST = "u = Transpose <perm = [0, 3, 1, 2]> (x)"
LAST = "y = Transpose <perm = [0, 2, 3, 1]> (c)"
FINE: Shapes = {"t": np.float32(1 / 16)}
SCALES: Shapes = dict.fromkeys("geb", (4,))


def floats(weights: Shapes) -> Shapes:
    return {name: array.shape if isinstance(array, np.ndarray) else array for name, array in weights.items()}


CODED_STATES: Shapes = {"s": np.full(1, 0.05, np.float32), "o": np.zeros(1, np.int8)}
MEMORY: Shapes = {"qw": (1, 3, 5), "mw": (1, 7, 5), "v": (1, 5)}

CASES: Cases = {
    f"{MS}.DynamicQuantizeLSTM": [
        Trace(
            f"y, last = {MS}.DynamicQuantizeLSTM <hidden_size = 3> (x, w, r, b, , z, z, , s, o, s, o)",
            x=(2, 1, 4),
            z=(1, 1, 3),
            weights={
                **CODED_STATES,
                "w": codes(1, 4, 12, kind=np.int8),
                "r": codes(1, 3, 12, kind=np.int8),
                "b": (1, 24),
            },
            outputs=("y", "last"),
            born=(3,),
            spreads=("w", "r"),
        ),
        Trace(
            f'y, last = {MS}.DynamicQuantizeLSTM <hidden_size = 2, direction = "bidirectional"> '
            "(x, w, r, , , z, z, , s, o, s, o)",
            x=(1, 2, 4),
            z=(2, 2, 2),
            weights={
                "s": np.full(2, 0.05, np.float32),
                "o": np.zeros(2, np.int8),
                "w": codes(2, 4, 8, kind=np.int8),
                "r": codes(2, 2, 8, kind=np.int8),
            },
            outputs=("y", "last"),
            born=(1, 3),
        ),
    ],
    f"{MS}.AttnLSTM": [
        Trace(
            f"y, last, cell = {MS}.AttnLSTM <hidden_size = 3> (x, w, r, , , , , , qw, mw, v, z)",
            x=(2, 2, 4),
            z=(2, 6, 7),
            weights={**MEMORY, "w": (1, 12, 11), "r": (1, 12, 3)},
            outputs=("y", "last", "cell"),
            born=(3,),
            spreads=("w", "r"),
        ),
    ],
    f"{MS}.QLinearLeakyRelu": quantized(f"y = {MS}.QLinearLeakyRelu (x, s, o, s, o)"),
    f"{MS}.QLinearSigmoid": quantized(f"y = {MS}.QLinearSigmoid (x, s, o, t, o)", {"t": np.float32(1 / 256)}),
    f"{MS}.QLinearSoftmax": [
        quantized(f"y = {MS}.QLinearSoftmax <{said}> (x, s, o, t, o)", {"t": np.float32(1 / 256)})
        for said in ("axis = -1, opset = 13", "axis = 1, opset = 13", "opset = 13", "opset = 11")
    ],
    f"{MS}.Gelu": Trace(f"y = {MS}.Gelu (x)"),
    f"{MS}.QuickGelu": Trace(f"y = {MS}.QuickGelu (x)"),
    f"{MS}.FastGelu": [
        Trace(f"y = {MS}.FastGelu (x)"),
        Trace(f"y = {MS}.FastGelu (x, w)", weights={"w": (4,)}),
    ],
    f"{MS}.BiasGelu": Trace(f"y = {MS}.BiasGelu (x, w)", weights={"w": (4,)}),
    f"{MS}.QuantizeLinear": [
        Trace(f"y = {MS}.QuantizeLinear (x, w, o)", weights={"w": np.float32(0.01), "o": NOUGHT}),
        Trace(
            f"y = {MS}.QuantizeLinear <axis = 1> (x, w, p)",
            weights={"w": np.full(3, 0.01, np.float32), "p": np.zeros(3, np.uint16)},
        ),
    ],
    f"{MS}.DequantizeLinear": [
        Trace(f"y = {MS}.DequantizeLinear (x, s, o)", dtype="uint8", weights=QUANTIZED),
        Trace(
            f"y = {MS}.DequantizeLinear <axis = 1> (x, w, p)",
            dtype="uint16",
            weights={"w": (3,), "p": np.zeros(3, np.uint16)},
        ),
    ],
    **{
        f"{MS}.{op}": [
            quantized(f"y = {MS}.{op} (x, s, o, z, s, o, s, o)", z=(3, 1)),
            quantized(f"y = {MS}.{op} (z, s, o, x, s, o, s, o)", z=(1, 4)),
            quantized(f"y = {MS}.{op} (x, s, o, w, s, o, s)", {"w": codes(3, 1)}),
            quantized(f"y = {MS}.{op} (w, s, o, x, s, o, s, o)", {"w": codes(4)}),
        ]
        for op in ("QLinearAdd", "QLinearMul")
    },
    f"{MS}.QLinearWhere": [
        quantized(
            f"y = {MS}.QLinearWhere (c, x, s, o, z, s, o, s, o)",
            {"c": np.indices((2, 3, 4)).sum(axis=0) % 2 == 0},
            z=(2, 3, 4),
        ),
    ],
    f"{MS}.QLinearConv": [
        quantized(
            f"y = {MS}.QLinearConv (x, s, o, w, s, o, s, o, b)",
            {"w": codes(5, 3, 2, 2), "b": codes(5, kind=np.int32)},
            x=IMAGES,
            born=(1,),
        ),
        quantized(
            f"y = {MS}.QLinearConv <channels_last = 1> (x, s, o, w, s, o, s, o, b)",
            {"w": codes(5, 3, 2, 2), "b": codes(5, kind=np.int32)},
            x=(2, 4, 5, 3),
            born=(3,),
        ),
        quantized(
            f"y = {MS}.QLinearConv <channels_last = 1, group = 2> (x, s, o, w, v, q, s, o)",
            {"w": codes(6, 2, 3, kind=np.int8), "v": np.ones(6, np.float32), "q": np.zeros(6, np.int8)},
            x=(2, 5, 4),
            born=(2,),
        ),
    ],
    f"{MS}.QGemm": [
        quantized(
            f"y = {MS}.QGemm (x, s, o, w, s, o, b, s, o)",
            {"w": codes(4, 5), "b": codes(5, kind=np.int32)},
            x=(3, 4),
            born=(1,),
        ),
        quantized(f"y = {MS}.QGemm <transA = 1> (x, s, o, w, s, o, , s, o)", {"w": codes(4, 5)}, x=(4, 3), born=(1,)),
        quantized(f"y = {MS}.QGemm <transB = 1> (x, s, o, w, s, o, , s, o)", {"w": codes(5, 4)}, x=(3, 4), born=(1,)),
        quantized(
            f"y = {MS}.QGemm <transA = 1, transB = 1> (x, s, o, w, v, q, b)",
            {"w": codes(5, 4, kind=np.int8), **PER_COLUMN, "b": codes(1, 5, kind=np.int32)},
            x=(4, 3),
            born=(1,),
        ),
        quantized(f"y = {MS}.QGemm (w, s, o, x, s, o, , s, o)", {"w": codes(5, 4)}, x=(4, 3), born=(0,)),
        quantized(
            f"y = {MS}.QGemm <transB = 1> (w, s, o, x, s, o, b, s, o)",
            {"w": codes(5, 4), "b": codes(1, 3, kind=np.int32)},
            x=(3, 4),
            born=(0,),
        ),
        quantized(f"y = {MS}.QGemm (x, s, o, z, s, o, , s, o)", x=(3, 4), z=(4, 5)),
    ],
    f"{MS}.QLinearConcat": [
        quantized(f"y = {MS}.QLinearConcat <axis = 1> (s, o, x, s, o, z, s, o)", z=(2, 5, 4)),
        quantized(f"y = {MS}.QLinearConcat <axis = -1> (s, o, z, s, o, x, s, o, x, s, o)", z=(2, 3, 1)),
        quantized(
            f"h = QLinearMatMul (x, s, o, w, s, o, s, o)\n g = QLinearMatMul (x, s, o, u, s, o, s, o)\n"
            f"y = {MS}.QLinearConcat <axis = 2> (s, o, h, s, o, g, s, o)",
            {"w": codes(4, 5), "u": codes(4, 2)},
            born=(2,),
            spreads=("u",),  # the later weight names the units of both
        ),
    ],
    f"{MS}.QLinearAveragePool": [
        quantized(f"y = {MS}.QLinearAveragePool <kernel_shape = [2, 2]> (x, s, o, t, o)", FINE, x=IMAGES),
        quantized(
            f"y = {MS}.QLinearAveragePool <kernel_shape = [2, 2], channels_last = 1> (x, s, o, t, o)",
            FINE,
            x=(2, 4, 5, 3),
        ),
    ],
    f"{MS}.QLinearGlobalAveragePool": [
        quantized(f"y = {MS}.QLinearGlobalAveragePool (x, s, o, t, o)", FINE, x=IMAGES),
        quantized(f"y = {MS}.QLinearGlobalAveragePool <channels_last = 1> (x, s, o, t, o)", FINE, x=(2, 4, 5, 3)),
    ],
    f"{MS}.FusedMatMul": [
        *(
            Trace(f"y = {MS}.FusedMatMul ({a}, {b})", x=x, z=z, weights=floats(weights), born=units)
            for a, b, x, z, weights, units in PRODUCTS
        ),
        Trace(f"y = {MS}.FusedMatMul (x, z)", z=(2, 4, 5)),
        Trace(f"y = {MS}.FusedMatMul <transA = 1> (x, w)", x=(2, 4, 3), weights={"w": (4, 5)}, born=(2,)),
        Trace(f"y = {MS}.FusedMatMul <transB = 1, alpha = 0.5> (x, w)", weights={"w": (5, 4)}, born=(2,)),
        Trace(f"y = {MS}.FusedMatMul <transA = 1, transB = 1> (x, w)", x=(4, 3), weights={"w": (5, 4)}, born=(1,)),
        Trace(f"y = {MS}.FusedMatMul <transA = 1> (w, x)", weights={"w": (3, 5)}, born=(1,)),
        Trace(f"y = {MS}.FusedMatMul <transB = 1> (w, x)", weights={"w": (5, 4)}, born=(1,)),
        Trace(f"y = {MS}.FusedMatMul <transA = 1> (x, w)", x=(4,), weights={"w": (4, 5)}, born=(0,)),
        Trace(f"y = {MS}.FusedMatMul <transB = 1> (x, w)", weights={"w": (4,)}),
        Trace(f"y = {MS}.FusedMatMul <transBatchA = 1> (x, z)", x=(3, 2, 4), z=(2, 4, 5)),
        Trace(f"y = {MS}.FusedMatMul <transBatchB = 1> (x, z)", x=(2, 3, 4), z=(4, 2, 5)),
    ],
    f"{MS}.NhwcMaxPool": Trace(
        f"y = {MS}.NhwcMaxPool <kernel_shape = [2, 2]> (x)", x=(2, 4, 5, 3), dtype="uint8", values=range(200)
    ),
    f"{MS}.MatMulNBits": [
        Trace(
            f"y = {MS}.MatMulNBits <K = 16, N = 5, bits = 4, block_size = 16> (x, w, c)",
            x=(*leading, 16),
            weights={"w": codes(5, 1, 8, most=100), "c": (5,)},
            born=(len(leading),),
        )
        for leading in ((3,), (2, 3))
    ]
    + [
        Trace(
            f"y = {MS}.MatMulNBits <K = 32, N = 5, bits = 4, block_size = 16> (x, w, c, p, , b)",
            x=(2, 3, 32),
            weights={"w": codes(5, 2, 8, most=100), "c": (5, 2), "p": codes(5, 1), "b": (5,)},
            born=(2,),
        )
    ],
    f"{MS}.MatMulIntegerToFloat": [
        *(
            Trace(
                f"y = {MS}.MatMulIntegerToFloat ({a}, {b}, s, s)",
                x=x,
                z=z,
                dtype="uint8",
                weights={"s": np.float32(0.5), **weights},
                born=units,
            )
            for a, b, x, z, weights, units in PRODUCTS
        ),
        Trace(
            f"y = {MS}.MatMulIntegerToFloat (x, w, s, v, o, q, b)",
            dtype="uint8",
            weights={**QUANTIZED, "w": codes(4, 5, kind=np.int8), **PER_COLUMN, "b": (5,)},
            born=(2,),
        ),
        Trace(f"y = {MS}.MatMulIntegerToFloat (x, z, s, s)", z=(2, 4, 5), dtype="uint8", weights=QUANTIZED),
    ],
    f"{MS}.DynamicQuantizeMatMul": [
        Trace(f"y = {MS}.DynamicQuantizeMatMul (x, w, s)", weights={**QUANTIZED, "w": codes(4, 5)}, born=(2,)),
        Trace(f"y = {MS}.DynamicQuantizeMatMul (x, w, s)", x=(4,), weights={**QUANTIZED, "w": codes(4, 5)}, born=(0,)),
        Trace(
            f"y = {MS}.DynamicQuantizeMatMul (x, w, s)", x=(3, 4), weights={**QUANTIZED, "w": codes(4, 5)}, born=(1,)
        ),
        Trace(
            f"y = {MS}.DynamicQuantizeMatMul (x, w, v, q, b)",
            weights={"w": codes(4, 5, kind=np.int8), **PER_COLUMN, "b": (5,)},
            born=(2,),
        ),
    ],
    **{
        f"{MS}.{op}": [
            Trace(f"y = {MS}.{op} (x, z, {scale})", z=(2, 3, 4), weights=SCALES),
            Trace(f"y = {MS}.{op} (x, z, {scale}, b)", z=(3, 4), weights=SCALES),
            Trace(
                f"y, , , t = {MS}.{op} (x, z, {scale}, b)",
                z=(3, 4),
                weights=SCALES,
                outputs=("t",),
                spreads=("g",),  # what scales the first result gives its name to the axis, whichever result it is
            ),
            Trace(f"y = {MS}.{op} (x, z, {scale})", z=(1, 3, 4), weights=SCALES),
            Trace(
                f"h = MatMul (x, w)\n y, , , t = {MS}.{op} (z, h, {scale})",
                z=(2, 3, 4),
                weights={**SCALES, "w": (4, 4)},
                outputs=("t",),
                born=(2,),
            ),
        ]
        for op, scale in (("SkipLayerNormalization", "g, e"), ("SkipSimplifiedLayerNormalization", "g"))
    },
    f"{MS}.BiasAdd": Trace(
        f"y = {MS}.BiasAdd (x, w, z)", z=(2, 3, 4), weights={"w": (4,)}, by="t = Add (x, w)\n y = Add (t, z)"
    ),
    f"{MS}.NhwcConv": [
        Trace(
            f"y = {MS}.NhwcConv <group = {group}> (x, w, b)",
            x=(2, 4, 5, 3),
            weights={"w": shape, "b": shape[:1]},
            born=(3,),
            by=f"{FIRST}\n c = Conv <group = {group}> (u, w, b)\n {LAST}",
        )
        for group, shape in ((1, (5, 3, 2, 2)), (3, (6, 1, 2, 2)))
    ],
    f"{MS}.QLinearReduceMean": [
        quantized(
            f"y = {MS}.QLinearReduceMean <axes = [{axes}], keepdims = {keep}> (x, s, o, t, o)",
            FINE,
            by=f"f = DequantizeLinear (x, s, o)\n g = ReduceMean <axes = [{axes}], keepdims = {keep}> (f)\n"
            "y = QuantizeLinear (g, t, o)",
            opset=17,
        )
        for axes, keep in (("1", 1), ("-1", 0), ("0, 1", 0))
    ],
    f"{BLOCKED}.Conv": [
        in_blocks(f"v = {BLOCKED}.Conv (u, w, b)", {"w": (16, 16, 2, 2), "b": (16,)}, born=(1,)),
        in_blocks(f"v = {BLOCKED}.Conv <group = 16> (u, w)", {"w": (16, 1, 2, 2)}, born=(1,)),
        in_blocks(
            f"e = {BLOCKED}.ReorderInput (z)\n v = {BLOCKED}.Conv <pads = [1, 1, 1, 1]> (u, w, b, e)",
            {"w": (16, 16, 3, 3), "b": (16,)},
            z=(2, 16, 4, 4),
            born=(1,),
        ),
        in_blocks(f"v = {BLOCKED}.Conv (u, w)", {"w": (16, 16, 2, 2)}, channels=11, born=(1,)),
    ],
    **{
        f"{BLOCKED}.{op}": in_blocks(f"v = {BLOCKED}.{op} <kernel_shape = [2, 2]> (u)")
        for op in ("AveragePool", "MaxPool")
    },
    **{f"{BLOCKED}.{op}": in_blocks(f"v = {BLOCKED}.{op} (u)") for op in ("GlobalAveragePool", "GlobalMaxPool")},
    f"{BLOCKED}.Upsample": in_blocks(f"v = {BLOCKED}.Upsample <scales = [1, 1, 2, 3]> (u)"),
    f"{BLOCKED}.ReorderInput": [
        in_blocks("v = Identity (u)"),
        Trace(
            f"u = {BLOCKED}.ReorderInput <channels_last = 1> (x)\n y = {BLOCKED}.ReorderOutput <channels = 16> (u)",
            x=(2, 3, 4, 16),
        ),
    ],
    f"{BLOCKED}.ReorderOutput": [
        Trace(
            f"u = {BLOCKED}.ReorderInput (x)\n y = {BLOCKED}.ReorderOutput <channels = 16, channels_last = 1> (u)",
            x=(2, 16, 3, 4),
        ),
        Trace(
            f"u = {BLOCKED}.ReorderInput <channels_last = 1> (x)\n"
            f"y = {BLOCKED}.ReorderOutput <channels = 16, channels_last = 1> (u)",
            x=(2, 3, 4, 16),
        ),
        Trace(
            f"u = {BLOCKED}.ReorderInput <channels_last = 1> (x)\n v = {BLOCKED}.Conv (u, w)\n"
            f"y = {BLOCKED}.ReorderOutput <channels = 11, channels_last = 1> (v)",
            x=(2, 3, 4, 16),
            weights={"w": (16, 16, 2, 2)},
            born=(3,),
        ),
    ],
}


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_where_the_table_says_an_axis_goes_its_entries_go(name: str, case: Trace) -> None:
    assert_entries_go_where_told(name, case)


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_each_unit_that_the_table_tells_of_belongs_to_its_own_entries_of_the_weight(name: str, case: Trace) -> None:
    assert_units_own_their_entries(name, case)


@pytest.mark.parametrize("last", [0, 1])
def test_channels_that_fill_a_block_are_no_units_once_they_are_left_behind(last: int) -> None:
    # The numbers of a weight in blocks lie in another order than its shape says, which is nothing to the table.
    body = f"u = {BLOCKED}.ReorderInput (x)\n v = {BLOCKED}.Conv (u, w)\n"
    body += f"h = {BLOCKED}.ReorderOutput <channels = 11, channels_last = {last}> (v)\n y = Relu (h)"
    model = graph("float[n, 16, 4, 4] x", "float[n, a, b, c] y", body, {"w": whole(16, 16, 2, 2)})
    model.opset_import.append(helper.make_opsetid(BLOCKED, 1))
    data, axis = {"x": whole(SAMPLES, 16, 4, 4)}, 3 if last else 1
    found = audit(model, data)
    assert [(s.unit_axis, s.units, s.assumed, s.weight) for s in found.sites] == [(axis, 11, False, "w")]
    assert_all_agree(found, oracle(model, one_by_one(data), {"y": axis}), exact=False)
