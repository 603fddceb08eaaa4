"""Settle how calibration data is fed to a model: by proof, by what the user states, or by a trial in the runtime."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from relu_audit.errors import DataError, RunError
from relu_audit.model.upstream import inputs_by_value
from relu_audit.network.training import drawing, learning, seed_nodes
from relu_audit.observe.calibration import Calibration
from relu_audit.observe.dataset import Dataset
from relu_audit.observe.instrument import Form, Observed, expose_ranks, instrument
from relu_audit.observe.opening import Opened
from relu_audit.observe.session import Engine, Session
from relu_audit.observe.trial import takes_two, together_and_alone
from relu_audit.observe.ways import Stated, Way, told, ways
from relu_audit.operators.layout import Size
from relu_audit.records import DataInfo, Known
from relu_audit.units.locate import Located
from relu_audit.units.sampling import choose
from relu_audit.units.standing import Standing

BATCH_BYTES = 32 << 20
"""An automatic batch keeps the largest rectifier's output under this."""

MOST_SAMPLES = 256
"""Samples in an automatic batch, at most."""

UNKNOWN_BATCH = 8
"""Samples in an automatic batch where activations are of unknown size."""


@dataclass(frozen=True)
class Sight:
    """How to look at the data and what to record.

    Attributes:
        near_misses: Whether the largest pre-activation of every unit is recorded.
        batch_size: Samples per run, where the user says so.
        keys: Array name by input name, where they differ.
        limit: Use at most so many samples.
    """

    near_misses: bool
    batch_size: int | None
    keys: Mapping[str, str] | None
    limit: int | None


@dataclass(frozen=True)
class Fed:
    """A model that is observed, and the data that is about to be streamed through it.

    Attributes:
        opened: The model.
        way: How the data is fed.
        dataset: The data.
        observed: The observed graph.
        session: What runs it.
        size: Samples per run, at most.
        reads: For each site, by its tensor, the inputs that have a part in it.
        notes: Remarks for the report.
    """

    opened: Opened
    way: Way
    dataset: Dataset
    observed: Observed
    session: Session
    size: int
    reads: Mapping[str, frozenset[str]]
    notes: tuple[str, ...]

    def counts_runs(self, one: Located) -> bool:
        """Whether what is counted of a site is runs of several samples."""
        several = self.way.fixed is not None and self.way.fixed > 1 and not self.dataset.one_by_one
        return several and (self.way.run_is_sample or not all(use.batch_alone for use in one.uses))

    def distinct(self, one: Located, samples: int) -> int | None:
        """How many of the counted samples differ from each other in what a site is computed from."""
        found = self.dataset.distinct(self.reads[one.site.tensor])
        return None if found is None else _among(found, samples)

    def remarks(self) -> tuple[str, ...]:
        """What to know of the data, once it has been streamed."""
        rows = self.dataset.left_out
        return (f"{rows} rows at the end do not fill a run, and were left out",) if rows else ()

    def info(self, samples: int) -> DataInfo:
        """What the model was shown, of which so many samples were counted: an interrupt may come between both."""
        found = self.dataset.info()
        distinct = None if found.distinct is None else _among(found.distinct, samples)
        return msgspec.structs.replace(
            found, samples=samples, distinct=distinct, known=self.way.known, detail=self.way.detail
        )


def _among(distinct: int, samples: int) -> int:
    return max(min(distinct, samples), min(samples, 1))


def settle(opened: Opened, data: Calibration, ran_by: Engine, stated: Stated, sight: Sight) -> Fed:
    """Find the first way to feed the data that holds.

    Args:
        opened: The model, not yet observed.
        data: The data, not yet streamed.
        ran_by: What runs the model.
        stated: What the user says of samples.
        sight: How to look at the data.

    Raises:
        DataError: ``samples-mixed`` where rows of a run change each other, or the data does not fit the model.
    """
    in_feeds = data.came_in_feeds(opened.inputs, sight.keys or {})
    trials = _Trials(opened, data, ran_by, sight)
    for way in _possible(opened, stated, in_feeds=in_feeds):
        found = trials.attempt(way)
        if found is not None:
            return found
    single = trials.one_row()
    if single is not None:
        return single
    raise _mixed(opened, data, trials)


