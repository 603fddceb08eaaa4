"""What exact pruning would give back, in one line."""

from __future__ import annotations

from relu_audit.errors import one_line
from relu_audit.records import Audit, Cost, share
from relu_audit.report.numbers import count, percent, plural


def given_back(audit: Audit) -> str:
    """What the plan came to, or why there is none; empty if none was asked for."""
    found = audit.prospect
    if found is None:
        return ""
    if found.failure is not None:
        slug, why = found.failure
        return f"what pruning would give back could not be planned: {one_line(why)} [{one_line(slug)}]"
    if found.before is None or found.after is None or found.before == found.after:
        return f"pruning would give back: nothing, 0 of {_dead(audit)}"
    parts = [f"{count(found.removed)} of {_dead(audit)}", *_less(found.before, found.after)]
    return f"pruning would give back: {', '.join(parts)}"


def _dead(audit: Audit) -> str:
    return plural(audit.dead, "dead unit", "dead units")


def _less(before: Cost, after: Cost) -> list[str]:
    pairs = (
        ("parameters", before.parameters, after.parameters),
        ("multiply-adds", before.multiply_adds, after.multiply_adds),
    )
    return [
        f"-{percent(share(old - new, old))} {name}"
        for name, old, new in pairs
        if old is not None and new is not None and old > new
    ]
