"""Dead units out of the graph, the function unchanged: plan, rewrite, check."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.errors import UsageError, VerificationError, one_line
from relu_audit.graph.checkpoint import ModelSource, open_checkpoint
from relu_audit.graph.inputs import graph_inputs
from relu_audit.graph.locate import locate
from relu_audit.graph.normalize import normalize
from relu_audit.graph.scopes import walk
from relu_audit.observe.dataset import Dataset
from relu_audit.observe.session import engine
from relu_audit.records import Audit
from relu_audit.surgery.atoms import Atoms, Ints
from relu_audit.surgery.collect import collect
from relu_audit.surgery.constants import find_constants
from relu_audit.surgery.cost import cost, size
from relu_audit.surgery.decide import Decision, decide
from relu_audit.surgery.facts import Facts
from relu_audit.surgery.ground import Ground, survey
from relu_audit.surgery.hold import Silent, hold, twins
from relu_audit.surgery.merge import Merged, merge
from relu_audit.surgery.plan import Files, KeptUnit, Latency, Plan, PruningRecord, RemovedUnit, Verification
from relu_audit.surgery.rehearsal import able, made_up, rehearse
from relu_audit.surgery.rewrite import rewrite
from relu_audit.surgery.scatter import attempt
from relu_audit.surgery.silent import always_on, premise, unit_axes
from relu_audit.surgery.verify import Trial
from relu_audit.surgery.verify import verify as compare
from relu_audit.surgery.whole import replace_whole
from relu_audit.version import tool_name

EXTERNAL_BYTES = 1 << 30
"""A result larger than this keeps its weights beside the file, as protobuf ends at two gibibytes."""


OVERRIDABLE_SINCE = 4
"""Before this version of the file format every initializer had to be listed among the inputs."""

INLINE_BYTES = 256
"""Weights smaller than this stay in a file whose larger ones do not."""


@dataclass(frozen=True)
class Pruned:
    """A smaller model that computes the same.

    Attributes:
        plan: What was cut, what was kept and why.
        verification: How it was checked; None if that was not wanted.
        audit: The audit it rests on.
        graph: The model; its weights are cut when they are asked for.
        outside: Initializers that the original keeps in files of their own.
        example: What one run is fed.
    """

    plan: Plan
    verification: Verification | None
    audit: Audit
    graph: ir.Model
    outside: frozenset[str]
    example: Mapping[str, np.ndarray]

    @property
    def model(self) -> onnx.ModelProto:
        """The model as a protobuf, weights included."""
        copy = _bare(self.graph)
        ir.external_data.load_to_model(copy)
        return ir.to_proto(copy)

    def record(self, files: Files | None = None, latency: Latency | None = None) -> PruningRecord:
        """Everything there is to say of it, with what was measured of its file."""
        audit = self.audit
        return PruningRecord(
            tool=tool_name(),
            model=audit.model.name,
            sha256=audit.model.sha256,
            data=audit.data,
            runtime=audit.runtime,
            premise=_premise(audit, self.plan),
            plan=self.plan,
            verification=self.verification,
            files=files,
            latency=latency,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model whole or not at all; weights that lay beside the original go beside it, one by one.

        Raises:
            UsageError: ``output`` if the file cannot be written.
        """
        target = Path(path).resolve()  # a link stays a link
        if target.exists() and not target.is_file():
            raise UsageError(f"'{path}' is not a file", slug="output", hint="Name a new file.")
        weights = target.with_name(f"{target.name}.data")
        try:
            with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name[:100]}.") as folder:
                staged = Path(folder) / target.name
                self._write(staged, weights.name)
                # The weights first: a model whose weights are not there yet would be worse than none.
                if (Path(folder) / weights.name).exists():
                    (Path(folder) / weights.name).replace(weights)
                staged.replace(target)
        except OSError as error:
            raise UsageError(f"cannot write '{target}': {error.strerror}", slug="output") from error

    def _write(self, target: Path, weights: str) -> None:
        sizes = [
            value.const_value.nbytes
            for graph in self.graph.graphs()
            for name, value in graph.initializers.items()
            if name in self.outside and value.const_value is not None
        ]
        if sizes or self.plan.after.bytes > EXTERNAL_BYTES:
            least = min(sizes, default=INLINE_BYTES) - 1  # larger than this goes outside
            ir.save(  # pyright: ignore[reportUnknownMemberType]
                _bare(self.graph), target, external_data=weights, size_threshold_bytes=least
            )
        else:
            target.write_bytes(self.model.SerializeToString())


