"""Arrays in ``.npz`` archives. An archive is opened once, so that a member costs the same however many there are."""

from __future__ import annotations

import contextlib
import functools
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from relu_audit.errors import DataError
from relu_audit.observe.columns import Column, Source, Table
from relu_audit.observe.stored import check_regular, check_size, damaged, stored, unreadable

ENDING = ".npy"
"""What the members that are arrays end in."""

OPEN_AT_ONCE = 4
"""Archives of a folder that stay open for what is read next."""

DENSEST = 1032
"""A byte of deflated data holds so many bytes at most: 258 for a match of two bits (RFC 1951)."""

SUSPECT = 100
"""A member that expands so many times may be made to fill the memory."""

MOST_AT_ONCE = 1 << 28
"""Bytes of such a member that are read at once, at most."""

_METHODS = {zipfile.ZIP_BZIP2: "BZIP2", zipfile.ZIP_LZMA: "LZMA"}

OpenArchive = Callable[[Path], zipfile.ZipFile]


def open_npz(path: Path) -> Source:
    """The arrays of one archive.

    Raises:
        DataError: ``data-not-found`` or ``data-kind``; as the table is read, as :func:`npz_table`.
    """
    check_regular(path)
    opener = keeping_open()
    return Source(path.name, lambda: iter([npz_table(path, opener)]), single=True)


def keeping_open() -> OpenArchive:
    """What opens archives, and keeps the last few of them open."""
    return functools.lru_cache(maxsize=OPEN_AT_ONCE)(zipfile.ZipFile)


def npz_table(path: Path, opener: OpenArchive) -> Table:
    """The arrays of an archive. A member that nobody asks for is not looked at.

    Args:
        path: The archive.
        opener: What opens it, and keeps it open.

    Raises:
        DataError: ``data-not-found``, ``data-kind``, ``data-damaged`` or ``data-empty``.
    """
    check_regular(path)
    try:
        infos = [info for info in opener(path).infolist() if info.filename.endswith(ENDING)]
    except MemoryError:
        raise
    except PermissionError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # a damaged directory raises many kinds
        raise damaged(f"{path.name} is not a .npz file, or", "is cut short", "Write or copy it again.") from error
    members = {info.filename.removesuffix(ENDING): info for info in infos}
    if len(members) < len(infos):
        ((twice, _),) = Counter(info.filename for info in infos).most_common(1)
        raise damaged(path.name, f"holds two members of the name '{twice}'")
    if not members:
        raise DataError(f"{path.name} holds no arrays", slug="data-empty", hint="Write it with numpy.savez.")
    return Table(path.name, _Members(path, opener, members))


class _Members(Mapping[str, Column]):
    """The arrays of an archive by name, each looked at when it is asked for."""

    def __init__(self, path: Path, opener: OpenArchive, infos: Mapping[str, zipfile.ZipInfo]) -> None:
        self._path = path
        self._opener = opener
        self._infos = infos
        self._columns: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = _column(self._path, self._opener, self._infos[name])
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def __len__(self) -> int:
        return len(self._infos)


def _column(path: Path, opener: OpenArchive, info: zipfile.ZipInfo) -> Column:
    where = f"{path.name}, array '{info.filename.removesuffix(ENDING)}'"
    if info.flag_bits & 1:
        raise damaged(where, "is encrypted", "Write it with numpy.savez.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise damaged(where, f"is compressed by {method}, which numpy does not write", "Write it with numpy.savez.")
    dense = DENSEST if info.compress_type == zipfile.ZIP_DEFLATED else 1
    if info.file_size > info.compress_size * dense:
        raise damaged(where, f"claims {info.file_size:,} bytes, which its {info.compress_size:,} cannot hold")
    most = MOST_AT_ONCE if info.file_size > info.compress_size * SUSPECT else None
    column = stored(where, functools.partial(_member, path, opener, info, where), most)
    check_size(where, column.header, info.file_size)
    return column


@contextlib.contextmanager
def _member(path: Path, opener: OpenArchive, info: zipfile.ZipInfo, where: str) -> Generator[Any]:
    try:
        stream = opener(path).open(info)
    except MemoryError:
        raise
    except PermissionError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # a damaged header raises many kinds
        raise damaged(where) from error
    with stream:
        yield stream
