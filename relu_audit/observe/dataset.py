"""Fit calibration data to a model's inputs and cut it into batches, in memory that does not grow with the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from relu_audit.errors import DataError
from relu_audit.graph.inputs import GraphInput, check_inputs
from relu_audit.graph.layout import Size
from relu_audit.observe.casts import cast, check_finite
from relu_audit.observe.noise import open_noise
from relu_audit.observe.tables import Column, Table, open_source
from relu_audit.records import DataInfo, InputInfo, as_text

Feeding = Literal["samples", "rows", "repeated"]

PAIR_WITHIN = 16
"""Samples among which the first one finds a partner to be run with."""


@dataclass(frozen=True)
class Batch:
    """One run's feeds.

    Attributes:
        feeds: Arrays by input name.
        samples: Samples in them; if ``padded``, the rows behind those are copies of the last one.
        first: Index of the first sample.
    """

    feeds: Mapping[str, np.ndarray]
    samples: int
    first: int
    padded: bool


@dataclass(frozen=True)
class _Bound:
    """One input, the column that feeds it, and how."""

    input: GraphInput
    key: str
    column: Column
    feeding: Feeding
    where: str

    @property
    def axis(self) -> int:
        return self.input.batch_axis or 0 if self.feeding == "samples" else 0

    @property
    def count(self) -> int | None:
        return None if self.feeding == "repeated" else self.column.shape[self.axis]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.column.dtype if self.input.dtype is None else np.dtype(self.input.dtype.numpy())

    def cast(self, block: np.ndarray) -> np.ndarray:
        """The block in the input's type."""
        return cast(block, self.dtype, self.where, self.input.name)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Consecutive pieces for runs of ``rows`` samples, in the source's dtype; a repeated one for ever the same."""
        if self.feeding == "repeated":
            whole = self._whole() if self.column.shape else next(self.column.blocks(1))
            while True:
                yield whole
        elif self.feeding == "rows":
            for block in self.column.blocks(1):
                yield block[0, ...]
        elif self.axis == 0:
            yield from self.column.blocks(rows)
        else:
            # Only along axis 0 can a file be cut while it is read.
            whole = self._whole()
            for start in range(0, whole.shape[self.axis], rows):
                yield np.take(whole, range(start, min(start + rows, whole.shape[self.axis])), axis=self.axis)

    def _whole(self) -> np.ndarray:
        blocks = list(self.column.blocks(1 << 20))
        return np.concatenate(blocks) if blocks else np.empty(self.column.shape, self.column.dtype)


