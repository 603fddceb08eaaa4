"""Operators that multiply their data by a weight, each as groups of matrices: which row of which weight makes what.

One row per operator says where data, weight and bias are; the axis table's signature says the rest in words. A weight
is read as ``[groups, made, read, taps]``, where taps are the places of a kernel, whatever order the file has it in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.network.constants import numbers
from relu_audit.network.normalize import Network, sizes
from relu_audit.operators.moves import Operation

Shape = tuple[int, ...]

ROWS_AT_ONCE = 1 << 22
"""Elements of a weight that are looked at in one go."""


@dataclass(frozen=True)
class Reading:
    """How one operator's weight is read.

    Attributes:
        canonical: Sizes of ``[groups, made, read, taps]``.
        arrange: Brings the weight into that order.
        read: The axis of the data that is summed over.
        made: The axis of the result that takes its place.
    """

    canonical: tuple[int, int, int, int]
    arrange: Callable[[np.ndarray], np.ndarray]
    read: int
    made: int


@dataclass(frozen=True)
class Form:
    """Where an operator has what.

    Attributes:
        read: How its weight is read, by the number of the operand that the weight is; None if it cannot be there.
        bias: Number of the bias.
        factor: Attribute that multiplies the product.
        bias_factor: Attribute that multiplies the bias.
        borders: Whether places of a kernel may lie beyond the image, where they read zeros.
    """

    read: Callable[[Operation, Shape, int], Reading | None]
    bias: int | None = None
    factor: str = ""
    bias_factor: str = ""
    borders: bool = False


@dataclass(frozen=True)
class Product:
    """A node that multiplies its data by a constant weight.

    Attributes:
        node: The node.
        data: What it reads.
        weight: Its weight.
        bias: What it adds, if it adds something itself.
        reading: How the weight is read.
        factor: What the product is multiplied by.
        bias_factor: What the bias is multiplied by.
        padded: Whether some results miss places of the kernel.
    """

    node: ir.Node
    data: ir.Value
    weight: ir.Value
    bias: ir.Value | None
    reading: Reading
    factor: float
    bias_factor: float
    padded: bool

    @property
    def rows(self) -> int:
        """Entries that it makes along its axis: rows of the weight, of all groups."""
        return self.reading.canonical[0] * self.reading.canonical[1]

    def matrix(self, network: Network) -> np.ndarray | None:
        """The weight as ``[groups, made, read, taps]``, a view of it where possible; None if it cannot be had."""
        found = numbers(network, self.weight)
        if found is None or found.dtype.kind in "biuc":
            return None
        return self.reading.arrange(found)


def product(network: Network, node: ir.Node) -> Product | None:
    """The node as a product of data with a constant weight; None if it is none."""
    form = TABLE.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
    if form is None:
        return None
    first, second = node.inputs[:2]
    if first is None or second is None or (first in network.weights) == (second in network.weights):
        return None
    place = 0 if first in network.weights else 1
    weight, data = (first, second) if place == 0 else (second, first)
    shape = _shape(network, weight)
    if shape is None:
        return None
    reading = form.read(Operation(node, (), (), ()), shape, place)
    rank = sizes(data)
    if reading is None or (rank is not None and not -len(rank) <= min(reading.read, reading.made)):
        return None
    bias = node.inputs[form.bias] if form.bias is not None and form.bias < len(node.inputs) else None
    return Product(
        node=node,
        data=data,
        weight=weight,
        bias=bias,
        reading=reading,
        factor=_number(node, form.factor),
        bias_factor=_number(node, form.bias_factor),
        padded=form.borders and _padded(Operation(node, (), (), ())),
    )


def _shape(network: Network, weight: ir.Value) -> Shape | None:
    """A weight's sizes, as declared, or else as they come out."""
    declared = sizes(weight) or (None,)
    known = tuple(size for size in declared if isinstance(size, int))
    if len(known) == len(declared):
        return known
    found = numbers(network, weight)
    return None if found is None else found.shape


def rows_of(matrix: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
    """The rows of a weight, a few at a time: the group, which of its rows, and these as ``[rows, read, taps]``."""
    per_row = max(1, math.prod(matrix.shape[2:]))
    step = max(1, ROWS_AT_ONCE // per_row)
    for group in range(matrix.shape[0]):
        for start in range(0, matrix.shape[1], step):
            rows = slice(start, min(start + step, matrix.shape[1]))
            yield group, rows, matrix[group, rows].astype(np.float64)


def _number(node: ir.Node, name: str) -> float:
    return node.attributes[name].as_float() if name in node.attributes else 1.0


def _padded(op: Operation) -> bool:
    """Whether a kernel reaches over a border; every result of a transposed convolution misses some places."""
    automatic = op.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    return op.node.op_type == "ConvTranspose" or automatic or any(op.integers("pads") or ())


def _convolution(op: Operation, shape: Shape, place: int) -> Reading | None:
    """``(g o) c taps``."""
    groups = op.integer("group", 1)
    if place != 1 or len(shape) < 2 or shape[0] % groups:
        return None
    canonical = (groups, shape[0] // groups, shape[1], math.prod(shape[2:]))
    return Reading(canonical, lambda w: w.reshape(canonical), read=1, made=1)


def _transposed_convolution(op: Operation, shape: Shape, place: int) -> Reading | None:
    """``(g c) o taps``."""
    groups = op.integer("group", 1)
    if place != 1 or len(shape) < 2 or shape[0] % groups:
        return None
    stored = (groups, shape[0] // groups, shape[1], math.prod(shape[2:]))
    canonical = (groups, shape[1], shape[0] // groups, stored[3])
    return Reading(canonical, lambda w: w.reshape(stored).swapaxes(1, 2), read=1, made=1)


def _matrix(op: Operation, shape: Shape, place: int) -> Reading | None:
    """``k n`` behind the data and ``m k`` before it, each the other way round where the operator says so."""
    turned = bool(op.integer("transB" if place else "transA", 0))
    data_turned = bool(op.integer("transA" if place else "transB", 0))
    if len(shape) != 2:
        return None
    read = -1 if bool(place) != data_turned else -2
    made = -1 if place else -2
    if bool(place) == turned:
        return Reading((1, *shape, 1), lambda w: w[None, :, :, None], read, made)
    return Reading((1, shape[1], shape[0], 1), lambda w: w.T[None, :, :, None], read, made)


TABLE: Mapping[tuple[str, str], Form] = {
    ("", "Conv"): Form(_convolution, bias=2, borders=True),
    ("", "ConvTranspose"): Form(_transposed_convolution, bias=2, borders=True),
    ("", "Gemm"): Form(_matrix, bias=2, factor="alpha", bias_factor="beta"),
    ("", "MatMul"): Form(_matrix),
    ("com.microsoft", "FusedMatMul"): Form(_matrix, factor="alpha"),
}
