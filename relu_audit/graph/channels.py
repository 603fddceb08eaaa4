"""The engine over the axis table: births at weights, letters forward. It knows no operator by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import onnx_ir as ir

from relu_audit.graph.axes import AxisRule
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
)
from relu_audit.graph.moves import Operation
from relu_audit.graph.normalize import Network, sizes

Rules = Callable[[str, str, int], AxisRule | None]
Term = tuple[str, ...]

_AXIS = re.compile(r"\([^)]*\)|[^\s,]")


def follow(network: Network, rules: Rules, batch_axes: dict[str, int | None]) -> dict[ir.Value, Layout]:
    """The layout of every value of the main graph whose rank is known.

    Args:
        network: The graph.
        rules: Looks a row up by domain, operator and opset.
        batch_axes: For each graph input the axis that holds samples; None where there is none.
    """
    layouts: dict[ir.Value, Layout] = {}
    graph = network.model.graph
    for value in graph.inputs:
        known = sizes(value)
        if known is not None:
            layouts[value] = _with_batch(opaque(known), known, batch_axes.get(value.name or ""))
    for value in graph.initializers.values():
        _label_weight(value, value.name or "", layouts)
    for order, node in enumerate(graph):
        if not node.inputs and node.outputs:
            for value in node.outputs:
                _label_weight(value, network.weights.get(value, ""), layouts)
            continue
        row = rules(node.domain, node.op_type, network.opsets.get(node.domain, network.opsets.get("", 0)))
        for value, layout in zip(node.outputs, _outputs(network, node, row, layouts, order), strict=False):
            if layout is not None:
                layouts[value] = layout  # noqa: PERF403 - later nodes read it
    return layouts


def _outputs(
    network: Network, node: ir.Node, row: AxisRule | None, layouts: dict[ir.Value, Layout], order: int
) -> Sequence[Layout | None]:
    shapes = tuple(sizes(value) for value in node.outputs)
    frozen = [None if shape is None else opaque(shape) for shape in shapes]
    if row is None:
        return frozen
    operation = Operation(
        node=node,
        inputs=tuple(None if value is None else layouts.get(value) for value in node.inputs),
        constants=tuple(network.constant(value) for value in node.inputs),
        shapes=shapes,
    )
    if row.move is not None:
        found = row.move(operation)
    else:
        weights = [None if value is None else network.weights.get(value) for value in node.inputs]
        found = _by_signature(operation, row, weights, order)
    # A layout whose rank contradicts inference is worth less than none.
    return [
        f if a is None or (f is not None and s is not None and len(a) != len(s)) else a
        for a, f, s in zip([*found, *[None] * len(frozen)], frozen, shapes, strict=False)
    ]


def _by_signature(op: Operation, row: AxisRule, weights: Sequence[str | None], order: int) -> list[Layout | None]:
    text = row.letters(op, row.signature) if row.letters is not None else row.signature
    left, right = text.split("->")
    terms = [_term(t) for t in left.replace("+", "").split(",")]
    if "+" in left:
        terms.extend([terms[-1]] * (len(op.inputs) - len(terms)))
    outputs = [_term(t) for t in right.split(",")]
    # A letter that enters and does not leave is summed over: the operator has weights of its own, and units are born.
    leaving = {letter for term in outputs for axis in term for letter in _letters(axis)}
    contracts = any(letter not in leaving for term in terms for axis in term for letter in _letters(axis))
    data: dict[str, list[Axis]] = defaultdict(list)
    births = _Births()
    for term, layout, weight in zip(terms, op.inputs, weights, strict=False):
        for symbol, axis in [] if layout is None else _match(term, layout):
            if weight is None or not contracts:
                data[symbol].append(axis)
            else:
                births.add(symbol, weight, axis_size(axis))
    return [_output(shape, term, data, births, order) for shape, term in zip(op.shapes, outputs, strict=False)]


class _Births:
    """The letters that an operator's own weights bring, with the weight and the size of the whole axis."""

    def __init__(self) -> None:
        self.weight: dict[str, str] = {}
        self.size: dict[str, Size] = {}

    def add(self, symbol: str, weight: str, size: Size) -> None:
        if symbol[0] in "*~" and size == 1:
            return  # a leading axis of one broadcasts: the weight does not vary along it
        for letter in _letters(symbol):
            self.weight.setdefault(letter, weight)
        self.size.setdefault(symbol, size)

    def of(self, symbol: str) -> str | None:
        return next((self.weight[letter] for letter in _letters(symbol) if letter in self.weight), None)


def _output(
    shape: tuple[Size, ...] | None, term: Term, data: dict[str, list[Axis]], births: _Births, order: int
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
            axes.append(resized(axis, size) if symbol[0] == "~" else axis)
        else:
            axes.append(opaque([size])[0])
    return tuple(axes)


def _match(term: Term, layout: Layout) -> list[tuple[str, Axis]]:
    """Pair a term's symbols with the axes of an operand; ``~`` counts from the left, ``*`` from the right."""
    marks = [i for i, symbol in enumerate(term) if symbol in "*~_"]
    if not marks:
        # Fewer axes than letters: a bias that broadcasts, aligned on the right.
        pairs = zip(reversed(term), reversed(layout), strict=False)
        return list(pairs) if len(layout) <= len(term) else []
    mark = marks[0]
    after = len(term) - mark - 1
    if len(layout) < mark + after:
        return []
    named = [*zip(term[:mark], layout[:mark], strict=True)]
    if after:
        named += zip(term[mark + 1 :], layout[-after:], strict=True)
    rest = layout[mark : len(layout) - after]
    if term[mark] == "~":
        named += [(f"~{i}", axis) for i, axis in enumerate(rest)]
    elif term[mark] == "*":
        named += [(f"*{len(rest) - i}", axis) for i, axis in enumerate(rest)]
    return named


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


def _term(text: str) -> Term:
    return tuple(_AXIS.findall(text))


def _letters(symbol: str) -> list[str]:
    """The letters of ``(g o)``; a written-out ``~0`` or ``*1`` is a letter by itself."""
    return [symbol] if symbol[0] in "~*" and len(symbol) > 1 else [x for x in symbol if x.isalpha()]


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
