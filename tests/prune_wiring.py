"""Small pruning patterns: residual sums, fan-out, Concat, depthwise and grouped convolutions, data movement, gates."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_kit import NORM, STEM, Numbers, X, after_stem, pattern, whole

IMAGE = "float[n, 3, a, b] y"
SAME = "<pads = [1, 1, 1, 1]>"


# Residual sums


@pattern({"r": (), "q": (1, 4, 6), "z": ()})
def residual_dead_inside_the_branch(some: Numbers) -> onnx.ModelProto:
    body = f"g = Conv{SAME} (r, w1, b1)\n q = Relu (g)\n k = Conv{SAME} (q, w2, b2)\n a = Add (r, k)\n z = Relu (a)\n"
    weights = some.layer(1, 8, 8, 3, 3, dead=(1, 4, 6)) | some.layer(2, 8, 8, 3, 3) | some.layer(3, 3, 8, 1, 1)
    return graph(X, IMAGE, f"{STEM} {body} y = Conv (z, w3, b3)", some.stem(dead=()) | weights)


@pattern({"r": (1, 4, 6), "z": (1, 4, 6), "q": (2,)})
def residual_stream_dead_everywhere(some: Numbers) -> onnx.ModelProto:
    body = f"g = Conv{SAME} (r, w1, b1)\n q = Relu (g)\n k = Conv{SAME} (q, w2, b2)\n a = Add (r, k)\n z = Relu (a)\n"
    weights = some.layer(1, 8, 8, 3, 3, dead=(2,)) | some.layer(2, 8, 8, 3, 3, dead=(1, 4, 6))
    return after_stem(some, IMAGE, f"{body} y = Conv (z, w3, b3)", **weights, **some.layer(3, 3, 8, 1, 1))


@pattern({"r": (1, 4, 6), "z": ()}, removed=0)
def residual_with_a_living_partner(some: Numbers) -> onnx.ModelProto:
    """The other summand lives, so the channel does: nothing to cut without scattering."""
    body = f"k = Conv (x, w1, b1)\n a = Add (r, k)\n z = Relu (a)\n y = Conv{SAME} (z, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 8, 2, 1, 1), **some.layer(2, 3, 8, 3, 3))


@pattern({"r": (), "z": (1, 4, 6), "q": ()}, removed=0)
def residual_dead_behind_the_sum_and_revived(some: Numbers) -> onnx.ModelProto:
    """Dead behind the sum, but the sum's other readers use the channel."""
    body = (
        f"k = Conv{SAME} (r, w1, b1)\n a = Add (r, k)\n m = Sub (a, shift)\n z = Relu (m)\n u = Conv (z, w2, b2)\n"
        f"q = Relu (u)\n c = Add (q, a)\n y = Conv (c, w3, b3)"
    )
    shift = np.zeros((8, 1, 1), np.float32)
    shift[[1, 4, 6]] = 2**14
    weights = some.layer(1, 8, 8, 3, 3) | some.layer(2, 8, 8, 1, 1) | some.layer(3, 3, 8, 1, 1) | {"shift": shift}
    return graph(X, IMAGE, f"{STEM} {body}", some.stem(dead=()) | weights)


@pattern({"r": (1, 4), "q": (1, 4), "p": (1, 6)}, removed=3)
def sum_of_three_where_all_are_dead(some: Numbers) -> onnx.ModelProto:
    """Unit 1 is dead in all three summands; the others have a partner that lives."""
    body = (
        f"g = Conv{SAME} (x, w1, b1)\n q = Relu (g)\n h3 = Conv{SAME} (x, w2, b2)\n p = Relu (h3)\n"
        f"a = Sum (r, q, p)\n y = Conv{SAME} (a, w3, b3)"
    )
    weights = some.stem(dead=(1, 4)) | some.layer(1, 8, 2, 3, 3, dead=(1, 4)) | some.layer(2, 8, 2, 3, 3, dead=(1, 6))
    return graph(X, IMAGE, f"{STEM} {body}", weights | some.layer(3, 3, 8, 3, 3))


# Fan-out, Concat, weights used twice


@pattern()
def fan_out_to_two_convs(some: Numbers) -> onnx.ModelProto:
    body = f"p = Conv{SAME} (r, w1, b1)\n q = Conv (r, w2, b2)\n y = Add (p, q)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 3, 3), **some.layer(2, 3, 8, 1, 1))


