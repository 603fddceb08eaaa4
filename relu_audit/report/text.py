"""The terminal summary: a table per layer, a total, the gate's word."""

from __future__ import annotations

from msgspec import UNSET
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from relu_audit.errors import one_line
from relu_audit.judge.evidence import rate_below
from relu_audit.records import Audit, Breach, SiteAudit
from relu_audit.report.breaches import against, left_out, told, until
from relu_audit.report.causes import why
from relu_audit.report.names import settings_line, short
from relu_audit.report.numbers import bound, count, percent, plural
from relu_audit.report.prospect import given_back
from relu_audit.report.samples import few_in_words, samples_in_words

_OUTCOME = {
    "passed": ("PASSED", "bold green"),
    "failed": ("FAILED", "bold red"),
    "inconclusive": ("INCONCLUSIVE", "bold yellow"),
    "not_set": ("no limit set", "dim"),
}


def write(audit: Audit, *, width: int = 120) -> str:
    """The summary as plain text."""
    console = Console(width=width, no_color=True, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(render(audit))
    return capture.get()


def render(audit: Audit, *, dead_units: bool = False) -> RenderableType:
    """The summary as something a rich console can print.

    Args:
        audit: The audit.
        dead_units: Whether to list the dead units of every layer, and to name the file that settings are from.
    """
    parts: list[RenderableType] = [_heading(audit)]
    if audit.sites:
        parts += [_table(audit), _evidence(audit)]
        parts += [Text(f"why: {causes}") for causes in [why(audit)] if causes]
        parts += [Text(line) for line in [given_back(audit)] if line]
    else:
        parts.append(
            Text(
                "Nothing to audit: no rectifier of this model could be observed."
                if audit.skipped
                else "Nothing to audit: this model has no rectifier."
            )
        )
    if dead_units:
        parts += [Text(f"dead in {short(s.tensor)}: {', '.join(map(str, s.dead))}") for s in audit.sites if s.dead]
        if audit.configuration is not UNSET:
            parts.append(Text(settings_line(audit.configuration)))
    parts += [Text(line, style="yellow") for line in _remarks(audit)]
    parts.append(gate_line(audit))
    return Group(*parts)


def _heading(audit: Audit) -> Text:
    kind = "made-up " if audit.data.synthetic else ""
    cut = " before it was interrupted" if audit.partial else ""
    model, data = one_line(audit.model.name), one_line(audit.data.source)
    told = f"\nsamples: {samples_in_words(audit.data)}" if audit.data.samples else ""
    noun = "sample" if audit.data.samples == 1 else "samples"
    return Text(f"{model} on {count(audit.data.samples)} {kind}{noun} of {data}{cut}{told}")


def _table(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    summary = audit.summary
    total = f"{count(summary.dead)}  {percent(summary.dead_fraction)}"
    extra = [
        name for name in ("always_on", "constant", "faulty", "unseen") if any(getattr(s, name) for s in audit.sites)
    ]
    table.add_column("layer", "total", overflow="fold", ratio=1)
    table.add_column("operator")
    table.add_column("units", count(summary.units), justify="right")
    table.add_column("dead", total, justify="right")
    table.add_column("rare", count(summary.rare), justify="right")
    for name in extra:
        table.add_column(name.replace("_", " "), count(getattr(summary, name)), justify="right")
    # Where every site has one position per sample the two rates are one.
    spread = any(site.positions != site.samples for site in audit.sites)
    table.add_column("fires in,\nof samples", justify="right")
    if spread:
        table.add_column("of positions", justify="right")
    for site in audit.sites:
        dead = f"{count(len(site.dead))}  {percent(site.dead_fraction)}"
        table.add_row(
            _name(site),
            Text(site.op),
            count(site.units),
            Text(dead, style="red" if site.dead else ""),
            count(len(site.rare)),
            *(count(len(getattr(site, name))) for name in extra),
            percent(site.firing_rate),
            *([percent(site.position_rate)] if spread else []),
        )
    return table


def _name(site: SiteAudit) -> Text:
    name = Text(short("/".join(filter(None, (site.scope, site.tensor)))))
    if len(site.tensors) > 1:
        name.append(f" (+{len(site.tensors) - 1} sharing its weights)", style="dim")
    if site.assumed:
        name.append(f" [unit axis {site.unit_axis} assumed]", style="yellow")
    if site.per_run:
        name.append(" [counted per run]", style="yellow")
    return name


def _evidence(audit: Audit) -> Text:
    fewest = min((site.evidence for site in audit.sites if site.dead), default=None)
    if fewest is None:
        return Text("No unit that a sample reached was silent.")
    most = bound(rate_below(fewest))
    return Text(f"A dead unit was silent in all samples: its firing rate is below {most} at 95 % confidence.")


def _remarks(audit: Audit) -> list[str]:
    remarks = list(filter(None, (*audit.notes, few_in_words(audit.data))))
    if audit.data.synthetic:
        remarks.append("the data is made up: what it shows of dead units says nothing about real inputs")
    assumed = sum(site.assumed for site in audit.sites)
    if assumed:
        whose = plural(assumed, "layer", "layers")
        remarks.append(f"the unit axis of {whose} is assumed; set it with --unit-axis TENSOR=AXIS if it is wrong")
    implicit = sum(site.implicit is not None for site in audit.sites)
    if implicit:
        layers = plural(implicit, "layer is", "layers are")
        remarks.append(f"{layers} rectified by the codes they are kept in, not by an activation")
    if audit.alive:
        kinds = sorted({a.op for a in audit.alive})
        activations = plural(len(audit.alive), "activation is", "activations are")
        remarks.append(f"{activations} alive by construction and not counted: {', '.join(kinds)}")
    remarks += [f"not observed: {s.tensor} ({s.op}): {s.detail} [{s.slug}]" for s in audit.skipped[:5]]
    if len(audit.skipped) > 5:
        remarks.append(f"not observed: {len(audit.skipped) - 5} more; the JSON report lists them")
    return [f"note: {one_line(remark)}" for remark in remarks]


def gate_line(audit: Audit) -> Text:
    """The gate's word, and what led to it."""
    gate = audit.gate
    word, style = _OUTCOME[gate.outcome]
    text = Text("gate: ").append(word, style=style)
    for reason in gate.reasons:
        text.append(f"\n  because {one_line(reason)}")
    compared = against(audit)
    if compared:
        text.append(f"\n  {compared}")
    for breach in gate.breaches:
        text.append(f"\n  {told(breach, _whose(breach))}")
    for one in gate.waived:
        if one.layers:
            why = f"{left_out(audit, one)}, {until(one.waiver)}: {one_line(one.waiver.reason)}"
            text.append(f"\n  waived: {short(one.waiver.pattern)}: {why}")
        for breach in one.breaches:
            text.append(f"\n    {told(breach, _whose(breach))}")
    for remark in gate.remarks:
        text.append(f"\n  note: {one_line(remark)}")
    return text


def _whose(breach: Breach) -> str | None:
    name = "/".join(filter(None, (breach.scope, breach.tensor)))
    return None if breach.tensor is None else short(name) or "(no name)"
