"""Samples together against samples alone, in plain onnxruntime: what a proof claims, checked in another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - the other way to run a model, beside the package

ROWS = 4


def exposed(model: onnx.ModelProto, tensors: Sequence[str]) -> ort.InferenceSession:
    """The model with some values of its main graph among its results, run without graph optimisation."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made = {name for node in copy.graph.node for name in node.output}
    have = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name in made - have)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


def row(feeds: Mapping[str, np.ndarray], axes: Mapping[str, int | None], index: int) -> dict[str, np.ndarray]:
    """The feeds of one sample."""
    return {
        name: array if axes.get(name) is None else np.take(array, [index], axis=axes[name])
        for name, array in feeds.items()
    }


def differences(
    model: onnx.ModelProto,
    feeds: Mapping[str, np.ndarray],
    axes: Mapping[str, int | None],
    tensors: Sequence[str],
    *,
    results: bool = True,
) -> list[str]:
    """Values of which a run of all samples shows something else than the runs of each sample by itself.

    Args:
        model: The model.
        feeds: All samples.
        axes: For each input the axis that holds samples; None for an input that is the same for all.
        tensors: Values of the main graph to look at.
        results: Whether the model's own results are looked at as well.
    """
    session = exposed(model, tensors)
    own = {value.name for value in model.graph.output}
    names = [value.name for value in session.get_outputs() if results or value.name not in own or value.name in tensors]
    count = next(feeds[name].shape[axis] for name, axis in axes.items() if axis is not None)
    together = session.run(names, dict(feeds))
    alone = [session.run(names, row(feeds, axes, index)) for index in range(count)]
    return [
        name
        for name, whole, *parts in zip(names, together, *alone, strict=True)
        if isinstance(whole, np.ndarray) and whole.dtype.kind in "fiub" and not joined(parts, whole)
    ]


def joined(parts: Sequence[np.ndarray], whole: np.ndarray) -> bool:
    """Whether a value is its parts, end to end along some axis, within rounding."""
    if any(part.ndim != whole.ndim for part in parts):
        return False
    if not whole.ndim:
        return all(np.allclose(part, whole, rtol=1e-3, atol=1e-4) for part in parts)
    scale = max((float(np.abs(part[np.isfinite(part)]).max(initial=0.0)) for part in parts), default=0.0)
    for axis in range(whole.ndim):
        try:
            both = np.concatenate(parts, axis=axis)
        except ValueError:
            continue
        if both.shape == whole.shape and np.allclose(both, whole, rtol=1e-3, atol=1e-4 * max(scale, 1), equal_nan=True):
            return True
    return False