@pattern()
def fan_out_to_readers_of_all_kinds(some: Numbers) -> onnx.ModelProto:
    body = (
        f"p = Conv{SAME} (r, w1, b1)\n g = GlobalAveragePool (r)\n f = Flatten (g)\n v = Gemm (f, w2, b2)\n"
        f"v4 = Unsqueeze (v, axes)\n m = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r)\n"
        f"q = Conv (m, w3)\n a = Add (p, q)\n y = Add (a, v4)"
    )
    weights = some.layer(1, 3, 8, 3, 3) | {"w2": some.weights(8, 3), "b2": some.bias(3), "w3": some.weights(3, 8, 1, 1)}
    return after_stem(some, IMAGE, body, **weights, axes=whole(2, 3))


@pattern()
def value_that_meets_itself(some: Numbers) -> onnx.ModelProto:
    body = "m = Mul (r, r)\n a = Add (m, r)\n c = Concat<axis = 1> (a, r, r)\n y = Conv (c, w1, b1)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 24, 1, 1))


@pattern()
def parametric_rectifier_behind(some: Numbers) -> onnx.ModelProto:
    body = f"g = Conv{SAME} (x, w1, b1)\n n1 = Mul (r, g)\n n2 = PRelu (n1, slope)\n y = Conv (n2, w2, b2)"
    slope = some.weights(8, 1, 1)
    return after_stem(some, IMAGE, body, slope=slope, **some.layer(1, 8, 2, 3, 3), **some.layer(2, 3, 8, 1, 1))


@pattern({"r": (1, 4, 6), "q": (0,)})
def inception_of_two_branches(some: Numbers) -> onnx.ModelProto:
    body = "g = Conv (x, w1, b1)\n q = Relu (g)\n c = Concat<axis = 1> (q, r)\n y = Conv (c, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 4, 2, 1, 1, dead=(0,)), **some.layer(2, 3, 12, 3, 3))


@pattern({"r": (1, 4, 6), "e": (0, 2), "f": (3,)})
def fire_module(some: Numbers) -> onnx.ModelProto:
    body = (
        f"a = Conv (r, w1, b1)\n e = Relu (a)\n b = Conv{SAME} (r, w2, b2)\n f = Relu (b)\n"
        "c = Concat<axis = -3> (e, f)\n p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]> (c)\n y = Conv (p, w3, b3)"
    )
    weights = some.layer(1, 8, 8, 1, 1, dead=(0, 2)) | some.layer(2, 8, 8, 3, 3, dead=(3,))
    return after_stem(some, IMAGE, body, **weights, **some.layer(3, 3, 16, 1, 1))


@pattern({"q": (1, 4, 6, 9)}, removed=0)
def dense_net_norm_over_a_concat(some: Numbers) -> onnx.ModelProto:
    """Units over a Concat die, but what was concatenated has another reader: nothing to cut without a Gather."""
    body = (
        f"g = Conv{SAME} (x, w0, b0)\n c = Concat<axis = 1> (x, g)\n b = {NORM} (c, s, t, m, v)\n q = Relu (b)\n"
        f"k = Conv{SAME} (q, w1, b1)\n d = Concat<axis = 1> (c, k)\n y = Conv (d, w2, b2)"
    )
    weights = some.stem(dead=()) | some.norm(10, dead=(1, 4, 6, 9)) | some.layer(1, 4, 10, 3, 3)
    return graph(X, IMAGE, body, weights | some.layer(2, 3, 14, 1, 1))


@pattern({"q": (3, 6, 9)})
def norm_over_a_concat_that_nobody_else_reads(some: Numbers) -> onnx.ModelProto:
    body = (
        f"g = Conv{SAME} (x, w0, b0)\n k = Conv{SAME} (x, w1, b1)\n c = Concat<axis = 1> (g, k)\n"
        f"b = {NORM} (c, s, t, m, v)\n q = Relu (b)\n y = Conv{SAME} (q, w2, b2)"
    )
    weights = some.stem(dead=()) | some.layer(1, 4, 2, 3, 3) | some.norm(12, dead=(3, 6, 9))
    shapes = some.layer(2, 3, 12, 3, 3)
    return graph(X, IMAGE, body, weights | shapes)


