"""The numbers of small constants that a graph computes from others, as exporters leave them (as pads)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from relu_audit.graph.moves import Operation
from relu_audit.graph.origins import origin


def computed(node: ir.Node, operands: Sequence[np.ndarray | None], opset: int) -> list[np.ndarray] | None:
    """The results of a node of the default domain, by onnx's reference evaluator.

    Args:
        node: The node.
        operands: Numbers of each input; None for one that is left out.
        opset: Version of the operator set.

    Returns:
        An array for each result; None where the evaluator cannot compute them, or where they are drawn at random.
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
        with np.errstate(all="ignore"):
            found: Any = ReferenceEvaluator(model).run(None, fed)  # pyright: ignore[reportUnknownMemberType]
    except Exception:  # the evaluator raises many kinds; what it cannot compute stays unknown
        return None
    tensors = all(isinstance(one, np.ndarray | np.generic) for one in found)  # a sequence is a list
    return [np.asarray(array) for array in found] if tensors else None
