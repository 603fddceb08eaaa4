"""THE law table: what pruning must know of an operator beyond its axes. No engine names an operator; a row is enough.

The axis table says which axes of an operator are one and the same. A law says what the operator does with the entries
along them: whether it combines them, whether a zero wins over everything, where a constant can be folded, and how a cut
is written into the node. An operator without a law is pinned as a whole.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relu_audit.operators.families import ELEMENTWISE, ENTRY_BY_ENTRY, GLOBAL_POOL, REDUCE
from relu_audit.operators.moves import Operation
from relu_audit.surgery.operators import patches
from relu_audit.surgery.operators.patches import Patch, Restore

Joins = Callable[[Operation, int], set[int]]
"""The axes of the first operand, of the given rank, whose entries are computed from one another."""


@dataclass(frozen=True)
class Law:
    """What one operator does with entries.

    Attributes:
        signature: A signature in place of the axis table's, where pruning has to know more of parameters.
        private: Operands that have axes of their own, as a kernel has, which end in the operator.
        zero_points: For operands that hold codes the number of the operand that says which code is zero.
        joins: Axes of the first operand along which entries are combined or taken apart, so that none may go.
        moves: It only moves entries: where each goes is found by running it on indices.
        data: Which operands are moved; the others say how.
        like: Operator of ONNX that moves these operands in the same way and does nothing else, for one that computes
            their codes anew on the way.
        zeros: Axes of the first operand along which all entries count for one another, or for a result without them,
            but zeros change nothing: they may go.
        least: That holds only where the first operand is never negative, as the largest of its entries is then no less.
        absorbs: Operands of which a slice of zeros makes the same slice of the result zero. Codes: their zero points.
        divisor: Operand that must never be zero for that.
        own_zero: Result that holds the zero point of the codes in the first, where the operator finds it out itself.
        picks: Operands among which every entry of the result is picked, so that what is alike in all needs no choice.
        linear: The result is a constant weight times the first operand, plus a bias.
        bias: Number of the input that is added to the result, for linear operators that have one.
        bias_spreads: The bias may have any shape that broadcasts to the result's; else it has one entry per channel.
        bias_scale: Attribute that multiplies the bias.
        scale: Attribute that multiplies the product.
        groups: Attribute that counts groups.
        along: Attribute that names the axis of the first operand to which operands of rank one belong, and its default.
        only: Letters of the signature that may be cut; all of them where empty.
        counts: Results that say where something was found by its number among all entries.
        measures: For results that depend on the operand's shape alone: puts right what is measured after a cut.
        spreads: It repeats entries along axes of size one, as often as its patched target says.
        fills: It puts entries of its own beside those it moves, as many as are told.
        sums: Operands are added up, so that one of them may lack what another has.
        adds: The result is one operand plus the other, so that a constant one can take up more.
        windows: Positions of the result are windows that slide over those of the first operand.
        resamples: It makes axes longer or shorter by a factor.
        drops: A move that does without an operand which has nothing left along this axis.
        patch: Writes a cut into the node's attributes and integer operands.
        rewrites: The patch writes numbers in place of those an operand had, so that these must not be computed anew.
    """

    signature: str = ""
    private: tuple[int, ...] = ()
    zero_points: Mapping[int, int] = field(default_factory=dict[int, int])
    joins: Joins | None = None
    moves: bool = False
    data: range = range(1)
    like: str = ""
    zeros: Joins | None = None
    least: bool = False
    absorbs: range = range(0)
    divisor: int | None = None
    own_zero: int | None = None
    picks: tuple[int, ...] = ()
    linear: bool = False
    bias: int | None = None
    bias_spreads: bool = False
    bias_scale: str = ""
    scale: str = ""
    groups: str = ""
    along: tuple[str, int] | None = None
    only: str = ""
    counts: tuple[int, ...] = ()
    measures: Restore | None = None
    spreads: bool = False
    fills: bool = False
    sums: bool = False
    adds: bool = False
    windows: bool = False
    resamples: bool = False
    drops: Joins | None = None
    patch: Patch | None = None
    rewrites: bool = False


def axis_of(default: int) -> Joins:
    """The one axis of the attribute ``axis``."""

    def joins(op: Operation, rank: int) -> set[int]:
        return {op.integer("axis", default) % rank}

    return joins


def axis_to_end(default: int) -> Joins:
    """The axis of the attribute and all behind it."""

    def joins(op: Operation, rank: int) -> set[int]:
        return set(range(op.integer("axis", default) % rank, rank))

    return joins


def axes_listed(*default: int) -> Joins:
    """The axes of the attribute ``axes``."""

    def joins(op: Operation, rank: int) -> set[int]:
        return {axis % rank for axis in op.integers("axes") or default}

    return joins


def reduced(op: Operation, rank: int) -> set[int]:
    """The axes that a reduction takes away; none where they are not known."""
    axes = op.integers("axes", 1)
    if not axes and (op.given(1) or op.integer("noop_with_empty_axes", 0)):
        return set()
    return {axis % rank for axis in axes} if axes else set(range(rank))


def cumulated(op: Operation, rank: int) -> set[int]:
    """The axis that CumSum is told; all of them where it is not known."""
    axis = op.constants[1]
    return set(range(rank)) if axis is None else {int(axis.ravel()[0]) % rank}


def fixed(*axes: int) -> Joins:
    """Always the same axes."""

    def joins(op: Operation, rank: int) -> set[int]:
        del op
        return {axis % rank for axis in axes}

    return joins


def softmax_of_codes(op: Operation, rank: int) -> set[int]:
    """QLinearSoftmax says as an attribute which opset's Softmax it is: before 13, all axes from the given one on."""
    return axis_of(-1)(op, rank) if op.integer("opset", 1) >= SOFTMAX_BY_AXIS else axis_to_end(1)(op, rank)