@pattern()
def one_conv_used_twice(some: Numbers) -> onnx.ModelProto:
    """A siamese pair: both places agree on which units are dead."""
    body = (
        f"{STEM} h2 = Conv{SAME} (z, w0, b0)\n r2 = Relu (h2)\n p = Conv (r, w1, b1)\n q = Conv (r2, w1, b1)\n"
        "y = Sub (p, q)"
    )
    return graph(f"{X}, float[n, 2, 8, 8] z", IMAGE, body, some.stem() | some.layer(1, 3, 8, 1, 1))


@pattern(removed=0)
def weights_tied_to_a_layer_that_needs_them_all(some: Numbers) -> onnx.ModelProto:
    """The second layer has no rectifier: its channels live although the weights are the same."""
    body = f"k = Conv{SAME} (x, w0, b0)\n p = Conv (r, w1, b1)\n q = Conv (k, w2, b2)\n y = Add (p, q)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 1, 1), **some.layer(2, 3, 8, 1, 1))


# Depthwise and grouped convolutions


@pattern()
def depthwise_after_without_bias(some: Numbers) -> onnx.ModelProto:
    body = "d = Conv<group = 8, pads = [1, 1, 1, 1]> (r, w1)\n y = Conv (d, w2, b2)"
    return after_stem(some, IMAGE, body, w1=some.weights(8, 1, 3, 3), **some.layer(2, 3, 8, 1, 1))


@pattern()
def depthwise_after_with_bias(some: Numbers) -> onnx.ModelProto:
    """The dead unit becomes the bias, which the pointwise layer takes over."""
    body = "d = Conv<group = 8, pads = [1, 1, 1, 1]> (r, w1, b1)\n y = Conv (d, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 8, 1, 3, 3), **some.layer(2, 3, 8, 1, 1))


@pattern()
def depthwise_with_multiplier(some: Numbers) -> onnx.ModelProto:
    body = "d = Conv<group = 8> (r, w1, b1)\n y = Conv (d, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 16, 1, 3, 3), **some.layer(2, 3, 16, 1, 1))


@pattern({"q": (1, 4, 6), "r": (2,)}, removed=4, also={"r": (1, 4, 6)})
def depthwise_before(some: Numbers) -> onnx.ModelProto:
    """MobileNet: what feeds a dead depthwise channel is read by nobody."""
    body = "d = Conv<group = 8, pads = [1, 1, 1, 1]> (r, w1, b1)\n q = Clip (d, low, high)\n y = Conv (q, w2, b2)"
    weights = some.stem(dead=(2,)) | some.layer(1, 8, 1, 3, 3, dead=(1, 4, 6)) | some.layer(2, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, weights | {"low": np.float32(0), "high": np.float32(6)})


@pattern({"r": (1, 3, 5, 7)})
def grouped_at_the_same_position(some: Numbers) -> onnx.ModelProto:
    body = "y = Conv<group = 2, pads = [1, 1, 1, 1]> (r, w1, b1)"
    weights = some.stem(dead=(1, 3, 5, 7)) | some.layer(1, 6, 4, 3, 3)
    return graph(X, "float[n, 6, a, b] y", STEM + body, weights)


@pattern({"r": (0, 1, 4)}, removed=2)
def grouped_unevenly(some: Numbers) -> onnx.ModelProto:
    """Position 0 is dead in both groups, position 1 in one only."""
    body = "y = Conv<group = 2, pads = [1, 1, 1, 1]> (r, w1, b1)"
    return graph(X, "float[n, 6, a, b] y", STEM + body, some.stem(dead=(0, 1, 4)) | some.layer(1, 6, 4, 3, 3))


@pattern({"r": (2, 3)}, removed=0)
def grouped_with_one_whole_group_dead(some: Numbers) -> onnx.ModelProto:
    body = "g = Conv<group = 4, pads = [1, 1, 1, 1]> (r, w1, b1)\n y = Conv (g, w2, b2)"
    weights = some.stem(dead=(2, 3)) | some.layer(1, 8, 2, 3, 3) | some.layer(2, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, weights)


@pattern({"r": (1, 5), "q": (0, 4)})
def grouped_writer_and_reader(some: Numbers) -> onnx.ModelProto:
    body = "g = Conv<group = 2> (r, w1, b1)\n q = Relu (g)\n y = Conv<group = 2> (q, w2, b2)"
    weights = some.stem(dead=(1, 5)) | some.layer(1, 8, 4, 3, 3, dead=(0, 4)) | some.layer(2, 4, 4, 1, 1)
    return graph(X, "float[n, 4, a, b] y", STEM + body, weights)


