"""What the tables say of the values of a call, against what the operator itself makes of numbers.

Each check gives the disagreements over one call as lines. A claim that does not hold is one, and so is a claim that is
lacking, but for the gaps that are listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from relu_audit.activations import nonzero
from relu_audit.activations.spelt import Functions
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network import dataless, missing
from relu_audit.network.missing import Mask
from relu_audit.network.normalize import Network, normalize
from relu_audit.values import bounds, signs, uniform
from relu_audit.values.signs import Sign
from relu_audit.values.spans import Span, Spans
from tests.operator_cases import CALLS, MARKS, NON_NEGATIVE, POSITIVE, Call, Data, Front, feeds, joined, numbers

Check = Callable[[Call], list[str]]
"""The disagreements over one call."""

DRAWS = 16

States = tuple[tuple[int, str], ...]
"""Operands, and what is known of their numbers."""


@dataclass(frozen=True)
class Read:
    """A call as the tool has it.

    Attributes:
        network: The graph, in which there are other calls as well.
        operands: Its fed operands, by their numbers.
        results: Its results.
    """

    network: Network
    operands: Mapping[int, ir.Value]
    results: Sequence[ir.Value]

    @property
    def node(self) -> ir.Node:
        found = self.results[0].producer()
        assert found is not None
        return found


@cache
def together(front: Front, calls: Sequence[Call] = tuple(CALLS)) -> Mapping[Call, Read]:
    """Calls, behind nodes that stand in front of operands; those of the same opsets are in one graph."""
    found: dict[Call, Read] = {}
    alike: dict[tuple[tuple[str, int], ...], list[Call]] = {}
    for call in calls:
        alike.setdefault(tuple(call.opsets.items()), []).append(call)
    for opsets, own in alike.items():
        graphs = [call.graph(f"{i}.", front) for i, call in enumerate(own)]
        network = normalize(open_checkpoint(joined(graphs, dict(opsets))))
        assert not network.notes
        values = {value.name: value for node in network.model.graph for value in node.outputs}
        for i, call in enumerate(own):
            operands = {index: values[f"{i}.x{index}"] for index in call.fed}
            found[call] = Read(network, operands, [values[f"{i}.y{index}"] for index in range(call.outputs)])
    return found


def _mark(data: Data, fed: str, name: str) -> list[onnx.NodeProto]:
    """A mark of its own in front of every operand."""
    del data
    one = helper.make_node("Constant", [], [f"{name}.one"], value_float=1.0)
    return [one, helper.make_node(f"Mark {name}", [fed, f"{name}.one"], [name], domain=MARKS)]


def read(call: Call) -> Read:
    return together(_mark)[call]


@contextmanager
def marked(call: Call, states: States) -> Iterator[None]:
    """Let the tables take the operators that mark operands for what makes numbers of a state."""
    rows = {(MARKS, f"Mark {read(call).operands[i].name}"): state for i, state in states if state}
    signs_rows = {name: Sign(always=True) for name in rows}
    nonzero_rows = {name: Sign(all_of=(1,)) for name, state in rows.items() if state == POSITIVE}
    with added(signs.TABLE, signs_rows), added(nonzero.TABLE, nonzero_rows):
        yield


@contextmanager
def added(table: Mapping[Any, Any], rows: Mapping[Any, Any]) -> Iterator[None]:
    """A table with more rows, which is a dictionary whatever it is declared as."""
    assert isinstance(table, dict)
    table.update(rows)
    try:
        yield
    finally:
        for name in rows:
            del table[name]


# Signs ----------------------------------------------------------------------------------------------------------------


def states_of(call: Call, *states: str) -> Iterator[States]:
    """Every way to mark the operands of a call."""
    fed = [i for i, data in call.fed.items() if data.numbers]
    for chosen in product(("", *states), repeat=len(fed)):
        yield tuple(zip(fed, chosen, strict=True))


@cache
def least(call: Call, states: States) -> Sequence[float]:
    """The least of every result that the operator was seen to make, as numbers that codes stand for."""
    found = [np.inf] * call.outputs
    for fed in feeds(call, dict(states), DRAWS):
        made = call.run(fed)
        for i, one in enumerate(made):
            zero = call.zeros.get(i, 0)
            number = one.astype(np.float64) - (zero(made) if callable(zero) else zero)
            found[i] = min(found[i], float(np.fmin.reduce(number, axis=None, initial=np.inf)))
    return found


NO_SIGNS = """
    Acosh ArgMax Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseOr BitwiseXor CastLike Celu Cosh CumSum Elu Erf
    GatherND Gelu GlobalLpPool HardSwish Imputer LpNormalization LpPool Mish Mod Reciprocal ReduceLogSumExp Selu Shrink
    Sign Sinh Softsign Swish Tanh ThresholdedRelu TopK TreeEnsembleClassifier
