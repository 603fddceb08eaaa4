"""Sums of which some terms may go although a kept result has them: zeros, and constants that another term carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from relu_audit.surgery.facts.facts import Mix
from relu_audit.surgery.operators.atoms import Bools, Ints

NOBODY = -1
"""In place of a term: none carries the others."""


@dataclass(frozen=True)
class Sum:
    """A mix, and which of its terms may go although a kept result has them.

    Attributes:
        mix: The mix.
        free: Zeros, and constants that fold into a bias: [group, term].
        carried: Constants that may go as long as their carrier stays: [group, term].
        carrier: That term of the same group, itself among the carried; ``NOBODY`` where none is: [group, term].
        number: What is constant: its number, or which multiple it is of what its carrier is one of; else NaN:
            [group, term].
    """

    mix: Mix
    free: Bools
    carried: Bools
    carrier: Ints
    number: np.ndarray

    def carriers(self, label: Ints, removed: Bools) -> list[int]:
        """Classes of the terms that carry others which go."""
        groups, terms = np.nonzero(removed[self.mix.terms] & self.carried)
        found: list[int] = np.unique(label[self.mix.terms[groups, self.carrier[groups, terms]]]).tolist()
        return found
