"""Twelve families of networks of whole numbers with units planted dead, for comparing before and after bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from tests.prune_net import Net, Value

SAMPLES = 16
IMAGE = "float[n, 4, 8, 8] x"
Family = Callable[[Net], onnx.ModelProto]


def image() -> Value:
    return Value("x", 4, 3)


def head(net: Net, x: Value, inputs: str = IMAGE) -> onnx.ModelProto:
    """Pooled, flattened, classified."""
    if net.rng.integers(2):
        pooled = net.op("GlobalAveragePool", x, channels=x.channels, bound=x.bound, places=x.places + 6)
    else:
        pooled = net.like("GlobalMaxPool", x)
    return net.model(inputs, net.gemm(net.like("Flatten", pooled), 5), "n, 5")


def mlp(net: Net) -> onnx.ModelProto:
    x = Value("x", 12, 3)
    for width in (24, 16, 16):
        dead = net.some(width)
        x = net.relu(net.gemm(x, width, dead=dead), dead)
    return net.model("float[n, 12] x", net.gemm(x, 6), "n, 6")


def vgg(net: Net) -> onnx.ModelProto:
    x = net.conv_relu(image(), 16, 3)
    x = net.conv_norm_relu(x, 16, 3)
    x = net.like("MaxPool<kernel_shape = [2, 2], strides = [2, 2]>", x)
    x = net.conv_relu(x, 24, 3)
    x = net.like("MaxPool<kernel_shape = [2, 2], strides = [2, 2]>", x)
    flat = net.reshape(x, 0, -1, channels=24 * 4)
    dead = net.some(16)
    return net.model(IMAGE, net.gemm(net.relu(net.gemm(flat, 16, dead=dead), dead), 5), "n, 5")


def resnet(net: Net, stream: tuple[int, ...], width: int = 16) -> onnx.ModelProto:
    """Two stages; the units ``stream`` are dead behind the stem and behind every sum."""
    x = net.relu(net.norm(net.conv(image(), width, 3), stream), stream)
    for stride in (1, 1, 2):
        y = net.norm(net.conv(net.conv_norm_relu(x, width, 3, stride=stride), width, 3))
        short = x if stride == 1 else net.conv(x, width, 1, stride=stride)
        total = net.add(net.clip(y), net.clip(short))
        shift = np.zeros((width, 1, 1), np.float32)
        shift[list(stream)] = -64
        shifted = net.op("Add", total, net.weight(shift), channels=width, bound=96, top=32, places=total.places)
        x = net.relu(shifted, stream)
    return head(net, x)


def resnet_inside(net: Net) -> onnx.ModelProto:
    return resnet(net, ())


def resnet_stream(net: Net) -> onnx.ModelProto:
    return resnet(net, net.some(16))


def inverted(net: Net, x: Value, *, squeeze: bool) -> Value:
    """An inverted residual; everything wide in it may die."""
    y = net.conv_norm_relu(x, 24)
    dead = net.some(24)
    y = net.relu(net.conv(y, 24, 3, group=24, dead=dead), dead)
    y = excited(net, y) if squeeze else y
    return net.add(x, net.clip(net.conv(y, x.channels)))


def excited(net: Net, x: Value) -> Value:
    """Squeeze and excite, with a gate of sixteenths."""
    inner = net.conv_relu(net.like("GlobalMaxPool", x), 8)
    logits = net.conv(inner, x.channels)
    gate = net.op("HardSigmoid<alpha = 0.0625, beta = 0.5>", logits, channels=x.channels, bound=1, places=4)
    return net.op("Mul", x, gate, channels=x.channels, bound=x.bound, places=x.places + 4)


def mobilenet(net: Net) -> onnx.ModelProto:
    x = net.clip(net.conv(image(), 8, 3))
    for _ in range(2):
        x = inverted(net, x, squeeze=False)
    return head(net, net.conv_relu(x, 32))


def mobilenet_with_squeeze(net: Net) -> onnx.ModelProto:
    x = inverted(net, net.clip(net.conv(image(), 8, 3)), squeeze=True)
    return net.model(IMAGE, net.conv(net.conv_relu(x, 16), 5), "n, 5, a, b")


def densenet(net: Net) -> onnx.ModelProto:
    x = net.conv_relu(image(), 8, 3)
    for _ in range(3):
        dead = net.some(x.channels)
        wide = net.conv_norm_relu(net.relu(net.norm(x, dead), dead), 16)
        x = net.concat(x, net.clip(net.conv(wide, 8, 3)))
    dead = net.some(x.channels)
    return head(net, net.relu(net.norm(x, dead), dead))


def transformer(net: Net) -> onnx.ModelProto:
    """Two layers of linear attention of four heads, one of them unread or dead, and a feed-forward half."""
    x = Value("x", 8, 3)
    for _ in range(2):
        x = net.clip(net.add(x, attention(net, x)))
        dead = net.some(32)
        hidden = net.relu(net.linear(x, 32, dead=dead), dead)
        x = net.clip(net.add(x, net.linear(hidden, 8)))
    return net.model("float[n, 6, 8] x", x, "n, 6, 8")


def attention(net: Net, x: Value, heads: int = 4, width: int = 16) -> Value:
    each = width // heads
    silent = int(net.rng.integers(heads))
    values = net.linear(x, width)
    if net.rng.integers(2):
        dead = tuple(range(silent * each, (silent + 1) * each))
        values = net.relu(net.linear(x, width, dead=dead), dead)
    apart = [
        net.reshape(one, 0, 0, heads, each, channels=each)
        for one in (net.linear(x, width), net.linear(x, width), values)
    ]
    q, v = (net.like("Transpose<perm = [0, 2, 1, 3]>", apart[i]) for i in (0, 2))
    k = net.like("Transpose<perm = [0, 2, 3, 1]>", apart[1])
    q, k, v = net.clip(q), net.clip(k), net.clip(v)
    scores = net.clip(net.op("MatMul", q, k, channels=6, bound=each * 256))
    mixed = net.op("MatMul", scores, v, channels=each, bound=6 * 256)
    joined = net.reshape(net.like("Transpose<perm = [0, 2, 1, 3]>", mixed), 0, 0, width, channels=width)
    out = net.matrix(8, width).T.copy()
    out[silent * each : (silent + 1) * each] = 0
    return net.op("MatMul", joined, net.weight(out), channels=8, bound=joined.bound * width)


def nhwc(net: Net) -> onnx.ModelProto:
    """TensorFlow's export: rectifiers and normalisation see channels last, convolutions see them second."""
    x = Value("x", 4, 3)
    for width in (16, 16, 24):
        dead = net.some(width)
        y = net.conv(net.like("Transpose<perm = [0, 3, 1, 2]>", x), width, 3)
        y = net.like("Transpose<perm = [0, 2, 3, 1]>", y)
        y = net.sums("Add", y, net.weight(net.bias(width, dead, y.bound)), channels=width, reach=y.bound)
        x = net.relu(y, dead)
    axes = net.weight(np.array([1, 2], np.int64))
    pooled = net.like("ReduceMax<keepdims = 0>", x, axes)
    return net.model("float[n, 8, 8, 4] x", net.gemm(pooled, 5), "n, 5")


