"""Numbers as people read them; a share is never rounded to 0 or 100 % when it is neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from math import ceil, floor


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction of 0 to 1 as a percentage; a dash where there is none.

    >>> percent(0.0004), percent(0.99996), percent(0.0), percent(1.0), percent(None)
    ('<0.1 %', '>99.9 %', '0 %', '100 %', '–')
    """
    if fraction is None:
        return "–"
    if fraction in (0, 1):
        return f"{fraction:.0%}".replace("%", " %")
    least = 10.0**-digits
    value = 100 * fraction
    if value < least:
        return f"<{least:g} %"
    if value > 100 - least:
        return f">{100 - least:g} %"
    return f"{value:.{digits}f} %"


def limit(fraction: float) -> str:
    """A limit of 0 to 1 as a percentage, with all the digits it was given.

    >>> limit(0.05), limit(0.0125), limit(1e-9), limit(1 - 2**-53), limit(1)
    ('5 %', '1.25 %', '0.0000001 %', '99.99999999999999 %', '100 %')
    """
    exact = (Decimal(str(float(fraction))) * 100).normalize()
    return f"{exact:f} %"


def count(number: int) -> str:
    """A whole number with thousands set apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def plural(number: int, one: str, many: str) -> str:
    """A number of things.

    >>> plural(1, "layer", "layers"), plural(2000, "layer", "layers")
    ('1 layer', '2,000 layers')
    """
    return f"{count(number)} {one if number == 1 else many}"


def bound(fraction: float | None) -> str:
    """An upper bound as a percentage, with as many digits as it takes not to be a bound of a bound.

    >>> bound(0.0116), bound(0.00003), bound(None)
    ('1.16 %', '0.003 %', '–')
    """
    texts = (percent(fraction, digits) for digits in range(2, 16))
    return next((text for text in texts if not text.startswith("<")), percent(fraction, 15))


def about(value: float) -> str:
    """An expected number of things, as whole as it is sure.

    >>> about(0.0), about(0.3), about(4.4), about(1234.5)
    ('0', 'less than 1', 'about 4', 'about 1,234')
    """
    if value == 0:
        return "0"
    return "less than 1" if value < 1 else f"about {count(round(value))}"


def whole_below(value: float) -> str:
    """The lower end of a band of whole things."""
    return count(floor(value))


def whole_above(value: float) -> str:
    """The upper end of a band of whole things."""
    return count(ceil(value))


def measured(value: float | None) -> str:
    """A measured value to three significant digits; a dash where there is none.

    >>> measured(0.73237), measured(-1.5576e-08), measured(12345.0), measured(6.0), measured(None)
    ('0.732', '−1.56e-8', '12300', '6', '–')
    """
    if value is None:
        return "–"
    short = Decimal(f"{value:.2e}").normalize()
    if not short:
        return "0"
    text = f"{short:f}" if -5 <= short.adjusted() < 9 else f"{short:e}"
    return text.replace("e+", "e").replace("-", "−", 1) if value < 0 else text.replace("e+", "e")


def change(old: float, new: float) -> str:
    """How much less or more something is than it was, in words.

    >>> change(200, 150), change(200, 250), change(3, 3), change(0, 5), change(2, 9)
    ('25.0 % less', '25.0 % more', 'the same', 'more', '4.5 times as much')
    """
    if old == new:
        return "the same"
    if not old:
        return "more"
    if new > 2 * old:
        return f"{new / old:.3g} times as much"
    return f"{percent(abs(new - old) / old)} {'less' if new < old else 'more'}"


def apart(observed: float, bound: float) -> str:
    """An observed share with as many digits as it takes to tell it from the limit it broke.

    >>> apart(0.05001, 0.05), apart(0.2, 0.05)
    ('5.001 %', '20.00 %')
    """
    texts = ((percent(observed, digits), percent(bound, digits)) for digits in range(2, 16))
    return next((here for here, there in texts if here != there), percent(observed, 15))


def runs_of(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours in ascending indices.

    >>> list(runs_of([1, 2, 3, 7]))
    [(1, 3), (7, 7)]
    """
    if not indices:
        return
    first = indices[0]
    for one, following in pairwise(indices):
        if following != one + 1:
            yield first, one
            first = following
    yield first, indices[-1]


def listed(indices: Sequence[int], most: int) -> tuple[tuple[str, ...], int]:
    """Ascending indices with runs of neighbours joined, at most so many runs, and how many indices that leaves out.

    >>> listed([1, 2, 3, 7], 9), listed([1, 3, 5, 6], 2)
    ((('1–3', '7'), 0), (('1', '3'), 2))
    """
    runs = list(runs_of(indices))
    texts = tuple(str(a) if a == b else f"{a}–{b}" for a, b in runs[:most])
    return texts, sum(b - a + 1 for a, b in runs[most:])


def enumerated(indices: Sequence[int], most: int) -> str:
    """Ascending indices as `listed` has them, in one line.

    >>> enumerated([1, 2, 3, 7], 9), enumerated([1, 3, 5, 6], 2)
    ('1–3, 7', '1, 3 and 2 more')
    """
    texts, rest = listed(indices, most)
    return ", ".join(texts) + (f" and {count(rest)} more" if rest else "")
