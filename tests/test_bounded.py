"""What a small file asks for stays small: nodes of functions, constants, and time that grows as the graph does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import relu_audit
from relu_audit import AuditError
from relu_audit.cli import run
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.model.expansion import DEEPEST, MOST_NODES
from relu_audit.model.postorder import postorder
from relu_audit.network.normalize import normalize

RNG = np.random.default_rng(0)
node = helper.make_node
value = helper.make_tensor_value_info

WEIGHT = RNG.standard_normal((4, 4)).astype(np.float32)
BIAS = np.array([0.1, -1000, 0.3, 0.2], np.float32)
CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("w", "w2", "w3"), WEIGHT),
    **dict.fromkeys(("b", "b2", "b3"), BIAS),
    "shape": np.array([-1, 4]),
    "c": np.float32(0.01),
    "one": np.float32(1),
    "perm": np.array([1, 0, 3, 2]),
    "axis": np.array([1]),
}


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str] = ("x",),
    functions: Sequence[onnx.FunctionProto] = (),
    **constants: Any,
) -> onnx.ModelProto:
    known = {**CONSTANTS, **constants}
    used = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [value(name, TensorProto.FLOAT, ["n", 4]) for name in inputs],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(known[name]), name) for name in known if name in used],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))


def links(line: str) -> Callable[[str, str], list[onnx.NodeProto]]:
    """A way from one value to the next, as ``operator operand ...; key=value`` with ``i`` for what comes before."""
    words, _, given = line.partition(";")
    operator, *operands = words.split()
    attributes = dict(pair.split("=") for pair in given.split())
    return lambda i, o: [
        node(
            operator,
            [i if name == "i" else name for name in operands],
            [o],
            **{
                name: [int(n) for n in text.split(",")] if "," in text else int(text)
                for name, text in attributes.items()
            },
        )
    ]


MOVERS = {
    "Identity": links("Identity i"),
    "Cast": links("Cast i; to=1"),
    "Reshape": links("Reshape i shape"),
    "Transpose": links("Transpose i; perm=0,1"),
    "Neg": links("Neg i"),
    "Add": links("Add i c"),
    "Mul": links("Mul i one"),
    "Relu": links("Relu i"),
    "Concat": links("Concat i; axis=1"),
    "Gather": links("Gather i perm; axis=1"),
    "Sigmoid": links("Sigmoid i"),
    "Max": links("Max i c"),
    "Doubled": links("Add i i"),
}


def chain(kind: str, length: int) -> onnx.ModelProto:
    """Gemm, Relu, a chain, Gemm, Relu, Gemm."""
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("Relu", ["h"], ["v0"])]
    for i in range(length):
        nodes += MOVERS[kind](f"v{i}", f"v{i + 1}")
    nodes += [node("Gemm", [f"v{length}", "w2", "b2"], ["k"]), node("Relu", ["k"], ["r"])]
    return model([*nodes, node("Gemm", ["r", "w3", "b3"], ["y"])])


def of_weight(kind: str, length: int) -> onnx.ModelProto:
    """A chain on a weight, which is too large to be read as a shape."""
    nodes = [made for i in range(length) for made in MOVERS[kind](f"v{i}", f"v{i + 1}")]
    wide = np.ones((4, 2000), np.float32)
    return model([*nodes, node("MatMul", ["x", f"v{length}"], ["h"]), node("Relu", ["h"], ["y"])], v0=wide)


def nested_calls(depth: int, times: int) -> onnx.ModelProto:
    """Functions each of which calls the next one so many times."""
    functions = []
    for i in range(depth):
        calls = [
            node(f"f{i - 1}" if i else "Relu", [f"a{k}"], [f"a{k + 1}"], domain="own" if i else "")
            for k in range(times)
        ]
        functions.append(
            helper.make_function(
                "own",
                f"f{i}",
                ["a0"],
                [f"a{times}"],
                calls,
                [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)],
            )
        )
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node(f"f{depth - 1}", ["h"], ["y"], domain="own")]
    return model(nodes, functions=functions)


# Functions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "times"), [(30, 2), (20, 2), (7, 10), (DEEPEST + 1, 1), (5000, 1)])
def test_functions_that_become_too_much_are_refused(depth: int, times: int) -> None:
    hostile = nested_calls(depth, times)
    start = time.process_time()
    with pytest.raises(AuditError, match=r"expand to more than|deep") as caught:
        relu_audit.sites(hostile)
    assert caught.value.slug == "expansion"
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "command", [["sites"], ["audit", "--data", "random:4"], ["prune", "--dry-run", "--data", "random:4"]]
)
def test_every_command_refuses_them(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(nested_calls(30, 2), tmp_path / "m.onnx")
    assert run([command[0], str(tmp_path / "m.onnx"), *command[1:]]) == 2
    assert f"more than {MOST_NODES:,} nodes [expansion]" in capsys.readouterr().err


def test_functions_nobody_calls_are_counted_as_well() -> None:
    hostile = nested_calls(30, 2)
    hostile.graph.node[1].CopyFrom(node("Relu", ["h"], ["y"]))
    with pytest.raises(AuditError, match="expand to more than"):
        relu_audit.sites(hostile)


def test_a_function_in_a_body_of_a_function_is_counted() -> None:
    hostile = nested_calls(30, 2)
    for function in list(hostile.functions)[1:]:
        inner = [onnx.NodeProto.FromString(one.SerializeToString()) for one in function.node]
        out = inner[-1].output[0]
        bodies = {
            name: helper.make_graph(inner, name, [], [value(out, TensorProto.FLOAT, None)])
            for name in ("then_branch", "else_branch")
        }
        del function.node[:]
        function.node.extend(
            [
                node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
                node("If", ["yes"], ["out"], **bodies),
            ]
        )
        function.output[0] = "out"
    with pytest.raises(AuditError, match="expand to more than"):
        relu_audit.sites(hostile)


def test_a_function_that_calls_itself_is_refused() -> None:
    hostile = nested_calls(3, 1)
    hostile.functions[0].node[0].CopyFrom(node("f2", ["a0"], ["a1"], domain="own"))
    with pytest.raises(AuditError, match="calls itself") as caught:
        relu_audit.sites(hostile)
    assert caught.value.slug == "function"


def test_functions_that_become_some_thousand_nodes_are_inlined() -> None:
    assert len(relu_audit.sites(nested_calls(10, 2)).sites) == 1 << 10


def test_graphs_that_hold_each_other_twice_are_refused() -> None:
    """Functions that take a graph and give on one that holds it twice."""
    functions = []
    inner = helper.make_graph([node("Relu", ["h"], ["t"])], "g", [], [value("t", TensorProto.FLOAT, None)])
    for i in range(40):
        taken = node("If", ["yes"], ["q"])
        for name in ("then_branch", "else_branch"):
            taken.attribute.append(onnx.AttributeProto(name=name, type=onnx.AttributeProto.GRAPH, ref_attr_name="body"))
        body = helper.make_graph([taken], "g", [], [value("q", TensorProto.FLOAT, None)])
        call = node(f"f{i + 1}", ["yes", "a"], ["o"], domain="own", body=body) if i < 39 else node("Relu", ["a"], ["o"])
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{i}", ["yes", "a"], ["o"], [call], opsets, attributes=["body"]))
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("f0", ["yes", "h"], ["y"], domain="own", body=inner)]
    with pytest.raises(AuditError):
        relu_audit.sites(model(nodes, functions=functions, yes=np.array(True)))


# Depth ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Identity", "Cast", "Neg", "Doubled", "Transpose"])
def test_no_recursion_over_a_chain(kind: str) -> None:
    assert len(relu_audit.sites(chain(kind, 3000)).sites) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOVERS)
def test_no_recursion_over_a_chain_in_any_command(kind: str) -> None:
    deep, data = chain(kind, 5000), {"x": RNG.standard_normal((32, 4)).astype(np.float32)}
    audit = relu_audit.audit(deep, data, threads=1, costs=True)
    assert audit.sites[0].dead == (1,)
    assert relu_audit.prune(deep, audit, data=data, align=1, verify=False).plan


@pytest.mark.parametrize("kind", ["Identity", "Cast", "Doubled", "Neg", "Transpose"])
def test_no_recursion_over_a_chain_on_a_weight(kind: str) -> None:
    listing = relu_audit.sites(of_weight(kind, 3000))
    assert [site.units for site in listing.sites] == [2000]


def test_small_constants_are_computed_through_any_number_of_nodes() -> None:
    nodes = [made for i in range(3000) for made in MOVERS["Neg"](f"v{i}", f"v{i + 1}")]
    network = normalize(open_checkpoint(model([*nodes, node("Add", ["x", "v3000"], ["y"])], v0=np.float32(3))))
    last = next(one for one in network.weights if one.name == "v3000")
    assert network.constant(last) == 3


def test_codes_that_double_are_no_exponential_search() -> None:
    """A sum of a value and itself, again and again: whether it can be negative is asked of both operands."""
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("Abs", ["h"], ["v0"])]
    nodes += [made for i in range(60) for made in MOVERS["Doubled"](f"v{i}", f"v{i + 1}")]
    nodes += [
        node("QuantizeLinear", ["v60", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    start = time.process_time()
    listing = relu_audit.sites(model(nodes, scale=np.float32(0.1), zero=np.uint8(0)))
    assert not listing.sites
    assert time.process_time() - start < 20


def test_sums_that_double_are_no_exponential_search_for_causes() -> None:
    nodes = [node("Gemm", ["x", "w", "b"], ["v0"])]
    nodes += [made for i in range(30) for made in MOVERS["Doubled"](f"v{i}", f"v{i + 1}")]
    start = time.process_time()
    audit = relu_audit.audit(
        model([*nodes, node("Relu", ["v30"], ["y"])]), {"x": RNG.standard_normal((300, 4)).astype(np.float32)}
    )
    assert audit.sites[0].dead == (1,)
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    ("needs", "order"),
    [
        ({"c": "ab", "b": "a", "a": ""}, "abc"),
        ({"c": "aa", "a": "b", "b": "a"}, "bac"),
        ({"c": ""}, "c"),
    ],
)
def test_postorder(needs: dict[str, str], order: str) -> None:
    assert "".join(postorder("c", needs.__getitem__)) == order


# Growth ---------------------------------------------------------------------------------------------------------------


def many_inputs(n: int) -> onnx.ModelProto:
    names = [f"x{i}" for i in range(n)]
    return model([node("Sum", names, ["s"]), node("Gemm", ["s", "w", "b"], ["h"]), node("Relu", ["h"], ["y"])], names)


def one_weight(n: int) -> onnx.ModelProto:
    """Rectifiers in a row that share one weight."""
    nodes = []
    for i in range(n):
        nodes += [node("Gemm", [f"r{i}" if i else "x", "w", "b"], [f"h{i}"]), node("Relu", [f"h{i}"], [f"r{i + 1}"])]
    return model([*nodes, node("Identity", [f"r{n}"], ["y"])])


def side_by_side(n: int) -> onnx.ModelProto:
    nodes = [node("Gemm", ["x", "w", "b"], ["h"]), node("Relu", ["h"], ["r"])]
    nodes += [node("Sigmoid", ["r"], [f"q{i}"]) for i in range(n)]
    return model([*nodes, node("Sum", [f"q{i}" for i in range(n)], ["y"])])


def initializers(n: int) -> onnx.ModelProto:
    own = {f"a{i}": np.full(4, 0.001, np.float32) for i in range(n)}
    return model(
        [node("Sum", ["x", *own], ["s"]), node("Gemm", ["s", "w", "b"], ["h"]), node("Relu", ["h"], ["y"])], **own
    )


def residual(n: int) -> onnx.ModelProto:
    nodes = []
    for i in range(n):
        before = f"v{i}" if i else "x"
        nodes += [node("Gemm", [before, "w", "b"], [f"h{i}"]), node("Relu", [f"h{i}"], [f"r{i}"])]
        nodes.append(node("Add", [before, f"r{i}"], [f"v{i + 1}"]))
    return model([*nodes, node("Identity", [f"v{n}"], ["y"])])


GROWING: dict[str, tuple[Callable[[int], onnx.ModelProto], int]] = {
    "inputs": (many_inputs, 2000),
    "rectifiers on one weight": (one_weight, 100),
    "readers of one value": (side_by_side, 500),
    "initializers": (initializers, 1500),
    "residual sums": (residual, 80),
    "rectifiers in a row": (lambda n: chain("Relu", n), 100),
    "copies": (lambda n: chain("Identity", n), 1000),
    "copies of a weight": (lambda n: of_weight("Identity", n), 1000),
}


@pytest.mark.parametrize("name", GROWING)
def test_time_grows_as_the_graph_does(name: str) -> None:
    make, n = GROWING[name]
    relu_audit.sites(make(10))
    models = [make(n), make(4 * n)]
    taken = [min(_seconds(one) for _ in range(2)) for one in models]
    assert taken[1] / taken[0] < 7, taken  # 4 where time is linear, 16 where it is quadratic


def _seconds(one: onnx.ModelProto) -> float:
    start = time.process_time()
    relu_audit.sites(one)
    return time.process_time() - start


# Constants ------------------------------------------------------------------------------------------------------------

HUGE = np.array([1 << 15, 1 << 20])
BOMBS: dict[str, tuple[str, dict[str, Any]]] = {
    "ConstantOfShape": ("ConstantOfShape huge", {"huge": HUGE}),
    "Expand": ("Expand one huge", {"huge": HUGE}),
    "Tile": ("Tile row huge", {"row": np.ones((1, 1), np.float32), "huge": HUGE}),
    "Range": ("Range from to by", {"from": np.float32(0), "to": np.float32(2e10), "by": np.float32(1e-1)}),
    "Pad": ("Pad row wide", {"row": np.ones(1, np.float32), "wide": np.array([1 << 36, 0])}),
    "Resize": (
        "Resize row none sizes",
        {
            "row": np.ones((1, 1, 2), np.float32),
            "none": np.ones(0, np.float32),
            "sizes": np.array([1, 1, 1e11], np.float32),
        },
    ),
    "OneHot": (
        "OneHot at depth values",
        {"at": np.array([1]), "depth": np.int64(1 << 36), "values": np.array([0, 1], np.float32)},
    ),
    "Sum": (
        "Sum p q r",
        {
            "p": np.ones((4096, 1, 1), np.float32),
            "q": np.ones((1, 4096, 1), np.float32),
            "r": np.ones((1, 1, 4096), np.float32),
        },
    ),
}


def bomb(name: str) -> onnx.ModelProto:
    line, constants = BOMBS[name]
    nodes = [*links(line)("", "k"), node("ReduceMax", ["k"], ["m"], keepdims=0), node("Add", ["x", "m"], ["s"])]
    nodes += [node("Gemm", ["s", "w", "b"], ["h"]), node("Relu", ["h"], ["y"])]
    return model(nodes, **constants)


@pytest.mark.parametrize("name", BOMBS)
def test_folding_never_blows_a_constant_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from relu_audit.network import constants, folding

    assert len(relu_audit.sites(bomb(name)).sites) == 1
    network = normalize(open_checkpoint(bomb(name)))
    made = next(one for one in network.weights if one.name == "k")
    monkeypatch.setattr(folding, "ReferenceEvaluator", _forbidden)
    monkeypatch.setattr("onnx.reference.ReferenceEvaluator", _forbidden)
    assert network.constant(made) is None
    assert constants.numbers(network, made) is None


def _forbidden(*arguments: object) -> None:
    raise AssertionError("computed")


@pytest.mark.parametrize("name", ["ConstantOfShape", "Tile", "Range"])
def test_a_constant_that_no_memory_holds_is_refused(name: str) -> None:
    with pytest.raises(AuditError, match=r"takes .* bytes") as caught:
        relu_audit.audit(bomb(name), {"x": np.ones((4, 4), np.float32)})
    assert caught.value.slug == "memory"


def limited(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "relu_audit", "m.onnx", "--data", "random:8", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=120,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_memory_is_limited(tmp_path: Path) -> None:
    """A value as large as its input says, so that nothing can be known beforehand."""
    nodes = [node("ReduceMax", ["x"], ["m"], keepdims=0), node("Cast", ["m"], ["i"], to=TensorProto.INT64)]
    nodes += [
        node("Mul", ["i", "none"], ["z"]),
        node("Add", ["z", "many"], ["n1"]),
        node("Expand", ["one", "n1"], ["k"]),
    ]
    nodes += [node("ReduceMax", ["k"], ["t"], keepdims=0), node("Add", ["x", "t"], ["s"])]
    nodes += [node("Gemm", ["s", "w", "b"], ["h"]), node("Relu", ["h"], ["y"])]
    onnx.save(model(nodes, none=np.int64(0), many=np.array([400_000_000])), tmp_path / "m.onnx")
    done = limited(tmp_path, "--memory-limit", "1GB", "--threads", "1", "--samples", "feeds")
    assert done.returncode == 2
    assert "[memory]" in done.stderr
    assert "Traceback" not in done.stderr
    onnx.save(chain("Neg", 2), tmp_path / "m.onnx")
    assert limited(tmp_path, "--memory-limit", "1GiB", "--threads", "1").returncode == 0


@pytest.mark.parametrize("size", ["much", "-1", "0", "4XB", "", "1e9999"])
def test_a_limit_that_is_none_is_refused(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(chain("Neg", 2), tmp_path / "m.onnx")
    assert run([str(tmp_path / "m.onnx"), "--data", "random:8", f"--memory-limit={size}"]) == 2
    assert "no amount of memory" in capsys.readouterr().err


def test_a_system_that_cannot_limit_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from relu_audit import memory

    monkeypatch.setattr(memory, "_MAPPED", Path("/nowhere"))
    with pytest.raises(AuditError) as caught:
        memory.limit(1 << 40)
    assert caught.value.slug == "memory-limit"
