"""The audit as Markdown: what a job's summary or a comment on a pull request shows.

Names come from strangers' files. One that is plain stands in a code span; any other is HTML with every character of
punctuation as a numeric reference, which no Markdown reads as structure. Sources: CommonMark 0.31, sections 2.5
(references are no structure) and 6.1; GitHub Flavored Markdown, tables and autolinks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from relu_audit.errors import one_line
from relu_audit.judge.evidence import rate_below
from relu_audit.records import Audit, Breach, SiteAudit, Status, Waived
from relu_audit.report.breaches import against, left_out, told, until
from relu_audit.report.causes import why
from relu_audit.report.findings import layer_name, reasons
from relu_audit.report.names import short
from relu_audit.report.numbers import bound, count, percent
from relu_audit.report.prospect import given_back
from relu_audit.report.samples import samples_in_words

OPEN_LAYERS = 20
"""A table of more layers than this is folded away, and the layers with the largest dead shares stand open."""

WORST = 5

MOST_BYTES = 900_000
"""GitHub drops a summary of more than 1 MiB; what else a step writes to it needs room too."""

MOST_LINES = 20
"""Breaches, reasons, notes and unobserved rectifiers that are listed, of each kind."""

LONGEST_PROSE = 500
"""Characters of a sentence that are shown; names within it may be as long as a stranger likes."""

_WORDS = {
    "passed": "✅ **Passed**",
    "failed": "❌ **Failed**",
    "inconclusive": "⚠️ **Inconclusive**",
    "not_set": "**No limit set**",
}


def write(audit: Audit) -> str:
    """The audit as GitHub Flavored Markdown, below the size that a job's summary may have."""
    parts = [_heading(audit), *_gate(audit), *(f"Why: {causes}." for causes in [why(audit)] if causes)]
    what, _, prospect = given_back(audit).partition(": ")
    if what:
        parts.append(f"{what.capitalize()}: {prose(prospect)}.")
    if not audit.sites:
        parts.append(f"Nothing to audit: {'no rectifier could be observed' if audit.skipped else 'no rectifier'}.")
    elif len(audit.sites) <= OPEN_LAYERS:
        parts.append(_table(audit, audit.sites, total=True))
    else:
        worst = sorted(audit.sites, key=lambda site: -(site.dead_fraction or 0))[:WORST]
        if audit.dead:
            parts += ["The largest dead shares:", _table(audit, [site for site in worst if site.dead], total=False)]
        folded = _table(audit, audit.sites, total=True)
        summary = f"<summary>All {count(len(audit.sites))} layers</summary>"
        parts.append(f"<details>\n{summary}\n\n{folded}\n\n</details>")
    parts += _remarks(audit)
    return "\n\n".join(parts) + "\n"


def code(name: str) -> str:
    """A name as code, whatever is in it, also inside a table.

    >>> code("/relu1/Relu_output_0"), code("a|b")
    ('`/relu1/Relu_output_0`', '<code>a&#124;b</code>')
    """
    name = short(name) or "(no name)"
    return f"`{name}`" if _PLAIN.fullmatch(name) else f"<code>{_escaped(name)}</code>"


def prose(text: str) -> str:
    """A sentence that quotes a stranger: nothing in it is a link, a tag, a mention or emphasis."""
    text = one_line(text)
    return _MARKED.sub(_reference, text if len(text) <= LONGEST_PROSE else f"{text[:LONGEST_PROSE]}…")


_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9/_.:,() =+-]*")
_MARKED = re.compile(r"[\\`*_{}\[\]<>&|~@#!$:^]|(?i:(?<=www)\.)")


def _escaped(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 \u0080-\U0010ffff]", _reference, text)


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match.group())};"


def _heading(audit: Audit) -> str:
    kind = "made-up " if audit.data.synthetic else ""
    cut = ", interrupted" if audit.partial else ""
    few = f" ({count(audit.data.evidence)} distinct)" if audit.data.evidence < audit.data.samples else ""
    samples = f"{count(audit.data.samples)} {kind}samples{few}"
    told = f" ({prose(samples_in_words(audit.data))})" if audit.data.samples else ""
    return f"### relu-audit: {code(audit.model.name)}\n\non {samples} of {code(audit.data.source)}{cut}{told}"


