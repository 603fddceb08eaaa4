"""A pruned model as the library hands it out: with its plan, able to save itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.errors import UsageError
from relu_audit.files import Move, put, staging, writing
from relu_audit.model.maps import give_map_types
from relu_audit.model.scopes import walk
from relu_audit.records import Audit
from relu_audit.records.pruning import Files, Latency, Plan, PruningRecord, Verification
from relu_audit.surgery.provenance import premise_in_words
from relu_audit.version import tool_name

EXTERNAL_BYTES = 1 << 30
"""A result larger than this keeps its weights beside the file, as protobuf ends at two gibibytes."""

HASH_DIGITS = 12
"""Of the SHA-256 of the weights, in the name of their file."""

INLINE_BYTES = 256
"""Weights smaller than this stay in a file whose larger ones do not."""


@dataclass(frozen=True)
class Pruned:
    """A smaller model that computes the same.

    Attributes:
        plan: What was cut, what was kept and why.
        verification: How it was checked; None if that was not wanted.
        audit: The audit it rests on.
        graph: The model; its weights are cut when they are asked for.
        maps: Types of its inputs and outputs that are maps, by name; in the graph they have no type.
        outside: Initializers that the original keeps in files of their own.
        sources: Those files.
        example: What one run is fed.
    """

    plan: Plan
    verification: Verification | None
    audit: Audit
    graph: ir.Model
    maps: Mapping[str, onnx.TypeProto]
    outside: frozenset[str]
    sources: frozenset[Path]
    example: Mapping[str, np.ndarray]

    @property
    def model(self) -> onnx.ModelProto:
        """The model as a protobuf, weights included."""
        copy = _bare(self.graph)
        ir.external_data.load_to_model(copy)
        return _proto(copy, self.maps)

    def record(self, files: Files | None = None, latency: Latency | None = None) -> PruningRecord:
        """Everything there is to say of it, with what was measured of its file."""
        audit = self.audit
        return PruningRecord(
            tool=tool_name(),
            model=audit.model.name,
            sha256=audit.model.sha256,
            data=audit.data,
            runtime=audit.runtime,
            premise=premise_in_words(audit, self.plan),
            plan=self.plan,
            verification=self.verification,
            files=files,
            latency=latency,
        )

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the model whole or not at all; weights that lay beside the original go beside it.

        Their file is named by what is in it, so that no model is ever seen with the weights of another one.

        Returns:
            The files written, the model first.

        Raises:
            UsageError: ``output`` if the file cannot be written.
        """
        with self.staged(path) as staged:
            put(staged.moves, obsolete=staged.older)
        return tuple(move.place for move in reversed(staged.moves))

    @contextlib.contextmanager
    def staged(self, path: str | os.PathLike[str]) -> Generator[Staged]:
        """The model's files, complete in a folder beside their place; what is not moved there by the end is gone.

        Raises:
            UsageError: ``output`` if the files cannot be written.
        """
        target = Path(path).resolve()  # a link stays a link
        if target.exists() and not target.is_file():
            raise UsageError(f"'{path}' is not a file", slug="output", hint="Name a new file.")
        with staging(target) as folder:
            with writing(target):
                files = self._write(folder / target.name)
            yield Staged(target=target, files=tuple(files), sources=self.sources)

    def _write(self, target: Path) -> list[Path]:
        """The model's file, and that of its weights if they get one."""
        sizes = [
            value.const_value.nbytes
            for graph in self.graph.graphs()
            for name, value in graph.initializers.items()
            if name in self.outside and value.const_value is not None
        ]
        if sizes or self.plan.after.bytes > EXTERNAL_BYTES:
            least = min(sizes, default=INLINE_BYTES) - 1  # larger than this goes outside
            return _write_apart(_bare(self.graph), self.maps, target, least)
        target.write_bytes(self.model.SerializeToString())
        return [target]


@dataclass(frozen=True)
class Staged:
    """A model's files before they are in their place.

    Attributes:
        target: Where the model goes.
        files: Its files, the model first.
        sources: Files of the original's weights.
    """

    target: Path
    files: tuple[Path, ...]
    sources: frozenset[Path]

    @property
    def moves(self) -> tuple[Move, ...]:
        """How they get to their places, weights first: no model is ever there without its weights."""
        model, *weights = self.files
        first = [Move(file, self.target.with_name(file.name), named_by_content=True) for file in weights]
        return (*first, Move(model, self.target))

    def older(self) -> Iterator[Path]:
        """Weights that an earlier result of this name had, and that nothing needs once all are in their places."""
        keep = {*(move.place for move in self.moves), *self.sources}
        ours = re.compile(rf"{re.escape(self.target.name)}\.[0-9a-f]{{{HASH_DIGITS}}}\.data")
        for file in self.target.parent.iterdir():
            if ours.fullmatch(file.name) and file.resolve() not in keep and file.is_file():
                yield file


def _write_apart(model: ir.Model, maps: Mapping[str, onnx.TypeProto], target: Path, least: int) -> list[Path]:
    """Weights larger than ``least`` bytes to a file beside the target that bears the hash of its content."""
    unnamed = f"{target.name}.data"
    ir.external_data.unload_from_model(  # pyright: ignore[reportUnknownMemberType]
        model, target.parent, unnamed, size_threshold_bytes=least
    )
    moved = [
        value
        for graph in model.graphs()
        for value in graph.initializers.values()
        if isinstance(value.const_value, ir.ExternalTensor)
    ]
    if not moved:
        target.write_bytes(_proto(model, maps).SerializeToString())
        return [target]
    with (target.parent / unnamed).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    weights = (target.parent / unnamed).replace(target.with_name(f"{target.name}.{digest[:HASH_DIGITS]}.data"))
    for value in moved:
        value.const_value = _at(value.const_value, weights)
    target.write_bytes(_proto(model, maps).SerializeToString())
    return [target, weights]


def _at(tensor: object, file: Path) -> ir.ExternalTensor:
    """The same numbers in a file that was renamed."""
    if not isinstance(tensor, ir.ExternalTensor):
        raise TypeError("a weight that is not in a file")
    return ir.ExternalTensor(
        file.name,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name or "",
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        base_dir=file.parent,
    )


def _proto(model: ir.Model, maps: Mapping[str, onnx.TypeProto]) -> onnx.ModelProto:
    proto = ir.to_proto(model)
    give_map_types(proto.graph, maps)
    return proto


def _bare(model: ir.Model) -> ir.Model:
    """A copy without types of what lies between: they may not hold any more, and every runtime infers its own."""
    copy = model.clone()
    for node in (step.node for step in walk(copy.graph)):
        for value in node.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    return copy
