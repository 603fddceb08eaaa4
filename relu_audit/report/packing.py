"""Numbers of many units in few characters: what the page's scripts unpack, see ``units.js``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

LONGEST_WORD = 8
"""Digits of a word, at most: 48 bits, which a script's numbers hold exactly."""

_ZERO = 1 << 17
_FARTHEST = 72


@dataclass(frozen=True)
class Column:
    """One number per unit: whole, not below 0, and below ``span``."""

    span: int
    values: Sequence[int]


@dataclass(frozen=True)
class Measures:
    """Measured values as a column, and how to make codes of its numbers again.

    A magnitude's rank is its code's distance from that of zero. The column has 0 for None; then, in the order of the
    values, the negative ranks from ``greatest`` to ``least``, zero, and the positive ones; less ``shift``, where the
    lowest of these numbers do not occur.
    """

    column: Column
    least: int
    greatest: int
    shift: int


def measures(codes: Sequence[int]) -> Measures:
    """Values by their codes as a column of no larger a span than they need."""
    ranks = [abs(one - _ZERO) for one in codes if one not in (0, _ZERO)]
    least, greatest = min(ranks, default=1), max(ranks, default=0)
    middle = greatest - least + 2  # the number that stands for zero

    def number(one: int) -> int:
        if one == _ZERO:
            return middle
        return middle + (one - _ZERO - least + 1 if one > _ZERO else one - _ZERO + least - 1)

    numbers = [one and number(one) for one in codes]
    known = [one for one in numbers if one]
    shift = min(known, default=1) - 1
    span = max(known, default=0) - shift + 1 if known else 1
    return Measures(Column(span, [one and one - shift for one in numbers]), least, greatest, shift)


def packed(columns: Sequence[Column]) -> str:
    """All columns as one text.

    Columns are taken together to words as long as the product of their spans fits ``LONGEST_WORD`` digits, the first
    one in the highest place; a word has as many digits for every unit as its product needs. The text is the first
    words of all units, then the second ones. A column of span 1 takes no room.
    """
    return "".join(_text(group) for group in _words(columns))


def _words(columns: Sequence[Column]) -> Iterator[list[Column]]:
    group: list[Column] = []
    for column in columns:
        if group and prod(one.span for one in (*group, column)) > 64**LONGEST_WORD:
            yield group
            group = []
        group.append(column)
    yield group


def _text(group: Sequence[Column]) -> str:
    width = digits_of(prod(column.span for column in group) - 1)
    words = [0] * len(group[0].values)
    for column in group:
        words = [word * column.span + value for word, value in zip(words, column.values, strict=True)]
    return written(words, width)


def digits_of(largest: int) -> int:
    """Digits to base 64 that a number takes; none for 0."""
    return (largest.bit_length() + 5) // 6


def written(numbers: Iterable[int], width: int) -> str:
    """Numbers of so many digits to base 64, one after the other."""
    places = range(6 * (width - 1), -1, -6)
    return "".join(DIGITS[number >> place & 63] for number in numbers for place in places)


def code(value: float | None) -> int:
    """A number to three significant digits in 18 bits, ordered as the numbers are; 0 for None.

    Magnitudes beyond 10^72 or below 10^-72 keep their sign only; they are shown as such.
    """
    if value is None:
        return 0
    if value == 0:
        return _ZERO
    text = f"{abs(value):.2e}"
    exponent = int(text[5:])
    if exponent < -_FARTHEST:
        rank = 1
    elif exponent > _FARTHEST:
        rank = 2 + 900 * (2 * _FARTHEST + 1)
    else:
        rank = 2 + 900 * (exponent + _FARTHEST) + int(text[0] + text[2:4]) - 100
    return _ZERO + rank if value > 0 else _ZERO - rank


def opposite(one: int) -> int:
    """The code of a number with the other sign, by the code of that number."""
    return one and 2 * _ZERO - one
