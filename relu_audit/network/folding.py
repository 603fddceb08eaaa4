"""The numbers of small constants that a graph computes from others, as exporters leave them (as pads)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from relu_audit.operators.families import CONTRACTING
from relu_audit.operators.moves import Operation
from relu_audit.operators.origins import Made, origin

MOST = 1 << 20
"""Elements that a node may compute, at most."""

TOLD = 1 << 12
"""Elements of an operand that may tell the shape of a result, at most."""


def computed(node: ir.Node, operands: Sequence[np.ndarray | None], opset: int) -> list[np.ndarray] | None:
    """The results of a node of the default domain, by onnx's reference evaluator.

    Args:
        node: The node.
        operands: Numbers of each input; None for one that is left out.
        opset: Version of the operator set.

    Returns:
        An array for each result; None where the evaluator cannot compute them, where they are drawn at random, and
        where they are not known beforehand to be small.
    """
    op = Operation(node=node, inputs=(), constants=tuple(operands), shapes=(), opset=opset)
    if origin(node.domain, node.op_type).draws(op):
        return None
    names = [f"input_{index}" if operand is not None else "" for index, operand in enumerate(operands)]
    results = [f"result_{index}" for index in range(len(node.outputs))]
    proto = ir.to_proto(node)
    proto.input[:] = names
    proto.output[:] = results
    fed = {name: operand for name, operand in zip(names, operands, strict=True) if operand is not None}
    try:
        takes = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in fed.items()
        ]
        gives = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in results]
        graph = onnx.helper.make_graph([proto], "folded", takes, gives)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
        if not within(model, fed, MOST):
            return None
        with np.errstate(all="ignore"):
            found: Any = ReferenceEvaluator(model).run(None, fed)  # pyright: ignore[reportUnknownMemberType]
    except Exception:  # the evaluator raises many kinds; what it cannot compute stays unknown
        return None
    tensors = all(isinstance(one, np.ndarray | np.generic) for one in found)  # a sequence is a list
    return [np.asarray(array) for array in found] if tensors else None


def within(model: onnx.ModelProto, fed: Mapping[str, np.ndarray], most: int) -> bool:
    """Whether the results of a model of one node have no more elements than that, by shape inference alone.

    A few bytes can ask for any number of elements (ConstantOfShape, Tile, Range), and a product of sums for any time.

    Args:
        model: The node, fed by the inputs of the graph.
        fed: What it is fed, by name.
        most: The largest number of elements.
    """
    told = onnx.ModelProto()
    told.CopyFrom(model)
    small = [onnx.numpy_helper.from_array(array, name) for name, array in fed.items() if array.size <= TOLD]
    told.graph.initializer.extend(small)
    read = sum(array.size for array in fed.values())
    (node,) = told.graph.node
    if node.op_type in CONTRACTING and math.prod(array.size for array in fed.values()) > most:
        return False
    picks = origin(node.domain, node.op_type).made is Made.UNTOLD
    inferred = onnx.shape_inference.infer_shapes(told, data_prop=True)
    made = 0
    for value in inferred.graph.output:
        result = value.type.tensor_type
        lengths = [dim.dim_value if dim.HasField("dim_value") else read if picks else None for dim in result.shape.dim]
        if not result.HasField("shape"):
            return False
        made += math.prod(most + 1 if length is None else length for length in lengths)
    return made <= most
