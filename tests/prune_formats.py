"""Small pruning patterns: bodies and functions, number formats, whole layers, and everything that must not be cut."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser

from tests.graphs import graph
from tests.prune_kit import FLOOR, NORM, STEM, Numbers, Weights, X, after_stem, pattern, whole

IMAGE = "float[n, 3, a, b] y"
SAME = "<pads = [1, 1, 1, 1]>"


# Bodies and functions


@pattern(feed={"flag": np.bool_(True)})
def rectifier_in_a_branch(some: Numbers) -> onnx.ModelProto:
    """The weights are the main graph's, the layers the branch's."""
    body = (
        "y = If (flag) <then_branch = some () => (float[n, 3, a, b] p) {"
        " h = Conv (x, w0, b0)\n r = Relu (h)\n p = Conv (r, w1, b1) },"
        " else_branch = other () => (float[n, 3, a, b] q) { q = Conv (x, w2) }>"
    )
    weights = some.stem() | some.layer(1, 3, 8, 3, 3) | {"w2": some.weights(3, 2, 5, 5)}
    return graph(f"{X}, bool flag", IMAGE, body, weights)


@pattern(feed={"flag": np.bool_(True)})
def branch_reads_the_main_graph(some: Numbers) -> onnx.ModelProto:
    """A cut value is read within both branches, one of which the data never takes."""
    body = (
        f"{STEM} y = If (flag) <then_branch = some () => (float[n, 3, a, b] p) {{ p = Conv (r, w1, b1) }},"
        " else_branch = other () => (float[n, 3, a, b] q) { q = Conv (r, w2, b2) }>"
    )
    weights = some.stem() | some.layer(1, 3, 8, 3, 3) | some.layer(2, 3, 8, 3, 3)
    return graph(f"{X}, bool flag", IMAGE, body, weights)


@pattern(removed=0, feed={"flag": np.bool_(True)})
def branches_that_share_weights(some: Numbers) -> onnx.ModelProto:
    """The branch that the data never takes uses the same weights without a rectifier."""
    body = (
        "y = If (flag) <then_branch = some () => (float[n, 3, a, b] p) {"
        " h = Conv (x, w0, b0)\n r = Relu (h)\n p = Conv (r, w1, b1) },"
        " else_branch = other () => (float[n, 3, a, b] q) { g = Conv (x, w0, b0)\n q = Conv (g, w1, b1) }>"
    )
    return graph(f"{X}, bool flag", IMAGE, body, some.stem() | some.layer(1, 3, 8, 3, 3))


@pattern(removed=0, feed={"times": np.int64(2), "go": np.bool_(True)})
def rectifier_in_a_loop(some: Numbers) -> onnx.ModelProto:
    body = (
        "y = Loop (times, go, x) <body = step (int64 i, bool on, float[n, 6] s) => (bool still, float[n, 6] t) {"
        " still = Identity (on)\n h = Gemm (s, w0, b0)\n r = Relu (h)\n u = Gemm (r, w1, b1)\n t = Mul (u, small) }>"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 6), "b1": some.bias(6)}
    return graph("float[n, 6] x, int64 times, bool go", "float[n, 6] y", body, weights | {"small": np.float32(2**-6)})


@pattern({"r": (1, 6)}, feed={"flag": np.bool_(True)}, shapes={"w1": (6, 3, 3, 3)})
def groups_in_a_branch_at_different_positions(some: Numbers) -> onnx.ModelProto:
    body = (
        "y = If (flag) <then_branch = some () => (float[n, 6, a, b] p) {"
        " h = Conv (x, w0, b0)\n r = Relu (h)\n p = Conv<group = 2> (r, w1, b1) },"
        " else_branch = other () => (float[n, 6, a, b] q) { q = Conv (x, w2) }>"
    )
    weights = some.stem((1, 6)) | some.layer(1, 6, 4, 3, 3) | {"w2": some.weights(6, 2, 5, 5)}
    return graph(f"{X}, bool flag", "float[n, 6, a, b] y", body, weights)


@pattern({"r": (1, 6)})
def groups_of_a_weight_in_a_node(some: Numbers) -> onnx.ModelProto:
    model = graph(X, "float[n, 6, a, b] y", f"{STEM} y = Conv<group = 2> (r, w1)", some.stem((1, 6)))
    weight = onnx.numpy_helper.from_array(some.weights(6, 4, 3, 3), "w1")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w1"], value=weight))
    return model


FLAG = {"flag": np.bool_(True)}
EITHER = (
    "most = ReduceMax<keepdims = 0> (x)\n sure = Less (most, large)\n s = If (sure) <"
    "then_branch = more () => (xt) { xt = Identity (x) }, else_branch = less () => (xe) { xe = Squeeze (x, front) }>\n"
)
"""``x``, or, as never happens, ``x`` without its first axis: the rank of ``s`` is not known."""


def behind_branches(x: str, y: str, body: str, weights: Weights) -> onnx.ModelProto:
    """Layers of which only their own weights tell the rank."""
    return graph(f"{x} x", f"{y} y", EITHER + body, weights | {"front": whole(0), "large": np.float32(99)})


def within_a_branch(x: str, y: str, body: str, weights: Weights) -> onnx.ModelProto:
    """The same in a branch, where no run tells it either; the other branch has other weights."""
    text = (
        f"y = If (flag) <then_branch = some () => ({y} p) {{ {EITHER} {body}\n p = Identity (o) }},"
        f" else_branch = other () => ({y} q) {{ j = ReduceMax (x)\n q = Mul (j, elsewhere) }}>"
    )
    return graph(f"{x} x, bool flag", f"{y} y", text, weights | {"front": whole(0), "large": np.float32(99)})


@pattern(shapes={"w0": (5, 2, 3, 3), "w1": (3, 5, 3, 3)})
def convolution_behind_branches_of_two_ranks(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv (s, w0, b0)\n r = Relu (h)\n y = Conv (r, w1, b1)"
    return behind_branches("float[n, 2, 8, 8]", "float[n, 3, a, b]", body, some.stem() | some.layer(1, 3, 8, 3, 3))


@pattern()
def convolution_in_one_dimension_behind_branches_of_two_ranks(some: Numbers) -> onnx.ModelProto:
    body = f"h = Conv (s, w0, b0)\n r = Relu (h)\n b = {NORM} (r, scale, t, m, v)\n y = Conv (b, w1, b1)"
    norm = {"scale" if name == "s" else name: array for name, array in some.norm().items()}
    weights = some.layer(0, 8, 2, 3, dead=(1, 4, 6)) | some.layer(1, 3, 8, 3) | norm
    return behind_branches("float[n, 2, 12]", "float[n, 3, a]", body, weights)


@pattern()
def transposed_convolution_behind_branches_of_two_ranks(some: Numbers) -> onnx.ModelProto:
    body = "h = ConvTranspose<strides = [2, 2]> (s, w0, b0)\n r = Relu (h)\n y = Conv (r, w1, b1)"
    weights = {"w0": some.weights(2, 8, 2, 2), "b0": some.bias(8, (1, 4, 6))} | some.layer(1, 3, 8, 3, 3)
    return behind_branches("float[n, 2, 8, 8]", "float[n, 3, a, b]", body, weights)


@pattern()
def gemm_behind_branches_of_two_ranks(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm (s, w0, b0)\n r = Relu (h)\n y = Gemm (r, w1, b1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return behind_branches("float[n, 6]", "float[n, 3]", body, weights)


@pattern(feed=FLAG, shapes={"w0": (5, 2, 3, 3), "w1": (5, 3, 2, 2)})
def convolutions_within_a_branch_behind_branches_of_two_ranks(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv (s, w0, b0)\n r = Relu (h)\n o = ConvTranspose (r, w1, b1)"
    weights = some.stem() | {"w1": some.weights(8, 3, 2, 2), "b1": some.bias(3), "elsewhere": some.weights(3, 1, 1)}
    return within_a_branch("float[n, 2, 8, 8]", "float[n, 3, a, b]", body, weights)


@pattern({"r": (1, 5, 6)}, removed=2, feed=FLAG)
def groups_within_a_branch_of_which_only_the_reader_tells_the_rank(some: Numbers) -> onnx.ModelProto:
    """What is concatenated is of no known rank, and as wide as the convolution behind says."""
    body = (
        "c = Concat<axis = 1> (s, s)\n h = Conv<group = 2> (c, w0, b0)\n r = Relu (h)\no = Conv<group = 2> (r, w1, b1)"
    )
    weights = some.layer(0, 8, 2, 3, 3, dead=(1, 5, 6)) | some.layer(1, 6, 4, 3, 3)
    return within_a_branch(
        "float[n, 2, 8, 8]", "float[n, 6, a, b]", body, weights | {"elsewhere": some.weights(6, 1, 1)}
    )


def with_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model and its function ``local.ffn``."""
    model.functions.append(
        onnx.parser.parse_function(
            '<domain: "local", opset_import: ["": 18]> ffn (x, w, b, v, c) => (y)'
            "{ h = Gemm (x, w, b)\n r = Relu (h)\n y = Gemm (r, v, c) }"
        )
    )
    model.opset_import.add(domain="local", version=1)
    return model