@pattern({"r": (1, 6)}, shapes={"w0": (6, 2, 3, 3), "w1": (6, 3, 3, 3)})
def grouped_at_different_positions(some: Numbers) -> onnx.ModelProto:
    body = "y = Conv<group = 2, pads = [1, 1, 1, 1]> (r, w1, b1)"
    return graph(X, "float[n, 6, a, b] y", STEM + body, some.stem(dead=(1, 6)) | some.layer(1, 6, 4, 3, 3))


@pattern({"r": (0, 1, 3, 6, 7)}, removed=4, kept=["uneven-groups"])
def grouped_with_more_dead_in_one_group(some: Numbers) -> onnx.ModelProto:
    """Of three dead in the first group as many go as are dead in the other."""
    body = "y = Conv<group = 2> (r, w1, b1)"
    return graph(X, "float[n, 6, a, b] y", STEM + body, some.stem(dead=(0, 1, 3, 6, 7)) | some.layer(1, 6, 4, 3, 3))


@pattern({"r": (1, 2, 5, 6), "q": (0, 3, 4, 7)}, shapes={"w0": (4, 2, 3, 3), "w1": (4, 1, 3, 3), "w2": (4, 2, 1, 1)})
def grouped_twice_in_other_groups(some: Numbers) -> onnx.ModelProto:
    body = "g = Conv<group = 4> (r, w1, b1)\n q = Relu (g)\n y = Conv<group = 2> (q, w2, b2)"
    weights = some.stem(dead=(1, 2, 5, 6)) | some.layer(1, 8, 2, 3, 3, dead=(0, 3, 4, 7)) | some.layer(2, 4, 4, 1, 1)
    return graph(X, "float[n, 4, a, b] y", STEM + body, weights)


@pattern({"r": (), "q": (0, 3, 4, 6, 7)}, removed=4, kept=["uneven-groups"])
def grouped_finer_the_second_time(some: Numbers) -> onnx.ModelProto:
    """Of three dead in the second half one stays: not the only one in its quarter, or nothing could go."""
    body = "g = Conv<group = 2> (r, w1, b1)\n q = Relu (g)\n y = Conv<group = 4> (q, w2, b2)"
    weights = some.stem(()) | some.layer(1, 8, 4, 3, 3, dead=(0, 3, 4, 6, 7)) | some.layer(2, 8, 2, 1, 1)
    return graph(X, "float[n, 8, a, b] y", STEM + body, weights)


@pattern({"r": (1, 6), "q": (2, 3)}, shapes={"w1": (6, 2, 2, 2), "w2": (3, 4, 1, 1)})
def transposed_convolution_in_groups(some: Numbers) -> onnx.ModelProto:
    """Its weight has the groups where it is summed over, and what each makes along one axis for all."""
    body = "g = ConvTranspose<group = 2> (r, w1, b1)\n q = Relu (g)\n y = Conv (q, w2, b2)"
    weights = {"w1": some.weights(8, 3, 2, 2), "b1": some.bias(6, (2, 3))} | some.layer(2, 3, 6, 1, 1)
    return graph(X, IMAGE, STEM + body, some.stem(dead=(1, 6)) | weights)


@pattern({"r": (1, 3, 4, 6)})
def constants_into_groups_at_different_positions(some: Numbers) -> onnx.ModelProto:
    body = f"n = {NORM} (r, s, t, m, v)\n g = Conv<group = 2> (n, w1, b1)\n y = Conv (g, w2, b2)"
    weights = some.stem((1, 3, 4, 6)) | some.norm() | some.layer(1, 6, 4, 3, 3) | some.layer(2, 3, 6, 1, 1)
    return graph(X, IMAGE, STEM + body, weights)


@pattern({"r": (1, 3, 4, 6)}, removed=2, kept=["border-constant"])
def constants_carried_by_another_position_of_each_group(some: Numbers) -> onnx.ModelProto:
    """At the border no bias will do: in each group one constant stays, and carries the other."""
    body = f"n = {NORM} (r, s, t, m, v)\n y = Conv<group = 2, pads = [1, 1, 1, 1]> (n, w1, b1)"
    weights = some.stem((1, 3, 4, 6)) | some.norm(shift=(4,)) | some.layer(1, 6, 4, 3, 3)
    return graph(
        X, "float[n, 6, a, b] y", STEM + body, weights | {"s": np.ones(8, np.float32), "m": np.zeros(8, np.float32)}
    )


