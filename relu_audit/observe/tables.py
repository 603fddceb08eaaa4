"""Calibration data as a sequence of tables: named arrays that are read a few rows at a time, never as a whole.

A source is an iterable of tables. A file is one table; a folder, or an iterable of feeds, is a table per piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np

from relu_audit.errors import DataError
from relu_audit.observe.archives import open_npz
from relu_audit.observe.columns import ArrayColumn, Column, Source, Table
from relu_audit.observe.entry_points import entry_point, their_fault
from relu_audit.observe.folders import open_folder
from relu_audit.observe.stored import open_npy

_FILES = {".npz": open_npz, ".npy": open_npy}
"""What opens a file, by the ending of its name."""


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
        return open_folder(path, names)
    if path.suffix in _FILES:
        return _FILES[path.suffix](path)
    module, colon, function = text.rpartition(":")
    if colon and module and function.isidentifier():
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
