"""How to call each operator: operands and attributes, for the tests that ask the operators themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime as ort  # noqa: TID251 - the operators themselves are asked, not the code under test
from onnx import TensorProto, helper, numpy_helper

MS, ML = "com.microsoft", "ai.onnx.ml"
MARKS = "test.marks"
"""Domain of operators that mark an operand in the model that the tool reads, and of which nothing runs."""


@dataclass(frozen=True)
class Data:
    """An operand that is fed.

    Attributes:
        shape: Its shape.
        dtype: Its element type.
        zero: The code that stands for zero.
        most: The largest number, of indices.
        axis: The axis along which what is known of it differs.
    """

    shape: tuple[int, ...] = (2, 3, 4)
    dtype: Any = np.float32
    zero: int = 0
    most: int | None = None
    axis: int = 1

    @property
    def floats(self) -> bool:
        return np.issubdtype(self.dtype, np.floating)

    @property
    def numbers(self) -> bool:
        """Whether signs matter of it: neither truth values nor indices."""
        return self.dtype is not np.bool_ and self.most is None


Operand = Data | np.ndarray | None
Front = Callable[[Data, str, str], list[onnx.NodeProto]]


@dataclass(frozen=True, eq=False)
class Call:
    """One way to call an operator.

    Attributes:
        op: The operator.
        operands: What it reads: what is fed, constants, and None for those left out.
        note: What sets the call apart from others of the operator.
        domain: Domain of the operator.
        opset: Version of the default domain, or of ai.onnx.ml if the operator is of that one.
        outputs: Number of results.
        zeros: Of results that are codes, the code that stands for zero, or the result that holds the code.
        attributes: Attributes.
        by: The same in nodes that can be run, where neither runtime has a kernel; operands are ``x0``, ``x1``, ...
    """

    op: str
    operands: Sequence[Operand]
    note: str = ""
    domain: str = ""
    opset: int = 18
    outputs: int = 1
    zeros: Mapping[int, int | Callable[[Sequence[np.ndarray]], np.ndarray]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    by: Sequence[onnx.NodeProto] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.domain, self.op

    @property
    def name(self) -> str:
        plain = f"{self.domain}.{self.op}" if self.domain else self.op
        return f"{plain}: {self.note}" if self.note else plain

    @property
    def fed(self) -> dict[int, Data]:
        return {i: one for i, one in enumerate(self.operands) if isinstance(one, Data)}

    @property
    def opsets(self) -> dict[str, int]:
        """Versions of the operator sets."""
        opset, ml = (18, self.opset) if self.domain == ML else (self.opset, 3)
        return {"": opset, ML: ml, MS: 1, MARKS: 1}

    def graph(self, prefix: str = "", front: Front | None = None) -> onnx.GraphProto:
        """The call as a graph.

        Args:
            prefix: How the names of all values begin.
            front: Makes the nodes in front of an operand that is fed, from the name of what is fed and of the operand.
        """
        inputs, weights, before, values = [], [], list[onnx.NodeProto](), []
        for i, one in enumerate(self.operands):
            name = f"{prefix}x{i}"
            if isinstance(one, Data):
                kind, fed = helper.np_dtype_to_tensor_dtype(np.dtype(one.dtype)), f"{prefix}d{i}" if front else name
                inputs.append(helper.make_tensor_value_info(fed, kind, one.shape))
                if front:
                    values.append(helper.make_tensor_value_info(name, kind, one.shape))
                    before += front(one, fed, name)
            elif one is not None:
                weights.append(numpy_helper.from_array(one, name))
        reads = ["" if one is None else f"{prefix}x{i}" for i, one in enumerate(self.operands)]
        gives = [f"{prefix}y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, reads, gives, domain=self.domain, **self.attributes)
        outputs = [onnx.ValueInfoProto(name=name) for name in gives]
        if front:  # typed as exporters do, since shapes of few operators of other domains are inferred
            outputs = [_declared(name, one) for name, one in zip(gives, self.sample, strict=True)]
        nodes = [*before, *([node] if prefix or front else self.by or [node])]
        return helper.make_graph(nodes, "call", inputs, outputs, weights, value_info=values)

    @cached_property
    def sample(self) -> list[np.ndarray]:
        """Results of some numbers."""
        return self.run(next(feeds(self, {}, 0)))

    @cached_property
    def run(self) -> Callable[[Mapping[int, np.ndarray]], list[np.ndarray]]:
        """The operator itself: results from what is fed."""
        model = joined([self.graph()], self.opsets)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        try:
            session: Any = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception:  # it raises classes of its own
            session = onnx.reference.ReferenceEvaluator(model)

        def results(fed: Mapping[int, np.ndarray]) -> list[np.ndarray]:
            with np.errstate(all="ignore"):
                return [
                    np.asarray(one)
                    for one in session.run(None, {f"x{i}": np.asarray(array) for i, array in fed.items()})
                ]

        return results


def _declared(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def joined(graphs: Sequence[onnx.GraphProto], opsets: Mapping[str, int]) -> onnx.ModelProto:
    """Several graphs as one model."""
    whole = onnx.GraphProto(name="calls")
    for graph in graphs:
        whole.MergeFrom(graph)
    whole.name = "calls"
    return helper.make_model(whole, opset_imports=[helper.make_opsetid(*one) for one in opsets.items()], ir_version=10)


# The table ------------------------------------------------------------------------------------------------------------

X, IMAGE, ROW, COLUMN = Data(), Data((2, 3, 4, 4)), Data((4,)), Data((2, 3, 1))
BOOLS, WHOLE = Data(dtype=np.bool_), Data(dtype=np.int64)
CODES, SIGNED = Data(dtype=np.uint8, zero=9), Data(dtype=np.int8)
SOME = np.array([0.5, -1, 0, 2], np.float32)


def f(*numbers: float) -> np.ndarray:
    return np.array(numbers if len(numbers) > 1 else numbers[0], np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def drawn(*shape: int) -> np.ndarray:
    """Whole and half numbers of both signs."""
    return np.random.default_rng(list(shape)).integers(-4, 5, shape).astype(np.float32) / 2


def of(op: str, *operands: Operand, note: str = "", opset: int = 18, outputs: int = 1, **attributes: Any) -> Call:
    return Call(op, operands, note, opset=opset, outputs=outputs, attributes=attributes)


def _entrywise() -> Iterator[Call]:
    plain = """
        Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor HardSigmoid HardSwish Identity
        LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh
        ThresholdedRelu IsNaN IsInf
    """
    yield from (of(op, X) for op in plain.split())
    yield from (of("Gelu", X, opset=20), of("Swish", X, opset=24))
    yield from (of("Abs", WHOLE, note="whole"), of("Neg", WHOLE, note="whole"), of("Sign", WHOLE, note="whole"))
    yield from (of("Not", BOOLS), of("Identity", BOOLS, note="of truth"), of("BitwiseNot", WHOLE))
    yield of("LeakyRelu", X, note="steep", alpha=2.0)
    yield of("LeakyRelu", X, note="turned", alpha=-0.5)
    yield of("LeakyRelu", X, note="flat", alpha=0.0)
    yield of("HardSigmoid", X, note="turned", alpha=-0.5, beta=0.25)
    yield of("ThresholdedRelu", X, note="below zero", alpha=-0.5)
    yield of("Elu", X, note="flat", alpha=0.0)
    yield of("Elu", X, note="turned", alpha=-0.5)
    yield of("Celu", X, note="steep", alpha=2.0)
    yield of("Selu", X, note="of its own", alpha=0.5, gamma=2.0)
    yield of("Shrink", X, note="of its own", bias=0.25, lambd=1.0)
    yield of("IsInf", X, note="above", detect_negative=0)
    yield of("Dropout", X, outputs=2)
    yield of("Dropout", X, note="by rate", opset=10, ratio=0.25)


def _of_several() -> Iterator[Call]:
    for op in ("Add", "Sub", "Mul", "Div", "Pow"):
        yield of(op, X, X, note="both fed")
        yield of(op, X, ROW, note="spread")
        yield of(op, X, f(2), note="two")
        yield of(op, X, f(1), note="one")
        yield of(op, f(-1.5), X, note="behind a constant")
        yield of(op, X, f(1, -0.5, 2, 3), note="vector")
    for op in ("Min", "Max", "Sum", "Mean"):
        yield of(op, X, note="of one")
        yield of(op, X, X)
        yield of(op, X, ROW, X, note="of three")
        yield of(op, X, SOME, note="vector")
        yield of(op, f(0), X, note="zero")
    yield of("PRelu", X, ROW)
    yield of("PRelu", X, SOME, note="vector")
    yield of("Mod", X, X, fmod=1)
    yield of("Mod", WHOLE, ints(3), note="whole")
    yield of("Where", BOOLS, X, X)
    yield of("Where", BOOLS, X, SOME, note="vector")
    yield of("Where", BOOLS, f(0), X, note="zero")
    yield from (of(op, X, X) for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"))
    yield from (of(op, BOOLS, BOOLS) for op in ("And", "Or", "Xor"))
    yield from (of(op, WHOLE, WHOLE) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"))
    yield of("BitShift", Data(dtype=np.uint8), np.array([1, 2, 3, 4], np.uint8), direction="RIGHT")
    bounds: list[tuple[str, float | None, float | None]] = [
        ("0 and 6", 0, 6),
        ("both sides", -1, 0.5),
        ("below zero", None, -1),
        ("up to zero", None, 0),
        ("all below zero", -2, -1),
        ("exchanged", 1, -1),
        ("open", -0.5, None),
        ("nothing", None, None),
        ("above zero", 0.5, None),
    ]
    for note, low, high in bounds:
        yield of("Clip", X, *(None if end is None else f(end) for end in (low, high)), note=note)
        given = {name: float(end) for name, end in (("min", low), ("max", high)) if end is not None}
        yield of("Clip", X, note=f"{note}, by attributes", opset=6, **given)
    yield of("Clip", X, Data(()), note="minimum fed")
    yield of("Clip", X, Data(()), f(2), note="minimum fed, below two")
    yield of("Clip", X, f(-1), Data(()), note="maximum fed")


CODES_BELOW = Data(dtype=np.int8, zero=-128)


def _casts() -> Iterator[Call]:
    floats, whole = (np.float16, np.float32, np.float64), (np.int8, np.uint8, np.int32, np.int64, np.bool_)
    pairs = [
        *((X, kind) for kind in (*floats, *whole)),
        *((Data(dtype=kind), np.float32) for kind in whole),
        (BOOLS, np.bool_),
        *((Data(dtype=a), b) for a, b in ((np.uint8, np.int8), (np.int64, np.int32), (np.int32, np.int64))),
        (Data(dtype=np.uint16), np.int8),
        (Data(dtype=np.uint8), np.int32),
    ]
    for source, kind in pairs:
        note, to = (
            f"{np.dtype(source.dtype).name} to {np.dtype(kind).name}",
            helper.np_dtype_to_tensor_dtype(np.dtype(kind)),
        )
        yield of("Cast", source, note=note, to=to)
        yield of("CastLike", source, np.zeros(1, kind), note=note)
    yield of("Cast", CODES_BELOW, note="codes", to=TensorProto.FLOAT)
    yield of("CastLike", CODES_BELOW, f(0), note="codes")


def _moves() -> Iterator[Call]:
    yield of("Transpose", X, perm=[2, 0, 1])
    yield of("Transpose", X, note="back to front")
    yield of("Reshape", X, ints(2, 12))
    yield of("Reshape", X, ints(0, 0, 2, 2), note="keeps")
    yield of("Flatten", X)
    yield of("Flatten", X, note="axis 2", axis=2)
    yield of("Squeeze", Data((2, 1, 3, 1)), ints(1))
    yield of("Squeeze", Data((2, 1, 3, 1)), note="all")
    yield of("Squeeze", Data((2, 1, 3, 1)), note="by attribute", opset=12, axes=[3])
    yield of("Unsqueeze", X, ints(1, 3))
    yield of("Unsqueeze", X, note="by attribute", opset=12, axes=[0])
    yield of("Split", X, ints(1, 2), outputs=2, axis=1)
    yield of("Split", X, note="in halves", outputs=2, axis=2, num_outputs=2)
    yield of("Split", X, note="by attribute", opset=11, outputs=2, axis=1, split=[2, 1])
    yield of("Slice", X, ints(1), ints(3), ints(1))
    yield of("Slice", X, ints(-1), ints(-9), ints(1), ints(-1), note="backwards")
    yield of("Slice", X, note="by attributes", opset=9, starts=[0, 1], ends=[9, 3], axes=[0, 1])
    yield of("Gather", X, ints(2, 0), axis=1)
    yield of("Gather", X, Data((2, 2), np.int64, most=2), note="indices fed", axis=1)
    yield of("GatherElements", X, Data((2, 3, 4), np.int64, most=2), axis=1)
    yield of("GatherND", X, ints(0, 1))
    yield of("Expand", COLUMN, ints(2, 2, 3, 4))
    yield of("Tile", X, ints(1, 2, 1))
    yield of("Concat", X, X, axis=1)
    yield of("Concat", X, Data((2, 2, 4)), drawn(2, 1, 4), note="of three", axis=1)
    yield of("Concat", X, f(3).reshape(1, 1, 1).repeat(4, 2).repeat(2, 0), note="a constant", axis=-2)
    yield of("Compress", X, np.array([True, False, True]), axis=1)
    yield of("DepthToSpace", Data((2, 4, 2, 2)), blocksize=2)
    yield of("SpaceToDepth", IMAGE, blocksize=2)
    yield of("Shape", X)
    yield of("Size", X)
    yield of("NonZero", X)
    yield of("ConstantOfShape", Data((2,), np.int64, most=3), value=numpy_helper.from_array(f(-2).reshape(1)))
    yield of("OneHot", Data((2, 3), np.int64, most=3), ints(4), f(0, 1))
    yield of("OneHot", Data((2, 3), np.int64, most=3), ints(4), f(-1, 1), note="signs")
    yield of("OneHot", Data((2, 3), np.int64, most=3), ints(4), f(2, -1), note="on below zero")
    yield of("OneHot", Data((2, 3), np.int64, most=3), ints(4), Data((2,)), note="values fed")
    pads = ints(0, 1, 0, 0, 0, 2)
    yield of("Pad", X, pads)
    for number in (-1.0, 0.0, 2.5):
        yield of("Pad", X, pads, f(number), note=f"with {number:g}")
        yield of("Pad", X, note=f"with {number:g}, by attributes", opset=10, pads=pads.tolist(), value=number)
    yield of("Pad", X, pads, Data(()), note="value fed")
    yield of("Pad", X, ints(0, 0, 1, 0, 0, 2), note="reflected", mode="reflect")
    yield of("Pad", X, ints(0, 1, 1, 0, 2, 0), note="edge", mode="edge")


def _images() -> Iterator[Call]:
    window = {"kernel_shape": [2, 2]}
    border: dict[str, Any] = {**window, "pads": [1, 1, 0, 0]}
    yield of("MaxPool", IMAGE, outputs=2, **window)
    yield of("MaxPool", IMAGE, note="padded", **border)
    yield of("MaxPool", IMAGE, note="ceiling", ceil_mode=1, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    yield of("AveragePool", IMAGE, **window)
    yield of("AveragePool", IMAGE, note="padded", **border)
    yield of("AveragePool", IMAGE, note="zeros count", count_include_pad=1, **border)
    yield of("LpPool", IMAGE, **window)
    yield from (of(op, IMAGE) for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"))
    for note, chosen in {
        "": {},
        "alpha below zero": {"alpha": -8.0, "beta": 1.0},
        "bias below zero": {"alpha": 0.0, "beta": 1.0, "bias": -1.0},
    }.items():
        yield of("LRN", IMAGE, note=note, size=3, **chosen)
    scales = f(1, 1, 2, 1.5)
    yield of("Upsample", IMAGE, scales, opset=9)
    yield of("Upsample", IMAGE, scales, note="linear", opset=9, mode="linear")
    yield of("Resize", IMAGE, None, scales)
    yield of("Resize", IMAGE, None, scales, note="linear", mode="linear")
    yield of("Resize", IMAGE, None, f(1, 1, 0.5, 0.5), note="antialiased", mode="linear", antialias=1)
    yield of("Resize", IMAGE, None, scales, note="cubic", mode="cubic")
    yield of("Resize", IMAGE, f(0, 0, -0.5, 0, 1, 1, 1.5, 1), scales, note="beyond", **BEYOND, extrapolation_value=-3.0)
    yield of("Resize", IMAGE, f(0, 0, -0.5, 0, 1, 1, 1.5, 1), scales, note="beyond, zero", **BEYOND)


BEYOND: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}


def _reductions() -> Iterator[Call]:
    for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"):
        yield of(f"Reduce{op}", X, ints(2))
        yield of(f"Reduce{op}", X, note="all", keepdims=0)
        yield of(f"Reduce{op}", X, ints(-2), note="gone", keepdims=0)
        yield of(f"Reduce{op}", X, note="by attribute", opset=11, axes=[0, 2])
    yield of("ReduceMean", X, note="none", noop_with_empty_axes=1)
    yield of("ArgMax", X)
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        yield of(op, X)
        yield of(op, X, note="flattened", opset=11)
    yield of("LpNormalization", X)
    yield of("CumSum", X, np.array(1))
    yield of("TopK", X, ints(2), outputs=2)
    yield of("BatchNormalization", IMAGE, f(2, -1, 0), f(0.5, 1, -1), f(1, -1, 2), f(0.5, 2, 1))
    yield of("BatchNormalization", IMAGE, *(f(1, 2, 3),) * 4, note="epsilon", epsilon=0.5)
    yield of("InstanceNormalization", Data((2, 3, 2, 2)), f(2, -1, 0), f(0.5, 1, -1), epsilon=1e-12)
    yield of("GroupNormalization", Data((2, 4, 3)), f(2, -1, 0, 1), f(0.5, 1, -1, 0), opset=21, **GROUPS)
    yield of("LayerNormalization", X, f(2, -1, 0, 1), f(0.5, 1, -1, 0), axis=-1, epsilon=1e-12)
    yield of("LayerNormalization", X, drawn(3, 4), None, note="two axes", axis=1, epsilon=1e-12)
    yield of("RMSNormalization", X, f(2, -1, 0.5, 1), opset=23, axis=-1, epsilon=1e-12)
    yield of("MeanVarianceNormalization", IMAGE)


GROUPS: dict[str, Any] = {"num_groups": 2, "epsilon": 1e-12}


def _products() -> Iterator[Call]:
    yield of("Conv", Data((2, 2, 3)), drawn(3, 2, 2), f(1, -1, 0.5))
    yield of("Conv", Data((2, 2, 3)), drawn(3, 2, 2), note="padded", pads=[1, 0])
    yield of("Conv", Data((2, 4, 3)), drawn(2, 2, 1), note="grouped", group=2)
    yield of("ConvTranspose", Data((2, 2, 3)), drawn(2, 3, 2), f(1, -1, 0.5), note="of two places")
    yield of("ConvTranspose", Data((2, 2, 3)), drawn(2, 3, 1), note="of one place")
    rows, columns = Data((2, 4)), Data((4, 2), axis=0)
    yield of("Gemm", rows, drawn(4, 3), f(1, -1, 2), alpha=-0.5, beta=2.0)
    yield of("Gemm", rows, drawn(3, 4), note="turned", transB=1)
    yield of("Gemm", drawn(3, 4), columns, note="behind", beta=-1.0)
    yield of("Gemm", Data((9, 4)), drawn(4, 3), Data((9, 3)), note="bias fed", beta=-1.0)
    yield of("MatMul", Data(axis=2), drawn(4, 2))
    yield of("MatMul", drawn(2, 3), X, note="behind")
    yield Call("FusedMatMul", (Data(axis=2), drawn(4, 2)), domain=MS, attributes={"alpha": -2.0})


def _quantized() -> Iterator[Call]:
    s, t = f(0.25), f(0.5)
    least = {np.uint8: 0, np.int8: -128, np.uint16: 0, np.int16: -(1 << 15)}

    def code(zero: int, kind: Any = np.uint8) -> np.ndarray:
        return np.array(zero, kind)

    for domain, opset in (("", 21), (MS, 18)):
        for kind, low in least.items():
            for zero in (low, low + 9, 64):
                note = f"{np.dtype(kind).name}, {zero}"
                yield Call("QuantizeLinear", (X, s, code(zero, kind)), note, domain, opset, zeros={0: zero})
                fed = Data(dtype=kind, zero=zero)
                yield Call("DequantizeLinear", (fed, s, code(zero, kind)), note, domain, opset)
    yield of("QuantizeLinear", X, s, note="no zero point")
    yield of("QuantizeLinear", X, s, note="int8 by attribute", opset=21, output_dtype=TensorProto.INT8)
    yield of("QuantizeLinear", X, s, note="uint16 by attribute", opset=21, output_dtype=TensorProto.UINT16)
    per_channel = (f(0.25, 0.5, 2), np.array([0, 3, 9], np.uint8))
    yield Call("QuantizeLinear", (X, *per_channel), "per channel", zeros={0: lambda _: per_channel[1][:, None]})
    for kind in (np.uint8, np.int8, np.int32):
        yield of("DequantizeLinear", Data(dtype=kind), s, note=f"{np.dtype(kind).name}, no zero point")
    codes = Data((2, 4, 4), np.int8)
    yield Call(
        "DequantizeLinear",
        (codes, f(*np.linspace(0.1, 0.8, 16)).reshape(2, 2, 4), np.zeros((2, 2, 4), np.int8)),
        "blocks",
        opset=21,
        attributes={"axis": 1, "block_size": 2},
    )
    yield Call("DequantizeLinear", (codes, f(-0.25), code(0, np.int8)), "negative scale")
    yield Call("DynamicQuantizeLinear", (X,), outputs=3, zeros={0: lambda made: made[2]})
    for kind in (np.uint8, np.int8):
        note, image = f"{np.dtype(kind).name}, no zero point", Data((2, 3, 4, 4), kind)
        yield Call("QLinearSigmoid", (image, s, None, t, None), note, MS)
        yield Call("QLinearLeakyRelu", (image, s, None, t, None), note, MS)
    for zero, result in ((9, 0), (0, 9), (9, 64)):
        note = f"{zero} to {result}"
        a, z, y = Data(dtype=np.uint8, zero=zero), code(zero), code(result)
        image = Data((2, 3, 4, 4), np.uint8, zero=zero)
        weight, zeros, pool = np.array(drawn(2, 3, 2, 2) * 2, np.int8), {0: result}, {"kernel_shape": [2, 2]}
        held = code(0, np.int8)
        conv, matrix = (image, s, z, weight, t, held, f(8), y), np.array(drawn(4, 2) * 2, np.int8)
        yield Call("QLinearConv", conv, note, zeros=zeros)
        yield Call("QLinearConv", (*conv, np.array([90, -90], np.int32)), note, MS, zeros=zeros)
        yield Call("QLinearMatMul", (a, s, z, matrix, t, held, f(8), y), note, zeros=zeros)
        flat = Data((2, 4), np.uint8, zero=zero)
        gemm = (flat, s, z, matrix, t, held, np.array([90, -90], np.int32))
        yield Call("QGemm", (*gemm, f(8), y), note, MS, zeros=zeros)
        yield Call("QGemm", gemm, f"{note}, floats", MS)
        for op in ("QLinearAdd", "QLinearMul"):
            yield Call(op, (a, s, z, a, t, z, t, y), note, MS, zeros=zeros)
            other = Data(dtype=np.uint8, zero=99)
            yield Call(op, (a, s, z, other, t, code(99), t, y), f"{note}, other", MS, zeros=zeros)
            yield Call(op, (other, t, code(99), a, s, z, t, y), f"{note}, other first", MS, zeros=zeros)
        for op in ("QLinearLeakyRelu", "QLinearSigmoid"):
            yield Call(op, (a, s, z, t, y), note, MS, zeros=zeros, attributes={"alpha": 0.5} if "L" in op[7:] else {})
        yield Call("QLinearSoftmax", (a, s, z, t, y), note, MS, zeros=zeros, attributes={"opset": 13})
        yield Call("QLinearAveragePool", (image, s, z, t, y), note, MS, zeros=zeros, attributes=pool)
        yield Call("QLinearGlobalAveragePool", (image, s, z, t, y), note, MS, zeros=zeros)
        by = (
            helper.make_node("DequantizeLinear", ["x0", "x1", "x2"], ["f"]),
            helper.make_node("ReduceMean", ["f"], ["m"], axes=[1]),
            helper.make_node("QuantizeLinear", ["m", "x3", "x4"], ["y0"]),
        )
        yield Call("QLinearReduceMean", (a, s, z, t, y), note, MS, 17, zeros=zeros, attributes={"axes": [1]}, by=by)
        yield Call("QLinearConcat", (t, y, a, s, z, a, t, z), note, MS, zeros=zeros, attributes={"axis": 1})
        yield Call("QLinearWhere", (BOOLS, a, s, z, a, t, z, t, y), note, MS, zeros=zeros)
    yield Call(
        "NhwcMaxPool", (Data((2, 4, 4, 3), np.uint8, 9),), domain=MS, zeros={0: 9}, attributes={"kernel_shape": [2, 2]}
    )


def _trees() -> Iterator[Call]:
    yield Call("Imputer", (Data((2, 3)),), domain=ML, attributes={"replaced_value_float": np.nan, **FILLED})
    yield Call("Imputer", (Data((2, 3)),), "not of NaN", ML, attributes={"replaced_value_float": 0.0, **FILLED})
    lost = {"replaced_value_float": np.nan, "imputed_value_floats": [1.0, np.nan, 2.0]}
    yield Call("Imputer", (Data((2, 3)),), "by NaN", ML, attributes=lost)
    tree: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [1, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
    }
    for kind, name, more in (
        ("Regressor", "target", {"n_targets": 1}),
        ("Classifier", "class", {"classlabels_int64s": [0, 1]}),
    ):
        leaves = {f"{name}_{part}": value for part, value in LEAVES.items()}
        outputs = 1 if kind == "Regressor" else 2
        given = {**tree, **leaves, **more}
        yield Call(f"TreeEnsemble{kind}", (Data((2, 3)),), domain=ML, outputs=outputs, opset=3, attributes=given)
    made = {
        "aggregate_function": 1,
        "leaf_targetids": [0, 0],
        "leaf_weights": helper.make_tensor("w", TensorProto.FLOAT, (2,), [1.0, -2.0]),
        "n_targets": 1,
        "nodes_falseleafs": [1],
        "nodes_falsenodeids": [1],
        "nodes_featureids": [1],
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, (1,), [0]),
        "nodes_splits": helper.make_tensor("s", TensorProto.FLOAT, (1,), [0.5]),
        "nodes_trueleafs": [1],
        "nodes_truenodeids": [0],
        "post_transform": 0,
        "tree_roots": [0],
    }
    yield Call("TreeEnsemble", (Data((2, 3)),), domain=ML, opset=5, attributes=made)


FILLED: dict[str, Any] = {"imputed_value_floats": [1.0, 2.0, 3.0]}
LEAVES: dict[str, Any] = {"treeids": [0, 0], "nodeids": [1, 2], "ids": [0, 0], "weights": [1.0, -2.0]}

CALLS: Sequence[Call] = [
    call
    for calls in (
        _entrywise,
        _of_several,
        _casts,
        _moves,
        _images,
        _reductions,
        _products,
        _quantized,
        _trees,
    )
    for call in calls()
]


# Numbers --------------------------------------------------------------------------------------------------------------

CORNERS = np.array([0, 0.25, 0.5, 1, 1.5, 2, 3, 7.25, 90, 1e-30, 2.0**-126, 1e30, np.inf])
WHOLE_CORNERS = np.array([0, 1, 2, 3, 5, 10, 100])


NON_NEGATIVE, POSITIVE = "NonNegative", "Positive"
"""What may be known of the numbers of an operand."""

POOLS = {
    "": np.concatenate([CORNERS, -CORNERS, -CORNERS[:9]]),
    NON_NEGATIVE: CORNERS,
    POSITIVE: CORNERS[CORNERS >= 2.0**-126],
}


def numbers(data: Data, state: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """Numbers of an operand, several times: of any sign, or as its state says; positive ones are not too small."""
    shape = (count, *data.shape)
    if data.dtype is np.bool_:
        return rng.random(shape) < 0.5
    if data.most is not None:
        return rng.integers(0, data.most + 1, shape).astype(data.dtype)
    if data.floats:
        pool = POOLS[state].astype(data.dtype)
        chosen = rng.integers(len(pool), size=shape)
        # One number throughout as well, since few entries are enough to hide what others do.
        chosen[::4] = rng.integers(len(pool), size=(len(chosen[::4]), *(1,) * len(data.shape)))
        return pool[chosen]
    ends = np.iinfo(data.dtype)
    pool = np.concatenate([data.zero + WHOLE_CORNERS, data.zero - WHOLE_CORNERS, [ends.min, ends.max]])
    # The least number of a large type has no opposite.
    lowest = ends.min if data.dtype not in (np.int32, np.int64) else ends.min + 1
    least = {"": lowest, NON_NEGATIVE: data.zero, POSITIVE: data.zero + 1}[state]
    pool = pool[(pool >= least) & (pool <= ends.max)].astype(data.dtype)
    return pool[rng.integers(len(pool), size=shape)]


def feeds(call: Call, states: Mapping[int, str], count: int) -> Iterator[dict[int, np.ndarray]]:
    """Numbers for all operands: the least throughout or in one place, small ones, and any numbers."""
    rng = np.random.default_rng(0)
    fed = call.fed
    for places in (slice(None), slice(1)):
        yield {i: _least(data, states.get(i, ""), places, rng) for i, data in fed.items()}
    small = {i: np.full(data.shape, 2.0**-9, data.dtype) for i, data in fed.items() if data.floats}
    drawn = {i: numbers(data, states.get(i, ""), rng, count) for i, data in fed.items()}
    for draw in range(count):
        yield {i: several[draw] for i, several in drawn.items()} | (small if draw == 0 else {})


def _least(data: Data, state: str, places: slice, rng: np.random.Generator) -> np.ndarray:
    if not data.floats:
        return numbers(data, state, rng, 1)[0]
    made = np.full(data.shape, 2, data.dtype)
    made.reshape(-1)[places] = {"": -2, NON_NEGATIVE: 0, POSITIVE: 1}[state]
    return made