def everything(op: Operation, rank: int) -> set[int]:
    """All axes."""
    del op
    return set(range(rank))


def when_blocked(op: Operation, rank: int) -> set[int]:
    """All axes of a tensor quantized in blocks; none otherwise."""
    return set(range(rank)) if op.integer("block_size", 0) else set()


SOFTMAX_BY_AXIS = 13
"""Opset since when Softmax is along one axis."""

PLAIN = Law()
ALL = range(1 << 10)
"""Every operand of an operator."""

_PARAMETERS = ("CastLike", "Clip", "BatchNormalization", "InstanceNormalization")
_PLACES = ("ArgMax", "ArgMin")
_SUMS = ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum")

_PLAIN = (*ENTRY_BY_ENTRY, *ELEMENTWISE, *_PARAMETERS, *GLOBAL_POOL, *REDUCE, *_PLACES)
"""What their rows of the axis table say is all there is to say, unless a law below says more."""

_MS = "com.microsoft"
_QUANTIZED = ("QLinearLeakyRelu", "QLinearSigmoid", "QLinearGlobalAveragePool", "QLinearWhere")
_QLINEAR_CONV = "n (g c) ~, _, _, (g o) c _, (g o), (g o), _, _, (g o) -> n (g o) ~"
_CONV_INTEGER = "n (g c) ~, (g o) c _, _, (g o) -> n (g o) ~"
_QLINEAR_MATMUL = "* m k, _, _, * k n, n, n, _, _ -> * m n"
_INTO_FLOATS = "* m k, * k n, _, n, _, n, n -> * m n"
_FROM_FLOATS = "* m k, * k n, n, n, n -> * m n"
_QGEMM = "m k, _, _, k n, n, n, m n, _, _ -> m n"

