"""Real models by others: their dead units go or are kept for a reason, and what remains computes the same.

The corpus is not part of the project; see ``test_corpus.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.observe.dataset import Dataset
from tests.graphs import chosen_inputs
from tests.prune_checks import Judged, assert_accounted, assert_same_function, assert_same_interface
from tests.test_corpus import CORPUS, TRUTH

RUNS = 48
LIMIT = 1e-5
UNEVEN = {"mnist_attention"}
"""Its 144 units are 4 tokens of 36 features, and no feature is dead in all: nothing to cut without scattering."""

LONG = {"silero_vad_if", "silero_vad_ifless", "ultraface_rfb", "ultraface_slim"}

pytestmark = pytest.mark.skipif(not TRUTH, reason="the corpus of real models is not here")


def first_feeds(model: Path, data: Path) -> list[dict[str, np.ndarray]]:
    """The model's own inputs, a sample a run."""
    inputs = chosen_inputs(normalize(open_checkpoint(model)))
    return [dict(batch.feeds) for batch in Dataset(data, inputs, None, RUNS).batches(1)]


@pytest.mark.parametrize(
    ("name", "align"),
    [
        # The long ones at one alignment: patterns and families try the other in every run.
        pytest.param(name, align, marks=pytest.mark.slow if align == 1 and name in LONG else ())
        for name in TRUTH
        for align in (1, 8)
    ],
)
def test_real_model_is_pruned(name: str, align: int, tmp_path: Path) -> None:
    path, data = CORPUS / f"{name}.onnx", CORPUS / f"{name}.inputs.npz"
    audit = relu_audit.audit(path, data)
    judged = Judged(audit, relu_audit.prune(path, audit, data=data, align=align))
    assert_accounted(judged)
    assert_same_interface(onnx.load(path), judged.pruned.model)
    if align == 1 and judged.dead and name not in UNEVEN:
        assert judged.dead_removed, judged.kept
    judged.pruned.save(tmp_path / "smaller.onnx")
    assert_same_function(str(path), str(tmp_path / "smaller.onnx"), first_feeds(path, data), limit=LIMIT)
    again = relu_audit.audit(tmp_path / "smaller.onnx", data)
    assert again.dead <= audit.dead - len(judged.dead_removed)
