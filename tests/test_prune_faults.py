"""A checker must be able to fail: prunings that were done wrong on purpose, each of which verification has to catch."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

import relu_audit
from relu_audit.errors import UsageError, VerificationError
from relu_audit.records.pruning import Comparison
from relu_audit.surgery.blame import blame
from tests.graphs import graph
from tests.prune_checks import assert_same_function, weights
from tests.prune_kit import DEAD, NORM, STEM, Numbers, after_stem
from tests.prune_patterns import PATTERNS

LIVING = [unit for unit in range(8) if unit not in DEAD]
PRUNE = importlib.import_module("relu_audit.api.prune")

Weights = dict[str, np.ndarray]
Fault = Callable[[Weights, Weights], Weights]
"""From the original's weights and the result's to those that are wrong."""


def fan() -> onnx.ModelProto:
    """A rectifier with two readers: a padded convolution, and a depthwise one that makes constants of dead units."""
    some = Numbers(3)
    body = (
        "p = Conv<pads = [1, 1, 1, 1]> (r, w1, b1)\n d = Conv<group = 8, pads = [1, 1, 1, 1]> (r, w2, b2)\n"
        "q = Conv (d, w3, b3)\n y = Sub (p, q)"
    )
    layers = some.layer(1, 3, 8, 3, 3) | some.layer(2, 8, 1, 3, 3) | some.layer(3, 3, 8, 1, 1)
    return after_stem(some, "float[n, 3, a, b] y", body, **layers)


def nothing(old: Weights, new: Weights) -> Weights:
    del old, new
    return {}


def shifted_cut(old: Weights, new: Weights) -> Weights:
    """The reader lost the neighbours of the units that its writer lost."""
    return {"w1": np.delete(old["w1"], [unit + 1 for unit in DEAD], axis=1)}


def shifted_cut_of_one(old: Weights, new: Weights) -> Weights:
    return {"w1": np.delete(old["w1"], [1, 4, 7], axis=1)}


def dropped_fold(old: Weights, new: Weights) -> Weights:
    return {"b3": old["b3"]}


def fold_added_twice(old: Weights, new: Weights) -> Weights:
    return {"b3": 2 * new["b3"] - old["b3"]}


def two_channels_swapped_in_a_reader(old: Weights, new: Weights) -> Weights:
    return {"w1": new["w1"][:, [1, 0, *range(2, len(LIVING))]]}


def two_channels_swapped_in_the_writer(old: Weights, new: Weights) -> Weights:
    return {"w0": new["w0"][[1, 0, *range(2, len(LIVING))]]}


def two_channels_swapped_in_a_bias(old: Weights, new: Weights) -> Weights:
    low, high = int(np.argmin(new["b0"])), int(np.argmax(new["b0"]))
    wrong = new["b0"].copy()
    wrong[[low, high]] = wrong[[high, low]]
    return {"b0": wrong}


def forgotten_reader(old: Weights, new: Weights) -> Weights:
    """One reader was not told, and reads the first channels."""
    return {"w1": old["w1"][:, : len(LIVING)]}


def forgotten_reader_of_another_size(old: Weights, new: Weights) -> Weights:
    return {"w1": old["w1"]}


def one_weight_off(old: Weights, new: Weights) -> Weights:
    wrong = new["w3"].copy()
    wrong[2, 1] *= 1.01
    return {"w3": wrong}


FAULTS: tuple[Fault, ...] = (
    shifted_cut,
    shifted_cut_of_one,
    dropped_fold,
    fold_added_twice,
    two_channels_swapped_in_a_reader,
    two_channels_swapped_in_the_writer,
    two_channels_swapped_in_a_bias,
    forgotten_reader,
    forgotten_reader_of_another_size,
    one_weight_off,
)


def sabotage(monkeypatch: pytest.MonkeyPatch, fault: Callable[[onnx.ModelProto], None]) -> None:
    """Let a fault into the result after it was made and before it is verified."""
    verify = PRUNE.compare

    def misled(trial: Any, *rest: Any) -> Any:
        proto = ir.to_proto(trial.result)
        fault(proto)
        return verify(dataclasses.replace(trial, result=ir.from_proto(proto)), *rest)

    monkeypatch.setattr(PRUNE, "compare", misled)


def set_weights(model: onnx.ModelProto, changed: Weights) -> None:
    for weight in model.graph.initializer:
        if weight.name in changed:
            weight.CopyFrom(numpy_helper.from_array(changed[weight.name], weight.name))


def data_for(samples: int = 24) -> Weights:
    return {"x": np.random.default_rng(0).integers(-4, 5, (samples, 2, 8, 8)).astype(np.float32)}


def prune_with(
    monkeypatch: pytest.MonkeyPatch, model: onnx.ModelProto, fault: Fault, data: Weights | None
) -> relu_audit.Pruned:
    old = weights(model)
    audit = relu_audit.audit(model, data_for())
    sabotage(monkeypatch, lambda proto: set_weights(proto, fault(old, weights(proto))))
    return relu_audit.prune(model, audit, data=data, align=1)


@pytest.mark.parametrize("data", [data_for(), None], ids=["data", "no data"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_verification_catches(fault: Fault, data: Weights | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VerificationError) as caught:
        prune_with(monkeypatch, fan(), fault, data)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("wrong", [(), ("c",), ("a",), ("h",), ("b", "g"), tuple("abcdefgh")], ids="".join)
def test_the_layers_to_blame_are_found_by_bisection(wrong: tuple[str, ...]) -> None:
    tried: list[str] = []

    def passes(cut: Sequence[str]) -> bool:
        tried.append("".join(cut))
        return not set(cut) & set(wrong)

    assert sorted(blame(tuple("abcdefgh"), passes) or ()) == sorted(wrong or "h")
    assert len(tried) <= 2 + 5 * max(len(wrong), 1)


def test_two_layers_that_are_wrong_together_cost_one() -> None:
    found = blame(tuple("abcdefgh"), lambda cut: not {"b", "f"} <= set(cut))
    assert found == ("f",)


def test_no_layer_is_to_blame_where_cutting_nothing_fails() -> None:
    assert blame(("a", "b"), lambda cut: False) is None


def test_a_layer_that_is_cut_wrongly_is_named_and_can_be_spared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two layers one is spoilt whenever it is cut: nothing comes out, until it is spared."""
    some = Numbers(5)
    body = "g = Conv (r, w1, b1)\n q = Relu (g)\n y = Conv (q, w2, b2)"
    layers = some.layer(1, 8, 8, 1, 1, dead=(2, 3)) | some.layer(2, 3, 8, 1, 1)
    model = after_stem(some, "float[n, 3, a, b] y", body, **layers)

    def spoil(proto: onnx.ModelProto) -> None:
        new = weights(proto)
        if new["w2"].shape[1] < 8:
            set_weights(proto, {"w2": 2 * new["w2"]})

    sabotage(monkeypatch, spoil)
    audit = relu_audit.audit(model, data_for())
    with pytest.raises(VerificationError, match="computes something else") as caught:
        relu_audit.prune(model, audit, data=data_for(), align=1)
    assert "--spare q" in (caught.value.hint or "")
    assert "--spare r" not in (caught.value.hint or "")
    pruned = relu_audit.prune(model, audit, data=data_for(), align=1, spare=["q"])
    assert pruned.plan.spared == ("q",)
    assert {(one.tensor, one.slug) for one in pruned.plan.kept} == {("q", "spared")}
    assert {one.tensor for one in pruned.plan.removed} == {"r"}
    assert_same_function(model, pruned.model, [data_for()])


