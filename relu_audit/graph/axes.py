"""THE axis table: one row per operator saying what it does to axes. No engine names an operator; a row is enough.

A row has a *signature* in einops spirit, or a *move* from :mod:`relu_audit.graph.moves`. In a signature, terms stand
for the inputs (left of the arrow) and outputs; a letter is an axis, and the same letter is the same axis; ``(g c)`` is
one axis of two letters; ``~`` stands for the axes an operator leaves in place though it may change their length; ``_``
for axes that end here; ``*`` for leading axes that broadcast, aligned on the right. ``+`` at the end of the inputs
repeats the last term for any number of further inputs; ``b`` is the batch of operators that fix its place; ``g`` counts
the groups that the attribute ``group`` says; a weight's ``_`` beside letters are as many axes as the data's ``~``. An
operator that is not in the table freezes all axes behind it.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators) at opsets 7 to 24, ONNX-ML at 1 to 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relu_audit.graph import along, images, moves, sized
from relu_audit.graph.along import Along
from relu_audit.graph.bodies import BRANCHES, ITERATIONS, SLICES, Body
from relu_audit.graph.moves import Move, Operation
from relu_audit.graph.operators import ELEMENTWISE, ENTRY_BY_ENTRY, GLOBAL_POOL, POOL, REDUCE

Letters = Callable[[Operation, str], str]
Picks = Callable[[Operation], Mapping[int, Sequence[int]]]


def _none(op: Operation) -> Mapping[int, Sequence[int]]:
    del op
    return {}


@dataclass(frozen=True)
class AxisRule:
    """What one operator does to axes.

    Attributes:
        op: Operator type.
        signature: Axis letters of inputs and outputs; empty where ``move`` says it.
        letters: Rewrites the signature by the node's attributes and ranks.
        move: How data moves, for operators that only move it.
        body: How axes go through the node's bodies, for operators that have some.
        rigid: Whether ``~`` axes keep their length.
        mixes: Axes of the first operand along which kept entries are made of several entries.
        placed: Axes of the first operand along which an entry depends on its index.
        aligned: Operands beside the first that line up with the result axis by axis, for operators that move data.
        picks: Which axes of the first operand an operand of indices picks entries of, one for each number of an index.
        couples: Whether all entries share a range of codes, and nothing else.
        since: First opset in which the row holds.
        domain: Operator domain.
    """

    op: str
    signature: str = ""
    letters: Letters | None = None
    move: Move | None = None
    body: Body | None = None
    rigid: bool = False
    mixes: Along = along.nowhere
    placed: Along = along.nowhere
    aligned: Sequence[int] = ()
    picks: Picks = _none
    couples: bool = False
    since: int = 1
    domain: str = ""


def transposed_by(*flags: str) -> Letters:
    """Swap the two letters of the n-th input term where the n-th flag is set (Gemm)."""

    def letters(op: Operation, signature: str) -> str:
        left, right = signature.split("->")
        terms = left.split(",")
        for index, flag in enumerate(flags):
            if op.integer(flag, 0):
                terms[index] = " ".join(reversed(terms[index].split()))
        return f"{','.join(terms)}->{right}"

    return letters


def vectors_allowed(op: Operation, signature: str) -> str:
    """A rank-1 operand of MatMul has only the contracted letter, and the other one's letter leaves the output."""
    first, second = (op.inputs[i] for i in _operands(signature))
    if first is not None and len(first) == 1:
        signature = signature.replace("* m k", "k").replace("* m n", "* n")
    if second is not None and len(second) == 1:
        signature = signature.replace("* k n", "k").replace("m n", "m").replace("* n", "*")
    return signature


def _operands(signature: str) -> list[int]:
    """Which inputs are the matrices: the quantized forms have scales and zero points between them."""
    return [i for i, term in enumerate(signature.split("->")[0].split(",")) if "k" in term.split()]


def channels_last_by(flag: str) -> Letters:
    """An image with its channel axis at the end where the flag is set (layouts of onnxruntime's own operators)."""

    def letters(op: Operation, signature: str) -> str:
        if not op.integer(flag, 0):
            return signature
        return signature.replace("n c ~", "n ~ c").replace("n (g c) ~", "n ~ (g c)").replace("n (g o) ~", "n ~ (g o)")

    return letters


