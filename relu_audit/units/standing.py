"""How values depend on the samples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import onnx_ir as ir


class Standing(IntEnum):
    """How a value depends on the samples of a run; of two standings that meet the higher one counts."""

    FREE = 0
    """On none of them."""

    LENGTH = 1
    """On how many there are."""

    COUNTED = 2
    """Every entry holds the number of its own sample in the run."""

    INDEX = 3
    """Some entries hold the number of their own sample, others depend on that sample: an index of several numbers."""

    APART = 4
    """Each entry on one of them."""

    RANGE = 5
    """Each entry on one of them, and on the range of all."""

    UNPROVED = 6
    """In a way that the tables do not tell."""

    MIXED = 7
    """An entry on several of them."""


@dataclass(frozen=True)
class State:
    """The standing of a value.

    Attributes:
        standing: The standing.
        why: What the node that made it so does, as the rest of a sentence that begins with the node; a sentence of its
            own where there is no node; empty below ``RANGE``.
        node: That node, by its operator and result.
        untold: Whether the value's lengths depend on the data.
        scalar: Whether it is one number that belongs to all samples, as the scale of a range.
    """

    standing: Standing
    why: str = ""
    node: str = ""
    untold: bool = False
    scalar: bool = False

    @property
    def counts(self) -> bool:
        """Whether the value holds numbers that depend on how many samples the run has."""
        return Standing.FREE < self.standing < Standing.APART

    def __or__(self, other: State) -> State:
        """What is computed from both."""
        first, second = (other, self) if other.standing > self.standing else (self, other)
        return replace(first, untold=first.untold or second.untold, scalar=first.scalar and second.scalar)


FREE = State(Standing.FREE)
LENGTH = State(Standing.LENGTH)
COUNTED = State(Standing.COUNTED)
INDEX = State(Standing.INDEX)
APART = State(Standing.APART)


def worst(states: Sequence[State]) -> State:
    """The state of what is computed from all of them."""
    found = FREE
    for state in states:
        found = found | state
    return found


def unproved(why: str, node: ir.Node | None, *, untold: bool = False) -> State:
    """The state of what the tables do not tell.

    Args:
        why: As in :class:`State`.
        node: The node that makes it so, if there is one.
        untold: Whether the value's lengths depend on the data.
    """
    return State(Standing.UNPROVED, why, "" if node is None else named(node), untold=untold)


def named(node: ir.Node) -> str:
    """A node by its operator and first result, as messages name it."""
    result = next((value.name for value in node.outputs if value.name), "")
    return f"{'.'.join(filter(None, (node.domain, node.op_type)))} '{result}'"


def either(first: State, second: State, node: ir.Node) -> State:
    """The state of what is the one or the other, as a node decides."""
    both, low = first | second, min(first, second, key=lambda state: state.standing)
    if low.standing is both.standing or both.standing >= Standing.UNPROVED:
        return both
    if low.counts or both.standing is Standing.COUNTED:
        return unproved("uses the number of samples in a run as a value", node)
    return both
