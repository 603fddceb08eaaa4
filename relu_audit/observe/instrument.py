"""Put the reductions of every site into the graph, as named results.

Per site and run, four reductions over the position axes leave [samples, units]: sum, maximum and minimum of the
output, and the number of positive positions; a fifth takes the maximum of the pre-activation. They trail the graph in
reverse order of their sites: onnxruntime walks the results from the last one, so each is computed right after its
rectifier and the activation is freed at once.

Counting. Casting ``y > 0`` to float and summing costs several times a plain sum. Instead the output is clipped to
the smallest positive number of its type: every positive value becomes that number, their sum is exactly the count
times it, and the bits of the sum, read as an integer, are the count. A runtime that flushes such numbers to zero would
make counts contradict maxima, which is checked on every batch; providers other than the CPU get the plain form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from relu_audit.model.lifts import MAXIMUM, MINIMUM, SUM, lift
from relu_audit.model.names import Names
from relu_audit.network.normalize import Network
from relu_audit.observe.probe import Probe
from relu_audit.units.locate import Located, Use
from relu_audit.units.placing import Pattern, Piece


@dataclass(frozen=True)
class Form:
    """How to observe.

    Attributes:
        per_sample: Keep the batch axis wherever a site has one of its own.
        pre_activations: Also take the maximum of every rectifier's input.
        denormals: Count by denormal sums.
    """

    per_sample: bool
    pre_activations: bool
    denormals: bool


@dataclass(frozen=True)
class Observed:
    """A graph whose sites are observed.

    Attributes:
        model: The observed graph.
        fetch: Names of the results to ask for.
        probes: For every site its probes, one per place in the graph.
        units: For every site its number of units, as far as the file tells; 0 where it does not.
    """

    model: ir.Model
    fetch: tuple[str, ...]
    probes: tuple[tuple[Probe, ...], ...]
    units: tuple[int, ...]


def instrument(network: Network, located: Sequence[Located], form: Form) -> Observed:
    """Observe every site. The network's graph gains nodes and results; nothing that was there changes."""
    graph = network.model.graph
    writer = _Writer(network)
    probes: list[tuple[Probe, ...]] = []
    trailing: list[list[ir.Node]] = []
    for one in located:
        # Places of one site that cannot be told apart by sample make the others count per run as well.
        apart = replace(form, per_sample=form.per_sample and all(use.batch_alone for use in one.uses))
        site: list[Probe] = []
        for use in one.uses:
            site.append(_probe(writer, use, apart))
            trailing.append(writer.taken())
        probes.append(tuple(site))
    for nodes in reversed(trailing):
        graph.extend(nodes)
    fetch = tuple(name for site in probes for probe in site for name in probe.names.values())
    graph.outputs.extend(writer.results[name] for name in fetch)
    return Observed(model=network.model, fetch=fetch, probes=tuple(probes), units=tuple(one.units for one in located))


def expose_ranks(network: Network, uses: Sequence[Use]) -> tuple[str, ...]:
    """Add a result for each use with as many entries as its value has axes, all zero if it is not reached."""
    writer = _Writer(network)
    names: list[str] = []
    for use in uses:
        shape = writer.shape_of(use.output)
        _home(use).extend(writer.taken())
        names.append(writer.result(lift(writer, shape, SUM, 1, use.owners)))
    network.model.graph.outputs.extend(writer.results[name] for name in names)
    return tuple(names)


def _probe(writer: _Writer, use: Use, form: Form) -> Probe:
    pattern = use.pattern
    assert pattern is not None  # noqa: S101 - ranks are known before anything is observed
    pieces = [piece for axis in pattern for piece in axis or (Piece("~", 1),)]
    if not use.output.name:  # a result that the file leaves out
        use.output.name = writer.name("output")
    y = writer.as_float(_unfolded(writer, use.tap.read(writer, use.output), pattern))
    x = None
    if use.source is not None:
        x = writer.as_float(_unfolded(writer, use.tap.read_source(writer, use.source), pattern))
    # Without positions the value itself is small; but what leaves a body has to be reduced, so that it can be combined.
    whole = not use.owners and all(piece.role != "~" or piece.size == 1 for piece in pieces)
    probe = Probe(
        names={},
        roles=tuple(piece.role for piece in pieces),
        parts={i: piece.part for i, piece in enumerate(pieces) if piece.role == "u"},
        per_sample=form.per_sample,
        bits=form.denormals and not whole and writer.clips(y),
    )
    if whole:
        made = {"y": writer.copy(y)}
        if x is not None and (form.pre_activations or use.hides_nan):
            made["x"] = writer.copy(x)
    else:
        made = _reductions(writer, y, x, use, form, probe)
    return replace(probe, names={what: writer.result(value) for what, value in made.items()})


