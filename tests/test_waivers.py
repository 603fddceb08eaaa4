"""Limits and waivers for layers by pattern: which layers a pattern names, which limit counts, and until when."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_audit import AuditError, audit, load
from relu_audit.cli import run
from relu_audit.judge.patterns import matches, refuse_unmatched
from relu_audit.judge.policy import policy as policy_of
from relu_audit.records import LayerLimit, Policy, Waiver
from tests.graphs import mlp
from tests.layers import SKIPPED, judge, site

TODAY = datetime.date(2026, 3, 31)
X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
WHY = {"reason": "known"}


def asked(**given: Any) -> Policy:
    options: dict[str, Any] = {
        "max_dead": None,
        "max_dead_layer": None,
        "max_rare": None,
        "allow_faulty": None,
        "require_observed": False,
        "layers": {},
        "waivers": (),
        "min_samples": 256,
        "rare_below": 0.05,
        "bands": Policy().bands,
        "compared": False,
        "today": TODAY,
    }
    return policy_of(**{**options, **given})


# Patterns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("/encoder/*", "/encoder/0/Relu_output_0", True),
        ("/encoder/*", "/Encoder/0/Relu_output_0", False),
        ("/encoder/*", "x/encoder/0", False),
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("layer[0]", "layer[0]", True),
        ("layer[0]", "layer0", False),
        ("[!a]", "b", False),
        ("[a-z]", "[a-z]", True),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        (r"a\?", "a?", True),
        (r"a\[", "a[", True),
        (r"a\\b", r"a\b", True),
        (r"a\b", "ab", True),
        ("a\\", "a\\", True),
        ("a*z", "a\nz", True),
        ("a.c", "abc", False),
        ("a", "a\n", False),
    ],
)
def test_pattern_names_what_it_says(pattern: str, name: str, found: bool) -> None:
    assert matches(pattern, name) == found


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.text(max_size=5), st.text(max_size=5))
def test_every_name_can_be_written_as_a_pattern(name: str, head: str, tail: str) -> None:
    escaped = name.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
    assert matches(escaped, name)
    assert matches(f"*{escaped}*", head + name + tail)
    assert not matches(escaped, f"{name}x")


def test_no_name_makes_a_pattern_slow() -> None:
    start = time.perf_counter()
    assert not matches("*a" * 40 + "b", "a" * 10_000)
    assert time.perf_counter() - start < 2


def test_pattern_that_names_no_layer_is_refused_with_the_nearest() -> None:
    places = [site(4, tensor="/encoder/0/Relu"), site(4, tensor="/head/Relu")]
    refuse_unmatched([LayerLimit(pattern="/encoder/*", max_dead_layer=0.1)], places)
    with pytest.raises(AuditError, match="/encodr/0/Relu") as caught:
        refuse_unmatched([LayerLimit(pattern="/encodr/0/Relu", max_dead_layer=0.1)], places)
    assert caught.value.slug == "layer-pattern"
    assert "'/encoder/0/Relu'" in caught.value.hint
    with pytest.raises(AuditError) as caught:
        refuse_unmatched([LayerLimit(pattern="*", max_dead_layer=0.1)], [])
    assert "no rectifier" in caught.value.hint


# Limits of layers ---------------------------------------------------------------------------------------------------


def test_last_pattern_that_matches_sets_the_limit() -> None:
    layer = site(10, 3, tensor="/encoder/0")
    loose, tight = {"*": 0.5}, {"/encoder/*": 0.1}
    assert judge(asked(layers={**loose, **tight}), layer).outcome == "failed"
    assert judge(asked(layers={**tight, **loose}), layer).outcome == "passed"
    (breach,) = judge(asked(max_dead_layer=0.9, layers=tight), layer).breaches
    assert (breach.rule, breach.limit, breach.tensor) == ("max-dead-layer", 0.1, "/encoder/0")


def test_layer_that_no_pattern_matches_keeps_the_limit_for_all() -> None:
    layers = site(10, 3, tensor="/encoder/0"), site(10, 3, tensor="/head/0")
    found = judge(asked(max_dead_layer=0.2, layers={"/encoder/*": 0.3}), *layers)
    assert [breach.tensor for breach in found.breaches] == ["/head/0"]
    assert judge(asked(layers={"/encoder/*": 0.3}), *layers).outcome == "passed"


def test_layers_in_bodies_are_named_with_their_scope() -> None:
    layer = site(10, 3, tensor="y", scope="If_0/then")
    assert judge(asked(layers={"y": 0.1}), layer).outcome == "passed"
    (breach,) = judge(asked(layers={"If_0/then/y": 0.1}), layer).breaches
    assert (breach.scope, breach.tensor) == ("If_0/then", "y")


# Waivers ------------------------------------------------------------------------------------------------------------


def test_waived_layer_breaks_nothing_and_is_in_no_share() -> None:
    layers = site(10, 5, tensor="bad"), site(90, 0, tensor="good")
    limits = {"max_dead": 0.01, "max_dead_layer": 0.2}
    assert judge(asked(**limits), *layers).outcome == "failed"
    found = judge(asked(**limits, waivers=[{"pattern": "bad", **WHY}]), *layers)
    assert (found.outcome, found.breaches, found.remarks) == ("passed", (), ())
    (waived,) = found.waived
    assert [place.tensor for place in waived.layers] == ["bad"]
    assert [(breach.rule, breach.units) for breach in waived.breaches] == [("max-dead-layer", 5)]


def test_first_waiver_that_matches_a_layer_is_its_own_and_an_idle_one_is_named() -> None:
    found = judge(
        asked(max_dead=0.0, waivers=[{"pattern": "b*", **WHY}, {"pattern": "bad", **WHY}, {"pattern": "x", **WHY}]),
        site(10, 5, tensor="bad"),
        site(10, tensor="good"),
    )
    assert [len(one.layers) for one in found.waived] == [1, 0, 0]
    assert found.remarks == (
        "the waiver for 'bad' matches only what an earlier one does; remove it",
        "the waiver for 'x' matches no layer; remove it",
    )


def test_waivers_cover_what_was_never_reached_or_observed() -> None:
    layers = site(4), site(4, 0, unseen=4, tensor="never")
    waivers = [{"pattern": "never", **WHY}, {"pattern": "s", **WHY}]
    assert judge(asked(max_dead=0.5), *layers).outcome == "inconclusive"
    assert judge(asked(max_dead=0.5, waivers=waivers), *layers).outcome == "passed"
    assert judge(asked(require_observed=True, waivers=waivers), *layers, skipped=(SKIPPED,)).outcome == "passed"
    assert judge(asked(require_observed=True, waivers=waivers[:1]), *layers, skipped=(SKIPPED,)).outcome == "failed"


def test_nothing_but_waived_layers_is_no_pass() -> None:
    found = judge(asked(max_dead=0.5, waivers=[{"pattern": "*", **WHY}]), site(4), site(4))
    assert (found.outcome, found.reasons) == ("inconclusive", ("every layer is waived",))


@pytest.mark.parametrize(("until", "good"), [("2026-03-30", False), ("2026-03-31", True), ("2026-04-01", True)])
@pytest.mark.parametrize("kind", [str, datetime.date.fromisoformat])
def test_waiver_holds_to_the_end_of_its_last_day(until: str, good: bool, kind: Any) -> None:
    waivers = [{"pattern": "*", **WHY, "until": kind(until)}]
    if good:
        assert asked(waivers=waivers).waivers[0].until == datetime.date.fromisoformat(until)
        return
    with pytest.raises(AuditError, match="ended on 2026-03-30: known") as caught:
        asked(waivers=waivers)
    assert caught.value.slug == "waiver-expired"


def test_waiver_without_an_end_holds_for_good() -> None:
    assert asked(waivers=[Waiver(pattern="*", reason="x")], today=datetime.date.max).waivers[0].until is None


@pytest.mark.parametrize(
    "waiver",
    [
        {},
        {"pattern": "*"},
        {"reason": "known"},
        {"pattern": "*", "reason": ""},
        {"pattern": "*", "reason": " \n"},
        {"pattern": "", "reason": "known"},
        {"pattern": 3, "reason": "known"},
        {"pattern": "*", "reason": "known", "until": "soon"},
        {"pattern": "*", "reason": "known", "until": datetime.datetime(2027, 1, 1)},
        {"pattern": "*", "reason": "known", "untl": "2027-01-01"},
        Waiver(pattern="*", reason=""),
        "*",
        3,
    ],
)
def test_waiver_that_says_too_little_is_refused(waiver: Any) -> None:
    with pytest.raises(AuditError) as caught:
        asked(waivers=[waiver])
    assert caught.value.slug == "waiver"


def test_library_takes_the_day_as_an_argument() -> None:
    waivers = [{"pattern": "r0", "reason": "known", "until": "2026-03-31"}]
    model = mlp((4, 20, 3), dead={0: (19,)})
    found = audit(model, X, max_dead=0.0, waivers=waivers, today=TODAY)
    assert found.gate.reasons == ("every layer is waived",)
    with pytest.raises(AuditError) as caught:
        audit(model, X, max_dead=0.0, waivers=waivers, today=TODAY + datetime.timedelta(days=1))
    assert caught.value.slug == "waiver-expired"


def test_saved_audit_is_read_though_its_waivers_have_ended(tmp_path: Path) -> None:
    waivers = [{"pattern": "r0", "reason": "known", "until": "2026-03-31"}]
    found = audit(mlp((4, 20, 6, 3), dead={0: (19,)}), X, max_dead=0.0, waivers=waivers, today=TODAY)
    found.save(tmp_path / "a.json")
    assert load(tmp_path / "a.json") == found


# The configuration --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two layers, 1 of 20 units dead in the first, 3 of 10 in the second."""
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 20, 10, 3), dead={0: (19,), 1: (0, 1)}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    return tmp_path


