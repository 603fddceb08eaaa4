"""What all records are."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records."""


def share(part: int, whole: int) -> float | None:
    """``part / whole``; None, not zero, when there is no whole."""
    return part / whole if whole else None
