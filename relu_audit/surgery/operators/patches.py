"""How a cut is written into the nodes that move data: sizes, bounds and indices that name the axes' old lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.surgery.operators.atoms import Bools, Ints


@dataclass(frozen=True)
class Route:
    """Where the entries along one axis of an operand go: entry ``source[k]`` shows at ``target[k]`` of the result.

    Attributes:
        operand: Number of the input.
        axis: Its axis.
        output: Number of the output.
        output_axis: Its axis.
        source: Indices along the input's axis.
        target: Indices along the output's.
    """

    operand: int
    axis: int
    output: int
    output_axis: int
    source: Ints
    target: Ints

    def repeats(self) -> bool:
        """Whether the result is every entry in order, each as often as the others."""
        order = self.source[np.argsort(self.target)]
        distinct = np.unique(order)
        times = len(order) // len(distinct)
        return bool(np.array_equal(order, np.repeat(np.arange(len(distinct)), times)))


@dataclass(frozen=True)
class Cutting:
    """A node some of whose operands and results lose entries.

    Attributes:
        node: The node.
        routes: Where entries go, before the cut.
        shown: Which entries of the first operand, along each axis, show in the first result at all.
        kept_in: For each operand and axis that loses entries, which ones stay.
        kept_out: The same for results.
        sizes: Sizes of every result before the cut; None where the data decides.
        numbers: What every small integer operand held, before the cut.
        editor: To make constants with.
    """

    node: ir.Node
    routes: Sequence[Route]
    shown: Mapping[int, Ints]
    kept_in: Mapping[tuple[int, int], Bools]
    kept_out: Mapping[tuple[int, int], Bools]
    sizes: Sequence[tuple[int | None, ...]]
    numbers: list[np.ndarray | None]
    editor: Editor

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.as_int()

    def lost(self, output: int = 0) -> dict[int, int]:
        """How many entries each axis of a result loses."""
        return {axis: int((~kept).sum()) for (o, axis), kept in self.kept_out.items() if o == output}

    def operand(self, index: int, array: np.ndarray) -> None:
        """Give the node a constant operand."""
        while len(self.node.inputs) <= index:
            self.node.resize_inputs(len(self.node.inputs) + 1)
        self.node.replace_input_with(index, self.editor.constant(array, self.node.name or self.node.op_type))

    def attribute(self, name: str, numbers: Sequence[int]) -> None:
        """Set a list of integers."""
        self.node.attributes[name] = ir.AttrInt64s(name, list(numbers))


Patch = Callable[[Cutting], None]


def target(index: int, attribute: str) -> Patch:
    """A target shape: what the result loses goes off it. Entries that are not a size (-1, 0, 1) stay as they are.

    A target that the graph computes stays computed, as if nothing had been cut, and has the difference added.
    """

    def patch(cutting: Cutting) -> None:
        node, sizes = cutting.node, cutting.sizes[0]
        held = node.attributes.get(attribute)
        if held is not None:
            numbers = np.array(held.as_ints(), np.int64)
        elif index < len(node.inputs) and cutting.numbers[index] is not None:
            numbers = np.asarray(cutting.numbers[index], np.int64)
        else:
            return
        change = np.zeros_like(numbers)
        for axis, count in cutting.lost().items():
            at = axis - len(sizes) + len(numbers)
            if at >= 0 and numbers[at] == sizes[axis]:
                change[at] = -count
        if not change.any():
            return
        if held is not None:
            cutting.attribute(attribute, (numbers + change).tolist())
            return
        operand = node.inputs[index]
        if operand is not None and operand.const_value is None and not _is_constant(operand):
            delta = cutting.editor.constant(change, node.name or node.op_type)
            node.replace_input_with(index, cutting.editor.before(node, "Add", operand, delta))
        else:
            cutting.operand(index, numbers + change)

    return patch


def _is_constant(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and not producer.inputs


def parts(cutting: Cutting) -> None:
    """The lengths of a Split."""
    node = cutting.node
    axes = {axis for _, axis in cutting.kept_out} | {axis for _, axis in cutting.kept_in}
    axis = cutting.integer("axis", 0) % len(cutting.sizes[0])
    if axis not in axes:
        return
    lengths = [(sizes[axis] or 0) - cutting.lost(i).get(axis, 0) for i, sizes in enumerate(cutting.sizes)]
    if cutting.editor.opset < 13:
        cutting.attribute("split", lengths)
    else:
        node.attributes.pop("num_outputs", None)
        cutting.operand(1, np.array(lengths, np.int64))


def operands(each: int) -> Patch:
    """A Concat's operands: those that have nothing left are left out, with all the inputs that each one takes."""

    def patch(cutting: Cutting) -> None:
        node = cutting.node
        empty = {index for (index, _), kept in cutting.kept_in.items() if not kept.any()}
        gone = {index + more for index in empty for more in range(each)}
        left = [value for index, value in enumerate(node.inputs) if index not in gone]
        if gone and len(left) >= each:
            node.resize_inputs(len(left))
            for index, value in enumerate(left):
                node.replace_input_with(index, value)

    return patch


