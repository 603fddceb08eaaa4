"""Calibration data: every way to store it is read alike, fitted to the model's inputs, and refused in plain words."""

from __future__ import annotations

import io
import pickle
import re
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from relu_audit import Audit, AuditError, audit
from relu_audit.cli import run
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.observe.dataset import Batch, Dataset
from relu_audit.records import DataInfo
from tests.graphs import chosen_inputs, graph

EYE = np.eye(4, dtype=np.float32)
X = np.random.default_rng(0).standard_normal((11, 4)).astype(np.float32)
MORE = np.random.default_rng(1).standard_normal((5, 11, 4)).astype(np.float32)


def open_batch() -> onnx.ModelProto:
    """Unit i rectifies column i, so that numpy can tell what an audit must count."""
    return graph("float[n, 4] x", "float[n, 4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": EYE})


def fixed_batch() -> onnx.ModelProto:
    return graph("float[4, 4] x", "float[4, 4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": EYE})


def no_batch() -> onnx.ModelProto:
    return graph("float[4] x", "float[4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": EYE})


def second_axis() -> onnx.ModelProto:
    """Batch on axis 1 of ``x``, which the symbol it shares with axis 0 of ``z`` tells."""
    body = "h = MatMul (x, w)\n k = Add (h, z)\n y = Relu (k)"
    return graph("float[5, n, 4] x, float[n, 4] z", "float[5, n, 4] y", body, {"w": EYE})


def with_scalar() -> onnx.ModelProto:
    body = "h = MatMul (x, w)\n k = Add (h, s)\n y = Relu (k)"
    return graph("float[n, 4] x, float s", "float[n, 4] y", body, {"w": EYE})


def with_table() -> onnx.ModelProto:
    """Beside the samples a fixed table, whose sum is added to all of them."""
    body = "s = ReduceSum <keepdims = 0> (a)\n h = MatMul (x, w)\n k = Add (h, s)\n y = Relu (k)"
    return graph("float[n, 4] x, float[3, 2] a", "float[n, 4] y", body, {"w": EYE})


def casting(kind: str) -> onnx.ModelProto:
    body = "c = Cast <to = 1> (x)\n h = MatMul (c, w)\n y = Relu (h)"
    return graph(f"{kind}[n, 4] x", "float[n, 4] y", body, {"w": EYE})


def dataset(model: onnx.ModelProto, data: object, **options: object) -> Dataset:
    return Dataset(data, chosen_inputs(normalize(open_checkpoint(model))), **options)


def read(model: onnx.ModelProto, data: object, size: int = 3, **options: object) -> tuple[list[Batch], DataInfo]:
    opened = dataset(model, data, **options)
    return list(opened.batches(size)), opened.info()


def fired(result: Audit) -> list[int]:
    return list(result.sites[0].fired_samples)


# How samples can be stored ------------------------------------------------------------------------------------------


def npz(folder: Path, x: np.ndarray) -> Path:
    np.savez(folder / "d.npz", x=x)
    return folder / "d.npz"


def npz_compressed(folder: Path, x: np.ndarray) -> Path:
    np.savez_compressed(folder / "d.npz", x=x)
    return folder / "d.npz"


def npz_fortran(folder: Path, x: np.ndarray) -> Path:
    np.savez(folder / "d.npz", x=np.asfortranarray(x))
    return folder / "d.npz"


def npz_compressed_fortran(folder: Path, x: np.ndarray) -> Path:
    np.savez_compressed(folder / "d.npz", x=np.asfortranarray(x))
    return folder / "d.npz"


def npz_nameless(folder: Path, x: np.ndarray) -> Path:
    np.savez(folder / "d.npz", x)
    return folder / "d.npz"


def npz_among_others(folder: Path, x: np.ndarray) -> Path:
    np.savez(folder / "d.npz", labels=np.arange(len(x) + 3), x=x, names=np.array(["a", "b"]))
    return folder / "d.npz"


def npy(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "d.npy", x)
    return folder / "d.npy"


def npy_fortran(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "d.npy", np.asfortranarray(x))
    return folder / "d.npy"


def npy_big_endian(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "d.npy", x.astype(x.dtype.newbyteorder(">")))
    return folder / "d.npy"


def npy_header_2(folder: Path, x: np.ndarray) -> Path:
    with (folder / "d.npy").open("wb") as file:
        np.lib.format.write_array(file, x, version=(2, 0))
    return folder / "d.npy"


def folder_of_npz(folder: Path, x: np.ndarray) -> Path:
    for i, part in enumerate(np.array_split(x, 11)):
        np.savez(folder / f"part_{i}.npz", x=part)
    return folder


def folder_of_npy(folder: Path, x: np.ndarray) -> Path:
    for i, part in enumerate(np.array_split(x, 11)):
        np.save(folder / f"{i}.npy", part)
    return folder


def folder_named_npy(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "x.npy", x)
    return folder


def test_sets(folder: Path, x: np.ndarray) -> Path:
    for i, row in enumerate(x):
        one = folder / f"test_data_set_{i}"
        one.mkdir()
        (one / "input_0.pb").write_bytes(numpy_helper.from_array(row[None], "x").SerializeToString())
        (one / "output_0.pb").write_bytes(b"not read")
    return folder


test_sets.__test__ = False


def test_set_alone(folder: Path, x: np.ndarray) -> Path:
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(x, "whatever").SerializeToString())
    return folder


test_set_alone.__test__ = False


