"""Facts of the operators with a signature: what shares a letter is linked, what is summed over is mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from relu_audit.activations.nonzero import not_negative
from relu_audit.surgery.facts.facts import ALWAYS, Facts, Groups, Mix, Serving, named
from relu_audit.surgery.operators import signature
from relu_audit.surgery.operators.atoms import Atoms, Bools, Ints
from relu_audit.surgery.operators.laws import Joins, Law
from relu_audit.surgery.operators.signature import Place, Signature
from relu_audit.surgery.runs.survey import Survey


def combine(survey: Survey, facts: Facts, node: ir.Node, law: Law) -> None:
    """Facts of a node by the letters of its axes."""
    if any(index < len(node.outputs) and list(node.outputs[index].uses()) for index in law.counts):
        facts.pin_node(node, "counted", f"{named(node)} counts the entries, and the count is used")
        return
    row = survey.row(node)
    read = None
    if row is not None and law.signature:
        row = replace(row, signature=law.signature)
    if row is not None:
        small = [survey.network.constant(value) for value in node.inputs]
        try:
            read = signature.read(node, row, _Sizes(facts.atoms), small)
        except (LookupError, ValueError, TypeError, ZeroDivisionError):
            read = None  # the node's attributes contradict its operands; the runtime will say how
    if read is None or not _is_covered(facts, node, law, read):
        facts.pin_node(node, "unknown-operator", f"the axes of {named(node)} are not known")
        return
    facts.signatures[node] = read
    held = _joined(survey, facts, law, read)
    told = law.zeros if not law.least or not_negative(survey.functions, node.inputs[0]) else None
    summed = _first_axes(survey, facts, node, told)
    loose = {x for p in read.places for x in p.letters if x[0] != "~" and (not law.only or x in law.only)} - held
    for letter in sorted(loose & set(read.sizes)):
        places = [p for p in read.places if letter in p.letters and p.size != 1]
        if not _link_groups(survey, facts, read, letter, places):
            _link_letter(facts, read, letter, places)
    _link_parameters(facts, node, law)
    _pin_within_groups(facts, read)
    free = {(p.value, p.axis) for p in read.places if loose.issuperset(p.letters)}
    parameters: set[ir.Value] = (
        set() if law.along is None else {v for v in node.inputs[1:] if v is not None and len(_shape(facts, v)) == 1}
    )
    for value in (*node.inputs, *node.outputs):
        for axis, atoms in () if value is None else facts.atoms.of(value):
            counted = value is node.inputs[0] and axis in summed
            if (value, axis) not in free and value not in parameters and not counted:
                facts.pin(atoms, "combined-axis", f"{named(node)} combines the entries along this axis")
    for axis in sorted(summed):
        _count(facts, node, axis)
    for letter in sorted(read.contracted):
        _mix(survey, facts, read, letter, law)


def _is_covered(facts: Facts, node: ir.Node, law: Law, read: Signature) -> bool:
    """Whether the letters say all there is to say: an axis of which nothing is known may be tied to any other."""
    if read.moves:
        return True
    covered = {(p.operand, p.axis) for p in read.places}
    for index, value in enumerate(node.inputs):
        axes = [] if value is None else [axis for axis, _ in facts.atoms.of(value)]
        parameter = law.along is not None and index > 0 and len(axes) <= 1
        if index not in law.private and not parameter and any((index, axis) not in covered for axis in axes):
            return False
    return True


class _Sizes(dict[ir.Value, "tuple[int | None, ...]"]):
    """Sizes as the numbering knows them."""

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        self._atoms = atoms

    def get(self, key: ir.Value, default: object = None) -> tuple[int | None, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        del default
        return self._atoms.shape(key)


def _shape(facts: Facts, value: ir.Value) -> tuple[int | None, ...]:
    return facts.atoms.shape(value) or ()


def _first_axes(survey: Survey, facts: Facts, node: ir.Node, named_by: Joins | None) -> set[int]:
    """The axes of the first operand that a law names."""
    source = node.inputs[0]
    rank = 0 if source is None else len(_shape(facts, source))
    return named_by(survey.operation(node), rank) if named_by is not None and rank else set[int]()


def _joined(survey: Survey, facts: Facts, law: Law, read: Signature) -> set[str]:
    """Letters along which the operator computes entries from one another."""
    axes = _first_axes(survey, facts, read.node, law.joins)
    places = [p for p in read.places if p.operand == 0 or p.output is not None]
    return {letter for p in places if p.axis in axes for letter in p.letters}


def _link_letter(facts: Facts, read: Signature, letter: str, places: Sequence[Place]) -> None:
    """Join all axes that run over a letter; of axes with groups, by group or by the position within."""
    size = read.sizes[letter]
    rows: list[Ints | None] = []
    for place in places:
        atoms = facts.atoms.along(place.value, place.axis)
        if atoms is None or len(place.letters) == 1:
            rows.append(atoms)
            continue
        grid = atoms.reshape([read.sizes[x] for x in place.letters])
        at = place.letters.index(letter)
        if (at == 0) != read.by_group():
            continue
        rows += list(grid.T) if at == 0 else list(grid)
    rows = [row for row in rows if row is None or len(row) == size]
    for row in rows[1:]:
        facts.link(rows[0], row, read.node)


def _link_groups(survey: Survey, facts: Facts, read: Signature, letter: str, places: Sequence[Place]) -> bool:
    """Join the entries within groups one by one, so that each group may lose others; whether that can be written."""
    grids = [facts.atoms.along(p.value, p.axis) for p in places if len(p.letters) > 1 and p.letters[-1] == letter]
    serving = [_serving(survey, read, p) for p in places if len(p.letters) == 1]
    known = [grid for grid in grids if grid is not None]
    if not read.grouped() or read.by_group() or not known or len(known) < len(grids) or None in serving:
        return False
    entries = known[0].reshape(-1, read.sizes[letter])
    for grid in known[1:]:
        facts.link(known[0], grid, read.node)
    for one in filter(None, serving):
        facts.link(entries[0], facts.atoms.along(one.value, one.axis), read.node)
    facts.groups.append(Groups(entries, tuple(filter(None, serving))))
    return True


def _serving(survey: Survey, read: Signature, place: Place) -> Serving | None:
    """The constant that a place without groups is part of, if it can be cut by group."""
    value, maker = place.value, place.value.producer()
    by = next((p.axis for p in read.places if p.operand == place.operand and len(p.letters) > 1), None)
    written = survey.constant(value) is not None and (maker is None or not maker.inputs)
    if by is None or not written or len(list(value.uses())) > 1 or value.is_graph_output():
        return None
    return Serving(value, place.axis, by)


def _pin_within_groups(facts: Facts, read: Signature) -> None:
    """Where whole groups go, what lies within one stays."""
    if not read.by_group():
        return
    within = {p.letters[1] for p in read.places if len(p.letters) > 1}
    for place in read.places:
        if len(place.letters) == 1 and place.letters[0] in within:
            facts.pin(facts.atoms.along(place.value, place.axis), "uneven-groups", f"{named(read.node)} has groups")


def _link_parameters(facts: Facts, node: ir.Node, law: Law) -> None:
    """Operands of rank one that belong to one axis of the first."""
    source = node.inputs[0]
    if law.along is None or source is None:
        return
    name, default = law.along
    rank = len(_shape(facts, source))
    axis = signature.operation(node).integer(name, default)
    atoms = facts.atoms.along(source, axis % rank) if rank else None
    for value in node.inputs[1:]:
        if value is not None:
            for _, own in facts.atoms.of(value):
                facts.link(own, atoms if atoms is not None and len(atoms) == len(own) else None, node)


def _count(facts: Facts, node: ir.Node, axis: int) -> None:
    """Everything along an axis of the first operand counts, as in a sum that is always there."""
    source = node.inputs[0]
    atoms = None if source is None else facts.atoms.along(source, axis)
    if atoms is not None:
        weights = np.ones((1, 1, len(atoms)), bool)
        facts.mixes.append(Mix(node, 0, None, weights, np.full((1, 1), ALWAYS), atoms[None]))


def _mix(survey: Survey, facts: Facts, read: Signature, letter: str, law: Law) -> None:
    """The sum over a letter."""
    node, size = read.node, read.sizes.get(letter, 1)
    if law.only and letter not in law.only:
        return
    operands = [p for p in read.of(letter, results=False) if p.operand is not None]
    weights = {p.operand: _factors(survey, read, law, p) for p in operands}
    data = [p for p in operands if weights[p.operand] is None]
    weight = next((p for p in operands if weights[p.operand] is not None), None)
    grids = {p.operand: _terms(facts, read, p, letter) for p in data}
    for place in data:
        terms = grids[place.operand]
        if terms is None:
            continue
        others = {o or 0: g for o, g in grids.items() if o != place.operand and g is not None}
        if weight is None:
            pattern, results = np.ones((len(terms), 1, size), bool), np.full((len(terms), 1), ALWAYS)
        else:
            pattern, results = _pattern(facts, read, weight, weights[weight.operand], letter, len(terms))
        facts.mixes.append(
            Mix(node, place.operand or 0, None if weight is None else weight.operand, pattern, results, terms, others)
        )


def _factors(survey: Survey, read: Signature, law: Law, place: Place) -> np.ndarray | None:
    """The numbers of a constant operand, counted from its zero point if it holds codes; None for a computed one."""
    node, numbers = read.node, survey.constant(place.value)
    index = law.zero_points.get(place.operand or 0)
    zero = node.inputs[index] if index is not None and index < len(node.inputs) else None
    if numbers is None or zero is None:
        return numbers
    point = survey.constant(zero)
    shape = [1] * numbers.ndim
    if point is not None and point.size > 1:
        # One per output: along the weight's axis that has its letters.
        letters = [p.letters for p in read.places if p.operand == index]
        along = [p.axis for p in read.places if p.operand == place.operand and [p.letters] == letters]
        shape = [-1 if axis in along else 1 for axis in range(numbers.ndim)] if along else []
    if point is None or not shape:
        return np.ones(numbers.shape)  # any code may count
    return numbers.astype(np.int64) - point.astype(np.int64).reshape(shape)


def _terms(facts: Facts, read: Signature, place: Place, letter: str) -> Ints | None:
    atoms = facts.atoms.along(place.value, place.axis)
    if atoms is None:
        return None
    return atoms.reshape([read.sizes[x] for x in place.letters]) if len(place.letters) > 1 else atoms[None]


def _pattern(
    facts: Facts, read: Signature, weight: Place, numbers: np.ndarray | None, letter: str, groups: int
) -> tuple[Bools, Ints]:
    """Where the weight is not zero, and the results it makes: [group, result, term] and [group, result]."""
    size = read.sizes[letter]
    leaving = [
        p
        for p in read.places
        if p.operand == weight.operand
        and p.axis != weight.axis
        and not set(p.letters) & read.contracted
        and any(x[0] not in "~" for x in p.letters)
    ]
    made = max(leaving, key=lambda p: p.size or 0, default=None)
    if numbers is None or made is None:
        some = np.ones((groups, 1, size), bool)
        if numbers is not None and groups == 1:
            some[0] = _present(numbers, None, weight.axis)
        return some, np.full((groups, 1), ALWAYS)
    present = _present(numbers, made.axis, weight.axis)
    count = (made.size or 1) // (groups if len(made.letters) > 1 else 1)
    if len(made.letters) > 1:
        pattern = present.reshape(groups, count, size)
    else:
        pattern = present.reshape(count, groups, size).transpose(1, 0, 2)
    own = made.letters[len(made.letters) - 1]
    goal = next((p for p in read.of(own, results=True) if p.output == 0), None)
    atoms = None if goal is None else facts.atoms.along(goal.value, goal.axis)
    if atoms is None or len(atoms) != groups * count:
        return pattern, np.full((groups, count), ALWAYS)
    return pattern, atoms.reshape(groups, count)


def _present(numbers: np.ndarray, kept: int | None, summed: int) -> Bools:
    """Whether any element is not zero, by the kept axis and the summed one."""
    others = tuple(axis for axis in range(numbers.ndim) if axis not in (kept, summed))
    there = (numbers != 0).any(axis=others)
    if kept is None:
        return there[None]
    return there if kept < summed else there.T
