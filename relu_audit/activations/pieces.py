"""Functions of one number that are polynomials in pieces, one function for every entry of a tensor.

What a few elementwise operators make of one value is such a function, with the constants among their operands as its
numbers. Its pieces tell on which intervals it is zero, however the function is spelt. A piece that is no polynomial but
bends everywhere (an exponential, say) is *curved*: nothing is known of it but that it has a slope.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FAR = 1e30
"""What lies beyond is out of reach of any data: bounds such as the largest float32 bound nothing."""

_LARGEST = 1e300
"""Stands for infinity, which has no arithmetic."""

_TERMS = 3
"""Coefficients of a piece: of 1, x and x squared."""

MOST_PIECES = 64


class UnknownError(Exception):
    """A function that cannot be written as pieces."""


@dataclass(frozen=True)
class Curve:
    """A function in pieces.

    Attributes:
        knots: Where one piece ends and the next begins, ascending: [pieces - 1, *entries].
        pieces: The coefficients: [pieces, 3, *entries]; NaN throughout a piece that is curved.
        missing: What it makes of NaN: [*entries]; NaN unless that is hidden.
    """

    knots: Floats
    pieces: Floats
    missing: Floats

    @cached_property
    def widths(self) -> Bools:
        """Which pieces have a length within reach: [pieces, *entries]."""
        inner = np.clip(self.knots, -FAR, FAR)
        end = np.full((1, *self.knots.shape[1:]), FAR)
        return np.diff(np.concatenate([-end, inner, end]), axis=0) > 0

    @cached_property
    def curved(self) -> Bools:
        """Which pieces are no polynomials: [pieces, *entries]."""
        return np.isnan(self.pieces[:, 0])

    @cached_property
    def zero(self) -> Bools:
        """Which pieces are zero throughout, and have a length: [pieces, *entries]."""
        return (self.pieces == 0).all(axis=1) & self.widths

    @cached_property
    def sloped(self) -> Bools:
        """Which pieces have a slope, and a length: [pieces, *entries]."""
        return ((self.pieces[:, 1:] != 0).any(axis=1) | self.curved) & self.widths


@functools.cache
def identity() -> Curve:
    """The number itself; always the same object, by which it can be told."""
    return Curve(np.zeros(0), np.array([[0.0, 1.0, 0.0]]), np.array(np.nan))


def constant(numbers: np.ndarray | float) -> Curve:
    """The same whatever the number.

    Raises:
        UnknownError: A NaN is among the numbers.
    """
    found = np.nan_to_num(np.asarray(numbers, np.float64), nan=np.nan, posinf=_LARGEST, neginf=-_LARGEST)
    if np.isnan(found).any():
        raise UnknownError
    pieces = np.stack([found, np.zeros_like(found), np.zeros_like(found)])[None]
    return Curve(np.zeros((0, *found.shape)), pieces, found)


def plus(*curves: Curve) -> Curve:
    """The sum."""
    knots, pieces = _together(curves)
    return _tidy(knots, sum(pieces[1:], pieces[0]), sum((c.missing for c in curves[1:]), curves[0].missing))


def times(a: Curve, b: Curve) -> Curve:
    """The product; what is zero stays zero.

    Raises:
        UnknownError: It has a power of x above the second.
    """
    knots, (p, q) = _together((a, b))
    product = np.zeros((len(p), 2 * _TERMS - 1, *p.shape[2:]))
    for i in range(_TERMS):
        for j in range(_TERMS):
            product[:, i + j] += p[:, i] * q[:, j]
    none = (p == 0).all(axis=1) | (q == 0).all(axis=1)
    bent = np.isnan(product).any(axis=1) & ~none
    product = np.where(none[:, None], 0.0, product)
    if (product[:, _TERMS:] != 0)[np.broadcast_to(~bent[:, None], product[:, _TERMS:].shape)].any():
        raise UnknownError
    made = np.where(bent[:, None], np.nan, product[:, :_TERMS])
    return _tidy(knots, made, a.missing * b.missing)


def scaled(curve: Curve, factor: np.ndarray | float) -> Curve:
    """A multiple of it; nothing is left of it where the factor is zero."""
    number = constant(factor).missing
    entries = np.broadcast_shapes(curve.missing.shape, number.shape)
    knots, made = _spread(curve.knots, 1, entries), _spread(curve.pieces, 2, entries)
    return Curve(knots, np.where(number == 0, 0.0, made * number), np.asarray(curve.missing * number))


def above(curve: Curve, *, or_equal: bool = False) -> Curve:
    """One where it is positive, and zero elsewhere; a NaN is not.

    Args:
        curve: What is compared with zero.
        or_equal: Whether a constant zero counts as positive.

    Raises:
        UnknownError: Where a curved piece is positive is not known.
    """
    if (curve.curved & curve.widths).any():
        raise UnknownError
    pieces = np.where(curve.curved[:, None], 0.0, curve.pieces)
    knots = np.sort(np.concatenate([curve.knots, *_roots(pieces)]), axis=0)
    refined, at = _resampled(curve.knots, pieces, knots), _inside(knots)
    value = refined[:, 0] + at * (refined[:, 1] + at * refined[:, 2])
    holds = (value > 0) | (or_equal & (refined == 0).all(axis=1))
    with np.errstate(invalid="ignore"):
        missing = ((curve.missing > 0) | (or_equal & (curve.missing == 0))).astype(np.float64)
    made = np.stack([holds.astype(np.float64), np.zeros(holds.shape), np.zeros(holds.shape)], axis=1)
    return _tidy(knots, made, missing)


def choose(condition: Curve, yes: Curve, no: Curve) -> Curve:
    """One function where the condition is not zero, the other one elsewhere.

    Raises:
        UnknownError: The condition is not piece by piece one number.
    """
    if condition.sloped.any():
        raise UnknownError
    knots, (where, p, q) = _together((condition, yes, no))
    made = np.where(where[:, :1] != 0, p, q)
    return _tidy(knots, made, np.where(condition.missing != 0, yes.missing, no.missing))


def larger(a: Curve, b: Curve) -> Curve:
    """The larger one; NaN if either is."""
    made = choose(above(plus(a, scaled(b, -1))), a, b)
    return Curve(made.knots, made.pieces, np.maximum(a.missing, b.missing))


def smaller(a: Curve, b: Curve) -> Curve:
    """The smaller one; NaN if either is."""
    return scaled(larger(scaled(a, -1), scaled(b, -1)), -1)


def bent(curve: Curve, function: Callable[[Floats], Floats]) -> Curve:
    """A smooth function of it: pieces that are one number are another one then, and all others are curved."""
    flat = (curve.pieces[:, 1:] == 0).all(axis=1)
    with np.errstate(all="ignore"):
        numbers = function(np.where(flat, curve.pieces[:, 0], 0.0))
        missing = function(curve.missing)
    if not np.isfinite(numbers[flat]).all():
        raise UnknownError
    none = np.where(flat, 0.0, np.nan)
    return _tidy(curve.knots, np.stack([np.where(flat, numbers, np.nan), none, none], axis=1), missing)


def some(of_pieces: Bools) -> Bools:
    """Which entries have a piece of which something holds: [*entries] from [pieces, *entries]."""
    return np.asarray(np.logical_or.reduce(of_pieces, axis=0))


def every(of_pieces: Bools) -> Bools:
    """Which entries have no piece of which it does not hold: [*entries] from [pieces, *entries]."""
    return np.asarray(np.logical_and.reduce(of_pieces, axis=0))


def same_zeros(a: Curve, b: Curve) -> bool:
    """Whether both are zero on the same intervals."""
    knots, (p, q) = _together((a, b))
    both = Curve(knots, p, a.missing), Curve(knots, q, b.missing)
    return bool(np.array_equal(both[0].zero, both[1].zero))


def _together(curves: Sequence[Curve]) -> tuple[Floats, list[Floats]]:
    """The curves over common knots and entries: knots, and the pieces of each."""
    entries = np.broadcast_shapes(*(curve.missing.shape for curve in curves), *(c.knots.shape[1:] for c in curves))
    knots = np.sort(np.concatenate([_spread(curve.knots, 1, entries) for curve in curves]), axis=0)
    new = [i for i in range(len(knots)) if i == 0 or (knots[i] != knots[i - 1]).any()]
    knots = knots[new]
    if len(knots) >= MOST_PIECES:
        raise UnknownError
    return knots, [
        _resampled(_spread(curve.knots, 1, entries), _spread(curve.pieces, 2, entries), knots) for curve in curves
    ]


def _spread(array: Floats, leading: int, entries: tuple[int, ...]) -> Floats:
    """The array with its entries broadcast, behind axes that are not entries."""
    own = array.shape[leading:]
    filled = array.reshape(*array.shape[:leading], *(1,) * (len(entries) - len(own)), *own)
    return np.broadcast_to(filled, (*array.shape[:leading], *entries))


def _inside(knots: Floats) -> Floats:
    """A number within every piece: [pieces, *entries]."""
    if not len(knots):
        return np.zeros((1, *knots.shape[1:]))
    first, last = knots[:1] - 1 - np.abs(knots[:1]), knots[-1:] + 1 + np.abs(knots[-1:])
    return np.concatenate([first, knots[:-1] / 2 + knots[1:] / 2, last])


def _resampled(own: Floats, pieces: Floats, knots: Floats) -> Floats:
    """The pieces as they are between other knots, among which all of its own are."""
    index = (own[:, None] <= _inside(knots)[None]).sum(axis=0)
    return np.take_along_axis(pieces, index[:, None], axis=0)


def _roots(pieces: Floats) -> list[Floats]:
    """Where the pieces may change their sign, as far as that is; other places do no harm."""
    c, b, a = pieces[:, 0], pieces[:, 1], pieces[:, 2]
    with np.errstate(all="ignore"):
        line = np.where((a == 0) & (b != 0), -c / b, 0.0)
        half = np.sqrt(b * b - 4 * a * c)
        found = [line, *(np.where(a == 0, 0.0, (-b + sign * half) / (2 * a)) for sign in (-1, 1) if a.any())]
    return [np.where(np.isfinite(root), np.clip(root, -_LARGEST, _LARGEST), 0.0) for root in found]


def _tidy(knots: Floats, pieces: Floats, missing: Floats) -> Curve:
    """The curve without knots at which nothing changes.

    Raises:
        UnknownError: It has too many pieces.
    """
    same = (pieces[1:] == pieces[:-1]) | (np.isnan(pieces[1:]) & np.isnan(pieces[:-1]))
    kept = [i for i in range(len(knots)) if not same[i].all()]
    if len(kept) >= MOST_PIECES:
        raise UnknownError
    made = pieces[[0, *(i + 1 for i in kept)]]
    return Curve(knots[kept], made, np.broadcast_to(missing, pieces.shape[2:]))
