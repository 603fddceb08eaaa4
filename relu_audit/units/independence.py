"""Whether the samples of one run leave each other alone: a proof over the axis table, value by value.

The samples of a run lie along one letter. A value is *apart* where each of its entries is computed from the entries of
one sample, and that sample's place on the letter is the entry's own: then a run of many samples shows of each of them
what a run of that sample alone shows. The engine knows no operator; it reads the axis table and the table of origins.

What depends on nothing but how many samples a run holds is a *length*. A length may decide how long a value is along
the letter; anything else that is computed from it is unproved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import onnx_ir as ir

from relu_audit.model.scopes import bodies
from relu_audit.network.extents import Element, Extent
from relu_audit.operators.axes import AxisRule
from relu_audit.operators.bodies import Sliced
from relu_audit.operators.layout import Axis, Factor, Kind, Letter, axis_size
from relu_audit.operators.moves import Operation
from relu_audit.operators.origins import Made, Origin, origin
from relu_audit.operators.terms import fitting, leaves, matched, terms_of
from relu_audit.units.channels import Follower
from relu_audit.units.standing import APART, COUNTED, FREE, LENGTH, Standing, State, worst


@dataclass
class Independence:
    """The states of a graph's values.

    Attributes:
        follower: The graph, followed with the samples' letter on the inputs.
        states: The state of every value that was visited.
        control: For every node the state of what decides whether it runs.
    """

    follower: Follower
    states: dict[ir.Value, State] = field(default_factory=dict[ir.Value, State])
    control: dict[ir.Node, State] = field(default_factory=dict[ir.Node, State])

    def state(self, value: ir.Value | None) -> State:
        """The state of a value; free where there is none, unproved where it was not visited."""
        return (
            FREE if value is None else self.states.get(value, _unproved("a value is used before it is computed", None))
        )

    def of_data(self, value: ir.Value | None) -> State:
        """As :meth:`state`, for a value whose entries matter: a length as an entry is unproved."""
        state = self.state(value)
        if state.standing in (Standing.LENGTH, Standing.COUNTED):
            producer = None if value is None else value.producer()
            if producer is None:
                return _unproved("the number of samples in a run is used as a value", None)
            return _unproved("uses the number of samples in a run as a value", producer)
        return state

    def graph(self, graph: ir.Graph, control: State) -> list[State]:
        """Visit every node; the states of the graph's outputs."""
        for value in graph.initializers.values():
            self.states[value] = FREE
        for node in graph:
            self.control[node] = control
            outputs = self._through_bodies(node, control) if bodies(node) else self._outputs(node)
            self.states.update(zip(node.outputs, outputs, strict=False))
        return [self.state(value) for value in graph.outputs]

    def along(self, value: ir.Value | None) -> list[int] | None:
        """The axes of a value that hold the samples' letter; None where the rank of its result is unknown."""
        layout = None if value is None else self.follower.layouts.get(value)
        return None if layout is None else [i for i, axis in enumerate(layout) if _letters(axis)]

    def _outputs(self, node: ir.Node) -> list[State]:
        inputs = [self.state(value) for value in node.inputs]
        if all(state.standing is Standing.FREE for state in inputs):
            return [FREE] * len(node.outputs)
        made, row, op = origin(node.domain, node.op_type), self.follower.row(node), self.follower.operation(node)
        together = worst(inputs)
        if made.made is Made.LENGTHS:
            untold = inputs[0].untold
            found = _unproved("reads a length that depends on the data", node, untold=True) if untold else LENGTH
            return [self._or_free(value, found) for value in node.outputs]
        if together.standing >= Standing.UNPROVED:
            return [replace(together, scalar=False)] * len(node.outputs)
        if made.made is Made.UNTOLD:
            return [_unproved("has a result whose length depends on the data", node, untold=True)] * len(node.outputs)
        if together.standing <= Standing.COUNTED:
            return [self._or_free(value, self._of_lengths(node, value, made, row, inputs)) for value in node.outputs]
        try:
            found = self._apart(node, op, row, made, inputs)
        except (LookupError, ValueError, TypeError, ZeroDivisionError):
            found = _unproved("has operands that do not fit the operator", node)
        return [self._settled(value, found, node, row, inputs) for value in node.outputs]

    # Lengths ----------------------------------------------------------------------------------------------------------

    def _or_free(self, value: ir.Value, state: State) -> State:
        """Free, where the numbers of a list are known not to depend on how many samples there are."""
        found = self.follower.elements(value)
        return FREE if found is not None and all(self._is_free(element) for element in found) else state

    def _is_free(self, element: Element) -> bool:
        if not isinstance(element, Extent):
            return element is not None
        layout = self.follower.layouts.get(element.value)
        if layout is None:
            return self.state(element.value).standing is Standing.FREE
        if self.state(element.value).standing >= Standing.UNPROVED:
            return isinstance(axis_size(layout[element.axis]), int)
        return not _letters(layout[element.axis])

    def _of_lengths(
        self, node: ir.Node, value: ir.Value, made: Origin, row: AxisRule | None, inputs: Sequence[State]
    ) -> State:
        """The state of what is computed from lengths alone."""
        axes, layout = self.along(value) or [], self.follower.layouts.get(value) or ()
        shown = len(axes) == 1
        alone = shown and len(layout[axes[0]]) == 1
        if made.made is Made.COPIES:
            return inputs[0]
        if made.made is Made.COUNT:
            return COUNTED if alone else LENGTH
        if made.made is Made.ALIKE:
            return APART if shown else LENGTH
        if row is None or row.move is None or not shown:
            return LENGTH
        # Copies of entries that no sample has a part in, or of the samples' own numbers.
        data = {i: state.standing for i, state in enumerate(inputs) if i not in made.sized_by}
        counted = [i for i, standing in data.items() if standing is not Standing.FREE]
        if not counted:
            return APART
        own = all(data[i] is Standing.COUNTED and (i == 0 or i in row.aligned) for i in counted)
        return COUNTED if own else LENGTH

    def _lengths_told(self, node: ir.Node, index: int) -> list[bool]:
        """For each entry of a list of sizes, whether it is known not to depend on how many samples there are."""
        value = node.inputs[index]
        found = self.follower.elements(value)
        if self.state(value).standing is Standing.FREE:
            return [True] * len(found or (None,))
        producer = None if value is None else value.producer()
        parts = () if producer is None else producer.inputs
        single = found is not None and len(parts) == len(found)
        return [
            self._is_free(element) or (element is None and single and self.state(parts[i]).standing is Standing.FREE)
            for i, element in enumerate(found or (None,))
        ]

    # Samples apart ----------------------------------------------------------------------------------------------------

    def _apart(
        self, node: ir.Node, op: Operation, row: AxisRule | None, made: Origin, inputs: Sequence[State]
    ) -> State:
        """The state of what is computed from samples that are apart, but for where its letter ends up."""
        if row is None:
            return _unproved("has no row in the axis table", node)
        ranged = State(Standing.RANGE, "quantizes all samples of a run with one range", _name(node))
        base = ranged if row.couples else APART
        base = worst([base, *(state for state in inputs if state.standing is Standing.RANGE)])
        picked = row.picks(op)
        for index, state in enumerate(inputs):
            if index in made.sized_by:
                if state.standing >= Standing.APART:
                    return _unproved("has a result whose length depends on the data", node, untold=True)
                if not self._fits(node, index, self._lengths_told(node, index)):
                    return _unproved("takes a length from the number of samples in a run", node)
            elif state.standing is Standing.COUNTED and index in picked:
                continue
            elif state.standing is Standing.COUNTED and row.aligned and (index == 0 or index in row.aligned):
                base = COUNTED
            elif state.standing in (Standing.LENGTH, Standing.COUNTED) and not all(self._lengths_told(node, index)):
                return _unproved("uses the number of samples in a run as a value", node)
        base = replace(base, scalar=all(s.scalar or s.standing < Standing.APART for s in inputs))
        if row.move is not None:
            return self._moved(node, op, row, inputs, picked) or base
        return self._spelt(node, op, row, inputs) or base

    def _fits(self, node: ir.Node, index: int, told: Sequence[bool]) -> bool:
        """Whether every length that depends on the samples is that of an axis along which they lie."""
        if all(told):
            return True
        axes = self.along(node.outputs[0])
        layout = self.follower.layouts.get(node.outputs[0])
        return (
            axes is not None
            and layout is not None
            and len(told) == len(layout)
            and {i for i, free in enumerate(told) if not free} <= set(axes)
        )

    def _spelt(self, node: ir.Node, op: Operation, row: AxisRule, inputs: Sequence[State]) -> State | None:
        """What a row with a signature does to the letter; None if it keeps the samples apart."""
        terms, results = terms_of(op, row)
        for index, term in enumerate(terms[: len(op.inputs)]):
            if node.inputs[index] is not None and not fitting(term, op.inputs[index]):
                return _unproved("has an operand of a shape that the axis table does not cover", node)
        places: list[list[tuple[str, Axis]]] = [
            [] if layout is None else list(matched(term, layout))
            for term, layout in zip(terms, op.inputs, strict=False)
        ]
        wide: dict[str, set[tuple[Letter, ...]]] = {}  # the letters that meet on a symbol
        for symbol, axis in chain.from_iterable(places):
            if axis_size(axis) != 1:
                wide.setdefault(symbol, set()).add(tuple(factor.letter for factor in axis))
        for index, state in enumerate(inputs):
            if state.standing < Standing.APART or state.scalar:
                continue
            own = {symbol for symbol, axis in places[index] if _letters(axis)} if index < len(places) else set[str]()
            if len(own) != 1:
                return _unproved("has an operand of a shape that the axis table does not cover", node)
            (symbol,) = own
            if not leaves(symbol, results):
                return State(Standing.MIXED, "sums over the samples", _name(node))
            axis = next(axis for at, axis in places[index] if at == symbol)
            if wide.get(symbol, set()) - {tuple(factor.letter for factor in axis)}:
                return _unproved("sets the samples' axis beside an axis that is not known to hold samples", node)
            found = self._within(node, op, row) if index == 0 else None
            if found is not None:
                return found
        return None

    def _moved(
        self, node: ir.Node, op: Operation, row: AxisRule, inputs: Sequence[State], picked: Mapping[int, Sequence[int]]
    ) -> State | None:
        """What a row that moves data does to the letter; None if it keeps the samples apart."""
        for index, state in enumerate(inputs):
            beside = index == 0 or index in row.aligned or index in picked
            if state.standing >= Standing.APART and not beside and not state.scalar:
                return _unproved("moves entries to where the data says", node)
        if row.aligned:
            operands = [i for i in (0, *row.aligned) if i < len(inputs) and node.inputs[i] is not None]
            places = {tuple(self.along(node.inputs[i]) or ()) for i in operands}
            if len(places) > 1:
                return _unproved("sets the samples' axis beside an axis that is not known to hold samples", node)
        axes = set(self.along(node.inputs[0]) or ())
        shared = set(range(op.integer("batch_dims", 0)))
        for index, chosen in picked.items():
            if axes & shared != set(self.along(node.inputs[index]) or ()) & shared:
                return _unproved("sets the samples' axis beside an axis that is not known to hold samples", node)
            hit = [component for component, axis in enumerate(chosen) if axis in axes]
            if hit:
                alone = len((op.inputs[0] or ())[chosen[hit[0]]]) == 1
                own = alone and self._picks_own(node.inputs[index], hit[0], len(chosen))
                return None if own else _unproved("picks entries along the samples' axis", node)
        return self._within(node, op, row) if axes else None

    def _picks_own(self, indices: ir.Value | None, component: int, components: int) -> bool:
        """Whether the indices along the samples are the samples' own numbers."""
        if components == 1:
            return self.state(indices).standing is Standing.COUNTED
        producer = None if indices is None else indices.producer()
        while producer is not None and origin(producer.domain, producer.op_type).made is Made.COPIES:
            source = producer.inputs[0]
            producer = None if source is None else source.producer()
        if producer is None or len(producer.inputs) != components:
            return False
        own = [self.state(value).standing for value in producer.inputs]
        others = [standing for i, standing in enumerate(own) if i != component]
        apart = all(standing in (Standing.FREE, Standing.APART) for standing in others)
        return own[component] is Standing.COUNTED and apart

    def _within(self, node: ir.Node, op: Operation, row: AxisRule) -> State | None:
        """Whether the operator makes entries of several along the letter of its first operand; None if not."""
        axes = set(self.along(node.inputs[0]) or ())
        mixed, placed = row.mixes(op), row.placed(op)
        if mixed is None or placed is None:
            return _unproved("has an axis that the file does not tell", node) if axes else None
        if axes & mixed:
            return State(Standing.MIXED, "combines entries along the samples' axis", _name(node))
        return _unproved("depends on a sample's place in the run", node) if axes & placed else None

    def _settled(
        self, value: ir.Value, state: State, node: ir.Node, row: AxisRule | None, inputs: Sequence[State]
    ) -> State:
        """The state, if the letter has exactly one axis of the value, and is whole there."""
        if state.standing not in (Standing.COUNTED, Standing.APART, Standing.RANGE):
            return state
        axes, layout = self.along(value), self.follower.layouts.get(value)
        if axes is None or layout is None:
            return _unproved("has a result of unknown rank", node)
        if state.standing is Standing.RANGE and not axes and (state.scalar or layout == ()):
            return replace(state, scalar=True)
        state = replace(state, scalar=False)
        letters = [factor for axis in axes for factor in _letters(layout[axis])]
        if len(letters) == 1 and not letters[0].part:
            return state
        if not letters:
            return _unproved("leaves no axis that is known to hold the samples", node)
        pairs = sum(s.standing >= Standing.APART for s in inputs) > 1 and row is not None and row.move is None
        if pairs and not any(factor.part for factor in letters):
            return State(Standing.MIXED, "combines two samples in each entry", _name(node))
        return _unproved("splits the samples' axis or joins it with another", node)

    # Bodies -----------------------------------------------------------------------------------------------------------

    def _through_bodies(self, node: ir.Node, control: State) -> list[State]:
        row, inputs = self.follower.row(node), [self.state(value) for value in node.inputs]
        graphs = [graph for _, graph in bodies(node)]
        if row is None or row.body is None:
            found = worst([control, *inputs])
            if found.standing > Standing.FREE:
                found = found | _unproved("has no row in the axis table", node)
            for graph in graphs:
                self.states.update((value, found) for value in graph.inputs)
                self.graph(graph, found)
            return [found] * len(node.outputs)
        route = row.body.route(self.follower.operation(node), len(node.outputs))
        control = control | _decided(worst([inputs[i] for i in route.decides if i < len(inputs)]), node)
        entering = [
            self._entering(node, place, stateful=any(i is not None for i in route.returns)) for place in route.enters
        ]
        while True:
            leaving: list[State] = []
            for graph in graphs:
                self.states.update(zip(graph.inputs, entering, strict=False))
                found = self.graph(graph, control)
                leaving = [a | b for a, b in zip(leaving or found, found, strict=False)]
            control = control | _decided(worst([leaving[i] for i in route.decides_within]), node)
            round_trip = [s if i is None else s | leaving[i] for s, i in zip(entering, route.returns, strict=True)]
            if [s.standing for s in round_trip] == [s.standing for s in entering]:
                break
            entering = round_trip
        for state, index in zip(entering, route.returns, strict=True):  # a loop may not run at all
            if index is not None:
                leaving[index] = leaving[index] | state
        found = [leaving[i] | control if control.standing > leaving[i].standing else leaving[i] for i in route.leaves]
        return [self._settled(v, s, node, row, inputs) for v, s in zip(node.outputs, found, strict=False)]

    def _entering(self, node: ir.Node, place: int | Sliced | None, *, stateful: bool) -> State:
        """The state of a body's input."""
        if place is None:
            return FREE
        if isinstance(place, int):
            return self.state(node.inputs[place])
        value = node.inputs[place.operand]
        state, axes = self.state(value), self.along(value)
        layout = None if value is None else self.follower.layouts.get(value)
        if state.standing <= Standing.LENGTH:
            return state
        if axes is None or not layout:
            return state | _unproved("has an operand of unknown rank", node)
        if place.axis % len(layout) not in axes:
            return state
        if stateful:
            return State(Standing.MIXED, "passes from one sample to the next", _name(node))
        return state | _unproved("takes one sample after the other", node)


