"""The same weights give one verdict in every spelling: plain, in bodies, functions, fused, blocked, short, in codes.

Exact spellings give the very same counts. In float16 and in eight-bit codes a unit may change sides only where it is a
near miss: where its largest pre-activation in float32 is closer to zero than one step of the coarser numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnxruntime import quantization  # noqa: TID251 - as another tool that writes ONNX files
from onnxruntime.quantization import QuantFormat, QuantType  # noqa: TID251 - likewise

import relu_audit
from relu_audit import Audit, audit
from tests.graphs import graph
from tests.oracle import one_by_one, oracle, values
from tests.spellings import (
    LAYERS,
    NARROW,
    WIDE,
    Net,
    Rectify,
    assert_one_verdict,
    codes_fired,
    counted,
    in_type,
    lines,
    operators,
    quantized,
    result,
    saved,
    the_net,
    told,
    true,
    with_functions,
    within,
    written,
    zero_point,
)

LEVELS = ("BASIC", "EXTENDED", "ALL")
SIZES = pytest.mark.parametrize("units", [NARROW, WIDE], ids=["narrow", "wide"])


def assert_same_network(model: onnx.ModelProto | Path, net: Net) -> None:
    """The spelling computes what the plain network computes."""
    expected, found = (result(m, net.data)[0] for m in (written(net), model))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@SIZES
def test_the_planted_units_are_dead_and_no_others_by_much(units: tuple[int, ...]) -> None:
    net = the_net(units)
    for layer, planted in net.dead.items():
        truth = net.truths[layer]
        assert set(planted) <= set(truth.dead), layer
        assert set(net.faint.get(layer, ())).isdisjoint(truth.dead), layer
        assert len(truth.dead) <= len(planted) + 2, layer
    assert len(net.x) == net.truths["r1"].samples


# Rectifiers as nodes -------------------------------------------------------------------------------------------------

NODES: dict[str, tuple[int, Rectify]] = {
    "Relu": (18, lambda y, x: f"{y} = Relu ({x})"),
    "Relu-7": (7, lambda y, x: f"{y} = Relu ({x})"),
    "Clip": (18, lambda y, x: f"{y} = Clip ({x}, zero)"),
    "Clip-high": (18, lambda y, x: f"{y} = Clip ({x}, zero, high)"),
    "Clip-6": (7, lambda y, x: f"{y} = Clip <min = 0.0> ({x})"),
    "Clip-6-high": (10, lambda y, x: f"{y} = Clip <min = 0.0, max = 10000.0> ({x})"),
    "Max": (18, lambda y, x: f"{y} = Max ({x}, zero)"),
    "Max-cast": (18, lambda y, x: f"z_{y} = Cast <to = 1> (double)\n {y} = Max ({x}, z_{y})"),
    "Clip-cast": (18, lambda y, x: f"z_{y} = Cast <to = 1> (double)\n {y} = Clip ({x}, z_{y})"),
    "Max-flipped": (13, lambda y, x: f"{y} = Max (zero, {x})"),
    "LeakyRelu": (18, lambda y, x: f"{y} = LeakyRelu <alpha = 0.0> ({x})"),
    "PRelu": (18, lambda y, x: f"{y} = PRelu ({x}, zero)"),
    "ThresholdedRelu": (18, lambda y, x: f"{y} = ThresholdedRelu <alpha = 0.0> ({x})"),
    "Elu": (18, lambda y, x: f"{y} = Elu <alpha = 0.0> ({x})"),
    "Abs": (18, lambda y, x: f"a_{y} = Abs ({x})\n b_{y} = Add ({x}, a_{y})\n {y} = Mul (b_{y}, half)"),
    "Abs-7": (7, lambda y, x: f"a_{y} = Abs ({x})\n b_{y} = Add (a_{y}, {x})\n {y} = Div (b_{y}, two)"),
    "Min": (18, lambda y, x: f"a_{y} = Min ({x}, zero)\n {y} = Sub ({x}, a_{y})"),
    "Min-negated": (18, lambda y, x: f"a_{y} = Neg ({x})\n b_{y} = Min (a_{y}, zero)\n {y} = Neg (b_{y})"),
    "Clip-below": (18, lambda y, x: f"a_{y} = Clip ({x}, , zero)\n {y} = Sub ({x}, a_{y})"),
    "Mul": (18, lambda y, x: f"a_{y} = Greater ({x}, zero)\n b_{y} = Cast <to = 1> (a_{y})\n {y} = Mul ({x}, b_{y})"),
}
NUMBERS = {
    "zero": np.float32(0),
    "high": np.float32(1e4),
    "double": np.float64(0),
    "half": np.float32(0.5),
    "two": np.float32(2),
}


def rectified_by(net: Net, spelling: str) -> onnx.ModelProto:
    opset, rectify = NODES[spelling]
    used = {name: value for name, value in NUMBERS.items() if name in rectify("y", "x")}
    return written(net, lines(net.units, rectify), opset, **used)


@pytest.mark.parametrize("spelling", NODES)
def test_a_rectifier_is_one_however_its_node_is_called(spelling: str) -> None:
    net = the_net()
    model = rectified_by(net, spelling)
    assert_same_network(model, net)
    assert_one_verdict(audit(model, net.data), net)


def test_slopes_of_zero_by_channel() -> None:
    net = the_net()
    sizes = [len(net.truths[layer].peak) for layer in LAYERS]
    slopes = {
        f"slope_{y}": np.zeros((u, 1, 1) if y != "r7" else u, np.float32) for y, u in zip(LAYERS, sizes, strict=True)
    }
    model = written(net, lines(net.units, lambda y, x: f"{y} = PRelu ({x}, slope_{y})"), **slopes)
    assert_one_verdict(audit(model, net.data), net)


def test_keras_prelu_with_slopes_by_channel_is_one_layer_and_judged_by_unit() -> None:
    """Relu(x) - slope * Relu(-x), where the slope of planted units is zero, and of one of them it is not."""
    net = the_net()
    slopes = {f"slope_{y}": np.full((len(net.truths[y].peak), 1, 1), 0.25, np.float32) for y in LAYERS}
    slopes = {name: array.ravel() if name == "slope_r7" else array for name, array in slopes.items()}
    for y in LAYERS:
        slopes[f"slope_{y}"][list(net.dead[y])[-1]] = 0
    text = (
        "p_{y} = Relu ({x})\n n_{y} = Neg ({x})\n q_{y} = Relu (n_{y})\n"
        " m_{y} = Mul (q_{y}, slope_{y})\n {y} = Sub (p_{y}, m_{y})"
    )
    spelt = written(net, lines(net.units, lambda y, x: text.format(y=y, x=x)), **slopes)
    single = written(net, lines(net.units, lambda y, x: f"{y} = PRelu ({x}, slope_{y})"), **slopes)
    found = [audit(model, net.data) for model in (spelt, single)]
    assert [site.tensor for site in found[0].sites] == list(LAYERS)
    assert not found[0].alive
    for one, two, y in zip(found[0].sites, found[1].sites, LAYERS, strict=True):
        assert told(one) == told(two)
        assert one.exempt == two.exempt == tuple(np.flatnonzero(slopes[f"slope_{y}"].ravel()).tolist())
        shown = np.concatenate([values(spelt, [{"x": x[None]}], [y])[0][y] for x in net.x])
        silent = ~(shown > 0).any(axis=(0, *range(2, shown.ndim)))
        assert set(one.dead) == set(np.flatnonzero(silent)) - set(one.exempt)


def test_a_spelling_for_each_layer() -> None:
    net = the_net()
    spelt = dict(
        zip(LAYERS, ("Clip", "Max", "LeakyRelu", "PRelu", "Clip-high", "ThresholdedRelu", "Relu"), strict=True)
    )
    numbers = {name: NUMBERS[name] for name in ("zero", "high", "double")}
    model = written(net, lines(net.units, lambda y, x: NODES[spelt[y]][1](y, x)), **numbers)
    assert_one_verdict(audit(model, net.data), net)


# Functions, bodies, files --------------------------------------------------------------------------------------------

ACT = "Act (a) => (b) { b = Relu (a) }"
LAYER = "Layer <pads, group> (x, w, b) => (y) { h = Conv <pads: ints = @pads, group: int = @group> (x, w, b)\n %s }"
RESIDUAL = "Residual (x, w, b, z) => (y) { h = Conv <pads = [1, 1, 1, 1]> (x, w, b)\n s = Add (h, z)\n %s }"


def by_functions(net: Net, act: str) -> list[str]:
    """The convolutional layers as calls; ``act`` is what the last layer does."""
    padded = "pads = [1, 1, 1, 1]"
    calls = {
        "r1": "r1 = local.Act (h1)",
        "r2": f"r2 = local.Layer <{padded}, group = 1> (p1, k2, b2)",
        "r3": f"r3 = local.Layer <{padded}, group = {net.units[1]}> (r2, k3, b3)",
        "r4": "r4 = local.Residual (r3, k4, b4, p1)",
        "r5": f"r5 = local.Layer <{padded}, group = 2> (r4, k5, b5)",
        "r6": "r6 = local.Layer <pads = [0, 0, 0, 0], group = 1> (t, k6, b6)",
        "r7": f"r7 = {act} (h7)",
    }
    inside = ("h2", "h3", "h4", "h5", "h6", "c4")
    return [line for line in lines(net.units, lambda y, x: calls[y]) if not line.startswith(inside)]


def functions(net: Net) -> onnx.ModelProto:
    model = written(net, lines(net.units, lambda y, x: f"{y} = local.Act ({x})"))
    return with_functions(model, ACT)


def nested_functions(net: Net) -> onnx.ModelProto:
    act = "y = local.Act (%s)"
    return with_functions(
        written(net, by_functions(net, "local.Act")), ACT, LAYER % (act % "h"), RESIDUAL % (act % "s")
    )


def flat_functions(net: Net) -> onnx.ModelProto:
    return with_functions(
        written(net, by_functions(net, "Relu")), ACT, LAYER % "y = Relu (h)", RESIDUAL % "y = Relu (s)"
    )


def one_function(net: Net) -> onnx.ModelProto:
    names = ", ".join(net.weights)
    body = "\n".join(lines(net.units, lambda y, x: f"{y} = local.Act ({x})"))
    model = written(net, [f"y = local.Whole (x, {names})"])
    return with_functions(model, ACT, f"Whole (x, {names}) => (y) {{ {body} }}")


def branch(net: Net) -> onnx.ModelProto:
    body = [*lines(net.units)[:-1], lines(net.units)[-1].replace("y =", "q =")]
    other = ["e = Flatten (x)", "s = MatMul (e, none)"]
    taken, left = within(body, "float[n, 5] q", "then_branch"), within(other, "float[n, 5] s", "else_branch")
    return written(
        net, [f"y = If (yes) <{taken}, {left}>"], yes=np.bool_(True), none=np.zeros((3 * 8 * 8, 5), np.float32)
    )


def nested_branch(net: Net) -> onnx.ModelProto:
    """The first layer outside, the next in a branch, the rest in a branch of that branch."""
    body = [*lines(net.units)[:-1], lines(net.units)[-1].replace("y =", "v =")]
    deepest = within(body[6:], "float[n, 5] v", "then_branch")
    other = within(["g = Flatten (x)", "s = MatMul (g, none)"], "float[n, 5] s", "else_branch")
    again = other.replace("s = ", "s2 = ").replace("] s", "] s2").replace("g = ", "g2 = ").replace("(g,", "(g2,")
    middle = within([*body[3:6], f"q = If (yes) <{deepest}, {again}>"], "float[n, 5] q", "then_branch")
    return written(
        net,
        [*body[:3], f"y = If (yes) <{middle}, {other}>"],
        yes=np.bool_(True),
        none=np.zeros((3 * 8 * 8, 5), np.float32),
    )


def loop(net: Net) -> onnx.ModelProto:
    body = [*lines(net.units)[:-1], lines(net.units)[-1].replace("y =", "v ="), "q = Add (v, s)", "go = Identity (c)"]
    inner = within(body, "bool go, float[n, 5] q", "body").replace("()", "(int64 i, bool c, float[n, 5] s)")
    start = ["e = Flatten (x)", "s0 = MatMul (e, none)"]
    return written(
        net,
        [*start, f"y = Loop (once, yes, s0) <{inner}>"],
        once=np.int64(1),
        yes=np.bool_(True),
        none=np.zeros((3 * 8 * 8, 5), np.float32),
    )


WRAPPED: dict[str, Callable[[Net], onnx.ModelProto]] = {
    "a function for the activation": functions,
    "a function for each layer": flat_functions,
    "functions that call functions": nested_functions,
    "a function around all of it": one_function,
    "a branch": branch,
    "a branch in a branch": nested_branch,
    "a loop of one iteration": loop,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_functions_and_bodies_change_nothing(wrap: Callable[[Net], onnx.ModelProto]) -> None:
    net = the_net()
    model = wrap(net)
    assert_same_network(model, net)
    assert_one_verdict(audit(model, net.data), net)


def test_weights_beside_the_file_change_nothing(tmp_path: Path) -> None:
    net = the_net()
    onnx.save(written(net), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert (tmp_path / "m.data").stat().st_size > sum(weight.nbytes for weight in net.weights.values()) - 1
    assert_one_verdict(audit(tmp_path / "m.onnx", net.data), net)


# Fused by hand -------------------------------------------------------------------------------------------------------


def by_hand(net: Net, *, clip: bool) -> list[str]:
    """Every layer fused but the one behind the BatchNorm; a residual as the addend ``Z``."""
    ms = "com.microsoft.FusedConv"
    padded = "pads = [1, 1, 1, 1]"
    relu, leaky = 'activation = "Relu"', 'activation = "LeakyRelu", activation_params = [0.0]'
    fifth = 'activation = "Clip", activation_params = [0.0, 1000.0]' if clip else relu
    fused = {
        "r1": "r1 = Relu (h1)",
        "r2": f"r2 = {ms} <{padded}, {relu}> (p1, k2, b2)",
        "r3": f"r3 = {ms} <{padded}, group = {net.units[1]}, {leaky}> (r2, k3, b3)",
        "r4": f"r4 = {ms} <{padded}, {fifth}> (r3, k4, b4, p1)",
        "r5": f"r5 = {ms} <{padded}, group = 2, {fifth}> (r4, k5, b5)",
        "r6": f"r6 = {ms} <{leaky}> (t, k6, b6)",
        "r7": 'r7 = com.microsoft.FusedGemm <activation = "LeakyRelu", activation_alpha = 0.0> (f, w7, b7)'
        if clip
        else 'r7 = com.microsoft.FusedGemm <activation = "Relu"> (f, w7, b7)',
    }
    replaced = ("h2", "h3", "h4", "h5", "h6", "h7", "c4")
    return [line for line in lines(net.units, lambda y, x: fused[y]) if not line.startswith(replaced)]


@pytest.mark.parametrize("opset", [10, 18])
@pytest.mark.parametrize("clip", [False, True], ids=["Relu", "Clip"])
def test_activations_in_fused_operators_are_the_same_rectifiers(opset: int, *, clip: bool) -> None:
    net = the_net()
    model = written(net, by_hand(net, clip=clip), opset)
    assert_same_network(model, net)
    found = audit(model, net.data)
    assert_one_verdict(found, net)
    high = "Clip(0, 1000)" if clip else "Relu"
    assert [site.op for site in found.sites] == [
        "Relu",
        "FusedConv(Relu)",
        "FusedConv(LeakyRelu(0))",
        f"FusedConv({high})",
        f"FusedConv({high})",
        "FusedConv(LeakyRelu(0))",
        "FusedGemm(LeakyRelu(0))" if clip else "FusedGemm(Relu)",
    ]
    assert [site.tensor for site in found.sites] == list(LAYERS)
    assert [site.weight for site in found.sites] == ["k1", "k2", "k3", "k4", "k5", "k6", "w7"]


@pytest.mark.parametrize(
    ("activation", "alive"),
    [
        ('activation = "LeakyRelu", activation_params = [0.1]', ["FusedConv(LeakyRelu)"]),
        ('activation = "Tanh"', []),
        ('activation = "Sigmoid"', []),
        ('activation = "Clip", activation_params = [-1.0, 1.0]', []),
        ("", []),
    ],
)
def test_fused_activations_that_are_none_of_ours(activation: str, alive: list[str]) -> None:
    net = the_net()
    fused = f"r2 = com.microsoft.FusedConv <pads = [1, 1, 1, 1], {activation}> (p1, k2, b2)".replace(", >", ">")
    plain = "r2 = Relu (h2)"
    body = [fused if line == plain else line for line in lines(net.units) if not line.startswith("h2")]
    found = audit(written(net, body), net.data)
    assert [site.tensor for site in found.sites] == [layer for layer in LAYERS if layer != "r2"]
    assert [one.op for one in found.alive] == alive
    assert not found.skipped
    assert told(found.sites[0]) == true(net.truths["r1"])


def with_second(net: Net, spelt: str) -> onnx.ModelProto:
    """The network with its second layer and activation written in another way."""
    kept = [line for line in lines(net.units) if not line.startswith("h2")]
    return written(net, [spelt if line == "r2 = Relu (h2)" else line for line in kept])


def test_a_fused_gate_is_a_site_as_it_is_by_itself() -> None:
    net = the_net()
    gate = 'activation = "HardSigmoid", activation_params = [0.2, 0.5]'
    fused = with_second(net, f"r2 = com.microsoft.FusedConv <pads = [1, 1, 1, 1], {gate}> (p1, k2, b2)")
    plain = with_second(net, "h2 = Conv <pads = [1, 1, 1, 1]> (p1, k2, b2)\n r2 = HardSigmoid (h2)")
    found = [audit(model, net.data) for model in (fused, plain)]
    assert [one.sites[1].op for one in found] == ["FusedConv(HardSigmoid)", "HardSigmoid"]
    assert [told(site) for site in found[0].sites] == [told(site) for site in found[1].sites]


@pytest.mark.parametrize(
    ("name", "slug"), [("Maxout", "unknown-activation"), ("Relu6", "in-operator"), ("Swish", None)]
)
def test_a_fused_activation_that_is_not_taken_apart_is_listed(name: str, slug: str | None) -> None:
    fused = f'r2 = com.microsoft.FusedConv <pads = [1, 1, 1, 1], activation = "{name}"> (p1, k2, b2)'
    found = relu_audit.sites(with_second(the_net(), fused))
    told_of = [(one.tensor, one.op, one.slug) for one in found.skipped]
    assert told_of == ([] if slug is None else [("r2", f"FusedConv({name})", slug)])


def test_a_fused_convolution_with_channels_last() -> None:
    """Its addend has them last as well. onnxruntime has no kernel for it on every processor; its parts have."""
    net = the_net()
    op = "com.microsoft.NhwcFusedConv <pads = [1, 1, 1, 1], activation = "
    calls = {
        "h2": "l2 = Transpose <perm = [0, 2, 3, 1]> (p1)",
        "r2 = ": f'n2 = {op}"Relu"> (l2, k2, b2)\n r2 = Transpose <perm = [0, 3, 1, 2]> (n2)',
        "c4": "l4 = Transpose <perm = [0, 2, 3, 1]> (r3)",
        "h4": "z4 = Transpose <perm = [0, 2, 3, 1]> (p1)",
        "r4 = ": f'n4 = {op}"LeakyRelu", activation_params = [0.0]> (l4, k4, b4, z4)\n'
        "r4 = Transpose <perm = [0, 3, 1, 2]> (n4)",
    }
    body = [next((call for name, call in calls.items() if line.startswith(name)), line) for line in lines(net.units)]
    found = audit(written(net, body), net.data)
    assert_one_verdict(found, net)
    by_tensor = {site.tensor: (site.op, site.unit_axis, site.weight) for site in found.sites}
    assert by_tensor["n2"] == ("NhwcFusedConv(Relu)", 3, "k2")
    assert by_tensor["n4"] == ("NhwcFusedConv(LeakyRelu(0))", 3, "k4")


@pytest.mark.parametrize(
    ("op", "spelling"),
    [
        ('FusedMatMulActivation <activation = "Relu", transB = 1>', "Relu"),
        ('FusedMatMulActivation <activation = "LeakyRelu", activation_alpha = 0.0, transB = 1, alpha = 2.0>', None),
    ],
)
def test_a_product_with_its_activation(op: str, spelling: str | None) -> None:
    rng = np.random.default_rng(9)
    x, w = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((20, 6, 4), (5, 4)))
    w[2] = 0
    model = graph("float[n, 6, 4] x", "float[n, 6, 5] y", f"y = com.microsoft.{op} (x, w)", {"w": w})
    (site,) = audit(model, {"x": x}).sites
    assert site.op == f"FusedMatMulActivation({spelling or 'LeakyRelu(0)'})"
    assert (site.unit_axis, site.weight, site.dead) == (2, "w", (2,))
    assert list(site.fired_positions) == (x @ w.T > 0).sum(axis=(0, 1)).tolist()


@pytest.mark.parametrize("op", ["Gelu (h)", "FastGelu (h)", "FastGelu (h, b)", "BiasGelu (h, b)", "QuickGelu (h)"])
def test_smooth_units_of_onnxruntime_are_alive(op: str) -> None:
    weights = {"w": np.ones((4, 5), np.float32)} | ({"b": np.ones(5, np.float32)} if "b" in op.split("(")[1] else {})
    model = graph("float[n, 4] x", "float[n, 5] y", f"h = MatMul (x, w)\n y = com.microsoft.{op}", weights)
    found = audit(model, {"x": np.ones((3, 4), np.float32)})
    assert [one.op for one in found.alive] == [op.split(" ")[0]]
    assert not found.sites


# As onnxruntime saves it ---------------------------------------------------------------------------------------------


@SIZES
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("spelling", ["Relu", "Clip-high", "LeakyRelu"])
def test_optimized_files_give_the_verdict_of_the_original(
    level: str, spelling: str, units: tuple[int, ...], tmp_path: Path
) -> None:
    net = the_net(units)
    path = saved(rectified_by(net, spelling), tmp_path, level)
    if level != "ALL":
        assert ("FusedConv" in operators(path)) == (level == "EXTENDED")
    assert ("ReorderOutput" in operators(path)) == (level == "ALL")
    assert_one_verdict(audit(path, net.data), net)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("wrap", [branch, nested_functions, loop], ids=["branch", "functions", "loop"])
def test_optimized_bodies_and_functions(level: str, wrap: Callable[[Net], onnx.ModelProto], tmp_path: Path) -> None:
    net = the_net()
    assert_one_verdict(audit(saved(wrap(net), tmp_path, level), net.data), net)


PADDED = "pads = [1, 1, 1, 1]"
BLOCKED: dict[str, tuple[str, dict[str, tuple[int, ...]], list[str]]] = {
    "a chain that never leaves the layout": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n c1 = Conv <{PADDED}> (r0, k1, b1)\n r1 = Relu (c1)\n"
        f"c2 = Conv <{PADDED}> (r1, k2, b2)\n r2 = Relu (c2)\n c3 = Conv (r2, k3, b3)\n r3 = Relu (c3)\n"
        "y = Identity (r3)",
        {"k0": (10, 3, 3, 3), "k1": (12, 10, 3, 3), "k2": (20, 12, 3, 3), "k3": (7, 20, 1, 1)},
        ["r0", "r1", "r2", "r3"],
    ),
    "residuals": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n c1 = Conv <{PADDED}> (r0, k1, b1)\n r1 = Relu (c1)\n"
        f"c2 = Conv <{PADDED}> (r1, k2, b2)\n s2 = Add (c2, r0)\n r2 = Relu (s2)\n"
        f"c3 = Conv <{PADDED}> (r2, k3, b3)\n s3 = Add (r2, c3)\n r3 = Relu (s3)\n"
        "y = Conv (r3, k4, b4)",
        {"k0": (10, 3, 3, 3), "k1": (12, 10, 3, 3), "k2": (10, 12, 3, 3), "k3": (10, 10, 3, 3), "k4": (6, 10, 1, 1)},
        ["r0", "r1", "r2", "r3"],
    ),
    "a residual around a pooling, in whole blocks": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n"
        "p0 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r0)\n"
        f"c1 = Conv <{PADDED}, strides = [2, 2]> (r0, k1, b1)\n s1 = Add (c1, p0)\n r1 = Relu (s1)\n"
        "p1 = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (r1)\n"
        f"c2 = Conv <{PADDED}> (p1, k2, b2)\n r2 = Relu (c2)\n y = GlobalAveragePool (r2)",
        {"k0": (32, 3, 3, 3), "k1": (32, 32, 3, 3), "k2": (32, 32, 3, 3)},
        ["r0", "r1", "r2"],
    ),
    "pooling between": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n"
        "p0 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r0)\n"
        f"c1 = Conv <{PADDED}> (p0, k1, b1)\n r1 = Relu (c1)\n"
        "p1 = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (r1)\n"
        f"c2 = Conv <{PADDED}> (p1, k2, b2)\n r2 = Relu (c2)\n y = GlobalAveragePool (r2)",
        {"k0": (12, 3, 3, 3), "k1": (20, 12, 3, 3), "k2": (9, 20, 3, 3)},
        ["r0", "r1", "r2"],
    ),
    "concat": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n"
        f"c1 = Conv <{PADDED}> (r0, k1, b1)\n r1 = Relu (c1)\n c2 = Conv (r0, k2, b2)\n r2 = Relu (c2)\n"
        f"t = Concat <axis = 1> (r1, r2)\n c3 = Conv (t, k3, b3)\n r3 = Relu (c3)\n y = Conv (r3, k4, b4)",
        {"k0": (12, 3, 3, 3), "k1": (32, 12, 3, 3), "k2": (16, 12, 1, 1), "k3": (14, 48, 1, 1), "k4": (5, 14, 1, 1)},
        ["r0", "r1", "r2", "r3"],
    ),
    "depthwise": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n c1 = Conv <{PADDED}, group = 32> (r0, k1, b1)\n"
        f"r1 = Relu (c1)\n c2 = Conv (r1, k2, b2)\n r2 = Relu (c2)\n"
        f"c3 = Conv <{PADDED}, group = 12> (r2, k3, b3)\n r3 = Relu (c3)\n y = Conv (r3, k4, b4)",
        {"k0": (32, 3, 3, 3), "k1": (32, 1, 3, 3), "k2": (12, 32, 1, 1), "k3": (12, 1, 3, 3), "k4": (5, 12, 1, 1)},
        ["r0", "r1", "r2", "r3"],
    ),
    "groups": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n c1 = Conv <{PADDED}, group = 2> (r0, k1, b1)\n"
        f"r1 = Relu (c1)\n c2 = Conv <{PADDED}, group = 4> (r1, k2, b2)\n r2 = Relu (c2)\n y = Conv (r2, k3, b3)",
        {"k0": (32, 3, 3, 3), "k1": (64, 16, 3, 3), "k2": (24, 16, 3, 3), "k3": (5, 24, 1, 1)},
        ["r0", "r1", "r2"],
    ),
    "rectifiers that stay nodes": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n q0 = Sigmoid (c0)\n"
        f"c1 = Conv <{PADDED}> (r0, k1, b1)\n c2 = Conv <{PADDED}> (q0, k2, b2)\n s = Add (c1, c2)\n r1 = Relu (s)\n"
        f"d = Conv (c1, k3, b3)\n e = Conv (c2, k4, b4)\n r2 = Relu (d)\n f = Add (r2, e)\n y = Conv (r1, k5, b5)\n",
        {
            "k0": (10, 3, 3, 3),
            "k1": (20, 10, 3, 3),
            "k2": (20, 10, 3, 3),
            "k3": (6, 20, 1, 1),
            "k4": (6, 20, 1, 1),
            "k5": (5, 20, 1, 1),
        },
        ["r0", "r1", "r2"],
    ),
    "upsampling": (
        f"c0 = Conv <{PADDED}> (x, k0, b0)\n r0 = Relu (c0)\n"
        'u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">'
        " (r0, , scales)\n"
        f"c1 = Conv <{PADDED}> (u, k1, b1)\n r1 = Relu (c1)\n y = Conv (r1, k2, b2)",
        {"k0": (20, 3, 3, 3), "k1": (12, 20, 3, 3), "k2": (5, 12, 1, 1)},
        ["r0", "r1"],
    ),
}


def blocked(case: str, last_bias: float = -1.0) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A graph whose numbers are few eighths, so that sums are exact in any order; units 1 and the last are dead."""
    text, kernels, _ = BLOCKED[case]
    rng = np.random.default_rng(3)
    weights: dict[str, np.ndarray] = {}
    for name, shape in kernels.items():
        kernel = rng.integers(-1, 2, shape).astype(np.float32) / 4
        bias = rng.integers(-2, 3, shape[0]).astype(np.float32) / 8
        kernel[[1, -1]] = 0
        bias[1], bias[-1] = -1, last_bias
        weights |= {name: kernel, f"b{name[1:]}": bias}
    if "scales" in text:
        weights["scales"] = np.array([1, 1, 2, 2], np.float32)
    images = rng.integers(-2, 3, (12, 3, 8, 8)).astype(np.float32) / 2
    output = "float[n, c, h, w] y"
    if "f = Add" in text:
        output += ", float[n, c2, h2, w2] f"
    return graph("float[n, 3, 8, 8] x", output, text, weights), {"x": images}


