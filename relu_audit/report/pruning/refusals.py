"""Why units stay, for people: what each slug of the pruning's plan means, and what could be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """What a slug means for a unit that has it, and what would let the unit go."""

    meaning: str
    remedy: str


UNKNOWN = Explanation("The plan gives no further explanation than the details below.", "Report this with the model.")
"""For a slug that a newer version wrote."""

_STATIC = "Export the model with fixed sizes, so that what is computed from them becomes a constant."
_NONE = "Nothing can be cut here without changing what the model computes."

EXPLAINED: Mapping[str, Explanation] = {
    "alignment": Explanation(
        "It could go, but its axis would then not keep to a multiple of the alignment, for which runtimes have their "
        "fast kernels.",
        "Prune with --align 1 to cut it as well, and compare the time of a run: smaller can be slower.",
    ),
    "last-unit": Explanation(
        "It is the last one of its axis, and no axis can be left empty.",
        "The layer as a whole carries nothing: take it out of the architecture, or find out why it died.",
    ),
    "needed": Explanation("Something that stays is computed from it.", _NONE),
    "partner-alive": Explanation(
        "A channel goes everywhere or nowhere. This one is tied to a channel that is not silent, and that one is read.",
        "Mask the channel in training until it is silent there too, then audit and prune again.",
    ),
    "residual-partner-alive": Explanation(
        "It meets another branch in a sum, whose operands have to be equally wide, and that branch is not silent in "
        "this channel.",
        "It can go once every branch of the sum is silent in this channel: mask it in all of them in training.",
    ),
    "uneven-constant": Explanation(
        "A constant is added to it that is not one number: it differs between positions or with the size of the data.",
        "It can go once what is added is zero in this channel, or one number.",
    ),
    "shared-weights": Explanation(
        "Its weight serves several places, and in one of them the channel is in use.",
        "Give the places weights of their own, or mask the channel in all of them in training.",
    ),
    "uneven-groups": Explanation(
        "It feeds an operator that works in groups and wants as many channels of each.",
        "It can go together with one channel of every other group.",
    ),
    "border-constant": Explanation(
        "What it leads to is a constant that is not the same everywhere: it is padded, here or in the next operator, "
        "with another number, and no bias can stand in for that.",
        "It can go if nothing is padded, or if the constant is zero: no bias or shift after the unit.",
    ),
    "zero-divisor": Explanation(
        "Its channel is zero, and the model divides the channel by a value that may be zero too, as the sum of a mask "
        "may. 0 / 0 is NaN, and what reads the channel is NaN then.",
        "Give the divisor a lower bound in the model, such as Max or Clip with a positive constant.",
    ),
    "not-by-structure": Explanation(
        "It showed one value on all data, but the graph does not say that it can have no other.",
        "If you know that it cannot, write the constant into the model and prune again.",
    ),
    "unknown-operator": Explanation(
        "It meets an operator of which it is not known what its axes mean.",
        "Export with standard operators where there is a choice, or report the operator.",
    ),
    "unknown-move": Explanation("It meets an operator that moves data, and could not be traced.", _STATIC),
    "sequence": Explanation(
        "It goes into a sequence, an optional value or a map, or comes out of one; whatever these touch stays.",
        "Export the model without sequences where there is a choice: Split and Concat in place of SplitToSequence.",
    ),
    "empty": Explanation(
        "It meets a value that has no entries, as behind a layer without units.",
        "Take the layer without units out of the architecture.",
    ),
    "combined-axis": Explanation(
        "An operator folds, blends or compares the entries along its axis, so that none of them can be left out.", _NONE
    ),
    "open-size": Explanation("It meets an axis whose size the data decides.", _STATIC),
    "shape": Explanation("The graph reads the size of its axis, or picks entries of it by number.", _STATIC),
    "counted": Explanation("An operator counts the entries of its axis, and the count is used.", _NONE),
    "graph-input": Explanation(
        "It is tied to an input of the model, whose shape is a promise to whoever calls it.",
        "If the callers can do without that part of the input, change the model's interface first.",
    ),
    "graph-output": Explanation(
        "It is part of an output of the model, whose shape is a promise to whoever calls it.",
        "If the callers can do without that part of the output, change the model's interface first.",
    ),
    "spared": Explanation("Its layer was to be left alone (--spare).", "Prune again without sparing it."),
    "loop-body": Explanation(
        "It goes into or comes out of the body of a loop, where shapes are left as they are.",
        "Unroll the loop when the model is exported.",
    ),
    "if-branch": Explanation(
        "It comes out of a branch whose shape is not the other branch's, or is not known.",
        "Choose the branch when the model is exported, or export it with fixed sizes.",
    ),
    "units-spread": Explanation(
        "The units of its layer have no one axis of a known size to be cut along.",
        "Export the model with fixed sizes, or name the axis with --unit-axis.",
    ),
}
