"""Why the dead units died, as reports tell it: counted, per layer, and unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relu_audit.judge.causes import TABLE, Cause
from relu_audit.records import Audit, SiteAudit
from relu_audit.report.numbers import count, measured
from relu_audit.report.sections import Layer

MOST_UNITS = 20_000
"""Dead units whose cause and margin are listed on the page, at most: every layer with dead units has an equal share."""


@dataclass(frozen=True)
class Counted:
    """A cause, and how many units have it."""

    cause: Cause
    units: int


@dataclass(frozen=True)
class Unit:
    """A dead unit; ``certain`` if nothing can fire it while its inputs stay within what was seen of them."""

    index: int
    margin: str
    certain: bool
    nearly: bool


@dataclass(frozen=True)
class Group:
    """The units of a layer that have one cause."""

    cause: Cause
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Row:
    """A layer with dead units.

    Attributes:
        counts: Units per cause, in the order of the section's ``counted``.
        certain: Units that nothing can fire while their inputs stay within what was seen of them.
        nearest: The dead unit with the smallest margin, and that; None if none is known.
        groups: Its units by cause, those that are listed.
        unlisted: Dead units beyond those.
    """

    layer: Layer
    counts: tuple[int, ...]
    certain: int
    nearest: tuple[int, float] | None
    groups: tuple[Group, ...]
    unlisted: int


@dataclass(frozen=True)
class Section:
    """Why they died.

    Attributes:
        counted: The causes that occur, in the order of their table.
        rows: The layers whose dead units were looked into.
    """

    counted: tuple[Counted, ...]
    rows: tuple[Row, ...]


def section(layers: Sequence[Layer]) -> Section:
    """The section of the page."""
    hit = [layer for layer in layers if layer.site.causes is not None]
    counted = tally(layer.site for layer in hit)
    share = MOST_UNITS // max(1, len(hit))
    present = [one.cause for one in counted]
    return Section(counted, tuple(_row(layer, present, share) for layer in hit))


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


def margins(site: SiteAudit) -> dict[int, float | None]:
    """The margin of every dead unit."""
    return {} if site.causes is None else dict(zip(site.dead, site.causes.margin, strict=True))


def _row(layer: Layer, present: Sequence[Cause], share: int) -> Row:
    causes, margin = layer.site.causes, margins(layer.site)
    known = [(unit, value) for unit, value in margin.items() if value is not None]
    listed = set(layer.site.dead[:share])
    certain, nearly = ({*(() if causes is None else getattr(causes, name))} for name in ("proven", "near_zero"))
    groups = [
        Group(cause, tuple(Unit(u, measured(margin[u]), u in certain, u in nearly) for u in units if u in listed))
        for cause in present
        if (units := getattr(causes, cause.name))
    ]
    return Row(
        layer=layer,
        counts=tuple(len(getattr(causes, cause.name)) for cause in present),
        certain=len(certain),
        nearest=min(known, key=lambda one: (one[1], one[0]), default=None),
        groups=tuple(group for group in groups if group.units),
        unlisted=len(layer.site.dead) - len(listed),
    )
