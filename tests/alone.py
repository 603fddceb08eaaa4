"""One node of a case by itself: its operands as a run of the case has them, and what contradicts its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.model.scopes import bodies
from relu_audit.network.normalize import Network, normalize
from relu_audit.operators.axes import AxisRule, rule
from relu_audit.operators.contradictions import Contradiction, Trial, contradictions, redrawn
from tests.traces import BLOCKED, Runner, Trace, runner

TRIALS = 8


@dataclass(frozen=True)
class Alone:
    """A node, and the numbers it is tried on.

    Attributes:
        node: The node.
        opset: Version of its operator set.
        row: Its row.
        trials: Operands.
        constant: Which of them are constants.
        start: Opens a session that runs the node; operands go by their numbers.
    """

    node: ir.Node
    opset: int
    row: AxisRule | None
    trials: Sequence[Trial]
    constant: Sequence[bool]
    start: Callable[[], Runner]

    def results(self, operands: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """The results; what draws random numbers draws the same after every start."""
        run = self.start() if "seed" in self.node.attributes else self.run
        return run({_name(i): a for i, a in enumerate(operands) if a is not None})

    @cached_property
    def run(self) -> Runner:
        return self.start()

    def against(self, row: AxisRule) -> list[Contradiction]:
        return contradictions(row, self.node, self.opset, self.trials, self.results, self.constant)


def alone(name: str, case: Trace) -> Iterator[Alone]:
    """The nodes of one operator in a case."""
    network = normalize(open_checkpoint(case.model()))
    for node in network.model.graph:
        opset = network.opsets.get(node.domain, network.opsets[""])
        names = _names(node, case)
        if name != ".".join(filter(None, (node.domain, node.op_type))) or bodies(node) or names is None:
            continue
        constant = [value in network.weights for value in node.inputs]
        fed, rng = _operands(case, names), np.random.default_rng(7)
        trials = [
            Trial(
                a,
                [redrawn(x, rng) if fixed and x is not None else y for x, y, fixed in zip(a, b, constant, strict=True)],
            )
            for a, b in zip(fed[:TRIALS], fed[TRIALS:], strict=True)
        ]
        whole = case.by or BLOCKED in case.body
        start = partial(_whole, case, names) if whole else partial(_single, network, node, fed[0])
        yield Alone(node, opset, rule(node.domain, node.op_type, opset), trials, constant, start)


def _names(node: ir.Node, case: Trace) -> list[str | None] | None:
    """What the operands are called in the case; None if they are no inputs or weights of one that is run as a whole."""
    names = [None if value is None else value.name or "" for value in node.inputs]
    if BLOCKED not in case.body:
        return names
    # Numbers in blocks lie in another order than their shape says: the case as a whole is the node.
    plain = "" if "ReorderInput <" in case.body and node.op_type == "ReorderOutput" else "x"
    names = [{"u": plain, "e": "z"}.get(name or "", name) for name in names]
    return names if {"x", "z", *case.weights}.issuperset(names) else None


def _operands(case: Trace, names: Sequence[str | None]) -> list[tuple[np.ndarray | None, ...]]:
    """The operands of that name in as many runs of the case as two for each trial."""
    model, rng = case.model(), np.random.default_rng(5)
    constants = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    fed = [{**constants, **case.feeds(rng)} for _ in range(2 * TRIALS)]
    wanted = sorted({n for n in names if n and n not in fed[0]})
    if wanted:
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted)
        run = runner(model, wanted)
        for one in fed:
            one |= dict(zip(wanted, run({n: a for n, a in one.items() if n not in constants}), strict=True))
    return [tuple(None if not n else one[n] for n in names) for one in fed]


def _single(network: Network, node: ir.Node, operands: Sequence[np.ndarray | None]) -> Runner:
    """The node as a model of its own, whose inputs are its operands."""
    proto = ir.to_proto(node)
    given = {_name(i): array for i, array in enumerate(operands) if array is not None}
    del proto.input[:]
    proto.input.extend("" if array is None else _name(i) for i, array in enumerate(operands))
    results = [name for name in proto.output if name]
    made = helper.make_model(
        helper.make_graph([proto], "alone", _inputs(given), [onnx.ValueInfoProto(name=n) for n in results]),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in network.opsets.items()],
        ir_version=10,
    )
    return runner(made, results)


def _whole(case: Trace, names: Sequence[str | None]) -> Runner:
    """The case, whose inputs and weights are the operands."""
    model = case.runnable()
    weights = {w.name: w for w in model.graph.initializer if w.name in names}
    for weight in weights.values():
        model.graph.initializer.remove(weight)
    model.graph.input.extend(_inputs({name: numpy_helper.to_array(weight) for name, weight in weights.items()}))
    run, named = runner(model, case.outputs), {_name(i): n for i, n in enumerate(names) if n}
    return lambda fed: run({named[n]: a for n, a in fed.items()})


def _inputs(arrays: Mapping[str, np.ndarray]) -> list[onnx.ValueInfoProto]:
    kind = helper.np_dtype_to_tensor_dtype
    return [helper.make_tensor_value_info(n, kind(a.dtype), a.shape) for n, a in arrays.items()]


def _name(operand: int) -> str:
    return f"operand{operand}"
