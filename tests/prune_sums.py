"""Small pruning patterns of operators that take all units together, and for which a zero is as good as nothing."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_formats import IMAGE
from tests.prune_kit import DEAD, NORM, STEM, Numbers, Weights, X, after_stem, pattern, whole

FLAT = "float[n, 6] x"
THREE = "float[n, 3] y"
LAYER = "h = Gemm (x, w0, b0)\n r = Relu (h)\n"
SERIES = "h = MatMul (x, w0)\n hb = Add (h, b0)\n r = Relu (hb)\n"


def layer(some: Numbers) -> Weights:
    """Weights of ``LAYER`` and ``SERIES``."""
    return {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD)}


def one_number(some: Numbers, sums: str, opset: int = 18, **weights: np.ndarray) -> onnx.ModelProto:
    """What is made of all units of ``r``, as ``m``, is added to what a layer makes of them."""
    body = f"{LAYER} {sums}\n c = Gemm (r, w1)\n y = Add (c, m)"
    return graph(FLAT, THREE, body, layer(some) | {"w1": some.weights(8, 3)} | weights, opset=opset)


@pattern(shapes={"w0": (6, 5), "w1": (5, 3)})
def sum_of_squares_of_units(some: Numbers) -> onnx.ModelProto:
    return one_number(some, "m = ReduceSumSquare (r, axes)", axes=whole(-1))


@pattern()
def sum_of_magnitudes_of_units(some: Numbers) -> onnx.ModelProto:
    """The axis is an attribute, as before opset 18."""
    return one_number(some, "m = ReduceL1 <axes = [1]> (r)", opset=13)


@pattern()
def length_of_all_units(some: Numbers) -> onnx.ModelProto:
    return one_number(some, "s = ReduceL2 <keepdims = 0> (r, axes)\n m = Unsqueeze (s, axes)", axes=whole(1))


@pattern(exact=False)
def logarithm_of_a_sum_of_units(some: Numbers) -> onnx.ModelProto:
    """One unit is never zero, so that the sum is not."""
    weights = layer(some)["w0"]
    weights[:, 0] = 0
    return one_number(some, "m = ReduceLogSum (r, axes)", axes=whole(1), w0=weights)


@pattern()
def largest_of_rectified_units(some: Numbers) -> onnx.ModelProto:
    """None is below zero, so that the largest is no other without a zero."""
    return one_number(some, "m = ReduceMax (r, axes)", axes=whole(1))


@pattern(removed=0, kept=["combined-axis"])
def largest_of_units_below_zero(some: Numbers) -> onnx.ModelProto:
    """The zeros are the largest."""
    return one_number(some, "k = Neg (r)\n m = ReduceMax (k, axes)", axes=whole(1))


@pattern(removed=0, kept=["combined-axis"])
def sum_of_units_that_became_another_number(some: Numbers) -> onnx.ModelProto:
    return one_number(some, "k = Add (r, one)\n m = ReduceSum (k, axes)", axes=whole(1), one=np.float32(1))


@pattern(removed=0, kept=["combined-axis"], feed={"axis": np.int64(1)})
def sum_along_an_axis_that_is_an_input(some: Numbers) -> onnx.ModelProto:
    """It may be any."""
    body = f"{LAYER} a = Unsqueeze (axis, front)\n m = ReduceSum (r, a)\n c = Gemm (r, w1)\n y = Add (c, m)"
    weights = layer(some) | {"w1": some.weights(8, 3), "front": whole(0)}
    return graph(f"{FLAT}, int64 axis", THREE, body, weights)


@pattern({"r": DEAD, "p": ()}, also={"p": DEAD})
def product_of_two_towers(some: Numbers) -> onnx.ModelProto:
    """What is multiplied by a silent unit need not be computed."""
    body = f"{LAYER} g = Gemm (x, w1, b1)\n p = Relu (g)\n k = Mul (r, p)\n y = ReduceSum <keepdims = 1> (k, axes)"
    weights = layer(some) | {"w1": some.weights(6, 8), "b1": some.bias(8), "axes": whole(1)}
    return graph(FLAT, "float[n, one] y", body, weights)


@pattern(exact=False, shapes={"w1": (5, 3)})
def units_divided_by_their_length(some: Numbers) -> onnx.ModelProto:
    """As PyTorch's ``normalize``: the length is kept off zero and spread to all units."""
    body = (
        f"{LAYER} l = ReduceL2 <keepdims = 1> (r, axes)\n c = Clip (l, least)\n s = Shape (r)\n e = Expand (c, s)\n"
        "d = Div (r, e)\n y = Gemm (d, w1)"
    )
    weights = layer(some) | {"w1": some.weights(8, 3), "axes": whole(-1), "least": np.float32(1e-12)}
    return graph(FLAT, THREE, body, weights)


