"""What counts as a rectifier, what stays alive by construction, what is left out with a reason, and what is neither."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from relu_audit import audit
from relu_audit.records import Audit
from tests.graphs import graph, mlp
from tests.oracle import assert_all_agree, one_by_one, oracle, values

X = np.random.default_rng(0).integers(-3, 4, (10, 4)).astype(np.float32)
W = np.random.default_rng(1).integers(-2, 3, (4, 5)).astype(np.float32)
SCALARS = {
    "zero": 0.0,
    "minus_zero": -0.0,
    "half": 0.5,
    "one": 1.0,
    "minus_one": -1.0,
    "two": 2.0,
    "three": 3.0,
    "six": 6.0,
    "sixth": 1 / 6,
    "root_two": 2**0.5,
    "zeros": [0.0] * 5,
    "some": [0.0, 0.1, 0.0, 0.2, 0.0],
    "tenth": [0.1],
}


def model(body: str, opset: int = 18, **more: np.ndarray) -> onnx.ModelProto:
    """``h`` is a hidden layer, ``h2`` another one; ``body`` makes ``y`` of them."""
    weights = {"w": W, "w2": W[:, ::-1].copy()}
    weights |= {name: np.asarray(value, np.float32) for name, value in SCALARS.items()} | more
    text = f"h = MatMul (x, w)\n h2 = MatMul (x, w2)\n {body}"
    used = {
        name: array
        for name, array in weights.items()
        if name in text.replace("(", " ").replace(")", " ").replace(",", " ").split()
    }
    return graph("float[n, 4] x", "float[n, 5] y", text, used, opset=opset)


def seen(body: str, opset: int = 18, **more: np.ndarray) -> Audit:
    return audit(model(body, opset, **more), {"x": X})


# Rectifiers ----------------------------------------------------------------------------------------------------------

RECTIFIERS = [
    ("y = Relu (h)", 7, "Relu"),
    ("y = Relu (h)", 26, "Relu"),
    ("y = Clip <min = 0.0, max = 6.0> (h)", 7, "Clip(0, 6)"),
    ("y = Clip <min = 0.0, max = 6.0> (h)", 10, "Clip(0, 6)"),
    ("y = Clip <min = 0.0> (h)", 10, "Clip(0)"),
    ("y = Clip (h, zero, six)", 11, "Clip(0, 6)"),
    ("y = Clip (h, zero, six)", 26, "Clip(0, 6)"),
    ("y = Clip (h, zero)", 12, "Clip(0)"),
    ("y = Clip (h, minus_zero, one)", 13, "Clip(0, 1)"),
    (
        "c = Constant <value_float = 0.0> ()\n d = Constant <value_float = 6.0> ()\n y = Clip (h, c, d)",
        13,
        "Clip(0, 6)",
    ),
    ("c = Identity (zero)\n y = Clip (h, c)", 13, "Clip(0)"),
    ("y = Max (h, zero)", 8, "Max(x, 0)"),
    ("y = Max (zero, h)", 8, "Max(x, 0)"),
    ("y = Max (h, zeros)", 18, "Max(x, 0)"),
    ("c = Constant <value_float = 0.0> ()\n y = Max (c, h)", 13, "Max(x, 0)"),
    ("y = ThresholdedRelu <alpha = 0.5> (h)", 10, "ThresholdedRelu(0.5)"),
    ("y = ThresholdedRelu <alpha = 0.0> (h)", 22, "ThresholdedRelu(0)"),
    ("y = ThresholdedRelu (h)", 18, "ThresholdedRelu(1)"),
    ("y = LeakyRelu <alpha = 0.0> (h)", 7, "LeakyRelu(0)"),
    ("y = PRelu (h, zeros)", 9, "PRelu(0)"),
    ("y = PRelu (h, zero)", 18, "PRelu(0)"),
]


@pytest.mark.parametrize(("body", "opset", "spelling"), RECTIFIERS)
def test_each_spelling_of_a_rectifier_is_recognised_and_observed(body: str, opset: int, spelling: str) -> None:
    found = seen(body, opset)
    assert [site.op for site in found.sites] == [spelling]
    assert not found.alive
    assert not found.skipped
    assert_all_agree(found, oracle(model(body, opset), one_by_one({"x": X}), {"y": 1}))


def test_a_slope_too_large_to_be_a_shape_is_still_read() -> None:
    slope, wide = np.zeros(5000, np.float32), np.ones((4, 5000), np.float32)
    text = "h = MatMul (x, w)\n y = PRelu (h, slope)"
    found = audit(graph("float[n, 4] x", "float[n, 5000] y", text, {"w": wide, "slope": slope}), {"x": X})
    assert [site.op for site in found.sites] == ["PRelu(0)"]


# Alive by construction -----------------------------------------------------------------------------------------------

ALIVE = [
    ("y = LeakyRelu (h)", 18, "LeakyRelu"),
    ("y = LeakyRelu <alpha = 0.01> (h)", 18, "LeakyRelu"),
    ("y = PRelu (h, tenth)", 18, "PRelu"),
    ("y = Elu (h)", 18, "Elu"),
    ("y = Selu (h)", 18, "Selu"),
    ("y = Celu (h)", 18, "Celu"),
    ("y = Gelu (h)", 20, "Gelu"),
    ('y = Gelu <approximate = "tanh"> (h)', 20, "Gelu"),
    ("y = com.microsoft.Gelu (h)", 18, "Gelu"),
    ("a = Div (h, root_two)\n b = Erf (a)\n c = Add (b, one)\n d = Mul (h, c)\n y = Mul (d, half)", 13, "Gelu"),
    ("e = Mul (h, half)\n a = Div (h, root_two)\n b = Erf (a)\n c = Add (one, b)\n y = Mul (e, c)", 13, "Gelu"),
    ("y = Mish (h)", 18, "Mish"),
    ("a = Softplus (h)\n b = Tanh (a)\n y = Mul (h, b)", 13, "Mish"),
    ("a = Sigmoid (h)\n y = Mul (h, a)", 13, "Silu"),
    ("a = Sigmoid (h)\n y = Mul (a, h)", 13, "Silu"),
    ("y = Swish (h)", 24, "Swish"),
]


@pytest.mark.parametrize(("body", "opset", "name"), ALIVE)
def test_what_passes_a_gradient_below_zero_is_listed_alive_and_is_no_site(body: str, opset: int, name: str) -> None:
    found = seen(body, opset)
    assert [one.op.split(" (")[0] for one in found.alive] == [name]
    assert found.alive[0].reason
    assert not found.sites
    assert not found.skipped


def test_a_partly_zero_slope_rectifies_some_units_and_says_how_many() -> None:
    found = seen("y = PRelu (h, some)")
    assert [(site.op, site.exempt) for site in found.sites] == [("PRelu(0) in 3 of 5 units", (1, 3))]
    assert not found.alive


# Neither -------------------------------------------------------------------------------------------------------------

NEITHER = [
    ("y = Clip (h, minus_one, one)", 13),
    ("y = Clip <min = -1.0, max = 1.0> (h)", 9),
    ("y = Clip (h, one, six)", 13),
    ("y = Clip (h)", 13),
    ("y = Clip <max = 6.0> (h)", 9),
    ("y = Clip (h, , six)", 13),
    ("y = Max (h, h2)", 13),
    ("y = Max (h, one)", 13),
    ("y = Max (h)", 13),
    ("y = Sigmoid (h)", 13),
    ("a = Sigmoid (h)\n y = Mul (h2, a)", 13),
    ("a = Tanh (h)\n y = Mul (h2, a)", 13),
    ("y = Tanh (h)", 13),
    ("y = Erf (h)", 13),
    ("y = Softplus (h)", 13),
    ("y = Abs (h)", 13),
    ("y = Identity (h)", 13),
]


@pytest.mark.parametrize(("body", "opset"), NEITHER)
def test_what_is_no_rectifier_is_neither_a_site_nor_listed(body: str, opset: int) -> None:
    found = seen(body, opset)
    assert not found.sites
    assert not found.alive
    assert not found.skipped


def test_a_clipped_gate_on_another_tensor_is_a_rectifier_and_not_hardswish() -> None:
    body = "a = Add (h, three)\n b = Clip (a, zero, six)\n c = Div (b, six)\n y = Mul (h2, c)"
    found = seen(body)
    assert [site.op for site in found.sites] == ["Clip(0, 6)"]
    assert not found.alive
    assert_all_agree(found, oracle(model(body), one_by_one({"x": X}), {"b": 1}))


@pytest.mark.parametrize("body", ["b = Clip (h, zero, six)\n y = Mul (h, b)", "b = Clip (h, zero)\n y = Mul (b, h)"])
def test_a_gate_without_a_shift_is_flat_below_zero_and_so_a_rectifier(body: str) -> None:
    found = seen(body)
    assert [site.tensor for site in found.sites] == ["b"]
    assert not found.alive


def test_a_gate_on_another_tensor_is_a_rectifier() -> None:
    found = seen("a = HardSigmoid (h)\n y = Mul (h2, a)")
    assert [(site.tensor, site.op) for site in found.sites] == [("a", "HardSigmoid")]
    assert not found.alive


def test_a_maximum_that_the_graph_computes_is_skipped_unless_the_minimum_is_zero() -> None:
    (skipped,) = seen("hi = ReduceMax <keepdims = 0> (h2)\n y = Clip (h, , hi)").skipped
    assert (skipped.tensor, skipped.slug) == ("y", "bounds-not-constant")
    assert "maximum" in skipped.detail


def test_celu_of_alpha_zero_is_what_onnxruntime_makes_of_it() -> None:
    """Zero below zero, and not a number above: no unit of it is alive, and none that has been above zero is dead."""
    body = "y = Celu <alpha = 0.0> (h)"
    (site,) = seen(body).sites
    (shown,) = values(model(body), [{"x": X}], ["h", "y"])
    positive = (shown["h"] >= 0).any(axis=0)
    assert (np.isnan(shown["y"]).any(axis=0) == positive).all()
    assert site.faulty == tuple(np.flatnonzero(positive).tolist())
    assert site.dead == tuple(np.flatnonzero(~positive).tolist())


def test_a_minimum_that_the_graph_computes_is_skipped_with_its_reason() -> None:
    found = seen("lo = ReduceMin <keepdims = 0> (h)\n y = Clip (h, lo, six)", 13)
    (skipped,) = found.skipped
    assert (skipped.tensor, skipped.slug) == ("y", "bounds-not-constant")
    assert skipped.detail
    assert not found.sites


def test_a_maximum_that_the_graph_computes_leaves_a_rectifier() -> None:
    body = "hi = ReduceMax <keepdims = 0> (h2)\n y = Clip (h, zero, hi)"
    found = audit(model(body, 13), {"x": X}, samples="rows")
    assert [site.tensor for site in found.sites] == ["y"]


@pytest.mark.parametrize(
    "body",
    ["m = Max (s, nought)", "m = Clip (s, nought_scalar)"],
    ids=["Max", "Clip"],
)
def test_arithmetic_on_shapes_is_no_rectifier(body: str) -> None:
    text = f"h = MatMul (x, w)\n y = Relu (h)\n s = Shape <start = 0, end = 1> (x)\n {body}"
    constants = {"w": W}
    if "nought_scalar" in body:
        constants["nought_scalar"] = np.array(0)
    elif "nought" in body:
        constants["nought"] = np.array([0])
    found = audit(graph("float[n, 4] x", "float[n, 5] y, int64[1] m", text, constants), {"x": X})
    assert [site.tensor for site in found.sites] == ["y"]
    assert found.runtime.batch_size > 1


def test_a_model_without_any_rectifier_is_an_audit_without_sites() -> None:
    found = audit(mlp((4, 5)), {"x": X})
    assert (found.sites, found.alive, found.skipped) == ((), (), ())
    assert (found.units, found.dead, found.dead_fraction) == (0, 0, None)
    assert found.gate.outcome == "not_set"


def test_a_model_without_any_rectifier_cannot_pass_a_gate() -> None:
    found = audit(mlp((4, 5)), {"x": np.repeat(X, 40, axis=0)}, max_dead=0.5)
    assert found.gate.outcome == "inconclusive"
    assert found.gate.reasons


def test_one_pre_activation_rectified_in_two_ways_is_two_sites() -> None:
    found = seen("a = Relu (h)\n b = Clip (h, zero, one)\n y = Add (a, b)")
    assert [(site.tensor, site.op) for site in found.sites] == [("a", "Relu"), ("b", "Clip(0, 1)")]


def test_a_rectifier_in_a_function_is_found_with_its_scope() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        g (float[n, 4] x) => (float[n, 4] y) { h = local.Block (x)  y = local.Block (h) }
        <domain: "local", opset_import: ["" : 18]>
        Block (a) => (b) { b = Relu (a) }
    """
    proto = onnx.parser.parse_model(text)
    found = audit(proto, {"x": X})
    assert [site.scope for site in found.sites] == ["h/local::Block", "y/local::Block"]
    for site in found.sites:
        assert site.fired_samples == tuple((X > 0).sum(axis=0).tolist())


