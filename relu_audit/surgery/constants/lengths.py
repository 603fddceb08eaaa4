"""How long an axis is whose length the data decides: told by an input's axis, and written into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.operators.laws import Law
from relu_audit.surgery.operators.signature import operation
from relu_audit.surgery.runs.survey import Survey

EXPANDS_SINCE = 8
"""The first operator set that can spread a constant."""


@dataclass(frozen=True)
class InputLength:
    """A length as the graph's input decides it.

    Attributes:
        source: An input of the graph.
        axis: Its axis.
        steps: What becomes of its length l on the way, in order: (l + first) // second each.
    """

    source: ir.Value
    axis: int
    steps: tuple[tuple[int, int], ...] = ()

    def at(self, length: int) -> int:
        """The length, if the input's is this."""
        for add, by in self.steps:
            length = (length + add) // by
        return length


Length = int | InputLength


def lengths(survey: Survey, facts: Facts, value: ir.Value) -> list[Length] | None:
    """The length of every axis of a value; None if one of them is not known, or no run bears it out."""
    shape = survey.atoms.shape(value)
    if shape is None:
        return None
    found: list[Length] = []
    for axis, size in enumerate(shape):
        length = size if size is not None else _traced(survey, facts, value, axis)
        if length is None or not _borne_out(survey, value, axis, length):
            return None
        found.append(length)
    return found


def _borne_out(survey: Survey, value: ir.Value, axis: int, length: Length) -> bool:
    for shapes in (survey.shapes, survey.others):
        if value in shapes and not isinstance(length, int):
            if length.source not in shapes or length.at(shapes[length.source][length.axis]) != shapes[value][axis]:
                return False
        elif value in shapes and length != shapes[value][axis]:
            return False
    return value in survey.shapes


def _traced(survey: Survey, facts: Facts, value: ir.Value, axis: int) -> InputLength | None:
    """An open length, followed back to an input."""
    steps: list[tuple[int, int]] = []
    while (node := value.producer()) is not None:
        law = survey.law(node)
        before = None if law is None else _before(survey, facts, node, law, value, axis)
        if before is None:
            return None
        value, axis, step = before
        steps += [] if step is None else [step]
    if value not in survey.network.model.graph.inputs:
        return None
    return InputLength(value, axis, tuple(reversed(steps)))


def _before(
    survey: Survey, facts: Facts, node: ir.Node, law: Law, value: ir.Value, axis: int
) -> tuple[ir.Value, int, tuple[int, int] | None] | None:
    """The operand's axis that decides the length of a result's, and how."""
    source = node.inputs[0] if node.inputs else None
    if law.moves:
        moved = facts.moved.get(node)
        here = [] if moved is None or law.spreads else [r for r in moved.routes if r.output_axis == axis]
        shape = None if source is None else survey.shapes.get(source)
        if len(here) != 1 or here[0].operand or shape is None or source is None or len(node.outputs) > 1:
            return None
        straight = np.arange(shape[here[0].axis])
        same = all(np.array_equal(side, straight) for side in (here[0].source, here[0].target))
        return (source, here[0].axis, None) if same else None
    read = facts.signatures.get(node)
    place = None if read is None else next((p for p in read.places if (p.value, p.axis) == (value, axis)), None)
    if read is None or place is None or place.output is None or source is None:
        return None
    if place.letters[0][0] == "~" and (law.private or law.windows):
        step = _window(survey, node, axis) if law.windows else None
        return None if step is None else (source, axis, step)
    open_ones = {
        (p.value, p.axis)
        for p in read.places
        if p.operand is not None and p.letters == place.letters and p.size is None
    }
    return (*open_ones.pop(), None) if len(open_ones) == 1 else None


def _window(survey: Survey, node: ir.Node, axis: int) -> tuple[int, int] | None:
    """What a sliding window makes of a length."""
    op, at = operation(node), axis - 2
    kernel = survey.atoms.shape(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    sizes = op.integers("kernel_shape") or (kernel[2:] if kernel is not None else ())
    rank = len(sizes)
    stride = (op.integers("strides") or [1] * rank)[at]
    dilation = (op.integers("dilations") or [1] * rank)[at]
    pads = op.integers("pads") or [0] * (2 * rank)
    how = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    size = sizes[at] if at < rank else None
    if size is None or op.integer("ceil_mode", 0):
        return None
    if how.startswith("SAME"):
        return stride - 1, stride
    covered = dilation * (size - 1) + 1
    return (pads[at] + pads[at + rank] if how == "NOTSET" else 0) - covered + stride, stride


def spread(editor: Editor, at: ir.Node, array: np.ndarray, lengths: Sequence[Length], like: str) -> ir.Value:
    """A constant at its right lengths, in front of a node that it takes the place of.

    Args:
        editor: Of the graph.
        at: The node.
        array: Numbers, with ones for the axes along which they are all alike.
        lengths: Of all axes.
        like: A name.
    """
    constant = editor.constant(array, like)
    if tuple(lengths) == array.shape:
        return constant
    if all(isinstance(length, int) for length in lengths):
        return editor.before(at, "Expand", constant, editor.constant(np.array(lengths, np.int64), like))
    parts = [_length(editor, at, length, like) for length in lengths]
    shape = parts[0] if len(parts) == 1 else _counting(editor.before(at, "Concat", *parts, axis=0))
    made = editor.before(at, "Expand", constant, shape)
    made.type = constant.type
    return made


def _length(editor: Editor, at: ir.Node, length: Length, like: str) -> ir.Value:
    """A length as a list of one number."""
    if isinstance(length, int):
        return editor.constant(np.array([length], np.int64), like)
    axis = editor.constant(np.array([length.axis], np.int64), like)
    part = _counting(editor.before(at, "Gather", _counting(editor.before(at, "Shape", length.source)), axis))
    for add, by in length.steps:
        if add:
            part = _counting(editor.before(at, "Add", part, editor.constant(np.array([add], np.int64), like)))
        if by != 1:
            part = _counting(editor.before(at, "Div", part, editor.constant(np.array([by], np.int64), like)))
    return part


def _counting(value: ir.Value) -> ir.Value:
    value.type = ir.TensorType(ir.DataType.INT64)
    return value
