"""Run original and result side by side: nothing is written that was not compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import onnx_ir as ir

from relu_audit.errors import RunError, VerificationError
from relu_audit.network.training import reseed_nodes, seed_nodes
from relu_audit.observe.dataset import Dataset
from relu_audit.observe.session import Engine, Session
from relu_audit.records import DataInfo
from relu_audit.records.pruning import Comparison, Verification
from relu_audit.surgery.runs.hold import Silent
from relu_audit.surgery.runs.probe_runs import OTHER_SIZES, Feeds, made_up
from relu_audit.units.inputs import GraphInput

LIMIT = 1e-5
"""Largest difference allowed, relative to the largest output; cutting regroups float32 sums and does no more."""

LIMITS = {ir.DataType.FLOAT: LIMIT, ir.DataType.FLOAT16: 1e-2, ir.DataType.BFLOAT16: 8e-2}
"""The same by element type, for models that have weights in it: about ten steps of the narrower ones."""

INFINITE = 1e300
"""Stands for a difference that has no number, since a record holds none that is not finite."""

OTHER_SEED = 20_001
"""The seed by which the original's random numbers are told from its own."""

RANDOM_RUNS = 8
MOST_ALONE = 16
"""Samples of the calibration data that are also run alone, where batches hold several."""

WHOLE = 1024
"""Rows of a feed that are run in one batch, at most, where the data came as feeds."""

UNOPTIMIZED_BATCHES = 2
"""Batches of the calibration data that are also run with graph optimisation off."""


@dataclass(frozen=True)
class Trial:
    """The models to compare, and what to feed them.

    Attributes:
        original: As it was.
        held: The original with its silent units held.
        result: The pruned one.
        held_result: The pruned one with those silent units held that it still has and relies on.
        perturbed: The held original in which all other silent units that stay are forced on; None if there are none.
        perturbed_result: The same of the pruned one.
        folder: Where external weights lie.
        engine: What runs them.
        inputs: Their inputs.
        shown: What the audit fed.
        silent: What the premise says.
        on: Rectified values that the premise says are positive throughout.
        drawn: First results of the nodes that draw random numbers.
        together: Feeds of several samples, where samples are run alone though it is not proved that they may be.
    """

    original: ir.Model
    held: ir.Model
    result: ir.Model
    held_result: ir.Model
    perturbed: ir.Model | None
    perturbed_result: ir.Model
    folder: Path | None
    engine: Engine
    inputs: Sequence[GraphInput]
    shown: DataInfo
    silent: Sequence[Silent]
    on: Sequence[ir.Value] = ()
    drawn: Collection[str] = ()
    together: Sequence[Feeds] = ()


