"""Which values no data takes part in: what is computed from parameters, and from sizes of the data alone."""

from __future__ import annotations

import onnx_ir as ir

from relu_audit.model.scopes import bodies, walk
from relu_audit.network.normalize import Network

_SIZES = ("Shape", "Size")
"""Operators that read nothing of a value but how large it is."""


def without_data(network: Network) -> set[ir.Value]:
    """The values that are the same whatever numbers the model is fed: a weight behind a Relu is no layer."""
    found = set(network.weights)
    for node in (step.node for step in walk(network.model.graph)):
        inputs = [value for value in node.inputs if value is not None]
        fixed = bool(inputs) and (node.op_type in _SIZES or found.issuperset(inputs))
        if fixed and not bodies(node):
            found.update(node.outputs)
    return found
