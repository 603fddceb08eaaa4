"""What calibration data is once it is opened: tables of columns, which are read a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


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
    """An array in memory."""

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
