"""Networks of eleven kinds with random weights and units planted dead, for measuring what pruning gains.

The kinds are those of ``tests/prune_families.py``, but as wide as networks in use, with float weights that are nowhere
zero, so that nothing but what was planted can go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOOR = -1e3
"""A bias that nothing in these networks overcomes."""

Dims = Sequence[int | str]


class Net:
    """Collects nodes and seeded weights; every method returns the name of the value it made.

    Args:
        density: Share of units to plant dead in every layer that is asked to.
        seed: Seed of weights and dead units.
    """

    def __init__(self, density: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.density = density
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.channels: dict[str, int] = {}

    def op(self, kind: str, *inputs: str, channels: int | None = None, **attributes: object) -> str:
        """A node; it has as many channels as its first input, unless told."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        return name

    def weight(self, array: np.ndarray) -> str:
        """An initializer."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def normal(self, *shape: int, fan_in: int) -> np.ndarray:
        """Random weights, outputs first, that keep the size of what they are applied to.

        Those of one unit add up to zero: what they are applied to is mostly positive, and would kill units by chance.
        """
        array = self.rng.standard_normal(shape) * (2 / fan_in) ** 0.5
        return (array - array.mean(axis=tuple(range(1, len(shape))), keepdims=True)).astype(np.float32)

    def bias(self, units: int, dead: Sequence[int] = ()) -> str:
        """A small random bias, far below zero where a unit shall be dead."""
        array = (self.rng.standard_normal(units) * 0.02).astype(np.float32)
        array[list(dead)] = FLOOR
        return self.weight(array)

    def some(self, units: int) -> list[int]:
        """Units to plant dead."""
        return sorted(self.rng.permutation(units)[: round(self.density * units)].tolist())

    def conv(
        self, x: str, units: int, kernel: int = 1, *, stride: int = 1, group: int = 1, dead: Sequence[int] = ()
    ) -> str:
        """A convolution with a bias that keeps the image's size but for the stride."""
        each = self.channels[x] // group
        weights = self.weight(self.normal(units, each, kernel, kernel, fan_in=each * kernel**2)), self.bias(units, dead)
        shape = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": group}
        return self.op("Conv", x, *weights, channels=units, **shape)

    def norm(self, x: str, dead: Sequence[int] = ()) -> str:
        """Batch normalisation."""
        units = self.channels[x]
        scale, variance = (self.rng.uniform(0.5, 1, units).astype(np.float32) for _ in range(2))
        mean = (self.rng.standard_normal(units) * 0.02).astype(np.float32)
        names = self.weight(scale), self.bias(units, dead), self.weight(mean), self.weight(variance)
        return self.op("BatchNormalization", x, *names)

    def dense(self, x: str, units: int, dead: Sequence[int] = ()) -> str:
        """A Gemm on rows."""
        weights = self.weight(self.normal(units, self.channels[x], fan_in=self.channels[x])), self.bias(units, dead)
        return self.op("Gemm", x, *weights, channels=units, transB=1)

    def linear(self, x: str, units: int, dead: Sequence[int] = ()) -> str:
        """MatMul and Add on the last axis."""
        weight = self.weight(self.normal(units, self.channels[x], fan_in=self.channels[x]).T.copy())
        product = self.op("MatMul", x, weight, channels=units)
        return self.op("Add", product, self.bias(units, dead))

    def conv_relu(self, x: str, units: int, kernel: int = 1, **options: int) -> str:
        """A convolution and a rectifier with units planted dead."""
        return self.op("Relu", self.conv(x, units, kernel, dead=self.some(units), **options))

    def conv_norm_relu(self, x: str, units: int, kernel: int = 1, **options: int) -> str:
        """The same with a normalisation between."""
        return self.op("Relu", self.norm(self.conv(x, units, kernel, **options), self.some(units)))

    def conv_norm_relu6(self, x: str, units: int, kernel: int = 1, **options: int) -> str:
        """The same, cut off at six."""
        bounds = (self.weight(np.array(bound, np.float32)) for bound in (0, 6))
        return self.op("Clip", self.norm(self.conv(x, units, kernel, **options), self.some(units)), *bounds)

    def pool(self, x: str) -> str:
        """Half the size."""
        return self.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    def head(self, x: str) -> str:
        """Ten classes of the pooled image."""
        return self.dense(self.op("Flatten", self.op("GlobalAveragePool", x)), 10)

    def reshape(self, x: str, *shape: int, channels: int) -> str:
        """Whatever the shape, ``channels`` is what the next layer sees."""
        return self.op("Reshape", x, self.weight(np.array(shape, np.int64)), channels=channels)

    def model(self, inputs: Dims, output: str, shape: Dims) -> onnx.ModelProto:
        """The model, from ``x``."""
        graph = helper.make_graph(
            self.nodes,
            "benchmark",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(inputs))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(shape))],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _image(net: Net, size: int) -> tuple[str, tuple[int | str, ...]]:
    net.channels["x"] = 3
    return "x", ("n", 3, size, size)


