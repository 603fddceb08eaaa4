"""What the sections of the page say of an audit, computed here so that the templates only place it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relu_audit.judge.depth import Trend, trend
from relu_audit.judge.evidence import CONFIDENCE, rate_below
from relu_audit.records import Audit, SiteAudit, Status, share
from relu_audit.report.breaches import against
from relu_audit.report.checks import Check, LeftOut, checked, waived
from relu_audit.report.numbers import limit, listed

WORST = 3
"""Layers that the verdict names of those with dead units, of those with faulty ones and of those with unseen ones."""

MANY_LAYERS = 16
"""More layers than this are also drawn side by side, since their list is longer than a screen."""

SHOWN_CHECKS = 4
"""More broken limits than this are folded away."""

MOST_RUNS = 10_000
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
        low: The smallest of the policy's bands that the share is under; None if it is under none.
        grave: Whether that is a lower band than the first.
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
    grave: bool
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
    bands = sorted(audit.policy.bands)
    return tuple(_layer(depth, site, bands, most_runs) for depth, site in enumerate(audit.sites, 1))


def _layer(depth: int, site: SiteAudit, bands: Sequence[float], most_runs: int) -> Layer:
    alive = site.observed_units - len(site.dead) - len(site.faulty)
    fraction = share(alive, site.observed_units)
    under = [band for band in bands if fraction is not None and fraction < band]
    dead_runs, dead_unlisted = listed(site.dead, most_runs)
    return Layer(
        depth=depth,
        site=site,
        name=site.name,
        counted="runs" if site.per_run else "samples",
        alive=alive,
        alive_fraction=fraction,
        low=min(under, default=None),
        grave=len(under) > 1,
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
        alive_fraction: Share of those that fired at least once, all of their outputs finite.
        profile: The bars of many layers side by side, as SVG paths in a square of 1000 over dead units; none of few.
        worst: The layers with the largest dead shares, at most ``WORST``.
        others: Further layers with dead units.
        faulty: The first layers with faulty units, at most ``WORST``.
        others_faulty: Further layers with faulty units.
        unseen: The first layers with units that no sample reached, at most ``WORST``.
        others_unseen: Further layers with such units.
        rate_below: The smallest firing rate that this many samples can rule out; None without samples.
        confidence: How sure that is, as a percentage.
        trend: How death goes with depth, where it does.
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
    alive_fraction: float | None
    profile: tuple[tuple[Kind, str], ...]
    worst: tuple[Layer, ...]
    others: int
    faulty: tuple[Layer, ...]
    others_faulty: int
    unseen: tuple[Layer, ...]
    others_unseen: int
    rate_below: float | None
    confidence: str
    trend: Trend | None
    fewer: int
    assumed: int


_WORDS = {"passed": "Passed", "failed": "Failed", "inconclusive": "Inconclusive", "not_set": "No limit set"}


def verdict(audit: Audit, layers: Sequence[Layer]) -> Verdict:
    """The first section."""
    summary = audit.summary
    hit = [layer for layer in layers if layer.site.dead]
    faulty = [layer for layer in layers if layer.site.faulty]
    unseen = [layer for layer in layers if layer.site.unseen]
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
        alive_fraction=share(sum(layer.alive for layer in layers), summary.units - summary.unseen),
        profile=_profile(layers) if len(layers) > MANY_LAYERS else (),
        worst=tuple(worst),
        others=len(hit) - len(worst),
        faulty=tuple(faulty[:WORST]),
        others_faulty=len(faulty[WORST:]),
        unseen=tuple(unseen[:WORST]),
        others_unseen=len(unseen[WORST:]),
        rate_below=rate_below(audit.data.evidence),
        confidence=limit(CONFIDENCE),
        trend=trend(audit.sites),
        fewer=sum(bool(site.dead) and (site.per_run or site.samples < audit.data.samples) for site in audit.sites),
        assumed=sum(site.assumed for site in audit.sites),
    )


def _profile(layers: Sequence[Layer]) -> tuple[tuple[Kind, str], ...]:
    """What is not dead, each kind as one shape over those drawn after it: active, then other, then rare from below."""
    kinds: tuple[Kind, ...] = ("active", "other", "rare")
    steps: dict[Kind, list[str]] = {kind: [] for kind in kinds}
    for place, layer in enumerate(layers):
        left, right = (1000 * edge / len(layers) for edge in (place, place + 1))
        height = 0.0
        parts = {part.kind: part.units / layer.site.units for part in layer.bar}
        for kind in kinds:
            height += 1000 * parts.get(kind, 0.0)
            steps[kind].append(f"H{left:.1f}V{1000 - height:.1f}H{right:.1f}")
    return tuple((kind, f"M0 1000{''.join(steps[kind])}V1000z") for kind in reversed(kinds))
