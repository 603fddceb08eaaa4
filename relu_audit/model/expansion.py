"""How many nodes a model has once its functions stand in the place of their calls, counted before they do.

Thirty functions, each of which calls the next one twice, are two kilobytes in a file and no machine holds their nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx_ir as ir

from relu_audit.errors import ModelError
from relu_audit.model.postorder import postorder

MOST_NODES = 1_000_000
"""Nodes of a model whose functions stand in the place of their calls, at most."""

DEEPEST = 256
"""Functions that call each other in a row, at most."""

_Name = ir.OperatorIdentifier


def depths(model: ir.Model) -> Mapping[_Name, int]:
    """How deep each function lies: one more than the deepest function that calls it, and 1 if only the graph calls it.

    Args:
        model: The model, whose functions are not inlined yet.

    Raises:
        ModelError: ``function`` for functions that call themselves; ``expansion`` where there would be too many nodes,
            or calls lie too deep.
    """
    nodes = {name: Counter(node.op_identifier() for node in f.all_nodes()) for name, f in model.functions.items()}
    called = {name: [one for one in found if one in nodes] for name, found in nodes.items()}
    order = list(postorder(nodes, called.__getitem__))
    made: dict[_Name, int] = {}
    for name in order:
        if any(one not in made for one in called[name]):
            raise ModelError(
                f"the model's own functions cannot be inlined: '{name[1]}' calls itself, or what calls it",
                slug="function",
                hint="The format forbids such functions; export the model again.",
            )
        # A number that is too large need not be exact.
        made[name] = min(sum(made.get(one, 1) * times for one, times in nodes[name].items()), MOST_NODES + 1)
    own = Counter(node.op_identifier() for node in model.graph.all_nodes())
    reached = set(postorder((name for name in own if name in nodes), called.__getitem__))
    total = sum(made.get(name, 1) * times for name, times in own.items())
    total += sum(made[name] for name in nodes.keys() - reached)
    if total > MOST_NODES:
        raise ModelError(
            f"the model's own functions expand to more than {MOST_NODES:,} nodes",
            slug="expansion",
            hint="Export the model without functions, or with functions that call each other less often.",
        )
    depth = dict.fromkeys(nodes, 1)
    for name in reversed(order):  # a function lies deeper than all that call it
        for one in called[name]:
            depth[one] = max(depth[one], depth[name] + 1)
    if max(depth.values(), default=0) > DEEPEST:
        raise ModelError(
            f"the model's own functions call each other more than {DEEPEST} deep",
            slug="expansion",
            hint="Export the model without functions, or with functions that call each other less deep.",
        )
    return depth
