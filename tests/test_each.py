"""``relu-audit each``: several models under the same options, and nothing of one in the place of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from relu_audit import load
from relu_audit.cli import Exit, run
from relu_audit.cli.audit import audit
from relu_audit.cli.each import OPTIONS, WORST_FIRST, WRITING, filled, worst
from relu_audit.observe.session import Session
from tests.graphs import mlp

X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, dead in (("good", {}), ("bad", {0: (1,)})):
        Path(name).mkdir()
        onnx.save(mlp(dead=dead), f"{name}/{name}.onnx")
        np.savez(f"{name}/calib.npz", x=X)
    return tmp_path


def test_every_model_has_its_own_data_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    models = ["good/good.onnx", "bad/bad.onnx"]
    options = ["--data", "{folder}/calib.npz", "--json", "{stem}.json", "--max-dead", "0"]
    assert run(["each", *models, *options]) == Exit.FAILED
    assert load("good.json").dead == 0
    assert load("bad.json").gate.outcome == "failed"
    out = capsys.readouterr().out
    assert out.index("good.onnx on 300") < out.index("gate: PASSED") < out.index("bad.onnx on 300")


def test_a_quiet_word_says_which_model_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    models = ["good/good.onnx", "bad/bad.onnx"]
    assert run(["each", "-q", *models, "--data", "{folder}/calib.npz", "--max-dead", "0"]) == Exit.FAILED
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line for line in lines if "gate: " in line]
    assert verdicts == ["good/good.onnx: gate: PASSED", "bad/bad.onnx: gate: FAILED"]
    assert run([models[1], "-q", "--data", "bad/calib.npz", "--max-dead", "0"]) == Exit.FAILED
    assert capsys.readouterr().out.startswith("gate: FAILED\n")


@pytest.mark.parametrize("target", ["one.json", "-", "./one.json"])
def test_two_reports_in_one_place_are_refused_before_anything_runs(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["good/good.onnx", "bad/bad.onnx"]
    assert run(["each", *models, "--data", "good/calib.npz", "--json", target]) == Exit.UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    assert "good.onnx" in err
    assert "bad.onnx" in err


def test_a_report_over_another_of_the_models_is_refused() -> None:
    before = Path("bad/bad.onnx").read_bytes()
    models = ["good/good.onnx", "bad/bad.onnx"]
    assert run(["each", *models, "--data", "good/calib.npz", "--html", "bad/bad.onnx"]) == Exit.UNUSABLE
    assert Path("bad/bad.onnx").read_bytes() == before


def test_one_that_cannot_be_audited_keeps_no_other_from_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.onnx").write_bytes(b"version https://git-lfs")
    assert run(["each", "broken.onnx", "good/good.onnx", "--data", "good/calib.npz"]) == Exit.UNUSABLE
    out, err = capsys.readouterr()
    assert err.startswith("error: broken.onnx: ")
    assert "good.onnx on 300" in out


def test_an_interrupt_is_for_all_of_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real, runs = Session.run, []

    def stopping(self: Session, *arguments: Any) -> dict[str, np.ndarray]:
        runs.append(1)
        if len(runs) > 3:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(Session, "run", stopping)
    options = ["--data", "good/calib.npz", "--batch-size", "1"]
    assert run(["each", "good/good.onnx", "bad/bad.onnx", *options]) == Exit.INCONCLUSIVE
    out = capsys.readouterr().out
    assert "before it was interrupted" in out
    assert "bad.onnx" not in out


def test_the_worst_code_wins() -> None:
    assert set(WORST_FIRST) == set(Exit)
    assert worst([0, 3, 1, 0]) == Exit.FAILED
    assert worst([1, 2, 3]) == Exit.UNUSABLE
    assert worst([3, 0]) == Exit.INCONCLUSIVE
    assert worst([0, 0]) == Exit.PASSED


def test_settings_hold_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("relu-audit.toml").write_text('data = "{folder}/calib.npz"\n', encoding="utf-8")
    monkeypatch.setenv("RELU_AUDIT_MAX_DEAD", "0%")
    assert run(["each", "good/good.onnx"]) == Exit.PASSED
    assert run(["each", "good/good.onnx", "bad/bad.onnx"]) == Exit.FAILED


def test_only_these_two_words_are_replaced() -> None:
    values = {"a": "{folder}/{stem}{x}{{stem}", "b": 1, "c": None, "d": (("{stem}", 1),)}
    assert filled(values, Path("m/{folder}.onnx")) == {**values, "a": "m/{folder}{x}{{folder}"}


def test_it_has_every_option_of_the_audit() -> None:
    assert [option.name for option in OPTIONS] == [option.name for option in audit.params if option.name != "model"]
    assert set(WRITING) <= set(OPTIONS)
