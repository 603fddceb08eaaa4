"""A mean over what a mask selects: a dead unit goes if the divisor cannot be zero; else 0 / 0 is the reason."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.graphs import graph
from tests.prune_checks import Feed, assert_same_function, prune
from tests.prune_kit import DEAD, Numbers, whole

LAYER = "h = MatMul (x, w0)\n hb = Add (h, b0)\n r = Relu (hb)\n"
MEAN = "s = Mul (r, m)\n t = ReduceSum<keepdims = 0> (s, one)\n d = Div (t, c)\n"

PLAIN = "m = Identity (mask)\n", "c = ReduceSum<keepdims = 0> (m, one)\n"
CAST = "m = Cast<to = 1> (mask)\n"

BOUNDED = {
    "largest": ("float", (0, 1, 2, 4), PLAIN[0], "k = ReduceSum<keepdims = 0> (m, one)\n c = Max (k, unit)\n"),
    "clipped": ("float", (0, 1, 2, 4), PLAIN[0], "k = ReduceSum<keepdims = 0> (m, one)\n c = Clip (k, unit)\n"),
    "a number added to what cannot be negative": (
        "bool",
        (0, 1, 3),
        CAST,
        "k = ReduceSum<keepdims = 0> (m, one)\n c = Add (k, unit)\n",
    ),
    "whole numbers": (
        "int64",
        (0, 1, 2, 4),
        CAST,
        "k = ReduceSum<keepdims = 0> (mask, one)\n i = Max (k, ones)\n c = Cast<to = 1> (i)\n",
    ),
    "compared": (
        "bool",
        (0, 1, 3),
        CAST,
        "n = Not (mask)\n o = Not (n)\n f = Cast<to = 1> (o)\n"
        "k = ReduceSum<keepdims = 0> (f, one)\n c = Sum (unit, k)\n",
    ),
}
OPEN = {
    "the mask's sum": ("float", (0, 1, 2, 4), *PLAIN),
    "a number added to what may be negative": (
        "float",
        (0, 1, 3),
        PLAIN[0],
        "k = ReduceSum<keepdims = 0> (m, one)\n c = Add (k, unit)\n",
    ),
    "a number below the least": (
        "float",
        (0, 1, 2, 4),
        PLAIN[0],
        "k = ReduceSum<keepdims = 0> (m, one)\n c = Max (k, none)\n",
    ),
    "fractions cast to whole numbers and back": (
        "float",
        (1, 2, 4),
        PLAIN[0],
        "k = ReduceSum<keepdims = 0> (m, one)\n g = Max (k, half)\n i = Cast<to = 7> (g)\n c = Cast<to = 1> (i)\n",
    ),
}


def built(kind: str, masked: str, divisor: str) -> onnx.ModelProto:
    some = Numbers(1)
    held = {
        "w0": some.weights(6, 8),
        "b0": some.bias(8, DEAD),
        "w1": some.weights(8, 3),
        "b1": some.bias(3),
        "one": whole(1),
        "ones": whole(1),
        "unit": np.ones(1, np.float32),
        "half": np.full(1, 0.5, np.float32),
        "none": np.zeros(1, np.float32),
    }
    body = f"{LAYER} {masked} {divisor} {MEAN} y = Gemm (d, w1, b1)"
    return graph(f"float[n, 4, 6] x, {kind}[n, 4, 1] mask", "float[n, 3] y", body, held)


def fed(kind: str, counts: tuple[int, ...], seed: int) -> Feed:
    """Samples each of which selects so many of the four entries: all sums and quotients are exact."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(counts, 24)
    mask = (np.arange(4) < chosen[:, None])[:, :, None].astype({"float": np.float32}.get(kind, kind))
    return {"x": rng.integers(-4, 5, (24, 4, 6)).astype(np.float32), "mask": mask}


def judged(case: tuple[str, tuple[int, ...], str, str], align: int, **options: bool) -> tuple[int, set[str], list[str]]:
    """Units that go and reasons of the others; the function is the same where nothing is selected too."""
    kind, counts, masked, divisor = case
    model, data = built(kind, masked, divisor), fed(kind, tuple(n for n in counts if n), 0)
    found = prune(model, data, align=align, **options)
    assert len(found.dead) == len(DEAD)
    fresh = fed(kind, counts, 1)
    alone = [{name: array[i : i + 1] for name, array in fresh.items()} for i in range(8)]
    assert_same_function(model, found.pruned.model, [data, fresh, *alone])
    return len(found.dead_removed), set(found.kept.values()), [one.detail for one in found.pruned.plan.kept]


@pytest.mark.parametrize("case", BOUNDED.values(), ids=BOUNDED)
def test_units_go_where_the_divisor_is_greater_than_zero(case: tuple[str, tuple[int, ...], str, str]) -> None:
    assert judged(case, 1)[0] == len(DEAD)
    assert judged(case, 8)[1] == {"alignment"}


@pytest.mark.parametrize("case", OPEN.values(), ids=OPEN)
def test_units_stay_where_zero_may_be_divided_by_zero(case: tuple[str, tuple[int, ...], str, str]) -> None:
    for align in (1, 8):
        removed, slugs, details = judged(case, align)
        assert (removed, slugs) == (0, {"zero-divisor"})
        assert all("0 / 0" in detail and "Div 'd'" in detail for detail in details)
    judged(case, 1, scatter=True)
