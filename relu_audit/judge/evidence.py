"""How sure a finding is, given how many samples it rests on."""

from __future__ import annotations

CONFIDENCE = 0.95


def rate_below(samples: int, confidence: float = CONFIDENCE) -> float | None:
    """Upper bound on the firing rate of a unit that was silent in all of ``samples`` samples.

    The exact one-sided binomial bound (Clopper and Pearson 1934): the largest rate p with (1 - p)^n >= 1 - confidence.

    Args:
        samples: Samples drawn independently from what the model will meet. Pixels and tokens of one sample are not
            independent and do not count.
        confidence: Probability with which the bound holds, 0 to 1.

    Returns:
        A fraction, about 3 / samples at 95 %; None for no samples.

    >>> round(rate_below(256), 4)
    0.0116
    """
    if samples < 1:
        return None
    return 1 - (1 - confidence) ** (1 / samples)


def may_be_subset(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether of two runs, by source and number of samples, one may have seen no more than a part of the other's."""
    return one[0] == other[0] != "" and one[1] != other[1]