@pytest.mark.parametrize("level", ["EXTENDED", "ALL"])
@pytest.mark.parametrize("case", BLOCKED)
def test_layers_in_blocks_give_the_counts_of_plain_ones(case: str, level: str, tmp_path: Path) -> None:
    model, data = blocked(case)
    layers = BLOCKED[case][2]
    truths = oracle(model, one_by_one(data), dict.fromkeys(layers, 1))
    path = saved(model, tmp_path, level)
    if level == "ALL":
        assert any(node.domain == "com.microsoft.nchwc" for node in onnx.load(path).graph.node)
    found = audit(path, data)
    assert not found.skipped
    by_verdict = sorted(str(told(site)) for site in found.sites)
    assert by_verdict == sorted(str(true(truth)) for truth in truths.values())
    for site in found.sites:
        if site.tensor in truths:  # most keep their names
            assert told(site) == true(truths[site.tensor])


@pytest.mark.parametrize("case", ["a chain that never leaves the layout", "residuals", "pooling between"])
def test_pruned_units_at_the_end_of_a_block_are_not_taken_for_filling(case: str, tmp_path: Path) -> None:
    model, data = blocked(case, last_bias=0.0)
    layers = BLOCKED[case][2]
    truths = oracle(model, one_by_one(data), dict.fromkeys(layers, 1))
    found = audit(saved(model, tmp_path, "ALL"), data)
    assert sorted(str(told(site)) for site in found.sites) == sorted(str(true(truth)) for truth in truths.values())


