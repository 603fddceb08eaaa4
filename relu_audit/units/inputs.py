"""The graph's inputs, as they are to be fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.errors import DataError
from relu_audit.model.kinds import MAP, TENSOR, kind
from relu_audit.network.missing import inputs_that_take_nan
from relu_audit.network.normalize import Network, sizes
from relu_audit.operators.layout import Size


@dataclass(frozen=True)
class GraphInput:
    """One input that must be fed.

    Attributes:
        name: Its name in the file.
        dtype: Element type; None if the file does not say or it is no tensor.
        shape: Axis sizes; None without a rank.
        batch_axis: The axis that holds samples; None if there is none.
        kind: What it is, as :func:`relu_audit.model.kinds.kind` says.
        takes_nan: Whether the graph takes care of NaN in it.
    """

    name: str
    dtype: ir.DataType | None
    shape: tuple[Size, ...] | None
    batch_axis: int | None
    kind: str = TENSOR
    takes_nan: bool = False

    @property
    def optional(self) -> bool:
        """Whether a run does without it where there is nothing to feed."""
        return self.kind.startswith("optional(")

    @property
    def fixed_batch(self) -> int | None:
        """Samples per run where the file fixes them."""
        if self.shape is None or self.batch_axis is None:
            return None
        size = self.shape[self.batch_axis]
        return size if isinstance(size, int) else None


def check_inputs(inputs: Sequence[GraphInput]) -> None:
    """Refuse to feed what cannot be fed.

    Raises:
        DataError: ``input-kind`` for an input that is a sequence or a map.
    """
    for one in inputs:
        if one.kind not in (TENSOR, f"optional({TENSOR})"):
            raise DataError(
                f"input '{one.name}' is a {'map' if MAP in one.kind else 'sequence'}; only tensors can be fed",
                slug="input-kind",
                hint="Export the model with a tensor input; a sequence can be made of it by SplitToSequence.",
            )


def graph_inputs(network: Network, batch_axes: Mapping[str, int | None]) -> tuple[GraphInput, ...]:
    """The inputs to feed: all graph inputs but those whose value the file holds (IR 3 lists initializers as inputs).

    Args:
        network: The graph.
        batch_axes: For each of them the axis that holds samples; None where the whole input belongs to every sample.
    """
    graph = network.model.graph
    take_nan = inputs_that_take_nan(network)
    return tuple(
        GraphInput(
            name=value.name or "",
            dtype=value.dtype,
            shape=sizes(value),
            batch_axis=batch_axes.get(value.name or ""),
            kind=kind(value),
            takes_nan=value.name in take_nan,
        )
        for value in graph.inputs
        if value.name not in graph.initializers
    )
