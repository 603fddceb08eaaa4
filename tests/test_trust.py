"""A file that lies in a folder is a stranger's: it runs no code, writes nowhere else and loosens nothing given by hand.

And no output ever takes the place of what is read. Every case is judged by what lies on the disk afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_audit
from relu_audit.cli import run
from relu_audit.cli.command import Configured
from relu_audit.cli.options import Argument, Option, no_file
from relu_audit.cli.root import root
from relu_audit.report.formats import FORMATS
from tests.graphs import mlp

X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
LOADER = 'open("ran", "w").close()\nimport numpy\ndef run():\n    yield {"x": numpy.ones((300, 4), "float32")}\n'
NAMES = ("relu-audit.toml", "pyproject.toml")
CONFIGURED = [command for command in root.commands.values() if isinstance(command, Configured)]


def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("RELU_AUDIT_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in a folder of somebody else's files, with a model of one dead unit in six, and a loader."""
    place = tmp_path / "outer" / "repository"
    (place / ".git").mkdir(parents=True)
    monkeypatch.chdir(place)
    clear(monkeypatch)
    onnx.save(mlp((4, 6, 3), dead={0: (1,)}), "m.onnx")
    np.savez("d.npz", x=X)
    Path("evil.py").write_text(LOADER)
    return place


def configure(text: str, name: str = "relu-audit.toml", folder: Path | None = None) -> None:
    head = "[tool.relu-audit]\n" if name == "pyproject.toml" else ""
    ((folder or Path.cwd()) / name).write_text(head + text, encoding="utf-8")


