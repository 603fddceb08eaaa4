"""THE TABLES of what an audit cannot say: arithmetic that holds for every audit, whatever the model and the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from relu_audit.judge.checks import LARGEST, Check, are_counts, are_once, are_units, broken, is_count, is_hash, is_share
from relu_audit.judge.layer_checks import OF_LAYER, OF_UNIT, Layer, is_plain
from relu_audit.judge.verdict import judged
from relu_audit.records import (
    CAUSES,
    STATUSES,
    Audit,
    BaselineSite,
    Causes,
    InputInfo,
    Policy,
    Prospect,
    SiteAudit,
    Tied,
)


@dataclass(frozen=True)
class Why:
    """A layer, and why its dead units are dead."""

    site: SiteAudit
    causes: Causes

    @property
    def named(self) -> list[int]:
        """The units of all causes."""
        return sorted(unit for name in CAUSES for unit in getattr(self.causes, name))


OF_CAUSES: tuple[Check[Why], ...] = (
    *(
        Check(name, "is no list of units", lambda one, name=name: are_units(getattr(one.causes, name), one.site.units))
        for name in (*CAUSES, "near_zero", "proven")
    ),
    Check(
        "dead",
        "gives a dead unit no cause or two, or gives a cause to a unit that is not dead",
        lambda one: one.named == list(one.site.dead),
    ),
    Check("causes", "is given, but no unit is dead", lambda one: bool(one.site.dead)),
    Check("proven", "names units that are not dead", lambda one: {*one.causes.proven} <= {*one.named}),
    Check(
        "near_zero",
        "names units of other causes",
        lambda one: {*one.causes.near_zero} <= {*one.causes.zero_weights, *one.causes.normalisation_scale_near_zero},
    ),
    Check("margin", "has not one entry for each dead unit", lambda one: len(one.causes.margin) == len(one.site.dead)),
    Check(
        "margin",
        "contradicts pre_peak",
        lambda one: (
            not is_plain(one.site)
            or all(
                lacks is None or (peak := one.site.pre_peak[unit]) is None or lacks + peak == 0
                for unit, lacks in zip(one.site.dead, one.causes.margin, strict=True)
            )
        ),
    ),
    Check(
        "margin",
        "is given without pre_peak",
        lambda one: all(
            lacks is None or one.site.pre_peak[unit] is not None
            for unit, lacks in zip(one.site.dead, one.causes.margin, strict=True)
        ),
    ),
    Check(
        "obstacle",
        "and not_examined go together",
        lambda one: (one.causes.obstacle is not None) == bool(one.causes.not_examined),
    ),
)

OF_TIED: tuple[Check[tuple[SiteAudit, Tied]], ...] = (
    Check("tied", "is given, but no unit is dead", lambda one: bool(one[0].dead)),
    *(
        Check(name, "is no count", lambda one, name=name: is_count(getattr(one[1], name)))
        for name in ("parameters", "multiply_adds", "read_parameters", "read_multiply_adds")
    ),
    Check(
        "multiply_adds",
        "is given without parameters",
        lambda one: one[1].parameters is not None or one[1].multiply_adds is None,
    ),
)


OF_INPUT: tuple[Check[InputInfo], ...] = (
    Check("shape", "has an axis whose length is no count", lambda one: are_counts(one.shape)),
    Check("axis", "is no axis of the shape", lambda one: one.axis is None or 0 <= one.axis < len(one.shape)),
    Check("axis", "is given, but feeding is not samples", lambda one: one.axis is None or one.feeding == "samples"),
)

OF_POLICY: tuple[Check[Policy], ...] = (
    *(
        Check(name, "is no share from 0 to 1", lambda one, name=name: is_share(getattr(one, name)))
        for name in ("max_dead", "max_dead_layer", "max_rare", "rare_below")
    ),
    Check(
        "layers",
        "has a limit that is no share from 0 to 1",
        lambda one: all(is_share(it.max_dead_layer) for it in one.layers),
    ),
    Check("allow_faulty", "is no number of units", lambda one: is_count(one.allow_faulty)),
    Check("min_samples", "is no number of samples from 1 on", lambda one: 0 < one.min_samples < LARGEST),
    Check(
        "bands",
        "are no shares from 0 to 1, the largest first",
        lambda one: all(map(is_share, one.bands)) and list(one.bands) == sorted({*one.bands}, reverse=True),
    ),
    Check(
        "waivers",
        "has a waiver without pattern or reason",
        lambda one: all(it.pattern.strip() and it.reason.strip() for it in one.waivers),
    ),
)

_UNWELL = ("dead", "rare", "faulty", "unseen")

OF_BASELINE_SITE: tuple[Check[BaselineSite], ...] = (
    Check("units", "is no number of units", lambda one: is_count(one.units)),
    Check("samples", "is no number of samples", lambda one: is_count(one.samples)),
    *(
        Check(name, "is no list of units", lambda one, name=name: are_units(getattr(one, name), one.units))
        for name in _UNWELL
    ),
    Check(
        "dead",
        "and rare, faulty and unseen share a unit",
        lambda one: are_once([unit for name in _UNWELL for unit in getattr(one, name)]),
    ),
    Check("unseen", "contradicts samples", lambda one: len(one.unseen) == (0 if one.samples else one.units)),
    Check("weight_sha256", "is no SHA-256", lambda one: is_hash(one.weight_sha256)),
    Check("weight_signs", "is no SHA-256", lambda one: is_hash(one.weight_signs)),
)

OF_PROSPECT: tuple[Check[tuple[Audit, Prospect]], ...] = (
    Check("align", "is no number from 1 on", lambda one: 0 < one[1].align < LARGEST),
    Check(
        "failure",
        "is given beside a plan, or neither is given",
        lambda one: (one[1].failure is None) == (one[1].before is not None) == (one[1].after is not None),
    ),
    Check("removed", "is no number of units", lambda one: are_counts([one[1].removed, *one[1].kept.values()])),
    Check(
        "removed",
        "and kept do not add up to the dead units",
        lambda one: one[1].removed + sum(one[1].kept.values()) == (0 if one[1].failure else one[0].dead),
    ),
    Check(
        "before",
        "or after holds a cost that is not a count",
        lambda one: all(
            are_counts((cost.parameters, cost.multiply_adds, cost.bytes))
            for cost in (one[1].before, one[1].after)
            if cost is not None
        ),
    ),
)

OF_AUDIT: tuple[Check[Audit], ...] = (
    Check("model.sha256", "is no SHA-256", lambda one: is_hash(one.model.sha256)),
    Check(
        "model.external",
        "holds a text that is not a SHA-256 hash",
        lambda one: all(is_hash(it.sha256) for it in one.model.external),
    ),
    Check("model.external", "names a file twice", lambda one: are_once([it.location for it in one.model.external])),
    Check("model.ir_version", "is no version", lambda one: is_count(one.model.ir_version)),
    Check("model.opsets", "holds what is no version", lambda one: are_counts(one.model.opsets.values())),
    Check("model.parameters", "is no count", lambda one: is_count(one.model.parameters)),
    Check("data.samples", "is no number of samples", lambda one: is_count(one.data.samples)),
    Check("data.sha256", "is no SHA-256", lambda one: is_hash(one.data.sha256 or None)),
    Check("data.sha256", "is missing", lambda one: bool(one.data.sha256) or not one.data.samples),
    Check(
        "data.distinct",
        "is more than the samples, or none of them",
        lambda one: one.data.distinct is None or min(one.data.samples, 1) <= one.data.distinct <= one.data.samples,
    ),
    Check(
        "data.distinct",
        "is less than the distinct samples of every layer",
        lambda one: (
            one.data.distinct is None or not one.sites or one.data.distinct >= min(it.distinct or 0 for it in one.sites)
        ),
    ),
    Check("data.inputs", "names an input twice", lambda one: are_once([it.name for it in one.data.inputs])),
    Check("runtime.batch_size", "is no number of samples from 1 on", lambda one: 0 < one.runtime.batch_size < LARGEST),
    Check("sites", "names a layer twice", lambda one: are_once([(it.scope, it.tensor) for it in one.sites])),
    Check(
        "sites",
        "ties more parameters to dead units than the model has",
        lambda one: (
            sum((it.tied.parameters or 0) + it.tied.read_parameters for it in one.sites if it.tied is not None)
            <= one.model.parameters
        ),
    ),
    Check(
        "prospect",
        "is given, but no unit is dead or the run was interrupted",
        lambda one: one.prospect is None or (one.dead > 0 and not one.partial),
    ),
    Check(
        "baseline",
        "holds a text that is not a SHA-256 hash",
        lambda one: one.baseline is None or (is_hash(one.baseline.model_sha256) and is_hash(one.baseline.data_sha256)),
    ),
    Check(
        "baseline.samples",
        "is no number of samples",
        lambda one: one.baseline is None or is_count(one.baseline.samples),
    ),
    Check(
        "baseline.sites",
        "has a layer of more samples than the baseline",
        lambda one: one.baseline is None or all(it.samples <= one.baseline.samples for it in one.baseline.sites),
    ),
)


def contradiction(audit: Audit) -> str:
    """What an audit says that no audit can say: the field and what is wrong with it. Empty if there is nothing."""
    with np.errstate(over="ignore", invalid="ignore"):
        return next(_contradictions(audit), "")


def _contradictions(audit: Audit) -> Iterator[str]:
    yield from broken(OF_AUDIT, audit, "")
    yield from broken(OF_POLICY, audit.policy, "policy.")
    for place, one in enumerate(audit.data.inputs):
        yield from broken(OF_INPUT, one, f"data.inputs[{place}].")
    for place, site in enumerate(audit.sites):
        yield from _of_site(Layer(site, audit), f"sites[{place}].")
    for place, known in enumerate(audit.baseline.sites if audit.baseline else ()):
        yield from broken(OF_BASELINE_SITE, known, f"baseline.sites[{place}].")
    if audit.prospect is not None:
        yield from broken(OF_PROSPECT, (audit, audit.prospect), "prospect.")


def _of_site(layer: Layer, where: str) -> Iterator[str]:
    site = layer.site
    yield from broken(OF_LAYER, layer, where)
    for check in OF_UNIT:
        units = np.flatnonzero(check.breaks(layer))
        if len(units):
            yield f"{where}{check.field}[{units[0]}] {check.says}"
    counted = judged(site, layer.audit.policy)
    for status in STATUSES:
        if status != "active" and getattr(counted, status) != getattr(site, status):
            yield f"{where}{status} is not what the counts say"
    if site.causes is not None:
        yield from broken(OF_CAUSES, Why(site, site.causes), f"{where}causes, ")
    if site.tied is not None:
        yield from broken(OF_TIED, (site, site.tied), f"{where}tied, ")
