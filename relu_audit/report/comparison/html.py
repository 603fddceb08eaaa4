"""A comparison as one self-contained HTML page, made as the audit's page is; see ``html.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relu_audit.records import Comparison, LayerChange, Renamed, Side, Unmatched
from relu_audit.report.comparison.text import COLUMNS, NEWS, about, shown, word
from relu_audit.report.numbers import listed
from relu_audit.report.page import render
from relu_audit.report.sections import LEAST_SHARE, Kind

STYLES = ("page.css",)
"""Files of ``templates/`` that become the page's inline style sheets."""

SCRIPTS = ("copy.js", "tables.js", "paper.js")
"""Files of ``templates/`` that become the page's inline scripts."""

SIGNS = {
    "better": "passed",
    "worse": "failed",
    "mixed": "inconclusive",
    "unchanged": "passed",
    "inconclusive": "inconclusive",
}
"""The gate's word whose sign and colour an outcome has."""

MOST_RUNS = 200
"""Runs of indices that a layer lists of each kind."""

SHOWN_RUNS = 6
"""More runs than this are folded away."""


@dataclass(frozen=True)
class Units:
    """The units of a layer that became one thing: in words, as runs of neighbours, and how many are not listed."""

    title: str
    number: int
    runs: tuple[str, ...]
    unlisted: int

    @property
    def folded(self) -> bool:
        """Whether the list is too long to stand open in a table."""
        return len(self.runs) > SHOWN_RUNS


@dataclass(frozen=True)
class Row:
    """A layer of both audits: its numbers under the table's headings, and the units that changed."""

    depth: int
    layer: LayerChange
    renamed: Renamed | None
    numbers: tuple[int, ...]
    units: tuple[Units, ...]

    @property
    def worse(self) -> bool:
        """Whether a unit died or became faulty."""
        return bool(self.layer.died or self.layer.broke)


@dataclass(frozen=True)
class Part:
    """A part of the bar of all units that both have; ``start`` and ``width`` are percentages of it."""

    kind: Kind
    title: str
    number: int
    start: str
    width: str


def write(found: Comparison) -> str:
    """The comparison as one HTML page that needs nothing but itself. Same audits, same bytes."""
    return render(
        "comparison/page.html",
        STYLES,
        SCRIPTS,
        found=found,
        word=word(found),
        sign=SIGNS[found.outcome],
        sides=tuple((name, side, about(side)) for name, side in _sides(found)),
        columns=shown(found),
        rows=tuple(_rows(found)),
        totals=tuple(found.total(column.name) for column in shown(found)),
        bar=_bar(found),
        alone=_alone(found),
    )


def _sides(found: Comparison) -> tuple[tuple[str, Side], ...]:
    return ("old", found.old), ("new", found.new)


def _alone(found: Comparison) -> tuple[tuple[str, Unmatched], ...]:
    return (*(("new", one) for one in found.added), *(("old", one) for one in found.removed))


def _rows(found: Comparison) -> Iterator[Row]:
    names = {(one.scope, one.tensor): one for one in found.renamed}
    for depth, layer in enumerate(found.layers, 1):
        yield _row(found, depth, layer, names.get((layer.scope, layer.tensor)))


def _row(found: Comparison, depth: int, layer: LayerChange, renamed: Renamed | None) -> Row:
    numbers = tuple(len(getattr(layer, column.name)) for column in shown(found))
    units = [
        Units(column.title, len(indices), *listed(indices, MOST_RUNS))
        for column in COLUMNS
        if column.name in NEWS and (indices := getattr(layer, column.name))
    ]
    return Row(depth, layer, renamed, numbers, tuple(units))


def _bar(found: Comparison) -> tuple[Part, ...]:
    """All units that both have: fired in both, revived, anything else, stayed dead, died."""
    total = sum(layer.units for layer in found.layers)
    dead, died, revived = (found.total(name) for name in ("stayed", "died", "revived"))
    others = sum(found.total(name) for name in ("broke", "mended", "still_faulty", "untold", "undecided"))
    numbers: tuple[tuple[Kind, str, int], ...] = (
        ("active", "fired in both", total - dead - died - revived - others),
        ("rare", "revived", revived),
        ("other", "faulty or not reached", others),
        ("other", "stayed dead", dead),
        ("dead", "died", died),
    )
    widths = [max(number / total, LEAST_SHARE) if number else 0.0 for _, _, number in numbers]
    scale = 100 / sum(widths) if total else 0.0
    parts: list[Part] = []
    start = 0.0
    for (kind, title, number), width in zip(numbers, widths, strict=True):
        if number:
            parts.append(Part(kind, title, number, f"{start:.3f}%", f"{width * scale:.3f}%"))
            start += width * scale
    return tuple(parts)
