"""Activations inside operators: observed in the hidden state, or listed; and ranks, which are no units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - what is judged must not go through the code under test
import pytest

import relu_audit
from relu_audit import Audit, audit
from relu_audit.activations.inside import RECTIFY
from tests.graphs import graph
from tests.oracle import one_by_one, values

CASES = Path(__file__).parents[2] / "shared" / "cases"
RNG = np.random.default_rng(8)


def listed(found: Audit | relu_audit.records.Listing) -> list[tuple[str, str, str]]:
    return [(one.tensor, one.op, one.slug) for one in found.skipped]


# Recurrent operators of onnxruntime's own -----------------------------------------------------------------------------

TIME, SAMPLES, INPUTS, HIDDEN = 4, 30, 3, 6


def coded(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a weight with one scale for each direction: codes, scale."""
    scale = np.abs(array).max(axis=(1, 2)) / 127
    return np.round(array / scale[:, None, None]).astype(np.int8), scale.astype(np.float32)


def quantized_lstm(activations: tuple[str, ...], direction: str = "forward", outputs: str = "Y") -> onnx.ModelProto:
    """Unit 2 of each direction has a candidate gate that is far below zero."""
    directions = 2 if direction == "bidirectional" else 1
    rng = np.random.default_rng(1)
    w, ws = coded(rng.standard_normal((directions, INPUTS, 4 * HIDDEN)))
    r, rs = coded(rng.standard_normal((directions, HIDDEN, 4 * HIDDEN)) * 0.3)
    bias = np.zeros((directions, 8 * HIDDEN), np.float32)
    bias[:, 3 * HIDDEN + 2] = -60
    names = ", ".join(f'"{name}"' for name in activations * directions)
    body = (
        f'{outputs} = com.microsoft.DynamicQuantizeLSTM <hidden_size = {HIDDEN}, direction = "{direction}", '
        f"activations = [{names}]> (x, w, r, b, , , , , ws, wz, rs, rz)"
    )
    zero = np.zeros(directions, np.int8)
    weights = {"w": w, "r": r, "b": bias, "ws": ws, "rs": rs, "wz": zero, "rz": zero}
    last = outputs.split(", ")[-1]
    shape = "t, d, n, h" if last == "Y" else "d, n, h"
    return graph(f"float[t, n, {INPUTS}] x", f"float[{shape}] {last}", body, weights)


X = RNG.standard_normal((TIME, SAMPLES, INPUTS)).astype(np.float32)


def hidden(model: onnx.ModelProto) -> np.ndarray:
    """Hidden states, each sample fed by itself: [samples, time, units of all directions]."""
    shown = values(model, one_by_one({"x": X}, {"x": 1}), ["Y"])
    states = np.concatenate([one["Y"] for one in shown], axis=2)  # time, direction, sample, hidden
    return states.transpose(2, 0, 1, 3).reshape(SAMPLES, TIME, -1)


@pytest.mark.parametrize(
    ("activations", "direction"),
    [
        (("Sigmoid", "Relu", "Relu"), "forward"),
        (("Sigmoid", "Relu", "Tanh"), "reverse"),
        (("Sigmoid", "Relu", "Relu"), "bidirectional"),
        (("Sigmoid", "Tanh", "Relu"), "forward"),
    ],
)
def test_hidden_states_in_codes_are_observed_one_sample_at_a_time(activations: tuple[str, ...], direction: str) -> None:
    model = quantized_lstm(activations, direction)
    found = audit(model, {"x": X})
    (site,) = found.sites
    truth = hidden(model) > 0
    assert (site.tensor, site.op, site.samples) == ("Y", "DynamicQuantizeLSTM(Relu)", SAMPLES)
    directions = 2 if direction == "bidirectional" else 1
    assert (site.assumed, site.units, found.runtime.batch_size) == (False, directions * HIDDEN, 1)
    assert list(site.dead) == np.flatnonzero(~truth.any(axis=(0, 1))).tolist()
    assert list(site.fired_samples) == truth.any(axis=1).sum(axis=0).tolist()
    assert list(site.fired_positions) == truth.sum(axis=(0, 1)).tolist()
    assert not found.skipped


