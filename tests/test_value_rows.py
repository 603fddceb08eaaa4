"""Every row of the tables that speak of values, against its operator: signs, bounds, NaN, functions, activations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

import relu_audit
from relu_audit.activations import inside, nonzero, steps
from relu_audit.activations.spelt import Functions
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network import dataless, missing
from relu_audit.network.normalize import normalize
from relu_audit.values import bounds, products, signs, uniform
from tests import curve_claims, inside_claims, value_claims
from tests.graphs import graph
from tests.operator_cases import CALLS, MS, Call
from tests.oracle import values
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


@pytest.mark.parametrize("key", steps.STEPS, ids=lambda key: key[1])
def test_operands_count_and_spread_as_the_steps_say(key: Key) -> None:
    assert [line for call in by_operator()[key] for line in curve_claims.facts_of(call)] == []


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


# What is greater than zero by its own number --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("factor", [1, 0.5, 0, -1, 1000])
def test_a_constant_is_above_zero_if_it_is_a_normal_number(kind: Any, factor: float) -> None:
    least = np.finfo(kind).smallest_normal if kind is not np.int64 else 2
    number = np.full(3, np.float64(least) * factor).astype(kind)
    model = graph("float[3] x", "float[3] y", "y = Identity (c)", {"c": number})
    network = normalize(open_checkpoint(model))
    with np.errstate(divide="ignore"):
        divides = bool((number > 0).all() and (kind is np.int64 or (number >= np.finfo(kind).smallest_normal).all()))
    assert nonzero.never_zero(Functions(network), network.model.graph.outputs[0]) == divides


# What wrong rows had done ---------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
NUMBERS: Mapping[str, np.ndarray] = {
    "w": RNG.standard_normal((4, 6)).astype(np.float32),
    "v": RNG.standard_normal((6, 3)).astype(np.float32),
    "codes": RNG.integers(-90, 90, (4, 6)).astype(np.int8),
    "s": np.float32(0.05),
    "z": np.uint8(0),
    "zi": np.int8(0),
    "six": np.float32(6),
    "minus": np.float32(-1),
}  # type: ignore[assignment]
BELOW: Mapping[str, tuple[str, int]] = {
    "a Clip without a minimum": ("b = Clip (h, , six)", 18),
    "a Clip to less than zero": ("r = Abs (h)\n b = Clip (r, , minus)", 18),
    "codes without a zero point": ("i = QuantizeLinear (h, s, zi)\n b = DequantizeLinear (i, s)", 18),
    "codes with a zero point of their own": (
        "i, t, o = DynamicQuantizeLinear (h)\n b = DequantizeLinear (i, t, o)",
        18,
    ),
    "a product of codes that makes none": (
        f"k = QuantizeLinear (x, s, zi)\n b = {MS}.QGemm (k, s, zi, codes, s, zi)",
        18,
    ),
    "a border below zero": ("r = Abs (h)\n b = Pad <pads = [0, 1, 0, -1], value = -1.0> (r)", 10),
    "a cast that wraps around": (
        "r = Abs (h)\n t = Mul (r, hundred)\n u = Cast <to = 2> (t)\n e = Cast <to = 3> (u)\n b = Cast <to = 1> (e)",
        18,
    ),
}
"""What makes numbers below zero, in front of codes that have none."""


@pytest.mark.parametrize("name", BELOW)
def test_codes_that_cut_off_what_is_below_zero_are_a_site(name: str) -> None:
    made, opset = BELOW[name]
    tail = "q = QuantizeLinear (b, s, z)\n d = DequantizeLinear (q, s, z)\n y = MatMul (d, v)"
    body = f"h = MatMul (x, w)\n {made}\n {tail}"
    numbers = {**NUMBERS, "hundred": np.float32(100)}
    weights = {word: numbers[word] for word in set(re.findall(r"\w+", body)) & numbers.keys()}
    model = graph("float[n, 4] x", "float[n, 3] y", body, weights, opset=opset)
    (shown,) = values(model, [{"x": RNG.standard_normal((50, 4)).astype(np.float32)}], ["b"])
    assert (shown["b"] < 0).any()
    assert "q" in [site.tensor for site in relu_audit.sites(model).sites]


def test_a_slope_that_is_rounded_to_zero_makes_a_rectifier() -> None:
    body = (
        "h = MatMul (x, w)\n t = Shape (h)\n c = ConstantOfShape <value = float[1] {0.5}> (t)\n"
        "i = Cast <to = 7> (c)\n f = Cast <to = 1> (i)\n b = PRelu (h, f)\n y = MatMul (b, v)"
    )
    model = graph("float[n, 4] x", "float[n, 3] y", body, {name: NUMBERS[name] for name in ("w", "v")})
    (shown,) = values(model, [{"x": RNG.standard_normal((50, 4)).astype(np.float32)}], ["h", "b"])
    assert not shown["b"][shown["h"] < 0].any()
    assert [site.op for site in relu_audit.sites(model).sites] == ["PRelu(0)"]