def independence(follower: Follower, batch_axes: Mapping[str, int | None]) -> Independence:
    """The states of all values, the samples lying along one axis of each input.

    Args:
        follower: The graph, followed with those axes.
        batch_axes: For each graph input the axis that holds samples; None where it is the same for all samples.
    """
    graph = follower.network.model.graph
    found = Independence(follower)
    for value in graph.inputs:
        given = batch_axes.get(value.name or "") is not None
        known = value in follower.layouts
        state = APART if known else _unproved(f"input '{value.name}' has no shape in the file", None)
        found.states[value] = state if given else FREE
    found.graph(graph, FREE)
    return found


def _decided(state: State, node: ir.Node) -> State:
    """The state of what runs only if something says so."""
    if state.standing is Standing.FREE or state.standing >= Standing.RANGE:
        return state
    if state.standing is Standing.APART:
        return _unproved("decides by a sample's value which nodes run", node)
    return _unproved("decides by the number of samples which nodes run", node)


def _unproved(why: str, node: ir.Node | None, *, untold: bool = False) -> State:
    return State(Standing.UNPROVED, why, "" if node is None else _name(node), untold=untold)


def _name(node: ir.Node) -> str:
    """A node by its operator and first result, as messages name it."""
    result = next((value.name for value in node.outputs if value.name), node.name or "")
    return f"{'.'.join(filter(None, (node.domain, node.op_type)))} '{result}'"


def _letters(axis: Axis) -> list[Factor]:
    return [factor for factor in axis if factor.letter.kind is Kind.BATCH]
