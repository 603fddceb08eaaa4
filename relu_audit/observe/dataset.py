"""Fit calibration data to a model's inputs and cut it into batches, in memory that does not grow with the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from relu_audit.errors import DataError
from relu_audit.observe.binding import Bound, bind, check_keys
from relu_audit.observe.calibration import Calibration
from relu_audit.observe.casts import check_finite
from relu_audit.observe.columns import Table
from relu_audit.observe.distinct import Distinct
from relu_audit.records import DataInfo, InputInfo, as_text
from relu_audit.units.inputs import GraphInput, check_inputs

MOST_EMPTY = 1000
"""Pieces of data in a row that may hold no sample: an endless loader without samples would never end."""

NEAR = 16
"""Samples at the beginning from which trials take theirs."""

LARGEST_RUN = 1 << 32
"""Bytes that a short batch is filled up to, at most."""


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
class Near:
    """The first few samples of the data.

    Attributes:
        blocks: For every input how it is fed, and those samples.
        count: How many there are; 0 where no array holds samples along an axis.
    """

    blocks: tuple[tuple[Bound, np.ndarray], ...]
    count: int

    def feeds(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Feeds for one run on some of them."""
        return {
            b.input.name: _fed(np.take(block, indices, axis=b.axis) if b.feeding == "samples" else block, b, 0)
            for b, block in self.blocks
        }

    def unlike(self, index: int) -> list[int]:
        """The samples that differ from one of them."""
        moving = [np.moveaxis(block, b.axis, 0) for b, block in self.blocks if b.feeding == "samples"]
        return [i for i in range(self.count) if any(np.any(rows[i] != rows[index]) for rows in moving)]


