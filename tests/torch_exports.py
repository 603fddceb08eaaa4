"""PyTorch modules with hooks on their rectifiers, both exporters, and an audit held against what the hooks saw."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from relu_audit.records import Audit, SiteAudit
from tests.oracle import Columns

torch.set_num_threads(1)  # these models are small, and other tests run beside

SAMPLES = 40
Value = Any  # a torch tensor


class Rectify(nn.Module):
    """A rectifier by any spelling, as a module that a hook can be put on."""

    def __init__(self, function: Callable[[Value], Value]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Value) -> Value:
        return self.function(x)


class Net(nn.Module):
    """A module from named layers and a function of them and the inputs; it always has ``relu`` and ``act``."""

    def __init__(self, forward: Callable[..., Value], **layers: Any) -> None:
        super().__init__()
        self.relu, self.act = nn.ReLU(), nn.ReLU()
        for name, layer in layers.items():
            setattr(self, name, nn.Parameter(layer) if isinstance(layer, torch.Tensor) else layer)
        self.function = forward

    def forward(self, *inputs: Value) -> Value:
        return self.function(self, *inputs)


RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Threshold, nn.LeakyReLU, nn.PReLU, Rectify)


@dataclass(frozen=True)
class Expect:
    """A site: the rectifier that it is, its units in the value as PyTorch has it, and where they come from.

    Attributes:
        at: The rectifier module by path; all its calls belong to the site.
        dead: The planted units; others may be dead as well.
        units: Unit axis, or the way to [positions, units].
        weight: Parameter that bears the units; its values are compared, not its name. None where there is none, and
            ``...`` where the exporter folds something else into it.
        axis: Unit axis in the file, where that is not ``units``.
    """

    at: str
    dead: tuple[int, ...]
    units: int | Columns
    weight: Any = None
    assumed: bool = False
    axis: int | None = None


BOTH = ("dynamo", "script")


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    expects: tuple[Expect, ...]
    margin: float = 1e-4
    dtype: str = "float32"


def plant(layer: Any, *units: int) -> Any:
    """Silence some units of a layer by its bias; a norm also by its scale."""
    with torch.no_grad():
        if isinstance(layer, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
            layer.weight[list(units)] = 0.1
        layer.bias[list(units)] = -50.0
    return layer


def matrix(*shape: int, silent: tuple[int, ...] = ()) -> Value:
    """A free-standing weight whose last axis holds the units; the silent ones are zero."""
    weight = torch.randn(*shape)
    weight[..., list(silent)] = 0
    return weight


def module_of(case: Case) -> nn.Module:
    torch.manual_seed(11)
    return case.build().to(getattr(torch, case.dtype)).eval()


def arrays_of(case: Case) -> list[Value]:
    torch.manual_seed(12)
    return [torch.randn(SAMPLES, *shape).to(getattr(torch, case.dtype)) for shape in case.shapes]


def as_numpy(tensor: Value, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return tensor.float().numpy().astype(ml_dtypes.bfloat16)
    return tensor.numpy()


def export(module: nn.Module, examples: list[Value], exporter: str, dynamic: Mapping[int, str] | None = None) -> Any:
    """The model as one of PyTorch's exporters writes it, with the batch and perhaps other axes dynamic."""
    axes = {0: "n"} if dynamic is None else dynamic
    names = [f"x{i}" for i in range(len(examples))]
    with torch.no_grad():
        if exporter == "script":
            file = io.BytesIO()
            every = {name: dict(axes) for name in names}
            torch.onnx.export(module, tuple(examples), file, dynamo=False, input_names=names, dynamic_axes=every)
            return onnx.load_from_string(file.getvalue())
        sizes = {axis: torch.export.Dim(name) for axis, name in axes.items()}
        nested = (tuple(sizes for _ in examples),) if isinstance(module, Net) else tuple(sizes for _ in examples)
        program = torch.onnx.export(
            module, tuple(examples), dynamo=True, input_names=names, dynamic_shapes=nested, verbose=False
        )
        return program.model_proto


