"""Where every axis of a value comes from: letters, the factors that share an axis, and how a reshape regroups them.

A *letter* is what an axis runs over: the batch, the outputs of a weight, or plain positions of the data. A reshape can
put several letters on one axis or cut one letter in pieces, so an axis is a product of *factors*, outermost first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

Size = int | str | None
"""Elements along an axis: a number, a symbol, or unknown."""


class Kind(IntEnum):
    """What a letter runs over, in the order in which one label gives way to another on the same axis."""

    POSITION = 0
    WEIGHT = 1
    BATCH = 2
    BORN = 3


@dataclass(frozen=True, slots=True)
class Letter:
    """What an axis runs over.

    Attributes:
        kind: ``BORN`` at a weight that contracts its input (Conv, MatMul, ...), or merely an axis of a ``WEIGHT`` that
            acts element by element (a scale, a bias, an embedding).
        weight: The initializer, for the last two kinds; for a position the graph input whose axis it is, if any.
        order: Position of the operator in graph order; of two births the later one names the units. For a position the
            axis of that graph input.
    """

    kind: Kind
    weight: str = ""
    order: int = -1


POSITION = Letter(Kind.POSITION)
"""Positions of which nothing is known; two axes of them need not be equally long."""

BATCH = Letter(Kind.BATCH)
RANK = Letter(Kind.POSITION, "rank")
"""Places in an order by size: which entry stands there depends on the data."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A letter on an axis; ``part`` says which piece of the letter, where a reshape cut it."""

    letter: Letter
    size: Size
    part: tuple[int, ...] = ()


Axis = tuple[Factor, ...]
"""The factors that share an axis, outermost first; empty for an axis of size one."""

Layout = tuple[Axis, ...]
"""One entry per axis of a value."""


@dataclass(frozen=True, slots=True)
class Span:
    """A length that is told by an axis: as long as that axis, a number of times."""

    axis: Axis
    times: int = 1


Length = int | str | Span | None
"""A length in a list of sizes: a number, a symbol, told by an axis, or unknown."""


def opaque(sizes: Iterable[Size]) -> Layout:
    """Axes of which nothing is known but their sizes."""
    return tuple(() if size == 1 else (Factor(POSITION, size),) for size in sizes)


def numbered(sizes: Iterable[Size]) -> Layout:
    """Axes whose letters are their numbers."""
    return tuple((Factor(Letter(Kind.POSITION, order=axis), size),) for axis, size in enumerate(sizes))


def axis_size(axis: Axis) -> Size:
    """Elements along an axis, where that is known."""
    if len(axis) == 1:
        return axis[0].size
    product = 1
    for factor in axis:
        if not isinstance(factor.size, int):
            return None
        product *= factor.size
    return product


def resized(axis: Axis, size: Size) -> Axis:
    """The same axis under an operator that keeps its order but may change its length, as a convolution's stride."""
    if axis_size(axis) == size and size is not None:
        return axis
    if len(axis) == 1 and axis[0].letter.kind is not Kind.POSITION:
        return (replace(axis[0], size=size),)
    return collapsed(axis, size) if axis else (opaque([size])[0])


def collapsed(axis: Axis, size: Size) -> Axis:
    """One factor for an axis of which some entries were taken: its units live on, its batch does not."""
    letters = [factor.letter for factor in axis if factor.letter.kind in (Kind.WEIGHT, Kind.BORN)]
    return (Factor(max(letters, key=lambda letter: (letter.kind, letter.order), default=POSITION), size),)


def holds_ranks(axis: Axis) -> bool:
    """Whether an axis runs over places in an order."""
    return any(factor.letter == RANK for factor in axis)


def merged(axes: Sequence[Axis]) -> Axis:
    """The label of an axis on which several operands meet element by element: a size of one gives way, then rank."""
    wide = [axis for axis in axes if axis_size(axis) != 1] or list(axes)
    return max(wide, key=_rank, default=())


