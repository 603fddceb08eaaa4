"""THE TABLE of steps: what each elementwise operator makes of functions of one number, and how that is written.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators), opsets 7 to 26; for NaN, what onnxruntime makes of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from relu_audit.activations import formulas, pieces
from relu_audit.activations.formulas import At, Text, Write
from relu_audit.activations.pieces import Curve, Floats, UnknownError
from relu_audit.network.normalize import Network
from relu_audit.values.uniform import uniform

Make = Callable[[At], Curve]


@dataclass(frozen=True)
class Step:
    """What an operator makes of functions.

    Attributes:
        make: The function that it gives out.
        write: How that is written.
        reads: The operands that count; None for all of them.
        condition: Whether it gives out truth values.
        spreads: Whether constants may give the result axes or sizes that no other operand has.
        activation: Whether it may be one by itself, and is no arithmetic.
    """

    make: Make
    write: Write
    reads: Callable[[Network, ir.Node], Sequence[int]] | None = None
    condition: bool = False
    spreads: bool = False
    activation: bool = False

    def read(self, network: Network, node: ir.Node) -> Sequence[int]:
        """Numbers of the operands that count."""
        return range(len(node.inputs)) if self.reads is None else self.reads(network, node)

    def text(self, at: At) -> Text:
        """How its result is written, cut to what a report bears."""
        return formulas.cut(self.write(at))


# What operators make --------------------------------------------------------------------------------------------------


def _same(at: At) -> Curve:
    return at.curve()


def _cast(at: At) -> Curve:
    """The same number, unless it is rounded, wraps around or becomes a truth value."""
    made, to, x = at.node.outputs[0].dtype, at.node.attributes.get("to"), at.curve()
    kind = ir.DataType(to.as_int()) if to is not None else made
    if kind is None or not (kind.is_floating_point() or _holds(kind, x)):
        raise UnknownError
    return x


def _holds(kind: ir.DataType, curve: Curve) -> bool:
    """Whether a type that has no fractions holds all that a function makes."""
    if curve.sloped.any() or not (kind.is_integer() or kind is ir.DataType.BOOL):
        return False
    low, high = (0, 1) if kind is ir.DataType.BOOL else (float(kind.min), float(kind.max))
    numbers = np.append(curve.pieces[:, 0], curve.missing)
    return bool(((numbers == np.rint(numbers)) & (numbers >= low) & (numbers <= high)).all())


def _clip(at: At) -> Curve:
    made = at.curve()
    if at.opset < 11:
        low, high = (pieces.constant(at.number(name, end)) for name, end in (("min", -math.inf), ("max", math.inf)))
    else:
        low, high = at.optional(1), at.optional(2)
    made = made if low is None else pieces.larger(made, low)
    return made if high is None else pieces.smaller(made, high)


def _leaky(at: At, slope: Curve | float) -> Curve:
    """The slope where it is negative."""
    x = at.curve()
    if x is pieces.identity() and isinstance(slope, float):
        return _leaky_input(slope)
    return _sloped(x, slope)


@functools.lru_cache(maxsize=16)
def _leaky_input(slope: float) -> Curve:
    """What most activations of most models are, made once."""
    return _sloped(pieces.identity(), slope)


def _sloped(x: Curve, slope: Curve | float) -> Curve:
    below = pieces.times(x, slope) if isinstance(slope, Curve) else pieces.scaled(x, slope)
    return pieces.choose(pieces.above(x, or_equal=True), x, below)


def _threshold(at: At) -> Curve:
    x = at.curve()
    over = pieces.plus(x, pieces.constant(-at.number("alpha", 1.0)))
    return pieces.choose(pieces.above(over), x, pieces.constant(0.0))


def _gate(x: Curve, alpha: float, beta: float) -> Curve:
    """A straight line between 0 and 1."""
    line = pieces.plus(pieces.scaled(x, alpha), pieces.constant(beta))
    return pieces.smaller(pieces.larger(line, pieces.constant(0.0)), pieces.constant(1.0))


def _shrink(at: At) -> Curve:
    x, bias, edge = at.curve(), at.number("bias", 0.0), at.number("lambd", 0.5)
    low = pieces.above(pieces.plus(pieces.scaled(x, -1), pieces.constant(-edge)))
    high = pieces.above(pieces.plus(x, pieces.constant(-edge)))
    up, down = (pieces.plus(x, pieces.constant(sign * bias)) for sign in (1, -1))
    return pieces.choose(low, up, pieces.choose(high, down, pieces.constant(0.0)))


def _exponential(alpha: str, otherwise: float, scale: tuple[str, float] | None = None) -> Make:
    """Elu and its kin: an exponential below zero, that ``alpha`` multiplies."""

    def make(at: At) -> Curve:
        x = at.curve()
        tail = pieces.scaled(pieces.bent(x, np.expm1), at.number(alpha, otherwise))
        made = pieces.choose(pieces.above(x), x, tail)
        return made if scale is None else pieces.scaled(made, at.number(*scale))

    return make


def _where(at: At) -> Curve:
    return pieces.choose(at.curve(0), at.curve(1), at.curve(2))


def _compared(larger: int, *, or_equal: bool = False) -> Make:
    """Whether one of two operands is the larger one."""

    def make(at: At) -> Curve:
        apart = pieces.plus(at.curve(larger), pieces.scaled(at.curve(1 - larger), -1))
        return pieces.above(apart, or_equal=or_equal)

    return make


def _not(at: At) -> Curve:
    return pieces.plus(pieces.constant(1.0), pieces.scaled(at.curve(), -1))


def _or(at: At) -> Curve:
    return pieces.larger(at.curve(0), at.curve(1))


def _sign(at: At) -> Curve:
    x = at.curve()
    made = pieces.plus(pieces.above(x), pieces.scaled(pieces.above(pieces.scaled(x, -1)), -1))
    return replace(made, missing=x.missing)


def _divided(at: At) -> Curve:
    divisor = at.curve(1)
    if len(divisor.pieces) > 1 or divisor.sloped.any() or divisor.zero.any():
        raise UnknownError
    return pieces.scaled(at.curve(), 1 / divisor.missing)


def _power(at: At) -> Curve:
    power = at.curve(1)
    if power.missing.ndim or len(power.pieces) > 1 or float(power.missing) not in (1.0, 2.0):
        raise UnknownError
    return at.curve() if float(power.missing) == 1 else pieces.times(at.curve(), at.curve())


def _folded(function: Callable[[Curve, Curve], Curve]) -> Make:
    """Of any number of operands."""

    def make(at: At) -> Curve:
        made = at.curve()
        for other in at.given[1:]:
            made = function(made, other)
        return made

    return make


def _mean(at: At) -> Curve:
    return pieces.scaled(pieces.plus(*at.given), 1 / len(at.given))


def _bent(function: Callable[[Floats], Floats]) -> Make:
    return lambda at: pieces.bent(at.curve(), function)


# The table ------------------------------------------------------------------------------------------------------------


def _first(network: Network, node: ir.Node) -> Sequence[int]:
    del network, node
    return (0,)


def _bounded(network: Network, node: ir.Node) -> Sequence[int]:
    """The bounds of a Clip: a maximum that the graph computes leaves what lies below a minimum of zero as it is."""
    maximum = node.inputs[2] if len(node.inputs) > 2 else None
    minimum = node.inputs[1] if len(node.inputs) > 1 else None
    computed = maximum is not None and maximum not in network.weights and uniform(network, maximum) is None
    floored = minimum is not None and uniform(network, minimum) == 0
    return range(min(len(node.inputs), 2 if computed and floored else 3))


def _smooth(function: Callable[[Floats], Floats]) -> Step:
    return Step(_bent(function), formulas.listed)


def _logistic(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _erf(x: Floats) -> Floats:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


STEPS: Mapping[tuple[str, str], Step] = {
    ("", "Identity"): Step(_same, formulas.passed),
    ("", "Cast"): Step(_cast, formulas.passed),
    ("", "CastLike"): Step(_cast, formulas.passed, reads=_first),
    ("", "Relu"): Step(lambda at: _leaky(at, 0.0), formulas.call(), activation=True),
    ("", "LeakyRelu"): Step(
        lambda at: _leaky(at, at.number("alpha", 0.01)),
        formulas.call(formulas.attribute("alpha", 0.01)),
        activation=True,
    ),
    ("", "PRelu"): Step(lambda at: _leaky(at, at.curve(1)), formulas.call(formulas.slopes), activation=True),
    ("", "ThresholdedRelu"): Step(_threshold, formulas.call(formulas.attribute("alpha", 1.0)), activation=True),
    ("", "Clip"): Step(_clip, formulas.call(formulas.bounds), reads=_bounded, activation=True),
    ("", "HardSigmoid"): Step(
        lambda at: _gate(at.curve(), at.number("alpha", 0.2), at.number("beta", 0.5)), formulas.call(), activation=True
    ),
    ("", "HardSwish"): Step(
        lambda at: pieces.times(at.curve(), _gate(at.curve(), 1 / 6, 0.5)), formulas.call(), activation=True
    ),
    ("", "Shrink"): Step(_shrink, formulas.call(formulas.attribute("lambd", 0.5))),
    ("", "Elu"): Step(_exponential("alpha", 1.0), formulas.call(formulas.if_zero("alpha")), activation=True),
    ("", "Selu"): Step(
        _exponential("alpha", 1.67326, ("gamma", 1.0507)),
        formulas.call(formulas.if_zero("alpha"), formulas.if_zero("gamma")),
        activation=True,
    ),
    ("", "Celu"): Step(_exponential("alpha", 1.0), formulas.call(formulas.if_zero("alpha")), activation=True),
    ("", "Max"): Step(_folded(pieces.larger), formulas.unordered, spreads=True, activation=True),
    ("", "Min"): Step(_folded(pieces.smaller), formulas.unordered, spreads=True, activation=True),
    ("", "Where"): Step(_where, formulas.listed, spreads=True),
    ("", "Add"): Step(_folded(pieces.plus), formulas.total, spreads=True),
    ("", "Sum"): Step(_folded(pieces.plus), formulas.total, spreads=True),
    ("", "Mean"): Step(_mean, formulas.listed, spreads=True),
    ("", "Sub"): Step(
        lambda at: pieces.plus(at.curve(0), pieces.scaled(at.curve(1), -1)), formulas.difference, spreads=True
    ),
    ("", "Mul"): Step(_folded(pieces.times), formulas.product, spreads=True),
    ("", "Div"): Step(_divided, formulas.quotient, spreads=True),
    ("", "Pow"): Step(_power, formulas.power, spreads=True),
    ("", "Neg"): Step(lambda at: pieces.scaled(at.curve(), -1), formulas.opposite),
    ("", "Abs"): Step(lambda at: pieces.larger(at.curve(), pieces.scaled(at.curve(), -1)), formulas.distance),
    ("", "Sign"): Step(_sign, formulas.listed),
    ("", "Greater"): Step(_compared(0), formulas.compared(">"), condition=True, spreads=True),
    ("", "GreaterOrEqual"): Step(_compared(0, or_equal=True), formulas.compared(">="), condition=True, spreads=True),
    ("", "Less"): Step(_compared(1), formulas.compared("<"), condition=True, spreads=True),
    ("", "LessOrEqual"): Step(_compared(1, or_equal=True), formulas.compared("<="), condition=True, spreads=True),
    ("", "Not"): Step(_not, formulas.listed, condition=True),
    ("", "And"): Step(_folded(pieces.times), formulas.compared("and"), condition=True, spreads=True),
    ("", "Or"): Step(_or, formulas.compared("or"), condition=True, spreads=True),
    ("", "Exp"): _smooth(np.exp),
    ("", "Log"): _smooth(np.log),
    ("", "Sqrt"): _smooth(np.sqrt),
    ("", "Sigmoid"): _smooth(_logistic),
    ("", "Tanh"): _smooth(np.tanh),
    ("", "Softplus"): _smooth(lambda x: np.logaddexp(0, x)),
    ("", "Erf"): _smooth(_erf),
}
"""Operators that make an entry of the entries in its place, by domain and type."""
