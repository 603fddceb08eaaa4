"""The records that every room speaks: frozen, keyword-only, arrays over units, counts and never percentages.

Everything that can be computed from other fields is a property. Fractions are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

SCHEMA = "relu-audit/audit/1"
LISTING_SCHEMA = "relu-audit/sites/1"

Status = Literal["dead", "rare", "active", "always_on", "constant", "faulty", "unseen"]
Outcome = Literal["passed", "failed", "inconclusive", "not_set"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records."""


class Site(Record, frozen=True, kw_only=True):
    """One rectifier of the graph: where it is and which of its axes are the units.

    Attributes:
        tensor: Name of the rectifier's output value in the file. A rectifier whose weights serve several places is
            one site, named by its first place in graph order.
        tensors: Every value the site stands for, in graph order; ``tensor`` is the first.
        scope: Path of the subgraph or function the node sits in; empty for the main graph.
        op: How the rectifier is spelt, for example ``Relu`` or ``Clip(0, 6)``.
        layout: One term per axis of the value: ``n`` batch, ``u`` units, ``~`` positions, ``1`` size one;
            a bracket holds what is flattened into one axis, outermost first.
        unit_axis: The axis that holds the units (the first one, if they spread over several); None for a scalar.
        axis_from: Where the unit axis comes from, in words.
        assumed: True where the unit axis could not be derived and the documented fallback was used.
        weight: Name of the initializer whose output axis the units are; None where there is none.
        implicit: Why the value is rectified, where no activation of the file says so; None where one does.
    """

    tensor: str
    tensors: tuple[str, ...]
    scope: str
    op: str
    layout: str
    unit_axis: int | None
    axis_from: str
    assumed: bool
    weight: str | None
    implicit: str | None = None


class ListedSite(Site, frozen=True, kw_only=True):
    """A rectifier as it is listed without data.

    Attributes:
        units: Number of units; None where the file does not tell.
    """

    units: int | None