def ffn(some: Numbers, name: str, dead: tuple[int, ...], lift: int = 1) -> Weights:
    """The four weights of one call of ``local.ffn``; a larger bias for larger inputs."""
    return {
        f"w{name}": some.weights(6, 8),
        f"b{name}": some.bias(8, dead) * lift,
        f"v{name}": some.weights(8, 6),
        f"c{name}": some.bias(6),
    }


@pattern()
def rectifier_in_a_function(some: Numbers) -> onnx.ModelProto:
    body = "y = local.ffn (x, w1, b1, v1, c1)"
    return with_function(graph("float[n, 6] x", "float[n, 6] y", body, ffn(some, "1", (1, 4, 6))))


@pattern({"call_1": (1, 4, 6), "call_2": (0,)})
def function_called_twice(some: Numbers) -> onnx.ModelProto:
    body = "m = local.ffn (x, w1, b1, v1, c1)\n y = local.ffn (m, w2, b2, v2, c2)"
    weights = ffn(some, "1", (1, 4, 6)) | ffn(some, "2", (0,), lift=4096)
    return with_function(graph("float[n, 6] x", "float[n, 6] y", body, weights))


# Number formats


def quantised(some: Numbers, index: int, *shape: int, inputs: float, dead: tuple[int, ...] = ()) -> Weights:
    """Eight-bit weights with a scale per channel, and the bias that goes with them; every scale is a power of two."""
    scale = some.rng.choice([0.5, 1.0], shape[0]).astype(np.float32)
    bias = some.rng.integers(1, 9, shape[0]).astype(np.int32)
    bias[list(dead)] = FLOOR
    return {
        f"w{index}": some.weights(*shape).astype(np.int8),
        f"ws{index}": scale,
        f"wz{index}": np.zeros(shape[0], np.int8),
        f"b{index}": bias,
        f"bs{index}": scale * np.float32(inputs),
    }


