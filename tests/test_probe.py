"""Rows read from a run's results, against the same numbers counted one by one, position by position."""

from __future__ import annotations

from itertools import product
from math import inf, nan, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_audit.errors import RunError
from relu_audit.observe.probe import EXACT_POSITIONS, Probe, rows
from relu_audit.observe.tally import Rows

lawful = settings(derandomize=True, deadline=None, max_examples=100)

NAMES = ("mass", "peak", "trough", "fired", "positions", "pre_peak", "pre_mass")
TINY = np.finfo(np.float32).smallest_subnormal


@st.composite
def probes(draw: st.DrawFn, per_sample: bool) -> Probe:
    """A probe whose axes have any order; its unit axes are numbered in any order as well."""
    roles = draw(st.permutations([*"n" * draw(st.integers(0, 1)), *draw(st.lists(st.sampled_from("u~"), max_size=3))]))
    units = [axis for axis, role in enumerate(roles) if role == "u"]
    order = draw(st.permutations(range(len(units))))
    return Probe({}, tuple(roles), dict(zip(units, ((i,) for i in order), strict=True)), per_sample, bits=False)


@st.composite
def values(draw: st.DrawFn, probe: Probe) -> tuple[np.ndarray, np.ndarray]:
    shape = tuple(draw(st.integers(1, 3)) for _ in probe.roles)
    number = st.sampled_from([-2.0, -0.0, 0.0, 0.25, 3.0])
    x = np.array(draw(st.lists(number, min_size=prod(shape), max_size=prod(shape)))).reshape(shape)
    return x.astype(np.float32), np.maximum(x, 0).astype(np.float32)


def one_by_one(probe: Probe, x: np.ndarray, y: np.ndarray) -> Rows:
    """What the rows must be, from a walk over all entries."""
    found: dict[tuple[int, tuple[int, ...]], list[tuple[float, float]]] = {}
    for at in product(*map(range, y.shape)):
        units = sorted((probe.parts[axis], at[axis]) for axis, role in enumerate(probe.roles) if role == "u")
        sample = next((at[axis] for axis, role in enumerate(probe.roles) if role == "n" and probe.per_sample), 0)
        found.setdefault((sample, tuple(index for _, index in units)), []).append((float(x[at]), float(y[at])))
    samples = sorted({sample for sample, _ in found})
    units = sorted({unit for _, unit in found})

    def table(function: object, which: int) -> np.ndarray:
        assert callable(function)
        return np.array([[function([pair[which] for pair in found[s, u]]) for u in units] for s in samples])

    return Rows(
        fired=table(lambda numbers: sum(number > 0 for number in numbers), 1).astype(np.int64),
        mass=table(sum, 1),
        peak=table(max, 1),
        trough=table(min, 1),
        pre_peak=table(max, 0),
        pre_mass=table(sum, 0),
        positions=len(next(iter(found.values()))),
    )


def whole(probe: Probe, x: np.ndarray, y: np.ndarray) -> tuple[Probe, dict[str, np.ndarray]]:
    """The probe of a value that is read whole."""
    return Probe({"x": "x", "y": "y"}, probe.roles, probe.parts, probe.per_sample, bits=False), {"x": x, "y": y}


def reduced(probe: Probe, x: np.ndarray, y: np.ndarray, *, bits: bool) -> tuple[Probe, dict[str, np.ndarray]]:
    """The probe of a value that the graph reduces, and what the graph gives out."""
    gone = probe.gone
    ones = (y > 0).sum(axis=gone)
    results = {
        "mass": y.sum(axis=gone),
        "peak": y.max(axis=gone),
        "trough": y.min(axis=gone),
        "fired": (ones * TINY).astype(np.float32) if bits else ones.astype(np.float32),
        "positions": np.ones([y.shape[axis] for axis in gone], np.float32),
        "pre_peak": x.max(axis=gone),
        "pre_mass": x.sum(axis=gone),
    }
    return Probe({name: name for name in NAMES}, probe.roles, probe.parts, probe.per_sample, bits=bits), results


def same(found: Rows | None, expected: Rows) -> None:
    assert found is not None
    assert found.positions == expected.positions
    for name in ("fired", "mass", "peak", "trough", "pre_peak", "pre_mass"):
        mine, other = getattr(found, name), getattr(expected, name)
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(mine, other, err_msg=name)


@lawful
@given(st.data(), st.booleans(), st.sampled_from(["whole", "sums", "bits"]))
def test_rows_are_what_a_walk_over_all_entries_counts(data: st.DataObject, per_sample: bool, form: str) -> None:
    probe = data.draw(probes(per_sample))
    x, y = data.draw(values(probe))
    made, results = whole(probe, x, y) if form == "whole" else reduced(probe, x, y, bits=form == "bits")
    expected = one_by_one(probe, x, y)
    same(rows([made], results, len(expected.fired)), expected)


PLAIN = Probe({}, ("n", "u", "~"), {1: (0,)}, True, bits=False)
X = np.array([[[1.0, -1.0], [0.0, 2.0]], [[-1.0, -2.0], [3.0, 3.0]], [[5.0, 1.0], [1.0, 1.0]]], np.float32)
Y = np.maximum(X, 0)


def test_rows_behind_the_samples_are_padding() -> None:
    found = rows([whole(PLAIN, X, Y)[0]], {"x": X, "y": Y}, 2)
    same(found, one_by_one(PLAIN, X, Y).head(2))


