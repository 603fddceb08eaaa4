"""Which inputs of a graph have a part in each of its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from relu_audit.model.scopes import bodies

Names = frozenset[str]


def inputs_by_value(graph: ir.Graph) -> Mapping[ir.Value, Names]:
    """For every value that a run computes: the inputs that it is computed from, or that decide whether it is computed.

    Args:
        graph: The main graph, its nodes sorted.
    """
    fed = (value for value in graph.inputs if value.name not in graph.initializers)
    found = {value: Names({value.name or ""}) for value in fed}

    def of(values: Iterable[ir.Value | None]) -> Names:
        return Names().union(*(found.get(value, Names()) for value in values if value is not None))

    def visit(graph: ir.Graph, deciding: Names) -> None:
        for node in graph:
            names = deciding | of(node.inputs)
            leaving = names
            for _, body in bodies(node):
                # What a body carries from one pass to the next may come of all that the body reads.
                found.update(
                    dict.fromkeys(body.inputs, names | of(v for inner in body.all_nodes() for v in inner.inputs))
                )
                visit(body, names)
                leaving |= of(body.outputs)
            found.update(dict.fromkeys(node.outputs, leaving))

    visit(graph, Names())
    return found
