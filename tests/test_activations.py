"""Ways to write an activation down, against what onnxruntime makes of numbers: where it is flat, and who is dead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_audit
from relu_audit import Audit, audit
from relu_audit.errors import RecordError
from relu_audit.records import SiteAudit
from tests.activations import (
    ALIVE,
    EDGES,
    HARD_SIGMOID,
    HARD_SWISH,
    MORE,
    NEITHER,
    NUMBERS,
    PRELU,
    RELU,
    UNITS,
    UPSIDE_DOWN,
    Net,
    dead,
    measured,
    used,
)
from tests.graphs import graph
from tests.oracle import values

RECTIFIERS = {**RELU, **PRELU, **HARD_SWISH, **HARD_SIGMOID, **UPSIDE_DOWN, **MORE}
EVERYTHING = {**RECTIFIERS, **{f"alive: {name}": body for name, body in ALIVE.items()}, **NEITHER}

PASSED_ON = {"Min(Relu(0.2 x + 0.5), 1)", "Relu squared", "x * Relu(x)", "Min and Max of vectors"}
"""Those that are named by the node that rectifies, since what follows is flat where it is."""

RNG = np.random.default_rng(5)
X = RNG.standard_normal((60, 4)).astype(np.float32)
W = RNG.standard_normal((4, UNITS)).astype(np.float32)
BIASES = {
    "spread": np.array([0, 0.5, -0.5, 0.25, -1, 1], np.float32),
    "low": np.full(UNITS, -30, np.float32),
    "high": np.full(UNITS, 30, np.float32),
    "mixed": np.array([-30, -30, 30, 0, 30, -30], np.float32),
    "edge": np.array([-3.5, -4, 4, 3.5, -2, 2], np.float32),
}


def layer(body: str, bias: str) -> Net:
    return Net(body, {"weight": W, "bias": BIASES[bias]})


def seen(net: Net, x: np.ndarray = X) -> Audit:
    return audit(net.model(), {"x": x})


def the_site(found: Audit) -> SiteAudit:
    assert not found.skipped
    (site,) = found.sites
    assert (site.units, site.assumed, site.layout) == (UNITS, False, "n u")
    return site


# Where they are flat -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_rectifier_is_what_has_a_stretch_of_zeros(name: str) -> None:
    truth, found = measured(EVERYTHING[name]), seen(layer(EVERYTHING[name], "spread"))
    assert bool(found.sites) == bool(truth.flat)
    assert not (found.sites and found.alive)
    if truth.flat:
        site = the_site(found)
        assert set(range(UNITS)) - set(site.exempt) == set(truth.flat)
        assert site.tensor == "y" or name in PASSED_ON


def test_the_lists_are_what_they_are_called() -> None:
    flat = {name: measured(body).flat for name, body in EVERYTHING.items()}
    assert all(flat[name] for name in RECTIFIERS)
    assert not any(flat[name] for name in EVERYTHING if name not in RECTIFIERS)
    assert all(flat[name] == (0, 2, 4) for name in PRELU)


@pytest.mark.parametrize("name", ALIVE)
def test_what_has_a_slope_everywhere_is_alive_and_its_parts_are_no_layers(name: str) -> None:
    found = seen(layer(ALIVE[name], "spread"))
    assert [one.tensor for one in found.alive] == ["y"]
    assert found.alive[0].reason
    assert not found.sites
    assert not found.skipped


@pytest.mark.parametrize("name", NEITHER)
def test_what_is_neither_is_not_told_of(name: str) -> None:
    found = seen(layer(NEITHER[name], "spread"))
    assert (found.sites, found.alive, found.skipped) == ((), (), ())


@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_nan_is_seen_whatever_becomes_of_it(name: str) -> None:
    """Behind some spellings a NaN is a zero: the unit is faulty all the same, where its pre-activation shows."""
    net = Net(
        RECTIFIERS[name],
        {"weight": W, "bias": BIASES["spread"]},
        layer="roots = Sqrt (x)\n h = Gemm (roots, weight, bias)",
    )
    x = np.abs(X)
    x[7] = -1
    assert the_site(seen(net, x)).faulty == tuple(range(UNITS))


# Who is dead ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("name", RECTIFIERS)
def test_the_dead_are_the_flat_units_that_are_zero_on_all_data(name: str, bias: str) -> None:
    net = layer(RECTIFIERS[name], bias)
    site = the_site(seen(net))
    assert list(site.dead) == dead(net, X, measured(RECTIFIERS[name]).flat)
    assert not set(site.rare) & set(site.exempt)


@pytest.mark.parametrize("spellings", [RELU, PRELU, HARD_SWISH, HARD_SIGMOID, UPSIDE_DOWN])
@pytest.mark.parametrize("bias", ["spread", "mixed", "edge"])
def test_one_function_has_one_verdict_however_it_is_spelt(spellings: Mapping[str, str], bias: str) -> None:
    found = {name: the_site(seen(layer(body, bias))) for name, body in spellings.items()}
    plain = next(iter(found.values()))
    for name, site in found.items():
        for what in ("dead", "rare", "fired_samples", "first_fired", "exempt", "unit_axis", "counted_as"):
            assert getattr(site, what) == getattr(plain, what), f"{name}: {what}"
        if site.tensor != "y":
            continue  # what is capped behind the rectifier is not capped in it
        assert (site.always_on, site.constant) == (plain.always_on, plain.constant), name
        for what in ("peak", "trough", "mean"):
            told, true = (np.array(getattr(one, what), np.float64) for one in (site, plain))
            np.testing.assert_allclose(told, true, rtol=1e-4, atol=1e-5, err_msg=f"{name}: {what}")


SCALED = {
    "Clip(x / 5 + 0.5, 0, 1)": NUMBERS["fifth"],
    "Min(Relu(0.2 x + 0.5), 1)": NUMBERS["fifth"],
    "Relu of either sign": NUMBERS["signs"],
}
"""What the pre-activation of some is multiplied by before it is rectified."""


@pytest.mark.parametrize("name", RECTIFIERS)
def test_a_unit_raised_by_its_margin_fires_and_by_less_does_not(name: str) -> None:
    """What is flat above zero is lowered instead."""
    net = layer(RECTIFIERS[name], "low" if name not in UPSIDE_DOWN else "high")
    site = the_site(seen(net))
    if site.causes is None or None in site.causes.margin:
        assert not site.dead or name == "Selu without gamma"
        return
    upwards = -1 if site.counted_as == "negated" else 1
    for share, fires in ((1.001, True), (0.999, False)):
        raised = np.zeros(UNITS, np.float32)
        raised[list(site.dead)] = upwards * share * np.array(site.causes.margin, np.float32)
        raised /= SCALED.get(name, np.float32(1))
        moved = Net(net.body, {**net.weights, "bias": net.weights["bias"] + raised})
        assert dead(moved, X, site.dead) == ([] if fires else list(site.dead)), share


def test_a_gate_that_is_open_for_good_is_constant_and_not_dead() -> None:
    for body in HARD_SIGMOID.values():
        site = the_site(seen(layer(body, "high")))
        assert (site.constant, site.dead) == (tuple(range(UNITS)), ()) or site.tensor == "c"


def test_a_slope_of_its_own_keeps_a_unit_from_death_and_the_share_counts_the_layer() -> None:
    net = layer(PRELU["PRelu"], "low")
    found = audit(net.model(), {"x": np.repeat(X, 5, axis=0)}, max_dead=0.4, require_observed=True, min_samples=1)
    (site,) = found.sites
    assert (site.dead, site.exempt, site.not_rectified) == ((0, 2, 4), (1, 3, 5), (1, 3, 5))
    assert site.dead_fraction == found.dead_fraction == 0.5
    assert site.op == "PRelu(0) in 3 of 6 units"
    assert found.gate.outcome == "failed"
    assert {site.statuses[unit] for unit in site.exempt} <= {"active", "always_on"}


def test_slopes_by_position_make_a_unit_alive_where_any_of_them_does() -> None:
    slopes = np.zeros((3, 5, 5), np.float32)
    slopes[1, 2, 2] = 0.25
    kernel = RNG.standard_normal((3, 2, 3, 3)).astype(np.float32)
    bias = np.full(3, -50, np.float32)
    net = Net(
        "y = PRelu (h, s)",
        {"kernel": kernel, "bias": bias, "s": slopes},
        layer="h = Conv <pads = [1, 1, 1, 1]> (x, kernel, bias)",
        shape=(2, 5, 5),
    )
    (site,) = audit(net.model(), {"x": RNG.standard_normal((9, 2, 5, 5)).astype(np.float32)}).sites
    assert (site.units, site.dead, site.exempt) == (3, (0, 2), (1,))
    everywhere = Net(
        net.body, {**net.weights, "s": np.float32(0.5) * np.eye(5, dtype=np.float32)[None]}, net.layer, net.shape
    )
    found = audit(everywhere.model(), {"x": np.ones((3, 2, 5, 5), np.float32)})
    assert not found.sites
    assert [one.tensor for one in found.alive] == ["y"]


def test_bounds_by_position_are_no_bounds_of_units_and_said_so() -> None:
    kernel = RNG.standard_normal((3, 2, 3, 3)).astype(np.float32)
    floors = np.zeros((5, 5), np.float32)
    floors[2, 2] = 0.5
    net = Net(
        "y = Max (h, floors)",
        {"kernel": kernel, "bias": np.zeros(3, np.float32), "floors": floors},
        layer="h = Conv <pads = [1, 1, 1, 1]> (x, kernel, bias)",
        shape=(2, 5, 5),
        numbers={},
    )
    found = audit(net.model(), {"x": np.ones((3, 2, 5, 5), np.float32)})
    assert not found.sites
    assert not found.alive  # it is flat at one half there, and has no slope
    assert [(one.tensor, one.slug) for one in found.skipped] == [("y", "bounds-not-by-unit")]


BODY = "h = Gemm (x, weight, bias)\n {}\n"


@pytest.mark.parametrize(
    "name",
    ["Min", "(x - |x|) / 2", "HardSwish", "x * Clip(x + 3, 0, 6) / 6", "PRelu", "Relu(x) + a Min(x, 0)", "x * (x > v)"],
)
@pytest.mark.parametrize("owner", ["If", "Loop", "Scan"])
def test_functions_in_bodies_are_read_there(owner: str, name: str) -> None:
    """Of the same samples, inside and outside of a body; in a loop, each comes twice."""
    body = RECTIFIERS[name]
    weights = {"weight": W, "bias": BIASES["mixed"], **used(body)}
    inner = BODY.format(body)
    text, inputs = {
        "If": (
            f"z = If (yes) <then_branch = t () => (float[n, 6] y) {{ {inner} }},"
            " else_branch = e () => (float[n, 6] q) { g = Gemm (x, weight, bias) q = Neg (g) }>",
            "float[n, 4] x",
        ),
        "Loop": (
            "z, s = Loop (twice, yes, x) <body = l (int64 i, bool go, float[n, 4] xin) => (bool on, float[n, 4] kept, "
            f"float[n, 6] y) {{ on = Identity (go) kept = Identity (xin) {inner.replace('(x,', '(xin,')} }}>",
            "float[n, 4] x",
        ),
        "Scan": (
            "z = Scan <num_scan_inputs = 1, body = b (float[n, 4] xin) => (float[n, 6] y) "
            f"{{ {inner.replace('(x,', '(xin,')} }}> (u)",
            "float[n, 4] x",
        ),
    }[owner]
    text = f"o = Constant <value_ints = [0]> ()\n u = Unsqueeze (x, o)\n {text}" if owner == "Scan" else text
    weights |= {"yes": np.bool_(True)} if owner != "Scan" else {}  # type: ignore[dict-item]
    weights |= {"twice": np.array(2)} if owner == "Loop" else {}
    result = {"If": "float[n, 6] z", "Loop": "float[n, 4] z", "Scan": "float[s, n, 6] z"}[owner]
    (inside,) = audit(graph(inputs, result, text, weights), {"x": X}).sites
    outside = the_site(seen(layer(body, "mixed")))
    assert inside.tensor == outside.tensor
    for what in ("dead", "fired_samples", "first_fired", "exempt", "counted_as", "peak", "trough"):
        assert getattr(inside, what) == getattr(outside, what), what


@pytest.mark.parametrize("axes", [(6, 1, 1), (1, 6, 1, 1)])
def test_slopes_of_channels_are_those_of_an_image(axes: tuple[int, ...]) -> None:
    kernel = RNG.standard_normal((6, 2, 3, 3)).astype(np.float32)
    numbers = {"slopes": NUMBERS["slopes"].reshape(axes), "zero": NUMBERS["zero"], "minus": NUMBERS["minus"]}
    x = RNG.standard_normal((20, 2, 5, 5)).astype(np.float32)
    for body in PRELU.values():
        if "half" in body or "minus_slopes" in body:
            continue
        net = Net(
            body,
            {"kernel": kernel, "bias": np.array([-50, -50, 0, 0, -50, 0], np.float32)},
            layer="h = Conv (x, kernel, bias)",
            shape=(2, 5, 5),
            numbers=numbers,
        )
        (site,) = audit(net.model(), {"x": x}).sites
        assert (site.dead, site.exempt) == ((0, 4), (1, 3, 5))
        assert list(site.dead) == dead(net, x, (0, 2, 4))


def test_slopes_behind_a_flattened_image_belong_to_its_channels() -> None:
    slopes = np.repeat(np.array([0, 0.5, 0], np.float32), 9)
    text = "c = Conv (x, k, b)\n f = Flatten (c)\n r = PRelu (f, s)\n y = Identity (r)"
    weights = {"k": RNG.standard_normal((3, 2, 3, 3)).astype(np.float32), "b": np.full(3, -50, np.float32), "s": slopes}
    model = graph("float[n, 2, 5, 5] x", "float[n, m] y", text, weights)
    (site,) = audit(model, {"x": RNG.standard_normal((9, 2, 5, 5)).astype(np.float32)}).sites
    assert (site.units, site.dead, site.exempt) == (3, (0, 2), (1,))


@pytest.mark.parametrize("name", RECTIFIERS)
def test_no_unit_goes_but_dead_ones_and_nothing_changes(name: str) -> None:
    """Units of a slope of their own are never silent, whatever they showed."""
    bias = np.where([True, True, False, True, False, True], -50, BIASES["spread"]).astype(np.float32)
    net = layer(RECTIFIERS[name], "spread")
    net = Net(
        f"{net.body}\n z = Gemm (y, out)",
        {"weight": W, "bias": -bias if name in UPSIDE_DOWN else bias, "out": RNG.standard_normal((6, 3)).astype("f4")},
    )
    model = net.model()
    model.graph.output[0].name = "z"
    found = audit(model, {"x": X})
    (site,) = found.sites
    pruned = relu_audit.prune(model, found, data={"x": X}, align=1)
    assert {one.unit for one in pruned.plan.removed} <= set(site.dead)
    assert len(pruned.plan.removed) == len(site.dead) or name == "(0 < x) * x"  # behind CastLike nothing is followed
    (before,), (after,) = (values(one, [{"x": X}], ["z"]) for one in (model, pruned.model))
    np.testing.assert_allclose(after["z"], before["z"], rtol=1e-4, atol=1e-4)


# Parts that are read elsewhere ----------------------------------------------------------------------------------------


def test_a_part_that_is_read_elsewhere_is_a_layer_of_its_own() -> None:
    net = layer(
        "r = Relu (h)\n m = Neg (h)\n n = Relu (m)\n s = Add (r, n)\n o = MatMul (r, v)\n y = Add (s, o)", "spread"
    )
    found = seen(Net(net.body, {**net.weights, "v": np.eye(UNITS, dtype=np.float32)}))
    assert [site.tensor for site in found.sites] == ["r"]
    assert [one.tensor for one in found.alive] == ["s"]


def test_two_rectifiers_of_one_value_are_two() -> None:
    net = layer("r = Relu (h)\n c = Clip (h, zero, one)\n y = Add (r, c)", "spread")
    assert [site.tensor for site in seen(net).sites] == ["r", "c"]


def test_two_rectifiers_with_a_gap_between_are_two() -> None:
    """Their sum is flat between them, on no side, and has a slope on both: it is neither one nor alive everywhere."""
    net = layer("a = Sub (h, one)\n b = Relu (a)\n c = Neg (h)\n e = Relu (c)\n y = Add (b, e)", "spread")
    found = seen(net)
    assert [site.tensor for site in found.sites] == ["b", "e"]
    assert not found.alive


def test_a_residual_sum_of_another_layer_leaves_the_rectifier() -> None:
    net = Net(
        "r = Relu (h)\n g = Gemm (x, v, bias)\n y = Add (r, g)",
        {"weight": W, "v": W[:, ::-1].copy(), "bias": BIASES["spread"]},
    )
    assert [site.tensor for site in seen(net).sites] == ["r"]


# Parameters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "v = Relu (w)\n y = MatMul (x, v)",
        "a = Abs (w)\n s = Add (a, w)\n v = Mul (s, half)\n y = MatMul (x, v)",
        "v = PRelu (w, slopes)\n y = MatMul (x, v)",
        "v = HardSigmoid (w)\n y = MatMul (x, v)",
        "u = MatMul (q, w)\n v = Relu (u)\n o = MatMul (v, t)\n m = MatMul (x, w)\n y = Add (m, o)",
        "n = Shape (x)\n c = ConstantOfShape <value = float[1] {-1.0}> (n)\n d = MatMul (c, w)\n v = Relu (d)\n"
        "m = MatMul (x, w)\n y = Add (m, v)",
    ],
)
def test_a_rectifier_of_parameters_alone_is_no_layer(body: str) -> None:
    weights = used(body, {**NUMBERS, "w": W, "q": W.T.copy(), "t": np.eye(UNITS, dtype=np.float32)})
    found = audit(graph("float[n, 4] x", "float[n, m] y", body, weights), {"x": X})
    assert (found.sites, found.alive, found.skipped) == ((), (), ())


def test_a_mask_of_zeros_is_no_rectifier() -> None:
    assert seen(layer("y = Mul (h, nothing)", "spread")).sites == ()


# What is written down -------------------------------------------------------------------------------------------------


def test_fields_stand_in_the_file_only_where_they_say_something(tmp_path: Path) -> None:
    for body, fields in (
        (RELU["Relu"], set()),
        (PRELU["PRelu"], {"not_rectified"}),
        (HARD_SWISH["HardSwish"], {"counted_as"}),
        (UPSIDE_DOWN["Min"], {"counted_as"}),
    ):
        found = seen(layer(body, "mixed"))
        found.save(tmp_path / "audit.json")
        assert relu_audit.load(tmp_path / "audit.json") == found
        (site,) = json.loads((tmp_path / "audit.json").read_text())["sites"]
        assert {"not_rectified", "counted_as"} & set(site) == fields


def test_a_file_in_which_a_unit_that_is_not_rectified_is_dead_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    seen(layer(PRELU["PRelu"], "low")).save(path)
    text = json.loads(path.read_text())
    for changed in ([0, 1, 3, 5], [1, 3, 9], [3, 1, 5]):
        text["sites"][0]["not_rectified"] = changed
        path.write_text(json.dumps(text))
        with pytest.raises(RecordError, match="counts"):
            relu_audit.load(path)


# Any of them ----------------------------------------------------------------------------------------------------------

WHOLE = st.integers(-3, 3)


@st.composite
def nets(draw: st.DrawFn) -> tuple[str, Net, np.ndarray]:
    """A layer of small whole numbers behind any spelling, with slopes and thresholds of its own."""
    name = draw(st.sampled_from(sorted(RECTIFIERS)))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    numbers = {**NUMBERS}
    if draw(st.booleans()):
        slopes = rng.choice([0, 0, 0.5, -0.25], UNITS).astype(np.float32)
        slopes[0] = 0
        numbers |= {"slopes": slopes, "minus_slopes": -slopes, "half_slopes": slopes / 2}
    bias = np.array(draw(st.lists(st.sampled_from([-40, -8, -1, 0, 1, 8, 40]), min_size=UNITS, max_size=UNITS)))
    samples = draw(st.integers(1, 12))
    if draw(st.booleans()):
        weights = {"weight": rng.integers(-3, 4, (4, UNITS)).astype(np.float32), "bias": bias.astype(np.float32)}
        net = Net(RECTIFIERS[name], weights, numbers=numbers)
        return name, net, rng.integers(-3, 4, (samples, 4)).astype(np.float32)
    vectors = {key: array.reshape(-1, 1, 1) if array.ndim else array for key, array in numbers.items()}
    weights = {"kernel": rng.integers(-2, 3, (UNITS, 2, 2, 2)).astype(np.float32), "bias": bias.astype(np.float32)}
    net = Net(RECTIFIERS[name], weights, layer="h = Conv (x, kernel, bias)", shape=(2, 4, 4), numbers=vectors)
    return name, net, rng.integers(-2, 3, (samples, 2, 4, 4)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(nets())
def test_the_dead_of_any_small_net_are_those_of_brute_force(case: tuple[str, Net, np.ndarray]) -> None:
    name, net, x = case
    flat = measured(net.body).flat
    if "slopes" in net.body:
        flat = tuple(np.flatnonzero(net.numbers["slopes"].ravel() == 0).tolist())
    found = audit(net.model(), {"x": x})
    (site,) = found.sites
    assert list(site.dead) == dead(net, x, flat), name
    assert set(range(UNITS)) - set(site.exempt) == set(flat), name
    assert site.samples == len(x)


def test_thresholds_by_unit_are_the_ones_that_margins_go_by() -> None:
    net = layer(MORE["x * (x > v)"], "low")
    site = the_site(seen(net))
    assert site.causes is not None
    expected = [EDGES[unit] - (site.pre_peak[unit] or 0) for unit in site.dead]
    np.testing.assert_allclose(site.causes.margin, expected)  # type: ignore[arg-type]
