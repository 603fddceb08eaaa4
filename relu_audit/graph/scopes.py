"""Graphs within graphs: the bodies of a node, and every node with the path of scopes that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

SCOPE = "relu_audit.scope"
"""Metadata key under which a node inlined from a function carries the function's name."""


@dataclass(frozen=True)
class Step:
    """A node among all nodes of the model.

    Attributes:
        node: The node.
        position: Its number in walking order.
        scope: Names of the nodes and bodies it sits in, outermost first; empty in the main graph.
        owners: Those nodes.
    """

    node: ir.Node
    position: int
    scope: str
    owners: tuple[ir.Node, ...]


def bodies(node: ir.Node) -> list[tuple[str, ir.Graph]]:
    """The subgraphs of a node, by attribute."""
    found: list[tuple[str, ir.Graph]] = []
    for name, attribute in node.attributes.items():
        if attribute.type is ir.AttributeType.GRAPH:
            found.append((name, attribute.as_graph()))
        elif attribute.type is ir.AttributeType.GRAPHS:
            found += [(f"{name}_{i}", graph) for i, graph in enumerate(attribute.as_graphs())]
    return found


def walk(graph: ir.Graph) -> Iterator[Step]:
    """Every node in graph order, the nodes of its bodies right before it: what they compute, it gives out."""
    position = 0

    def inner(graph: ir.Graph, scope: str, owners: tuple[ir.Node, ...]) -> Iterator[Step]:
        nonlocal position
        for index, node in enumerate(graph):
            for name, body in bodies(node):
                path = _joined(scope, node.name or f"{node.op_type}_{index}", name)
                yield from inner(body, path, (*owners, node))
            yield Step(node, position, _joined(scope, node.metadata_props.get(SCOPE, "")), owners)
            position += 1

    yield from inner(graph, "", ())


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))
