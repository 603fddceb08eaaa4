"""What bears a unit: the operator and the row of its weight, and what is done to its sums before they are rectified.

Backwards from a pre-activation to the nearest product with a weight, everything on the way is written as one line: sums
times a scale, plus a shift. Which row an entry comes from is found as in :mod:`relu_audit.values.condensed`, by moving
the rows' numbers along. What else is added, as the other side of a residual sum, widens the shift to its bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
import onnx_ir as ir

from relu_audit.network.constants import numbers
from relu_audit.network.normalize import Network, sizes
from relu_audit.values import bounds, condensed
from relu_audit.values.condensed import MANY, MOVERS, Blurred, Mover, Moving
from relu_audit.values.products import Product, product
from relu_audit.values.signs import key
from relu_audit.values.spans import Meeting, Span, Spans, meeting

LONGEST = 32
"""Operators between a weight and its rectifier, at most."""


@dataclass(frozen=True)
class Line:
    """A value as ``scale * sums + shift``, each a condensed array of its rank.

    Attributes:
        row: Number of the row that the sums are of.
        scale: What they are multiplied by.
        low: The least that is added to them.
        high: The most that is added to them; equal to ``low`` but for rounding, if only constants are.
        bias: What the file adds last, behind any normalisation: the part of it that can be to blame.
        gamma: What the last normalisation multiplies by; zero where there is none.
    """

    row: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bias: np.ndarray
    gamma: np.ndarray

    def each(self, function: Callable[[np.ndarray], np.ndarray]) -> Line:
        """Every array of it, changed alike."""
        return Line(**{one.name: function(getattr(self, one.name)) for one in fields(self)})


@dataclass(frozen=True)
class Path:
    """A line and where it leads to.

    Attributes:
        product: What makes the sums.
        nodes: The operators behind it, nearest first.
        norm: The last normalisation among them.
        mixed: Whether a normalisation by the data's own moments stands between, so that a unit's sums are not all
            that it is made of.
        other: Whether something that is computed as well is added.
        own: Parameters that belong to one unit alone, besides its row.
        weight: The initializer that holds the weight.
    """

    line: Line
    product: Product
    nodes: tuple[ir.Node, ...] = ()
    norm: ir.Node | None = None
    mixed: bool = False
    other: bool = False
    own: int = 0
    weight: str = ""


@dataclass(frozen=True)
class Lost:
    """Why a unit's weights were not found."""

    why: str


@dataclass(frozen=True)
class _Stage:
    """A node on the way, the operand that leads on, and the path up to there."""

    at: Meeting
    index: int
    path: Path


Rule = Callable[[_Stage], Path]


@dataclass(frozen=True)
class _Search:
    """One look back: the rank of the pre-activation, and what was found so many operators behind it."""

    rank: int
    known: dict[tuple[ir.Value, int], Path | str] = field(default_factory=dict["tuple[ir.Value, int]", "Path | str"])


