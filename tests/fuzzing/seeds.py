"""Small models and the data they take: what mutations start from."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx

from tests.graphs import graph, mlp

SHARED = Path(__file__).parents[3] / "shared" / "corpus"

CORPUS = ("hand_keypoint_mlp", "hand_history_lstm", "mnist_2x10", "mnist_cntk", "surfaces_gbr", "mnist_cnn_pytorch")
"""Real models of the corpus that are small."""


@dataclass(frozen=True)
class Seed:
    """A model and its data.

    Attributes:
        model: The model, serialized.
        data: Arrays by input name.
    """

    model: bytes
    data: dict[str, np.ndarray]

    def proto(self) -> onnx.ModelProto:
        return onnx.load_from_string(self.model)

    def npz(self) -> bytes:
        file = io.BytesIO()
        np.savez(file, **self.data)  # pyright: ignore[reportArgumentType]
        return file.getvalue()


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _f(*shape: int) -> np.ndarray:
    return _rng().standard_normal(shape).astype(np.float32)


def _dense() -> Seed:
    return Seed(mlp((4, 8, 6, 2), dead={0: (1, 6)}).SerializeToString(), {"x": _f(20, 4)})


def _conv() -> Seed:
    body = """
        c = Conv <pads = [1, 1, 1, 1]> (x, w, b)
        n = BatchNormalization (c, s, t, m, v)
        r = Relu (n)
        d = Conv <pads = [1, 1, 1, 1]> (r, w2)
        a = Add (d, r)
        q = Relu (a)
        p = GlobalAveragePool (q)
        f = Flatten (p)
        y = Gemm <transB = 1> (f, g)
    """
    weights = {
        "w": _f(6, 3, 3, 3),
        "b": np.array([0, 0, -99, 0, 0, -99], "f4"),
        "s": np.ones(6, "f4"),
        "t": np.zeros(6, "f4"),
        "m": np.zeros(6, "f4"),
        "v": np.ones(6, "f4"),
        "w2": _f(6, 6, 3, 3),
        "g": _f(2, 6),
    }
    return Seed(graph("float[n, 3, 5, 5] x", "float[n, 2] y", body, weights).SerializeToString(), {"x": _f(9, 3, 5, 5)})


def _branches() -> Seed:
    body = """
        s = ReduceSum <keepdims = 0> (x)
        c = Greater (s, zero)
        h = If (c) <
            then_branch = g1 () => (float[1, 5] t) { t0 = MatMul (x, w) t = Relu (t0) },
            else_branch = g2 () => (float[1, 5] e) { e0 = MatMul (x, w) e1 = Add (e0, b) e = LeakyRelu (e1) }
        >
        q = Relu (h)
        y = MatMul (q, u)
    """
    weights = {"zero": np.float32(0), "w": _f(4, 5), "b": np.array([0, -99, 0, 0, 0], "f4"), "u": _f(5, 2)}
    return Seed(graph("float[1, 4] x", "float[1, 2] y", body, weights).SerializeToString(), {"x": _f(12, 4)})


def _loop() -> Seed:
    body = """
        yes = Constant <value = bool {1}> ()
        n3 = Constant <value = int64 {3}> ()
        h0 = MatMul (x, w)
        h, all = Loop (n3, yes, h0) <
            body = g1 (int64 i, bool k, float[n, 4] a) => (bool k2, float[n, 4] a2, float[n, 4] o) {
                k2 = Identity (k)
                m = MatMul (a, w)
                a2 = Relu (m)
                o = Identity (a2)
            }
        >
        y = Relu (h)
    """
    return Seed(graph("float[n, 4] x", "float[n, 4] y", body, {"w": _f(4, 4)}).SerializeToString(), {"x": _f(7, 4)})


def _functions() -> Seed:
    text = """
        <ir_version: 8, opset_import: ["" : 18, "own" : 1]>
        g (float[n, 4] x) => (float[n, 2] y) { a = own.dense <k = 1.0> (x, w) b = own.act (a) y = MatMul (b, u) }
        <domain: "own", opset_import: ["" : 18]>
        act (v) => (r) { z = Constant <value = float {0}> () r = Max (v, z) }
        <domain: "own", opset_import: ["" : 18, "own" : 1]>
        dense <k> (v, w) => (r) { m = MatMul (v, w) s = Relu (m) r = own.act (s) }
    """
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend([onnx.numpy_helper.from_array(_f(4, 6), "w")])
    model.graph.initializer.extend([onnx.numpy_helper.from_array(_f(6, 2), "u")])
    return Seed(model.SerializeToString(), {"x": _f(11, 4)})


def _recurrent() -> Seed:
    body = """
        h, last = RNN <hidden_size = 5, activations = ["Relu"]> (x, w, r, b)
        q = Squeeze (last, zero)
        y = Clip (q, low, high)
    """
    weights = {
        "w": _f(1, 5, 3),
        "r": _f(1, 5, 5) / 9,
        "b": _f(1, 10),
        "zero": np.array([0], "i8"),
        "low": np.float32(0),
        "high": np.float32(6),
    }
    model = graph("float[4, n, 3] x", "float[n, 5] y", body, weights)
    return Seed(model.SerializeToString(), {"x": _f(4, 6, 3)})


def _codes() -> Seed:
    body = """
        q = QuantizeLinear (x, s, z)
        d = DequantizeLinear (q, s, z)
        wd = DequantizeLinear (w, s, zw)
        h = MatMul (d, wd)
        hq = QuantizeLinear (h, s, z0)
        hd = DequantizeLinear (hq, s, z0)
        p = PRelu (hd, slope)
        m = Where (mask, p, s)
        y = Relu (m)
    """
    weights = {
        "s": np.float32(0.05),
        "z": np.uint8(128),
        "z0": np.uint8(0),
        "zw": np.int8(0),
        "w": _rng().integers(-99, 99, (4, 6)).astype("i1"),
        "slope": np.array([0, 0.1, 0, 0.2, 0, 0], "f4"),
        "mask": np.array([1, 1, 0, 1, 1, 1], bool),
    }
    return Seed(graph("float[n, 4] x", "float[n, 6] y", body, weights).SerializeToString(), {"x": _f(10, 4)})


def _shapes() -> Seed:
    """A flattening as exporters write it, two inputs, a TopK, a gather and a mixture by hand."""
    body = """
        k = MatMul (x, w)
        r = Relu (k)
        sh = Shape (r)
        i0 = Constant <value = int64[1] {0}> ()
        b = Gather (sh, i0)
        m1 = Constant <value = int64[1] {-1}> ()
        to = Concat <axis = 0> (b, m1)
        f = Reshape (r, to)
        t = Transpose <perm = [1, 0]> (f)
        tt = Transpose <perm = [1, 0]> (t)
        e = MatMul (tt, u)
        a = Add (e, other)
        c = Concat <axis = 1> (a, other)
        two = Constant <value = int64[1] {3}> ()
        v, ix = TopK (c, two)
        l, rr = Split <axis = 1, num_outputs = 2> (c)
        g = Mul (l, rr)
        y = Relu (g)
    """
    weights = {"w": _f(3, 5), "u": _f(10, 4)}
    model = graph("float[n, 2, 3] x, float[n, 4] other", "float[n, 4] y, float[n, 3] v", body, weights)
    return Seed(model.SerializeToString(), {"x": _f(8, 2, 3), "other": _f(8, 4)})


def _old() -> Seed:
    """An operator set that is older than most."""
    body = "h = MatMul (x, w)\n r = Relu (h)\n m = MatMul (r, v)\n y = Relu (m)"
    model = graph("float[n, 4] x", "float[n, 3] y", body, {"w": _f(4, 6), "v": _f(6, 3)}, opset=7)
    return Seed(model.SerializeToString(), {"x": _f(20, 4)})


def _deep() -> Seed:
    """Many nodes in a row."""
    chain = "\n".join(f"n{i + 1} = Neg (n{i})" for i in range(150))
    body = f"n0 = MatMul (x, w)\n {chain}\n y = Relu (n150)"
    return Seed(graph("float[n, 4] x", "float[n, 6] y", body, {"w": _f(4, 6)}).SerializeToString(), {"x": _f(20, 4)})


MADE: tuple[Callable[[], Seed], ...] = (_dense, _conv, _branches, _loop, _functions, _recurrent, _codes, _shapes)


@cache
def seeds() -> tuple[Seed, ...]:
    """All that are made here."""
    return tuple(make() for make in MADE)


@cache
def corpus() -> tuple[Seed, ...]:
    """Real models, few samples each; where the corpus is absent, made ones as old and as deep as those are."""
    found: list[Seed] = []
    for name in CORPUS:
        path = SHARED / f"{name}.onnx"
        if path.is_file():
            with np.load(SHARED / f"{name}.inputs.npz") as file:
                data = {key: file[key][:24] for key in file.files}
            found.append(Seed(path.read_bytes(), data))
    return tuple(found) or (_dense(), _old(), _deep())
