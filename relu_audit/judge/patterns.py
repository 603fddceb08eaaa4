r"""Patterns of layer names: ``*`` is any run of characters, slashes too, ``?`` any one, ``\`` takes the next as it is.

All else stands for itself, brackets too, since exporters put them into names.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence
from functools import cache

from relu_audit.errors import UsageError
from relu_audit.records import LayerLimit, Place

NEAREST = 3
"""Names that an error suggests."""


def matches(pattern: str, name: str) -> bool:
    r"""Whether a pattern is one of a name, all of it, upper and lower case told apart.

    >>> matches("/encoder/*", "/encoder/0/Relu"), matches("a[0]", "a[0]"), matches(r"a\*", "ab")
    (True, True, False)
    """
    return _compiled(pattern).match(name) is not None


def refuse_unmatched(limits: Iterable[LayerLimit], places: Sequence[Place]) -> None:
    """Refuse a limit of layers that are not there: misspelt, it would be no limit.

    Raises:
        UsageError: ``layer-pattern``, naming the nearest layers.
    """
    names = [place.name for place in places]
    for one in limits:
        if not any(matches(one.pattern, name) for name in names):
            raise UsageError(
                f"the limit for '{one.pattern}' is for no layer of this model",
                slug="layer-pattern",
                hint=_nearest(one.pattern, names),
            )


def _nearest(pattern: str, names: Sequence[str]) -> str:
    if not names:
        return "The model has no rectifier."
    near = difflib.get_close_matches(pattern, names, n=NEAREST, cutoff=0.3)
    listed = ", ".join(f"'{name}'" for name in near or names[:NEAREST])
    brackets = " Brackets stand for themselves; the wildcards are * and ?." if "[" in pattern else ""
    return f"{'The nearest are' if near else 'Its layers are such as'} {listed}.{brackets}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """In the words of ``fnmatch``, whose expressions take no longer than linear time on a stranger's names."""
    pieces = re.findall(r"\\?.", pattern, re.DOTALL)
    return re.compile(fnmatch.translate("".join(map(_literal, pieces))))


def _literal(piece: str) -> str:
    character = piece[-1]
    quoted = character == "[" or (len(piece) > 1 and character in "*?")
    return f"[{character}]" if quoted else character
