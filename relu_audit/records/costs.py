"""What dead units cost, and what models cost."""

from __future__ import annotations

import msgspec

from relu_audit.records.base import Record


class Cost(Record, frozen=True, kw_only=True):
    """What a model costs.

    Attributes:
        parameters: Elements of all weights, quantized ones included, in initializers and in nodes.
        multiply_adds: Multiplications of weights in one sample's run; None where sizes are not known.
        bytes: Size of all initializers and of what nodes hold.
    """

    parameters: int
    multiply_adds: int | None
    bytes: int


class Tied(Record, frozen=True, kw_only=True):
    """What is tied up in the dead units of a site. No weight is counted twice, here or at another site.

    Attributes:
        parameters: Elements that make them and nothing else: their rows of weights, with biases and entries of
            normalisations. None if what bears them was not found.
        multiply_adds: Multiplications by those weights, in one sample's run; None likewise, or if sizes are not known.
        read_parameters: Elements of weights that multiply nothing but what comes of them, in rows that are not
            themselves of dead units.
        read_multiply_adds: Multiplications by those; None if sizes are not known.
    """

    parameters: int | None
    multiply_adds: int | None
    read_parameters: int
    read_multiply_adds: int | None


class Prospect(Record, frozen=True, kw_only=True):
    """What exact pruning would give back, by a plan that was made and not carried out.

    Attributes:
        removed: Dead units that would go.
        kept: Those that would stay, by the slug of the reason.
        align: Lengths that were multiples of this stay so.
        before: Cost of the model; None if there is no plan.
        after: Cost of the result; None likewise.
        failure: Why there is no plan, as a slug and a sentence; None if there is one.
    """

    removed: int = 0
    kept: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    align: int
    before: Cost | None = None
    after: Cost | None = None
    failure: tuple[str, str] | None = None
