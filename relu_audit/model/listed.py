"""Initializers that a file lists among its inputs: out of the way while a graph is changed, and back afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

OVERRIDABLE_SINCE = 4
"""Before this version of the file format every initializer had to be listed among the inputs, and none was one."""


@dataclass(frozen=True)
class Listed:
    """What was taken out.

    Attributes:
        order: The names of all inputs there were; empty if none was taken out.
        held: The numbers of those that were taken out, by name.
        ir_version: The version of the file format that wants them there or not.
    """

    order: tuple[str | None, ...] = ()
    held: Mapping[str, ir.TensorProtocol | None] | None = None
    ir_version: int = OVERRIDABLE_SINCE


def unlist(model: ir.Model) -> Listed:
    """Take initializers out of the inputs, where they are there by convention and no choice of the caller's.

    The format once wanted all of them there, and exporters went on listing all of them when it did not.
    """
    graph = model.graph
    held = [value for value in graph.inputs if value.name in graph.initializers]
    if not held or (model.ir_version >= OVERRIDABLE_SINCE and len(held) < len(graph.initializers)):
        return Listed()
    order = tuple(value.name for value in graph.inputs)
    for value in held:
        graph.inputs.remove(value)
    listed = Listed(order, {value.name or "": value.const_value for value in held}, model.ir_version)
    model.ir_version = max(model.ir_version, OVERRIDABLE_SINCE)  # without the lists, it is a later one's
    return listed


def list_again(model: ir.Model, listed: Listed) -> tuple[str, ...]:
    """Put them back in their order.

    Where the format wants all of them, those that changed are listed as they are now, and those that are new go last.
    Where being listed means that a caller may feed other numbers, only those that are what they were are listed: a
    caller's numbers for one that was cut do not fit, and for one that has taken up constants they would lack these.

    Returns:
        The names of those that could be fed and no longer can.
    """
    if not listed.order:
        return ()
    graph = model.graph
    model.ir_version = listed.ir_version
    overridable = model.ir_version >= OVERRIDABLE_SINCE
    held = listed.held or {}
    same = {name: value for name, value in graph.initializers.items() if value.const_value is held.get(name)}
    values = {value.name: value for value in (*graph.inputs, *(same if overridable else graph.initializers).values())}
    graph.inputs.clear()
    graph.inputs.extend(values.pop(name) for name in listed.order if name in values)
    if overridable:
        return tuple(sorted(name for name in held if name not in same))
    graph.inputs.extend(values.values())
    return ()
