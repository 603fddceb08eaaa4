"""Things in an order in which each comes after those it needs, found without recursion: graphs may be deep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def postorder(roots: Iterable[Item], needs: Callable[[Item], Iterable[Item]]) -> Iterator[Item]:
    """Yield the roots and all that they need, each item once and after the items that it needs itself.

    An item is asked for its needs once, right before the first of them is yielded. Where items need each other in a
    circle, the one of them that is come to first is yielded last.

    >>> list(postorder("c", {"c": "ab", "b": "a", "a": ""}.__getitem__))
    ['a', 'b', 'c']
    """
    opened: set[Item] = set()
    done: set[Item] = set()
    for root in roots:
        pending = [root]
        while pending:
            item = pending[-1]
            if item not in opened:
                opened.add(item)
                pending += reversed([one for one in needs(item) if one not in opened])
            else:
                pending.pop()
                if item not in done:
                    done.add(item)
                    yield item


Found = TypeVar("Found")


def settled(
    root: Item, known: dict[Item, Found], needs: Callable[[Item], Iterable[Item]], find: Callable[[Item], Found]
) -> Found:
    """What is found for an item from what is found for those that it needs, which is kept.

    Args:
        root: The item.
        known: What was found before; what is found now is put there.
        needs: The items that one needs, of which ``known`` is to tell when it is looked at.
        find: What to make of an item.
    """
    for item in postorder([root], lambda one: () if one in known else needs(one)):
        if item not in known:
            known[item] = find(item)
    return known[root]
