"""Arrays that stand for whole values: of size one along every axis along which all entries are alike.

What holds of every pixel of a channel is one number, and an image's channels are ``[1, c, 1, 1]``: elementwise
operators broadcast over that as they do over the value. What is here are the operators that move data, on such arrays.
Each takes the true sizes of the value from the file and gives :class:`Blurred` where entries that differ would have to
be told apart along an axis whose size the file does not tell, or would come out mixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from relu_audit.operators.layout import Size
from relu_audit.operators.moves import EVERYTHING, Operation

LARGEST = 1 << 24
"""Elements of an array that is still spread out."""

Sizes = Sequence[Size]
Merge = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
"""What stands for several entries: their least, their largest, or the one that they all are."""


class Blurred(Exception):  # noqa: N818 - no error, but an answer
    """Entries that differ cannot be told apart any more."""


@dataclass(frozen=True)
class Moving:
    """A node that moves data, as a rule here may see it.

    Attributes:
        op: Its attributes and small constants.
        sizes: True sizes of the operands that hold data, as far as the file tells.
        merge: What stands for entries that come out mixed.
        output: Number of the result.
    """

    op: Operation
    sizes: tuple[Sizes, ...]
    merge: Merge
    output: int = 0


Mover = Callable[[Moving, Sequence[np.ndarray]], np.ndarray]


def alike(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The one number that all entries along the axes are; they stay, with size one."""
    least = array.min(axis=axes, keepdims=True)
    if not np.array_equal(least, array.max(axis=axes, keepdims=True)):
        raise Blurred
    return least


