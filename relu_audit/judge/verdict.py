"""Tally to status per unit: a pure function."""

from __future__ import annotations

import numpy as np

from relu_audit.observe.tally import NEVER, Floats, Tally
from relu_audit.records import Policy, Site, SiteAudit

MEAN_DIGITS = 6
"""Means are given to fewer digits than any two ways of summing them agree in."""


def verdict(site: Site, tally: Tally, policy: Policy, *, per_run: bool) -> SiteAudit:
    """What was counted of a site, and what that makes of each unit.

    Each unit has one status. Where several hold, the first of these counts: faulty (a value that is not finite says
    nothing about firing), unseen, dead, constant, always_on, rare, active.
    """
    shown = tally.samples > 0
    faulty = tally.faulty_samples > 0
    unseen = np.full(tally.units, not shown)
    dead = shown & (tally.peak <= 0)
    constant = (tally.peak == tally.trough) & (tally.peak != 0)
    # The smallest output counts too: a run whose positions could not be counted may still have shown a silent one.
    always_on = (tally.positions > 0) & (tally.fired_positions == tally.positions) & (tally.trough > 0)
    rare = tally.fired_samples / max(tally.samples, 1) < policy.rare_below
    status = np.select(
        [faulty, unseen, dead, constant, always_on, rare],
        ["faulty", "unseen", "dead", "constant", "always_on", "rare"],
        "active",
    )

    def units(name: str) -> tuple[int, ...]:
        return tuple(np.flatnonzero(status == name).tolist())

    return SiteAudit(
        tensor=site.tensor,
        tensors=site.tensors,
        scope=site.scope,
        op=site.op,
        layout=site.layout,
        unit_axis=site.unit_axis,
        axis_from=site.axis_from,
        assumed=site.assumed,
        weight=site.weight,
        units=tally.units,
        samples=tally.samples,
        positions=tally.positions,
        per_run=per_run,
        fired_samples=tuple(tally.fired_samples.tolist()),
        fired_positions=tuple(tally.fired_positions.tolist()),
        first_fired=tuple(None if i == NEVER else i for i in tally.first_fired.tolist()),
        mean=_mean(tally, faulty),
        peak=_numbers(tally.peak, ~faulty),
        trough=_numbers(tally.trough, ~faulty),
        pre_peak=_numbers(tally.pre_peak, ~faulty),
        dead=units("dead"),
        rare=units("rare"),
        always_on=units("always_on"),
        constant=units("constant"),
        faulty=units("faulty"),
        unseen=units("unseen"),
    )


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
