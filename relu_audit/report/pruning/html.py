"""A pruning as one self-contained HTML page, made as the audit's page is; see ``html.py``."""

from __future__ import annotations

from relu_audit.records import Audit
from relu_audit.records.pruning import PruningRecord
from relu_audit.report.page import render
from relu_audit.report.pruning import sections as sections
from relu_audit.report.pruning.text import INPUTS, rounding

STYLES = ("page.css", "pruning/pruning.css")
"""Files of ``templates/`` that become the page's inline style sheets."""

SCRIPTS = ("copy.js", "tables.js", "paper.js")
"""Files of ``templates/`` that become the page's inline scripts."""


def write(record: PruningRecord, audit: Audit) -> str:
    """The record, with the audit it rests on, as one HTML page that needs nothing but itself."""
    layers = sections.layers(record.plan, audit)
    return render(
        "pruning/page.html",
        STYLES,
        SCRIPTS,
        record=record,
        audit=audit,
        verdict=sections.verdict(record, audit),
        changes=sections.changes(record),
        layers=layers,
        refusals=sections.refusals(record.plan, layers, audit),
        cuts=sections.cut_rows(record.plan.cuts),
        parts=sections.cut_rows(record.plan.parts),
        inputs=INPUTS,
        rounding=[] if record.verification is None else list(rounding(record.verification)),
    )
