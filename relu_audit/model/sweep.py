"""Drop what nobody reads, but for what is to stay all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx_ir as ir
import onnx_ir.passes.common as passes


def sweep(model: ir.Model, staying: Iterable[ir.Value] = ()) -> None:
    """Drop nodes and initializers that no output is computed from.

    Args:
        model: It is changed.
        staying: Values that count as outputs of the graphs they are in.
    """
    counted = [*_given_out(staying)]
    for home, value in counted:
        home.outputs.append(value)
    passes.RemoveUnusedNodesPass()(model)
    for home, _ in reversed(counted):
        home.outputs.pop()


def _given_out(values: Iterable[ir.Value]) -> Iterator[tuple[ir.Graph, ir.Value]]:
    """Each value that no graph gives out, with the graph that computes it."""
    for value in dict.fromkeys(values):
        node = value.producer()
        home = None if node is None else node.graph
        if isinstance(home, ir.Graph) and not value.is_graph_output():
            yield home, value
