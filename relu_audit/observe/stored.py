"""Arrays in numpy's format, in a file of their own or in an archive, read a few rows at a time.

What a header claims is checked against the bytes that are there before anything is read or allocated.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from relu_audit.errors import DataError, cut
from relu_audit.model.protos import MOST_AXES
from relu_audit.observe.columns import ArrayColumn, Source, Table
from relu_audit.regular import other_than_file

MOST_QUOTED = 300
"""Characters of a header that an error quotes."""

LONGEST_HEADER = 10_000
"""Bytes of a header, at most; numpy itself parses none that are longer."""

_HEADERS = {(1, 0): (2, npy.read_array_header_1_0), (2, 0): (4, npy.read_array_header_2_0)}
"""By version: the bytes of the header's length, and what parses the header."""


@dataclass(frozen=True)
class Header:
    """What stands in front of the numbers of a stored array.

    Attributes:
        shape: Elements along each axis.
        fortran: Whether the first axis runs fastest.
        dtype: Element type.
        length: Bytes in front of the numbers.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def row(self) -> int:
        """Bytes of one entry of axis 0."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def size(self) -> int:
        """Bytes of all numbers."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class StoredColumn:
    """An array in a file, read as it is needed. One in Fortran order cannot be cut into rows and is read whole.

    Attributes:
        where: What to call it.
        open: Opens it, at its header.
        header: What its header says.
        most: Most bytes that are read at once; None where the file holds them all as they are.
    """

    where: str
    open: Callable[[], contextlib.AbstractContextManager[Any]]
    header: Header
    most: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self.header.dtype

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of at most ``rows``, read and decompressed one at a time."""
        header, shape = self.header, self.header.shape
        with self.open() as stream:
            if read_header(stream, self.where) != header:
                raise damaged(self.where, "was written anew while it was read")
            if header.fortran or not shape:
                whole = np.frombuffer(self._read(stream, header.size), header.dtype)
                yield from ArrayColumn(whole.reshape(shape, order="F" if header.fortran else "C")).blocks(rows)
                return
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                yield np.frombuffer(self._read(stream, header.row * count), header.dtype).reshape(count, *shape[1:])

    def _read(self, stream: Any, size: int) -> bytes:
        if self.most is not None and size > self.most:
            raise damaged(
                self.where,
                f"expands to {size:,} bytes that have to be read at once",
                "If that is meant, write it without compression, and not in Fortran order.",
            )
        try:
            data = stream.read(size)
        except MemoryError:
            raise
        except Exception as error:  # what decompresses it raises many kinds
            raise damaged(self.where) from error
        if len(data) != size:
            raise damaged(self.where)
        return data


def open_npy(path: Path) -> Source:
    """The array of a ``.npy`` file, as a table without names.

    Raises:
        DataError: ``data-not-found`` or ``data-kind``; as the table is read, ``data-damaged`` or ``data-pickled``.
    """
    check_regular(path)
    return Source(path.name, lambda: iter([Table(path.name, {"": npy_column(path)})]), single=True)


def npy_column(path: Path) -> StoredColumn:
    """The array of a ``.npy`` file.

    Raises:
        DataError: ``data-not-found``, ``data-kind``, ``data-damaged`` or ``data-pickled``.
    """
    check_regular(path)
    try:
        column = stored(path.name, functools.partial(path.open, "rb"))
        held = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    check_size(path.name, column.header, held)
    return column


def stored(
    where: str, open_stream: Callable[[], contextlib.AbstractContextManager[Any]], most: int | None = None
) -> StoredColumn:
    """The array behind a header.

    Raises:
        DataError: ``data-damaged`` or ``data-pickled``.
    """
    with open_stream() as stream:
        return StoredColumn(where, open_stream, read_header(stream, where), most)


def check_size(where: str, header: Header, held: int) -> None:
    """Refuse an array whose header claims more bytes than there are, or fewer.

    Raises:
        DataError: ``data-damaged``.
    """
    claimed = header.length + header.size
    if held < claimed:
        raise damaged(where)
    if held > claimed:
        raise damaged(where, f"holds {held - claimed:,} bytes behind its array", "Write one array to one file.")


def read_header(stream: Any, where: str) -> Header:
    """Read the header of an array and leave the stream at its numbers.

    Raises:
        DataError: ``data-damaged`` for a header that is none, or that no array can have; ``data-pickled``.
    """
    try:
        shape, fortran, dtype, length = _parsed(stream)
    except Exception as error:  # numpy evaluates the header as Python, and a damaged one raises almost anything
        raise DataError(
            f"{where}: not a numpy array, or cut short", slug="data-damaged", hint="Write it with numpy.savez."
        ) from error
    if dtype.hasobject:
        raise DataError(
            f"{where}: holds Python objects, which would have to be unpickled",
            slug="data-pickled",
            hint="Unpickling runs code from the file. Convert it to a numeric array: numpy.stack(list(a)).",
        )
    impossible = _impossible(shape, dtype)
    if impossible:
        raise damaged(where, f"claims {cut(impossible, MOST_QUOTED)}", "Write it with numpy.save or numpy.savez.")
    return Header(shape, fortran, dtype, length)


def _parsed(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type and length of a header, of which no more is read than a header can have."""
    width, parse = _HEADERS[npy.read_magic(stream)]
    prefix = _exactly(stream, width)
    length = int.from_bytes(prefix, "little")
    if length > LONGEST_HEADER:
        raise ValueError("a header of that length")
    shape, fortran, dtype = parse(io.BytesIO(prefix + _exactly(stream, length)))
    return shape, fortran, dtype, npy.MAGIC_LEN + width + length


def _exactly(stream: Any, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _impossible(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """What no array can have; empty where there is nothing of the kind. Numpy reads such headers as they are."""
    if any(isinstance(size, bool) or size < 0 for size in shape):
        return f"an axis of length {next(size for size in shape if isinstance(size, bool) or size < 0)}"
    if len(shape) > MOST_AXES:
        return f"{len(shape)} axes"
    if not dtype.itemsize:
        return f"entries without a byte ({dtype.name})"
    if dtype.subdtype is not None:
        return f"entries that are arrays themselves ({dtype})"
    if dtype.itemsize * math.prod(size or 1 for size in shape) >= 1 << 63:
        return f"a shape that no memory holds: {[*shape]}"
    return ""


def check_regular(path: Path) -> None:
    """Refuse what is no file: reading a pipe may wait for ever, and a device may never end.

    Raises:
        DataError: ``data-not-found`` or ``data-kind``.
    """
    try:
        other = other_than_file(path)
    except FileNotFoundError as error:
        raise DataError(
            f"there is no data file '{path.name}'", slug="data-not-found", hint="Check the path's spelling."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if other is not None:
        raise DataError(
            f"'{path.name}' is {other}, and data is read from files",
            slug="data-kind",
            hint="Write the data to a file.",
        )


def unreadable(path: Path, error: OSError) -> DataError:
    """A file or folder that the system does not let be read."""
    return DataError(
        f"'{path.name}' cannot be read: {error.strerror}", slug="data-not-found", hint="Check the path and its rights."
    )


def damaged(
    where: str, what: str = "is damaged or cut short", hint: str = "Write or copy the file again."
) -> DataError:
    """A file that does not hold what it says."""
    return DataError(f"{where} {what}", slug="data-damaged", hint=hint)
