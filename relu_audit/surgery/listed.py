"""Initializers that old files list among the inputs: out of the way while a graph is changed, and back afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

OVERRIDABLE_SINCE = 4
"""Before this version of the file format every initializer had to be listed among the inputs."""


def unlist(model: ir.Model) -> tuple[str | None, ...]:
    """Take initializers out of the inputs, where they are there by convention and no choice of the caller's.

    The format once wanted all of them there, and exporters went on listing all of them when it did not.

    Returns:
        The names of all inputs in order, if some were taken out.
    """
    graph = model.graph
    held = [value for value in graph.inputs if value.name in graph.initializers]
    if not held or (model.ir_version >= OVERRIDABLE_SINCE and len(held) < len(graph.initializers)):
        return ()
    names = tuple(value.name for value in graph.inputs)
    for value in held:
        graph.inputs.remove(value)
    return names


def list_again(model: ir.Model, names: Sequence[str | None]) -> None:
    """Put them back, as they are now, in their order; those that are new go last."""
    if not names:
        return
    graph = model.graph
    values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    graph.inputs.clear()
    graph.inputs.extend(values.pop(name) for name in names if name in values)
    graph.inputs.extend(values.values())
