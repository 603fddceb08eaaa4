"""Values that are one number throughout, whatever shape the graph gives them: zeros in the shape of something else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from relu_audit.network.normalize import Network
from relu_audit.values.signs import key

_DEEPEST = 16
"""Operators that are looked back through."""

Follow = Callable[[Network, ir.Node, int], float | None]


def uniform(network: Network, value: ir.Value | None, depth: int = 0) -> float | None:
    """The number that a value holds everywhere; None if it holds several, or that is not known."""
    if value is None or depth > _DEEPEST:
        return None
    constant = network.constant(value)
    if constant is not None:
        same = constant.size and constant.dtype.kind in "fiub" and np.all(constant == constant.ravel()[0])
        return float(constant.ravel()[0]) if same else None
    node = value.producer()
    follow = None if node is None else _FOLLOWED.get(key(node))
    return None if node is None or follow is None else follow(network, node, depth + 1)


def _same(network: Network, node: ir.Node, depth: int) -> float | None:
    return uniform(network, node.inputs[0], depth)


def _cast(network: Network, node: ir.Node, depth: int) -> float | None:
    found, dtype = uniform(network, node.inputs[0], depth), node.outputs[0].dtype
    if found is None or dtype is None:
        return None
    if dtype is ir.DataType.BOOL:
        return float(found != 0)
    if dtype.is_floating_point():
        with np.errstate(over="ignore"):
            return float(np.asarray(found).astype(dtype.numpy()))
    fits = dtype.is_integer() and dtype.min <= found <= dtype.max
    return float(math.trunc(found)) if fits else None


def _filled(network: Network, node: ir.Node, depth: int) -> float | None:
    del network, depth
    attribute = node.attributes.get("value")
    return 0.0 if attribute is None else float(attribute.as_tensor().numpy().ravel()[0])


def _decoded(network: Network, node: ir.Node, depth: int) -> float | None:
    code, scale = (uniform(network, value, depth) for value in node.inputs[:2])
    zero = uniform(network, node.inputs[2], depth) if len(node.inputs) > 2 else 0.0
    return None if code is None or scale is None or zero is None else (code - zero) * scale


_MOVES = ("Identity", "Expand", "Reshape", "Unsqueeze", "Squeeze", "Tile", "Flatten", "Transpose", "Slice")

_FOLLOWED: Mapping[tuple[str, str], Follow] = {
    **{("", op): _same for op in _MOVES},
    **{("", op): _cast for op in ("Cast", "CastLike")},
    ("", "ConstantOfShape"): _filled,
    ("", "DequantizeLinear"): _decoded,
    ("com.microsoft", "DequantizeLinear"): _decoded,
}
