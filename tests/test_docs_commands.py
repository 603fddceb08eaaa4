"""Every command and every example in the documents is run; docs_blocks.py says by which rules."""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from relu_audit.cli import run
from relu_audit.cli.root import DEFAULT, root
from tests import docs_blocks
from tests.docs_blocks import PAGES, ROOT, RUN, Block, blocks, inline_codes, invocations, pattern

LANGUAGES = {*RUN, "", "text", "toml", "json", "yaml", "dockerfile", "groovy"}
OTHERS_OPTIONS = {"--strict", "--user"}  # of programs that are not ours
RUNNING = [page for page in PAGES if any(block.runs for block in blocks(page))]
pages = pytest.mark.parametrize("page", PAGES, ids=docs_blocks.name)


@pytest.mark.parametrize("page", RUNNING, ids=docs_blocks.name)
def test_what_the_page_shows_works(
    page: Path, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    printed: str | None = None
    for block in blocks(page):
        if block.runs:
            printed = run_bash(block) if block.language == "bash" else run_python(block, names)
        elif block.language == "text" and printed is not None and not pattern(block.code).fullmatch(printed):
            pytest.fail(f"{where(block)} shows\n{block.code}\nbut it is\n{printed}")


AT_HAND = {
    "model.onnx": "sample_models/mlp_healthy.onnx",
    "calib.npz": "sample_models/digits.npz",
    "models/first.onnx": "sample_models/mlp_healthy.onnx",
    "calib/first.npz": "sample_models/digits.npz",
}
"""What a reader has of their own, by name."""


def lay_out(folder: Path) -> None:
    """What a reader has at hand: the samples, and files of their own."""
    shutil.copytree(ROOT / "sample_models", folder / "sample_models")
    (folder / "reports").mkdir()
    for name, source in AT_HAND.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / source, folder / name)


def run_bash(block: Block) -> str:
    """What a block prints; it has to end with the code it says."""
    bin_folder = str(Path(sys.executable).parent)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RELU_AUDIT_")}
    environment = {
        **ours,
        "PATH": f"{bin_folder}{os.pathsep}{ours['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RELU_AUDIT_LATENCY": "false",  # it takes seconds, and no page shows its figures
    }
    script = f"set -euo pipefail\npip() {{ :; }}\n{block.code}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    stated = re.search(r"# exit code (\d+)", block.code)
    assert done.returncode == (int(stated[1]) if stated else 0), f"{where(block)}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What a page's Python defines. Files that it leaves open are closed with it, and no later test is told of them."""
    defined: dict[str, Any] = {}
    yield defined
    defined.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def run_python(block: Block, names: dict[str, Any]) -> str:
    """What a block prints; values stated behind expressions have to be theirs."""
    tree = ast.parse(block.code, where(block))
    for needed in imported(tree):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{where(block)} needs {needed}")
    source = block.code.splitlines()
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for statement in tree.body:
            if isinstance(statement, ast.Expr):
                value = eval(compile(ast.Expression(statement.value), where(block), "eval"), names)  # noqa: S307
                stated = literal(source[(statement.end_lineno or 1) - 1][statement.end_col_offset or 0 :])
                assert stated is NOTHING or value == stated, f"{where(block)}: {source[statement.lineno - 1]}: {value}"
            else:
                exec(compile(ast.Module([statement], []), where(block), "exec"), names)  # noqa: S102
    return printed.getvalue()


NOTHING = object()


def literal(rest: str) -> object:
    """The value of a comment that is a literal."""
    comment = rest.partition("#")[2].strip()
    try:
        return ast.literal_eval(comment)
    except (SyntaxError, ValueError):
        return NOTHING


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def where(block: Block) -> str:
    return f"{docs_blocks.name(block.page)}:{block.line}"


# What is checked without being run ----------------------------------------------------------------------------------


@pages
def test_blocks_say_what_they_are(page: Path) -> None:
    assert not docs_blocks.indented_fences(page), "a fence in an indented block is run by nobody"
    for block in blocks(page):
        assert block.language in LANGUAGES, where(block)
        assert block.language or not [*invocations(block.code)], f"{where(block)}: write ```bash"


