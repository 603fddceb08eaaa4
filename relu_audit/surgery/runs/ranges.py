"""What entries range over: the least and the largest number along every axis of a value, in all runs together.

What is constant by structure follows from the silent units it is made of and from nothing else. So its number can be
read off any run in which at least these are held: one reading serves every premise that says less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Range = tuple[np.ndarray, np.ndarray]
"""The least and the largest number of every entry along one axis; NaN where there is none."""


@dataclass(frozen=True)
class Copy:
    """A value that is another one all over again, whatever is fed.

    Attributes:
        name: Its name.
        source: The name of the other.
        axis: An axis.
        zeros: How many entries of zeros it has behind those along that axis.
    """

    name: str
    source: str
    axis: int
    zeros: int = 0

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The value's, by the other's."""
        return tuple(size + self.zeros * (axis == self.axis) for axis, size in enumerate(shape))

    def range(self, axis: int, found: Range) -> Range:
        """The value's, by the other's."""
        low, high = found
        if not self.zeros:
            return found
        if axis == self.axis:
            more = np.zeros(self.zeros)
            return np.concatenate([low, more]), np.concatenate([high, more])
        return np.minimum(low, 0), np.maximum(high, 0)


@dataclass
class Ranges:
    """Those that have been read."""

    _found: dict[str, dict[int, Range]] = field(default_factory=dict[str, dict[int, Range]])

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def of(self, name: str) -> Mapping[int, Range]:
        """The ranges of a value by axis."""
        return self._found.get(name, {})

    def widen(self, name: str, lengths: Mapping[int, int], array: np.ndarray) -> None:
        """Take in the numbers of one more run.

        Args:
            name: The value.
            lengths: The axes that matter, each with its length.
            array: Its numbers.
        """
        own = self._found.setdefault(name, {})
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            return
        for axis, length in lengths.items():
            low, high = own.get(axis) or (np.full(length, np.nan), np.full(length, np.nan))
            if array.shape[axis] != length or not array.size:
                own[axis] = np.full(length, np.inf), high
                continue
            least, largest = extrema(array, axis)
            own[axis] = _least(low, least), -_least(-high, -largest)

    def add(self, copy: Copy, held: tuple[int, np.ndarray] | None) -> None:
        """Note what a copy ranges over, if it is known of what it is a copy of.

        Args:
            copy: The copy.
            held: Where readers of the other value see some entries held, the axis and what they are held at; NaN for
                entries that are not. What was read of it is from before that.
        """
        if copy.source not in self._found and held is None:
            return
        own = dict(self._found.get(copy.source, {}))
        if held is not None:
            axis, numbers = held
            low, high = own.get(axis, (numbers, numbers))
            own[axis] = np.where(np.isnan(numbers), low, numbers), np.where(np.isnan(numbers), high, numbers)
        self._found[copy.name] = {axis: copy.range(axis, found) for axis, found in own.items()}

    def clone(self) -> Ranges:
        """The same, to be added to."""
        return Ranges({name: dict(own) for name, own in self._found.items()})


def extrema(array: np.ndarray, axis: int) -> Range:
    """Least and largest of every entry: rows first, then what they leave, which is how memory lies.

    An entry without elements has neither; both are NaN.
    """
    if not array.size:
        neither = np.full((array.shape[axis],), np.nan)
        return neither, neither
    before, size, behind = int(np.prod(array.shape[:axis])), array.shape[axis], int(np.prod(array.shape[axis + 1 :]))
    apart = array.reshape(before, size, behind)
    return tuple(each(each(apart, axis=2), axis=0).astype(np.float64) for each in (np.min, np.max))  # type: ignore[return-value]


def _least(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The lesser one; what is no number in a run that was read stays none, and NaN before the first is none yet."""
    return np.where(np.isnan(old), new, np.minimum(old, new))
