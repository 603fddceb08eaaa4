"""The audit as Parquet: one row per unit, with types. It needs pyarrow, which is an extra."""

from __future__ import annotations

import importlib
import io
from typing import Any

from relu_audit.records import Audit
from relu_audit.report.units import COLUMNS, Cell

_TYPES = {"text": "string", "whole": "int64", "real": "float64", "truth": "bool_"}


def write(audit: Audit) -> bytes:
    """The audit as a Parquet file; names are kept as they are, and what is not known is null."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    sites = list(enumerate(audit.sites, 1))
    columns = {
        column.name: arrow.array(
            [_cell(cell) for depth, site in sites for cell in column.of(depth, site)],
            type=getattr(arrow, _TYPES[column.kind])(),
        )
        for column in COLUMNS
    }
    table = arrow.table(columns)
    about = {"tool": audit.tool, "model": audit.model.name, "model.sha256": audit.model.sha256}
    about |= {"data": audit.data.source, "data.sha256": audit.data.sha256, "gate": audit.gate.outcome}
    table = table.replace_schema_metadata({f"relu_audit.{key}": _text(value) for key, value in about.items()})
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def _cell(cell: Cell) -> Cell:
    return _text(cell) if isinstance(cell, str) else cell


def _text(text: str) -> str:
    """Names of files may hold halves of surrogate pairs, which no encoding has."""
    return text.encode("utf-8", "replace").decode()
