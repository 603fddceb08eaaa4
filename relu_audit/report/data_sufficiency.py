"""Was the data enough? What the page says of the silence of units, and of what more data would change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from relu_audit.judge.evidence import rate_below
from relu_audit.judge.forecast import FARTHEST, Forecast, forecast, silent_after, times_fired
from relu_audit.records import Audit, SiteAudit
from relu_audit.report.curves import Chart, Scale, chart, spark
from relu_audit.report.sections import Layer

PARTS = (4, 2, 1)
"""The table tells how many units were silent after a quarter of the samples, after half and after all of them."""

MOST_ONCE = 1_000
"""Units that fired in exactly one sample are listed on the page, at most so many; every layer that has some has an
equal share, and what is left out is counted."""

AWAKE = 0.05
"""Data that is expected to leave all but such a share of the silent units silent, even at the upper end of the band,
was enough for what it is asked."""

STIRRING = 0.2
"""Data of which as much again is expected to wake such a share of them or more was not."""


@dataclass(frozen=True)
class Once:
    """Units of a layer that fired in exactly one sample: unit and sample of those listed, and how many are not."""

    layer: Layer
    units: tuple[tuple[int, int], ...]
    unlisted: int


@dataclass(frozen=True)
class Silence:
    """Silent units of some layers against samples seen.

    Attributes:
        after: How many were silent after each of ``DataSufficiency.samples``.
        once: Units that fired in exactly one sample.
        ahead: What as many samples again would wake; None where no unit is silent.
        spark: The curve, small; an SVG path.
    """

    after: tuple[int, ...]
    once: int
    ahead: Forecast | None
    spark: str

    @property
    def stirring(self) -> bool:
        """Whether as many samples again are expected to wake many of the silent units, and one at least."""
        return self.ahead is not None and self.ahead.expected >= max(STIRRING * self.after[-1], 1)


@dataclass(frozen=True)
class DataSufficiency:
    """The answer.

    Attributes:
        word: In short: yes, no, or not sure.
        samples: Numbers of samples of the table's columns, ascending; the last is all of them.
        layers: Each layer that was observed.
        whole: All of them together.
        chart: The curve of all of them, with the forecast.
        times: How many units fired in exactly one sample, in two, and so on: what the forecast rests on.
        once: Where units fired in exactly one sample.
    """

    word: str
    samples: tuple[int, ...]
    layers: tuple[tuple[Layer, Silence], ...]
    whole: Silence
    chart: Chart
    times: tuple[int, ...]
    once: tuple[Once, ...]


def data_sufficiency(audit: Audit, layers: Sequence[Layer]) -> DataSufficiency | None:
    """What the samples told, and what more of them would; None if no unit was observed soundly."""
    samples = audit.data.samples
    step = audit.runtime.batch_size
    judged = {layer.depth: tuple(_firsts(layer.site, step, samples)) for layer in layers}
    judged = {depth: firsts for depth, firsts in judged.items() if firsts}
    if not judged:
        return None
    columns = tuple(sorted({max(samples // part, 1) for part in PARTS}))
    scale = Scale(samples)
    every = [first for firsts in judged.values() for first in firsts]
    times = {layer.depth: _times(layer.site) for layer in layers if layer.depth in judged}
    pooled = tuple(map(sum, zip(*times.values(), strict=True)))
    whole = _silence(every, pooled, columns, scale)
    return DataSufficiency(
        word=_word(audit, whole),
        samples=columns,
        layers=tuple(
            (layer, _silence(judged[layer.depth], times[layer.depth], columns, scale))
            for layer in layers
            if layer.depth in judged
        ),
        whole=whole,
        chart=chart(scale, every, pooled),
        times=pooled[1:],
        once=tuple(_once(layers)),
    )


def _sound(site: SiteAudit) -> list[int]:
    """Units of which silence or firing can be told."""
    unsound = {*site.faulty, *site.unseen}
    return [unit for unit in range(site.units) if unit not in unsound]


def _firsts(site: SiteAudit, step: int, samples: int) -> Iterator[int | None]:
    """The first sample each sound unit fired in; the last one of the run, where runs were counted."""
    for unit in _sound(site):
        first = site.first_fired[unit]
        yield min(step * (first + 1), samples) - 1 if site.per_run and first is not None else first


def _times(site: SiteAudit) -> tuple[int, ...]:
    return times_fired(site.fired_samples[unit] for unit in _sound(site))


def _silence(firsts: Sequence[int | None], times: Sequence[int], columns: Sequence[int], scale: Scale) -> Silence:
    return Silence(
        after=silent_after(firsts, columns),
        once=times[1],
        ahead=forecast(times, FARTHEST) if times[0] else None,
        spark=spark(scale, firsts),
    )


def _word(audit: Audit, whole: Silence) -> str:
    silent, ahead = whole.after[-1], whole.ahead
    if audit.data.synthetic:
        return "No: it is made up."
    if audit.data.evidence < audit.policy.min_samples:
        return "No: there is too little of it."
    if ahead is None:
        return "Yes: every unit that could be judged has fired."
    if whole.stirring:
        return "No: many of the silent units would wake with more."
    if ahead.high <= AWAKE * silent:
        return "Yes: more of it would hardly wake a unit."
    if ahead.expected < 1 and not whole.once:
        return "Probably: nothing in it points to more units waking."
    return "Nearly: some of the silent units may wake with more."


def _once(layers: Sequence[Layer]) -> Iterator[Once]:
    found = [(layer, _pairs(layer.site)) for layer in layers]
    found = [(layer, pairs) for layer, pairs in found if pairs]
    most = MOST_ONCE // max(len(found), 1)
    for layer, pairs in found:
        yield Once(layer, tuple(pairs[:most]), len(pairs[most:]))


def _pairs(site: SiteAudit) -> list[tuple[int, int]]:
    firsts = ((unit, site.first_fired[unit]) for unit in _sound(site) if site.fired_samples[unit] == 1)
    return [(unit, first) for unit, first in firsts if first is not None]


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
        Evidence(layer, rate_below(layer.site.evidence), _nearest(layer.site), _faintest(layer.site))
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
