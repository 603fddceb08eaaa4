"""The engine over the axis table: births at weights, letters forward. It knows no operator by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.graph.axes import AxisRule
from relu_audit.graph.bodies import Body
from relu_audit.graph.extents import Element, Extent, elements
from relu_audit.graph.layout import (
    BATCH,
    Axis,
    Factor,
    Kind,
    Layout,
    Letter,
    Size,
    axis_size,
    merged,
    opaque,
    resized,
    without_batch,
)
from relu_audit.graph.moves import Operation
from relu_audit.graph.normalize import Network, sizes
from relu_audit.graph.scopes import bodies, walk
from relu_audit.graph.terms import Term, letters_of, matched, terms_of

Rules = Callable[[str, str, int], AxisRule | None]

_BATCH = "b"
"""The letter of a batch whose place an operator fixes."""


def follow(network: Network, rules: Rules, batch_axes: Mapping[str, int | None]) -> dict[ir.Value, Layout]:
    """The layout of every value whose rank is known, in the main graph and all its bodies.

    Args:
        network: The graph.
        rules: Looks a row up by domain, operator and opset.
        batch_axes: For each graph input the axis that holds samples; None where there is none.
    """
    layouts: dict[ir.Value, Layout] = {}
    for value in network.model.graph.inputs:
        known = sizes(value)
        if known is not None:
            layouts[value] = _with_batch(opaque(known), known, batch_axes.get(value.name or ""))
    return _followed(network, rules, layouts)


def batch_axes(network: Network, rules: Rules) -> dict[str, int]:
    """For the graph inputs that come to an operator which fixes the place of its batch (RNN, say): their axis there."""
    nodes = [step.node for step in walk(network.model.graph)]
    stating = [node for node in nodes if _BATCH in _signature(network, rules, node)]
    if not stating:
        return {}
    layouts: dict[ir.Value, Layout] = {}
    for value in network.model.graph.inputs:
        known = sizes(value) or ()
        letters = [Letter(Kind.POSITION, value.name or "", order) for order in range(len(known))]
        layouts[value] = tuple((Factor(letter, size),) for letter, size in zip(letters, known, strict=True))
    _followed(network, rules, layouts)
    found: dict[str, int] = {}
    for node in stating:
        row = _row(network, rules, node)
        operation = Operation(node, tuple(None if v is None else layouts.get(v) for v in node.inputs), (), ())
        terms = terms_of(operation, row)[0] if row is not None else []
        for index, (term, layout) in enumerate(zip(terms, operation.inputs, strict=False)):
            for axis in [axis for symbol, axis in matched(term, layout or ()) if symbol == _BATCH]:
                letter = axis[0].letter
                # The data itself has its batch there; a state or a list of lengths of fixed size may be a table.
                certain = index == 0 or not isinstance(axis[0].size, int)
                if len(axis) == 1 and letter.order >= 0 and letter.kind is Kind.POSITION and certain:
                    found.setdefault(letter.weight, letter.order)
    return found


def _followed(network: Network, rules: Rules, layouts: dict[ir.Value, Layout]) -> dict[ir.Value, Layout]:
    graph = network.model.graph
    positions = {step.node: step.position for step in walk(graph)}
    _Follower(network, rules, positions, layouts).graph(graph)
    return layouts


def _row(network: Network, rules: Rules, node: ir.Node) -> AxisRule | None:
    opsets = network.opsets
    return rules(node.domain, node.op_type, opsets.get(node.domain, opsets.get("", 0)))


def _signature(network: Network, rules: Rules, node: ir.Node) -> str:
    row = _row(network, rules, node)
    return "" if row is None else row.signature


@dataclass(frozen=True)
class _Follower:
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
        row = _row(self.network, self.rules, node)
        shapes = tuple(sizes(value) for value in node.outputs)
        frozen = [None if shape is None else opaque(shape) for shape in shapes]
        operation = Operation(
            node=node,
            inputs=tuple(None if value is None else self.layouts.get(value) for value in node.inputs),
            constants=tuple(self.network.constant(value) for value in node.inputs),
            shapes=shapes,
            lists=lambda index: self._sizes_listed(node.inputs[index]),
        )
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
                return frozen
        if row.couples:
            found = [None if layout is None else without_batch(layout) for layout in found]
        # A layout whose rank contradicts inference is worth less than none.
        return [
            f if a is None or (f is not None and s is not None and len(a) != len(s)) else a
            for a, f, s in zip([*found, *[None] * len(frozen)], frozen, shapes, strict=False)
        ]

    def _sizes_listed(self, value: ir.Value | None) -> tuple[Size, ...] | None:
        found = elements(self.network, value)
        return None if found is None else tuple(self._size(element) for element in found)

    def _size(self, element: Element) -> Size:
        if isinstance(element, Extent):
            layout = self.layouts.get(element.value)
            return None if layout is None else axis_size(layout[element.axis])
        return element if element is not None and element > 0 else None

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
        row = _row(network, rules, node)
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
            if weight is None or not contracts or symbol == _BATCH:
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
        if symbol[0] in "*~" and size == 1:
            return  # a leading axis of one broadcasts: the weight does not vary along it
        for letter in letters_of(symbol):
            self.weight.setdefault(letter, weight)
        self.size.setdefault(symbol, size)

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
            axes.append(opaque([size])[0])
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


def _with_batch(layout: Layout, known: Sequence[Size], batch_axis: int | None) -> Layout:
    if batch_axis is None:
        return layout
    return tuple((Factor(BATCH, known[i]),) if i == batch_axis else axis for i, axis in enumerate(layout))


def _label_weight(value: ir.Value, weight: str, layouts: dict[ir.Value, Layout]) -> None:
    known = sizes(value)
    if known is None and value.const_value is not None:
        known = tuple(value.const_value.shape.numpy())
    if known is not None:
        letter = Letter(Kind.WEIGHT, weight)
        layouts[value] = tuple(() if size == 1 else (Factor(letter, size),) for size in known)
