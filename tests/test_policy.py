"""Options that make a policy: the ends of what each takes, and what is said beyond."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest

from relu_audit.errors import UsageError
from relu_audit.judge.policy import MOST, in_range, policy
from relu_audit.records import Policy

TODAY = datetime.date(2026, 1, 31)
PLAIN: dict[str, Any] = {
    "max_dead": None,
    "max_dead_layer": None,
    "max_rare": None,
    "allow_faulty": None,
    "require_observed": False,
    "layers": {},
    "waivers": (),
    "min_samples": 256,
    "rare_below": 0.001,
    "bands": (),
    "compared": False,
    "today": TODAY,
}


def made(**options: Any) -> Policy:
    return policy(**{**PLAIN, **options})


def refused(slug: str, **options: Any) -> str:
    with pytest.raises(UsageError) as raised:
        made(**options)
    assert raised.value.slug == slug
    return str(raised.value.message)


@pytest.mark.parametrize(("name", "least"), [("min_samples", 1), ("allow_faulty", 0)])
def test_whole_numbers_are_taken_from_their_least_to_ten_to_the_fifteenth(name: str, least: int) -> None:
    most = 1_000_000_000_000_000
    assert most == MOST
    assert getattr(made(**{name: least}), name) == least
    assert getattr(made(**{name: most}), name) == most
    assert refused("option-range", **{name: least - 1}) == f"{name} is {least - 1}; it must be at least {least}"
    assert refused("option-range", **{name: most + 1}).endswith(f"; it must be at most {most:,}")


@pytest.mark.parametrize("name", ["max_dead", "max_dead_layer", "max_rare", "rare_below"])
def test_shares_are_taken_from_zero_to_one(name: str) -> None:
    assert getattr(made(**{name: 0}), name) == 0
    assert getattr(made(**{name: 1.0}), name) == 1
    for beyond, shown in [(-0.01, "-0.01"), (1.01, "1.01"), (math.inf, "far too large"), (-math.inf, "far too small")]:
        assert refused("option-range", **{name: beyond}) == f"{name} is {shown}; it must lie between 0 and 1"


@pytest.mark.parametrize(
    ("number", "shown"),
    [(10**400, "far too large"), (-(10**400), "far too small"), (9e299, "9e+299"), (1e300, "far too large")],
)
def test_numbers_that_are_too_long_to_write_are_described(number: float, shown: str) -> None:
    with pytest.raises(UsageError) as raised:
        in_range({}, {"limit": number})
    assert raised.value.message == f"limit is {shown}; it must lie between 0 and 1"


def test_bands_and_layers_are_named_where_they_are_no_shares() -> None:
    assert refused("option-range", bands=(0.5, 2)).startswith("bands[1] is 2;")
    assert refused("option-range", layers={"a*": 2}).startswith("the limit for 'a*' is 2;")
    assert made(bands=(0.1, 0.9, 0.1)).bands == (0.9, 0.1)


@pytest.mark.parametrize(("given", "compared", "limit"), [(None, True, 0.0), (None, False, None), (0.3, True, 0.3)])
def test_a_baseline_alone_allows_no_unit_to_be_newly_dead(
    given: float | None, compared: bool, limit: float | None
) -> None:
    assert made(max_dead=given, compared=compared).max_dead == limit


@pytest.mark.parametrize(
    ("waiver", "slug"),
    [
        ({"pattern": "a*", "reason": "known", "until": TODAY}, None),
        ({"pattern": "a*", "reason": "known"}, None),
        ({"pattern": "a*", "reason": "known", "until": TODAY - datetime.timedelta(days=1)}, "waiver-expired"),
        ({"pattern": " ", "reason": "known"}, "waiver"),
        ({"pattern": "a*", "reason": ""}, "waiver"),
        ({"pattern": "a*"}, "waiver"),
    ],
)
def test_a_waiver_has_a_pattern_and_a_reason_and_reaches_today(waiver: dict[str, Any], slug: str | None) -> None:
    if slug is None:
        assert made(waivers=[waiver]).waivers[0].pattern == "a*"
    else:
        refused(slug, waivers=[waiver])
