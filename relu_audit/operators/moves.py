"""How the operators that move data carry axes: one small function per way of moving, rows of the axis table name them.

Each takes an :class:`Operation` and returns the layouts of its outputs, None where nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from relu_audit.operators.layout import (
    RANK,
    Axis,
    Factor,
    Kind,
    Layout,
    Length,
    Size,
    Span,
    axis_size,
    collapsed,
    holds_ranks,
    length_of,
    merged,
    opaque,
    regrouped,
)


def _no_list(index: int) -> tuple[Length, ...] | None:
    del index
    return None


@dataclass(frozen=True)
class Operation:
    """What a rule may look at.

    Attributes:
        node: The operator, for its attributes.
        inputs: Layout of each input; None where absent or of unknown rank.
        constants: Numbers of each input that is a small constant, else None.
        shapes: Sizes of each output as inferred; None without a rank.
        lists: Of each input that is a list of sizes, its entries as far as they are known, -1 and 0 as they stand
            there; else None.
        opset: Version of the operator set.
    """

    node: ir.Node
    inputs: tuple[Layout | None, ...]
    constants: Sequence[np.ndarray | None]
    shapes: tuple[tuple[Size, ...] | None, ...]
    lists: Callable[[int], tuple[Length, ...] | None] = _no_list
    opset: int = 0

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else int(attribute.value)  # pyright: ignore[reportArgumentType]

    def integers(self, name: str, index: int | None = None) -> list[int] | None:
        """A list of integers, from the attribute or, in newer opsets, the constant input ``index``."""
        attribute = self.node.attributes.get(name)
        if attribute is not None:
            return [int(i) for i in attribute.value]  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
        if index is not None and index < len(self.constants):
            constant = self.constants[index]
            return None if constant is None else [int(i) for i in constant.ravel()]
        return None

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.as_string()

    def given(self, index: int) -> bool:
        """Whether the optional input is there."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def size(self, axis: int, output: int = 0) -> Size:
        """Inferred size of an output's axis."""
        shape = self.shapes[output]
        return shape[axis] if shape is not None and axis < len(shape) else None


EVERYTHING = 2**31 - 1
"""A Slice that ends here or beyond goes to the end of any axis."""

Move = Callable[[Operation], Sequence[Layout | None]]


def transpose(op: Operation) -> Sequence[Layout | None]:
    """Axes in the order of ``perm``; reversed without one."""
    (source,) = op.inputs
    if source is None:
        return [None]
    perm = op.integers("perm") or list(reversed(range(len(source))))
    return [tuple(source[axis] for axis in perm)]


def reshape(op: Operation) -> Sequence[Layout | None]:
    """Row-major regrouping; a target of 0 copies the axis, -1 takes the rest (Reshape, opset 5 and later)."""
    source, shape = op.inputs[0], op.shapes[0]
    stated: Sequence[int] | None = op.integers("shape", 1)
    target: Sequence[Length] | None = op.lists(1) if stated is None else stated
    if target is None or (shape is not None and len(shape) != len(target)):
        return [regrouped(source, shape) if source is not None and shape is not None else opaque_output(op)]
    if source is None:
        return [opaque([size if isinstance(size, int) and size > 0 else None for size in map(length_of, target)])]
    copies = not op.integer("allowzero", 0)
    copied: list[Axis] = []
    # A leading run of zeros copies axes as they are, whatever they are made of.
    while copies and len(copied) < len(target) and target[len(copied)] == 0:
        copied.append(source[len(copied)])
    wanted: list[Length] = []
    for index, length in enumerate(target[len(copied) :], len(copied)):
        inferred = op.size(index)
        if copies and length == 0:
            wanted.append(Span(source[index]))
        elif isinstance(length, int) and length < 1:
            wanted.append(inferred)
        elif length is None:  # a symbol may have come through a node that changes numbers
            wanted.append(inferred if isinstance(inferred, int) else None)
        else:
            wanted.append(inferred if isinstance(inferred, int) else length)
    return [(*copied, *regrouped(source[len(copied) :], wanted))]


def flatten(op: Operation) -> Sequence[Layout | None]:
    """Everything before ``axis`` on one axis, the rest on the other."""
    (source,) = op.inputs
    if source is None:
        return [None]
    axis = op.integer("axis", 1)
    axis = axis + len(source) if axis < 0 else axis
    return [tuple(tuple(f for a in half for f in a) for half in (source[:axis], source[axis:]))]


def squeeze(op: Operation) -> Sequence[Layout | None]:
    """Axes of size one gone: all of them, if none are named."""
    source, axes = op.inputs[0], op.integers("axes", 1)
    unknown = axes is None and op.given(1)
    axes = axes or None
    if source is None or (axes is None and (unknown or any(not isinstance(axis_size(a), int) for a in source))):
        return [opaque_output(op)]
    gone = (
        {a % len(source) for a in axes} if axes is not None else {i for i, a in enumerate(source) if axis_size(a) == 1}
    )
    return [_without(source, gone)]


