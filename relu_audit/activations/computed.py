"""What nodes are by the functions that they compute: an activation is one however many nodes it is written with.

A node whose result is flat at zero on one side rectifies. Where all that several nodes make of one value comes together
again, the whole is the activation, and its parts are none: two rectifiers make a PReLU, ``Relu(x) - 0.25 * Relu(-x)``,
which has a slope on both sides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir

from relu_audit.activations import flat, pieces, spelt
from relu_audit.activations.flat import Flat
from relu_audit.activations.formulas import number
from relu_audit.activations.readings import Reading, Rectifies, StaysAlive, Unclear
from relu_audit.activations.spelt import Functions, Whole
from relu_audit.activations.taps import OPEN, Turned
from relu_audit.values.uniform import uniform


def read(functions: Functions, node: ir.Node) -> Reading:
    """What the node is by the function that it ends; None if it is no activation, or a part of another one."""
    if node.outputs[0].dtype in _WHOLE and node.op_type not in _NAMED:
        return None
    own = _of_itself(functions, node)
    if own is None:
        core = _scaled_by(functions, node)
        return _unclear(functions, node) if core is None else _with_scales(functions, node, core)
    made, reading = own
    return None if _behind(functions, made, reading) or _is_part(functions, node) else reading


_WHOLE = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)
"""Types of sizes and indices, which carry no gradient: Clip and Max bound those as well."""

_NAMED = ("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu")
"""Operators that are activations whatever their type."""


def never_negative(functions: Functions, node: ir.Node) -> bool:
    """Whether a node's result cannot be negative, by what it makes of the value that it is made of."""
    made = functions.whole(node) if _may_bend(functions, node) else None
    return made is not None and flat.never_negative(made.curve)


def cuts_at_zero(functions: Functions, node: ir.Node) -> bool:
    """Whether it makes no difference to a node that what it reads is cut off below zero."""
    made = functions.whole(node)
    found = None if made is None or made.joins else flat.flat(made.curve)
    return found is not None and found.source == "plain" and bool((found.entries & (found.above >= 0)).all())


Own = tuple[Whole, Rectifies | StaysAlive]


def _of_itself(functions: Functions, node: ir.Node) -> Own | None:
    """The function that a node ends, whatever is made of it behind."""
    return functions.once(("own", node), lambda: _ended(functions, node))


def _ended(functions: Functions, node: ir.Node) -> Own | None:
    made = functions.whole(node) if _may_bend(functions, node) else None
    if made is None:
        return None
    found, parts = flat.flat(made.curve), _parts(functions, made)
    if made.joins and not len(made.curve.knots) and not parts:
        return None
    if found is not None and not _only_passes_on(made, parts):
        return made, rectifying(made, found)
    if found is not None or not flat.alive(made.curve).all():
        return None
    if parts:
        return made, StaysAlive(made.text, "it has a slope on both sides of its input")
    if made.joins or node.op_type not in _ALIVE:
        return None
    return made, StaysAlive(node.op_type, _ALIVE[node.op_type].format(alpha=number(node, "alpha", 0.01)))


def _may_bend(functions: Functions, node: ir.Node) -> bool:
    """Whether a node ends anything but a straight line, as far as that can be told without looking at numbers."""
    step, way = spelt.step_of(node), functions.between(node)
    return step is not None and way is not None and not step.condition and (len(way[1]) > 1 or step.activation)


def _parts(functions: Functions, made: Whole) -> list[ir.Node]:
    """The nodes of a function that rectify and that nothing else makes use of."""
    return [node for node in _enclosed(made.nodes) if _is_flat(functions, node)]