def test_the_last_state_alone_is_enough() -> None:
    (site,) = audit(quantized_lstm(("Sigmoid", "Relu", "Relu"), outputs=", Yh"), {"x": X}).sites
    (whole,) = audit(quantized_lstm(("Sigmoid", "Relu", "Relu")), {"x": X}).sites
    assert (site.dead, site.fired_positions) == (whole.dead, whole.fired_positions)
    assert 2 in site.dead


@pytest.mark.parametrize(
    ("activations", "sites", "skipped"),
    [
        (("Sigmoid", "Tanh", "Tanh"), 0, 0),
        (("Relu", "Tanh", "Tanh"), 0, 1),
        (("Sigmoid", "Relu", "Sigmoid"), 0, 1),  # the state is one half where the candidate is zero
        (("Sigmoid", "HardSigmoid", "Tanh"), 1, 0),
    ],
)
def test_what_shows_in_the_hidden_state_and_what_does_not(
    activations: tuple[str, ...], sites: int, skipped: int
) -> None:
    found = audit(quantized_lstm(activations), {"x": X})
    assert (len(found.sites), len(found.skipped)) == (sites, skipped)
    assert all(one.slug == "in-operator" for one in found.skipped)
    if sites:
        assert (
            list(found.sites[0].dead)
            == np.flatnonzero(~(hidden(quantized_lstm(activations)) != 0).any(axis=(0, 1))).tolist()
        )


def test_a_state_that_a_gate_turns_negative_is_not_dead() -> None:
    """An output gate of Tanh gives the rectified state either sign: it counts where it is not zero."""
    rng = np.random.default_rng(2)
    weights = {
        "w": rng.standard_normal((1, 4 * HIDDEN, INPUTS)).astype(np.float32),
        "r": np.zeros((1, 4 * HIDDEN, HIDDEN), np.float32),
        "b": np.zeros((1, 8 * HIDDEN), np.float32),
    }
    weights["b"][0, HIDDEN : 2 * HIDDEN] = -9  # all output gates are minus one
    body = f'Y = LSTM <hidden_size = {HIDDEN}, activations = ["Tanh", "Tanh", "Relu"]> (x, w, r, b)'
    model = graph(f"float[t, n, {INPUTS}] x", "float[t, d, n, h] Y", body, weights)
    (site,) = audit(model, {"x": X}).sites
    truth = hidden(model)
    assert truth.max() <= 0
    assert (truth != 0).any(axis=(0, 1)).all()
    assert (site.dead, site.counted_as) == ((), "magnitude")