def mlp(net: Net) -> onnx.ModelProto:
    """784 to 2048, 2048, 512 and 10."""
    x, net.channels["x"] = "x", 784
    for width in (2048, 2048, 512):
        x = net.op("Relu", net.dense(x, width, net.some(width)))
    return net.model(("n", 784), net.dense(x, 10), ("n", 10))


def vgg(net: Net) -> onnx.ModelProto:
    """Six convolutions of 64 to 256 on 32 pixels, flattened into 512."""
    x, shape = _image(net, 32)
    for width in (64, 128, 256):
        x = net.pool(net.conv_relu(net.conv_relu(x, width, 3), width, 3))
    flat = net.op("Flatten", x, channels=256 * 16)
    dense = net.op("Relu", net.dense(flat, 512, net.some(512)))
    return net.model(shape, net.dense(dense, 10), ("n", 10))


def _resnet(net: Net, *, stream: bool) -> onnx.ModelProto:
    """Three stages of two blocks; in the stream, a stage's dead units are the same behind all of its sums."""
    x, shape = _image(net, 32)
    dead = net.some(64) if stream else []
    x = net.op("Relu", net.conv(x, 64, 3, dead=dead))
    for width in (64, 128, 256):
        stride = 1 if width == 64 else 2
        dead = dead if stride == 1 else net.some(width) if stream else []
        for step in (stride, 1):
            y = net.norm(net.conv(net.conv_norm_relu(x, width, 3, stride=step), width, 3), dead)
            short = x if step == 1 else net.conv(x, width, stride=step)
            x = net.op("Relu", net.op("Add", y, short))
    return net.model(shape, net.head(x), ("n", 10))


def resnet_inside(net: Net) -> onnx.ModelProto:
    """Dead units inside the blocks only."""
    return _resnet(net, stream=False)


def resnet_stream(net: Net) -> onnx.ModelProto:
    """Dead units inside the blocks, and behind the sums as well."""
    return _resnet(net, stream=True)


def _mobilenet(net: Net, *, squeeze: bool) -> onnx.ModelProto:
    """Inverted residuals, six times as wide inside, on 96 pixels."""
    x, shape = _image(net, 96)
    x = net.conv_norm_relu6(x, 32, 3, stride=2)
    blocks = ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (64, 2), (64, 1), (96, 1), (96, 1))
    for width, stride in blocks:
        wide = 6 * net.channels[x]
        y = net.conv_norm_relu6(x, wide)
        y = net.conv_norm_relu6(y, wide, 3, stride=stride, group=wide)
        y = net.norm(net.conv(_excited(net, y) if squeeze else y, width))
        x = net.op("Add", x, y) if width == net.channels[x] else y
    return net.model(shape, net.head(net.conv_norm_relu6(x, 512)), ("n", 10))


