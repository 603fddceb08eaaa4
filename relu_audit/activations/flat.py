"""Where functions are zero, with no slope, on one side: what makes a rectifier, and how its units are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relu_audit.activations import pieces
from relu_audit.activations.pieces import FAR, Bools, Curve, Floats, every, some
from relu_audit.activations.taps import Side


@dataclass(frozen=True)
class Flat:
    """What a function is that is zero from some number on, or up to one, for some of its entries.

    Attributes:
        entries: Those that are: [*entries].
        output: How its result is turned, so that it is positive wherever it is not zero.
        source: How what it is a function of is turned, so that it fires above a number; None if that differs.
        above: That number: [*entries]; zero for entries that are not flat.
    """

    entries: Bools
    output: Side
    source: Side | None
    above: Floats


def flat(curve: Curve) -> Flat | None:
    """Where a function is flat at zero on one side; None if that is nowhere.

    Steps, which are flat on both sides, are no activations: nothing is ever trained through them.
    """
    zero, real = curve.zero, curve.widths
    low, high = _run(zero, real, curve.knots), _run(zero[::-1], real[::-1], -curve.knots[::-1])
    throughout = every(zero | ~real)
    entries = ((low > -np.inf) | (high > -np.inf)) & (some(curve.sloped) | throughout)
    if not entries.any():
        return None
    up, down = (one | some(curve.curved & real) for one in signs(curve))
    output: Side = "plain" if not (down & entries).any() else "negated" if not (up & entries).any() else "magnitude"
    if ((low > -np.inf) & ((high == -np.inf) | throughout))[entries].all():
        return Flat(entries, output, "plain", np.where(entries, low, 0.0))
    if ((high > -np.inf) & ((low == -np.inf) | throughout))[entries].all():
        return Flat(entries, output, "negated", np.where(entries, high, 0.0))
    return Flat(entries, output, None, np.zeros(entries.shape))


def signs(curve: Curve) -> tuple[Bools, Bools]:
    """Which entries are positive somewhere, and which are negative somewhere, curved pieces left out."""
    straight = Curve(curve.knots, np.where(curve.curved[:, None], 0.0, curve.pieces), curve.missing)
    up, down = (pieces.above(pieces.scaled(straight, sign)) for sign in (1, -1))
    return some(up.widths & ~up.zero), some(down.widths & ~down.zero)


def never_negative(curve: Curve) -> bool:
    """Whether a function is zero or more whatever the number."""
    return not (curve.curved & curve.widths).any() and not signs(curve)[1].any()


def alive(curve: Curve) -> Bools:
    """Which entries have a slope everywhere."""
    return every(curve.sloped | ~curve.widths)


def _run(zero: Bools, real: Bools, knots: Floats) -> Floats:
    """Up to where a function is zero from below on; -inf if it is not, and inf if there is no end of that."""
    end = np.full(zero.shape[1:], -np.inf)
    going = np.ones(zero.shape[1:], bool)
    ends = [*knots, np.full(zero.shape[1:], np.inf)]
    for is_zero, is_real, stop in zip(zero, real, ends, strict=True):
        going = going & (is_zero | ~is_real)
        end = np.where(going & is_real, stop, end)
    return np.where(end >= FAR, np.inf, end) + 0.0
