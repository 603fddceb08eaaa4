"""The audit as CSV: one row per unit.

What a spreadsheet would take for a formula is a text here: such a name gets an apostrophe in front. Sources: RFC 4180;
OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io

from relu_audit.errors import one_line
from relu_audit.records import Audit
from relu_audit.report.units import COLUMNS, Cell, rows

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with; spreadsheets take the wide forms for the others."""


def write(audit: Audit) -> str:
    """The audit as CSV with a heading; what is not known is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in COLUMNS)
    known: dict[str, str] = {}
    for row in rows(audit):
        writer.writerow(_cell(cell, known) for cell in row)
    return text.getvalue()


def _cell(cell: Cell, known: dict[str, str]) -> str | int | float | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if not isinstance(cell, str):
        return cell
    if cell not in known:
        known[cell] = _safe(one_line(cell))
    return known[cell]


def _safe(text: str) -> str:
    # A separator of another country's may start a cell in the middle of ours.
    starts = any(piece.lstrip(" '\"").startswith(FORMULA) for piece in text.replace("\t", ";").split(";"))
    return f"'{text.replace(';', ',')}" if starts else text