def scales(**pairs: tuple[float, int]) -> Weights:
    """Scales ``s_name`` and unsigned zero points ``z_name``."""
    named = {f"s_{name}": np.float32(scale) for name, (scale, _) in pairs.items()}
    return named | {f"z_{name}": np.uint8(zero) for name, (_, zero) in pairs.items()}


def through(value: str, name: str) -> str:
    """``value`` quantised and back, as ``value_d``."""
    return (
        f"{value}_q = QuantizeLinear ({value}, s_{name}, z_{name})\n"
        f"{value}_d = DequantizeLinear ({value}_q, s_{name}, z_{name})\n"
    )


def dequantised(index: int) -> str:
    return (
        f"wd{index} = DequantizeLinear<axis = 0> (w{index}, ws{index}, wz{index})\n"
        f"bd{index} = DequantizeLinear<axis = 0> (b{index}, bs{index})\n"
    )


def qdq(some: Numbers, zero: int) -> onnx.ModelProto:
    body = (
        f"{through('x', 'x')} {dequantised(0)} h = Conv (x_d, wd0, bd0)\n r = Relu (h)\n {through('r', 'r')}"
        f"{dequantised(1)} g = Conv{SAME} (r_d, wd1, bd1)\n {through('g', 'g')} y = Identity (g_d)"
    )
    weights = quantised(some, 0, 8, 2, 3, 3, inputs=1, dead=(1, 4, 6)) | quantised(some, 1, 3, 8, 3, 3, inputs=1)
    return graph(X, IMAGE, body, weights | scales(x=(1, 128), r=(1, zero), g=(4, 128)))


@pattern()
def quantised_with_qdq(some: Numbers) -> onnx.ModelProto:
    return qdq(some, 0)


