"""Models as PyTorch's two exporters write them; the truth comes from PyTorch itself, through forward hooks."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import relu_audit
from tests.oracle import Columns, runs, spread

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

pytest.register_assert_rewrite("tests.torch_exports")
from tests.torch_exports import (  # noqa: E402
    BOTH,
    SAMPLES,
    Case,
    Expect,
    Net,
    Rectify,
    arrays_of,
    as_numpy,
    check,
    export,
    matrix,
    module_of,
    plant,
    shown,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the exporters' own and torch.jit's
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def encoder(*, batch_first: bool, norm_first: bool = False) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=12, dropout=0.0, activation=nn.ReLU(), batch_first=batch_first, norm_first=norm_first
    )
    plant(layer.linear1, 1, 7)
    if batch_first:
        return Net(lambda m, x: m.layer(x), layer=layer)
    return Net(lambda m, x: m.layer(x.transpose(0, 1)).transpose(0, 1), layer=layer)


def conv() -> nn.Module:
    return plant(nn.Conv2d(4, 8, 3), 2, 5)


def linear() -> nn.Module:
    return plant(nn.Linear(6, 8), 2, 5)


SPELLINGS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: Rectify(F.relu),
    "relu_": lambda: Rectify(lambda x: x.relu_()),
    "relu6": nn.ReLU6,
    "hardtanh": lambda: nn.Hardtanh(0, 1),
    "clamp": lambda: Rectify(lambda x: x.clamp(min=0)),
    "clamp_range": lambda: Rectify(lambda x: torch.clamp(x, 0, 3)),
    "maximum": lambda: Rectify(lambda x: torch.maximum(x, torch.zeros(()))),
    "leaky": lambda: nn.LeakyReLU(0.0),
    "prelu": lambda: nn.PReLU(init=0.0),
    "threshold": lambda: nn.Threshold(0, 0),
}


CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    "plain": conv,
    "grouped": lambda: plant(nn.Conv2d(4, 8, 3, groups=2), 2, 5),
    "depthwise": lambda: plant(nn.Conv2d(4, 8, 3, groups=4), 2, 5),
    "up": lambda: plant(nn.ConvTranspose2d(4, 8, 3), 2, 5),
    "up_grouped": lambda: plant(nn.ConvTranspose2d(4, 8, 3, stride=2, groups=2), 2, 5),
}


def spelt(*names: str) -> nn.Module:
    """Rectifiers by name, each behind a layer of its own."""
    layers = {name: nn.Sequential(linear(), SPELLINGS[name]()) for name in names}
    return Net(lambda m, x: [getattr(m, name)(x) for name in names], **layers)


def images(name: str, forward: Callable[..., Any], *expects: Expect, **layers: Callable[[], Any]) -> Case:
    """A case on 4 x 6 x 6 images."""
    return Case(name, lambda: Net(forward, **{k: v() for k, v in layers.items()}), ((4, 6, 6),), expects)


def tokens(name: str, forward: Callable[..., Any], *expects: Expect, **layers: Callable[[], Any]) -> Case:
    """A case on sequences of 5 tokens of width 6."""
    return Case(name, lambda: Net(forward, **{k: v() for k, v in layers.items()}), ((5, 6),), expects)


DEAD = (2, 5)
REORDERED = [6, 7, 2, 1, 4, 5, 3, 0]


def after_conv(units: int | Columns, axis: int | None = None) -> Expect:
    return Expect("relu", DEAD, units, "conv.weight", axis=axis)


def after_fc(units: int | Columns, axis: int | None = None, dead: tuple[int, ...] = DEAD) -> Expect:
    return Expect("relu", dead, units, "fc.weight", axis=axis)


# fmt: off
CASES = [
    Case("mlp", lambda: nn.Sequential(linear(), nn.ReLU(), plant(nn.Linear(8, 7), 0), nn.ReLU()), ((6,),),
         (Expect("1", DEAD, 1, "0.weight"), Expect("3", (0,), 1, "2.weight"))),
    *(Case(name, functools.partial(spelt, *spellings), ((6,),),
           tuple(Expect(f"{spelling}.1", DEAD, 1, f"{spelling}.0.weight") for spelling in spellings))
      for name, spellings in (("spellings", list(SPELLINGS)[:-1]), ("threshold", ["threshold"]))),
    # Convolutions
    Case(
        "cnn",
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3, bias=False), plant(nn.BatchNorm2d(8), 2, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            plant(nn.Conv2d(8, 6, 2), 1), nn.ReLU(), nn.Flatten(), plant(nn.Linear(6, 5), 3), nn.ReLU(),
        ),
        ((4, 6, 6),),
        (Expect("2", DEAD, 1, ...), Expect("5", (1,), 1, "4.weight"), Expect("8", (3,), 1, "7.weight")),
    ),
    images("residual", lambda m, x: m.relu(m.conv(x) + m.skip(x)), Expect("relu", DEAD, 1, ...), conv=conv,
           skip=lambda: nn.Conv2d(4, 8, 3, bias=False)),
    Case("convolutions", lambda: Net(lambda m, x: [m.plain(x), m.grouped(x), m.depthwise(x), m.up(x), m.up_grouped(x)],
                                     **{name: nn.Sequential(make(), nn.ReLU()) for name, make in CONVOLUTIONS.items()}),
         ((4, 6, 6),), tuple(Expect(f"{name}.1", DEAD, 1, f"{name}.0.weight") for name in CONVOLUTIONS)),
    tokens("conv1d", lambda m, x: m.relu(m.conv(x)), after_conv(1), conv=lambda: plant(nn.Conv1d(5, 8, 3), 2, 5)),
    tokens("conv1d_as_2d", lambda m, x: m.relu(m.conv(x.unsqueeze(2)).squeeze(2)), after_conv(1),
           conv=lambda: plant(nn.Conv2d(5, 8, (1, 3)), 2, 5)),
    images("weight_norm", lambda m, x: m.relu(m.conv(x)), Expect("relu", DEAD, 1, ...),
           conv=lambda: nn.utils.parametrizations.weight_norm(conv())),
    # Data movement between weight and rectifier
    images("nhwc_before", lambda m, x: m.relu(m.conv(x.permute(0, 3, 1, 2))), after_conv(1),
           conv=lambda: plant(nn.Conv2d(6, 8, 3), 2, 5)),
    images("nhwc_after", lambda m, x: m.relu(m.conv(x).permute(0, 2, 3, 1)), after_conv(3), conv=conv),
    images("nhwc_both", lambda m, x: m.relu(m.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)), after_conv(3),
           conv=lambda: plant(nn.Conv2d(6, 8, 3), 2, 5)),
    images("flattened", lambda m, x: m.relu(m.conv(x).flatten(1)), after_conv(runs(1, 8), axis=1), conv=conv),
    images("to_tokens", lambda m, x: m.relu(m.conv(x).flatten(2).transpose(1, 2)), after_conv(2), conv=conv),
    images("pooled", lambda m, x: m.relu(m.conv(x).mean((2, 3))), after_conv(1), conv=conv),
    images("padded", lambda m, x: m.relu(F.pad(m.conv(x), (1, 1, 1, 1))), after_conv(1), conv=conv),
    images("upsampled", lambda m, x: m.relu(F.interpolate(m.conv(x), scale_factor=2.0)), after_conv(1), conv=conv),
    images("sliced", lambda m, x: m.relu(m.conv(x)[:, 1:7, 1:-1]), Expect("relu", (1, 4), 1, "conv.weight"), conv=conv),
    images("shuffled_channels", lambda m, x: m.relu(m.conv(x).reshape(-1, 2, 4, 4, 4).transpose(1, 2).flatten(1, 2)),
           after_conv(lambda v: v.reshape(-1, 4, 2, 16).transpose(0, 3, 2, 1).reshape(-1, 8), axis=1), conv=conv),
    images("shuffled_pixels", lambda m, x: m.relu(F.pixel_shuffle(m.conv(x), 2)),
           after_conv(lambda v: np.moveaxis(v.reshape(-1, 2, 4, 2, 4, 2), (1, 3, 5), (3, 4, 5)).reshape(-1, 8), axis=1),
           conv=conv),
    images("dense", lambda m, x: m.relu(torch.cat([m.a(x), m.b(x)], 1)), Expect("relu", (1, 7), 1, ...),
           a=lambda: plant(nn.Conv2d(4, 6, 3), 1), b=lambda: plant(nn.Conv2d(4, 5, 3), 1)),
    tokens("heads", lambda m, x: m.relu(m.fc(x).reshape(-1, 5, 2, 4).transpose(1, 2)), after_fc(spread(1, 3), axis=1),
           fc=linear),
    tokens("gated", lambda m, x: operator.mul(*(f(v) for f, v in zip((m.relu, nn.Identity()), m.fc(x).chunk(2, -1),
           strict=True))), Expect("relu", (2,), 2, "fc.weight"), fc=linear),
    tokens("halves", lambda m, x: [f(v) for f, v in zip((m.relu, m.act), m.fc(x).chunk(2, -1), strict=True)],
           Expect("relu", (2,), 2, "fc.weight"), Expect("act", (1,), 2, "fc.weight"), fc=linear),
    tokens("first_token", lambda m, x: m.relu(m.fc(x)[:, 0]), after_fc(1), fc=linear),
    tokens("one_unit", lambda m, x: m.relu(m.fc(x)[..., 3]) + m.act(m.fc(x)[..., 5]),
           Expect("relu", (), lambda v: v.reshape(-1, 1), "fc.weight"),
           Expect("act", (0,), lambda v: v.reshape(-1, 1), "fc.weight"), fc=linear),
    tokens("squeezed", lambda m, x: m.relu(m.fc(x).squeeze(2)), after_fc(lambda v: v.reshape(-1, 1), dead=()),
           fc=lambda: nn.Linear(6, 1)),
    tokens("reordered", lambda m, x: m.relu(m.fc(x)[..., REORDERED]),
           Expect("relu", (2, 5), 2, "fc.weight"), fc=linear),
    # Other products
    tokens("batch_seq_hidden", lambda m, x: m.relu(m.fc(x)), after_fc(2), fc=linear),
    tokens("einsum", lambda m, x: m.relu(torch.einsum("nsd,dh->nhs", x, m.fc)), Expect("relu", DEAD, 1, "fc"),
           fc=lambda: matrix(6, 8, silent=DEAD)),
    tokens("einsum_heads", lambda m, x: m.relu(torch.einsum("nsd,dhe->nhse", x, m.fc)),
           Expect("relu", (1, 5), spread(1, 3), "fc", axis=1), fc=lambda: matrix(6, 2, 4, silent=(1,))),
    tokens("weight_on_the_left", lambda m, x: m.relu(torch.matmul(m.fc, x)), Expect("relu", DEAD, 1, "fc"),
           fc=lambda: matrix(5, 8, silent=DEAD).t().contiguous()),
    tokens("experts", lambda m, x: m.relu(torch.matmul(x.unsqueeze(2), m.fc).squeeze(2)),
           Expect("relu", (1, 9, 17, 25, 33), spread(1, 2), "fc", axis=1), fc=lambda: matrix(5, 6, 8, silent=(1,))),
    tokens("position_bias", lambda m, x: m.relu(m.fc(x) + m.place), after_fc(2), fc=linear,
           place=lambda: torch.randn(5, 8)),
    tokens("lstm", lambda m, x: m.relu(m.fc(x)[0]), Expect("relu", (), 2, ...),
           fc=lambda: nn.LSTM(6, 4, batch_first=True, bidirectional=True)),
    # Norms
    tokens("layer_norm", lambda m, x: m.relu(m.norm(m.fc(x))), after_fc(2), fc=lambda: nn.Linear(6, 8),
           norm=lambda: plant(nn.LayerNorm(8), 2, 5)),
    images("layer_norm_nhwc", lambda m, x: m.relu(m.norm(m.conv(x).permute(0, 2, 3, 1))), after_conv(3),
           conv=lambda: nn.Conv2d(4, 8, 3), norm=lambda: plant(nn.LayerNorm(8), 2, 5)),
    images("group_norm", lambda m, x: m.relu(m.norm(m.conv(x))), after_conv(1), conv=lambda: nn.Conv2d(4, 8, 3),
           norm=lambda: plant(nn.GroupNorm(2, 8), 2, 5)),
    images("instance_norm", lambda m, x: m.relu(m.norm(m.conv(x))), after_conv(1), conv=lambda: nn.Conv2d(4, 8, 3),
           norm=lambda: plant(nn.InstanceNorm2d(8, affine=True), 2, 5)),
    images("batch_norm_first", lambda m, x: m.relu(m.norm(x)), Expect("relu", (1,), 1, ...),
           norm=lambda: plant(nn.BatchNorm2d(4), 1)),
    # Attention
    *(Case(f"encoder_{name}", functools.partial(encoder, batch_first=first, norm_first=first), ((5, 8),),
           (Expect("layer.activation", (1, 7), 2, "layer.linear1.weight"),))
      for name, first in (("batch_first", True), ("sequence_first", False))),
    # One module, many places
    Case("twice", lambda: Net(lambda m, a, b: m.relu(m.fc(a)) - m.relu(m.fc(b)), fc=linear()), ((6,), (6,)),
         (after_fc(1),)),
    Case("twice_in_a_row", lambda: Net(lambda m, x: m.relu(m.fc(m.relu(m.fc(x)))), fc=plant(nn.Linear(6, 6), 2, 5)),
         ((6,),), (after_fc(1),)),
    # No weight upstream
    tokens("arithmetic", lambda m, x: m.relu(x - 0.5) + m.act(-x), Expect("relu", (), 1, assumed=True),
           Expect("act", (), 1, assumed=True)),
    tokens("scores", lambda m, x: m.relu(x @ x.transpose(1, 2)), Expect("relu", (), 1, assumed=True)),
    # Low precision
    *(Case(dtype, lambda: Net(lambda m, x: m.act(m.fc(m.relu(m.conv(x)).amax((2, 3)))), conv=conv(),
                              fc=plant(nn.Linear(8, 6), 1)),
           ((4, 6, 6),), (after_conv(1), Expect("act", (1,), 1, "fc.weight")), dtype=dtype, margin=margin)
      for dtype, margin in (("float16", 0.01), ("bfloat16", 0.06))),
]
# fmt: on


@pytest.fixture(params=BOTH)
def exporter(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "dynamo":
        pytest.importorskip("onnxscript")
    fast = torch.backends.mha.get_fastpath_enabled()  # a fused operator that cannot be exported
    torch.backends.mha.set_fastpath_enabled(False)
    yield request.param
    torch.backends.mha.set_fastpath_enabled(fast)


SLOW = {"nhwc_before", "nhwc_after", "padded", "upsampled", "pooled", "first_token", "lstm", "encoder_sequence_first"}
SLOW |= {"instance_norm", "batch_norm_first", "twice_in_a_row", "dense", "residual", "conv1d", "gated", "scores"}
"""What torch.export, which takes its time, writes in the same way as other cases."""

RUNS = [
    pytest.param(
        case,
        exporter,
        id=f"{case.name}-{exporter}",
        marks=[pytest.mark.slow] if exporter == "dynamo" and case.name in SLOW else [],
    )
    for case in CASES
    for exporter in BOTH
]
assert {case.name for case in CASES} >= SLOW


@pytest.mark.parametrize(("case", "exporter"), RUNS, indirect=["exporter"])
def test_a_site_is_what_pytorch_shows(case: Case, exporter: str) -> None:
    arrays = arrays_of(case)
    model = export(module_of(case), [array[:2] for array in arrays], exporter)
    data = {i.name: as_numpy(a, case.dtype) for i, a in zip(model.graph.input, arrays, strict=True)}
    feeds = [tuple(array[i : i + 1] for array in arrays) for i in range(SAMPLES)]
    module = module_of(case)
    check(relu_audit.audit(model, data), model, module, shown(module, feeds), case)


def test_sequences_of_any_length(exporter: str) -> None:
    case = tokens("lengths", lambda m, x: m.relu(m.norm(m.fc(x))), after_fc(2), fc=lambda: nn.Linear(6, 8),
                  norm=lambda: plant(nn.LayerNorm(8), 2, 5))  # fmt: skip
    any_size(case, exporter, {0: "n", 1: "t"}, [(3, 5, 6), (2, 9, 6), (4, 2, 6), (1, 7, 6)])


def test_images_of_any_size(exporter: str) -> None:
    case = images("sizes", lambda m, x: m.act(m.fc(m.relu(m.conv(x)).amax((2, 3)))), after_conv(1),
                  Expect("act", (1,), 1, "fc.weight"), conv=conv, fc=lambda: plant(nn.Linear(8, 6), 1))  # fmt: skip
    any_size(case, exporter, {0: "n", 2: "h", 3: "w"}, [(2, 4, 6, 6), (2, 4, 9, 7), (1, 4, 5, 8), (3, 4, 6, 6)])


def test_a_batch_on_the_second_axis(exporter: str) -> None:
    def network() -> nn.Module:
        return Net(lambda m, x: m.relu(m.fc(m.lstm(x)[0])), lstm=nn.LSTM(6, 6), fc=linear())

    case = Case("time_major", network, ((5, 6),), (after_fc(2),))
    array = arrays_of(case)[0].transpose(0, 1)
    model = export(module_of(case), [array[:, :2]], exporter, {1: "n"})
    module = module_of(case)
    audit = relu_audit.audit(model, {model.graph.input[0].name: array.numpy()})
    check(audit, model, module, shown(module, [(one,) for one in array.split(1, 1)]), case)


def any_size(case: Case, exporter: str, axes: Mapping[int, str], shapes: list[tuple[int, ...]]) -> None:
    module = module_of(case)
    torch.manual_seed(12)
    batches = [torch.randn(shape) for shape in shapes]
    model = export(module_of(case), batches[:1], exporter, axes)
    name = model.graph.input[0].name
    audit = relu_audit.audit(model, [{name: batch.numpy()} for batch in batches])
    check(audit, model, module, shown(module, [(x,) for batch in batches for x in batch.split(1)]), case)


class Branch(nn.Module):
    """One layer or another, by the sample; written so that torch.jit can compile it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.other = linear(), plant(nn.Linear(6, 8), 1, 4)
        self.relu, self.act = nn.ReLU(), nn.ReLU()

    def forward(self, x):
        if bool(x.sum() > 0):
            return self.relu(self.fc(x))
        return self.act(self.other(x))