def prune(
    model: ModelSource,
    audit: Audit,
    *,
    data: object = None,
    align: int = 8,
    merge_linear: bool = False,
    scatter: bool = False,
    verify: bool = True,
    limit: int | None = None,
    inputs: Mapping[str, str] | None = None,
    provider: str = "cpu",
    threads: int = 0,
    custom_ops: Sequence[str | os.PathLike[str]] = (),
) -> Pruned:
    """Cut every unit that can go without changing the function.

    Args:
        model: Path, bytes or protobuf of an ONNX model.
        audit: An audit of that very model.
        data: Calibration data, as for an audit, on which original and result are compared.
        align: Axes whose length is a multiple of this keep to multiples of it; 1 cuts all that can be cut.
        merge_linear: Also make one of two linear layers where all units between them were always on.
        scatter: Also cut channels that live in a partner: living ones are gathered, zeros put back for silent ones.
        verify: Compare original and result.
        limit: Compare on at most so many samples.
        inputs: Array name by input name, where they differ.
        provider: An onnxruntime execution provider.
        threads: Threads within an operator; 0 leaves it to onnxruntime.
        custom_ops: Libraries of custom operators to register with onnxruntime. They are code, and it is run.

    Raises:
        UsageError: ``audit-mismatch`` if the audit is of another model, ``option-range`` for an option.
        VerificationError: ``verification`` if the result computes something else than the original.
        AuditError: As :func:`relu_audit.audit`.
    """
    if align < 1:
        raise UsageError(f"align is {align}; it must be at least 1", slug="option-range")
    checkpoint = open_checkpoint(model)
    checkpoint.check_audited(audit.model)
    if checkpoint.unread:
        raise UsageError(
            f"the result '{checkpoint.unread[0]}' of {checkpoint.name} is a map, which would be lost",
            slug="map-result",
            hint="Export the classifier without ZipMap: to_onnx(model, X, options={'zipmap': False}).",
        )
    declared = {value.name: (value.type, value.shape) for value in checkpoint.model.graph.outputs}
    outside = frozenset(_outside(checkpoint.model))
    network = normalize(checkpoint)
    listed = _unlist(network.model)
    ran_by = able(network.model, network.folder, engine(provider, threads, custom_ops))
    fed = graph_inputs(network)
    census = locate(network, fed, unit_axes(audit.sites))
    found = premise(network, audit, census)
    original = network.model.clone()
    counterpart = twins(network.model, original)
    dataset = None if data is None else Dataset(data, fed, inputs, limit)
    feeds = [] if dataset is None else [f for f in (dataset.two_that_differ(), dataset.first_feed()) if f is not None]

    def grounded(silent: Sequence[Silent]) -> Ground:
        held = hold(network.model, silent)
        return survey(network, *rehearse(held, network.folder, ran_by, fed, audit.data, feeds))

    ground = grounded(found.silent)
    facts = collect(ground)
    before = cost(ground, facts, None)
    names = set(network.model.graph.initializers)
    merged, on = list[Merged](), always_on(audit, census) if merge_linear else []
    before_merging = on
    while on and (done := merge(ground, facts, on)).values:
        merged.append(done)
        on = [pair for pair in on if pair[1] not in done.values]
        ground = grounded(found.silent)
        facts = collect(ground)
    linear = {value for one in merged for value in one.values}
    gone = replace_whole(ground, facts, find_constants(ground, facts, found.silent), found.silent)
    present = tuple(one for one in found.silent if one.value.graph is not None)

    def solved(picking: Collection[ir.Node] = ()) -> tuple[Ground, Facts, Decision]:
        ground = grounded(present)
        facts = collect(ground, picking)
        return ground, facts, decide(ground, facts, present, align)

    if gone:
        ground = grounded(present)
        facts = collect(ground)
    decision = decide(ground, facts, present, align)
    detoured, could = attempt(ground, decision, solved), set[tuple[str, int]]()
    if detoured is not None and scatter:
        ground, facts, decision = detoured.ground, detoured.facts, detoured.decision
    elif detoured is not None:
        could = {(one.tensor, one.unit) for one in _units(audit, found.silent, detoured.decision, linear)[0]}
        for one in detoured.detours:
            one.undo()
    after_adds = cost(ground, facts, decision.solution).multiply_adds
    removed, kept = _units(audit, found.silent, decision, linear)
    written = rewrite(ground, decision.facts, decision.constants, decision.sums, decision.solution)
    result = network.model
    _list(result, listed)
    for value in result.graph.outputs:
        value.type, value.shape = declared[value.name]
    plan = Plan(
        removed=tuple(removed),
        kept=(*(_hinted(one, could) for one in kept), *found.refused),
        cuts=tuple(cut for cut in written.cuts if cut.initializer in names),
        dropped=tuple(sorted(names - set(result.graph.initializers))),
        folds=(*(fold for one in merged for fold in one.folds), *written.folds),
        align=align,
        before=before,
        after=msgspec.structs.replace(size(result), multiply_adds=after_adds),
    )
    result.metadata_props.update(_provenance(audit, plan))
    verification = None
    if verify:
        relied = [replace(one, value=counterpart[one.value]) for one in (*gone, *decision.silent)]
        staying = decision.staying()
        passing = [(counterpart[a], counterpart[b]) for a, b in before_merging if b in linear]
        trial = Trial(
            original=original,
            held=hold(original, relied, passing),
            result=result,
            held_result=hold(result, staying) if staying else result,
            folder=network.folder,
            engine=ran_by,
            inputs=fed,
            shown=audit.data,
            silent=relied,
            on=[value for _, value in passing],
        )
        verification = compare(trial, dataset, audit.runtime.batch_size)
        if not verification.passed:
            raise VerificationError(
                f"the pruned model computes something else: outputs differ by {verification.relative:.2g} of the "
                f"largest, and {verification.limit:g} is allowed",
                slug="verification",
                hint="Nothing was written. Please report this with the model.",
            )
    example = feeds[-1] if feeds else made_up(fed, audit.data, 1, seed=1)
    return Pruned(plan, verification, audit, result, outside, example)