def _gate(audit: Audit) -> Iterator[str]:
    dead = f"{count(audit.dead)} of {count(audit.units)} units are dead ({percent(audit.dead_fraction)})"
    fewest = min((site.evidence for site in audit.sites if site.dead), default=None)
    sure = f"; a dead unit's firing rate is below {bound(rate_below(fewest))} at 95 % confidence" if fewest else ""
    yield f"{_WORDS[audit.gate.outcome]}: {dead}{sure}."
    lines = [f"because {prose(reason)}" for reason in reasons(audit)]
    compared = against(audit)
    if compared:
        lines.append(prose(compared))
    lines += [f"limit: {_broken(breach)}" for breach in audit.gate.breaches]
    if lines:
        yield bullets(lines)
    waived = [line for one in audit.gate.waived if one.layers for line in _waived(audit, one)]
    if waived:
        yield bullets(waived)
    if audit.gate.remarks:
        yield bullets([f"note: {prose(remark)}" for remark in audit.gate.remarks])


def _broken(breach: Breach) -> str:
    name = "/".join(filter(None, (breach.scope, breach.tensor)))
    where = "" if breach.tensor is None else f"{code(name)}: "
    return f"{where}{told(breach)}"


def _waived(audit: Audit, one: Waived) -> Iterator[str]:
    yield f"waived {until(one.waiver)}: {code(one.waiver.pattern)}: {left_out(audit, one)}: {prose(one.waiver.reason)}"
    yield from (f"waived limit: {_broken(breach)}" for breach in one.breaches)


def bullets(lines: Sequence[str]) -> str:
    """A list, of which what is beyond ``MOST_LINES`` is counted."""
    more = [f"and {count(len(lines) - MOST_LINES)} more"] if len(lines) > MOST_LINES else []
    return "\n".join(f"- {line}" for line in (*lines[:MOST_LINES], *more))


def _table(audit: Audit, sites: Sequence[SiteAudit], *, total: bool) -> str:
    seldom: tuple[Status, ...] = ("always_on", "constant", "faulty", "unseen")
    extra = [name for name in seldom if any(getattr(site, name) for site in audit.sites)]
    names = ["layer", "operator", "units", "dead", "", "rare", *(n.replace("_", " ") for n in extra), "fires in"]
    lines = [row(names), row(["---", "---", *["---:"] * (len(names) - 2)])]
    summary = audit.summary
    last = row(
        [
            "**total**",
            "",
            count(summary.units),
            count(summary.dead),
            percent(summary.dead_fraction),
            count(summary.rare),
            *(count(getattr(summary, name)) for name in extra),
            "",
        ]
    )
    room = MOST_BYTES
    for index, site in enumerate(sites):
        line = row(_cells(site, extra))
        room -= len(line.encode()) + 1
        if room < 0:
            left = f"… {count(len(sites) - index)} more layers, which do not fit here; the JSON has them"
            lines.append(row([left, *[""] * (len(names) - 1)]))
            break
        lines.append(line)
    return "\n".join([*lines, *([last] if total else [])])


def _cells(site: SiteAudit, extra: Sequence[str]) -> list[str]:
    marks = "".join((" (unit axis assumed)" if site.assumed else "", " (counted per run)" if site.per_run else ""))
    return [
        code(layer_name(site)) + marks,
        code(site.op),
        count(site.units),
        count(len(site.dead)),
        percent(site.dead_fraction),
        count(len(site.rare)),
        *(count(len(getattr(site, name))) for name in extra),
        percent(site.firing_rate),
    ]


def row(cells: Sequence[str]) -> str:
    """A row of a table; its cells are Markdown."""
    return f"| {' | '.join(cells)} |"


def _remarks(audit: Audit) -> Iterator[str]:
    notes = [f"note: {prose(note)}" for note in audit.notes]
    if audit.data.synthetic:
        notes.insert(0, "note: the data is made up: what it shows of dead units says nothing about real inputs")
    unseen = [
        f"not observed: {code(layer_name(one))} ({code(one.op)}): {prose(one.detail)} ({code(one.slug)})"
        for one in audit.skipped
    ]
    yield from (bullets(lines) for lines in (notes, unseen) if lines)
