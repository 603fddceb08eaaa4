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
        weight: The initializer, for the last two kinds.
        order: Position of the operator in graph order; of two births the later one names the units.
    """

    kind: Kind
    weight: str = ""
    order: int = -1


POSITION = Letter(Kind.POSITION)
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


def opaque(sizes: Iterable[Size]) -> Layout:
    """Axes of which nothing is known but their sizes."""
    return tuple(() if size == 1 else (Factor(POSITION, size),) for size in sizes)


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
    if len(axis) == 1:
        return (replace(axis[0], size=size),)
    return collapsed(axis, size) if axis else (opaque([size])[0])


def collapsed(axis: Axis, size: Size) -> Axis:
    """One factor for an axis of which some entries were taken: its units live on, its batch does not."""
    letters = [factor.letter for factor in axis if factor.letter.kind is not Kind.BATCH]
    return (Factor(max(letters, key=lambda letter: (letter.kind, letter.order), default=POSITION), size),)


def holds_ranks(axis: Axis) -> bool:
    """Whether an axis runs over places in an order."""
    return any(factor.letter == RANK for factor in axis)


def without_batch(layout: Layout) -> Layout:
    """The layout of a value in which samples have changed each other: its batch axis holds positions."""
    return tuple(
        tuple(replace(factor, letter=POSITION) if factor.letter.kind is Kind.BATCH else factor for factor in axis)
        for axis in layout
    )


def merged(axes: Sequence[Axis]) -> Axis:
    """The label of an axis on which several operands meet element by element: a size of one gives way, then rank."""
    wide = [axis for axis in axes if axis_size(axis) != 1] or list(axes)
    return max(wide, key=_rank, default=())


def _rank(axis: Axis) -> tuple[int, int]:
    return max(((int(f.letter.kind), f.letter.order) for f in axis), default=(-1, -1))


def regrouped(source: Layout, sizes: Sequence[Size]) -> Layout:
    """The axes after a row-major reshape to ``sizes``, matched from both ends.

    What cannot be matched is opaque, except that a single axis left over takes all factors left over.
    """
    factors = [factor for axis in source for factor in axis]
    head: list[Axis] = []
    left = 0
    while left < len(sizes) and (taken := _take(factors, sizes[left])) is not None:
        head.append(taken)
        left += 1
    factors.reverse()
    tail: list[Axis] = []
    right = len(sizes)
    while right > left and (taken := _take(factors, sizes[right - 1], from_right=True)) is not None:
        tail.append(taken)
        right -= 1
    factors.reverse()
    middle = sizes[left:right]
    rest = (tuple(factors),) if len(middle) == 1 else opaque(middle)
    return (*head, *rest, *reversed(tail))


def _take(factors: list[Factor], size: Size, *, from_right: bool = False) -> Axis | None:
    """Remove the factors that make up an axis of ``size`` from the front of the list; None if they do not."""
    if size is None:
        return None
    if isinstance(size, str):
        while factors and factors[0].size == 1 and factors[0].letter.kind is Kind.POSITION:
            factors.pop(0)
        return (factors.pop(0),) if factors and factors[0].size == size else None
    taken: list[Factor] = []
    trial = list(factors)
    want = size
    while want > 1 or (want == 1 and not taken and trial and trial[0].size == 1):
        if not trial or not isinstance(trial[0].size, int):
            return None
        factor = trial.pop(0)
        length = factor.size
        assert isinstance(length, int)  # noqa: S101 - narrowed above, for the type checker
        if length == 0 or want == 0:
            return None
        if want % length == 0:
            taken.append(factor)
            want //= length
            if length == 1 and size == 1:
                break
        elif length % want == 0:
            outer, inner = (length // want, want) if from_right else (want, length // want)
            pieces = [
                replace(factor, size=outer, part=(*factor.part, 0)),
                replace(factor, size=inner, part=(*factor.part, 1)),
            ]
            kept, back = (pieces[1], pieces[0]) if from_right else (pieces[0], pieces[1])
            taken.append(kept)
            trial.insert(0, back)
            want = 1
        else:
            return None
    factors[:] = trial
    return tuple(reversed(taken) if from_right else taken)
