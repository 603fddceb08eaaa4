"""The formats besides JSON and HTML: what they say of the samples, and that no name gets out of its place."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from markdown_it import MarkdownIt

from relu_audit import audit
from relu_audit.cli import run
from relu_audit.records import Audit, Skipped, Waiver
from relu_audit.report import csv as csv_writer
from relu_audit.report import github, html, junit, markdown, sarif, text
from relu_audit.report.findings import RULES, findings, layer_name
from relu_audit.report.formats import FORMATS, Format
from relu_audit.report.text import short
from relu_audit.report.units import COLUMNS
from tests.graphs import mlp
from tests.hostile import ROOT, audits, judged, sample

GOLDEN = Path(__file__).parent / "golden"
ENDING = {"markdown": "md", "junit": "xml", "github": "txt", "sarif": "sarif"}
CASES = {
    "mlp_dead": lambda: judged(sample("mlp_dead"), max_dead=0.05, max_dead_layer=0.2),
    "resnet_dead": lambda: sample("resnet_dead"),
}
many = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ENDING)
def test_sample_is_written_as_it_was_looked_at(name: str, case: str) -> None:
    """UPDATE_GOLDEN=1 writes them anew; look at them before committing."""
    check_golden(f"{case}.{ENDING[name]}", written(name, CASES[case]()))


def test_sample_s_units_are_written_as_they_were_looked_at() -> None:
    found = sample("resnet_dead")
    check_golden("resnet_dead.csv", written("csv", msgspec.structs.replace(found, sites=found.sites[:2])))


def check_golden(name: str, data: bytes) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_bytes(data)
    assert data == (GOLDEN / name).read_bytes()


def written(name: str, found: Audit) -> bytes:
    content = next(one for one in FORMATS if one.name == name).write(found)
    return content.encode() if isinstance(content, str) else content


def few(limit: float = 0.0) -> Audit:
    found = sample("mlp_dead")
    data = msgspec.structs.replace(found.data, samples=100)
    return judged(msgspec.structs.replace(found, data=data), max_dead=limit, max_dead_layer=limit)


def grown(count: int) -> Audit:
    found = sample("mlp_dead")
    sites = tuple(msgspec.structs.replace(found.sites[i % 5], tensor=f"layer{i}") for i in range(count))
    return judged(msgspec.structs.replace(found, sites=sites), max_dead_layer=0.0)


# Findings -----------------------------------------------------------------------------------------------------------


def test_nothing_is_an_error_that_the_exit_code_does_not_tell() -> None:
    levels = {
        "not set": {one.level for one in findings(sample("mlp_dead"))},
        "passed": {one.level for one in findings(judged(sample("mlp_dead"), max_dead=1.0))},
        "failed": {one.level for one in findings(judged(sample("mlp_dead"), max_dead=0.0))},
        "inconclusive": {one.level for one in findings(few())},
        "interrupted": {one.level for one in findings(msgspec.structs.replace(sample("mlp_dead"), partial=True))},
    }
    assert {name: "error" in found for name, found in levels.items()} == {
        "not set": False,
        "passed": False,
        "failed": True,
        "inconclusive": True,
        "interrupted": True,
    }
    assert levels["passed"] == {"note"}


def test_layers_of_one_name_are_told_apart() -> None:
    found = sample("mlp_dead")
    sites = tuple(msgspec.structs.replace(s, tensor="y", scope=f"b{i}") for i, s in enumerate(found.sites))
    told = findings(judged(msgspec.structs.replace(found, sites=sites), max_dead_layer=0.1))
    broken = [layer_name(one.place) for one in told if one.rule == "max-dead-layer" and one.place is not None]
    assert broken == ["b0/y", "b3/y", "b4/y"]


def test_documents_name_every_format_rule_and_column() -> None:
    readme, formats, errors = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/formats.md", "docs/errors.md")
    )
    assert all(f"`{one.option}" in readme for one in FORMATS)
    assert all(f"| `{name}` |" in formats or f"### `{name}`" in errors for name in RULES)
    assert all(f"`{column.name}`" in formats for column in COLUMNS)


# Markdown -----------------------------------------------------------------------------------------------------------


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a document, as what a reader sees in its cells."""
    found: list[list[list[str]]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        inside = (inside or token.type == "table_open") and token.type != "table_close"
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and inside:
            kinds = {child.type for child in token.children or ()}
            assert kinds <= {"text", "text_special", "code_inline", "html_inline", "strong_open", "strong_close"}
            tags = [child.content for child in token.children or () if child.type == "html_inline"]
            assert set(tags) <= {"<code>", "</code>"}
            shown = "".join(child.content for child in token.children or () if child.type != "html_inline")
            found[-1][-1].append(shown)
    return found


@many
@given(audits())
def test_markdown_shows_every_name_and_obeys_none(found: Audit) -> None:
    text = markdown.write(found)
    text.encode()
    assert not re.search(r"[^\n\x20-\x7e\x80-\U0010ffff]", text)
    if not found.sites:
        return
    table = tables(text)[-1]
    shown = [markdown.short(layer_name(site)) for site in found.sites]
    assert [row[0] for row in table[1:-1]] == shown
    assert {len(row) for row in table} == {len(table[0])}
    allowed = {"<code>", "</code>", "<details>", "</details>"}
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "inline":
            kinds = {child.type for child in token.children or ()}
            assert not kinds & {"link_open", "image", "em_open", "s_open"}
            assert all(c.content in allowed for c in token.children or () if c.type == "html_inline")
        if token.type == "html_block":
            assert set(re.findall(r"</?\w+>", token.content)) <= {*allowed, "<summary>", "</summary>"}


def test_more_layers_than_twenty_are_folded_and_the_worst_stand_open() -> None:
    assert "<details>" not in markdown.write(grown(20))
    text = markdown.write(grown(21))
    assert text.count("<details>") == 1
    assert "All 21 layers" in text
    first, second = tables(text)
    assert [row[0] for row in first[1:]] == ["layer4", "layer9", "layer14", "layer19", "layer0"]
    assert len(second) == 1 + 21 + 1


def test_summary_stays_below_what_github_takes() -> None:
    found = sample("mlp_dead")
    sites = tuple(msgspec.structs.replace(found.sites[0], tensor="|" * 200 + str(i), op="*" * 200) for i in range(9000))
    skipped = tuple(Skipped(tensor="|" * 99, scope="", op="x", slug="y", detail="@" * 9999) for _ in range(99))
    notes = tuple("_" * 9999 for _ in range(99))
    text = markdown.write(msgspec.structs.replace(found, sites=sites, skipped=skipped, notes=notes))
    assert len(text.encode()) < 1_048_576
    assert "more layers, which do not fit here" in text
    assert text.rstrip().endswith("and 79 more")


# JUnit --------------------------------------------------------------------------------------------------------------


@many
@given(audits())
def test_junit_is_xml_whatever_the_names(found: Audit) -> None:
    suite = ElementTree.fromstring(junit.write(found).encode())[0]  # noqa: S314 - our own
    cases = suite.findall("testcase")
    names = ["all units", *map(layer_name, found.sites), *map(layer_name, found.skipped)]
    assert [case.get("name") for case in cases] == names
    assert suite.get("tests") == str(len(cases))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(key) == str(len(suite.findall(f"testcase/{tag}")))
    assert (found.gate.outcome in ("failed", "inconclusive")) == (
        suite.get("failures") != "0" or suite.get("errors") != "0"
    )


def outcomes(found: Audit) -> dict[str | None, str]:
    cases = ElementTree.fromstring(junit.write(found)).findall("*/testcase")  # noqa: S314 - our own
    return {case.get("name"): next((c.tag for c in case if c.tag != "system-out"), "passed") for case in cases}


def test_broken_limits_are_failures_and_too_little_evidence_is_none() -> None:
    assert list(outcomes(judged(sample("mlp_dead"), max_dead_layer=0.2)).values()) == [
        "passed",
        "failure",
        "passed",
        "passed",
        "passed",
        "failure",
    ]
    assert list(outcomes(judged(sample("mlp_dead"), max_dead=0.1)).values()) == ["failure", *["passed"] * 5]
    assert list(outcomes(few()).values()) == ["error", *["skipped"] * 5]
    assert set(outcomes(sample("mlp_dead")).values()) == {"passed"}


# Annotations --------------------------------------------------------------------------------------------------------


def parsed(text: str) -> list[tuple[str, str, str]]:
    """What the runner makes of standard output: kind, title and message of every command."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line)
        assert match, line
        kind, title, message = match.groups()
        unescaped = [
            part.replace("%2C", ",").replace("%3A", ":").replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
            for part in (title, message)
        ]
        found.append((kind, *unescaped))
    return found


@many
@given(audits())
def test_annotations_are_a_line_each_whatever_the_names(found: Audit) -> None:
    told = parsed(github.write(found))
    assert [kind for kind, *_ in told] == sorted((kind for kind, *_ in told), key=("error", "warning", "notice").index)
    assert all("\n" not in message for *_, message in told)
    assert (told[0][0] == "error") == (found.gate.outcome in ("failed", "inconclusive"))
    assert len(told) <= 21


def test_more_than_github_shows_is_summed_up() -> None:
    told = [kind for kind, *_ in parsed(github.write(grown(40)))]
    assert told.count("error") == 10
    assert "31 more" in github.write(grown(40))


# SARIF --------------------------------------------------------------------------------------------------------------


@many
@given(audits())
def test_sarif_is_valid_and_names_every_tensor(found: Audit) -> None:
    log = json.loads(sarif.write(found))
    (ran,) = log["runs"]
    rules = [rule["id"] for rule in ran["tool"]["driver"]["rules"]]
    assert rules == sorted(set(rules))
    told = findings(found)
    prints = [result["partialFingerprints"][sarif.FINGERPRINT] for result in ran["results"]]
    assert len(set(prints)) == len(prints) == len(told)
    for result, one in zip(ran["results"], told, strict=True):
        assert rules[result["ruleIndex"]] == result["ruleId"]
        name = "" if one.place is None else f"{short(layer_name(one.place))}: "
        assert unescaped(result["message"]["text"]) == f"{name}{one.message}"
        (location,) = result["locations"]
        assert re.fullmatch(r"[A-Za-z0-9_.~%-]+", location["physicalLocation"]["artifactLocation"]["uri"])
        if one.place is None:
            assert "logicalLocations" not in location
        else:
            assert location["logicalLocations"][0]["fullyQualifiedName"] == layer_name(one.place)
    model = pytest.importorskip("pydantic_sarif.model")
    assert schema_class(model).model_validate(log)


def unescaped(message: str) -> str:
    """What a viewer shows of a message; fails on anything that would be a link or a placeholder."""
    assert re.fullmatch(r"(?:[^\[\]\\{}]|\\[\[\]\\]|\{\{|\}\})*", message)
    return re.sub(r"\\(.)|(\{)\{|(\})\}", r"\1\2\3", message, flags=re.DOTALL)


def test_a_pattern_in_sarif_is_the_one_that_was_given() -> None:
    waiver = Waiver(pattern="/relu[15]/*", reason="as in [1]")
    found = judged(sample("mlp_dead"), max_dead=0.5, waivers=(waiver,))
    results = json.loads(sarif.write(found))["runs"][0]["results"]
    (said,) = [one["message"]["text"] for one in results if "/relu" in one["message"]["text"] and "matches" in str(one)]
    assert r"/relu\[15\]/*" in said
    assert "/relu[15]/*" in unescaped(said)


def schema_class(model: Any) -> Any:
    """The class made of the official schema's top level."""
    return next(one for one in vars(model).values() if "runs" in getattr(one, "model_fields", ()))


def test_the_schema_s_classes_refuse_what_is_no_sarif() -> None:
    top = schema_class(pytest.importorskip("pydantic_sarif.model"))
    log = json.loads(sarif.write(sample("mlp_dead")))
    log["runs"][0]["results"][0]["level"] = "grave"
    with pytest.raises(ValueError, match="level"):
        top.model_validate(log)


def test_a_finding_keeps_its_fingerprint_when_its_numbers_change() -> None:
    def prints(found: Audit) -> set[str]:
        results = json.loads(sarif.write(found))["runs"][0]["results"]
        return {r["partialFingerprints"][sarif.FINGERPRINT] for r in results if r["ruleId"] == "dead-units"}

    found = sample("mlp_dead")
    sites = tuple(msgspec.structs.replace(s, dead=s.dead[1:], samples=9) for s in found.sites)
    fewer = msgspec.structs.replace(found, sites=sites)
    assert prints(fewer) < prints(found)
    assert len(prints(fewer)) == 4  # the second layer had one


# One row per unit ---------------------------------------------------------------------------------------------------


@many
@given(audits())
def test_no_cell_of_the_csv_is_a_formula(found: Audit) -> None:
    text = csv_writer.write(found)
    heading, *rows = csv.reader(io.StringIO(text))
    assert len(rows) == found.units
    assert {len(row) for row in rows} <= {len(heading)}
    for row in rows:
        for name, cell in zip(heading, row, strict=True):
            if name in ("scope", "tensor", "operator"):
                for piece in re.split("[;\t]", cell):
                    assert not piece.lstrip().startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
            else:
                assert re.fullmatch(r"-?[0-9.]*(e[+-]?\d+)?|true|false|[a-z_]+", cell)


def test_csv_has_every_number_of_the_audit() -> None:
    found = sample("mlp_dead")
    rows = list(csv.DictReader(io.StringIO(csv_writer.write(found))))
    for depth, site in enumerate(found.sites, 1):
        own = [row for row in rows if row["layer"] == str(depth)]
        assert [int(row["unit"]) for row in own] == list(range(site.units))
        assert [row["status"] for row in own] == list(site.statuses)
        assert [int(row["fired_samples"]) for row in own] == list(site.fired_samples)
        for name in ("first_fired", "mean", "peak", "trough", "pre_peak"):
            shown = [float(row[name]) if row[name] else None for row in own]
            assert shown == list(getattr(site, name))


@settings(many, max_examples=20)
@given(audits())
def test_parquet_keeps_every_number_and_name(found: Audit) -> None:
    pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    data = written("parquet", found)
    assert data == written("parquet", found)
    table = parquet.read_table(io.BytesIO(data))
    assert table.num_rows == found.units
    for name in ("fired_samples", "first_fired", "mean", "pre_peak"):
        assert table[name].to_pylist() == [value for site in found.sites for value in getattr(site, name)]
    names = [site.tensor.encode("utf-8", "replace").decode() for site in found.sites for _ in range(site.units)]
    assert table["tensor"].to_pylist() == names


def test_missing_pyarrow_is_told_before_the_audit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("relu_audit.api.audit.audit", None)
    assert run(["m.onnx", "--data", "d.npz", "--parquet", str(tmp_path / "a.parquet")]) == 2
    assert "pip install 'relu-audit[parquet]'" in capsys.readouterr().err


# The command line ---------------------------------------------------------------------------------------------------


def test_every_format_has_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import onnx

    onnx.save(mlp(dead={0: (1,)}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).standard_normal((300, 6)).astype("f4"))
    pytest.importorskip("pyarrow")
    files = [one for one in FORMATS if not one.streamed]
    wanted = [f"{one.option}={tmp_path / one.name}" for one in files]
    assert run([str(tmp_path / "m.onnx"), "--data", str(tmp_path / "d.npz"), "--github", *wanted]) == 0
    found = audit(tmp_path / "m.onnx", tmp_path / "d.npz")
    for one in files:
        content = one.write(found)
        assert (tmp_path / one.name).read_bytes() == (content.encode() if isinstance(content, str) else content)
    out, err = capsys.readouterr()
    assert out == github.write(found)
    assert "dead" in err


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_report_writes_from_the_saved_audit_what_the_audit_writes(
    one: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if one.needs:
        pytest.importorskip(one.needs)
    monkeypatch.setenv("RELU_AUDIT_MARKDOWN", str(tmp_path / "of the audit"))
    target = [] if one.streamed else [str(tmp_path / "out")]
    assert run(["report", str(ROOT / "reports/mlp_dead.json"), one.option, *target]) == 0
    out = capsys.readouterr().out.encode()
    assert (out if one.streamed else (tmp_path / "out").read_bytes()) == written(one.name, sample("mlp_dead"))
    assert one.streamed or out == b""
    assert not (tmp_path / "of the audit").exists()


def test_report_without_a_format_prints_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(ROOT / "reports/mlp_dead.json")]) == 0
    assert "gate: no limit set" in capsys.readouterr().out


