"""Small patterns: what is planted is found, what can go goes, what remains computes the same."""

from __future__ import annotations

from functools import cache

import onnx
import pytest

from tests.prune_checks import Judged, assert_same_function, feeds, interface, prune, rows_audited, weights
from tests.prune_kit import Pattern
from tests.prune_patterns import PATTERNS

EVERY = [pytest.param(one, id=name) for name, one in PATTERNS.items()]


@pytest.mark.parametrize("pattern", EVERY)
def test_planted_units_are_the_dead_ones(pattern: Pattern) -> None:
    onnx.checker.check_model(pattern.model, full_check=True)
    audit = rows_audited(pattern.model, pattern.data(0))
    assert sorted(site.dead for site in audit.sites) == sorted(pattern.dead.values())
    assert audit.dead == pattern.planted
    assert not audit.skipped


@cache
def judged(name: str, align: int) -> Judged:
    """A pattern pruned once for the tests that look at it from different sides."""
    return prune(PATTERNS[name].model, PATTERNS[name].data(0), align=align)


def assert_function_kept(pattern: Pattern, found: Judged, seeds: tuple[int, ...]) -> None:
    shown = [feed for seed in seeds for feed in feeds(pattern.model, pattern.data(seed))]
    assert_same_function(pattern.model, found.pruned.model, shown, limit=0 if pattern.exact else 1e-5)


@pytest.mark.parametrize("align", [1, 8])
@pytest.mark.parametrize("pattern", EVERY)
def test_pruning_keeps_the_function(pattern: Pattern, align: int) -> None:
    assert_function_kept(pattern, judged(pattern.name, align), (0, 1, 2))


@pytest.mark.parametrize("pattern", EVERY)
def test_what_can_go_goes(pattern: Pattern) -> None:
    found = judged(pattern.name, 1)
    assert len(found.dead_removed) >= pattern.removed, found.kept
    missing = {(tensor, unit) for tensor, units in pattern.also.items() for unit in units} - found.removed
    assert not missing
    assert not pattern.kept or set(found.kept.values()) <= pattern.kept
    shapes = {name: array.shape for name, array in weights(found.pruned.model).items()}
    assert {name: shapes[name] for name in pattern.shapes} == pattern.shapes


@pytest.mark.parametrize("name", ["groups_that_stay_aligned_together", "groups_that_make_eight_units_each"])
def test_groups_are_aligned_together(name: str) -> None:
    """What is a multiple of eight with all groups goes at the default alignment too."""
    assert judged(name, 8).dead_removed == judged(name, 1).dead_removed


@pytest.mark.slow
@pytest.mark.parametrize("pattern", EVERY)
def test_scattering_keeps_the_function(pattern: Pattern) -> None:
    found = prune(pattern.model, pattern.data(0), align=1, scatter=True)
    assert_function_kept(pattern, found, (0, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("pattern", EVERY)
def test_merging_linear_layers_keeps_the_function_on_the_data(pattern: Pattern) -> None:
    """That a unit is always on is a premise about the data, so fresh data may break it."""
    found = prune(pattern.model, pattern.data(0), align=1, merge_linear=True)
    assert_function_kept(pattern, found, (0,))


@pytest.mark.parametrize("name", ["conv2d_chain", "reshape_by_shape_gather_concat", "feed_forward_of_a_transformer"])
def test_declared_shapes_are_kept_word_for_word(name: str) -> None:
    pattern = PATTERNS[name]
    before, after = pattern.model, judged(name, 8).pruned.model
    for old, new in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
        assert [interface(one) for one in new] == [interface(one) for one in old]
