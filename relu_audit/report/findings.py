"""What an audit has to complain of, one finding at a time: JUnit, SARIF and annotations tell the same ones.

A finding is an error exactly where the gate does not pass because of it, so that no format is stricter than another.
Its rule is a row of a table; what was not observed has the slug of its reason as its rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from relu_audit.errors import one_line
from relu_audit.judge import rules
from relu_audit.judge.evidence import rate_below
from relu_audit.records import Audit, Breach, SiteAudit, Skipped, Waiver
from relu_audit.report.breaches import left_out, told, waiver_of, why_waived
from relu_audit.report.numbers import bound, count, percent

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Rule:
    """A kind of finding: its stable name, what it is, and what to do about it."""

    id: str
    title: str
    help: str


_TABLE = (
    Rule("inconclusive", "The gate could not decide", "Give more samples of real data, or mend what the reasons name."),
    *(Rule(one.name, one.title, one.help) for one in rules.RULES),
    Rule("remark", "What to know of how the gate judged", "See docs/gate.md."),
    Rule("faulty-units", "Units showed NaN or infinity", "Check the data's scaling and the layers before this one."),
    Rule("dead-units", "Units never fired", "Show it more data; what stays silent can be cut out: relu-audit prune."),
    Rule("unseen-units", "No sample reached the layer", "Give data that takes the other branch."),
    Rule("constant-units", "Units have one value everywhere", "They act as a bias; they can be folded into the next."),
    Rule("in-subgraph", "A rectifier in a body that cannot be observed", "See docs/errors.md."),
    Rule("in-operator", "A rectifier inside an operator that does not show it", "See docs/errors.md."),
    Rule("unknown-rank", "A rectifier whose number of axes is not known", "Give data that reaches it."),
    Rule("bounds-not-constant", "A bound that is computed while the model runs", "See docs/errors.md."),
    Rule("scale-per-axis", "Codes with a scale for each channel", "See docs/errors.md."),
)
RULES = {rule.id: rule for rule in _TABLE}


def rule(name: str) -> Rule:
    """The rule of a finding; one that this version does not know says no more than its name."""
    return RULES.get(name, Rule(name, name.replace("-", " "), "See docs/errors.md."))


@dataclass(frozen=True)
class Finding:
    """Something to complain of.

    Attributes:
        rule: Which kind; see :func:`rule`.
        level: ``error`` where the gate does not pass because of it.
        place: The layer, or what was not observed; None if it is about the whole model.
        message: What was seen, without the layer's name, on one line.
        waiver: Why it does not count, if it would have.
    """

    rule: str
    level: Level
    place: SiteAudit | Skipped | None
    message: str
    waiver: Waiver | None = None


def findings(audit: Audit) -> tuple[Finding, ...]:
    """Everything to complain of: first what decides the gate, then by kind, in graph order."""
    return (
        *_of_gate(audit),
        *_of_waivers(audit),
        *(Finding("remark", "note", None, one_line(remark)) for remark in audit.gate.remarks),
        *(one for site in audit.sites for one in _of_site(audit, site)),
        *_of_skipped(audit),
    )


def layer_name(place: SiteAudit | Skipped) -> str:
    """The tensor behind the path of the scope it sits in, on one line; never empty."""
    return one_line(place.name) or "(no name)"


def reasons(audit: Audit) -> tuple[str, ...]:
    """Why there is no verdict; empty where there is one, or none was asked for."""
    if audit.gate.outcome == "inconclusive":
        return tuple(map(one_line, audit.gate.reasons))
    return ("the run was interrupted",) if audit.partial else ()


def _of_gate(audit: Audit) -> Iterator[Finding]:
    because = reasons(audit)
    if because:
        yield Finding("inconclusive", "error", None, "; ".join(because))
    level: Level = "error" if audit.gate.outcome == "failed" else "warning"
    for breach, place in _placed(audit, audit.gate.breaches):
        yield Finding(breach.rule, level, place, told(breach))


def _of_waivers(audit: Audit) -> Iterator[Finding]:
    for one in audit.gate.waived:
        why = why_waived(one.waiver)
        for breach, place in _placed(audit, one.breaches):
            yield Finding(breach.rule, "note", place, f"{told(breach)}; {why}", one.waiver)
        if one.layers:
            message = f"'{one_line(one.waiver.pattern)}' leaves out {left_out(audit, one)}; {why}"
            yield Finding("remark", "note", None, message, one.waiver)


def _placed(audit: Audit, breaches: Iterable[Breach]) -> Iterator[tuple[Breach, SiteAudit | Skipped | None]]:
    """Breaches with the layer they are of. Where several have one name, each is the next that shows its count."""
    left: list[SiteAudit | Skipped] = [*audit.sites, *audit.skipped]
    for rule, of_rule in groupby(breaches, key=lambda breach: rules.BY_SLUG[breach.rule]):
        taken: set[int] = set()
        for breach in of_rule:
            same = (
                index
                for index, place in enumerate(left)
                if index not in taken
                and (place.scope, place.tensor) == (breach.scope, breach.tensor)
                and len(rules.counting(rule, place)) == breach.units
            )
            index = next(same, None)
            taken.update(() if index is None else (index,))
            yield breach, None if index is None else left[index]


def _of_site(audit: Audit, site: SiteAudit) -> Iterator[Finding]:
    waiver = waiver_of(audit, site)
    undecided = audit.gate.outcome == "inconclusive" and waiver is None and not audit.policy.require_observed
    least: Level = "warning" if waiver is None else "note"
    if site.faulty:
        message = f"{count(len(site.faulty))} of {count(site.units)} units showed NaN or infinity"
        broken = audit.gate.outcome == "failed" and "allow-faulty" in {one.rule for one in audit.gate.breaches}
        yield Finding("faulty-units", "error" if broken and waiver is None else least, site, message, waiver)
    if site.unseen:
        message = f"no sample reached {count(len(site.unseen))} of {count(site.units)} units"
        yield Finding("unseen-units", "error" if undecided else least, site, message, waiver)
    if site.dead:
        passed = audit.gate.outcome == "passed"
        yield Finding("dead-units", "note" if passed else least, site, silent(site), waiver)
    if site.constant:
        message = f"{count(len(site.constant))} of {count(site.units)} units have one non-zero value everywhere"
        yield Finding("constant-units", "note", site, message)


def silent(site: SiteAudit) -> str:
    """How many units are dead and how sure that is."""
    kind = "runs" if site.per_run else "samples"
    sure = "" if site.per_run else f"; their firing rate is below {bound(rate_below(site.evidence))} at 95 % confidence"
    part = f"{count(len(site.dead))} of {count(site.observed_units)} units ({percent(site.dead_fraction)})"
    return f"{part} were silent in all {count(site.samples)} {kind}{sure}"


def _of_skipped(audit: Audit) -> Iterator[Finding]:
    for one in audit.skipped:
        waiver = waiver_of(audit, one)
        message = f"{one_line(one.op)} was not observed: {one_line(one.detail)}"
        yield Finding(one.slug, "warning" if waiver is None else "note", one, message, waiver)
