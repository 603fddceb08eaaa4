"""Every row of the table of origins against its operator; and wrong rows, which must be found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from relu_audit.operators.axes import TABLE as AXES
from relu_audit.operators.families import REDUCE
from relu_audit.operators.moves import Operation
from relu_audit.operators.origins import ENTRIES, TABLE, Made, Origin
from tests.alone import Alone, alone
from tests.test_axes_alone import BODIES, TRIED, nodes
from tests.traces import Cases, Fed, Trace, cases_of, ints, key, runner

MS = "com.microsoft"
PLACES = (0, 0.2, 0.5, 0.9, 1)

CASES: Cases = {
    "Shape": Trace("y = Shape (x)", x=(2, 5, 4)),
    "Size": Trace("y = Size (x)"),
    "NonMaxSuppression": Trace(
        "y = NonMaxSuppression (x, z, m, i)",
        x=(1, 4, 4),
        z=(1, 1, 4),
        weights={"m": ints(3), "i": np.float32(0.1)},
        values=PLACES,
    ),
    "Unique": Trace("y = Unique (x)", x=(6,), values=range(4)),
    f"{MS}.Unique": Trace(f"y, i, n = {MS}.Unique (x)", x=(6,), values=range(4), outputs=("y", "i", "n")),
    "StringSplit": Trace(
        's = Constant <value_strings = ["p q", "p q r", "p"]> ()\n t = Gather (s, x)\n y, n = StringSplit (t)',
        x=(1,),
        dtype="int64",
        values=range(3),
        outputs=("y", "n"),
        opset=20,
    ),
    "Compress": Trace("y = Compress <axis = 1> (x, c)", more={"c": Fed((3,), "bool", (0, 1))}),
    "RandomNormal": Trace("y = RandomNormal <shape = [2, 3]> ()"),
    "RandomUniform": Trace("y = RandomUniform <shape = [2, 3]> ()"),
    f"{MS}.BiasDropout": [
        Trace(
            f"y, m = {MS}.BiasDropout (x, w, z, r, t)",
            z=(2, 3, 4),
            weights={"w": (4,), "r": np.float32(0.5), "t": np.array(training)},
            by="s = Add (x, w)\n u, m = Dropout (s, r, t)\n y = Add (u, z)",
            outputs=("y", "m"),
        )
        for training in (True, False)
    ],
}
"""Of operators that have no row in the axis table, or whose cases there say too little."""

ROWS = {f"{domain}.{op}" if domain else op: row for (domain, op), row in TABLE.items()}


@cache
def cases(name: str) -> Sequence[Alone]:
    """The nodes of an operator; cases of this file go before those of the axis table."""
    own = [node for one in cases_of(name, CASES) for node in alone(name, one)]
    return own or [node for other, index in TRIED if other == name for node in nodes(name, index)]


def operation(node: Alone) -> Operation:
    constants = tuple(a if c else None for a, c in zip(node.trials[0].operands, node.constant, strict=True))
    return Operation(node.node, (), constants, (), opset=node.opset)


# What entries are made of, what is drawn and what is learnt -----------------------------------------------------------


def made_of(node: Alone) -> Made:
    """What the entries of a node's first result are made of, as its runs show."""
    first = [trial.operands[0] for trial in node.trials]
    results = [node.results(trial.operands) for trial in node.trials]
    values = [one[0] for one in results]
    steps = [set(np.diff(v).round(5).tolist()) if v.ndim == 1 and v.dtype.kind in "fiu" else set() for v in values]
    several = len({value.shape for value in values}) > 1
    if all(len(found) == 1 and found != {0} for found in steps):
        return Made.COUNT
    if several:
        return Made.ALIKE if len({entry for value in values for entry in value.ravel().tolist()}) == 1 else Made.UNTOLD
    pairs = [
        (a, v)
        for a, v in zip(first, values, strict=True)
        if a is not None and {a.dtype.kind, v.dtype.kind} <= set("fiub")
    ]
    if len(pairs) == len(values) and all(np.array_equal(a.astype(v.dtype), v) for a, v in pairs):
        return Made.COPIES
    same = all(np.array_equal(a, b) for one in results for a, b in zip(results[0], one, strict=True))
    return Made.LENGTHS if same and not all(np.array_equal(first[0], a) for a in first) else Made.ENTRIES


