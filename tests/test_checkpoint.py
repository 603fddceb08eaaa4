"""What is opened, what is refused and in which words; and that nothing but the model's own folder is read."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from relu_audit import AuditError, audit
from relu_audit.errors import ModelError
from relu_audit.model.checkpoint import open_checkpoint
from tests.graphs import graph, mlp
from tests.oracle import assert_all_agree, one_by_one, oracle

X = {"x": np.random.default_rng(0).integers(-3, 4, (10, 6)).astype(np.float32)}
W = np.random.default_rng(1).integers(-2, 3, (6, 5)).astype(np.float32)


def layer(**names: str) -> onnx.ModelProto:
    """One hidden layer, whose values may be named otherwise; two results, so that every name is of some use."""
    x, w, h, y, z = (names.get(name, name) for name in "xwhyz")
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", [x, w], [h], name=names.get("first", "")),
                helper.make_node("Relu", [h], [y], name=names.get("second", "")),
                helper.make_node("Clip", [y, "zero", "one"], [z], name=names.get("third", "")),
            ],
            "g",
            [helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, ["n", 6])],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 5]) for name in (y, z)],
            [onnx.numpy_helper.from_array(W, w)]
            + [onnx.numpy_helper.from_array(np.float32(number), name) for name, number in (("zero", 0), ("one", 1))],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def refused(source: str | Path | bytes | onnx.ModelProto, slug: str) -> ModelError:
    """The refusal, which must be of one line with a hint, and no traceback of anything else."""
    with pytest.raises(ModelError) as caught:
        audit(source, X)
    assert caught.value.slug == slug, str(caught.value)
    assert "\n" not in caught.value.message
    return caught.value


# Files that are no models --------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.onnx" in refused(tmp_path / "nowhere.onnx", "model-not-found").message


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path, "model-not-found").message


@pytest.mark.parametrize("content", [b"", b"\x00", b"hello", bytes(range(256)), b"PK\x03\x04" + b"\x00" * 60])
def test_other_bytes_are_not_onnx_from_a_file_or_from_memory(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert refused(path, "not-onnx").hint
    assert refused(content, "not-onnx").hint


def test_every_way_of_cutting_a_model_short_is_noticed() -> None:
    whole = layer().SerializeToString()
    open_checkpoint(whole)
    for length in range(len(whole)):
        with pytest.raises(ModelError):
            open_checkpoint(whole[:length])


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(st.integers(0, len(layer().SerializeToString()) - 1), st.integers(0, 255))
def test_a_byte_that_is_wrong_gives_an_audit_or_an_error_of_ours(at: int, byte: int) -> None:
    damaged = bytearray(layer().SerializeToString())
    damaged[at] = byte
    try:
        open_checkpoint(bytes(damaged))
    except AuditError as error:
        assert error.slug  # noqa: PT017 - either is fine, but nothing else


def test_a_model_without_an_operator_set_is_refused() -> None:
    model = layer()
    del model.opset_import[:]
    assert "opset_import" in refused(model, "no-opset").message
    assert "opset_import" in refused(model.SerializeToString(), "no-opset").message


@pytest.mark.parametrize(
    "body",
    [
        "y = Relu ()",
        "y = MatMul (x)\n z = Relu (y)",
        "y = PRelu (x)",
        "y = Sigmoid ()",
        "y = Gather (x)\n z = Relu (y)",
        "y = Einsum (x)\n z = Relu (y)",
        "y = Transpose <perm = [5, 7]> (x)\n z = Relu (y)",
        "y = Concat <axis = 9> (x, x)\n z = Relu (y)",
        "y = Reshape (x, zeros)\n z = Relu (y)",
        "y = Nope (x)\n z = Relu (y)",
        "y = MatMul (x, missing)\n z = Relu (y)",
        "y = Relu (x)\n y = Relu (x)",
    ],
)
def test_a_graph_that_is_not_valid_is_an_error_of_ours(body: str) -> None:
    weights = {"zeros": np.array([0, 0, 0, 0])} if "zeros" in body else {}
    with pytest.raises(AuditError):
        audit(graph("float[n, 6] x", "float[n, 6] y", body, weights), X)


@pytest.mark.parametrize("dims", [[7, 5], [6, 10], [6], [0, 5], [-6, 5]], ids=str)
def test_a_weight_whose_bytes_do_not_fill_its_shape_is_an_error_of_ours(dims: list[int]) -> None:
    model = layer()
    model.graph.initializer[0].dims[:] = dims
    with pytest.raises(AuditError):
        audit(model, X)


# Weights beside the model --------------------------------------------------------------------------------------------

Change = Callable[[dict[str, str], Path], None]


def beside(folder: Path, change: Change | None = None, *, location: str = "w.bin") -> Path:
    """A model with its weights in a file beside it, each entry of it possibly changed."""
    folder.mkdir(parents=True, exist_ok=True)
    model, blob = mlp((6, 5, 3), dead={0: (1, 4)}), bytearray()
    for tensor in model.graph.initializer:
        raw = onnx.numpy_helper.to_array(tensor).tobytes()
        blob.extend(bytes(-len(blob) % 64))
        entries = {"location": location, "offset": str(len(blob)), "length": str(len(raw))}
        blob.extend(raw)
        if change is not None:
            change(entries, folder)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.extend(onnx.StringStringEntryProto(key=k, value=v) for k, v in entries.items())
    (folder / "w.bin").write_bytes(blob)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def setting(**entries: str | None) -> Change:
    """Set entries of every external tensor, or drop them."""

    def change(found: dict[str, str], folder: Path) -> None:
        del folder
        for key, value in entries.items():
            if value is None:
                del found[key]
            else:
                found[key] = value

    return change


UNFILLED = {
    "no numbers": ([4, 6], onnx.TensorProto.FLOAT, []),
    "no numbers, and more than memory holds": ([1 << 40, 6], onnx.TensorProto.FLOAT, []),
    "more than any memory holds": ([1 << 62] * 9, onnx.TensorProto.FLOAT, []),
    "more axes than there are": ([1 << 62] * 300_000, onnx.TensorProto.FLOAT, []),
    "too few": ([2, 3], onnx.TensorProto.FLOAT, [1.0] * 5),
    "half of a complex number": ([2], onnx.TensorProto.COMPLEX64, [1.0] * 3),
    "whole numbers": ([5], onnx.TensorProto.INT64, []),
    "halves of bytes": ([5], onnx.TensorProto.INT4, [1] * 2),
    "texts": ([5], onnx.TensorProto.STRING, []),
}


@pytest.mark.parametrize("where", ["initializer", "constant", "body"])
@pytest.mark.parametrize(("dims", "kind", "numbers"), UNFILLED.values(), ids=UNFILLED)
def test_weight_without_its_numbers_is_refused_before_memory_is_asked_for(
    dims: list[int], kind: int, numbers: list[float], where: str
) -> None:
    tensor = onnx.TensorProto(name="u", dims=dims, data_type=kind)
    getattr(tensor, helper.tensor_dtype_to_field(kind)).extend(numbers)
    model = mlp((6, 5, 3))
    if where == "initializer":
        model.graph.initializer.append(tensor)
    else:
        constant = helper.make_node("Constant", [], ["c"], value=tensor)
        value = helper.make_tensor_value_info("c", kind, None)
        body = helper.make_graph([constant], "body", [], [value])
        branches = {"then_branch": body, "else_branch": body}
        model.graph.initializer.append(helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True]))
        node = constant if where == "constant" else helper.make_node("If", ["yes"], ["c"], **branches)
        model.graph.node.append(node)
    with pytest.raises(ModelError, match=r"its shape needs|has 300,000 axes") as caught:
        open_checkpoint(model)
    assert caught.value.slug == "invalid-model"


@pytest.mark.parametrize(
    ("dims", "kind", "numbers"),
    [
        ([], onnx.TensorProto.FLOAT, [1.0]),
        ([0, 1 << 40], onnx.TensorProto.FLOAT, []),
        ([2], onnx.TensorProto.COMPLEX64, [1.0] * 4),
        ([5], onnx.TensorProto.INT4, [1] * 3),
        ([3], onnx.TensorProto.FLOAT16, [1] * 3),
        ([3], onnx.TensorProto.BOOL, [1] * 3),
    ],
)
def test_weight_with_its_numbers_is_opened(dims: list[int], kind: int, numbers: list[float]) -> None:
    tensor = onnx.TensorProto(name="u", dims=dims, data_type=kind)
    getattr(tensor, helper.tensor_dtype_to_field(kind)).extend(numbers)
    model = mlp((6, 5, 3))
    model.graph.initializer.append(tensor)
    assert open_checkpoint(model).model.graph.initializers["u"].shape == dims


TWICE = {
    "by two nodes": ("h = MatMul (x, w)\n h = Relu (x)\n y = Relu (h)", "'h'.*an output of MatMul.*an output of Relu"),
    "by one node": ("h, h = Split (x)\n y = Relu (h)", "'h'.*an output of Split.*an output of Split"),
    "an input": ("x = MatMul (x, w)\n y = Relu (x)", "'x'.*an input.*an output of MatMul"),
    "a weight": ("w = MatMul (x, w)\n y = Relu (w)", "'w'.*an initializer.*an output of MatMul"),
    "in a branch": (
        "b = Cast <to = 9> (w)\n h = If (b) <then_branch = t () => (float[n, 4] z) { z = Relu (x)\n z = Neg (x) }, "
        "else_branch = e () => (float[n, 4] z) { z = Relu (x) }>\n y = Relu (h)",
        "'z'.*an output of Relu.*an output of Neg",
    ),
}


@pytest.mark.parametrize(("body", "said"), TWICE.values(), ids=TWICE)
def test_value_that_is_there_twice_is_named(body: str, said: str) -> None:
    model = graph("float[n, 4] x", "float[n, 4] y", body, {"w": np.eye(4, dtype=np.float32)})
    with pytest.raises(ModelError, match=f"is not a valid ONNX graph: .*{said}") as caught:
        open_checkpoint(model)
    assert caught.value.slug == "invalid-model"


def test_two_inputs_of_one_name_are_refused() -> None:
    model = mlp((6, 5, 3))
    model.graph.input.append(model.graph.input[0])
    with pytest.raises(ModelError, match="two inputs have the name 'x'"):
        open_checkpoint(model)


def test_weights_beside_the_model_are_read_and_hashed(tmp_path: Path) -> None:
    path = beside(tmp_path)
    found, plain = audit(path, X), audit(mlp((6, 5, 3), dead={0: (1, 4)}), X)
    assert found.sites == plain.sites
    assert found.sites[0].dead == (1, 4)
    assert found.model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    (external,) = found.model.external
    assert (external.location, external.sha256) == (
        "w.bin",
        hashlib.sha256((tmp_path / "w.bin").read_bytes()).hexdigest(),
    )


@pytest.mark.parametrize("spelling", ["bare", "relative", "up and down", "text", "absolute from elsewhere"])
def test_weights_are_found_wherever_the_process_stands(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = beside(tmp_path / "models")
    (tmp_path / "other").mkdir()
    stand, given_as = {
        "bare": (path.parent, Path("m.onnx")),
        "relative": (tmp_path, Path("models/m.onnx")),
        "up and down": (tmp_path / "other", Path("../models/m.onnx")),
        "text": (tmp_path, "./models/m.onnx"),
        "absolute from elsewhere": (tmp_path / "other", path),
    }[spelling]
    monkeypatch.chdir(stand)
    assert audit(given_as, X).sites[0].dead == (1, 4)


def test_weights_in_a_folder_below_are_read(tmp_path: Path) -> None:
    path = beside(tmp_path, location="below/w.bin")
    (tmp_path / "below").mkdir()
    shutil.move(tmp_path / "w.bin", tmp_path / "below" / "w.bin")
    assert audit(path, X).sites[0].dead == (1, 4)


def test_offsets_and_lengths_may_be_left_out(tmp_path: Path) -> None:
    model, w = layer(), W.tobytes()
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.append(onnx.StringStringEntryProto(key="location", value="w.bin"))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "w.bin").write_bytes(w)
    assert audit(tmp_path / "m.onnx", X).sites == audit(layer(), X).sites


def test_a_folder_reached_by_a_symbolic_link_is_the_folder(tmp_path: Path) -> None:
    beside(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert audit(tmp_path / "link" / "m.onnx", X).sites[0].dead == (1, 4)


@pytest.mark.parametrize("location", ["../w.bin", "below/../../w.bin", "ABSOLUTE", "", "/etc/passwd"])
def test_weights_outside_the_models_folder_are_refused(location: str, tmp_path: Path) -> None:
    location = str(tmp_path / "w.bin") if location == "ABSOLUTE" else location
    path = beside(tmp_path / "models", location=location)
    shutil.copy(path.parent / "w.bin", tmp_path / "w.bin")
    assert "outside" in refused(path, "external-data").message


def test_a_symbolic_link_out_of_the_models_folder_is_refused(tmp_path: Path) -> None:
    path = beside(tmp_path / "models")
    shutil.move(path.parent / "w.bin", tmp_path / "w.bin")
    (path.parent / "w.bin").symlink_to(tmp_path / "w.bin")
    assert "outside" in refused(path, "external-data").message


def test_a_tensor_in_an_attribute_may_not_read_outside_either(tmp_path: Path) -> None:
    model = graph(
        "float[n, 6] x",
        "float[n, 6] y",
        "c = Constant <value = float[6] {1, 1, 1, 1, 1, 1}> ()\n h = Mul (x, c)\n y = Relu (h)",
    )
    tensor = model.graph.node[0].attribute[0].t
    for name in ("raw_data", "float_data"):
        tensor.ClearField(name)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="../w.bin"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "w.bin").write_bytes(np.ones(6, np.float32).tobytes())
    refused(tmp_path / "models" / "m.onnx", "external-data")


def test_a_sparse_weight_may_not_read_outside_either(tmp_path: Path) -> None:
    model = layer()
    dense = model.graph.initializer[0]
    values = onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")
    values.ClearField("raw_data")
    values.data_location = onnx.TensorProto.EXTERNAL
    values.external_data.append(onnx.StringStringEntryProto(key="location", value="../w.bin"))
    indices = onnx.numpy_helper.from_array(np.array([0, 7, 14]), "w_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, list(dense.dims)))
    model.graph.initializer.remove(dense)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "w.bin").write_bytes(np.ones(3, np.float32).tobytes())
    with pytest.raises(AuditError):
        audit(tmp_path / "models" / "m.onnx", X)


def test_a_hard_link_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = beside(tmp_path)
    os.link(tmp_path / "w.bin", tmp_path / "w2.bin")
    error = refused(path, "external-data")
    assert "hard link" in error.message
    assert "cp " in error.hint


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    path = beside(tmp_path)
    (tmp_path / "w.bin").unlink()
    error = refused(path, "external-data")
    assert "w.bin" in error.message
    assert "missing" in error.message


@pytest.mark.parametrize("left", [0, 1, -1], ids=["empty", "a byte", "all but a byte"])
@pytest.mark.parametrize("length", ["given", "left out"])
def test_a_weight_file_that_is_cut_short_is_refused(length: str, left: int, tmp_path: Path) -> None:
    path = beside(tmp_path, setting(length=None) if length == "left out" else None)
    whole = (tmp_path / "w.bin").read_bytes()
    (tmp_path / "w.bin").write_bytes(whole[:left])
    assert "cut short" in refused(path, "external-data").message


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "abc"},
        {"offset": "-64"},
        {"offset": "9" * 30},
        {"offset": "1.5"},
        {"length": "x"},
        {"length": "-1"},
        {"length": "100000"},
        {"location": None},
        {"location": "."},
        {"location": "w\0.bin"},
        {"location": "a" * 300},
    ],
    ids=lambda entries: " ".join(f"{key} {str(value)[:12]!a}" for key, value in entries.items()),
)
def test_external_data_that_makes_no_sense_is_an_error_of_ours(entries: dict[str, str | None], tmp_path: Path) -> None:
    with pytest.raises(AuditError):
        audit(beside(tmp_path, setting(**entries)), X)


def test_bytes_and_protobufs_with_weights_elsewhere_are_refused(tmp_path: Path) -> None:
    path = beside(tmp_path)
    assert "path" in refused(path.read_bytes(), "external-data").hint
    refused(onnx.load(path, load_external_data=False), "external-data")
    assert audit(onnx.load(path), X).sites[0].dead == (1, 4)


# The model as it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [5, 256], ids=["small weights", "large weights"])
@pytest.mark.parametrize("first", ["data", "weights"])
def test_initializers_that_are_also_inputs_are_weights(hidden: int, first: str) -> None:
    model = mlp((6, hidden, hidden, 3))
    model.ir_version = 3
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 9))
    listed = [helper.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in model.graph.initializer]
    inputs = [*model.graph.input, *listed] if first == "data" else [*listed, *model.graph.input]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    found = audit(model, X)
    assert [i.name for i in found.data.inputs] == ["x"]
    assert [site.weight for site in found.sites] == ["w0", "w1"]
    assert_all_agree(found, oracle(model, one_by_one(X), {"r0": 1, "r1": 1}), exact=False)


TAKEN = [
    {"h": "relu_audit/1/ReduceSum"},
    {"h": "relu_audit/1/Identity", "y": "relu_audit/2/Identity", "z": "relu_audit_/1/Identity"},
    {"w": "relu_audit/1/constant"},
    {"x": "relu_audit/1/Identity"},
    {"first": "relu_audit/1/Identity", "second": "relu_audit/2/Identity", "third": "relu_audit_/3/Identity"},
]


@pytest.mark.parametrize("names", TAKEN, ids=str)
@pytest.mark.parametrize("pattern", ["vector", "map"])
def test_names_like_ours_in_the_model_change_nothing(names: dict[str, str], pattern: str) -> None:
    model = layer(**names)
    y, z, x = (names.get(name, name) for name in "yzx")
    data = {x: X["x"]}
    if pattern == "map":  # positions to reduce: other nodes are added
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim.insert(1, onnx.TensorShapeProto.Dimension(dim_value=1))
        data = {x: X["x"][:, None].repeat(3, axis=1)}
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[1].dim_value = 3
    axis = 1 if pattern == "vector" else 2
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {y: axis, z: axis}))


def test_the_protobuf_that_is_audited_is_not_changed() -> None:
    model = layer()
    before = model.SerializeToString()
    audit(model, X)
    assert model.SerializeToString() == before


def test_a_path_bytes_and_a_protobuf_give_the_same_audit(tmp_path: Path) -> None:
    model = layer()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    by_path, by_bytes, by_proto = (
        audit(source, X) for source in (tmp_path / "m.onnx", model.SerializeToString(), model)
    )
    assert by_path.sites == by_bytes.sites == by_proto.sites
    assert by_path.model.sha256 == by_bytes.model.sha256 == by_proto.model.sha256
    assert (by_path.model.name, by_bytes.model.name) == ("m.onnx", "<memory>")
    assert by_path.model.parameters == W.size + 2


def test_nothing_is_written_beside_the_model(tmp_path: Path) -> None:
    path = beside(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    audit(path, X)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
