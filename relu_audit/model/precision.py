"""Carry a graph over to float32 where a runtime has no kernels for its own element type."""

from __future__ import annotations

from collections.abc import Collection

import ml_dtypes
import numpy as np
import onnx_ir as ir

CARRIED = (ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
"""Types that onnxruntime's CPU provider has few kernels for. float32 holds bfloat16 exactly, and float64 nearly."""

_TYPE_ATTRIBUTES = ("to", "dtype", "stash_type")


def types_to_carry(model: ir.Model) -> tuple[ir.DataType, ...]:
    """Which of those types the graph uses."""
    used = {value.dtype for graph in model.graphs() for value in (*graph.inputs, *graph.initializers.values())}
    used |= {value.dtype for graph in model.graphs() for node in graph for value in node.outputs}
    return tuple(dtype for dtype in CARRIED if dtype in used)


def in_float32(model: ir.Model, dtypes: Collection[ir.DataType]) -> None:
    """Replace element types by float32 throughout: weights, constants, declared types and casts. Changes the graph."""
    if not dtypes:
        return
    for graph in model.graphs():
        for value in graph.inputs:
            _retype(value, dtypes)
        for value in graph.initializers.values():
            _retype(value, dtypes)
            if value.const_value is not None:
                value.const_value = _converted(value.const_value, dtypes)
        for node in graph:
            for value in node.outputs:
                _retype(value, dtypes)
            for name, attribute in list(node.attributes.items()):
                if attribute.type is ir.AttributeType.TENSOR:
                    node.attributes[name] = ir.AttrTensor(name, _converted(attribute.as_tensor(), dtypes))
                elif name in _TYPE_ATTRIBUTES and attribute.value in [int(dtype) for dtype in dtypes]:
                    node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _retype(value: ir.Value, dtypes: Collection[ir.DataType]) -> None:
    if value.dtype in dtypes:
        value.type = _in_float32(value.type)


def _in_float32(declared: ir.TypeProtocol | None) -> ir.TypeProtocol:
    """A type of float32, for a sequence or an optional value one of those."""
    if isinstance(declared, ir.SequenceType | ir.OptionalType):
        return type(declared)(_in_float32(declared.elem_type))
    return ir.TensorType(ir.DataType.FLOAT)


def _converted(tensor: ir.TensorProtocol, dtypes: Collection[ir.DataType]) -> ir.TensorProtocol:
    if tensor.dtype not in dtypes:
        return tensor
    array = tensor.numpy()
    if array.dtype == np.uint16:
        array = array.view(ml_dtypes.bfloat16)
    return ir.Tensor(array.astype(np.float32), name=tensor.name)
