"""Why an audit's dead units are dead: what the graph holds of them, measured and judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx_ir as ir

from relu_audit.activations.taps import Codes, Tap, Turned, is_open
from relu_audit.examine.dead_cost import Layer, dead_cost
from relu_audit.judge.causes import Facts, causes
from relu_audit.network.normalize import Network
from relu_audit.records import SiteAudit
from relu_audit.records.causes import Causes
from relu_audit.units.locate import Census, Located, Use
from relu_audit.units.unit_axes import of_units, per_unit
from relu_audit.values import bounds
from relu_audit.values.bearing import Bearings, Lost, Path, negated
from relu_audit.values.condensed import Blurred
from relu_audit.values.products import ROWS_AT_ONCE
from relu_audit.values.spans import Span, Spans

TYPICAL = 256
"""Living units of a layer that are looked at to say what is usual there, at most."""


def explained(network: Network, census: Census, sites: Sequence[SiteAudit]) -> tuple[SiteAudit, ...]:
    """The sites, those with dead units with why they are, and with what is tied up in them.

    Args:
        network: The graph that was audited; nodes that observe it do not matter.
        census: Its rectifiers.
        sites: What was seen of them, in the order of the census.
    """
    if not any(site.dead for site in sites):
        return tuple(sites)
    try:
        with np.errstate(all="ignore"):  # bounds may be infinite
            return _explained(network, census, sites)
    except Exception as error:  # a graph that contradicts itself, and runs all the same, costs nobody an audit
        why = f"the graph could not be followed ({type(error).__name__})"
        return tuple(_unexamined(site, why) if site.dead else site for site in sites)


def _unexamined(site: SiteAudit, why: str) -> SiteAudit:
    lost = Causes(not_examined=site.dead, margin=_margins(site, np.zeros(len(site.dead))), obstacle=why)
    return msgspec.structs.replace(site, causes=lost)


def _explained(network: Network, census: Census, sites: Sequence[SiteAudit]) -> tuple[SiteAudit, ...]:
    hit = [pair for pair in zip(census.located, sites, strict=True) if pair[1].dead]
    bearings = Bearings(network, Spans(network, seen(network, census, sites), bounds.ALL), census.position)
    borne = [_borne(bearings, located, site) for located, site in hit]
    layers = [one.layer for one in borne]
    held = dead_cost(network, census.position, layers)
    found = {
        layer.located.site: msgspec.structs.replace(layer.site, causes=_causes(bearings, one), tied=costs)
        for one, layer, costs in zip(borne, layers, held, strict=True)
    }
    return tuple(found.get(located.site, site) for located, site in zip(census.located, sites, strict=True))


def seen(network: Network, census: Census, sites: Sequence[SiteAudit]) -> dict[ir.Value, Span]:
    """What was seen of every rectified value: its bounds, unit by unit."""
    found: dict[ir.Value, Span] = {}
    for located, site in zip(census.located, sites, strict=True):
        low = np.array([0.0 if x is None else x for x in site.trough])
        high = np.array([np.inf if x is None else x for x in site.peak])
        for use in located.uses:
            decode = _decoding(network, use)
            if use.pattern is None or decode is None:
                continue
            try:
                ends = (of_units(end, use.pattern) for end in _turned_back(use.tap, low, high))
                found[use.output] = Span(*(np.where(np.isinf(end), end, end / decode[0] + decode[1]) for end in ends))
            except Blurred:
                network.note(f"the range of '{located.site.tensor}' is not known: its axes tell no units apart")
    return found


def _turned_back(tap: Tap, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a value from those of what was counted of it."""
    turn = tap.output if isinstance(tap, Turned) else "plain"
    return (low, high) if turn == "plain" else (-high, -low if turn == "negated" else high)