def configure(folder: Path, text: str, name: str = "relu-audit.toml") -> None:
    (folder / name).write_text(f'data = "d.npz"\njson = "a.json"\n{text}', encoding="utf-8")


CONFIGURED = {
    "last limit": (0, '[layers]\n"*" = { max-dead-layer = "0%" }\n"r?" = { max-dead-layer = "30%" }\n'),
    "limit of one": (1, '[layers]\n"r1" = { max-dead-layer = "29%" }\n'),
    "limit and the one for all": (1, 'max-dead-layer = "4%"\n[layers]\nr1 = { max-dead-layer = 0.3 }\n'),
    "waiver": (0, 'max-dead = "5%"\n[[waivers]]\npattern = "r1"\nreason = "x"\nuntil = 9999-12-31\n'),
    "idle waiver": (1, 'max-dead = "5%"\n[[waivers]]\npattern = "r2"\nreason = "x"\n'),
    "waiver past its date": (2, '[[waivers]]\npattern = "r1"\nreason = "x"\nuntil = 2000-01-01\n'),
    "waiver without reason": (2, '[[waivers]]\npattern = "r1"\n'),
    "waivers as a table": (2, '[waivers]\npattern = "r1"\nreason = "x"\n'),
    "waivers as words": (2, 'waivers = ["r1"]\n'),
    "misspelt layer": (2, '[layers]\n"rl" = { max-dead-layer = "29%" }\n'),
    "bare limit": (2, '[layers]\n"r1" = "19%"\n'),
    "other setting": (2, '[layers]\n"r1" = { max-dead = "29%" }\n'),
    "two settings": (2, '[layers]\n"r1" = { max-dead-layer = "19%", x = 1 }\n'),
    "no share": (2, '[layers]\n"r1" = { max-dead-layer = 19 }\n'),
    "layers as a word": (2, 'layers = "r1"\n'),
}


