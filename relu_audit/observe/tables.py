"""Calibration data as a sequence of tables: named arrays that are read a few rows at a time, never as a whole.

A source is an iterable of tables. A file is one table; a folder, or an iterable of feeds, is a table per piece.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import onnx
from numpy.lib import format as npy

from relu_audit.errors import DataError
from relu_audit.observe.entry_points import entry_point, named_code, their_fault

_READ_TROUBLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)
"""What reading a damaged, encrypted or unusually compressed file raises."""


class Column(Protocol):
    """An array that can be read front to back."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        ...

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """The array in consecutive blocks of at most ``rows`` along axis 0; a 0-d array in one piece."""
        ...


@dataclass(frozen=True)
class ArrayColumn:
    """An array in memory, or mapped from a file."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""
        return self.array.dtype

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Consecutive views of at most ``rows``."""
        if self.array.ndim == 0:
            yield np.asarray(self.array)
        else:
            for start in range(0, len(self.array), rows):
                yield np.asarray(self.array[start : start + rows])


@dataclass(frozen=True)
class StoredColumn:
    """An array in a file, read as it is needed. One in Fortran order cannot be cut into rows and is read whole."""

    where: str
    open: Callable[[], contextlib.AbstractContextManager[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of at most ``rows``, read and decompressed one at a time."""
        with self.open() as stream:
            shape, fortran, dtype = _header(stream, self.where)
            if fortran or not shape:
                order = "F" if fortran else "C"
                whole = np.frombuffer(self._read(stream, dtype.itemsize * int(np.prod(shape))), dtype)
                yield from ArrayColumn(whole.reshape(shape, order=order)).blocks(rows)
                return
            row = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                yield np.frombuffer(self._read(stream, row * count), dtype).reshape(count, *shape[1:])

    def _read(self, stream: Any, size: int) -> bytes:
        try:
            data = stream.read(size)
        except _READ_TROUBLE as error:
            raise self._cut_short() from error
        if len(data) != size:
            raise self._cut_short()
        return data

    def _cut_short(self) -> DataError:
        return DataError(
            f"{self.where} is damaged or cut short", slug="data-damaged", hint="Write or copy the file again."
        )


@dataclass(frozen=True)
class Table:
    """Named arrays that belong together.

    Attributes:
        name: Where it comes from, for messages.
        columns: The arrays by name; the empty name where there is but one, without a name.
    """

    name: str
    columns: Mapping[str, Column]


@dataclass(frozen=True)
class Source:
    """Where data comes from: a name for reports, its tables, whether there is but one, and whether it is made up."""

    name: str
    tables: Callable[[], Iterator[Table]]
    single: bool = False
    synthetic: bool = False


def open_source(data: object, names: tuple[str, ...]) -> Source:
    """Find out what the data is.

    Args:
        data: A path, ``module:function``, ``file.py:function``, a dict of arrays, an array, or an iterable of feeds.
        names: The model's input names, in order, for data that is known by position.

    Raises:
        DataError: ``data-not-found``, ``data-kind``, ``data-empty``, ``data-damaged``, ``data-pickled``.
    """
    if isinstance(data, str | Path):
        return _from_text(str(data), names)
    if _is_one_feed(data):
        feed = _feed(data, names, "<memory>")
        return Source("<memory>", lambda: iter([feed]), single=True)
    if isinstance(data, Iterable):
        return Source("<memory>", lambda: _feeds(cast("Iterable[object]", data), names, "<memory>"))
    raise DataError(
        f"calibration data of type {type(data).__name__} cannot be read",
        slug="data-kind",
        hint="Give a path, a dict of arrays by input name, or an iterable of such dicts.",
    )


def _from_text(text: str, names: tuple[str, ...]) -> Source:
    path = Path(text)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        if ":" not in text:
            raise DataError(
                f"'{text[:100]}' cannot be read: {error}", slug="data-not-found", hint="Check the path's spelling."
            ) from error
    if path.is_dir():
        return _folder(path, names)
    if path.suffix == ".npz" and path.is_file():
        return Source(path.name, lambda: iter([_npz(path)]), single=True)
    if path.suffix == ".npy" and path.is_file():
        return Source(path.name, lambda: iter([Table(path.name, {"": _npy(path)})]), single=True)
    if path.suffix in (".npz", ".npy"):
        raise DataError(f"there is no data file '{text}'", slug="data-not-found", hint="Check the path's spelling.")
    named = named_code(text)
    if named is not None:
        module, function = named
        return Source(Path(module).name + ":" + function, lambda: _feeds(entry_point(module, function)(), names, text))
    if path.exists():
        raise DataError(
            f"'{path.name}' is of a kind that cannot be read as calibration data",
            slug="data-kind",
            hint="Use .npz, .npy, a folder of either, a folder of ONNX test sets, or file.py:function.",
        )
    raise DataError(
        f"there is no calibration data '{text}'",
        slug="data-not-found",
        hint="Give a .npz or .npy file, a folder, module:function, file.py:function or random:N.",
    )


def _npz(path: Path) -> Table:
    try:
        with zipfile.ZipFile(path) as archive:
            columns = {
                member.removesuffix(".npy"): _stored(
                    f"{path.name}, array '{member.removesuffix('.npy')}'", functools.partial(_member, path, member)
                )
                for member in archive.namelist()
                if member.endswith(".npy")
            }
    except _READ_TROUBLE as error:
        raise DataError(
            f"{path.name} is not a .npz file, or is cut short", slug="data-damaged", hint="Write or copy it again."
        ) from error
    if not columns:
        raise DataError(f"{path.name} holds no arrays", slug="data-empty", hint="Write it with numpy.savez.")
    return Table(path.name, columns)


@contextlib.contextmanager
def _member(path: Path, member: str) -> Generator[Any]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        yield stream


def _npy(path: Path) -> Column:
    try:
        column = _stored(path.name, functools.partial(path.open, "rb"))
        held = path.stat().st_size
    except OSError as error:
        raise DataError(
            f"'{path.name}' cannot be read: {error.strerror}", slug="data-not-found", hint="Check the file."
        ) from error
    if held < column.dtype.itemsize * int(np.prod(column.shape)):
        raise DataError(f"{path.name} is damaged or cut short", slug="data-damaged", hint="Write or copy it again.")
    return column


def _stored(where: str, open_stream: Callable[[], contextlib.AbstractContextManager[Any]]) -> StoredColumn:
    with open_stream() as stream:
        shape, fortran, dtype = _header(stream, where)
    return StoredColumn(where, open_stream, shape, dtype, fortran)


def _header(stream: Any, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
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
    return shape, fortran, dtype


def _folder(path: Path, names: tuple[str, ...]) -> Source:
    sets = sorted((d for d in path.glob("test_data_set_*") if d.is_dir()), key=_natural)
    if sets or list(path.glob("input_*.pb")):
        return Source(path.name, lambda: (_test_set(d, names) for d in sets or [path]))
    archives = sorted(path.glob("*.npz"), key=_natural)
    arrays = sorted(path.glob("*.npy"), key=_natural)
    if archives and arrays:
        raise DataError(
            f"the folder '{path.name}' holds both .npz and .npy files",
            slug="data-kind",
            hint="Which of them to read cannot be told: keep one kind in it.",
        )
    if archives:
        return Source(path.name, lambda: (_npz(file) for file in archives))
    if arrays and {file.stem for file in arrays} <= set(names):
        return Source(path.name, lambda: iter([Table(path.name, {f.stem: _npy(f) for f in arrays})]), single=True)
    if arrays:
        return Source(path.name, lambda: (Table(file.name, {"": _npy(file)}) for file in arrays))
    raise DataError(
        f"the folder '{path.name}' holds no calibration data",
        slug="data-empty",
        hint="It should hold .npz files, .npy files or test_data_set_*/input_*.pb.",
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers in names count as numbers: set_2 before set_10."""
    digits = "".join(c if c.isdigit() else " " for c in path.name).split()
    return [(len(d), d) for d in digits] + [(0, path.name)]


def _test_set(folder: Path, names: tuple[str, ...]) -> Table:
    columns: dict[str, Column] = {}
    for file in sorted(folder.glob("input_*.pb"), key=_natural):
        where = f"{folder.name}/{file.name}"
        tensor = onnx.TensorProto()
        try:
            tensor.ParseFromString(file.read_bytes())
            array = onnx.numpy_helper.to_array(tensor)
        except Exception as error:  # a damaged tensor raises many kinds
            raise DataError(
                f"{where} is not a tensor",
                slug="data-damaged",
                hint="Write or copy it again. Sequences and optional values cannot be fed.",
            ) from error
        if array.dtype.hasobject:
            array = array.astype(np.str_)
        index = int("".join(filter(str.isdigit, file.stem)) or "0")
        name = tensor.name if tensor.name in names else names[index] if index < len(names) else file.stem
        columns[name] = ArrayColumn(array)
    return Table(folder.name, columns)


def _feeds(data: object, names: tuple[str, ...], where: str) -> Iterator[Table]:
    if _is_one_feed(data):
        yield _feed(data, names, where)
        return
    if not isinstance(data, Iterable):
        raise DataError(
            f"{where} gave a {type(data).__name__}, not an iterable of feeds",
            slug="data-kind",
            hint="Yield dicts of arrays by input name.",
        )
    feeds = iter(cast("Iterable[object]", data))
    count = 0
    while True:
        try:
            feed = next(feeds)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:  # the user's own generator may raise anything
            raise their_fault(where, error) from error
        yield _feed(feed, names, f"{where}, feed {count}")
        count += 1


def _is_one_feed(data: object) -> bool:
    return isinstance(data, Mapping) or hasattr(data, "__array__")


def _feed(feed: object, names: tuple[str, ...], where: str) -> Table:
    named: Mapping[object, object] = {"": feed}
    if isinstance(feed, Mapping):
        given = cast("Mapping[object, object]", feed)
        named = {name: value for name, value in given.items() if value is not None}  # as for an optional input
    elif isinstance(feed, tuple | list):
        arrays = cast("list[object]", feed)
        if len(arrays) != len(names):
            raise DataError(
                f"{where} is a sequence of {len(arrays)}, but the model has {len(names)} inputs: {', '.join(names)}",
                slug="data-kind",
                hint="Yield dicts of arrays by input name; leave labels out.",
            )
        named = dict(zip(names, arrays, strict=True))
    columns: dict[str, Column] = {}
    for name, value in named.items():
        try:
            array = np.asarray(value)
        except Exception as error:  # a framework's tensor may refuse for reasons of its own
            raise DataError(
                f"{where}: '{name}' is a {type(value).__name__} that numpy cannot read: {error}",
                slug="data-kind",
                hint="Give numpy arrays; a tensor that tracks gradients, as tensor.detach().numpy().",
            ) from error
        if array.dtype.hasobject:
            raise DataError(
                f"{where}: '{name}' is a {type(value).__name__} of unequal pieces or objects, not a numeric array",
                slug="data-kind",
                hint="Give numpy arrays.",
            )
        columns[str(name)] = ArrayColumn(array)
    return Table(where, columns)
