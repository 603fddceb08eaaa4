"""What is known of activations inside operators, against what the operators make of numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort  # noqa: TID251 - the operators themselves are asked, not the code under test
from onnx import helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema  # noqa: TID251

from relu_audit.activations import inside
from relu_audit.activations.readings import Rectifies
from relu_audit.activations.taps import Turned
from tests.operator_cases import MS

Floats = Sequence[float]

# One activation -------------------------------------------------------------------------------------------------------

NAMES = (
    "Affine Elu HardSigmoid LeakyRelu Relu ScaledTanh Sigmoid Softplus Softsign Tanh ThresholdedRelu".split(" ")  # noqa: SIM905
)
GRID = np.linspace(-9, 9, 145, dtype=np.float32)
"""Zero is among these numbers, and in the middle."""


@cache
def rnn(names: tuple[str, ...], alpha: tuple[float, ...] = (), beta: tuple[float, ...] = ()) -> np.ndarray:
    """Activations as a recurrent operator computes them on the grid, one for each direction."""
    ways = len(names)
    weights = {"w": np.ones((ways, 1, 1)), "r": np.zeros((ways, 1, 1))}
    model = _model(_node("RNN", 1, names, ways, alpha, beta), ["x"], weights)
    return _run(model, {"x": GRID.reshape(1, -1, 1)})[0, :, :, 0]


def _node(
    op: str, hidden: int, names: Sequence[str], ways: int = 1, alpha: Floats = (), beta: Floats = (), domain: str = ""
) -> onnx.NodeProto:
    given: dict[str, Any] = {"activations": names, "activation_alpha": alpha, "activation_beta": beta}
    given = {name: list(value) for name, value in given.items() if len(value)}
    direction = "bidirectional" if ways == 2 else "forward"
    reads = ["x", "w", "r", "b"] if op != "RNN" else ["x", "w", "r"]
    return helper.make_node(op, reads, ["y"], domain=domain, hidden_size=hidden, direction=direction, **given)


def _model(node: onnx.NodeProto, inputs: Sequence[str], weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    given = [helper.make_tensor_value_info(name, 1, None) for name in inputs]
    graph = helper.make_graph([node], "inside", given, [onnx.ValueInfoProto(name="y")], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _run(model: onnx.ModelProto, fed: Mapping[str, np.ndarray]) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(fed))[0])


def _chosen(names: Sequence[str], alpha: Floats = (), beta: Floats = ()) -> Any:
    node = ir.from_proto(_node("RNN", 1, names, len(names), alpha, beta))
    return inside._chosen(node, ())


def names_of(name: str) -> list[str]:
    """Whether an activation is what the tables say: its numbers where none are given, and what it does to zero."""
    plain = name.lower()
    told = {"alpha": inside._ALPHAS.get(plain), "beta": inside._BETAS.get(plain)}
    lines = [f"{name} takes {which}: {number}" for which, number in told.items() if not _takes(name, which, number)]
    for alpha, beta in product((None, 0.0, 0.5, -0.5), (None, 0.0)):
        if (alpha is not None and plain not in ALPHAS) or (beta is not None and plain not in BETAS):
            continue
        given = [tuple([number] if number is not None else []) for number in (alpha, beta)]
        if beta is not None and alpha is None:
            continue
        y, one = rnn((name,), *given)[0], _chosen((name,), *given)[0]
        flat = bool(not y[:8].any() or not y[-8:].any()) and bool(y.any())
        where = f"{name} with {alpha} and {beta}"
        lines += [f"{where}: rectifies: {flat}"] if flat != one.rectifies else []
        lines += [f"{where}: keeps zero: {y[72] == 0}"] if (y[72] == 0) != one.keeps_zero else []
        below = bool((y < 0).any())
        if (below and not one.negative) or (
            alpha is None and one.negative and not below and (name, "alpha") not in DEFAULTS
        ):
            lines.append(f"{where}: negative: {below}")
    return lines


ALPHAS = ("affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu")
BETAS = ("affine", "hardsigmoid", "scaledtanh")


DEFAULTS: Mapping[tuple[str, str], float] = {
    ("Affine", "alpha"): 1.0,
    ("Affine", "beta"): 0.0,
    ("ScaledTanh", "alpha"): 1.0,
    ("ScaledTanh", "beta"): 1.0,
}
"""Of those that were operators once, in opset 1; the runtime has none for them, and makes zeros."""


def _takes(name: str, which: str, number: float | None) -> bool:
    """Whether an activation takes a number from an attribute, and what it is by its operator where nothing is given."""
    # The activation behind it is given what it leaves.
    alpha = (0.25,) * (1 + (name.lower() in ALPHAS))
    pair = (name, "LeakyRelu" if which == "alpha" else "HardSigmoid")
    given = {"alpha": (0.5,)} if which == "alpha" else {"alpha": alpha, "beta": (3.0,)}
    before = {} if which == "alpha" else {"alpha": alpha}
    left = not np.array_equal(rnn(pair, **given)[1], rnn(pair, **before)[1])
    if left or number is None:
        return left and number is None
    if (name, which) in DEFAULTS:
        return number == DEFAULTS[name, which]
    default = onnx.defs.get_schema(name, 18).attributes[which].default_value.f
    return bool(np.isclose(number, default))


# Recurrent operators --------------------------------------------------------------------------------------------------

HIDDEN, INPUTS, TIME, SAMPLES, SHUT = 3, 2, 4, 5, -12.0
BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4, "DynamicQuantizeLSTM": 4, "AttnLSTM": 4}
"""How many pre-activations a unit has."""
RUN = ("RNN", "GRU", "LSTM")
"""Operators that are run; the others are an LSTM with codes for weights, and one with attention in front."""


@cache
def states(op: str, names: tuple[str, ...], shut: int | None = None, lift: float = 0.0) -> np.ndarray:
    """Hidden states, where one of the pre-activations is far below zero, or all are lifted."""
    rng = np.random.default_rng(6)
    blocks = BLOCKS[op]
    weights = {
        "w": rng.standard_normal((1, blocks * HIDDEN, INPUTS)),
        "r": rng.standard_normal((1, blocks * HIDDEN, HIDDEN)) * 0.3,
        "b": np.full((1, 2 * blocks * HIDDEN), lift),
    }
    if shut is not None:
        weights["b"][:, shut * HIDDEN : (shut + 1) * HIDDEN] = SHUT
    node = _node(op, HIDDEN, names)
    if op == "RNN":
        node.input.append("b")
    x = np.random.default_rng(7).standard_normal((TIME, SAMPLES, INPUTS)).astype(np.float32)
    return _run(_model(node, ["x"], weights), {"x": x})


def recurrence_of(op: str) -> list[str]:
    """Whether a row says what the operator does with its activations."""
    lines: list[str] = []
    domain = "" if op in RUN else MS
    row = inside.RECURRENCES[domain, op]
    like = op if op in RUN else "LSTM"
    count = {"RNN": 1, "GRU": 2, "LSTM": 3}[like]
    if len(row.defaults) != count or not np.array_equal(states(like, ()), states(like, row.defaults)):
        lines.append(f"{op}: its activations are not {row.defaults}")
        return lines
    standard = ("Tanh",) if count == 1 else ("Sigmoid", *("Tanh",) * (count - 1))
    shuts = {
        i: sum(
            not states(like, (*standard[:i], "Relu", *standard[i + 1 :]), block).any() for block in range(BLOCKS[like])
        )
        for i in range(count)
    }
    # A gate has several pre-activations, of which all or none make the state zero.
    hidden = tuple(i for i in range(count) if shuts[i] == 1)
    gates = tuple(i for i in range(count) if shuts[i] != 1)
    if (tuple(row.hidden), tuple(row.gates)) != (hidden, gates):
        lines.append(f"{op}: hidden {hidden} and gates {gates}, says the operator")
    beyond = bool((states(like, (*("Softplus",) * len(gates), *("Relu",) * len(hidden)), lift=3.0) < 0).any())
    if beyond != row.mixes:
        lines.append(f"{op}: gates above one bring the state below zero: {beyond}")
    return lines + list(_readings(op, domain, like, gates, hidden))


def _readings(op: str, domain: str, like: str, gates: Sequence[int], hidden: Sequence[int]) -> Iterator[str]:
    """Whether states are read as what they are, for many choices of activations."""
    kinds = ("Relu", "Tanh", "Sigmoid", "Softsign")
    for names in product(kinds, repeat=len(gates) + len(hidden)):
        node = ir.from_proto(_node(op, HIDDEN, names, domain=domain))
        readings = inside.read(node)
        site = next((one for one in readings if isinstance(one, Rectifies)), None)
        opened = [states(like, names, lift=lift) for lift in (0.0, 2.0)]
        candidate = states(like, names, BLOCKS[like] - 1)
        zero = not candidate.any() and any(made.any() for made in opened)
        # A last Relu may be given positive numbers only.
        if (site is not None) != zero and not (site is not None and names[-1] == "Relu"):
            yield f"{op}{names}: the state is zero where the candidate is: {zero}"
        if site is not None and not isinstance(site.tap, Turned) and any((made < 0).any() for made in opened):
            yield f"{op}{names}: the state is below zero"
        lost = any(not isinstance(one, Rectifies) for one in readings)
        if "Relu" in names and not readings:
            yield f"{op}{names}: nothing is said of a rectifier"
        if lost and "Relu" not in names:
            yield f"{op}{names}: a rectifier that is none"


# By name --------------------------------------------------------------------------------------------------------------


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _erf_gelu(x: float) -> float:
    return x * (1 + math.erf(x / 2**0.5)) / 2


def _clip(low: float, high: float) -> Callable[[float], float]:
    return lambda x: min(max(x, low), high)


_relu, _relu6, _silu, _softplus = (
    _clip(0, math.inf),
    _clip(0, 6),
    lambda x: x * _sigmoid(x),
    lambda x: math.log1p(math.exp(x)),
)
_gates = ("swiglu", "geglu", "glu", "reglu")

FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "affine": lambda x: 0.5 * x + 1,
    "celu": lambda x: max(x, 0) + min(0, math.expm1(x)),
    "clip": _relu6,
    "clippedrelu": _relu6,
    "crelu": _relu,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    **dict.fromkeys(("gelu", "fastgelu", "gelufast", "gelunew", "gelupytorchtanh", "gelutanh"), _erf_gelu),
    "quickgelu": lambda x: x * _sigmoid(1.702 * x),
    **dict.fromkeys(("hardsigmoid", "hsigmoid"), lambda x: _relu6(x + 3) / 6),
    **dict.fromkeys(("hardswish", "hswish"), lambda x: x * _relu6(x + 3) / 6),
    **dict.fromkeys(("hardshrink", "shrink"), lambda x: x if abs(x) > 0.5 else 0),
    "softshrink": lambda x: math.copysign(max(abs(x) - 0.5, 0), x),
    "hardtanh": _clip(-1, 1),
    "relun1to1": _relu,  # flat at -1, which is listed as well: by its name a unit is one of a ReLU
    **dict.fromkeys(("identity", "linear", "none"), lambda x: x),
    "logsigmoid": lambda x: math.log(_sigmoid(x)),
    "mish": lambda x: x * math.tanh(_softplus(x)),
    "relu": _relu,
    "relu6": _relu6,
    **dict.fromkeys(("relu2", "relusquared", "squaredrelu"), lambda x: _relu(x) ** 2),
    "scaledtanh": lambda x: 1.5 * math.tanh(0.5 * x),
    "selu": lambda x: 1.0507 * (x if x > 0 else 1.67326 * math.expm1(x)),
    **dict.fromkeys(("silu", "swish"), _silu),
    "sigmoid": _sigmoid,
    "softmax": lambda x: math.exp(x) / (math.exp(x) + 1),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "tanh": math.tanh,
    **dict.fromkeys(("threshold", "thresholdedrelu"), lambda x: x if x > 1 else 0),
    # Gates multiply by another half of their input: here by one.
    "glu": _sigmoid,
    "swiglu": _silu,
    "geglu": _erf_gelu,
    "reglu": _relu,
    # The names of whole models' gated layers in operators of experts: with a SiLU.
    **dict.fromkeys(("kda", "qwen"), _silu),
}
"""Activations by the definitions of PyTorch, Keras, TensorFlow Lite and the papers that they come from."""


def rectify_of(name: str) -> list[str]:
    """Whether an activation is said to be zero, with no slope, somewhere, if it is."""
    y = [FUNCTIONS[name](float(x)) for x in np.linspace(-5, 5, 401)]
    flat = any(y[i] == y[i + 1] == y[i + 2] == 0 for i in range(len(y) - 2))
    return [] if inside.RECTIFY.get(name) == flat else [f"{name}: zero with no slope somewhere: {flat}"]


# Layers inside operators ----------------------------------------------------------------------------------------------


@cache
def schema(domain: str, op: str) -> Any:
    return next(one for one in get_all_operator_schema() if (one.domain, one.name) == (domain, op))


def layers_of(op: str) -> list[str]:
    """Whether an operator with a layer inside has its weights and its activation where the row says."""
    row = inside.LAYERS[MS, op]
    lines = [] if schema(MS, op).inputs[row.weights].name == "fc1_experts_weights" else [f"{op}: other weights"]
    default = schema(MS, op).attributes["activation_type"]._default_value
    named = onnx.AttributeProto.FromString(default).s.decode()
    return lines + ([] if named == row.default else [f"{op}: {named} is the activation"])


def numbered_of(op: str) -> list[str]:
    """Whether the numbers of activations mean what the operator's own page says."""
    text = schema(MS, op).attributes["activation"].description
    told = tuple(name.lower() for _, name in sorted(re.findall(r"(\d+) for (\w+)", text)))
    return [] if inside.NUMBERED[MS, op] == told else [f"{op}: {told}, says {text}"]
