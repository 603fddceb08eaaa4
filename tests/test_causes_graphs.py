"""Causes and costs where the graph is more than a chain, and what is not told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_audit
from relu_audit.judge.causes import NEGLIGIBLE, TABLE
from relu_audit.records import CAUSES, Audit, Causes, Cost, Prospect, SiteAudit
from relu_audit.report import html, json, text
from relu_audit.report.causes import tally, why
from relu_audit.report.numbers import count, measured
from relu_audit.report.units import COLUMNS, rows
from tests.graphs import graph, mlp
from tests.hostile import sample

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
PER_UNIT = ("fired_samples", "fired_positions", "first_fired", "mean", "peak", "trough", "pre_peak")


def fed(*shape: int) -> Mapping[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((50, *shape)).astype(np.float32)}


def last(audit: Audit) -> tuple[SiteAudit, Causes]:
    site = audit.sites[-1]
    assert site.causes is not None
    return site, site.causes


def told(found: Causes) -> dict[str, tuple[int, ...]]:
    return {name: getattr(found, name) for name in CAUSES if getattr(found, name)}


def weights(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_the_table_is_in_the_order_of_the_record_and_every_row_is_documented() -> None:
    assert tuple(row.name for row in TABLE) == CAUSES
    page = (ROOT / "docs/causes.md").read_text(encoding="utf-8")
    assert all(f"\n## `{row.slug}`\n" in page for row in TABLE)


def test_a_model_without_dead_units_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relu_audit.examine.why.Spans", None)
    audit = relu_audit.audit(mlp(), fed(6))
    assert audit.dead == 0
    assert all(site.causes is None and site.tied is None for site in audit.sites)


def test_a_scale_near_zero_is_the_normalisation_s_doing() -> None:
    gamma = np.array([1, 1e-6, 0, 1e-6, 1, 0.5], np.float32)
    beta = np.array([0, -0.01, 0, 0.5, -50, 0], np.float32)
    held = {"w": weights(6, 6), "g": gamma, "b": beta, "m": np.zeros(6, np.float32), "v": np.ones(6, np.float32)}
    body = "h = MatMul (x, w)\n p = BatchNormalization (h, g, b, m, v)\n y = Relu (p)"
    _, found = last(relu_audit.audit(graph("float[n, 6] x", "float y", body, held), fed(6)))
    assert told(found) == {"normalisation_scale_near_zero": (1, 2), "bias_below_reach": (4,)}
    assert (found.near_zero, found.norm) == ((1,), "BatchNormalization")


def test_behind_a_normalisation_by_the_data_s_moments_bounds_are_its_own() -> None:
    gamma = np.array([1, 0, 1, 1], np.float32)
    beta = np.array([0, -1, -1.5, -1.8], np.float32)
    body = "h = MatMul (x, w)\n p = LayerNormalization (h, g, b)\n y = Relu (p)"
    held = {"w": weights(6, 4), "g": gamma, "b": beta}
    data = fed(6)
    site, found = last(relu_audit.audit(graph("float[n, 6] x", "float y", body, held), data))
    assert found.norm == "LayerNormalization"
    assert found.normalisation_scale_near_zero == (1,)
    # Of four numbers none is further from their mean than sqrt(3) standard deviations.
    assert 3 in found.bias_below_reach
    assert 3 in found.proven
    assert 2 not in found.proven
    assert set(site.dead) >= {1, 3}


def test_what_is_added_from_elsewhere_is_bounded_too() -> None:
    held = {
        "w": np.abs(weights(4, 4)),
        "b": np.array([-1e3, -1e3, 0.5, 0], np.float32),
        "w2": np.array([[1, 0, 1, 1]] * 4, np.float32),
        "b2": np.array([0, 2e3, 0, 0], np.float32),
    }
    body = """
        r = Relu (x)
        a = Gemm (r, w, b)
        c = Gemm (r, w2, b2)
        p = Add (a, c)
        y = Relu (p)"""
    site, found = last(relu_audit.audit(graph("float[n, 4] x", "float y", body, held), fed(4)))
    assert site.dead == (0,)
    assert told(found) == {"bias_below_reach": (0,)}
    assert found.proven == (0,)


def test_a_layer_in_two_places_has_the_cause_that_holds_in_both() -> None:
    held = {"w": np.abs(weights(4, 4)), "b": np.array([0, -1e3, 0, 0], np.float32)}
    body = """
        r = Relu (x)
        s = Relu (z)
        p = Gemm (r, w, b)
        u = Relu (p)
        q = Gemm (s, w, b)
        v = Relu (q)
        y = Add (u, v)"""
    data = {**fed(4), "z": fed(4)["x"]}
    audit = relu_audit.audit(graph("float[n, 4] x, float[n, 4] z", "float y", body, held), data)
    site = next(one for one in audit.sites if len(one.tensors) == 2)
    assert site.causes is not None
    assert told(site.causes) == {"bias_below_reach": (1,)}
    assert site.tied is not None
    assert site.tied.parameters == 4 + 1


def test_halves_of_one_product_have_rows_of_their_own() -> None:
    b = np.zeros(8, np.float32)
    b[5] = -1e3
    w = np.abs(weights(4, 8))
    w[:, 2] = 0
    b[2] = -1
    body = """
        r = Relu (x)
        p = Gemm (r, w, b)
        l, h = Split <axis = 1, num_outputs = 2> (p)
        u = Relu (l)
        v = Relu (h)
        y = Add (u, v)"""
    audit = relu_audit.audit(graph("float[n, 4] x", "float y", body, {"w": w, "b": b}), fed(4))
    found = [told(site.causes) for site in audit.sites if site.causes is not None and site.tensor in "uv"]
    assert found == [{"zero_weights": (2,)}, {"bias_below_reach": (1,)}]


def test_shuffled_channels_lead_back_to_their_rows() -> None:
    w = np.abs(weights(6, 6, 1))
    b = np.zeros(6, np.float32)
    w[1], b[1], b[4] = 0, -1, -1e3
    body = """
        r = Relu (x)
        c = Conv (r, w, b)
        s = Reshape (c, split)
        t = Transpose <perm = [0, 2, 1, 3]> (s)
        p = Reshape (t, joined)
        y = Relu (p)"""
    held = {"w": w, "b": b, "split": np.array([-1, 2, 3, 5]), "joined": np.array([-1, 6, 5])}
    site, found = last(relu_audit.audit(graph("float[n, 6, 5] x", "float y", body, held), fed(6, 5)))
    # Units go by the weight's channels, wherever the shuffle has put them.
    assert told(found) == {"zero_weights": (1,), "bias_below_reach": (4,)}
    assert site.dead == (1, 4)


def test_bodies_are_looked_into() -> None:
    b = np.array([0, -1e3, 0, 0], np.float32)
    body = """
        r = Relu (x)
        m = ReduceMax <keepdims = 0> (r)
        c = Greater (m, low)
        y = If (c) <
            then_branch = t () => (float[n, 4] u) { p = Gemm (r, w, b)  u = Relu (p) },
            else_branch = e () => (float[n, 4] v) { v = Identity (r) }
        >"""
    held = {"w": np.abs(weights(4, 4)), "b": b, "low": np.float32(-1)}
    audit = relu_audit.audit(graph("float[n, 4] x", "float y", body, held), fed(4), samples="rows")
    site = next(one for one in audit.sites if one.scope)
    assert site.causes is not None
    assert told(site.causes) == {"bias_below_reach": (1,)}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("h = MatMul (x, w)\n t = Tanh (h)\n p = Sub (t, two)\n y = Relu (p)", "Tanh stands between"),
        ("p = Sub (x, two)\n y = Relu (p)", "no weight upstream"),
        ('h = Einsum <equation = "ij,jk->ik"> (x, w)\n p = Sub (h, two)\n y = Relu (p)', "Einsum stands between"),
    ],
)
def test_what_cannot_be_told_is_said_with_its_reason(body: str, why: str) -> None:
    held = {"w": weights(4, 4), "two": np.float32(50)}
    _, found = last(relu_audit.audit(graph("float[n, 4] x", "float y", body, held), fed(4)))
    assert set(told(found)) == {"not_examined"}
    assert why in (found.obstacle or "")
    assert all(margin is not None and margin > 0 for margin in found.margin)


def test_a_bug_in_here_costs_nobody_an_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("relu_audit.examine.why.seen", broken)
    _, found = last(relu_audit.audit(mlp((6, 8, 3), dead={0: (2,)}), fed(6)))
    assert found.not_examined == (2,)
    assert "RuntimeError" in (found.obstacle or "")


def test_thresholds_count_for_the_margin() -> None:
    body = "p = Gemm (x, w, b)\n y = ThresholdedRelu <alpha = 2.0> (p)"
    held = {"w": np.zeros((4, 2), np.float32), "b": np.array([1.5, 3.0], np.float32)}
    site, found = last(relu_audit.audit(graph("float[n, 4] x", "float y", body, held), fed(4)))
    assert (site.dead, found.margin, found.zero_weights) == ((0,), (0.5,), (0,))


def test_an_audit_keeps_its_causes_and_notices_if_they_were_edited() -> None:
    audit = relu_audit.audit(mlp(dead={0: (1, 2)}), fed(6))
    assert relu_audit.load(audit.to_json().encode()) == audit
    site, found = audit.sites[0], audit.sites[0].causes
    assert found is not None
    moved = msgspec.structs.replace(found, unexplained=(3,))
    edited = msgspec.structs.replace(audit, sites=(msgspec.structs.replace(site, causes=moved), *audit.sites[1:]))
    with pytest.raises(relu_audit.AuditError, match="do not follow"):
        json.load(json.write(edited).encode())


def test_negligible_is_told_by_the_living_and_not_by_the_dead() -> None:
    w = np.abs(weights(4, 6)) + 0.5
    w[:, :4] *= 1e-7
    w[:, 4] *= NEGLIGIBLE * 4
    b = np.array([-1, -1, -1, -1, -1, 1], np.float32)
    body = "r = Relu (x)\n p = Gemm (r, w, b)\n y = Relu (p)"
    _, found = last(relu_audit.audit(graph("float[n, 4] x", "float y", body, {"w": w, "b": b}), fed(4)))
    assert found.zero_weights == found.near_zero == (0, 1, 2, 3)
    assert found.bias_below_reach == (4,)


# Costs --------------------------------------------------------------------------------------------------------------


def tied_up(audit: Audit) -> tuple[int, int]:
    held = [site.tied for site in audit.sites if site.tied is not None]
    assert all(None not in (one.parameters, one.multiply_adds, one.read_multiply_adds) for one in held)
    return (
        sum((one.parameters or 0) + one.read_parameters for one in held),
        sum((one.multiply_adds or 0) + (one.read_multiply_adds or 0) for one in held),
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sets(st.integers(0, 7), max_size=5), min_size=3, max_size=3), st.integers(0, 99))
def test_what_is_tied_up_is_what_pruning_gives_back_where_all_of_it_can_go(dead: list[set[int]], seed: int) -> None:
    model = mlp((5, 8, 8, 8, 3), seed, {i: tuple(units) for i, units in enumerate(dead)})
    data = {"x": np.random.default_rng(seed).standard_normal((64, 5)).astype(np.float32)}
    audit = relu_audit.audit(model, data)
    if any(len(site.dead) == site.units for site in audit.sites):
        return
    plan = relu_audit.prune(model, audit, align=1, verify=False).plan
    unread = [one for one in plan.removed if one.why != "dead"]
    if unread:
        return
    assert plan.before.multiply_adds is not None
    assert plan.after.multiply_adds is not None
    saved = plan.before.parameters - plan.after.parameters, plan.before.multiply_adds - plan.after.multiply_adds
    assert tied_up(audit) == saved


def test_images_are_counted_by_their_positions() -> None:
    w, b = weights(4, 3, 3, 3), np.array([0, -1e3, 0, -1e3], np.float32)
    held = {"w": w, "b": b, "v": np.abs(weights(2, 4, 1, 1)), "f": weights(2 * 4, 5)}
    body = """
        p = Conv <pads = [1, 1, 1, 1]> (x, w, b)
        y = Relu (p)
        m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (y)
        c = Conv (m, v)
        r = Relu (c)
        a = GlobalAveragePool (r)
        z = Flatten (m)
        o = Identity (z)"""
    audit = relu_audit.audit(graph("float[n, 3, 6, 8] x", "float o, float a", body, held), fed(3, 6, 8))
    held_by = next(site.tied for site in audit.sites if site.tensor == "y")
    assert held_by is not None
    assert (held_by.parameters, held_by.multiply_adds) == (2 * (27 + 1), 2 * 27 * 6 * 8)
    assert (held_by.read_parameters, held_by.read_multiply_adds) == (2 * 2, 2 * 2 * 3 * 4)


def test_a_plan_is_made_when_asked_for_and_its_failure_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp((5, 8, 8, 3), 0, {0: (1, 2), 1: (3,)})
    assert relu_audit.audit(model, fed(5)).prospect is None
    audit = relu_audit.audit(model, fed(5), costs=True)
    assert audit.prospect is not None
    plan = relu_audit.prune(model, audit, verify=False).plan
    assert (audit.prospect.before, audit.prospect.after) == (plan.before, plan.after)
    assert audit.prospect.removed + sum(audit.prospect.kept.values()) == audit.dead

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a\nbug")

    monkeypatch.setattr("relu_audit.api.prospects.plan", broken)
    failed = relu_audit.audit(model, fed(5), costs=True)
    assert failed.prospect is not None
    assert failed.prospect.failure == ("bug", "RuntimeError: a bug")
    assert failed.sites == audit.sites
    assert onnx.checker.check_model(model) is None


# Reports ------------------------------------------------------------------------------------------------------------


def test_the_page_tells_what_the_record_holds() -> None:
    audit = sample("mlp_dead")
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.write(audit)))
    for site in audit.sites:
        assert site.causes is not None
        assert site.tied is not None
        assert measured(min(margin for margin in site.causes.margin if margin is not None)) in page
        assert f"{count(site.tied.read_parameters)}" in page
    for one in tally(audit.sites):
        assert one.units == sum(len(getattr(site.causes, one.cause.name)) for site in audit.sites)
        assert f"docs/causes.md#{one.cause.slug} {count(one.units)} {one.cause.means}" in page
    assert why(audit) == "106 weights point away, 14 bias below reach"
    assert f"{count(tied_up(audit)[0])} of {count(audit.model.parameters)} parameters" in page


def test_units_are_told_in_rows_as_in_the_record() -> None:
    audit = sample("resnet_dead")
    names = [column.name for column in COLUMNS]
    found = [dict(zip(names, row, strict=True)) for row in rows(audit)]
    margins = [margin for site in audit.sites if site.causes is not None for margin in site.causes.margin]
    assert [row["margin"] for row in found if row["status"] == "dead"] == margins
    assert {row["cause"] for row in found if row["status"] == "dead"} == {"bias_below_reach", "unexplained"}
    assert {(row["cause"], row["margin"]) for row in found if row["status"] != "dead"} == {(None, None)}


def test_a_stranger_s_operator_stays_text_and_a_hundred_thousand_dead_units_a_page() -> None:
    site = sample("mlp_dead").sites[0]
    many, evil = 100_000, "<script>alert(1)</script>\x00\u202e"
    dead = tuple(range(many))
    lost = Causes(not_examined=dead, margin=(0.125,) * many, obstacle=evil, weight=evil)
    number = {name: (getattr(site, name)[1],) * many for name in PER_UNIT}
    grown = msgspec.structs.replace(site, units=many, dead=dead, rare=(), causes=lost, **number)
    audit = msgspec.structs.replace(sample("mlp_dead"), sites=(grown,))
    page = html.write(audit)
    assert "<script>alert" not in page
    assert "99,975 more are listed" in page
    assert html.write(audit).count("&lt;script&gt;alert(1)&lt;/script&gt;") == 1
    assert len(page) < 1_000_000
    assert "alert" not in text.write(audit)


def test_prospects_are_told_and_so_is_their_failure() -> None:
    audit = sample("mlp_dead")
    before = Cost(parameters=1000, multiply_adds=4000, bytes=4000)
    after = Cost(parameters=900, multiply_adds=3000, bytes=3600)
    prospect = Prospect(removed=7, kept={"needed": 3}, align=8, before=before, after=after)
    page = html.write(msgspec.structs.replace(audit, prospect=prospect))
    assert "7 dead units and give back 100 parameters (10.0 %) and 1,000 multiply-adds per sample (25.0 %)" in page
    assert "3 <code>needed</code>" in page
    failed = msgspec.structs.replace(audit, prospect=Prospect(align=8, failure=("map-result", "<b>")))
    assert "could not be planned: &lt;b&gt; (<code>map-result</code>)" in html.write(failed)
