"""The whole of one audit."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from relu_audit.records.base import Record, share
from relu_audit.records.costs import Prospect
from relu_audit.records.gate import Baseline, Gate, Policy
from relu_audit.records.run import ConfigurationInfo, DataInfo, ModelInfo, RuntimeInfo
from relu_audit.records.sites import Alive, SiteAudit, Skipped

SCHEMA = "relu-audit/audit/1"


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
        baseline: The earlier audit that the gate holds this one against, if any.
        configuration: The file that settings were read from; absent if there was none.
        prospect: What exact pruning would give back; None if that was not asked for, or no unit is dead.
    """

    schema: str = SCHEMA
    tool: str
    model: ModelInfo
    data: DataInfo
    runtime: RuntimeInfo
    configuration: ConfigurationInfo | UnsetType = UNSET
    policy: Policy
    baseline: Baseline | None = None
    partial: bool
    notes: tuple[str, ...]
    sites: tuple[SiteAudit, ...]
    alive: tuple[Alive, ...]
    skipped: tuple[Skipped, ...]
    gate: Gate
    prospect: Prospect | None = None

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


def _total(lists: Iterable[tuple[int, ...]]) -> int:
    return sum(map(len, lists))
