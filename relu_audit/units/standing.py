"""How values depend on the samples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum


class Standing(IntEnum):
    """How a value depends on the samples of a run; of two standings that meet the higher one counts."""

    FREE = 0
    """On none of them."""

    LENGTH = 1
    """On how many there are."""

    COUNTED = 2
    """An entry holds the number of its own sample in the run, or an index of that sample's own."""

    APART = 3
    """Each entry on one of them."""

    RANGE = 4
    """Each entry on one of them, and on the range of all."""

    UNPROVED = 5
    """In a way that the tables do not tell."""

    MIXED = 6
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

    def __or__(self, other: State) -> State:
        """What is computed from both."""
        first, second = (other, self) if other.standing > self.standing else (self, other)
        return replace(first, untold=first.untold or second.untold, scalar=first.scalar and second.scalar)


FREE = State(Standing.FREE)
LENGTH = State(Standing.LENGTH)
COUNTED = State(Standing.COUNTED)
APART = State(Standing.APART)


def worst(states: Sequence[State]) -> State:
    """The state of what is computed from all of them."""
    found = FREE
    for state in states:
        found = found | state
    return found