# Low precision -------------------------------------------------------------------------------------------------------


def assert_differs_on_near_misses_only(found: Audit, net: Net, steps: dict[str, float]) -> set[tuple[str, int]]:
    """Every layer is there, and whoever changed sides was closer to zero than a step; who did is given back."""
    assert not found.skipped
    assert [site.units for site in found.sites] == [len(net.truths[layer].peak) for layer in LAYERS]
    flipped: set[tuple[str, int]] = set()
    for layer, site in zip(LAYERS, found.sites, strict=True):
        truth = net.truths[layer]
        for unit in set(site.dead) ^ set(truth.dead):
            assert abs(truth.pre_peak[unit]) < steps[layer], f"{layer}[{unit}] comes to {truth.pre_peak[unit]:g}"
            flipped.add((layer, unit))
    return flipped


def faint(net: Net) -> set[tuple[str, int]]:
    return {(layer, unit) for layer, units in net.faint.items() for unit in units}


def half_steps(net: Net) -> dict[str, float]:
    """One unit in the last of float16's 11 binary places, at the largest magnitude of any pre-activation so far."""
    largest, steps = 0.0, {}
    for layer in LAYERS:
        largest = max(largest, net.reach[layer])
        steps[layer] = largest * 2.0**-10
    return steps


def code_steps(net: Net) -> dict[str, float]:
    """One step of an eight-bit code that reaches from zero to the layer's largest output."""
    return {layer: max(net.truths[layer].peak) / 255 for layer in LAYERS}


