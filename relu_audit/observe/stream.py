"""Fold batches into tallies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from relu_audit.observe.dataset import Batch
from relu_audit.observe.instrument import Observed
from relu_audit.observe.probe import rows
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
    interrupted: bool


def stream(
    runner: Runner, observed: Observed, batches: Iterable[Batch], expected: int | None, on_progress: OnProgress
) -> Streamed:
    """Run every batch once and add up what it shows. An interrupt from the keyboard ends it with what was seen."""
    tallies: list[Tally | None] = [None] * len(observed.probes)
    runs = 0
    interrupted = False
    try:
        for batch in batches:
            results = runner.run(dict(batch.feeds), observed.fetch)
            # A batch counts as a whole or not at all, so an interrupt cannot leave sites with different samples.
            seen = [
                Tally.of(
                    rows(site, results, batch.samples, padded=batch.padded), batch.first if site[0].per_sample else runs
                )
                for site in observed.probes
            ]
            tallies = [new if old is None else old.merge(new) for old, new in zip(tallies, seen, strict=True)]
            runs += 1
            known = [t for t in tallies if t is not None]
            on_progress(
                Progress(
                    samples=batch.first + batch.samples,
                    expected=expected,
                    silent=sum(int(np.count_nonzero(t.fired_samples == 0)) for t in known),
                    units=sum(t.units for t in known),
                )
            )
    except KeyboardInterrupt:
        interrupted = True
    return Streamed(tuple(Tally.zero(0) if t is None else t for t in tallies), runs, interrupted)
