"""Networks of a known shape with random weights, for measuring cost where the weights do not matter."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class _Builder:
    """Collects nodes and seeded weights; every method returns the name of the tensor it made."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, *shape: int, scale: float) -> str:
        name = f"w{len(self.weights)}"
        array = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        weight = self.weight(outputs, inputs, kernel, kernel, scale=(2 / (inputs * kernel**2)) ** 0.5)
        pad = kernel // 2
        return self.node("Conv", x, weight, self.weight(outputs, scale=0.1), strides=[stride] * 2, pads=[pad] * 4)

    def model(self, inputs: list[object], output: str, output_shape: list[object]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "benchmark",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape)],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolutions(height: int | str, width: int | str, every: int = 3) -> onnx.ModelProto:
    """Four convolutions to ``input`` [batch, 3, height, width] float32, every so many units of which are dead."""
    net = _Builder()
    x, before = "input", 3
    for channels in (16, 32, 32, 16):
        x, before = net.node("Relu", net.conv(x, before, channels, 3)), channels
        bias = numpy_helper.to_array(net.weights[-1]).copy()
        bias[::every] = -1e4
        net.weights[-1].CopyFrom(numpy_helper.from_array(bias, net.weights[-1].name))
    return net.model(["batch", 3, height, width], x, ["batch", before, height, width])


def resnet18(seed: int = 0) -> onnx.ModelProto:
    """ResNet-18 as deployed (BatchNorm folded): ``input`` [batch, 3, 224, 224] float32, 17 rectifiers."""
    net = _Builder(seed)
    x = net.node("Relu", net.conv("input", 3, 64, 7, 2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage, outputs in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            short = x if stride == 1 and width == outputs else net.conv(x, width, outputs, 1, stride)
            y = net.node("Relu", net.conv(x, width, outputs, 3, stride))
            x = net.node("Relu", net.node("Add", net.conv(y, outputs, outputs, 3), short))
            width = outputs
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    x = net.node("Gemm", x, net.weight(512, 1000, scale=0.05), net.weight(1000, scale=0.1))
    return net.model(["batch", 3, 224, 224], x, ["batch", 1000])


def ffn_stack(layers: int = 6, width: int = 768, hidden: int = 3072, seed: int = 0) -> onnx.ModelProto:
    """The feed-forward halves of a transformer: ``input`` [batch, sequence, width] float32, a rectifier a layer."""
    net = _Builder(seed)
    x = "input"
    for _ in range(layers):
        y = net.node("MatMul", x, net.weight(width, hidden, scale=width**-0.5))
        y = net.node("Relu", net.node("Add", y, net.weight(hidden, scale=0.1)))
        y = net.node("MatMul", y, net.weight(hidden, width, scale=hidden**-0.5))
        x = net.node("Add", x, y)
    return net.model(["batch", "sequence", width], x, ["batch", "sequence", width])
