"""Rectifiers that no node spells out: in the activations of recurrent operators, and in the codes of quantized values.

A quantized value whose zero point is the least code of its type cannot be negative: what is below zero becomes zero,
with no gradient through it, exactly as behind a Relu. Quantizers use that to leave the Relu out.

Sources: the operator pages of ONNX for RNN, GRU, LSTM (opsets 1 to 22), QuantizeLinear, QLinearConv and QLinearMatMul,
onnxruntime's contrib operator pages for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.graph import rectifiers, signs
from relu_audit.graph.normalize import Network
from relu_audit.graph.rectifiers import Reading, Rectifies, Unclear
from relu_audit.graph.taps import Codes, Direction


@dataclass(frozen=True)
class Recurrence:
    """The activations of a recurrent operator, as they are listed for each direction.

    Attributes:
        defaults: Their names where the node gives none.
        hidden: Those that make the hidden state zero wherever they are, so that its units are rectified.
        gates: Those that only show inside the operator.
    """

    defaults: tuple[str, ...]
    hidden: tuple[int, ...]
    gates: tuple[int, ...] = ()


RECURRENCES: Mapping[str, Recurrence] = {
    "RNN": Recurrence(("Tanh",), hidden=(0,)),
    "GRU": Recurrence(("Sigmoid", "Tanh"), hidden=(1,), gates=(0,)),
    "LSTM": Recurrence(("Sigmoid", "Tanh", "Tanh"), hidden=(1, 2), gates=(0,)),
}

_STATES_DIRECTION = 1
"""Axis of the direction in a recurrent operator's first result: [time, direction, batch, hidden]."""


def read(network: Network, node: ir.Node) -> list[Reading]:
    """Everything about a node that rectifies, may rectify, or stays alive."""
    if node.op_type in RECURRENCES and node.domain in ("", "ai.onnx"):
        return _recurrent(node, RECURRENCES[node.op_type])
    index = signs.ZERO_POINTS.get(signs.key(node))
    implicit = [] if index is None else _quantized(network, node, index)
    spelt = rectifiers.read(network, node)
    return implicit or ([] if spelt is None else [spelt])


def _recurrent(node: ir.Node, row: Recurrence) -> list[Reading]:
    directions = 2 if _text(node, "direction") == "bidirectional" else 1
    per = len(row.defaults)
    names = _texts(node, "activations") or list(row.defaults) * directions
    names = [name.lower() for name in names]
    alphas = _alphas(node, names)
    rectify = [_flat(name, alpha) for name, alpha in zip(names, alphas, strict=True)]
    hidden = [d for d in range(directions) if any(rectify[d * per + i] for i in row.hidden if d * per + i < len(names))]
    readings: list[Reading] = []
    if hidden:
        kind = next(names[d * per + i] for d in hidden for i in row.hidden if rectify[d * per + i])
        spelling = f"{node.op_type}({_SPELT[kind]})"
        whole = len(hidden) == directions
        readings.append(
            Rectifies(spelling, source=None)
            if whole
            else Rectifies(spelling, source=None, tap=Direction(_STATES_DIRECTION, hidden[0]))
        )
    if any(rectify[d * per + i] for d in range(directions) for i in row.gates if d * per + i < len(names)):
        detail = "a rectifier as the activation of its gates shows nowhere outside the operator"
        readings.append(Unclear(node.op_type, detail, slug="in-operator"))
    return readings


_SPELT = {"relu": "Relu", "thresholdedrelu": "ThresholdedRelu", "leakyrelu": "LeakyRelu(0)"}

_WITH_ALPHA = {
    "affine": 1.0,
    "leakyrelu": 0.01,
    "thresholdedrelu": 1.0,
    "scaledtanh": 1.0,
    "hardsigmoid": 0.2,
    "elu": 1.0,
}
"""Activations that take a number from ``activation_alpha``, with what it is where the node gives none."""


def _alphas(node: ir.Node, names: list[str]) -> list[float | None]:
    attribute = node.attributes.get("activation_alpha")
    given = iter(() if attribute is None else attribute.as_floats())
    return [next(given, _WITH_ALPHA[name]) if name in _WITH_ALPHA else None for name in names]


def _flat(name: str, alpha: float | None) -> bool:
    if name == "leakyrelu":
        return alpha == 0
    return name == "relu" or (name == "thresholdedrelu" and alpha is not None and alpha >= 0)


def _quantized(network: Network, node: ir.Node, index: int) -> list[Reading]:
    codes = node.outputs[0]
    if codes in network.weights or not signs.least_is_zero(network, node, index):
        return []

    def rectified(other: ir.Node) -> bool:
        return isinstance(rectifiers.read(network, other), Rectifies)

    if _spelt_behind(codes, rectified):
        return []
    row = signs.TABLE.get(signs.key(node), signs.Sign())
    operands = [node.inputs[i] for i in (*row.all_of, *row.any_of) if i < len(node.inputs)]
    if row.always or (operands and all(signs.never_negative(network, value, rectified) for value in operands)):
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
            source=0 if loose else None,
            hides_nan=loose,
            tap=Codes(scale, zero),
            implicit=f"the zero point {text} of its codes is the least of their type: what is negative becomes zero",
        )
    ]


def _spelt_behind(codes: ir.Value, rectified: signs.Judge) -> bool:
    """Whether nothing reads the codes but rectifiers that a quantizer has left in: those are the sites then."""
    read = [user for user, _ in codes.uses()]
    behind = [user for node in read for user, _ in node.outputs[0].uses()]
    decoded = bool(read) and all(node.op_type == "DequantizeLinear" for node in read)
    return decoded and bool(behind) and all(map(rectified, behind))


def _fuses(network: Network, value: ir.Value | None) -> bool:
    """Whether the runtime computes the value in codes, since what it is computed from is: then it shows nowhere."""
    node = None if value is None else value.producer()
    if node is None:
        return False
    operands = [v for v in node.inputs if v is not None and v not in network.weights]
    producers = [v.producer() for v in operands]
    return bool(producers) and all(p is not None and p.op_type == "DequantizeLinear" for p in producers)


def _text(node: ir.Node, name: str) -> str:
    attribute = node.attributes.get(name)
    return "" if attribute is None else attribute.as_string()


def _texts(node: ir.Node, name: str) -> list[str]:
    attribute = node.attributes.get(name)
    return [] if attribute is None else list(attribute.as_strings())
