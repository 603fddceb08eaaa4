"""Random networks of whole numbers, with a proof that no float32 sum in them is rounded.

Every value carries a bound and a number of binary places. A layer chooses its weights within the bound, so that every
partial sum, in whatever order, is a multiple of a power of two that fits the 24 bits of a float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tests.graphs import graph

BITS = 24
FAN_IN = 6
CEILING = 96
CALM = 16
ROOM = 2**8
"""A rectifier of values that may be larger than this is a Clip."""


@dataclass(frozen=True)
class Value:
    """A value: name, channels, bound on its absolute value, binary places, and bound on what is positive of it."""

    name: str
    channels: int
    bound: float
    places: int = 0
    top: float = 0

    def __post_init__(self) -> None:
        assert self.bound * 2**self.places < 2**BITS, f"{self.name} might be rounded"


class Net:
    """Collects nodes and weights; each method adds a layer and returns its value.

    Args:
        seed: Seed of everything random.
        density: Share of units to plant dead.
    """

    def __init__(self, seed: int, density: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.density = density
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}
        self.planted: dict[str, tuple[int, ...]] = {}

    def op(
        self, text: str, *inputs: Value | str, channels: int, bound: float, places: int = 0, top: float = 0
    ) -> Value:
        """A node written as ``Op<attributes>``."""
        name = f"v{len(self.lines)}"
        names = ", ".join(one if isinstance(one, str) else one.name for one in inputs)
        self.lines.append(f"{name} = {text} ({names})")
        return Value(name, channels, bound, places, top or bound)

    def like(self, text: str, value: Value, *inputs: Value | str) -> Value:
        """A node that changes neither channels nor bound."""
        return self.op(
            text, value, *inputs, channels=value.channels, bound=value.bound, places=value.places, top=value.top
        )

    def sums(self, text: str, *inputs: Value | str, channels: int, reach: float, places: int = 0) -> Value:
        """A node that ends in a bias: at most ``reach`` and 3, but far below zero where a unit is dead."""
        low = max((-float(self.weights[one].min()) for one in inputs if isinstance(one, str)), default=0)
        return self.op(text, *inputs, channels=channels, bound=reach + max(low, 3), places=places, top=reach + 3)

    def weight(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = array
        return name

    def some(self, units: int) -> tuple[int, ...]:
        """Units to plant dead."""
        return tuple(np.flatnonzero(self.rng.random(units) < self.density).tolist())

    def matrix(self, outputs: int, inputs: int) -> np.ndarray:
        """Rows of a few ones of either sign, so that every unit has readers but sums stay small."""
        rows = np.zeros((outputs, inputs), np.float32)
        for row in rows:
            places = self.rng.choice(inputs, min(FAN_IN, inputs), replace=False)
            row[places] = self.rng.choice([-1, 1, 1], len(places))
        return rows

    def bias(self, units: int, dead: Sequence[int], reach: float) -> np.ndarray:
        """Small and positive; where a unit shall be dead, below anything that can reach it."""
        bias = self.rng.integers(0, 4, units).astype(np.float32)
        bias[list(dead)] = -(2 ** np.ceil(np.log2(reach + 4)))
        return bias

    def conv(
        self, x: Value, outputs: int, kernel: int = 1, *, stride: int = 1, group: int = 1, dead: Sequence[int] = ()
    ) -> Value:
        """A convolution that keeps the image's size but for the stride."""
        each = x.channels // group
        w = self.matrix(outputs, each * kernel**2).reshape(outputs, each, kernel, kernel)
        reach = x.bound * min(FAN_IN, each * kernel**2)
        bias = self.weight(self.bias(outputs, dead, reach))
        pads = [kernel // 2] * 4
        text = f"Conv<group = {group}, pads = {pads}, strides = [{stride}, {stride}]>"
        return self.sums(text, x, self.weight(w), bias, channels=outputs, reach=reach, places=x.places)

    def gemm(self, x: Value, outputs: int, *, dead: Sequence[int] = ()) -> Value:
        """A Gemm, its weights either way around."""
        across = int(self.rng.integers(2))
        w = self.matrix(outputs, x.channels)
        reach = x.bound * min(FAN_IN, x.channels)
        weights = self.weight(w if across else w.T.copy()), self.weight(self.bias(outputs, dead, reach))
        return self.sums(f"Gemm<transB = {across}>", x, *weights, channels=outputs, reach=reach, places=x.places)

    def linear(self, x: Value, outputs: int, *, dead: Sequence[int] = ()) -> Value:
        """MatMul and Add on the last axis."""
        reach = x.bound * min(FAN_IN, x.channels)
        w = self.weight(self.matrix(outputs, x.channels).T.copy())
        product = self.op("MatMul", x, w, channels=outputs, bound=reach, places=x.places)
        bias = self.weight(self.bias(outputs, dead, reach))
        return self.sums("Add", product, bias, channels=outputs, reach=reach, places=x.places)

    def norm(self, x: Value, dead: Sequence[int] = ()) -> Value:
        """Batch normalisation whose variance and epsilon add up to 1 or 4."""
        scale = self.rng.choice([1.0, 2.0], x.channels).astype(np.float32)
        variance = np.where(scale == 2, self.rng.choice([0.75, 3.75], x.channels), 0.75).astype(np.float32)
        mean = self.rng.integers(-1, 2, x.channels).astype(np.float32)
        reach = 2 * (x.bound + 1)
        params = [self.weight(one) for one in (scale, self.bias(x.channels, dead, reach), mean, variance)]
        text = "BatchNormalization<epsilon = 0.25>"
        return self.sums(text, x, *params, channels=x.channels, reach=reach, places=x.places)

    def relu(self, x: Value, dead: Sequence[int] = ()) -> Value:
        """A rectifier, whose units ``dead`` are dead; it clips where sums would grow too large."""
        if x.top > ROOM:
            bounds = self.weight(np.array(0, np.float32)), self.weight(np.array(CEILING, np.float32))
            out = self.op("Clip", x, *bounds, channels=x.channels, bound=CEILING, places=x.places)
        else:
            out = self.op("Relu", x, channels=x.channels, bound=x.top, places=x.places)
        self.planted[out.name] = tuple(dead)
        return out

    def conv_relu(self, x: Value, outputs: int, kernel: int = 1, **options: int) -> Value:
        """A convolution and a rectifier with units planted dead."""
        dead = self.some(outputs)
        return self.relu(self.conv(x, outputs, kernel, dead=dead, **options), dead)

    def conv_norm_relu(self, x: Value, outputs: int, kernel: int = 1, **options: int) -> Value:
        dead = self.some(outputs)
        return self.relu(self.norm(self.conv(x, outputs, kernel, **options), dead), dead)

    def add(self, a: Value, b: Value) -> Value:
        return self.op("Add", a, b, channels=a.channels, bound=a.bound + b.bound, places=max(a.places, b.places))

    def concat(self, *parts: Value) -> Value:
        bound, places = max(one.bound for one in parts), max(one.places for one in parts)
        return self.op("Concat<axis = 1>", *parts, channels=sum(x.channels for x in parts), bound=bound, places=places)

    def reshape(self, x: Value, *target: int, channels: int) -> Value:
        """Whatever the target, ``channels`` is what the next layer sees."""
        shape = self.weight(np.array(target, np.int64))
        return self.op("Reshape", x, shape, channels=channels, bound=x.bound, places=x.places)

    def clip(self, x: Value) -> Value:
        """Bounds a stream; a dead zero stays one, and negative values live."""
        bounds = self.weight(np.array(-CALM, np.float32)), self.weight(np.array(CALM, np.float32))
        return self.op("Clip", x, *bounds, channels=x.channels, bound=CALM, places=x.places)

    def model(self, inputs: str, output: Value, shape: str) -> onnx.ModelProto:
        self.lines.append(f"y = Identity ({output.name})")
        return graph(inputs, f"float[{shape}] y", "\n".join(self.lines), self.weights)
