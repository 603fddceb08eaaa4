"""Run many cases: ``python -m tests.fuzzing.fuzz KINDS FIRST COUNT FOLDER`` prints and keeps what was found."""

from __future__ import annotations

import collections
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tests.fuzzing.cases import KINDS, Case, draw
from tests.fuzzing.forks import Result, Runner
from tests.fuzzing.judge import Finding, judge

SHARES = {"fields": 5, "surgery": 6, "bytes": 1, "real": 3, "data": 4, "config": 2, "options": 2, "audit": 3}
"""Of so many cases in a row how many are of each kind."""


def cases(first: int = 0) -> Iterator[Case]:
    """Cases of all kinds, in the order in which they are run."""
    number = first
    while True:
        for kind, share in SHARES.items():
            for i in range(share):
                yield draw(kind, number * share + i)
        number += 1


def fuzz(run: Iterable[Case], folder: Path, *, jobs: int = 1) -> Iterator[tuple[Case, Result, Finding | None]]:
    """Run cases, some at a time; each with its result and what was wrong with it.

    A run that crashes or never ends where onnxruntime by itself does so too, on the same model, is no finding.
    """
    runners = [Runner(_made(folder / str(i))) for i in range(jobs)]
    free = [*runners]

    def one(case: Case) -> tuple[Case, Result, Finding | None]:
        runner = free.pop()
        try:
            result = runner.run(case)
        finally:
            free.append(runner)
        return case, result, None if result.raw else judge(case, result)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            source = iter(run)
            while batch := [*islice(source, jobs * 8)]:
                yield from pool.map(one, batch)
    finally:
        for runner in runners:
            runner.close()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _main(kinds: str, first: int, count: int, keep: Path) -> None:
    kinds_ = KINDS if kinds == "all" else kinds.split(",")
    drawn = (draw(kind, number) for number in range(first, first + count) for kind in kinds_)
    codes: collections.Counter[object] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for case, result, finding in fuzz(drawn, Path(folder), jobs=1):
            codes[case.name.split("-")[0], "raw" if result.raw else result.code] += 1
            if finding:
                print(finding, flush=True)  # noqa: T201
                place = keep / case.name
                place.mkdir(parents=True, exist_ok=True)
                for name, content in case.files.items():
                    (place / name).parent.mkdir(exist_ok=True)
                    (place / name).write_bytes(content)
                (place / "run.json").write_text(json.dumps([case.arguments, dict(case.environment), str(finding)]))
    print(sorted(codes.items(), key=str))  # noqa: T201


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
