"""Every row of the tables that speak of structure, against its operator: what is said is what a run shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from relu_audit.model import fused, precision
from relu_audit.network import extents
from relu_audit.operators import families as operators
from relu_audit.surgery import verify
from relu_audit.surgery.operators import laws
from relu_audit.values import bearing, condensed, products
from tests import (
    bearing_cases,
    family_cases,
    law_cases,
    law_judge,
    move_cases,
    number_cases,
    prune_patterns,
    rank_cases,
    structure_cases,
)
from tests.prune_kit import Pattern

Name = str | tuple[str, str]


def each(cases: Mapping[Any, Sequence[Any]]) -> list[Any]:
    """Rows and cases, for pytest."""
    return [
        pytest.param(name, case, id=f"{name if isinstance(name, str) else '.'.join(filter(None, name))}-{i}")
        for name, found in cases.items()
        for i, case in enumerate(found)
    ]


TABLES: Mapping[str, tuple[Collection[Name], Collection[Name]]] = {
    "laws": (laws.LAWS, law_cases.CASES),
    "laws of earlier opsets": (laws.EARLIER, law_cases.EARLIER),
    "movers": (condensed.MOVERS, move_cases.MOVES),
    "lines": (bearing.RULES, bearing_cases.BEARINGS),
    "sizes": (extents._FOLLOWED, structure_cases.SIZES),  # pyright: ignore[reportPrivateUsage]
    "products": (products.TABLE, structure_cases.PRODUCTS),
    "fused operators": ([(row.domain, row.op) for row in fused.TABLE], structure_cases.FUSED),
    "precision": ([str(dtype) for dtype in precision.CARRIED], number_cases.CARRIED),
    "limits": ([str(dtype) for dtype in verify.LIMITS], number_cases.LIMITED),
}
"""The rows and the cases of every table."""


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_case(table: str) -> None:
    rows, cases = map(set, TABLES[table])
    assert rows == cases


OWN = {
    key: [one for one in patterns if one.name not in prune_patterns.PATTERNS]
    for key, patterns in law_cases.CASES.items()
}
"""Cases of laws that the tests of the register do not judge anyway."""


@pytest.mark.parametrize(("row", "pattern"), each(OWN))
def test_a_law_is_kept_by_pruning(row: tuple[str, str], pattern: Pattern) -> None:
    assert any(node.op_type == row[1] for node in pattern.model.graph.node)
    assert law_judge.today(pattern.name) == ""


@pytest.mark.parametrize(("row", "case"), each(move_cases.MOVES))
def test_entries_go_where_a_mover_says(row: str, case: move_cases.Case) -> None:
    assert move_cases.contradicts(case, condensed.MOVERS[row]) == ""


def test_operators_move_as_many_operands_as_is_said() -> None:
    assert {op for op, cases in move_cases.MOVES.items() if any(case.two for case in cases)} == condensed.MANY


@pytest.mark.parametrize(("row", "case"), each(bearing_cases.BEARINGS))
def test_results_lie_on_their_line(row: tuple[str, str], case: bearing_cases.Bearing) -> None:
    del row
    assert bearing_cases.contradicts(case) == ""


@pytest.mark.parametrize(("row", "case"), each(structure_cases.SIZES))
def test_a_list_of_sizes_holds_what_is_read(row: str, case: structure_cases.Sizes) -> None:
    del row
    assert structure_cases.misread(case) == ""


@pytest.mark.parametrize(("row", "case"), each(structure_cases.PRODUCTS))
def test_a_weight_counts_where_it_is_read(row: tuple[str, str], case: structure_cases.Multiplied) -> None:
    del row
    assert structure_cases.miscounted(case) == ""


@pytest.mark.parametrize(("row", "case"), each(structure_cases.FUSED))
def test_the_parts_of_a_fused_operator_compute_the_same(row: tuple[str, str], case: structure_cases.Fused) -> None:
    del row
    assert structure_cases.taken_apart(case) == ""


@pytest.mark.parametrize("name", fused.ACTIVATIONS)
def test_an_activation_is_taken_out_with_its_numbers(name: str) -> None:
    assert [structure_cases.taken_apart(case) for case in structure_cases.activated(name)] == [""] * len(
        structure_cases.activated(name)
    )


def test_no_activation_of_fused_operators_is_missing() -> None:
    assert family_cases.fusible() <= set(fused.ACTIVATIONS)


@pytest.mark.parametrize("family", family_cases.FAMILIES)
def test_a_family_has_all_operators_that_do_alike(family: str) -> None:
    assert family_cases.FAMILIES[family]() == set(getattr(operators, family))


@pytest.mark.parametrize("case", number_cases.COUNTED, ids=lambda case: case.name)
def test_numbers_count_as_parameters_where_they_are_weights(case: number_cases.Counted) -> None:
    assert number_cases.miscounted(case) == ""


@pytest.mark.parametrize(("row", "case"), each(number_cases.CARRIED))
def test_a_graph_computes_the_same_in_float32(row: str, case: number_cases.Carried) -> None:
    assert number_cases.miscarried(row, case) == ""


@pytest.mark.parametrize("row", number_cases.LIMITED)
def test_regrouped_sums_are_within_a_limit_and_wrong_ones_are_not(row: str) -> None:
    assert number_cases.misjudged(row) == ""


@pytest.mark.parametrize(("row", "case"), each(rank_cases.CASES))
def test_sizes_that_weights_tell_are_those_of_a_run(row: str, case: rank_cases.Told) -> None:
    del row
    assert rank_cases.mistold(case) == ""