"""
WEAKER_SIGNS = {
    *NO_SIGNS.split(),
    "LeakyRelu: turned",
    "LeakyRelu: flat",
    *("Pow: both fed", "Pow: spread", "Pow: two", "Pow: vector"),
    "Clip: 0 and 6, by attributes",
    "Clip: above zero, by attributes",
    "Cast: float32 to int8",
    "Cast: float32 to uint8",
    "Cast: int8 to float32",
    "MeanVarianceNormalization",
    "MaxPool, result 1",
    "DynamicQuantizeLinear, result 1",
    "DynamicQuantizeLinear, result 2",
}
"""Operators without a row, and calls of others, of which less is claimed than true; functions are read otherwise."""


def signs_of(call: Call) -> list[str]:
    """Whether the table of signs claims of the results what is true, operands of every sign."""
    return list(_signed(call, (NON_NEGATIVE,), lambda least: least >= 0, signs_claimed, WEAKER_SIGNS))


def signs_claimed(found: Network, value: ir.Value) -> bool:
    return signs.never_negative(found, value, lambda node: False)


def _signed(
    call: Call,
    marks: Sequence[str],
    holds: Callable[[float], bool],
    claim: Callable[[Network, ir.Value], bool],
    weaker: Set[str],
) -> Iterator[str]:
    found = read(call)
    for states in states_of(call, *marks):
        vague = call.op != "DequantizeLinear" and any(not state and _never_below(call.fed[i]) for i, state in states)
        with marked(call, states):
            claims = [claim(found.network, value) for value in found.results]
        for i, (claimed, lowest) in enumerate(zip(claims, least(call, states), strict=True)):
            names = {call.op, call.name, f"{call.name}, result {i}"}
            where = f"{call.name}: result {i}, of {[state or 'any' for _, state in states]}, reaches {lowest:g}"
            if claimed and not holds(lowest):
                yield f"{where}, which is ruled out"
            if holds(lowest) and not claimed and not vague and not names & weaker:
                yield f"{where} and nothing is claimed"


def _never_below(data: Data) -> bool:
    """Whether no number of a type stands for less than zero."""
    return not data.floats and data.zero <= np.iinfo(data.dtype).min


KEPT_POSITIVE = """
    Abs Add Cast CastLike Clip Concat Expand Flatten Gather GatherElements Identity Max Min ReduceMax ReduceMin Reshape
    Slice Split Sqrt Squeeze Sum Tile Transpose Unsqueeze Where
