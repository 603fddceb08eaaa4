"""Forged and damaged audits: what arithmetic refutes is refused, with the field; what is possible is not."""

from __future__ import annotations

import copy
import json
import random
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_audit
from relu_audit import Audit, AuditError, audit, load
from relu_audit.cli import run
from relu_audit.judge import consistency, layer_checks
from relu_audit.judge.verdict import judged
from relu_audit.records import Policy
from relu_audit.report import saved
from tests.graphs import graph, mlp
from tests.test_report_html import audit as made_up
from tests.test_report_html import site as made_up_site

ROOT = Path(__file__).parents[1]
X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
IMAGES = np.random.default_rng(1).standard_normal((300, 1, 6, 6)).astype(np.float32)


def conv() -> onnx.ModelProto:
    """Positions: a layer with units that die, fire rarely, always and nowhere near always."""
    weight = np.random.default_rng(2).standard_normal((6, 1, 3, 3)).astype(np.float32)
    bias = np.array([0, -30, -8, 30, -3, 1], np.float32)
    body = "c = Conv (x, w, b)\n y = Relu (c)"
    return graph("float[n, 1, 6, 6] x", "float[n, 6, 4, 4] y", body, {"w": weight, "b": bias})


def runs() -> onnx.ModelProto:
    """A layer behind a mean over a batch of seven: a run is its sample."""
    body = "m = ReduceMean <keepdims = 1> (x, a)\n h = MatMul (m, w)\n y = Relu (h)"
    return graph("float[7, 4] x", "float[1, 4] y", body, {"w": np.eye(4, dtype=np.float32), "a": np.array([0])})


def two_places() -> onnx.ModelProto:
    body = "h = MatMul (x, w)\n a = Relu (h)\n k = MatMul (a, w)\n b = Relu (k)\n y = Identity (b)"
    return graph("float[n, 4] x", "float[n, 4] y", body, {"w": -np.eye(4, dtype=np.float32)})


def saved_baseline() -> Audit:
    return audit(mlp((4, 8, 5, 3), dead={0: (1,)}), X)


AUDITS: dict[str, Callable[[], Audit]] = {
    "vectors": lambda: audit(mlp((4, 8, 5, 3), dead={0: (1, 2), 1: (4,)}), X, max_dead=0.5, costs=True),
    "images": lambda: audit(conv(), IMAGES, max_dead_layer=0.4, layers={"*": 0.1}, max_rare=0.5),
    "runs": lambda: audit(runs(), X[:295], batch_axes={"x": 0}, samples="rows"),
    "two places": lambda: audit(two_places(), X),
    "not finite": lambda: audit(
        graph("float[n, 4] x", "float[n, 4] y", "h = Sqrt (x)\n y = Relu (h)", {}), X, allow_faulty=4, max_dead=0.5
    ),
    "baseline": lambda: audit(
        mlp((4, 8, 5, 3), dead={0: (1, 2), 1: (4,)}),
        X,
        baseline=saved_baseline(),
        waivers=[{"pattern": "none*", "reason": "of no matter"}],
    ),
    "MLP of the README": lambda: load(ROOT / "reports" / "mlp_dead.json"),
    "ResNet of the README": lambda: load(ROOT / "reports" / "resnet_dead.json"),
}


@cache
def text_of(name: str) -> str:
    return AUDITS[name]().to_json()


def document(name: str) -> dict[str, Any]:
    return json.loads(text_of(name))


def refused(content: object) -> AuditError:
    with pytest.raises(AuditError) as caught:
        load(json.dumps(content).encode())
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500
    return caught.value


# Every row of the tables --------------------------------------------------------------------------------------------


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(found: dict[str, Any]) -> None:
        inner: Any = found
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return edit


