"""How operators on images carry axes: the small functions that rows of the axis table name, as in ``moves``."""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.graph.layout import Axis, Layout, axis_size, regrouped, resized
from relu_audit.graph.moves import Operation, opaque_output, reduced


def spatial(op: Operation) -> Sequence[Layout | None]:
    """Batch and channel untouched, the image resampled (Resize and Upsample of images)."""
    source, shape = op.inputs[0], op.shapes[0]
    if source is None:
        return [opaque_output(op)]
    scales = next((c for c in op.constants[1:] if c is not None and c.size == len(source)), None)
    out: list[Axis] = []
    for index, axis in enumerate(source):
        size = None if shape is None else shape[index]
        same = size is not None and size == axis_size(axis)
        kept = scales is not None and scales.dtype.kind == "f" and scales[index] == 1
        out.append(axis if same or kept or index < len(source) - 2 else resized(axis, size))
    return [tuple(out)]


def depth_to_space(op: Operation) -> Sequence[Layout | None]:
    """Channels into squares of the image, whose parts are on three axes then: a filter owns every second pixel, say."""
    source = op.inputs[0]
    if source is None or len(source) != 4:
        return [opaque_output(op)]
    block = op.integer("blocksize", 1)
    depth = axis_size(source[1])
    inner = depth // block**2 if isinstance(depth, int) else None
    columns_first = op.text("mode", "DCR") == "CRD"
    wanted = (inner, block, block) if columns_first else (block, block, inner)
    parts = regrouped(source[1:2], wanted)
    channel, down, right = parts if columns_first else (parts[2], parts[0], parts[1])
    return [(source[0], channel, (*source[2], *down), (*source[3], *right))]


def space_to_depth(op: Operation) -> Sequence[Layout | None]:
    """Squares of the image into channels, outermost."""
    source = op.inputs[0]
    if source is None or len(source) != 4:
        return [opaque_output(op)]
    block = op.integer("blocksize", 1)
    halves = [_split(axis, block) for axis in source[2:]]
    (top, down), (left, right) = halves
    return [(source[0], (*down, *right, *source[1]), top, left)]


def _split(axis: Axis, block: int) -> tuple[Axis, Axis]:
    size = axis_size(axis)
    outer = size // block if isinstance(size, int) else None
    first, second = regrouped((axis,), (outer, block))
    return first, second


def out_of_blocks(op: Operation) -> Sequence[Layout | None]:
    """Out of blocks of channels into either layout, with as many ``channels`` as are not filling."""
    source = op.inputs[0]
    if source is None:
        return [opaque_output(op)]
    batch, channel, *image = source
    channel = resized(channel, op.integer("channels", 0) or axis_size(channel))
    return [(batch, *image, channel) if op.integer("channels_last", 0) else (batch, channel, *image)]


def regions(op: Operation) -> Sequence[Layout | None]:
    """Pieces of images, one for each row of the second input, with all their channels."""
    source, rows = op.inputs[0], op.inputs[1]
    if source is None or rows is None:
        return [opaque_output(op)]
    image = (resized(axis, op.size(index)) for index, axis in enumerate(source[2:], 2))
    return [(rows[0], source[1], *image)]


def global_pool(op: Operation) -> Sequence[Layout | None]:
    """Everything but batch and channel at size one."""
    source = op.inputs[0]
    if source is None:
        return [opaque_output(op)]
    first = 1 if op.integer("channels_last", 0) else 2
    return [reduced(source, set(range(first, len(source) + first - 2)), keep=True)]
