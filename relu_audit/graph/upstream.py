"""Which inputs of a graph have a part in some of its values."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from relu_audit.graph.scopes import bodies, walk


def inputs_of(graph: ir.Graph, values: Iterable[ir.Value]) -> frozenset[str]:
    """The inputs from which some values are computed, or by which it is decided whether they are.

    Args:
        graph: The main graph.
        values: Values of it, or of the bodies of its nodes.
    """
    owners = {body: step.node for step in walk(graph) for _, body in bodies(step.node)}
    pending, seen = list(values), set[ir.Value]()
    visited: set[ir.Node] = set()
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        node = value.producer()
        home = value.graph if node is None else node.graph
        if isinstance(home, ir.Graph) and home in owners:
            pending += [v for v in owners[home].inputs if v is not None]
        if node is None or node in visited:
            continue
        visited.add(node)
        pending += [v for v in node.inputs if v is not None]
        for _, body in bodies(node):
            pending += [v for inner in body.all_nodes() for v in inner.inputs if v is not None]
            pending += list(body.outputs)
    return frozenset(value.name or "" for value in graph.inputs if value in seen)