def _decoding(network: Network, use: Use) -> tuple[float, float] | None:
    """Scale and zero point of what is rectified; None where it does not lie open in any way."""
    if is_open(use.tap):
        return 1.0, 0.0
    if not isinstance(use.tap, Codes):
        return None
    scale = network.constant(use.tap.scale)
    zero = np.zeros(1) if use.tap.zero_point is None else network.constant(use.tap.zero_point)
    if scale is None or zero is None or scale.size != 1 or zero.size != 1:
        return None
    return float(scale.ravel()[0]), float(zero.ravel()[0])


@dataclass(frozen=True)
class _Units:
    """A line, unit by unit: ``[units, rest]``."""

    row: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bias: np.ndarray
    gamma: np.ndarray


@dataclass(frozen=True)
class _Borne:
    """A layer with dead units, and how its weights make them at each place; or why that is not known."""

    layer: Layer
    units: Sequence[_Units]
    lost: Lost | None

    @property
    def located(self) -> Located:
        return self.layer.located

    @property
    def site(self) -> SiteAudit:
        return self.layer.site


def _borne(bearings: Bearings, located: Located, site: SiteAudit) -> _Borne:
    paths: list[Path] = []
    units: list[_Units] = []
    for use in located.uses:
        found = _path(bearings, use)
        made = found if isinstance(found, Lost) else _by_unit(found, use, site.units)
        if isinstance(found, Lost) or isinstance(made, Lost):
            lost = found if isinstance(found, Lost) else made
            return _Borne(Layer(located, site, (), ()), (), lost if isinstance(lost, Lost) else None)
        paths.append(found)
        units.append(made)
    dead = np.array(site.dead)
    return _Borne(Layer(located, site, paths, [one.row[dead, 0] for one in units]), units, None)


def _causes(bearings: Bearings, one: _Borne) -> Causes:
    site, uses, paths = one.site, one.located.uses, one.layer.paths
    above = [_threshold(bearings.network, use, site) for use in uses]
    margin = _margins(site, np.minimum.reduce(above))
    if one.lost is not None:
        return Causes(not_examined=site.dead, margin=margin, obstacle=one.lost.why)
    found = [
        _facts(bearings, path, units, site, threshold)
        for path, units, threshold in zip(paths, one.units, above, strict=True)
    ]
    lost = next((facts for facts in found if isinstance(facts, Lost)), None)
    if lost is not None:
        return Causes(not_examined=site.dead, margin=margin, obstacle=lost.why)
    made = causes(site.dead, [facts for facts in found if isinstance(facts, Facts)], margin)
    norm = None if paths[0].norm is None else paths[0].norm.op_type
    return msgspec.structs.replace(made, operator=paths[0].product.node.op_type, weight=paths[0].weight, norm=norm)


def _threshold(network: Network, use: Use, site: SiteAudit) -> np.ndarray:
    """Where the rectifier begins to fire, for each dead unit; a code is above its zero point from half a step on."""
    decode = _decoding(network, use)
    by_unit = use.above if is_open(use.tap) or decode is None else (0.5 * decode[0],)
    return np.broadcast_to(np.array(by_unit), site.units)[list(site.dead)]


def _margins(site: SiteAudit, above: np.ndarray) -> tuple[float | None, ...]:
    """What each dead unit lacked; None if that is not known, or nothing would do."""
    peaks = (site.pre_peak[unit] for unit in site.dead)
    lacking = (None if peak is None else float(end) - peak + 0.0 for end, peak in zip(above, peaks, strict=True))
    return tuple(lack if lack is not None and np.isfinite(lack) else None for lack in lacking)


def _path(bearings: Bearings, use: Use) -> Path | Lost:
    if use.pattern is None or not (is_open(use.tap) or isinstance(use.tap, Codes)):
        return Lost("its pre-activation does not lie open in the graph")
    if use.source is None:
        return Lost("its pre-activation shows nowhere in the graph")
    turn = use.tap.source if isinstance(use.tap, Turned) else "plain"
    found = bearings.of(use.source, len(use.pattern))
    return negated(found) if turn == "negated" and isinstance(found, Path) else found


