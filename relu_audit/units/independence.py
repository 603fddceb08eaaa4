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
from functools import cached_property
from itertools import chain

import onnx_ir as ir

from relu_audit.model.scopes import bodies
from relu_audit.network.normalize import sizes
from relu_audit.operators.axes import AxisRule
from relu_audit.operators.bodies import Sliced
from relu_audit.operators.layout import Axis, axis_size
from relu_audit.operators.moves import Operation
from relu_audit.operators.origins import Made, Origin, origin
from relu_audit.operators.terms import fitting, leaves, matched, terms_of
from relu_audit.units.channels import Follower
from relu_audit.units.lengths import Lengths, letters, order
from relu_audit.units.standing import APART, FREE, INDEX, LENGTH, Standing, State, either, named, unproved, worst


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
            FREE if value is None else self.states.get(value, unproved("a value is used before it is computed", None))
        )

    def of_data(self, value: ir.Value, node: ir.Node) -> State:
        """As :meth:`state`, for a value of which a node uses the entries: a length as an entry is unproved."""
        state = self.state(value)
        return unproved("uses the number of samples in a run as a value", node) if state.counts else state

    def graph(self, graph: ir.Graph, control: State) -> list[State]:
        """Visit every node; the states of the graph's outputs."""
        for value in graph.initializers.values():
            self.states[value] = FREE
        for node in graph:
            self.control[node] = control
            outputs = self._through_bodies(node, control) if bodies(node) else self._outputs(node)
            self.states.update(zip(node.outputs, outputs, strict=False))
        return [self.state(value) for value in graph.outputs]

    @cached_property
    def lengths(self) -> Lengths:
        """The lengths of the graph's values."""
        return Lengths(self.follower, self.state)

    def _outputs(self, node: ir.Node) -> list[State]:
        inputs = [self.state(value) for value in node.inputs]
        if all(state.standing is Standing.FREE for state in inputs):
            return [FREE] * len(node.outputs)
        made, row, op = origin(node.domain, node.op_type), self.follower.row(node), self.follower.operation(node)
        together = worst(inputs)
        if made.made is Made.LENGTHS:
            untold = inputs[0].untold
            found = unproved("reads a length that depends on the data", node, untold=True) if untold else LENGTH
            return [self.lengths.or_free(value, found) for value in node.outputs]
        if together.standing >= Standing.UNPROVED:
            return [together] * len(node.outputs)
        sized = [state for i, state in enumerate(inputs) if i in made.sized_by]
        if made.made is Made.UNTOLD or worst(sized).standing > Standing.LENGTH:
            return [unproved("has a result whose length depends on the data", node, untold=True)] * len(node.outputs)
        if together.standing < Standing.APART:
            return [self.lengths.or_free(value, self.lengths.of(node, value, made, inputs)) for value in node.outputs]
        try:
            found = self._apart(node, op, row, made, inputs)
        except (LookupError, ValueError, TypeError, ZeroDivisionError):
            found = unproved("has operands that do not fit the operator", node)
        return [self._settled(value, found, node, row, inputs) for value in node.outputs]

    # Samples apart ----------------------------------------------------------------------------------------------------

    def _apart(
        self, node: ir.Node, op: Operation, row: AxisRule | None, made: Origin, inputs: Sequence[State]
    ) -> State:
        """The state of what is computed from samples that are apart, but for where its letter ends up."""
        if row is None:
            return unproved("has no row in the axis table", node)
        ranged = State(Standing.RANGE, "quantizes all samples of a run with one range", named(node))
        base = ranged if row.couples else APART
        base = worst([base, *(state for state in inputs if state.standing is Standing.RANGE)])
        picked = row.picks(op)
        for index, state in enumerate(inputs):
            if index in made.sized_by:
                if not self.lengths.fit(node, index):
                    return unproved("takes a length from the number of samples in a run", node)
            elif state.standing in (Standing.COUNTED, Standing.INDEX) and index in picked:
                continue  # what they pick is looked at below
            elif state.standing in (Standing.COUNTED, Standing.INDEX) and index in row.aligned:
                base = INDEX
            elif state.counts and not all(self.lengths.told(node, index)):
                return unproved("uses the number of samples in a run as a value", node)
        base = replace(base, scalar=all(s.scalar or s.standing < Standing.APART for s in inputs))
        if row.move is not None:
            return self._moved(node, op, row, inputs, picked) or base
        return self._spelt(node, op, row, inputs) or base

    def _spelt(self, node: ir.Node, op: Operation, row: AxisRule, inputs: Sequence[State]) -> State | None:
        """What a row with a signature does to the letter; None if it keeps the samples apart."""
        terms, results = terms_of(op, row)
        for index, term in enumerate(terms[: len(op.inputs)]):
            if node.inputs[index] is not None and not fitting(term, op.inputs[index]):
                return unproved("has an operand of a shape that the axis table does not cover", node)
        places: list[list[tuple[str, Axis]]] = [
            [] if layout is None else list(matched(term, layout))
            for term, layout in zip(terms, op.inputs, strict=False)
        ]
        wide: dict[str, set[tuple[object, ...]]] = {}  # the orders of samples that meet on a symbol
        for symbol, axis in chain.from_iterable(places):
            if axis_size(axis) != 1:
                wide.setdefault(symbol, set()).add(order(axis))
        for index, state in enumerate(inputs):
            if state.standing < Standing.APART or state.scalar:
                continue
            own = {symbol for symbol, axis in places[index] if letters(axis)} if index < len(places) else set[str]()
            if len(own) != 1:
                return unproved("has an operand of a shape that the axis table does not cover", node)
            (symbol,) = own
            if not leaves(symbol, results):
                return State(Standing.MIXED, "sums over the samples", named(node))
            axis = next(axis for at, axis in places[index] if at == symbol)
            if wide.get(symbol, set()) - {order(axis)}:
                return unproved("sets the samples' axis beside an axis that is not known to hold samples", node)
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
                return unproved("moves entries to where the data says", node)
        if row.aligned:
            operands = [i for i in (0, *row.aligned) if i < len(inputs) and node.inputs[i] is not None]
            layouts = [op.inputs[i] or () for i in operands]
            places = {tuple((at, order(axis)) for at, axis in enumerate(one) if letters(axis)) for one in layouts}
            if len(places) > 1:
                return unproved("sets the samples' axis beside an axis that is not known to hold samples", node)
        axes = set(self.lengths.along(node.inputs[0]) or ())
        shared = set(range(op.integer("batch_dims", 0)))
        for index, chosen in picked.items():
            if axes & shared != set(self.lengths.along(node.inputs[index]) or ()) & shared:
                return unproved("sets the samples' axis beside an axis that is not known to hold samples", node)
            hit = [component for component, axis in enumerate(chosen) if axis in axes]
            if hit:
                alone = len((op.inputs[0] or ())[chosen[hit[0]]]) == 1
                own = alone and self.lengths.own(node.inputs[index], hit[0], len(chosen))
                return None if own else unproved("picks entries along the samples' axis", node)
            if inputs[index].counts and not all(self.lengths.told(node, index)):
                return unproved("uses the number of samples in a run as a value", node)
        return self._within(node, op, row) if axes else None

    def _within(self, node: ir.Node, op: Operation, row: AxisRule) -> State | None:
        """Whether the operator makes entries of several along the letter of its first operand; None if not."""
        axes = set(self.lengths.along(node.inputs[0]) or ())
        mixed, placed = row.mixes(op), row.placed(op)
        if mixed is None or placed is None:
            return unproved("has an axis that the file does not tell", node) if axes else None
        if axes & mixed:
            return State(Standing.MIXED, "combines entries along the samples' axis", named(node))
        return unproved("depends on a sample's place in the run", node) if axes & placed else None

    def _settled(
        self, value: ir.Value, state: State, node: ir.Node, row: AxisRule | None, inputs: Sequence[State]
    ) -> State:
        """The state, if the letter has exactly one axis of the value, and is whole there."""
        if not Standing.COUNTED <= state.standing <= Standing.RANGE:
            return state
        axes, layout = self.lengths.along(value), self.follower.layouts.get(value)
        if axes is None or layout is None:
            return unproved("has a result of unknown rank", node)
        if state.standing is Standing.RANGE and not axes and (state.scalar or layout == ()):
            return replace(state, scalar=True)
        state = replace(state, scalar=False)
        found = [factor for axis in axes for factor in letters(layout[axis])]
        if len(found) == 1 and not found[0].part:
            return state
        if not found:
            return unproved("leaves no axis that is known to hold the samples", node)
        pairs = sum(s.standing >= Standing.APART for s in inputs) > 1 and row is not None and row.move is None
        if pairs and not any(factor.part for factor in found):
            return State(Standing.MIXED, "combines two samples in each entry", named(node))
        return unproved("splits the samples' axis or joins it with another", node)

    # Bodies -----------------------------------------------------------------------------------------------------------

    def _through_bodies(self, node: ir.Node, control: State) -> list[State]:
        row, inputs = self.follower.row(node), [self.state(value) for value in node.inputs]
        graphs = [graph for _, graph in bodies(node)]
        if row is None or row.body is None:
            return self._through_unknown(node, graphs, worst([control, *inputs]))
        route = row.body.route(self.follower.operation(node), len(node.outputs))
        control = control | _decided(worst([inputs[i] for i in route.decides if i < len(inputs)]), node)
        sliced = [(node.inputs[p.operand], p.axis) for p in route.enters if isinstance(p, Sliced)]
        if not all(value is None or self.lengths.told_along(value, axis) for value, axis in sliced):
            control = control | _decided(LENGTH, node)
        entering = [
            self._entering(node, place, stateful=any(i is not None for i in route.returns)) for place in route.enters
        ]
        while True:
            leaving: list[State] = []
            for graph in graphs:
                self.states.update(zip(graph.inputs, entering, strict=False))
                found = self.graph(graph, control)
                leaving = [either(a, b, node) for a, b in zip(leaving or found, found, strict=False)]
            control = control | _decided(worst([leaving[i] for i in route.decides_within]), node)
            round_trip = [
                s if i is None else either(s, leaving[i], node) for s, i in zip(entering, route.returns, strict=True)
            ]
            if [s.standing for s in round_trip] == [s.standing for s in entering]:
                break
            entering = round_trip
        for state, index in zip(entering, route.returns, strict=True):  # a loop may not run at all
            if index is not None:
                leaving[index] = either(leaving[index], state, node)
        found = [_under(control, leaving[i]) for i in route.leaves]
        return [self._settled(v, s, node, row, inputs) for v, s in zip(node.outputs, found, strict=False)]

    def _through_unknown(self, node: ir.Node, graphs: Sequence[ir.Graph], state: State) -> list[State]:
        """The results of a node whose bodies do nobody knows what: free if neither operands nor bodies see a sample."""
        while True:
            found = state | unproved("has no row in the axis table", node) if state.standing > Standing.FREE else FREE
            for graph in graphs:
                self.states.update((value, found) for value in graph.inputs)
            inside = worst([result for graph in graphs for result in self.graph(graph, found)])
            if found is not FREE or inside.standing is Standing.FREE:
                return [found] * len(node.outputs)
            state = inside

    def _entering(self, node: ir.Node, place: int | Sliced | None, *, stateful: bool) -> State:
        """The state of a body's input."""
        if place is None:
            return FREE
        if isinstance(place, int):
            return self.state(node.inputs[place])
        value = node.inputs[place.operand]
        state, axes = self.state(value), self.lengths.along(value)
        layout = None if value is None else self.follower.layouts.get(value)
        if state.standing is Standing.FREE:
            return state
        if axes is None or not layout:
            return state | unproved("has an operand of unknown rank", node)
        if place.axis % len(layout) not in axes:
            return state
        if stateful:
            return State(Standing.MIXED, "passes from one sample to the next", named(node))
        return state | unproved("takes one sample after the other", node)


