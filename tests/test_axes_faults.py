"""Rows of the axis table that are wrong in one thing: the cases must find each of them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from relu_audit.operators import along, images, letters, moves
from relu_audit.operators.axes import TABLE
from relu_audit.operators.layout import Layout
from relu_audit.operators.moves import Operation
from tests.test_axes_alone import LET_PASS, TRIED, nodes
from tests.traces import key

MS = "com.microsoft"
NOWHERE, EVERYWHERE = along.nowhere, along.everything


def untouched(op: Operation) -> list[Layout | None]:
    """A move that moves nothing."""
    return [op.inputs[0]] * len(op.shapes)


def first_axes_kept(op: Operation) -> list[Layout | None]:
    """Batch and channels go through, whatever the sizes say."""
    (layout,), source = images.spatial(op), op.inputs[0]
    return [None if layout is None or source is None else (*source[:2], *layout[2:])]


def nothing_picked(op: Operation) -> Mapping[int, range]:
    del op
    return {}


MIXES: Mapping[str, list[along.Along]] = {
    "ArgMax": [NOWHERE, along.named("axis", -1)],
    "Attention": [along.axes(2)],
    "AveragePool": [NOWHERE, along.image, EVERYWHERE],
    "BatchNormalization": [NOWHERE, along.image, along.axes(0, 2, 3)],
    "Conv": [NOWHERE, along.image, along.windows(2)],
    "ConvInteger": [NOWHERE],
    "ConvTranspose": [NOWHERE],
    "CumProd": [NOWHERE],
    "CumSum": [NOWHERE, along.axes(0), EVERYWHERE],
    "DeformConv": [NOWHERE, along.windows(1)],
    "Gather": [along.axes(0)],
    "GlobalAveragePool": [NOWHERE],
    "GridSample": [NOWHERE, along.image],
    "GroupNormalization": [NOWHERE, along.image],
    "GRU": [NOWHERE, along.axes(1)],
    "Hardmax": [along.named("axis", -1)],
    "InstanceNormalization": [NOWHERE, along.channels_and_image],
    "LRN": [NOWHERE, along.image],
    "LayerNormalization": [NOWHERE, along.last, along.behind("axis", -2), along.named("axis", -1)],
    "LogSoftmax": [along.behind("axis", 1)],
    "LpNormalization": [NOWHERE, along.named("axis", 1)],
    "LpPool": [NOWHERE],
    "LSTM": [NOWHERE, along.axes(0), along.axes(0, 1)],
    "MaxPool": [NOWHERE, along.image],
    "MeanVarianceNormalization": [NOWHERE, along.image, along.listed("axes", (1, 2, 3))],
    "Mul": [EVERYWHERE],
    "QLinearConv": [NOWHERE, along.windows(1)],
    "RMSNormalization": [NOWHERE, along.last],
    "RNN": [NOWHERE],
    "ReduceMax": [NOWHERE],
    "ReduceMean": [EVERYWHERE],
    "Relu": [EVERYWHERE],
    "Resize": [NOWHERE, along.image, EVERYWHERE],
    "RoiAlign": [NOWHERE],
    "RotaryEmbedding": [NOWHERE],
    "SimplifiedLayerNormalization": [NOWHERE, along.last],
    "Softmax": [NOWHERE, along.named("axis", -1), along.behind("axis", 1), along.last],
    "TopK": [NOWHERE, along.named("axis", 0)],
    "Upsample": [NOWHERE],
    "ai.onnx.ml.Normalizer": [NOWHERE],
    f"{MS}.Attention": [NOWHERE],
    f"{MS}.GroupQueryAttention": [NOWHERE],
    f"{MS}.MultiHeadAttention": [NOWHERE, along.axes(1)],
    f"{MS}.NhwcConv": [NOWHERE, along.channels_and_image, along.image],
    f"{MS}.NhwcMaxPool": [NOWHERE, along.windows(), along.channels_and_image],
    f"{MS}.QAttention": [NOWHERE],
    f"{MS}.QLinearAveragePool": [NOWHERE, along.image],
    f"{MS}.QLinearConv": [NOWHERE, along.image],
    f"{MS}.QLinearGlobalAveragePool": [NOWHERE, along.image],
    f"{MS}.QLinearReduceMean": [NOWHERE],
    f"{MS}.QLinearSoftmax": [NOWHERE, along.softmax],
    f"{MS}.RotaryEmbedding": [NOWHERE],
    f"{MS}.SkipLayerNormalization": [NOWHERE],
    f"{MS}.nchwc.Conv": [NOWHERE],
    f"{MS}.nchwc.MaxPool": [NOWHERE],
    f"{MS}.nchwc.Upsample": [NOWHERE],
}

PLACED: Mapping[str, list[along.Along]] = {
    "Add": [EVERYWHERE],
    "Attention": [NOWHERE, EVERYWHERE, along.masked_tokens()],
    "Bernoulli": [NOWHERE],
    "Conv": [along.axes(0)],
    "DequantizeLinear": [NOWHERE, EVERYWHERE],
    "Dropout": [NOWHERE, EVERYWHERE],
    "EyeLike": [NOWHERE],
    "Gemm": [NOWHERE, along.axes(0)],
    "GatherND": [NOWHERE, along.axes(0)],
    "MaxPool": [NOWHERE, along.axes(0, 1)],
    "MaxUnpool": [NOWHERE],
    "Multinomial": [NOWHERE],
    "QuantizeLinear": [NOWHERE],
    "RandomNormalLike": [NOWHERE],
    "RandomUniformLike": [NOWHERE],
    "ScatterElements": [NOWHERE, along.named("axis", 0)],
    "ScatterND": [NOWHERE, along.axes(0)],
    "TensorScatter": [NOWHERE, EVERYWHERE],
    "Trilu": [NOWHERE, EVERYWHERE, along.last],
    f"{MS}.Attention": [NOWHERE],
    f"{MS}.EmbedLayerNormalization": [NOWHERE, along.axes(1)],
    f"{MS}.GroupQueryAttention": [NOWHERE],
    f"{MS}.MultiHeadAttention": [NOWHERE, along.masked_tokens(), along.masked_tokens(5)],
    f"{MS}.QuantizeLinear": [EVERYWHERE],
    f"{MS}.RotaryEmbedding": [NOWHERE],
    f"{MS}.Trilu": [NOWHERE],
}

OTHERS: Mapping[str, list[dict[str, Any]]] = {
    "BatchNormalization": [{"letters": None}],
    "Compress": [{"move": untouched}],
    "Concat": [{"aligned": ()}, {"aligned": (2,)}, {"move": untouched}],
    "DeformConv": [{"signature": "n (g c) ~, (g o) c _, _, (g o), n _ -> n (g o) ~"}],
    "DequantizeLinear": [{"letters": None}],
    "DynamicQuantizeLinear": [{"couples": False}],
    "Einsum": [{"letters": lambda op, signature: letters.by_equation(op, signature).replace("c", "x", 1)}],
    "Expand": [{"move": untouched}],
    "Gather": [{"picks": nothing_picked}],
    "GatherElements": [{"aligned": ()}],
    "GatherND": [{"picks": nothing_picked}],
    "Gemm": [{"letters": letters.transposed_by("transA", "transB")}, {"letters": None}],
    "GridSample": [{"signature": "_ c _, n ~ _ -> n c ~"}, {"signature": "n c ~, n ~ _ -> n c ~"}],
    "LSTM": [
        {"signature": "t b k, d _ k, d q h, d _, b, d b h, d b h, d _ -> t d b h, d b h, d b h"},
        {"letters": None},
        {"signature": "t b k, d _ k, d q h, d _, _, d b _, d b _, d _ -> t d b h, d b h, d b h"},
    ],
    "MatMul": [{"signature": "* m k, * n k -> * m n"}, {"letters": None}],
    "OneHot": [{"letters": None, "signature": "*, _, _ -> * d"}],
    "Pad": [{"move": untouched}],
    "QuantizeLinear": [{"letters": None}, {"couples": True}],
    "ReduceSum": [{"move": moves.reduce_one}],
    "Resize": [{"move": first_axes_kept}, {"move": untouched}],
    "MaxUnpool": [{"signature": "n c ~, _, _ -> n c ~"}],
    "ReverseSequence": [
        {"letters": None, "signature": "*, _ -> *"},
        {"letters": lambda op, signature: letters.reversed_rows(op, signature).replace("_", "z")},
    ],
    "RoiAlign": [{"signature": "n c _ _, r _, r -> n c h w"}, {"signature": "_ c _ _, r _, _ -> r c h w"}],
    "ScatterElements": [{"letters": None}, {"letters": None, "signature": "*, *, * -> *"}],
    "ScatterND": [{"letters": None}],
    "Slice": [{"move": untouched}],
    "Split": [{"move": untouched}],
    "Tile": [{"move": untouched}],
    "TopK": [{"move": untouched, "mixes": NOWHERE}],
    "Transpose": [{"move": untouched}],
    "Upsample": [{"move": first_axes_kept}],
    f"{MS}.BiasGelu": [{"signature": "*, _ -> *"}],
    f"{MS}.EmbedLayerNormalization": [{"signature": "b s, b s, _ h, _, _, h, h, b _, b s -> b s h, b, b s h"}],
    f"{MS}.FusedMatMul": [{"letters": letters.vectors_allowed}],
    f"{MS}.MultiHeadAttention": [{"letters": letters.masked(4)}],
    f"{MS}.QLinearAdd": [{"signature": "*, _, _, _, _, _, _, _ -> *"}],
    f"{MS}.QLinearConcat": [{"aligned": range(5, 99, 3)}],
    "ai.onnx.ml.ArrayFeatureExtractor": [{"signature": "*, _ -> *"}],
    "ai.onnx.ml.TreeEnsembleRegressor": [{"signature": "n k -> n k"}],
}

FAULTS: dict[str, list[dict[str, Any]]] = {
    name: [
        *({"mixes": found} for found in MIXES.get(name, ())),
        *({"placed": found} for found in PLACED.get(name, ())),
        *OTHERS.get(name, ()),
    ]
    for name in sorted({*MIXES, *PLACED, *OTHERS})
}


def is_found_out(name: str, changes: Mapping[str, Any]) -> bool:
    for one in (one for other, index in TRIED if other == name for one in nodes(name, index)):
        assert one.row is not None
        if any((name, c.law, c.operand) not in LET_PASS for c in one.against(replace(one.row, **changes))):
            return True
    return False


@pytest.mark.parametrize(("name", "index"), [(name, i) for name, faults in FAULTS.items() for i in range(len(faults))])
def test_a_wrong_row_is_found_out(name: str, index: int) -> None:
    assert name in {key(row) for row in TABLE}
    assert is_found_out(name, FAULTS[name][index]), f"nothing contradicts {FAULTS[name][index]}"