@pattern()
def quantised_with_qdq_and_a_zero_point(some: Numbers) -> onnx.ModelProto:
    """A dead unit's quantised value is the zero point, not zero."""
    return qdq(some, 100)


@pattern()
def quantised_weights_per_tensor(some: Numbers) -> onnx.ModelProto:
    body = "wd = DequantizeLinear (w0, s0, z0)\n h = Gemm (x, wd, b0)\n r = Relu (h)\n"
    weights = {
        "w0": some.weights(6, 8).astype(np.int8),
        "b0": some.bias(8, (1, 4, 6)),
        "w1": some.weights(8, 3).astype(np.int8),
    }
    scale = {"s0": np.float32(0.5), "z0": np.int8(1)}
    return graph(
        "float[n, 6] x",
        "float[n, 3] y",
        f"{body} wd1 = DequantizeLinear (w1, s0, z0)\n y = Gemm (r, wd1)",
        weights | scale,
    )


@pattern()
def quantised_operators(some: Numbers) -> onnx.ModelProto:
    body = (
        "xq = QuantizeLinear (x, s_x, z_x)\n hq = QLinearConv (xq, s_x, z_x, w0, ws0, wz0, s_h, z_h, b0)\n"
        "h = DequantizeLinear (hq, s_h, z_h)\n r = Relu (h)\n rq = QuantizeLinear (r, s_r, z_r)\n"
        f"gq = QLinearConv{SAME} (rq, s_r, z_r, w1, ws1, wz1, s_g, z_g, b1)\n y = DequantizeLinear (gq, s_g, z_g)"
    )
    weights = quantised(some, 0, 8, 2, 3, 3, inputs=1, dead=(1, 4, 6)) | quantised(some, 1, 3, 8, 3, 3, inputs=1)
    del weights["bs0"], weights["bs1"]
    return graph(X, IMAGE, body, weights | scales(x=(1, 128), h=(1, 128), r=(1, 50), g=(4, 128)))


@pattern({"rq": (1, 4, 6), "gq": (2,), "aq": (1, 4, 6)})
def quantised_residual_sum(some: Numbers) -> onnx.ModelProto:
    """The sum is an operator of the runtime's own: the file does not tell its type, and its codes are rectified."""
    body = (
        "xq = QuantizeLinear (x, s_x, z_x)\n rq = QLinearConv (xq, s_x, z_x, w0, ws0, wz0, s_r, z_r, b0)\n"
        f"gq = QLinearConv{SAME} (rq, s_r, z_r, w1, ws1, wz1, s_g, z_g, b1)\n"
        f"kq = QLinearConv{SAME} (gq, s_g, z_g, w2, ws2, wz2, s_k, z_k, b2)\n"
        "aq = com.microsoft.QLinearAdd (rq, s_r, z_r, kq, s_k, z_k, s_a, z_a)\n"
        "yq = QLinearConv (aq, s_a, z_a, w3, ws3, wz3, s_y, z_y, b3)\n y = DequantizeLinear (yq, s_y, z_y)"
    )
    layers = [((8, 2, 3, 3), (1, 4, 6)), ((8, 8, 3, 3), (2,)), ((8, 8, 3, 3), (1, 4, 6)), ((3, 8, 1, 1), ())]
    weights: Weights = scales(x=(1, 128), r=(1, 0), g=(4, 0), k=(16, 128), a=(32, 0), y=(128, 128))
    for index, (shape, dead) in enumerate(layers):
        weights |= quantised(some, index, *shape, inputs=1, dead=dead)
        del weights[f"bs{index}"]
    return graph(X, IMAGE, body, weights)


@pattern()
def quantised_matrix_product(some: Numbers) -> onnx.ModelProto:
    """Zero points of whole products: QLinearMatMul."""
    body = (
        "h = Gemm (x, w0, b0)\n r = Relu (h)\n rq = QuantizeLinear (r, s_r, z_r)\n"
        "gq = QLinearMatMul (rq, s_r, z_r, w1, ws1, wz1, s_g, z_g)\n y = DequantizeLinear (gq, s_g, z_g)"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3).astype(np.int8)}
    weights |= {"ws1": np.float32(1), "wz1": np.int8(0)} | scales(r=(1, 7), g=(4, 128))
    return graph("float[n, 6] x", "float[n, 3] y", body, weights)


