"""Which layer of one audit is which of another: a table of what layers are known by, and the engine over it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from relu_audit.records import Means, Place, Renamed

AUTOMATIC = re.compile(r"(onnx::\w+_|val_|const_fold_opt_+|_?)\d+")
"""Names that exporters number weights with. They shift when a layer is added, so they say nothing of what they name."""


class Shaped(Protocol):
    """What a layer is known by."""

    @property
    def scope(self) -> str: ...  # noqa: D102
    @property
    def tensor(self) -> str: ...  # noqa: D102
    @property
    def op(self) -> str: ...  # noqa: D102
    @property
    def units(self) -> int: ...  # noqa: D102
    @property
    def weight(self) -> str | None: ...  # noqa: D102
    @property
    def weight_sha256(self) -> str | None: ...  # noqa: D102
    @property
    def weight_signs(self) -> str | None: ...  # noqa: D102


Old = TypeVar("Old", bound=Shaped)
New = TypeVar("New", bound=Shaped)


@dataclass(frozen=True)
class Pair(Generic[Old, New]):
    """A new layer, the old layer that it is, and what says so; None where no old layer is known to be it."""

    old: Old | None
    new: New
    by: Means | None

    @property
    def renamed(self) -> Renamed | None:
        """The two names, where they differ."""
        if self.old is None or self.by is None or _name(self.old) == _name(self.new):
            return None
        was = Place(scope=self.old.scope, tensor=self.old.tensor)
        return Renamed(scope=self.new.scope, tensor=self.new.tensor, was=was, by=self.by)


@dataclass(frozen=True)
class Matching(Generic[Old, New]):
    """Layers of two audits.

    Attributes:
        pairs: Every new layer in graph order, with the old one that it is.
        gone: Old layers that no new one is known to be, in graph order.
    """

    pairs: tuple[Pair[Old, New], ...]
    gone: tuple[Old, ...]

    @property
    def renamed(self) -> tuple[Renamed, ...]:
        """Layers whose names differ."""
        return tuple(one for pair in self.pairs if (one := pair.renamed) is not None)


def _name(layer: Shaped) -> tuple[str, str]:
    return layer.scope, layer.tensor


def _weight(layer: Shaped) -> str | None:
    return None if layer.weight is None or AUTOMATIC.fullmatch(layer.weight) else layer.weight


def _content(layer: Shaped) -> str | None:
    return layer.weight_sha256


def _signs(layer: Shaped) -> str | None:
    return layer.weight_signs


@dataclass(frozen=True)
class _Step:
    """Layers with an equal key are one layer, if no other layer of either audit has that key.

    Attributes:
        by: What the key is.
        key: Each part of it; a layer that lacks one is not matched by this step.
        against: What speaks against a pair: each says of both layers something else, and of another layer the same.
        in_order: Whether a pair has to lie between the same neighbours in both graphs.
    """

    by: Means
    key: tuple[Callable[[Shaped], Hashable | None], ...]
    against: tuple[Callable[[Shaped], Hashable | None], ...] = ()
    in_order: bool = False


def _op(layer: Shaped) -> str:
    return layer.op


def _units(layer: Shaped) -> int:
    return layer.units


_STEPS = (
    _Step("name", (_name, _content, _op, _units)),
    _Step("weights", (_content, _op, _units)),
    _Step("weights", (_content, _units)),  # exporters spell one rectifier as Relu, Max(x, 0) or Where(x > 0, x, 0)
    _Step("weights", (_signs, _op, _units), against=(_content,)),  # rounded otherwise, or of another element type
    _Step("weights", (_signs, _units), against=(_content,)),
    _Step("name", (_name, _op, _units), against=(_content, _signs, _weight)),
    _Step("weight name", (_weight, _op, _units), against=(_content, _signs, _name)),
    _Step("weight name", (_weight, _units), against=(_content, _signs, _name)),
    _Step("place", (_op, _units), against=(_content, _signs, _name, _weight), in_order=True),
)
"""THE TABLE, in order. Equal weights come first: a name can move to another layer, and a unit is a row of a weight."""


def match(old: Sequence[Old], new: Sequence[New]) -> Matching[Old, New]:
    """Pair the layers. What could be one of several layers is none of them.

    Args:
        old: Layers of the earlier audit, in graph order.
        new: Layers of the later one, likewise.
    """
    found: dict[int, tuple[int, Means]] = {}
    for step in _STEPS:
        taken = {index for index, _ in found.values()}
        rest = (
            {i: layer for i, layer in enumerate(old) if i not in taken},
            {j: layer for j, layer in enumerate(new) if j not in found},
        )
        pairs = list(_uncontradicted(step, _candidates(step, *rest), *rest))
        if step.in_order:
            pairs = _between_the_same(pairs, [(i, j) for j, (i, _) in found.items()])
        found.update({j: (i, step.by) for i, j in pairs})
    taken = {index for index, _ in found.values()}
    return Matching(
        pairs=tuple(
            Pair(old[found[j][0]], layer, found[j][1]) if j in found else Pair(None, layer, None)
            for j, layer in enumerate(new)
        ),
        gone=tuple(layer for i, layer in enumerate(old) if i not in taken),
    )


def _candidates(step: _Step, old: Mapping[int, Shaped], new: Mapping[int, Shaped]) -> Iterator[tuple[int, int]]:
    """Layers that alone have a key. Several of one name, which no graph has twice in one scope, go in graph order."""
    places = _by_key(step, old), _by_key(step, new)
    for key, here in places[1].items():
        there = places[0].get(key, [])
        if len(here) == len(there) and (len(here) == 1 or _name in step.key):
            yield from zip(there, here, strict=True)


def _by_key(step: _Step, layers: Mapping[int, Shaped]) -> dict[Hashable, list[int]]:
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, layer in layers.items():
        key = tuple(part(layer) for part in step.key)
        if None not in key:
            found[key].append(index)
    return found


def _uncontradicted(
    step: _Step, pairs: Iterable[tuple[int, int]], old: Mapping[int, Shaped], new: Mapping[int, Shaped]
) -> Iterator[tuple[int, int]]:
    """The pairs of which nothing else says that one of the two is another layer."""
    said = [(says, set(map(says, old.values())), set(map(says, new.values()))) for says in step.against]
    for i, j in pairs:
        evidence = [(says(old[i]), says(new[j]), olds, news) for says, olds, news in said]
        if not any(
            there is not None and here is not None and there != here and (there in news or here in olds)
            for there, here, olds, news in evidence
        ):
            yield i, j


def _between_the_same(pairs: Collection[tuple[int, int]], known: Collection[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs that are in the same order as all others in both graphs."""
    every = [*known, *pairs]
    return [(i, j) for i, j in pairs if all((a < i) == (b < j) for a, b in every if (a, b) != (i, j))]