@dataclass(frozen=True)
class Bearings:
    """Finds what bears the units of a graph.

    Attributes:
        network: The graph.
        spans: The bounds of what else is added.
        position: The number of every node, in graph order.
    """

    network: Network
    spans: Spans
    position: Mapping[ir.Node, int]

    def of(self, source: ir.Value, rank: int) -> Path | Lost:
        """The path from a pre-activation of some rank back to the product that bears its units; of several the last."""
        found = self._path(source, _Search(rank), 0)
        return found if isinstance(found, Path) else Lost(found or "no weight upstream bears its units")

    def _path(self, value: ir.Value, search: _Search, depth: int) -> Path | str:
        """The path, or why there is none; empty where no weight takes part."""
        if (value, depth) not in search.known:
            search.known[value, depth] = self._looked_for(value, search, depth)
        return search.known[value, depth]

    def _looked_for(self, value: ir.Value, search: _Search, depth: int) -> Path | str:
        node = value.producer()
        if node is None or value in self.network.weights:
            return ""
        if depth > LONGEST:
            return "too many operators stand between it and its weights"
        made = product(self.network, node)
        if made is not None:
            return self._born(made, search.rank)
        rule = RULES.get(key(node))
        if rule is None:
            return f"{node.op_type} stands between it and its weights"
        return self._through(node, node.outputs.index(value), rule, search, depth)

    def _through(self, node: ir.Node, output: int, rule: Rule, search: _Search, depth: int) -> Path | str:
        moving = [i for i, v in enumerate(node.inputs) if v is not None and v not in self.network.weights]
        if key(node)[1] in MANY and len(moving) > 1:
            return f"{node.op_type} stands between it and its weights"
        found = {i: self._path(value, search, depth + 1) for i in moving if (value := node.inputs[i]) is not None}
        paths = {i: path for i, path in found.items() if isinstance(path, Path)}
        if not paths:
            return next((why for why in found.values() if isinstance(why, str) and why), "")
        # Of two weights the one whose product comes later names the units, as in the census.
        index = max(paths, key=lambda i: self.position[paths[i].product.node])
        if any(i != index and paths[i].product.node is paths[index].product.node for i in paths):
            return "two ways lead from it to its weights"
        spans = tuple(
            self.spans.of(value) if i != index and value is not None and value not in self.network.weights else None
            for i, value in enumerate(node.inputs)
        )
        stage = _Stage(meeting(self.network, node, spans, output), index, paths[index])
        try:
            with np.errstate(all="ignore"):
                made = rule(stage)
        except (Blurred, LookupError, ValueError, TypeError):
            return f"what {node.op_type} does to it cannot be followed"
        return replace(made, nodes=(*made.nodes, node))

    def _born(self, made: Product, likely: int) -> Path | str:
        """Where a path begins. Where the file does not tell the rank, nothing that moves axes can follow."""
        known = sizes(made.node.outputs[0])
        rank = likely if known is None else len(known)
        if rank < 2:
            return f"the file does not tell how many axes {made.node.op_type} gives"
        shape = [1] * rank
        shape[made.reading.made] = made.rows
        row = np.arange(made.rows).reshape(shape)
        low = high = bias = np.zeros([1] * rank)
        own = 0
        if made.bias is not None:
            found = numbers(self.network, made.bias)
            if found is None:
                added = self.spans.of(made.bias)
            else:
                added = Span(found.astype(np.float64), found.astype(np.float64))
                own = _per_row(found, made.rows)
            if added is None:
                return f"the bias of {made.node.op_type} is computed, in a way that is not followed"
            spread = bounds.spread_bias(made, added, rank)
            low, high = (end * made.bias_factor for end in (spread.low, spread.high))
            low, high = np.minimum(low, high), np.maximum(low, high)
            bias = low if found is not None else bias
        one, none = np.ones([1] * rank), np.zeros([1] * rank)
        line = Line(row=row, scale=one, low=low, high=high, bias=bias, gamma=none)
        return Path(
            line,
            made,
            own=own,
            weight=self.network.weights[made.weight],
            other=made.bias is not None and not own and bool((low != high).any()),
        )


def negated(path: Path) -> Path:
    """The path to the opposite of a value."""
    return replace(path, line=_scaled(path.line, np.full((1,) * path.line.row.ndim, -1.0)))


def _per_row(numbers: np.ndarray, rows: int) -> int:
    """How many entries of a parameter belong to one row."""
    return numbers.size // rows if numbers.size >= rows and numbers.size % rows == 0 else 0


# Rules --------------------------------------------------------------------------------------------------------------


def _moved(mover: Mover) -> Rule:
    def rule(stage: _Stage) -> Path:
        at = stage.at
        value = at.node.inputs[stage.index]
        true = sizes(value) if value is not None else None
        if stage.index != 0 or true is None:
            raise Blurred
        moving = Moving(at.op, (true,), condensed.alike, at.output)
        # Entries along an axis are moved together or not at all, so all arrays have to be as wide as the widest.
        line = stage.path.line
        shape = np.broadcast_shapes(*(getattr(line, one.name).shape for one in fields(line)))
        spread = line.each(lambda array: np.broadcast_to(array, shape))
        return replace(stage.path, line=spread.each(lambda array: mover(moving, [array])))

    return rule


def _averaged(stage: _Stage) -> Path:
    """An average that counts zeros beyond a border is less of a line there than elsewhere."""
    op = stage.at.op
    borders = any(op.integers("pads") or ()) or op.text("auto_pad", "NOTSET").startswith("SAME")
    if op.integer("count_include_pad", 0) and (borders or op.integer("ceil_mode", 0)):
        raise Blurred
    return _moved(MOVERS["AveragePool"])(stage)


def _other(stage: _Stage) -> Span:
    """The bounds of the second operand, with its rank that of the first."""
    other = 1 - stage.index
    value = stage.at.node.inputs[other]
    found = numbers(stage.at.network, value)
    if found is not None:
        exact = found.astype(np.float64)
        return _ranked(Span(exact, exact), stage.path.line.row.ndim)
    span = stage.at.spans[other]
    rank = stage.path.line.row.ndim
    if span is None:
        return Span(np.full([1] * rank, -np.inf), np.full([1] * rank, np.inf))
    return _ranked(span, rank)


def _ranked(span: Span, rank: int) -> Span:
    if span.low.ndim > rank:
        raise Blurred
    shape = (1,) * (rank - span.low.ndim) + span.low.shape
    return Span(span.low.reshape(shape), span.high.reshape(shape))


def _constant(stage: _Stage) -> bool:
    return stage.at.node.inputs[1 - stage.index] in stage.at.network.weights


