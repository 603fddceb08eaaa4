"""Every row of the axis table against its operator, claim by claim; and wrong rows, which must be found out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest

from relu_audit.operators.axes import TABLE
from relu_audit.operators.claims import Operands
from relu_audit.operators.contradictions import Contradiction, Trial, contradictions
from tests.alone import Alone, alone
from tests.test_axes import FILES
from tests.traces import Trace, cases_of, key

MS = "com.microsoft"

BODIES = {key(row) for row in TABLE if row.body is not None}
"""They are followed, and not tried: a body may do anything."""

REASONS: Mapping[tuple[str, str, Sequence[int]], str] = {
    ("Attention", "forgotten", range(1, 6)): "heads and tokens of keys, values and masks carry no samples",
    (f"{MS}.Attention", "forgotten", range(3, 6)): "as above",
    (f"{MS}.GroupQueryAttention", "forgotten", (1, 2)): "as above",
    (f"{MS}.MultiHeadAttention", "forgotten", (5, 6, 7)): "as above",
    ("DeformConv", "forgotten", (2, 4)): "the image that an offset belongs to mixes anyway",
    ("LSTM", "forgotten", (6,)): "a state mixes with all others after the first step",
    ("ScatterND", "forgotten", (2,)): "updates go where the indices say",
    ("MaxUnpool", "forgotten", (1,)): "indices number the entries of all samples",
    ("GatherElements", "forgotten", (1,)): "entries along the axis of the indices are picked",
    **{(op, "silent", (0,)): "its lengths alone matter" for op in ("EyeLike", "RandomNormalLike", "RandomUniformLike")},
    (f"{MS}.QGemm", "placed", (3,)): "a constant along the samples fixes how many they are",
    (f"{MS}.nchwc.Conv", "independent", (1,)): "a weight in blocks lies in another order than its shape says",
}
"""Contradictions that are let pass: of an operator, a law and operands."""

LET_PASS = {(name, law, operand) for name, law, operands in REASONS for operand in operands}


def _tried() -> Iterator[tuple[str, int]]:
    for name in sorted({name for cases in FILES for name in cases} - BODIES):
        for index in range(sum(len(cases_of(name, cases)) for cases in FILES)):
            yield name, index


TRIED = list(_tried())


def case(name: str, index: int) -> Trace:
    return [case for cases in FILES for case in cases_of(name, cases)][index]


@cache
def nodes(name: str, index: int) -> Sequence[Alone]:
    return list(alone(name, case(name, index)))


@cache
def against(name: str, index: int) -> Sequence[Contradiction]:
    return [found for node in nodes(name, index) if node.row is not None for found in node.against(node.row)]


@pytest.mark.parametrize(("name", "index"), TRIED)
def test_nothing_contradicts_a_row(name: str, index: int) -> None:
    assert [c.text for c in against(name, index) if (name, c.law, c.operand) not in LET_PASS] == []


def test_every_row_is_tried() -> None:
    rows = [node.row for name, index in TRIED for node in nodes(name, index)]
    assert [key(row) for row in TABLE if row not in rows and row.body is None] == []


def test_every_reason_is_needed() -> None:
    seen = {(name, c.law, c.operand) for name, index in TRIED for c in against(name, index)}
    assert LET_PASS - seen == set()


COUPLES = [(name, index) for name, index in TRIED if name in {key(row) for row in TABLE if row.couples}]


@pytest.mark.parametrize(("name", "index"), COUPLES)
def test_a_range_of_codes_is_all_that_entries_share(name: str, index: int) -> None:
    # With the ends of the range in place, whatever else changes leaves it as it is.
    for node in nodes(name, index):
        assert node.row is not None
        trials = [Trial(*map(between_ends, (one.operands, one.others))) for one in node.trials]
        row = replace(node.row, couples=False)
        found = contradictions(row, node.node, node.opset, trials, node.results, node.constant)
        assert [c.text for c in found if c.operand == 0] == []


def between_ends(operands: Operands) -> Operands:
    first, *others = operands
    assert first is not None
    ended = first.copy()
    ended.flat[0], ended.flat[-1] = 0, 1
    return [ended, *others]
