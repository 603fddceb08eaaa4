"""Small pruning patterns for ``scatter``: silent channels whose partners live, and what then goes."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graphs import graph
from tests.prune_kit import STEM, Numbers, Pattern, X

IMAGE = "float[n, 3, a, b] y"
SAME = "<pads = [1, 1, 1, 1]>"


def dead_in_a_branch(some: Numbers) -> onnx.ModelProto:
    """The other summand lives."""
    body = "k = Conv (x, w1, b1)\n s = Conv<pads = [2, 2, 2, 2]> (k, w3)\n a = Add (r, s)\n z = Relu (a)\n"
    weights = some.stem() | some.layer(1, 8, 2, 3, 3) | {"w3": some.weights(8, 8, 3, 3)} | some.layer(2, 3, 8, 3, 3)
    return graph(X, IMAGE, f"{STEM} {body} y = Conv{SAME} (z, w2, b2)", weights)


def dead_in_the_first_summand_of_a_difference(some: Numbers) -> onnx.ModelProto:
    body = f"p = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r)\n k = Conv{SAME} (x, w1, b1)\n"
    weights = some.stem() | some.layer(1, 8, 2, 3, 3) | some.layer(2, 3, 8, 3, 3)
    return graph(X, IMAGE, f"{STEM} {body} a = Sub (p, k)\n y = Conv{SAME} (a, w2, b2)", weights)


def too_few_dead_in_a_branch(some: Numbers) -> onnx.ModelProto:
    body = f"k = Conv{SAME} (x, w1, b1)\n a = Add (r, k)\n y = Conv{SAME} (a, w2, b2)"
    weights = some.stem(dead=(3,)) | some.layer(1, 8, 2, 3, 3) | some.layer(2, 3, 8, 3, 3)
    return graph(X, IMAGE, f"{STEM} {body}", weights)


def dead_behind_the_sum_and_revived(some: Numbers) -> onnx.ModelProto:
    """The sum itself goes on into another one."""
    body = (
        f"k = Conv{SAME} (r, w1, b1)\n a = Add (r, k)\n m = Sub (a, shift)\n z = Relu (m)\n u = Conv (z, w2, b2)\n"
        "q = Relu (u)\n c = Add (q, a)\n y = Conv (c, w3, b3)"
    )
    shift = np.zeros((8, 1, 1), np.float32)
    shift[[1, 4, 6]] = 2**14
    weights = some.layer(1, 8, 8, 3, 3) | some.layer(2, 8, 8, 1, 1) | some.layer(3, 3, 8, 1, 1) | {"shift": shift}
    return graph(X, IMAGE, f"{STEM} {body}", some.stem(dead=()) | weights)


def dead_in_a_stream_that_goes_on(some: Numbers) -> onnx.ModelProto:
    """A ResNet's: the rectified sum is read by a convolution, and goes into the next sum."""
    body = (
        f"k = Conv{SAME} (x, w1, b1)\n j = Conv{SAME} (x, w4, b4)\n a = Add (j, k)\n m = Sub (a, shift)\n"
        f"z = Relu (m)\n u = Conv{SAME} (z, w2, b2)\n c = Add (z, u)\n q = Relu (c)\n g = Conv (q, w3, b3)\n"
        "v = Conv (j, w5, b5)\n y = Add (g, v)"
    )
    shift = np.zeros((8, 1, 1), np.float32)
    shift[[1, 4, 6]] = 2**14
    weights = some.layer(1, 8, 2, 3, 3) | some.layer(2, 8, 8, 3, 3) | some.layer(3, 3, 8, 1, 1) | {"shift": shift}
    return graph(X, IMAGE, body, weights | some.layer(4, 8, 2, 3, 3) | some.layer(5, 3, 8, 1, 1))


def dead_behind_one_of_two_depthwise_convolutions(some: Numbers) -> onnx.ModelProto:
    """What goes into both lives: each computes its own channels."""
    depthwise = "Conv<group = 8, pads = [1, 1, 1, 1]>"
    body = (
        f"d = {depthwise} (r, w1, b1)\n q = Relu (d)\n p = Conv (q, w2, b2)\n e = {depthwise} (r, w3, b3)\n"
        "z = Relu (e)\n o = Conv (z, w4, b4)\n y = Sub (p, o)"
    )
    weights = some.layer(1, 8, 1, 3, 3, dead=(1, 4, 6)) | some.layer(2, 3, 8, 1, 1)
    weights |= some.layer(3, 8, 1, 3, 3, dead=(0, 4)) | some.layer(4, 3, 8, 1, 1)
    return graph(X, IMAGE, STEM + body, some.stem(dead=()) | weights)


