"""What to do about what was found: a table of rules, in the order in which things are worth doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relu_audit.records import Audit
from relu_audit.report.causes import Counted, leading
from relu_audit.report.data_sufficiency import DataSufficiency
from relu_audit.report.numbers import count

MOST = 3
"""Pieces of advice that are given, at most: the first that hold."""


@dataclass(frozen=True)
class Advice:
    """What to do next, and the section of the page that says more."""

    text: str
    section: str


@dataclass(frozen=True)
class Rule:
    """When to give an advice, and which."""

    holds: Callable[[Audit, DataSufficiency | None], bool]
    text: str
    section: str


RULES = (
    Rule(
        lambda audit, _: audit.data.synthetic,
        "Audit it again with real data: nothing below can be acted upon.",
        "provenance",
    ),
    Rule(
        lambda audit, _: audit.partial,
        "Let the audit run to its end, or give it a number of samples it has time for (--limit).",
        "provenance",
    ),
    Rule(
        lambda audit, _: bool(audit.summary.faulty),
        "Find where NaN or infinity first appears: no unit behind it can be trusted.",
        "layers",
    ),
    Rule(
        lambda audit, _: bool(audit.summary.unseen and audit.data.samples),
        "Show data that reaches every branch: {unseen} units were never reached.",
        "layers",
    ),
    Rule(
        lambda audit, enough: enough is not None and enough.whole.stirring and not audit.data.synthetic,
        "Show more data before acting: it is expected to wake many of the silent units.",
        "evidence",
    ),
    Rule(
        lambda audit, _: bool(audit.dead) and not audit.data.synthetic,
        "To keep this checkpoint, cut its dead units out without changing what it computes: relu-audit prune.",
        "costs",
    ),
    Rule(
        lambda audit, _: leading(audit) is not None and not audit.data.synthetic,
        "To train a better one, mend what they died of, most often this: {cause}.",
        "causes",
    ),
    Rule(
        lambda audit, _: bool(audit.dead) and leading(audit) is None and not audit.data.synthetic,
        "To train a better one, look at the layers with the fewest units alive, and at how far their dead units are "
        "from firing.",
        "depth",
    ),
    Rule(
        lambda audit, _: bool(audit.sites) and not audit.dead and not audit.policy.gated and not audit.data.synthetic,
        "Nothing needs doing. A limit keeps it so: relu-audit --max-dead 1%.",
        "provenance",
    ),
)


def advice(audit: Audit, enough: DataSufficiency | None) -> tuple[Advice, ...]:
    """What to do next, the most urgent first."""
    words = {"unseen": count(audit.summary.unseen), "cause": _cause(leading(audit), audit.dead)}
    return tuple(Advice(rule.text.format(**words), rule.section) for rule in RULES if rule.holds(audit, enough))[:MOST]


def _cause(most: Counted | None, dead: int) -> str:
    return "" if most is None else f"{most.cause.brief}, {count(most.units)} of {count(dead)}"
