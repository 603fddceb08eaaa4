"""THE axis table: one row per operator saying what it does to axes. No engine names an operator; a row is enough.

A row has a *signature* in einops spirit, or a *move* from :mod:`relu_audit.operators.moves`. In a signature, terms
stand for the inputs (left of the arrow) and outputs; a letter is an axis, and the same letter is the same axis; ``(g
c)`` is one axis of two letters; ``~`` stands for the axes an operator leaves in place though it may change their
length; ``_`` for axes that end here; ``*`` for leading axes that broadcast, aligned on the right. ``+`` at the end of
the inputs repeats the last term for any number of further inputs; ``b`` is the batch of operators that fix its place;
``g`` counts the groups that the attribute ``group`` says; a weight's ``_`` beside letters are as many axes as the
data's ``~``. An operator that is not in the table freezes all axes behind it.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators) at opsets 7 to 24, ONNX-ML at 1 to 5.
"""

from __future__ import annotations

from collections.abc import Mapping

from relu_audit.operators import along, axes_contrib, images, letters, moves, sized
from relu_audit.operators.along import Along
from relu_audit.operators.axis_rule import AxisRule as AxisRule
from relu_audit.operators.bodies import BRANCHES, ITERATIONS, SLICES
from relu_audit.operators.families import ELEMENTWISE, ENTRY_BY_ENTRY, GLOBAL_POOL, POOL, REDUCE

_QCONV = "n (g c) ~, _, _, (g o) c _, _, _, _, _, (g o) -> n (g o) ~"
_RECURRENT = "t b k, d _ k, d q h, d _, b, d b _"
_ATTENTION = "b j s d, b _, b _ v, b _ _ _, b _, b _ v, b -> b j s v, b i u w, b i u v, b i s u"

_ALONG: Mapping[str, Along] = {
    "CumProd": along.given(1),
    "CumSum": along.given(1),
    "Hardmax": along.softmax,
    "LRN": along.axes(1),
    "LogSoftmax": along.softmax,
    "LpNormalization": along.named("axis", -1),
    "MeanVarianceNormalization": along.listed("axes", (0, 2, 3)),
    "Softmax": along.softmax,
}
"""Of one operand, in its shape: entries are made of their neighbours along some axis as well."""

_ML = "ai.onnx.ml"
_ONE_BY_ONE = ("Binarizer", "CategoryMapper", "LabelEncoder")
_REGRESSORS = ("LinearRegressor", "SVMRegressor", "TreeEnsemble", "TreeEnsembleRegressor")
_CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")

