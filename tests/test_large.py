"""Models over 2 GiB, which no protobuf can hold: weights stay in files beside the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import relu_audit

WIDTH, LAYERS = 8192, 9


@pytest.mark.slow
def test_external_weights_over_two_gibibytes_are_audited(tmp_path: Path) -> None:
    size = WIDTH * WIDTH * 4
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(LAYERS * size)  # zeros that take no room on the disk
        file.write(np.ones((WIDTH, 1), np.float32).tobytes())  # the first row of the first layer lives
    nodes, weights, value = [], [], "x"
    for layer in range(LAYERS):
        weight = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
        weight.data_location = TensorProto.EXTERNAL
        for key, entry in (("location", "w.bin"), ("offset", layer * size), ("length", size)):
            weight.external_data.add(key=key, value=str(entry))
        weights.append(weight)
        nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
        value = f"r{layer}"
    described = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", WIDTH]) for n in ("x", value)]
    model = helper.make_model(
        helper.make_graph(nodes, "large", described[:1], described[1:], weights),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "m.onnx")
    audit = relu_audit.audit(tmp_path / "m.onnx", {"x": np.ones((4, WIDTH), np.float32)})
    assert (tmp_path / "w.bin").stat().st_size > 2 << 30
    assert [len(site.dead) for site in audit.sites] == [0] + [WIDTH] * (LAYERS - 1)
    assert audit.model.parameters == LAYERS * WIDTH * WIDTH
