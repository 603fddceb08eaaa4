"""Rectifiers in model-local functions: counted per call, named so that a user finds them, merged where weights are."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx.inliner
import onnx.parser
import pytest

from relu_audit import audit
from relu_audit.errors import AuditError, ModelError
from relu_audit.records import Audit
from tests.graphs import graph
from tests.oracle import assert_agrees, one_by_one, oracle
from tests.spellings import with_functions, within

RNG = np.random.default_rng(23)
W = RNG.integers(-3, 4, (4, 6)).astype(np.float32)
V = RNG.integers(-3, 4, (6, 6)).astype(np.float32)
W[:, 2], V[:, 4] = 0, 0
X = RNG.integers(-3, 4, (50, 4)).astype(np.float32)

LAYER = "Layer (a, w) => (r) { h = MatMul (a, w)\n r = Relu (h) }"
ACT = "Act (a) => (b) { b = Relu (a) }"


def model(body: str, *functions: str, names: tuple[str, ...] = (), opset: int = 18) -> onnx.ModelProto:
    """Lines over inputs ``x``, ``x2`` and weights ``w``, ``v``, ``u``; ``names`` are those of the nodes, in order."""
    weights = {
        name: value for name, value in {"w": W, "v": V, "u": V.T.copy()}.items() if re.search(rf"\b{name}\b", body)
    }
    inputs = "float[n, 4] x" + (", float[n, 4] x2" if "x2" in body else "")
    made = with_functions(graph(inputs, "float[n, 6] y", body, weights), *functions, opset=opset)
    for node, name in zip(made.graph.node, names, strict=False):
        node.name = name
    return made


def named(made: onnx.ModelProto, function: str, *names: str) -> onnx.ModelProto:
    """The model with names for the nodes of a function."""
    body = next(f for f in made.functions if f.name == function)
    for node, name in zip(body.node, names, strict=True):
        node.name = name
    return made


def seen(made: onnx.ModelProto, **data: np.ndarray) -> Audit:
    found = audit(made, data or {"x": X})
    assert not found.skipped
    return found


def assert_true(found: Audit, made: onnx.ModelProto) -> None:
    """What onnx's own inliner makes of the model has the same rectifiers, by brute force."""
    flat = onnx.inliner.inline_local_functions(made)
    relus = [node.output[0] for node in flat.graph.node if node.op_type == "Relu"]
    truths = list(oracle(flat, one_by_one({"x": X}), dict.fromkeys(relus, 1)).values())
    assert len(found.sites) == len(truths)
    for site, truth in zip(found.sites, truths, strict=True):
        assert_agrees(site, truth)


# Names ---------------------------------------------------------------------------------------------------------------


def test_the_scope_is_the_node_that_calls_and_the_function() -> None:
    made = model("y = local.Layer (x, w)", LAYER, names=("/encoder/fc1",))
    found = seen(made)
    assert [site.scope for site in found.sites] == ["/encoder/fc1/local::Layer"]
    assert_true(found, made)


def test_a_call_without_a_name_goes_by_its_result() -> None:
    found = seen(model("hidden = local.Layer (x, w)\n y = local.Layer (hidden, v)", LAYER))
    assert [site.scope for site in found.sites] == ["hidden/local::Layer", "y/local::Layer"]


def test_calls_within_calls_are_named_from_the_outermost() -> None:
    outer = "Block (a, w) => (r) { h = MatMul (a, w)\n r = local.Act (h) }"
    made = named(model("y = local.Block (x, w)", outer, ACT, names=("block1",)), "Block", "linear", "act")
    found = seen(made)
    assert [site.scope for site in found.sites] == ["block1/local::Block/act/local::Act"]
    assert_true(found, made)


def test_the_order_in_which_functions_are_listed_does_not_matter() -> None:
    outer = "Block (a, w) => (r) { h = MatMul (a, w)\n r = local.Act (h) }"
    for functions in ((outer, ACT), (ACT, outer)):
        made = named(model("y = local.Block (x, w)", *functions, names=("block1",)), "Block", "linear", "act")
        assert [site.scope for site in seen(made).sites] == ["block1/local::Block/act/local::Act"]


def test_a_function_called_at_several_depths_is_named_by_each() -> None:
    mid = "Mid (a, w) => (r) { h = MatMul (a, w)\n r = local.Act (h) }"
    top = "Top (a, w, v) => (r) { h = local.Mid (a, w)\n g = MatMul (h, v)\n r = local.Act (g) }"
    body = "t = local.Top (x, w, v)\n m = local.Mid (t, u)\n k = Neg (m)\n y = local.Act (k)"
    made = model(body, mid, top, ACT, names=("top", "mid", "neg", "act"))
    made = named(named(made, "Mid", "fc", "inner"), "Top", "one", "fc", "two")
    found = seen(made)
    assert [site.scope for site in found.sites] == [
        "top/local::Top/one/local::Mid/inner/local::Act",
        "top/local::Top/two/local::Act",
        "mid/local::Mid/inner/local::Act",
        "act/local::Act",
    ]