def _possible(opened: Opened, stated: Stated, *, in_feeds: bool) -> Iterator[Way]:
    """The ways that are worth an attempt: where a node learns from its batch, rows alone are another model."""
    for way in ways(opened.readings, stated, in_feeds=in_feeds):
        alone = way.known not in ("feeds", "run") and not way.together
        if not (alone and learning(opened.network)):
            yield way


@dataclass
class _Trials:
    """Attempts to feed the data in one way after the other; only what a trial refutes leads to the next."""

    opened: Opened
    data: Calibration
    ran_by: Engine
    sight: Sight
    refuted: Way | None = None
    failed: RunError | None = None
    unfit: DataError | None = None
    used: bool = False

    def attempt(self, way: Way) -> Fed | None:
        """The data, fed that way; None where a trial refutes the way, or the data does not fit an unproved one."""
        try:
            fed = self._fed(way, pre_activations=self.sight.near_misses or way.known == "tried")
        except DataError as error:
            if way.known != "tried":
                raise
            self.unfit = self.unfit or error
            return None
        if way.known == "tried":
            return self._tried(fed)
        refuses_two = (
            fed.size > 1
            and fed.dataset.fixed_batch is None
            and not takes_two(fed.session, fed.observed, fed.dataset.near())
        )
        if refuses_two:
            return replace(fed, size=1, way=replace(fed.way, known="single", detail="the model takes one sample a run"))
        return fed

    def one_row(self) -> Fed | None:
        """The data as one feed, where it holds no more than one row: there is nothing to cut."""
        best = choose(self.opened.readings)
        if best is None:
            return None
        try:
            way = Way(best.axes, "feeds", told(best.state))
            fed = self._fed(way, pre_activations=self.sight.near_misses)
        except DataError:
            return None
        return fed if fed.dataset.expected == 1 else None

    def _tried(self, fed: Fed) -> Fed | None:
        trial = together_and_alone(fed.session, fed.observed, fed.dataset.near())
        shaped = all(one.shape is not None for one in fed.opened.inputs)
        known: Known
        match trial.outcome:
            case "same":
                known = "tried"
            case "one" if shaped:
                known = "single"
            case "untried":
                known = "untried"
            case _:
                self.refuted = self.refuted or (fed.way if trial.outcome == "differs" else None)
                self.failed = self.failed or trial.error
                return None
        if not self.sight.near_misses:  # the trial looked at more than is to be recorded
            fed = self._fed(fed.way, pre_activations=False)
        return replace(fed, way=replace(fed.way, known=known))

    def _fed(self, way: Way, *, pre_activations: bool) -> Fed:
        opened = self.opened.again(way.axes) if self.used else self.opened.along(way.axes)
        keys, limit = self.sight.keys, self.sight.limit
        reads = _inputs_by_site(opened)
        dataset = Dataset(
            self.data,
            opened.inputs,
            keys,
            limit,
            counted=set(reads.values()),
            run_is_sample=way.run_is_sample,
        )
        self.used = True
        if any(use.pattern is None for one in opened.census.located for use in one.uses):
            opened = opened.again(way.axes, _ranks(opened, dataset, self.ran_by))
        drawn = [node.outputs[0].name or "" for node in drawing(opened.network)]
        seed_nodes(opened.network.model, drawn)
        per_sample, size = _batching(opened, dataset, way, self.sight.batch_size)
        form = Form(per_sample=per_sample, pre_activations=pre_activations, denormals=self.ran_by.keeps_denormals)
        observed = instrument(opened.network, opened.census.located, form)
        session = Session(observed.model, opened.network.folder, self.ran_by)
        if dataset.one_by_one and way.known == "proved":
            way = replace(way, known="feeds")
        notes = (*_random(drawn), *_passed_over(self.opened, way))
        return Fed(opened, way, dataset, observed, session, size, reads, notes)


def _inputs_by_site(opened: Opened) -> dict[str, frozenset[str]]:
    """The inputs that have a part in each site, by its tensor."""
    reads = inputs_by_value(opened.network.model.graph)
    return {
        one.site.tensor: frozenset[str]().union(*(reads[use.output] for use in one.uses))
        for one in opened.census.located
    }


