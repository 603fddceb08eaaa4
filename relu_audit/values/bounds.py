"""What operators make of bounds: interval arithmetic on condensed arrays, one row of a table per operator.

Source: R. E. Moore, *Interval Analysis*, 1966; the operator pages of ONNX (onnx.ai/onnx/operators).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from relu_audit.network.normalize import sizes
from relu_audit.values import condensed
from relu_audit.values.condensed import MANY, MOVERS, Blurred, Mover, Moving, Sizes
from relu_audit.values.products import TABLE as PRODUCTS
from relu_audit.values.products import Product, product, rows_of
from relu_audit.values.spans import Meeting, Row, Rule, Rules, Span


def times(span: Span, factor: Span) -> Span:
    """The product of two bounded numbers; zero times anything is zero."""
    ends = [_without_nan(a * b) for a in (span.low, span.high) for b in (factor.low, factor.high)]
    return Span(np.minimum.reduce(np.broadcast_arrays(*ends)), np.maximum.reduce(np.broadcast_arrays(*ends)))


def _without_nan(array: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(array), 0.0, array)


def _moved(mover: Mover, *, many: bool) -> Rule:
    def rule(at: Meeting) -> Span:
        if at.output and at.node.op_type not in _SEVERAL:
            raise Blurred  # the mask of a Dropout, the indices of a MaxPool
        values = [v for v in at.node.inputs if v is not None][: None if many else 1]
        spans = [at.span(i) for i in range(len(values))]
        true = tuple(_sizes(v, s) for v, s in zip(values, spans, strict=True))
        try:
            low = mover(Moving(at.op, true, condensed.least, at.output), [one.low for one in spans])
            high = mover(Moving(at.op, true, condensed.largest, at.output), [one.high for one in spans])
        except Blurred:
            return _blurred(at, spans)
        return Span(low, high)

    return rule


_SEVERAL = ("Split",)
"""Movers all of whose results are data; of the others it is the first one."""


def _sizes(value: ir.Value, span: Span) -> Sizes:
    return sizes(value) or (None,) * span.low.ndim


def _blurred(at: Meeting, spans: Sequence[Span]) -> Span:
    """One pair of bounds for everything, where entries cannot be told apart any more."""
    rank = at.op.shapes[at.output]
    if rank is None or at.op.text("mode", "") == "cubic" or at.node.op_type in ("Cast", "CastLike"):
        raise Blurred
    shape = (1,) * len(rank)
    low, high = min(one.low.min() for one in spans), max(one.high.max() for one in spans)
    return Span(np.full(shape, low), np.full(shape, high))


def _pooled(at: Meeting) -> Span:
    """An average may count zeros beyond the border."""
    span = _moved(MOVERS["AveragePool"], many=False)(at)
    if at.op.integer("count_include_pad", 0):
        return Span(np.minimum(span.low, 0), np.maximum(span.high, 0))
    return span


def _padded(at: Meeting) -> Span:
    span = at.span(0)
    mode = at.op.text("mode", "constant")
    pads = at.op.integers("pads", 1)
    if pads is None or at.op.given(3):
        raise Blurred
    rank = span.low.ndim
    padded = tuple(axis for axis in range(rank) if pads[axis] or pads[axis + rank])
    low, high = condensed.least(span.low, padded), condensed.largest(span.high, padded)
    if mode != "constant":
        return Span(low, high)
    value = (
        at.numbers(2).ravel()[0]
        if at.op.given(2)
        else at.node.attributes["value"].as_float()
        if "value" in at.node.attributes
        else 0.0
    )
    return Span(np.minimum(low, value), np.maximum(high, value))


def _monotone(function: Callable[[np.ndarray], np.ndarray]) -> Rule:
    def rule(at: Meeting) -> Span:
        span = at.span(0)
        return Span(function(span.low), function(span.high))

    return rule


def _between(low: float, high: float) -> Rule:
    """Whatever it is given, if its rank is known."""

    def rule(at: Meeting) -> Span:
        rank = at.op.shapes[0]
        if rank is None:
            raise Blurred
        return Span(np.full((1,) * len(rank), low), np.full((1,) * len(rank), high))

    return rule


def _clip(at: Meeting) -> Span:
    span = at.span(0)
    bounds: list[float] = []
    for index, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), 1):
        if name in at.node.attributes:
            bounds.append(at.node.attributes[name].as_float())
        else:
            bounds.append(float(at.numbers(index).ravel()[0]) if at.op.given(index) else default)
    return Span(np.clip(span.low, bounds[0], bounds[1]), np.clip(span.high, bounds[0], bounds[1]))


def _leaky(at: Meeting) -> Span:
    slope = at.node.attributes["alpha"].as_float() if "alpha" in at.node.attributes else 0.01
    if slope < 0:
        raise Blurred
    return _monotone(lambda x: np.where(x < 0, _without_nan(slope * x), x))(at)


def _sum(at: Meeting) -> Span:
    low, high = at.span(0).low, at.span(0).high
    for index in range(1, len(at.node.inputs)):
        low, high = low + at.span(index).low, high + at.span(index).high
    return Span(low, high)


def _difference(at: Meeting) -> Span:
    a, b = at.span(0), at.span(1)
    return Span(a.low - b.high, a.high - b.low)


def _product(at: Meeting) -> Span:
    known = [one for one in at.spans if one is not None]
    unknown = [v for v, s in zip(at.node.inputs, at.spans, strict=True) if s is None and v not in at.network.weights]
    if len(known) == 1 and unknown:
        # Of the other nothing is known, not even its rank; what is zero stays zero if it has the rank of the result.
        rank, span = at.op.shapes[0], known[0]
        if rank is None or len(rank) != span.low.ndim:
            raise Blurred
        zero = (span.low == 0) & (span.high == 0)
        return Span(np.where(zero, 0.0, -np.inf), np.where(zero, 0.0, np.inf))
    return times(at.span(0), at.span(1))


def _quotient(at: Meeting) -> Span:
    divisor = at.numbers(1)
    if not divisor.all():
        raise Blurred
    return times(at.span(0), Span(1 / divisor, 1 / divisor))


def _extreme(choose: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Rule:
    def rule(at: Meeting) -> Span:
        low, high = at.span(0).low, at.span(0).high
        for index in range(1, len(at.node.inputs)):
            low, high = choose(low, at.span(index).low), choose(high, at.span(index).high)
        return Span(low, high)

    return rule


def _batch_normalised(at: Meeting) -> Span:
    scale, shift = batch_normalisation(at)
    scaled = times(at.span(0), Span(scale, scale))
    return Span(scaled.low + shift, scaled.high + shift)


def batch_normalisation(at: Meeting) -> tuple[np.ndarray, np.ndarray]:
    """What it multiplies by and what it adds, per channel, in the rank of its data."""
    rank = at.op.shapes[0]
    if rank is None:
        raise Blurred
    gamma, beta, mean, variance = (along_channels(at.numbers(i), len(rank)) for i in range(1, 5))
    epsilon = at.node.attributes["epsilon"].as_float() if "epsilon" in at.node.attributes else 1e-5
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - scale * mean


def along_channels(numbers: np.ndarray, rank: int) -> np.ndarray:
    """One number per channel, as a condensed array of an image."""
    return numbers.reshape((1, -1) + (1,) * (rank - 2))


def standardised(at: Meeting) -> tuple[np.ndarray, np.ndarray, float]:
    """Scale and shift of a normalisation by the data's own moments, and how far from zero it can bring a number.

    Of n numbers with mean zero and mean square one, none is beyond the square root of n - 1.
    """
    rank = at.op.shapes[0]
    if rank is None:
        raise Blurred
    channels = at.node.op_type in _PER_CHANNEL
    scale, shift = (at.numbers(i) if at.op.given(i) else np.zeros(1) for i in (1, 2))
    if channels:
        if scale.size != rank[1]:
            raise Blurred  # a scale per group, before opset 21
        scale, shift = along_channels(scale, len(rank)), along_channels(shift, len(rank))
        own = rank[2:] if at.node.op_type == "InstanceNormalization" else (*rank[2:], _group_size(at, rank[1]))
    else:
        own = rank[at.op.integer("axis", -1) % len(rank) :]
        scale, shift = (one.reshape((1,) * (len(rank) - one.ndim) + one.shape) for one in (scale, shift))
    count = 1.0
    for size in own:
        count *= size if isinstance(size, int) else np.inf
    centred = 0 if at.node.op_type == "RMSNormalization" else 1
    return scale, shift, float(np.sqrt(max(count - centred, 0.0)))


def _group_size(at: Meeting, channels: object) -> int:
    if not isinstance(channels, int):
        raise Blurred
    return channels // max(at.op.integer("num_groups", 1), 1)


_PER_CHANNEL = ("InstanceNormalization", "GroupNormalization")


def _standardised(at: Meeting) -> Span:
    scale, shift, most = standardised(at)
    reach = _without_nan(np.abs(scale) * most)
    return Span(shift - reach, shift + reach)


def _quantized(at: Meeting) -> Span:
    scale, zero = codes(at)
    span = at.span(0)
    dtype = at.node.outputs[0].dtype
    bounds = (-np.inf, np.inf) if dtype is None or dtype.is_floating_point() else (float(dtype.min), float(dtype.max))
    low, high = (np.clip(np.rint(end / scale) + zero, bounds[0], bounds[1]) for end in (span.low, span.high))
    return Span(low, high)


def _decoded(at: Meeting) -> Span:
    scale, zero = codes(at)
    span = at.span(0)
    return Span((span.low - zero) * scale, (span.high - zero) * scale)


def codes(at: Meeting) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point of codes, as condensed arrays."""
    rank = at.op.shapes[0]
    scale = at.numbers(1)
    zero = at.numbers(2) if at.op.given(2) else np.zeros(1)
    if rank is None or at.op.integer("block_size", 0) or (scale <= 0).any():
        raise Blurred
    shape = [1] * len(rank)
    if scale.size > 1:
        shape[at.op.integer("axis", 1)] = scale.size
    return scale.reshape(shape), np.broadcast_to(zero.ravel(), scale.size).reshape(shape)


