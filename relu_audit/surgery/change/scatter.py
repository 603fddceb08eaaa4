"""Computing fewer channels where some readers want them all: Gather the living, or put zeros back for the silent.

A silent unit stays if its channel lives in a partner: behind a residual sum, or where something else reads what it is
made of. Two kinds of detour part them. One *selects*: what reads a value gets the channels it has weights for. One
*restores*: a value is computed without its silent channels, and zeros are put in their place before it meets others.
Detours are put on every edge that might want one, as the identity; the fixpoint finds what then goes, and those that
do not pay, or let no unit go, are taken out again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.model.scopes import bodies, walk
from relu_audit.surgery.choose.decide import Decision, Settled
from relu_audit.surgery.choose.reach import Edge
from relu_audit.surgery.choose.solve import ALIGNED, LAST
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.runs.ranges import Copy
from relu_audit.surgery.runs.survey import Survey

WORTH = 0.25
"""Putting zeros back pays from this share of the channels on: on residual blocks, an eighth was a loss or noise."""

Unit = tuple[str, int]
"""The tensor of an audited layer, and a number."""

PAD_ATTRIBUTE_SINCE, PAD_INPUT_SINCE = 2, 11
"""Operator sets in which the padding lies in an attribute, and from which on it is an operand."""


@dataclass(frozen=True)
class Detour:
    """Nodes put on an edge.

    Attributes:
        edge: The reader.
        source: What it used to read.
        axis: The axis that holds the channels.
        nodes: The nodes put between, the last of which picks channels.
    """

    edge: Edge
    source: ir.Value
    axis: int
    nodes: tuple[ir.Node, ...]

    @property
    def picking(self) -> ir.Node:
        """The node whose indices say which channels come out."""
        return self.nodes[-1]

    @property
    def restores(self) -> bool:
        """Whether it puts zeros in the place of what the source lacks."""
        return len(self.nodes) > 1

    def copies(self) -> Iterator[Copy]:
        """What its nodes make of the source as long as nothing goes: the source again, in between with zeros behind."""
        if self.source.graph is self.picking.graph or self.source.is_graph_input():
            names = [made.outputs[0].name or "" for made in self.nodes]
            for name in names:
                yield Copy(name, self.source.name or "", self.axis, zeros=int(name != names[-1]))

    def spares(self, facts: Facts, removed: Bools) -> Ints:
        """The atoms that go as the detour does without their channels."""
        atoms = facts.atoms.along(self.source, self.axis)
        made = facts.atoms.along(self.picking.outputs[0], self.axis)
        if atoms is None or made is None:
            return np.zeros(0, np.int64)
        if self.restores:
            return atoms[removed[atoms] & ~removed[made]]
        return made[removed[made] & ~removed[atoms]]

    def saved(self, facts: Facts, removed: Bools) -> float:
        """The share of channels that the detour does without."""
        atoms = facts.atoms.along(self.picking.outputs[0], self.axis)
        return 0.0 if atoms is None else len(self.spares(facts, removed)) / len(atoms)

    def pass_on(self, editor: Editor, facts: Facts, removed: Bools) -> bool:
        """Let channels that stay in the source come out as they are: only what goes may be taken for zero.

        Returns:
            Whether there were any.
        """
        atoms, indices = facts.atoms.along(self.source, self.axis), self.picking.inputs[1]
        if not self.restores or atoms is None or indices is None or indices.const_value is None:
            return False
        order = indices.const_value.numpy().copy()
        stays = np.flatnonzero((order == len(atoms)) & ~removed[atoms])
        order[stays] = stays
        if len(stays):
            self.picking.replace_input_with(1, editor.constant(order, indices.name or "order"))
        return bool(len(stays))

    def undo(self) -> None:
        """Take the nodes out again."""
        node, index = self.edge
        node.replace_input_with(index, self.source)
        for made in reversed(self.nodes):
            home = made.graph
            if isinstance(home, ir.Graph):
                home.remove(made, safe=True)


def propose(survey: Survey, decision: Decision) -> list[Detour]:
    """Put detours on all edges where they might free silent units that stay. Changes the graph."""
    stuck = _stuck(decision)
    if not stuck.any():
        return []
    editor = Editor(survey.network.model)
    wanted = [*_wanted(survey, decision, stuck[decision.solution.label])]
    return [_put(survey, editor, edge, value, axis, zero) for edge, value, axis, zero in wanted]


def _stuck(decision: Decision) -> Bools:
    """By class, whether it holds a silent unit that stays for the sake of others."""
    solution, facts = decision.solution, decision.facts
    found = np.zeros(facts.atoms.count, bool)
    conditions = {label for label, why in solution.kept.items() if why.slug in (ALIGNED, LAST)}
    for one in decision.first:
        atoms = facts.atoms.along(one.value, one.axis)
        if atoms is not None and len(atoms) == len(one.units):
            silent = atoms[one.indices]
            labels = solution.label[silent[~solution.removed[silent]]]
            found[[label for label in labels.tolist() if label not in conditions]] = True
    return found


def _wanted(survey: Survey, decision: Decision, stuck: Bools) -> Iterator[tuple[Edge, ir.Value, int, Bools | None]]:
    """Edges, each with what is read, the axis, and which of its channels may be restored as zeros."""
    main = survey.network.model.graph
    silent = {one.value.producer() for one in decision.first}
    known = decision.known_zero
    for value in [value for step in walk(main) for value in step.node.outputs] + list(main.inputs):
        uses = [(node, index) for node, index in value.uses() if not bodies(node)]
        for axis, atoms in survey.atoms.of(value):
            here = stuck[atoms]
            if not here.any() or survey.constant(value) is not None:
                continue
            zero = here & known[atoms]
            fans = len(list(value.uses())) + value.is_graph_output() > 1 or value.is_graph_input()
            for node, index in uses:
                if zero.mean() >= WORTH and _meets_another(survey, decision.facts, node, index, axis):
                    yield (node, index), value, axis, zero
                elif fans or node in silent:
                    yield (node, index), value, axis, None


def _meets_another(survey: Survey, facts: Facts, node: ir.Node, index: int, axis: int) -> bool:
    """Whether a node joins the channels of one computed operand with those of another, one by one."""
    read, law = facts.signatures.get(node), survey.law(node)
    if read is None or law is None or sum(v is not None and survey.constant(v) is None for v in node.inputs) < 2:
        return False
    place = next((p for p in read.places if (p.operand, p.axis) == (index, axis)), None)
    return place is not None and not set(place.letters) & read.contracted and survey.opset >= PAD_ATTRIBUTE_SINCE


def _put(survey: Survey, editor: Editor, edge: Edge, value: ir.Value, axis: int, zero: Bools | None) -> Detour:
    node, index = edge
    shape = survey.atoms.shape(value) or ()
    like = value.name or "value"
    size = shape[axis] or 0
    order = np.arange(size)
    made = [value]
    if zero is not None:
        order = np.where(zero, size, order)
        pads = [0] * (2 * len(shape))
        pads[len(shape) + axis] = 1
        if editor.opset < PAD_INPUT_SINCE:
            made.append(editor.before(node, "Pad", value, pads=pads))
        else:
            made.append(editor.before(node, "Pad", value, editor.constant(np.array(pads, np.int64), like)))
        _typed(made[-1], value, [*shape[:axis], size + 1, *shape[axis + 1 :]])
    made.append(editor.before(node, "Gather", made[-1], editor.constant(order, like), axis=axis))
    _typed(made[-1], value, shape)
    node.replace_input_with(index, made[-1])
    nodes = [one.producer() for one in made[1:]]
    return Detour(edge, value, axis, tuple(one for one in nodes if one is not None))


def _typed(made: ir.Value, like: ir.Value, shape: Sequence[int | None]) -> None:
    made.type, made.shape = like.type, ir.Shape(shape)


def freeing(detours: Sequence[Detour], decision: Decision, freed: Collection[Unit]) -> list[Detour]:
    """The detours that do without a channel in which one of some units lies."""
    solution, facts = decision.solution, decision.facts
    wanted = np.zeros(facts.atoms.count, bool)
    for one in decision.first:
        atoms = facts.atoms.along(one.value, one.axis)
        if atoms is not None and len(atoms) == len(one.units):
            own = [(one.tensor, unit) in freed for unit in one.units.tolist()]
            wanted[solution.label[atoms[own]]] = True
    return [one for one in detours if wanted[solution.label[one.spares(facts, solution.removed)]].any()]


def unpaid(detours: Sequence[Detour], facts: Facts, removed: Bools) -> list[Detour]:
    """The detours that do without too few channels; one that only selects is cheap, and pays with any."""
    return [one for one in detours if (saved := one.saved(facts, removed)) == 0 or (one.restores and saved < WORTH)]


@dataclass(frozen=True)
class Attempt:
    """A graph with detours, and what goes then."""

    detours: Sequence[Detour]
    settled: Settled

    def undo(self) -> None:
        """Take all detours out again."""
        for one in self.detours:
            one.undo()


def attempt(
    plain: Settled,
    settle: Callable[[Sequence[Detour]], Settled],
    gone: Callable[[Settled], Collection[Unit]],
) -> Attempt | None:
    """Put the detours into the graph that pay, and by which units go that would stay without; None if there are none.

    Args:
        plain: The graph, which is changed, and what goes without.
        settle: Finds out what goes, for the graph as it stands with these detours in it.
        gone: The units that go then.
    """
    detours, before = propose(plain.survey, plain.decision), set(gone(plain))
    editor = Editor(plain.survey.network.model)
    while detours:
        settled = settle(detours)
        facts, removed = settled.decision.facts, settled.decision.solution.removed
        poor = unpaid(detours, facts, removed)
        if not poor:
            useful = freeing(detours, settled.decision, set(gone(settled)) - before)
            poor = [one for one in detours if one not in useful]
        if not poor:
            passed = [one.pass_on(editor, facts, removed) for one in detours]
            if not any(passed):
                return Attempt(detours, settled)
        for one in poor:
            one.undo()
        detours = [one for one in detours if one not in poor]
    return None
