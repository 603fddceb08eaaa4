"""Along which axes the entries of an operator's result are made of several entries of its first operand.

Rows of the axis table name these functions. An axis is listed only where entries are combined: summed, compared,
sorted, scanned, normalised, pooled. Moving entries along an axis is no combination. Contracted letters need none: the
signature already says that they do not leave. Sources: the operator pages of ONNX at the opsets of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relu_audit.graph.moves import Operation, reduced_axes

Along = Callable[[Operation], frozenset[int] | None]
"""Axes of the first operand, counted from the front; None where the file does not tell them."""


def nowhere(op: Operation) -> frozenset[int] | None:
    """Every entry of the result is made of at most one entry along each axis."""
    del op
    return frozenset()


def image(op: Operation) -> frozenset[int] | None:
    """All axes behind batch and channel."""
    return None if op.inputs[0] is None else frozenset(range(2, len(op.inputs[0])))


def channels_and_image(op: Operation) -> frozenset[int] | None:
    """All axes but the batch: of an image in either layout."""
    return None if op.inputs[0] is None else frozenset(range(1, len(op.inputs[0])))


def named(attribute: str, default: int) -> Along:
    """The one axis that an attribute names."""

    def along(op: Operation) -> frozenset[int] | None:
        return None if op.inputs[0] is None else frozenset({op.integer(attribute, default) % len(op.inputs[0])})

    along.__doc__ = f"The axis that ``{attribute}`` names."
    return along


def given(index: int) -> Along:
    """The one axis that a constant operand names (CumSum, CumProd)."""

    def along(op: Operation) -> frozenset[int] | None:
        number = op.constants[index] if index < len(op.constants) else None
        if op.inputs[0] is None or number is None:
            return None
        return frozenset({int(number.ravel()[0]) % len(op.inputs[0])})

    along.__doc__ = f"The axis that operand {index} names."
    return along


def listed(attribute: str, default: tuple[int, ...]) -> Along:
    """The axes that an attribute lists (MeanVarianceNormalization)."""

    def along(op: Operation) -> frozenset[int] | None:
        axes = op.integers(attribute) or default
        return None if op.inputs[0] is None else frozenset(axis % len(op.inputs[0]) for axis in axes)

    along.__doc__ = f"The axes that ``{attribute}`` lists."
    return along


def behind(attribute: str, default: int) -> Along:
    """The axis that an attribute names and all behind it (LayerNormalization)."""

    def along(op: Operation) -> frozenset[int] | None:
        if op.inputs[0] is None:
            return None
        rank = len(op.inputs[0])
        return frozenset(range(op.integer(attribute, default) % rank, rank)) if rank else frozenset()

    along.__doc__ = f"The axis that ``{attribute}`` names and all behind it."
    return along


def last(op: Operation) -> frozenset[int] | None:
    """The last axis."""
    return None if op.inputs[0] is None else frozenset({len(op.inputs[0]) - 1})


def axes(*numbers: int) -> Along:
    """Axes that the operator fixes."""

    def along(op: Operation) -> frozenset[int] | None:
        del op
        return frozenset(numbers)

    along.__doc__ = f"Axes {', '.join(map(str, numbers))}."
    return along


def batch_statistics(op: Operation) -> frozenset[int] | None:
    """The batch and the image, where BatchNormalization trains: by ``training_mode``, before opset 7 by ``is_test``.

    From opset 7 to 13 the operator trains where it has more than one result.
    """
    return trained(op) if trains(op) else frozenset()


def trained(op: Operation) -> frozenset[int] | None:
    """All axes but the channel."""
    return None if op.inputs[0] is None else frozenset({0, *range(2, len(op.inputs[0]))})


def trains(op: Operation) -> bool:
    """Whether a BatchNormalization computes the statistics of the batch it is given."""
    if op.opset >= 14:
        return bool(op.integer("training_mode", 0))
    if op.opset >= 7:
        return sum(bool(value.name) for value in op.node.outputs) > 1
    return not op.integer("is_test", 0)


def time(op: Operation) -> frozenset[int] | None:
    """The axis of time, which ``layout`` puts first or second (opset 14)."""
    return frozenset({1 if op.integer("layout", 0) else 0})


def reduced(op: Operation) -> frozenset[int] | None:
    """The axes that a reduction takes away."""
    return None if op.inputs[0] is None else reduced_axes(op)


def channels_first_or_last(op: Operation) -> frozenset[int] | None:
    """The image of an operator whose ``channels_last`` says where its channels are."""
    if op.inputs[0] is None:
        return None
    first = 1 if op.integer("channels_last", 0) else 2
    return frozenset(range(first, len(op.inputs[0]) + first - 2))


def resampled(op: Operation) -> frozenset[int] | None:
    """The axes of an image whose scale is not 1, unless every entry is copied from the nearest."""
    source = op.inputs[0]
    if source is None:
        return None
    if op.text("mode", "nearest") == "nearest":
        return frozenset()
    scales: Any = next((c for c in op.constants[1:] if c is not None and c.size == len(source)), None)
    if scales is None or scales.dtype.kind != "f":
        return frozenset(range(2 if len(source) > 2 else 0, len(source)))
    return frozenset(axis for axis in range(len(source)) if scales[axis] != 1)


def last_two(op: Operation) -> frozenset[int] | None:
    """The last two axes."""
    return None if op.inputs[0] is None else frozenset({len(op.inputs[0]) - 2, len(op.inputs[0]) - 1})


def softmax(op: Operation) -> frozenset[int] | None:
    """The one ``axis`` from opset 13; before, that axis and all behind it, since the operand was flattened there."""
    return named("axis", -1)(op) if op.opset >= 13 else behind("axis", 1)(op)


def quantized_softmax(op: Operation) -> frozenset[int] | None:
    """As :func:`softmax`; the operator states the opset that it follows."""
    return named("axis", -1)(op) if op.integer("opset", 13) >= 13 else behind("axis", -1)(op)
