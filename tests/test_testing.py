"""``assert_alive`` in the hands of pytest and unittest: what passes, what fails, and what the failure says."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest

from relu_audit import AuditError, load
from relu_audit.observe.session import Session
from relu_audit.report import text
from relu_audit.testing import assert_alive
from tests.graphs import mlp

ROOT = Path(__file__).parents[1]
MODEL, DATA = ROOT / "sample_models/mlp_dead.onnx", ROOT / "sample_models/digits.npz"
X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)


def failure(*arguments: object, **options: object) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_alive(*arguments, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_share_equal_to_the_limit_passes_and_the_audit_is_returned() -> None:
    audit = assert_alive(MODEL, DATA, max_dead=0.1875)
    assert audit.dead_fraction == 0.1875
    assert audit.gate.outcome == "passed"
    assert load(audit.to_json().encode()) == audit


def test_the_failure_is_the_table_under_a_line_that_can_stand_alone() -> None:
    first, rest = failure(MODEL, DATA, max_dead=0.05).split("\n\n")
    assert first == "gate: FAILED, 18.75 % of all units are dead; the limit is 5 %"
    with_limit = assert_alive(MODEL, DATA, max_dead=1.0)
    assert rest.splitlines()[:-2] == text.write(with_limit).splitlines()[:-1]
    assert "/relu5/Relu_output_0  Relu        128   54  42.2 %" in rest


def test_several_breaches_are_counted_in_the_first_line_and_told_below_it() -> None:
    message = failure(MODEL, DATA, max_dead=0.05, max_dead_layer=0.2)
    assert message.splitlines()[0].endswith("(and 2 more)")
    assert "42.19 % of /relu5/Relu_output_0 are dead; the limit is 20 %" in message


def test_without_a_limit_no_unit_may_be_dead() -> None:
    assert assert_alive(mlp(), X).policy.max_dead == 0
    assert "the limit is 0 %" in failure(mlp(dead={0: (1,)}), X)
    assert assert_alive(mlp(dead={0: (1,)}), X, max_dead_layer=0.5).policy.max_dead is None


def test_too_little_evidence_is_no_pass() -> None:
    first = failure(mlp(), X[:100]).splitlines()[0]
    assert first.startswith("gate: INCONCLUSIVE, because 100 samples are fewer than the 256")
    assert "made up" in failure(mlp(), "random:300")
    assert assert_alive(mlp(), X[:100], min_samples=100).data.samples == 100


def test_every_other_option_is_the_audit_s() -> None:
    audit = assert_alive(mlp(), {"pixels": X}, inputs={"x": "pixels"}, batch_size=7, rare_below=0.01)
    assert audit.runtime.batch_size == 7
    assert audit.policy.rare_below == 0.01
    with pytest.raises(TypeError, match="max_daed"):
        assert_alive(mlp(), X, max_daed=0.1)


def test_what_cannot_be_audited_is_an_error_and_no_failure() -> None:
    with pytest.raises(AuditError) as caught:
        assert_alive("absent.onnx", X)
    assert not isinstance(caught.value, AssertionError)


def test_an_interrupt_ends_the_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "run", stopping)
    with pytest.raises(KeyboardInterrupt):
        assert_alive(mlp(), X, batch_size=1)


def test_names_of_strangers_stay_in_their_line() -> None:
    model = mlp(dead={0: (1,)})
    for node in model.graph.node:
        node.input[:] = ["a\n\x1b[31m[red]" if name == "r0" else name for name in node.input]
        node.output[:] = ["a\n\x1b[31m[red]" if name == "r0" else name for name in node.output]
    message = failure(model, X)
    assert "\x1b" not in message
    assert "a ?[31m[red]" in message


def test_pytest_shows_the_caller_s_line_and_the_table(tmp_path: Path) -> None:
    (tmp_path / "test_model.py").write_text(
        "from relu_audit.testing import assert_alive\n"
        f"def test_model():\n    assert_alive({str(MODEL)!r}, {str(DATA)!r}, max_dead=0.05)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_model.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "__tracebackhide__" not in done.stdout
    assert "raise AssertionError" not in done.stdout
    assert "test_model.py:3: AssertionError" in done.stdout
    assert "E       /relu5/Relu_output_0  Relu        128   54  42.2 %" in done.stdout
    assert "FAILED test_model.py::test_model - AssertionError: gate: FAILED, 18.75 %" in done.stdout


def test_under_unittest_it_is_a_failure_and_no_error() -> None:
    class Case(unittest.TestCase):
        def test_model(self) -> None:
            assert_alive(MODEL, DATA, max_dead=0.05)

    result = unittest.TestResult()
    Case("test_model").run(result)
    assert result.errors == []
    assert "42.2 %" in result.failures[0][1]


def test_importing_it_costs_nothing_either() -> None:
    code = "import sys, relu_audit.testing; print([m for m in ('numpy', 'onnx', 'msgspec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