@pattern({"r": (1, 3, 4, 6)})
def groups_behind_a_shuffle(some: Numbers) -> onnx.ModelProto:
    """Dead are positions 2 and 3 of the first group, and 0 and 1 of the second, once they are shuffled."""
    body = (
        "a = Reshape (r, apart)\n t = Transpose<perm = [0, 2, 1, 3, 4]> (a)\n c = Reshape (t, joined)\n"
        "y = Conv<group = 2> (c, w1, b1)"
    )
    weights = some.stem((1, 3, 4, 6)) | some.layer(1, 6, 4, 3, 3)
    shapes = {"apart": whole(0, 2, 4, 8, 8), "joined": whole(0, 8, 8, 8)}
    return graph(X, "float[n, 6, a, b] y", STEM + body, weights | shapes)


@pattern({"r": (1, 2, 5)}, removed=2, kept=["uneven-groups"])
def groups_of_a_weight_that_serves_two_places(some: Numbers) -> onnx.ModelProto:
    """Only the same position of every group can go, as the weight is cut along its axis."""
    body = "a = Conv<group = 2> (r, w1, b1)\n n = Neg (r)\n c = Conv<group = 2> (n, w1, b1)\n y = Add (a, c)"
    return graph(X, "float[n, 6, a, b] y", STEM + body, some.stem((1, 2, 5)) | some.layer(1, 6, 4, 3, 3))


@pattern({"r": (1, 6), "p": (0, 5)}, removed=4)
def groups_of_branches_side_by_side(some: Numbers) -> onnx.ModelProto:
    """The groups of one convolution come from two others, and lose a unit each of four."""
    body = f"g = Conv{SAME} (x, w1, b1)\n p = Relu (g)\n c = Concat<axis = 1> (r, p)\n y = Conv<group = 4> (c, w2, b2)"
    weights = some.stem((1, 6)) | some.layer(1, 8, 2, 3, 3, dead=(0, 5)) | some.layer(2, 8, 4, 1, 1)
    return graph(X, "float[n, 8, a, b] y", STEM + body, weights)


@pattern(
    {"r": (0, 3, 5, 7, 8, 10, 15, 16, 21, 26, 31)},
    removed=8,
    kept=["uneven-groups"],
    shapes={"w0": (24, 2, 3, 3), "w1": (16, 3, 1, 1)},
)
def groups_that_stay_aligned_together(some: Numbers) -> onnx.ModelProto:
    """Eight groups of four lose one each: three quarters of the channels are a multiple of eight."""
    dead = (0, 3, 5, 7, 8, 10, 15, 16, 21, 26, 31)
    weights = some.layer(0, 32, 2, 3, 3, dead=dead) | some.layer(1, 16, 4, 1, 1)
    return graph(X, "float[n, 16, a, b] y", STEM + "y = Conv<group = 8> (r, w1, b1)", weights)


@pattern(
    {"r": (), "q": (0, 5, 9, 14, 16, 23, 27, 30)},
    shapes={"w1": (24, 2, 1, 1), "w2": (3, 24, 1, 1)},
)
def groups_that_make_eight_units_each(some: Numbers) -> onnx.ModelProto:
    """No axis is as long as one group's units: with six of each, all of them are still a multiple of eight."""
    body = "g = Conv<group = 4> (r, w1, b1)\n q = Relu (g)\n y = Conv (q, w2, b2)"
    weights = some.layer(1, 32, 2, 1, 1, dead=(0, 5, 9, 14, 16, 23, 27, 30)) | some.layer(2, 3, 32, 1, 1)
    return graph(X, IMAGE, STEM + body, some.stem(()) | weights)


# Data movement


@pattern()
def resize_by_scales(some: Numbers) -> onnx.ModelProto:
    body = 'u = Resize<mode = "nearest"> (r, , scales)\n y = Conv (u, w1, b1)'
    return after_stem(some, IMAGE, body, scales=np.float32([1, 1, 2, 2]), **some.layer(1, 3, 8, 3, 3))


