"""The tally is a monoid: however the samples are cut, shuffled or merged, the counts come out the same."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relu_audit.judge.verdict import verdict
from relu_audit.observe.tally import NEVER, Rows, Tally
from relu_audit.records import Policy, Site

lawful = settings(derandomize=True, deadline=None, max_examples=60)

COUNTED = ("samples", "positions", "fired_samples", "fired_positions", "first_fired", "faulty_samples")
EXTREMA = ("peak", "trough", "pre_peak")

UNITS = 3
OUTPUTS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 6.0, 5e-324, 1e-45, 1e300, np.inf, np.nan]),
    st.floats(0, 1e6, allow_subnormal=True),
)


@st.composite
def tables(draw: st.DrawFn, samples: int, positions: int) -> Rows:
    """Rows as a run of some samples would give them: made from outputs, so that their columns agree."""
    y = draw(hnp.arrays(np.float64, (samples, positions, UNITS), elements=OUTPUTS))
    x = y - draw(hnp.arrays(np.float64, (samples, positions, UNITS), elements=st.sampled_from([0.0, 1.0, 2.5])))
    return rows_of(y, x)


def rows_of(y: np.ndarray, x: np.ndarray | None = None) -> Rows:
    with np.errstate(over="ignore", invalid="ignore"):
        return Rows(
            fired=(y > 0).sum(axis=1),
            mass=y.sum(axis=1),
            peak=np.fmax.reduce(y, axis=1),
            trough=np.fmin.reduce(y, axis=1),
            pre_peak=None if x is None else np.fmax.reduce(x, axis=1),
            pre_mass=None if x is None else x.sum(axis=1),
            positions=y.shape[1],
        )


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    samples = draw(st.integers(0, 4))
    if not samples:
        return Tally.zero(UNITS)
    return Tally.of(draw(tables(samples, draw(st.integers(1, 3)))), draw(st.integers(0, 1000)))


def frozen(tally: Tally) -> dict[str, object]:
    """Everything in a tally, copied."""
    return {f.name: np.array(getattr(tally, f.name), copy=True) for f in fields(tally)}


def total(tally: Tally) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return tally.mass.sum(axis=0)


def assert_same(left: Tally, right: Tally) -> None:
    for name in (*COUNTED, *EXTREMA):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    np.testing.assert_allclose(total(left), total(right), rtol=1e-12, err_msg="mass")


@lawful
@given(tallies())
def test_a_sum_is_two_doubles_and_one_where_it_is_not_finite(tally: Tally) -> None:
    assert tally.mass.shape == (2, UNITS)
    high, low = tally.mass
    assert (low[~np.isfinite(high)] == 0).all()


@lawful
@given(tallies())
def test_zero_is_the_identity_on_either_side(tally: Tally) -> None:
    for merged in (tally.merge(Tally.zero(UNITS)), Tally.zero(UNITS).merge(tally)):
        assert_same(merged, tally)


@lawful
@given(tallies(), tallies(), tallies())
def test_merge_is_associative(a: Tally, b: Tally, c: Tally) -> None:
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))


@lawful
@given(tallies(), tallies())
def test_merge_is_commutative(a: Tally, b: Tally) -> None:
    assert_same(a.merge(b), b.merge(a))


@lawful
@given(tallies(), tallies())
def test_merge_leaves_both_arguments_as_they_were(a: Tally, b: Tally) -> None:
    before = frozen(a), frozen(b)
    merged = a.merge(b)
    for name in COUNTED[2:]:
        getattr(merged, name)[...] = 7
    merged.mass[...] = merged.peak[...] = merged.trough[...] = merged.pre_peak[...] = 7
    for tally, kept in zip((a, b), before, strict=True):
        for name, value in kept.items():
            np.testing.assert_array_equal(getattr(tally, name), value, err_msg=name)


@lawful
@given(st.data(), st.integers(1, 12), st.integers(1, 3))
def test_a_sharded_stream_equals_one_tally_of_everything(data: st.DataObject, samples: int, positions: int) -> None:
    rows = data.draw(tables(samples, positions))
    cuts = sorted(data.draw(st.sets(st.integers(1, samples - 1))) if samples > 1 else [])
    shards = [Tally.of(cut(rows, start, stop), start) for start, stop in zip([0, *cuts], [*cuts, samples], strict=True)]
    merged = Tally.zero(UNITS)
    for shard in data.draw(st.permutations(shards)):
        merged = merged.merge(shard)
    assert_same(merged, Tally.of(rows, 0))


def cut(rows: Rows, start: int, stop: int) -> Rows:
    return Rows(
        positions=rows.positions,
        **{
            f.name: None if getattr(rows, f.name) is None else getattr(rows, f.name)[start:stop]
            for f in fields(rows)
            if f.name != "positions"
        },
    )


@lawful
@given(st.data(), st.integers(1, 12), st.integers(1, 3), st.integers(0, 50))
def test_counts_and_extrema_are_those_of_the_outputs(
    data: st.DataObject, samples: int, positions: int, first: int
) -> None:
    elements = st.sampled_from([0.0, 0.25, 1.0, 6.0, 5e-324])
    y = data.draw(hnp.arrays(np.float64, (samples, positions, UNITS), elements=elements))
    tally = Tally.of(rows_of(y, y - 1), first)
    fired = (y > 0).any(axis=1)
    assert tally.samples == samples
    assert tally.positions == samples * positions
    assert tally.units == UNITS
    np.testing.assert_array_equal(tally.fired_samples, fired.sum(axis=0))
    np.testing.assert_array_equal(tally.fired_positions, (y > 0).sum(axis=(0, 1)))
    np.testing.assert_array_equal(
        tally.first_fired, [first + int(np.argmax(unit)) if unit.any() else NEVER for unit in fired.T]
    )
    np.testing.assert_array_equal(tally.peak, y.max(axis=(0, 1)))
    np.testing.assert_array_equal(tally.trough, y.min(axis=(0, 1)))
    np.testing.assert_array_equal(tally.pre_peak, (y - 1).max(axis=(0, 1)))
    np.testing.assert_array_equal(tally.faulty_samples, [0] * UNITS)
    np.testing.assert_allclose(total(tally), y.sum(axis=(0, 1)), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_with_a_value_that_is_not_finite_is_faulty_in_its_unit_only(bad: float) -> None:
    y = np.ones((4, 3, UNITS))
    y[2, 1, 1] = bad
    assert Tally.of(rows_of(y), 0).faulty_samples.tolist() == [0, 1, 0]


def test_a_nan_that_only_the_pre_activation_shows_is_faulty() -> None:
    y, x = np.zeros((2, 3, UNITS)), np.zeros((2, 3, UNITS))
    x[1, 2, 0] = np.nan
    assert Tally.of(rows_of(y, x), 0).faulty_samples.tolist() == [1, 0, 0]


@pytest.mark.parametrize("units", [1, 3])
def test_rows_without_a_sample_are_refused(units: int) -> None:
    with pytest.raises(ValueError, match="no samples"):
        Tally.of(rows_of(np.ones((2, 1, units))).head(0), 0)


def test_sums_do_not_lose_what_is_small_beside_what_is_large() -> None:
    # 2**53 + 1 is not a double: a plain running sum would drop every one of the ones.
    big, ones = np.full((1, 1, 1), 2.0**53), np.ones((1, 1, 1))
    merged = Tally.of(rows_of(big), 0)
    for i in range(1, 101):
        merged = merged.merge(Tally.of(rows_of(ones), i))
    assert total(merged)[0] == 2.0**53 + 100
    assert total(Tally.of(rows_of(np.concatenate([big, *[ones] * 100])), 0))[0] == 2.0**53 + 100


def test_sums_that_overflow_stay_infinite_and_are_not_faulty() -> None:
    huge = Tally.of(rows_of(np.full((3, 1, 1), 1.7e308)), 0)
    merged = huge.merge(huge).merge(Tally.of(rows_of(np.ones((1, 1, 1))), 6))
    assert np.isposinf(total(merged)[0])
    assert merged.faulty_samples.tolist() == [0]
    assert merged.peak.tolist() == [1.7e308]


def test_copies_that_pad_a_run_count_no_positions_but_still_show_what_fired() -> None:
    y = np.array([[[0.0], [2.0]]])
    shown = rows_of(y, y)
    padded = Tally.of(
        Rows(**{f.name: getattr(shown, f.name) for f in fields(shown) if f.name != "positions"}, positions=0), 5
    )
    assert (padded.samples, padded.positions) == (1, 0)
    assert padded.fired_positions.tolist() == [0]
    assert padded.fired_samples.tolist() == [1]
    assert padded.first_fired.tolist() == [5]
    assert padded.peak.tolist() == [2.0]
    assert total(padded).tolist() == [0.0]


def test_places_of_one_site_add_their_positions_to_the_same_samples() -> None:
    left, right = np.array([[[0.0, 1.0]], [[0.0, 0.0]]]), np.array([[[3.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 5.0]]])
    both = Tally.of(rows_of(left, left).beside(rows_of(right, right)), 0)
    alone = Tally.of(rows_of(np.concatenate([left, right], axis=1), np.concatenate([left, right], axis=1)), 0)
    assert_same(both, alone)


SIGNED = st.sampled_from([-3.0, -0.5, 0.0, 0.25, 1.0, 6.0])


@lawful
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
def test_places_side_by_side_show_what_one_place_with_all_positions_shows(
    data: st.DataObject, samples: int, here: int, there: int, first: int
) -> None:
    y = data.draw(hnp.arrays(np.float64, (samples, here + there, UNITS), elements=SIGNED))
    x = data.draw(hnp.arrays(np.float64, y.shape, elements=SIGNED))
    both = rows_of(y[:, :here], x[:, :here]).beside(rows_of(y[:, here:], x[:, here:]))
    whole = rows_of(y, x)
    for f in fields(Rows):
        np.testing.assert_array_equal(getattr(both, f.name), getattr(whole, f.name), err_msg=f.name)
    assert_same(Tally.of(both, first), Tally.of(whole, first))


def test_what_one_place_does_not_observe_is_not_observed_of_both() -> None:
    y = np.ones((2, 1, UNITS))
    both = rows_of(y, y).beside(rows_of(y))
    assert (both.pre_peak, both.pre_mass) == (None, None)
    assert Tally.of(both, 0).pre_peak.tolist() == [-np.inf] * UNITS


@lawful
@given(st.lists(st.sampled_from([2.0**53, 1.0, 2.0**-50, 3e-30, 7.0**20, 1e15 + 0.5]), min_size=1, max_size=12))
def test_sums_are_exact_to_twice_double_precision(values: list[float]) -> None:
    shards = [Tally.zero(1), Tally.zero(1)]
    for index, value in enumerate(values):
        shards[index % 2] = shards[index % 2].merge(Tally.of(rows_of(np.full((1, 1, 1), value)), index))
    merged = shards[0].merge(shards[1])
    exact, found = sum(map(Fraction, values)), sum(map(Fraction, merged.mass[:, 0].tolist()))
    assert abs(found - exact) <= exact * Fraction(1, 2**98)


@lawful
@given(st.data(), st.integers(1, 5), st.integers(1, 5))
def test_the_head_of_rows_is_their_first_samples(data: st.DataObject, samples: int, wanted: int) -> None:
    rows = data.draw(tables(samples, 2))
    head, same = rows.head(min(wanted, samples)), cut(rows, 0, min(wanted, samples))
    for f in fields(Rows):
        np.testing.assert_array_equal(getattr(head, f.name), getattr(same, f.name), err_msg=f.name)


SITE = Site(
    tensor="y", tensors=("y",), scope="", op="Relu", layout="n u", unit_axis=1, axis_from="", assumed=False, weight=None
)


@lawful
@given(st.lists(tallies(), max_size=5), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_statuses_are_exclusive_and_exhaustive(parts: list[Tally], rare_below: float) -> None:
    tally = Tally.zero(UNITS)
    for part in parts:
        tally = tally.merge(part)
    audit = verdict(SITE, tally, Policy(rare_below=rare_below), per_run=False)
    listed = [*audit.dead, *audit.rare, *audit.always_on, *audit.constant, *audit.faulty, *audit.unseen]
    assert len(listed) == len(set(listed)), "a unit has two statuses"
    assert audit.active == UNITS - len(listed)
    assert len(audit.statuses) == UNITS
    assert [audit.statuses[unit] for unit in range(UNITS) if unit not in listed] == ["active"] * audit.active
    for unit, status in enumerate(audit.statuses):
        if status not in ("faulty", "unseen"):
            assert (status == "dead") == (audit.fired_samples[unit] == 0)
