"""Which values are no tensors: sequences, optional values and maps, as the operators' schemas have them.

onnx-ir takes a sequence for a tensor of its elements' type once shapes are inferred, and knows no maps at all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any

import onnx
import onnx_ir as ir

from relu_audit.model.scopes import bodies, walk

TENSOR = "tensor"
MAP = "map"

_KIND = "relu_audit.kind"
"""Key under which a value that is no tensor carries its kind; nothing of it gets into a file."""

_Formals = tuple[tuple[frozenset[str], ...], tuple[frozenset[str], ...]]

_HIDDEN = "relu_audit.hidden"
"""An operator that has no schema."""


def kind(value: ir.Value) -> str:
    """What a value is, without element types: ``tensor``, or for example ``seq(tensor)`` or ``seq(map)``.

    Known of inputs and of what :func:`mark_kinds` has seen.
    """
    meta: Any = value.meta
    return meta.get(_KIND, TENSOR)


def is_tensor(value: ir.Value) -> bool:
    """Whether a value has a shape."""
    return kind(value) == TENSOR


def has_schema(model: ir.Model, node: ir.Node) -> bool:
    """Whether the kinds of a node's results are known for sure."""
    return bool(_formals(model, node)[1])


def mark_kinds(model: ir.Model, maps: Collection[str] = ()) -> None:
    """Find the kind of every value.

    Args:
        model: Its functions are inlined.
        maps: Inputs and outputs of the graph that are maps, whatever makes them.
    """
    declared = [value for graph in model.graphs() for value in graph.inputs]
    for value in (*declared, *model.graph.outputs):
        _mark(value, MAP if value.name in maps else _declared(value))
    for node in (step.node for step in walk(model.graph)):
        for index, value in enumerate(node.outputs):
            if is_tensor(value):
                _mark(value, _made(model, node, index))


def _mark(value: ir.Value, found: str) -> None:
    if found != TENSOR:
        value.meta[_KIND] = found


def _declared(value: ir.Value) -> str:
    return TENSOR if value.type is None else _of_type(value.type)


def _of_type(declared: ir.TypeProtocol) -> str:
    if isinstance(declared, ir.SequenceType):
        return f"seq({_of_type(declared.elem_type)})"
    if isinstance(declared, ir.OptionalType):
        return f"optional({_of_type(declared.elem_type)})"
    return TENSOR


def _made(model: ir.Model, node: ir.Node, index: int) -> str:
    """The kind of a node's result, by its schema and, where that leaves a choice, by bodies and operands."""
    results = _formals(model, node)[1]
    if not results:
        return _declared(node.outputs[index])
    found = results[min(index, len(results) - 1)]  # the last may stand for any number
    if len(found) == 1:
        return min(found)
    for _, body in bodies(node):
        at = index + bool(body.inputs)  # the first result of a loop's body is its condition
        if at < len(body.outputs):
            return kind(body.outputs[at])
    operand = next((kind(value) for value in node.inputs if value is not None), TENSOR)
    alike = (operand, re.sub(r"^optional\((.*)\)$", r"\1", operand), f"optional({operand})")
    return next((one for one in alike if one in found), min(found))


def _formals(model: ir.Model, node: ir.Node) -> _Formals:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return _formals_of(node.op_type, model.opset_imports.get(domain, 1), domain)


@functools.cache
def _formals_of(op: str, version: int, domain: str) -> _Formals:
    """The kinds that an operator's schema allows for each operand and result; none of either without a schema."""
    try:
        schema = onnx.defs.get_schema(op, version, domain)
    except onnx.defs.SchemaError:
        return (), ()
    choices = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}
    operands, results = (
        tuple(frozenset(map(_plain, choices.get(formal.type_str, [formal.type_str]))) for formal in formals)
        for formals in (schema.inputs, schema.outputs)
    )
    return operands, results


def _plain(text: str) -> str:
    """A type as a schema writes it, without element types."""
    return re.sub(r"\b(sparse_)?tensor\([^()]*\)", TENSOR, re.sub(r"\bmap\([^()]*\)", MAP, text))


@contextmanager
def tensors_alone(model: ir.Model) -> Generator[None]:
    """Let shapes be inferred: operators on maps are hidden from that, and afterwards only tensors have shapes."""
    nodes = [step.node for step in walk(model.graph)]
    others = [value for node in nodes for value in node.outputs if not is_tensor(value)]
    types = [value.type for value in others]
    hidden = {node: node.op_type for node in nodes if _takes_or_makes_maps(model, node)}
    for node in hidden:
        node.op_type = _HIDDEN
    yield
    for node, operator in hidden.items():
        node.op_type = operator
    for value, declared in zip(others, types, strict=True):
        value.type, value.shape = declared, None


def _takes_or_makes_maps(model: ir.Model, node: ir.Node) -> bool:
    return any(MAP in one for formals in _formals(model, node) for allowed in formals for one in allowed)
