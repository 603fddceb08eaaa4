"""The audit as JUnit XML: a test case for the whole model and one for every layer, as CI services show them.

A broken limit is a failure. Where there is no verdict the model's case is an error, and the layers, which were not
judged, are skipped with the reason; so is whatever is waived or could not be observed. No case fails where the gate
passes.

There is no time in it: the same audit gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from relu_audit.errors import one_line
from relu_audit.judge.rules import BY_SLUG
from relu_audit.records import STATUSES, Audit, SiteAudit, Waiver
from relu_audit.report.breaches import against, waiver_of, why_waived
from relu_audit.report.findings import Finding, findings, layer_name, reasons
from relu_audit.report.numbers import count, enumerated, percent
from relu_audit.report.samples import samples_in_words

MOST_RUNS = 200
"""Runs of dead indices that a layer's case lists."""


DOUBTS = ("faulty-units", "unseen-units")
"""Findings that tell why a layer was not judged in full."""


class _Case(NamedTuple):
    """A test case: its name, what became of it (None for a pass), and what it says."""

    name: str
    outcome: str | None
    kind: str
    message: str
    said: str


def write(audit: Audit) -> str:
    """The audit as JUnit XML."""
    model, data = one_line(audit.model.name), one_line(audit.data.source)
    cases = list(_cases(audit))
    totals = {"tests": str(len(cases))}
    for name, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        totals[name] = str(sum(case.outcome == outcome for case in cases))
    root = ElementTree.Element("testsuites", {"name": "relu-audit", **totals, "time": "0"})
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"{model} on {data}", **totals, "time": "0"})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(audit):
        ElementTree.SubElement(properties, "property", {"name": name, "value": one_line(value)})
    for case in cases:
        # A dot in a class name is a package to many readers.
        about = {"classname": f"relu-audit.{model.replace('.', '_')}", "name": case.name, "time": "0"}
        element = ElementTree.SubElement(suite, "testcase", about)
        if case.outcome is not None:
            kind = {} if case.outcome == "skipped" else {"type": case.kind}
            inner = ElementTree.SubElement(element, case.outcome, {"message": case.message, **kind})
            inner.text = case.message
        ElementTree.SubElement(element, "system-out").text = case.said
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _properties(audit: Audit) -> Iterator[tuple[str, str]]:
    yield "tool", audit.tool
    yield "model.sha256", audit.model.sha256
    yield "data.sha256", audit.data.sha256
    yield "samples", str(audit.data.samples)
    yield "samples.distinct", str(audit.data.evidence)
    yield "samples.are", samples_in_words(audit.data)
    yield "gate", audit.gate.outcome
    if audit.baseline is not None:
        yield "baseline", audit.baseline.source
        yield "baseline.model.sha256", audit.baseline.model_sha256


def _cases(audit: Audit) -> Iterator[_Case]:
    found = findings(audit)
    because = "; ".join(reasons(audit))
    whole = [one for one in found if one.place is None]
    dead = f"{count(audit.dead)} of {count(audit.units)} units are dead ({percent(audit.dead_fraction)})"
    said = [dead, against(audit), *(f"note: {one.message}" for one in whole if one.rule == "remark")]
    yield _case("all units", whole, because="", said="\n".join(filter(None, said)))
    for site in audit.sites:
        own = [one for one in found if one.place is site]
        waiver = waiver_of(audit, site)
        if waiver is None:
            yield _case(layer_name(site), own, because=because, said=_said(site))
        else:
            yield _Case(layer_name(site), "skipped", "", _excused(own, waiver), _said(site))
    for one in audit.skipped:
        message = f"not observed [{one_line(one.slug)}]: {one_line(one.detail)}"
        broken = [o for o in found if o.place is one and o.level == "error"]
        if broken:
            yield _Case(layer_name(one), "failure", broken[0].rule, f"{broken[0].message}; {message}", one_line(one.op))
        else:
            waiver = waiver_of(audit, one)
            excuse = "" if waiver is None else f"; {why_waived(waiver)}"
            yield _Case(layer_name(one), "skipped", one_line(one.slug), f"{message}{excuse}", one_line(one.op))


def _case(name: str, found: list[Finding], *, because: str, said: str) -> _Case:
    errors = [one for one in found if one.level == "error"]
    if errors:
        # Anything but a broken limit kept the audit from a verdict.
        broken = all(one.rule in BY_SLUG or one.rule == "faulty-units" for one in errors)
        message = "; ".join(one.message for one in errors)
        return _Case(name, "failure" if broken else "error", errors[0].rule, message, said)
    doubts = [one.message for one in found if one.rule in DOUBTS]
    if because or doubts:
        return _Case(name, "skipped", "", "; ".join(doubts) or f"not judged: {because}", said)
    return _Case(name, None, "", "", said)


def _excused(found: list[Finding], waiver: Waiver) -> str:
    """Why a waived layer is left out, behind what would have been said of it."""
    doubts = [one.message for one in found if one.rule in DOUBTS]
    broken = [one.message for one in found if one.waiver is not None and one.rule in BY_SLUG]
    return "; ".join(broken or [*doubts, why_waived(waiver)])


def _said(site: SiteAudit) -> str:
    counts = ", ".join(f"{count(_number(site, name))} {name.replace('_', ' ')}" for name in STATUSES)
    lines = [
        f"{one_line(site.op)}, {count(site.units)} units: {counts}",
        f"dead: {percent(site.dead_fraction)}; fires in {percent(site.firing_rate)} of {_counted(site)}",
    ]
    if site.dead:
        lines.append(f"dead units: {enumerated(site.dead, MOST_RUNS)}")
    return "\n".join(lines)


def _counted(site: SiteAudit) -> str:
    return f"{count(site.samples)} {'runs' if site.per_run else 'samples'}"


def _number(site: SiteAudit, status: str) -> int:
    return site.active if status == "active" else len(getattr(site, status))
