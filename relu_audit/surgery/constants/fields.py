"""Constants that are not one number at all positions: which of them are multiples of one another.

A channel padded with something else than what fills it is as constant as any other, only not even. That it is constant
follows from the graph; its numbers are read off runs at several sizes, as those of even constants are. A linear
operator can do without all but one of the channels that are multiples of one another at every position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.surgery.constants.constants import SPREAD
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.runs.survey import Survey

ALONE = -1
"""In place of a field: no other entry is known to be a multiple of this one."""

_COARSE = 2.0**-12
"""Entries are compared one by one only if they agree to this."""


@dataclass(frozen=True)
class Fields:
    """What entries along an axis are like.

    Attributes:
        number: Entries with the same number are multiples of one another; ``ALONE`` where none is known.
        factor: Which multiples: float64, NaN where alone.
    """

    number: Ints
    factor: np.ndarray


def fields(survey: Survey, value: ir.Value, axis: int, which: Bools) -> Fields:
    """Compare entries of a value, position by position, in all probe runs.

    Args:
        survey: The graph.
        value: A value of the main graph.
        axis: Its axis.
        which: The entries along it that are constant by structure.
    """
    found = Fields(np.full(len(which), ALONE), np.full(len(which), np.nan))
    shown = _shown(survey, value, axis, which)
    if shown is None:
        return found
    entries = np.flatnonzero(which)
    peaks = shown[np.arange(len(shown)), np.abs(shown).argmax(axis=1)]
    able = np.isfinite(peaks) & (peaks != 0)
    entries, shown, peaks = entries[able], shown[able] / peaks[able, None], peaks[able]
    first: dict[bytes, int] = {}
    for row, entry in enumerate(entries.tolist()):
        like = first.setdefault(np.rint(shown[row] / _COARSE).astype(np.int16).tobytes(), row)
        if np.abs(shown[row] - shown[like]).max() <= SPREAD:
            found.number[entry], found.factor[entry] = like, peaks[row]
    return found


def _shown(survey: Survey, value: ir.Value, axis: int, which: Bools) -> np.ndarray | None:
    """The numbers of some entries at every position of every run: [entry, position]."""
    name, shape = value.name, survey.shapes.get(value)
    if not name or shape is None or value.graph is not survey.network.model.graph:
        return None
    probe_runs = survey.probe_runs
    wanted = {name: 4 * int(np.prod(shape))}
    rows: list[np.ndarray] = []
    for feeds in probe_runs.runs:
        for _, array in probe_runs.numbers(wanted, feeds):
            if array.shape[axis] != len(which) or array.dtype.kind != "f" or not array.size:
                return None
            rows.append(np.moveaxis(array, axis, 0)[which].reshape(int(which.sum()), -1).astype(np.float64))
    probe_runs.close()
    return np.concatenate(rows, axis=1)
