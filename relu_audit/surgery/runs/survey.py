"""What is known of a graph before anything is reasoned: sizes, numbers of constants, results of shape arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import onnx_ir as ir

from relu_audit.activations.nonzero import never_zero
from relu_audit.activations.spelt import Functions
from relu_audit.model.kinds import has_schema, is_tensor
from relu_audit.model.scopes import bodies, walk
from relu_audit.network.normalize import SHAPE_ELEMENTS, Network, sizes
from relu_audit.operators.axes import AxisRule
from relu_audit.operators.moves import Operation
from relu_audit.surgery.operators.atoms import Atoms
from relu_audit.surgery.operators.laws import Law, law
from relu_audit.surgery.runs.probe_runs import ProbeRuns
from relu_audit.surgery.runs.ranges import extrema
from relu_audit.surgery.runs.routes import Traces

PRIMES = (2, 3, 5, 7, 11, 13)
"""Lengths given to open axes: no product of others, so that no regrouping fits by accident."""


@dataclass(frozen=True)
class Survey:
    """A graph, and what real runs of it have shown.

    Attributes:
        network: The graph.
        probe_runs: The held model, to be asked for numbers.
        atoms: Every entry along every axis of a known size.
        shapes: The shape of values in the probe run; of values in bodies, as far as the file tells.
        measured: Values that depend on shapes and constants only, and at least on one shape.
        numbers: Numbers of constants, and of small measured values.
        others: Shapes in a run in which open sizes differ.
        varying: Small measured values that hold other numbers then.
        staying: Values that stay even if nobody reads them.
        levels: What :meth:`level` has found.
        traces: Where nodes were found to move things.
    """

    network: Network
    probe_runs: ProbeRuns
    atoms: Atoms
    shapes: Mapping[ir.Value, tuple[int, ...]]
    measured: frozenset[ir.Value]
    numbers: Mapping[ir.Value, np.ndarray]
    others: Mapping[ir.Value, tuple[int, ...]] = field(default_factory=dict["ir.Value", "tuple[int, ...]"])
    varying: frozenset[ir.Value] = frozenset()
    staying: tuple[ir.Value, ...] = ()
    levels: dict[tuple[ir.Value, int], np.ndarray] = field(default_factory=dict["tuple[ir.Value, int]", "np.ndarray"])
    traces: Traces = field(default_factory=Traces)

    @cached_property
    def functions(self) -> Functions:
        """What the nodes of the graph make."""
        return Functions(self.network)

    @property
    def opset(self) -> int:
        """The version of the operator set of ONNX."""
        return self.network.opsets.get("", 1)

    def row(self, node: ir.Node) -> AxisRule | None:
        """The node's row of the axis table."""
        opsets = self.network.opsets
        return self.network.rules(node.domain, node.op_type, opsets.get(node.domain, opsets.get("", 0)))

    def law(self, node: ir.Node) -> Law | None:
        """The node's law."""
        return law(node.domain, node.op_type, self.network.opsets.get("", 0))

    def operation(self, node: ir.Node) -> Operation:
        """A node, to read its attributes and small constants."""
        small = tuple(self.network.constant(value) for value in node.inputs)
        return Operation(node=node, inputs=(), constants=small, shapes=())

    def absorbing(self, node: ir.Node) -> range:
        """The operands whose zeros win over all others."""
        rule = self.law(node)
        if rule is None or (rule.divisor is not None and not never_zero(self.functions, node.inputs[rule.divisor])):
            return range(0)
        return rule.absorbs

    def zero(self, node: ir.Node, operand: int) -> float:
        """What stands for zero in an operand: zero, or the code that does. NaN where that is not known."""
        rule = self.law(node)
        index = None if rule is None else rule.zero_points.get(operand)
        value = node.inputs[index] if index is not None and index < len(node.inputs) else None
        if value is None:
            return 0.0
        point = self.constant(value)
        return float(point.ravel()[0]) if point is not None and point.size == 1 else float("nan")

    def likely(self, value: ir.Value | None, *, ones: bool = False) -> tuple[int, ...] | None:
        """The value's shape in a run; in a body, one it may have: open sizes are primes, or ones where asked for."""
        if value is None or value in self.shapes:
            return None if value is None else self.shapes[value]
        known = self.atoms.shape(value)
        if known is None or len(known) > len(PRIMES):
            return None
        return tuple((1 if ones else PRIMES[axis]) if size is None else size for axis, size in enumerate(known))

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """The numbers of a constant, however large; None for anything else."""
        if value is None:
            return None
        if value.const_value is not None and not _overridable(value):
            return value.const_value.numpy()
        found = self.numbers.get(value)
        return None if value in self.measured else found

    def level(self, value: ir.Value, axis: int) -> np.ndarray | None:
        """The one number of every entry of a constant along an axis, NaN for one of several; None without numbers."""
        numbers = self.constant(value)
        if numbers is None or numbers.dtype.kind not in "biuf":
            return None
        if (value, axis) not in self.levels:
            low, high = extrema(numbers, axis)
            self.levels[value, axis] = np.where(low == high, low, np.nan)
        return self.levels[value, axis]

    def steady(self, value: ir.Value | None) -> np.ndarray | None:
        """The numbers of a small value that no input decides; they may depend on sizes."""
        if value is None:
            return None
        found = self.numbers.get(value)
        return self.constant(value) if found is None else found


