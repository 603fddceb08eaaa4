"""The JSON file: the same bytes every time, nothing lost, described by its schema, and refused when it lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from relu_audit import Audit, AuditError, audit, load
from relu_audit.records import SCHEMA
from relu_audit.report.json import schema, write
from tests.graphs import graph, mlp

X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
EYE = np.eye(4, dtype=np.float32)


def interrupted() -> Iterator[np.ndarray]:
    yield X[:20]
    yield X[20:30]
    raise KeyboardInterrupt


def eye(body: str = "h = MatMul (x, w)\n y = Relu (h)", x: str = "float[n, 4] x") -> onnx.ModelProto:
    return graph(x, "float[n, 4] y", body, {"w": EYE})


def odd_name() -> onnx.ModelProto:
    model = eye()
    model.graph.node[1].output[0] = model.graph.output[0].name = 'é\n"[1,\n 2]"\N{SNOWMAN}</script>'
    return model


def conv() -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((5, 1, 2, 2)).astype(np.float32)
    body = "c = Conv (x, w)\n r = Relu (c)\n a = LeakyRelu (r)\n y = Relu (a)"
    return graph("float[n, 1, 4, 4] x", "float[n, 5, 3, 3] y", body, {"w": weight})


AUDITS: dict[str, Callable[[], Audit]] = {
    "plain": lambda: audit(mlp((4, 6, 3)), X),
    "dead units": lambda: audit(mlp((4, 6, 5, 3), dead={0: (1, 2)}), X),
    "passed": lambda: audit(mlp((4, 6, 3)), X, max_dead=0.05, max_dead_layer=1 / 3),
    "failed": lambda: audit(mlp((4, 6, 3), dead={0: (1, 2)}), X, max_dead=0.05, max_dead_layer=0.1),
    "few samples": lambda: audit(mlp((4, 6, 3)), X[:3], max_dead=0.05),
    "made up": lambda: audit(mlp((4, 6, 3)), "random:9", max_dead=0.05),
    "interrupted": lambda: audit(mlp((4, 6, 3)), interrupted(), max_dead=0.05, min_samples=1),
    "no rectifier": lambda: audit(eye("y = MatMul (x, w)"), X, max_dead=1.0),
    "NaN": lambda: audit(eye("h = Sqrt (x)\n y = Relu (h)"), X),
    "infinity": lambda: audit(
        eye("h = Div (x, z)\n y = Relu (h)\n", "float[n, 4] x, float[n, 4] z"), {"x": X, "z": 0 * X}
    ),
    "overflow": lambda: audit(eye("h = Exp (x)\n y = Relu (h)"), 60 * X),
    "no near misses": lambda: audit(mlp((4, 6, 3)), X, near_misses=False),
    "fixed batch": lambda: audit(eye(x="float[7, 4] x"), X[:10]),
    "positions": lambda: audit(conv(), np.random.default_rng(0).standard_normal((9, 1, 4, 4)).astype("f4")),
    "cast": lambda: audit(mlp((4, 6, 3)), X.astype(int)),
    "odd name": lambda: audit(odd_name(), X),
}


@cache
def made(name: str) -> Audit:
    return AUDITS[name]()


@cache
def validator() -> jsonschema.Draft202012Validator:
    described = json.loads(schema())
    jsonschema.Draft202012Validator.check_schema(described)
    return jsonschema.Draft202012Validator(described)


every = pytest.mark.parametrize("name", AUDITS)


@every
def test_loading_gives_back_the_audit(name: str, tmp_path: Path) -> None:
    found, text = made(name), write(made(name))
    (tmp_path / "audit.json").write_text(text, encoding="utf-8")
    assert load(text.encode()) == found
    assert load(tmp_path / "audit.json") == load(str(tmp_path / "audit.json")) == found
    assert write(load(text.encode())) == text


@every
def test_file_is_described_by_the_schema(name: str) -> None:
    errors = [error.message for error in validator().iter_errors(json.loads(write(made(name))))]
    assert errors == []


@every
def test_numbers_that_are_none_are_null_and_never_nan(name: str) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(write(made(name)), parse_constant=refuse)


@every
def test_another_run_gives_the_same_bytes(name: str) -> None:
    assert write(AUDITS[name]()) == write(made(name))


@every
def test_keys_are_sorted_and_lists_of_numbers_take_a_line(name: str) -> None:
    text = write(made(name))
    parsed = json.loads(text)
    assert text.endswith("}\n")
    assert "\r" not in text

    def keys(value: Any) -> None:
        if isinstance(value, dict):
            assert list(value) == sorted(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            keys(inner)

    keys(parsed)
    for site in parsed["sites"]:
        assert f'"fired_samples": {json.dumps(site["fired_samples"])}' in text


@pytest.mark.parametrize("kind", ["NaN", "infinity", "overflow"])
def test_units_that_are_not_finite_are_faulty_and_their_numbers_null(kind: str) -> None:
    site = json.loads(write(made(kind)))["sites"][0]
    assert site["faulty"]
    for unit in site["faulty"]:
        assert site["mean"][unit] is site["peak"][unit] is site["trough"][unit] is None


def test_what_readers_would_compute_is_in_the_file() -> None:
    found = json.loads(write(made("dead units")))
    summary, sites = found["summary"], found["sites"]
    assert summary["units"] == 11
    assert summary["dead"] == sum(len(site["dead"]) for site in sites) >= 2
    assert summary["dead_fraction"] == summary["dead"] / 11
    assert sites[0]["dead_fraction"] == len(sites[0]["dead"]) / 6
    assert sites[0]["dead_rate_below"] == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-12)
    assert json.loads(write(made("plain")))["sites"][0]["dead_rate_below"] is None
    assert json.loads(write(made("no rectifier")))["summary"]["dead_fraction"] is None


def test_counts_of_the_summary_make_up_all_units() -> None:
    for name in AUDITS:
        summary = json.loads(write(made(name)))["summary"]
        kinds = ("dead", "rare", "active", "always_on", "constant", "faulty", "unseen")
        assert sum(summary[kind] for kind in kinds) == summary["units"], name


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    onnx.save(mlp((4, 6, 3), dead={0: (1,)}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    code = (
        "from relu_audit import audit; from relu_audit.report.json import write; print(write(audit('m.onnx', 'd.npz')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == write(audit(tmp_path / "m.onnx", tmp_path / "d.npz")) + os.linesep


def test_nothing_of_the_machine_is_in_the_file(tmp_path: Path) -> None:
    for folder in "one", "two":
        (tmp_path / folder).mkdir()
        onnx.save(mlp((4, 6, 3)), tmp_path / folder / "m.onnx")
        np.savez(tmp_path / folder / "d.npz", x=X)
    texts = [write(audit(tmp_path / f / "m.onnx", tmp_path / f / "d.npz")) for f in ("one", "two")]
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]


# What is refused ----------------------------------------------------------------------------------------------------


def refused(source: str | bytes | Path) -> AuditError:
    with pytest.raises(AuditError) as caught:
        load(source)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def edited(name: str, edit: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(write(made(name)))
    before = json.dumps(document)
    edit(document)
    assert json.dumps(document) != before
    return json.dumps(document).encode()


@pytest.mark.parametrize("version", ["relu-audit/audit/2", "relu-audit/audit/0", "other/audit/1", ""])
def test_another_version_is_refused_by_name(version: str) -> None:
    error = refused(edited("plain", lambda d: d.update(schema=version)))
    assert error.slug == "audit-schema"
    assert f"'{version}'" in error.message
    assert SCHEMA in error.message


def test_another_version_is_refused_before_its_fields_are_looked_at() -> None:
    assert refused(b'{"schema": "relu-audit/audit/2", "everything": "new"}').slug == "audit-schema"


def plain() -> str:
    return write(made("plain"))


UNREADABLE: dict[str, Callable[[], str | bytes]] = {
    "nothing": lambda: b"",
    "no text": lambda: b"\xff\xfe",
    "no object": lambda: "[]",
    "no fields": lambda: "{}",
    "a format that is no name": lambda: '{"schema": 1}',
    "no fields but the format": lambda: f'{{"schema": "{SCHEMA}"}}',
    "cut short": lambda: plain()[:-40],
    "more behind the end": lambda: plain() + "{}",
    "an unknown field": lambda: edited("plain", lambda d: d.update(extra=1)),
    "an unknown field of a layer": lambda: edited("plain", lambda d: d["sites"][0].update(extra=1)),
    "a missing field": lambda: edited("plain", lambda d: d.pop("summary")),
    "text for a number": lambda: edited("plain", lambda d: d["sites"][0].update(units="six")),
    "an unknown outcome": lambda: edited("plain", lambda d: d["gate"].update(outcome="fine")),
    "NaN": lambda: plain().replace('"units": 6', '"units": NaN'),
    "a number beyond all floats": lambda: plain().replace('"rare_below": 0.05', '"rare_below": 1e999'),
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_audit_is_refused(text: Callable[[], str | bytes]) -> None:
    content = text()
    assert content != plain()
    assert refused(content if isinstance(content, bytes) else content.encode()).slug == "audit-unreadable"


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    error = refused(tmp_path / "gone.json")
    assert error.slug == "audit-unreadable"
    assert "gone.json" in error.message


def first(document: dict[str, Any]) -> dict[str, Any]:
    return document["sites"][0]


def hide_a_dead_unit(document: dict[str, Any]) -> None:
    """Everything that is derived is edited along with the list, but the counts still tell."""
    site, summary = first(document), document["summary"]
    site["dead"] = site["dead"][1:]
    site["dead_fraction"] = len(site["dead"]) / site["units"]
    summary["dead"] -= 1
    summary["active"] += 1
    summary["dead_fraction"] = summary["dead"] / summary["units"]


def fewer_samples(document: dict[str, Any]) -> None:
    document["data"]["samples"] = document["summary"]["samples"] = 299


INCONSISTENT: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "summary says fewer dead": ("failed", lambda d: d["summary"].update(dead=0)),
    "summary says more units": ("plain", lambda d: d["summary"].update(units=7)),
    "summary says another fraction": ("failed", lambda d: d["summary"].update(dead_fraction=0.0)),
    "summary says more samples": ("plain", lambda d: d["summary"].update(samples=301)),
    "layer says another fraction": ("failed", lambda d: first(d).update(dead_fraction=0.0)),
    "layer says another bound": ("failed", lambda d: first(d).update(dead_rate_below=0.5)),
    "dead unit taken off the list": ("failed", lambda d: first(d)["dead"].pop()),
    "dead unit taken off every list": ("failed", hide_a_dead_unit),
    "another unit called dead": ("failed", lambda d: first(d).update(dead=[0, 1])),
    "unit called dead twice": ("failed", lambda d: first(d).update(dead=[1, 1])),
    "dead unit that does not exist": ("failed", lambda d: first(d).update(dead=[1, 77])),
    "dead unit that fired": ("failed", lambda d: first(d)["fired_samples"].__setitem__(1, 5)),
    "unit both dead and rare": ("failed", lambda d: first(d).update(rare=[1])),
    "fired in more samples than there were": ("plain", lambda d: first(d)["fired_samples"].__setitem__(0, 301)),
    "fired in a negative number": ("plain", lambda d: first(d)["fired_samples"].__setitem__(0, -1)),
    "first fired behind the last sample": ("plain", lambda d: first(d)["first_fired"].__setitem__(0, 300)),
    "never fired in spite of its count": ("plain", lambda d: first(d)["first_fired"].__setitem__(0, None)),
    "fired at fewer positions than samples": ("plain", lambda d: first(d)["fired_positions"].__setitem__(0, 1)),
    "fired at more positions than there were": ("plain", lambda d: first(d)["fired_positions"].__setitem__(0, 301)),
    "least output above the largest": ("plain", lambda d: first(d)["trough"].__setitem__(0, 1e9)),
    "named by a place that is not its own": ("plain", lambda d: first(d).update(tensors=["other"])),
    "fewer counts than units": ("plain", lambda d: first(d)["fired_samples"].pop()),
    "fewer peaks than units": ("plain", lambda d: first(d)["peak"].pop()),
    "more units than counts": ("plain", lambda d: first(d).update(units=7)),
    "fewer samples than the layer saw": ("passed", fewer_samples),
    "gate passed in spite of its breaches": ("failed", lambda d: d["gate"].update(outcome="passed")),
    "gate passed and its breaches gone": ("failed", lambda d: d["gate"].update(outcome="passed", breaches=[])),
    "gate never set in spite of a limit": ("failed", lambda d: d["gate"].update(outcome="not_set", breaches=[])),
    "gate passed on too few samples": ("few samples", lambda d: d["gate"].update(outcome="passed", reasons=[])),
    "gate passed on made-up data": ("made up", lambda d: d["gate"].update(outcome="passed", reasons=[])),
    "gate passed though interrupted": ("interrupted", lambda d: d["gate"].update(outcome="passed", reasons=[])),
    "made-up data called real": ("made up", lambda d: d["data"].update(synthetic=False)),
    "interrupted run called whole": ("interrupted", lambda d: d.update(partial=False)),
    "limit raised afterwards": ("failed", lambda d: d["policy"].update(max_dead=0.9)),
    "breach of another value": ("failed", lambda d: d["gate"]["breaches"][0].update(units=6)),
}


@pytest.mark.parametrize(("name", "edit"), INCONSISTENT.values(), ids=INCONSISTENT)
def test_edit_that_contradicts_the_rest_is_refused(name: str, edit: Callable[[dict[str, Any]], object]) -> None:
    assert refused(edited(name, edit)).slug == "audit-inconsistent"


# Audits of earlier versions -----------------------------------------------------------------------------------------

NEWER = {
    "gate": ("rules", "undecided"),
    "against": ("renamed", "untold_dead"),
    "sites": ("weight_sha256", "weight_signs"),
}


def before(document: dict[str, Any]) -> None:
    """Take out of a document what earlier versions did not write."""
    for one in (*document["sites"], *(document["baseline"] or {"sites": ()})["sites"]):
        for name in (*NEWER["sites"], *(("weight",) if "axis_from" not in one else ())):
            del one[name]
    for name in NEWER["gate"]:
        del document["gate"][name]
    for name in NEWER["against"] if document["gate"]["against"] else ():
        del document["gate"]["against"][name]


@pytest.mark.parametrize("name", ["plain", "failed", "passed", "few samples"])
def test_audit_without_newer_fields_loads(name: str) -> None:
    new, old = made(name), load(edited(name, before))
    assert all(one.weight_sha256 is None for one in old.sites)
    assert old.gate == new.gate
    assert load(write(old).encode()) == old


def test_gate_that_judged_by_other_rules_judges_anew() -> None:
    def passed(document: dict[str, Any]) -> None:
        before(document)
        document["sites"][0].update(assumed=True)
        document["gate"].update(outcome="passed", reasons=[], remarks=["said otherwise then"])

    found = load(edited("passed", passed))
    assert found.gate.outcome == "inconclusive"
    assert "is assumed" in found.gate.reasons[0]
    assert found.gate.remarks == ()
    assert refused(edited("passed", lambda d: d["sites"][0].update(assumed=True))).slug == "audit-inconsistent"


def test_counts_of_earlier_audits_are_checked_as_ever() -> None:
    def hidden(document: dict[str, Any]) -> None:
        before(document)
        hide_a_dead_unit(document)

    assert refused(edited("failed", hidden)).slug == "audit-inconsistent"


# The schema ---------------------------------------------------------------------------------------------------------


def test_schema_says_which_format_it_describes() -> None:
    described = json.loads(schema())
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert described["$id"]
    assert schema() == schema()
    assert schema().endswith("}\n")


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.pop("gate"),
        lambda d: d.update(extra=1),
        lambda d: d["gate"].update(outcome="fine"),
        lambda d: d["sites"][0].update(units="six"),
        lambda d: d["sites"][0].update(fired_samples=[0.5]),
        lambda d: d["data"].pop("sha256"),
        lambda d: d["data"]["inputs"][0].update(feeding="sideways"),
    ],
    ids=range(7),
)
def test_schema_refuses_what_is_no_audit(edit: Callable[[dict[str, Any]], object]) -> None:
    assert not validator().is_valid(json.loads(edited("plain", edit)))