def draws(node: Alone) -> bool:
    """Whether one session gives something else for the same operands."""
    run = node.start()
    fed = {f"operand{i}": a for i, a in enumerate(node.trials[0].operands) if a is not None}
    return any(not np.array_equal(a, b) for a, b in zip(run(fed), run(fed), strict=True))


def learns(node: Alone) -> bool:
    """Whether the first sample's result is another one in other company."""
    for trial in node.trials:
        operands = [*trial.operands]
        array, other = operands[0], trial.others[0]
        if array is None or other is None or array.ndim == 0:
            continue
        operands[0] = np.concatenate([array[:1], other[1:]])
        if not np.array_equal(node.results(trial.operands)[0][:1], node.results(operands)[0][:1]):
            return True
    return False


def moves(node: Alone) -> bool:
    """Whether every entry of the results is an entry of the first operand."""
    return all(
        {*result.ravel().tolist()} <= {*first.ravel().tolist()}
        for trial in node.trials
        if (first := trial.operands[0]) is not None
        for result in node.results(trial.operands)
    )


def against(row: Origin, name: str) -> str:
    """What contradicts a row but for ``sized_by``; empty if nothing does."""
    found: set[Made] = set()
    for node in cases(name):
        op = operation(node)
        if row.draws(op) != draws(node):
            return f"{name} draws random numbers, or does not"
        if (row.learns is not ENTRIES.learns or name == "BatchNormalization") and row.learns(op) != learns(node):
            return f"{name} learns, or does not"
        if not row.draws(op):
            found.add(made_of(node))
    if row.made in (Made.ENTRIES, Made.MOVED):
        found -= {Made.COPIES}  # of what does nothing in that case
    if row.made is Made.MOVED:
        found = {Made.MOVED if one is Made.ENTRIES else one for one in found}
        if not all(map(moves, cases(name))):
            return f"{name} has entries that its first operand has not"
    return "" if found <= {row.made} else f"{name} is made of {found}"


@pytest.mark.parametrize("name", sorted(ROWS))
def test_nothing_contradicts_a_row(name: str) -> None:
    assert cases(name), f"no case of {name}"
    assert against(ROWS[name], name) == ""


@pytest.mark.parametrize("name", sorted(({key(row) for row in AXES} | {*CASES}) - BODIES - set(ROWS)))
def test_an_operator_without_a_row_needs_none(name: str) -> None:
    assert against(ENTRIES, name) == ""


# Which operands only say how long a result is -------------------------------------------------------------------------

CUBE = np.zeros((3, 3, 3), np.float32)
IMAGE = np.zeros((1, 1, 4, 4), np.float32)


def of(dtype: type, *numbers: object) -> list[np.ndarray]:
    return [np.array(number, dtype) for number in numbers]


def lists(*numbers: object) -> list[np.ndarray]:
    return of(np.int64, *numbers)


def data(array: np.ndarray) -> list[np.ndarray]:
    return [array, array + np.float32(1)]


Choices = Mapping[int, list[np.ndarray]]
"""For operands, by number, what they may be. Data is one number throughout, so that lists show in no entry."""

