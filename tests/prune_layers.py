"""Small pruning patterns: chains of layers, pooling, flattening, normalisation, constants into the next layer."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_kit import NORM, STEM, Numbers, X, after_stem, pattern, whole

IMAGE = "float[n, 3, a, b] y"
ROW = "float[n, 3] y"


def dense(body: str, weights: dict[str, np.ndarray], output: str = ROW) -> onnx.ModelProto:
    return graph("float[n, 6] x", output, body, weights)


# Convolution chains


@pattern()
def conv1d_chain(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv (x, w0, b0)\n r = Relu (h)\n y = Conv (r, w1, b1)"
    return graph(
        "float[n, 2, 12] x", "float[n, 3, a] y", body, some.layer(0, 8, 2, 3, dead=(1, 4, 6)) | some.layer(1, 3, 8, 3)
    )


@pattern()
def conv2d_chain(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, IMAGE, "y = Conv<strides = [2, 2]> (r, w1, b1)", **some.layer(1, 3, 8, 3, 3))


@pattern()
def conv2d_chain_padded(some: Numbers) -> onnx.ModelProto:
    body = 'y = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]> (r, w1, b1)'
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 3, 3))


@pattern()
def conv3d_chain(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv (x, w0, b0)\n r = Relu (h)\n y = Conv<pads = [1, 1, 1, 1, 1, 1]> (r, w1, b1)"
    weights = some.layer(0, 8, 2, 2, 2, 2, dead=(1, 4, 6)) | some.layer(1, 3, 8, 3, 3, 3)
    return graph("float[n, 2, 5, 5, 5] x", "float[n, 3, a, b, c] y", body, weights)


@pattern({"r": (1, 4, 6), "q": (0, 7)})
def three_convs_with_dead_units_in_a_row(some: Numbers) -> onnx.ModelProto:
    body = "g = Conv (r, w1, b1)\n q = Relu (g)\n y = Conv (q, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 8, 8, 3, 3, dead=(0, 7)), **some.layer(2, 3, 8, 1, 1))


@pattern()
def relu6(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv (x, w0, b0)\n r = Clip (h, low, high)\n y = Conv (r, w1, b1)"
    bounds = {"low": np.float32(0), "high": np.float32(6)}
    return graph(X, IMAGE, body, some.stem() | some.layer(1, 3, 8, 3, 3) | bounds)


@pattern()
def maximum_with_zero(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv (x, w0, b0)\n r = Max (h, zero)\n y = Conv (r, w1, b1)"
    return graph(X, IMAGE, body, some.stem() | some.layer(1, 3, 8, 3, 3) | {"zero": np.float32(0)})


@pattern()
def conv_transpose_reads(some: Numbers) -> onnx.ModelProto:
    w = some.weights(8, 3, 2, 2)
    return after_stem(some, IMAGE, "y = ConvTranspose<strides = [2, 2]> (r, w1, b1)", w1=w, b1=some.bias(3))


@pattern()
def conv_transpose_writes(some: Numbers) -> onnx.ModelProto:
    body = "h = ConvTranspose<strides = [2, 2]> (x, w0, b0)\n r = Relu (h)\n y = Conv (r, w1, b1)"
    weights = {"w0": some.weights(2, 8, 2, 2), "b0": some.bias(8, (1, 4, 6))}
    return graph(X, IMAGE, body, weights | some.layer(1, 3, 8, 3, 3))


# Normalisation


@pattern()
def norm_between(some: Numbers) -> onnx.ModelProto:
    body = f"h = Conv (x, w0)\n b = {NORM} (h, s, t, m, v)\n r = Relu (b)\n y = Conv<pads = [1, 1, 1, 1]> (r, w1, b1)"
    weights = {"w0": some.weights(8, 2, 3, 3)} | some.norm(dead=(1, 4, 6))
    return graph(X, IMAGE, body, weights | some.layer(1, 3, 8, 3, 3))


@pattern()
def norm_after_then_unpadded(some: Numbers) -> onnx.ModelProto:
    body = f"b = {NORM} (r, s, t, m, v)\n y = Conv (b, w1, b1)"
    return after_stem(some, IMAGE, body, **some.norm(), **some.layer(1, 3, 8, 3, 3))


@pattern()
def norm_after_then_pointwise_without_bias(some: Numbers) -> onnx.ModelProto:
    body = f"b = {NORM} (r, s, t, m, v)\n y = Conv (b, w1)"
    return after_stem(some, IMAGE, body, **some.norm(), w1=some.weights(3, 8, 1, 1))


@pattern(removed=2)
def norm_after_then_padded(some: Numbers) -> onnx.ModelProto:
    """One channel may stay to carry the constants of all: they are powers of two, so that its weights are exact."""
    norm = some.norm(shift=(1, 2, 4)) | {"m": np.zeros(8, np.float32)}
    body = f"b = {NORM} (r, s, t, m, v)\n y = Conv<pads = [1, 1, 1, 1]> (b, w1, b1)"
    return after_stem(some, IMAGE, body, **norm, **some.layer(1, 3, 8, 3, 3))


@pattern(removed=2)
def norm_after_then_padded_and_unpadded(some: Numbers) -> onnx.ModelProto:
    norm = some.norm(shift=(1, 2, 4)) | {"m": np.zeros(8, np.float32)}
    body = (
        f"b = {NORM} (r, s, t, m, v)\n p = Conv<pads = [1, 1, 1, 1]> (b, w1, b1)\n u = Conv (b, w2, b2)\n"
        "gp = GlobalMaxPool (p)\n y = Add (u, gp)"
    )
    return after_stem(some, IMAGE, body, **norm, **some.layer(1, 3, 8, 3, 3), **some.layer(2, 3, 8, 3, 3))


@pattern(removed=2)
def norm_after_then_conv_transpose(some: Numbers) -> onnx.ModelProto:
    """Overlapping windows: at the border fewer of them reach a pixel."""
    norm = some.norm(shift=(1, 2, 4)) | {"m": np.zeros(8, np.float32)}
    body = f"b = {NORM} (r, s, t, m, v)\n y = ConvTranspose<strides = [2, 2]> (b, w1, b1)"
    return after_stem(some, IMAGE, body, **norm, w1=some.weights(8, 3, 3, 3), b1=some.bias(3))


@pattern()
def norm_after_then_padded_max_pool(some: Numbers) -> onnx.ModelProto:
    """Max pooling pads with minus infinity, so a constant stays one."""
    body = (
        f"b = {NORM} (r, s, t, m, v)\n p = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (b)\n y = Conv (p, w1)"
    )
    return after_stem(some, IMAGE, body, **some.norm(), w1=some.weights(3, 8, 3, 3))


@pattern(removed=0)
def norm_after_then_average_pool_that_counts_its_padding(some: Numbers) -> onnx.ModelProto:
    """The constant is smaller at the border: not uniform, whatever comes after."""
    pool = "AveragePool<kernel_shape = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1>"
    body = f"b = {NORM} (r, s, t, m, v)\n p = {pool} (b)\n y = Conv (p, w1, b1)"
    return after_stem(some, IMAGE, body, **some.norm(), **some.layer(1, 3, 8, 1, 1))


@pattern(removed=0, exact=False)
def norm_after_then_average_pool_that_ignores_its_padding(some: Numbers) -> onnx.ModelProto:
    """The constant stays one: each mean is over what is there."""
    pool = "AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 0>"
    body = f"b = {NORM} (r, s, t, m, v)\n p = {pool} (b)\n y = Conv (p, w1, b1)"
    return after_stem(some, IMAGE, body, **some.norm(), **some.layer(1, 3, 8, 1, 1))


@pattern()
def norm_after_then_gemm(some: Numbers) -> onnx.ModelProto:
    body = f"h = Gemm (x, w0, b0)\n r = Relu (h)\n b = {NORM} (r, s, t, m, v)\n y = Gemm (b, w1, b1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return dense(body, weights | some.norm())


def norm_then_gemm_of_old(some: Numbers, opset: int, gemm: str, **weights: np.ndarray) -> onnx.ModelProto:
    """Constants enter a Gemm of an operator set in which C is mandatory."""
    pool = "MaxPool<kernel_shape = [4, 4], strides = [4, 4]>"
    body = f"b = {NORM} (r, s, t, m, v)\n p = {pool} (b)\n f = Flatten (p)\n {gemm}"
    return graph(X, ROW, STEM + body, some.stem() | some.norm() | weights, opset=opset)


@pattern()
def norm_after_then_gemm_of_opset_9(some: Numbers) -> onnx.ModelProto:
    gemm = "y = Gemm<alpha = 2.0, beta = 0.5, transB = 1> (f, w1, b1)"
    return norm_then_gemm_of_old(some, 9, gemm, w1=some.weights(3, 32), b1=some.bias(3))


@pattern()
def norm_after_then_gemm_of_opset_7_whose_bias_is_one_number(some: Numbers) -> onnx.ModelProto:
    return norm_then_gemm_of_old(some, 7, "y = Gemm (f, w1, b1)", w1=some.weights(32, 3), b1=some.bias(1))


@pattern()
def norm_after_then_gemm_of_opset_10_whose_bias_does_not_count(some: Numbers) -> onnx.ModelProto:
    return norm_then_gemm_of_old(some, 10, "y = Gemm<beta = 0.0> (f, w1, b1)", w1=some.weights(32, 3), b1=some.bias(3))


@pattern()
def norm_after_then_gemm_of_opset_9_whose_bias_is_computed(some: Numbers) -> onnx.ModelProto:
    gemm = "g = Flatten (x)\n c = MatMul (g, u)\n y = Gemm (f, w1, c)"
    return norm_then_gemm_of_old(some, 9, gemm, w1=some.weights(32, 3), u=some.weights(128, 3))


@pattern()
def norm_after_then_two_gemms_of_opset_9_that_share_a_bias(some: Numbers) -> onnx.ModelProto:
    gemm = "a = Gemm (f, w1, b1)\n c = Gemm (f, w2, b1)\n y = Add (a, c)"
    return norm_then_gemm_of_old(some, 9, gemm, w1=some.weights(32, 3), w2=some.weights(32, 3), b1=some.bias(3))


@pattern(removed=0, kept=["combined-axis"])
def norm_after_then_product_of_two_computed_values(some: Numbers) -> onnx.ModelProto:
    """Each constant is multiplied by what is computed, so that no bias can stand in for it."""
    body = f"h = Gemm (x, w0, b0)\n r = Relu (h)\n b = {NORM} (r, s, t, m, v)\n g = Gemm (x, w1)\n"
    body += "gt = Transpose (g)\n y = MatMul (b, gt)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(6, 8)}
    return dense(body, weights | some.norm(), "float[n, n] y")


@pattern()
def norm_after_then_rectifier_and_conv(some: Numbers) -> onnx.ModelProto:
    """Two dead units become positive constants, the third one the clip's lower bound, which is not zero."""
    norm = some.norm(dead=(6,))
    body = f"b = {NORM} (r, s, t, m, v)\n q = Clip (b, low, high)\n y = Conv (q, w1, b1)"
    bounds = {"low": np.float32(-1), "high": np.float32(6)}
    return after_stem(some, IMAGE, body, **norm, **some.layer(1, 3, 8, 3, 3), **bounds)


