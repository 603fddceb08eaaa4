"""THE TABLE of the gate's rules: which units count against which limit. The engine (``gate.py``) knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relu_audit.judge.patterns import matches
from relu_audit.records import BaselineSite, Policy, SiteAudit, Skipped, Status

Judged = SiteAudit | Skipped
"""What a rule looks at. A rectifier that was not observed stands for one unit that nobody saw."""


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: Its stable name, which is also that of the option that sets its limit.
        status: The units that count against the limit.
        no_better: What such a unit may have been in a baseline without being worse now. NaN excuses only NaN: whether
            a faulty unit fires, nobody has seen.
        each: Whether every layer is held against the limit by itself, or all of them together.
        share: Whether the limit is on their share of the judged units, or on their number.
        limit: The limit that a policy sets, for a layer of this name; None if it sets none.
        noun: What the units that count are.
        says: What is seen, in words: ``amount`` is how much counts, ``whose`` what it is of.
        allows: The limit, in words: ``limit`` is its amount.
        title: What is wrong if the limit is broken.
        help: What to do then.
    """

    name: str
    status: Status
    no_better: tuple[Status, ...]
    each: bool
    share: bool
    limit: Callable[[Policy, str], float | None]
    noun: str
    says: str
    allows: str
    title: str
    help: str


def _of_layer(policy: Policy, name: str) -> float | None:
    """The last limit whose pattern matches the layer, or else the one for all layers."""
    own = (one.max_dead_layer for one in reversed(policy.layers) if matches(one.pattern, name))
    return next(own, policy.max_dead_layer)


RULES = (
    Rule(
        name="max-dead",
        status="dead",
        no_better=("dead",),
        each=False,
        share=True,
        limit=lambda policy, _: policy.max_dead,
        noun="dead",
        says="{amount} of {whose} are dead",
        allows="the limit is {limit}",
        title="Too many of all units are dead",
        help="Find the layers that died, or prune them: relu-audit prune.",
    ),
    Rule(
        name="max-dead-layer",
        status="dead",
        no_better=("dead",),
        each=True,
        share=True,
        limit=_of_layer,
        noun="dead",
        says="{amount} of {whose} are dead",
        allows="the limit is {limit}",
        title="Too many units of a layer are dead",
        help="Look at the layer's learning rate, initialisation and what its bias became; or prune it: "
        "relu-audit prune.",
    ),
    Rule(
        name="max-rare",
        status="rare",
        no_better=("rare", "dead"),
        each=False,
        share=True,
        limit=lambda policy, _: policy.max_rare,
        noun="rare",
        says="{amount} of {whose} are rare",
        allows="the limit is {limit}",
        title="Too many of all units fire rarely",
        help="They are next to die: look at the learning rate, or show data that they are for.",
    ),
    Rule(
        name="allow-faulty",
        status="faulty",
        no_better=("faulty",),
        each=False,
        share=False,
        limit=lambda policy, _: policy.allow_faulty or 0,
        noun="faulty",
        says="faulty units: {amount}",
        allows="the most allowed are {limit}",
        title="Units showed NaN or infinity",
        help="Check the data's scaling and the layers before this one.",
    ),
    Rule(
        name="require-observed",
        status="unseen",
        no_better=("unseen",),
        each=True,
        share=False,
        limit=lambda policy, _: 0 if policy.require_observed else None,
        noun="not observed",
        says="{whose} not fully observed",
        allows="all must be",
        title="A rectifier was not observed, or not all of its units",
        help="Give data that reaches it; see docs/errors.md for the reason it gives, or waive it.",
    ),
)
BY_SLUG = {rule.name: rule for rule in RULES}


def counting(rule: Rule, place: Judged) -> tuple[int, ...]:
    """The units of a layer that count against a rule's limit."""
    if isinstance(place, Skipped):
        return (0,) if rule.status == "unseen" else ()
    return getattr(place, rule.status)


def judged_units(place: Judged) -> int:
    """Units that a share is a share of: neither unseen nor faulty, since nobody knows whether those fire."""
    return 0 if isinstance(place, Skipped) else place.observed_units - len(place.faulty)


@dataclass(frozen=True)
class Extent:
    """What a layer adds to a rule's count, where the axis of its units may be another than the one assumed.

    Attributes:
        least: Fewest units that count against the limit.
        most: Most such units.
        of: Most units of the layer.
    """

    least: int
    most: int
    of: int


def extent(rule: Rule, place: Judged) -> Extent:
    """The bounds of what a layer adds. A layer has at most as many units as a sample has entries of its tensor."""
    units = len(counting(rule, place))
    if isinstance(place, Skipped) or not place.assumed:
        return Extent(units, units, judged_units(place))
    entries = -(-place.units * place.positions // place.samples) if place.samples else 0
    if rule.share:
        return Extent(0, entries, entries)
    return Extent(min(units, 1), max(units, entries) if units else 0, entries)


@dataclass(frozen=True)
class Since:
    """Units that count against a limit: those that were better in the baseline, and those of which it does not tell."""

    new: int
    untold: int


def since(rule: Rule, place: Judged, before: BaselineSite | None) -> Since:
    """What a baseline says of the units that count against a rule's limit.

    Args:
        rule: The rule.
        place: The layer, or a rectifier that was not observed. The latter is new, if the baseline does not have it.
        before: What the baseline has of it; None if no layer there is known to be it.
    """
    units = set(counting(rule, place))
    if before is None:
        return Since(len(units), 0) if isinstance(place, Skipped) else Since(0, len(units))
    units -= {unit for status in rule.no_better for unit in getattr(before, status)}
    untold = units & set(before.unseen)
    return Since(len(units) - len(untold), len(untold))


def over(units: int, of: int | None, limit: float) -> bool:
    """Whether a number of units, or their share, is above a limit. It compares as the fractions would.

    Both the quotient of two whole numbers and the reading of a decimal round to the nearest float, and rounding keeps
    order: what is above as floats is above as fractions, and a share that is the limit is the same float.

    >>> over(5, 100, 0.05), over(6, 100, 0.05), over(7, 100, 0.07), over(1, 3, 1 / 3)
    (False, True, False, False)
    """
    return (units if of is None else units / of) > limit
