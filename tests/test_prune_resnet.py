"""ResNet-18 with dead units behind all seventeen rectifiers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.networks import resnet18
from tests.prune_checks import assert_same_function, prune

INSIDE = tuple(range(8))
STREAM = tuple(range(16, 24))
REVIVED = (40, 41)
"""Dead behind the first sum of a stage only."""


def planted() -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
    """The network for images of 32 pixels, and the dead units by rectified tensor."""
    model = resnet18()
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 32
    writers = {node.output[0]: node for node in model.graph.node}
    weights = {weight.name: weight for weight in model.graph.initializer}
    dead: dict[str, tuple[int, ...]] = {}
    sums = 0
    for node in [node for node in model.graph.node if node.op_type == "Relu"]:
        writer = writers[node.input[0]]
        units = INSIDE if dead else STREAM
        if writer.op_type == "Add":
            writer = writers[writer.input[0]]
            units = STREAM if sums % 2 else STREAM + REVIVED
            sums += 1
        bias = weights[writer.input[2]]
        array = numpy_helper.to_array(bias).copy()
        array[list(units)] = -1e5
        bias.CopyFrom(numpy_helper.from_array(array, bias.name))
        dead[node.output[0]] = units
    return model, dead


@pytest.mark.parametrize("align", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_dead_units_go_from_all_seventeen_rectifiers(align: int) -> None:
    model, dead = planted()
    data = {"input": np.random.default_rng(0).standard_normal((8, 3, 32, 32)).astype(np.float32)}
    judged = prune(model, data, align=align)
    assert len(dead) == 17
    assert {(tensor, unit) for tensor, units in dead.items() for unit in units} <= judged.dead
    agreed = {(tensor, unit) for tensor, units in dead.items() for unit in units if unit not in REVIVED}
    if align == 1:
        assert agreed <= judged.removed
    else:  # chance kills more; which of the dead stay for alignment is open, but a multiple of eight goes
        gone = Counter(tensor for tensor, _ in judged.dead_removed)
        assert all(gone[tensor] >= 8 for tensor in dead)
    revived = {(tensor, unit) for tensor, units in dead.items() for unit in set(units) & set(REVIVED)}
    assert all(unit in judged.removed or judged.kept[unit] for unit in revived)
    assert_same_function(model, judged.pruned.model, [data], limit=1e-5)