def blocked_from(op: Operation, signature: str) -> str:
    """ReorderInput takes either layout and gives blocks of channels, which count as channels first."""
    return signature.replace("n c ~ ->", "n ~ c ->") if op.integer("channels_last", 0) else signature


def batch_first_by(flag: str) -> Letters:
    """The layout attribute of the recurrent operators puts the batch before time and direction (opset 14)."""

    def letters(op: Operation, signature: str) -> str:
        if not op.integer(flag, 0):
            return signature
        return signature.replace("t b k", "b t k").replace("t d b h", "b t d h").replace("d b h", "b d h")

    return letters


def transposed_operands(op: Operation, signature: str) -> str:
    """FusedMatMul swaps an operand's last two axes by ``transA``, ``transB``, and batch and rows by ``transBatchA``."""
    if op.integer("transBatchA", 0) or op.integer("transBatchB", 0):
        raise ValueError("a batch that changes places with rows has no fixed signature")
    left, right = signature.split("->")
    first, second = left.split(",")
    first = "* k m" if op.integer("transA", 0) else first
    second = "* n k" if op.integer("transB", 0) else second
    return vectors_allowed(op, f"{first}, {second} ->{right}")


def by_equation(op: Operation, signature: str) -> str:
    """Einsum carries its own signature."""
    del signature
    attribute = op.node.attributes["equation"]
    equation = str(attribute.value if isinstance(attribute.value, str) else "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    if not arrow:
        seen = left.replace(",", "").replace("...", "")
        right = ("..." if "..." in left else "") + "".join(sorted(x for x in set(seen) if seen.count(x) == 1))

    def spaced(term: str) -> str:
        return " ".join("*" if part == "." else part for part in term.replace("...", "."))

    return f"{', '.join(map(spaced, left.split(',')))} -> {spaced(right)}"


_FIRST_ALONE = [
    "CastLike",
    "Clip",
    "DequantizeLinear",
    "QuantizeLinear",
    "RotaryEmbedding",
    "ScatterElements",
    "ScatterND",
    "TensorScatter",
]


_CONTRIB_UNARY = [
    "FastGelu",
    "Gelu",
    "QuickGelu",
    "BiasGelu",
    "BiasAdd",
    "BiasDropout",
    "QLinearLeakyRelu",
    "QLinearSigmoid",
    "QuantizeLinear",
    "DequantizeLinear",
]


_QCONV = "n (g c) ~, _, _, (g o) c _, _, _, _, _, (g o) -> n (g o) ~"

_QADD = "*, _, _, *, _, _, _, _ -> *"

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

_MS = "com.microsoft"
_BLOCKED = "com.microsoft.nchwc"

TABLE: tuple[AxisRule, ...] = (
    AxisRule("Conv", "n (g c) ~, (g o) c _, (g o) -> n (g o) ~", mixes=along.channels_and_image),
    AxisRule("ConvTranspose", "n (g c) ~, (g c) o _, (g o) -> n (g o) ~", mixes=along.channels_and_image),
    AxisRule("DeformConv", "n (g c) ~, (g o) c _, _, (g o) -> n (g o) ~", mixes=along.channels_and_image, since=19),
    AxisRule("Gemm", "m k, k n, n -> m n", letters=transposed_by("transA", "transB")),
    AxisRule("MatMul", "* m k, * k n -> * m n", letters=vectors_allowed),
    AxisRule("ConvInteger", "n (g c) ~, (g o) c _, _, _ -> n (g o) ~", mixes=along.channels_and_image, since=10),
    AxisRule("MatMulInteger", "* m k, * k n, _, _ -> * m n", letters=vectors_allowed, since=10),
    AxisRule("QLinearConv", _QCONV, mixes=along.channels_and_image, since=10),
    AxisRule("QLinearMatMul", "* m k, _, _, * k n, _, _, _, _ -> * m n", letters=vectors_allowed, since=10),
    AxisRule("DynamicQuantizeLinear", "* -> *,,", couples=True, since=11),
    AxisRule("Einsum", "", letters=by_equation, since=12),
    AxisRule(
        "LSTM",
        "t b k, d q k, d q h, _, b, d b h, d b h, _ -> t d b h, d b h, d b h",
        letters=batch_first_by("layout"),
        mixes=along.time,
    ),
    *(
        AxisRule(
            op, "t b k, d q k, d q h, _, b, d b h -> t d b h, d b h", letters=batch_first_by("layout"), mixes=along.time
        )
        for op in ("GRU", "RNN")
    ),
    AxisRule(
        "DynamicQuantizeLSTM",
        "t b k, d k q, d h q, _, b, d b h, d b h, _, _, _, _, _ -> t d b h, d b h, d b h",
        mixes=along.axes(0),
        couples=True,
        domain=_MS,
    ),
    AxisRule(
        "AttnLSTM",
        "t b k, d q _, d q h, _, b, d b h, d b h, _, _, _, _, b _, b, _ -> t d b h, d b h, d b h",
        mixes=along.axes(0),
        domain=_MS,
    ),
    AxisRule("BatchNormalization", "n c ~, c, c, c, c -> n c ~", rigid=True, mixes=along.batch_statistics),
    AxisRule("InstanceNormalization", "n c ~, c, c -> n c ~", rigid=True, mixes=along.image),
    AxisRule("GroupNormalization", "n c ~, _, _ -> n c ~", rigid=True, mixes=along.channels_and_image, since=18),
    AxisRule("GroupNormalization", "n c ~, c, c -> n c ~", rigid=True, mixes=along.channels_and_image, since=21),
    AxisRule("LayerNormalization", "*, *, * -> *", mixes=along.behind("axis", -1), since=17),
    AxisRule("RMSNormalization", "*, * -> *", mixes=along.behind("axis", -1), since=23),
    *(AxisRule(op, "* -> *") for op in ENTRY_BY_ENTRY),
    *(AxisRule(op, "* -> *", mixes=mixes) for op, mixes in _ALONG.items()),
    AxisRule("Trilu", "* -> *", placed=along.last_two),
    *(AxisRule(op, "*, *+ -> *") for op in ELEMENTWISE),
    *(AxisRule(op, "*, _+ -> *") for op in _FIRST_ALONE),
    AxisRule("SimplifiedLayerNormalization", "*, _+ -> *", mixes=along.behind("axis", -1)),
    *(AxisRule(op, "n c ~ -> n c ~, n c ~", mixes=along.image) for op in POOL),
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
    AxisRule("ConstantOfShape", move=sized.filled, since=9),
    AxisRule("Range", move=sized.count_up, since=11),
    AxisRule("Tile", move=moves.resize),
    AxisRule("If", body=BRANCHES),
    AxisRule("Loop", body=ITERATIONS),
    AxisRule("Scan", body=SLICES, since=9),
    AxisRule("Resize", move=images.spatial, mixes=along.resampled),
    AxisRule("Upsample", move=images.spatial, mixes=along.resampled),
    AxisRule("DepthToSpace", move=images.depth_to_space),
    AxisRule("SpaceToDepth", move=images.space_to_depth),
    AxisRule("GatherND", move=moves.gather_nd, picks=moves.gathered_nd, since=11),
    AxisRule("GatherElements", move=moves.gather_elements, aligned=(1,), since=11),
    AxisRule("ReverseSequence", move=moves.take_along("time_axis", 0), since=10),
    AxisRule("Compress", move=moves.compress, since=9),
    AxisRule("CenterCropPad", move=moves.resize, since=18),
    AxisRule("MaxUnpool", "n c ~, _, _ -> n c ~", since=9),
    AxisRule("GridSample", "n c _, n ~ _ -> n c ~", mixes=along.image, since=16),
    AxisRule("RoiAlign", move=images.regions, since=10),
    AxisRule("MaxRoiPool", move=images.regions),
    *(AxisRule(op, "n k -> n k", domain="ai.onnx.ml") for op in ("Scaler", "Imputer", "Binarizer")),
    AxisRule("Normalizer", "n k -> n k", mixes=along.axes(1), domain="ai.onnx.ml"),
    *(AxisRule(op, "*, _+ -> *", domain=_MS) for op in _CONTRIB_UNARY),
    AxisRule("QLinearSoftmax", "*, _+ -> *", mixes=along.quantized_softmax, domain=_MS),
    *(AxisRule(op, _QADD, domain=_MS) for op in ("QLinearAdd", "QLinearMul")),
    AxisRule(
        "QLinearConv", _QCONV, letters=channels_last_by("channels_last"), mixes=along.channels_and_image, domain=_MS
    ),
    AxisRule(
        "QGemm", "m k, _, _, k n, _, _, n, _, _ -> m n", letters=transposed_by("transA", "", "", "transB"), domain=_MS
    ),
    AxisRule("QLinearWhere", "*, *, _, _, *, _, _, _, _ -> *", domain=_MS),
    AxisRule("QLinearConcat", move=moves.quantized_concat, aligned=range(5, 1 << 10, 3), domain=_MS),
    AxisRule(
        "QLinearAveragePool",
        "n c ~, _, _, _, _ -> n c ~",
        letters=channels_last_by("channels_last"),
        mixes=along.channels_first_or_last,
        domain=_MS,
    ),
    AxisRule("QLinearGlobalAveragePool", move=images.global_pool, mixes=along.channels_first_or_last, domain=_MS),
    AxisRule("QLinearReduceMean", move=moves.reduce_axes, mixes=along.reduced, domain=_MS),
    AxisRule("FusedMatMul", "* m k, * k n -> * m n", letters=transposed_operands, domain=_MS),
    AxisRule("NhwcConv", "n ~ (g c), (g o) c _, (g o) -> n ~ (g o)", mixes=along.channels_and_image, domain=_MS),
    AxisRule("NhwcMaxPool", "n ~ c -> n ~ c", mixes=along.channels_and_image, domain=_MS),
    AxisRule("MatMulNBits", "* k, n _, _+ -> * n", domain=_MS),
    AxisRule("MatMulIntegerToFloat", "* m k, * k n, _, _, _, _, n -> * m n", letters=vectors_allowed, domain=_MS),
    AxisRule(
        "DynamicQuantizeMatMul", "* m k, * k n, _, _, n -> * m n", letters=vectors_allowed, couples=True, domain=_MS
    ),
    AxisRule("SkipLayerNormalization", "*, *, *, *, * -> *, _, _, *", mixes=along.last, domain=_MS),
    AxisRule("SkipSimplifiedLayerNormalization", "*, *, *, * -> *, _, _, *", mixes=along.last, domain=_MS),
    AxisRule(
        "Conv", "n (g c) ~, (g o) c _, (g o), n (g o) ~ -> n (g o) ~", mixes=along.channels_and_image, domain=_BLOCKED
    ),
    *(
        AxisRule(op, "n c ~ -> n c ~", mixes=along.image, domain=_BLOCKED)
        for op in ("AveragePool", "MaxPool", "Upsample")
    ),
    *(
        AxisRule(op, move=images.global_pool, mixes=along.image, domain=_BLOCKED)
        for op in ("GlobalAveragePool", "GlobalMaxPool")
    ),
    AxisRule("ReorderInput", "n c ~ -> n c ~", letters=blocked_from, domain=_BLOCKED),
    AxisRule("ReorderOutput", move=images.out_of_blocks, domain=_BLOCKED),
)

_ROWS: Mapping[tuple[str, str], tuple[AxisRule, ...]] = {
    key: tuple(sorted((row for row in TABLE if (row.domain, row.op) == key), key=lambda row: -row.since))
    for key in {(row.domain, row.op) for row in TABLE}
}


def rule(domain: str, op: str, opset: int) -> AxisRule | None:
    """The row that holds for an operator at an opset; None freezes its axes."""
    domain = "" if domain == "ai.onnx" else domain
    return next((row for row in _ROWS.get((domain, op), ()) if row.since <= opset), None)
