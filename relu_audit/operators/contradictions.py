"""What running an operator says against its row of the axis table.

A row makes claims: an axis of an operand is an axis of a result (the same letter), the entries of a result are made of
one entry along that axis (or of several, where ``mixes`` says so), and it does not matter which index an entry has
(unless ``placed`` says so). Each claim is tried: entries of an operand are replaced, index by index along every axis,
and the entries of the results that change are compared with the claim. A claim of too little is as wrong as one of too
much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.operators.axes import AxisRule
from relu_audit.operators.claims import Claim, Operands, Reading, Watched, operations
from relu_audit.operators.origins import origin

Run = Callable[[Operands], Sequence[np.ndarray]]
"""Results of the node, named ones only, for operands."""

MOST_INDICES = 6
"""Indices of an axis that are tried."""


@dataclass(frozen=True)
class Trial:
    """Operands of one node, and arrays of the same shapes and types whose entries may stand in their place."""

    operands: Operands
    others: Operands


@dataclass(frozen=True)
class Contradiction:
    """One claim of a row that the operator does not bear out.

    Attributes:
        law: ``independent`` where entries mix that should not; ``mixes`` and ``contracted`` where none mix that should;
            ``placed`` where the index matters that should not, ``not placed`` the other way round; ``unsaid`` and
            ``forgotten`` where the row says nothing of an axis along which entries mix, or stay in place; ``silent``
            for entries that show nowhere; ``rank`` for a term of another number of axes.
        operand: Number of the operand.
        axis: Its axis.
        text: What was seen.
    """

    law: str
    operand: int
    axis: int
    text: str


def contradictions(
    row: AxisRule, node: ir.Node, opset: int, trials: Sequence[Trial], run: Run, constant: Sequence[bool] = ()
) -> list[Contradiction]:
    """Try a row on one node.

    Args:
        row: The row.
        node: A node of its operator. Operators with bodies cannot be tried.
        opset: Version of the operator set.
        trials: Numbers to try it on, all of the same shapes.
        run: Runs the node.
        constant: Which operands are constants. The row may read them, and axes that only they have are not tried.

    Returns:
        What contradicts the row; empty if nothing does.
    """
    operands = trials[0].operands
    before = [[np.asarray(y) for y in run(trial.operands)] for trial in trials]
    shapes = [y.shape for y in before[0]]
    flags = [*constant, *[False] * len(operands)]
    constants = Watched([a if flag else None for a, flag in zip(operands, flags, strict=False)])
    sized, unsized = (Reading(row, op, operands, shapes) for op in operations(node, opset, operands, constants, shapes))
    read = {index for index in constants.read if flags[index]}
    structural = read | {*origin(node.domain, node.op_type).sized_by}
    varying = {index for index in range(len(operands)) if not flags[index]}
    seen = _Seen(trials, run, before)
    found = {Contradiction("rank", 0, 0, text): None for text in sized.misfits}
    # What the row says where sizes are known must be true where they are not; but it may be less.
    for reading, enough in ((sized, True), (unsized, False)):
        for operand, array in enumerate(operands):
            if array is not None and operand not in structural:
                for axis in (axis for axis, size in enumerate(array.shape) if size > 1):
                    if reading.carriers(operand, axis) & varying:
                        found |= dict.fromkeys(_along(reading, seen, operand, axis, enough=enough))
        found |= dict.fromkeys(_order(reading, seen, read, varying, enough=enough))
    return list(found)


def redrawn(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other numbers of the kind: near its own, or from among its own where they are codes or indices."""
    if array.dtype.kind == "f":
        return (array * rng.uniform(0.6, 1.4, array.shape)).astype(array.dtype)
    if array.dtype.kind == "b":
        return ~array
    return rng.permutation(array, axis=0) if array.ndim else array


