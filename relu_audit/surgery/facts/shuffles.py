"""Chains of nodes that, together, put the entries along one axis in another order, as a channel shuffle does.

Each node by itself splits or joins axes, so that single entries could not go. Together they are a Gather, which gives
up any entry; and as one they are written where something was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.surgery.facts.facts import Facts, named
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.runs.routes import Moved, trace_chain
from relu_audit.surgery.runs.survey import Survey

LONGEST = 4
"""Nodes in a chain, at most."""


@dataclass(frozen=True)
class Shuffle:
    """A chain of nodes and the order in which it puts the entries along one axis.

    Attributes:
        nodes: The nodes; each but the first reads only the one before.
        source: What goes in.
        result: What comes out, of the same shape.
        axis: The axis.
        order: For every entry of the result its index in the source.
        moved: The routes of the chain as a whole.
    """

    nodes: tuple[ir.Node, ...]
    source: ir.Value
    result: ir.Value
    axis: int
    order: Ints
    moved: Moved


def find_shuffle(survey: Survey, node: ir.Node) -> Shuffle | None:
    """The shortest chain from a node on that only changes an order."""
    source = node.inputs[0]
    rank = None if source is None else survey.atoms.shape(source)
    opened = survey.atoms.shape(node.outputs[0])
    shape = survey.likely(source)
    if source is None or rank is None or opened is None or shape is None or len(opened) <= len(rank):
        return None
    nodes = [node]
    while len(nodes) < LONGEST and (following := _next(survey, nodes[-1])) is not None:
        nodes.append(following)
        result = following.outputs[0]
        if survey.atoms.shape(result) != survey.atoms.shape(source):
            continue
        given = [_given(survey, each) for each in nodes]
        numbers = [each for each in given if each is not None]
        if len(numbers) < len(nodes):
            return None
        moved = trace_chain(nodes, shape, numbers, survey.network.opsets, survey.probe_runs.engine)
        order = None if moved is None else _order(moved, len(rank))
        if moved is not None and order is not None:
            return Shuffle(tuple(nodes), source, result, *order, moved)
    return None


def _next(survey: Survey, node: ir.Node) -> ir.Node | None:
    """The only reader of a node's result, if it moves that on."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    following, index = uses[0]
    law = survey.law(following)
    moves = law is not None and law.moves and len(law.data) == 1 and index in law.data
    return following if moves and following.graph is node.graph and len(following.outputs) == 1 else None


def _given(survey: Survey, node: ir.Node) -> dict[int, np.ndarray] | None:
    found: dict[int, np.ndarray] = {}
    for index, value in enumerate(node.inputs):
        if index and value is not None:
            numbers = survey.steady(value)
            if numbers is None:
                return None
            found[index] = numbers
    return found


def _order(moved: Moved, rank: int) -> tuple[int, Ints] | None:
    """The one axis whose entries change places, and how; None if more than that happens."""
    changed: list[tuple[int, Ints]] = []
    if moved.blended or len({r.axis for r in moved.routes}) < len(moved.routes):
        return None
    for route in moved.routes:
        size = len(route.source)
        straight = np.arange(size)
        if route.axis != route.output_axis or route.axis >= rank or not np.array_equal(np.sort(route.target), straight):
            return None
        order = route.source[np.argsort(route.target)]
        if not np.array_equal(np.sort(order), straight):
            return None
        if not np.array_equal(order, straight):
            changed.append((route.axis, order))
    return changed[0] if len(changed) == 1 else None


def link_shuffle(facts: Facts, shuffle: Shuffle) -> None:
    """Facts of the chain as a whole; what lies within it is written anew if anything is cut."""
    facts.shuffles[shuffle.nodes[-1]] = shuffle
    for axis, atoms in facts.atoms.of(shuffle.source):
        goal = facts.atoms.along(shuffle.result, axis)
        if goal is None:
            facts.link(atoms, None, shuffle.nodes[0])
        else:
            facts.link(atoms[shuffle.order] if axis == shuffle.axis else atoms, goal, shuffle.nodes[0])
    for node in shuffle.nodes:
        detail = f"{named(node)} is one of several that shuffle"
        for value in (*node.inputs[1:], *node.outputs):
            if value is not shuffle.result:
                facts.pin_value(value, "shape", detail)


def write_shuffle(editor: Editor, shuffle: Shuffle, kept: Bools) -> None:
    """Put one Gather in the place of a chain whose entries are cut."""
    order = (np.cumsum(kept) - 1)[shuffle.order[kept[shuffle.order]]]
    last = shuffle.nodes[-1]
    indices = editor.constant(order, last.name or last.op_type)
    source = shuffle.nodes[0].inputs[0] or shuffle.source  # by now: a move before it may have been written anew
    editor.replace(last, "Gather", source, indices, axis=shuffle.axis)
