"""What a value can be at most and at least, entry by entry along its channels, from what was seen of its rectifiers.

A rectified value lies between the smallest and the largest output that the audit saw. From there the bounds follow the
graph forward, by the rules of :mod:`relu_audit.values.bounds`; what has no rule is not known. Only what is asked for is
computed, back to the nearest rectifiers. This is the engine; it knows no operator but the one that branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from relu_audit.model.scopes import bodies
from relu_audit.network.constants import numbers
from relu_audit.network.normalize import Network, sizes
from relu_audit.operators.layout import Size
from relu_audit.operators.moves import Operation
from relu_audit.values import condensed
from relu_audit.values.condensed import Blurred
from relu_audit.values.signs import key


@dataclass(frozen=True)
class Span:
    """Bounds of a value, as condensed arrays of its rank; infinite where there is none."""

    low: np.ndarray
    high: np.ndarray

    @property
    def fixed(self) -> np.ndarray:
        """Where it can only be one number."""
        return self.low == self.high


@dataclass(frozen=True)
class Meeting:
    """A node and what is known of its operands, as a rule may see it."""

    network: Network
    node: ir.Node
    spans: tuple[Span | None, ...]
    op: Operation
    output: int = 0

    def span(self, index: int) -> Span:
        """The bounds of an operand.

        Raises:
            Blurred: Nothing is known of it.
        """
        found = self.spans[index] if index < len(self.spans) else None
        if found is not None:
            return found
        exact = self.numbers(index)
        if exact.size > condensed.LARGEST:
            raise Blurred
        return Span(exact, exact)

    def numbers(self, index: int) -> np.ndarray:
        """The numbers of a constant operand.

        Raises:
            Blurred: It is none.
        """
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        found = numbers(self.network, value)
        if found is None or found.dtype.kind == "c":
            raise Blurred
        return found.astype(np.float64)


Rule = Callable[[Meeting], Span]


@dataclass(frozen=True)
class Row:
    """What one operator makes of bounds; ``blind`` if it does so whatever those of its data are."""

    rule: Rule
    blind: bool = False


Rules = Mapping[tuple[str, str], Row]


@dataclass
class Spans:
    """The bounds of values, computed when asked for.

    Attributes:
        network: The graph.
        seen: What was seen of rectified values.
        rules: What operators make of bounds.
    """

    network: Network
    seen: Mapping[ir.Value, Span]
    rules: Rules
    _known: dict[ir.Value, Span | None] = field(default_factory=dict[ir.Value, "Span | None"])

    def of(self, value: ir.Value | None) -> Span | None:
        """The bounds of a value; None if nothing is known."""
        if value is None:
            return None
        for each in self._needed(value):
            self._known[each] = self._computed(each)
        return self._known[value]

    def _needed(self, value: ir.Value) -> Iterator[ir.Value]:
        """What has to be known first, each after what it needs itself."""
        pending, opened = [value], set[ir.Value]()
        while pending:
            one = pending[-1]
            sources = [] if one in self._known or one in opened else self._sources(one)
            opened.add(one)
            if sources:
                pending += sources
            else:
                pending.pop()
                if one not in self._known:
                    yield one

    def _sources(self, value: ir.Value) -> list[ir.Value]:
        node = value.producer()
        if value in self.seen or value in self.network.weights or node is None:
            return []
        if node.op_type in _BRANCHING:
            return [body.outputs[node.outputs.index(value)] for _, body in bodies(node)]
        row = self.rules.get(key(node))
        if row is None or row.blind:
            return []
        computed = (one for one in node.inputs if one is not None and one not in self.network.weights)
        return [one for one in computed if one not in self._known]

    def _computed(self, value: ir.Value) -> Span | None:
        if value in self.seen:
            return self.seen[value]
        node = value.producer()
        if value in self.network.weights or node is None:
            return None
        if node.op_type in _BRANCHING:
            return _hull([self._known.get(source) for source in self._sources(value)])
        row = self.rules.get(key(node))
        if row is None:
            return None
        at = self._meeting(node, node.outputs.index(value))
        try:
            with np.errstate(all="ignore"):
                made = row.rule(at)
        except Blurred:
            return None
        except (LookupError, ValueError, TypeError):
            # What contradicts its operator, the runtime has run all the same: nothing is claimed of it.
            self.network.note(f"the range of what {node.op_type} computes is not known: its operands do not fit it")
            return None
        shape = sizes(value)
        fits = shape is None or (_fits(made.low, shape) and _fits(made.high, shape))
        return made if fits and not (np.isnan(made.low) | np.isnan(made.high)).any() else None

    def _meeting(self, node: ir.Node, output: int) -> Meeting:
        return meeting(
            self.network, node, tuple(self._known.get(v) if v is not None else None for v in node.inputs), output
        )


def _fits(end: np.ndarray, shape: Sequence[Size]) -> bool:
    """Whether an array of a span can stand for a value, which a resized channel axis, for example, rules out."""
    pairs = zip(end.shape, shape, strict=False)
    return end.ndim == len(shape) and all(n in (1, size) or not isinstance(size, int) for n, size in pairs)


def meeting(network: Network, node: ir.Node, spans: tuple[Span | None, ...], output: int = 0) -> Meeting:
    """A node with what is known of its operands."""
    op = Operation(
        node=node,
        inputs=(),
        constants=network.constants(node.inputs),
        shapes=tuple(sizes(value) for value in node.outputs),
    )
    return Meeting(network, node, spans, op, output)


_BRANCHING = ("If",)


def _hull(spans: Sequence[Span | None]) -> Span | None:
    known = [one for one in spans if one is not None]
    if not known or len(known) < len(spans) or len({one.low.ndim for one in known}) > 1:
        return None
    low, high = known[0].low, known[0].high
    for one in known[1:]:
        low, high = np.minimum(low, one.low), np.maximum(high, one.high)
    return Span(low, high)