def _overridable(value: ir.Value) -> bool:
    """Whether the caller may feed another value than the file's (IR 3 lists initializers as inputs)."""
    return value.is_graph_input()


def measurable(network: Network) -> list[str]:
    """Names of the values of the main graph that have a size."""
    model = network.model
    return [value.name or "" for node in model.graph for value in node.outputs if _has_size(model, node, value)]


def take_survey(network: Network, probe_runs: ProbeRuns, before: Survey | None = None) -> Survey:
    """Find sizes and numbers.

    Args:
        network: The graph.
        probe_runs: The held model with the same names, which was asked for the sizes of all that is measurable.
        before: What was found when the graph had fewer nodes, and every other value was what it is.

    Raises:
        RunError: The model does not run.
    """
    graph = network.model.graph
    nodes = [step.node for step in walk(graph)]
    measured, constants = _classes(network, nodes)
    first, others = probe_runs.shown[0], probe_runs.others
    other, second = (None, None) if others is None else others
    inputs = set(graph.inputs)
    known: dict[ir.Value, tuple[int | None, ...]] = {}
    shapes: dict[ir.Value, tuple[int, ...]] = {}
    for value in _all_values(network):
        name = value.name or ""
        if value.const_value is not None:
            known[value] = shapes[value] = tuple(int(i) for i in value.const_value.shape.numpy())
        elif value in inputs and name in probe_runs.feeds:
            shapes[value] = probe_runs.feeds[name].shape
            known[value] = tuple(size if isinstance(size, int) else None for size in sizes(value) or shapes[value])
        elif name in first and value.graph is graph:
            shapes[value] = first[name]
            known[value] = _agreed(sizes(value), first[name], None if second is None else second.get(name))
        else:
            inferred = sizes(value)
            if inferred is not None:
                known[value] = tuple(size if isinstance(size, int) else None for size in inferred)
                if all(isinstance(size, int) for size in inferred):
                    shapes[value] = tuple(size for size in inferred if isinstance(size, int))
    seen: Mapping[ir.Value, np.ndarray] = {} if before is None else before.numbers
    numbers = _numbers(network, probe_runs, [v for v in (*measured, *constants) if v not in seen], constants, shapes)
    varying = _varying(probe_runs, {value: numbers[value] for value in measured if value in numbers})
    elsewhere = {v: second[v.name or ""] for node in graph for v in node.outputs if second and v.name in second}
    elsewhere.update({value: other[value.name or ""].shape for value in inputs if other and value.name in other})
    probe_runs.close()
    survey = Survey(network, probe_runs, Atoms(known), shapes, frozenset(measured), numbers, elsewhere, varying)
    if before is None:
        return survey
    return replace(
        survey,
        numbers={**before.numbers, **numbers},
        varying=varying | before.varying,
        levels=before.levels,
        traces=before.traces,
    )


