"""The page of a pruning: its numbers are the record's, hostile names stay names, and it needs nothing but itself."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

import relu_audit
import relu_audit.api.prune
from relu_audit.cli import run
from relu_audit.records import Audit, ExternalFile
from relu_audit.records.pruning import (
    Comparison,
    Cost,
    Cut,
    Fold,
    KeptUnit,
    Latency,
    Plan,
    PruningRecord,
    RemovedUnit,
    Verification,
)
from relu_audit.report.numbers import change, count
from relu_audit.report.pruning import html as pruning_html
from relu_audit.report.pruning import sections as pruning_sections
from relu_audit.report.pruning import text as pruning
from relu_audit.report.pruning.refusals import EXPLAINED, UNKNOWN
from tests.graphs import mlp
from tests.test_report_html import EN_DASH, EVIL, Element, audit, indices, read, section, site

TEMPLATES = Path(pruning_html.__file__).parents[1] / "templates"
COST = Cost(parameters=264732, multiply_adds=81410560, bytes=1059128)


@dataclass(frozen=True)
class Case:
    """A record, the audit it rests on, and their page."""

    record: PruningRecord
    audit: Audit

    @property
    def page(self) -> str:
        """The page."""
        return pruning_html.write(self.record, self.audit)

    @property
    def plan(self) -> Plan:
        """What was done."""
        return self.record.plan


def plan(**changes: Any) -> Plan:
    """A plan that does nothing, but for the changes."""
    fields: dict[str, Any] = {"removed": (), "kept": (), "cuts": (), "dropped": (), "folds": (), "align": 8}
    return Plan(**{**fields, "before": COST, "after": COST, **changes})


def record(**changes: Any) -> PruningRecord:
    """The record of a dry run of nothing, but for the changes."""
    fields: dict[str, Any] = {
        "tool": "relu-audit 9.9",
        "model": "model.onnx",
        "sha256": "e" * 64,
        "premise": "what was cut was silent on 1000 samples of cal.npz (data dd)",
        "plan": plan(),
        "verification": None,
        "files": None,
        "latency": None,
        "data": audit().data,
        "runtime": audit().runtime,
    }
    return PruningRecord(**{**fields, **changes})


def comparison(**changes: Any) -> Comparison:
    """A comparison that went well."""
    fields: dict[str, Any] = {"inputs": "calibration", "optimized": True, "runs": 24}
    return Comparison(**{**fields, "max_abs_difference": 0.0, "scale": 58.44275665283203, "relative": 0.0, **changes})


def verification(*comparisons: Comparison, limit: float = 1e-5) -> Verification:
    """Comparisons with the worst of them."""
    worst = max(comparisons, key=lambda one: one.relative)
    return Verification(
        max_abs_difference=max(one.max_abs_difference for one in comparisons),
        scale=worst.scale,
        relative=worst.relative,
        limit=limit,
        passed=worst.relative <= limit,
        comparisons=comparisons,
    )


def removed(tensor: str, units: tuple[int, ...], why: str = "dead") -> tuple[RemovedUnit, ...]:
    """Units of one layer that went."""
    return tuple(RemovedUnit(tensor=tensor, unit=unit, why=why) for unit in units)


def kept(tensor: str, units: tuple[int, ...], slug: str, detail: str, why: str = "dead") -> tuple[KeptUnit, ...]:
    """Units of one layer that stay."""
    return tuple(KeptUnit(tensor=tensor, unit=unit, why=why, slug=slug, detail=detail) for unit in units)


def full_case() -> Case:
    """Everything that a record can hold."""
    sites = (
        site("first", ["dead"] * 12 + ["active"] * 20),
        site("alive", ["active"] * 4),
        site("second", [*(["dead"] * 3), "constant", "constant", *(["active"] * 3)], scope="If_0/then"),
    )
    done = plan(
        removed=(
            *removed("first", (0, 1, 2, 3, 5, 6, 8, 10)),
            *removed("second", (3,), "constant"),
            *removed("second", (7,), "unread"),
        ),
        kept=(
            *kept("first", (4, 7, 9, 11), "alignment", "axis 0 of 'first.bias' keeps to its alignment"),
            *kept("second", (0, 1), "partner-alive", "Conv 'c' reads 'v', where it is not silent"),
            *kept("second", (2,), "partner-alive", "Conv 'd' reads 'v', where it is not silent"),
            *kept("second", (4,), "not-by-structure", "it had one value on all data", "constant"),
        ),
        cuts=(
            Cut(initializer="first.weight", axis=0, indices=(0, 1, 2, 3, 5, 6, 8, 10), size=32),
            Cut(initializer="second.weight", axis=1, indices=tuple(range(0, 1600, 2)), size=3200),
        ),
        dropped=("num_batches_tracked", "gone"),
        folds=(Fold(initializer="second.bias", note="1 constant"),),
        after=Cost(parameters=247604, multiply_adds=80508000, bytes=990416),
    )
    checks = verification(
        comparison(
            max_abs_difference=1.9669532775878906e-06, relative=1.9669558568614036e-06, scale=0.9999986886978149
        ),
        comparison(inputs="held", optimized=False, runs=4, scale=0.99436),
    )
    latency = Latency(before=(13.9, 13.916670000980957, 14.1), after=(12.4, 12.489399001424317, 12.5))
    return Case(record(plan=done, verification=checks, latency=latency), audit(*sites, samples=24))


def evil_case() -> Case:
    """A name with markup in it at every place of a record that takes one, each with a number of its own."""
    number = iter(range(100))

    def name() -> str:
        return f"{EVIL}[{next(number)}]"

    tensor, other = name(), name()
    done = plan(
        removed=removed(tensor, (0,), name()),
        kept=(*kept(tensor, (1,), name(), name()), *kept(other, (0,), "alignment", name())),
        cuts=(Cut(initializer=name(), axis=0, indices=(0,), size=2),),
        dropped=(name(),),
        folds=(Fold(initializer=name(), note=name()),),
        spared=(name(), name()),
    )
    built = record(
        tool=name(),
        model=name(),
        sha256=name(),
        premise=name(),
        plan=done,
        verification=verification(comparison(inputs=name())),
    )
    shown = audit(site(tensor, ["dead", "dead"], scope=name()), synthetic=True, partial=True, tool=name())
    external = (ExternalFile(location=name(), sha256="f" * 64),)
    model = msgspec.structs.replace(shown.model, producer=name(), external=external)
    runtime = msgspec.structs.replace(shown.runtime, onnxruntime=name(), provider=name())
    data = msgspec.structs.replace(shown.data, source=name())
    return Case(built, msgspec.structs.replace(shown, model=model, runtime=runtime, data=data))


@pytest.fixture(scope="module")
def full() -> Case:
    return full_case()


@pytest.fixture(scope="module")
def evil() -> Case:
    return evil_case()


@pytest.fixture(scope="module")
def cases(full: Case, evil: Case) -> dict[str, Case]:
    dead = audit(site("r", ["dead", "active"]))
    stays = kept("r", (0,), "last-unit", "it is the only unit of its layer")
    wrong = verification(comparison(relative=0.5, max_abs_difference=2.0, scale=4.0))
    return {
        "full": full,
        "evil": evil,
        "dry": Case(msgspec.structs.replace(full.record, verification=None, latency=None), full.audit),
        "empty": Case(record(), audit()),
        "nothing dead": Case(record(verification=verification(comparison())), audit(site("r", ["active"]))),
        "nothing can go": Case(record(plan=plan(kept=stays), verification=verification(comparison())), dead),
        "wrong": Case(record(plan=plan(removed=removed("r", (0,))), verification=wrong), dead),
        "unknown layer": Case(record(plan=plan(kept=kept("other", (0,), "new-slug", "x"))), dead),
        "sizes unknown": Case(
            record(plan=plan(before=Cost(parameters=0, multiply_adds=None, bytes=0), after=COST)), dead
        ),
    }


def table(part: Element, number: int = 0) -> list[dict[str, Element]]:
    """The rows of a table's body, their cells by column."""
    found = part.all("table")[number]
    heads = [th.text for th in found.all("thead")[0].all("th")]
    rows = [[e for e in tr.children if isinstance(e, Element)] for tr in found.all("tbody")[0].all("tr")]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def listed(cell: Element) -> list[int]:
    """The unit numbers in a cell, folded or not."""
    summaries = "".join(e.text for e in cell.all("summary"))
    return indices(cell.text.removeprefix(summaries).strip())


