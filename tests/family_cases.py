"""Families of operators by what they do: every operator of ONNX is run, and its entries changed one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

import numpy as np
import onnx
from onnx import defs, helper

from tests.prune_checks import session

SHAPE = (2, 3, 4, 4)
TYPES = (np.float32, np.int32, np.bool_, np.uint8)
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "BitShift": {"direction": "LEFT"},
    "Cast": {"to": 1},
    "LpPool": {"kernel_shape": [2, 2]},
    "AveragePool": {"kernel_shape": [2, 2]},
    "MaxPool": {"kernel_shape": [2, 2]},
}
"""Attributes without which an operator does not run."""

RANDOM = {"Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"}
DEPRECATED = {"Upsample", "Scatter"}


@cache
def operators(operands: int) -> Sequence[str]:
    """All operators of ONNX that take so many tensors."""
    schemas = [one for one in defs.get_all_schemas() if not one.domain and one.name not in DEPRECATED]
    return sorted(one.name for one in schemas if one.min_input <= operands <= one.max_input)


def made(op: str, operands: Sequence[np.ndarray], **options: object) -> np.ndarray | None:
    """The first result; None where the operator does not take such operands."""
    names = [f"x{i}" for i, _ in enumerate(operands)]
    kinds = [helper.np_dtype_to_tensor_dtype(one.dtype) for one in operands]
    node = helper.make_node(op, names, ["y"], **{**OPTIONS.get(op, {}), **options})
    inputs = [helper.make_tensor_value_info(n, k, a.shape) for n, k, a in zip(names, kinds, operands, strict=True)]
    graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])
    for opset in (18, 24):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        with suppress(Exception):  # it takes no such operands, or there is no kernel
            return np.asarray(session(model, optimised=False).run(None, dict(zip(names, operands, strict=True)))[0])
    return None


CHANGED = ((0, 0, 0, 0), (1, 2, 3, 3), (1, 1, 0, 2))
"""Places of entries that are changed one at a time."""

OF_PLACES = {"Squeeze", "Trilu", "TensorScatter"}
"""Entries stay in their places here, and for other shapes or operands do not."""

OF_OTHER_ROWS = {"Clip", "Optional", "OptionalGetElement", "CastLike"}
"""Their other operands are no tensors of entries: they have rows of their own."""


def _drawn(rng: np.random.Generator, kind: type) -> np.ndarray:
    drawn = rng.uniform(0.1, 0.9, SHAPE) if kind is np.float32 else rng.integers(1, 9, SHAPE)
    return drawn.astype(kind) if kind is not np.bool_ else drawn % 2 == 1


def _in_place(op: str, kinds: Sequence[type]) -> bool:
    """Whether a change of an entry shows in its place, for every operand, and nowhere else."""
    rng = np.random.default_rng(0)
    operands = [_drawn(rng, kind) for kind in kinds]
    before = made(op, operands)
    if before is None or before.shape != SHAPE:
        return False
    for number, kind in enumerate(kinds):
        for place in CHANGED:
            moved = [one.copy() for one in operands]
            moved[number][place] = _drawn(rng, kind)[place]
            after = made(op, moved)
            if after is None or any(tuple(at) != place for at in np.argwhere(_differs(before, after))):
                return False
    return True


def _differs(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    both = before.dtype.kind == "f"
    return (before != after) & ~(both & (before != before) & (after != after))


@cache
def entry_by_entry() -> set[str]:
    """Operators of one operand that change it entry by entry."""
    found = {op for op in operators(1) if any(_in_place(op, (kind,)) for kind in TYPES)}
    several = {op for op in found if op in operators(2) and any(_in_place(op, (kind, kind)) for kind in TYPES)}
    return (found - RANDOM - OF_PLACES - OF_OTHER_ROWS - several) | {"Dropout"}


@cache
def elementwise() -> set[str]:
    """Operators of several operands that change them entry by entry."""
    two = {op for op in operators(2) if any(_in_place(op, (kind, kind)) for kind in TYPES)}
    three = {op for op in operators(3) if op not in two and _in_place(op, (np.bool_, np.float32, np.float32))}
    return (two | three) - OF_PLACES - OF_OTHER_ROWS


def _reducing() -> set[str]:
    """Operators that make one entry of all, along an axis that they are told."""
    rng = np.random.default_rng(0)
    data = _drawn(rng, np.float32)
    shapes = {op: made(op, [data, np.array([2])]) for op in operators(2)}
    places = {op for op, y in shapes.items() if y is not None and y.shape == (2, 3, 1, 4)}
    return {op for op in places if made(op, [data]) is not None and np.ravel(made(op, [data])).size == 1}


def _windowed() -> set[str]:
    """Operators that see an image through windows."""
    data = _drawn(np.random.default_rng(0), np.float32)
    shapes = {op: made(op, [data], kernel_shape=[2, 2]) for op in operators(1)}
    return {op for op, y in shapes.items() if y is not None and y.shape == (2, 3, 3, 3)}


def _global() -> set[str]:
    """Operators that make one entry of each channel of an image."""
    data = _drawn(np.random.default_rng(0), np.float32)
    shapes = {op: made(op, [data]) for op in operators(1)}
    return {op for op, y in shapes.items() if y is not None and y.shape == (2, 3, 1, 1)}


FAMILIES: Mapping[str, Callable[[], set[str]]] = {
    "ENTRY_BY_ENTRY": entry_by_entry,
    "ELEMENTWISE": elementwise,
    "REDUCE": _reducing,
    "POOL": _windowed,
    "GLOBAL_POOL": _global,
}
"""Which operators each family has, as runs tell."""


def fusible() -> set[str]:
    """Activations that a fused product of onnxruntime takes."""
    return {op for op in entry_by_entry() if _fuses(op)}


def _fuses(op: str) -> bool:
    node = helper.make_node("FusedGemm", ["a", "b"], ["y"], domain="com.microsoft", activation=op)
    inputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (2, 2)) for name in "ab"]
    graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    try:
        session(helper.make_model(graph, opset_imports=opsets, ir_version=10), optimised=False)
    except Exception:
        return False
    return True