def shuffled(net: Net, x: Value) -> Value:
    """A shuffle of two groups."""
    width = x.channels
    apart = net.reshape(x, 0, 2, width // 2, 8, 8, channels=width)
    swapped = net.like("Transpose<perm = [0, 2, 1, 3, 4]>", apart)
    return net.reshape(swapped, 0, width, 8, 8, channels=width)


def shufflenet(net: Net) -> onnx.ModelProto:
    x = net.conv_relu(image(), 16, 3)
    for _ in range(2):
        left, right = (f"p{len(net.lines)}", f"q{len(net.lines)}")
        net.lines.append(f"{left}, {right} = Split<axis = 1, num_outputs = 2> ({x.name})")
        half = Value(right, 8, x.bound, x.places)
        y = net.conv_relu(half, 8)
        y = net.conv_relu(net.conv(y, 8, 3, group=8), 8)
        x = shuffled(net, net.concat(Value(left, 8, x.bound, x.places), y))
    return head(net, net.conv_relu(x, 24, group=2))


def unet(net: Net) -> onnx.ModelProto:
    outer = net.conv_relu(image(), 16, 3)
    inner = net.conv_relu(net.like("MaxPool<kernel_shape = [2, 2], strides = [2, 2]>", outer), 24, 3)
    if net.rng.integers(2):
        scales = net.weight(np.array([1, 1, 2, 2], np.float32))
        grown = net.like('Resize<mode = "nearest">', inner, "", scales)
    else:
        w = net.matrix(24, 8 * 4).reshape(24, 8, 2, 2)
        dead = net.some(8)
        reach = 24 * inner.bound
        weights = net.weight(w), net.weight(net.bias(8, dead, reach))
        text = "ConvTranspose<strides = [2, 2]>"
        grown = net.relu(net.sums(text, inner, *weights, channels=8, reach=reach), dead)
    joined = net.concat(outer, grown)
    return net.model(IMAGE, net.conv(net.conv_relu(joined, 16, 3), 3), "n, 3, a, b")


def resnext(net: Net) -> onnx.ModelProto:
    """Residual blocks whose middle convolution works in groups, each of which loses other units."""
    x = net.clip(net.conv(image(), 8, 3))
    for _ in range(2):
        y = net.conv_relu(net.conv_norm_relu(x, 16), 24, 3, group=4)
        x = net.add(x, net.clip(net.conv(y, 8)))
    return head(net, net.conv_relu(x, 16))


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        mlp,
        vgg,
        resnet_inside,
        resnet_stream,
        mobilenet,
        mobilenet_with_squeeze,
        densenet,
        transformer,
        nhwc,
        shufflenet,
        unet,
        resnext,
    )
}


@dataclass(frozen=True)
class Case:
    """One network of a family, by its seed."""

    family: str
    seed: int
    density: float
    align: int

    def __str__(self) -> str:
        return f"{self.family}-{self.seed}-{self.density}-{self.align}"

    def build(self) -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
        """The model and the units planted dead."""
        net = Net(self.seed, self.density)
        model = FAMILIES[self.family](net)
        return model, net.planted

    def data(self, model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
        shape = [dim.dim_value or SAMPLES for dim in model.graph.input[0].type.tensor_type.shape.dim]
        return {"x": np.random.default_rng((self.seed, seed)).integers(-3, 4, shape).astype(np.float32)}
