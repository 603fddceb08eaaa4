"""Which axes of a rectified value hold units, which the batch, and which are positions."""

from __future__ import annotations

from dataclasses import dataclass

from relu_audit.errors import UsageError
from relu_audit.operators.layout import Axis, Factor, Kind, Layout, Letter, Size, axis_size, holds_ranks
from relu_audit.units.channels import Reading


@dataclass(frozen=True)
class Piece:
    """Part of an axis: ``u`` units, ``n`` batch or ``~`` positions, and its size where the file tells."""

    role: str
    size: Size = None
    part: tuple[int, ...] = ()


Pattern = tuple[tuple[Piece, ...], ...]
"""The pieces of each axis, outermost first."""


@dataclass(frozen=True)
class Placing:
    """Where a rectifier's units are.

    Attributes:
        pattern: What each axis of its value holds; None while the rank is unknown.
        axis_from: Where that comes from, in words.
        assumed: Whether the documented fallback was used.
        weight: The initializer whose output axis the units are; None where there is none.
        order: Position of the node at which they are born; None likewise.
    """

    pattern: Pattern | None
    axis_from: str
    assumed: bool
    weight: str | None
    order: int | None = None

    @property
    def layout(self) -> str:
        """One term per axis, as in :class:`relu_audit.records.Site`."""
        if self.pattern is None:
            return "?"
        terms = ["1" if not axis else " ".join(piece.role for piece in axis) for axis in self.pattern]
        return " ".join(f"({term})" if " " in term else term for term in terms)

    @property
    def unit_axis(self) -> int | None:
        """The first axis that holds units; None if none does."""
        return next((i for i, axis in enumerate(self.pattern or ()) if any(p.role == "u" for p in axis)), None)


def place(layout: Layout | None, tensor: str, wanted: int | None, read: Reading | None) -> Placing:
    """Decide which axes hold units, batch and positions.

    Args:
        layout: The layout of the rectified value; None while its rank is unknown.
        tensor: Its name, for errors.
        wanted: The unit axis that the user gives.
        read: The axis over which the weights that read the value sum.

    Raises:
        UsageError: ``unit-axis`` for an axis that the value does not have, or that holds the samples.
    """
    if layout is None:
        return Placing(pattern=None, axis_from="", assumed=True, weight=None)
    if wanted is not None:
        if not -len(layout) <= wanted < len(layout):
            raise UsageError(f"--unit-axis {tensor}={wanted}: the tensor has {len(layout)} axes", slug="unit-axis")
        units = {wanted % len(layout)}
        if any(factor.letter.kind is Kind.BATCH for factor in layout[wanted]):
            raise UsageError(f"--unit-axis {tensor}={wanted}: that axis holds the samples", slug="unit-axis")
        pattern = tuple(_pieces_of_axis(axis, whole=i in units) for i, axis in enumerate(layout))
        return Placing(pattern=pattern, axis_from="given by --unit-axis", assumed=False, weight=None)
    letter, why = _unit_letter(layout)
    ranks = any(map(holds_ranks, layout))
    if ranks and (letter is None or letter.kind is not Kind.BORN):
        pattern = tuple(_pieces_of_axis(axis, whole=False) for axis in layout)
        why = "its entries are in order of size, and no place in that order is a unit; all of it counts as one"
        return Placing(pattern=pattern, axis_from=why, assumed=True, weight=None)
    if letter is None and read is not None:
        pattern = tuple(_pieces_of_axis(a, whole=i == read.axis) for i, a in enumerate(layout))
        why = f"input axis of weight '{read.weight}', which reads it"
        return Placing(pattern=pattern, axis_from=why, assumed=False, weight=None)
    if letter is None:
        axis = _fallback(layout)
        pattern = tuple(_pieces_of_axis(a, whole=i == axis) for i, a in enumerate(layout))
        certain = all(i == axis or _holds_no_units(a) for i, a in enumerate(layout))
        if certain:
            why = "one unit, since no axis holds more" if axis is None else "the only axis that can hold units"
        return Placing(pattern=pattern, axis_from=why, assumed=not certain, weight=None)
    pattern = _without_idle_units(tuple(_pieces(axis, letter) for axis in layout))
    if all(_unfolds(axis) for axis in pattern):
        order = letter.order if letter.kind is Kind.BORN else None
        return Placing(pattern=pattern, axis_from=why, assumed=False, weight=letter.weight, order=order)
    # Units and positions share an axis in a way that cannot be undone: every entry of it counts as a unit.
    pattern = tuple(
        _pieces_of_axis(axis, whole=any(p.role == "u" for p in pieces))
        for axis, pieces in zip(layout, pattern, strict=True)
    )
    why = f"flattened together with positions; every entry counts as a unit ({why})"
    return Placing(pattern=pattern, axis_from=why, assumed=True, weight=letter.weight)


