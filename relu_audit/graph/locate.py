"""Find every rectifier and say which axis of it holds the units; what cannot be observed is named with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import onnx_ir as ir

from relu_audit.errors import UsageError
from relu_audit.graph import axes, channels, lifts, rectifiers
from relu_audit.graph.inputs import GraphInput
from relu_audit.graph.layout import Axis, Factor, Kind, Layout, Letter, Size
from relu_audit.graph.normalize import Network
from relu_audit.graph.scopes import Step, walk
from relu_audit.records import Alive, Site, Skipped


@dataclass(frozen=True)
class Piece:
    """Part of an axis: ``u`` units, ``n`` batch or ``~`` positions, and its size where the file tells."""

    role: str
    size: Size = None
    part: tuple[int, ...] = ()


Pattern = tuple[tuple[Piece, ...], ...]
"""The pieces of each axis, outermost first."""


@dataclass(frozen=True)
class Use:
    """One rectifier node of a site.

    Attributes:
        output: The rectified value.
        source: The pre-activation.
        pattern: What its axes hold; None while the rank is unknown.
        hides_nan: Whether a NaN in the source does not show in the output.
        owners: The nodes whose bodies it sits in, outermost first.
        position: Its number among all nodes of the model.
    """

    output: ir.Value
    source: ir.Value
    pattern: Pattern | None
    hides_nan: bool
    owners: tuple[ir.Node, ...]
    position: int

    @property
    def batch_alone(self) -> bool:
        """Whether samples have an axis of their own here."""
        return self.pattern is not None and any(len(a) == 1 and a[0].role == "n" for a in self.pattern)


@dataclass(frozen=True)
class Located:
    """A site and the nodes that make it up."""

    site: Site
    uses: tuple[Use, ...]

    @property
    def units(self) -> int:
        """Number of units, as far as the file tells; 0 where it does not."""
        pieces = [piece for axis in self.uses[0].pattern or () for piece in axis if piece.role == "u"]
        return math.prod(piece.size if isinstance(piece.size, int) else 0 for piece in pieces)


@dataclass(frozen=True)
class Census:
    """Everything in the graph that rectifies, stays alive, or could not be told."""

    located: tuple[Located, ...]
    alive: tuple[Alive, ...]
    skipped: tuple[Skipped, ...]


@dataclass
class _Found:
    """A rectifier node on its way to a site; without a lineage it is one by itself."""

    step: Step
    reading: rectifiers.Rectifies
    placing: _Placing
    lineage: object = field(default_factory=object)

    @property
    def node(self) -> ir.Node:
        return self.step.node


@dataclass(frozen=True)
class _Placing:
    pattern: Pattern | None
    axis_from: str
    assumed: bool
    weight: str | None
    order: int | None = None


def locate(
    network: Network,
    inputs: Sequence[GraphInput],
    unit_axes: Mapping[str, int] | None = None,
    ranks: Mapping[int, int | None] | None = None,
) -> Census:
    """Find the rectifiers of a graph.

    Args:
        network: The graph.
        inputs: Its inputs, for their batch axes.
        unit_axes: Unit axis by rectified tensor, where the user knows better.
        ranks: Ranks seen at run time, by position, where the file does not tell them; None for a node not reached.

    Raises:
        UsageError: ``unit-axis`` names a tensor that is no rectifier's output, or an axis it does not have.
    """
    wanted = dict(unit_axes or {})
    steps = list(walk(network.model.graph))
    readings = [rectifiers.read(network, step.node) for step in steps]
    for step, reading in zip(steps, readings, strict=True):
        if isinstance(reading, rectifiers.Rectifies):
            _note_rank(step.node, (ranks or {}).get(step.position))
    layouts = channels.follow(network, axes.rule, {i.name: i.batch_axis for i in inputs})
    found: list[_Found] = []
    alive: list[Alive] = []
    skipped: list[Skipped] = []
    position = {step.node: step.position for step in steps}
    for step, reading in zip(steps, readings, strict=True):
        node, scope = step.node, step.scope
        tensor = (node.outputs[0].name or "") if node.outputs else ""
        match reading:
            case None:
                continue
            case rectifiers.StaysAlive(name, reason):
                alive.append(Alive(tensor=tensor, scope=scope, op=name, reason=reason))
            case rectifiers.Unclear(name, detail):
                skipped.append(Skipped(tensor=tensor, scope=scope, op=name, slug="bounds-not-constant", detail=detail))
            case rectifiers.Rectifies(spelling) if (reason := lifts.obstacle(step.owners)) is not None:
                skipped.append(Skipped(tensor=tensor, scope=scope, op=spelling, slug="in-subgraph", detail=reason))
            case rectifiers.Rectifies(spelling):
                layout = layouts.get(node.outputs[0])
                if layout is None and ranks is not None:
                    detail = "the file does not tell how many axes it has, and the first sample does not reach it"
                    skipped.append(Skipped(tensor=tensor, scope=scope, op=spelling, slug="unknown-rank", detail=detail))
                    continue
                placing = _place(layout, tensor, wanted.pop(tensor, None), _read_axis(network, node, layout))
                this = _Found(step=step, reading=reading, placing=placing)
                this.lineage = _lineage(network, this, position) or this.lineage
                found.append(this)
    if wanted:
        raise _not_a_rectifier(wanted, (f.node.outputs[0].name or "" for f in found))
    return Census(located=tuple(_sites(found)), alive=tuple(alive), skipped=tuple(skipped))


def _note_rank(node: ir.Node, seen: int | None) -> None:
    """Write a rectifier's rank, from the file or as it was seen, on both its values: it does not change it."""
    values = [value for value in (*node.inputs[:1], *node.outputs) if value is not None]
    rank = next((len(value.shape) for value in values if value.shape is not None), seen)
    for value in values:
        if value.shape is None and rank is not None:
            value.shape = ir.Shape([None] * rank)