def _multiplied(at: Meeting) -> Span:
    found = product(at.network, at.node)
    if found is None:
        raise Blurred
    data = at.span(list(at.node.inputs).index(found.data))
    matrix = found.matrix(at.network)
    rank = at.op.shapes[0]
    if matrix is None or rank is None:
        raise Blurred
    low, high = (np.empty(found.rows) for _ in range(2))
    entries = read_entries(found, data)
    for group, rows, weight in rows_of(matrix):
        at_rows = slice(group * matrix.shape[1] + rows.start, group * matrix.shape[1] + rows.stop)
        low[at_rows], high[at_rows] = reached(found, weight, Span(entries.low[group], entries.high[group]))
    shape = [1] * len(rank)
    shape[found.reading.made] = found.rows
    made = Span(low.reshape(shape), high.reshape(shape))
    if found.bias is None:
        return made
    added = at.span(list(at.node.inputs).index(found.bias))
    bias = times(spread_bias(found, added, len(rank)), Span(np.array(found.bias_factor), np.array(found.bias_factor)))
    return Span(made.low + bias.low, made.high + bias.high)


def spread_bias(found: Product, bias: Span, rank: int) -> Span:
    """A convolution's bias is one number per channel; a product's broadcasts as it is."""
    if found.reading.made < 0:
        shape = (1,) * (rank - bias.low.ndim) + bias.low.shape
        return Span(bias.low.reshape(shape), bias.high.reshape(shape))
    return Span(along_channels(bias.low, rank), along_channels(bias.high, rank))


