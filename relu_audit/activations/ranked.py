"""Rectifiers of the largest values alone, which are put back where they were: the units are the places.

A sparse autoencoder keeps the largest of its latents (TopK), rectifies those, and scatters them into zeros. What is
rectified is in order of size, so that its places are no units; those of what comes back are.
"""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from relu_audit.activations import flat
from relu_audit.activations.computed import rectifying
from relu_audit.activations.readings import Reading, Rectifies
from relu_audit.activations.spelt import Functions
from relu_audit.network.normalize import sizes
from relu_audit.values.signs import key
from relu_audit.values.uniform import uniform

_SCATTERS = (("", "ScatterElements"), ("", "Scatter"))
_PASSING = (("", "Identity"), ("", "Cast"))


def scattered(functions: Functions, node: ir.Node) -> Reading:
    """Rectifies where it puts the rectified largest of a layer back among zeros."""
    data, indices, updates = node.inputs[:3]
    function = None if updates is None else updates.producer()
    made = None if function is None else functions.whole(function)
    chosen = None if made is None else made.base.producer()
    if made is None or chosen is None or key(chosen) != ("", "TopK") or made.base is not chosen.outputs[0]:
        return None
    found, before = flat.flat(made.curve), chosen.inputs[0]
    into_zeros = data is not None and uniform(functions.network, data) == 0 and not _text(node, "reduction")
    if found is None or before is None or not into_zeros or _passed(indices) is not chosen.outputs[1]:
        return None
    if not _same_axis(before, chosen, node):
        return None
    reading = rectifying(made, found)
    return replace(
        reading,
        spelling=f"{reading.spelling} of TopK",
        source=None,
        nodes=(*made.nodes, node),
        like=before,
    )


def goes_back(functions: Functions, node: ir.Node) -> bool:
    """Whether a rectifier's result goes nowhere but back to where it was taken from."""
    value = node.outputs[0]
    users = [user for user, _ in value.uses()]
    back = len(users) == 1 and not value.is_graph_output() and key(users[0]) in _SCATTERS
    return back and isinstance(scattered(functions, users[0]), Rectifies)


def _passed(value: ir.Value | None) -> ir.Value | None:
    """What a value is behind conversions of its type."""
    producer = None if value is None else value.producer()
    while producer is not None and key(producer) in _PASSING:
        value = producer.inputs[0]
        producer = None if value is None else value.producer()
    return value


def _same_axis(before: ir.Value, chosen: ir.Node, node: ir.Node) -> bool:
    """Whether what was taken along an axis goes back along that axis."""
    shape, other = sizes(before), None if node.inputs[0] is None else sizes(node.inputs[0])
    taken, put = chosen.attributes.get("axis"), node.attributes.get("axis")
    one, two = -1 if taken is None else taken.as_int(), 0 if put is None else put.as_int()
    if shape is None or (other is not None and len(other) != len(shape)):
        return False
    return one % len(shape) == two % len(shape)


def _text(node: ir.Node, name: str) -> str:
    attribute = node.attributes.get(name)
    return "" if attribute is None else attribute.as_string().removesuffix("none")
