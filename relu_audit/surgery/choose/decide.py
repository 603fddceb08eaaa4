"""What goes, and on which premise: one that says no more than it has to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from relu_audit.surgery.choose.reach import reading
from relu_audit.surgery.choose.reasons import Reasons
from relu_audit.surgery.choose.solve import Solution, solve
from relu_audit.surgery.constants.constants import Constants, find_constants
from relu_audit.surgery.constants.fold import sums
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.facts.sums import Sum
from relu_audit.surgery.operators.atoms import Bools
from relu_audit.surgery.runs.hold import Silent
from relu_audit.surgery.runs.survey import Survey


@dataclass(frozen=True)
class Decision:
    """What goes.

    Attributes:
        facts: The graph's facts.
        constants: What is constant if the units relied on are silent.
        reasons: Why the others stay, on one premise after the other; the first that keeps a unit says why.
        sums: What may be folded.
        solution: What goes.
        silent: The units relied on.
        first: All silent units.
        known_zero: Which entries are zero if all silent units are.
    """

    facts: Facts
    constants: Constants
    reasons: list[Reasons]
    sums: list[Sum]
    solution: Solution
    silent: tuple[Silent, ...]
    first: tuple[Silent, ...]
    known_zero: Bools


@dataclass(frozen=True)
class Settled:
    """A graph, and what goes from it."""

    survey: Survey
    decision: Decision


def decide(
    survey: Survey, facts: Facts, silent: tuple[Silent, ...], align: int, before: Decision | None = None
) -> Decision:
    """Solve; of the silent units, only those that go are relied on, and those that carry others.

    A unit that stays is computed as ever, so that what follows from its silence must not be used.

    Args:
        survey: The graph.
        facts: Its facts.
        silent: The units that could be relied on.
        align: Axes whose length is a multiple of this keep to multiples of it.
        before: What could go when the graph had fewer nodes: that goes in any case.
    """
    reasons: list[Reasons] = []
    first, zero = silent, None
    still_read, gone = reading(survey), None if before is None else _gone(facts, before)
    while True:
        constants = find_constants(survey, facts, silent)
        zero = constants.known & (constants.number == 0) if zero is None else zero
        mixes = sums(survey, facts, constants)
        solution = solve(facts, mixes, align, still_read, gone)
        reasons.append(Reasons(survey, facts, constants, solution))
        carriers = [label for each in mixes for label in each.carriers(solution.label, solution.removed)]
        relied = tuple(_only(one, _relied_on(survey, one, solution, carriers)) for one in silent)
        if all(len(a.indices) == len(b.indices) for a, b in zip(relied, silent, strict=True)):
            return Decision(facts, constants, reasons, mixes, solution, silent, first, zero)
        silent = relied


def _gone(facts: Facts, before: Decision) -> Bools:
    """The atoms that could go before."""
    found = np.zeros(facts.atoms.count, bool)
    for value, axis, atoms in facts.atoms.axes():
        own = before.facts.atoms.along(value, axis)
        if own is not None and len(own) == len(atoms):
            found[atoms] = before.solution.removed[own]
    return found


def _relied_on(survey: Survey, one: Silent, solution: Solution, carriers: Sequence[int]) -> Bools:
    """Which entries of a rectifier have to be silent: those that go, and those whose classes carry others."""
    atoms = survey.atoms.along(one.value, one.axis)
    if atoms is None or len(atoms) != len(one.units):
        return np.zeros(len(one.units), bool)
    return solution.removed[atoms] | np.isin(solution.label[atoms], carriers)


def _only(one: Silent, relied: Bools) -> Silent:
    return replace(one, numbers=np.where(relied, one.numbers, np.nan))
