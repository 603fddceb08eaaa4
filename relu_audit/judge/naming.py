"""Layers as sentences name them."""

from __future__ import annotations

from collections.abc import Sequence

from relu_audit.records import Place, Renamed

NAMED = 5
"""Layers that a sentence names."""


def named(places: Sequence[Place]) -> str:
    """The names of the first few layers, and how many more there are."""
    return _few([f"'{place.name}'" for place in places])


def renamed(layers: Sequence[Renamed]) -> str:
    """The same with the name in the other audit, and what says that both are one layer."""
    return _few([f"'{layer.name}' was '{layer.was.name}' (same {layer.by})" for layer in layers])


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