def _own(stage: _Stage, *indices: int) -> int:
    """Entries of the parameters among some operands that belong to one unit."""
    found = [numbers(stage.at.network, stage.at.node.inputs[i]) for i in indices if i < len(stage.at.node.inputs)]
    return sum(_per_row(one, stage.path.product.rows) for one in found if one is not None)


def _added(stage: _Stage) -> Path:
    if len(stage.at.node.inputs) != 2:
        raise Blurred
    term, line = _other(stage), stage.path.line
    made = replace(line, low=line.low + term.low, high=line.high + term.high)
    if not _constant(stage):
        return replace(stage.path, line=made, other=True)
    own = stage.path.own + _own(stage, 1 - stage.index)
    return replace(stage.path, line=replace(made, bias=line.bias + term.low), own=own)


def _subtracted(stage: _Stage) -> Path:
    term = _other(stage)
    if not _constant(stage):
        raise Blurred
    sign = 1.0 if stage.index == 0 else -1.0
    line = _scaled(stage.path.line, np.full_like(term.low, sign))
    shift = -sign * term.low
    made = replace(line, low=line.low + shift, high=line.high + shift, bias=line.bias + shift)
    return replace(stage.path, line=made, own=stage.path.own + _own(stage, 1 - stage.index))


def _multiplied(stage: _Stage) -> Path:
    if not _constant(stage):
        raise Blurred
    own = stage.path.own + _own(stage, 1 - stage.index)
    return replace(stage.path, line=_scaled(stage.path.line, _other(stage).low), own=own)


def _divided(stage: _Stage) -> Path:
    divisor = _other(stage).low
    if not _constant(stage) or stage.index != 0 or not divisor.all():
        raise Blurred
    own = stage.path.own + _own(stage, 1)
    return replace(stage.path, line=_scaled(stage.path.line, 1 / divisor), own=own)


def _negated(stage: _Stage) -> Path:
    return negated(stage.path)


def _scaled(line: Line, factor: np.ndarray) -> Line:
    ends = [np.where(factor == 0, 0.0, end * factor) for end in (line.low, line.high)]
    return replace(
        line, scale=line.scale * factor, low=np.minimum(*ends), high=np.maximum(*ends), bias=line.bias * factor
    )


def _batch_normalised(stage: _Stage) -> Path:
    scale, shift = bounds.batch_normalisation(stage.at)
    rank = stage.path.line.row.ndim
    line = _scaled(stage.path.line, scale)
    gamma, beta = (bounds.along_channels(stage.at.numbers(i), rank) for i in (1, 2))
    made = replace(line, low=line.low + shift, high=line.high + shift, bias=beta, gamma=gamma)
    own = stage.path.own + _own(stage, 1, 2, 3, 4)
    return replace(stage.path, line=made, norm=stage.at.node, own=own)


def _standardised(stage: _Stage) -> Path:
    """Behind it a unit is what the moments leave of it, which is within bounds of its own."""
    gamma, beta, most = bounds.standardised(stage.at)
    line = stage.path.line
    reach = np.where(gamma == 0, 0.0, np.abs(gamma) * most)
    made = Line(line.row, np.zeros_like(line.scale), beta - reach, beta + reach, bias=beta, gamma=gamma)
    own = stage.path.own + _own(stage, 1, 2)
    return replace(stage.path, line=made, norm=stage.at.node, mixed=True, own=own)


def _quantized(stage: _Stage) -> Path:
    """A code is off by half a step at most; that it ends somewhere keeps it no further down."""
    scale, zero = bounds.codes(stage.at)
    line = _scaled(stage.path.line, 1 / scale)
    made = replace(line, low=line.low + zero - 0.5, high=line.high + zero + 0.5, bias=line.bias + zero)
    return replace(stage.path, line=made)


def _decoded(stage: _Stage) -> Path:
    scale, zero = bounds.codes(stage.at)
    line = stage.path.line
    shifted = replace(line, low=line.low - zero, high=line.high - zero, bias=line.bias - zero)
    return replace(stage.path, line=_scaled(shifted, scale))


_FOLLOWED = [op for op in MOVERS if op not in MANY]

RULES: Mapping[tuple[str, str], Rule] = {
    **{("", op): _moved(MOVERS[op]) for op in _FOLLOWED},
    ("", "AveragePool"): _averaged,
    ("", "Add"): _added,
    ("", "Sum"): _added,
    ("", "Sub"): _subtracted,
    ("", "Mul"): _multiplied,
    ("", "Div"): _divided,
    ("", "Neg"): _negated,
    ("", "BatchNormalization"): _batch_normalised,
    **{("", op): _standardised for op in bounds.STANDARDISING},
    **{(domain, "QuantizeLinear"): _quantized for domain in ("", "com.microsoft")},
    **{(domain, "DequantizeLinear"): _decoded for domain in ("", "com.microsoft")},
}
"""What operators between a weight and a rectifier do to a line."""
