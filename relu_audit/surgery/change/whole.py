"""Values that are constant as a whole, as behind a layer all of whose units are silent: a constant takes their place.

An axis cannot be left empty, so such a layer could only shrink to one unit. Where what comes of it meets a value that
is not constant, or is given out, a constant is put in its place: where a living operand gives the result its shape, one
that broadcasts; else one that is spread to the lengths that the graph's inputs decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.model.scopes import bodies
from relu_audit.model.sweep import sweep
from relu_audit.surgery.choose.reach import Edge, live
from relu_audit.surgery.constants.constants import SPREAD, Constants
from relu_audit.surgery.constants.lengths import EXPANDS_SINCE, Length, lengths, spread
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.runs.hold import Silent
from relu_audit.surgery.runs.survey import Survey

BROADCASTS = "*, *+ -> *"
"""The signature of operators whose operands meet entry by entry."""

MOST_ELEMENTS = 1 << 14
"""A constant that differs along several axes, as at a padded border, is written down up to this size."""


@dataclass(frozen=True)
class Whole:
    """A value that is constant as a whole.

    Attributes:
        value: The value.
        array: Its numbers, with ones for the axes along which they are all alike.
        lengths: Of all axes; None where something else than the inputs decides them.
        relied: The silent values that make it constant.
    """

    value: ir.Value
    array: np.ndarray
    lengths: Sequence[Length] | None
    relied: frozenset[ir.Value]


@dataclass(frozen=True)
class Replacement:
    """A value whose readers get a constant.

    Attributes:
        whole: The value.
        broadcast: The readers that take one that broadcasts.
        spread: The readers that take one at its right lengths.
        given_out: Whether the graph gives it out.
    """

    whole: Whole
    broadcast: tuple[Edge, ...]
    spread: tuple[Edge, ...]
    given_out: bool

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All readers."""
        return self.broadcast + self.spread


def replace_whole(survey: Survey, facts: Facts, constants: Constants, silent: Sequence[Silent]) -> tuple[Silent, ...]:
    """Replace what is constant as a whole, wherever all that made it so then goes. Changes the graph.

    Returns:
        The silent units that were relied on, and are gone.
    """
    model = survey.network.model
    seeds = {one.value for one in silent if len(one.indices) == len(one.units)}
    wholes = _wholes(survey, facts, constants, seeds) if seeds else {}
    found = [one for whole in wholes.values() if (one := _replacement(survey, wholes, whole)) is not None]
    while True:
        dropped = {edge for one in found for edge in one.edges}
        given_out = {one.whole.value for one in found if one.given_out}
        outputs = [value for value in model.graph.outputs if value not in given_out]
        running = live(model.graph, dropped, [*outputs, *survey.staying])
        # A silent value that stays would be relied on here and computed there.
        staying = [one for one in found if not any(value.producer() in running for value in one.whole.relied)]
        if len(staying) == len(found):
            break
        found = staying
    relied = {value for one in found for value in one.whole.relied}
    if found:
        editor = Editor(model)
        for one in found:
            _write(editor, one)
        sweep(model, survey.staying)
    return tuple(one for one in silent if one.value in relied)


def _write(editor: Editor, one: Replacement) -> None:
    value, producer = one.whole.value, one.whole.value.producer()
    like = value.name or "constant"
    if one.broadcast:
        constant = editor.constant(one.whole.array, like)
        for node, index in one.broadcast:
            node.replace_input_with(index, constant)
    if producer is None or one.whole.lengths is None or not (one.spread or one.given_out):
        return
    made = spread(editor, producer, one.whole.array, one.whole.lengths, like)
    for node, index in one.spread:
        node.replace_input_with(index, made)
    if one.given_out:
        if made.producer() is None:
            made = editor.before(producer, "Identity", made)
        made.type = value.type
        editor.take_over(producer, value, made)


def _wholes(survey: Survey, facts: Facts, constants: Constants, seeds: Collection[ir.Value]) -> dict[ir.Value, Whole]:
    """All values of the main graph that are constant because of what is silent, with their numbers."""
    relied: dict[ir.Value, frozenset[ir.Value]] = {}
    for node in survey.network.model.graph:
        for value in node.outputs:
            if value in constants.whole and value.name and survey.constant(value) is None:
                found = frozenset({value}) if value in seeds else _relied(survey, constants, relied, node)
                if found:
                    relied[value] = found
    wholes: dict[ir.Value, Whole] = {}
    for value, numbers in _alike_at_every_size(survey, relied):
        array = numbers if value.dtype is None else numbers.astype(value.dtype.numpy())
        long = lengths(survey, facts, value) if survey.opset >= EXPANDS_SINCE else None
        wholes[value] = Whole(value, array, long, relied[value])
    return wholes


