"""Which silence a plan relies on, by its own account, and which it must not: places of units in original and result.

Verification goes by what the plan says and not by what the planner knew, so that a unit that is relied on and not
listed is found out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from relu_audit.records.pruning import Plan
from relu_audit.surgery.choose.decide import Decision
from relu_audit.surgery.runs.hold import Silent

Unit = tuple[str, int]
"""The tensor of a site, and a number."""


@dataclass(frozen=True)
class Partition:
    """The places of silent units, told apart by a plan.

    Attributes:
        relied: Those whose silence is relied on, in the original.
        relied_left: The same, as far as they lie in the result.
        free: Those that stay and may wake, in the original: by the graph, they are no constants of what is relied on.
        free_left: The same in the result.
    """

    relied: tuple[Silent, ...]
    relied_left: tuple[Silent, ...]
    free: tuple[Silent, ...]
    free_left: tuple[Silent, ...]


def partition_silent(plan: Plan, decision: Decision, silent: Iterable[Silent]) -> Partition:
    """Tell places apart, after the plan was carried out.

    Args:
        plan: What goes, and what is relied on.
        decision: Where its entries were.
        silent: All places of silent units, in the graph that the decision was made on.
    """
    places = tuple(silent)
    relied = [_only(one, _listed(plan)) for one in places]
    able = [one for one in places if one.value.graph is None or _stays(decision, one) is not None]
    unlisted = {(k.tensor, k.unit) for k in plan.kept if not k.relied}
    free = [_but(_only(one, unlisted), _follows(decision, one)) for one in able]
    return Partition(_some(relied), _some(_left(decision, relied)), _some(free), _some(_left(decision, free)))


def _listed(plan: Plan) -> set[Unit]:
    return {(one.tensor, one.unit) for one in (*plan.removed, *(k for k in plan.kept if k.relied))}


def _only(one: Silent, units: Collection[Unit]) -> Silent:
    """The place with none but some units silent."""
    wanted = np.array([(one.tensor, unit) in units for unit in one.units.tolist()], bool)
    return replace(one, numbers=np.where(wanted, one.numbers, np.nan))


def _but(one: Silent, others: np.ndarray) -> Silent:
    """The place with some entries left out."""
    return replace(one, numbers=np.where(others, np.nan, one.numbers))


def _follows(decision: Decision, one: Silent) -> np.ndarray:
    """Which entries of a place are constant though their own silence is not relied on: they cannot wake alone."""
    atoms = decision.facts.atoms.along(one.value, one.axis)
    if atoms is None or len(atoms) != len(one.units):
        return np.zeros(len(one.units), bool)
    seeds = [np.isnan(seed.numbers) for seed in decision.silent if seed.value is one.value]
    return decision.constants.known[atoms] & np.all([np.ones(len(atoms), bool), *seeds], axis=0)


def _left(decision: Decision, places: Iterable[Silent]) -> Iterable[Silent]:
    """Places as they lie in the result."""
    for one in places:
        stays = _stays(decision, one)
        if stays is not None and one.value.graph is not None:
            yield replace(one, units=one.units[stays], numbers=one.numbers[stays])


def _stays(decision: Decision, one: Silent) -> np.ndarray | None:
    """Which entries of a place are in the result; None where its axis is not followed."""
    atoms = decision.facts.atoms.along(one.value, one.axis)
    return None if atoms is None or len(atoms) != len(one.units) else ~decision.solution.removed[atoms]


def _some(places: Iterable[Silent]) -> tuple[Silent, ...]:
    return tuple(one for one in places if len(one.indices))
