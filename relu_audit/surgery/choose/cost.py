"""What a model costs before and after: elements, bytes, multiplications."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import onnx_ir as ir

from relu_audit.model.parameters import held, parameters
from relu_audit.records import Cost, DataInfo
from relu_audit.surgery.choose.solve import Solution
from relu_audit.surgery.facts.facts import Facts
from relu_audit.surgery.operators.signature import Place, Signature
from relu_audit.surgery.runs.probe_runs import Feeds
from relu_audit.surgery.runs.survey import Survey
from relu_audit.units.inputs import GraphInput

Lengths = Mapping[tuple[ir.Value, int], int]


def cost(survey: Survey, facts: Facts, solution: Solution | None, samples: int) -> Cost:
    """Elements and bytes of the model as it stands, and the multiplications of one sample that stay.

    A weight is multiplied once for every sample and position at which its operator reads the data; at every position of
    the result where that reads through windows, those that reach beyond the border included.

    Args:
        survey: The graph.
        facts: Its facts.
        solution: What goes; None for nothing.
        samples: How many samples the feeds of the probe runs hold.
    """
    total = 0
    for read in facts.signatures.values():
        lengths = _lengths(survey, read, solution)
        if lengths is None:
            return size(survey.network.model)
        total += sum(_multiplications(survey, read, lengths))
    return msgspec.structs.replace(size(survey.network.model), multiply_adds=total // samples)


def samples_fed(inputs: Iterable[GraphInput], data: DataInfo, feeds: Feeds) -> int:
    """How many samples one run is fed, as the audit counted them: a whole feed is one, whatever its axes hold.

    Args:
        inputs: The model's inputs.
        data: How the audit fed them.
        feeds: What is fed in the run.
    """
    axes = {one.name: one.batch_axis for one in inputs}
    found = [1]
    for one in data.inputs:
        axis = axes.get(one.name)
        if axis is not None and one.name in feeds and one.feeding != "repeated":
            in_one = one.shape[1 + axis] if one.feeding == "rows" else 1
            found.append(feeds[one.name].shape[axis] // max(in_one, 1))
    return max(found)


def _lengths(survey: Survey, read: Signature, solution: Solution | None) -> Lengths | None:
    """How long the axes of a node's operands and results are once everything is cut; None if that is not known."""
    found: dict[tuple[ir.Value, int], int] = {}
    for value in (*read.node.inputs, *read.node.outputs):
        shape = () if value is None else survey.shapes.get(value)
        if value is None or not any(place.value is value for place in read.places):
            continue
        if shape is None:
            return None
        for axis, length in enumerate(shape):
            atoms = survey.atoms.along(value, axis)
            gone = 0 if solution is None or atoms is None else int(solution.removed[atoms].sum())
            found[value, axis] = length - gone
    return found


def _multiplications(survey: Survey, read: Signature, lengths: Lengths) -> Iterator[int]:
    """How often each weight of a node is multiplied, summed over the weight."""
    rule = survey.law(read.node)
    summed = [p for p in read.places if p.operand is not None and set(p.letters) & read.contracted]
    data = next((p for p in summed if survey.constant(p.value) is None), None)
    for place in summed:
        if data is None or rule is None or survey.constant(place.value) is None:
            continue  # a product of two computed values has no weights
        weight = [p for p in read.places if p.operand == place.operand]
        where = [p for p in read.places if (p.output == 0 if rule.windows else p.operand == data.operand)]
        elements = math.prod(length for (value, _), length in lengths.items() if value is place.value)
        yield elements * math.prod(lengths[p.value, p.axis] for p in where if not _runs_along(weight, p, lengths))


def _runs_along(weight: list[Place], place: Place, lengths: Lengths) -> bool:
    """Whether an axis of data or result is one of the weight's: a weight of one entry there serves all of them."""
    return any(set(place.letters) & set(p.letters) and lengths[p.value, p.axis] > 1 for p in weight)


def size(model: ir.Model) -> Cost:
    """Parameters and bytes of a model's tensors, those in nodes included."""
    return Cost(
        parameters=parameters(model),
        multiply_adds=None,
        bytes=sum(tensor.nbytes for tensor in held(model)),
    )
