"""Facts of the operators that only move data: an entry is linked to wherever it goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from relu_audit.surgery.facts.facts import Facts, Need, named
from relu_audit.surgery.operators.laws import Law
from relu_audit.surgery.operators.patches import Route
from relu_audit.surgery.operators.signature import operation
from relu_audit.surgery.runs.routes import Alone, Moved
from relu_audit.surgery.runs.survey import Survey


def follow(survey: Survey, facts: Facts, node: ir.Node, law: Law, contested: list[tuple[ir.Node, Moved]]) -> None:
    """Facts of a node that only moves data, by where it moves it; what is tied to it waits for :func:`settle`."""
    data = [i for i, value in enumerate(node.inputs) if value is not None and i in law.data]
    given = {
        i: survey.steady(value)
        for i, value in enumerate(node.inputs)
        if value is not None and i not in data and not law.like
    }
    numbers = {i: array for i, array in given.items() if array is not None}
    moved = None
    # Ones only if nothing else runs: on them, axes look tied that are not.
    for ones in (False, True):
        shapes = {i: shape for i in data if (shape := survey.likely(node.inputs[i], ones=ones)) is not None}
        if moved is None and len(numbers) == len(given) and len(shapes) == len(data):
            opsets, engine = survey.network.opsets, survey.probe_runs.engine
            moved = survey.traces.trace(Alone(node, shapes, numbers, opsets, engine, law.like))
    if moved is None:
        for value in (*node.inputs, *node.outputs):
            facts.pin_value(value, "unknown-move", f"where {named(node)} moves data is not known")
        return
    facts.moved[node] = moved
    for index, value in enumerate(node.inputs):
        if index not in data:
            facts.pin_value(value, "shape", f"{named(node)} is told where to move data by it")
    contested.append((node, moved))
    if law.rewrites and any(value in survey.varying for value in node.inputs[1:]):
        _pin_varying(facts, node, moved)
    _pin_unrouted(facts, node, law, moved, data)
    _pin_stretched(facts, node, law, moved)


def _pin_stretched(facts: Facts, node: ir.Node, law: Law, moved: Moved) -> None:
    """Axes that come out longer or shorter by a factor of their length, or in parts, unless a cut stays one."""
    source = node.inputs[0]
    rank = 0 if source is None else len(facts.atoms.shape(source) or ())
    regrouped = law.joins(operation(node), rank) if law.joins is not None and rank else set[int]()
    uneven = [(r.axis, r.output_axis) for r in moved.routes if law.resamples and not r.repeats()]
    for before, behind in (*((axis, axis) for axis in regrouped), *uneven):
        detail = f"{named(node)} stretches this axis or takes it apart"
        for value, axis in ((source, before), (node.outputs[0], behind)):
            facts.pin(None if value is None else facts.atoms.along(value, axis), "combined-axis", detail)


def _pin_varying(facts: Facts, node: ir.Node, moved: Moved) -> None:
    """Axes along which a cut would have to be written into numbers that the size of the data decides."""
    for route in moved.routes:
        value = node.inputs[route.operand]
        atoms = None if value is None else facts.atoms.along(value, route.axis)
        made = facts.atoms.along(node.outputs[route.output], route.output_axis)
        whole = np.array_equal(route.source, route.target) and atoms is not None and len(route.source) == len(atoms)
        if not (whole and made is not None and len(made) == len(route.target)):
            for pinned in (atoms, made):  # entries that are filled in have no operand's to hold them
                facts.pin(pinned, "shape", f"where {named(node)} cuts or fills depends on the size of the data")


def _pin_unrouted(facts: Facts, node: ir.Node, law: Law, moved: Moved, data: Sequence[int]) -> None:
    """Entries that come out without an axis of their own, and entries of the result that no operand's axis makes."""
    for index in data:
        value = node.inputs[index]
        for axis, atoms in () if value is None else facts.atoms.of(value):
            if (index, axis) in moved.blended:
                facts.pin(atoms, "combined-axis", f"{named(node)} blends entries along this axis")
            else:
                facts.pin(atoms[moved.stray(index, axis, len(atoms))], "shape", f"{named(node)} picks it")
    for output, value in enumerate(node.outputs):
        for axis, atoms in facts.atoms.of(value):
            unmade = moved.unmade(output, axis, len(atoms))
            if len(unmade) == len(atoms) and not law.spreads:
                facts.pin(atoms, "combined-axis", f"{named(node)} fills this axis")
            elif not law.fills and not law.spreads:
                facts.pin(atoms[unmade], "combined-axis", f"{named(node)} makes it of something that has no such axis")


def settle(facts: Facts, node: ir.Node, moved: Moved) -> None:
    """Join what a node moves. Where one axis is made of several, the outermost free one goes on; the others stay."""
    for operand in sorted({r.operand for r in moved.routes}):
        routes = [r for r in moved.routes if r.operand == operand]
        while routes:
            group = _tied(routes)
            routes = [r for r in routes if r not in group]
            ins = sorted({r.axis for r in group})
            outs = sorted({(r.output, r.output_axis) for r in group})
            if len(ins) > 1 or len({a for _, a in outs}) > 1:
                group = _outermost(facts, node, group)
            _join(facts, node, operand, ins, outs, group)


def _tied(routes: Sequence[Route]) -> list[Route]:
    """The first route and all that share an axis with it, directly or through others."""
    group = [routes[0]]
    while True:
        ins = {r.axis for r in group}
        outs = {(r.output, r.output_axis) for r in group}
        more = [r for r in routes if r.axis in ins or (r.output, r.output_axis) in outs]
        if len(more) == len(group):
            return group
        group = more


def _outermost(facts: Facts, node: ir.Node, group: Sequence[Route]) -> list[Route]:
    """The routes from the outermost free axis of the operand to the outermost free axis of the results."""
    label, pinned = facts.classes(), facts.pinned()
    stuck = np.zeros(facts.atoms.count, bool)
    stuck[label[pinned]] = True

    def free(value: ir.Value | None, axis: int) -> bool:
        atoms = None if value is None else facts.atoms.along(value, axis)
        return atoms is not None and not stuck[label[atoms]].all()

    candidates = [
        r for r in group if free(node.inputs[r.operand], r.axis) and free(node.outputs[r.output], r.output_axis)
    ]
    if not candidates:
        return []
    best = min(candidates, key=lambda r: (r.axis, r.output_axis))
    return [r for r in candidates if (r.axis, r.output_axis) == (best.axis, best.output_axis)]


def _join(
    facts: Facts,
    node: ir.Node,
    operand: int,
    ins: Sequence[int],
    outs: Sequence[tuple[int, int]],
    group: Sequence[Route],
) -> None:
    source = node.inputs[operand]
    if source is None:
        return
    for route in group:
        left = facts.atoms.along(source, route.axis)
        right = facts.atoms.along(node.outputs[route.output], route.output_axis)
        if node in facts.picking and left is not None and right is not None:
            facts.needs.append(Need(right[route.target], left[route.source]))
            continue
        facts.link(None if left is None else left[route.source], None if right is None else right[route.target], node)
    for axis in set(ins) - {r.axis for r in group}:
        facts.pin(facts.atoms.along(source, axis), "combined-axis", f"{named(node)} folds this axis into another")
    for output, axis in set(outs) - {(r.output, r.output_axis) for r in group}:
        facts.pin(facts.atoms.along(node.outputs[output], axis), "combined-axis", f"{named(node)} unfolds this axis")