def file_function(folder: Path, x: np.ndarray) -> str:
    np.save(folder / "rows.npy", x)
    code = f"import numpy as np\n\ndef feeds():\n    for row in np.load({str(folder / 'rows.npy')!r}):\n"
    (folder / "feeds.py").write_text(code + "        yield {'x': row[None]}\n", encoding="utf-8")
    return f"{folder / 'feeds.py'}:feeds"


def module_function(folder: Path, x: np.ndarray) -> str:
    file_function(folder, x)
    (folder / "feeds.py").rename(folder / "relu_audit_test_feeds.py")
    return "relu_audit_test_feeds:feeds"


def in_dict(folder: Path, x: np.ndarray) -> object:
    return {"x": x}


def in_array(folder: Path, x: np.ndarray) -> object:
    return x


def in_dicts(folder: Path, x: np.ndarray) -> object:
    return ({"x": part} for part in np.array_split(x, 4))


def in_arrays(folder: Path, x: np.ndarray) -> object:
    return [row[None] for row in x]


def in_tuples(folder: Path, x: np.ndarray) -> object:
    return iter([(x[:7],), (x[7:],)])


STORED = [
    npz,
    npz_compressed,
    npz_fortran,
    npz_compressed_fortran,
    npz_nameless,
    npz_among_others,
    npy,
    npy_fortran,
    npy_big_endian,
    npy_header_2,
    folder_of_npz,
    folder_of_npy,
    folder_named_npy,
    test_sets,
    test_set_alone,
    file_function,
    module_function,
    in_dict,
    in_array,
    in_dicts,
    in_arrays,
    in_tuples,
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("relu_audit_test_feeds", None)


@pytest.mark.parametrize("store", STORED, ids=lambda f: f.__name__)
def test_samples_give_the_same_results_and_hash_however_they_are_stored(store: Callable, here: Path) -> None:
    wanted = audit(open_batch(), {"x": X})
    found = audit(open_batch(), store(here, X))
    assert fired(found) == (X > 0).sum(axis=0).tolist()
    assert found.sites == wanted.sites
    assert found.data.samples == 11
    assert found.data.sha256 == wanted.data.sha256
    assert not found.data.synthetic
    assert found.data.inputs[0].cast is None
    assert found.notes == ()


@pytest.mark.parametrize("store", STORED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [1, 3, 11, 100])
def test_feeds_put_end_to_end_are_the_samples(store: Callable, size: int, here: Path) -> None:
    batches, info = read(open_batch(), store(here, X), size)
    assert np.array_equal(np.concatenate([b.feeds["x"] for b in batches]), X)
    assert [b.first for b in batches] == np.cumsum([0] + [b.samples for b in batches[:-1]]).tolist()
    assert all(b.samples <= size and not b.padded for b in batches)
    assert info.samples == 11


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(1, 5), min_size=1, max_size=8), size=st.integers(1, 9), limit=st.integers(1, 40))
def test_hash_does_not_depend_on_how_samples_are_cut(cuts: list[int], size: int, limit: int) -> None:
    x = np.arange(4 * sum(cuts), dtype=np.float32).reshape(-1, 4)
    pieces = np.split(x, np.cumsum(cuts)[:-1])
    cut, cut_info = read(open_batch(), iter(pieces), size, limit=limit)
    whole, whole_info = read(open_batch(), x[:limit], 100)
    assert cut_info.sha256 == whole_info.sha256
    assert np.array_equal(np.concatenate([b.feeds["x"] for b in cut]), whole[0].feeds["x"])


@pytest.mark.parametrize(
    "other",
    [X[::-1], X[:10], np.concatenate([X, X[:1]]), X + np.float32(1e-6), X.astype(np.float64), X.reshape(11, 1, 4)],
    ids=["order", "fewer", "more", "values", "dtype", "shape"],
)
def test_hash_tells_other_samples_apart(other: np.ndarray) -> None:
    model = graph("float[n, d, 4] x", "float[n, d, 4] y", "y = Relu (x)") if other.ndim == 3 else open_batch()
    assert read(model, {"x": other})[1].sha256 != read(open_batch(), {"x": X})[1].sha256


def test_hash_covers_every_feed_of_an_input_without_batch_axis() -> None:
    one, other = ([X[0], row] for row in (X[1], X[2]))
    assert read(no_batch(), one)[1].sha256 != read(no_batch(), other)[1].sha256


def test_hash_covers_every_scalar_of_a_series_of_feeds() -> None:
    one, other = ([{"x": X[:1], "s": np.float32(s)} for s in (1, last)] for last in (2, 3))
    assert read(with_scalar(), one)[1].sha256 != read(with_scalar(), other)[1].sha256


@pytest.mark.parametrize("size", [1, 2, 3, 7, 256])
def test_results_and_hash_do_not_depend_on_batch_size(size: int) -> None:
    found, wanted = audit(open_batch(), X, batch_size=size), audit(open_batch(), X)
    assert found.sites == wanted.sites
    assert found.data == wanted.data


@pytest.mark.parametrize("store", [folder_of_npz, folder_of_npy, test_sets], ids=lambda f: f.__name__)
def test_pieces_are_read_in_numeric_order(store: Callable, here: Path) -> None:
    x = np.zeros((11, 4), np.float32)
    x[[2, 9, 10, 1], range(4)] = 1
    assert audit(open_batch(), store(here, x)).sites[0].first_fired == (2, 9, 10, 1)


