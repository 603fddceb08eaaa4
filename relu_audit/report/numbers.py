"""Numbers as people read them; a share is never rounded to 0 or 100 % when it is neither."""

from __future__ import annotations


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

    >>> limit(0.05), limit(0.0125)
    ('5 %', '1.25 %')
    """
    return f"{100 * fraction:.10g} %"


def count(number: int) -> str:
    """A whole number with thousands set apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"
