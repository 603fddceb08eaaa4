"""What rectifies: one row per operator, and the rows of activations that stay alive by construction.

A *rectifier* is zero with zero slope on one side of its input, so a unit that stays there passes no gradient. The
others (LeakyRelu, Gelu, ...) pass one everywhere: they are listed and never called dead.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators), opsets 1 to 26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import onnx_ir as ir

from relu_audit.activations import computed, spelt
from relu_audit.activations.formulas import number
from relu_audit.activations.ranked import goes_back, scattered
from relu_audit.activations.readings import Reading, Rectifies, StaysAlive
from relu_audit.activations.spelt import Functions
from relu_audit.activations.taps import Codes
from relu_audit.model.scopes import FUSED
from relu_audit.network.normalize import Network
from relu_audit.values.signs import key
from relu_audit.values.uniform import uniform

Reader = Callable[[Functions, ir.Node], Reading]


def read(functions: Functions, node: ir.Node) -> Reading:
    """What the node is, as an activation; None if it is none, or a part of another one."""
    reader = READERS.get(key(node))
    if reader is None or node.outputs[0] in functions.network.weights:
        return None
    reading = reader(functions, node)
    fused = node.metadata_props.get(FUSED)
    if fused is None:
        return reading
    if isinstance(reading, Rectifies):
        return replace(reading, spelling=f"{fused}({reading.spelling})")
    return replace(reading, name=f"{fused}({reading.name})") if isinstance(reading, StaysAlive) else reading


def never_negative(functions: Functions, node: ir.Node) -> bool:
    """Whether a node gives nothing below zero, whatever it reads."""
    if spelt.step_of(node) is not None:
        return computed.never_negative(functions, node)
    return isinstance(read(functions, node), Rectifies)


def _function(doc: str) -> Reader:
    """An operator that is read by what it computes, alone or together with others."""

    def reader(functions: Functions, node: ir.Node) -> Reading:
        reading = computed.read(functions, node)
        return None if isinstance(reading, Rectifies) and goes_back(functions, node) else reading

    reader.__doc__ = doc
    return reader


def _leaky_codes(functions: Functions, node: ir.Node) -> Reading:
    """Rectifies where alpha is 0; alive otherwise."""
    del functions
    alpha, scale = number(node, "alpha", 0.01), node.inputs[3]
    if alpha != 0 or scale is None:
        return StaysAlive("LeakyRelu", f"slope {alpha:g} below zero")
    return Rectifies("LeakyRelu(0)", tap=Codes(scale, node.inputs[4] if len(node.inputs) > 4 else None))


def _named(name: str, reason: str) -> Reader:
    def reader(functions: Functions, node: ir.Node) -> Reading:
        del functions, node
        return StaysAlive(name, reason)

    reader.__doc__ = f"Alive: {reason}."
    return reader


def _erf(functions: Functions, node: ir.Node) -> Reading:
    """Alive: stands for a Gelu spelt out, 0.5 x (1 + erf(x / sqrt 2))."""
    plus_one = _only_reader(node, "Add")
    gated = (
        plus_one is not None and _adds_one(functions.network, plus_one) and _only_reader(plus_one, "Mul") is not None
    )
    return StaysAlive("Gelu (Erf)", "0.5 x (1 + erf(x / sqrt 2)) has a gradient below zero") if gated else None


def _gate(name: str) -> Reader:
    """X * gate(x), which the gate stands for."""

    def reader(functions: Functions, node: ir.Node) -> Reading:
        if not _gates_its_own_input(functions.network, node):
            return None
        return StaysAlive(name, f"x * {node.op_type}(x) has a gradient below zero")

    reader.__doc__ = f"Alive: stands for {name}, where it multiplies what it was computed from."
    return reader


def _tanh(functions: Functions, node: ir.Node) -> Reading:
    """Alive: stands for Mish spelt out, x * tanh(softplus(x)), or Gelu's approximation, 0.5 x (1 + tanh(...))."""
    source = node.inputs[0]
    before = None if source is None else source.producer()
    if before is not None and before.op_type == "Softplus" and _multiplied_by(node, before.inputs[0]):
        return StaysAlive("Mish (Softplus, Tanh)", "x * tanh(softplus(x)) has a gradient below zero")
    plus_one = _only_reader(node, "Add")
    if plus_one is not None and _adds_one(functions.network, plus_one) and _only_reader(plus_one, "Mul") is not None:
        return StaysAlive("Gelu (Tanh)", "0.5 x (1 + tanh(...)) has a gradient below zero")
    return None


