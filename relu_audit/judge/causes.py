"""Why a unit died: a table of causes, the first that holds counts. A pure function of parameters and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu_audit.records.causes import CAUSES, Causes, slug_of

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

NEGLIGIBLE = 2.0**-10
"""What is a smaller share than this of what living neighbours have counts as nearly zero: float16 resolves one part in
2^11, so beside a neighbour's contribution such a one is lost in half precision, and is noise in any training."""

ROUNDING = 2.0**-20
"""Share of its terms by which a float32 sum of some thousand of them may be off; a proof has to leave as much room."""


@dataclass(frozen=True)
class Facts:
    """What parameters and counts say of a layer's dead units. Arrays have one entry per dead unit.

    Attributes:
        nonzero: Weights of the unit other than zero.
        fed: Those of them whose input is not known to be always zero.
        weight: Largest absolute weight.
        usual_weight: The same of a typical living unit of the layer.
        normalised: Whether a normalisation stands between weight and rectifier.
        gamma: Absolute number that it multiplies by.
        usual_gamma: The same of a typical living unit.
        bias: What is added last, behind any normalisation.
        alone: Whether the unit's own sums and constants are all that it is made of.
        added: Whether something else is added that is computed as well.
        lifted: The most its sums can come to, scaled, inputs being within what was seen; infinite if not known.
        shift: The most that is added to them.
        terms: Size of what is added up, for rounding.
        pre_peak: Largest pre-activation observed; NaN if it was not.
        above: Where the rectifier begins to fire.
    """

    nonzero: NDArray[np.int64]
    fed: NDArray[np.int64]
    weight: Floats
    usual_weight: float
    normalised: bool
    gamma: Floats
    usual_gamma: float
    bias: Floats
    alone: bool
    added: bool
    lifted: Floats
    shift: Floats
    terms: Floats
    pre_peak: Floats
    above: Floats

    @property
    def proven(self) -> Bools:
        """Units that nothing can fire while their inputs stay within what was seen of them."""
        bounded = self.lifted + self.shift + ROUNDING * self.terms <= self.above
        # Where no term is positive, no rounding makes the sum so.
        never = (self.lifted <= 0) & (self.shift <= self.above) & (not self.normalised)
        return np.isfinite(self.lifted) & (bounded | never)

    @property
    def near_zero(self) -> Bools:
        """Units whose weights, or whose scale, are negligible and yet not zero."""
        return _weightless(self) & (self.weight > 0) | _unscaled(self) & (self.gamma > 0) & ~_weightless(self)


@dataclass(frozen=True)
class Cause:
    """A row of the table.

    Attributes:
        name: As the lists of the record are named.
        title: What it is, in a few words; ``brief`` is shorter still.
        brief: For a line that counts several.
        means: What it usually means for training.
        advice: What to do next.
        holds: Which dead units it holds for.
    """

    name: str
    title: str
    brief: str
    means: str
    advice: str
    holds: Callable[[Facts], Bools]

    @property
    def slug(self) -> str:
        """The name as reports have it, and the anchor of its paragraph in docs/causes.md."""
        return slug_of(self.name)


def _starved(facts: Facts) -> Bools:
    return (facts.fed == 0) & (facts.nonzero > 0) & facts.alone


def _weightless(facts: Facts) -> Bools:
    return (facts.weight <= NEGLIGIBLE * facts.usual_weight) & facts.alone


def _unscaled(facts: Facts) -> Bools:
    small = facts.gamma <= NEGLIGIBLE * facts.usual_gamma
    return small & (facts.bias <= 0) & (facts.normalised and not facts.added)


def _turned_away(facts: Facts) -> Bools:
    # Behind a normalisation sums are centred, so that it takes more than weights to keep them all on one side.
    reached = np.where(np.isnan(facts.pre_peak), facts.lifted, facts.pre_peak - facts.bias)
    return (reached <= facts.above) & (facts.alone and not facts.normalised)


def _below_reach(facts: Facts) -> Bools:
    # Without this bias it would have fired: it is the bias that is to blame, and not which way the weights point.
    return facts.proven | (facts.bias < 0) & (facts.pre_peak - facts.bias > facts.above)


def _always(facts: Facts) -> Bools:
    return np.ones(len(facts.bias), bool)


def _never(facts: Facts) -> Bools:
    return np.zeros(len(facts.bias), bool)


TABLE: tuple[Cause, ...] = (
    Cause(
        "dead_inputs",
        "all inputs dead",
        "dead inputs",
        "Death passed on from the layer before: these units had no say in it, and no gradient reaches them.",
        "Mend the layer before first; then audit again.",
        _starved,
    ),
    Cause(
        "zero_weights",
        "weights zero or negligible",
        "zero weights",
        "Weight decay with no gradient against it, a pruning mask, or an initialisation that left rows at zero.",
        "Prune them; if no mask was meant, look at weight decay and initialisation.",
        _weightless,
    ),
    Cause(
        "normalisation_scale_near_zero",
        "normalisation scale near zero",
        "normalisation scale near zero",
        "Weight decay, or a sparsity penalty, on the normalisation's scale switched these channels off.",
        "Exempt normalisation parameters from weight decay, or prune: the network has learned to do without.",
        _unscaled,
    ),
    Cause(
        "weights_point_away",
        "weights point away",
        "weights point away",
        "Steps that were too large, or inputs of one sign only, turned the weights against all that the layer sees.",
        "Train with a lower rate, a warm-up or clipped gradients; centre the layer's inputs, by normalisation say.",
        _turned_away,
    ),
    Cause(
        "bias_below_reach",
        "bias or shift below reach",
        "bias below reach",
        "A few steps that were too large threw the bias down, and without a gradient it never came back.",
        "Train with a lower rate, a warm-up or clipped gradients; units of small margin can be revived by their bias.",
        _below_reach,
    ),
    Cause(
        "unexplained",
        "unexplained",
        "unexplained",
        "No parameter of their own is to blame: what is added to them is, or moments that do not fit the data.",
        "Check that the data is prepared as in training; if they stay silent on more of it, prune.",
        _always,
    ),
    Cause(
        "not_examined",
        "not examined",
        "not examined",
        "What bears these units could not be found in the graph, or has weights that are computed.",
        "The reason is given per layer; it says nothing about training.",
        _never,
    ),
)
"""In order of precedence."""


def causes(dead: Sequence[int], facts: Sequence[Facts], margin: Sequence[float | None]) -> Causes:
    """Why each dead unit of a site died.

    Args:
        dead: The units.
        facts: What is known of them, at every place that the site stands for. Of several places the weakest cause
            counts: what explains one of them only does not explain the unit.
        margin: What each lacked.
    """
    weakest = np.maximum.reduce([_first(one) for one in facts])
    units = np.asarray(dead, np.int64)
    named: dict[str, Any] = {name: tuple(units[weakest == place].tolist()) for place, name in enumerate(CAUSES)}
    near = np.logical_and.reduce([one.near_zero for one in facts]) & np.isin(weakest, _MEASURED)
    proven = np.logical_and.reduce([one.proven for one in facts])
    return Causes(
        **named, near_zero=tuple(units[near].tolist()), proven=tuple(units[proven].tolist()), margin=tuple(margin)
    )


_MEASURED = [CAUSES.index(name) for name in ("zero_weights", "normalisation_scale_near_zero")]


def _first(facts: Facts) -> NDArray[np.int64]:
    """The place in the table of the first cause that holds."""
    return np.argmax([row.holds(facts) for row in TABLE], axis=0)
