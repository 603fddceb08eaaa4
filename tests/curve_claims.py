"""What the table of steps makes of functions, and how these are written, against what the operators make of numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from relu_audit.activations.pieces import Curve
from relu_audit.activations.spelt import Functions
from relu_audit.activations.steps import STEPS
from tests.operator_cases import CALLS, Call, Data
from tests.value_claims import read, together

OPERATORS = """
    Abs Add And Cast CastLike Celu Clip Div Elu Erf Exp Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu
    Less LessOrEqual Log Max Mean Min Mul Neg Not Or PRelu Pow Relu Selu Shrink Sigmoid Sign Softplus Sqrt Sub Sum Tanh
    ThresholdedRelu Where
"""
"""Operators that make functions."""

OTHERS = "Acos Asin Atan Ceil Cos Cosh Floor Gelu Mish Mod Reciprocal Round Sin Sinh Softsign Swish Tan Xor Equal"
"""Some of those of which nothing is known."""

GRID = (np.arange(-256, 257) / 16 + 1 / 128).astype(np.float32)
"""Away from the places where pieces of round numbers end."""

ONE, SEVERAL = (0.5, -1.5, 2.0), ([0.5, -1, 2, 0], [-1.5, 0, 3, 1], [2, 0.5, -0.5, -2])
"""Numbers that operands are beside the one that is looked at: one each, or four each."""


@cache
def tried() -> Sequence[tuple[Call, int]]:
    """Calls on a grid, with constants for all operands but one, and the number of that one."""
    return list(_tried())


def _tried() -> Iterator[tuple[Call, int]]:
    for call in CALLS:
        shaped = all(one is None or isinstance(one, Data) or one.shape in ((), (1,), (4,)) for one in call.operands)
        if call.domain or call.op not in (*OPERATORS.split(), *OTHERS.split()) or not shaped or call.outputs > 1:
            continue
        for index, data in call.fed.items():
            if data.dtype not in (np.float32, np.bool_) or not data.shape:
                continue
            for several in (False, True) if len(call.fed) > 1 else (True,):
                operands = [
                    _grid(data) if i == index else _constant(one, i, several=several) if isinstance(one, Data) else one
                    for i, one in enumerate(call.operands)
                ]
                note = f"{call.note}, operand {index}, {'several' if several else 'one'}"
                yield replace(call, operands=operands, note=note), index


def _grid(data: Data) -> Data:
    return Data((len(GRID), 4), data.dtype)


def _constant(data: Data, index: int, *, several: bool) -> np.ndarray:
    number = np.array(SEVERAL[index] if several and data.shape else ONE[index], np.float32)
    return number if data.dtype is not np.bool_ else number > 0.25


THRESHOLD = 0.25


def _compared(data: Data, fed: str, name: str) -> list[onnx.NodeProto]:
    """Where an operand is a truth value, one that is made of a number."""
    if data.dtype is not np.bool_:
        return [helper.make_node("Identity", [fed], [name])]
    return [
        helper.make_node("Cast", [fed], [f"{name}.f"], to=1),
        helper.make_node("Constant", [], [f"{name}.t"], value_float=THRESHOLD),
        helper.make_node("Greater", [f"{name}.f", f"{name}.t"], [name]),
    ]


def _base(value: ir.Value) -> ir.Value:
    """What a value is made of: a number."""
    node = value.producer()
    while node is not None and node.op_type in ("Identity", "Greater"):
        first = node.inputs[0]
        assert first is not None
        value, node = first, first.producer()
    return value


@cache
def made(call: Call, index: int) -> tuple[np.ndarray, np.ndarray]:
    """What the operator makes of the grid, and of NaN: [numbers, entries], [entries]."""
    data = call.fed[index]
    fed = np.repeat(GRID[:, None], 4, axis=1)
    lost = np.full(fed.shape, np.nan, np.float32)
    if data.dtype is np.bool_:
        return call.run({index: fed > THRESHOLD})[0], call.run({index: lost > THRESHOLD})[0][0]
    return call.run({index: fed})[0], call.run({index: lost})[0][0]


def curve_of(call: Call, index: int) -> list[str]:
    """Whether the function that is claimed is the one that the operator computes, and is written so."""
    found = together(_compared, tuple(one for one, _ in tried()))[call]
    whole = Functions(found.network).whole(found.node, _base(found.operands[index]))
    if whole is None:
        told = call.op in OPERATORS.split() and not call.name.startswith(UNKNOWN)
        return [f"{call.name}: nothing is claimed"] if told else []
    close = 1e-2 if call.sample[0].dtype == np.float16 else 1e-4
    y, lost = (np.asarray(one, np.float64) for one in made(call, index))
    return [f"{call.name}: {line}" for line in (*_wrong(whole.curve, y, lost, close), *_written(call, whole.text, y))]


UNKNOWN = (
    *(
        "Div: both fed",
        "Div: spread",
        "Div: behind a constant",
        "Pow: both fed",
        "Pow: spread",
        "Pow: behind a constant",
    ),
    "Pow: vector",
    *(
        f"{op}: float32 to {kind}"
        for op in ("Cast", "CastLike")
        for kind in ("int8", "uint8", "int32", "int64", "bool")
    ),
)
"""How calls begin whose functions are none in pieces."""


def _wrong(curve: Curve, y: np.ndarray, lost: np.ndarray, close: float) -> Iterator[str]:
    told = evaluated(curve, GRID.astype(np.float64), 4)
    near = np.zeros(told.shape, bool)
    for knots in curve.knots:
        near |= np.abs(GRID[:, None] - np.broadcast_to(knots, 4)) < 1e-4
    sure = ~near & ~np.isnan(told)
    if not np.allclose(told[sure], np.broadcast_to(y, told.shape)[sure], rtol=close, atol=close):
        yield f"{curve} is another function"
    silent = np.broadcast_to(y == 0, told.shape)
    if (np.isnan(told) & silent & np.roll(silent, 1, axis=0) & np.roll(silent, -1, axis=0)).any():
        yield f"{curve} bends where it is zero"
    missing = np.broadcast_to(curve.missing, 4)
    if not np.array_equal(np.isnan(missing), np.isnan(lost)):
        yield f"{lost} is made of NaN, and not {missing}"


def evaluated(curve: Curve, x: np.ndarray, entries: int) -> np.ndarray:
    """The function on numbers: [numbers, entries]; NaN where it is curved."""
    found = np.empty((len(x), entries))
    knots = [np.broadcast_to(row, entries) for row in curve.knots]
    pieces = [[np.broadcast_to(number, entries) for number in piece] for piece in curve.pieces]
    for entry in range(entries):
        piece = np.searchsorted(np.array([row[entry] for row in knots]), x, side="left")
        c = np.array([[number[entry] for number in one] for one in pieces])[piece]
        found[:, entry] = c[:, 0] + x * (c[:, 1] + x * c[:, 2])
    return found


# How functions are written --------------------------------------------------------------------------------------------

NAMESPACE: Mapping[str, Any] = {
    "Clip": lambda x, low=-math.inf, high=math.inf: min(max(x, low), high),
    "Max": lambda *x: max(x),
    "Min": lambda *x: min(x),
    "Mean": lambda *x: sum(x) / len(x),
    "Where": lambda c, x, y: x if c else y,
    "Not": lambda x: not x,
    "Sign": lambda x: (x > 0) - (x < 0),
    "LeakyRelu": lambda x, slope: x if x > 0 else slope * x,
    "PRelu": lambda x, slope: x if x > 0 else slope * x,
    "ThresholdedRelu": lambda x, edge: x if x > edge else 0,
    "Relu": lambda x: max(x, 0),
    "HardSwish": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
    "Exp": math.exp,
    "Tanh": math.tanh,
    "Erf": math.erf,
    "Sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "Softplus": lambda x: math.log1p(math.exp(x)),
    "inf": math.inf,
    "abs": abs,
}
SHORT = ("HardSigmoid", "Shrink", "Elu", "Selu", "Celu", "Cast", "CastLike", "Log", "Sqrt")
"""Functions that are not written with all their numbers, or not everywhere."""


def _written(call: Call, text: str, y: np.ndarray) -> Iterator[str]:
    if call.op in SHORT or np.ptp(y.astype(np.float64), axis=1).any() or re.search(r"\bv\b", text):
        return
    code = compile(re.sub(r"\|(.*)\|", r"abs(\1)", text).replace("^", "**"), text, "eval")
    for place in range(3, len(GRID), 16):
        number = float(GRID[place])
        told = float(eval(code, dict(NAMESPACE), {"x": number}))  # noqa: S307 - a formula, and nothing else
        if not np.allclose(told, y[place].astype(np.float64), rtol=1e-3, atol=1e-3):
            yield f"{text} is {told} at {number}, and not {y[place]}"
            return


# What else a row says -------------------------------------------------------------------------------------------------

SIZES = (2, 3, 4)


@cache
def facts(call: Call) -> tuple[bool | None, set[int], bool]:
    """Whether the result is truth made of numbers, which operands it depends on, and whether constants spread it.

    Operators that pass truth values on tell nothing of the first.
    """
    rng = np.random.default_rng(1)
    shapes = [(1, 3, 1) if i == 0 else SIZES if one.shape else () for i, one in enumerate(_operands(call))]
    drawn = [rng.integers(-3, 4, (20, *shape)) for shape in shapes]
    kinds = [one.dtype for one in _operands(call)]
    data = [Data(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
    wide = replace(call, operands=data)

    def run(draw: int, changed: int | None = None) -> np.ndarray:
        fed = {i: one[draw + 1 if i == changed else draw] for i, one in enumerate(drawn)}
        arrays = {i: one.astype(kinds[i]) if kinds[i] != np.bool_ else one > 0 for i, one in fed.items()}
        return wide.run(arrays)[0]

    try:
        made = run(0)
    except Exception:  # the runtime raises classes of its own for sizes that do not go together
        return None, set(), False
    depends = {i for i in range(len(data)) if any((run(draw, i) != run(draw)).any() for draw in range(0, 18, 2))}
    plain = all(kind == np.bool_ for kind in kinds) or call.op in ("Where", "Cast", "CastLike")
    return None if plain else made.dtype == np.bool_, depends, made.shape == SIZES


def _operands(call: Call) -> list[np.ndarray]:
    return [
        np.zeros(one.shape, one.dtype) if isinstance(one, Data) else one for one in call.operands if one is not None
    ]


def facts_of(call: Call) -> list[str]:
    """Whether a row says which operands count, that truth values are made, and that constants may add axes.

    The runtime lets the slopes of a PRelu add axes, which ONNX does not.
    """
    step = STEPS[call.key]
    truth, depends, spreads = facts(call)
    node = ir.from_proto(helper.make_node(call.op, [f"x{i}" for i in range(len(call.operands))], ["y"]))
    lines = [f"{call.name}: makes truth values: {truth}"] if truth is not None and truth != step.condition else []
    if depends and len(call.operands) > 1:
        counted = set(step.read(read(call).network, node))
        lines += [f"{call.name}: depends on {depends}"] if not depends <= counted else []
    sized = len(call.operands) > 1 and all(np.ndim(one) for one in _operands(call)) and call.op != "PRelu"
    if sized and spreads != step.spreads:
        lines.append(f"{call.name}: constants spread it: {spreads}")
    return lines
