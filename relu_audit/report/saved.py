"""The bytes of a saved audit: read within bounds, and refused where JSON leaves open what they say."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from relu_audit.errors import RecordError
from relu_audit.regular import handed_over, other_than_file

MOST_BYTES = 1 << 30
"""Bytes of a file, at most; an audit of a million units takes a tenth."""

PIECE = 1 << 20

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(?P<key>\s*:)?|[{}]')
"""A string, with what makes it a key; or where an object begins or ends."""


def read(source: str | bytes | os.PathLike[str]) -> tuple[bytes, str]:
    """What a file holds, and its name for messages.

    Args:
        source: Path of the file, or its contents as bytes.

    Raises:
        RecordError: ``audit-unreadable``.
    """
    if isinstance(source, bytes):
        return source, "the audit"
    path = Path(source)
    try:
        other, pipe = other_than_file(path), handed_over(path)
        if other is not None and pipe is None:
            raise RecordError(
                f"'{str(source)[:100]}' is {other}, and an audit is read from a file",
                slug="audit-unreadable",
                hint="Write the audit to a file, or hand it over as /dev/stdin.",
            )
        with path.open("rb") if pipe is None else os.fdopen(os.dup(pipe), "rb") as file:
            return b"".join(_pieces(file, path.name)), path.name
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise RecordError(
            f"cannot read '{str(source)[:100]}': {why}", slug="audit-unreadable", hint="Check the path's spelling."
        ) from error


def _pieces(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The file a megabyte at a time, as long as it may be an audit: a pipe has no size to be asked for."""
    held = 0
    while piece := file.read(PIECE):
        if (not held and not piece.lstrip().startswith(b"{")) or (piece.isspace() and len(piece) == PIECE):
            raise unreadable(name, "it is no JSON object")
        held += len(piece)
        if held > MOST_BYTES:
            raise unreadable(name, f"it holds more than {MOST_BYTES:,} bytes")
        yield piece


def check_keys(text: bytes, name: str) -> None:
    """Refuse an object that has a key twice: readers differ in which of the two counts.

    Args:
        text: Valid JSON.
        name: What to call it.

    Raises:
        RecordError: ``audit-unreadable``.
    """
    open_objects: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token[0] == b"{":
            open_objects.append(set())
        elif token[0] == b"}":
            open_objects.pop()
        elif token["key"] is not None:
            key = json.loads(token[0][: -len(token["key"])])
            if key in open_objects[-1]:
                raise unreadable(name, f"it has the key '{key}' twice")
            open_objects[-1].add(key)


def unreadable(name: str, why: object) -> RecordError:
    """A file that is not an audit."""
    return RecordError(
        f"{name} is not an audit: {str(why)[:200]}",
        slug="audit-unreadable",
        hint="Write one with relu-audit --json FILE.",
    )
