"""A brute-force second opinion: no reductions in the graph, no batches, no axis table, no merging; every value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - an oracle must not go through the code it judges

from relu_audit.records import Audit, SiteAudit

Columns = Callable[[np.ndarray], np.ndarray]
Units = int | None | Columns
"""The unit axis of a value, None where the whole value is one unit, or its own way to [positions, units]."""


@dataclass(frozen=True)
class Truth:
    """What is true of a rectifier, unit by unit; fields are named as in ``SiteAudit``.

    ``margin`` is how close any pre-activation comes to zero: what rounding may not turn over.
    """

    samples: int
    positions: int
    fired_samples: list[int]
    fired_positions: list[int]
    first_fired: list[int | None]
    mean: list[float]
    peak: list[float]
    trough: list[float]
    pre_peak: list[float]
    dead: list[int]
    always_on: list[int]
    constant: list[int]
    rare: list[int]
    margin: float


def runs(axis: int, units: int) -> Columns:
    """Units that own equal runs of consecutive entries of one axis, as channels do after Flatten."""

    def columns(value: np.ndarray) -> np.ndarray:
        size = value.shape[axis]
        cut = np.moveaxis(value, axis, -1).reshape(-1, units, size // units)
        return np.moveaxis(cut, 1, -1).reshape(-1, units)

    return columns


def spread(*axes: int) -> Columns:
    """Units that spread over several axes, the first one outermost."""

    def columns(value: np.ndarray) -> np.ndarray:
        moved = np.moveaxis(value, axes, range(-len(axes), 0))
        return moved.reshape(-1, int(np.prod([value.shape[axis] for axis in axes])))

    return columns


def one_by_one(data: Mapping[str, np.ndarray], axes: Mapping[str, int] | None = None) -> list[dict[str, np.ndarray]]:
    """One feed per sample, each with a batch axis of one."""
    axes = axes or {}
    samples = {array.shape[axes.get(name, 0)] for name, array in data.items()}
    assert len(samples) == 1, "arrays disagree about the number of samples"
    return [
        {name: np.take(array, [i], axis=axes.get(name, 0)) for name, array in data.items()}
        for i in range(samples.pop())
    ]


def values(
    model: onnx.ModelProto, feeds: Sequence[Mapping[str, np.ndarray]], names: Sequence[str]
) -> list[dict[str, np.ndarray]]:
    """Values of some tensors on every feed, from onnxruntime without any optimisation."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    outputs = {output.name for output in exposed.graph.output}
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in outputs)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [dict(zip(names, session.run(list(names), dict(feed)), strict=True)) for feed in feeds]


def oracle(
    model: onnx.ModelProto,
    feeds: Sequence[Mapping[str, np.ndarray]],
    units: Mapping[str, Units],
    *,
    rare_below: float = 0.05,
    together: Sequence[Sequence[str]] = (),
) -> dict[str, Truth]:
    """The truth about each rectified tensor.

    Args:
        model: The model.
        feeds: One feed per sample.
        units: Unit axis by rectified tensor.
        rare_below: Share of samples below which a unit is rare.
        together: Groups of tensors whose positions add up, because one weight made them; the first names the group.
    """
    groups = [tuple(group) for group in together]
    grouped = {name for group in groups for name in group}
    groups += [(name,) for name in units if name not in grouped]
    sources = {name: _source(model, name) for name in units}
    shown = values(model, feeds, [*units, *sources.values()])
    found: dict[str, Truth] = {}
    for group in groups:
        outs = [np.concatenate([_columns(one[name], units[name]) for name in group]) for one in shown]
        befores = [np.concatenate([_columns(one[sources[name]], units[name]) for name in group]) for one in shown]
        found[group[0]] = _truth(outs, befores, rare_below)
    return found


def _truth(outs: Sequence[np.ndarray], befores: Sequence[np.ndarray], rare_below: float) -> Truth:
    """From one [positions, units] table per sample."""
    fired = np.array([(y > 0).any(axis=0) for y in outs])
    everything, before = np.concatenate(outs).astype(np.float64), np.concatenate(befores).astype(np.float64)
    peak, trough = everything.max(axis=0), everything.min(axis=0)
    dead = ~(everything > 0).any(axis=0)
    constant = (everything == everything[0]).all(axis=0) & (everything[0] != 0)
    always_on = (everything > 0).all(axis=0) & ~constant
    share = fired.mean(axis=0)
    rare = ~dead & ~constant & ~always_on & (share < rare_below)
    return Truth(
        samples=len(outs),
        positions=len(everything),
        fired_samples=fired.sum(axis=0).tolist(),
        fired_positions=(everything > 0).sum(axis=0).tolist(),
        first_fired=[int(np.argmax(unit)) if unit.any() else None for unit in fired.T],
        mean=everything.mean(axis=0).tolist(),
        peak=peak.tolist(),
        trough=trough.tolist(),
        pre_peak=before.max(axis=0).tolist(),
        dead=np.flatnonzero(dead).tolist(),
        always_on=np.flatnonzero(always_on).tolist(),
        constant=np.flatnonzero(constant).tolist(),
        rare=np.flatnonzero(rare).tolist(),
        margin=float(np.abs(before).min()),
    )


def _columns(value: np.ndarray, units: Units) -> np.ndarray:
    if callable(units):
        return units(value)
    if units is None:
        return value.reshape(-1, 1)
    return np.moveaxis(value, units, -1).reshape(-1, value.shape[units])


def _source(model: onnx.ModelProto, tensor: str) -> str:
    """The rectified value: the first input of the node that is not a constant."""
    constants = {weight.name for weight in model.graph.initializer}
    constants |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    node = next(node for node in model.graph.node if tensor in node.output)
    return next(name for name in node.input if name not in constants)


EXACT = (
    "samples",
    "positions",
    "fired_samples",
    "fired_positions",
    "first_fired",
    "dead",
    "always_on",
    "constant",
    "rare",
)


def assert_agrees(site: SiteAudit, truth: Truth, *, exact: bool = True, near_misses: bool = True) -> None:
    """A site says what is true: counts and units exactly, means to 1e-4, extrema exactly or to 1e-5 of their scale."""
    for name in EXACT:
        told, true = getattr(site, name), getattr(truth, name)
        true = tuple(true) if isinstance(true, list) else true
        assert told == true, f"{site.tensor}: {name} is {told}, not {true}"
    assert site.units == len(truth.peak), f"{site.tensor}: {site.units} units, not {len(truth.peak)}"
    assert not site.faulty, f"{site.tensor}: units {site.faulty} are not faulty"
    assert not site.unseen, f"{site.tensor}: units {site.unseen} were seen"
    slack = 0 if exact else 1e-5
    for name in ("peak", "trough", "pre_peak") if near_misses else ("peak", "trough"):
        told, true = np.array(getattr(site, name), np.float64), np.array(getattr(truth, name))
        np.testing.assert_allclose(told, true, rtol=slack, atol=slack, err_msg=f"{site.tensor}: {name}")
    told = np.array(site.mean, np.float64)
    np.testing.assert_allclose(told, truth.mean, rtol=1e-4, atol=0 if exact else 1e-6, err_msg=f"{site.tensor}: mean")


def assert_all_agree(
    audit: Audit, truths: Mapping[str, Truth], *, exact: bool = True, near_misses: bool = True
) -> None:
    """Every site and nothing but the sites; see :func:`assert_agrees`."""
    assert {site.tensor for site in audit.sites} == set(truths)
    for site in audit.sites:
        assert_agrees(site, truths[site.tensor], exact=exact, near_misses=near_misses)
