"""What dead units tie up: weights that make nothing else, and weights that read nothing else. Nothing counts twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from relu_audit.network.normalize import Network, sizes
from relu_audit.records import SiteAudit
from relu_audit.records.costs import Tied
from relu_audit.units.locate import Located
from relu_audit.units.unit_axes import of_units
from relu_audit.values.bearing import Path
from relu_audit.values.bounds import ENTRY_BY_ENTRY
from relu_audit.values.condensed import Blurred
from relu_audit.values.products import Product, product
from relu_audit.values.signs import key
from relu_audit.values.spans import Span, Spans


@dataclass(frozen=True)
class Layer:
    """A site with dead units, and what bears these.

    Attributes:
        located: The site in the graph.
        site: What was seen of it.
        paths: For every place of it the path back to its weight; empty if one was not found.
        rows: The rows of the weight that bear dead units, at each place.
    """

    located: Located
    site: SiteAudit
    paths: Sequence[Path]
    rows: Sequence[np.ndarray]

    @property
    def positions(self) -> int | None:
        """Positions per sample at each place; None if that is not one number."""
        runs = self.site.samples * len(self.located.uses)
        if self.site.per_run or not runs or self.site.positions % runs:
            return None
        return self.site.positions // runs


@dataclass
class Ledger:
    """What was counted already.

    Attributes:
        network: The graph.
        nodes: Its nodes, without those that observe it.
        dead_rows: Rows of products that bear dead units.
    """

    network: Network
    nodes: Mapping[ir.Node, int]
    dead_rows: dict[ir.Node, np.ndarray] = field(default_factory=dict[ir.Node, np.ndarray])

    def readers(self, value: ir.Value) -> list[ir.Node]:
        """The nodes of the model that read a value."""
        return [node for node, _ in value.uses() if node in self.nodes]


def dead_cost(network: Network, nodes: Mapping[ir.Node, int], layers: Sequence[Layer]) -> tuple[Tied, ...]:
    """What is tied up in the dead units of each layer."""
    ledger = Ledger(network, nodes)
    made = [_made(ledger, layer) for layer in layers]
    found = zip(layers, made, strict=True)
    return tuple(_with_readers(ledger, layer, parameters, adds) for layer, (parameters, adds) in found)


def _made(ledger: Ledger, layer: Layer) -> tuple[int | None, int | None]:
    """Parameters and multiply-adds that make a layer's dead units."""
    if not layer.paths:
        return None, None
    parameters = 0
    adds: list[int | None] = []
    counted: set[ir.Value] = set()
    places = {path.product.node for path in layer.paths}
    for path, rows, use in zip(layer.paths, layer.rows, layer.located.uses, strict=True):
        one = path.product
        if use.source is None or not _alone(ledger, path, use.source):
            continue
        mask = ledger.dead_rows.setdefault(one.node, np.zeros(one.rows, bool))
        fresh = np.unique(rows[~mask[rows]])
        mask[fresh] = True
        per_row = math.prod(one.reading.canonical[2:])
        if one.weight not in counted and set(ledger.readers(one.weight)) <= places:
            counted.add(one.weight)
            parameters += len(fresh) * (per_row + path.own)
        positions = _made_positions(path, layer.positions)
        adds.append(None if positions is None else len(fresh) * per_row * positions)
    return parameters, _total(adds)


def _alone(ledger: Ledger, path: Path, source: ir.Value) -> bool:
    """Whether nothing reads the sums on their way but what leads to the rectifier."""
    values = [path.product.node.outputs[0], *(node.outputs[0] for node in path.nodes[:-1]), source]
    return all(len(set(ledger.readers(value))) == 1 and not _given_out(value) for value in values)


def _given_out(value: ir.Value) -> bool:
    return value.is_graph_output()


def _made_positions(path: Path, observed: int | None) -> int | None:
    """How often a row is applied in one sample's run."""
    one = path.product
    if one.reading.made < 0:
        return observed
    # A transposed convolution applies its kernel at every position of its data.
    value = one.data if one.node.op_type == "ConvTranspose" else one.node.outputs[0]
    return _image(value) or observed


