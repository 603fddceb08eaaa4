"""Why units died: causes planted in every kind of layer are found, and the margin is what revives a unit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import relu_audit
from relu_audit.records import CAUSES, Audit, Causes, SiteAudit
from tests.graphs import graph

ROOT = Path(__file__).parents[1]
CORPUS = Path(os.environ.get("CORPUS_OF_MODELS", ROOT.parent / "shared" / "corpus"))
Arrays = Mapping[str, np.ndarray]

UNITS = 6
DEAD_INPUTS = (0, 3)
PLANTED = {
    "zero_weights": (1, 4),
    "bias_below_reach": (2,),
    "dead_inputs": (3,),
    "weights_point_away": (5,),
}


@dataclass(frozen=True)
class Kind:
    """An operator: its lines between ``r0`` and the pre-activation ``p``, its weights from ``[made, read, taps]``."""

    name: str
    lines: str
    weights: Callable[[np.ndarray, np.ndarray], Arrays]
    shape: str = "6"
    groups: int = 1
    taps: tuple[int, ...] = ()
    rtol: float = 1e-5
    dtype: str = "float"


def _dense(turned: bool) -> Callable[[np.ndarray, np.ndarray], Arrays]:
    return lambda w, b: {"w": w if turned else np.ascontiguousarray(w.T), "b": b}


def _coded(w: np.ndarray, b: np.ndarray) -> Arrays:
    """Codes of eight bits with one scale; the tiny row becomes an exact zero."""
    scale = np.float32(np.abs(w).max() / 127)
    return {"wq": np.rint(w.T / scale).astype(np.int8), "s": scale.reshape(()), "z": np.int8(0).reshape(()), "b": b}


def _normalised(w: np.ndarray, b: np.ndarray) -> Arrays:
    return {"w": w, "b": b, "one": np.ones(6, np.float32), "none": np.zeros(6, np.float32)}


KINDS = (
    Kind("Gemm", "p = Gemm (r0, w, b)", _dense(False)),
    Kind("Gemm, turned and scaled", "p = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (r0, w, b)", _dense(True)),
    Kind("MatMul and Add", "m = MatMul (r0, w)\n p = Add (b, m)", _dense(False)),
    Kind("MatMul, Mul and Sub", "m = MatMul (r0, w)\n q = Mul (m, two)\n p = Sub (q, c)",
         lambda w, b: {"w": np.ascontiguousarray(w.T), "two": np.float32(2.0), "c": -b}),
    Kind("MatMul of tokens", "m = MatMul (t, w)\n p = Add (m, b)", _dense(False), shape="5, 6"),
    Kind("weight in codes", "w = DequantizeLinear (wq, s, z)\n m = MatMul (r0, w)\n p = Add (m, b)", _coded),
    Kind("half precision", "h = Cast <to = 10> (r0)\n m = MatMul (h, w)\n p = Add (m, b)",
         lambda w, b: {"w": w.T.astype(np.float16), "b": b.astype(np.float16)}, rtol=2e-3, dtype="float16"),
    Kind("Conv 1D", "p = Conv <pads = [1, 1]> (r0, w, b)", lambda w, b: {"w": w, "b": b}, "6, 7", taps=(3,)),
    Kind("Conv 2D", "p = Conv (r0, w, b)", lambda w, b: {"w": w, "b": b}, "6, 5, 5", taps=(3, 3)),
    Kind("Conv 3D", "p = Conv (r0, w, b)", lambda w, b: {"w": w, "b": b}, "6, 3, 3, 3", taps=(2, 2, 2)),
    Kind("Conv in groups", "p = Conv <group = 2> (r0, w, b)", lambda w, b: {"w": w, "b": b}, "6, 5", 2, (2,)),
    Kind("depthwise", "p = Conv <group = 6> (r0, w, b)", lambda w, b: {"w": w, "b": b}, "6, 5", 6, (2,)),
    Kind("ConvTranspose", "p = ConvTranspose <strides = [2]> (r0, w, b)",
         lambda w, b: {"w": np.ascontiguousarray(w.swapaxes(0, 1)), "b": b}, "6, 5", taps=(3,)),
    Kind("ConvTranspose in groups", "p = ConvTranspose <group = 2> (r0, w, b)",
         lambda w, b: {"w": np.ascontiguousarray(w.reshape(2, 3, 3, 2).swapaxes(1, 2).reshape(6, 3, 2)), "b": b},
         "6, 5", 2, (2,)),
    Kind("Conv and BatchNormalization", "m = Conv (r0, w)\n p = BatchNormalization (m, one, b, none, one)",
         _normalised, "6, 5", taps=(2,)),
    Kind("Conv behind a pooling", "m = MaxPool <kernel_shape = [2]> (r0)\n p = Conv (m, w, b)",
         lambda w, b: {"w": w, "b": b}, "6, 6", taps=(2,)),
    Kind("Conv turned round", "m = Conv (r0, w, b)\n p = Transpose <perm = [0, 2, 1]> (m)",
         lambda w, b: {"w": w, "b": b}, "6, 5", taps=(2,)),
    Kind("Conv flattened", "m = Conv (r0, w, b)\n p = Flatten (m)", lambda w, b: {"w": w, "b": b}, "6, 5", taps=(2,)),
    Kind("Gemm of a flattened image", "f = Flatten (r0)\n p = Gemm <transB = 1> (f, w, b)",
         lambda w, b: {"w": np.repeat(w, 5, axis=1), "b": b}, "6, 5"),
)  # fmt: skip


def planted(kind: Kind, seed: int = 0) -> onnx.ModelProto:
    """A layer whose units 1 to 5 have one cause each, and two of whose six inputs are dead."""
    rng = np.random.default_rng(seed)
    per_group = 6 // kind.groups
    w = (0.5 + rng.random((UNITS, per_group, *kind.taps))).astype(np.float32)
    b = np.zeros(UNITS, np.float32)
    w[1], b[1] = 0, -0.5
    b[2] = -1e3
    first = 3 // per_group * per_group
    w[3, [i for i in range(per_group) if first + i not in DEAD_INPUTS]] = 0
    b[3] = -0.25
    w[4], b[4] = w[4] * 1e-6, -0.125
    w[5] *= -1
    thrown = np.zeros(6, np.float32)
    thrown[list(DEAD_INPUTS)] = -1e3
    image = "," in kind.shape and "(t," not in kind.lines
    spatial = kind.shape.count(",") if image else 0
    weights = {**kind.weights(w, b), "thrown": thrown.reshape(-1, *[1] * spatial)}
    before = "s0 = Add (x, thrown)\n r0 = Relu (s0)\n"
    lines = kind.lines.replace("(t, ", "(r0, ")
    return graph(f"float[n, {kind.shape}] x", f"{kind.dtype} y", f"{before}{lines}\n y = Relu (p)", weights)


def _fed(kind: Kind, samples: int = 40) -> Arrays:
    shape = (samples, *map(int, kind.shape.split(",")))
    return {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_planted_causes_are_found(kind: Kind) -> None:
    audit = relu_audit.audit(planted(kind), _fed(kind))
    site = audit.sites[-1]
    found = causes(site)
    expected = dict(PLANTED)
    if kind.name == "depthwise":
        expected["dead_inputs"] = (0, 3)
    if kind.name == "Conv and BatchNormalization":
        expected["weights_point_away"] = ()
        expected["unexplained"] = (5,)
    assert {name: getattr(found, name) for name in CAUSES if getattr(found, name)} == {
        name: units for name, units in expected.items() if units
    }
    assert found.near_zero == (() if kind.name == "weight in codes" else (4,))
    assert found.operator is not None
    assert found.operator in kind.lines
    assert set(found.proven) >= {1, 2, 3, 4}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_unit_fires_once_raised_by_its_margin_and_not_before(kind: Kind) -> None:
    model, data = planted(kind), _fed(kind)
    check_margins(model, data, relu_audit.audit(model, data), kind.rtol, most=UNITS)


@pytest.mark.parametrize("name", ["mlp_dead", "resnet_dead"])
def test_margins_of_the_samples_are_what_revives_their_units(name: str) -> None:
    model = onnx.load(ROOT / "sample_models" / f"{name}.onnx")
    data = ROOT / "sample_models" / ("digits.npz" if name == "mlp_dead" else "digits_images.npz")
    with np.load(data) as arrays:
        check_margins(model, dict(arrays), relu_audit.audit(model, data))


def check_margins(model: onnx.ModelProto, data: Arrays, audit: Audit, rtol: float = 1e-4, most: int = 2) -> None:
    """Raise dead units one after the other: every one fires, in few samples, at its margin and a bit, and not below."""
    for site in audit.sites:
        if not site.dead or site.unit_axis is None or "(" in site.layout:
            continue
        for unit, margin in list(zip(site.dead, causes(site).margin, strict=True))[:most]:
            assert margin is not None
            assert margin >= 0
            step = max(margin, 1e-3) * rtol
            assert not _fires(model, data, site, unit, margin - step)
            assert _fires(model, data, site, unit, margin + step)


def causes(site: SiteAudit) -> Causes:
    assert site.causes is not None
    return site.causes


def _fires(model: onnx.ModelProto, data: Arrays, site: SiteAudit, unit: int, by: float) -> bool:
    """Whether a unit fires if so much is added to its pre-activation."""
    raised = onnx.ModelProto()
    raised.CopyFrom(model)
    node = next(n for n in raised.graph.node if site.tensor in n.output)
    axes = site.layout.split()
    shape = [site.units if i == site.unit_axis else 1 for i in range(len(axes))]
    lift = np.zeros(shape, np.float32)
    lift[tuple(unit if i == site.unit_axis else 0 for i in range(len(axes)))] = by
    half = site.tensor == "y" and model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    raised.graph.initializer.append(numpy_helper.from_array(lift.astype(np.float16) if half else lift, "lift"))
    at = list(raised.graph.node).index(node)
    raised.graph.node.insert(at, helper.make_node("Add", [node.input[0], "lift"], ["raised"]))
    node.input[0] = "raised"
    again = next(one for one in relu_audit.audit(raised, data).sites if one.tensor == site.tensor)
    return again.fired_samples[unit] > 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nothing_within_what_was_seen_fires_a_certain_unit(kind: Kind) -> None:
    model, data = planted(kind), _fed(kind)
    before, site = relu_audit.audit(model, data).sites
    peaks = np.array(before.peak, np.float32)
    rng = np.random.default_rng(2)
    shape = data["x"].shape
    along = [-1 if i == before.unit_axis else 1 for i in range(len(shape))]
    # Every corner of what was seen is tried, and what lies between.
    within = peaks.reshape(along) * rng.choice(np.array([0, 0.5, 1], np.float32), (1000, *shape[1:]))
    again = relu_audit.audit(model, {"x": within}).sites[-1]
    assert set(causes(site).proven) <= set(again.dead)


@pytest.mark.parametrize("name", ["cifar_wide", "mnist_2x10", "surfaces_gbr"])
def test_margins_of_strangers_models_are_what_revives_their_units(name: str) -> None:
    if not (CORPUS / f"{name}.onnx").exists():
        pytest.skip("the corpus is not here")
    with np.load(CORPUS / f"{name}.inputs.npz") as arrays:
        data = dict(arrays)
    model = onnx.load(CORPUS / f"{name}.onnx")
    check_margins(model, data, relu_audit.audit(model, data), rtol=1e-3)