class Dataset:
    """Calibration data bound to a model's inputs; it can be gone through once.

    Args:
        data: Opened data, or anything that :class:`Calibration` takes.
        inputs: The model's inputs, with their axes of samples.
        keys: Array name by input name, where they differ.
        limit: Use at most so many samples.
        counted: Sets of inputs, by name, by which one sample differs from another; by default the set of all.
        run_is_sample: Whether a run of a fixed number of rows counts as one sample.

    Raises:
        DataError: The data cannot be read or does not fit; the slug says which.
    """

    def __init__(
        self,
        data: object,
        inputs: Sequence[GraphInput],
        keys: Mapping[str, str] | None = None,
        limit: int | None = None,
        *,
        counted: Collection[frozenset[str]] = (),
        run_is_sample: bool = False,
    ) -> None:
        self._inputs = tuple(inputs)
        self._keys = dict(keys or {})
        self._limit = limit
        check_keys(self._keys, self._inputs)
        check_inputs([i for i in self._inputs if not i.optional])
        self._seen: dict[str, Bound] = {}
        self._data = data.read_as(inputs) if isinstance(data, Calibration) else Calibration(data, inputs)
        self._source = self._data.source
        self._first, self._bound = self._first_with_samples()
        self._only_count = _count(self._bound) if self._source.single else None
        self._run_is_sample = run_is_sample
        names = counted or [frozenset(i.name for i in self._inputs)]
        self._distinct = {one: Distinct() for one in names}
        self._prints: dict[str, tuple[np.ndarray, bytes]] = {}
        self._hashes = {i.name: hashlib.sha256() for i in self._inputs}
        self._repeated: dict[str, bytes] = {}
        self.samples = 0
        self.left_out = 0

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
    def _step(self) -> int:
        """Samples that a run of a fixed number of rows counts for, by row."""
        return self.fixed_batch or 1 if self._run_is_sample else 1

    @property
    def expected(self) -> int | None:
        """Samples there will be, where that is known beforehand: the first table's, if it is the only one."""
        whole = None if self._only_count is None else self._only_count // self._step
        return min((n for n in (whole, self._limit) if n is not None), default=None)

    def first_feed(self) -> dict[str, np.ndarray]:
        """Feeds for one run on the first sample, or the first batch of a fixed size; the table is not used up."""
        rows = self.fixed_batch or 1
        return {b.input.name: _fed(_pad(next(iter(b.blocks(rows))), b, rows), b, 0) for b in self._bound}

    def near(self) -> Near:
        """The first few samples, to be run in any company; the table is not used up."""
        blocks = tuple((b, next(iter(b.blocks(NEAR)))) for b in self._bound)
        count = min((block.shape[b.axis] for b, block in blocks if b.feeding == "samples"), default=0)
        return Near(blocks, min(count, NEAR if self._limit is None else self._limit))

    def batches(self, size: int) -> Iterator[Batch]:
        """Runs of at most ``size`` samples, of the model's own size where it fixes one.

        Raises:
            DataError: ``data-nan``, ``data-range``, ``data-damaged``, ``data-shape``, ``data-empty``.
        """
        empty = 0
        tables = self._data.tables()
        for table in tables:
            bound = self._bound if table is self._first else self._bind(table)
            empty = 0 if _count(bound) else empty + 1
            self._refuse_endless(empty)
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
                if self._run_is_sample and samples < rows:
                    self.left_out += samples
                    break
                if self._limit is not None and not self._run_is_sample:
                    samples = min(samples, self._limit - self.samples)
                feeds: dict[str, np.ndarray] = {}
                blocks = [(b, _head(next(stream), b.axis, samples, b)) for b, stream in streams]
                for b, block in blocks:
                    self._hash(b, block, alone=all(other.count is None for other in bound))
                    feeds[b.input.name] = _fed(_pad(block, b, self.fixed_batch), b, self.samples)
                padded = not self.one_by_one and samples < (self.fixed_batch or samples)
                counted = 1 if self._run_is_sample else samples
                yield Batch(feeds=feeds, samples=counted, first=self.samples, padded=padded)
                self._count_distinct(blocks, samples)  # of a run that was cut short nothing counts
                self.samples += counted
                left -= samples
            if self._limit is not None and self.samples >= self._limit:
                tables.close()
                break
        if self.left_out and not self.samples:
            raise DataError(
                f"{self._source.name} holds {self.left_out} rows, and the model takes {self.fixed_batch} in a run",
                slug="data-shape",
                hint="Rows of a run belong together in this model: give as many as it takes, for each run.",
            )
        if not self.samples:
            raise self._empty()

    def alone(self, batch: Batch) -> Iterator[dict[str, np.ndarray]]:
        """The samples of a batch, each in feeds of its own; none where a run takes more than one."""
        if self.one_by_one or self.fixed_batch is not None:
            return
        along = {b.input.name: b.axis for b in self._bound if b.feeding == "samples"}
        for index in range(batch.samples):
            yield {n: np.take(a, [index], axis=along[n]) if n in along else a for n, a in batch.feeds.items()}

    def _count_distinct(self, blocks: Sequence[tuple[Bound, np.ndarray]], samples: int) -> None:
        """Fingerprint each sample by the inputs that count; a run of a fixed size that is one sample counts as one."""
        whole = self.one_by_one or self._run_is_sample
        for names, distinct in self._distinct.items():
            own = [(b, block) for b, block in blocks if b.input.name in names]
            varying = [] if whole else [np.moveaxis(block, b.axis, 0) for b, block in own if b.feeding == "samples"]
            shared = b"".join(self._print(b, block) for b, block in own if whole or b.feeding != "samples")
            distinct.add(varying, shared, samples if varying else 1)

    def distinct(self, names: frozenset[str]) -> int | None:
        """How many samples differ from each other in some inputs; None for a set that is not counted."""
        return self._distinct[names].count if names in self._distinct else None

    def _print(self, bound: Bound, block: np.ndarray) -> bytes:
        """The fingerprint of a whole array; one that repeats is not read again."""
        seen = self._prints.get(bound.input.name)
        if seen is None or seen[0] is not block:
            text = f"{bound.input.name}\0{block.shape}\0".encode()
            seen = (block, hashlib.blake2b(_canonical(block, 0), key=hashlib.sha256(text).digest()).digest())
            self._prints[bound.input.name] = seen
        return seen[1]

    def _hash(self, bound: Bound, block: np.ndarray, *, alone: bool) -> None:
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
            distinct=min(one.count for one in self._distinct.values()),
            synthetic=self.synthetic,
            inputs=tuple(
                InputInfo(
                    name=b.input.name,
                    key=b.key,
                    dtype=b.column.dtype.name,
                    shape=b.column.shape,
                    feeding=b.feeding,
                    axis=b.axis if b.feeding == "samples" else None,
                    cast=None if b.column.dtype.newbyteorder("=") == b.dtype else b.dtype.name,
                )
                for b in self._seen.values()
            ),
        )

    def _first_with_samples(self) -> tuple[Table, tuple[Bound, ...]]:
        for index in count():
            self._refuse_endless(index)
            table = self._data.look(index)
            if table is None:
                break
            bound = self._bind(table)
            if _count(bound):
                return table, bound
        raise self._empty()

    def _refuse_endless(self, empty: int) -> None:
        """Refuse data that may yield pieces without samples for ever."""
        if empty >= MOST_EMPTY:
            raise DataError(
                f"{self._source.name} gave {empty:,} pieces in a row without a sample",
                slug="data-empty",
                hint="Yield only pieces that hold samples.",
            )

    def _bind(self, table: Table) -> tuple[Bound, ...]:
        bound = bind(table, self._inputs, self._keys)
        for one in bound:
            self._seen.setdefault(one.input.name, one)
        return bound

    def _empty(self) -> DataError:
        return DataError(
            f"{self._source.name} holds no samples", slug="data-empty", hint="An audit needs at least one sample."
        )


