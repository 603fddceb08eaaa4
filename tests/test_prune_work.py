"""What planning asks of the machine: counted, since seconds depend on who else is at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import relu_audit
from relu_audit.api.prune import plan
from relu_audit.observe.session import Session, engine
from relu_audit.surgery.runs.ranges import Copy, Ranges
from relu_audit.surgery.runs.routes import Alone, trace
from tests.graphs import graph

RNG = np.random.default_rng(0)
DEAD = (0, 3)


def stack(norm: str) -> onnx.ModelProto:
    """Three convolutions of eight channels, on images of any size, behind each a rectifier with dead units."""
    lines, weights, last = list[str](), dict[str, np.ndarray](), "x"
    for i in range(3):
        bias = np.ones(8, np.float32)
        bias[list(DEAD)] = -1e5
        weights |= {f"w{i}": RNG.standard_normal((8, 8, 3, 3)).astype(np.float32), f"b{i}": bias}
        lines += [f"c{i} = Conv <pads = [1, 1, 1, 1]> ({last}, w{i}, b{i})", f"r{i} = Relu (c{i})"]
        lines += [norm.format(i=i, s=f"s{i}", r=f"r{i}")]
        last = f"s{i}"
    text = "\n".join([*lines, f"y = Conv <pads = [1, 1, 1, 1]> ({last}, w0)"])
    return graph("float[n, 8, a, b] x", "float[n, 8, d, e] y", text, weights, opset=17)


@pytest.mark.parametrize(
    ("norm", "most"),
    [
        pytest.param("{s} = Identity ({r})", 2, id="constants within"),
        pytest.param("{s} = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> ({r})", 2, id="windows"),
    ],
)
def test_the_model_is_run_once_for_sizes_and_once_for_numbers(
    norm: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many premises and detours are tried."""
    model = stack(norm)
    data = {"x": RNG.standard_normal((8, 8, 16, 16)).astype(np.float32)}
    audit = relu_audit.audit(model, data)
    runs = Counter[tuple[int, ...]]()
    real = Session.run

    def counted(self: Session, feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> dict[str, np.ndarray]:
        if "x" in feeds:
            runs[feeds["x"].shape] += 1
        return real(self, feeds, fetch)

    monkeypatch.setattr(Session, "run", counted)
    found = plan(model, audit, data=data)
    assert found.removed or found.kept
    assert len(runs) >= 3, "no other sizes were tried"
    assert max(runs.values()) <= most, runs


MOVES = {
    "Transpose": ("Transpose <perm = [0, 2, 1, 3]> (x)", {}),
    "Flatten": ("Flatten (x)", {}),
    "Gather": ("Gather <axis = 1> (x, i)", {"i": np.array([3, 1, 1, 0])}),
    "Pad": ("Pad (x, i)", {"i": np.array([0, 1, 0, 0, 0, 0, 2, 0])}),
    "reflected": ('Pad <mode = "reflect"> (x, i)', {"i": np.array([0, 2, 0, 0, 0, 1, 0, 0])}),
    "Slice": ("Slice (x, i, j)", {"i": np.array([0, 1, 1]), "j": np.array([2, 3, 5])}),
    "Reshape": ("Reshape (x, i)", {"i": np.array([2, 2, 10, 3, 2])}),
    "regrouped": ("Reshape (x, i)", {"i": np.array([-1, 15])}),
    "Tile": ("Tile (x, i)", {"i": np.array([1, 2, 1, 3])}),
    "DepthToSpace": ("DepthToSpace <blocksize = 2> (x)", {}),
}
SHAPE = (2, 4, 5, 6)


@pytest.mark.parametrize("name", MOVES)
def test_routes_are_those_that_single_elements_take(name: str) -> None:
    """Every element is told apart from all others here, and followed by itself."""
    text, given = MOVES[name]
    proto = graph("float[2, 4, 5, 6] x", "float y", f"y = {text}", given, opset=17)
    node = next(iter(ir.from_proto(proto).graph))
    numbers = {i: given[value.name or ""] for i, value in enumerate(node.inputs) if i and value is not None}
    moved = trace(Alone(node, {0: SHAPE}, numbers, {"": 17}, engine()))
    assert moved is not None
    count = int(np.prod(SHAPE))
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    session: Any = Session(ir.from_proto(proto), None, engine(), optimize=False)
    out = session.run({"x": np.arange(1, count + 1, dtype=np.float32).reshape(SHAPE)}, ["y"])["y"].astype(np.int64)
    came = out > 0
    froms, tos = np.unravel_index(out[came] - 1, SHAPE), np.nonzero(came)
    expected: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for axis, source in enumerate(froms):
        for made, target in enumerate(tos):
            pairs = set(zip(source.tolist(), target.tolist(), strict=True))
            if out.shape[made] > 1 and len(pairs) < len(set(source.tolist())) * len(set(target.tolist())):
                expected[axis, made] = pairs
    found = {(r.axis, r.output_axis): set(zip(r.source.tolist(), r.target.tolist(), strict=True)) for r in moved.routes}
    assert found == expected
    assert {axis: chosen.tolist() for (_, axis, _), chosen in moved.shown.items()} == {
        axis: sorted(set(source.tolist())) for axis, source in enumerate(froms)
    }


def test_a_trace_sorts_indices_and_not_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = graph("float[2, 32, 64, 64] x", "float[2, 64, 32, 64] y", "y = Transpose <perm = [0, 2, 1, 3]> (x)", {})
    sorted_sizes: list[int] = []
    real = np.unique

    def counted(array: np.ndarray, *args: object, **options: object) -> object:
        sorted_sizes.append(np.size(array))
        return real(array, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(np, "unique", counted)
    moved = trace(Alone(next(iter(ir.from_proto(proto).graph)), {0: (2, 32, 64, 64)}, {}, {"": 17}, engine()))
    assert moved is not None
    assert len(moved.routes) == 4
    assert sum(sorted_sizes) < 100 * (2 + 32 + 64 + 64)


def test_a_copy_ranges_over_what_it_holds() -> None:
    array = RNG.standard_normal((3, 4, 5))
    lengths = dict(enumerate(array.shape))
    for zeros in (0, 2):
        copy = Copy("copy", "source", 1, zeros)
        whole = np.concatenate([array, np.zeros((3, zeros, 5))], axis=1)
        assert copy.shape(array.shape) == whole.shape
        told, read = Ranges(), Ranges()
        told.widen("source", lengths, array)
        told.add(copy, None)
        read.widen("copy", dict(enumerate(whole.shape)), whole)
        for axis in lengths:
            np.testing.assert_array_equal(told.of("copy")[axis], read.of("copy")[axis])


def test_a_copy_of_what_is_held_has_what_it_is_held_at() -> None:
    ranges = Ranges()
    held = np.array([np.nan, 6.0, 0.0])
    ranges.widen("source", {1: 3}, np.arange(6.0).reshape(2, 3))
    ranges.add(Copy("copy", "source", 1), (1, held))
    low, high = ranges.of("copy")[1]
    assert low.tolist() == [0.0, 6.0, 0.0]
    assert high.tolist() == [3.0, 6.0, 0.0]
