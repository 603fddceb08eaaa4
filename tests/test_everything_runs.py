"""Models that onnxruntime runs and that are seldom seen: each is audited, listed and pruned.

What is right is counted with plain onnx, onnxruntime and numpy, one feed at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort  # noqa: TID251 - a judge must not go through the code it judges
import pytest
from onnx import helper, numpy_helper

import relu_audit
from relu_audit.cli import run
from relu_audit.errors import AuditError, ModelError
from relu_audit.surgery.annotate import annotate
from tests.graphs import graph

CASES = Path(__file__).parents[2] / "shared" / "cases"
RNG = np.random.default_rng(11)
W1 = RNG.integers(-3, 4, (8, 16)).astype(np.float32)
W2 = RNG.integers(-3, 4, (16, 4)).astype(np.float32)
B1 = np.zeros(16, np.float32)
B1[[1, 6]] = -1000
X = RNG.integers(-3, 4, (40, 8)).astype(np.float32)
DEAD = (1, 6)
WEIGHTS = {"W1": W1, "b1": B1, "W2": W2}

LAYER = "h = MatMul (x, W1)\n h1 = Add (h, b1)\n r = Relu (h1)\n"
"""Sixteen units, of which two are dead."""

Feed = Mapping[str, np.ndarray]


def model(outputs: str, body: str, inputs: str = "float[n, 8] x", opset: int = 18) -> onnx.ModelProto:
    """Lines over inputs and whichever of the weights they read."""
    read = body.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return graph(inputs, outputs, body, {name: array for name, array in WEIGHTS.items() if name in read}, opset=opset)


def results(made: onnx.ModelProto, feeds: Sequence[Feed], names: Sequence[str] | None = None) -> list[list[Any]]:
    """What onnxruntime gives out, feed by feed."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [session.run(names, dict(feed)) for feed in feeds]


def fired(made: onnx.ModelProto, tensor: str, data: Feed) -> list[int]:
    """In how many samples each unit of the last axis fires: the tensor is given out, one feed at a time."""
    shown = onnx.ModelProto()
    shown.CopyFrom(made)
    if tensor not in {value.name for value in shown.graph.output}:
        shown.graph.output.add(name=tensor)
    samples = len(next(iter(data.values())))
    feeds = [{name: array[i : i + 1] for name, array in data.items()} for i in range(samples)]
    arrays = [found for (found,) in results(shown, feeds, [tensor])]
    return np.sum([(array > 0).any(axis=tuple(range(array.ndim - 1))) for array in arrays], axis=0).tolist()


def same(a: Any, b: Any) -> None:
    """Two results agree, whatever they are made of."""
    assert type(a) is type(b)
    if isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, dict):
        assert [*a] == [*b]
        np.testing.assert_allclose([*a.values()], [*b.values()], rtol=1e-4, atol=1e-5)
    elif a is not None:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def check(
    made: onnx.ModelProto, tensor: str = "r", data: Feed | None = None, *, removed: int | None = len(DEAD)
) -> tuple[relu_audit.Audit, Any]:
    """The audit counts what is there; the pruned model has lost so many units and computes the same."""
    data = {"x": X} if data is None else data
    assert tensor in {site.tensor for site in relu_audit.sites(made).sites}
    audit = relu_audit.audit(made, data)
    site = next(site for site in audit.sites if site.tensor == tensor)
    assert list(site.fired_samples) == fired(made, tensor, data)
    pruned = relu_audit.prune(made, audit, data=data, align=1)
    assert pruned.verification is not None
    assert pruned.verification.passed
    if removed is not None:
        assert len(pruned.plan.removed) == removed
    written = pruned.model
    onnx.checker.check_model(written)
    assert [value.name for value in written.graph.output] == [value.name for value in made.graph.output]
    assert [value.type.WhichOneof("value") for value in written.graph.output] == [
        value.type.WhichOneof("value") for value in made.graph.output
    ]
    for a, b in zip(results(made, [data]), results(written, [data]), strict=True):
        same(a, b)
    return audit, pruned


# Sparse weights ------------------------------------------------------------------------------------------------------

SPARSE = np.where(RNG.random((8, 16)) < 0.4, W1, 0).astype(np.float32)
SPARSE[0] = 1
SPARSE[:, list(DEAD)] = 0


def sparse(array: np.ndarray, name: str = "W1", *, by_axis: bool = False) -> onnx.SparseTensorProto:
    places = np.argwhere(array).astype(np.int64) if by_axis else np.flatnonzero(array).astype(np.int64)
    values = numpy_helper.from_array(np.ascontiguousarray(array[array != 0]), name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places, f"{name}_at"), array.shape)


def dense_layer(weight: str = "W1", result: str = "y") -> str:
    return f"wf = Cast <to = 1> ({weight})\n h = MatMul (x, wf)\n r = Relu (h)\n {result} = MatMul (r, W2)"


@pytest.mark.parametrize("by_axis", [False, True], ids=["numbered", "by axis"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "int32", "int64", "bool"])
@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_sparse_weights_are_read_as_what_they_are(place: str, dtype: str, by_axis: bool) -> None:
    array = np.abs(SPARSE).astype(dtype)
    made = model("float[n, 4] y", dense_layer("Ws"))
    if place == "initializer":
        made.graph.sparse_initializer.append(sparse(array, "Ws", by_axis=by_axis))
    else:
        node = helper.make_node("Constant", [], ["Ws"], sparse_value=sparse(array, "Ws", by_axis=by_axis))
        made.graph.node.insert(0, node)
    audit, pruned = check(made)
    assert audit.sites[0].dead == DEAD
    assert audit.model.parameters == W2.size + (array.size if dtype.startswith(("float", "int8", "uint8")) else 0)
    assert any("sparse" in note for note in pruned.plan.notes)


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_sparse_weights_in_a_body(place: str) -> None:
    body = """t = Constant <value = bool {1}> ()
    rr = If (t) <
        then_branch = a () => (float[n, 16] r) { h = MatMul (x, Ws)
            r = Relu (h) },
        else_branch = b () => (float[n, 16] z) { z = MatMul (x, W1) }
    >
    y = MatMul (rr, W2)"""
    made = model("float[n, 4] y", body)
    then = next(a.g for node in made.graph.node for a in node.attribute if a.name == "then_branch")
    if place == "initializer":
        then.sparse_initializer.append(sparse(SPARSE, "Ws"))
    else:
        then.node.insert(0, helper.make_node("Constant", [], ["Ws"], sparse_value=sparse(SPARSE, "Ws")))
    (site,) = relu_audit.audit(made, {"x": X}).sites
    assert list(site.fired_samples) == fired(made, "rr", {"x": X})
    assert site.dead == DEAD


