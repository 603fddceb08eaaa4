"""Small pruning patterns: layers that are dead as a whole."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_kit import NORM, STEM, Numbers, X, after_stem, pattern, whole

IMAGE = "float[n, 3, a, b] y"
ROW = "float[n, 3] y"
SAME = "<pads = [1, 1, 1, 1]>"
ALL = {"r": tuple(range(8))}


def stopped(some: Numbers, outputs: str, body: str, inputs: str = X, **weights: np.ndarray) -> onnx.ModelProto:
    """A convolution all of whose eight units are dead, and what follows."""
    return graph(inputs, outputs, STEM + body, some.stem(dead=range(8)) | weights)


@pattern({"q": tuple(range(8)), "r": ()})
def layer_dead_as_a_whole_beside_a_residual(some: Numbers) -> onnx.ModelProto:
    """What the branch adds is a constant."""
    body = f"g = Conv{SAME} (r, w1, b1)\n q = Relu (g)\n k = Conv{SAME} (q, w2, b2)\n a = Add (r, k)\n"
    weights = some.layer(1, 8, 8, 3, 3, dead=range(8)) | some.layer(2, 8, 8, 3, 3) | some.layer(3, 3, 8, 1, 1)
    return graph(X, IMAGE, f"{STEM} {body} y = Conv (a, w3, b3)", some.stem(dead=()) | weights)


@pattern(ALL)
def layer_dead_as_a_whole_in_a_chain(some: Numbers) -> onnx.ModelProto:
    """The output is a constant of the input's size, but for its border."""
    body = f"y = Conv{SAME} (r, w1, b1)"
    return graph(X, IMAGE, STEM + body, some.stem(dead=range(8)) | some.layer(1, 3, 8, 3, 3))


@pattern({"r": (1, 4, 6), "q": tuple(range(4))})
def branch_of_a_concat_dead_as_a_whole(some: Numbers) -> onnx.ModelProto:
    body = "g = Conv (x, w1, b1)\n q = Relu (g)\n c = Concat<axis = 1> (q, r)\n y = Conv (c, w2, b2)"
    weights = some.layer(1, 4, 2, 1, 1, dead=range(4)) | some.layer(2, 3, 12, 3, 3)
    return after_stem(some, IMAGE, body, **weights)


@pattern(ALL)
def whole_layer_into_a_gemm(some: Numbers) -> onnx.ModelProto:
    """All that is left is the bias, once a sample."""
    body = "h = Gemm (x, w0, b0)\n r = Relu (h)\n y = Gemm (r, w1, b1)"
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, range(8)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return graph("float[n, 6] x", ROW, body, weights)


@pattern({"r": tuple(range(8)), "q": (0, 1, 2)}, removed=8)
def large_constant_beside_one_of_the_size(some: Numbers) -> onnx.ModelProto:
    """What the size decides is small beside a constant that would hide it, were they measured by one scale."""
    body = (
        "k = Size (r)\n f = Cast<to = 1> (k)\n a = Add (r, one)\n d = Div (a, f)\n g = Conv (d, w1, b1)\n"
        "q = Relu (g)\n y = Conv (q, w2, b2)"
    )
    layers = some.layer(1, 4, 8, 1, 1, dead=(0, 1, 2)) | some.layer(2, 3, 4, 1, 1) | {"one": np.array(1, np.float32)}
    layers["b1"][:3] = -(2**24)
    return stopped(some, IMAGE, body, "float[n, 2, a, b] x", **layers)


@pattern(ALL)
def whole_layer_where_only_the_middle_is_open(some: Numbers) -> onnx.ModelProto:
    body = (
        "h0 = MatMul (x, w0)\n h = Add (h0, b0)\n r = Relu (h)\n g0 = MatMul (r, w1)\n g = Add (g0, b1)\n y = Abs (g)"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, range(8)), "w1": some.weights(8, 3), "b1": some.bias(3)}
    return graph("float[2, t, 6] x", "float[2, t, 3] y", body, weights)


@pattern({"r": tuple(range(8)), "q": (1, 2)}, also={"q": (0, 3, 4, 5, 6, 7)})
def whole_layer_before_another(some: Numbers) -> onnx.ModelProto:
    """The second layer is constant because of the first, whether its units are dead or not."""
    body = (
        "h0 = MatMul (x, w0)\n h = Add (h0, b0)\n r = Relu (h)\n g0 = MatMul (r, w1)\n g = Add (g0, b1)\n"
        "q = Relu (g)\n k0 = MatMul (q, w2)\n k = Add (k0, b2)\n y = Add (x, k)"
    )
    weights = {"w0": some.weights(6, 8), "b0": some.bias(8, range(8))}
    weights |= {"w1": some.weights(8, 8), "b1": some.bias(8, (1, 2)), "w2": some.weights(8, 6), "b2": some.bias(6)}
    return graph("float[n, s, 6] x", "float[n, s, 6] y", body, weights)


@pattern(ALL)
def whole_layer_into_an_image_of_open_size(some: Numbers) -> onnx.ModelProto:
    """Nothing but constants, whose sizes follow from the input's by strides and windows."""
    pool = "MaxPool<kernel_shape = [3, 3], strides = [2, 1], pads = [1, 0, 0, 1]>"
    body = f"p = {pool} (r)\n k = Conv<strides = [1, 2]> (p, w1, b1)\n y = Transpose<perm = [0, 2, 3, 1]> (k)"
    inputs = "float[n, 2, height, width] x"
    return stopped(some, "float[n, a, b, 3] y", body, inputs, **some.layer(1, 3, 8, 2, 2))