def independence(follower: Follower, batch_axes: Mapping[str, int | None]) -> Independence:
    """The states of all values, the samples lying along one axis of each input.

    Args:
        follower: The graph, followed with those axes.
        batch_axes: For each graph input the axis that holds samples; None where it is the same for all samples.
    """
    graph = follower.network.model.graph
    found = Independence(follower)
    shared = _shares_its_name(graph.inputs, batch_axes)
    for value in graph.inputs:
        given = batch_axes.get(value.name or "") is not None
        state = APART
        if value not in follower.layouts:
            state = unproved(f"input '{value.name}' has no shape in the file", None)
        elif shared:
            state = unproved("an axis without samples goes by the name of the samples' axis", None)
        found.states[value] = state if given else FREE
    found.graph(graph, FREE)
    return found


def _shares_its_name(inputs: Sequence[ir.Value], batch_axes: Mapping[str, int | None]) -> bool:
    """Whether the file says of some other axis that it is as long as the samples' axis."""
    named: dict[bool, set[str]] = {True: set(), False: set()}
    for value in inputs:
        for axis, size in enumerate(sizes(value) or ()):
            if isinstance(size, str):
                named[axis == batch_axes.get(value.name or "")].add(size)
    return not named[True].isdisjoint(named[False])


def _under(control: State, state: State) -> State:
    """The state of a value that a body gives out, where something decides how bodies run."""
    if control.standing > state.standing:
        return state | control
    return replace(state, untold=state.untold or control.untold)


def _decided(state: State, node: ir.Node) -> State:
    """The state of what runs only if something says so; where a sample says so, lengths depend on the data."""
    if state.standing is Standing.FREE or state.standing >= Standing.RANGE:
        return replace(state, untold=state.standing is not Standing.FREE)
    if state.standing is Standing.APART:
        return unproved("decides by a sample's value which nodes run", node, untold=True)
    return unproved("decides by the number of samples which nodes run", node)
