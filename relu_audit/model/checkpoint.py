"""Open a model from a path, bytes or a protobuf: hashes, external data and what may be read from where."""

from __future__ import annotations

import hashlib
import logging
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from relu_audit.errors import ModelError, UsageError
from relu_audit.model.beside import external_files, read_beside, take_in, unfilled, view
from relu_audit.model.files import Opened, changed, mapped, open_file
from relu_audit.model.maps import take_map_types
from relu_audit.model.ordering import sort_nodes
from relu_audit.model.parameters import parameters
from relu_audit.model.protos import MOST_AXES, tensors
from relu_audit.model.scopes import walk
from relu_audit.model.sparse import densify
from relu_audit.model.specialized import bind_graphs
from relu_audit.model.wire import split
from relu_audit.records import ExternalFile, ModelInfo, as_text
from relu_audit.regular import other_than_file

# onnx-ir warns of what we handle; without any handler, Python would print that to the console.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())

COMPLEX = (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128)

ModelSource = str | Path | bytes | onnx.ModelProto


@dataclass(frozen=True)
class Checkpoint:
    """An opened model.

    Attributes:
        model: The graph; its large weights are views of the file.
        name: File name without folder, or ``<memory>``.
        folder: Where its weight files lie; None in memory.
        data: The serialized model, mapped where it is a file.
        external: The weight files it names, by location as the model gives it.
        files: All files of it, as they were; none in memory.
        outside: Names of the initializers that lie in weight files.
        maps: Types of the graph's inputs and outputs that are maps, by name; in the graph they have no type.
        sparse: Sparse weights that the file has; in the graph they are dense.
        producer: Producer name and version as the file gives them.
        ir_version: Version of the ONNX file format.
        opsets: Operator-set version by domain; the default domain is ``ai.onnx``.
        parameters: Elements of its weights; :func:`relu_audit.model.parameters.parameters` says which they are.
    """

    model: ir.Model
    name: str
    folder: Path | None
    data: memoryview
    external: Mapping[str, Path]
    files: tuple[Opened, ...]
    outside: frozenset[str]
    maps: Mapping[str, onnx.TypeProto]
    sparse: int
    producer: str
    ir_version: int
    opsets: Mapping[str, int]
    parameters: int

    def info(self, files: Mapping[str, str] | None = None) -> ModelInfo:
        """What was opened, with hashes, for which every byte is read: a second or so per gigabyte.

        Args:
            files: The hashes of its weight files by location, where they are known.

        Raises:
            ModelError: ``model-changed``.
        """
        self.check()
        hashes = files or {at: self._hash(path) for at, path in self.external.items()}
        own = hashlib.sha256(self.data).hexdigest()
        self.check()
        return ModelInfo(
            name=self.name,
            sha256=own,
            external=tuple(ExternalFile(location=at, sha256=hashes[at]) for at in self.external),
            producer=self.producer,
            ir_version=self.ir_version,
            opsets=dict(self.opsets),
            parameters=self.parameters,
        )

    def check(self, earlier: Checkpoint | None = None) -> None:
        """Refuse files that are not what they were.

        Args:
            earlier: The same model as it was opened before, if it was.

        Raises:
            ModelError: ``model-changed``.
        """
        for file in self.files:
            file.check()
        if earlier is not None and (found := set(self.files) - set(earlier.files)):
            raise changed(min(file.path for file in found))

    def bytes_of(self, path: Path) -> memoryview | None:
        """The bytes of one of its files; None for a large one."""
        return next(file.data for file in self.files if file.path == path)

    def _hash(self, path: Path) -> str:
        held = self.bytes_of(path)
        if held is not None:
            return hashlib.sha256(held).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def check_audited(self, audited: ModelInfo) -> None:
        """Refuse an audit of another model: its units are not the ones here.

        Raises:
            UsageError: ``audit-mismatch``.
        """
        info = self.info()
        if (info.sha256, info.external) != (audited.sha256, audited.external):
            raise UsageError(
                f"the audit is of another model than {info.name} (its hash differs)",
                slug="audit-mismatch",
                hint="Audit this file, and use that audit.",
            )

    def forget_pages(self) -> None:
        """Let the system take back memory that only mirrors the file: a session has mostly copied what it needs."""
        if isinstance(self.data.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self.data.obj.madvise(mmap.MADV_DONTNEED)


def open_checkpoint(source: ModelSource) -> Checkpoint:
    """Open a model without reading external weights into memory.

    Args:
        source: A path to an .onnx file, its bytes, or a protobuf (which is not changed).

    Raises:
        ModelError: ``model-not-found``, ``not-onnx``, ``no-opset``, ``invalid-model``, ``external-data``.
    """
    if isinstance(source, onnx.ModelProto):
        data, name, folder, files = memoryview(source.SerializeToString()), "<memory>", None, ()
    elif isinstance(source, bytes):
        data, name, folder, files = memoryview(source), "<memory>", None, ()
    elif not isinstance(source, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ModelError(
            f"a {type(source).__name__} is no ONNX model",
            slug="not-onnx",
            hint="Export it first, for example with torch.onnx.export, and give the path, the bytes or the protobuf.",
        )
    else:
        # Absolute first: onnx-ir switches its containment checks off for a bare file name.
        path = Path(source).absolute()
        own, data = _read(path)
        name, folder, files = as_text(path.name), path.parent, (own,)
    proto, weights = _parse(data, name)
    external = dict(external_files(proto, name, folder))
    beside = {location: read_beside(path, name) for location, path in external.items()}
    maps = take_map_types(proto)
    try:
        for tensor in tensors(proto):
            ir.DataType(tensor.data_type)  # there is one of that number
            if tensor.data_location != onnx.TensorProto.EXTERNAL and (
                tensor.HasField("raw_data") or tensor.name not in weights
            ):
                _check_filled(tensor)
        bind_graphs(proto)
        sparse = densify(proto, folder)
        sort_nodes(proto)
        model = ir.from_proto(proto)
        for value in model.graph.initializers.values():
            if value.name in weights and value.const_value is not None:
                value.const_value = view(value.const_value, weights[value.name])
    except Exception as error:  # onnx-ir raises many kinds on a malformed graph
        raise ModelError(
            f"{name} is not a valid ONNX graph: {_first_line(error)}",
            slug="invalid-model",
            hint="Check it with: python -m onnx.checker, or export it again.",
        ) from error
    _check_arity(model, name)
    if folder is not None:
        ir.external_data.set_base_dir(model.graph, folder)  # pyright: ignore[reportUnknownMemberType]
    outside = frozenset(take_in(model, {location: file.data for location, file in beside.items()}, name))
    return Checkpoint(
        model=model,
        name=name,
        folder=folder,
        data=data,
        external=external,
        files=(*files, *beside.values()),
        outside=outside,
        maps=maps,
        sparse=sparse,
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        ir_version=proto.ir_version,
        opsets={opset.domain or "ai.onnx": opset.version for opset in proto.opset_import},
        parameters=parameters(model),
    )


def files(path: Path) -> tuple[Path, ...]:
    """A model's file and those that it keeps weights in. No weight is read.

    Raises:
        ModelError: As :func:`open_checkpoint`, for what it finds wrong first.
    """
    path, name = path.absolute(), as_text(path.name)
    proto, _ = _parse(_read(path)[1], name)
    return (path, *(file for _, file in external_files(proto, name, path.parent)))


def invalid(said: str) -> ModelError:
    """The error for a graph that breaks the rules of its format."""
    return ModelError(
        f"the model is not a valid ONNX graph: {said}",
        slug="invalid-model",
        hint="Check it with: python -m onnx.checker, or export it again.",
    )


def _check_arity(model: ir.Model, name: str) -> None:
    """Refuse nodes with fewer inputs than their operator needs; what else can be wrong, the runtime finds."""
    for node in (step.node for step in walk(model.graph)):
        values = [value.name for value in (*node.inputs, *node.outputs) if value is not None]
        names: list[object] = [node.op_type, node.domain, node.name, *values]
        if any(isinstance(name, bytes) for name in names):  # what the bindings make of text that is not UTF-8
            raise ModelError(
                f"{name} is not a valid ONNX graph: a name in it is not text",
                slug="invalid-model",
                hint="The file is damaged; copy or export it again.",
            )
        domain = "" if node.domain == "ai.onnx" else node.domain
        try:
            schema = onnx.defs.get_schema(node.op_type, model.opset_imports.get(domain, 1), domain)
        except onnx.defs.SchemaError:
            continue
        if len(node.inputs) < schema.min_input or len(node.outputs) < schema.min_output:
            raise ModelError(
                f"{name} is not a valid ONNX graph: a {node.op_type} has {len(node.inputs)} inputs and "
                f"{len(node.outputs)} outputs, fewer than it needs (node '{node.name or ''}')",
                slug="invalid-model",
                hint="Check it with: python -m onnx.checker, or export it again.",
            )


def _read(path: Path) -> tuple[Opened, memoryview]:
    try:
        other = other_than_file(path)
        if other is not None:
            raise ModelError(
                f"'{path}' is {other}, and a model is read from a file",
                slug="model-not-found",
                hint="Name the file of the model, or write the model to one first.",
            )
        file = open_file(path)
        return file, mapped(file)
    except FileNotFoundError as error:
        raise ModelError(
            f"there is no model file '{path}'", slug="model-not-found", hint="Check the path's spelling."
        ) from error
    except OSError as error:
        raise ModelError(
            f"cannot read '{path}': {error.strerror}", slug="model-not-found", hint="Name a file that can be read."
        ) from error


def _parse(data: memoryview, name: str) -> tuple[onnx.ModelProto, dict[str, memoryview]]:
    hint = "Export the model to ONNX first; PyTorch: torch.onnx.export, Keras: model.export(format='onnx')."
    try:
        skeleton, weights = split(data)
        proto = onnx.ModelProto.FromString(skeleton)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{name} is not an ONNX file, or is cut short", slug="not-onnx", hint=hint) from error
    if not proto.HasField("graph"):
        raise ModelError(f"{name} holds no graph; it is not an ONNX model", slug="not-onnx", hint=hint)
    if not proto.opset_import:
        raise ModelError(
            f"{name} declares no operator set (opset_import is empty), so its operators have no meaning",
            slug="no-opset",
            hint="The file breaks the ONNX specification; export it again with a current exporter.",
        )
    return proto, weights


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:  # onnx-ir says first where it was, as the name of a function of its own
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def _check_filled(tensor: onnx.TensorProto) -> None:
    """Refuse a weight whose shape needs other bytes, or more numbers, than stand in the file."""
    if len(tensor.dims) > MOST_AXES:
        raise ValueError(f"the weight '{tensor.name}' has {len(tensor.dims):,} axes")
    kind, count = ir.DataType(tensor.data_type), math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        needed = (count * kind.bitwidth + 7) // 8
        if len(tensor.raw_data) != needed:
            raise unfilled(tensor.name, f"{len(tensor.raw_data):,} bytes", needed)
    elif kind is not ir.DataType.UNDEFINED:
        held = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))
        # Two numbers make up a complex one; and types of less than a byte share numbers.
        parts = 2 if kind in COMPLEX else 1
        needed = count * parts if kind is ir.DataType.STRING or kind.bitwidth >= 8 else -(-count * kind.bitwidth // 8)
        if held < needed:
            raise unfilled(tensor.name, f"{held:,} numbers", needed)