class SiteAudit(Site, frozen=True, kw_only=True):
    """A site, what was seen of its units, and what that makes of them.

    All arrays have one entry per unit. ``n`` below is ``samples``.

    Attributes:
        units: Number of units.
        samples: Samples that reached the site. For a site with ``per_run`` set: runs of the model.
        positions: Positions seen per unit, over all samples (pixels or tokens; 1 per sample for a plain vector).
        per_run: True where the batch axis does not survive to the site and the model's fixed batch size forbids
            feeding one sample at a time: a "sample" is then one run of the whole batch.
        fired_samples: Samples in which the unit was positive at one position or more.
        fired_positions: Positions at which the unit was positive; the complement of APoZ
            (Hu et al. 2016, arXiv:1607.03250, eq. 1) is ``fired_positions / positions``.
        first_fired: Index of the first sample in which the unit fired; None if it never did.
        mean: Mean output over all positions, to six significant digits; None where there is none to give.
        peak: Largest output; None if the unit was never reached or not finite.
        trough: Smallest output; None likewise.
        pre_peak: Largest pre-activation, that is, the rectifier's input; None if not observed or not finite.
        dead: Units whose output was never positive.
        rare: Units that fired in fewer samples than the policy's share of them.
        always_on: Units positive at every position of every sample.
        constant: Units with one and the same non-zero value everywhere.
        faulty: Units in which NaN or infinity was seen.
        unseen: Units that no sample reached.
    """

    units: int
    samples: int
    positions: int
    per_run: bool
    fired_samples: tuple[int, ...]
    fired_positions: tuple[int, ...]
    first_fired: tuple[int | None, ...]
    mean: tuple[float | None, ...]
    peak: tuple[float | None, ...]
    trough: tuple[float | None, ...]
    pre_peak: tuple[float | None, ...]
    dead: tuple[int, ...]
    rare: tuple[int, ...]
    always_on: tuple[int, ...]
    constant: tuple[int, ...]
    faulty: tuple[int, ...]
    unseen: tuple[int, ...]

    @property
    def observed_units(self) -> int:
        """Units that at least one sample reached."""
        return self.units - len(self.unseen)

    @property
    def active(self) -> int:
        """Number of units with nothing remarkable about them."""
        return self.units - sum(len(getattr(self, status)) for status in STATUSES if status != "active")

    @property
    def dead_fraction(self) -> float | None:
        """Dead share of the observed units, 0 to 1; None if none was observed."""
        return share(len(self.dead), self.observed_units)

    @property
    def firing_rate(self) -> float | None:
        """Share of (sample, unit) pairs in which the unit fired, 0 to 1."""
        return share(sum(self.fired_samples), self.samples * self.units)

    @property
    def position_rate(self) -> float | None:
        """Share of (position, unit) pairs at which the unit fired, 0 to 1."""
        return share(sum(self.fired_positions), self.positions * self.units)

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The status of each unit, in unit order."""
        named: dict[int, Status] = {}
        for status in STATUSES:
            if status != "active":
                named.update(dict.fromkeys(getattr(self, status), status))
        return tuple(named.get(unit, "active") for unit in range(self.units))


class Alive(Record, frozen=True, kw_only=True):
    """An activation that passes a gradient on both sides: listed, never called dead, never counted."""

    tensor: str
    scope: str
    op: str
    reason: str


class Skipped(Record, frozen=True, kw_only=True):
    """Something that rectifies, or may, and was not observed, with the reason."""

    tensor: str
    scope: str
    op: str
    slug: str
    detail: str


class Listing(Record, frozen=True, kw_only=True):
    """Everything in a model that rectifies, stays alive or could not be told, from the file alone.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that wrote it.
        model: The model's file name.
        notes: Remarks on how it was read.
        sites: The rectifiers that an audit would observe, in graph order.
        alive: Activations that pass a gradient on both sides.
        skipped: What rectifies, or may, and would not be observed.
    """

    schema: str = LISTING_SCHEMA
    tool: str
    model: str
    notes: tuple[str, ...]
    sites: tuple[ListedSite, ...]
    alive: tuple[Alive, ...]
    skipped: tuple[Skipped, ...]


class ExternalFile(Record, frozen=True, kw_only=True):
    """A file of weights beside the model, by its location as the model gives it."""

    location: str
    sha256: str


class ModelInfo(Record, frozen=True, kw_only=True):
    """What was audited.

    Attributes:
        name: File name without folder, or ``<memory>``.
        sha256: Of the .onnx file's bytes.
        external: The weight files the model names, each with its own hash.
        producer: Producer name and version as the file gives them.
        ir_version: Version of the ONNX file format.
        opsets: Operator-set version by domain; the default domain is ``ai.onnx``.
        parameters: Elements in all floating-point initializers, shared ones counted once.
    """

    name: str
    sha256: str
    external: tuple[ExternalFile, ...]
    producer: str
    ir_version: int
    opsets: dict[str, int]
    parameters: int


class InputInfo(Record, frozen=True, kw_only=True):
    """How one graph input was fed.

    Attributes:
        name: The graph input.
        key: The array it came from.
        dtype: The array's dtype.
        shape: The array's shape; of its first piece where the data comes in pieces.
        feeding: ``samples`` along the batch axis, ``rows`` (one whole feed each) or ``repeated``.
        cast: The dtype it was converted to; None if it was fed as it came.
    """

    name: str
    key: str
    dtype: str
    shape: tuple[int, ...]
    feeding: Literal["samples", "rows", "repeated"]
    cast: str | None


class DataInfo(Record, frozen=True, kw_only=True):
    """What the model was shown.

    Attributes:
        source: Name of the file or folder, entry point, or ``<memory>``.
        sha256: Of the arrays as streamed (names, dtypes, shapes and bytes of the samples used), so that the same
            samples give the same hash however they are stored.
        samples: Samples used.
        synthetic: True for generated data, which can never pass a gate.
        inputs: How each graph input was fed.
    """

    source: str
    sha256: str
    samples: int
    synthetic: bool
    inputs: tuple[InputInfo, ...]


class RuntimeInfo(Record, frozen=True, kw_only=True):
    """What ran the model.

    Attributes:
        onnxruntime: Version.
        provider: Execution provider.
        optimization: Graph optimisation level.
        batch_size: Samples per run, at most.
        in_float32: Element types of the model that were computed in float32, since the provider lacks kernels for them.
    """

    onnxruntime: str
    provider: str
    optimization: str
    batch_size: int
    in_float32: tuple[str, ...]


class Policy(Record, frozen=True, kw_only=True):
    """What is asked of an audit. Fractions are 0 to 1.

    Attributes:
        max_dead: Largest dead fraction of all units that passes; None sets no limit.
        max_dead_layer: The same for each site by itself.
        min_samples: Fewest samples on which a gate decides.
        rare_below: A unit that fires in a smaller share of samples than this, but not in none, is rare.
    """

    max_dead: float | None = None
    max_dead_layer: float | None = None
    min_samples: int = 256
    rare_below: float = 0.05

    @property
    def gated(self) -> bool:
        """Whether any limit is set."""
        return self.max_dead is not None or self.max_dead_layer is not None


class Breach(Record, frozen=True, kw_only=True):
    """A limit and the value that broke it, always together. ``tensor`` is None for a limit on the whole model."""

    rule: str
    tensor: str | None
    limit: float
    observed: float


class Gate(Record, frozen=True, kw_only=True):
    """The gate's word, why it is inconclusive if it is, and what was breached."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    breaches: tuple[Breach, ...] = ()


