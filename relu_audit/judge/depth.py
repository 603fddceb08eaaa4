"""Whether units die more the deeper the layer: a pure function of the counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from relu_audit.records import SiteAudit

LEAST_AGREEMENT = 0.5
"""Kendall's tau between depth and dead share, from which on the layers are said to follow their depth."""

LEAST_DIFFERENCE = Fraction(1, 20)
"""And the dead shares of the two ends differ by at least so much."""

FEWEST = 3
"""Layers of which it can be said at all."""


@dataclass(frozen=True)
class Trend:
    """The dead shares of the first and of the last third of the layers, which follow their depth."""

    first: float
    last: float

    @property
    def deeper(self) -> bool:
        """Whether death compounds with depth, rather than fades."""
        return self.last > self.first


def trend(sites: Sequence[SiteAudit]) -> Trend | None:
    """How death goes with depth; None where it does not, or where too few layers were observed to tell.

    Args:
        sites: In graph order.
    """
    shares = [share for site in sites if (share := _dead([site])) is not None]
    if len(shares) < FEWEST:
        return None
    pairs = list(combinations(shares, 2))
    tau = sum((after > before) - (after < before) for before, after in pairs) / len(pairs)
    third = len(sites) // 3
    first, last = _dead(sites[:third]), _dead(sites[-third:])
    if first is None or last is None or abs(tau) < LEAST_AGREEMENT or tau * (last - first) <= 0:
        return None
    return Trend(float(first), float(last)) if abs(last - first) >= LEAST_DIFFERENCE else None


def _dead(sites: Sequence[SiteAudit]) -> Fraction | None:
    units = sum(site.observed_units for site in sites)
    return Fraction(sum(len(site.dead) for site in sites), units) if units else None