def dead_behind_a_depthwise_convolution_of_a_concat(some: Numbers) -> onnx.ModelProto:
    body = (
        f"g = Conv{SAME} (x, w1, b1)\n c = Concat<axis = 1> (r, g)\n d = Conv<group = 16> (c, w2, b2)\n"
        "q = Relu (d)\n p = Conv (q, w3, b3)\n t = GlobalMaxPool (c)\n o = Conv (t, w4, b4)\n y = Add (p, o)"
    )
    weights = some.layer(1, 8, 2, 3, 3) | some.layer(2, 16, 1, 3, 3, dead=(2, 3, 9)) | some.layer(3, 3, 16, 1, 1)
    return graph(X, IMAGE, STEM + body, some.stem(dead=()) | weights | some.layer(4, 3, 16, 1, 1))


def dead_in_a_body(some: Numbers) -> onnx.ModelProto:
    """What is rectified within a branch lives outside of it; the data goes the other way once."""
    body = (
        f"h = Conv{SAME} (x, w0, b0)\n y = If (flag) <then_branch = some () => (float[n, 3, a, b] p) {{"
        " m = Sub (h, shift)\n z = Relu (m)\n k = Conv (z, w1, b1)\n g = Conv (h, w3, b3)\n p = Add (k, g) },"
        " else_branch = other () => (float[n, 3, a, b] q) { q = Conv (h, w2, b2) }>"
    )
    shift = np.zeros((8, 1, 1), np.float32)
    shift[[1, 4, 6]] = 2**14
    weights = some.stem(dead=()) | some.layer(1, 3, 8, 3, 3) | some.layer(2, 3, 8, 3, 3) | some.layer(3, 3, 8, 3, 3)
    return graph(f"{X}, bool flag", IMAGE, body, weights | {"shift": shift})


def in_an_old_opset(some: Numbers) -> onnx.ModelProto:
    """The padding is an attribute."""
    body = f"k = Conv{SAME} (x, w1, b1)\n a = Add (k, r)\n y = Conv{SAME} (a, w2, b2)"
    weights = some.stem() | some.layer(1, 8, 2, 3, 3) | some.layer(2, 3, 8, 3, 3)
    return graph(X, IMAGE, f"{STEM} {body}", weights, opset=9)


def one_weight_at_two_places(some: Numbers) -> onnx.ModelProto:
    """What reads the second could do without the dead channels, but the weight needs them at the first: none goes."""
    body = (
        f"h = Conv{SAME} (x, w0, b0)\n q = Relu (h)\n k = Conv{SAME} (q, w1, b1)\n r = Relu (k)\n"
        f"l = Conv{SAME} (r, w1, b1)\n z = Relu (l)\n p = GlobalMaxPool (z)\n y = Conv (p, w2, b2)"
    )
    weights = some.stem(dead=()) | some.layer(1, 8, 8, 3, 3, dead=(1, 4, 6)) | some.layer(2, 3, 8, 1, 1)
    return graph(X, IMAGE, body, weights)


DETOURS = (
    Pattern(dead_in_a_branch, {"r": (1, 4, 6), "z": ()}, 3),
    Pattern(dead_in_the_first_summand_of_a_difference, {"r": (1, 4, 6)}, 3),
    Pattern(too_few_dead_in_a_branch, {"r": (3,)}, 0, kept=frozenset({"residual-partner-alive"})),
    Pattern(dead_behind_the_sum_and_revived, {"r": (), "z": (1, 4, 6), "q": ()}, 3),
    Pattern(dead_in_a_stream_that_goes_on, {"z": (1, 4, 6), "q": ()}, 3),
    Pattern(dead_behind_one_of_two_depthwise_convolutions, {"r": (), "q": (1, 4, 6), "z": (0, 4)}, 5),
    Pattern(dead_behind_a_depthwise_convolution_of_a_concat, {"r": (), "q": (2, 3, 9)}, 3),
    Pattern(dead_in_a_body, {"z": (1, 4, 6)}, 3, feed={"flag": np.bool_(True)}),
    Pattern(
        one_weight_at_two_places, {"q": (), "r": (1, 4, 6)}, 0, kept=frozenset({"shared-weights", "partner-alive"})
    ),
    Pattern(in_an_old_opset, {"r": (1, 4, 6)}, 3),
)
