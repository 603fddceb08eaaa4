"""The committed samples and reports are what the program finds and writes today."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import relu_audit

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "reports"))
from make import DATA, make  # noqa: E402 - the script that wrote them

TRUTH = json.loads((ROOT / "sample_models/truth.json").read_text(encoding="utf-8"))
_FLOAT = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")


def test_every_sample_has_reports() -> None:
    assert set(DATA) == {path.stem for path in (ROOT / "sample_models").glob("*.onnx")}


@pytest.mark.parametrize("name", DATA)
def test_report_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    """Everything but floats is compared as bytes; floats to the last bits, which processors do not agree in."""
    for again in ("first", "second"):
        (tmp_path / again).mkdir()
        assert make(name, tmp_path / again) == 0
    first, second = (tmp_path / again / f"{name}.json" for again in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".html").read_bytes() == second.with_suffix(".html").read_bytes()
    committed, now = (
        _scrubbed(path.read_text(encoding="utf-8")) for path in (ROOT / "reports" / f"{name}.json", first)
    )
    assert _FLOAT.sub("#", now) == _FLOAT.sub("#", committed)
    floats = [[float(x) for x in _FLOAT.findall(text)] for text in (now, committed)]
    assert floats[0] == pytest.approx(floats[1], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", DATA)
def test_audit_agrees_with_the_sample_census(name: str) -> None:
    audit = relu_audit.audit(ROOT / f"sample_models/{name}.onnx", ROOT / "sample_models" / DATA[name])
    found = {site.tensor: site for site in audit.sites}
    relus = TRUTH[name]["relus"]
    assert {tensor: list(site.dead) for tensor, site in found.items()} == {t: relu["dead"] for t, relu in relus.items()}
    fired = {tensor: list(site.fired_samples) for tensor, site in found.items()}
    assert fired == {t: relu["fired"] for t, relu in relus.items()}


def _scrubbed(text: str) -> str:
    """The report without the version of the runtime that happened to be installed."""
    return re.sub(r'"onnxruntime": "[^"]*"', '"onnxruntime": "-"', text)
