"""Which values are greater than zero whatever the input, and by no small margin: nothing divided by them is infinite.

What is only greater than zero on paper is not among them: an exponential of a large negative number is zero in any
float, as is the product of two small numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from relu_audit.activations import rectifiers
from relu_audit.activations.spelt import Functions
from relu_audit.model.postorder import settled
from relu_audit.network.normalize import Network
from relu_audit.values.signs import Sign, asked, below, key, never_negative

_MOVES = [
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
]

_EVERY = range(1 << 31)

LEAST, LEAST_HALF = 2.0**-126, 2.0**-14
"""The smallest normal numbers: of float32, and of bfloat16 as well; of float16."""

TABLE: Mapping[tuple[str, str], Sign] = {
    **{("", op): Sign(all_of=(0,)) for op in (*_MOVES, "Abs", "ReduceMax", "ReduceMin", "Sqrt")},
    **{("", op): Sign(all_of=_EVERY) for op in ("Concat", "Min")},
    ("", "Where"): Sign(all_of=(1, 2)),
    ("", "Max"): Sign(any_of=_EVERY),
    ("", "Clip"): Sign(any_of=(0, 1), all_of=(2,), unless=below("max", limit=LEAST)),
}
"""As in the table of signs, with greater than zero for never negative."""

_ADDS = {("", "Add"), ("", "Sum")}
"""Operators for which one such operand is enough, if no other is negative."""

_CASTS = {("", "Cast"), ("", "CastLike")}
"""Operators that keep a whole number greater than zero where they make a float of it; a small float may become zero."""


def never_zero(functions: Functions, value: ir.Value | None) -> bool:
    """Whether a value is greater than zero by the operators that made it.

    Args:
        functions: What the nodes of the graph make.
        value: The value.
    """
    if value is None:
        return False
    known = functions.once("never zero", dict[ir.Value, bool])
    return settled(value, known, lambda one: _asked(functions.network, one), lambda one: _holds(functions, one, known))


def _asked(network: Network, value: ir.Value) -> list[ir.Value]:
    """The operands on which it depends whether a value is greater than zero."""
    node = value.producer()
    if node is None or network.constant(value) is not None:
        return []
    if key(node) in _ADDS:
        return [operand for operand in node.inputs if operand is not None]
    indices = range(1) if key(node) in _CASTS else asked(TABLE.get(key(node), Sign()), node)
    return [operand for i in indices if (operand := node.inputs[i]) is not None]


def _holds(functions: Functions, value: ir.Value, known: Mapping[ir.Value, bool]) -> bool:
    constant, node = functions.network.constant(value), value.producer()
    if constant is not None:
        return _large_enough(constant)
    if node is None:
        return False
    holds = [operand is not None and known.get(operand, False) for operand in node.inputs]
    if key(node) in _ADDS:
        return any(holds) and all(not_negative(functions, operand) for operand in node.inputs if operand is not None)
    if key(node) in _CASTS:
        return _is_whole_to_float(node) and holds[0]
    row = TABLE.get(key(node))
    return row is not None and row.inputs(node, holds.__getitem__)


def _is_whole_to_float(node: ir.Node) -> bool:
    """Whether a cast is from whole numbers to floats."""
    source, made = node.inputs[0], node.outputs[0].dtype
    whole = source is not None and source.dtype is not None and source.dtype.is_integer()
    return whole and made is not None and made.is_floating_point()


def _large_enough(numbers: np.ndarray) -> bool:
    """Whether all of them are greater than zero, and none is so small that a processor may take it for zero."""
    least = 1.0 if numbers.dtype.kind in "biu" else LEAST_HALF if numbers.dtype == np.float16 else LEAST
    return bool(numbers.size) and bool(np.all(numbers.astype(np.float64) >= least))


def not_negative(functions: Functions, value: ir.Value | None) -> bool:
    """Whether a value is free of negative numbers by the operators that made it."""
    known = functions.once("never negative", dict[ir.Value, bool])
    return never_negative(functions.network, value, lambda node: rectifiers.never_negative(functions, node), known)