@pattern()
def resize_to_sizes_that_name_the_channels(some: Numbers) -> onnx.ModelProto:
    body = (
        "sizes = Shape (r)\n front = Slice (sizes, zero, two)\n target = Concat<axis = 0> (front, image)\n"
        'u = Resize<mode = "nearest"> (r, , , target)\n y = Conv (u, w1, b1)'
    )
    return after_stem(some, IMAGE, body, zero=whole(0), two=whole(2), image=whole(16, 16), **some.layer(1, 3, 8, 3, 3))


@pattern()
def resize_to_constant_sizes(some: Numbers) -> onnx.ModelProto:
    """The channel count is written in a constant, which has to follow the cut."""
    body = f'{STEM} u = Resize<mode = "nearest"> (r, , , target)\n y = Conv (u, w1, b1)'
    weights = some.stem() | some.layer(1, 3, 8, 3, 3) | {"target": whole(1, 8, 16, 16)}
    return graph("float[1, 2, 8, 8] x", "float[1, 3, a, b] y", body, weights)


@pattern()
def upsample(some: Numbers) -> onnx.ModelProto:
    body = f'{STEM} u = Upsample<mode = "nearest"> (r, scales)\n y = Conv (u, w1, b1)'
    weights = some.stem() | some.layer(1, 3, 8, 3, 3) | {"scales": np.float32([1, 1, 2, 2])}
    return graph(X, IMAGE, body, weights, opset=9)


@pattern()
def pad_with_zeros(some: Numbers) -> onnx.ModelProto:
    body = "u = Pad (r, pads)\n y = Conv (u, w1, b1)"
    return after_stem(some, IMAGE, body, pads=whole(0, 0, 1, 1, 0, 0, 1, 1), **some.layer(1, 3, 8, 3, 3))


@pattern()
def pad_by_reflection(some: Numbers) -> onnx.ModelProto:
    body = 'u = Pad<mode = "reflect"> (r, pads)\n y = Conv (u, w1, b1)'
    return after_stem(some, IMAGE, body, pads=whole(0, 0, 1, 1, 0, 0, 1, 1), **some.layer(1, 3, 8, 3, 3))


@pattern(removed=0)
def pad_with_ones(some: Numbers) -> onnx.ModelProto:
    """The border of a dead channel is one: the channel is no constant."""
    body = "u = Pad (r, pads, one)\n y = Conv (u, w1, b1)"
    pads, one = whole(0, 0, 1, 1, 0, 0, 1, 1), np.float32(1)
    return after_stem(some, IMAGE, body, pads=pads, one=one, **some.layer(1, 3, 8, 3, 3))


@pattern()
def pad_with_channels(some: Numbers) -> onnx.ModelProto:
    """The parameter-free shortcut of a ResNet: two channels of zeros before, two behind."""
    body = "u = Pad (r, pads)\n y = Conv (u, w1, b1)"
    return after_stem(some, IMAGE, body, pads=whole(0, 2, 0, 0, 0, 2, 0, 0), **some.layer(1, 3, 12, 3, 3))


@pattern()
def split_unevenly(some: Numbers) -> onnx.ModelProto:
    body = "a, b = Split<axis = 1> (r, parts)\n p = Conv (a, w1, b1)\n q = Conv (b, w2, b2)\n y = Add (p, q)"
    weights = some.layer(1, 3, 3, 3, 3) | some.layer(2, 3, 5, 3, 3)
    return after_stem(some, IMAGE, body, parts=whole(3, 5), **weights)


@pattern()
def split_into_equal_parts_that_are_cut_unequally(some: Numbers) -> onnx.ModelProto:
    body = "a, b = Split<axis = 1, num_outputs = 2> (r)\n p = Conv (a, w1, b1)\n q = Conv (b, w2, b2)\n y = Add (p, q)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 4, 3, 3), **some.layer(2, 3, 4, 3, 3))


@pattern({"r": (0, 1, 4)}, removed=2)
def split_whose_halves_are_added(some: Numbers) -> onnx.ModelProto:
    """Units 0 and 4 are added to each other and both dead; unit 1 has a living partner."""
    body = "a, b = Split<axis = 1, num_outputs = 2> (r)\n c = Add (a, b)\n y = Conv (c, w1, b1)"
    return graph(X, IMAGE, STEM + body, some.stem(dead=(0, 1, 4)) | some.layer(1, 3, 4, 3, 3))