_LONGEST_GATE = 8
"""Scales and shifts between a value and the gate computed from it, at most."""


def _gates_its_own_input(network: Network, node: ir.Node) -> bool:
    """Whether the node's result comes to multiply the value it was computed from, scales and shifts aside."""
    source = node.inputs[0]
    for _ in range(_LONGEST_GATE):
        if source is None:
            return False
        if _multiplied_by(node, source, through_scales_of=network):
            return True
        producer = source.producer()
        if producer is None or producer.op_type not in ("Add", "Mul", "Div"):
            return False
        rest = [v for v in producer.inputs if v is not None and not _is_scalar(network, v)]
        source = rest[0] if len(rest) == 1 else None
    return False


def _multiplied_by(node: ir.Node, factor: ir.Value | None, through_scales_of: Network | None = None) -> bool:
    pending = [node.outputs[0]]
    while pending:
        value = pending.pop()
        for user, _ in value.uses():
            others = [v for v in user.inputs if v is not None and v is not value]
            if user.op_type == "Mul" and others == [factor]:
                return True
            scaled = user.op_type in ("Mul", "Div") and len(others) == 1
            if scaled and through_scales_of is not None and _is_scalar(through_scales_of, others[0]):
                pending.append(user.outputs[0])
    return False


def _is_scalar(network: Network, value: ir.Value) -> bool:
    constant = network.constant(value)
    return constant is not None and constant.size == 1


def _only_reader(node: ir.Node, op: str) -> ir.Node | None:
    users = [user for user, _ in node.outputs[0].uses()]
    return users[0] if len(users) == 1 and users[0].op_type == op else None


def _adds_one(network: Network, node: ir.Node) -> bool:
    return any(uniform(network, value) == 1 for value in node.inputs if value is not None)


_SMOOTH = "has a gradient below zero"
_TOGETHER = "Rectifies where what it makes with others of one value is zero, with no slope, on one side."

READERS: Mapping[tuple[str, str], Reader] = {
    ("", "Relu"): _function("Rectifies."),
    ("", "Clip"): _function("Rectifies where a bound is the constant 0: above a minimum, below a maximum."),
    ("", "Max"): _function("Rectifies against 0, however that is made, unit by unit."),
    ("", "Min"): _function("Rectifies against 0, the other way: what is positive becomes zero."),
    ("", "ThresholdedRelu"): _function("Rectifies; with an alpha below 0 a unit fires where it is not zero."),
    ("", "LeakyRelu"): _function("Rectifies where alpha is 0; alive otherwise."),
    ("", "PRelu"): _function("Rectifies, unit by unit, where the slope is 0; alive otherwise."),
    ("", "Elu"): _function("Rectifies where alpha is 0; alive otherwise."),
    ("", "Selu"): _function("Rectifies where alpha or gamma is 0; alive otherwise."),
    ("", "Celu"): _function("Rectifies where alpha is 0, and gives NaN above zero; alive otherwise."),
    ("", "HardSigmoid"): _function("Rectifies: a gate that is shut; not where alpha is 0."),
    ("", "HardSwish"): _function("Rectifies below -3; a unit fires where it is not zero."),
    **{("", op): _function(_TOGETHER) for op in ("Add", "Sub", "Mul", "Div", "Neg", "Sum", "Mean", "Where")},
    ("", "Scatter"): scattered,
    ("", "ScatterElements"): scattered,
    ("com.microsoft", "QLinearLeakyRelu"): _leaky_codes,
    ("", "Gelu"): _named("Gelu", _SMOOTH),
    ("", "Mish"): _named("Mish", _SMOOTH),
    ("", "Swish"): _named("Swish", _SMOOTH),
    ("com.microsoft", "Gelu"): _named("Gelu", _SMOOTH),
    ("com.microsoft", "FastGelu"): _named("FastGelu", _SMOOTH),
    ("com.microsoft", "BiasGelu"): _named("BiasGelu", _SMOOTH),
    ("com.microsoft", "QuickGelu"): _named("QuickGelu", _SMOOTH),
    ("", "Erf"): _erf,
    ("", "Sigmoid"): _gate("Silu"),
    ("", "Tanh"): _tanh,
}
