"""THE TABLES of what the counts of a layer cannot be, of all its units and of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relu_audit.judge.checks import Check, are_counts, are_once, are_units, is_count, is_hash
from relu_audit.records import Audit, SiteAudit

Bools = NDArray[np.bool_]

ROUNDING = 0.01
"""Share of the largest output by which a mean, summed in float32, may be off."""


@dataclass(frozen=True)
class UnitCheck:
    """A row about every unit of a layer by itself; ``breaks`` tells for which units it does not hold."""

    field: str
    says: str
    breaks: Callable[[Layer], Bools]


@dataclass(frozen=True)
class Layer:
    """A layer and the audit that it is of; per unit, in arrays: what is null is NaN, and -1 in ``first``."""

    site: SiteAudit
    audit: Audit

    @cached_property
    def fired(self) -> NDArray[np.int64]:
        """Samples in which a unit fired."""
        return np.array(self.site.fired_samples, np.int64)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Positions at which it fired."""
        return np.array(self.site.fired_positions, np.int64)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """The first sample in which it fired."""
        return np.array([-1 if first is None else first for first in self.site.first_fired], np.int64)

    @cached_property
    def peak(self) -> NDArray[np.float64]:
        """Largest outputs."""
        return _floats(self.site.peak)

    @cached_property
    def trough(self) -> NDArray[np.float64]:
        """Smallest outputs."""
        return _floats(self.site.trough)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Mean outputs."""
        return _floats(self.site.mean)

    @cached_property
    def pre_peak(self) -> NDArray[np.float64]:
        """Largest pre-activations."""
        return _floats(self.site.pre_peak)

    @property
    def slack(self) -> NDArray[np.float64]:
        """How far a mean may be off."""
        return ROUNDING * np.maximum(np.abs(self.peak), np.abs(self.trough))

    @property
    def rate(self) -> NDArray[np.float64]:
        """Share of the positions at which a unit fired."""
        return self.places / max(self.site.positions, 1)


def is_plain(site: SiteAudit) -> bool:
    """Whether a layer's output is its pre-activation, where that is positive, and zero elsewhere."""
    return site.op == "Relu" and site.implicit is None and not site.counted_as


def _floats(numbers: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if number is None else number for number in numbers], np.float64)


PER_UNIT = ("fired_samples", "fired_positions", "first_fired", "mean", "peak", "trough", "pre_peak")
"""The fields of a layer that have an entry for each of its units."""

OF_LAYER: tuple[Check[Layer], ...] = (
    Check("units", "is no number of units", lambda one: is_count(one.site.units)),
    *(
        Check(
            name,
            "has not one entry for each unit",
            lambda one, name=name: len(getattr(one.site, name)) == one.site.units,
        )
        for name in PER_UNIT
    ),
    *(
        Check(name, "holds a number that no count can be", lambda one, name=name: are_counts(getattr(one.site, name)))
        for name in ("fired_samples", "fired_positions", "first_fired")
    ),
    Check("samples", "is no number of samples", lambda one: is_count(one.site.samples)),
    Check("samples", "is more than the samples of the data", lambda one: one.site.samples <= one.audit.data.samples),
    Check("positions", "is no number of positions", lambda one: is_count(one.site.positions)),
    Check("positions", "is not zero without samples", lambda one: bool(one.site.samples) or not one.site.positions),
    Check(
        "positions",
        "is less than one for each sample",
        lambda one: one.site.per_run or one.site.positions >= one.site.samples,
    ),
    Check(
        "distinct",
        "is given for the layer only, or for the data only",
        lambda one: (one.site.distinct is None) == (one.audit.data.distinct is None),
    ),
    Check(
        "distinct",
        "is more than the samples of the layer, or less than the distinct samples of the data",
        lambda one: (
            one.site.distinct is None
            or min(one.audit.data.distinct or 0, one.site.samples) <= one.site.distinct <= one.site.samples
        ),
    ),
    Check(
        "tensors", "does not begin with the layer's own tensor", lambda one: one.site.tensors[:1] == (one.site.tensor,)
    ),
    Check("tensors", "names a tensor twice", lambda one: are_once(one.site.tensors)),
    Check("not_rectified", "is no list of units", lambda one: are_units(one.site.exempt, one.site.units)),
    Check("weight_sha256", "is no SHA-256", lambda one: is_hash(one.site.weight_sha256)),
    Check("weight_signs", "is no SHA-256", lambda one: is_hash(one.site.weight_signs)),
    Check(
        "weight",
        "is missing, and has a hash",
        lambda one: one.site.weight is not None or one.site.weight_sha256 is one.site.weight_signs is None,
    ),
    Check(
        "weight_signs",
        "is given without weight_sha256",
        lambda one: not one.site.weight_signs or bool(one.site.weight_sha256),
    ),
    Check(
        "unit_axis", "is not where the layout has the units", lambda one: one.site.unit_axis == _axis(one.site.layout)
    ),
)

