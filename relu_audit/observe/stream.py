"""Fold batches into tallies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from relu_audit.errors import RunError
from relu_audit.observe.dataset import Batch
from relu_audit.observe.instrument import Observed
from relu_audit.observe.probe import Probe, Results, rows
from relu_audit.observe.tally import Tally


@dataclass(frozen=True)
class Progress:
    """An event: so many samples are done of those expected, if that is known, and so many units are silent yet."""

    samples: int
    expected: int | None
    silent: int
    units: int


OnProgress = Callable[[Progress], None]


class Runner(Protocol):
    """Anything that runs a batch."""

    def run(self, feeds: dict[str, np.ndarray], fetch: Sequence[str]) -> dict[str, np.ndarray]:
        """The results asked for, by name."""
        ...


@dataclass(frozen=True)
class Streamed:
    """The tally of every site, in the order of the observed graph's probes, and whether the data was cut short."""

    tallies: tuple[Tally, ...]
    runs: int
    samples: int
    interrupted: bool


def stream(
    runner: Runner, observed: Observed, batches: Iterable[Batch], expected: int | None, on_progress: OnProgress
) -> Streamed:
    """Run every batch once and add up what it shows. An interrupt from the keyboard ends it with what was seen."""
    none: list[Tally | None] = [None] * len(observed.probes)
    counted = none, 0, 0
    interrupted = False
    try:
        for batch in batches:
            results = runner.run(dict(batch.feeds), observed.fetch)
            # A batch counts as a whole or not at all, so an interrupt cannot leave sites with different samples.
            tallies, runs, _ = counted
            seen = [_tally(site, results, batch, runs) for site in observed.probes]
            samples = batch.first + batch.samples
            counted = [_merged(old, new) for old, new in zip(tallies, seen, strict=True)], runs + 1, samples
            known = [t for t in counted[0] if t is not None]
            on_progress(
                Progress(
                    samples=samples,
                    expected=expected,
                    silent=sum(int(np.count_nonzero(t.fired_samples == 0)) for t in known),
                    units=sum(t.units for t in known),
                )
            )
    except KeyboardInterrupt:
        interrupted = True
    tallies, runs, samples = counted
    unseen = [Tally.zero(units) for units in observed.units]
    found = tuple(zero if t is None else t for t, zero in zip(tallies, unseen, strict=True))
    return Streamed(found, runs, samples, interrupted)


def _tally(site: Sequence[Probe], results: Results, batch: Batch, run: int) -> Tally | None:
    """What one run showed of a site; None if it did not get there, as in a branch that was not taken."""
    seen = rows(site, results, batch.samples, padded=batch.padded)
    return None if seen is None else Tally.of(seen, batch.first if site[0].per_sample else run)


def _merged(old: Tally | None, new: Tally | None) -> Tally | None:
    if old is None or new is None:
        return new if old is None else old
    if old.units != new.units:
        raise RunError(
            f"a rectifier had {old.units} units in one run and {new.units} in another",
            slug="units-change",
            hint="Its unit axis changes in length with the data: name another one with --unit-axis TENSOR=AXIS.",
        )
    return old.merge(new)
