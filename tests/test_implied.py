"""Rectifiers that no node spells out, against brute force: codes above their zero point, hidden states above zero."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnxruntime.quantization import QuantFormat, QuantType  # noqa: TID251 - as another tool that writes ONNX files

from relu_audit import Audit, audit
from relu_audit.records import SiteAudit
from tests.graphs import graph
from tests.oracle import one_by_one, oracle
from tests.spellings import codes_fired, counted, operators, quantized, result, saved, told, true, within, zero_point

RNG = np.random.default_rng(11)
X = RNG.standard_normal((40, 4)).astype(np.float32)
W = RNG.standard_normal((4, 6)).astype(np.float32)
B = np.array([0.1, -50, 0.2, 0, 0.3, -0.1], np.float32)  # unit 1 is dead
DATA = {"x": X}

ZERO = {"u8": np.uint8(0), "i8": np.int8(-128), "u16": np.uint16(0), "i16": np.int16(-(1 << 15))}
MIDDLE = {"u8": np.uint8(128), "i8": np.int8(0), "u16": np.uint16(1 << 15), "i16": np.int16(0)}


def coded(
    body: str, opset: int = 21, inputs: str = "float[n, 4] x", outputs: str = "float[n, d] y", **more: object
) -> onnx.ModelProto:
    """A graph around ``h``, six units of a weight on codes of ``x``; ``body`` makes ``y`` of it."""
    text = (
        "xq = QuantizeLinear (x, xs, xz)\n xd = DequantizeLinear (xq, xs, xz)\n wd = DequantizeLinear (wq, ws, wz)\n"
        f"g = MatMul (xd, wd)\n h = Add (g, b)\n {body}"
    )
    weights = {
        "xs": np.float32(np.abs(X).max() / 127),
        "xz": np.uint8(128),
        "wq": np.round(W / np.abs(W).max() * 127).astype(np.int8),
        "ws": np.float32(np.abs(W).max() / 127),
        "wz": np.int8(0),
        "b": B,
        "s": np.float32(0.05),
    }
    return graph(inputs, outputs, text, weights | more, opset=opset, ir=10)  # type: ignore[arg-type]


def of(found: Audit, tensor: str) -> SiteAudit:
    """The only site, which is that tensor."""
    assert [site.tensor for site in found.sites] == [tensor]
    assert not found.skipped
    assert not found.alive
    return found.sites[0]


def assert_fires_by_code(site: SiteAudit, model: onnx.ModelProto, zero_point: int, axis: int = 1) -> None:
    (codes,) = result(model, DATA, site.tensor)
    truth = codes_fired(codes, zero_point, axis)
    assert truth["dead"], "nothing is dead here"
    assert counted(site) == truth


# QuantizeLinear ------------------------------------------------------------------------------------------------------

FOLDED = [
    ("u8", 13, "QuantizeLinear"),
    ("i8", 13, "QuantizeLinear"),
    ("u8", 21, "QuantizeLinear"),
    ("i8", 21, "QuantizeLinear"),
    ("u16", 21, "QuantizeLinear"),
    ("i16", 21, "QuantizeLinear"),
    ("u8", 13, "com.microsoft.QuantizeLinear"),
    ("i8", 13, "com.microsoft.QuantizeLinear"),
    ("u16", 13, "com.microsoft.QuantizeLinear"),
    ("i16", 18, "com.microsoft.QuantizeLinear"),
]


def folded(op: str, opset: int, zero: np.generic) -> onnx.ModelProto:
    back = op.replace("Quantize", "Dequantize")
    return coded(f"q = {op} (h, s, z)\n y = {back} (q, s, z)", opset, z=zero)


@pytest.mark.parametrize(("kind", "opset", "op"), FOLDED)
def test_codes_that_begin_at_zero_are_a_rectifier(kind: str, opset: int, op: str) -> None:
    model = folded(op, opset, ZERO[kind])
    site = of(audit(model, DATA), "q")
    assert site.op == f"QuantizeLinear(zero point {int(ZERO[kind])})"
    assert site.implicit
    assert "zero point" in site.implicit
    assert (site.weight, site.unit_axis, site.layout) == ("wq", 1, "n u")
    assert not site.assumed
    assert_fires_by_code(site, model, int(ZERO[kind]))
    assert 1 in site.dead


@pytest.mark.parametrize(("kind", "opset", "op"), FOLDED)
def test_codes_with_zero_in_the_middle_are_none(kind: str, opset: int, op: str) -> None:
    found = audit(folded(op, opset, MIDDLE[kind]), DATA)
    assert (found.sites, found.alive, found.skipped) == ((), (), ())


@pytest.mark.parametrize("zero", [np.uint8(1), np.int8(-127), np.uint16(1), np.int16(-32767)])
def test_codes_with_one_step_below_zero_are_none(zero: np.generic) -> None:
    assert not audit(folded("QuantizeLinear", 21, zero), DATA).sites


@pytest.mark.parametrize("opset", [11, 13, 19, 21])
def test_a_zero_point_left_out_is_the_zero_of_uint8(opset: int) -> None:
    model = coded("q = QuantizeLinear (h, s)\n y = DequantizeLinear (q, s)", opset)
    site = of(audit(model, DATA), "q")
    assert site.op == "QuantizeLinear(zero point 0)"
    assert_fires_by_code(site, model, 0)


@pytest.mark.parametrize(
    ("dtype", "rectifies"),
    [
        (TensorProto.UINT8, True),
        (TensorProto.UINT16, True),
        (TensorProto.INT8, False),
        (TensorProto.INT16, False),
    ],
)
def test_a_zero_point_left_out_with_a_type(dtype: int, *, rectifies: bool) -> None:
    model = coded(f"q = QuantizeLinear <output_dtype = {dtype}> (h, s)\n y = DequantizeLinear (q, s)")
    found = audit(model, DATA)
    assert [site.tensor for site in found.sites] == (["q"] if rectifies else [])
    if rectifies:
        assert_fires_by_code(of(found, "q"), model, 0)


def test_four_bits_are_codes_as_well() -> None:
    model = coded(f"q = QuantizeLinear <output_dtype = {TensorProto.UINT4}> (h, s)\n y = DequantizeLinear (q, s)")
    site = of(audit(model, DATA), "q")
    (y,) = result(model, DATA, "y")
    assert list(site.fired_samples) == (y > 0).sum(axis=0).tolist()


def test_a_zero_point_may_be_a_node() -> None:
    text = "z = Constant <value_int = 0> ()\n zc = Cast <to = 2> (z)\n q = QuantizeLinear (h, s, zc)\n"
    model = coded(f"{text} y = DequantizeLinear (q, s, zc)")
    assert_fires_by_code(of(audit(model, DATA), "q"), model, 0)


def test_a_zero_point_that_the_graph_computes_is_no_claim() -> None:
    found = audit(coded("q, t, z = DynamicQuantizeLinear (h)\n y = DequantizeLinear (q, t, z)"), DATA)
    assert not found.sites


def test_a_scale_for_each_channel_is_skipped_with_its_reason() -> None:
    model = coded(
        "q = QuantizeLinear <axis = 1> (h, sc, zc)\n y = DequantizeLinear <axis = 1> (q, sc, zc)",
        sc=np.full(6, 0.05, np.float32),
        zc=np.zeros(6, np.uint8),
    )
    found = audit(model, DATA)
    assert not found.sites
    assert [(one.tensor, one.slug) for one in found.skipped] == [("q", "scale-per-axis")]
    assert found.skipped[0].detail


# Relu kept -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ZERO)
@pytest.mark.parametrize("zero", [ZERO, MIDDLE], ids=["least", "middle"])
def test_a_relu_before_its_codes_is_one_rectifier(kind: str, zero: dict[str, np.generic]) -> None:
    model = coded("r = Relu (h)\n q = QuantizeLinear (r, s, z)\n y = DequantizeLinear (q, s, z)", z=zero[kind])
    site = of(audit(model, DATA), "r")
    assert (site.op, site.implicit) == ("Relu", None)
    assert told(site) == true(oracle(model, one_by_one(DATA), {"r": 1})["r"])


@pytest.mark.parametrize(
    "rectifier",
    ["r = Clip (h, low, high)", "r = Max (h, low)", "r = LeakyRelu <alpha = 0.0> (h)", "r = ThresholdedRelu (h)"],
)
def test_another_spelling_before_its_codes_is_one_rectifier(rectifier: str) -> None:
    numbers = {"low": np.float32(0), "high": np.float32(6)}
    used = {name: value for name, value in numbers.items() if name in rectifier}
    text = f"{rectifier}\n q = QuantizeLinear (r, s, z)\n y = DequantizeLinear (q, s, z)"
    of(audit(coded(text, z=np.uint8(0), **used), DATA), "r")


def test_a_relu_behind_codes_of_its_source_is_one_rectifier() -> None:
    """Quantizers asked to keep the Relu set the zero point of its source to the least code as well."""
    model = coded(
        "p = QuantizeLinear (h, s, z)\n d = DequantizeLinear (p, s, z)\n r = Relu (d)\n"
        "q = QuantizeLinear (r, s, z)\n y = DequantizeLinear (q, s, z)",
        z=np.uint8(0),
    )
    (site,) = audit(model, DATA).sites
    (codes,) = result(model, DATA, "p")
    assert counted(site) == codes_fired(codes, 0)  # the same, whichever of the two stands for both
    assert site.dead == (1,)


def test_a_leaky_relu_before_codes_leaves_the_codes_to_rectify() -> None:
    model = coded(
        "r = LeakyRelu <alpha = 0.3> (h)\n q = QuantizeLinear (r, s, z)\n y = DequantizeLinear (q, s, z)", z=np.uint8(0)
    )
    found = audit(model, DATA)
    assert [site.tensor for site in found.sites] == ["q"]
    assert_fires_by_code(found.sites[0], model, 0)


# What cannot be negative anyway --------------------------------------------------------------------------------------

NOT_NEGATIVE = {
    "codes of a sigmoid": "v = Sigmoid (h)",
    "codes of a softmax": "v = Softmax (h)",
    "codes of a softplus": "v = Softplus (h)",
    "codes of a square root of a square": "k = Mul (h, h)\n a = Abs (k)\n v = Sqrt (a)",
    "codes of an exponential": "v = Exp (h)",
    "codes of a comparison": "a = Greater (h, s)\n v = Cast <to = 1> (a)",
    "codes of a probability times another": "a = Sigmoid (h)\n c = Softmax (h)\n v = Mul (a, c)",
}


@pytest.mark.parametrize("body", NOT_NEGATIVE.values(), ids=NOT_NEGATIVE)
def test_codes_of_what_is_never_negative_are_no_rectifier(body: str) -> None:
    found = audit(coded(f"{body}\n q = QuantizeLinear (v, s, z)\n y = DequantizeLinear (q, s, z)", z=np.uint8(0)), DATA)
    assert not found.sites
    assert not found.skipped


@pytest.mark.parametrize(
    "first",
    ["q = QuantizeLinear (h, s, z)", "r = Relu (h)\n q = QuantizeLinear (r, s, z)"],
    ids=["codes", "relu"],
)
@pytest.mark.parametrize(
    "then",
    [
        "v = Reshape (d, shape)",
        "v = Transpose <perm = [1, 0]> (d)",
        "u = Unsqueeze (d, shape)\n v = MaxPool <kernel_shape = [2]> (u)",
        "v = Add (d, d)",
        "v = Mul (d, s)",
        "v = ReduceMean <keepdims = 1> (d)",
        "v = Concat <axis = 1> (d, d)",
        "v = Slice (d, nought, one, one)",
        "v, v2 = Split <axis = 1, num_outputs = 2> (d)",
        "v = Pad (d, pads)",
        "a = Sigmoid (d)\n v = Mul (d, a)",
        "v = Min (d, s)",
        "v = Identity (d)",
        "v = Clip (d, s)",
        "v = Div (d, s)",
        "v = Dropout (d)",
        "v = Where (yes, d, d)",
        "v = Pad (d, pads, s)",
        'v = Pad <mode = "reflect"> (d, pads)',
        "u = Unsqueeze (d, two)\n v = Resize (u, , scales)",
        "v = Expand (d, one)",
        "v = Tile (d, ones)",
        "v = Sum (d, d)",
        "v = Gather <axis = 1> (d, nought)",
    ],
    ids=lambda text: text.replace("\n", ";"),
)
def test_codes_of_rectified_values_are_not_counted_again(first: str, then: str) -> None:
    more = {
        "shape": np.array([-1, 6] if "Reshape" in then else [1]),
        "nought": np.array([0]),
        "one": np.array([1]),
        "pads": np.array([0, 1, 0, 1]),
        "yes": np.bool_(True),
        "two": np.array([2, 3]),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "ones": np.array([1, 1]),
    }
    used = {name: value for name, value in more.items() if re.search(rf"\b{name}\b", then)}
    text = f"{first}\n d = DequantizeLinear (q, s, z)\n {then}\n p = QuantizeLinear (v, s, z)\n"
    found = audit(
        coded(f"{text} y = DequantizeLinear (p, s, z)", outputs="float y", z=np.uint8(0), **used), DATA, samples="rows"
    )
    assert [site.tensor for site in found.sites] == ["r" if "Relu" in first else "q"]


def test_codes_of_the_input_are_no_rectifier() -> None:
    x = np.abs(X)
    text = "q = QuantizeLinear (x, s, z)\n d = DequantizeLinear (q, s, z)\n h = MatMul (d, w)\n r = Relu (h)"
    weights = {"w": W, "s": np.float32(0.02), "z": np.uint8(0)}
    model = graph("float[n, 4] x", "float[n, 6] r", text, weights)
    assert [site.tensor for site in audit(model, {"x": x}).sites] == ["r"]
    moved = text.replace("(x, s, z)", "(t, s, z)").replace("q =", "t = Identity (x)\n q =")
    assert [site.tensor for site in audit(graph("float[n, 4] x", "float[n, 6] r", moved, weights), {"x": x}).sites] == [
        "r"
    ]


def test_a_negative_factor_makes_codes_a_rectifier_of_the_opposite() -> None:
    model = coded(
        "r = Relu (h)\n m = Mul (r, minus)\n q = QuantizeLinear (m, s, z)\n y = DequantizeLinear (q, s, z)",
        z=np.uint8(0),
        minus=np.float32(-1),
    )
    relu, codes = audit(model, DATA).sites
    assert (relu.tensor, codes.tensor) == ("r", "q")
    assert codes.dead == (0, 1, 2, 3, 4, 5)


# Operators on codes --------------------------------------------------------------------------------------------------


def in_codes(body: str, **more: object) -> onnx.ModelProto:
    """``a`` are six signed units, ``p`` six rectified ones, both codes; ``body`` makes codes ``q`` of them."""
    text = (
        "xq = QuantizeLinear (x, xs, m)\n a = QLinearMatMul (xq, xs, m, wq, ws, wz, s, m)\n"
        f"p = QLinearMatMul (xq, xs, m, vq, ws, wz, s, z)\n {body}\n y = DequantizeLinear (q, s, z)"
    )
    weights = {
        "xs": np.float32(np.abs(X).max() / 127),
        "m": np.uint8(128),
        "z": np.uint8(0),
        "s": np.float32(0.1),
        "ws": np.float32(np.abs(W).max() / 63),
        "wz": np.int8(0),
        "wq": np.round(W / np.abs(W).max() * 63).astype(np.int8),
        "vq": np.round(W[:, ::-1] / np.abs(W).max() * 63).astype(np.int8) * np.array([0, 1, 1, 1, 1, 1], np.int8),
    }
    used = {name: value for name, value in (weights | more).items() if re.search(rf"\b{name}\b", text)}
    return graph("float[n, 4] x", "float[n, d] y", text, used, opset=18)  # type: ignore[arg-type]


MS = "com.microsoft."
SIGNED = {
    "QLinearWhere": f"q = {MS}QLinearWhere (yes, a, s, m, p, s, z, s, z)",
    "QLinearAdd": f"q = {MS}QLinearAdd (a, s, m, p, s, z, s, z)",
    "QLinearAdd the other way round": f"q = {MS}QLinearAdd (p, s, z, a, s, m, s, z)",
    "QLinearMul": f"q = {MS}QLinearMul (a, s, m, p, s, z, s, z)",
    "QLinearLeakyRelu": f"q = {MS}QLinearLeakyRelu <alpha = 0.3> (a, s, m, s, z)",
    "QLinearConcat": f"q = {MS}QLinearConcat <axis = 1> (s, z, a, s, m, p, s, z)",
    "QLinearConcat of one": f"q = {MS}QLinearConcat <axis = 1> (s, z, a, s, m)",
    "QuantizeLinear": "d = DequantizeLinear (a, s, m)\n q = QuantizeLinear (d, s, z)",
}


@pytest.mark.parametrize(("name", "body"), SIGNED.items(), ids=SIGNED)
def test_operators_on_signed_codes_rectify(name: str, body: str) -> None:
    model = in_codes(body, yes=np.bool_([True, False, True, True, True, True]))
    found = audit(model, DATA)
    by_tensor = {site.tensor: site for site in found.sites}
    assert list(by_tensor) == ["p", "q"]  # p is a rectifier whether or not anything reads it
    assert by_tensor["q"].op == f"{name.split()[0]}(zero point 0)"
    for tensor, codes in zip(("p", "q"), result(model, DATA, "p", "q"), strict=True):
        assert counted(by_tensor[tensor]) == codes_fired(codes, 0), tensor
    assert by_tensor["p"].dead[:1] == (0,)


UNSIGNED = {
    "QLinearAdd": f"q = {MS}QLinearAdd (p, s, z, p, s, z, s, z)",
    "QLinearMul": f"q = {MS}QLinearMul (p, s, z, p, s, z, s, z)",
    "QLinearSigmoid": f"q = {MS}QLinearSigmoid (a, s, m, s, z)",
    "QLinearConcat": f"q = {MS}QLinearConcat <axis = 1> (s, z, p, s, z, p, s, z)",
    "QuantizeLinear": "d = DequantizeLinear (p, s, z)\n q = QuantizeLinear (d, s, z)",
    "Reshape": "q = Reshape (p, shape)",
    "QLinearWhere": f"q = {MS}QLinearWhere (yes, p, s, z, p, s, z, s, z)",
    "Pad": f"d = Pad (p, pads, z)\n q = {MS}QLinearAdd (d, s, z, d, s, z, s, z)",
    "QLinearSoftmax": f"q = {MS}QLinearSoftmax <axis = 1, opset = 13> (a, s, m, s, z)",
}


@pytest.mark.parametrize("body", UNSIGNED.values(), ids=UNSIGNED)
def test_operators_on_codes_that_are_never_negative_do_not(body: str) -> None:
    model = in_codes(body, shape=np.array([-1, 6]), yes=np.bool_([True]), pads=np.array([0, 1, 0, 1]))
    found = audit(model, DATA)
    (codes,) = result(model, DATA, "p")
    assert counted(of(found, "p")) == codes_fired(codes, 0)


@pytest.mark.parametrize(("zero", "dtype"), [(0, np.uint8), (-128, np.int8), (128, np.uint8), (0, np.int8)])
@pytest.mark.parametrize("bias", [False, True])
def test_qgemm(zero: int, dtype: type, *, bias: bool) -> None:
    least = np.iinfo(dtype).min
    middle = dtype(least + 128)
    c = "b" if bias else ""
    text = (
        "xq = QuantizeLinear (x, xs, m)\n"
        f"q = {MS}QGemm <transB = 1> (xq, xs, m, wq, ws, wz, {c}, s, z)\n y = DequantizeLinear (q, s, z)"
    )
    weights = {
        "xs": np.float32(0.03),
        "m": middle,
        "wq": np.round(W / np.abs(W).max() * 63).astype(np.int8).T.copy(),
        "ws": np.float32(np.abs(W).max() / 63),
        "wz": np.int8(0),
        "s": np.float32(0.08),
        "z": dtype(zero),
    }
    weights["wq"][2] = 0
    if bias:
        weights["b"] = np.array([5, -90000, 0, 3, 0, 0], np.int32)
    model = graph("float[n, 4] x", "float[n, 6] y", text, weights, opset=18)  # type: ignore[arg-type]
    found = audit(model, DATA)
    if zero != least:
        assert not found.sites
        return
    site = of(found, "q")
    assert (site.op, site.weight) == (f"QGemm(zero point {zero})", "wq")
    assert_fires_by_code(site, model, zero)
    assert set(site.dead) >= ({1, 2} if bias else {2})


def test_qlinearmatmul_over_tokens() -> None:
    tokens = RNG.standard_normal((10, 5, 4)).astype(np.float32)
    model = in_codes("q = Identity (p)")
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 5, 4]))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5, 6]))
    found = audit(model, {"x": tokens})
    (codes,) = result(model, {"x": tokens}, "p")
    assert counted(of(found, "p")) == codes_fired(codes, 0, axis=2)


IMAGES = RNG.uniform(-1, 1, (12, 3, 6, 6)).astype(np.float32)
CONV = "{q} = QLinearConv <pads = [1, 1, 1, 1]> ({x}, {sx}, {zx}, {k}, ks, kz, s, {z}, {b})"


def conv_weights() -> dict[str, object]:
    rng = np.random.default_rng(2)
    k1 = rng.integers(-63, 64, (5, 3, 3, 3)).astype(np.int8)
    k2 = rng.integers(-63, 64, (7, 5, 3, 3)).astype(np.int8)
    k1[3], k2[[0, 6]] = 0, 0
    return {
        "xs": np.float32(1 / 127),
        "m": np.uint8(128),
        "z": np.uint8(0),
        "k1": k1,
        "k2": k2,
        "ks": np.float32(0.01),
        "kz": np.int8(0),
        "s": np.float32(0.02),
        "b1": np.array([10, 0, 0, -100, 0], np.int32),
        "b2": np.array([0, 1, 2, 3, 4, 5, -1], np.int32),
    }


def conv_chain(prefix: str = "") -> str:
    first = CONV.format(q=f"{prefix}q1", x="xq", sx="xs", zx="m", k="k1", z="z", b="b1")
    second = CONV.format(q=f"{prefix}q2", x=f"{prefix}q1", sx="s", zx="z", k="k2", z="z", b="b2")
    return f"{first}\n {second}\n {prefix}y = DequantizeLinear ({prefix}q2, s, z)"


def test_a_chain_of_quantized_convolutions_in_a_branch() -> None:
    entry = "xq = QuantizeLinear (x, xs, m)\n"
    plain = graph("float[n, 3, 6, 6] x", "float[n, 7, 6, 6] y", entry + conv_chain(), conv_weights())  # type: ignore[arg-type]
    expected = [codes_fired(codes, 0) for codes in result(plain, {"x": IMAGES}, "q1", "q2")]
    assert [set(truth["dead"]) for truth in expected] == [{3}, {0, 6}]  # type: ignore[arg-type]
    flat = audit(plain, {"x": IMAGES})
    assert [counted(site) for site in flat.sites] == expected
    then = within([conv_chain("t_")], "float[n, 7, 6, 6] t_y", "then_branch")
    other = within(["d = DequantizeLinear (xq, xs, m)", "e_y = Relu (d)"], "float[n, 3, 6, 6] e_y", "else_branch")
    model = graph(
        "float[n, 3, 6, 6] x, bool c",
        "float[n, d, 6, 6] y",
        f"{entry} y = If (c) <{then}, {other}>",
        conv_weights(),  # type: ignore[arg-type]
    )
    found = audit(model, {"x": IMAGES, "c": np.bool_(True)})
    by_tensor = {site.tensor: site for site in found.sites}
    assert set(by_tensor) == {"t_q1", "t_q2", "e_y"}
    assert [counted(by_tensor[name]) for name in ("t_q1", "t_q2")] == expected
    assert all("then_branch" in by_tensor[name].scope for name in ("t_q1", "t_q2"))
    assert (by_tensor["e_y"].samples, by_tensor["e_y"].dead) == (0, ())
    away = audit(model, {"x": IMAGES, "c": np.bool_(False)})
    assert {site.tensor: len(site.unseen) for site in away.sites} == {"t_q1": 5, "t_q2": 7, "e_y": 0}


def test_an_unseen_rectifier_without_a_weight_has_as_many_units_as_the_file_says() -> None:
    then = within(["a = Relu (x)"], "float[n, 4] a", "then_branch")
    other = within(["b = Identity (x)"], "float[n, 4] b", "else_branch")
    model = graph("float[n, 4] x, bool c", "float[n, 4] y", f"y = If (c) <{then}, {other}>")
    (site,) = audit(model, {"x": X, "c": np.bool_(False)}).sites
    assert (site.units, site.unseen, site.dead) == (4, (0, 1, 2, 3), ())


BLOCKED_POOL = {
    "float": "p = MaxPool <kernel_shape = [2, 2]> (r)\n q = QuantizeLinear (p, s, z)",
    "codes": (
        "p = MaxPool <kernel_shape = [2, 2]> (r)\n pq = QuantizeLinear (p, s, z)\n pd = DequantizeLinear (pq, s, z)\n"
        "t = Concat <axis = 1> (pd, pd)\n q = QuantizeLinear (t, s, z)"
    ),
}


@pytest.mark.parametrize("body", BLOCKED_POOL.values(), ids=BLOCKED_POOL)
def test_pooled_values_are_not_counted_again_where_onnxruntime_lays_them_out_anew(body: str, tmp_path: Path) -> None:
    text = f"h = Conv <pads = [1, 1, 1, 1]> (x, k, b)\n r = Relu (h)\n {body}\n y = DequantizeLinear (q, s, z)"
    weights = {
        "k": np.random.default_rng(0).integers(-2, 3, (32, 3, 3, 3)).astype(np.float32),
        "b": np.full(32, 0.5, np.float32),
        "s": np.float32(0.05),
        "z": np.uint8(0),
    }
    weights["k"][5], weights["b"][5] = 0, -1
    path = saved(graph("float[n, 3, 6, 6] x", "float[n, c, 5, 5] y", text, weights), tmp_path, "ALL")  # type: ignore[arg-type]
    assert "ReorderOutput" in operators(path)
    found = audit(path, {"x": IMAGES})
    assert [(site.units, site.dead) for site in found.sites] == [(32, (5,))]


def test_pooled_codes_with_their_channels_last_are_not_counted_again() -> None:
    text = (
        "xt = Transpose <perm = [0, 2, 3, 1]> (x)\n xq = QuantizeLinear (xt, xs, m)\n"
        f"p = {MS}QLinearConv <channels_last = 1, pads = [1, 1, 1, 1]> (xq, xs, m, k1, ks, kz, s, z, b1)\n"
        f"o = {MS}NhwcMaxPool <kernel_shape = [2, 2]> (p)\n"
        f"q = {MS}QLinearConcat <axis = 3> (s, z, o, s, z, o, s, z)\n y = DequantizeLinear (q, s, z)"
    )
    weights = {name: value for name, value in conv_weights().items() if name not in ("k2", "b2")}
    model = graph("float[n, 3, 6, 6] x", "float[n, 5, 5, 10] y", text, weights)  # type: ignore[arg-type]
    site = of(audit(model, {"x": IMAGES}), "p")
    (codes,) = result(model, {"x": IMAGES}, "p")
    assert (site.unit_axis, site.weight) == (3, "k1")
    assert counted(site) == codes_fired(codes, 0, axis=3)
    assert site.dead == (3,)


@pytest.mark.parametrize("op", ["QLinearAveragePool <kernel_shape = [2, 2]>", "QLinearGlobalAveragePool"])
@pytest.mark.parametrize("signed", [False, True])
def test_pooling_of_codes(op: str, *, signed: bool) -> None:
    zero = "m" if signed else "z"
    text = "xq = QuantizeLinear (x, xs, m)\n" + CONV.format(q="q1", x="xq", sx="xs", zx="m", k="k1", z=zero, b="b1")
    text += f"\n q = {MS}{op} (q1, s, {zero}, s, z)\n y = DequantizeLinear (q, s, z)"
    weights = {name: value for name, value in conv_weights().items() if name not in ("k2", "b2")}
    model = graph("float[n, 3, 6, 6] x", "float[n, 5, h, w] y", text, weights)  # type: ignore[arg-type]
    found = audit(model, {"x": IMAGES})
    site = of(found, "q" if signed else "q1")
    (codes,) = result(model, {"x": IMAGES}, site.tensor)
    assert counted(site) == codes_fired(codes, 0)
    assert 3 in site.dead


# Recurrent operators -------------------------------------------------------------------------------------------------

TIME, BATCH, HIDDEN = 7, 30, 5
SEQUENCES = np.random.default_rng(5).standard_normal((TIME, BATCH, 4)).astype(np.float32)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(
    op: str, direction: str = "forward", outputs: str = "Y", extra: str = "", lengths: np.ndarray | None = None
) -> onnx.ModelProto:
    """Unit 1 of the first direction and unit 3 of the second have no input and a bias of minus one."""
    rng = np.random.default_rng(8)
    directions, gates = 2 if direction == "bidirectional" else 1, GATES[op]
    w = rng.standard_normal((directions, gates * HIDDEN, 4)).astype(np.float32) * 0.7
    r = rng.standard_normal((directions, gates * HIDDEN, HIDDEN)).astype(np.float32) * 0.3
    b = rng.standard_normal((directions, 2 * gates * HIDDEN)).astype(np.float32) * 0.1
    for d, unit in zip(range(directions), (1, 3), strict=False):
        for gate in range(gates):
            w[d, gate * HIDDEN + unit] = r[d, gate * HIDDEN + unit] = 0
            b[d, [gate * HIDDEN + unit, (gates + gate) * HIDDEN + unit]] = -1, 0
    weights = {"w": w, "r": r, "b": b}
    inputs = "x, w, r, b"
    if lengths is not None:
        inputs += ", lengths"
    text = f'{outputs} = {op} <hidden_size = {HIDDEN}, direction = "{direction}"{extra}> ({inputs})'
    last = outputs.replace(",", " ").split()[-1]
    shape = f"float[{TIME}, {directions}, n, {HIDDEN}]" if last == "Y" else f"float[{directions}, n, {HIDDEN}]"
    given = f"float[{TIME}, n, 4] x" + ("" if lengths is None else ", int32[n] lengths")
    return graph(given, f"{shape} {last}", text, weights, opset=14)


def states(model: onnx.ModelProto, lengths: np.ndarray | None = None) -> np.ndarray:
    """Hidden states as [batch, direction, hidden, time]."""
    feed = {"x": SEQUENCES} | ({} if lengths is None else {"lengths": lengths})
    (y,) = result(model, feed, "Y")
    return y.transpose(2, 1, 3, 0)


def hidden_truth(y: np.ndarray, directions: list[int]) -> dict[str, object]:
    some = (y[:, directions] > 0).reshape(len(y), -1, y.shape[3])
    return codes_fired(some.astype(np.uint8), 0)


def listed(*names: str) -> str:
    return ", activations = [" + ", ".join(f'"{name}"' for name in names) + "]"


RECURRENT = [
    ("RNN", "forward", listed("Relu"), [0], "RNN(Relu)"),
    ("RNN", "reverse", listed("Relu"), [0], "RNN(Relu)"),
    ("RNN", "bidirectional", listed("Relu", "Relu"), [0, 1], "RNN(Relu)"),
    ("RNN", "bidirectional", listed("Relu", "Tanh"), [0], "RNN(Relu)"),
    ("RNN", "bidirectional", listed("Tanh", "Relu"), [1], "RNN(Relu)"),
    ("RNN", "forward", listed("LeakyRelu") + ", activation_alpha = [0.0]", [0], "RNN(LeakyRelu(0))"),
    ("RNN", "forward", listed("ThresholdedRelu") + ", activation_alpha = [0.2]", [0], "RNN(ThresholdedRelu)"),
    (
        "RNN",
        "bidirectional",
        listed("LeakyRelu", "LeakyRelu") + ", activation_alpha = [0.1, 0.0]",
        [1],
        "RNN(LeakyRelu(0))",
    ),
    ("RNN", "bidirectional", listed("Tanh", "LeakyRelu") + ", activation_alpha = [0.0]", [1], "RNN(LeakyRelu(0))"),
    ("GRU", "forward", listed("Sigmoid", "Relu"), [0], "GRU(Relu)"),
    ("GRU", "forward", listed("Sigmoid", "Relu") + ", linear_before_reset = 1", [0], "GRU(Relu)"),
    ("GRU", "reverse", listed("HardSigmoid", "Relu"), [0], "GRU(Relu)"),
    ("GRU", "bidirectional", listed("Sigmoid", "Relu", "Sigmoid", "Relu"), [0, 1], "GRU(Relu)"),
    ("GRU", "bidirectional", listed("Sigmoid", "Tanh", "Sigmoid", "Relu"), [1], "GRU(Relu)"),
    ("LSTM", "forward", listed("Sigmoid", "Tanh", "Relu"), [0], "LSTM(Relu)"),
    ("LSTM", "forward", listed("Sigmoid", "Relu", "Tanh"), [0], "LSTM(Relu)"),
    ("LSTM", "reverse", listed("Sigmoid", "Relu", "Relu"), [0], "LSTM(Relu)"),
    ("LSTM", "bidirectional", listed(*["Sigmoid", "Tanh", "Relu"] * 2), [0, 1], "LSTM(Relu)"),
    ("LSTM", "bidirectional", listed("Sigmoid", "Relu", "Relu", "Sigmoid", "Tanh", "Tanh"), [0], "LSTM(Relu)"),
]


@pytest.mark.parametrize(("op", "direction", "extra", "rectified", "spelling"), RECURRENT)
def test_hidden_units_fire_at_any_time_step(
    op: str, direction: str, extra: str, rectified: list[int], spelling: str
) -> None:
    model = recurrent(op, direction, extra=extra)
    truth = hidden_truth(states(model), rectified)
    planted = {(1, 3)[d] + i * HIDDEN for i, d in enumerate(rectified)}
    assert planted <= set(truth["dead"])  # type: ignore[arg-type]
    assert len(truth["dead"]) < len(rectified) * HIDDEN  # type: ignore[arg-type]
    site = of(audit(model, {"x": SEQUENCES}), "Y")
    assert site.op == spelling
    assert counted(site) == truth
    assert truth["positions"] == TIME * BATCH


@pytest.mark.parametrize("outputs", [", Yh", "Y, Yh"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_the_states_of_all_times_count_even_where_only_the_last_is_given_out(outputs: str, direction: str) -> None:
    extra = listed(*["Relu"] * (2 if direction == "bidirectional" else 1))
    truth = hidden_truth(states(recurrent("RNN", direction, extra=extra)), [0, 1][: 1 + (direction != "forward")])
    model = recurrent("RNN", direction, outputs, extra)
    site = of(audit(model, {"x": SEQUENCES}), "Yh" if outputs == ", Yh" else "Y")
    assert counted(site) == truth


def test_sequences_of_different_lengths() -> None:
    lengths = (np.arange(BATCH) % TIME + 1).astype(np.int32)
    model = recurrent("RNN", extra=listed("Relu"), lengths=lengths)
    truth = hidden_truth(states(model, lengths), [0])
    site = of(audit(model, {"x": SEQUENCES, "lengths": lengths}), "Y")
    for name in ("fired_samples", "fired_positions", "first_fired", "dead", "samples"):
        assert getattr(site, name) == truth[name], name


@pytest.mark.parametrize(
    ("op", "extra"),
    [
        ("GRU", listed("Relu", "Tanh")),
        ("LSTM", listed("Relu", "Tanh", "Tanh")),
        ("LSTM", listed("LeakyRelu", "Tanh", "Tanh") + ", activation_alpha = [0.0]"),
    ],
)
def test_rectified_gates_are_skipped_with_their_reason(op: str, extra: str) -> None:
    found = audit(recurrent(op, extra=extra), {"x": SEQUENCES})
    assert not found.sites
    assert [(one.tensor, one.op, one.slug) for one in found.skipped] == [("Y", op, "in-operator")]
    assert found.skipped[0].detail


@pytest.mark.parametrize("op", ["GRU", "LSTM"])
def test_rectified_gates_beside_rectified_states(op: str) -> None:
    model = recurrent(op, extra=listed("Relu", "Relu") if op == "GRU" else listed("Relu", "Tanh", "Relu"))
    found = audit(model, {"x": SEQUENCES})
    assert [one.slug for one in found.skipped] == ["in-operator"]
    (site,) = found.sites
    truth = hidden_truth(states(model), [0])
    assert site.dead == truth["dead"]


@pytest.mark.parametrize(
    ("op", "extra"),
    [
        ("RNN", ""),
        ("GRU", ""),
        ("LSTM", ""),
        ("RNN", listed("Tanh")),
        ("RNN", listed("LeakyRelu")),
        ("RNN", listed("LeakyRelu") + ", activation_alpha = [0.2]"),
        ("RNN", listed("Softplus")),
    ],
)
def test_other_recurrent_activations_are_no_rectifiers(op: str, extra: str) -> None:
    found = audit(recurrent(op, extra=extra), {"x": SEQUENCES})
    assert not found.sites
    assert not found.skipped


# Numbers that are none -----------------------------------------------------------------------------------------------


def test_a_nan_that_becomes_a_code_makes_its_unit_faulty_and_not_dead() -> None:
    """Codes have no NaN, so it has to be seen before."""
    x = np.abs(X)
    w = np.array([[1, 0, 1, 0], [0, 1, -1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], np.float32)
    text = "h = MatMul (x, w)\n g = Add (h, b)\n l = Log (g)\n"
    text += "q = QuantizeLinear (l, s, z)\n y = DequantizeLinear (q, s, z)"
    weights = {"w": w, "b": np.array([2, 0.1, 0, 0.5], np.float32), "s": np.float32(0.05), "z": np.uint8(0)}
    site = of(audit(graph("float[n, 4] x", "float[n, 4] y", text, weights), {"x": x}), "q")  # type: ignore[arg-type]
    assert (x @ w)[:, 2].min() < 0
    assert site.faulty == (2,)
    assert site.dead == (3,)
    assert site.fired_samples[0] == len(x)


def test_a_nan_behind_a_layer_makes_all_its_units_faulty() -> None:
    text = "l = Sqrt (x)\n h = MatMul (l, w)\n q = QuantizeLinear (h, s, z)\n y = DequantizeLinear (q, s, z)"
    weights = {"w": W, "s": np.float32(0.05), "z": np.uint8(0)}
    site = of(audit(graph("float[n, 4] x", "float[n, 6] y", text, weights), DATA), "q")  # type: ignore[arg-type]
    assert site.faulty == (0, 1, 2, 3, 4, 5)
    assert site.dead == ()


# A whole network without a Relu --------------------------------------------------------------------------------------


def mobile(seed: int = 4) -> tuple[onnx.ModelProto, list[str]]:
    """Three inverted residuals: expand, Clip(0, 6), depthwise, Clip(0, 6), project without any, add."""
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {"low": np.array(0, np.float32), "six": np.array(6, np.float32)}
    lines: list[str] = []
    relus: list[str] = []

    def conv(name: str, source: str, shape: tuple[int, ...], more: str = "", *, clip: bool = True) -> str:
        weights[f"k{name}"] = rng.standard_normal(shape).astype(np.float32) * np.float32(
            1.5 / np.prod(shape[1:]) ** 0.5
        )
        weights[f"b{name}"] = rng.standard_normal(shape[0]).astype(np.float32) * 0.3
        lines.append(f"h{name} = Conv <{more}> ({source}, k{name}, b{name})".replace(" <>", ""))
        if not clip:
            return f"h{name}"
        weights[f"k{name}"][1] = 0
        weights[f"b{name}"][1] = -2
        lines.append(f"r{name} = Clip (h{name}, low, six)")
        relus.append(f"r{name}")
        return f"r{name}"

    value = conv("s", "x", (8, 3, 3, 3), "pads = [1, 1, 1, 1], strides = [2, 2]")
    for i in range(3):
        wide = conv(f"e{i}", value, (20, 8, 1, 1))
        deep = conv(f"d{i}", wide, (20, 1, 3, 3), "pads = [1, 1, 1, 1], group = 20")
        narrow = conv(f"p{i}", deep, (8, 20, 1, 1), clip=False)
        if i:
            lines.append(f"a{i} = Add ({value}, {narrow})")
        value = f"a{i}" if i else narrow
    value = conv("l", value, (24, 8, 1, 1))
    weights["wf"] = rng.standard_normal((24, 5)).astype(np.float32)
    weights["bf"] = rng.standard_normal(5).astype(np.float32)
    lines += [f"g = GlobalAveragePool ({value})", "f = Flatten (g)", "y = Gemm (f, wf, bf)"]
    return graph("float[n, 3, 16, 16] x", "float[n, 5] y", "\n".join(lines), weights), relus


@pytest.mark.parametrize("kind", [QuantFormat.QDQ, QuantFormat.QOperator], ids=["QDQ", "QOperator"])
@pytest.mark.parametrize("codes", [QuantType.QUInt8, QuantType.QInt8], ids=["uint8", "int8"])
def test_a_mobile_network_in_codes_has_no_relu_and_yet_an_audit(
    kind: QuantFormat, codes: QuantType, tmp_path: Path
) -> None:
    model, relus = mobile()
    pictures = np.random.default_rng(6).uniform(0, 1, (16, 3, 16, 16)).astype(np.float32)
    truths = oracle(model, one_by_one({"x": pictures}), dict.fromkeys(relus, 1))
    path = quantized(
        model,
        {"x": pictures},
        tmp_path / "mobile.onnx",
        quant_format=kind,
        activation_type=codes,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    assert not {"Relu", "Clip"} & set(operators(path))
    for file in (path, saved(onnx.load(path), tmp_path, "EXTENDED")):
        found = audit(file, {"x": pictures})
        assert [site.units for site in found.sites] == [len(truths[name].peak) for name in relus]
        assert not found.skipped
        names = [site.tensor for site in found.sites]
        for relu, site, values in zip(relus, found.sites, result(file, {"x": pictures}, *names), strict=True):
            assert site.implicit, relu
            assert counted(site) == codes_fired(values, zero_point(file, site.tensor)), relu
            step = max(truths[relu].peak) / 255
            for unit in set(site.dead) ^ set(truths[relu].dead):
                assert abs(truths[relu].pre_peak[unit]) < 2 * step, relu
            assert 1 in site.dead, relu