def _sites(found: Sequence[_Found]) -> Iterator[Located]:
    """One site per rectifier; places that share the rectifier's weights are one, named by the first."""
    first: dict[object, int] = {}
    for index, this in enumerate(found):
        first.setdefault(this.lineage, index)
    by_site = sorted(range(len(found)), key=lambda i: (first[found[i].lineage], i))
    for _, indices in groupby(by_site, key=lambda i: first[found[i].lineage]):
        members = [found[i] for i in indices]
        head = members[0]
        uses = {
            (use.source, use.pattern): use
            for use in (
                Use(
                    output=m.node.outputs[0],
                    source=_source(m),
                    pattern=m.placing.pattern,
                    hides_nan=m.reading.hides_nan,
                    owners=m.step.owners,
                    position=m.step.position,
                )
                for m in reversed(members)
            )
        }
        yield Located(
            site=Site(
                tensor=head.node.outputs[0].name or "",
                tensors=tuple(m.node.outputs[0].name or "" for m in members),
                scope=head.step.scope,
                op=head.reading.spelling,
                layout=_text(head.placing.pattern),
                unit_axis=_unit_axis(head.placing.pattern),
                axis_from=head.placing.axis_from,
                assumed=head.placing.assumed,
                weight=head.placing.weight,
            ),
            uses=tuple(reversed(uses.values())),
        )


def _source(found: _Found) -> ir.Value:
    source = found.node.inputs[found.reading.source]
    assert source is not None  # noqa: S101 - a rectifier without its input does not parse
    return source


def _place(layout: Layout | None, tensor: str, wanted: int | None, read: channels.Reading | None) -> _Placing:
    """Which axes hold units, batch and positions."""
    if layout is None:
        return _Placing(pattern=None, axis_from="", assumed=True, weight=None)
    if wanted is not None:
        if not -len(layout) <= wanted < len(layout):
            raise UsageError(f"--unit-axis {tensor}={wanted}: the tensor has {len(layout)} axes", slug="unit-axis")
        units = {wanted % len(layout)}
        if any(factor.letter.kind is Kind.BATCH for factor in layout[wanted]):
            raise UsageError(f"--unit-axis {tensor}={wanted}: that axis holds the samples", slug="unit-axis")
        pattern = tuple(_pieces_of_axis(axis, whole=i in units) for i, axis in enumerate(layout))
        return _Placing(pattern=pattern, axis_from="given by --unit-axis", assumed=False, weight=None)
    letter, why = _unit_letter(layout)
    if letter is None and read is not None:
        pattern = tuple(_pieces_of_axis(a, whole=i == read.axis) for i, a in enumerate(layout))
        why = f"input axis of weight '{read.weight}', which reads it"
        return _Placing(pattern=pattern, axis_from=why, assumed=False, weight=None)
    if letter is None:
        axis = _fallback(layout)
        pattern = tuple(_pieces_of_axis(a, whole=i == axis) for i, a in enumerate(layout))
        return _Placing(pattern=pattern, axis_from=why, assumed=True, weight=None)
    pattern = _without_idle_units(tuple(_pieces(axis, letter) for axis in layout))
    if all(_unfolds(axis) for axis in pattern) and sum(len(axis) > 1 for axis in pattern) <= 1:
        order = letter.order if letter.kind is Kind.BORN else None
        return _Placing(pattern=pattern, axis_from=why, assumed=False, weight=letter.weight, order=order)
    # Units and positions share an axis in a way that cannot be undone: every entry of it counts as a unit.
    pattern = tuple(
        _pieces_of_axis(axis, whole=any(p.role == "u" for p in pieces))
        for axis, pieces in zip(layout, pattern, strict=True)
    )
    why = f"flattened together with positions; every entry counts as a unit ({why})"
    return _Placing(pattern=pattern, axis_from=why, assumed=True, weight=letter.weight)


def _read_axis(network: Network, node: ir.Node, layout: Layout | None) -> channels.Reading | None:
    return None if layout is None else channels.read_at(network, axes.rule, node.outputs[0], len(layout))


