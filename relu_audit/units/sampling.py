"""Which axis of each input holds the samples, and whether samples may share a run: candidates, each with its proof."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import onnx_ir as ir

from relu_audit.activations.readings import Rectifies
from relu_audit.errors import UsageError
from relu_audit.model.scopes import walk
from relu_audit.network.normalize import Network, sizes
from relu_audit.operators.layout import Axis, Kind, Layout, Size, axis_size
from relu_audit.operators.terms import matched, terms_of
from relu_audit.units.channels import FIXED_BATCH, Follower
from relu_audit.units.independence import Independence, independence
from relu_audit.units.overview import Overview
from relu_audit.units.standing import FREE, Standing, State

Place = tuple[str, int]
"""An axis of an input, by the input's name."""

_BATCH_NAME = re.compile(r"(^|[^a-z])(batch|batches|batch_?size|bs|n|b|samples?|num_samples)($|[^a-z])", re.IGNORECASE)

MOST_READINGS = 32
"""Readings that are proved, at most; those that are preferred come first."""


@dataclass(frozen=True)
class Candidate:
    """One reading of the inputs.

    Attributes:
        axes: For each input the axis that holds samples; None where the whole input belongs to every sample.
        fixed: Samples in a run, where the file fixes them.
        sites: The worst state of a rectified value, or of what decides whether its node runs.
        results: The worst state of a result of the graph.
    """

    axes: Mapping[str, int | None]
    fixed: int | None
    sites: State
    results: State

    @property
    def state(self) -> State:
        """The state that decides; unproved results do not stop proved sites from sharing runs, mixed ones do."""
        if self.fixed == 1:
            return FREE
        return self.results if self.results.standing is Standing.MIXED else self.sites


def readings(overview: Overview, stated: Mapping[str, int | None] | None = None) -> tuple[Candidate, ...]:
    """The readings of a graph's inputs, in the order in which they are to be preferred, up to the first proved one.

    Args:
        overview: What is read of the graph.
        stated: Axis of samples by input, as the user states it; None for an input that belongs to every sample as a
            whole. There is one reading then, which agrees.

    Raises:
        UsageError: ``batch-axis`` for an input or an axis that is not there.
    """
    for name, axis in (stated or {}).items():
        _check_stated(overview.network, name, axis)
    possible, watched = _possible(overview), _watched(overview)
    if stated:
        possible = [_agreeing(overview.network, possible, stated)]
    proved: list[Candidate] = []
    for axes in possible:  # each proof visits the whole graph
        proved.append(_with_proof(overview, axes, watched))
        if proved[-1].state.standing <= Standing.APART:
            break
    return tuple(proved)


def _possible(overview: Overview) -> Sequence[Mapping[str, int | None]]:
    """The readings that are worth a proof, those first that are to be preferred."""
    graph = overview.network.model.graph
    values = [value for value in graph.inputs if value.name not in graph.initializers]
    shapes = {value.name or "": sizes(value) for value in values}
    follower = overview.along({})
    found = islice(_readings(follower, shapes, _classes(follower, shapes)), MOST_READINGS)
    return [*{tuple(axes.items()): axes for axes in found}.values()]


def _agreeing(
    network: Network, possible: Sequence[Mapping[str, int | None]], stated: Mapping[str, int | None]
) -> Mapping[str, int | None]:
    """The first reading that agrees with what is stated."""
    agreeing = [axes for axes in possible if all(axes.get(name) == axis for name, axis in stated.items())]
    # What is stated of one input says nothing of another: the first reading stands but for that.
    nothing = dict.fromkeys(value.name or "" for value in network.model.graph.inputs)
    first: Mapping[str, int | None] = possible[0] if possible else nothing
    whole = all(axis is None for axis in stated.values())
    return {**first, **stated} if whole or not agreeing else agreeing[0]


def _check_stated(network: Network, name: str, axis: int | None) -> None:
    graph = network.model.graph
    values = {value.name or "": value for value in graph.inputs if value.name not in graph.initializers}
    if name not in values:
        raise UsageError(
            f"--batch-axis names '{name}', which is not an input of the model (it has: {', '.join(values)})",
            slug="batch-axis",
            hint="Write INPUT=AXIS with the model's own name for the input.",
        )
    known = sizes(values[name])
    if axis is not None and known is not None and not 0 <= axis < len(known):
        raise UsageError(
            f"--batch-axis {name}={axis}: the input has {len(known)} axes",
            slug="batch-axis",
            hint="Axes count from 0; write none where the whole input belongs to every sample.",
        )


def _with_proof(overview: Overview, axes: Mapping[str, int | None], watched: Watched) -> Candidate:
    fixed = _fixed(overview.network, axes)
    if fixed == 1 or not any(axis is not None for axis in axes.values()):
        return Candidate(axes, fixed, FREE, FREE)
    proof = independence(overview.along(axes), axes)
    return Candidate(axes, fixed, _of_sites(watched, proof), _of_results(overview.network, proof))