def broken(values: int, places: np.ndarray, shape: tuple[int, ...]) -> onnx.SparseTensorProto:
    numbers = numpy_helper.from_array(np.ones(values, np.float32), "W1")
    return helper.make_sparse_tensor(numbers, numpy_helper.from_array(places, "at"), shape)


@pytest.mark.parametrize(
    ("weight", "said"),
    {
        "beyond the end": (broken(1, np.array([128]), (8, 16)), "outside its shape"),
        "before the beginning": (broken(1, np.array([-1]), (8, 16)), "outside its shape"),
        "beyond an axis": (broken(1, np.array([[0, 16]]), (8, 16)), "outside its shape"),
        "too few places": (broken(2, np.array([1]), (8, 16)), "do not fit its 2 values"),
        "places of another rank": (broken(2, np.ones((2, 3), np.int64), (8, 16)), "do not fit its 2 values"),
        "places that are no integers": (broken(1, np.array([1.5]), (8, 16)), "do not fit"),
        "far too large": (broken(1, np.array([1]), (1 << 30, 1 << 30)), "too large"),
    }.values(),
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_sparse_weight_that_contradicts_itself_is_refused(weight: onnx.SparseTensorProto, said: str) -> None:
    made = model("float[n, 4] y", dense_layer())
    del made.graph.initializer[:]
    made.graph.sparse_initializer.append(weight)
    with pytest.raises(ModelError, match=said) as caught:
        relu_audit.sites(made)
    assert caught.value.slug == "invalid-model"


# Nodes in any order --------------------------------------------------------------------------------------------------


def reordered(made: onnx.ModelProto, order: Callable[[list[onnx.NodeProto]], list[onnx.NodeProto]]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(made)
    nodes = order(list(made.graph.node))
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


DEEP = model(
    "float[n, 4] y, float[n, 16] r",
    LAYER + "k = Relu (h)\n s = Add (r, k)\n q = MatMul (s, W2)\n z = Identity (q)\n y = Sigmoid (z)",
)


@pytest.mark.parametrize("seed", range(6))
def test_nodes_in_any_order(seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(len(DEEP.graph.node))
    made = reordered(DEEP, lambda nodes: [nodes[i] for i in shuffled])
    audit, _ = check(made, removed=None)
    assert [(site.tensor, site.dead) for site in audit.sites if site.tensor == "r"] == [("r", DEAD)]


def test_what_is_sorted_stays_in_its_order() -> None:
    from relu_audit.model.ordering import sort_nodes

    made = onnx.ModelProto()
    made.CopyFrom(DEEP)
    sort_nodes(made)
    assert made.SerializeToString() == DEEP.SerializeToString()


def test_a_body_may_read_what_comes_later() -> None:
    made = model(
        "float[n, 4] y",
        "y = MatMul (r, W2)\n r = Relu (z)\n"
        " z = If (c) <then_branch = t () => (float[n, 16] a) { a0 = Neg (h1)\n a = Neg (a0) },"
        " else_branch = e () => (float[n, 16] d) { d = Identity (h1) }>\n"
        " h1 = Add (h, b1)\n h = MatMul (x, W1)\n c = Constant <value = bool {1}> ()",
    )
    audit, _ = check(made)
    assert audit.sites[0].dead == DEAD


CIRCLES = {
    "two nodes": ("a = Relu (b)\n b = Neg (a)\n y = MatMul (a, W2)", "'a' from 'b' from 'a'"),
    "one node": ("a = Add (a, x)\n y = Relu (a)", "'a' from 'a'"),
    "behind other nodes": ("b = Add (x, c)\n c = Neg (d)\n d = Relu (c)\n y = Relu (b)", "'c' from 'd' from 'c'"),
    "through a body": (
        "k = Constant <value = bool {1}> ()\n a = If (k) <then_branch = t () => (float[n, 8] p) { p = Neg (q) }, "
        "else_branch = e () => (float[n, 8] o) { o = Neg (x) }>\n q = Relu (a)\n y = Relu (q)",
        "'a' from 'q' from 'a'",
    ),
    "within a body": (
        "k = Constant <value = bool {1}> ()\n a = If (k) <then_branch = t () => (float[n, 8] p) "
        "{ p = Neg (q)\n q = Neg (p) }, else_branch = e () => (float[n, 8] o) { o = Neg (x) }>\n y = Relu (a)",
        "'p' from 'q' from 'p'",
    ),
}


@pytest.mark.parametrize(("body", "circle"), CIRCLES.values(), ids=CIRCLES)
def test_nodes_in_a_circle_are_refused(body: str, circle: str) -> None:
    made = model("float[n, 8] y", body)
    for refused in (lambda: relu_audit.sites(made), lambda: relu_audit.audit(made, {"x": X})):
        with pytest.raises(ModelError, match=circle) as caught:
            refused()
        assert caught.value.slug == "invalid-model"


def test_a_circle_of_thousands_is_told_in_a_line() -> None:
    body = "\n".join(f"v{i} = Neg (v{i - 1})" for i in range(1, 3000))
    made = model("float[n, 8] y", f"v0 = Neg (v2999)\n{body}\n y = Relu (v0)")
    with pytest.raises(ModelError, match=r"'v0' from 'v2999' from .* from \.\.\. from 'v0'") as caught:
        relu_audit.sites(made)
    assert len(caught.value.message) < 300


def test_annotation_leaves_nodes_in_the_order_of_the_file() -> None:
    made = reordered(DEEP, lambda nodes: nodes[::-1])
    done = onnx.ModelProto.FromString(annotate(made, relu_audit.audit(made, {"x": X})).data)
    assert any(node.metadata_props for node in done.graph.node)
    for node in done.graph.node:
        del node.metadata_props[:]
    assert done.SerializeToString() == made.SerializeToString()


def test_functions_with_nodes_in_any_order() -> None:
    made = with_functions(
        "y0 = f.F (x)\n y = MatMul (y0, W2)",
        "F (a) => (b) { b = Relu (q)\n q = MatMul (a, w)\n w = Constant <value: tensor = @val> () }",
        {"val": numpy_helper.from_array(W1 * (B1 == 0))},
    )
    # onnxruntime wants functions sorted, so that the judge is numpy.
    (site,) = relu_audit.audit(made, {"x": X}).sites
    assert list(site.fired_samples) == (X @ (W1 * (B1 == 0)) > 0).sum(axis=0).tolist()


# Sequences, optional values and maps ---------------------------------------------------------------------------------

LAST = LAYER + "p = MatMul (r, W2)\n"
TRUE = "t = Constant <value = bool {1}> ()\n"
IN_SEQUENCES: Mapping[str, tuple[str, str, int, str]] = {
    "cut before": (
        "float[n, 4] y",
        """one = Constant <value = int64 {1}> ()
        xx = Concat <axis = 0> (x, x)
        n = Shape <start = 0, end = 1> (x)
        nn = Concat <axis = 0> (n, n)
        s = SplitToSequence <axis = 0> (xx, nn)
        e = SequenceAt (s, one)
        h = MatMul (e, W1)
        h1 = Add (h, b1)
        r = Relu (h1)
        y = MatMul (r, W2)""",
        2,
        "",
    ),
    "put together behind": (
        "float[m, 4] y",
        LAST + "s = SequenceConstruct (p, p)\n y = ConcatFromSequence <axis = 0> (s)",
        2,
        "",
    ),
    "given out": ("seq(float[n, 4]) y", LAST + "y = SequenceConstruct (p, x)", 2, ""),
    "of rectified values": (
        "float[m, 4] y",
        LAYER + "s = SequenceConstruct (r, r)\n c = ConcatFromSequence <axis = 0> (s)\n y = MatMul (c, W2)",
        0,
        "sequence",
    ),
    "of rectified values, given out": (
        "seq(float[n, 16]) z, float[n, 4] y",
        LAYER + "z = SequenceConstruct (r, r)\n y = MatMul (r, W2)",
        0,
        "sequence",
    ),
    "cut along the units": (
        "float[n, 4] y",
        LAYER
        + """s = SplitToSequence <axis = 1, keepdims = 1> (r)
        c = ConcatFromSequence <axis = 1> (s)
        y = MatMul (c, W2)""",
        0,
        "sequence",
    ),
    "counted": (
        "float[n, 4] y",
        LAYER
        + """s = SplitToSequence <axis = 1> (r)
        k = SequenceLength (s)
        kf = Cast <to = 1> (k)
        l = MatMul (r, W2)
        y = Mul (l, kf)""",
        0,
        "sequence",
    ),
    "emptied, filled and erased": (
        "float[m, 4] y",
        LAST
        + """e = SequenceEmpty ()
        a = SequenceInsert (e, p)
        b = SequenceInsert (a, p)
        c = SequenceErase (b)
        y = ConcatFromSequence <axis = 0> (c)""",
        2,
        "",
    ),
    "of weights": (
        "float[n, 4] y",
        """s = SequenceConstruct (W1, W2)
        z = Constant <value = int64 {0}> ()
        w = SequenceAt (s, z)
        h = MatMul (x, w)
        h1 = Add (h, b1)
        r = Relu (h1)
        y = MatMul (r, W2)""",
        0,
        "sequence",
    ),
    "mapped": (
        "float[m, 4] y",
        LAST
        + """s = SequenceConstruct (p, p)
        q = SequenceMap (s) <body = b (float[n, 4] e) => (float[n, 4] f) { f = Neg (e) }>
        y = ConcatFromSequence <axis = 0> (q)""",
        2,
        "",
    ),
    "of two branches": (
        "float[m, 4] y",
        LAST
        + TRUE
        + """s = If (t) <
            then_branch = a () => (seq(float[n, 4]) u) { u = SequenceConstruct (p, p) },
            else_branch = b () => (seq(float[n, 4]) v) { v = SequenceConstruct (p) }
        >
        y = ConcatFromSequence <axis = 0> (s)""",
        2,
        "",
    ),
    "filled in a loop": (
        "float[m, 4] y",
        LAST
        + TRUE
        + """k = Constant <value = int64 {3}> ()
        e = SequenceEmpty ()
        s = Loop (k, t, e) <body = b (int64 i, bool c, seq(float[n, 4]) u) => (bool d, seq(float[n, 4]) v) {
            v = SequenceInsert (u, p)
            d = Identity (c)
        }>
        y = ConcatFromSequence <axis = 0> (s)""",
        2,
        "",
    ),
    "optional value": ("float[n, 4] y", LAST + "o = Optional (p)\n y = OptionalGetElement (o)", 2, ""),
    "optional value, given out": ("optional(float[n, 4]) y", LAST + "o = Optional (p)\n y = Identity (o)", 2, ""),
    "optional sequence": (
        "float[m, 4] y",
        LAST
        + """s = SequenceConstruct (p, p)
        o = Optional (s)
        q = OptionalGetElement (o)
        y = ConcatFromSequence <axis = 0> (q)""",
        2,
        "",
    ),
    "map, given out": (
        "seq(map(int64, float)) z, float[n, 4] y",
        LAST + "y = Softmax (p)\n z = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2, 3]> (y)",
        2,
        "",
    ),
    "map alone": (
        "seq(map(string, float)) z",
        LAST + 'y = Softmax (p)\n z = ai.onnx.ml.ZipMap <classlabels_strings = ["a", "b", "c", "d"]> (y)',
        2,
        "",
    ),
    "map that nobody reads": (
        "float[n, 4] y",
        LAST + "y = Softmax (p)\n z = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2, 3]> (y)",
        2,
        "",
    ),
    "map of rectified values": (
        "seq(map(int64, float)) z, float[n, 4] y",
        LAST + f"y = Softmax (p)\n z = ai.onnx.ml.ZipMap <classlabels_int64s = {[*range(16)]}> (r)",
        0,
        "sequence",
    ),
}


@pytest.mark.parametrize(("outputs", "body", "removed", "reason"), IN_SEQUENCES.values(), ids=IN_SEQUENCES)
def test_values_that_are_no_tensors(outputs: str, body: str, removed: int, reason: str) -> None:
    audit, pruned = check(model(outputs, body), removed=removed)
    assert audit.sites[0].dead == DEAD
    assert {unit.slug for unit in pruned.plan.kept} == ({reason} if reason else set())


def test_a_rectifier_in_a_mapped_body_is_listed() -> None:
    body = """s = SequenceConstruct (x, x)
    q = SequenceMap (s) <body = b (float[n, 8] e) => (float[n, 8] f) { f = Relu (e) }>
    y = ConcatFromSequence <axis = 0> (q)"""
    made = model("float[m, 8] y", body)
    audit = relu_audit.audit(made, {"x": X}, require_observed=True)
    assert [(one.tensor, one.slug) for one in audit.skipped] == [("f", "in-subgraph")]
    assert audit.gate.outcome != "passed"


def test_a_map_in_a_function_is_computed() -> None:
    made = model("seq(map(int64, float)) z", LAST + "q = Softmax (p)\n z = f.Zip (q)")
    made.functions.append(
        onnx.parser.parse_function(
            '<domain: "f", opset_import: ["" : 18, "ai.onnx.ml" : 3]> Zip (a) => (b) '
            "{ b = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2, 3]> (a) }"
        )
    )
    made.opset_import.append(helper.make_opsetid("f", 1))
    check(made)


# Inputs that are no tensors ------------------------------------------------------------------------------------------

OPTIONAL = """has = OptionalHasElement (bias)
more = If (has) <
    then_branch = t () => (float[n, 8] u) { u = OptionalGetElement (bias) },
    else_branch = e () => (float[n, 8] v) { v = Mul (x, zero) }
>
x1 = Add (x, more)
h = MatMul (x1, W1)
h1 = Add (h, b1)
r = Relu (h1)
y = MatMul (r, W2)"""


def optional_input(kind: str = "optional(float[n, 8])") -> onnx.ModelProto:
    made = model("float[n, 4] y", OPTIONAL, f"float[n, 8] x, {kind} bias")
    made.graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    return made


@pytest.mark.parametrize("fed", [False, True], ids=["left out", "fed"])
def test_an_optional_input_is_fed_what_there_is(fed: bool) -> None:
    data = {"x": X, "bias": np.roll(X, 1, axis=0)} if fed else {"x": X}
    audit, _ = check(optional_input(), data=data)
    assert audit.sites[0].dead == DEAD
    assert [one.name for one in audit.data.inputs] == [*data]


def test_an_optional_input_may_be_none() -> None:
    feeds = [{"x": X[i : i + 1], "bias": None} for i in range(len(X))]
    audit = relu_audit.audit(optional_input(), iter(feeds))
    assert list(audit.sites[0].fired_samples) == fired(optional_input(), "r", {"x": X})


def test_an_optional_input_may_be_there_in_some_feeds() -> None:
    feeds = [{"x": X[i : i + 1], **({"bias": X[i : i + 1]} if i % 2 else {})} for i in range(len(X))]
    audit = relu_audit.audit(optional_input(), iter(feeds))
    odd, even = X[1::2], X[::2]
    there = np.array(fired(optional_input(), "r", {"x": odd, "bias": odd}))
    assert list(audit.sites[0].fired_samples) == (there + fired(optional_input(), "r", {"x": even})).tolist()
    assert [one.name for one in audit.data.inputs] == ["x", "bias"]


def test_made_up_data_leaves_optional_inputs_out() -> None:
    audit = relu_audit.audit(optional_input(), "random:20")
    assert [one.name for one in audit.data.inputs] == ["x"]


def test_an_array_without_a_name_feeds_the_input_that_is_needed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    audit = relu_audit.audit(optional_input(), tmp_path / "x.npy")
    assert list(audit.sites[0].fired_samples) == fired(optional_input(), "r", {"x": X})


@pytest.mark.parametrize(
    ("inputs", "body", "what"),
    [
        ("seq(float[n, 4]) xs", "x = ConcatFromSequence <axis = 1> (xs)\n" + LAYER + "y = MatMul (r, W2)", "sequence"),
        (
            "map(int64, float) xs",
            f"x = ai.onnx.ml.DictVectorizer <int64_vocabulary = {[*range(8)]}> (xs)\n" + LAYER + "y = MatMul (r, W2)",
            "map",
        ),
    ],
    ids=["sequence", "map"],
)
def test_inputs_that_cannot_be_fed_are_named(inputs: str, body: str, what: str, tmp_path: Path) -> None:
    made = model("float[n, 4] y", body, inputs)
    assert [site.tensor for site in relu_audit.sites(made).sites] == ["r"]
    onnx.save(made, tmp_path / "m.onnx")
    for data in ({"xs": X}, "random:5"):
        with pytest.raises(AuditError, match=f"input 'xs' is a {what}") as caught:
            relu_audit.audit(tmp_path / "m.onnx", data)
        assert caught.value.slug == "input-kind"


def test_an_optional_sequence_can_be_left_out_but_not_fed() -> None:
    made = optional_input("optional(seq(float[n, 8]))")
    made.graph.node[1].attribute[0].g.node[0].op_type = "OptionalGetElement"
    then = made.graph.node[1].attribute[0].g
    del then.node[:]
    then.node.append(helper.make_node("OptionalGetElement", ["bias"], ["us"]))
    then.node.append(helper.make_node("ConcatFromSequence", ["us"], ["u"], axis=0))
    audit = relu_audit.audit(made, {"x": X})
    assert list(audit.sites[0].fired_samples) == fired(made, "r", {"x": X})
    with pytest.raises(AuditError, match="'bias' is a sequence"):
        relu_audit.audit(made, {"x": X, "bias": X})


# Functions and their attributes --------------------------------------------------------------------------------------


def with_functions(
    body: str, text: str, defaults: Mapping[str, Any], *, more: str = "", inputs: str = "float[n, 8] x"
) -> onnx.ModelProto:
    """A model whose function ``f.F`` has default values for attributes; ``more`` is a function that calls it."""
    made = model("float[n, 4] y", body, inputs)
    header = '<domain: "f", opset_import: ["" : 18, "f" : 1]>'
    for function in filter(None, (text, more)):
        made.functions.append(onnx.parser.parse_function(f"{header} {function}"))
    made.functions[0].attribute_proto.extend(helper.make_attribute(name, value) for name, value in defaults.items())
    made.opset_import.append(helper.make_opsetid("f", 1))
    return made


ALIVE = W1 * (B1 == 0)
"""The first layer, with zeros for the weights of what is dead."""

CALL = "r = f.F (x)\n y = MatMul (r, W2)"
WEIGHT = "F (a) => (b) { w = Constant <value: tensor = @val> ()\n h = MatMul (a, w)\n b = Relu (h) }"
TENSOR = {"val": numpy_helper.from_array(ALIVE)}
ITS_BRANCH = graph("float[1] unused", "float[n, 8] g", "g = Abs (a)").graph
ITS_BRANCH.ClearField("input")
BRANCH = (
    "F (a, w) => (b) { t = Constant <value = bool {1}> ()\n g = If (t) <then_branch: graph = @branch, "
    "else_branch = e () => (float[n, 8] o) { o = Neg (a) }>\n h = MatMul (g, w)\n b = Relu (h) }"
)
CALL_WITH_WEIGHT = "wa = Mul (W1, alive)\n r = f.F (x, wa)\n y = MatMul (r, W2)"

CALL_ON_SUMS = "h = MatMul (x, W1)\n r = f.F (h)\n y = MatMul (r, W2)"
ADDING = "F (a) => (b) {{ c = Constant <{}> ()\n d = Cast <to = 1> (c)\n s = Add (a, d)\n b = Relu (s) }}"
FLOATS = ADDING.format("value_floats: floats = @by")
FLOAT = ADDING.format("value_float: float = @by")
INTS = ADDING.format("value_ints: ints = @by")
INT = ADDING.format("value_int: int = @by")
EINSUM = "F (a, w) => (b) { s = Einsum <equation: string = @how> (a, w)\n b = Relu (s) }"
RECURRENT = """F (a, w) => (b) {
    at = Constant <value = int64[1] {0}> ()
    u = Unsqueeze (a, at)
    wu = Unsqueeze (w, at)
    again = Constant <value: tensor = @again> ()
    steps, last = RNN <hidden_size = 16, activations: strings = @kinds> (u, wu, again)
    b = Squeeze (last, at)
}"""
IN_A_BRANCH = """wa = Mul (W1, alive)
k = Constant <value = bool {1}> ()
r = If (k) <
    then_branch = t () => (float[n, 16] r0) { r0 = f.F (x, wa) },
    else_branch = e () => (float[n, 16] z) { z = MatMul (x, W1) }
>
y = MatMul (r, W2)"""


def given(array: np.ndarray) -> str:
    listed = ", ".join(map(str, array.ravel().tolist()))
    return CALL.replace("f.F", f"f.F <val = float[8, 16] {{{listed}}}>")


FUNCTIONS: Mapping[str, tuple[Callable[[], onnx.ModelProto], Callable[[np.ndarray], np.ndarray]]] = {
    "tensor": (lambda: with_functions(CALL, WEIGHT, TENSOR), lambda x: x @ ALIVE),
    "tensor, given": (lambda: with_functions(given(ALIVE * 2), WEIGHT, TENSOR), lambda x: x @ ALIVE * 2),
    "sparse tensor": (
        lambda: with_functions(CALL, WEIGHT.replace("value: ", "sparse_value: sparse_"), {"val": sparse(SPARSE)}),
        lambda x: x @ SPARSE,
    ),
    "tensor, handed on": (
        lambda: with_functions(
            given(ALIVE * 3).replace("f.F", "f.G").replace("val", "v"),
            WEIGHT,
            TENSOR,
            more="G <v> (a) => (b) { b = f.F <val: tensor = @v> (a) }",
        ),
        lambda x: x @ ALIVE * 3,
    ),
    "tensor of the one called": (
        lambda: with_functions(CALL.replace("f.F", "f.G"), WEIGHT, TENSOR, more="G (a) => (b) { b = f.F (a) }"),
        lambda x: x @ ALIVE,
    ),
    "floats": (lambda: with_functions(CALL_ON_SUMS, FLOATS, {"by": B1.tolist()}), lambda x: x @ W1 + B1),
    "float": (lambda: with_functions(CALL_ON_SUMS, FLOAT, {"by": -9.0}), lambda x: x @ W1 - 9),
    "ints": (lambda: with_functions(CALL_ON_SUMS, INTS, {"by": B1.astype(int).tolist()}), lambda x: x @ W1 + B1),
    "int": (lambda: with_functions(CALL_ON_SUMS, INT, {"by": -9}), lambda x: x @ W1 - 9),
    "string": (
        lambda: with_functions(CALL.replace("(x)", "(x, W1)"), EINSUM, {"how": "ij,jk->ik"}),
        lambda x: x @ W1,
    ),
    "strings": (
        lambda: with_functions(
            "w = Transpose (W1)\n" + CALL.replace("(x)", "(x, w)"),
            RECURRENT,
            {"kinds": ["Relu"], "again": numpy_helper.from_array(np.zeros((1, 16, 16), np.float32))},
        ),
        lambda x: x @ W1,
    ),
    "graph": (
        lambda: with_alive(with_functions(CALL_WITH_WEIGHT, BRANCH, {"branch": ITS_BRANCH})),
        lambda x: np.abs(x) @ ALIVE,
    ),
    "graph of the one called": (
        lambda: with_alive(
            with_functions(
                CALL_WITH_WEIGHT.replace("f.F", "f.G"),
                BRANCH,
                {"branch": ITS_BRANCH},
                more="G (a, w) => (b) { b = f.F (a, w) }",
            )
        ),
        lambda x: np.abs(x) @ ALIVE,
    ),
    "graph, called in a branch": (
        lambda: with_alive(with_functions(IN_A_BRANCH, BRANCH, {"branch": ITS_BRANCH})),
        lambda x: np.abs(x) @ ALIVE,
    ),
}


def with_alive(made: onnx.ModelProto) -> onnx.ModelProto:
    made.graph.initializer.append(numpy_helper.from_array((B1 == 0).astype(np.float32), "alive"))
    return made


@pytest.mark.parametrize(("make", "before"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_with_default_values(
    make: Callable[[], onnx.ModelProto], before: Callable[[np.ndarray], np.ndarray]
) -> None:
    made = make()
    results(made, [{"x": X}])  # onnxruntime runs it
    (listed_site,) = relu_audit.sites(made).sites
    audit = relu_audit.audit(made, {"x": X})
    (site,) = audit.sites
    assert site.tensor == listed_site.tensor
    counts = (before(X) > 0).sum(axis=0)
    assert list(site.fired_samples) == counts.tolist()
    pruned = relu_audit.prune(made, audit, data={"x": X}, align=1)
    assert pruned.verification is not None
    same(results(made, [{"x": X}]), results(pruned.model, [{"x": X}]))
    assert len(pruned.plan.removed) + len(pruned.plan.kept) == (counts == 0).sum()


def test_a_function_with_several_graphs_is_several_functions() -> None:
    made = with_alive(with_functions(CALL_WITH_WEIGHT, BRANCH, {"branch": ITS_BRANCH}))
    mirrored = graph("float[1] unused", "float[n, 8] k", "k0 = Abs (a)\n k = Neg (k0)").graph
    mirrored.ClearField("input")
    other = RNG.integers(-3, 4, (8, 16)).astype(np.float32)
    made.graph.initializer.append(numpy_helper.from_array(other, "other"))
    made.graph.node.append(helper.make_node("F", ["x", "other"], ["r2"], domain="f", branch=mirrored))
    made.graph.output.add(name="r2")
    audit = relu_audit.audit(made, {"x": X})
    expected = [np.abs(X) @ ALIVE > 0, -np.abs(X) @ other > 0]
    assert [list(site.fired_samples) for site in audit.sites] == [one.sum(axis=0).tolist() for one in expected]
    assert [site.scope for site in audit.sites] == ["r/f::F", "r2/f::F"]
    assert not annotate(made, audit).missing


def test_a_graph_that_reads_values_of_the_caller_is_refused() -> None:
    made = with_alive(with_functions("q = Neg (x)\n" + CALL_WITH_WEIGHT, BRANCH, {}))
    reading = graph("float[1] unused", "float[n, 8] k", "k = Abs (q)").graph
    reading.ClearField("input")
    made.functions[0].attribute.append("branch")
    next(node for node in made.graph.node if node.op_type == "F").attribute.append(
        helper.make_attribute("branch", reading)
    )
    with pytest.raises(AuditError) as caught:
        relu_audit.sites(made)
    assert caught.value.slug == "function"


def test_a_function_that_calls_itself_with_a_graph_is_refused() -> None:
    text = (
        "F (a, w) => (b) { t = Constant <value = bool {1}> ()\n g = If (t) <then_branch: graph = @branch, "
        "else_branch: graph = @branch>\n b = f.F <branch = e () => (float[n, 8] o) { o = Neg (a) }> (g, w) }"
    )
    made = with_alive(with_functions(CALL_WITH_WEIGHT, text, {"branch": ITS_BRANCH}))
    with pytest.raises(AuditError) as caught:
        relu_audit.sites(made)
    assert caught.value.slug in ("function", "invalid-model")


# NaN and infinity in the data ----------------------------------------------------------------------------------------

MISSING = X.copy()
MISSING[RNG.random(X.shape) < 0.2] = np.nan
IMPUTER = "ai.onnx.ml.Imputer <replaced_value_float = nan, imputed_value_floats = [{}]>"
IMPUTED = IMPUTER.format(", ".join(["1.0"] * 8))
BEHIND = "h = MatMul (i, W1)\n h1 = Add (h, b1)\n r = Relu (h1)\n y = MatMul (r, W2)"
ZERO = "zero = Constant <value = float {0}> ()\n"

ASKED = ZERO + "n = IsNaN (x)\n"
SCALED = "m = Constant <value = float {2}> ()\n s = Sub (x, m)\n"
IMPUTED_IN_ONE = f"then_branch = a () => (float[n, 8] u) {{ u = {IMPUTED} (x) }}"

TAKEN = {
    "imputer": f"i = {IMPUTED} (x)",
    "imputer behind a scaler": SCALED + f"s2 = Identity (s)\n i = {IMPUTED} (s2)",
    "where": ASKED + "i = Where (n, zero, x)",
    "where not": ASKED + "k = Not (n)\n i = Where (k, x, zero)",
    "where, scaled": ASKED + "s = Mul (x, x)\n i = Where (n, zero, s)",
    "where, asked behind the scaler": ZERO + SCALED + "n = IsNaN (s)\n i = Where (n, zero, x)",
    "where, or infinite": ASKED + "f = IsInf (x)\n o = Or (n, f)\n i = Where (o, zero, x)",
    "where, cast to and fro": ASKED + "c = Cast <to = 6> (n)\n d = Cast <to = 9> (c)\n i = Where (d, zero, x)",
    "only which are missing": ASKED + "i = Cast <to = 1> (n)",
    "both": ASKED + f"c = Cast <to = 1> (n)\n j = {IMPUTED} (x)\n i = Add (c, j)",
    "in both branches": TRUE
    + f"i = If (t) <{IMPUTED_IN_ONE}, else_branch = b () => (float[n, 8] v) {{ v = {IMPUTED} (x) }}>",
}

REFUSED = {
    "nothing": "i = Identity (x)",
    "another number replaced": f"i = {IMPUTED.replace('nan', '0.0')} (x)",
    "replaced by NaN": f"i = {IMPUTER.format('nan')} (x)",
    "a path around": f"j = {IMPUTED} (x)\n i = Add (j, x)",
    "where of another value": ZERO + "m = Neg (zero)\n n = IsNaN (m)\n i = Where (n, zero, x)",
    "where the wrong way": ASKED + "i = Where (n, x, zero)",
    "where and infinite": ASKED + "f = IsInf (x)\n o = And (n, f)\n i = Where (o, zero, x)",
    "multiplied away": ASKED + "k = Not (n)\n c = Cast <to = 1> (k)\n i = Mul (x, c)",
    "in one branch": TRUE + f"i = If (t) <{IMPUTED_IN_ONE}, else_branch = b () => (float[n, 8] v) {{ v = Neg (x) }}>",
    "mixed first": ASKED + "one = Constant <value = int64 {1}> ()\n s = CumSum (x, one)\n i = Where (n, zero, s)",
}


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_nan_that_the_graph_takes_care_of_is_taken(body: str) -> None:
    made = model("float[n, 4] y", f"{body}\n{BEHIND}")
    assert not any(np.isnan(out).any() for (out,) in results(made, [{"x": MISSING}]))
    check(made, data={"x": MISSING}, removed=None)


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_nan_that_gets_through_is_refused(body: str) -> None:
    made = model("float[n, 4] y", f"{body}\n{BEHIND}")
    with pytest.raises(AuditError) as caught:
        relu_audit.audit(made, {"x": MISSING})
    assert caught.value.slug == "data-nan"


def test_nan_is_refused_input_by_input() -> None:
    made = model("float[n, 4] y", f"j = {IMPUTED} (x)\n i = Add (j, x2)\n" + BEHIND, "float[n, 8] x, float[n, 8] x2")
    check(made, data={"x": MISSING, "x2": X}, removed=None)
    with pytest.raises(AuditError, match="'x2' holds NaN"):
        relu_audit.audit(made, {"x": X, "x2": MISSING})


def test_nan_that_is_given_out_is_refused() -> None:
    made = model("float[n, 4] y, float[n, 8] z", f"i = {IMPUTED} (x)\n z = Neg (x)\n" + BEHIND)
    with pytest.raises(AuditError, match="holds NaN"):
        relu_audit.audit(made, {"x": MISSING})


def test_what_runs_decides_which_units_are_faulty() -> None:
    made = model("float[n, 4] y", "q = Relu (x)\n" + f"i = {IMPUTED} (q)\n" + BEHIND)
    audit = relu_audit.audit(made, {"x": MISSING})
    assert set(audit.sites[0].faulty) == set(np.flatnonzero(np.isnan(MISSING).any(axis=0)).tolist())
    assert not audit.sites[1].faulty


def test_nan_through_a_loop() -> None:
    def made(start: str) -> onnx.ModelProto:
        loop = (
            f"t = Constant <value = bool {{1}}> ()\n k = Constant <value = int64 {{3}}> ()\n j = {IMPUTED} (x)\n"
            f" i = Loop (k, t, {start}) <body = b (int64 n0, bool c, float[n, 8] u) => (bool d, float[n, 8] v) "
            "{ v = Neg (u)\n d = Identity (c) }>\n"
        )
        return model("float[n, 4] y", loop + BEHIND)

    check(made("j"), data={"x": MISSING}, removed=None)
    with pytest.raises(AuditError, match="holds NaN"):
        relu_audit.audit(made("x"), {"x": MISSING})


def test_infinity_is_taken_and_the_runtime_shows_what_it_does() -> None:
    data = X.copy()
    data[::7, 3] = np.inf
    made = model("float[n, 4] y", ZERO + "f = IsInf (x)\n i = Where (f, zero, x)\n" + BEHIND)
    audit, _ = check(made, data={"x": data})
    assert not audit.sites[0].faulty


# Layers without units ------------------------------------------------------------------------------------------------

NOTHING = np.zeros((8, 0), np.float32)
AN_EMPTY_ONE = "g = MatMul (x, none)\n z = Relu (g)\n"
NORMALISED = "h = MatMul (x, none)\n a = Softmax (h)\n y = Relu (a)"
EMPTY = {
    "alone": ("float[n, k] y", "h = MatMul (x, none)\n y = Relu (h)", "y"),
    "normalised": ("float[n, k] y", NORMALISED, "y"),
    "before a layer": ("float[n, 4] y", "h = Gemm (x, none, no)\n r = Relu (h)\n y = MatMul (r, back)", "r"),
    "beside a layer": ("float[n, 4] y, float[n, k] z", AN_EMPTY_ONE + LAYER + "y = MatMul (r, W2)", "r"),
    "behind a layer": ("float[n, k] y", LAYER + "g = MatMul (r, wide)\n y = Relu (g)", "r"),
    "joined": ("float[n, 4] y", AN_EMPTY_ONE + LAYER + "c = Concat <axis = 1> (r, z)\n y = MatMul (c, W2)", "r"),
}


@pytest.mark.parametrize("merge", [False, True], ids=["plain", "merged and scattered"])
@pytest.mark.parametrize(("outputs", "body", "tensor"), EMPTY.values(), ids=EMPTY)
def test_a_layer_without_units(outputs: str, body: str, tensor: str, merge: bool) -> None:
    made = model(outputs, body)
    empty = {"none": NOTHING, "no": NOTHING[0], "back": np.zeros((0, 4)), "wide": np.zeros((16, 0))}
    made.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in empty.items() if name in body
    )
    check(made, tensor, removed=None)
    audit = relu_audit.audit(made, {"x": X}, costs=True, max_dead=0.1)
    for align in (1, 8):
        pruned = relu_audit.prune(made, audit, data={"x": X}, align=align, merge_linear=merge, scatter=merge)
        assert all(one.slug in ("empty", "last-unit", "alignment") for one in pruned.plan.kept)


def test_a_layer_without_units_in_every_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = model("float[n, k] y", "h = MatMul (x, none)\n y = Relu (h)")
    made.graph.initializer.append(numpy_helper.from_array(NOTHING, "none"))
    onnx.save(made, "m.onnx")
    np.savez("d.npz", x=X)
    formats = ("json", "html", "markdown", "junit", "sarif", "csv")
    reports = [text for name in formats for text in (f"--{name}", f"r.{name}")]
    assert run(["audit", "m.onnx", "--data", "d.npz", "--max-dead", "10%", *reports]) == 3
    assert run(["sites", "m.onnx"]) == 0
    assert run(["prune", "m.onnx", "--data", "d.npz", "-o", "s.onnx", "--json", "p.json", "--html", "p.html"]) == 0


# Notes ---------------------------------------------------------------------------------------------------------------


def test_sizes_that_were_not_tried_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file leaves a length open, and what is added to the input fixes it."""
    monkeypatch.chdir(tmp_path)
    body = "x1 = Add (x, at)\n h = MatMul (x1, W1)\n h1 = Add (h, b1)\n r = Relu (h1)\n y = MatMul (r, W2)"
    made = model("float[n, t, 4] y", body, "float[n, t, 8] x")
    made.graph.initializer.append(numpy_helper.from_array(np.ones((5, 8), np.float32), "at"))
    onnx.save(made, "m.onnx")
    np.savez("d.npz", x=X.reshape(8, 5, 8))
    assert run(["prune", "m.onnx", "--data", "d.npz", "-o", "s.onnx", "--json", "p.json", "--html", "p.html"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for said in ("the model ran on no made-up input of other sizes", "the original does not run on 3 made-up inputs"):
        assert f"note: {said}" in printed
        assert said in Path("p.json").read_text()
        assert said in Path("p.html").read_text()


def test_a_layer_whose_channels_are_resized_is_examined() -> None:
    body = """c = Conv (x, w)
    r = Relu (c)
    d = Resize <mode = "nearest"> (r, , scales)
    y = Conv (d, v)"""
    made = graph("float[n, 2, 4, 4] x", "float[n, 3, 4, 4] y", body)
    kernel = RNG.standard_normal((8, 2, 1, 1))
    kernel[[1, 6]] = 0
    weights = {"w": kernel, "v": RNG.standard_normal((3, 12, 1, 1)), "scales": np.array([1, 1.5, 1, 1])}
    for name, array in weights.items():
        made.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    audit = relu_audit.audit(made, {"x": RNG.standard_normal((9, 2, 4, 4)).astype(np.float32)})
    assert audit.sites[0].dead == DEAD
    assert audit.sites[0].causes is not None
    assert not audit.sites[0].causes.not_examined
    assert audit.notes == ()


def test_what_cannot_be_bounded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from relu_audit.values import bounds

    def contradicted(at: object) -> None:
        raise LookupError

    broken = replace(bounds.ALL["", "Neg"], rule=contradicted)
    monkeypatch.setattr(bounds, "ALL", {**bounds.ALL, ("", "Neg"): broken})
    made = model("float[n, 4] y", LAYER + "k = Neg (r)\n q = MatMul (k, W2)\n s = Add (q, low)\n y = Relu (s)")
    made.graph.initializer.append(numpy_helper.from_array(np.full(4, -1e6, np.float32), "low"))
    audit = relu_audit.audit(made, {"x": X})
    assert len(audit.sites[1].dead) == 4
    assert any("the range of what Neg computes is not known" in note for note in audit.notes)


def test_a_plan_without_trouble_has_no_notes() -> None:
    made = model("float[n, 4] y", LAST + "y = Identity (p)")
    _, pruned = check(made)
    assert pruned.plan.notes == ()


# The cases that were reported ----------------------------------------------------------------------------------------

REPORTED = {
    "07_sparse_weights/initializer.onnx": ("data.npz", "r", DEAD),
    "07_sparse_weights/constant.onnx": ("data.npz", "r", DEAD),
    "08_unsorted_nodes/model.onnx": ("data.npz", "r", DEAD),
    "09_split_to_sequence/model.onnx": ("data.npz", "r", DEAD),
    "13_imputer_nan/model.onnx": ("data.npz", "r", DEAD),
    "17_optional_and_sequence_inputs/optional.onnx": ("optional.npz", "r", DEAD),
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", REPORTED)
def test_reported_cases(name: str) -> None:
    file, tensor, dead = REPORTED[name]
    with np.load((CASES / name).parent / file) as arrays:
        data = dict(arrays)
    audit, _ = check(onnx.load(CASES / name), tensor, data)
    assert audit.sites[0].dead == dead


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", ["fn_default_tensor", "unordered", "zero_units"])
def test_reported_odd_models(name: str, tmp_path: Path) -> None:
    file = CASES / "hostile" / f"{name}.onnx"
    assert run(["sites", str(file)]) == 0
    with np.load(CASES / "hostile" / "x.npz") as arrays:
        data = dict(arrays)
    audit = relu_audit.audit(file, data)
    pruned = relu_audit.prune(file, audit, data=data, align=1)
    same(results(onnx.load(file), [data]), results(pruned.model, [data]))
    if name != "zero_units":
        (tensor,) = (site.tensor for site in audit.sites)
        assert list(audit.sites[0].fired_samples) == fired(
            onnx.load(file), tensor if name == "unordered" else "y", data
        )
