"""A model and its audit, opened for surgery: the graph, which of its units are silent, and what is run on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from relu_audit.errors import ModelError, UsageError
from relu_audit.model.checkpoint import Checkpoint, ModelSource, open_checkpoint
from relu_audit.model.listed import Listed, unlist
from relu_audit.network.bulk import refuse_bulk
from relu_audit.network.normalize import Network, normalize
from relu_audit.network.training import drawing, learning
from relu_audit.observe.calibration import Calibration
from relu_audit.observe.dataset import Dataset
from relu_audit.observe.session import Engine
from relu_audit.operators.rules import BUILT_IN, Table
from relu_audit.records import Audit
from relu_audit.surgery.change.shared import Shared, part
from relu_audit.surgery.facts.collect import collect
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.runs.hold import Silent, hold
from relu_audit.surgery.runs.probe_runs import Feeds, able, probe
from relu_audit.surgery.runs.ranges import Copy
from relu_audit.surgery.runs.survey import Survey, measurable, take_survey
from relu_audit.surgery.silent import Premise, always_on, premise, unit_axes
from relu_audit.units.inputs import GraphInput, check_inputs, graph_inputs
from relu_audit.units.locate import Census, locate
from relu_audit.units.overview import overview

NOT_PROVED = ("tried", "untried", "stated")
"""How it is known what a sample is, where that is no proof that samples may be run alone."""


@dataclass(frozen=True)
class Case:
    """What is operated on; its graph changes as work goes on.

    Attributes:
        audit: What was observed.
        network: The graph.
        premise: Which of its entries are silent.
        spared: Names of sites that must not be touched.
        on: Pre-activation and rectified value of layers all of whose units were always on.
        declared: Type and shape of every output as the file states them.
        initializers: Names of the initializers there were.
        outside: Those that lie in files of their own.
        listed: The inputs, where initializers were listed among them.
        shared: The initializers of which each place has its own for now.
        engine: What runs it.
        inputs: What it is fed.
        data: Calibration data, unless there is none.
        in_feeds: Whether that data came as feeds.
        drawn: First results of the nodes that draw random numbers.
        samples: Feeds of that data, to be tried first.
        together: Feeds of several samples, where they are run alone though it is not proved that they may be.
    """

    audit: Audit
    network: Network
    premise: Premise
    spared: tuple[str, ...]
    on: tuple[tuple[ir.Value, ir.Value], ...]
    declared: Mapping[str | None, tuple[ir.TypeProtocol | None, ir.Shape | None]]
    initializers: frozenset[str]
    outside: frozenset[str]
    listed: Listed
    shared: Shared
    engine: Engine
    inputs: Sequence[GraphInput]
    data: Dataset | None
    in_feeds: bool
    drawn: tuple[str, ...]
    samples: tuple[Feeds, ...]
    together: tuple[Feeds, ...]

    def survey(self, silent: Sequence[Silent]) -> Survey:
        """Sizes and numbers of the graph as it stands, from runs in which units are held silent."""
        network, held = self.network, hold(self.network.model, silent)
        names = measurable(network)
        probe_runs = probe(held, network.folder, self.engine, self.inputs, self.audit.data, names, self.samples)
        return replace(take_survey(network, probe_runs), staying=self.premise.untouched)

    def survey_again(self, survey: Survey, silent: Sequence[Silent], copies: Sequence[Copy]) -> Survey:
        """The same of a graph that only has some values once more; nothing has to be run for that.

        Args:
            survey: What was surveyed of the graph before.
            silent: The units that were held then.
            copies: The values that there are now.
        """
        held = {one.value.name or "": (one.axis, one.held) for one in silent}
        probe_runs = survey.probe_runs.with_copies(hold(self.network.model, silent), copies, held)
        return replace(take_survey(self.network, probe_runs, survey), staying=self.premise.untouched)

    def collect(self, survey: Survey, picking: Collection[ir.Node] = ()) -> Facts:
        """The facts of the graph, in which units that are spared stay whatever else goes."""
        facts = collect(survey, picking)
        for one in self.premise.spared:
            facts.pin(survey.atoms.along(one.value, one.axis), "spared", f"'{one.tensor}' is left alone, as asked for")
        return facts


def open_case(
    model: ModelSource,
    audit: Audit,
    *,
    engine: Engine,
    rules: Table = BUILT_IN,
    data: object = None,
    keys: Mapping[str, str] | None = None,
    limit: int | None = None,
    spared: Collection[str] = (),
) -> Case:
    """Open a model and find the audited units in it.

    Args:
        model: Path, bytes or protobuf.
        audit: An audit of that very model.
        engine: What runs it.
        rules: What is known of operators.
        data: Calibration data.
        keys: Array name by input name, where they differ.
        limit: Use at most so many samples.
        spared: Rectified tensors that must not be touched.

    Raises:
        UsageError: ``audit-mismatch``.
        ModelError: ``training-mode`` for a model that computes with the statistics of its batch.
        AuditError: As :func:`relu_audit.audit`.
    """
    checkpoint = open_checkpoint(model)
    checkpoint.check_audited(audit.model)
    declared = {value.name: (value.type, value.shape) for value in checkpoint.model.graph.outputs}
    network = normalize(checkpoint, rules)
    _refuse_learning(network)
    refuse_bulk(network)
    listed = unlist(network.model)
    engine = able(network.model, network.folder, engine)
    _note_changes(network, checkpoint, engine)
    initializers = frozenset(network.model.graph.initializers)
    inputs = graph_inputs(network, {one.name: one.axis for one in audit.data.inputs})
    check_inputs([one for one in inputs if not one.optional])
    census = locate(overview(network), inputs, unit_axes(audit.sites))
    _refuse_other_units(audit, census)
    network, shared = part(network)
    given = None if data is None else Calibration(data, inputs)
    run_is_sample = audit.data.known == "run"
    dataset = None if given is None else Dataset(given, inputs, keys, limit, run_is_sample=run_is_sample)
    doubted = audit.data.known in NOT_PROVED and bool(audit.data.detail)
    if doubted:
        network.note(f"it is not proved that samples leave each other alone: {audit.data.detail}")
    samples = () if dataset is None else (*_two(dataset), dataset.first_feed())
    return Case(
        audit=audit,
        network=network,
        premise=premise(network, audit, census, spared),
        spared=tuple(sorted(spared)),
        on=tuple(pair for tensor, pair in always_on(audit, census) if tensor not in spared),
        declared=declared,
        initializers=initializers,
        outside=checkpoint.outside | {copy for copy, name in shared.copies.items() if name in checkpoint.outside},
        listed=listed,
        shared=shared,
        engine=engine,
        inputs=inputs,
        data=dataset,
        in_feeds=given is not None and given.came_in_feeds(inputs, keys or {}),
        drawn=tuple(node.outputs[0].name or "" for node in drawing(network)),
        samples=samples,
        together=_together(dataset) if dataset is not None and doubted else (),
    )


def _refuse_other_units(audit: Audit, census: Census) -> None:
    """Refuse an audit that counts other units than the graph has, whatever hash it bears.

    Raises:
        UsageError: ``audit-mismatch``.
    """
    known = {(one.site.scope, one.site.tensor): one.units for one in census.located}
    for site in audit.sites:
        units = known.get((site.scope, site.tensor)) or site.units  # 0 where the file does not tell
        if units != site.units:
            raise UsageError(
                f"the audit counts {site.units} units in '{site.name}', which has {units}",
                slug="audit-mismatch",
                hint="Audit this file, and use that audit.",
            )


def _refuse_learning(network: Network) -> None:
    """Refuse a model that computes with the statistics of its batch: another batch may wake a silent unit.

    Raises:
        ModelError: ``training-mode``.
    """
    learns = learning(network)
    if learns:
        raise ModelError(
            f"'{learns[0].outputs[0].name}' is computed with the statistics of each batch, as in training",
            slug="training-mode",
            hint="Which units are silent depends on how rows are put together. Export the model for inference.",
        )


def _together(dataset: Dataset) -> tuple[Feeds, ...]:
    """The first samples in one run; none where a run takes one."""
    near = dataset.near()
    return (near.feeds([*range(near.count)]),) if near.count > 1 and dataset.fixed_batch is None else ()


def _two(dataset: Dataset) -> tuple[Feeds, ...]:
    """The first sample and one that differs from it in one run, where samples may share a run."""
    near = dataset.near()
    others = near.unlike(0) if near.count and not dataset.one_by_one else []
    return (near.feeds([0, others[0]]),) if others else ()


def _note_changes(network: Network, checkpoint: Checkpoint, engine: Engine) -> None:
    """Tell of what is done to the model beside what the plan says."""
    if checkpoint.sparse:
        what = "a sparse weight is" if checkpoint.sparse == 1 else f"{checkpoint.sparse} sparse weights are"
        network.note(f"{what} written as dense, as all weights are")
    for dtype in engine.carried:
        network.note(f"{dtype.name.lower()} was computed in float32: {engine.provider} has no kernels for it")
