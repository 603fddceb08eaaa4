"""Activations inside operators: those of recurrent ones show in the hidden state, all others nowhere.

An operator names its activation in an attribute. Those of a recurrent operator make its hidden state, which is a site.
Of any other operator that is not taken apart (:mod:`relu_audit.model.fused`), a rectifier inside is listed as not
observed, and so is an activation whose name is not known here.

Sources: the operator pages of ONNX for RNN, GRU and LSTM (opsets 1 to 22); the schemas of onnxruntime 1.31 for
DynamicQuantizeLSTM, AttnLSTM, MoE, QMoE and every other operator with such an attribute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.activations.readings import Reading, Rectifies, Unclear
from relu_audit.activations.taps import OPEN, Direction, Turned
from relu_audit.network.normalize import sizes
from relu_audit.values.signs import key


def read(node: ir.Node) -> list[Reading]:
    """The activations inside an operator that rectify, or may."""
    row = RECURRENCES.get(key(node))
    return _hidden(node) if row is None else _recurrent(node, row)


# Recurrent operators --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recurrence:
    """The activations of a recurrent operator, as they are listed for each direction.

    Attributes:
        defaults: Their names where the node gives none.
        hidden: Those that make the hidden state zero wherever they are, so that its units are rectified, as long as
            all behind them make zero of zero.
        gates: Those that multiply what the others make, and only show inside the operator.
        mixes: Whether a gate mixes old and new, so that one minus it counts as well.
    """

    defaults: tuple[str, ...]
    hidden: tuple[int, ...]
    gates: tuple[int, ...] = ()
    mixes: bool = False


_LSTM = Recurrence(("Sigmoid", "Tanh", "Tanh"), hidden=(1, 2), gates=(0,))

RECURRENCES: Mapping[tuple[str, str], Recurrence] = {
    ("", "RNN"): Recurrence(("Tanh",), hidden=(0,)),
    ("", "GRU"): Recurrence(("Sigmoid", "Tanh"), hidden=(1,), gates=(0,), mixes=True),
    ("", "LSTM"): _LSTM,
    ("com.microsoft", "DynamicQuantizeLSTM"): _LSTM,
    ("com.microsoft", "AttnLSTM"): _LSTM,
}

_STATES_DIRECTION = 1
"""Axis of the direction in a recurrent operator's first result: [time, direction, batch, hidden]."""

_ALPHAS = {
    "affine": 1.0,
    "leakyrelu": 0.01,
    "thresholdedrelu": 1.0,
    "scaledtanh": 1.0,
    "hardsigmoid": 0.2,
    "elu": 1.0,
}
"""Activations that take a number from ``activation_alpha``, with what it is where the node gives none."""

_BETAS = {"affine": 0.0, "scaledtanh": 1.0, "hardsigmoid": 0.5}
"""The same for ``activation_beta``."""

_SPELT = {
    "relu": "Relu",
    "thresholdedrelu": "ThresholdedRelu",
    "leakyrelu": "LeakyRelu(0)",
    "elu": "Elu(0)",
    "hardsigmoid": "HardSigmoid",
}
"""What the activations are called that rectify."""


@dataclass(frozen=True)
class _Chosen:
    """An activation of a recurrent operator: its name in lower case, and its numbers."""

    name: str
    alpha: float
    beta: float

    @property
    def rectifies(self) -> bool:
        """Whether it is zero, with no slope, below some number."""
        if self.name in ("leakyrelu", "elu"):
            return self.alpha == 0
        return self.name in ("relu", "thresholdedrelu") or (self.name == "hardsigmoid" and self.alpha != 0)

    @property
    def negative(self) -> bool:
        """Whether it can be less than zero."""
        if self.name == "thresholdedrelu":
            return self.alpha < 0
        return not self.rectifies and self.name not in ("sigmoid", "hardsigmoid", "softplus")

    @property
    def keeps_zero(self) -> bool:
        """Whether it makes zero of zero."""
        return self.name not in ("sigmoid", "softplus") and (
            self.name not in ("affine", "hardsigmoid") or not self.beta
        )


@dataclass(frozen=True)
class _Pass:
    """One direction of a recurrent operator, and its activations."""

    row: Recurrence
    chosen: tuple[_Chosen, ...]

    @property
    def shown(self) -> list[_Chosen]:
        """Those that rectify the hidden state."""
        hidden = [self.chosen[i] for i in self.row.hidden]
        return [one for i, one in enumerate(hidden) if one.rectifies and all(two.keeps_zero for two in hidden[i + 1 :])]

    @property
    def lost(self) -> list[_Chosen]:
        """Those that rectify and show nowhere; of gates, a HardSigmoid is taken as the Sigmoid that it stands for."""
        hidden = [self.chosen[i] for i in self.row.hidden if self.chosen[i] not in self.shown]
        gates = [self.chosen[i] for i in self.row.gates if self.chosen[i].name != "hardsigmoid"]
        return [one for one in (*hidden, *gates) if one.rectifies]

    @property
    def signed(self) -> bool:
        """Whether the hidden state can be less than zero where it is not zero."""
        gates, last = [self.chosen[i] for i in self.row.gates], self.chosen[self.row.hidden[-1]]
        turned = not last.rectifies and last.name in ("affine", "scaledtanh")
        beyond = self.row.mixes and any(gate.name not in ("sigmoid", "hardsigmoid") for gate in gates)
        return beyond or turned or any(gate.negative for gate in gates) or any(one.negative for one in self.shown[-1:])


