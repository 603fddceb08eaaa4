"""Cases for tables of structure that have few rows each: lists of sizes, products, fused operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
from onnx import helper

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.model.fused import unfuse
from relu_audit.network.extents import Extent, elements
from relu_audit.network.normalize import normalize
from relu_audit.values import products
from tests.graphs import graph
from tests.move_cases import whole
from tests.prune_checks import session

MS = "com.microsoft"
RNG = np.random.default_rng(3)


# Lists of sizes


@dataclass(frozen=True)
class Sizes:
    """Nodes from ``x``, of three open axes, to a list ``y``.

    Attributes:
        body: The nodes.
        weights: What else they read.
        opset: Version of the operator set.
        unknown: Places of the list that nothing tells.
    """

    body: str
    weights: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    opset: int = 18
    unknown: tuple[int, ...] = ()

    def model(self) -> onnx.ModelProto:
        made = graph("float[a, 5, c] x", "int64 y", f"s = Shape (x)\n {self.body}", self.weights, self.opset)
        made.graph.output[0].ClearField("type")
        return made


PAIR = {"p": whole(6, 10)}
SIZES: Mapping[str, Sequence[Sizes]] = {
    "Shape": [
        Sizes("y = Identity (s)"),
        Sizes("y = Shape <start = 1> (x)"),
        Sizes("y = Shape <start = -2, end = -1> (x)"),
        Sizes("y = Shape <end = 2> (x)"),
    ],
    "ConstantOfShape": [
        Sizes("k = Shape (s)\n y = ConstantOfShape <value = int64[1] {7}> (k)"),
        Sizes("y = ConstantOfShape <value = int64[1] {-1}> (n)", {"n": whole(4)}),
    ],
    "Cast": [
        Sizes("k = Cast <to = 6> (s)\n y = Cast <to = 7> (k)"),
        Sizes("k = Cast <to = 1> (s)\n y = Cast <to = 7> (k)"),
    ],
    "Identity": [Sizes("y = Identity (s)")],
    "Squeeze": [Sizes("k = Gather (s, o)\n y = Squeeze (k, z)", {"o": whole(2), "z": whole(0)})],
    "Unsqueeze": [Sizes("k = Gather (s, o)\n y = Unsqueeze (k, z)", {"o": np.int64(2), "z": whole(0)})],
    "Reshape": [Sizes("y = Reshape (s, n)", {"n": whole(-1)})],
    "Concat": [Sizes("y = Concat <axis = 0> (s, p, s)", PAIR)],
    "Gather": [
        Sizes("y = Gather (s, o)", {"o": whole(2, 0)}),
        Sizes("y = Gather (s, o)", {"o": whole(-1, 1, -3)}),
        Sizes("y = Gather (s, o)", {"o": np.int64(-1)}),
    ],
    "Slice": [
        Sizes("y = Slice (s, o, e)", {"o": whole(1), "e": whole(3)}),
        Sizes("y = Slice (s, o, e, z)", {"o": whole(-2), "e": whole(2**62), "z": whole(0)}),
        Sizes("y = Slice (s, o, e, z, t)", {"o": whole(0), "e": whole(3), "z": whole(0), "t": whole(2)}),
        Sizes("y = Slice (s, o, e, z, t)", {"o": whole(-1), "e": whole(-9), "z": whole(0), "t": whole(-1)}),
        Sizes("y = Slice <starts = [1], ends = [2]> (s)", opset=9),
    ],
    "Mul": [
        Sizes("y = Mul (s, p)", {"p": whole(3)}),
        Sizes("y = Mul (p, s)", {"p": whole(2, 3, 4)}),
        Sizes("y = Mul (p, q)", {"p": whole(3), "q": whole(5)}),
        Sizes("k = Mul (s, p)\n y = Mul (k, p)", {"p": whole(3)}),
        Sizes("y = Mul (s, s)", unknown=(0, 1, 2)),
        Sizes("y = Mul (s, p)", {"p": whole(0)}, unknown=(0, 1, 2)),
    ],
    "Div": [
        Sizes("k = Mul (s, p)\n y = Div (k, q)", {"p": whole(6), "q": whole(2)}),
        Sizes("k = Shape (p)\n y = Div (q, r)", {"p": whole(0), "q": whole(17, 18), "r": whole(6)}),
        Sizes("y = Div (s, p)", {"p": whole(2)}, unknown=(0, 1, 2)),
        Sizes("k = Concat <axis = 0> (s, q)\n y = Div (k, p)", {"p": whole(2), "q": whole(-7)}, unknown=(0, 1, 2, 3)),
    ],
    "Add": [
        Sizes("k = Concat <axis = 0> (s, p)\n y = Add (k, q)", PAIR | {"q": whole(-4)}, unknown=(0, 1, 2)),
        Sizes("y = Add (p, q)", PAIR | {"q": whole(1, 2)}),
    ],
    "Sub": [
        Sizes("k = Concat <axis = 0> (s, p)\n y = Sub (k, q)", PAIR | {"q": whole(4)}, unknown=(0, 1, 2)),
        Sizes("y = Sub (q, p)", PAIR | {"q": whole(1)}),
    ],
    "Where": [
        Sizes(
            "m = ConstantOfShape <value = int64[1] {-1}> (n)\n k = Concat <axis = 0> (p, s)\n e = Equal (k, m)\n"
            "o = ConstantOfShape <value = int64[1] {1}> (n)\n y = Where (e, o, k)",
            {"n": whole(5), "p": whole(-1, 4)},
        ),
        Sizes(
            "e = Equal (p, m)\n y = Where (e, q, p)",
            {"m": whole(-1), "p": whole(-1, 4, -1), "q": whole(8, 9, 10)},
        ),
        Sizes("e = Equal (s, m)\n y = Where (e, s, q)", {"m": whole(5), "q": whole(8, 9, 10)}, unknown=(0, 1, 2)),
    ],
}
"""Cases by operator. Nodes whose operands are all constants are computed beforehand, unless a size takes part."""


def misread(case: Sizes) -> str:
    """What is read of a list that its numbers do not bear out, or not read; empty where nothing is."""
    model = case.model()
    network = normalize(open_checkpoint(model))
    value = network.model.graph.outputs[0]
    network.weights.pop(value, None) if isinstance(network.weights, dict) else None
    try:
        told = elements(network, value)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    run = session(model, optimised=False)
    for a, c in ((2, 3), (7, 11)):
        x = np.zeros((a, 5, c), np.float32)
        numbers = [int(n) for n in np.ravel(run.run(None, {"x": x})[0])]
        if told is None or len(told) != len(numbers):
            return f"{told} for {numbers}"
        for place, (one, number) in enumerate(zip(told, numbers, strict=True)):
            here = one if not isinstance(one, Extent) else x.shape[one.axis] * one.times
            if (here is None) != (place in case.unknown) or (here is not None and here != number):
                return f"{one} for {number}"
    return ""


# Products


@dataclass(frozen=True)
class Multiplied:
    """A product with a constant weight, whose data is ``x``.

    Attributes:
        body: The node.
        x: Shape of the data.
        w: Shape of the weight.
        bias: Shape of the bias; None without one.
        padded: Whether some results miss places of the kernel.
        opset: Version of the operator set.
    """

    body: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    bias: tuple[int, ...] | None = None
    padded: bool = False
    opset: int = 18

    def model(self) -> onnx.ModelProto:
        rng = np.random.default_rng(len(self.body))
        weights = {"w": rng.permutation(np.prod(self.w)).reshape(self.w).astype(np.float32) + 1}
        if self.bias is not None:
            weights["b"] = rng.integers(1, 9, self.bias).astype(np.float32)
        made = graph(f"float[{', '.join(map(str, self.x))}] x", "float y", self.body, weights, self.opset)
        made.graph.output[0].ClearField("type")
        return made


SQUARE = (1, 4, 3, 3)
PRODUCTS: Mapping[tuple[str, str], Sequence[Multiplied]] = {
    ("", "Conv"): [
        Multiplied("y = Conv (x, w, b)", (1, 4, 5, 5), (6, 4, 3, 3), (6,)),
        Multiplied("y = Conv <group = 2> (x, w, b)", (1, 4, 5), (6, 2, 3), (6,)),
        Multiplied("y = Conv <pads = [1, 1, 1, 1]> (x, w)", (1, 4, 5, 5), (6, 4, 3, 3), padded=True),
        Multiplied('y = Conv <auto_pad = "SAME_UPPER"> (x, w)', (1, 4, 5, 5), (6, 4, 3, 3), padded=True),
        Multiplied('y = Conv <auto_pad = "VALID"> (x, w)', (1, 4, 5, 5), (6, 4, 3, 3)),
    ],
    ("", "ConvTranspose"): [
        Multiplied("y = ConvTranspose (x, w, b)", SQUARE, (4, 6, 2, 2), (6,), padded=True),
        Multiplied("y = ConvTranspose <group = 2> (x, w, b)", SQUARE, (4, 3, 2, 2), (6,), padded=True),
    ],
    ("", "Gemm"): [
        Multiplied("y = Gemm <alpha = 0.5, beta = 2.0> (x, w, b)", (1, 4), (4, 6), (6,)),
        Multiplied("y = Gemm <transB = 1> (x, w, b)", (1, 4), (6, 4), (1, 6)),
        Multiplied("y = Gemm <transA = 1> (x, w)", (4, 1), (4, 6)),
        Multiplied("y = Gemm <transB = 1, alpha = 4.0> (w, x, b)", (1, 4), (6, 4), (6, 1)),
        Multiplied("y = Gemm <transA = 1> (w, x)", (4, 1), (4, 6)),
    ],
    ("", "MatMul"): [
        Multiplied("y = MatMul (x, w)", (1, 3, 4), (4, 6)),
        Multiplied("y = MatMul (w, x)", (2, 4, 1), (6, 4)),
    ],
    (MS, "FusedMatMul"): [
        Multiplied(f"y = {MS}.FusedMatMul <alpha = 0.5, transB = 1> (x, w)", (1, 4), (6, 4)),
        Multiplied(f"y = {MS}.FusedMatMul <transA = 1> (w, x)", (4, 1), (4, 6)),
        Multiplied(f"y = {MS}.FusedMatMul <transA = 1> (x, w)", (4, 1), (4, 6)),
    ],
}


def miscounted(case: Multiplied) -> str:
    """What is read of a product that its results do not bear out; empty where nothing is."""
    model = case.model()
    network = normalize(open_checkpoint(model))
    node = next(iter(network.model.graph))
    try:
        found = products.product(network, node)
        matrix = None if found is None else found.matrix(network)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if found is None or matrix is None:
        return "it is no product"
    run = session(model, optimised=False)

    def made(x: np.ndarray) -> np.ndarray:
        return np.asarray(run.run(None, {"x": x})[0]).astype(np.float64)

    at, to = found.reading.read % len(case.x), found.reading.made
    bias = made(np.zeros(case.x, np.float32))
    if to >= bias.ndim or not -bias.ndim <= to or bias.shape[to] != found.rows:
        return f"{found.rows} rows on axis {to} of {bias.shape}"
    groups, each, read, _ = matrix.shape
    if groups * read != case.x[at]:
        return f"it reads {groups * read} entries on axis {at} of {case.x}"
    for entry in range(case.x[at]):
        # One entry at one place: over all positions each number of the kernel shows once.
        x = np.zeros(case.x, np.float32)
        middle = tuple(entry if axis == at else size // 2 for axis, size in enumerate(case.x))
        x[middle] = 1
        rows = np.moveaxis(made(x) - bias, to, 0).reshape(found.rows, -1)
        for row, seen in enumerate(rows):
            group, inner = divmod(row, each)
            own = matrix[group, inner, entry % read] if entry // read == group else np.zeros(0)
            wanted = sorted(own * found.factor)
            if not np.allclose(sorted(seen[seen != 0]), wanted):
                return f"entry {entry} counts {sorted(seen[seen != 0])} in row {row}, and not {wanted}"
    return _biased(case, network, found, bias) or _bordered(case, found, made(np.ones(case.x, np.float32)) - bias)


def _biased(case: Multiplied, network: object, found: products.Product, bias: np.ndarray) -> str:
    if (found.bias is None) != (case.bias is None):
        return "a bias is missed" if found.bias is None else "there is no bias"
    if found.bias is None or found.bias.const_value is None:
        return ""
    numbers = found.bias.const_value.numpy().ravel() * found.bias_factor
    rows = np.moveaxis(bias, found.reading.made, 0).reshape(found.rows, -1)
    return "" if np.allclose(rows, numbers[:, None]) else "the bias is another"


def _bordered(case: Multiplied, found: products.Product, ones: np.ndarray) -> str:
    rows = np.moveaxis(ones, found.reading.made, 0).reshape(found.rows, -1)
    uneven = bool(np.ptp(rows, axis=1).any())
    if found.padded != case.padded or uneven != case.padded:
        return f"padded={found.padded}, and results differ at borders: {uneven}"
    return ""


# Fused operators

UNFUSED_OPSET = 20


@dataclass(frozen=True)
class Fused:
    """A fused operator, and the same in operators that can be run.

    Attributes:
        body: Nodes from ``x`` to ``y``.
        by: The same without a fused operator, where onnxruntime has no kernel for it; else it is run itself.
        x: Shape of ``x``.
        weights: What else they read.
        opset: Version of the operator set.
    """

    body: str
    by: str = ""
    x: tuple[int, ...] = (2, 8)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    opset: int = UNFUSED_OPSET

    def model(self, body: str) -> onnx.ModelProto:
        made = graph(f"float[{', '.join(map(str, self.x))}] x", "float y", body, used(body, self.weights), self.opset)
        made.graph.output[0].ClearField("type")
        made.opset_import.append(helper.make_opsetid(BLOCKED, 1))
        return made


def used(body: str, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those that a graph names."""
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    return {name: array for name, array in weights.items() if name in words}


