"""Causes of death as no model has them all at once: for tests of what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relu_audit.records import CAUSES, Causes


def all_causes(dead: Sequence[int], margin: Sequence[float | None], random: np.random.Generator) -> Causes:
    """Any cause for any unit; some of them certain, and some of those that may be negligible are not zero."""
    units, drawn = np.asarray(dead, int), random.integers(0, len(CAUSES), len(dead))
    found = {name: tuple(units[drawn == place].tolist()) for place, name in enumerate(CAUSES)}
    maybe_near = np.isin(drawn, [CAUSES.index(name) for name in ("zero_weights", "normalisation_scale_near_zero")])
    return Causes(
        **found,
        near_zero=tuple(units[maybe_near & (random.random(len(units)) < 0.5)].tolist()),
        proven=tuple(units[random.random(len(units)) < 0.3].tolist()),
        margin=tuple(margin),
        operator="MatMul",
        weight="w",
    )