def test_sparing_what_is_no_layer_is_refused() -> None:
    model = fan()
    audit = relu_audit.audit(model, data_for())
    with pytest.raises(UsageError, match="'R1' is not a layer"):
        relu_audit.prune(model, audit, data=data_for(), spare=["R1"])


def test_without_a_fault_it_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    pruned = prune_with(monkeypatch, fan(), nothing, data_for())
    assert pruned.verification is not None
    assert pruned.verification.passed
    assert len(pruned.plan.removed) == len(DEAD)
    assert {comparison.optimized for comparison in pruned.verification.comparisons} == {False, True}


def test_verification_catches_a_constant_that_is_wrong_at_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fold that an unpadded convolution allows, done to a padded one."""
    unpadded = PATTERNS["norm_after_then_unpadded"].model
    audit = relu_audit.audit(unpadded, data_for())
    right = relu_audit.prune(unpadded, audit, align=1).model

    def pad(model: onnx.ModelProto) -> None:
        model.graph.node[-1].attribute.append(onnx.helper.make_attribute("pads", [1, 1, 1, 1]))

    padded = PATTERNS["norm_after_then_unpadded"].model
    pad(padded)
    pad(right)
    sabotage(monkeypatch, lambda proto: proto.CopyFrom(right))
    with pytest.raises(VerificationError):
        relu_audit.prune(padded, relu_audit.audit(padded, data_for()), data=data_for(), align=1)


def test_verification_catches_a_living_unit_that_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cuts agree with each other; only the unit was the wrong one to cut."""
    axes = {"w0": 0, "b0": 0, "w1": 1, "w2": 0, "b2": 0, "w3": 1}

    def cut(model: onnx.ModelProto) -> None:
        new = weights(model)
        set_weights(model, {name: np.delete(new[name], 2, axis) for name, axis in axes.items()})
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "group" and attribute.i > 1:
                    attribute.i -= 1

    audit = relu_audit.audit(fan(), data_for())
    sabotage(monkeypatch, cut)
    with pytest.raises(VerificationError):
        relu_audit.prune(fan(), audit, data=data_for(), align=1)


