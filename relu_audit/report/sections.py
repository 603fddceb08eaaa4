"""What the sections of the page say of an audit, computed here so that the templates only place it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relu_audit.judge.evidence import CONFIDENCE, rate_below
from relu_audit.records import Audit, SiteAudit, Status, share
from relu_audit.report.breaches import against
from relu_audit.report.checks import Check, LeftOut, checked, waived
from relu_audit.report.numbers import limit, listed

LOW_LEVELS = (0.2, 0.3, 0.5)
"""A layer with a smaller share of its units alive than one of these stands out, the more the smaller."""

WORST = 3
"""Layers that the verdict names of those with dead units, and of those with faulty ones."""

SHOWN_CHECKS = 4
"""More broken limits than this are folded away."""

MOST_RUNS = 40_000
"""Dead indices are listed as runs of neighbours, at most so many on the page: every layer with dead units has an equal
share, lists no more than that, and says so."""

LONGEST_LABEL = 40
"""Where room is short a longer name loses its middle: the names of one model tend to begin, and to end, alike."""

LABEL_HEAD = 10
"""Characters that such a name keeps of its beginning."""

SHOWN_RUNS = 6
"""More runs than this are folded away."""

LEAST_SHARE = 0.006
"""No part of a bar is drawn narrower than this share of it, or a single dead unit could not be seen."""


Kind = Literal["active", "other", "rare", "dead"]


@dataclass(frozen=True)
class Segment:
    """A part of a stacked bar; ``start`` and ``width`` are percentages of the bar, as SVG wants them."""

    kind: Kind
    units: int
    start: str
    width: str


@dataclass(frozen=True)
class Layer:
    """A site with what several sections say of it.

    Attributes:
        depth: Place in the graph, from 1.
        name: The tensor, after the path of the subgraph it sits in.
        counted: What its firing rate is a share of: samples, or runs of the model.
        alive: Units that fired at least once, all of their outputs finite.
        alive_fraction: Their share of the observed units; None if none was observed.
        low: The smallest of ``LOW_LEVELS`` that the share is under; None if it is under none.
        bar: What its units are, as parts of a bar.
        dead_runs: The dead units' indices, runs of neighbours joined, at most its share of ``MOST_RUNS``.
        dead_unlisted: Dead units beyond those.
    """

    depth: int
    site: SiteAudit
    name: str
    counted: Literal["samples", "runs"]
    alive: int
    alive_fraction: float | None
    low: float | None
    bar: tuple[Segment, ...]
    dead_runs: tuple[str, ...]
    dead_unlisted: int

    @property
    def label(self) -> str:
        """The name, or the two ends of a long one."""
        if len(self.name) <= LONGEST_LABEL:
            return self.name
        return f"{self.name[:LABEL_HEAD]}…{self.name[LABEL_HEAD + 1 - LONGEST_LABEL :]}"

    @property
    def weight_beside(self) -> bool:
        """Whether there is room for the weight's name beside the label, which then is too short to tell much."""
        return self.site.weight is not None and len(self.name) <= LONGEST_LABEL // 2

    @property
    def folded(self) -> bool:
        """Whether the list of dead units is too long to stand open in a table."""
        return len(self.dead_runs) > SHOWN_RUNS


def shown(audit: Audit) -> tuple[Status, ...]:
    """The statuses a table has columns for: those that nearly every model lacks only where they occur."""
    seldom: tuple[Status, ...] = ("constant", "faulty", "unseen")
    return ("rare", "always_on", *(status for status in seldom if any(getattr(site, status) for site in audit.sites)))


def layers(audit: Audit) -> tuple[Layer, ...]:
    """The sites in graph order, with what several sections say of them."""
    most_runs = MOST_RUNS // max(1, sum(bool(site.dead) for site in audit.sites))
    return tuple(_layer(depth, site, most_runs) for depth, site in enumerate(audit.sites, 1))


def _layer(depth: int, site: SiteAudit, most_runs: int) -> Layer:
    alive = site.observed_units - len(site.dead) - len(site.faulty)
    fraction = share(alive, site.observed_units)
    dead_runs, dead_unlisted = listed(site.dead, most_runs)
    return Layer(
        depth=depth,
        site=site,
        name=site.name,
        counted="runs" if site.per_run else "samples",
        alive=alive,
        alive_fraction=fraction,
        low=next((level for level in LOW_LEVELS if fraction is not None and fraction < level), None),
        bar=_bar(site.active, len(site.rare), len(site.dead), site.units),
        dead_runs=dead_runs,
        dead_unlisted=dead_unlisted,
    )


def _bar(active: int, rare: int, dead: int, units: int) -> tuple[Segment, ...]:
    """All units as a bar. Dead units come last: flush right, they compare across layers."""
    return bar({"active": active, "other": units - active - rare - dead, "rare": rare, "dead": dead})


