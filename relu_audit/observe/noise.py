"""Made-up calibration data: seeded noise in the shape of a model's inputs, to see that it runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from relu_audit.errors import DataError
from relu_audit.observe.columns import ArrayColumn, Column, Source, Table
from relu_audit.units.inputs import GraphInput

OPEN_SIZE = 16
"""Length of an axis whose size the model leaves open."""

MOST_SAMPLES = 10_000_000
"""Samples that are made up, at most: an audit of them is never enough for a gate."""

MOST_DIGITS = 20
"""Digits of their number, at most."""

MOST_NUMBERS = 1 << 28
"""Numbers that are made up at once, at most."""


@dataclass(frozen=True)
class NoiseColumn:
    """Seeded noise: standard normal floats, integers and booleans of 0 and 1. The same however it is cut."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    seed: int

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Consecutive blocks of at most ``rows``."""
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.shape[0], rows):
            shape = (min(rows, self.shape[0] - start), *self.shape[1:])
            noise = rng.standard_normal(shape, dtype=np.float32)
            yield (noise > 0).astype(self.dtype) if self.dtype.kind in "iub" else noise.astype(self.dtype)


def open_noise(text: str, inputs: Sequence[GraphInput]) -> Source:
    """Made-up data for every input, from ``random:N``; always marked as such.

    Raises:
        DataError: ``data-kind`` without a number, or with one beyond :data:`MOST_SAMPLES`; ``data-shape`` if an input's
            shape is not in the file, or too large.
    """
    number = _number(text)
    batched = any(i.batch_axis is not None for i in inputs)
    columns: dict[str, Column] = {}
    for seed, wanted in enumerate(one for one in inputs if not one.optional):
        if wanted.shape is None or wanted.dtype is None:
            raise DataError(
                f"input '{wanted.name}' has no shape in the file, so data for it cannot be made up",
                slug="data-shape",
                hint="Give real data.",
            )
        if wanted.dtype is ir.DataType.STRING:
            raise DataError(
                f"input '{wanted.name}' takes text, which cannot be made up", slug="data-kind", hint="Give real data."
            )
        sizes = [size if isinstance(size, int) else OPEN_SIZE for size in wanted.shape]
        if batched and wanted.batch_axis:
            sizes[wanted.batch_axis] = number
        made = sizes[1:] if wanted.batch_axis == 0 else sizes
        if math.prod(made) > MOST_NUMBERS or min(made, default=0) < 0:
            raise DataError(
                f"input '{wanted.name}' has the shape {sizes}, and data of that size cannot be made up",
                slug="data-shape",
                hint="Make up fewer samples, or give real data.",
            )
        dtype = np.dtype(wanted.dtype.numpy())
        if wanted.batch_axis == 0:
            columns[wanted.name] = NoiseColumn((number, *sizes[1:]), dtype, seed)
        elif not batched:
            columns[wanted.name] = NoiseColumn((number, *sizes), dtype, seed)
        else:
            (noise,) = NoiseColumn((1, *sizes), dtype, seed).blocks(1)
            columns[wanted.name] = ArrayColumn(noise[0])
    table = Table(text, columns)
    return Source(text, lambda: iter([table]), single=True, synthetic=True)


def _number(text: str) -> int:
    """Samples to make up."""
    digits = text.partition(":")[2]
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS else 0
    if not 0 < number <= MOST_SAMPLES:
        raise DataError(
            f"'{text[:60]}' does not say how many samples to make up, from 1 to {MOST_SAMPLES:,}",
            slug="data-kind",
            hint="Write for example random:256.",
        )
    return number
