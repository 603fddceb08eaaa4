"""What all records are."""

from __future__ import annotations

import os

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records."""


def as_text(name: str) -> str:
    r"""A file's name as a record can hold it: bytes of it that are no UTF-8 are spelt out, as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def share(part: int, whole: int) -> float | None:
    """``part / whole``; None, not zero, when there is no whole."""
    return part / whole if whole else None