@pattern()
def slice_of_channels(some: Numbers) -> onnx.ModelProto:
    body = (
        "a = Slice (r, two, six, axis)\n p = Conv (a, w1, b1)\n q = Conv (r, w2, b2)\n"
        "b = Slice (r, minus, zero, axis, back)\n s = Conv (b, w3, b3)\n t = Add (p, q)\n y = Add (s, t)"
    )
    names = {"two": 2, "six": 6, "axis": 1, "minus": -1, "zero": 0, "back": -2}
    weights = some.layer(1, 3, 4, 3, 3) | some.layer(2, 3, 8, 3, 3) | some.layer(3, 3, 4, 3, 3)
    return after_stem(some, IMAGE, body, **weights, **{name: whole(value) for name, value in names.items()})


@pattern()
def gather_of_channels(some: Numbers) -> onnx.ModelProto:
    """Another order, and one channel twice."""
    body = "a = Gather<axis = 1> (r, order)\n y = Conv (a, w1, b1)"
    return after_stem(some, IMAGE, body, order=whole(7, 4, 1, 0, 2, 3, -2, 5, 4), **some.layer(1, 3, 9, 3, 3))


@pattern()
def channels_last(some: Numbers) -> onnx.ModelProto:
    """TensorFlow's export: images come and go with channels last."""
    body = (
        "xt = Transpose<perm = [0, 3, 1, 2]> (x)\n g = Conv (xt, w0)\n gt = Transpose<perm = [0, 2, 3, 1]> (g)\n"
        "h = Add (gt, b0)\n r = Relu (h)\n rt = Transpose<perm = [0, 3, 1, 2]> (r)\n k = Conv (rt, w1, b1)\n"
        "y = Transpose<perm = [0, 2, 3, 1]> (k)"
    )
    return graph("float[n, 8, 8, 2] x", "float[n, a, b, 3] y", body, some.stem() | some.layer(1, 3, 8, 3, 3))


@pattern()
def pixels_as_a_sequence(some: Numbers) -> onnx.ModelProto:
    """Patches of a vision transformer: image, flattened, transposed, into a MatMul."""
    body = "f = Reshape (r, target)\n t = Transpose<perm = [0, 2, 1]> (f)\n y = MatMul (t, w1)"
    return after_stem(some, "float[n, a, 3] y", body, target=whole(0, 8, 64), w1=some.weights(8, 3))


@pattern({"r": (1, 3, 5, 7)})
def channel_shuffle(some: Numbers) -> onnx.ModelProto:
    body = (
        "a = Reshape (r, apart)\n t = Transpose<perm = [0, 2, 1, 3, 4]> (a)\n c = Reshape (t, joined)\n"
        "y = Conv<pads = [1, 1, 1, 1]> (c, w1, b1)"
    )
    weights = some.stem(dead=(1, 3, 5, 7)) | some.layer(1, 3, 8, 3, 3)
    return graph(X, IMAGE, STEM + body, weights | {"apart": whole(0, 2, 4, 8, 8), "joined": whole(0, 8, 8, 8)})


@pattern({"r": (1, 5, 6)}, removed=2)
def channel_shuffle_unevenly(some: Numbers) -> onnx.ModelProto:
    body = (
        "a = Reshape (r, apart)\n t = Transpose<perm = [0, 2, 1, 3, 4]> (a)\n c = Reshape (t, joined)\n"
        "d = Conv<group = 8, pads = [1, 1, 1, 1]> (c, w1, b1)\n y = Conv (d, w2, b2)"
    )
    weights = some.stem(dead=(1, 5, 6)) | some.layer(1, 8, 1, 3, 3) | some.layer(2, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, weights | {"apart": whole(-1, 2, 4, 8, 8), "joined": whole(-1, 8, 8, 8)})


# Gates and heads


def squeeze(some: Numbers, pool: str, gate: str) -> onnx.ModelProto:
    body = (
        f"p = {pool} (r)\n g = Conv (p, w1, b1)\n q = Relu (g)\n k = Conv (q, w2, b2)\n"
        f"gate = {gate} (k)\n a = Mul (r, gate)\n y = Conv{SAME} (a, w3, b3)"
    )
    weights = (
        some.layer(1, 4, 8, 1, 1, dead=(2,))
        | {"b1": some.bias(4, (2,)) + 64}
        | some.layer(2, 8, 4, 1, 1)
        | some.layer(3, 3, 8, 3, 3)
    )
    return after_stem(some, IMAGE, body, **weights)


