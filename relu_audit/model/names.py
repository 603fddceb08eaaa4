"""Names that nothing in a model has: one rule for all who put nodes and constants into graphs."""

from __future__ import annotations

import onnx_ir as ir


class Names:
    """The names of a model's nodes and values, bodies included.

    Args:
        model: It is read once; names that are given out afterwards count as taken.
    """

    def __init__(self, model: ir.Model) -> None:
        self._taken: set[str] = set()
        for graph in model.graphs():
            self._taken.update(graph.initializers)
            self._taken.update(value.name or "" for value in graph.inputs)
            for node in graph:
                self._taken.add(node.name or "")
                self._taken.update(value.name or "" for value in node.outputs)

    def unused(self, wanted: str) -> str:
        """The name, or the name with the least number from 2 on behind it that makes it one of its own."""
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}{count}"
        self._taken.add(name)
        return name

    def unused_prefix(self, wanted: str) -> str:
        """The prefix, or the prefix with underscores behind it, so that no name begins with it."""
        while any(name.startswith(wanted) for name in self._taken):
            wanted += "_"
        return wanted
