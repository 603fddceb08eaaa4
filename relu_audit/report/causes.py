"""Why the dead units died, as reports tell it: counted, per layer, and unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from relu_audit.judge.causes import TABLE, Cause
from relu_audit.records import CAUSES, Audit, SiteAudit
from relu_audit.report.numbers import count
from relu_audit.report.sections import Layer

REASONS = 1 + 4 * len(CAUSES)
"""Numbers that :func:`reasons` gives out, with 0 for none."""

_TITLES = {row.name: row.title for row in TABLE}


@dataclass(frozen=True)
class Counted:
    """A cause, and how many units have it."""

    cause: Cause
    units: int

    @property
    def place(self) -> int:
        """Of the cause in ``CAUSES``."""
        return CAUSES.index(self.cause.name)


@dataclass(frozen=True)
class Row:
    """A layer with dead units.

    Attributes:
        counts: Units per cause, in the order of the section's ``counted``.
        certain: Units that nothing can fire while their inputs stay within what was seen of them.
        nearest: The dead unit with the smallest margin, and that; None if none is known.
    """

    layer: Layer
    counts: tuple[Counted, ...]
    certain: int
    nearest: tuple[int, float] | None


@dataclass(frozen=True)
class Section:
    """Why they died.

    Attributes:
        counted: The causes that occur, in the order of their table.
        certain: Units that nothing can fire while their inputs stay within what was seen of them.
        rows: The layers whose dead units were looked into.
    """

    counted: tuple[Counted, ...]
    certain: int
    rows: tuple[Row, ...]

    @property
    def obstacles(self) -> bool:
        """Whether units of some layer could not be looked into."""
        return any(row.layer.site.causes and row.layer.site.causes.obstacle for row in self.rows)


def section(layers: Sequence[Layer]) -> Section:
    """The section of the page."""
    hit = [layer for layer in layers if layer.site.causes is not None]
    counted = tally(layer.site for layer in hit)
    rows = tuple(_row(layer, [one.cause for one in counted]) for layer in hit)
    return Section(counted, sum(row.certain for row in rows), rows)


def tally(sites: Iterable[SiteAudit]) -> tuple[Counted, ...]:
    """How many dead units have which cause; causes that none has are left out."""
    total: Counter[str] = Counter()
    for site in sites:
        for row in TABLE:
            total[row.name] += len(getattr(site.causes, row.name)) if site.causes is not None else 0
    return tuple(Counted(row, total[row.name]) for row in TABLE if total[row.name])


def why(audit: Audit) -> str:
    """The causes in one line, the most frequent first; empty if there are none."""
    counted = sorted(tally(audit.sites), key=lambda one: -one.units)
    return ", ".join(f"{count(one.units)} {one.cause.brief}" for one in counted)


def leading(audit: Audit) -> Counted | None:
    """The most frequent cause, and of equally frequent ones the first; None if that one explains nothing."""
    first = max(tally(audit.sites), key=lambda one: one.units, default=None)
    return None if first is None or first.cause.name in ("unexplained", "not_examined") else first


def margins(site: SiteAudit) -> dict[int, float | None]:
    """The margin of every dead unit."""
    return {} if site.causes is None else dict(zip(site.dead, site.causes.margin, strict=True))


def reasons(site: SiteAudit) -> Mapping[int, int]:
    """Why each dead unit died, as a number.

    It is 1, plus 4 times the cause's place in ``CAUSES``, plus 2 if it is certain to stay silent, plus 1 if what counts
    as zero is not exactly that.
    """
    if site.causes is None:
        return {}
    certain, nearly = {*site.causes.proven}, {*site.causes.near_zero}
    return {
        unit: 1 + 4 * place + 2 * (unit in certain) + (unit in nearly)
        for place, name in enumerate(CAUSES)
        for unit in getattr(site.causes, name)
    }


def titles() -> tuple[str, ...]:
    """What the causes are called, in the order of ``CAUSES``."""
    return tuple(_TITLES[name] for name in CAUSES)


def in_words(reason: int) -> str:
    """A number of :func:`reasons` as the table of units has it; a dash for 0."""
    if not reason:
        return "–"
    place, more = divmod(reason - 1, 4)
    return titles()[place] + (", not exactly zero" if more & 1 else "") + (", certain" if more & 2 else "")


def _row(layer: Layer, present: Sequence[Cause]) -> Row:
    found = layer.site.causes
    known = [(unit, value) for unit, value in margins(layer.site).items() if value is not None]
    return Row(
        layer=layer,
        counts=tuple(Counted(cause, len(getattr(found, cause.name))) for cause in present),
        certain=0 if found is None else len(found.proven),
        nearest=min(known, key=lambda one: (one[1], one[0]), default=None),
    )
