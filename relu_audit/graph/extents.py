"""Shapes as the graph computes them: which numbers of a list of sizes are axes of which values.

Exporters write ``x.reshape(n, -1)`` as Shape, Gather, Concat, Reshape. What such a list holds can be told element by
element without running anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.graph.normalize import Network


@dataclass(frozen=True)
class Extent:
    """The length of an axis of a value."""

    value: ir.Value
    axis: int


Element = int | Extent | None
"""One number of a list of sizes; None where it is computed in a way that is not followed."""

_LONGEST = 64
"""Elements of a list that is still taken for a shape."""


def elements(network: Network, value: ir.Value | None, depth: int = 0) -> tuple[Element, ...] | None:
    """The numbers of a list of sizes; a single number counts as a list of one. None for what is no such list."""
    if value is None or depth > _LONGEST:
        return None
    constant = network.constant(value)
    if constant is not None:
        whole = constant.dtype.kind in "iu" and constant.size <= _LONGEST
        return tuple(int(number) for number in constant.ravel()) if whole else None
    node = value.producer()
    follow = None if node is None else _FOLLOWED.get(node.op_type)
    return None if node is None or follow is None else follow(network, node, depth + 1)


def _shape(network: Network, node: ir.Node, depth: int) -> tuple[Element, ...] | None:
    del network, depth
    source = node.inputs[0]
    if source is None or source.shape is None:
        return None
    rank = len(source.shape)
    axes = range(rank)[slice(_integer(node, "start", 0), _integer(node, "end", rank))]
    return tuple(Extent(source, axis) for axis in axes)


def _same(network: Network, node: ir.Node, depth: int) -> tuple[Element, ...] | None:
    return elements(network, node.inputs[0], depth)


def _concat(network: Network, node: ir.Node, depth: int) -> tuple[Element, ...] | None:
    parts = [elements(network, value, depth) for value in node.inputs]
    return None if None in parts else tuple(element for part in parts if part is not None for element in part)


def _gather(network: Network, node: ir.Node, depth: int) -> tuple[Element, ...] | None:
    source, chosen = elements(network, node.inputs[0], depth), network.constant(node.inputs[1])
    if source is None or chosen is None:
        return None
    return tuple(source[int(index)] for index in chosen.ravel() if -len(source) <= index < len(source))


def _slice(network: Network, node: ir.Node, depth: int) -> tuple[Element, ...] | None:
    source = elements(network, node.inputs[0], depth)
    bounds = [_bound(network, node, name, index) for index, name in enumerate(("starts", "ends"), 1)]
    step = network.constant(node.inputs[4]) if len(node.inputs) > 4 else np.ones(1, np.int64)
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


Follow = Callable[[Network, ir.Node, int], tuple[Element, ...] | None]

_FOLLOWED: Mapping[str, Follow] = {
    "Shape": _shape,
    "Cast": _same,
    "Identity": _same,
    "Squeeze": _same,
    "Unsqueeze": _same,
    "Reshape": _same,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
}
