"""Ranks that only an operator's weights tell, as behind an If whose branches differ in rank; judged by running."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import relu_audit
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize, sizes
from tests.graphs import graph
from tests.prune_checks import session

RNG = np.random.default_rng(0)
EITHER = (
    "s = If (flag) <then_branch = some () => (t) { t = Identity (x) },"
    " else_branch = other () => (e) { e = Squeeze (x, front) }>\n"
)
"""``x`` as it is, or without its first axis: the rank of ``s`` is not known."""


def weights(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return RNG.integers(-2, 3, shape).astype(dtype)


def behind_an_if(
    shape: tuple[int, ...], body: str, held: Mapping[str, np.ndarray], opset: int = 20, kind: str = "float"
) -> onnx.ModelProto:
    inputs = f"{kind}[{','.join(map(str, shape))}] x, bool flag"
    return graph(inputs, "float[] y", EITHER + body, {"front": np.array([0]), **held}, opset=opset)


CODES = {name: np.float32(1) for name in ("sx", "sw", "sy")} | {name: np.uint8(0) for name in ("zx", "zw", "zy")}
CASES = [
    ((1, 2, 9), "r = Conv (s, w)", {"w": weights(5, 2, 3)}, (None, 5, None)),
    ((1, 2, 9, 9), "r = Conv<strides = [2, 2]> (s, w, b)", {"w": weights(5, 2, 3, 3), "b": weights(5)}, (None, 5)),
    ((1, 2, 9, 9, 9), "r = Conv (s, w)", {"w": weights(5, 2, 1, 3, 3)}, (None, 5)),
    ((1, 6, 9, 9), "r = Conv<group = 3> (s, w)", {"w": weights(12, 2, 3, 3)}, (None, 12)),
    ((1, 6, 9), "r = ConvTranspose<group = 3> (s, w)", {"w": weights(6, 4, 3)}, (None, 12)),
    ((1, 3, 9, 9), "r = ConvTranspose<strides = [2, 2]> (s, w)", {"w": weights(3, 4, 3, 3)}, (None, 4)),
    ((1, 7), "r = Gemm<transB = 1> (s, w, b)", {"w": weights(5, 7), "b": weights(1)}, (None, 5)),
    ((1, 7), "r = Gemm<transA = 1> (s, w)", {"w": weights(1, 5)}, (None, 5)),
    ((1, 2, 6), "r, h = RNN<hidden_size = 4> (s, w, u)", {"w": weights(1, 4, 6), "u": weights(1, 4, 4)}, (None, 1)),
]


@pytest.mark.parametrize(("shape", "layer", "held", "told"), CASES, ids=[case[1].split("(")[0] for case in CASES])
def test_the_weight_tells_the_rank(
    shape: tuple[int, ...], layer: str, held: Mapping[str, np.ndarray], told: tuple[int | None, ...]
) -> None:
    model = behind_an_if(shape, f"{layer}\n k = Relu (r)\n y = Sum (k)", held)
    network = normalize(open_checkpoint(model))
    found = {value.name: sizes(value) for node in network.model.graph for value in node.outputs}
    feed = {"x": weights(*shape), "flag": np.array(True)}
    (ran,) = session(model, optimised=False).run(["y"], feed)
    for name in ("r", "k", "y"):
        known = found[name]
        assert known is not None
        assert len(known) == np.ndim(ran)
        assert all(a == b for a, b in zip(known, np.shape(ran), strict=True) if isinstance(a, int))
        assert known[1] == told[1]
    data = found["s"]
    assert data is not None
    assert len(data) == len(shape)


def test_the_units_of_a_convolution_behind_an_if_are_its_channels() -> None:
    model = behind_an_if((1, 2, 9), "h = Conv (s, w)\n y = Relu (h)", {"w": weights(5, 2, 3)})
    (site,) = relu_audit.sites(model).sites
    assert (site.unit_axis, site.assumed, site.weight, site.layout) == (1, False, "w", "~ u ~")


def test_the_weight_tells_rank_and_type_behind_an_operator_nobody_knows() -> None:
    body = "s = local.unknown (x)\n h = Conv (s, w)\n r = Relu (h)\n y = local.unknown (r)"
    model = graph("float[n, 2, 9] x", "float[] y", body, {"w": weights(5, 2, 3)})
    model.opset_import.add(domain="local", version=1)
    network = normalize(open_checkpoint(model))
    assert not network.notes
    found = {value.name: value for node in network.model.graph for value in node.outputs}
    ranks = [sizes(found[name]) for name in "shr"]
    assert [(len(one or ()), (one or (0, 0))[1]) for one in ranks] == [(3, 2), (3, 5), (3, 5)]
    assert {found[name].dtype for name in "shr"} == {ir.DataType.FLOAT}


def test_a_reader_tells_the_rank_of_what_it_reads() -> None:
    body = (
        "b = BatchNormalization (s, g, g, g, g)\n r = Relu (b)\n p = MaxPool<kernel_shape = [2]> (r)\n y = Conv (p, w)"
    )
    model = behind_an_if((1, 6, 9), body, {"w": weights(5, 6, 3), "g": np.ones(6, np.float32)})
    network = normalize(open_checkpoint(model))
    found = {value.name: sizes(value) or () for node in network.model.graph for value in node.outputs}
    assert {name: (len(found[name]), found[name][1]) for name in "sbrp"} == dict.fromkeys("sbrp", (3, 6))


def test_the_weight_of_codes_tells_the_rank() -> None:
    held = CODES | {"w": weights(5, 2, 3, dtype=np.uint8)}
    layer = "r = QLinearConv (s, sx, zx, w, sw, zw, sy, zy)\n y = DequantizeLinear (r, sy, zy)"
    network = normalize(open_checkpoint(behind_an_if((1, 2, 9), layer, held, kind="uint8")))
    (value,) = network.model.graph.outputs
    known = sizes(value)
    assert known is not None
    assert (len(known), known[1]) == (3, 5)


def test_a_reader_in_a_branch_says_nothing_of_what_lies_outside() -> None:
    """Each branch takes the value for another rank, and only one of them runs."""
    body = (
        "y = If (flag) <then_branch = some () => (p) { p = Conv (s, w) }, else_branch = other () => (q) {"
        " u = Unsqueeze (s, front)\n q = Conv (u, w) }>"
    )
    network = normalize(open_checkpoint(behind_an_if((1, 2, 9), body, {"w": weights(5, 2, 3)})))
    value = network.model.graph[0].outputs[0]
    assert (value.name, value.shape) == ("s", None)


def test_an_operand_that_may_broadcast_is_of_any_rank() -> None:
    model = behind_an_if((1, 5), "y = Gemm (w, v, s)", {"w": weights(4, 6), "v": weights(6, 5)})
    network = normalize(open_checkpoint(model))
    assert [value.shape for node in network.model.graph for value in node.outputs if value.name == "s"] == [None]


def test_what_the_file_says_is_not_made_less() -> None:
    model = behind_an_if((1, 2, 9), "r = Conv (s, w)\n y = Relu (r)", {"w": weights(5, 2, 3)})
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, [1, 5, 7]))
    network = normalize(open_checkpoint(model))
    assert next(sizes(v) for node in network.model.graph for v in node.outputs if v.name == "r") == (1, 5, 7)


def test_an_input_is_what_the_file_declares() -> None:
    network = normalize(open_checkpoint(graph("float[] x", "float[] y", "y = Conv (x, w)", {"w": weights(5, 2, 3)})))
    assert [value.shape for value in network.model.graph.inputs] == [None]
