"""Small inputs that earlier versions handled wrongly, with what is right: the shared cases, held against their README.

The cases are not part of the project; point CASES_OF_MODELS at them, or keep them in ../shared/cases.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from relu_audit import audit, cli, prune
from relu_audit.cli import Exit
from relu_audit.errors import AuditError, ModelError
from relu_audit.records import Audit
from tests.together import exposed

CASES = Path(os.environ.get("CASES_OF_MODELS", Path(__file__).parents[2] / "shared" / "cases"))

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")


@dataclass(frozen=True)
class Right:
    """What is right of one run.

    Attributes:
        model: The model, below the folder of cases.
        data: The data.
        samples: How many samples there are.
        dead: Dead units by site.
        options: Further options of the audit.
        removed: Units that pruning takes, where it is tried; None where it is not.
    """

    model: str
    data: str
    samples: int
    dead: Mapping[str, tuple[int, ...]]
    options: Mapping[str, Any] = field(default_factory=dict)
    removed: int | None = None


RIGHT = {
    "positions of one axis": Right(
        "01_positions_1d/model.onnx", "01_positions_1d/data.npz", 300, {"r": (0, 1, 3, 6, 22, 23)}, removed=6
    ),
    "the same as rows": Right(
        "01_positions_1d/model.onnx", "01_positions_1d/rows.npz", 300, {"r": (0, 1, 3, 6, 22, 23)}, removed=6
    ),
    "with a mask": Right("01_positions_1d/with_mask.onnx", "01_positions_1d/with_mask.npz", 300, {"r": (1, 6)}),
    "with as many samples as places": Right(
        "01_positions_1d/with_mask.onnx", "01_positions_1d/with_mask_6x6.npz", 6, {"r": (1, 6)}
    ),
    "a square mask": Right("02_square_mask/model.onnx", "02_square_mask/data.npz", 300, {"r": (1, 6)}),
    "batch statistics of one feed": Right(
        "05_batchnorm_training/conv.onnx", "05_batchnorm_training/conv.npz", 1, {"r": (1, 7)}, {"samples": "feeds"}
    ),
    "dropout in training": Right("06_dropout_training/model.onnx", "06_dropout_training/data.npz", 300, {"r": (0, 9)}),
    "a sparse initializer": Right(
        "07_sparse_weights/initializer.onnx", "07_sparse_weights/data.npz", 300, {"r": (1, 6)}
    ),
    "a sparse constant": Right("07_sparse_weights/constant.onnx", "07_sparse_weights/data.npz", 300, {"r": (1, 6)}),
    "nodes in any order": Right(
        "08_unsorted_nodes/model.onnx", "08_unsorted_nodes/data.npz", 300, {"r": (1, 6)}, removed=2
    ),
    "a sequence": Right("09_split_to_sequence/model.onnx", "09_split_to_sequence/data.npz", 300, {"r": (1, 6)}),
    "an imputer of NaN": Right("13_imputer_nan/model.onnx", "13_imputer_nan/data.npz", 300, {"r": (1, 6)}),
    "recordings": Right("19_frames/model.onnx", "19_frames/data", 40, {"r": (2, 5), "r2": ()}, removed=2),
}


def path(name: str) -> Path:
    return CASES / name


@pytest.mark.parametrize("name", RIGHT)
def test_dead_units_are_those_of_the_user_s_own_feeds(name: str) -> None:
    right = RIGHT[name]
    found = audit(path(right.model), str(path(right.data)), **right.options)
    assert found.data.samples == right.samples
    assert {site.tensor: site.dead for site in found.sites} == right.dead


@pytest.mark.parametrize("name", [name for name, right in RIGHT.items() if right.removed is not None])
def test_pruning_keeps_every_feed_as_it_was(name: str) -> None:
    right = RIGHT[name]
    found = audit(path(right.model), str(path(right.data)), **right.options)
    pruned = prune(path(right.model), found, data=str(path(right.data)), align=1)
    assert len(pruned.plan.removed) == right.removed
    before, after = (exposed(model, []) for model in (onnx.load(path(right.model)), pruned.model))
    for feeds in _feeds(path(right.data), [value.name for value in before.get_inputs()]):
        for a, b in zip(before.run(None, feeds), after.run(None, feeds), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def _feeds(data: Path, names: list[str]) -> list[dict[str, np.ndarray]]:
    """The data as the user has it: a folder's files one by one, an archive as a whole, its rows as feeds."""
    if data.is_dir():
        return [{names[0]: np.load(file)} for file in sorted(data.glob("*.npy"))]
    arrays = dict(np.load(data))
    if data.name == "rows.npz":
        return [{name: array[i] for name, array in arrays.items()} for i in range(8)]
    return [arrays]


