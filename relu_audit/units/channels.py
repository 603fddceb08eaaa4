"""The engine over the axis table: births at weights, letters forward. It knows no operator by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.model.scopes import bodies, walk
from relu_audit.network.extents import Element, Extent, elements, rank_of
from relu_audit.network.normalize import Network, sizes
from relu_audit.operators.axes import AxisRule
from relu_audit.operators.bodies import Body
from relu_audit.operators.layout import (
    BATCH,
    Axis,
    Factor,
    Kind,
    Layout,
    Length,
    Letter,
    Size,
    Span,
    axis_size,
    merged,
    opaque,
    resized,
)
from relu_audit.operators.moves import Operation
from relu_audit.operators.rules import Rules
from relu_audit.operators.terms import Term, letters_of, matched, terms_of

FIXED_BATCH = "b"
"""The letter of a batch whose place an operator fixes."""


def follow(network: Network, rules: Rules, batch_axes: Mapping[str, int | None]) -> dict[ir.Value, Layout]:
    """The layout of every value whose rank is known, in the main graph and all its bodies.

    Args:
        network: The graph.
        rules: Looks a row up by domain, operator and opset.
        batch_axes: For each graph input the axis that holds samples; None where there is none.
    """
    return followed(network, rules, batch_axes).layouts


def followed(network: Network, rules: Rules, batch_axes: Mapping[str, int | None]) -> Follower:
    """As :func:`follow`, for those who ask further. Every axis of every graph input has a letter of its own."""
    graph = network.model.graph
    layouts: dict[ir.Value, Layout] = {}
    for value in graph.inputs:
        known = sizes(value)
        if known is not None:
            layouts[value] = _own_letters(value.name or "", known, batch_axes.get(value.name or ""))
    follower = Follower(network, rules, {step.node: step.position for step in walk(graph)}, layouts)
    follower.graph(graph)
    return follower


def _own_letters(name: str, known: Sequence[Size], batch_axis: int | None) -> Layout:
    return tuple(
        (Factor(BATCH, size),)
        if axis == batch_axis
        else ()
        if size == 1
        else (Factor(Letter(Kind.POSITION, name, axis), size),)
        for axis, size in enumerate(known)
    )


@dataclass(frozen=True)
class Follower:
    """The axes of a graph's values, and what a row may look at, node by node.

    Attributes:
        network: The graph.
        rules: Looks a row up by domain, operator and opset.
        positions: Number of every node in walking order.
        layouts: The layout of every value, as far as the graph has been followed.
    """

    network: Network
    rules: Rules
    positions: Mapping[ir.Node, int]
    layouts: dict[ir.Value, Layout]

    def graph(self, graph: ir.Graph) -> list[Layout | None]:
        """Follow every node; the layouts of the graph's outputs."""
        for value in graph.initializers.values():
            _label_weight(value, value.name or "", self.layouts)
        for node in graph:
            if not node.inputs and not bodies(node):
                for value in node.outputs:
                    _label_weight(value, self.network.weights.get(value, ""), self.layouts)
                continue
            for value, layout in zip(node.outputs, self._outputs(node), strict=False):
                self._set(value, layout)
        return [self.layouts.get(value) for value in graph.outputs]

    def _set(self, value: ir.Value, layout: Layout | None) -> None:
        if layout is None:
            self.layouts.pop(value, None)
        else:
            self.layouts[value] = layout

    def _outputs(self, node: ir.Node) -> list[Layout | None]:
        row, operation = self.row(node), self.operation(node)
        shapes = operation.shapes
        frozen = [None if shape is None else opaque(shape) for shape in shapes]
        if row is not None and row.body is not None:
            found = self._through_bodies(node, operation, row.body)
        elif row is None:
            for _, body in bodies(node):
                self._enter(body, [None] * len(body.inputs))
            return frozen
        else:
            weights = [None if value is None else self.network.weights.get(value) for value in node.inputs]
            try:
                found = (
                    row.move(operation) if row.move else _by_signature(operation, row, weights, self.positions[node])
                )
            except (LookupError, ValueError, TypeError, ZeroDivisionError):
                # The node's attributes or operands contradict its operator; the runtime will say how.
                self.network.note(f"axes could not be followed through {node.op_type}: its operands do not fit it")
                return frozen
        # A layout whose rank contradicts inference is worth less than none.
        return [
            f if a is None or (f is not None and s is not None and len(a) != len(s)) else a
            for a, f, s in zip([*found, *[None] * len(frozen)], frozen, shapes, strict=False)
        ]

    def row(self, node: ir.Node) -> AxisRule | None:
        """The row of a node's operator at the opset of the graph."""
        return self.rules(node.domain, node.op_type, self.opset(node))

    def opset(self, node: ir.Node) -> int:
        """The opset of a node's domain."""
        opsets = self.network.opsets
        return opsets.get(node.domain, opsets.get("", 0))

    def operation(self, node: ir.Node) -> Operation:
        """What a row may look at, of a node whose operands have been followed."""
        return Operation(
            node=node,
            inputs=tuple(None if value is None else self.layouts.get(value) for value in node.inputs),
            constants=self.network.constants(node.inputs),
            shapes=tuple(sizes(value) for value in node.outputs),
            lists=lambda index: self._lengths(node.inputs[index]),
            opset=self.opset(node),
        )

    def elements(self, value: ir.Value | None) -> tuple[Element, ...] | None:
        """The numbers of a list of sizes, as :func:`relu_audit.network.extents.elements` has them."""
        return elements(self.network, value, self._rank)

    def _rank(self, value: ir.Value) -> int | None:
        layout = self.layouts.get(value)
        return rank_of(value) if layout is None else len(layout)

    def _lengths(self, value: ir.Value | None) -> tuple[Length, ...] | None:
        found = self.elements(value)
        return None if found is None else tuple(self._length(element) for element in found)

    def _length(self, element: Element) -> Length:
        if not isinstance(element, Extent):
            return element
        layout = self.layouts.get(element.value)
        return None if layout is None else Span(layout[element.axis], element.times)

    def _through_bodies(self, node: ir.Node, operation: Operation, body: Body) -> Sequence[Layout | None]:
        """Into the bodies and out again; what comes back from one iteration to the next must keep its layout."""
        entering = body.enters(operation)
        while True:
            leaving = [self._enter(graph, entering) for _, graph in bodies(node)]
            steady = body.returns(operation, entering, leaving)
            if steady == list(entering):
                return body.leaves(operation, leaving)
            entering = steady

    def _enter(self, body: ir.Graph, entering: Sequence[Layout | None]) -> list[Layout | None]:
        for value, layout in zip(body.inputs, entering, strict=False):
            known = sizes(value)
            self._set(value, layout if layout is not None or known is None else opaque(known))
        return self.graph(body)


