"""The forecast: that it is right on populations whose firing rates are known, and knows how far it may be wrong."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relu_audit.judge import forecast as module
from relu_audit.judge.forecast import FARTHEST, TERMS, forecast, silent_after, times_fired

Rates = Callable[[np.random.Generator, int], np.ndarray]

POPULATIONS: dict[str, Rates] = {
    "some dead, some rare": lambda random, n: np.where(random.random(n) < 0.3, 0, random.beta(0.5, 2, n)),
    "all decades": lambda random, n: 10 ** random.uniform(-6, 0, n),
    "all rare": lambda random, n: 10 ** random.uniform(-4.5, -2.5, n),
    "healthy": lambda random, n: random.beta(2, 5, n),
    "all alike": lambda random, n: np.full(n, 1e-3) + 0 * random.random(n),
}


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("growth", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("units", [60, 3000])
@pytest.mark.parametrize("samples", [100, 1000])
@pytest.mark.parametrize("name", POPULATIONS)
def test_forecast_covers_what_then_wakes(name: str, samples: int, units: int, growth: float) -> None:
    random = np.random.default_rng([samples, units, list(POPULATIONS).index(name)])
    covered, errors, woken = [], [], []
    for _ in range(100):
        rates = POPULATIONS[name](random, units)
        fired = random.binomial(samples, rates)
        woke = int(((random.binomial(round(samples * growth), rates) > 0) & (fired == 0)).sum())
        told = forecast(times_fired(fired.tolist()), growth)
        covered.append(math.floor(told.low) <= woke <= math.ceil(told.high))
        errors.append(told.expected - woke)
        woken.append(woke)
    assert np.mean(covered) >= 0.9
    assert abs(np.mean(errors)) <= 0.2 * np.mean(woken) + 0.5  # the taper costs some bias, for much less noise


def test_the_next_sample_wakes_as_many_as_fired_once_by_the_number_of_samples() -> None:
    """Good's estimate, of which the series is the continuation."""
    assert forecast((40, 12, 9, 7, 5, 3, 2, 1, 1, 1), 1 / 5000).expected == pytest.approx(12 / 5000, rel=1e-3)


def test_units_that_fire_together_wake_in_a_crowd_that_the_band_does_not_foresee() -> None:
    """What the page warns of: one odd sample among many may wake more units than chance would."""
    told = forecast(times_fired([0] * 100 + [900] * 100), 1.0)
    assert told.expected == 0
    assert 1 < told.high < 100


@given(
    st.lists(st.integers(0, 10_000), min_size=TERMS + 1, max_size=TERMS + 1),
    st.floats(1e-6, FARTHEST),
)
def test_bands_stay_within_the_silent_units(units: list[int], growth: float) -> None:
    told = forecast(units, growth)
    assert 0 <= told.low <= told.expected <= told.high <= units[0]


@pytest.mark.parametrize("growth", [0.0, -1.0, 1.5, math.nan])
def test_no_forecast_beyond_its_reach(growth: float) -> None:
    with pytest.raises(ValueError, match="reaches from 0 to 1"):
        forecast((1,) * (TERMS + 1), growth)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=60),
    st.lists(st.integers(0, 60), max_size=10),
)
def test_silent_units_are_those_that_had_not_fired_yet(firsts: list[int | None], samples: list[int]) -> None:
    told = silent_after(firsts, samples)
    assert told == tuple(sum(first is None or first >= number for first in firsts) for number in samples)


@given(st.lists(st.integers(0, 30), max_size=50), st.lists(st.integers(0, 30), max_size=50))
def test_counts_of_layers_add_up(one: list[int], other: list[int]) -> None:
    both = tuple(a + b for a, b in zip(times_fired(one), times_fired(other), strict=True))
    assert times_fired(one + other) == both
    assert sum(both) == sum(fired <= TERMS for fired in one + other)
