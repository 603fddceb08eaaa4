"""Which layer of one audit is which of another: never by a guess, and whatever a re-export called it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import relu_audit
from relu_audit import compare
from relu_audit.cli import run
from relu_audit.judge.matching import match
from relu_audit.records import Audit, Policy, SiteAudit
from tests.graphs import mlp
from tests.hostile import audits, judged, sample
from tests.layers import judge, measure, site

many = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
CASE = Path(__file__).parents[2] / "shared/cases/15_renamed_layer"
NONE_NEW = Policy(max_dead=0.0)


def of(layers: Sequence[SiteAudit]) -> Audit:
    return judged(msgspec.structs.replace(sample("mlp_dead"), sites=tuple(layers)))


def deaths(old: Sequence[SiteAudit], new: Sequence[SiteAudit]) -> tuple[int, int]:
    """Units that died and revived, for layers of which each is the one at the same index."""
    pairs = [(set(a.dead), set(b.dead)) for a, b in zip(old, new, strict=True)]
    return sum(len(b - a) for a, b in pairs), sum(len(a - b) for a, b in pairs)


# The table ----------------------------------------------------------------------------------------------------------


def layer(name: str, units: int = 9, weight: str | None = None, content: str | None = None, **more: str) -> SiteAudit:
    return site(units, tensor=name, weight=weight, content=content, **more)


a, b, c = layer("a"), layer("b"), layer("c")

MATCHED = {
    "nothing changed": ([a, b], [a, b], {"a": ("a", "name"), "b": ("b", "name")}),
    "in another order": ([a, b], [b, a], {"a": ("a", "name"), "b": ("b", "name")}),
    "retrained": ([layer("a", content="1")], [layer("a", content="2")], {"a": ("a", "name")}),
    "an old audit has no hashes": ([a], [layer("a", weight="w", content="1", signs="s")], {"a": ("a", "name")}),
    "renamed, of the same weights": (
        [layer("a", content="1"), layer("b", content="2")],
        [layer("x", content="2"), layer("y", content="1")],
        {"x": ("b", "weights"), "y": ("a", "weights")},
    ),
    "names that went to other layers": (
        [layer("relu", content="1"), layer("relu_1", content="2")],
        [layer("relu", content="0"), layer("relu_1", content="1"), layer("relu_2", content="2")],
        {"relu": None, "relu_1": ("relu", "weights"), "relu_2": ("relu_1", "weights")},
    ),
    "rounded otherwise": (
        [layer("a", content="1", signs="s"), layer("b", content="2", signs="t")],
        [layer("x", content="3", signs="s"), layer("y", content="4", signs="t")],
        {"x": ("a", "weights"), "y": ("b", "weights")},
    ),
    "spelt otherwise": ([layer("a", content="1")], [layer("x", content="1", op="Max(x, 0)")], {"x": ("a", "weights")}),
    "two operators of one weight": (
        [layer("a", content="1"), layer("b", content="1", op="Clip(0)")],
        [layer("x", content="1", op="Clip(0)"), layer("y", content="1")],
        {"x": ("b", "weights"), "y": ("a", "weights")},
    ),
    "one of two layers of equal weights": (
        [layer("a", content="1"), layer("b", content="1")],
        [layer("a", content="1"), layer("x", content="1")],
        {"a": ("a", "name"), "x": ("b", "weights")},
    ),
    "the halves of one weight": (
        [layer("a", content="1"), layer("b", content="1")],
        [layer("x", content="1")] * 1,
        {"x": None},
    ),
    "retrained and renamed": (
        [layer("a", weight="fc1.weight", content="1"), layer("b", weight="fc2.weight", content="2")],
        [layer("x", weight="fc1.weight", content="3"), layer("y", weight="fc2.weight", content="4")],
        {"x": ("a", "weight name"), "y": ("b", "weight name")},
    ),
    "numbers for names of weights": (
        [layer("a", weight="onnx::MatMul_20"), layer("b", weight="onnx::MatMul_22")],
        [layer("x", weight="onnx::MatMul_22"), layer("y", weight="onnx::MatMul_24")],
        {"x": None, "y": None},
    ),
    "a size that only one layer has": (
        [a, layer("b", 5)],
        [a, layer("y", 5)],
        {"a": ("a", "name"), "y": ("b", "place")},
    ),
    "a size that two layers have": ([a, b, c], [a, layer("x"), layer("y")], {"a": ("a", "name"), "x": None, "y": None}),
    "an operator that only one layer has": (
        [a, layer("b", op="Clip(0)")],
        [layer("x"), layer("y", op="Clip(0)")],
        {"x": ("a", "place"), "y": ("b", "place")},
    ),
    "a size at another place": ([layer("b", 5), a], [a, layer("y", 5)], {"a": ("a", "name"), "y": None}),
    "sizes that changed places": (
        [layer("b", 5), layer("c", 6)],
        [layer("x", 6), layer("y", 5)],
        {"x": None, "y": None},
    ),
    "another size": ([layer("a", 5, content="1", weight="w")], [layer("a", 6, content="1", weight="w")], {"a": None}),
    "name and weight's name contradict": (
        [layer("a", weight="w1"), layer("b", weight="w2")],
        [layer("a", weight="w2"), layer("x", weight="w1")],
        {"a": None, "x": None},
    ),
    "name and place contradict": (
        [layer("a", 5), layer("b", 6)],
        [layer("a", 6), layer("b", 5)],
        {"a": None, "b": None},
    ),
    "name and one of two contents contradict": (
        [layer("a", content="1"), layer("b", 5)],
        [layer("a", content="2"), layer("x", content="1"), layer("y", content="1")],
        {"a": None, "x": None, "y": None},
    ),
    "one weight under two operators": (
        [layer("a", weight="w"), layer("b", weight="w", op="Clip(0)")],
        [layer("x", weight="w", op="Clip(0)"), layer("y", weight="w")],
        {"x": ("b", "weight name"), "y": ("a", "weight name")},
    ),
    "the only layer of a size has the name of another": ([layer("a", 5), layer("x", 6)], [layer("x", 5)], {"x": None}),
    "the only layer of a size has the weights of another": (
        [layer("a", 5, content="1"), layer("b", 6, content="2")],
        [layer("x", 5, content="2")],
        {"x": None},
    ),
    "the only layer of a size has the signs of another": (
        [layer("a", 5, signs="s"), layer("b", 6, signs="t")],
        [layer("x", 5, signs="t")],
        {"x": None},
    ),
    "the weights of the only layer of equal signs are elsewhere": (
        [layer("a", content="1", signs="s")],
        [layer("x", content="2", signs="s"), layer("y", 6, content="1")],
        {"x": None, "y": None},
    ),
    "the weights of the only layer of equal signs are elsewhere, spelt otherwise": (
        [layer("a", content="1", signs="s")],
        [layer("x", content="2", signs="s", op="Clip(0)"), layer("y", 6, content="1")],
        {"x": None, "y": None},
    ),
    "a size that passed one of two neighbours": (
        [a, layer("s", 5), c],
        [layer("x", 5), a, c],
        {"x": None, "a": ("a", "name"), "c": ("c", "name")},
    ),
    "one name many times": ([a, a], [a, a], {"a": ("a", "name")}),
    "one name another number of times": ([a, a], [a, a, a], {"a": None}),
}


@pytest.mark.parametrize(("old", "new", "pairs"), MATCHED.values(), ids=MATCHED)
def test_layer_is_known_by_what_no_other_layer_has(
    old: list[SiteAudit], new: list[SiteAudit], pairs: dict[str, tuple[str, str] | None]
) -> None:
    found = match(old, new)
    assert [pair.new for pair in found.pairs] == new
    assert {p.new.tensor: None if p.old is None else (p.old.tensor, p.by) for p in found.pairs} == pairs
    taken = [pair.old for pair in found.pairs if pair.old is not None]
    assert sorted(one.tensor for one in (*taken, *found.gone)) == sorted(one.tensor for one in old)
    back = match(new, old)  # no direction is another's guess
    assert {(p.old.tensor, p.new.tensor) for p in back.pairs if p.old is not None} == {
        (name, was[0]) for name, was in pairs.items() if was is not None
    }


# Laws ---------------------------------------------------------------------------------------------------------------

shapes = st.lists(st.tuples(st.sampled_from((3, 5)), st.sampled_from(("Relu", "Clip(0)"))), min_size=1, max_size=6)


@st.composite
def layers(draw: st.DrawFn, shape: Sequence[tuple[int, str]], **known: bool) -> list[SiteAudit]:
    """Layers of these sizes and operators with any dead units, and with what is to be known of them."""
    return [
        site(
            units,
            sorted(draw(st.sets(st.integers(0, units - 1)))),
            tensor=f"layer{i}",
            op=op,
            weight=f"weight{i}" if known.get("weights") else None,
            content=f"content{i}" if known.get("contents") else None,
        )
        for i, (units, op) in enumerate(shape)
    ]


@many
@given(audits())
def test_audit_compared_with_itself_is_unchanged(audit: Audit) -> None:
    found = compare(audit, audit)
    assert (found.added, found.removed, found.renamed) == ((), (), ())
    assert not found.worse
    assert found.outcome == ("unchanged" if any(one.samples for one in audit.sites) else "inconclusive")


@many
@given(st.data(), shapes)
def test_renaming_changes_nothing_where_weights_tell_layers_apart(
    data: st.DataObject, shape: list[tuple[int, str]]
) -> None:
    old, new = (data.draw(layers(shape, contents=True, weights=True)) for _ in range(2))
    names = data.draw(st.permutations([f"layer{i}" for i in range(len(shape) + 2)]))
    weights = data.draw(st.permutations([f"weight{i}" for i in range(len(shape) + 2)]))
    order = data.draw(st.permutations(range(len(shape))))
    renamed = [msgspec.structs.replace(new[i], tensor=names[i], tensors=(names[i],), weight=weights[i]) for i in order]
    found = compare(of(old), of(renamed))
    assert (found.total("died"), found.total("revived")) == deaths(old, new)
    assert found.outcome == compare(of(old), of(new)).outcome
    against = judge(NONE_NEW, *renamed, baseline=measure(*old)).against
    assert against is not None
    assert (against.new_dead, against.untold_dead) == (deaths(old, new)[0], 0)


@many
@given(st.data(), shapes, st.booleans())
def test_death_never_hides_behind_an_order_or_new_names(
    data: st.DataObject, shape: list[tuple[int, str]], fresh: bool
) -> None:
    old, new = (data.draw(layers(shape)) for _ in range(2))
    order = data.draw(st.permutations(range(len(shape))))
    moved = [
        msgspec.structs.replace(new[i], tensor=f"fresh{i}", tensors=(f"fresh{i}",)) if fresh or i % 2 else new[i]
        for i in order
    ]
    died, _ = deaths(old, new)
    assume(died)
    found = compare(of(old), of(moved))
    assert found.worse or found.reasons
    assert judge(NONE_NEW, *moved, baseline=measure(*old)).outcome != "passed"


@many
@given(st.data(), shapes)
def test_what_is_said_holds_whichever_layer_is_which(data: st.DataObject, shape: list[tuple[int, str]]) -> None:
    """Layers of new names: what is told of a layer is so under every pairing of layers of equal size and operator."""
    old, new = data.draw(layers(shape)), data.draw(layers(shape))
    fresh = [msgspec.structs.replace(one, tensor=f"x{one.tensor}", tensors=(f"x{one.tensor}",)) for one in new]
    found = compare(of(old), of(fresh))
    told = {one.tensor: (set(one.died), set(one.revived)) for one in found.layers}
    for order in itertools.permutations(range(len(shape))):
        if [shape[i] for i in order] == shape:
            for i, one in zip(order, fresh, strict=True):
                before, after = set(old[i].dead), set(one.dead)
                assert told.get(one.tensor, (after - before, before - after)) == (after - before, before - after)


# From files ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CASE.exists(), reason="the shared cases are not here")
@pytest.mark.parametrize("hashes", [True, False])
def test_renamed_layer_that_lost_units_is_worse(
    hashes: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (str(tmp_path / f"{name}.json") for name in ("old", "new"))
    data = str(CASE / "data.npz")
    assert run([str(CASE / "ren1.onnx"), "--data", data, "--json", old, "-q"]) == 0
    if not hashes:
        audit = relu_audit.load(old)
        bare = (msgspec.structs.replace(one, weight_sha256=None, weight_signs=None) for one in audit.sites)
        msgspec.structs.replace(audit, sites=tuple(bare)).save(old)
    assert run([str(CASE / "ren2.onnx"), "--data", data, "--json", new, "--baseline", old]) == 1
    assert "'relu_1' was '/3/Relu_output_0'" in capsys.readouterr().out
    assert run(["compare", old, new, "--fail-on-worse"]) == 1
    assert "died in relu_1: 7" in capsys.readouterr().out


def renamed(model: onnx.ModelProto, weights: bool) -> onnx.ModelProto:
    """The model with other names for all values of nodes, and for its weights on request."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    kept = {one.name for one in (*copy.graph.input, *copy.graph.output)}
    for initializer in copy.graph.initializer:
        if not weights:
            kept.add(initializer.name)
        else:
            initializer.name = f"other/{initializer.name}"
    del copy.graph.value_info[:]
    for node in copy.graph.node:
        for names in (node.input, node.output):
            names[:] = [one if one in kept else f"other/{one}" for one in names]
    return copy


@pytest.mark.parametrize("weights", [True, False])
def test_baseline_of_which_no_name_is_left_still_counts(weights: bool) -> None:
    data = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    old = relu_audit.audit(mlp((4, 20, 20, 3), dead={0: (19,)}), data)
    again = renamed(mlp((4, 20, 20, 3), dead={0: (19,)}), weights)
    assert relu_audit.audit(again, data, baseline=old).gate.outcome == "passed"
    worse = mlp((4, 20, 20, 3), dead={0: (19,)})
    for one in worse.graph.initializer:
        if list(one.dims) == [20]:
            bias = numpy_helper.to_array(one).copy()
            bias[7] = -1e3
            one.CopyFrom(numpy_helper.from_array(bias, one.name))
    found = relu_audit.audit(renamed(worse, weights), data, baseline=old)
    assert found.gate.outcome == "failed"
    assert found.gate.against is not None
    assert (found.gate.against.new_dead, found.gate.against.known_dead) == (found.dead - 1, 1)
