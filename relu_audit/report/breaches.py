"""Broken limits, waivers and baselines in words, the same ones in every format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relu_audit.errors import one_line
from relu_audit.judge.rules import BY_SLUG, RULES, Judged, Rule, counting, judged_units, over
from relu_audit.records import Audit, Breach, Place, Policy, Waived, Waiver
from relu_audit.report.numbers import apart, count, limit, percent


def told(breach: Breach, whose: str | None = None) -> str:
    """A broken limit in a sentence without its end.

    Args:
        breach: The breach.
        whose: What the units are of; by default all of them, or those of a layer that is named beside the sentence.
    """
    rule = BY_SLUG[breach.rule]
    whole = "all units" if breach.tensor is None else "its units"
    return f"{says(rule, amount(breach), whose or whole)}{newly(breach)}; {allows(breach)}"


def amount(breach: Breach) -> str:
    """How much counts against the limit, with the digits that tell it from the limit."""
    return count(breach.units) if breach.of is None else apart(breach.observed, breach.limit)


def newly(breach: Breach) -> str:
    """How much of that is worse than in the baseline; empty without one."""
    return "" if breach.new is None else f", {count(breach.new)} of them newly"


def says(rule: Rule, seen: str, whose: str) -> str:
    """What counts against a limit, in words."""
    return rule.says.format(amount=seen, whose=whose)


def allows(breach: Breach) -> str:
    """The limit, in words."""
    return allowance(BY_SLUG[breach.rule], breach.limit)


def allowance(rule: Rule, bound: float) -> str:
    """A limit in words."""
    return rule.allows.format(limit=limit(bound) if rule.share else count(int(bound)))


def against(audit: Audit) -> str:
    """What the baseline has to do with it, in a sentence without its end; empty without one."""
    if audit.baseline is None or audit.gate.against is None:
        return ""
    found, before = audit.gate.against, audit.baseline
    source = f"{one_line(before.source)} ({one_line(before.model)}, {count(before.samples)} samples)"
    units = f"{count(found.new_dead)} units newly dead, {count(found.known_dead)} dead there too"
    if found.untold_dead:
        units += f", {count(found.untold_dead)} of which it does not tell"
    return f"against the baseline {source}: {units}"


def until(waiver: Waiver) -> str:
    """How long a waiver holds."""
    return "for good" if waiver.until is None else f"until {waiver.until}"


def why_waived(waiver: Waiver) -> str:
    """How long a waiver holds, and its reason."""
    return f"waived {until(waiver)}: {one_line(waiver.reason)}"


def left_out(audit: Audit, waived: Waived) -> str:
    """What a waiver leaves out: counts over its layers."""
    own = {(place.scope, place.tensor) for place in waived.layers}
    sites = [site for site in audit.sites if (site.scope, site.tensor) in own]
    parts = [f"{count(len(waived.layers))} {'layer' if len(waived.layers) == 1 else 'layers'}"]
    for rule in RULES:
        units = sum(len(counting(rule, site)) for site in sites)
        if units and f"{count(units)} {rule.noun}" not in parts:
            parts.append(f"{count(units)} {rule.noun}")
    return ", ".join(parts)


def waiver_of(audit: Audit, place: Place) -> Waiver | None:
    """The waiver that leaves a layer out, if one does."""
    key = (place.scope, place.tensor)
    return next((w.waiver for w in audit.gate.waived if key in {(p.scope, p.tensor) for p in w.layers}), None)


@dataclass(frozen=True)
class Kept:
    """A limit that is set and was not breached.

    Attributes:
        rule: Its rule.
        layer: Where it is on layers, the one that has the least room left.
        amount: What was seen there, in words.
        bound: The limit.
        known: Whether it is exceeded, but nowhere worse than in the baseline.
    """

    rule: Rule
    layer: str | None
    amount: str
    bound: float
    known: bool


def kept(audit: Audit) -> Iterator[Kept]:
    """The limits that are set and were kept, in the order of the rules; none on units that there are not."""
    if not audit.policy.gated:
        return
    broken = {*(breach.rule for breach in audit.gate.breaches), *audit.gate.undecided}
    judged = [place for place in (*audit.sites, *audit.skipped) if waiver_of(audit, place) is None]
    for rule in RULES:
        if rule.name not in broken:
            groups = [[place] for place in judged] if rule.each and rule.share else [judged]
            held = [one for group in groups if (one := _held(rule, audit.policy, group)) is not None]
            if held:
                yield max(held, key=lambda one: one[0])[1]


def _held(rule: Rule, policy: Policy, group: list[Judged]) -> tuple[float, Kept] | None:
    """Layers that are held against a limit together: by how much they exceed it, and that in words."""
    layer = group[0].name if rule.each and rule.share else None
    bound = rule.limit(policy, layer or "")
    units = sum(len(counting(rule, place)) for place in group)
    of = sum(map(judged_units, group)) if rule.share else None
    if bound is None or of == 0 or (of is None and not units):
        return None
    seen = units if of is None else units / of
    said = count(units) if of is None else percent(seen, 2)
    return seen - bound, Kept(rule, layer, said, bound, known=over(units, of, bound))