"""
WEAKER_NONZERO = {
    *({call.op for call in CALLS} - set(KEPT_POSITIVE.split())),
    *(f"Cast{like}: {kinds}" for like in ("", "Like") for kinds in ("float32 to float32", "float32 to float64")),
    *(f"Cast{like}: {kinds}" for like in ("", "Like") for kinds in ("float32 to bool", "uint8 to int32")),
    *(f"Cast{like}: int32 to int64" for like in ("", "Like")),
    "Clip: above zero, by attributes",
}
"""As above. Of operators that are not listed nothing has to be claimed."""


def nonzero_of(call: Call) -> list[str]:
    """Whether the table of what is greater than zero claims of the results what is true."""
    if call.zeros or any(data.zero for data in call.fed.values()):
        return []
    states = (NON_NEGATIVE, POSITIVE)
    return list(_signed(call, states, lambda least: least >= nonzero.LEAST, nonzero_claimed, WEAKER_NONZERO))


def nonzero_claimed(found: Network, value: ir.Value) -> bool:
    return nonzero.never_zero(Functions(found), value)


# Bounds ---------------------------------------------------------------------------------------------------------------

Ends = tuple[tuple[float, float], ...]
"""The least and the largest of every channel, over and over."""

CLOSED: Ends = ((-2, 1.5), (0.5, 3), (-3, -0.25), (0, 2))
PINNED: Ends = ((0, 0), (-1, 2.5), (-2, -2))
OPEN: Ends = ((-np.inf, 0.5), (-1, np.inf), (0.25, 2))
ANY: Ends = ((-np.inf, np.inf),)
FAR = 1e6
"""Stands for infinity in what is fed."""

KNOWN: Mapping[str, tuple[Ends, Ends]] = {
    "both": (CLOSED, CLOSED[::-1]),
    "pinned and both": (PINNED, CLOSED),
    "open": (OPEN, CLOSED),
    "open ends of both": (OPEN, OPEN[::-1]),
    "first": (PINNED, ANY),
    "others": (ANY, PINNED),
    "none": (ANY, ANY),
}
"""What is known of the first operand, and of the others."""

LOOSE = {
    "AveragePool: zeros count": "a window is not all border",
    "Conv: padded": "a window is not all border",
    "ConvTranspose: of two places": "some results miss places of the kernel",
    "ConvTranspose: of one place, both": "zero is taken for an entry as well",
    **{f"Reduce{op}: {note}": "channels come out mixed" for op in ("Max", "Mean", "Min") for note in ("all", "gone")},
}
"""Calls whose bounds hold and are not reached."""


def ends(data: Data, known: Ends) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of an operand, of the rank that it has."""
    rank, axis = len(data.shape), min(data.axis, len(data.shape) - 1)
    pairs = np.array([known[i % len(known)] for i in range(data.shape[axis] if rank else 1)])
    low, high = pairs.T.reshape(2, *(-1 if i == axis else 1 for i in range(rank)))
    if data.floats:
        return low, high
    limits, small = np.iinfo(data.dtype), np.dtype(data.dtype).itemsize < 4
    whole = (np.clip(np.rint(end), limits.min, limits.max) for end in (low, high))
    return tuple(
        made if small else np.where(np.isinf(end), end, made) for made, end in zip(whole, (low, high), strict=True)
    )