@pattern(exact=False)
def sigmoid_after_then_conv(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, IMAGE, "q = Sigmoid (r)\n y = Conv (q, w1, b1)", **some.layer(1, 3, 8, 3, 3))


# Pooling and what leads from images to rows


@pattern()
def max_pool(some: Numbers) -> onnx.ModelProto:
    pool = "MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>"
    return after_stem(some, IMAGE, f"p = {pool} (r)\n y = Conv (p, w1, b1)", **some.layer(1, 3, 8, 3, 3))


@pattern()
def average_pool(some: Numbers) -> onnx.ModelProto:
    pool = "AveragePool<kernel_shape = [2, 2], strides = [2, 2]>"
    body = f"p = {pool} (r)\n y = Conv<pads = [1, 1, 1, 1]> (p, w1, b1)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 3, 3))


@pattern()
def global_average_pool_flatten_gemm(some: Numbers) -> onnx.ModelProto:
    body = "p = GlobalAveragePool (r)\n f = Flatten (p)\n y = Gemm (f, w1, b1)"
    return after_stem(some, ROW, body, w1=some.weights(8, 3), b1=some.bias(3))


@pattern()
def global_max_pool_squeeze_gemm(some: Numbers) -> onnx.ModelProto:
    body = "p = GlobalMaxPool (r)\n f = Squeeze (p, axes)\n y = Gemm (f, w1, b1)"
    return after_stem(some, ROW, body, w1=some.weights(8, 3), b1=some.bias(3), axes=whole(2, 3))


