"""Small pruning patterns: single channels, axes that are filled, stretched or folded, and sizes in the numbers."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_kit import DEAD, NORM, STEM, Numbers, X, after_stem, pattern, whole

IMAGE = "float[n, c, a, b] y"
OPEN = "float[n, 2, a, b] x"
SAME = "<pads = [1, 1, 1, 1]>"
EDGES = whole(0, 1, 1, 0, 0, 2, 1, 0)
FRAME = whole(0, 0, 1, 1, 0, 0, 1, 1)


# Down to one channel


@pattern()
def slice_of_one_channel_as_a_mask(some: Numbers) -> onnx.ModelProto:
    body = "s = Slice (r, from, to, axis)\n q = Conv (r, w1, b1)\n p = Mul (q, s)\n y = Conv (p, w2, b2)"
    weights = some.layer(1, 4, 8, 1, 1) | some.layer(2, 3, 4, 1, 1)
    return after_stem(some, IMAGE, body, **weights, **{"from": whole(3), "to": whole(4), "axis": whole(1)})


@pattern(also={"r": (0, 2, 5, 7)})
def slice_of_one_channel_is_all_there_is(some: Numbers) -> onnx.ModelProto:
    body = "s = Slice (r, from, to, axis)\n y = Conv (s, w1, b1)"
    return after_stem(
        some, IMAGE, body, **some.layer(1, 4, 1, 1, 1), **{"from": whole(3), "to": whole(4)}, axis=whole(1)
    )


@pattern()
def split_off_one_channel(some: Numbers) -> onnx.ModelProto:
    body = "s, t = Split<axis = 1> (r, sizes)\n q = Conv (t, w1, b1)\n p = Mul (q, s)\n y = Conv (p, w2, b2)"
    weights = some.layer(1, 4, 7, 1, 1) | some.layer(2, 3, 4, 1, 1)
    return after_stem(some, IMAGE, body, **weights, sizes=whole(1, 7))


@pattern({"r": (0, 1, 4)}, removed=2, kept=["shape"])
def split_off_one_dead_channel(some: Numbers) -> onnx.ModelProto:
    body = "s, t = Split<axis = 1> (r, sizes)\n q = Conv (t, w1, b1)\n p = Mul (q, s)\n y = Conv (p, w2, b2)"
    weights = some.stem((0, 1, 4)) | some.layer(1, 4, 7, 1, 1) | some.layer(2, 3, 4, 1, 1)
    return graph(X, IMAGE, STEM + body, weights | {"sizes": whole(1, 7)})


@pattern()
def concat_with_one_channel_that_nobody_reads(some: Numbers) -> onnx.ModelProto:
    body = "q = Conv (x, w2, b2)\n c = Concat<axis = 1> (r, q)\n y = Conv (c, w1, b1)"
    unread = some.weights(3, 9, 1, 1)
    unread[:, 8] = 0
    return after_stem(some, IMAGE, body, w1=unread, b1=some.bias(3), **some.layer(2, 1, 2, 1, 1))


@pattern(exact=False)
def concat_with_one_number(some: Numbers) -> onnx.ModelProto:
    """Everything but the channels has size one, the batch included."""
    body = (
        "h = Conv (x, w0, b0)\n r = Relu (h)\n p = GlobalAveragePool (r)\n"
        "q = GlobalAveragePool (x)\n u = Conv (q, w2, b2)\n c = Concat<axis = 1> (p, u)\n y = Conv (c, w1, b1)"
    )
    weights = some.stem() | some.layer(1, 3, 9, 1, 1) | some.layer(2, 1, 2, 1, 1)
    return graph("float[1, 2, 8, 8] x", "float[1, 3, 1, 1] y", body, weights)


# Halves of the channels


def halves(
    some: Numbers, body: str, *bounds: int, dead: tuple[int, ...] = DEAD, **weights: np.ndarray
) -> onnx.ModelProto:
    """The channels in two parts ``a`` and ``b``: start, end and step of either."""
    cut = "a = Slice (r, from, to, axis, by)\n b = Slice (r, from_b, to_b, axis, by_b)\n"
    numbers = dict(zip(("from", "to", "by", "from_b", "to_b", "by_b"), map(whole, bounds), strict=True))
    return graph(X, IMAGE, STEM + cut + body, some.stem(dead) | weights | numbers | {"axis": whole(1)})


FRONT_AND_BACK = (0, 4, 1, 4, 8, 1)
REJOINED = "c = Concat<axis = 1> (b, a)\n y = Conv (c, w1, b1)"
NO_END = int(np.iinfo(np.int64).max)


@pattern()
def halves_rejoined(some: Numbers) -> onnx.ModelProto:
    return halves(some, REJOINED, *FRONT_AND_BACK, **some.layer(1, 3, 8, 1, 1))


@pattern()
def halves_by_negative_bounds(some: Numbers) -> onnx.ModelProto:
    return halves(some, REJOINED, -8, -4, 1, -4, NO_END, 1, **some.layer(1, 3, 8, 1, 1))


@pattern()
def halves_in_turn(some: Numbers) -> onnx.ModelProto:
    return halves(some, REJOINED, 0, NO_END, 2, -1, -NO_END, -2, **some.layer(1, 3, 8, 1, 1))


@pattern()
def parts_that_overlap(some: Numbers) -> onnx.ModelProto:
    return halves(some, REJOINED, 0, 6, 1, 0, 5, 2, **some.layer(1, 3, 9, 1, 1))


@pattern({"r": (0, 1, 4)}, removed=2, kept=["residual-partner-alive"])
def halves_added_to_each_other(some: Numbers) -> onnx.ModelProto:
    """Units 0 and 4 meet, both dead; unit 1 meets a living one."""
    body = "c = Add (a, b)\n y = Conv (c, w1, b1)"
    return halves(some, body, *FRONT_AND_BACK, dead=(0, 1, 4), **some.layer(1, 3, 4, 3, 3))


@pattern()
def halves_beside_a_reader_of_the_whole(some: Numbers) -> onnx.ModelProto:
    body = "c = Concat<axis = 1> (a, r)\n y = Conv (c, w1, b1)"
    return halves(some, body, *FRONT_AND_BACK, **some.layer(1, 3, 12, 1, 1))


@pattern({"r": DEAD, "q": (2,)})
def halves_one_of_which_goes_through_a_layer(some: Numbers) -> onnx.ModelProto:
    """As in cross-stage partial networks."""
    body = f"g = Conv{SAME} (b, w1, b1)\n q = Relu (g)\n c = Concat<axis = 1> (a, b, q)\n y = Conv (c, w2, b2)"
    layers = some.layer(1, 4, 4, 3, 3, dead=(2,)) | some.layer(2, 3, 12, 1, 1)
    return halves(some, body, *FRONT_AND_BACK, **layers)


@pattern({"r": (0, 1, 2, 3)})
def half_that_is_dead_as_a_whole(some: Numbers) -> onnx.ModelProto:
    return halves(some, REJOINED, *FRONT_AND_BACK, dead=(0, 1, 2, 3), **some.layer(1, 3, 8, 1, 1))


@pattern()
def halves_of_a_vector(some: Numbers) -> onnx.ModelProto:
    body = (
        "p = GlobalAveragePool (r)\n f = Flatten (p)\n a = Slice (f, zero, four, one)\n"
        "b = Slice (f, four, end, one)\n u = Gemm (a, w1, b1)\n v = Gemm (b, w2, b2)\n y = Add (u, v)"
    )
    names = {"zero": whole(0), "four": whole(4), "end": whole(NO_END), "one": whole(1)}
    layers = {"w1": some.weights(4, 3), "b1": some.bias(3), "w2": some.weights(4, 3), "b2": some.bias(3)}
    return after_stem(some, "float[n, 3] y", body, **layers, **names)


@pattern({"r": (1, 4, 6), "q": (0, 3, 5)})
def every_other_entry_of_two_channel_axes(some: Numbers) -> onnx.ModelProto:
    """Both axes of an outer product lose entries, and one Slice steps along both."""
    body = (
        "g = Conv<pads = [1, 1, 1, 1]> (x, w1, b1)\n q = Relu (g)\n p = GlobalMaxPool (r)\n o = GlobalMaxPool (q)\n"
        "p3 = Squeeze (p, last)\n o3 = Squeeze (o, last)\n ot = Transpose<perm = [0, 2, 1]> (o3)\n m = Mul (p3, ot)\n"
        "s = Slice (m, ends, stops, axes, steps)\n t = MatMul (s, w2)\n z = Transpose<perm = [0, 2, 1]> (t)\n"
        "y = MatMul (z, w3)"
    )
    bounds = {"ends": whole(0, -1), "stops": whole(NO_END, -NO_END), "axes": whole(1, 2), "steps": whole(2, -2)}
    layers = some.layer(1, 8, 2, 3, 3, dead=(0, 3, 5)) | {"w2": some.weights(4, 3), "w3": some.weights(4, 2)}
    return after_stem(some, "float[n, 3, 2] y", body, **layers, **bounds, last=whole(3))


# Filled, stretched, folded


@pattern(also={"r": (0,)})
def crop_and_pad_at_once(some: Numbers) -> onnx.ModelProto:
    body = "d = Pad (r, pads)\n e = Slice (d, from, to, axes)\n y = Conv (e, w1, b1)"
    bounds = {"from": whole(0, 1), "to": whole(8, 7), "axes": whole(1, 2), "pads": whole(0, -1, 1, 0, 0, 2, 1, 0)}
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 1, 1), **bounds)


@pattern()
def pad_and_slice_along_two_axes(some: Numbers) -> onnx.ModelProto:
    body = "d = Pad (r, pads)\n e = Slice (d, from, to, axes)\n y = Conv (e, w1, b1)"
    bounds = {"from": whole(2, 1), "to": whole(10, 7), "axes": whole(1, 2), "pads": EDGES}
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 1, 1), **bounds)


@pattern(removed=2, kept=["border-constant"])
def padded_with_another_number(some: Numbers) -> onnx.ModelProto:
    body = "d = Pad (r, pads, number)\n y = Conv (d, w1, b1)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 3, 3), pads=FRAME, number=np.array(2, np.float32))


@pattern(removed=2, kept=["border-constant"])
def constants_padded_with_nothing(some: Numbers) -> onnx.ModelProto:
    """Every constant is itself within and zero at the border: multiples of one another, whatever the size."""
    body = f"n = {NORM} (r, s, t, m, v)\n d = Pad (n, pads)\n y = Conv (d, w1, b1)"
    weights = some.stem() | some.layer(1, 3, 8, 3, 3) | some.norm() | {"m": np.zeros(8, np.float32)}
    return graph(OPEN, IMAGE, STEM + body, weights | {"pads": FRAME})


@pattern({"r": (1, 2, 4, 6, 7)}, removed=3, kept=["border-constant"])
def constants_of_two_kinds_at_the_border(some: Numbers) -> onnx.ModelProto:
    """Of every kind one stays: between the two that were shifted, their ratio at the border is another one."""
    body = (
        "a, b = Split<axis = 1> (r, parts)\n c = Add (b, one)\n d = Pad (a, pads, two)\n e = Pad (c, pads, two)\n"
        "f = Concat<axis = 1> (d, e)\n g = Abs (f)\n y = Conv (g, w1, b1)"
    )
    layers = some.stem((1, 2, 4, 6, 7)) | some.layer(1, 3, 8, 3, 3) | {"parts": whole(5, 3), "pads": FRAME}
    numbers = {"one": np.array(1, np.float32), "two": np.array(2, np.float32)}
    return graph(X, IMAGE, STEM + body, layers | numbers)


@pattern({"r": (1, 2, 5, 6)}, removed=2, kept=["border-constant"])
def padded_with_another_number_in_every_group(some: Numbers) -> onnx.ModelProto:
    body = "d = Pad (r, pads, two)\n g = Conv<group = 2> (d, w1, b1)\n y = Conv (g, w2, b2)"
    layers = some.stem((1, 2, 5, 6)) | some.layer(1, 8, 4, 3, 3) | some.layer(2, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, layers | {"pads": FRAME, "two": np.array(2, np.float32)})


@pattern()
def padded_with_another_number_and_unrolled(some: Numbers) -> onnx.ModelProto:
    """Position by position it is a constant like any other."""
    body = "d = Pad (r, pads, two)\n p = MaxPool<kernel_shape = [5, 5], strides = [5, 5]> (d)\n f = Flatten (p)\n"
    layers = some.layer(1, 3, 32) | {"pads": FRAME, "two": np.array(2, np.float32)}
    return after_stem(some, "float[n, 3] y", body + "y = Gemm<transB = 1> (f, w1, b1)", **layers)


@pattern()
def padded_with_another_number_and_averaged(some: Numbers) -> onnx.ModelProto:
    body = "d = Pad (r, pads, two)\n p = GlobalAveragePool (d)\n f = Flatten (p)\n y = Gemm<transB = 1> (f, w1, b1)"
    layers = some.layer(1, 3, 8) | {"pads": whole(0, 0, 4, 4, 0, 0, 4, 4), "two": np.array(2, np.float32)}
    return after_stem(some, "float[n, 3] y", body, **layers)


@pattern()
def channels_reflected_at_their_edge(some: Numbers) -> onnx.ModelProto:
    body = 'd = Pad<mode = "reflect"> (r, pads)\n y = Conv (d, w1, b1)'
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 11, 1, 1), pads=EDGES)


@pattern()
def channels_twice(some: Numbers) -> onnx.ModelProto:
    body = 'd = Resize<mode = "nearest"> (r, , scales)\n y = Conv (d, w1, b1)'
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 16, 1, 1), scales=np.array([1, 2, 1, 1], np.float32))


@pattern(removed=0, kept=["combined-axis"])
def channels_one_and_a_half_times(some: Numbers) -> onnx.ModelProto:
    """Which channels come twice depends on how many there are."""
    body = 'd = Resize<mode = "nearest"> (r, , scales)\n y = Conv (d, w1, b1)'
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 12, 1, 1), scales=np.array([1, 1.5, 1, 1], np.float32))


@pattern({"r": (0, 1, 2)}, removed=0, kept=["combined-axis"])
def four_channels_into_one_and_back(some: Numbers) -> onnx.ModelProto:
    body = "d = DepthToSpace<blocksize = 2> (r)\n e = SpaceToDepth<blocksize = 2> (d)\n y = Conv (e, w1, b1)"
    return graph(X, IMAGE, STEM + body, some.layer(0, 4, 2, 3, 3, dead=(0, 1, 2)) | some.layer(1, 3, 4, 1, 1))


@pattern({"r": (1, 3, 5, 7)})
def eight_channels_into_two_and_back(some: Numbers) -> onnx.ModelProto:
    """One of the two is dead."""
    body = "d = DepthToSpace<blocksize = 2> (r)\n e = SpaceToDepth<blocksize = 2> (d)\n y = Conv (e, w1, b1)"
    return graph(X, IMAGE, STEM + body, some.stem((1, 3, 5, 7)) | some.layer(1, 3, 8, 1, 1))


# Dead as a whole, at any size


def dead_branch(some: Numbers, body: str, **weights: np.ndarray) -> onnx.ModelProto:
    """An image of open size, a branch ``q`` of eight dead channels, and what follows."""
    branch = f"g = Conv{SAME} (r, w1, b1)\n q = Relu (g)\n q1 = Add (q, level)\n"
    layers = some.stem() | some.layer(1, 8, 8, 3, 3, dead=range(8)) | some.layer(3, 3, 8, 1, 1)
    return graph(OPEN, IMAGE, STEM + branch + body, layers | {"level": np.array([2], np.float32)} | weights)


BOTH = {"r": (1, 4, 6), "q": tuple(range(8))}


@pattern(BOTH)
def constant_that_grows_with_the_image_multiplies(some: Numbers) -> onnx.ModelProto:
    body = "k = ReduceSum<keepdims = 1> (q1, axes)\n a = Mul (r, k)\n y = Conv (a, w3, b3)"
    return dead_branch(some, body, axes=whole(2, 3))


@pattern(BOTH, removed=8, kept=["uneven-constant"])
def constant_that_grows_with_the_image_is_added(some: Numbers) -> onnx.ModelProto:
    body = "k = ReduceSum<keepdims = 1> (q1, axes)\n a = Add (r, k)\n y = Conv (a, w3, b3)"
    return dead_branch(some, body, axes=whole(2, 3))


@pattern(BOTH, removed=8)
def constant_counts_the_positions(some: Numbers) -> onnx.ModelProto:
    body = "k = CumSum (q1, axis)\n a = Add (r, k)\n y = Conv (a, w3, b3)"
    return dead_branch(some, body, axis=np.array(3))


@pattern(BOTH)
def constant_for_any_size(some: Numbers) -> onnx.ModelProto:
    body = f"k = {NORM} (q1, s, t, m, v)\n p = GlobalAveragePool (k)\n a = Mul (r, p)\n y = Conv (a, w3, b3)"
    return dead_branch(some, body, **some.norm())


@pattern()
def divided_by_how_many_there_are(some: Numbers) -> onnx.ModelProto:
    """As many as there were: a multiple of it comes back. Powers of two, so that nothing is rounded."""
    body = "k = Size (r)\n f = Cast<to = 1> (k)\n d = Div (r, f)\n y = Conv (d, w1, b1)"
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 1, 1))


@pattern()
def divided_by_a_length(some: Numbers) -> onnx.ModelProto:
    body = (
        "k = Shape (r)\n p = Gather (k, at)\n f = Cast<to = 1> (p)\n d = Div (r, f)\n e = Add (d, one)\n"
        "y = Conv (e, w1, b1)"
    )
    return after_stem(some, IMAGE, body, **some.layer(1, 3, 8, 1, 1), at=np.array(1), one=np.array(1, np.float32))


@pattern()
def masked_with_zeros(some: Numbers) -> onnx.ModelProto:
    """Zero where the mask is, and zero where it is not."""
    body = (
        "s = ReduceSum<keepdims = 1> (x, axis)\n k = Greater (s, zero)\n m = Where (k, r, zero)\n y = Conv (m, w1, b1)"
    )
    layers = some.stem() | some.layer(1, 3, 8, 1, 1) | {"axis": whole(1), "zero": np.array(0, np.float32)}
    return graph(X, IMAGE, f"{STEM}{body}", layers)


@pattern()
def picked_between_a_constant_and_the_same(some: Numbers) -> onnx.ModelProto:
    body = (
        "s = ReduceSum<keepdims = 1> (x, axis)\n k = Greater (s, zero)\n a = Add (r, shift)\n"
        "m = Where (k, shift, a)\n y = Conv (m, w1, b1)"
    )
    held = {"axis": whole(1), "zero": np.array(0, np.float32), "shift": some.bias().reshape(8, 1, 1)}
    return graph(X, IMAGE, f"{STEM}{body}", some.stem() | some.layer(1, 3, 8, 1, 1) | held)


@pattern(removed=0, kept=["partner-alive"])
def picked_between_zero_and_another_number(some: Numbers) -> onnx.ModelProto:
    body = (
        "s = ReduceSum<keepdims = 1> (x, axis)\n k = Greater (s, zero)\n m = Where (k, r, one)\n y = Conv (m, w1, b1)"
    )
    held = {"axis": whole(1), "zero": np.array(0, np.float32), "one": np.array(1, np.float32)}
    return graph(X, IMAGE, f"{STEM}{body}", some.stem() | some.layer(1, 3, 8, 1, 1) | held)


# Who stands in the way


@pattern({"r": (1, 4, 6)}, removed=0, kept=["graph-input"])
def added_to_an_input(some: Numbers) -> onnx.ModelProto:
    body = f"h = Conv{SAME} (x, w0, b0)\n r = Relu (h)\n a = Add (x, r)\n y = Conv (a, w1, b1)"
    weights = some.layer(0, 8, 8, 3, 3, dead=(1, 4, 6)) | some.layer(1, 3, 8, 1, 1)
    return graph("float[n, 8, 8, 8] x", IMAGE, body, weights)


@pattern(removed=0, kept=["uneven-constant"])
def position_embedding_is_added(some: Numbers) -> onnx.ModelProto:
    return after_stem(
        some, IMAGE, "a = Add (r, e)\n y = Conv (a, w1, b1)", e=some.weights(8, 8, 8), **some.layer(1, 3, 8, 1, 1)
    )


@pattern(removed=0, kept=["residual-partner-alive"])
def living_partner_in_the_second_place(some: Numbers) -> onnx.ModelProto:
    body = f"g = Conv{SAME} (x, w1, b1)\n a = Add (g, r)\n y = Conv (a, w2, b2)"
    return after_stem(some, IMAGE, body, **some.layer(1, 8, 2, 3, 3), **some.layer(2, 3, 8, 1, 1))


@pattern({"r": (1, 4, 6), "q": (1, 4, 6)}, removed=0, kept=["combined-axis"], exact=False)
def normalised_behind_the_sum(some: Numbers) -> onnx.ModelProto:
    """It is not the partner that stands in the way: it is silent as well."""
    body = (
        f"g = Conv{SAME} (x, w1, b1)\n q = Relu (g)\n a = Add (q, r)\n s = Softmax<axis = 1> (a)\n y = Conv (s, w2, b2)"
    )
    layers = some.layer(1, 8, 2, 3, 3, dead=(1, 4, 6)) | some.layer(2, 3, 8, 1, 1)
    return after_stem(some, IMAGE, body, **layers)


# Found by trying odd models


@pattern()
def mask_spread_to_the_shape_of_what_it_masks(some: Numbers) -> onnx.ModelProto:
    body = "f = Shape (r)\n e = Expand (v, f)\n m = Mul (r, e)\n y = Conv (m, w1, b1)"
    return after_stem(some, IMAGE, body, v=some.weights(8, 1, 1), **some.layer(1, 3, 8, 1, 1))


@pattern({"r": (1, 2, 5, 6)}, removed=2, kept=["border-constant"], exact=False)
def constants_carried_in_every_group(some: Numbers) -> onnx.ModelProto:
    """One position is kept in both groups, and its constants carry those of the other."""
    body = f"n = {NORM} (r, s, t, m, v)\n g = Conv<group = 2, pads = [1, 1, 1, 1]> (n, w1, b1)\n y = Conv (g, w2, b2)"
    layers = some.stem((1, 2, 5, 6)) | some.layer(1, 8, 4, 3, 3) | some.layer(2, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, layers | some.norm())
