"""The house rules: format, lint, strict types, who may import whom, how big a file may grow, what importing costs."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import relu_audit

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "relu_audit").rglob("*.py"))


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["basedpyright", "--pythonpath", sys.executable],
        ["lint-imports"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_checker_has_nothing_to_say(command: list[str]) -> None:
    tool = Path(sys.executable).parent / command[0]
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_edges_touch_the_console(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    printing = [call.id for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    assert not printing or path.parent.name == "cli"


def test_no_engine_names_an_operator() -> None:
    from relu_audit.operators.axes import TABLE

    names = ("units/channels", "operators/layout", "units/locate", "operators/moves", "network/ranks")
    engines = [ROOT / "relu_audit" / f"{name}.py" for name in names]
    words = {
        constant.value
        for path in engines
        for constant in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    assert not words & {row.op for row in TABLE}


def test_importing_the_package_is_cheap() -> None:
    code = "import time; t = time.perf_counter(); import relu_audit; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    # The quickest of several: what else the machine does is none of our time.
    assert min(float(done.stdout) for done in runs) < 0.05
    heavy = "import sys, relu_audit; print([m for m in ('numpy', 'onnx', 'onnxruntime', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_can_be_had() -> None:
    assert all(getattr(relu_audit, name) is not None for name in relu_audit.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = relu_audit.no_such_name


def test_version_is_the_package_version() -> None:
    assert importlib.metadata.version("relu-audit") == relu_audit.__version__


def test_the_coverage_page_is_current() -> None:
    script = runpy.run_path(str(ROOT / "docs/make_coverage.py"))
    assert (ROOT / "docs/coverage.md").read_text() == script["page"](), "run: python docs/make_coverage.py"


def test_every_slug_is_explained() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    explained = re.findall(r"^### `([a-z-]+)`", page, re.MULTILINE)
    raised = {slug for path in SOURCES for slug in re.findall(r'slug="([a-z-]+)"', path.read_text(encoding="utf-8"))}
    assert sorted(raised) == sorted(explained)  # each once
