"""Which values cannot be negative, whatever the input: what limits them to zero and above limits nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.postorder import settled
from relu_audit.network.normalize import Network


@dataclass(frozen=True)
class Sign:
    """What an operator makes of signs. Where a row asks for inputs of both kinds, both have to be as they should.

    Attributes:
        always: Its result is never negative.
        all_of: Inputs that all have to be free of negative numbers for the result to be, as far as they are given.
        any_of: Inputs of which one that is free of negative numbers is enough.
        unless: Whether none of this holds of a node, for its attributes or types.
    """

    always: bool = False
    all_of: Sequence[int] = ()
    any_of: Sequence[int] = ()
    unless: Callable[[ir.Node], bool] | None = None

    def inputs(self, node: ir.Node, holds: Callable[[int], bool]) -> bool:
        """Whether the inputs of a node are as the row asks, and nothing speaks against it.

        Args:
            node: The node.
            holds: Whether an input is as it should be.
        """
        if self.unless is not None and self.unless(node):
            return False
        given = [index for index, value in enumerate(node.inputs) if value is not None]
        some, every = ([index for index in given if index in asked] for asked in (self.any_of, self.all_of))
        return bool(some or every) and all(map(holds, every)) and (not self.any_of or any(map(holds, some)))


def below(*names: str, limit: float = 0.0) -> Callable[[ir.Node], bool]:
    """Whether one of these attributes of a node is below a limit, or no number."""

    def holds(node: ir.Node) -> bool:
        given = [node.attributes[name] for name in names if name in node.attributes]
        return any(one.type is not ir.AttributeType.FLOAT or one.as_float() < limit for one in given)

    return holds


def _overshoots(node: ir.Node) -> bool:
    """Whether a Resize makes numbers that do not lie between those of its image."""
    mode = node.attributes.get("mode")
    return (mode is not None and mode.value == "cubic") or below("extrapolation_value")(node)


def _wraps(node: ir.Node) -> bool:
    """Whether a Cast may make a negative number of another one: where it does not fit, or where it is a code."""
    source, made = None if node.inputs[0] is None else node.inputs[0].dtype, node.outputs[0].dtype
    if source is None or made is None or source in _SIGNED_CODES:
        return True
    whole = source.is_integer() or source is ir.DataType.BOOL
    return not made.is_floating_point() and not (whole and _most(made) >= _most(source))


def _most(dtype: ir.DataType) -> float:
    return 1 if dtype is ir.DataType.BOOL else float(dtype.max)


_SIGNED_CODES = (ir.DataType.INT4, ir.DataType.INT8, ir.DataType.INT16)
"""Numbers of these types may be codes, which are below zero where what they stand for is not."""

_EVERY = range(1 << 31)
_ALWAYS = [
    "Abs",
    "Acos",
    "Exp",
    "HardSigmoid",
    "Hardmax",
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
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "Dropout",
    "DepthToSpace",
    "SpaceToDepth",
    "Upsample",
    "Floor",
    "Ceil",
    "Round",
    "LeakyRelu",
    "PRelu",
    "QuantizeLinear",
    "DynamicQuantizeLinear",
]

_FIRST_CONTRIB = [
    "QuantizeLinear",
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
    **{(domain, "DequantizeLinear"): Sign(all_of=(0, 1)) for domain in ("", _MS)},
    ("", "Cast"): Sign(all_of=(0,), unless=_wraps),
    ("", "Clip"): Sign(any_of=(0, 1), all_of=(2,), unless=below("max")),
    ("", "LRN"): Sign(all_of=(0,), unless=below("alpha", "bias")),
    ("", "OneHot"): Sign(all_of=(2,)),
    ("", "Pad"): Sign(all_of=(0, 2), unless=below("value")),
    ("", "Where"): Sign(all_of=(1, 2)),
    ("", "Resize"): Sign(all_of=(0,), unless=_overshoots),
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
        return _unsigned(node, index)
    zero = network.constant(value)
    if zero is None or (value.dtype is None and zero.dtype.kind not in "iu"):
        return False
    name = (value.dtype or ir.DataType.from_numpy(zero.dtype)).name
    if not name.startswith(("INT", "UINT")):
        return False
    bits = int(name.removeprefix("U").removeprefix("INT"))
    return bool(np.all(zero == (0 if name.startswith("U") else -(1 << (bits - 1)))))


def _unsigned(node: ir.Node, index: int) -> bool:
    """Whether codes without a zero point at an input, so that it is 0, have a type without negative numbers."""
    if index > len(node.inputs) or node.inputs[index - 1] is None:
        return False  # nor a scale: what a QGemm makes are no codes
    if node.op_type == "QuantizeLinear":
        attribute = node.attributes.get("output_dtype")
        named = 0 if attribute is None else int(attribute.as_int())
        return named == 0 or ir.DataType(named).name.startswith("UINT")
    codes = node.inputs[0]  # of the same type as those that are made
    return codes is not None and codes.dtype is not None and codes.dtype.name.startswith("UINT")


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
        return None if row.all_of or row.any_of else False

    def needed(one: ir.Value) -> list[ir.Value]:
        told, node = decided(one), one.producer()
        if told is None and node is not None:
            return [operand for i in asked(TABLE[key(node)], node) if (operand := node.inputs[i]) is not None]
        found[one] = bool(told)
        return []

    def judged(one: ir.Value) -> bool:
        node = one.producer()
        if node is None:
            return False
        holds = [operand is not None and found.get(operand, False) for operand in node.inputs]
        return TABLE[key(node)].inputs(node, holds.__getitem__)

    return settled(value, found, needed, judged)


def asked(row: Sign, node: ir.Node) -> list[int]:
    """The operands that a row asks of."""
    return [i for i in range(len(node.inputs)) if i in row.all_of or i in row.any_of]


def _floored(network: Network, node: ir.Node) -> bool:
    index = ZERO_POINTS.get(key(node), _READ_AT.get(key(node)))
    if index is None or not least_is_zero(network, node, index):
        return False
    scale = network.constant(node.inputs[index - 1]) if key(node) in _READ_AT else None
    return scale is None or bool(np.all(scale >= 0))
