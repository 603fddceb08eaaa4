"""Numbers for the entries along every axis of every value, and which of them stand or fall together.

An *atom* is (value, axis, index): all elements of a value that share one index along one axis. To remove an atom is to
delete that slice. Atoms are consecutive integers, so that facts about them are numpy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Sizes = Mapping[ir.Value, tuple[int | None, ...]]
"""Axis sizes by value; None for an axis whose size the data decides."""


class Atoms:
    """The numbering: one range per axis of a known size of two or more.

    An axis of size one has no atoms, for nothing can be removed from it; nor has one whose size the file leaves open.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._first: dict[tuple[ir.Value, int], int] = {}
        count = 0
        for value, shape in sizes.items():
            for axis, size in enumerate(shape):
                if size is not None and size > 1:
                    self._first[value, axis] = count
                    count += size
        self.count = count
        self._starts = np.fromiter(self._first.values(), np.int64, len(self._first))
        self._keys = list(self._first)

    def shape(self, value: ir.Value) -> tuple[int | None, ...] | None:
        """Axis sizes; None for a value of unknown rank."""
        return self._sizes.get(value)

    def along(self, value: ir.Value, axis: int) -> Ints | None:
        """The atoms of an axis in order; None if it has none."""
        first = self._first.get((value, axis))
        if first is None:
            return None
        size = self._sizes[value][axis]
        return np.arange(first, first + (size or 0))

    def of(self, value: ir.Value) -> Iterator[tuple[int, Ints]]:
        """Every axis of a value that has atoms, with them."""
        for axis in range(len(self._sizes.get(value, ()))):
            found = self.along(value, axis)
            if found is not None:
                yield axis, found

    def axes(self) -> Iterator[tuple[ir.Value, int, Ints]]:
        """Every axis that has atoms, with them."""
        for value, axis in self._keys:
            found = self.along(value, axis)
            if found is not None:
                yield value, axis, found

    def owner(self, atom: int) -> tuple[ir.Value, int, int]:
        """The value, axis and index that an atom stands for."""
        at = int(np.searchsorted(self._starts, atom, side="right")) - 1
        value, axis = self._keys[at]
        return value, axis, atom - int(self._starts[at])


def components(count: int, left: Ints, right: Ints) -> Ints:
    """A label for each of ``count`` atoms, equal for two that a chain of links joins: the least atom of the chain.

    Labels sink along the links and jump along themselves until none moves, a logarithmic number of rounds.
    """
    label = np.arange(count)
    while True:
        a, b = label[left], label[right]
        differing = a != b
        if not differing.any():
            return label
        low, high = np.minimum(a, b)[differing], np.maximum(a, b)[differing]
        np.minimum.at(label, high, low)
        while not np.array_equal(jumped := label[label], label):
            label = jumped
