"""What every node says about entries: which are one (link), which are summed over which (mix), which may not go (pin).

A link joins an index of an operand with an index of a result or of another operand: they stay or go together. A mix
says that a sum over the indices of an operand makes the results, and where its weight is not zero. Whatever a node's
row and law do not cover is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from relu_audit.surgery.operators.atoms import Atoms, Bools, Ints, components
from relu_audit.surgery.operators.signature import Signature
from relu_audit.surgery.runs.routes import Moved

if TYPE_CHECKING:
    from relu_audit.surgery.facts.shuffles import Shuffle

ALWAYS = -1
"""In place of an atom: a result that is there whatever is cut."""


@dataclass(frozen=True)
class Mix:
    """A sum over an axis of an operand.

    Attributes:
        node: The operator.
        operand: Number of the operand that is summed over.
        weight: Number of the constant operand that holds the factors; None where both are computed.
        pattern: Where factors are not zero: [group, result, term].
        results: Atoms of the results: [group, result]; ``ALWAYS`` where they have none.
        terms: Atoms of the operand: [group, term].
        partners: Atoms of the other computed operands over the same terms, by their numbers, each [group, term].
    """

    node: ir.Node
    operand: int
    weight: int | None
    pattern: Bools
    results: Ints
    terms: Ints
    partners: Mapping[int, Ints] = field(default_factory=dict[int, Ints])


@dataclass(frozen=True)
class Pin:
    """Atoms that may not go, and why."""

    atoms: Ints
    slug: str
    detail: str


@dataclass(frozen=True)
class Link:
    """Pairs of atoms that stay or go together, and the node that says so (None: the way into or out of a body)."""

    left: Ints
    right: Ints
    node: ir.Node | None


@dataclass(frozen=True)
class Need:
    """Results that are picked from among others: one that stays needs what it is, pair by pair, and not the reverse."""

    results: Ints
    terms: Ints


@dataclass(frozen=True)
class Serving:
    """A constant that has the same entries along an axis for every group.

    Attributes:
        value: The constant, which nothing else reads.
        axis: The axis of the entries. Its atoms are those of the first group.
        by: The axis along which the groups lie.
    """

    value: ir.Value
    axis: int
    by: int


@dataclass(frozen=True)
class Groups:
    """Entries of which every group has to keep as many as the others, be they the same ones or not.

    Attributes:
        entries: Their atoms: [group, entry].
        serving: Constants that serve all groups: cut by group when they are written.
    """

    entries: Ints
    serving: tuple[Serving, ...]


@dataclass
class Facts:
    """All that the nodes say.

    Attributes:
        atoms: The numbering.
        links: What belongs together.
        mixes: What is summed.
        pins: What may not go.
        signatures: The letters of every node that has a signature.
        moved: The routes of every node that moves data.
        shuffles: Chains that only change an order, by their last node.
        picking: Nodes whose results may lack what their operands have.
        needs: What these pick.
        groups: Entries that lie in groups of equal size.
    """

    atoms: Atoms
    links: list[Link] = field(default_factory=list)
    mixes: list[Mix] = field(default_factory=list)
    pins: list[Pin] = field(default_factory=list)
    signatures: dict[ir.Node, Signature] = field(default_factory=dict)
    moved: dict[ir.Node, Moved] = field(default_factory=dict)
    shuffles: dict[ir.Node, Shuffle] = field(default_factory=dict)
    picking: frozenset[ir.Node] = frozenset()
    needs: list[Need] = field(default_factory=list)
    groups: list[Groups] = field(default_factory=list)

    def link(self, left: Ints | None, right: Ints | None, node: ir.Node | None) -> None:
        """Join two rows of atoms one by one; where one side has none, the other cannot follow and is pinned."""
        if left is None or right is None:
            for one in (left, right):
                self.pin(one, "open-size", f"it meets an axis whose size the data decides, {named(node)}")
        else:
            self.links.append(Link(left, right, node))

    def pin(self, atoms: Ints | None, slug: str, detail: str) -> None:
        """Forbid to remove atoms."""
        if atoms is not None and len(atoms):
            self.pins.append(Pin(atoms, slug, detail))

    def pin_value(self, value: ir.Value | None, slug: str, detail: str, but: frozenset[int] = frozenset()) -> None:
        """Forbid to remove anything from a value, but for the given axes."""
        for axis, atoms in () if value is None else self.atoms.of(value):
            if axis not in but:
                self.pin(atoms, slug, detail)

    def pin_node(self, node: ir.Node, slug: str, detail: str) -> None:
        """Forbid to remove anything from a node's operands and results."""
        for value in (*node.inputs, *node.outputs):
            self.pin_value(value, slug, detail)

    def classes(self) -> Ints:
        """A label per atom, equal for atoms that stay or go together."""
        empty = np.zeros(0, np.int64)
        left = np.concatenate([empty, *(one.left for one in self.links)])
        right = np.concatenate([empty, *(one.right for one in self.links)])
        return components(self.atoms.count, left, right)

    def pinned(self) -> Bools:
        """Which atoms are pinned themselves."""
        found = np.zeros(self.atoms.count, bool)
        for pin in self.pins:
            found[pin.atoms] = True
        return found


def named(node: ir.Node | None) -> str:
    """A node in words."""
    return "at the border of a body" if node is None else f"{node.op_type} '{node.name or node.outputs[0].name}'"