def bounds(cutting: Cutting) -> None:
    """The bounds of a Slice; where the entries that stay are no run any more, it is left to a Gather behind it."""
    axes = {axis for _, axis in (*cutting.kept_in, *cutting.kept_out)}
    for axis in sorted(axes):
        selection = _selection(cutting, axis)
        if selection is None or _is_whole(cutting, axis):
            continue
        chosen: list[int] = selection.tolist()
        run = bool(chosen) and chosen == list(range(chosen[0], chosen[0] + len(chosen)))
        start, end = (chosen[0], chosen[-1] + 1) if run else (0, int(np.iinfo(np.int64).max))
        _set_bounds(cutting, axis, start, end)
        if not run:
            indices = cutting.editor.constant(selection, cutting.node.name or cutting.node.op_type)
            cutting.editor.redirect(cutting.node.outputs[0], "Gather", indices, axis=axis)


def _selection(cutting: Cutting, axis: int) -> Ints | None:
    """Which entries, counted among those that stay, the result now holds along an axis, in order."""
    kept_in, kept_out = cutting.kept_in.get((0, axis)), cutting.kept_out.get((0, axis))
    route = _straight(cutting, axis)
    if route is None:
        return None
    order = np.argsort(route.target)
    source, goal = route.source[order], route.target[order]
    if kept_out is not None:
        source = source[kept_out[goal]]
    return source if kept_in is None else (np.cumsum(kept_in) - 1)[source]


def _straight(cutting: Cutting, axis: int) -> Route | None:
    """Where the entries along an axis of the first operand go on the same axis of the result."""
    found = next((r for r in cutting.routes if r.operand == r.output == 0 and r.axis == r.output_axis == axis), None)
    alone = cutting.shown.get(axis)
    if found is None and alone is not None and len(alone) == 1 and cutting.sizes[0][axis] == 1:
        return Route(0, axis, 0, axis, alone, np.zeros(1, np.int64))
    return found


def _is_whole(cutting: Cutting, axis: int) -> bool:
    """Whether a Slice takes all there is along an axis, as it will of fewer: its bounds may depend on the data then."""
    route = _straight(cutting, axis)
    before, after = cutting.kept_in.get((0, axis)), cutting.kept_out.get((0, axis))
    if route is None or before is None or after is None:
        return False
    # Where the operand is longer, the first entries are in their places as well: it is its length that tells.
    return (
        len(route.source) == len(before)
        and np.array_equal(route.source, route.target)
        and np.array_equal(before, after)
    )


def _set_bounds(cutting: Cutting, axis: int, start: int, end: int) -> None:
    node, rank = cutting.node, len(cutting.sizes[0])
    old = cutting.editor.opset < 10
    names = ("starts", "ends", "axes")

    def read(name: str, index: int) -> list[int] | None:
        if old:
            held = node.attributes.get(name)
            return None if held is None else list(held.as_ints())
        numbers = cutting.numbers[index] if index < len(cutting.numbers) else None
        return None if numbers is None else [int(i) for i in np.ravel(numbers)]

    starts, ends, axes, steps = (read(name, i) for i, name in enumerate((*names, "steps"), 1))
    starts, ends = starts or [], ends or []
    at = [a % rank for a in axes] if axes is not None else list(range(len(starts)))
    if axis not in at:
        return
    place = at.index(axis)
    starts[place], ends[place] = start, end
    if old:
        for name, numbers in zip(names, (starts, ends, at), strict=True):
            cutting.attribute(name, numbers)
        return
    for index, numbers in enumerate((starts, ends, at), 1):
        cutting.operand(index, np.array(numbers, np.int64))
        cutting.numbers[index : index + 1] = [np.array(numbers, np.int64)]  # another axis may be cut as well
    if steps is not None:
        steps[place] = 1
        cutting.operand(4, np.array(steps, np.int64))
        cutting.numbers[4] = np.array(steps, np.int64)


