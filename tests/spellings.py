"""One small network with planted dead units, and the ways to write it down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort  # noqa: TID251 - as another tool that writes ONNX files
from onnx import numpy_helper
from onnxruntime import quantization  # noqa: TID251 - likewise

from relu_audit.records import Audit, SiteAudit
from tests.graphs import graph
from tests.oracle import Truth, one_by_one, oracle, values

Rectify = Callable[[str, str], str]
"""From the name of the rectified value and that of its source to a line of a graph."""

NARROW = (10, 11, 10, 14, 12, 9)
"""Units by layer, none a multiple of a block of eight: r1, r2 and r3, r4, r5, r6, r7."""
WIDE = (32, 32, 32, 64, 32, 9)
"""The same in whole blocks."""

LAYERS = ("r1", "r2", "r3", "r4", "r5", "r6", "r7")
BATCH_NORM = "h1 = BatchNormalization (c1, s1, o1, m1, v1)"
SAMPLES = 24
MARGIN = 1e-5
"""No pre-activation of any sample is closer to zero than this share of its unit's largest: rounding turns none over."""


@dataclass(frozen=True)
class Net:
    """The network as numbers.

    Attributes:
        units: Units by layer, as in ``NARROW``.
        weights: Initializers by name; each of them is exact in bfloat16.
        dead: Planted dead units by layer.
        faint: Planted units by layer whose pre-activations are of the order of 1e-9: they fire, but not behind codes.
        x: Samples, exact in bfloat16.
        truths: What is true of each layer by brute force.
        reach: Largest magnitude of any pre-activation by layer.
    """

    units: tuple[int, ...]
    weights: Mapping[str, np.ndarray]
    dead: Mapping[str, tuple[int, ...]]
    faint: Mapping[str, tuple[int, ...]]
    x: np.ndarray
    truths: Mapping[str, Truth]
    reach: Mapping[str, float]

    @property
    def data(self) -> dict[str, np.ndarray]:
        return {"x": self.x}


def lines(units: Sequence[int] = NARROW, rectify: Rectify = lambda y, x: f"{y} = Relu ({x})") -> list[str]:
    """The network as lines of a graph: with BatchNorm, pooling, depthwise, grouped, residual, concat, and Gemm."""
    padded = "pads = [1, 1, 1, 1]"
    return [
        f"c1 = Conv <{padded}> (x, k1, b1)",
        BATCH_NORM,
        rectify("r1", "h1"),
        "p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)",
        f"h2 = Conv <{padded}> (p1, k2, b2)",
        rectify("r2", "h2"),
        f"h3 = Conv <{padded}, group = {units[1]}> (r2, k3, b3)",
        rectify("r3", "h3"),
        f"c4 = Conv <{padded}> (r3, k4, b4)",
        "h4 = Add (c4, p1)",
        rectify("r4", "h4"),
        f"h5 = Conv <{padded}, group = 2> (r4, k5, b5)",
        rectify("r5", "h5"),
        "t = Concat <axis = 1> (r4, r5)",
        "h6 = Conv (t, k6, b6)",
        rectify("r6", "h6"),
        "a = GlobalAveragePool (r6)",
        "f = Flatten (a)",
        "h7 = Gemm (f, w7, b7)",
        rectify("r7", "h7"),
        "y = Gemm (r7, w8, b8)",
    ]


INPUTS, OUTPUTS = "float[n, 3, 8, 8] x", "float[n, 5] y"


def written(
    net: Net, body: Sequence[str] | None = None, opset: int = 18, **more: np.ndarray | float | int | bool
) -> onnx.ModelProto:
    """The network, or other lines over its weights, as a model."""
    body = lines(net.units) if body is None else body
    return graph(INPUTS, OUTPUTS, "\n".join(body), dict(net.weights) | more, opset=opset)


