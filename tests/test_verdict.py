"""Status, evidence and trend against their definitions, from counts alone."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_audit.judge.depth import trend
from relu_audit.judge.evidence import may_be_subset, rate_below
from relu_audit.judge.verdict import judged, verdict
from relu_audit.observe.tally import Rows, Tally
from relu_audit.records import Policy, Site, SiteAudit
from tests.layers import site

lawful = settings(derandomize=True, deadline=None, max_examples=200)


# Status -------------------------------------------------------------------------------------------------------------


def counted(
    *units: tuple[int, int, float | None, float | None], samples: int = 4, positions: int = 8, **more: object
) -> SiteAudit:
    """A layer of units given as samples and positions fired, peak and trough."""
    fired, places, peak, trough = zip(*units, strict=True)
    made = msgspec.structs.replace(
        site(len(units)),
        samples=samples,
        fired_samples=fired,
        fired_positions=places,
        positions=positions,
        peak=peak,
        trough=trough,
    )
    return msgspec.structs.replace(made, **more)


def status(found: SiteAudit, unit: int) -> str:
    """The one list that a unit is on; active if it is on none."""
    names = ("unseen", "faulty", "dead", "constant", "always_on", "rare")
    [one] = [name for name in names if unit in getattr(found, name)] or ["active"]
    return one


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ((0, 0, 0.0, 0.0), "dead"),
        ((0, 0, -0.0, -0.0), "dead"),
        ((0, 0, None, None), "faulty"),
        ((3, 6, None, 0.0), "faulty"),
        ((4, 8, 2.0, 2.0), "constant"),
        ((4, 8, 2.0, 1.0), "always_on"),
        ((4, 7, 2.0, 1.0), "active"),  # positive wherever it was counted but once
        ((4, 8, 2.0, 0.0), "active"),  # a run that could not be counted showed a silence
        ((1, 1, 2.0, 0.0), "active"),
        ((0, 0, 2.0, 0.0), "rare"),
    ],
)
def test_a_unit_has_the_status_that_its_counts_say(
    unit: tuple[int, int, float | None, float | None], expected: str
) -> None:
    assert status(judged(counted(unit), Policy(rare_below=0.25)), 0) == expected


def test_nothing_is_always_on_where_no_position_was_counted() -> None:
    assert status(judged(counted((4, 0, 2.0, 1.0), positions=0), Policy(rare_below=0.25)), 0) == "active"


def test_nothing_is_known_of_a_layer_that_no_sample_reached() -> None:
    assert status(judged(counted((0, 0, None, None), samples=0, positions=0), Policy()), 0) == "unseen"


@pytest.mark.parametrize(("fired", "rare"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_unit_is_rare_below_the_rate_and_not_at_the_rate(fired: int, rare: bool) -> None:
    found = judged(counted((fired, fired, 2.0, 0.0)), Policy(rare_below=0.5))
    assert status(found, 0) == ("rare" if rare else "active")


@pytest.mark.parametrize("unit", [(0, 0, 0.0, 0.0), (0, 0, 2.0, 0.0)])
def test_a_unit_that_is_not_rectified_is_neither_dead_nor_rare(unit: tuple[int, int, float, float]) -> None:
    made = counted(unit, unit, not_rectified=(1,))
    found = judged(made, Policy(rare_below=0.5))
    assert status(found, 0) in ("dead", "rare")
    assert status(found, 1) == "active"


SITE = Site(
    tensor="r",
    tensors=("r",),
    scope="",
    op="Relu",
    layout="n u",
    unit_axis=1,
    axis_from="output axis of weight 'w'",
    assumed=False,
    weight="w",
)


def tallied(y: list[list[float]], *, distinct: int | None = None, positions: int = 1) -> SiteAudit:
    """What is counted of outputs [samples, units]."""
    table = np.array(y, np.float64)
    rows = Rows((table > 0).astype(np.int64), table, table, table, table - 1, None, positions)
    return verdict(SITE, Tally.of(rows, 0), Policy(), per_run=False, distinct=distinct)


def test_a_verdict_holds_the_numbers_of_its_tally() -> None:
    found = tallied([[0.0, 1.0, 2.0], [0.0, 4.0, 2.0]])
    assert found.fired_samples == found.fired_positions == (0, 2, 2)
    assert found.first_fired == (None, 0, 0)
    assert found.mean == (0.0, 2.5, 2.0)
    assert found.peak == (0.0, 4.0, 2.0)
    assert found.trough == (0.0, 1.0, 2.0)
    assert found.pre_peak == (-1.0, 3.0, 1.0)
    assert (found.units, found.samples, found.positions) == (3, 2, 2)
    assert [status(found, unit) for unit in range(3)] == ["dead", "always_on", "constant"]


def test_a_zero_has_no_sign() -> None:
    found = tallied([[-0.0]])
    assert [repr(getattr(found, name)) for name in ("mean", "peak", "trough")] == ["(0.0,)"] * 3


def test_a_faulty_unit_has_no_mean_and_no_extremes() -> None:
    found = tallied([[np.inf, 1.0], [1.0, 1.0]])
    assert found.mean == (None, 1.0)
    assert found.peak == found.trough == (None, 1.0)
    assert found.pre_peak == (None, 0.0)
    assert status(found, 0) == "faulty"


def test_a_mean_that_is_too_large_for_a_double_is_left_out() -> None:
    found = tallied([[1e308], [1e308], [1e308]])
    assert found.mean == (None,)
    assert found.peak == (1e308,)


def test_there_is_no_mean_of_a_run_whose_positions_were_not_counted() -> None:
    assert tallied([[1.0]], positions=0).mean == (None,)


@pytest.mark.parametrize(("distinct", "kept"), [(None, None), (1, 1), (2, 2), (7, 2)])
def test_no_more_samples_are_distinct_than_were_counted(distinct: int | None, kept: int | None) -> None:
    assert tallied([[1.0], [2.0]], distinct=distinct).distinct == kept


@pytest.mark.parametrize(("mean", "shown"), [(1.23456749, 1.23457), (1e-20 / 3, 3.33333e-21), (-0.0, 0.0)])
def test_a_mean_has_six_digits(mean: float, shown: float) -> None:
    [found] = tallied([[mean]]).mean
    assert found is not None
    assert repr(found) == repr(shown)


# Evidence -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("samples", [1, 2, 3, 59, 300, 10_000])
def test_the_bound_is_the_largest_rate_at_which_silence_is_as_likely_as_said(samples: int, confidence: float) -> None:
    rate = rate_below(samples, confidence)
    assert rate is not None
    assert (1 - rate) ** samples == pytest.approx(1 - confidence, rel=1e-9)


def test_no_samples_bound_nothing() -> None:
    assert rate_below(0) is None
    assert rate_below(1) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("one", "other", "part"),
    [
        (("a.npz", 3), ("a.npz", 4), True),
        (("a.npz", 3), ("a.npz", 3), False),
        (("a.npz", 3), ("b.npz", 4), False),
        (("a.npz", 3), ("b.npz", 3), False),
        (("", 3), ("", 4), False),
        (("", 3), ("a.npz", 4), False),
        (("a.npz", 3), ("", 4), False),
    ],
)
def test_only_runs_on_other_amounts_of_one_source_may_be_parts(
    one: tuple[str, int], other: tuple[str, int], part: bool
) -> None:
    assert may_be_subset(one, other) is part
    assert may_be_subset(other, one) is part


# Depth --------------------------------------------------------------------------------------------------------------

LAYERS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda pair: (min(pair), pair[1])), max_size=9)


def layer(dead: int, units: int, *, reached: bool = True) -> SiteAudit:
    return site(units, dead) if reached else site(units, 0, units)


def by_definition(layers: list[tuple[int, int]]) -> tuple[Fraction, Fraction] | None:
    """The dead shares of both ends, in exact fractions: Kendall's tau-a from its definition (Kendall 1938)."""
    shares = [Fraction(dead, units) for dead, units in layers]
    if len(shares) < 3:
        return None
    rising = sum(a < b for a, b in combinations(shares, 2))
    falling = sum(a > b for a, b in combinations(shares, 2))
    tau = Fraction(rising - falling, len(shares) * (len(shares) - 1) // 2)
    third = len(shares) // 3
    first, last = (
        Fraction(sum(dead for dead, _ in part), sum(units for _, units in part))
        for part in (layers[:third], layers[len(layers) - third :])
    )
    follows = abs(tau) >= Fraction(1, 2) and (last - first) * tau > 0 and abs(last - first) >= Fraction(1, 20)
    return (first, last) if follows else None


@lawful
@given(LAYERS)
def test_a_trend_is_what_its_definition_says(layers: list[tuple[int, int]]) -> None:
    agree(layers)


def test_a_trend_is_what_its_definition_says_of_all_short_nets() -> None:
    for dead in [*product((0, 1, 2, 3), repeat=4), *product((0, 1, 3), repeat=3), *product((0, 2), repeat=6)]:
        agree([(one, 20) for one in dead])


def agree(layers: list[tuple[int, int]]) -> None:
    found, expected = trend([layer(dead, units) for dead, units in layers]), by_definition(layers)
    if expected is None:
        assert found is None, layers
    else:
        assert found is not None, layers
        assert (found.first, found.last) == pytest.approx([float(share) for share in expected])
        assert found.deeper is (expected[1] > expected[0])


@pytest.mark.parametrize(("units", "told"), [(40, True), (41, False)])
def test_ends_that_differ_by_a_twentieth_are_enough(units: int, told: bool) -> None:
    assert (trend([layer(dead, units) for dead in (0, 1, 2)]) is not None) is told


def test_ends_that_no_sample_reached_say_nothing() -> None:
    seen = [layer(dead, 20) for dead in (0, 5, 10, 15)]
    lost = layer(0, 20, reached=False)
    assert trend(seen) is not None
    assert trend([lost, *seen[1:]]) is None
    assert trend([*seen[:-1], lost]) is None
    assert trend([seen[0], lost, *seen[1:]]) is not None