def _without(source: Layout, gone: set[int]) -> Layout:
    """The layout without some axes of size one; a unit that was alone on one goes along with a neighbour."""
    left = [axis for i, axis in enumerate(source) if i not in gone]
    alone = tuple(f for i in sorted(gone) for f in source[i] if f.letter.kind is Kind.BORN)
    home = next((i for i in reversed(range(len(left))) if all(f.letter.kind is not Kind.BATCH for f in left[i])), None)
    if alone and home is not None:
        left[home] = (*left[home], *alone)
    return tuple(left)


def unsqueeze(op: Operation) -> Sequence[Layout | None]:
    """Axes of size one inserted."""
    source, axes = op.inputs[0], op.integers("axes", 1)
    if source is None or axes is None:
        return [opaque_output(op)]
    rank = len(source) + len(axes)
    new, old = {a % rank for a in axes}, iter(source)
    return [tuple(() if i in new else next(old) for i in range(rank))]


def concat(op: Operation) -> Sequence[Layout | None]:
    """End to end along ``axis``; the units there are those of the operand whose weight came last."""
    known = [layout for layout in op.inputs if layout is not None]
    if not known:
        return [opaque_output(op)]
    along = op.integer("axis", 1) % len(known[0])
    out: list[Axis] = []
    for index, axes in enumerate(zip(*known, strict=True)):
        if index == along:
            parts = [axis_size(axis) for axis in axes]
            total = sum(p for p in parts if isinstance(p, int)) if all(isinstance(p, int) for p in parts) else None
            inferred = op.size(index)
            out.append(collapsed(tuple(f for axis in axes for f in axis), total if inferred is None else inferred))
        else:
            out.append(merged(axes))
    return [tuple(out)]


def take_along(attribute: str, default: int) -> Move:
    """Some entries along the one axis that ``attribute`` names; the other axes untouched (Split, Compress)."""

    def move(op: Operation) -> Sequence[Layout | None]:
        source = op.inputs[0]
        if source is None:
            return [opaque_output(op, i) for i in range(len(op.shapes))]
        along = op.integer(attribute, default) % len(source)
        return [_taken(op, source, {along}, output) for output in range(len(op.shapes))]

    move.__doc__ = f"Some entries along ``{attribute}``."
    return move


def ranked(op: Operation) -> Sequence[Layout | None]:
    """The largest entries along ``axis``, in order: what was there by place is there by rank."""
    source = op.inputs[0]
    if source is None:
        return [opaque_output(op, i) for i in range(len(op.shapes))]
    along = op.integer("axis", -1) % len(source)
    sizes = [op.size(along, output) for output in range(len(op.shapes))]
    return [(*source[:along], (Factor(RANK, size),), *source[along + 1 :]) for size in sizes]


def compress(op: Operation) -> Sequence[Layout | None]:
    """Some entries along ``axis``; without it the value is flattened first."""
    return take_along("axis", 0)(op) if "axis" in op.node.attributes else [opaque_output(op)]


def quantized_concat(op: Operation) -> Sequence[Layout | None]:
    """End to end; operands come in threes (codes, scale, zero point) behind the result's scale and zero point."""
    return concat(replace(op, inputs=op.inputs[2::3]))


def take_axes(op: Operation) -> Sequence[Layout | None]:
    """Some entries along ``axes`` (Slice)."""
    source, axes = op.inputs[0], op.integers("axes", 3)
    if source is None:
        return [opaque_output(op)]
    if axes is None:
        axes = [] if op.given(3) else list(range(len(op.integers("starts", 1) or source)))
        axes = axes or list(range(len(source)))
    starts, ends = op.integers("starts", 1), op.integers("ends", 2)
    steps = op.integers("steps", 4) if op.given(4) else [1] * len(axes)
    if starts is not None and ends is not None and steps is not None and len(axes) == len(starts) == len(ends):
        # From the first entry to "the end", which exporters write as the largest number, is all of them.
        bounds = zip(axes, starts, ends, steps, strict=True)
        axes = [a for a, start, end, step in bounds if start != 0 or end < EVERYTHING or step != 1]
    return [_taken(op, source, {a % len(source) for a in axes}, 0)]


def resize(op: Operation) -> Sequence[Layout | None]:
    """Axes keep their order; the ones whose size changed hold other entries (Pad, Resize, Tile, Expand of ones)."""
    source = op.inputs[0]
    if source is None:
        return [opaque_output(op)]
    shape = op.shapes[0]
    out: list[Axis] = []
    for index, axis in enumerate(source):
        size = None if shape is None else shape[index]
        same = size is not None and size == axis_size(axis)
        out.append(axis if same else collapsed(axis, size))
    return [tuple(out)]


def pad(op: Operation) -> Sequence[Layout | None]:
    """Entries added before and after; an axis that is known to have no padding is untouched.

    A length that stays tells nothing: entries may be added before and cut off behind.
    """
    source, stated = op.inputs[0], op.integers("pads", 1)
    if source is None:
        return [opaque_output(op)]
    pads: Sequence[Length] | None = op.lists(1) if stated is None else stated
    axes = op.integers("axes", 3) if op.given(3) else list(range(len(source)))
    if pads is None or axes is None:
        return [_taken(op, source, {*range(len(source))}, 0)]
    if len(pads) != 2 * len(axes):
        return [opaque_output(op)]
    bounds = zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
    return [_taken(op, source, {axis % len(source) for axis, *both in bounds if both != [0, 0]}, 0)]


