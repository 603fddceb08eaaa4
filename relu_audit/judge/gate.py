"""Audit and policy to pass, fail or inconclusive: a pure function."""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.records import Breach, DataInfo, Gate, Policy, SiteAudit, Skipped, share


def gate(
    policy: Policy, data: DataInfo, sites: Sequence[SiteAudit], skipped: Sequence[Skipped], *, partial: bool
) -> Gate:
    """The gate's word. Limits compare exactly: a fraction equal to the limit passes.

    A breach on too little evidence is no verdict either, since silent units wake up with more samples; so what makes a
    gate inconclusive is looked at first.
    """
    if not policy.gated:
        return Gate(outcome="not_set")
    breaches = tuple(_breaches(policy, sites))
    reasons = tuple(_reasons(policy, data, sites, skipped, partial=partial))
    if reasons:
        return Gate(outcome="inconclusive", reasons=reasons, breaches=breaches)
    return Gate(outcome="failed" if breaches else "passed", breaches=breaches)


def _reasons(
    policy: Policy, data: DataInfo, sites: Sequence[SiteAudit], skipped: Sequence[Skipped], *, partial: bool
) -> list[str]:
    reasons: list[str] = []
    if partial:
        reasons.append("the run was interrupted")
    if data.synthetic:
        reasons.append("the data is made up, and says nothing about real inputs")
    if data.samples < policy.min_samples:
        reasons.append(f"{data.samples} samples are fewer than the {policy.min_samples} asked for (--min-samples)")
    if not sites:
        reasons.append(
            f"none of the {len(skipped)} rectifiers could be observed"
            if skipped
            else "the model has no rectifier to audit"
        )
    faulty = sum(len(site.faulty) for site in sites)
    if faulty:
        reasons.append(f"{faulty} units showed NaN or infinity, so whether they fire cannot be told")
    unseen = [site.tensor for site in sites if site.unseen]
    if unseen:
        more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
        reasons.append(f"no sample reached the layer '{unseen[0]}'{more}")
    return reasons


def _breaches(policy: Policy, sites: Sequence[SiteAudit]) -> list[Breach]:
    breaches: list[Breach] = []
    total = share(sum(len(site.dead) for site in sites), sum(site.observed_units for site in sites))
    if policy.max_dead is not None and total is not None and total > policy.max_dead:
        breaches.append(Breach(rule="max_dead", tensor=None, limit=policy.max_dead, observed=total))
    for site in sites:
        dead = site.dead_fraction
        if policy.max_dead_layer is not None and dead is not None and dead > policy.max_dead_layer:
            breaches.append(
                Breach(rule="max_dead_layer", tensor=site.tensor, limit=policy.max_dead_layer, observed=dead)
            )
    return breaches
