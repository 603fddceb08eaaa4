"""What must hold of every pruning, whatever the model: judged by running both models outside the package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - a judge must not go through the code it judges
from onnx import numpy_helper

import relu_audit

Source = str | bytes | onnx.ModelProto
Feed = Mapping[str, np.ndarray]


def rows_audited(model: Any, data: Any) -> relu_audit.Audit:
    """An audit in which each row is a sample, also where rows would change each other in one run."""
    try:
        return relu_audit.audit(model, data)
    except relu_audit.AuditError as error:
        if error.slug != "samples-mixed":
            raise
        return relu_audit.audit(model, data, samples="rows")


@dataclass(frozen=True)
class Judged:
    """An audit, the pruning made of it, and what both say about dead units."""

    audit: relu_audit.Audit
    pruned: Any

    @property
    def dead(self) -> set[tuple[str, int]]:
        return {(site.tensor, unit) for site in self.audit.sites for unit in site.dead}

    @property
    def removed(self) -> set[tuple[str, int]]:
        return {(one.tensor, one.unit) for one in self.pruned.plan.removed}

    @property
    def kept(self) -> dict[tuple[str, int], str]:
        return {(one.tensor, one.unit): one.slug for one in self.pruned.plan.kept}

    @property
    def dead_removed(self) -> set[tuple[str, int]]:
        return self.dead & self.removed


def prune(model: onnx.ModelProto, data: Feed, **options: object) -> Judged:
    """Audit, prune, and check everything that holds without running the models."""
    audit = rows_audited(model, data)
    judged = Judged(audit, relu_audit.prune(model, audit, data=data, **options))  # type: ignore[attr-defined]
    assert_accounted(judged)
    assert_same_interface(model, judged.pruned.model)
    assert_cuts_make_the_weights(model, judged.pruned)
    if judged.removed:
        assert elements(judged.pruned.model) < elements(model)
    again = rows_audited(judged.pruned.model, data)
    assert again.dead <= audit.dead - len(judged.dead_removed), "units are dead that the plan said were gone"
    return judged


def assert_accounted(judged: Judged) -> None:
    """Every dead unit is removed or kept, and nothing is told twice; kept units have a reason."""
    plan = judged.pruned.plan
    told = Counter((one.tensor, one.unit) for one in (*plan.removed, *plan.kept))
    assert not [unit for unit, times in told.items() if times > 1], "told twice"
    assert judged.dead <= set(told), f"not accounted for: {sorted(judged.dead - set(told))}"
    units = {(site.tensor, unit) for site in judged.audit.sites for unit in range(site.units)}
    assert set(told) <= units, f"no such units: {sorted(set(told) - units)}"
    assert all(one.slug and one.slug == one.slug.lower() and " " not in one.slug for one in plan.kept)
    assert all(one.detail for one in plan.kept)


def assert_same_interface(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """The checker has nothing to say; inputs and outputs keep names, types and ranks, and sizes that were given."""
    onnx.checker.check_model(after, full_check=True)
    for old, new in ((open_inputs(before), open_inputs(after)), (before.graph.output, after.graph.output)):
        for a, b in zip(map(interface, old), map(interface, new), strict=True):
            assert (b[0], b[1], len(b[2])) == (a[0], a[1], len(a[2]))
            assert all(isinstance(was, str) or was == now for was, now in zip(a[2], b[2], strict=True))


def open_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that a caller has to feed: old files list their weights among the inputs as well."""
    held = {weight.name for weight in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in held]


def interface(value: onnx.ValueInfoProto) -> tuple[str, int, list[int | str]]:
    """Name, element type, and the shape as declared."""
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [dim.dim_value or dim.dim_param for dim in tensor.shape.dim]


def assert_cuts_make_the_weights(before: onnx.ModelProto, pruned: Any) -> None:
    """Cutting the original weights as the plan says gives the weights of the result, but for those folded into."""
    old, new = weights(before), weights(pruned.model)
    folded = {one.initializer for one in pruned.plan.folds}
    gone: dict[str, dict[int, list[int]]] = {}
    for cut in pruned.plan.cuts:
        assert cut.size == old[cut.initializer].shape[cut.axis]
        assert cut.indices
        assert max(cut.indices) < cut.size
        gone.setdefault(cut.initializer, {}).setdefault(cut.axis, []).extend(cut.indices)
    for name, axes in gone.items():
        expected = old[name]
        for axis, indices in axes.items():
            assert len(set(indices)) == len(indices), f"{name}: indices twice"
            expected = np.delete(expected, indices, axis)
        if name in new:
            assert new[name].shape == expected.shape
            assert name in folded or np.array_equal(new[name], expected), name
    for part in pruned.plan.parts:
        expected = np.delete(old[part.initializer], part.indices, part.axis)
        assert part.size == old[part.initializer].shape[part.axis]
        assert part.name in folded or np.array_equal(new[part.name], expected), part.name


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def elements(model: onnx.ModelProto) -> int:
    """Elements of all initializers."""
    return sum(int(np.prod(one.dims)) for one in model.graph.initializer)


def assert_same_function(
    before: Source, after: Source, feeds: Sequence[Feed], *, limit: float = 0.0, levels: Sequence[bool] = (False, True)
) -> None:
    """Equal outputs on every feed, with graph optimisation off and on: bit by bit, or to ``limit`` of their scale."""
    for optimised in levels:
        old, new = session(before, optimised=optimised), session(after, optimised=optimised)
        for feed in feeds:
            for output, a, b in zip(old.get_outputs(), old.run(None, feed), new.run(None, feed), strict=True):
                assert_equal(np.asarray(a), np.asarray(b), limit, f"{output.name}, optimised={optimised}")


def assert_equal(a: np.ndarray, b: np.ndarray, limit: float, where: str) -> None:
    assert (b.shape, b.dtype) == (a.shape, a.dtype), where
    if limit == 0 or a.dtype.kind != "f":
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), f"{where}: {np.sum(a != b)} of {a.size} differ"
    elif a.size:
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
        scale = np.abs(a).max()
        assert difference <= limit * scale, f"{where}: differs by {difference:g} at a scale of {scale:g}"


def session(model: Source, *, optimised: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    given = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def feeds(model: onnx.ModelProto, data: Feed) -> list[dict[str, np.ndarray]]:
    """One feed of everything; or one per sample, where the file fixes a batch of one. Scalars are repeated."""
    batch = {one.name: one.type.tensor_type.shape.dim[:1] for one in model.graph.input}
    if not any(dim and dim[0].dim_value == 1 for dim in batch.values()):
        return [dict(data)]
    samples = max(array.shape[0] for array in data.values() if array.ndim)
    return [{name: array[i : i + 1] if array.ndim else array for name, array in data.items()} for i in range(samples)]
