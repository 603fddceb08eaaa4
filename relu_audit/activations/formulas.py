"""Nodes that make functions of one value, and how what they make is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from relu_audit.activations.pieces import Curve, UnknownError

_LONGEST = 60
"""Letters of a formula, at most."""


@dataclass(frozen=True)
class Text:
    """How a function is written.

    Attributes:
        text: The formula; ``x`` is what it is a function of, ``v`` a constant of several numbers.
        rank: How loosely its parts hang together: brackets go around it inside what is tighter.
        name: How it is called where it stands by itself.
    """

    text: str
    rank: int = 0
    name: str = ""

    def within(self, rank: int) -> str:
        """As a part of another formula."""
        return f"({self.text})" if self.rank > rank else self.text

    @property
    def alone(self) -> str:
        """As the whole of a formula."""
        return self.name or self.text


_PRODUCT, _SUM, _COMPARISON = 1, 2, 3


@dataclass(frozen=True)
class At:
    """A node, and its operands as functions of one value and as text; None for those that are left out."""

    node: ir.Node
    opset: int
    curves: Sequence[Curve | None]
    texts: Sequence[Text | None]

    def curve(self, index: int = 0) -> Curve:
        """An operand.

        Raises:
            UnknownError: It is not there.
        """
        found = self.optional(index)
        if found is None:
            raise UnknownError
        return found

    def optional(self, index: int) -> Curve | None:
        """An operand; None if it is not there."""
        return self.curves[index] if index < len(self.curves) else None

    @property
    def given(self) -> list[Curve]:
        """The operands that are there."""
        return [curve for curve in self.curves if curve is not None]

    @property
    def written(self) -> list[Text]:
        """The same as text."""
        return [text for text in self.texts if text is not None]

    def number(self, name: str, default: float) -> float:
        """A number among the attributes."""
        return number(self.node, name, default)


Write = Callable[[At], Text]


def number(node: ir.Node, name: str, default: float) -> float:
    """A number among a node's attributes."""
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.value)  # pyright: ignore[reportArgumentType]


def shown(curve: Curve) -> Text:
    """A constant as text."""
    numbers = curve.missing
    return Text("v" if numbers.ndim else f"{float(numbers) + 0.0:g}")


def cut(text: Text) -> Text:
    """A formula that is no longer than a report bears."""
    return text if len(text.text) <= _LONGEST else Text("...")


def infix(symbol: str, rank: int, *, ordered: bool = False) -> Write:
    """Operands with a symbol between; where they are ``ordered``, brackets tell those behind the first apart."""

    def write(at: At) -> Text:
        first, *others = at.written
        rest = [text.within(rank - 1 if ordered else rank) for text in others]
        return Text(f" {symbol} ".join([first.within(rank), *rest]), rank)

    return write


def total(at: At) -> Text:
    """A sum."""
    return infix("+", _SUM)(at)


def difference(at: At) -> Text:
    """A difference."""
    return infix("-", _SUM, ordered=True)(at)


def product(at: At) -> Text:
    """A product."""
    return infix("*", _PRODUCT)(at)


def quotient(at: At) -> Text:
    """A quotient."""
    return infix("/", _PRODUCT, ordered=True)(at)


def power(at: At) -> Text:
    """A power."""
    return infix("^", 0)(at)


def compared(symbol: str) -> Write:
    """Two operands compared, or joined as truth values."""
    return infix(symbol, _COMPARISON, ordered=True)


def opposite(at: At) -> Text:
    """With a minus in front."""
    return Text(f"-{at.written[0].within(0)}", _PRODUCT)


def distance(at: At) -> Text:
    """Between bars."""
    return Text(f"|{at.written[0].text}|")


def passed(at: At) -> Text:
    """The operand as it is."""
    return replace(at.written[0], name="")


def listed(at: At) -> Text:
    """A call with its operands."""
    return Text(f"{at.node.op_type}({', '.join(text.text for text in at.written)})")


def unordered(at: At) -> Text:
    """A call whose operands may change places: constants come last."""
    pairs = zip(at.given, at.written, strict=True)
    texts = [text.text for _, text in sorted(pairs, key=lambda pair: not pair[0].sloped.any())]
    return Text(f"{at.node.op_type}({', '.join(texts)})")


def call(*parameters: Callable[[At], str]) -> Write:
    """A call with the numbers that set it apart; by itself, without what it is a function of."""

    def write(at: At) -> Text:
        apart = [text for text in (parameter(at) for parameter in parameters) if text]
        op = at.node.op_type
        name = f"{op}({', '.join(apart)})" if apart else op
        return Text(f"{op}({', '.join([at.written[0].text, *apart])})", name=name)

    return write


def attribute(name: str, default: float) -> Callable[[At], str]:
    """A number among the attributes."""
    return lambda at: f"{at.number(name, default):g}"


def if_zero(name: str) -> Callable[[At], str]:
    """A number among the attributes, where it is zero."""
    return lambda at: f"{name} 0" if at.number(name, 1.0) == 0 else ""


def slopes(at: At) -> str:
    """The slopes of a PRelu; of several the zero, if it is among them."""
    slope = at.curve(1)
    return at.written[1].text if slope.sloped.any() or not slope.zero.any() else "0"


def bounds(at: At) -> str:
    """The bounds of a Clip."""
    if at.opset < 11:
        ends = (at.number("min", -math.inf), at.number("max", math.inf))
        low, high = ("" if math.isinf(end) else f"{end:g}" for end in ends)
    else:
        low, high = ("" if end is None else end.text for end in [*at.texts, None, None][1:3])
    return f"{low or '-inf'}, {high}" if high else low
