"""A comparison as GitHub Flavored Markdown; names are written as ``markdown.py`` writes them."""

from __future__ import annotations

from collections.abc import Iterable

from relu_audit.records import Comparison, LayerChange
from relu_audit.report.comparison.text import (
    COLUMNS,
    NEWS,
    Column,
    changed,
    place_name,
    renamed,
    shown,
    unmatched,
    word,
)
from relu_audit.report.comparison.text import about as about_side
from relu_audit.report.markdown import MOST_BYTES, OPEN_LAYERS, bullets, code, prose, row
from relu_audit.report.numbers import count, enumerated

MOST_RUNS = 20
"""Runs of indices that are listed of each list of a layer."""

_SIGNS = {"better": "✅", "worse": "❌", "mixed": "⚠️", "unchanged": "✅", "inconclusive": "⚠️"}


def write(found: Comparison) -> str:
    """The comparison as Markdown, below the size that a job's summary may have."""
    parts = [
        f"### relu-audit: {code(found.old.model)} → {code(found.new.model)}",
        bullets([f"old: {prose(about_side(found.old))}", f"new: {prose(about_side(found.new))}"]),
        f"{_SIGNS[found.outcome]} **{found.outcome.capitalize()}**: {word(found)}.",
    ]
    if found.reasons:
        parts.append(bullets([f"because {prose(reason)}" for reason in found.reasons]))
    news = changed(found)
    if news:
        parts.append(_table(found, news))
    if len(news) < len(found.layers):
        rest = count(len(found.layers) - len(news))
        parts.append(f"{rest} {'other ' if news else ''}layers did not change.")
    if news:
        listed = bullets([_indices(layer) for layer in news])
        parts.append(f"<details>\n<summary>Which units</summary>\n\n{listed}\n\n</details>")
    remarks = [*renamed(found), *unmatched(found), *(f"note: {remark}" for remark in found.remarks)]
    if remarks:
        parts.append(bullets(list(map(prose, remarks))))
    return "\n\n".join(parts) + "\n"


def _table(found: Comparison, layers: Iterable[LayerChange]) -> str:
    columns = shown(found)
    rows = [
        row(["layer", "units", *(column.title for column in columns)]),
        row(["---", *["---:"] * (len(columns) + 1)]),
    ]
    room = MOST_BYTES // 2
    listed = list(layers)
    for index, layer in enumerate(listed):
        line = row([code(place_name(layer)), count(layer.units), *_cells(layer, columns)])
        room -= len(line.encode()) + 1
        if room < 0:
            left = f"… {count(len(listed) - index)} more layers, which do not fit here; the JSON has them"
            rows.append(row([left, *[""] * (len(columns) + 1)]))
            break
        rows.append(line)
    total = [count(found.total(column.name)) for column in columns]
    table = "\n".join([*rows, row(["**total**", count(sum(layer.units for layer in found.layers)), *total])])
    if len(listed) <= OPEN_LAYERS:
        return table
    return f"<details>\n<summary>All {count(len(listed))} layers that changed</summary>\n\n{table}\n\n</details>"


def _cells(layer: LayerChange, columns: Iterable[Column]) -> list[str]:
    return [count(len(getattr(layer, column.name))) for column in columns]


def _indices(layer: LayerChange) -> str:
    parts = [
        f"{column.title} {enumerated(units, MOST_RUNS)}"
        for column in COLUMNS
        if column.name in NEWS and (units := getattr(layer, column.name))
    ]
    return f"{code(place_name(layer))}: {'; '.join(parts)}"
