"""Find every rectifier and say which axis of it holds the units; what cannot be observed is named with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

import onnx_ir as ir
from msgspec import UNSET, UnsetType

from relu_audit.activations import blocks
from relu_audit.activations.readings import Rectifies, StaysAlive, Unclear
from relu_audit.activations.taps import OPEN, Tap, Turned
from relu_audit.errors import UsageError
from relu_audit.model import lifts
from relu_audit.model.scopes import Step, walk
from relu_audit.network.normalize import Network
from relu_audit.operators.layout import Kind, Layout
from relu_audit.records import Alive, Site, Skipped
from relu_audit.units import channels
from relu_audit.units.inputs import GraphInput
from relu_audit.units.limits import Limits, limits
from relu_audit.units.lineage import Lineages
from relu_audit.units.overview import Overview
from relu_audit.units.placing import Pattern, Placing, place


@dataclass(frozen=True)
class Use:
    """One rectifier node of a site.

    Attributes:
        output: The rectified value.
        source: The pre-activation; None where it shows nowhere.
        tap: How the two are read.
        pattern: What its axes hold; None while the rank is unknown.
        hides_nan: Whether a NaN in the source does not show in the output.
        owners: The nodes whose bodies it sits in, outermost first.
        position: Its number among all nodes of the model.
        above: The largest input that it does not let through, for each unit, or one number for all of them.
    """

    output: ir.Value
    source: ir.Value | None
    tap: Tap
    pattern: Pattern | None
    hides_nan: bool
    owners: tuple[ir.Node, ...]
    position: int
    above: tuple[float, ...] = (0.0,)

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
        pattern = self.uses[0].pattern
        if pattern is None:
            return 0
        pieces = [piece for axis in pattern for piece in axis if piece.role == "u"]
        return math.prod(piece.size if isinstance(piece.size, int) else 0 for piece in pieces)


@dataclass(frozen=True)
class Census:
    """Everything in the graph that rectifies, stays alive, or could not be told.

    Attributes:
        located: The rectifiers, in graph order.
        alive: Activations that pass a gradient on both sides.
        skipped: What rectifies, or may, and cannot be observed.
        position: The number of every node of the graph, before anything is put into it.
    """

    located: tuple[Located, ...]
    alive: tuple[Alive, ...]
    skipped: tuple[Skipped, ...]
    position: Mapping[ir.Node, int]


@dataclass
class _Found:
    """A rectifier node on its way to a site; without a lineage it is one by itself."""

    step: Step
    reading: Rectifies
    placing: Placing
    limits: Limits
    lineage: object = field(default_factory=object)

    @property
    def node(self) -> ir.Node:
        return self.step.node


def locate(
    overview: Overview,
    inputs: Sequence[GraphInput],
    unit_axes: Mapping[str, int] | None = None,
) -> Census:
    """Find the rectifiers of a graph.

    Args:
        overview: What is read of the graph.
        inputs: Its inputs, for their batch axes.
        unit_axes: Unit axis by rectified tensor, where the user knows better.

    Raises:
        UsageError: ``unit-axis`` names a tensor that is no rectifier's output, or an axis it does not have.
    """
    wanted = dict(unit_axes or {})
    network = overview.network
    layouts = overview.along({one.name: one.batch_axis for one in inputs}).layouts
    position = {step.node: step.position for step in walk(network.model.graph)}
    lineages = Lineages(network, position, layouts)
    rectifiers: list[_Found] = []
    alive: list[Alive] = []
    skipped: list[Skipped] = []
    for step, reading in overview.activations:
        named = _Name(tensor=_tensor(step.node), scope=step.scope)
        match reading:
            case StaysAlive(name, reason):
                alive.append(Alive(tensor=named.tensor, scope=named.scope, op=name, reason=reason))
            case Unclear(name, detail, slug):
                skipped.append(named.skipped(name, slug=slug, detail=detail))
            case Rectifies(spelling) if (reason := lifts.obstacle(step.owners)) is not None:
                skipped.append(named.skipped(spelling, slug="in-subgraph", detail=reason))
            case Rectifies(spelling):
                reading = _tapped(step.node, reading)
                layout = layouts.get(reading.like or step.node.outputs[0])
                if layout is None and overview.ranks_seen:
                    detail = "the file does not tell how many axes it has, and the first sample does not reach it"
                    skipped.append(named.skipped(spelling, slug="unknown-rank", detail=detail))
                    continue
                if reading.implicit and not _of_a_weight(layout):
                    continue  # codes of the input, say, that just happen to begin at zero
                layout = None if layout is None else reading.tap.layout(layout)
                placing = place(layout, named.tensor, wanted.pop(named.tensor, None), _read_axis(network, step, layout))
                bound = limits(reading, placing.pattern)
                if bound is not None and bound.nothing and reading.slopes:
                    reason = "each of its units has a slope on both sides at some position"
                    alive.append(Alive(tensor=named.tensor, scope=named.scope, op=spelling, reason=reason))
                    continue
                if bound is None or bound.nothing:
                    detail = (
                        "its slopes or bounds differ within its units, or in a way that cannot be told apart by unit"
                    )
                    skipped.append(named.skipped(spelling, slug="bounds-not-by-unit", detail=detail))
                    continue
                this = _Found(step=step, reading=reading, placing=placing, limits=bound)
                this.lineage = lineages.of(step.node, reading, placing.order) or this.lineage
                rectifiers.append(this)
            case None:
                pass
    if wanted:
        raise _not_a_rectifier(wanted, (_tensor(one.node) for one in rectifiers))
    return Census(located=tuple(_sites(rectifiers)), alive=tuple(alive), skipped=tuple(skipped), position=position)


@dataclass(frozen=True)
class _Name:
    tensor: str
    scope: str

    def skipped(self, op: str, *, slug: str, detail: str) -> Skipped:
        return Skipped(tensor=self.tensor, scope=self.scope, op=op, slug=slug, detail=detail)


def _tensor(node: ir.Node) -> str:
    """The name under which a node's result is known; some operators have several, and their first may be left out."""
    return next((value.name for value in node.outputs if value.name), "")


