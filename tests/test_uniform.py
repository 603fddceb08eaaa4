"""Values that are one number throughout, at the ends of what integers hold."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort  # noqa: TID251 - the operator itself is asked
import pytest
from onnx import TensorProto, helper

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.values.signs import least_is_zero
from relu_audit.values.uniform import uniform
from tests.graphs import graph

INTEGERS = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16}


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("end", ["min", "max"])
@pytest.mark.parametrize("beyond", [0, 1])
def test_a_number_that_an_integer_holds_is_known_and_no_other(kind: str, end: str, beyond: int) -> None:
    info = np.iinfo(kind)
    number = int(getattr(info, end)) + (beyond if end == "max" else -beyond)
    tensor = helper.make_tensor("value", TensorProto.FLOAT, [1], [number])
    model = graph("int64[r] sizes", f"{kind}[n, m] y", "f = ConstantOfShape (sizes)\n y = Cast <to = 1> (f)", {})
    model.graph.node[0].attribute.append(helper.make_attribute("value", tensor))
    model.graph.node[1].attribute[0].i = INTEGERS[kind]
    network = normalize(open_checkpoint(model))
    found = uniform(network, network.model.graph.outputs[0])
    assert found == (None if beyond else number)
    if not beyond:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        assert (session.run(None, {"sizes": np.array([2, 3])})[0] == number).all()


@pytest.mark.parametrize(
    ("zero", "least"),
    [
        (np.array(0, np.uint8), True),
        (np.array(1, np.uint8), False),
        (np.array(-128, np.int8), True),
        (np.array(-127, np.int8), False),
        (np.array([0, 0], np.uint8), True),
        (np.array([0, 1], np.uint8), False),
        (np.array(0, np.float32), False),
    ],
)
@pytest.mark.parametrize("typed", [True, False])
def test_a_zero_point_is_the_least_code_whether_its_type_is_declared_or_not(
    zero: np.ndarray, least: bool, typed: bool
) -> None:
    model = graph("float[2, n] x", "uint8[2, n] y", "y = QuantizeLinear <axis = 0> (x, s, z)", {"z": zero})
    network = normalize(open_checkpoint(model))
    node = next(iter(network.model.graph))
    if not typed:
        value = node.inputs[2]
        assert value is not None
        value.dtype = None
    assert least_is_zero(network, node, 2) is least
