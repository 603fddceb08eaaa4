"""Rows of the tables of values that are wrong in one thing: the cases must find each of them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relu_audit.activations import formulas, inside, nonzero, pieces, steps
from relu_audit.activations.formulas import At
from relu_audit.activations.inside import Layer, Recurrence
from relu_audit.activations.pieces import Curve
from relu_audit.network import dataless, missing
from relu_audit.network.missing import Mask
from relu_audit.values import bounds, signs, uniform
from relu_audit.values.signs import Sign, below
from relu_audit.values.spans import Meeting, Row, Rule, Span
from tests import curve_claims, inside_claims
from tests.operator_cases import MS
from tests.test_value_rows import Key, by_operator, disagreements

GONE: Any = object()
"""In the place of a row that is lacking."""

Faults = Sequence[tuple[Key, Any]]


@contextmanager
def planted(table: Any, key: Any, row: Any) -> Iterator[None]:
    """A table with another row, or without one."""
    before = table.get(key, GONE)
    assert row is not GONE or before is not GONE
    try:
        _put(table, key, row)
        yield
    finally:
        _put(table, key, before)


def _put(table: Any, key: Any, row: Any) -> None:
    if row is GONE:
        table.pop(key, None)
    else:
        table[key] = row


def own(*ops: str) -> list[Key]:
    return [("", op) for op in ops]


def params(faults: Faults) -> list[Any]:
    counts: dict[Key, int] = {}
    for key, _ in faults:
        counts[key] = counts.get(key, -1) + 1
    return [pytest.param(key, row, id=f"{'.'.join(filter(None, key))}-{i}") for i, (key, row) in enumerate(faults)]


# Signs ----------------------------------------------------------------------------------------------------------------

EVERY = range(99)
ALWAYS = Sign(always=True)

SIGNS: Faults = [
    *((key, GONE) for key in signs.TABLE),
    *((key, ALWAYS) for key, row in signs.TABLE.items() if not row.always),
    *(
        (key, ALWAYS)
        for key in own("Neg", "Sub", "Tanh", "Sin", "LogSoftmax", "Asin", "ReduceLogSum", "Reciprocal", "Log")
    ),
    *(
        (key, Sign(all_of=(0,)))
        for key in own("Add", "Mul", "Div", "Concat", "Min", "Sum", "Mean", "Max", "Neg", "Sub")
    ),
    *((key, Sign(any_of=EVERY)) for key in own("Add", "Mul", "Div", "Concat", "Min", "Sum", "Mean")),
    (("", "Max"), Sign(all_of=EVERY)),
    (("", "Pow"), Sign(all_of=(1,))),
    (("", "Where"), Sign(all_of=(0, 1))),
    (("", "Where"), Sign(all_of=(1,))),
    (("", "Where"), Sign(any_of=(1, 2))),
    (("", "Clip"), Sign(any_of=(0, 1), unless=below("max"))),
    (("", "Clip"), Sign(any_of=(0, 1), all_of=(2,))),
    (("", "Clip"), Sign(any_of=(0,), all_of=(2,), unless=below("max"))),
    (("", "Clip"), Sign(all_of=(0, 1, 2), unless=below("max"))),
    (("", "Pad"), Sign(all_of=(0,), unless=below("value"))),
    (("", "Pad"), Sign(all_of=(2,), unless=below("value"))),
    (("", "Pad"), Sign(all_of=(0, 2))),
    (("", "Resize"), Sign(all_of=(0,))),
    (("", "Resize"), Sign(all_of=(0,), unless=below("extrapolation_value"))),
    (("", "Cast"), Sign(all_of=(0,))),
    (("", "LRN"), Sign(all_of=(0,))),
    (("", "LRN"), Sign(all_of=(0,), unless=below("alpha"))),
    (("", "OneHot"), Sign(all_of=(1,))),
    *(((MS, op), Sign(all_of=wrong)) for op in ("QLinearAdd", "QLinearMul") for wrong in ((0,), (3,), (0, 1))),
    ((MS, "QLinearConcat"), Sign(all_of=EVERY[1::3])),
    ((MS, "QLinearConcat"), Sign(all_of=(2,))),
    ((MS, "QLinearWhere"), Sign(all_of=(1,))),
    ((MS, "QLinearWhere"), Sign(all_of=(1, 2))),
    ((MS, "QLinearSigmoid"), Sign(all_of=(0,))),
]


@pytest.mark.parametrize(("key", "row"), params(SIGNS))
def test_a_wrong_sign_is_found_out(key: Key, row: Any) -> None:
    with planted(signs.TABLE, key, row):
        assert disagreements("signs", key)


IRRELEVANT = (MS, "QLinearSigmoid")
"""It is never negative, whatever its zero point."""

ZERO_POINTS: Faults = [
    *((key, GONE) for key in signs.ZERO_POINTS if key != IRRELEVANT),
    *((key, index - 1) for key, index in signs.ZERO_POINTS.items() if key != IRRELEVANT),
    *(((domain, "QLinearConv"), wrong) for domain in ("", MS) for wrong in (2, 5)),
    (("", "QLinearMatMul"), 2),
    *(((MS, "QGemm"), wrong) for wrong in (2, 5, 9)),
    *(((MS, op), wrong) for op in ("QLinearAdd", "QLinearMul") for wrong in (2, 5)),
    *(((MS, f"QLinear{op}"), 2) for op in ("LeakyRelu", "AveragePool", "GlobalAveragePool", "ReduceMean")),
    ((MS, "QLinearConcat"), 4),
    *(((MS, "QLinearWhere"), wrong) for wrong in (3, 6)),
]


@pytest.mark.parametrize(("key", "index"), params(ZERO_POINTS))
def test_a_wrong_zero_point_is_found_out(key: Key, index: Any) -> None:
    with planted(signs.ZERO_POINTS, key, index):
        assert disagreements("signs", key)


@pytest.mark.parametrize("row", [GONE, 1, 3, 0])
@pytest.mark.parametrize("domain", ["", MS])
def test_a_wrong_zero_point_of_codes_that_are_read_is_found_out(domain: str, row: Any) -> None:
    key = (domain, "DequantizeLinear")
    with planted(signs._READ_AT, key, row):
        assert disagreements("signs", key)


NONZERO: Faults = [
    *((key, GONE) for key in nonzero.TABLE),
    *((key, Sign(all_of=EVERY)) for key in own("Mul", "Div", "Neg", "Sub", "Floor", "Round", "ReduceProd", "Pow")),
    *((key, Sign(all_of=(0,))) for key in own("Concat", "Min", "Max", "Where", "Clip", "Log", "QuantizeLinear")),
    (("", "Min"), Sign(any_of=EVERY)),
    (("", "Max"), Sign(all_of=EVERY)),
    (("", "Where"), Sign(all_of=(0, 1))),
    (("", "Clip"), Sign(any_of=(0, 1))),
    (("", "Clip"), Sign(any_of=(0, 1), all_of=(2,))),
    (("", "Clip"), Sign(any_of=(0, 1), all_of=(2,), unless=below("max"))),
    (("", "Clip"), Sign(all_of=(0, 1, 2), unless=below("max", limit=nonzero.LEAST))),
]


@pytest.mark.parametrize(("key", "row"), params(NONZERO))
def test_a_wrong_row_of_what_is_above_zero_is_found_out(key: Key, row: Any) -> None:
    with planted(nonzero.TABLE, key, row):
        assert disagreements("nonzero", key)


@pytest.mark.parametrize(
    ("name", "ops", "seen"),
    [
        ("_ADDS", ["Add"], "Sum"),
        ("_ADDS", ["Sum"], "Add"),
        ("_ADDS", ["Add", "Sum", "Sub"], "Sub"),
        ("_ADDS", ["Add", "Sum", "Mul"], "Mul"),
        ("_CASTS", ["Cast"], "CastLike"),
        ("_CASTS", ["CastLike"], "Cast"),
    ],
)
def test_a_wrong_set_of_what_is_above_zero_is_found_out(
    monkeypatch: pytest.MonkeyPatch, name: str, ops: Sequence[str], seen: str
) -> None:
    monkeypatch.setattr(nonzero, name, set(own(*ops)))
    assert disagreements("nonzero", ("", seen))


# Bounds ---------------------------------------------------------------------------------------------------------------


def turned(rule: Rule, turn: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Rule:
    def other(at: Meeting) -> Span:
        span = rule(at)
        return Span(*turn(span.low, span.high))

    return other


def narrower(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return low, high - 0.02 * (np.clip(high, -1e3, 1e3) - np.clip(low, -1e3, 1e3))


def narrower_below(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return low + 0.02 * (np.clip(high, -1e3, 1e3) - np.clip(low, -1e3, 1e3)), high


def wider(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return low, high + 0.1


def wider_below(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return low - 0.1, high


def swapped(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return -high, -low


def like(op: str, *, by: str) -> tuple[Key, Row]:
    return ("", op), bounds.ALL["", by]


def told(rule: Rule, *, blind: bool = False) -> Row:
    return Row(rule, blind=blind)


SYMMETRIC = own("Tanh", "Erf", "Sin", "Cos", "Softsign", "Sign", "RMSNormalization")
"""Their bounds are as far above zero as below."""

BOUNDS: Faults = [
    *((key, GONE) for key in bounds.ALL),
    *(
        (key, replace(row, rule=turned(row.rule, turn)))
        for key, row in bounds.ALL.items()
        for turn in (narrower, narrower_below, wider, wider_below, swapped)
        if turn is not swapped or key not in SYMMETRIC
    ),
    (("", "Sigmoid"), told(bounds._between(0.4, 0.6), blind=True)),
    (("", "Softmax"), told(bounds._between(-1, 1), blind=True)),
    (("", "Tanh"), told(bounds._between(0, 1), blind=True)),
    like("Floor", by="Ceil"),
    like("Ceil", by="Floor"),
    like("Ceil", by="Round"),
    like("Round", by="Floor"),
    like("Round", by="Ceil"),
    like("Round", by="Identity"),
    like("Floor", by="Identity"),
    like("Min", by="Max"),
    like("Max", by="Min"),
    like("Max", by="Sum"),
    like("Sub", by="Add"),
    like("Add", by="Sub"),
    like("Add", by="Max"),
    like("Neg", by="Identity"),
    like("Neg", by="Relu"),
    like("Relu", by="Identity"),
    like("LeakyRelu", by="Relu"),
    like("LeakyRelu", by="Identity"),
    like("Sqrt", by="Relu"),
    like("Exp", by="Relu"),
    like("Div", by="Mul"),
    like("Mul", by="Div"),
    like("Mul", by="Sum"),
    like("Clip", by="Relu"),
    like("Clip", by="Identity"),
    like("AveragePool", by="MaxPool"),
    like("Pad", by="Identity"),
    like("Cast", by="Identity"),
    like("CastLike", by="Identity"),
    like("BatchNormalization", by="Identity"),
    like("QuantizeLinear", by="DequantizeLinear"),
    like("DequantizeLinear", by="QuantizeLinear"),
    like("LayerNormalization", by="Tanh"),
    like("Erf", by="Sigmoid"),
    like("HardSigmoid", by="Tanh"),
    like("Sigmoid", by="Relu"),
    *((key, told(bounds._between(0, 1), blind=True)) for key in own("Softplus", "Atan", "Acos", "Elu", "HardSwish")),
    *((key, told(bounds._monotone(np.abs))) for key in own("Abs", "Elu", "Softplus", "Reciprocal")),
    *((key, bounds.ALL["", "Add"]) for key in own("Pow", "Mod", "Mean", "PRelu")),
]


@pytest.mark.parametrize(("key", "row"), params(BOUNDS))
def test_a_wrong_bound_is_found_out(key: Key, row: Any) -> None:
    with planted(bounds.ALL, key, row):
        assert disagreements("bounds", key)


# Numbers and NaN ------------------------------------------------------------------------------------------------------

UNIFORM: Faults = [
    *((key, GONE) for key in uniform._FOLLOWED),
    *((key, uniform._same) for key in own("Cast", "CastLike", "DequantizeLinear", "Neg", "Floor", "Mul", "ReduceSum")),
    *((key, uniform._same) for key in own("Pad", "Softmax", "Sigmoid", "Clip", "QuantizeLinear")),
    (("", "ConstantOfShape"), uniform._same),
    (("", "Expand"), uniform._filled),
]


@pytest.mark.parametrize(("key", "row"), params(UNIFORM))
def test_a_wrong_number_throughout_is_found_out(key: Key, row: Any) -> None:
    with planted(uniform._FOLLOWED, key, row):
        assert disagreements("uniform", key)


TAKES: Faults = [
    *((key, GONE) for key in missing.TAKES),
    *((key, missing._always) for key in own("Relu", "Identity", "Max", "Where", "Sigmoid", "Pow", "MaxPool")),
    (("ai.onnx.ml", "Imputer"), missing._always),
]


@pytest.mark.parametrize(("key", "row"), params(TAKES))
def test_what_is_wrongly_said_to_take_nan_is_found_out(key: Key, row: Any) -> None:
    with planted(missing.TAKES, key, row):
        assert disagreements("nan", key)


TRUTH = {"And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Equal", "Greater", "GreaterOrEqual"}
TRUTH |= {"IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor"}
"""Operators whose result cannot be NaN."""

PLACES = [
    *(("ALIGNED", key, False) for key in sorted(missing.ALIGNED) if key[1] not in TRUTH),
    *(("KEEPS", key, False) for key in sorted(missing.KEEPS)),
    *(("ALIGNED", key, True) for key in own("Softmax", "CumSum", "Transpose", "ReduceMean", "MatMul", "AveragePool")),
    *(
        ("KEEPS", key, True)
        for key in own("Shrink", "ThresholdedRelu", "Where", "PRelu", "Pow", "MaxPool", "Transpose")
    ),
]


@pytest.mark.parametrize(("name", "key", "added"), PLACES)
def test_a_wrong_place_of_nan_is_found_out(
    monkeypatch: pytest.MonkeyPatch, name: str, key: Key, *, added: bool
) -> None:
    monkeypatch.setattr(missing, name, getattr(missing, name) ^ {key})
    assert (key in getattr(missing, name)) == added
    assert disagreements("nan", key)


def _mask(masks: list[Mask]) -> Mask:
    return masks[0]


MASKS: Sequence[tuple[Any, Key, Any]] = [
    *((missing.LOGIC, key, GONE) for key in missing.LOGIC),
    (missing.LOGIC, ("", "Not"), _mask),
    (missing.LOGIC, ("", "Identity"), missing.LOGIC["", "Not"]),
    (missing.LOGIC, ("", "Or"), missing.LOGIC["", "And"]),
    (missing.LOGIC, ("", "And"), missing.LOGIC["", "Or"]),
    (missing.LOGIC, ("", "Xor"), missing.LOGIC["", "Or"]),
    (missing.PICKS, ("", "Where"), GONE),
    (missing.PICKS, ("", "Where"), {1: False, 2: True}),
    (missing.PICKS, ("", "Where"), {1: True}),
    (missing.PICKS, ("", "Where"), {1: True, 2: True}),
]


@pytest.mark.parametrize(("table", "key", "row"), MASKS)
def test_a_wrong_mask_is_found_out(table: Any, key: Key, row: Any) -> None:
    with planted(table, key, row):
        assert disagreements("masks", key)


@pytest.mark.parametrize(("tells", "seen"), [([], "IsNaN"), (own("IsNaN", "IsInf"), "IsInf")])
def test_what_wrongly_tells_of_nan_is_found_out(monkeypatch: pytest.MonkeyPatch, tells: Any, seen: str) -> None:
    monkeypatch.setattr(missing, "TELLS", tuple(tells))
    assert disagreements("masks", ("", seen))


@pytest.mark.parametrize(
    ("sizes", "seen"),
    [
        (("Shape",), "Size"),
        (("Size",), "Shape"),
        *((("Shape", "Size", op), op) for op in ("NonZero", "ArgMax", "Relu")),
    ],
)
def test_what_wrongly_reads_no_data_is_found_out(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[str, ...], seen: str
) -> None:
    monkeypatch.setattr(dataless, "_SIZES", sizes)
    assert disagreements("dataless", ("", seen))


# Functions ------------------------------------------------------------------------------------------------------------


def makes(op: str, make: Callable[[At], Curve]) -> tuple[Key, Any]:
    return ("", op), replace(steps.STEPS["", op], make=make)


def as_of(op: str, by: str) -> tuple[Key, Any]:
    return makes(op, steps.STEPS["", by].make)


def writes(op: str, write: Callable[[At], formulas.Text]) -> tuple[Key, Any]:
    return ("", op), replace(steps.STEPS["", op], write=write)


def scaled(op: str) -> tuple[Key, Any]:
    make = steps.STEPS["", op].make
    return makes(op, lambda at: pieces.plus(make(at), pieces.constant(0.125)))


CURVED = {"Exp", "Log", "Sqrt", "Sigmoid", "Tanh", "Softplus", "Erf"}
"""Of these it is only known that they bend."""

STEPS: Faults = [
    *((key, GONE) for key in steps.STEPS),
    *(scaled(op) for _, op in steps.STEPS if op not in CURVED),
    *(as_of(op, "Identity") for _, op in steps.STEPS if op not in ("Identity", "Cast", "CastLike")),
    as_of("Max", "Min"),
    as_of("Min", "Max"),
    as_of("Add", "Sub"),
    as_of("Sub", "Add"),
    as_of("Mean", "Sum"),
    as_of("Mul", "Add"),
    as_of("Div", "Mul"),
    as_of("Greater", "Less"),
    as_of("LessOrEqual", "Greater"),
    as_of("And", "Or"),
    as_of("Or", "And"),
    as_of("LeakyRelu", "Relu"),
    as_of("PRelu", "Relu"),
    as_of("Elu", "Relu"),
    as_of("HardSigmoid", "Clip"),
    as_of("Abs", "Relu"),
    as_of("Sign", "Abs"),
    makes("LeakyRelu", lambda at: steps._leaky(at, at.number("alpha", 0.1))),
    makes("LeakyRelu", lambda at: steps._leaky(at, 0.01)),
    makes("HardSigmoid", lambda at: steps._gate(at.curve(), at.number("alpha", 1 / 6), at.number("beta", 0.5))),
    makes("HardSigmoid", lambda at: steps._gate(at.curve(), at.number("alpha", 0.2), 0.5)),
    makes("HardSwish", lambda at: pieces.times(at.curve(), steps._gate(at.curve(), 0.2, 0.5))),
    makes("Where", lambda at: pieces.choose(at.curve(0), at.curve(2), at.curve(1))),
    makes("Elu", steps._exponential("gamma", 1.0)),
    makes("Selu", steps._exponential("alpha", 1.67326)),
    makes("Cast", steps._same),
    makes("CastLike", steps._same),
    writes("Sub", formulas.total),
    writes("Add", formulas.product),
    writes("Mul", formulas.total),
    writes("Div", formulas.product),
    writes("Neg", formulas.distance),
    writes("Abs", formulas.opposite),
    writes("Greater", formulas.compared("<")),
    writes("LessOrEqual", formulas.compared(">=")),
    writes("And", formulas.compared("or")),
    writes("Clip", formulas.call()),
    writes("LeakyRelu", formulas.call(formulas.attribute("alpha", 0.1))),
    writes("ThresholdedRelu", formulas.call(formulas.attribute("alpha", 0.0))),
    writes("Pow", formulas.product),
]


def misread(key: Key) -> list[str]:
    return [line for call, i in curve_claims.tried() if call.key == key for line in curve_claims.curve_of(call, i)]


@pytest.mark.parametrize(("key", "row"), params(STEPS))
def test_a_wrong_step_is_found_out(key: Key, row: Any) -> None:
    with planted(steps.STEPS, key, row):
        assert misread(key)


def told_of(op: str, **changes: Any) -> tuple[Key, Any]:
    return ("", op), replace(steps.STEPS["", op], **changes)


PASSING = {"Cast", "CastLike", "Where", "Not", "And", "Or"}
"""Operators that pass truth values on, and may have more of them."""

FLAGS: Faults = [
    *(told_of(op, condition=not step.condition) for (_, op), step in steps.STEPS.items() if op not in PASSING),
    *(told_of(op, spreads=False) for (_, op), step in steps.STEPS.items() if step.spreads),
    told_of("CastLike", spreads=True),
    told_of("PRelu", reads=steps._first),
    told_of("Mul", reads=steps._first),
    told_of("Where", reads=lambda network, node: (0, 1)),
    told_of("Clip", reads=steps._first),
]


@pytest.mark.parametrize(("key", "row"), params(FLAGS))
def test_a_wrong_word_on_operands_is_found_out(key: Key, row: Any) -> None:
    with planted(steps.STEPS, key, row):
        assert [line for call in by_operator()[key] for line in curve_claims.facts_of(call)]


# Activations inside ---------------------------------------------------------------------------------------------------

NAMED: Mapping[str, str] = {name.lower(): name for name in inside_claims.NAMES}
NUMBERS: Sequence[tuple[dict[str, float], str, Any]] = [
    *((inside._ALPHAS, name, wrong) for name in inside._ALPHAS for wrong in (GONE, 0.0, inside._ALPHAS[name] + 0.1)),  # type: ignore[attr-defined]
    *((inside._BETAS, name, wrong) for name in inside._BETAS for wrong in (GONE, inside._BETAS[name] + 0.5)),  # type: ignore[attr-defined]
    *((inside._ALPHAS, name, 1.0) for name in ("relu", "tanh", "softsign")),  # type: ignore[attr-defined]
    *((inside._BETAS, name, 1.0) for name in ("elu", "sigmoid")),  # type: ignore[attr-defined]
]


@pytest.mark.parametrize(("table", "name", "number"), NUMBERS)
def test_a_wrong_number_of_an_activation_is_found_out(table: Any, name: str, number: Any) -> None:
    with planted(table, name, number):
        assert inside_claims.names_of(NAMED[name])


@pytest.mark.parametrize("name", inside.RECTIFY)
def test_a_wrong_name_of_a_rectifier_is_found_out(name: str) -> None:
    with planted(inside.RECTIFY, name, not inside.RECTIFY[name]):
        assert inside_claims.rectify_of(name)


LSTM, GRU = inside.RECURRENCES["", "LSTM"], inside.RECURRENCES["", "GRU"]
RECURRENCES: Faults = [
    (("", "RNN"), Recurrence(("Relu",), hidden=(0,))),
    (("", "RNN"), Recurrence(("Tanh",), hidden=(), gates=(0,))),
    (("", "GRU"), replace(GRU, defaults=("Tanh", "Sigmoid"))),
    (("", "GRU"), replace(GRU, hidden=(0,), gates=(1,))),
    (("", "GRU"), replace(GRU, mixes=False)),
    (("", "GRU"), replace(GRU, gates=())),
    (("", "LSTM"), replace(LSTM, mixes=True)),
    (("", "LSTM"), replace(LSTM, hidden=(1,))),
    (("", "LSTM"), replace(LSTM, hidden=(2,))),
    (("", "LSTM"), replace(LSTM, hidden=(0, 1))),
    (("", "LSTM"), replace(LSTM, hidden=(2, 1))),
    *(((MS, op), GRU) for op in ("DynamicQuantizeLSTM", "AttnLSTM")),
    *(((MS, op), replace(LSTM, defaults=("Sigmoid", "Tanh", "Relu"))) for op in ("DynamicQuantizeLSTM", "AttnLSTM")),
]


@pytest.mark.parametrize(("key", "row"), params(RECURRENCES))
def test_a_wrong_recurrence_is_found_out(key: Key, row: Any) -> None:
    with planted(inside.RECURRENCES, key, row):
        assert inside_claims.recurrence_of(key[1])


@pytest.mark.parametrize("op", ["MoE", "QMoE"])
@pytest.mark.parametrize("row", [Layer("relu", 1), Layer("relu", 3), Layer("gelu", 2)])
def test_a_wrong_layer_is_found_out(op: str, row: Layer) -> None:
    with planted(inside.LAYERS, (MS, op), row):
        assert inside_claims.layers_of(op)


@pytest.mark.parametrize("op", ["GroupNorm", "SkipGroupNorm"])
@pytest.mark.parametrize("row", [("silu", "none"), ("none", "relu"), ("none",)])
def test_a_wrong_number_of_a_name_is_found_out(op: str, row: tuple[str, ...]) -> None:
    with planted(inside.NUMBERED, (MS, op), row):
        assert inside_claims.numbered_of(op)
