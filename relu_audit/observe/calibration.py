"""Calibration data as the user gave it, before it is known which axes hold samples; it can be gone through once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from relu_audit.observe.columns import Source, Table
from relu_audit.observe.sources import open_text
from relu_audit.observe.tables import open_object
from relu_audit.units.inputs import GraphInput, check_inputs


class Calibration:
    """An opened source of data, whose first tables can be looked at.

    Args:
        data: A text that :func:`relu_audit.observe.sources.open_text` takes, a path, or an object that
            :func:`relu_audit.observe.tables.open_object` takes.
        inputs: The model's inputs. Made-up data follows their axes of samples.

    Raises:
        DataError: The data cannot be opened; the slug says why.
    """

    def __init__(self, data: object, inputs: Sequence[GraphInput]) -> None:
        self._data = data
        check_inputs([one for one in inputs if not one.optional])
        named = issubclass(type(data), str | Path)  # the type itself: an object may say of its class what it likes
        self.source: Source = (
            open_text(str(data), inputs) if named else open_object(data, tuple(one.name for one in inputs))
        )
        self._tables = iter(self.source.tables())
        self._seen: list[Table] = []

    def read_as(self, inputs: Sequence[GraphInput]) -> Calibration:
        """The same data for the same inputs, whose samples lie along other axes: made-up data is made anew."""
        return Calibration(self._data, inputs) if self.source.synthetic else self

    def look(self, index: int) -> Table | None:
        """One of the first tables; None behind the last."""
        while len(self._seen) <= index:
            table = next(self._tables, None)
            if table is None:
                return None
            self._seen.append(table)
        return self._seen[index]

    def tables(self) -> Generator[Table]:
        """All tables, those that were looked at first. To close it closes the source."""
        try:
            yield from self._seen
            yield from self._tables
        finally:
            close: Callable[[], None] | None = getattr(self._tables, "close", None)
            if close is not None:
                close()

    def came_in_feeds(self, inputs: Sequence[GraphInput], keys: Mapping[str, str]) -> bool:
        """Whether each piece is for a run of its own: files of a folder, a loader, rows of arrays of one rank more."""
        if not self.source.single:
            return True
        first = self.look(0)
        if first is None:
            return False
        only = next(iter(first.columns.values())) if len(first.columns) == len(inputs) == 1 else None
        for one in inputs:
            column = first.columns.get(keys.get(one.name, one.name), only)
            if column is not None and one.shape is not None and len(column.shape) == len(one.shape) + 1:
                return True
        return False
