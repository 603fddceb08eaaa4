"""Silent units against samples seen, as SVG; samples on a logarithmic scale, from 1 to as far as a forecast reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

from relu_audit.judge.forecast import FARTHEST, forecast, silent_after
from relu_audit.report.numbers import count

SIDE = 1000
"""Width and height of a drawing in its own units; the page stretches it."""

POINTS = 160
"""Points of a curve, at most."""

SPARK_POINTS = 24
"""Points of a small curve, at most."""

STEPS = 8
"""Points of a forecast."""

NEAR = 0.09
"""Two labels closer than this share of the width would touch."""


class Scale:
    """Where a number of samples stands between 1 and the end of the forecast.

    Args:
        samples: Samples seen.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.farthest = samples * (1 + FARTHEST)

    def place(self, samples: float) -> float:
        """A share of the width, 0 to 1."""
        return log(max(samples, 1)) / log(self.farthest)

    def numbers(self, most: int) -> tuple[int, ...]:
        """Numbers of samples, about evenly spread over the scale and at most so many, the last being all samples."""
        spread = {round(self.samples ** (point / (most - 1))) for point in range(most)}
        return tuple(sorted(spread | {self.samples}))


@dataclass(frozen=True)
class Tick:
    """A label beside an axis: its place as a percentage from the left or from the top."""

    place: str
    text: str


@dataclass(frozen=True)
class Chart:
    """The curve with its forecast: SVG paths in a square of ``SIDE``, and the labels of its axes.

    Attributes:
        curve: Silent units.
        area: All under it.
        ahead: What is to be expected; empty if no unit is silent.
        band: Around it; likewise.
        seen: Place of all samples.
        across: Labels of samples.
        up: Labels of units.
    """

    curve: str
    area: str
    ahead: str
    band: str
    seen: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def chart(scale: Scale, first_fired: Sequence[int | None], times: Sequence[int]) -> Chart:
    """The curve of units with these first samples, and these counts by :func:`times_fired`."""
    numbers = scale.numbers(POINTS)
    silent = silent_after(first_fired, numbers)
    steps = _steps(max(silent))
    top = steps[-1]
    points = [(scale.place(number), units / top) for number, units in zip(numbers, silent, strict=True)]
    ahead, high, low = [points[-1]], [points[-1]], [points[-1]]
    for step in range(1, STEPS + 1 if times[0] else 1):
        growth = FARTHEST * step / STEPS
        told = forecast(times, growth)
        place = scale.place(scale.samples * (1 + growth))
        for line, woken in ((ahead, told.expected), (high, told.low), (low, told.high)):
            line.append((place, (times[0] - woken) / top))
    curve = _path(_stairs(points))
    seen = scale.place(scale.samples)
    return Chart(
        curve=curve,
        area=f"{curve}V{SIDE}H0z",
        ahead=_path(ahead) if times[0] else "",
        band=f"{_path([*high, *reversed(low)])}z" if times[0] else "",
        seen=_percentage(seen),
        across=tuple(_across(scale)),
        up=tuple(Tick(_percentage(1 - step / top), count(step)) for step in steps),
    )


def spark(scale: Scale, first_fired: Sequence[int | None]) -> str:
    """The curve of a single layer as a share of its units, without labels."""
    numbers = scale.numbers(SPARK_POINTS)
    silent = silent_after(first_fired, numbers)
    points = [(scale.place(n), units / len(first_fired)) for n, units in zip(numbers, silent, strict=True)]
    return f"{_path(_stairs(points))}V{SIDE}H0z"


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Between two points the curve falls at the second; points on a level are one step."""
    stairs = [points[0]]
    for (_, before), (place, height) in pairwise(points):
        if height != before:
            stairs += [(place, before), (place, height)]
    return [*stairs, points[-1]]


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Through points given as shares of the width and of the height from below."""
    return "M" + "L".join(f"{SIDE * x:.0f} {SIDE * (1 - y):.0f}" for x, y in points)


def _steps(most: int) -> list[int]:
    """Round numbers from 0 to the first that is not below ``most``, at most six of them."""
    fine = (digit * 10**power for power in range(len(str(most))) for digit in (1, 2, 5))
    step = next(one for one in fine if most <= 5 * one)
    return list(range(0, max(most, 1) + step, step))


def _across(scale: Scale) -> list[Tick]:
    powers = [10**power for power in range(len(str(scale.samples)))]
    here = scale.place(scale.samples)
    kept = [one for one in powers if scale.place(one) < here - NEAR]
    numbers = [*kept, scale.samples, round(scale.farthest)]
    return [Tick(_percentage(scale.place(number)), count(number)) for number in numbers]


def _percentage(share: float) -> str:
    return f"{100 * share:.2f}%"