def _rank(axis: Axis) -> tuple[int, int]:
    return max(((int(f.letter.kind), f.letter.order) for f in axis), default=(-1, -1))


def length_of(length: Length) -> Size:
    """The number or the symbol of a length, where it has one."""
    if not isinstance(length, Span):
        return length
    size = axis_size(length.axis)
    return size if length.times == 1 else size * length.times if isinstance(size, int) else None


def regrouped(source: Layout, lengths: Sequence[Length]) -> Layout:
    """The axes after a row-major reshape to ``lengths``, matched from both ends.

    What cannot be matched is opaque, except that a single axis left over takes all factors left over.
    """
    factors = [factor for axis in source for factor in axis]
    head: list[Axis] = []
    left = 0
    while left < len(lengths) and (taken := _take(factors, lengths[left])) is not None:
        head.append(taken)
        left += 1
    factors.reverse()
    tail: list[Axis] = []
    right = len(lengths)
    while right > left and (taken := _take(factors, lengths[right - 1], from_right=True)) is not None:
        tail.append(taken)
        right -= 1
    factors.reverse()
    middle = [length_of(length) for length in lengths[left:right]]
    rest = (tuple(factors),) if len(middle) == 1 else opaque(middle)
    return (*head, *rest, *reversed(tail))


def _take(factors: list[Factor], length: Length, *, from_right: bool = False) -> Axis | None:
    """Remove the factors that make up an axis of ``length`` from the front of the list; None if they do not."""
    wanted = _wanted(length)
    if wanted is None:
        return None
    number, symbols = wanted
    trial = list(factors)
    if symbols:
        while trial and trial[0].size == 1 and trial[0].letter.kind is Kind.POSITION:
            trial.pop(0)
    taken: list[Factor] = []
    while number > 1 or symbols or (not taken and trial and trial[0].size == 1):
        if not trial:
            return None
        factor = trial.pop(0)
        known = next((names for names in symbols if names & _symbols(factor)), None)
        if known is not None:
            symbols.remove(known)
            taken.append(factor)
        elif not isinstance(factor.size, int) or factor.size == 0:
            return None
        elif number % factor.size == 0:
            taken.append(factor)
            number //= factor.size
        elif number > 1 and factor.size % number == 0:
            outer, inner = (factor.size // number, number) if from_right else (number, factor.size // number)
            pieces = [
                replace(factor, size=outer, part=(*factor.part, 0)),
                replace(factor, size=inner, part=(*factor.part, 1)),
            ]
            kept, back = (pieces[1], pieces[0]) if from_right else (pieces[0], pieces[1])
            taken.append(kept)
            trial.insert(0, back)
            number = 1
        else:
            return None
    factors[:] = trial
    return tuple(reversed(taken) if from_right else taken)


_Names = frozenset[Letter | str]
"""What the length of a factor goes by, where it is no number."""


def _wanted(length: Length) -> tuple[int, list[_Names]] | None:
    """A length as a number and what it is multiplied with; None if it cannot be matched."""
    if isinstance(length, str):
        return 1, [frozenset({length})]
    if not isinstance(length, Span):
        return None if not length else (length, [])
    number, symbols = length.times, list[_Names]()
    for factor in length.axis:
        names = _symbols(factor)
        if isinstance(factor.size, int):
            number *= factor.size
        elif names:
            symbols.append(names)
        else:
            return None
    return (number, symbols) if number else None


def _symbols(factor: Factor) -> _Names:
    """The names of a whole letter's length: its symbol in the file, and the letter where its length never changes."""
    if isinstance(factor.size, int):
        return frozenset()
    name = {factor.size} if isinstance(factor.size, str) else set[str]()
    letter = factor.letter
    own = not factor.part and (letter.kind is Kind.BATCH or (letter.kind is Kind.POSITION and letter.order >= 0))
    return frozenset({*name, factor.letter} if own else name)