def choose(found: Sequence[Candidate]) -> Candidate | None:
    """The first that is proved, else the first that shares no more than a range, else that may be tried, else any."""
    order = (Standing.APART, Standing.RANGE, Standing.UNPROVED, Standing.MIXED)
    return next((one for limit in order for one in found if one.state.standing <= limit), None)


def _fixed(network: Network, axes: Mapping[str, int | None]) -> int | None:
    """Samples in a run, where some input fixes them."""
    for value in network.model.graph.inputs:
        axis, known = axes.get(value.name or ""), sizes(value)
        size = None if axis is None or known is None or axis >= len(known) else known[axis]
        if isinstance(size, int):
            return size
    return None


Watched = Sequence[tuple[ir.Node, Sequence[ir.Value]]]
"""The nodes that rectify, with the values that an audit looks at: the rectified one and its pre-activation."""


def _watched(overview: Overview) -> Watched:
    return [
        (step.node, [step.node.outputs[0], *([] if read.source is None else [read.source])])
        for step, read in overview.activations
        if isinstance(read, Rectifies)
    ]


def _of_sites(watched: Watched, proof: Independence) -> State:
    found = FREE
    for node, values in watched:
        for value in values:
            found = found | proof.of_data(value, node)
        found = found | proof.control.get(node, FREE)
    return found


def _of_results(network: Network, proof: Independence) -> State:
    found = FREE
    for value in network.model.graph.outputs:
        found = found | proof.state(value)
    return found


# Readings -----------------------------------------------------------------------------------------------------------


def _readings(
    follower: Follower, shapes: Mapping[str, Sequence[Size] | None], classes: Sequence[frozenset[Place]]
) -> Iterator[Mapping[str, int | None]]:
    """Axis 0 of all inputs that agree, letters named as a batch or leading a result, then all other open letters."""
    unknown = {name: 0 for name, shape in shapes.items() if shape is None}
    fixed = _stated(follower)
    stated = [one for one in classes if one & fixed]
    for one in stated:
        yield _assigned(shapes, _completed(one, classes, shapes, _first), unknown)
    first = _leading(shapes, classes)
    if first or unknown:
        yield _assigned(shapes, _completed(first, classes, shapes, _lone), unknown)
        yield _assigned(shapes, first, unknown)
    opened = [one for one in classes if any(not isinstance(_size(shapes, place), int) for place in one)]
    leading = _leading_results(follower)
    opened.sort(key=lambda one: not (one & leading or any(_named(shapes, place) for place in one)))
    for one in opened:
        if len({name for name, _ in one}) == len(one):
            yield _assigned(shapes, one, unknown)


def _assigned(
    shapes: Mapping[str, Sequence[Size] | None], places: frozenset[Place], unknown: Mapping[str, int]
) -> Mapping[str, int | None]:
    axes: dict[str, int | None] = dict.fromkeys(shapes)
    return {**axes, **dict(places), **unknown}


def _leading(shapes: Mapping[str, Sequence[Size] | None], classes: Sequence[frozenset[Place]]) -> frozenset[Place]:
    """The letters that lead an input, one after the other, as far as they give no input a second axis.

    Beside open axes a fixed one of more than one entry is a table; if all are fixed and disagree, none is a batch.
    """
    of_place = _by_place(classes)
    heads = list(dict.fromkeys(of_place[name, 0] for name, shape in shapes.items() if shape))
    is_open = any(not isinstance(size, int) for shape in shapes.values() for size in shape or ())
    lengths = {_size(shapes, place) for one in heads for place in one if place[1] == 0}
    taken = _Taken()
    for one in heads:
        found = {_size(shapes, place) for place in one}
        fixed = [size for size in found if isinstance(size, int)]
        table = any(size != 1 for size in fixed) and (is_open or len(lengths - {1}) > 1)
        single = all(len(shapes[name] or ()) == 1 for name, _ in one) and not any(isinstance(s, str) for s in found)
        if len({name for name, _ in one}) == len(one) and not table and not (single and fixed):
            taken.add(one)
    return taken.places()


def _completed(
    taken: frozenset[Place],
    classes: Sequence[frozenset[Place]],
    shapes: Mapping[str, Sequence[Size] | None],
    axis_of: Callable[[Sequence[Size]], int | None],
) -> frozenset[Place]:
    """Some letters, and those of the inputs that they leave out.

    Args:
        taken: The letters.
        classes: All letters.
        shapes: Axis sizes of the inputs.
        axis_of: The axis of such an input that may hold samples; None if it has none.
    """
    found, of_place = _Taken(taken), _by_place(classes)
    for name, shape in shapes.items():
        axis = axis_of(shape or ())
        if axis is not None:
            found.add(of_place[name, axis])
    return found.places()


def _lone(shape: Sequence[Size]) -> int | None:
    """The only open axis (a state of layers, batch, width)."""
    opened = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    return opened[0] if len(opened) == 1 else None