def _unit_letter(layout: Layout) -> tuple[Letter | None, str]:
    # Of letters born together the wider axis names the weight: an LSTM's units, not its direction.
    factors = sorted((factor for axis in layout for factor in axis), key=lambda factor: factor.size == 1)
    letters = [factor.letter for factor in factors]
    born = [letter for letter in letters if letter.kind is Kind.BORN]
    if born:
        letter = max(born, key=lambda x: x.order)
        return letter, f"output axis of weight '{letter.weight}'"
    held = {letter for letter in letters if letter.kind is Kind.WEIGHT}
    places = sum(any(f.letter.kind is Kind.WEIGHT for f in axis) for axis in layout)
    if len(held) == 1 and places == 1:
        letter = held.pop()
        return letter, f"axis of parameter '{letter.weight}'"
    return None, "no weight upstream says which axis holds the units"


def _fallback(layout: Layout) -> int | None:
    """Axis 1 for three axes or more, else the last one; never the batch. None: one unit."""
    open_axes = [i for i, axis in enumerate(layout) if not any(f.letter.kind is Kind.BATCH for f in axis)]
    if not open_axes:
        return None
    return 1 if len(layout) >= 3 and 1 in open_axes else open_axes[-1]


def _holds_no_units(axis: Axis) -> bool:
    """Whether an axis holds the batch alone, or one entry."""
    return axis_size(axis) == 1 or (len(axis) == 1 and axis[0].letter.kind is Kind.BATCH and not axis[0].part)


def _pieces(axis: Axis, letter: Letter) -> tuple[Piece, ...]:
    """Roles of an axis' factors, neighbours of one role joined; one birth may bring several letters."""
    pieces: list[Piece] = []
    for factor in axis:
        role = _role(factor, letter, alone=len(axis) == 1)
        if pieces and pieces[-1].role == role == "~":
            last = pieces[-1].size
            both = last * factor.size if isinstance(last, int) and isinstance(factor.size, int) else None
            pieces[-1] = Piece(role, both)
        else:
            pieces.append(Piece(role, factor.size, factor.part if role == "u" else ()))
    return tuple(pieces)


def _without_idle_units(pattern: Pattern) -> Pattern:
    """Unit axes of size one count as positions beside others, as the one direction of an LSTM does."""
    units = [piece for axis in pattern for piece in axis if piece.role == "u"]
    if all(piece.size == 1 for piece in units):
        return pattern
    idle = Piece("~", 1)
    return tuple(tuple(idle if piece.role == "u" and piece.size == 1 else piece for piece in axis) for axis in pattern)


def _role(factor: Factor, letter: Letter, *, alone: bool) -> str:
    same = factor.letter == letter or (letter.kind is Kind.BORN and factor.letter.order == letter.order)
    if same and factor.letter.kind is letter.kind:
        return "u"
    return "n" if alone and factor.letter.kind is Kind.BATCH and not factor.part else "~"


def _pieces_of_axis(axis: Axis, *, whole: bool) -> tuple[Piece, ...]:
    if whole:
        return (Piece("u", axis_size(axis)),)
    if not axis:
        return ()
    alone = len(axis) == 1 and axis[0].letter.kind is Kind.BATCH and not axis[0].part
    return (Piece("n" if alone else "~", axis[0].size if len(axis) == 1 else None),)


def _unfolds(axis: tuple[Piece, ...]) -> bool:
    return len(axis) < 2 or sum(not isinstance(piece.size, int) for piece in axis) <= 1
