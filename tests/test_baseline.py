"""A baseline: only what is worse than it fails, unit by unit, and what cannot be matched is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_audit import AuditError, audit, load
from relu_audit.cli import run
from relu_audit.judge.baseline import baseline
from relu_audit.records import Policy, SiteAudit, Skipped
from tests.graphs import graph, mlp
from tests.layers import SKIPPED, data, judge, measure, site

X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
NONE_NEW = Policy(max_dead=0.0)
units = st.sets(st.integers(0, 19))


def outcome(policy: Policy, before: SiteAudit, now: SiteAudit) -> str:
    return judge(policy, now, baseline=measure(before)).outcome


# What is worse ------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(units, units, st.integers(0, 20))
def test_breach_is_a_limit_broken_by_units_that_were_not_dead(old: set[int], new: set[int], limit: int) -> None:
    policy = Policy(max_dead=limit / 20, max_dead_layer=limit / 20)
    found = judge(policy, site(20, sorted(new)), baseline=measure(site(20, sorted(old))))
    broken = len(new) > limit and not new <= old
    assert found.outcome == ("failed" if broken else "passed")
    assert [(breach.units, breach.new) for breach in found.breaches] == [(len(new), len(new - old))] * (2 * broken)
    assert found.against is not None
    assert (found.against.new_dead, found.against.known_dead) == (len(new - old), len(new & old))


@settings(max_examples=60, deadline=None)
@given(units, units, st.integers(0, 20))
def test_baseline_only_ever_forgives(old: set[int], new: set[int], limit: int) -> None:
    policy = Policy(max_dead=limit / 20)
    if judge(policy, site(20, sorted(new))).outcome == "passed":
        assert outcome(policy, site(20, sorted(old)), site(20, sorted(new))) == "passed"


def test_as_many_deaths_elsewhere_are_worse_though_the_share_is_the_same() -> None:
    assert outcome(NONE_NEW, site(20, (1, 2)), site(20, (1, 2))) == "passed"
    assert outcome(NONE_NEW, site(20, (1, 2)), site(20, (1, 3))) == "failed"
    assert outcome(NONE_NEW, site(20, (1, 2)), site(20, ())) == "passed"


@pytest.mark.parametrize(
    ("policy", "before", "now", "word"),
    [
        (Policy(max_rare=0.0), site(9, rare=(1,)), site(9, rare=(1,)), "passed"),
        (Policy(max_rare=0.0), site(9, (1,)), site(9, rare=(1,)), "passed"),
        (Policy(max_rare=0.0), site(9), site(9, rare=(1,)), "failed"),
        (Policy(allow_faulty=0), site(9, faulty=(1,)), site(9, faulty=(1,)), "passed"),
        (Policy(allow_faulty=0), site(9, faulty=(2,)), site(9, faulty=(1,)), "failed"),
        (Policy(max_rare=0.0), site(9, faulty=(1,)), site(9, rare=(1,)), "failed"),
        (NONE_NEW, site(9, faulty=(1,)), site(9, (1,)), "failed"),
        (NONE_NEW, site(9, (1,)), site(9, faulty=(1,)), "failed"),
        (NONE_NEW, site(9, 0, unseen=9), site(9, (1,)), "inconclusive"),
        (NONE_NEW, site(9, 0, unseen=8), site(9, (0, 1)), "failed"),
        (NONE_NEW, site(9, 0, unseen=9), site(9), "passed"),
        (NONE_NEW, site(9, 0, unseen=9), site(9, faulty=(1,)), "inconclusive"),
        (Policy(require_observed=True), site(9, 0, unseen=2), site(9, 0, unseen=2), "passed"),
        (Policy(require_observed=True), site(9, 0, unseen=2), site(9, 0, unseen=3), "failed"),
    ],
)
def test_worse_is_told_status_by_status(policy: Policy, before: SiteAudit, now: SiteAudit, word: str) -> None:
    assert outcome(policy, before, now) == word


def test_what_was_not_observed_there_either_is_no_worse() -> None:
    policy = Policy(require_observed=True)
    known = measure(site(9), skipped=(SKIPPED,))
    assert judge(policy, site(9), skipped=(SKIPPED,), baseline=known).outcome == "passed"
    other = Skipped(tensor="t", scope="", op="Relu", slug="in-subgraph", detail="x")
    assert judge(policy, site(9), skipped=(SKIPPED, other), baseline=known).outcome == "failed"


# Layers that changed ------------------------------------------------------------------------------------------------


CHANGES = [
    {"tensor": "q", "weight": "v"},
    {"scope": "If/then", "weight": "v"},
    {"op": "Clip(0, 6)", "weight": "v"},
    {"units": 8},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dead", [(), (1,)])
def test_layer_that_matches_none_is_named_and_its_dead_units_decide_nothing(
    change: dict[str, Any], dead: tuple[int, ...]
) -> None:
    old = site(9, (1,)), site(9, tensor="same", weight="s")
    new = site(9, tensor="same", weight="s"), site(**{"units": 9, "dead": dead, **change})
    found = judge(NONE_NEW, *new, baseline=measure(*old))
    assert found.outcome == ("inconclusive" if dead else "passed")
    name = f"'{new[1].name}'"
    assert [f"matches {name}, so nothing tells whether 1 dead unit is new" in one for one in found.reasons] == (
        [True] if dead else []
    )
    assert found.undecided == (("max-dead",) if dead else ())
    assert found.against is not None
    assert (found.against.new_dead, found.against.known_dead, found.against.untold_dead) == (0, 0, len(dead))
    assert [place.name for place in found.against.unmatched] == [new[1].name]
    assert [place.name for place in found.against.gone] == ["r"]
    assert any(f"no layer of the baseline matches {name}" in remark for remark in found.remarks)
    assert any("in the baseline only: 'r'" in remark for remark in found.remarks)


def test_what_cannot_be_matched_takes_no_breach_away_and_room_below_a_limit_is_room_for_it() -> None:
    old = site(9, (1,)), site(9, tensor="lost", weight=None)
    stranger = site(9, (2,), tensor="found", op="Clip(0)", weight=None)
    assert judge(NONE_NEW, site(9, (1,)), stranger, baseline=measure(*old)).outcome == "inconclusive"
    broken = judge(NONE_NEW, site(9, (1, 2)), stranger, baseline=measure(*old))
    assert (broken.outcome, broken.reasons) == ("failed", ())
    assert broken.against is not None
    assert (broken.against.new_dead, broken.against.untold_dead) == (1, 1)
    assert judge(Policy(max_dead=0.5), site(9, (1,)), stranger, baseline=measure(*old)).outcome == "passed"


def test_renamed_layer_is_held_against_its_old_self_and_named() -> None:
    old = site(9, (1,), content="c"), site(9, (1, 2), tensor="s", content="d")
    new = site(9, (1, 2), tensor="a", content="d"), site(9, (1, 3), tensor="b", content="c")
    found = judge(NONE_NEW, *new, baseline=measure(*old))
    assert found.outcome == "failed"
    assert found.against is not None
    assert (found.against.new_dead, found.against.known_dead) == (1, 3)
    assert any("'a' was 's' (same weights), 'b' was 'r' (same weights)" in remark for remark in found.remarks)
    assert judge(NONE_NEW, *old, baseline=measure(*old)).outcome == "passed"


# How much evidence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("there", "here", "said"), [(300, 400, "fewer"), (400, 300, "more"), (300, 300, "")])
def test_other_sample_counts_are_said(there: int, here: int, said: str) -> None:
    found = judge(NONE_NEW, site(9), data=data(here), baseline=measure(site(9), samples=there))
    assert [said in remark for remark in found.remarks] == [True] * bool(said)


def test_other_data_is_said() -> None:
    found = judge(NONE_NEW, site(9), data=data(sha256="f" * 64), baseline=measure(site(9)))
    assert found.remarks == ("the baseline was of other data",)


def test_fewer_samples_of_the_same_file_are_not_called_other_data() -> None:
    before = msgspec.structs.replace(measure(site(9), samples=400), data="d.npz")
    (remark,) = judge(NONE_NEW, site(9), data=data(300, sha256="f" * 64), baseline=before).remarks
    assert remark.startswith("the baseline saw more samples of the same file, perhaps (400, here 300)")
    other = msgspec.structs.replace(before, data="e.npz")
    assert len(judge(NONE_NEW, site(9), data=data(300, sha256="f" * 64), baseline=other).remarks) == 2


def test_baseline_on_too_few_samples_decides_nothing() -> None:
    found = judge(NONE_NEW, site(9), baseline=measure(site(9, 9), samples=255))
    assert found.outcome == "inconclusive"
    assert "baseline rests on 255 samples" in found.reasons[0]


# From files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 20, 10, 3), dead={0: (19,)}), tmp_path / "old.onnx")
    onnx.save(mlp((4, 20, 10, 3), dead={0: (18, 19)}), tmp_path / "new.onnx")
    onnx.save(
        graph("float[n, 4] x", "float[n, 4] y", "z = MatMul (x, w)\n y = Relu (z)", {"w": np.eye(4, dtype="f4")}),
        "other.onnx",
    )
    np.savez("d.npz", x=X)
    assert run(["old.onnx", "--data", "d.npz", "--json", "old.json", "-q"]) == 0
    return tmp_path


def test_baseline_alone_lets_no_unit_die(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["old.onnx", "--data", "d.npz", "--baseline", "old.json"]) == 0
    assert run(["new.onnx", "--data", "d.npz", "--baseline", "old.json", "--json", "new.json"]) == 1
    assert "1 of them newly" in capsys.readouterr().out
    saved = json.loads((folder / "new.json").read_text(encoding="utf-8"))
    assert saved["policy"]["max_dead"] == 0.0
    assert saved["baseline"]["source"] == "old.json"
    assert load("new.json") == audit("new.onnx", "d.npz", baseline="old.json")


def test_limits_leave_room_below_them_and_none_above(folder: Path) -> None:
    again = ["new.onnx", "--data", "d.npz", "--baseline", "old.json"]
    assert run([*again, "--max-dead-layer", "30%"]) == 0
    assert run([*again, "--max-dead-layer", "1%"]) == 1
    assert run(["old.onnx", "--data", "d.npz", "--baseline", "old.json", "--max-dead-layer", "1%"]) == 0


def test_library_takes_an_audit_as_a_baseline(folder: Path) -> None:
    old = audit("old.onnx", X)
    assert audit("old.onnx", X, baseline=old).gate.outcome == "passed"
    found = audit("new.onnx", X, baseline=old)
    assert found.gate.outcome == "failed"
    assert found.baseline is not None
    assert found.baseline.source == "<memory>"


def test_rare_units_of_the_baseline_are_judged_by_this_policy(folder: Path) -> None:
    old = audit("old.onnx", X, rare_below=0.0)
    assert old.summary.rare == 0
    assert audit("old.onnx", X, baseline=old, max_rare=0.0, rare_below=0.9).gate.outcome == "passed"


REFUSED = {
    "no file": ("gone.json", "audit-unreadable"),
    "no audit": ("old.onnx", "audit-unreadable"),
    "of another model": ("other.json", "baseline"),
    "interrupted": ("partial.json", "baseline"),
    "of made-up data": ("noise.json", "baseline"),
    "damaged": ("damaged.json", "audit-inconsistent"),
}


@pytest.mark.parametrize(("name", "slug"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused(name: str, slug: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["other.onnx", "--data", "d.npz", "--json", "other.json", "-q"])
    run(["old.onnx", "--data", "random:300", "--json", "noise.json", "-q"])
    msgspec.structs.replace(load("old.json"), partial=True).save("partial.json")
    text = Path("old.json").read_text(encoding="utf-8")
    Path("damaged.json").write_text(text.replace('"dead": [19]', '"dead": [18]'), encoding="utf-8")
    assert run(["new.onnx", "--data", "d.npz", "--baseline", name]) == 2
    assert f"[{slug}]" in capsys.readouterr().err


def test_audit_of_nothing_is_no_baseline() -> None:
    linear = graph("float[n, 4] x", "float[n, 4] y", "y = Add (x, x)")
    with pytest.raises(AuditError, match="no rectifier was observed") as caught:
        baseline(audit(linear, X), Policy(), "a.json")
    assert caught.value.slug == "baseline"


def test_report_does_not_write_over_the_baseline_it_reads(folder: Path) -> None:
    before = Path("old.json").read_bytes()
    assert run(["new.onnx", "--data", "d.npz", "--baseline", "old.json", "--json", "old.json"]) == 2
    assert Path("old.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"new_dead": 0}, {"known_dead": 9}])
def test_gate_that_does_not_follow_from_its_baseline_is_refused(change: dict[str, int], folder: Path) -> None:
    run(["new.onnx", "--data", "d.npz", "--baseline", "old.json", "--json", "new.json", "-q"])
    saved = json.loads((folder / "new.json").read_text(encoding="utf-8"))
    saved["gate"]["against"].update(change)
    with pytest.raises(AuditError) as caught:
        load(json.dumps(saved).encode())
    assert caught.value.slug == "audit-inconsistent"
