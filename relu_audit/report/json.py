"""The audit as JSON: what is stored, plus what can be computed from it, in bytes that depend on nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from relu_audit.errors import RecordError
from relu_audit.judge.consistency import contradiction
from relu_audit.judge.evidence import rate_below
from relu_audit.judge.gate import gate
from relu_audit.records import GATE_RULES, SCHEMA, Audit, Gate, Record, SiteAudit, Summary
from relu_audit.report.names import COMMAND_MARK
from relu_audit.report.saved import check_keys, read, unreadable

SHOWN = 100
"""Characters of a value that an error shows."""


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
    text, name = read(source)
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.schema != SCHEMA:
            raise RecordError(
                f"{name} has the format '{head.schema[:100]}'; this program reads '{SCHEMA}'",
                slug="audit-schema",
                hint="Read it with the version of relu-audit that wrote it.",
            )
        document = msgspec.json.decode(text, type=Document)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise unreadable(name, error) from error
    check_keys(text, name)
    audit = _plain(document)
    judged_alike = head.gate.rules == GATE_RULES
    wrong = contradiction(audit) or _not_derived(audit, document, judged_alike=judged_alike)
    if wrong:
        raise RecordError(
            f"{name} says things that do not follow from its own counts: {wrong}",
            slug="audit-inconsistent",
            hint="It was edited by hand or damaged. Run the audit again.",
        )
    return audit if judged_alike else msgspec.structs.replace(audit, gate=_gate(audit))


def schema() -> str:
    """JSON Schema of the format."""
    described: dict[str, Any] = msgspec.json.schema(Document)
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA, **described}
    return indented(described)


def _gate(audit: Audit) -> Gate:
    return gate(audit.policy, audit.data, audit.sites, audit.skipped, partial=audit.partial, baseline=audit.baseline)


def _not_derived(audit: Audit, document: Document, *, judged_alike: bool) -> str:
    """The first field that can be computed from others, and is not what they make of it; empty if there is none.

    The gate's word counts if it judged by today's rules.
    """
    gated = msgspec.structs.replace(audit, gate=_gate(audit)) if judged_alike else audit
    return _difference(document, _document(gated), "")


def _difference(stated: object, computed: object, where: str) -> str:
    """Where two records differ first."""
    if stated == computed:
        return ""
    parts, others = _parts(stated), _parts(computed)
    if parts is None or others is None:
        return f"{where.lstrip('.')} is {str(stated)[:SHOWN]} in place of {str(computed)[:SHOWN]}"
    found = (_difference(part, others[name], where + name) for name, part in parts.items() if name in others)
    return next(filter(None, found), f"{where.lstrip('.')} has not as many entries as it should")


def _parts(value: object) -> dict[str, object] | None:
    """Fields of a record or entries of a list, by how they are written behind its name; None for anything else."""
    if isinstance(value, msgspec.Struct):
        return {f".{name}": getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return {f"[{place}]": entry for place, entry in enumerate(cast("Iterable[object]", value))}
    return None


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
