"""Which values cannot be negative, whatever the input: what limits them to zero and above limits nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.graph.normalize import Network
from relu_audit.graph.postorder import settled


@dataclass(frozen=True)
class Sign:
    """What an operator makes of signs.

    Attributes:
        always: Its result is never negative.
        all_of: Inputs that all have to be free of negative numbers for the result to be.
        any_of: Inputs of which one that is free of negative numbers is enough.
        unless: A text attribute, and the value with which none of this holds.
    """

    always: bool = False
    all_of: Sequence[int] = ()
    any_of: Sequence[int] = ()
    unless: tuple[str, str] | None = None


_EVERY = range(1 << 31)
_ALWAYS = [
    "Abs",
    "Acos",
    "Exp",
    "HardSigmoid",
    "Hardmax",
    "OneHot",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "Relu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Shape",
    "Size",
    "NonZero",
    "DynamicQuantizeLinear",
]

_FIRST = [
    "AveragePool",
    "MaxPool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Split",
    "Slice",
    "Gather",
    "GatherElements",
    "Expand",
    "Tile",
    "Identity",
    "Compress",
    "Cast",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "Dropout",
    "DepthToSpace",
    "LRN",
    "SpaceToDepth",
    "Upsample",
    "Floor",
    "Ceil",
    "Round",
    "LeakyRelu",
    "PRelu",
    "QuantizeLinear",
    "DequantizeLinear",
]

_FIRST_CONTRIB = [
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearLeakyRelu",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearReduceMean",
]

_ALL = ["Add", "Mul", "Div", "Concat", "Min", "Sum", "Mean", "Pow"]

_MS = "com.microsoft"

TABLE: Mapping[tuple[str, str], Sign] = {
    **{("", op): Sign(always=True) for op in _ALWAYS},
    **{("", op): Sign(all_of=(0,)) for op in _FIRST},
    **{("", op): Sign(all_of=_EVERY) for op in _ALL},
    ("", "Clip"): Sign(any_of=(0, 1)),
    ("", "Pad"): Sign(all_of=(0, 2)),
    ("", "Where"): Sign(all_of=(1, 2)),
    ("", "Resize"): Sign(all_of=(0,), unless=("mode", "cubic")),
    ("", "Max"): Sign(any_of=_EVERY),
    **{(_MS, op): Sign(all_of=(0,)) for op in _FIRST_CONTRIB},
    **{(_MS, op): Sign(always=True) for op in ("QLinearSigmoid", "QLinearSoftmax")},
    **{(_MS, op): Sign(all_of=(0, 3)) for op in ("QLinearAdd", "QLinearMul")},
    (_MS, "QLinearConcat"): Sign(all_of=_EVERY[2::3]),
    (_MS, "QLinearWhere"): Sign(all_of=(1, 4)),
    (_MS, "NhwcMaxPool"): Sign(all_of=(0,)),
}

ZERO_POINTS: Mapping[tuple[str, str], int] = {
    ("", "QuantizeLinear"): 2,
    (_MS, "QuantizeLinear"): 2,
    ("", "QLinearConv"): 7,
    (_MS, "QLinearConv"): 7,
    ("", "QLinearMatMul"): 7,
    (_MS, "QGemm"): 8,
    (_MS, "QLinearAdd"): 7,
    (_MS, "QLinearMul"): 7,
    (_MS, "QLinearLeakyRelu"): 4,
    (_MS, "QLinearSigmoid"): 4,
    (_MS, "QLinearAveragePool"): 4,
    (_MS, "QLinearGlobalAveragePool"): 4,
    (_MS, "QLinearReduceMean"): 4,
    (_MS, "QLinearConcat"): 1,
    (_MS, "QLinearWhere"): 8,
}
"""Which input of an operator is the zero point of the codes it gives; the scale is the one before."""

_READ_AT: Mapping[tuple[str, str], int] = {("", "DequantizeLinear"): 2, (_MS, "DequantizeLinear"): 2}
"""The same for operators that read codes."""

_NOTHING = Sign()

Judge = Callable[[ir.Node], bool]


def key(node: ir.Node) -> tuple[str, str]:
    """Domain and type; the default domain is the empty string."""
    return ("" if node.domain == "ai.onnx" else node.domain, node.op_type)


def least_is_zero(network: Network, node: ir.Node, index: int) -> bool:
    """Whether the zero point at an input is the least code of its type, so that no code stands for less than zero."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        # Without one it is 0, and the codes are uint8 unless an attribute says otherwise (QuantizeLinear, opset 21).
        attribute = node.attributes.get("output_dtype")
        named = 0 if attribute is None else int(attribute.as_int())
        return named == 0 or ir.DataType(named).name.startswith("UINT")
    zero = network.constant(value)
    if zero is None or (value.dtype is None and zero.dtype.kind not in "iu"):
        return False
    name = (value.dtype or ir.DataType.from_numpy(zero.dtype)).name
    if not name.startswith(("INT", "UINT")):
        return False
    bits = int(name.removeprefix("U").removeprefix("INT"))
    return bool(np.all(zero == (0 if name.startswith("U") else -(1 << (bits - 1)))))


