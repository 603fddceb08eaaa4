"""Audits whose every name is a stranger's, for formats that must not let them out of their place."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from relu_audit import load
from relu_audit.judge.gate import gate
from relu_audit.records import (
    Alive,
    Audit,
    Baseline,
    BaselineSite,
    Place,
    Policy,
    SiteAudit,
    Skipped,
    Waiver,
)

ROOT = Path(__file__).parents[1]

NASTY = (
    "",
    " ",
    "a|b",
    "`",
    "a\\|b",
    "``a`b",
    "\n| x | y |\n",
    "</details><script>alert(1)</script>",
    "<!--",
    "]]>",
    "&amp;&#124;",
    "\x00\x01\x1b[31m",
    "\x85\u2028\u202e\ufffe\uffff\ufeff",
    "::error::x",
    "%0A::error::x",
    "a,b:c%",
    "\r\n::stop-commands::x",
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\uff1d1",
    "'=1",
    "'",
    '"a";"b"',
    "http://example.com www.example.com a@example.com @someone #1",
    "[a](b) ![c](d) {0} {{",
    "*a* _b_ ~~c~~ $d$",
    "1. a",
    "- a",
    "é ☃ 名 \U0001f600",
    "L" * 3000,
    "\ud800",
)

names = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(), max_size=30),
    st.text("|`\\<>&%\r\n:,;=+-@'\"[]{}()#*_~!$ \t\x00\x1b\u2028ab", max_size=12),
)


@cache
def sample(name: str) -> Audit:
    return load(ROOT / f"reports/{name}.json")


def judged(audit: Audit, *, baseline: Baseline | None = None, **asked: Any) -> Audit:
    policy = Policy(**asked)
    word = gate(policy, audit.data, audit.sites, audit.skipped, partial=audit.partial, baseline=baseline)
    return msgspec.structs.replace(audit, policy=policy, baseline=baseline, gate=word)


@st.composite
def audits(draw: st.DrawFn) -> Audit:
    """A sample's audit under other names, with limits or without, perhaps of one site only, perhaps of thirty."""
    base = sample("resnet_dead")
    count = draw(st.sampled_from((0, 1, 3, 25)))
    sites = tuple(_site(base.sites[i % len(base.sites)], draw) for i in range(count))
    model = msgspec.structs.replace(base.model, name=draw(names), producer=draw(names))
    data = msgspec.structs.replace(base.data, source=draw(names), synthetic=draw(st.booleans()))
    skipped = tuple(
        Skipped(tensor=draw(names), scope=draw(names), op=draw(names), slug=draw(names), detail=draw(names))
        for _ in range(draw(st.integers(0, 2)))
    )
    alive = (Alive(tensor=draw(names), scope=draw(names), op=draw(names), reason=draw(names)),)
    notes = (draw(names),)
    changed = msgspec.structs.replace(
        base, model=model, data=data, sites=sites, skipped=skipped, alive=alive, notes=notes
    )
    limits = draw(
        st.sampled_from(
            (
                {},
                {"max_dead": 0.0},
                {"max_dead_layer": 0.0},
                {"max_dead": 1.0},
                {"max_rare": 0.0, "require_observed": True},
            )
        )
    )
    return judged(changed, **limits, waivers=draw(waivers(changed)), baseline=draw(st.none() | baselines(sites)))


@st.composite
def waivers(draw: st.DrawFn, audit: Audit) -> tuple[Waiver, ...]:
    """Up to two waivers, for a stranger's pattern or for one of the layers, as it is or as a pattern of it."""
    own = [site.name for site in (*audit.sites, *audit.skipped)]
    patterns = st.sampled_from(own) | names if own else names
    date = st.none() | st.dates()
    return tuple(
        Waiver(pattern=draw(patterns), reason=draw(names), until=draw(date)) for _ in range(draw(st.integers(0, 2)))
    )


@st.composite
def baselines(draw: st.DrawFn, sites: tuple[SiteAudit, ...]) -> Baseline:
    """A baseline with some of the layers and one of its own."""
    strange = Place(scope=draw(names), tensor=draw(names))
    kept = tuple(
        BaselineSite(scope=s.scope, tensor=s.tensor, op=s.op, units=s.units, samples=s.samples, dead=s.dead[:1])
        for s in (*sites[:2], msgspec.structs.replace(sample("resnet_dead").sites[0], tensor=strange.tensor))
    )
    return Baseline(
        source=draw(names),
        model=draw(names),
        model_sha256="0" * 64,
        data_sha256="0" * 64,
        samples=draw(st.sampled_from((1, 1797, 5000))),
        sites=kept,
        skipped=(strange,),
    )


def _site(site: SiteAudit, draw: st.DrawFn) -> SiteAudit:
    tensor = draw(names)
    return msgspec.structs.replace(site, tensor=tensor, tensors=(tensor,), scope=draw(names), op=draw(names))
