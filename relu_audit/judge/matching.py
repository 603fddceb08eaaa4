"""Which layer of one audit is which of another: by name, operator and number of units."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


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


Old = TypeVar("Old", bound=Shaped)
New = TypeVar("New", bound=Shaped)


@dataclass(frozen=True)
class Matching(Generic[Old, New]):
    """Layers of two audits.

    Attributes:
        pairs: Every new layer in graph order, with the old one that it is; None where there is none.
        gone: Old layers that no new one is, in graph order.
    """

    pairs: tuple[tuple[Old | None, New], ...]
    gone: tuple[Old, ...]


def match(old: Sequence[Old], new: Sequence[New]) -> Matching[Old, New]:
    """Pair the layers; of several that nothing tells apart, the first with the first."""
    left: defaultdict[tuple[str, str, str, int], deque[int]] = defaultdict(deque)
    for index, layer in enumerate(old):
        left[_key(layer)].append(index)
    found = [left[_key(layer)].popleft() if left[_key(layer)] else None for layer in new]
    taken = set(found)
    return Matching(
        pairs=tuple((None if index is None else old[index], layer) for index, layer in zip(found, new, strict=True)),
        gone=tuple(layer for index, layer in enumerate(old) if index not in taken),
    )


def _key(layer: Shaped) -> tuple[str, str, str, int]:
    return layer.scope, layer.tensor, layer.op, layer.units