def verify(trial: Trial, data: Dataset | None, batch_size: int) -> Verification:
    """Compare the models on calibration data if there is any, and on made-up inputs.

    Raises:
        VerificationError: ``verification`` if the result does not run, or there is nothing to compare on.
        RunError: The original does not.
    """
    held = [made_up(trial.inputs, trial.shown, 2, seed=1 + i) for i in range(RANDOM_RUNS // 2)]
    held += [made_up(trial.inputs, trial.shown, 1, resize=resize, seed=51 + i) for i, resize in enumerate(OTHER_SIZES)]
    fitting = list(_keeping(trial, [made_up(trial.inputs, trial.shown, 1, seed=101 + i) for i in range(RANDOM_RUNS)]))
    limit = max(limit for dtype, limit in LIMITS.items() if dtype in _types(trial.original) or limit == LIMIT)
    first: list[Feeds] = []
    alone: list[Feeds] = []
    comparisons: list[Comparison] = []
    for optimize in (True, False):
        feeds = _remembered(data, batch_size, first, alone) if optimize and data is not None else iter(first)
        # Two sessions at a time, since each holds the weights once more; four where rounding is in question.
        comparisons += _side_by_side(
            Pair(trial, trial.original, trial.result, optimize),
            {"calibration": feeds, "alone": alone, "together": trial.together, "random": fitting},
            limit,
        )
        comparisons += _side_by_side(Pair(trial, trial.held, trial.held_result, optimize), {"held": held}, limit)
    if trial.perturbed is not None:
        comparisons += _side_by_side(
            Pair(trial, trial.perturbed, trial.perturbed_result, False), {"woken": held}, limit
        )
    refused = max(one.refused for one in comparisons)
    comparisons = [one for one in comparisons if one.runs]
    if not comparisons:
        raise VerificationError(
            "there is no input on which original and result could be compared: the model does not take noise",
            slug="verification",
            hint="Give calibration data.",
        )
    worst = max(comparisons, key=lambda one: (not one.within(limit), one.relative))
    return Verification(
        max_abs_difference=max(one.max_abs_difference for one in comparisons),
        scale=worst.scale,
        relative=worst.relative,
        limit=limit,
        passed=worst.within(limit),
        refused=refused,
        comparisons=tuple(comparisons),
    )


def _does_not_run(error: RunError) -> VerificationError:
    return VerificationError(
        f"the pruned model does not run: {error.message}",
        slug="verification",
        hint="Nothing was written. Please report this with the model.",
    )


class Pair:
    """Two models opened alike. A session borrows the weights of the model it is given, hence the copies."""

    def __init__(self, trial: Trial, old: ir.Model, new: ir.Model, optimize: bool) -> None:
        self._trial, self._models = trial, (old, new)
        self.optimize = optimize
        self.names = [value.name or "" for value in old.graph.outputs]
        self.original = self._session(old)
        try:
            self.result = self._session(new)
        except RunError as error:
            raise _does_not_run(error) from error

    def _session(self, model: ir.Model, seed: int | None = None) -> Session:
        copy = model.clone()
        if seed is None:
            seed_nodes(copy, self._trial.drawn)
        else:
            reseed_nodes(copy, self._trial.drawn, seed)
        return Session(copy, self._trial.folder, self._trial.engine, optimize=self.optimize)

    @cached_property
    def reseeded(self) -> Session | None:
        """The original with other random numbers; None where it draws none."""
        return self._session(self._models[0], seed=OTHER_SEED) if self._trial.drawn else None

    @cached_property
    def plain(self) -> Pair:
        """The same models, opened once more without optimisation; few prunings need them."""
        return Pair(self._trial, *self._models, optimize=False)


@dataclass(frozen=True)
class Apart:
    """One output of one run: the difference, its scale, and the models' own differences where they were asked for."""

    difference: float
    scale: float
    own: float = 0.0
    own_result: float = 0.0


def _side_by_side(pair: Pair, feeds: Mapping[str, Iterable[Feeds]], limit: float) -> list[Comparison]:
    """Two models on several kinds of inputs."""
    return [_compared(what, pair, runs, limit) for what, runs in feeds.items()]


def _remembered(data: Dataset, batch_size: int, first: list[Feeds], alone: list[Feeds]) -> Iterator[Feeds]:
    """The data in batches, of which the first few are kept, and of them some samples by themselves."""
    for batch in data.batches(batch_size):
        if len(first) < UNOPTIMIZED_BATCHES:
            first.append(batch.feeds)
        if batch.samples > 1 and len(alone) < MOST_ALONE:
            alone.extend(islice(data.alone(batch), MOST_ALONE - len(alone)))
        yield batch.feeds


def _keeping(trial: Trial, feeds: Iterable[Feeds]) -> Iterator[Feeds]:
    """Those inputs on which the silent units are silent in the original; none where that cannot be seen."""
    main = trial.original.graph
    copy = trial.original.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    watched = [one for one in trial.silent if len(one.indices)]
    if any(value.name not in values or value.graph is not main for value in (*(o.value for o in watched), *trial.on)):
        return
    present = {value.name for value in copy.graph.outputs}
    on = {value.name or "" for value in trial.on}
    names = {one.value.name or "" for one in watched} | on
    copy.graph.outputs.extend(values[name] for name in sorted(names - present))
    session = Session(copy, trial.folder, trial.engine)
    for feed in feeds:
        try:
            found = session.run(feed, sorted(names)) if names else {}
        except RunError:
            continue
        if all(_is_silent(one, found[one.value.name or ""]) for one in watched) and all(
            bool((found[name] > 0).all()) for name in on
        ):
            yield feed


def _is_silent(one: Silent, array: np.ndarray) -> bool:
    entries = np.moveaxis(array, one.axis, -1)[..., one.indices]
    return bool((entries == one.numbers[one.indices].astype(array.dtype)).all())


def _types(model: ir.Model) -> set[ir.DataType | None]:
    return {value.dtype for graph in model.graphs() for value in (*graph.initializers.values(), *graph.outputs)}


def _compared(what: str, pair: Pair, feeds: Iterable[Feeds], limit: float) -> Comparison:
    """Both models on the same inputs, one batch at a time."""
    seen: dict[str, list[Apart]] = {name: [] for name in pair.names}
    runs = refused = 0
    for feed in feeds:
        try:
            a = pair.original.run(feed, pair.names)
        except RunError:
            if what in ("calibration", "alone"):
                raise
            refused += 1
            continue  # noise is not what this model takes; what the original refuses says nothing
        try:
            b = pair.result.run(feed, pair.names)
        except RunError as error:
            raise _does_not_run(error) from error
        runs += 1
        found = {name: Apart(*_apart(a[name], b[name])) for name in pair.names}
        if pair.reseeded is not None:
            again = pair.reseeded.run(feed, pair.names)
            found = {name: replace(one, own=_rounding(a[name], again[name])) for name, one in found.items()}
        elif pair.optimize and any(limit < _ratio(one.difference, one.scale) for one in found.values()):
            found = _with_own(pair, feed, a, b, found, limit)
        for name, one in found.items():
            seen[name].append(one)
    ratios = [one for runs in seen.values() for one in _as_ratios(what, pair, runs)]
    worst = max(ratios, key=lambda one: (not one.within(limit), one.relative), default=None)
    if worst is None:
        worst = Comparison(
            inputs=what, optimized=pair.optimize, runs=0, max_abs_difference=0.0, scale=0.0, relative=0.0
        )
    return msgspec.structs.replace(
        worst,
        runs=runs,
        refused=refused,
        max_abs_difference=max((one.max_abs_difference for one in ratios), default=0.0),
    )


def _with_own(
    pair: Pair,
    feed: Feeds,
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    found: Mapping[str, Apart],
    limit: float,
) -> dict[str, Apart]:
    """What the optimised kernels themselves add to differences over the limit, on that very input.

    Without optimisation the models have to agree there; else nothing is set against the difference.
    """
    plain = pair.plain
    c = plain.original.run(feed, pair.names)
    try:
        d = plain.result.run(feed, pair.names)
    except RunError as error:
        raise _does_not_run(error) from error
    if any(_ratio(*_apart(c[name], d[name])) > limit for name in pair.names):
        return dict(found)
    return {
        name: replace(one, own=_rounding(a[name], c[name]), own_result=_rounding(b[name], d[name]))
        for name, one in found.items()
    }


def _rounding(optimized: np.ndarray, plain: np.ndarray) -> float:
    """How far a model is from itself; what is no number is no rounding, and excuses nothing."""
    apart, _ = _apart(optimized, plain)
    return apart if apart < INFINITE else 0.0


def _as_ratios(what: str, pair: Pair, runs: Sequence[Apart]) -> Iterator[Comparison]:
    """Every run of one output, all measured by the largest value of that output."""
    scale = max((one.scale for one in runs), default=0.0)
    if pair.reseeded is not None:  # one draw says little of how far two draws can be apart
        largest = max((one.own for one in runs), default=0.0)
        runs = [replace(one, own=largest) for one in runs]
    for one in runs:
        yield Comparison(
            inputs=what,
            optimized=pair.optimize,
            runs=1,
            max_abs_difference=one.difference,
            scale=scale,
            relative=_ratio(one.difference, scale),
            own=one.own / scale if scale else 0.0,
            own_result=one.own_result / scale if scale else 0.0,
        )


def _apart(a: object, b: object) -> tuple[float, float]:
    """Largest absolute difference and largest absolute value; what is not finite has to agree."""
    ours, theirs = dict(_arrays(a)), dict(_arrays(b))
    if ours.keys() != theirs.keys():
        return INFINITE, 1.0
    found = [_arrays_apart(array, theirs[place]) for place, array in ours.items()]
    return max((apart for apart, _ in found), default=0.0), max((scale for _, scale in found), default=0.0)


def _arrays(result: object, place: tuple[object, ...] = ()) -> Iterator[tuple[tuple[object, ...], np.ndarray]]:
    """The arrays in what a model gives out, with their places: sequences are lists, maps are dicts."""
    if isinstance(result, list):
        for number, one in enumerate(cast("list[object]", result)):
            yield from _arrays(one, (*place, number))
    elif isinstance(result, dict):
        entries = cast("dict[object, object]", result)
        yield (*place, *entries), np.asarray([*entries.values()])
    elif result is not None:  # as an optional value that is left out is
        yield place, np.asarray(result)


def _arrays_apart(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    if a.shape != b.shape or a.dtype != b.dtype:
        return INFINITE, 1.0
    if a.dtype.kind not in "biuf" and a.dtype.name != "bfloat16":
        return (0.0 if np.array_equal(a, b) else INFINITE), 1.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)) or not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return INFINITE, 1.0
    return float(np.abs(x - y)[finite].max(initial=0.0)), float(np.abs(x[finite]).max(initial=0.0))


def _ratio(difference: float, scale: float) -> float:
    return difference / scale if scale else INFINITE if difference else 0.0
