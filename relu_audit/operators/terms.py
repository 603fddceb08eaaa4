"""How a row of the axis table is read for one node: its signature as terms, and the axes of a value they stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from relu_audit.operators.axes import AxisRule
from relu_audit.operators.layout import Axis, Layout, axis_size
from relu_audit.operators.moves import Operation

Term = tuple[str, ...]
"""The symbols of one operand or result."""

_AXIS = re.compile(r"\([^)]*\)|[^\s,]")


def terms_of(op: Operation, row: AxisRule) -> tuple[list[Term], list[Term]]:
    """Input and output terms of a row for one node, its last input term repeated as often as it takes."""
    text = row.letters(op, row.signature) if row.letters is not None else row.signature
    left, right = text.split("->")
    terms = [term_of(t) for t in left.replace("+", "").split(",")]
    if "+" in left:
        terms.extend([terms[-1]] * (len(op.inputs) - len(terms)))
    return terms, [term_of(t) for t in right.split(",")]


def letters_of(symbol: str) -> list[str]:
    """The letters of ``(g o)``; a written-out ``~0`` or ``*1`` is a letter by itself."""
    return [symbol] if symbol[0] in "~*" and len(symbol) > 1 else [x for x in symbol if x.isalpha()]


def matched(term: Term, layout: Layout) -> list[tuple[str, Axis]]:
    """Pair a term's symbols with the axes of an operand; ``~`` counts from the left, ``*`` from the right."""
    marks = [i for i, symbol in enumerate(term) if symbol in "*~_"]
    if not marks:
        # Fewer axes than letters: a bias that broadcasts, aligned on the right.
        pairs = zip(reversed(term), reversed(layout), strict=False)
        return list(pairs) if len(layout) <= len(term) else []
    mark = marks[0]
    after = len(term) - mark - 1
    if len(layout) < mark + after:
        return []
    named = [*zip(term[:mark], layout[:mark], strict=True)]
    if after:
        named += zip(term[mark + 1 :], layout[-after:], strict=True)
    rest = layout[mark : len(layout) - after]
    if term[mark] == "~":
        named += [(f"~{i}", axis) for i, axis in enumerate(rest)]
    elif term[mark] == "*":
        named += [(f"*{len(rest) - i}", axis) for i, axis in enumerate(rest)]
    return named


def term_of(text: str) -> Term:
    """The symbols of one term of a signature."""
    return tuple(_AXIS.findall(text))


def fitting(term: Term, layout: Layout | None) -> bool:
    """Whether a row tells what becomes of all axes of an operand; those of size one broadcast."""
    if set(term) <= {"_"}:
        return True
    if layout is None:
        return False
    beyond = len(layout) - len(term)
    return bool(set(term) & set("*~_")) or all(axis_size(axis) == 1 for axis in layout[: max(beyond, 0)])


def leaves(symbol: str, results: Sequence[Term]) -> bool:
    """Whether all letters of a symbol are on some result: others are summed."""
    if symbol[0] in "*~" and len(symbol) > 1:
        return any(symbol[0] in term for term in results)
    leaving = {letter for term in results for axis in term for letter in letters_of(axis)}
    return set(letters_of(symbol)) <= leaving
