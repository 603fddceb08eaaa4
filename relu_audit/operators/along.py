"""Along which axes an entry of an operator's result is made of several entries of its first operand, or has its place.

Rows of the axis table name these functions, in two columns. ``mixes`` lists an axis where entries are combined (summed,
compared, sorted, scanned, normalised, pooled), or come to another index while the axis keeps its letter. Contracted
letters need no function: the signature already says that they do not leave. Nor do axes whose letter a move loses.
``placed`` lists an axis where an entry depends on its index. Sources: the operator pages of ONNX at the opsets of the
table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from relu_audit.operators import images
from relu_audit.operators.layout import axis_size
from relu_audit.operators.letters import constant_rows, lined_up, loose_mask
from relu_audit.operators.moves import Operation, reduced_axes

Along = Callable[[Operation], frozenset[int] | None]
"""Axes of the first operand, counted from the front; None where the file does not tell them."""


def nowhere(op: Operation) -> frozenset[int] | None:
    """Every entry of the result is made of at most one entry along each axis."""
    del op
    return frozenset()


def image(op: Operation) -> frozenset[int] | None:
    """All axes behind batch and channel."""
    return None if op.inputs[0] is None else frozenset(range(2, len(op.inputs[0])))


def image_first_or_last(op: Operation) -> frozenset[int] | None:
    """The image of an operator whose ``channels_last`` says where its channels are."""
    if op.inputs[0] is None:
        return None
    first = 1 if op.integer("channels_last", 0) else 2
    return frozenset(range(first, len(op.inputs[0]) + first - 2))


def channels_and_image(op: Operation) -> frozenset[int] | None:
    """All axes but the batch."""
    return None if op.inputs[0] is None else frozenset(range(1, len(op.inputs[0])))


def windows(weight: int | None = None, *, last: bool = False) -> Along:
    """The image, unless windows of it are one entry wide and move by one."""

    def along(op: Operation) -> frozenset[int] | None:
        if op.inputs[0] is None:
            return None
        first = 1 if last or op.integer("channels_last", 0) else 2
        axes = range(first, len(op.inputs[0]) + first - 2)
        shape = op.inputs[weight] if weight is not None and weight < len(op.inputs) else None
        kernel = op.integers("kernel_shape") or [axis_size(axis) for axis in (shape or ())[2:]]
        strides, pads = op.integers("strides") or [1] * len(axes), op.integers("pads") or [0, 0] * len(axes)
        grown = "output_shape" in op.node.attributes or any(op.integers("output_padding") or ())
        if grown or not len(kernel) == len(strides) == len(axes) == len(pads) / 2:
            return frozenset(axes)
        narrow = zip(kernel, strides, pads[: len(axes)], pads[len(axes) :], strict=True)
        return frozenset(axis for axis, window in zip(axes, narrow, strict=True) if window != (1, 1, 0, 0))

    along.__doc__ = windows.__doc__
    return along


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

    along.__doc__ = f"{_listed_axes(numbers)}."
    return along


def _listed_axes(numbers: Sequence[int]) -> str:
    return f"{'Axis' if len(numbers) == 1 else 'Axes'} {', '.join(map(str, numbers))}"


def batch_statistics(op: Operation) -> frozenset[int] | None:
    """The batch and the image, in training: by ``training_mode``, before opset 7 by ``is_test``.

    From opset 7 to 13 the operator trains where it has more than one result.
    """
    if not trains(op):
        return frozenset()
    return None if op.inputs[0] is None else frozenset({0, *range(2, len(op.inputs[0]))})


def trains(op: Operation) -> bool:
    """Whether a BatchNormalization computes the statistics of the batch it is given."""
    if op.opset >= 14:
        return bool(op.integer("training_mode", 0))
    if op.opset >= 7:
        return sum(bool(value.name) for value in op.node.outputs) > 1
    return not op.integer("is_test", 0)


def time(op: Operation) -> frozenset[int] | None:
    """Time, which ``layout`` puts first or second."""
    return frozenset({1 if op.integer("layout", 0) else 0})


def reduced(op: Operation) -> frozenset[int] | None:
    """The axes that a reduction takes away."""
    return None if op.inputs[0] is None else reduced_axes(op)


def resampled(op: Operation) -> frozenset[int] | None:
    """The axes that are made longer or shorter, unless every entry is copied from the nearest."""
    source = op.inputs[0]
    if source is None:
        return None
    if op.text("mode", "nearest") == "nearest":
        return frozenset()
    return frozenset(range(len(source))) - images.kept(op)


def sampled(op: Operation) -> frozenset[int] | None:
    """The image, unless every entry is copied from the nearest (GridSample)."""
    return frozenset() if op.text("mode", "") == "nearest" else image(op)


def everything(op: Operation) -> frozenset[int] | None:
    """All axes."""
    return None if op.inputs[0] is None else frozenset(range(len(op.inputs[0])))


def last_two(op: Operation) -> frozenset[int] | None:
    """The last two axes."""
    return None if op.inputs[0] is None else frozenset({len(op.inputs[0]) - 2, len(op.inputs[0]) - 1})


def softmax(op: Operation) -> frozenset[int] | None:
    """The axis that ``axis`` names; before opset 13, where the operand is flattened, all behind it as well."""
    return named("axis", -1)(op) if op.opset >= 13 else behind("axis", 1)(op)


def quantized_softmax(op: Operation) -> frozenset[int] | None:
    """The axis that ``axis`` names; all behind it as well where ``opset`` is below 13."""
    return named("axis", -1)(op) if op.integer("opset", 13) >= 13 else behind("axis", -1)(op)


def unless_given(index: int, *axes: int) -> Along:
    """Axes, where an optional operand is left out."""

    def along(op: Operation) -> frozenset[int] | None:
        return frozenset() if op.given(index) else frozenset(axes)

    along.__doc__ = f"{_listed_axes(axes)} without operand {index}."
    return along


# Where an entry depends on its index ----------------------------------------------------------------------------------


def found_places(op: Operation) -> frozenset[int] | None:
    """All axes, where the second result numbers entries across the whole operand (MaxPool)."""
    numbered = len(op.node.outputs) > 1 and bool(op.node.outputs[1].name)
    return everything(op) if numbered else frozenset()


def features(*lists: str) -> Along:
    """All axes but the samples', where an attribute has a number for each feature (Scaler, Imputer).

    onnxruntime counts the features through the flattened operand, whose first of several axes changes nothing.
    """

    def along(op: Operation) -> frozenset[int] | None:
        source = op.inputs[0]
        if source is None:
            return None
        each = any(name in op.node.attributes and len(op.node.attributes[name].value) > 1 for name in lists)
        return frozenset(range(min(1, len(source) - 1), len(source))) if each else frozenset()

    along.__doc__ = f"All axes but the samples', where {' or '.join(lists)} has several numbers."
    return along


def rows_of_sum(index: int, flag: str) -> Along:
    """The rows, where a constant matrix is added (Gemm)."""

    def along(op: Operation) -> frozenset[int] | None:
        return frozenset({1 if op.integer(flag, 0) else 0}) if constant_rows(op, index) else frozenset()

    along.__doc__ = f"The rows, where operand {index} is a constant matrix."
    return along


def dropped(op: Operation) -> frozenset[int] | None:
    """All axes, where what is dropped is drawn (Dropout)."""
    return everything(op) if in_training(op) else frozenset()


def dropped_by(index: int) -> Along:
    """All axes, where a flag says that what is dropped is drawn (BiasDropout)."""

    def along(op: Operation) -> frozenset[int] | None:
        return everything(op) if set_by(index)(op) else frozenset()

    along.__doc__ = f"All axes, where operand {index} is set."
    return along


def in_training(op: Operation) -> bool:
    """Whether a Dropout drops anything: by its third operand from opset 12, before opset 7 by ``is_test``.

    Between them it does not.
    """
    return set_by(2)(op) if op.opset >= 12 else op.opset < 7 and not op.integer("is_test", 0)


def set_by(index: int) -> Callable[[Operation], bool]:
    """Whether an optional flag is set; one that the graph computes may be."""

    def is_set(op: Operation) -> bool:
        return op.given(index) and (op.constants[index] is None or bool(np.any(op.constants[index])))

    return is_set


def scales(op: Operation) -> frozenset[int] | None:
    """All axes, where scales are those of blocks."""
    source, scale = op.inputs[0], op.inputs[1]
    if source is None or scale is None:
        return None
    return everything(op) if len(scale) > 1 or op.integer("block_size", 0) else frozenset()


def scattered(op: Operation) -> frozenset[int] | None:
    """The axes along which indices say where updates go, or updates are fewer (ScatterElements)."""
    return None if op.inputs[0] is None else frozenset(range(len(op.inputs[0]))) - lined_up(op)


def leading(op: Operation) -> frozenset[int] | None:
    """As many axes as an index has numbers (ScatterND)."""
    indices = op.inputs[1]
    numbers = axis_size(indices[-1]) if indices else None
    return frozenset(range(numbers)) if isinstance(numbers, int) else None


def picked_by_row(op: Operation) -> frozenset[int] | None:
    """The axes of ``batch_dims`` along which constant indices differ (GatherND)."""
    indices = op.constants[1] if len(op.constants) > 1 else None
    axes = range(op.integer("batch_dims", 0))
    if indices is None:
        return frozenset()
    return frozenset(axis for axis in axes if np.any(indices != np.take(indices, [0], axis)))


def counted_tokens(index: int, tokens: int) -> Along:
    """The tokens, where they are counted and no matrix of positions says otherwise (RotaryEmbedding of onnxruntime)."""

    def along(op: Operation) -> frozenset[int] | None:
        source, positions = op.inputs[0], op.inputs[index] if index < len(op.inputs) else None
        if source is None:
            return None
        if positions is not None and len(positions) == 2:
            return frozenset()
        return frozenset({len(source) + tokens})

    along.__doc__ = f"Axis {tokens}, where operand {index} does not give every position."
    return along


def masked_samples(index: int) -> Along:
    """The samples, where a mask is a list that holds something for each of them in an order of its own (Attention)."""

    def along(op: Operation) -> frozenset[int] | None:
        return frozenset({0}) if loose_mask(op, index) else frozenset()

    along.__doc__ = f"The samples, where operand {index} is a list of another length."
    return along


def masked_tokens(*masks: int, samples: int | None = None) -> Along:
    """The tokens of a query, where a mask has rows for them or they look back; heads; samples of a loose mask."""

    def along(op: Operation) -> frozenset[int] | None:
        source = op.inputs[0]
        if source is None:
            return None
        heads = {1} if len(source) == 4 else set[int]()
        heads |= {0} if samples is not None and loose_mask(op, samples) else set[int]()
        backwards = op.integer("is_causal", 0) or op.integer("unidirectional", 0)
        if backwards or any(op.given(index) for index in masks):
            return frozenset({*heads, len(source) - 2 if len(source) == 4 else 1})
        return frozenset(heads)

    along.__doc__ = masked_tokens.__doc__
    return along
