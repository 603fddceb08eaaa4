"""The gate: limits compare exactly, too little evidence decides nothing, and a breach comes with its value."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_audit import Audit, AuditError, audit
from relu_audit.cli.options import Share, Shares
from relu_audit.judge.gate import gate
from relu_audit.judge.rules import RULES, judged_units, over
from relu_audit.records import DataInfo, Gate, LayerLimit, Policy, SiteAudit, Skipped, Waiver
from relu_audit.report import numbers
from relu_audit.report.breaches import told
from tests.graphs import graph, mlp
from tests.layers import ENOUGH, SKIPPED, data, judge, measure, share, site

X = 3 * np.random.default_rng(0).standard_normal((ENOUGH, 4)).astype(np.float32)


# Evidence -----------------------------------------------------------------------------------------------------------


def seen(samples: int, distinct: int | None) -> DataInfo:
    return msgspec.structs.replace(data(samples), distinct=distinct)


@pytest.mark.parametrize(
    ("samples", "distinct", "reason"),
    [
        (255, None, "255 samples are fewer than the 256 asked for (--min-samples)"),
        (255, 255, "255 samples are fewer than the 256 asked for (--min-samples)"),
        (1, None, "1 samples are fewer than the 256 asked for (--min-samples)"),
        (300, 255, "255 distinct samples are fewer than the 256 asked for (--min-samples)"),
        (300, 1, "1 distinct sample is fewer than the 256 asked for (--min-samples)"),
        (256, 256, None),
        (300, 256, None),
    ],
)
def test_the_gate_says_how_many_samples_were_too_few(samples: int, distinct: int | None, reason: str | None) -> None:
    found = judge(Policy(max_dead=0.5, min_samples=256), site(20), data=seen(samples, distinct))
    assert found.reasons == (() if reason is None else (reason,))
    assert found.outcome == ("passed" if reason is None else "inconclusive")


@pytest.mark.parametrize(
    ("unseen", "reason"),
    [
        (1, "no sample reached the layer 'r0'"),
        (2, "no sample reached the layer 'r0' and 1 more"),
        (3, "no sample reached the layer 'r0' and 2 more"),
    ],
)
def test_the_gate_names_a_layer_that_no_sample_reached(unseen: int, reason: str) -> None:
    layers = [site(4, unseen=4, tensor=f"r{i}") for i in range(unseen)]
    assert judge(Policy(max_dead=0.5), site(20), *layers).reasons == (reason,)


def test_a_layer_that_is_listed_and_not_observed_has_no_units_to_judge() -> None:
    found = judge(Policy(max_dead=0.5, allow_faulty=2), site(2, faulty=(0, 1)), skipped=(SKIPPED,))
    assert "there is no unit of which it could be told whether it fires" in found.reasons
    assert judged_units(SKIPPED) == 0


# Limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "outcome"), [(0.049, "failed"), (0.05, "passed"), (0.051, "passed")])
@pytest.mark.parametrize("rule", ["max_dead", "max_dead_layer"])
def test_limit_is_the_largest_share_that_passes(rule: str, limit: float, outcome: str) -> None:
    assert judge(Policy(**{rule: limit}), site(20, 1)).outcome == outcome


@settings(max_examples=40, deadline=None)
@given(dead=st.integers(0, 10_000), rule=st.sampled_from(["max_dead", "max_dead_layer"]))
def test_share_equal_to_the_limit_passes_and_one_unit_more_fails(dead: int, rule: str) -> None:
    limit = share(f"{dead // 10_000}.{dead % 10_000:04}")
    assert judge(Policy(**{rule: limit}), site(10_000, dead)).outcome == "passed"
    if dead < 10_000:
        assert judge(Policy(**{rule: limit}), site(10_000, dead + 1)).outcome == "failed"


def test_percentage_is_the_very_limit_that_the_fraction_is() -> None:
    parts = [(f"{i // 100}.{i % 100:02}%", f"{i // 10_000}.{i % 10_000:04}") for i in range(10_001)]
    assert [percent for percent, fraction in parts if share(percent) != share(fraction)] == []


@pytest.mark.parametrize("text", ["0.7%", "1.4%", "0.07%", "2.8%", "5.5%", "99.3%"])
def test_percentage_with_a_decimal_passes_the_share_it_names(text: str) -> None:
    dead = int(Fraction(text.removesuffix("%")) * 100)
    assert judge(Policy(max_dead=share(text)), site(10_000, dead)).outcome == "passed"


@settings(max_examples=40, deadline=None)
@given(units=st.integers(1, 2000), data=st.data())
def test_limit_given_as_the_observed_fraction_passes(units: int, data: st.DataObject) -> None:
    dead = data.draw(st.integers(0, units))
    assert judge(Policy(max_dead=dead / units, max_dead_layer=dead / units), site(units, dead)).outcome == "passed"


@pytest.mark.parametrize(("limit", "dead", "outcome"), [(0.0, 0, "passed"), (0.0, 1, "failed"), (1.0, 20, "passed")])
def test_ends_of_the_scale_are_limits_too(limit: float, dead: int, outcome: str) -> None:
    assert judge(Policy(max_dead=limit), site(20, dead)).outcome == outcome


def test_limit_on_the_model_weighs_layers_by_their_units() -> None:
    sites = site(10, 5, tensor="a"), site(90, 0, tensor="b")
    assert judge(Policy(max_dead=0.05), *sites).outcome == "passed"
    assert judge(Policy(max_dead=0.0499), *sites).outcome == "failed"


def test_limit_on_layers_looks_at_each_by_itself_and_names_the_broken_ones() -> None:
    found = judge(Policy(max_dead_layer=0.2), site(10, 5, tensor="a"), site(90, 0, tensor="b"), site(4, 1, tensor="c"))
    assert found.outcome == "failed"
    assert [(b.rule, b.tensor, b.limit, b.units, b.of) for b in found.breaches] == [
        ("max-dead-layer", "a", 0.2, 5, 10),
        ("max-dead-layer", "c", 0.2, 1, 4),
    ]


def test_breach_holds_the_limit_and_the_value_that_broke_it() -> None:
    (breach,) = judge(Policy(max_dead=0.05), site(10, 1), site(10, 3)).breaches
    assert (breach.rule, breach.tensor, breach.limit, breach.observed) == ("max-dead", None, 0.05, 0.2)


def test_both_limits_can_break_at_once() -> None:
    found = judge(Policy(max_dead=0.1, max_dead_layer=0.1), site(10, 5))
    assert [b.rule for b in found.breaches] == ["max-dead", "max-dead-layer"]


def test_units_that_no_sample_reached_are_not_in_the_share() -> None:
    found = judge(Policy(max_dead=0.1), site(20, 2, unseen=10))
    assert [b.observed for b in found.breaches] == [0.2]


def test_no_limit_means_no_gate_whatever_was_seen() -> None:
    for sites in ((), (site(4, 4),)):
        assert judge(Policy(), *sites, data=data(0, synthetic=True), partial=True) == Gate(outcome="not_set")


# Every rule of the table --------------------------------------------------------------------------------------------

BROKEN = {
    "max-dead": (Policy(max_dead=0.1), site(20, 3), "15.00 % of all units are dead; the limit is 10 %"),
    "max-dead-layer": (Policy(max_dead_layer=0.1), site(20, 3), "15.00 % of its units are dead; the limit is 10 %"),
    "max-rare": (
        Policy(max_rare=0.1),
        site(20, 1, rare=(1, 2, 3)),
        "15.00 % of all units are rare; the limit is 10 %",
    ),
    "allow-faulty": (Policy(allow_faulty=1), site(20, 0, faulty=(4, 5)), "faulty units: 2; the most allowed are 1"),
    "require-observed": (
        Policy(require_observed=True),
        site(20, 0, unseen=3),
        "its units not fully observed; all must be",
    ),
}


def test_every_rule_is_tried_here() -> None:
    assert set(BROKEN) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", BROKEN)
def test_rule_fails_by_itself_and_says_why(name: str) -> None:
    policy, layer, words = BROKEN[name]
    found = judge(policy, layer)
    assert found.outcome == "failed"
    assert [(breach.rule, told(breach)) for breach in found.breaches] == [(name, words)]
    assert judge(policy, site(20)).outcome == "passed"


@settings(max_examples=200, deadline=None)
@given(of=st.integers(1, 400_000), digits=st.integers(0, 8), data=st.data())
def test_limits_compare_as_the_fractions_they_are(of: int, digits: int, data: st.DataObject) -> None:
    decimal = Fraction(data.draw(st.integers(0, 10**digits)), 10**digits)
    close = int(decimal * of)
    units = data.draw(st.integers(max(close - 1, 0), min(close + 1, of)))
    bound = share(f"{float(decimal):.{digits}f}")
    assert over(units, of, bound) == (Fraction(units, of) > decimal)


@pytest.mark.parametrize("whole", range(1, 101))
def test_every_percentage_of_a_hundred_passes_itself_though_floats_are_odd(whole: int) -> None:
    for dead in range(101):
        assert not over(dead * whole, 100 * whole, share(f"{dead}%")), dead  # 0.07 * 100 is not 7
        if dead < 100:
            assert over(dead * whole + 1, 100 * whole, share(f"{dead}%")), dead


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**7), st.integers(0, 12), st.data())
def test_no_share_is_shown_as_none_or_all_when_it_is_neither(of: int, digits: int, data: st.DataObject) -> None:
    units = data.draw(st.integers(0, of))
    for text in (
        numbers.percent(units / of, max(digits, 1)),
        numbers.limit(units / of),
        numbers.apart(units / of, 0.5),
    ):
        assert (text == "0 %") == (units == 0), text
        assert (text == "100 %") == (units == of), text


def test_one_faulty_unit_fails_any_gate_and_none_where_there_is_no_gate() -> None:
    layer = site(20, 0, faulty=(3,))
    assert judge(Policy(max_dead=1.0), layer).outcome == "failed"
    assert judge(Policy(max_dead=1.0, allow_faulty=1), layer).outcome == "passed"
    assert judge(Policy(), layer).outcome == "not_set"


def test_allowed_faulty_units_are_in_no_share_and_are_named() -> None:
    layer = site(12, 1, faulty=(10, 11), tensor="hot")
    found = judge(Policy(max_dead=0.1, allow_faulty=2), layer)
    assert (found.outcome, found.breaches) == ("passed", ())
    assert "2 faulty units are allowed" in found.remarks[0]
    assert "'hot'" in found.remarks[0]
    (breach,) = judge(Policy(max_dead=0.09, allow_faulty=2), layer).breaches
    assert (breach.units, breach.of) == (1, 10)


def test_nothing_but_faulty_units_is_no_pass() -> None:
    assert judge(Policy(allow_faulty=4), site(4, 0, faulty=range(4))).outcome == "inconclusive"
    assert judge(Policy(allow_faulty=3), site(4, 0, faulty=range(4))).outcome == "failed"


def test_what_was_not_observed_fails_only_where_all_has_to_be() -> None:
    assert judge(Policy(max_dead=1.0), site(4), skipped=(SKIPPED,)).outcome == "passed"
    found = judge(Policy(require_observed=True), site(4), skipped=(SKIPPED,))
    assert found.outcome == "failed"
    assert [(breach.tensor, breach.units) for breach in found.breaches] == [("s", 1)]
    assert judge(Policy(require_observed=True), skipped=(SKIPPED,)).outcome == "failed"
    assert judge(Policy(require_observed=True), site(4, 0, unseen=4)).outcome == "failed"
    assert judge(Policy(require_observed=True)).outcome == "inconclusive"


@settings(max_examples=40, deadline=None)
@given(units=st.integers(1, 500), data=st.data())
def test_rare_share_equal_to_the_limit_passes_and_one_unit_more_fails(units: int, data: st.DataObject) -> None:
    rare = data.draw(st.integers(0, units - 1))
    limit = Policy(max_rare=rare / units)
    assert judge(limit, site(units, rare=range(rare))).outcome == "passed"
    assert judge(limit, site(units, rare=range(rare + 1))).outcome == "failed"


# Too little evidence ------------------------------------------------------------------------------------------------

LACKS = {
    "too few samples": ({"data": data(255)}, "255"),
    "made-up data": ({"data": data(synthetic=True)}, "made up"),
    "interrupted": ({"partial": True}, "interrupted"),
}


@pytest.mark.parametrize(("lack", "said"), LACKS.values(), ids=LACKS)
@pytest.mark.parametrize("dead", [0, 3])
def test_too_little_evidence_neither_passes_nor_fails(lack: dict[str, object], said: str, dead: int) -> None:
    found = judge(Policy(max_dead=0.0), site(4, dead), **lack)
    assert found.outcome == "inconclusive"
    assert any(said in reason for reason in found.reasons)


@pytest.mark.parametrize("skipped", [(), (SKIPPED,)])
def test_nothing_to_look_at_is_inconclusive(skipped: tuple[Skipped, ...]) -> None:
    found = judge(Policy(max_dead=1.0), skipped=skipped)
    assert found.outcome == "inconclusive"
    assert found.reasons


def test_layer_that_no_sample_reached_is_inconclusive_and_named() -> None:
    found = judge(Policy(max_dead=1.0), site(4, 0), site(4, 0, unseen=4, tensor="never", samples=0))
    assert found.outcome == "inconclusive"
    assert "'never'" in " ".join(found.reasons)


@pytest.mark.parametrize(("samples", "outcome"), [(9, "inconclusive"), (10, "passed"), (11, "passed")])
def test_fewest_samples_are_enough(samples: int, outcome: str) -> None:
    assert judge(Policy(max_dead=0.0, min_samples=10), site(4, 0), data=data(samples)).outcome == outcome


def test_every_lack_is_said() -> None:
    found = judge(Policy(max_dead=0.0), site(4, 0), data=data(1, synthetic=True), partial=True)
    assert len(found.reasons) == 3


def test_conclusive_gate_gives_no_reasons() -> None:
    assert judge(Policy(max_dead=0.5), site(4, 1)).reasons == ()
    assert judge(Policy(max_dead=0.1), site(4, 1)).reasons == ()


# Axes that had to be assumed ----------------------------------------------------------------------------------------


GUESS = site(4, 1, tensor="guess", assumed=True)
SURE = site(20, 3)


@pytest.mark.parametrize(
    ("policy", "layers", "word"),
    [
        (Policy(max_dead=0.5), (GUESS,), "inconclusive"),
        (Policy(max_dead_layer=0.0), (GUESS, SURE), "failed"),
        (Policy(max_dead_layer=0.2), (GUESS, SURE), "inconclusive"),
        (Policy(max_dead=0.0), (GUESS, SURE), "failed"),
        (Policy(max_dead=0.14), (GUESS, SURE), "inconclusive"),  # four more units that live would keep it
        (Policy(max_dead=0.12), (GUESS, SURE), "failed"),
        (Policy(max_dead=0.3), (GUESS, site(20)), "passed"),  # four more dead units would keep it
        (Policy(max_dead_layer=1.0), (GUESS,), "passed"),
        (Policy(max_rare=0.1), (GUESS,), "inconclusive"),
        (Policy(allow_faulty=0), (GUESS,), "passed"),
        (Policy(allow_faulty=0), (site(4, faulty=(1,), assumed=True),), "failed"),
        (Policy(allow_faulty=2), (site(4, faulty=(1,), assumed=True),), "inconclusive"),
        (Policy(allow_faulty=4), (site(4, faulty=(1,), assumed=True),), "passed"),
        (Policy(require_observed=True), (GUESS,), "passed"),
        (Policy(require_observed=True), (site(4, 0, unseen=4, samples=0, assumed=True),), "failed"),
        (Policy(max_dead=0.5, waivers=(Waiver(pattern="guess", reason="x"),)), (GUESS, SURE), "passed"),
        (Policy(max_dead=0.5, layers=(LayerLimit(pattern="guess", max_dead_layer=1.0),)), (GUESS, SURE), "passed"),
    ],
)
def test_assumed_axis_decides_nothing(policy: Policy, layers: tuple[SiteAudit, ...], word: str) -> None:
    found = judge(policy, *layers)
    assert found.outcome == word
    assert any("--unit-axis guess=AXIS" in reason for reason in found.reasons) == (
        word == "inconclusive" and GUESS in layers
    )
    assert bool(found.undecided) == (word == "inconclusive" or (policy.max_dead_layer, word) == (0.0, "failed"))


def test_assumed_axis_is_in_doubt_against_a_baseline_too() -> None:
    assert judge(Policy(max_dead=0.0), GUESS, baseline=measure(GUESS)).outcome == "inconclusive"
    assert judge(Policy(max_dead=0.0), GUESS, SURE, baseline=measure(GUESS, SURE)).outcome == "inconclusive"
    assert judge(Policy(max_dead=0.0), GUESS, SURE, baseline=measure(GUESS, site(20, 2))).outcome == "failed"
    hot = site(4, faulty=(1,), assumed=True)
    assert judge(Policy(allow_faulty=0), hot, baseline=measure(site(4, assumed=True))).outcome == "failed"


def test_many_assumed_axes_are_named_together() -> None:
    found = judge(Policy(max_dead=0.5), *(site(4, tensor=f"g{i}", assumed=True) for i in range(7)))
    (reason,) = found.reasons
    assert "'g0', 'g1', 'g2', 'g3', 'g4' and 2 more" in reason
    assert "--unit-axis TENSOR=AXIS" in reason


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from((0.0, 0.1, 0.2, 0.35, 0.5, 0.75)), each=st.booleans())
def test_word_over_an_assumed_axis_holds_along_every_axis(seed: int, limit: float, each: bool) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, (3, 4)).astype(np.float32)
    if rng.integers(2):
        mask[:, rng.integers(4)] = mask[rng.integers(3)] = 0
    shift = np.where(rng.random(6) < rng.random(), -1e3, 1.0).astype(np.float32)
    body = "a = Mul (x, m)\n y = Relu (a)\n h = MatMul (x, w)\n g = Add (h, b)\n z = Relu (g)"
    weights = {"m": np.float32(1), "w": rng.standard_normal((4, 6)).astype(np.float32), "b": shift}
    model = graph("float[n, 3, 4] x", "float[n, 3, 4] y, float[n, 3, 6] z", body, weights)
    samples = np.abs(rng.standard_normal((300, 3, 4))).astype(np.float32) * mask
    asked = {"max_dead_layer" if each else "max_dead": limit}
    found = audit(model, samples, **asked)
    assert [one.assumed for one in found.sites] == [True, False]
    words = {audit(model, samples, unit_axes={"y": axis}, **asked).gate.outcome for axis in (1, 2)}
    if found.gate.outcome != "inconclusive":
        assert words == {found.gate.outcome}
    assert len(words) == 1 or found.gate.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("shape", "word"), [([4], "passed"), ([4, 1, 1], "passed"), ([1, 1], "passed"), ([3, 4], "inconclusive")]
)
def test_axis_that_is_the_only_one_is_no_guess(shape: list[int], word: str) -> None:
    named = ", ".join(map(str, ["n", *shape]))
    model = graph(f"float[{named}] x", f"float[{named}] y", "y = Relu (x)")
    samples = np.random.default_rng(0).standard_normal((ENOUGH, *shape)).astype(np.float32)
    assert audit(model, samples, max_dead=0.5).gate.outcome == word
    given = audit(model, samples, max_dead=0.5, unit_axes={"y": 1})
    assert given.gate.outcome == "passed"


# How a limit is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5%", 0.05),
        ("0.05", 0.05),
        ("5 %", 0.05),
        (" 5% ", 0.05),
        ("0", 0.0),
        ("0%", 0.0),
        ("1", 1.0),
        ("100%", 1.0),
        (".5", 0.5),
        ("12.5%", 0.125),
        ("1e-3", 0.001),
        (0.05, 0.05),
    ],
)
def test_share_is_a_percentage_or_a_fraction(text: object, value: float) -> None:
    assert Share().convert(text, None, None) == value


@pytest.mark.parametrize(
    "text", ["5", "1.01", "101%", "-1%", "-0.1", "nan", "inf", "nan%", "", "%", "5%%", "five", "0,05"]
)
def test_anything_else_is_no_share_and_the_error_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"5% or 0\.05"):
        share(text)


@pytest.mark.parametrize("option", ["max_dead", "max_dead_layer", "max_rare", "rare_below"])
@pytest.mark.parametrize("value", [5.0, -0.01, float("nan"), float("inf")])
def test_library_refuses_what_is_no_fraction(option: str, value: float) -> None:
    with pytest.raises(AuditError, match=option) as caught:
        audit(mlp(), "random:1", **{option: value})
    assert caught.value.slug == "option-range"


@pytest.mark.parametrize("text", ["", "50,", "50%,x", "101,5", "-1,5", "nan", "inf,1", "50%;30%", "1e999"])
def test_what_is_no_list_of_shares_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"5% or 0\.05"):
        Shares().convert(text, None, None)


@pytest.mark.parametrize("bands", [(0.5, 30.0), (-0.1,), ("half",), (float("nan"),)])
def test_library_refuses_bands_that_are_no_fractions(bands: tuple[Any, ...]) -> None:
    with pytest.raises(AuditError, match="bands") as caught:
        audit(mlp(), "random:1", bands=bands)
    assert caught.value.slug == "option-range"


def test_bands_are_recorded_in_order_and_once() -> None:
    assert twenty(bands=[0.2, 0.5, 0.2]).policy.bands == (0.5, 0.2)
    assert twenty().policy.bands == (0.5, 0.3, 0.2)


@pytest.mark.parametrize("option", ["batch_size", "limit", "min_samples"])
def test_library_refuses_counts_below_one(option: str) -> None:
    with pytest.raises(AuditError, match=option) as caught:
        audit(mlp(), "random:1", **{option: 0})
    assert caught.value.slug == "option-range"


# From model to verdict ----------------------------------------------------------------------------------------------


def twenty(**options: object) -> Audit:
    """One layer of 20 units, of which the last is dead."""
    return audit(mlp((4, 20, 3), dead={0: (19,)}), X, **options)


def test_gate_of_an_audit_is_the_gate_of_its_records() -> None:
    for limit in (0.0, 0.049, 0.05, 1.0):
        found = twenty(max_dead=limit, max_dead_layer=limit)
        assert found.gate == gate(found.policy, found.data, found.sites, found.skipped, partial=False)


@pytest.mark.parametrize(("limit", "outcome"), [(share("5%"), "passed"), (share("4.9%"), "failed")])
def test_one_dead_unit_of_twenty_is_five_percent(limit: float, outcome: str) -> None:
    found = twenty(max_dead=limit)
    assert found.sites[0].dead == (19,)
    assert found.dead_fraction == 0.05
    assert found.gate.outcome == outcome


def test_samples_that_fixed_batches_pad_with_are_no_evidence() -> None:
    model = graph("float[64, 4] x", "float[64, 4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": np.eye(4, dtype="f4")})
    found = audit(model, X[:255], max_dead=1.0)
    assert found.data.samples == found.sites[0].samples == 255
    assert found.gate.outcome == "inconclusive"


@pytest.mark.parametrize("rare_below", [0.0, 0.02, 0.05, 1.0])
def test_unit_is_rare_below_the_share_and_not_at_it(rare_below: float) -> None:
    x = -np.ones((100, 4), np.float32)
    for unit, count in enumerate((1, 2, 5, 99)):
        x[:count, unit] = 1
    model = graph("float[n, 4] x", "float[n, 4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": np.eye(4, dtype="f4")})
    rare = audit(model, x, rare_below=rare_below).sites[0].rare
    assert rare == tuple(
        unit for unit, count in enumerate((1, 2, 5, 99)) if Fraction(count, 100) < Fraction(str(rare_below))
    )
