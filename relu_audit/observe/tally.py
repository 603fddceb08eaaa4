"""The monoid of an audit: what was counted per unit, merged in any order to the same result.

``zero`` is the identity, ``merge`` is associative and commutative, and a stream is nothing but a fold of
``merge(state, of(rows))``. Counts are int64 and extrema float64, so they are identical however the data is cut; sums
are kept to twice double precision, so means agree to far more digits than are ever printed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
"""``first_fired`` of a unit that has not fired."""


@dataclass(frozen=True)
class Rows:
    """What one run of the model showed of a site: one row per sample, one column per unit.

    Attributes:
        fired: [samples, units] positions at which the unit was positive.
        mass: [samples, units] sum of the outputs over positions; NaN if any of them was.
        peak: [samples, units] largest output.
        trough: [samples, units] smallest output.
        pre_peak: [samples, units] largest pre-activation; None if it was not observed.
        pre_mass: [samples, units] sum of pre-activations, observed where the rectifier hides a NaN; else None.
        positions: Positions per sample; 0 where copies of a sample pad the run, so that nothing can be counted in it
            but whether and how far a unit fired.
    """

    fired: Counts
    mass: Floats
    peak: Floats
    trough: Floats
    pre_peak: Floats | None
    pre_mass: Floats | None
    positions: int

    def beside(self, other: Rows) -> Rows:
        """The same samples at another place of the same site: positions add up."""
        with np.errstate(invalid="ignore", over="ignore"):
            return Rows(
                fired=self.fired + other.fired,
                mass=self.mass + other.mass,
                peak=np.fmax(self.peak, other.peak),
                trough=np.fmin(self.trough, other.trough),
                pre_peak=_both(np.fmax, self.pre_peak, other.pre_peak),
                pre_mass=_both(np.add, self.pre_mass, other.pre_mass),
                positions=self.positions + other.positions,
            )

    def head(self, samples: int) -> Rows:
        """The first ``samples`` rows; the others are padding."""
        if samples == len(self.fired):
            return self
        return Rows(
            fired=self.fired[:samples],
            mass=self.mass[:samples],
            peak=self.peak[:samples],
            trough=self.trough[:samples],
            pre_peak=None if self.pre_peak is None else self.pre_peak[:samples],
            pre_mass=None if self.pre_mass is None else self.pre_mass[:samples],
            positions=self.positions,
        )


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts and extrema per unit, over all samples so far. Every array has one entry per unit.

    Attributes:
        samples: Samples seen.
        positions: Positions seen per unit.
        fired_samples: Samples in which the unit was positive somewhere.
        fired_positions: Positions at which it was positive.
        first_fired: Index of the first sample in which it was; ``NEVER`` otherwise.
        mass: Sum of outputs, in two doubles whose sum it is: [2, units].
        peak: Largest output; -inf if none was seen.
        trough: Smallest output; inf if none was seen.
        pre_peak: Largest pre-activation; -inf if none was observed.
        faulty_samples: Samples in which NaN or infinity was seen.
    """

    samples: int
    positions: int
    fired_samples: Counts
    fired_positions: Counts
    first_fired: Counts
    mass: Floats
    peak: Floats
    trough: Floats
    pre_peak: Floats
    faulty_samples: Counts

    @staticmethod
    def zero(units: int) -> Tally:
        """Nothing seen yet of ``units`` units."""
        none = np.zeros(units, np.int64)
        low = np.full(units, -np.inf)
        return Tally(
            samples=0,
            positions=0,
            fired_samples=none,
            fired_positions=none,
            first_fired=np.full(units, NEVER),
            mass=np.zeros((2, units)),
            peak=low,
            trough=-low,
            pre_peak=low,
            faulty_samples=none,
        )

    @staticmethod
    def of(rows: Rows, first: int) -> Tally:
        """The tally of some samples, the first of which has index ``first``.

        Raises:
            ValueError: There is not a single sample.
        """
        samples, units = rows.fired.shape
        if not samples:
            raise ValueError("a tally of no samples: use Tally.zero")
        peak, trough = rows.peak, rows.trough
        bad = np.isnan(rows.mass) | ~np.isfinite(peak) | ~np.isfinite(trough)
        if rows.pre_mass is not None:
            bad = bad | np.isnan(rows.pre_mass)
        fired = rows.fired > 0
        numbers: Counts = np.arange(first, first + samples, dtype=np.int64)
        index = np.where(fired, numbers[:, None], NEVER)
        counted = rows.positions > 0
        return Tally(
            samples=samples,
            positions=samples * rows.positions,
            fired_samples=fired.sum(axis=0),
            fired_positions=rows.fired.sum(axis=0) * counted,
            first_fired=index.min(axis=0),
            mass=_sum(rows.mass) * counted,
            peak=_highest(peak),
            trough=np.fmin.reduce(trough, initial=np.inf),
            pre_peak=_highest(np.full((1, units), -np.inf) if rows.pre_peak is None else rows.pre_peak),
            faulty_samples=bad.sum(axis=0),
        )

    def merge(self, other: Tally) -> Tally:
        """Everything seen by either. Neither argument changes."""
        with np.errstate(over="ignore", invalid="ignore"):
            mass = _plus(self.mass, other.mass)
        return Tally(
            samples=self.samples + other.samples,
            positions=self.positions + other.positions,
            fired_samples=self.fired_samples + other.fired_samples,
            fired_positions=self.fired_positions + other.fired_positions,
            first_fired=np.minimum(self.first_fired, other.first_fired),
            mass=mass,
            peak=np.fmax(self.peak, other.peak),
            trough=np.fmin(self.trough, other.trough),
            pre_peak=np.fmax(self.pre_peak, other.pre_peak),
            faulty_samples=self.faulty_samples + other.faulty_samples,
        )

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.peak)


def _highest(table: Floats) -> Floats:
    return np.fmax.reduce(table, initial=-np.inf)


def _sum(table: Floats) -> Floats:
    """Sum over axis 0, in the widest float there is, as two doubles: [2, units]."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = table.sum(axis=0, dtype=np.longdouble)
        high = total.astype(np.float64)
        return np.stack([high, np.where(np.isfinite(high), total - high, 0.0).astype(np.float64)])


def _plus(a: Floats, b: Floats) -> Floats:
    """Sum of two double-doubles: Knuth's exact two-sum on the high parts (TAOCP 2, 4.2.2, theorem B)."""
    high = a[0] + b[0]
    back = high - a[0]
    error = (a[0] - (high - back)) + (b[0] - back)
    low = np.where(np.isfinite(error), error + a[1] + b[1], 0.0)
    total = high + low
    return np.stack([total, np.where(np.isfinite(total), low - (total - high), 0.0)])


def _both(ufunc: np.ufunc, a: Floats | None, b: Floats | None) -> Floats | None:
    return None if a is None or b is None else ufunc(a, b)