@SIZES
def test_bfloat16_computes_in_float32_and_so_changes_nothing(units: tuple[int, ...]) -> None:
    net = the_net(units)
    found = audit(in_type(written(net), ml_dtypes.bfloat16), net.data)
    assert_one_verdict(found, net)
    assert found.runtime.in_float32 == ("bfloat16",)


@pytest.mark.parametrize("level", [None, *LEVELS])
@SIZES
def test_float16_changes_near_misses_only(units: tuple[int, ...], level: str | None, tmp_path: Path) -> None:
    net = the_net(units)
    model = in_type(written(net), np.float16)
    found = audit(model if level is None else saved(model, tmp_path, level), net.data)
    flipped = assert_differs_on_near_misses_only(found, net, half_steps(net))
    assert faint(net) <= flipped


def test_float16_by_the_converter_of_onnxruntime_changes_near_misses_only() -> None:
    from onnxruntime.transformers import float16  # noqa: TID251 - as another tool that writes ONNX files

    net = the_net()
    model = float16.convert_float_to_float16(written(net), keep_io_types=True)
    assert "Cast" in operators(model)
    assert_differs_on_near_misses_only(audit(model, net.data), net, half_steps(net))


# Eight-bit codes -----------------------------------------------------------------------------------------------------


def in_codes(
    net: Net, folder: Path, kind: QuantFormat, codes: QuantType, *, per_channel: bool = True, **extra: object
) -> Path:
    """The network in codes; its BatchNorm goes into the convolution first, as the quantizer asks.

    Weights get seven bits, since processors without VNNI let sums of eight-bit products overflow.
    """
    return quantized(
        saved(written(net), folder, "BASIC"),
        net.data,
        folder / "codes.onnx",
        quant_format=kind,
        activation_type=codes,
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
        reduce_range=True,
        extra_options=extra,
    )


