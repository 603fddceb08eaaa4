"""Every row of the tables that speak of values, against its operator: signs, bounds, NaN, functions, activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import pytest

from relu_audit.graph import bounds, dataless, inside, missing, nonzero, products, signs, steps, uniform
from tests import curve_claims, inside_claims, value_claims
from tests.operator_cases import CALLS, Call
from tests.value_claims import Check

Key = tuple[str, str]

CHECKS: Mapping[str, Check] = {
    "signs": value_claims.signs_of,
    "nonzero": value_claims.nonzero_of,
    "bounds": value_claims.spans_of,
    "uniform": value_claims.uniform_of,
    "nan": value_claims.nan_of,
    "masks": value_claims.masks_of,
    "dataless": value_claims.data_of,
}

TABLES: Mapping[str, Sequence[Callable[[], Sequence[Key] | Mapping[Key, object]]]] = {
    "signs": (lambda: signs.TABLE, lambda: signs.ZERO_POINTS, lambda: signs._READ_AT),
    "nonzero": (lambda: nonzero.TABLE, lambda: [*nonzero._ADDS, *nonzero._CASTS]),
    "bounds": (lambda: bounds.ALL,),
    "uniform": (lambda: uniform._FOLLOWED,),
    "nan": (lambda: missing.TAKES, lambda: [*missing.ALIGNED, *missing.KEEPS]),
    "masks": (lambda: missing.PICKS, lambda: missing.TELLS, lambda: missing.LOGIC),
    "dataless": (lambda: [("", op) for op in dataless._SIZES],),
}
"""The tables that a check is of."""


@cache
def by_operator() -> Mapping[Key, Sequence[Call]]:
    found: dict[Key, list[Call]] = {}
    for call in CALLS:
        found.setdefault(call.key, []).append(call)
    return found


def disagreements(check: str, operator: Key) -> list[str]:
    return [line for call in by_operator()[operator] for line in CHECKS[check](call)]


@pytest.mark.parametrize("check", CHECKS)
def test_every_row_has_a_call(check: str) -> None:
    assert [key for table in TABLES[check] for key in table() if key not in by_operator()] == []


@pytest.mark.parametrize("check", CHECKS)
def test_values_are_what_the_tables_say(check: str) -> None:
    assert [line for operator in by_operator() for line in disagreements(check, operator)] == []


def test_bounds_without_products_are_the_same() -> None:
    assert {key: row for key, row in bounds.ALL.items() if key not in products.TABLE} == bounds.ENTRY_BY_ENTRY
    assert {key for key in bounds.ALL if key not in bounds.ENTRY_BY_ENTRY} == products.TABLE.keys()


@pytest.mark.parametrize(("call", "operand"), curve_claims.tried(), ids=[call.name for call, _ in curve_claims.tried()])
def test_functions_are_what_the_steps_say(call: Call, operand: int) -> None:
    assert curve_claims.curve_of(call, operand) == []


def test_every_step_is_tried() -> None:
    assert steps.STEPS.keys() == {call.key for call, _ in curve_claims.tried()} - {
        ("", op) for op in curve_claims.OTHERS.split()
    }


@pytest.mark.parametrize("name", inside_claims.NAMES)
def test_an_activation_inside_is_what_the_tables_say(name: str) -> None:
    assert inside_claims.names_of(name) == []


def test_every_activation_with_numbers_is_tried() -> None:
    tried = {name.lower() for name in inside_claims.NAMES}
    assert tried >= {*inside._ALPHAS, *inside._BETAS, *inside._SPELT}


@pytest.mark.parametrize("op", inside_claims.BLOCKS)
def test_a_recurrent_operator_does_what_its_row_says(op: str) -> None:
    assert inside_claims.recurrence_of(op) == []


def test_every_recurrent_operator_is_tried() -> None:
    assert {op for _, op in inside.RECURRENCES} == inside_claims.BLOCKS.keys()


@pytest.mark.parametrize("name", inside_claims.FUNCTIONS)
def test_an_activation_rectifies_if_its_name_says_so(name: str) -> None:
    assert inside_claims.rectify_of(name) == []


def test_every_name_is_tried() -> None:
    assert inside.RECTIFY.keys() == inside_claims.FUNCTIONS.keys()


@pytest.mark.parametrize("op", ["MoE", "QMoE"])
def test_a_layer_inside_is_where_its_row_says(op: str) -> None:
    assert inside_claims.layers_of(op) == []


@pytest.mark.parametrize("op", ["GroupNorm", "SkipGroupNorm"])
def test_numbers_of_activations_mean_what_the_row_says(op: str) -> None:
    assert inside_claims.numbered_of(op) == []


def test_every_layer_and_number_is_tried() -> None:
    assert {op for _, op in (*inside.LAYERS, *inside.NUMBERED)} == {"MoE", "QMoE", "GroupNorm", "SkipGroupNorm"}
