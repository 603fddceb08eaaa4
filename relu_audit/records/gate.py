"""What is asked of an audit, and the answer."""

from __future__ import annotations

from typing import Literal

from relu_audit.records.base import Record

Outcome = Literal["passed", "failed", "inconclusive", "not_set"]


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
