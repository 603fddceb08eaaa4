"""What a rectifier computes from: two of one lineage are one layer that is applied in two places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from relu_audit.activations.readings import Rectifies
from relu_audit.model.postorder import postorder
from relu_audit.network.normalize import Network
from relu_audit.operators.layout import Kind, Layout


@dataclass(frozen=True)
class _Way:
    """The way from a node back to the weight at which units are born.

    Attributes:
        number: Stands for everything on it: equal ways have equal numbers.
        joined: Whether something that is computed as well is added on it.
        born: The node that it ends at.
    """

    number: int
    joined: bool
    born: ir.Node


@dataclass(frozen=True)
class Lineages:
    """The lineages of a graph's rectifiers. Ways that end alike share their ends, however many rectifiers are on them.

    Attributes:
        network: The graph.
        position: The number of every node.
        layouts: The axes of its values.
    """

    network: Network
    position: Mapping[ir.Node, int]
    layouts: Mapping[ir.Value, Layout]
    _numbers: dict[object, int] = field(default_factory=dict[object, int])
    _ways: dict[tuple[ir.Node, int], _Way | None] = field(default_factory=dict["tuple[ir.Node, int]", "_Way | None"])
    _nodes: dict[tuple[ir.Node, bool], int] = field(default_factory=dict["tuple[ir.Node, bool]", int])

    def of(self, node: ir.Node, reading: Rectifies, order: int | None) -> object | None:
        """What a rectifier computes from, back to the weight of its units; None where that is no single path.

        Where something that is computed as well is added on the way, as in the steps of a recurrence, the path follows
        the units.

        Args:
            node: The rectifier.
            reading: What it is.
            order: The number of the node at which its units are born.
        """
        if order is None:
            return None
        base = reading.base
        start = None if base is None else base.producer()
        if base is not None and start is not None and start in self.position:
            between = tuple(self._identity(one, by_name=False) for one in reading.nodes)
            way, joined, at = self._way(start, order), False, (between, base.index())
        elif self.position[node] == order:
            return node.op_type, reading.spelling, self._identity(node)
        else:
            operand, joined = self._operand(node, order)
            source = None if operand is None else operand.producer()
            way = None if source is None else self._way(source, order)
            at = None if operand is None else ((), operand.index())
        if way is None:
            return None
        # Two rectifiers behind one product to which different things are added are two layers.
        several = (joined or way.joined) and len(way.born.outputs[0].uses()) > 1
        return node.op_type, reading.spelling, at, way.number, self.position[node] if several else None

    def _way(self, start: ir.Node, order: int) -> _Way | None:
        """The way from a node on, with the node; None where there is none, or several."""
        ahead: list[ir.Node] = []
        node = start
        while (node, order) not in self._ways:
            ahead.append(node)
            operand = None if self.position.get(node, order) == order else self._operand(node, order)[0]
            source = None if operand is None else operand.producer()
            if source is None:
                break
            node = source
        for each in reversed(ahead):
            self._ways[each, order] = self._step(each, order)
        return self._ways[start, order]

    def _step(self, node: ir.Node, order: int) -> _Way | None:
        """The way from a node on, where that from the one before it is known."""
        if node not in self.position:
            return None
        if self.position[node] == order:
            return _Way(self._number(("born", self._identity(node))), joined=False, born=node)
        operand, joined = self._operand(node, order)
        source = None if operand is None else operand.producer()
        way = None if source is None else self._ways[source, order]
        if operand is None or way is None:
            return None
        # The halves of a Split are two layers.
        number = self._number((self._identity(node), operand.index(), way.number))
        return _Way(number, joined or way.joined, way.born)

    def _operand(self, node: ir.Node, order: int) -> tuple[ir.Value | None, bool]:
        """The operand that units come by, if it is one, and whether others are computed as well."""
        moving = [value for value in node.inputs if value is not None and value not in self.network.weights]
        several = len(moving) > 1
        if several:
            moving = [value for value in moving if _bears(self.layouts.get(value), order)]
        return (moving[0] if len(moving) == 1 else None), several

    def _identity(self, node: ir.Node, *, by_name: bool = True) -> int:
        """What sets a node apart: its operator and parameters; initializers by name where that is wanted."""
        if (node, by_name) not in self._nodes:
            # What computes a constant counts by name whatever is wanted of the node that reads it.
            for each in postorder([node], self._makers):
                if each is not node and (each, True) not in self._nodes:
                    self._nodes[each, True] = self._number(self._parts(each, by_name=True))
            self._nodes[node, by_name] = self._number(self._parts(node, by_name=by_name))
        return self._nodes[node, by_name]

    def _makers(self, node: ir.Node) -> list[ir.Node]:
        """The nodes that compute the constants that a node reads, where those count by how they are computed."""
        if (node, True) in self._nodes:
            return []
        values = [value for value in node.inputs if value is not None and value in self.network.weights]
        computed = [value for value in values if value.const_value is None and self.network.constant(value) is None]
        return [maker for value in computed if (maker := value.producer()) is not None]

    def _parts(self, node: ir.Node, *, by_name: bool) -> object:
        parameters: list[object] = []
        for value in node.inputs:
            if value is None or value not in self.network.weights:
                parameters.append(None)
                continue
            constant, producer = self.network.constant(value), value.producer()
            if value.const_value is not None and (by_name or constant is None):
                parameters.append(value.name)
            elif constant is not None:
                parameters.append((constant.shape, constant.tobytes()))
            else:
                parameters.append(value.name if producer is None else self._nodes[producer, True])
        attributes = tuple(sorted((name, str(attribute.value)) for name, attribute in node.attributes.items()))
        return node.domain, node.op_type, attributes, tuple(parameters)

    def _number(self, key: object) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def _bears(layout: Layout | None, order: int) -> bool:
    return any(f.letter.kind is Kind.BORN and f.letter.order == order for axis in layout or () for f in axis)
