"""Networks as PyTorch users write them, by kind, to be exported by both exporters: what a proof has to cope with."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

Value = Any  # a torch tensor

SEED = 3


class Made(nn.Module):
    """A module from named layers and a function of them and the inputs."""

    def __init__(self, function: Callable[..., Value], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, nn.Parameter(layer) if isinstance(layer, torch.Tensor) else layer)
        self.function = function

    def forward(self, *inputs: Value) -> Value:
        return self.function(self, *inputs)


@dataclass(frozen=True)
class Net:
    """A network and one example.

    Attributes:
        make: Makes the module.
        inputs: Example arrays by name, samples along ``axes``.
        axes: Axis of samples by input; 0 where nothing is said, None where an input is the same for all samples.
        open: Further open axes by input.
    """

    make: Callable[[], nn.Module]
    inputs: Mapping[str, np.ndarray]
    axes: Mapping[str, int | None] | None = None
    open: Mapping[str, tuple[int, ...]] | None = None

    def axis(self, name: str) -> int | None:
        return (self.axes or {}).get(name, 0)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng([SEED, *shape]).standard_normal(shape).astype(np.float32)


def ids(*shape: int, most: int = 12) -> np.ndarray:
    return np.random.default_rng([SEED, *shape]).integers(1, most, shape).astype(np.int64)


def mask(n: int, t: int) -> np.ndarray:
    return (np.arange(t)[None, :] < (np.arange(n) % t + 1)[:, None]).astype(np.int64)


def _heads(x: Value, heads: int) -> Value:
    n, t, d = x.shape
    return x.view(n, t, heads, d // heads).transpose(1, 2)


def _attention(self: Any, x: Value, bias: Value | None = None) -> Value:
    q, k, v = (_heads(layer(x), 2) for layer in (self.q, self.k, self.v))
    scores = q @ k.transpose(-1, -2) / 2.0
    if bias is not None:
        scores = scores + bias
    out = scores.softmax(-1) @ v
    n, h, t, d = out.shape
    return out.transpose(1, 2).reshape(n, t, h * d)


def _block(self: Any, x: Value, bias: Value | None = None) -> Value:
    x = self.norm(x + _attention(self, x, bias))
    return x + self.down(F.relu(self.up(x)))


def _transformer() -> dict[str, Any]:
    return {
        **{name: nn.Linear(8, 8) for name in ("q", "k", "v")},
        "norm": nn.LayerNorm(8),
        "up": nn.Linear(8, 16),
        "down": nn.Linear(16, 8),
    }


def _causal(self: Any, ids: Value) -> Value:
    t = ids.shape[1]
    x = self.words(ids) + self.places(torch.arange(t, device=ids.device))[None]
    allowed = torch.ones(t, t, dtype=torch.bool).tril()
    bias = torch.zeros(t, t).masked_fill(~allowed, -1e4)
    return _block(self, x, bias)


def _masked(self: Any, ids: Value, attention_mask: Value) -> Value:
    x = self.words(ids)
    bias = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -1e4
    x = _block(self, x, bias)
    weights = attention_mask.unsqueeze(-1).to(x.dtype)
    return (x * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def _last_token(self: Any, ids: Value, attention_mask: Value) -> Value:
    x = _block(self, self.words(ids))
    last = attention_mask.sum(1) - 1
    return self.head(F.relu(x[torch.arange(x.shape[0]), last]))


def _end_token(self: Any, ids: Value) -> Value:
    x = _block(self, self.words(ids))
    return self.head(F.relu(x[torch.arange(x.shape[0]), ids.argmax(dim=-1)]))


def _class_token(self: Any, x: Value) -> Value:
    n = x.shape[0]
    x = self.patch(x).flatten(2).transpose(1, 2)
    x = torch.cat([self.cls.expand(n, -1, -1), x], 1) + self.place
    return _block(self, x)[:, 0]


def _windows(self: Any, x: Value) -> Value:
    n, h, w, c = x.shape
    x = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
    x = F.relu(self.up(x))
    c = x.shape[-1]
    x = x.view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
    return x.mean((1, 2))


def _frames(self: Any, x: Value) -> Value:
    n, t, c, h, w = x.shape
    y = F.relu(self.conv(x.view(n * t, c, h, w))).mean((2, 3))
    return self.head(y.view(n, t, -1).mean(1))


def _unet(self: Any, x: Value) -> Value:
    low = F.relu(self.down(F.max_pool2d(x, 2)))
    up = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
    return F.relu(self.out(torch.cat([x, up], 1)))


def _resized(self: Any, x: Value) -> Value:
    low = F.relu(self.down(F.avg_pool2d(x, 2)))
    return self.out(torch.cat([x, F.interpolate(low, size=x.shape[2:], mode="nearest")], 1))


def _squeeze(self: Any, x: Value) -> Value:
    y = F.relu(self.conv(x))
    gate = torch.sigmoid(self.b(F.relu(self.a(F.adaptive_avg_pool2d(y, 1)))))
    return (y * gate).flatten(1)


def _mixer(self: Any, x: Value) -> Value:
    x = x + self.tokens_out(F.relu(self.tokens(self.norm(x).transpose(1, 2)))).transpose(1, 2)
    return x + self.down(F.relu(self.up(x)))


def _recurrent(self: Any, x: Value) -> Value:
    y, _ = self.rnn(x)
    return self.head(F.relu(y[:, -1]))


def _time_first(self: Any, x: Value) -> Value:
    y, _ = self.rnn(x)
    return self.head(F.relu(y[-1]))


def _with_state(self: Any, x: Value, h: Value, c: Value) -> Value:
    y, _ = self.rnn(x, (h, c))
    return self.head(F.relu(y))


def _two_towers(self: Any, a: Value, b: Value) -> Value:
    return self.head(torch.cat([F.relu(self.a(a)), F.relu(self.b(b))], -1))


def _memory(self: Any, x: Value, bank: Value) -> Value:
    return F.relu(self.up((self.q(x) @ bank.t()).softmax(-1) @ bank))


IMAGE = {"x": floats(4, 3, 8, 8)}
TOKENS = {"x": floats(4, 5, 8)}
IDS = {"ids": ids(4, 5)}
WORDS = {"words": lambda: nn.Embedding(12, 8)}


def _made(function: Callable[..., Value], **layers: Callable[[], Any]) -> Callable[[], nn.Module]:
    return lambda: Made(function, **{name: layer() for name, layer in layers.items()})


def _with_block(function: Callable[..., Value], **layers: Callable[[], Any]) -> Callable[[], nn.Module]:
    return lambda: Made(function, **_transformer(), **{name: layer() for name, layer in layers.items()})


NETS: dict[str, Net] = {
    "mlp": Net(lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), {"x": floats(4, 8)}),
    "mlp of tokens": Net(lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), TOKENS, open={"x": (1,)}),
    "convolutions": Net(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 4)
        ),
        IMAGE,
    ),
    "convolutions of any size": Net(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
        IMAGE,
        open={"x": (2, 3)},
    ),
    "group norm": Net(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Conv2d(6, 2, 1)), IMAGE
    ),
    "instance norm": Net(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.ReLU()), IMAGE
    ),
    "depthwise and shuffle": Net(
        lambda: nn.Sequential(nn.Conv2d(3, 12, 3, groups=3), nn.ReLU(), nn.ChannelShuffle(3), nn.PixelShuffle(2)), IMAGE
    ),
    "transposed convolution": Net(
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 3)), IMAGE
    ),
    "one dimension": Net(
        lambda: nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(8, 6, 3), nn.ReLU(), nn.Conv1d(6, 3, 1)),
        {"x": floats(4, 8, 10)},
        open={"x": (2,)},
    ),
    "squeeze and excitation": Net(
        _made(_squeeze, conv=lambda: nn.Conv2d(3, 6, 3), a=lambda: nn.Conv2d(6, 3, 1), b=lambda: nn.Conv2d(3, 6, 1)),
        IMAGE,
    ),
    "bilinear unet": Net(
        _made(_unet, down=lambda: nn.Conv2d(3, 4, 3, padding=1), out=lambda: nn.Conv2d(7, 2, 1)), IMAGE
    ),
    "resized to another": Net(
        _made(_resized, down=lambda: nn.Conv2d(3, 4, 3, padding=1), out=lambda: nn.Conv2d(7, 2, 1)),
        IMAGE,
        open={"x": (2, 3)},
    ),
    "frames of a video": Net(
        _made(_frames, conv=lambda: nn.Conv2d(3, 4, 3), head=lambda: nn.Linear(4, 2)), {"x": floats(4, 2, 3, 6, 6)}
    ),
    "windows": Net(_made(_windows, up=lambda: nn.Linear(8, 6)), {"x": floats(4, 4, 4, 8)}),
    "mixer": Net(
        _made(
            _mixer,
            norm=lambda: nn.LayerNorm(8),
            tokens=lambda: nn.Linear(5, 7),
            tokens_out=lambda: nn.Linear(7, 5),
            up=lambda: nn.Linear(8, 16),
            down=lambda: nn.Linear(16, 8),
        ),
        TOKENS,
    ),
    "lstm": Net(
        _made(_recurrent, rnn=lambda: nn.LSTM(8, 6, batch_first=True), head=lambda: nn.Linear(6, 2)),
        TOKENS,
        open={"x": (1,)},
    ),
    "two-way gru": Net(
        _made(
            _recurrent, rnn=lambda: nn.GRU(8, 6, batch_first=True, bidirectional=True), head=lambda: nn.Linear(12, 2)
        ),
        TOKENS,
    ),
    "rnn with time first": Net(
        _made(_time_first, rnn=lambda: nn.RNN(8, 6, nonlinearity="relu"), head=lambda: nn.Linear(6, 2)),
        {"x": floats(5, 4, 8)},
        axes={"x": 1},
    ),
    "lstm with its state": Net(
        _made(_with_state, rnn=lambda: nn.LSTM(8, 6, num_layers=2, batch_first=True), head=lambda: nn.Linear(6, 2)),
        {"x": floats(4, 5, 8), "h": floats(2, 4, 6), "c": floats(2, 4, 6) + 1},
        axes={"h": 1, "c": 1},
    ),
    "attention": Net(_with_block(_block), TOKENS, open={"x": (1,)}),
    "encoder layer": Net(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0, norm_first=True), TOKENS
    ),
    "multi-head attention": Net(
        _made(
            lambda self, x: F.relu(self.attend(x, x, x, need_weights=False)[0]),
            attend=lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        ),
        TOKENS,
    ),
    "scaled dot product": Net(
        _made(
            lambda self, x: F.relu(
                self.up(F.scaled_dot_product_attention(*(_heads(f(x), 2) for f in (self.q, self.k, self.v))).sum(1))
            ),
            q=lambda: nn.Linear(8, 8),
            k=lambda: nn.Linear(8, 8),
            v=lambda: nn.Linear(8, 8),
            up=lambda: nn.Linear(4, 6),
        ),
        TOKENS,
        open={"x": (1,)},
    ),
    "causal": Net(
        _with_block(_causal, words=lambda: nn.Embedding(12, 8), places=lambda: nn.Embedding(9, 8)),
        IDS,
        open={"ids": (1,)},
    ),
    "masked mean": Net(
        _with_block(_masked, words=lambda: nn.Embedding(12, 8)),
        {"ids": ids(4, 5), "attention_mask": mask(4, 5)},
        open={"ids": (1,), "attention_mask": (1,)},
    ),
    "last token": Net(
        _with_block(_last_token, words=lambda: nn.Embedding(12, 8), head=lambda: nn.Linear(8, 2)),
        {"ids": ids(4, 5), "attention_mask": mask(4, 5)},
        open={"ids": (1,), "attention_mask": (1,)},
    ),
    "end token": Net(
        _with_block(_end_token, words=lambda: nn.Embedding(12, 8), head=lambda: nn.Linear(8, 2)),
        IDS,
        open={"ids": (1,)},
    ),
    "class token": Net(
        _with_block(
            _class_token,
            patch=lambda: nn.Conv2d(3, 8, 4, stride=4),
            cls=lambda: torch.randn(1, 1, 8),
            place=lambda: torch.randn(1, 5, 8),
        ),
        IMAGE,
    ),
    "two towers": Net(
        _made(_two_towers, a=lambda: nn.Linear(8, 6), b=lambda: nn.Linear(5, 6), head=lambda: nn.Linear(12, 2)),
        {"a": floats(4, 8), "b": floats(4, 5)},
    ),
    "memory": Net(
        _made(_memory, q=lambda: nn.Linear(8, 8), up=lambda: nn.Linear(8, 6)),
        {"x": floats(4, 8), "bank": floats(7, 8)},
        axes={"bank": None},
    ),
    "einsum attention": Net(
        _made(
            lambda self, x: F.relu(
                self.up(torch.einsum("nij,njd->nid", torch.einsum("nid,njd->nij", self.q(x), x).softmax(-1), x))
            ),
            q=lambda: nn.Linear(8, 8),
            up=lambda: nn.Linear(8, 6),
        ),
        TOKENS,
    ),
}


def exported(net: Net, *, dynamo: bool) -> onnx.ModelProto:
    """The network as ONNX; samples, and what else is open, are symbols of the file."""
    torch.manual_seed(SEED)
    module = net.make().eval()
    names = list(net.inputs)
    example = tuple(torch.from_numpy(array) for array in net.inputs.values())
    places = {
        name: {
            **({} if net.axis(name) is None else {net.axis(name): "batch"}),
            **({0: f"{name}_rows"} if net.axis(name) is None else {}),
            **{axis: f"size_{axis}" for axis in (net.open or {}).get(name, ())},
        }
        for name in names
    }
    buffer = io.BytesIO()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operators have no ONNX counterpart
    with torch.no_grad():
        if dynamo:
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                input_names=names,
                dynamic_shapes=tuple(dict.fromkeys(places[n], torch.export.Dim.DYNAMIC) for n in names)
                if not isinstance(module, Made)
                else (tuple(dict.fromkeys(places[n], torch.export.Dim.DYNAMIC) for n in names),),
                verbose=False,
            )
            program.save(buffer)
        else:
            torch.onnx.export(
                module, example, buffer, dynamo=False, input_names=names, dynamic_axes=places, opset_version=17
            )
    return onnx.load_from_string(buffer.getvalue())
