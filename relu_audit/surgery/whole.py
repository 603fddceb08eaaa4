"""Values that are constant as a whole, as behind a layer all of whose units are silent: a constant takes their place.

An axis cannot be left empty, so such a layer could only shrink to one unit. Where what comes of it meets a living value
entry by entry, a constant that broadcasts does as well, and the whole branch behind it goes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from relu_audit.graph.scopes import bodies
from relu_audit.surgery.constants import Constants
from relu_audit.surgery.editor import Editor
from relu_audit.surgery.ground import Ground
from relu_audit.surgery.hold import Silent

Edge = tuple[ir.Node, int]
"""A node and the number of one of its inputs."""

BROADCASTS = "*, *+ -> *"
"""The signature of operators whose operands meet entry by entry."""


@dataclass(frozen=True)
class Replacement:
    """A value whose readers get a constant.

    Attributes:
        value: The value.
        edges: The readers that do.
        array: The constant, of the value's rank, with ones where it broadcasts.
        relied: The silent values that make it constant.
    """

    value: ir.Value
    edges: tuple[Edge, ...]
    array: np.ndarray
    relied: frozenset[ir.Value]


def replace_whole(ground: Ground, constants: Constants, silent: Sequence[Silent]) -> tuple[Silent, ...]:
    """Replace what is constant as a whole, wherever all that made it so then goes. Changes the graph.

    Returns:
        The silent units that were relied on, and are gone.
    """
    model = ground.network.model
    found = [one for node in model.graph for one in _replacements(ground, constants, silent, node)]
    while True:
        dropped = {edge for one in found for edge in one.edges}
        live = _live(model.graph, dropped)
        # A silent value that stays would be relied on here and computed there.
        staying = [one for one in found if not any(value.producer() in live for value in one.relied)]
        if len(staying) == len(found):
            break
        found = staying
    if not found:
        return ()
    editor = Editor(model)
    for one in found:
        constant = editor.constant(one.array, one.value.name or "constant")
        for node, index in one.edges:
            node.replace_input_with(index, constant)
    relied = {value for one in found for value in one.relied}
    passes.RemoveUnusedNodesPass()(model)
    return tuple(one for one in silent if one.value in relied)


def _replacements(ground: Ground, constants: Constants, silent: Sequence[Silent], node: ir.Node) -> list[Replacement]:
    """The replacements of a node's results, for readers that are not constant themselves."""
    found: list[Replacement] = []
    for value in node.outputs:
        array = _constant(ground, constants, value)
        if array is None:
            continue
        edges = tuple(
            (user, index)
            for user, index in value.uses()
            if user.graph is node.graph and _broadcasts(ground, constants, user, index)
        )
        if edges:
            seeds = {one.value for one in silent if len(one.indices) == len(one.units)}
            relied = _relied(constants, seeds, value)
            if relied is not None:
                found.append(Replacement(value, edges, array, relied))
    return found


def _constant(ground: Ground, constants: Constants, value: ir.Value) -> np.ndarray | None:
    """A whole value as a vector along an axis; None if it is none, or differs from position to position."""
    shape = ground.atoms.shape(value)
    dtype = value.dtype
    if value in ground.network.weights or value not in constants.whole or shape is None or dtype is None:
        return None
    if not dtype.is_floating_point():
        return None
    for axis, atoms in ground.atoms.of(value):
        if constants.known[atoms].all() and np.isfinite(constants.number[atoms]).all():
            sides = [-1 if i == axis else 1 for i in range(len(shape))]
            return constants.number[atoms].astype(dtype.numpy()).reshape(sides)
    return None


def _broadcasts(ground: Ground, constants: Constants, user: ir.Node, index: int) -> bool:
    """Whether another operand alone gives the result its shape."""
    row = ground.row(user)
    if row is None or row.signature != BROADCASTS or all(value in constants.whole for value in user.outputs):
        return False
    result = user.outputs[0]
    fixed, shape = ground.atoms.shape(result), ground.shapes.get(result)
    for other, value in enumerate(user.inputs):
        if other == index or value is None or fixed is None or shape is None:
            continue
        same = ground.atoms.shape(value) == fixed and ground.shapes.get(value) == shape
        # An open axis of length one in the run might be one that broadcasts.
        if same and all(known is not None or length > 1 for known, length in zip(fixed, shape, strict=True)):
            return True
    return False


def _relied(constants: Constants, seeds: Collection[ir.Value], value: ir.Value) -> frozenset[ir.Value] | None:
    """The fully silent values that make a value constant; None if something else has a part in it."""
    found: set[ir.Value] = set()
    pending, seen = [value], {value}
    while pending:
        here = pending.pop()
        node = here.producer()
        if here in seeds:
            found.add(here)
        elif node is not None:
            moving = [v for v in node.inputs if v is not None and v in constants.whole]
            if len(moving) < sum(v is not None for v in node.inputs) or bodies(node):
                return None
            pending += [v for v in moving if v not in seen]
            seen.update(moving)
    return frozenset(found)


def _live(graph: ir.Graph, dropped: Collection[Edge]) -> set[ir.Node]:
    """The nodes that something given out is computed from, by other ways than the dropped edges."""
    pending = [value.producer() for value in graph.outputs]
    live: set[ir.Node] = set()
    while pending:
        node = pending.pop()
        if node is None or node in live:
            continue
        live.add(node)
        pending += [
            value.producer()
            for index, value in enumerate(node.inputs)
            if value is not None and (node, index) not in dropped
        ]
        for _, body in bodies(node):
            inner = [*body]
            while inner:
                one = inner.pop()
                pending += [value.producer() for value in one.inputs if value is not None]
                inner += [n for _, deeper in bodies(one) for n in deeper]
            pending += [value.producer() for value in body.outputs]
    return live