CODES = {QuantType.QUInt8: 0, QuantType.QInt8: -128}
BY_TYPE = pytest.mark.parametrize("codes", CODES, ids=["uint8", "int8"])
BY_CHANNEL = pytest.mark.parametrize("per_channel", [False, True], ids=["per-tensor", "per-channel"])


def assert_counts_codes(path: Path, found: Audit, net: Net) -> None:
    """Every site counts the codes above its zero point, as onnxruntime gives them out."""
    names = [site.tensor for site in found.sites]
    for name, site, codes in zip(names, found.sites, result(path, net.data, *names), strict=True):
        assert codes.dtype in (np.uint8, np.int8), name
        axis = 3 if codes.ndim == 4 and codes.shape[3] == site.units else 1  # at its highest level, channels come last
        assert counted(site) == codes_fired(codes, zero_point(path, name), axis), name


@SIZES
@BY_TYPE
@BY_CHANNEL
def test_codes_between_float_operators(
    units: tuple[int, ...], codes: QuantType, tmp_path: Path, *, per_channel: bool
) -> None:
    net = the_net(units)
    path = in_codes(net, tmp_path, QuantFormat.QDQ, codes, per_channel=per_channel)
    assert "Relu" not in operators(path)
    found = audit(path, net.data)
    assert [site.op for site in found.sites] == [f"QuantizeLinear(zero point {CODES[codes]})"] * len(LAYERS)
    assert all(site.implicit for site in found.sites)
    flipped = assert_differs_on_near_misses_only(found, net, code_steps(net))
    assert faint(net) <= flipped
    assert_counts_codes(path, found, net)