@pattern(exact=False)
def units_divided_by_their_length_and_a_little(some: Numbers) -> onnx.ModelProto:
    body = (
        f"{LAYER} q = Mul (r, r)\n l = ReduceSum (q, axes)\n a = Add (l, little)\n s = Sqrt (a)\n"
        "d = Div (r, s)\n y = Gemm (d, w1)"
    )
    weights = layer(some) | {"w1": some.weights(8, 3), "axes": whole(1), "little": np.float32(1e-6)}
    return graph(FLAT, THREE, body, weights)


@pattern(exact=False)
def units_normalised_by_one_operator(some: Numbers) -> onnx.ModelProto:
    body = f"{LAYER} d = LpNormalization <axis = 1> (r)\n y = Gemm (d, w1)"
    return graph(FLAT, THREE, body, layer(some) | {"w1": some.weights(8, 3)})


@pattern(removed=0, exact=False)
def units_divided_by_what_may_be_zero(some: Numbers) -> onnx.ModelProto:
    """An exponential underflows: zero divided by it is no number then."""
    body = f"{LAYER} l = ReduceMax (x, axes)\n k = Neg (l)\n e = Exp (k)\n d = Div (r, e)\n y = Gemm (d, w1)"
    return graph(FLAT, THREE, body, layer(some) | {"w1": some.weights(8, 3), "axes": whole(1)})


@pattern()
def mean_of_what_a_mask_leaves(some: Numbers) -> onnx.ModelProto:
    """A mean over positions, with their number kept off zero; it is a power of two."""
    body = (
        f"{SERIES} k = Mul (r, m)\n s = ReduceSum <keepdims = 0> (k, axes)\n t = ReduceSum <keepdims = 0> (m, axes)\n"
        "two = Pow (base, t)\n c = Max (two, base)\n d = Div (s, c)\n y = Gemm (d, w1)"
    )
    weights = layer(some) | {"w1": some.weights(8, 3), "axes": whole(1), "base": np.float32(2)}
    return graph("float[n, 5, 6] x, float[n, 5, 1] m", THREE, body, weights)


@pattern()
def running_sum_over_positions(some: Numbers) -> onnx.ModelProto:
    body = f"{SERIES} k = CumSum <exclusive = 1> (r, axis)\n y = MatMul (k, w1)"
    weights = layer(some) | {"w1": some.weights(8, 3), "axis": np.int64(1)}
    return graph("float[n, 5, 6] x", "float[n, 5, 3] y", body, weights)


# Codes whose scale and zero point the data decides


def found_out(value: str, into: str) -> str:
    """``value`` as codes, with the scale and the zero point that suit it."""
    return f"{into}, s_{into}, z_{into} = DynamicQuantizeLinear ({value})\n"


def integer_weights(some: Numbers, *shape: int) -> Weights:
    """Codes of a weight, with a scale and a zero point for each of its outputs."""
    outputs = shape[-1] if len(shape) == 2 else shape[0]
    scale = some.rng.choice([0.5, 1.0], outputs).astype(np.float32)
    return {"w1": some.weights(*shape).astype(np.int8), "s1": scale, "z1": np.zeros(outputs, np.int8)}


PRODUCT = "i = MatMulInteger (q, w1, z_q, z1)\n f = Cast <to = 1> (i)\n s = Mul (s_q, s1)\n y = Mul (f, s)"


@pattern(exact=False, shapes={"w0": (6, 5), "w1": (5, 3)})
def codes_found_out_for_a_product(some: Numbers) -> onnx.ModelProto:
    """The range that they have to cover has zero in it in any case."""
    return graph(FLAT, THREE, LAYER + found_out("r", "q") + PRODUCT, layer(some) | integer_weights(some, 8, 3))


@pattern(exact=False, shapes={"w1": (3, 5, 3, 3)})
def codes_found_out_for_a_convolution(some: Numbers) -> onnx.ModelProto:
    """At the border the code of zero is put, whatever it is."""
    body = (
        "k = Neg (r)\n q, s_q, z_q = DynamicQuantizeLinear (k)\n"
        "i = ConvInteger <pads = [1, 1, 1, 1]> (q, w1, z_q)\n f = Cast <to = 1> (i)\n y = Mul (f, s_q)"
    )
    return after_stem(some, IMAGE, body, w1=some.weights(3, 8, 3, 3).astype(np.int8))


@pattern(exact=False, shapes={"w0": (6, 5), "w1": (5, 3)})
def codes_found_out_for_a_product_in_floats(some: Numbers) -> onnx.ModelProto:
    """As onnxruntime writes down what it has optimised, with zero points of the weight's own."""
    own = integer_weights(some, 8, 3) | {"z1": np.array([1, 0, -2], np.int8), "b1": some.bias(3)}
    body = found_out("r", "q") + "y = com.microsoft.MatMulIntegerToFloat (q, w1, s_q, s1, z_q, z1, b1)"
    return graph(FLAT, THREE, LAYER + body, layer(some) | own)


