"""Nodes that behave as in training: some draw random numbers, some compute statistics of their batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import onnx
import onnx_ir as ir

from relu_audit.model.scopes import walk
from relu_audit.network.normalize import Network
from relu_audit.operators.moves import Operation
from relu_audit.operators.origins import Origin, origin

SEED = 0
"""The seed that random nodes are given where the file gives none."""


def drawing(network: Network) -> list[ir.Node]:
    """The nodes that draw random numbers."""
    return [*_nodes(network, lambda row, op: row.draws(op))]


def learning(network: Network) -> list[ir.Node]:
    """The nodes that compute with the statistics of the batch they are given."""
    return [*_nodes(network, lambda row, op: row.learns(op))]


def _nodes(network: Network, behaves: Callable[[Origin, Operation], bool]) -> Iterator[ir.Node]:
    for node in (step.node for step in walk(network.model.graph)):
        row = origin(node.domain, node.op_type)
        constants = network.constants(node.inputs)
        opset = network.opsets.get(node.domain, network.opsets.get("", 0))
        if behaves(row, Operation(node=node, inputs=(), constants=constants, shapes=(), opset=opset)):
            yield node


def seed_nodes(model: ir.Model, names: Collection[str], seed: int = SEED) -> None:
    """Give random nodes a seed, where their operator takes one and the file gives none.

    Args:
        model: The graph; it is changed.
        names: Names of the first results of the nodes.
        seed: The seed.
    """
    for node in _named(model, names):
        if "seed" not in node.attributes:
            _seed(model, node, seed)


def reseed_nodes(model: ir.Model, names: Collection[str], seed: int) -> None:
    """Give random nodes another seed, whatever the file gives.

    Args:
        model: The graph; it is changed.
        names: Names of the first results of the nodes.
        seed: The seed.
    """
    for node in _named(model, names):
        _seed(model, node, seed)


def _named(model: ir.Model, names: Collection[str]) -> Iterator[ir.Node]:
    for node in (step.node for step in walk(model.graph)):
        if node.outputs and node.outputs[0].name in names:
            yield node


def _seed(model: ir.Model, node: ir.Node, seed: int) -> None:
    kind = _kind_of_seed(model, node)
    if kind is onnx.defs.OpSchema.AttrType.INT:
        node.attributes["seed"] = ir.AttrInt64("seed", seed)
    elif kind is onnx.defs.OpSchema.AttrType.FLOAT:
        node.attributes["seed"] = ir.AttrFloat32("seed", float(seed))


def _kind_of_seed(model: ir.Model, node: ir.Node) -> object:
    """The type of the operator's attribute ``seed``; None where there is none."""
    try:
        schema = onnx.defs.get_schema(node.op_type, model.opset_imports.get(node.domain, 1), node.domain)
    except onnx.defs.SchemaError:
        return None
    return schema.attributes["seed"].type if "seed" in schema.attributes else None