LAWS: Mapping[tuple[str, str], Law] = {
    **{("", op): PLAIN for op in _PLAIN},
    ("", "MaxPool"): Law(counts=(1,), windows=True),
    **{("", op): Law(windows=True) for op in ("AveragePool", "LpPool")},
    ("", "Add"): Law(sums=True, adds=True),
    **{("", op): Law(sums=True) for op in ("Sub", "Sum", "Mean")},
    ("", "Mul"): Law(absorbs=ALL),
    ("", "Where"): Law(picks=(1, 2)),
    ("", "Div"): Law(absorbs=ALL[:1], divisor=1),
    **{("", op): Law(zeros=reduced) for op in _SUMS},
    ("", "ReduceMax"): Law(zeros=reduced, least=True),
    **{("", op): Law(joins=axis_of(-1)) for op in ("Softmax", "LogSoftmax", "Hardmax")},
    **{
        ("", op): Law(signature="*, _+ -> *", joins=axis_to_end(-1), private=(1, 2))
        for op in ("LayerNormalization", "RMSNormalization")
    },
    ("", "LpNormalization"): Law(zeros=axis_of(-1), absorbs=ALL),
    ("", "MeanVarianceNormalization"): Law(joins=axes_listed(0, 2, 3)),
    ("", "GroupNormalization"): Law(signature="n c ~, _, _ -> n c ~", joins=everything, private=(1, 2)),
    ("", "LRN"): Law(joins=fixed(1)),
    ("", "Trilu"): Law(joins=fixed(-1, -2)),
    ("", "CumSum"): Law(joins=cumulated),
    ("", "TopK"): Law(joins=axis_of(-1)),
    ("", "QuantizeLinear"): Law(along=("axis", 1), joins=when_blocked),
    ("", "DynamicQuantizeLinear"): Law(zeros=everything, own_zero=2),
    ("", "DequantizeLinear"): Law(along=("axis", 1), joins=when_blocked),
    ("", "Conv"): Law(linear=True, bias=2, groups="group", private=(1,), windows=True),
    ("", "ConvTranspose"): Law(linear=True, bias=2, groups="group", private=(1,)),
    ("", "Gemm"): Law(
        signature="m k, k n, m n -> m n", linear=True, bias=2, scale="alpha", bias_scale="beta", bias_spreads=True
    ),
    ("", "MatMul"): Law(linear=True, absorbs=ALL),
    ("", "Einsum"): Law(absorbs=ALL),
    **{("", op): Law(only="k", private=tuple(range(8))) for op in ("LSTM", "GRU", "RNN")},
    ("", "ConvInteger"): Law(signature=_CONV_INTEGER, zero_points={0: 2, 1: 3}, groups="group", private=(1,)),
    ("", "MatMulInteger"): Law(signature="* m k, * k n, _, n -> * m n", zero_points={0: 2, 1: 3}),
    ("", "QLinearConv"): Law(signature=_QLINEAR_CONV, zero_points={0: 2, 3: 5}, groups="group", private=(3,)),
    ("", "QLinearMatMul"): Law(signature=_QLINEAR_MATMUL, zero_points={0: 2, 3: 5}),
    **{("", op): Law(moves=True) for op in ("Transpose", "Flatten", "Squeeze", "Unsqueeze", "Tile")},
    **{("", op): Law(moves=True, joins=fixed(2, 3)) for op in ("DepthToSpace", "SpaceToDepth")},
    ("", "Concat"): Law(moves=True, data=ALL, drops=axis_of(1), patch=patches.operands(1)),
    ("", "Reshape"): Law(moves=True, patch=patches.target(1, "shape")),
    ("", "Expand"): Law(moves=True, spreads=True, patch=patches.target(1, "shape")),
    ("", "ConstantOfShape"): Law(moves=True, data=ALL[:0], spreads=True, patch=patches.target(0, "")),
    ("", "GridSample"): Law(signature="n c _, n _ -> n c ~", absorbs=ALL[:1], private=(0, 1)),
    ("", "Resize"): Law(moves=True, resamples=True, patch=patches.target(3, "")),
    ("", "Upsample"): Law(moves=True, resamples=True),
    ("", "Split"): Law(moves=True, patch=patches.parts),
    ("", "Slice"): Law(moves=True, patch=patches.bounds, rewrites=True),
    ("", "Gather"): Law(moves=True, patch=patches.indices),
    ("", "Pad"): Law(moves=True, fills=True, patch=patches.pads, rewrites=True),
    ("", "Shape"): Law(measures=patches.restore_lengths),
    ("", "Size"): Law(measures=patches.restore_count),
    **{(_MS, op): PLAIN for op in ("Gelu", "QuickGelu", "FastGelu", "BiasGelu")},
    (_MS, "QLinearAdd"): Law(sums=True),
    **{(_MS, op): PLAIN for op in _QUANTIZED},
    (_MS, "QLinearMul"): Law(absorbs=ALL, zero_points={0: 2, 3: 5}),
    (_MS, "QGemm"): Law(signature=_QGEMM, zero_points={0: 2, 3: 5}),
    (_MS, "QLinearConcat"): Law(moves=True, data=ALL[2::3], like="Concat", drops=axis_of(1), patch=patches.operands(3)),
    (_MS, "MatMulIntegerToFloat"): Law(signature=_INTO_FLOATS, zero_points={0: 4, 1: 5}),
    (_MS, "DynamicQuantizeMatMul"): Law(signature=_FROM_FLOATS, zeros=everything, zero_points={1: 3}),
    (_MS, "QLinearSoftmax"): Law(joins=softmax_of_codes),
    (_MS, "QLinearAveragePool"): Law(windows=True),
}


EARLIER: Mapping[tuple[str, str], tuple[int, Law]] = {
    ("", op): (SOFTMAX_BY_AXIS, Law(joins=axis_to_end(1))) for op in ("Softmax", "LogSoftmax", "Hardmax")
}
"""Laws that held before the given opset."""


def law(domain: str, op: str, opset: int) -> Law | None:
    """The law of an operator at an opset; None pins it."""
    key = ("" if domain == "ai.onnx" else domain, op)
    since, earlier = EARLIER.get(key, (0, PLAIN))
    return earlier if opset < since else LAWS.get(key)