@pages
def test_options_exist(page: Path) -> None:
    for code in (*(block.code for block in blocks(page) if block.language != "text"), *inline_codes(page)):
        for words in invocations(code):
            known = options(root.commands.get(words[1], DEFAULT)) if len(words) > 1 else set()
            given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert given <= {*known, "--help", "--version"}, f"{page.name}: {code}"


@pages
def test_options_named_in_prose_exist(page: Path) -> None:
    known = {name for command in root.commands.values() for name in options(command)} | OTHERS_OPTIONS
    named = {code.split()[0].split("=")[0] for code in inline_codes(page) if re.match(r"--[a-z]", code)}
    assert named <= known


def options(command: click.Command) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


@pages
def test_data_in_the_page_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            yaml.safe_load(block.code)
        elif block.language == "python":
            ast.parse(block.code, where(block))


SETTINGS = [block for page in PAGES for block in blocks(page) if block.language == "toml"]


@pytest.mark.parametrize("block", SETTINGS, ids=lambda block: where(block))
def test_settings_are_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not refusal(block.code)


@pytest.mark.parametrize("text", ['max-daed = "5%"', "max-dead = 5", '[tool.relu-audit]\ndata = ["a"]'])
def test_wrong_settings_would_be_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(text)


def refusal(settings: str) -> str:
    """What the program says against settings. A model that is not there is missed only after they are read."""
    name = "pyproject.toml" if "tool" in tomllib.loads(settings) else "relu-audit.toml"
    Path(name).write_text(settings, encoding="utf-8")
    with contextlib.redirect_stderr(io.StringIO()) as said:
        run(["no-such-model.onnx", "--data", "random:1"])
    return "\n".join(line for line in said.getvalue().splitlines() if re.search(r"\[config\]|^Error:", line))


# The rules themselves -----------------------------------------------------------------------------------------------


def page_of(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def test_a_reason_holds_for_the_next_block_only(tmp_path: Path) -> None:
    text = "<!-- not run: no docker -->\n```bash\na\n```\n\n1. list\n\n    ```bash\n    b\n    ```\n\n```text\nc\n```\n"
    found = [(one.language, one.code, one.not_run, one.line) for one in blocks(page_of(tmp_path, text))]
    assert found == [("bash", "a\n", "no docker", 3), ("bash", "b\n", None, 9), ("text", "c\n", None, 13)]


def test_a_reason_does_not_reach_past_a_paragraph(tmp_path: Path) -> None:
    text = "<!-- not run: no docker -->\n\nwords\n\n```bash\na\n```\n"
    assert [one.not_run for one in blocks(page_of(tmp_path, text))] == [None]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a 1\nb\n", "a 1\nb\n", True),
        ("a 1\nb\n", "a 2\nb\n", False),
        ("a …\n", "a 17\n", True),
        ("a …\n", "a 17\nb\n", False),
        ("…\nb\n", "x\ny\nb\n", True),
        ("a\n…\n", "a\n", True),
        ("a.c\n", "abc\n", False),
        ("a   1\n", "a  1  \n", True),
        ("a 1\n", "a1\n", False),
    ],
)
def test_what_is_left_out_is_marked(shown: str, printed: str, same: bool) -> None:
    assert bool(pattern(shown).fullmatch(printed)) is same


def test_calls_are_found_in_any_language() -> None:
    code = (
        "cd x && relu-audit m.onnx \\\n  --json a.json | jq .\n- run: 'relu-audit prune m.onnx'\npip install relu-audit"
    )
    assert [*invocations(code)] == [
        ["relu-audit", "m.onnx", "--json", "a.json"],
        ["relu-audit", "prune", "m.onnx"],
    ]


def test_a_wrong_value_in_a_comment_is_found(tmp_path: Path) -> None:
    block = Block(ROOT / "README.md", 1, "python", "x = 2\nx + 1  # 4\n", None)
    with pytest.raises(AssertionError, match=r"x \+ 1"):
        run_python(block, {})


def test_a_failing_command_is_found() -> None:
    with pytest.raises(AssertionError, match="no command"):
        run_bash(Block(ROOT / "README.md", 1, "bash", "relu-audit nonsense --data x", None))
