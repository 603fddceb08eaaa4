"""What an audit of a model would observe, from the file alone: no data, no runtime, no hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from relu_audit.errors import AuditError
from relu_audit.model.checkpoint import ModelSource, invalid, open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.observe.ways import Stated, ways, whole
from relu_audit.operators.rules import table_with
from relu_audit.records import ListedInput, ListedSite, Listing
from relu_audit.units.inputs import graph_inputs
from relu_audit.units.locate import Located, locate
from relu_audit.units.overview import overview
from relu_audit.units.sampling import choose, readings
from relu_audit.version import tool_name


def sites(
    model: ModelSource,
    *,
    unit_axes: Mapping[str, int] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    operators: Iterable[Mapping[str, Any]] = (),
) -> Listing:
    """List every rectifier of a model, with its units and where they come from, and whatever cannot be observed.

    Args:
        model: Path, bytes or protobuf of an ONNX model.
        unit_axes: Axis of the units by rectified tensor, where it cannot be derived.
        batch_axes: For an input the axis that holds samples, or None where the whole input belongs to every sample.
        operators: What custom operators do to axes, each with ``domain``, ``op`` and ``signature``.

    Raises:
        AuditError: The model cannot be read, or ``unit_axes`` does not fit it.
    """
    try:
        checkpoint = open_checkpoint(model)
        network = normalize(checkpoint, table_with(operators))
        read = overview(network)
        found = readings(read, batch_axes)
        best, stated = choose(found), Stated(batch_axes or {})
        way = next(ways(found, stated, in_feeds=False), whole(best))
        inputs = graph_inputs(network, best.axes if best else {})
        census = locate(read, inputs, unit_axes)
    except (AuditError, MemoryError):
        raise
    except Exception as error:  # a graph may break its own rules in any way
        raise invalid(f"{type(error).__name__}: {error}") from error
    return Listing(
        tool=tool_name(),
        model=checkpoint.name,
        notes=network.notes,
        inputs=tuple(ListedInput(name=one.name, shape=one.shape, axis=way.axes.get(one.name)) for one in inputs),
        known=way.known,
        detail=way.detail,
        sites=tuple(_listed(one) for one in census.located),
        alive=census.alive,
        skipped=census.skipped,
    )


def _listed(one: Located) -> ListedSite:
    return ListedSite(**msgspec.structs.asdict(one.site), units=one.units or None)
