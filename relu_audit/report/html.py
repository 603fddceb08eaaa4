"""The audit as one self-contained HTML page, and as a fragment for notebooks.

The page is assembled from ``templates/page.html``, which includes one template per section. What a section needs
beyond the records is computed here, by one function per section. Nothing is loaded: the style and the scripts stand
inline and are allowed by their hashes, so that the page works from disk under a policy that forbids all else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import pairwise
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from relu_audit.judge.evidence import CONFIDENCE, rate_below
from relu_audit.records import STATUSES, Audit, SiteAudit, Status, share
from relu_audit.report.numbers import count, limit, percent

STYLES = ("page.css",)
"""Files of ``templates/`` that become the page's inline style sheets."""

SCRIPTS = ("sort.js", "bulbs.js", "paper.js")
"""Files of ``templates/`` that become the page's inline scripts; each of them stands alone."""

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

CELL_SIZES = ((20_000, 12), (100_000, 9))
"""Pixels of a unit's cell by the units of the whole model, so that the page's canvases stay within memory."""

SMALLEST_CELL = 5


def write(audit: Audit) -> str:
    """The audit as one HTML page that needs nothing but itself. Same audit, same bytes."""
    styles = tuple(map(_asset, STYLES))
    scripts = tuple(map(_asset, SCRIPTS))
    layers = _layers(audit)
    page = (
        _environment()
        .get_template("page.html")
        .render(
            audit=audit,
            csp=_content_security_policy(styles, scripts),
            styles=styles,
            scripts=scripts,
            layers=layers,
            shown=_shown(audit),
            verdict=_verdict(audit, layers),
            bulbs=_bulbs(audit, layers),
            evidence=_evidence(layers),
        )
    )
    return _printable(page)


