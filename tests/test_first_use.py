"""What people get wrong on their first day, and what strangers' files try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.cli import run
from tests.graphs import mlp

X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp(dead={0: (1,)}), "m.onnx")
    np.savez("d.npz", x=X)
    return tmp_path


def test_batches_with_labels_are_refused_and_not_stacked() -> None:
    def loader() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield X[:32], X[:32]

    with pytest.raises(relu_audit.AuditError, match="sequence of 2") as caught:
        relu_audit.audit("m.onnx", loader())
    assert caught.value.slug == "data-kind"


def test_a_misspelt_variable_does_not_silently_drop_the_gate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELU_AUDIT_MAXDEAD", "1%")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    assert "RELU_AUDIT_MAX_DEAD" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pyproject.toml", "[tool.relu_audit]\nmax-dead = 0.01"),
        ("relu-audit.toml", "[tool.relu-audit]\nmax-dead = 0.01"),
    ],
)
def test_settings_under_a_wrong_heading_are_refused(file: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(file).write_text(text, encoding="utf-8")
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    assert "[tool.relu-audit]" in capsys.readouterr().err


def test_a_name_cannot_forge_a_line_or_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    model = mlp(dead={0: (1,)})
    evil = "a\ngate: PASSED\x1b[31m\u202e" + "L" * 5000
    for node in model.graph.node:
        node.input[:] = [evil if name == "r0" else name for name in node.input]
        node.output[:] = [evil if name == "r0" else name for name in node.output]
    onnx.save(model, "evil.onnx")
    assert run(["evil.onnx", "--data", "d.npz", "--max-dead-layer", "1%", "-v"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert not any(line.startswith("gate: PASSED") for line in out.splitlines())
    assert len(out) < 3000


def test_a_share_written_as_text_is_an_error_of_ours() -> None:
    with pytest.raises(relu_audit.AuditError, match="must be a number"):
        relu_audit.audit("m.onnx", "d.npz", max_dead="5%")  # type: ignore[arg-type]


def test_something_that_is_no_model_is_an_error_of_ours() -> None:
    with pytest.raises(relu_audit.AuditError, match="no ONNX model"):
        relu_audit.audit(object(), "d.npz")  # type: ignore[arg-type]
