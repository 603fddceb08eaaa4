"""Layers behind branches that differ in rank: what their constants tell, and what a run has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize, sizes
from tests.prune_checks import session
from tests.test_ranks import behind_an_if


@dataclass(frozen=True)
class Told:
    """A layer from ``s``, of unknown rank, to ``y``.

    Attributes:
        shape: Shape of ``s``.
        body: The layer.
        weights: Shapes of its weights.
        length: Length of the second axis, as the weights tell it.
        read: Whether they tell that of ``s`` as well.
    """

    shape: tuple[int, ...]
    body: str
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, "tuple[int, ...]"])
    length: int | None = None
    read: bool = True


CASES: Mapping[str, Sequence[Told]] = {
    "Conv": [
        Told((1, 2, 9), "y = Conv (s, w)", {"w": (5, 2, 3)}, 5),
        Told((1, 6, 9, 9), "y = Conv <group = 3> (s, w)", {"w": (12, 2, 3, 3)}, 12),
    ],
    "ConvTranspose": [
        Told((1, 6, 9), "y = ConvTranspose <group = 3> (s, w)", {"w": (6, 4, 3)}, 12),
        Told((1, 3, 9, 9), "y = ConvTranspose (s, w)", {"w": (3, 4, 3, 3)}, 4),
    ],
    "Gemm": [
        Told((1, 7), "y = Gemm <transB = 1> (s, w)", {"w": (5, 7)}, 5),
        Told((1, 7), "y = Gemm <transA = 1> (s, w)", {"w": (1, 5)}, 5, read=False),
    ],
    "RNN": [Told((1, 2, 6), "y, h = RNN <hidden_size = 4> (s, w, u)", {"w": (1, 4, 6), "u": (1, 4, 4)}, 1, read=False)],
}


def mistold(case: Told) -> str:
    """What is told of sizes that a run does not have, or not told; empty where nothing is."""
    held = {name: np.ones(shape, np.float32) for name, shape in case.weights.items()}
    model = behind_an_if(case.shape, case.body, held)
    try:
        network = normalize(open_checkpoint(model))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    feed = {"x": np.ones(case.shape, np.float32), "flag": np.array(True)}
    ran = np.shape(session(model, optimised=False).run(["y"], feed)[0])
    values = {value.name: value for node in network.model.graph for value in node.outputs}
    for name, shape in (("y", ran), ("s", case.shape)):
        told = sizes(values[name])
        if told is None or len(told) != len(shape):
            return f"{told} for {shape}"
        if any(a != b for a, b in zip(told, shape, strict=True) if isinstance(a, int)):
            return f"{told} for {shape}"
        if told[1] != {"y": case.length, "s": case.shape[1] if case.read else told[1]}[name]:
            return f"{told[1]} on axis 1 of {name}"
    return ""
