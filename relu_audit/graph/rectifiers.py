"""What rectifies: one row per spelling, and the rows of activations that stay alive by construction.

A *rectifier* is zero with zero slope on one side of its input, so a unit that stays there passes no gradient. The
others (LeakyRelu, Gelu, ...) pass one on both sides: they are listed and never called dead.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators), opsets 1 to 24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from relu_audit.graph.normalize import Network
from relu_audit.graph.scopes import FUSED
from relu_audit.graph.taps import OPEN, Codes, Tap
from relu_audit.graph.uniform import uniform


@dataclass(frozen=True)
class Rectifies:
    """The node rectifies.

    Attributes:
        spelling: How that is written.
        source: Number of the input that it rectifies; None where the pre-activation shows nowhere.
        hides_nan: Whether its output is a number where its input is none.
        tap: How its first output is read.
        implicit: Why it rectifies, where no activation says so.
        above: The largest input that it does not let through.
    """

    spelling: str
    source: int | None = 0
    hides_nan: bool = False
    tap: Tap = OPEN
    implicit: str = ""
    above: float = 0.0


@dataclass(frozen=True)
class StaysAlive:
    """The node passes a gradient on both sides."""

    name: str
    reason: str


@dataclass(frozen=True)
class Unclear:
    """Whether the node rectifies depends on something that is not in the file, or it cannot be observed."""

    name: str
    detail: str
    slug: str


Reading = Rectifies | StaysAlive | Unclear | None
Reader = Callable[[Network, ir.Node], Reading]


def read(network: Network, node: ir.Node) -> Reading:
    """What the node is, as an activation; None if it is none."""
    reader = READERS.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
    reading = None if reader is None else reader(network, node)
    fused = node.metadata_props.get(FUSED)
    if fused is None:
        return reading
    if isinstance(reading, Rectifies):
        return replace(reading, spelling=f"{fused}({reading.spelling})")
    return replace(reading, name=f"{fused}({reading.name})") if isinstance(reading, StaysAlive) else reading


def _relu(network: Network, node: ir.Node) -> Reading:
    """Rectifies."""
    del network, node
    return Rectifies("Relu")


def _clip(network: Network, node: ir.Node) -> Reading:
    """Rectifies where its lower bound is the constant 0; alive as a part of HardSwish, x * Clip(x + 3, 0, 6) / 6."""
    if network.opsets.get("", 0) < 11:
        low, high = (_number(node, name) for name in ("min", "max"))
    else:
        bounds = [node.inputs[i] if i < len(node.inputs) else None for i in (1, 2)]
        numbers = [None if bound is None else uniform(network, bound) for bound in bounds]
        if bounds[0] is not None and numbers[0] is None:
            detail = "its minimum is computed by the graph, so whether it rectifies is not known"
            return Unclear("Clip", detail, slug="bounds-not-constant")
        low, high = numbers
    if low != 0 or not _is_activation(network, node):
        return None
    if _gates_its_own_input(network, node, shifted=True):
        return StaysAlive("HardSwish", "x * Clip(x + 3, 0, 6) / 6 has a gradient below zero")
    return Rectifies("Clip(0)" if high is None else f"Clip(0, {high:g})")


def _max(network: Network, node: ir.Node) -> Reading:
    """Rectifies against 0, however that is made."""
    rest = [i for i, value in enumerate(node.inputs) if value is not None and uniform(network, value) != 0]
    if not rest or len(rest) == len(node.inputs) or not _is_activation(network, node):
        return None
    return Rectifies("Max(x, 0)", source=rest[0] if len(rest) == 1 else None)


def _is_activation(network: Network, node: ir.Node) -> bool:
    """Clip and Max also bound sizes and indices: whole numbers, which carry no gradient."""
    value = node.outputs[0]
    return value not in network.weights and value.dtype not in (ir.DataType.INT64, ir.DataType.INT32)


def _thresholded(network: Network, node: ir.Node) -> Reading:
    """Rectifies where alpha is not negative."""
    del network
    alpha = _number(node, "alpha", 1.0)
    if alpha is not None and alpha < 0:
        return StaysAlive("ThresholdedRelu", f"its threshold {alpha:g} lets negative values through")
    return Rectifies(f"ThresholdedRelu({alpha:g})", hides_nan=True, above=alpha or 0.0)


def _leaky(network: Network, node: ir.Node) -> Reading:
    """Rectifies where alpha is 0; alive otherwise."""
    del network
    alpha = _number(node, "alpha", 0.01)
    return Rectifies("LeakyRelu(0)") if alpha == 0 else StaysAlive("LeakyRelu", f"slope {alpha:g} below zero")


def _leaky_codes(network: Network, node: ir.Node) -> Reading:
    """Rectifies where alpha is 0; alive otherwise."""
    reading = _leaky(network, node)
    scale = node.inputs[3]
    if not isinstance(reading, Rectifies) or scale is None:
        return reading
    return replace(reading, source=None, tap=Codes(scale, node.inputs[4] if len(node.inputs) > 4 else None))


def _prelu(network: Network, node: ir.Node) -> Reading:
    """Rectifies where every slope is 0; alive otherwise."""
    value = node.inputs[1]
    slope = None if value is None else network.constant(value)
    number = None if value is None else uniform(network, value)
    if slope is None and number is not None:
        slope = np.float32(number).reshape(1)
    if slope is None and value is not None and value in network.weights and value.const_value is not None:
        slope = value.const_value.numpy()
    if slope is None:
        detail = "its slopes are computed by the graph, so whether one is zero is not known"
        return Unclear("PRelu", detail, slug="bounds-not-constant")
    flat = int(np.count_nonzero(slope == 0))
    if flat == slope.size:
        return Rectifies("PRelu(0)")
    return StaysAlive(
        "PRelu", f"learned slopes below zero; {flat} of {slope.size} are zero" if flat else "learned slopes below zero"
    )


def _where(network: Network, node: ir.Node) -> Reading:
    """Rectifies where it takes x where x is above a constant that is not negative, and 0 elsewhere."""
    condition, *branches = node.inputs
    above = _above(network, condition)
    if above is None or not _is_activation(network, node):
        return None
    side = 0 if above.holds else 1
    other = branches[1 - side]
    if branches[side] is not above.value or other is None or uniform(network, other) != 0 or above.bound < 0:
        return None
    return Rectifies(f"Where(x > {above.bound:g}, x, 0)", source=1 + side, hides_nan=True, above=above.bound)


def _mul(network: Network, node: ir.Node) -> Reading:
    """Rectifies where it multiplies x by whether x is above a constant that is not negative."""
    for index, mask in enumerate(node.inputs):
        above = _above(network, mask)
        if above is not None and above.holds and above.bound >= 0 and node.inputs[1 - index] is above.value:
            return Rectifies(f"x * (x > {above.bound:g})", source=1 - index, above=above.bound)
    return None


@dataclass(frozen=True)
class _Above:
    """That a value is larger than a number, or that it is not."""

    value: ir.Value
    bound: float
    holds: bool


def _above(network: Network, condition: ir.Value | None) -> _Above | None:
    """What a condition compares with a number, through casts and negations."""
    holds = True
    node = None if condition is None else condition.producer()
    while node is not None and node.op_type in ("Cast", "Identity", "Not") and node.inputs[0] is not None:
        holds ^= node.op_type == "Not"
        node = node.inputs[0].producer()
    larger = None if node is None else _LARGER.get(node.op_type)
    if node is None or larger is None:
        return None
    for value, number, holds_for in ((*node.inputs, larger), (*reversed(node.inputs), not larger)):
        bound = None if number is None else uniform(network, number)
        if bound is not None and value is not None:
            return _Above(value, bound, holds=holds == holds_for)
    return None


_LARGER = {"Greater": True, "GreaterOrEqual": True, "Less": False, "LessOrEqual": False}
"""Whether the first operand is the larger one."""


def _named(name: str, reason: str) -> Reader:
    def reader(network: Network, node: ir.Node) -> Reading:
        del network, node
        return StaysAlive(name, reason)

    reader.__doc__ = f"Alive: {reason}."
    return reader


def _erf(network: Network, node: ir.Node) -> Reading:
    """Alive: stands for a Gelu spelt out, 0.5 x (1 + erf(x / sqrt 2))."""
    plus_one = _only_reader(node, "Add")
    gated = plus_one is not None and _adds_one(network, plus_one) and _only_reader(plus_one, "Mul") is not None
    return StaysAlive("Gelu (Erf)", "0.5 x (1 + erf(x / sqrt 2)) has a gradient below zero") if gated else None


def _gate(name: str) -> Reader:
    """X * gate(x): Silu or Swish by Sigmoid, HardSwish by HardSigmoid; the gate stands for it."""

    def reader(network: Network, node: ir.Node) -> Reading:
        if not _gates_its_own_input(network, node):
            return None
        return StaysAlive(name, f"x * {node.op_type}(x) has a gradient below zero")

    reader.__doc__ = f"Alive: stands for {name}, where it multiplies what it was computed from."
    return reader


def _tanh(network: Network, node: ir.Node) -> Reading:
    """Alive: stands for Mish spelt out, x * tanh(softplus(x)), or Gelu's approximation, 0.5 x (1 + tanh(...))."""
    source = node.inputs[0]
    before = None if source is None else source.producer()
    if before is not None and before.op_type == "Softplus" and _multiplied_by(node, before.inputs[0]):
        return StaysAlive("Mish (Softplus, Tanh)", "x * tanh(softplus(x)) has a gradient below zero")
    plus_one = _only_reader(node, "Add")
    if plus_one is not None and _adds_one(network, plus_one) and _only_reader(plus_one, "Mul") is not None:
        return StaysAlive("Gelu (Tanh)", "0.5 x (1 + tanh(...)) has a gradient below zero")
    return None


