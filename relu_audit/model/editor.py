"""Make nodes and constants in a graph, under names that nothing in it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from relu_audit.model.names import Names


class Editor:
    """Adds to a model.

    Args:
        model: It is changed.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.opset = model.opset_imports.get("", 1)
        self._names = Names(model)

    def name(self, like: str) -> str:
        """A name nobody has, that tells where it comes from."""
        return self._names.unused(f"{like}_pruned")

    def constant(self, array: np.ndarray, like: str) -> ir.Value:
        """A new initializer of the main graph, which every body sees."""
        return self.initializer(ir.Tensor(array, name=like), like)

    def initializer(self, tensor: ir.TensorProtocol, like: str) -> ir.Value:
        """A new initializer with a tensor's numbers."""
        name = self.name(like)
        tensor.name = name
        value = ir.Value(
            name=name,
            shape=ir.Shape(tensor.shape.numpy()),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.model.graph.register_initializer(value)
        return value

    def before(self, node: ir.Node, op: str, *inputs: ir.Value | None, **attributes: int | list[int]) -> ir.Value:
        """A new node in front of another one."""
        return self._made(op, inputs, attributes, lambda new: _home(node).insert_before(node, new), node.name or op)

    def after(self, node: ir.Node, op: str, *inputs: ir.Value | None, **attributes: int | list[int]) -> ir.Value:
        """A new node behind another one."""
        return self._made(op, inputs, attributes, lambda new: _home(node).insert_after(node, new), node.name or op)

    def redirect(self, value: ir.Value, op: str, other: ir.Value, **attributes: int | list[int]) -> ir.Value:
        """Put ``op(value, other)`` in the place of a node's output; the result takes over its name if a graph gives it.

        Returns:
            The value that readers now see.
        """
        return self._in_place(value, op, (value, other), attributes)

    def choose(self, value: ir.Value, where: ir.Value, other: ir.Value) -> ir.Value:
        """Put another value in the place of a node's output, where a constant mask is true."""
        return self._in_place(value, "Where", (where, other, value), {})

    def replace(self, node: ir.Node, op: str, *inputs: ir.Value, **attributes: int | list[int]) -> None:
        """Let another operator make a node's first result."""
        old = node.outputs[0]
        made = self.after(node, op, *inputs, **attributes)
        made.type = old.type
        for user, index in list(old.uses()):
            user.replace_input_with(index, made)
        self.take_over(node, old, made)

    def _in_place(
        self, value: ir.Value, op: str, inputs: Sequence[ir.Value], attributes: dict[str, int | list[int]]
    ) -> ir.Value:
        node = value.producer()
        if node is None:
            raise ValueError(f"'{value.name}' is computed by no node")
        made = self.after(node, op, *inputs, **attributes)
        made.type, made.shape = value.type, value.shape
        adder = made.producer()
        for user, index in list(value.uses()):
            if user is not adder:
                user.replace_input_with(index, made)
        self.take_over(node, value, made)
        return made

    def take_over(self, node: ir.Node, old: ir.Value, made: ir.Value) -> None:
        """Where a graph gives out the old value, it gives out the new one under its name."""
        graph = _home(node)
        for index, output in enumerate(graph.outputs):
            if output is old:
                graph.outputs[index] = made
                made.name, old.name = old.name, made.name

    def _made(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, int | list[int]],
        place: Callable[[ir.Node], None],
        like: str,
    ) -> ir.Value:
        name = self.name(like)
        output = ir.Value(name=name)
        place(ir.Node("", op, inputs, ir.convenience.convert_attributes(attributes), outputs=[output], name=name))
        return output


def _home(node: ir.Node) -> ir.Graph:
    if not isinstance(node.graph, ir.Graph):
        raise TypeError("functions are inlined before anything is cut")
    return node.graph