def exact(cell: Element) -> float:
    """The number in a cell, with all its digits."""
    (data,) = cell.all("data")
    return float(data.attributes["value"])


# ---- the page as a document


def test_pages_are_well_formed_and_can_be_read_aloud(cases: dict[str, Case]) -> None:
    for case in cases.values():
        assert case.page.startswith("<!DOCTYPE html>")
        root = read(case.page)
        ids = [e.attributes["id"] for e in root.below() if "id" in e.attributes]
        assert len(ids) == len(set(ids))
        assert {e.attributes["href"].removeprefix("#") for e in root.all("a")} <= set(ids)
        named = [
            e.attributes[k] for e in root.below() for k in ("aria-labelledby", "aria-describedby") if k in e.attributes
        ]
        assert set(named) <= set(ids)
        levels = [int(e.tag[1]) for e in root.below() if re.fullmatch("h[1-6]", e.tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        for found in root.all("table"):
            assert found.all("caption")[0].text
            assert all(
                th.attributes.get("scope") in ("col", "row") and th.text for th in found.all("thead")[0].all("th")
            )
            assert all(tr.all("th", scope="row") for tr in found.all("tbody")[0].all("tr"))
        for svg in root.all("svg"):
            assert svg.attributes.get("aria-hidden") == "true" or svg.attributes.get("aria-label")


def test_sections_come_in_their_order(full: Case) -> None:
    found = [e.attributes["id"] for e in read(full.page).all("section")]
    assert found == ["verdict", "change", "layers", "refusals", "cuts", "checks", "provenance"]


def test_nothing_is_loaded_and_nothing_stands_in_attributes_that_the_policy_forbids(cases: dict[str, Case]) -> None:
    for case in cases.values():
        assert not re.search(r"https?:|@import|url\((?!#)", case.page)
        for element in read(case.page).below():
            assert element.tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
            names = set(element.attributes)
            assert not names & {"style", "src", "srcset", "action", "xlink:href"}
            assert not [n for n in names if n.startswith("on")]


def test_the_policy_allows_the_inline_blocks_by_hash_and_nothing_else(cases: dict[str, Case]) -> None:
    for case in cases.values():
        page = case.page
        (meta,) = [e for e in read(page).all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy"]
        policy = {part.split()[0]: set(part.split()[1:]) for part in meta.attributes["content"].split("; ")}
        for tag, files in (("style", pruning_html.STYLES), ("script", pruning_html.SCRIPTS)):
            blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
            assert len(blocks) == page.count(f"<{tag}") == len(files)
            hashes = {base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in blocks}
            assert policy.pop(f"{tag}-src") == {f"'sha256-{h}'" for h in hashes}
        assert policy == {"default-src": {"'none'"}, "base-uri": {"'none'"}, "form-action": {"'none'"}}
        assert page.index("Content-Security-Policy") < page.index("<style")


def test_colours_are_those_of_the_audits_page() -> None:
    assert not re.search(r"#[0-9a-f]{3,}\b|rgb|hsl", (TEMPLATES / "pruning/pruning.css").read_text("utf-8"))


# ---- hostile names


def test_names_with_markup_are_shown_as_they_are_and_never_become_markup(evil: Case) -> None:
    page = evil.page
    assert "<script>alert" not in page
    assert EVIL not in page
    root = read(page)
    assert len(root.all("script")) == len(pruning_html.SCRIPTS)
    shown = "".join(root.pieces()) + "".join(v for e in root.below() for v in e.attributes.values())
    # Why a unit went is counted, and never shown as it stands.
    places = set(re.findall(r"\[\d+\]", pruning.write(evil.record))) - set(
        re.findall(r"\[\d+\]", evil.plan.removed[0].why)
    )
    assert len(places) > 12
    assert {place for place in places if EVIL + place not in shown} == set()


@pytest.mark.parametrize("field", ["model", "premise", "tensor", "slug", "detail", "initializer", "dropped", "note"])
def test_letters_that_are_read_from_the_right_turn_no_text_around_them(field: str) -> None:
    name = "a\u05d0b"
    names = dict.fromkeys(("model", "premise", "tensor", "slug", "detail", "initializer", "dropped", "note"), "plain")
    names[field] = name
    done = plan(
        removed=removed(names["tensor"], (1,)),
        kept=kept(names["tensor"], (0,), names["slug"], names["detail"]),
        cuts=(Cut(initializer=names["initializer"], axis=0, indices=(1,), size=2),),
        dropped=(names["dropped"],),
        folds=(Fold(initializer="f", note=names["note"]),),
    )
    built = record(plan=done, model=names["model"], premise=names["premise"])
    root = read(pruning_html.write(built, audit(site(names["tensor"], ["dead", "dead"]))))
    holders = [e for e in root.below() if any(isinstance(c, str) and name in c for c in e.children)]
    assert {e.tag for e in holders} - {"title"} == {"bdi"}


def test_names_that_no_document_can_hold_are_still_written() -> None:
    page = pruning_html.write(record(model="a\udc80b\x00c\x1b[31md\r\x85e\u202e\u2028"), audit())
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]", page)
    assert "e\\u202e\\u2028" in page


# ---- the numbers


def test_the_verdict_says_what_went_what_stays_and_what_the_model_costs(full: Case) -> None:
    part = section(full.page, "verdict")
    assert part.all("h2")[0].text == "Result: Verified"
    assert part.all("p", class_="lead")[0].text == (
        "8 of 15 dead units removed, and 2 that nobody reads or that are constant."
    )
    assert "7 dead units and 1 constant one stay: alignment 4, partner-alive 3, not-by-structure 1." in part.text
    assert (
        "247,604 parameters (6.5 % less), 80,508,000 multiply-adds (1.1 % less), 990,416 bytes of weights" in part.text
    )
    assert "12.5 milliseconds a run (1.11 times as fast)" in part.text
    assert "within the limit Outputs differ by at most 1.97e-06 of the largest; the limit is 1e-05." in part.text
    assert full.record.premise in part.text
    totals = [e.text for e in part.all("dl", class_="totals")[0].all("dd")]
    assert totals == ["44 in 3 layers", "10 8 dead, 1 constant, 1 unread", "8 7 dead, 1 constant", "26"]


def test_costs_are_the_records_with_bars_of_their_lengths(full: Case) -> None:
    rows = table(section(full.page, "change"))
    old, new, latency = full.plan.before, full.plan.after, full.record.latency
    assert latency is not None
    wanted = [(getattr(old, name), getattr(new, name)) for name in ("parameters", "multiply_adds", "bytes")]
    wanted.append((latency.before_ms, latency.after_ms))
    assert [(exact(row["Before"]), exact(row["After"])) for row in rows] == wanted
    assert [row["After"].text for row in rows[:3]] == [count(after) for _, after in wanted[:3]]
    for row, (before, after) in zip(rows, wanted, strict=True):
        first, second = (
            float(svg.all("rect")[0].attributes["width"].removesuffix("%")) for svg in row["Bars"].all("svg")
        )
        assert second / first == pytest.approx(after / before, rel=1e-4)
        assert max(first, second) == 100


def test_every_layer_with_the_numbers_of_plan_and_audit(full: Case) -> None:
    part = section(full.page, "layers")
    rows = table(part)
    touched = [one for one in full.audit.sites if one.tensor != "alive"]
    assert [row["Layer"].text for row in rows] == ["first", "If_0/then/second"]
    for row, one in zip(rows, touched, strict=True):
        gone = [unit.unit for unit in full.plan.removed if unit.tensor == one.tensor]
        why = Counter(unit.slug for unit in full.plan.kept if unit.tensor == one.tensor)
        numbers = [int(row[name].text) for name in ("Units", "Dead", "Removed", "Kept")]
        assert numbers == [one.units, len(one.dead), len(gone), why.total()]
        assert row["Why kept"].text == ", ".join(f"{slug} {n}" for slug, n in why.most_common())
        assert listed(row["Removed units, by index"]) == gone
        (bar,) = row["Bar"].all("svg")
        assert bar.attributes["aria-label"].strip() == (
            f"{one.units - len(gone) - why.total()} not touched, {why.total()} kept, {len(gone)} removed"
        )
    assert part.all("table")[0].attributes.keys() >= {"data-sortable"}
    assert [e.text for e in part.all("tfoot")[0].all("td")][2:6] == ["40", "15", "10", "8"]


def test_every_kept_unit_stands_under_its_reason_with_its_detail(full: Case) -> None:
    part = section(full.page, "refusals")
    assert [(row["Reason"].text, row["Units"].text) for row in table(part)] == [
        ("alignment", "4"),
        ("partner-alive", "3"),
        ("not-by-structure", "1"),
    ]
    found: set[tuple[str, int, str, str]] = set()
    for article in part.all("article"):
        slug = article.all("code")[0].text
        assert EXPLAINED[slug].meaning in article.text
        assert EXPLAINED[slug].remedy in article.text
        for row in table(article):
            units = listed(row["By index"])
            assert len(units) == int(row["Units"].text)
            tensor = row["Layer"].text.split("/")[-1]
            found |= {(tensor, unit, slug, row["Detail"].text) for unit in units}
    assert found == {(one.tensor, one.unit, one.slug, one.detail) for one in full.plan.kept}


def test_every_cut_fold_and_dropped_initializer_is_listed(full: Case) -> None:
    part = section(full.page, "cuts")
    for row, cut in zip(table(part), full.plan.cuts, strict=True):
        assert row["Initializer"].text == cut.initializer
        assert [
            int(row[name].attributes.get("data-sort", row[name].text)) for name in ("Axis", "Cut", "Of", "Left")
        ] == [
            cut.axis,
            len(cut.indices),
            cut.size,
            cut.size - len(cut.indices),
        ]
        assert listed(row["Indices"]) == list(cut.indices)
    assert [(row["Initializer"].text, row["What"].text) for row in table(part, 1)] == [("second.bias", "1 constant")]
    assert [e.text for e in part.all("ul", class_="names")[0].all("li")] == list(full.plan.dropped)


def test_every_comparison_is_listed_with_all_its_digits(full: Case) -> None:
    part = section(full.page, "checks")
    check = full.record.verification
    assert check is not None
    columns = ("Runs", "Largest difference", "Largest output", "Relative")
    for row, one in zip(table(part), check.comparisons, strict=True):
        assert row["Inputs"].text == pruning.INPUTS[one.inputs]
        assert row["Graph optimisation"].text == ("on" if one.optimized else "off")
        assert [exact(row[name]) for name in columns] == [one.runs, one.max_abs_difference, one.scale, one.relative]
        assert row["Result"].text == "within"
    worst = [exact(e) for e in part.all("tfoot")[0].all("td") if e.all("data")]
    assert worst == [check.max_abs_difference, check.scale, check.relative]


def test_provenance_tells_what_was_pruned_with_what(full: Case) -> None:
    text = section(full.page, "provenance").text
    data = full.audit.data
    for fact in (full.record.model, full.record.sha256, data.source, data.sha256, full.record.tool, "--align 8"):
        assert fact in text


# ---- what there may not be


def test_a_dry_run_does_not_say_that_anything_was_done(cases: dict[str, Case]) -> None:
    page = cases["dry"].page
    part = section(page, "verdict")
    assert part.all("h2")[0].text == "Result: Dry run"
    assert "8 of 15 dead units would go" in part.text
    assert "The model would cost" in part.text
    assert section(page, "checks").text == "Verification Nothing was written, so nothing was compared."
    assert "not measured" in section(page, "change").text
    assert not re.search(r"\b(removed\.|was cut|now costs)", part.text.replace(cases["dry"].record.premise, ""))


def test_pages_of_nothing_say_so(cases: dict[str, Case]) -> None:
    said = {
        "empty": ("Dry run", "There is nothing to remove."),
        "nothing dead": ("Nothing to cut", "There is nothing to remove."),
        "nothing can go": ("Nothing to cut", "Nothing can be removed."),
    }
    for name, (word, lead) in said.items():
        root = read(cases[name].page)
        assert root.all("h2")[0].text == f"Result: {word}"
        assert root.all("p", class_="lead")[0].text == lead
        assert "No initializer loses anything." in section(cases[name].page, "cuts").text
    assert not read(cases["empty"].page).all("section", id="layers")
    assert "1 dead unit stays: last-unit 1." in section(cases["nothing can go"].page, "verdict").text
    assert "No dead or constant unit stays." in section(cases["empty"].page, "refusals").text


def test_a_wrong_result_does_not_look_right(cases: dict[str, Case]) -> None:
    part = section(cases["wrong"].page, "verdict")
    assert part.all("h2")[0].text == "Result: Not the same"
    assert part.all("div", class_="verdict failed")
    assert "over the limit Outputs differ by at most 0.5 of the largest" in part.text
    assert table(section(cases["wrong"].page, "checks"))[0]["Result"].text == "over"


def test_what_else_was_cut_is_not_called_nothing() -> None:
    case = Case(record(plan=plan(cuts=(Cut(initializer="w", axis=0, indices=(0,), size=2),))), audit())
    assert "what else nobody reads would go" in section(case.page, "verdict").text


def test_unknown_layers_reasons_and_sizes_are_told_as_they_are(cases: dict[str, Case]) -> None:
    part = section(cases["unknown layer"].page, "refusals")
    assert UNKNOWN.meaning in part.text
    assert table(part.all("article")[0])[0]["Layer"].text == "other"
    row = table(section(cases["sizes unknown"].page, "change"))[1]
    assert (row["Before"].text, row["Change"].text) == (EN_DASH, EN_DASH)
    assert "not known" in row["Bars"].text


def test_what_puts_a_result_in_doubt_is_marked(evil: Case) -> None:
    markers = [e.text for e in section(evil.page, "verdict").all("p", class_="marker")]
    assert [text.split()[0] for text in markers] == ["Made-up", "Interrupted"]


def test_changes_in_words() -> None:
    assert [change(*pair) for pair in ((200, 150), (200, 250), (3, 3), (0, 5), (2, 9), (1000, 1999), (5, 0))] == [
        "25.0 % less",
        "25.0 % more",
        "the same",
        "more",
        "4.5 times as much",
        "99.9 % more",
        "100 % less",
    ]


# ---- reasons


def test_every_reason_of_the_source_is_explained() -> None:
    source = Path(relu_audit.__file__).parent / "surgery"
    slugs: set[str] = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("pin"):
                slugs |= {a.value for a in node.args[1:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and path.stem in ("reasons", "solve"):
                slugs |= {node.value} if re.fullmatch(r"[a-z]+(-[a-z]+)+|needed|alignment", node.value) else set()
            elif isinstance(node, ast.Call) and not ast.unparse(node.func).endswith("Error"):
                slugs |= {
                    str(k.value.value) for k in node.keywords if k.arg == "slug" and isinstance(k.value, ast.Constant)
                }
    assert slugs == set(EXPLAINED)


# ---- size


def test_a_model_of_300_layers_stays_small_and_quick() -> None:
    random = np.random.default_rng(0)
    one = site("r", [("dead", "active")[i] for i in random.integers(0, 2, 512)])
    sites = [msgspec.structs.replace(one, tensor=f"/encoder/layer.{i}/mlp/act/Relu_output_0") for i in range(300)]
    gone = tuple(u for s in sites for u in removed(s.tensor, s.dead[::2]))
    stay = tuple(u for s in sites for u in kept(s.tensor, s.dead[1::2], "alignment", f"axis 0 of '{s.tensor}' keeps"))
    cuts = tuple(Cut(initializer=f"{s.tensor}.{i}", axis=0, indices=s.dead[::2], size=512) for s in sites for i in "ab")
    case = Case(record(plan=plan(removed=gone, kept=stay, cuts=cuts)), audit(*sites))
    start = time.monotonic()
    page = case.page
    assert time.monotonic() - start < 10
    assert len(page.encode()) < 1_000_000
    rows = table(section(page, "layers"))
    assert len(rows) == 300
    assert sum(int(row["Removed"].text) for row in rows) == len(gone)


def test_lists_that_are_cut_say_so(monkeypatch: pytest.MonkeyPatch, full: Case) -> None:
    monkeypatch.setattr(pruning_sections, "MOST_RUNS", 6)
    monkeypatch.setattr(pruning_sections, "MOST_ROWS", 3)
    page = full.page
    assert "and 797 more, listed in the JSON report" in section(page, "cuts").text
    assert "And 1 unit in 1 further group, listed in the JSON report." in section(page, "refusals").text
    assert "more, listed in the JSON report" in section(page, "layers").text


# ---- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of 20 units of which four are dead, and data."""
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 20, 3), dead={0: (1, 5, 6, 19)}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32))
    return tmp_path


def command(*arguments: str) -> int:
    return run(["prune", "m.onnx", "--data", "d.npz", "--no-latency", *arguments])


def test_the_command_writes_the_page_of_its_record(folder: Path) -> None:
    assert command("-o", "s.onnx", "--html", "p.html", "--json", "p.json", "-q") == 0
    page, told = (folder / "p.html").read_text("utf-8"), json.loads((folder / "p.json").read_text())
    (row,) = table(section(page, "layers"))
    assert listed(row["Removed units, by index"]) == [one["unit"] for one in told["plan"]["removed"]] == [1, 5, 6, 19]
    assert exact(table(section(page, "change"))[0]["After"]) == told["plan"]["after"]["parameters"]
    assert exact(section(page, "checks").all("caption")[0]) == told["verification"]["limit"]
    assert told["sha256"] in section(page, "provenance").text


def test_the_page_on_standard_output_is_all_there_is_on_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--dry-run", "--html", "-") == 0
    captured = capsys.readouterr()
    assert section(captured.out, "verdict").all("h2")[0].text == "Result: Dry run"
    assert captured.out.rstrip().endswith("</html>")
    assert "dead units can be removed" in captured.err
    assert {path.name for path in folder.iterdir()} == {"m.onnx", "d.npz"}


def test_targets_that_are_one_place_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--dry-run", "--html", "-", "--json", "-") == 2
    assert "--json and --html both write to standard output" in capsys.readouterr().err
    assert command("-o", "s.onnx", "--html", "s.onnx") == 2
    assert "one file" in capsys.readouterr().err
    assert not (folder / "s.onnx").exists()
