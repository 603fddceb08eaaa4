"""Which sites to leave alone where cutting all of them goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def blame(sites: Sequence[str], passes: Callable[[Sequence[str]], bool]) -> tuple[str, ...] | None:
    """Sites without which the rest passes; each is found by bisection, as the one that makes a run of them fail.

    Args:
        sites: Names, of which all together do not pass.
        passes: Whether some of them do, if only they are cut.

    Returns:
        None if not even cutting none of them passes.
    """
    if not passes(()):
        return None
    left, blamed = list(sites), list[str]()
    while left and (not blamed or not passes(left)):
        good, bad = 0, len(left)
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if passes(left[:middle]) else (good, middle)
        blamed.append(left.pop(bad - 1))
    return tuple(blamed)