def _facts(bearings: Bearings, path: Path, units: _Units, site: SiteAudit, above: np.ndarray) -> Facts | Lost:
    matrix = path.product.matrix(bearings.network)
    if matrix is None:
        return Lost("the numbers of its weights cannot be had")
    dead = np.array(site.dead)
    silent = {*site.dead, *site.unseen}
    living = np.array([unit for unit in range(site.units) if unit not in silent] or [*site.dead])
    living = living[:: max(1, len(living) // TYPICAL)]
    rows = units.row[:, 0]
    sums = _summed(bearings, path, matrix, rows[dead])
    usual = np.concatenate([_largest(weight) for _, weight in _chosen(matrix, rows[living])])
    scale, gamma = units.scale[dead], np.abs(units.gamma).max(axis=1)
    ends = [np.where(scale == 0, 0.0, scale * end[:, None]) for end in (sums.low, sums.high)]
    return Facts(
        nonzero=sums.nonzero,
        fed=sums.fed,
        weight=sums.largest,
        usual_weight=_middle(usual),
        normalised=path.norm is not None,
        gamma=gamma[dead],
        usual_gamma=_middle(gamma[living]),
        bias=units.bias[dead].max(axis=1),
        alone=not path.mixed and not path.other,
        added=path.other,
        lifted=np.maximum(*ends).max(axis=1),
        shift=units.high[dead].max(axis=1),
        terms=(np.abs(scale).max(axis=1) * sums.terms) + np.abs(units.high[dead]).max(axis=1),
        pre_peak=np.array([np.nan if (x := site.pre_peak[unit]) is None else x for unit in site.dead]),
        above=above,
    )


def _by_unit(path: Path, use: Use, units: int) -> _Units | Lost:
    """The line of every unit; all entries of a unit have to come of one row."""
    pattern = use.pattern or ()
    try:
        line = path.line.each(lambda array: per_unit(array, pattern, units))
    except Blurred:
        return Lost("which rows of the weight its units are cannot be told")
    if (line.row != line.row[:, :1]).any():
        return Lost("a unit of it is made by several rows of the weight")
    return _Units(line.row.astype(np.int64), line.scale, line.low, line.high, line.bias, line.gamma)


@dataclass(frozen=True)
class _Sums:
    """What rows make of their inputs, before scales and shifts."""

    nonzero: np.ndarray
    fed: np.ndarray
    largest: np.ndarray
    low: np.ndarray
    high: np.ndarray
    terms: np.ndarray


def _summed(bearings: Bearings, path: Path, matrix: np.ndarray, rows: np.ndarray) -> _Sums:
    product = path.product
    groups, made, read, _ = product.reading.canonical
    data = bearings.spans.of(product.data)
    if data is None:
        infinite = np.full((groups, read), np.inf)
        entries = Span(-infinite, infinite)
    else:
        entries = bounds.read_entries(product, data)
    found: list[tuple[np.ndarray, ...]] = []
    for chosen, weight in _chosen(matrix, rows):
        own = Span(entries.low[chosen // made], entries.high[chosen // made])
        used, zero = (weight != 0).any(axis=2), (own.low == 0) & (own.high == 0)
        low, high = bounds.reached(product, weight, own)
        size = np.maximum(np.abs(own.low), np.abs(own.high))
        terms = np.abs(weight * product.factor).sum(axis=2) * np.where(np.isfinite(size), size, 0.0)
        found.append((used.sum(axis=1), (used & ~zero).sum(axis=1), _largest(weight), low, high, terms.sum(axis=1)))
    return _Sums(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _chosen(matrix: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some rows of a weight, a few at a time: their numbers, and them as float64 ``[rows, read, taps]``."""
    made = matrix.shape[1]
    step = max(1, ROWS_AT_ONCE // max(1, matrix[0, 0].size))
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        yield chosen, matrix[chosen // made, chosen % made].astype(np.float64)


def _largest(weight: np.ndarray) -> np.ndarray:
    return np.abs(weight).max(axis=(1, 2), initial=0.0)


def _middle(numbers: np.ndarray) -> float:
    return float(np.sort(numbers)[len(numbers) // 2])
