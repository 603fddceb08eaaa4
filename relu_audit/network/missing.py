"""Inputs in which NaN stands for a missing value that the graph takes care of.

NaN is followed from an input through the graph. Each path has to meet an operator that makes no NaN of it, or one that
picks something else wherever IsNaN says so. NaN that the graph does not take care of hides which units fire.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from relu_audit.model.scopes import bodies, walk
from relu_audit.network.normalize import Network
from relu_audit.operators.families import ELEMENTWISE, ENTRY_BY_ENTRY

Values = frozenset[ir.Value]
_NONE = Values()


@dataclass(frozen=True)
class Mask:
    """What a boolean value says of NaN: the values that are NaN only where it is true, and only where it is false."""

    true: Values = _NONE
    false: Values = _NONE


def _imputes(node: ir.Node) -> bool:
    """Whether an Imputer replaces NaN, and by a number."""
    replaced, by = (node.attributes.get(name) for name in ("replaced_value_float", "imputed_value_floats"))
    if replaced is None or by is None:
        return False
    return math.isnan(replaced.as_float()) and not any(map(math.isnan, by.as_floats()))


def _always(node: ir.Node) -> bool:
    del node
    return True


_ML = "ai.onnx.ml"

TAKES: Mapping[tuple[str, str], Callable[[ir.Node], bool]] = {
    **{("", op): _always for op in ("IsNaN", "IsInf", "Shape", "Size")},
    (_ML, "Imputer"): _imputes,
    **{(_ML, op): _always for op in ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")},
}
"""Operators whose results are no NaN where an operand is one."""

PICKS: Mapping[tuple[str, str], Mapping[int, bool]] = {("", "Where"): {1: True, 2: False}}
"""Operators that pick entries of operands by the first one: what that has to say for each of the others."""

TELLS = (("", "IsNaN"),)
"""Operators whose result is true where the operand is NaN and nowhere else."""

LOGIC: Mapping[tuple[str, str], Callable[[list[Mask]], Mask]] = {
    **{("", op): lambda masks: masks[0] for op in ("Identity", "Cast")},
    ("", "Not"): lambda masks: Mask(masks[0].false, masks[0].true),
    ("", "Or"): lambda masks: Mask(masks[0].true | masks[1].true, masks[0].false & masks[1].false),
    ("", "And"): lambda masks: Mask(masks[0].true & masks[1].true, masks[0].false | masks[1].false),
}
"""Operators on masks."""

ALIGNED = frozenset(("", op) for op in (*ENTRY_BY_ENTRY, *ELEMENTWISE))
"""Operators whose result is NaN only where an operand is, but for what they make themselves."""

KEEPS = frozenset(("", op) for op in ("Identity", "Cast", "Neg", "Abs", "Add", "Sub", "Mul", "Div"))
"""Operators whose result is NaN wherever an operand is, if it can be NaN at all."""

_DEEPEST = 16
"""Operators on masks in a row, at most."""


def inputs_that_take_nan(network: Network) -> frozenset[str]:
    """Names of the graph's inputs whose NaN is taken care of on every path."""
    graph = network.model.graph
    nodes = [step.node for step in walk(graph)]
    if not any(map(_takes, nodes)):
        return frozenset()
    given_out = set(graph.outputs)
    fed = [value for value in graph.inputs if value.name not in graph.initializers]
    return frozenset(value.name or "" for value in fed if not given_out & _Spread(nodes, value).origins.keys())


def _takes(node: ir.Node) -> bool:
    takes = TAKES.get((node.domain, node.op_type))
    return takes is not None and takes(node)


@dataclass
class _Spread:
    """Where the NaN of one input gets.

    Attributes:
        nodes: All nodes of the graph.
        value: The input.
        origins: Every value that may be NaN for it, with those that then are NaN in the same places.
    """

    nodes: list[ir.Node]
    value: ir.Value
    origins: dict[ir.Value, Values] = field(default_factory=dict["ir.Value", "Values"])

    def __post_init__(self) -> None:
        self._reach([self.value], _NONE)
        while sum(map(self._passes_on, self.nodes)):  # loops need several rounds
            pass

    def _passes_on(self, node: ir.Node) -> bool:
        """Follow NaN through a node; whether that tells anything new."""
        inner = [body for _, body in bodies(node)]
        carriers = list(dict.fromkeys(self._carriers(node)))
        new = bool(carriers) and self._reach([value for body in inner for value in body.inputs], _NONE)
        if carriers or any(value in self.origins for body in inner for value in body.outputs):
            aligned = len(carriers) == 1 and (node.domain, node.op_type) in ALIGNED
            new |= self._reach(node.outputs, self.origins[carriers[0]] if aligned else _NONE)
        return new

    def _reach(self, values: Iterable[ir.Value], origins: Values) -> bool:
        """Note where NaN gets; of several ways, what holds of all."""
        before = [self.origins.get(value) for value in values]
        for value in values:
            self.origins[value] = self.origins.get(value, origins | {value}) & (origins | {value})
        return before != [self.origins.get(value) for value in values]

    def _carriers(self, node: ir.Node) -> Iterator[ir.Value]:
        """The operands whose NaN may show in the results."""
        picks = PICKS.get((node.domain, node.op_type), {})
        for index, value in enumerate(node.inputs):
            if value is None or value not in self.origins or _takes(node):
                continue
            mask = _mask(node.inputs[0]) if index in picks else Mask()
            avoided = mask.false if picks.get(index) else mask.true
            if not avoided & self.origins[value]:
                yield value


def _mask(value: ir.Value | None, depth: int = 0) -> Mask:
    node = None if value is None else value.producer()
    if node is None or depth > _DEEPEST:
        return Mask()
    if (node.domain, node.op_type) in TELLS:
        return Mask(true=_nan_with(node.inputs[0]))
    combine = LOGIC.get((node.domain, node.op_type))
    return Mask() if combine is None else combine([_mask(operand, depth + 1) for operand in node.inputs])


def _nan_with(value: ir.Value | None) -> Values:
    """The value, and all whose NaN makes it NaN in the same places."""
    found: set[ir.Value] = set()
    pending = [value]
    while pending:
        at = pending.pop()
        if at is None or at in found:
            continue
        found.add(at)
        node = at.producer()
        floats = at.dtype is not None and at.dtype.is_floating_point()
        if node is not None and floats and (node.domain, node.op_type) in KEEPS:
            pending += node.inputs
    return frozenset(found)