ZEROS = "n = Shape (h)\n z = ConstantOfShape <value = float[1] {0.0}> (n)"


@pytest.mark.parametrize(
    "body",
    [
        f"{ZEROS}\n y = Max (h, z)",
        f"{ZEROS}\n g = Greater (h, zero)\n y = Where (g, h, z)",
        "s = Shape (h)\n z = Expand (zero, s)\n y = Max (z, h)",
        "l = Less (zero, h)\n y = Where (l, h, zero)",
        "l = Less (h, zero)\n g = Not (l)\n y = Where (g, h, zero)",
        "l = LessOrEqual (h, zero)\n c = Cast <to = 9> (l)\n y = Where (c, zero, h)",
        "c = CastLike (zero, h)\n y = Clip (h, c)",
        "c = CastLike (zero, h)\n y = Max (h, c, c)",
        "g = Greater (h, zero)\n m = Cast <to = 1> (g)\n y = Mul (h, m)",
        "s = Abs (zero)\n n = Identity (zero)\n y = PRelu (h, n)",
    ],
)
def test_rectifiers_that_exporters_spell_out_are_found(body: str) -> None:
    (site,) = seen(body).sites
    plain = seen("y = Relu (h)").sites[0]
    assert (site.fired_samples, site.dead, site.assumed) == (plain.fired_samples, plain.dead, False)


@pytest.mark.parametrize(
    "body",
    [
        "g = Greater (h, one)\n y = Where (g, h, one)",
        "y = Max (h, one)",
        "k = Abs (h)\n y = Max (h, k)",
        "g = Greater (h, zero)\n y = Where (g, one, zero)",
    ],
)
def test_what_looks_like_a_rectifier_and_is_none(body: str) -> None:
    assert seen(body).sites == ()
