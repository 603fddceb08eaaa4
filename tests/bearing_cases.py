"""What stands between a weight and a rectifier: the line that the audit reads off it, against what is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.values import bounds
from relu_audit.values.bearing import Bearings, Path
from relu_audit.values.spans import Spans
from tests.graphs import graph
from tests.move_cases import MOVES, Case
from tests.prune_checks import session

Key = tuple[str, str]
MS = "com.microsoft"
RNG = np.random.default_rng(5)
ROWS = 8


def whole(*shape: int) -> np.ndarray:
    return RNG.integers(1, 5, shape).astype(np.float32)


@dataclass(frozen=True)
class Bearing:
    """Nodes from ``x``, sums of a convolution, to ``y``.

    Attributes:
        body: The nodes.
        weights: What else they read.
        opset: Version of the operator set.
        other: Whether they add something that is computed, so that nothing is said of how much.
        scaled: Whether the sums count; not where moments of the data take their place.
        lost: Whether no line holds, and the path must end.
        kind: Element type of ``y``.
        own: Numbers of parameters that belong to one unit alone: one of the convolution's bias, and those of the body.
    """

    body: str
    weights: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    opset: int = 18
    other: bool = False
    scaled: bool = True
    lost: bool = False
    kind: int = TensorProto.FLOAT
    own: int = 1

    def model(self) -> onnx.ModelProto:
        first = {"kernel": RNG_K, "bias": RNG_B}
        text = f"x = Conv (image, kernel, bias)\n {self.body}"
        made = graph("float[1, 3, 4, 4] image", "float y", text, first | dict(self.weights), self.opset, ir=10)
        made.graph.output[0].ClearField("type")
        # Inference knows nothing of the runtime's own operators.
        shape = session(made, optimised=False).run(None, {"image": np.zeros((1, 3, 4, 4), np.float32)})[0].shape
        made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", self.kind, shape))
        return made


RNG_K = RNG.integers(-3, 4, (ROWS, 3, 1, 1)).astype(np.float32)
RNG_B = RNG.integers(-3, 4, ROWS).astype(np.float32)
CHANNELS = {"c": np.arange(1, 9, dtype=np.float32).reshape(8, 1, 1) * np.float32(0.5) - 2.25}
NORM = {"g": whole(8) - 3, "s": whole(8), "m": whole(8), "v": whole(8)}
CODES = {"s": np.float32(0.5), "z": np.int8(3)}
EACH = {"s": np.exp2(np.arange(8) % 3 - 1).astype(np.float32), "z": np.arange(8, dtype=np.int8)}
GAMMA = {"g": whole(8) - 3, "s": whole(8)}


KINDS = {"to = 11": TensorProto.DOUBLE, "to = 6": TensorProto.INT32, "float64": TensorProto.DOUBLE}
KINDS |= {"int32": TensorProto.INT32}


def moved(case: Case) -> Bearing:
    kind = next((one for text, one in KINDS.items() if text in case.body + str(case.weights)), TensorProto.FLOAT)
    return Bearing(case.body, case.weights, case.opset, kind=kind, lost=case.blurs or case.joins)


def codes(domain: str) -> dict[Key, list[Bearing]]:
    prefix = f"{domain}." if domain else ""
    there, back = f"{prefix}QuantizeLinear", f"{prefix}DequantizeLinear"
    return {
        (domain, "QuantizeLinear"): [Bearing(f"y = {there} (x, s, z)", CODES, kind=TensorProto.INT8)],
        (domain, "DequantizeLinear"): [
            Bearing(
                f"q = QuantizeLinear (x, t, o)\n y = {back} (q, s, z)", CODES | {"t": np.float32(1), "o": np.int8(0)}
            ),
            Bearing(
                f"q = QuantizeLinear (x, t, o)\n y = {back} <axis = 1> (q, s, z)",
                EACH | {"t": np.float32(1), "o": np.int8(0)},
            ),
        ],
    }


BORDERS = "kernel_shape = [2, 2], pads = [1, 1, 1, 1]"
BEARINGS: Mapping[Key, Sequence[Bearing]] = {
    **{("", op): [moved(case) for case in cases if not case.two] for op, cases in MOVES.items() if op != "Concat"},
    ("", "Slice"): [
        *(moved(case) for case in MOVES["Slice"]),
        Bearing(
            "t = Slice (x, three, five, a)\n y = Slice (t, a, two, a)",
            {name: np.array([n]) for name, n in (("a", 1), ("two", 2), ("three", 3), ("five", 5))},
        ),
    ],
    ("", "AveragePool"): [
        *(moved(case) for case in MOVES["AveragePool"]),
        Bearing(f"y = AveragePool <{BORDERS}, count_include_pad = 1> (x)", lost=True),
    ],
    ("", "Add"): [
        Bearing("y = Add (x, c)", CHANNELS, own=2),
        Bearing("y = Add (c, x)", CHANNELS, own=2),
        Bearing("o = Neg (image)\n p = ReduceSum (o, a)\n y = Add (x, p)", {"a": np.array([1, 2, 3])}, other=True),
    ],
    ("", "Sum"): [Bearing("y = Sum (x, c)", CHANNELS, own=2), Bearing("y = Sum (x, c, c)", CHANNELS, lost=True)],
    ("", "Sub"): [Bearing("y = Sub (x, c)", CHANNELS, own=2), Bearing("y = Sub (c, x)", CHANNELS, own=2)],
    ("", "Mul"): [Bearing("y = Mul (x, c)", CHANNELS, own=2), Bearing("y = Mul (c, x)", CHANNELS, own=2)],
    ("", "Div"): [Bearing("y = Div (x, c)", CHANNELS, own=2), Bearing("y = Div (c, x)", CHANNELS, lost=True)],
    ("", "Neg"): [Bearing("y = Neg (x)")],
    ("", "BatchNormalization"): [Bearing("y = BatchNormalization <epsilon = 0.25> (x, g, s, m, v)", NORM, own=5)],
    ("", "LayerNormalization"): [
        Bearing(
            "t = Transpose <perm = [0, 2, 3, 1]> (x)\n y = LayerNormalization (t, g, s)", GAMMA, scaled=False, own=3
        )
    ],
    ("", "RMSNormalization"): [
        Bearing(
            "t = Transpose <perm = [0, 2, 3, 1]> (x)\n y = RMSNormalization (t, g)",
            {"g": GAMMA["g"]},
            23,
            scaled=False,
            own=2,
        )
    ],
    ("", "InstanceNormalization"): [Bearing("y = InstanceNormalization (x, g, s)", GAMMA, scaled=False, own=3)],
    ("", "GroupNormalization"): [
        Bearing("y = GroupNormalization <num_groups = 2> (x, g, s)", GAMMA, 21, scaled=False, own=3)
    ],
    **codes(""),
    **codes(MS),
}


def contradicts(case: Bearing) -> str:
    """What the line of a case says that a run does not bear out; empty where nothing is."""
    network = normalize(open_checkpoint(case.model()))
    names = {value.name: value for node in network.model.graph for value in node.outputs}
    position = {node: number for number, node in enumerate(network.model.graph)}
    watched = case.model()
    watched.graph.output.append(onnx.ValueInfoProto(name="x"))
    run = session(watched, optimised=False)
    fed = [RNG.integers(-4, 5, (1, 3, 1, 1)).astype(np.float32) * np.ones((1, 3, 4, 4), np.float32) for _ in range(3)]
    results = [run.run(None, {"image": one}) for one in fed]
    rank = np.asarray(results[0][0]).ndim
    try:
        path = Bearings(network, Spans(network, {}, bounds.ALL), position).of(names["y"], rank)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if not isinstance(path, Path):
        return "" if case.lost else path.why
    if path.other != case.other or path.mixed == case.scaled or path.product.node.name != names["x"].producer().name:
        return f"other={path.other}, mixed={path.mixed}, {path.product.node.op_type}"
    if path.own != case.own:
        return f"{path.own} numbers are said to belong to a unit, and {case.own} do"
    return next((why for y, x in results if (why := _off(path, np.asarray(y), np.asarray(x), case))), "")


def _off(path: Path, y: np.ndarray, x: np.ndarray, case: Bearing) -> str:
    """Whether a result is what the line says, for sums that are alike at all positions."""
    line, sums = path.line, x[0, :, 0, 0].astype(np.float64) - RNG_B
    if line.row.ndim != y.ndim or any(a not in (1, b) for a, b in zip(line.row.shape, y.shape, strict=True)):
        return f"{line.row.shape} cannot stand for {y.shape}"
    made = np.where(line.scale == 0, 0.0, line.scale * sums[line.row])
    low, high, slack = made + line.low, made + line.high, 1e-4 * (1 + np.abs(y))
    if not ((low - slack <= y) & (y <= high + slack)).all():
        return "a result is not on the line"
    exact = not case.other and case.scaled and "QuantizeLinear" not in case.body
    return "the line is wide" if exact and (line.high - line.low > 1e-6 * (1 + np.abs(line.low))).any() else ""