class Summary(Record, frozen=True, kw_only=True):
    """Totals over all sites; ``dead_fraction`` is of the observed units and None when there are none."""

    sites: int
    units: int
    samples: int
    dead: int
    dead_fraction: float | None
    rare: int
    active: int
    always_on: int
    constant: int
    faulty: int
    unseen: int
    alive_by_construction: int
    skipped: int


class Audit(Record, frozen=True, kw_only=True):
    """Everything one audit recorded. Reports, gates and comparisons read this and nothing else.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that wrote it.
        partial: True if the run was interrupted before the data ended.
        notes: Remarks on how the audit was done: casts, fallbacks, failed shape inference.
    """

    schema: str = SCHEMA
    tool: str
    model: ModelInfo
    data: DataInfo
    runtime: RuntimeInfo
    policy: Policy
    partial: bool
    notes: tuple[str, ...]
    sites: tuple[SiteAudit, ...]
    alive: tuple[Alive, ...]
    skipped: tuple[Skipped, ...]
    gate: Gate

    @property
    def units(self) -> int:
        """Units of all sites."""
        return sum(site.units for site in self.sites)

    @property
    def dead(self) -> int:
        """Dead units of all sites."""
        return sum(len(site.dead) for site in self.sites)

    @property
    def dead_fraction(self) -> float | None:
        """Dead share of all observed units, 0 to 1; None if none was observed."""
        return share(self.dead, sum(site.observed_units for site in self.sites))

    @property
    def summary(self) -> Summary:
        """The totals."""
        return Summary(
            sites=len(self.sites),
            units=self.units,
            samples=self.data.samples,
            dead=self.dead,
            dead_fraction=self.dead_fraction,
            rare=_total(site.rare for site in self.sites),
            active=sum(site.active for site in self.sites),
            always_on=_total(site.always_on for site in self.sites),
            constant=_total(site.constant for site in self.sites),
            faulty=_total(site.faulty for site in self.sites),
            unseen=_total(site.unseen for site in self.sites),
            alive_by_construction=len(self.alive),
            skipped=len(self.skipped),
        )


STATUSES: tuple[Status, ...] = ("dead", "rare", "active", "always_on", "constant", "faulty", "unseen")


def share(part: int, whole: int) -> float | None:
    """``part / whole``; None, not zero, when there is no whole."""
    return part / whole if whole else None


def _total(lists: Iterable[tuple[int, ...]]) -> int:
    return sum(map(len, lists))
