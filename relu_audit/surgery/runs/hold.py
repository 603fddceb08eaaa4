"""The premise made true: the same model with the silent units held at their value, whatever the input.

On every input on which the premise holds, the held model computes what the original does. On all others it computes
what the pruned model is to compute, so that constants can be read off it, and results compared, on any input at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.model.scopes import walk
from relu_audit.surgery.operators.atoms import Ints


@dataclass(frozen=True)
class Silent:
    """Units of one rectifier that have one value on all data.

    Attributes:
        value: The rectifier's output.
        rank: Its number of axes.
        axis: The axis that holds its units.
        units: For every index along the axis the unit that it belongs to.
        numbers: The value of every index; NaN for an index whose unit is alive.
        tensor: The audit's name of the site.
        dtype: Element type of the value, which the file need not tell behind operators that are not the standard's.
    """

    value: ir.Value
    rank: int
    axis: int
    units: Ints
    numbers: np.ndarray
    tensor: str
    dtype: ir.DataType

    @property
    def indices(self) -> Ints:
        """Where the silent ones are along the axis."""
        return np.flatnonzero(~np.isnan(self.numbers))

    @property
    def held(self) -> np.ndarray:
        """The numbers as the value's element type has them: float64."""
        alive = np.isnan(self.numbers)
        return np.where(alive, np.nan, np.where(alive, 0, self.numbers).astype(self.dtype.numpy()).astype(np.float64))


def twins(model: ir.Model, copy: ir.Model) -> dict[ir.Value, ir.Value]:
    """For every value that a node computes, the one in a copy of the model; names need not be unique in bodies."""
    return {
        old: new
        for a, b in zip(walk(model.graph), walk(copy.graph), strict=True)
        for old, new in zip(a.node.outputs, b.node.outputs, strict=True)
    }


def hold(
    model: ir.Model,
    silent: Sequence[Silent],
    on: Sequence[tuple[ir.Value, ir.Value]] = (),
    perturbed: Sequence[Silent] = (),
) -> ir.Model:
    """A copy of the model in which silent units have their value on every input.

    Args:
        model: The model.
        silent: Those units.
        on: Pre-activations, each with its rectified value, that the copy passes on as they are.
        perturbed: Other units, which are silent by themselves, and in the copy are one above what they are.
    """
    copy = model.clone()
    counterpart = twins(model, copy)
    for source, value in on:
        for node, index in list(counterpart[value].uses()):
            node.replace_input_with(index, counterpart[source])
    editor = Editor(copy)
    for one in perturbed:
        _perturb(editor, counterpart[one.value], one)
    for one in silent:
        if not len(one.indices):
            continue
        dtype = np.dtype(one.dtype.numpy())
        shape = [1] * (one.rank - one.axis)
        shape[0] = -1
        alive = np.isnan(one.numbers)
        like = one.value.name or "held"
        if dtype.kind in "iu":
            codes = editor.constant(np.nan_to_num(one.numbers).astype(dtype).reshape(shape), f"{like}_level")
            editor.choose(counterpart[one.value], editor.constant(~alive.reshape(shape), f"{like}_mask"), codes)
            continue
        value = editor.redirect(
            counterpart[one.value], "Mul", editor.constant(alive.astype(dtype).reshape(shape), f"{like}_mask")
        )
        if np.nan_to_num(one.numbers).any():
            level = np.where(alive, 0, one.numbers).astype(dtype).reshape(shape)
            editor.redirect(value, "Add", editor.constant(level, f"{like}_level"))
    return copy


def _perturb(editor: Editor, value: ir.Value, one: Silent) -> None:
    dtype, wake = np.dtype(one.dtype.numpy()), ~np.isnan(one.numbers)
    shape = [1] * (one.rank - one.axis)
    shape[0] = -1
    like = f"{one.value.name or 'woken'}_woken"
    if dtype.kind in "iu":
        other = np.nan_to_num(one.numbers).astype(np.int64)
        other += np.where(other < np.iinfo(dtype).max, 1, -1)
        codes = editor.constant(other.astype(dtype).reshape(shape), like)
        editor.choose(value, editor.constant(wake.reshape(shape), f"{like}_mask"), codes)
    else:
        editor.redirect(value, "Add", editor.constant(wake.astype(dtype).reshape(shape), like))
