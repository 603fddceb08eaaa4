"""Every unit as a small cell: what the page's script needs of them, packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relu_audit.judge.evidence import rate_below
from relu_audit.records import STATUSES, Audit, SiteAudit, Status
from relu_audit.report.causes import REASONS, margins, reasons, titles
from relu_audit.report.numbers import bound, limit
from relu_audit.report.packing import Column, code, measures, opposite, packed
from relu_audit.report.sections import Layer

CELL_SIZES = ((20_000, 12), (100_000, 9))
"""Pixels of a unit's cell by the units of the whole model, so that the page's canvases stay within memory."""

SMALLEST_CELL = 5


@dataclass(frozen=True)
class Mark:
    """How a status shows in a cell without colour: a drawing on a grid of 10 by 10, on a hollow or a filled cell."""

    status: Status
    hollow: bool
    path: str


@dataclass(frozen=True)
class Cells:
    """What a page's scripts need of every unit of a layer; ``units.js`` reads it.

    Attributes:
        packed: Five columns by :func:`packed`. First the status, as its place in ``statuses``, times ``radix``, plus
            the samples in which the unit fired. In place of these stand, for a dead unit, which fired in none, why, by
            :func:`reasons`; and for one that fired in a single sample, that one's index, beyond all numbers of samples.
            Then the largest pre-activation; the largest output; the mean output; the margin: by :func:`measures`. The
            largest outputs are left out where each is its pre-activation held between two bounds, as it is for Relu
            and Clip; the margins where each is what the pre-activation is below zero.
        statuses: Those that occur, as indices into ``STATUSES``.
        radix: Above all that stands beside a status.
        spans: Of the columns.
        ranks: Of all but the first, each the least, the greatest and the shift.
        held: The two bounds, by their codes; empty where the largest outputs are not left out.
        below: Whether the margins are left out.
        bound: What a silent unit's firing rate lies below.
    """

    layer: Layer
    packed: str
    statuses: tuple[int, ...]
    radix: int
    spans: tuple[int, ...]
    ranks: tuple[int, ...]
    held: tuple[int, ...]
    below: bool
    bound: str


@dataclass(frozen=True)
class UnitCells:
    """All units as cells.

    Attributes:
        cell: Pixels of a cell.
        statuses: Their names, in the order of their indices.
        causes: Likewise, what causes of death are called.
        decades: Powers of ten of the scale of firing rates, from the lowest to 0.
        ticks: The same as percentages.
        marks: Statuses that show by more than their colour, those of this audit only.
    """

    cell: int
    statuses: tuple[Status, ...]
    causes: tuple[str, ...]
    decades: tuple[int, ...]
    ticks: tuple[str, ...]
    marks: tuple[Mark, ...]
    cells: tuple[Cells, ...]

    @property
    def dense(self) -> bool:
        """Whether there are so many units that each layer takes the width of the page."""
        return self.cell == SMALLEST_CELL


_BOX = "M.5.5h9v9h-9z"
_MARKS: tuple[tuple[Status, bool, str], ...] = (
    ("dead", True, _BOX + "M2.5 2.5l5 5M7.5 2.5l-5 5"),
    ("always_on", False, "M4 5h2M5 4v2"),
    ("constant", False, "M2 5h6"),
    ("faulty", True, _BOX + "M5 2v3.5M5 7v1"),
    ("unseen", True, "M.5.5h2M4 .5h2M7.5.5h2v2M9.5 4v2M9.5 7.5v2h-2M6 9.5h-2M2.5 9.5h-2v-2M.5 6v-2M.5 2.5v-2"),
)


def unit_cells(audit: Audit, layers: Sequence[Layer]) -> UnitCells:
    """The cells of all layers and how to read them."""
    lowest = -_decades(audit.data.samples)
    decades = tuple(range(lowest, 1))
    return UnitCells(
        cell=next((size for units, size in CELL_SIZES if audit.units <= units), SMALLEST_CELL),
        statuses=STATUSES,
        causes=titles(),
        decades=decades,
        ticks=tuple(limit(10.0**decade) for decade in decades),
        marks=tuple(
            Mark(status, hollow, path)
            for status, hollow, path in _MARKS
            if any(getattr(site, status) for site in audit.sites)
        ),
        cells=tuple(_cells(layer, audit.data.samples) for layer in layers),
    )


def _decades(samples: int) -> int:
    """Powers of ten down to the smallest firing rate but zero that so many samples can show; 2 at least."""
    return max(2, len(str(samples - 1)))


def _cells(layer: Layer, all_samples: int) -> Cells:
    site = layer.site
    present = sorted({STATUSES.index(status) for status in site.statuses})
    radix = max(site.samples + 1 + all_samples, REASONS)
    peaks, pre_peaks = [*map(code, site.peak)], [*map(code, site.pre_peak)]
    lacking = _lacking(site)
    held, below = _held(peaks, pre_peaks), lacking == _below(site, pre_peaks)
    left_out = [0] * site.units
    kept = (pre_peaks, left_out if held else peaks, [*map(code, site.mean)], left_out if below else lacking)
    measured = [measures(codes) for codes in kept]
    counts = Column(max(1, radix * len(present)), _counts(site, present, radix))
    columns = [counts, *(one.column for one in measured)]
    return Cells(
        layer=layer,
        packed=packed(columns),
        statuses=tuple(present),
        radix=radix,
        spans=tuple(column.span for column in columns),
        ranks=tuple(number for one in measured for number in (one.least, one.greatest, one.shift)),
        held=held,
        below=below,
        bound=bound(rate_below(site.evidence)),
    )


def _counts(site: SiteAudit, present: Sequence[int], radix: int) -> list[int]:
    why = reasons(site)
    found: list[int] = []
    for unit, (status, fired, first) in enumerate(
        zip(site.statuses, site.fired_samples, site.first_fired, strict=True)
    ):
        beside = site.samples + 1 + first if fired == 1 and first is not None else fired
        beside = why.get(unit, 0) if status == "dead" else beside
        found.append(radix * present.index(STATUSES.index(status)) + beside)
    return found


def _lacking(site: SiteAudit) -> list[int]:
    """The codes of the margins; 0 for units that have none."""
    margin = margins(site)
    return [code(margin.get(unit)) for unit in range(site.units)]


def _below(site: SiteAudit, pre_peaks: Sequence[int]) -> list[int]:
    """What the codes of the margins are where a unit fires above zero."""
    dead = set(site.dead)
    return [opposite(one) if unit in dead else 0 for unit, one in enumerate(pre_peaks)]


def _held(peaks: Sequence[int], pre_peaks: Sequence[int]) -> tuple[int, ...]:
    """The bounds between which pre-activations are held to give the outputs; none if that is not so. All are codes."""
    known = [one for one in peaks if one]
    if not known:
        return ()
    low, high = min(known), max(known)
    implied = [min(max(one, low), high) if one else 0 for one in pre_peaks]
    return (low, high) if implied == peaks else ()
