"""Audit and policy to pass, fail or inconclusive: a pure function over the table of rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from relu_audit.judge.evidence import may_be_subset
from relu_audit.judge.matching import Matching, match
from relu_audit.judge.naming import named, renamed
from relu_audit.judge.patterns import matches
from relu_audit.judge.rules import BY_SLUG, RULES, Judged, Rule, counting, extent, judged_units, over, since
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


@dataclass(frozen=True)
class _Case:
    """A layer, the waiver that takes it out of the gate, and what the baseline has of it."""

    place: Judged
    waiver: Waiver | None
    before: BaselineSite | None

    @property
    def assumed(self) -> bool:
        """Whether the axis of its units is a guess."""
        return isinstance(self.place, SiteAudit) and self.place.assumed

    @property
    def unmatched(self) -> bool:
        """Whether it is a layer that no layer of the baseline is known to be."""
        return isinstance(self.place, SiteAudit) and self.before is None


@dataclass(frozen=True)
class _Doubt:
    """A limit of which nobody can say whether it is broken, and the layers because of which.

    Attributes:
        rule: The limit's rule.
        assumed: Layers of which the axis of the units is assumed.
        untold: Layers with units that count against the limit, of which the baseline does not tell.
    """

    rule: Rule
    assumed: tuple[_Case, ...]
    untold: tuple[_Case, ...]


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

    A breach on too little evidence is no verdict, since silent units wake up with more samples; so what makes a gate
    inconclusive as a whole is looked at first. What is in doubt of single layers is looked at last: a limit that is
    broken whatever becomes of them is broken. Layers that a waiver matches are left out of everything. With a baseline,
    a broken limit is a breach only if some of the units that count against it are worse than they were there.
    """
    if not policy.gated:
        return Gate(outcome="not_set")
    compared = baseline is not None
    matching = match(baseline.sites if baseline else (), sites)
    cases = _cases(policy, matching, skipped, baseline)
    judged = [case for case in cases if case.waiver is None]
    found = list(_found(RULES, policy, judged, compared=compared))
    breaches = tuple(one for one in found if isinstance(one, Breach))
    doubts = [one for one in found if isinstance(one, _Doubt)]
    lacks = (*_lacks(policy, data, baseline, partial=partial), *_nothing_judged(policy, cases, breaches))
    doubtful = tuple(_in_words(doubts))
    decided = bool(breaches) and not lacks
    word = "failed" if decided else "inconclusive" if lacks or doubtful else "passed"
    waived = tuple(_waived(one, policy, cases, compared=compared) for one in policy.waivers)
    against = _against(judged, matching) if compared else None
    remarks = (
        *(doubtful if decided else ()),
        *_of_faulty(policy, judged),
        *_of_waivers(waived, cases),
        *_of_baseline(data, baseline, against),
    )
    return Gate(
        outcome=word,
        reasons=() if decided else (*lacks, *doubtful),
        breaches=breaches,
        undecided=tuple(dict.fromkeys(doubt.rule.name for doubt in doubts)),
        waived=waived,
        against=against,
        remarks=remarks,
    )


def _cases(
    policy: Policy,
    matching: Matching[BaselineSite, SiteAudit],
    skipped: Sequence[Skipped],
    baseline: Baseline | None,
) -> list[_Case]:
    hidden = {(place.scope, place.tensor) for place in (baseline.skipped if baseline else ())}
    cases = [_Case(pair.new, _waiver(policy, pair.new), pair.old) for pair in matching.pairs]
    for place in skipped:
        before = BaselineSite(scope=place.scope, tensor=place.tensor, op=place.op, units=1, samples=0, unseen=(0,))
        known = (place.scope, place.tensor) in hidden
        cases.append(_Case(place, _waiver(policy, place), before if known else None))
    return cases


def _waiver(policy: Policy, place: Place) -> Waiver | None:
    return next((one for one in policy.waivers if matches(one.pattern, place.name)), None)


def _found(
    rules: Iterable[Rule], policy: Policy, cases: Sequence[_Case], *, compared: bool
) -> Iterator[Breach | _Doubt]:
    for rule in rules:
        for group in [[case] for case in cases] if rule.each else [cases]:
            found = _held(rule, policy, group, compared=compared)
            if found is not None:
                yield found


