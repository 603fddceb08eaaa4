"""The command line: one exit code per meaning, whole files or none, and plain words for whatever goes wrong."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit import load
from relu_audit.cli import run
from relu_audit.observe.session import Session
from relu_audit.report.json import schema, write
from tests.graphs import graph, mlp

X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
ENTRY = [sys.executable, "-c", "from relu_audit.cli import main; main()"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model of 20 units, the last of them dead, one without rectifiers, and data."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("RELU_AUDIT_"):
            monkeypatch.delenv(name)
    onnx.save(mlp((4, 20, 3), dead={0: (19,)}), tmp_path / "m.onnx")
    onnx.save(graph("float[n, 4] x", "float[n, 4] y", "y = Add (x, x)"), tmp_path / "linear.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    np.savez(tmp_path / "few.npz", x=X[:5])
    return tmp_path


@pytest.fixture
def html(monkeypatch: pytest.MonkeyPatch) -> str:
    """A page that is larger than any JSON here, whatever the real one looks like."""
    module = pytest.importorskip("relu_audit.report.html")
    page = "<!doctype html>" + " " * 200_000
    monkeypatch.setattr(module, "write", lambda _: page)
    return page


def interrupted_after(count: int) -> str:
    """Data of ``count`` batches of ten, then Ctrl-C."""
    code = f"""
import numpy as np
def feeds():
    for row in np.load("d.npz")["x"].reshape(-1, 10, 4)[:{count}]:
        yield {{"x": row}}
    raise KeyboardInterrupt