def read_entries(found: Product, data: Span) -> Span:
    """The bounds of every entry that a product reads, ``[groups, read]``; where borders are missed, zero among them."""
    axis = found.reading.read % data.low.ndim
    rest = tuple(i for i in range(data.low.ndim) if i != axis)
    groups, _, read, _ = found.reading.canonical
    low = np.broadcast_to(data.low.min(axis=rest), (groups * read,)).reshape(groups, read)
    high = np.broadcast_to(data.high.max(axis=rest), (groups * read,)).reshape(groups, read)
    if found.padded:
        return Span(np.minimum(low, 0), np.maximum(high, 0))
    return Span(low, high)


def reached(found: Product, weight: np.ndarray, entries: Span) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest that rows of a weight ``[rows, read, taps]`` make of bounded entries.

    The entries are ``[read]``, or ``[rows, read]`` where rows read different ones.
    """
    weight = weight * found.factor
    above, below = np.maximum(weight, 0).sum(axis=2), np.minimum(weight, 0).sum(axis=2)
    high = _dot(above, entries.high) + _dot(below, entries.low)
    low = _dot(above, entries.low) + _dot(below, entries.high)
    return low, high


def _dot(weight: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of products in which zero times anything is zero."""
    finite = np.isfinite(ends)
    bounded = np.where(finite, ends, 0.0)
    made = weight @ bounded if ends.ndim == 1 else np.einsum("rk,rk->r", weight, bounded)
    if finite.all():
        return made
    with np.errstate(invalid="ignore"):
        return made + np.where(finite, 0.0, _without_nan(weight * ends)).sum(axis=1)


