"""Why dead units are dead."""

from __future__ import annotations

from collections.abc import Mapping

from relu_audit.records.base import Record

CAUSES = (
    "dead_inputs",
    "zero_weights",
    "normalisation_scale_near_zero",
    "weights_point_away",
    "bias_below_reach",
    "unexplained",
    "not_examined",
)
"""The causes, as the lists of :class:`Causes` are named. A unit has the first of them that holds."""


class Causes(Record, frozen=True, kw_only=True):
    """Why the dead units of a site are dead: each of them is in one list.

    Attributes:
        dead_inputs: Units all of whose non-zero weights read inputs that are zero themselves.
        zero_weights: Units whose weights are all zero, or negligible beside those of their living neighbours.
        normalisation_scale_near_zero: Units that a normalisation multiplies by next to nothing, and does not lift.
        weights_point_away: Units whose weights made nothing above zero of any input seen: they would not have fired
            without their bias either.
        bias_below_reach: Units whose bias, or normalisation's shift, lies below anything their inputs reach.
        unexplained: Units that were looked into, and none of these holds.
        not_examined: Units that could not be looked into; ``obstacle`` says why.
        near_zero: Those of ``zero_weights`` and ``normalisation_scale_near_zero`` where it is not an exact zero.
        proven: Units that nothing can fire while their inputs stay within what was seen of them. Of all others it is
            only known that the data did not.
        margin: For every dead unit, in the order of ``dead``, what its pre-activation lacked at its largest: with this
            much more bias, and the least bit, it would have fired once. None if pre-activations were not observed.
        operator: The operator that bears the units; None if it was not found.
        weight: The initializer that holds its weights.
        norm: The normalisation between it and the rectifier, by its operator; None if there is none.
        obstacle: Why ``not_examined`` were not.
    """

    dead_inputs: tuple[int, ...] = ()
    zero_weights: tuple[int, ...] = ()
    normalisation_scale_near_zero: tuple[int, ...] = ()
    weights_point_away: tuple[int, ...] = ()
    bias_below_reach: tuple[int, ...] = ()
    unexplained: tuple[int, ...] = ()
    not_examined: tuple[int, ...] = ()
    near_zero: tuple[int, ...] = ()
    proven: tuple[int, ...] = ()
    margin: tuple[float | None, ...] = ()
    operator: str | None = None
    weight: str | None = None
    norm: str | None = None
    obstacle: str | None = None

    @property
    def of_unit(self) -> Mapping[int, str]:
        """The cause of every dead unit, as the lists are named."""
        return {unit: name for name in CAUSES for unit in getattr(self, name)}


def slug_of(cause: str) -> str:
    """The slug of one of ``CAUSES``, as the documentation has it."""
    return cause.replace("_", "-")