def test_scopes_are_the_same_on_every_run() -> None:
    made = model("a = local.Layer (x, w)\n y = local.Layer (a, v)", LAYER)
    assert [s.scope for s in seen(made).sites] == [s.scope for s in seen(made).sites]
    assert [s.tensor for s in seen(made).sites] == [s.tensor for s in seen(made).sites]


def test_what_stays_alive_and_what_is_skipped_is_named_as_well() -> None:
    leaky = "Leaky (a) => (b) { b = LeakyRelu (a) }"
    bound = "Bound (a, c) => (b) { low = ReduceMin <keepdims = 0> (c)\n b = Clip (a, low) }"
    made = model(
        "h = MatMul (x, w)\n a = local.Leaky (h)\n y = local.Bound (a, h)", leaky, bound, names=("fc", "p", "q")
    )
    found = audit(made, {"x": X})
    assert [one.scope for one in found.alive] == ["p/local::Leaky"]
    assert [one.scope for one in found.skipped] == ["q/local::Bound"]


# Called twice --------------------------------------------------------------------------------------------------------


def test_called_twice_with_different_weights_is_two_sites() -> None:
    made = model("a = local.Layer (x, w)\n y = local.Layer (a, v)", LAYER, names=("fc1", "fc2"))
    found = seen(made)
    assert [site.scope for site in found.sites] == ["fc1/local::Layer", "fc2/local::Layer"]
    assert len({site.tensor for site in found.sites}) == 2
    assert [site.weight for site in found.sites] == ["w", "v"]
    assert [2 in found.sites[0].dead, 4 in found.sites[1].dead] == [True, True]
    assert_true(found, made)


def test_called_twice_with_the_same_weights_is_one_site() -> None:
    body = "a = local.Layer (x, w)\n b = local.Layer (x2, w)\n y = Add (a, b)"
    made = model(body, LAYER, names=("left", "right"))
    (site,) = seen(made, x=X, x2=X[::-1].copy()).sites
    assert len(site.tensors) == 2
    assert site.tensor == site.tensors[0]
    assert site.scope == "left/local::Layer"
    flat = onnx.inliner.inline_local_functions(made)
    relus = [node.output[0] for node in flat.graph.node if node.op_type == "Relu"]
    feeds = one_by_one({"x": X, "x2": X[::-1].copy()})
    (truth,) = oracle(flat, feeds, dict.fromkeys(relus, 1), together=[relus]).values()
    assert_agrees(site, truth)
    assert site.positions == 2 * len(X)


def test_called_twice_with_weights_of_its_own_is_one_site() -> None:
    rows = ", ".join(f"{number:g}" for number in V.ravel())
    own = f"Own (a) => (r) {{ w = Constant <value = float[6, 6] {{ {rows} }}> ()\n h = MatMul (a, w)\n r = Relu (h) }}"
    made = model("h = MatMul (x, w)\n a = local.Own (h)\n b = Neg (h)\n c = local.Own (b)\n y = Add (a, c)", own)
    (site,) = seen(made).sites
    assert (len(site.tensors), site.positions, site.dead) == (2, 2 * len(X), (4,))


def test_an_activation_called_twice_is_two_sites_of_two_weights() -> None:
    made = model("h = MatMul (x, w)\n a = local.Act (h)\n g = MatMul (a, v)\n y = local.Act (g)", ACT)
    found = seen(made)
    assert [site.weight for site in found.sites] == ["w", "v"]
    assert [site.scope for site in found.sites] == ["a/local::Act", "y/local::Act"]
    assert_true(found, made)


# What functions may hold ---------------------------------------------------------------------------------------------


def test_attributes_given_and_defaulted() -> None:
    slope = "Slope <alpha: float = 0.0> (a) => (b) { b = LeakyRelu <alpha: float = @alpha> (a) }"
    body = "h = MatMul (x, w)\n a = local.Slope (h)\n g = MatMul (a, v)\n y = local.Slope <alpha = 0.1> (g)"
    found = seen(model(body, slope))
    assert [(site.op, site.scope) for site in found.sites] == [("LeakyRelu(0)", "a/local::Slope")]
    assert [(one.op, one.scope) for one in found.alive] == [("LeakyRelu", "y/local::Slope")]


def test_overloads_are_told_apart() -> None:
    made = model("h = MatMul (x, w)\n a = local.Act (h)\n g = MatMul (a, v)\n y = local.Act (g)", ACT)
    made.ir_version = 10
    leaky = onnx.FunctionProto.FromString(made.functions[0].SerializeToString())
    leaky.node[0].op_type = "LeakyRelu"
    made.functions[0].overload, leaky.overload = "flat", "leaky"
    made.functions.append(leaky)
    made.graph.node[1].overload, made.graph.node[3].overload = "flat", "leaky"
    found = seen(made)
    assert [site.scope for site in found.sites] == ["a/local::Act:flat"]
    assert [one.scope for one in found.alive] == ["y/local::Act:leaky"]
    assert found.sites[0].dead == (2,)


def branches(source: str) -> str:
    then = within([f"t = Relu ({source})"], "float[n, 6] t", "then_branch")
    other = within([f"e = Neg ({source})", "f = Relu (e)"], "float[n, 6] f", "else_branch")
    return f"If (c) <{then}, {other}>"


