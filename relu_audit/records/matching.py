"""How a layer of one audit was found in another."""

from __future__ import annotations

from typing import Literal

from relu_audit.records.sites import Place

Means = Literal["name", "weights", "weight name", "place"]
"""What two layers were matched by: their names, the contents of their weights, the weights' names, or their place in
graph order with operator and number of units."""


class Renamed(Place, frozen=True, kw_only=True):
    """A layer that has another name in the other audit.

    Attributes:
        was: The layer there.
        by: What the two were matched by.
    """

    was: Place
    by: Means
