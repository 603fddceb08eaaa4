"""From bounds that differ from entry to entry to units: where each begins to fire, and which are not rectified."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relu_audit.activations.readings import Rectifies
from relu_audit.units.placing import Pattern
from relu_audit.units.unit_axes import per_unit
from relu_audit.values.condensed import Blurred


@dataclass(frozen=True)
class Limits:
    """What a rectifier does to each of its units.

    Attributes:
        above: The largest input that is not let through, for each unit, or one number for all of them.
        exempt: Units that are not rectified; empty as well if ``nothing`` is.
        nothing: Whether no unit is rectified.
        share: How many units are, in words; empty if all of them are.
    """

    above: tuple[float, ...] = (0.0,)
    exempt: tuple[int, ...] = ()
    nothing: bool = False
    share: str = ""


def limits(reading: Rectifies, pattern: Pattern | None) -> Limits | None:
    """The limits of every unit; None if entries that differ cannot be told apart by unit.

    A unit is not rectified if any entry of it is not: a gradient passes there.
    """
    if reading.above.ndim == 0 and reading.exempt is None:
        return Limits((float(reading.above),))
    if pattern is None:
        return Limits()  # while the rank is not known, units are not either
    passing = np.zeros(()) if reading.exempt is None else reading.exempt
    try:
        above = _by_unit(np.where(passing, np.inf, reading.above), pattern).min(axis=1)
        exempt = np.logical_or.reduce(_by_unit(passing, pattern), axis=1)
    except (Blurred, ValueError):
        return None
    if exempt.all():
        return Limits(nothing=True)
    numbers = tuple(float(x) for x in np.where(exempt, 0.0, above))
    share = f" in {np.count_nonzero(~exempt)} of {len(exempt)} units" if exempt.any() else ""
    return Limits(numbers, tuple(np.flatnonzero(exempt).tolist()), share=share)


def _by_unit(entries: np.ndarray, pattern: Pattern) -> np.ndarray:
    """What every unit has, ``[units, rest]``; of one row, if all units have the same.

    Raises:
        Blurred: Which entries are whose is not known.
        ValueError: The entries do not fit the pattern.
    """
    array = entries.reshape((1,) * (len(pattern) - entries.ndim) + entries.shape)
    sizes = [piece.size for axis in pattern for piece in axis if piece.role == "u"]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        return per_unit(array, pattern, math.prod(known))
    held = [length for axis, length in zip(pattern, array.shape, strict=True) if any(p.role == "u" for p in axis)]
    return per_unit(array, pattern, math.prod(held))