def _reductions(
    writer: _Writer, y: ir.Value, x: ir.Value | None, use: Use, form: Form, probe: Probe
) -> dict[str, ir.Value]:
    gone = probe.gone
    fires = writer.clipped(y) if probe.bits else writer.positive(y)
    made = {
        "mass": (SUM, writer.reduce("ReduceSum", y, gone)),
        "peak": (MAXIMUM, writer.reduce("ReduceMax", y, gone)),
        "trough": (MINIMUM, writer.reduce("ReduceMin", y, gone)),
        "fired": (SUM, writer.reduce("ReduceSum", fires, gone)),
        "positions": (SUM, writer.positions(y, gone)),
    }
    if x is not None and form.pre_activations:
        made["pre_peak"] = (MAXIMUM, writer.highest(x, probe))
    if x is not None and use.hides_nan:
        made["pre_mass"] = (SUM, writer.reduce("ReduceSum", x, gone))
    if not use.owners:
        return {what: value for what, (_, value) in made.items()}
    _home(use).extend(writer.taken())
    rank = len(probe.roles) - len(gone)
    return {
        what: lift(writer, value, monoid, 1 if what == "positions" else rank, use.owners)
        for what, (monoid, value) in made.items()
    }


def _home(use: Use) -> ir.Graph:
    producer = use.output.producer()
    assert producer is not None  # noqa: S101 - a rectifier's output has a producer
    assert isinstance(producer.graph, ir.Graph)  # noqa: S101 - functions are inlined
    return producer.graph


def _unfolded(writer: _Writer, value: ir.Value, pattern: Pattern) -> ir.Value:
    """The value with every axis that several pieces share reshaped into an axis for each."""
    if all(len(axis) < 2 for axis in pattern):
        return value
    shape = writer.shape_of(value)
    sizes = [size for i, axis in enumerate(pattern) for size in _lengths(writer, shape, i, axis)]
    target = writer.node("Concat", *sizes, dtype=ir.DataType.INT64, axis=0)
    return writer.node("Reshape", value, target, dtype=value.dtype)


def _lengths(writer: _Writer, shape: ir.Value, index: int, axis: tuple[Piece, ...]) -> list[ir.Value]:
    """The length of each piece of an axis, the unknown one as what the others leave of the whole."""
    whole = writer.span(shape, index, index + 1)
    if len(axis) < 2:
        return [whole]
    known = math.prod(piece.size for piece in axis if isinstance(piece.size, int))
    rest = writer.node("Div", whole, writer.integers([known]), dtype=ir.DataType.INT64)
    return [writer.integers([piece.size]) if isinstance(piece.size, int) else rest for piece in axis]