def test_test_sets_are_matched_by_name_and_else_by_position(tmp_path: Path) -> None:
    body = "h = MatMul (a, w)\n k = Sub (h, b)\n y = Relu (k)"
    model = graph("float[n, 4] a, float[n, 4] b", "float[n, 4] y", body, {"w": EYE})
    a, b = X[:1], X[1:2]
    for name, tensors in {"named": [(b, "b"), (a, "a")], "placed": [(a, "i"), (b, "j")]}.items():
        folder = tmp_path / name / "test_data_set_0"
        folder.mkdir(parents=True)
        for i, (array, label) in enumerate(tensors):
            (folder / f"input_{i}.pb").write_bytes(numpy_helper.from_array(array, label).SerializeToString())
        assert fired(audit(model, tmp_path / name)) == (a > b).sum(axis=0).tolist()


def test_ordinary_python_file_can_hold_the_function(tmp_path: Path) -> None:
    code = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np

@dataclass
class Settings:
    rows: int = 3

def feeds():
    return [np.ones((Settings().rows, 4), "f4")]
"""
    (tmp_path / "calibration.py").write_text(code, encoding="utf-8")
    assert audit(open_batch(), f"{tmp_path / 'calibration.py'}:feeds").data.samples == 3


def test_source_is_named_without_its_folder(tmp_path: Path) -> None:
    assert audit(open_batch(), npz(tmp_path, X)).data.source == "d.npz"
    assert audit(open_batch(), str(npz(tmp_path, X))).data.source == "d.npz"
    assert audit(open_batch(), X).data.source == "<memory>"


# How samples fit inputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_fixed_batch_is_honoured_and_padding_never_counts(count: int, pieces: int) -> None:
    x = -np.abs(X[:count])
    x[-1] = np.abs(X[count])  # only the last sample fires, so each padding row that counted would show
    parts = np.array_split(x, min(pieces, count))
    batches, _ = read(fixed_batch(), iter(parts))
    assert all(b.feeds["x"].shape == (4, 4) for b in batches)
    assert sum(b.samples for b in batches) == count
    site = audit(fixed_batch(), iter(parts)).sites[0]
    assert site.samples == site.positions == count
    assert site.fired_samples == site.fired_positions == (1, 1, 1, 1)
    assert site.first_fired == (count - 1,) * 4
    assert np.allclose(np.array(site.mean), np.maximum(x, 0).mean(axis=0), rtol=1e-5)
    assert np.array_equal(np.array(site.trough), np.maximum(x, 0).min(axis=0))


@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_padding_never_counts_at_positions(count: int) -> None:
    model = graph(
        "float[4, 2, 3] x", "float[4, 2, 4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": np.ones((3, 4), "f4")}
    )
    x = np.full((count, 2, 3), -1, np.float32)
    x[-1, 0] = 1
    site = audit(model, x).sites[0]
    assert (site.samples, site.positions) == (count, 2 * count)
    assert site.fired_samples == site.fired_positions == (1, 1, 1, 1)
    assert site.mean == pytest.approx([3 / (2 * count)] * 4, rel=1e-5)


@pytest.mark.parametrize(("count", "whole"), [(4, 1), (6, 1), (8, 2), (9, 2)])
def test_rows_that_fill_no_run_are_left_out_where_a_run_is_a_sample(count: int, whole: int) -> None:
    body = "s = ReduceSum <keepdims = 0> (x, axes)\n y = Relu (s)"
    model = graph("float[4, 4] x", "float[4] y", body, {"axes": np.array([0])})
    x = np.ones((count, 4), np.float32)
    x[4 * whole :] = 100
    found = audit(model, x)
    site = found.sites[0]
    assert (found.data.known, found.data.samples) == ("run", whole)
    assert (site.per_run, site.samples, site.positions) == (True, whole, whole)
    assert site.fired_positions == (whole,) * 4
    assert site.mean == (4.0,) * 4
    assert any("do not fill a run" in note for note in found.notes) == (count % 4 > 0)
    assert audit(model, x, limit=1).data.samples == 1


def test_fewer_rows_than_a_run_takes_are_refused_where_a_run_is_a_sample() -> None:
    body = "s = ReduceSum <keepdims = 0> (x, axes)\n y = Relu (s)"
    model = graph("float[4, 4] x", "float[4] y", body, {"axes": np.array([0])})
    with pytest.raises(AuditError, match="takes 4 in a run"):
        audit(model, np.ones((3, 4), np.float32))


def test_fixed_batch_gives_the_results_and_hash_of_an_open_one() -> None:
    fixed, opened = audit(fixed_batch(), X), audit(open_batch(), X)
    assert fixed.data.sha256 == opened.data.sha256
    assert fired(fixed) == fired(opened)
    assert fixed.runtime.batch_size == 4


def test_one_rank_more_holds_a_whole_feed_per_row() -> None:
    feeds = np.stack([X[:4], X[4:8], -np.abs(X[:4])])
    result = audit(fixed_batch(), feeds)
    assert result.data.inputs[0].feeding == "rows"
    assert result.data.samples == 3
    assert fired(result) == (feeds > 0).any(axis=1).sum(axis=0).tolist()


def test_rows_of_an_input_without_batch_axis_are_samples() -> None:
    result = audit(no_batch(), X)
    assert result.data.inputs[0].feeding == "rows"
    assert result.data.samples == 11
    assert fired(result) == (X > 0).sum(axis=0).tolist()


def test_own_shape_of_an_input_without_batch_axis_is_one_sample() -> None:
    result = audit(no_batch(), X[3])
    assert (result.data.inputs[0].feeding, result.data.samples) == ("repeated", 1)
    assert fired(result) == (X[3] > 0).astype(int).tolist()


def test_iterable_of_whole_feeds_is_as_many_samples() -> None:
    result = audit(no_batch(), (row for row in X))
    assert result.data.samples == 11
    assert fired(result) == (X > 0).sum(axis=0).tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 11])
@pytest.mark.parametrize("pieces", [1, 4])
def test_batch_axis_other_than_the_first_holds_samples(size: int, pieces: int) -> None:
    x, z = MORE, X
    axis = {"x": 1, "z": 0}
    cut = {name: np.array_split(array, pieces, axis[name]) for name, array in {"x": x, "z": z}.items()}
    data = {"x": x, "z": z} if pieces == 1 else ({"x": a, "z": b} for a, b in zip(*cut.values(), strict=True))
    result = audit(second_axis(), data, batch_size=size)
    assert result.data.samples == 11
    assert fired(result) == (x + z > 0).any(axis=0).sum(axis=0).tolist()
    assert result.sites[0].fired_positions == tuple((x + z > 0).sum(axis=(0, 1)).tolist())


@pytest.mark.parametrize("size", [1, 2, 3, 11])
def test_hash_does_not_depend_on_batches_along_another_axis(size: int) -> None:
    whole = read(second_axis(), {"x": MORE, "z": X}, 256)[1]
    assert read(second_axis(), {"x": MORE, "z": X}, size)[1].sha256 == whole.sha256


@pytest.mark.parametrize("count", [1, 2, 5])
def test_scalar_is_repeated_for_all_samples(count: int) -> None:
    result = audit(with_scalar(), {"x": X[:count], "s": np.float32(0.5)})
    assert [i.feeding for i in result.data.inputs] == ["samples", "repeated"]
    assert result.data.samples == count
    assert fired(result) == (X[:count] + 0.5 > 0).sum(axis=0).tolist()


def test_scalars_in_a_row_are_one_per_sample() -> None:
    shift = np.linspace(-1, 1, 11).astype(np.float32)
    for data in ({"x": X, "s": shift}, ({"x": X[i : i + 1], "s": shift[i]} for i in range(11))):
        result = audit(with_scalar(), data)
        assert result.data.samples == 11
        assert fired(result) == (X + shift[:, None] > 0).sum(axis=0).tolist()


def test_model_of_nothing_but_a_scalar_takes_a_row_of_them() -> None:
    model = graph("float s", "float[4] y", "h = Mul (s, w)\n y = Relu (h)", {"w": np.array([1, -1, 2, 0], "f4")})
    assert audit(model, np.float32(3)).data.samples == 1
    result = audit(model, np.array([1, -1, 2], np.float32))
    assert result.data.samples == 3
    assert fired(result) == [2, 1, 2, 0]


@pytest.mark.parametrize(("count", "limit"), [(1, None), (2, None), (3, None), (4, None), (11, None), (3, 2), (11, 2)])
def test_array_in_the_shape_of_a_fixed_input_is_repeated_for_all_samples(count: int, limit: int | None) -> None:
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    batches, info = read(with_table(), {"x": X[:count], "a": table}, limit=limit)
    assert info.samples == min(count, limit or count)
    assert all(np.array_equal(b.feeds["a"], table) for b in batches)
    assert np.array_equal(np.concatenate([b.feeds["x"][: b.samples] for b in batches]), X[: min(count, limit or count)])


def test_rows_that_cannot_stand_beside_a_fixed_batch_are_refused() -> None:
    body = "h = MatMul (x, w)\n k = Add (h, s)\n y = Relu (k)"
    model = graph("float[4, 4] x, float s", "float[4, 4] y", body, {"w": EYE})
    with pytest.raises(AuditError) as caught:
        audit(model, {"x": X, "s": np.zeros(11, np.float32)})
    assert caught.value.hint


def test_multiple_inputs_are_fed_side_by_side(tmp_path: Path) -> None:
    body = "h = MatMul (a, w)\n k = Sub (h, b)\n y = Relu (k)"
    model = graph("float[n, 4] a, float[n, 4] b", "float[n, 4] y", body, {"w": EYE})
    b = X[::-1]
    np.savez(tmp_path / "d.npz", b=b, a=X)
    for file in "a", "b":
        (tmp_path / "folder").mkdir(exist_ok=True)
        np.save(tmp_path / "folder" / f"{file}.npy", {"a": X, "b": b}[file])
    wanted = (b < X).sum(axis=0).tolist()
    sources = [
        tmp_path / "d.npz",
        tmp_path / "folder",
        {"a": X, "b": b},
        [(X, b)],
        zip(X[:, None], b[:, None], strict=True),
    ]
    results = [audit(model, data) for data in sources]
    assert [fired(r) for r in results] == [wanted] * 5
    assert len({r.data.sha256 for r in results}) == 1


def test_input_option_maps_an_array_to_an_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", features=X, x=-X)
    result = audit(open_batch(), tmp_path / "d.npz", inputs={"x": "features"})
    assert fired(result) == (X > 0).sum(axis=0).tolist()
    assert (result.data.inputs[0].name, result.data.inputs[0].key) == ("x", "features")


def test_what_was_fed_is_recorded(tmp_path: Path) -> None:
    info = audit(open_batch(), npz(tmp_path, X.astype(np.float64))).data.inputs[0]
    assert (info.name, info.key, info.dtype, info.shape) == ("x", "x", "float64", (11, 4))
    assert (info.feeding, info.cast) == ("samples", "float32")


# Types --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "taken", "onnx_name"),
    [
        ("float64", "float32", "float"),
        ("float16", "float32", "float"),
        ("uint8", "float32", "float"),
        ("int64", "float32", "float"),
        ("bool", "float32", "float"),
        ("float32", "float64", "double"),
        ("float32", "float16", "float16"),
        ("int32", "int64", "int64"),
        ("uint8", "int64", "int64"),
        ("int64", "int32", "int32"),
        ("int64", "uint8", "uint8"),
    ],
)
def test_casts_that_keep_values_are_done_and_said(stored: str, taken: str, onnx_name: str) -> None:
    x = np.abs(X * 3).astype(stored)
    model = casting(onnx_name)
    found, wanted = audit(model, x), audit(model, x.astype(taken))
    assert found.sites == wanted.sites
    assert found.data.inputs[0].cast == taken
    assert wanted.data.inputs[0].cast is None
    assert any(stored in note and taken in note and "'x'" in note for note in found.notes)
    assert wanted.notes == ()


@pytest.mark.parametrize(
    ("array", "onnx_name", "slug"),
    [
        (X, "int64", "data-dtype"),
        (X.astype(np.complex64), "float", "data-dtype"),
        (np.full((2, 4), "1"), "float", "data-dtype"),
        (np.zeros((2, 4), "datetime64[s]"), "int64", "data-dtype"),
        (np.zeros((2, 4), [("a", "f4")]), "float", "data-dtype"),
        (np.full((2, 4), 1e300), "float", "data-range"),
        (np.full((2, 4), 70000, np.float32), "float16", "data-range"),
        (np.full((2, 4), 70000), "float16", "data-range"),
        (np.full((2, 4), 2**40), "int32", "data-range"),
        (np.full((2, 4), -1), "uint8", "data-range"),
        (np.full((2, 4), 2**63, np.uint64), "int64", "data-range"),
        (np.full((2, 4), 2), "bool", "data-range"),
    ],
    ids=lambda v: v if isinstance(v, str) else str(v.dtype),
)
def test_casts_that_lose_values_are_refused(array: np.ndarray, onnx_name: str, slug: str) -> None:
    with pytest.raises(AuditError) as caught:
        audit(casting(onnx_name), array)
    assert caught.value.slug == slug
    assert caught.value.hint
    assert "'x'" in caught.value.message


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_nan_is_refused_in_every_float_type(dtype: type) -> None:
    x = X.astype(dtype)
    x[9, 2] = np.nan
    with pytest.raises(AuditError, match="sample 9") as caught:
        read(open_batch(), x)
    assert caught.value.slug == "data-nan"


def test_nan_is_placed_at_the_first_sample_that_holds_it_on_any_batch_axis() -> None:
    x = MORE.copy()
    x[0, 5] = x[1, 2] = np.nan
    with pytest.raises(AuditError, match="sample 2"):
        read(second_axis(), {"x": x, "z": X}, 11)


def test_nan_is_placed_right_behind_samples_that_are_all_the_same() -> None:
    x = np.ones((11, 4), np.float32)
    x[6, 1] = np.nan
    with pytest.raises(AuditError, match="sample 6"):
        audit(open_batch(), x)


def test_infinite_samples_are_no_reason_to_stop() -> None:
    x = X.copy()
    x[0, 0] = np.inf
    assert audit(open_batch(), x).data.samples == 11


# Limits, laziness, memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 11, 12])
@pytest.mark.parametrize("model", [open_batch, fixed_batch, no_batch])
@pytest.mark.parametrize("store", [npz, npy, in_dicts, in_arrays], ids=lambda f: f.__name__)
def test_limit_uses_the_first_samples_only(limit: int, model: Callable, store: Callable, tmp_path: Path) -> None:
    data = store(tmp_path, X) if model is not no_batch else list(X)
    result = audit(model(), data, limit=limit)
    assert result.data.samples == min(limit, 11)
    assert fired(result) == (X[:limit] > 0).sum(axis=0).tolist()
    if model is not no_batch:
        assert result.data.sha256 == audit(model(), X[:limit]).data.sha256


@pytest.mark.parametrize("at", [1, 5])
def test_nan_beyond_the_limit_does_not_matter(at: int) -> None:
    x = X.copy()
    x[at] = np.nan
    assert audit(open_batch(), x, limit=at).data.samples == at


def test_empty_pieces_hold_no_samples_and_do_no_harm() -> None:
    for pieces in ([X[:0], X], [X[:4], X[:0], X[4:]], [X, X[:0]]):
        assert fired(audit(open_batch(), iter(pieces))) == (X > 0).sum(axis=0).tolist()


def test_limit_ends_an_endless_iterable() -> None:
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield X[:2]

    assert audit(open_batch(), endless(), limit=7).data.samples == 7


def test_feeds_are_drawn_as_they_are_needed() -> None:
    drawn = []

    def feeds() -> Iterator[np.ndarray]:
        for i, row in enumerate(X):
            drawn.append(i)
            yield row[None]

    for seen, _ in enumerate(dataset(open_batch(), feeds()).batches(4)):
        assert len(drawn) <= seen + 2


@pytest.mark.parametrize("store", [npz, npz_compressed, npy, in_dicts], ids=lambda f: f.__name__)
def test_memory_does_not_grow_with_the_samples(store: Callable, tmp_path: Path) -> None:
    model = graph("float[n, 1024] x", "float[n, 1024] y", "y = Relu (x)")
    data = store(tmp_path, np.zeros((6000, 1024), np.float32))  # 24 MB; a batch of 128 is half a megabyte
    if store is in_dicts:
        data = ({"x": np.zeros((100, 1024), np.float32)} for _ in range(60))
    tracemalloc.start()
    try:
        for _ in dataset(model, data).batches(128):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


# Made-up data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [open_batch, fixed_batch, no_batch, second_axis, with_scalar, with_table], ids=lambda f: f.__name__
)
def test_random_data_fits_every_model_and_is_the_same_every_time(model: Callable) -> None:
    first, second = audit(model(), "random:7"), audit(model(), "random:7", batch_size=2)
    assert first.data.samples == 7
    assert first.data.synthetic
    assert first.sites == second.sites
    assert first.data == audit(model(), "random:7").data


@pytest.mark.parametrize("size", [1, 4, 256])
def test_random_data_is_the_same_however_it_is_cut(size: int) -> None:
    batches, info = read(open_batch(), "random:21", size)
    whole, whole_info = read(open_batch(), "random:21", 100)
    assert np.array_equal(np.concatenate([b.feeds["x"] for b in batches]), whole[0].feeds["x"])
    assert info.sha256 == whole_info.sha256


def test_random_inputs_differ_from_each_other_and_have_both_signs() -> None:
    model = graph("float[n, 4] a, float[n, 4] b", "float[n, 4] y", "k = Add (a, b)\n y = Relu (k)")
    (batch,), _ = read(model, "random:64", 64)
    a, b = batch.feeds["a"], batch.feeds["b"]
    assert not np.array_equal(a, b)
    assert all((array < 0).any() and (array > 0).any() for array in (a, b))


@pytest.mark.parametrize(("kind", "dtype"), [("int64", np.int64), ("bool", np.bool_), ("float16", np.float16)])
def test_random_data_has_the_input_s_type(kind: str, dtype: type) -> None:
    batches, _ = read(casting(kind), "random:5", 5)
    assert batches[0].feeds["x"].dtype == dtype


@pytest.mark.parametrize("limits", [{"max_dead": 1.0}, {"max_dead_layer": 1.0}, {"max_dead": 0.0}])
def test_random_data_is_never_enough_for_a_gate(limits: dict[str, float]) -> None:
    gate = audit(open_batch(), "random:300", min_samples=1, **limits).gate
    assert gate.outcome == "inconclusive"
    assert gate.reasons


# What is refused ----------------------------------------------------------------------------------------------------


def save(**arrays: np.ndarray) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        np.savez(folder / "d.npz", **arrays)
        return "d.npz"

    return make


def raw(name: str, content: bytes | str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return make


def code(body: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "feeds.py").write_text("import numpy as np\nimport sys\n" + body, encoding="utf-8")
        return "feeds.py:feeds"

    return make


def text(data: str) -> Callable[[Path], str]:
    return lambda folder: data


def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return "empty"


def dangling_link(folder: Path) -> str:
    (folder / "links").mkdir()
    (folder / "links" / "a.npz").symlink_to(folder / "nowhere.npz")
    return "links"


def folder_named_like_a_file(folder: Path) -> str:
    (folder / "outer" / "a.npz").mkdir(parents=True)
    return "outer"


def broken_test_set(content: bytes | None) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "sets" / "test_data_set_0").mkdir(parents=True)
        if content is not None:
            (folder / "sets" / "test_data_set_0" / "input_0.pb").write_bytes(content)
        return "sets"

    return make


def zip_bytes(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def in_zip_header(offset: int, value: int) -> Callable[[Path], str]:
    """A zip whose local and central headers both hold ``value`` in the field at the local header's ``offset``."""

    def make(folder: Path) -> str:
        content = bytearray(zip_bytes(x=X))
        central = content.index(b"PK\1\2")
        content[offset] = content[central + offset + 2] = value
        (folder / "d.npz").write_bytes(content)
        return "d.npz"

    return make


