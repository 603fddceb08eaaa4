"""A pruned model as the library hands it out: with its plan, able to save itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from relu_audit.errors import UsageError
from relu_audit.graph.scopes import walk
from relu_audit.records import Audit
from relu_audit.surgery.plan import Files, Latency, Plan, PruningRecord, Verification
from relu_audit.surgery.provenance import premise_in_words
from relu_audit.version import tool_name

EXTERNAL_BYTES = 1 << 30
"""A result larger than this keeps its weights beside the file, as protobuf ends at two gibibytes."""

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
        outside: Initializers that the original keeps in files of their own.
        example: What one run is fed.
    """

    plan: Plan
    verification: Verification | None
    audit: Audit
    graph: ir.Model
    outside: frozenset[str]
    example: Mapping[str, np.ndarray]

    @property
    def model(self) -> onnx.ModelProto:
        """The model as a protobuf, weights included."""
        copy = _bare(self.graph)
        ir.external_data.load_to_model(copy)
        return ir.to_proto(copy)

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model whole or not at all; weights that lay beside the original go beside it, one by one.

        Raises:
            UsageError: ``output`` if the file cannot be written.
        """
        target = Path(path).resolve()  # a link stays a link
        if target.exists() and not target.is_file():
            raise UsageError(f"'{path}' is not a file", slug="output", hint="Name a new file.")
        weights = target.with_name(f"{target.name}.data")
        try:
            with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name[:100]}.") as folder:
                staged = Path(folder) / target.name
                self._write(staged, weights.name)
                # The weights first: a model whose weights are not there yet would be worse than none.
                if (Path(folder) / weights.name).exists():
                    (Path(folder) / weights.name).replace(weights)
                staged.replace(target)
        except OSError as error:
            raise UsageError(f"cannot write '{target}': {error.strerror}", slug="output") from error

    def _write(self, target: Path, weights: str) -> None:
        sizes = [
            value.const_value.nbytes
            for graph in self.graph.graphs()
            for name, value in graph.initializers.items()
            if name in self.outside and value.const_value is not None
        ]
        if sizes or self.plan.after.bytes > EXTERNAL_BYTES:
            least = min(sizes, default=INLINE_BYTES) - 1  # larger than this goes outside
            ir.save(  # pyright: ignore[reportUnknownMemberType]
                _bare(self.graph), target, external_data=weights, size_threshold_bytes=least
            )
        else:
            target.write_bytes(self.model.SerializeToString())


def _bare(model: ir.Model) -> ir.Model:
    """A copy without types of what lies between: they may not hold any more, and every runtime infers its own."""
    copy = model.clone()
    for node in (step.node for step in walk(copy.graph)):
        for value in node.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    return copy
