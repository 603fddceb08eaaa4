"""Shapes as the graph computes them: which numbers of a list of sizes are axes of which values.

Exporters write ``x.reshape(n, -1)`` as Shape, Gather, Concat, Reshape. What such a list holds can be told element by
element without running anything.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from relu_audit.network.normalize import Network, sizes


@dataclass(frozen=True)
class Extent:
    """The length of an axis of a value, a number of times."""

    value: ir.Value
    axis: int
    times: int = 1


Element = int | Extent | None
"""One number of a list of sizes; None where it is computed in a way that is not followed."""

_LONGEST = 64
"""Elements of a list that is still taken for a shape, and operators that are looked back through."""

_HOLDS_LENGTHS = (ir.DataType.INT32, ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.DOUBLE)

Rank = Callable[[ir.Value], int | None]


def rank_of(value: ir.Value) -> int | None:
    """The rank of a value as the file and shape inference have it."""
    return None if value.shape is None else len(value.shape)


def elements(network: Network, value: ir.Value | None, rank: Rank = rank_of) -> tuple[Element, ...] | None:
    """The numbers of a list of sizes; a single number counts as a list of one. None for what is no such list.

    Args:
        network: The graph.
        value: The list.
        rank: Tells the rank of a value.
    """
    return _Reader(network, rank).elements(value)


@dataclass
class _Reader:
    """One look back at a list; what is read once is kept, since operands of arithmetic share their sources."""

    network: Network
    rank: Rank
    known: dict[ir.Value, tuple[Element, ...] | None] = field(
        default_factory=dict[ir.Value, tuple[Element, ...] | None]
    )
    depth: int = 0

    def elements(self, value: ir.Value | None) -> tuple[Element, ...] | None:
        if value is None or self.depth > _LONGEST:
            return None
        if value not in self.known:
            self.depth += 1
            self.known[value] = self._read(value)
            self.depth -= 1
        return self.known[value]

    def line(self, value: ir.Value | None) -> tuple[Element, ...] | None:
        """As :meth:`elements`, of a value of one axis at most; the numbers of a table lie in an order of their own."""
        rank = None if value is None else self.rank(value)
        return self.elements(value) if rank is not None and rank <= 1 else None

    def _read(self, value: ir.Value) -> tuple[Element, ...] | None:
        constant = self.network.constant(value)
        if constant is not None:
            whole = constant.dtype.kind in "iu" and constant.size <= _LONGEST
            return tuple(int(number) for number in constant.ravel()) if whole else None
        node = value.producer()
        follow = None if node is None else _FOLLOWED.get(node.op_type)
        found = None if node is None or follow is None else follow(self, node)
        return _unread(value) if found is None else found


def _unread(value: ir.Value) -> tuple[Element, ...] | None:
    """As many unknown numbers as a short list of whole numbers has: one that is not followed hides no other."""
    known = sizes(value)
    if known is None or value.dtype not in (ir.DataType.INT64, ir.DataType.INT32) or len(known) > 1:
        return None
    count = known[0] if known else 1
    return (None,) * count if isinstance(count, int) and count <= _LONGEST else None


def _shape(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    source = node.inputs[0]
    rank = None if source is None else read.rank(source)
    if source is None or rank is None:
        return None
    axes = range(rank)[slice(_integer(node, "start", 0), _integer(node, "end", rank))]
    return tuple(Extent(source, axis) for axis in axes)


def _same(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    return read.elements(node.inputs[0])


def _cast(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    """The numbers, in a type that holds lengths as they are: a truth value, say, does not."""
    return read.elements(node.inputs[0]) if _integer(node, "to", 0) in _HOLDS_LENGTHS else None


def _concat(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    parts = [read.line(value) for value in node.inputs]
    return None if None in parts else tuple(element for part in parts if part is not None for element in part)


def _gather(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    source, chosen = read.line(node.inputs[0]), read.network.constant(node.inputs[1])
    if source is None or chosen is None:
        return None
    return tuple(source[int(index)] for index in chosen.ravel() if -len(source) <= index < len(source))


def _slice(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    source = read.line(node.inputs[0])
    bounds = [_bound(read.network, node, name, index) for index, name in enumerate(("starts", "ends"), 1)]
    step = read.network.constant(node.inputs[4]) if len(node.inputs) > 4 else np.ones(1, np.int64)
    if source is None or step is None or None in bounds:
        return None
    return source[slice(bounds[0], bounds[1], int(step.ravel()[0]))]


def _bound(network: Network, node: ir.Node, name: str, index: int) -> int | None:
    attribute = node.attributes.get(name)
    if attribute is not None:
        return int(attribute.as_ints()[0])
    number = network.constant(node.inputs[index]) if index < len(node.inputs) else None
    return int(number.ravel()[0]) if number is not None and number.size == 1 else None


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _each(combine: Callable[[Element, Element], Element]) -> Follow:
    """Number by number, of two lists of which one may hold a single number."""

    def follow(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
        a, b = (read.line(value) for value in node.inputs)
        if a is None or b is None or len({len(a), len(b)} - {1}) > 1:
            return None
        long = max(len(a), len(b))
        return tuple(map(combine, a * (long // len(a)), b * (long // len(b)))) if len(a) and len(b) else None

    return follow


def _times(a: Element, b: Element) -> Element:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    number, extent = (a, b) if isinstance(a, int) else (b, a)
    if isinstance(number, int) and number > 0 and isinstance(extent, Extent):
        return replace(extent, times=extent.times * number)
    return None


def _whole(combine: Callable[[int, int], int]) -> Callable[[Element, Element], Element]:
    return lambda a, b: combine(a, b) if isinstance(a, int) and isinstance(b, int) else None


def _quotient(a: Element, b: Element) -> Element:
    if isinstance(a, int) and isinstance(b, int) and b and a >= 0 < b:
        return a // b
    divides = isinstance(a, Extent) and isinstance(b, int) and b > 0 and a.times % b == 0
    return replace(a, times=a.times // b) if divides and isinstance(a, Extent) and isinstance(b, int) else None


def _alike(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    """One whole number, as often as a length says that is known (ConstantOfShape)."""
    found = read.elements(node.inputs[0])
    if found is None or len(found) > 1:
        return None
    count = _known(found[0]) if found else 1
    attribute = node.attributes.get("value")
    number = np.zeros(1, np.int64) if attribute is None else attribute.as_tensor().numpy()
    if number.dtype.kind not in "iu":
        return None
    return (int(number.ravel()[0]),) * count if count is not None and count <= _LONGEST else None


def _known(element: Element) -> int | None:
    """The number, where it is one or the length of an axis that has one."""
    if not isinstance(element, Extent):
        return element
    shape = sizes(element.value)
    size = None if shape is None else shape[element.axis]
    return size * element.times if isinstance(size, int) else None


def _unless_minus_one(read: _Reader, node: ir.Node) -> tuple[Element, ...] | None:
    """``Where(list == -1, other, list)``, as expanding is exported: the list, but for its entries of -1."""
    condition, other, value = node.inputs
    compared = None if condition is None else condition.producer()
    given = read.line(value)
    if compared is None or compared.op_type != "Equal" or given is None:
        return None
    sides = [read.line(side) for side in compared.inputs]
    if given not in sides or not any(side is not None and set(side) == {-1} for side in sides):
        return None
    instead = read.line(other) or (None,)
    if len(instead) == 1:
        instead *= len(given)
    return (
        tuple(b if a == -1 else a for a, b in zip(given, instead, strict=True)) if len(instead) == len(given) else None
    )


Follow = Callable[[_Reader, ir.Node], tuple[Element, ...] | None]

_FOLLOWED: Mapping[str, Follow] = {
    "Shape": _shape,
    "ConstantOfShape": _alike,
    "Cast": _cast,
    "Identity": _same,
    "Squeeze": _same,
    "Unsqueeze": _same,
    "Reshape": _same,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Mul": _each(_times),
    "Div": _each(_quotient),
    "Add": _each(_whole(operator.add)),
    "Sub": _each(_whole(operator.sub)),
    "Where": _unless_minus_one,
}