@cache
def reached(call: Call, known: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The least and the largest that the operator was seen to make of every entry of its results."""
    made = [call.run(fed) for fed in _within(call, known)]
    several = [np.stack(results).astype(np.float64) for results in zip(*made, strict=True)]
    return [(np.fmin.reduce(one), np.fmax.reduce(one)) for one in several]


def _within(call: Call, known: str) -> Iterator[dict[int, np.ndarray]]:
    """Numbers between the bounds of operands: at corners, between corners, and one number that stands out."""
    rng = np.random.default_rng(3)
    fed = call.fed
    count = CORNER_DRAWS * (4 if call.op in PRODUCTS else 1)
    drawn = {
        i: _between(data, KNOWN[known][i != next(iter(fed))], rng, count, 1 + (i != next(iter(fed))))
        if data.numbers
        else numbers(data, "", rng, count)
        for i, data in fed.items()
    }
    for draw in range(count):
        yield {i: several[draw] for i, several in drawn.items()}
    places = [int(np.prod(data.shape[1:])) for data in fed.values() if data.floats]
    for place, number in product(range(max(places, default=0) if known == "none" else 0), (-1, 1)):
        yield {i: _spike(data, place, number) if data.floats else drawn[i][0] for i, data in fed.items()}


CORNER_DRAWS = 24
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "FusedMatMul")
WILD = np.array([-FAR, -90, -np.pi, -np.pi / 2, 0, np.pi / 2, np.pi, FAR])


def _between(data: Data, known: Ends, rng: np.random.Generator, count: int, turns: int) -> np.ndarray:
    """Numbers between bounds, several times: first those at either bound, which change after so many."""
    limits = (-FAR, FAR) if data.floats else (max(-FAR, np.iinfo(data.dtype).min), min(FAR, np.iinfo(data.dtype).max))
    low, high = (np.broadcast_to(np.clip(end, *limits), data.shape) for end in ends(data, known))
    corners = np.stack([low, high, np.clip(0, low, high), (low + high) / 2])
    chosen = rng.integers(2, size=(count, *data.shape))
    chosen[::3] += 2 * rng.integers(2, size=chosen[::3].shape)
    for draw in range(4):  # all combinations of two operands
        chosen[draw] = draw // turns % 2
    made = np.take_along_axis(corners, chosen, axis=0)
    wild = (high - low == 2 * FAR) & (rng.random((count, *(1,) * low.ndim)) < 0.7)
    made = np.where(wild, WILD[rng.integers(len(WILD), size=made.shape)], made)
    return (made if data.floats else np.clip(np.rint(made), low, high)).astype(data.dtype)


def _spike(data: Data, place: int, number: int) -> np.ndarray:
    made = np.zeros(data.shape, data.dtype)
    made.reshape(len(made), -1)[:, place % max(made[0].size, 1)] = number
    return made


def spans_of(call: Call) -> list[str]:
    """Whether the bounds that follow for results hold, and are reached."""
    several = len([data for data in call.fed.values() if data.numbers]) > 1
    ways = [way for way in KNOWN if several or way not in ("pinned and both", "open ends of both", "others")]
    return [line for way in ways for line in _bounded(call, way)]


def _bounded(call: Call, known: str) -> Iterator[str]:
    found = read(call)
    first = next(iter(call.fed))
    seen = {
        found.operands[i]: Span(*ends(data, way))
        for i, data in call.fed.items()
        if data.numbers and (way := KNOWN[known][i != first]) is not ANY
    }
    spans = [Spans(found.network, seen, bounds.ALL).of(value) for value in found.results]
    if all(span is None for span in spans):
        if seen and known in ("both", "open") and not {call.name, call.op} & UNBOUNDED:
            yield f"{call.name}, {known}: nothing is claimed"
        return
    for i, (span, (low, high)) in enumerate(zip(spans, reached(call, known), strict=True)):
        if span is None:
            continue
        where = f"{call.name}, {known}: result {i}"
        blind = known != "none" and found.node.op_type in BLIND
        for side, claim, seen_end in ((1, span.high, high), (-1, span.low, low)):
            axes = tuple(axis for axis, size in enumerate(claim.shape) if size == 1)
            end, extreme = side * claim, np.fmax.reduce(side * seen_end, axis=axes, keepdims=True)
            margin = 1e-4 * np.maximum(1, np.abs(np.clip(end, -FAR, FAR)))
            if extreme.shape != end.shape:
                yield f"{where} has shape {extreme.shape}, and bounds {end.shape}"
            elif (extreme > end + margin).any():
                yield f"{where} reaches {side * extreme.ravel()}, beyond {claim.ravel()}"
            elif blind or {call.name, f"{call.name}, {known}"} & LOOSE.keys():
                continue
            elif (np.where(np.isinf(end), FAR / 2000, end - 10 * margin) > extreme)[extreme > -np.inf].any():
                yield f"{where} reaches {side * extreme.ravel()} only, and not {claim.ravel()}"


NORMS = ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization")
BLIND = ("Sigmoid", "Softmax", "HardSigmoid", "Hardmax", "Tanh", "Erf", "Sin", "Cos", "Softsign", "Sign", *NORMS)
"""Operators whose results have bounds whatever their operands are, which are reached if those are of any size."""

BOUNDED = """
    Add AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Conv ConvTranspose DequantizeLinear Div Dropout
    Exp Expand Flatten Floor FusedMatMul Gather Gemm GlobalAveragePool GlobalMaxPool Identity LeakyRelu MatMul Max
    MaxPool Min Mul Neg Pad QuantizeLinear ReduceMax ReduceMean ReduceMin Relu Reshape Resize Round Slice Split Sqrt
    Squeeze Sub Sum Tile Transpose Unsqueeze Upsample
"""
UNBOUNDED = {
    *({call.op for call in CALLS} - {*BOUNDED.split(), *BLIND}),
    *(call.name for call in CALLS if call.op in ("Cast", "CastLike") and "float" not in call.note.split(" to ")[-1]),
    *("Div: both fed", "Div: behind a constant", "Div: spread", "LeakyRelu: turned", "Resize: cubic"),
    *(call.name for call in CALLS if call.note.endswith("fed") and call.op in ("Clip", "Pad")),
    "Clip: minimum fed, below two",
    "DequantizeLinear: blocks",
    "DequantizeLinear: negative scale",
}
"""Calls of which nothing has to be claimed."""


# One number throughout ------------------------------------------------------------------------------------------------

NUMBER = 2.5


def _filled(data: Data, fed: str, name: str) -> list[onnx.NodeProto]:
    """One number in the shape of what is fed."""
    value = numpy_helper.from_array(np.full(1, NUMBER).astype(data.dtype))
    return [
        helper.make_node("Shape", [fed], [f"{name}.shape"]),
        helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=value),
    ]


FILLED = """
    Identity Cast CastLike Expand Reshape Unsqueeze Squeeze Tile Flatten Transpose Slice ConstantOfShape
    DequantizeLinear
"""
"""Operators through which one number throughout is followed."""

OTHERS = "Neg Relu Floor Sigmoid Mul Pad Softmax AveragePool ReduceSum Concat Clip QuantizeLinear"
"""Some of those through which no number is followed."""


@cache
def fillable() -> Mapping[Call, Read]:
    ops = (*FILLED.split(), *OTHERS.split())
    return together(_filled, tuple(call for call in CALLS if call.op in ops and call.opset >= 9))


@cache
def filled(call: Call) -> Sequence[np.ndarray]:
    """What the operator makes of one number throughout."""
    return call.run({i: np.full(data.shape, NUMBER).astype(data.dtype) for i, data in call.fed.items()})


def uniform_of(call: Call) -> list[str]:
    """Whether the number that is claimed of a result is the one that the operator makes, everywhere."""
    if call not in fillable():
        return []
    found, lines = fillable()[call], list[str]()
    for value, made in zip(found.results, filled(call), strict=True):
        number = uniform.uniform(found.network, value)
        if number is None:
            lines += [f"{call.name}: nothing is claimed"] if call.op in FILLED.split() and call.note != "blocks" else []
        elif not (made.astype(np.float64) == number).all():
            lines.append(f"{call.name}: {made.ravel()[:4]} is claimed to be {number:g}")
    return lines


# NaN ------------------------------------------------------------------------------------------------------------------


@cache
def lost(call: Call) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Where the first result is NaN, for a NaN somewhere in each float operand: that place, and the result."""
    rng = np.random.default_rng(4)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(3):
        fed = {
            i: rng.uniform(0.3, 0.9, data.shape).astype(data.dtype) if data.floats else numbers(data, "", rng, 1)[0]
            for i, data in call.fed.items()
        }
        before = _nan(call.run(fed))
        for i in (i for i, data in call.fed.items() if data.floats):
            place = np.zeros(fed[i].shape, bool)
            place.reshape(-1)[rng.integers(place.size)] = True
            after = _nan(call.run({**fed, i: np.where(place, np.nan, fed[i]).astype(fed[i].dtype)}))
            found.append((place, after & ~before) if after.shape == before.shape else (place, np.ones(1, bool)))
    return found


def _nan(made: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(made[0] != made[0])


def _broadcasts(place: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        return np.broadcast_to(place, shape)
    except ValueError:
        return None


def nan_of(call: Call) -> list[str]:
    """Whether the tables say what becomes of NaN."""
    if not lost(call):
        return []
    spread = [(_broadcasts(place, seen.shape), seen) for place, seen in lost(call)]
    shows = any(seen.any() for _, seen in spread)
    node = read(call).node
    takes = missing.TAKES.get(call.key)
    claims = {
        "takes": (takes is not None and takes(node), not shows),
        "aligned": (call.key in missing.ALIGNED, all(p is not None and not (y & ~p).any() for p, y in spread)),
        "keeps": (call.key in missing.KEEPS, all(p is not None and (y | ~p).all() for p, y in spread)),
    }
    whole = not np.issubdtype(call.sample[0].dtype, np.floating)
    if whole:  # it is asked of floats alone
        del claims["aligned"], claims["keeps"]
    lines = list[str]()
    for law, (claimed, true) in claims.items():
        if claimed and not true:
            lines.append(f"{call.name}: {law} NaN, says the table, and does not")
        elif true and not claimed and call.op in TOLD[law].split():
            lines.append(f"{call.name}: {law} NaN, and the table does not say so")
    return lines


TOLD: Mapping[str, str] = {
    "takes": "IsInf IsNaN Shape Size Imputer TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor",
    "aligned": """
        Abs Acos Acosh Add Asin Asinh Atan Atanh Cast Ceil Celu Cos Cosh Div Dropout Elu Erf Exp Floor Gelu HardSigmoid
        HardSwish Identity LeakyRelu Log Max Mean Min Mish Mod Mul Neg PRelu Pow Reciprocal Relu Round Selu Shrink
        Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where
    """,
    "keeps": "Abs Add Cast Div Identity Mul Neg Sub",
}
"""Operators of which the tables have to say what they make of NaN."""


def masks_of(call: Call) -> list[str]:
    """Whether truth values are read as they are: which tell of NaN, which pick by it, and what becomes of masks."""
    data = call.fed
    return [
        *(_telling(call) if list(data) == [0] and data[0].floats else ()),
        *(_picking(call) if 0 in data and data[0].dtype is np.bool_ else ()),
        *(_combined(call) if data and len(data) == len(call.operands) and _all_truth(call) else ()),
    ]


def _all_truth(call: Call) -> bool:
    return all(data.dtype is np.bool_ for data in call.fed.values()) and call.sample[0].dtype == np.bool_


def _telling(call: Call) -> Iterator[str]:
    fed = np.resize(np.array([np.nan, np.inf, -np.inf, 0, 1, -2, np.nan]), call.fed[0].shape).astype(np.float32)
    made = call.run({0: fed})[0] if call.sample[0].dtype == np.bool_ else fed
    tells = made.dtype == np.bool_ and np.array_equal(made, np.isnan(fed))
    if tells != (call.key in missing.TELLS):
        yield f"{call.name}: tells NaN: {tells}"


def _picking(call: Call) -> Iterator[str]:
    rng = np.random.default_rng(2)
    for i in (i for i, data in call.fed.items() if data.floats):
        fed = {k: numbers(data, "", rng, 1)[0] for k, data in call.fed.items()} | {
            i: np.full(call.fed[i].shape, np.nan, "f")
        }
        made = _nan(call.run(fed))
        picked = next((way for way in (True, False) if np.array_equal(made, fed[0] == way)), None)
        if picked != (told := missing.PICKS.get(call.key, {}).get(i)):
            yield f"{call.name}: operand {i} is picked where {picked}, and not where {told}"


def _combined(call: Call) -> Iterator[str]:
    count, size = len(call.operands), int(np.prod(call.fed[0].shape))
    names = [(f"true {i}", f"false {i}") for i in range(count)]
    rows = np.array(list(product((False, True), repeat=3 * count)))
    masks, nan = rows[:, :count], {name: rows[:, count + k] for k, name in enumerate(sum(names, ()))}
    # Of each operand, one value is NaN only where it is true, and one only where it is false.
    fits = np.all([(masks[:, i] | ~nan[a]) & (~masks[:, i] | ~nan[b]) for i, (a, b) in enumerate(names)], axis=0)
    masks, nan = masks[fits], {name: where[fits] for name, where in nan.items()}
    made = np.empty(len(masks), bool)
    for start in range(0, len(masks), size):
        part = masks[start : start + size]
        fed = {i: np.resize(part[:, i], call.fed[i].shape) for i in range(count)}
        made[start : start + size] = call.run(fed)[0].ravel()[: len(part)]
    true = {name for name, where in nan.items() if (made | ~where).all()}
    false = {name for name, where in nan.items() if (~made | ~where).all()}
    given = [Mask(frozenset({a}), frozenset({b})) for a, b in names]  # type: ignore[arg-type]
    combine = missing.LOGIC.get(call.key)
    told = Mask() if combine is None else combine(given)
    if (told.true, told.false) != (true, false):
        yield f"{call.name}: true where {sorted(true)}, false where {sorted(false)}; told: {told}"


# What no data takes part in -------------------------------------------------------------------------------------------


@cache
def _without_data(network_of: Call, sizes: tuple[str, ...]) -> set[ir.Value]:
    del sizes
    return dataless.without_data(read(network_of).network)


@cache
def _fixed(call: Call) -> bool:
    made = [call.run(fed) for fed in feeds(call, {}, 6)]
    return all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for one in made
        for a, b in zip(one, made[0], strict=True)
    )


def data_of(call: Call) -> list[str]:
    """Whether data is said to take part in what is different for other data."""
    first = next(one for one in CALLS if one.opsets == call.opsets)
    claimed = read(call).results[0] in _without_data(first, dataless._SIZES)
    if claimed == _fixed(call) or call.name in CONSTANT:
        return []
    return [f"{call.name}: the same whatever is fed: {_fixed(call)}, and claimed to be: {claimed}"]


CONSTANT = ("Clip: exchanged", "Clip: exchanged, by attributes", "IsNaN")
"""Calls whose result is the same for all numbers that are fed."""
