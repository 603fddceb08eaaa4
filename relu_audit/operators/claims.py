"""What a row of the axis table says of one node, as claims that can be tried by running the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import numpy as np
import onnx_ir as ir

from relu_audit.operators.axes import AxisRule
from relu_audit.operators.layout import BATCH, POSITION, Factor, Layout, Size, numbered
from relu_audit.operators.moves import Move, Operation
from relu_audit.operators.terms import letters_of, matched, terms_of

Operands = Sequence[np.ndarray | None]
"""One array per input of a node; None where it is left out."""

REFUSED = (LookupError, ValueError, TypeError, ZeroDivisionError)
"""What a row raises for a node that it has nothing to say of."""


@dataclass(frozen=True)
class Claim:
    """An axis of an operand that is, as the row has it, an axis of a result.

    Attributes:
        operand: Number of the operand.
        axis: Its axis.
        result: Number of the result, among the named ones.
        told: Which index along the operand's axis every entry of the result belongs to; None if the lengths differ.
        whole: The result's axis that is the operand's; None if that shares an axis, or is cut.
    """

    operand: int
    axis: int
    result: int
    told: np.ndarray | None
    whole: int | None


class Watched(tuple[Any, ...]):
    """Constants, and which of them were looked at: those say what the operator does."""

    read: set[int]

    def __new__(cls, values: Operands) -> Watched:
        """Nothing was looked at so far."""
        made = super().__new__(cls, values)
        made.read = set()
        return made

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        at = range(len(self))[index]
        self.read.update([at] if isinstance(at, int) else at)
        return super().__getitem__(index)


def operations(
    node: ir.Node, opset: int, operands: Operands, constants: Watched, shapes: Sequence[tuple[int, ...]]
) -> tuple[Operation, Operation]:
    """The node with its sizes known, and with none of them known.

    Args:
        node: The node.
        opset: Version of the operator set.
        operands: Arrays, for their shapes.
        constants: The operands that are constants.
        shapes: Shapes of the named results.
    """
    named = iter(shapes)
    sized = Operation(
        node=node,
        inputs=tuple(None if a is None else numbered(a.shape) for a in operands),
        constants=constants,
        shapes=tuple(next(named) if value.name else None for value in node.outputs),
        lists=lambda index: _listed(constants, index),
        opset=opset,
    )
    unsized = replace(
        sized,
        inputs=tuple(None if a is None else numbered([None] * a.ndim) for a in operands),
        shapes=(None,) * len(node.outputs),
    )
    return sized, unsized


class Reading:
    """One node as its row has it.

    Attributes:
        claims: Axes of operands that are axes of results.
        symbols: The symbol of every axis of an operand, for rows with a signature.
        leaving: Symbols of the results.
        mixes: The row's column; None where it does not tell.
        placed: Likewise.
        misfits: Terms that are not those of a value's axes, in words.
    """

    def __init__(self, row: AxisRule, op: Operation, operands: Operands, shapes: Sequence[tuple[int, ...]]) -> None:
        self.row = row
        self.claims: list[Claim] = []
        self.symbols: dict[tuple[int, int], str] = {}
        self.leaving: set[str] = set()
        self.misfits: list[str] = []
        self.mixes, self.placed = row.mixes(op), row.placed(op)
        self._op, self._shapes = op, shapes
        self._lengths = {
            (i, axis): n for i, a in enumerate(operands) if a is not None for axis, n in enumerate(a.shape)
        }
        self._places = [index for index, value in enumerate(op.node.outputs) if value.name]
        if row.move is not None:
            self._moved(row.move, row.aligned)
        else:
            self._spelt(row)

    def of(self, operand: int, axis: int) -> list[Claim]:
        """The claims about one axis of an operand."""
        return [claim for claim in self.claims if (claim.operand, claim.axis) == (operand, axis)]

    def carriers(self, operand: int, axis: int) -> set[int]:
        """The operands that have the letter of an axis."""
        symbol = self.symbols.get((operand, axis), "_")
        same = {other for (other, _), found in self.symbols.items() if found == symbol != "_"}
        return {operand} | same

    def contracts(self, operand: int, axis: int) -> bool:
        """Whether the axis has a letter that enters and does not leave."""
        symbol = self.symbols.get((operand, axis), "_")
        return not {*letters_of(symbol)} <= {x for found in self.leaving for x in letters_of(found)}

    def shares(self, operand: int, axis: int) -> bool:
        """Whether the axis has several letters, of which each may be as short as one entry."""
        return len(letters_of(self.symbols.get((operand, axis), "_"))) > 1

    def flagged(self, axes: frozenset[int] | None, operand: int, axis: int) -> bool:
        """Whether a column names an axis of an operand: an axis of the first, or one with a letter of such an axis."""
        if axes is None or (operand == 0 and axis in axes):
            return True
        if self.row.move is not None:
            return operand in self.row.aligned and axis in axes
        symbol = self.symbols.get((operand, axis), "_")
        return symbol != "_" and symbol in {self.symbols.get((0, at)) for at in axes}

    def name(self, operand: int, axis: int) -> str:
        """An axis of an operand, in words."""
        value = self._op.node.inputs[operand]
        return f"axis {axis} of operand {operand} ('{'' if value is None else value.name}')"

    def _spelt(self, row: AxisRule) -> None:
        try:
            operand_terms, result_terms = terms_of(self._op, row)
        except REFUSED:
            return
        for operand, (term, layout) in enumerate(zip(operand_terms, self._op.inputs, strict=False)):
            self.symbols |= {(operand, _number(axis)): symbol for symbol, axis in matched(term, layout or ())}
        for result, (place, shape) in enumerate(zip(self._places, self._shapes, strict=True)):
            term = result_terms[place] if place < len(result_terms) else ()
            found = [(symbol, _number(axis)) for symbol, axis in matched(term, numbered(shape)) if symbol != "_"]
            exact = not {*term} & {*"~*"}
            if term not in ((), ("_",)) and (len(term) != len(shape) if exact else len(term) > len(shape) + 1):
                self.misfits.append(f"result {result} has {len(shape)} axes, and the term '{' '.join(term)}'")
            self.leaving |= {symbol for symbol, _ in found}
            self.claims += [
                self._claim(*key, result, at)
                for symbol, at in found
                for key, own in self.symbols.items()
                if own == symbol
            ]

    def _moved(self, move: Move, aligned: Sequence[int]) -> None:
        beside = {0, *aligned, *self.row.picks(self._op)}
        for operand, axis in (place for place in self._lengths if place[0] in beside):
            self.claims += self._carried(move, operand, axis)
        first = [claim for claim in self.claims if claim.operand == 0 and claim.whole is not None]
        ranks = [None if layout is None else len(layout) for layout in self._op.inputs]
        for operand in (i for i in aligned if 0 < i < len(ranks) and ranks[i] == ranks[0]):
            found = [self._claim(operand, c.axis, c.result, c.whole) for c in first if c.whole is not None]
            self.claims += [c for c in found if not any(c.result == o.result for o in self.of(operand, c.axis))]

    def _claim(self, operand: int, axis: int, result: int, whole: int) -> Claim:
        shape = self._shapes[result]
        same = self._lengths[operand, axis] == shape[whole]
        told = np.indices(shape)[whole] if same else None
        return Claim(operand, axis, result, told, None if self.shares(operand, axis) else whole)

    def _carried(self, move: Move, operand: int, axis: int) -> Iterator[Claim]:
        """The axis in the guise of the batch, the one letter that cannot be taken for another."""
        whole = self._lengths[operand, axis]
        marked = [_marked(layout, axis if i == operand else None) for i, layout in enumerate(self._op.inputs)]
        try:
            layouts = move(replace(self._op, inputs=tuple(marked)))
        except REFUSED:
            return
        for result, (place, shape) in enumerate(zip(self._places, self._shapes, strict=True)):
            layout = layouts[place] if place < len(layouts) else None
            if layout is None or len(layout) != len(shape):
                continue
            marks = [(f, len(factors)) for factors in layout for f in factors if f.letter == BATCH]
            for told, length in decoded(layout, shape, lambda factor: factor.letter == BATCH):
                if any((f.size is None and several > 1) or (f.part and length != whole) for f, several in marks):
                    continue  # it shares an axis of which no more is known, or some piece of it is lost
                same = length == whole
                at = [b for b in range(len(shape)) if shape[b] == length and np.array_equal(told, np.indices(shape)[b])]
                yield Claim(operand, axis, result, told if same else None, at[0] if at else None)


def decoded(
    layout: Layout, shape: Sequence[int], wanted: Callable[[Factor], bool], *, axis: int | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """For each wanted letter: which of its entries every element of the result belongs to, and how many there are.

    Args:
        layout: The layout of the result.
        shape: Its shape.
        wanted: Picks letters.
        axis: Look at this axis only; pieces of a letter are then taken for wholes.
    """
    grid = np.indices(shape)
    pieces: list[tuple[tuple[int, ...], np.ndarray, int]] = []
    for b, factors in enumerate(layout):
        rest = grid[b]
        for factor in reversed(factors):
            size = factor.size if isinstance(factor.size, int) else shape[b]
            index, rest = rest % size, rest // size
            if not wanted(factor) or (axis is not None and axis != b):
                continue
            if factor.part and axis is None:
                pieces.append((factor.part, index, size))
            else:
                yield index, size
    if pieces:
        total, length = np.zeros(shape, int), 1
        for _, index, size in sorted(pieces, key=lambda piece: piece[0]):
            total, length = total * size + index, length * size
        yield total, length


def _number(axis: Sequence[Factor]) -> int:
    return axis[0].letter.order


def _marked(layout: Layout | None, axis: int | None) -> Layout | None:
    if layout is None:
        return None
    return tuple(
        (Factor(BATCH, factor.size),) if i == axis else () if factor.size == 1 else (Factor(POSITION, factor.size),)
        for i, (factor,) in enumerate(layout)
    )


def _listed(constants: Watched, index: int) -> tuple[Size, ...] | None:
    numbers: np.ndarray | None = constants[index] if index < len(constants) else None
    return None if numbers is None or numbers.dtype.kind not in "iu" else tuple(map(int, numbers.ravel()))
