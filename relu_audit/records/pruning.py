"""The records of a pruning: what goes, what stays and why, what that saves, and how it was checked."""

from __future__ import annotations

import statistics

from msgspec import UNSET, UnsetType

from relu_audit.records import ConfigurationInfo, Cost, DataInfo, Record, RuntimeInfo


class RemovedUnit(Record, frozen=True, kw_only=True):
    """A unit of an audited rectifier that is gone; ``why`` is ``dead``, ``constant``, ``unread`` or ``merged``."""

    tensor: str
    unit: int
    why: str


class KeptUnit(Record, frozen=True, kw_only=True):
    """A unit that is ``dead`` or ``constant`` and stays, with the reason: a slug, and what stands in the way.

    ``relied`` units are part of the premise all the same, as those that carry the constants of others are.
    """

    tensor: str
    unit: int
    why: str
    slug: str
    detail: str
    relied: bool = False


class Cut(Record, frozen=True, kw_only=True):
    """Indices that leave an initializer of the original file along one axis, which had ``size`` of them."""

    initializer: str
    axis: int
    indices: tuple[int, ...]
    size: int


class Part(Record, frozen=True, kw_only=True):
    """One of several that became of an initializer which served several places, each cut otherwise.

    Attributes:
        name: Its name in the result.
        initializer: What it was in the original.
        axis: Along which it is cut.
        indices: What leaves it; nothing, where another one was cut.
        size: How many there were.
    """

    name: str
    initializer: str
    axis: int
    indices: tuple[int, ...]
    size: int


class Fold(Record, frozen=True, kw_only=True):
    """An initializer whose numbers are new: they take up constants, or its groups lose other entries than the first."""

    initializer: str
    note: str


class Plan(Record, frozen=True, kw_only=True):
    """What pruning does to a model.

    Attributes:
        removed: Units of audited rectifiers that go.
        kept: Dead and constant units that stay.
        cuts: What leaves which initializer of the main graph; those in bodies are cut as well, and not listed.
        parts: What became of initializers that served several places, beside what has kept their name.
        dropped: Initializers that go altogether.
        folds: Initializers whose numbers are new, as they take up constants or lose other entries in every group.
        align: Lengths that were multiples of this still are.
        before: Cost of the original.
        after: Cost of the result.
        spared: Sites that were left alone because that was asked for.
        fixed: Initializers that a caller could feed other numbers for, and no longer can, as they changed or are gone.
        notes: Remarks: what could not be found out, and what the plan lacks for it.
    """

    removed: tuple[RemovedUnit, ...]
    kept: tuple[KeptUnit, ...]
    cuts: tuple[Cut, ...]
    dropped: tuple[str, ...]
    folds: tuple[Fold, ...]
    align: int
    before: Cost
    after: Cost
    spared: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    fixed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


OWN_TIMES = 4
"""A difference with optimisation on may be this many times a model's own difference between on and off."""

MOST_OF_RESULT = 1e-3
"""And no more than this where it is the result's own: what a model says of itself is no measure without an end."""


class Comparison(Record, frozen=True, kw_only=True):
    """Original and result on the same inputs.

    Attributes:
        inputs: What was fed: ``calibration``, ``alone`` (some of its samples by themselves), ``together``
            (some of them in one run, where they are run alone otherwise), ``random``, ``held`` or
            ``woken``.
        optimized: Whether onnxruntime's graph optimisation was on.
        runs: Runs compared, of a batch each.
        refused: Made-up inputs that were left out, as the original does not run on them.
        max_abs_difference: Largest difference of any output.
        scale: Largest absolute output of the original.
        relative: Worst ratio of the two over all outputs.
        own: How far the original is from itself with optimisation off, on the run of that ratio and as a ratio too.
            Asked only where the limit is exceeded with optimisation on and both agree with it off; otherwise 0. Of a
            model that draws random numbers: how far it is from itself with others.
        own_result: The same of the result.
    """

    inputs: str
    optimized: bool
    runs: int
    refused: int = 0
    max_abs_difference: float
    scale: float
    relative: float
    own: float = 0.0
    own_result: float = 0.0

    def allowed(self, limit: float) -> float:
        """The largest ratio that passes here, where the models' own rounding may exceed the limit."""
        return max(limit, OWN_TIMES * self.own, min(OWN_TIMES * self.own_result, MOST_OF_RESULT))

    def within(self, limit: float) -> bool:
        """Whether it passes."""
        return self.relative <= self.allowed(limit)


class Verification(Record, frozen=True, kw_only=True):
    """All comparisons, against the limit.

    Attributes:
        max_abs_difference: The largest of any.
        scale: Largest absolute output where the ratio was worst.
        relative: That ratio.
        limit: The largest that passes, except where a model's own rounding is larger; see the comparisons.
        passed: Whether all of them do.
        comparisons: Each by itself.
        refused: The most made-up inputs that one comparison left out, as the original does not run on them.
    """

    max_abs_difference: float
    scale: float
    relative: float
    limit: float
    passed: bool
    comparisons: tuple[Comparison, ...]
    refused: int = 0


class Latency(Record, frozen=True, kw_only=True):
    """The time of one run, in milliseconds, each model in processes of its own that take turns.

    Attributes:
        before: Median within each process of the original.
        after: The same of the result.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def before_ms(self) -> float:
        """Median over the original's processes."""
        return statistics.median(self.before)

    @property
    def after_ms(self) -> float:
        """Median over the result's processes."""
        return statistics.median(self.after)

    @property
    def clear(self) -> bool:
        """Whether every process of one model was quicker than all of the other."""
        return max(self.after) < min(self.before) or max(self.before) < min(self.after)


class Files(Record, frozen=True, kw_only=True):
    """Bytes on disk of original and result, weights beside them included."""

    before: int
    after: int


class PruningRecord(Record, frozen=True, kw_only=True):
    """Everything there is to say of one pruning, as its JSON report holds it.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that wrote it.
        model: File name of the original.
        sha256: Of the original's bytes.
        data: What the audit was shown.
        runtime: What ran the audit.
        configuration: The file that settings of the pruning were read from; absent if there was none.
        premise: What has to hold of the data for the result to compute the same.
        plan: What was cut, what was kept and why.
        verification: How it was checked; None for a dry run.
        files: What it weighs on disk; None for a dry run.
        latency: What it gained; None where it was not measured.
    """

    schema: str = "relu-audit/pruning/1"
    tool: str
    model: str
    sha256: str
    data: DataInfo
    runtime: RuntimeInfo
    configuration: ConfigurationInfo | UnsetType = UNSET
    premise: str
    plan: Plan
    verification: Verification | None
    files: Files | None
    latency: Latency | None