def shown(module: nn.Module, feeds: list[tuple[Value, ...]]) -> list[dict[str, list[tuple[np.ndarray, np.ndarray]]]]:
    """What every rectifier was given and gave, by path and call, for one sample after the other."""
    calls: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    pending: dict[str, np.ndarray] = {}

    def before(path: str) -> Callable[..., None]:
        return lambda _, given: pending.__setitem__(path, given[0].detach().double().numpy().copy())

    def after(path: str) -> Callable[..., None]:
        def record(_module: nn.Module, _given: Any, out: Value) -> None:
            calls.setdefault(path, []).append((pending[path], out.detach().double().numpy().copy()))

        return record

    for path, layer in module.named_modules():
        if isinstance(layer, RECTIFIERS):
            layer.register_forward_pre_hook(before(path))
            layer.register_forward_hook(after(path))
    samples = []
    with torch.no_grad():
        for feed in feeds:
            calls = {}
            module(*feed)
            samples.append(calls)
    return samples


def columns(value: np.ndarray, units: int | Columns) -> np.ndarray:
    return units(value) if callable(units) else np.moveaxis(value, units, -1).reshape(-1, value.shape[units])


def check(audit: Audit, model: onnx.ModelProto, module: nn.Module, samples: Any, case: Case) -> None:
    """Every site is what PyTorch did; a value closer to zero than the margin may fall on either side."""
    assert not audit.skipped
    assert len(audit.sites) == len(case.expects), [(site.tensor, site.op, site.layout) for site in audit.sites]
    for site, expect in zip(audit.sites, case.expects, strict=True):
        said = f"{site.tensor} {site.op} [{site.layout}] {site.axis_from}"
        reached = [
            tuple(np.concatenate([columns(value, expect.units) for value in side]) for side in zip(*calls, strict=True))
            for calls in (sample.get(expect.at, []) for sample in samples)
            if calls
        ]
        sure = np.array([((out > 0) & (given > case.margin)).any(0) for given, out in reached])
        maybe = np.array([(given > -case.margin).any(0) for given, out in reached])
        given, out = (np.concatenate(side) for side in zip(*reached, strict=True))
        assert site.units == given.shape[1], said
        assert (site.samples, site.positions) == (len(reached), len(given)), said
        dead = tuple(np.flatnonzero(~(out > 0).any(0)).tolist())
        assert set(expect.dead) <= set(dead), f"{said}: planted {expect.dead}, but PyTorch shows {dead}"
        assert site.dead == dead, said
        between(site.fired_samples, sure.sum(0), maybe.sum(0), said)
        between(site.fired_positions, ((out > 0) & (given > case.margin)).sum(0), (given > -case.margin).sum(0), said)
        assert np.allclose(site.peak, out.max(0), rtol=1e-2 if case.margin > 1e-4 else 1e-3, atol=case.margin), said
        assert site.assumed == expect.assumed, said
        axis = expect.axis if expect.axis is not None or callable(expect.units) else expect.units
        assert axis is None or site.unit_axis == axis, said
        check_weight(site, model, module, expect.weight)


def between(told: tuple[int, ...], low: np.ndarray, high: np.ndarray, said: str) -> None:
    assert ((np.array(told) >= low) & (np.array(told) <= high)).all(), f"{said}: {told} is not in {low} .. {high}"


def check_weight(site: SiteAudit, model: onnx.ModelProto, module: nn.Module, parameter: Any) -> None:
    """The weight the site names is in the file and holds the parameter's values, in whatever arrangement."""
    held = {weight.name: weight for weight in model.graph.initializer}
    held |= {n.output[0]: n.attribute[0].t for n in model.graph.node if n.op_type == "Constant"}
    if parameter is None:
        assert site.weight is None
        return
    assert site.weight in held
    if parameter is not ...:
        values = numpy_helper.to_array(held[site.weight]).astype(np.float64).ravel()
        wanted = module.get_parameter(parameter).detach().double().numpy().ravel()
        assert values.shape == wanted.shape, site.weight
        assert np.allclose(np.sort(values), np.sort(wanted), atol=1e-6), site.weight