CROPS = 'coordinate_transformation_mode = "tf_crop_and_resize"'
SIZED: Mapping[str, list[tuple[str, Choices]]] = {
    **{op: [(f"y = {op} (a0, a1)", {0: data(CUBE), 1: lists([0], [1])})] for op in REDUCE},
    "CenterCropPad": [("y = CenterCropPad (a0, a1)", {0: data(CUBE), 1: lists([2, 2, 2], [1, 2, 3])})],
    "ConstantOfShape": [("y = ConstantOfShape (a0)", {0: lists([2, 3], [3, 3])})],
    "CumProd": [("y = CumProd (a0, a1)", {0: data(CUBE), 1: lists(0, 1)})],
    "CumSum": [("y = CumSum (a0, a1)", {0: data(CUBE), 1: lists(0, 1)})],
    "Expand": [("y = Expand (a0, a1)", {0: data(CUBE), 1: lists([1, 1, 1], [2, 1, 1, 1])})],
    "OneHot": [
        ("y = OneHot (a0, a1, a2)", {0: lists([1, 1], [0, 0]), 1: lists(2, 3), 2: of(np.float32, [0, 1], [0, 2])})
    ],
    "Pad": [
        (
            "y = Pad (a0, a1, a2, a3)",
            {0: data(CUBE), 1: lists([1, 0], [0, 1]), 2: of(np.float32, 0, 2), 3: lists([0], [1])},
        )
    ],
    "Range": [("y = Range (a0, a1, a2)", {0: lists(0, 1), 1: lists(5, 6), 2: lists(1, 2)})],
    "Reshape": [("y = Reshape (a0, a1)", {0: data(CUBE), 1: lists([9, 3], [-1, 3, 1])})],
    "Resize": [
        (
            f"y = Resize <{CROPS}> (a0, a1, a2)",
            {
                0: data(IMAGE),
                1: of(np.float32, [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0.2, 0, 1, 1, 1, 1]),
                2: of(np.float32, [1, 1, 2, 2], [1, 1, 1, 2]),
            },
        ),
        ("y = Resize (a0, , , a3)", {0: data(IMAGE), 3: lists([1, 1, 5, 6], [1, 1, 7, 5])}),
    ],
    "Slice": [
        (
            "y = Slice (a0, a1, a2, a3, a4)",
            {0: data(CUBE), 1: lists([0], [1]), 2: lists([2], [3]), 3: lists([0], [1]), 4: lists([1], [2])},
        )
    ],
    "Split": [("y, z = Split (a0, a1)", {0: data(CUBE), 1: lists([1, 2], [2, 1])})],
    "Squeeze": [("y = Squeeze (a0, a1)", {0: data(CUBE[:1, :, :1]), 1: lists([0], [2])})],
    "Tile": [("y = Tile (a0, a1)", {0: data(CUBE), 1: lists([1, 1, 2], [2, 1, 1])})],
    "TopK": [("y, z = TopK (a0, a1)", {0: data(CUBE), 1: lists([1], [2])})],
    "Trilu": [("y = Trilu (a0, a1)", {0: data(CUBE), 1: lists(0, 1)})],
    "Unsqueeze": [("y = Unsqueeze (a0, a1)", {0: data(CUBE), 1: lists([0], [2])})],
    "Upsample": [("y = Upsample (a0, a1)", {0: data(IMAGE), 1: of(np.float32, [1, 1, 2, 2], [1, 1, 1, 2])})],
    f"{MS}.ConvTransposeWithDynamicPads": [
        (
            f"y = {MS}.ConvTransposeWithDynamicPads (a0, w, a2)",
            {0: data(IMAGE), 2: lists([0, 0, 0, 0], [1, 1, 1, 1])},
        )
    ],
    f"{MS}.Trilu": [(f"y = {MS}.Trilu (a0, a1)", {0: data(CUBE), 1: lists(0, 1)})],
}
OPSETS = {"CumProd": 26, "Upsample": 9}


