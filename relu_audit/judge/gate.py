"""Audit and policy to pass, fail or inconclusive: a pure function over the table of rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from relu_audit.judge.evidence import perhaps_a_part
from relu_audit.judge.matching import Matching, match
from relu_audit.judge.patterns import matches
from relu_audit.judge.rules import BY_SLUG, RULES, Judged, Rule, counting, judged_units, over, worse
from relu_audit.records import (
    Against,
    Baseline,
    BaselineSite,
    Breach,
    DataInfo,
    Gate,
    Place,
    Policy,
    SiteAudit,
    Skipped,
    Waived,
    Waiver,
)

NAMED = 5
"""Layers that a sentence names."""


@dataclass(frozen=True)
class _Case:
    """A layer, the waiver that takes it out of the gate, and what the baseline has of it."""

    place: Judged
    waiver: Waiver | None
    before: BaselineSite | None


def gate(
    policy: Policy,
    data: DataInfo,
    sites: Sequence[SiteAudit],
    skipped: Sequence[Skipped],
    *,
    partial: bool,
    baseline: Baseline | None = None,
) -> Gate:
    """The gate's word. Limits compare exactly: a fraction equal to the limit passes.

    A breach on too little evidence is no verdict either, since silent units wake up with more samples; so what makes a
    gate inconclusive is looked at first. Layers that a waiver matches are left out of everything. With a baseline, a
    broken limit is a breach only if some of the units that count against it are worse than they were there.
    """
    if not policy.gated:
        return Gate(outcome="not_set")
    matching = match(baseline.sites if baseline else (), sites)
    cases = _cases(policy, matching, skipped, baseline)
    judged = [case for case in cases if case.waiver is None]
    compared = baseline is not None
    breaches = tuple(_breaches(RULES, policy, judged, compared=compared))
    reasons = (*_lacks(policy, data, baseline, partial=partial), *_nothing_judged(policy, cases, breaches))
    word = "inconclusive" if reasons else "failed" if breaches else "passed"
    waived = tuple(_waived(one, policy, cases, compared=compared) for one in policy.waivers)
    against = _against(judged, matching) if baseline is not None else None
    remarks = (*_of_faulty(policy, judged), *_of_waivers(waived, cases), *_of_baseline(data, baseline, against))
    return Gate(
        outcome=word, reasons=reasons, breaches=breaches, waived=waived, against=against, remarks=tuple(remarks)
    )


def _cases(
    policy: Policy,
    matching: Matching[BaselineSite, SiteAudit],
    skipped: Sequence[Skipped],
    baseline: Baseline | None,
) -> list[_Case]:
    hidden = {(place.scope, place.tensor) for place in (baseline.skipped if baseline else ())}
    cases = [_Case(site, _waiver(policy, site), before) for before, site in matching.pairs]
    for place in skipped:
        before = BaselineSite(scope=place.scope, tensor=place.tensor, op=place.op, units=1, samples=0, unseen=(0,))
        known = (place.scope, place.tensor) in hidden
        cases.append(_Case(place, _waiver(policy, place), before if known else None))
    return cases


def _waiver(policy: Policy, place: Place) -> Waiver | None:
    return next((one for one in policy.waivers if matches(one.pattern, place.name)), None)


def _breaches(rules: Iterable[Rule], policy: Policy, cases: Sequence[_Case], *, compared: bool) -> Iterator[Breach]:
    for rule in rules:
        for group in [[case] for case in cases] if rule.each else [cases]:
            found = _breach(rule, policy, group, compared=compared)
            if found is not None:
                yield found


def _breach(rule: Rule, policy: Policy, group: Sequence[_Case], *, compared: bool) -> Breach | None:
    """The rule's limit and what is above it, for layers that are held against it together."""
    place = group[0].place if rule.each else None
    limit = rule.limit(policy, place.name if place is not None else "")
    units = sum(len(counting(rule, case.place)) for case in group)
    of = sum(judged_units(case.place) for case in group) if rule.share else None
    if limit is None or of == 0 or not over(units, of, limit):
        return None
    new = sum(worse(rule, case.place, case.before) for case in group) if compared else None
    if new == 0:
        return None
    return Breach(
        rule=rule.name,
        scope=place.scope if place is not None else "",
        tensor=place.tensor if place is not None else None,
        limit=limit,
        units=units,
        of=of,
        new=new,
    )


def _waived(waiver: Waiver, policy: Policy, cases: Sequence[_Case], *, compared: bool) -> Waived:
    own = [case for case in cases if case.waiver is waiver]
    each = [rule for rule in RULES if rule.each]
    return Waived(
        waiver=waiver,
        layers=tuple(_plain(case.place) for case in own),
        breaches=tuple(_breaches(each, policy, own, compared=compared)),
    )


