"""Residual sums computed narrower, and what else ``scatter`` parts: exact, counted, and announced where it is off."""

from __future__ import annotations

import pytest

import relu_audit
from tests.prune_checks import assert_same_function, feeds, prune
from tests.prune_detours import DETOURS
from tests.prune_families import FAMILIES, Case
from tests.prune_kit import Pattern

EVERY = [pytest.param(one, id=one.name) for one in DETOURS]


@pytest.mark.parametrize("pattern", EVERY)
def test_channels_with_a_living_partner_go(pattern: Pattern) -> None:
    found = prune(pattern.model, pattern.data(0), align=1, scatter=True)
    assert {unit for units in pattern.dead.values() for unit in units} == {unit for _, unit in found.dead}
    shown = [feed for seed in (0, 1) for feed in feeds(pattern.model, pattern.data(seed))]
    assert_same_function(pattern.model, found.pruned.model, shown)
    assert len(found.dead_removed) == pattern.removed, found.kept
    assert set(found.kept.values()) <= pattern.kept


@pytest.mark.parametrize("pattern", EVERY)
def test_units_that_only_scattering_removes_say_so(pattern: Pattern) -> None:
    model, data = pattern.model, pattern.data(0)
    audit = relu_audit.audit(model, data)
    plan = relu_audit.prune(model, audit, data=data, align=1).plan
    told = sum("--scatter would remove it" in one.detail for one in plan.kept)
    assert bool(told) == bool(pattern.removed)
    assert told + sum(one.why == "dead" for one in plan.removed) == pattern.removed


def test_nothing_is_left_of_detours_that_were_only_tried() -> None:
    pattern = DETOURS[0]
    judged = prune(pattern.model, pattern.data(0), align=1)
    assert [node.op_type for node in judged.pruned.model.graph.node] == [
        node.op_type for node in pattern.model.graph.node
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("align", [1, 8])
def test_families_are_equal_bit_by_bit(family: str, align: int) -> None:
    case = Case(family, seed=7, density=0.5, align=align)
    model, _ = case.build()
    data = case.data(model, 0)
    without = prune(model, data, align=align)
    judged = prune(model, data, align=align, scatter=True)
    assert_same_function(model, judged.pruned.model, [data])
    assert judged.dead_removed >= without.dead_removed
    if judged.removed == without.removed:
        assert judged.pruned.model.graph == without.pruned.model.graph


@pytest.mark.parametrize("pattern", [pytest.param(one, id=one.name) for one in DETOURS if not one.removed])
def test_a_detour_by_which_no_unit_goes_is_not_taken(pattern: Pattern) -> None:
    data = pattern.data(0)
    plain, scattered = (prune(pattern.model, data, align=1, scatter=scatter) for scatter in (False, True))
    assert scattered.pruned.model.graph == plain.pruned.model.graph
