"""Atoms, classes, routes and the fixpoint by themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from relu_audit.operators.axes import TABLE
from relu_audit.surgery.choose import solve
from relu_audit.surgery.facts import sums
from relu_audit.surgery.facts.facts import ALWAYS, Facts, Mix
from relu_audit.surgery.operators import laws
from relu_audit.surgery.operators.atoms import Atoms, components

SURGERY = Path(laws.__file__).parent
WRITTEN = {"Add", "Concat", "Div", "Expand", "Gather", "Identity", "Mul", "Pad", "Shape", "Where"}
"""Operators that surgery itself puts into a graph."""


def values(*names: str) -> list[ir.Value]:
    return [ir.Value(name=name) for name in names]


def facts(*sizes: int) -> tuple[Facts, list[ir.Value]]:
    """Facts about values of one axis each."""
    found = values(*(f"v{i}" for i in range(len(sizes))))
    return Facts(Atoms({value: (size,) for value, size in zip(found, sizes, strict=True)})), found


def mix(some: Facts, data: ir.Value, result: ir.Value, pattern: np.ndarray) -> sums.Sum:
    """A sum over all of one value that makes another one, or something that is always there."""
    terms, results = some.atoms.along(data, 0), some.atoms.along(result, 0)
    assert terms is not None
    rows = np.full(len(pattern), ALWAYS) if results is None else results
    node = ir.Node("", "MatMul", [data])
    free = np.zeros((1, len(terms)), bool)
    nobody = np.full(free.shape, sums.NOBODY)
    return sums.Sum(
        Mix(node, 0, 1, pattern[None], rows[None], terms[None]), free, free, nobody, np.full(free.shape, np.nan)
    )


def test_axes_of_one_and_of_open_size_have_no_atoms() -> None:
    x, y = values("x", "y")
    atoms = Atoms({x: (None, 3, 1), y: (2,)})
    assert atoms.count == 5
    assert atoms.along(x, 0) is None
    assert atoms.along(x, 2) is None
    assert [atoms.owner(i) for i in range(5)] == [(x, 1, 0), (x, 1, 1), (x, 1, 2), (y, 0, 0), (y, 0, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_components_agree_with_a_plain_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, links = 60, int(rng.integers(0, 90))
    left, right = rng.integers(0, count, links), rng.integers(0, count, links)
    label = np.arange(count)
    for _ in range(count):
        for a, b in zip(left, right, strict=True):
            label[[a, b]] = min(label[a], label[b])
    assert np.array_equal(components(count, left, right), label)


def test_a_long_chain_is_one_class() -> None:
    count = 5000
    order = np.random.default_rng(0).permutation(count)
    assert not components(count, order[:-1], order[1:]).any()


def test_what_a_kept_constant_is_made_of_stays() -> None:
    """The input of a result that nothing reads goes with it; once the result has to stay, so does the input."""
    some, (x, y) = facts(4, 4)
    one = mix(some, x, y, np.eye(4, dtype=bool))
    ys = some.atoms.along(y, 0)
    assert ys is not None
    some.pin(ys[:1], "graph-output", "")
    free = solve.solve(some, [one], 1)
    assert free.removed.tolist() == [False, True, True, True] * 2


def test_alignment_makes_more_needed() -> None:
    some, (x, y) = facts(4, 4)
    one = mix(some, x, y, np.eye(4, dtype=bool))
    ys = some.atoms.along(y, 0)
    assert ys is not None
    some.pin(ys[:1], "graph-output", "")
    aligned = solve.solve(some, [one], 2)
    assert aligned.removed.tolist() == [False, False, True, True] * 2
    assert {why.slug for why in aligned.kept.values()} == {solve.ALIGNED, solve.NEEDED}


def test_no_axis_is_left_empty() -> None:
    some, (x, y) = facts(3, 2)
    one = mix(some, x, y, np.ones((2, 3), bool))
    left = solve.solve(some, [one], 1).removed
    assert left.tolist() == [False, False, False, False, True]


def test_linked_atoms_share_a_fate() -> None:
    some, (x, y) = facts(3, 3)
    xs, ys = some.atoms.along(x, 0), some.atoms.along(y, 0)
    assert xs is not None
    assert ys is not None
    some.link(xs, ys[::-1].copy(), None)
    some.pin(xs[:1], "graph-input", "")
    assert solve.solve(some, [], 1).removed.tolist() == [False, True, True, True, True, False]


def test_engines_of_surgery_name_no_operator() -> None:
    tables = {"laws.py", "patches.py"}
    words = {
        constant.value
        for path in SURGERY.glob("*.py")
        if path.name not in tables
        for constant in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }
    assert words & {row.op for row in TABLE} <= WRITTEN


def test_every_law_has_its_axes() -> None:
    """A law without a row of axes could only be of an operator that moves data or measures it."""
    rows = {(row.domain, row.op) for row in TABLE}
    assert {key for key, law in laws.LAWS.items() if not law.moves and not law.measures} <= rows