_LONGEST_GATE = 8
"""Scales and shifts between a value and the gate computed from it, at most."""


def _gates_its_own_input(network: Network, node: ir.Node, *, shifted: bool = False) -> bool:
    """Whether the node's result comes to multiply the value it was computed from, scales and shifts aside.

    If it has to be ``shifted``, only behind an Add: without one, x * Clip(x, 0, 6) is flat below zero and rectifies.
    """
    source = node.inputs[0]
    for _ in range(_LONGEST_GATE):
        if source is None:
            return False
        if not shifted and _multiplied_by(node, source, through_scales_of=network):
            return True
        producer = source.producer()
        if producer is None or producer.op_type not in ("Add", "Mul", "Div"):
            return False
        shifted = shifted and producer.op_type != "Add"
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


def _number(node: ir.Node, name: str, default: float | None = None) -> float | None:
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.value)  # pyright: ignore[reportArgumentType]


_SMOOTH = "has a gradient below zero"

READERS: Mapping[tuple[str, str], Reader] = {
    ("", "Relu"): _relu,
    ("", "Clip"): _clip,
    ("", "Max"): _max,
    ("", "Where"): _where,
    ("", "Mul"): _mul,
    ("", "ThresholdedRelu"): _thresholded,
    ("", "LeakyRelu"): _leaky,
    ("", "PRelu"): _prelu,
    ("com.microsoft", "QLinearLeakyRelu"): _leaky_codes,
    ("", "Elu"): _named("Elu", _SMOOTH),
    ("", "Selu"): _named("Selu", _SMOOTH),
    ("", "Celu"): _named("Celu", _SMOOTH),
    ("", "Gelu"): _named("Gelu", _SMOOTH),
    ("", "HardSwish"): _named("HardSwish", _SMOOTH),
    ("", "Mish"): _named("Mish", _SMOOTH),
    ("", "Swish"): _named("Swish", _SMOOTH),
    ("com.microsoft", "Gelu"): _named("Gelu", _SMOOTH),
    ("com.microsoft", "FastGelu"): _named("FastGelu", _SMOOTH),
    ("com.microsoft", "BiasGelu"): _named("BiasGelu", _SMOOTH),
    ("com.microsoft", "QuickGelu"): _named("QuickGelu", _SMOOTH),
    ("", "Erf"): _erf,
    ("", "Sigmoid"): _gate("Silu"),
    ("", "HardSigmoid"): _gate("HardSwish"),
    ("", "Tanh"): _tanh,
}
