"""How operators on images carry axes: the small functions that rows of the axis table name, as in ``moves``."""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.operators.layout import Axis, Layout, Span, axis_size, collapsed, length_of, regrouped, resized
from relu_audit.operators.moves import Operation, opaque_output, reduced


def spatial(op: Operation) -> Sequence[Layout | None]:
    """Axes of another length hold other entries; the others are untouched (Resize and Upsample)."""
    source, shape = op.inputs[0], op.shapes[0]
    if source is None:
        return [opaque_output(op)]
    same = kept(op)
    sizes = shape if shape is not None else [None] * len(source)
    return [
        tuple(
            axis if i in same else collapsed(axis, size)
            for i, (axis, size) in enumerate(zip(source, sizes, strict=True))
        )
    ]


def kept(op: Operation) -> frozenset[int]:
    """The axes that neither scales nor sizes change, as far as the file tells."""
    source = op.inputs[0] or ()
    axes = [axis % len(source) for axis in op.integers("axes") or range(len(source))]
    others = frozenset(range(len(source))) - {*axes}
    scales, regions = _scales(op, len(axes)), op.constants[1] if len(op.constants) > 1 else None
    crops = op.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if scales is None and not crops:
        return others | _kept_by_size(op, source, axes)
    if scales is None or (crops and (regions is None or regions.size != 2 * len(axes))):
        return others
    bounds = regions.reshape(2, -1).T.tolist() if crops and regions is not None else [[0, 1]] * len(axes)
    return others | {
        axis for axis, scale, bound in zip(axes, scales, bounds, strict=True) if (scale, bound) == (1, [0, 1])
    }


def _kept_by_size(op: Operation, source: Layout, axes: Sequence[int]) -> set[int]:
    """The axes whose length stays, by the sizes wanted where all axes are stretched to them, or as inferred."""
    stretched = op.text("keep_aspect_ratio_policy", "stretch") == "stretch"
    wanted = op.lists(3) if stretched and op.given(3) else None
    lengths = wanted if wanted is not None and len(wanted) == len(axes) else (None,) * len(axes)
    found: set[int] = set()
    for axis, length in zip(axes, lengths, strict=True):
        inferred = op.size(axis) if wanted is None or isinstance(op.size(axis), int) else None
        sizes = {inferred, length_of(length)} - {None}
        if length == Span(source[axis]) or axis_size(source[axis]) in sizes:
            found.add(axis)
    return found


def _scales(op: Operation, count: int) -> Sequence[float] | None:
    attribute = op.node.attributes.get("scales")
    if attribute is not None:
        return list(attribute.as_floats())
    found = (c for c in op.constants[1:] if c is not None and c.size == count and c.dtype.kind == "f")
    return next(([float(scale) for scale in c] for c in found), None)


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


def global_pool(op: Operation) -> Sequence[Layout | None]:
    """Everything but batch and channel at size one."""
    source = op.inputs[0]
    if source is None:
        return [opaque_output(op)]
    first = 1 if op.integer("channels_last", 0) else 2
    return [reduced(source, set(range(first, len(source) + first - 2)), keep=True)]
