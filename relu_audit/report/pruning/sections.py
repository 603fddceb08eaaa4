"""What the sections of a pruning's page say, computed here so that the templates only place it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from relu_audit.records import Audit
from relu_audit.records.pruning import Cut, KeptUnit, Latency, Part, Plan, PruningRecord
from relu_audit.report.numbers import change, listed
from relu_audit.report.pruning.refusals import EXPLAINED, UNKNOWN, Explanation
from relu_audit.report.sections import SHOWN_RUNS, Kind, Segment, bar

MOST_RUNS = 20_000
"""Unit numbers and indices are listed as runs of neighbours; the rows of a section share so many of them equally."""

MOST_ROWS = 2000
"""A section has at most so many rows, shared equally by the reasons; it says how much that leaves out."""

OPEN_ROWS = 12
"""A reason with more rows than this is folded."""

Outcome = Literal["passed", "failed", "not_set"]


@dataclass(frozen=True)
class Outcomes:
    """Units by what became of them.

    Attributes:
        dead: Dead ones that went.
        constant: Constant ones that went.
        unread: Ones that went because nothing that stays reads them.
        kept_dead: Dead ones that stay.
        kept_constant: Constant ones that stay.
    """

    dead: int
    constant: int
    unread: int
    kept_dead: int
    kept_constant: int

    @property
    def removed(self) -> int:
        """All that went."""
        return self.dead + self.constant + self.unread

    @property
    def others(self) -> int:
        """All that went and were not dead."""
        return self.constant + self.unread

    @property
    def kept(self) -> int:
        """All that could have gone and stay."""
        return self.kept_dead + self.kept_constant


@dataclass(frozen=True)
class Verdict:
    """The first thing to read.

    Attributes:
        word: In a word.
        outcome: Its colour and sign, as a gate's.
        changed: Whether the model is another one at all.
        units: Units by what became of them.
        all_units: Units of all audited layers.
        bar: What became of all of them, as parts of one bar.
    """

    word: str
    outcome: Outcome
    changed: bool
    units: Outcomes
    all_units: int
    bar: tuple[Segment, ...]


def verdict(record: PruningRecord, audit: Audit) -> Verdict:
    """The first section."""
    plan, check = record.plan, record.verification
    why, stays = Counter(one.why for one in plan.removed), Counter(one.why for one in plan.kept)
    units = Outcomes(
        dead=why["dead"],
        constant=why["constant"],
        unread=len(plan.removed) - why["dead"] - why["constant"],
        kept_dead=stays["dead"],
        kept_constant=stays["constant"],
    )
    changed = bool(plan.removed or plan.cuts or plan.dropped or plan.folds)
    total = sum(site.units for site in audit.sites)
    word, outcome = _word(None if check is None else check.passed, changed)
    return Verdict(word, outcome, changed, units, total, _bar(total, units.kept, units.removed))


def _word(passed: bool | None, changed: bool) -> tuple[str, Outcome]:
    if passed is None:
        return "Dry run", "not_set"
    if not passed:
        return "Not the same", "failed"
    return ("Verified", "passed") if changed else ("Nothing to cut", "not_set")


def _bar(units: int, kept: int, removed: int) -> tuple[Segment, ...]:
    counts: dict[Kind, int] = {"active": max(units - kept - removed, 0), "rare": kept, "dead": removed}
    return bar(counts)


@dataclass(frozen=True)
class Change:
    """Something that costs, before and after.

    Attributes:
        name: What it is.
        before: Of the original; None where that is not known.
        after: Of the result.
        words: How much less it is; for a time, how many times as fast.
        widths: Of two bars; None where a number is missing.
        measured: Whether it is a time.
    """

    name: str
    before: float | None
    after: float | None
    words: str
    widths: tuple[str, str] | None
    measured: bool


def changes(record: PruningRecord) -> tuple[Change, ...]:
    """What the model cost and costs."""
    before, after, latency = record.plan.before, record.plan.after, record.latency
    weighed = () if record.files is None else (_change("Bytes on disk", record.files.before, record.files.after),)
    return (
        _change("Parameters", before.parameters, after.parameters),
        _change("Multiply-adds", before.multiply_adds, after.multiply_adds),
        _change("Bytes of weights", before.bytes, after.bytes),
        *weighed,
        _time(latency),
    )


def _time(latency: Latency | None) -> Change:
    name = "Milliseconds a run"
    if latency is None:
        return replace(_change(name, None, None), measured=True)
    before, after = latency.before_ms, latency.after_ms
    words = f"{before / after:.2f} times as fast" if latency.clear else "no clear difference"
    return replace(_change(name, before, after), words=words, measured=True)


def _change(name: str, before: float | None, after: float | None) -> Change:
    if before is None or after is None:
        return Change(name, before, after, "–", None, measured=False)
    most = max(before, after) or 1
    widths = (f"{100 * before / most:.3f}%", f"{100 * after / most:.3f}%")
    return Change(name, before, after, change(before, after), widths, measured=False)


@dataclass(frozen=True)
class Layer:
    """An audited layer of which something went or could have gone.

    Attributes:
        depth: Its place among all audited layers, from 1.
        name: The tensor, after the path of the subgraph it sits in.
        units: Its units before.
        dead: How many of them the audit found dead.
        removed: How many went.
        kept: How many could have gone and stay.
        reasons: Why those stay, the most frequent reason first.
        bar: What became of its units.
        runs: The numbers of the removed units, runs of neighbours joined.
        unlisted: Removed units beyond those.
    """

    depth: int
    name: str
    units: int
    dead: int
    removed: int
    kept: int
    reasons: tuple[tuple[str, int], ...]
    bar: tuple[Segment, ...]
    runs: tuple[str, ...]
    unlisted: int

    @property
    def folded(self) -> bool:
        """Whether the list of removed units is too long to stand open in a table."""
        return len(self.runs) > SHOWN_RUNS


def layers(plan: Plan, audit: Audit) -> tuple[Layer, ...]:
    """The layers that a pruning is about, in graph order."""
    removed: dict[str, list[int]] = {}
    for one in plan.removed:
        removed.setdefault(one.tensor, []).append(one.unit)
    kept: dict[str, Counter[str]] = {}
    for unit in plan.kept:
        kept.setdefault(unit.tensor, Counter())[unit.slug] += 1
    most = MOST_RUNS // max(1, len(removed))
    found: list[Layer] = []
    for depth, site in enumerate(audit.sites, 1):
        gone, stay = sorted(removed.get(site.tensor, ())), kept.get(site.tensor, Counter[str]())
        if gone or stay:
            runs, unlisted = listed(gone, most)
            found.append(
                Layer(
                    depth=depth,
                    name="/".join(filter(None, (site.scope, site.tensor))),
                    units=site.units,
                    dead=len(site.dead),
                    removed=len(gone),
                    kept=stay.total(),
                    reasons=tuple(stay.most_common()),
                    bar=_bar(site.units, stay.total(), len(gone)),
                    runs=runs,
                    unlisted=unlisted,
                )
            )
    return tuple(found)


@dataclass(frozen=True)
class Held:
    """Units of one layer that one thing keeps; ``depth`` is the layer's row, None for a layer that has none."""

    tensor: str
    name: str
    depth: int | None
    units: int
    runs: tuple[str, ...]
    unlisted: int
    detail: str


