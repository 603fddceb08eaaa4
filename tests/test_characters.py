"""Names that are no text, and terminals that lack a character: neither costs a report or the gate's word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from relu_audit import load
from relu_audit.cli import run
from relu_audit.records import as_text
from tests.graphs import mlp

X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
NAME = os.fsdecode(b"q\xff")
REPORTS = ("json", "html", "sarif", "junit", "markdown", "csv")
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def undecodable() -> str:
    """A name, for a model and its data, that holds a byte that is no UTF-8."""
    try:
        np.savez(f"{NAME}.npz", x=X)
    except OSError:
        pytest.skip("this file system holds no such names")
    Path(f"{NAME}.onnx").write_bytes(mlp(dead={0: (1,)}).SerializeToString())
    return NAME


def test_text_is_left_as_it_is_and_other_bytes_are_spelt_out() -> None:
    assert as_text("modèle ☃.onnx") == "modèle ☃.onnx"
    assert as_text(NAME) == r"q\xff"


def test_a_name_that_is_no_text_is_spelt_out_in_every_report(undecodable: str) -> None:
    wanted = [f"--{one}={one}.out" for one in REPORTS]
    wanted += ["--github", "--annotate=annotated.onnx", "--max-dead=0"]
    assert run([f"{undecodable}.onnx", "--data", f"{undecodable}.npz", *wanted]) == 1
    found = load("json.out")
    assert (found.model.name, found.data.source) == (r"q\xff.onnx", r"q\xff.npz")
    assert all(Path(f"{one}.out").read_text(encoding="utf-8") for one in REPORTS)


def test_a_baseline_may_have_a_name_that_is_no_text(undecodable: str) -> None:
    audit = [f"{undecodable}.onnx", "--data", f"{undecodable}.npz", "--quiet"]
    assert run([*audit, "--json", f"{undecodable}.json"]) == 0
    assert run([*audit, "--baseline", f"{undecodable}.json", "--max-dead", "0", "--json", "new.json"]) == 0
    measure = load("new.json").baseline
    assert measure is not None
    assert (measure.source, measure.model) == (r"q\xff.json", r"q\xff.onnx")


def test_a_listing_may_be_of_a_name_that_is_no_text(undecodable: str) -> None:
    assert run(["sites", f"{undecodable}.onnx", "--json", "sites.json"]) == 0
    assert r"q\\xff.onnx" in Path("sites.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_a_terminal_that_lacks_a_character_gets_the_word_and_the_code(encoding: dict[str, str]) -> None:
    model = mlp(dead={0: (1,)})
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["слой☃" if name == "r0" else name for name in names]
    onnx.save(model, "m.onnx")
    np.savez("d.npz", x=X)
    assert run(["m.onnx", "--data", "d.npz", "--json", "a.json", "--quiet"]) == 0

    def printed(*arguments: str, code: int = 0) -> bytes:
        command = [sys.executable, "-m", "relu_audit", *arguments]
        done = subprocess.run(command, capture_output=True, env={**os.environ, **encoding})
        assert done.returncode == code, done.stderr
        return done.stdout

    audit = printed("m.onnx", "--data", "d.npz", "--max-dead", "0", code=1)
    assert b"gate: FAILED" in audit
    assert rb"\u2603" in audit
    assert rb"\u2603" in printed("sites", "m.onnx")
    assert rb"\u2603" in printed("report", "a.json")
    assert printed("compare", "a.json", "a.json")
    assert printed("prune", "m.onnx", "--data", "d.npz", "--output", "p.onnx", "--no-latency")
