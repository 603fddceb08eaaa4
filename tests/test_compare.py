"""Two audits held against each other: every unit is in one list, and every format says so whatever the names."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

import relu_audit
from relu_audit import AuditError, Comparison, compare
from relu_audit.cli import run
from relu_audit.judge.comparison import BECAME, LISTS
from relu_audit.records import Audit, Policy, SiteAudit, Status
from relu_audit.report.comparison import html as comparison_html
from relu_audit.report.comparison import markdown as comparison_markdown
from relu_audit.report.comparison import text as comparison
from relu_audit.report.json import write as write_audit
from tests.hostile import ROOT, audits, judged, sample
from tests.layers import judge, measure, site
from tests.test_report_html import read

HEALTHY, DEAD = (ROOT / f"reports/mlp_{kind}.json" for kind in ("healthy", "dead"))
many = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
sets = st.sets(st.integers(0, 9))


def of(*sites: SiteAudit, samples: int = 1797, **changes: Any) -> Audit:
    base = sample("mlp_dead")
    data = msgspec.structs.replace(base.data, samples=samples, distinct=None)
    return judged(msgspec.structs.replace(base, sites=sites, data=data, prospect=None, **changes))


def printed(found: Comparison) -> str:
    console = Console(width=120, no_color=True, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(comparison.render(found))
    return capture.get()


# What became of the units -------------------------------------------------------------------------------------------


def test_the_table_knows_every_pair_of_statuses() -> None:
    kinds = {"fired", "dead", "faulty", "unseen"}
    assert set(BECAME) == set(itertools.product(kinds, repeat=2))
    assert set(BECAME.values()) == {*LISTS, None}
    assert kinds - {"fired"} <= set(get_args(Status))


@given(sets, sets, sets, sets)
@settings(max_examples=100, deadline=None)
def test_every_unit_is_in_one_list_or_fired_in_both(
    old_dead: set[int], new_dead: set[int], old_faulty: set[int], new_faulty: set[int]
) -> None:
    old = site(10, sorted(old_dead - old_faulty), faulty=sorted(old_faulty))
    new = site(10, sorted(new_dead - new_faulty), faulty=sorted(new_faulty))
    (layer,) = compare(of(old), of(new)).layers
    listed = [unit for name in LISTS for unit in getattr(layer, name)]
    assert len(listed) == len(set(listed))
    assert set(listed) == {*old.dead, *new.dead, *old.faulty, *new.faulty}
    assert set(layer.died) == set(new.dead) - set(old.dead)
    assert set(layer.broke) == set(new.faulty) - set(old.faulty)
    (back,) = compare(of(new), of(old)).layers
    assert (back.died, back.stayed, back.broke) == (
        layer.revived,
        layer.stayed,
        layer.mended,
    ) or old_faulty | new_faulty
    assert compare(of(old), of(new)).worse == bool(layer.died or layer.broke)


@pytest.mark.parametrize(
    ("old", "new", "lists"),
    [
        (site(4, 0, unseen=2), site(4, (2,)), {"undecided": (2,), "untold": (3,)}),
        (site(4, 0, unseen=1), site(4, faulty=(3,)), {"undecided": (3,)}),
        (site(4, (3,)), site(4, 0, unseen=1), {"undecided": (3,)}),
        (site(4, faulty=(3,)), site(4, 0, unseen=1), {"undecided": (3,)}),
        (site(4), site(4, 0, unseen=1), {"undecided": (3,)}),
        (site(4, 0, unseen=1), site(4, 0, unseen=1), {"untold": (3,)}),
    ],
)
def test_unit_that_was_not_reached_neither_died_nor_revived(
    old: SiteAudit, new: SiteAudit, lists: dict[str, tuple[int, ...]]
) -> None:
    found = compare(of(old), of(new))
    assert {name: units for name in LISTS if (units := getattr(found.layers[0], name))} == lists
    assert not found.worse
    assert found.outcome == ("inconclusive" if "undecided" in lists else "unchanged")


STATES = ("fired", "dead", "faulty", "unseen")


def one_unit(state: str) -> SiteAudit:
    """A layer whose first unit fires, and whose other one is in this state."""
    marked = (1,) if state in ("dead", "faulty") else ()
    if state == "unseen":
        return site(2, 0, unseen=1)
    return site(2, marked if state == "dead" else (), faulty=marked if state == "faulty" else ())


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_gate_and_comparison_judge_alike(before: str, after: str) -> None:
    old, new = one_unit(before), one_unit(after)
    found = compare(of(old), of(new))
    code = 1 if found.worse else 3 if found.reasons else 0
    word = judge(Policy(max_dead=0.0), new, baseline=measure(old)).outcome
    if before == after == "unseen":  # a gate is always inconclusive over units that no sample reaches
        assert (code, word) == (0, "inconclusive")
    else:
        assert {0: "passed", 1: "failed", 3: "inconclusive"}[code] == word


# What it comes to ---------------------------------------------------------------------------------------------------


NET = {
    "a hundred and twenty dead become four": (site(128, 120), site(128, 4), "better", 0),
    "of four dead one is new": (site(128, 120), site(128, (0, 1, 2, 127)), "better", 1),
    "more die than revive": (site(9, (1,)), site(9, (2, 3)), "worse", 1),
    "one dies for one that revives": (site(9, (1,)), site(9, (2,)), "mixed", 1),
    "fewer are dead and more faulty": (site(9, (1, 2)), site(9, faulty=(4,)), "mixed", 1),
    "NaN is gone": (site(9, faulty=(4,)), site(9), "better", 0),
    "NaN became silence": (site(9, faulty=(4,)), site(9, (4,)), "worse", 1),
    "silence became NaN": (site(9, (4,)), site(9, faulty=(4,)), "worse", 1),
    "all as it was": (site(9, (4,)), site(9, (4,)), "unchanged", 0),
}
DOUBTFUL = {f"{name}, and of others nobody knows": case for name, case in NET.items()}


@pytest.mark.parametrize(("old", "new", "outcome", "code"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_doubt_leaves_nothing_better_and_nothing_that_died_unsaid(
    old: SiteAudit, new: SiteAudit, outcome: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    branch = site(3, tensor="branch"), site(3, 0, unseen=3, samples=0, tensor="branch")
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, *layers in zip(files, (old, new), branch, strict=True):
        file.write_text(write_audit(of(*layers)), encoding="utf-8")
    assert compare(*files).outcome == ("worse" if outcome == "worse" else "inconclusive")
    assert run(["compare", *map(str, files), "--fail-on-worse"]) == (code or 3)
    assert "because 'branch' has 3 units that were reached by samples in one audit only" in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new", "outcome", "code"), NET.values(), ids=NET)
def test_heading_is_the_net_result_and_names_who_died(
    old: SiteAudit, new: SiteAudit, outcome: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, layer in zip(files, (old, new), strict=True):
        file.write_text(write_audit(of(layer)), encoding="utf-8")
    found = compare(*files)
    assert found.outcome == json.loads(found.to_json())["outcome"] == outcome
    assert run(["compare", *map(str, files), "--fail-on-worse"]) == code
    out, err = capsys.readouterr()
    assert f"\n{outcome}: {found.total('died')} died, {found.total('revived')} revived" in out
    assert ("died or became faulty" in err) == (code == 1 and outcome != "worse")
    heading = outcome.capitalize()
    assert f"**{heading}**: {found.total('died')} died" in comparison_markdown.write(found)
    page = read(comparison_html.write(found))
    assert next(iter(page.all("h2"))).text.strip() == heading
    assert f"{found.total('died')} died, {found.total('revived')} revived" in page.text


def test_audit_compared_with_itself_shows_nothing_new() -> None:
    found = compare(DEAD, DEAD)
    assert not found.worse
    assert (found.total("died"), found.total("revived"), found.total("stayed")) == (0, 0, 120)
    assert found.remarks == ("both audits are of the same model",)


def test_numbers_are_those_of_the_audits() -> None:
    found = compare(HEALTHY, DEAD)
    assert found.total("died") + found.total("stayed") == found.new.dead == 120
    assert found.total("revived") + found.total("stayed") == found.old.dead == 4


def test_layers_that_changed_are_in_neither_list_of_units() -> None:
    old = of(site(4, 1), site(5, 1, tensor="gone"), site(4, 1, tensor="grown"))
    new = of(site(4, 1), site(8, 1, tensor="grown"), site(6, 1, tensor="new"))
    found = compare(old, new)
    assert [layer.tensor for layer in found.layers] == ["r"]
    assert [(one.tensor, one.was) for one in found.added] == [("grown", "Relu, 4 units"), ("new", None)]
    assert [(one.tensor, one.was) for one in found.removed] == [("gone", None), ("grown", "Relu, 8 units")]


@pytest.mark.parametrize(("there", "here", "said"), [(300, 400, "fewer"), (400, 300, "more"), (300, 300, "")])
def test_other_sample_counts_are_said(there: int, here: int, said: str) -> None:
    remarks = compare(of(site(4), samples=there), of(site(4), samples=here)).remarks
    assert any(" samples" in remark and said in remark for remark in remarks) == bool(said)


def test_interrupted_and_made_up_audits_are_said() -> None:
    noise = msgspec.structs.replace(sample("mlp_dead").data, synthetic=True, sha256="f" * 64)
    words = " ".join(compare(of(site(4), partial=True), _with(noise)).remarks)
    assert all(part in words for part in ("old audit was interrupted", "new audit was made up", "different data"))


def _with(data: Any) -> Audit:
    return judged(msgspec.structs.replace(sample("mlp_dead"), data=data))


# Formats ------------------------------------------------------------------------------------------------------------


def test_json_holds_all_and_is_the_same_each_time() -> None:
    found = compare(HEALTHY, DEAD)
    assert found.to_json() == compare(relu_audit.load(HEALTHY), relu_audit.load(DEAD)).to_json()
    assert msgspec.convert(json.loads(found.to_json()), Comparison) == found


def test_every_format_has_every_number() -> None:
    found = compare(HEALTHY, DEAD)
    page = read(comparison_html.write(found))
    (table,) = [one for one in page.all("table") if "layers" in one.attributes.get("class", "")]
    rows = [[cell.text for cell in row.all("td") + row.all("th")] for row in table.all("tbody")[0].all("tr")]
    for layer, cells in zip(found.layers, rows, strict=True):
        numbers = [str(len(getattr(layer, name))) for name in ("died", "revived", "stayed")]
        assert " ".join(numbers) in " ".join(cells)
        line = rf"{re.escape(layer.tensor)}`? .*128 .*" + " .*".join(numbers)
        assert re.search(line, printed(found))
        assert re.search(line, comparison_markdown.write(found))
    for text in (page.text, printed(found), comparison_markdown.write(found)):
        assert "118 died, 2 revived, 2 stayed dead" in text


@many
@given(audits(), audits())
def test_names_are_shown_and_never_obeyed(old: Audit, new: Audit) -> None:
    found = compare(old, new)
    page = comparison_html.write(found)
    assert len(read(page).all("script")) == len(comparison_html.SCRIPTS)
    assert not re.search("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", page)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed(found).replace("\n", ""))
    text = comparison_markdown.write(found)
    tags = {"<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"}
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        kinds = {child.type for child in token.children or ()}
        assert kinds <= {
            "text", "text_special", "softbreak", "code_inline", "html_inline", "strong_open", "strong_close"
        }  # fmt: skip
        assert {child.content for child in token.children or () if child.type == "html_inline"} <= tags


def test_many_layers_stay_readable() -> None:
    old = of(*(site(8, (), tensor=f"layer{i}") for i in range(300)))
    new = of(*(site(8, (1,), tensor=f"layer{i}") for i in range(300)), *(site(2, 1, tensor=f"x{i}") for i in range(90)))
    found = compare(old, new)
    assert "280 more layers changed" in printed(found)
    assert "70 more; the JSON lists them" in printed(found)
    assert "<summary>All 300 layers that changed</summary>" in comparison_markdown.write(found)
    assert comparison_html.write(found).count("layer299") == 1


# The command --------------------------------------------------------------------------------------------------------

CODES = {
    "worse": (0, [str(HEALTHY), str(DEAD)]),
    "worse and asked": (1, [str(HEALTHY), str(DEAD), "--fail-on-worse"]),
    "better and asked": (0, [str(DEAD), str(DEAD), "--fail-on-worse"]),
    "nothing in common": (0, [str(HEALTHY), str(ROOT / "reports/resnet_dead.json")]),
    "nothing in common and asked": (3, [str(HEALTHY), str(ROOT / "reports/resnet_dead.json"), "--fail-on-worse"]),
    "no such audit": (2, [str(HEALTHY), "gone.json"]),
    "no audit": (2, [str(ROOT / "sample_models/truth.json"), str(DEAD)]),
    "one audit": (2, [str(DEAD)]),
    "over its input": (2, ["old.json", str(DEAD), "--json", "old.json"]),
    "two on standard output": (2, [str(HEALTHY), str(DEAD), "--json", "-", "--html", "-"]),
}


@pytest.mark.parametrize(("code", "arguments"), CODES.values(), ids=CODES)
def test_exit_code_says_what_happened(
    code: int, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.json").write_bytes(HEALTHY.read_bytes())
    assert run(["compare", *arguments]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert (out == "", err != "") == (code == 2, code in (2, 3))
    assert Path("old.json").read_bytes() == HEALTHY.read_bytes()


@pytest.mark.parametrize(
    ("there", "here", "why"),
    [
        ((site(4, tensor="a"),), (site(5, tensor="b"),), "no layer is in both audits"),
        ((site(4),), (site(5),), "no layer is in both audits"),
        ((site(4, 0, unseen=4, samples=0),), (site(4),), "no unit was reached"),
        ((site(4),), (site(4), site(5, 1, tensor="b")), "no layer of the old audit matches 'b', which has 1 dead"),
        ((site(4),), (site(4), site(5, faulty=(1,), tensor="b")), "no layer of the old audit matches 'b', which has 1"),
        (
            (site(4), site(2, 0, unseen=2, samples=0, tensor="b")),
            (site(4), site(2, 2, tensor="b")),
            "'b' has 2 units that were reached by samples in one audit only",
        ),
    ],
)
def test_what_could_not_be_compared_is_no_pass(
    there: tuple[SiteAudit, ...],
    here: tuple[SiteAudit, ...],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, layers in zip(files, (there, here), strict=True):
        file.write_text(write_audit(of(*layers)), encoding="utf-8")
    assert run(["compare", *map(str, files), "-q", "--fail-on-worse"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"inconclusive: {why}")
    for text in (comparison_markdown.write(compare(*files)), read(comparison_html.write(compare(*files))).text):
        assert "Inconclusive" in text
        assert why.replace("'", "") in re.sub("['`]|&#39;", "", text)


def test_layer_without_dead_units_that_matches_none_is_named_and_no_obstacle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, layers in zip(
        files, ((site(4), site(3, 3, tensor="gone")), (site(4), site(5, tensor="new"))), strict=True
    ):
        file.write_text(write_audit(of(*layers)), encoding="utf-8")
    assert run(["compare", *map(str, files), "--fail-on-worse"]) == 0
    out, _ = capsys.readouterr()
    assert "only in the new audit: new (Relu, 5 units, 0 dead)" in out
    assert "only in the old audit: gone (Relu, 3 units, 3 dead)" in out
    assert "unchanged: 0 died" in out


def test_reports_are_written_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"json": comparison, "html": comparison_html, "markdown": comparison_markdown}
    arguments = [f"--{name}={tmp_path / name}" for name in names]
    assert run(["compare", str(HEALTHY), str(DEAD), "-q", *arguments]) == 0
    assert capsys.readouterr() == ("", "")
    found = compare(HEALTHY, DEAD)
    for name, module in names.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == module.write(found)
    assert run(["compare", str(HEALTHY), str(DEAD), "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert out == found.to_json()
    assert "118 died" in err


def test_what_is_no_audit_is_refused() -> None:
    with pytest.raises(AuditError) as caught:
        compare(b"{}", DEAD)
    assert caught.value.slug == "audit-unreadable"
