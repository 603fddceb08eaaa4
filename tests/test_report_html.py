"""The HTML page: what it says, that it says it of hostile names too, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import relu_audit
from relu_audit.judge.evidence import rate_below
from relu_audit.judge.gate import gate
from relu_audit.records import (
    STATUSES,
    Alive,
    Audit,
    DataInfo,
    ExternalFile,
    InputInfo,
    ModelInfo,
    Policy,
    RuntimeInfo,
    SiteAudit,
    Skipped,
    Status,
)
from relu_audit.report import html, json, numbers, sections
from relu_audit.report.causes import reasons
from relu_audit.report.names import LONGEST_NAME
from relu_audit.report.numbers import limit, percent
from relu_audit.report.packing import DIGITS, code
from tests.drawn_causes import all_causes

EVIL = "<script>alert(1)</script>\"'&"
EN_DASH, MINUS, TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"}


# ---- audits


def unit(status: Status, samples: int, positions: int) -> dict[str, Any]:
    """What a unit of some status shows."""
    seen = {"mean": 0.5, "peak": 0.75, "trough": 0.0, "pre_peak": 0.75, "first_fired": 1}
    fired = {"active": samples // 2, "rare": 1, "always_on": samples, "constant": samples}.get(status, 0)
    everywhere = status in ("always_on", "constant")
    seen |= {"fired_samples": fired, "fired_positions": positions if everywhere else fired}
    if status == "dead":
        seen |= {"mean": 0.0, "peak": 0.0, "pre_peak": -0.25, "first_fired": None}
    if status in ("faulty", "unseen"):
        seen |= dict.fromkeys(("mean", "peak", "trough", "pre_peak", "first_fired"))
    return seen


def site(tensor: str, statuses: Sequence[Status], *, samples: int = 1000, **changes: Any) -> SiteAudit:
    """A site whose units have these statuses."""
    positions = 4 * samples
    units = [unit(status, samples, positions) for status in statuses]
    fields: dict[str, Any] = {
        "tensor": tensor,
        "tensors": (tensor,),
        "scope": "",
        "op": "Relu",
        "layout": "n u ~ ~",
        "unit_axis": 1,
        "axis_from": "output axis of weight 'w'",
        "assumed": False,
        "weight": None,
        "units": len(units),
        "samples": samples,
        "positions": positions,
        "per_run": False,
        **{name: tuple(one[name] for one in units) for name in unit("active", 1, 1)},
        **{s: tuple(i for i, one in enumerate(statuses) if one == s) for s in STATUSES if s != "active"},
    }
    return SiteAudit(**{**fields, **changes})


def audit(
    *sites: SiteAudit,
    policy: Policy | None = None,
    alive: tuple[Alive, ...] = (),
    skipped: tuple[Skipped, ...] = (),
    samples: int = 1000,
    synthetic: bool = False,
    partial: bool = False,
    **changes: Any,
) -> Audit:
    """An audit of these sites, judged by the gate."""
    policy = policy or Policy()
    fed = InputInfo(name="x", key="x", dtype="float32", shape=(samples, 3), feeding="samples", cast=None)
    data = DataInfo(source="cal.npz", sha256="d" * 64, samples=samples, synthetic=synthetic, inputs=(fed,))
    fields: dict[str, Any] = {
        "tool": "relu-audit 9.9",
        "model": ModelInfo(
            name="model.onnx",
            sha256="e" * 64,
            external=(),
            producer="pytorch 2",
            ir_version=9,
            opsets={"ai.onnx": 17},
            parameters=12345,
        ),
        "data": data,
        "runtime": RuntimeInfo(onnxruntime="1.2", provider="CPU", optimization="all", batch_size=8, in_float32=()),
        "policy": policy,
        "partial": partial,
        "notes": (),
        "sites": sites,
        "alive": alive,
        "skipped": skipped,
        "gate": gate(policy, data, sites, skipped, partial=partial),
    }
    return Audit(**{**fields, **changes})


def mixed_audit() -> Audit:
    """Every status, several layers, a limit broken and one kept."""
    return audit(
        site("relu_1", ["dead", "active", "rare", "always_on", "constant", "active", "dead", "dead"]),
        site("relu_2", ["active"] * 16),
        site("relu_3", ["dead", "faulty", "active", "active"], samples=400, assumed=True),
        site("relu_4", ["unseen"] * 3, samples=0),
        policy=Policy(max_dead=0.125, max_dead_layer=0.9),
        skipped=(Skipped(tensor="deep", scope="If_0/then", op="Relu", slug="in-subgraph", detail="not yet"),),
        alive=(Alive(tensor="leak", scope="", op="LeakyRelu", reason="slope 0.1 below zero"),),
        notes=("one remark",),
    )


def evil_audit() -> Audit:
    """A name with markup in it at every place that takes one, each with a number of its own."""
    number = iter(range(100))

    def name() -> str:
        return f"{EVIL}[{next(number)}]"

    tensor = name()
    one = site(
        tensor, ["dead", "active"], tensors=(tensor, name()), scope=name(), op=name(), axis_from=name(), weight=name()
    )
    built = audit(
        one,
        site(name(), ["dead", "faulty"], layout=name()),
        policy=Policy(max_dead_layer=0.1),
        alive=(Alive(tensor=name(), scope=name(), op=name(), reason=name()),),
        skipped=(Skipped(tensor=name(), scope=name(), op=name(), slug=name(), detail=name()),),
        notes=(name(),),
        tool=name(),
        synthetic=True,
    )
    return msgspec.structs.replace(
        built,
        model=msgspec.structs.replace(
            built.model,
            name=name(),
            producer=name(),
            opsets={name(): 1},
            external=(ExternalFile(location=name(), sha256="f" * 64),),
        ),
        data=msgspec.structs.replace(
            built.data,
            source=name(),
            inputs=(InputInfo(name=name(), key=name(), dtype=name(), shape=(1,), feeding="rows", cast=name()),),
        ),
        runtime=msgspec.structs.replace(
            built.runtime, onnxruntime=name(), provider=name(), optimization=name(), in_float32=(name(),)
        ),
        gate=msgspec.structs.replace(built.gate, reasons=(name(),)),
    )


@pytest.fixture(scope="module")
def mixed() -> Audit:
    return mixed_audit()


@pytest.fixture(scope="module")
def evil() -> Audit:
    return evil_audit()


# ---- reading a page


@dataclass
class Element:
    """An element of a page with what it holds."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements below this one with a tag and these attributes, in order."""
        wanted = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items()}
        return [
            e for e in self.below() if tag in ("*", e.tag) and all(e.attributes.get(k) == v for k, v in wanted.items())
        ]

    def below(self) -> Iterator[Element]:
        """All elements below this one."""
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.below()

    @property
    def text(self) -> str:
        """The text, white space as a browser shows it."""
        return " ".join("".join(self.pieces()).split())

    def pieces(self) -> Iterator[str]:
        """The text as it stands."""
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child.pieces()