@pattern(ALL)
def whole_layer_pooled_flattened_and_added(some: Numbers) -> onnx.ModelProto:
    body = (
        "p = GlobalAveragePool (r)\n sizes = Shape (p)\n first = Gather (sizes, zero)\n"
        "row = Unsqueeze (first, front)\n target = Concat<axis = 0> (row, rest)\n f = Reshape (p, target)\n"
        "g = Gemm (f, w1, b1)\n m = GlobalMaxPool (x)\n v = Flatten (m)\n k = Gemm (v, w2, b2)\n y = Add (g, k)"
    )
    rows = {"w1": some.weights(8, 3), "b1": some.bias(3), "w2": some.weights(2, 3), "b2": some.bias(3)}
    return stopped(some, ROW, body, **rows, zero=np.int64(0), front=whole(0), rest=whole(-1))


@pattern(ALL)
def whole_layer_is_the_output(some: Numbers) -> onnx.ModelProto:
    return stopped(some, "float[n, 8, a, b] r", "")


@pattern({"r": tuple(range(8)), "q": ()})
def whole_layer_is_one_of_the_outputs(some: Numbers) -> onnx.ModelProto:
    body = f"g = Conv{SAME} (x, w1, b1)\n q = Relu (g)\n c = Concat<axis = 1> (r, q, r)\n y = Conv (c, w2, b2)"
    weights = some.layer(1, 4, 2, 3, 3) | some.layer(2, 3, 20, 1, 1)
    return stopped(some, f"{IMAGE}, float[n, 8, c, d] r", body, **weights)


@pattern({"r": tuple(range(8)), "q": (1,)})
def whole_layer_normalised_in_a_concat(some: Numbers) -> onnx.ModelProto:
    """The Concat loses an operand of constants, which go into the next bias."""
    body = (
        f"b = {NORM} (r, s, t, m, v)\n g = Conv{SAME} (x, w1, b1)\n q = Relu (g)\n c = Concat<axis = 1> (q, b)\n"
        "y = Conv (c, w2, b2)"
    )
    weights = some.norm() | some.layer(1, 8, 2, 3, 3, dead=(1,)) | some.layer(2, 3, 16, 3, 3)
    return stopped(some, IMAGE, body, **weights)


@pattern({"r": tuple(range(8)), "q": ()})
def whole_layer_in_a_concat_that_is_given_out(some: Numbers) -> onnx.ModelProto:
    """The Concat keeps its operand, which is made of the input's size."""
    body = f"g = Conv{SAME} (x, w1, b1)\n q = Relu (g)\n y = Concat<axis = 1> (q, r)"
    return stopped(some, "float[n, 12, a, b] y", body, **some.layer(1, 4, 2, 3, 3))


@pattern({"r": tuple(range(8)), "q": ()})
def whole_layer_as_a_gate(some: Numbers) -> onnx.ModelProto:
    """A product with zeros is zero, whatever the other factor."""
    body = f"g = Conv{SAME} (x, w1, b1)\n q = Relu (g)\n p = Mul (r, q)\n y = Conv{SAME} (p, w2, b2)"
    return stopped(some, IMAGE, body, **some.layer(1, 8, 2, 3, 3), **some.layer(2, 3, 8, 3, 3))


@pattern({"r": (0,)})
def layer_of_one_dead_unit(some: Numbers) -> onnx.ModelProto:
    body = f"{STEM} y = Conv (r, w1, b1)"
    weights = some.layer(0, 1, 2, 3, 3, dead=(0,)) | some.layer(1, 3, 1, 3, 3)
    return graph(X, IMAGE, body, weights)


@pattern(ALL)
def whole_layer_whose_shape_is_read(some: Numbers) -> onnx.ModelProto:
    body = (
        "s = Shape (r)\n t = Slice (s, two, four)\n f = Cast<to = 1> (t)\n top = ReduceMax<keepdims = 0> (f)\n"
        f"k = Conv{SAME} (x, w1, b1)\n y = Mul (k, top)"
    )
    return stopped(some, IMAGE, body, two=whole(2), four=whole(4), **some.layer(1, 3, 2, 3, 3))


@pattern(ALL, removed=7, kept=("last-unit",))
def whole_layer_of_a_size_that_the_data_decides(some: Numbers) -> onnx.ModelProto:
    """As many pixels as the data picks: one unit stays to count them."""
    body = (
        "top = ReduceMax<keepdims = 0> (z)\n some = Cast<to = 7> (top)\n more = Mod (some, four)\n"
        "five = Add (more, four)\n end = Unsqueeze (five, front)\n u = Slice (x, zero, end, axis)\n"
        f"h = Conv{SAME} (u, w0, b0)\n r = Relu (h)\n y = Conv{SAME} (r, w1, b1)"
    )
    numbers = {"four": np.int64(4), "front": whole(0), "zero": whole(0), "axis": whole(2)}
    weights = some.stem(dead=range(8)) | some.layer(1, 3, 8, 1, 1) | numbers
    return graph(f"{X}, float[n, 2] z", IMAGE, body.replace("Conv<pads = [1, 1, 1, 1]> (r", "Conv (r"), weights)
