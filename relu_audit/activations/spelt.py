"""What a few elementwise nodes make of one value, as a function of it.

The engine over the table of :mod:`relu_audit.activations.steps`.

Back from a node, its operands are followed until all of them come of one value; constants count as numbers. What lies
between is then a function of that value, entry by entry (:mod:`relu_audit.activations.pieces`), and so is every
spelling of an activation: ``(x + |x|) / 2``, ``x * Clip(x + 3, 0, 6) / 6``, ``Relu(x) - 0.25 * Relu(-x)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir

from relu_audit.activations import formulas, pieces
from relu_audit.activations.formulas import At, Text
from relu_audit.activations.pieces import Curve, UnknownError
from relu_audit.activations.steps import STEPS, Step
from relu_audit.network.constants import numbers
from relu_audit.network.normalize import Network, sizes
from relu_audit.values.signs import key
from relu_audit.values.uniform import uniform

LONGEST = 12
"""Nodes on the way from a value to what is made of it, at most."""

_REACH = (3, LONGEST)
"""How far is looked back, and how far if that does not do."""

MOST_NODES = 32
"""Nodes between the two, at most."""

LARGEST = 1 << 22
"""Entries of a constant that are still looked at one by one, at most."""


@dataclass(frozen=True)
class Whole:
    """A value as a function of another one.

    Attributes:
        base: The value that it is made of.
        nodes: The nodes between, each behind those it reads; the last one makes the value.
        curves: Every value between as a function of the base.
        text: How the function is written.
        shown: Whether the base is known to have the shape of the value.
    """

    base: ir.Value
    nodes: tuple[ir.Node, ...]
    curves: Mapping[ir.Value, Curve]
    text: str
    shown: bool

    @property
    def node(self) -> ir.Node:
        """The node that makes the value."""
        return self.nodes[-1]

    @property
    def curve(self) -> Curve:
        """The function."""
        return self.curves[self.node.outputs[0]]

    @property
    def joins(self) -> bool:
        """Whether several nodes make it together, each of which by itself makes something else."""
        return len(self.nodes) > 1


def step_of(node: ir.Node) -> Step | None:
    """The row of a node's operator."""
    return STEPS.get(key(node))


Found = TypeVar("Found")
Way = tuple[ir.Value, tuple[ir.Node, ...]]
"""A value, and the nodes from there on, each behind those it reads."""


