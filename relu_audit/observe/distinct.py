"""How many samples differ from each other: a fingerprint of each, kept in eight bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

_PENDING = 1 << 16
"""Fingerprints that are collected before they are merged."""


class Distinct:
    """Counts distinct samples by fingerprints; memory is eight bytes a sample.

    A fingerprint is Python's own hash of bytes: SipHash (PEP 456) with a key for each process. Two of a million
    different samples have one fingerprint with a probability below one in ten million.
    """

    def __init__(self) -> None:
        self._known = np.empty(0, np.int64)
        self._pending: list[int] = []

    def add(self, varying: Sequence[np.ndarray], shared: bytes, samples: int) -> None:
        """Add the samples of one run.

        Args:
            varying: Arrays with samples along axis 0.
            shared: What belongs to all of them.
            samples: How many there are.
        """
        rows = [_as_rows(array, samples) for array in varying]
        for index in range(samples):
            self._pending.append(hash(b"".join([shared, *(row[index].data for row in rows)])))
        if len(self._pending) >= _PENDING:
            self._merge()

    @property
    def count(self) -> int:
        """Distinct samples so far."""
        self._merge()
        return len(self._known)

    def _merge(self) -> None:
        self._known = np.union1d(self._known, np.array(self._pending, np.int64))
        self._pending.clear()


def _as_rows(array: np.ndarray, samples: int) -> np.ndarray:
    """The bytes of each sample, in the machine's byte order: [samples, bytes]."""
    if array.dtype.kind in "US":  # as text of any width
        texts = [("\0".join(map(str, row.ravel())) + "\0").encode() for row in array.reshape(samples, -1)]
        return np.array([np.frombuffer(hashlib.blake2b(text).digest(), np.uint8) for text in texts])
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native).reshape(samples, -1).view(np.uint8).reshape(samples, -1)
