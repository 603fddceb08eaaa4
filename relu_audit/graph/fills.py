"""How the operators that repeat entries, or make new ones, carry axes; rows of the axis table name these."""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.graph.layout import Layout, collapsed, opaque
from relu_audit.graph.moves import Operation, opaque_output, resize


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


def filled(op: Operation) -> Sequence[Layout | None]:
    """One number in a shape that a list gives (ConstantOfShape)."""
    listed, known = op.lists(0), opaque_output(op)
    return [known if listed is None else opaque(listed)]


def counted(op: Operation) -> Sequence[Layout | None]:
    """Numbers that count up (Range)."""
    start, step, limit = op.lists(0), op.constants[2], op.lists(1)
    whole = start == (None,) and op.constants[0] is not None and not op.constants[0].any()
    if not whole or step is None or step.ravel()[0] != 1 or limit is None:
        return [opaque_output(op)]
    return [opaque(limit)]