def complaint(*arguments: str) -> str:
    """What is said against a command that has to be refused."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert run(arguments) == 2, arguments
    return said.getvalue()


def apart(*arguments: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which perhaps does not end."""
    command = [sys.executable, "-P", "-m", "relu_audit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


# Columns ------------------------------------------------------------------------------------------------------------


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for name, command in root.commands.items():
        for one in command.params:
            yield f"{name} {one.human_readable_name}", one


def test_every_parameter_that_names_a_file_says_whether_it_is_read_or_written() -> None:
    for name, one in parameters():
        names_file = isinstance(one.type, click.Path) or one.metavar in ("FILE", "LIB", "DATA", "AUDIT")
        if names_file:
            assert isinstance(one, Option | Argument), name
            writes = isinstance(one, Option) and one.writes
            assert writes != (one.reads is not no_file), name


def test_every_flag_has_an_opposite() -> None:
    flags = [(name, one) for name, one in parameters() if isinstance(one, click.Option) and one.is_flag]
    assert len(flags) > 30
    for name, one in flags:
        if one.name not in ("help", "version"):
            assert one.secondary_opts, name


# Code ---------------------------------------------------------------------------------------------------------------

CODE = {
    "a loader": ('data = "evil.py:run"', "RELU_AUDIT_DATA"),
    "a loader's full path": ('data = "../repository/evil.py:run"', "RELU_AUDIT_DATA"),
    "a module": ('data = "evil:run"', "RELU_AUDIT_DATA"),
    "a library": ('custom-ops = "evil.so"\ndata = "d.npz"', "RELU_AUDIT_CUSTOM_OPS"),
    "libraries": ('custom-ops = ["evil.so"]\ndata = "d.npz"', "RELU_AUDIT_CUSTOM_OPS"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", [[], ["each"], ["prune", "-o", "s.onnx"]], ids=["audit", "each", "prune"])
@pytest.mark.parametrize(("text", "variable"), CODE.values(), ids=CODE)
def test_a_file_runs_no_code(
    text: str, variable: str, command: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(f"{text}\n", name)
    assert run([*command, "m.onnx"]) == 2
    err = capsys.readouterr().err
    assert "[config]" in err
    assert name in err
    assert variable in err
    assert not Path("ran").exists()


def test_a_file_names_no_audit_to_prune_by(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json"]) == 0
    configure('audit = "a.json"\n')
    assert run(["prune", "m.onnx", "-o", "s.onnx"]) == 2
    assert "[config]" in capsys.readouterr().err
    assert run(["prune", "m.onnx", "--audit", "a.json", "-o", "s.onnx", "--no-latency"]) == 0


@pytest.mark.parametrize("by", ["command line", "environment"])
def test_the_user_runs_code_of_his_own(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure('data = "other.py:run"\n')
    if by == "environment":
        monkeypatch.setenv("RELU_AUDIT_DATA", "evil.py:run")
    assert run(["m.onnx", *(["--data", "evil.py:run"] if by == "command line" else [])]) == 0
    assert Path("ran").exists()


@pytest.mark.parametrize("data", ["d.npz", "./d.npz", "folder", "random:300"])
def test_a_file_names_data(data: str) -> None:
    Path("folder").mkdir()
    shutil.copy("d.npz", "folder")
    configure(f'data = "{data}"\n')
    assert run(["m.onnx"]) == 0


@pytest.mark.parametrize("template", ["{stem}", "{folder}", "./{stem}", "load.py:{stem}"])
@pytest.mark.parametrize("by", ["file", "command line"])
def test_the_name_of_a_model_becomes_no_code(template: str, by: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x.py:run" if template.endswith(":{stem}") else "evil.py:run"
    Path("load.py:x.py").write_text(LOADER)
    model = Path(name, "m.onnx") if template == "{folder}" else Path(f"{name}.onnx")
    model.parent.mkdir(exist_ok=True)
    shutil.copy("m.onnx", model)
    # Where there is such a folder it is data, so that the folder is audited from another one.
    if by == "file":
        configure(f'data = "{template}"\n')
    assert run(["each", str(model), *([] if by == "file" else ["--data", template])]) == 2
    assert not Path("ran").exists()


def test_the_name_of_a_model_becomes_no_code_of_the_action(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "action"))
    shutil.copy("m.onnx", "evil.py:run.onnx")
    switches = {f"INPUT_{one}": "false" for one in ("SUMMARY", "ANNOTATIONS", "SARIF")}
    inputs = {"INPUT_MODEL": "*.onnx", "INPUT_DATA": "{stem}", "INPUT_INCONCLUSIVE": "fail", **switches}
    assert importlib.import_module("run").main({**inputs, "GITHUB_OUTPUT": "outputs"}) == 2
    assert "has a colon" in capsys.readouterr().out
    assert "error" in Path("outputs").read_text()
    assert not Path("ran").exists()


def test_no_module_in_the_current_folder_is_run_to_time_a_model() -> None:
    for module in ("json.py", "numpy.py", "relu_audit.py"):
        Path(module).write_text('open("ran", "w").close()\nraise SystemExit(5)\n')
    done = apart("prune", "m.onnx", "--data", "d.npz", "-o", "s.onnx", "--align", "1", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path("ran").exists()


# Outputs ------------------------------------------------------------------------------------------------------------

WRITERS = [*(one.name for one in FORMATS if not one.streamed), "annotate", "prune"]
PARTS = st.sampled_from(["..", ".", "in", "a", "out", "up", "self", "new", ".git", ".GIT"])


@given(st.lists(PARTS, max_size=5), st.sampled_from(["", "a/b"]), st.sampled_from(["", "/", "root"]))
@settings(max_examples=150, deadline=None)
def test_a_file_names_outputs_beneath_its_folder_only(parts: list[str], below: str, start: str) -> None:
    """The judge is ``realpath``: the folder of the file is all that may be written to, but for the repository's own."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as made:
        base = Path(made).resolve() / "base"
        for folder in ("repository/a/b", "repository/in", "repository/.git/in", "out"):
            (base / folder).mkdir(parents=True)
        for place in ("repository", "repository/a", "repository/a/b"):
            (base / place / "out").symlink_to(base / "out")
            (base / place / "up").symlink_to("..")
            (base / place / "self").symlink_to(".")
        target = os.path.join({"": "", "/": "/", "root": f"{base}/repository"}[start], *parts, "x.csv")  # noqa: PTH118
        os.chdir(base / "repository" / below)
        try:
            configure(f'csv = "{target}"\n', folder=base / "repository")
            real = Path(os.path.realpath(target))
            inside = real.is_relative_to(base / "repository")
            own = ".git" in [part.lower() for part in real.relative_to(base / "repository").parts] if inside else False
            said = complaint("gone.onnx", "--data", "d.npz")
            assert ("[config]" in said) == (not inside or own), (target, real, said)
        finally:
            os.chdir(before)


@pytest.mark.parametrize("option", WRITERS)
@pytest.mark.parametrize("target", ["../x", "{absolute}/x", "link", "folder/x"], ids=["up", "absolute", "link", "dir"])
def test_no_file_has_anything_written_outside_its_folder(
    target: str, option: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = here.parent / "x"
    outside.write_text("theirs")
    Path("link").symlink_to(outside)
    Path("folder").symlink_to(here.parent)
    configure(f'{option} = "{target.format(absolute=here.parent)}"\ndata = "d.npz"\n')
    for command in ([], ["each"]):
        assert run([*command, "m.onnx"]) == 2
        assert "[config]" in capsys.readouterr().err
    assert outside.read_text() == "theirs"
    assert Path("link").is_symlink()


CODE_BY_ITS_PLACE = {
    "source": "src.py",
    "library": "lib/x.so",
    "recipe": "Makefile",
    "recipe that looks like text": "CMakeLists.txt",
    "workflow": ".github/workflows/x.yml",
    "workflow by another ending": ".github/x{ending}",
    "hook": ".git/hooks/update",
    "editor": ".vscode/x{ending}",
    "hidden file": ".x{ending}",
    "link to source": "link{ending}",
    "only an ending": "{ending}",
}


@pytest.mark.parametrize("option", WRITERS)
@pytest.mark.parametrize("target", CODE_BY_ITS_PLACE.values(), ids=CODE_BY_ITS_PLACE)
def test_no_file_has_anything_written_that_is_code_to_a_program(
    target: str, option: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = {"markdown": ".md", "junit": ".xml", "annotate": ".onnx", "prune": ".onnx"}.get(option, f".{option}")
    place = Path(target.format(ending=ending))
    if place.stem == "link":
        place.symlink_to("src.py")
    place.parent.mkdir(parents=True, exist_ok=True)
    configure(f'{option} = "{place}"\ndata = "d.npz"\n')
    before = sorted(here.rglob("*"))
    for command in ([], ["each"]):
        assert run([*command, "m.onnx"]) == 2
        error = capsys.readouterr().err
        assert "[config]" in error
        assert f"give --{option} on the command line" in error
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("option", ["csv", "json"])
def test_the_user_writes_to_any_place(option: str) -> None:
    configure(f'{option} = "src.py"\ndata = "d.npz"\n')
    Path(".github").mkdir()
    assert run(["m.onnx", f"--{option}", ".github/x.yml"]) == 0
    assert Path(".github/x.yml").is_file()


def test_every_output_that_a_file_may_set_has_usual_endings() -> None:
    for one in (one for command in CONFIGURED for one in command.params):
        if isinstance(one, Option) and one.writes and one.envvar and not one.is_flag:
            assert one.endings, one
            for ending in one.endings:
                configure(f'{one.opts[0].removeprefix("--")} = "X{ending.upper()}"\n')
                assert "[config]" not in complaint("gone.onnx", "--data", "d.npz"), one


def test_a_file_names_an_output_beneath_itself_from_a_folder_further_down(monkeypatch: pytest.MonkeyPatch) -> None:
    configure('csv = "../x.csv"\n')
    Path("a/b").mkdir(parents=True)
    monkeypatch.chdir("a/b")
    assert run(["../../m.onnx", "--data", "../../d.npz"]) == 0
    assert Path("../x.csv").is_file()
    configure('csv = "../../../x.csv"\n', folder=Path("../.."))
    assert run(["../../m.onnx", "--data", "../../d.npz"]) == 2
    assert run(["../../m.onnx", "--data", "../../d.npz", "--csv", "../../../x.csv"]) == 0


def test_standard_output_is_in_no_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    configure('json = "-"\n')
    monkeypatch.chdir(".git")
    assert run(["../m.onnx", "--data", "../d.npz"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"]


def test_an_output_is_held_against_the_folder_with_its_words_filled_in(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure('csv = "{folder}/{stem}.csv"\ndata = "d.npz"\n')
    theirs = here.parent / "theirs.onnx"
    shutil.copy("m.onnx", theirs)
    assert run(["each", "m.onnx", str(theirs)]) == 2
    assert "[config]" in capsys.readouterr().err
    assert not theirs.with_suffix(".csv").exists()
    assert run(["each", "m.onnx"]) == 0
    assert Path("m.csv").is_file()


# Where the file is looked for ---------------------------------------------------------------------------------------


def name_in_use(capsys: pytest.CaptureFixture[str], model: Path, *more: str) -> str | None:
    capsys.readouterr()
    assert run([str(model), "--data", str(model.with_name("d.npz")), "--json", "-", *more]) == 0
    return json.loads(capsys.readouterr().out).get("configuration", {}).get("name")


@pytest.mark.parametrize("marker", [".git", ".hg", ".jj", ".svn", "file"])
def test_search_ends_at_the_root_of_the_repository(
    marker: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below = here / "inner" / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    configure("", folder=here)
    assert name_in_use(capsys, here / "m.onnx") == "../../../relu-audit.toml"
    if marker == "file":
        (here / "inner" / ".git").write_text("gitdir: elsewhere\n")
    else:
        (here / "inner" / marker).mkdir()
    assert name_in_use(capsys, here / "m.onnx") is None
    configure("", folder=here / "inner")
    assert name_in_use(capsys, here / "m.onnx") == "../../relu-audit.toml"


def test_search_goes_nowhere_beyond_home(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".git").rmdir()
    (here / "a").mkdir()
    monkeypatch.chdir("a")
    configure("", folder=here.parent)
    assert name_in_use(capsys, here / "m.onnx") == "../../relu-audit.toml"
    (here.parent / "home").symlink_to(here)
    for home in (here, here.parent / "home"):
        monkeypatch.setenv("HOME", str(home))
        assert name_in_use(capsys, here / "m.onnx") is None
    configure("", folder=here)
    assert name_in_use(capsys, here / "m.onnx") == "../relu-audit.toml"


@pytest.mark.parametrize("root_of_repository", [False, True])
def test_search_passes_no_folder_where_everybody_may_make_files(
    root_of_repository: bool, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".git").rmdir()
    if root_of_repository:
        (here.parent / ".git").mkdir()
    configure("", folder=here.parent)
    assert name_in_use(capsys, here / "m.onnx") == "../relu-audit.toml"
    here.parent.chmod(0o1777)
    assert name_in_use(capsys, here / "m.onnx") is None
    monkeypatch.chdir(here.parent)
    assert name_in_use(capsys, here / "m.onnx") == "relu-audit.toml"


def test_search_passes_no_folder_of_another_user_outside_a_repository(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("", folder=here.parent)
    (here.parent / ".git").mkdir()
    (here / ".git").rmdir()
    monkeypatch.setattr(os, "geteuid", lambda: here.stat().st_uid + 1)
    assert name_in_use(capsys, here / "m.onnx") == "../relu-audit.toml"
    (here.parent / ".git").rmdir()
    assert name_in_use(capsys, here / "m.onnx") is None
    configure("")
    assert name_in_use(capsys, here / "m.onnx") == "relu-audit.toml"


# Files that are no configuration ------------------------------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def held(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


ENDLESS: dict[str, Callable[[Path], object]] = {
    "a pipe": fifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}
ODD: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "huge": held(b"# " + b"x" * (1 << 21)),
    "no text": held(b"\xff\xfe\x00"),
    "half a character": held(b'data = "\xc3'),
    "lists in lists": held("data = " + "[" * 100_000),
    "tables in tables": held("data = " + "{a=" * 100_000),
    "keys in keys": held(".".join("a" * 100_000) + " = 1"),
    "a number of many digits": held("limit = " + "9" * 100_000),
    "a number of many hexadecimal digits": held("limit = 0x" + "f" * 100_000),
    "such a number further down": held('[layers]\n"a" = { max-dead-layer = 0x' + "f" * 100_000 + " }"),
    "such a number in a list": held("bands = [0x" + "f" * 100_000 + "]"),
    "a long key": held('"' + "k" * 100_000 + '" = 1'),
    "a long value": held('limit = "' + "k" * 100_000 + '"'),
    "a long value in a list": held('limit = ["' + "k" * 100_000 + '"]'),
    "a long output": held('csv = "../' + "k" * 4000 + '"'),
    "a long library": held('custom-ops = "' + "k" * 4000 + '"'),
    "a zero character": held('json = "a\\u0000b"'),
    "infinity": held("max-dead = inf"),
    "no number": held('[layers]\n"a" = { max-dead-layer = nan }'),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_a_file_that_is_no_configuration_is_refused(make: Callable[[Path], object]) -> None:
    make(Path("relu-audit.toml"))
    said = complaint("m.onnx", "--data", "d.npz")
    assert "relu-audit.toml" in said
    assert "Traceback" not in said
    assert len(said) < 1500
    assert run(["m.onnx", "--data", "d.npz", "--no-config"]) == 0


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_a_file_without_end_is_refused(make: Callable[[Path], object]) -> None:
    make(Path("relu-audit.toml"))
    done = apart("m.onnx", "--data", "d.npz")
    assert done.returncode == 2, done
    assert "relu-audit.toml is not a regular file [config]" in done.stderr


@pytest.mark.parametrize("make", [fifo, ODD["no text"], ODD["a link to nothing"]])
def test_a_file_that_would_be_hidden_need_be_none(make: Callable[[Path], object]) -> None:
    configure("limit = 300\n")
    make(Path("pyproject.toml"))
    done = apart("m.onnx", "--data", "d.npz")
    assert (done.returncode, done.stderr) == (0, "")


# Doing without ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["audit", "each", "prune", "sites"])
def test_every_command_can_do_without_a_file(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"prune": ["--data", "d.npz", "--dry-run"], "sites": []}.get(command, ["--data", "d.npz"])
    configure("= no TOML\n")
    assert run([command, "m.onnx", *more]) == 2
    assert "relu-audit.toml" in capsys.readouterr().err
    assert run([command, "m.onnx", *more, "--no-config"]) == 0
    monkeypatch.setenv("RELU_AUDIT_NO_CONFIG", "1")
    assert run([command, "m.onnx", *more]) == 0
    assert run([command, "m.onnx", *more, "--config"]) == 2


def test_doing_without_leaves_the_gate_without_what_the_file_sets() -> None:
    configure('max-dead = "1%"\n[layers]\nr0 = { max-dead-layer = "1%" }\n')
    assert run(["m.onnx", "--data", "d.npz"]) == 1
    assert run(["m.onnx", "--data", "d.npz", "--no-config"]) == 0


# What is said of it -------------------------------------------------------------------------------------------------


def test_the_file_in_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure('limit = 299\nhtml = "a.html"\njson = "a.json"\nverbose = true\n')
    digest = hashlib.sha256(Path("relu-audit.toml").read_bytes()).hexdigest()
    assert run(["m.onnx", "--data", "d.npz"]) == 0
    assert f"settings: relu-audit.toml, SHA-256 {digest}" in capsys.readouterr().out
    assert json.loads(Path("a.json").read_text())["configuration"] == {"name": "relu-audit.toml", "sha256": digest}
    assert digest in Path("a.html").read_text()
    audit = relu_audit.load("a.json")
    assert audit.configuration.sha256 == digest
    assert relu_audit.load(audit.to_json().encode()) == audit
    assert run(["m.onnx", "--data", "d.npz", "--no-verbose"]) == 0
    assert "settings:" not in capsys.readouterr().out


@pytest.mark.parametrize("by", ["prune", "audit"])
def test_the_file_in_use_is_named_by_a_pruning(by: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In its reports, and with ``-v``; nothing is told of a file that there is not."""
    arguments = ["--data", "d.npz", "--align", "1", "--no-latency"]
    reports = ["-o", "s.onnx", "--json", "p.json", "--html", "p.html"]
    command = (
        ["prune", "m.onnx", *arguments, *reports] if by == "prune" else ["m.onnx", *arguments, "--prune", "s.onnx"]
    )
    for text in ("limit = 300\n", None):
        if text is None:
            Path("relu-audit.toml").unlink()
        else:
            configure(text)
        assert run([*command, "-v"]) == 0
        out = capsys.readouterr().out
        digest = hashlib.sha256(b"limit = 300\n").hexdigest()
        assert out.count(f"settings: relu-audit.toml, SHA-256 {digest}") == (
            0 if text is None else command.count("--prune") + 1
        )
        assert run(command) == 0
        assert "settings:" not in capsys.readouterr().out
        if by == "prune":
            found = json.loads(Path("p.json").read_text())
            expected = {"configuration": {"name": "relu-audit.toml", "sha256": digest}} if text else {}
            assert {key: found[key] for key in ("configuration",) if key in found} == expected
            assert ("<dt>Settings</dt>" in Path("p.html").read_text()) == (text is not None)


def test_nothing_is_told_of_a_file_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--html", "a.html", "--json", "a.json", "-v"]) == 0
    assert "settings:" not in capsys.readouterr().out
    assert "<dt>Settings</dt>" not in Path("a.html").read_text()
    assert "configuration" not in json.loads(Path("a.json").read_text())
    relu_audit.load("a.json")  # as one of an earlier version


def test_reports_are_the_same_bytes_wherever_the_repository_lies(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure('json = "a.json"\ndata = "../d.npz"\n')
    (here / "a").mkdir()
    shutil.copytree(here, tmp_path / "elsewhere")
    found = []
    for place in (here, tmp_path / "elsewhere"):
        monkeypatch.chdir(place / "a")
        assert run(["../m.onnx"]) == 0
        found.append(Path("a.json").read_bytes())
    assert found[0] == found[1]
    assert b"../relu-audit.toml" in found[0]


@pytest.mark.parametrize("empty", ["", "# nothing yet\n"])
def test_settings_that_an_empty_file_hides_are_told(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure('max-dead = "1%"\n', "pyproject.toml")
    configure(empty)
    assert run(["m.onnx", "--data", "d.npz", "--quiet", "--json", "a.json"]) == 0
    err = capsys.readouterr().err
    assert err == "note: relu-audit.toml is used and has no settings; the settings of pyproject.toml are not used\n"
    notes = json.loads(Path("a.json").read_text())["notes"]
    assert any("pyproject.toml" in note for note in notes)


def test_settings_that_a_nearer_file_hides_are_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure('max-dead = "1%"\n', "pyproject.toml")
    Path("a").mkdir()
    monkeypatch.chdir("a")
    configure("limit = 300\n", "pyproject.toml")
    assert run(["../m.onnx", "--data", "../d.npz"]) == 0
    note = "note: pyproject.toml is used; the settings of ../pyproject.toml are not used\n"
    assert capsys.readouterr().err == note
    configure("", "pyproject.toml", here)
    assert run(["../m.onnx", "--data", "../d.npz"]) == 0
    assert capsys.readouterr().err == ""


# The command line goes before the file ------------------------------------------------------------------------------

VALUES = {
    "samples": "rows",
    "unit-axis": "r0=1",
    "batch-axis": "x=0",
    "input": "x=y",
    "bands": "10%",
    "memory-limit": "1TB",
}


def value_of(one: click.Option) -> str:
    long = one.opts[0].removeprefix("--")
    if isinstance(one, Option) and one.endings:
        return f"7{one.endings[0]}"
    return VALUES.get(long, "7" if isinstance(one.type, click.types.IntParamType) else "7%")


@pytest.mark.parametrize("source", ["file", "environment"])
@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.name)
def test_every_setting_can_be_undone_on_the_command_line(
    command: Configured, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the command gets is what it gets where nothing is set."""
    needed = ["m.onnx", *(["--data", "d.npz"] if command.name != "prune" else ["--audit", "a.json"])]

    def got(*more: str) -> dict[str, Any]:
        with click.Context(root) as parent:
            return command.make_context(command.name, [*needed, *more], parent).params

    plain = got()
    undone = 0
    for one in command.params:
        if not isinstance(one, Option) or one.is_eager or not one.envvar or one.opts[0] in needed:
            continue
        long = one.opts[0].removeprefix("--")
        if source == "file" and one.trusts("x"):
            continue
        for value in ("true", "false") if one.is_flag else (value_of(one),):
            if source == "file":
                configure(f"{long} = {value}\n" if one.is_flag else f'{long} = "{value}"\n')
            else:
                monkeypatch.setenv(str(one.envvar), value)
            back = one.secondary_opts[0] if one.is_flag and not plain[one.name or ""] else one.opts[0]
            how = [back] if one.is_flag else [back, "none" if one.unsettable else str(one.default)]
            assert one.is_flag or not one.expose_value or got() != plain, long
            assert got(*how) == plain, long
            undone += 1
            monkeypatch.delenv(str(one.envvar), raising=False)
    assert undone > 15


def test_none_is_a_value_that_a_file_and_the_environment_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    configure('max-dead = "1%"\njson = "a.json"\n')
    assert run(["m.onnx", "--data", "d.npz", "--json", "none"]) == 1
    assert not Path("none").exists()
    assert not Path("a.json").exists()
    monkeypatch.setenv("RELU_AUDIT_MAX_DEAD", "none")
    assert run(["m.onnx", "--data", "d.npz"]) == 0
    assert run(["m.onnx", "--data", "d.npz", "--csv", "./none"]) == 0
    assert Path("none").is_file()
    configure('max-dead = "none"\n')
    monkeypatch.delenv("RELU_AUDIT_MAX_DEAD")
    assert run(["m.onnx", "--data", "d.npz"]) == 0


def test_data_cannot_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    configure('data = "d.npz"\n')
    assert run(["m.onnx", "--data", "none"]) == 2
    assert "there is no calibration data 'none'" in capsys.readouterr().err


PATTERN = '[layers]\n"r*" = { max-dead-layer = "20%" }\n'


@pytest.mark.parametrize("by", ["command line", "environment"])
@pytest.mark.parametrize("command", ["audit", "each"])
def test_a_limit_given_by_hand_is_the_most_that_a_file_allows(
    command: str, by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One unit in six is dead, 16.7 %."""

    def audited(limit: str | None) -> int:
        if by == "environment" and limit is not None:
            monkeypatch.setenv("RELU_AUDIT_MAX_DEAD_LAYER", limit)
            limit = None
        arguments = [] if limit is None else ["--max-dead-layer", limit]
        return run([command, "m.onnx", "--data", "d.npz", "--json", "a.json", *arguments])

    configure(PATTERN)
    assert audited(None) == 0
    assert audited("5%") == 1
    err = capsys.readouterr().err
    assert all(word in err for word in ("--max-dead-layer 5 %", "20 %", "'r*'", "relu-audit.toml"))
    assert any("'r*'" in note for note in json.loads(Path("a.json").read_text())["notes"])
    assert audited("50%") == 0
    assert capsys.readouterr().err == ""
    configure(f'max-dead-layer = "5%"\n{PATTERN}')
    monkeypatch.delenv("RELU_AUDIT_MAX_DEAD_LAYER", raising=False)
    assert audited(None) == 0  # of two limits of one file the closer one counts
    configure(PATTERN.replace("20%", "10%"))
    assert audited("50%") == 1
    assert audited("none") == 1


def test_a_waiver_still_holds_for_a_limit_given_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    configure('[[waivers]]\npattern = "r0"\nreason = "known"\n')
    assert run(["m.onnx", "--data", "d.npz", "--max-dead-layer", "1%"]) == 3
    assert "waived: r0" in capsys.readouterr().out


# Outputs over inputs ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(here: Path) -> Path:
    """Something of every kind that a command reads."""
    lay_out()
    return here


def lay_out() -> None:
    onnx.save(onnx.load("m.onnx"), "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    Path("folder").mkdir()
    np.savez("folder/part_1.npz", x=X[:150])
    np.savez("folder/part_2.npz", x=X[150:])
    Path("sets/test_data_set_0").mkdir(parents=True)
    Path("sets/test_data_set_0/input_0.pb").write_bytes(onnx.numpy_helper.from_array(X, "x").SerializeToString())
    Path("package").mkdir()
    Path("package/__init__.py").write_text("")
    Path("package/loader.py").write_text(LOADER)
    Path("pyproject.toml").write_text('[project]\nname = "x"\n')
    assert run(["m.onnx", "--data", "d.npz", "--json", "b.json"]) == 0
    Path("ops.so").write_bytes(b"library")


READ = {
    "the model": ("m.onnx", ["--data", "d.npz"]),
    "its weights": ("w.bin", ["--data", "d.npz"]),
    "the data": ("d.npz", ["--data", "d.npz"]),
    "a file of a folder": ("folder/part_2.npz", ["--data", "folder"]),
    "a file of a test set": ("sets/test_data_set_0/input_0.pb", ["--data", "sets"]),
    "a loader": ("evil.py", ["--data", "evil.py:run"]),
    "a module": ("package/loader.py", ["--data", "package.loader:run"]),
    "a package": ("package/__init__.py", ["--data", "package.loader:run"]),
    "a library": ("ops.so", ["--data", "d.npz", "--custom-ops", "ops.so"]),
    "the baseline": ("b.json", ["--data", "d.npz", "--baseline", "b.json"]),
    "the configuration": ("relu-audit.toml", ["--data", "d.npz"]),
}


def alias(kind: str, path: str) -> str:
    """Another name of a file, of some kind."""
    if kind == "hard link":
        Path("alias").hardlink_to(path)
    elif kind == "symbolic link":
        Path("alias").symlink_to(Path(path).absolute())
    elif kind == "link to a hard link":
        Path("other").hardlink_to(path)
        Path("alias").symlink_to("other")
    elif kind == "folder that is a link":
        Path("alias").symlink_to(Path(path).absolute().parent)
        return f"alias/{Path(path).name}"
    else:
        return {"same": path, "absolute": str(Path(path).absolute()), "around": f"package/../{path}"}[kind]
    return "alias"


KINDS = ["same", "absolute", "around", "hard link", "symbolic link", "link to a hard link", "folder that is a link"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("victim", "data"), READ.values(), ids=READ)
def test_no_output_takes_the_place_of_what_is_read(
    victim: str, data: list[str], kind: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("limit = 300\n")
    target = alias(kind, victim)
    before = Path(victim).read_bytes()
    hard = Path("w.bin").stat().st_nlink > 1  # which is refused by itself
    writers = [["m.onnx", f"--{name}"] for name in WRITERS] + [["each", "m.onnx", "--json"]]
    if "--baseline" not in data:
        writers += [["prune", "m.onnx", option] for option in ("-o", "--html")]
    for command in writers:
        plan = ["--dry-run"] if command[-1] == "--html" and command[0] == "prune" else []
        assert run([*command, target, *data, *plan]) == 2, command
        err = capsys.readouterr().err
        assert "are one file" in err or hard, (command, err)
    assert Path(victim).read_bytes() == before
    assert not Path("ran").exists()
    assert [path.name for path in files.rglob(".*.tmp")] == []


@given(st.sampled_from(sorted(READ)), st.sampled_from(WRITERS), st.lists(st.sampled_from("hs"), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_no_chain_of_links_hides_what_is_read(which: str, writer: str, chain: list[str]) -> None:
    """Each link is a hard or a symbolic one to the link before."""
    victim, data = READ[which]
    if victim == "w.bin" and "h" in chain[:1]:
        chain = ["s", *chain]
    if not Path("w.bin").exists():
        lay_out()
    configure("")
    for stale in Path.cwd().glob("link_*"):
        stale.unlink()
    last = Path(victim).absolute()
    for number, kind in enumerate(chain):
        link = Path(f"link_{number}").absolute()
        if kind == "h":
            os.link(last, link, follow_symlinks=False)
        else:
            link.symlink_to(last)
        last = link
    before = Path(victim).read_bytes()
    assert "are one file" in complaint("m.onnx", f"--{writer}", str(last), *data)
    assert Path(victim).read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_reports_and_comparisons_spare_what_they_read(
    kind: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = alias(kind, "b.json")
    before = Path("b.json").read_bytes()
    shutil.copy("b.json", "c.json")
    for name in WRITERS[:-2]:
        assert run(["report", "b.json", f"--{name}", target]) == 2, name
        assert "are one file" in capsys.readouterr().err
    for name in ("json", "html", "markdown"):
        for pair in (["b.json", "c.json"], ["c.json", "b.json"]):
            assert run(["compare", *pair, f"--{name}", target]) == 2, name
            assert "are one file" in capsys.readouterr().err
    for option in ("-o", "--json", "--html"):
        plan = ["-o", "s.onnx"] if option != "-o" else []
        assert run(["prune", "m.onnx", "--audit", "b.json", option, target, *plan]) == 2
        assert "are one file" in capsys.readouterr().err
    assert Path("b.json").read_bytes() == before


@pytest.mark.parametrize("victim", ["m.onnx", "w.bin"])
@pytest.mark.parametrize("kind", ["same", "absolute", "around", "symbolic link", "folder that is a link"])
def test_the_list_of_sites_and_annotations_of_a_report_spare_the_model(
    kind: str, victim: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = alias(kind, victim)
    before = Path(victim).read_bytes()
    assert run(["sites", "m.onnx", "--json", target]) == 2
    assert "are one file" in capsys.readouterr().err
    for option in ("--annotate", "--html"):
        more = [] if option == "--annotate" else ["--annotate", "n.onnx"]
        assert run(["report", "b.json", "--model", "m.onnx", option, target, *more]) == 2
        assert "are one file" in capsys.readouterr().err
    assert Path(victim).read_bytes() == before


@pytest.mark.parametrize("kind", ["symbolic link", "hard link"])
def test_each_spares_what_is_read_for_any_of_the_models(
    kind: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("two").mkdir()
    onnx.save(onnx.load("m.onnx"), "two/n.onnx")
    shutil.copy("d.npz", "two/n.npz")
    shutil.copy("d.npz", "m.npz")
    if kind == "hard link":
        Path("m.csv").hardlink_to("two/n.npz")
    else:
        Path("m.csv").symlink_to("two/n.npz")
    before = Path("two/n.npz").read_bytes()
    options = ["--data", "{folder}/{stem}.npz", "--csv", "{stem}.csv"]
    assert run(["each", "m.onnx", "two/n.onnx", *options]) == 2
    assert "are one file" in capsys.readouterr().err
    assert Path("two/n.npz").read_bytes() == before


@pytest.mark.parametrize("kind", ["hard link", "symbolic link"])
def test_two_outputs_are_not_one_file_by_links(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("earlier")
    target = alias(kind, "a.csv")
    assert run(["m.onnx", "--data", "d.npz", "--csv", "a.csv", "--html", target]) == 2
    assert "are one file" in capsys.readouterr().err
    assert Path("a.csv").read_text() == "earlier"


def test_reports_may_lie_beside_the_data_and_be_written_again() -> None:
    for name in ("a.json", "a.html"):
        shutil.copy("d.npz", "d2.npz")
        arguments = ["m.onnx", "--data", ".", "--json", "a.json", "--html", "a.html"]
        assert run(arguments) == 0, name