@pattern()
def weights_stored_in_half_precision(some: Numbers) -> onnx.ModelProto:
    body = "w0c = Cast<to = 1> (w0)\n h = Conv<pads = [1, 1, 1, 1]> (x, w0c, b0)\n r = Relu (h)\n"
    body += "w1c = Cast<to = 1> (w1)\n y = Conv (r, w1c, b1)"
    weights = some.stem() | some.layer(1, 3, 8, 3, 3)
    halves = {name: weights[name].astype(np.float16) for name in ("w0", "w1")}
    return graph(X, IMAGE, body, weights | halves)


@pattern()
def half_precision(some: Numbers) -> onnx.ModelProto:
    body = f"{STEM} p = GlobalMaxPool (r)\n f = Flatten (p)\n y = Gemm (f, w1, b1)"
    weights = some.stem() | {"w1": some.weights(8, 3), "b1": some.bias(3)}
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    return graph(X.replace("float", "float16"), "float16[n, 3] y", body, halves)


# Units that nobody reads, constants


@pattern(also={"r": (0, 7)})
def units_that_nobody_reads(some: Numbers) -> onnx.ModelProto:
    """Units that live, with outgoing weights of zero."""
    weights = some.layer(1, 3, 8, 3, 3)
    weights["w1"][:, [0, 7]] = 0
    return after_stem(some, IMAGE, f"y = Conv{SAME} (r, w1, b1)", **weights)


@pattern({"r": (1,), "q": (2,)}, also={"r": (5, 7)})
def units_that_only_the_dead_read(some: Numbers) -> onnx.ModelProto:
    """Units 5 and 7 are read by unit 2 of the next layer alone, and that is dead."""
    weights = some.stem(dead=(1,)) | some.layer(1, 8, 8, 3, 3, dead=(2,)) | some.layer(2, 3, 8, 1, 1)
    others = np.arange(8) != 2
    weights["w1"][np.ix_(others, [5, 7])] = 0
    return graph(X, IMAGE, f"{STEM} g = Conv{SAME} (r, w1, b1)\n q = Relu (g)\n y = Conv (q, w2, b2)", weights)


@pattern(also={"r": (2,)})
def unit_that_is_constant_by_its_weights(some: Numbers) -> onnx.ModelProto:
    """Unit 2 has no incoming weights and a positive bias: its value goes into the next bias."""
    weights = some.stem()
    weights["w0"][2] = 0
    return graph(X, IMAGE, f"{STEM} y = Conv (r, w1, b1)", weights | some.layer(1, 3, 8, 3, 3))


@pattern({"r": (1,)}, kept=("not-by-structure",))
def units_that_are_always_saturated(some: Numbers) -> onnx.ModelProto:
    """Units 2 and 5 were six on all data; that they must be is not in the graph."""
    weights = some.stem(dead=(1,))
    weights["b0"][[2, 5]] = -FLOOR
    bounds = {"low": np.float32(0), "high": np.float32(6)}
    body = "h = Conv<pads = [1, 1, 1, 1]> (x, w0, b0)\n r = Clip (h, low, high)\n y = Conv (r, w1, b1)"
    return graph(X, IMAGE, body, weights | bounds | some.layer(1, 3, 8, 3, 3))


