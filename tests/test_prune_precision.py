"""Models in element types that the runtime has no kernels for: checked in float32, written as they were."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.prune_checks import prune
from tests.prune_patterns import PATTERNS

TYPES = {TensorProto.DOUBLE: np.dtype(np.float64), TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}


def carried(model: onnx.ModelProto, element: int) -> onnx.ModelProto:
    """The model with another type in the place of float32."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for index, weight in enumerate(model.graph.initializer):
        if weight.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(weight).astype(TYPES[element])
            copy.graph.initializer[index].CopyFrom(numpy_helper.from_array(array, weight.name))
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.elem_type = element
    return copy


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("conv2d_chain", TensorProto.DOUBLE),
        ("norm_after_then_unpadded", TensorProto.DOUBLE),
        ("layer_dead_as_a_whole_in_a_chain", TensorProto.DOUBLE),
        ("gemm_chain", TensorProto.BFLOAT16),
        ("whole_layer_into_a_gemm", TensorProto.BFLOAT16),
    ],
)
def test_a_type_without_kernels_is_kept(name: str, element: int) -> None:
    pattern = PATTERNS[name]
    model, data = carried(pattern.model, element), pattern.data(0)
    found = prune(model, data, align=1)
    assert len(found.dead_removed) >= pattern.removed
    result = found.pruned.model
    assert {one.data_type for one in result.graph.initializer} <= {element, TensorProto.INT64}
    assert found.pruned.verification is not None
    feed = {key: array.astype(TYPES[element]) for key, array in data.items()}
    for a, b in zip(ReferenceEvaluator(model).run(None, feed), ReferenceEvaluator(result).run(None, feed), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.array_equal(a.astype(np.float64), b.astype(np.float64))
