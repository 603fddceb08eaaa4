"""Weights that lie in files beside the model: which files, what may be read from where, tensors as views of bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.errors import ModelError
from relu_audit.model.files import Opened, open_file
from relu_audit.model.protos import tensors
from relu_audit.model.scopes import walk


def external_files(proto: onnx.ModelProto, name: str, folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Check every reference out of the file before anything follows it; yield each weight file once."""
    ends: dict[str, int] = {}
    for tensor in tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entry = {pair.key: pair.value for pair in tensor.external_data}
            location = entry.get("location", "")
            ends[location] = max(_end(tensor, entry, name), ends.get(location, 0))
    for location, end in sorted(ends.items()):
        if folder is None:
            raise ModelError(
                f"the model keeps weights in '{location}', beside a file, but was given as bytes",
                slug="external-data",
                hint="Pass the path of the .onnx file instead.",
            )
        path = _contained(folder, location, name)
        if path.stat().st_size < end:
            raise ModelError(
                f"'{path.name}' has {path.stat().st_size} bytes, but {name} reads up to byte {end}; it is cut short",
                slug="external-data",
                hint="Copy or download it again.",
            )
        yield location, path


def _end(tensor: onnx.TensorProto, entry: dict[str, str], name: str) -> int:
    """The byte behind a tensor's data in its file; of its type and shape's length where the entry gives none."""
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
        length = entry.get("length", "") or (math.prod(tensor.dims) * bits + 7) // 8
        start, count = int(entry.get("offset", "0") or 0), int(length)
    except (ValueError, TypeError) as error:
        raise _senseless(tensor, name) from error
    if start < 0 or count < 0:
        raise _senseless(tensor, name)
    return start + count


def _senseless(tensor: onnx.TensorProto, name: str) -> ModelError:
    return ModelError(
        f"{name} says where the weight '{tensor.name}' lies in words that make no sense",
        slug="external-data",
        hint="The file is damaged; copy or export it again.",
    )


def _contained(folder: Path, location: str, name: str) -> Path:
    """The weight file, if it lies inside the model's folder and is the only name of its data."""
    path = folder / location
    try:
        inside = bool(location) and path.resolve().is_relative_to(folder.resolve())
        exists = path.is_file()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{name} keeps weights in a file whose name no file can have",
            slug="external-data",
            hint="The model is damaged; copy or export it again.",
        ) from error
    if not inside:
        raise ModelError(
            f"{name} wants to read '{location}', which lies outside the model's folder",
            slug="external-data",
            hint="Weights are read from beside the model only. Move the file there, or distrust the model.",
        )
    if not exists:
        raise ModelError(
            f"{name} keeps weights in '{location}', and that file is missing",
            slug="external-data",
            hint=f"Put it into '{folder}'.",
        )
    if path.stat().st_nlink > 1:
        raise ModelError(
            f"'{location}' is a hard link, which onnxruntime and onnx refuse to read weights from",
            slug="external-data",
            hint="Copy the file: cp A B && mv B A.",
        )
    return path


def read_beside(path: Path, name: str) -> Opened:
    """Open a weight file.

    Raises:
        ModelError: ``external-data``, ``model-changed``.
    """
    try:
        return open_file(path)
    except OSError as error:
        raise ModelError(
            f"{name} keeps weights in '{path.name}', which cannot be read: {error.strerror}", slug="external-data"
        ) from error


def take_in(model: ir.Model, held: Mapping[str, memoryview | None], name: str) -> Iterator[str]:
    """Let weights of small files be views of their bytes; the names of all weights that lie in files."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _taken(value.const_value, held, name)
                yield value.name or ""
    for node in (
        *(step.node for step in walk(model.graph)),
        *(n for f in model.functions.values() for n in f.all_nodes()),
    ):
        attribute = node.attributes.get("value")
        if attribute is not None and isinstance(attribute.value, ir.ExternalTensor):
            node.attributes["value"] = ir.AttrTensor("value", _taken(attribute.value, held, name))


def _taken(tensor: ir.ExternalTensor, held: Mapping[str, memoryview | None], name: str) -> ir.TensorProtocol:
    """A weight, as a view of the bytes of its file where those were read."""
    data = held.get(str(tensor.location))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if data is None:
        return tensor
    start = tensor.offset or 0
    try:
        return view(tensor, data[start : start + (tensor.length or tensor.nbytes)])
    except ValueError as error:
        raise ModelError(
            f"{name} is not a valid ONNX graph: {error}", slug="invalid-model", hint="Export it again."
        ) from error


def view(tensor: ir.TensorProtocol, data: memoryview) -> ir.TensorProtocol:
    """The tensor whose values were left in the file, as an array over them."""
    if tensor.dtype.bitwidth < 8:
        packed = onnx.TensorProto(data_type=int(tensor.dtype), dims=tensor.shape.numpy(), name=tensor.name or "")
        packed.raw_data = bytes(data)
        return ir.from_proto(packed)
    needed = math.prod(tensor.shape.numpy()) * tensor.dtype.bitwidth // 8
    if len(data) != needed:
        raise unfilled(tensor.name or "", f"{len(data):,} bytes", needed)
    array = np.frombuffer(data, tensor.dtype.numpy()).reshape(tensor.shape.numpy())
    return ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)


def unfilled(name: str, given: str, needed: int) -> ValueError:
    """The error for a weight that has not as many bytes as its shape needs."""
    which = f"the weight '{name}'" if name else "a constant"
    return ValueError(f"{which} has {given} and its shape needs {needed:,}")