@pattern(feed={"x": np.ones((24, 6), np.float32)})
def units_that_are_equal_on_all_samples_only(some: Numbers) -> onnx.ModelProto:
    """Every sample is the same, so every unit is constant on the data; by structure none is but the dead."""
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n y = Gemm (r, w1, b1)"
    w0 = np.abs(some.weights(6, 8))
    weights = {"w0": w0, "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return graph("float[n, 6] x", "float[n, 3] y", body, weights)


# What must stay


@pattern(removed=0, kept=("graph-output",))
def rectifier_is_the_output(some: Numbers) -> onnx.ModelProto:
    return graph(X, "float[n, 8, a, b] r", STEM, some.stem())


@pattern(removed=0)
def rectifier_is_one_of_the_outputs(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, f"{IMAGE}, float[n, 8, c, d] r", "y = Conv (r, w1, b1)", **some.layer(1, 3, 8, 3, 3))


@pattern(removed=0)
def normalised_output(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, "float[n, 8, a, b] y", f"y = {NORM} (r, s, t, m, v)", **some.norm())


@pattern(removed=0, feed={"w1": Numbers(1).weights(3, 8, 3, 3)})
def weights_that_the_caller_may_override(some: Numbers) -> onnx.ModelProto:
    weights = some.stem() | {"w1": Numbers(1).weights(3, 8, 3, 3), "b1": some.bias(3)}
    return graph(f"{X}, float[3, 8, 3, 3] w1", IMAGE, f"{STEM} y = Conv (r, w1, b1)", weights)


@pattern(removed=0)
def channel_count_is_an_output(some: Numbers) -> onnx.ModelProto:
    body = "sizes = Shape (r)\n channels = Gather (sizes, one)\n y = Conv (r, w1, b1)"
    return after_stem(some, f"{IMAGE}, int64 channels", body, one=np.int64(1), **some.layer(1, 3, 8, 3, 3))


@pattern(removed=0)
def channel_count_enters_the_sums(some: Numbers) -> onnx.ModelProto:
    body = (
        "sizes = Shape (r)\n channels = Gather (sizes, one)\n c = Cast<to = 1> (channels)\n k = Conv (r, w1, b1)\n"
        "y = Mul (k, c)"
    )
    return after_stem(some, IMAGE, body, one=np.int64(1), **some.layer(1, 3, 8, 3, 3))


@pattern(removed=0)
def weights_are_an_output(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, f"{IMAGE}, float[3, 8, 3, 3] w1", "y = Conv (r, w1, b1)", **some.layer(1, 3, 8, 3, 3))


@pattern(removed=0)
def gemm_adds_an_activation(some: Numbers) -> onnx.ModelProto:
    """A constant reaches a Gemm whose third input is no bias."""
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n u = Add (r, shift)\n y = Gemm (u, w1, z)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "shift": some.bias(8)}
    return graph("float[n, 6] x, float[n, 3] z", "float[n, 3] y", body, weights)


@pattern(removed=0)
def pooling_indices_enter_the_sums(some: Numbers) -> onnx.ModelProto:
    """The place of a maximum counts channels, so that cutting one moves all behind it."""
    body = (
        "p, places = MaxPool<kernel_shape = [2, 2], strides = [2, 2]> (r)\n q = Mod (places, prime)\n"
        "c = Cast<to = 1> (q)\n s = Add (p, c)\n y = Conv (s, w1, b1)"
    )
    return after_stem(some, IMAGE, body, prime=np.int64(7), **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0)
def channel_chosen_by_the_data(some: Numbers) -> onnx.ModelProto:
    body = (
        "top = ReduceMax<keepdims = 0> (z)\n whole = Cast<to = 7> (top)\n place = Add (whole, four)\n"
        "chosen = Mod (place, eight)\n g = Gather<axis = 1> (r, chosen)\n g4 = Unsqueeze (g, axis)\n"
        "k = Conv (r, w1, b1)\n y = Add (k, g4)"
    )
    weights = some.layer(1, 3, 8, 1, 1) | {"four": np.int64(4), "eight": np.int64(8), "axis": whole(1)}
    return graph(f"{X}, float[n, 2] z", IMAGE, STEM + body, some.stem() | weights)


@pattern(removed=0)
def mean_over_channels(some: Numbers) -> onnx.ModelProto:
    body = "m = ReduceMean (r, axes)\n c = Conv (r, w1, b1)\n y = Add (c, m)"
    return after_stem(some, IMAGE, body, axes=whole(1), **some.layer(1, 3, 8, 1, 1))


@pattern()
def sum_over_channels(some: Numbers) -> onnx.ModelProto:
    body = "m = ReduceSum (r, axes)\n c = Conv (r, w1, b1)\n y = Add (c, m)"
    return after_stem(some, IMAGE, body, axes=whole(1), **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0)
def least_over_channels(some: Numbers) -> onnx.ModelProto:
    """The least is zero because of the dead."""
    body = "u = Add (r, one)\n m = ReduceMin (u, axes)\n c = Conv (r, w1, b1)\n y = Add (c, m)"
    return after_stem(some, IMAGE, body, axes=whole(1), one=np.float32(1), **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0, kept=["combined-axis"], exact=False)
def softmax_over_channels(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, IMAGE, "m = Softmax<axis = 1> (r)\n y = Conv (m, w1, b1)", **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0, kept=["combined-axis"], exact=False)
def layer_normalisation(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n l = LayerNormalization (r, scale)\n y = MatMul (l, w1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3)}
    return graph("float[n, 6] x", "float[n, 3] y", body, weights | {"scale": some.bias(8)})


