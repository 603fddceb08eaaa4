"""One row of the axis table: what one operator does to axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relu_audit.operators import along
from relu_audit.operators.along import Along
from relu_audit.operators.bodies import Body
from relu_audit.operators.letters import Letters
from relu_audit.operators.moves import Move, Operation

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
        mixes: Axes of the first operand along which entries are made of several entries, or come to another index.
        placed: Axes of the first operand along which an entry depends on its index.
        aligned: Operands beside the first whose axes go where the first's go, for operators that move data.
        picks: Which axes of the first operand an operand of indices picks entries of, one for each number of an index.
        couples: Whether all entries share a range of codes, and nothing else.
        stretches: Whether an axis of one entry gives way to a longer one on any letter, as the runtime has it.
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
    stretches: bool = False
    since: int = 1
    domain: str = ""