def least(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The smallest entry along the axes; they stay, with size one."""
    return array.min(axis=axes, keepdims=True)


def largest(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The largest entry along the axes; they stay, with size one."""
    return array.max(axis=axes, keepdims=True)


def spread(array: np.ndarray, axes: Sequence[int], sizes: Sizes) -> np.ndarray:
    """The array with some axes at their true sizes."""
    shape = list(array.shape)
    for axis in axes:
        size = sizes[axis]
        if not isinstance(size, int) or array.shape[axis] not in (1, size):
            raise Blurred
        shape[axis] = size
    if math.prod(shape) > LARGEST:
        raise Blurred
    return np.broadcast_to(array, shape)


def _same(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    del at
    return arrays[0]


def _cast(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    dtype = at.op.node.outputs[0].dtype
    if dtype is None or not dtype.is_floating_point():
        raise Blurred
    return arrays[0]


def _transpose(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    return arrays[0].transpose(at.op.integers("perm"))


def _reshape(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    wanted = at.op.shapes[0]
    if wanted is None:
        raise Blurred
    return regrouped(arrays[0], at.sizes[0], wanted, _groups(at.sizes[0], wanted))


def _flatten(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    rank = arrays[0].ndim
    axis = at.op.integer("axis", 1)
    axis = axis + rank if axis < 0 else axis
    groups = [(range(axis), range(1)), (range(axis, rank), range(1, 2))]
    halves = [at.sizes[0][:axis], at.sizes[0][axis:]]
    return regrouped(arrays[0], at.sizes[0], [_product(half) for half in halves], groups)


_Group = tuple[range, range]


def regrouped(array: np.ndarray, sizes: Sizes, wanted: Sizes, groups: Sequence[_Group]) -> np.ndarray:
    """A row-major reshape: groups of neighbouring axes become groups of neighbouring axes of as many entries."""
    shape: list[int] = []
    for source, target in groups:
        if all(array.shape[axis] == 1 for axis in source):
            shape += [1] * len(target)
        elif len(source) == len(target) == 1:
            shape.append(array.shape[source[0]])
        else:
            lengths = [wanted[axis] for axis in target]
            known = _product([sizes[axis] for axis in source])
            if known is None or known != _product(lengths):
                raise Blurred
            array = spread(array, source, sizes)
            shape += [length for length in lengths if isinstance(length, int)]
    return array.reshape(shape)


def _groups(sizes: Sizes, wanted: Sizes) -> list[_Group]:
    """Neighbouring axes that a reshape turns into one another, matched from both ends."""
    head: list[_Group] = []
    tail: list[_Group] = []
    i, j, rank, goal = 0, 0, len(sizes), len(wanted)
    while i < rank and j < goal and (step := _step(list(sizes[i:rank]), list(wanted[j:goal]))) is not None:
        head.append((range(i, i + step[0]), range(j, j + step[1])))
        i, j = i + step[0], j + step[1]
    while i < rank and j < goal:
        step = _step(list(reversed(sizes[i:rank])), list(reversed(wanted[j:goal])))
        if step is None:
            break
        tail.append((range(rank - step[0], rank), range(goal - step[1], goal)))
        rank, goal = rank - step[0], goal - step[1]
    return [*head, *([(range(i, rank), range(j, goal))] if i < rank or j < goal else []), *reversed(tail)]


def _step(sizes: list[Size], wanted: list[Size]) -> tuple[int, int] | None:
    """How many axes from the front of both have equally many entries; None if that cannot be told."""
    if isinstance(sizes[0], str) and sizes[0] == wanted[0]:
        return 1, 1
    i = j = 1
    while True:
        a, b = _product(sizes[:i]), _product(wanted[:j])
        if a is None or b is None or not a or not b:
            return None
        if a == b:
            return i, j
        i, j = (i + 1, j) if a < b else (i, j + 1)
        if i > len(sizes) or j > len(wanted):
            return None


def _product(sizes: Sizes) -> int | None:
    known = [size for size in sizes if isinstance(size, int)]
    return math.prod(known) if len(known) == len(sizes) else None


def _squeeze(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    axes = at.op.integers("axes", 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(at.sizes[0]) if size == 1]
    return np.squeeze(arrays[0], tuple(axis % arrays[0].ndim for axis in axes))


def _unsqueeze(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    axes = at.op.integers("axes", 1)
    if axes is None:
        raise Blurred
    return np.expand_dims(arrays[0], tuple(axes))


def _concat(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    rank = arrays[0].ndim
    axis = at.op.integer("axis", 1) % rank
    spread_out = [spread(one, [axis], sizes) for one, sizes in zip(arrays, at.sizes, strict=True)]
    others = [tuple(1 if i == axis else n for i, n in enumerate(one.shape)) for one in spread_out]
    shape = np.broadcast_shapes(*others)
    full = [tuple(one.shape[axis] if i == axis else n for i, n in enumerate(shape)) for one in spread_out]
    return np.concatenate([np.broadcast_to(one, n) for one, n in zip(spread_out, full, strict=True)], axis)


def _slice(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    (array,) = arrays
    starts, ends = at.op.integers("starts", 1), at.op.integers("ends", 2)
    if starts is None or ends is None:
        raise Blurred
    given = at.op.given(3) or "axes" in at.op.node.attributes
    axes = at.op.integers("axes", 3) if given else list(range(len(starts)))
    steps = at.op.integers("steps", 4) if at.op.given(4) else [1] * len(starts)
    if axes is None or steps is None:
        raise Blurred
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if array.shape[axis] > 1:
            whole = step < 0 and end <= -EVERYTHING
            cut = slice(start, None if whole else end, step)
            array = array[(slice(None),) * (axis % array.ndim) + (cut,)]
    return array


def _gather(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    (array,) = arrays
    axis = at.op.integer("axis", 0) % array.ndim
    if array.shape[axis] > 1:
        chosen = at.op.constants[1]
        if chosen is None:
            raise Blurred
        return np.take(array, chosen, axis)
    wanted = at.op.shapes[0]
    if wanted is None:
        raise Blurred
    between = len(wanted) - array.ndim + 1
    return array.reshape(array.shape[:axis] + (1,) * between + array.shape[axis + 1 :])


def _split(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    (array,) = arrays
    axis = at.op.integer("axis", 0) % array.ndim
    lengths = [None if shape is None else shape[axis] for shape in at.op.shapes]
    known = [length for length in lengths[: at.output + 1] if isinstance(length, int)]
    if array.shape[axis] == 1:
        return array
    if len(known) <= at.output:
        raise Blurred
    start = sum(known[:-1])
    return np.take(array, np.arange(start, start + known[-1]), axis)


def _expand(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    wanted = at.op.shapes[0]
    if wanted is None or len(wanted) < arrays[0].ndim:
        raise Blurred
    return arrays[0].reshape((1,) * (len(wanted) - arrays[0].ndim) + arrays[0].shape)


def _tile(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    repeats = at.op.integers("repeats", 1)
    if repeats is None or len(repeats) != arrays[0].ndim:
        raise Blurred
    return np.tile(arrays[0], [n if size > 1 else 1 for n, size in zip(repeats, arrays[0].shape, strict=True)])


def _over_image(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """What comes of neighbours in an image lies between them."""
    if at.op.text("mode", "") == "cubic" or arrays[0].ndim < 3:
        raise Blurred
    return at.merge(arrays[0], tuple(range(2, arrays[0].ndim)))


def _resized(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """As above, unless images or channels are repeated as well; what is read beyond a border is a number of its own."""
    (array,), wanted = arrays, at.op.shapes[0]
    if any(array.shape[axis] > 1 and (wanted is None or wanted[axis] != at.sizes[0][axis]) for axis in (0, 1)):
        raise Blurred
    made = _over_image(at, arrays)
    if at.op.text("coordinate_transformation_mode", "") != "tf_crop_and_resize":
        return made
    value = at.op.node.attributes.get("extrapolation_value")
    outside = np.full_like(made, 0.0 if value is None else value.as_float())
    return at.merge(np.concatenate([made, outside], 2), (2,))


def _over_axes(at: Moving, arrays: Sequence[np.ndarray]) -> np.ndarray:
    axes = at.op.integers("axes", 1)
    if axes is None and at.op.given(1):
        raise Blurred
    rank = arrays[0].ndim
    chosen = tuple(axis % rank for axis in axes) if axes else tuple(range(rank))
    if not axes and at.op.integer("noop_with_empty_axes", 0):
        return arrays[0]
    made = at.merge(arrays[0], chosen)
    return made if at.op.integer("keepdims", 1) else np.squeeze(made, chosen)


_REDUCTIONS = ("ReduceMax", "ReduceMin", "ReduceMean")

MOVERS: dict[str, Mover] = {
    **dict.fromkeys(("Identity", "Dropout"), _same),
    **dict.fromkeys(("Cast", "CastLike"), _cast),
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"), _over_image),
    **dict.fromkeys(("Resize", "Upsample"), _resized),
    **dict.fromkeys(_REDUCTIONS, _over_axes),
}
"""What every entry of a result comes from, or lies between, for operators that make nothing new."""

MANY = frozenset({"Concat"})
"""Movers all of whose operands are data; of the others it is the first one."""
