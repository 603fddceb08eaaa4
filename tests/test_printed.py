"""Names in anything printed move no terminal and give no command to a CI service, and no line is of any length."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.text import Text

from relu_audit import load
from relu_audit.cli import Exit, run, streams
from relu_audit.errors import LONGEST, DataError, cut, quoted
from tests.graphs import mlp
from tests.hostile import ROOT, names

CASES = Path(__file__).parents[2] / "shared/cases/hostile"
X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)

NASTY = {
    "a command of GitHub's": "::error::x",
    "one that begins a line": "x\n::error::x",
    "one behind blanks": "\u00a0 \t::stop-commands::x",
    "one behind a carriage return": "x\r::error::x",
    "one behind a separator of lines": "x\u2028::error::x\u2029::error::x\x85::error::x\x0b::error::x\x0c::error::x",
    "one behind what is not seen": "\u200b\ufeff::error::x",
    "an old command of GitHub's": "a ##[error]x",
    "a command of Azure's": "a ##vso[task.complete result=Succeeded;]x",
    "a command of TeamCity's": "##teamcity[buildStatus status='SUCCESS']",
    "codes of a terminal": "\x1b[2J\x1b[31m\x1b]0;x\x07\x9b2J",
    "letters from right to left": "\u202eabc\u2066",
    "a command after a long name": "L" * 3000 + " ::error::x",
    "a command after words": "word " * 60 + "::error::x",
    "a command where a narrow column ends": "m" * 79 + "::error::" + "n" * 40,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", x=X)
    return tmp_path


def renamed(name: str) -> None:
    """A model whose dead layer has a name."""
    model = mlp(dead={0: (1,)})
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = [name if value == "r0" else value for value in values]
    Path("m.onnx").write_bytes(model.SerializeToString())


def dangers(text: str) -> list[str]:
    """Lines that do what only we may do. Whoever reads a log may split lines in more places than we do."""
    return [
        line
        for line in re.split("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", text)
        if re.match(r"\s*::", line) or re.search(r"##\w*\[", line) or re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f]", line)
        or re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", line)
    ]  # fmt: skip


COMMANDS: dict[str, tuple[int, list[str]]] = {
    "audit": (1, ["m.onnx", "--data", "d.npz", "--max-dead", "0", "-v"]),
    "quiet audit": (1, ["m.onnx", "--data", "d.npz", "--max-dead-layer", "0", "-q"]),
    "each": (1, ["each", "m.onnx", "--data", "d.npz", "--max-dead-layer", "0", "-q"]),
    "sites": (0, ["sites", "m.onnx"]),
    "prune": (0, ["prune", "m.onnx", "--data", "d.npz", "--dry-run"]),
    "report": (0, ["report", "a.json"]),
    "compare": (0, ["compare", "a.json", "b.json"]),
    "stated axis": (2, ["m.onnx", "--data", "d.npz", "--unit-axis", "NAME=7"]),
    "spared layer": (2, ["prune", "m.onnx", "--data", "d.npz", "--dry-run", "--spare", "xNAME"]),
    "data": (2, ["m.onnx", "--data", "NAME.npz"]),
    "model": (2, ["./NAME", "--data", "d.npz"]),
    "word": (2, ["NAME"]),
    "option": (2, ["m.onnx", "--NAME"]),
    "input": (2, ["m.onnx", "--data", "d.npz", "--input", "NAME=NAME"]),
    "output": (2, ["m.onnx", "--data", "d.npz", "--json", "gone/NAME"]),
    "range": (2, ["m.onnx", "--data", "d.npz", "--limit", "NAME"]),
}


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_no_command_prints_a_name_as_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    renamed("other")
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json"]) == 0
    renamed(name)
    assert run(["m.onnx", "--data", "d.npz", "--json", "b.json"]) == 0
    capsys.readouterr()
    for command, (code, arguments) in COMMANDS.items():
        assert run([word.replace("NAME", name) for word in arguments]) == code, command
        out, err = capsys.readouterr()
        assert out + err
        assert dangers(out + err) == [], command
        assert max(map(len, (out + err).splitlines())) < 1000, command


@given(st.text(st.characters(), max_size=30) | names | st.text("#[:vso \t\n\rerror\x1b\u2028", max_size=20))
def test_whatever_is_printed_is_inert(text: str) -> None:
    lines = [streams.inert(line) for line in text.splitlines()]
    assert dangers("\n".join(lines)) == []
    plain = re.sub(r"[^\w]", "", text)
    assert re.sub(r"[^\w]", "", "".join(lines)) == "".join(c for c in plain if c.isprintable())


@pytest.mark.parametrize(
    "pieces", [["##", "vso[x]"], ["#", "#v", "so["], [" ", ":", ":error::x"], ["", "::x"], ["#####[[["]]
)
def test_commands_in_pieces_of_several_styles_are_inert(pieces: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    held = streams.opened()
    streams.show(Group(Text.assemble(*((piece, "bold red") for piece in pieces)), Text("untouched: a::b #[x]")))
    held.close()
    first, second = capsys.readouterr().out.splitlines()
    assert dangers(first) == []
    assert re.sub(r"\s", "", first) == re.sub(r"\s", "", "".join(pieces))
    assert second == "untouched: a::b #[x]"


def test_a_forced_terminal_gets_colours_and_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    renamed("::error::\x1b[2Jx")
    assert run(["m.onnx", "--data", "d.npz", "--max-dead", "0"]) == 1
    out = capsys.readouterr().out
    assert "\x1b[1;31m" in out
    assert "\x1b[2J" not in out
    assert dangers(re.sub(r"\x1b\[[0-9;]*m", "", out)) == []


def test_wrapped_lines_begin_with_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    name = "word " * 40 + "::error::x ##vso[x] " * 20
    Path(f"{name[:200]}.npz").write_bytes(Path("d.npz").read_bytes())
    renamed("r0")
    assert run(["m.onnx", "--data", f"{name[:200]}.npz"]) == 0
    out = capsys.readouterr().out
    for width in range(100, 140):
        held = streams.opened()
        streams.WIDTH, before = width, streams.WIDTH
        streams.show(Text(name))
        streams.WIDTH = before
        held.close()
        out += capsys.readouterr().out
    assert ": :error" in out
    assert dangers(out) == []


@pytest.mark.parametrize("name", ["azure.onnx", "ansi.onnx"])
@pytest.mark.parametrize("arguments", [["sites"], ["each"], ["prune", "--dry-run"], ["-v", "--github"]], ids=" ".join)
def test_given_models_are_inert(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if not (CASES / name).is_file():
        pytest.skip("the shared cases are not there")
    data = [] if arguments == ["sites"] else ["--data", str(CASES / "x.npz")]
    assert run([arguments[0], str(CASES / name), *arguments[1:], *data]) == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if "--github" not in arguments or not line.startswith("::notice title=")]
    assert dangers("\n".join(lines) + err) == []


@pytest.mark.parametrize(
    "arguments", [["--json", "-"], ["--sarif", "-"], ["--markdown", "-"], ["--github"]], ids=lambda given: given[0]
)
def test_no_report_on_standard_output_has_a_command_of_a_name(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "::error::a ##vso[task] ##[error] ##teamcity["
    renamed(name)
    assert run(["m.onnx", "--data", "d.npz", "--max-dead", "0", *arguments]) == 1
    out = capsys.readouterr().out
    assert "vso" in out
    lines = [line for line in out.splitlines() if not re.match("::[a-z]+ title=relu-audit", line)]
    assert dangers("\n".join(lines)) == []
    assert re.search(r"##\w*\[", out) is None
    if arguments == ["--json", "-"]:
        assert load(out.encode()).sites[0].tensor == name
        assert run(["sites", "m.onnx", "--json", "-"]) == 0
        assert dangers(capsys.readouterr().out) == []
    if arguments == ["--sarif", "-"]:
        assert name in str(json.loads(out))


# Errors -------------------------------------------------------------------------------------------------------------

SAID = "first\n::error::second ##vso[x]\x1b[2J\r::error::third" + " and more" * 100_000


def raising(error: BaseException) -> Callable[..., Any]:
    def broken(*_: object, **__: object) -> None:
        raise error

    return broken


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "error", [ZeroDivisionError(SAID), DataError(SAID, slug="data-kind", hint=SAID), OSError(5, SAID)]
)
def test_errors_of_any_length_are_cut_and_inert(
    error: Exception, debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed("r0")
    monkeypatch.setattr("relu_audit.api.audit.audit", raising(error))
    run(["m.onnx", "--data", "d.npz", *(["--debug"] if debug else [])])
    out, err = capsys.readouterr()
    assert out == ""
    assert dangers(err) == []
    assert "characters left out" in err
    assert max(map(len, err.splitlines())) < 1000
    assert ("Traceback" in err) == debug


def test_the_slug_survives_the_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    renamed("r0")
    monkeypatch.setattr("relu_audit.api.audit.audit", raising(DataError("x" * 10**7, slug="data-kind")))
    run(["m.onnx", "--data", "d.npz"])
    assert capsys.readouterr().err.endswith("x [data-kind]\n")


def test_a_text_keeps_both_its_ends() -> None:
    text = "".join(map(str, range(1000)))
    short = cut(text)
    assert short.startswith(text[:400])
    assert short.endswith(text[-100:])
    assert len(short) < LONGEST + 40
    left_out = int(re.findall(r"\[([\d,]+) characters left out\]", short)[0].replace(",", ""))
    assert left_out == len(text) - LONGEST
    assert cut("a" * LONGEST) == "a" * LONGEST


def test_quoting_never_raises() -> None:
    class BadError(Exception):
        def __str__(self) -> str:
            raise SystemExit(0)

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise SystemExit(0)

    class OddError(Exception):
        def __str__(self) -> str:
            return Text("x")

    assert quoted(BadError()) == "BadError: its message cannot be read"
    assert quoted(OddError()) == "OddError: x"


def test_warnings_and_logs_of_libraries_are_inert(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def noisy(*_: object, **__: object) -> None:
        warnings.warn(SAID[:60], UserWarning, stacklevel=1)
        logging.getLogger("some.library").warning(SAID[:60])
        raise ZeroDivisionError

    renamed("r0")
    monkeypatch.setattr("relu_audit.api.audit.audit", noisy)
    # pytest listens to both; here nobody does, as outside of tests.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(["m.onnx", "--data", "d.npz"]) == Exit.BUG
    err = capsys.readouterr().err
    assert err.count("# #vso[x]") == 2
    assert dangers(err) == []


def test_what_onnxruntime_logs_holds_no_name() -> None:
    """The runtime writes to the descriptor by itself, also of a node that fails."""
    from tests.graphs import graph

    body = "h = Relu (x)\n y = Reshape (h, s)"
    model = graph("float[n, 6] x", "float[a, b] y", body, {"s": np.array([7, 13])})
    for node in model.graph.node:
        node.name = "x\n::error::x"
    onnx.save(model, "m.onnx")
    command = [sys.executable, "-m", "relu_audit", "m.onnx", "--data", "d.npz"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert dangers(done.stdout + done.stderr) == []


def test_one_file_prints() -> None:
    """Whoever prints elsewhere goes past all that is tested here. What click prints by itself quotes no file."""
    printing = re.compile(r"click\.echo|click\.secho|\bprint\(|sys\.std(out|err)|print_exc|Console\(")
    allowed = {
        "streams.py": None,  # it is the one
        "completion.py": ["click.echo"],
        "command.py": ["Console("],  # the progress bar, which shows no name
        "__init__.py": ["sys.stdout"],
        "leaving.py": ["sys.stdout", "sys.stderr"],  # it flushes them
    }
    for file in (ROOT / "relu_audit/cli").glob("*.py"):
        used = {found.group() for found in printing.finditer(file.read_text(encoding="utf-8"))}
        may = allowed.get(file.name, [])
        assert may is None or used <= {*may}, file.name


# Several models -----------------------------------------------------------------------------------------------------


def test_an_internal_error_keeps_no_other_model_from_its_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from relu_audit.api import audit as pipeline

    real = pipeline.audit
    errors = {"b.onnx": ZeroDivisionError("oh\n::error::x"), "c.onnx": MemoryError(), "d.onnx": AssertionError()}

    def sometimes(model: Path, *arguments: Any, **options: Any) -> Any:
        if model.name in errors:
            raise errors[model.name]
        return real(model, *arguments, **options)

    monkeypatch.setattr(pipeline, "audit", sometimes)
    models = [f"{letter}.onnx" for letter in "abcde"]
    for model in models:
        onnx.save(mlp(), model)
    assert run(["each", *models, "--data", "d.npz", "--max-dead", "100%", "-q"]) == Exit.BUG
    out, err = capsys.readouterr()
    assert out == "a.onnx: gate: PASSED\ne.onnx: gate: PASSED\n"
    assert "internal error: b.onnx: ZeroDivisionError: oh ::error::x\n" in err
    assert re.search(r"^error: c\.onnx: .*memory.* \[memory\]$", err, re.MULTILINE)
    assert err.splitlines()[-1] == "internal errors in 2 of 5 models: b.onnx, d.onnx"
    assert run(["each", "a.onnx", "c.onnx", "--data", "d.npz", "-q"]) == Exit.UNUSABLE
    assert "internal" not in capsys.readouterr().err


def deep(error: type[Exception], calls: int) -> None:
    if calls:
        deep(error, calls - 1)
    raise error


@pytest.mark.parametrize(
    ("error", "calls", "code", "slug"),
    [
        (MemoryError, 0, Exit.UNUSABLE, "[memory]"),
        (RecursionError, 600, Exit.UNUSABLE, "[too-deep]"),
        (RecursionError, 0, Exit.BUG, "internal error"),
        (OSError, 0, Exit.UNUSABLE, "[system]"),
        (EOFError, 0, Exit.BUG, "internal error"),
        (KeyError, 500, Exit.BUG, "internal error"),
    ],
)
def test_what_is_no_bug_of_ours_is_no_internal_error(
    error: type[Exception],
    calls: int,
    code: int,
    slug: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    renamed("r0")
    monkeypatch.setattr("relu_audit.api.audit.audit", lambda *_, **__: deep(error, calls))
    assert run(["m.onnx", "--data", "d.npz"]) == code
    assert slug in capsys.readouterr().err


def test_where_nothing_can_be_said_the_exit_code_is_right_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed("r0")
    monkeypatch.setattr("relu_audit.api.audit.audit", raising(MemoryError()))
    monkeypatch.setattr("relu_audit.cli.outcome.say", raising(MemoryError()))
    assert run(["m.onnx", "--data", "d.npz"]) == Exit.UNUSABLE