def _enclosed(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes of a function but the last, if nothing reads their results but others of them."""
    last = nodes[-1]
    found = list[ir.Node]()
    for node in reversed(nodes[:-1]):
        value = node.outputs[0]
        if not value.is_graph_output() and all(user is last or user in found for user, _ in value.uses()):
            found.append(node)
    return found


def _is_flat(functions: Functions, node: ir.Node) -> bool:
    """Whether a node by itself rectifies what it reads."""
    made = functions.whole(node) if _may_bend(functions, node) else None
    return made is not None and len(made.curve.knots) > 0 and flat.flat(made.curve) is not None


def _only_passes_on(made: Whole, parts: Collection[ir.Node]) -> bool:
    """Whether a function is flat where each of its parts is, and has one sign: the parts are the rectifiers then."""
    same = all(pieces.same_zeros(made.curves[part.outputs[0]], made.curve) for part in parts)
    return bool(parts) and same and not flat.signs(made.curve)[1].any()


def _is_part(functions: Functions, node: ir.Node) -> bool:
    """Whether all that a node gives out goes into one activation."""
    level, seen = [node], {node}
    for _ in range(spelt.LONGEST):
        users = [user for one in level for user, _ in one.outputs[0].uses() if user not in seen]
        level = list[ir.Node]()
        for user in dict.fromkeys(users):
            way = functions.between(user)
            if way is None:
                continue
            if node in _enclosed(way[1]) and _of_itself(functions, user) is not None:
                return True
            level.append(user)
        seen.update(level)
    return False


def rectifying(made: Whole, found: Flat) -> Rectifies:
    """The reading of a function that is flat at zero."""
    source = "plain" if found.source is None else found.source
    return Rectifies(
        made.text,
        source=made.base if made.shown and found.source is not None else None,
        hides_nan=not bool(np.isnan(made.curve.missing).all()),
        tap=OPEN if found.output == source == "plain" else Turned(found.output, source),
        above=found.above,
        exempt=None if found.entries.all() else ~found.entries,
        slopes=bool((flat.alive(made.curve) | found.entries).all()),
        base=made.base,
        nodes=made.nodes,
    )


# Scales behind --------------------------------------------------------------------------------------------------------


def _factor(functions: Functions, node: ir.Node) -> float | None:
    """The number that a node multiplies its operand by; None for any other node."""
    if spelt.step_of(node) is None:
        return None
    if node.op_type == "Neg":
        return -1.0
    numbers = [None if value is None else uniform(functions.network, value) for value in node.inputs]
    if node.op_type == "Mul" and len([n for n in numbers if n is not None]) == 1:
        return next(n for n in numbers if n is not None) or None
    if node.op_type == "Div" and numbers[0] is None and numbers[1]:
        return 1 / numbers[1]
    return None


def _behind(functions: Functions, made: Whole, reading: Reading) -> list[ir.Node]:
    """The scales behind a function that belong to it: of several nodes' result, and of one that turns its sign back."""
    if not isinstance(reading, Rectifies):
        return []
    output = reading.tap.output if isinstance(reading.tap, Turned) else "plain"
    if not made.joins and output != "negated":
        return []
    chain: list[ir.Node] = []
    ends, sign, node = 0, -1 if output == "negated" else 1, made.node
    while len(chain) < spelt.LONGEST and (following := _only_reader(node)) is not None:
        factor = _factor(functions, following)
        if factor is None:
            break
        chain.append(following)
        sign, node = sign * (1 if factor > 0 else -1), following
        ends = len(chain) if sign > 0 or output == "magnitude" else ends
    return chain if made.joins and output == "negated" and not ends else chain[:ends]


def _scaled_by(functions: Functions, node: ir.Node) -> Whole | None:
    """The function whose last scale a node is."""
    before = node
    for _ in range(spelt.LONGEST):
        if _factor(functions, before) is None:
            return None
        (value,) = spelt.sources(functions.network, before) or (None,)
        producer = None if value is None else value.producer()
        if producer is None:
            return None
        own = _of_itself(functions, producer)
        if own is not None:
            return own[0] if _behind(functions, *own)[-1:] == [node] else None
        before = producer
    return None


def _with_scales(functions: Functions, node: ir.Node, core: Whole) -> Reading:
    """A function with the scales behind it, the last of which is the node."""
    made = functions.whole(node, core.base)
    found = None if made is None else flat.flat(made.curve)
    if made is None or found is None or _is_part(functions, core.node):
        return None
    return rectifying(made, found)


def _only_reader(node: ir.Node) -> ir.Node | None:
    value = node.outputs[0]
    users = [user for user, _ in value.uses()]
    return users[0] if len(users) == 1 and not value.is_graph_output() else None


# Reasons --------------------------------------------------------------------------------------------------------------


_ALIVE = {
    "LeakyRelu": "slope {alpha:g} below zero",
    "PRelu": "learned slopes below zero",
    **dict.fromkeys(("Elu", "Selu", "Celu"), "has a gradient below zero"),
}
"""Why activations are alive by construction that are flat nowhere."""

_PARAMETERS = {"Clip": ("minimum is", "maximum is"), "PRelu": ("slopes are",)}
"""What the operands behind the first one are."""


def _unclear(functions: Functions, node: ir.Node) -> Unclear | None:
    """An activation whose bounds or slopes are not in the file."""
    named = _PARAMETERS.get(node.op_type)
    if named is None or functions.whole(node) is not None:
        return None
    operands = zip(named, node.inputs[1:], strict=False)
    missing = [
        name for name, value in operands if value is not None and not spelt.is_constant(functions.network, value)
    ]
    why = f"its {missing[0]} computed by the graph" if missing else "its numbers are more than can be told apart"
    return Unclear(node.op_type, f"{why}, so whether it rectifies is not known", slug="bounds-not-constant")
