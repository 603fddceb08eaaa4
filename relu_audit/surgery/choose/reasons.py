"""Why a silent unit stays: what stands in the way, as a slug and a sentence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import onnx_ir as ir

from relu_audit.surgery.choose.solve import ALIGNED, LAST, UNEVEN, Solution
from relu_audit.surgery.constants.constants import Constants
from relu_audit.surgery.constants.fold import Linear
from relu_audit.surgery.constants.lengths import lengths
from relu_audit.surgery.facts.facts import Facts, Mix, Pin, named
from relu_audit.surgery.operators.atoms import Ints
from relu_audit.surgery.runs.survey import Survey

OWN, BESIDE = "its channel", "the channel in its place of another group"
"""What is alive, in words; where groups are cut alike, it may be one beside it."""


class Reasons:
    """Answers for one solution."""

    def __init__(self, survey: Survey, facts: Facts, constants: Constants, solution: Solution) -> None:
        self._survey, self._facts, self._constants, self._solution = survey, facts, constants, solution
        empty = np.zeros(0, np.int64)
        self._left = np.concatenate([empty, *(link.left for link in facts.links)])
        self._right = np.concatenate([empty, *(link.right for link in facts.links)])
        self._nodes = [link.node for link in facts.links]
        self._foldable: dict[tuple[ir.Node, int], bool] = {}
        self._of_link = np.repeat(np.arange(len(facts.links)), [len(link.left) for link in facts.links])

    @cached_property
    def _pins(self) -> dict[int, Pin]:
        """For every class that is pinned the first pin."""
        first: dict[int, Pin] = {}
        for pin in self._facts.pins:
            for label in np.unique(self._solution.label[pin.atoms]).tolist():
                first.setdefault(label, pin)
        return first

    @cached_property
    def _by_class(self) -> tuple[Ints, Ints]:
        """The pairs of atoms that are linked, class by class and otherwise in order, and the classes."""
        label = self._solution.label[self._left]
        order = np.argsort(label, kind="stable")
        return order, label[order]

    def knows(self, atoms: Ints | None) -> bool:
        """Whether the unit stays in this solution."""
        return atoms is None or not self._solution.removed[atoms].all()

    def of(self, atoms: Ints | None) -> tuple[str, str]:
        """Slug and detail for a unit by its atoms; None for one that has no axis to be cut along."""
        if atoms is None or not len(atoms):
            return "last-unit", "it is the only unit of its layer"
        solution = self._solution
        if not self._constants.known[atoms].all():
            return "not-by-structure", "it had one value on all data, but the graph does not say that it must"
        atom = int(next(a for a in atoms if not solution.removed[a]))
        label = int(solution.label[atom])
        if (pin := self._pins.get(label)) is not None:
            return self._blamed(atom, int(pin.atoms[solution.label[pin.atoms] == label][0]), pin.slug, pin.detail)
        kept = solution.kept.get(label)
        if kept is None:
            return "needed", "something that stays is computed from it"
        value, axis, _ = self._survey.atoms.owner(kept.atom)
        if kept.slug == LAST:
            return LAST, f"axis {axis} of '{value.name}' would be left empty{self._size(value)}"
        if kept.slug == ALIGNED:
            return ALIGNED, f"axis {axis} of '{value.name}' keeps to its alignment"
        if kept.slug == UNEVEN:
            return UNEVEN, f"axis {axis} of '{value.name}' keeps as many entries of every group"
        reader = "something that stays" if kept.mix is None else named(kept.mix.node)
        rule = None if kept.mix is None else self._survey.law(kept.mix.node)
        if rule is not None and rule.zeros is not None and self._constants.known[kept.atom]:
            detail = f"{reader} takes all entries of '{value.name}' together, and this one is not zero"
            return self._blamed(atom, kept.atom, "combined-axis", detail)
        if self._constants.known[kept.atom]:
            number = self._constants.number[kept.atom]
            if kept.mix is not None and not self._folds(kept.mix):
                detail = f"{reader} sums over '{value.name}', and no bias can take up the constant {number:g} in it"
                return self._blamed(atom, kept.atom, "combined-axis", detail)
            return "border-constant", f"the constant {number:g} does not reach all positions of {reader} alike"
        if self._constants.uneven[kept.atom]:
            detail = (
                f"the constant it makes of '{value.name}', which {reader} reads, is not one number at all positions"
            )
            return self._blamed(atom, kept.atom, "border-constant", detail)
        return self._blamed(atom, kept.atom, "partner-alive", f"{OWN} is alive in '{value.name}', which {reader} reads")

    def _folds(self, mix: Mix) -> bool:
        """Whether what a constant adds to a sum is known, so that a bias could take it up."""
        place = mix.node, mix.operand
        if place not in self._foldable:
            law = self._survey.law(mix.node)
            linear = law is not None and law.linear
            self._foldable[place] = linear and Linear.of(self._survey, self._facts, mix) is not None
        return self._foldable[place]

    def _size(self, value: ir.Value) -> str:
        """Why no constant took the place of a value that is one as a whole."""
        if value not in self._constants.whole:
            return ""
        known = value.graph is self._survey.network.model.graph and lengths(self._survey, self._facts, value)
        return "" if known else ", and the inputs alone do not tell how large a constant in its place would be"

    def _blamed(self, start: int, end: int, slug: str, detail: str) -> tuple[str, str]:
        """The slug, made more precise by what lies on the way between two atoms of one class."""
        path = self._path(start, end)
        for step in path:
            law, read = self._survey.law(step.node), self._facts.signatures.get(step.node)
            if law is not None and law.sums and (slug in ("partner-alive", "border-constant") or step.sideways):
                others = [v for v in step.node.inputs if v not in (None, step.before) and not self._is_even(v)]
                if others:
                    return self._at_sum(others, slug), f"{detail}; they meet in {named(step.node)}"
            if read is not None and read.grouped() and not read.by_group() and slug == "partner-alive":
                return (
                    "uneven-groups",
                    f"{named(step.node)} wants as much of every group, and {detail.replace(OWN, BESIDE)}",
                )
        divided = next((step for step in path if self._divides_zero(step)), None)
        if divided is not None and slug == "partner-alive":
            return "zero-divisor", f"{named(divided.node)} divides its zeros by what may be zero as well: 0 / 0 is NaN"
        values = [step.after for step in reversed(path)]
        shared = next((v for v in values if v.is_initializer() and len(list(v.uses())) > 1), None)
        if shared is not None and slug == "partner-alive":
            return "shared-weights", f"'{shared.name}' serves several places, and {detail}"
        fork = next((v for v in values if len(list(v.uses())) > 1 and not v.is_initializer()), None)
        if fork is not None and slug == "partner-alive":
            readers = ", ".join(named(user) for user in dict.fromkeys(user for user, _ in fork.uses()))
            return slug, f"{detail}; it is one and the same in '{fork.name}', which {readers} read"
        return slug, detail

    def _divides_zero(self, step: _Step) -> bool:
        """Whether a step goes through a division of zero by what may be zero, which makes no constant of it."""
        law = self._survey.law(step.node)
        if law is None or law.divisor is None or self._survey.absorbing(step.node):
            return False
        return step.before is step.node.inputs[0] and self._constants.number[step.start] == 0

    def _at_sum(self, others: Sequence[ir.Value | None], slug: str) -> str:
        """What stands in the way where operands are added up: an input, a constant of many numbers, another unit."""
        if slug in ("graph-input", "graph-output"):
            return slug
        return "uneven-constant" if all(map(self._is_constant, others)) else "residual-partner-alive"

    def _is_even(self, value: ir.Value | None) -> bool:
        """Whether it is a constant, and one number for each of the entries along one of its axes."""
        rows = [] if value is None else [self._constants.number[atoms] for _, atoms in self._survey.atoms.of(value)]
        return self._is_constant(value) and (not rows or any(not np.isnan(row).any() for row in rows))

    def _is_constant(self, value: ir.Value | None) -> bool:
        """Whether the graph's inputs decide no more of a value than its size."""
        known = self._constants.whole, self._survey.measured
        return self._survey.constant(value) is not None or any(value in those for those in known)

    def _path(self, start: int, end: int) -> list[_Step]:
        """A shortest chain of links."""
        label = self._solution.label[start]
        order, labels = self._by_class
        inside = order[slice(*np.searchsorted(labels, [label, label + 1]))]
        near: dict[int, list[tuple[int, int]]] = {}
        for a, b, link in zip(
            self._left[inside].tolist(), self._right[inside].tolist(), self._of_link[inside].tolist(), strict=True
        ):
            near.setdefault(a, []).append((b, link))
            near.setdefault(b, []).append((a, link))
        came: dict[int, tuple[int, int]] = {start: (start, -1)}
        pending = deque([start])
        while pending and end not in came:
            here = pending.popleft()
            for there, link in near.get(here, ()):
                if there not in came:
                    came[there] = (here, link)
                    pending.append(there)
        steps: list[_Step] = []
        at = end
        while at != start and at in came:
            before, link = came[at]
            owners = self._survey.atoms.owner(before)[0], self._survey.atoms.owner(at)[0]
            node = self._nodes[link]
            if node is not None and steps and steps[-1].node is node:
                # All are linked to the first, others by way of it.
                steps[-1] = replace(steps[-1], before=owners[0], start=before)
            elif node is not None:
                steps.append(_Step(node, *owners, before))
            at = before
        return list(reversed(steps))


@dataclass(frozen=True)
class _Step:
    """One link on the way from a unit to what keeps it: a node, from one of its values to another, and an atom there.

    Attributes:
        node: The node.
        before: The value that the step leaves.
        after: The value that it comes to.
        start: The atom of the first.
    """

    node: ir.Node
    before: ir.Value
    after: ir.Value
    start: int

    @property
    def sideways(self) -> bool:
        """Whether it ends in another operand, and not in a result."""
        return self.after in self.node.inputs
