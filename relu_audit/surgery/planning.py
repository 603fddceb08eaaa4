"""From an opened model to what goes: layers merged and replaced, detours tried, the fixpoint solved. Nothing is cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.records.pruning import Cost, Fold, KeptUnit, RemovedUnit
from relu_audit.surgery.case import Case
from relu_audit.surgery.change.merge import Merged, merge
from relu_audit.surgery.change.scatter import Detour, attempt
from relu_audit.surgery.change.whole import replace_whole
from relu_audit.surgery.choose.cost import cost, samples_fed
from relu_audit.surgery.choose.decide import Decision, Settled, decide
from relu_audit.surgery.choose.outcomes import hinted, outcomes
from relu_audit.surgery.choose.solve import Solution
from relu_audit.surgery.constants.constants import find_constants
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.runs.hold import Silent
from relu_audit.surgery.runs.survey import Survey


@dataclass(frozen=True)
class Wanted:
    """What the caller asks for.

    Attributes:
        align: Axes whose length is a multiple of this keep to multiples of it.
        merge_linear: Whether layers are merged where all units between them are always on.
        scatter: Whether channels that live in a partner are cut as well.
    """

    align: int = 8
    merge_linear: bool = False
    scatter: bool = False


@dataclass(frozen=True)
class Planned:
    """What goes, on a graph in which nothing is cut yet.

    Attributes:
        survey: The graph, prepared: layers are merged, what is constant as a whole is replaced, detours are put in.
        decision: What goes from it.
        replaced: Silent units that were relied on to replace whole layers.
        merged: What was merged.
        removed: The audited units that go.
        kept: Those that are dead or constant and stay.
        before: Cost of the original.
        multiply_adds: Of the result.
    """

    survey: Survey
    decision: Decision
    replaced: tuple[Silent, ...]
    merged: tuple[Merged, ...]
    removed: tuple[RemovedUnit, ...]
    kept: tuple[KeptUnit, ...]
    before: Cost
    multiply_adds: int | None

    @property
    def linear(self) -> frozenset[ir.Value]:
        """The rectified values that merging has done away with."""
        return frozenset(value for one in self.merged for value in one.values)

    @property
    def folds(self) -> tuple[Fold, ...]:
        """Weights that merging has changed."""
        return tuple(fold for one in self.merged for fold in one.folds)


def plan_cuts(case: Case, wanted: Wanted) -> Planned:
    """Find out what goes. Changes the graph, but cuts nothing.

    Raises:
        RunError: The model does not run.
    """
    silent = case.premise.silent
    survey, facts = _look(case, silent)
    before = _cost(case, survey, facts, None)
    merged = tuple[Merged, ...]()
    if wanted.merge_linear:
        survey, facts, merged = _merge_all(case, survey, facts)
    replaced = replace_whole(survey, facts, find_constants(survey, facts, silent), silent)
    present = tuple(one for one in silent if one.value.graph is not None)
    if replaced:
        survey, facts = _look(case, present)
    settled = Settled(survey, decide(survey, facts, present, wanted.align))
    linear = {value for one in merged for value in one.values}
    settled, removed, kept = _with_detours(case, wanted, settled, present, linear, replaced)
    return Planned(
        survey=settled.survey,
        decision=settled.decision,
        replaced=replaced,
        merged=merged,
        removed=removed,
        kept=(*kept, *case.premise.refused),
        before=before,
        multiply_adds=_cost(case, settled.survey, settled.decision.facts, settled.decision.solution).multiply_adds,
    )


def _cost(case: Case, survey: Survey, facts: Facts, solution: Solution | None) -> Cost:
    """What the graph costs, as it stands or without what goes."""
    return cost(survey, facts, solution, samples_fed(case.inputs, case.audit.data, survey.probe_runs.feeds))


def _look(case: Case, silent: Sequence[Silent]) -> tuple[Survey, Facts]:
    """The graph as it stands."""
    survey = case.survey(silent)
    return survey, case.collect(survey)


def _merge_all(case: Case, survey: Survey, facts: Facts) -> tuple[Survey, Facts, tuple[Merged, ...]]:
    """Merge layers until there are no two left that can be."""
    merged, on = list[Merged](), case.on
    while on and (done := merge(survey, facts, on)).values:
        merged.append(done)
        on = tuple(pair for pair in on if pair[1] not in done.values)
        survey, facts = _look(case, case.premise.silent)
    return survey, facts, tuple(merged)


def _with_detours(
    case: Case,
    wanted: Wanted,
    plain: Settled,
    present: tuple[Silent, ...],
    linear: Collection[ir.Value],
    replaced: tuple[Silent, ...],
) -> tuple[Settled, tuple[RemovedUnit, ...], tuple[KeptUnit, ...]]:
    """What goes with the detours that pay, where they are asked for; else without, with a word on what they add."""

    def settle(detours: Sequence[Detour]) -> Settled:
        survey = case.survey_again(plain.survey, present, [copy for one in detours for copy in one.copies()])
        facts = case.collect(survey, [one.picking for one in detours])
        return Settled(survey, decide(survey, facts, present, wanted.align, plain.decision))

    def told(settled: Settled) -> tuple[tuple[RemovedUnit, ...], tuple[KeptUnit, ...]]:
        return outcomes(case.audit, case.premise.silent, settled.decision, linear, replaced)

    def gone(settled: Settled) -> list[tuple[str, int]]:
        return [(one.tensor, one.unit) for one in told(settled)[0]]

    detoured = attempt(plain, settle, gone)
    if detoured is not None and wanted.scatter:
        return detoured.settled, *told(detoured.settled)
    could = tuple[RemovedUnit, ...]()
    if detoured is not None:
        could, _ = told(detoured.settled)
        detoured.undo()
    removed, kept = told(plain)
    return plain, removed, hinted(kept, could, "--scatter would remove it")
