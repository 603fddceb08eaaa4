"""One node of a case by itself: its operands as a run of the case has them, and what its row says against what it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from relu_audit.graph.axes import AxisRule, rule
from relu_audit.graph.checkpoint import open_checkpoint
from relu_audit.graph.contradictions import Contradiction, Trial, contradictions
from relu_audit.graph.normalize import Network, normalize
from relu_audit.graph.scopes import bodies
from tests.traces import BLOCKED, Runner, Trace, key, runner

TRIALS = 5


@dataclass(frozen=True)
class Alone:
    """A node, and the numbers it is tried on."""

    network: Network
    node: ir.Node
    trials: Sequence[Trial]
    constant: Sequence[bool]
    run: Runner

    @property
    def opset(self) -> int:
        return self.network.opsets.get(self.node.domain, self.network.opsets[""])

    @property
    def row(self) -> AxisRule | None:
        return rule(self.node.domain, self.node.op_type, self.opset)

    def against(self, row: AxisRule) -> list[Contradiction]:
        def run(operands: Sequence[np.ndarray | None]) -> list[np.ndarray]:
            return self.run({_name(i): a for i, a in enumerate(operands) if a is not None})

        return contradictions(row, self.node, self.opset, self.trials, run, self.constant)


def alone(name: str, case: Trace) -> Iterator[Alone]:
    """The nodes of one operator in a case."""
    model = case.model()
    network = normalize(open_checkpoint(model))
    for node in network.model.graph:
        row = rule(node.domain, node.op_type, network.opsets.get(node.domain, network.opsets[""]))
        if row is not None and key(row) == name and not bodies(node):
            yield _alone(case, model, network, node)


def _alone(case: Trace, model: onnx.ModelProto, network: Network, node: ir.Node) -> Alone:
    names = [None if value is None else value.name or "" for value in node.inputs]
    constants = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    rng = np.random.default_rng(5)
    fed = [case.feeds(rng) for _ in range(2 * TRIALS)]
    wanted = sorted({n for n in names if n and n not in constants and n not in fed[0]})
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted)
    run = runner(shown, wanted) if wanted else None
    runs = [{**constants, **one, **dict(zip(wanted, run(one) if run else (), strict=True))} for one in fed]
    constant = [n is not None and n in network_constants(network, node) for n in names]
    trials = [
        Trial(
            tuple(None if not n else a[n] for n in names),
            tuple(
                None if not n else redrawn(a[n], rng) if fixed else b[n]
                for n, fixed in zip(names, constant, strict=True)
            ),
        )
        for a, b in zip(runs[:TRIALS], runs[TRIALS:], strict=True)
    ]
    return Alone(network, node, trials, constant, by_itself(network, node, trials[0], model.ir_version))


def network_constants(network: Network, node: ir.Node) -> set[str]:
    return {value.name or "" for value in node.inputs if value is not None and value in network.weights}


def by_itself(network: Network, node: ir.Node, trial: Trial, ir_version: int) -> Runner:
    """The node as a model of its own, whose inputs are its operands."""
    proto = ir.to_proto(node)
    given = {_name(i): array for i, array in enumerate(trial.operands) if array is not None}
    del proto.input[:]
    proto.input.extend("" if array is None else _name(i) for i, array in enumerate(trial.operands))
    results = [name for name in proto.output if name]
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()
    ]
    made = helper.make_model(
        helper.make_graph([proto], "alone", inputs, [onnx.ValueInfoProto(name=n) for n in results]),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in network.opsets.items()],
        ir_version=ir_version,
    )
    return runner(made, results)


def _name(operand: int) -> str:
    return f"operand{operand}"


def redrawn(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other numbers of the kind: near its own, or from among its own where they are codes."""
    if array.dtype.kind == "f":
        return (array * rng.uniform(0.6, 1.4, array.shape)).astype(array.dtype)
    if array.dtype.kind == "b":
        return ~array
    return rng.permutation(array, axis=0) if array.ndim else array