class _Seen:
    """Runs of the operator."""

    def __init__(self, trials: Sequence[Trial], run: Run, before: Sequence[Sequence[np.ndarray]]) -> None:
        self._trials, self._run, self._before = trials, run, before
        self._known: dict[tuple[int, int], dict[int, list[np.ndarray]]] = {}

    def tries(self, operand: int) -> bool:
        """Whether there is anything to put in the place of an operand's entries."""
        pairs = [(trial.operands[operand], trial.others[operand]) for trial in self._trials]
        return any(a is not None and b is not None and differs(a, b).any() for a, b in pairs)

    def changes(self, operand: int, axis: int) -> dict[int, list[np.ndarray]]:
        """For some indices along an axis: which entries of each result change, by trial, when it is replaced."""
        if (operand, axis) not in self._known:
            size = self.length(operand, axis)
            ends = {0, 1, size // 2 - 1, size // 2, size - 2, size - 1}
            indices = range(size) if size <= MOST_INDICES else sorted(ends)
            self._known[operand, axis] = {index: self._changed(operand, axis, index) for index in indices}
        return self._known[operand, axis]

    def length(self, operand: int, axis: int) -> int:
        """Entries along an axis of an operand."""
        array = self._trials[0].operands[operand]
        return 0 if array is None else array.shape[axis]

    def shifted(self, axes: Mapping[int, set[int]]) -> Iterator[tuple[Sequence[np.ndarray], list[np.ndarray]]]:
        """Results before and after entries were shifted by one along some axes of operands."""
        for trial, old in zip(self._trials, self._before, strict=True):
            moved: dict[int, np.ndarray] = {}
            for operand, along in axes.items():
                array = trial.operands[operand]
                if array is not None:
                    moved[operand] = np.roll(array, [1] * len(along), tuple(along))
            yield old, self._with(trial, moved)

    def _changed(self, operand: int, axis: int, index: int) -> list[np.ndarray]:
        marks = [np.zeros((len(self._trials), *y.shape), bool) for y in self._before[0]]
        place = (slice(None),) * axis + (index,)
        for number, (trial, old) in enumerate(zip(self._trials, self._before, strict=True)):
            array, other = trial.operands[operand], trial.others[operand]
            if array is None or other is None:
                continue
            moved = array.copy()
            moved[place] = other[place]
            for mark, a, b in zip(marks, old, self._with(trial, {operand: moved}), strict=True):
                mark[number] = differs(a, b) if a.shape == b.shape == mark.shape[1:] else True
        return marks

    def _with(self, trial: Trial, moved: Mapping[int, np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(y) for y in self._run([moved.get(i, a) for i, a in enumerate(trial.operands)])]


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays of one shape differ; NaN equals NaN."""
    with np.errstate(invalid="ignore"):
        return np.asarray((a != b) & ~((a != a) & (b != b)))


def _along(reads: Reading, seen: _Seen, operand: int, axis: int, *, enough: bool) -> Iterator[Contradiction]:
    """What one axis of one operand says; ``enough`` if the row is held to say all there is to say."""
    if not seen.tries(operand):
        return
    changes = seen.changes(operand, axis)
    claims, name = reads.of(operand, axis), reads.name(operand, axis)
    if not any(mark.any() for marks in changes.values() for mark in marks):
        if claims and enough:
            yield Contradiction("silent", operand, axis, f"{name} shows nowhere in the results")
        return
    if reads.row.couples or reads.flagged(reads.mixes, operand, axis):
        if enough and operand == 0 and reads.mixes is not None and not _mixing(changes, claims):
            yield Contradiction("mixes", operand, axis, f"along {name} no entry of a result is made of several")
        return
    yield from (found for claim in claims if (found := _stray(changes, claim, name)) is not None)
    if claims or not enough:
        return
    if reads.contracts(operand, axis):
        if not _mixing(changes, []) and not reads.shares(operand, axis):
            yield Contradiction("contracted", operand, axis, f"{name} ends, but no entry is made of several along it")
    elif operand == 0 and _mixing(changes, []):
        yield Contradiction("unsaid", operand, axis, f"an entry is made of several along {name}")
    elif (kept := _kept(changes, seen.length(operand, axis))) is not None:
        yield Contradiction("forgotten", operand, axis, f"{name} is axis {kept[1]} of result {kept[0]}")


def _stray(changes: Mapping[int, Sequence[np.ndarray]], claim: Claim, name: str) -> Contradiction | None:
    """An entry that depends on another index than the one that the claim tells."""
    if claim.told is None:
        text = f"{name} has another length in result {claim.result}"
        return Contradiction("independent", claim.operand, claim.axis, text)
    for index, marks in changes.items():
        stray = np.argwhere(marks[claim.result].any(axis=0) & (claim.told != index))
        if stray.size:
            place = tuple(int(i) for i in stray[0])
            text = f"entry {place} of result {claim.result} depends on index {index} of {name}"
            text = f"{text}, and the row says on {int(claim.told[place])} alone"
            return Contradiction("independent", claim.operand, claim.axis, text)
    return None


def _mixing(changes: Mapping[int, Sequence[np.ndarray]], claims: Sequence[Claim]) -> bool:
    """Whether an entry depends on several indices, or on another one than it is told to."""
    if any(claim.told is None for claim in claims):
        return True
    for result in range(len(next(iter(changes.values())))):
        if (np.sum([marks[result] for marks in changes.values()], axis=0) > 1).any():
            return True
    told = [claim for claim in claims if claim.told is not None]
    return any((marks[c.result] & (c.told != index)).any() for c in told for index, marks in changes.items())


def _kept(changes: Mapping[int, Sequence[np.ndarray]], length: int) -> tuple[int, int] | None:
    """A result and its axis on which each index shows at just its own place."""
    for result, mark in enumerate(next(iter(changes.values()))):
        for axis in range(1, mark.ndim):
            others = tuple(b for b in range(mark.ndim) if b != axis)
            places = {i: np.flatnonzero(marks[result].any(axis=others)).tolist() for i, marks in changes.items()}
            if mark.shape[axis] == length and all(place == [index] for index, place in places.items()):
                return result, axis - 1
    return None


def _order(reads: Reading, seen: _Seen, read: set[int], varying: set[int], *, enough: bool) -> Iterator[Contradiction]:
    """Whether entries shift in the results as they do in the operands, along every axis on which none mix."""
    idle: dict[tuple[int, int], bool] = {}
    for result, whole in sorted({(c.result, c.whole) for c in reads.claims if c.whole is not None}):
        claims = [c for c in reads.claims if (c.result, c.whole) == (result, whole) and c.told is not None]
        mixed = reads.row.couples or any(reads.flagged(reads.mixes, c.operand, c.axis) for c in claims)
        if mixed or not any(c.operand in varying for c in claims):
            continue
        axes: dict[int, set[int]] = {}
        for claim in claims:
            if claim.operand not in read:
                axes.setdefault(claim.operand, set()).add(claim.axis)
        shifts = all(_shifts(old[result], new[result], whole) for old, new in seen.shifted(axes))
        first = (claims[0].operand, claims[0].axis)
        if any(reads.flagged(reads.placed, c.operand, c.axis) for c in claims):
            idle[first] = idle.get(first, True) and shifts
        elif not shifts:
            text = f"entries shifted along {reads.name(*first)} come out otherwise than shifted"
            yield Contradiction("placed", *first, text)
    for first in (first for first, shifts in idle.items() if shifts and enough and reads.placed is not None):
        yield Contradiction("not placed", *first, f"along {reads.name(*first)} the index of an entry changes nothing")


def _shifts(old: np.ndarray, new: np.ndarray, axis: int) -> bool:
    wanted = np.roll(old, 1, axis)
    if wanted.shape != new.shape:
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(wanted, new))
    return bool(np.allclose(wanted, new, rtol=1e-3, atol=1e-5, equal_nan=True))
