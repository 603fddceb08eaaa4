"""What weights hold, as hashes. A file beside the model is read once, for its own hash and for those of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from relu_audit.model.checkpoint import Checkpoint
from relu_audit.model.scopes import walk

BLOCK = 1 << 20
"""Bytes that are read at once."""

HEAD = 1 << 16
"""Elements whose signs are looked at."""

LEAST = 16
"""Elements of either sign without which the signs tell too little."""


@dataclass(frozen=True)
class Contents:
    """Hashes.

    Attributes:
        files: Of the files beside the model, by their location as the model gives it.
        weights: Of element type, shape and bytes of weights, by name.
        signs: Of shape and signs of weights, by name.
    """

    files: Mapping[str, str]
    weights: Mapping[str, str]
    signs: Mapping[str, str]

    def of(self, weight: str | None) -> dict[str, str | None]:
        """The hashes of a weight by the names that they have in the record of a site."""
        name = weight or ""
        return {"weight_sha256": self.weights.get(name), "weight_signs": self.signs.get(name)}


@dataclass(frozen=True)
class _Span:
    """Where a weight lies in a file, from its first byte to the one behind its last, and its hash so far."""

    start: int
    end: int
    sha: Any


def contents(checkpoint: Checkpoint, names: Collection[str]) -> Contents:
    """Hash the files beside a model and some of its weights.

    Left out are weights of which all elements are equal, since such weights tell no layer from another, and a name that
    two weights have.

    Args:
        checkpoint: The model.
        names: Initializers, or results of Constant nodes.
    """
    files = {location: hashlib.sha256() for location in checkpoint.external}
    spans: dict[str, list[_Span]] = {location: [] for location in files}
    weights: dict[str, Any] = {}
    signs: dict[str, str] = {}
    for name, tensor in _tensors(checkpoint.model, names):
        if tensor.dtype is ir.DataType.STRING or _uniform(tensor.numpy()):
            continue
        shape = tuple(tensor.shape.numpy())
        sha = weights[name] = hashlib.sha256(f"{tensor.dtype.name} {shape} ".encode())
        location = _location(tensor)
        if isinstance(tensor, ir.ExternalTensor) and location in spans:
            start = tensor.offset or 0
            spans[location].append(_Span(start, start + tensor.nbytes, sha))
        else:
            sha.update(_bytes(tensor))
        negative = tensor.numpy().reshape(-1)[:HEAD] < 0
        if LEAST <= np.count_nonzero(negative) <= negative.size - LEAST:
            signs[name] = hashlib.sha256(f"{shape} ".encode() + np.packbits(negative).tobytes()).hexdigest()
    for location, path in checkpoint.external.items():
        held = checkpoint.bytes_of(path)
        if held is None:
            _read(path, files[location], spans[location])
        else:
            files[location].update(held)
    return Contents(_finished(files), _finished(weights), signs)


def _finished(hashes: Mapping[str, Any]) -> dict[str, str]:
    return {name: sha.hexdigest() for name, sha in hashes.items()}


def _tensors(model: ir.Model, names: Collection[str]) -> Iterator[tuple[str, ir.TensorProtocol]]:
    """The tensors of these names, but for a name that two have, as initializers of two bodies may."""
    found: dict[str, list[ir.TensorProtocol]] = {name: [] for name in names}
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            if name in found and value.const_value is not None:
                found[name].append(value.const_value)
    for node in (step.node for step in walk(model.graph)):
        attribute = node.attributes.get("value")
        name = node.outputs[0].name if node.outputs else None
        if node.op_type == "Constant" and attribute is not None and name in found:
            found[name].append(attribute.as_tensor())
    return ((name, tensors[0]) for name, tensors in found.items() if len(tensors) == 1)


def _location(tensor: ir.TensorProtocol) -> str:
    """The file that a tensor lies in, as the model gives it; empty for any other."""
    return str(tensor.location) if isinstance(tensor, ir.ExternalTensor) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _uniform(array: np.ndarray) -> bool:
    flat = array.reshape(-1)
    return bool((flat[:HEAD] == flat[:1]).all()) and bool((flat == flat[:1]).all())


def _bytes(tensor: ir.TensorProtocol) -> memoryview | bytes:
    """The bytes as a file would hold them; without a copy, but for elements that share a byte."""
    if tensor.dtype.bitwidth < 8:
        return tensor.tobytes()
    return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data


def _read(path: Path, whole: Any, spans: Collection[_Span]) -> None:
    block = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        start = 0
        while size := file.readinto(block):
            whole.update(block[:size])
            for span in spans:
                if span.start < start + size and span.end > start:
                    span.sha.update(block[max(span.start - start, 0) : min(span.end - start, size)])
            start += size
