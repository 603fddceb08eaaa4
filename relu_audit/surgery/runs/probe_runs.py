"""What real runs of the held model show: the sizes of values, and the numbers of those that ought to be constant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from relu_audit.errors import RunError
from relu_audit.model.kinds import is_tensor
from relu_audit.model.precision import types_to_carry
from relu_audit.observe.session import Engine, Session
from relu_audit.records import DataInfo
from relu_audit.surgery.runs.ranges import Copy, Ranges
from relu_audit.units.inputs import GraphInput

Feeds = Mapping[str, np.ndarray]
Sizes = Mapping[str, tuple[int, ...]]
Held = Mapping[str, tuple[int, np.ndarray]]
"""Values some of whose entries are held, by name: the axis, and for each entry the number; NaN for one that is not."""

OPEN_SIZE = 16
"""Length of an axis of which neither file nor data tell the size."""

FETCH_BYTES = 1 << 28
"""Activations brought out of one run are kept under this."""


Resize = Callable[[int], int]

OTHER_SIZES: tuple[Resize, ...] = (lambda n: 2 * n, lambda n: max(2 * n + 1, 65), lambda n: n + 1)
"""Lengths tried for open axes beside the data's own: even, odd, and larger than most kernels reach."""


def made_up(
    inputs: Sequence[GraphInput], data: DataInfo, samples: int, *, resize: Resize = lambda n: n, seed: int = 0
) -> Feeds:
    """Seeded noise in the shape the audit's data had.

    Args:
        inputs: The model's inputs.
        data: What the audit showed the model.
        samples: Entries along the batch axes that are open.
        resize: Makes another length of every other open axis.
        seed: Of the noise: standard normal floats, integers and booleans of 0 and 1.
    """
    rng = np.random.default_rng(seed)
    shown = {one.name: one for one in data.inputs}
    feeds: dict[str, np.ndarray] = {}
    for one in inputs:
        seen = shown.get(one.name)
        if one.optional and seen is None:
            continue
        given = None if seen is None else seen.shape[1:] if seen.feeding == "rows" else seen.shape
        shape = one.shape if one.shape is not None else given or ()
        size: list[int] = []
        for axis, length in enumerate(shape):
            if one.shape is not None and isinstance(length, int):
                size.append(length)
            elif axis == one.batch_axis and not (seen is not None and seen.feeding == "rows"):
                size.append(samples)
            else:
                size.append(resize(given[axis] if given is not None and axis < len(given) else OPEN_SIZE))
        dtype = np.dtype((one.dtype or ir.DataType.FLOAT).numpy())
        noise = np.asarray(rng.standard_normal(size, dtype=np.float32))
        feeds[one.name] = np.asarray(noise > 0 if dtype.kind in "iub" else noise, dtype)
    return feeds