def blocked() -> onnx.ModelProto:
    """Constant maps of any size, averaged: onnxruntime's blocked kernels add them up one number after the other."""
    some = Numbers(17)
    body = (
        "g = Conv<pads = [1, 1, 1, 1]> (r, w1, b1)\n q = Relu (g)\n p = GlobalAveragePool (q)\n"
        "f = Flatten (p)\n y = Gemm<transB = 1> (f, w2, b2)"
    )
    layers = some.layer(1, 16, 8, 3, 3) | some.layer(2, 4, 16)
    rng = np.random.default_rng(3)
    layers |= {"b1": rng.uniform(0.1, 1, 16).astype(np.float32), "w2": rng.standard_normal((4, 16)).astype(np.float32)}
    stem = {"w0": np.zeros((8, 2, 3, 3), np.float32), "b0": -np.ones(8, np.float32)}
    return graph("float[n, 2, a, b] x", "float[n, 4] y", STEM + body, stem | layers)


LARGE = {"x": np.random.default_rng(1).integers(-4, 5, (2, 2, 160, 160)).astype(np.float32)}


def test_what_optimised_kernels_round_is_not_blamed_on_the_pruning() -> None:
    model = blocked()
    pruned = relu_audit.prune(model, relu_audit.audit(model, LARGE), data=LARGE, align=8)
    found = pruned.verification
    assert found is not None
    assert found.passed
    over = [one for one in found.comparisons if one.relative > found.limit]
    assert over, "this network no longer shows the difference"
    assert all(one.optimized and one.within(found.limit) and max(one.own, one.own_result) > 0 for one in over)


@pytest.mark.parametrize("share", [3e-5, 1e-3, 0.1])
def test_a_fault_does_not_hide_behind_what_kernels_round(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = blocked()

    def shift(proto: onnx.ModelProto) -> None:
        weight = weights(proto)["w2"]
        set_weights(proto, {"w2": weight * np.float32(1 + share)})

    sabotage(monkeypatch, shift)
    with pytest.raises(VerificationError):
        relu_audit.prune(model, relu_audit.audit(model, LARGE), data=LARGE, align=8)


def test_what_rounding_excuses_has_an_end() -> None:
    one = Comparison(inputs="held", optimized=True, runs=1, max_abs_difference=0.0, scale=1.0, relative=2e-3)
    assert not msgspec.structs.replace(one, own_result=2e-3).within(1e-5)
    assert msgspec.structs.replace(one, own=1e-3).within(1e-5)
    assert not msgspec.structs.replace(one, own=1e-4).within(1e-5)
    assert not one.within(1e-5)


def carrying() -> onnx.ModelProto:
    """Constants of dead units that reach a padded convolution: one unit stays and carries the others."""
    some = Numbers(7)
    body = f"n = {NORM} (r, s, t, m, v)\n y = Conv<pads = [1, 1, 1, 1]> (n, w1, b1)"
    return after_stem(some, "float[n, 3, a, b] y", body, **some.norm(), **some.layer(1, 3, 8, 3, 3))


def test_a_unit_that_carries_others_is_part_of_the_premise() -> None:
    audit = relu_audit.audit(carrying(), data_for())
    pruned = relu_audit.prune(carrying(), audit, data=data_for(), align=1)
    (carrier,) = pruned.plan.kept
    assert (carrier.slug, carrier.relied) == ("border-constant", True)
    assert len(pruned.plan.removed) == len(DEAD) - 1
    told = {one.key: one.value for one in pruned.model.metadata_props}
    assert told["relu_audit.relied"] == f'{{"r": [{carrier.unit}]}}'
    assert "1 kept but relied on was silent" in told["relu_audit.premise"]


def test_verification_catches_a_forgotten_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner relies on a unit that stays, and the plan does not say so."""
    monkeypatch.setattr("relu_audit.surgery.choose.outcomes._told", lambda unit: unit)
    audit = relu_audit.audit(carrying(), data_for())
    with pytest.raises(VerificationError, match="computes something else"):
        relu_audit.prune(carrying(), audit, data=data_for(), align=1)


def test_units_that_stay_and_are_not_relied_on_are_woken() -> None:
    audit = relu_audit.audit(fan(), data_for())
    pruned = relu_audit.prune(fan(), audit, data=data_for(), align=8)
    assert not any(one.relied for one in pruned.plan.kept)
    assert pruned.plan.kept
    assert pruned.verification is not None
    assert "woken" in {one.inputs for one in pruned.verification.comparisons}
