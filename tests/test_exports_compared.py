"""One network as two exporters, several opsets and two trainings write it: layers are matched, whatever their names."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest

from relu_audit import Audit, audit, compare

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the exporters' own and torch.jit's
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

SAMPLES = 300
EXPORTS = ((False, 14), (True, 18), (True, 20))
"""With ``dynamo`` or without, and the opset."""


class Residual(nn.Module):
    """Blocks of equal size with a normalisation that exporters fold into the convolution, and round each in its way."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()) for _ in range(4)
        )
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Linear(6, 6)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return torch.relu(self.head(x.mean((2, 3))))


def dense() -> nn.Module:
    return nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(8, 8), nn.ReLU())))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 3)


def mixed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3), nn.Hardtanh(0, 1), nn.Flatten(),
        nn.Linear(128, 8), nn.Threshold(0, 0), nn.Linear(8, 8), nn.ReLU(),
    )  # fmt: skip


NETS = {
    "dense over tokens": (dense, (5, 8)),
    "an encoder": (encoder, (5, 8)),
    "residual blocks": (Residual, (3, 8, 8)),
    "many spellings": (mixed, (3, 8, 8)),
}


def trained(name: str, seed: int, killed: int) -> nn.Module:
    """The network with random weights and a dead unit in most layers; in the first of them this many more."""
    generator = torch.Generator().manual_seed(seed)
    module = NETS[name][0]().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4 + 0.01)
        for path, layer in module.named_modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=generator) + 0.5)
                layer.weight.abs_()
            if isinstance(layer, nn.Linear | nn.BatchNorm2d) and "attn" not in path and "linear2" not in path:
                layer.bias[: 1 + killed] = -100.0
                killed = 0
    return module


@cache
def audited(name: str, seed: int, killed: int, dynamo: bool, opset: int) -> Audit:
    module, shape = trained(name, seed, killed), NETS[name][1]
    file, example = io.BytesIO(), (torch.zeros(2, *shape),)
    if dynamo:
        dynamic = ({0: torch.export.Dim("n", min=2, max=4096)},)
        torch.onnx.export(
            module, example, dynamic_shapes=dynamic, opset_version=opset, verbose=False, dynamo=True
        ).save(file)
    else:
        axes = {"x": {0: "n"}}
        torch.onnx.export(
            module, example, file, input_names=["x"], dynamic_axes=axes, opset_version=opset, dynamo=False
        )
    model = onnx.load_from_string(file.getvalue())
    data = np.random.default_rng(0).standard_normal((SAMPLES, *shape)).astype(np.float32)
    return audit(model, {model.graph.input[0].name: data})


def pairs() -> Iterator[Any]:
    for name in NETS:
        for old, new in itertools.permutations(EXPORTS, 2):
            yield pytest.param(name, old, new, id=f"{name} from {old} to {new}")


@pytest.mark.parametrize(("name", "old", "new"), list(pairs()))
def test_export_of_the_same_weights_shows_just_what_died(
    name: str, old: tuple[bool, int], new: tuple[bool, int]
) -> None:
    before = audited(name, 0, 0, *old)
    again, worse = audited(name, 0, 0, *new), audited(name, 0, 2, *new)
    assert before.dead > 0
    found = compare(before, again)
    assert (found.added, found.removed, found.outcome) == ((), (), "unchanged")
    assert len(found.layers) == len(before.sites) >= 3
    found = compare(before, worse)
    assert found.total("died") >= 2
    assert (found.added, found.removed) == ((), ())
    told = {(site.tensor, unit) for site in worse.sites for unit in site.dead}
    known = {(site.tensor, unit) for site in again.sites for unit in site.dead}
    assert {(layer.tensor, unit) for layer in found.layers for unit in layer.died} == told - known


@pytest.mark.parametrize("name", NETS)
def test_export_of_other_weights_by_another_exporter_is_matched_or_inconclusive(name: str) -> None:
    before, after = audited(name, 0, 0, False, 14), audited(name, 1, 1, True, 18)
    found = compare(before, after)
    assert found.worse or found.reasons
    order = {site.tensor: i for i, site in enumerate(after.sites)}
    was = {one.tensor: one.was.tensor for one in found.renamed}
    places = {site.tensor: i for i, site in enumerate(before.sites)}
    assert all(order[layer.tensor] == places[was.get(layer.tensor, layer.tensor)] for layer in found.layers)
