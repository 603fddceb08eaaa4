"""Hashes of weights: the same wherever the numbers lie, and of a file that is read once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from relu_audit import audit
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.model.contents import BLOCK, contents
from tests.graphs import graph, mlp

X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)


def digest(array: np.ndarray) -> str:
    """Element type, shape and bytes, as NumPy has them."""
    kind = {"float32": "FLOAT", "float16": "FLOAT16", "int8": "INT8"}[array.dtype.name]
    return hashlib.sha256(f"{kind} {array.shape} ".encode() + array.tobytes()).hexdigest()


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def hashes(model: Any, names: tuple[str, ...] = ("w",)) -> Any:
    return contents(open_checkpoint(model), names)


def test_audit_holds_the_hash_of_every_layer_of_a_weight() -> None:
    model = mlp((4, 20, 10, 3))
    found = audit(model, X)
    assert [site.weight_sha256 for site in found.sites] == [digest(weights(model)[f"w{i}"]) for i in range(2)]
    assert len({site.weight_signs for site in found.sites}) == 2
    (bare,) = audit(graph("float[n, 4] x", "float[n, 4] y", "y = Relu (x)"), X).sites
    assert (bare.weight_sha256, bare.weight_signs) == (None, None)


def test_weights_in_files_have_the_hashes_that_they_have_in_the_model(tmp_path: Path) -> None:
    onnx.save(
        mlp((4, 500, 700, 3)), tmp_path / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=0
    )
    assert (tmp_path / "a.bin").stat().st_size > BLOCK
    inside, beside = audit(mlp((4, 500, 700, 3)), X), audit(tmp_path / "a.onnx", X)
    assert [(s.weight_sha256, s.weight_signs) for s in beside.sites] == [
        (s.weight_sha256, s.weight_signs) for s in inside.sites
    ]
    (file,) = beside.model.external
    assert file.sha256 == hashlib.sha256((tmp_path / "a.bin").read_bytes()).hexdigest()


@pytest.mark.parametrize(("small", "read"), [(0, ["a.bin"]), (1 << 26, [])])
def test_file_is_read_once_for_all_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int, read: list[str]
) -> None:
    monkeypatch.setattr("relu_audit.model.files.SMALL", small)
    onnx.save(
        mlp((4, 500, 700, 3)), tmp_path / "a.onnx", save_as_external_data=True, location="a.bin", size_threshold=0
    )
    checkpoint = open_checkpoint(tmp_path / "a.onnx")
    opened: list[str] = []
    real = Path.open

    def counted(self: Path, *arguments: Any, **more: Any) -> Any:
        opened.append(self.name)
        return real(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", counted)
    found = contents(checkpoint, ["w0", "w1"])
    assert checkpoint.info(found.files).external[0].sha256 == found.files["a.bin"]
    assert opened == read  # a small file was read when the model was opened
    assert len(found.weights) == 2


def test_tensors_that_share_bytes_of_a_file_are_hashed_each_by_itself(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).standard_normal(3 * BLOCK // 4).astype(np.float32)
    (tmp_path / "w.bin").write_bytes(b"xyz" + numbers.tobytes())
    spans = {"whole": (0, numbers.size), "tail": (BLOCK // 4 - 7, 2 * BLOCK // 4), "head": (0, 24)}
    tensors = []
    for name, (start, end) in spans.items():
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[end - start])
        tensor.data_location = TensorProto.EXTERNAL
        for key, entry in (("location", "w.bin"), ("offset", 3 + 4 * start), ("length", 4 * (end - start))):
            tensor.external_data.add(key=key, value=str(entry))
        tensors.append(tensor)
    model = graph("float[1] x", "float[1] y", "y = Relu (x)")
    model.graph.initializer.extend(tensors)
    onnx.save(model, tmp_path / "m.onnx")
    found = hashes(tmp_path / "m.onnx", tuple(spans))
    assert found.weights == {name: digest(numbers[start:end]) for name, (start, end) in spans.items()}


@pytest.mark.parametrize(
    ("array", "known", "signed"),
    [
        (np.zeros((9, 9), "f4"), False, False),
        (np.full((9, 9), 0.5, "f4"), False, False),
        (np.float32(3), False, False),
        (np.zeros((0, 4), "f4"), False, False),
        (np.arange(1, 82, dtype="f4"), True, False),
        (np.arange(-8, 8, dtype="f4"), True, False),
        (np.arange(-16, 16, dtype="f4"), True, True),
        (np.arange(-64, 64, dtype="i1"), True, True),
        (np.array(["a", "b"]), False, False),
    ],
)
def test_weight_that_tells_no_layer_from_another_has_no_hash(array: np.ndarray, known: bool, signed: bool) -> None:
    model = graph("float[1] x", "float[1] y", "y = Relu (x)")
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), "w"))
    found = hashes(model)
    assert (list(found.weights), list(found.signs)) == (["w"] * known, ["w"] * signed)


def test_signs_survive_rounding_and_other_types_and_no_other_change() -> None:
    numbers = np.random.default_rng(2).standard_normal((8, 16)).astype(np.float32)
    flipped = numbers.copy()
    flipped[3, 4] *= -1
    model = graph("float[1] x", "float[1] y", "y = Relu (x)")
    same = {"w": numbers, "up": np.nextafter(numbers, np.float32(9)), "half": numbers.astype(np.float16)}
    other = {"flipped": flipped, "turned": numbers.reshape(16, 8)}
    for name, array in {**same, **other}.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    bfloat = ir.to_proto(ir.Tensor(numbers.astype(ml_dtypes.bfloat16), name="brain"))
    model.graph.initializer.append(bfloat)
    found = hashes(model, (*same, *other, "brain"))
    assert {name for name, signs in found.signs.items() if signs == found.signs["w"]} == {*same, "brain"}
    assert len(set(found.weights.values())) == 6


def test_weight_in_a_node_is_hashed_and_a_name_of_two_weights_is_not() -> None:
    numbers = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
    model = graph("float[n, 4] x", "float[n, 5] y", "h = MatMul (x, w)\n y = Relu (h)")
    value = numpy_helper.from_array(numbers)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=value))
    (found,) = audit(model, X).sites
    assert (found.weight, found.weight_sha256) == ("w", digest(numbers))
    twice = helper.make_node("Constant", [], ["w"], value=value)
    body = helper.make_graph([twice], "body", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, None)])
    model = graph("bool c", "float[4, 5] y", "y = If (c) <then_branch = a () => (float[4, 5] z) { z = Neg (w) }>")
    model.graph.node[0].attribute[0].g.CopyFrom(body)
    model.graph.node[0].attribute.append(helper.make_attribute("else_branch", body))
    assert hashes(model).weights == {}


def test_codes_that_share_a_byte_are_hashed(tmp_path: Path) -> None:
    codes = np.arange(-8, 8, dtype=np.int8).reshape(4, 4).astype(ml_dtypes.int4)
    model = graph("float[1] x", "float[1] y", "y = Relu (x)", opset=21, ir=10)
    model.graph.initializer.append(ir.to_proto(ir.Tensor(codes, dtype=ir.DataType.INT4, name="w")))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    assert hashes(onnx.load(tmp_path / "m.onnx")).weights == hashes(tmp_path / "m.onnx").weights != {}