@pytest.mark.parametrize(("code", "text"), CONFIGURED.values(), ids=CONFIGURED)
def test_configuration_sets_limits_and_waivers(
    code: int, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, text)
    assert run(["m.onnx"]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert (err != "") == (code == 2)
    assert (folder / "a.json").exists() == (code != 2)


def test_configuration_of_a_project_says_the_same(folder: Path) -> None:
    text = (
        '[tool.relu-audit]\ndata = "d.npz"\njson = "a.json"\n'
        '[tool.relu-audit.layers]\nr1 = { max-dead-layer = "29%" }\n'
        '[[tool.relu-audit.waivers]]\npattern = "r0"\nreason = "x"\n'
    )
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    assert run(["m.onnx"]) == 1
    found = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert found["policy"]["layers"] == [{"max_dead_layer": 0.29, "pattern": "r1"}]
    assert found["policy"]["waivers"] == [{"pattern": "r0", "reason": "x", "until": None}]


def test_exit_zero_keeps_the_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for limits, word in ((["--max-dead", "0"], "FAILED"), (["--max-dead", "0", "--limit", "9"], "INCONCLUSIVE")):
        assert run(["m.onnx", "--data", "d.npz", *limits, "--exit-zero"]) == 0
        assert word in capsys.readouterr().out
    assert run(["gone.onnx", "--data", "d.npz", "--exit-zero"]) == 2


def test_each_of_several_models_is_held_against_the_same_tables(folder: Path) -> None:
    onnx.save(mlp((4, 20, 10, 3), dead={0: (19,)}), folder / "n.onnx")
    (folder / "relu-audit.toml").write_text('[layers]\n"r1" = { max-dead-layer = "15%" }\n', encoding="utf-8")
    each = ["each", "--data", "d.npz", "--json", "{stem}.json"]
    assert run([*each, "n.onnx"]) == 0
    assert run([*each, "n.onnx", "m.onnx"]) == 1
    found = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in "nm"]
    assert [one["gate"]["outcome"] for one in found] == ["passed", "failed"]


def test_tables_of_the_gate_are_none_of_pruning_s_business(folder: Path) -> None:
    (folder / "relu-audit.toml").write_text(
        '[layers]\n"nowhere" = { max-dead-layer = "15%" }\n[[waivers]]\npattern = "*"\n', encoding="utf-8"
    )
    assert run(["prune", "m.onnx", "--data", "d.npz", "--dry-run", "-q"]) == 0
