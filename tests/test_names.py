"""Names for what is put into a graph: nothing in the graph has them, in bodies neither."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import relu_audit
from relu_audit.model.names import Names

X = np.random.default_rng(0).standard_normal((300, 1, 3, 3)).astype(np.float32)


def model(*initializers: str) -> onnx.ModelProto:
    """A fused operator, a branch, and initializers of these names beside."""
    inner = helper.make_node("Relu", ["out"], ["inner"], name="a node inside")
    branch = helper.make_graph([inner], "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["out"], name="fused", domain="com.microsoft", activation="Relu"),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    ends = (("x", ["n", 1, 3, 3]),), (("y", None),)
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in end] for end in ends)
    held = [
        numpy_helper.from_array(np.array(True), "yes"),
        *(numpy_helper.from_array(np.zeros(1, np.float32), name) for name in initializers),
    ]
    held.insert(0, numpy_helper.from_array(np.array([1, -1], np.float32).reshape(2, 1, 1, 1), "w"))
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("name", ["x", "w", "out", "fused", "inner", "a node inside"])
def test_a_name_that_anything_has_is_not_given_again(name: str) -> None:
    names = Names(ir.from_proto(model()))
    assert names.unused(name) == f"{name}2"
    assert names.unused(name) == f"{name}3"
    assert names.unused("free") == "free"
    assert names.unused("free") == "free2"


def test_a_prefix_is_one_that_no_name_begins_with() -> None:
    names = Names(ir.from_proto(model("relu_audit/1", "relu_audit_")))
    assert names.unused_prefix("relu_audit") == "relu_audit__"
    assert names.unused_prefix("free") == "free"


def test_an_initializer_may_have_the_name_of_a_part_of_a_fused_operator() -> None:
    found = relu_audit.audit(model("out/FusedConv", "out/Conv", "out/Relu", "relu_audit/1/Identity"), X)
    first = found.sites[0]
    assert [int(count) for count in first.fired_samples] == [
        int((sign * X > 0).any(axis=(1, 2, 3)).sum()) for sign in (1, -1)
    ]