def test_a_branch_within_a_function_is_named_behind_the_call() -> None:
    chooses = f"Choose (a, w, c) => (r) {{ h = MatMul (a, w)\n r = {branches('h')} }}"
    body = "y = local.Choose (x, w, go)"
    made = with_functions(graph("float[n, 4] x, bool go", "float[n, 6] y", body, {"w": W}), chooses)
    made.graph.node[0].name = "call"
    made = named(made, "Choose", "fc", "gate")
    taken, other = sorted(seen(made, x=X, go=np.bool_(True)).sites, key=lambda site: len(site.unseen))
    assert (taken.scope, other.scope) == (
        "call/local::Choose/gate/then_branch",
        "call/local::Choose/gate/else_branch",
    )
    assert list(taken.fired_samples) == (X @ W > 0).sum(axis=0).tolist()
    assert taken.dead == (2,)
    assert (other.unseen, other.dead) == (tuple(range(6)), ())


def test_a_branch_in_a_function_called_twice_is_named_behind_each_call() -> None:
    chooses = f"Choose (a, w, c) => (r) {{ h = MatMul (a, w)\n r = {branches('h')} }}"
    body = "a = local.Choose (x, w, go)\n y = local.Choose (a, v, stop)"
    inputs = "float[n, 4] x, bool go, bool stop"
    made = with_functions(graph(inputs, "float[n, 6] y", body, {"w": W, "v": V}), chooses)
    made.graph.node[0].name, made.graph.node[1].name = "one", "two"
    made = named(made, "Choose", "fc", "gate")
    found = seen(made, x=X, go=np.bool_(True), stop=np.bool_(False))
    assert [(site.scope, bool(site.samples)) for site in found.sites] == [
        ("one/local::Choose/gate/then_branch", True),
        ("one/local::Choose/gate/else_branch", False),
        ("two/local::Choose/gate/then_branch", False),
        ("two/local::Choose/gate/else_branch", True),
    ]
    first = np.maximum(X @ W, 0)
    assert list(found.sites[0].fired_samples) == (first > 0).sum(axis=0).tolist()
    assert list(found.sites[3].fired_samples) == (first @ V < 0).sum(axis=0).tolist()


def test_a_call_within_a_branch_is_named_behind_the_branch() -> None:
    then = within(["t = local.Layer (x, w)"], "float[n, 6] t", "then_branch")
    other = within(["e = MatMul (x, w)"], "float[n, 6] e", "else_branch")
    made = with_functions(
        graph("float[n, 4] x, bool c", "float[n, 6] y", f"y = If (c) <{then}, {other}>", {"w": W}), LAYER
    )
    made.graph.node[0].name = "gate"
    made.graph.node[0].attribute[0].g.node[0].name = "call"
    (site,) = seen(made, x=X, c=np.bool_(True)).sites
    assert site.scope == "gate/then_branch/call/local::Layer"
    assert list(site.fired_samples) == (X @ W > 0).sum(axis=0).tolist()


def test_a_function_nobody_calls_holds_no_rectifier() -> None:
    found = seen(model("h = MatMul (x, w)\n y = Relu (h)", ACT))
    assert [(site.tensor, site.scope) for site in found.sites] == [("y", "")]


# What cannot be inlined ----------------------------------------------------------------------------------------------


def test_a_function_of_another_opset_whose_operators_are_the_same_is_inlined() -> None:
    made = model("y = local.Layer (x, w)", LAYER, opset=17)
    found = seen(made)
    assert [(site.scope, site.dead) for site in found.sites] == [("y/local::Layer", (2,))]


def test_a_function_of_another_opset_is_refused_and_the_hint_helps() -> None:
    """ReduceMean took its axes as an attribute until opset 18."""
    centred = "Centred (h) => (r) { m = ReduceMean <axes = [1]> (h)\n d = Sub (h, m)\n r = Relu (d) }"
    made = model("h = MatMul (x, w)\n y = local.Centred (h)", centred, opset=17)
    with pytest.raises(ModelError) as caught:
        audit(made, {"x": X})
    assert caught.value.slug == "function"
    assert caught.value.hint is not None
    assert "onnx.inliner.inline_local_functions(model, convert_version=True)" in caught.value.hint
    helped = onnx.inliner.inline_local_functions(made, convert_version=True)
    h = X @ W
    fired = h - h.mean(axis=1, keepdims=True) > 0
    (site,) = audit(helped, {"x": X}).sites
    assert list(site.fired_samples) == fired.sum(axis=0).tolist()


def test_functions_that_call_each_other_are_refused() -> None:
    made = model("y = local.Ping (x)", ACT)
    for name, other in (("Ping", "Pong"), ("Pong", "Ping")):
        text = f'<domain: "local", opset_import: ["" : 18, "local" : 1]> {name} (a) => (b) {{ b = local.{other} (a) }}'
        made.functions.append(onnx.parser.parse_function(text))
    with pytest.raises(AuditError) as caught:
        audit(made, {"x": X})
    assert caught.value.slug in ("function", "invalid-model")
