"""The pages in a real browser: they break none of their own rules, can be used by all, and do what they offer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from relu_audit import compare, load
from relu_audit.judge.evidence import rate_below
from relu_audit.records import STATUSES, Alive, Audit, Cost, Policy, Prospect, Status
from relu_audit.report import html
from relu_audit.report.causes import in_words, margins, reasons, tally
from relu_audit.report.comparison import html as comparison_html
from relu_audit.report.numbers import bound, measured, percent
from relu_audit.report.pruning import html as pruning_html
from tests.browser import chromium, opened
from tests.drawn_causes import all_causes
from tests.hostile import NASTY
from tests.large_audit import large_audit
from tests.test_pruning_html import evil_case, full_case
from tests.test_report_html import audit, evil_audit, mixed_audit, site

__all__ = ["chromium"]

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "reports"


def sample(name: str) -> str:
    return html.write(load(ROOT / f"reports/{name}.json"))


def pruned(name: str) -> str:
    case = {"full": full_case, "evil": evil_case}[name]()
    return pruning_html.write(case.record, case.audit)


def strangers(statuses: Sequence[Status]) -> Audit:
    return audit(*(site(name, statuses, scope=name, weight=name) for name in NASTY))


def hostile() -> str:
    return html.write(strangers(["dead", "active"]))


def compared(old: Audit, new: Audit) -> str:
    return comparison_html.write(compare(old, new))


def planned(built: Audit) -> Audit:
    """With what exact pruning would give back."""
    before, after = (Cost(parameters=n, multiply_adds=4 * n, bytes=4 * n) for n in (12_345, 9_000))
    return msgspec.structs.replace(
        built, prospect=Prospect(removed=7, kept={"alignment": 3}, align=8, before=before, after=after)
    )


PAGES: dict[str, Callable[[], str]] = {
    "mlp_dead": lambda: sample("mlp_dead"),
    "resnet_dead": lambda: sample("resnet_dead"),
    "every status, inconclusive": lambda: html.write(mixed_audit()),
    "markup for names": lambda: html.write(evil_audit()),
    "hostile names": hostile,
    "empty": lambda: html.write(audit()),
    "alive only": lambda: html.write(audit(alive=(Alive(tensor="a", scope="", op="Elu", reason="slope"),))),
    "no samples": lambda: html.write(audit(site("r", ["unseen"] * 2, samples=0), samples=0)),
    "failed": lambda: html.write(audit(site("r", ["dead", "active"]), policy=Policy(max_dead=0.1))),
    "passed": lambda: html.write(audit(site("r", ["rare", "active"]), policy=Policy(max_dead=0.1))),
    "many layers, every cause": lambda: html.write(planned(large_audit(20, 24, 300))),
    "a comparison": lambda: compared(load(REPORTS / "mlp_healthy.json"), load(REPORTS / "mlp_dead.json")),
    "a comparison of strangers": lambda: compared(strangers(["dead", "active"]), strangers(["active", "dead"])),
    "nothing to compare": lambda: compared(mixed_audit(), strangers(["dead"])),
    "a pruning": lambda: pruned("full"),
    "a hostile pruning": lambda: pruned("evil"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a page of ``PAGES`` lies."""
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def path(name: str) -> Path:
        file = folder / f"{list(PAGES).index(name)}.html"
        file.write_text(PAGES[name](), encoding="utf-8")
        return file

    return path


def saved(folder: Path, built: Audit) -> Path:
    file = folder / "audit.html"
    file.write_text(html.write(built), encoding="utf-8")
    return file


# ---- rules


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_pages_break_no_rule_and_can_be_used_by_all(
    name: str, scheme: str, width: int, chromium: Any, written: Callable[[str], Path]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    with opened(chromium, written(name), scheme=scheme, width=width) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        # What dark changes is contrast.
        only = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
        found = axe.Axe().run(seen.page, options={"resultTypes": ["violations"], **only}).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
        assert seen.all_faults() == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_its_window(name: str, width: int, chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written(name), width=width) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["mlp_dead", "every status, inconclusive", "a pruning"])
