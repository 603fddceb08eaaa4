"""THE axis table: one row per operator saying what it does to axes. No engine names an operator; a row is enough.

A row has a *signature* in einops spirit, or a *move* from :mod:`relu_audit.graph.moves`. In a signature, terms stand
for the inputs (left of the arrow) and outputs; a letter is an axis, and the same letter is the same axis; ``(g c)`` is
one axis of two letters; ``~`` stands for the axes an operator leaves in place though it may change their length; ``_``
for axes that end here; ``*`` for leading axes that broadcast, aligned on the right. ``+`` at the end of the inputs
repeats the last term for any number of further inputs. An operator that is not in the table freezes all axes behind it.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators) at opsets 7 to 24, ONNX-ML at 1 to 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relu_audit.graph import moves
from relu_audit.graph.bodies import BRANCHES, ITERATIONS, SLICES, Body
from relu_audit.graph.moves import Move, Operation

Letters = Callable[[Operation, str], str]


@dataclass(frozen=True)
class AxisRule:
    """What one operator does to axes.

    Attributes:
        op: Operator type.
        signature: Axis letters of inputs and outputs; empty where ``move`` says it.
        letters: Rewrites the signature by the node's attributes and ranks.
        move: How data moves, for operators that only move it.
        body: How axes go through the node's bodies, for operators that have some.
        since: First opset in which the row holds.
        domain: Operator domain.
    """

    op: str
    signature: str = ""
    letters: Letters | None = None
    move: Move | None = None
    body: Body | None = None
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
    first, second = op.inputs
    if first is not None and len(first) == 1:
        signature = signature.replace("* m k", "k").replace("* m n", "* n")
    if second is not None and len(second) == 1:
        signature = signature.replace("* k n", "k").replace("m n", "m").replace("* n", "*")
    return signature


def batch_first_by(flag: str) -> Letters:
    """The layout attribute of the recurrent operators puts the batch before time and direction (opset 14)."""

    def letters(op: Operation, signature: str) -> str:
        if not op.integer(flag, 0):
            return signature
        return signature.replace("t n k", "n t k").replace("t d n h", "n t d h").replace("d n h", "n d h")

    return letters


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


_UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "IsInf",
    "IsNaN",
    "LRN",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
    "CumSum",
]

_ELEMENTWISE = [
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
]

_FIRST_ALONE = ["CastLike", "Clip", "DequantizeLinear", "LayerNormalization", "QuantizeLinear", "RMSNormalization"]

_REDUCE = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
]

_POOL = ["AveragePool", "LpPool", "MaxPool"]
_GLOBAL_POOL = ["GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"]

TABLE: tuple[AxisRule, ...] = (
    AxisRule("Conv", "n (g c) ~, (g o) c _, (g o) -> n (g o) ~"),
    AxisRule("ConvTranspose", "n (g c) ~, (g c) o _, (g o) -> n (g o) ~"),
    AxisRule("DeformConv", "n (g c) ~, (g o) c _, _, (g o) -> n (g o) ~", since=19),
    AxisRule("Gemm", "m k, k n, n -> m n", letters=transposed_by("transA", "transB")),
    AxisRule("MatMul", "* m k, * k n -> * m n", letters=vectors_allowed),
    AxisRule("Einsum", "", letters=by_equation, since=12),
    AxisRule("LSTM", "t n k, d q k, d q h, _, n, _, _, _ -> t d n h, d n h, d n h", letters=batch_first_by("layout")),
    AxisRule("GRU", "t n k, d q k, d q h, _, n, _ -> t d n h, d n h", letters=batch_first_by("layout")),
    AxisRule("RNN", "t n k, d q k, d q h, _, n, _ -> t d n h, d n h", letters=batch_first_by("layout")),
    AxisRule("BatchNormalization", "n c ~, c, c, c, c -> n c ~"),
    AxisRule("InstanceNormalization", "n c ~, c, c -> n c ~"),
    AxisRule("GroupNormalization", "n c ~, _, _ -> n c ~", since=18),
    *(AxisRule(op, "* -> *") for op in _UNARY),
    *(AxisRule(op, "*, *+ -> *") for op in _ELEMENTWISE),
    *(AxisRule(op, "*, _+ -> *") for op in _FIRST_ALONE),
    *(AxisRule(op, "n c ~ -> n c ~, n c ~") for op in _POOL),
    *(AxisRule(op, move=moves.global_pool) for op in _GLOBAL_POOL),
    *(AxisRule(op, move=moves.reduce_axes) for op in _REDUCE),
    *(AxisRule(op, move=moves.reduce_one) for op in ("ArgMax", "ArgMin")),
    AxisRule("Transpose", move=moves.transpose),
    AxisRule("Reshape", move=moves.reshape),
    AxisRule("Flatten", move=moves.flatten),
    AxisRule("Squeeze", move=moves.squeeze),
    AxisRule("Unsqueeze", move=moves.unsqueeze),
    AxisRule("Concat", move=moves.concat),
    AxisRule("Split", move=moves.take_along("axis", 0)),
    AxisRule("TopK", move=moves.take_along("axis", -1)),
    AxisRule("Slice", move=moves.take_axes),
    AxisRule("Gather", move=moves.gather),
    AxisRule("Pad", move=moves.pad),
    AxisRule("Expand", move=moves.expand),
    AxisRule("Tile", move=moves.resize),
    AxisRule("If", body=BRANCHES),
    AxisRule("Loop", body=ITERATIONS),
    AxisRule("Scan", body=SLICES, since=9),
    AxisRule("Resize", move=moves.spatial),
    AxisRule("Upsample", move=moves.spatial),
    *(AxisRule(op, "n k -> n k", domain="ai.onnx.ml") for op in ("Scaler", "Normalizer", "Imputer", "Binarizer")),
)

_ROWS: Mapping[tuple[str, str], tuple[AxisRule, ...]] = {
    key: tuple(sorted((row for row in TABLE if (row.domain, row.op) == key), key=lambda row: -row.since))
    for key in {(row.domain, row.op) for row in TABLE}
}


def rule(domain: str, op: str, opset: int) -> AxisRule | None:
    """The row that holds for an operator at an opset; None freezes its axes."""
    domain = "" if domain == "ai.onnx" else domain
    return next((row for row in _ROWS.get((domain, op), ()) if row.since <= opset), None)