def all_of(*edits: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def edit(found: dict[str, Any]) -> None:
        for one in edits:
            one(found)

    return edit


def unit(field: str, value: Any, of: int = 0, at: str | int = 0) -> Callable[[dict[str, Any]], None]:
    return put("sites", at, field, of, value=value)


def of_site(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return put("sites", 0, field, value=value)


def dead_unit(found: dict[str, Any]) -> int:
    return int(found["sites"][0]["dead"][0])


def of_dead(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: put("sites", 0, field, dead_unit(found), value=value)(found)


def causes(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return put("sites", 0, "causes", field, value=value)


def alive(found: dict[str, Any]) -> None:
    """All units fire, and what tells why they do not stays."""
    one = found["sites"][0]
    for dead in one["dead"]:
        one["fired_samples"][dead] = one["fired_positions"][dead] = one["samples"]
        one["first_fired"][dead] = 0
        one["peak"][dead] = one["trough"][dead] = one["mean"][dead] = one["pre_peak"][dead] = 1.0
    one["constant"], one["dead"] = sorted([*one["constant"], *one["dead"]]), []


A, B = "a" * 64, "A" * 64
FORGED: dict[str, tuple[str, Callable[[dict[str, Any]], None], str]] = {
    # name: audit, edit, what the message says
    "negative units": ("vectors", of_site("units", -8), "units is no number of units"),
    "a mean less": ("vectors", lambda d: d["sites"][0]["mean"].pop(), "mean has not one entry for each unit"),
    "a count less": ("vectors", lambda d: d["sites"][0]["fired_samples"].pop(), "fired_samples has not one entry"),
    "a place less": ("vectors", lambda d: d["sites"][0]["fired_positions"].pop(), "fired_positions has not one entry"),
    "a first less": ("vectors", lambda d: d["sites"][0]["first_fired"].pop(), "first_fired has not one entry"),
    "a peak more": ("vectors", lambda d: d["sites"][0]["peak"].append(1.0), "peak has not one entry for each unit"),
    "a trough more": ("vectors", lambda d: d["sites"][0]["trough"].append(0.0), "trough has not one entry"),
    "a pre_peak more": ("vectors", lambda d: d["sites"][0]["pre_peak"].append(1.0), "pre_peak has not one entry"),
    "a count of 70 bits": ("vectors", unit("fired_samples", 1 << 70), "fired_samples holds a number that no count"),
    "negative positions of a unit": ("vectors", unit("fired_positions", -1), "fired_positions holds a number that"),
    "a negative first": ("vectors", unit("first_fired", -1), "first_fired holds a number that no count can be"),
    "negative samples": ("vectors", of_site("samples", -300), "samples is no number of samples"),
    "more samples than the data": ("vectors", of_site("samples", 301), "is more than the samples of the data"),
    "positions of 70 bits": ("vectors", of_site("positions", 1 << 70), "positions is no number of positions"),
    "positions without samples": ("vectors", of_site("samples", 0), "positions is not zero without samples"),
    "too few positions": ("images", of_site("positions", 299), "positions is less than one for each sample"),
    "no distinct samples of a layer": ("vectors", of_site("distinct", None), "distinct is given for the layer only"),
    "more distinct samples than samples": ("vectors", of_site("distinct", 301), "distinct is more than the samples"),
    "fewer distinct samples than the data": ("vectors", of_site("distinct", 299), "less than the distinct samples"),
    "another tensor first": ("vectors", of_site("tensors", ["z"]), "tensors does not begin with the layer's own"),
    "a tensor twice": ("two places", lambda d: d["sites"][0]["tensors"].append("a"), "tensors names a tensor twice"),
    "units that are not there": ("vectors", of_site("not_rectified", [8]), "not_rectified is no list of units"),
    "units in no order": ("vectors", of_site("not_rectified", [2, 1]), "not_rectified is no list of units"),
    "a hash in capitals": ("vectors", of_site("weight_sha256", B), "weight_sha256 is no SHA-256"),
    "a hash cut short": ("vectors", of_site("weight_signs", A[:63]), "weight_signs is no SHA-256"),
    "a hash of no weight": ("vectors", of_site("weight", None), "weight is missing, and has a hash"),
    "signs alone": (
        "vectors",
        all_of(of_site("weight_sha256", None), of_site("weight_signs", A)),
        "weight_signs is given without weight_sha256",
    ),
    "another unit axis": ("images", of_site("unit_axis", 2), "unit_axis is not where the layout has the units"),
    "no unit axis": ("images", of_site("unit_axis", None), "unit_axis is not where the layout has the units"),
    "fired in too many samples": ("images", unit("fired_samples", 301), "fired_samples[0] is more than the samples"),
    "fired at too many positions": ("images", unit("fired_positions", 4801), "fired_positions[0] is more than the"),
    "fired at positions of no sample": (
        "images",
        all_of(of_dead("fired_positions", 5)),
        "is not zero, and fired_samples is",
    ),
    "fired at too few positions": ("images", unit("fired_positions", 1), "fired_positions[0] is less than fired_sam"),
    "fired at positions of other samples": (
        "images",
        all_of(unit("fired_samples", 200), unit("fired_positions", 4750), unit("first_fired", 0)),
        "fired_positions[0] leaves no position for each sample in which the unit did not fire",
    ),
    "no first": ("images", unit("first_fired", None), "first_fired[0] contradicts fired_samples"),
    "a first of none": ("images", of_dead("first_fired", 0), "contradicts fired_samples"),
    "a first that is late": ("images", unit("first_fired", 290), "first_fired[0] leaves no room in the data"),
    "a peak without trough": ("images", unit("trough", None), "peak[0] is given without trough"),
    "a peak of nothing": (
        "vectors",
        lambda d: (
            d["sites"][0].update(samples=0, positions=0, distinct=0, fired_samples=[0] * 8, fired_positions=[0] * 8)
            or d["sites"][0].update(first_fired=[None] * 8)
        ),
        "peak[0] is given, but no sample reached the layer",
    ),
    "a trough above its peak": ("images", unit("trough", 1e9), "trough[0] is larger than peak"),
    "a peak of silence": ("images", of_dead("peak", 1.0), "contradicts fired_samples"),
    "silence with a count": ("images", all_of(unit("peak", 0.0), unit("mean", 0.0)), "peak[0] contradicts fired_sam"),
    "never below, though it was": ("images", unit("trough", 1e-9), "trough[0] contradicts fired_positions"),
    "below, though it never was": ("images", unit("trough", 0.0, of=3), "trough[3] contradicts fired_positions"),
    "a mean of what is not finite": ("not finite", unit("mean", 1.0), "mean[0] is given without peak"),
    "a mean above the peak": ("images", unit("mean", 1e6), "mean[0] is not between trough and peak"),
    "a mean below the trough": ("images", unit("mean", -1.0), "mean[0] is not between trough and peak"),
    "a mean of too few positions": (
        "images",
        lambda d: unit("mean", 0.9 * d["sites"][0]["peak"][2], of=2)(d),
        "mean[2] is impossible for a unit that fires at so many positions",
    ),
    "another pre-activation": ("images", unit("pre_peak", 1e-3), "pre_peak[0] contradicts peak"),
    "a dead unit less": ("images", of_site("dead", []), "dead is not what the counts say"),
    "a dead unit more": ("images", of_site("dead", [0, 1]), "dead is not what the counts say"),
    "a rare unit less": ("images", of_site("rare", []), "rare is not what the counts say"),
    "an always-on unit less": ("images", of_site("always_on", []), "always_on is not what the counts say"),
    "constant units": ("images", of_site("constant", [0]), "constant is not what the counts say"),
    "a faulty unit less": ("not finite", of_site("faulty", []), "faulty is not what the counts say"),
    "unseen units": ("images", of_site("unseen", [0]), "unseen is not what the counts say"),
    "another rare share": ("images", put("policy", "rare_below", value=0.0), "rare is not what the counts say"),
    "a cause more": ("images", causes("dead_inputs", [1]), "dead gives a dead unit no cause or two"),
    "a cause of units that are not there": ("images", causes("zero_weights", [77]), "zero_weights is no list of units"),
    "a cause twice": ("images", causes("dead_inputs", [1, 1]), "dead_inputs is no list of units"),
    "near zero of nothing": ("images", causes("near_zero", [-1]), "near_zero is no list of units"),
    "proof of nothing": ("images", causes("proven", [1, 0]), "proven is no list of units"),
    "causes of the living": (
        "two places",
        lambda d: d["sites"][0].update(causes=empty_causes()),
        "causes is given, but no unit is dead",
    ),
    "proof for the living": ("images", causes("proven", [0]), "proven names units that are not dead"),
    "near zero of another cause": ("images", causes("near_zero", [1]), "near_zero names units of other causes"),
    "a margin more": (
        "images",
        lambda d: d["sites"][0]["causes"]["margin"].append(1.0),
        "margin has not one entry",
    ),
    "another margin": ("images", causes("margin", [1e-9]), "margin contradicts pre_peak"),
    "a margin of nothing": ("images", of_dead("pre_peak", None), "margin is given without pre_peak"),
    "an obstacle": ("images", causes("obstacle", "was there"), "obstacle and not_examined go together"),
    "costs of the living": (
        "two places",
        of_site("tied", {"parameters": 1, "multiply_adds": 1, "read_parameters": 0, "read_multiply_adds": 0}),
        "tied, tied is given, but no unit is dead",
    ),
    "negative costs": ("images", put("sites", 0, "tied", "parameters", value=-1), "parameters is no count"),
    "negative runs": ("images", put("sites", 0, "tied", "multiply_adds", value=-1), "multiply_adds is no count"),
    "negative readers": ("images", put("sites", 0, "tied", "read_parameters", value=-1), "read_parameters is no count"),
    "readers of 70 bits": (
        "images",
        put("sites", 0, "tied", "read_multiply_adds", value=1 << 70),
        "read_multiply_adds is no count",
    ),
    "runs of nothing": ("images", put("sites", 0, "tied", "parameters", value=None), "multiply_adds is given without"),
    "a negative shape": (
        "images",
        put("data", "inputs", 0, "shape", 0, value=-300),
        "shape has an axis whose length is no count",
    ),
    "an axis behind the last": ("images", put("data", "inputs", 0, "axis", value=4), "axis is no axis of the shape"),
    "an axis of no samples": (
        "images",
        put("data", "inputs", 0, "feeding", value="repeated"),
        "axis is given, but feeding is not samples",
    ),
    "a share above one": ("images", put("policy", "max_dead", value=1.5), "policy.max_dead is no share"),
    "a negative share": ("images", put("policy", "max_dead_layer", value=-0.1), "policy.max_dead_layer is no share"),
    "a share of five": ("images", put("policy", "max_rare", value=5.0), "policy.max_rare is no share"),
    "rare below two": ("images", put("policy", "rare_below", value=2.0), "policy.rare_below is no share"),
    "a layer's share": (
        "images",
        put("policy", "layers", 0, "max_dead_layer", value=40.0),
        "layers has a limit",
    ),
    "negative faults": ("images", put("policy", "allow_faulty", value=-1), "policy.allow_faulty is no number"),
    "a gate on nothing": (
        "images",
        put("policy", "min_samples", value=0),
        "policy.min_samples is no",
    ),
    "bands in no order": ("images", put("policy", "bands", value=[0.1, 0.2]), "policy.bands are no shares"),
    "bands beyond one": ("images", put("policy", "bands", value=[7.0]), "policy.bands are no shares"),
    "a waiver without reason": ("baseline", put("policy", "waivers", 0, "reason", value=" "), "waivers has a waiver"),
    "negative units then": ("baseline", put("baseline", "sites", 0, "units", value=-1), "units is no number of units"),
    "negative samples then": ("baseline", put("baseline", "sites", 0, "samples", value=-1), "samples is no number of"),
    "dead units then": ("baseline", put("baseline", "sites", 0, "dead", value=[99]), "dead is no list of units"),
    "rare units then": ("baseline", put("baseline", "sites", 0, "rare", value=[2, 1]), "rare is no list of units"),
    "faulty units then": ("baseline", put("baseline", "sites", 0, "faulty", value=[-1]), "faulty is no list of units"),
    "unseen units then": (
        "baseline",
        put("baseline", "sites", 0, "unseen", value=[1, 1]),
        "unseen is no list",
    ),
    "dead and faulty then": ("baseline", put("baseline", "sites", 0, "faulty", value=[1]), "share a unit"),
    "unseen in all samples": (
        "baseline",
        put("baseline", "sites", 0, "unseen", value=[0]),
        "unseen contradicts",
    ),
    "a hash then": ("baseline", put("baseline", "sites", 0, "weight_sha256", value="0"), "weight_sha256 is no SHA-256"),
    "signs then": ("baseline", put("baseline", "sites", 0, "weight_signs", value="0"), "weight_signs is no SHA-256"),
    "align to nothing": ("vectors", put("prospect", "align", value=0), "prospect.align is no number from 1 on"),
    "a failure beside a plan": ("vectors", put("prospect", "failure", value=["a", "b"]), "failure is given beside a"),
    "no costs": (
        "vectors",
        put("prospect", "after", value=None),
        "failure is given beside a plan, or neither is given",
    ),
    "negative removals": ("vectors", put("prospect", "removed", value=-1), "removed is no number of units"),
    "a removal more": ("vectors", put("prospect", "removed", value=4), "removed and kept do not add up"),
    "a negative cost": ("vectors", put("prospect", "before", "bytes", value=-1), "a cost that is not a count"),
    "a model's hash": ("images", put("model", "sha256", value="none"), "model.sha256 is no SHA-256"),
    "weights' hash": (
        "images",
        put("model", "external", value=[{"location": "w", "sha256": A + "a"}]),
        "model.external holds a text that is not a SHA-256 hash",
    ),
    "weights twice": (
        "images",
        put("model", "external", value=[{"location": "w", "sha256": A}] * 2),
        "model.external names a file twice",
    ),
    "a negative version": ("images", put("model", "ir_version", value=-1), "model.ir_version is no version"),
    "a negative opset": (
        "images",
        put("model", "opsets", "ai.onnx", value=-1),
        "model.opsets holds what",
    ),
    "negative parameters": ("images", put("model", "parameters", value=-1), "model.parameters is no count"),
    "negative data": ("images", put("data", "samples", value=-300), "data.samples is no number of samples"),
    "a data's hash": ("images", put("data", "sha256", value="0x00"), "data.sha256 is no SHA-256"),
    "no hash of data": ("images", put("data", "sha256", value=""), "data.sha256 is missing"),
    "fewer distinct samples than a layer": (
        "images",
        put("data", "distinct", value=299),
        "data.distinct is less than the distinct samples of every layer",
    ),
    "no distinct sample": ("images", put("data", "distinct", value=0), "data.distinct is more than the samples, or"),
    "distinct beyond samples": ("images", put("data", "distinct", value=301), "data.distinct is more than"),
    "an input twice": ("images", lambda d: d["data"]["inputs"].append(d["data"]["inputs"][0]), "names an input twice"),
    "runs of no sample": (
        "images",
        put("runtime", "batch_size", value=0),
        "runtime.batch_size is no",
    ),
    "a layer twice": ("images", lambda d: d["sites"].append(d["sites"][0]), "sites names a layer twice"),
    "more tied than there is": ("images", put("model", "parameters", value=3), "sites ties more"),
    "a plan for the living": ("vectors", lambda d: [alive(d), d["sites"].pop()], "prospect is given, but no unit is"),
    "a plan of a part": ("vectors", put("partial", value=True), "prospect is given, but no unit is dead or the run"),
    "a model's hash then": (
        "baseline",
        put("baseline", "model_sha256", value=""),
        "baseline holds a text that is not a SHA-256 hash",
    ),
    "a data's hash then": (
        "baseline",
        put("baseline", "data_sha256", value=B),
        "baseline holds a text that is not a SHA-256 hash",
    ),
    "samples then": ("baseline", put("baseline", "samples", value=-1), "baseline.samples is no number of samples"),
    "fewer samples then": ("baseline", put("baseline", "samples", value=299), "a layer of more samples than the base"),
    # what is derived
    "the gate's word": ("images", put("gate", "outcome", value="passed"), "gate.outcome is passed in place of failed"),
    "a breach less": (
        "images",
        put("gate", "breaches", value=[]),
        "gate.breaches has not as many",
    ),
    "a breach's units": ("images", put("gate", "breaches", 0, "units", value=7), "gate.breaches[0].units is 7"),
    "a breach's limit": ("images", put("gate", "breaches", 0, "limit", value=0.9), "gate.breaches[0].limit is 0.9"),
    "a waiver's layers": ("baseline", put("gate", "waived", value=[]), "gate.waived has not as many entries"),
    "what is new": (
        "baseline",
        put("gate", "against", "new_dead", value=0),
        "gate.against.new_dead is 0",
    ),
    "what was known": ("baseline", put("gate", "against", "known_dead", value=9), "gate.against.known_dead is 9"),
    "a remark": ("baseline", put("gate", "remarks", value=["all is well"]), "gate.remarks"),
    "a total": ("images", put("summary", "dead", value=0), "summary.dead is 0 in place of 1"),
    "the total of units": ("images", put("summary", "units", value=600), "summary.units is 600 in place of 6"),
    "a fraction": ("images", of_site("dead_fraction", 0.0), "sites[0].dead_fraction is 0.0 in place of 0.16"),
    "a bound": ("images", of_site("dead_rate_below", 1e-9), "sites[0].dead_rate_below is 1e-09 in place of 0.0"),
}


def empty_causes() -> dict[str, Any]:
    found = document("images")["sites"][0]["causes"]
    return {name: [] if isinstance(value, list) else None for name, value in found.items()}


def forged(name: str) -> dict[str, Any]:
    of, edit, _ = FORGED[name]
    found = document(of)
    edit(found)
    return found


@pytest.mark.parametrize("name", FORGED)
def test_forgery_is_refused_and_its_field_named(name: str) -> None:
    error = refused(forged(name))
    assert error.slug == "audit-inconsistent"
    assert FORGED[name][2] in error.message, error.message


def test_every_row_of_the_tables_refuses_some_forgery() -> None:
    tables = (
        *(layer_checks.OF_LAYER, layer_checks.OF_UNIT, consistency.OF_CAUSES, consistency.OF_TIED),
        *(consistency.OF_INPUT, consistency.OF_POLICY, consistency.OF_BASELINE_SITE, consistency.OF_PROSPECT),
        consistency.OF_AUDIT,
    )
    said = [refused(forged(name)).message for name in FORGED]
    rows = [(row.field, row.says) for table in tables for row in table]
    assert len(rows) > 70
    unused = [
        row
        for row in rows
        if not any(re.search(rf"{re.escape(row[0])}(\[\d+\])? {re.escape(row[1])}", one) for one in said)
    ]
    causes_and_counts = {"is no list of units", "is no count"}  # a row for each field of the same kind
    assert [row for row in unused if row[1] not in causes_and_counts] == []


@pytest.mark.parametrize("name", AUDITS)
def test_audit_that_was_not_changed_loads(name: str) -> None:
    assert load(text_of(name).encode()) == AUDITS[name]()


# Any number, changed ------------------------------------------------------------------------------------------------

FREE = re.compile(
    r"model\.(ir_version|parameters|opsets\..+)|data\.inputs\.\d+\.(shape\.\d+|axis)|runtime\.batch_size"
    r"|policy\..+|gate\.rules|prospect\.(align|kept\.[^.]+|(before|after)\.\w+)"
    r"|baseline\.(samples|sites\.\d+\.(units|samples|rare\.\d+|dead\.\d+))|sites\.\d+\.(tied\.\w+|distinct)"
)
"""Numbers that nothing else in an audit repeats: they may be others, within bounds."""

MEASURED = re.compile(r"sites\.\d+\.(mean|peak|trough|pre_peak)\.\d+|sites\.\d+\.causes\.margin\.\d+")
COUNTED = re.compile(
    r"sites\.(\d+)\.(fired_samples|fired_positions|first_fired)\.(\d+)|sites\.(\d+)\.(positions|samples)"
)


def numbers(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(inner, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def another(old: float, choose: random.Random) -> float:
    near = [old + 1, old - 1, 2 * old, -old, 0, 1, old // 2, old + choose.randrange(1, 400), 10**9, -1, 1 << 63, 10**40]
    if isinstance(old, float):
        near += [old + 1e-6, old * 1.5, old / 3, -1e-9, 1e300, 5e-324]
    return choose.choice([one for one in near if one != old])


def has_witness(one: dict[str, Any], unit: int, samples: int) -> bool:
    """Whether samples, and positions of each, can be laid out in a row that recounted give a unit's counts."""
    reached, places = one["samples"], one["positions"]
    fired, at, first = one["fired_samples"][unit], one["fired_positions"][unit], one["first_fired"][unit]
    if (first is None) != (fired == 0) or reached > samples or fired > reached:
        return False
    start = samples if first is None else first
    order = [start, *range(start + 1, samples), *range(min(start, samples))][: max(samples, 0)]
    firing = order[:fired]
    silent = [index for index in reversed(order) if index not in set(firing)][: reached - fired]
    if any(index < start for index in firing) or len(firing) + len(silent) != reached or len(firing) != fired:
        return False
    counts = dict.fromkeys(firing, 1)  # positions at which it fires, in each sample that reached the layer
    totals = dict.fromkeys((*firing, *silent), 1)
    if firing:
        counts[firing[0]] += at - fired
        totals[firing[0]] = max(counts[firing[0]], 1)
    room = next(iter(silent or firing), None)
    if room is not None:
        totals[room] += places - sum(totals.values())
    return (
        sum(counts.values()) == at
        and all(count >= 1 for count in counts.values())
        and sum(totals.values()) == places
        and all(total >= max(counts.get(index, 0), 1) for index, total in totals.items())
    )


def refusal(content: object) -> str:
    """Why an audit is refused; empty if it is not."""
    try:
        load(json.dumps(content).encode())
    except AuditError as error:
        return error.message if error.slug in ("audit-inconsistent", "audit-unreadable") else error.slug
    return ""


@pytest.mark.parametrize("name", AUDITS)
def test_any_number_that_is_changed_is_refused_or_may_be_so(name: str) -> None:
    choose = random.Random(name)  # noqa: S311
    original = document(name)
    paths = list(numbers(original))
    slips = []
    for path in choose.sample(paths, min(len(paths), 200 if len(paths) < 2000 else 40)):
        changed = copy.deepcopy(original)
        inner: Any = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = another(inner[path[-1]], choose)
        where = ".".join(map(str, path))
        said = refusal(changed)
        if said:
            assert re.search(r"counts: [a-z_]+|\$\.[a-z_]+|integer", said), said
            continue
        counted = COUNTED.fullmatch(where)
        if counted and not original["sites"][int(path[1])]["per_run"]:
            one = changed["sites"][int(path[1])]
            units = [int(path[3])] if len(path) > 3 else range(one["units"])
            ok = all(has_witness(one, which, changed["data"]["samples"]) for which in units)
        else:
            ok = bool(FREE.fullmatch(where) or MEASURED.fullmatch(where) or counted)
        if not ok:
            slips.append((where, inner[path[-1]]))
    assert slips == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_of_any_outputs_are_possible(data: st.DataObject) -> None:
    """Counts made by numpy from outputs that are drawn, with samples that do not reach the layer, are never refused."""
    units, samples = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    outputs = [
        np.maximum(rng.normal(data.draw(st.sampled_from([-2, 0, 2])), 1, (units, rng.integers(1, 6))), 0)
        for _ in range(samples)
    ]
    reached = [index for index in range(samples) if rng.random() < 0.8] or [0]
    fired = np.array([(outputs[index] > 0).any(axis=1) for index in reached])
    together = np.concatenate([outputs[index] for index in reached], axis=1)
    seen = {
        "fired_samples": fired.sum(axis=0),
        "fired_positions": (together > 0).sum(axis=1),
        "first_fired": [next((reached[i] for i in range(len(reached)) if fired[i, u]), None) for u in range(units)],
        "mean": [float(f"{x:.6g}") for x in together.mean(axis=1)],
        "peak": together.max(axis=1),
        "trough": together.min(axis=1),
        "pre_peak": [None] * units,
    }
    lists = {field: tuple(x.item() if isinstance(x, np.generic) else x for x in xs) for field, xs in seen.items()}
    drawn = made_up_site("t", ["active"] * units, samples=len(reached), positions=together.shape[1], **lists)
    one = made_up(judged(drawn, Policy()), samples=samples)
    assert consistency.contradiction(one) == ""


# What is no JSON ----------------------------------------------------------------------------------------------------


def with_text(old: str, new: str) -> Callable[[], bytes]:
    def make() -> bytes:
        assert old in text_of("vectors")
        return text_of("vectors").replace(old, new, 1).encode("utf-8", "surrogatepass")

    return make


BLANKS = 24 << 20
NO_JSON: dict[str, Callable[[], bytes]] = {
    "bytes that are no UTF-8": lambda: b'{"schema": "\xff"}',
    "a name that is no UTF-8": lambda: text_of("vectors").encode().replace(b"Relu", b"R\xe9lu"),
    "Latin-1": lambda: text_of("vectors").replace("Relu", "R\xe9lu").encode("latin1"),
    "UTF-16": lambda: text_of("vectors").encode("utf-16"),
    "UTF-32": lambda: text_of("vectors").encode("utf-32"),
    "a mark in front": lambda: text_of("vectors").encode("utf-8-sig"),
    "half a character": with_text("Relu", "R\udc80lu"),
    "half an escaped character": with_text("Relu", "R\\ud800lu"),
    "5,000 lists": lambda: b"[" * 5000 + b"]" * 5000,
    "5,000 objects": lambda: b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "5,000 lists in an object": lambda: b'{"schema": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "5,000 lists in an audit": with_text('"notes": []', '"notes": ' + "[" * 5000 + "]" * 5000),
    "a million lists that do not end": lambda: b'{"a": ' + b"[" * 1_000_000,
    "10^9999": with_text('"units": 8', f'"units": 1{"0" * 9999}'),
    "1e9999": with_text('"rare_below": 0.05', '"rare_below": 1e9999'),
    "NaN": with_text('"rare_below": 0.05', '"rare_below": NaN'),
    "Infinity": with_text('"rare_below": 0.05', '"rare_below": Infinity'),
    "-Infinity": with_text('"rare_below": 0.05', '"rare_below": -Infinity'),
    "a key twice": with_text('"units": 8', '"units": 8, "units": 8'),
    "a key twice, at the top": with_text('"partial": false', '"partial": true, "partial": false'),
    "a key twice, the second spelt otherwise": with_text('"units": 8', '"units": 8, "\\u0075nits": 8'),
    "the gate twice": with_text('"gate": {', '"gate": {"outcome": "passed"}, "gate": {'),
    "a comment": with_text('"units": 8', '/* all */ "units": 8'),
    "a comma too many": with_text('"units": 8', '"units": 8,,'),
    "single quotes": lambda: text_of("vectors").replace('"', "'").encode(),
    "nothing": lambda: b"",
    "nul bytes": lambda: bytes(1000),
    "blanks": lambda: b" " * BLANKS,
    "a brace and blanks": lambda: b"{" + b" " * BLANKS,
    "an audit and blanks": lambda: text_of("vectors").encode() + b"\n" * BLANKS,
    "an array file": lambda: b"\x93NUMPY" + bytes(100),
    "a text": lambda: b'"audit"',
    "a page": lambda: b"<!doctype html><title>audit</title>",
}


@pytest.mark.parametrize("name", NO_JSON)
def test_what_is_no_json_is_refused_in_bounds(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(NO_JSON[name]())
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(AuditError) as caught:
            load(tmp_path / "a.json")
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 2
    assert caught.value.slug in ("audit-unreadable", "audit-inconsistent" if name == "10^9999" else "audit-unreadable")
    assert "a.json" in caught.value.message
    assert len(caught.value.message) < 300


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 8, 5, 3), dead={0: (1, 2)}), "m.onnx")
    np.savez("d.npz", x=X)
    Path("good.json").write_text(audit("m.onnx", "d.npz").to_json(), encoding="utf-8")
    return tmp_path


COMMANDS = {
    "report": ["report", "bad.json", "--html", "page.html"],
    "compare, old": ["compare", "bad.json", "good.json"],
    "compare, new": ["compare", "good.json", "bad.json"],
    "baseline": ["m.onnx", "--data", "d.npz", "--baseline", "bad.json"],
    "prune": ["prune", "m.onnx", "--audit", "bad.json", "--output", "small.onnx"],
}
OF_EACH_KIND = ("bytes that are no UTF-8", "5,000 objects", "10^9999", "NaN", "a key twice", "blanks", "nothing")


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("name", [*OF_EACH_KIND, "the gate's word", "a dead unit more"])
def test_every_command_refuses_by_slug_and_name(
    name: str, arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = NO_JSON[name]() if name in NO_JSON else json.dumps(forged(name)).encode()
    Path("bad.json").write_bytes(content)
    before = sorted(here.iterdir())
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert re.search(r"^error: bad\.json .*\[audit-(unreadable|inconsistent)\]$", said, re.MULTILINE)
    assert "Traceback" not in said
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("place", ["/dev/zero", "gone", "loop", "folder"])
def test_every_command_refuses_what_is_no_file(
    place: str, arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if place == "folder":
        Path("bad.json").mkdir()
    else:
        Path("bad.json").symlink_to("bad.json" if place == "loop" else place)
    assert run(arguments) == 2
    assert "internal" not in capsys.readouterr().err


def test_size_of_a_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "MOST_BYTES", 1 << 20)
    (tmp_path / "a.json").write_text('{"notes": "' + "a" * (2 << 20) + '"}', encoding="utf-8")
    with pytest.raises(AuditError, match="more than 1,048,576 bytes") as caught:
        load(tmp_path / "a.json")
    assert caught.value.slug == "audit-unreadable"


def test_path_that_no_file_can_have_is_refused() -> None:
    for path in ("a\0b", "a" * 5000):
        with pytest.raises(AuditError) as caught:
            relu_audit.load(path)
        assert caught.value.slug == "audit-unreadable"


def test_spelling_of_an_audit_does_not_matter(tmp_path: Path) -> None:
    found = AUDITS["vectors"]()
    for text in (
        json.dumps(document("vectors")),
        json.dumps(document("vectors"), indent=8),
        f" \n{text_of('vectors')}\n\n",
    ):
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        assert load(tmp_path / "a.json") == found


def with_units(found: dict[str, Any], units: int) -> None:
    """A first layer of another number of units, each of which fires as its second one does."""
    one, summary = found["sites"][0], found["summary"]
    for field in layer_checks.PER_UNIT:
        one[field] = [one[field][0]] * units
    summary["units"] += units - one["units"]
    summary["active"] += units - one["units"] + len(one["dead"])
    summary["dead"] -= len(one["dead"])
    summary["dead_fraction"] = summary["dead"] / summary["units"]
    one.update(units=units, dead=[], causes=None, tied=None, dead_fraction=0.0, dead_rate_below=None)


@pytest.mark.parametrize("units", [2, 5, 9, 4000])
def test_audit_of_other_units_than_the_model_has_prunes_nothing(
    units: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(Path("good.json").read_bytes())
    with_units(found, units)
    Path("bad.json").write_text(json.dumps(found), encoding="utf-8")
    assert load("bad.json").sites[0].units == units
    assert run(["prune", "m.onnx", "--audit", "bad.json", "--output", "small.onnx"]) == 2
    assert f"the audit counts {units} units in" in capsys.readouterr().err
    assert not Path("small.onnx").exists()
