"""The numbers that a file holds, and which of them are parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir

CODES = frozenset(
    {ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT4, ir.DataType.UINT4, ir.DataType.INT2, ir.DataType.UINT2}
)
"""Integers so short that they are no sizes or indices, but quantized numbers."""

BIASED = frozenset(
    {
        ("", "DequantizeLinear"),
        ("", "QLinearConv"),
        ("com.microsoft", "DequantizeLinear"),
        ("com.microsoft", "QGemm"),
        ("com.microsoft", "QLinearConv"),
    }
)
"""Operators whose operands of 32-bit integers are sums of products of codes: quantized biases.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators) and of onnxruntime (docs/ContribOperators.md).
"""


def held(model: ir.Model) -> list[ir.TensorProtocol]:
    """Every tensor of a model once: initializers, those in Constant nodes, in bodies and functions too.

    Those that functions take as attributes are among them, given by a call or by default.
    """
    initializers = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
    calls = [node for node in _nodes(model) if node.op_identifier() in model.functions]
    given = [attribute for one in (*calls, *model.functions.values()) for attribute in one.attributes.values()]
    found = [*initializers, *map(_in_node, _nodes(model)), *map(_tensor, given)]
    return [*{id(tensor): tensor for tensor in found if tensor is not None}.values()]


def parameters(model: ir.Model) -> int:
    """Elements of the tensors that are weights: all of floating point, quantized codes, and quantized biases.

    Whole numbers that are sizes, axes or indices are none. A tensor that serves several places counts once.
    """
    biases = {id(tensor) for tensor in _biases(model)}
    return sum(
        math.prod(tensor.shape.numpy())
        for tensor in held(model)
        if tensor.dtype.is_floating_point() or tensor.dtype in CODES or id(tensor) in biases
    )


def _biases(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for node in _nodes(model):
        for value in node.inputs if (node.domain, node.op_type) in BIASED else ():
            tensor = None if value is None else _numbers(value)
            if tensor is not None and tensor.dtype is ir.DataType.INT32:
                yield tensor


def _numbers(value: ir.Value) -> ir.TensorProtocol | None:
    node = value.producer()
    return value.const_value if node is None else _in_node(node)


def _in_node(node: ir.Node) -> ir.TensorProtocol | None:
    attribute = node.attributes.get("value")
    return None if node.inputs or attribute is None else _tensor(attribute)


def _tensor(attribute: ir.Attr) -> ir.TensorProtocol | None:
    """The tensor of an attribute; None for another kind of it, and for a reference to what a function is given."""
    tensor = attribute.type is ir.AttributeType.TENSOR and not attribute.is_ref() and attribute.value is not None
    return attribute.as_tensor() if tensor else None


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    for graph in (model.graph, *model.functions.values()):
        yield from graph.all_nodes()
