"""What the pruning of a case is judged by: both models in onnxruntime, bit by bit, and the units that had to go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx

import relu_audit
from relu_audit.records import Audit
from tests.law_cases import ABSENT, CASES, NODES, OPTIONS
from tests.prune_checks import Feed, feeds, rows_audited, session, weights
from tests.prune_kit import Pattern

OPEN_SIZE = 9
"""The length of open axes in the last feed; in the others it is another."""

WAKE = np.float32(2**13)
"""How many times larger an input named ``asleep`` is in one feed, so that what is made of it wakes up."""

PATTERNS = {pattern.name: pattern for patterns in CASES.values() for pattern in patterns}


@cache
def _fed(name: str) -> tuple[onnx.ModelProto, Audit, Sequence[Feed], Sequence[Sequence[np.ndarray]]]:
    """The model, its audit, what it is fed and what it makes of that."""
    pattern = PATTERNS[name]
    model = pattern.model
    shown = [feed for seed in (0, 1) for feed in feeds(model, pattern.data(seed))]
    shown += [{**shown[-1], "asleep": shown[-1]["asleep"] * WAKE}] if "asleep" in shown[-1] else []
    shown += [larger] if (larger := _larger(model, shown[-1])) is not None else []
    return model, rows_audited(model, pattern.data(0)), shown, run(model, shown)


def _larger(model: onnx.ModelProto, feed: Feed) -> Feed | None:
    """The same with longer open axes; None where only the first axis is open."""
    found = dict(feed)
    for value in model.graph.input:
        shape = value.type.tensor_type.shape.dim
        array = feed[value.name]
        for axis, dim in list(enumerate(shape))[1:]:
            if dim.dim_param:
                array = np.take(array, np.arange(OPEN_SIZE) % array.shape[axis], axis)
        found[value.name] = array
    return found if any(found[name].shape != feed[name].shape for name in feed) else None


def run(model: onnx.ModelProto, fed: Sequence[Feed]) -> list[list[np.ndarray]]:
    """The outputs for every feed."""
    opened = session(model, optimised=False)
    return [[np.asarray(one) for one in opened.run(None, dict(feed))] for feed in fed]


@cache
def today(name: str) -> str:
    """What is wrong with the pruning of a pattern, by the tables as they are."""
    return against(PATTERNS[name])


def against(pattern: Pattern) -> str:
    """What is wrong with the pruning of a pattern; empty where nothing is."""
    model, audit, shown, before = _fed(pattern.name)
    options = OPTIONS.get(pattern.name, {})
    try:
        pruned = relu_audit.prune(model, audit, data=pattern.data(0), align=1, verify=False, **options)
        after = run(pruned.model, shown)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return (
        _left(pattern, audit, pruned)
        or _grown(pattern, model, pruned.model)
        or next((why for a, b in zip(before, after, strict=True) if (why := _apart(a, b, exact=pattern.exact))), "")
    )


def _left(pattern: Pattern, audit: Audit, pruned: relu_audit.Pruned) -> str:
    """What stays that had to go, for what reason, or what goes that had to stay."""
    dead = {(site.tensor, unit) for site in audit.sites for unit in site.dead}
    gone = {(one.tensor, one.unit) for one in pruned.plan.removed}
    kept = {one.slug for one in pruned.plan.kept}
    also = {(tensor, unit) for tensor, units in pattern.also.items() for unit in units}
    shapes = {name: array.shape for name, array in weights(pruned.model).items() if name in pattern.shapes}
    if len(dead & gone) < pattern.removed or not also <= gone:
        return f"{len(dead & gone)} of {len(dead)} dead units are gone"
    if pattern.kept and not kept <= pattern.kept:
        return f"units stay for {sorted(kept)}"
    return "" if shapes == dict(pattern.shapes) else f"weights have the shapes {shapes}"


def _grown(pattern: Pattern, before: onnx.ModelProto, after: onnx.ModelProto) -> str:
    most = NODES.get(pattern.name)
    more = len(after.graph.node) - len(before.graph.node)
    if ABSENT.get(pattern.name) in {node.op_type for node in after.graph.node}:
        return f"{ABSENT[pattern.name]} is still there"
    return f"{more} nodes more" if most is not None and more > most else ""


def _apart(before: Sequence[np.ndarray], after: Sequence[np.ndarray], *, exact: bool) -> str:
    for a, b in zip(before, after, strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return f"{b.dtype} of {b.shape} in place of {a.dtype} of {a.shape}"
        floats = a.dtype.kind == "f"
        if (exact or not floats) and not np.array_equal(a, b, equal_nan=floats):
            return f"{np.sum(a != b)} of {a.size} numbers differ"
        if not exact and a.size and not np.allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max()):
            return f"differs by {np.abs(a - b).max():g}"
    return ""
