"""Split a serialized model into its graph and its weights without copying the weights.

Parsing a protobuf copies every tensor, twice over in the bindings. Here the large ``raw_data`` fields are left where
they are: the parser gets the file without them, and each tensor is a view of the file (memory-mapped, so that a weight
that nobody touches is never read).

Sources: the protobuf wire format (protobuf.dev/programming-guides/encoding) and the field numbers of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MODEL_GRAPH = 7
GRAPH_INITIALIZER = 5
TENSOR_NAME = 8
TENSOR_RAW_DATA = 9

KEPT_BYTES = 1 << 12
"""Tensors up to this size stay in the graph."""

_VARINT, _FIXED64, LENGTH, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True)
class Field:
    """One field of a message: its number, where it starts, and where its value lies."""

    number: int
    wire_type: int
    start: int
    value: int
    end: int


def split(buffer: memoryview) -> tuple[bytes, dict[str, memoryview]]:
    """The serialized model without the raw data of its large initializers, and that data by initializer name.

    Raises:
        WireError: The bytes are no protobuf message.
    """
    weights: dict[str, memoryview] = {}

    def initializer(start: int, end: int) -> bytes:
        parts: list[bytes] = []
        name, raw = "", None
        for field in fields(buffer, start, end):
            if field.number == TENSOR_NAME and field.wire_type == LENGTH:
                name = bytes(buffer[field.value : field.end]).decode("utf-8", "replace")
            if field.number == TENSOR_RAW_DATA and field.end - field.value > KEPT_BYTES:
                raw = buffer[field.value : field.end]
            else:
                parts.append(bytes(buffer[field.start : field.end]))
        if raw is not None:
            weights[name] = raw
        return b"".join(parts)

    def graph(start: int, end: int) -> bytes:
        return b"".join(
            nested(GRAPH_INITIALIZER, initializer(field.value, field.end))
            if field.number == GRAPH_INITIALIZER and field.wire_type == LENGTH
            else bytes(buffer[field.start : field.end])
            for field in fields(buffer, start, end)
        )

    parts = [
        nested(MODEL_GRAPH, graph(field.value, field.end))
        if field.number == MODEL_GRAPH and field.wire_type == LENGTH
        else bytes(buffer[field.start : field.end])
        for field in fields(buffer, 0, len(buffer))
    ]
    return b"".join(parts), weights


def fields(buffer: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message between two places, in order.

    Raises:
        WireError: The bytes are no protobuf message.
    """
    at = start
    while at < end:
        key, value = _varint(buffer, at, end)
        wire_type = key & 7
        if wire_type == _VARINT:
            _, stop = _varint(buffer, value, end)
        elif wire_type == LENGTH:
            length, value = _varint(buffer, value, end)
            stop = value + length
        elif wire_type in (_FIXED64, _FIXED32):
            stop = value + (8 if wire_type == _FIXED64 else 4)
        else:
            raise WireError(f"wire type {wire_type}")
        if stop > end:
            raise WireError("a field reaches beyond the end")
        yield Field(key >> 3, wire_type, at, value, stop)
        at = stop


def _varint(buffer: memoryview, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < 70:
        byte = buffer[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise WireError("a number has no end")


def nested(number: int, payload: bytes) -> bytes:
    """A field that holds a message or a text."""
    return heading(number, len(payload)) + payload


def heading(number: int, length: int) -> bytes:
    """What stands in front of so many bytes of a message or a text."""
    out = bytearray()
    for value in (number << 3 | LENGTH, length):
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)
