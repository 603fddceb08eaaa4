"""What pruning gains: eleven kinds of networks with units planted dead, cut at align 1 and at align 8.

    python benchmarks/pruning.py                     # all of them
    python benchmarks/pruning.py vgg shufflenet      # some
    python benchmarks/pruning.py --write             # and put the tables into benchmarks/README.md

Every network is audited, pruned twice and verified. A comparison takes the original and both results in turns, each
measurement in a process of its own, and counts the medians of its turns; it is repeated as a whole, and what is shown
are medians of the comparisons, with the least and the largest of their ratios. Other work on the machine shows there.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import families
import numpy as np
import onnx

import relu_audit
from relu_audit.observe.latency import TURNS, latencies
from relu_audit.observe.session import Engine, engine

ALIGNS = (1, 8)
SAMPLES = 32
SLOWER = 0.97
"""A ratio below this is called out: more than 3 % slower than the original."""

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- tables of pruning.py -->", "<!-- end of the tables of pruning.py -->"


@dataclass(frozen=True)
class Outcome:
    """What became of one network.

    Attributes:
        name: What the tables call it.
        units: Units of all its rectifiers.
        dead: Those that are dead.
        pruned: What was made of it, by alignment.
        times: Milliseconds of one run, of the original and of every alignment: one row per comparison.
    """

    name: str
    units: int
    dead: int
    pruned: tuple[relu_audit.Pruned, ...]
    times: tuple[tuple[float, ...], ...]

    def milliseconds(self, column: int) -> float:
        """The median of all comparisons."""
        return statistics.median(row[column] for row in self.times)

    def ratios(self, column: int) -> list[float]:
        """How many times as fast as the original, by comparison, the slowest first."""
        return sorted(row[0] / row[column] for row in self.times)


def measure(family: str, arguments: argparse.Namespace, ran_by: Engine) -> Outcome:
    """Build, audit, prune, time."""
    model = families.build(family, arguments.density, arguments.seed)
    shape = [dim.dim_value or SAMPLES for dim in model.graph.input[0].type.tensor_type.shape.dim]
    data = {"x": np.random.default_rng(arguments.seed).standard_normal(shape, dtype=np.float32)}
    audit = relu_audit.audit(model, data, near_misses=False)
    pruned = tuple(relu_audit.prune(model, audit, data=data, align=align) for align in ALIGNS)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{name}.onnx") for name in ("original", *ALIGNS)]
        onnx.save(model, paths[0])
        for one, path in zip(pruned, paths[1:], strict=True):
            one.save(path)
        feeds = {"x": data["x"][:1]}
        times = tuple(
            tuple(statistics.median(turns) for turns in latencies(paths, feeds, ran_by))
            for _ in range(arguments.repeat)
        )
    units, dead = sum(site.units for site in audit.sites), sum(len(site.dead) for site in audit.sites)
    return Outcome(families.FAMILIES[family][0], units, dead, pruned, times)


def tables(outcomes: list[Outcome], arguments: argparse.Namespace) -> str:
    """What goes, and what that gains."""
    return "\n".join([_machine(arguments), "", *_sizes(outcomes), "", *_speeds(outcomes), "", _verdict(outcomes)])


def _machine(arguments: argparse.Namespace) -> str:
    cores = os.cpu_count()
    threads = f"{arguments.threads} thread{'s' * (arguments.threads != 1)}" if arguments.threads else "all cores"
    return (
        f"{_cpu()}, {cores} cores; onnxruntime {Engine.version()} on {threads}, batch 1; Python "
        f"{platform.python_version()}; {100 * arguments.density:.0f} % of the inner units planted dead, seed "
        f"{arguments.seed}; comparisons: {arguments.repeat}, of {TURNS} turns each."
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _sizes(outcomes: list[Outcome]) -> list[str]:
    rows = [
        "| network | units | dead | removed, align 1 | align 8 | parameters | align 1 | align 8 | multiply-adds "
        "| align 1 | align 8 | largest difference |",
        "| --- |" + " ---: |" * 11,
    ]
    for one in outcomes:
        plans = [each.plan for each in one.pruned]
        removed = [sum(unit.why == "dead" for unit in plan.removed) for plan in plans]
        parameters = [plans[0].before.parameters, *(plan.after.parameters for plan in plans)]
        sums = [plans[0].before.multiply_adds, *(plan.after.multiply_adds for plan in plans)]
        worst = max(each.verification.relative for each in one.pruned if each.verification is not None)
        cells = [one.name, f"{one.units:,}", f"{one.dead:,}", *(f"{count:,}" for count in removed)]
        cells += [*_shrunk(parameters), *_shrunk(sums), f"{worst:.1e}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _shrunk(numbers: list[int | None]) -> list[str]:
    """Millions, and by how much that falls."""
    first, *others = numbers
    if not first:
        return ["-"] * len(numbers)
    return [
        f"{first / 1e6:.3g} M",
        *("-" if other is None else f"{100 * (other / first - 1):+.0f} %" for other in others),
    ]


def _speeds(outcomes: list[Outcome]) -> list[str]:
    rows = [
        "| network | original, ms | align 1, ms | times as fast | align 8, ms | times as fast |",
        "| --- |" + " ---: |" * 5,
    ]
    for one in outcomes:
        cells = [one.name, f"{one.milliseconds(0):.3g}"]
        for column in range(1, 1 + len(ALIGNS)):
            ratios = one.ratios(column)
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            cells += [f"{one.milliseconds(column):.3g}", spread]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _verdict(outcomes: list[Outcome]) -> str:
    column = 1 + ALIGNS.index(8)
    slow = [one.name for one in outcomes if statistics.median(one.ratios(column)) < SLOWER]
    least = min(outcomes, key=lambda one: statistics.median(one.ratios(column)))
    said = f"More than 3 % slower at align 8: {', '.join(slow) or 'none'}"
    return f"{said}; the least gain is that of {least.name}, {statistics.median(least.ratios(column)):.2f}."


def write(text: str) -> None:
    """Put the tables between their markers in the README."""
    page = README.read_text(encoding="utf-8")
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        sys.exit(f"{README.name} has no place for the tables: {BEGIN} ... {END}")
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(families.FAMILIES)}; all")
    parser.add_argument("--repeat", type=int, default=2, help="comparisons of each network (2)")
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime; 0 for all cores (1)")
    parser.add_argument("--density", type=float, default=0.3, help="share of units to plant dead (0.3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the tables of all networks into README.md")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.families if name not in families.FAMILIES]
    if unknown:
        parser.error(f"no such family: {', '.join(unknown)} (there are {', '.join(families.FAMILIES)})")
    if arguments.repeat < 1:
        parser.error("--repeat is at least 1")
    if arguments.write and arguments.families:
        parser.error("--write is for all families")
    ran_by = engine(threads=arguments.threads)
    outcomes: list[Outcome] = []
    for family in arguments.families or families.FAMILIES:
        started = time.perf_counter()
        outcomes.append(measure(family, arguments, ran_by))
        print(f"{family}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    text = tables(outcomes, arguments)
    print(text)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