def test_pages_print_and_are_as_before_afterwards(name: str, chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written(name), scheme="dark") as seen:
        before = seen.page.evaluate("document.querySelectorAll('details[open]').length")
        pdf = seen.page.pdf(prefer_css_page_size=True)
        assert pdf.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2
        assert seen.page.evaluate("document.querySelectorAll('details[open]').length") == before
        assert not seen.page.evaluate("document.documentElement.classList.contains('on-paper')")
        assert seen.all_faults() == []


def test_without_scripts_the_numbers_are_there(chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written("mlp_dead"), scripts=False) as seen:
        page = seen.page
        assert page.locator("#roll tbody tr").count() == 25
        one = load(ROOT / "reports/mlp_dead.json").sites[0]
        assert one.causes is not None
        assert cells_of(page, "#roll", 9) == [in_words(reasons(one)[unit]) for unit in one.dead[:25]]
        assert cells_of(page, "#roll", 10) == [measured(margin) for margin in one.causes.margin[:25]]
        assert "95 more are listed" in page.locator("#dead").inner_text()
        assert "does not run here" in page.locator("#units").inner_text()
        assert not page.locator("#roll-controls").is_visible()


# ---- tables


def cells_of(page: Any, table: str, place: int) -> list[str]:
    return page.locator(f"{table} tbody tr:not([hidden]) > :nth-child({place})").all_inner_texts()


def test_layers_are_sorted_by_click_and_by_key(chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written("mlp_dead")) as seen:
        page = seen.page
        head = page.locator("table.layers th", has_text="Dead share")
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        shares = [float(text.removesuffix(" %")) for text in cells_of(page, "table.layers", 6)]
        assert shares == sorted(shares)
        assert len(shares) == 5
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert [float(text.removesuffix(" %")) for text in cells_of(page, "table.layers", 6)] == shares[::-1]
        assert page.locator("table.layers th[aria-sort]").count() == 1


def test_layers_are_filtered_and_counted(chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written("mlp_dead")) as seen:
        page = seen.page
        page.locator("#layers input").fill("RELU3 relu")
        assert cells_of(page, "table.layers", 1) == ["3"]
        assert page.locator("#layers [role=status]").inner_text() == "1 of 5 layers"
        page.locator("#layers input").fill("no such layer")
        assert cells_of(page, "table.layers", 1) == []
        page.locator("#layers input").fill("")
        assert len(cells_of(page, "table.layers", 1)) == 5


def test_units_are_filtered_sorted_turned_and_counted(chromium: Any, written: Callable[[str], Path]) -> None:
    built = load(ROOT / "reports/mlp_dead.json")
    dead = [(depth, unit) for depth, one in enumerate(built.sites, 1) for unit in one.dead]
    with opened(chromium, written("mlp_dead")) as seen:
        page = seen.page
        count = page.locator("#roll-count")

        def shown() -> list[tuple[int, int]]:
            depths = [int(text.split()[0]) for text in cells_of(page, "#roll", 1)]
            return list(zip(depths, map(int, cells_of(page, "#roll", 2)), strict=True))

        assert count.inner_text() == "120 of 640 units"
        assert shown() == dead[:25]
        page.locator("#roll-on").click()
        assert shown() == dead[25:50]
        page.locator("#roll-layer").select_option("5")
        assert count.inner_text() == "54 of 640 units"
        page.locator("#roll-status").select_option("once")
        assert count.inner_text() == "1 of 640 units"
        once = built.sites[4].fired_samples.index(1)
        assert shown() == [(5, once)]
        assert cells_of(page, "#roll", 11) == [f"only in sample {built.sites[4].first_fired[once]}"]
        page.locator("#roll-layer").select_option("")
        page.locator("#roll-status").select_option("")
        page.locator("#roll-filter").fill("relu4 17")
        page.wait_for_function("() => document.getElementById('roll-count').textContent === '1 of 640 units'")
        assert shown() == [(4, 17)]
        page.locator("#roll-filter").fill("")
        page.wait_for_function("() => document.getElementById('roll-count').textContent === '640 of 640 units'")
        head = page.locator("#roll th[data-key=pre]")
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        heights = sorted(
            (float(f"{x:.2e}"), d, u)
            for d, one in enumerate(built.sites, 1)
            for u, x in enumerate(one.pre_peak)
            if x is not None
        )
        assert shown() == [(d, u) for _, d, u in heights[:25]]
        page.keyboard.press("Space")
        assert head.get_attribute("aria-sort") == "descending"
        assert cells_of(page, "#roll", 8)[0] == measured(heights[-1][0])


