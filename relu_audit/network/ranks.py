"""Ranks and sizes that shape inference lacks, as an operator's constants tell them: a kernel has its data's rank.

Inference gives up on a node as soon as one operand is of unknown rank, as what comes out of an If is whose branches
differ. The axis table knows more: the letters that a constant shares with operands and results are as long there, and
the axes ``_`` of a kernel are as many as the axes ``~`` that it slides along.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import onnx
import onnx_ir as ir

from relu_audit.model.scopes import walk
from relu_audit.operators.axes import AxisRule
from relu_audit.operators.layout import axis_size, opaque
from relu_audit.operators.moves import Operation
from relu_audit.operators.rules import Rules
from relu_audit.operators.terms import Term, letters_of, matched, terms_of

_GROUPS = "g"
"""The letter of which the attribute ``group`` says the size."""


def complete(model: ir.Model, constants: Collection[ir.Value], rules: Rules) -> bool:
    """Write down what constants tell of shapes that are not known, or not known as a whole.

    Args:
        model: The model; its values get shapes.
        constants: The values that no input decides.
        rules: Looks a row of the axis table up.

    Returns:
        Whether anything was written.
    """
    opsets, inputs, found = model.opset_imports, set(model.graph.inputs), False
    for node in reversed([step.node for step in walk(model.graph)]):
        opset = opsets.get(node.domain, opsets.get("", 0))
        row = rules(node.domain, node.op_type, opset)
        for value, sizes in () if row is None or row.move or row.body else _told(node, row, constants):
            # A reader in a branch says nothing of what is computed outside: it may never run.
            if not value.name or value.graph is not node.graph or value in inputs or value in constants:
                continue
            dtype = value.dtype or _types(node, opset, constants).get(value)
            if dtype is not None:
                value.dtype = dtype
                found |= _write(value, sizes)
    return found


def _write(value: ir.Value, told: Sequence[int | None]) -> bool:
    """Put sizes where there are none; whether there were any to put."""
    known = [None] * len(told) if value.shape is None else list(value.shape)
    if len(known) != len(told):
        return False
    sizes = [a if isinstance(a, int) or b is None else b for a, b in zip(known, told, strict=True)]
    if value.shape is not None and sizes == known:
        return False
    value.shape = ir.Shape(sizes)
    return True


def _types(node: ir.Node, opset: int, constants: Collection[ir.Value]) -> dict[ir.Value, ir.DataType]:
    """Element types of operands and results that are those of a constant, as the operator's definition says."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return {}
    ends = *zip(node.inputs, schema.inputs, strict=False), *zip(node.outputs, schema.outputs, strict=False)
    names = {value: formal.type_str for value, formal in ends if value is not None}
    known = {names[value]: value.dtype for value in names if value in constants and value.dtype is not None}
    return {value: known[name] for value, name in names.items() if name in known}


def _told(node: ir.Node, row: AxisRule, constants: Collection[ir.Value]) -> Iterator[tuple[ir.Value, list[int | None]]]:
    """Operands and results with their sizes, as far as constants and known results tell: their ranks are certain."""
    try:
        operands, results = terms_of(Operation(node, (None,) * len(node.inputs), (), ()), row)
    except (LookupError, ValueError, TypeError):
        return  # the node's attributes contradict its operator; the runtime will say how
    # An operand of one axis may hold one number that serves all, and may have any rank then.
    own = [(v, term) for v, term in zip(node.inputs, operands, strict=False) if len(term) > 1 or term == ("*",)]
    entering = [(v, term) for v, term in own if v is not None]
    leaving = [(v, term) for v, term in zip(node.outputs, results, strict=False) if term and term != ("_",)]
    certain = [(v.shape, term) for v, term in entering if v in constants] + [(v.shape, term) for v, term in leaving]
    sources = [(shape, term) for shape, term in certain if shape is not None and _fits(shape, term)]
    lengths = {} if row.stretches else _lengths(node, sources)
    counts = {mark: len(shape) - len(term) + 1 for shape, term in sources for mark in term if mark in "*~_"}
    if "_" in counts:
        counts.setdefault("~", counts["_"])
    broadcast = sum("*" in term for _, term in entering) > 1
    for value, term in [*entering, *leaving] if sources else []:
        if "_" in term or (broadcast and "*" in term) or not set(term) & {"*", "~"} <= counts.keys():
            continue
        yield value, [size for symbol in term for size in _sizes(symbol, counts.get(symbol), lengths, rigid=row.rigid)]


def _fits(shape: ir.Shape, term: Term) -> bool:
    return bool(set(term) & {"*", "~", "_"}) or len(shape) == len(term)


def _sizes(symbol: str, count: int | None, lengths: Mapping[str, int], *, rigid: bool) -> list[int | None]:
    """The lengths of the axes that a symbol stands for."""
    if symbol == "*":
        return [lengths.get(f"*{i}") for i in range(count or 0, 0, -1)]
    if symbol == "~":
        return [lengths.get(f"~{i}") if rigid else None for i in range(count or 0)]
    letters = letters_of(symbol)
    return [lengths.get(symbol, math.prod(lengths[x] for x in letters) if all(x in lengths for x in letters) else None)]


def _lengths(node: ir.Node, sources: Iterable[tuple[ir.Shape, Term]]) -> dict[str, int]:
    """The lengths of letters, and of axes that have several."""
    groups = node.attributes.get("group")
    found = {_GROUPS: 1 if groups is None else groups.as_int()}
    for shape, term in sources:
        for symbol, axis in matched(term, opaque(size if isinstance(size, int) else None for size in shape)):
            size = axis_size(axis)
            found |= {symbol: size} if isinstance(size, int) else {}
    return found
