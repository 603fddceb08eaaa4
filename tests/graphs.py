"""Small graphs for tests, in ONNX's text syntax: eight readable lines instead of forty of builder calls."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from relu_audit.network.normalize import Network
from relu_audit.units import sampling
from relu_audit.units.inputs import GraphInput, graph_inputs
from relu_audit.units.overview import overview


def graph(
    inputs: str, outputs: str, body: str, weights: Mapping[str, np.ndarray] | None = None, opset: int = 18, ir: int = 8
) -> onnx.ModelProto:
    """A model from its inputs (``float[n, 4] x``), outputs and node lines, with weights by name.

    >>> m = graph("float[n, 4] x", "float[n, 2] y", "h = MatMul (x, w)\\n y = Relu (h)", {"w": np.eye(4, 2)})
    >>> [node.op_type for node in m.graph.node]
    ['MatMul', 'Relu']
    """
    text = f"""
        <ir_version: {ir}, opset_import: ["" : {opset}, "com.microsoft": 1, "ai.onnx.ml": 3]>
        g ({inputs}) => ({outputs}) {{ {body} }}
    """
    model = onnx.parser.parse_model(text)
    for name, array in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def mlp(
    widths: tuple[int, ...] = (6, 8, 8, 3), seed: int = 0, dead: Mapping[int, tuple[int, ...]] | None = None
) -> onnx.ModelProto:
    """A Gemm and Relu stack: input ``x`` [n, widths[0]], rectified tensors ``r0``, ``r1``, ...

    The units in ``dead``, by layer, get a bias that no input of standard size overcomes.
    """
    rng = np.random.default_rng(seed)
    lines, weights, value = [], {}, "x"
    for i, (a, b) in enumerate(pairwise(widths)):
        weights[f"w{i}"] = rng.standard_normal((a, b)).astype(np.float32)
        weights[f"b{i}"] = (rng.standard_normal(b) * 0.1).astype(np.float32)
        weights[f"b{i}"][list((dead or {}).get(i, ()))] = -1e3
        lines.append(f"g{i} = Gemm ({value}, w{i}, b{i})")
        value = f"g{i}"
        if i < len(widths) - 2:
            lines.append(f"r{i} = Relu (g{i})")
            value = f"r{i}"
    return graph(f"float[n, {widths[0]}] x", f"float[n, {widths[-1]}] {value}", "\n".join(lines), weights)


def chosen_inputs(network: Network) -> tuple[GraphInput, ...]:
    """The inputs of a graph with the axes of samples that an audit begins with."""
    best = sampling.choose(sampling.readings(overview(network)))
    return graph_inputs(network, best.axes if best else {})