def _one_by_one(bound: Sequence[Bound]) -> bool:
    return not any(b.feeding == "samples" for b in bound) or any(b.feeding == "rows" for b in bound)


def _count(bound: Sequence[Bound]) -> int:
    """Samples in a table; one feed that is all repeated values is one sample."""
    return next((b.count for b in bound if b.count is not None), 1)


def _canonical(block: np.ndarray, axis: int) -> memoryview[Any]:
    """The bytes of a block, samples outermost and in the machine's byte order: any cut gives the same stream."""
    native = np.atleast_1d(block.astype(block.dtype.newbyteorder("="), copy=False))
    return np.ascontiguousarray(np.moveaxis(native, axis, 0)).reshape(-1).view(np.uint8).data


def _head(block: np.ndarray, axis: int, samples: int, bound: Bound) -> np.ndarray:
    """The first samples of a block, where it holds samples."""
    if bound.feeding != "samples" or block.shape[axis] == samples:
        return block
    return np.take(block, range(samples), axis=axis)


def _pad(block: np.ndarray, bound: Bound, size: int | None) -> np.ndarray:
    """Fill a short last batch up to a fixed size with copies of its last sample, which are not counted.

    Raises:
        DataError: ``data-shape`` if that size is more than memory holds.
    """
    if bound.feeding != "samples" or size is None or block.shape[bound.axis] >= size:
        return block
    last = np.take(block, [-1], axis=bound.axis)
    if last.nbytes * size > LARGEST_RUN:
        raise DataError(
            f"the model takes {size} samples of '{bound.input.name}' in a run, more than memory holds",
            slug="data-shape",
            hint="Export it with a smaller batch, or with an open one.",
        )
    return np.concatenate([block, np.repeat(last, size - block.shape[bound.axis], axis=bound.axis)], axis=bound.axis)


def _fed(block: np.ndarray, bound: Bound, first: int) -> np.ndarray:
    """The block as its input takes it."""
    if not bound.input.takes_nan:
        check_finite(block, bound.axis if bound.feeding == "samples" else None, first, bound.where)
    return bound.cast(block)