class Dataset:
    """Calibration data bound to a model's inputs; it can be gone through once.

    Args:
        data: Anything :func:`relu_audit.observe.tables.open_source` takes, or ``random:N``.
        inputs: The model's inputs.
        keys: Array name by input name, where they differ.
        limit: Use at most so many samples.

    Raises:
        DataError: The data cannot be read or does not fit; the slug says which.
    """

    def __init__(
        self,
        data: object,
        inputs: Sequence[GraphInput],
        keys: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> None:
        self._inputs = tuple(inputs)
        self._keys = dict(keys or {})
        self._limit = limit
        _check_keys(self._keys, self._inputs)
        check_inputs([i for i in self._inputs if not i.optional])
        if isinstance(data, str) and data.startswith("random:"):
            self._source = open_noise(data, self._inputs)
        else:
            self._source = open_source(data, tuple(i.name for i in self._inputs))
        self._seen: dict[str, _Bound] = {}
        self._tables = iter(self._source.tables())
        for first in self._tables:
            self._first, self._bound = first, self._bind(first)
            if _count(self._bound):
                break
        else:
            raise self._empty()
        self._only_count = _count(self._bound) if self._source.single else None
        self._hashes = {i.name: hashlib.sha256() for i in self._inputs}
        self._repeated: dict[str, bytes] = {}
        self.samples = 0

    @property
    def synthetic(self) -> bool:
        """Whether the data is made up."""
        return self._source.synthetic

    @property
    def one_by_one(self) -> bool:
        """Whether every run is one sample whatever the batch size: whole feeds, or inputs without a batch axis."""
        return _one_by_one(self._bound)

    @property
    def fixed_batch(self) -> int | None:
        """Samples per run where the model fixes them."""
        if self.one_by_one:
            return 1
        return next((b.input.fixed_batch for b in self._bound if b.feeding == "samples" and b.input.fixed_batch), None)

    @property
    def expected(self) -> int | None:
        """Samples there will be, where that is known beforehand: the first table's, if it is the only one."""
        counts = [n for n in (self._only_count, self._limit) if n is not None]
        return min(counts, default=None)

    def first_feed(self) -> dict[str, np.ndarray]:
        """Feeds for one run on the first sample, or the first batch of a fixed size; the table is not used up."""
        rows = self.fixed_batch or 1
        return {b.input.name: _fed(_pad(next(iter(b.blocks(rows))), b, rows), b, 0) for b in self._bound}

    def two_that_differ(self) -> dict[str, np.ndarray] | None:
        """Feeds for one run on the first sample and the next one that is not its like; None if none is near."""
        blocks = [(b, next(iter(b.blocks(PAIR_WITHIN)))) for b in self._bound]
        moving = [np.moveaxis(block, b.axis, 0) for b, block in blocks if b.feeding == "samples"]
        count = min((len(rows) for rows in moving), default=0)
        count = min(count, PAIR_WITHIN if self._limit is None else self._limit)
        other = next((i for i in range(1, count) if any(np.any(rows[i] != rows[0]) for rows in moving)), None)
        if other is None:
            return None
        return {
            b.input.name: b.cast(np.take(block, [0, other], axis=b.axis) if b.feeding == "samples" else block)
            for b, block in blocks
        }

    def batches(self, size: int) -> Iterator[Batch]:
        """Runs of at most ``size`` samples, of the model's own size where it fixes one.

        Raises:
            DataError: ``data-nan``, ``data-range``, ``data-damaged``, ``data-shape``, ``data-empty``.
        """
        for table in chain([self._first], self._tables):
            bound = self._bound if table is self._first else self._bind(table)
            if _count(bound) and _one_by_one(bound) != self.one_by_one:
                raise DataError(
                    f"{table.name} holds samples in another way than {self._first.name}: one in arrays along the batch "
                    "axis, the other as whole feeds",
                    slug="data-shape",
                    hint="Give all pieces of the data in one way.",
                )
            rows = self.fixed_batch or size
            left = _count(bound)
            streams = [(b, b.blocks(rows)) for b in bound]
            while left and (self._limit is None or self.samples < self._limit):
                samples = min(rows, left)
                if self._limit is not None:
                    samples = min(samples, self._limit - self.samples)
                feeds: dict[str, np.ndarray] = {}
                for b, stream in streams:
                    block = next(stream)
                    if b.feeding == "samples":
                        block = _head(block, b.axis, samples)
                    self._hash(b, block, alone=all(other.count is None for other in bound))
                    feeds[b.input.name] = _fed(_pad(block, b, self.fixed_batch), b, self.samples)
                padded = not self.one_by_one and samples < (self.fixed_batch or samples)
                yield Batch(feeds=feeds, samples=samples, first=self.samples, padded=padded)
                self.samples += samples
                left -= samples
            if self._limit is not None and self.samples >= self._limit:
                break
        if not self.samples:
            raise self._empty()

    def _hash(self, bound: _Bound, block: np.ndarray, *, alone: bool) -> None:
        """Add what is fed to the input's hash; a value that repeats for every sample only when it changes."""
        data = _canonical(block, bound.axis)
        if bound.feeding == "repeated" and not alone:
            value = bytes(data)
            if self._repeated.get(bound.input.name) == value:
                return
            self._repeated[bound.input.name] = value
        self._hashes[bound.input.name].update(data)

    def info(self) -> DataInfo:
        """What was used so far."""
        digest = hashlib.sha256()
        for b in sorted(self._seen.values(), key=lambda b: b.input.name):
            row = b.column.shape[: b.axis] + b.column.shape[b.axis + 1 :]
            digest.update(f"{b.input.name}\0{b.column.dtype.name}\0{b.feeding}\0{row}\0".encode())
            digest.update(self._hashes[b.input.name].digest())
        return DataInfo(
            source=as_text(self._source.name),
            sha256=digest.hexdigest(),
            samples=self.samples,
            synthetic=self.synthetic,
            inputs=tuple(
                InputInfo(
                    name=b.input.name,
                    key=b.key,
                    dtype=b.column.dtype.name,
                    shape=b.column.shape,
                    feeding=b.feeding,
                    cast=None if b.column.dtype.newbyteorder("=") == b.dtype else b.dtype.name,
                )
                for b in self._seen.values()
            ),
        )

    def _bind(self, table: Table) -> tuple[_Bound, ...]:
        fed = [i for i in self._inputs if not i.optional or self._keys.get(i.name, i.name) in table.columns]
        check_inputs(fed)
        bound = [self._bind_one(i, table, alone=len(fed) == 1) for i in fed]
        counts = {b.input.name: b.count for b in bound if b.count is not None}
        if len(set(counts.values())) > 1:
            # An array in the input's own fixed shape is one value for all samples, if the others have more of them.
            bound = [
                _Bound(b.input, b.key, b.column, "repeated", b.where)
                if b.feeding == "samples" and b.count == b.input.fixed_batch and b.count != max(counts.values())
                else b
                for b in bound
            ]
            counts = {b.input.name: b.count for b in bound if b.count is not None}
        if len(set(counts.values())) > 1:
            each = ", ".join(f"'{name}' {count}" for name, count in counts.items())
            raise DataError(
                f"{table.name}: the arrays hold different numbers of samples ({each})",
                slug="data-shape",
                hint="Every input needs one entry per sample.",
            )
        for b in bound:
            self._seen.setdefault(b.input.name, b)
        return tuple(bound)

    def _bind_one(self, wanted: GraphInput, table: Table, *, alone: bool) -> _Bound:
        key = self._keys.get(wanted.name, wanted.name)
        positional = alone and wanted.name not in self._keys
        unnamed = [name for name in table.columns if not name or (name == "arr_0" and len(table.columns) == 1)]
        if key not in table.columns and unnamed and positional:
            key = unnamed[0]
        if key not in table.columns:
            found = ", ".join(f"'{name}'" for name in table.columns if name) or "one array without a name"
            other = next((name for name in table.columns if name), "NAME")
            raise DataError(
                f"{table.name} has no array named '{key}' (found: {found}).",
                slug="data-name",
                hint=f"Rename it, or map it: --input {wanted.name}={other}",
            )
        column = table.columns[key]
        where = f"{table.name}, array '{key}'" if key else table.name
        return _Bound(wanted, key, column, _feeding(wanted, column, where), where)

    def _empty(self) -> DataError:
        return DataError(
            f"{self._source.name} holds no samples", slug="data-empty", hint="An audit needs at least one sample."
        )


def _check_keys(keys: Mapping[str, str], inputs: Sequence[GraphInput]) -> None:
    names = [i.name for i in inputs]
    for name in keys:
        if name not in names:
            raise DataError(
                f"the model has no input '{name}' (it has: {', '.join(names)})",
                slug="data-name",
                hint="--input takes INPUT=ARRAY, the model's name first.",
            )


def _feeding(wanted: GraphInput, column: Column, where: str) -> Feeding:
    shape, given = wanted.shape, column.shape
    if shape is None:
        return "samples" if given else "repeated"
    if len(given) == len(shape) + 1 and _fits(given[1:], shape):
        return "rows"
    if len(given) == len(shape):
        axis = wanted.batch_axis
        if axis is None and _fits(given, shape):
            return "repeated"
        if axis is not None and _fits(given[:axis] + given[axis + 1 :], shape[:axis] + shape[axis + 1 :]):
            return "samples"
    raise DataError(
        f"{where} has shape {_show(given)}, but input '{wanted.name}' takes {_show(shape)}",
        slug="data-shape",
        hint=_shape_hint(wanted, given, shape),
    )


def _shape_hint(wanted: GraphInput, given: tuple[int, ...], shape: tuple[Size, ...]) -> str:
    axis = wanted.batch_axis
    if axis is not None and _fits(given, shape[:axis] + shape[axis + 1 :]):
        return f"One sample needs its batch axis: numpy.expand_dims(array, {axis})."
    if len(given) == len(shape) and sorted(given[1:]) == sorted(s for s in shape[1:] if isinstance(s, int)):
        return "The axes look swapped: reorder them with numpy.transpose."
    if axis is not None:
        return "Give samples along the batch axis, or one whole feed per row in an array of one rank more."
    return "Give one whole feed per row in an array of one rank more."


def _fits(given: tuple[int, ...], shape: tuple[Size, ...]) -> bool:
    return len(given) == len(shape) and all(not isinstance(s, int) or s == g for g, s in zip(given, shape, strict=True))


def _show(shape: Sequence[Size]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _one_by_one(bound: Sequence[_Bound]) -> bool:
    return not any(b.feeding == "samples" for b in bound) or any(b.feeding == "rows" for b in bound)


def _count(bound: Sequence[_Bound]) -> int:
    """Samples in a table; one feed that is all repeated values is one sample."""
    return next((b.count for b in bound if b.count is not None), 1)


def _canonical(block: np.ndarray, axis: int) -> memoryview[Any]:
    """The bytes of a block, samples outermost and in the machine's byte order: any cut gives the same stream."""
    native = np.atleast_1d(block.astype(block.dtype.newbyteorder("="), copy=False))
    return np.ascontiguousarray(np.moveaxis(native, axis, 0)).reshape(-1).view(np.uint8).data


def _head(block: np.ndarray, axis: int, samples: int) -> np.ndarray:
    return block if block.shape[axis] == samples else np.take(block, range(samples), axis=axis)


def _pad(block: np.ndarray, bound: _Bound, size: int | None) -> np.ndarray:
    """Fill a short last batch up to a fixed size with copies of its last sample, which are not counted."""
    if bound.feeding != "samples" or size is None or block.shape[bound.axis] >= size:
        return block
    last = block.shape[bound.axis] - 1
    return np.take(block, [*range(last + 1), *[last] * (size - last - 1)], axis=bound.axis)


def _fed(block: np.ndarray, bound: _Bound, first: int) -> np.ndarray:
    """The block as its input takes it."""
    if not bound.input.takes_nan:
        check_finite(block, bound.axis if bound.feeding == "samples" else None, first, bound.where)
    return bound.cast(block)
