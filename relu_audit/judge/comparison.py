"""Two audits to what became of each unit: a pure function over a table of what a status can turn into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relu_audit.judge.evidence import may_be_subset
from relu_audit.judge.matching import match
from relu_audit.judge.naming import named
from relu_audit.records import Audit, Change, Comparison, LayerChange, Place, Side, SiteAudit, Status, Unmatched

_KINDS: dict[Status, str] = {"dead": "dead", "faulty": "faulty", "unseen": "unseen"}
"""What the other statuses have in common is that the unit fired."""

BECAME: dict[tuple[str, str], str | None] = {
    ("fired", "fired"): None,
    ("fired", "dead"): "died",
    ("fired", "faulty"): "broke",
    ("fired", "unseen"): "undecided",
    ("dead", "fired"): "revived",
    ("dead", "dead"): "stayed",
    ("dead", "faulty"): "broke",
    ("dead", "unseen"): "undecided",
    ("faulty", "fired"): "mended",
    ("faulty", "dead"): "died",
    ("faulty", "faulty"): "still_faulty",
    ("faulty", "unseen"): "undecided",
    ("unseen", "fired"): "untold",
    ("unseen", "dead"): "undecided",
    ("unseen", "faulty"): "undecided",
    ("unseen", "unseen"): "untold",
}
"""THE TABLE: by old and new kind of unit, the list it goes to.

NaN excuses only NaN: a unit that was faulty and is dead has died. What no sample reached excuses nothing, and proves
nothing either. The gate judges alike; its rules say so in ``no_better``.
"""

LISTS = ("died", "revived", "stayed", "broke", "mended", "still_faulty", "untold", "undecided")


def comparison(old: Audit, new: Audit, tool: str) -> Comparison:
    """What became of every unit of the layers that both audits have, and which layers only one has."""
    matching = match(old.sites, new.sites)
    alone = [pair.new for pair in matching.pairs if pair.old is None]
    layers = tuple(_layer(pair.old, pair.new) for pair in matching.pairs if pair.old is not None)
    reasons = tuple(_doubts(layers, alone))
    return Comparison(
        tool=tool,
        old=_side(old),
        new=_side(new),
        outcome=_net(layers, doubtful=bool(reasons)),
        reasons=reasons,
        layers=layers,
        renamed=matching.renamed,
        added=tuple(_unmatched(site, matching.gone) for site in alone),
        removed=tuple(_unmatched(site, alone) for site in matching.gone),
        remarks=tuple(_remarks(old, new)),
    )


def _net(layers: Sequence[LayerChange], *, doubtful: bool) -> Change:
    """Whether more units died than revived, or the other way round; faulty units are counted by themselves."""
    total = {name: sum(len(getattr(layer, name)) for layer in layers) for name in LISTS}
    dead, faulty = total["died"] - total["revived"], total["broke"] - total["mended"]
    if max(dead, faulty) > 0 and min(dead, faulty) >= 0:
        return "worse"
    if doubtful:
        return "inconclusive"
    if min(dead, faulty) < 0 and max(dead, faulty) <= 0:
        return "better"
    return "mixed" if total["died"] or total["broke"] else "unchanged"


def _doubts(layers: Sequence[LayerChange], added: Sequence[SiteAudit]) -> Iterator[str]:
    """Why nobody can say that nothing got worse."""
    unwell = [site for site in added if site.dead or site.faulty]
    if not layers:
        yield "no layer is in both audits"
    elif all(len(layer.untold) + len(layer.undecided) == layer.units for layer in layers):
        yield "no unit was reached by samples in both audits"
    if layers and unwell:
        units = sum(len(site.dead) + len(site.faulty) for site in unwell)
        which = f"{units} dead or faulty {'unit' if units == 1 else 'units'}"
        yield f"no layer of the old audit matches {named(unwell)}, which {_has(unwell)} {which}"
    undecided = [layer for layer in layers if layer.undecided]
    if undecided:
        units = sum(len(layer.undecided) for layer in undecided)
        which = "unit that was" if units == 1 else "units that were"
        yield f"{named(undecided)} {_has(undecided)} {units} {which} reached by samples in one audit only"


def _has(places: Sequence[Place]) -> str:
    return "has" if len(places) == 1 else "have"


def _layer(before: SiteAudit, after: SiteAudit) -> LayerChange:
    lists: dict[str, list[int]] = {name: [] for name in LISTS}
    for unit, pair in enumerate(zip(before.statuses, after.statuses, strict=True)):
        became = BECAME[_kind(pair[0]), _kind(pair[1])]
        if became is not None:
            lists[became].append(unit)
    return LayerChange(
        scope=after.scope,
        tensor=after.tensor,
        op=after.op,
        units=after.units,
        old_samples=before.samples,
        new_samples=after.samples,
        **{name: tuple(units) for name, units in lists.items()},
    )


def _kind(status: Status) -> str:
    return _KINDS.get(status, "fired")


def _unmatched(site: SiteAudit, others: Sequence[SiteAudit]) -> Unmatched:
    same = next((one for one in others if (one.scope, one.tensor) == (site.scope, site.tensor)), None)
    was = None if same is None else f"{same.op}, {same.units} units"
    return Unmatched(
        scope=site.scope,
        tensor=site.tensor,
        op=site.op,
        units=site.units,
        dead=len(site.dead),
        faulty=len(site.faulty),
        was=was,
    )


def _side(audit: Audit) -> Side:
    return Side(
        model=audit.model.name,
        model_sha256=audit.model.sha256,
        data=audit.data.source,
        data_sha256=audit.data.sha256,
        samples=audit.data.samples,
        partial=audit.partial,
        units=audit.units,
        observed=sum(site.observed_units for site in audit.sites),
        dead=audit.dead,
        faulty=audit.summary.faulty,
    )


def _remarks(old: Audit, new: Audit) -> Iterator[str]:
    part = may_be_subset((old.data.source, old.data.samples), (new.data.source, new.data.samples))
    same = " of the same file, perhaps" if part else ""
    if old.data.sha256 != new.data.sha256 and not part:
        yield "the two audits were of different data"
    if old.data.samples < new.data.samples:
        yield (
            f"the old audit saw fewer samples{same} ({old.data.samples}, the new one {new.data.samples}): "
            "some of what looks "
            "revived was only never shown what it fires on"
        )
    elif old.data.samples > new.data.samples:
        yield (
            f"the old audit saw more samples{same} ({old.data.samples}, the new one {new.data.samples}): "
            "some of what looks "
            "dead may be silent for want of samples"
        )
    for name, side in (("old", old), ("new", new)):
        if side.partial:
            yield f"the {name} audit was interrupted"
        if side.data.synthetic:
            yield f"the data of the {name} audit was made up, and says nothing about real inputs"
    if old.model.sha256 == new.model.sha256 and _weights(old) == _weights(new):
        yield "both audits are of the same model"


def _weights(audit: Audit) -> set[str]:
    return {file.sha256 for file in audit.model.external}
