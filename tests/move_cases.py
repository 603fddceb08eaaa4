"""Operators that only move entries, or leave one between others, each in a small graph: ``x`` to ``y``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import Network, normalize, sizes
from relu_audit.values import condensed
from relu_audit.values.condensed import Blurred, Merge, Moving
from relu_audit.values.spans import meeting
from tests.graphs import graph
from tests.prune_checks import session

IMAGE = (1, 8, 4, 4)
RNG = np.random.default_rng(0)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def scales(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


@dataclass(frozen=True)
class Case:
    """One node.

    Attributes:
        body: It reads ``x``, and ``z`` where there are two, and makes ``y``.
        weights: Its other operands.
        opset: Version of the operator set.
        output: Number of the result that is looked at.
        results: Names of all results.
        blurs: Whether entries cannot be told apart, so that no answer is right.
        two: Whether there is a second operand.
        joins: Whether it makes one of several channels.
        between: Whether entries lie between those of the operand, and are not always one of them.
    """

    body: str
    weights: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    opset: int = 18
    output: int = 0
    results: tuple[str, ...] = ("y",)
    blurs: bool = False
    two: bool = False
    joins: bool = False
    between: bool = False

    def model(self, *operands: str) -> onnx.ModelProto:
        """The node alone."""
        inputs = ", ".join(f"float[{', '.join(map(str, IMAGE))}] {name}" for name in operands)
        made = graph(inputs, ", ".join(f"float {y}" for y in self.results), self.body, self.weights, self.opset)
        for value in made.graph.output:
            value.ClearField("type")
        return made


def merging(op: str, options: str = "", **more: bool) -> Case:
    return Case(f"y = {op} <kernel_shape = [2, 2]{options}> (x)", between=True, **more)


MOVES: Mapping[str, Sequence[Case]] = {
    "Identity": [Case("y = Identity (x)")],
    "Dropout": [Case("y = Dropout (x)")],
    "Cast": [Case("y = Cast <to = 11> (x)"), Case("y = Cast <to = 6> (x)", blurs=True)],
    "CastLike": [
        Case("y = CastLike (x, d)", {"d": np.float64(0)}),
        Case("y = CastLike (x, d)", {"d": np.int32(0)}, blurs=True),
    ],
    "Transpose": [Case("y = Transpose <perm = [0, 2, 3, 1]> (x)"), Case("y = Transpose (x)")],
    "Reshape": [
        Case("y = Reshape (x, s)", {"s": whole(1, 2, 4, 16)}),
        Case("y = Reshape (x, s)", {"s": whole(0, -1, 2, 4)}),
        Case("y = Reshape (x, s)", {"s": whole(1, 16, 8)}),
    ],
    "Flatten": [Case("y = Flatten (x)"), Case("y = Flatten <axis = -1> (x)"), Case("y = Flatten <axis = 0> (x)")],
    "Squeeze": [
        Case("y = Squeeze (x, a)", {"a": whole(0)}),
        Case("y = Squeeze (x)"),
        Case("y = Squeeze <axes = [-4]> (x)", opset=11),
    ],
    "Unsqueeze": [
        Case("y = Unsqueeze (x, a)", {"a": whole(1, 3)}),
        Case("y = Unsqueeze (x, a)", {"a": whole(-1)}),
        Case("y = Unsqueeze <axes = [0, 2]> (x)", opset=11),
    ],
    "Concat": [
        Case("y = Concat <axis = 1> (x, z)", two=True),
        Case("y = Concat <axis = -1> (x, z)", two=True),
    ],
    "Slice": [
        Case("y = Slice (x, b, e, a)", {"b": whole(2), "e": whole(7), "a": whole(1)}),
        Case("y = Slice (x, b, e, a, s)", {"b": whole(-1), "e": whole(-99), "a": whole(1), "s": whole(-3)}),
        Case("y = Slice (x, b, e, a, s)", {"b": whole(9), "e": whole(-(2**31)), "a": whole(1), "s": whole(-1)}),
        Case("y = Slice (x, b, e)", {"b": whole(0, 1), "e": whole(1, -2)}),
        Case("y = Slice <starts = [1, 3], ends = [9, 4], axes = [1, -1]> (x)", opset=9),
    ],
    "Gather": [
        Case("y = Gather <axis = 1> (x, i)", {"i": whole(7, -3, 0, 0)}),
        Case("y = Gather <axis = -1> (x, i)", {"i": np.array([[0, 3], [1, 1]])}),
        Case("y = Gather <axis = 1> (x, i)", {"i": np.int64(5)}),
        Case("y = Gather (x, i)", {"i": whole(0, 0)}),
    ],
    "Split": [
        Case("a, y = Split <axis = 1> (x, p)", {"p": whole(3, 5)}, output=1, results=("a", "y")),
        Case("y, a = Split <axis = 1, num_outputs = 2> (x)", results=("y", "a")),
        Case("a, y = Split <axis = -1, num_outputs = 2> (x)", output=1, results=("a", "y")),
    ],
    "Expand": [
        Case("y = Expand (x, s)", {"s": whole(2, 3, 8, 4, 4)}),
        Case("y = Expand (x, s)", {"s": whole(5, 1, 1, 1)}),
    ],
    "Tile": [Case("y = Tile (x, t)", {"t": whole(1, 2, 3, 1)}), Case("y = Tile (x, t)", {"t": whole(2, 1, 1, 2)})],
    "MaxPool": [merging("MaxPool"), merging("MaxPool", ", pads = [1, 1, 1, 1], strides = [2, 1]")],
    "AveragePool": [merging("AveragePool"), merging("AveragePool", ", pads = [1, 0, 1, 1]")],
    "GlobalMaxPool": [Case("y = GlobalMaxPool (x)", between=True)],
    "GlobalAveragePool": [Case("y = GlobalAveragePool (x)", between=True)],
    "Resize": [
        Case('y = Resize <mode = "nearest"> (x, , s)', {"s": scales(1, 1, 2, 2)}, between=True),
        Case('y = Resize <mode = "linear"> (x, , s)', {"s": scales(1, 1, 1.5, 0.5)}, between=True),
        Case('y = Resize <mode = "cubic"> (x, , s)', {"s": scales(1, 1, 2, 2)}, blurs=True),
        Case('y = Resize <mode = "nearest"> (x, , s)', {"s": scales(1, 2, 1, 1)}, blurs=True, between=True),
        Case('y = Resize <mode = "nearest"> (x, , , s)', {"s": whole(1, 8, 9, 3)}, between=True),
        Case(
            'y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize",'
            " extrapolation_value = 500.0> (x, r, , s)",
            {"r": scales(0, 0, -1, 0, 1, 1, 1, 1), "s": whole(1, 8, 6, 4)},
            between=True,
            joins=True,
        ),
        Case(
            'y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize"> (x, r, , s)',
            {"r": scales(0, 0, -1, 0, 1, 1, 1, 1), "s": whole(1, 8, 6, 4)},
            between=True,
            joins=True,
        ),
    ],
    "Upsample": [
        Case('y = Upsample <mode = "nearest"> (x, s)', {"s": scales(1, 1, 2, 3)}, opset=9, between=True),
        Case('y = Upsample <mode = "nearest"> (x, s)', {"s": scales(1, 2, 1, 1)}, opset=9, blurs=True, between=True),
    ],
    **{
        op: [
            Case(f"y = {op} (x, a)", {"a": whole(2, -1)}, between=True),
            Case(f"y = {op} <keepdims = 0> (x, a)", {"a": whole(1)}, between=True, joins=True),
            Case(f"y = {op} <keepdims = 0> (x)", between=True, joins=True),
            Case(f"y = {op} <noop_with_empty_axes = 1> (x)", between=True),
            Case(f"y = {op} <axes = [3]> (x)", opset=13, between=True),
        ]
        for op in ("ReduceMax", "ReduceMin", "ReduceMean")
    },
}
"""Cases by operator, with whatever an axis may be written as."""


@dataclass(frozen=True)
class Node:
    """The node of a case, ready to be asked, and what it does to arrays when it is run."""

    case: Case
    network: Network
    node: ir.Node

    @staticmethod
    def of(case: Case) -> Node:
        network = normalize(open_checkpoint(case.model(*case_operands(case))))
        return Node(case, network, next(iter(network.model.graph)))

    def run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """What the operator makes of whole arrays."""
        fed = dict(zip(case_operands(self.case), arrays, strict=True))
        return np.asarray(session(self.case.model(*fed), optimised=False).run(None, fed)[self.case.output])

    def moving(self, merge: Merge) -> Moving:
        """The node as rules see it."""
        values = [v for v in self.node.inputs if v is not None and v not in self.network.weights]
        op = meeting(self.network, self.node, ()).op
        return Moving(op, tuple(sizes(value) or () for value in values), merge, self.case.output)


def case_operands(case: Case) -> list[str]:
    return ["x", "z"] if case.two else ["x"]


def condensations() -> Iterator[tuple[int, ...]]:
    """Shapes of arrays of which one entry stands for all along some axes."""
    return product(*((1,) if size == 1 else (size, 1) for size in IMAGE))


def numbered(shape: Sequence[int], first: int) -> np.ndarray:
    """Every entry another number, in no order."""
    count = int(np.prod(shape))
    return (first + np.random.default_rng(first).permutation(count)).reshape(shape).astype(np.float32) + np.float32(
        0.25
    )


def contradicts(case: Case, mover: condensed.Mover) -> str:
    """What a rule says of a case that running it does not bear out; empty where nothing is."""
    node = Node.of(case)
    for shape in condensations():
        arrays = [numbered(shape, 1 + 1000 * i) for i, _ in enumerate(case_operands(case))]
        spread = [np.ascontiguousarray(np.broadcast_to(one, IMAGE)) for one in arrays]
        made = node.run(spread).astype(np.float64)
        for merge in (condensed.alike, condensed.least, condensed.largest):
            try:
                said = np.asarray(mover(node.moving(merge), arrays))
            except Blurred:
                said = None
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            why = _against(case, merge, said, made)
            if why:
                return f"{why}, {merge.__name__} of {shape}"
    return ""


def _against(case: Case, merge: Merge, said: np.ndarray | None, made: np.ndarray) -> str:
    if said is None:
        # Where neighbours differ, none of them stands for all.
        return "" if case.blurs or (case.between and merge is condensed.alike) else "it is not followed"
    if said.ndim != made.ndim or any(a not in (1, b) for a, b in zip(said.shape, made.shape, strict=True)):
        return f"{said.shape} cannot stand for {made.shape}"
    slack = 1e-4 * np.abs(made) if case.between else 0.0
    if merge is not condensed.largest and case.between and merge is not condensed.alike:
        return "" if (said <= made + slack).all() else "less comes out than it says"
    if merge is condensed.largest and case.between:
        return "" if (said >= made - slack).all() else "more comes out than it says"
    return "" if (np.abs(said - made) <= slack).all() else "another entry comes out"
