"""How many parameters a model has: wherever the file keeps them, whatever their type, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import relu_audit
from tests.graphs import graph, mlp
from tests.prune_families import FAMILIES, Case
from tests.test_scopes import if_model

W = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
X = {"x": np.random.default_rng(1).standard_normal((32, 6)).astype(np.float32)}


def counted(model: onnx.ModelProto, data: object = None) -> int:
    """What an audit counts, which has to be what a pruning starts from."""
    data = X if data is None else data
    audit = relu_audit.audit(model, data)
    plan = relu_audit.prune(model, audit, data=data, verify=False).plan
    assert plan.before.parameters == audit.model.parameters
    return audit.model.parameters


def in_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with every initializer in a Constant node."""
    nodes = [helper.make_node("Constant", [], [w.name], value=w) for w in model.graph.initializer]
    rest = [*model.graph.node]
    del model.graph.initializer[:]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    return model


def test_weights_in_nodes_count_like_initializers() -> None:
    assert counted(mlp((6, 8, 3))) == counted(in_nodes(mlp((6, 8, 3)))) == 6 * 8 + 8 + 8 * 3 + 3


def test_weights_in_the_bodies_of_an_if_count() -> None:
    model = if_model()
    weights = {w.name: w for w in model.graph.initializer}
    del model.graph.initializer[:]
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                (own,) = {name for inner in attribute.g.node for name in inner.input} & weights.keys()
                attribute.g.node.insert(0, helper.make_node("Constant", [], [own], value=weights[own]))
    data = {"x": X["x"][:, :4], "flag": np.int64(1)}
    assert counted(model, data) == 2 * 4 * 6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_width_of_floating_point_counts(dtype: type) -> None:
    model = graph(
        "float[n, 6] x",
        "float[n, 8] y",
        "v = Cast<to = 1> (w)\n h = MatMul (x, v)\n y = Relu (h)",
        {"w": W.astype(dtype)},
    )
    assert counted(model) == W.size


def test_sizes_and_indices_are_no_parameters() -> None:
    text = "h = MatMul (x, w)\n r = Relu (h)\n y = Reshape (r, shape)"
    shape = np.array([-1, 2, 4])
    assert counted(graph("float[n, 6] x", "float[n, 2, 4] y", text, {"w": W, "shape": shape})) == W.size


def test_codes_and_their_biases_count_also_where_nodes_hold_them() -> None:
    text = "w = DequantizeLinear (wq, s, z)\n b = DequantizeLinear (bq, s)\n h = Gemm (x, w, b)\n y = Relu (h)"
    weights = {
        "s": np.float32(0.1),
        "z": np.int8(0),
        "wq": np.random.default_rng(2).integers(-9, 9, (6, 8)).astype(np.int8),
        "bq": np.arange(8, dtype=np.int32),
    }
    model = graph("float[n, 6] x", "float[n, 8] y", text, weights)
    assert counted(model) == 6 * 8 + 8 + 2
    assert counted(in_nodes(model)) == 6 * 8 + 8 + 2


def test_what_serves_several_places_counts_once() -> None:
    square = W[:6, :6].copy()
    text = "h = MatMul (x, w)\n r = Relu (h)\n k = MatMul (r, w)\n y = Relu (k)"
    assert counted(graph("float[n, 6] x", "float[n, 6] y", text, {"w": square})) == 36


def test_a_weight_within_a_function_counts_once_however_often_it_is_called() -> None:
    square = numpy_helper.from_array(W[:6, :6].copy(), "w")
    function = helper.make_function(
        "own",
        "Layer",
        ["a"],
        ["c"],
        [
            helper.make_node("Constant", [], ["w"], value=square),
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
        ],
        [helper.make_opsetid("", 18)],
    )
    model = graph("float[n, 6] x", "float[n, 6] y", "y = Identity (x)", {})
    del model.graph.node[:]
    model.graph.node.extend(
        [helper.make_node("Layer", ["x"], ["r"], domain="own"), helper.make_node("Layer", ["r"], ["y"], domain="own")]
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert counted(model) == 36


@pytest.mark.parametrize("family", FAMILIES)
def test_pruning_starts_from_what_the_audit_counts(family: str) -> None:
    case = Case(family, seed=3, density=0.3, align=1)
    model, _ = case.build()
    counted(model, case.data(model, 0))
