"""What can go: one greatest fixpoint.

Everything that is not pinned is taken out, and put back until nothing that is kept depends on what is removed. A
class of atoms is put back if a kept result needs one of them: its factor is not zero, and the entry is no constant
that can be folded. Needed means needed by something *kept*: what a kept constant is made of is needed like everything
else. That no axis is left empty, that groups stay of equal size, and that lengths stay aligned, are conditions of the
same fixpoint, for putting a class back makes others needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.surgery.facts.facts import ALWAYS, Facts, Groups, Mix
from relu_audit.surgery.facts.sums import Sum
from relu_audit.surgery.operators.atoms import Bools, Ints

NEEDED, LAST, ALIGNED, UNEVEN = "needed", "last-unit", "alignment", "uneven-groups"


@dataclass(frozen=True)
class Kept:
    """Why a class was put back: a condition, and the atom at which it failed with the sum that needs it."""

    slug: str
    atom: int
    mix: Mix | None


@dataclass(frozen=True)
class Solution:
    """What goes.

    Attributes:
        label: The class of every atom.
        removed: Which atoms go.
        kept: For every class that was put back the first reason.
        pinned: For every pinned class the pinned atoms in it.
    """

    label: Ints
    removed: Bools
    kept: Mapping[int, Kept]
    pinned: Bools


Reading = Callable[[Bools], Collection[ir.Value]]
"""The values that are still read by anything, if some atoms go."""


def solve(
    facts: Facts, sums: Sequence[Sum], align: int, reading: Reading | None = None, gone: Bools | None = None
) -> Solution:
    """Find the largest set of atoms that can go together.

    Args:
        facts: Links and pins.
        sums: Every mix with its free terms.
        align: Axes whose length is a multiple of this keep to multiples of it.
        reading: What is still read; only a value that is not may lose everything along an axis. By default all are.
        gone: Atoms that could go together in a smaller graph: where there is a choice, others are put back.
    """
    return _Solver(facts, sums, align, reading, gone).run()


class _Solver:
    def __init__(
        self, facts: Facts, sums: Sequence[Sum], align: int, reading: Reading | None, gone: Bools | None
    ) -> None:
        self.facts, self.sums, self.align, self.reading = facts, sums, align, reading
        self.label = facts.classes()
        self.pinned = facts.pinned()
        self.size = np.bincount(self.label, minlength=facts.atoms.count)
        self.out = np.ones(facts.atoms.count, bool)  # by class
        self.out[self.label[self.pinned]] = False
        self.last = np.zeros_like(self.out)
        if gone is not None:
            self.last[self.label[gone]] = True
        self.kept: dict[int, Kept] = {}
        self.axes = [(self.label[each[0][1]], each) for each in _different(facts, self.label)]

    def run(self) -> Solution:
        # What stays asks for what lies before it: from the second pass on the whole of a graph is one pass.
        order: Sequence[Sum] = self.sums
        while self._put_back_needed(order) or self._put_back_in_groups() or self._put_back_lengths():
            order = tuple(reversed(self.sums))
        return Solution(self.label, self.out[self.label], self.kept, self.pinned)

    def _put_back(self, label: int, why: Kept) -> None:
        self.out[label] = False
        self.kept.setdefault(label, why)

    def _put_back_needed(self, order: Sequence[Sum]) -> bool:
        changed = False
        for need in self.facts.needs:
            missing = ~self.out[self.label[need.results]] & self.out[self.label[need.terms]]
            for atom in need.terms[missing].tolist():
                self._put_back(int(self.label[atom]), Kept(NEEDED, atom, None))
                changed = True
        for one in order:
            mix = one.mix
            gone = self.out[self.label[mix.terms]] & ~one.free
            if not gone.any():
                continue
            stays = (mix.results == ALWAYS) | ~self.out[self.label[mix.results]]
            wanted = (mix.pattern & stays[:, :, None]).any(axis=1)
            needed = gone & wanted & ~one.carried
            groups, terms = np.nonzero(gone & wanted & one.carried)
            carriers = groups, one.carrier[groups, terms]
            needed[carriers] = gone[carriers]
            for atom in mix.terms[needed].tolist():
                label = int(self.label[atom])
                if self.out[label]:
                    self._put_back(label, Kept(NEEDED, atom, mix))
                    changed = True
        return changed

    def _put_back_in_groups(self) -> bool:
        """Mend every group that is shorter than the others, by its cheapest classes."""
        changed = False
        for one in self.facts.groups:
            labels = self.label[one.entries]
            least = int(self.out[labels].sum(axis=1).min())
            while True:
                out = self.out[labels].sum(axis=1)
                goal = next(lost for lost in range(int(out.min()), -1, -1) if self._is_aligned(one, lost))
                group = int(out.argmax())
                if out[group] == goal:
                    break
                slug = UNEVEN if out[group] > least else ALIGNED
                self._put_back_one(slug, labels[group], one.entries[group], int(out[group]) - goal)
                changed = True
        return changed

    def _leading(self) -> Bools:
        """Classes in groups that lose as little as any other."""
        found = np.zeros_like(self.out)
        for one in self.facts.groups:
            labels = self.label[one.entries]
            lost = self.out[labels].sum(axis=1)
            found[labels[lost == lost.min()]] = True
        return found

    def _is_aligned(self, one: Groups, lost: int) -> bool:
        """Whether the axes of all groups together, and of one group, keep to their alignment if each loses so many."""
        groups, size = one.entries.shape
        return not any(
            times * size % self.align == 0 and times * (size - lost) % self.align
            for times in ((groups, 1) if one.serving else (groups,))
        )

    def _put_back_lengths(self) -> bool:
        """Mend every axis that is too short, by its cheapest classes."""
        changed = False
        for labels, alike in self.axes:
            while (short := self._short(labels, alike)) > 0:
                slug = LAST if self.out[labels].all() else ALIGNED
                self._put_back_one(slug, labels, alike[0][1], short)
                changed = True
        return changed

    def _put_back_one(self, slug: str, labels: Ints, atoms: Ints, short: int) -> None:
        """Put back the cheapest class of some atoms that lack so many."""
        candidates, counts = np.unique(labels[self.out[labels]], return_counts=True)
        # Of those that do not overshoot the smallest, of equals the first; an overshooting one if none fits. One whose
        # group loses least comes last: all other groups would have to follow.
        keys = candidates, self.size[candidates], self._leading()[candidates], counts > short, self.last[candidates]
        best = int(candidates[np.lexsort(keys)[0]])
        self._put_back(best, Kept(slug, int(atoms[labels == best][0]), None))

    def _short(self, labels: Ints, alike: Sequence[tuple[ir.Value, Ints]]) -> int:
        """How many entries an axis lacks."""
        kept = len(labels) - int(self.out[labels].sum())
        if kept == len(labels):
            return 0
        if not kept:
            read = None if self.reading is None else self.reading(self.out[self.label])
            return int(read is None or any(value in read for value, _ in alike))
        return -kept % self.align if len(labels) % self.align == 0 else 0


def _different(facts: Facts, label: Ints) -> list[list[tuple[ir.Value, Ints]]]:
    """The sets of axes made of the same classes, each axis as its value and atoms."""
    found: dict[bytes, list[tuple[ir.Value, Ints]]] = {}
    for value, _, atoms in facts.atoms.axes():
        found.setdefault(label[atoms].tobytes(), []).append((value, atoms))
    return list(found.values())