def _first(shape: Sequence[Size]) -> int | None:
    """The first axis, if it is open."""
    return 0 if shape and not isinstance(shape[0], int) else None


def _by_place(classes: Sequence[frozenset[Place]]) -> Mapping[Place, frozenset[Place]]:
    return {place: one for one in classes for place in one}


class _Taken:
    """Letters that are taken for the samples', no two of which are on one input."""

    def __init__(self, places: frozenset[Place] = frozenset()) -> None:
        self._names = dict(sorted(places, reverse=True))

    def add(self, one: frozenset[Place]) -> None:
        """Take a letter as well, unless an input that it is on has one already."""
        if self._names.keys().isdisjoint(name for name, _ in one):
            self._names.update(sorted(one, reverse=True))

    def places(self) -> frozenset[Place]:
        """All axes of inputs that have one of the letters."""
        return frozenset(self._names.items())


def _size(shapes: Mapping[str, Sequence[Size] | None], place: Place) -> Size:
    return (shapes[place[0]] or ())[place[1]]


def _named(shapes: Mapping[str, Sequence[Size] | None], place: Place) -> bool:
    name = _size(shapes, place)
    return isinstance(name, str) and _BATCH_NAME.search(name) is not None


# Letters ------------------------------------------------------------------------------------------------------------


def _classes(follower: Follower, shapes: Mapping[str, Sequence[Size] | None]) -> list[frozenset[Place]]:
    """The axes of the inputs, those together that meet in the graph or go by one symbol in the file."""
    places = [(name, axis) for name, shape in shapes.items() for axis in range(len(shape or ()))]
    joined = {place: [place] for place in places}

    def join(a: Place, b: Place) -> None:
        small, large = sorted((joined[a], joined[b]), key=len)
        if small is not large:
            large += small
            joined.update(dict.fromkeys(small, large))

    by_name: dict[str, Place] = {}
    for place in places:
        size = _size(shapes, place)
        if isinstance(size, str):
            join(place, by_name.setdefault(size, place))
    for axes in _meeting(follower):
        own = [place for axis in axes if (place := _own(axis)) in joined]
        for a, b in pairwise(own):
            join(a, b)
    return [frozenset(one) for one in {id(joined[place]): joined[place] for place in places}.values()]


def _own(axis: Axis) -> Place:
    """The axis of an input that an axis is, whole; a place that nothing has where it is none."""
    letter = axis[0].letter if len(axis) == 1 and not axis[0].part else None
    return (letter.weight, letter.order) if letter is not None and letter.kind is Kind.POSITION else ("", -1)


def _meeting(follower: Follower) -> Iterator[list[Axis]]:
    """Axes of operands on which a node takes entries together."""
    for step in walk(follower.network.model.graph):
        row, op = follower.row(step.node), follower.operation(step.node)
        try:
            if row is not None and row.signature:
                by_symbol: dict[str, list[Axis]] = {}
                for term, layout in zip(terms_of(op, row)[0], op.inputs, strict=False):
                    for symbol, axis in [] if layout is None else matched(term, layout):
                        by_symbol.setdefault(symbol, []).append(axis)
                yield from ([a for a in axes if axis_size(a) != 1] for axes in by_symbol.values())
            elif row is not None and row.aligned:
                operands = [layout for i, layout in enumerate(op.inputs) if i == 0 or i in row.aligned]
                yield from _lined_up(operands, follower.layouts.get(step.node.outputs[0]))
        except (LookupError, ValueError, TypeError):
            continue  # the node contradicts its operator, as the runtime will say


def _lined_up(operands: Sequence[Layout | None], result: Layout | None) -> Iterator[list[Axis]]:
    known = [layout for layout in operands if layout is not None]
    for index, axis in enumerate(result or ()):
        if _own(axis) != ("", -1):
            yield [layout[index] for layout in known if index < len(layout)]


def _stated(follower: Follower) -> frozenset[Place]:
    """Axes of inputs that come to an operator which fixes the place of its batch (RNN, say)."""
    found: set[Place] = set()
    for step in walk(follower.network.model.graph):
        row, op = follower.row(step.node), follower.operation(step.node)
        if row is None or FIXED_BATCH not in row.signature:
            continue
        for index, (term, layout) in enumerate(zip(terms_of(op, row)[0], op.inputs, strict=False)):
            for symbol, axis in [] if layout is None else matched(term, layout):
                # The data itself has its batch there; a state or a list of lengths of fixed size may be a table.
                if symbol == FIXED_BATCH and axis and (index == 0 or not isinstance(axis[0].size, int)):
                    found.add(_own(axis))
    return frozenset(found)


def _leading_results(follower: Follower) -> frozenset[Place]:
    """Axes of inputs that lead a result of the graph."""
    layouts = [follower.layouts.get(value) for value in follower.network.model.graph.outputs]
    return frozenset(_own(layout[0]) for layout in layouts if layout)