def never_negative(
    network: Network, value: ir.Value | None, rectified: Judge, known: dict[ir.Value, bool] | None = None
) -> bool:
    """Whether a value is free of negative numbers by the operators that made it.

    Args:
        network: The graph.
        value: The value, or the codes that stand for it.
        rectified: Whether a node is a rectifier in some spelling.
        known: What was found before, by the same judge of rectifiers, where it is kept.
    """
    if value is None:
        return False
    found = {} if known is None else known

    def decided(one: ir.Value) -> bool | None:
        """What the value itself and its node tell; None where it depends on the node's operands."""
        constant = network.constant(one)
        if constant is not None:
            return bool(np.all(constant >= 0))
        if one.dtype is ir.DataType.BOOL:
            return True
        node = one.producer()
        if node is None:
            return False
        row = TABLE.get(key(node), _NOTHING)
        if row.always or rectified(node) or _floored(network, node):
            return True
        return False if _is_excepted(row, node) or not (row.all_of or row.any_of) else None

    def needed(one: ir.Value) -> list[ir.Value]:
        told, node = decided(one), one.producer()
        if told is None and node is not None:
            return [operand for i in asked(TABLE[key(node)], node) if (operand := node.inputs[i]) is not None]
        found[one] = bool(told)
        return []

    def judged(one: ir.Value) -> bool:
        node = one.producer()
        row = _NOTHING if node is None else TABLE[key(node)]
        operands = () if node is None else node.inputs
        # What is left out is zero: the value of a padding, say.
        free = [True if operand is None else found.get(operand, False) for operand in operands]
        every = [free[i] for i in among(row.all_of, operands)]
        return (bool(every) and all(every)) or any(free[i] for i in among(row.any_of, operands))

    return settled(value, found, needed, judged)


def among(indices: Sequence[int], operands: Sequence[object]) -> list[int]:
    """Those of a row's indices that a node has operands for."""
    return [i for i in range(len(operands)) if i in indices]


def asked(row: Sign, node: ir.Node) -> list[int]:
    """The operands that a row asks of."""
    return [i for i in range(len(node.inputs)) if i in row.all_of or i in row.any_of]


def _is_excepted(row: Sign, node: ir.Node) -> bool:
    """Whether a node has the attribute with which its row does not hold."""
    if row.unless is None or row.unless[0] not in node.attributes:
        return False
    attribute = node.attributes[row.unless[0]]
    return attribute.type is ir.AttributeType.STRING and attribute.as_string() == row.unless[1]


def _floored(network: Network, node: ir.Node) -> bool:
    index = ZERO_POINTS.get(key(node), _READ_AT.get(key(node)))
    return index is not None and least_is_zero(network, node, index)
