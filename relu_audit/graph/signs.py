"""Which values cannot be negative, whatever the input: what limits them to zero and above limits nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.graph.normalize import Network


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


_EVERY = range(1 << 10)
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

_DEEPEST = 200
"""Operators that are looked back through; behind more, nothing is claimed."""

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


def never_negative(network: Network, value: ir.Value | None, rectified: Judge, depth: int = 0) -> bool:
    """Whether a value is free of negative numbers by the operators that made it.

    Args:
        network: The graph.
        value: The value, or the codes that stand for it.
        rectified: Whether a node is a rectifier in some spelling.
        depth: Operators already looked back through.
    """
    if value is None or depth > _DEEPEST:
        return False
    constant = network.constant(value)
    if constant is not None:
        return bool(np.all(constant >= 0))
    if value.dtype is ir.DataType.BOOL:
        return True
    node = value.producer()
    if node is None:
        return False
    row = TABLE.get(key(node), Sign())
    if row.always or rectified(node) or _floored(network, node):
        return True

    if row.unless is not None and row.unless[0] in node.attributes:
        attribute = node.attributes[row.unless[0]]
        if attribute.type is ir.AttributeType.STRING and attribute.as_string() == row.unless[1]:
            return False

    def free(index: int) -> bool:
        # What is left out is zero: the value of a padding, say.
        return node.inputs[index] is None or never_negative(network, node.inputs[index], rectified, depth + 1)

    all_of = [i for i in row.all_of if i < len(node.inputs)]
    any_of = [i for i in row.any_of if i < len(node.inputs)]
    return (bool(all_of) and all(map(free, all_of))) or any(map(free, any_of))


def _floored(network: Network, node: ir.Node) -> bool:
    index = ZERO_POINTS.get(key(node), _READ_AT.get(key(node)))
    return index is not None and least_is_zero(network, node, index)
