"""Constants that enter a linear operator: what they add to its result, and where that can be written down.

What a constant adds is found by running the operator by itself on nothing but the constants. It can be folded into a
bias if it is the same at all positions; at the padded border of a convolution, a constant other than zero is not. There
one constant channel can carry all others: the operator is linear, so the weights of a channel of value a may go to one
of value b times a / b, border and all. So it is with channels that are not one number everywhere, as long as one is a
multiple of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from relu_audit.errors import RunError
from relu_audit.observe.session import Session
from relu_audit.surgery.constants.constants import SPREAD, Constants
from relu_audit.surgery.constants.fields import ALONE, Fields, fields
from relu_audit.surgery.facts.facts import Facts, Mix, named
from relu_audit.surgery.facts.sums import NOBODY, Sum
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.operators.signature import Place
from relu_audit.surgery.runs.survey import Survey

OPEN_POSITIONS = 16
"""Length at least given to axes of open size, so that a border and what lies within it both show."""


@dataclass(frozen=True)
class Response:
    """What constants add to a result.

    Attributes:
        axis: The result's axis that holds what the weight makes.
        level: For each entry along it: float64.
        even: Whether it is the same at all positions.
    """

    axis: int
    level: np.ndarray
    even: Bools


def sums(survey: Survey, facts: Facts, constants: Constants) -> list[Sum]:
    """Every mix with the terms that may go although a kept result has them."""
    return [_sum(survey, facts, constants, mix) for mix in facts.mixes]


def _sum(survey: Survey, facts: Facts, constants: Constants, mix: Mix) -> Sum:
    known, number = constants.known[mix.terms], constants.number[mix.terms]
    free = _zeros(survey, constants, mix.node, mix.operand, mix.terms)
    for operand, terms in mix.partners.items():
        free |= _zeros(survey, constants, mix.node, operand, terms)
    levels = known & ~free & np.isfinite(number)
    uneven = constants.uneven[mix.terms] & ~free
    none, nobody = np.zeros_like(free), np.full_like(mix.terms, NOBODY)
    law = survey.law(mix.node)
    if law is None or not law.linear or not (levels.any() or uneven.any()):
        return Sum(mix, free, none, nobody, number)
    linear = Linear.of(survey, facts, mix)
    at_border = levels if linear is None else _uneven_behind(linear, levels, number)
    free |= levels & ~at_border
    if linear is None or not can_carry(mix):
        return Sum(mix, free, none, nobody, number)
    alike = _alike(survey, facts, mix, uneven)
    number = np.where(uneven, alike.factor, number)
    kinds = np.where(at_border, len(alike.number), np.where(uneven, alike.number, ALONE))
    return Sum(mix, free, kinds != ALONE, _carriers(number, kinds), number)


def _zeros(survey: Survey, constants: Constants, node: ir.Node, operand: int, terms: Ints) -> Bools:
    """Which terms of an operand are zero, or the code that stands for it."""
    value = node.inputs[operand]
    maker = None if value is None else value.producer()
    rule, made_by = survey.law(node), None if maker is None else survey.law(maker)
    point = None if rule is None else rule.zero_points.get(operand)
    own = None if made_by is None else made_by.own_zero
    if value is None or maker is None or own is None or point is None or node.inputs[point] is not maker.outputs[own]:
        return constants.known[terms] & (constants.number[terms] == survey.zero(node, operand))
    # Which code it is the data decides, but it is that of zero where what was quantized is zero.
    source = maker.inputs[0]
    axis = next((axis for axis, atoms in survey.atoms.of(value) if _same(atoms, terms)), None)
    coded = None if source is None or axis is None else survey.atoms.along(source, axis)
    if coded is None or value is not maker.outputs[0]:
        return np.zeros(terms.shape, bool)
    return (constants.known[coded] & (constants.number[coded] == 0)).reshape(terms.shape)


def _uneven_behind(linear: Linear, levels: Bools, number: np.ndarray) -> Bools:
    """Which constants add something to the result that is not the same at all positions."""
    together = linear.respond(levels * np.nan_to_num(number))
    found = np.zeros_like(levels)
    if together is None:
        return levels
    if together.even.all():
        return found
    for group, term in np.argwhere(levels):
        one = np.zeros(levels.shape)
        one[group, term] = number[group, term]
        alone = linear.respond(one)
        found[group, term] = alone is None or not alone.even.all()
    return found


def _alike(survey: Survey, facts: Facts, mix: Mix, uneven: Bools) -> Fields:
    """Which constants of a sum, not one number themselves, are multiples of one another: [group, term]."""
    data = mix.node.inputs[mix.operand]
    axis = None if data is None else next((a for a, own in facts.atoms.of(data) if _same(own, mix.terms)), None)
    if data is None or axis is None or np.count_nonzero(uneven) < 2:
        return Fields(np.full(uneven.shape, ALONE), np.full(uneven.shape, np.nan))
    found = fields(survey, data, axis, uneven.ravel())
    return Fields(found.number.reshape(uneven.shape), found.factor.reshape(uneven.shape))


def can_carry(mix: Mix) -> bool:
    """Whether a sum's weights are its own and lie in an initializer, so that they can be changed."""
    value = None if mix.weight is None else mix.node.inputs[mix.weight]
    if value is None or value.const_value is None or value.is_graph_input() or value.is_graph_output():
        return False
    return value.const_value.dtype.is_floating_point() and len(list(value.uses())) == 1