@dataclass(frozen=True)
class Functions:
    """What nodes make, as functions; each is found once, so that the graph must not change meanwhile.

    Attributes:
        network: The graph.
    """

    network: Network
    _found: dict[object, Any] = field(default_factory=dict[object, Any], repr=False)

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What is found for a key, looked for the first time only."""
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    def whole(self, node: ir.Node, base: ir.Value | None = None) -> Whole | None:
        """What a node gives out, as a function of the nearest value that everything it reads is made of.

        Args:
            node: The node.
            base: That value, if it has to be a certain one.
        """
        way = self.between(node, base)
        return None if way is None else self.once(("whole", node, base), lambda: _attempted(self.network, *way))

    def between(self, node: ir.Node, base: ir.Value | None = None) -> Way | None:
        """The value that all operands of a node come of, and the nodes from there on, as :meth:`whole` has them."""
        return self.once(("between", node, base), lambda: _between(self.network, node, base))


def _between(network: Network, node: ir.Node, base: ir.Value | None) -> Way | None:
    read = sources(network, node)
    if len(read) == 1 and _may_be(read[0], base):
        return read[0], (node,)
    return next((way for far in _REACH if (way := _within(network, node, read, base, far)) is not None), None)


def _within(network: Network, node: ir.Node, read: Collection[ir.Value], base: ir.Value | None, far: int) -> Way | None:
    """The way from a value no more than so many nodes away."""
    pending = set(read)
    place = {value: at for at, value in enumerate(_upstream(network, pending, far))}
    nodes = [node]
    while pending and len(nodes) <= MOST_NODES and pending <= place.keys():
        last = max(pending, key=lambda value: place[value])
        producer = last.producer()
        if len(pending) == 1 and _may_be(last, base):
            return last, tuple(reversed(nodes))
        if producer is None or step_of(producer) is None:
            return None
        nodes.append(producer)
        pending.remove(last)
        pending.update(sources(network, producer))
    return None


def sources(network: Network, node: ir.Node) -> tuple[ir.Value, ...]:
    """The operands of a node that are no constants, each once; none if its operator has no row.

    What is one number throughout, and not made of constants, is one of them only if there are no others.
    """
    step = step_of(node)
    values = [] if step is None else [node.inputs[i] for i in step.read(network, node)]
    computed = dict.fromkeys(value for value in values if value is not None and value not in network.weights)
    return tuple(value for value in computed if not is_constant(network, value)) or tuple(computed)


def is_constant(network: Network, value: ir.Value) -> bool:
    """Whether a value is made of constants, or is one number throughout."""
    return value in network.weights or uniform(network, value) is not None


def _may_be(value: ir.Value, base: ir.Value | None) -> bool:
    """Whether a function may be one of this value: of the one that is wanted, or of any that is no truth value."""
    return value is base if base is not None else not _is_condition(value)


def _is_condition(value: ir.Value) -> bool:
    node = value.producer()
    step = None if node is None else step_of(node)
    return value.dtype is ir.DataType.BOOL or (step is not None and step.condition)


def _upstream(network: Network, values: Collection[ir.Value], far: int) -> list[ir.Value]:
    """The values and what they are made of, up to so many nodes away, each behind all that it is made of."""
    near = level = set(values)
    for _ in range(far):
        level = {one for value in level for one in _made_of(network, value)} - near
        near = near | level
    done: dict[ir.Value, None] = {}
    opened: set[ir.Value] = set()
    stack = list(values)
    while stack:
        value = stack[-1]
        more = [] if value in opened else [one for one in _made_of(network, value) if one in near and one not in done]
        opened.add(value)
        if more:
            stack += more
        else:
            done.setdefault(stack.pop())
    return list(done)


def _made_of(network: Network, value: ir.Value) -> tuple[ir.Value, ...]:
    node = value.producer()
    return () if node is None else sources(network, node)


def _attempted(network: Network, base: ir.Value, nodes: tuple[ir.Node, ...]) -> Whole | None:
    try:
        with np.errstate(all="ignore"):
            return _evaluated(network, base, nodes)
    except (UnknownError, ValueError, LookupError, TypeError):
        return None  # a node that contradicts its operator is no function; the runtime will say how


def _evaluated(network: Network, base: ir.Value, nodes: tuple[ir.Node, ...]) -> Whole:
    curves: dict[ir.Value, Curve] = {base: pieces.identity()}
    texts = {base: Text("x")}
    shown = True
    for node in nodes:
        step = STEPS[key(node)]
        read = step.read(network, node)
        for value in (node.inputs[i] for i in read):
            if value is not None and value not in curves:
                curves[value] = pieces.constant(_constant(network, value))
                texts[value] = formulas.shown(curves[value])
            if value is not None and step.spreads:
                shown = shown and _fits(network, value, base)
        inputs = [node.inputs[i] if i in read else None for i in range(len(node.inputs))]
        at = At(
            node,
            network.opsets.get("", 0),
            [None if value is None else curves[value] for value in inputs],
            [None if value is None else texts[value] for value in inputs],
        )
        curves[node.outputs[0]] = step.make(at)
        texts[node.outputs[0]] = step.text(at)
    text = texts[nodes[-1].outputs[0]]
    return Whole(base, nodes, curves, text.alone if len(nodes) == 1 else text.text, shown)


def _constant(network: Network, value: ir.Value) -> np.ndarray | float:
    """The numbers of a constant; one, if all are the same.

    Raises:
        UnknownError: They are not known, or too many.
    """
    one = uniform(network, value)
    if one is not None:
        return one
    found = numbers(network, value) if _is_small(value) else None
    if found is None or found.dtype.kind not in "fiubV":
        raise UnknownError
    wide = found.astype(np.float64)  # of bfloat16 as well
    same = wide.size and (wide == wide.ravel()[0]).all()
    return float(wide.ravel()[0]) if same else wide


def _is_small(value: ir.Value) -> bool:
    """Whether a constant, and all that it is computed from, is known to have no more entries than are looked at."""
    pending, seen = [value], {value}
    while pending and len(seen) <= MOST_NODES:
        one = pending.pop()
        shape = sizes(one)
        if shape is None or math.prod(size if isinstance(size, int) else LARGEST + 1 for size in shape) > LARGEST:
            return False
        producer = one.producer()
        more = [] if producer is None else [v for v in producer.inputs if v is not None and v not in seen]
        seen.update(more)
        pending += more
    return not pending


def _fits(network: Network, value: ir.Value, base: ir.Value) -> bool:
    """Whether an operand has no axes or sizes that the base lacks, as far as it is a constant."""
    shape, own = sizes(value), sizes(base)
    if value not in network.weights or not shape:
        return True
    if own is None or len(shape) > len(own):
        return False
    return all(size == 1 or size == there for size, there in zip(reversed(shape), reversed(own), strict=False))