def _unit_letter(layout: Layout) -> tuple[Letter | None, str]:
    # Of letters born together the wider axis names the weight: an LSTM's units, not its direction.
    factors = sorted((factor for axis in layout for factor in axis), key=lambda factor: factor.size == 1)
    letters = [factor.letter for factor in factors]
    born = [letter for letter in letters if letter.kind is Kind.BORN]
    if born:
        letter = max(born, key=lambda x: x.order)
        return letter, f"output axis of weight '{letter.weight}'"
    held = {letter for letter in letters if letter.kind is Kind.WEIGHT}
    places = sum(any(f.letter.kind is Kind.WEIGHT for f in axis) for axis in layout)
    if len(held) == 1 and places == 1:
        letter = held.pop()
        return letter, f"axis of parameter '{letter.weight}'"
    return None, "no weight upstream says which axis holds the units"


def _fallback(layout: Layout) -> int | None:
    """Axis 1 for three axes or more, else the last one; never the batch. None: one unit."""
    open_axes = [i for i, axis in enumerate(layout) if not any(f.letter.kind is Kind.BATCH for f in axis)]
    if not open_axes:
        return None
    return 1 if len(layout) >= 3 and 1 in open_axes else open_axes[-1]


def _pieces(axis: Axis, letter: Letter) -> tuple[Piece, ...]:
    """Roles of an axis' factors, neighbours of one role joined; one birth may bring several letters."""
    pieces: list[Piece] = []
    for factor in axis:
        role = _role(factor, letter, alone=len(axis) == 1)
        if pieces and pieces[-1].role == role == "~":
            last = pieces[-1].size
            both = last * factor.size if isinstance(last, int) and isinstance(factor.size, int) else None
            pieces[-1] = Piece(role, both)
        else:
            pieces.append(Piece(role, factor.size, factor.part if role == "u" else ()))
    return tuple(pieces)


def _without_idle_units(pattern: Pattern) -> Pattern:
    """Unit axes of size one count as positions beside others, as the one direction of an LSTM does."""
    units = [piece for axis in pattern for piece in axis if piece.role == "u"]
    if all(piece.size == 1 for piece in units):
        return pattern
    idle = Piece("~", 1)
    return tuple(tuple(idle if piece.role == "u" and piece.size == 1 else piece for piece in axis) for axis in pattern)


def _role(factor: Factor, letter: Letter, *, alone: bool) -> str:
    same = factor.letter == letter or (letter.kind is Kind.BORN and factor.letter.order == letter.order)
    if same and factor.letter.kind is letter.kind:
        return "u"
    return "n" if alone and factor.letter.kind is Kind.BATCH and not factor.part else "~"


def _pieces_of_axis(axis: Axis, *, whole: bool) -> tuple[Piece, ...]:
    if whole:
        return (Piece("u", None),)
    if not axis:
        return ()
    alone = len(axis) == 1 and axis[0].letter.kind is Kind.BATCH and not axis[0].part
    return (Piece("n" if alone else "~", axis[0].size if len(axis) == 1 else None),)


def _unfolds(axis: tuple[Piece, ...]) -> bool:
    return len(axis) < 2 or sum(not isinstance(piece.size, int) for piece in axis) <= 1


def _lineage(network: Network, found: _Found, position: Mapping[ir.Node, int]) -> object | None:
    """What a rectifier computes from, back to the weight its units are born at; None where that is no single path.

    Two rectifiers of the same lineage are one layer applied in two places.
    """
    if found.placing.order is None:
        return None
    path: list[object] = [(found.node.op_type, found.reading.spelling)]
    node = found.node
    while position[node] != found.placing.order:
        if node is not found.node:
            path.append(_identity(network, node))
        moving = [v for v in node.inputs if v is not None and v not in network.weights]
        producer = moving[0].producer() if len(moving) == 1 else None
        if producer is None or producer not in position:
            return None
        path.append(moving[0].index())  # the halves of a Split are two layers
        node = producer
    return (*path, _identity(network, node))


def _identity(network: Network, node: ir.Node) -> object:
    parameters: list[object] = []
    for value in node.inputs:
        if value is None or value not in network.weights:
            parameters.append(None)
        elif value.const_value is not None:
            parameters.append(value.name)
        else:
            constant, producer = network.constant(value), value.producer()
            if constant is not None:
                parameters.append((constant.shape, constant.tobytes()))
            else:
                parameters.append(value.name if producer is None else _identity(network, producer))
    attributes = tuple(sorted((name, str(attribute.value)) for name, attribute in node.attributes.items()))
    return (node.domain, node.op_type, attributes, tuple(parameters))


def _text(pattern: Pattern | None) -> str:
    if pattern is None:
        return "?"
    terms = ["1" if not axis else " ".join(piece.role for piece in axis) for axis in pattern]
    return " ".join(f"({term})" if " " in term else term for term in terms)


def _unit_axis(pattern: Pattern | None) -> int | None:
    return next((i for i, axis in enumerate(pattern or ()) if any(p.role == "u" for p in axis)), None)


def _not_a_rectifier(wanted: Iterable[str], tensors: Iterable[str]) -> UsageError:
    named = ", ".join(f"'{tensor}'" for tensor in list(tensors)[:8]) or "none"
    return UsageError(
        f"--unit-axis names '{next(iter(wanted))}', which is not the output of a rectifier that can be observed",
        slug="unit-axis",
        hint=f"Rectifiers here: {named}",
    )