@dataclass(frozen=True)
class Reading:
    """A weight that contracts an axis of a value."""

    axis: int
    weight: str


def read_at(network: Network, rules: Rules, value: ir.Value, rank: int) -> Reading | None:
    """The axis of a value over which the weights that read it sum; None if none do, or they disagree."""
    axes = tuple((Factor(Letter(Kind.POSITION, order=i), None),) for i in range(rank))
    found: set[tuple[int, str]] = set()
    for node, index in value.uses():
        row = rules(node.domain, node.op_type, network.opsets.get(node.domain, network.opsets.get("", 0)))
        weight = next((network.weights[v] for v in node.inputs if v is not None and v in network.weights), None)
        if row is None or row.move is not None or row.body is not None or weight is None:
            continue
        inputs = tuple(axes if i == index else None for i in range(len(node.inputs)))
        operation = Operation(node=node, inputs=inputs, constants=(None,) * len(inputs), shapes=())
        terms, outputs = terms_of(operation, row)
        others = {letter for i, term in enumerate(terms) if i != index for axis in term for letter in letters_of(axis)}
        leaving = {letter for term in outputs for axis in term for letter in letters_of(axis)}
        for symbol, axis in matched(terms[index], axes) if index < len(terms) else []:
            if others & set(letters_of(symbol)) - leaving:
                found.add((axis[0].letter.order, weight))
    if len({axis for axis, _ in found}) != 1:
        return None
    return Reading(*min(found))