@pattern(exact=False, shapes={"w1": (6, 5), "w2": (5, 3), "s1": (5,), "b1": (5,)})
def codes_found_out_within_a_product(some: Numbers) -> onnx.ModelProto:
    own = integer_weights(some, 6, 8) | {"b1": some.bias(8, DEAD)}
    second = {"w2": some.weights(8, 3).astype(np.int8), "s2": np.float32(1), "z2": np.int8(1)}
    body = (
        "h = com.microsoft.DynamicQuantizeMatMul (x, w1, s1, z1, b1)\n r = Relu (h)\n"
        "y = com.microsoft.DynamicQuantizeMatMul (r, w2, s2, z2)"
    )
    return graph(FLAT, THREE, body, own | second)


@pattern(exact=False, removed=0, kept=["combined-axis"])
def codes_found_out_for_another_number(some: Numbers) -> onnx.ModelProto:
    """It might be the largest of all."""
    body = f"{NORM.replace('BatchNormalization', 'k = BatchNormalization')} (r, s, t, m, v)\n"
    body = f"{LAYER} {body} {found_out('k', 'q')} {PRODUCT.replace(' s =', ' u =').replace('(f, s)', '(f, u)')}"
    return graph(FLAT, THREE, body, layer(some) | some.norm() | integer_weights(some, 8, 3))


@pattern(exact=False, removed=0, kept=["unknown-operator", "combined-axis", "needed", "partner-alive"])
def codes_found_out_that_are_given_out(some: Numbers) -> onnx.ModelProto:
    """They are read as numbers, and not from their own zero point."""
    body = f"{LAYER} {found_out('r', 'q')} f = Cast <to = 1> (q)\n y = Gemm (f, w1)"
    return graph(FLAT, THREE, body, layer(some) | {"w1": some.weights(8, 3)})


@pattern(exact=False, removed=0)
def codes_found_out_read_from_another_zero_point(some: Numbers) -> onnx.ModelProto:
    """The code of zero here is another number there."""
    body = (
        f"{LAYER} {found_out('r', 'q')} {found_out('x', 'o')}"
        "i = MatMulInteger (q, w1, z_o, z1)\n f = Cast <to = 1> (i)\n s = Mul (s_q, s1)\n y = Mul (f, s)"
    )
    return graph(FLAT, THREE, body, layer(some) | integer_weights(some, 8, 3))


# Positions and constants as large as the data


@pattern()
def picked_at_places_that_the_data_decides(some: Numbers) -> onnx.ModelProto:
    """Every channel is read at the same places."""
    body = 'k = GridSample <mode = "nearest", padding_mode = "zeros"> (r, g)\n y = Conv (k, w1, b1)'
    weights = some.stem() | some.layer(1, 3, 8, 1, 1)
    return graph(f"{X}, float[n, 4, 4, 2] g", IMAGE, STEM + body, weights)


@pattern(removed=0, kept=["partner-alive"])
def picked_at_places_beyond_the_border(some: Numbers) -> onnx.ModelProto:
    """A number that is not zero there is zero here, as the data has it."""
    body = f'c = {NORM} (r, s, t, m, v)\n k = GridSample <mode = "nearest"> (c, g)\n y = Conv (k, w1, b1)'
    weights = some.stem() | some.norm() | some.layer(1, 3, 8, 1, 1)
    return graph(f"{X}, float[n, 4, 4, 2] g", IMAGE, STEM + body, weights)


@pattern(shapes={"w1": (3, 5, 3, 3)})
def one_number_as_large_as_the_units(some: Numbers) -> onnx.ModelProto:
    body = "s = Shape (r)\n o = ConstantOfShape <value = float[1] {2}> (s)\n k = Add (r, o)\n y = Conv (k, w1, b1)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 3, 3))


@pattern({"r": DEAD, "k": DEAD}, shapes={"w1": (3, 5, 3, 3)})
def zeros_as_many_as_a_list_says(some: Numbers) -> onnx.ModelProto:
    """Only the number of samples is the data's; the units are rectified twice."""
    body = (
        "s = Shape (x)\n n = Gather <axis = 0> (s, front)\n l = Concat <axis = 0> (n, rest)\n"
        "z = ConstantOfShape (l)\n k = Max (r, z)\n y = Conv (k, w1, b1)"
    )
    return after_stem(some, IMAGE, body, front=whole(0), rest=whole(8, 8, 8), **some.layer(1, 3, 8, 3, 3))


@pattern(shapes={"w1": (3, 5, 3, 3)})
def channels_of_zeros_beside_the_units(some: Numbers) -> onnx.ModelProto:
    """As a shortcut to a wider layer: they go altogether."""
    body = (
        "s = Shape (x)\n n = Gather <axis = 0> (s, front)\n l = Concat <axis = 0> (n, rest)\n"
        "z = ConstantOfShape (l)\n k = Concat <axis = 1> (r, z)\n y = Conv (k, w1, b1)"
    )
    return after_stem(some, IMAGE, body, front=whole(0), rest=whole(4, 8, 8), **some.layer(1, 3, 12, 3, 3))
