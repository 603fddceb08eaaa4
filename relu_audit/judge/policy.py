"""What is asked of an audit, made from options and refused where it makes no sense."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from relu_audit.errors import UsageError
from relu_audit.records import LayerLimit, Policy, Waiver

MOST = 10**15
"""Largest whole number that an option takes: every reader of JSON keeps as many digits."""

WaiverLike = Waiver | Mapping[str, Any]
"""A waiver, or its fields by name."""


def policy(
    *,
    max_dead: float | None,
    max_dead_layer: float | None,
    max_rare: float | None,
    allow_faulty: int | None,
    require_observed: bool,
    layers: Mapping[str, float],
    waivers: Iterable[WaiverLike],
    min_samples: int,
    rare_below: float,
    bands: Iterable[float],
    compared: bool,
    today: datetime.date,
) -> Policy:
    """The policy that these options make; see :class:`Policy`.

    Args:
        max_dead: As there; so the following.
        max_dead_layer: As there.
        max_rare: As there.
        allow_faulty: As there.
        require_observed: As there.
        layers: Largest dead share by pattern of layers; of those that match, the last one counts.
        waivers: Layers that are not judged.
        min_samples: As there.
        rare_below: As there.
        bands: As there, in any order.
        compared: Whether there is a baseline, which by itself allows no unit to be newly dead.
        today: The day that waivers have to reach.

    Raises:
        UsageError: ``option-range``; ``waiver`` for one that is incomplete, ``waiver-expired`` for one past its date.
    """
    shares = {"max_dead": max_dead, "max_dead_layer": max_dead_layer, "max_rare": max_rare, "rare_below": rare_below}
    bands = tuple(bands)
    in_range(
        {"min_samples": (min_samples, 1), "allow_faulty": (allow_faulty, 0)},
        {
            **shares,
            **{f"bands[{place}]": band for place, band in enumerate(bands)},
            **{f"the limit for '{pattern}'": limit for pattern, limit in layers.items()},
        },
    )
    made = Policy(
        max_dead=max_dead,
        max_dead_layer=max_dead_layer,
        max_rare=max_rare,
        allow_faulty=allow_faulty,
        require_observed=require_observed,
        layers=tuple(LayerLimit(pattern=pattern, max_dead_layer=limit) for pattern, limit in layers.items()),
        waivers=tuple(_waiver(one, today) for one in waivers),
        min_samples=min_samples,
        rare_below=rare_below,
        bands=tuple(sorted({float(band) for band in bands}, reverse=True)),
    )
    return msgspec.structs.replace(made, max_dead=0.0) if compared and not made.gated else made


def in_range(whole: Mapping[str, tuple[object, int]], shares: Mapping[str, object]) -> None:
    """Refuse options that are no number or out of range: whole numbers by name with their least, and shares of 1.

    Raises:
        UsageError: ``option-range``.
    """
    for name, value in {**{name: value for name, (value, _) in whole.items()}, **shares}.items():
        kind = int if name in whole else int | float
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            raise UsageError(
                f"{name} is a {type(value).__name__}; it must be a {'whole ' if name in whole else ''}number",
                slug="option-range",
                hint="Write 256." if name in whole else "Write 0.05 for 5 %.",
            )
    for name, (number, least) in whole.items():
        if isinstance(number, int) and not least <= number <= MOST:
            bound = f"at least {least}" if number < least else f"at most {MOST:,}"
            raise UsageError(f"{name} is {_shown(number)}; it must be {bound}", slug="option-range")
    for name, fraction in shares.items():
        if isinstance(fraction, int | float) and not 0 <= fraction <= 1:
            raise UsageError(
                f"{name} is {_shown(fraction)}; it must lie between 0 and 1",
                slug="option-range",
                hint="It is a fraction: 0.05 is 5 %.",
            )


def _shown(number: float) -> str:
    """A number as a message bears it: Python spells out no whole number of thousands of digits."""
    return f"{number:.15g}" if abs(number) < 1e300 else "far too large" if number > 0 else "far too small"


def _waiver(given: WaiverLike, today: datetime.date) -> Waiver:
    try:
        waiver = msgspec.convert(given if isinstance(given, Waiver) else dict(given), Waiver, from_attributes=True)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise _bad(f"a waiver makes no sense: {error}") from error
    for name in ("pattern", "reason"):
        if not getattr(waiver, name).strip():
            raise _bad(f"the waiver for '{waiver.pattern}' has no {name}")
    if waiver.until is not None and waiver.until < today:
        raise UsageError(
            f"the waiver for '{waiver.pattern}' ended on {waiver.until}: {waiver.reason}",
            slug="waiver-expired",
            hint="Mend the layers, or give it a later date if the reason still holds.",
        )
    return waiver


def _bad(message: str) -> UsageError:
    return UsageError(
        message, slug="waiver", hint="It needs a pattern and a reason, as text, and may end: until = 2027-01-31."
    )
