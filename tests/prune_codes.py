"""Small pruning patterns of onnxruntime's operators on codes, as its quantizer writes them."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_formats import IMAGE, SAME, quantised, scales
from tests.prune_kit import FLOOR, Numbers, Weights, X, pattern, whole

FLAT = "float[n, 6] x"
THREE = "float[n, 3] y"
INTO_CODES = "xq = QuantizeLinear (x, s_x, z_x)\n"
GEMM = "com.microsoft.QGemm"


def product(some: Numbers, index: int, inputs: int, units: int, dead: tuple[int, ...] = ()) -> Weights:
    """Codes of a matrix with one scale and zero point, and the integers that are added to its product."""
    bias = some.rng.integers(1, 9, units).astype(np.int32)
    bias[list(dead)] = FLOOR
    codes = some.weights(inputs, units).astype(np.int8)
    return {f"w{index}": codes, f"ws{index}": np.float32(1), f"wz{index}": np.int8(0), f"b{index}": bias}


def per_unit(some: Numbers, index: int, units: int, zeros: tuple[int, ...] = (0,)) -> Weights:
    """A scale and a zero point for every unit."""
    scale = some.rng.choice([0.5, 1.0], units).astype(np.float32)
    return {f"ws{index}": scale, f"wz{index}": some.rng.choice(zeros, units).astype(np.int8)}


def two_products(some: Numbers, options: str = "", zero: int = 0, **changed: np.ndarray) -> onnx.ModelProto:
    """A hidden layer whose codes end at zero, and one that reads it."""
    body = (
        f"{INTO_CODES} rq = {GEMM} {options} (xq, s_x, z_x, w0, ws0, wz0, b0, s_r, z_r)\n"
        f"gq = {GEMM} {options} (rq, s_r, z_r, w1, ws1, wz1, b1, s_g, z_g)\n y = DequantizeLinear (gq, s_g, z_g)"
    )
    weights = product(some, 0, 6, 8, (1, 4, 6)) | product(some, 1, 8, 3) | scales(x=(1, 128), r=(1, zero), g=(4, 128))
    return graph(FLAT, THREE, body, weights | changed)


@pattern({"rq": (1, 4, 6)}, shapes={"w0": (6, 5), "b0": (5,), "w1": (5, 3)})
def products_of_codes(some: Numbers) -> onnx.ModelProto:
    return two_products(some, "<alpha = 1.0>")


@pattern({"rq": (1, 4, 6)}, shapes={"w0": (6, 5), "ws0": (5,), "wz0": (5,), "w1": (5, 3), "ws1": (3,)})
def products_of_codes_with_a_scale_for_each_unit(some: Numbers) -> onnx.ModelProto:
    return two_products(some, **per_unit(some, 0, 8), **per_unit(some, 1, 3))


@pattern({"rq": (1, 4, 6)}, shapes={"w0": (5, 6), "ws0": (5,), "wz0": (5,), "w1": (3, 5)})
def products_of_codes_transposed_with_a_zero_point_for_each_unit(some: Numbers) -> onnx.ModelProto:
    """As many units as inputs in the second weight's shape: its zero points belong to its first axis."""
    kept = {"w0": some.weights(8, 6).astype(np.int8), "w1": some.weights(3, 8).astype(np.int8)}
    zeros = per_unit(some, 0, 8, (-1, 0, 3)) | per_unit(some, 1, 3, (3, 4, -3))
    return two_products(some, "<transB = 1>", **kept, **zeros)


@pattern({"rq": (1, 4, 6)}, also={"rq": (0,)})
def products_of_codes_one_of_which_is_the_zero_point(some: Numbers) -> onnx.ModelProto:
    """A unit that is alive has the code of zero in all that reads it; the code zero counts."""
    codes, zeros = some.weights(3, 8).astype(np.int8), np.array([1, -2, 2], np.int8)
    codes[:, 0], codes[:, 2] = zeros, 0
    first = some.weights(8, 6).astype(np.int8)
    return two_products(some, "<transB = 1>", w0=first, w1=codes, ws1=np.ones(3, np.float32), wz1=zeros)


