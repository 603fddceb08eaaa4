"""The dead units one by one: what the page shows of them before a script does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from relu_audit.judge.evidence import rate_below
from relu_audit.report.causes import in_words, margins, reasons
from relu_audit.report.sections import Layer

ROWS = 25
"""Rows of the table at a time."""


@dataclass(frozen=True)
class Row:
    """A dead unit, what was measured of it, why it is dead, and what its firing rate lies below."""

    layer: Layer
    unit: int
    peak: float | None
    mean: float | None
    pre_peak: float | None
    cause: str
    margin: float | None
    bound: float | None


@dataclass(frozen=True)
class DeadUnitsTable:
    """The first dead units, and how many there are besides."""

    rows: tuple[Row, ...]
    more: int


def dead_units_table(layers: Sequence[Layer]) -> DeadUnitsTable:
    """The table's first page."""
    rows = tuple(islice((row for layer in layers for row in _rows(layer)), ROWS))
    return DeadUnitsTable(rows, sum(len(layer.site.dead) for layer in layers) - len(rows))


def _rows(layer: Layer) -> Iterator[Row]:
    site = layer.site
    why, margin = reasons(site), margins(site)
    for unit in site.dead:
        yield Row(
            layer=layer,
            unit=unit,
            peak=site.peak[unit],
            mean=site.mean[unit],
            pre_peak=site.pre_peak[unit],
            cause=in_words(why.get(unit, 0)),
            margin=margin.get(unit),
            bound=rate_below(site.evidence),
        )