@BY_TYPE
def test_codes_between_float_operators_with_their_relu(codes: QuantType, tmp_path: Path) -> None:
    """The codes of the pre-activation begin at zero as well: what the Relu repeats is no second rectifier."""
    net = the_net()
    path = in_codes(net, tmp_path, QuantFormat.QDQ, codes, QDQKeepRemovableActivations=True)
    assert operators(path).count("Relu") == len(LAYERS)
    assert_differs_on_near_misses_only(audit(path, net.data), net, code_steps(net))


@BY_TYPE
def test_symmetric_codes_keep_their_relu_as_the_only_rectifier(codes: QuantType, tmp_path: Path) -> None:
    net = the_net()
    path = in_codes(net, tmp_path, QuantFormat.QDQ, codes, ActivationSymmetric=True)
    found = audit(path, net.data)
    assert operators(path).count("Relu") == len(LAYERS)
    assert [site.op for site in found.sites] == ["Relu"] * len(LAYERS)
    steps = {layer: 2 * net.reach[layer] / 255 for layer in LAYERS}
    assert_differs_on_near_misses_only(found, net, steps)


@SIZES
@BY_TYPE
@BY_CHANNEL
def test_operators_on_codes(units: tuple[int, ...], codes: QuantType, tmp_path: Path, *, per_channel: bool) -> None:
    net = the_net(units)
    path = in_codes(net, tmp_path, QuantFormat.QOperator, codes, per_channel=per_channel)
    assert "Relu" not in operators(path)
    found = audit(path, net.data)
    zero = f"(zero point {CODES[codes]})"
    assert [site.op for site in found.sites] == [
        f"{op}{zero}" for op in (*["QLinearConv"] * 3, "QLinearAdd", *["QLinearConv"] * 2, "QGemm")
    ]
    assert all(site.implicit for site in found.sites)
    flipped = assert_differs_on_near_misses_only(found, net, code_steps(net))
    assert faint(net) <= flipped
    assert_counts_codes(path, found, net)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", [QuantFormat.QDQ, QuantFormat.QOperator], ids=["QDQ", "QOperator"])
