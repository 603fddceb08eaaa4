"""Try the row of a custom operator on the operator itself, with numbers that it is given in a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from relu_audit.errors import ModelError
from relu_audit.model.checkpoint import ModelSource, open_checkpoint
from relu_audit.network.normalize import Network, normalize
from relu_audit.observe.session import Engine, Session
from relu_audit.operators.axis_rule import AxisRule
from relu_audit.operators.contradictions import Contradiction, Trial, contradictions, differs, redrawn

TRIALS = 8
"""Draws of the model's inputs."""


def against(row: AxisRule, model: ModelSource, feed: Mapping[str, np.ndarray], ran_by: Engine) -> list[Contradiction]:
    """What contradicts a row in the nodes of its operator.

    Args:
        row: The row.
        model: A model that has such nodes, outside all bodies.
        feed: One array for each of its inputs.
        ran_by: What runs it.

    Raises:
        ModelError: ``operator-absent`` if the model has no such node.
        AuditError: The model does not run on the data.
    """
    network = normalize(open_checkpoint(model))
    nodes = [node for node in network.model.graph if (node.domain, node.op_type) == (row.domain, row.op)]
    if not nodes:
        raise ModelError(
            f"the model has no node of the operator {row.domain}.{row.op}",
            slug="operator-absent",
            hint="Give a model whose graph uses the operator outside branches and loops.",
        )
    runs = _runs(network, nodes, feed, ran_by)
    return [found for node in nodes for found in _in_node(network, node, row, runs, ran_by)]


def _in_node(
    network: Network, node: ir.Node, row: AxisRule, runs: Sequence[Mapping[str, np.ndarray]], ran_by: Engine
) -> list[Contradiction]:
    names = [None if value is None else value.name or "" for value in node.inputs]
    constant = [value in network.weights for value in node.inputs]
    rng = np.random.default_rng(7)
    trials: list[Trial] = []
    for one, other in zip(runs[:TRIALS], runs[TRIALS:], strict=True):
        operands = [None if name is None else one[name] for name in names]
        others = [None if name is None else other[name] for name in names]
        fixed = zip(operands, others, constant, strict=True)
        trials.append(Trial(operands, [redrawn(a, rng) if c and a is not None else b for a, b, c in fixed]))
    session, fetch = _alone(network, node, trials[0], ran_by)

    def run(operands: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        results = session.run({f"operand{i}": a for i, a in enumerate(operands) if a is not None}, fetch)
        return [results[name] for name in fetch]

    first, second = (run(trials[0].operands) for _ in range(2))
    if any(a.shape != b.shape or differs(a, b).any() for a, b in zip(first, second, strict=True)):
        return [Contradiction("drawn", 0, 0, "the operator gives other results for the same operands")]
    opset = network.opsets.get(node.domain, network.opsets.get("", 0))
    return contradictions(row, node, opset, trials, run, constant)


def _runs(
    network: Network, nodes: Sequence[ir.Node], feed: Mapping[str, np.ndarray], ran_by: Engine
) -> list[dict[str, np.ndarray]]:
    """The operands of some nodes, by name, in as many runs of the model as two for each trial."""
    values = {value.name or "": value for node in nodes for value in node.inputs if value is not None}
    held = {name: value.const_value.numpy() for name, value in values.items() if value.const_value is not None}
    shown, rng = network.model.clone(), np.random.default_rng(5)
    fetch = [name for name in values if name not in held and name not in feed]
    made = {value.name: value for node in shown.graph for value in node.outputs}
    shown.graph.outputs.extend(made[name] for name in fetch if made[name] not in shown.graph.outputs)
    session = Session(shown, network.folder, ran_by, optimize=False)
    runs: list[dict[str, np.ndarray]] = []
    for index in range(2 * TRIALS):
        fed = dict(feed) if index == 0 else {name: redrawn(np.asarray(array), rng) for name, array in feed.items()}
        runs.append({**held, **fed, **(session.run(fed, fetch) if fetch else {})})
    return runs


def _alone(network: Network, node: ir.Node, trial: Trial, ran_by: Engine) -> tuple[Session, list[str]]:
    """The node as a model of its own, whose inputs are its operands; and the names of its results."""
    inputs: list[ir.Value | None] = []
    for index, array in enumerate(trial.operands):
        if array is None:
            inputs.append(None)
            continue
        dtype = ir.DataType.from_numpy(array.dtype)
        inputs.append(ir.Value(name=f"operand{index}", shape=ir.Shape(array.shape), type=ir.TensorType(dtype)))
    outputs = [ir.Value(name=value.name) for value in node.outputs]
    copy = ir.Node(node.domain, node.op_type, inputs, [*node.attributes.values()], outputs=outputs, name=node.name)
    graph = ir.Graph(
        [value for value in inputs if value is not None],
        [value for value in outputs if value.name],
        nodes=[copy],
        opset_imports=dict(network.opsets),
        name="alone",
    )
    model = ir.Model(graph, ir_version=network.model.ir_version)
    return Session(model, None, ran_by, optimize=False), [value.name for value in outputs if value.name]
