"""Where the entries of an operand go, for operators that only move data: found by running them on indices.

An operand is filled with the index that each element has along one axis, the node is run by itself, and the result
read: no rule for transposes, slices, gathers or shuffles is needed, and none can be wrong. Running it a second time
with all indices shifted tells what came from the operand and what the operator filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import onnx_ir as ir

from relu_audit.errors import RunError
from relu_audit.observe.session import Engine, Session
from relu_audit.surgery.operators.atoms import Ints
from relu_audit.surgery.operators.patches import Route

SHIFT = 1 << 20
"""Offset that no index reaches; sums of the two are exact in float32."""


@dataclass(frozen=True)
class Moved:
    """What one node moves.

    Attributes:
        routes: How every axis of an operand shows along every axis of a result that depends on it.
        blended: Axes of operands whose entries come out mixed, as when an image is resampled.
        shown: For each axis of an operand and each result, which of its entries come out there at all.
    """

    routes: tuple[Route, ...]
    blended: frozenset[tuple[int, int]]
    shown: Mapping[tuple[int, int, int], Ints]

    def stray(self, operand: int, axis: int, count: int) -> Ints:
        """Entries of an operand that come out in a result along no axis of it, as one that is picked alone."""
        routed = {r.output for r in self.routes if (r.operand, r.axis) == (operand, axis)}
        found = {output: chosen for (o, a, output), chosen in self.shown.items() if (o, a) == (operand, axis)}
        if not found:
            return np.arange(count)
        apart = [chosen for output, chosen in found.items() if output not in routed]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *apart]))

    def unmade(self, output: int, axis: int, count: int) -> Ints:
        """Entries of a result that come from no entry of an operand."""
        made = [r.target for r in self.routes if (r.output, r.output_axis) == (output, axis)]
        return np.setdiff1d(np.arange(count), np.concatenate([np.zeros(0, np.int64), *made]))


@dataclass(frozen=True)
class Alone:
    """A node to be run by itself.

    Attributes:
        node: The node; it is not changed.
        shapes: Sizes of the operands that hold data, by number.
        given: Numbers of all other operands.
        opsets: Operator-set versions of the model.
        engine: What runs the node.
        like: Operator of ONNX to run in its place, on the operands that hold data alone.
    """

    node: ir.Node
    shapes: Mapping[int, tuple[int, ...]]
    given: Mapping[int, np.ndarray]
    opsets: Mapping[str, int]
    engine: Engine
    like: str = ""

    @property
    def kind(self) -> tuple[object, ...]:
        """Alike for nodes that do alike, in one model and on one engine."""
        return (
            (self.node.domain, self.node.op_type, len(self.node.outputs)),
            *(ir.to_proto(attribute).SerializeToString() for attribute in self.node.attributes.values()),
            *sorted(self.shapes.items()),
            *((i, array.dtype, array.shape, array.tobytes()) for i, array in sorted(self.given.items())),
        )


@dataclass(frozen=True)
class Traces:
    """What was found of nodes, so that nodes of one kind are run once, however often a graph is looked at."""

    _found: dict[tuple[object, ...], Moved | None] = field(default_factory=dict["tuple[object, ...]", "Moved | None"])

    def trace(self, alone: Alone) -> Moved | None:
        """As :func:`trace`, for one model and one engine."""
        kind = alone.kind
        if kind not in self._found:
            self._found[kind] = trace(alone)
        return self._found[kind]


def trace(alone: Alone) -> Moved | None:
    """Follow the entries of a node's operands; None if the node does not run by itself."""
    if any(max(shape, default=0) >= SHIFT for shape in alone.shapes.values()):
        return None
    try:
        return _trace(Runner(alone))
    except RunError:
        return None


def trace_chain(
    nodes: Sequence[ir.Node],
    shape: tuple[int, ...],
    given: Sequence[Mapping[int, np.ndarray]],
    opsets: Mapping[str, int],
    engine: Engine,
) -> Moved | None:
    """Follow the entries of the first node's first operand through nodes that each read the one before."""
    if max(shape, default=0) >= SHIFT:
        return None
    try:
        runners: list[Runner] = []
        passed = np.zeros(shape, np.float32)
        for node, numbers in zip(nodes, given, strict=True):
            runners.append(Runner(Alone(node, {0: passed.shape}, numbers, opsets, engine)))
            passed = runners[-1].run(0, passed)[0]
        return _trace(_Chain(runners))
    except RunError:
        return None


class _Traced(Protocol):
    """Something that takes arrays of given shapes and moves their entries."""

    @property
    def shapes(self) -> Mapping[int, tuple[int, ...]]:
        """Sizes of the operands, by number."""
        ...

    def run(self, operand: int, filled: np.ndarray) -> list[np.ndarray]:
        """The results for one operand's numbers; the other operands are zero."""
        ...


@dataclass(frozen=True)
class _Chain:
    runners: Sequence[Runner]

    @property
    def shapes(self) -> Mapping[int, tuple[int, ...]]:
        return self.runners[0].shapes

    def run(self, operand: int, filled: np.ndarray) -> list[np.ndarray]:
        for runner in self.runners:
            filled = runner.run(operand, filled)[0]
        return [filled]