@pattern({"rq": (1, 4, 6)})
def products_of_codes_without_a_bias(some: Numbers) -> onnx.ModelProto:
    """What is dead here is so by its scale's sign alone: all its weights are negative, as no input is."""
    body = (
        f"p = Abs (x)\n pq = QuantizeLinear (p, s_x, z_x)\n rq = {GEMM} (pq, s_x, z_x, w0, ws0, wz0, , s_r, z_r)\n"
        f"gq = {GEMM} (rq, s_r, z_r, w1, ws1, wz1, , s_g, z_g)\n y = DequantizeLinear (gq, s_g, z_g)"
    )
    weights = product(some, 0, 6, 8) | product(some, 1, 8, 3) | scales(x=(1, 0), r=(1, 0), g=(4, 128))
    weights["w0"] = np.abs(weights["w0"])
    weights["w0"][:, [1, 4, 6]] *= -1
    del weights["b0"], weights["b1"]
    return graph(FLAT, THREE, body, weights)


@pattern({"h": (1, 4, 6)})
def product_of_codes_behind_a_rectifier_with_a_zero_point(some: Numbers) -> onnx.ModelProto:
    """The codes that go are the zero point, not zero."""
    body = (
        "g = Gemm (x, w0, b0)\n h = Relu (g)\n rq = QuantizeLinear (h, s_r, z_r)\n"
        f"y = {GEMM} (rq, s_r, z_r, w1, ws1, wz1, b1)"
    )
    weights = product(some, 1, 8, 3) | scales(r=(1, 50)) | {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6))}
    return graph(FLAT, THREE, body, weights)


def convolutions(some: Numbers, *layers: tuple[tuple[int, ...], tuple[int, ...]]) -> Weights:
    """Weights of quantised convolutions, outputs first, each with its dead units."""
    weights: Weights = {}
    for index, (shape, dead) in enumerate(layers):
        weights |= quantised(some, index, *shape, inputs=1, dead=dead)
        del weights[f"bs{index}"]
    return weights


def convolved(made: str, index: int, source: str, options: str = "") -> str:
    """``{made}q`` by the convolution ``index`` of ``{source}q``."""
    own = f"w{index}, ws{index}, wz{index}, s_{made}, z_{made}, b{index}"
    return f"{made}q = QLinearConv {options} ({source}q, s_{source}, z_{source}, {own})\n"


OUT = "y = DequantizeLinear (yq, s_y, z_y)"


@pattern({"rq": (1, 6)}, shapes={"w1": (6, 3, 3, 3)})
def codes_in_groups_at_different_positions(some: Numbers) -> onnx.ModelProto:
    body = f"{INTO_CODES} {convolved('r', 0, 'x')} {convolved('y', 1, 'r', '<group = 2>')} {OUT}"
    weights = convolutions(some, ((8, 2, 3, 3), (1, 6)), ((6, 4, 3, 3), ()))
    return graph(X, "float[n, 6, a, b] y", body, weights | scales(x=(1, 128), r=(1, 0), y=(64, 128)))


def joined(some: Numbers, dead: tuple[int, ...]) -> onnx.ModelProto:
    """Two layers side by side, with other scales and zero points than they have together."""
    body = (
        f"{INTO_CODES} {convolved('r', 0, 'x')} {convolved('g', 1, 'x')}"
        "cq = com.microsoft.QLinearConcat <axis = 1> (s_c, z_c, rq, s_r, z_r, gq, s_g, z_g)\n"
        f"{convolved('y', 2, 'c', SAME)} {OUT}"
    )
    weights = convolutions(some, ((8, 2, 3, 3), (1, 4, 6)), ((8, 2, 3, 3), dead), ((3, 16, 3, 3), ()))
    weights |= scales(x=(1, 128), r=(1, 0), g=(2, 0), c=(2, 30), y=(128, 128))
    return graph(X, IMAGE, body, weights)


@pattern({"rq": (1, 4, 6), "gq": (0, 7)}, shapes={"w2": (3, 11, 3, 3)})
def codes_side_by_side(some: Numbers) -> onnx.ModelProto:
    return joined(some, (0, 7))


@pattern({"rq": (1, 4, 6), "gq": tuple(range(8))}, shapes={"w2": (3, 5, 3, 3)})
def codes_beside_a_dead_layer(some: Numbers) -> onnx.ModelProto:
    """An operand that has nothing left goes with its scale and its zero point."""
    return joined(some, tuple(range(8)))


