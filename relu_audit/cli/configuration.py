"""The file that settings come from: where it is looked for, and how it is read.

The file may be a stranger's, as part of a repository: whatever it is, it is read in bounded time, or refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from relu_audit.errors import UsageError, one_line

OWN_FILE = "relu-audit.toml"
SHARED_FILE = "pyproject.toml"

REPOSITORY = (".git", ".hg", ".jj", ".svn")
"""What a folder holds that is the root of a repository."""

MOST_BYTES = 1 << 20
"""A larger file is no configuration."""

MOST_DOTS = 1000
"""In a line. A key of more parts takes the parser time that grows with their square."""

MOST_BITS = 63
"""Of a whole number, its sign apart."""

MOST_CHARACTERS = 4096
"""Of a text: more than a path may have."""

MOST_QUOTED = 100
"""Characters of a key or a value that an error quotes."""


@dataclass(frozen=True)
class Configuration:
    """The file that settings come from.

    Attributes:
        path: The file.
        table: Its settings.
        sha256: Of the file's bytes.
        read: Every file that was looked into.
        hidden: Files with settings that are not used, since this one is nearer.
    """

    path: Path
    table: Mapping[str, Any]
    sha256: str
    read: tuple[Path, ...]
    hidden: tuple[Path, ...]


def find(folder: Path) -> Configuration | None:
    """The nearest configuration from a folder upwards to the root of its repository.

    Raises:
        UsageError: ``config`` if a file cannot be read, or is no table of settings.
    """
    read: list[Path] = []
    hidden: list[Path] = []
    found: tuple[Path, Mapping[str, Any], str] | None = None
    for path in _candidates(folder):
        read.append(path)
        if found is None:
            data = _bytes(path)
            table = _table(path, data)
            if table is not None:
                found = path, table, hashlib.sha256(data).hexdigest()
        else:
            with contextlib.suppress(UsageError):
                hidden += [path] if _table(path, _bytes(path)) else []
    return None if found is None else Configuration(*found, read=tuple(read), hidden=tuple(hidden))


def _candidates(folder: Path) -> Iterator[Path]:
    """The files of our two names that there are, nearest first."""
    for parent in _searched(folder):
        yield from (path for path in (parent / OWN_FILE, parent / SHARED_FILE) if os.path.lexists(path))


def _searched(folder: Path) -> Sequence[Path]:
    """The folders to look in: upwards to the root of the repository, and without one only to folders of the same user.

    A file further up may be anybody's. So the search never goes beyond the user's home, to the root of the disk, or to
    a folder in which every user may make files.
    """
    upwards: list[Path] = []
    home = _home()
    for parent in (folder, *folder.parents):
        if parent != folder and (parent == parent.parent or _everybodys(parent)):
            break
        upwards.append(parent)
        if any(os.path.lexists(parent / name) for name in REPOSITORY):
            return upwards
        if parent == home:
            break
    return [folder, *itertools.takewhile(_ours, upwards[1:])]


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (OSError, RuntimeError):  # a user without a home, and a loop of links
        return None


def _everybodys(folder: Path) -> bool:
    """Whether a folder is one like ``/tmp``, or one of which nothing can be told."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return True
    return bool(mode & stat.S_IWOTH and mode & stat.S_ISVTX)


def _ours(folder: Path) -> bool:
    """Whether a folder belongs to the user; where folders have no owners, all of them do."""
    return os.name != "posix" or folder.stat().st_uid == os.geteuid()


def _bytes(path: Path) -> bytes:
    """What a file of a reasonable kind and size holds."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path.name} is not a regular file", slug="config", hint="Use --no-config to do without.")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be read: {error.strerror}", slug="config", hint="Use --no-config to do without."
        ) from error
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"{path.name} is larger than {MOST_BYTES:,} bytes", slug="config", hint="Use --no-config to do without."
        )
    return data


def _table(path: Path, data: bytes) -> Mapping[str, Any] | None:
    """The settings in a file; None if it has no table of ours."""
    name, table = path.name, _parsed(path.name, data)
    if name == OWN_FILE:
        if "tool" in table:
            raise UsageError(
                f"{name} has a [tool] table", slug="config", hint="In this file, leave out the line [tool.relu-audit]."
            )
        return _plain(table, name)
    tool = _part(table, "tool", name) or {}
    if "relu_audit" in tool:
        raise UsageError(f"{name} has a table [tool.relu_audit]", slug="config", hint="Its name is [tool.relu-audit].")
    own = _part(tool, "relu-audit", name)
    return None if own is None else _plain(own, name)


def _parsed(name: str, data: bytes) -> dict[str, Any]:
    if any(line.count(b".") > MOST_DOTS for line in data.splitlines()):
        raise UsageError(f"{name} has a line with more than {MOST_DOTS:,} dots", slug="config")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:  # what is not TOML, what is not text, and numbers of thousands of digits
        said = one_line(str(error))[:MOST_QUOTED]
        raise UsageError(f"{name} is not valid TOML: {said}", slug="config") from error
    except (RecursionError, MemoryError) as error:
        raise UsageError(f"{name} nests too deeply, or is too large", slug="config") from error


def _plain(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings, once every number and every text is of a size that can be told again."""
    left: list[tuple[str, object]] = [*table.items(), *(("a key", key) for key in table)]
    while left:
        key, value = left.pop()
        where = f"{name}: '{key[:MOST_QUOTED]}' holds"
        if isinstance(value, Mapping):
            held = cast("Mapping[str, object]", value)
            left += [(key, inner) for inner in held]
            left += [(f"{key}.{inner}"[:MOST_CHARACTERS], one) for inner, one in held.items()]
        elif isinstance(value, list):
            left += [(key, one) for one in cast("list[object]", value)]
        elif isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise UsageError(f"{where} a whole number of more than 64 bits", slug="config")
        elif isinstance(value, str) and len(value) > MOST_CHARACTERS:
            raise UsageError(f"{where} a text of more than {MOST_CHARACTERS:,} characters", slug="config")
    return table


def _part(table: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any] | None:
    part = table.get(key)
    if part is not None and not isinstance(part, Mapping):
        raise UsageError(f"{name}: '{key}' is not a table", slug="config", hint="Write [tool.relu-audit].")
    return cast("Mapping[str, Any] | None", part)