def test_counts_of_causes_lead_to_the_units_that_they_count(chromium: Any, written: Callable[[str], Path]) -> None:
    built = large_audit(20, 24, 300)
    hit = [(depth, one, reasons(one)) for depth, one in enumerate(built.sites, 1) if one.dead]
    with opened(chromium, written("many layers, every cause")) as seen:
        page = seen.page
        count = page.locator("#roll-count")
        for counted in tally(built.sites):
            link = page.locator(f"#causes tbody tr:not([data-layer]) a[data-cause='{counted.place}']")
            assert link.inner_text() == f"{counted.units}"
            link.click()
            assert count.inner_text() == f"{counted.units} of {built.units} units"
            assert set(cells_of(page, "#roll", 3)) == {"dead"}
            assert all(text.startswith(counted.cause.title) for text in cells_of(page, "#roll", 9))
        assert page.evaluate("location.hash") == "#dead"
        depth, one, why = hit[-1]
        row = page.locator(f"#causes tr[data-layer='{depth}']")
        page.locator("#roll-filter").fill("no such unit")
        row.locator("a[data-cause='']").click()
        assert count.inner_text() == f"{len(one.dead)} of {built.units} units"
        assert page.locator("#roll-filter").input_value() == ""
        row.locator("a[data-cause='certain']").click()
        assert one.causes is not None
        assert list(map(int, cells_of(page, "#roll", 2))) == list(one.causes.proven)
        assert cells_of(page, "#roll", 9) == [in_words(why[unit]) for unit in one.causes.proven]
        page.locator("#roll-layer").select_option("")
        page.locator("#roll-cause").select_option(label="weights zero or negligible")
        assert all(text.startswith("weights zero or negligible") for text in cells_of(page, "#roll", 9))
        page.locator("#roll-cause").select_option("")
        page.locator("#roll th[data-key=margin] button").click()
        lacking = sorted(float(f"{m:.2e}") for _, one, _ in hit for m in margins(one).values() if m is not None)
        assert cells_of(page, "#roll", 10) == [measured(margin) for margin in lacking[:25]]
        assert seen.all_faults() == []


def test_tables_and_the_command_can_be_copied(chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written("mlp_dead")) as seen:
        page = seen.page
        built = load(ROOT / "reports/mlp_dead.json")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])

        def copied(button: str) -> str:
            page.locator(button).click()
            page.locator(button, has_text="Copied").wait_for(timeout=5000)
            return page.evaluate("navigator.clipboard.readText()")

        page.locator("#layers input").fill("relu2")
        rows = [line.split("\t") for line in copied("#layers .controls button").splitlines()]
        assert [row[0] for row in rows] == ["Depth", "2"]
        assert rows[1][3:6] == ["128", "1", "0.8 %"]
        rows = [line.split("\t") for line in copied("#roll-copy").splitlines()]
        assert len(rows) == 121
        assert {len(row) for row in rows} == {11}
        causes = built.sites[0].causes
        assert causes is not None
        first = built.sites[0].dead[0]
        assert rows[1][8:10] == [in_words(reasons(built.sites[0])[first]), measured(causes.margin[0])]
        assert copied("button[data-copy]") == "relu-audit mlp_dead.onnx --data digits.npz --limit=1797 --costs"


def test_names_are_no_formulas_where_they_are_pasted(chromium: Any, tmp_path: Path) -> None:
    file = saved(tmp_path, audit(*(site(name, ["dead"]) for name in NASTY)))
    with opened(chromium, file) as seen:
        text = seen.page.evaluate(
            "reluTabs([...document.querySelectorAll('table.layers tbody tr')].map((r) => [r.cells[1].textContent]))"
        )
        assert len(text.split("\n")) == len(NASTY)
        assert not [line for line in text.split("\n") if re.match(r"[=+@\t]|-(?!\d)", line)]


# ---- cells