def test_states_behind_attention_are_observed() -> None:
    rng = np.random.default_rng(4)
    memory, depth, keys = 5, 7, 4
    shapes = {
        "w": (1, 4 * HIDDEN, INPUTS + depth),
        "r": (1, 4 * HIDDEN, HIDDEN),
        "qw": (1, HIDDEN, keys),
        "mw": (1, depth, keys),
        "v": (1, keys),
    }
    weights = {name: (rng.standard_normal(shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}
    weights["b"] = np.zeros((1, 8 * HIDDEN), np.float32)
    weights["b"][0, 3 * HIDDEN + 2] = -60
    body = (
        f'Y = com.microsoft.AttnLSTM <hidden_size = {HIDDEN}, activations = ["Sigmoid", "Relu", "Relu"]> '
        "(x, w, r, b, , , , , qw, mw, v, m)"
    )
    model = graph(f"float[t, n, {INPUTS}] x, float[n, {memory}, {depth}] m", "float[t, d, n, h] Y", body, weights)
    data = {"x": X, "m": rng.standard_normal((SAMPLES, memory, depth)).astype(np.float32)}
    (site,) = audit(model, data).sites
    shown = values(model, one_by_one(data, {"x": 1}), ["Y"])
    truth = np.concatenate([one["Y"] for one in shown], axis=2).transpose(2, 0, 1, 3).reshape(SAMPLES, TIME, -1) > 0
    assert (site.op, site.samples, site.assumed) == ("AttnLSTM(Relu)", SAMPLES, False)
    assert list(site.dead) == np.flatnonzero(~truth.any(axis=(0, 1))).tolist()
    assert 2 in site.dead


# All other operators --------------------------------------------------------------------------------------------------


def experts(activation: str | None, op: str = "MoE") -> onnx.ModelProto:
    chosen = "" if activation is None else f', activation_type = "{activation}"'
    body = f"g = MatMul (x, router)\n y = com.microsoft.{op} <k = 1{chosen}> (x, g, one, b1, two, b2)"
    weights = {
        "router": RNG.standard_normal((8, 2)),
        "one": RNG.standard_normal((2, 16, 8)),
        "b1": np.zeros((2, 16)),
        "two": RNG.standard_normal((2, 8, 16)),
        "b2": np.zeros((2, 8)),
    }
    weights = {name: array.astype(np.float32) for name, array in weights.items()}
    return graph("float[n, 8] x", "float[n, 8] y", body, weights)


@pytest.mark.parametrize("activation", ["relu", None])
def test_rectified_experts_are_listed_and_fail_a_gate_that_wants_everything_observed(activation: str | None) -> None:
    model = experts(activation)
    data = {"x": np.random.default_rng(2).standard_normal((300, 8)).astype(np.float32)}
    found = audit(model, data, max_dead=0.5, require_observed=True)
    assert listed(found) == [("y", "MoE(relu)", "in-operator")]
    assert "16 units of each of 2 experts" in found.skipped[0].detail
    assert found.gate.outcome == "failed"


@pytest.mark.parametrize("activation", ["gelu", "silu", "identity"])
def test_experts_with_another_activation_are_no_finding(activation: str) -> None:
    found = audit(experts(activation), {"x": np.ones((5, 8), np.float32)})
    assert (found.sites, found.alive, found.skipped) == ((), (), ())


@pytest.mark.parametrize("op", ["MoE", "QMoE"])
@pytest.mark.parametrize(
    ("activation", "slug"),
    [
        ("relu", "in-operator"),
        (None, "in-operator"),
        ("relu2", "in-operator"),
        ("swiglu", None),
        ("warp", "unknown-activation"),
    ],
)
def test_experts_by_the_file_alone(op: str, activation: str | None, slug: str | None) -> None:
    expected = [] if slug is None else [("y", f"{op}({activation or 'relu'})", slug)]
    assert listed(relu_audit.sites(experts(activation, op))) == expected


@pytest.mark.parametrize(
    ("attributes", "slug"),
    [
        ('activation = "relu"', "in-operator"),
        ('activation = "RELU"', "in-operator"),
        ('activation_type = "ReLU6"', "in-operator"),
        ('hidden_act = "thresholded_relu"', "in-operator"),
        ('fused_activation_function = "RELU_N1_TO_1"', "in-operator"),
        ('activations = ["tanh", "relu"]', "in-operator"),
        ('nonlinearity = "HardSwish"', "in-operator"),
        ('activation = "leaky_relu", activation_alpha = 0.0', "in-operator"),
        ('activation = "leaky_relu", activation_alpha = 0.1', None),
        ('activation = "leaky_relu"', None),
        ('activation = "prelu"', "unknown-activation"),
        ('activation = "Cubic"', "unknown-activation"),
        ('activation = "tanh"', None),
        ('activation = "gelu_new"', None),
        ('activation = "none"', None),
        ('activation = ""', None),
        ('activations = ["swish", "Identity"]', None),
        ("activation_bits = 8", None),
        ('reaction = "relu"', None),
        ('mode = "relu"', None),
    ],
)
def test_any_operator_that_names_an_activation(attributes: str, slug: str | None) -> None:
    model = graph("float[n, 4] x", "float[n, 4] y", f"y = my.domain.Block <{attributes}> (x)")
    model.opset_import.append(onnx.helper.make_opsetid("my.domain", 1))
    found = relu_audit.sites(model)
    assert [(one.tensor, one.slug) for one in found.skipped] == ([] if slug is None else [("y", slug)])
    assert not found.sites


@pytest.mark.parametrize(("number", "slug"), [(0, None), (1, None), (2, "unknown-activation")])
def test_activations_by_number_of_the_operators_that_have_them(number: int, slug: str | None) -> None:
    body = f"y = com.microsoft.GroupNorm <groups = 2, activation = {number}> (x, s, b)"
    weights = {"s": np.ones(4, np.float32), "b": np.zeros(4, np.float32)}
    found = relu_audit.sites(graph("float[n, 3, 3, 4] x", "float[n, 3, 3, 4] y", body, weights))
    assert [one.slug for one in found.skipped] == ([] if slug is None else [slug])


def test_names_that_rectify_do_so() -> None:
    """Those that ONNX has an operator for, asked on both sides of zero."""
    asked = {"relu": "Relu", "hardsigmoid": "HardSigmoid", "hardswish": "HardSwish", "shrink": "Shrink"}
    asked |= {"celu": "Celu", "elu": "Elu", "selu": "Selu", "mish": "Mish", "sigmoid": "Sigmoid", "tanh": "Tanh"}
    asked |= {"softplus": "Softplus", "softsign": "Softsign", "identity": "Identity"}
    for name, op in asked.items():
        model = graph("float[n] x", "float[n] y", f"y = {op} (x)")
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": np.array([-6, -5, -4, -0.25, -0.125, 0.125, 0.25, 4, 5, 6], np.float32)})
        flat = any(not y[part].any() for part in (slice(0, 3), slice(3, 7), slice(7, 10)))
        assert RECTIFY[name] == flat, name


# Ranks ----------------------------------------------------------------------------------------------------------------

LATENTS, KEPT = 12, 4
ENCODER = {
    "w": RNG.standard_normal((8, LATENTS)).astype(np.float32),
    "b": np.array([0, 0, 0, -90, 0, 0, 0, -90, 0, 0.5, 0, 0], np.float32),
    "k": np.array([KEPT]),
    "d": RNG.standard_normal((LATENTS, 8)).astype(np.float32),
}
CODES = RNG.standard_normal((50, 8)).astype(np.float32)
ENCODED = "p = MatMul (x, w)\n h = Add (p, b)\n"
ZEROS = " s = Shape (h)\n z = ConstantOfShape (s)\n"


def sparse(body: str, opset: int = 18) -> onnx.ModelProto:
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    weights = {name: array for name, array in {**ENCODER, "d4": ENCODER["d"][:KEPT]}.items() if name in words}
    return graph("float[n, 8] x", "float[n, m] y", body, weights, opset=opset)


@pytest.mark.parametrize(
    "body",
    [
        "v, i = TopK (h, k)\n y = Relu (v)",
        "v, i = TopK (h, k)\n u = GatherElements <axis = 1> (h, i)\n y = Relu (u)",
        "v, i = TopK (h, k)\n r = Relu (v)\n y = MatMul (r, d4)",
        "v, i = TopK (h, k)\n a = Abs (v)\n c = Add (v, a)\n y = Identity (c)",
    ],
)
def test_ranks_are_no_units(body: str) -> None:
    model = sparse(ENCODED + body)
    (site,) = audit(model, {"x": CODES}).sites
    assert (site.units, site.layout, site.unit_axis, site.assumed) == (1, "n ~", None, True)
    (shown,) = values(model, [{"x": CODES}], [site.tensor])
    assert site.fired_positions == ((shown[site.tensor] > 0).sum(),)


def test_latents_that_are_rectified_before_they_are_ranked_are_the_layer() -> None:
    body = (
        ENCODED
        + f"r = Relu (h)\n v, i = TopK (r, k)\n{ZEROS} t = ScatterElements <axis = -1> (z, i, v)\n y = MatMul (t, d)"
    )
    (site,) = audit(sparse(body), {"x": CODES}).sites
    assert (site.tensor, site.units, site.dead, site.assumed) == ("r", LATENTS, (3, 7), False)


@pytest.mark.parametrize("scatter", ["ScatterElements <axis = -1>", "ScatterElements <axis = 1>"])
def test_latents_that_are_rectified_by_rank_are_counted_where_they_come_back(scatter: str) -> None:
    body = f"{ENCODED} v, i = TopK (h, k)\n r = Relu (v)\n{ZEROS} t = {scatter} (z, i, r)\n y = MatMul (t, d)"
    model = sparse(body)
    (site,) = audit(model, {"x": CODES}).sites
    shown = values(model, one_by_one({"x": CODES}), ["t"])
    fires = np.concatenate([one["t"] for one in shown]) > 0
    assert (site.tensor, site.op, site.units, site.assumed) == ("t", "Relu of TopK", LATENTS, False)
    assert site.weight == "w"
    assert list(site.fired_samples) == fires.sum(axis=0).tolist()
    assert list(site.dead) == np.flatnonzero(~fires.any(axis=0)).tolist()
    assert {3, 7} <= set(site.dead)


def test_ranks_of_positions_leave_the_units_of_another_axis() -> None:
    body = "h = MatMul (x, w)\n v, i = TopK <axis = 1> (h, k)\n y = Relu (v)"
    weights = {"w": ENCODER["w"], "k": np.array([2])}
    model = graph("float[n, 5, 8] x", "float[n, 2, 12] y", body, weights)
    x = RNG.standard_normal((20, 5, 8)).astype(np.float32)
    (site,) = audit(model, {"x": x}).sites
    (shown,) = values(model, [{"x": x}], ["y"])
    assert (site.units, site.layout, site.assumed) == (LATENTS, "n ~ u", False)
    assert list(site.fired_positions) == (shown["y"] > 0).sum(axis=(0, 1)).tolist()


# The cases that were found --------------------------------------------------------------------------------------------

FOUND = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")


@FOUND
def test_experts_as_they_were_found() -> None:
    folder = CASES / "10_mixture_of_experts"
    found = audit(folder / "model.onnx", folder / "data.npz", max_dead=0.5, require_observed=True)
    assert listed(found) == [("y", "MoE(relu)", "in-operator")]
    assert found.gate.outcome == "failed"


@FOUND
@pytest.mark.parametrize("name", ["float", "quantised"])
def test_a_recurrent_layer_has_one_verdict_in_floats_and_codes(name: str) -> None:
    folder = CASES / "11_quantised_lstm"
    (site,) = audit(folder / f"{name}.onnx", folder / "data.npz").sites
    assert (site.samples, site.units, site.dead) == (300, 6, (2,))


@FOUND
@pytest.mark.parametrize("name", ["operator", "clip"])
def test_gates_have_one_verdict_in_both_spellings(name: str) -> None:
    folder = CASES / "14_hard_sigmoid"
    found = audit(folder / f"{name}.onnx", folder / "data.npz")
    assert [site.dead for site in found.sites] == [(), (1, 2, 4, 5)]


@FOUND
def test_slopes_of_zero_do_not_pass_a_gate() -> None:
    found = audit(
        CASES / "hostile" / "prelu_mixed.onnx", CASES / "hostile" / "x.npz", max_dead=0.1, require_observed=True
    )
    assert [(site.tensor, len(site.dead), site.exempt) for site in found.sites] == [("ra", 0, ()), ("r", 5, (5,))]
    assert found.gate.outcome == "failed"


@FOUND
def test_keras_prelu_is_one_activation() -> None:
    listing = relu_audit.sites(CASES / "pruning" / "decomposed_prelu" / "keras_prelu.onnx")
    assert not listing.sites
    assert [one.tensor for one in listing.alive] == ["p"]
