"""What is asked of an audit, and the answer."""

from __future__ import annotations

import datetime
from typing import Literal

from relu_audit.records.base import Record
from relu_audit.records.matching import Renamed
from relu_audit.records.sites import Place

Outcome = Literal["passed", "failed", "inconclusive", "not_set"]

GATE_RULES = 2
"""Version of the rules that a gate judges by. An audit that was judged by others is judged anew when it is loaded."""


class LayerLimit(Record, frozen=True, kw_only=True):
    """A limit of its own for the layers whose name matches a pattern; ``max_dead_layer`` is 0 to 1."""

    pattern: str
    max_dead_layer: float


class Waiver(Record, frozen=True, kw_only=True):
    """Layers that are not to be judged, and why.

    Attributes:
        pattern: Of the names of the layers.
        reason: Why they need not keep the limits.
        until: The last day on which that holds; None if it holds for good.
    """

    pattern: str
    reason: str
    until: datetime.date | None = None


class Policy(Record, frozen=True, kw_only=True):
    """What is asked of an audit. Fractions are 0 to 1.

    Attributes:
        max_dead: Largest dead share of all units that passes; None sets no limit.
        max_dead_layer: The same for each layer by itself.
        max_rare: Largest share of rare units that passes.
        allow_faulty: Most units with NaN or infinity that pass; None is none, once any limit is set.
        require_observed: Whether a rectifier that was not observed fails, and a unit that no sample reached.
        layers: Limits of their own for some layers; of those that match one, the last one counts.
        waivers: Layers that are not judged.
        min_samples: Fewest samples on which a gate decides.
        rare_below: A unit that fires in a smaller share of samples than this, but not in none, is rare.
        bands: A layer with a smaller share of its units alive than one of these stands out in reports, the more the
            smaller; descending.
    """

    max_dead: float | None = None
    max_dead_layer: float | None = None
    max_rare: float | None = None
    allow_faulty: int | None = None
    require_observed: bool = False
    layers: tuple[LayerLimit, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    min_samples: int = 256
    rare_below: float = 0.05
    bands: tuple[float, ...] = (0.5, 0.3, 0.2)

    @property
    def gated(self) -> bool:
        """Whether any limit is set."""
        limits = (self.max_dead, self.max_dead_layer, self.max_rare, self.allow_faulty)
        return any(one is not None for one in limits) or self.require_observed or bool(self.layers)


class BaselineSite(Place, frozen=True, kw_only=True):
    """What a baseline knows of a layer: its shape, the samples it rests on and the units that were not well.

    ``weight`` and its hashes are those of the layer's audit, by which the layer is known under another name.
    """

    op: str
    units: int
    samples: int
    weight: str | None = None
    weight_sha256: str | None = None
    weight_signs: str | None = None
    dead: tuple[int, ...] = ()
    rare: tuple[int, ...] = ()
    faulty: tuple[int, ...] = ()
    unseen: tuple[int, ...] = ()


class Baseline(Record, frozen=True, kw_only=True):
    """An earlier audit, as far as a gate needs it.

    Attributes:
        source: Name of its file, or ``<memory>``.
        model: Name of the model's file.
        model_sha256: Hash of the model's file.
        data: Name of what that one was shown; empty if it is not known.
        data_sha256: Hash of the samples.
        samples: Samples used.
        sites: Its layers, in graph order, judged with this audit's policy.
        skipped: What was not observed in it.
    """

    source: str
    model: str
    model_sha256: str
    data: str = ""
    data_sha256: str
    samples: int
    sites: tuple[BaselineSite, ...]
    skipped: tuple[Place, ...]


class Breach(Record, frozen=True, kw_only=True):
    """A limit and the count that broke it, always together.

    Attributes:
        rule: Name of the gate's rule.
        scope: Path of the subgraph of the layer; empty for the main graph.
        tensor: The layer; None for a limit on the whole model.
        limit: The limit: a share of 0 to 1, or a number of units.
        units: The units that count against it.
        of: The units they are a share of; None where the limit is a number of units.
        new: How many of them are worse than in the baseline; None without one.
    """

    rule: str
    scope: str = ""
    tensor: str | None
    limit: float
    units: int
    of: int | None
    new: int | None = None

    @property
    def observed(self) -> float:
        """What the limit is held against: a share of 0 to 1, or a number of units."""
        return self.units if self.of is None else self.units / self.of


class Waived(Record, frozen=True, kw_only=True):
    """A waiver, the layers it takes out of the gate, and the limits that each of them breaks."""

    waiver: Waiver
    layers: tuple[Place, ...]
    breaches: tuple[Breach, ...]


class Against(Record, frozen=True, kw_only=True):
    """How an audit and its baseline go together.

    Attributes:
        new_dead: Dead units that were not dead in the baseline, in the layers that are judged.
        known_dead: Dead units that were dead there.
        untold_dead: Dead units of which the baseline does not tell: no sample reached the unit there, or no layer of it
            is known to be the unit's layer.
        renamed: Layers that were matched to a layer of another name.
        unmatched: Layers that no layer of the baseline is known to be.
        gone: Layers of the baseline that no layer of this model is known to be.
    """

    new_dead: int
    known_dead: int
    untold_dead: int = 0
    renamed: tuple[Renamed, ...] = ()
    unmatched: tuple[Place, ...]
    gone: tuple[Place, ...]


class Gate(Record, frozen=True, kw_only=True):
    """The gate's word and what led to it.

    Attributes:
        outcome: The word.
        reasons: Why it is inconclusive, if it is.
        breaches: The limits that were broken.
        undecided: Rules whose limit is kept or broken by layers in doubt: the axis of their units is assumed, or the
            baseline does not tell of them.
        waived: What each waiver left out.
        against: What the baseline has to do with it; None without one.
        remarks: What to know of how it was judged.
        rules: Version of the rules that it was judged by.
    """

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    breaches: tuple[Breach, ...] = ()
    undecided: tuple[str, ...] = ()
    waived: tuple[Waived, ...] = ()
    against: Against | None = None
    remarks: tuple[str, ...] = ()
    rules: int = GATE_RULES
