"""How many silent units would wake with more data, and how many were still silent with less. No gate reads this.

Units are to samples what species are to catches: one that no sample has shown yet may be absent or only rare, and how
many were seen exactly once, twice, ... tells how many more are to come (Good 1953, Biometrika 40:237; Good and Toulmin
1956, Biometrika 43:45). That holds for samples drawn as those were, and reaches to about twice as many of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, sqrt

TERMS = 9
"""Units that fired in more samples than this add noise to a forecast and nothing else. The series is tapered to so
many terms by a binomial tail, as Efron and Thisted (1976, Biometrika 63:435) did for Shakespeare's words."""

SIGMAS = 1.96
"""Half the width of a band in standard errors: 95 % if units woke independently of each other."""

FARTHEST = 1.0
"""A forecast reaches no further than so many times the samples it rests on: beyond, the series diverges."""


@dataclass(frozen=True)
class Forecast:
    """How many of the silent units further samples would wake: what is to be expected, and a band around it."""

    expected: float
    low: float
    high: float


def times_fired(fired_samples: Iterable[int]) -> tuple[int, ...]:
    """Units by the number of samples they fired in: in none, in exactly one, and so on up to ``TERMS``.

    Counts of several layers may be added up, place by place.

    >>> times_fired([0, 1, 1, 3, 500])
    (1, 2, 0, 1, 0, 0, 0, 0, 0, 0)
    """
    units = [0] * (TERMS + 1)
    for fired in fired_samples:
        if fired <= TERMS:
            units[fired] += 1
    return tuple(units)


def forecast(units: Sequence[int], growth: float) -> Forecast:
    """What ``growth`` times as many further samples would wake, of the units that were silent in all so far.

    The expectation is Good and Toulmin's series with Efron and Thisted's taper. The band is two standard errors of
    prediction wide on either side, where one unit more is taken to have fired once than did: that none did is no
    certainty.

    Args:
        units: As :func:`times_fired` counts them.
        growth: Further samples as a multiple of those seen, above 0 and at most ``FARTHEST``.

    >>> forecast((50, 6, 2, 1, 0, 0, 0, 0, 0, 0), 0.01)  # about 0.01 * 6
    Forecast(expected=0.0598..., low=0.0, high=0.54...)
    """
    if not 0 < growth <= FARTHEST:
        raise ValueError(f"growth is {growth}; a forecast reaches from 0 to {FARTHEST:g} times the samples")
    silent, *seen = units
    weights = [-((-growth) ** times) * _taper(times, growth) for times in range(1, TERMS + 1)]
    expected = min(max(sum(w * n for w, n in zip(weights, seen, strict=True)), 0.0), float(silent))
    variance = sum(w * w * n for w, n in zip(weights, seen, strict=True)) + growth**2 + expected
    reach = SIGMAS * sqrt(variance)
    return Forecast(expected, max(expected - reach, 0.0), min(expected + reach, float(silent)))


def _taper(times: int, growth: float) -> float:
    """The chance of as many successes or more in ``TERMS`` draws, each with the chance 1 / (1 + growth)."""
    chance = 1 / (1 + growth)
    return sum(comb(TERMS, k) * chance**k * (1 - chance) ** (TERMS - k) for k in range(times, TERMS + 1))


def silent_after(first_fired: Iterable[int | None], samples: Sequence[int]) -> tuple[int, ...]:
    """How many units were still silent after each of these numbers of samples.

    Args:
        first_fired: Index of the first sample in which each unit fired; None for one that never did.
        samples: Numbers of samples, in any order.

    >>> silent_after([0, 0, 7, None], [0, 1, 7, 8])
    (4, 2, 2, 1)
    """
    units, fired = 0, list[int]()
    for first in first_fired:
        units += 1
        if first is not None:
            fired.append(first)
    fired.sort()
    return tuple(units - bisect_left(fired, number) for number in samples)