EXCITED = {"w0": (5, 2, 3, 3), "w1": (3, 5, 1, 1), "w2": (5, 3, 1, 1), "w3": (3, 5, 3, 3)}


@pattern({"r": (1, 4, 6), "q": (2,), "gate": (1,)}, shapes=EXCITED)
def squeeze_and_excite_without_rounding(some: Numbers) -> onnx.ModelProto:
    """The gate's own writer loses the channel too, since a product with zero is zero."""
    return squeeze(some, "GlobalMaxPool", "HardSigmoid<alpha = 0.00390625, beta = 0.5>")


@pattern({"r": (1, 4, 6), "q": (2,)}, shapes=EXCITED, exact=False)
def squeeze_and_excite(some: Numbers) -> onnx.ModelProto:
    return squeeze(some, "GlobalAveragePool", "Sigmoid")


@pattern(also={"r": (2, 5)})
def gated_by_a_mask(some: Numbers) -> onnx.ModelProto:
    """The mask silences two units that live."""
    mask = np.ones((1, 8, 1, 1), np.float32)
    mask[:, [2, 5]] = 0
    return after_stem(
        some, IMAGE, f"a = Mul (r, mask)\n y = Conv{SAME} (a, w1, b1)", mask=mask, **some.layer(1, 3, 8, 3, 3)
    )


@pattern(shapes={"w1": (5, 2, 3, 3)})
def gated_by_another_branch(some: Numbers) -> onnx.ModelProto:
    body = f"g = Conv{SAME} (x, w1, b1)\n a = Mul (g, r)\n y = Conv{SAME} (a, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 8, 2, 3, 3), **some.layer(2, 3, 8, 3, 3))


def heads(
    some: Numbers, dead: tuple[int, ...], silent_rows: tuple[int, ...], weigh: str = "Identity"
) -> onnx.ModelProto:
    """Attention of four heads of two, whose values are rectified; linear unless the scores are weighed."""
    body = (
        "q = MatMul (x, wq)\n k = MatMul (x, wk)\n v = MatMul (x, wv)\n vb = Add (v, bv)\n r = Relu (vb)\n"
        "q4 = Reshape (q, apart)\n qt = Transpose<perm = [0, 2, 1, 3]> (q4)\n"
        "k4 = Reshape (k, apart)\n kt = Transpose<perm = [0, 2, 3, 1]> (k4)\n"
        "r4 = Reshape (r, apart)\n rt = Transpose<perm = [0, 2, 1, 3]> (r4)\n"
        f"a0 = MatMul (qt, kt)\n a = {weigh} (a0)\n c = MatMul (a, rt)\n ct = Transpose<perm = [0, 2, 1, 3]> (c)\n"
        "m = Reshape (ct, joined)\n o = MatMul (m, wo)\n y = Add (x, o)"
    )
    wo = some.weights(8, 6)
    wo[list(silent_rows)] = 0
    weights = {"wq": some.weights(6, 8), "wk": some.weights(6, 8), "wv": some.weights(6, 8), "bv": some.bias(8, dead)}
    shapes = {"apart": whole(0, 0, 4, 2), "joined": whole(0, 0, 8)}
    return graph("float[n, 5, 6] x", "float[n, 5, 6] y", body, weights | {"wo": wo} | shapes)


LESS_BY_A_HEAD = {"wq": (6, 6), "wk": (6, 6), "wv": (6, 6), "wo": (6, 6)}


@pattern({"r": (2, 3)}, shapes=LESS_BY_A_HEAD)
def head_of_dead_values(some: Numbers) -> onnx.ModelProto:
    return heads(some, dead=(2, 3), silent_rows=())


@pattern({"r": (2, 3)}, shapes=LESS_BY_A_HEAD, exact=False)
def head_of_dead_values_with_softmax(some: Numbers) -> onnx.ModelProto:
    return heads(some, dead=(2, 3), silent_rows=(), weigh="Softmax")


@pattern({"r": (4,)}, also={"r": (5,)}, shapes=LESS_BY_A_HEAD)
def head_whose_output_rows_are_zero(some: Numbers) -> onnx.ModelProto:
    return heads(some, dead=(4,), silent_rows=(4, 5))


@pattern({"r": (1, 3, 5, 7)}, removed=0)
def dead_value_at_the_same_place_in_every_head(some: Numbers) -> onnx.ModelProto:
    return heads(some, dead=(1, 3, 5, 7), silent_rows=())
