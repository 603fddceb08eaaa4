"""Calibration data as a sequence of tables: named arrays that are read a few rows at a time, never as a whole.

A source is an iterable of tables. An array or a feed is one table; an iterable of feeds is a table per piece. What a
text may name is a table of its own, in ``sources.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CoroutineType, GeneratorType
from typing import cast

import numpy as np

from relu_audit.errors import DataError, kind, quoted
from relu_audit.guard import Guard
from relu_audit.observe.columns import ArrayColumn, Source, Table
from relu_audit.observe.entry_points import entry_point


def open_object(data: object, names: tuple[str, ...]) -> Source:
    """Find out what an object is, as data.

    Args:
        data: A dict of arrays, an array, or an iterable of feeds.
        names: The model's input names, in order, for data that is known by position.

    Raises:
        DataError: ``data-kind``, ``data-code``.
    """
    theirs = Guard("<memory>")
    _refuse_async([data], theirs, "<memory>")
    if theirs(_is_one_feed, data):
        feed = _feed(data, names, theirs, "<memory>")
        return Source("<memory>", lambda: iter([feed]), single=True)
    if theirs(isinstance, data, Iterable):
        return Source("<memory>", lambda: _feeds(data, names, theirs, held=data))
    raise DataError(
        f"calibration data of type {kind(data)} cannot be read",
        slug="data-kind",
        hint="Give a path, a dict of arrays by input name, or an iterable of such dicts.",
    )


def open_code(text: str, names: tuple[str, ...]) -> Source:
    """What a function of the user's own gives, which a text names.

    Args:
        text: ``module:function`` or ``file.py:function``.
        names: The model's input names, in order, for data that is known by position.

    Raises:
        DataError: As for what the function gives; ``data-not-found`` or ``data-code`` for the function itself.
    """
    module, _, function = text.rpartition(":")
    theirs = Guard(text)
    return Source(
        Path(module).name + ":" + function, lambda: _feeds(entry_point(module, function, theirs), names, theirs)
    )


def _feeds(data: object, names: tuple[str, ...], theirs: Guard, held: object = None) -> Iterator[Table]:
    """The feeds of an iterable, or the one that it is; ``held`` is what the caller may go on with."""
    _refuse_async([data], theirs, theirs.name)
    if theirs(_is_one_feed, data):
        yield _feed(data, names, theirs, theirs.name)
        return
    if not theirs(isinstance, data, Iterable):
        raise DataError(
            f"{theirs.name} gave a {kind(data)}, not an iterable of feeds",
            slug="data-kind",
            hint="Yield dicts of arrays by input name.",
        )
    feeds = theirs(iter, data)
    count = 0
    try:
        while (feed := theirs(next, feeds, _END)) is not _END:
            yield _feed(feed, names, theirs, f"{theirs.name}, feed {count}")
            count += 1
    except GeneratorExit:
        if feeds is not held and isinstance(feeds, GeneratorType):  # it may have something to clean up
            theirs(feeds.close)
        raise


_END = object()


def _is_one_feed(data: object) -> bool:
    return isinstance(data, Mapping) or hasattr(data, "__array__")


def _feed(feed: object, names: tuple[str, ...], theirs: Guard, where: str) -> Table:
    held = theirs(_held, feed)
    if held is not None:
        _refuse_async(held if isinstance(held, list) else held.values(), theirs, where)
    if isinstance(held, list) and len(held) != len(names):
        raise DataError(
            f"{where} is a sequence of {len(held)}, but the model has {len(names)} inputs: {', '.join(names)}",
            slug="data-kind",
            hint="Yield dicts of arrays by input name; leave labels out.",
        )
    if held is None:
        raise DataError(f"{where} holds no arrays", slug="data-kind", hint="Yield dicts of arrays by input name.")
    named = dict(zip(names, held, strict=True)) if isinstance(held, list) else held
    return Table(where, {name: ArrayColumn(_array(value, theirs, where, name)) for name, value in named.items()})


def _refuse_async(values: Iterable[object], theirs: Guard, where: str) -> None:
    """Refuse what has to be awaited. A coroutine is closed, or else Python warns that nobody awaited it."""
    waiting = [value for value in values if theirs(_is_async, value)]
    for value in waiting:
        if isinstance(value, CoroutineType):
            theirs(value.close)
    if waiting:
        raise DataError(
            f"{where} gave a {kind(waiting[0])}, which has to be awaited: a loader must not be async",
            slug="data-kind",
            hint="Write it with def in place of async def, or gather the feeds first, as with asyncio.run.",
        )


def _is_async(value: object) -> bool:
    return isinstance(value, Awaitable | AsyncIterable) and not isinstance(value, Iterable)


def _held(feed: object) -> dict[str, object] | list[object] | None:
    """What a feed holds: by name, or in the order of the inputs; None where it is none."""
    if isinstance(feed, Mapping):
        given = cast("Mapping[object, object]", feed)
        # None is no value, as for an optional input.
        return {str.__str__(str(name)): value for name, value in given.items() if value is not None}
    if feed is None:
        return None
    return [*cast("Iterable[object]", feed)] if isinstance(feed, tuple | list) else {"": feed}


def _array(value: object, theirs: Guard, where: str, name: str) -> np.ndarray:
    array = theirs(_read, value)
    if isinstance(array, Exception):
        raise DataError(
            f"{where}: '{name}' is a {kind(value)} that numpy cannot read: {quoted(array)}",
            slug="data-kind",
            hint="Give numpy arrays; a tensor that tracks gradients, as tensor.detach().numpy().",
        ) from array
    if array.dtype.hasobject:
        raise DataError(
            f"{where}: '{name}' is a {kind(value)} of unequal pieces or objects, not a numeric array",
            slug="data-kind",
            hint="Give numpy arrays.",
        )
    return array


def _read(value: object) -> np.ndarray | Exception:
    """A plain array, or what a framework's tensor has against that."""
    try:
        if np.ma.is_masked(value):
            return ValueError("some of its entries are masked")
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:
        return error
