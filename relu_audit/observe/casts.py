"""Bring calibration data into an input's type: conversions that keep every value, or round it to a narrower float."""

from __future__ import annotations

from typing import Any

import numpy as np

from relu_audit.errors import DataError


def check_finite(block: np.ndarray, axis: int | None, first: int, where: str) -> None:
    """Refuse NaN, and say in which sample.

    Args:
        block: The data.
        axis: Its axis of samples; None if all of it is one sample.
        first: Index of the first sample.
        where: What to call it.

    Raises:
        DataError: ``data-nan``.
    """
    if not is_float(block.dtype):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = np.isnan(block.sum())  # a sum is several times quicker than a look at every number
    if not suspicious or not np.isnan(block).any():
        return
    at = first + (0 if axis is None else int(np.argwhere(np.isnan(block))[:, axis].min()))
    raise DataError(
        f"{where} holds NaN, first in sample {at}",
        slug="data-nan",
        hint="Dead or alive cannot be told from it. Clean the data, or leave those samples out.",
    )


def cast(block: np.ndarray, target: np.dtype[Any], where: str, wanted: str) -> np.ndarray:
    """The block in the type of the input ``wanted``.

    Raises:
        DataError: ``data-dtype`` if there is no such conversion, ``data-range`` if a value does not survive it.
    """
    source = block.dtype
    if source == target:
        return block
    whole = source.kind in "iub"
    safe = np.can_cast(source, target, "safe")
    if not (safe or (whole and (is_float(target) or target.kind in "iub")) or (is_float(source) and is_float(target))):
        raise DataError(
            f"{where} is {source.name}, but input '{wanted}' takes {target.name}",
            slug="data-dtype",
            hint=f"Convert it where the data is made: array.astype('{target.name}').",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        result = block.astype(target)
        if safe:
            return result
        if whole:
            lost = result.astype(np.float64) != block.astype(np.float64) if is_float(target) else result != block
        else:
            lost = ~np.isfinite(result.astype(np.float64)) & np.isfinite(block)
    if np.any(lost):
        raise DataError(
            f"{where} holds values that do not fit {target.name}, the type of input '{wanted}'",
            slug="data-range",
            hint="Scale the data as it was for training.",
        )
    return result


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether it is a floating-point type, those of machine learning included, which numpy counts as raw bytes."""
    return dtype.kind == "f" or dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
