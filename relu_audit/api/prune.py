"""Dead units out of the graph, the function unchanged: open, plan, cut, compare."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import onnx_ir as ir

from relu_audit.api.pruned import Pruned
from relu_audit.errors import UsageError, VerificationError, one_line
from relu_audit.model.checkpoint import ModelSource
from relu_audit.model.listed import list_again
from relu_audit.observe.session import engine
from relu_audit.operators.rules import table_with
from relu_audit.records import Audit
from relu_audit.records.pruning import Plan, Verification
from relu_audit.surgery.blame import blame
from relu_audit.surgery.case import Case, open_case
from relu_audit.surgery.change.rewrite import rewrite
from relu_audit.surgery.change.shared import reunite
from relu_audit.surgery.choose.cost import size
from relu_audit.surgery.choose.relied import partition_silent
from relu_audit.surgery.planning import Planned, Wanted, plan_cuts
from relu_audit.surgery.provenance import provenance
from relu_audit.surgery.runs.hold import hold, twins
from relu_audit.surgery.runs.probe_runs import made_up
from relu_audit.surgery.verify import WHOLE, Trial
from relu_audit.surgery.verify import verify as compare


def prune(
    model: ModelSource,
    audit: Audit,
    *,
    data: object = None,
    align: int = 8,
    merge_linear: bool = False,
    scatter: bool = False,
    spare: Collection[str] = (),
    verify: bool = True,
    limit: int | None = None,
    inputs: Mapping[str, str] | None = None,
    provider: str = "cpu",
    threads: int = 0,
    custom_ops: Sequence[str | os.PathLike[str]] = (),
    operators: Iterable[Mapping[str, Any]] = (),
) -> Pruned:
    """Cut every unit that can go without changing the function.

    Args:
        model: Path, bytes or protobuf of an ONNX model.
        audit: An audit of that very model.
        data: Calibration data, as for an audit, on which original and result are compared.
        align: Axes whose length is a multiple of this keep to multiples of it; 1 cuts all that can be cut.
        merge_linear: Also make one of two linear layers where all units between them were always on.
        scatter: Also cut channels that live in a partner: living ones are gathered, zeros put back for silent ones.
        spare: Rectified tensors whose units are left alone.
        verify: Compare original and result; without it, the plan is all that should be made use of.
        limit: Compare on at most so many samples.
        inputs: Array name by input name, where they differ.
        provider: An onnxruntime execution provider.
        threads: Threads within an operator; 0 leaves it to onnxruntime.
        custom_ops: Libraries of custom operators to register with onnxruntime. They are code, and it is run.
        operators: What custom operators do to axes, each with ``domain``, ``op`` and ``signature``.

    Raises:
        UsageError: ``audit-mismatch`` if the audit is of another model, ``option-range`` for an option, ``spare`` for a
            name that is none of the audit's.
        VerificationError: ``verification`` if the result computes something else than the original; it names the layers
            to blame.
        AuditError: As :func:`relu_audit.audit`.
    """
    if align < 1:
        raise UsageError(f"align is {align}; it must be at least 1", slug="option-range")
    ran_by, wanted = engine(provider, threads, custom_ops), Wanted(align, merge_linear, scatter)

    rules = table_with(operators)
    names = [site.tensor for site in audit.sites]
    _check_spared(spare, names)

    def pruned(spared: Collection[str]) -> Pruned:
        case = open_case(model, audit, engine=ran_by, rules=rules, data=data, keys=inputs, limit=limit, spared=spared)
        return _pruned(case, wanted, verify=verify)

    try:
        return pruned(spare)
    except VerificationError as error:
        # What can be read only once is not there for a second try.
        blamed = None if isinstance(data, Iterator) else blame(names, _passes(names, pruned))
        if not blamed:
            raise
        options = " ".join(f"--spare {shlex.quote(one_line(name))}" for name in blamed)
        error.hint = f"{error.hint} It passes where the layers to blame are left alone: {options}"
        raise


def _check_spared(spare: Collection[str], names: Collection[str]) -> None:
    for name in spare:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            raise UsageError(
                f"'{name}' is not a layer of the audit, and so cannot be spared",
                slug="spare",
                hint=f"Did you mean {' or '.join(map(repr, near))}?" if near else "relu-audit sites lists the layers.",
            )


def plan(
    model: ModelSource,
    audit: Audit,
    *,
    data: object = None,
    align: int = 8,
    merge_linear: bool = False,
    scatter: bool = False,
    inputs: Mapping[str, str] | None = None,
    provider: str = "cpu",
    threads: int = 0,
    custom_ops: Sequence[str | os.PathLike[str]] = (),
    operators: Iterable[Mapping[str, Any]] = (),
) -> Plan:
    """What pruning would cut and what that would save, without comparing anything.

    Args:
        model: Path, bytes or protobuf of an ONNX model.
        audit: An audit of that very model.
        data: Calibration data to look at sizes and numbers with; otherwise made-up inputs are, which a model may not
            take.
        align: As for :func:`prune`, like the others.
        merge_linear: Whether layers are merged.
        scatter: Whether channels that live in a partner are cut.
        inputs: Array name by input name, where they differ.
        provider: An onnxruntime execution provider.
        threads: Threads within an operator.
        custom_ops: Libraries of custom operators.
        operators: What custom operators do to axes.

    Raises:
        AuditError: As :func:`prune`.
    """
    return prune(
        model,
        audit,
        data=data,
        align=align,
        merge_linear=merge_linear,
        scatter=scatter,
        verify=False,
        inputs=inputs,
        provider=provider,
        threads=threads,
        custom_ops=custom_ops,
        operators=operators,
    ).plan


def _passes(names: Collection[str], pruned: Callable[[Collection[str]], Pruned]) -> Callable[[Sequence[str]], bool]:
    """Whether the result computes the same if only some sites are cut."""

    def passes(cut: Sequence[str]) -> bool:
        try:
            pruned(set(names) - set(cut))
        except VerificationError:
            return False
        return True

    return passes


def _pruned(case: Case, wanted: Wanted, *, verify: bool) -> Pruned:
    model = case.network.model
    original = model.clone() if verify else None
    counterpart = {} if original is None else twins(model, original)
    planned = plan_cuts(case, wanted)
    plan = _cut(case, planned, wanted.align)
    verification = None if original is None else _compared(case, planned, plan, original, counterpart)
    plan = msgspec.structs.replace(plan, notes=tuple(_notes(case, planned, verification)))
    example = case.samples[-1] if case.samples else made_up(case.inputs, case.audit.data, 1, seed=1)
    folder = case.network.folder
    files = () if folder is None else case.audit.model.external
    sources = frozenset((folder / file.location).resolve() for file in files if folder is not None)
    return Pruned(plan, verification, case.audit, model, case.network.maps, case.outside, sources, example)


def _notes(case: Case, planned: Planned, verification: Verification | None) -> Iterator[str]:
    """What could not be found out, for whoever reads the plan."""
    yield from case.network.notes
    yield from planned.survey.probe_runs.notes
    if verification is not None and verification.refused:
        what = "one made-up input" if verification.refused == 1 else f"{verification.refused} made-up inputs"
        yield f"the original does not run on {what}: results were not compared there"


def _cut(case: Case, planned: Planned, align: int) -> Plan:
    """Write what was planned into the graph, under the interface that the file had."""
    model, decision = case.network.model, planned.decision
    names = case.initializers
    written = rewrite(planned.survey, decision.facts, decision.sums, decision.solution)
    written, parts = reunite(model, case.shared, written)
    fixed = list_again(model, case.listed)
    for value in model.graph.outputs:
        value.type, value.shape = case.declared[value.name]
    plan = Plan(
        removed=planned.removed,
        kept=planned.kept,
        cuts=tuple(cut for cut in written.cuts if cut.initializer in names),
        dropped=tuple(sorted(names - set(model.graph.initializers))),
        folds=(*planned.folds, *written.folds),
        align=align,
        before=planned.before,
        after=msgspec.structs.replace(size(model), multiply_adds=planned.multiply_adds),
        spared=case.spared,
        parts=parts,
        fixed=fixed,
    )
    model.metadata_props.update(provenance(case.audit, plan))
    return plan


def _compared(
    case: Case, planned: Planned, plan: Plan, original: ir.Model, counterpart: Mapping[ir.Value, ir.Value]
) -> Verification:
    """Original and result side by side.

    Raises:
        VerificationError: They compute something else.
    """
    result, decision = case.network.model, planned.decision
    places = partition_silent(plan, decision, (*case.premise.silent, *case.premise.spared))
    relied = [replace(one, value=counterpart[one.value]) for one in places.relied]
    free = [replace(one, value=counterpart[one.value]) for one in places.free]
    passing = [(counterpart[source], counterpart[value]) for source, value in case.on if value in planned.linear]
    trial = Trial(
        original=original,
        held=hold(original, relied, passing),
        result=result,
        held_result=hold(result, places.relied_left) if places.relied_left else result,
        perturbed=hold(original, relied, passing, free) if free else None,
        perturbed_result=hold(result, places.relied_left, perturbed=places.free_left),
        folder=case.network.folder,
        engine=case.engine,
        inputs=case.inputs,
        shown=case.audit.data,
        silent=relied,
        on=[value for _, value in passing],
        drawn=case.drawn,
        together=case.together,
    )
    verification = compare(trial, case.data, WHOLE if case.in_feeds else case.audit.runtime.batch_size)
    if not verification.passed:
        raise VerificationError(
            f"the pruned model computes something else: outputs differ by {verification.relative:.2g} of the "
            f"largest, and {verification.limit:g} is allowed",
            slug="verification",
            hint="Nothing was written. Please report this with the model.",
        )
    return verification
