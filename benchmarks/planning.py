"""What planning a pruning takes, beside the audit that it rests on.

    python benchmarks/planning.py                    # all of them
    python benchmarks/planning.py vgg resnet-18      # some

The networks of ``families.py`` with 30 % of their inner units planted dead, four plain convolutions at 256 pixels, once
for images of that size and once for any, and ResNet-18 at 224. Seconds are the least of three turns in one process:
other work on the machine only ever adds to them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import families
import networks
import numpy as np
import onnx

import relu_audit
from relu_audit.api.prune import plan

SAMPLES = 32
TURNS = 3
PIXELS = 256


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    **{name: lambda name=name: families.build(name, 0.3, 0) for name in families.FAMILIES},
    "convolutions": lambda: networks.convolutions(PIXELS, PIXELS),
    "convolutions-any-size": lambda: networks.convolutions("height", "width"),
    "resnet-18": networks.resnet18,
}


def measure(name: str) -> tuple[int, float, float]:
    """Dead units, seconds of the audit, seconds of planning."""
    model = NETWORKS[name]()
    (one,) = model.graph.input
    sizes = [dim.dim_value or (PIXELS if axis else SAMPLES) for axis, dim in enumerate(one.type.tensor_type.shape.dim)]
    data = {one.name: np.random.default_rng(0).standard_normal(sizes, dtype=np.float32)}
    audits, plans = list[float](), list[float]()
    dead = 0
    for _ in range(TURNS):
        started = time.perf_counter()
        audit = relu_audit.audit(model, data)
        audited = time.perf_counter()
        plan(model, audit, data=data)
        audits.append(audited - started)
        plans.append(time.perf_counter() - audited)
        dead = audit.dead
    return dead, min(audits), min(plans)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}; all")
    wanted = parser.parse_args().networks or list(NETWORKS)
    unknown = [name for name in wanted if name not in NETWORKS]
    if unknown:
        parser.error(f"no such network: {', '.join(unknown)} (there are {', '.join(NETWORKS)})")
    print("| network | dead | audit | planning |\n| --- | ---: | ---: | ---: |")
    for name in wanted:
        dead, audited, planned = measure(name)
        print(f"| {name} | {dead:,} | {audited:.2f} s | {planned:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
