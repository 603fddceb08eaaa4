"""The graph's inputs, as they are to be fed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.graph.layout import Size
from relu_audit.graph.normalize import Network, sizes


@dataclass(frozen=True)
class GraphInput:
    """One input that must be fed.

    Attributes:
        name: Its name in the file.
        dtype: Element type; None if the file does not say or it is no tensor.
        shape: Axis sizes; None without a rank.
        batch_axis: The axis that holds samples; None if there is none.
    """

    name: str
    dtype: ir.DataType | None
    shape: tuple[Size, ...] | None
    batch_axis: int | None

    @property
    def fixed_batch(self) -> int | None:
        """Samples per run where the file fixes them."""
        if self.shape is None or self.batch_axis is None:
            return None
        size = self.shape[self.batch_axis]
        return size if isinstance(size, int) else None


def graph_inputs(network: Network, batch_axes: Mapping[str, int | None]) -> tuple[GraphInput, ...]:
    """The inputs to feed: all graph inputs but those whose value the file holds (IR 3 lists initializers as inputs).

    Args:
        network: The graph.
        batch_axes: For each of them the axis that holds samples; None where the whole input belongs to every sample.
    """
    graph = network.model.graph
    return tuple(
        GraphInput(
            name=value.name or "", dtype=value.dtype, shape=sizes(value), batch_axis=batch_axes.get(value.name or "")
        )
        for value in graph.inputs
        if value.name not in graph.initializers
    )