def _alike_at_every_size(survey: Survey, values: Collection[ir.Value]) -> Iterator[tuple[ir.Value, np.ndarray]]:
    """The collapsed numbers of constants that are the same whatever the open sizes are, as the sum of an image is not.

    The order is the graph's.
    """
    wanted = {value.name or "": value for value in values if value in survey.shapes}
    size = {name: 8 * int(np.prod(survey.shapes[value])) for name, value in wanted.items()}
    first: dict[str, np.ndarray | None] = {}
    for feeds in (survey.probe_runs.feeds, *survey.probe_runs.further):
        for name, numbers in survey.probe_runs.numbers(size, feeds):
            shape = survey.atoms.shape(wanted[name])
            array = None if shape is None else _collapsed(numbers, shape)
            first[name] = array if _agree(first.get(name, array), array) else None
    survey.probe_runs.close()
    for name, value in wanted.items():
        array = first.get(name)
        if array is not None:
            yield value, array


def _agree(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and one.shape == other.shape and _alike(one, other)


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether numbers differ by no more than what kernels round, each by its own size: a large one hides no other."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    return bool((np.abs(a - b) <= SPREAD * np.maximum(np.abs(a), np.abs(b))).all())


def _relied(
    survey: Survey, constants: Constants, relied: Mapping[ir.Value, frozenset[ir.Value]], node: ir.Node
) -> frozenset[ir.Value] | None:
    """The fully silent values that make a node's results constant; None if something else has a part in it."""
    law = survey.law(node)
    if law is None or bodies(node):
        return None
    for index in survey.absorbing(node)[: len(node.inputs)]:
        value = node.inputs[index]
        if value is not None and value in relied and _is_all(survey, constants, value, survey.zero(node, index)):
            return relied[value]
    found: set[ir.Value] = set()
    for value in node.inputs:
        if value is None or survey.constant(value) is not None or (law.moves and value in survey.measured):
            continue
        if value not in relied:
            return None
        found |= relied[value]
    return frozenset(found)


def _is_all(survey: Survey, constants: Constants, value: ir.Value, number: float) -> bool:
    return any((constants.number[atoms] == number).all() for _, atoms in survey.atoms.of(value))


def _collapsed(numbers: np.ndarray, shape: Sequence[int | None]) -> np.ndarray | None:
    """A constant with ones for the axes along which it does not change; None if it does along an open one."""
    if numbers.dtype.kind not in "biuf" or not numbers.size or not np.isfinite(numbers).all():
        return None
    for axis, size in enumerate(shape):
        first = np.take(numbers, [0], axis)
        if _alike(numbers, first):
            numbers = first
        elif size is None:
            return None
    several = sum(length > 1 for length in numbers.shape) > 1
    return None if several and numbers.size > MOST_ELEMENTS else np.ascontiguousarray(numbers)


def _replacement(survey: Survey, wholes: Mapping[ir.Value, Whole], whole: Whole) -> Replacement | None:
    """Where a value meets one that stays."""
    main = survey.network.model.graph
    broadcast: list[Edge] = []
    spread_to: list[Edge] = []
    given_out = whole.value.is_graph_output() and whole.value in main.outputs
    for user, index in whole.value.uses():
        if all(_replaceable(wholes, value) for value in user.outputs):
            continue
        if user.graph is main and _broadcasts(survey, wholes, user, index):
            broadcast.append((user, index))
        elif whole.lengths is not None:
            spread_to.append((user, index))
    if given_out and whole.lengths is None:
        given_out = False
    if not (broadcast or spread_to or given_out):
        return None
    return Replacement(whole, tuple(broadcast), tuple(spread_to), given_out)


def _replaceable(wholes: Mapping[ir.Value, Whole], value: ir.Value) -> bool:
    return value in wholes and wholes[value].lengths is not None


def _broadcasts(survey: Survey, wholes: Mapping[ir.Value, Whole], user: ir.Node, index: int) -> bool:
    """Whether another operand alone gives the result its shape."""
    row = survey.row(user)
    if row is None or row.signature != BROADCASTS or any(value in wholes for value in user.outputs):
        return False
    result = user.outputs[0]
    fixed, shape = survey.atoms.shape(result), survey.shapes.get(result)
    for other, value in enumerate(user.inputs):
        if other == index or value is None or value in wholes or fixed is None or shape is None:
            continue
        same = survey.atoms.shape(value) == fixed and survey.shapes.get(value) == shape
        # An open axis of length one in the run might be one that broadcasts.
        if same and all(known is not None or length > 1 for known, length in zip(fixed, shape, strict=True)):
            return True
    return False