def _tapped(node: ir.Node, reading: Rectifies) -> Rectifies:
    if reading.tap is OPEN:
        return replace(reading, tap=blocks.tap(node.outputs[0]))
    if isinstance(reading.tap, Turned) and reading.tap.inner is OPEN:
        return replace(reading, tap=replace(reading.tap, inner=blocks.tap(node.outputs[0])))
    return reading


def _counted_as(tap: Tap) -> Literal["negated", "magnitude"] | UnsetType:
    return tap.output if isinstance(tap, Turned) and tap.output != "plain" else UNSET


def _of_a_weight(layout: Layout | None) -> bool:
    return layout is None or any(factor.letter.kind is Kind.BORN for axis in layout for factor in axis)


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
            (m.reading.base or m.node.inputs[0], m.placing.pattern): Use(
                output=m.node.outputs[0],
                source=m.reading.source,
                tap=m.reading.tap,
                pattern=m.placing.pattern,
                hides_nan=m.reading.hides_nan,
                owners=m.step.owners,
                position=m.step.position,
                above=m.limits.above,
            )
            for m in reversed(members)
        }
        yield Located(
            site=Site(
                tensor=_tensor(head.node),
                tensors=tuple(_tensor(m.node) for m in members),
                scope=head.step.scope,
                op=head.reading.spelling + head.limits.share,
                layout=head.placing.layout,
                unit_axis=head.placing.unit_axis,
                axis_from=head.placing.axis_from,
                assumed=head.placing.assumed,
                weight=head.placing.weight,
                implicit=head.reading.implicit or None,
                counted_as=_counted_as(head.reading.tap),
                not_rectified=head.limits.exempt or UNSET,
            ),
            uses=tuple(reversed(uses.values())),
        )


def _read_axis(network: Network, step: Step, layout: Layout | None) -> channels.Reading | None:
    return None if layout is None else channels.read_at(network, network.rules, step.node.outputs[0], len(layout))


def _not_a_rectifier(wanted: Iterable[str], tensors: Iterable[str]) -> UsageError:
    named = ", ".join(f"'{tensor}'" for tensor in list(tensors)[:8]) or "none"
    return UsageError(
        f"--unit-axis names '{next(iter(wanted))}', which is not the output of a rectifier that can be observed",
        slug="unit-axis",
        hint=f"Rectifiers here: {named}",
    )
