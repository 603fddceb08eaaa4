"""Ways to write an activation down, and what onnxruntime says that they do: on a grid, and on data, unit by unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from tests.graphs import graph
from tests.oracle import values

UNITS = 6
SLOPES = np.array([0, 0.25, 0, -0.5, 0, 1], np.float32)
"""Slopes below zero, by unit."""
EDGES = np.array([0, 0.5, 1, 2, 0.25, 0], np.float32)
"""Thresholds that are not negative."""
BELOW = np.array([-1, 0, -0.5, 0, -2, 0.5], np.float32)
"""Thresholds, some of them negative."""

NUMBERS: Mapping[str, np.ndarray] = {
    name: np.asarray(number, np.float32)
    for name, number in {
        "zero": 0,
        "sixth": 1 / 6,
        "fifth": 0.2,
        "half": 0.5,
        "one": 1,
        "two": 2,
        "three": 3,
        "six": 6,
        "minus": -1,
        "minus_half": -0.5,
        "minus_tenth": -0.1,
        "tenth": 0.1,
        "root": 2**0.5,
        "slopes": SLOPES,
        "minus_slopes": -SLOPES,
        "half_slopes": SLOPES / 2,
        "edges": EDGES,
        "below": BELOW,
        "nothing": np.zeros(UNITS),
        "floors": [0, 0.5, 0, -1, -0.25, 0],
        "ceilings": [0, 0.5, -0.5, 0, 6, 1],
        "signs": [1, -1, 2, -2, 1, -1],
    }.items()
}

RELU = {
    "Relu": "y = Relu (h)",
    "Clip": "y = Clip (h, zero)",
    "Max": "y = Max (h, zero)",
    "Max of zeros": "y = Max (nothing, h)",
    "LeakyRelu": "y = LeakyRelu <alpha = 0.0> (h)",
    "PRelu": "y = PRelu (h, nothing)",
    "Elu": "y = Elu <alpha = 0.0> (h)",
    "ThresholdedRelu": "y = ThresholdedRelu <alpha = 0.0> (h)",
    "(x + |x|) / 2": "a = Abs (h)\n b = Add (h, a)\n y = Div (b, two)",
    "(|x| + x) * 0.5": "a = Abs (h)\n b = Add (a, h)\n y = Mul (b, half)",
    "0.5 * (x + |x|)": "a = Abs (h)\n b = Add (h, a)\n y = Mul (half, b)",
    "x / 2 + |x| / 2": "a = Abs (h)\n b = Div (a, two)\n c = Mul (h, half)\n y = Add (c, b)",
    "|x| / 2 - x * -0.5": "a = Abs (h)\n b = Div (a, two)\n c = Mul (h, minus_half)\n y = Sub (b, c)",
    "mean of x and |x|": "a = Abs (h)\n y = Mean (h, a)",
    "sum of halves": "a = Abs (h)\n b = Sum (a, h)\n y = Mul (b, half)",
    "x - Min(x, 0)": "a = Min (h, zero)\n y = Sub (h, a)",
    "x - Min(0, x)": "a = Min (zero, h)\n y = Sub (h, a)",
    "x - Clip(x, max 0)": "a = Clip (h, , zero)\n y = Sub (h, a)",
    "-Min(-x, 0)": "a = Neg (h)\n b = Min (a, zero)\n y = Neg (b)",
    "-1 * Min(-1 * x, 0)": "a = Mul (h, minus)\n b = Min (a, zero)\n y = Mul (minus, b)",
    "Min(-x, 0) / -1": "a = Neg (h)\n b = Clip (a, , zero)\n y = Div (b, minus)",
    "x + Relu(-x)": "a = Neg (h)\n b = Relu (a)\n y = Add (h, b)",
    "Where(x > 0, x, 0)": "a = Greater (h, zero)\n y = Where (a, h, zero)",
    "Where(x <= 0, 0, x)": "a = LessOrEqual (h, zero)\n y = Where (a, zero, h)",
    "Where(not x < 0, x, 0)": "a = Less (h, zero)\n b = Not (a)\n y = Where (b, h, nothing)",
    "x * (x > 0)": "a = Greater (h, zero)\n b = Cast <to = 1> (a)\n y = Mul (h, b)",
    "(0 < x) * x": "a = Less (zero, h)\n b = CastLike (a, h)\n y = Mul (b, h)",
    "x * (1 + Sign(x)) / 2": "a = Sign (h)\n b = Add (a, one)\n c = Mul (h, b)\n y = Div (c, two)",
}
"""Spellings of one and the same rectifier."""

PRELU = {
    "PRelu": "y = PRelu (h, slopes)",
    "Relu(x) + a Min(x, 0)": "p = Relu (h)\n m = Min (h, zero)\n n = Mul (m, slopes)\n y = Add (p, n)",
    "Relu(x) - a Relu(-x)": "p = Relu (h)\n m = Neg (h)\n n = Relu (m)\n o = Mul (slopes, n)\n y = Sub (p, o)",
    "Relu(x) + -a Relu(-1 x)": (
        "p = Relu (h)\n m = Mul (h, minus)\n n = Relu (m)\n o = Mul (n, minus_slopes)\n y = Add (o, p)"
    ),
    "Relu(x) + a (x - |x|) / 2": (
        "p = Relu (h)\n m = Abs (h)\n n = Sub (h, m)\n o = Mul (n, slopes)\n q = Mul (o, half)\n y = Add (p, q)"
    ),
    "Relu(x) + a / 2 (x - |x|)": (
        "p = Relu (h)\n m = Abs (h)\n n = Sub (h, m)\n o = Mul (n, half_slopes)\n y = Add (p, o)"
    ),
    "Max(x, 0) + a Min(x, 0)": "p = Max (h, zero)\n m = Min (h, zero)\n n = Mul (m, slopes)\n y = Add (n, p)",
    "Where(x > 0, x, a x)": "g = Greater (h, zero)\n m = Mul (h, slopes)\n y = Where (g, h, m)",
}
"""Spellings of one and the same rectifier of some units, and of none of the others."""

HARD_SWISH = {
    "HardSwish": "y = HardSwish (h)",
    "x * HardSigmoid(x)": "a = HardSigmoid <alpha = 0.16666667, beta = 0.5> (h)\n y = Mul (h, a)",
    "x * Clip(x + 3, 0, 6) / 6": "a = Add (h, three)\n b = Clip (a, zero, six)\n c = Mul (h, b)\n y = Div (c, six)",
    "x * (Clip(x + 3, 0, 6) / 6)": "a = Add (three, h)\n b = Clip (a, zero, six)\n c = Div (b, six)\n y = Mul (c, h)",
    "x / 6 * Clip(x + 3, 0, 6)": ("d = Mul (h, sixth)\n a = Add (h, three)\n b = Clip (a, zero, six)\n y = Mul (d, b)"),
    "x * Min(Relu(x + 3), 6) / 6": (
        "a = Add (h, three)\n b = Relu (a)\n c = Min (b, six)\n d = Mul (h, c)\n y = Mul (d, sixth)"
    ),
    "x * Clip(x / 6 + 0.5, 0, 1)": "a = Div (h, six)\n b = Add (a, half)\n c = Clip (b, zero, one)\n y = Mul (h, c)",
}
"""Spellings of what is flat below -3 and has either sign above."""

HARD_SIGMOID = {
    "HardSigmoid": "y = HardSigmoid (h)",
    "Clip(x / 5 + 0.5, 0, 1)": "a = Mul (h, fifth)\n b = Add (a, half)\n y = Clip (b, zero, one)",
    "Min(Relu(0.2 x + 0.5), 1)": "a = Mul (fifth, h)\n b = Add (half, a)\n c = Relu (b)\n y = Min (c, one)",
}
"""Spellings of a gate."""

UPSIDE_DOWN = {
    "Min": "y = Min (h, zero)",
    "Min of zeros": "y = Min (nothing, h)",
    "Clip": "y = Clip (h, , zero)",
    "Where(x > 0, 0, x)": "a = Greater (h, zero)\n y = Where (a, zero, h)",
    "x * (x < 0)": "a = Less (h, zero)\n b = Cast <to = 1> (a)\n y = Mul (h, b)",
    "x - Relu(x)": "a = Relu (h)\n y = Sub (h, a)",
    "(x - |x|) / 2": "a = Abs (h)\n b = Sub (h, a)\n y = Mul (b, half)",
}
"""Spellings of what is flat above zero."""

MORE = {
    "Clip to six": "y = Clip (h, zero, six)",
    "Clip from -6": "y = Clip (h, minus, zero)",
    "Relu(x) - Relu(x - 1)": "a = Relu (h)\n b = Sub (h, one)\n c = Relu (b)\n y = Sub (a, c)",
    "ThresholdedRelu": "y = ThresholdedRelu <alpha = 1.5> (h)",
    "ThresholdedRelu below zero": "y = ThresholdedRelu <alpha = -1.0> (h)",
    "x * (x > v)": "a = Greater (h, edges)\n b = Cast <to = 1> (a)\n y = Mul (h, b)",
    "x * (x > v), some below zero": "a = Greater (h, below)\n b = Cast <to = 1> (a)\n y = Mul (b, h)",
    "Where(x > v, x, 0)": "a = Greater (h, edges)\n y = Where (a, h, zero)",
    "Where(x > v, x, v)": "a = Greater (h, floors)\n y = Where (a, h, floors)",
    "Where(x > v, x, 0), some below zero": "a = LessOrEqual (h, below)\n y = Where (a, nothing, h)",
    "Max of floors": "y = Max (h, floors)",
    "Min of ceilings": "y = Min (h, ceilings)",
    "Min and Max of vectors": "a = Max (h, floors)\n y = Min (a, six)",
    "Relu of either sign": "a = Mul (h, signs)\n y = Relu (a)",
    "HardSigmoid downhill": "y = HardSigmoid <alpha = -0.25> (h)",
    "Selu without alpha": "y = Selu <alpha = 0.0> (h)",
    "Selu without gamma": "y = Selu <gamma = 0.0> (h)",
    "Relu squared": "a = Relu (h)\n y = Mul (a, a)",
    "x * Relu(x)": "a = Relu (h)\n y = Mul (h, a)",
}
"""Other rectifiers."""

ALIVE = {
    "LeakyRelu": "y = LeakyRelu (h)",
    "PRelu": "y = PRelu (h, tenth)",
    "PRelu of slope one": "y = PRelu (h, one)",
    "Elu": "y = Elu (h)",
    "Selu": "y = Selu (h)",
    "Celu": "y = Celu (h)",
    "Relu(x) + -0.1 Relu(-x)": "p = Relu (h)\n m = Neg (h)\n n = Relu (m)\n o = Mul (n, minus_tenth)\n y = Add (p, o)",
    "Relu(x) - 0.1 Relu(-x)": "p = Relu (h)\n m = Neg (h)\n n = Relu (m)\n o = Mul (n, tenth)\n y = Sub (p, o)",
    "Relu(x) + 0.1 Min(x, 0)": "p = Relu (h)\n m = Min (h, zero)\n o = Mul (tenth, m)\n y = Add (o, p)",
    "x + Relu(x)": "p = Relu (h)\n y = Add (h, p)",
    "Relu(x) + Relu(-x)": "p = Relu (h)\n m = Neg (h)\n n = Relu (m)\n y = Add (n, p)",
    "Relu(x) - Relu(-x)": "p = Relu (h)\n m = Neg (h)\n n = Relu (m)\n y = Sub (p, n)",
    "Relu(x) + exp(Min(x, 0)) - 1": (
        "p = Relu (h)\n m = Min (h, zero)\n n = Exp (m)\n o = Sub (n, one)\n y = Add (p, o)"
    ),
    "Relu(x) + log(1 + exp(-|x|))": (
        "p = Relu (h)\n m = Abs (h)\n n = Neg (m)\n o = Exp (n)\n q = Add (o, one)\n r = Log (q)\n y = Add (p, r)"
    ),
}
"""Activations with a slope everywhere."""

NEITHER = {
    "Clip to one": "y = Clip (h, minus, one)",
    "Clip from one": "y = Clip (h, one, six)",
    "Clip at six": "y = Clip (h, , six)",
    "Max of one": "y = Max (h, one)",
    "Min of one": "y = Min (h, one)",
    "Abs": "y = Abs (h)",
    "step": "a = Greater (h, zero)\n y = Cast <to = 1> (a)",
    "square": "y = Mul (h, h)",
    "constant gate": "y = HardSigmoid <alpha = 0.0> (h)",
    "x * v": "y = Mul (h, signs)",
    "Max(x, |x|)": "a = Abs (h)\n y = Max (h, a)",
    "Shrink": "y = Shrink <bias = 0.5, lambd = 0.5> (h)",
}
"""What is no rectifier, and not told of: it is flat nowhere, or on no side of zero, or has no slope at all."""


@dataclass(frozen=True)
class Measured:
    """What onnxruntime makes of a grid, unit by unit.

    Attributes:
        flat: Units that are zero at one end of the grid, and have a slope elsewhere or are zero everywhere.
        hides_nan: Whether any unit makes a number of NaN.
    """

    flat: tuple[int, ...]
    hides_nan: bool


@dataclass(frozen=True)
class Net:
    """Hidden units behind an activation.

    Attributes:
        body: Nodes that make ``y`` of ``h``.
        weights: What makes ``h`` of ``x``; initializers by name.
        layer: Nodes that do so.
        shape: Axes of ``x`` behind the samples.
        opset: Operator set.
        numbers: Further initializers.
    """

    body: str
    weights: Mapping[str, np.ndarray]
    layer: str = "h = Gemm (x, weight, bias)"
    shape: tuple[int, ...] = (4,)
    opset: int = 18
    numbers: Mapping[str, np.ndarray] = field(default_factory=lambda: NUMBERS)

    def model(self) -> onnx.ModelProto:
        text = f"{self.layer}\n {self.body}"
        axes = ", ".join(map(str, self.shape))
        sizes = ", ".join(f"o{axis}" for axis in self.shape)
        weights = {**self.weights, **used(text, self.numbers)}
        return graph(f"float[n, {axes}] x", f"float[n, {sizes}] y", text, weights, opset=self.opset)


def used(body: str, numbers: Mapping[str, np.ndarray] = NUMBERS) -> dict[str, np.ndarray]:
    """The numbers that nodes name."""
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {name: array for name, array in numbers.items() if name in words}


GRID = np.concatenate([np.arange(-640, 641) / 64, [-1000, 1000]]).astype(np.float32)
FAR = 8
"""Where all that these activations do is done."""


def measured(body: str, opset: int = 18) -> Measured:
    """Feed a grid to every unit, one number after the other, and look for stretches of zeros at its ends."""
    model = graph(f"float[n, {UNITS}] h", f"float[n, {UNITS}] y", body, used(body), opset=opset)
    order = np.argsort(GRID)
    fed = np.repeat(GRID[order][:, None], UNITS, axis=1)
    (shown,) = values(model, [{"h": fed}], ["y"])
    y, x = shown["y"], GRID[order]
    flat = []
    for unit in range(UNITS):
        column = y[:, unit]
        slope = np.diff(column) != 0
        stretch = [(column[side] == 0).all() for side in (x <= -FAR, x >= FAR)]
        if any(stretch) and (_has_a_slope(slope) or not column.any()):
            flat.append(unit)
    (lost,) = values(model, [{"h": np.full((1, UNITS), np.nan, np.float32)}], ["y"])
    return Measured(tuple(flat), hides_nan=bool(np.isfinite(lost["y"]).any()))


def _has_a_slope(changes: np.ndarray) -> bool:
    """Whether a column changes in more places than a step does."""
    return int(changes.sum()) > 2


def dead(net: Net, x: np.ndarray, flat: tuple[int, ...]) -> list[int]:
    """Units that are flat somewhere, and zero for every sample, each fed by itself."""
    shown = values(net.model(), [{"x": x[i : i + 1]} for i in range(len(x))], ["y"])
    y = np.concatenate([one["y"] for one in shown])
    y = y.reshape(*y.shape[:2], -1)
    return [unit for unit in flat if not (y[:, unit] != 0).any()]
