"""A layer that is to be left alone stays with all of its units, whoever reads it, and whatever goes around it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest

import relu_audit
from tests.graphs import graph
from tests.prune_checks import assert_same_function
from tests.test_scopes import body

RNG = np.random.default_rng(5)
DATA = {"x": RNG.standard_normal((64, 6)).astype(np.float32)}


def gemm(index: int, rows: int, columns: int, dead: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    bias = np.ones(columns, np.float32)
    bias[list(dead)] = -1000
    return {f"w{index}": RNG.standard_normal((rows, columns)).astype(np.float32), f"b{index}": bias}


def layer(index: int, source: str) -> str:
    return f"h{index} = Gemm ({source}, w{index}, b{index})\n r{index} = Relu (h{index})\n"


Wanted = Mapping[str, int]
"""How many units are left, by rectified value."""

UNREAD = graph(
    "float[n, 6] x",
    "float[n, 3] y",
    layer(0, "x") + layer(1, "r0") + "y = Gemm (r0, w2, b2)",
    gemm(0, 6, 8, (1, 2)) | gemm(1, 8, 8, (3, 4)) | gemm(2, 8, 3),
)
"""Nobody reads ``r1``, which reads ``r0``."""

DEAD_BEHIND = graph(
    "float[n, 6] x",
    "float[n, 8] y",
    layer(0, "x") + layer(1, "r0") + layer(2, "r1") + "s = Gemm (x, w3, b3)\n y = Add (s, r2)",
    gemm(0, 6, 8) | gemm(1, 8, 8) | gemm(2, 8, 8, tuple(range(8))) | gemm(3, 6, 8),
)
"""``r2`` is dead as a whole, so that nobody needs ``r1``."""

ZERO_WEIGHTS = graph(
    "float[n, 6] x",
    "float[n, 3] y",
    layer(0, "x") + "c = Concat<axis = 1> (r0, x)\n y = Gemm (c, w1, b1)",
    gemm(0, 6, 8, (1,))
    | {"w1": np.vstack([np.zeros((8, 3)), np.ones((6, 3))]).astype(np.float32), "b1": np.ones(3, np.float32)},
)
"""Whoever reads ``r0`` multiplies it by zero, and reads something else beside it."""

CASES = {
    "nobody reads it": (UNREAD, "r1"),
    "somebody else reads what it reads": (UNREAD, "r0"),
    "what reads it is dead as a whole": (DEAD_BEHIND, "r1"),
    "what reads what reads it is": (DEAD_BEHIND, "r0"),
    "it is dead as a whole itself": (DEAD_BEHIND, "r2"),
    "it counts for nothing": (ZERO_WEIGHTS, "r0"),
}


def width(model: onnx.ModelProto, tensor: str) -> int | None:
    """How many units a layer has, by the weights that bear it; None if it is gone."""
    if not any(tensor in node.output for node in model.graph.node):
        return None
    return next(w.dims[-1] for w in model.graph.initializer if w.name == f"w{tensor[1:]}")


@pytest.mark.parametrize("options", [{}, {"scatter": True, "merge_linear": True}], ids=["plain", "all"])
@pytest.mark.parametrize(("model", "spared"), CASES.values(), ids=CASES.keys())
def test_a_spared_layer_keeps_all_its_units(model: onnx.ModelProto, spared: str, options: dict[str, bool]) -> None:
    audit = relu_audit.audit(model, DATA)
    done = relu_audit.prune(model, audit, data=DATA, align=1, spare=[spared], **options)  # type: ignore[arg-type]
    onnx.checker.check_model(done.model, full_check=True)
    assert width(done.model, spared) == 8
    assert_same_function(model, done.model, [DATA], limit=1e-5)
    units = {site.tensor: site for site in relu_audit.audit(done.model, DATA).sites}
    before = {site.tensor: site for site in audit.sites}
    assert units[spared].fired_samples == before[spared].fired_samples


@pytest.mark.parametrize(("model", "spared"), CASES.values(), ids=CASES.keys())
def test_each_of_these_layers_loses_units_where_it_is_not_spared(model: onnx.ModelProto, spared: str) -> None:
    done = relu_audit.prune(model, relu_audit.audit(model, DATA), data=DATA, align=1)
    assert width(done.model, spared) != 8


def test_an_unread_layer_in_a_branch_stays_if_it_is_spared() -> None:
    text = "{0} = Gemm (x, w0, b0)\n h = Gemm (x, w1, b1)\n r = Relu (h)"
    branches = ", ".join(
        body(
            f"{name}_branch",
            text.format(name).replace("h =", f"h{name} =").replace("(h)", f"(h{name})").replace("r =", f"r{name} ="),
            outputs=f"float[n, 3] {name}",
        )
        for name in ("then", "else")
    )
    model = graph(
        "float[n, 6] x, bool c", "float[n, 3] y", f"y = If (c) <{branches}>", gemm(0, 6, 3) | gemm(1, 6, 8, (2, 4))
    )
    data = DATA | {"c": np.bool_(True)}
    audit = relu_audit.audit(model, data)
    (site,) = audit.sites
    kept = relu_audit.prune(model, audit, data=data, align=1, spare=[site.tensor]).model
    assert [list(w.dims) for w in kept.graph.initializer if w.name == "w1"] == [[6, 8]]
    assert [s.units for s in relu_audit.audit(kept, data).sites] == [8]
    assert not relu_audit.audit(relu_audit.prune(model, audit, data=data, align=1).model, data).sites