def _image(value: ir.Value) -> int | None:
    lengths = (sizes(value) or (None,) * 3)[2:]
    known = [size for size in lengths if isinstance(size, int)]
    return math.prod(known) if len(known) == len(lengths) else None


def _with_readers(ledger: Ledger, layer: Layer, parameters: int | None, adds: int | None) -> Tied:
    by_weight: dict[ir.Value, list[tuple[Product, np.ndarray]]] = {}
    for one, columns in _reading(ledger, layer):
        by_weight.setdefault(one.weight, []).append((one, columns))
    read_parameters = 0
    read_adds: list[int | None] = []
    for weight, found in by_weight.items():
        elements = [_elements(ledger, one, columns) for one, columns in found]
        for (one, _), number in zip(found, elements, strict=True):
            positions = _read_positions(one, layer)
            read_adds.append(None if positions is None else number * positions)
        if {one.node for one, _ in found} == set(ledger.readers(weight)):
            shared = np.logical_and.reduce([columns for _, columns in found])
            read_parameters += _elements(ledger, found[0][0], shared)
    return Tied(
        parameters=parameters,
        multiply_adds=adds,
        read_parameters=read_parameters,
        read_multiply_adds=_total(read_adds),
    )


def _elements(ledger: Ledger, one: Product, columns: np.ndarray) -> int:
    """Elements of a weight in some columns ``[groups, read]``, but for rows that bear dead units."""
    groups, made, _, taps = one.reading.canonical
    dead = ledger.dead_rows.get(one.node, np.zeros(one.rows, bool)).reshape(groups, made)
    return int((columns.sum(axis=1) * (~dead).sum(axis=1)).sum()) * taps


def _reading(ledger: Ledger, layer: Layer) -> Iterator[tuple[Product, np.ndarray]]:
    """Products that read what comes of a layer's dead units alone, and in which columns ``[groups, read]``."""
    marked = _marked(ledger.network, layer)
    spans = Spans(ledger.network, marked, ENTRY_BY_ENTRY)
    pending, done = [*marked], set[ir.Node]()
    while pending:
        for node in ledger.readers(pending.pop()):
            if node in done:
                continue
            done.add(node)
            one = product(ledger.network, node)
            if one is None:
                pending += node.outputs if key(node) in ENTRY_BY_ENTRY else ()
            elif (span := spans.of(one.data)) is not None and (columns := _fixed(one, span)).any():
                yield one, columns


def _marked(network: Network, layer: Layer) -> dict[ir.Value, Span]:
    """The rectified values, of which nothing is known but that dead units give zero."""
    alive = np.full(layer.site.units, np.inf)
    alive[list(layer.site.dead)] = 0.0
    found: dict[ir.Value, Span] = {}
    for use in layer.located.uses:
        try:
            high = of_units(alive, use.pattern or ())
        except (Blurred, ValueError):
            network.note(f"what reads dead units of '{layer.site.tensor}' is not counted: its axes tell no units apart")
            continue
        found[use.output] = Span(-high, high)
    return found


def _fixed(one: Product, data: Span) -> np.ndarray:
    groups, _, read, _ = one.reading.canonical
    axis = one.reading.read % data.low.ndim
    rest = tuple(i for i in range(data.low.ndim) if i != axis)
    fixed = (data.fixed & np.isfinite(data.low)).all(axis=rest)
    return np.broadcast_to(fixed, (groups * read,)).reshape(groups, read)


def _read_positions(one: Product, layer: Layer) -> int | None:
    if one.reading.made > 0:
        return _image(one.data if one.node.op_type == "ConvTranspose" else one.node.outputs[0])
    shape = sizes(one.data) or ()
    rank = len(layer.located.uses[0].pattern or ())
    if len(shape) == rank:
        return layer.positions
    if len(shape) <= 2:
        return 1
    lengths = [size for i, size in enumerate(shape) if i not in (0, one.reading.read % len(shape))]
    known = [size for size in lengths if isinstance(size, int)]
    return math.prod(known) if len(known) == len(lengths) else None


def _total(parts: Sequence[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