BLOCKED = "com.microsoft.nchwc"
GIVEN = {
    "w": RNG.standard_normal((8, 8, 2, 2)).astype(np.float32),
    "m": RNG.standard_normal((8, 8)).astype(np.float32),
    "b": RNG.standard_normal(8).astype(np.float32),
    "z": RNG.standard_normal((2, 8, 4, 4)).astype(np.float32),
    "l": RNG.standard_normal((2, 4, 4, 8)).astype(np.float32),
    "v": RNG.standard_normal((16, 16, 1, 1)).astype(np.float32),
    "n": RNG.standard_normal(16).astype(np.float32),
    "low": np.float32(-0.5),
    "high": np.float32(0.75),
}
PICTURE, LAST = (2, 8, 5, 5), (2, 5, 5, 8)
TO, FRO = "perm = [0, 3, 1, 2]", "perm = [0, 2, 3, 1]"


def image(body: str, by: str = "", x: tuple[int, ...] = PICTURE, opset: int = UNFUSED_OPSET) -> Fused:
    return Fused(body, by, x, GIVEN, opset)


def row(body: str, by: str = "", opset: int = UNFUSED_OPSET) -> Fused:
    return Fused(body, by, (2, 8), GIVEN, opset)


CLIPPED = 'activation = "Clip", activation_params = [-0.5, 0.75]'
FUSED: Mapping[tuple[str, str], Sequence[Fused]] = {
    (MS, "FusedConv"): [
        image(f'y = {MS}.FusedConv <activation = "Relu", strides = [2, 1]> (x, w, b)'),
        image(f'y = {MS}.FusedConv <activation = "Relu"> (x, w, b, z)'),
        image(f"y = {MS}.FusedConv <{CLIPPED}> (x, w, b, z)"),
        image(f"y = {MS}.FusedConv <{CLIPPED}> (x, w, b)", opset=10),
    ],
    (MS, "NhwcFusedConv"): [
        image(
            f'y = {MS}.NhwcFusedConv <activation = "Relu", strides = [2, 1]> (x, w, b)',
            f"t = Transpose <{TO}> (x)\n c = Conv <strides = [2, 1]> (t, w, b)\n"
            f"r = Relu (c)\n y = Transpose <{FRO}> (r)",
            LAST,
        ),
        image(
            f'y = {MS}.NhwcFusedConv <activation = "Relu"> (x, w, b, l)',
            f"t = Transpose <{TO}> (x)\n c = Conv (t, w, b)\nd = Transpose <{FRO}> (c)\n a = Add (d, l)\n y = Relu (a)",
            LAST,
        ),
    ],
    (MS, "FusedGemm"): [
        row(f'y = {MS}.FusedGemm <activation = "Relu", alpha = 0.5, beta = 2.0, transB = 1> (x, m, b)'),
    ],
    (MS, "FusedMatMulActivation"): [
        row(
            f'y = {MS}.FusedMatMulActivation <activation = "Relu", alpha = 0.5, transB = 1> (x, m)',
            "t = Transpose (m)\n p = MatMul (x, t)\n"
            "h = Constant <value = float {0.5}> ()\n a = Mul (p, h)\n y = Relu (a)",
        ),
    ],
    (BLOCKED, "Conv"): [
        image(
            f"i = {BLOCKED}.ReorderInput (x)\n"
            f'c = {BLOCKED}.Conv <activation = "Relu", kernel_shape = [1, 1], strides = [1, 1], pads = [0, 0, 0, 0], '
            f"dilations = [1, 1], group = 1> (i, v, n)\n y = {BLOCKED}.ReorderOutput <channels = 16> (c)",
            x=(1, 16, 4, 4),
        )
    ],
}
"""Cases by row."""

