"""What the gate held against a model, what was waived and what the baseline excused: every format tells it alike."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from relu_audit import load
from relu_audit.judge.baseline import baseline
from relu_audit.records import Alive, Audit, LayerLimit, Policy, Prospect, Skipped, Waiver
from relu_audit.report import github, html, junit, markdown, sarif, text
from relu_audit.report import json as audit_json
from relu_audit.report.breaches import kept
from relu_audit.report.findings import findings
from tests.hostile import audits, judged, sample
from tests.layers import site
from tests.test_formats import outcomes
from tests.test_report_html import read, section

WRITERS = {
    "text": text.write,
    "html": lambda audit: read(html.write(audit)).text,
    "fragment": lambda audit: read(html.fragment(audit)).text,
    "markdown": markdown.write,
    "junit": junit.write,
    "sarif": sarif.write,
    "github": github.write,
}
WAIVER = Waiver(pattern="/relu1/*", reason="old schedule")
IDLE = Waiver(pattern="/nowhere", reason="x")
SKIPPED = Skipped(tensor="deep", scope="", op="Relu", slug="in-subgraph", detail="x")


def rich() -> Audit:
    """A sample with a broken limit, a waived one, an idle waiver, a limit of its own and a baseline."""
    old, new = sample("mlp_healthy"), sample("mlp_dead")
    return judged(
        new,
        baseline=baseline(old, Policy(), "old.json"),
        max_dead_layer=0.1,
        layers=(LayerLimit(pattern="/relu5/*", max_dead_layer=0.5),),
        waivers=(WAIVER, IDLE),
    )


def unmarked(words: str) -> str:
    return words.replace("%25", "%").replace("&#42;", "*").replace("&#47;", "/")


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_tells_breach_waiver_and_baseline(name: str) -> None:
    words = unmarked(WRITERS[name](rich()))
    assert "13.28 %" in words
    assert "17 of them newly" in words
    assert "old schedule" in words
    assert "/relu1/*" in words
    assert "old.json" in words
    assert "81 units newly dead, 1 dead there too" in words
    assert "the waiver for '/nowhere' matches no layer" in words


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("fragment",)])
def test_every_format_tells_the_limit_that_a_waiver_excuses(name: str) -> None:
    words = unmarked(WRITERS[name](rich()))
    assert "29.69 %" in words


def test_waived_results_are_suppressed_in_sarif_and_skipped_in_junit() -> None:
    found = rich()
    results = json.loads(sarif.write(found))["runs"][0]["results"]
    waived = [one for one in results if one["ruleId"] == "max-dead-layer" and "suppressions" in one]
    assert [one["suppressions"][0]["justification"] for one in waived] == ["old schedule"]
    assert [one["level"] for one in waived] == ["note"]
    assert outcomes(found)["/relu1/Relu_output_0"] == "skipped"
    assert outcomes(found)["/relu4/Relu_output_0"] == "failure"


def test_every_waived_layer_is_skipped_with_the_reason() -> None:
    layers = Waiver(pattern="/relu*", reason="comes with the vendor's model")
    rest = Waiver(pattern="deep", reason="runs elsewhere")
    base = msgspec.structs.replace(sample("mlp_dead"), skipped=(SKIPPED,))
    found = judged(base, max_dead=1.0, waivers=(layers, rest))
    assert set(outcomes(found).values()) - {"error"} == {"skipped"}
    said = re.findall('<skipped message="([^"]*)"', junit.write(found))
    assert said[:-1] == ["waived for good: comes with the vendor's model"] * len(found.sites)
    assert said[-1].endswith("; waived for good: runs elsewhere")


def test_what_the_baseline_excuses_is_not_called_within_the_limit() -> None:
    new = sample("mlp_dead")
    found = judged(new, baseline=baseline(new, Policy(), "old.json"), max_dead=0.05)
    assert found.gate.outcome == "passed"
    words = section(html.write(found), "verdict").text
    assert "no worse than the baseline 18.75 % of all units are dead; the limit is 5 %." in words
    assert "within the limit" not in words


def test_kept_limits_stand_with_the_layer_that_comes_nearest() -> None:
    found = judged(
        sample("mlp_dead"), max_dead_layer=0.45, layers=(LayerLimit(pattern="/relu1/*", max_dead_layer=0.3),)
    )
    (one,) = kept(found)
    assert (one.layer, one.amount, one.bound) == ("/relu1/Relu_output_0", "29.69 %", 0.3)


def faulty(**asked: Any) -> Audit:
    base = sample("mlp_dead")
    layers = site(9, tensor="cool", samples=1797), site(9, faulty=(1,), tensor="hot", samples=1797)
    return judged(msgspec.structs.replace(base, sites=layers, skipped=(SKIPPED,)), **asked)


def test_unit_with_nan_fails_where_it_is_and_an_allowed_one_is_named() -> None:
    found = faulty(max_dead=0.5)
    assert outcomes(found) == {"all units": "failure", "cool": "passed", "hot": "failure", "deep": "skipped"}
    assert {one.rule for one in findings(found) if one.level == "error"} == {"allow-faulty", "faulty-units"}
    assert "faulty units: 1; the most allowed are 0" in text.write(found)
    allowed = faulty(max_dead=0.5, allow_faulty=1)
    assert outcomes(allowed) == {"all units": "passed", "cool": "passed", "hot": "skipped", "deep": "skipped"}
    assert "1 faulty unit is allowed, and in no share: 'hot'" in text.write(allowed)


def test_remarks_count_one_as_one() -> None:
    base = sample("mlp_dead")
    layers = (msgspec.structs.replace(base.sites[0], assumed=True, implicit="codes from zero"),)
    alive = (Alive(tensor="leak", scope="", op="LeakyRelu", reason="slope"),)
    one = text.write(msgspec.structs.replace(base, sites=layers, alive=alive), width=300)
    assert "the unit axis of 1 layer is assumed" in one
    assert "1 layer is rectified by the codes" in one
    assert "1 activation is alive by construction" in one
    two = text.write(msgspec.structs.replace(base, sites=2 * layers, alive=2 * alive), width=300)
    assert "the unit axis of 2 layers is assumed" in two
    assert "2 activations are alive by construction" in two


def test_what_has_to_be_observed_fails_at_its_place() -> None:
    found = faulty(require_observed=True, allow_faulty=1)
    assert outcomes(found)["deep"] == "failure"
    (one,) = [one for one in findings(found) if one.level == "error"]
    assert (one.rule, one.place) == ("require-observed", SKIPPED)
    assert "deep not fully observed; all must be" in text.write(found)
    assert "layer deep not fully observed; all must be." in section(html.write(found), "verdict").text


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(audits())
def test_errors_are_told_exactly_where_the_exit_code_is_not_zero(found: Audit) -> None:
    bad = found.gate.outcome in ("failed", "inconclusive")
    assert any(one.level == "error" for one in findings(found)) == bad
    assert any(outcome in ("failure", "error") for outcome in outcomes(found).values()) == bad
    assert any(line.startswith("::error") for line in github.write(found).splitlines()) == bad


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(audits())
def test_names_never_become_markup(found: Audit) -> None:
    page = read(html.write(found))
    assert len(page.all("script")) == len(html.SCRIPTS)
    assert not read(html.fragment(found)).all("script")


def test_saved_audit_keeps_its_policy_baseline_and_gate() -> None:
    found = rich()
    text_of = audit_json.write(found)
    assert load(text_of.encode()) == found
    assert audit_json.write(audit_json.load(text_of.encode())) == text_of


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["gate"].update(waived=[]),
        lambda saved: saved["gate"].update(remarks=[]),
        lambda saved: saved["policy"].update(waivers=[]),
        lambda saved: saved["policy"].update(layers=[]),
        lambda saved: saved.update(baseline=None),
        lambda saved: saved["baseline"]["sites"].pop(),
        lambda saved: saved["gate"]["breaches"].pop(),
    ],
)
def test_gate_that_does_not_follow_is_refused(change: Any) -> None:
    saved = json.loads(audit_json.write(rich()))
    change(saved)
    with pytest.raises(Exception, match="do not follow") as caught:
        audit_json.load(json.dumps(saved).encode())
    assert getattr(caught.value, "slug", "") == "audit-inconsistent"


def test_what_pruning_would_give_back_is_a_line() -> None:
    found = sample("mlp_dead")
    assert found.prospect is not None
    for write in (text.write, markdown.write):
        assert "runing would give back: " in write(found)
        failed = msgspec.structs.replace(found, prospect=Prospect(align=8, failure=("bug", "no plan")))
        assert "could not be planned: no plan" in write(failed)
        assert "pruning would" not in write(msgspec.structs.replace(found, prospect=None)).lower()
