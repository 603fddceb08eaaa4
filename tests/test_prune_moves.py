"""Moves of entries, one behind the other: what one of them was written as is what the next one reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.graphs import graph
from tests.prune_checks import assert_same_function, prune
from tests.prune_kit import Numbers, whole

WIDTH = 8
Move = Callable[[str, str], tuple[str, Mapping[str, np.ndarray]]]
"""From what goes in to what comes out, of the same width: text, and the constants it names after what comes out."""


def _shuffle(groups: int) -> Move:
    def move(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
        body = (
            f"{y}a = Reshape ({x}, {y}s)\n {y}b = Transpose<perm = [0, 2, 1, 3, 4]> ({y}a)\n {y} = Reshape ({y}b, {y}t)"
        )
        return body, {f"{y}s": whole(0, groups, WIDTH // groups, 4, 4), f"{y}t": whole(0, -1, 4, 4)}

    return move


def _gather(order: Sequence[int]) -> Move:
    return lambda x, y: (f"{y} = Gather<axis = 1> ({x}, {y}i)", {f"{y}i": whole(*order)})


def _reverse(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    return f"{y} = Slice ({x}, {y}f, {y}l, {y}a, {y}f)", {f"{y}f": whole(-1), f"{y}l": whole(-99), f"{y}a": whole(1)}


def _halves_by_slice(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    body = f"{y}b = Slice ({x}, {y}z, {y}h, {y}o)\n {y}c = Slice ({x}, {y}h, {y}w, {y}o)\n"
    bounds = {f"{y}z": whole(0), f"{y}h": whole(3), f"{y}w": whole(99), f"{y}o": whole(1)}
    return f"{body} {y} = Concat<axis = 1> ({y}c, {y}b)", bounds


def _halves_by_split(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    body = f"{y}b, {y}c = Split<axis = 1> ({x}, {y}p)\n {y}n = Neg ({y}b)\n {y} = Concat<axis = 1> ({y}c, {y}n)"
    return body, {f"{y}p": whole(5, 3)}


def _evens_and_odds(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    body = f"{y}b = Slice ({x}, {y}z, {y}w, {y}o, {y}t)\n {y}c = Slice ({x}, {y}o, {y}w, {y}o, {y}t)\n"
    bounds = {f"{y}z": whole(0), f"{y}o": whole(1), f"{y}w": whole(99), f"{y}t": whole(2)}
    return f"{body} {y} = Concat<axis = 1> ({y}b, {y}c)", bounds


def _pad_and_crop(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    body = f"{y}b = Pad ({x}, {y}p)\n {y} = Slice ({y}b, {y}f, {y}l, {y}o)"
    bounds = {f"{y}p": whole(0, 1, 0, 0, 0, 2, 0, 0), f"{y}f": whole(2), f"{y}l": whole(10), f"{y}o": whole(1)}
    return body, bounds


def _added_in_another_order(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    """Its classes go round in a circle."""
    return f"{y}g = Gather<axis = 1> ({x}, {y}i)\n {y} = Add ({x}, {y}g)", {f"{y}i": whole(1, 0, 3, 2, 5, 4, 7, 6)}


def _last_and_back(x: str, y: str) -> tuple[str, Mapping[str, np.ndarray]]:
    body = (
        f"{y}b = Transpose<perm = [0, 2, 3, 1]> ({x})\n {y}c = Abs ({y}b)\n {y} = Transpose<perm = [0, 3, 1, 2]> ({y}c)"
    )
    return body, {}


MOVES: Mapping[str, Move] = {
    "shuffle by 2": _shuffle(2),
    "shuffle by 4": _shuffle(4),
    "gather": _gather((0, 4, 1, 5, 2, 6, 3, 7)),
    "reverse": _reverse,
    "halves by slice": _halves_by_slice,
    "halves by split": _halves_by_split,
    "evens and odds": _evens_and_odds,
    "pad and crop": _pad_and_crop,
    "last and back": _last_and_back,
    "added in another order": _added_in_another_order,
}

chains = st.lists(st.sampled_from(sorted(MOVES)), min_size=2, max_size=4)
dead_sets = st.sets(st.integers(0, WIDTH - 1), min_size=1, max_size=5)


def build(chain: Sequence[str], dead: Sequence[int]) -> onnx.ModelProto:
    """A convolution, its rectifier, the moves, and a convolution that reads what they leave."""
    some = Numbers(len(chain))
    body, x, held = "h = Conv (x, w0, b0)\n m0 = Relu (h)\n", "m0", dict(some.layer(0, WIDTH, 2, 1, 1, dead=dead))
    for number, name in enumerate(chain, 1):
        text, constants = MOVES[name](x, f"m{number}")
        body, x, held = f"{body} {text}\n", f"m{number}", held | dict(constants)
    last = {"u": some.weights(64, WIDTH, 1, 1), "v": some.weights(2, WIDTH, 1, 1)}
    body += f" y = Conv ({x}, u)\n z = Conv ({x}, v)"
    return graph("float[n, 2, 4, 4] x", "float[n, 64, 4, 4] y, float[n, 2, 4, 4] z", body, held | last)


def check(chain: Sequence[str], dead: set[int]) -> None:
    model, rng = build(chain, sorted(dead)), np.random.default_rng(0)
    data: dict[str, Any] = {"x": rng.integers(-3, 4, (16, 2, 4, 4)).astype(np.float32)}
    found = prune(model, data, align=1)
    fresh = {"x": rng.integers(-3, 4, (5, 2, 4, 4)).astype(np.float32)}
    assert_same_function(model, found.pruned.model, [data, fresh], limit=0)
    if not {"pad and crop", "added in another order"} & set(chain):
        assert found.dead_removed == found.dead


@example(["shuffle by 2", "halves by slice"], {1})
@example(["reverse", "shuffle by 4"], {1, 6, 7})
@given(chains, dead_sets)
@settings(max_examples=25, deadline=None)
def test_moves_in_a_row_keep_the_function(chain: list[str], dead: set[int]) -> None:
    check(chain, dead)


@pytest.mark.slow
@given(chains, dead_sets)
@settings(max_examples=600, deadline=None)
def test_many_moves_in_a_row_keep_the_function(chain: list[str], dead: set[int]) -> None:
    check(chain, dead)
