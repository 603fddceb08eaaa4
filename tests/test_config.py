"""Where options come from: a flag goes before the environment, that before a file, and that before the default."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest

from relu_audit import Audit, audit
from relu_audit.cli import run
from relu_audit.cli.audit import audit as command
from relu_audit.report.formats import FORMATS
from tests.graphs import mlp

PRECEDENCE = [
    # option, flag, environment, file, then what the audit is asked for by each of them and by none
    ("max-dead", "40%", "0.3", '"20%"', 0.4, 0.3, 0.2, None),
    ("max-dead-layer", "0.4", "30%", "0.2", 0.4, 0.3, 0.2, None),
    ("max-rare", "40%", "0.3", '"20%"', 0.4, 0.3, 0.2, None),
    ("allow-faulty", "4", "3", "2", 4, 3, 2, None),
    ("baseline", "flag", "environment", '"file"', "flag", "environment", "file", None),
    ("rare-below", "40%", "0.3", "0.2", 0.4, 0.3, 0.2, 0.05),
    ("bands", "40,20", "0.3,0.2", '"90%, 5%"', (0.4, 0.2), (0.3, 0.2), (0.9, 0.05), (0.5, 0.3, 0.2)),
    ("bands", "40, 0.5%", "0.3", "[90, 1, 0.5]", (0.4, 0.005), (0.3,), (0.9, 0.01, 0.005), (0.5, 0.3, 0.2)),
    ("min-samples", "4", "3", "2", 4, 3, 2, 256),
    ("limit", "4", "3", "2", 4, 3, 2, None),
    ("batch-size", "4", "3", "2", 4, 3, 2, None),
    ("samples", "rows", "feeds", '"rows"', "rows", "feeds", "rows", None),
    ("threads", "4", "3", "2", 4, 3, 2, 0),
    ("provider", "flag", "environment", '"file"', "flag", "environment", "file", "cpu"),
    ("input", "x=flag", "x=environment", '["x=file"]', {"x": "flag"}, {"x": "environment"}, {"x": "file"}, {}),
    ("input", "x=flag", "x=environment", '{x = "file"}', {"x": "flag"}, {"x": "environment"}, {"x": "file"}, {}),
    ("unit-axis", "r=4", "r=3", '["r=2"]', {"r": 4}, {"r": 3}, {"r": 2}, {}),
    ("unit-axis", "r=4", "r=3", "{r = 2}", {"r": 4}, {"r": 3}, {"r": 2}, {}),
    ("batch-axis", "r=4", "r=3", "{r = 2}", {"r": 4}, {"r": 3}, {"r": 2}, {}),
    ("batch-axis", "r=none", "r=3", "{r = 2}", {"r": None}, {"r": 3}, {"r": 2}, {}),
]
KEYWORDS = {"input": "inputs", "unit-axis": "unit_axes", "batch-axis": "batch_axes"}


class Spy:
    """Stands in for the audit and keeps what it is asked for."""

    def __init__(self, answer: Audit) -> None:
        self.answer = answer
        self.model: object = None
        self.data: object = None
        self.asked: dict[str, Any] = {}

    def __call__(self, model: object, data: object, **asked: Any) -> Audit:
        self.model, self.data, self.asked = model, data, asked
        return self.answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("RELU_AUDIT_"):
            monkeypatch.delenv(name)
    onnx.save(mlp((4, 6, 3), dead={0: (1,)}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32))
    return tmp_path


@pytest.fixture
def spy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Spy:
    stand_in = Spy(audit(folder / "m.onnx", folder / "d.npz"))
    monkeypatch.setattr("relu_audit.api.audit.audit", stand_in)
    return stand_in


def variable(option: str) -> str:
    return "RELU_AUDIT_" + option.replace("-", "_").upper()


def configure(folder: Path, text: str, name: str = "pyproject.toml") -> None:
    (folder / name).write_text(("[tool.relu-audit]\n" if name == "pyproject.toml" else "") + text, encoding="utf-8")


@pytest.mark.parametrize("file", ["pyproject.toml", "relu-audit.toml"])
@pytest.mark.parametrize(("option", "flag", "env", "toml", "by_flag", "by_env", "by_file", "default"), PRECEDENCE)
def test_flag_goes_before_environment_before_file_before_default(
    option: str,
    flag: str,
    env: str,
    toml: str,
    by_flag: object,
    by_env: object,
    by_file: object,
    default: object,
    file: str,
    folder: Path,
    spy: Spy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keyword = KEYWORDS.get(option, option.replace("-", "_"))

    def asked(*more: str) -> object:
        assert run(["m.onnx", "--data", "d.npz", *more]) == 0
        return spy.asked[keyword]

    assert asked() == default
    configure(folder, f"{option} = {toml}\n", file)
    assert asked() == by_file
    monkeypatch.setenv(variable(option), env)
    assert asked() == by_env
    assert asked(f"--{option}", flag) == by_flag


def test_data_can_come_from_flag_environment_and_file(folder: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["m.onnx"]) == 2
    configure(folder, 'data = "file.npz"\n')
    assert (run(["m.onnx"]), spy.data) == (0, "file.npz")
    monkeypatch.setenv("RELU_AUDIT_DATA", "environment.npz")
    assert (run(["m.onnx"]), spy.data) == (0, "environment.npz")
    assert (run(["m.onnx", "--data", "flag.npz"]), spy.data) == (0, "flag.npz")


@pytest.mark.parametrize(("switch", "default"), [("near-misses", True), ("costs", False)])
def test_switch_can_be_turned_either_way_at_every_level(
    switch: str, default: bool, folder: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = switch.replace("-", "_")

    def asked(*more: str) -> object:
        assert run(["m.onnx", "--data", "d.npz", *more]) == 0
        return spy.asked[name]

    assert asked() is default
    configure(folder, f"{switch} = false\n")
    assert asked() is False
    monkeypatch.setenv(f"RELU_AUDIT_{name.upper()}", "1")
    assert asked() is True
    assert asked(f"--no-{switch}") is False
    monkeypatch.setenv(f"RELU_AUDIT_{name.upper()}", "0")
    assert asked() is False
    assert asked(f"--{switch}") is True


FILES = [*(one.name for one in FORMATS if not one.streamed), "annotate"]


@pytest.mark.parametrize("option", FILES)
def test_reports_can_be_asked_for_at_every_level(option: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if option == "parquet":
        pytest.importorskip("pyarrow")

    def written(*more: str) -> list[str]:
        assert run(["m.onnx", "--data", "d.npz", *more]) == 0
        found = sorted(path.name for path in folder.glob("by_*"))
        for name in found:
            (folder / name).unlink()
        return found

    assert written() == []
    ending = next((one.endings[0] for one in FORMATS if one.name == option), ".onnx")  # a file names no other
    configure(folder, f'{option} = "by_file{ending}"\n')
    assert written() == [f"by_file{ending}"]
    monkeypatch.setenv(variable(option), "by_environment")
    assert written() == ["by_environment"]
    assert written(f"--{option}", "by_flag") == ["by_flag"]


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_annotations_can_be_asked_for_at_every_level(
    source: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if source == "environment":
        monkeypatch.setenv("RELU_AUDIT_GITHUB", "1")
    if source == "file":
        configure(folder, "github = true\n")
    assert run(["m.onnx", "--data", "d.npz", *(["--github"] if source == "flag" else [])]) == 0
    assert capsys.readouterr().out.startswith("::warning ")


@pytest.mark.parametrize(("option", "silent", "dead"), [("quiet", True, False), ("verbose", False, True)])
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_how_much_is_said_can_be_set_at_every_level(
    option: str,
    silent: bool,
    dead: bool,
    source: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if source == "environment":
        monkeypatch.setenv(variable(option), "1")
    if source == "file":
        configure(folder, f"{option} = true\n")
    assert run(["m.onnx", "--data", "d.npz", *([f"--{option}"] if source == "flag" else [])]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (out == "") == silent
    assert ("dead in r0: 1" in out) == dead


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_traceback_can_be_asked_for_at_every_level_and_changes_no_exit_code(
    source: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if source == "environment":
        monkeypatch.setenv("RELU_AUDIT_DEBUG", "1")
    if source == "file":
        configure(folder, "debug = true\n")
    assert run(["gone.onnx", "--data", "d.npz", *(["--debug"] if source == "flag" else [])]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_traceback_can_be_declined_by_the_environment(
    value: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELU_AUDIT_DEBUG", value)
    assert run(["gone.onnx", "--data", "d.npz"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_option_is_a_setting(folder: Path) -> None:
    options = [p for p in command.params if isinstance(p, click.Option) and not p.is_eager]
    names = {name.removeprefix("--") for p in options for name in p.opts if name.startswith("--")}
    pruning = {"align", "merge-linear", "scatter", "spare", "latency"}  # in the tests of pruning
    told = (
        pruning
        | {"custom-ops"}  # in the tests of trust: no file may set it
        | {option for option, *_ in PRECEDENCE}
        | {
            "data",
            "near-misses",
            "costs",
            *(one.name for one in FORMATS),
            "annotate",
            "prune",
            "require-observed",
            "exit-zero",
            "quiet",
            "verbose",
            "debug",
            "memory-limit",  # in test_bounded.py
        }
    )
    assert names == told  # a new option belongs into one of the tests above


# Files --------------------------------------------------------------------------------------------------------------


def test_nearest_file_upwards_is_used(folder: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    configure(folder, "limit = 1\n")
    monkeypatch.chdir(inner)
    model, data = str(folder / "m.onnx"), str(folder / "d.npz")
    assert (run([model, "--data", data]), spy.asked["limit"]) == (0, 1)
    configure(folder / "a", "limit = 2\n", "relu-audit.toml")
    assert (run([model, "--data", data]), spy.asked["limit"]) == (0, 2)


def test_project_without_our_table_is_passed_by(folder: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = folder / "a"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[tool.other]\nlimit = 9\n[project]\nname = "a"\n', encoding="utf-8")
    configure(folder, "limit = 1\n")
    monkeypatch.chdir(inner)
    assert run([str(folder / "m.onnx"), "--data", str(folder / "d.npz")]) == 0
    assert spy.asked["limit"] == 1


def test_own_file_goes_before_the_project_s(folder: Path, spy: Spy) -> None:
    configure(folder, "limit = 1\n")
    configure(folder, "limit = 2\n", "relu-audit.toml")
    assert (run(["m.onnx", "--data", "d.npz"]), spy.asked["limit"]) == (0, 2)


def test_file_sets_the_gate_of_a_whole_run(folder: Path) -> None:
    configure(folder, 'data = "d.npz"\nmax-dead = "10%"\njson = "audit.json"\nquiet = true\n')
    assert run(["m.onnx"]) == 1
    assert json.loads((folder / "audit.json").read_text(encoding="utf-8"))["policy"]["max_dead"] == 0.1
    assert run(["m.onnx", "--max-dead", "20%"]) == 0


@pytest.mark.parametrize("name", ["pyproject.toml", "relu-audit.toml"])
@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("max-ded", "max-dead"),
        ("max_dead", "max-dead"),
        ("maxdeadlayer", "max-dead-layer"),
        ("minsamples", "min-samples"),
        ("batchsize", "batch-size"),
        ("jsn", "json"),
        ("no-near-misses", "near-misses"),
    ],
)
def test_unknown_key_is_refused_and_the_nearest_named(
    key: str, near: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, f"{key} = 1\n", name)
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"'{key}'" in err
    assert f"'{near}'" in err
    assert name in err


def test_key_that_is_near_to_nothing_is_refused_with_all_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, "zzzzzz = 1\n")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    err = capsys.readouterr().err
    assert "'zzzzzz'" in err
    assert "max-dead" in err


KINDS = [
    ("max-dead = 2026-01-01", "'max-dead' cannot be the date 2026-01-01", 'max-dead = "5%"'),
    ("max-dead = 10:00:00", "'max-dead' cannot be the time 10:00:00", 'max-dead = "5%"'),
    ("max-dead = true", "'max-dead' cannot be true", 'max-dead = "5%"'),
    ("max-dead = []", "'max-dead' cannot be an array", 'max-dead = "5%"'),
    ("limit = {}", "'limit' cannot be a table", "limit = 256"),
    ("quiet = 3", "'quiet' cannot be 3", "quiet = true"),
    ('quiet = "yes"', "'quiet' cannot be \"yes\"", "quiet = true"),
    ("samples = true", "'samples' cannot be true", 'samples = "rows"'),
    ("memory-limit = true", "'memory-limit' cannot be true", 'memory-limit = "4GB"'),
    ("json = 2026-01-01", "'json' cannot be the date 2026-01-01", 'json = "FILE"'),
    ("input = 3", "'input' cannot be 3", 'input = ["NAME=KEY"]'),
    ("input = [2026-01-01]", "'input' cannot be the date 2026-01-01", 'input = ["NAME=KEY"]'),
    ("input = { x = 2026-01-01 }", "'input' cannot be the date 2026-01-01", 'input = ["NAME=KEY"]'),
    ("spare = [true]", "'spare' cannot be true", 'spare = ["TENSOR"]'),
    ("bands = [[0.5]]", "'bands' cannot be an array", 'bands = "50%,30%,20%"'),
    ("layers = { a = { max-dead-layer = true } }", "layers.'a': max-dead-layer cannot be true", '"5%"'),
    ("layers = { a = { max-dead-layer = 2026-01-01 } }", "max-dead-layer cannot be the date 2026-01-01", '"5%"'),
    ("threads = 99999999999999999999", "'threads' holds a whole number of more than 64 bits", ""),
    ("bands = [99999999999999999999]", "'bands' holds a whole number of more than 64 bits", ""),
    ("layers = { a = { max-dead-layer = 99999999999999999999 } }", "'layers.a.max-dead-layer' holds a whole", ""),
    ("threads = 9223372036854775807", "no whole number of at most 15 digits", ""),
]


@pytest.mark.parametrize(("text", "said", "example"), KINDS, ids=[text for text, *_ in KINDS])
def test_value_of_another_kind_is_named_with_its_key_and_one_of_the_right_kind(
    text: str, said: str, example: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, f"{text}\n", "relu-audit.toml")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    error = capsys.readouterr().err
    assert "relu-audit.toml" in error
    assert said in error
    assert example in error
    assert "datetime" not in error


@pytest.mark.parametrize("option", [one for one in command.params if isinstance(one, click.Option) and one.envvar])
def test_example_of_every_setting_can_be_set(
    option: click.Option, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = option.opts[0].removeprefix("--")
    wrong = '"yes"' if option.is_flag else "[[]]"
    configure(folder, f"{key} = {wrong}\n", "relu-audit.toml")
    assert run(["gone.onnx", "--data", "d.npz"]) == 2
    example = capsys.readouterr().err.rpartition("Write ")[2]
    configure(folder, example, "relu-audit.toml")
    assert run(["gone.onnx", "--data", "d.npz"]) == 2
    assert f"'{key}' cannot be" not in capsys.readouterr().err


WRONG = {
    "no TOML": "[tool.relu-audit\n",
    "tool is no table": "tool = 3\n",
    "our tool is no table": "[tool]\nrelu-audit = 5\n",
    "our tool is a list": '[tool]\nrelu-audit = ["max-dead"]\n',
    "percentage without its sign": "[tool.relu-audit]\nmax-dead = 5\n",
    "a truth for a share": "[tool.relu-audit]\nmax-dead = true\n",
    "a truth for a number": "[tool.relu-audit]\nmin-samples = true\n",
    "a truth for a file": "[tool.relu-audit]\njson = true\n",
    "a fraction for a number": "[tool.relu-audit]\nlimit = 2.5\n",
    "text for a number": '[tool.relu-audit]\nlimit = "many"\n',
    "zero samples": "[tool.relu-audit]\nlimit = 0\n",
    "a number for a switch": "[tool.relu-audit]\nquiet = 1\n",
    "text for a switch": '[tool.relu-audit]\nnear-misses = "no"\n',
    "a list for one value": '[tool.relu-audit]\ndata = ["a", "b"]\n',
    "a table for one value": "[tool.relu-audit.max-dead]\nr0 = 0.1\n",
    "one value for a list": '[tool.relu-audit]\ninput = "x"\n',
    "a date": "[tool.relu-audit]\nlimit = 2020-01-01\n",
    "no pair": '[tool.relu-audit]\ninput = ["x"]\n',
    "the model": '[tool.relu-audit]\nmodel = "m.onnx"\n',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_file_that_makes_no_sense_is_refused(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip()
    assert "Traceback" not in err


def test_file_that_is_no_text_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "relu-audit.toml").write_bytes(b"\xff\xfe\x00")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    assert "relu-audit.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("max-dead", "5"), ("limit", "0"), ("batch-size", "x"), ("input", "x"), ("near-misses", "perhaps")],
)
def test_variable_that_makes_no_sense_is_refused_by_its_option(
    option: str, value: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable(option), value)
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["schema"], ["completion", "zsh"]], ids=" ".join)
def test_broken_file_does_not_get_in_the_way_of_what_does_not_need_it(arguments: list[str], folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.relu-audit", encoding="utf-8")
    assert run(arguments) == 0


@pytest.mark.parametrize("command", [["m.onnx"], ["each", "m.onnx"]], ids=["audit", "each"])
@pytest.mark.parametrize("name", ["pyproject.toml", "relu-audit.toml"])
def test_value_that_is_refused_is_told_with_the_file_that_it_is_from(
    name: str, command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, "max-dead = 5\n", name)
    assert run([*command, "--data", "d.npz"]) == 2
    assert f"'--max-dead' (set in {name})" in capsys.readouterr().err


def test_value_that_is_refused_is_told_with_the_variable_that_it_is_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, 'max-dead = "1%"\n')
    monkeypatch.setenv("RELU_AUDIT_MAX_DEAD", "bad")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    err = capsys.readouterr().err
    assert "'--max-dead' (set by the environment variable RELU_AUDIT_MAX_DEAD)" in err
    assert "pyproject.toml" not in err


def test_value_that_is_refused_on_the_command_line_is_told_with_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(folder, 'max-dead = "1%"\n')
    monkeypatch.setenv("RELU_AUDIT_MAX_DEAD", "1%")
    assert run(["m.onnx", "--data", "d.npz", "--max-dead", "5"]) == 2
    assert "for '--max-dead': " in capsys.readouterr().err
