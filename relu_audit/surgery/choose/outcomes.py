"""What becomes of every audited unit: it goes, or stays for a reason."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import onnx_ir as ir

from relu_audit.records import Audit, SiteAudit
from relu_audit.records.pruning import KeptUnit, RemovedUnit
from relu_audit.surgery.choose.decide import Decision
from relu_audit.surgery.operators.atoms import Atoms, Ints
from relu_audit.surgery.runs.hold import Silent


def outcomes(
    audit: Audit,
    silent: Collection[Silent],
    decision: Decision,
    merged: Collection[ir.Value] = (),
    replaced: Collection[Silent] = (),
) -> tuple[tuple[RemovedUnit, ...], tuple[KeptUnit, ...]]:
    """The units that go and the dead and constant ones that stay. One that goes, goes everywhere.

    Args:
        audit: The units.
        silent: All of their places.
        decision: What goes.
        merged: Rectified values that went as their layer was merged with the next.
        replaced: Places that were relied on before the decision.
    """
    removed: list[RemovedUnit] = []
    kept: list[KeptUnit] = []
    relied = {(one.tensor, int(unit)) for one in (*decision.silent, *replaced) for unit in one.units[one.indices]}
    present = {one.value for one in decision.silent}
    for site in audit.sites:
        places = [one for one in silent if one.tensor == site.tensor]
        whole = "merged" if any(one.value in merged for one in places) else "unread"
        for unit in range(site.units) if places else ():
            why = "dead" if unit in site.dead else "constant" if unit in site.constant else whole
            own = [_atoms(decision.facts.atoms, one, unit) for one in places if one.value in present]
            if all(atoms is not None and _is_gone(decision, atoms) for atoms in own):
                removed.append(RemovedUnit(tensor=site.tensor, unit=unit, why=why))
            elif why in ("dead", "constant"):
                first = next((atoms for atoms in own if atoms is None or not _is_gone(decision, atoms)), None)
                one = _kept(site, unit, why, decision, first)
                kept.append(_told(one) if (site.tensor, unit) in relied else one)
    return tuple(removed), tuple(kept)


def hinted(kept: Collection[KeptUnit], removed: Collection[RemovedUnit], hint: str) -> tuple[KeptUnit, ...]:
    """Units that stay; those that go elsewhere with a word on how."""
    could = {(one.tensor, one.unit) for one in removed}
    return tuple(
        msgspec.structs.replace(one, detail=f"{one.detail}; {hint}") if (one.tensor, one.unit) in could else one
        for one in kept
    )


def _told(one: KeptUnit) -> KeptUnit:
    """A unit that stays, whose silence what goes depends on."""
    return msgspec.structs.replace(one, relied=True, detail=f"{one.detail}; the result relies on its silence")


def _atoms(atoms: Atoms, one: Silent, unit: int) -> Ints | None:
    along = atoms.along(one.value, one.axis)
    return None if along is None or len(along) != len(one.units) else along[one.units == unit]


def _is_gone(decision: Decision, atoms: Ints) -> bool:
    return bool(decision.solution.removed[atoms].all())


def _kept(site: SiteAudit, unit: int, why: str, decision: Decision, atoms: Ints | None) -> KeptUnit:
    reason = next(r for r in decision.reasons if r.knows(atoms))
    slug, detail = reason.of(atoms)
    if slug == "not-by-structure" and reason is not decision.reasons[0]:
        detail = "it is constant only because of silent units that stay"
    return KeptUnit(tensor=site.tensor, unit=unit, why=why, slug=slug, detail=detail)