def _recurrent(node: ir.Node, row: Recurrence) -> list[Reading]:
    directions = 2 if _text(node, "direction") == "bidirectional" else 1
    chosen, per = _chosen(node, row.defaults * directions), len(row.defaults)
    passes = [_Pass(row, chosen[d * per : (d + 1) * per]) for d in range(len(chosen) // per)]
    hidden = [d for d, one in enumerate(passes) if one.shown]
    readings: list[Reading] = []
    if hidden:
        tap = OPEN if len(hidden) == directions else Direction(_STATES_DIRECTION, hidden[0])
        if any(passes[d].signed for d in hidden):
            tap = Turned("magnitude", inner=tap)
        readings.append(Rectifies(f"{node.op_type}({_SPELT[passes[hidden[0]].shown[0].name]})", tap=tap))
    if any(one.lost for one in passes):
        detail = "a rectifier as the activation of its gates shows nowhere outside the operator"
        readings.append(Unclear(node.op_type, detail, slug="in-operator"))
    return readings


def _chosen(node: ir.Node, defaults: tuple[str, ...]) -> tuple[_Chosen, ...]:
    names = [name.lower() for name in _texts(node, "activations") or defaults]
    given = {name: iter(_floats(node, f"activation_{name}")) for name in ("alpha", "beta")}
    return tuple(
        _Chosen(
            name,
            alpha=next(given["alpha"], _ALPHAS[name]) if name in _ALPHAS else 0.0,
            beta=next(given["beta"], _BETAS[name]) if name in _BETAS else 0.0,
        )
        for name in names
    )


# All other operators --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """An operator with a layer of its own inside, and so with units.

    Attributes:
        default: Its activation where the node gives none.
        weights: Number of the input whose first two axes are experts and their units.
    """

    default: str
    weights: int


LAYERS: Mapping[tuple[str, str], Layer] = {
    ("com.microsoft", "MoE"): Layer("relu", 2),
    ("com.microsoft", "QMoE"): Layer("relu", 2),
}

NUMBERED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("com.microsoft", "GroupNorm"): ("none", "silu"),
    ("com.microsoft", "SkipGroupNorm"): ("none", "silu"),
}
"""Operators whose activation is a number, and what the numbers mean."""

_NAMES = re.compile(r"(^|_)(act|activation|activations|nonlinearity)(_|$)")

_RECTIFY = """
    clip clippedrelu crelu hardshrink hardsigmoid hardswish hsigmoid hswish reglu relu relu2 relu6 relun1to1 relusquared
    shrink softshrink squaredrelu threshold thresholdedrelu
"""

_SMOOTH = """
    affine celu elu fastgelu geglu gelu gelufast gelunew gelupytorchtanh gelutanh glu hardtanh identity kda linear
    logsigmoid mish none quickgelu qwen scaledtanh selu sigmoid silu softmax softplus softsign swiglu swish tanh
"""

RECTIFY: Mapping[str, bool] = {
    **dict.fromkeys(_RECTIFY.split(), True),
    **dict.fromkeys(_SMOOTH.split(), False),
}
"""Whether an activation is zero, with no slope, somewhere, by its name in small letters and digits."""


def _hidden(node: ir.Node) -> list[Reading]:
    layer = LAYERS.get(key(node))
    named = [name for name in _named(node) if name] or ([] if layer is None else [layer.default])
    found: list[Reading] = []
    for name in dict.fromkeys(named):
        plain = re.sub("[^a-z0-9]", "", name.lower())
        slope = node.attributes.get("activation_alpha")
        if plain == "leakyrelu" and (slope is None or slope.value != 0):
            continue
        if plain == "leakyrelu" or RECTIFY.get(plain):
            where = f"rectifies {_units(node, layer)}inside the operator, where it shows nowhere"
            found.append(Unclear(f"{node.op_type}({name})", f"its activation {where}", slug="in-operator"))
        elif plain not in RECTIFY:
            detail = (
                f"its activation '{name}' is not known here: it may rectify, and shows nowhere outside the operator"
            )
            found.append(Unclear(f"{node.op_type}({name})", detail, slug="unknown-activation"))
    return found


def _named(node: ir.Node) -> list[str]:
    """The activations that the attributes name."""
    found: list[str] = []
    for name, attribute in node.attributes.items():
        if not _NAMES.search(name) or attribute.is_ref():
            continue
        if attribute.type is ir.AttributeType.STRING:
            found.append(attribute.as_string())
        elif attribute.type is ir.AttributeType.STRINGS:
            found += attribute.as_strings()
        elif attribute.type is ir.AttributeType.INT and key(node) in NUMBERED:
            number, known = attribute.as_int(), NUMBERED[key(node)]
            found.append(known[number] if 0 <= number < len(known) else str(number))
    return found


def _units(node: ir.Node, layer: Layer | None) -> str:
    """The units that are meant, as far as the file tells."""
    weights = None if layer is None or layer.weights >= len(node.inputs) else node.inputs[layer.weights]
    known = None if weights is None else sizes(weights)
    if known is None or len(known) < 2:
        return ""
    return f"{known[1]} units of each of {known[0]} experts "


def _text(node: ir.Node, name: str) -> str:
    attribute = node.attributes.get(name)
    return "" if attribute is None else attribute.as_string()


def _texts(node: ir.Node, name: str) -> list[str]:
    attribute = node.attributes.get(name)
    return [] if attribute is None else list(attribute.as_strings())


def _floats(node: ir.Node, name: str) -> list[float]:
    attribute = node.attributes.get(name)
    return [] if attribute is None else list(attribute.as_floats())