def fragment(audit: Audit) -> str:
    """The verdict and a table of the layers, to be embedded in a notebook: no script, no ids, all style scoped."""
    layers = _layers(audit)
    part = (
        _environment()
        .get_template("fragment.html")
        .render(audit=audit, style=_asset("fragment.css"), layers=layers, verdict=_verdict(audit, layers))
    )
    return _printable(part)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("relu_audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, percent=percent, limit=limit, bound=bound, measured=measured)  # pyright: ignore[reportUnknownMemberType]
    return environment


@cache
def _asset(name: str) -> str:
    return resources.files("relu_audit.report").joinpath("templates", name).read_text("utf-8")


def _content_security_policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "style-src " + " ".join(map(_source_hash, styles)),
            "script-src " + " ".join(map(_source_hash, scripts)),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _printable(page: str) -> str:
    """Names may hold what no HTML document may: control characters, and halves of surrogate pairs from file names."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", page)


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


# ---- layers

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


def _shown(audit: Audit) -> tuple[Status, ...]:
    """The statuses a table has columns for: those that nearly every model lacks only where they occur."""
    seldom: tuple[Status, ...] = ("constant", "faulty", "unseen")
    return ("rare", "always_on", *(status for status in seldom if any(getattr(site, status) for site in audit.sites)))


def _layers(audit: Audit) -> tuple[Layer, ...]:
    most_runs = MOST_RUNS // max(1, sum(bool(site.dead) for site in audit.sites))
    return tuple(_layer(depth, site, most_runs) for depth, site in enumerate(audit.sites, 1))


def _layer(depth: int, site: SiteAudit, most_runs: int) -> Layer:
    alive = site.observed_units - len(site.dead) - len(site.faulty)
    fraction = share(alive, site.observed_units)
    runs = list(_runs(site.dead))
    listed = runs[:most_runs]
    return Layer(
        depth=depth,
        site=site,
        name="/".join(filter(None, (site.scope, site.tensor))),
        counted="runs" if site.per_run else "samples",
        alive=alive,
        alive_fraction=fraction,
        low=next((level for level in LOW_LEVELS if fraction is not None and fraction < level), None),
        bar=_bar(site.active, len(site.rare), len(site.dead), site.units),
        dead_runs=tuple(str(a) if a == b else f"{a}–{b}" for a, b in listed),
        dead_unlisted=len(site.dead) - sum(b - a + 1 for a, b in listed),
    )


def _bar(active: int, rare: int, dead: int, units: int) -> tuple[Segment, ...]:
    """The parts of a bar, without the empty ones. Dead units come last: flush right, they compare across layers."""
    counts: dict[Kind, int] = {
        "active": active,
        "other": units - active - rare - dead,
        "rare": rare,
        "dead": dead,
    }
    widths: dict[Kind, float] = {kind: max(number / units, LEAST_SHARE) for kind, number in counts.items() if number}
    scale = 100 / sum(widths.values(), start=0.0) if widths else 0.0
    segments: list[Segment] = []
    start = 0.0
    for kind, width in widths.items():
        segments.append(Segment(kind, counts[kind], f"{start:.3f}%", f"{width * scale:.3f}%"))
        start += width * scale
    return tuple(segments)


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours in ascending indices."""
    if not indices:
        return
    first = indices[0]
    for one, following in pairwise(indices):
        if following != one + 1:
            yield first, one
            first = following
    yield first, indices[-1]


# ---- verdict


@dataclass(frozen=True)
class Check:
    """A limit and what was observed, together; the layer if it is about one, and whether it was kept."""

    limit: str
    observed: str
    kept: bool
    layer: str | None


@dataclass(frozen=True)
class Verdict:
    """The first thing to read.

    Attributes:
        word: The gate's word.
        checks: Every limit that was broken, and those that are set and were not; the first ones.
        more_checks: The rest of them.
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


def _verdict(audit: Audit, layers: Sequence[Layer]) -> Verdict:
    summary = audit.summary
    hit = [layer for layer in layers if layer.site.dead]
    faulty = [layer for layer in layers if layer.site.faulty]
    checks = tuple(_checks(audit))
    worst = sorted(hit, key=lambda layer: (-(layer.site.dead_fraction or 0), layer.depth))[:WORST]
    return Verdict(
        word=_WORDS[audit.gate.outcome],
        checks=checks[:SHOWN_CHECKS],
        more_checks=checks[SHOWN_CHECKS:],
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


def _checks(audit: Audit) -> Iterator[Check]:
    policy = audit.policy
    for breach in audit.gate.breaches:
        yield Check(limit(breach.limit), _apart(breach.observed, breach.limit), kept=False, layer=breach.tensor)
    broken = {breach.rule for breach in audit.gate.breaches}
    if policy.max_dead is not None and "max_dead" not in broken and audit.dead_fraction is not None:
        yield Check(limit(policy.max_dead), percent(audit.dead_fraction, 2), kept=True, layer=None)
    layers = [site for site in audit.sites if site.dead_fraction is not None]
    if policy.max_dead_layer is not None and "max_dead_layer" not in broken and layers:
        worst = max(layers, key=lambda site: site.dead_fraction or 0)
        yield Check(limit(policy.max_dead_layer), percent(worst.dead_fraction, 2), kept=True, layer=worst.tensor)


def _apart(observed: float, bound: float) -> str:
    """An observed share with as many digits as it takes to tell it from the limit it broke."""
    texts = ((percent(observed, digits), percent(bound, digits)) for digits in range(2, 16))
    return next((here for here, there in texts if here != there), percent(observed, 15))


# ---- bulbs


@dataclass(frozen=True)
class Mark:
    """How a status shows in a cell without colour: a drawing on a grid of 10 by 10, on a hollow or a filled cell."""

    status: Status
    index: int
    hollow: bool
    path: str


@dataclass(frozen=True)
class Cells:
    """What a page's script needs of every unit of a layer, in columns of fixed-width numbers to base 64.

    Attributes:
        counts: The status as an index into ``STATUSES``, times one more than the samples, plus the samples in which
            the unit fired.
        counts_width: Digits of each of these; the other columns have three.
        pre_peaks: Largest pre-activations by :func:`_code`; empty where none was observed.
        peaks: Largest outputs likewise; empty where each is its pre-activation held between ``low`` and ``high``,
            as it is for Relu and Clip. That halves the page.
        low: The smallest peak of the layer, by its code.
        high: The largest peak of the layer, by its code.
    """

    layer: Layer
    counts: str
    counts_width: int
    pre_peaks: str
    peaks: str
    low: int
    high: int


@dataclass(frozen=True)
class Bulbs:
    """All units as cells.

    Attributes:
        cell: Pixels of a cell.
        rare: Index of that status, which shows by its colour alone.
        decades: Powers of ten of the scale of firing rates, from the lowest to 0.
        ticks: The same as percentages.
        marks: Statuses that show by more than their colour, those of this audit only.
    """

    cell: int
    rare: int
    decades: tuple[int, ...]
    ticks: tuple[str, ...]
    marks: tuple[Mark, ...]
    cells: tuple[Cells, ...]


_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

_BOX = "M.5.5h9v9h-9z"
_MARKS: tuple[tuple[Status, bool, str], ...] = (
    ("dead", True, _BOX + "M2.5 2.5l5 5M7.5 2.5l-5 5"),
    ("always_on", False, "M4 5h2M5 4v2"),
    ("constant", False, "M2 5h6"),
    ("faulty", True, _BOX + "M5 2v3.5M5 7v1"),
    ("unseen", True, "M.5.5h2M4 .5h2M7.5.5h2v2M9.5 4v2M9.5 7.5v2h-2M6 9.5h-2M2.5 9.5h-2v-2M.5 6v-2M.5 2.5v-2"),
)


def _bulbs(audit: Audit, layers: Sequence[Layer]) -> Bulbs:
    lowest = -_decades(audit.data.samples)
    decades = tuple(range(lowest, 1))
    return Bulbs(
        cell=next((size for units, size in CELL_SIZES if audit.units <= units), SMALLEST_CELL),
        rare=STATUSES.index("rare"),
        decades=decades,
        ticks=tuple(limit(10.0**decade) for decade in decades),
        marks=tuple(
            Mark(status, STATUSES.index(status), hollow, path)
            for status, hollow, path in _MARKS
            if any(getattr(site, status) for site in audit.sites)
        ),
        cells=tuple(map(_cells, layers)),
    )


def _decades(samples: int) -> int:
    """Powers of ten down to the smallest firing rate but zero that so many samples can show; 2 at least."""
    return max(2, len(str(samples - 1)))


def _cells(layer: Layer) -> Cells:
    site = layer.site
    step = site.samples + 1
    width = _width(step * len(STATUSES) - 1)
    pre_peaks = [*map(_code, site.pre_peak)]
    peaks = [*map(_code, site.peak)]
    known = [code for code in peaks if code]
    low, high = min(known, default=0), max(known, default=0)
    implied = [min(max(code, low), high) if code else 0 for code in pre_peaks]
    base = {status: step * index for index, status in enumerate(STATUSES)}
    counts = (base[status] + fired for status, fired in zip(site.statuses, site.fired_samples, strict=True))
    return Cells(
        layer=layer,
        counts="".join(_digits(number, width) for number in counts),
        counts_width=width,
        pre_peaks="".join(_digits(code, 3) for code in pre_peaks) if any(pre_peaks) else "",
        peaks="" if implied == peaks else "".join(_digits(code, 3) for code in peaks),
        low=low,
        high=high,
    )


def _width(largest: int) -> int:
    """Digits to base 64 that a number takes."""
    return max(1, (largest.bit_length() + 5) // 6)


def _digits(number: int, width: int) -> str:
    if width == 3:  # the most common by far
        return _BASE64[number >> 12] + _BASE64[number >> 6 & 63] + _BASE64[number & 63]
    return "".join(_BASE64[number >> 6 * place & 63] for place in reversed(range(width)))


_ZERO = 1 << 17
_FARTHEST = 72


def _code(value: float | None) -> int:
    """A number to three significant digits in 18 bits, ordered as the numbers are; 0 for None.

    Magnitudes beyond 10^72 or below 10^-72 keep their sign only; they are shown as such.
    """
    if value is None:
        return 0
    if value == 0:
        return _ZERO
    text = f"{abs(value):.2e}"
    exponent = int(text[5:])
    if exponent < -_FARTHEST:
        rank = 1
    elif exponent > _FARTHEST:
        rank = 2 + 900 * (2 * _FARTHEST + 1)
    else:
        rank = 2 + 900 * (exponent + _FARTHEST) + int(text[0] + text[2:4]) - 100
    return _ZERO + rank if value > 0 else _ZERO - rank


# ---- evidence


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


def _evidence(layers: Iterable[Layer]) -> tuple[Evidence, ...]:
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


# ---- numbers


def bound(fraction: float | None) -> str:
    """An upper bound as a percentage, with as many digits as it takes not to be a bound of a bound.

    >>> bound(0.0116), bound(0.00003), bound(None)
    ('1.16 %', '0.003 %', '–')
    """
    texts = (percent(fraction, digits) for digits in range(2, 16))
    return next((text for text in texts if not text.startswith("<")), percent(fraction, 15))


def measured(value: float | None) -> str:
    """A measured value to three significant digits; a dash where there is none.

    >>> measured(0.73237), measured(-1.5576e-08), measured(12345.0), measured(6.0), measured(None)
    ('0.732', '−1.56e-8', '12300', '6', '–')
    """
    if value is None:
        return "–"
    short = Decimal(f"{value:.2e}").normalize()
    if not short:
        return "0"
    text = f"{short:f}" if -5 <= short.adjusted() < 9 else f"{short:e}"
    return text.replace("e+", "e").replace("-", "−", 1) if value < 0 else text.replace("e+", "e")