def gather(op: Operation) -> Sequence[Layout | None]:
    """The indexed axis replaced by the axes of the indices."""
    source, indices = op.inputs[0], op.inputs[1]
    if source is None or indices is None:
        return [opaque_output(op)]
    along = op.integer("axis", 0) % len(source)
    # Indices that are constant pick entries of the axis; indices that are data bring their own axes (an embedding).
    constant = op.constants[1]
    middle: Layout = indices
    if constant is not None and constant.ndim == 0:
        one = collapsed(source[along], 1)
        return [_without((*source[:along], one, *source[along + 1 :]), {along})]
    if constant is not None:
        middle = (collapsed(source[along], constant.size),) if constant.ndim == 1 else opaque(constant.shape)
    return [(*source[:along], *middle, *source[along + 1 :])]


def gathered(op: Operation) -> Mapping[int, Sequence[int]]:
    """The one axis of which Gather picks entries."""
    source = op.inputs[0]
    return {1: (op.integer("axis", 0) % len(source),)} if source else {}


def gather_elements(op: Operation) -> Sequence[Layout | None]:
    """Entries along ``axis`` chosen one by one; along the other axes as many as there are indices, from the first."""
    source = op.inputs[0]
    if source is None:
        return [opaque_output(op)]
    told = [(axis_size(axis), op.size(index)) for index, axis in enumerate(source)]
    cut = {i for i, (old, new) in enumerate(told) if old is None or old != new}
    along, indices = op.integer("axis", 0) % len(source), op.inputs[1]
    taken = _taken(op, source, {along, *cut}, 0)
    if indices is not None and holds_ranks(indices[along]):
        return [(*taken[:along], indices[along], *taken[along + 1 :])]
    return [taken]


def gather_nd(op: Operation) -> Sequence[Layout | None]:
    """The leading axes that the last axis of the indices counts, replaced by the other axes of the indices."""
    source, indices, constant = op.inputs[0], op.inputs[1], op.constants[1]
    along = op.integer("batch_dims", 0)
    picked = gathered_nd(op).get(1)
    if source is None or indices is None or picked is None:
        return [opaque_output(op)]
    leading, middle = source[:along], indices[along:-1]
    if constant is None:
        leading = tuple(merged(both) for both in zip(leading, indices, strict=False))
    else:
        # Constant indices of one number each pick entries of one axis, as those of Gather do.
        one = constant.ndim == along + 2 and len(picked) == 1
        middle = (collapsed(source[along], constant.shape[-2]),) if one else opaque(constant.shape[along:-1])
    return [(*leading, *middle, *source[along + len(picked) :])]


def gathered_nd(op: Operation) -> Mapping[int, Sequence[int]]:
    """The axes of which GatherND picks entries, as many as the last axis of its indices has."""
    indices = op.inputs[1]
    count = axis_size(indices[-1]) if indices else None
    along = op.integer("batch_dims", 0)
    return {1: range(along, along + count)} if isinstance(count, int) else {}


def reduce_axes(op: Operation) -> Sequence[Layout | None]:
    """The axes of the attribute or second input gone or of size one; all of them if none are named."""
    source, gone = op.inputs[0], reduced_axes(op)
    if source is None or gone is None:
        return [opaque_output(op)]
    return [reduced(source, gone, keep=bool(op.integer("keepdims", 1)))]


def reduced_axes(op: Operation) -> frozenset[int] | None:
    """The axes that a reduction takes away; None where the file does not tell them."""
    source, axes = op.inputs[0], op.integers("axes", 1)
    if source is None or (axes is None and op.given(1)):
        return None
    if not axes:
        return frozenset(() if op.integer("noop_with_empty_axes", 0) else range(len(source)))
    return frozenset(axis % len(source) for axis in axes)


def reduce_one(op: Operation) -> Sequence[Layout | None]:
    """The one axis of the attribute ``axis`` (ArgMax and ArgMin)."""
    (source,) = op.inputs
    if source is None:
        return [None]
    return [reduced(source, {op.integer("axis", 0) % len(source)}, keep=bool(op.integer("keepdims", 1)))]


def reduced(source: Layout, gone: Collection[int], *, keep: bool) -> Layout:
    """The layout without the axes that are gone, or with size one in their place."""
    return tuple(() if i in gone else axis for i, axis in enumerate(source) if keep or i not in gone)


def _taken(op: Operation, source: Layout, axes: set[int], output: int) -> Layout:
    return tuple(
        collapsed(axis, op.size(index, output)) if index in axes else axis for index, axis in enumerate(source)
    )


def opaque_output(op: Operation, output: int = 0) -> Layout | None:
    """An output of which nothing is known but its sizes; None without a rank."""
    shape = op.shapes[output]
    return None if shape is None else opaque(shape)