def _plain(place: Place | BaselineSite) -> Place:
    return Place(scope=place.scope, tensor=place.tensor)


def _against(judged: Sequence[_Case], matching: Matching[BaselineSite, SiteAudit]) -> Against:
    rule = BY_SLUG["max-dead"]
    dead = sum(len(counting(rule, case.place)) for case in judged)
    new = sum(worse(rule, case.place, case.before) for case in judged)
    return Against(
        new_dead=new,
        known_dead=dead - new,
        unmatched=tuple(_plain(site) for before, site in matching.pairs if before is None),
        gone=tuple(map(_plain, matching.gone)),
    )


# Why there is no verdict --------------------------------------------------------------------------------------------


def _lacks(policy: Policy, data: DataInfo, baseline: Baseline | None, *, partial: bool) -> Iterator[str]:
    """What is missing of the evidence."""
    if partial:
        yield "the run was interrupted"
    if data.synthetic:
        yield "the data is made up, and says nothing about real inputs"
    if data.evidence < policy.min_samples:
        distinct = "" if data.evidence == data.samples else "distinct "
        yield f"{data.evidence} {distinct}samples are fewer than the {policy.min_samples} asked for (--min-samples)"
    if baseline is not None and baseline.samples < policy.min_samples:
        yield f"the baseline rests on {baseline.samples} samples, fewer than the {policy.min_samples} asked for"


def _nothing_judged(policy: Policy, cases: Sequence[_Case], breaches: Sequence[Breach]) -> Iterator[str]:
    """What is missing of the layers; where everything has to be observed, that is a breach instead."""
    observed = [case for case in cases if isinstance(case.place, SiteAudit)]
    judged = [case.place for case in cases if case.waiver is None]
    unseen = [] if policy.require_observed else [p.name for p in judged if isinstance(p, SiteAudit) and p.unseen]
    if unseen:
        more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
        yield f"no sample reached the layer '{unseen[0]}'{more}"
    elif not cases:
        yield "the model has no rectifier to audit"
    elif not judged:
        yield "every layer is waived"
    elif not observed and not policy.require_observed:
        yield f"none of the {len(cases)} rectifiers could be observed"
    elif not breaches and not any(map(judged_units, judged)):
        yield "there is no unit of which it could be told whether it fires"


# What to know of it -------------------------------------------------------------------------------------------------


def _of_faulty(policy: Policy, judged: Sequence[_Case]) -> Iterator[str]:
    rule = BY_SLUG["allow-faulty"]
    found = [case.place for case in judged if counting(rule, case.place)]
    units = sum(len(counting(rule, place)) for place in found)
    if found and units <= (policy.allow_faulty or 0):
        yield f"{units} faulty {'unit is' if units == 1 else 'units are'} allowed, and in no share: {_named(found)}"


def _of_waivers(waived: Iterable[Waived], cases: Sequence[_Case]) -> Iterator[str]:
    for one in waived:
        pattern = one.waiver.pattern
        if not one.layers and any(matches(pattern, case.place.name) for case in cases):
            yield f"the waiver for '{pattern}' matches only what an earlier one does; remove it"
        elif not one.layers:
            yield f"the waiver for '{pattern}' matches no layer; remove it"


def _of_baseline(data: DataInfo, baseline: Baseline | None, against: Against | None) -> Iterator[str]:
    if baseline is None or against is None:
        return
    part = perhaps_a_part((baseline.data, baseline.samples), (data.source, data.samples))
    same = " of the same file, perhaps" if part else ""
    if baseline.data_sha256 != data.sha256 and not part:
        yield "the baseline was of other data"
    if baseline.samples < data.samples:
        yield (
            f"the baseline saw fewer samples{same} ({baseline.samples}, here {data.samples}): "
            "more of its units were silent, "
            "which may hide some that died since"
        )
    elif baseline.samples > data.samples:
        yield (
            f"the baseline saw more samples{same} ({baseline.samples}, here {data.samples}): "
            "units that look newly dead may "
            "be silent for want of samples"
        )
    if against.unmatched:
        yield f"not in the baseline by name, operator and units, so that all counts as new: {_named(against.unmatched)}"
    if against.gone:
        yield f"in the baseline only: {_named(against.gone)}"


def _named(places: Sequence[Place]) -> str:
    names = ", ".join(f"'{place.name}'" for place in places[:NAMED])
    return names + (f" and {len(places) - NAMED} more" if len(places) > NAMED else "")
