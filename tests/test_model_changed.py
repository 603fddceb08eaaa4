"""A model that is written anew while it is read: the hash in the report belongs to the bytes that were run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit import AuditError
from relu_audit.model.checkpoint import open_checkpoint
from tests.graphs import mlp

DATA = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)


def saved(folder: Path, *, external: bool) -> Path:
    beside = {"save_as_external_data": True, "location": "m.bin", "size_threshold": 0} if external else {}
    onnx.save(mlp((4, 20, 3), dead={0: (1, 2)}), folder / "m.onnx", **beside)
    return folder / "m.onnx"


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


def overwrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


CHANGES = [truncate, replace, overwrite, Path.unlink]


def feeds(path: Path, change: object) -> Iterator[dict[str, np.ndarray]]:
    for i in range(20):
        if i == 10:
            change(path)  # pyright: ignore[reportCallIssue]
        yield {"x": DATA[2 * i : 2 * i + 2]}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("external", [False, True])
def test_small_files_are_read_once(external: bool, change: object, tmp_path: Path) -> None:
    path = saved(tmp_path, external=external)
    expected = relu_audit.audit(path, {"x": DATA})
    changed = path.with_name("m.bin") if external else path
    sha = hashlib.sha256(changed.read_bytes()).hexdigest()
    found = relu_audit.audit(path, feeds(changed, change))
    assert [one.sha256 for one in found.model.external] == ([sha] if external else [])
    assert external or found.model.sha256 == sha
    assert [site.dead for site in found.sites] == [site.dead for site in expected.sites]
    assert found.model == expected.model


@pytest.mark.parametrize("change", CHANGES[1:], ids=lambda change: change.__name__)
@pytest.mark.parametrize("external", [False, True])
def test_large_files_that_change_are_refused(
    external: bool, change: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relu_audit.model.files.SMALL", 0)
    path = saved(tmp_path, external=external)
    with pytest.raises(AuditError, match="was changed while it was read") as caught:
        relu_audit.audit(path, feeds(path.with_name("m.bin") if external else path, change))
    assert caught.value.slug == "model-changed"


def test_a_model_that_was_changed_before_it_was_opened_again_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, external=False)
    first = open_checkpoint(path)
    first.check(open_checkpoint(path))
    overwrite(path)
    with pytest.raises(AuditError, match="was changed"):
        open_checkpoint_again(path, first)


def open_checkpoint_again(path: Path, first: object) -> None:
    onnx.save(mlp((4, 21, 3)), path)
    open_checkpoint(path).check(first)  # pyright: ignore[reportArgumentType]


def test_weights_beside_the_file_stay_there_when_it_is_pruned(tmp_path: Path) -> None:
    path = saved(tmp_path, external=True)
    assert open_checkpoint(path).outside == {"w0", "b0", "w1", "b1"}
