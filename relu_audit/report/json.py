"""The audit as JSON: what is stored, plus what can be computed from it, in bytes that depend on nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from relu_audit.errors import RecordError
from relu_audit.judge.evidence import rate_below
from relu_audit.judge.gate import gate
from relu_audit.judge.verdict import judged
from relu_audit.records import CAUSES, GATE_RULES, SCHEMA, Audit, Gate, Record, SiteAudit, Summary
from relu_audit.report.names import COMMAND_MARK


class SiteDocument(SiteAudit, frozen=True, kw_only=True):
    """A site with what readers would otherwise compute.

    Attributes:
        dead_fraction: Dead share of the observed units, 0 to 1; null if none was observed.
        dead_rate_below: A dead unit's firing rate lies below this at 95 % confidence (1 - 0.05^(1/n), n distinct
            samples); null if no unit is dead.
    """

    dead_fraction: float | None  # pyright: ignore[reportIncompatibleMethodOverride] - computed there, written here
    dead_rate_below: float | None


class Document(Audit, frozen=True, kw_only=True):
    """An audit with its totals: the top level of the JSON file."""

    sites: tuple[SiteDocument, ...]  # pyright: ignore[reportIncompatibleVariableOverride] - narrower, and frozen
    summary: Summary  # pyright: ignore[reportIncompatibleMethodOverride] - computed there, written here


def write(audit: Audit) -> str:
    """The audit as indented JSON with sorted keys. Same audit, same bytes."""
    return compact(_document(audit))


def compact(record: Record) -> str:
    """A record as indented JSON with sorted keys, lists of numbers on a line each."""
    return _NUMBERS.sub(_on_one_line, indented(record))


def indented(content: object) -> str:
    """Anything as indented JSON with sorted keys, in which no name is a command to a CI service that reads the log."""
    text = msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=2).decode()
    return COMMAND_MARK.sub(r"#\\u0023", text) + "\n"  # two such signs stand in strings only


_NUMBER = r"(?:-?[0-9][0-9.eE+-]*|null)"
_NUMBERS = re.compile(rf"\[\n\s*({_NUMBER}(?:,\n\s*{_NUMBER})*)\n\s*\]")


def _on_one_line(match: re.Match[str]) -> str:
    """Lists of numbers take a line each; a line break inside a string is escaped, so only structure can match."""
    return "[" + re.sub(r"\s+", " ", match.group(1)) + "]"


def load(source: str | bytes | os.PathLike[str]) -> Audit:
    """Read an audit that :func:`write` wrote. A gate that judged by the rules of another version judges anew.

    Args:
        source: Path of the file, or its contents as bytes.

    Raises:
        RecordError: ``audit-unreadable``; ``audit-schema`` for a version this program does not know;
            ``audit-inconsistent`` if something derived does not follow from the counts in the file.
    """
    text, name = _text(source)
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.schema != SCHEMA:
            raise RecordError(
                f"{name} has the format '{head.schema}'; this program reads '{SCHEMA}'",
                slug="audit-schema",
                hint="Read it with the version of relu-audit that wrote it.",
            )
        document = msgspec.json.decode(text, type=Document)
    except msgspec.DecodeError as error:
        raise RecordError(
            f"{name} is not an audit: {error}", slug="audit-unreadable", hint="Write one with relu-audit --json FILE."
        ) from error
    audit = _plain(document)
    judged_alike = head.gate.rules == GATE_RULES
    if not _follows(audit, judged_alike) or _document(audit) != document:
        raise RecordError(
            f"{name} says things that do not follow from its own counts",
            slug="audit-inconsistent",
            hint="It was edited by hand or damaged. Run the audit again.",
        )
    return audit if judged_alike else msgspec.structs.replace(audit, gate=_gate(audit))


def schema() -> str:
    """JSON Schema of the format."""
    described: dict[str, Any] = msgspec.json.schema(Document)
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **described}
    return indented(described)


def _follows(audit: Audit, judged_alike: bool) -> bool:
    """Whether everything in the record follows from its counts; the gate's word, if it judged by today's rules."""
    return all(_site_follows(site, audit) for site in audit.sites) and (not judged_alike or audit.gate == _gate(audit))


def _gate(audit: Audit) -> Gate:
    return gate(audit.policy, audit.data, audit.sites, audit.skipped, partial=audit.partial, baseline=audit.baseline)


def _site_follows(site: SiteAudit, audit: Audit) -> bool:
    per_unit = ("fired_samples", "fired_positions", "first_fired", "mean", "peak", "trough", "pre_peak")
    return (
        all(len(getattr(site, name)) == site.units for name in per_unit)
        and all(0 <= fired <= site.samples for fired in site.fired_samples)
        and all(
            (first is None) == (not fired) for first, fired in zip(site.first_fired, site.fired_samples, strict=True)
        )
        and all(0 <= fired <= site.positions for fired in site.fired_positions)
        and all(first is None or first < audit.data.samples for first in site.first_fired)
        and (site.per_run or all(p >= s for p, s in zip(site.fired_positions, site.fired_samples, strict=True)))
        and all(a is None or b is None or a <= b for a, b in zip(site.trough, site.peak, strict=True))
        and site.tensors[:1] == (site.tensor,)
        and list(site.exempt) == sorted({*site.exempt} & {*range(site.units)})
        and _causes_follow(site)
        and site.samples <= audit.data.samples
        and judged(site, audit.policy) == site
    )


def _causes_follow(site: SiteAudit) -> bool:
    """Whether every dead unit has one cause and one margin, and no other unit has any."""
    causes = site.causes
    if causes is None:
        return True
    named = sorted(unit for name in CAUSES for unit in getattr(causes, name))
    return (
        named == list(site.dead)
        and len(causes.margin) == len(named)
        and {*causes.proven, *causes.near_zero} <= {*named}
    )


class _Judged(msgspec.Struct, frozen=True):
    rules: int = 1


class _Head(msgspec.Struct):
    schema: str
    gate: _Judged = _Judged()


def _document(audit: Audit) -> Document:
    sites = tuple(
        SiteDocument(
            **_fields(site, SiteAudit),
            dead_fraction=site.dead_fraction,
            dead_rate_below=rate_below(site.evidence) if site.dead else None,
        )
        for site in audit.sites
    )
    fields: dict[str, Any] = {**_fields(audit, Audit), "sites": sites}
    return Document(**fields, summary=audit.summary)


def _plain(document: Document) -> Audit:
    sites = tuple(SiteAudit(**_fields(site, SiteAudit)) for site in document.sites)
    fields: dict[str, Any] = {**_fields(document, Audit), "sites": sites}
    return Audit(**fields)


def _fields(record: msgspec.Struct, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in kind.__struct_fields__}


def _text(source: str | bytes | os.PathLike[str]) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "the audit"
    path = Path(source)
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise RecordError(
            f"cannot read '{source}': {error.strerror}", slug="audit-unreadable", hint="Check the path's spelling."
        ) from error
