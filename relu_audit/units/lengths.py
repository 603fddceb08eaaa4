"""What depends on nothing but how many samples a run holds: lengths, and the numbers of the samples themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.network.extents import Element, Extent
from relu_audit.operators.layout import Axis, Factor, Kind, axis_size
from relu_audit.operators.origins import Made, Origin, origin
from relu_audit.units.channels import Follower
from relu_audit.units.standing import APART, COUNTED, FREE, LENGTH, Standing, State, unproved

_EXACT = (ir.DataType.INT32, ir.DataType.INT64)
"""Types that hold the number of any sample of a run as it is."""


@dataclass(frozen=True)
class Lengths:
    """The lengths of a graph's values.

    Attributes:
        follower: The graph, followed with the samples' letter on the inputs.
        state: Tells the state of a value that was visited.
    """

    follower: Follower
    state: Callable[[ir.Value | None], State]

    def along(self, value: ir.Value | None) -> list[int] | None:
        """The axes of a value that hold the samples' letter; None where the rank of its result is unknown."""
        layout = None if value is None else self.follower.layouts.get(value)
        return None if layout is None else [i for i, axis in enumerate(layout) if letters(axis)]

    def or_free(self, value: ir.Value, state: State) -> State:
        """Free, where the numbers of a list are known not to depend on how many samples there are."""
        found = self.follower.elements(value)
        return FREE if found is not None and all(self._is_free(element) for element in found) else state

    def _is_free(self, element: Element) -> bool:
        if not isinstance(element, Extent):
            return element is not None
        layout, standing = self.follower.layouts.get(element.value), self.state(element.value).standing
        if layout is None:
            return False
        if (
            standing is Standing.LENGTH or standing >= Standing.UNPROVED
        ):  # any of its axes may be as long as samples say
            return isinstance(axis_size(layout[element.axis]), int)
        return not letters(layout[element.axis])

    def told_along(self, value: ir.Value, axis: int) -> bool:
        """Whether it is known that the length of an axis does not depend on how many samples there are."""
        layout = self.follower.layouts.get(value)
        free = self.state(value).standing is Standing.FREE
        return free or (bool(layout) and self._is_free(Extent(value, axis % len(layout))))

    def _is_lost(self, element: Element) -> bool:
        """Whether the length of a samples' axis is read where that axis may be as long as something else."""
        lost = isinstance(element, Extent) and self.state(element.value).standing >= Standing.UNPROVED
        return lost and not self._is_free(element)

    def of(self, node: ir.Node, value: ir.Value, made: Origin, inputs: Sequence[State]) -> State:
        """The state of what is computed from lengths alone."""
        held = {i: state.standing for i, state in enumerate(inputs) if i not in made.sized_by and state != FREE}
        if made.made is Made.COPIES:
            return LENGTH if inputs[0] == COUNTED and value.dtype not in _EXACT else inputs[0]
        lost = LENGTH
        if Standing.INDEX in held.values():  # a sample has a part in the numbers
            lost = unproved("uses the number of samples in a run as a value", node)
        axes, layout = self.along(value) or [], self.follower.layouts.get(value) or ()
        if len(axes) != 1 or not all(self.fit(node, index) for index in made.sized_by):
            return lost
        if made.made is Made.COUNT:
            return COUNTED if len(layout[axes[0]]) == 1 else lost
        if not held:
            return APART
        return COUNTED if made.made is Made.MOVED and held == {0: Standing.COUNTED} else lost

    def told(self, node: ir.Node, index: int) -> list[bool]:
        """For each entry of a list of sizes, whether it is known not to depend on how many samples there are.

        A list that depends on no sample counts as one entry.
        """
        value = node.inputs[index]
        found = self.follower.elements(value)
        if self.state(value).standing is Standing.FREE:
            return [True]
        parts = () if found is None else self._parts(value, len(found))
        return [
            self._is_free(element)
            or (element is None and bool(parts) and self.state(parts[i]).standing is Standing.FREE)
            for i, element in enumerate(found or (None,))
        ]

    def fit(self, node: ir.Node, index: int) -> bool:
        """Whether every length of an operand that depends on the samples is that of an axis along which they lie."""
        if index >= len(node.inputs):
            return True
        told = self.told(node, index)
        if all(told):
            return True
        lists = origin(node.domain, node.op_type).lists.get(index)
        if lists is None or not lists(self.follower.operation(node)):
            return False
        if any(self._is_lost(element) for element in self.follower.elements(node.inputs[index]) or ()):
            return False
        axes = self.along(node.outputs[0])
        layout = self.follower.layouts.get(node.outputs[0])
        return (
            axes is not None
            and layout is not None
            and len(told) == len(layout)
            and {i for i, free in enumerate(told) if not free} <= set(axes)
        )

    def _parts(self, value: ir.Value | None, count: int) -> Sequence[ir.Value | None]:
        """The operands of which a list is made end to end, where each has one number of the list; else none."""
        producer = None if value is None else value.producer()
        row = None if producer is None else self.follower.row(producer)
        if producer is None or row is None or not row.aligned or len(producer.inputs) != count:
            return ()
        single = all(len(self.follower.elements(part) or ()) == 1 for part in producer.inputs)
        return producer.inputs if single else ()

    def own(self, indices: ir.Value | None, component: int, components: int) -> bool:
        """Whether one component of indices is the number of the sample that they belong to.

        The other components pick within the sample: they do not depend on how many samples there are.
        """
        if components == 1:
            return self.state(indices).standing is Standing.COUNTED
        producer = None if indices is None else indices.producer()
        while producer is not None and origin(producer.domain, producer.op_type).made is Made.COPIES:
            if producer.outputs[0].dtype not in _EXACT:
                return False
            source = producer.inputs[0]
            producer = None if source is None else source.producer()
        row = None if producer is None else self.follower.row(producer)
        if producer is None or row is None or not row.aligned or len(producer.inputs) != components:
            return False
        layouts = [self.follower.layouts.get(value) for value in producer.inputs if value is not None]
        if not all(layout and axis_size(layout[-1]) == 1 for layout in layouts):  # else parts lie along another axis
            return False
        own = [self.state(value).standing for value in producer.inputs]
        others = [standing for i, standing in enumerate(own) if i != component]
        return own[component] is Standing.COUNTED and all(s in (Standing.FREE, Standing.APART) for s in others)


def letters(axis: Axis) -> list[Factor]:
    """The factors of an axis that run over the samples."""
    return [factor for factor in axis if factor.letter.kind is Kind.BATCH]


def order(axis: Axis) -> tuple[object, ...]:
    """What tells the sample of each entry along an axis; equal for two axes of one length only if they agree."""
    at = next((i for i, factor in enumerate(axis) if factor.letter.kind is Kind.BATCH), 0)
    # With nothing before them, samples lie end to end. A size that has no name is like no other.
    behind = [(f.part, f.size if isinstance(f.size, int) or f.letter.order >= 0 else id(axis)) for f in axis[at + 1 :]]
    return tuple(factor.letter for factor in axis), tuple(behind) if at else ()
