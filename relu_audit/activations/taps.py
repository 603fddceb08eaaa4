"""How a rectified value is read where it does not lie open in the graph: as codes, in blocks, turned, or beside others.

A tap says what layout the value has once it is read, and writes the nodes that read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import onnx_ir as ir

from relu_audit.model.lifts import NodeWriter
from relu_audit.operators.layout import Layout, opaque, resized


class Tap(Protocol):
    """A way to read a value."""

    def layout(self, layout: Layout) -> Layout:
        """The layout of what is read, from that of the value."""
        ...

    def read(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """Write the nodes that read the rectified value."""
        ...

    def read_source(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """Write the nodes that read the pre-activation."""
        ...


@dataclass(frozen=True)
class Open:
    """The value as it is."""

    def layout(self, layout: Layout) -> Layout:
        """Unchanged."""
        return layout

    def read(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """No nodes."""
        del writer
        return value

    read_source = read


OPEN = Open()


@dataclass(frozen=True)
class Codes:
    """Quantized codes, read as the numbers they stand for: ``(code - zero_point) * scale`` (DequantizeLinear)."""

    scale: ir.Value
    zero_point: ir.Value | None

    def layout(self, layout: Layout) -> Layout:
        """Unchanged."""
        return layout

    def read(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """In float32, whatever the type of the codes; written out, since DequantizeLinear takes few types."""
        code, scale = (_as_float(writer, each) for each in (value, self.scale))
        if self.zero_point is not None:
            zero = _as_float(writer, self.zero_point)
            code = writer.node("Sub", code, zero, dtype=ir.DataType.FLOAT)
        return writer.node("Mul", code, scale, dtype=ir.DataType.FLOAT)

    def read_source(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """What becomes codes is not in codes."""
        del writer
        return value


@dataclass(frozen=True)
class Blocks:
    """An image in onnxruntime's blocked layout, whose channels are filled up to whole blocks."""

    channels: int

    def layout(self, layout: Layout) -> Layout:
        """With the channels that are not filling."""
        return (*layout[:1], *(resized(axis, self.channels) for axis in layout[1:2]), *layout[2:])

    def read(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """Back in channels-first order."""
        return writer.node(
            "ReorderOutput", value, dtype=value.dtype, domain="com.microsoft.nchwc", channels=self.channels
        )

    read_source = read


@dataclass(frozen=True)
class Direction:
    """One direction of a recurrent operator's result."""

    axis: int
    index: int

    def layout(self, layout: Layout) -> Layout:
        """With one direction."""
        return (*layout[: self.axis], *opaque([1]), *layout[self.axis + 1 :])

    def read(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """That direction alone."""
        return writer.node("Gather", value, writer.integers([self.index]), dtype=value.dtype, axis=self.axis)

    read_source = read


Side = Literal["plain", "negated", "magnitude"]
"""How numbers are turned, so that all that count are positive: not at all, to their opposites, or to their distance
from zero."""

_TURNS: dict[Side, str] = {"negated": "Neg", "magnitude": "Abs"}


@dataclass(frozen=True)
class Turned:
    """A value whose numbers below zero count: behind what rectifies the other way, or gives out both signs.

    Attributes:
        output: How the rectified value is turned.
        source: How its pre-activation is.
        inner: How both are read before.
    """

    output: Side
    source: Side = "plain"
    inner: Tap = OPEN

    def layout(self, layout: Layout) -> Layout:
        """As it is read before."""
        return self.inner.layout(layout)

    def read(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """With one node more."""
        return _turned(writer, self.inner.read(writer, value), self.output)

    def read_source(self, writer: NodeWriter, value: ir.Value) -> ir.Value:
        """Likewise."""
        return _turned(writer, self.inner.read_source(writer, value), self.source)


def is_open(tap: Tap) -> bool:
    """Whether a tap reads numbers that lie open in the graph, turned or not."""
    return tap is OPEN or (isinstance(tap, Turned) and tap.inner is OPEN)


def _turned(writer: NodeWriter, value: ir.Value, side: Side) -> ir.Value:
    if side == "plain":
        return value
    wide = value if value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE) else _as_float(writer, value)
    return writer.node(_TURNS[side], wide, dtype=wide.dtype)


def _as_float(writer: NodeWriter, value: ir.Value) -> ir.Value:
    return writer.node("Cast", value, dtype=ir.DataType.FLOAT, to=int(ir.DataType.FLOAT))
