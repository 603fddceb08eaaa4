"""One row per unit, in columns: what CSV and Parquet tell alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relu_audit.records import Audit, SiteAudit
from relu_audit.report.causes import margins

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, and its cells for the units of a layer, which is given with its place."""

    name: str
    kind: Literal["text", "whole", "real", "truth"]
    of: Callable[[int, SiteAudit], Sequence[Cell]]


def _all(value: Callable[[SiteAudit], Cell]) -> Callable[[int, SiteAudit], Sequence[Cell]]:
    """The same for every unit of a layer."""
    return lambda _, site: [value(site)] * site.units


def _of_dead(site: SiteAudit, cells: Mapping[int, Cell]) -> Sequence[Cell]:
    """What is known of dead units only."""
    return [cells.get(unit) for unit in range(site.units)]


COLUMNS = (
    Column("layer", "whole", lambda depth, site: [depth] * site.units),
    Column("scope", "text", _all(lambda site: site.scope)),
    Column("tensor", "text", _all(lambda site: site.tensor)),
    Column("operator", "text", _all(lambda site: site.op)),
    Column("unit", "whole", lambda _, site: range(site.units)),
    Column("status", "text", lambda _, site: site.statuses),
    Column("samples", "whole", _all(lambda site: site.samples)),
    Column("positions", "whole", _all(lambda site: site.positions)),
    Column("per_run", "truth", _all(lambda site: site.per_run)),
    Column("fired_samples", "whole", lambda _, site: site.fired_samples),
    Column("fired_positions", "whole", lambda _, site: site.fired_positions),
    Column("first_fired", "whole", lambda _, site: site.first_fired),
    Column("mean", "real", lambda _, site: site.mean),
    Column("peak", "real", lambda _, site: site.peak),
    Column("trough", "real", lambda _, site: site.trough),
    Column("pre_peak", "real", lambda _, site: site.pre_peak),
    Column("cause", "text", lambda _, site: _of_dead(site, {} if site.causes is None else site.causes.of_unit)),
    Column("margin", "real", lambda _, site: _of_dead(site, margins(site))),
)
"""The columns, as the attributes of a layer's record are named. Layers count from 1, units from 0."""


def rows(audit: Audit) -> Iterator[tuple[Cell, ...]]:
    """The cells of every unit, layer by layer in graph order."""
    for depth, site in enumerate(audit.sites, 1):
        yield from zip(*(column.of(depth, site) for column in COLUMNS), strict=True)
