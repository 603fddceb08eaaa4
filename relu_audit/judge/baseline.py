"""What a gate needs of an earlier audit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from relu_audit.errors import UsageError
from relu_audit.judge.verdict import judged
from relu_audit.records import Audit, Baseline, BaselineSite, Place, Policy, SiteAudit


def baseline(audit: Audit, policy: Policy, source: str) -> Baseline:
    """The audit as a baseline, its units judged as this policy judges them.

    Args:
        audit: The earlier audit.
        policy: Of the audit that is to be held against it.
        source: Name of its file, or ``<memory>``.

    Raises:
        UsageError: ``baseline`` if nothing can be held against it.
    """
    flaw = _flaw(audit)
    if flaw:
        raise UsageError(
            f"the baseline {source} is no measure: {flaw}",
            slug="baseline",
            hint="Make one from a whole audit of the accepted model on real data: relu-audit MODEL --data DATA --json.",
        )
    return Baseline(
        source=source,
        model=audit.model.name,
        model_sha256=audit.model.sha256,
        data=audit.data.source,
        data_sha256=audit.data.sha256,
        samples=audit.data.samples,
        sites=tuple(_site(judged(site, policy)) for site in audit.sites),
        skipped=tuple(Place(scope=one.scope, tensor=one.tensor) for one in audit.skipped),
    )


def refuse_stranger(measure: Baseline, places: Sequence[Place], widths: Collection[int]) -> None:
    """Refuse a baseline of another network altogether: its layers have neither the names nor the sizes of this model's.

    Args:
        measure: The baseline.
        places: Everything that rectifies in this model.
        widths: Numbers of units of its layers; 0 where the file does not tell.

    Raises:
        UsageError: ``baseline``.
    """
    known = {(one.scope, one.tensor) for one in (*measure.sites, *measure.skipped)}
    alike = {0, *(site.units for site in measure.sites)}
    if places and not any((place.scope, place.tensor) in known for place in places) and alike.isdisjoint(widths):
        raise UsageError(
            f"the baseline {measure.source} is of '{measure.model}', "
            "none of whose layers has the name or the number of units of a layer of this model",
            slug="baseline",
            hint="Give the audit of an earlier version of this model.",
        )


def _flaw(audit: Audit) -> str:
    if audit.partial:
        return "that audit was interrupted"
    if audit.data.synthetic:
        return "its data was made up"
    if not audit.sites:
        return "no rectifier was observed in it"
    return ""


def _site(site: SiteAudit) -> BaselineSite:
    return BaselineSite(
        scope=site.scope,
        tensor=site.tensor,
        op=site.op,
        units=site.units,
        samples=site.samples,
        weight=site.weight,
        weight_sha256=site.weight_sha256,
        weight_signs=site.weight_signs,
        dead=site.dead,
        rare=site.rare,
        faulty=site.faulty,
        unseen=site.unseen,
    )