def test_codes_as_onnxruntime_saves_them(kind: QuantFormat, level: str, tmp_path: Path) -> None:
    net = the_net()
    path = saved(onnx.load(in_codes(net, tmp_path, kind, QuantType.QUInt8)), tmp_path, level)
    found = audit(path, net.data)
    assert_differs_on_near_misses_only(found, net, code_steps(net))
    assert_counts_codes(path, found, net)


@pytest.mark.parametrize("weight_type", CODES, ids=["uint8", "int8"])
@pytest.mark.parametrize("ops", [["MatMul", "Gemm"], ["Conv", "MatMul", "Gemm"]], ids=["gemm", "conv"])
@pytest.mark.parametrize("level", [None, "ALL"])
def test_codes_made_on_the_fly_keep_the_rectifiers(
    weight_type: QuantType, ops: list[str], level: str | None, tmp_path: Path
) -> None:
    net = the_net()
    path = tmp_path / "dynamic.onnx"
    model = onnx.load(saved(written(net), tmp_path, "BASIC"))
    quantization.quantize_dynamic(model, path, weight_type=weight_type, op_types_to_quantize=ops, reduce_range=True)
    assert ("ConvInteger" in operators(path)) == ("Conv" in ops)
    if level is not None:
        path = saved(onnx.load(path), tmp_path, level)
    found = audit(path, net.data)
    assert_differs_on_near_misses_only(found, net, code_steps(net))
    if level is not None:
        return
    assert [site.op for site in found.sites] == ["Relu"] * len(LAYERS)
    # A sample's codes depend on its own range only when it runs alone: the counts are those of samples one by one.
    truths = oracle(onnx.load(path), one_by_one(net.data), {site.tensor: 1 for site in found.sites})
    for site in found.sites:
        assert told(site) == true(truths[site.tensor])
