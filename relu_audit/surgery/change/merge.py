"""Linear layers between which nothing bends, as all units of the rectifier are always on: two become one.

That the units are on is a premise like silence: it was so on all the data, and nothing in the graph says that it must.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.errors import RunError
from relu_audit.model.editor import Editor
from relu_audit.model.sweep import sweep
from relu_audit.records.pruning import Fold
from relu_audit.surgery.constants.biases import Addition, Biases
from relu_audit.surgery.facts.facts import Facts, named
from relu_audit.surgery.operators.signature import Place, operation
from relu_audit.surgery.runs.routes import Alone, Runner
from relu_audit.surgery.runs.survey import Survey

REACH = 1e6
"""A rectifier has to pass on positive numbers up to this, and down to one by it, as they are."""


@dataclass(frozen=True)
class Product:
    """A linear layer that multiplies its data by one matrix along one axis.

    Attributes:
        node: The operator.
        operand: Number of its data.
        weight: Number of its weight.
        axis: The axis of data and result along which it does.
        places: The weight's axes that are summed over and made.
        matrix: From entries of the data to entries of the result, without the operator's own factor.
        factor: That factor.
        bias: What is added, with a constant that follows.
        result: The value behind that.
    """

    node: ir.Node
    operand: int
    weight: int
    axis: int
    places: tuple[int, int]
    matrix: np.ndarray
    factor: float
    bias: np.ndarray
    result: ir.Value


@dataclass(frozen=True)
class Merged:
    """What was merged: the rectified values that are gone, and where their layers' weights went."""

    values: tuple[ir.Value, ...]
    folds: tuple[Fold, ...]


def merge(survey: Survey, facts: Facts, on: Collection[tuple[ir.Value, ir.Value]]) -> Merged:
    """Merge what can be merged without touching a layer twice. Changes the graph.

    Args:
        survey: The graph.
        facts: Its facts.
        on: Rectified values all of whose units are always on, each behind its pre-activation.
    """
    editor = Editor(survey.network.model)
    values: list[ir.Value] = []
    folds: list[Fold] = []
    touched: set[ir.Node] = set()
    for source, value in on:
        pair = _pair(survey, facts, source, value)
        if pair is None or touched & {pair[0].node, pair[1].node}:
            continue
        touched |= {pair[0].node, pair[1].node}
        values.append(value)
        folds += _write(survey, editor, *pair)
    if values:
        sweep(survey.network.model, survey.staying)
    return Merged(tuple(values), tuple(folds))


def _pair(survey: Survey, facts: Facts, source: ir.Value, value: ir.Value) -> tuple[Product, Product] | None:
    """The layers before and behind a rectifier, if one would do for both and be cheaper."""
    reader, rectifier = _only_reader(value), value.producer()
    if reader is None or rectifier is None or _only_reader(source) is not rectifier:
        return None
    before = next((p for p in _ending(survey, facts, source)), None)
    behind = _product(survey, facts, reader)
    if before is None or behind is None or reader.inputs[behind.operand] is not value or before.axis != behind.axis:
        return None
    (first, inner), (_, last) = before.matrix.shape, behind.matrix.shape
    if first * last >= first * inner + inner * last or not _passes(survey, rectifier, source):
        return None
    return before, behind


def _ending(survey: Survey, facts: Facts, value: ir.Value) -> Iterator[Product]:
    """The product that ends in a value, which may be the sum with a constant."""
    node = value.producer()
    for one in () if node is None else (node, *(v.producer() for v in node.inputs if v is not None)):
        product = None if one is None else _product(survey, facts, one)
        if product is not None and product.result is value:
            yield product


def _only_reader(value: ir.Value) -> ir.Node | None:
    uses = list(value.uses())
    return uses[0][0] if len(uses) == 1 and not value.is_graph_output() else None


def _passes(survey: Survey, rectifier: ir.Node, source: ir.Value) -> bool:
    """Whether a rectifier passes on whatever is positive, which one with an upper bound does not."""
    shape = survey.shapes.get(source)
    given = {i: n for i, v in enumerate(rectifier.inputs) if v is not source and (n := survey.constant(v)) is not None}
    index = next((i for i, v in enumerate(rectifier.inputs) if v is source), None)
    if shape is None or index is None or len(given) + 1 < sum(v is not None for v in rectifier.inputs):
        return False
    try:
        runner = Runner(Alone(rectifier, {index: shape}, given, survey.network.opsets, survey.probe_runs.engine))
        for number in (1 / REACH, 1.0, REACH):
            filled = np.full(shape, number, np.float32)
            if not np.array_equal(runner.run(index, filled)[0], filled):
                return False
    except RunError:
        survey.network.note(f"{named(rectifier)} does not run by itself, so no layers are merged across it")
        return False
    return True


