"""A comparison as JSON and for the terminal; what of it every format shows is one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relu_audit.errors import one_line
from relu_audit.records import Comparison, LayerChange, Place, Side, Unmatched
from relu_audit.report.json import compact
from relu_audit.report.names import short
from relu_audit.report.numbers import count, enumerated, percent, plural

MOST_RUNS = 20
"""Runs of indices that are printed of each list; the JSON has all."""

MOST_LAYERS = 20
"""Layers whose changed units are printed by index."""

MOST_UNMATCHED = 20
"""Layers of only one audit that are printed, and layers with two names."""


@dataclass(frozen=True)
class Column:
    """A list of a layer's units that reports show: its attribute, its heading, and whether only where there is some."""

    name: str
    title: str
    seldom: bool = False


COLUMNS = (
    Column("died", "died"),
    Column("revived", "revived"),
    Column("stayed", "stayed dead"),
    Column("broke", "became faulty", seldom=True),
    Column("mended", "recovered", seldom=True),
    Column("still_faulty", "stayed faulty", seldom=True),
    Column("untold", "not reached", seldom=True),
    Column("undecided", "undecided", seldom=True),
)

_STYLES = {
    "better": "bold green",
    "worse": "bold red",
    "mixed": "bold yellow",
    "unchanged": "bold",
    "inconclusive": "bold yellow",
}

NEWS = ("died", "revived", "broke", "mended", "undecided")
"""Lists that are worth their indices."""


def write(found: Comparison) -> str:
    """The comparison as indented JSON with sorted keys. Same audits, same bytes."""
    return compact(found)


def shown(found: Comparison) -> tuple[Column, ...]:
    """The columns of a table."""
    return tuple(column for column in COLUMNS if not column.seldom or found.total(column.name))


def changed(found: Comparison) -> tuple[LayerChange, ...]:
    """The layers in which something changed."""
    return tuple(layer for layer in found.layers if any(getattr(layer, name) for name in NEWS))


def place_name(place: Place) -> str:
    """A layer's name on one line; never empty."""
    return one_line(place.name) or "(no name)"


def about(side: Side) -> str:
    """One of the two audits, in words."""
    dead = f"{count(side.dead)} of {count(side.observed)} units dead"
    share = percent(side.dead / side.observed) if side.observed else "–"
    return f"{one_line(side.model)} on {count(side.samples)} samples of {one_line(side.data)}: {dead} ({share})"


def word(found: Comparison) -> str:
    """What became of the units, in a sentence without its end."""
    if not found.layers:
        return "no layer is in both"
    parts = [f"{count(found.total(one.name))} {one.title}" for one in shown(found) if not one.seldom]
    parts += [f"{count(found.total(one.name))} {one.title}" for one in shown(found) if one.seldom]
    return f"{', '.join(parts)}, in {plural(len(found.layers), 'layer', 'layers')} that both have"


def apart(one: Unmatched, kind: str) -> str:
    """A layer that only one audit has, in words."""
    was = "" if one.was is None else f"; in the other audit it is {one_line(one.was)}"
    return (
        f"{kind}: {short(place_name(one))} ({one_line(one.op)}, {count(one.units)} units, {count(one.dead)} dead{was})"
    )


def renamed(found: Comparison, most: int = MOST_UNMATCHED) -> list[str]:
    """Layers that have another name in each audit, in words."""
    layers = found.renamed
    lines = [f"renamed: {short(place_name(one))} was {short(place_name(one.was))} (same {one.by})" for one in layers]
    more = len(lines) - most
    return [*lines[:most], f"renamed: {count(more)} more; the JSON lists them"] if more > 0 else lines


def unmatched(found: Comparison, most: int = MOST_UNMATCHED) -> list[str]:
    """Layers that only one audit has, in words."""
    lines: list[str] = []
    for kind, ones in (("only in the new audit", found.added), ("only in the old audit", found.removed)):
        lines += [apart(one, kind) for one in ones[:most]]
        if len(ones) > most:
            lines.append(f"{kind}: {count(len(ones) - most)} more; the JSON lists them")
    return lines


def render(found: Comparison) -> RenderableType:
    """The comparison as something a rich console can print."""
    parts: list[RenderableType] = [Text(f"old: {about(found.old)}"), Text(f"new: {about(found.new)}")]
    if found.layers:
        parts += [_table(found, shown(found)), *_indices(found)]
    parts += [Text(line) for line in renamed(found)]
    parts += [Text(line, style="yellow") for line in unmatched(found)]
    parts += [Text(f"note: {one_line(remark)}", style="yellow") for remark in found.remarks]
    verdict = Text(f"{found.outcome}: {word(found)}", style=_STYLES[found.outcome])
    for reason in found.reasons:
        verdict.append(f"\n  because {one_line(reason)}")
    return Group(*parts, verdict)


def _table(found: Comparison, columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("layer", "total", overflow="fold", ratio=1)
    table.add_column("units", count(sum(layer.units for layer in found.layers)), justify="right")
    for column in columns:
        table.add_column(column.title, count(found.total(column.name)), justify="right")
    for layer in found.layers:
        cells = [count(len(getattr(layer, column.name))) for column in columns]
        bad = bool(layer.died or layer.broke)
        table.add_row(Text(short(place_name(layer)), style="red" if bad else ""), count(layer.units), *cells)
    return table


def _indices(found: Comparison) -> list[Text]:
    layers = changed(found)
    lines = [
        f"{column.title} in {short(place_name(layer))}: {enumerated(units, MOST_RUNS)}"
        for layer in layers[:MOST_LAYERS]
        for column in COLUMNS
        if column.name in NEWS and (units := getattr(layer, column.name))
    ]
    if len(layers) > MOST_LAYERS:
        lines.append(f"{count(len(layers) - MOST_LAYERS)} more layers changed; the JSON lists their units")
    return [Text(line) for line in lines]
