"""Take activations out of the operators that onnxruntime fuses them into, so that they are nodes like any others.

One row per fused operator. What the fused operator computes is, by its own definition, what the two or three nodes
compute that replace it; onnxruntime fuses them again where that pays.

Sources: onnxruntime's contrib operator pages (com.microsoft, com.microsoft.nchwc) and its activation fusions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.names import Names
from relu_audit.model.scopes import FUSED, walk


@dataclass(frozen=True)
class Fusion:
    """What a fused operator is made of.

    Attributes:
        domain: Its domain.
        op: Its type.
        core: Domain and type of the operator without its activation.
        addend: Number of the input that is added before the activation; None if the core adds it itself.
        channels_last: Whether images have their channel axis at the end, where the core has it second.
    """

    domain: str
    op: str
    core: tuple[str, str]
    addend: int | None = None
    channels_last: bool = False


TABLE: tuple[Fusion, ...] = (
    Fusion("com.microsoft", "FusedConv", ("", "Conv"), addend=3),
    Fusion("com.microsoft", "NhwcFusedConv", ("", "Conv"), addend=3, channels_last=True),
    Fusion("com.microsoft", "FusedGemm", ("", "Gemm")),
    Fusion("com.microsoft", "FusedMatMulActivation", ("com.microsoft", "FusedMatMul")),
    Fusion("com.microsoft.nchwc", "Conv", ("com.microsoft.nchwc", "Conv")),
)

_ROWS = {(row.domain, row.op): row for row in TABLE}

ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Gelu": (),
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}
"""Attributes of each activation, in the order in which fused operators list their numbers."""


def unfuse(model: ir.Model) -> None:
    """Replace every fused operator by its parts. The result keeps its name."""
    names = Names(model)
    for node in [step.node for step in walk(model.graph)]:
        row = _ROWS.get((node.domain, node.op_type))
        if row is None:
            continue
        activation = _text(node, "activation")
        if activation in ACTIVATIONS or (not activation and row.core != (row.domain, row.op)):
            _replace(node, row, _Parts(node, names), clip_has_inputs=model.opset_imports.get("", 1) >= 11)


class _Parts:
    """The nodes that stand in for one."""

    def __init__(self, fused: ir.Node, names: Names) -> None:
        self.nodes: list[ir.Node] = []
        self._fused = fused
        self._names = names

    def node(
        self, op: tuple[str, str], inputs: Sequence[ir.Value | None], attributes: Sequence[ir.Attr] = ()
    ) -> ir.Value:
        result = self._fused.outputs[0]
        name = self._names.unused(f"{result.name}/{op[1]}")
        value = ir.Value(name=name, type=result.type)
        metadata = dict(self._fused.metadata_props)
        self.nodes.append(ir.Node(*op, inputs, attributes, outputs=[value], name=name, metadata_props=metadata))
        return value

    def transposed(self, value: ir.Value | None, order: Sequence[int]) -> ir.Value:
        return self.node(("", "Transpose"), [value], [ir.AttrInt64s("perm", order)])


def _replace(node: ir.Node, row: Fusion, parts: _Parts, *, clip_has_inputs: bool) -> None:
    inputs = list(node.inputs)
    addend = inputs.pop(row.addend) if row.addend is not None and row.addend < len(inputs) else None
    weight = inputs[1] if len(inputs) > 1 else None
    rank = 4 if weight is None or weight.shape is None else len(weight.shape)
    if row.channels_last:
        inputs[0] = parts.transposed(inputs[0], [0, rank - 1, *range(1, rank - 1)])
    kept = [attribute for name, attribute in node.attributes.items() if not name.startswith("activation")]
    value = parts.node(row.core, inputs, kept)
    if row.channels_last:
        value = parts.transposed(value, [0, *range(2, rank), 1])
    if addend is not None:
        value = parts.node(("", "Add"), [value, addend])
    if _text(node, "activation"):
        value = _activated(node, parts, value, clip_has_inputs=clip_has_inputs)
        parts.nodes[-1].metadata_props[FUSED] = row.op
    result = node.outputs[0]
    value.shape, name = result.shape, result.name
    result.replace_all_uses_with(value, replace_graph_outputs=True)
    graph = node.graph
    if graph is None:
        raise TypeError("a node outside any graph")
    graph.insert_before(node, parts.nodes)
    graph.remove(node, safe=True)
    value.name = name


def _activated(node: ir.Node, parts: _Parts, value: ir.Value, *, clip_has_inputs: bool) -> ir.Value:
    activation = _text(node, "activation")
    named = dict(zip(ACTIVATIONS[activation], _numbers(node), strict=False))
    if activation == "Clip" and clip_has_inputs:
        numpy_type = (value.dtype or ir.DataType.FLOAT).numpy()
        bounds = [
            parts.node(("", "Constant"), [], [ir.AttrTensor("value", ir.Tensor(np.asarray(number, numpy_type)))])
            for number in named.values()
        ]
        return parts.node(("", "Clip"), [value, *bounds])
    return parts.node(("", activation), [value], [ir.AttrFloat32(name, number) for name, number in named.items()])


def _numbers(node: ir.Node) -> list[float]:
    """``activation_params`` of a convolution; ``activation_alpha``, ``activation_beta``, ... of the others."""
    listed = node.attributes.get("activation_params")
    if listed is not None:
        return [float(number) for number in listed.as_floats()]
    names = (f"activation_{name}" for name in ("alpha", "beta", "gamma"))
    return [float(node.attributes[name].as_float()) for name in names if name in node.attributes]


def _text(node: ir.Node, name: str) -> str:
    attribute = node.attributes.get(name)
    return str(attribute.value) if attribute is not None else ""