def promising_more_than_it_holds(folder: Path) -> str:
    """A whole zip, checksums and all, of an array whose header claims twice its rows."""
    with zipfile.ZipFile(folder / "d.npz", "w") as archive:
        archive.writestr("x.npy", npy_bytes(np.concatenate([X, X]))[: -X.nbytes])
    return "d.npz"


NAN = X.copy()
NAN[6, 1] = np.nan
OBJECTS = np.array([np.zeros(1), np.zeros(2)], dtype=object)
UNKNOWN_TYPE = onnx.TensorProto(dims=[1, 4], data_type=99, raw_data=bytes(16), name="x").SerializeToString()

REFUSED = {
    # name: how it is made, slug, what the message must say was found and what was expected
    "wrong name": (save(image=X), "data-name", ["'image'", "'x'"]),
    "two unnamed arrays": (save(arr_0=X, arr_1=X), "data-name", ["'arr_0'", "'x'"]),
    "wrong shape": (save(x=np.zeros((5, 3), "f4")), "data-shape", ["[5, 3]", "[n, 4]"]),
    "one sample without its batch axis": (save(x=X[0]), "data-shape", ["[4]", "[n, 4]"]),
    "two ranks more": (save(x=np.zeros((2, 3, 5, 4), "f4")), "data-shape", ["[2, 3, 5, 4]", "[n, 4]"]),
    "scalar for samples": (save(x=np.float32(1)), "data-shape", ["[]", "[n, 4]"]),
    "text": (save(x=np.full((2, 4), "a")), "data-dtype", ["str", "float32"]),
    "complex": (save(x=X.astype("c8")), "data-dtype", ["complex64", "float32"]),
    "too large": (save(x=np.full((2, 4), 1e300)), "data-range", ["'x'", "float32"]),
    "NaN": (save(x=NAN), "data-nan", ["NaN", "sample 6"]),
    "no samples": (save(x=X[:0]), "data-empty", ["d.npz"]),
    "no samples in npy": (raw("d.npy", npy_bytes(X[:0])), "data-empty", ["d.npy"]),
    "no arrays": (save(), "data-empty", ["d.npz"]),
    "empty npz": (raw("d.npz", b""), "data-damaged", ["d.npz"]),
    "empty npy": (raw("d.npy", b""), "data-damaged", ["d.npy"]),
    "objects in npz": (save(x=OBJECTS), "data-pickled", ["objects", "'x'"]),
    "objects in npy": (raw("d.npy", npy_bytes(OBJECTS)), "data-pickled", ["objects", "d.npy"]),
    "pickle as npy": (raw("d.npy", pickle.dumps(X)), "data-damaged", ["d.npy"]),
    "pickle as npz": (raw("d.npz", pickle.dumps(X)), "data-damaged", ["d.npz"]),
    "pickle": (raw("d.pkl", pickle.dumps(X)), "data-kind", ["d.pkl"]),
    "text file": (raw("d.csv", "1,2,3,4"), "data-kind", ["d.csv"]),
    "text named npz": (raw("d.npz", "1,2,3,4"), "data-damaged", ["d.npz"]),
    "truncated npz": (raw("d.npz", zip_bytes(x=X)[:-30]), "data-damaged", ["d.npz"]),
    "truncated npy": (raw("d.npy", npy_bytes(X)[:-3]), "data-damaged", ["d.npy"]),
    "npy cut within its header": (raw("d.npy", npy_bytes(X)[:50]), "data-damaged", ["d.npy"]),
    "npy with a broken header": (
        raw("d.npy", npy_bytes(X).replace(b"{'descr'", b"({'desc'")),
        "data-damaged",
        ["d.npy"],
    ),
    "encrypted npz": (in_zip_header(6, 1), None, ["d.npz"]),
    "npz of unknown compression": (in_zip_header(8, 77), None, ["d.npz"]),
    "npz of an array that is too short": (promising_more_than_it_holds, "data-damaged", ["d.npz", "'x'"]),
    "missing npz": (text("gone.npz"), "data-not-found", ["gone.npz"]),
    "missing folder": (text("gone"), "data-not-found", ["gone"]),
    "endless name": (text("a" * 5000), None, ["aaa"]),
    "empty folder": (empty_folder, "data-empty", ["empty"]),
    "dangling link": (dangling_link, None, ["a.npz"]),
    "folder named like a file": (folder_named_like_a_file, None, ["a.npz"]),
    "test set without inputs": (broken_test_set(None), None, ["test_data_set_0"]),
    "empty test set input": (broken_test_set(b""), "data-damaged", ["input_0.pb"]),
    "broken test set input": (broken_test_set(b"\xff" * 40), "data-damaged", ["input_0.pb"]),
    "test set input of unknown type": (broken_test_set(UNKNOWN_TYPE), "data-damaged", ["input_0.pb"]),
    "random without a number": (text("random:many"), "data-kind", ["random:many"]),
    "random of none": (text("random:0"), "data-kind", ["random:0"]),
    "random of a digit that is no number": (text("random:\N{SUPERSCRIPT TWO}"), "data-kind", ["random:"]),
    "missing module": (text("no_such_module_here:feeds"), "data-code", ["no_such_module_here"]),
    "missing file": (text("gone.py:feeds"), "data-not-found", ["gone.py"]),
    "missing function": (code("other = 1\n"), "data-not-found", ["feeds"]),
    "function that is a number": (code("feeds = 1\n"), "data-not-found", ["feeds"]),
    "syntax error": (code("def feeds(:\n"), "data-code", ["SyntaxError"]),
    "import that raises": (code("raise ValueError('one\\ntwo')\n"), "data-code", ["ValueError", "one"]),
    "function that raises": (code("def feeds():\n    raise KeyError('one')\n"), "data-code", ["KeyError", "one"]),
    "generator that raises": (
        code("def feeds():\n    yield np.ones((1, 4), 'f4')\n    raise OSError('one\\ntwo')\n"),
        "data-code",
        ["OSError", "one"],
    ),
    "function with arguments": (code("def feeds(n):\n    return []\n"), "data-code", ["feeds"]),
    "no feeds": (code("def feeds():\n    return []\n"), "data-empty", ["feeds"]),
    "a number for feeds": (code("def feeds():\n    return 3\n"), "data-kind", ["int"]),
    "nothing for feeds": (code("def feeds():\n    pass\n"), "data-kind", ["None"]),
    "objects for feeds": (code("def feeds():\n    return [object()]\n"), "data-kind", ["object"]),
    "nothing for a feed": (code("def feeds():\n    return [None]\n"), "data-kind", ["feed 0", "no arrays"]),
    "misnamed feed": (code("def feeds():\n    return [{'z': np.ones((1, 4), 'f4')}]\n"), "data-name", ["'z'", "'x'"]),
    "exit at import": (code("sys.exit(0)\n"), None, ["feeds.py"]),
    "exit in the function": (code("def feeds():\n    sys.exit(0)\n"), None, ["feeds"]),
    "exit in the generator": (
        code("def feeds():\n    yield np.ones((1, 4), 'f4')\n    sys.exit(0)\n"),
        None,
        ["feeds"],
    ),
}