"""
    Path("stops.py").write_text(code, encoding="utf-8")
    return "stops.py:feeds"


def files() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in Path().rglob("*") if p.is_file() and "__pycache__" not in p.parts}


# Exit codes ---------------------------------------------------------------------------------------------------------

CODES: dict[str, tuple[int, list[str]]] = {
    "no limit": (0, ["m.onnx", "--data", "d.npz"]),
    "no limit on few samples": (0, ["m.onnx", "--data", "few.npz"]),
    "no limit on made-up data": (0, ["m.onnx", "--data", "random:5"]),
    "no limit and no rectifier": (0, ["linear.onnx", "--data", "d.npz"]),
    "below the limit": (0, ["m.onnx", "--data", "d.npz", "--max-dead", "6%"]),
    "at the limit": (0, ["m.onnx", "--data", "d.npz", "--max-dead", "5%"]),
    "at the limit as a fraction": (0, ["m.onnx", "--data", "d.npz", "--max-dead", "0.05"]),
    "at the limit of layers": (0, ["m.onnx", "--data", "d.npz", "--max-dead-layer", "5%"]),
    "enough samples": (0, ["m.onnx", "--data", "few.npz", "--max-dead", "100%", "--min-samples", "5"]),
    "above the limit": (1, ["m.onnx", "--data", "d.npz", "--max-dead", "4.9%"]),
    "above the limit of layers": (1, ["m.onnx", "--data", "d.npz", "--max-dead-layer", "0"]),
    "above one limit of two": (1, ["m.onnx", "--data", "d.npz", "--max-dead", "1", "--max-dead-layer", "0"]),
    "no such model": (2, ["gone.onnx", "--data", "d.npz"]),
    "no model": (2, ["d.npz", "--data", "d.npz"]),
    "no such data": (2, ["m.onnx", "--data", "gone.npz"]),
    "no data": (2, ["m.onnx"]),
    "nothing at all": (2, []),
    "unknown option": (2, ["m.onnx", "--data", "d.npz", "--max-ded", "5%"]),
    "limit without its sign": (2, ["m.onnx", "--data", "d.npz", "--max-dead", "5"]),
    "unknown provider": (2, ["m.onnx", "--data", "d.npz", "--provider", "abacus"]),
    "two models": (2, ["m.onnx", "m.onnx", "--data", "d.npz"]),
    "unknown shell": (2, ["completion", "tcsh"]),
    "few samples": (3, ["m.onnx", "--data", "few.npz", "--max-dead", "100%"]),
    "few samples above the limit": (3, ["m.onnx", "--data", "few.npz", "--max-dead", "0"]),
    "few samples by the limit on them": (3, ["m.onnx", "--data", "d.npz", "--max-dead", "1", "--limit", "255"]),
    "fewer samples than asked for": (3, ["m.onnx", "--data", "d.npz", "--max-dead", "1", "--min-samples", "301"]),
    "made-up data": (3, ["m.onnx", "--data", "random:300", "--max-dead", "100%"]),
    "made-up data above the limit": (3, ["m.onnx", "--data", "random:300", "--max-dead", "0"]),
    "no rectifier": (3, ["linear.onnx", "--data", "d.npz", "--max-dead", "100%"]),
    "version": (0, ["--version"]),
    "help": (0, ["--help"]),
    "schema": (0, ["schema"]),
    "completion": (0, ["completion", "fish"]),
}


@pytest.mark.parametrize(("code", "arguments"), CODES.values(), ids=CODES)
def test_exit_code_says_what_happened(code: int, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if code == 2:
        assert out == ""
        assert err.strip()
    else:
        assert out.strip()
        assert err == ""


@pytest.mark.parametrize("quiet", [[], ["-q"]])
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["d.npz", "--max-dead", "5%"], "PASSED"),
        (["d.npz", "--max-dead", "4%"], "FAILED"),
        (["few.npz", "--max-dead", "5%"], "INCONCLUSIVE"),
    ],
)
def test_gate_s_word_is_printed(
    arguments: list[str], word: str, quiet: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["m.onnx", "--data", *arguments, *quiet])
    out = capsys.readouterr().out
    assert f"gate: {word}" in out
    assert ("layer" in out) == (not quiet)


@pytest.mark.parametrize("error", [ZeroDivisionError("one\ntwo"), AssertionError(), KeyError("x"), RecursionError()])
def test_bug_of_ours_has_a_code_of_its_own(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("relu_audit.api.audit.audit", broken)
    assert run(["m.onnx", "--data", "d.npz", "--max-dead", "5%"]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert type(error).__name__ in err
    assert "bug" in err
    assert "--debug" in err
    assert "Traceback" not in err


# Ctrl-C -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", [[], ["--max-dead", "100%", "--min-samples", "1"], ["--max-dead", "0"]], ids=" ".join)
@pytest.mark.parametrize("count", [1, 3, 30])
def test_interrupted_audit_is_written_and_never_passes(
    count: int, gate: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["m.onnx", "--data", interrupted_after(count), "--json", "a.json", *gate]) == 3
    found = load(Path("a.json").read_bytes())
    assert found.partial
    assert found.data.samples == found.sites[0].samples == 10 * count
    assert found.gate.outcome == ("inconclusive" if gate else "not_set")
    assert list(found.sites[0].fired_positions[:3]) == list(found.sites[0].fired_samples[:3])
    assert "interrupted" in capsys.readouterr().out
    described = jsonschema.Draft202012Validator(json.loads(schema()))
    assert described.is_valid(json.loads(Path("a.json").read_bytes()))


def test_interrupted_audit_tells_what_a_whole_one_of_those_samples_tells() -> None:
    run(["m.onnx", "--data", interrupted_after(3), "--json", "part.json"])
    run(["m.onnx", "--data", "d.npz", "--limit", "30", "--json", "whole.json"])
    part, whole = (load(Path(name).read_bytes()) for name in ("part.json", "whole.json"))
    assert part.sites == whole.sites
    assert part.data.sha256 == whole.data.sha256
    assert (part.partial, whole.partial) == (True, False)


@pytest.mark.parametrize("gate", [[], ["--max-dead", "100%", "--min-samples", "1"]], ids=" ".join)
def test_interrupt_before_the_first_sample_is_inconclusive_too(
    gate: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["m.onnx", "--data", interrupted_after(0), *gate]) == 3
    out, err = capsys.readouterr()
    assert "interrupted" in out + err
    assert "Traceback" not in err


@pytest.mark.parametrize("runs", range(4))
@pytest.mark.parametrize("size", ["1", "100"])
def test_interrupt_while_the_model_runs_is_inconclusive(
    runs: int, size: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, done = Session.run, []

    def stopping(self: Session, *arguments: Any) -> dict[str, np.ndarray]:
        if len(done) == runs:
            raise KeyboardInterrupt
        done.append(1)
        return real(self, *arguments)

    monkeypatch.setattr(Session, "run", stopping)
    arguments = ["m.onnx", "--data", "d.npz", "--batch-size", size, "--max-dead", "1", "--min-samples", "1"]
    assert run([*arguments, "--json", "a.json"]) == 3
    assert "Traceback" not in capsys.readouterr().err
    if Path("a.json").exists():
        found = load(Path("a.json").read_bytes())
        assert found.partial
        assert found.gate.outcome == "inconclusive"
        assert found.units == 20


# Words --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["m.onnx", "--data", "d.npz"],
        ["audit", "m.onnx", "--data", "d.npz"],
        ["--data", "d.npz", "m.onnx"],
        ["audit", "--data", "d.npz", "m.onnx"],
        ["--data=d.npz", "m.onnx"],
        ["-v", "m.onnx", "--data", "d.npz"],
        ["--json", "a.json", "m.onnx", "--data", "d.npz"],
        ["./m.onnx", "--data", "./d.npz"],
        ["plain", "--data", "d.npz"],
    ],
    ids=" ".join,
)
def test_audit_is_what_happens_when_no_other_command_is_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("m.onnx", "plain")
    assert run(arguments) == 0
    assert "on 300 samples of d.npz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("adit", "audit"),
        ("audti", "audit"),
        ("schem", "schema"),
        ("completions", "completion"),
        ("compltion", "completion"),
    ],
)
@pytest.mark.parametrize("more", [[], ["m.onnx", "--data", "d.npz"]])
def test_mistyped_command_is_said_and_the_right_one_suggested(
    word: str, meant: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([word, *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"'{word}'" in err
    assert f"'{meant}'" in err


def test_word_like_no_command_is_refused_with_all_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["zzzzzz"]) == 2
    err = capsys.readouterr().err
    assert all(word in err for word in ("'zzzzzz'", "audit", "schema", "completion"))


@pytest.mark.parametrize("model", ["gone.onnx", "folder/gone", "./gone"])
def test_missing_model_is_a_missing_model_and_no_mistyped_command(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([model, "--data", "d.npz"]) == 2
    err = capsys.readouterr().err
    assert "[model-not-found]" in err
    assert "gone" in err


@pytest.mark.parametrize(
    ("option", "meant"), [("--max-ded", "--max-dead"), ("--jsno", "--json"), ("--lmit", "--limit")]
)
def test_mistyped_option_is_said_and_the_right_one_suggested(
    option: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["m.onnx", "--data", "d.npz", option, "5%"]) == 2
    err = capsys.readouterr().err
    assert option in err
    assert meant in err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"relu-audit {relu_audit.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["audit", "--help"], ["m.onnx", "--help"]], ids=" ".join)
def test_help_shows_every_option_and_the_exit_codes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    out = capsys.readouterr().out
    folder = Path(relu_audit.cli.__file__).parent
    sources = "".join((folder / name).read_text(encoding="utf-8") for name in ("audit.py", "gate.py", "command.py"))
    options = re.findall(r'\boption\(\s*"(--[a-z-]+)', sources)
    assert len(options) >= 16
    assert [option for option in options if option not in out] == []
    assert "RELU_AUDIT_" in out
    assert re.search(r"Exit codes:.* 0 .* 1 .* 2 .*3 .*70", out, re.DOTALL)


def test_help_lists_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {word} ", out, re.MULTILINE) for word in ("sites", "schema", "completion"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert f"_RELU_AUDIT_COMPLETE={shell}_complete" in out
    assert "relu-audit" in out
    assert err == ""


@pytest.mark.parametrize("shell", [s for s in ("bash", "zsh", "fish") if shutil.which(s)])
def test_completion_script_is_valid_in_its_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["completion", shell])
    script = capsys.readouterr().out
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "suggested"),
    [("relu-audit m.onnx --max-dead", ["--max-dead", "--max-dead-layer"]), ("relu-audit sch", ["schema"])],
)
def test_shell_is_told_what_could_follow(words: str, suggested: list[str]) -> None:
    asked = {"_RELU_AUDIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(ENTRY, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    assert [line.removeprefix("plain,") for line in done.stdout.splitlines()] == suggested


def test_schema_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    out = capsys.readouterr().out
    jsonschema.Draft202012Validator.check_schema(json.loads(out))
    assert out == schema()


# How much is said ---------------------------------------------------------------------------------------------------


def test_quiet_says_nothing_without_a_gate(capsys: pytest.CaptureFixture[str]) -> None:
    for option in "-q", "--quiet":
        assert run(["m.onnx", "--data", "d.npz", option]) == 0
        assert capsys.readouterr() == ("", "")


def test_quiet_still_says_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", "gone.npz", "-q"]) == 2
    assert "gone.npz" in capsys.readouterr().err


def test_verbose_lists_the_dead_units(capsys: pytest.CaptureFixture[str]) -> None:
    run(["m.onnx", "--data", "d.npz"])
    plain = capsys.readouterr().out
    for option in "-v", "--verbose":
        run(["m.onnx", "--data", "d.npz", option])
        loud = capsys.readouterr().out
        assert "dead in r0: 19" in loud
        assert [line for line in loud.splitlines() if "dead in" not in line] == plain.splitlines()


def test_summary_names_model_data_layers_and_total(capsys: pytest.CaptureFixture[str]) -> None:
    run(["m.onnx", "--data", "d.npz"])
    out = capsys.readouterr().out
    assert re.search(r"m\.onnx on 300 samples of d\.npz", out)
    assert re.search(r"^r0 .* 20 .* 1 .*5(\.0)? %", out, re.MULTILINE)
    assert re.search(r"^total .* 20 .* 1 .*5(\.0)? %", out, re.MULTILINE)


def test_names_with_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    model = graph("float[n, 4] x", "float[n, 4] y", "h = Add (x, x)\n y = Relu (h)")
    model.graph.node[1].output[0] = model.graph.output[0].name = "[red]a[/]"
    onnx.save(model, "odd.onnx")
    run(["odd.onnx", "--data", "d.npz"])
    assert "[red]a[/]" in capsys.readouterr().out


# Reports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["-q"], ["-v"], ["--max-dead", "0"]], ids=" ".join)
def test_json_on_stdout_is_pure_and_the_summary_goes_to_stderr(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["m.onnx", "--data", "d.npz", "--json", "-", *more])
    out, err = capsys.readouterr()
    assert out == write(load(out.encode()))
    assert ("on 300 samples" in err) == ("-q" not in more)
    assert ("gate: FAILED" in err) == ("--max-dead" in more)


def test_json_on_stdout_is_pure_though_the_data_s_own_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    code = """
import numpy as np
print("importing")
def feeds():
    print("loading")
    yield np.ones((3, 4), "f4")
    print("done")
