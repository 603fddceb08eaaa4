"""Constants that a graph computes from a few bytes and that no memory holds."""

from __future__ import annotations

import math

from relu_audit import memory
from relu_audit.errors import RunError
from relu_audit.model.scopes import walk
from relu_audit.network.normalize import Network, sizes


def refuse_bulk(network: Network) -> None:
    """Refuse a graph that computes more than the memory holds from constants alone, before a runtime tries.

    Raises:
        RunError: ``memory``.
    """
    most = memory.most()
    if most is None:
        return
    for node in (step.node for step in walk(network.model.graph)):
        for value in node.outputs:
            shape = sizes(value)
            if value not in network.weights or shape is None or value.dtype is None:
                continue
            if not all(isinstance(size, int) for size in shape):
                continue
            needed = math.prod(size for size in shape if isinstance(size, int)) * value.dtype.bitwidth // 8
            if needed > most:
                raise RunError(
                    f"'{value.name}', which a {node.op_type} computes, takes {needed:,} bytes, and there are {most:,}",
                    slug="memory",
                    hint=memory.HINT,
                )
