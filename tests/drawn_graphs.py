"""Random graphs: a node is kept if onnxruntime runs it after the nodes before it, for one sample and for several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - the other way to run a model, beside the package
from onnx import helper, numpy_helper

COUNTS = (1, 3)
"""Samples for which every node is run while a graph is drawn."""

MS, ML = "com.microsoft", "ai.onnx.ml"
_LARGEST = 3000


class Unfit(Exception):  # noqa: N818 - no error: the next node is drawn
    """What was drawn does not run."""


def opened(model: onnx.ModelProto) -> ort.InferenceSession:
    """A session without graph optimisation."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@dataclass
class Draw:
    """A graph that grows.

    Attributes:
        rng: Where everything random comes from.
        opset: Version of the default operator set.
        inputs: Length of each axis of each input; ``n`` is the samples', another name another open one.
        lengths: The lengths of the other open axes.
        nodes: The nodes so far.
        weights: The constants so far.
        values: What each value is in a run of each of :data:`COUNTS` samples.
    """

    rng: np.random.Generator
    opset: int
    inputs: dict[str, list[int | str]] = field(default_factory=dict[str, "list[int | str]"])
    lengths: dict[str, int] = field(default_factory=dict[str, int])
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    weights: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    values: dict[str, list[np.ndarray]] = field(default_factory=dict[str, "list[np.ndarray]"])

    # What is drawn ----------------------------------------------------------------------------------------------------

    def one(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def often(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def feeds(self, count: int) -> dict[str, np.ndarray]:
        """Samples that differ strongly."""
        found: dict[str, np.ndarray] = {}
        for name, dims in self.inputs.items():
            shape = [count if d == "n" else self.lengths[d] if isinstance(d, str) else d for d in dims]
            array = self.rng.standard_normal(shape)
            if "n" in dims:
                scale = np.array([1.0, -4.0, 9.0, -0.3, 3.0])[:count]
                array *= scale.reshape([-1 if d == "n" else 1 for d in dims])
            found[name] = array.astype(np.float32)
        return found

    def constant(self, array: object, kind: type = np.int64) -> str:
        name = f"c{len(self.weights)}"
        self.weights[name] = np.asarray(array, kind)
        self.values[name] = [self.weights[name]] * len(COUNTS)
        return name

    def floats(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape), np.float32)

    def of(self, kinds: str, ranks: Sequence[int] = range(7)) -> str:
        """A computed value or an input; late ones are preferred."""
        found = [n for n, v in self.values.items() if v[0].dtype.kind in kinds and v[0].ndim in ranks]
        found = [n for n in found if n not in self.weights]
        if not found:
            raise Unfit
        return found[-1 - min(int(self.rng.geometric(0.5)) - 1, len(found) - 1)]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name][-1].shape

    def rank(self, name: str) -> int:
        return self.values[name][-1].ndim

    def axis(self, name: str) -> int:
        if not self.rank(name):
            raise Unfit
        axis = int(self.rng.integers(self.rank(name)))
        return axis - self.rank(name) if self.often(0.2) else axis

    # What is added ----------------------------------------------------------------------------------------------------

    def add(self, op: str, *inputs: str, results: int = 1, domain: str = "", **attributes: object) -> str:
        """A node; its last result."""
        divisor = self.values[inputs[-1]][-1] if op in ("Div", "Mod") else np.ones(1)
        if divisor.dtype.kind == "i" and (inputs[-1] not in self.weights or not divisor.all()):
            raise Unfit  # a division of whole numbers by zero ends the process
        names = [f"v{len(self.nodes)}{'' if results == 1 else f'_{i}'}" for i in range(results)]
        node = helper.make_node(op, list(inputs), names, domain=domain, **attributes)
        runs = self._run(node, names)
        if any(
            len({a.ndim for a in both}) > 1 or not all(0 < a.size < _LARGEST for a in both) for both in runs.values()
        ):
            raise Unfit
        self.nodes.append(node)
        self.values |= runs
        return names[int(self.rng.integers(results))]

    def _run(self, node: onnx.NodeProto, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
        used = {n for n in [*node.input, *_captured(node)] if n}
        runs: list[list[np.ndarray]] = []
        for i in range(len(COUNTS)):
            given = {name: self.values[name][i] for name in used}
            fixed = {n: a for n, a in given.items() if n in self.weights}
            infos = [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                for n, a in given.items()
                if n not in fixed
            ]
            model = self._model([node], infos, [onnx.ValueInfoProto(name=n) for n in names], fixed)
            try:
                runs.append(opened(model).run(list(names), {n: a for n, a in given.items() if n not in fixed}))
            except Exception as error:
                raise Unfit from error
        if not all(isinstance(a, np.ndarray) for run in runs for a in run):
            raise Unfit
        return {name: list(both) for name, both in zip(names, zip(*runs, strict=True), strict=True)}

    def _model(self, nodes, inputs, outputs, weights) -> onnx.ModelProto:
        return helper.make_model(
            helper.make_graph(
                nodes, "drawn", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights.items()]
            ),
            opset_imports=[helper.make_opsetid(d, v) for d, v in (("", self.opset), (MS, 1), (ML, 3))],
            ir_version=8,
        )

    def model(self) -> onnx.ModelProto:
        """The graph as a model, with all its inputs' open axes named."""
        inputs = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, dims) for n, dims in self.inputs.items()]
        used = {n for node in self.nodes for n in [*node.input, *_captured(node)]}
        last = self.nodes[-1].output[0]
        shape = [f"d{i}" for i in range(self.rank(last))]
        result = [helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, shape)]
        return self._model(self.nodes, inputs, result, {n: a for n, a in self.weights.items() if n in used})


def _captured(node: onnx.NodeProto) -> list[str]:
    found: list[str] = []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            made = {v.name for v in attribute.g.input} | {o for n in attribute.g.node for o in n.output}
            made |= {w.name for w in attribute.g.initializer}
            found += [i for n in attribute.g.node for i in [*n.input, *_captured(n)] if i and i not in made]
            found += [v.name for v in attribute.g.output if v.name not in made]
    return found
