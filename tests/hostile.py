"""Audits whose every name is a stranger's, for formats that must not let them out of their place."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from relu_audit import load
from relu_audit.judge.gate import gate
from relu_audit.records import Alive, Audit, Policy, SiteAudit, Skipped

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


def judged(audit: Audit, **limits: float) -> Audit:
    policy = Policy(**limits)  # type: ignore[arg-type]
    return msgspec.structs.replace(
        audit, policy=policy, gate=gate(policy, audit.data, audit.sites, audit.skipped, partial=audit.partial)
    )


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
    limits = draw(st.sampled_from(({}, {"max_dead": 0.0}, {"max_dead_layer": 0.0}, {"max_dead": 1.0})))
    return judged(changed, **limits)


def _site(site: SiteAudit, draw: st.DrawFn) -> SiteAudit:
    tensor = draw(names)
    return msgspec.structs.replace(site, tensor=tensor, tensors=(tensor,), scope=draw(names), op=draw(names))
