"""Bring a checkpoint into the one form the other rooms read: functions inlined, shapes inferred, constants known."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes

from relu_audit.errors import ModelError
from relu_audit.model.checkpoint import Checkpoint, invalid
from relu_audit.model.expansion import depths
from relu_audit.model.fused import unfuse
from relu_audit.model.kinds import mark_kinds, tensors_alone
from relu_audit.model.postorder import postorder
from relu_audit.model.scopes import NAME, SCOPE, bodies, walk
from relu_audit.model.specialized import own_overload
from relu_audit.network.folding import computed
from relu_audit.network.ranks import complete
from relu_audit.operators.layout import Size
from relu_audit.operators.rules import BUILT_IN, Table

_CASTS = ("Cast", "CastLike")

SHAPE_ELEMENTS = 4096
"""Constants up to this many elements are read as numbers (shapes, axes, bounds, slopes); larger ones are weights."""


@dataclass(frozen=True)
class Network:
    """A graph ready to be read.

    Attributes:
        model: The graph, with model-local functions inlined. It is this graph that is observed and run.
        folder: Where external weights lie; None for a model in memory.
        maps: Types of inputs and outputs that are maps, by name; in the graph they have no type.
        weights: For every value computed from constants alone, the name of the initializer it comes from.
        remarks: What :meth:`note` was told.
        rules: What is known of operators.
    """

    model: ir.Model
    folder: Path | None
    maps: Mapping[str, onnx.TypeProto]
    weights: Mapping[ir.Value, str]
    remarks: dict[str, None]
    rules: Table = BUILT_IN
    _folded: dict[ir.Value, np.ndarray | None] = field(
        default_factory=dict["ir.Value", "np.ndarray | None"], init=False, compare=False, repr=False
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for whoever reads the result, each once."""
        return tuple(self.remarks)

    def note(self, text: str) -> None:
        """Tell whoever reads the result of an error that was passed over, and what the result lacks for it."""
        self.remarks[text] = None

    @property
    def opsets(self) -> Mapping[str, int]:
        """Operator-set version by domain; the default domain is the empty string."""
        return self.model.opset_imports

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """The numbers of a small constant; None for anything else."""
        if value is None or value not in self.weights:
            return None
        if _maker(value) is None:
            return self._stored(value)
        for each in postorder([value], self._unfolded):
            self._fold(each)
        return self._folded[value]

    def constants(self, values: Sequence[ir.Value | None]) -> Sequence[np.ndarray | None]:
        """The numbers of each value that is a small constant, read once they are looked at."""
        return _Constants(self, values)

    def _stored(self, value: ir.Value) -> np.ndarray | None:
        """The numbers of a small constant that the file holds."""
        if value.const_value is not None:
            return _numbers(value.const_value)
        if value not in self._folded:
            node = value.producer()
            held = node is not None and "value" in node.attributes
            self._folded[value] = _numbers(node.attributes["value"].as_tensor()) if node is not None and held else None
        return self._folded[value]

    def _unfolded(self, value: ir.Value) -> list[ir.Value]:
        """The constants from which a constant has yet to be computed."""
        node = None if value in self._folded else _maker(value)
        return [] if node is None else [one for one in node.inputs if one is not None and one in self.weights]

    def _fold(self, value: ir.Value) -> None:
        """Note a small constant that a node computes from small ones, which are known."""
        node = None if value in self._folded else _maker(value)
        if node is None:
            return
        self._folded[value] = None
        operands = [
            None if one is None or one not in self.weights else self._folded[one] if _maker(one) else self._stored(one)
            for one in node.inputs
        ]
        if not all(a is not None or operand is None for a, operand in zip(operands, node.inputs, strict=True)):
            return
        first = operands[0] if operands else None
        if node.op_type in _CASTS:
            if first is not None and value.dtype is not None:
                self._folded[value] = first.astype(value.dtype.numpy())
        elif node.op_type == "Identity":
            self._folded[value] = first
        elif node.domain in ("", "ai.onnx"):
            results = computed(node, operands, self.opsets.get("", 0)) or []
            for output, result in zip(node.outputs, results, strict=False):
                self._folded[output] = result if result.size <= SHAPE_ELEMENTS else None


