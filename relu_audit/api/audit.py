"""The only place that puts the rooms together."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec
import onnx_ir as ir

from relu_audit import records
from relu_audit.api.audited import Audit, load
from relu_audit.api.prospects import with_prospect
from relu_audit.errors import DataError, UsageError
from relu_audit.examine.why import explained
from relu_audit.judge.baseline import baseline as baseline_of
from relu_audit.judge.baseline import refuse_stranger
from relu_audit.judge.gate import gate
from relu_audit.judge.patterns import refuse_unmatched
from relu_audit.judge.policy import WaiverLike, in_range
from relu_audit.judge.policy import policy as policy_of
from relu_audit.judge.verdict import verdict
from relu_audit.model.checkpoint import ModelSource
from relu_audit.model.contents import contents
from relu_audit.observe.calibration import Calibration
from relu_audit.observe.dataset import Dataset
from relu_audit.observe.opening import Opened, explained_by, not_runnable, open_model
from relu_audit.observe.session import Engine, engine
from relu_audit.observe.settling import UNKNOWN_BATCH, Sight, settle
from relu_audit.observe.stream import OnProgress, Progress, stream
from relu_audit.observe.ways import Samples, Stated
from relu_audit.operators.rules import table_with
from relu_audit.records import Baseline, DataInfo, Policy, RuntimeInfo, SiteAudit, as_text
from relu_audit.units.locate import Census
from relu_audit.version import tool_name


def audit(
    model: ModelSource,
    data: object,
    *,
    batch_size: int | None = None,
    limit: int | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    samples: Samples | None = None,
    provider: str = "cpu",
    threads: int = 0,
    custom_ops: Sequence[str | os.PathLike[str]] = (),
    operators: Iterable[Mapping[str, Any]] = (),
    inputs: Mapping[str, str] | None = None,
    unit_axes: Mapping[str, int] | None = None,
    near_misses: bool = True,
    costs: bool = False,
    max_dead: float | None = None,
    max_dead_layer: float | None = None,
    max_rare: float | None = None,
    allow_faulty: int | None = None,
    require_observed: bool = False,
    layers: Mapping[str, float] | None = None,
    waivers: Iterable[WaiverLike] = (),
    baseline: str | os.PathLike[str] | records.Audit | None = None,
    min_samples: int = 256,
    rare_below: float = 0.05,
    today: datetime.date | None = None,
    bands: Iterable[float] = (0.5, 0.3, 0.2),
    on_progress: OnProgress | None = None,
) -> Audit:
    """Find the rectifier units of a model that never fire on some data.

    Args:
        model: Path, bytes or protobuf of an ONNX model.
        data: Calibration data: a path to .npz, .npy, a folder of them or of ONNX test sets; ``random:N``,
            ``module:function`` or ``file.py:function``; a dict of arrays by input name, or an iterable of such dicts.
        batch_size: Samples per run; by default chosen from the sizes of the activations.
        limit: Use at most so many samples.
        batch_axes: For an input the axis that holds samples, or None where the whole input belongs to every sample.
            Where nothing is said, the axis is derived from the graph.
        samples: ``rows``: each row along that axis is a sample. ``feeds``: each feed is one sample, run as it came.
            By default rows are samples where no operator lets rows change each other.
        provider: An onnxruntime execution provider, by full name or first part (``cuda``).
        threads: Threads within an operator; 0 leaves it to onnxruntime.
        custom_ops: Libraries of custom operators to register with onnxruntime. They are code, and it is run.
        operators: What custom operators do to axes, each with ``domain``, ``op`` and ``signature``.
        inputs: Array name by input name, where they differ.
        unit_axes: Axis of the units by rectified tensor, where it cannot be derived.
        near_misses: Also record the largest pre-activation of every unit, which tells how far a dead one is from life.
        costs: Also plan a pruning, to tell what it would give back; that can take several times as long as the audit.
        max_dead: Gate: largest dead fraction of all units that passes, 0 to 1.
        max_dead_layer: Gate: the same for every layer by itself.
        max_rare: Gate: largest share of rare units that passes, 0 to 1.
        allow_faulty: Gate: most units with NaN or infinity that pass; none by default, once any limit is set.
        require_observed: Gate: fail for a rectifier that cannot be observed, and for a unit that no sample reaches.
        layers: Gate: ``max_dead_layer`` by pattern of layers; of those that match a layer, the last one counts.
        waivers: Gate: layers that are not judged, each with ``pattern``, ``reason`` and perhaps ``until``, a date.
        baseline: Gate: an earlier audit, or its file; only what is worse than there fails. Without any limit, no unit
            may be newly dead.
        min_samples: Gate: fewest samples on which it decides.
        rare_below: A unit firing in a smaller share of samples than this is rare, 0 to 1.
        today: The day that waivers have to reach; by default it is today, in UTC.
        bands: Layers with a smaller share of units alive than one of these stand out in reports, 0 to 1.
        on_progress: Called after every batch.

    Returns:
        The audit. It is ``partial`` if an interrupt from the keyboard cut it short.

    Raises:
        AuditError: The model, the data or an option is no good; the slug and the hint say how.
    """
    _check_stated(samples, batch_axes or {})
    in_range({"batch_size": (batch_size, 1), "limit": (limit, 1), "threads": (threads, 0)}, {})
    policy = policy_of(
        max_dead=max_dead,
        max_dead_layer=max_dead_layer,
        max_rare=max_rare,
        allow_faulty=allow_faulty,
        require_observed=require_observed,
        layers=layers or {},
        waivers=waivers,
        min_samples=min_samples,
        rare_below=rare_below,
        bands=bands,
        compared=baseline is not None,
        today=today or datetime.datetime.now(datetime.UTC).date(),
    )
    asked = _Asked(policy, None if baseline is None else _baseline(baseline, policy))
    stated = Stated(dict(batch_axes or {}), samples)
    ran_by, rules = engine(provider, threads, custom_ops), table_with(operators := [*operators])
    with explained_by(model, ran_by):
        opened = open_model(model, unit_axes, stated.axes, rules=rules)
        carried = not_runnable(opened, ran_by)
        if carried:
            opened = open_model(model, unit_axes, stated.axes, rules=rules, carried=carried)
        _refuse_strangers(asked, opened.census)
        if not opened.census.located:
            shown, notes = _unused(data, opened, inputs, limit)
            return _record(opened, shown, (), asked, _runtime(ran_by, 1, carried), notes)
        calibration = Calibration(data, opened.inputs)
        fed = settle(opened, calibration, ran_by, stated, Sight(near_misses, batch_size, inputs, limit))
    opened = fed.opened
    opened.checkpoint.check()
    opened.checkpoint.forget_pages()
    notes = [*_rounding(opened.census), *fed.notes]
    streamed = stream(
        fed.session, fed.observed, fed.dataset.batches(fed.size), fed.dataset.expected, on_progress or _ignore
    )
    opened.checkpoint.check()
    if streamed.interrupted and not streamed.samples:
        raise KeyboardInterrupt
    shown = fed.info(streamed.samples)
    notes += fed.remarks()
    sites = tuple(
        verdict(one.site, tally, policy, per_run=fed.counts_runs(one), distinct=fed.distinct(one, streamed.samples))
        for one, tally in zip(opened.census.located, streamed.tallies, strict=True)
    )
    sites = explained(opened.network, opened.census, sites)
    opened.checkpoint.forget_pages()
    runtime = _runtime(ran_by, fed.size, carried)
    found = _record(opened, shown, sites, asked, runtime, notes, partial=streamed.interrupted)
    if not costs:
        return found
    return with_prospect(
        found,
        model,
        data,
        inputs=inputs,
        provider=provider,
        threads=threads,
        custom_ops=custom_ops,
        operators=operators,
    )


def _check_stated(samples: object, batch_axes: Mapping[str, object]) -> None:
    """Refuse what is no statement of samples; Python does not."""
    if samples not in (None, *get_args(Samples)):
        named = " or ".join(f"'{one}'" for one in get_args(Samples))
        raise UsageError(f"samples is {samples!r}; it must be {named}", slug="option-range")
    for name, axis in batch_axes.items():
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise UsageError(f"the batch axis of '{name}' is {axis!r}; it must be a whole number", slug="batch-axis")


@dataclass(frozen=True)
class _Asked:
    """What the gate is to judge by."""

    policy: Policy
    baseline: Baseline | None


def _baseline(given: str | os.PathLike[str] | records.Audit, policy: Policy) -> Baseline:
    if isinstance(given, records.Audit):
        return baseline_of(given, policy, "<memory>")
    return baseline_of(load(Path(given)), policy, as_text(Path(given).name))


def _refuse_strangers(asked: _Asked, census: Census) -> None:
    """Refuse limits and baselines of other models before minutes are spent."""
    places = (*(one.site for one in census.located), *census.skipped)
    refuse_unmatched(asked.policy.layers, places)
    if asked.baseline is not None:
        refuse_stranger(asked.baseline, places, {one.units for one in census.located})


def _unused(
    data: object, opened: Opened, keys: Mapping[str, str] | None, limit: int | None
) -> tuple[DataInfo, list[str]]:
    """What the data is, where nothing rests on it: data that is no good does not matter then, but is named."""
    try:
        dataset = Dataset(data, opened.inputs, keys, limit)
        for _ in dataset.batches(UNKNOWN_BATCH):
            pass
    except DataError as error:
        if error.slug == "data-not-found":
            raise
        source = as_text(Path(data).name) if isinstance(data, str | Path) else "<memory>"
        none = DataInfo(source=source, sha256="", samples=0, synthetic=False, inputs=())
        return none, [f"the data was not used: {error.message}"]
    return dataset.info(), []


def _runtime(ran_by: Engine, batch_size: int, carried: Sequence[ir.DataType]) -> RuntimeInfo:
    return RuntimeInfo(
        onnxruntime=ran_by.version(),
        provider=ran_by.provider,
        optimization="all",
        batch_size=batch_size,
        in_float32=tuple(dtype.name.lower() for dtype in carried),
    )


def _rounding(census: Census) -> list[str]:
    """What to know of units computed in half precision."""
    half = {ir.DataType.FLOAT16: "float16", ir.DataType.BFLOAT16: "bfloat16"}
    types = {use.output.dtype for one in census.located for use in one.uses}
    return [
        f"activations are {name}: a unit that only just fires, or only just does not, may do otherwise in float32"
        for dtype, name in half.items()
        if dtype in types
    ]


def _record(
    opened: Opened,
    data: DataInfo,
    sites: tuple[SiteAudit, ...],
    asked: _Asked,
    runtime: RuntimeInfo,
    notes: Sequence[str],
    *,
    partial: bool = False,
) -> Audit:
    carried = [
        f"{name} was computed in float32: {runtime.provider} has no kernels for it" for name in runtime.in_float32
    ]
    converted = [
        f"input '{i.name}' was converted from {i.dtype} to {i.cast}; its values were not scaled"
        for i in data.inputs
        if i.cast is not None
    ]
    hashes = contents(opened.checkpoint, {site.weight for site in sites if site.weight is not None})
    sites = tuple(msgspec.structs.replace(site, **hashes.of(site.weight)) for site in sites)
    return Audit(
        tool=tool_name(),
        model=opened.checkpoint.info(hashes.files),
        data=data,
        runtime=runtime,
        policy=asked.policy,
        baseline=asked.baseline,
        partial=partial,
        notes=(*opened.network.notes, *carried, *notes, *converted),
        sites=sites,
        alive=opened.census.alive,
        skipped=opened.census.skipped,
        gate=gate(asked.policy, data, sites, opened.census.skipped, partial=partial, baseline=asked.baseline),
    )


def _ignore(progress: Progress) -> None:
    del progress
