"""Proofs about random graphs: each claim about a value is held against the runtime, together against alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import pytest

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.units.independence import independence
from relu_audit.units.overview import overview
from relu_audit.units.standing import Standing
from tests.drawn_graphs import COUNTS, Draw, Unfit, opened
from tests.drawn_nodes import drawn
from tests.together import row

ONE, SEVERAL = COUNTS
TURN = np.roll(np.arange(SEVERAL), 1)


@pytest.mark.parametrize("part", range(2))
def test_what_is_proved_of_random_graphs_holds(part: int) -> None:
    claims = held(range(60 * part, 60 * part + 60))
    assert claims[Standing.APART] > 150, claims
    assert claims[Standing.COUNTED] > 5, claims
    assert claims["sites"] > 15, claims


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_what_is_proved_of_a_thousand_random_graphs_holds(part: int) -> None:
    claims = held(range(1000 + 250 * part, 1250 + 250 * part))
    assert claims[Standing.APART] > 600, claims
    assert claims["sites"] > 60, claims


def held(seeds: Sequence[int]) -> Counter[object]:
    """How often values were claimed to have each standing, and how many last rectifiers were proved apart."""
    claims: Counter[object] = Counter()
    wrong: list[str] = []
    for seed in seeds:
        try:
            graph = drawn(seed)
        except Unfit:
            continue
        for name, standing, holds in judged(graph):
            claims[standing] += 1
            claims["sites"] += standing is Standing.APART and name == graph.nodes[-1].output[0]
            if not holds:
                wrong.append(f"{standing.name} {name} of seed {seed}")
    assert not wrong, wrong
    return claims


def judged(graph: Draw) -> Iterator[tuple[str, Standing, bool]]:
    """Each claim about a value of the graph, and whether it holds."""
    model = graph.model()
    axes = {name: dims.index("n") for name, dims in graph.inputs.items()}
    proof = independence(overview(normalize(open_checkpoint(model))).along(axes), axes)
    feeds = graph.feeds(SEVERAL)
    try:
        run = _runner(model)
        together, *others = (
            run(one)
            for one in (
                feeds,
                {name: np.take(array, TURN, axes[name]) for name, array in feeds.items()},
                *(row(feeds, axes, i) for i in range(SEVERAL)),
            )
        )
    except Exception:
        return
    turned, *alone = others
    for value, state in proof.states.items():
        if value.name in together:
            name = value.name
            yield (
                name,
                state.standing,
                _holds(state.standing, together[name], turned[name], [one[name] for one in alone]),
            )


def _runner(model: onnx.ModelProto):
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    own = {value.name for value in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name and name not in own]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    session = opened(exposed)
    names = [value.name for value in session.get_outputs()]

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(None, dict(feeds)), strict=True))

    return run


def _holds(standing: Standing, together: np.ndarray, turned: np.ndarray, alone: Sequence[np.ndarray]) -> bool:
    match standing:
        case Standing.FREE:
            return _close(together, turned) and all(_close(together, one) for one in alone)
        case Standing.LENGTH:
            return _close(together, turned) and all(_close(alone[0], one) for one in alone)
        case Standing.COUNTED:
            return any(all((part == i).all() for i, part in enumerate(parts)) for parts in _samples(together))
        case Standing.APART:
            return any(
                all(map(_close, parts, alone)) and all(map(_close, moved, (alone[i] for i in TURN)))
                for parts, moved in zip(_samples(together), _samples(turned), strict=True)
            )
        case _:
            return True  # nothing is claimed


def _samples(array: np.ndarray) -> Iterator[list[np.ndarray]]:
    """A value in one part for each sample, in every way in which samples may lie along one axis."""
    for axis, size in enumerate(array.shape):
        own = size // SEVERAL
        for before in range(1, own + 1) if size % SEVERAL == 0 else ():
            if own % before == 0:
                shape = (*array.shape[:axis], before, SEVERAL, own // before, *array.shape[axis + 1 :])
                parts = np.moveaxis(array.reshape(shape), axis + 1, 0)
                yield [part.reshape(*array.shape[:axis], own, *array.shape[axis + 1 :]) for part in parts]


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=1.0)) if b.dtype.kind == "f" else 1.0
    return np.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True)
