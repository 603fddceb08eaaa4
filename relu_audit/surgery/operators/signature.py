"""Read one node's row of the axis table: which axes of its operands and results run over the same letter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.operators.axes import AxisRule
from relu_audit.operators.layout import Factor, Kind, Layout, Letter
from relu_audit.operators.moves import Operation
from relu_audit.operators.terms import letters_of, matched, terms_of
from relu_audit.surgery.operators.atoms import Sizes


@dataclass(frozen=True)
class Place:
    """One axis of an operand or a result, and the letters it runs over.

    Attributes:
        value: The value.
        operand: Number of the input; None for a result.
        output: Number of the output; None for an operand.
        axis: The axis.
        letters: Its letters, outermost first.
        size: Its size; None where the data decides.
    """

    value: ir.Value
    operand: int | None
    output: int | None
    axis: int
    letters: tuple[str, ...]
    size: int | None


@dataclass(frozen=True)
class Signature:
    """The letters of one node.

    Attributes:
        node: The node.
        places: Every axis that has letters.
        sizes: Size of every letter; of one that the data decides there is none.
        moves: Whether only the first operand has letters, the others say which of its axes go.
    """

    node: ir.Node
    places: tuple[Place, ...]
    sizes: Mapping[str, int]
    moves: bool = False

    @property
    def contracted(self) -> set[str]:
        """Letters that enter and do not leave: the operator sums over them."""
        leaving = {letter for place in self.places if place.output is not None for letter in place.letters}
        return {letter for place in self.places for letter in place.letters} - leaving

    def of(self, letter: str, *, results: bool) -> list[Place]:
        """The operands' or the results' places that a letter runs along."""
        return [p for p in self.places if letter in p.letters and (p.output is not None) == results]

    def grouped(self) -> bool:
        """Whether any axis holds more than one group."""
        return any(len(p.letters) > 1 and self.sizes[p.letters[0]] > 1 for p in self.places)

    def by_group(self) -> bool:
        """Whether whole groups go rather than the same position of every group: where some axis has one entry each."""
        inner = {p.letters[1] for p in self.places if len(p.letters) > 1}
        return self.grouped() and any(self.sizes[x] == 1 for x in inner)


def operation(node: ir.Node) -> Operation:
    """A node, to read its attributes."""
    return Operation(node=node, inputs=(), constants=(), shapes=())


def read(node: ir.Node, row: AxisRule, sizes: Sizes, constants: Sequence[np.ndarray | None]) -> Signature | None:
    """The letters of a node; None if its ranks or sizes do not tell."""
    inputs = [None if value is None else _numbered(sizes.get(value)) for value in node.inputs]
    outputs = [_numbered(sizes.get(value)) for value in node.outputs]
    unknown = [
        value
        for value, layout in zip((*node.inputs, *node.outputs), (*inputs, *outputs), strict=True)
        if value is not None and layout is None and value.name
    ]
    if unknown:
        return None
    operation = Operation(
        node=node,
        inputs=tuple(inputs),
        constants=tuple(constants),
        shapes=tuple(sizes.get(value) for value in node.outputs),
    )
    places = _moved(operation, row, outputs) if row.move else _spelt(operation, row, outputs)
    found = tuple(
        Place(value, operand, output, axis, letters, (sizes.get(value) or ())[axis])
        for value, operand, output, axis, letters in places
    )
    known = _letter_sizes(found)
    return None if known is None else Signature(node, found, known, moves=row.move is not None)


_Found = tuple[ir.Value, int | None, int | None, int, tuple[str, ...]]


def _spelt(op: Operation, row: AxisRule, outputs: Sequence[Layout | None]) -> list[_Found]:
    operand_terms, result_terms = terms_of(op, row)
    found: list[_Found] = []
    for index, (term, layout) in enumerate(zip(operand_terms, op.inputs, strict=False)):
        value = op.node.inputs[index]
        if layout is not None and value is not None:
            found += [(value, index, None, _number(a), _symbol(s)) for s, a in matched(term, layout)]
    for index, (term, layout) in enumerate(zip(result_terms, outputs, strict=False)):
        if layout is not None:
            found += [(op.node.outputs[index], None, index, _number(a), _symbol(s)) for s, a in matched(term, layout)]
    return found


def _moved(op: Operation, row: AxisRule, outputs: Sequence[Layout | None]) -> list[_Found]:
    """The axes of the first operand that come out whole; the others get no letter."""
    source, value = op.inputs[0], op.node.inputs[0]
    if row.move is None or source is None or value is None:
        return []
    found: list[_Found] = []
    for index, layout in enumerate(row.move(op)):
        if layout is None or outputs[index] is None or len(layout) != len(outputs[index] or ()):
            continue
        for axis, factors in enumerate(layout):
            if len(factors) == 1 and not factors[0].part and factors[0].letter.order >= 0:
                origin = factors[0].letter.order
                if factors[0].size == source[origin][0].size:
                    found.append((op.node.outputs[index], None, index, axis, (f"axis{origin}",)))
    kept = {letters for _, _, _, _, letters in found}
    found += [(value, 0, None, axis, (f"axis{axis}",)) for axis in range(len(source)) if (f"axis{axis}",) in kept]
    return found


def _numbered(shape: Sequence[int | None] | None) -> Layout | None:
    """A layout whose letters are the numbers of the axes."""
    if shape is None:
        return None
    return tuple((Factor(Letter(Kind.POSITION, order=axis), size),) for axis, size in enumerate(shape))


def _number(axis: tuple[Factor, ...]) -> int:
    return axis[0].letter.order


def _symbol(symbol: str) -> tuple[str, ...]:
    return tuple(letters_of(symbol))


def _letter_sizes(places: Sequence[Place]) -> dict[str, int] | None:
    """Sizes of letters from sizes of axes; None if an axis of several letters cannot be divided among them."""
    known: dict[str, int] = {}
    for place in places:
        if len(place.letters) == 1 and place.size is not None:
            known[place.letters[0]] = max(place.size, known.get(place.letters[0], 1))
    several = [p for p in places if len(p.letters) > 1]
    # An axis of one is asked last: it may be the one channel of an image, or a scale that serves all channels.
    pending, spare = [p for p in several if p.size != 1], [p for p in several if p.size == 1]
    while pending:
        left: list[Place] = []
        for place in pending:
            missing = [letter for letter in place.letters if letter not in known]
            if place.size is None or len(missing) > 1:
                left.append(place)
                continue
            have = math.prod(known[letter] for letter in place.letters if letter in known)
            if place.size % have or (not missing and have != place.size):
                return None
            if missing:
                known[missing[0]] = place.size // have
        if len(left) == len(pending):
            asked = next((p for p in spare if sum(letter not in known for letter in p.letters) == 1), None)
            if asked is None:
                return None
            spare.remove(asked)
            left.append(asked)
        pending = left
    for letter in (x for p in spare if all(known.get(other, 1) == 1 for other in p.letters) for x in p.letters):
        known.setdefault(letter, 1)
    for place in spare:
        missing = [letter for letter in place.letters if letter not in known]
        if len(missing) == 1 and all(known[letter] == 1 for letter in place.letters if letter in known):
            known[missing[0]] = 1
    return known if all(letter in known for p in several for letter in p.letters) else None