def _unlist(model: ir.Model) -> tuple[str | None, ...]:
    """Take initializers out of the inputs, where they are there by convention and no choice of the caller's.

    The format once wanted all of them there, and exporters went on listing all of them when it did not.

    Returns:
        The names of all inputs in order, if some were taken out.
    """
    graph = model.graph
    held = [value for value in graph.inputs if value.name in graph.initializers]
    if not held or (model.ir_version >= OVERRIDABLE_SINCE and len(held) < len(graph.initializers)):
        return ()
    names = tuple(value.name for value in graph.inputs)
    for value in held:
        graph.inputs.remove(value)
    return names


def _list(model: ir.Model, names: Sequence[str | None]) -> None:
    """Put them back, as they are now, in their order; those that are new go last."""
    if not names:
        return
    graph = model.graph
    values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    graph.inputs.clear()
    graph.inputs.extend(values.pop(name) for name in names if name in values)
    graph.inputs.extend(values.values())


def _outside(model: ir.Model) -> Iterator[str]:
    """Names of the initializers that lie beside the file."""
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield name


def _units(
    audit: Audit, silent: tuple[Silent, ...], decision: Decision, linear: Collection[ir.Value]
) -> tuple[list[RemovedUnit], list[KeptUnit]]:
    """What becomes of every unit of every site: one that goes, goes everywhere."""
    removed: list[RemovedUnit] = []
    kept: list[KeptUnit] = []
    atoms, gone = decision.facts.atoms, decision.solution.removed
    present = {one.value for one in decision.silent}
    for site in audit.sites:
        places = [one for one in silent if one.tensor == site.tensor]
        whole = "merged" if any(one.value in linear for one in places) else "unread"
        for unit in range(site.units) if places else ():
            why = "dead" if unit in site.dead else "constant" if unit in site.constant else whole
            # A place that is not in the graph any more went with a layer that was constant as a whole.
            own = [_of_unit(atoms, one, unit) for one in places if one.value in present]
            if all(a is not None and bool(gone[a].all()) for a in own):
                removed.append(RemovedUnit(tensor=site.tensor, unit=unit, why=why))
            elif why not in ("unread", "merged"):
                first = next((a for a in own if a is None or not gone[a].all()), None)
                reason = next(r for r in decision.reasons if r.knows(first))
                slug, detail = reason.of(first)
                if slug == "not-by-structure" and reason is not decision.reasons[0]:
                    detail = "it is constant only because of silent units that stay"
                kept.append(KeptUnit(tensor=site.tensor, unit=unit, why=why, slug=slug, detail=detail))
    return removed, kept


def _hinted(one: KeptUnit, could: Collection[tuple[str, int]]) -> KeptUnit:
    """A unit that stays, with a word on what would remove it."""
    if (one.tensor, one.unit) not in could:
        return one
    return msgspec.structs.replace(one, detail=f"{one.detail}; --scatter would remove it")


def _of_unit(atoms: Atoms, one: Silent, unit: int) -> Ints | None:
    along = atoms.along(one.value, one.axis)
    return None if along is None or len(along) != len(one.units) else along[one.units == unit]


def _premise(audit: Audit, plan: Plan) -> str:
    counted = {why: sum(one.why == why for one in plan.removed) for why in ("dead", "merged")}
    said = [
        f"{counted[why]} units that were {done} were {seen}"
        for why, done, seen in (("dead", "cut", "silent"), ("merged", "merged", "always on"))
        if counted[why]
    ]
    if not said:
        return "none: nothing was cut for its silence"
    data = audit.data
    return f"{' and '.join(said)} on all {data.samples} samples of {one_line(data.source)} ({data.sha256})"


def _provenance(audit: Audit, plan: Plan) -> dict[str, str]:
    """What the file says of itself: by what, on what premise, what is gone."""
    units: dict[str, list[int]] = {}
    for one in plan.removed:
        units.setdefault(one.tensor, []).append(one.unit)
    return {
        "relu_audit.tool": tool_name(),
        "relu_audit.original": audit.model.sha256,
        "relu_audit.premise": _premise(audit, plan),
        "relu_audit.removed": json.dumps(units, sort_keys=True),
    }


def _bare(model: ir.Model) -> ir.Model:
    """A copy without types of what lies between: they may not hold any more, and every runtime infers its own."""
    copy = model.clone()
    for node in (step.node for step in walk(copy.graph)):
        for value in node.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    return copy