@pytest.mark.parametrize(("make", "slug", "said"), REFUSED.values(), ids=REFUSED)
def test_unusable_data_is_refused_in_one_line_with_a_hint(
    make: Callable, slug: str | None, said: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(open_batch(), here / "m.onnx")
    data = make(here)
    assert run(["m.onnx", "--data", data, "--max-dead", "100%"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    message, hint = err.splitlines()  # one line that says what is wrong and one that says what to do
    found = re.fullmatch(r"error: (.+) \[([a-z]+(?:-[a-z]+)*)\]", message)
    assert found, message
    assert all(word in found[1] for word in said), message
    assert slug in (None, found[2])
    assert hint.strip()


def test_arrays_of_different_lengths_are_refused_with_their_lengths() -> None:
    model = graph("float[n, 4] a, float[n, 4] b", "float[n, 4] y", "k = Add (a, b)\n y = Relu (k)")
    with pytest.raises(AuditError, match=r"'a' 11.*'b' 7") as caught:
        audit(model, {"a": X, "b": X[:7]})
    assert (caught.value.slug, bool(caught.value.hint)) == ("data-shape", True)


def test_second_piece_must_fit_too() -> None:
    with pytest.raises(AuditError) as caught:
        audit(open_batch(), iter([X, X[:, :3]]))
    assert caught.value.slug == "data-shape"
    assert "[11, 3]" in caught.value.message


def counts_or_refusal(model: onnx.ModelProto, data: object) -> list[int] | str:
    try:
        return fired(audit(model, data))
    except AuditError as error:
        return error.slug


def test_pieces_that_hold_samples_in_different_ways_are_each_read_right_or_refused() -> None:
    pieces = [X[:3], np.stack([X[3:6], X[6:9]])]  # three samples, then two whole feeds of three
    whole_feeds = (X[:3] > 0).sum(axis=0) + np.stack([X[3:6] > 0, X[6:9] > 0]).any(axis=1).sum(axis=0)
    assert counts_or_refusal(open_batch(), iter(pieces)) in (whole_feeds.tolist(), "data-shape")


def test_scalar_that_becomes_a_row_of_them_is_read_right_or_refused() -> None:
    pieces = [{"x": X[:3], "s": np.float32(0)}, {"x": X[3:7], "s": np.array([100, -100, -100, -100], np.float32)}]
    wanted = ((X[:3] > 0).sum(axis=0) + 1).tolist()
    assert counts_or_refusal(with_scalar(), iter(pieces)) in (wanted, "data-shape")


@pytest.mark.parametrize("data", [3, 2.5, object()])
def test_objects_that_are_no_data_are_refused(data: object) -> None:
    with pytest.raises(AuditError) as caught:
        audit(open_batch(), data)
    assert caught.value.slug == "data-kind"
    assert type(data).__name__ in caught.value.message


def test_input_mapped_to_an_array_that_is_not_there_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", X)
    with pytest.raises(AuditError, match="'features'") as caught:
        audit(open_batch(), tmp_path / "d.npz", inputs={"x": "features"})
    assert caught.value.slug == "data-name"


def test_mapping_of_an_input_that_is_not_there_is_refused() -> None:
    with pytest.raises(AuditError, match=r"'image'.*x") as caught:
        audit(open_batch(), X, inputs={"image": "x"})
    assert caught.value.slug == "data-name"


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["d.npz", "d.npy", "d.pkl", "folder/d.npz", "folder/d.npy"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_pickles_are_never_unpickled(name: str, wrapped: bool, tmp_path: Path) -> None:
    mark, file = tmp_path / "exploded", tmp_path / name
    file.parent.mkdir(exist_ok=True)
    bomb = np.array([Bomb(mark)], dtype=object)
    if not wrapped or name.endswith("pkl"):
        file.write_bytes(pickle.dumps(Bomb(mark)))
    elif name.endswith("npz"):
        np.savez(file, x=bomb)
    else:
        np.save(file, bomb)
    with pytest.raises(AuditError):
        audit(open_batch(), file.parent if "/" in name else file)
    assert not mark.exists()


def outcome(content: bytes, file: Path) -> str:
    """What reading some bytes comes to: ``read`` or the slug of the error; anything but an AuditError escapes."""
    file.write_bytes(content)
    try:
        read(open_batch(), file, 2)
    except AuditError as error:
        return error.slug if error.hint and "\n" not in error.message else f"not in one line and a hint: {error!r}"
    return "read"


def compressed(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, x=x)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [("d.npz", zip_bytes(x=X[:3])), ("d.npz", compressed(X[:3])), ("d.npy", npy_bytes(X[:3]))],
    ids=["npz", "compressed npz", "npy"],
)
class TestDamagedFile:
    def test_file_cut_short_anywhere_is_refused(self, name: str, content: bytes, tmp_path: Path) -> None:
        found = {outcome(content[:cut], tmp_path / name) for cut in range(len(content))}
        assert found == {"data-damaged"}

    def test_file_with_any_one_bit_wrong_is_read_or_refused(self, name: str, content: bytes, tmp_path: Path) -> None:
        bits = np.random.default_rng(0).permutation(8 * len(content))[:600].tolist()
        for bit in bits:
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            assert re.fullmatch("read|[a-z]+-[a-z]+", outcome(bytes(damaged), tmp_path / name))


def test_values_damaged_within_a_zip_are_noticed(tmp_path: Path) -> None:
    content = bytearray(zip_bytes(x=X))
    content[content.index(X.tobytes()) + 40] ^= 4
    assert outcome(bytes(content), tmp_path / "d.npz") == "data-damaged"


def test_zip_with_other_members_is_read(tmp_path: Path) -> None:
    file = npz(tmp_path, X)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("README.txt", "calibration data")
    assert audit(open_batch(), file).data.samples == 11
