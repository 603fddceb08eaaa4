"""The audit as one self-contained HTML page, and as a fragment for notebooks.

The page is assembled from ``templates/page.html``, which extends ``base.html`` and includes one template per section.
What a section needs beyond the records is computed in ``sections.py`` and ``unit_cells.py``. Nothing is loaded: the
style and the scripts stand inline and are allowed by their hashes, so that the page works from disk under a policy that
forbids all else.
"""

from __future__ import annotations

from relu_audit.records import Audit
from relu_audit.report import causes, costs, sections
from relu_audit.report.advice import advice
from relu_audit.report.command import command
from relu_audit.report.data_sufficiency import data_sufficiency, evidence
from relu_audit.report.dead_units import dead_units_table
from relu_audit.report.page import asset, environment, printable, render
from relu_audit.report.samples import samples_in_words
from relu_audit.report.unit_cells import unit_cells

STYLES = ("page.css",)
"""Files of ``templates/`` that become the page's inline style sheets."""

SCRIPTS = ("units.js", "copy.js", "tables.js", "bulbs.js", "roll.js", "paper.js")
"""Files of ``templates/`` that become the page's inline scripts."""


def write(audit: Audit) -> str:
    """The audit as one HTML page that needs nothing but itself. Same audit, same bytes."""
    layers = sections.layers(audit)
    told = data_sufficiency(audit, layers)
    return render(
        "page.html",
        STYLES,
        SCRIPTS,
        audit=audit,
        layers=layers,
        shown=sections.shown(audit),
        verdict=sections.verdict(audit, layers),
        bulbs=unit_cells(audit, layers),
        enough=told,
        evidence=evidence(layers),
        causes=causes.section(layers),
        costs=costs.section(audit, layers),
        roll=dead_units_table(layers),
        advice=advice(audit, told),
        command=command(audit),
        samples_are=samples_in_words(audit.data),
    )


def fragment(audit: Audit) -> str:
    """The verdict and a table of the layers, to be embedded in a notebook: no script, no ids, all style scoped."""
    layers = sections.layers(audit)
    part = (
        environment()
        .get_template("fragment.html")
        .render(audit=audit, style=asset("fragment.css"), layers=layers, verdict=sections.verdict(audit, layers))
    )
    return printable(part)