@pattern()
def reduce_mean_gemm(some: Numbers) -> onnx.ModelProto:
    body = "p = ReduceMean<keepdims = 0> (r, axes)\n y = Gemm (p, w1, b1)"
    return after_stem(some, ROW, body, w1=some.weights(8, 3), b1=some.bias(3), axes=whole(-2, -1))


POOLED = "p = MaxPool<kernel_shape = [4, 4], strides = [4, 4]> (r)\n"


@pattern()
def flatten_gemm(some: Numbers) -> onnx.ModelProto:
    return after_stem(some, ROW, f"{POOLED} f = Flatten (p)\n y = Gemm (f, w1, b1)", **columns(some))


@pattern()
def reshape_static_gemm(some: Numbers) -> onnx.ModelProto:
    body = "h = Conv<pads = [1, 1, 1, 1]> (x, w0, b0)\n r = Relu (h)\n" + POOLED
    body += "f = Reshape (p, target)\n y = Gemm (f, w1, b1)"
    weights = some.stem() | columns(some) | {"target": whole(1, 32)}
    return graph("float[1, 2, 8, 8] x", "float[1, 3] y", body, weights)


@pattern()
def reshape_with_minus_one_batch(some: Numbers) -> onnx.ModelProto:
    body = f"{POOLED} f = Reshape (p, target)\n y = Gemm (f, w1, b1)"
    return after_stem(some, ROW, body, **columns(some), target=whole(-1, 32))


