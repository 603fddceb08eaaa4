"""How data is fed: which axis holds samples, whether they share runs, and how that is known. A pure decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from relu_audit.errors import UsageError
from relu_audit.records import Known
from relu_audit.units.sampling import Candidate, choose
from relu_audit.units.standing import Standing, State

Samples = Literal["rows", "feeds"]


@dataclass(frozen=True)
class Stated:
    """What the user says of samples.

    Attributes:
        axes: Axis of samples by input; None for an input that belongs to every sample as a whole.
        samples: ``rows``: each row along the axis is a sample. ``feeds``: each feed is one, run as it came.
    """

    axes: Mapping[str, int | None] = field(default_factory=dict[str, "int | None"])
    samples: Samples | None = None


@dataclass(frozen=True)
class Way:
    """A way to feed the data.

    Attributes:
        axes: For each input the axis that holds samples; None where the whole input is fed in every run.
        known: How it is known what a sample is; ``tried`` where that has to be tried first.
        detail: What stood against a proof.
        together: Whether several samples may share a run and are told apart in what it shows.
        fixed: Rows in a run, where the file fixes them.
    """

    axes: Mapping[str, int | None]
    known: Known
    detail: str = ""
    together: bool = False
    fixed: int | None = None

    @property
    def run_is_sample(self) -> bool:
        """Whether a run of several rows counts as one sample."""
        return self.known == "run"


def ways(found: Sequence[Candidate], stated: Stated, *, in_feeds: bool) -> Iterator[Way]:
    """The ways to feed data, to be tried in this order; none where its rows change each other.

    Args:
        found: The readings of the inputs, each with its proof.
        stated: What the user says.
        in_feeds: Whether the data came as feeds, each for a run of its own.

    Raises:
        UsageError: ``batch-axis`` where the statements contradict each other.
    """
    _check(found, stated)
    best = choose(found)
    if best is None or stated.samples == "feeds":
        yield replace(whole(best), detail="")
        return
    standing, detail = best.state.standing, told(best.state)
    said = bool(stated.axes) or stated.samples == "rows"
    if best.fixed == 1:
        yield Way(best.axes, "stated" if said else "single", fixed=1)
    elif standing <= Standing.APART:
        yield Way(best.axes, "stated" if said else "proved", together=True, fixed=best.fixed)
    elif best.fixed is not None:
        yield Way(best.axes, "run", detail, fixed=best.fixed)
    elif stated.samples == "rows":
        yield Way(best.axes, "stated", detail)
    elif in_feeds:
        yield whole(best)
    elif standing is Standing.RANGE:
        yield Way(best.axes, "range", detail)
    elif said and standing is Standing.UNPROVED:
        yield Way(best.axes, "stated", detail)
    elif standing is Standing.UNPROVED:
        yield from (Way(one.axes, "tried", told(one.state)) for one in found if one.state.standing is standing)


def _check(found: Sequence[Candidate], stated: Stated) -> None:
    """Refuse statements that contradict each other."""
    named = [f"{name}={axis}" for name, axis in stated.axes.items() if axis is not None]
    if stated.samples == "feeds" and named:
        raise UsageError(
            f"--samples feeds and --batch-axis {named[0]} contradict each other",
            slug="batch-axis",
            hint="By --samples feeds each feed is one sample; by --batch-axis each row is. Give one of the two.",
        )
    if (
        stated.samples == "rows"
        and stated.axes
        and not any(axis is not None for one in found for axis in one.axes.values())
    ):
        raise UsageError(
            "--samples rows and --batch-axis contradict each other: by --batch-axis no input has an axis of samples",
            slug="batch-axis",
            hint="Name the axis of samples of one input at least (--batch-axis INPUT=AXIS), or leave --samples out.",
        )


def whole(best: Candidate | None) -> Way:
    """Each feed is run as it came."""
    return Way(dict.fromkeys(best.axes if best else ()), "feeds", told(best.state) if best else "")


def told(state: State) -> str:
    """What stands against a proof: the node, and what that node does."""
    return f"{state.node} {state.why}" if state.node else state.why
