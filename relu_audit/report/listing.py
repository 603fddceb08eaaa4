"""The list of rectifiers, for a terminal and as JSON."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relu_audit.errors import one_line
from relu_audit.records import ListedSite, Listing
from relu_audit.report.json import indented
from relu_audit.report.names import short
from relu_audit.report.numbers import count
from relu_audit.report.samples import inputs_in_words


def write(listing: Listing) -> str:
    """The list as indented JSON with sorted keys. Same model, same bytes."""
    return indented(listing)


def render(listing: Listing) -> RenderableType:
    """The list as something a rich console can print."""
    if not (listing.sites or listing.alive or listing.skipped):
        return Text(f"{one_line(listing.model)} has no rectifier and no other activation that is known here.")
    parts: list[RenderableType] = [_heading(listing)]
    parts += [Text(line) for line in inputs_in_words(listing.inputs, listing.known, listing.detail)]
    if listing.sites:
        parts.append(_table(listing))
    reasons = dict.fromkeys(site.implicit for site in listing.sites if site.implicit)
    parts += [Text(f"implicit: {one_line(reason)}", style="dim") for reason in reasons]
    parts += [
        Text(f"alive by construction: {_place(a.scope, a.tensor)} ({a.op}): {one_line(a.reason)}", style="dim")
        for a in listing.alive
    ]
    parts += [
        Text(f"not observable: {_place(s.scope, s.tensor)} ({s.op}): {one_line(s.detail)} [{s.slug}]", style="yellow")
        for s in listing.skipped
    ]
    parts += [Text(f"note: {one_line(note)}", style="yellow") for note in listing.notes]
    return Group(*parts)


def _heading(listing: Listing) -> Text:
    units = [site.units for site in listing.sites]
    known = sum(n for n in units if n is not None)
    more = " or more" if None in units else ""
    return Text(
        f"{one_line(listing.model)}: {len(units)} rectifiers with {count(known)}{more} units, "
        f"{len(listing.alive)} activations alive by construction, {len(listing.skipped)} not observable"
    )


def _table(listing: Listing) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold", ratio=2)
    table.add_column("operator", overflow="fold")
    table.add_column("units", justify="right")
    table.add_column("layout")
    table.add_column("unit axis", overflow="fold", ratio=2)
    for site in listing.sites:
        units = "?" if site.units is None else count(site.units)
        table.add_row(_layer(site), Text(site.op), units, Text(site.layout), _axis(site))
    return table


def _layer(site: ListedSite) -> Text:
    name = Text(_place(site.scope, site.tensor))
    if len(site.tensors) > 1:
        name.append(f" (+{len(site.tensors) - 1} sharing its weights)", style="dim")
    return name


def _axis(site: ListedSite) -> Text:
    if site.layout == "?":
        return Text("seen at run time: the file does not tell the rank", style="yellow")
    why = one_line(site.axis_from)
    axis = "none" if site.unit_axis is None else str(site.unit_axis)
    text = Text(f"{axis}: {why}")
    if site.assumed:
        text.append(" [assumed]", style="yellow")
    if site.implicit:
        text.append(" [implicit]", style="dim")
    return text


def _place(scope: str, tensor: str) -> str:
    return short("/".join(filter(None, (scope, tensor))))