def _product(survey: Survey, facts: Facts, node: ir.Node) -> Product | None:
    law, read = survey.law(node), facts.signatures.get(node)
    mixes = [mix for mix in facts.mixes if mix.node is node]
    if law is None or not law.linear or read is None or len(mixes) != 1 or not _is_plain(node, windows=law.windows):
        return None
    mix = mixes[0]
    weight = None if mix.weight is None else survey.constant(node.inputs[mix.weight])
    if weight is None or mix.weight is None or read.grouped() or (law.private and not law.windows):
        return None
    data = next((p for p in read.places if p.operand == mix.operand and set(p.letters) & read.contracted), None)
    summed = next((p for p in read.places if p.operand == mix.weight and set(p.letters) & read.contracted), None)
    made = _made(facts, node, mix.weight, summed)
    if data is None or summed is None or made is None or weight.size != weight.shape[summed.axis] * (made[0].size or 0):
        return None
    if data.axis != made[1].axis or weight.dtype.kind != "f":
        return None
    matrix = np.moveaxis(weight.astype(np.float64), (summed.axis, made[0].axis), (0, 1))
    matrix = matrix.reshape(matrix.shape[:2])
    rank = len(survey.atoms.shape(node.outputs[0]) or ())
    bias, result = _bias(survey, node, data.axis, rank, made[0].size or 0)
    if bias is None:
        return None
    factor = node.attributes[law.scale].as_float() if law.scale in node.attributes else 1.0
    places = (summed.axis, made[0].axis)
    return Product(node, mix.operand, mix.weight, data.axis, places, matrix, factor, bias, result)


def _made(facts: Facts, node: ir.Node, weight: int, summed: Place | None) -> tuple[Place, Place] | None:
    """The axis of the weight, and of the result, that holds what is made."""
    places = facts.signatures[node].places
    for place in places:
        if place.operand == weight and summed is not None and place.axis != summed.axis and place.letters[0][0] != "~":
            goal = next((p for p in places if p.output == 0 and place.letters[-1] in p.letters), None)
            if goal is not None and goal.size == place.size and (goal.size or 0) > 1:
                return place, goal
    return None


def _is_plain(node: ir.Node, *, windows: bool) -> bool:
    """Whether windows, if there are any, move one by one and never over a border."""
    op = operation(node)
    steps, borders = op.integers("strides") or [], op.integers("pads") or []
    return not windows or (all(step == 1 for step in steps) and not any(borders))


def _bias(
    survey: Survey, node: ir.Node, axis: int, rank: int, size: int
) -> tuple[np.ndarray, ir.Value] | tuple[None, ir.Value]:
    """What is added, by the node itself and by one that does nothing else, and the value behind."""
    law, value = survey.law(node), node.outputs[0]
    total = np.zeros(size)
    own = node.inputs[law.bias] if law is not None and law.bias is not None and law.bias < len(node.inputs) else None
    if law is not None and own is not None:
        numbers = survey.constant(own)
        scale = node.attributes[law.bias_scale].as_float() if law.bias_scale in node.attributes else 1.0
        spread = (
            None if numbers is None else _along(numbers, axis if law.bias_spreads else 0, rank, size, law.bias_spreads)
        )
        if spread is None:
            return None, value
        total += scale * spread
    reader = _only_reader(value)
    following = None if reader is None else survey.law(reader)
    if reader is not None and following is not None and following.adds and len(reader.inputs) == 2:
        other = next((v for v in reader.inputs if v is not value), None)
        numbers = survey.constant(other)
        spread = None if numbers is None else _along(numbers, axis, rank, size, True)
        if spread is not None:
            return total + spread, reader.outputs[0]
    return total, value


def _along(numbers: np.ndarray, axis: int, rank: int, size: int, aligned: bool) -> np.ndarray | None:
    """Numbers that differ along one axis at most, one for each of its entries."""
    if numbers.ndim > rank:
        return None
    if aligned:
        numbers = numbers.reshape((1,) * (rank - numbers.ndim) + numbers.shape)
        if any(length != 1 for i, length in enumerate(numbers.shape) if i != axis):
            return None
    return np.broadcast_to(numbers.astype(np.float64).ravel(), (size,)) if numbers.size in (1, size) else None


def _write(survey: Survey, editor: Editor, before: Product, behind: Product) -> list[Fold]:
    """Let the second layer do both: W2 W1 and W2 b1 + b2, in float64 and rounded once."""
    node = behind.node
    old = survey.constant(node.inputs[behind.weight])
    dtype = np.dtype(np.float32) if old is None else old.dtype
    effective = behind.matrix * behind.factor
    matrix = before.matrix @ behind.matrix * before.factor
    rank = 2 if old is None else old.ndim
    new = np.moveaxis(matrix.reshape(*matrix.shape, *([1] * (rank - 2))), (0, 1), behind.places)
    weight = editor.constant(np.ascontiguousarray(new).astype(dtype), f"{node.name or node.op_type}_weight")
    node.replace_input_with(behind.weight, weight)
    node.replace_input_with(behind.operand, before.node.inputs[before.operand])
    note = f"{named(before.node)} merged into {named(node)}"
    folds = [Fold(initializer=weight.name or "", note=note)]
    level = before.bias @ effective
    if level.any():
        folds += Biases(survey, editor).add([Addition(node, behind.axis, level, note)])
    return folds
