"""Residual sums computed narrower, and what else ``scatter`` parts: exact, counted, and announced where it is off."""

from __future__ import annotations

import numpy as np
import pytest

import relu_audit
from tests.graphs import graph
from tests.prune_checks import assert_same_function, feeds, prune, rows_audited
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
    audit = rows_audited(model, data)
    plan = relu_audit.prune(model, audit, data=data, align=1).plan
    told = sum("--scatter would remove it" in one.detail for one in plan.kept)
    assert bool(told) == bool(pattern.removed)
    assert told + sum(one.why == "dead" for one in plan.removed) == pattern.removed


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("align", [2, 4])
def test_only_what_goes_is_taken_for_zero(seed: int, align: int) -> None:
    """A unit that stays for the sake of alignment is computed as ever, and may wake: verification tries."""
    rng = np.random.default_rng(seed)
    layers = {}
    for number, size in ((0, 4), (1, 8)):
        bias = rng.integers(-1, 3, 8).astype(np.float32)
        bias[rng.permutation(8)[: 3 + number]] = -1000
        layers |= {f"w{number}": rng.integers(-1, 2, (size, 8)).astype(np.float32), f"b{number}": bias}
    body = (
        "h = Gemm (x, w0, b0)\n r = Relu (h)\n k = Gemm (r, w1, b1)\n q = Relu (k)\n a = Add (r, q)\n y = MatMul (a, v)"
    )
    held = layers | {"v": rng.integers(-1, 2, (8, 3)).astype(np.float32)}
    model = graph("float[n, 4] x", "float[n, 3] y", body, held)
    data = {"x": rng.integers(-2, 3, (64, 4)).astype(np.float32)}
    found = prune(model, data, align=align, scatter=True)
    assert_same_function(model, found.pruned.model, [data])


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