@dataclass(frozen=True)
class _Constants(Sequence[np.ndarray | None]):
    network: Network
    values: Sequence[ir.Value | None]

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> np.ndarray | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray | None]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray | None] | None:
        if isinstance(index, slice):
            return _Constants(self.network, self.values[index])
        return self.network.constant(self.values[index])


def _numbers(tensor: ir.TensorProtocol) -> np.ndarray | None:
    return None if tensor.size > SHAPE_ELEMENTS else tensor.numpy()


def _maker(value: ir.Value) -> ir.Node | None:
    """The node that computes a constant from others; None for one that the file holds."""
    node = value.producer()
    return None if value.const_value is not None or node is None or node.op_type == "Constant" else node


def normalize(checkpoint: Checkpoint, rules: Table = BUILT_IN) -> Network:
    """Inline functions, infer shapes and find which values are constant. The checkpoint's graph is changed.

    Args:
        checkpoint: The file.
        rules: What is known of operators.
    """
    model = checkpoint.model
    notes: list[str] = []
    if model.functions:
        _inline(model)
    _as_tensors(model)
    unfuse(model)
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:  # value_info may say otherwise, and is wrong
                value.shape, value.dtype = ir.Shape(value.const_value.shape.numpy()), value.const_value.dtype
    mark_kinds(model, checkpoint.maps)
    weights = _weights(model)
    infer = passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)
    with tensors_alone(model), _warnings_of("onnx_ir", notes):
        with _shapes_rederived(model):
            infer(model)
        if complete(model, weights, rules):
            infer(model)
    notes = ["shape inference failed; shapes were taken from the file" for _ in notes[:1]]
    notes += [note for step in walk(model.graph) if (note := rules.stated(step.node.domain, step.node.op_type))]
    return Network(
        model=model,
        folder=checkpoint.folder,
        maps=checkpoint.maps,
        weights=weights,
        remarks=dict.fromkeys(notes),
        rules=rules,
    )


def sizes(value: ir.Value) -> tuple[Size, ...] | None:
    """The value's axis sizes, as far as the file and shape inference know them; None without a rank."""
    if value.shape is None:
        return None
    # A negative size is how some old exporters write one that is open.
    return tuple((dim if dim >= 0 else None) if isinstance(dim, int) else dim.value for dim in value.shape)


def _inline(model: ir.Model) -> None:
    """Put functions in the place of their calls.

    Raises:
        ModelError: ``function`` for what cannot be inlined, as a function of another opset than the model's;
            ``expansion`` for what would be too much.
    """
    _tag_calls(model)
    for function in model.functions.values():
        _check_reads(function)
        _adopt_opsets(model, function)
    try:
        passes.InlinePass()(model)
    except (ValueError, ir.passes.PassError, ir.passes.InvariantError) as error:
        raise ModelError(
            f"the model's own functions cannot be inlined: {error.__cause__ or error}",
            slug="function",
            hint="Audit the result of onnx.inliner.inline_local_functions(model, convert_version=True).",
        ) from error


def _check_reads(function: ir.Function) -> None:
    """Refuse a function that reads what it does not compute, as a graph that it is given may."""
    for node in function.all_nodes():
        for value in node.inputs:
            if value is not None and value.graph is None and value.producer() is None:
                raise ModelError(
                    f"the function '{function.name}' reads '{value.name}', which is no value of the function",
                    slug="function",
                    hint="Audit the result of onnx.inliner.inline_local_functions(model, convert_version=True).",
                )


