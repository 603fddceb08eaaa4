"""How operators carry axes whose result is as long as an operand says: functions for the axis table, as in moves."""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.graph.layout import POSITION, Axis, Factor, Layout, Span, axis_size, collapsed, length_of, opaque
from relu_audit.graph.moves import Operation, opaque_output, resize


def listed(op: Operation, index: int) -> Layout | None:
    """A result whose lengths an operand lists: its axes are those that tell the lengths (ConstantOfShape, Expand)."""
    shape, lengths = op.shapes[0], op.lists(index)
    if lengths is None:
        return None if shape is None else opaque(shape)
    return tuple(
        _spanned(length)
        if isinstance(length, Span)
        else opaque([size if isinstance(size, int) else length_of(length)])[0]
        for length, size in zip(lengths, shape or [None] * len(lengths), strict=False)
    )


def filled(op: Operation) -> Sequence[Layout | None]:
    """A result of listed lengths (ConstantOfShape)."""
    return [listed(op, 0)]


def count_up(op: Operation) -> Sequence[Layout | None]:
    """Numbers from 0 up in steps of 1 are as many as the limit says (Range)."""
    start, limit, delta = (op.lists(index) for index in range(3))
    length = limit[0] if start == (0,) and delta == (1,) and limit and len(limit) == 1 else None
    return [(_spanned(length) if isinstance(length, Span) else opaque([op.size(0)])[0],)]


def _spanned(length: Span) -> Axis:
    return length.axis if length.times == 1 else (*length.axis, Factor(POSITION, length.times))


def expand(op: Operation) -> Sequence[Layout | None]:
    """Right-aligned broadcast to a shape: axes of size one become those that the shape is made of."""
    source, target = op.inputs[0], listed(op, 1)
    if source is None or target is None:
        return [opaque_output(op)]
    new = len(target) - len(source)
    if new < 0:
        target, new = (*opaque([1] * -new), *target), 0
    return [
        tuple(
            axis if index < new or axis_size(source[index - new]) == 1 else source[index - new]
            for index, axis in enumerate(target)
        )
    ]


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