@pattern()
def reshape_with_zero_and_minus_one(some: Numbers) -> onnx.ModelProto:
    body = f"{POOLED} f = Reshape (p, target)\n y = Gemm (f, w1, b1)"
    return after_stem(some, ROW, body, **columns(some), target=whole(0, -1))


@pattern()
def reshape_by_shape_gather_concat(some: Numbers) -> onnx.ModelProto:
    body = (
        f"{POOLED} sizes = Shape (p)\n first = Gather (sizes, zero)\n row = Unsqueeze (first, front)\n"
        "target = Concat<axis = 0> (row, rest)\n f = Reshape (p, target)\n y = Gemm (f, w1, b1)"
    )
    return after_stem(some, ROW, body, **columns(some), zero=np.int64(0), front=whole(0), rest=whole(-1))


@pattern()
def reshape_by_product_of_its_shape(some: Numbers) -> onnx.ModelProto:
    """The channel count is read from the cut value and multiplied: it must be read after the cut."""
    body = (
        f"{POOLED} sizes = Shape (p)\n batch = Slice (sizes, zero, one)\n inner = Slice (sizes, one, four)\n"
        "columns = ReduceProd<keepdims = 1> (inner)\n target = Concat<axis = 0> (batch, columns)\n"
        "f = Reshape (p, target)\n y = Gemm (f, w1, b1)"
    )
    return after_stem(some, ROW, body, **columns(some), zero=whole(0), one=whole(1), four=whole(4))


@pattern()
def flatten_of_an_image_beside_a_row(some: Numbers) -> onnx.ModelProto:
    body = f"{STEM} {POOLED} f = Flatten (p)\n c = Concat<axis = 1> (z, f)\n y = Gemm (c, w1, b1)"
    weights = some.stem() | {"w1": some.weights(5 + 32, 3), "b1": some.bias(3)}
    return graph(f"{X}, float[n, 5] z", ROW, body, weights)


def columns(some: Numbers) -> dict[str, np.ndarray]:
    """A Gemm that reads eight channels of two by two pixels."""
    return {"w1": some.weights(32, 3), "b1": some.bias(3)}


# Rows


@pattern({"r": (1, 4, 6), "q": (0,)})
def gemm_chain(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n g = Gemm (r, w1, b1)\n q = Relu (g)\n y = Gemm (q, w2, b2)"
    weights = {
        "w0": some.weights(6, 8),
        "b0": some.bias(8, (1, 4, 6)),
        "w1": some.weights(8, 8),
        "b1": some.bias(8, (0,)) + 64,
    }
    return dense(body, weights | {"w2": some.weights(8, 3), "b2": some.bias(3)})


@pattern()
def gemm_with_transposed_weights(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm<transB = 1> (x, w0, b0)\n r = Relu (h)\n y = Gemm<transB = 1> (r, w1, b1)"
    return dense(body, some.layer(0, 8, 6, dead=(1, 4, 6)) | some.layer(1, 3, 8))


@pattern()
def gemm_with_transposed_data(some: Numbers) -> onnx.ModelProto:
    body = (
        "xt = Transpose (x)\n h = Gemm<transA = 1> (xt, w0, b0)\n r = Relu (h)\n rt = Transpose (r)\n"
        "y = Gemm<transA = 1, transB = 1> (rt, w1, b1)"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6))}
    return dense(body, weights | some.layer(1, 3, 8))


