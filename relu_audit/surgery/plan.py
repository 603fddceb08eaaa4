"""The records of a pruning: what goes, what stays and why, what that saves, and how it was checked."""

from __future__ import annotations

from relu_audit.records import Record


class RemovedUnit(Record, frozen=True, kw_only=True):
    """A unit of an audited rectifier that was cut out; ``why`` is ``dead``, ``constant`` or ``unread``."""

    tensor: str
    unit: int
    why: str


class KeptUnit(Record, frozen=True, kw_only=True):
    """A silent unit that stays, with the reason: a slug, and what stands in the way."""

    tensor: str
    unit: int
    slug: str
    detail: str


class Cut(Record, frozen=True, kw_only=True):
    """Indices that leave an initializer of the original file along one axis, which had ``size`` of them."""

    initializer: str
    axis: int
    indices: tuple[int, ...]
    size: int


class Fold(Record, frozen=True, kw_only=True):
    """An initializer whose numbers take up what removed constants added."""

    initializer: str
    note: str


class Cost(Record, frozen=True, kw_only=True):
    """What a model costs.

    Attributes:
        parameters: Elements in all floating-point initializers.
        multiply_adds: Multiplications of weights in one sample's run; None where sizes are not known.
        bytes: Size of all initializers.
    """

    parameters: int
    multiply_adds: int | None
    bytes: int


class Plan(Record, frozen=True, kw_only=True):
    """What pruning does to a model.

    Attributes:
        removed: Units of audited rectifiers that go.
        kept: Dead and constant units that stay.
        cuts: What leaves which initializer.
        dropped: Initializers that go altogether.
        folds: Initializers that take up constants.
        align: Lengths that were multiples of this still are.
        before: Cost of the original.
        after: Cost of the result.
    """

    removed: tuple[RemovedUnit, ...]
    kept: tuple[KeptUnit, ...]
    cuts: tuple[Cut, ...]
    dropped: tuple[str, ...]
    folds: tuple[Fold, ...]
    align: int
    before: Cost
    after: Cost


class Comparison(Record, frozen=True, kw_only=True):
    """Original and result on the same inputs.

    Attributes:
        inputs: What was fed: ``calibration``, ``random`` or ``held``.
        optimized: Whether onnxruntime's graph optimisation was on.
        samples: Runs compared.
        max_abs_difference: Largest difference of any output.
        scale: Largest absolute output of the original.
        relative: Worst ratio of the two over all outputs.
    """

    inputs: str
    optimized: bool
    samples: int
    max_abs_difference: float
    scale: float
    relative: float


class Verification(Record, frozen=True, kw_only=True):
    """The worst of all comparisons, against the limit."""

    max_abs_difference: float
    scale: float
    relative: float
    limit: float
    passed: bool
    comparisons: tuple[Comparison, ...]


class Latency(Record, frozen=True, kw_only=True):
    """Median time of one run, in milliseconds, each model in processes of its own that take turns."""

    before_ms: float
    after_ms: float


class PruningRecord(Record, frozen=True, kw_only=True):
    """Everything there is to say of one pruning, as its JSON report holds it.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that wrote it.
        model: File name of the original.
        sha256: Of the original's bytes.
        premise: What has to hold of the data for the result to compute the same.
        plan: What was cut, what was kept and why.
        verification: How it was checked; None for a dry run.
        latency: What it gained; None where it was not measured.
    """

    schema: str = "relu-audit/pruning/1"
    tool: str
    model: str
    sha256: str
    premise: str
    plan: Plan
    verification: Verification | None
    latency: Latency | None