def odd_units(samples: int) -> Audit:
    """Every status, values over all magnitudes, ties of rounding."""
    random = np.random.default_rng(samples)
    size = 400
    statuses: list[Status] = [STATUSES[i] for i in random.integers(0, len(STATUSES), size)]
    known = [status not in ("faulty", "unseen") for status in statuses]

    def values(signed: bool) -> tuple[float | None, ...]:
        wide = 10.0 ** random.integers(-90, 90, size) * (random.random(size) < 0.5)
        near = np.round(10.0 ** random.uniform(-7, 11, size), 3)
        drawn = np.where(random.random(size) < 0.3, wide, near) * (random.choice([-1, 1], size) if signed else 1)
        return tuple(float(x) if k else None for x, k in zip(drawn, known, strict=True))

    fired = random.integers(0, samples + 1, size)
    fired[: size // 4] = np.minimum(random.integers(0, 3, size // 4), samples)
    fired[[status == "dead" for status in statuses]] = 0
    firsts = tuple(int(i) if n else None for i, n in zip(random.integers(0, samples, size), fired, strict=True))
    one = msgspec.structs.replace(
        site("odd", statuses, samples=samples),
        fired_samples=tuple(fired.tolist()),
        first_fired=firsts,
        peak=values(signed=False),
        mean=values(signed=False),
        pre_peak=values(signed=True),
    )
    lacking = [None if random.random() < 0.1 else float(x) for x in 10.0 ** random.uniform(-7, 11, len(one.dead))]
    one = msgspec.structs.replace(one, causes=all_causes(one.dead, lacking, random))
    return audit(one, samples=samples)


@pytest.mark.parametrize("samples", [1, 80, 1797, 1_000_000])
def test_every_number_of_every_unit_is_that_of_the_record(samples: int, chromium: Any, tmp_path: Path) -> None:
    built = odd_units(samples)
    (one,) = built.sites
    why, margin = reasons(one), margins(one)

    def far(text: str, value: float | None) -> str:
        """Beyond what the page tells apart, it says so."""
        if value is not None and value and not 1e-72 <= abs(float(f"{value:.2e}")) < 1e73:
            sign = "\N{MINUS SIGN}" if value < 0 else ""
            return f"{sign}1e-72 or less" if abs(value) < 1 else f"{sign}1e73 or more"
        return text

    with opened(chromium, saved(tmp_path, built)) as seen:
        page = seen.page
        page.locator("#roll-status").select_option("")
        rows: list[list[str]] = []
        for _ in range(0, one.units, 25):
            rows += page.evaluate(
                "[...document.querySelectorAll('#roll tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
            )
            page.evaluate("document.getElementById('roll-on').click()")
    assert len(rows) == one.units
    for unit, row in enumerate(rows):
        fired = one.fired_samples[unit]
        assert row[1:3] == [str(unit), one.statuses[unit].replace("_", " ")]
        assert row[3:5] == [f"{fired:,} of {samples:,}", percent(fired / samples)]
        values = (one.peak[unit], one.mean[unit], one.pre_peak[unit])
        assert row[5:8] == [far(measured(value), value) for value in values]
        assert row[8:10] == [in_words(why.get(unit, 0)), far(measured(margin.get(unit)), margin.get(unit))]
        if fired == 1:
            assert row[10] == f"only in sample {one.first_fired[unit]}"
        elif one.statuses[unit] == "dead" and not fired:
            assert bound(rate_below(samples)) in row[10]


def test_pointing_at_a_cell_tells_of_its_unit(chromium: Any, written: Callable[[str], Path]) -> None:
    built = load(ROOT / "reports/mlp_dead.json")
    one = built.sites[0]
    with opened(chromium, written("mlp_dead")) as seen:
        page = seen.page
        canvas = page.locator("#units-1 canvas")
        canvas.scroll_into_view_if_needed()
        canvas.hover(position={"x": 12 * 5 + 4, "y": 4})
        card = page.locator("#unit-card")
        fired = one.fired_samples[5]
        lines = card.inner_text().split("\n")
        assert lines[0] == f"Unit 5: {one.statuses[5]}"
        assert lines[1] == f"fired in {fired:,} of 1,797 samples, {percent(fired / 1797)}"
        assert lines[2] == f"peak {measured(one.peak[5])}, mean {measured(one.mean[5])}"
        assert lines[3] == f"pre-activation peak {measured(one.pre_peak[5])}"
        assert lines[4] == f"cause: {in_words(reasons(one)[5])}; margin {measured(margins(one)[5])}"
        assert lines[5] == f"fires in less than {bound(rate_below(1797))} of samples, at 95 % confidence"
        page.mouse.move(2, 2)
        assert not card.is_visible()


def test_keys_move_through_the_units_and_are_heard(chromium: Any, written: Callable[[str], Path]) -> None:
    with opened(chromium, written("mlp_dead")) as seen:
        page = seen.page
        canvas = page.locator("#units-2 canvas")
        canvas.focus()
        for key, unit in (("ArrowRight", 1), ("End", 127), ("ArrowLeft", 126), ("Home", 0), ("ArrowLeft", 0)):
            page.keyboard.press(key)
            assert canvas.get_attribute("aria-valuenow") == str(unit)
            assert canvas.get_attribute("aria-valuetext").startswith(f"Unit {unit}: ")
        assert page.locator("#unit-card").is_visible()
        page.keyboard.press("Escape")
        assert not page.locator("#unit-card").is_visible()


@pytest.mark.parametrize("units", [128, 50_000, 120_000])
def test_dead_cells_are_hollow_whatever_their_size(units: int, chromium: Any, tmp_path: Path) -> None:
    """Seen without colour: a filled square is alive, the outline of one is dead."""
    file = saved(tmp_path, audit(site("r", ["dead", "active"] * (units // 2))))
    with opened(chromium, file) as seen:
        page = seen.page
        size = int(page.locator(".bulbs").get_attribute("data-cell"))
        page.locator("#units-1 canvas").scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('#units-1 canvas').width > 300")
        covered = page.evaluate(
            """(size) => {
              const pen = document.querySelector("#units-1 canvas").getContext("2d");
              const inner = size - (size > 8 ? 2 : 1);
              return [0, 1].map((cell) => {
                const data = pen.getImageData(cell * size, 0, inner, inner).data;
                return data.filter((_, i) => i % 4 === 3 && data[i] > 60).length / inner ** 2;
              });
            }""",
            size,
        )
        assert covered[1] == 1
        assert 0.2 < covered[0] < 0.85


def test_cells_follow_the_colours_of_the_screen(chromium: Any, written: Callable[[str], Path]) -> None:
    pixel = "[...document.querySelector('#units-2 canvas').getContext('2d').getImageData(3, 3, 1, 1).data]"
    with opened(chromium, written("mlp_dead")) as seen:
        light = seen.page.evaluate(pixel)
        seen.page.emulate_media(color_scheme="dark")
        seen.page.wait_for_function(f"() => String({pixel}) !== '{','.join(map(str, light))}'")


# ---- size


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0.05, 0.3, 0.9])
def test_as_many_units_as_a_language_model_has_are_there_within_seconds(
    dead: float, chromium: Any, tmp_path: Path
) -> None:
    built = large_audit(dead=dead)
    file = saved(tmp_path, built)
    assert built.units >= 350_000
    assert file.stat().st_size < 3_000_000
    start = time.monotonic()
    with opened(chromium, file) as seen:
        page = seen.page
        assert time.monotonic() - start < 10
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        assert painted < 5000
        assert page.locator("#roll-count").inner_text() == f"{built.dead:,} of {built.units:,} units"
        frames = page.evaluate(
            """async () => {
              const times = [];
              const wait = () => new Promise(requestAnimationFrame);
              document.getElementById("units").scrollIntoView();
              let last = await wait();
              for (let step = 0; step < 100; step++) {
                scrollBy(0, 120);
                const now = await wait();
                times.push(now - last);
                last = now;
              }
              return times.sort((a, b) => a - b);
            }"""
        )
        assert frames[len(frames) // 2] < 50
        assert seen.all_faults() == []


@pytest.mark.slow
def test_the_large_page_can_be_used_by_all(chromium: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    with opened(chromium, saved(tmp_path, large_audit())) as seen:
        assert [one["id"] for one in axe.Axe().run(seen.page).response["violations"]] == []
