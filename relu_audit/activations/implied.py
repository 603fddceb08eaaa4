"""Rectifiers that no node spells out: inside other operators, and in the codes of quantized values.

A quantized value whose zero point is the least code of its type cannot be negative: what is below zero becomes zero,
with no gradient through it, exactly as behind a Relu. Quantizers use that to leave the Relu out.

Sources: the operator pages of ONNX for QuantizeLinear, QLinearConv and QLinearMatMul, onnxruntime's contrib operator
pages for the others.
"""

from __future__ import annotations

import onnx_ir as ir

from relu_audit.activations import computed, inside, rectifiers
from relu_audit.activations.readings import Reading, Rectifies, Unclear
from relu_audit.activations.spelt import Functions
from relu_audit.activations.taps import Codes
from relu_audit.network.normalize import Network
from relu_audit.values import signs


def read(functions: Functions, node: ir.Node) -> list[Reading]:
    """Everything about a node that rectifies, may rectify, or stays alive."""
    index = signs.ZERO_POINTS.get(signs.key(node))
    implicit = [] if index is None else _quantized(functions, node, index)
    spelt = rectifiers.read(functions, node)
    return inside.read(node) + (implicit or ([] if spelt is None else [spelt]))


def _quantized(functions: Functions, node: ir.Node, index: int) -> list[Reading]:
    network, codes = functions.network, node.outputs[0]
    if codes in network.weights or not signs.least_is_zero(network, node, index):
        return []

    def rectified(other: ir.Node) -> bool:
        return rectifiers.never_negative(functions, other)

    if _spelt_behind(functions, codes):
        return []
    row = signs.TABLE.get(signs.key(node), signs.Sign())
    operands = [node.inputs[i] for i in signs.asked(row, node)]
    known = functions.once("never negative", dict[ir.Value, bool])
    if row.always or (operands and all(signs.never_negative(network, value, rectified, known) for value in operands)):
        return []
    zero = node.inputs[index] if index < len(node.inputs) else None
    scale = node.inputs[index - 1] if index <= len(node.inputs) else None  # without one, QGemm gives no codes
    if scale is None or scale not in network.weights:
        return []
    numbers = network.constant(scale)
    if numbers is None or numbers.size != 1:
        return [Unclear(node.op_type, "its codes have a scale for every channel", slug="scale-per-axis")]
    point = network.constant(zero)
    loose = node.op_type == "QuantizeLinear" and not _fuses(network, node.inputs[0])
    text = "0" if point is None else f"{int(point.ravel()[0])}"
    return [
        Rectifies(
            f"{node.op_type}(zero point {text})",
            source=node.inputs[0] if loose else None,
            hides_nan=loose,
            tap=Codes(scale, zero),
            implicit=f"the zero point {text} of its codes is the least of their type: what is negative becomes zero",
        )
    ]


def _spelt_behind(functions: Functions, codes: ir.Value) -> bool:
    """Whether nothing reads the codes but rectifiers that a quantizer has left in: those are the sites then."""
    read = [user for user, _ in codes.uses()]
    behind = [user for node in read for user, _ in node.outputs[0].uses()]
    decoded = bool(read) and all(node.op_type == "DequantizeLinear" for node in read)
    return decoded and bool(behind) and all(computed.cuts_at_zero(functions, node) for node in behind)


def _fuses(network: Network, value: ir.Value | None) -> bool:
    """Whether the runtime computes the value in codes, since what it is computed from is: then it shows nowhere."""
    node = None if value is None else value.producer()
    if node is None:
        return False
    operands = [v for v in node.inputs if v is not None and v not in network.weights]
    producers = [v.producer() for v in operands]
    return bool(producers) and all(p is not None and p.op_type == "DequantizeLinear" for p in producers)