@pattern({"rq": (1, 4, 6)})
def codes_gated_by_their_own_mean(some: Numbers) -> onnx.ModelProto:
    """Zero wins over every gate, and its code is that of zero."""
    body = (
        f"{INTO_CODES} {convolved('r', 0, 'x')}"
        "mq = com.microsoft.QLinearGlobalAveragePool (rq, s_r, z_r, s_m, z_m)\n"
        f"{convolved('k', 1, 'm')} vq = com.microsoft.QLinearSigmoid (kq, s_k, z_k, s_v, z_v)\n"
        "aq = com.microsoft.QLinearMul (rq, s_r, z_r, vq, s_v, z_v, s_a, z_a)\n"
        f"{convolved('y', 2, 'a', SAME)} {OUT}"
    )
    weights = convolutions(some, ((8, 2, 3, 3), (1, 4, 6)), ((8, 8, 1, 1), ()), ((3, 8, 3, 3), ()))
    steps = {"r": (1, 0), "m": (0.5, 3), "k": (1, 128), "v": (2**-8, 0), "a": (1, 9), "y": (64, 128)}
    return graph(X, IMAGE, body, weights | scales(x=(1, 128), **steps))


@pattern({"rq": (1, 4, 6)}, exact=False)
def codes_of_a_softmax_over_positions(some: Numbers) -> onnx.ModelProto:
    """A silent unit's share is one and the same at all positions: a constant other than zero, of a known length."""
    body = (
        f"{INTO_CODES} rq = {GEMM} (xq, s_x, z_x, w0, ws0, wz0, b0, s_r, z_r)\n"
        "fq = Unsqueeze (rq, two)\n"
        "pq = com.microsoft.QLinearSoftmax <axis = 2, opset = 13> (fq, s_r, z_r, s_p, z_p)\n"
        "kq = com.microsoft.QLinearMul (fq, s_r, z_r, pq, s_p, z_p, s_r, z_r)\n lq = Squeeze (kq, two)\n"
        f"gq = {GEMM} (lq, s_r, z_r, w1, ws1, wz1, b1, s_g, z_g)\n y = DequantizeLinear (gq, s_g, z_g)"
    )
    weights = product(some, 0, 6, 8, (1, 4, 6)) | product(some, 1, 8, 3)
    weights |= scales(x=(1, 128), r=(1, 0), p=(2**-7, 0), g=(4, 128)) | {"two": whole(2)}
    return graph(FLAT, THREE, body, weights)


@pattern({"rq": (1, 4, 6)}, removed=0, kept=["combined-axis"])
def codes_of_a_softmax_over_units(some: Numbers) -> onnx.ModelProto:
    body = (
        f"{INTO_CODES} rq = {GEMM} (xq, s_x, z_x, w0, ws0, wz0, b0, s_r, z_r)\n"
        "pq = com.microsoft.QLinearSoftmax <axis = 1, opset = 13> (rq, s_r, z_r, s_p, z_p)\n"
        f"gq = {GEMM} (pq, s_p, z_p, w1, ws1, wz1, b1, s_g, z_g)\n y = DequantizeLinear (gq, s_g, z_g)"
    )
    weights = product(some, 0, 6, 8, (1, 4, 6)) | product(some, 1, 8, 3)
    return graph(FLAT, THREE, body, weights | scales(x=(1, 128), r=(1, 0), p=(2**-8, 0), g=(4, 128)))


@pattern({"rq": (1, 4, 6)})
def codes_chosen_from_others(some: Numbers) -> onnx.ModelProto:
    """The choice is the file's, channel by channel."""
    body = (
        f"{INTO_CODES} {convolved('r', 0, 'x')}"
        "aq = com.microsoft.QLinearWhere (c, rq, s_r, z_r, nq, s_n, z_n, s_a, z_a)\n"
        f"{convolved('y', 1, 'a', SAME)} {OUT}"
    )
    weights = convolutions(some, ((8, 2, 3, 3), (1, 4, 6)), ((3, 8, 3, 3), ()))
    weights |= scales(x=(1, 128), r=(1, 0), n=(1, 20), a=(1, 7), y=(32, 128))
    chosen = np.array([1, 1, 0, 0, 1, 1, 1, 1], bool).reshape(8, 1, 1)
    return graph(X, IMAGE, body, weights | {"nq": np.uint8(23), "c": chosen})