@cache
def the_net(units: tuple[int, ...] = NARROW, seed: int = 1) -> Net:
    """Draw the weights, plant the dead, keep samples that come close to no edge, and find the truth by brute force."""
    rng = np.random.default_rng(seed)
    u1, u2, u4, u5, u6, u7 = units

    def drawn(*shape: int) -> np.ndarray:
        fan_in = int(np.prod(shape[1:]))
        return _short(rng.standard_normal(shape) * (1.6 / fan_in**0.5))

    def bias(size: int) -> np.ndarray:
        return _short(rng.standard_normal(size) * 0.2)

    w = {
        "k1": drawn(u1, 3, 3, 3),
        "k2": drawn(u2, u1, 3, 3),
        "k3": drawn(u2, 1, 3, 3),
        "k4": drawn(u4, u2, 3, 3),
        "k5": drawn(u5, u4 // 2, 3, 3),
        "k6": drawn(u6, u4 + u5, 1, 1),
        "w7": np.ascontiguousarray(drawn(u7, u6).T),
        "w8": np.ascontiguousarray(drawn(5, u7).T),
    }
    w |= {f"b{i}": bias(size) for i, size in enumerate((u1, u2, u2, u4, u5, u6, u7, 5), 1)}
    w |= {
        "s1": _short(rng.uniform(0.5, 1.5, u1)),
        "o1": bias(u1),
        "m1": bias(u1),
        "v1": _short(rng.uniform(0.5, 2, u1)),
    }
    w["b6"] = _short(w["b6"] - 0.5)
    dead = {
        "r1": (2, u1 - 1),
        "r2": (0, u2 - 1),
        "r3": (4, u2 - 1),
        "r4": (2, 5),
        "r5": (3, u5 - 1),
        "r6": (7, u6 - 1),
        "r7": (4,),
    }
    w["s1"][2], w["o1"][2], w["o1"][u1 - 1] = 0, -1, -9  # one without any variation, one with
    for layer, kernel in (("r2", "k2"), ("r3", "k3"), ("r5", "k5"), ("r6", "k6")):
        first, last = dead[layer]
        w[kernel][first] = 0
        w["b" + kernel[1]][[first, last]] = -1, -20
    w["k4"][2], w["b4"][2], w["b4"][5] = 0, -1, -13  # the addend of unit 2 is dead as well, that of unit 5 is not
    w["b7"][4] = -6
    faint = {"r6": (1,), "r7": (6,)}
    tiny = np.float32(2.0**-30)
    w["k6"][1], w["b6"][1], w["w7"][:, 6], w["b7"][6] = w["k6"][1] * tiny, tiny, w["w7"][:, 6] * tiny, 4 * tiny
    assert all(np.array_equal(weight, _short(weight)) for weight in w.values())
    model = graph(INPUTS, OUTPUTS, "\n".join(lines(units)), w)
    x = _short(rng.standard_normal((2 * SAMPLES, 3, 8, 8)))
    x = _with_margin(model, x)
    truths = oracle(model, one_by_one({"x": x}), dict.fromkeys(LAYERS, 1))
    before = values(model, [{"x": x}], [f"h{layer[1]}" for layer in LAYERS])[0]
    reach = {layer: float(np.abs(before[f"h{layer[1]}"]).max()) for layer in LAYERS}
    return Net(units=units, weights=w, dead=dead, faint=faint, x=x, truths=truths, reach=reach)


def _short(array: np.ndarray) -> np.ndarray:
    """Rounded to what bfloat16 holds, which is also exact in float16 unless it is tiny."""
    return array.astype(ml_dtypes.bfloat16).astype(np.float32)


def _with_margin(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    shown = values(model, [{"x": x}], [f"h{layer[1]}" for layer in LAYERS])[0]
    safe = np.full(len(x), fill_value=True)
    for value in shown.values():
        apart = np.abs(np.moveaxis(value, 1, 0).reshape(value.shape[1], len(x), -1))
        safe &= (apart.min(axis=2) > MARGIN * apart.max(axis=(1, 2))[:, None]).all(axis=0)
    assert safe.sum() >= SAMPLES, f"only {safe.sum()} samples keep the margin"
    return x[safe][:SAMPLES]


def saved(model: onnx.ModelProto, folder: Path, level: str) -> Path:
    """The model as onnxruntime saves it at an optimization level: BASIC, EXTENDED or ALL."""
    path = folder / f"{level.lower()}.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return path


def operators(model: onnx.ModelProto | Path) -> list[str]:
    """Operator types in graph order."""
    model = onnx.load(model) if isinstance(model, Path) else model
    return [node.op_type for node in model.graph.node]


def in_type(model: onnx.ModelProto, dtype: np.dtype) -> onnx.ModelProto:
    """The model with another floating-point type throughout."""
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    to = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for weight in moved.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(dtype), weight.name))
    for value in (*moved.graph.input, *moved.graph.output):
        value.type.tensor_type.elem_type = to
    return moved


