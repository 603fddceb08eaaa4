"""A model as its file has it: all graphs, nodes and tensors of a protobuf, and what a node reads."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

MOST_AXES = 64
"""Axes of an array that numpy has."""

Scope = onnx.GraphProto | onnx.FunctionProto
"""What nodes stand in."""


def scopes(model: onnx.ModelProto) -> Iterator[Scope]:
    """The main graph, the functions, and every body of a node in any of them, each before its own bodies.

    The nodes of a scope may be changed before the next scope is asked for.
    """
    pending: list[Scope] = [model.graph, *model.functions]
    for function in model.functions:
        pending += [graph for default in function.attribute_proto for graph in graphs_in(default)]
    while pending:
        scope = pending.pop()
        yield scope
        pending += [graph for node in scope.node for graph in bodies_of(node)]


def graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The scopes that are graphs."""
    return (scope for scope in scopes(model) if isinstance(scope, onnx.GraphProto))


def attributes(model: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    """The attributes of every node, and the defaults of those that functions take."""
    for function in model.functions:
        yield from function.attribute_proto
    for scope in scopes(model):
        for node in scope.node:
            yield from node.attribute


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, the two that make up a sparse one included."""
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in attributes(model):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def graphs_in(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    """The graphs that an attribute holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def bodies_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs that a node has as attributes."""
    return [graph for attribute in node.attribute for graph in graphs_in(attribute)]


def reads(node: onnx.NodeProto) -> set[str]:
    """Names of the values that a node reads, in its bodies too."""
    return {name for name in node.input if name}.union(*map(_reads_from_outside, bodies_of(node)))


def _reads_from_outside(graph: onnx.GraphProto) -> set[str]:
    inside = {value.name for value in (*graph.input, *graph.initializer)}
    inside.update(name for node in graph.node for name in node.output)
    return {value.name for value in graph.output}.union(*map(reads, graph.node)) - inside
