"""Bring what is computed inside a body out to the main graph: one row per operator that has bodies.

What is brought out is an element of a monoid, such as a sum or a maximum. A branch that is not taken gives the
identity, and so does a loop without iterations; a loop combines what its iterations give. Identities have one entry per
axis, so they broadcast against whatever shape the other elements have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir

from relu_audit.model.scopes import bodies


@dataclass(frozen=True)
class Monoid:
    """A way to combine: the binary operator, the reduction of a stack, and the identity."""

    combine: str
    reduce: str
    identity: float


SUM = Monoid("Add", "ReduceSum", 0)
MAXIMUM = Monoid("Max", "ReduceMax", -np.inf)
MINIMUM = Monoid("Min", "ReduceMin", np.inf)


UNITED_SINCE = 11
"""The opset from which branches may give results of different shapes; before it, all known sizes must agree."""


class NodeWriter(Protocol):
    """What lifting needs of a writer of nodes."""

    opset: int

    def node(
        self,
        op: str,
        *inputs: ir.Value | None,
        dtype: ir.DataType | None,
        domain: str = "",
        **attributes: int | list[int] | float,
    ) -> ir.Value:
        """A new node's output."""
        ...

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        """A constant list of numbers."""
        ...

    def taken(self) -> list[ir.Node]:
        """The nodes made since the last call."""
        ...

    def filled(self, number: float, dtype: ir.DataType, rank: int) -> ir.Value:
        """A constant with one entry per axis."""
        ...

    def reduce(self, op: str, value: ir.Value, axes: Sequence[int]) -> ir.Value:
        """A reduction that drops the axes."""
        ...

    def name(self, what: str) -> str:
        """A name that nothing has."""
        ...


Lift = Callable[[NodeWriter, ir.Node, ir.Graph, ir.Value, Monoid, int], ir.Value]


def lift(writer: NodeWriter, value: ir.Value, monoid: Monoid, rank: int, owners: Sequence[ir.Node]) -> ir.Value:
    """The value, out of the bodies of ``owners`` (outermost first) in the main graph."""
    for owner in reversed(owners):
        value = _LIFTS[owner.op_type](writer, owner, _graph_of(value), value, monoid, rank)
    return value


def obstacle(owners: Sequence[ir.Node]) -> str | None:
    """Why nothing can be brought out of these bodies; None if it can."""
    for owner in owners:
        if owner.op_type not in _LIFTS or owner.domain not in ("", "ai.onnx"):
            return f"it sits in the body of a {owner.op_type}, which cannot be observed"
    kinds = [owner.op_type for owner in owners]
    if "Scan" in kinds and any(kind != "Scan" for kind in kinds[kinds.index("Scan") :]):
        return "it sits in a Scan body with control flow of its own, whose results have no one shape to stack"
    return None


def _graph_of(value: ir.Value) -> ir.Graph:
    producer = value.producer()
    graph = None if producer is None else producer.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"'{value.name}' belongs to no graph")
    return graph


def _out_of_branch(
    writer: NodeWriter, owner: ir.Node, home: ir.Graph, value: ir.Value, monoid: Monoid, rank: int
) -> ir.Value:
    for _, branch in bodies(owner):
        given = value
        if branch is not home:
            given = _constant(writer, monoid.identity, value, rank)
            branch.extend(writer.taken())
        branch.outputs.append(_of_unsaid_shape(writer, given, rank, owner))
        branch.extend(writer.taken())
    return _last_output(writer, owner, value)


def _of_unsaid_shape(writer: NodeWriter, value: ir.Value, rank: int, owner: ir.Node) -> ir.Value:
    """The value, where the opset wants it so behind a reshape whose target is known to nobody before the model runs.

    The target is zero for each axis, which means that the axis stays as it is; it is made of the condition, as that is
    no constant.
    """
    if writer.opset >= UNITED_SINCE or rank == 0:
        return value
    number = writer.node("Cast", owner.inputs[0], dtype=ir.DataType.INT64, to=int(ir.DataType.INT64))
    nothing = writer.node("Sub", number, number, dtype=ir.DataType.INT64)
    entry = writer.node("Reshape", nothing, writer.integers([1]), dtype=ir.DataType.INT64)
    target = writer.node("Concat", *[entry] * rank, dtype=ir.DataType.INT64, axis=0)
    return writer.node("Reshape", value, target, dtype=value.dtype)


def _out_of_loop(
    writer: NodeWriter, owner: ir.Node, home: ir.Graph, value: ir.Value, monoid: Monoid, rank: int
) -> ir.Value:
    carried = max(len(owner.inputs) - 2, 0)
    initial = _constant(writer, monoid.identity, value, rank)
    owner_graph = owner.graph
    if owner_graph is None:
        raise TypeError("a loop outside any graph")
    owner_graph.insert_before(owner, writer.taken())
    so_far = ir.Value(name=writer.name("so_far"), type=value.type)
    total = writer.node(monoid.combine, so_far, value, dtype=value.dtype)
    home.extend(writer.taken())
    home.inputs.append(so_far)
    home.outputs.insert(1 + carried, total)
    owner.resize_inputs(2 + carried + 1)
    owner.replace_input_with(2 + carried, initial)
    # Stacked outputs come last: each moves up by one to make room for the carried one.
    _last_output(writer, owner, value)
    for index in range(len(owner.outputs) - 1, carried, -1):
        _swap(owner.outputs[index], owner.outputs[index - 1])
    return owner.outputs[carried]


def _out_of_scan(
    writer: NodeWriter, owner: ir.Node, home: ir.Graph, value: ir.Value, monoid: Monoid, rank: int
) -> ir.Value:
    del rank
    home.outputs.append(value)
    for name in ("scan_output_axes", "scan_output_directions"):
        attribute = owner.attributes.get(name)
        if attribute is not None:
            owner.attributes[name] = ir.AttrInt64s(name, [*attribute.as_ints(), 0])
    stacked = _last_output(writer, owner, value)
    total = writer.reduce(monoid.reduce, stacked, (0,))
    owner_graph = owner.graph
    if owner_graph is None:
        raise TypeError("a scan outside any graph")
    owner_graph.extend(writer.taken())
    return total


def _constant(writer: NodeWriter, number: float, like: ir.Value, rank: int) -> ir.Value:
    return writer.filled(number, like.dtype or ir.DataType.FLOAT, rank)


def _last_output(writer: NodeWriter, owner: ir.Node, like: ir.Value) -> ir.Value:
    owner.resize_outputs(len(owner.outputs) + 1)
    out = owner.outputs[-1]
    out.name = writer.name(owner.op_type)
    out.type = like.type
    return out


def _swap(a: ir.Value, b: ir.Value) -> None:
    """Exchange two outputs of a node: names, types, shapes and everything that reads them."""
    spare = ir.Value(name=a.name)
    a.replace_all_uses_with(spare, replace_graph_outputs=True)
    b.replace_all_uses_with(a, replace_graph_outputs=True)
    spare.replace_all_uses_with(b, replace_graph_outputs=True)
    a.name, b.name = b.name, a.name
    a.type, b.type = b.type, a.type
    a.shape, b.shape = b.shape, a.shape


_LIFTS: Mapping[str, Lift] = {"If": _out_of_branch, "Loop": _out_of_loop, "Scan": _out_of_scan}
