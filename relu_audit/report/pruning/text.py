"""What a pruning did, for a terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import UNSET
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relu_audit.errors import one_line
from relu_audit.records import Audit
from relu_audit.records.pruning import KeptUnit, Plan, PruningRecord, Verification
from relu_audit.report.json import indented
from relu_audit.report.names import settings_line, short
from relu_audit.report.numbers import change, count, plural

FIXED_SHOWN = 3
"""Names of weights that can no longer be fed, at most; the JSON and the page have all."""


def write(record: PruningRecord) -> str:
    """The record as indented JSON with sorted keys."""
    return indented(record)


def render(record: PruningRecord, audit: Audit, *, settings: bool = False) -> RenderableType:
    """The record as something a rich console can print: what goes by layer, what that saves, how it was checked.

    Args:
        record: The record.
        audit: The audit that it was pruned by.
        settings: Whether to name the configuration file.
    """
    plan = record.plan
    parts: list[RenderableType] = [_heading(record)]
    if plan.removed or plan.kept:
        parts.append(_layers(plan, audit))
    parts += [Text(line) for line in _refusals(plan.kept)]
    if plan.cuts:
        parts.append(_costs(record))
    parts += [Text(line) for line in _no_longer_fed(plan)]
    parts += [Text(line) for line in _checks(record.verification)]
    parts.append(Text(f"Premise: {record.premise}."))
    if settings and record.configuration is not UNSET:
        parts.append(Text(settings_line(record.configuration)))
    parts += [Text(f"note: {one_line(note)}", style="yellow") for note in plan.notes]
    if record.data.synthetic:
        parts.append(Text("note: that data is made up; on real inputs the cut units may not be silent", style="yellow"))
    return Group(*parts)


def _heading(record: PruningRecord) -> Text:
    plan = record.plan
    done = "removed" if record.verification is not None else "can be removed"
    stay = Counter(one.why for one in plan.kept)
    left = " and ".join(f"{count(number)} {why}" for why, number in sorted(stay.items(), reverse=True))
    stays = f"; {left} {'stays' if len(plan.kept) == 1 else 'stay'}" if left else ""
    return Text(f"{one_line(record.model)}: {_gone(plan, done)}{stays}")


def _gone(plan: Plan, done: str) -> str:
    """How many units went, by what they were."""
    dead = sum(one.why == "dead" for one in plan.removed)
    other = len(plan.removed) - dead
    if not plan.removed:
        return "only what no unit reads is cut" if plan.cuts else "nothing to remove"
    others = f"that nobody reads or that {'is' if other == 1 else 'are'} constant"
    if not dead:
        return f"{plural(other, 'unit', 'units')} {others} {done}"
    return f"{plural(dead, 'dead unit', 'dead units')} {done}" + (f" and {count(other)} {others}" if other else "")


def _layers(plan: Plan, audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold", ratio=1)
    for name in ("units", "dead", "removed", "kept"):
        table.add_column(name, justify="right")
    table.add_column("why kept", overflow="fold")
    removed, kept = Counter(one.tensor for one in plan.removed), Counter(one.tensor for one in plan.kept)
    for site in audit.sites:
        if not (removed[site.tensor] or kept[site.tensor]):
            continue
        why = Counter(one.slug for one in plan.kept if one.tensor == site.tensor)
        table.add_row(
            Text(short("/".join(filter(None, (site.scope, site.tensor))))),
            *(count(n) for n in (site.units, len(site.dead), removed[site.tensor], kept[site.tensor])),
            Text(", ".join(f"{slug} {n}" for slug, n in why.most_common())),
        )
    return table


def _refusals(kept: Sequence[KeptUnit]) -> Iterator[str]:
    """One line for every slug, with its first unit; the JSON and the page have all of them."""
    number = Counter(one.slug for one in kept)
    first: dict[str, KeptUnit] = {}
    for one in kept:
        first.setdefault(one.slug, one)
    for slug, one in first.items():
        place = f"{'for example ' * (number[slug] > 1)}unit {one.unit} of {short(one.tensor)}"
        yield f"kept [{slug}] {count(number[slug])}: {place}: {one_line(one.detail)}"


def _costs(record: PruningRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "before", "after", ""):
        table.add_column(name, justify="right" if name else "left")
    before, after = record.plan.before, record.plan.after
    rows: list[tuple[str, float | None, float | None]] = [
        ("parameters", before.parameters, after.parameters),
        ("multiply-adds", before.multiply_adds, after.multiply_adds),
        ("bytes of weights", before.bytes, after.bytes),
        *([("bytes on disk", record.files.before, record.files.after)] if record.files is not None else []),
    ]
    for name, old, new in rows:
        if old and new is not None:
            table.add_row(name, count(int(old)), count(int(new)), change(old, new))
    if record.latency is not None:
        old, new = record.latency.before_ms, record.latency.after_ms
        gain = f"{old / new:.2f} times as fast" if record.latency.clear else "no clear difference"
        table.add_row("milliseconds a run", f"{old:.3g}", f"{new:.3g}", gain)
    return table


def _no_longer_fed(plan: Plan) -> Iterator[str]:
    """The weights of which a caller can no longer feed other numbers, the first few by name."""
    if plan.fixed:
        names = ", ".join(short(name) for name in plan.fixed[:FIXED_SHOWN])
        more = f" and {count(len(plan.fixed) - FIXED_SHOWN)} more" if len(plan.fixed) > FIXED_SHOWN else ""
        one = len(plan.fixed) == 1
        which = "No longer an input that can be fed, as it" if one else "No longer inputs that can be fed, as they"
        yield f"{which} changed or {'is' if one else 'are'} gone: {names}{more}"


def _checks(verification: Verification | None) -> Iterator[str]:
    if verification is None:
        yield "Nothing was written, so nothing was compared."
        return
    kinds = {one.inputs for one in verification.comparisons}
    inputs = [words for kind, words in INPUTS.items() if kind in kinds]
    worst = verification.relative
    apart = f"outputs differ by at most {worst:.2g} of the largest" if worst else "outputs do not differ"
    yield (
        f"Compared with the original on {', '.join(inputs)}; graph optimisation on and off: {apart}; "
        f"the limit is {verification.limit:g}."
    )
    yield from rounding(verification)


def rounding(verification: Verification) -> Iterator[str]:
    """What is to be said where differences over the limit are the runtime's own."""
    limit = verification.limit
    excused = [one for one in verification.comparisons if one.within(limit) and one.relative > limit]
    if excused:
        own, own_result = max(one.own for one in excused), max(one.own_result for one in excused)
        yield (
            "Over the limit with graph optimisation on, and taken for rounding: on these inputs the models agree with "
            f"it off, and onnxruntime's optimised kernels move the original by {own:.2g} and the result by "
            f"{own_result:.2g} of the largest output."
        )


INPUTS = {
    "calibration": "the calibration data",
    "alone": "samples of it, each run alone",
    "together": "samples of it in one run",
    "random": "random inputs on which the cut units are silent",
    "held": "random inputs, the removed units forced to their value",
    "woken": "the same inputs, the remaining dead units forced on",
}