def _varying(probe_runs: ProbeRuns, numbers: Mapping[ir.Value, np.ndarray]) -> frozenset[ir.Value]:
    """Values whose numbers are others where the open sizes are."""
    named = {value.name or "": value for value in numbers if value.name and value.const_value is None}
    found: set[ir.Value] = set()
    for feeds in probe_runs.further:
        for name, array in probe_runs.numbers(dict.fromkeys(named, 8), feeds):
            if not np.array_equal(array, numbers[named[name]]):
                found.add(named[name])
    return frozenset(found)


def _agreed(
    inferred: tuple[int | str | None, ...] | None, first: tuple[int, ...], second: tuple[int, ...] | None
) -> tuple[int | None, ...]:
    """Sizes that are fixed: inferred as such and seen so, or unknown and the same whatever the open sizes are."""
    if inferred is None or len(inferred) != len(first):
        inferred = (None,) * len(first)
    again: tuple[int | None, ...] = second if second is not None else (None,) * len(first)
    return tuple(
        a if a == i or (not isinstance(i, int) and a == b) else None
        for i, a, b in zip(inferred, first, again, strict=False)
    )


def _has_size(model: ir.Model, node: ir.Node, value: ir.Value) -> bool:
    if not value.name or not is_tensor(value):
        return False
    known = has_schema(model, node) or law(node.domain, node.op_type, 99) is not None
    return known or isinstance(value.type, ir.TensorType)


def _all_values(network: Network) -> list[ir.Value]:
    found: dict[ir.Value, None] = {}
    for graph in network.model.graphs():
        found.update(dict.fromkeys((*graph.inputs, *graph.initializers.values())))
        for node in graph:
            found.update(dict.fromkeys(value for value in node.outputs if value.name))
    return list(found)


def _classes(network: Network, nodes: list[ir.Node]) -> tuple[set[ir.Value], set[ir.Value]]:
    """Values measured off shapes, and values computed from constants alone."""
    measured: set[ir.Value] = set()
    written = {value for graph in network.model.graphs() for value in graph.initializers.values()}
    constants = {value for value in (*network.weights, *written) if not _overridable(value)}
    for node in nodes:
        rule = law(node.domain, node.op_type, network.opsets.get("", 0))
        inputs = [value for value in node.inputs if value is not None]
        if bodies(node) or not inputs:
            continue
        if (rule is not None and rule.measures is not None) or (
            all(value in measured or value in constants for value in inputs)
            and any(value in measured for value in inputs)
        ):
            measured.update(node.outputs)
        elif any(value not in constants for value in inputs):
            constants.difference_update(node.outputs)
    return measured, constants


def _numbers(
    network: Network,
    probe_runs: ProbeRuns,
    asked: Iterable[ir.Value],
    constants: set[ir.Value],
    shapes: Mapping[ir.Value, tuple[int, ...]],
) -> dict[ir.Value, np.ndarray]:
    graph = network.model.graph
    found: dict[ir.Value, np.ndarray] = {}
    wanted: dict[str, ir.Value] = {}
    for value in asked:
        if value.const_value is not None or not is_tensor(value):
            continue
        node = value.producer()
        if node is not None and not node.inputs and "value" in node.attributes:
            found[value] = node.attributes["value"].as_tensor().numpy()
            continue
        size = int(np.prod(shapes.get(value, (SHAPE_ELEMENTS + 1,))))
        small = value in constants or (size <= SHAPE_ELEMENTS and value.dtype in (ir.DataType.INT64, ir.DataType.INT32))
        if node is not None and node.graph is graph and value.name and small:
            wanted[value.name] = value
    by_name = {name: 8 * int(np.prod(shapes.get(value, (1,)))) for name, value in wanted.items()}
    found.update({wanted[name]: array for name, array in probe_runs.numbers(by_name)})
    return found
