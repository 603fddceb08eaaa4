"""From an audit's units to entries along axes of the graph's values."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.activations.taps import OPEN, Codes, is_open
from relu_audit.network.normalize import Network, sizes
from relu_audit.records import Audit, SiteAudit
from relu_audit.records.pruning import KeptUnit
from relu_audit.surgery.operators.atoms import Ints
from relu_audit.surgery.runs.hold import Silent
from relu_audit.units.locate import Census, Use
from relu_audit.units.placing import Pattern


@dataclass(frozen=True)
class Premise:
    """What the audit found silent, on the graph.

    Attributes:
        silent: One entry for every place of every site.
        refused: Units whose entries cannot be told apart from others.
        spared: Places of sites that are not to be touched.
        untouched: What these sites give out, and a result of each node around them: they stay, read or not.
    """

    silent: tuple[Silent, ...]
    refused: tuple[KeptUnit, ...]
    spared: tuple[Silent, ...] = ()
    untouched: tuple[ir.Value, ...] = ()


def premise(network: Network, audit: Audit, census: Census, spared: Collection[str] = ()) -> Premise:
    """Find the audited sites in the graph again; of some nothing is to be made use of."""
    located = {one.site.tensor: one for one in census.located}
    silent: list[Silent] = []
    refused: list[KeptUnit] = []
    left_alone: list[Silent] = []
    untouched: list[ir.Value] = []
    for site in audit.sites:
        uses = located[site.tensor].uses if site.tensor in located else ()
        found = [_silent(network, site, use) for use in uses]
        places = [one for one in found if one is not None and all(found)]
        if site.tensor in spared:
            left_alone += places
            untouched += [value for use in uses for value in _held_by(use)]
            refused += _kept(site, slug="spared", detail="its layer is left alone, as asked for")
        elif places:
            silent += places
        else:
            detail = "its units spread over several axes, or over one whose size the file does not tell"
            refused += _kept(site, slug="units-spread", detail=detail)
    return Premise(tuple(silent), tuple(refused), tuple(left_alone), tuple(untouched))


def _held_by(use: Use) -> list[ir.Value]:
    """The rectified value, and a result of each node around it."""
    return [*(owner.outputs[0] for owner in use.owners if owner.outputs), use.output]


def always_on(audit: Audit, census: Census) -> list[tuple[str, tuple[ir.Value, ir.Value]]]:
    """Name, pre-activation and rectified value of the main graph's layers all of whose units were always on."""
    located = {one.site.tensor: one for one in census.located}
    return [
        (site.tensor, (use.source, use.output))
        for site in audit.sites
        if len(site.always_on) == site.units and site.tensor in located
        for use in located[site.tensor].uses
        if use.source is not None and use.tap is OPEN and not use.owners
    ]


def _kept(site: SiteAudit, *, slug: str, detail: str) -> list[KeptUnit]:
    return [
        KeptUnit(tensor=site.tensor, unit=unit, why=why, slug=slug, detail=detail)
        for why, units in (("dead", site.dead), ("constant", site.constant))
        for unit in units
    ]


def _silent(network: Network, site: SiteAudit, use: Use) -> Silent | None:
    if use.pattern is None:
        return None
    held = [axis for axis, pieces in enumerate(use.pattern) if any(p.role == "u" and p.size != 1 for p in pieces)]
    held = held or [axis for axis, pieces in enumerate(use.pattern) if any(p.role == "u" for p in pieces)]
    if len(held) != 1:
        return None
    axis = held[0]
    units = _units(use.pattern, axis, site.units, _length(use.output, axis))
    if units is None:
        return None
    numbers = np.full(site.units, np.nan)
    # A constant unit is not among them: that it always showed one value does not mean that it can have no other.
    numbers[list(site.dead)] = 0.0
    dtype = use.output.dtype or ir.DataType.FLOAT
    if isinstance(use.tap, Codes):
        # What is silent has the code that stands for zero.
        zero = use.tap.zero_point
        points = np.zeros(1, np.uint8) if zero is None else network.constant(zero)
        if points is None or points.size not in (1, site.units):
            return None
        dtype = ir.DataType.from_numpy(points.dtype)
        numbers = np.where(np.isnan(numbers), np.nan, points.astype(np.float64).ravel())
    elif not is_open(use.tap):
        return None
    return Silent(
        value=use.output,
        rank=len(use.pattern),
        axis=axis,
        units=units,
        numbers=numbers[units],
        tensor=site.tensor,
        dtype=dtype,
    )


def _length(value: ir.Value, axis: int) -> int | None:
    shape = sizes(value)
    size = None if shape is None or axis >= len(shape) else shape[axis]
    return size if isinstance(size, int) else None


def _units(pattern: Pattern, axis: int, count: int, length: int | None) -> Ints | None:
    """The unit of every index along an axis, which may hold positions beside them; None if that is not known."""
    pieces = pattern[axis]
    if len(pieces) == 1:
        return np.arange(count)
    known: list[int | None] = [p.size if isinstance(p.size, int) else None for p in pieces]
    missing = [i for i, size in enumerate(known) if size is None]
    if missing and (length is None or len(missing) > 1):
        return None
    for i in missing:
        known[i] = (length or 0) // math.prod(size for size in known if size is not None)
    shape = [size or 1 for size in known]
    order = sorted((i for i, p in enumerate(pieces) if p.role == "u"), key=lambda i: pieces[i].part)
    grid = np.indices(shape)
    units = np.zeros(shape, np.int64)
    for i in order:
        units = units * shape[i] + grid[i]
    return units.ravel() if int(units.max(initial=-1)) + 1 == count else None


def unit_axes(sites: Sequence[SiteAudit]) -> dict[str, int]:
    """The unit axes that the audit was told."""
    return {
        site.tensor: site.unit_axis
        for site in sites
        if site.axis_from == "given by --unit-axis" and site.unit_axis is not None
    }