class _Writer:
    """Makes nodes in the graph's own opset, under names that nothing in the file has."""

    def __init__(self, network: Network) -> None:
        graph = network.model.graph
        network.model.opset_imports.setdefault("", 17)
        self.opset = network.model.opset_imports[""]
        self.graph = graph
        self.results: dict[str, ir.Value] = {}
        self._nodes: list[ir.Node] = []
        self._constants: dict[tuple[object, ...], ir.Value] = {}
        self._prefix = Names(network.model).unused_prefix("relu_audit")
        self._count = 0

    def taken(self) -> list[ir.Node]:
        """The nodes made since the last call."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def node(
        self,
        op: str,
        *inputs: ir.Value | None,
        dtype: ir.DataType | None,
        domain: str = "",
        **attributes: int | list[int] | float | ir.TensorProtocol,
    ) -> ir.Value:
        name = self.name(op)
        output = ir.Value(name=name, type=None if dtype is None else ir.TensorType(dtype))
        node = ir.Node(domain, op, inputs, ir.convenience.convert_attributes(attributes), outputs=[output], name=name)
        self._nodes.append(node)
        return output

    def result(self, value: ir.Value) -> str:
        name = value.name or ""
        self.results[name] = value
        return name

    def copy(self, value: ir.Value) -> ir.Value:
        return self.node("Identity", value, dtype=value.dtype)

    def as_float(self, value: ir.Value) -> ir.Value:
        """float32 and float64 as they are; everything else in float32, which holds it exactly or widely enough."""
        if value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            return value
        return self.node("Cast", value, dtype=ir.DataType.FLOAT, to=int(ir.DataType.FLOAT))

    def reduce(self, op: str, value: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Reduce the axes away; they moved from attribute to input at opset 13 for sums and 18 for the others."""
        if not axes:
            return self.copy(value)
        if self.opset >= (13 if op == "ReduceSum" else 18):
            return self.node(op, value, self.integers(axes), dtype=value.dtype, keepdims=0)
        return self.node(op, value, dtype=value.dtype, axes=list(axes), keepdims=0)

    def highest(self, value: ir.Value, probe: Probe) -> ir.Value:
        """Maximum over the positions.

        Of an image a pooling takes it: onnxruntime runs that in the layout its convolutions use, where a reduction
        would have the whole pre-activation rearranged first.
        """
        image = probe.per_sample and len(probe.roles) == 4 and probe.gone == (2, 3)
        if not image or value.dtype is not ir.DataType.FLOAT:
            return self.reduce("ReduceMax", value, probe.gone)
        pooled = self.node("GlobalMaxPool", value, dtype=value.dtype)
        return self.node("Flatten", pooled, dtype=value.dtype, axis=1)

    def clips(self, value: ir.Value) -> bool:
        """Whether Clip takes the value's type in this opset: float32 always, float64 from opset 12."""
        return value.dtype is ir.DataType.FLOAT or self.opset >= 12

    def clipped(self, value: ir.Value) -> ir.Value:
        dtype = value.dtype or ir.DataType.FLOAT
        least = float(np.finfo(dtype.numpy()).smallest_subnormal)
        if self.opset < 11:
            return self.node("Clip", value, dtype=dtype, min=0.0, max=least)
        return self.node("Clip", value, self.number(0.0, dtype), self.number(least, dtype), dtype=dtype)

    def positive(self, value: ir.Value) -> ir.Value:
        dtype = value.dtype or ir.DataType.FLOAT
        more = self.node("Greater", value, self.number(0.0, dtype), dtype=ir.DataType.BOOL)
        return self.node("Cast", more, dtype=ir.DataType.DOUBLE, to=int(ir.DataType.DOUBLE))

    def shape_of(self, value: ir.Value) -> ir.Value:
        return self.node("Shape", value, dtype=ir.DataType.INT64)

    def positions(self, value: ir.Value, axes: Sequence[int]) -> ir.Value:
        """How many positions the axes hold together: [1]."""
        if not axes:
            return self.copy(self.integers([1]))
        chosen = self.node("Gather", self.shape_of(value), self.integers(axes), dtype=ir.DataType.INT64, axis=0)
        return self.node("ReduceProd", chosen, dtype=ir.DataType.INT64, keepdims=1)

    def filled(self, number: float, dtype: ir.DataType, rank: int) -> ir.Value:
        """A constant with one entry per axis, made by a node so that it can stand in any body."""
        tensor = ir.Tensor(np.full([1] * rank, number, dtype.numpy()))
        return self.node("Constant", dtype=dtype, value=tensor)

    def span(self, shape: ir.Value, start: int, stop: int) -> ir.Value:
        if self.opset < 10:
            return self.node("Slice", shape, dtype=ir.DataType.INT64, axes=[0], starts=[start], ends=[stop])
        return self.node("Slice", shape, self.integers([start]), self.integers([stop]), dtype=ir.DataType.INT64)

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        return self._constant(np.asarray(numbers, np.int64))

    def number(self, number: float, dtype: ir.DataType) -> ir.Value:
        return self._constant(np.asarray(number, dtype.numpy()))

    def _constant(self, array: np.ndarray) -> ir.Value:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.name("constant")
            tensor = ir.Tensor(array, name=name)
            value = ir.Value(
                name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
            )
            self.graph.register_initializer(value)
            self._constants[key] = value
        return self._constants[key]

    def name(self, what: str) -> str:
        self._count += 1
        return f"{self._prefix}/{self._count}/{what}"