def _adopt_opsets(model: ir.Model, function: ir.Function) -> None:
    """Let a function have the model's opsets if every operator in it is the same in both."""
    for node in function.all_nodes():
        own, whole = function.opset_imports.get(node.domain), model.opset_imports.get(node.domain)
        if own is None or whole is None or own == whole:
            continue
        try:
            schemas = [onnx.defs.get_schema(node.op_type, version, node.domain) for version in (own, whole)]
        except onnx.defs.SchemaError:
            return
        if schemas[0].since_version != schemas[1].since_version:
            return
    common = function.opset_imports.keys() & model.opset_imports.keys()
    function.opset_imports.update({domain: model.opset_imports[domain] for domain in common})


def _tag_calls(model: ir.Model) -> None:
    """Leave on every call which one it is: a node inlined from it inherits its metadata.

    A node inside nested calls inherits from each, so the keys are numbered by how deep the caller lies.
    """
    functions, depth = model.functions, depths(model)
    graphs = [(0, model.graph), *((depth[name], function) for name, function in functions.items())]
    for level, graph in graphs:
        for node in graph.all_nodes():
            if level:
                node.metadata_props[NAME] = node.name or ""
            if node.op_identifier() in depth:
                domain, name, _ = node.op_identifier()
                overload = own_overload(functions[node.op_identifier()])
                call = node.name or (node.outputs[0].name if node.outputs else "") or name
                suffix = f":{overload}" if overload else ""
                node.metadata_props[f"{SCOPE}.{level:04}"] = f"{call}/{domain}::{name}{suffix}"


@contextmanager
def _shapes_rederived(model: ir.Model) -> Generator[None]:
    """Infer shapes afresh, since files are found with stale ones; fall back to the file's where inference has none."""
    given: dict[ir.Value, ir.Shape] = {}
    for node in (step.node for step in walk(model.graph)):
        for value in node.outputs:
            if value.shape is not None and node.domain in ("", "ai.onnx"):
                given[value] = value.shape
                value.shape = None
    yield
    for value, shape in given.items():
        if value.shape is None:
            value.shape = shape


@contextmanager
def _warnings_of(name: str, into: list[str]) -> Generator[None]:
    """Collect a library's log warnings, which would otherwise reach the console."""

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            into.append(record.getMessage())

    logger, handler = logging.getLogger(name), Collect(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _weights(model: ir.Model) -> dict[ir.Value, str]:
    weights = {value: name for graph in model.graphs() for name, value in graph.initializers.items()}
    for node in (step.node for step in walk(model.graph)):
        inputs = [value for value in node.inputs if value is not None]
        constant = node.op_type == "Constant" if not inputs else all(value in weights for value in inputs)
        if constant and not bodies(node):
            root = weights[inputs[0]] if inputs else None
            for value in node.outputs:
                weights[value] = root if root is not None else value.name or ""
    return weights


def _as_tensors(model: ir.Model) -> None:
    """Write the numbers of every Constant as a tensor, which the format can spell in other ways as well.

    Raises:
        ModelError: ``invalid-model`` if they are of another kind than their name says.
    """
    for node in (step.node for step in walk(model.graph)):
        for name in _SPELT.keys() & node.attributes.keys() if node.op_type == "Constant" else ():
            attribute, (kind, dtype) = node.attributes.pop(name), _SPELT[name]
            if attribute.type != kind:
                raise invalid(f"the Constant '{node.outputs[0].name}' has a {name} of the type {attribute.type.name}")
            node.attributes["value"] = ir.AttrTensor("value", ir.Tensor(np.asarray(attribute.value, dtype)))


_SPELT = {
    "value_float": (ir.AttributeType.FLOAT, np.float32),
    "value_floats": (ir.AttributeType.FLOATS, np.float32),
    "value_int": (ir.AttributeType.INT, np.int64),
    "value_ints": (ir.AttributeType.INTS, np.int64),
}
"""How a Constant may spell its numbers: attributes, with their types."""
