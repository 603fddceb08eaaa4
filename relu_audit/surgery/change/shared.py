"""Vectors that serve several places: each place gets one of its own while a graph is worked on.

Exporters write equal initializers once, all the biases of zero and variances of one of a new network as one. They are
equal by accident, and a channel may go in one place and stay in another. What is still equal in the end is one again.
A matrix that serves several places stays one: to have it twice would cost more than what is cut gives back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.network.normalize import Network
from relu_audit.records.pruning import Cut, Part
from relu_audit.surgery.change.rewrite import Written

GONE = ""
"""In place of a name: the initializer is no more, and another one has its name."""


@dataclass(frozen=True)
class Shared:
    """What was parted: by the name of each copy the initializer that it was."""

    copies: Mapping[str, str] = field(default_factory=dict[str, str])

    def families(self) -> Iterator[tuple[str, list[str]]]:
        """Every initializer that was parted, with its copies."""
        found: dict[str, list[str]] = {}
        for copy, name in self.copies.items():
            found.setdefault(name, []).append(copy)
        yield from found.items()


def part(network: Network) -> tuple[Network, Shared]:
    """Give every reader of a vector but the first one its own."""
    graph, editor = network.model.graph, Editor(network.model)
    weights, copies = dict(network.weights), dict[str, str]()
    for name, value in list(graph.initializers.items()):
        if not _is_vector(value) or value.is_graph_input() or value.is_graph_output():
            continue
        for node, index in list(value.uses())[1:]:
            copy = ir.Value(name=editor.name(name), shape=value.shape, type=value.type, const_value=value.const_value)
            graph.register_initializer(copy)
            node.replace_input_with(index, copy)
            weights[copy], copies[copy.name or ""] = weights.get(value, name), name
    return replace(network, weights=weights), Shared(copies)


def _is_vector(value: ir.Value) -> bool:
    shape = _shape(value)
    return max(shape, default=1) > 1 and math.prod(shape) == max(shape)


def _shape(value: ir.Value) -> tuple[int, ...]:
    return () if value.const_value is None else tuple(value.const_value.shape.numpy())


def reunite(model: ir.Model, shared: Shared, written: Written) -> tuple[Written, tuple[Part, ...]]:
    """Make one of copies that are equal after all.

    Args:
        model: The model that was cut.
        shared: What was parted before.
        written: What was done to its initializers, the copies among them.

    Returns:
        The same under the names that the original and the result have for them, and what is still parted.
    """
    now = _one_again(model, shared)
    cuts: dict[tuple[str, int], Cut] = {}  # of those that are one again any: they are equal
    for cut in written.cuts:
        if name := now.get(cut.initializer, cut.initializer):
            cuts.setdefault((name, cut.axis), msgspec.structs.replace(cut, initializer=name))
    folds = [
        msgspec.structs.replace(one, initializer=now.get(one.initializer, one.initializer)) for one in written.folds
    ]
    parts = [
        _part(name, was, _shape(model.graph.initializers[name]), [cut for (n, _), cut in cuts.items() if n == name])
        for name, was in shared.copies.items()
        if name in model.graph.initializers
    ]
    left = [cut for (name, _), cut in cuts.items() if name not in shared.copies]
    return Written(left, [*dict.fromkeys(one for one in folds if one.initializer)]), tuple(parts)


def _part(name: str, was: str, shape: tuple[int, ...], cuts: list[Cut]) -> Part:
    for cut in cuts:  # a vector has one axis to be cut along
        return Part(name=name, initializer=was, axis=cut.axis, indices=cut.indices, size=cut.size)
    axis = shape.index(max(shape))
    return Part(name=name, initializer=was, axis=axis, indices=(), size=shape[axis])


def _one_again(model: ir.Model, shared: Shared) -> dict[str, str]:
    """For every initializer that is no longer called what it was the name of the one in its place."""
    initializers, now = model.graph.initializers, dict[str, str]()
    for name, copies in shared.families():
        first: dict[tuple[object, ...], ir.Value] = {}
        for member in [one for one in (name, *copies) if one in initializers]:
            value = initializers[member]
            stays = first.setdefault(_content(value), value)
            if stays is not value:
                for node, index in list(value.uses()):
                    node.replace_input_with(index, stays)
                del initializers[member]
                now[member] = stays.name or ""
        heir = next(iter(first.values()), None)
        if heir is not None and name not in initializers:
            old = heir.name or ""
            heir.name = name
            now = {key: name if one == old else one for key, one in now.items()} | {old: name, name: GONE}
    return now


def _content(value: ir.Value) -> tuple[object, ...]:
    tensor = value.const_value
    return () if tensor is None else (tensor.dtype, *_shape(value), tensor.tobytes())