def _passed_over(opened: Opened, way: Way) -> tuple[str, ...]:
    """That the axis which comes first mixes, where another one is taken."""
    first = opened.readings[0] if opened.readings else None
    if first is None or way.known == "feeds" or first.state.standing is not Standing.MIXED or first.axes == way.axes:
        return ()
    named = [f"axis {axis} of '{name}'" for name, axis in first.axes.items() if axis is not None]
    return (f"{' and '.join(named)} would come first as the samples' axis, but {told(first.state)}",)


def _random(drawn: Sequence[str]) -> tuple[str, ...]:
    if not drawn:
        return ()
    named = ", ".join(f"'{name}'" for name in drawn[:3]) + (f" and {len(drawn) - 3} more" if len(drawn) > 3 else "")
    return (f"the model draws random numbers ({named}), so another run may show other counts",)


def _mixed(opened: Opened, data: Calibration, trials: _Trials) -> DataError | RunError:
    """Why the rows of the data cannot be told apart, and what to do."""
    unknown = None if trials.refuted is not None else trials.failed or trials.unfit
    if unknown is not None:
        return unknown
    best = choose(opened.readings)
    assert best is not None  # noqa: S101 - without a reading every feed is run whole
    along = ", ".join(f"'{name}', axis {axis}" for name, axis in best.axes.items() if axis is not None)
    tried = trials.refuted is not None
    why = "two rows run together show something else than each alone" if tried else told(best.state)
    batches = "Or give the rows of each run as a feed of their own (a folder, a loader), or say --samples feeds."
    learns = learning(opened.network)
    return DataError(
        f"{data.source.name}: the rows of {along} change each other when they share a run: {why}",
        slug="samples-mixed",
        hint="The model computes statistics of each batch, as in training. Export it for inference, or give each "
        "batch as a feed of its own (a folder of files, a loader), or say --samples feeds."
        if learns
        else f"If the model is used on one row at a time, say --samples rows; if another axis holds the samples, "
        f"--batch-axis INPUT=AXIS. {batches}",
    )


def _ranks(opened: Opened, dataset: Dataset, ran_by: Engine) -> dict[int, int | None]:
    """Ranks of the rectifiers whose rank the file does not tell, by position, from one run on the first sample."""
    unknown = [use for one in opened.census.located for use in one.uses if use.pattern is None]
    names = expose_ranks(opened.network, unknown)
    session = Session(opened.network.model, opened.network.folder, ran_by)
    results = session.run(dataset.first_feed(), names)
    # What the first sample does not reach shows as zeros; a real shape without elements cannot be told apart.
    return {
        use.position: results[name].size if results[name].size == 0 or results[name].all() else None
        for use, name in zip(unknown, names, strict=True)
    }


def _batching(opened: Opened, dataset: Dataset, way: Way, wanted: int | None) -> tuple[bool, int]:
    """Whether the rows of a run are its samples, and how many samples a run holds."""
    if dataset.one_by_one:
        return False, 1
    if dataset.fixed_batch is not None:
        # A batch of one needs no batch axis; of a larger fixed one sites without the axis are counted per run.
        return dataset.fixed_batch > 1 and way.together, dataset.fixed_batch
    uses = [use for one in opened.census.located for use in one.uses]
    if not way.together or not all(use.batch_alone for use in uses):
        return False, 1
    return True, wanted or _auto_batch(opened.census.located)


def _auto_batch(located: Sequence[Located]) -> int:
    """The largest power of two that keeps the largest rectifier's output within bounds."""
    largest = 1
    for use in (use for one in located for use in one.uses):
        pieces: list[Size] = [piece.size for axis in use.pattern or () for piece in axis if piece.role != "n"]
        known = [size for size in pieces if isinstance(size, int)]
        if len(known) < len(pieces):
            return UNKNOWN_BATCH
        largest = max(largest, math.prod(known) * 4)
    fitting = max(BATCH_BYTES // largest, 1)
    return min(1 << (fitting.bit_length() - 1), MOST_SAMPLES)
