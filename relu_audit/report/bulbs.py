"""Every unit as a small cell: what the page's script needs of them, packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relu_audit.judge.evidence import rate_below
from relu_audit.records import STATUSES, Audit, Status
from relu_audit.report.numbers import bound, limit
from relu_audit.report.packing import Column, code, digits_of, measures, packed, written
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
        packed: Four columns by :func:`packed`: the status as an index into ``STATUSES`` times one more than the
            samples, plus the samples in which the unit fired; the largest pre-activation; the largest output; the mean
            output. The last three are by :func:`measures`. The largest outputs are left out where each is its
            pre-activation held between two bounds, as it is for Relu and Clip.
        spans: Of the columns.
        ranks: Of the last three, each the least, the greatest and the shift.
        held: The two bounds, by their codes; empty where the largest outputs are not left out.
        once: Index of the sample for each unit that fired in exactly one, in unit order, each of as many digits as the
            number of samples takes.
        bound: What a silent unit's firing rate lies below.
    """

    layer: Layer
    packed: str
    spans: tuple[int, ...]
    ranks: tuple[int, ...]
    held: tuple[int, ...]
    once: str
    bound: str


@dataclass(frozen=True)
class Bulbs:
    """All units as cells.

    Attributes:
        cell: Pixels of a cell.
        statuses: Their names, in the order of their indices.
        decades: Powers of ten of the scale of firing rates, from the lowest to 0.
        ticks: The same as percentages.
        marks: Statuses that show by more than their colour, those of this audit only.
    """

    cell: int
    statuses: tuple[Status, ...]
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


def bulbs(audit: Audit, layers: Sequence[Layer]) -> Bulbs:
    """The cells of all layers and how to read them."""
    lowest = -_decades(audit.data.samples)
    decades = tuple(range(lowest, 1))
    return Bulbs(
        cell=next((size for units, size in CELL_SIZES if audit.units <= units), SMALLEST_CELL),
        statuses=STATUSES,
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
    counts = Column(
        (site.samples + 1) * len(STATUSES),
        [
            (site.samples + 1) * STATUSES.index(status) + fired
            for status, fired in zip(site.statuses, site.fired_samples, strict=True)
        ],
    )
    peaks, pre_peaks = [*map(code, site.peak)], [*map(code, site.pre_peak)]
    held = _held(peaks, pre_peaks)
    measured = [measures(codes) for codes in (pre_peaks, [0] * site.units if held else peaks, [*map(code, site.mean)])]
    columns = [counts, *(one.column for one in measured)]
    firsts = (first for first, fired in zip(site.first_fired, site.fired_samples, strict=True) if fired == 1)
    return Cells(
        layer=layer,
        packed=packed(columns),
        spans=tuple(column.span for column in columns),
        ranks=tuple(number for one in measured for number in (one.least, one.greatest, one.shift)),
        held=held,
        once=written((first for first in firsts if first is not None), digits_of(all_samples)),
        bound=bound(rate_below(site.samples)),
    )


def _held(peaks: Sequence[int], pre_peaks: Sequence[int]) -> tuple[int, ...]:
    """The bounds between which pre-activations are held to give the outputs; none if that is not so. All are codes."""
    known = [one for one in peaks if one]
    if not known:
        return ()
    low, high = min(known), max(known)
    implied = [min(max(one, low), high) if one else 0 for one in pre_peaks]
    return (low, high) if implied == peaks else ()