def indices(cutting: Cutting) -> None:
    """The indices of a Gather: those of removed results go, the others count what is left."""
    node, numbers = cutting.node, cutting.numbers[1]
    if numbers is None:
        return
    rank = len(cutting.sizes[0]) + 1 - numbers.ndim
    axis = cutting.integer("axis", 0) % rank
    kept = cutting.kept_in.get((0, axis))
    size = len(kept) if kept is not None else None
    chosen = numbers.astype(np.int64)
    for inner in range(numbers.ndim):
        stays = cutting.kept_out.get((0, axis + inner))
        if stays is not None:
            chosen = np.compress(stays, chosen, axis=inner)
    if kept is not None and size is not None:
        chosen = (np.cumsum(kept) - 1)[chosen % size]
    if chosen.shape != numbers.shape or not np.array_equal(chosen, numbers):
        cutting.operand(1, chosen)
    del node


def pads(cutting: Cutting) -> None:
    """The lengths of a Pad: as many as stay of the entries before and behind what the operand gives."""
    node, rank = cutting.node, len(cutting.sizes[0])
    old = cutting.editor.opset < 11
    held = node.attributes.get("pads") if old else None
    numbers = list(held.as_ints()) if held is not None else None
    if not old and cutting.numbers[1] is not None:
        numbers = [int(i) for i in np.ravel(cutting.numbers[1])]
    listed = cutting.numbers[3] if len(cutting.numbers) > 3 else None
    axes = [int(a) % rank for a in listed] if listed is not None else list(range(rank))
    if numbers is None:
        return
    half, before = len(numbers) // 2, list(numbers)
    for axis in {axis for _, axis in (*cutting.kept_in, *cutting.kept_out)} & set(axes):
        place = axes.index(axis)
        ends = _ends(cutting, axis, max(-numbers[place + half], 0))
        if ends is not None:
            numbers[place], numbers[place + half] = ends
    if numbers == before:
        return  # and where they are computed, they go on being computed
    if old:
        cutting.attribute("pads", numbers)
    else:
        cutting.operand(1, np.array(numbers, np.int64))


def _ends(cutting: Cutting, axis: int, cropped: int) -> tuple[int, int] | None:
    """What a Pad puts before and behind what stays along an axis, or takes off where it is negative.

    Where it shows entries of its operand again, it leaves the axis to a Gather behind it.

    Args:
        cutting: The node.
        axis: The axis.
        cropped: How many entries of the operand it took off the end.
    """
    route, selection = _straight(cutting, axis), _selection(cutting, axis)
    if route is None or selection is None:
        return None
    first, last = int(route.source.min()), int(route.source.max())
    if last - first + 1 != len(route.source) or len(np.unique(route.source)) < len(route.source):
        indices = cutting.editor.constant(selection, cutting.node.name or cutting.node.op_type)
        cutting.editor.redirect(cutting.node.outputs[0], "Gather", indices, axis=axis)
        return 0, 0
    inside = cutting.kept_in.get((0, axis), np.ones(last + 1 + cropped, bool))
    outside = cutting.kept_out.get((0, axis), np.ones(cutting.sizes[0][axis] or 0, bool))
    filled = outside[: int(route.target.min())].sum(), outside[int(route.target.max()) + 1 :].sum()
    taken = inside[:first].sum(), inside[last + 1 :].sum()
    return int(filled[0] - taken[0]), int(filled[1] - taken[1])


Restore = Callable[[Editor, ir.Node, "tuple[int | None, ...]", Mapping[int, int]], None]
"""Puts right what a node measures, by the operand's sizes before the cut and how much each axis loses of them."""


def restore_lengths(editor: Editor, node: ir.Node, sizes: tuple[int | None, ...], lost: Mapping[int, int]) -> None:
    """``Shape``: what is lost is added again."""
    change = np.array([lost.get(axis, 0) for axis in range(len(sizes))], np.int64)
    start, end = (node.attributes.get(name) for name in ("start", "end"))
    change = change[(0 if start is None else start.as_int()) : (None if end is None else end.as_int())]
    if change.any():
        editor.redirect(node.outputs[0], "Add", editor.constant(change, node.name or "shape"))


def restore_count(editor: Editor, node: ir.Node, sizes: tuple[int | None, ...], lost: Mapping[int, int]) -> None:
    """``Size``: divided by the lengths that are left, which it is a multiple of, and multiplied by those there were."""
    before = [size for axis in lost if (size := sizes[axis]) is not None]
    left = [size - lost[axis] for axis in lost if (size := sizes[axis]) is not None]
    whole = editor.redirect(node.outputs[0], "Div", editor.constant(np.array(np.prod(left), np.int64), "left"))
    editor.redirect(whole, "Mul", editor.constant(np.array(np.prod(before), np.int64), "before"))