@pytest.mark.parametrize("per_sample", [True, False])
def test_only_a_run_that_is_one_row_cannot_leave_its_padding_out(per_sample: bool) -> None:
    probe = Probe({"x": "x", "y": "y"}, PLAIN.roles, PLAIN.parts, per_sample, bits=False)
    found = rows([probe], {"x": X, "y": Y}, 3, padded=True)
    assert found is not None
    assert found.positions == (2 if per_sample else 0)
    assert len(found.fired) == (3 if per_sample else 1)


def test_a_whole_run_counts_no_padding_unless_there_is_some() -> None:
    probe = Probe({"x": "x", "y": "y"}, PLAIN.roles, PLAIN.parts, False, bits=False)
    found = rows([probe], {"x": X, "y": Y}, 3)
    assert found is not None
    assert found.positions == 6


def test_places_of_a_site_add_up() -> None:
    made, results = reduced(PLAIN, X, Y, bits=False)
    other, more = whole(PLAIN, X[::-1], Y[::-1])
    once, again = one_by_one(PLAIN, X, Y), one_by_one(PLAIN, X[::-1], Y[::-1])
    same(rows([made, other], {**results, **more}, 3), once.beside(again))
    same(rows([made, other, made], {**results, **more}, 3), once.beside(again).beside(once))


def test_places_of_a_site_that_the_run_did_not_reach_are_left_out() -> None:
    made, results = reduced(PLAIN, X, Y, bits=False)
    missed = Probe({**{name: f"m_{name}" for name in NAMES}}, made.roles, made.parts, True, bits=False)
    results |= {f"m_{name}": np.zeros_like(results[name]) for name in NAMES}
    same(rows([made, missed], results, 3), one_by_one(PLAIN, X, Y))
    assert rows([missed], results, 3) is None


def test_a_run_with_fewer_rows_than_samples_is_refused() -> None:
    with pytest.raises(RunError, match="a batch of 4 samples came out as 3") as raised:
        rows([whole(PLAIN, X, Y)[0]], {"x": X, "y": Y}, 4)
    assert raised.value.slug == "batch-axis"


def test_a_value_of_another_rank_than_the_file_says_is_refused() -> None:
    probe = Probe({"x": "x", "y": "y"}, ("n", "u"), {1: (0,)}, True, bits=False)
    with pytest.raises(RunError, match="has 3 axes left where the file says 2") as raised:
        rows([probe], {"x": X, "y": Y}, 3)
    assert raised.value.slug == "wrong-shape"


@pytest.mark.parametrize(
    ("positions", "bits", "refused"),
    [
        (EXACT_POSITIONS, True, False),
        (EXACT_POSITIONS + 1, True, True),
        (EXACT_POSITIONS + 1, False, False),
    ],
)
def test_counts_in_bits_are_refused_beyond_the_last_exact_one(positions: int, bits: bool, refused: bool) -> None:
    made, results = reduced(PLAIN, X, Y, bits=bits)
    results["positions"] = np.array(positions)
    if refused:
        with pytest.raises(RunError, match="16,777,217 positions in one sample") as raised:
            rows([made], results, 3)
        assert raised.value.slug == "too-many-positions"
    else:
        found = rows([made], results, 3)
        assert found is not None
        assert found.positions == positions
    assert np.float32(EXACT_POSITIONS) + np.float32(1) == EXACT_POSITIONS


def test_positions_are_those_of_all_entries_that_the_graph_counted() -> None:
    made, results = reduced(PLAIN, X, Y, bits=False)
    results["positions"] = np.array([[3], [4]])
    found = rows([made], results, 3)
    assert found is not None
    assert found.positions == 7


@pytest.mark.parametrize("bits", [True, False])
@pytest.mark.parametrize("lost", [(0, 0), (2, 1)])
def test_one_count_that_its_maximum_contradicts_stops_the_audit(bits: bool, lost: tuple[int, int]) -> None:
    made, results = reduced(PLAIN, X, Y, bits=bits)
    assert results["fired"][lost] > 0
    results["fired"][lost] = 0
    with pytest.raises(RunError, match="counts and maxima contradict each other") as raised:
        rows([made], results, 3)
    assert raised.value.slug == "count-contradiction"


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_maxima_are_not_compared_where_a_sum_is_not_finite(bad: float) -> None:
    made, results = reduced(PLAIN, X, Y, bits=False)
    results["mass"][0, 0] = bad
    results["fired"][0, 0] = 0
    found = rows([made], results, 3)
    assert found is not None
    np.testing.assert_array_equal(found.mass[0, 0], bad)


@pytest.mark.parametrize("bits", [True, False])
def test_a_count_that_is_no_number_counts_nothing(bits: bool) -> None:
    made, results = reduced(PLAIN, X, Y, bits=bits)
    results["fired"][0, 0] = nan
    results["mass"][0, 0] = nan
    found = rows([made], results, 3)
    assert found is not None
    assert found.fired[0, 0] == 0


def test_negative_zeros_count_nothing() -> None:
    made, results = reduced(PLAIN, X, Y, bits=True)
    results["fired"][1, 0] = -0.0
    same(rows([made], results, 3), one_by_one(PLAIN, X, Y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_in_bits_are_read_in_either_width(dtype: type[np.floating]) -> None:
    made, results = reduced(PLAIN, X, Y, bits=True)
    ones = (Y > 0).sum(axis=made.gone)
    results["fired"] = (ones * np.finfo(dtype).smallest_subnormal).astype(dtype)
    same(rows([made], results, 3), one_by_one(PLAIN, X, Y))