@pattern(removed=0, kept=["combined-axis"], exact=False)
def local_response_normalisation(some: Numbers) -> onnx.ModelProto:
    """Every channel is divided by its neighbours."""
    return after_stem(some, IMAGE, "m = LRN<size = 3> (r)\n y = Conv (m, w1, b1)", **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0, kept=["combined-axis"], exact=False)
def instance_normalisation(some: Numbers) -> onnx.ModelProto:
    """A dead channel becomes the shift, a constant without a premise of its own."""
    body = "m = InstanceNormalization (r, scale, shift)\n y = Conv (m, w1, b1)"
    return after_stem(some, IMAGE, body, scale=some.bias(8), shift=some.bias(8), **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0, kept=["combined-axis"], exact=False)
def group_normalisation(some: Numbers) -> onnx.ModelProto:
    body = "m = GroupNormalization<num_groups = 2> (r, gs, gb)\n y = Conv (m, w1, b1)"
    groups = {"gs": some.bias(8), "gb": some.bias(8)}
    weights = some.stem() | groups | some.layer(1, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, weights, opset=21, ir=10)


@pattern(removed=0)
def place_of_the_largest_channel(some: Numbers) -> onnx.ModelProto:
    body = "m = ArgMax<axis = 1> (r)\n c = Cast<to = 1> (m)\n k = Conv (r, w1, b1)\n y = Add (k, c)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0)
def running_sum_over_channels(some: Numbers) -> onnx.ModelProto:
    body = "m = CumSum (r, axis)\n y = Conv (m, w1, b1)"
    return after_stem(some, IMAGE, body, axis=np.int64(1), **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0)
def chosen_by_the_data(some: Numbers) -> onnx.ModelProto:
    """A dead unit is five where the first input channel is positive."""
    body = "z = Slice (x, none, one, one)\n c = Greater (z, zero)\n m = Where (c, r, five)\n y = Conv (m, w1, b1)"
    constants = {"none": whole(0), "one": whole(1), "zero": np.float32(0), "five": np.float32(5)}
    return after_stem(some, IMAGE, body, **constants, **some.layer(1, 3, 8, 3, 3))


@pattern(removed=0)
def pixels_traded_for_channels(some: Numbers) -> onnx.ModelProto:
    """One output channel of DepthToSpace is made of four: two of the dead sit among the living."""
    body = "m = DepthToSpace<blocksize = 2> (r)\n y = Conv (m, w1, b1)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 2, 3, 3))


@pattern(removed=0, kept=["combined-axis"], exact=False)
def read_by_a_recurrent_layer(some: Numbers) -> onnx.ModelProto:
    body = (
        "h = MatMul (x, w0)\n hb = Add (h, b0)\n r = Relu (hb)\n u, v = GRU<hidden_size = 2> (r, w1, k1)\n"
        "y = Squeeze (v, front)"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6))}
    weights |= {"w1": some.weights(1, 6, 8) / 16, "k1": some.weights(1, 6, 2) / 16, "front": whole(0)}
    return graph("float[n, 5, 6] x", "float[b, 2] y", body, weights)


@pattern({"tr": (1, 4, 6), "er": (1, 4, 5)}, removed=4, also={"tr": (1, 4), "er": (1, 4)})
def rectifiers_that_end_both_branches(some: Numbers) -> onnx.ModelProto:
    """One size of what comes out is open in the file: what is silent in both branches goes."""
    body = (
        "b = ReduceSum<keepdims = 0> (x)\n c = Greater (b, limit)\n"
        f"r = If (c) <then_branch = t () => (float[n, 8, 8, 8] tr) {{ tc = Conv{SAME} (x, w0, b0)\n tr = Relu (tc) }},"
        f"else_branch = e () => (float[n, 8, 8, 8] er) {{ ec = Conv{SAME} (x, w1, b1)\n er = Relu (ec) }}>\n"
        "y = Conv (r, w2, b2)"
    )
    weights = some.stem() | some.layer(1, 8, 2, 3, 3, dead=(1, 4, 5)) | some.layer(2, 3, 8, 1, 1)
    return graph("float[1, 2, 8, 8] x", IMAGE, body, weights | {"limit": np.array(0.5, np.float32)})
