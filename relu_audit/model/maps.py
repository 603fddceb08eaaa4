"""Types that are maps, which onnx-ir has no types for: out of the way while a graph is changed, and back afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from relu_audit.model.protos import scopes


def take_map_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Leave inputs, outputs and values that are maps without a type; nodes that make or read them stay.

    Returns:
        The types of the main graph's inputs and outputs, by name.
    """
    graph = model.graph
    taken = {one.name: one.type for one in (*graph.input, *graph.output) if _holds_map(one.type)}
    found = {name: onnx.TypeProto.FromString(of.SerializeToString()) for name, of in taken.items()}
    for scope in scopes(model):
        ends = (*scope.input, *scope.output) if isinstance(scope, onnx.GraphProto) else ()
        for one in (*ends, *scope.value_info):
            if _holds_map(one.type):
                one.ClearField("type")
    return found


def give_map_types(graph: onnx.GraphProto, types: Mapping[str, onnx.TypeProto]) -> None:
    """Give inputs and outputs the types that they had."""
    for one in (*graph.input, *graph.output):
        if one.name in types:
            one.type.CopyFrom(types[one.name])


def _holds_map(kind: onnx.TypeProto) -> bool:
    while (name := kind.WhichOneof("value")) in ("sequence_type", "optional_type"):
        kind = getattr(kind, name).elem_type
    return name == "map_type"