def _carriers(number: np.ndarray, kinds: Ints) -> Ints:
    """For every term the one that carries it: of its kind, and the same position in all groups where that can be."""
    found = np.full(kinds.shape, NOBODY)
    for kind in np.unique(kinds[kinds != ALONE]):
        able = kinds == kind
        together = np.asarray(able.all(axis=0))
        if len(number) > 1 and together.any():
            found[able] = _carrier(np.abs(number).min(axis=0), together)
            continue
        for group in np.flatnonzero(able.any(axis=1)):
            found[group, able[group]] = _carrier(number[group], able[group])
    return found


def _carrier(number: np.ndarray, able: Bools) -> int:
    """The constant that carries the others: of whole numbers the least, which most often divides, else the largest."""
    size = np.where(able, np.abs(number), np.nan)
    whole = bool((number[able] == np.rint(number[able])).all())
    return int(np.nanargmin(size) if whole else np.nanargmax(size))


@dataclass(frozen=True)
class Linear:
    """A linear operator by itself, without its bias, on one sample.

    Attributes:
        session: The operator.
        shape: The shape of its data.
        summed: The data's axis that it sums over.
        made: The result's axis that the weight makes.
        dtype: What it computes in.
        border: Whether it reads beyond the edges of data whose size is open.
        refused: Notes that the operator does not run.
    """

    session: Session
    shape: tuple[int, ...]
    summed: int
    made: int
    dtype: np.dtype[Any]
    border: bool
    refused: Callable[[], None]

    @staticmethod
    def of(survey: Survey, facts: Facts, mix: Mix) -> Linear | None:
        """The operator of a mix; None if its sizes or weights are not known."""
        places = facts.signatures[mix.node].places
        contracted = facts.signatures[mix.node].contracted
        data = mix.node.inputs[mix.operand]
        weight = None if mix.weight is None else survey.constant(mix.node.inputs[mix.weight])
        letters = {x for p in places if p.operand == mix.weight for x in p.letters}
        summed = next((p for p in places if p.operand == mix.operand and set(p.letters) & contracted), None)
        made = next((p for p in places if p.output == 0 and _is_made(p, mix, letters)), None)
        shape = survey.likely(data)
        if data is None or weight is None or summed is None or made is None or shape is None or mix.weight is None:
            return None
        if weight.dtype.kind != "f" and weight.dtype.name != "bfloat16":
            return None
        fixed = survey.atoms.shape(data) or shape
        size = [
            max(length, OPEN_POSITIONS) if known is None and axis else length
            for axis, (length, known) in enumerate(zip(shape, fixed, strict=True))
        ]
        batch = {x for p in places if p.operand == mix.operand and p.axis == 0 for x in p.letters}
        if not batch & letters and summed.axis:
            size[0] = 1
        why = f"{named(mix.node)} does not run by itself, so no constants are folded into its bias or weights"
        refused = partial(survey.network.note, why)
        dtype: np.dtype[Any] = np.dtype(np.float64 if weight.dtype == np.float64 else np.float32)
        try:
            session = _session(survey, mix, tuple(size), weight.astype(dtype))
        except RunError:
            refused()
            return None
        open_axes = any(known is None for known in fixed[1:])
        return Linear(session, tuple(size), summed.axis, made.axis, dtype, open_axes and _pads(mix.node), refused)

    def respond(self, levels: np.ndarray) -> Response | None:
        """What constants add.

        Args:
            levels: The value of every term, zero for those that are none: [group, term].
        """
        sides = [-1 if axis == self.summed else 1 for axis in range(len(self.shape))]
        filled = np.zeros(self.shape, self.dtype) + levels.astype(self.dtype).reshape(sides)
        try:
            result = self.session.run({"data": filled}, ["result"])["result"].astype(np.float64)
        except RunError:
            self.refused()
            return None
        rest = tuple(axis for axis in range(result.ndim) if axis != self.made)
        low, high = result.min(axis=rest), result.max(axis=rest)
        even = high - low <= SPREAD * np.maximum(np.abs(low), np.abs(high))
        if self.border:
            even &= (low == 0) & (high == 0)
        return Response(self.made, low, even)


