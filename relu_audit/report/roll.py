"""The dead units one by one: what the page shows of them before a script does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from relu_audit.judge.evidence import rate_below
from relu_audit.report.sections import Layer

ROWS = 25
"""Rows of the table at a time."""


@dataclass(frozen=True)
class Row:
    """A dead unit, what was measured of it, and what its firing rate lies below."""

    layer: Layer
    unit: int
    peak: float | None
    mean: float | None
    pre_peak: float | None
    bound: float | None


@dataclass(frozen=True)
class Roll:
    """The first dead units, and how many there are besides."""

    rows: tuple[Row, ...]
    more: int


def roll(layers: Sequence[Layer]) -> Roll:
    """The table's first page."""
    dead = ((layer, unit) for layer in layers for unit in layer.site.dead)
    rows = tuple(
        Row(
            layer,
            unit,
            layer.site.peak[unit],
            layer.site.mean[unit],
            layer.site.pre_peak[unit],
            rate_below(layer.site.samples),
        )
        for layer, unit in islice(dead, ROWS)
    )
    return Roll(rows, sum(len(layer.site.dead) for layer in layers) - len(rows))