@dataclass(frozen=True)
class ProbeRuns:
    """A model that can be asked what its values are.

    Attributes:
        model: The held model; it is not changed.
        folder: Where its external weights lie.
        engine: What runs it.
        feeds: One small batch.
        further: Batches in which open sizes differ, as far as the model takes them.
        fixed: Whether the model leaves no size open.
        shown: The shape that every value had, run by run.
        ranges: What the entries of values were found to range over.
        notes: What the result lacks as the model did not take all feeds.
    """

    model: ir.Model
    folder: Path | None
    engine: Engine
    feeds: Feeds
    further: tuple[Feeds, ...] = ()
    fixed: bool = False
    shown: tuple[Sizes, ...] = ()
    ranges: Ranges = field(default_factory=Ranges)
    notes: tuple[str, ...] = ()
    _opened: dict[tuple[tuple[str, str], ...], Session] = field(
        default_factory=dict[tuple[tuple[str, str], ...], Session], init=False, compare=False
    )

    @property
    def runs(self) -> tuple[Feeds, ...]:
        """All that is fed."""
        return (self.feeds, *self.further)

    def sizes(self, names: Sequence[str], feeds: Feeds) -> Sizes:
        """The shape every named value has in a run.

        Raises:
            RunError: As :class:`relu_audit.observe.session.Session`.
        """
        values = _values(self.model)
        asked = {name: f"relu_audit_size_{number}" for number, name in enumerate(n for n in names if n in values)}
        if not asked:
            return {}
        session = self._session(asked, _measure)
        found = session.run(feeds, list(asked.values()))
        return {name: tuple(found[size].tolist()) for name, size in asked.items()}

    def numbers(self, wanted: Mapping[str, int], feeds: Feeds | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """The named values of a run, one after the other.

        Args:
            wanted: Names, each with its number of bytes, so that no run brings out too much.
            feeds: What to feed; by default those of the probe runs.

        Raises:
            RunError: As :class:`relu_audit.observe.session.Session`.
        """
        values = _values(self.model)
        for names in _chunks(wanted):
            asked = {name: name for name in names if name in values}
            session = self._session(asked, _bring_out)
            yield from session.run(self.feeds if feeds is None else feeds, list(asked)).items()

    @property
    def others(self) -> tuple[Feeds, Sizes] | None:
        """Feeds in which every size that the file leaves open is another one, with what they show; None without."""
        if self.fixed:
            return self.feeds, self.shown[0]
        return (self.further[0], self.shown[1]) if self.further else None

    def with_copies(self, model: ir.Model, copies: Sequence[Copy], held: Held) -> ProbeRuns:
        """What the same runs show of a model that only has some values once more.

        Args:
            model: The held model with the copies.
            copies: The copies.
            held: Which values it holds.
        """
        ranges = self.ranges.clone()
        shown = [dict(sizes) for sizes in self.shown]
        for copy in copies:
            ranges.add(copy, held.get(copy.source))
            for sizes, feeds in zip(shown, self.runs, strict=True):
                size = feeds[copy.source].shape if copy.source in feeds else sizes.get(copy.source)
                if size is not None:
                    sizes[copy.name] = copy.shape(size)
        return replace(self, model=model, shown=tuple(shown), ranges=ranges)

    def close(self) -> None:
        """Give back what the last session holds of the weights; the next question opens another one."""
        self._opened.clear()

    def _session(self, asked: Mapping[str, str], write: Callable[[ir.Model, Mapping[str, str]], None]) -> Session:
        """The model with what is asked for among its outputs. The last one is kept: all feeds are asked the same."""
        key = tuple(asked.items())
        if key not in self._opened:
            copy = self.model.clone()
            write(copy, asked)
            self._opened.clear()
            self._opened[key] = Session(copy, self.folder, self.engine, optimize=False)
        return self._opened[key]


def _measure(model: ir.Model, asked: Mapping[str, str]) -> None:
    """Give out the shapes of values, under other names."""
    values = _values(model)
    for name, size in asked.items():
        output = ir.Value(name=size, type=ir.TensorType(ir.DataType.INT64))
        model.graph.append(ir.Node("", "Shape", [values[name]], outputs=[output], name=size))
        model.graph.outputs.append(output)


def _bring_out(model: ir.Model, asked: Mapping[str, str]) -> None:
    """Give out values as they are, and compute nothing but what they are made of."""
    values = _values(model)
    model.graph.outputs[:] = [values[name] for name in asked]
    passes.RemoveUnusedNodesPass()(model)


def able(model: ir.Model, folder: Path | None, engine: Engine) -> Engine:
    """An engine that takes a model, in float32 where it has no kernels for the model's own element types.

    Raises:
        RunError: It takes the model in neither.
    """
    dtypes = types_to_carry(model)
    if not dtypes:
        return engine
    try:
        Session(model.clone(), folder, engine)
    except RunError:
        return replace(engine, carried=dtypes)
    return engine


def probe(
    model: ir.Model,
    folder: Path | None,
    engine: Engine,
    inputs: Sequence[GraphInput],
    data: DataInfo,
    names: Sequence[str],
    samples: Sequence[Feeds] = (),
) -> ProbeRuns:
    """Run the model on one small batch, and on feeds of other sizes where the model takes them.

    Args:
        model: The held model.
        folder: Where its external weights lie.
        engine: What runs it.
        inputs: Its inputs.
        data: What the audit showed it.
        names: The values whose sizes matter.
        samples: Real feeds to be tried first; noise does not get everywhere.

    Raises:
        RunError: The model does not run at all.
    """
    outputs = [value.name or "" for value in model.graph.outputs if is_tensor(value)]
    asked = list(dict.fromkeys([*outputs, *names]))
    tries = [*samples, made_up(inputs, data, 2), made_up(inputs, data, 1)]
    probe_runs = ProbeRuns(model, folder, engine, tries[-1])
    feeds, first = next(_taken(probe_runs, asked, tries[:-1]), (tries[-1], None))
    first = probe_runs.sizes(asked, feeds) if first is None else first
    others = [one for one in _other_sizes(inputs, data) if _shapes(one) != _shapes(feeds)]
    further = list(_taken(probe_runs, asked, others))
    return ProbeRuns(
        model=model,
        folder=folder,
        engine=engine,
        feeds=feeds,
        further=tuple(taken for taken, _ in further),
        fixed=not others,
        shown=(first, *(sizes for _, sizes in further)),
        notes=_untaken(len(others) - len(further), len(others)),
    )


def _untaken(refused: int, tried: int) -> tuple[str, ...]:
    """What follows where the model did not run on feeds of other sizes."""
    if not refused:
        return ()
    if refused < tried:
        return (f"the model did not run on {refused} of {tried} made-up inputs of other sizes",)
    return ("the model ran on no made-up input of other sizes: of sizes that the file leaves open, nothing is known",)


def _other_sizes(inputs: Sequence[GraphInput], data: DataInfo) -> Iterator[Feeds]:
    seen: set[frozenset[tuple[str, tuple[int, ...]]]] = set()
    for number, resize in enumerate(OTHER_SIZES):
        feeds = made_up(inputs, data, 3 - number, resize=resize)
        if _shapes(feeds) not in seen:
            seen.add(_shapes(feeds))
            yield feeds


def _shapes(feeds: Feeds) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset((name, array.shape) for name, array in feeds.items())


def _taken(probe_runs: ProbeRuns, names: Sequence[str], feeds: Iterable[Feeds]) -> Iterator[tuple[Feeds, Sizes]]:
    """Those that the model runs on, with the sizes they make: not every size suits it."""
    for one in feeds:
        try:
            found = probe_runs.sizes(names, one)
        except RunError:
            continue
        yield one, found


def _values(model: ir.Model) -> dict[str, ir.Value]:
    """Every value of the main graph by name."""
    graph = model.graph
    values = {value.name or "": value for value in (*graph.inputs, *graph.initializers.values())}
    values.update({value.name or "": value for node in graph for value in node.outputs})
    return values


def _chunks(wanted: Mapping[str, int]) -> Iterator[list[str]]:
    chunk: list[str] = []
    total = 0
    for name, size in wanted.items():
        if chunk and total + size > FETCH_BYTES:
            yield chunk
            chunk, total = [], 0
        chunk.append(name)
        total += size
    if chunk:
        yield chunk
