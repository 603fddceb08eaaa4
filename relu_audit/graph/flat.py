"""Where functions are zero and have no slope: what makes an activation a rectifier, and how its units are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relu_audit.graph import pieces
from relu_audit.graph.pieces import FAR, Bools, Curve, Floats, every, some
from relu_audit.graph.taps import Side


@dataclass(frozen=True)
class Flat:
    """What a function is that is zero on an interval, for some of its entries.

    Attributes:
        entries: Those that are: [*entries].
        output: How its result is turned, so that it is positive wherever it is not zero.
        source: How what it is a function of is turned, so that it fires above a number; None if it does not.
        above: That number: [*entries]; zero for entries that are not flat.
    """

    entries: Bools
    output: Side
    source: Side | None
    above: Floats


def flat(curve: Curve) -> Flat | None:
    """Where a function is flat at zero; None if that is nowhere.

    Steps, which are flat on both sides, are no activations: nothing is ever trained through them.
    """
    zero, real, sloped = curve.zero, curve.widths, curve.sloped
    throughout = every(zero | ~real)
    entries = some(zero) & (some(sloped) | throughout)
    if not entries.any():
        return None
    up, down = (one | some(curve.curved & real) for one in signs(curve))
    output: Side = "plain" if not (down & entries).any() else "negated" if not (up & entries).any() else "magnitude"
    low, high = _run(zero, real, curve.knots), _run(zero[::-1], real[::-1], -curve.knots[::-1])
    source, above = _threshold(curve, entries, throughout, low, high)
    return Flat(entries, output, source, np.where(entries, above, 0.0) + 0.0)


def signs(curve: Curve) -> tuple[Bools, Bools]:
    """Which entries are positive somewhere, and which are negative somewhere, curved pieces left out."""
    straight = Curve(curve.knots, np.where(curve.curved[:, None], 0.0, curve.pieces), curve.missing)
    up, down = (pieces.above(pieces.scaled(straight, sign)) for sign in (1, -1))
    return some(up.widths & ~up.zero), some(down.widths & ~down.zero)


def never_negative(curve: Curve) -> bool:
    """Whether a function is zero or more whatever the number."""
    return not (curve.curved & curve.widths).any() and not signs(curve)[1].any()


def alive(curve: Curve) -> bool:
    """Whether every entry has a slope everywhere."""
    return bool((curve.sloped | ~curve.widths).all())


def _run(zero: Bools, real: Bools, knots: Floats) -> Floats:
    """Up to where a function is zero from below on; -inf if it is not."""
    end = np.full(zero.shape[1:], -np.inf)
    going = np.ones(zero.shape[1:], bool)
    ends = [*knots, np.full(zero.shape[1:], np.inf)]
    for is_zero, is_real, stop in zip(zero, real, ends, strict=True):
        going = going & (is_zero | ~is_real)
        end = np.where(going & is_real, stop, end)
    return np.where(end >= FAR, np.inf, end)


def _threshold(
    curve: Curve, entries: Bools, throughout: Bools, low: Floats, high: Floats
) -> tuple[Side | None, Floats]:
    """Which side the function fires on, and from where."""
    below, over = ~np.isinf(low) | throughout, ~np.isinf(high) | throughout
    if (below & ~over | throughout)[entries].all():
        return "plain", low
    if (over & ~below | throughout)[entries].all():
        return "negated", high
    left, right = _middle(curve)
    if (~below & ~over & (left == -right))[entries].all():
        return "magnitude", right
    return None, np.zeros(entries.shape)


def _middle(curve: Curve) -> tuple[Floats, Floats]:
    """The ends of what lies between the outermost pieces that are zero."""
    shape = curve.zero.shape[1:]
    lows = np.stack([np.full(shape, -np.inf), *curve.knots])
    highs = np.stack([*curve.knots, np.full(shape, np.inf)])
    return np.where(curve.zero, lows, np.inf).min(axis=0), np.where(curve.zero, highs, -np.inf).max(axis=0)