class Reader(HTMLParser):
    """Builds the elements and refuses what is not nested as it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.stack = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = self.add(tag, attrs)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert any(e.tag == "svg" for e in self.stack), f"<{tag}/> outside SVG"
        self.add(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack[-1].tag == tag, f"</{tag}> inside <{self.stack[-1].tag}>"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)

    def add(self, tag: str, attrs: list[tuple[str, str | None]]) -> Element:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.stack[-1].children.append(element)
        return element


def read(page: str) -> Element:
    """The page's elements; fails if they are not well nested."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert [e.tag for e in reader.stack] == [""], "an element is not closed"
    return reader.root


def section(page: str, name: str) -> Element:
    """One section of a page."""
    (found,) = read(page).all("section", id=name)
    return found


def layer_rows(page: str) -> list[dict[str, Element]]:
    """The table of layers: a row each, its cells by column."""
    (table,) = section(page, "layers").all("table")
    heads = [th.text for th in table.all("thead")[0].all("th")]
    rows = [[e for e in tr.children if isinstance(e, Element)] for tr in table.all("tbody")[0].all("tr")]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def cells(part: Element) -> list[str]:
    """The texts of a table's cells, in order."""
    return [e.text for e in part.below() if e.tag in ("th", "td")]


def indices(text: str) -> list[int]:
    """Unit numbers from a list of runs."""
    runs = [part.split(EN_DASH) for part in text.split(", ")] if text != EN_DASH else []
    return [i for run in runs for i in range(int(run[0]), int(run[-1]) + 1)]


@pytest.fixture(scope="module")
def pages(mixed: Audit, evil: Audit) -> dict[str, str]:
    leak = Alive(tensor="leak", scope="", op="LeakyRelu", reason="slope")
    lost = Skipped(tensor="deep", scope="", op="Relu", slug="in-subgraph", detail="not yet")
    return {
        "mixed": html.write(mixed),
        "evil": html.write(evil),
        "empty": html.write(audit()),
        "alive only": html.write(audit(alive=(leak,))),
        "skipped only": html.write(audit(skipped=(lost,))),
        "nothing dead": html.write(audit(site("r", ["active"] * 4))),
        "no units": html.write(audit(site("r", []))),
        "no samples": html.write(audit(site("r", ["unseen"] * 2, samples=0), samples=0)),
    }


# ---- the page as a document