def _trace(runner: _Traced) -> Moved:
    routes: list[Route] = []
    blended: set[tuple[int, int]] = set()
    shown: dict[tuple[int, int, int], Ints] = {}
    for operand, shape in runner.shapes.items():
        for axis, size in enumerate(shape):
            if size > 1:
                found = _along(runner, operand, axis)
                if found is None:
                    blended.add((operand, axis))
                else:
                    routes += found[0]
                    shown.update({(operand, axis, output): chosen for output, chosen in enumerate(found[1])})
    return Moved(tuple(routes), frozenset(blended), shown)


class Runner:
    """A model of one node, whose data operands are float32."""

    def __init__(self, alone: Alone) -> None:
        self.shapes = alone.shapes
        node, shapes, given = alone.node, alone.shapes, alone.given
        values: list[ir.Value | None] = []
        for index, value in enumerate(node.inputs):
            if value is None or not (index in shapes or index in given):
                values.append(None)
            elif index in shapes:
                float32 = ir.TensorType(ir.DataType.FLOAT)
                values.append(ir.Value(name=f"operand{index}", shape=ir.Shape(shapes[index]), type=float32))
            else:
                tensor = ir.Tensor(given[index], name=f"operand{index}")
                values.append(
                    ir.Value(
                        name=f"operand{index}",
                        shape=ir.Shape(given[index].shape),
                        type=ir.TensorType(tensor.dtype),
                        const_value=tensor,
                    )
                )
        outputs = [ir.Value(name=f"result{i}") for i in range(len(node.outputs))]
        domain, op = ("", alone.like) if alone.like else (node.domain, node.op_type)
        taken = [v for v in values if v is not None] if alone.like else values
        copy = ir.Node(domain, op, taken, node.attributes.values(), outputs=outputs)
        graph = ir.Graph(
            [v for i, v in enumerate(values) if v is not None and i in shapes],
            outputs,
            nodes=[copy],
            initializers=[v for i, v in enumerate(values) if v is not None and i in given],
            opset_imports=dict(alone.opsets),
            name="one_node",
        )
        self._names = [f"result{i}" for i in range(len(outputs))]
        self._session = Session(ir.Model(graph, ir_version=8), None, alone.engine, optimize=False)

    def run(self, operand: int, filled: np.ndarray) -> list[np.ndarray]:
        """The results for one operand's numbers; the other data operands are zero."""
        feeds = {
            f"operand{i}": filled if i == operand else np.zeros(shape, np.float32) for i, shape in self.shapes.items()
        }
        found = self._session.run(feeds, self._names)
        return [found[name] for name in self._names]


def _along(runner: _Traced, operand: int, axis: int) -> tuple[list[Route], list[Ints]] | None:
    """The routes of one axis and which of its entries show in each result; None if they come out mixed."""
    shape = runner.shapes[operand]
    lined = np.arange(shape[axis], dtype=np.float32).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    indices = np.ascontiguousarray(np.broadcast_to(lined, shape))
    plain, shifted = runner.run(operand, indices), runner.run(operand, indices + SHIFT)
    routes: list[Route] = []
    used: list[Ints] = []
    for output, (low, high) in enumerate(map(_condensed, plain, shifted)):
        came = high - low > SHIFT / 2
        whole = np.rint(low)
        if not np.allclose(high[came] - low[came], SHIFT, atol=0.5) or not np.allclose(
            whole[came], low[came], atol=1e-3
        ):
            return None
        source = whole.astype(np.int64)
        for output_axis, size in enumerate(low.shape):
            if size > 1:
                found = _route(operand, axis, output, output_axis, source, came)
                routes += [] if found is None else [found]
        used.append(np.unique(source[came]))
    return routes, used


def _condensed(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays with one entry for every axis along which neither changes: there each index shows at each."""
    for axis in range(low.ndim):
        first = [slice(0, 1) if i == axis else slice(None) for i in range(low.ndim)]
        second = [slice(1, 2) if i == axis else slice(None) for i in range(low.ndim)]
        # Two entries tell of most axes along which there is change; the whole is looked at where they do not.
        if all(
            np.array_equal(one[tuple(first)], one[tuple(second)]) and bool((one == one[tuple(first)]).all())
            for one in (low, high)
            if low.shape[axis] > 1
        ):
            low, high = low[tuple(first)], high[tuple(first)]
    return low, high


def _route(
    operand: int, axis: int, output: int, output_axis: int, source: np.ndarray, came: np.ndarray
) -> Route | None:
    """Which index along the operand's axis shows at which index along the result's; None if each shows at each."""
    length = source.shape[output_axis]
    sides = [-1 if i == output_axis else 1 for i in range(source.ndim)]
    lined = np.arange(length, dtype=np.int64).reshape(sides)
    pairs = np.unique((source * length + lined)[came])
    at, to = pairs // length, pairs % length
    if len(pairs) == len(np.unique(at)) * len(np.unique(to)):
        return None
    return Route(operand, axis, output, output_axis, at, to)
