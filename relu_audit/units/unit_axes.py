"""Between numbers per unit and condensed arrays of the value whose units they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relu_audit.units.placing import Pattern
from relu_audit.values import condensed
from relu_audit.values.condensed import Blurred


def per_unit(array: np.ndarray, pattern: Pattern, units: int) -> np.ndarray:
    """What a condensed array holds of every unit, ``[units, rest]``.

    Raises:
        Blurred: The pattern's sizes are not known.
    """
    shape: list[int] = []
    unit_axes: list[tuple[tuple[int, ...], int]] = []
    for axis, pieces in enumerate(pattern):
        length = array.shape[axis]
        if length == 1 or len(pieces) <= 1:
            known = [length] if len(pieces) <= 1 else [1] * len(pieces)
        else:
            known = _lengths([piece.size for piece in pieces], length)
        for piece, size in zip(pieces or (None,), known, strict=True):
            if piece is not None and piece.role == "u":
                unit_axes.append((piece.part, len(shape)))
            shape.append(size)
    order = [axis for _, axis in sorted(unit_axes, key=lambda one: one[0])]
    rest = [axis for axis in range(len(shape)) if axis not in order]
    arranged = array.reshape(shape).transpose(*order, *rest)
    whole = [pieces[i].size for pieces in pattern for i in range(len(pieces)) if pieces[i].role == "u"]
    if len(order) > 1 and any(n == 1 and size != 1 for n, size in zip((shape[a] for a in order), whole, strict=False)):
        raise Blurred  # some of several unit axes are condensed, and others are not
    arranged = arranged.reshape(int(np.prod([shape[axis] for axis in order], dtype=np.int64)), -1)
    if arranged.shape[0] not in (1, units):
        raise Blurred
    return np.broadcast_to(arranged, (units, arranged.shape[1]))


def of_units(array: np.ndarray, pattern: Pattern) -> np.ndarray:
    """A number per unit as a condensed array of the value that has this pattern.

    Raises:
        Blurred: The pattern's sizes are not known.
    """
    pieces = [(axis, piece) for axis, held in enumerate(pattern) for piece in held]
    held = [i for i, (_, piece) in enumerate(pieces) if piece.role == "u"]
    lengths = [piece.size if isinstance(piece.size, int) else None for _, piece in pieces]
    if len(held) == 1:
        lengths[held[0]] = array.size
    order = sorted(held, key=lambda i: pieces[i][1].part)
    if any(lengths[i] is None for i in held):
        raise Blurred
    found = array.reshape([lengths[i] or 0 for i in order])
    found = found.transpose([order.index(i) for i in held])
    found = found.reshape([(lengths[i] or 0) if i in held else 1 for i in range(len(pieces))])
    shape: list[int] = []
    at = 0
    for axis in pattern:
        own = range(at, at + len(axis))
        at += len(axis)
        if len(axis) > 1 and any(i in held for i in own):
            found = condensed.spread(found, list(own), lengths)
        shape.append(int(np.prod([found.shape[i] for i in own], dtype=np.int64)))
    return found.reshape(shape)


def _lengths(known: Sequence[object], length: int) -> list[int]:
    """Sizes of the pieces of an axis, the unknown one as what the others leave."""
    sizes = [size if isinstance(size, int) else None for size in known]
    rest = int(np.prod([size for size in sizes if size is not None], dtype=np.int64))
    if sizes.count(None) > 1 or not rest or length % rest:
        raise Blurred
    return [length // rest if size is None else size for size in sizes]
