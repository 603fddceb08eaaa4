"""A model, opened to be observed: graph, inputs with their axes of samples, and rectifiers."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import onnx
import onnx_ir as ir

from relu_audit.errors import AuditError, RunError
from relu_audit.model.checkpoint import Checkpoint, ModelSource, invalid, open_checkpoint
from relu_audit.model.precision import in_float32, types_to_carry
from relu_audit.network.bulk import refuse_bulk
from relu_audit.network.normalize import Network, normalize
from relu_audit.observe.session import Engine, Session, refused
from relu_audit.operators.rules import BUILT_IN, Table
from relu_audit.units import sampling
from relu_audit.units.inputs import GraphInput, graph_inputs
from relu_audit.units.locate import Census, locate
from relu_audit.units.overview import Overview, overview
from relu_audit.units.sampling import Candidate

Axes = Mapping[str, int | None]
"""For inputs the axis that holds samples; None where the whole input belongs to every sample."""


@dataclass(frozen=True)
class Opened:
    """An opened model.

    Attributes:
        model: Where it was opened from.
        unit_axes: Unit axis by rectified tensor, as the user gives it.
        carried: Element types that are computed in float32.
        checkpoint: The file.
        network: The graph.
        overview: What is read of it before it is observed.
        readings: The readings of its inputs, each with its proof.
        inputs: Its inputs, with the axes of one reading.
        census: Its rectifiers, located by that reading.
    """

    model: ModelSource
    unit_axes: Mapping[str, int] | None
    carried: Sequence[ir.DataType]
    checkpoint: Checkpoint
    network: Network
    overview: Overview
    readings: tuple[Candidate, ...]
    inputs: tuple[GraphInput, ...]
    census: Census

    def along(self, batch_axes: Axes) -> Opened:
        """The same graph, which must not have been observed yet, read in another way.

        Args:
            batch_axes: The axis of samples of every input.
        """
        agrees = all(one.batch_axis == batch_axes.get(one.name) for one in self.inputs)
        return self if agrees else self._located(batch_axes)

    def again(self, batch_axes: Axes, ranks: Mapping[int, int | None] | None = None) -> Opened:
        """The same model, opened once more and read in another way: observing a graph changes it.

        Args:
            batch_axes: The axis of samples of every input.
            ranks: Ranks seen at run time, by position, where the file does not tell them.
        """
        checkpoint, network = _graph(self.model, self.carried, self.network.rules)
        checkpoint.check(self.checkpoint)
        opened = replace(self, checkpoint=checkpoint, network=network, overview=overview(network, ranks))
        return opened._located(batch_axes)

    def _located(self, batch_axes: Axes) -> Opened:
        inputs = graph_inputs(self.network, batch_axes)
        return replace(self, inputs=inputs, census=locate(self.overview, inputs, self.unit_axes))


def open_model(
    model: ModelSource,
    unit_axes: Mapping[str, int] | None,
    stated: Axes,
    *,
    rules: Table = BUILT_IN,
    carried: Sequence[ir.DataType] = (),
) -> Opened:
    """Open a model and read its inputs in the way that is proved, or else comes first.

    Args:
        model: Path, bytes or protobuf.
        unit_axes: Unit axis by rectified tensor, where the user knows better.
        stated: Axes of samples that the user states.
        rules: What is known of operators.
        carried: Element types to compute in float32.

    Raises:
        AuditError: The model is no good, or what is stated does not fit it.
    """
    checkpoint, network = _graph(model, carried, rules)
    found = overview(network)
    readings = sampling.readings(found, stated)
    best = sampling.choose(readings)
    inputs = graph_inputs(network, best.axes if best else {})
    census = locate(found, inputs, unit_axes)
    return Opened(model, unit_axes, carried, checkpoint, network, found, readings, inputs, census)


def _graph(model: ModelSource, carried: Sequence[ir.DataType], rules: Table) -> tuple[Checkpoint, Network]:
    checkpoint = open_checkpoint(model)
    network = normalize(checkpoint, rules)
    in_float32(network.model, carried)
    refuse_bulk(network)
    return checkpoint, network


def not_runnable(opened: Opened, ran_by: Engine) -> tuple[ir.DataType, ...]:
    """Element types of the graph that the provider cannot compute in."""
    dtypes = types_to_carry(opened.network.model)
    if not dtypes or not opened.census.located:
        return ()
    try:
        Session(opened.network.model, opened.network.folder, ran_by)
    except RunError:
        return dtypes
    return ()


@contextmanager
def explained_by(model: ModelSource, ran_by: Engine) -> Generator[None]:
    """Let the runtime say what is wrong with a graph that breaks its own rules: we read it as if it did not."""
    try:
        yield
    except (AuditError, MemoryError):
        raise
    except Exception as error:
        said = refused(model.SerializeToString() if isinstance(model, onnx.ModelProto) else model, ran_by)
        if said:
            raise invalid(said) from error
        raise