STANDARDISING = ("LayerNormalization", "RMSNormalization", *_PER_CHANNEL)

_LOOKING: dict[tuple[str, str], Rule] = {
    **{("", op): _moved(mover, many=op in MANY) for op, mover in MOVERS.items()},
    ("", "AveragePool"): _pooled,
    ("", "Pad"): _padded,
    ("", "Relu"): _monotone(lambda x: np.maximum(x, 0)),
    ("", "Clip"): _clip,
    ("", "LeakyRelu"): _leaky,
    ("", "Neg"): lambda at: Span(-at.span(0).high, -at.span(0).low),
    ("", "Exp"): _monotone(np.exp),
    ("", "Sqrt"): _monotone(lambda x: np.sqrt(np.maximum(x, 0))),
    **{("", op): _monotone(function) for op, function in (("Floor", np.floor), ("Ceil", np.ceil), ("Round", np.rint))},
    ("", "Add"): _sum,
    ("", "Sum"): _sum,
    ("", "Sub"): _difference,
    ("", "Mul"): _product,
    ("", "Div"): _quotient,
    ("", "Max"): _extreme(np.maximum),
    ("", "Min"): _extreme(np.minimum),
    ("", "BatchNormalization"): _batch_normalised,
    **{(domain, "QuantizeLinear"): _quantized for domain in ("", "com.microsoft")},
    **{(domain, "DequantizeLinear"): _decoded for domain in ("", "com.microsoft")},
}

_BLIND: dict[tuple[str, str], Rule] = {
    **{("", op): _between(0.0, 1.0) for op in ("Sigmoid", "Softmax", "HardSigmoid", "Hardmax")},
    **{("", op): _between(-1.0, 1.0) for op in ("Tanh", "Erf", "Sin", "Cos", "Softsign", "Sign")},
    **{("", op): _standardised for op in STANDARDISING},
}

ENTRY_BY_ENTRY: Rules = {
    **{name: Row(rule) for name, rule in _LOOKING.items()},
    **{name: Row(rule, blind=True) for name, rule in _BLIND.items()},
}
"""What operators make of bounds that no weight contracts."""

ALL: Rules = {**ENTRY_BY_ENTRY, **dict.fromkeys(PRODUCTS, Row(_multiplied))}
"""The same, and of those that weights do."""
