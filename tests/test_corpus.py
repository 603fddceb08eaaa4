"""Real models by others against an independent census: dead sets unit by unit and every firing count.

The corpus is not part of the project; point CORPUS_OF_MODELS at it, or keep it in ../shared/corpus.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import relu_audit

CORPUS = Path(os.environ.get("CORPUS_OF_MODELS", Path(__file__).parents[2] / "shared" / "corpus"))
TRUTH: dict[str, Any] = (
    json.loads((CORPUS / "ground_truth.json").read_text()) if (CORPUS / "ground_truth.json").is_file() else {}
)

pytestmark = pytest.mark.skipif(not TRUTH, reason="the corpus of real models is not here")


@pytest.mark.parametrize("name", TRUTH)
def test_audit_agrees_with_the_census(name: str) -> None:
    audit = relu_audit.audit(CORPUS / f"{name}.onnx", CORPUS / f"{name}.inputs.npz")
    sites = {"/".join(filter(None, (site.scope, tensor))): site for site in audit.sites for tensor in site.tensors}
    alive = {activation.tensor for activation in audit.alive}
    assert audit.data.samples == TRUTH[name]["samples"]
    for tensor, truth in TRUTH[name]["relus"].items():
        if truth["op"] != "Relu":
            assert tensor in alive
            continue
        site = sites[tensor]
        assert (site.unit_axis, site.assumed) == (truth["channel_axis"], False)
        assert (site.units, site.positions) == (truth["channels"], truth["positions_seen"])
        assert list(site.dead) == truth["dead"]
        assert list(site.fired_positions) == truth["fires"]
        near = [site.pre_peak[unit] for unit in site.dead]
        expected = truth["dead_max_preactivation"]
        assert max(near, default=None) == (None if expected is None else pytest.approx(expected, rel=1e-3, abs=1e-6))


def test_the_same_network_with_and_without_control_flow_has_one_verdict() -> None:
    dead = [
        [
            (site.units, site.dead)
            for site in relu_audit.audit(CORPUS / f"{name}.onnx", CORPUS / f"{name}.inputs.npz").sites
            if not site.unseen
        ]
        for name in ("silero_vad_if", "silero_vad_ifless")
    ]
    assert dead[0] == dead[1]


def test_model_without_operator_set_is_refused() -> None:
    with pytest.raises(relu_audit.AuditError, match="opset_import is empty") as caught:
        relu_audit.audit(CORPUS / "negative_no_opset.onnx", "random:8")
    assert caught.value.slug == "no-opset"
