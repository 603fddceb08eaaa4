"""Sparse tensors of a file, made dense: onnxruntime does the same before anything is computed.

Source: SparseTensorProto in onnx.proto; its indices number the elements, or have one column per axis.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.model.protos import graphs, scopes

MOST_BYTES = (1 << 31) - 1
"""A dense tensor may not be larger: a protobuf ends here."""


def densify(model: onnx.ModelProto, folder: Path | None) -> int:
    """Write every sparse initializer as an initializer, and the sparse value of a Constant as its value.

    Args:
        model: The model; it is changed.
        folder: Where its external weights lie.

    Returns:
        How many there were.

    Raises:
        ValueError: A sparse tensor contradicts itself, or would be too large.
    """
    found = 0
    for graph in graphs(model):
        found += len(graph.sparse_initializer)
        graph.initializer.extend(_dense(sparse, folder) for sparse in graph.sparse_initializer)
        del graph.sparse_initializer[:]
    functions = {(function.domain, function.name) for function in model.functions}
    taken = [default for function in model.functions for default in function.attribute_proto]
    for node in (node for scope in scopes(model) for node in scope.node):
        if (node.domain, node.op_type) in functions:
            taken += node.attribute
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "sparse_value":
                attribute.name = "value"
                taken.append(attribute)
    for attribute in taken:
        if attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
            attribute.type = onnx.AttributeProto.TENSOR
            if attribute.HasField("sparse_tensor"):  # otherwise it refers to what a function is given
                found += 1
                attribute.t.CopyFrom(_dense(attribute.sparse_tensor, folder))
                attribute.ClearField("sparse_tensor")
    return found


def _dense(sparse: onnx.SparseTensorProto, folder: Path | None) -> onnx.TensorProto:
    name, shape = sparse.values.name, tuple(sparse.dims)
    if sparse.values.data_type == onnx.TensorProto.STRING:
        raise ValueError(f"the sparse weight '{name}' holds text, which no runtime reads")
    values = _read(sparse.values, folder)
    if min(shape, default=0) < 0 or math.prod(shape) * values.dtype.itemsize > MOST_BYTES:
        raise ValueError(f"the sparse weight '{name}' of shape {list(shape)} is too large for a tensor")
    dense = np.zeros(math.prod(shape), values.dtype)
    if values.size:
        dense[_places(sparse, shape, values.size, folder)] = values.ravel()
    tensor = ir.Tensor(dense.reshape(shape), dtype=ir.DataType(sparse.values.data_type), name=name)
    return ir.to_proto(tensor)


def _places(sparse: onnx.SparseTensorProto, shape: tuple[int, ...], count: int, folder: Path | None) -> np.ndarray:
    """The number of each value's element, row-major."""
    name = sparse.values.name
    indices = _read(sparse.indices, folder)
    wanted = (count, len(shape)) if indices.ndim > 1 else (count,)
    if indices.dtype.kind not in "iu" or indices.shape != wanted:
        raise ValueError(f"the indices of the sparse weight '{name}' do not fit its {count} values")
    limits = np.asarray(shape if indices.ndim > 1 else math.prod(shape))
    if ((indices < 0) | (indices >= limits)).any():
        raise ValueError(f"an index of the sparse weight '{name}' lies outside its shape {list(shape)}")
    return np.asarray(np.ravel_multi_index(tuple(indices.T), shape)) if indices.ndim > 1 else indices


def _read(tensor: onnx.TensorProto, folder: Path | None) -> np.ndarray:
    held = ir.from_proto(tensor)
    if isinstance(held, ir.ExternalTensor) and folder is not None:
        held.base_dir = folder
    return held.numpy()
