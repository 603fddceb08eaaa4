"""What a model costs before and after: elements, bytes, multiplications."""

from __future__ import annotations

import math

import msgspec
import onnx_ir as ir

from relu_audit.records import Cost
from relu_audit.surgery.facts import Facts
from relu_audit.surgery.ground import Ground
from relu_audit.surgery.solve import Solution


def cost(ground: Ground, facts: Facts, solution: Solution | None) -> Cost:
    """Elements and bytes of the model as it stands, and the multiplications that stay."""
    total = 0
    for mix in facts.mixes:
        if mix.weight is None:
            continue  # a product of two activations has no weights
        read = facts.signatures[mix.node]
        lengths: dict[tuple[ir.Value, int], int] = {}
        for place in read.places:
            atoms = ground.atoms.along(place.value, place.axis)
            shape = ground.shapes.get(place.value)
            if shape is None:
                return msgspec.structs.replace(size(ground.network.model), multiply_adds=None)
            gone = 0 if solution is None or atoms is None else int(solution.removed[atoms].sum())
            lengths[place.value, place.axis] = shape[place.axis] - gone
        weight = mix.node.inputs[mix.weight]
        output = mix.node.outputs[0]
        made = math.prod(
            lengths.get((output, axis), length) for axis, length in enumerate(ground.shapes.get(output, ()))
        )
        held = math.prod(
            length if weight is None else lengths.get((weight, axis), length)
            for axis, length in enumerate(() if weight is None else ground.shapes.get(weight, ()))
        )
        wide = [p for p in read.places if p.output == 0 and mix.results.size == p.size and p.size]
        total += made * held // max(lengths[wide[0].value, wide[0].axis] if wide else 1, 1)
    samples = next(iter(ground.rehearsal.feeds.values())).shape[:1] or (1,)
    return msgspec.structs.replace(size(ground.network.model), multiply_adds=total // max(samples[0], 1))


def size(model: ir.Model) -> Cost:
    """Elements and bytes of a model's initializers."""
    tensors = [v.const_value for graph in model.graphs() for v in graph.initializers.values() if v.const_value]
    return Cost(
        parameters=sum(math.prod(t.shape.numpy()) for t in tensors if t.dtype.is_floating_point()),
        multiply_adds=None,
        bytes=sum(t.nbytes for t in tensors),
    )
