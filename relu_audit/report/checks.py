"""What the verdict of the page says of limits and waivers, one line each, names set apart so that they can be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from relu_audit.judge.rules import BY_SLUG, Rule
from relu_audit.records import Audit, Breach, Waived
from relu_audit.report.breaches import Kept, allowance, allows, amount, kept, left_out, newly, says, until

Standing = Literal["broken", "known", "kept"]


@dataclass(frozen=True)
class Check:
    """A limit and what was observed, together: a sentence in which a layer may be named.

    Attributes:
        standing: Broken, exceeded no worse than in the baseline, or kept.
        before: The sentence up to the layer; all of it if it names none.
        layer: The layer.
        after: The rest of the sentence.
    """

    standing: Standing
    before: str
    layer: str | None
    after: str


@dataclass(frozen=True)
class LeftOut:
    """A waiver: how long it holds, what it leaves out, and the limits that this breaks."""

    pattern: str
    reason: str
    until: str
    contents: str
    checks: tuple[Check, ...]


def checked(audit: Audit) -> tuple[Check, ...]:
    """Every limit that was broken, then those that are set and were not."""
    return (*map(_broken, audit.gate.breaches), *map(_kept, kept(audit)))


def waived(audit: Audit) -> tuple[LeftOut, ...]:
    """Every waiver that leaves something out."""
    return tuple(_left_out(audit, one) for one in audit.gate.waived if one.layers)


def _left_out(audit: Audit, one: Waived) -> LeftOut:
    waiver = one.waiver
    checks = tuple(map(_broken, one.breaches))
    return LeftOut(waiver.pattern, waiver.reason, until(waiver), left_out(audit, one), checks)


def _broken(breach: Breach) -> Check:
    layer = None if breach.tensor is None else "/".join(filter(None, (breach.scope, breach.tensor)))
    return _check("broken", BY_SLUG[breach.rule], amount(breach), layer, f"{newly(breach)}; {allows(breach)}.")


def _kept(one: Kept) -> Check:
    bound = allowance(one.rule, one.bound)
    return _check("known" if one.known else "kept", one.rule, one.amount, one.layer, f"; {bound}.")


def _check(standing: Standing, rule: Rule, seen: str, layer: str | None, end: str) -> Check:
    if layer is None or "{whose}" not in rule.says:
        return Check(standing, f"{says(rule, seen, 'all units')}{end}", None, "")
    before, _, after = rule.says.partition("{whose}")
    return Check(standing, f"{before.format(amount=seen)}layer ", layer, f"{after}{end}")
