"""What the small pruning patterns are made of: whole-number weights, units planted dead, data, a register."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto

from tests.graphs import graph

FLOOR = -(2**14)
"""A bias that no input of a pattern overcomes."""

DEAD = (1, 4, 6)
"""The units of eight that are planted dead, unless a pattern says otherwise."""

SAMPLES = 24
X = "float[n, 2, 8, 8] x"
STEM = "h = Conv<pads = [1, 1, 1, 1]> (x, w0, b0)\n r = Relu (h)\n"
Weights = dict[str, np.ndarray]


class Numbers:
    """Seeded whole numbers, so small that no sum of a pattern is rounded in float32."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def weights(self, *shape: int) -> np.ndarray:
        """Whole numbers of -2 to 2, none of them zero."""
        return self.rng.choice([-2, -1, 1, 2], shape).astype(np.float32)

    def bias(self, units: int = 8, dead: Sequence[int] = ()) -> np.ndarray:
        """Positive whole numbers, and the floor where a unit shall be dead."""
        bias = self.rng.integers(1, 4, units).astype(np.float32)
        bias[list(dead)] = FLOOR
        return bias

    def layer(self, index: int, *shape: int, dead: Sequence[int] = ()) -> Weights:
        """Weights ``w{index}`` of a shape, outputs first, and bias ``b{index}``."""
        return {f"w{index}": self.weights(*shape), f"b{index}": self.bias(shape[0], dead)}

    def stem(self, dead: Sequence[int] = DEAD) -> Weights:
        """Weights of ``STEM``: two channels to eight."""
        return self.layer(0, 8, 2, 3, 3, dead=dead)

    def norm(self, units: int = 8, dead: Sequence[int] = (), shift: Sequence[int] = (2, 4, 8)) -> Weights:
        """Normalisation ``s, t, m, v`` for an epsilon of 0.25: every root is exact, and zero becomes 1 or more."""
        shifts = self.rng.choice(shift, units).astype(np.float32)
        shifts[list(dead)] = FLOOR
        return {
            "s": self.rng.choice([1, 2], units).astype(np.float32),
            "t": shifts,
            "m": self.rng.choice([-1, 0], units).astype(np.float32),
            "v": self.rng.choice([0.75, 3.75], units).astype(np.float32),
        }


NORM = "BatchNormalization<epsilon = 0.25>"
Build = Callable[[Numbers], onnx.ModelProto]


@dataclass(frozen=True)
class Pattern:
    """A small model, which of its units are dead, and what pruning must make of them.

    Attributes:
        build: Makes the model.
        dead: The dead units by rectified tensor.
        removed: How many of them must go without alignment, at least.
        also: Units that are not dead and must go too, by rectified tensor.
        kept: Reasons that the others may have; empty for any.
        shapes: Shapes of initializers afterwards, where that is the point.
        exact: Whether every sum is exact, so that results are equal bit by bit.
        feed: Inputs that are not made up.
    """

    build: Build
    dead: Mapping[str, tuple[int, ...]]
    removed: int
    also: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    exact: bool = True
    feed: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.build.__name__

    @property
    def planted(self) -> int:
        """Number of dead units."""
        return sum(map(len, self.dead.values()))

    @property
    def model(self) -> onnx.ModelProto:
        return self.build(Numbers(zlib.crc32(self.name.encode())))

    def data(self, seed: int) -> dict[str, np.ndarray]:
        """Whole numbers for every input; with any seed but zero only scalars are not made up, with two flags turn."""
        rng = np.random.default_rng(seed)
        feed = {name: np.asarray(array) for name, array in self.feed.items() if seed == 0 or array.ndim == 0}
        turned = {name: np.asarray(~array) for name, array in feed.items() if seed == 2 and array.dtype == bool}
        return {one.name: _made_up(one, rng) for one in self.model.graph.input if one.name not in feed} | feed | turned


PATTERNS: dict[str, Pattern] = {}


def pattern(
    dead: Mapping[str, tuple[int, ...]] | None = None,
    *,
    removed: int | None = None,
    kept: Sequence[str] = (),
    **options: object,
) -> Callable[[Build], Build]:
    """Register a pattern; by default the units ``DEAD`` of ``r`` are dead and all go."""
    planted = {"r": DEAD} if dead is None else dead

    def register(build: Build) -> Build:
        count = sum(map(len, planted.values())) if removed is None else removed
        PATTERNS[build.__name__] = Pattern(build, planted, count, kept=frozenset(kept), **options)  # type: ignore[arg-type]
        return build

    return register


def after_stem(some: Numbers, outputs: str, body: str, **weights: np.ndarray) -> onnx.ModelProto:
    """A convolution to eight channels, its rectifier ``r`` [n, 8, 8, 8], and what follows."""
    return graph(X, outputs, STEM + body, some.stem() | weights)


def whole(*numbers: int) -> np.ndarray:
    """An int64 constant."""
    return np.array(numbers, np.int64)


def _made_up(value: onnx.ValueInfoProto, rng: np.random.Generator) -> np.ndarray:
    tensor = value.type.tensor_type
    first, *rest = (dim.dim_value for dim in tensor.shape.dim)
    dtype = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}[tensor.elem_type]
    return rng.integers(-4, 5, [first if first > 1 else SAMPLES, *(size or 6 for size in rest)]).astype(dtype)
