"""The graph's inputs, and which of their axes holds samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.errors import DataError
from relu_audit.graph import axes, channels
from relu_audit.graph.kinds import MAP, TENSOR, kind
from relu_audit.graph.layout import Size
from relu_audit.graph.missing import inputs_that_take_nan
from relu_audit.graph.normalize import Network, sizes


@dataclass(frozen=True)
class GraphInput:
    """One input that must be fed.

    Attributes:
        name: Its name in the file.
        dtype: Element type; None if the file does not say or it is no tensor.
        shape: Axis sizes; None without a rank.
        batch_axis: The axis that holds samples; None if there is none.
        kind: What it is, as :func:`relu_audit.graph.kinds.kind` says.
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


def graph_inputs(network: Network) -> tuple[GraphInput, ...]:
    """The inputs to feed: all graph inputs but those whose value the file holds (IR 3 lists initializers as inputs)."""
    graph = network.model.graph
    values = [value for value in graph.inputs if value.name not in graph.initializers]
    stated = channels.batch_axes(network, axes.rule)
    shapes = [sizes(value) for value in values]
    certain = [stated.get(value.name or "") for value in values]
    take_nan = inputs_that_take_nan(network)
    return tuple(
        GraphInput(
            name=value.name or "",
            dtype=value.dtype,
            shape=shape,
            batch_axis=_batch_axis(
                shape, [_Other(s, c) for s, c in zip(shapes, certain, strict=True) if s is not shape]
            )
            if axis is None
            else axis,
            kind=kind(value),
            takes_nan=value.name in take_nan,
        )
        for value, shape, axis in zip(values, shapes, certain, strict=True)
    )


@dataclass(frozen=True)
class _Other:
    """An input beside the one in question."""

    shape: Sequence[Size] | None
    stated: int | None

    @property
    def batch(self) -> Size:
        """The open size of its batch axis; a number or None where it has none."""
        return self.shape[self.stated or 0] if self.shape else None


def _batch_axis(shape: Sequence[Size] | None, others: Sequence[_Other]) -> int | None:
    """Axis 0 by convention; another one only where axis 0 is a fixed count and the batch shows as its symbol."""
    if shape is None:
        return 0
    if not shape:
        return None
    open_axes = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    leading = [other.batch for other in others if other.shape and not isinstance(other.batch, int)]
    named = [axis for axis in open_axes if shape[axis] is not None and shape[axis] in leading]
    if 0 in open_axes and (0 in named or not named):
        return 0
    fixed = {other.shape[0] for other in others if other.shape}
    if not open_axes and not leading and fixed - {shape[0]}:
        return 0 if shape[0] == 1 else None  # nothing is a batch if all are fixed and disagree
    if not open_axes:
        # Beside an input with an open batch, a fixed one of more than one entry is a table, not a batch.
        return None if len(shape) == 1 or (leading and shape[0] != 1) else 0
    if named:
        return named[0]
    if leading and len(open_axes) == 1:
        return open_axes[0]
    return 0 if shape[0] == 1 else None
