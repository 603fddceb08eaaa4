"""One operator in a small graph, followed by the axis table and asked itself, by changing one index of an input or one
entry of a weight and looking where the output changes. The cases lie in the ``test_axes*.py`` files."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import onnxruntime as ort  # noqa: TID251 - the operators themselves are asked, not the code under test
import pytest
from onnx import helper

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.operators.axes import AxisRule, rule
from relu_audit.operators.claims import decoded
from relu_audit.operators.layout import BATCH, Factor, Kind, Layout, axis_size, numbered
from relu_audit.operators.terms import matched, terms_of
from relu_audit.units.channels import Follower, follow, followed
from tests.graphs import graph

BLOCKED = "com.microsoft.nchwc"
"""Where onnxruntime keeps the operators of its blocked image layout."""

Shapes = Mapping[str, "tuple[int, ...] | np.ndarray"]


@dataclass(frozen=True)
class Fed:
    """One more input: its shape, element type and the numbers it takes."""

    shape: tuple[int, ...]
    dtype: str = "float"
    values: Sequence[float] | None = None


@dataclass(frozen=True)
class Trace:
    """One operator in a graph of fixed shapes.

    Attributes:
        body: The graph's nodes; it reads ``x`` and, if it is there, ``z``, and makes ``y``.
        x: Shape of ``x``; ``z`` likewise.
        weights: Initializers, by shape or value.
        opset: Operator set; ``ml`` that of ai.onnx.ml.
        values: Numbers that inputs take; by default between 0.1 and 0.9.
        dtype: Element type of ``x`` and ``z``; the one of ``z`` may differ.
        more: Further inputs.
        outputs: Results to look at.
        born: Axes of the first result that are units of one of the weights.
        spreads: Weights every entry of which moves every unit, after a few steps in time, and those that are indices.
        by: The same in operators that can be run, where onnxruntime has no kernel.
    """

    body: str
    x: tuple[int, ...] = (2, 3, 4)
    z: tuple[int, ...] | None = None
    weights: Shapes = field(default_factory=dict)
    opset: int = 18
    ml: int = 3
    values: Sequence[float] | None = None
    dtype: str = "float"
    z_dtype: str | None = None
    z_values: Sequence[float] | None = None
    more: Mapping[str, Fed] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    born: tuple[int, ...] = ()
    spreads: tuple[str, ...] = ()
    by: str = ""

    @property
    def inputs(self) -> dict[str, Fed]:
        """What the graph reads."""
        z = {} if self.z is None else {"z": Fed(self.z, self.z_dtype or self.dtype, self.z_values or self.values)}
        return {"x": Fed(self.x, self.dtype, self.values), **z, **self.more}

    def model(self, body: str = "") -> onnx.ModelProto:
        rng = np.random.default_rng(3)
        inputs = [f"{fed.dtype}[{', '.join(map(str, fed.shape))}] {name}" for name, fed in self.inputs.items()]
        weights = {
            name: rng.uniform(0.1, 0.9, w).astype(np.float32) if isinstance(w, tuple) else w
            for name, w in self.weights.items()
        }
        model = graph(
            ", ".join(inputs), ", ".join(f"float {y}" for y in self.outputs), body or self.body, weights, self.opset
        )
        model.ir_version = 10
        next(one for one in model.opset_import if one.domain == "ai.onnx.ml").version = self.ml
        if BLOCKED in self.body:
            model.opset_import.append(helper.make_opsetid(BLOCKED, 1))
        for output in model.graph.output:
            output.ClearField("type")
        return model

    def runnable(self) -> onnx.ModelProto:
        """What is run."""
        return self.model(self.by)

    def feeds(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {name: _drawn(rng, fed.shape, fed.dtype, fed.values) for name, fed in self.inputs.items()}


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, values: Sequence[float] | None) -> np.ndarray:
    kind = {"float": np.float32, "bool": np.bool_}.get(dtype) or np.dtype(dtype)
    if values is None:
        values = {"float": None, "bool": (0, 1)}.get(dtype, range(8))
    drawn = rng.uniform(0.1, 0.9, shape) if values is None else rng.choice(np.array(values), shape)
    return drawn.astype(kind)


IMAGES = (2, 3, 4, 4)
SAMPLES = 6


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers as float32."""
    return np.random.default_rng([seed, *shape]).integers(-2, 3, shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def codes(*shape: int, most: int = 3, kind: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Small codes of a quantized value, none of them zero."""
    return np.random.default_rng([seed, *shape]).integers(1, most + 1, shape).astype(kind)


ONE, NOUGHT = np.float32(1), np.uint8(0)
QUANTIZED: Shapes = {"s": ONE, "o": NOUGHT}  # type: ignore[dict-item]
"""A scale and a zero point that let whole numbers be."""

Cases = Mapping[str, "Trace | list[Trace]"]


def key(row: AxisRule) -> str:
    return f"{row.domain}.{row.op}" if row.domain else row.op


def cases_of(name: str, cases: Cases) -> list[Trace]:
    found = cases.get(name, [])
    return [found] if isinstance(found, Trace) else found


def traces(cases: Cases) -> list[Any]:
    """Names and cases, for pytest."""
    return [
        pytest.param(name, case, id=f"{name}-{i}") for name in cases for i, case in enumerate(cases_of(name, cases))
    ]


def assert_entries_go_where_told(name: str, case: Trace, *, forgets: Collection[tuple[str, str, int]] = ()) -> None:
    """Each axis of each input is followed in turn, in the guise of the batch: the one letter that names no weight."""
    network = normalize(open_checkpoint(case.model()))
    run = runner(case.runnable(), case.outputs)
    for input_name, axis, changed in changes_by_input(case, run):
        size = len(changed)
        follower = followed(network, rule, {**dict.fromkeys(case.inputs), input_name: axis})
        mixes = any(mixed_at(follower, node) for node in network.model.graph)
        layouts = {value.name: layout for value, layout in follower.layouts.items()}
        for y, output in enumerate(case.outputs):
            seen = [one[y] for one in changed]
            layout = layouts.get(output)
            where = f"{name}: axis {axis} of {input_name} in {output}"
            assert layout is not None, f"{where}: nothing is said of it"
            fits(layout, seen[0].shape, where)
            claims = list(decoded(layout, seen[0].shape, lambda f: f.letter == BATCH))
            for told, length in claims:
                if length == size:
                    assert_same_index(seen, told, where, mixes=mixes)
                else:
                    assert linked(seen, told), f"{where}: nothing links the axis named for it"
            if not claims and size > 1 and (name, input_name, axis) not in forgets:
                lost = [b for b in range(seen[0].ndim) if kept_in_place(seen, b) and not born(layout, b)]
                assert not lost, (
                    f"{where}: its entries are on axis {lost[0]} of the output, which the table does not say"
                )


def mixed_at(follower: Follower, node: ir.Node) -> bool:
    """Whether a node makes entries of several along the letter of the batch, as its row has it."""
    row, op = follower.row(node), follower.operation(node)
    if row is None or row.body is not None:
        return False
    axes = row.mixes(op)
    if row.couples:
        return True
    held = {(i, k) for i, layout in enumerate(op.inputs) for k, axis in enumerate(layout or ()) if _is_batch(axis)}
    if axes is None or row.move is not None:
        return bool(held) and (axes is None or any(axis in axes for _, axis in held))
    try:
        terms = terms_of(op, row)[0]
    except (LookupError, ValueError):
        return False
    symbols = {
        (operand, axis[0].letter.order): symbol
        for operand, (term, layout) in enumerate(zip(terms, op.inputs, strict=False))
        for symbol, axis in matched(term, numbered([None] * len(layout or ())))
    }
    mixing = {symbols.get((0, axis)) for axis in axes} - {None}
    return any(place in {(0, axis) for axis in axes} or symbols.get(place) in mixing for place in held)


def _is_batch(axis: Sequence[Factor]) -> bool:
    return any(factor.letter == BATCH for factor in axis)


def assert_units_own_their_entries(name: str, case: Trace, *, several: bool = False) -> None:
    """Each unit that the table tells of has its own entries of the weight; ``several`` units may share one."""
    layouts = {
        v.name: layout for v, layout in follow(normalize(open_checkpoint(case.model())), rule, {"x": None}).items()
    }
    first = layouts.get(case.outputs[0])
    told = tuple(b for b, axis in enumerate(first or ()) if born(first or (), b) and axis_size(axis) != 1)
    assert told == case.born, f"{name}: units on axes {told}, and not {case.born}"
    for weight in case.weights:
        if weight in case.spreads:
            continue
        named = [(y, b) for y in case.outputs for b, axis in enumerate(layouts.get(y) or ()) if _names(axis, weight)]
        if not named:
            continue
        touched = changes_by_weight(case, case.runnable(), weight)
        for y, b in named:
            layout, seen = layouts[y], [one[case.outputs.index(y)] for one in touched]
            fits(layout, seen[0].shape, name)
            for index, length in decoded(layout, seen[0].shape, of_weight(weight), axis=b):
                hit = [set(index[one].tolist()) for one in seen if one.any()]
                single = {next(iter(units)) for units in hit if len(units) == 1}
                if not several:
                    assert all(len(units) == 1 for units in hit), f"{name}: one entry of {weight} moves several units"
                assert single == set(range(length)), (
                    f"{name}: units {set(range(length)) - single} have no entry of {weight}"
                )


Changed = list[np.ndarray]
"""Where each output changed."""


def changes_by_input(case: Trace, run: Runner) -> Iterator[tuple[str, int, list[Changed]]]:
    """For each axis of each input: per index, where the outputs change when that slice does."""
    rng = np.random.default_rng(11)
    trials = [(fed, run(fed)) for fed in (case.feeds(rng) for _ in range(6))]
    for name, array in trials[0][0].items():
        for axis, size in enumerate(array.shape):
            changed: list[Changed] = []
            for index in range(size):
                seen = [np.zeros(y.shape, bool) for y in trials[0][1]]
                for fed, before in trials:
                    moved = fed[name].copy()
                    place = (slice(None),) * axis + (index,)
                    moved[place] = case.feeds(rng)[name][place]
                    for mark, old, new in zip(seen, before, run({**fed, name: moved}), strict=True):
                        mark |= differs(old, new)
                changed.append(seen)
            yield name, axis, changed


def changes_by_weight(case: Trace, model: onnx.ModelProto, weight: str) -> list[Changed]:
    """Per entry of a weight, where the outputs change when it does."""
    rng = np.random.default_rng(13)
    open_model = onnx.ModelProto.FromString(model.SerializeToString())
    found = next(w for w in open_model.graph.initializer if w.name == weight)
    array = onnx.numpy_helper.to_array(found)
    open_model.graph.initializer.remove(found)
    open_model.graph.input.append(helper.make_tensor_value_info(weight, found.data_type, list(found.dims)))
    run = runner(open_model, case.outputs)
    feeds = [{**case.feeds(rng), weight: array} for _ in range(2)]
    before = [run(fed) for fed in feeds]
    out: list[Changed] = []
    for place in np.ndindex(array.shape):
        moved = array.copy()
        moved[place] += 1
        seen = [np.zeros(y.shape, bool) for y in before[0]]
        for fed, old in zip(feeds, before, strict=True):
            for mark, a, b in zip(seen, old, run({**fed, weight: moved}), strict=True):
                mark |= differs(a, b)
        out.append(seen)
    return out


Runner = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


def runner(model: onnx.ModelProto, outputs: Sequence[str]) -> Runner:
    """The model in onnxruntime, or in ONNX's own reference where onnxruntime has no kernel."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # it raises classes of its own
        session = onnx.reference.ReferenceEvaluator(model)
    return lambda feeds: [np.asarray(y) for y in session.run(list(outputs), dict(feeds))]


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (a != b) & ~((a != a) & (b != b))


def fits(layout: Layout, shape: tuple[int, ...], where: str) -> None:
    assert len(layout) == len(shape), f"{where}: {len(layout)} axes, not {len(shape)}"
    for axis, size in zip(layout, shape, strict=True):
        told = [factor.size for factor in axis]
        if all(isinstance(part, int) for part in told):
            assert math.prod(told) == size, f"{where}: factors {told} on an axis of {size}"


def assert_same_index(changed: Sequence[np.ndarray], told: np.ndarray, where: str, *, mixes: bool) -> None:
    """Entry i of the input shows at entry i of what the layout names for it: only there, or at least there."""
    for index, seen in enumerate(changed):
        assert seen.any(), f"{where}: entry {index} shows nowhere"
        if not mixes:
            stray = sorted(set(told[seen].tolist()) - {index})
            assert not stray, f"{where}: entry {index} shows at {stray}"
    if mixes:
        shows = [set(told[seen].tolist()) for seen in changed]
        in_place = all(index in found for index, found in enumerate(shows))
        assert in_place or linked(changed, told), f"{where}: an entry does not show in its place"


def linked(changed: Sequence[np.ndarray], told: np.ndarray) -> bool:
    """Whether different entries show at different places along the axis."""
    shows = {frozenset(told[seen].tolist()) for seen in changed}
    return len(changed) == 1 or len(shows) > 1


def kept_in_place(changed: Sequence[np.ndarray], axis: int) -> bool:
    """Whether each entry of the input shows at just its own index of an output's axis of the same length."""
    if changed[0].shape[axis] != len(changed):
        return False
    others = tuple(b for b in range(changed[0].ndim) if b != axis)
    return all(np.flatnonzero(seen.any(axis=others)).tolist() == [index] for index, seen in enumerate(changed))


def of_weight(weight: str) -> Callable[[Factor], bool]:
    return lambda factor: factor.letter.weight == weight


def born(layout: Layout, axis: int) -> bool:
    return any(factor.letter.kind is Kind.BORN for factor in layout[axis])


def _names(axis: Sequence[Factor], weight: str) -> bool:
    return any(factor.letter.weight == weight for factor in axis)
