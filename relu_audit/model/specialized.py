"""Functions that take graphs as attributes, written anew for the graphs that their calls give them.

Afterwards no function takes a graph any more. Other attributes are left to the inliner, which does not know of graphs.
A default graph may read values of its function by name, so it is put in its place before names become values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
import onnx_ir as ir

from relu_audit.model.protos import Scope, bodies_of

GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)

MOST = 1000
"""Copies of functions, at most: a function that calls itself with ever larger graphs has no end."""

LARGEST = 1 << 24
"""Bytes of such copies: graphs that are given on may hold each other twice, and again twice."""

_Key = tuple[str, str, str]

_OVERLOAD = "relu_audit.overload"
"""Metadata key under which a function that was written anew carries the overload that it has in the file."""


def bind_graphs(model: onnx.ModelProto) -> None:
    """Give every call of a function that takes graphs a function with those graphs in it. The model is changed.

    Raises:
        ValueError: There would be too many of them.
    """
    takers = {_key(function): function for function in model.functions if any(_references(function))}
    plain = [function for function in model.functions if _key(function) not in takers]
    made: dict[tuple[object, ...], onnx.FunctionProto] = {}
    size = 0
    pending: list[Scope] = [model.graph, *plain]
    while pending:
        for node in _nodes(pending.pop()):
            key = (node.domain, node.op_type, node.overload)
            if key not in takers:
                continue
            taken = (*takers[key].attribute_proto, *node.attribute)
            graphs = {attribute.name: attribute for attribute in taken if attribute.type in GRAPHS}
            kind = (key, *sorted((name, graph.SerializeToString()) for name, graph in graphs.items()))
            if kind not in made:
                if len(made) == MOST:
                    raise ValueError(f"its functions take more than {MOST} graphs")
                made[kind] = _with_graphs(takers[key], graphs)
                size += made[kind].ByteSize()
                if size > LARGEST:
                    raise ValueError(f"its functions take graphs of more than {LARGEST:,} bytes in all")
                made[kind].overload = f"{node.overload}relu_audit_{len(made)}"
                pending.append(made[kind])
            node.overload = made[kind].overload
            _remove_graphs(node)
    if takers:
        del model.functions[:]
        model.functions.extend([*plain, *made.values()])


def own_overload(function: ir.Function) -> str:
    """The overload that a function has in the file."""
    return function.metadata_props.get(_OVERLOAD, function.overload)


def _key(function: onnx.FunctionProto) -> _Key:
    return function.domain, function.name, function.overload


def _nodes(scope: Scope) -> Iterator[onnx.NodeProto]:
    """All nodes, those of bodies included."""
    for node in scope.node:
        yield node
        for body in bodies_of(node):
            yield from _nodes(body)


def _references(scope: Scope) -> Iterator[onnx.AttributeProto]:
    """The attributes of nodes that stand for a graph which is given to the function."""
    for node in _nodes(scope):
        yield from (one for one in node.attribute if one.ref_attr_name and one.type in GRAPHS)


def _with_graphs(function: onnx.FunctionProto, graphs: Mapping[str, onnx.AttributeProto]) -> onnx.FunctionProto:
    """A copy of a function in which graphs stand where it refers to them; one that is not given is left out."""
    copy = onnx.FunctionProto()
    copy.CopyFrom(function)
    for node in _nodes(copy):
        own = list(node.attribute)
        del node.attribute[:]
        for attribute in own:
            if attribute.ref_attr_name and attribute.type in GRAPHS:
                if attribute.ref_attr_name not in graphs:
                    continue
                name = attribute.name
                attribute.CopyFrom(graphs[attribute.ref_attr_name])
                attribute.name = name
            node.attribute.append(attribute)
    copy.metadata_props.add(key=_OVERLOAD, value=function.overload)
    defaults = [default for default in copy.attribute_proto if default.type not in GRAPHS]
    del copy.attribute_proto[:]
    copy.attribute_proto.extend(defaults)
    return copy


def _remove_graphs(node: onnx.NodeProto) -> None:
    kept = [attribute for attribute in node.attribute if attribute.type not in GRAPHS]
    del node.attribute[:]
    node.attribute.extend(kept)