@dataclass(frozen=True)
class Refusal:
    """All units that are kept for one reason.

    Attributes:
        slug: The reason.
        units: How many.
        width: Of a bar, relative to the most frequent reason.
        explanation: What it means, and what could be done.
        rows: By layer and detail, the first ones.
        more_rows: Rows beyond those.
        more_units: Units in them.
    """

    slug: str
    units: int
    width: str
    explanation: Explanation
    rows: tuple[Held, ...]
    more_rows: int
    more_units: int

    @property
    def folded(self) -> bool:
        """Whether it has too many rows to stand open."""
        return len(self.rows) > OPEN_ROWS


def refusals(plan: Plan, layers: Sequence[Layer], audit: Audit) -> tuple[Refusal, ...]:
    """Every reason with the units it keeps, the most frequent reason first."""
    by_slug: dict[str, list[KeptUnit]] = {}
    for one in plan.kept:
        by_slug.setdefault(one.slug, []).append(one)
    order = sorted(by_slug.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = {layer.depth: layer for layer in layers}
    known = {site.tensor: shown[depth] for depth, site in enumerate(audit.sites, 1) if depth in shown}
    return tuple(_refusal(slug, units, len(order[0][1]), known, len(order)) for slug, units in order)


def _refusal(slug: str, units: Sequence[KeptUnit], most: int, known: Mapping[str, Layer], slugs: int) -> Refusal:
    groups: dict[tuple[str, str], list[int]] = {}
    for one in units:
        groups.setdefault((one.tensor, one.detail), []).append(one.unit)
    rows = list(groups.items())
    placed = rows[: max(1, MOST_ROWS // slugs)]
    return Refusal(
        slug=slug,
        units=len(units),
        width=f"{100 * len(units) / most:.3f}%",
        explanation=EXPLAINED.get(slug, UNKNOWN),
        rows=tuple(_held(placed, known, MOST_RUNS // slugs)),
        more_rows=len(rows) - len(placed),
        more_units=len(units) - sum(len(numbers) for _, numbers in placed),
    )


def _held(rows: Sequence[tuple[tuple[str, str], list[int]]], known: Mapping[str, Layer], most: int) -> Iterator[Held]:
    for (tensor, detail), numbers in rows:
        runs, unlisted = listed(sorted(numbers), max(1, most // len(rows)))
        layer = known.get(tensor)
        name, depth = (tensor, None) if layer is None else (layer.name, layer.depth)
        yield Held(tensor, name, depth, len(numbers), runs, unlisted, detail)


@dataclass(frozen=True)
class CutRow:
    """A cut, or a part with what leaves it, with its indices as runs of neighbours."""

    cut: Cut | Part
    runs: tuple[str, ...]
    unlisted: int

    @property
    def folded(self) -> bool:
        """Whether the list of indices is too long to stand open in a table."""
        return len(self.runs) > SHOWN_RUNS


def cut_rows(cuts: Sequence[Cut | Part]) -> tuple[CutRow, ...]:
    """What leaves which initializer, in the plan's order."""
    most = max(1, MOST_RUNS // max(1, len(cuts)))
    return tuple(CutRow(one, *listed(sorted(one.indices), most)) for one in cuts)
