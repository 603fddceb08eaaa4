"""The register of small pruning patterns, one per kind of graph; importing the modules fills it."""

from __future__ import annotations

from tests import prune_codes, prune_corners, prune_formats, prune_layers, prune_sums, prune_whole, prune_wiring
from tests.prune_kit import PATTERNS

MODULES = (prune_corners, prune_layers, prune_wiring, prune_formats, prune_codes, prune_sums, prune_whole)

__all__ = ["MODULES", "PATTERNS"]