def _excited(net: Net, x: str) -> str:
    """Squeeze and excite."""
    wide = net.channels[x]
    inner = net.conv_relu(net.op("GlobalAveragePool", x), wide // 4)
    return net.op("Mul", x, net.op("HardSigmoid", net.conv(inner, wide), alpha=1 / 6, beta=0.9))


def mobilenet(net: Net) -> onnx.ModelProto:
    """Without gates."""
    return _mobilenet(net, squeeze=False)


def mobilenet_with_squeeze(net: Net) -> onnx.ModelProto:
    """With squeeze and excite."""
    return _mobilenet(net, squeeze=True)


def densenet(net: Net) -> onnx.ModelProto:
    """Three blocks of four layers, each adding 32 channels to what all before it have made, on 32 pixels."""
    x, shape = _image(net, 32)
    x = net.conv(x, 64, 3)
    for block in range(3):
        for _ in range(4):
            y = net.op("Relu", net.norm(x, net.some(net.channels[x])))
            y = net.conv(net.conv_norm_relu(y, 128), 32, 3)
            x = net.op("Concat", x, y, channels=net.channels[x] + 32, axis=1)
        x = net.op("Relu", net.norm(x, net.some(net.channels[x])))
        if block < 2:
            x = net.op("AveragePool", net.conv(x, net.channels[x] // 2), kernel_shape=[2, 2], strides=[2, 2])
    return net.model(shape, net.head(x), ("n", 10))


def transformer(net: Net) -> onnx.ModelProto:
    """Two layers of 256 with four heads, of which one is unread, and 1024 in the feed-forward half; 128 tokens."""
    x, net.channels["x"] = "x", 256
    for _ in range(2):
        x = _normalised(net, net.op("Add", x, _attention(net, x, 4)))
        hidden = net.op("Relu", net.linear(x, 1024, net.some(1024)))
        x = _normalised(net, net.op("Add", x, net.linear(hidden, 256)))
    return net.model(("n", 128, 256), x, ("n", 128, 256))


def _normalised(net: Net, x: str) -> str:
    width = net.channels[x]
    return net.op("LayerNormalization", x, net.weight(np.ones(width, np.float32)), net.bias(width))


def _attention(net: Net, x: str, heads: int) -> str:
    """The usual one; the rows of the last weight that belong to the second head are zero."""
    width = net.channels[x]
    each = width // heads
    apart = [net.reshape(net.linear(x, width), 0, 0, heads, each, channels=each) for _ in range(3)]
    q, k, v = (net.op("Transpose", one, perm=perm) for one, perm in zip(apart, _PERMS, strict=True))
    scores = net.op("Mul", net.op("MatMul", q, k), net.weight(np.array(each**-0.5, np.float32)))
    mixed = net.op("MatMul", net.op("Softmax", scores, axis=-1), v, channels=each)
    joined = net.reshape(net.op("Transpose", mixed, perm=[0, 2, 1, 3]), 0, 0, width, channels=width)
    out = (net.rng.standard_normal((width, width)) * width**-0.5).astype(np.float32)
    out[each : 2 * each] = 0
    return net.op("Add", net.op("MatMul", joined, net.weight(out)), net.bias(width))


_PERMS = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])


def nhwc(net: Net) -> onnx.ModelProto:
    """Four convolutions, each between transposes; rectifiers and biases see channels last; on 48 pixels."""
    x, net.channels["x"] = "x", 3
    for width, stride in ((32, 1), (64, 2), (128, 2), (128, 1)):
        first = net.op("Transpose", x, perm=[0, 3, 1, 2])
        weight = net.weight(net.normal(width, net.channels[x], 3, 3, fan_in=9 * net.channels[x]))
        y = net.op("Conv", first, weight, channels=width, strides=[stride] * 2, pads=[1] * 4)
        y = net.op("Transpose", y, perm=[0, 2, 3, 1])
        x = net.op("Relu", net.op("Add", y, net.bias(width, net.some(width))))
    pooled = net.op("ReduceMean", x, net.weight(np.array([1, 2], np.int64)), keepdims=0)
    return net.model(("n", 48, 48, 3), net.dense(pooled, 10), ("n", 10))


def shufflenet(net: Net) -> onnx.ModelProto:
    """Units that leave half of the channels alone and shuffle, 64 to 256 wide, on 96 pixels."""
    x, shape = _image(net, 96)
    x = net.pool(net.conv_relu(x, 32, 3, stride=2))
    size = 24
    for width, units in ((64, 2), (128, 3), (256, 2)):
        size //= 2
        left = net.conv_relu(net.conv(x, net.channels[x], 3, stride=2, group=net.channels[x]), width // 2)
        x = _shuffled(net, left, _branch(net, x, width // 2, stride=2), size)
        for _ in range(units):
            left, right = _halves(net, x)
            x = _shuffled(net, left, _branch(net, right, width // 2, stride=1), size)
    return net.model(shape, net.head(net.conv_relu(x, 512)), ("n", 10))


def _branch(net: Net, x: str, width: int, *, stride: int) -> str:
    y = net.conv_relu(x, width)
    return net.conv_relu(net.conv(y, width, 3, stride=stride, group=width), width)


def _halves(net: Net, x: str) -> tuple[str, str]:
    names = f"left_{len(net.nodes)}", f"right_{len(net.nodes)}"
    net.nodes.append(helper.make_node("Split", [x], list(names), name=f"split_{len(net.nodes)}", axis=1, num_outputs=2))
    for name in names:
        net.channels[name] = net.channels[x] // 2
    return names


def _shuffled(net: Net, left: str, right: str, size: int) -> str:
    width = 2 * net.channels[left]
    joined = net.op("Concat", left, right, channels=width, axis=1)
    apart = net.reshape(joined, 0, 2, width // 2, size, size, channels=width)
    return net.reshape(net.op("Transpose", apart, perm=[0, 2, 1, 3, 4]), 0, width, size, size, channels=width)


def unet(net: Net) -> onnx.ModelProto:
    """Three levels of 32 to 128 on 64 pixels; one way up by a transposed convolution, one by a resize."""
    x, shape = _image(net, 64)
    levels: list[str] = []
    for width in (32, 64, 128):
        x = net.conv_relu(net.conv_relu(net.pool(x) if levels else x, width, 3), width, 3)
        levels.append(x)
    weight = net.weight(net.normal(64, 128, 2, 2, fan_in=128).swapaxes(0, 1).copy())
    x = net.op("Relu", net.op("ConvTranspose", x, weight, net.bias(64, net.some(64)), channels=64, strides=[2, 2]))
    x = net.op("Concat", x, levels[1], channels=128, axis=1)
    x = net.conv_relu(net.conv_relu(x, 64, 3), 64, 3)
    x = net.op("Resize", x, "", net.weight(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    x = net.op("Concat", net.conv_relu(x, 32), levels[0], channels=64, axis=1)
    x = net.conv_relu(net.conv_relu(x, 32, 3), 32, 3)
    return net.model(shape, net.conv(x, 2), ("n", 2, 64, 64))


FAMILIES: dict[str, tuple[str, Callable[[Net], onnx.ModelProto]]] = {
    "mlp": ("MLP", mlp),
    "vgg": ("VGG", vgg),
    "resnet-inside": ("ResNet, dead inside the blocks", resnet_inside),
    "resnet-stream": ("ResNet, dead in the stream too", resnet_stream),
    "mobilenet": ("MobileNet", mobilenet),
    "mobilenet-se": ("MobileNet with squeeze and excite", mobilenet_with_squeeze),
    "densenet": ("DenseNet", densenet),
    "transformer": ("Transformer, one head in four unread", transformer),
    "nhwc": ("channels last", nhwc),
    "shufflenet": ("ShuffleNet", shufflenet),
    "unet": ("U-Net", unet),
}
"""By the name on the command line: what a table calls it, and what builds it."""


def build(family: str, density: float, seed: int) -> onnx.ModelProto:
    """One network."""
    return FAMILIES[family][1](Net(density, seed))