@cache
def sizing(name: str) -> Sequence[tuple[int, bool]]:
    """For operands, whether no entry of the result is another one where the operand is."""
    found: list[tuple[int, bool]] = []
    for body, choices in SIZED[name]:
        for operand, chosen in choices.items():
            weights = {f"a{i}": arrays[0] for i, arrays in choices.items()} | {"w": np.ones((1, 1, 1, 1), np.float32)}
            results = []
            for array in chosen:
                case = Trace(body, x=(1,), weights={**weights, f"a{operand}": array}, opset=OPSETS.get(name, 18))
                (result,) = runner(case.model(), ["y"])(case.feeds(np.random.default_rng(0)))
                results.append(result)
            found.append((operand, alike(*results)))
    return found


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two results are the same as far as both reach."""
    if a.ndim != b.ndim:
        return set(a.ravel().tolist()) == set(b.ravel().tolist())
    both = tuple(slice(min(sizes)) for sizes in zip(a.shape, b.shape, strict=True))
    return bool(np.array_equal(a[both], b[both]))


@pytest.mark.parametrize("name", sorted({*SIZED, *(name for name, row in ROWS.items() if row.sized_by)}))
def test_operands_that_say_how_long_a_result_is_show_in_no_entry(name: str) -> None:
    assert {operand for operand, idle in sizing(name) if idle} == {*ROWS[name].sized_by}


# Wrong rows -----------------------------------------------------------------------------------------------------------


def always(op: Operation) -> bool:
    del op
    return True


FAULTS: Mapping[str, list[dict[str, Any]]] = {
    "BatchNormalization": [{"learns": ENTRIES.learns}, {"learns": always}],
    "ArgMax": [{"made": Made.MOVED}],
    "Bernoulli": [{"draws": ENTRIES.draws}],
    "CenterCropPad": [{"made": Made.MOVED}],
    "Compress": [{"made": Made.ENTRIES}],
    "Concat": [{"made": Made.MOVED}],
    "ConstantOfShape": [{"made": Made.ENTRIES}, {"made": Made.COUNT}, {"sized_by": ()}],
    "CumSum": [{"sized_by": ()}, {"made": Made.COPIES}],
    "Dropout": [{"draws": ENTRIES.draws}, {"draws": always}, {"draws": lambda op: op.opset >= 12}],
    "EyeLike": [{"made": Made.ENTRIES}],
    "Identity": [{"made": Made.LENGTHS}],
    "Multinomial": [{"draws": ENTRIES.draws}],
    "NonMaxSuppression": [{"made": Made.ENTRIES}],
    "NonZero": [{"made": Made.ENTRIES}, {"made": Made.COUNT}],
    "OneHot": [{"sized_by": (1, 2)}],
    "Pad": [{"sized_by": (1, 2, 3)}, {"sized_by": (1,)}, {"made": Made.MOVED}],
    "RandomNormal": [{"draws": ENTRIES.draws}],
    "RandomUniformLike": [{"draws": ENTRIES.draws}],
    "Range": [{"made": Made.ENTRIES}, {"made": Made.ALIKE}, {"made": Made.UNTOLD}, {"sized_by": (0, 1, 2)}],
    "ReduceSum": [{"made": Made.MOVED}],
    "Relu": [{"draws": always}],
    "Reshape": [{"sized_by": (0, 1)}],
    "Resize": [{"sized_by": (1, 2)}],
    "Shape": [{"made": Made.ENTRIES}, {"made": Made.COUNT}],
    "Size": [{"made": Made.ENTRIES}, {"made": Made.ALIKE}],
    "Slice": [{"sized_by": (1, 2)}],
    "StringSplit": [{"made": Made.ENTRIES}],
    "TopK": [{"sized_by": ()}, {"made": Made.UNTOLD}],
    "Unique": [{"made": Made.ENTRIES}],
    f"{MS}.BiasDropout": [{"draws": ENTRIES.draws}, {"draws": always}],
}


@pytest.mark.parametrize(("name", "index"), [(name, i) for name, faults in FAULTS.items() for i in range(len(faults))])
def test_a_wrong_row_is_found_out(name: str, index: int) -> None:
    wrong = replace(ROWS.get(name, ENTRIES), **FAULTS[name][index])
    sized = {operand for operand, idle in sizing(name) if idle} if name in SIZED else set()
    assert against(wrong, name) or {*wrong.sized_by} != sized


def test_what_only_copies_is_said_to() -> None:
    # With numbers on one side of zero a rectifier copies as well, so that runs alone do not tell.
    assert {name for name, row in ROWS.items() if row.made is Made.COPIES} == {"Cast", "CastLike", "Identity"}