def test_pages_are_well_formed(pages: dict[str, str]) -> None:
    for page in pages.values():
        assert page.startswith("<!DOCTYPE html>")
        root = read(page)
        ids = [e.attributes["id"] for e in root.below() if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        links = [e.attributes["href"] for e in root.all("a")]
        assert links
        assert {link.removeprefix("#") for link in links} <= set(ids)
        named = [
            e.attributes[k] for e in root.below() for k in e.attributes if k in ("aria-labelledby", "aria-describedby")
        ]
        assert set(named) <= set(ids)


def test_the_reader_of_these_tests_refuses_bad_nesting() -> None:
    for bad in ("<p><b></p></b>", "<p>", "<p/>", '<p id="a" id="b"></p>'):
        with pytest.raises(AssertionError):
            read(bad)


def test_headings_tables_and_pictures_can_be_read_aloud(pages: dict[str, str]) -> None:
    for page in pages.values():
        root = read(page)
        levels = [int(e.tag[1]) for e in root.below() if re.fullmatch("h[1-6]", e.tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        for table in root.all("table"):
            assert table.all("caption")[0].text
            assert all(th.attributes.get("scope") in ("col", "row") for th in table.all("th"))
            assert all(tr.all("th", scope="row") for tr in table.all("tbody")[0].all("tr"))
        for svg in root.all("svg"):
            assert svg.attributes.get("aria-hidden") == "true" or svg.attributes.get("aria-label")
        assert root.all("html")[0].attributes["lang"] == "en"


def test_nothing_is_loaded_and_nothing_stands_in_attributes_that_the_policy_forbids(pages: dict[str, str]) -> None:
    for page in pages.values():
        assert not re.search(r"https?:|@import|url\((?!#)", page)
        for element in read(page).below():
            assert element.tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
            names = set(element.attributes)
            assert not names & {"style", "src", "srcset", "action", "xlink:href"}
            assert not [n for n in names if n.startswith("on")]


def test_the_policy_allows_the_inline_blocks_by_hash_and_nothing_else(pages: dict[str, str]) -> None:
    for page in pages.values():
        (meta,) = [e for e in read(page).all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy"]
        policy = {part.split()[0]: set(part.split()[1:]) for part in meta.attributes["content"].split("; ")}
        for tag in ("style", "script"):
            blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
            assert blocks
            assert len(blocks) == page.count(f"<{tag}")
            hashes = {base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in blocks}
            assert policy.pop(f"{tag}-src") == {f"'sha256-{h}'" for h in hashes}
        assert policy == {"default-src": {"'none'"}, "base-uri": {"'none'"}, "form-action": {"'none'"}}
        assert page.index("Content-Security-Policy") < page.index("<style")


def test_scripts_write_text_only() -> None:
    for name in html.SCRIPTS:
        text = (Path(html.__file__).parent / "templates" / name).read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function\(|fetch|import", text
        )


def test_text_is_readable_in_light_and_dark() -> None:
    css = (Path(html.__file__).parent / "templates" / "page.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root[^{]*{([^}]*)}", css)
    )
    assert light.keys() == dark.keys()
    washes = [("bad", "bad-wash"), ("warn", "warn-wash"), ("good", "good-wash"), ("bad", "paper")]
    text = [(a, b) for a in ("ink", "soft", "link") for b in ("paper", "raised")]
    text += washes + [(a, b) for a in ("ink", "link") for _, b in washes]
    shapes = [(a, "paper") for a in ("active", "other", "rare", "dead", *(f"ramp-{i}" for i in range(5)))]
    for mode in (light, dark):
        assert [pair for pair in text if contrast(mode[pair[0]], mode[pair[1]]) < 4.5] == []
        assert [pair for pair in shapes if contrast(mode[pair[0]], mode[pair[1]]) < 3] == []


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_same_audit_same_bytes(evil: Audit, tmp_path: Path) -> None:
    stored = tmp_path / "audit.json"
    stored.write_bytes(msgspec.json.encode(evil))
    program = (
        "import sys, pathlib, msgspec; from relu_audit.records import Audit; from relu_audit.report import html; "
        "a = msgspec.json.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=Audit); "
        "sys.stdout.buffer.write((html.write(a) + html.fragment(a)).encode())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program, str(stored)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "4321", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
    )
    assert elsewhere.stdout.decode() == html.write(evil) + html.fragment(evil)


# ---- hostile names


def test_names_with_markup_are_shown_as_they_are_and_never_become_markup(evil: Audit, pages: dict[str, str]) -> None:
    page = pages["evil"]
    assert "<script>alert" not in page
    assert EVIL not in page
    root = read(page)
    assert len(root.all("script")) == len(html.SCRIPTS)
    shown = "".join(root.pieces()) + "".join(v for e in root.below() for v in e.attributes.values())
    places = set(re.findall(r"\[\d+\]", json.write(evil)))
    assert len(places) > 25
    assert {place for place in places if EVIL + place not in shown} == set()


def test_fragments_escape_too(evil: Audit) -> None:
    part = html.fragment(evil)
    assert EVIL not in part
    assert not read(part).all("script")
    assert evil.sites[1].tensor in read(part).text


TURNING = "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def test_codes_that_turn_the_direction_of_text_or_end_its_line_are_written_out() -> None:
    model = msgspec.structs.replace(audit().model, name=TURNING)
    for page in (
        html.write(audit(site(TURNING, ["dead"]), model=model)),
        html.fragment(audit(site(TURNING, ["dead"]))),
    ):
        assert not set(TURNING) & set(page)
        assert "".join(f"\\u{ord(c):04x}" for c in TURNING) in read(page).text


def test_long_names_are_cut_in_sentences_and_stand_whole_once() -> None:
    name = "L" * 4000
    root = read(html.write(audit(site(name, ["dead"]), policy=Policy(max_dead_layer=0.5))))
    told = [e for e in root.all("bdi") if len(e.text) > LONGEST_NAME]
    assert [e.text for e in told] == [name]
    (verdict,) = root.all("section", id="verdict")
    assert len([e for e in verdict.all("bdi", title=name) if len(e.text) == LONGEST_NAME]) == 2


def test_letters_that_are_read_from_the_right_turn_no_text_around_them() -> None:
    name = "a\u05d0b"
    root = read(html.write(audit(site(name, ["dead"]))))
    holders = [e for e in root.below() if any(isinstance(c, str) and name in c for c in e.children)]
    assert holders
    assert {e.tag for e in holders} == {"bdi", "option"}  # nothing but text fits an option, and it is alone in there


def test_names_that_no_document_can_hold_are_still_written() -> None:
    model = msgspec.structs.replace(audit().model, name="a\udc80b\x00c\x1b[31md\r\x85")
    page = html.write(audit(model=model))
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    assert "a\ufffdb\ufffdc\ufffd[31md\ufffd\ufffd" in page


# ---- the verdict


def test_the_verdict_gives_word_totals_and_bound(mixed: Audit, pages: dict[str, str]) -> None:
    part = section(pages["mixed"], "verdict")
    text = part.text
    assert mixed.gate.outcome == "inconclusive"
    assert part.all("h2")[0].text == "Gate: Inconclusive"
    assert f"Inconclusive because {mixed.gate.reasons[0]}." in text
    summary = mixed.summary
    assert f"4 of 28 observed units are dead, {percent(summary.dead_fraction, 2)}." in text
    totals = {e.all("dt")[0].text: e.all("dd")[0].text for e in part.all("dl", class_="totals")[0].all("div")}
    assert totals.pop("Units") == f"{summary.units} in 4 layers"
    assert totals == {s.replace("_", " ").capitalize(): str(getattr(summary, s)) for s in STATUSES}
    assert f"less than {percent(rate_below(1000), 2)} of samples, at 95 % confidence" in text
    assert "1 operator that rectifies, or may, was not observed" in text
    assert "The dead units of 1 layer rest on fewer samples" in text
    assert "incomplete" in text
    assert "axis assumed in 1 layer:" in text
    assert "NaN or infinity in 1 unit of relu_3." in text
    where = [li.text for li in answer(part, "Where").all("li")]
    assert where == ["3 of 8 dead (37.5 %) in layer relu_1", "1 of 4 dead (25.0 %) in layer relu_3"]


def answer(part: Element, question: str) -> Element:
    """The answer to a question of the verdict."""
    (answers,) = part.all("dl", class_="answers")
    told = zip(answers.all("dt"), answers.all("dd"), strict=True)
    return next(dd for dt, dd in told if dt.text == question)


def test_the_verdict_names_the_worst_layers_first() -> None:
    dead = {"r1": 1, "r2": 5, "r3": 3, "r4": 5, "r5": 2}
    sites = [site(name, ["dead"] * n + ["active"] * (10 - n), weight=f"w{name}") for name, n in dead.items()]
    part = answer(section(html.write(audit(*sites)), "verdict"), "Where")
    assert [li.text for li in part.all("li")] == [
        "5 of 10 dead (50.0 %) in layer r2, weight wr2",
        "5 of 10 dead (50.0 %) in layer r4, weight wr4",
        "3 of 10 dead (30.0 %) in layer r3, weight wr3",
        "and 2 other layers with dead units",
    ]


@pytest.mark.parametrize(
    ("policy", "samples", "word"),
    [
        (Policy(max_dead=0.5), 1000, "Passed"),
        (Policy(max_dead=0.1), 1000, "Failed"),
        (Policy(max_dead=0.1), 10, "Inconclusive"),
        (Policy(), 1000, "No limit set"),
    ],
)
def test_every_outcome_has_its_word(policy: Policy, samples: int, word: str) -> None:
    built = audit(site("r", ["dead", "active", "active", "active"]), policy=policy, samples=samples)
    root = read(html.write(built))
    assert root.all("section", id="verdict")[0].all("h2")[0].text == f"Gate: {word}"
    assert root.all("title")[0].text == f"model.onnx: {word} {EN_DASH} relu-audit"
    assert word in read(html.fragment(built)).text


def test_limits_stand_with_what_was_observed() -> None:
    dead = site("relu_1", ["dead"] * 3 + ["active"])
    built = audit(dead, site("relu_2", ["active"] * 4), policy=Policy(max_dead=0.5, max_dead_layer=0.7))
    text = section(html.write(built), "verdict").text
    assert "over the limit 75.00 % of layer relu_1 are dead; the limit is 70 %." in text
    assert "within the limit 37.50 % of all units are dead; the limit is 50 %." in text


def test_many_broken_limits_are_folded_but_all_there() -> None:
    names = [f"layer_{i}" for i in range(9)]
    built = audit(*(site(name, ["dead"]) for name in names), policy=Policy(max_dead_layer=0.5))
    part = section(html.write(built), "verdict")
    (folded,) = part.all("details")[:1]
    assert folded.all("summary")[0].text == f"{9 - sections.SHOWN_CHECKS} more"
    assert all(f"of layer {name} are dead; the limit is 50 %." in part.text for name in names)
    assert all(f"of layer {name} are dead; the limit is 50 %." in read(html.fragment(built)).text for name in names)


def test_a_limit_missed_by_a_hair_does_not_look_kept() -> None:
    built = audit(site("r", ["dead"] * 501 + ["active"] * 9499), policy=Policy(max_dead=0.05009))
    assert "5.010 % of all units are dead; the limit is 5.009 %." in section(html.write(built), "verdict").text


@pytest.mark.parametrize(
    ("changes", "words"), [({"synthetic": True}, "Made-up data"), ({"partial": True}, "Interrupted")]
)
def test_made_up_and_interrupted_audits_are_marked(changes: dict[str, Any], words: str) -> None:
    for write in (html.write, html.fragment):
        assert words in read(write(audit(site("r", ["active"]), **changes))).text
        assert words not in read(write(audit(site("r", ["active"])))).text


def test_pages_without_sites_are_honest(pages: dict[str, str]) -> None:
    for name, words in {
        "empty": "Nothing to audit: this model has no rectifier.",
        "alive only": "Nothing to audit: this model has no rectifier; 1 activation is alive by construction.",
        "skipped only": "Nothing to audit: no rectifier of this model could be observed.",
        "no samples": "No sample reached any of the 2 units.",
        "nothing dead": "None of 4 units is dead.",
    }.items():
        assert words in section(pages[name], "verdict").text, name
    for name in ("empty", "alive only", "skipped only"):
        assert {e.attributes["id"] for e in read(pages[name]).all("section")} == {"verdict", "unobserved", "provenance"}
    assert "every rectifier of the model was observed" not in read(pages["empty"]).text
    assert "every rectifier of the model was observed" in read(pages["nothing dead"]).text


def test_units_that_no_sample_reached_are_not_called_observed() -> None:
    some = [site(f"r{i}", ["unseen", "active"]) for i in range(5)]
    page = html.write(audit(*some, site("seen", ["active"])))
    for part in ("verdict", "unobserved"):
        text = section(page, part).text
        assert "No sample reached 5 units of r0, r1, r2 and 2 other layers." in text
        assert "every rectifier of the model was observed" not in text
        assert "Nothing was left out" not in text


# ---- health by depth


def test_bars_hold_every_unit_and_show_the_smallest_part() -> None:
    root = section(html.write(audit(site("r", ["dead", "rare"] + ["active"] * 99_998))), "depth")
    (bar,) = root.all("svg", role="img")
    assert bar.attributes["aria-label"] == "99,998 active, 1 rare, 1 dead"
    parts = [e for e in bar.all("rect") if "class" in e.attributes]
    assert [e.attributes["class"] for e in parts] == ["part active", "part rare", "part dead"]
    widths = [float(e.attributes["width"].rstrip("%")) for e in parts]
    starts = [float(e.attributes["x"].rstrip("%")) for e in parts]
    assert sum(widths) == pytest.approx(100, abs=0.01)
    assert min(widths) > 0.5
    assert starts == pytest.approx([0, widths[0], widths[0] + widths[1]], abs=0.01)


def test_layers_with_few_alive_stand_out_in_words() -> None:
    alive = {"r1": 51, "r2": 49, "r3": 29, "r4": 19, "r5": 50}
    sites = [site(name, ["active"] * n + ["dead"] * (100 - n)) for name, n in alive.items()]
    (table,) = section(html.write(audit(*sites)), "depth").all("table")
    rows = [cells(tr) for tr in table.all("tbody")[0].all("tr")]
    assert [(row[1], row[3], row[5]) for row in rows] == [
        ("r1", "51.0 %", ""),
        ("r2", "49.0 %", "under 50 % alive"),
        ("r3", "29.0 %", "under 30 % alive"),
        ("r4", "19.0 %", "under 20 % alive"),
        ("r5", "50.0 %", ""),
    ]


def test_long_names_that_begin_and_end_alike_can_be_told_apart() -> None:
    names = [
        f"If_0/then_branch/the_same_all_over/{part}/activation/Relu_output_0" for part in ("encoder.1", "encoder.2")
    ]
    page = html.write(audit(*(site(name, ["active"], weight="w") for name in names)))
    for part, tag in (("depth", "tbody"), ("units", "article")):
        shown = [e for body in section(page, part).all(tag) for e in body.all("bdi", class_="name")]
        assert [e.attributes["title"] for e in shown] == names
        assert len({e.text for e in shown}) == 2
        assert all(len(e.text) == sections.LONGEST_LABEL for e in shown)
        assert all(name.endswith(e.text.split("…")[1]) for e, name in zip(shown, names, strict=True))
    assert [row["Layer"].text for row in layer_rows(page)] == names


def test_faulty_units_are_not_called_alive() -> None:
    (table,) = section(html.write(audit(site("r", ["faulty", "faulty", "faulty", "active"]))), "depth").all("table")
    assert "25.0 %" in [td.text for td in table.all("tbody")[0].all("td")]


# ---- the bulbs


@dataclass(frozen=True)
class Told:
    """What a page's script reads of a unit."""

    status: Status
    fired: int
    only: int | None
    reason: int
    peak: float | None
    pre_peak: float | None
    mean: float | None
    margin: float | None


def decoded(canvas: Element) -> Iterator[Told]:
    """Every unit of a layer, as the page's script reads it."""
    data = {k.removeprefix("data-"): v for k, v in canvas.attributes.items() if k.startswith("data-")}
    units, samples, radix = (int(data[name]) for name in ("units", "samples", "radix"))
    spans, ranks, held, present = (
        [int(n) for n in data[name].split()] for name in ("spans", "ranks", "held", "statuses")
    )
    counts, *columns = unpacked(data["packed"], spans, units)
    pre, peaks, mean, margins = (codes(c, *ranks[3 * i : 3 * i + 3]) for i, c in enumerate(columns))
    if held:
        peaks = [min(max(c, held[0]), held[1]) if c else 0 for c in pre]
    for unit, count in enumerate(counts):
        status, beside = STATUSES[present[count // radix]], count % radix
        dead, once = status == "dead", status != "dead" and beside > samples
        if "below" in data:
            margins[unit] = 2**18 - pre[unit] if dead and pre[unit] else 0
        yield Told(
            status=status,
            fired=0 if dead else 1 if once else beside,
            only=beside - samples - 1 if once else None,
            reason=beside if dead else 0,
            peak=value(peaks[unit]),
            pre_peak=value(pre[unit]),
            mean=value(mean[unit]),
            margin=value(margins[unit]),
        )


def unpacked(text: str, spans: list[int], units: int) -> list[list[int]]:
    """The columns of a packed text."""
    words: list[list[int]] = [[]]
    for column, span in enumerate(spans):
        if words[-1] and math.prod(spans[one] for one in words[-1]) * span > 64**8:
            words.append([])
        words[-1].append(column)
    columns: list[list[int]] = [[] for _ in spans]
    for word in words:
        width = math.ceil((math.prod(spans[one] for one in word) - 1).bit_length() / 6)
        for _ in range(units):
            digits, text = text[:width], text[width:]
            rest = sum(DIGITS.index(c) << 6 * (width - 1 - i) for i, c in enumerate(digits))
            for column in reversed(word):
                columns[column].append(rest % spans[column])
                rest //= spans[column]
    assert text == ""
    return columns


def codes(column: list[int], least: int, greatest: int, shift: int) -> list[int]:
    """What a column's numbers stand for."""
    distances = [number + shift - (greatest - least + 2) for number in column]
    signs = [(d > 0) - (d < 0) for d in distances]
    told = [2**17 + d + sign * (least - 1) for d, sign in zip(distances, signs, strict=True)]
    return [number and one for number, one in zip(column, told, strict=True)]


def value(code: int) -> float | None:
    """The number to three digits that a code stands for."""
    if not code:
        return None
    rank = abs(code - 2**17)
    return float(np.sign(code - 2**17)) * (100 + (rank - 2) % 900) * 10.0 ** ((rank - 2) // 900 - 74) if rank else 0.0


@pytest.mark.parametrize("samples", [1, 8, 1000, 70_000])
@pytest.mark.parametrize("kind", ["Relu", "Clip", "shifted", "no pre-activations"])
def test_cells_hold_what_the_audit_holds(samples: int, kind: str) -> None:
    random = np.random.default_rng(samples)
    statuses: list[Status] = [STATUSES[i] for i in random.integers(0, 7, 100)]
    pre = [float(x) for x in random.normal(size=100) * 10.0 ** random.integers(-30, 30, 100)]
    top, shift = (6.0 if kind == "Clip" else np.inf), (1.0 if kind == "shifted" else 0.0)
    peaks = [min(max(x - shift, 0.0), top) for x in pre]
    known = [s not in ("faulty", "unseen") for s in statuses]
    dead = np.array([status == "dead" for status in statuses])
    fired = tuple(int(x) for x in random.integers(0, min(samples, random.choice([3, samples])) + 1, 100) * ~dead)
    firsts = tuple(int(i) if n else None for i, n in zip(random.integers(0, samples, 100), fired, strict=True))
    built = site(
        "r",
        statuses,
        samples=samples,
        fired_samples=fired,
        first_fired=firsts,
        peak=tuple(x if k else None for x, k in zip(peaks, known, strict=True)),
        mean=tuple(x / 3 if k else None for x, k in zip(peaks, known, strict=True)),
        pre_peak=tuple(x if k and kind != "no pre-activations" else None for x, k in zip(pre, known, strict=True)),
    )
    above = {"shifted": 1.0}.get(kind, 0.0)
    lacking = [None if (x := built.pre_peak[unit]) is None else above - x for unit in built.dead]
    built = msgspec.structs.replace(built, causes=all_causes(built.dead, lacking, random))
    (canvas,) = section(html.write(audit(built, samples=samples)), "units").all("canvas")
    told = list(decoded(canvas))
    assert tuple(one.status for one in told) == built.statuses
    assert tuple(one.fired for one in told) == fired
    assert [one.only for one in told] == [first if n == 1 else None for n, first in zip(fired, firsts, strict=True)]
    assert {unit: one.reason for unit, one in enumerate(told) if one.reason} == reasons(built)
    margin = dict(zip(built.dead, lacking, strict=True))
    margins = [margin.get(unit) for unit in range(built.units)]
    for name, values in (("peak", built.peak), ("pre_peak", built.pre_peak), ("mean", built.mean), ("margin", margins)):
        expected = [None if x is None else pytest.approx(float(f"{x:.2e}")) for x in values]
        assert [getattr(one, name) for one in told] == expected
    assert ("data-below" in canvas.attributes) == (kind in ("Relu", "Clip", "no pre-activations"))
    assert bool(canvas.attributes["data-held"]) == (kind in ("Relu", "Clip"))


def test_codes_are_ordered_as_numbers_are() -> None:
    sizes = [m * 10.0**e for m in (1, 1.005, 9.994, 9.996) for e in (-300, -80, -72, -1, 0, 72, 80)]
    numbers = sorted([-x for x in sizes] + [0.0] + sizes)
    ordered = [code(x) for x in numbers]
    assert ordered == sorted(ordered)
    assert all(0 < one < 2**18 for one in ordered)
    assert code(None) == 0
    assert code(-0.0) == code(0.0)


def test_only_marks_that_occur_are_explained(pages: dict[str, str]) -> None:
    def marks(name: str) -> list[str]:
        paths = section(pages[name], "units").all("path")
        return [e.attributes["data-mark"] for e in paths if "data-mark" in e.attributes]

    assert marks("mixed") == ["dead", "always_on", "constant", "faulty", "unseen"]
    assert marks("nothing dead") == []


@pytest.mark.parametrize(("samples", "lowest"), [(1, "1 %"), (100, "1 %"), (101, "0.1 %"), (10_000, "0.01 %")])
def test_the_scale_reaches_down_to_the_smallest_rate_that_can_show(samples: int, lowest: str) -> None:
    part = section(html.write(audit(site("r", ["active"], samples=samples), samples=samples)), "units")
    ticks = [e.text for e in part.all("span", class_="ticks")[0].all("span")]
    assert ticks[0] == lowest
    assert ticks[-1] == "100 %"
    assert part.all("div", class_="bulbs")[0].attributes["data-lowest"] == str(-len(ticks) + 1)


# ---- layers, evidence, the rest


def test_every_layer_with_all_its_numbers(mixed: Audit, pages: dict[str, str]) -> None:
    rows = layer_rows(pages["mixed"])
    assert len(rows) == len(mixed.sites)
    for depth, (row, one) in enumerate(zip(rows, mixed.sites, strict=True), 1):
        told = {name: cell.text for name, cell in row.items()}
        assert told["Depth"] == str(depth)
        assert told["Layer"].startswith(one.tensor)
        assert told["Operator"] == one.op
        assert told["Units"] == str(one.units)
        assert told["Dead"] == str(len(one.dead))
        assert told["Dead share"] == percent(one.dead_fraction)
        assert told["Rare"] == str(len(one.rare))
        assert told["Always on"] == str(len(one.always_on))
        assert told["Constant"] == str(len(one.constant))
        assert told["Faulty"] == str(len(one.faulty))
        assert told["Unseen"] == str(len(one.unseen))
        assert told["Firing rate of samples"] == percent(one.firing_rate)
        assert told["Firing rate of positions"] == percent(one.position_rate)
        assert told["Unit axis"] == ("ASSUMED " if one.assumed else "") + f"axis 1 of n u ~ ~, {one.axis_from}"
        assert ("axis assumed" in told["Layer"]) == one.assumed
        assert indices(told["Dead units, by index"]) == list(one.dead)


def test_long_lists_of_dead_units_are_folded_and_complete() -> None:
    statuses: list[Status] = ["dead" if i % 3 else "active" for i in range(60)] + ["dead"] * 5
    built = site("r", statuses)
    cell = layer_rows(html.write(audit(built)))[0]["Dead units, by index"]
    (folded,) = cell.all("details")
    assert folded.all("summary")[0].text == "45 units"
    assert indices(cell.text.removeprefix("45 units").strip()) == list(built.dead)
    assert cell.text.endswith(f"58{EN_DASH}64")


def test_lists_that_are_cut_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "MOST_RUNS", 8)
    built = audit(site("r1", ["dead", "active"] * 10), site("r2", ["dead"]), site("r3", ["active"]))
    cell = layer_rows(html.write(built))[0]["Dead units, by index"]
    assert cell.text.endswith("0, 2, 4, 6 and 6 more, listed in the JSON report")


def test_layers_counted_in_runs_say_runs() -> None:
    page = html.write(audit(site("r", ["dead", "active"], per_run=True)))
    row = layer_rows(page)[0]
    assert row["Firing rate of samples"].text.endswith("of runs")
    assert "counted per run" in row["Layer"].text
    assert f"all 1,000 runs below {percent(rate_below(1000), 2)} of runs" in section(page, "evidence").text
    assert section(page, "units").all("canvas")[0].attributes["data-counted"] == "runs"


def test_sites_that_share_weights_are_all_named() -> None:
    cell = layer_rows(html.write(audit(site("a", ["dead"], tensors=("a", "b", "c")))))[0]["Layer"]
    assert cell.all("summary")[0].text == "and 2 sharing its weights"
    assert [li.text for li in cell.all("li")] == ["b", "c"]


def test_sites_in_subgraphs_are_named_with_their_scope() -> None:
    page = html.write(audit(site("t", ["dead"], scope="If_0/then", unit_axis=None, layout="")))
    assert layer_rows(page)[0]["Layer"].text == "If_0/then/t"
    assert layer_rows(page)[0]["Unit axis"].text.startswith("no axis, ")


def test_evidence_gives_bound_and_near_misses() -> None:
    statuses: list[Status] = ["dead", "dead", "active", "rare", "faulty", "active"]
    one = site(
        "r",
        statuses,
        samples=300,
        pre_peak=(-0.5, -0.001234, 2.0, 0.25, None, 3.0),
        peak=(0.0, 0.0, 2.0, 0.25, None, 3.0),
    )
    page = html.write(audit(one, site("fine", ["active"]), samples=500))
    (table,) = section(page, "evidence").all("table", class_="evidence")
    (row,) = [tr.text for tr in table.all("tbody")[0].all("tr")]
    assert "all 300 samples" in row
    assert f"below {percent(rate_below(300), 2)} of samples" in row
    assert f"{MINUS}0.00123 unit 1" in row
    assert "0.25 unit 3" in row
    assert f"{limit(0.95)} confidence" in section(page, "evidence").text


def test_evidence_says_what_was_not_recorded() -> None:
    text = section(html.write(audit(site("r", ["dead"], pre_peak=(None,)))), "evidence").text
    assert "not recorded" in text
    assert "none alive" in text


def test_what_was_not_observed_and_what_stays_alive_is_listed(pages: dict[str, str]) -> None:
    skipped, alive = (cells(body) for body in section(pages["mixed"], "unobserved").all("tbody"))
    assert skipped == ["deep", "If_0/then", "Relu", "in-subgraph", "not yet"]
    assert alive == ["leak", "main graph", "LeakyRelu", "slope 0.1 below zero"]


def test_provenance_tells_what_was_audited_with_what(mixed: Audit, pages: dict[str, str]) -> None:
    text = section(pages["mixed"], "provenance").text
    for fact in (
        mixed.model.sha256,
        mixed.data.sha256,
        "pytorch 2",
        "format version 9; operator sets ai.onnx 17",
        "12,345",
        "cal.npz",
        f"1000 {TIMES} 3",
        "samples along the batch axis",
        "relu-audit 9.9",
        "onnxruntime 1.2, CPU",
        "at most 12.5 % of all units dead; at most 90 % of any layer dead",
        "one remark",
    ):
        assert fact in text, fact


# ---- fragments


def test_fragments_hold_the_table_and_disturb_nothing(mixed: Audit) -> None:
    part = html.fragment(mixed)
    root = read(part)
    (top,) = [e for e in root.children if isinstance(e, Element)]
    assert top.attributes == {"class": "relu-audit"}
    for element in root.below():
        assert element.tag not in ("script", "link", "img", "h1", "h2", "html", "body")
        assert not set(element.attributes) & {"id", "style", "href", "src"}
    (style,) = root.all("style")
    rules = re.findall(r"([^{}]+){[^}]*}", re.sub(r"/\*.*?\*/", "", style.text))
    assert rules
    assert all(one.strip().startswith(".relu-audit ") for rule in rules for one in rule.split(","))
    rows = [cells(tr) for tr in root.all("tbody")[0].all("tr")]
    assert [row[0].split()[0] for row in rows] == [one.tensor for one in mixed.sites]
    assert [row[2:5] for row in rows] == [
        [str(s.units), str(len(s.dead)), percent(s.dead_fraction)] for s in mixed.sites
    ]


def test_fragments_of_nothing_say_so() -> None:
    part = read(html.fragment(audit()))
    assert "Nothing to audit" in part.text
    assert not part.all("table")


# ---- numbers


def test_measured_values_keep_three_digits() -> None:
    cases = {
        0.0: "0", 6.0: "6", 0.73238: "0.732", -1.5576e-8: f"{MINUS}1.56e-8", 12345.0: "12300", 9.996: "10",
        1e-5: "0.00001", 9.99e-6: "9.99e-6", 1e9: "1e9", -2.5e30: f"{MINUS}2.5e30", None: EN_DASH,
    }  # fmt: skip
    assert {x: numbers.measured(x) for x in cases} == cases
    assert numbers.measured(-0.0) == "0"


def test_bounds_are_never_shown_as_below_something() -> None:
    assert numbers.bound(rate_below(24)) == percent(rate_below(24), 2)
    assert numbers.bound(rate_below(100_000)) == "0.003 %"
    assert numbers.bound(rate_below(10**8)) == "0.000003 %"
    assert numbers.bound(None) == EN_DASH


# ---- size, and a real model


@pytest.mark.parametrize("dead", [0.05, 0.3, 0.9])
def test_a_large_model_stays_small_and_quick(dead: float) -> None:
    from tests.large_audit import large_audit

    built = large_audit(dead=dead)
    assert built.units >= 350_000
    assert built.dead / built.units == pytest.approx(dead, abs=0.01)
    start = time.monotonic()
    page = html.write(built)
    assert time.monotonic() - start < 30
    assert len(page.encode()) < 3_000_000
    assert page.count("<canvas") == len(built.sites)
    assert len(html.fragment(built)) < 100_000


def test_a_real_audit() -> None:
    weight = np.array([[1, -1, 1], [1, -1, -1]], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["hidden<1>"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("hidden<1>", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    data = np.abs(np.random.default_rng(0).normal(size=(300, 2))).astype(np.float32) + 0.1
    built = relu_audit.audit(model, {"x": data}, max_dead=0.1)
    page = html.write(built)
    assert section(page, "verdict").all("h2")[0].text == "Gate: Failed"
    (row,) = layer_rows(page)
    assert row["Layer"].text == "hidden<1>"
    assert indices(row["Dead units, by index"].text) == [1] == list(built.sites[0].dead)
