"""Samples together against samples alone, in the runtime: what a run of two shows, and what two runs of one show."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from relu_audit.errors import RunError
from relu_audit.observe.dataset import Near
from relu_audit.observe.instrument import Observed
from relu_audit.observe.probe import Results, rows
from relu_audit.observe.stream import Runner
from relu_audit.observe.tally import Tally

Outcome = Literal["same", "differs", "one", "untried", "fails"]
"""``one``: the model takes a sample alone and refuses two. ``fails``: the model refuses each. ``untried``: no two
samples differ."""

PAIRS = 4
"""Pairs of samples that are tried, at most; the first sample is in the first of them."""

RELATIVE = 1e-3
ABSOLUTE = 1e-4
"""Differences that rounding explains: relative to a number, and to the largest of its kind."""


@dataclass(frozen=True)
class Trial:
    """How a trial ended, and what the runtime said where it refused."""

    outcome: Outcome
    error: RunError | None = None


def together_and_alone(runner: Runner, observed: Observed, near: Near) -> Trial:
    """Run samples together and alone and compare the tallies of every site: pairs, and all that are near at once.

    Args:
        runner: Runs the observed graph.
        observed: The graph, observed per run.
        near: The first samples of the data.
    """
    if not near.count:
        return Trial("untried")
    alone: dict[int, list[Tally | None]] = {}
    tried = False
    for group in _groups(near):
        try:
            alone.update({i: _tallies(runner, observed, near, [i]) for i in group if i not in alone})
        except RunError as error:
            return Trial("fails", error)
        try:
            both = _tallies(runner, observed, near, group)
        except RunError as error:
            return Trial("one", error)
        merged = [functools.reduce(_merged, parts) for parts in zip(*(alone[i] for i in group), strict=True)]
        if not all(map(_alike, both, merged)):
            return Trial("differs")
        tried = True
    return Trial("same" if tried else "untried")


def takes_two(runner: Runner, observed: Observed, near: Near) -> bool:
    """Whether the model runs on two samples at once; some files leave a size open that their graph does not."""
    if near.count < 2:
        return True
    try:
        runner.run(near.feeds([0, 1]), observed.fetch)
    except RunError:
        try:
            runner.run(near.feeds([0]), observed.fetch)
        except RunError:
            return True  # the model takes neither, as the audit will say
        return False
    return True


def _groups(near: Near) -> Iterator[list[int]]:
    """Pairs of samples that differ, each after the first as seldom as possible, and then all samples."""
    others = near.unlike(0)
    for other in others[:: max(len(others) // PAIRS, 1)][:PAIRS]:
        yield [0, other]
        partner = next((i for i in near.unlike(other) if i not in (0, other)), None)
        if partner is not None:
            yield [partner, other]
    if others and near.count > 2:
        yield [*range(near.count)]


def _tallies(runner: Runner, observed: Observed, near: Near, indices: list[int]) -> list[Tally | None]:
    results: Results = runner.run(near.feeds(indices), observed.fetch)
    read = [rows(site, results, 1) for site in observed.probes]
    return [None if seen is None else Tally.of(seen, 0) for seen in read]


def _merged(one: Tally | None, other: Tally | None) -> Tally | None:
    if one is None or other is None:
        return one or other
    return one.merge(other) if one.units == other.units else None


def _alike(together: Tally | None, alone: Tally | None) -> bool:
    """Whether two tallies count the same, but for the number of runs, and agree within rounding."""
    if together is None or alone is None:
        return together is alone
    if (together.units, together.positions) != (alone.units, alone.positions):
        return False
    if np.any((together.faulty_samples > 0) != (alone.faulty_samples > 0)):
        return False
    sound = together.faulty_samples == 0
    pairs = (
        (together.mass.sum(axis=0), alone.mass.sum(axis=0)),
        (together.peak, alone.peak),
        (together.trough, alone.trough),
        (together.pre_peak, alone.pre_peak),
    )
    return all(_close(a[sound], b[sound]) for a, b in pairs)


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    finite = np.isfinite(a) & np.isfinite(b)
    scale = np.abs(b[finite]).max(initial=0.0)
    same = np.array_equal(a[~finite], b[~finite])
    return same and np.allclose(a[finite], b[finite], rtol=RELATIVE, atol=ABSOLUTE * scale)
