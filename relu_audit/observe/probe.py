"""Read the results of a run back as rows: one per sample, one column per unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from relu_audit.errors import RunError
from relu_audit.observe.tally import Counts, Floats, Rows

EXACT_POSITIONS = 1 << 24
"""Up to here a float32 sum of ones is the count."""

Results = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Probe:
    """Where one rectifier shows in a run's results.

    Attributes:
        names: Result names by what they hold: ``y`` and ``x``, a value and its pre-activation read whole; or what is
            left of them after reduction over positions: ``mass``, ``peak``, ``trough``, ``fired``, ``positions``, and
            perhaps ``pre_peak`` and ``pre_mass``.
        roles: Role of each axis of the (unfolded) value: ``n``, ``u`` or ``~``.
        parts: Rank of each unit axis in the numbering of units, for axes of role ``u``.
        per_sample: Whether a run's rows are its samples; otherwise the run is one row.
        bits: Whether counts stand in the bits of denormal sums.
    """

    names: Mapping[str, str]
    roles: tuple[str, ...]
    parts: Mapping[int, tuple[int, ...]]
    per_sample: bool
    bits: bool

    @property
    def gone(self) -> tuple[int, ...]:
        """Axes that are reduced."""
        return tuple(i for i, role in enumerate(self.roles) if role == "~" or (role == "n" and not self.per_sample))


def rows(site: Sequence[Probe], results: Results, samples: int, *, padded: bool = False) -> Rows | None:
    """Read one site from a run's results; None if the run did not reach it.

    Args:
        site: Its probes, one per place in the graph.
        results: Result arrays by name.
        samples: Rows that are samples; further ones are padding and dropped.
        padded: Whether the run held padding, which a site without a batch axis cannot leave out of its counts.

    Raises:
        RunError: ``too-many-positions``, ``count-contradiction`` or ``batch-axis``.
    """
    read = [_whole(probe, results) if "y" in probe.names else _reduced(probe, results) for probe in site]
    reached = [rows for rows in read if rows is not None]
    if not reached:
        return None
    total = reached[0]
    for other in reached[1:]:
        total = total.beside(other)
    if not site[0].per_sample:
        return replace(total, positions=0) if padded else total
    if len(total.fired) < samples:
        raise RunError(
            f"a batch of {samples} samples came out as {len(total.fired)}: the model does not keep its batch axis",
            slug="batch-axis",
            hint="Feed one sample at a time: --batch-size 1.",
        )
    return total.head(samples)


def _whole(probe: Probe, results: Results) -> Rows:
    y = _number(results[probe.names["y"]])
    x = _number(results[probe.names["x"]]) if "x" in probe.names else None
    gone = probe.gone
    with np.errstate(over="ignore", invalid="ignore"):
        return Rows(
            fired=_table(probe, (y > 0).sum(axis=gone, dtype=np.int64)),
            mass=_table(probe, y.sum(axis=gone)),
            peak=_table(probe, np.fmax.reduce(y, axis=gone) if gone else y),
            trough=_table(probe, np.fmin.reduce(y, axis=gone) if gone else y),
            pre_peak=None if x is None else _table(probe, np.fmax.reduce(x, axis=gone) if gone else x),
            pre_mass=None if x is None else _table(probe, x.sum(axis=gone)),
            positions=math.prod(y.shape[axis] for axis in gone),
        )


def _reduced(probe: Probe, results: Results) -> Rows | None:
    names = probe.names
    positions = int(results[names["positions"]].sum())
    if not positions:
        return None
    if probe.bits and positions > EXACT_POSITIONS:
        raise RunError(
            f"a rectifier has {positions:,} positions in one sample; counts are exact up to {EXACT_POSITIONS:,}",
            slug="too-many-positions",
            hint="Cut the inputs into tiles.",
        )
    peak = _table(probe, _number(results[names["peak"]]))
    fired = _table(probe, _counts(results[names["fired"]], bits=probe.bits))
    mass = _table(probe, _number(results[names["mass"]]))
    if np.any(((peak > 0) != (fired > 0)) & np.isfinite(mass)):
        raise RunError(
            "counts and maxima contradict each other: the runtime flushes the smallest numbers to zero",
            slug="count-contradiction",
            hint="Run on the CPU provider in a process that has not enabled flush-to-zero.",
        )
    return Rows(
        fired=fired,
        mass=mass,
        peak=peak,
        trough=_table(probe, _number(results[names["trough"]])),
        pre_peak=_table(probe, _number(results[names["pre_peak"]])) if "pre_peak" in names else None,
        pre_mass=_table(probe, _number(results[names["pre_mass"]])) if "pre_mass" in names else None,
        positions=positions,
    )


def _table(probe: Probe, reduced: np.ndarray) -> np.ndarray:
    """Axes left after reduction as [samples, units], units numbered as in the weight that bore them."""
    left = [axis for axis in range(len(probe.roles)) if axis not in probe.gone]
    batch = [i for i, axis in enumerate(left) if probe.roles[axis] == "n"]
    units = sorted((i for i, axis in enumerate(left) if probe.roles[axis] == "u"), key=lambda i: probe.parts[left[i]])
    if reduced.ndim != len(left):
        raise RunError(
            f"a rectifier's value has {reduced.ndim} axes left where the file says {len(left)}",
            slug="wrong-shape",
            hint="Take the shapes out of the file (value_info) and let them be inferred.",
        )
    arranged = reduced.transpose(*batch, *units)
    return arranged.reshape(arranged.shape[0] if batch else 1, -1)


def _counts(sums: np.ndarray, *, bits: bool) -> Counts:
    if not bits:
        return np.nan_to_num(sums, nan=0).astype(np.int64)
    # A sum of nothing but negative zeros, as LeakyRelu of slope 0 makes them, is a negative zero: ignore the sign.
    magnitudes = np.abs(np.nan_to_num(sums, nan=0))
    return magnitudes.view(np.int32 if sums.dtype == np.float32 else np.int64).astype(np.int64)


def _number(array: np.ndarray) -> Floats:
    return array.astype(np.float64)
