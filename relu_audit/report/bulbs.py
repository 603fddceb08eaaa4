"""Every unit as a small cell: what the page's script needs of them, packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relu_audit.records import STATUSES, Audit, Status
from relu_audit.report.numbers import limit
from relu_audit.report.sections import Layer

CELL_SIZES = ((20_000, 12), (100_000, 9))
"""Pixels of a unit's cell by the units of the whole model, so that the page's canvases stay within memory."""

SMALLEST_CELL = 5


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


def bulbs(audit: Audit, layers: Sequence[Layer]) -> Bulbs:
    """The cells of all layers and how to read them."""
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
