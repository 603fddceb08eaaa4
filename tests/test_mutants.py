"""The script that changes the source makes the changes that it says, and sees which of them the tests notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests import mutants
from tests.mutants import AREAS, Area, Mutant, changes, drawn, examine, explanations, mutants_of

SOURCE = """
TABLE = {"Floor": floor, "Ceil": ceil, "Neg": None}
ROWS = (Row("Conv", since=1, mixes=near), Row("Gemm"), Row("Relu"))

def judged(x, low):
    if not x and low < 3:
        raise ValueError(x + 1)
    return min(x, low) - 2.0
"""


def texts() -> Iterator[str]:
    for number in range(sum(1 for _ in changes(ast.parse(SOURCE)))):
        tree = ast.parse(SOURCE)
        [*changes(tree)][number][1]()
        yield ast.unparse(ast.fix_missing_locations(tree))


@pytest.mark.parametrize(
    "change",
    [
        "'Floor': ceil, 'Ceil': floor",
        "TABLE = {'Floor': floor, 'Neg': None}",
        "ROWS = (Row('Conv', since=1, mixes=near), Row('Gemm'))",
        "Row('Conv', mixes=near)",
        "since=2",
        "not x or low < 3",
        "not not x and low < 3",
        "low <= 3",
        "low < 4",
        "max(x, low) - 2.0",
        "min(x, low) + 2.0",
        "min(x, low) - 3.0",
    ],
)
def test_a_change_of_every_kind_is_made(change: str) -> None:
    assert sum(change in text for text in texts()) == 1


def test_one_thing_is_changed_at_a_time_and_messages_never() -> None:
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    for text in texts():
        assert sum(a != b for a, b in zip(plain, text.splitlines(), strict=True)) == 1
        assert "raise ValueError(x + 1)" in text


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_every_area_has_its_mutants_and_tests(area: Area) -> None:
    found = drawn(area)
    assert len(found) == area.most
    assert len({mutant.key for mutant in found}) == len(found)
    assert all((mutants.ROOT / f"tests/test_{name}.py").is_file() for name in area.tests)


def test_explanations_are_of_changes_that_can_be_made() -> None:
    keys = {mutant.key for area in AREAS for module in area.modules for mutant in mutants_of(module)}
    assert explanations().keys() <= keys


@pytest.mark.slow
def test_a_change_that_no_test_answers_for_survives() -> None:
    (peak,) = [m for m in mutants_of("observe.tally") if m.place == "Tally.merge" and m.before == "np.minimum"]
    chosen: dict[str, list[Mutant]] = {"tally": [peak], "waivers": [peak]}
    for name, found in chosen.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mutants, "drawn", lambda area, found=found: found)
            result = examine(Area(name, ("observe.tally",), (name,), 1), 1)
        assert (result.tried, len(result.survivors)) == (1, int(name == "waivers"))
