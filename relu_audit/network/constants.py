"""The numbers of constants of any size, computed when they are asked for and not kept.

Weights are often not initializers but what a few nodes make of one: codes that are dequantized, a matrix that is
transposed. Such nodes are run one by one with the reference implementation that the format comes with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.model.kinds import is_tensor
from relu_audit.network.folding import within
from relu_audit.network.normalize import Network

_DEEPEST = 16
"""Nodes between an initializer and the constant, at most."""

LATER = 21
"""An opset for which there are implementations of operators that had none before, and mean what they meant."""

LARGEST = 1 << 28
"""Elements of a constant that is still computed; an initializer itself may have any number."""


def numbers(network: Network, value: ir.Value | None) -> np.ndarray | None:
    """The numbers of a value that no input of the graph takes part in; None for any other, and where they are lacking.

    An initializer's array is a view of the file wherever that is possible.
    """
    return _numbers(network, value, {}, 0)


def _numbers(
    network: Network, value: ir.Value | None, known: dict[ir.Value, np.ndarray | None], depth: int
) -> np.ndarray | None:
    """The numbers of a value; those that several nodes read are kept meanwhile."""
    if value is None or value not in network.weights or not is_tensor(value) or depth > _DEEPEST:
        return None
    if value.const_value is not None:
        return value.const_value.numpy()
    node = value.producer()
    small = network.constant(value)
    if node is None or small is not None:
        return small
    if not node.inputs and "value" in node.attributes:
        return node.attributes["value"].as_tensor().numpy()
    if value in known:
        return known[value]
    operands = [None if one is None else _numbers(network, one, known, depth + 1) for one in node.inputs]
    missing = any(one is not None and found is None for one, found in zip(node.inputs, operands, strict=True))
    if missing or sum(0 if one is None else one.size for one in operands) > LARGEST:
        found = None
    else:
        found = _run(network, node, operands, node.outputs.index(value))
    if len(value.uses()) > 1:
        known[value] = found
    return found


def _run(network: Network, node: ir.Node, operands: list[np.ndarray | None], output: int) -> np.ndarray | None:
    """One result of a node, by the reference implementation of the model's opset, or of a later one that has it."""
    for opset in (network.opsets.get("", 17), LATER):
        try:
            found = _evaluated(node, operands, opset)
        except Exception:  # noqa: S112 - it raises many kinds; what it cannot compute is reported as not known
            continue
        return np.asarray(found[output])
    network.note(f"the constant that a {node.op_type} computes could not be read: causes of death may be missing")
    return None


def _evaluated(node: ir.Node, operands: list[np.ndarray | None], opset: int) -> list[Any]:
    from onnx.reference import ReferenceEvaluator  # it takes a while, and few models need it

    values = [
        None
        if one is None
        else ir.Value(name=f"i{i}", type=ir.TensorType(ir.Tensor(one).dtype), shape=ir.Shape(one.shape))
        for i, one in enumerate(operands)
    ]
    # The operators of onnxruntime's own domain that make constants are those of the format under an older name.
    results = [ir.Value(name=f"o{i}") for i in range(len(node.outputs))]
    copy = ir.Node("", node.op_type, values, list(node.attributes.values()), outputs=results)
    given = [value for value in values if value is not None]
    graph = ir.Graph(given, results, nodes=[copy], opset_imports={"": opset}, name="one_node")
    proto: onnx.ModelProto = ir.to_proto(ir.Model(graph, ir_version=8))
    fed = {f"i{i}": one for i, one in enumerate(operands) if one is not None}
    if not within(proto, fed, LARGEST):
        raise ValueError(f"a {node.op_type} makes too much")
    evaluator: Any = ReferenceEvaluator(proto)
    return evaluator.run(None, fed)