@pytest.mark.parametrize("name", ["model", "conv"])
def test_batch_statistics_are_refused_for_a_stack_and_never_pruned_by(name: str) -> None:
    model = path(f"05_batchnorm_training/{name}.onnx")
    data = path(f"05_batchnorm_training/{'data' if name == 'model' else 'conv'}.npz")
    with pytest.raises(AuditError) as caught:
        audit(model, str(data))
    assert caught.value.slug == "samples-mixed"
    arrays = dict(np.load(data))
    batches = [{k: v[i : i + 64] for k, v in arrays.items()} for i in range(0, len(next(iter(arrays.values()))), 64)]
    found = audit(model, iter(batches))
    assert (found.data.known, found.sites[0].dead) == ("feeds", (1, 7))
    with pytest.raises(ModelError) as refused:
        prune(model, found, data=iter(batches))
    assert refused.value.slug == "training-mode"


def test_random_numbers_are_said_and_a_pruning_by_them_is_checked() -> None:
    model, data = path("06_dropout_training/model.onnx"), str(path("06_dropout_training/data.npz"))
    found = audit(model, data)
    assert any("random" in note for note in found.notes)
    assert audit(model, data) == found
    pruned = prune(model, found, data=data, align=1)
    assert pruned.verification is not None
    assert pruned.verification.passed


def run(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


def test_experts_are_at_least_listed() -> None:
    code = run(
        path("10_mixture_of_experts/model.onnx"), "--data", path("10_mixture_of_experts/data.npz"), "--require-observed"
    )
    assert code == Exit.FAILED


@pytest.mark.parametrize("name", ["quantised", "float"])
def test_recurrent_operators_are_seen_in_either_form(name: str) -> None:
    found = audit(path(f"11_quantised_lstm/{name}.onnx"), str(path("11_quantised_lstm/data.npz")))
    assert found.data.samples == 300
    assert found.skipped or [len(site.dead) for site in found.sites] == [1]


def test_one_function_in_two_spellings_has_one_verdict() -> None:
    verdicts: list[Audit] = [
        audit(path(f"14_hard_sigmoid/{name}.onnx"), str(path("14_hard_sigmoid/data.npz")))
        for name in ("operator", "clip")
    ]
    gates = [found.sites[-1].dead for found in verdicts]
    assert gates == [(1, 2, 4, 5)] * 2


def test_a_layer_that_was_renamed_is_found_worse(tmp_path: Path) -> None:
    for name in ("ren1", "ren2"):
        run(
            path(f"15_renamed_layer/{name}.onnx"),
            "--data",
            path("15_renamed_layer/data.npz"),
            "--json",
            tmp_path / name,
        )
    code = run("compare", tmp_path / "ren1", tmp_path / "ren2", "--fail-on-worse")
    assert code == Exit.FAILED


def test_an_optional_input_is_left_out_and_a_sequence_is_named() -> None:
    folder = path("17_optional_and_sequence_inputs")
    assert audit(folder / "optional.onnx", str(folder / "optional.npz")).sites
    with pytest.raises(AuditError, match="sequence"):
        audit(folder / "sequence.onnx", str(folder / "sequence.npz"))
