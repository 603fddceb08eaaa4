"""How operators carry axes whose result is as long as an operand says: functions for the axis table, as in moves."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from relu_audit.operators.layout import (
    POSITION,
    Axis,
    Factor,
    Layout,
    Length,
    Letter,
    Size,
    Span,
    axis_size,
    collapsed,
    opaque,
)
from relu_audit.operators.moves import Operation, opaque_output, resize


def listed(op: Operation, index: int) -> Layout | None:
    """A result whose lengths an operand lists: its axes are those that tell the lengths (ConstantOfShape, Expand)."""
    shape, lengths = op.shapes[0], op.lists(index)
    if lengths is None:
        return None if shape is None else opaque(shape)
    inferred = shape if shape is not None and len(shape) == len(lengths) else [None] * len(lengths)
    return tuple(map(_axis, lengths, inferred))


def _axis(length: Length, inferred: Size) -> Axis:
    if isinstance(length, Span):
        return length.axis if length.times == 1 else (*length.axis, Factor(POSITION, length.times))
    return opaque([inferred if isinstance(inferred, int) else length])[0]


def filled(op: Operation) -> Sequence[Layout | None]:
    """A result of listed lengths (ConstantOfShape)."""
    return [listed(op, 0)]


def count_up(op: Operation) -> Sequence[Layout | None]:
    """Numbers from 0 up in steps of 1 are as many as the limit says (Range)."""
    start, limit, delta = (op.lists(index) for index in range(3))
    told = start == (0,) and delta == (1,) and limit is not None and len(limit) == 1
    return [(_axis(limit[0] if told and limit else None, op.size(0)),)]


def expand(op: Operation) -> Sequence[Layout | None]:
    """Right-aligned broadcast to a shape: axes of size one become those that the shape is made of.

    An open axis stays only beside a length of one or its own: a run in which it has one entry repeats that entry. An
    axis that is as long as one that does not stay has other entries than that.
    """
    source, target = op.inputs[0], listed(op, 1)
    if source is None or target is None:
        return [opaque_output(op)]
    new = len(target) - len(source)
    old = (*opaque([1] * new), *source)
    pairs = [*zip(old, (*opaque([1] * -new), *target), strict=True)]
    lost = {factor.letter for axis, wanted in pairs if not _stays(axis, wanted) for factor in axis} - {POSITION}
    return [tuple(_broadcast(axis, wanted, lost) for axis, wanted in pairs)]


def _stays(axis: Axis, target: Axis) -> bool:
    own = axis == target or [(f.letter, f.part) for f in axis] == [(f.letter, f.part) for f in target]
    return own or isinstance(axis_size(axis), int) or axis_size(target) == 1


def _broadcast(axis: Axis, target: Axis, lost: Collection[Letter]) -> Axis:
    if axis_size(axis) != 1:
        return axis if _stays(axis, target) else collapsed(axis, None)
    return collapsed(target, axis_size(target)) if any(factor.letter in lost for factor in target) else target


def tile(op: Operation) -> Sequence[Layout | None]:
    """Entries repeated along axes; an axis that is there once is untouched."""
    source, repeats = op.inputs[0], op.integers("repeats", 1)
    if source is None or repeats is None or len(repeats) != len(source):
        return resize(op)
    return [
        tuple(
            axis if times == 1 else collapsed(axis, op.size(index))
            for index, (axis, times) in enumerate(zip(source, repeats, strict=True))
        )
    ]