def _by_signature(op: Operation, row: AxisRule, weights: Sequence[str | None], order: int) -> list[Layout | None]:
    terms, outputs = terms_of(op, row)
    # A letter that enters and does not leave is summed over: the operator has weights of its own, and units are born.
    leaving = {letter for term in outputs for axis in term for letter in letters_of(axis)}
    contracts = any(letter not in leaving for term in terms for axis in term for letter in letters_of(axis))
    data: dict[str, list[Axis]] = defaultdict(list)
    births = _Births()
    for term, layout, weight in zip(terms, op.inputs, weights, strict=False):
        for symbol, axis in [] if layout is None else matched(term, layout):
            if weight is None or not contracts or symbol == FIXED_BATCH:
                data[symbol].append(axis)
            else:
                births.add(symbol, weight, axis_size(axis))
    # The rank of a result is that of its operands, unless it is known by itself.
    ranked = all(
        layout is not None or not set(term) & {"~", "*"} for term, layout in zip(terms, op.inputs, strict=False)
    )
    return [
        _output(shape, term, data, births, order, rigid=row.rigid) if ranked or shape is not None else None
        for shape, term in zip(op.shapes, outputs, strict=False)
    ]


class _Births:
    """The letters that an operator's own weights bring, with the weight and the size of the whole axis."""

    def __init__(self) -> None:
        self.weight: dict[str, str] = {}
        self.size: dict[str, Size] = {}

    def add(self, symbol: str, weight: str, size: Size) -> None:
        self.size.setdefault(symbol, size)
        if symbol[0] in "*~" and size == 1:
            return  # a leading axis of one broadcasts: the weight does not vary along it
        for letter in letters_of(symbol):
            self.weight.setdefault(letter, weight)

    def of(self, symbol: str) -> str | None:
        return next((self.weight[letter] for letter in letters_of(symbol) if letter in self.weight), None)


def _output(
    shape: tuple[Size, ...] | None,
    term: Term,
    data: dict[str, list[Axis]],
    births: _Births,
    order: int,
    *,
    rigid: bool,
) -> Layout | None:
    symbols = _expanded(term, {*data, *births.size}, None if shape is None else len(shape))
    if symbols is None or not (data or births.size):
        return None
    axes: list[Axis] = []
    for position, symbol in enumerate(symbols):
        size = None if shape is None or position >= len(shape) else shape[position]
        weight = births.of(symbol)
        if weight is not None:
            length = births.size.get(symbol) if size is None else size
            axes.append((Factor(Letter(Kind.BORN, weight, order), length),))
        elif symbol in data:
            axis = merged(data[symbol])
            axes.append(resized(axis, size) if symbol[0] == "~" and not rigid else axis)
        else:
            axes.append(opaque([births.size.get(symbol) if size is None else size])[0])
    return tuple(axes)


def _expanded(term: Term, seen: set[str], rank: int | None) -> list[str] | None:
    """A term with ``~`` and ``*`` written out, by the output's rank or else by what the operands brought."""
    out: list[str] = []
    for symbol in term:
        if symbol in "~*":
            count = (
                rank - len(term) + 1
                if rank is not None
                else max((int(s[1:]) + (symbol == "~") for s in seen if s[0] == symbol and s != symbol), default=0)
            )
            if count < 0:
                return None
            out += [f"~{i}" if symbol == "~" else f"*{count - i}" for i in range(count)]
        else:
            out.append(symbol)
    return out


def _label_weight(value: ir.Value, weight: str, layouts: dict[ir.Value, Layout]) -> None:
    known = sizes(value)
    if known is None and value.const_value is not None:
        known = tuple(value.const_value.shape.numpy())
    if known is not None:
        letter = Letter(Kind.WEIGHT, weight)
        layouts[value] = tuple(() if size == 1 else (Factor(letter, size),) for size in known)