class Condition(Branch):
    """The same for torch.export."""

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: self.relu(self.fc(x)), lambda x: self.act(self.other(x)), (x,))


class Steps(nn.Module):
    """A recurrence written out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.back = linear(), nn.Linear(8, 8, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x):
        h = torch.zeros(x.size(0), 8)
        for i in range(x.size(1)):
            h = self.relu(self.fc(x[:, i]) + self.back(h))
        return h


BRANCHES = (Expect("relu", DEAD, 1, "fc.weight"), Expect("act", (1, 4), 1, "other.weight"))


@pytest.mark.parametrize(("name", "exporter"), [("scripted", "script"), ("cond", "dynamo")])
def test_a_branch_counts_what_takes_it(name: str, exporter: str) -> None:
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    case = Case(name, Branch, ((6,),), BRANCHES)
    (array,) = arrays_of(case)
    if exporter == "dynamo":
        model = export(module_of(Case(name, Condition, (), ())), [array[:1]], exporter, {})
    else:
        model = export(torch.jit.script(module_of(case)), [array[:1]], exporter, {})
    audit = relu_audit.audit(model, [{model.graph.input[0].name: one.numpy()} for one in array.split(1)])
    assert {site.scope for site in audit.sites} != {""}
    module = module_of(case)
    check(audit, model, module, shown(module, [(one,) for one in array.split(1)]), case)


def test_every_step_of_a_scripted_loop_counts() -> None:
    case = Case("steps", Steps, ((5, 6),), (Expect("relu", DEAD, 1, ...),))
    (array,) = arrays_of(case)
    model = export(torch.jit.script(module_of(case)), [array[:2]], "script", {0: "n", 1: "t"})
    audit = relu_audit.audit(model, {"x0": array.numpy()})
    module = module_of(case)
    check(audit, model, module, shown(module, [(one,) for one in array.split(1)]), case)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_units_are_units(directions: int, batch_first: bool, exporter: str) -> None:
    torch.manual_seed(11)
    rnn = nn.RNN(6, 8, nonlinearity="relu", batch_first=batch_first, bidirectional=directions == 2)
    with torch.no_grad():
        rnn.bias_ih_l0[[2, 5]] = -50
        if directions == 2:
            rnn.bias_ih_l0_reverse[[0, 7]] = -50
    x = torch.randn(SAMPLES, 5, 6)
    turn = (lambda v: v) if batch_first else (lambda v: v.transpose(0, 1))
    module = Net(lambda m, x: turn(m.rnn(turn(x))[0]), rnn=rnn).eval()
    model = export(module, [x[:2]], exporter)
    with torch.no_grad():
        out = module(x).numpy()  # [samples, steps, directions x units]
    audit = relu_audit.audit(model, {model.graph.input[0].name: x.numpy()})
    assert [(site.samples, site.positions) for site in audit.sites] == [(SAMPLES, SAMPLES * 5)] * len(audit.sites)
    assert not any(site.assumed for site in audit.sites)
    fired = [count for site in audit.sites for count in site.fired_positions]
    assert fired == (out > 0).sum((0, 1)).tolist()
    assert [n for site in audit.sites for n in site.fired_samples] == (out > 0).any(1).sum(0).tolist()
    dead = [status == "dead" for site in audit.sites for status in site.statuses]
    assert np.flatnonzero(dead).tolist() == [2, 5, 8, 15][: 2 * directions]
