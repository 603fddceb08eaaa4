"""Rows of the axis table for operators of onnxruntime's own: com.microsoft and its blocked image layout.

Sources: onnxruntime's contrib operator pages.
"""

from __future__ import annotations

from relu_audit.operators import along, images, letters, moves
from relu_audit.operators.axis_rule import AxisRule

_MS = "com.microsoft"
_BLOCKED = "com.microsoft.nchwc"

_BESIDE_PARAMETERS = ("Gelu", "QuickGelu", "QLinearLeakyRelu", "QLinearSigmoid")

_QCONV = "n (g c) ~, _, _, (g o) c _, _, _, _, _, (g o) -> n (g o) ~"
_QADD = "*, _, _, *, _, _, _, _ -> *"
_ATTENTION = "b s k, k _, _, b _, e b _, b _, _ -> b s v, f b j u w"
_HEADS = "b s d, b _, b t (j v), _, b _, b _, b _, b _, _, _ -> b s (j v), b j u w, b j u w, b j s u"
_GROUPED = "b s d, b _, b _, b _, b _, b, _, _, _, b _, b _, _+ -> b s v, b j u w, b j u w"

ROWS: tuple[AxisRule, ...] = (
    *(AxisRule(op, "*, _+ -> *", domain=_MS) for op in _BESIDE_PARAMETERS),
    AxisRule(
        "DynamicQuantizeLSTM",
        "t b k, d k _, d h q, d _, b, d b _, d b _, d _, _, _, _, _ -> t d b h, d b h, d b h",
        mixes=along.axes(0),
        couples=True,
        domain=_MS,
    ),
    AxisRule(
        "AttnLSTM",
        "t b k, d _, d q h, d _, b, d b _, d b _, d _, _, _, _, b _, b, _ -> t d b h, d b h, d b h",
        mixes=along.axes(0),
        domain=_MS,
    ),
    *(AxisRule(op, "*, *+ -> *", domain=_MS) for op in ("BiasAdd", "BiasGelu", "FastGelu")),
    AxisRule("BiasDropout", "*, *, *, _, _ -> *, *", placed=along.dropped_by(4), domain=_MS),
    *(
        AxisRule(op, "*, _+ -> *", letters=letters.per_axis, placed=along.scales, domain=_MS)
        for op in ("QuantizeLinear", "DequantizeLinear")
    ),
    AxisRule("QLinearSoftmax", "*, _+ -> *", mixes=along.quantized_softmax, domain=_MS),
    *(AxisRule(op, _QADD, domain=_MS) for op in ("QLinearAdd", "QLinearMul")),
    AxisRule(
        "QLinearConv", _QCONV, letters=letters.channels_last_by("channels_last"), mixes=along.windows(3), domain=_MS
    ),
    AxisRule(
        "QGemm",
        "m k, _, _, k n, _, _, n, _, _ -> m n",
        letters=letters.product_and_sum(6, "transA", "", "", "transB"),
        placed=along.rows_of_sum(6, "transA"),
        domain=_MS,
    ),
    AxisRule("QLinearWhere", "*, *, _, _, *, _, _, _, _ -> *", domain=_MS),
    AxisRule("QLinearConcat", move=moves.quantized_concat, aligned=range(2, 1 << 10, 3), domain=_MS),
    AxisRule(
        "QLinearAveragePool",
        "n c ~, _, _, _, _ -> n c ~",
        letters=letters.channels_last_by("channels_last"),
        mixes=along.windows(),
        domain=_MS,
    ),
    AxisRule("QLinearGlobalAveragePool", move=images.global_pool, mixes=along.image_first_or_last, domain=_MS),
    AxisRule("QLinearReduceMean", move=moves.reduce_axes, mixes=along.reduced, domain=_MS),
    *(
        AxisRule(op, "* m k, * k n -> * m n", letters=letters.transposed_operands, domain=_MS)
        for op in ("FusedMatMul", "TransposeMatMul")
    ),
    AxisRule("NhwcConv", "n ~ (g c), (g o) c _, (g o) -> n ~ (g o)", mixes=along.windows(1, last=True), domain=_MS),
    AxisRule("NhwcMaxPool", "n ~ c -> n ~ c", mixes=along.windows(last=True), domain=_MS),
    AxisRule(
        "ConvTransposeWithDynamicPads",
        "n (g c) ~, (g c) o _, _, (g o) -> n (g o) ~",
        mixes=along.image,
        domain=_MS,
    ),
    AxisRule("MatMulNBits", "* k, n _, _+ -> * n", domain=_MS),
    AxisRule("MatMulBnb4", "* k, _, _ -> * n", domain=_MS),
    AxisRule(
        "MatMulIntegerToFloat", "* m k, * k n, _, _, _, _, n -> * m n", letters=letters.vectors_allowed, domain=_MS
    ),
    AxisRule(
        "DynamicQuantizeMatMul",
        "* m k, * k n, _, _, n -> * m n",
        letters=letters.vectors_allowed,
        couples=True,
        domain=_MS,
    ),
    AxisRule("GatherBlockQuantized", letters=letters.looked_up, domain=_MS),
    AxisRule("SkipLayerNormalization", "*, *, *, *, * -> *, _, _, *", mixes=along.last, domain=_MS),
    AxisRule("SkipSimplifiedLayerNormalization", "*, *, *, * -> *, _, _, *", mixes=along.last, domain=_MS),
    AxisRule(
        "EmbedLayerNormalization",
        "b s, b s, _, _, _, h, h, b _, b s -> b s h, b, b s h",
        placed=along.unless_given(8, 1),
        domain=_MS,
    ),
    AxisRule(
        "RotaryEmbedding",
        "*, _+ -> *",
        letters=letters.rotated(1, (2, 3)),
        mixes=along.last,
        placed=along.counted_tokens(1, -2),
        domain=_MS,
    ),
    AxisRule(
        "Attention",
        _ATTENTION,
        letters=letters.masked(3),
        mixes=along.axes(1),
        placed=along.masked_samples(3),
        domain=_MS,
    ),
    AxisRule(
        "QAttention",
        "b s k, k _, _, _, _, b _, _, _, e b _ -> b s v, f b j u w",
        letters=letters.masked(5),
        mixes=along.axes(1),
        placed=along.masked_samples(5),
        domain=_MS,
    ),
    AxisRule(
        "MultiHeadAttention",
        _HEADS,
        letters=letters.heads_of_values,
        mixes=along.unless_given(1, 1),
        placed=along.masked_tokens(5, samples=4),
        domain=_MS,
    ),
    AxisRule("GroupQueryAttention", _GROUPED, mixes=along.unless_given(1, 1), placed=along.axes(1), domain=_MS),
    AxisRule("GridSample", "n c _, n ~ _ -> n c ~", mixes=along.sampled, domain=_MS),
    AxisRule("Trilu", "* -> *", placed=along.last_two, domain=_MS),
    AxisRule("Conv", "n (g c) ~, (g o) c _, (g o), n (g o) ~ -> n (g o) ~", mixes=along.windows(1), domain=_BLOCKED),
    *(AxisRule(op, "n c ~ -> n c ~", mixes=along.windows(), domain=_BLOCKED) for op in ("AveragePool", "MaxPool")),
    AxisRule("Upsample", "n c ~ -> n c ~", mixes=along.image, domain=_BLOCKED),
    *(
        AxisRule(op, move=images.global_pool, mixes=along.image, domain=_BLOCKED)
        for op in ("GlobalAveragePool", "GlobalMaxPool")
    ),
    AxisRule("ReorderInput", "n c ~ -> n c ~", letters=letters.blocked_from, domain=_BLOCKED),
    AxisRule("ReorderOutput", move=images.out_of_blocks, domain=_BLOCKED),
)
