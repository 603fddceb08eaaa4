"""How long a model takes for one run: in a process of its own, taken in turns with the one it is compared with.

Two sessions in one process mis-measure each other by up to four times, since each keeps threads spinning, and a machine
changes its pace from minute to minute. So each measurement is a new process, the models take turns, and medians count.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relu_audit.errors import RunError
from relu_audit.observe.session import Engine, timed

TURNS = 3
"""Processes for each model; one costs about a second, most of it to start."""

WARM_UP_RUNS = 3
SECONDS = 0.3
"""How long one measurement goes on; a run that takes longer is taken once."""


def latencies(models: Sequence[Path], feeds: Mapping[str, np.ndarray], engine: Engine) -> list[tuple[float, ...]]:
    """The time of one run of each model, in milliseconds: the median within each of ``TURNS`` processes.

    Args:
        models: Files of models that take the same inputs.
        feeds: What one run is fed, by input name.
        engine: What runs them.

    Raises:
        RunError: ``latency`` if a model does not run in a process of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "feeds.npz"
        arrays: dict[str, Any] = {f"feed {i}": array for i, array in enumerate(feeds.values())}
        np.savez(inputs, **arrays)
        names = json.dumps(list(feeds))
        turns = [[_measured(model, inputs, names, engine) for model in models] for _ in range(TURNS)]
    return list(zip(*turns, strict=True))


def _measured(model: Path, inputs: Path, names: str, engine: Engine) -> float:
    settings = json.dumps([engine.provider, engine.threads, *engine.custom_ops])
    # With -P, no module in the current folder is taken for one that ours import.
    command = [sys.executable, "-P", "-m", __name__, str(model.absolute()), str(inputs), names, settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    try:
        return float(done.stdout)
    except ValueError as error:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise RunError(
            f"{model.name} could not be timed in a process of its own: {said}",
            slug="latency",
            hint="Leave the timing out: --no-latency.",
        ) from error


def _main(model: str, inputs: str, names: str, settings: str) -> None:
    provider, threads, *libraries = json.loads(settings)
    with np.load(inputs, allow_pickle=False) as arrays:
        feeds = dict(zip(json.loads(names), (arrays[f"feed {i}"] for i in range(len(arrays.files))), strict=True))
    run = timed(Path(model), feeds, Engine(provider, int(threads), tuple(libraries)))
    for _ in range(WARM_UP_RUNS):
        run()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    sys.stdout.write(str(1000 * statistics.median(times)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
