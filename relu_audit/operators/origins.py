"""THE table of origins: what the entries of a result come from, where that is not the entries of the operands.

Most results are made of the entries of their operands, and the axis table says along which axes. The rows here are the
others: lengths (Shape), numbers that count up (Range), entries that are all alike (ConstantOfShape), results whose
lengths depend on the data (NonZero), random numbers. A row also says which operands only state how long a result is.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators) at opsets 1 to 24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from relu_audit.operators.along import in_training, set_by, trains
from relu_audit.operators.families import REDUCE
from relu_audit.operators.moves import Operation


class Made(Enum):
    """What the entries of a result are made of."""

    ENTRIES = auto()
    """Entries of the operands, as the axis table has them."""

    COPIES = auto()
    """The same: every entry is the one in its place of the first operand, perhaps in another type."""

    MOVED = auto()
    """Entries of the first operand, each as often as it may be, in other places; none is new."""

    LENGTHS = auto()
    """The lengths of the first operand."""

    ALIKE = auto()
    """One number, as many times as the operands say."""

    COUNT = auto()
    """Numbers that count up, as many as the operands say."""

    UNTOLD = auto()
    """Entries of the operands, as many as the data has it."""


Behaves = Callable[[Operation], bool]


def _never(op: Operation) -> bool:
    del op
    return False


def _always(op: Operation) -> bool:
    del op
    return True


def _each_axis(op: Operation) -> bool:
    return "axes" not in op.node.attributes


@dataclass(frozen=True)
class Origin:
    """Where the entries of one operator's results come from.

    Attributes:
        made: What they are made of.
        sized_by: Operands whose numbers only say how long a result is, or which entries or axes are meant.
        lists: Those of them that list the lengths of the result, axis by axis, and when they do.
        draws: Whether the node draws random numbers.
        learns: Whether the node computes with the statistics of the batch that it is given.
    """

    made: Made = Made.ENTRIES
    sized_by: Sequence[int] = ()
    lists: Mapping[int, Behaves] = field(default_factory=dict[int, Behaves])
    draws: Behaves = _never
    learns: Behaves = _never


_MS = "com.microsoft"
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")

TABLE: Mapping[tuple[str, str], Origin] = {
    **{("", op): Origin(Made.COPIES) for op in ("Cast", "CastLike", "Identity")},
    **{("", op): Origin(Made.LENGTHS) for op in ("EyeLike", "Shape", "Size")},
    ("", "ConstantOfShape"): Origin(Made.ALIKE, sized_by=(0,), lists={0: _always}),
    ("", "Range"): Origin(Made.COUNT, sized_by=(1,), lists={1: _always}),
    **{("", op): Origin(Made.UNTOLD) for op in ("NonZero", "NonMaxSuppression", "Compress", "Unique", "StringSplit")},
    **{("", op): Origin(draws=_always) for op in _RANDOM},
    ("", "Dropout"): Origin(draws=in_training),
    (_MS, "BiasDropout"): Origin(draws=set_by(4)),
    (_MS, "ConvTransposeWithDynamicPads"): Origin(sized_by=(2,)),
    (_MS, "Trilu"): Origin(sized_by=(1,)),
    (_MS, "Unique"): Origin(Made.UNTOLD),
    ("", "BatchNormalization"): Origin(learns=trains),
    **{("", op): Origin(Made.MOVED) for op in ("Flatten", "Gather", "Transpose")},
    **{("", op): Origin(Made.MOVED, sized_by=(1,), lists={1: _always}) for op in ("Expand", "Reshape")},
    **{("", op): Origin(Made.MOVED, sized_by=(1,)) for op in ("Split", "Squeeze", "Tile", "Unsqueeze")},
    **{("", op): Origin(sized_by=(1,)) for op in (*REDUCE, "TopK", "Trilu", "CumSum", "CumProd")},
    ("", "CenterCropPad"): Origin(sized_by=(1,), lists={1: _each_axis}),
    ("", "OneHot"): Origin(sized_by=(1,)),
    ("", "Slice"): Origin(Made.MOVED, sized_by=(1, 2, 3, 4)),
    ("", "Pad"): Origin(sized_by=(1, 3)),
    ("", "Resize"): Origin(sized_by=(1, 2, 3), lists={3: _each_axis}),
    ("", "Upsample"): Origin(sized_by=(1,)),
}

ENTRIES = Origin()


def origin(domain: str, op: str) -> Origin:
    """The row of an operator; entries of its operands where there is none."""
    return TABLE.get(("" if domain == "ai.onnx" else domain, op), ENTRIES)