def test_report_refuses_to_write_over_the_audit_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (ROOT / "reports/mlp_dead.json").read_bytes()
    (tmp_path / "a.json").write_bytes(before)
    assert run(["report", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.json")]) == 2
    assert "which is read" in capsys.readouterr().err
    assert (tmp_path / "a.json").read_bytes() == before


def test_report_of_what_is_no_audit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    assert run(["report", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")]) == 2
    assert "audit-unreadable" in capsys.readouterr().err
    assert not (tmp_path / "a.html").exists()


def test_no_name_in_the_summary_is_a_command_of_the_runner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import onnx

    model = mlp(dead={0: (1,)})
    for node in model.graph.node:
        node.input[:] = ["::stop-commands::##[error]x" if name == "r0" else name for name in node.input]
        node.output[:] = ["::stop-commands::##[error]x" if name == "r0" else name for name in node.output]
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=np.ones((300, 6), "f4"))
    assert run([str(tmp_path / "m.onnx"), "--data", str(tmp_path / "d.npz"), "--github", "-v"]) == 0
    out, err = capsys.readouterr()
    assert parsed(out)
    assert "stop-commands" in err
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in err.splitlines())


def test_annotations_and_a_report_on_standard_output_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(ROOT / "reports/mlp_dead.json"), "--github", "--json", "-"]) == 2
    assert "standard output" in capsys.readouterr().err


@pytest.mark.parametrize("copies", [1, 4])
def test_what_people_read_says_how_few_samples_are_distinct(copies: int) -> None:
    rows = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    found = audit(mlp((4, 8, 2)), {"x": np.tile(rows, (copies, 1))})
    shown = {
        "terminal": text.write(found),
        "page": re.sub(r"<script.*?</script>", "", html.write(found), flags=re.DOTALL),
        "markdown": markdown.write(found),
    }
    says = {name: bool(re.search(r"\b10\b[^.<]*\bdistinct", shown[name])) for name in shown}
    assert says == dict.fromkeys(shown, copies > 1)
