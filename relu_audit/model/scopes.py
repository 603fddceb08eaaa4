"""Graphs within graphs: the bodies of a node, and every node with the path of scopes that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

SCOPE = "relu_audit.scope"
"""Start of the metadata keys under which a node inlined from functions carries the calls that led to it."""

NAME = "relu_audit.name"
"""Metadata key under which a node of a function carries its name there, before inlining made it unique."""

FUSED = "relu_audit.fused"
"""Metadata key under which an activation taken out of a fused operator carries that operator's type."""


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
    if not node.attributes:
        return found
    for name, attribute in node.attributes.items():
        kind = attribute.type
        if kind is not ir.AttributeType.GRAPH and kind is not ir.AttributeType.GRAPHS:
            continue
        if attribute.is_ref():  # a function's own parameter, known once it is called
            continue
        if kind is ir.AttributeType.GRAPH:
            found.append((name, attribute.as_graph()))
        else:
            found += [(f"{name}_{i}", graph) for i, graph in enumerate(attribute.as_graphs())]
    return found


def calls(node: ir.Node) -> list[str]:
    """The calls of functions that the node was inlined from, outermost first."""
    if not node.metadata_props:
        return []
    return [text for key, text in sorted(node.metadata_props.items()) if key.startswith(SCOPE)]


def walk(graph: ir.Graph) -> Iterator[Step]:
    """Every node in graph order, the nodes of its bodies right before it: what they compute, it gives out."""
    position = 0

    def inner(graph: ir.Graph, scope: str, owners: tuple[ir.Node, ...]) -> Iterator[Step]:
        nonlocal position
        outside = calls(owners[-1]) if owners else []
        for index, node in enumerate(graph):
            made = calls(node)
            # What sits in the body of an inlined node has inherited the calls that led to it.
            here = _joined(scope, *(made[len(outside) :] if made[: len(outside)] == outside else made))
            for name, body in bodies(node):
                given = node.metadata_props.get(NAME, node.name) or f"{node.op_type}_{index}"
                path = _joined(here, given, name)
                yield from inner(body, path, (*owners, node))
            yield Step(node, position, here, owners)
            position += 1

    yield from inner(graph, "", ())


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))
