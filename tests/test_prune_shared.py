"""Vectors that serve several places, as exporters that write equal initializers once leave them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest

from tests.graphs import graph
from tests.prune_checks import Judged, assert_same_function, prune, weights
from tests.prune_kit import Numbers

X, Y = "float[n, 2, 5, 5] x", "float[n, 3, a, b] y"
DATA = {"x": np.random.default_rng(0).integers(-3, 4, (32, 2, 5, 5)).astype(np.float32)}
BODY = (
    "h = Conv (x, w0, b0)\n r = Relu (h)\n g = Conv (r, w1, z)\n q = Relu (g)\n k = Conv (q, w2, z)\n o = Relu (k)\n"
    "y = Conv (o, w3, b3)"
)


def layers(first: Sequence[int], second: Sequence[int]) -> onnx.ModelProto:
    """Two layers with one bias of zeros; in either some units have no weight above zero, and read rectified values."""
    some = Numbers(3)
    held = some.layer(0, 8, 2, 1, 1) | some.layer(3, 3, 8, 1, 1) | {"z": np.zeros(8, np.float32)}
    held |= {"w1": np.abs(some.weights(8, 8, 1, 1)), "w2": np.abs(some.weights(8, 8, 1, 1))}
    held["w1"][list(first)] *= -1
    held["w2"][list(second)] *= -1
    return graph(X, Y, BODY, held)


def pruned(model: onnx.ModelProto, align: int = 1) -> Judged:
    found = prune(model, DATA, align=align)
    assert_same_function(model, found.pruned.model, [DATA])
    return found


@pytest.mark.parametrize("swapped", [False, True], ids=["more behind", "more before"])
def test_a_vector_is_cut_otherwise_in_every_place(swapped: bool) -> None:
    sets = ((0, 3, 5), (1, 4))[:: 1 if swapped else -1]
    found = pruned(layers(*sets))
    assert found.dead_removed == found.dead
    assert len(found.dead) == 5
    plan = found.pruned.plan
    (part,) = plan.parts
    (cut,) = (cut for cut in plan.cuts if cut.initializer == "z")
    assert (part.initializer, part.size) == ("z", 8)
    assert {cut.indices, part.indices} == set(sets)
    left = weights(found.pruned.model)
    assert {left["z"].shape, left[part.name].shape} == {(5,), (6,)}


def test_what_is_equal_in_the_end_is_one_again() -> None:
    found = pruned(layers((0, 3), (1, 4)))
    assert found.dead_removed == found.dead
    assert not found.pruned.plan.parts
    assert weights(found.pruned.model)["z"].shape == (6,)


def test_what_loses_nothing_is_one_again() -> None:
    model = layers((), ())
    found = pruned(model)
    assert not found.pruned.plan.cuts
    assert not found.pruned.plan.parts
    assert weights(found.pruned.model).keys() == weights(model).keys()


def test_where_only_one_place_is_cut_the_other_keeps_the_whole() -> None:
    found = pruned(layers((), (1, 4)))
    (part,) = found.pruned.plan.parts
    assert sorted(weights(found.pruned.model)[name].shape for name in ("z", part.name)) == [(6,), (8,)]


def test_what_is_shared_is_counted_once() -> None:
    model = layers((0, 3), (1, 4))
    found = pruned(model)
    assert found.pruned.plan.before.parameters == sum(array.size for array in weights(model).values())
    assert found.pruned.plan.after.parameters == sum(array.size for array in weights(found.pruned.model).values())


def test_an_heir_of_a_vector_whose_first_reader_goes_has_its_name() -> None:
    """The first place that read the bias is dead as a whole and goes."""
    some = Numbers(4)
    body = (
        "g = Conv (x, w1, z)\n p = Abs (g)\n m = Neg (p)\n q = Relu (m)\n k = Conv (x, w2, z)\n o = Relu (k)\n"
        "a = Add (o, q)\n y = Conv (a, w3, b3)"
    )
    held = some.layer(3, 3, 8, 1, 1) | {"z": np.zeros(8, np.float32)}
    held |= {"w1": some.weights(8, 2, 1, 1), "w2": some.weights(8, 2, 1, 1)}
    held["w2"][[1, 4]] = 0
    found = pruned(graph(X, Y, body, held))
    assert found.dead_removed == found.dead
    assert not found.pruned.plan.parts
    assert weights(found.pruned.model)["z"].shape == (6,)
    assert [cut.indices for cut in found.pruned.plan.cuts if cut.initializer == "z"] == [(1, 4)]


def test_a_normalisation_that_reads_one_vector_four_times() -> None:
    some = Numbers(5)
    body = "h = Conv (x, w0, b0)\n r = Relu (h)\n"
    body += "n = BatchNormalization<epsilon = 0.0> (r, i, i, i, i)\n y = Conv (n, w1, b1)"
    held = some.layer(0, 8, 2, 1, 1, dead=(2, 6)) | some.layer(1, 3, 8, 1, 1) | {"i": np.ones(8, np.float32)}
    found = pruned(graph(X, Y, body, held))
    assert found.dead_removed == found.dead
    assert not found.pruned.plan.parts
