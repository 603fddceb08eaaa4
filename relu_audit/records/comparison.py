"""What became of the units from one audit to another."""

from __future__ import annotations

from relu_audit.records.base import Record
from relu_audit.records.sites import Place

COMPARISON_SCHEMA = "relu-audit/comparison/1"


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
        died: Fired in the old audit, dead in the new one.
        revived: The other way round.
        stayed: Dead in both.
        broke: Faulty in the new audit only.
        mended: Faulty in the old audit only.
        still_faulty: Faulty in both.
        untold: Not reached on one side or both, and faulty on none.
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


class Unmatched(Place, frozen=True, kw_only=True):
    """A layer of one audit that no layer of the other is; ``was`` is a layer of the same name there, in words."""

    op: str
    units: int
    dead: int
    was: str | None


class Comparison(Record, frozen=True, kw_only=True):
    """Two audits, unit by unit.

    Attributes:
        schema: Name and version of this format.
        tool: Name and version of the program that compared them.
        old: The earlier audit.
        new: The later one.
        layers: Layers that both have, by name, operator and number of units, in the graph order of the new one.
        added: Layers that only the new audit has.
        removed: Layers that only the old audit has.
        remarks: What to know before believing it.
    """

    schema: str = COMPARISON_SCHEMA
    tool: str
    old: Side
    new: Side
    layers: tuple[LayerChange, ...]
    added: tuple[Unmatched, ...]
    removed: tuple[Unmatched, ...]
    remarks: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether a unit died or became faulty."""
        return any(layer.died or layer.broke for layer in self.layers)

    @property
    def told(self) -> bool:
        """Whether of any unit it could be told what became of it."""
        return any(len(layer.untold) < layer.units for layer in self.layers)

    def total(self, kind: str) -> int:
        """Number of units over all layers that are in the list of this name."""
        return sum(len(getattr(layer, kind)) for layer in self.layers)
