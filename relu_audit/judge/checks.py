"""Rows of tables that say what a record cannot hold, the few predicates that rows share, and their engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

LARGEST = 1 << 62
"""Every count is smaller, so that the sum of any two of them fits 64 bits."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Check(Generic[T]):
    """A row.

    Attributes:
        field: What the row is about.
        says: What is wrong with the field where the row does not hold.
        holds: Whether the row holds.
    """

    field: str
    says: str
    holds: Callable[[T], bool]


def broken(checks: Iterable[Check[T]], one: T, where: str) -> Iterator[str]:
    """What each row says that does not hold, in order, behind ``where``."""
    return (f"{where}{check.field} {check.says}" for check in checks if not check.holds(one))


def is_count(number: int | None) -> bool:
    """Whether a number can be a count, or is not given."""
    return number is None or 0 <= number < LARGEST


def are_counts(numbers: Iterable[int | None]) -> bool:
    """Whether all can be counts."""
    return all(map(is_count, numbers))


def is_share(number: float | None) -> bool:
    """Whether a number lies from 0 to 1, or is not given."""
    return number is None or 0 <= number <= 1


def is_hash(text: str | None) -> bool:
    """Whether a text has the form of a SHA-256, or is not given."""
    return text is None or _SHA256.fullmatch(text) is not None


def are_units(units: Sequence[int], of: int) -> bool:
    """Whether units are in order, each once, and units of a layer of so many."""
    return list(units) == sorted({*units}) and (not units or (units[0] >= 0 and units[-1] < of))


def are_once(values: Sequence[object]) -> bool:
    """Whether no value comes twice."""
    return len({*values}) == len(values)
