"""What dead units cost, as reports tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relu_audit.records import Audit, Prospect, Tied, share
from relu_audit.report.sections import Layer


@dataclass(frozen=True)
class Sum:
    """What is known of some numbers, added up; ``at_least`` where one of them is not."""

    known: int
    at_least: bool


@dataclass(frozen=True)
class Row:
    """A layer with dead units, and what they tie up: its four numbers as the table has them."""

    layer: Layer
    tied: tuple[int | None, ...]


@dataclass(frozen=True)
class Section:
    """What it costs.

    Attributes:
        rows: The layers with dead units.
        dead: Their dead units.
        total: The sums of their numbers, in the same order.
        parameters: What makes dead units and what reads them, together.
        multiply_adds: The same, per sample.
        share: Those parameters as a share of the model's; None if the model has none.
        prospect: What exact pruning would give back; None if that was not asked for.
        saved: Share of the parameters, and of the multiply-adds, that it would give back; None where not known.
    """

    rows: tuple[Row, ...]
    dead: int
    total: tuple[Sum, ...]
    parameters: Sum
    multiply_adds: Sum
    share: float | None
    prospect: Prospect | None
    saved: tuple[float | None, float | None]


def section(audit: Audit, layers: Sequence[Layer]) -> Section:
    """The section of the page."""
    rows = tuple(Row(layer, _numbers(layer.site.tied)) for layer in layers if layer.site.tied is not None)
    columns = [[row.tied[i] for row in rows] for i in range(4)]
    parameters = _sum([*columns[0], *columns[2]])
    return Section(
        rows=rows,
        dead=sum(len(row.layer.site.dead) for row in rows),
        total=tuple(map(_sum, columns)),
        parameters=parameters,
        multiply_adds=_sum([*columns[1], *columns[3]]),
        share=share(parameters.known, audit.model.parameters),
        prospect=audit.prospect,
        saved=_saved(audit.prospect),
    )


def _numbers(tied: Tied) -> tuple[int | None, ...]:
    return tied.parameters, tied.multiply_adds, tied.read_parameters, tied.read_multiply_adds


def _sum(numbers: Sequence[int | None]) -> Sum:
    return Sum(sum(number or 0 for number in numbers), None in numbers)


def _saved(prospect: Prospect | None) -> tuple[float | None, float | None]:
    if prospect is None or prospect.before is None or prospect.after is None:
        return None, None
    before, after = prospect.before, prospect.after
    adds = None
    if before.multiply_adds is not None and after.multiply_adds is not None:
        adds = share(before.multiply_adds - after.multiply_adds, before.multiply_adds)
    return share(before.parameters - after.parameters, before.parameters), adds