_ONNX: tuple[AxisRule, ...] = (
    AxisRule("Conv", "n (g c) ~, (g o) c _, (g o) -> n (g o) ~", mixes=along.windows(1)),
    AxisRule("ConvTranspose", "n (g c) ~, (g c) o _, (g o) -> n (g o) ~", mixes=along.windows(1)),
    AxisRule("DeformConv", "n (g c) ~, (g o) c _, n _, (g o), n _ -> n (g o) ~", mixes=along.image, since=19),
    AxisRule(
        "Gemm",
        "m k, k n, n -> m n",
        letters=letters.product_and_sum(2, "transA", "transB"),
        placed=along.rows_of_sum(2, "transA"),
    ),
    AxisRule("MatMul", "* m k, * k n -> * m n", letters=letters.vectors_allowed),
    AxisRule("ConvInteger", "n (g c) ~, (g o) c _, _, _ -> n (g o) ~", mixes=along.windows(1), since=10),
    AxisRule("MatMulInteger", "* m k, * k n, _, _ -> * m n", letters=letters.vectors_allowed, since=10),
    AxisRule("QLinearConv", _QCONV, mixes=along.windows(3), since=10),
    AxisRule("QLinearMatMul", "* m k, _, _, * k n, _, _, _, _ -> * m n", letters=letters.vectors_allowed, since=10),
    AxisRule("DynamicQuantizeLinear", "* -> *,,", couples=True, since=11),
    AxisRule("Einsum", "", letters=letters.by_equation, stretches=True, since=12),
    AxisRule(
        "LSTM",
        f"{_RECURRENT}, d b _, d _ -> t d b h, d b h, d b h",
        letters=letters.batch_first_by("layout"),
        mixes=along.time,
    ),
    *(
        AxisRule(op, f"{_RECURRENT} -> t d b h, d b h", letters=letters.batch_first_by("layout"), mixes=along.time)
        for op in ("GRU", "RNN")
    ),
    AxisRule("Attention", _ATTENTION, letters=letters.attended, placed=along.masked_tokens(3), since=23),
    AxisRule(
        "BatchNormalization",
        "n c ~, c, c, c, c -> n c ~",
        letters=letters.per_place,
        rigid=True,
        mixes=along.batch_statistics,
    ),
    AxisRule("InstanceNormalization", "n c ~, c, c -> n c ~", rigid=True, mixes=along.image),
    AxisRule("GroupNormalization", "n c ~, _, _ -> n c ~", rigid=True, mixes=along.channels_and_image, since=18),
    AxisRule("GroupNormalization", "n c ~, c, c -> n c ~", rigid=True, mixes=along.channels_and_image, since=21),
    AxisRule("LayerNormalization", "*, *, * -> *", mixes=along.behind("axis", -1), since=17),
    AxisRule("RMSNormalization", "*, * -> *", mixes=along.behind("axis", -1), since=23),
    AxisRule("SimplifiedLayerNormalization", "*, * -> *", mixes=along.behind("axis", -1)),
    *(AxisRule(op, "* -> *") for op in ENTRY_BY_ENTRY if op != "Dropout"),
    *(AxisRule(op, "* -> *", mixes=mixes) for op, mixes in _ALONG.items()),
    *(AxisRule(op, "* -> *", placed=along.last_two) for op in ("EyeLike", "Trilu")),
    AxisRule("Dropout", "*, _, _ -> *, *", placed=along.dropped),
    *(AxisRule(op, "* -> *", placed=along.everything) for op in ("Bernoulli", "RandomNormalLike", "RandomUniformLike")),
    AxisRule("Multinomial", "n k -> n s", placed=along.axes(0)),
    *(AxisRule(op, "*, *+ -> *") for op in ELEMENTWISE),
    *(AxisRule(op, "*, _+ -> *") for op in ("CastLike", "Clip")),
    *(
        AxisRule(op, "*, _+ -> *", letters=letters.per_axis, placed=along.scales)
        for op in ("DequantizeLinear", "QuantizeLinear")
    ),
    AxisRule("RotaryEmbedding", "*, _+ -> *", letters=letters.rotated(3, (1, 2)), mixes=along.last, since=23),
    *(
        AxisRule(op, "*, _, _ -> *", letters=letters.scattered, placed=along.scattered)
        for op in ("Scatter", "ScatterElements")
    ),
    AxisRule("ScatterND", "*, _, _ -> *", letters=letters.scattered_slices, placed=along.leading, since=11),
    AxisRule("TensorScatter", "*, _, _ -> *", letters=letters.written, placed=along.named("axis", -2), since=24),
    AxisRule("MaxPool", "n c ~ -> n c ~, n c ~", mixes=along.windows(), placed=along.found_places),
    *(AxisRule(op, "n c ~ -> n c ~", mixes=along.windows()) for op in POOL if op != "MaxPool"),
    *(AxisRule(op, move=images.global_pool, mixes=along.image) for op in GLOBAL_POOL),
    *(AxisRule(op, move=moves.reduce_axes, mixes=along.reduced) for op in REDUCE),
    *(AxisRule(op, move=moves.reduce_one, mixes=along.named("axis", 0)) for op in ("ArgMax", "ArgMin")),
    AxisRule("Transpose", move=moves.transpose),
    AxisRule("Reshape", move=moves.reshape),
    AxisRule("Flatten", move=moves.flatten),
    AxisRule("Squeeze", move=moves.squeeze),
    AxisRule("Unsqueeze", move=moves.unsqueeze),
    AxisRule("Concat", move=moves.concat, aligned=range(1 << 10)),
    AxisRule("Split", move=moves.take_along("axis", 0)),
    AxisRule("TopK", move=moves.ranked, mixes=along.named("axis", -1)),
    AxisRule("Slice", move=moves.take_axes),
    AxisRule("Gather", move=moves.gather, picks=moves.gathered),
    AxisRule("Pad", move=moves.pad),
    AxisRule("Expand", move=sized.expand),
    AxisRule("Tile", move=sized.tile),
    AxisRule("ConstantOfShape", move=sized.filled, since=9),
    AxisRule("Range", move=sized.count_up, since=11),
    AxisRule("NonZero", "_ -> r k", mixes=along.everything, since=9),
    AxisRule("OneHot", "", letters=letters.one_hot, since=9),
    AxisRule("If", body=BRANCHES),
    AxisRule("Loop", body=ITERATIONS),
    AxisRule("Scan", body=SLICES, since=9),
    AxisRule("Resize", move=images.spatial, mixes=along.resampled),
    AxisRule("Upsample", move=images.spatial, mixes=along.resampled),
    AxisRule("DepthToSpace", move=images.depth_to_space),
    AxisRule("SpaceToDepth", move=images.space_to_depth),
    AxisRule("GatherND", move=moves.gather_nd, picks=moves.gathered_nd, placed=along.picked_by_row, since=11),
    AxisRule("GatherElements", move=moves.gather_elements, aligned=(1,), since=11),
    AxisRule("ReverseSequence", letters=letters.reversed_rows, since=10),
    AxisRule("Compress", move=moves.compress, since=9),
    AxisRule("CenterCropPad", move=moves.resize, since=18),
    AxisRule("MaxUnpool", "n c _, _, _ -> n c ~", placed=along.axes(0, 1), since=9),
    AxisRule("GridSample", "n c _, n ~ _ -> n c ~", mixes=along.sampled, since=16),
    AxisRule("RoiAlign", "_ c _ _, r _, r -> r c h w", mixes=along.image, since=10),
    AxisRule("MaxRoiPool", "_ c _ _, r _ -> r c h w", mixes=along.image),
    *(AxisRule(op, "* -> *", domain=_ML) for op in _ONE_BY_ONE),
    AxisRule(
        "Imputer",
        "* -> *",
        placed=along.features("imputed_value_floats", "imputed_value_int64s"),
        domain=_ML,
    ),
    AxisRule("Scaler", "* -> *", placed=along.features("offset", "scale"), domain=_ML),
    AxisRule("Normalizer", "* -> *", mixes=along.last, domain=_ML),
    AxisRule("OneHotEncoder", "* -> * e", domain=_ML),
    AxisRule("FeatureVectorizer", "n _+ -> n e", letters=letters.vectors_are_rows, domain=_ML),
    AxisRule("ArrayFeatureExtractor", "* _, _ -> * e", domain=_ML),
    *(AxisRule(op, "n k -> n e", domain=_ML) for op in _REGRESSORS),
    *(AxisRule(op, "n k -> n, n e", domain=_ML) for op in _CLASSIFIERS),
)

TABLE: tuple[AxisRule, ...] = (*_ONNX, *axes_contrib.ROWS)

_ROWS: Mapping[tuple[str, str], tuple[AxisRule, ...]] = {
    key: tuple(sorted((row for row in TABLE if (row.domain, row.op) == key), key=lambda row: -row.since))
    for key in {(row.domain, row.op) for row in TABLE}
}


def rule(domain: str, op: str, opset: int) -> AxisRule | None:
    """The row that holds for an operator at an opset; None freezes its axes."""
    domain = "" if domain == "ai.onnx" else domain
    return next((row for row in _ROWS.get((domain, op), ()) if row.since <= opset), None)
