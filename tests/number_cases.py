"""Which numbers are parameters, what a graph computes in float32, and how far two orders of one sum are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, defs, helper

from relu_audit.model.parameters import BIASED, CODES, parameters
from relu_audit.model.precision import in_float32, types_to_carry
from relu_audit.surgery.verify import LIMITS
from tests.graphs import graph
from tests.prune_checks import session

MS = "com.microsoft"


# Parameters


@dataclass(frozen=True)
class Counted:
    """A model and how many parameters it has.

    Attributes:
        name: What is counted.
        body: Nodes that read ``x``.
        weights: All numbers; those that are no parameters begin with ``no``.
        types: Element types of weights that numpy does not have.
        row: The row of ``BIASED`` that this is about.
    """

    name: str
    body: str
    weights: Mapping[str, np.ndarray]
    types: Mapping[str, int] = field(default_factory=dict[str, int])
    row: tuple[str, str] | None = None


FLOATS = {"s": np.ones(1, np.float32), "t": np.ones(1, np.float32), "u": np.ones(1, np.float32)}
BYTE = {"z": np.zeros(1, np.uint8), "o": np.zeros(1, np.uint8)}
KERNEL = {"w": np.ones((5, 2, 1, 1), np.uint8), "b": np.ones(5, np.int32)}
OPERANDS = "(x, s, z, w, t, o, u, z, b)"


def biased(domain: str, op: str) -> Counted:
    """An operator with a bias of 32-bit integers."""
    name = f"{domain}.{op}" if domain else op
    if op == "DequantizeLinear":
        return Counted(name, f"y = {name} (b, s)", {"b": np.ones(7, np.int32), "s": FLOATS["s"]}, row=(domain, op))
    if op == "QGemm":
        held = FLOATS | BYTE | {"w": np.ones((4, 5), np.uint8), "b": np.ones(5, np.int32)}
        return Counted(name, f"y = {name} (x, s, z, w, t, o, b, u, z)", held, row=(domain, op))
    return Counted(name, f"y = {name} {OPERANDS}", FLOATS | BYTE | KERNEL, row=(domain, op))


SMALL = 8
"""Bits of the widest codes."""


def is_code(dtype: ir.DataType) -> bool:
    """Whether integers are numbers that DequantizeLinear takes, and too short for sizes."""
    schema = defs.get_schema("DequantizeLinear")
    taken = next(one.allowed_type_strs for one in schema.type_constraints if one.type_param_str == "T1")
    return dtype.is_integer() and dtype.bitwidth <= SMALL and f"tensor({dtype.name.lower()})" in taken


COUNTED: Sequence[Counted] = [
    *(biased(domain, op) for domain, op in (("", "DequantizeLinear"), (MS, "DequantizeLinear"), ("", "QLinearConv"))),
    *(biased(MS, op) for op in ("QLinearConv", "QGemm")),
    *(
        Counted(
            f"a tensor of {dtype.name}",
            "y = Identity (x)",
            {"w" if is_code(dtype) else "no": np.ones(6, np.int64)},
            {"w" if is_code(dtype) else "no": int(dtype)},
        )
        for dtype in ir.DataType
        if dtype.is_integer()
    ),
    Counted("indices of 32 bits", "y = Gather (x, no)", {"no": np.ones(3, np.int32)}),
    Counted("sums of integers", "c = Cast <to = 6> (x)\n y = Add (c, no)", {"no": np.ones(3, np.int32)}),
    Counted("half precision", "y = Identity (x)", {"w": np.ones(3, np.float16)}),
]


def miscounted(case: Counted) -> str:
    """How many parameters are counted in place of those there are."""
    model = graph("float[n, 4] x", "float y", case.body, {n: a for n, a in case.weights.items() if n not in case.types})
    for name, dtype in case.types.items():
        model.graph.initializer.append(helper.make_tensor(name, dtype, [6], [1] * 6))
    counted, there = parameters(ir.from_proto(model)), sum(a.size for n, a in case.weights.items() if n[:2] != "no")
    return "" if counted == there else f"{counted} in place of {there}"


def unlisted() -> set[object]:
    """Rows without a case."""
    return set(BIASED) ^ {case.row for case in COUNTED if case.row} | {one for one in CODES if not is_code(one)}


# Precision


@dataclass(frozen=True)
class Carried:
    """A graph of a type, ``T`` in its text."""

    body: str
    opset: int = 18

    def model(self, dtype: int) -> onnx.ModelProto:
        kind, text = TensorProto.DataType.Name(dtype).lower(), self.body.replace("T", str(dtype))
        made = graph("float[2, 4] x", f"{kind} y", text, opset=self.opset)
        made.graph.output[0].ClearField("type")
        numbers = np.arange(1, 5, dtype=np.float32)
        made.graph.initializer.append(helper.make_tensor("w", dtype, [4], numbers))
        made.graph.node.insert(
            0, helper.make_node("Constant", [], ["k"], value=helper.make_tensor("k", dtype, [], [0.5]))
        )
        return made


BODIES = (
    Carried("c = Cast <to = T> (x)\n d = Mul (c, k)\n y = Add (d, w)"),
    Carried("e = EyeLike <dtype = T> (x)\n d = Mul (e, k)\n y = Add (d, w)"),
    Carried("c = Cast <to = T> (x)\n d = Mul (c, k)\n y = LayerNormalization <stash_type = T> (d, w)"),
)
CARRIED: Mapping[str, Sequence[Carried]] = dict.fromkeys(("BFLOAT16", "DOUBLE"), BODIES)
X = {"x": np.arange(-4, 4, dtype=np.float32).reshape(2, 4)}


def miscarried(row: str, case: Carried) -> str:
    """What a graph computes once it is carried over that it does not in float32."""
    dtype = ir.DataType[row]
    model = ir.from_proto(case.model(int(dtype)))
    carried = types_to_carry(model)
    in_float32(model, carried)
    model_proto = ir.to_proto(model)
    try:
        made = session(model_proto, optimised=False).run(None, X)[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    (wanted,) = session(case.model(TensorProto.FLOAT), optimised=False).run(None, X)
    named = [
        one.i for node in model_proto.graph.node for one in node.attribute if one.name in ("to", "dtype", "stash_type")
    ]
    if int(dtype) in named:
        return f"a node names {row} still"
    same = made.dtype == wanted.dtype and np.array_equal(made, wanted)
    return "" if same and carried == (dtype,) else f"{made.dtype} of {carried}"


# Limits

LIMITED: Mapping[str, type] = {"FLOAT": np.float32, "FLOAT16": np.float16, "BFLOAT16": ml_dtypes.bfloat16}
TERMS, TRIALS = 256, 60
ROOM = {"FLOAT": (2, 60), "FLOAT16": (1, 8), "BFLOAT16": (1, 8)}
"""How many times the rounding of sums a limit may be."""


def misjudged(row: str) -> str:
    """Whether the order of a sum of many terms, relative to the largest sum, fits a limit, and not much less does."""
    kind, rng = LIMITED[row], np.random.default_rng(0)
    terms = rng.standard_normal((TRIALS, TERMS)).astype(kind)
    there, back = (_summed(terms[:, ::step]) for step in (1, -1))
    apart = float(np.abs(there - back).max() / np.abs(there).max())
    times, (least, most) = LIMITS[ir.DataType[row]] / apart, ROOM[row]
    return "" if least <= times <= most else f"{times:.3g} times the rounding of {apart:.3g}"


def _summed(terms: np.ndarray) -> np.ndarray:
    total = np.zeros(len(terms), terms.dtype)
    for term in terms.T:
        total = total + term
    return total.astype(np.float64)
