"""What the page's sections say beyond the records: depth, the data, what to do, how to make the audit again."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relu_audit import load
from relu_audit.cli import run
from relu_audit.judge.depth import trend
from relu_audit.judge.evidence import rate_below
from relu_audit.judge.forecast import FARTHEST, forecast, times_fired
from relu_audit.records import (
    Audit,
    Causes,
    Cost,
    ModelInfo,
    Policy,
    Prospect,
    SiteAudit,
    Status,
    Tied,
)
from relu_audit.report import data_sufficiency as sufficiency_module
from relu_audit.report import html
from relu_audit.report.advice import MOST, RULES, advice
from relu_audit.report.command import command
from relu_audit.report.curves import SIDE, Scale, chart
from relu_audit.report.data_sufficiency import data_sufficiency
from relu_audit.report.dead_units import ROWS
from relu_audit.report.numbers import bound, count, measured
from relu_audit.report.packing import LONGEST_WORD, Column, packed
from relu_audit.report.sections import layers
from tests.test_report_html import audit, cells, section, site, unpacked

SAMPLES = Path(__file__).parents[1] / "reports"


def dying(*dead: int, units: int = 100) -> tuple[SiteAudit, ...]:
    """Layers of a hundred units with so many dead."""
    return tuple(site(f"r{i}", ["dead"] * n + ["active"] * (units - n)) for i, n in enumerate(dead))


def firing(*first_and_fired: tuple[int | None, int], samples: int = 1000, tensor: str = "r") -> SiteAudit:
    """A layer whose units fired first in this sample and in so many altogether."""
    statuses: list[Status] = ["active" if fired else "dead" for _, fired in first_and_fired]
    return msgspec.structs.replace(
        site(tensor, statuses, samples=samples),
        first_fired=tuple(first for first, _ in first_and_fired),
        fired_samples=tuple(fired for _, fired in first_and_fired),
    )


# ---- depth


@pytest.mark.parametrize(
    ("dead", "deeper"),
    [((0, 10, 40), True), ((2, 5, 5, 20, 30, 60), True), ((60, 30, 3), False)],
)
def test_death_that_goes_with_depth_is_said(dead: tuple[int, ...], deeper: bool) -> None:
    sites = dying(*dead)
    found = trend(sites)
    assert found is not None
    assert found.deeper is deeper
    third = len(dead) // 3
    assert found.first == pytest.approx(sum(dead[:third]) / third / 100)
    assert found.last == pytest.approx(sum(dead[-third:]) / third / 100)
    text = section(html.write(audit(*sites)), "depth").text
    assert ("Death compounds with depth" if deeper else "Death fades with depth") in text


@pytest.mark.parametrize("dead", [(), (50,), (0, 90), (0, 0, 0), (30, 30, 30), (1, 2, 3), (40, 0, 50, 0, 40)])
def test_nothing_is_said_where_death_does_not_go_with_depth(dead: tuple[int, ...]) -> None:
    assert trend(dying(*dead)) is None


@given(st.lists(st.integers(0, 100), max_size=12))
def test_a_network_upside_down_has_the_opposite_trend(dead: list[int]) -> None:
    there, back = trend(dying(*dead)), trend(dying(*reversed(dead)))
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert (there.first, there.last) == (back.last, back.first)


def test_bands_are_those_of_the_policy() -> None:
    built = audit(*dying(5, 25, 95), policy=Policy(bands=(0.9, 0.1)))
    assert [(layer.low, layer.grave) for layer in layers(built)] == [(None, False), (0.9, False), (0.1, True)]
    text = section(html.write(built), "depth").text
    assert "under 90 % alive" in text
    assert "under 10 % alive" in text
    assert not [one for one in layers(audit(*dying(5, 95), policy=Policy(bands=()))) if one.low is not None]


def test_firing_rates_stand_beside_the_bars() -> None:
    built = audit(firing((0, 500), (None, 0)))
    (row,) = section(html.write(built), "depth").all("tbody")[0].all("tr")
    assert cells(row)[-1] == "25.0 %"


def test_many_layers_are_drawn_side_by_side_too() -> None:
    page = html.write(audit(*dying(*range(0, 60, 3))))
    (figure,) = section(page, "depth").all("figure")
    heights = [float(y) for y in re.findall(r"V([\d.]+)H", figure.all("path", class_="part active")[0].attributes["d"])]
    assert heights == pytest.approx([10 * dead for dead in range(0, 60, 3)], abs=0.05)
    assert not section(html.write(audit(*dying(1, 2))), "depth").all("figure")


# ---- the data


def told(built: Audit) -> sufficiency_module.DataSufficiency:
    found = data_sufficiency(built, layers(built))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["mlp_dead", "mlp_healthy", "resnet_dead"])
def test_every_number_of_the_forecast_is_that_of_the_record(name: str) -> None:
    built = load(SAMPLES / f"{name}.json")
    page = section(html.write(built), "evidence")
    table = page.all("table", class_="silent")[0]
    rows = [cells(tr) for tr in table.all("tbody")[0].all("tr")]
    samples = [
        int(th.text.removeprefix("After ").replace(",", "")) for th in table.all("th")[3:-2] if "After" in th.text
    ]
    assert samples[-1] == built.data.samples
    for row, one in zip(rows, built.sites, strict=True):
        silent = [sum(first is None or first >= n for first in one.first_fired) for n in samples]
        assert row[3:-2] == [count(units) for units in silent]
        assert silent[-1] == len(one.dead)
        assert row[-2] == str(sum(fired == 1 for fired in one.fired_samples))
        ahead = forecast(times_fired(one.fired_samples), FARTHEST)
        assert row[-1].endswith(f"{int(ahead.low)}\N{EN DASH}{int(np.ceil(ahead.high))}" if one.dead else "\N{EN DASH}")
    once = [(unit, one.first_fired[unit]) for one in built.sites for unit, f in enumerate(one.fired_samples) if f == 1]
    assert re.findall(r"unit (\d+) in sample (\d+)", page.text) == [(str(u), str(f)) for u, f in once]


def test_faulty_and_unseen_units_are_neither_silent_nor_awake() -> None:
    built = audit(site("r", ["dead", "faulty", "active", "unseen"]))
    assert told(built).whole.after[-1] == 1
    assert (
        data_sufficiency(audit(site("r", ["faulty", "unseen"])), layers(audit(site("r", ["faulty", "unseen"])))) is None
    )
    assert "nothing can be said of the data" in section(html.write(audit(site("r", ["unseen"]))), "evidence").text


def test_runs_are_counted_as_the_samples_they_hold() -> None:
    one = msgspec.structs.replace(firing((0, 5), (3, 2), (None, 0), samples=125), per_run=True)
    assert told(audit(one, samples=1000)).samples == (250, 500, 1000)  # eight samples a run
    assert told(audit(one, samples=1000)).whole.after == (1, 1, 1)
    late = msgspec.structs.replace(firing((0, 5), (40, 2), (None, 0), samples=125), per_run=True)
    assert told(audit(late, samples=1000)).whole.after == (2, 1, 1)
    assert told(audit(late, samples=1000)).whole.after[-1] == 1


def test_lists_of_units_that_fired_once_are_cut_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sufficiency_module, "MOST_ONCE", 4)
    built = audit(firing(*[(i, 1) for i in range(9)], tensor="a"), firing((7, 1), tensor="b"))
    text = section(html.write(built), "evidence").text
    assert "unit 0 in sample 0, unit 1 in sample 1 and 7 more" in text
    assert "unit 0 in sample 7" in text


@pytest.mark.parametrize(
    ("units", "changes", "word"),
    [
        ([(0, 9)] * 9, {}, "Yes"),
        ([(0, 900)] * 9 + [(None, 0)] * 900, {}, "Yes"),
        ([(0, 900)] * 9 + [(None, 0)] * 3, {}, "Probably"),
        ([(0, 900)] * 9 + [(5, 1)] + [(None, 0)] * 30, {}, "Nearly"),
        ([(0, 900)] * 9 + [(5, 1)] + [(None, 0)] * 4, {}, "Nearly"),  # less than one unit is not many
        ([(0, 900)] * 9 + [(5, 1)] * 20 + [(None, 0)] * 30, {}, "No: many"),
        ([(0, 9)] * 9, {"synthetic": True}, "No: it is made up"),
        ([(0, 9)] * 9, {"policy": Policy(min_samples=2000)}, "No: there is too little"),
    ],
)
def test_the_question_is_answered(units: list[tuple[int | None, int]], changes: dict[str, bool], word: str) -> None:
    built = audit(firing(*units), **changes)
    assert told(built).word.startswith(word)
    assert section(html.write(built), "evidence").all("p", class_="finding")[0].text == told(built).word


@given(st.integers(1, 10**6), st.integers(2, 200))
def test_numbers_of_samples_are_spread_from_one_to_all(samples: int, most: int) -> None:
    numbers = Scale(samples).numbers(most)
    assert numbers[-1] == samples
    assert numbers[0] == 1
    assert list(numbers) == sorted(set(numbers))
    assert len(numbers) <= most
    places = [Scale(samples).place(number) for number in numbers]
    assert all(0 <= place <= 1 for place in places)


@given(
    st.integers(1, 3000).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.one_of(st.none(), st.integers(0, n - 1)), min_size=1, max_size=50))
    )
)
def test_curves_fall_from_left_to_right_and_stay_in_their_square(case: tuple[int, list[int | None]]) -> None:
    samples, firsts = case
    drawn = chart(Scale(samples), firsts, times_fired(0 if first is None else 1 for first in firsts))
    for path in (drawn.curve, drawn.ahead):
        points = [(float(x), float(y)) for x, y in re.findall(r"(\d+) (\d+)", path)]
        assert all(0 <= x <= SIDE and 0 <= y <= SIDE for x, y in points)
        assert points == sorted(points)
    units = [int(tick.text.replace(",", "")) for tick in drawn.up]
    assert units[0] == 0
    assert 2 <= len(units) <= 7
    assert units[-1] >= sum(first is None or first >= 1 for first in firsts)


# ---- what to do


def test_every_advice_leads_to_a_section_and_the_most_urgent_come_first() -> None:
    page = html.write(audit(*dying(1)))
    assert {rule.section for rule in RULES} <= set(re.findall(r'<section id="(\w+)"', page))
    bad = audit(site("r", ["dead", "faulty", "active"]), synthetic=True, partial=True)
    found = advice(bad, data_sufficiency(bad, layers(bad)))
    assert len(found) <= MOST
    assert [one.text.split()[0] for one in found] == ["Audit", "Let", "Find"]


@pytest.mark.parametrize(
    ("lists", "clause", "leads"),
    [
        ({"weights_point_away": (0,), "bias_below_reach": (1, 2)}, "bias below reach, 2 of 3", "causes"),
        ({"dead_inputs": (2,), "zero_weights": (0,), "unexplained": (1,)}, "dead inputs, 1 of 3", "causes"),
        ({"unexplained": (0, 1), "zero_weights": (2,)}, "fewest units alive", "depth"),
        ({"not_examined": (0, 1, 2)}, "fewest units alive", "depth"),
    ],
)
def test_who_trains_again_is_told_the_leading_cause(lists: dict[str, tuple[int, ...]], clause: str, leads: str) -> None:
    why = Causes(**lists, margin=(0.25,) * 3)
    built = audit(site("r", ["dead"] * 3 + ["active"] * 40, causes=why))
    (told,) = [one for one in advice(built, data_sufficiency(built, layers(built))) if one.text.startswith("To train")]
    assert clause in told.text
    assert told.section == leads
    links = [a.attributes["href"] for a in section(html.write(built), "verdict").all("a")]
    assert f"#{leads}" in links


def test_a_healthy_network_is_told_to_stay_so() -> None:
    built = audit(*dying(0, 0))
    (one,) = advice(built, data_sufficiency(built, layers(built)))
    assert one.text.startswith("Nothing needs doing.")
    assert advice(audit(), None) == ()


# ---- how to make it again


def test_the_command_makes_the_same_audit_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Path(__file__).parents[1] / "sample_models"
    for name in ("mlp_dead.onnx", "digits.npz"):
        (tmp_path / name).write_bytes((models / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    limits = [
        "--max-dead",
        "19.5%",
        "--bands",
        "60,20",
        "--rare-below",
        "0.1",
        "--min-samples",
        "100",
        "--limit",
        "300",
    ]
    assert run(["mlp_dead.onnx", "--data", "digits.npz", *limits, "--json", "a.json", "--quiet"]) in (0, 1)
    again = command(load("a.json"))
    assert again is not None
    assert run([*shlex.split(again)[1:], "--json", "b.json", "--quiet"]) in (0, 1)
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_what_was_never_a_file_has_no_command() -> None:
    built = audit()
    memory = msgspec.structs.replace(built, model=msgspec.structs.replace(built.model, name="<memory>"))
    assert command(memory) is None
    assert "relu_audit.audit(model, data)" in section(html.write(memory), "provenance").text


@given(st.text(min_size=1))
def test_names_are_one_word_each_to_the_shell(name: str) -> None:
    built = audit()
    model: ModelInfo = msgspec.structs.replace(built.model, name=name)
    words = shlex.split(command(msgspec.structs.replace(built, model=model)) or "")
    assert words[1] in (name, f"./{name}")
    assert not words[1].startswith("-")


# ---- the dead, one by one


def test_the_first_dead_units_stand_on_the_page_without_a_script() -> None:
    built = audit(site("a", ["dead", "active"] * 20), site("b", ["dead"] * 10))
    (table,) = section(html.write(built), "dead").all("table")
    rows = [cells(tr) for tr in table.all("tbody")[0].all("tr")]
    units = [("1 a", unit) for unit in built.sites[0].dead] + [("2 b", unit) for unit in built.sites[1].dead]
    assert [(row[0], int(row[1])) for row in rows] == units[:ROWS]
    one = built.sites[0]
    assert rows[0][3:8] == [
        "0 of 1,000",
        "0 %",
        measured(one.peak[0]),
        measured(one.mean[0]),
        measured(one.pre_peak[0]),
    ]
    assert bound(rate_below(1000)) in rows[0][10]
    assert f"{30 - ROWS} more are listed" in section(html.write(built), "dead").text


@pytest.mark.parametrize("adds", [50, None])
def test_what_is_tied_up_is_added_up_and_what_is_not_known_is_not_guessed(adds: int | None) -> None:
    one, other = (
        Tied(parameters=p, multiply_adds=m, read_parameters=3, read_multiply_adds=9) for p, m in ((10, 40), (20, adds))
    )
    built = audit(site("a", ["dead", "active"], tied=one), site("b", ["active"]), site("c", ["dead"] * 2, tied=other))
    part = section(html.write(built), "costs")
    (total,) = part.all("tfoot")
    known = 40 + (adds or 0)
    assert cells(total) == ["", "All layers", "3", "30", f"{known}" if adds else f"at least {known}", "6", "18"]
    at_least = "" if adds else " at least"
    assert f"Tied up in dead units{at_least}: 36 of 12,345 parameters" in part.text
    assert f"{known + 18} multiply-adds per sample" in part.text


def test_what_pruning_gives_back_stands_first_where_it_is_known() -> None:
    tied = Tied(parameters=1, multiply_adds=1, read_parameters=1, read_multiply_adds=1)
    cost = Cost(parameters=12_345, multiply_adds=100, bytes=1)
    plain = audit(site("a", ["dead", "active"], tied=tied))

    def first(prospect: Prospect | None) -> str:
        return section(html.write(msgspec.structs.replace(plain, prospect=prospect)), "costs").all("p")[0].text

    assert first(None).startswith("Tied up in dead units: 2 of 12,345")
    nothing = Prospect(align=8, kept={"alignment": 1}, before=cost, after=cost)
    assert first(nothing) == "Exact pruning would give nothing back."
    less = msgspec.structs.replace(cost, parameters=12_000)
    assert first(msgspec.structs.replace(nothing, removed=1, after=less)).startswith(
        "Exact pruning would remove 1 dead unit and give back 345 parameters (2.8 %)"
    )
    failed = Prospect(align=8, failure=("bug", "why"))
    assert first(failed) == "What exact pruning would give back could not be planned: why (bug)."


def test_a_plan_that_was_made_is_made_again() -> None:
    built = audit(site("a", ["dead"]))
    assert "--costs" not in (command(built) or "")
    assert "--costs" in (command(msgspec.structs.replace(built, prospect=Prospect(align=8))) or "")


# ---- packing


@given(
    st.lists(st.integers(1, 64**LONGEST_WORD), min_size=1, max_size=5).flatmap(
        lambda spans: st.tuples(
            st.just(spans), st.lists(st.tuples(*(st.integers(0, span - 1) for span in spans)), max_size=8)
        )
    )
)
def test_columns_come_out_as_they_went_in(case: tuple[list[int], list[tuple[int, ...]]]) -> None:
    spans, rows = case
    columns = [Column(span, [row[i] for row in rows]) for i, span in enumerate(spans)]
    assert unpacked(packed(columns), spans, len(rows)) == [list(column.values) for column in columns]
