"""Functions in pieces against the operators themselves: what is claimed of any few nodes, on a grid of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_audit.activations import flat, pieces
from relu_audit.activations.pieces import Curve, UnknownError
from relu_audit.activations.spelt import Functions
from relu_audit.activations.steps import STEPS
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from tests.graphs import graph
from tests.oracle import values

GRID = (np.arange(-512, 513) / 32 + 1 / 128).astype(np.float32)
"""Away from the places where pieces of round numbers end."""

UNARY = {
    "Identity": "{y} = Identity ({a})",
    "Cast": "{y} = Cast <to = 1> ({a})",
    "CastLike": "{y} = CastLike ({a}, half)",
    "Relu": "{y} = Relu ({a})",
    "LeakyRelu": "{y} = LeakyRelu <alpha = 0.25> ({a})",
    "PRelu": "{y} = PRelu ({a}, vector)",
    "ThresholdedRelu": "{y} = ThresholdedRelu <alpha = -0.5> ({a})",
    "Clip": "{y} = Clip ({a}, minus, two)",
    "HardSigmoid": "{y} = HardSigmoid <alpha = 0.25> ({a})",
    "HardSwish": "{y} = HardSwish ({a})",
    "Shrink": "{y} = Shrink <bias = 0.25, lambd = 1.0> ({a})",
    "Elu": "{y} = Elu ({a})",
    "Selu": "{y} = Selu ({a})",
    "Celu": "{y} = Celu ({a})",
    "Max": "{y} = Max ({a}, vector)",
    "Min": "{y} = Min (half, {a})",
    "Add": "{y} = Add ({a}, vector)",
    "Sub": "{y} = Sub (half, {a})",
    "Mul": "{y} = Mul ({a}, vector)",
    "Div": "{y} = Div ({a}, two)",
    "Pow": "{y} = Pow ({a}, two)",
    "Neg": "{y} = Neg ({a})",
    "Abs": "{y} = Abs ({a})",
    "Sign": "{y} = Sign ({a})",
    "Greater": "c{y} = Greater ({a}, vector)\n {y} = Cast <to = 1> (c{y})",
    "GreaterOrEqual": "c{y} = GreaterOrEqual (half, {a})\n {y} = Cast <to = 1> (c{y})",
    "Less": "c{y} = Less ({a}, half)\n d{y} = Not (c{y})\n {y} = Cast <to = 1> (d{y})",
    "LessOrEqual": "c{y} = LessOrEqual ({a}, vector)\n {y} = Cast <to = 1> (c{y})",
    "Not": "c{y} = Greater ({a}, half)\n d{y} = Not (c{y})\n {y} = Where (d{y}, {a}, vector)",
    "Exp": "{y} = Exp ({a})",
    "Log": "p{y} = Abs ({a})\n q{y} = Add (p{y}, half)\n {y} = Log (q{y})",
    "Sqrt": "p{y} = Abs ({a})\n {y} = Sqrt (p{y})",
    "Sigmoid": "{y} = Sigmoid ({a})",
    "Tanh": "{y} = Tanh ({a})",
    "Softplus": "{y} = Softplus ({a})",
    "Erf": "{y} = Erf ({a})",
}
BINARY = {
    "Add": "{y} = Add ({a}, {b})",
    "Sum": "{y} = Sum ({a}, {b}, half)",
    "Mean": "{y} = Mean ({a}, {b})",
    "Sub": "{y} = Sub ({a}, {b})",
    "Mul": "{y} = Mul ({a}, {b})",
    "Max": "{y} = Max ({a}, {b})",
    "Min": "{y} = Min ({a}, {b}, two)",
    "Where": "c{y} = Greater ({a}, half)\n {y} = Where (c{y}, {b}, {a})",
    "And": (
        "c{y} = Less ({a}, half)\n d{y} = Greater ({b}, minus)\n"
        " e{y} = And (c{y}, d{y})\n {y} = Where (e{y}, {a}, half)"
    ),
    "Or": (
        "c{y} = Less ({a}, minus)\n d{y} = Greater ({b}, two)\n"
        " e{y} = Or (c{y}, d{y})\n {y} = Where (e{y}, {b}, vector)"
    ),
}
NUMBERS = {
    "half": np.float32(0.5),
    "two": np.float32(2),
    "minus": np.float32(-1),
    "vector": np.array([0, 0.5, -1, 2], np.float32),
}


def evaluated(curve: Curve, x: np.ndarray, units: int) -> np.ndarray:
    """The function on numbers: [numbers, units]; NaN where it is curved."""
    knots = np.stack([np.broadcast_to(row, units) for row in curve.knots]) if len(curve.knots) else np.zeros((0, units))
    coefficients = np.stack([[np.broadcast_to(number, units) for number in piece] for piece in curve.pieces])
    found = np.empty((len(x), units))
    for unit in range(units):
        piece = np.searchsorted(knots[:, unit], x, side="left")
        c = coefficients[piece, :, unit]
        found[:, unit] = c[:, 0] + x * (c[:, 1] + x * c[:, 2])
    return found


def claimed(text: str) -> tuple[Curve | None, np.ndarray, np.ndarray]:
    """What is claimed of ``y`` as a function of ``h``, what it is on the grid, and what it makes of NaN."""
    words = text.replace("(", " ").replace(")", " ").replace(",", " ").split()
    weights = {name: number for name, number in NUMBERS.items() if name in words}
    model = graph("float[n, 4] h", "float[n, 4] y", text, weights)
    fed = np.repeat(GRID[:, None], 4, axis=1)
    (shown,) = values(model, [{"h": fed}], ["y"])
    (lost,) = values(model, [{"h": np.full((1, 4), np.nan, np.float32)}], ["y"])
    network = normalize(open_checkpoint(model))
    node = next(node for node in network.model.graph if node.outputs[0].name == "y")
    made = Functions(network).whole(node, network.model.graph.inputs[0])
    return (None if made is None else made.curve), shown["y"], lost["y"][0]


def assert_is_claimed(text: str) -> Curve | None:
    curve, y, lost = claimed(text)
    if curve is None:
        return None
    told = evaluated(curve, GRID.astype(np.float64), 4)
    near = np.zeros(told.shape, bool)
    for knots in curve.knots:
        near |= np.abs(GRID[:, None] - np.broadcast_to(knots, 4)) < 1e-4
    sure = ~near & ~np.isnan(told) & (np.abs(y) < 1e6)
    np.testing.assert_allclose(told[sure], y[sure], rtol=1e-4, atol=1e-4)
    assert (np.isnan(lost) == np.isnan(np.broadcast_to(curve.missing, 4))).all()
    return curve


@pytest.mark.parametrize("op", UNARY)
def test_an_operator_makes_what_its_row_says(op: str) -> None:
    text = f"{UNARY[op].format(y='u', a='h')}\n y = Add (u, half)"
    assert assert_is_claimed(text) is not None


@pytest.mark.parametrize("op", BINARY)
def test_an_operator_on_two_functions_makes_what_its_row_says(op: str) -> None:
    text = f"a = Relu (h)\n b = Add (h, vector)\n {BINARY[op].format(y='y', a='a', b='b')}"
    assert assert_is_claimed(text) is not None


def test_every_row_has_a_case() -> None:
    tried = {name for text in (*UNARY.values(), *BINARY.values()) for name in text.replace("<", " ").split()}
    assert {op for _, op in STEPS} <= tried


@st.composite
def formulas(draw: st.DrawFn) -> str:
    """A few nodes that make ``y`` of ``h``."""
    made, lines = ["h"], list[str]()
    for index in range(draw(st.integers(1, 6))):
        name = f"v{index}"
        a, b = draw(st.sampled_from(made)), draw(st.sampled_from(made))
        rows = BINARY if draw(st.booleans()) else UNARY
        lines.append(rows[draw(st.sampled_from(sorted(rows)))].format(y=name, a=a, b=b))
        made.append(name)
    lines.append(f"y = Add ({made[-1]}, {draw(st.sampled_from(made))})")
    return "\n ".join(lines)


@settings(max_examples=150, deadline=None)
@given(formulas())
def test_what_is_claimed_of_any_few_nodes_is_what_they_make(text: str) -> None:
    curve = assert_is_claimed(text)
    if curve is None:
        return
    found = flat.flat(curve)
    told = evaluated(curve, GRID.astype(np.float64), 4)
    if found is not None and found.source in ("plain", "negated"):
        turned = GRID[:, None] * (1 if found.source == "plain" else -1)
        below = turned < np.broadcast_to(found.above, 4) - 1e-3
        silent = np.where(np.broadcast_to(found.entries, 4) & below, told, 0)
        assert not np.nan_to_num(silent, nan=1).any()
    if found is not None and found.output in ("plain", "negated"):
        sign = 1 if found.output == "plain" else -1
        assert (np.nan_to_num(sign * told)[:, np.broadcast_to(found.entries, 4)] >= -1e-6).all()


def test_more_pieces_than_can_be_told_are_given_up() -> None:
    steps = [pieces.above(pieces.plus(pieces.identity(), pieces.constant(-float(edge)))) for edge in range(100)]
    assert len(pieces.plus(*steps[:50]).pieces) == 51
    with pytest.raises(UnknownError):
        pieces.plus(*steps)


def test_a_long_chain_of_joins_is_given_up_and_ends() -> None:
    lines = ["v0 = Relu (h)"] + [f"v{i} = Add (v{i - 1}, v{i - 1})" for i in range(1, 60)] + ["y = Mul (v59, h)"]
    model = graph("float[n, 4] h", "float[n, 4] y", "\n ".join(lines))
    network = normalize(open_checkpoint(model))
    node = next(node for node in network.model.graph if node.outputs[0].name == "y")
    assert Functions(network).whole(node) is None