NUMBERED: Mapping[str, Sequence[float]] = {
    "LeakyRelu": (0.25,),
    "Elu": (0.5,),
    "ThresholdedRelu": (0.5,),
    "HardSigmoid": (0.25, 0.375),
    "Clip": (-0.5, 0.75),
}
NO_KERNEL = {"Gelu": "y = Gelu (g)", "Clip": "y = Clip (g, low, high)"}
"""Activations that no FusedGemm of onnxruntime has, by operators of their own."""


def activated(name: str) -> Sequence[Fused]:
    """A product with an activation; bounds of Clip are attributes in old operator sets."""
    numbers = NUMBERED.get(name, ())
    named = "".join(f", activation_{one} = {number}" for one, number in zip(("alpha", "beta"), numbers, strict=False))
    body = f'y = {MS}.FusedGemm <activation = "{name}"{named}> (x, m, b)'
    own = row(body, f"g = Gemm (x, m, b)\n {NO_KERNEL[name]}" if name in NO_KERNEL else "")
    return [own, *(one for one in FUSED[MS, "FusedConv"] if f'"{name}"' in one.body and name == "Clip")]


def taken_apart(case: Fused) -> str:
    """What the parts of a fused operator compute that it does not itself; empty where they compute the same."""
    whole_model = case.model(case.body)
    split = ir.from_proto(whole_model)
    try:
        unfuse(split)
        parts = ir.to_proto(split)
        left = [node.op_type for node in parts.graph.node if node.op_type.startswith(("Fused", "NhwcFused"))]
        if len(parts.graph.node) <= len(whole_model.graph.node) or set(left) - {"FusedMatMul"}:
            return f"it stays {left}"
        x = np.random.default_rng(1).standard_normal(case.x).astype(np.float32)
        made = session(parts, optimised=False).run(None, {"x": x})[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    wanted = session(case.model(case.by or case.body), optimised=False).run(None, {"x": x})[0]
    if np.shape(made) != np.shape(wanted):
        return f"{np.shape(made)} and not {np.shape(wanted)}"
    return "" if np.allclose(made, wanted, rtol=1e-5, atol=1e-5) else f"differs by {np.abs(made - wanted).max():g}"
