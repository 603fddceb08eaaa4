"""Two audits to what became of each unit: a pure function over a table of what a status can turn into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relu_audit.judge.evidence import perhaps_a_part
from relu_audit.judge.matching import match
from relu_audit.records import Audit, Comparison, LayerChange, Side, SiteAudit, Status, Unmatched

_KINDS: dict[Status, str] = {"dead": "dead", "faulty": "faulty", "unseen": "unseen"}
"""What the other statuses have in common is that the unit fired."""

BECAME: dict[tuple[str, str], str | None] = {
    ("fired", "fired"): None,
    ("fired", "dead"): "died",
    ("fired", "faulty"): "broke",
    ("fired", "unseen"): "untold",
    ("dead", "fired"): "revived",
    ("dead", "dead"): "stayed",
    ("dead", "faulty"): "broke",
    ("dead", "unseen"): "untold",
    ("faulty", "fired"): "mended",
    ("faulty", "dead"): "mended",
    ("faulty", "faulty"): "still_faulty",
    ("faulty", "unseen"): "mended",
    ("unseen", "fired"): "untold",
    ("unseen", "dead"): "untold",
    ("unseen", "faulty"): "broke",
    ("unseen", "unseen"): "untold",
}
"""THE TABLE: by old and new kind of unit, the list it goes to."""

LISTS = ("died", "revived", "stayed", "broke", "mended", "still_faulty", "untold")


def comparison(old: Audit, new: Audit, tool: str) -> Comparison:
    """What became of every unit of the layers that both audits have, and which layers only one has."""
    matching = match(old.sites, new.sites)
    alone = [site for before, site in matching.pairs if before is None]
    return Comparison(
        tool=tool,
        old=_side(old),
        new=_side(new),
        layers=tuple(_change(before, after) for before, after in matching.pairs if before is not None),
        added=tuple(_unmatched(site, matching.gone) for site in alone),
        removed=tuple(_unmatched(site, alone) for site in matching.gone),
        remarks=tuple(_remarks(old, new)),
    )


def _change(before: SiteAudit, after: SiteAudit) -> LayerChange:
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
    return Unmatched(scope=site.scope, tensor=site.tensor, op=site.op, units=site.units, dead=len(site.dead), was=was)


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
    part = perhaps_a_part((old.data.source, old.data.samples), (new.data.source, new.data.samples))
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