@pattern()
def gemm_with_weights_first(some: Numbers) -> onnx.ModelProto:
    """Weights on the left: units are rows, and the bias is a column."""
    body = "xt = Transpose (x)\n h = Gemm (w0, xt, b0)\n r = Relu (h)\n g = Gemm (w1, r, b1)\n y = Transpose (g)"
    weights = some.layer(0, 8, 6, dead=(1, 4, 6)) | some.layer(1, 3, 8)
    return dense(body, weights | {"b0": weights["b0"][:, None], "b1": weights["b1"][:, None]})


@pattern()
def gemm_with_alpha_and_beta(some: Numbers) -> onnx.ModelProto:
    body = (
        "h = Gemm<alpha = 0.5, beta = 2.0> (x, w0, b0)\n r = Relu (h)\n u = Add (r, shift)\n"
        "y = Gemm<alpha = 2.0, beta = 0.5> (u, w1, b1)"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return dense(body, weights | {"shift": some.bias(8)})


@pattern()
def gemm_without_bias(some: Numbers) -> onnx.ModelProto:
    """Dead because the weights are zero, not because of a bias."""
    w0 = some.weights(6, 8)
    w0[:, [1, 4, 6]] = 0
    return dense("h = Gemm (x, w0)\n r = Relu (h)\n y = Gemm (r, w1)", {"w0": w0, "w1": some.weights(8, 3)})


@pattern()
def constant_into_a_gemm_with_a_scalar_bias(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n u = Add (r, shift)\n y = Gemm (u, w1, b1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3)}
    return dense(body, weights | {"b1": np.array([5], np.float32), "shift": some.bias(8)})


@pattern()
def constant_into_a_gemm_without_bias(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n u = Sub (shift, r)\n y = Gemm (u, w1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3)}
    return dense(body, weights | {"shift": some.bias(8)})


@pattern()
def constant_into_a_bias_that_others_share(some: Numbers) -> onnx.ModelProto:
    """The bias must not be changed for the other layer that reads it."""
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n u = Add (r, shift)\n a = Gemm (u, w1, b1)\n b = Gemm (x, w2, b1)\n"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return dense(body + "y = Sub (a, b)", weights | {"w2": some.weights(6, 3), "shift": some.bias(8)})


@pattern()
def matmul_and_add(some: Numbers) -> onnx.ModelProto:
    body = "g = MatMul (x, w0)\n h = Add (b0, g)\n r = Relu (h)\n k = MatMul (r, w1)\n y = Add (k, b1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return dense(body, weights)


@pattern()
def constant_into_a_matmul(some: Numbers) -> onnx.ModelProto:
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n u = Add (r, shift)\n k = MatMul (u, w1)\n y = Add (k, b1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return dense(body, weights | {"shift": some.bias(8)})


@pattern()
def feed_forward_of_a_transformer(some: Numbers) -> onnx.ModelProto:
    body = "g = MatMul (x, w0)\n h = Add (g, b0)\n r = Relu (h)\n k = MatMul (r, w1)\n f = Add (k, b1)\n y = Add (x, f)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, (1, 4, 6)), "w1": some.weights(8, 6), "b1": some.bias(6)}
    return graph("float[n, s, 6] x", "float[n, s, 6] y", body, weights)


@pattern()
def weights_made_by_nodes(some: Numbers) -> onnx.ModelProto:
    """Weights behind Transpose, Identity and Constant nodes."""
    body = (
        "wt = Transpose<perm = [1, 0]> (w0)\n g = MatMul (x, wt)\n bi = Identity (b0)\n h = Add (g, bi)\n"
        "r = Relu (h)\n b1 = Constant<value = float[3] {1, 2, 3}> ()\n y = Gemm (r, w1, b1)"
    )
    return dense(body, some.layer(0, 8, 6, dead=(1, 4, 6)) | {"w1": some.weights(8, 3)})
