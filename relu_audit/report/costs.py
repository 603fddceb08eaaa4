"""What dead units cost, as reports tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relu_audit.records import Audit, Prospect, Tied, share
from relu_audit.report.sections import Layer


@dataclass(frozen=True)
class Sum:
    """Parameters and multiply-adds; ``at_least`` where some are not known."""

    parameters: int
    multiply_adds: int
    at_least: bool


@dataclass(frozen=True)
class Row:
    """A layer with dead units, what they tie up, and the sum of it."""

    layer: Layer
    tied: Tied
    sum: Sum


@dataclass(frozen=True)
class Section:
    """What it costs.

    Attributes:
        rows: The layers with dead units.
        total: The sum over them.
        share: Its parameters as a share of the model's; None if the model has none.
        prospect: What exact pruning would give back; None if that was not asked for.
        saved: Share of the parameters, and of the multiply-adds, that it would give back; None where not known.
    """

    rows: tuple[Row, ...]
    total: Sum
    share: float | None
    prospect: Prospect | None
    saved: tuple[float | None, float | None]


def section(audit: Audit, layers: Sequence[Layer]) -> Section:
    """The section of the page."""
    rows = tuple(
        Row(layer, layer.site.tied, _sum([layer.site.tied])) for layer in layers if layer.site.tied is not None
    )
    total = _sum([row.tied for row in rows])
    part = share(total.parameters, audit.model.parameters)
    return Section(rows, total, part, audit.prospect, _saved(audit.prospect))


def _sum(tied: Sequence[Tied]) -> Sum:
    parameters = [n for one in tied for n in (one.parameters, one.read_parameters)]
    adds = [n for one in tied for n in (one.multiply_adds, one.read_multiply_adds)]
    return Sum(sum(n or 0 for n in parameters), sum(n or 0 for n in adds), None in [*parameters, *adds])


def _saved(prospect: Prospect | None) -> tuple[float | None, float | None]:
    if prospect is None or prospect.before is None or prospect.after is None:
        return None, None
    before, after = prospect.before, prospect.after
    adds = None
    if before.multiply_adds is not None and after.multiply_adds is not None:
        adds = share(before.multiply_adds - after.multiply_adds, before.multiply_adds)
    return share(before.parameters - after.parameters, before.parameters), adds
