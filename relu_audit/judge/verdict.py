"""Tally to status per unit: a pure function."""

from __future__ import annotations

import msgspec
import numpy as np

from relu_audit.observe.tally import NEVER, Floats, Tally
from relu_audit.records import Policy, Site, SiteAudit

MEAN_DIGITS = 6
"""Means are given to fewer digits than any two ways of summing them agree in."""


def verdict(site: Site, tally: Tally, policy: Policy, *, per_run: bool, distinct: int | None = None) -> SiteAudit:
    """What was counted of a site, and what that makes of each unit.

    Args:
        site: The site.
        tally: Its counts.
        policy: What makes a unit rare.
        per_run: Whether its samples are runs of several.
        distinct: How many samples of the data differ from each other, where that was counted.
    """
    faulty = tally.faulty_samples > 0
    counted = SiteAudit(
        **msgspec.structs.asdict(site),
        units=tally.units,
        samples=tally.samples,
        distinct=None if distinct is None else min(distinct, tally.samples),
        positions=tally.positions,
        per_run=per_run,
        fired_samples=tuple(tally.fired_samples.tolist()),
        fired_positions=tuple(tally.fired_positions.tolist()),
        first_fired=tuple(None if i == NEVER else i for i in tally.first_fired.tolist()),
        mean=_mean(tally, faulty),
        peak=_numbers(tally.peak, ~faulty),
        trough=_numbers(tally.trough, ~faulty),
        pre_peak=_numbers(tally.pre_peak, ~faulty),
        dead=(),
        rare=(),
        always_on=(),
        constant=(),
        faulty=(),
        unseen=(),
    )
    return judged(counted, policy)


def judged(site: SiteAudit, policy: Policy) -> SiteAudit:
    """The site with the status of every unit as its counts have it.

    Each unit has one status. Where several hold, the first of these counts: unseen, faulty (a value that is not finite
    says nothing about firing), dead, constant, always_on, rare, active. A unit that is not rectified passes a gradient,
    or holds another number than zero, wherever it is: it is neither dead nor rare.
    """
    peak, trough = (np.array([np.nan if x is None else x for x in xs], np.float64) for xs in (site.peak, site.trough))
    fired_samples, fired_positions = np.array(site.fired_samples), np.array(site.fired_positions)
    rectified = ~np.isin(np.arange(site.units), site.exempt)
    unseen = np.full(site.units, site.samples == 0)
    faulty = np.isnan(peak)
    dead = (peak <= 0) & rectified
    constant = (peak == trough) & (peak != 0)
    # The smallest output counts too: a run whose positions could not be counted may still have shown a silent one.
    always_on = (fired_positions == site.positions) & (site.positions > 0) & (trough > 0)
    rare = (fired_samples / max(site.samples, 1) < policy.rare_below) & rectified
    names = ("unseen", "faulty", "dead", "constant", "always_on", "rare")
    status = np.select([unseen, faulty, dead, constant, always_on, rare], names, "active")
    lists = {name: tuple(np.flatnonzero(status == name).tolist()) for name in names}
    return msgspec.structs.replace(site, **lists)


def _mean(tally: Tally, faulty: np.ndarray) -> tuple[float | None, ...]:
    """Mean output; none for faulty units, and none where even the sum of finite outputs was too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = tally.mass.sum(axis=0) / max(tally.positions, 1)
    ok = np.isfinite(mean) & ~faulty & (tally.positions > 0)
    return tuple(
        float(f"{m:.{MEAN_DIGITS}g}") + 0.0 if fine else None
        for m, fine in zip(mean.tolist(), ok.tolist(), strict=True)
    )


def _numbers(array: Floats, known: np.ndarray) -> tuple[float | None, ...]:
    ok = np.isfinite(array) & known
    return tuple(x + 0.0 if fine else None for x, fine in zip(array.tolist(), ok.tolist(), strict=True))
