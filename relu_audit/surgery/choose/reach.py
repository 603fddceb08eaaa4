"""Which nodes something given out is computed from, if some edges are cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_ir as ir

from relu_audit.model.scopes import bodies, walk
from relu_audit.surgery.choose.solve import Reading
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.operators.signature import operation
from relu_audit.surgery.runs.survey import Survey

Edge = tuple[ir.Node, int]
"""A node and the number of one of its inputs."""


def live(
    graph: ir.Graph, dropped: Collection[Edge] = (), outputs: Collection[ir.Value] | None = None
) -> dict[ir.Node, None]:
    """The nodes that outputs are computed from, by other ways than the dropped edges; those in bodies too.

    Args:
        graph: The main graph.
        dropped: Edges that do not count.
        outputs: Values to start from; the graph's outputs by default.
    """
    pending = [value.producer() for value in (graph.outputs if outputs is None else outputs)]
    found: dict[ir.Node, None] = {}
    while pending:
        node = pending.pop()
        if node is None or node in found:
            continue
        found[node] = None
        pending += [value.producer() for value in _read(node, dropped)]
        for _, body in bodies(node):
            pending += [*body, *(value.producer() for value in body.outputs)]
    return found


def read(graph: ir.Graph, dropped: Collection[Edge] = (), staying: Collection[ir.Value] = ()) -> set[ir.Value]:
    """The values that are given out, stay anyway, or are read by a live node, by other ways than the dropped edges."""
    found = {*graph.outputs, *staying}
    for node in live(graph, dropped, found):
        found.update(_read(node, dropped))
        for _, body in bodies(node):
            found.update(body.outputs)
    return found


def reading(survey: Survey) -> Reading:
    """What is still read if some atoms go: operators that do without an empty operand do not read it."""
    atoms, graph = survey.atoms, survey.network.model.graph
    able: list[tuple[Edge, Ints]] = []
    for node in (step.node for step in walk(graph)):
        law = survey.law(node)
        for index, value in enumerate(node.inputs) if law is not None and law.drops is not None else ():
            shape = None if value is None else atoms.shape(value)
            if law is None or law.drops is None or index not in law.data or value is None or not shape:
                continue
            for axis in law.drops(operation(node), len(shape)):
                along = atoms.along(value, axis)
                if along is not None:
                    able.append(((node, index), along))
    known: dict[frozenset[Edge], set[ir.Value]] = {}

    def still_read(removed: Bools) -> set[ir.Value]:
        dropped = frozenset(edge for edge, along in able if removed[along].all())
        if dropped not in known:
            known[dropped] = read(graph, dropped, survey.staying)
        return known[dropped]

    return still_read


def _read(node: ir.Node, dropped: Collection[Edge]) -> Iterator[ir.Value]:
    for index, value in enumerate(node.inputs):
        if value is not None and (node, index) not in dropped:
            yield value
