"""Rectifiers: as the graph has them, as they were observed, and as they are listed without data."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from relu_audit.records.base import Record, share
from relu_audit.records.causes import Causes
from relu_audit.records.costs import Tied
from relu_audit.records.run import Known

LISTING_SCHEMA = "relu-audit/sites/1"


Status = Literal["dead", "rare", "active", "always_on", "constant", "faulty", "unseen"]


STATUSES: tuple[Status, ...] = ("dead", "rare", "active", "always_on", "constant", "faulty", "unseen")


class Place(Record, frozen=True, kw_only=True):
    """A value of the graph: the path of the subgraph or function it sits in, empty for the main graph, and its name."""

    scope: str
    tensor: str

    @property
    def name(self) -> str:
        """The tensor behind the path of its scope, as every report shows it and as patterns match it."""
        return "/".join(filter(None, (self.scope, self.tensor)))


class Site(Place, frozen=True, kw_only=True):
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
        counted_as: ``negated`` where what is counted is the opposite of the output, as behind ``Min(x, 0)``, whose
            units fire below zero; ``magnitude`` where it is the output's distance from zero, as behind HardSwish,
            whose units fire on both sides of it. Left out where the output is counted as it is.
        not_rectified: Units that the operator does not hold at zero: those of a PReLU whose slope is not zero, say.
            They are counted, and never dead or rare. Left out where there are none.
    """

    tensors: tuple[str, ...]
    op: str
    layout: str
    unit_axis: int | None
    axis_from: str
    assumed: bool
    weight: str | None
    implicit: str | None = None
    counted_as: Literal["negated", "magnitude"] | UnsetType = UNSET
    not_rectified: tuple[int, ...] | UnsetType = UNSET

    @property
    def exempt(self) -> tuple[int, ...]:
        """Units that are not rectified."""
        return self.not_rectified or ()


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
        distinct: How many of them, at most, differ from each other in an input that reaches a rectifier; None in files
            of earlier versions.
        positions: Positions seen per unit, over all samples (pixels or tokens; 1 per sample for a plain vector).
        per_run: True where the batch axis does not survive to the site and the model's fixed batch size forbids
            feeding one sample at a time: a "sample" is then one run of the whole batch.
        fired_samples: Samples in which the unit was positive at one position or more.
        fired_positions: Positions at which the unit was positive; the complement of APoZ
            (Hu et al. 2016, arXiv:1607.03250, eq. 1) is ``fired_positions / positions``.
        first_fired: Index of the first sample in which the unit fired; None if it never did.
        mean: Mean output over all positions, to six significant digits; None where there is none to give. Like
            ``peak`` and ``trough``, it is of the output as it is counted (``counted_as``).
        peak: Largest output; None if the unit was never reached or not finite.
        trough: Smallest output; None likewise.
        pre_peak: Largest pre-activation, that is, the rectifier's input; of its opposite, where units fire below a
            number; None if not observed or not finite.
        dead: Units whose output was never positive, except those that are not rectified.
        rare: Units that fired in fewer samples than the policy's share of them.
        always_on: Units positive at every position of every sample.
        constant: Units with one and the same non-zero value everywhere.
        faulty: Units in which NaN or infinity was seen.
        unseen: Units that no sample reached.
        weight_sha256: Hash of the element type, shape and bytes of ``weight`` as it was run. None where there is no
            weight, where all its elements are equal, and in audits of earlier versions.
        weight_signs: Hash of the shape and of the signs of the first 65,536 elements, which are the same where an
            exporter rounded the weight otherwise. None also where fewer than 16 elements have one of the signs. By
            both hashes an audit of another export knows a layer that has another name there.
        causes: Why the dead ones are; None if there are none.
        tied: What is tied up in the dead ones; None if there are none.
    """

    units: int
    samples: int
    distinct: int | None = None
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
    weight_sha256: str | None = None
    weight_signs: str | None = None
    causes: Causes | None = None
    tied: Tied | None = None

    @property
    def evidence(self) -> int:
        """Samples that the silence of a unit rests on: copies of a sample say nothing new."""
        return self.samples if self.distinct is None else min(self.samples, self.distinct)

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


class Skipped(Place, frozen=True, kw_only=True):
    """Something that rectifies, or may, and was not observed, with the reason."""

    op: str
    slug: str
    detail: str


class ListedInput(Record, frozen=True, kw_only=True):
    """An input of a model.

    Attributes:
        name: The graph input.
        shape: Its axis sizes: a number, a symbol, or None for an open one; None without a rank.
        axis: The axis that holds samples; None where the whole array belongs to every sample.
    """

    name: str
    shape: tuple[int | str | None, ...] | None
    axis: int | None


class Listing(Record, frozen=True, kw_only=True):
    """Everything in a model that rectifies, stays alive or could not be told, from the file alone.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that wrote it.
        model: The model's file name.
        notes: Remarks on how it was read.
        inputs: The inputs to feed, and which axis of each holds samples.
        known: How that is known, as in an audit's data; ``feeds`` where the rows of a run change each other.
        detail: What stands against a proof, with the node.
        sites: The rectifiers that an audit would observe, in graph order.
        alive: Activations that pass a gradient on both sides.
        skipped: What rectifies, or may, and would not be observed.
    """

    schema: str = LISTING_SCHEMA
    tool: str
    model: str
    notes: tuple[str, ...]
    inputs: tuple[ListedInput, ...] = ()
    known: Known = "proved"
    detail: str = ""
    sites: tuple[ListedSite, ...]
    alive: tuple[Alive, ...]
    skipped: tuple[Skipped, ...]