OF_UNIT: tuple[UnitCheck, ...] = (
    UnitCheck("fired_samples", "is more than the samples", lambda one: one.fired > one.site.samples),
    UnitCheck("fired_positions", "is more than the positions", lambda one: one.places > one.site.positions),
    UnitCheck("fired_positions", "is not zero, and fired_samples is", lambda one: (one.fired == 0) & (one.places > 0)),
    UnitCheck(
        "fired_positions",
        "is less than fired_samples",
        lambda one: (one.places < one.fired) & (not one.site.per_run),
    ),
    UnitCheck(
        "fired_positions",
        "leaves no position for each sample in which the unit did not fire",
        lambda one: (one.places > one.site.positions - (one.site.samples - one.fired)) & (not one.site.per_run),
    ),
    UnitCheck("first_fired", "contradicts fired_samples", lambda one: (one.first < 0) != (one.fired == 0)),
    UnitCheck(
        "first_fired",
        "leaves no room in the data for fired_samples",
        lambda one: (one.first >= 0) & (one.first + one.fired > one.audit.data.samples),
    ),
    UnitCheck(
        "peak",
        "is given without trough, or trough without peak",
        lambda one: np.isnan(one.peak) != np.isnan(one.trough),
    ),
    UnitCheck(
        "peak", "is given, but no sample reached the layer", lambda one: ~np.isnan(one.peak) & (not one.site.samples)
    ),
    UnitCheck("trough", "is larger than peak", lambda one: one.trough > one.peak),
    UnitCheck(
        "peak",
        "contradicts fired_samples",
        lambda one: ~np.isnan(one.peak) & ((one.peak > 0) != (one.fired > 0)),
    ),
    UnitCheck(
        "trough",
        "contradicts fired_positions",
        lambda one: (one.trough > 0) & ((one.places < one.site.positions) | (one.fired < one.site.samples)),
    ),
    UnitCheck(
        "trough",
        "contradicts fired_positions",
        lambda one: (one.trough <= 0) & (one.places == one.site.positions) & (not one.site.per_run),
    ),
    UnitCheck("mean", "is given without peak", lambda one: ~np.isnan(one.mean) & np.isnan(one.peak)),
    UnitCheck(
        "mean",
        "is not between trough and peak",
        lambda one: (one.mean > one.peak + one.slack) | (one.mean < one.trough - one.slack),
    ),
    UnitCheck(
        "mean",
        "is impossible for a unit that fires at so many positions",
        lambda one: (
            (one.mean > np.maximum(one.peak, 0) * one.rate + one.slack)
            | (one.mean < np.minimum(one.trough, 0) * (1 - one.rate) - one.slack)
        ),
    ),
    UnitCheck(
        "pre_peak",
        "contradicts peak",
        lambda one: (np.maximum(one.pre_peak, 0) != one.peak) & ~np.isnan(one.pre_peak + one.peak) & is_plain(one.site),
    ),
)


def _axis(layout: str) -> int | None:
    """The first axis that holds units, as a layout spells its axes out."""
    axes = re.findall(r"\([^)]*\)|\S+", layout)
    return next((place for place, axis in enumerate(axes) if "u" in axis), None)
