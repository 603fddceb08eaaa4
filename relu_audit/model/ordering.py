"""Nodes in the order in which they can be computed: the format asks for it, and onnxruntime does without."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import onnx

from relu_audit.model.protos import Scope, reads, scopes


def sort_nodes(model: onnx.ModelProto) -> None:
    """Sort the nodes of every graph and function so that each reads what earlier ones compute.

    Of the nodes that could be next, the first one in the file is: what is sorted already stays as it is.

    Raises:
        ValueError: Nodes read each other in a circle, or a value of a scope is there twice.
    """
    for scope in scopes(model):
        _check_once(scope)
        nodes = list(scope.node)
        order = _order(nodes)
        if order != list(range(len(nodes))):
            del scope.node[:]
            scope.node.extend(nodes[i] for i in order)


def _check_once(scope: Scope) -> None:
    """Refuse a scope in which a value has two origins: which of them is read, nothing tells."""
    held: dict[str, str] = {}
    for given in scope.input:
        name = given if isinstance(given, str) else given.name
        if name in held:
            raise ValueError(f"two inputs have the name '{name}'")
        held[name] = "an input"
    if isinstance(scope, onnx.GraphProto):
        held |= dict.fromkeys((tensor.name for tensor in scope.initializer), "an initializer")
    for node in scope.node:
        for name in filter(None, node.output):
            if name in held:
                raise ValueError(
                    f"the value '{name}' is there twice: as {held[name]}, and as an output of {node.op_type}"
                )
            held[name] = f"an output of {node.op_type}"


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """The numbers of the nodes, in the order in which they can be computed."""
    maker = {name: i for i, node in reversed([*enumerate(nodes)]) for name in node.output if name}
    needs = [{maker[name] for name in reads(node) if name in maker} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for i, needed in enumerate(needs):
        for before in needed:
            readers[before].append(i)
    missing = [len(needed) for needed in needs]
    ready = [i for i, count in enumerate(missing) if not count]  # a heap, as it is in order
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for i in readers[order[-1]]:
            missing[i] -= 1
            if not missing[i]:
                heapq.heappush(ready, i)
    if len(order) < len(nodes):
        raise ValueError(f"nodes read each other in a circle: {_circle(nodes, needs, set(order))}")
    return order


def _circle(nodes: Sequence[onnx.NodeProto], needs: Sequence[set[int]], computed: set[int]) -> str:
    """The outputs along one circle, each before what it is computed from."""
    path = [next(i for i in range(len(nodes)) if i not in computed)]
    while path.count(path[-1]) < 2:
        path.append(min(needs[path[-1]] - computed))
    circle = path[path.index(path[-1]) :]
    shown = [f"'{next(filter(None, nodes[i].output), nodes[i].op_type)}'" for i in circle]
    return " from ".join(shown if len(shown) <= MOST_SHOWN else [*shown[: MOST_SHOWN - 1], "...", shown[-1]])


MOST_SHOWN = 8
"""Names of a circle that are told, at most."""
