"""Pruning from files and to files: weights kept outside stay outside, and an audit of another model is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import uses_external_data

import relu_audit
from tests.graphs import mlp
from tests.prune_checks import assert_same_function
from tests.prune_kit import Numbers
from tests.prune_layers import gemm_chain

DATA = {"x": np.random.default_rng(0).integers(-4, 5, (24, 6)).astype(np.float32)}


def external(folder: Path) -> Path:
    """A model of some kilobytes of weights, which lie beside it."""
    path = folder / "m.onnx"
    model = mlp((6, 64, 64, 3), dead={0: tuple(range(8)), 1: (3, 5)})
    onnx.save(model, path, save_as_external_data=True, location="m.weights", size_threshold=0)
    return path


def test_weights_kept_outside_stay_outside(tmp_path: Path) -> None:
    path = external(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    audit = relu_audit.audit(path, DATA)
    pruned = relu_audit.prune(path, audit, data=DATA, align=1)
    (tmp_path / "out").mkdir()
    pruned.save(tmp_path / "out" / "s.onnx")
    after = onnx.load(tmp_path / "out" / "s.onnx", load_external_data=False)
    assert any(uses_external_data(weight) for weight in after.graph.initializer)
    assert len(list((tmp_path / "out").iterdir())) > 1
    assert len(pruned.plan.removed) >= 10
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content, "the original was touched"
    assert_same_function(str(path), str(tmp_path / "out" / "s.onnx"), [DATA], limit=1e-5)


def test_result_beside_the_original_leaves_it_alone(tmp_path: Path) -> None:
    path = external(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    relu_audit.prune(path, relu_audit.audit(path, DATA), data=DATA, align=1).save(tmp_path / "s.onnx")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert_same_function(str(path), str(tmp_path / "s.onnx"), [DATA], limit=1e-5)


def located(path: Path) -> set[str]:
    """Files that a model says its weights are in."""
    model = onnx.load(path, load_external_data=False)
    return {e.value for w in model.graph.initializer for e in w.external_data if e.key == "location"}


def test_an_interrupted_overwrite_leaves_a_model_with_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = external(tmp_path), tmp_path / "s.onnx"
    audit = relu_audit.audit(path, DATA)
    relu_audit.prune(path, audit, data=DATA, align=8).save(target)
    (before,) = located(target)
    content = {name: (tmp_path / name).read_bytes() for name in ("s.onnx", before)}
    other = relu_audit.prune(path, audit, data=DATA, align=1)
    real = Path.replace

    def interrupted(self: Path, to: Path) -> Path:
        if to == target:
            raise KeyboardInterrupt
        return real(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            other.save(target)
    assert {name: (tmp_path / name).read_bytes() for name in content} == content
    assert_same_function(str(path), str(target), [DATA], limit=1e-5)
    written = other.save(target)
    (after,) = located(target)
    assert after != before
    assert [file.name for file in written] == ["s.onnx", after]
    assert {file.name for file in tmp_path.iterdir()} == {"m.onnx", "m.weights", "s.onnx", after}
    assert_same_function(str(path), str(target), [DATA], limit=1e-5)


def test_weights_that_the_original_reads_are_never_removed(tmp_path: Path) -> None:
    """An earlier result is pruned further, from a copy of its file, to its own name."""
    path, target, copy = external(tmp_path), tmp_path / "s.onnx", tmp_path / "copy.onnx"
    relu_audit.prune(path, relu_audit.audit(path, DATA), data=DATA, align=8).save(target)
    copy.write_bytes(target.read_bytes())
    relu_audit.prune(copy, relu_audit.audit(copy, DATA), data=DATA, align=1).save(target)
    assert located(copy) != located(target)
    assert_same_function(str(copy), str(target), [DATA], limit=1e-5)


def test_audit_of_another_model_is_refused() -> None:
    audit = relu_audit.audit(gemm_chain(Numbers(1)), DATA)
    with pytest.raises(relu_audit.AuditError) as caught:
        relu_audit.prune(gemm_chain(Numbers(2)), audit, data=DATA)
    assert caught.value.slug == "audit-mismatch"


def test_the_premise_is_in_the_file() -> None:
    model = gemm_chain(Numbers(1))
    audit = relu_audit.audit(model, DATA)
    told = {entry.key: entry.value for entry in relu_audit.prune(model, audit, data=DATA, align=1).model.metadata_props}
    assert any(audit.data.sha256 in value for value in told.values())
    assert any(audit.tool.split()[-1] in value for value in told.values())
