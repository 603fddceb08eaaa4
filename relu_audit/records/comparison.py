"""What became of the units from one audit to another."""

from __future__ import annotations

from typing import Literal

from relu_audit.records.base import Record
from relu_audit.records.matching import Renamed
from relu_audit.records.sites import Place

COMPARISON_SCHEMA = "relu-audit/comparison/1"

Change = Literal["better", "worse", "mixed", "unchanged", "inconclusive"]


class Side(Record, frozen=True, kw_only=True):
    """One of the two audits.

    Attributes:
        model: Name of the model's file.
        model_sha256: Its hash.
        data: What the model was shown.
        data_sha256: Hash of the samples.
        samples: Samples used.
        partial: Whether the run was interrupted.
        units: Units of all layers.
        observed: Units that a sample reached.
        dead: Dead units of all layers.
        faulty: Units with NaN or infinity.
    """

    model: str
    model_sha256: str
    data: str
    data_sha256: str
    samples: int
    partial: bool
    units: int
    observed: int
    dead: int
    faulty: int


class LayerChange(Place, frozen=True, kw_only=True):
    """What became of a layer's units, by index. Those in none of the lists fired on both sides.

    Attributes:
        op: How the rectifier is spelt.
        units: Number of units.
        old_samples: Samples that reached the layer in the old audit.
        new_samples: The same in the new one.
        died: Dead in the new audit only; in the old one they fired or were faulty.
        revived: Dead in the old audit; they fire in the new one.
        stayed: Dead in both.
        broke: Faulty in the new audit only; in the old one they fired or were dead.
        mended: Faulty in the old audit; they fire in the new one.
        still_faulty: Faulty in both.
        untold: Not reached in both, or not reached in the old audit and firing in the new one.
        undecided: May have died or become faulty: reached in one audit only, and not firing in the new one.
    """

    op: str
    units: int
    old_samples: int
    new_samples: int
    died: tuple[int, ...]
    revived: tuple[int, ...]
    stayed: tuple[int, ...]
    broke: tuple[int, ...]
    mended: tuple[int, ...]
    still_faulty: tuple[int, ...]
    untold: tuple[int, ...]
    undecided: tuple[int, ...] = ()


class Unmatched(Place, frozen=True, kw_only=True):
    """A layer of one audit that no layer of the other is known to be.

    Attributes:
        op: How the rectifier is spelt.
        units: Number of units.
        dead: How many of them are dead.
        faulty: How many of them are faulty.
        was: A layer of the same name in the other audit, in words.
    """

    op: str
    units: int
    dead: int
    faulty: int = 0
    was: str | None


class Comparison(Record, frozen=True, kw_only=True):
    """Two audits, unit by unit.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that compared them.
        old: The earlier audit.
        new: The later one.
        outcome: The net result: ``better`` with more units revived and mended than died and broken, ``worse`` with
            fewer, ``mixed`` where the dead and the faulty went opposite ways or as many units died as revived,
            ``unchanged``; ``inconclusive`` where units in doubt could make it worse.
        reasons: What is in doubt.
        layers: Layers that both have, in the graph order of the new one, under their name in the new audit.
        renamed: Those of them that have another name in the old audit.
        added: Layers of the new audit that no layer of the old one is known to be.
        removed: Layers of the old audit that no layer of the new one is known to be.
        remarks: What to know before believing it.
    """

    schema: str = COMPARISON_SCHEMA
    tool: str
    old: Side
    new: Side
    outcome: Change
    reasons: tuple[str, ...]
    layers: tuple[LayerChange, ...]
    renamed: tuple[Renamed, ...]
    added: tuple[Unmatched, ...]
    removed: tuple[Unmatched, ...]
    remarks: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether any unit died or became faulty, also where more units revived."""
        return any(layer.died or layer.broke for layer in self.layers)

    def total(self, kind: str) -> int:
        """Number of units over all layers that are in the list of this name."""
        return sum(len(getattr(layer, kind)) for layer in self.layers)