COUNTED = ("units", "samples", "positions", "fired_samples", "fired_positions", "first_fired", "dead")


def told(site: SiteAudit) -> dict[str, object]:
    """What an audit says of a layer, as far as rounding cannot change it."""
    return {name: getattr(site, name) for name in (*COUNTED, "always_on")}


def true(truth: Truth) -> dict[str, object]:
    """The same by brute force."""
    lists = {name: getattr(truth, name) for name in (*COUNTED[1:], "always_on")}
    return {"units": len(truth.peak), **{k: tuple(v) if isinstance(v, list) else v for k, v in lists.items()}}


def assert_one_verdict(audit: Audit, net: Net, layers: Sequence[str] = LAYERS) -> None:
    """Every layer of the network is a site of the audit, in order, with the counts of the plain spelling."""
    assert not audit.skipped
    assert [site.units for site in audit.sites] == [len(net.truths[layer].peak) for layer in layers]
    for layer, site in zip(layers, audit.sites, strict=True):
        assert told(site) == true(net.truths[layer]), f"{layer}, told as {site.tensor}"


def within(body: Sequence[str], outputs: str, name: str) -> str:
    """Lines as the body of an operator."""
    return f"{name} = {name}_of () => ({outputs}) {{ {chr(10).join(body)} }}"


def with_functions(model: onnx.ModelProto, *texts: str, opset: int = 18) -> onnx.ModelProto:
    """The model with functions of domain ``local``, from texts such as ``Act (a) => (b) { b = Relu (a) }``."""
    for text in texts:
        header = f'<domain: "local", opset_import: ["" : {opset}, "local" : 1]>'
        model.functions.append(onnx.parser.parse_function(f"{header} {text}"))
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    if opset == 18:  # the checker refuses functions of another opset than the model's
        onnx.checker.check_model(model)
    return model


class Reader(quantization.CalibrationDataReader):
    """Feeds for a quantizer to calibrate on."""

    def __init__(self, feed: Mapping[str, np.ndarray]) -> None:
        self._feeds = iter([dict(feed)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def quantized(model: onnx.ModelProto | Path, data: Mapping[str, np.ndarray], path: Path, **options: object) -> Path:
    """The model as onnxruntime's static quantizer writes it, calibrated on the data."""
    own = onnx.load(model) if isinstance(model, Path) else onnx.ModelProto.FromString(model.SerializeToString())
    quantization.quantize_static(own, path, Reader(data), **options)  # type: ignore[arg-type]
    return path


def result(model: onnx.ModelProto | Path, feed: Mapping[str, np.ndarray], *names: str) -> list[np.ndarray]:
    """Values of a model on one feed, as onnxruntime runs it: all its results, or the tensors named."""
    proto = onnx.load(model) if isinstance(model, Path) else onnx.ModelProto.FromString(model.SerializeToString())
    have = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(names) or None, dict(feed))


def codes_fired(codes: np.ndarray, zero_point: int, axis: int = 1) -> dict[str, object]:
    """What the codes of one tensor, samples first, say of its units: a unit fires where its code is above zero's."""
    fires = np.moveaxis(codes.astype(np.int64) > zero_point, axis, 1)
    fires = fires.reshape(*fires.shape[:2], -1)
    some = fires.any(axis=2)
    return {
        "units": fires.shape[1],
        "samples": len(codes),
        "positions": len(codes) * fires.shape[2],
        "fired_samples": tuple(some.sum(axis=0).tolist()),
        "fired_positions": tuple(fires.sum(axis=(0, 2)).tolist()),
        "first_fired": tuple(int(unit.argmax()) if unit.any() else None for unit in some.T),
        "dead": tuple(np.flatnonzero(~some.any(axis=0)).tolist()),
    }


def counted(site: SiteAudit) -> dict[str, object]:
    """The same of a site."""
    return {name: getattr(site, name) for name in COUNTED}


ZERO_POINTS = {"QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7, "QLinearAdd": 7, "QGemm": 8}


def zero_point(model: Path, tensor: str) -> int:
    """The zero point of codes in a file, from the operator that makes them."""
    graph = onnx.load(model).graph
    node = next(node for node in graph.node if tensor in node.output)
    held = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    return int(held[node.input[ZERO_POINTS[node.op_type]]])
