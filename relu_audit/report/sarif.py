"""The audit as SARIF 2.1.0: one result per finding, at the tensor it is about.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0", and what GitHub's code scanning asks
for beyond it (a region, though a model has no lines).
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from relu_audit.errors import one_line
from relu_audit.records import Audit, SiteAudit, Skipped
from relu_audit.report.breaches import against
from relu_audit.report.findings import RULES, Finding, findings, layer_name, rule
from relu_audit.report.json import indented
from relu_audit.report.names import short
from relu_audit.report.samples import samples_in_words

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

FINGERPRINT = "reluAudit/v1"
"""What a finding is known by from run to run: its rule and its place in the model, and none of its numbers."""


def write(audit: Audit) -> str:
    """The audit as indented JSON with sorted keys."""
    found = findings(audit)
    rules = sorted({_id(one.rule) for one in found} | set(RULES))
    seen: Counter[str] = Counter()
    results = [_result(audit, one, rules, seen) for one in found]
    name, _, version = audit.tool.partition(" ")
    driver: dict[str, Any] = {
        "name": one_line(name) or "relu-audit",
        "rules": [_rule(one) for one in rules],
        **({"version": one_line(version)} if version else {}),
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "artifacts": [
            {
                "location": {"uri": _uri(audit)},
                "hashes": {"sha-256": one_line(audit.model.sha256)},
                "roles": ["analysisTarget"],
            }
        ],
        "invocations": [{"executionSuccessful": not audit.partial}],
        "properties": _about(audit),
        "results": results,
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return indented(log)


def _about(audit: Audit) -> dict[str, Any]:
    compared = against(audit)
    return {
        **({"baseline": compared} if compared else {}),
        "data": one_line(audit.data.source),
        "dataSha256": one_line(audit.data.sha256),
        "samples": audit.data.samples,
        "distinctSamples": audit.data.evidence,
        "samplesAre": samples_in_words(audit.data),
        "units": audit.units,
        "dead": audit.dead,
        "deadFraction": audit.dead_fraction,
        "gate": audit.gate.outcome,
    }


def _rule(name: str) -> dict[str, Any]:
    known = rule(name)
    return {
        "id": name,
        "shortDescription": {"text": _message(known.title)},
        "help": {"text": _message(known.help)},
        "defaultConfiguration": {"level": "warning"},
    }


def _result(audit: Audit, one: Finding, rules: list[str], seen: Counter[str]) -> dict[str, Any]:
    name = _id(one.rule)
    where = "" if one.place is None else f"{short(layer_name(one.place))}: "
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(audit), "index": 0},
            "region": {"startLine": 1},
        }
    }
    if one.place is not None:
        location["logicalLocations"] = [_logical(one.place)]
    result: dict[str, Any] = {
        "ruleId": name,
        "ruleIndex": rules.index(name),
        "level": one.level,
        "message": {"text": _message(f"{where}{one.message}")},
        "locations": [location],
        "partialFingerprints": {FINGERPRINT: _fingerprint(audit, one, seen)},
    }
    if one.waiver is not None:
        # Without a status it is accepted: section 3.35.
        result["suppressions"] = [{"kind": "external", "justification": one_line(one.waiver.reason)}]
    if isinstance(one.place, SiteAudit):
        site = one.place
        result["properties"] = {
            "units": site.units,
            "dead": len(site.dead),
            "deadFraction": site.dead_fraction,
            "samples": site.samples,
        }
    return result


def _logical(place: SiteAudit | Skipped) -> dict[str, str]:
    return {
        "name": one_line(place.tensor) or "(no name)",
        "fullyQualifiedName": layer_name(place),
        "kind": "variable",
    }


def _fingerprint(audit: Audit, one: Finding, seen: Counter[str]) -> str:
    """The same for the same finding, another for every other; findings that nothing tells apart are numbered."""
    place = ("", "") if one.place is None else (one.place.scope, one.place.tensor)
    known = "\0".join((audit.model.name, one.rule, *place)).encode("utf-8", "backslashreplace")
    digest = sha256(known).hexdigest()
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}:{seen[digest]}"


def _uri(audit: Audit) -> str:
    """The model's name as a relative reference, whatever is in it."""
    return quote(audit.model.name.encode("utf-8", "replace"), safe="") or "model"


def _id(name: str) -> str:
    return one_line(name) or "unknown"


def _message(text: str) -> str:
    r"""A plain message, of which nothing is structure.

    Brackets would be a link in it (section 3.11.6: a backslash escapes them, and itself), and braces a placeholder
    (section 3.11.5: they are doubled).

    >>> print(_message(r"/relu[15]/\*"), _message("{0}"))
    /relu\[15\]/\\* {{0}}
    """
    return text.translate(_STRUCTURE)


_STRUCTURE = str.maketrans({"[": r"\[", "]": r"\]", "\\": r"\\", "{": "{{", "}": "}}"})