def _held(rule: Rule, policy: Policy, group: Sequence[_Case], *, compared: bool) -> Breach | _Doubt | None:
    """What becomes of a rule's limit, for layers that are held against it together; None if it is kept for certain."""
    place = group[0].place if rule.each else None
    limit = rule.limit(policy, place.name if place is not None else "")
    extents = [extent(rule, case.place) for case in group]
    width = sum(one.of for one in extents) if rule.share else None
    if limit is None or width == 0 or not over(sum(one.most for one in extents), width, limit):
        return None
    assumed = tuple(case for case in group if case.assumed and (rule.share or counting(rule, case.place)))
    if not over(sum(one.least for one in extents), width, limit):
        return _Doubt(rule, assumed, ())
    before = [(case, since(rule, case.place, case.before)) for case in group]
    # Units that are dead along an assumed axis need not be along another; a NaN is one along any.
    if compared and not any(one.new for case, one in before if not (case.assumed and rule.share)):
        untold = tuple(case for case, one in before if one.untold)
        return _Doubt(rule, assumed, untold) if assumed or untold else None
    return Breach(
        rule=rule.name,
        scope=place.scope if place is not None else "",
        tensor=place.tensor if place is not None else None,
        limit=limit,
        units=sum(len(counting(rule, case.place)) for case in group),
        of=sum(judged_units(case.place) for case in group) if rule.share else None,
        new=sum(one.new for _, one in before) if compared else None,
    )


def _waived(waiver: Waiver, policy: Policy, cases: Sequence[_Case], *, compared: bool) -> Waived:
    own = [case for case in cases if case.waiver is waiver]
    each = [rule for rule in RULES if rule.each]
    found = _found(each, policy, own, compared=compared)
    return Waived(
        waiver=waiver,
        layers=tuple(_plain(case.place) for case in own),
        breaches=tuple(one for one in found if isinstance(one, Breach)),
    )


def _plain(place: Place | BaselineSite) -> Place:
    return Place(scope=place.scope, tensor=place.tensor)


def _against(judged: Sequence[_Case], matching: Matching[BaselineSite, SiteAudit]) -> Against:
    rule = BY_SLUG["max-dead"]
    dead = sum(len(counting(rule, case.place)) for case in judged)
    before = [since(rule, case.place, case.before) for case in judged]
    new, untold = sum(one.new for one in before), sum(one.untold for one in before)
    return Against(
        new_dead=new,
        known_dead=dead - new - untold,
        untold_dead=untold,
        renamed=matching.renamed,
        unmatched=tuple(_plain(pair.new) for pair in matching.pairs if pair.old is None),
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
        noun, verb = ("sample", "is") if distinct and data.evidence == 1 else ("samples", "are")
        yield f"{data.evidence} {distinct}{noun} {verb} fewer than the {policy.min_samples} asked for (--min-samples)"
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


def _in_words(doubts: Sequence[_Doubt]) -> Iterator[str]:
    """Why limits could not be decided, each layer once."""
    assumed = list({id(case): case.place for doubt in doubts for case in doubt.assumed}.values())
    if len(assumed) == 1:
        given = f"--unit-axis {assumed[0].tensor}=AXIS"
        yield f"the unit axis of {named(assumed)} is assumed and may be wrong; set it with {given}, or waive the layer"
    elif assumed:
        yield (
            f"the unit axes of {named(assumed)} are assumed and may be wrong; "
            "set each with --unit-axis TENSOR=AXIS, or waive the layers"
        )
    for unmatched, why in (
        (True, "no layer of the baseline matches {named}"),
        (False, "in the baseline no sample reached units of {named}"),
    ):
        for noun in dict.fromkeys(doubt.rule.noun for doubt in doubts):
            own = [doubt for doubt in doubts if doubt.rule.noun == noun]
            cases = {id(case): case for doubt in own for case in doubt.untold if case.unmatched == unmatched}
            if cases:
                layers = named([case.place for case in cases.values()])
                units = sum(since(own[0].rule, case.place, case.before).untold for case in cases.values())
                which = "unit is" if units == 1 else "units are"
                yield f"{why.format(named=layers)}, so nothing tells whether {units} {noun} {which} new"


# What to know of it -------------------------------------------------------------------------------------------------


def _of_faulty(policy: Policy, judged: Sequence[_Case]) -> Iterator[str]:
    rule = BY_SLUG["allow-faulty"]
    found = [case.place for case in judged if counting(rule, case.place)]
    units = sum(len(counting(rule, place)) for place in found)
    if found and units <= (policy.allow_faulty or 0):
        yield f"{units} faulty {'unit is' if units == 1 else 'units are'} allowed, and in no share: {named(found)}"


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
    part = may_be_subset((baseline.data, baseline.samples), (data.source, data.samples))
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
    if against.renamed:
        yield f"layers have new names since the baseline: {renamed(against.renamed)}"
    if against.unmatched:
        yield f"no layer of the baseline matches {named(against.unmatched)}"
    if against.gone:
        yield f"in the baseline only: {named(against.gone)}"
