"""The integer law: where no sum is rounded, a pruned network computes bit by bit what the original does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.prune_checks import assert_same_function, prune, session
from tests.prune_families import FAMILIES, Case

DENSITIES = (0.1, 0.3, 0.6)
ALIGNMENTS = (1, 8)

FAST = [
    Case(family, seed, DENSITIES[(number + seed) % 3], ALIGNMENTS[seed % 2])
    for number, family in enumerate(FAMILIES)
    for seed in range(4)
]
FAST.append(Case("mobilenet_with_squeeze", 110, 0.6, 1))  # what stays of a layer is a constant of what goes before it
FULL = [
    Case(family, seed, density, align)
    for family in FAMILIES
    for seed in range(100, 116)
    for density in DENSITIES
    for align in ALIGNMENTS
]


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network in float64."""
    double = onnx.ModelProto()
    double.CopyFrom(model)
    for index, weight in enumerate(model.graph.initializer):
        if weight.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(weight).astype(np.float64)
            double.graph.initializer[index].CopyFrom(numpy_helper.from_array(array, weight.name))
    for value in (*double.graph.input, *double.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return double


@pytest.mark.parametrize("family", FAMILIES)
def test_no_sum_is_rounded(family: str) -> None:
    case = Case(family, seed=5, density=0.3, align=1)
    model, _ = case.build()
    x = case.data(model, 0)["x"][:3]
    (reference,) = ReferenceEvaluator(in_double(model)).run(None, {"x": x.astype(np.float64)})
    for optimised in (False, True):
        (found,) = session(model, optimised=optimised).run(None, {"x": x})
        np.testing.assert_array_equal(np.asarray(found), reference)
    assert len(np.unique(reference)) > 8, "a network that says so little proves little"


def check(case: Case) -> None:
    """Equal on the data; and on fresh data where no unit is dead but the planted, which are dead on any."""
    model, planted = case.build()
    data = case.data(model, 0)
    judged = prune(model, data, align=case.align)
    assert {(tensor, unit) for tensor, units in planted.items() for unit in units} <= judged.dead
    fresh = [case.data(model, 1)] if len(judged.dead) == sum(map(len, planted.values())) else []
    assert_same_function(model, judged.pruned.model, [data, *fresh])
    if case.align == 1 and judged.dead:
        assert judged.dead_removed, "nothing was removed"


@pytest.mark.parametrize("case", FAST, ids=str)
def test_pruned_is_equal_bit_by_bit(case: Case) -> None:
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", FULL, ids=str)
def test_pruned_is_equal_bit_by_bit_everywhere(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("family", ["mlp", "vgg", "resnet_stream", "mobilenet"])
def test_aligned_weights_stay_aligned(family: str) -> None:
    case = Case(family, seed=1, density=0.6, align=8)
    model, _ = case.build()
    plan = prune(model, case.data(model, 0), align=8).pruned.plan
    assert plan.cuts
    assert not [cut for cut in plan.cuts if cut.size % 8 == 0 and (cut.size - len(cut.indices)) % 8]