def bar(counts: Mapping[Kind, int]) -> tuple[Segment, ...]:
    """The parts of a bar, in the order given, without the empty ones."""
    units = sum(counts.values())
    widths: dict[Kind, float] = {kind: max(number / units, LEAST_SHARE) for kind, number in counts.items() if number}
    scale = 100 / sum(widths.values(), start=0.0) if widths else 0.0
    segments: list[Segment] = []
    start = 0.0
    for kind, width in widths.items():
        segments.append(Segment(kind, counts[kind], f"{start:.3f}%", f"{width * scale:.3f}%"))
        start += width * scale
    return tuple(segments)


@dataclass(frozen=True)
class Verdict:
    """The first thing to read.

    Attributes:
        word: The gate's word.
        checks: Every limit that was broken, and those that are set and were not; the first ones.
        more_checks: The rest of them.
        waived: What each waiver leaves out.
        against: What the baseline has to do with it; empty without one.
        bar: What all the units are, as parts of one bar.
        observed_units: Units that at least one sample reached.
        worst: The layers with the largest dead shares, at most ``WORST``.
        others: Further layers with dead units.
        faulty: The first layers with faulty units, at most ``WORST``.
        others_faulty: Further layers with faulty units.
        rate_below: The smallest firing rate that this many samples can rule out; None without samples.
        confidence: How sure that is, as a percentage.
        fewer: Layers whose dead units rest on fewer samples, or on something other than samples.
        assumed: Layers whose unit axis is assumed.
    """

    word: str
    checks: tuple[Check, ...]
    more_checks: tuple[Check, ...]
    waived: tuple[LeftOut, ...]
    against: str
    bar: tuple[Segment, ...]
    observed_units: int
    worst: tuple[Layer, ...]
    others: int
    faulty: tuple[Layer, ...]
    others_faulty: int
    rate_below: float | None
    confidence: str
    fewer: int
    assumed: int


_WORDS = {"passed": "Passed", "failed": "Failed", "inconclusive": "Inconclusive", "not_set": "No limit set"}


def verdict(audit: Audit, layers: Sequence[Layer]) -> Verdict:
    """The first section."""
    summary = audit.summary
    hit = [layer for layer in layers if layer.site.dead]
    faulty = [layer for layer in layers if layer.site.faulty]
    checks = checked(audit)
    worst = sorted(hit, key=lambda layer: (-(layer.site.dead_fraction or 0), layer.depth))[:WORST]
    return Verdict(
        word=_WORDS[audit.gate.outcome],
        checks=checks[:SHOWN_CHECKS],
        more_checks=checks[SHOWN_CHECKS:],
        waived=waived(audit),
        against=against(audit),
        bar=_bar(summary.active, summary.rare, summary.dead, summary.units),
        observed_units=summary.units - summary.unseen,
        worst=tuple(worst),
        others=len(hit) - len(worst),
        faulty=tuple(faulty[:WORST]),
        others_faulty=len(faulty[WORST:]),
        rate_below=rate_below(audit.data.samples),
        confidence=limit(CONFIDENCE),
        fewer=sum(bool(site.dead) and (site.per_run or site.samples < audit.data.samples) for site in audit.sites),
        assumed=sum(site.assumed for site in audit.sites),
    )


@dataclass(frozen=True)
class Extreme:
    """A unit and a value of it."""

    unit: int
    value: float


@dataclass(frozen=True)
class Evidence:
    """How sure it is that a layer's dead units are dead.

    Attributes:
        rate_below: A dead unit's firing rate lies below this.
        nearest: The dead unit that came nearest to firing, and its largest pre-activation; None if not recorded.
        faintest: The alive unit that fired least strongly, and its largest output; None if none is alive.
    """

    layer: Layer
    rate_below: float | None
    nearest: Extreme | None
    faintest: Extreme | None


def evidence(layers: Iterable[Layer]) -> tuple[Evidence, ...]:
    """What is known of the dead units of each layer that has some, and of the faintest that live."""
    return tuple(
        Evidence(layer, rate_below(layer.site.samples), _nearest(layer.site), _faintest(layer.site))
        for layer in layers
        if layer.site.dead
    )


def _nearest(site: SiteAudit) -> Extreme | None:
    heights = [Extreme(unit, peak) for unit in site.dead if (peak := site.pre_peak[unit]) is not None]
    return max(heights, key=lambda one: (one.value, -one.unit), default=None)


def _faintest(site: SiteAudit) -> Extreme | None:
    silent = {*site.dead, *site.faulty, *site.unseen}
    heights = [
        Extreme(unit, peak)
        for unit, peak in enumerate(site.peak)
        if peak is not None and peak > 0 and unit not in silent
    ]
    return min(heights, key=lambda one: (one.value, one.unit), default=None)
