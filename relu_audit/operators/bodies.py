"""How the operators that have bodies carry axes into them and out again; rows of the axis table name these.

Each way is three small functions: the layouts a body's inputs get, those they have once what an iteration returns has
come round (an axis on which first and later iterations differ is opaque), and the layouts of the node's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relu_audit.operators.layout import POSITION, Axis, Factor, Layout, axis_size
from relu_audit.operators.moves import Operation

Layouts = Sequence[Layout | None]


@dataclass(frozen=True)
class Body:
    """How one operator treats its bodies.

    Attributes:
        enters: Layouts of the body's inputs.
        returns: The same after what each body returns, given what entered.
        leaves: Layouts of the node's outputs, from what each body returns.
        route: Which values are which, given how many results the node has.
    """

    enters: Callable[[Operation], list[Layout | None]]
    returns: Callable[[Operation, Layouts, Sequence[Layouts]], list[Layout | None]]
    leaves: Callable[[Operation, Sequence[Layouts]], list[Layout | None]]
    route: Callable[[Operation, int], Route]


@dataclass(frozen=True)
class Sliced:
    """One entry at a time of an operand, along an axis."""

    operand: int
    axis: int


@dataclass(frozen=True)
class Route:
    """Which values are which, outside of a node's bodies and inside.

    Attributes:
        enters: For each input of a body the operand that it is; None for a number that the operator itself gives.
        returns: For each input of a body the result of the body that comes round to it; None where none does.
        leaves: For each result of the node the result of a body that it is.
        decides: Operands that decide what is run, or how often.
        decides_within: Results of a body that do.
    """

    enters: tuple[int | Sliced | None, ...] = ()
    returns: tuple[int | None, ...] = ()
    leaves: tuple[int, ...] = ()
    decides: tuple[int, ...] = ()
    decides_within: tuple[int, ...] = ()


def _branch_route(op: Operation, results: int) -> Route:
    del op
    return Route(leaves=tuple(range(results)), decides=(0,))


def _loop_route(op: Operation, results: int) -> Route:
    carried = max(len(op.node.inputs) - 2, 0)
    return Route(
        enters=(None, None, *range(2, 2 + carried)),
        returns=(None, None, *range(1, 1 + carried)),
        leaves=tuple(range(1, 1 + results)),
        decides=(0, 1),
        decides_within=(0,),
    )


def _scan_route(op: Operation, results: int) -> Route:
    count = len(op.node.inputs)
    states = count - op.integer("num_scan_inputs", 0)
    axes = op.integers("scan_input_axes") or [0] * (count - states)
    return Route(
        enters=(*range(states), *(Sliced(states + i, axis) for i, axis in enumerate(axes))),
        returns=(*range(states), *[None] * len(axes)),
        leaves=tuple(range(results)),
    )


def _nothing(op: Operation) -> list[Layout | None]:
    del op
    return []


def _unchanged(op: Operation, entering: Layouts, leaving: Sequence[Layouts]) -> list[Layout | None]:
    del op, leaving
    return list(entering)


def _either(op: Operation, leaving: Sequence[Layouts]) -> list[Layout | None]:
    """One branch or the other: the axes on which they agree."""
    del op
    first, *others = leaving
    out = list(first)
    for other in others:
        out = [_common(a, b) for a, b in zip(out, other, strict=False)]
    return out


def _loop_enters(op: Operation) -> list[Layout | None]:
    return [(), (), *op.inputs[2:]]


def _loop_returns(op: Operation, entering: Layouts, leaving: Sequence[Layouts]) -> list[Layout | None]:
    carried = [_common(a, b) for a, b in zip(entering[2:], leaving[0][1:], strict=False)]
    return [*entering[:2], *carried][: len(op.inputs)]


def _loop_leaves(op: Operation, leaving: Sequence[Layouts]) -> list[Layout | None]:
    carried = max(len(op.inputs) - 2, 0)
    body = leaving[0][1:]
    return [*body[:carried], *(_stacked(layout, 0) for layout in body[carried:])]


def _scan_states(op: Operation) -> int:
    return len(op.inputs) - op.integer("num_scan_inputs", 0)


def _scan_enters(op: Operation) -> list[Layout | None]:
    states = _scan_states(op)
    axes = op.integers("scan_input_axes") or [0] * (len(op.inputs) - states)
    return [*op.inputs[:states], *(_without(layout, a) for layout, a in zip(op.inputs[states:], axes, strict=False))]


def _scan_returns(op: Operation, entering: Layouts, leaving: Sequence[Layouts]) -> list[Layout | None]:
    states = _scan_states(op)
    return [*(_common(a, b) for a, b in zip(entering[:states], leaving[0], strict=False)), *entering[states:]]


def _scan_leaves(op: Operation, leaving: Sequence[Layouts]) -> list[Layout | None]:
    states = _scan_states(op)
    stacked = leaving[0][states:]
    axes = op.integers("scan_output_axes") or [0] * len(stacked)
    return [*leaving[0][:states], *(_stacked(layout, axis) for layout, axis in zip(stacked, axes, strict=False))]


def _common(a: Layout | None, b: Layout | None) -> Layout | None:
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else _opaque_of(x, y) for x, y in zip(a, b, strict=True))


def _opaque_of(x: Axis, y: Axis) -> Axis:
    size = axis_size(x)
    return (Factor(POSITION, size if size == axis_size(y) else None),)


def _stacked(layout: Layout | None, axis: int) -> Layout | None:
    if layout is None:
        return None
    at = axis % (len(layout) + 1)
    return (*layout[:at], (Factor(POSITION, None),), *layout[at:])


def _without(layout: Layout | None, axis: int) -> Layout | None:
    if not layout:
        return None
    at = axis % len(layout)
    return (*layout[:at], *layout[at + 1 :])


BRANCHES = Body(_nothing, _unchanged, _either, _branch_route)
"""If: bodies without inputs, one of which is taken."""

ITERATIONS = Body(_loop_enters, _loop_returns, _loop_leaves, _loop_route)
"""Loop: iteration number and condition, then carried values; outputs are the carried ones and stacks."""

SLICES = Body(_scan_enters, _scan_returns, _scan_leaves, _scan_route)
"""Scan (opset 9 and later): states, then slices of the scanned inputs; outputs are the states and stacks."""
