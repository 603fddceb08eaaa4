"""Fit the arrays of a table to a model's inputs: which array feeds which input, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from relu_audit.errors import DataError
from relu_audit.observe.casts import cast
from relu_audit.observe.columns import Column, Table
from relu_audit.operators.layout import Size
from relu_audit.units.inputs import GraphInput, check_inputs

Feeding = Literal["samples", "rows", "repeated"]


@dataclass(frozen=True)
class Bound:
    """One input, the column that feeds it, and how."""

    input: GraphInput
    key: str
    column: Column
    feeding: Feeding
    where: str

    @property
    def axis(self) -> int:
        """The axis of the array that holds samples; 0 where none does."""
        return self.input.batch_axis or 0 if self.feeding == "samples" else 0

    @property
    def count(self) -> int | None:
        """Samples in the array; None for one that is repeated for every sample."""
        return None if self.feeding == "repeated" else self.column.shape[self.axis]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that the input takes."""
        return self.column.dtype if self.input.dtype is None else np.dtype(self.input.dtype.numpy())

    def cast(self, block: np.ndarray) -> np.ndarray:
        """The block in the input's type."""
        return cast(block, self.dtype, self.where, self.input.name)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Consecutive pieces for runs of ``rows`` samples, in the source's dtype; a repeated one for ever the same."""
        if self.feeding == "repeated":
            whole = self.whole() if self.column.shape else next(self.column.blocks(1))
            while True:
                yield whole
        elif self.feeding == "rows":
            for block in self.column.blocks(1):
                yield block[0, ...]
        elif self.axis == 0:
            yield from self.column.blocks(rows)
        else:
            # Only along axis 0 can a file be cut while it is read.
            whole = self.whole()
            for start in range(0, whole.shape[self.axis], rows):
                yield np.take(whole, range(start, min(start + rows, whole.shape[self.axis])), axis=self.axis)

    def whole(self) -> np.ndarray:
        """All of the array."""
        blocks = list(self.column.blocks(1 << 20))
        return np.concatenate(blocks) if blocks else np.empty(self.column.shape, self.column.dtype)


def bind(table: Table, inputs: Sequence[GraphInput], keys: Mapping[str, str]) -> tuple[Bound, ...]:
    """Fit a table to the inputs.

    Args:
        table: Named arrays.
        inputs: The model's inputs, with the axes that hold samples.
        keys: Array name by input name, where they differ.

    Raises:
        DataError: ``data-name`` for an array that is not there, ``data-shape`` for arrays that do not fit,
            ``data-empty`` for samples without a number, ``input-kind`` for an input that is no tensor.
    """
    fed = [one for one in inputs if not one.optional or keys.get(one.name, one.name) in table.columns]
    check_inputs(fed)
    bound = [_bind_one(one, table, keys, alone=len(fed) == 1) for one in fed]
    counts = {b.input.name: b.count for b in bound if b.count is not None}
    if len(set(counts.values())) > 1:
        # An array in the input's own fixed shape is one value for all samples, if the others have more of them.
        bound = [
            replace(b, feeding="repeated")
            if b.feeding == "samples" and b.count == b.input.fixed_batch and b.count != max(counts.values())
            else b
            for b in bound
        ]
        counts = {b.input.name: b.count for b in bound if b.count is not None}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise DataError(
            f"{table.name}: the arrays hold different numbers of samples ({each})",
            slug="data-shape",
            hint="Every input needs one entry per sample.",
        )
    sampled = [b for b in bound if b.count]
    if sampled and all(0 in b.column.shape for b in sampled):
        raise DataError(
            f"{table.name} holds no numbers: array '{sampled[0].key}' has shape {_show(sampled[0].column.shape)}",
            slug="data-empty",
            hint="A sample needs at least one number.",
        )
    return tuple(bound)


def _bind_one(wanted: GraphInput, table: Table, keys: Mapping[str, str], *, alone: bool) -> Bound:
    key = keys.get(wanted.name, wanted.name)
    positional = alone and wanted.name not in keys
    unnamed = [name for name in table.columns if not name or (name == "arr_0" and len(table.columns) == 1)]
    if key not in table.columns and unnamed and positional:
        key = unnamed[0]
    if key not in table.columns:
        unnamed_too = "one array without a name" if table.columns else "none"
        found = ", ".join(f"'{name}'" for name in table.columns if name) or unnamed_too
        other = next((name for name in table.columns if name), "NAME")
        raise DataError(
            f"{table.name} has no array named '{key}' (found: {found}).",
            slug="data-name",
            hint=f"Rename it, or map it: --input {wanted.name}={other}",
        )
    column = table.columns[key]
    where = f"{table.name}, array '{key}'" if key else table.name
    return Bound(wanted, key, column, _feeding(wanted, column, where), where)


def check_keys(keys: Mapping[str, str], inputs: Sequence[GraphInput]) -> None:
    """Refuse names that are no inputs of the model.

    Raises:
        DataError: ``data-name``.
    """
    names = [i.name for i in inputs]
    for name in keys:
        if name not in names:
            raise DataError(
                f"the model has no input '{name}' (it has: {', '.join(names)})",
                slug="data-name",
                hint="--input takes INPUT=ARRAY, the model's name first.",
            )


def _feeding(wanted: GraphInput, column: Column, where: str) -> Feeding:
    shape, given = wanted.shape, column.shape
    if shape is None:
        return "samples" if given and wanted.batch_axis is not None else "repeated"
    if len(given) == len(shape) + 1 and _fits(given[1:], shape):
        return "rows"
    if len(given) == len(shape):
        axis = wanted.batch_axis
        if axis is None and _fits(given, shape):
            return "repeated"
        if axis is not None and _fits(given[:axis] + given[axis + 1 :], shape[:axis] + shape[axis + 1 :]):
            return "samples"
    raise DataError(
        f"{where} has shape {_show(given)}, but input '{wanted.name}' takes {_show(shape)}",
        slug="data-shape",
        hint=_shape_hint(wanted, given, shape),
    )


def _shape_hint(wanted: GraphInput, given: tuple[int, ...], shape: tuple[Size, ...]) -> str:
    axis = wanted.batch_axis
    if axis is not None and _fits(given, shape[:axis] + shape[axis + 1 :]):
        return f"One sample needs its batch axis: numpy.expand_dims(array, {axis})."
    if len(given) == len(shape) and sorted(given[1:]) == sorted(s for s in shape[1:] if isinstance(s, int)):
        return "The axes look swapped: reorder them with numpy.transpose."
    if axis is not None:
        return "Give samples along the batch axis, or one whole feed per row in an array of one rank more."
    return "Give one whole feed per row in an array of one rank more."


def _fits(given: tuple[int, ...], shape: tuple[Size, ...]) -> bool:
    return len(given) == len(shape) and all(not isinstance(s, int) or s == g for g, s in zip(given, shape, strict=True))


def _show(shape: Sequence[Size]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
