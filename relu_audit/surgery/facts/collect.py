"""Ask every node of a graph, and of its bodies, for its facts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from relu_audit.model.kinds import is_tensor
from relu_audit.model.parameters import CODES
from relu_audit.model.scopes import bodies, walk
from relu_audit.operators.bodies import BRANCHES
from relu_audit.surgery.facts.combine import combine
from relu_audit.surgery.facts.facts import Facts, named
from relu_audit.surgery.facts.follow import follow, settle
from relu_audit.surgery.facts.shuffles import find_shuffle, link_shuffle
from relu_audit.surgery.runs.routes import Moved
from relu_audit.surgery.runs.survey import Survey


def collect(survey: Survey, picking: Collection[ir.Node] = ()) -> Facts:
    """The facts of all nodes of a graph and of its bodies.

    Args:
        survey: The graph.
        picking: Nodes whose results may lack what their operands have.
    """
    facts = Facts(survey.atoms, picking=frozenset(picking))
    graph = survey.network.model.graph
    contested: list[tuple[ir.Node, Moved]] = []
    within: set[ir.Node] = set()
    _pin_borders(survey, facts, graph)
    for step in walk(graph):
        node, law = step.node, survey.law(step.node)
        if bodies(node):
            _through_bodies(survey, facts, node)
        elif not all(is_tensor(value) for value in (*node.inputs, *node.outputs) if value is not None):
            facts.pin_node(node, "sequence", f"{named(node)} puts it into a sequence or takes it out of one")
        elif any(_is_empty(survey, value) for value in (*node.inputs, *node.outputs)):
            facts.pin_node(node, "empty", f"{named(node)} reads or makes a value without entries")
        elif law is not None and law.measures is not None:
            for value in node.outputs:
                facts.pin_value(value, "shape", f"its size is read, {named(node)}")
        elif not node.inputs and _is_constant(survey, node):
            pass
        elif law is None or (node.outputs and all(_counts(survey, value) for value in node.outputs)):
            facts.pin_node(node, "unknown-operator", f"the axes of {named(node)} are not known")
        elif node in within:
            pass
        elif law.moves and (shuffle := find_shuffle(survey, node)) is not None:
            link_shuffle(facts, shuffle)
            within.update(shuffle.nodes)
        elif law.moves:
            follow(survey, facts, node, law, contested)
        else:
            combine(survey, facts, node, law)
    for node, moved in contested:
        settle(facts, node, moved)
    return facts


def _is_empty(survey: Survey, value: ir.Value | None) -> bool:
    """Whether a computed value has an axis of length zero; empty constants say that there is nothing to say."""
    return value is not None and 0 in (survey.atoms.shape(value) or ()) and survey.constant(value) is None


def _is_constant(survey: Survey, node: ir.Node) -> bool:
    return all(value in survey.numbers for value in node.outputs)


def _counts(survey: Survey, value: ir.Value) -> bool:
    """Whether a value is arithmetic on sizes; what sizes only spread, as a constant that is expanded, is data."""
    data = value.dtype is not None and (value.dtype.is_floating_point() or value.dtype in CODES)
    return value in survey.measured and not data


def _pin_borders(survey: Survey, facts: Facts, graph: ir.Graph) -> None:
    """What goes in and out keeps its shape."""
    for value in graph.inputs:
        facts.pin_value(value, "graph-input", f"'{value.name}' is an input of the model")
    for value in graph.outputs:
        facts.pin_value(value, "graph-output", f"'{value.name}' is an output of the model")


def _through_bodies(survey: Survey, facts: Facts, node: ir.Node) -> None:
    """A branch's results are the node's; everything else that enters or leaves a body keeps its shape."""
    row = survey.row(node)
    if row is not None and row.body is BRANCHES:
        _through_branches(facts, node)
        return
    for _, body in bodies(node):
        for value in body.inputs:
            facts.pin_value(value, "loop-body", f"it enters the body of a loop, {named(node)}")
        for value in body.outputs:
            facts.pin_value(value, "loop-body", f"it leaves the body of a loop, {named(node)}")
    for value in node.outputs:
        facts.pin_value(value, "loop-body", f"it comes out of a loop, {named(node)}")
    for value in node.inputs:
        facts.pin_value(value, "loop-body", f"it is handed over to a loop, {named(node)}")


def _through_branches(facts: Facts, node: ir.Node) -> None:
    """What comes out of one branch or the other is one value, axis by axis where both have it."""
    for _, body in bodies(node):
        for result, value in zip(node.outputs, body.outputs, strict=False):
            shared = _shared_axes(facts.atoms.shape(value), facts.atoms.shape(result))
            for axis in shared:
                facts.link(facts.atoms.along(value, axis), facts.atoms.along(result, axis), node)
            facts.pin_value(value, "if-branch", f"it leaves a branch of {named(node)} in a shape of its own", shared)
            facts.pin_value(result, "if-branch", f"it comes out of a branch of {named(node)}", shared)


def _shared_axes(one: Sequence[int | None] | None, other: Sequence[int | None] | None) -> frozenset[int]:
    """Axes of one known length in two shapes of equal rank."""
    if one is None or other is None or len(one) != len(other):
        return frozenset()
    return frozenset(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a == b and a is not None and a > 1)
