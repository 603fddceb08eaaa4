"""Mutations of a protobuf that know no ONNX: any field of any message is deleted, doubled, exchanged or set anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

NAMES = (
    *(
        "",
        " ",
        "x",
        "y",
        "w",
        "r",
        "r0",
        "/",
        "..",
        "../../x",
        "a/b\\c",
        "\x00",
        "\x1b[31m",
        "\n::error::x",
        "##vso[x]y",
    ),
    *("{stem}", "%s%n", "<b>", "`", "é☃", "\u202e", "\U0001f600", "L" * 400, "=1", "-", "--json", "none", "ai.onnx"),
)

INTEGERS = (0, 1, -1, 2, 3, 7, 255, 65536, 2**31 - 1, -(2**31), 2**32, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, -1e38, float("inf"), float("-inf"), float("nan"))

_INTEGERS = {
    *(FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64),
    *(FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64),
}


def messages(message: Message) -> Iterator[Message]:
    """A message and all below it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for below in value if _many(field) else (value,):
                yield from messages(below)


def mutate(message: Message, rng: Random) -> None:
    """Change one field of one message; which is likely to be one that says something."""
    found = [*messages(message)]
    kinds = sorted({type(one).__name__ for one in found})
    kind = rng.choice(kinds)  # else weights' dimensions and nodes' attributes are all that is ever met
    target = rng.choice([one for one in found if type(one).__name__ == kind])
    present = [field for field, _ in target.ListFields()]
    field = rng.choice(present) if present and rng.random() < 0.85 else rng.choice(target.DESCRIPTOR.fields)
    if _many(field):
        _mutate_list(target, field, found, rng)
    elif field.message_type is not None:
        _mutate_message(target, field, found, rng)
    elif rng.random() < 0.1:
        target.ClearField(field.name)
    else:
        _set(target, field, scalar(field, getattr(target, field.name), found, rng))


def scalar(field: FieldDescriptor, old: Any, found: list[Message], rng: Random) -> Any:
    """Another value for a field."""
    if field.enum_type is not None:
        return rng.choice([*field.enum_type.values_by_number, 99])
    if field.cpp_type in _INTEGERS:
        return rng.choice([*INTEGERS, old + 1, old - 1, -old, rng.randrange(20)])
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice([*FLOATS, -old, old * 2])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return not old
    if field.type == FieldDescriptor.TYPE_BYTES:
        return damaged(old, rng)
    words = [value for one in found for other, value in one.ListFields() if _is_text(other) for value in _listed(value)]
    return rng.choice([rng.choice(NAMES), rng.choice(words or [""]), rng.choice(words or [""]), old[: len(old) // 2]])


def damaged(data: bytes, rng: Random) -> bytes:
    """Bytes cut short, longer, or other ones."""
    ways: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: data[: rng.randrange(len(data) + 1)],
        lambda: data + bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 64)))),
        lambda: _flipped(data, rng),
        lambda: b"\xff" * len(data),
        lambda: b"\x00\x00\xc0\x7f" * (len(data) // 4),
    ]
    return rng.choice(ways)()


def _flipped(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 10)) if data else 0):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _mutate_list(target: Message, field: FieldDescriptor, found: list[Message], rng: Random) -> None:
    values = getattr(target, field.name)
    if field.message_type is not None:
        like = [one for one in found if one.DESCRIPTOR is field.message_type]
        way = rng.randrange(5)
        if way == 0 and values:
            del values[rng.randrange(len(values))]
        elif way == 1 and values:
            values.add().CopyFrom(rng.choice(values))
        elif way == 2 and like:
            values.add().CopyFrom(_copy(rng.choice(like)))
        elif way == 3 and len(values) > 1:
            i, j = rng.sample(range(len(values)), 2)
            one, other = _copy(values[i]), _copy(values[j])
            values[i].CopyFrom(other), values[j].CopyFrom(one)
        elif way == 4 and values and like:
            values[rng.randrange(len(values))].CopyFrom(_copy(rng.choice(like)))
        else:
            del values[:]
        return
    new = [*values]
    way = rng.randrange(5)
    if way == 0 and new:
        del new[rng.randrange(len(new))]
    elif way == 1 and new:
        new.insert(rng.randrange(len(new) + 1), rng.choice(new))
    elif way == 2 and new:
        new[rng.randrange(len(new))] = scalar(field, rng.choice(new), found, rng)
    elif way == 3:
        rng.shuffle(new)
    else:
        default = "" if _is_text(field) else b"" if field.type == FieldDescriptor.TYPE_BYTES else 0
        new.insert(rng.randrange(len(new) + 1), scalar(field, default, found, rng))
    target.ClearField(field.name)
    for value in new:
        try:
            getattr(target, field.name).append(value)
        except (ValueError, TypeError):  # out of the field's range
            getattr(target, field.name).append(type(value)())


def _mutate_message(target: Message, field: FieldDescriptor, found: list[Message], rng: Random) -> None:
    like = [one for one in found if one.DESCRIPTOR is field.message_type and one is not target]
    if like and rng.random() < 0.7:
        getattr(target, field.name).CopyFrom(_copy(rng.choice(like)))
    elif rng.random() < 0.5:
        target.ClearField(field.name)
    else:
        getattr(target, field.name).SetInParent()


def _set(target: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        setattr(target, field.name, value)
    except (ValueError, TypeError):  # out of the field's range
        target.ClearField(field.name)


def _copy(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _many(field: FieldDescriptor) -> bool:
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else [*value]
