"""Families of operators by what they do: every operator of ONNX is run, and its entries changed one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import onnx
import onnx.reference
from onnx import defs, helper

from relu_audit.errors import RunError
from tests.prune_checks import session

SHAPE = (2, 3, 4, 4)
TYPES = (np.float32, np.int32, np.bool_, np.uint8)
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "BitShift": {"direction": "LEFT"},
    "Cast": {"to": 1},
    "LpPool": {"kernel_shape": [2, 2]},
    "AveragePool": {"kernel_shape": [2, 2]},
    "MaxPool": {"kernel_shape": [2, 2]},
}
"""Attributes without which an operator does not run."""

RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"}
DEPRECATED = {"Upsample", "Scatter"}


@cache
def operators(operands: int) -> Sequence[str]:
    """All operators of ONNX that take so many tensors."""
    schemas = [one for one in defs.get_all_schemas() if not one.domain and one.name not in DEPRECATED]
    return sorted(one.name for one in schemas if one.min_input <= operands <= one.max_input)


def made(op: str, operands: Sequence[np.ndarray], **options: object) -> np.ndarray | None:
    """The first result; None where the operator does not take such operands."""
    names = [f"x{i}" for i, _ in enumerate(operands)]
    kinds = [helper.np_dtype_to_tensor_dtype(one.dtype) for one in operands]
    node = helper.make_node(op, names, ["y"], **{**OPTIONS.get(op, {}), **options})
    for opset in (18, 24):
        inputs = [helper.make_tensor_value_info(n, k, a.shape) for n, k, a in zip(names, kinds, operands, strict=True)]
        graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        fed = dict(zip(names, operands, strict=True))
        try:
            return np.asarray(session(model, optimised=False).run(None, fed)[0])
        except Exception:  # noqa: BLE001 - it takes no such operands, or there is no kernel
            continue
    return None