"""
    Path("prints.py").write_text(code, encoding="utf-8")
    assert run(["m.onnx", "--data", "prints.py:feeds", "--json", "-"]) == 0
    assert load(capsys.readouterr().out.encode()).data.samples == 3


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_on_stdout_is_utf_8_whatever_the_terminal_takes(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph("float[n, 4] x", "float[n, 4] y", "h = Add (x, x)\n y = Relu (h)")
    model.graph.node[1].output[0] = model.graph.output[0].name = "é\N{SNOWMAN}"
    onnx.save(model, "odd.onnx")
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\r\n")
    monkeypatch.setattr(sys, "stdout", out)
    assert run(["odd.onnx", "--data", "d.npz", "--json", "-", "-q"]) == 0
    out.flush()
    written = out.buffer.getvalue()
    assert load(written).sites[0].tensor == "é\N{SNOWMAN}"
    assert b"\r" not in written


def test_html_on_stdout_is_the_page(html: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--html", "-"]) == 0
    out, err = capsys.readouterr()
    assert out == html
    assert "on 300 samples" in err


def test_json_and_html_can_be_written_at_once(html: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(files())
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--html", "a.html"]) == 0
    assert set(files()) - before == {"a.json", "a.html"}
    assert load("a.json").dead == 1
    assert Path("a.html").read_text(encoding="utf-8") == html
    assert run(["m.onnx", "--data", "d.npz", "--json", "-", "--html", "b.html", "-q"]) == 0
    assert capsys.readouterr().out.endswith(Path("a.json").read_text(encoding="utf-8"))
    assert Path("b.html").read_text(encoding="utf-8") == html


def test_real_page_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("relu_audit.report.html")
    assert run(["m.onnx", "--data", "d.npz", "--html", "a.html"]) == 0
    assert "m.onnx" in Path("a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["--max-dead", "0"], ["--max-dead", "1", "--limit", "3"], []], ids=" ".join)
def test_report_is_written_whatever_the_gate_says(arguments: list[str]) -> None:
    code = run(["m.onnx", "--data", "d.npz", "--json", "a.json", *arguments])
    outcome = load("a.json").gate.outcome
    assert {0: "not_set", 1: "failed", 3: "inconclusive"}[code] == outcome


@pytest.mark.parametrize(
    "arguments",
    [["m.onnx", "--data", "d.npz"], ["linear.onnx", "--data", "d.npz"], ["m.onnx", "--data", "random:3"]],
    ids=" ".join,
)
def test_every_json_is_described_by_the_schema_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["schema"])
    described = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    run([*arguments, "--json", "-", "--max-dead", "0"])
    described.validate(json.loads(capsys.readouterr().out))


def test_two_runs_write_the_same_bytes() -> None:
    for name in "a.json", "b.json":
        run(["m.onnx", "--data", "d.npz", "--json", name, "--max-dead", "0"])
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_existing_report_is_replaced_and_as_readable_as_any_new_file() -> None:
    Path("a.json").write_text("old", encoding="utf-8")
    Path("new").write_text("", encoding="utf-8")
    run(["m.onnx", "--data", "d.npz", "--json", "a.json"])
    assert load("a.json").dead == 1
    assert Path("a.json").stat().st_mode == Path("new").stat().st_mode


def test_existing_report_stays_as_private_as_it_was() -> None:
    Path("a.json").write_text("old", encoding="utf-8")
    Path("a.json").chmod(0o600)
    run(["m.onnx", "--data", "d.npz", "--json", "a.json"])
    assert load("a.json").dead == 1
    assert Path("a.json").stat().st_mode & 0o777 == 0o600


def test_an_empty_file_name_is_called_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--html", ""]) == 2
    assert "the file name of --html is empty" in capsys.readouterr().err


def test_report_goes_through_a_link_to_the_file_it_names() -> None:
    Path("real.json").write_text("old", encoding="utf-8")
    Path("link.json").symlink_to("real.json")
    assert run(["m.onnx", "--data", "d.npz", "--json", "link.json"]) == 0
    assert Path("link.json").is_symlink()
    assert load("real.json").dead == 1


def test_report_is_written_into_a_pipe_and_never_in_its_place() -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(["m.onnx", "--data", "d.npz", "--json", "pipe"]) in (0, 2)
        assert Path("pipe").is_fifo()
    finally:
        os.close(reader)


def test_report_can_go_to_an_open_pipe_by_its_device_name() -> None:
    reader, writer = os.pipe()
    assert run(["m.onnx", "--data", "few.npz", "--json", f"/dev/fd/{writer}", "-q"]) == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert load(pipe.read()).data.samples == 5


FAILURES: dict[str, Callable[[], list[str]]] = {
    "no such model": lambda: ["gone.onnx", "--data", "d.npz"],
    "no such data": lambda: ["m.onnx", "--data", "gone.npz"],
    "data that breaks off": lambda: ["m.onnx", "--data", broken_data()],
    "option out of range": lambda: ["m.onnx", "--data", "d.npz", "--max-dead", "5"],
}


def broken_data() -> str:
    code = "import numpy as np\ndef feeds():\n    yield np.ones((3, 4), 'f4')\n    raise ValueError('broken')\n"
    Path("breaks.py").write_text(code, encoding="utf-8")
    return "breaks.py:feeds"


@pytest.mark.parametrize("arguments", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("existing", [True, False])
def test_failing_audit_leaves_every_file_as_it_was(
    arguments: Callable[[], list[str]], existing: bool, html: str
) -> None:
    given = arguments()
    if existing:
        Path("a.json").write_text("old json", encoding="utf-8")
        Path("a.html").write_text("old page", encoding="utf-8")
    before = files()
    assert run([*given, "--json", "a.json", "--html", "a.html"]) == 2
    assert files() == before


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """No file can grow beyond so many bytes: what a full disk does, at a place of our choosing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("room", "full"), [(100, "a.json"), (50_000, "a.html")])
@pytest.mark.parametrize("existing", [True, False])
def test_full_disk_leaves_every_file_as_it_was(
    room: int,
    full: str,
    existing: bool,
    html: str,
    small_disk: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if existing:
        Path("a.json").write_text("old json", encoding="utf-8")
        Path("a.html").write_text("old page", encoding="utf-8")
    before = files()
    small_disk(room)
    code = run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--html", "a.html", "-q"])
    small_disk(resource.RLIM_INFINITY)
    assert code == 2
    assert full in capsys.readouterr().err
    assert files() == before


def test_target_that_cannot_be_replaced_leaves_every_file_as_it_was(
    html: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("a.json").write_text("old", encoding="utf-8")
    before = files()
    with monkeypatch.context() as patch:
        for owner, name in (Path, "replace"), (Path, "rename"), (os, "replace"), (os, "rename"):
            patch.setattr(owner, name, refuse)
        assert run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--html", "a.html"]) == 2
    err = capsys.readouterr().err
    assert "a.json" in err
    assert "Permission denied" in err
    assert files() == before


class Disk(io.RawIOBase):
    """A standard output that takes nothing while it is full."""

    full = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return len(data)


PRINTING = [
    ["m.onnx", "--data", "d.npz", "--json", "-"],
    ["m.onnx", "--data", "d.npz"],
    ["m.onnx", "--data", "d.npz", "--json", "new.json", "--annotate", "new.onnx"],
    ["m.onnx", "--data", "d.npz", "--max-dead", "50%", "--quiet", "--json", "new.json"],
    ["each", "m.onnx", "--data", "d.npz", "--json", "new.json"],
    ["prune", "m.onnx", "--data", "d.npz", "-o", "new.onnx", "--json", "new.json", "--no-latency", "--align", "1"],
    ["prune", "m.onnx", "--data", "d.npz", "--dry-run", "--json", "new.json"],
    ["compare", "a.json", "a.json", "--json", "new.json"],
    ["report", "a.json"],
    ["sites", "m.onnx", "--json", "new.json"],
    ["schema"],
    ["completion", "bash"],
    ["--help"],
    ["--version"],
]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
@pytest.mark.parametrize("closed", [False, True])
def test_nothing_is_written_where_standard_output_takes_nothing(
    arguments: list[str], closed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--quiet"]) == 0
    before = files()
    disk = Disk()
    out = io.TextIOWrapper(io.BufferedWriter(disk, 1), write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None if closed else out)
        code = run(arguments)
    disk.full = False
    out.close()
    assert code == 2
    assert files() == before
    error = capsys.readouterr().err
    assert "[output]" in error
    assert "standard output" in error


@pytest.mark.parametrize("arguments", [["m.onnx", "--data", "d.npz", "-q"], ["report", "a.json", "--html", "x.html"]])
def test_standard_output_may_be_closed_where_nothing_is_printed(arguments: list[str]) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--quiet"]) == 0
    line = f"{shlex.join([*ENTRY, *arguments])} >&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_standard_output_is_refused_before_the_audit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("relu_audit.api.audit.audit", None)
    for command in ([], ["prune", "-o", "s.onnx"]):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", None)
            assert run([*command, "m.onnx", "--data", "d.npz"]) == 2
        assert "standard output is closed [output]" in capsys.readouterr().err


@pytest.mark.parametrize("report", ["json", "html"])
def test_page_that_cannot_be_made_leaves_every_file_as_it_was(report: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("relu_audit.report.html")
    Path("a.json").write_text("old json", encoding="utf-8")
    Path("a.html").write_text("old page", encoding="utf-8")
    before = files()

    def broken(_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(importlib.import_module(f"relu_audit.report.{report}"), "write", broken)
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--html", "a.html"]) == 70
    assert files() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "gone/a.json"], "gone"),
        (["--html", "gone/a.html"], "gone"),
        (["--json", "."], "folder"),
        (["--json", ""], "--json"),
        (["--json", "-", "--html", "-"], "standard output"),
        (["--json", "same", "--html", "./same"], "same"),
        (["--json", "same", "--html", "sub/../same"], "same"),
        (["--json", "same", "--html", "link-to-same"], "same"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_target_that_cannot_work_is_refused_before_the_audit(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("relu_audit.api.audit.audit", None)
    Path("sub").mkdir()
    Path("link-to-same").symlink_to("same")
    before = files()
    assert run(["m.onnx", "--data", "d.npz", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert files() == before


# Real processes -----------------------------------------------------------------------------------------------------


def test_process_pipes_json_and_leaves_with_the_gate_s_code() -> None:
    arguments = ["m.onnx", "--data", "d.npz", "--json", "-", "--max-dead", "4%"]
    done = subprocess.run([*ENTRY, *arguments], capture_output=True)
    assert done.returncode == 1
    assert load(done.stdout).gate.outcome == "failed"
    assert b"gate: FAILED" in done.stderr


def test_process_survives_ctrl_c_with_a_partial_audit() -> None:
    code = """
import os, signal
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands down that it is ignored
def feeds():
    yield np.ones((3, 4), "f4")
    yield np.ones((3, 4), "f4")
    os.kill(os.getpid(), signal.SIGINT)
    yield np.ones((3, 4), "f4")
"""
    Path("stops.py").write_text(code, encoding="utf-8")
    done = subprocess.run([*ENTRY, "m.onnx", "--data", "stops.py:feeds", "--json", "a.json"], capture_output=True)
    assert done.returncode == 3
    assert load("a.json").partial
    assert load("a.json").data.samples == 6
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["schema"], ["--help"]], ids=" ".join)
def test_reader_that_goes_away_is_no_breached_gate(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*ENTRY, *arguments], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode not in (1, 3, 70)
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
