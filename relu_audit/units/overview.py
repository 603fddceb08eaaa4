"""The activations and the axes of a graph, read once before the graph is observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from relu_audit.activations import implied
from relu_audit.activations.readings import Reading, Rectifies
from relu_audit.activations.spelt import Functions
from relu_audit.model.scopes import Step, walk
from relu_audit.network.dataless import without_data
from relu_audit.network.normalize import Network
from relu_audit.units.channels import Follower, followed

_KEPT = 2
"""Ways to follow the axes that are kept: those of a large graph take much memory."""

_Key = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Overview:
    """What is read of a graph, which must not change meanwhile.

    Attributes:
        network: The graph.
        activations: Each with its node, in graph order; those that no data takes part in are left out.
        ranks_seen: Whether the ranks that the file does not tell have been looked for at run time.
    """

    network: Network
    activations: tuple[tuple[Step, Reading], ...]
    ranks_seen: bool = False
    _followed: dict[_Key, Follower] = field(default_factory=dict[_Key, Follower], init=False, compare=False, repr=False)

    def along(self, axes: Mapping[str, int | None]) -> Follower:
        """The axes of all values, the samples lying along some axes of the inputs.

        Args:
            axes: For each graph input the axis that holds samples; None where there is none.
        """
        key = tuple(sorted((name, axis) for name, axis in axes.items() if axis is not None))
        if key not in self._followed:
            while len(self._followed) >= _KEPT:
                del self._followed[next(iter(self._followed))]
            self._followed[key] = followed(self.network, self.network.rules, axes)
        return self._followed[key]


def overview(network: Network, ranks: Mapping[int, int | None] | None = None) -> Overview:
    """Read the activations of a graph, and write on their values what is known of their ranks.

    Args:
        network: The graph, its nodes sorted.
        ranks: Ranks seen at run time, by position, where the file does not tell them; None for a node not reached.
    """
    constant, functions = without_data(network), Functions(network)
    steps = [step for step in walk(network.model.graph) if not constant.issuperset(step.node.outputs)]
    read = tuple((step, reading) for step in steps for reading in implied.read(functions, step.node))
    for step, reading in read:
        if isinstance(reading, Rectifies) and reading.source is not None:
            _note_rank(step.node, reading.source, (ranks or {}).get(step.position))
    return Overview(network, read, ranks_seen=ranks is not None)


def _note_rank(node: ir.Node, source: ir.Value, seen: int | None) -> None:
    """Write a rectifier's rank, from the file or as it was seen, on both its values: it does not change it."""
    values = [source, *node.outputs]
    rank = next((len(value.shape) for value in values if value.shape is not None), seen)
    for value in values:
        if value.shape is None and rank is not None:
            value.shape = ir.Shape([None] * rank)
