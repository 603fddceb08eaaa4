"""Runs on mutated models, data, settings and audits; bugs that are planted; and what was found once."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.fuzzing.cases import KINDS, Case, draw
from tests.fuzzing.faults import FAULTS
from tests.fuzzing.forks import Runner
from tests.fuzzing.fuzz import cases, fuzz
from tests.fuzzing.judge import judge

CORPUS = Path(__file__).parent / "fuzz_corpus"

TABLE: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "cases.toml").read_text(encoding="utf-8"))
"""Runs that went wrong once, by name: what is given, and what is right."""

BUDGET = 208
"""Runs of the default test run."""

HALVES = 2


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    runner = Runner(tmp_path_factory.mktemp("runs"))
    yield runner
    runner.close()


@pytest.mark.parametrize("half", range(HALVES))
def test_mutated_input_is_read_or_refused(half: int, tmp_path: Path) -> None:
    run = islice(cases(), half, BUDGET, HALVES)
    found = [str(finding) for _, _, finding in fuzz(run, tmp_path) if finding]
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_mutated_input_is_read_or_refused_thousands_of_times(tmp_path: Path) -> None:
    codes: Counter[tuple[str, int | None]] = Counter()
    found: list[str] = []
    for case, result, finding in fuzz(islice(cases(first=1000), 4000), tmp_path, jobs=2):
        codes[case.name.partition("-")[0], result.code] += 1
        found += [str(finding)] if finding else []
    assert not found, "\n".join(found)
    for kind in KINDS:
        assert codes[kind, 2] > 10, f"{kind}: hardly anything was refused"
        assert kind == "audit" or codes[kind, 0] > 10, f"{kind}: hardly anything was read"


@pytest.mark.parametrize("name", FAULTS)
def test_planted_bug_is_found(name: str, runner: Runner) -> None:
    fault = FAULTS[name]
    likely = (case for case in islice(cases(), BUDGET) if case.name.partition("-")[0] in fault.kinds)
    found = (judge(case, runner.run(case, fault=name, limit=8)) for case in likely)
    assert any(finding and finding.what == fault.what for finding in found)


def test_a_case_is_the_same_every_time() -> None:
    for kind in KINDS:
        for number in range(3):
            assert draw(kind, number) == draw(kind, number)


@pytest.mark.parametrize("name", TABLE)
def test_what_was_found_once_stays_right(name: str, runner: Runner) -> None:
    row = TABLE[name]
    files = {to: (CORPUS / at).read_bytes() for to, at in row["files"].items()}
    case = Case(name, files, tuple(row["arguments"]), tuple(row.get("outputs", ())))
    result = runner.run(case)
    assert judge(case, result) is None
    assert result.code == row["code"], result.said
    assert row["says"] in result.said


def test_nothing_lies_in_the_corpus_for_nothing() -> None:
    assert {file.name for file in CORPUS.iterdir()} == {
        "cases.toml",
        *(at for row in TABLE.values() for at in row["files"].values()),
    }
