"""Additions to the results of linear operators: into a bias where there is one, else behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.records.pruning import Fold
from relu_audit.surgery.operators.laws import Law
from relu_audit.surgery.runs.survey import Survey


@dataclass(frozen=True)
class Addition:
    """What a node's result gains: along which axis, how much for every entry that stays, and what was folded."""

    node: ir.Node
    axis: int
    level: np.ndarray
    note: str


class Biases:
    """Writes additions into a graph."""

    def __init__(self, survey: Survey, editor: Editor) -> None:
        self.survey, self.editor = survey, editor
        self.folds: list[Fold] = []

    def add(self, additions: Iterable[Addition]) -> list[Fold]:
        """Add to biases: the node's own, the one that is added next, or a new one."""
        for one in additions:
            law = self.survey.law(one.node)
            if law is None or self._into_bias(one, law) or self._into_next(one):
                continue
            value = one.node.outputs[0]
            rank = len(self.survey.atoms.shape(value) or ())
            shape = [1] * (rank - one.axis)
            shape[0] = -1
            dtype = np.dtype((value.dtype or ir.DataType.FLOAT).numpy())
            constant = self.editor.constant(one.level.astype(dtype).reshape(shape), f"{one.node.name or 'sum'}_bias")
            self.editor.redirect(value, "Add", constant)
            self.folds.append(Fold(initializer=constant.name or "", note=one.note))
        return self.folds

    def _into_bias(self, one: Addition, law: Law) -> bool:
        index, node = law.bias, one.node
        if index is None:
            return False
        scale = node.attributes[law.bias_scale].as_float() if law.bias_scale in node.attributes else 1.0
        bias = node.inputs[index] if index < len(node.inputs) else None
        if bias is not None and (bias.const_value is None or bias.is_graph_input()):
            return False
        if scale == 0:
            return False
        rank = len(self.survey.atoms.shape(node.outputs[0]) or ())
        spread = [-1] + [1] * (rank - 1 - one.axis if law.bias_spreads else 0)
        dtype = np.dtype((node.outputs[0].dtype or ir.DataType.FLOAT).numpy())
        old = np.zeros(1, dtype) if bias is None or bias.const_value is None else bias.const_value.numpy()
        new = (old.astype(np.float64) + one.level.reshape(spread) / scale).astype(old.dtype)
        self._replace(node, index, bias, new, one.note)
        return True

    def _into_next(self, one: Addition) -> bool:
        value = one.node.outputs[0]
        uses = list(value.uses())
        rank = len(self.survey.atoms.shape(value) or ())
        if len(uses) != 1 or value.is_graph_output() or one.axis != rank - 1:
            return False
        node, index = uses[0]
        law = self.survey.law(node)
        other = node.inputs[1 - index] if len(node.inputs) == 2 else None
        if law is None or not law.adds or other is None or other.const_value is None or other.is_graph_input():
            return False
        old = other.const_value.numpy()
        if old.ndim > rank:
            return False
        new = (old.astype(np.float64) + one.level).astype(old.dtype)
        self._replace(node, 1 - index, other, new, one.note)
        return True

    def _replace(self, node: ir.Node, index: int, old: ir.Value | None, new: np.ndarray, note: str) -> None:
        """Give a node new numbers: in place where nobody else reads the old ones."""
        alone = old is not None and len(list(old.uses())) == 1 and not old.is_graph_output()
        if old is not None and alone:
            old.const_value = ir.Tensor(new, name=old.name)
            old.shape = ir.Shape(new.shape)
            made = old
        else:
            like = (None if old is None else old.name) or f"{node.name or node.op_type}_bias"
            made = self.editor.constant(new, like)
            while len(node.inputs) <= index:
                node.resize_inputs(len(node.inputs) + 1)
            node.replace_input_with(index, made)
        self.folds.append(Fold(initializer=made.name or "", note=note))