def _pads(node: ir.Node) -> bool:
    """Whether the operator reads beyond the edges of its operand, or may: how far depends on the operand's size."""
    given = [node.attributes[name] for name in ("pads", "auto_pad") if name in node.attributes]
    return any(
        any(one.as_ints()) if one.type is ir.AttributeType.INTS else one.as_string() not in ("", "NOTSET", "VALID")
        for one in given
    )


def _is_made(place: Place, mix: Mix, letters: set[str]) -> bool:
    return mix.results.size == place.size and any(x in letters for x in place.letters)


def _session(survey: Survey, mix: Mix, shape: tuple[int, ...], numbers: np.ndarray) -> Session:
    """The node with its weight, zeros for its bias, and a data input: ``data`` to ``result``."""
    node, law = mix.node, survey.law(mix.node)
    kind = ir.TensorType(ir.DataType.from_numpy(numbers.dtype))
    data = ir.Value(name="data", shape=ir.Shape(shape), type=kind)

    def held(array: np.ndarray, name: str) -> ir.Value:
        tensor = ir.Tensor(array, name=name)
        return ir.Value(name=name, shape=ir.Shape(array.shape), type=kind, const_value=tensor)

    operands = {mix.operand: data, mix.weight: held(numbers, "weight")}
    if law is not None and law.bias is not None and law.bias < len(node.inputs) and node.inputs[law.bias] is not None:
        # Earlier opsets demand a bias: Gemm's is optional since 11.
        zeros = np.zeros(1 if law.bias_spreads else mix.results.size, numbers.dtype)
        operands[law.bias] = held(zeros, "bias")
    output = ir.Value(name="result")
    values = [operands.get(index) for index in range(max(index or 0 for index in operands) + 1)]
    copy = ir.Node(node.domain, node.op_type, values, node.attributes.values(), outputs=[output])
    constants = [value for value in operands.values() if value is not data]
    opsets = dict(survey.network.opsets)
    graph = ir.Graph([data], [output], nodes=[copy], initializers=constants, opset_imports=opsets, name="one_node")
    return Session(ir.Model(graph, ir_version=8), None, survey.probe_runs.engine, optimize=False)


def carry(facts: Facts, one: Sum, gone: Bools) -> np.ndarray | None:
    """The weights once the carriers take up what other constants add; None if nothing is carried.

    Args:
        facts: The graph's facts.
        one: The sum; its weight is an initializer of its own.
        gone: Those of the carried terms that go: [group, term].
    """
    mix = one.mix
    value = None if mix.weight is None else mix.node.inputs[mix.weight]
    if value is None or value.const_value is None or not gone.any():
        return None
    read = facts.signatures[mix.node]
    summed = next(p for p in read.places if p.operand == mix.weight and set(p.letters) & read.contracted)
    old = value.const_value.numpy()
    new = np.moveaxis(old.astype(np.float64), summed.axis, 0)
    groups, terms = gone.shape
    by_result = next(
        (p.axis for p in read.places if p.operand == mix.weight and len(p.letters) > 1 and p.axis != summed.axis), None
    )
    for group, to in _pairs(one, gone):
        going = np.flatnonzero(gone[group] & (one.carrier[group] == to))
        share = one.number[group, going] / one.number[group, to]
        # With groups, a weight either has a row of terms for each, or has its results in a row.
        first = group * terms if len(summed.letters) > 1 else 0
        if by_result is None or len(summed.letters) > 1:
            new[first + to] += np.tensordot(share, new[first + going], axes=1)
        else:
            axis = by_result if by_result > summed.axis else by_result + 1
            rows = np.moveaxis(new, axis, 1)
            each = rows.shape[1] // groups
            part = slice(group * each, (group + 1) * each)
            rows[to, part] += np.tensordot(share, rows[going][:, part], axes=1)
    return np.ascontiguousarray(np.moveaxis(new, 0, summed.axis)).astype(old.dtype)


def _pairs(one: Sum, gone: Bools) -> list[tuple[int, int]]:
    """Every group with every carrier in it that has something to carry."""
    return [(g, int(to)) for g in range(len(gone)) for to in np.unique(one.carrier[g, gone[g]])]


def _same(left: Ints, right: Ints) -> bool:
    return np.array_equal(left.ravel(), right.ravel())
