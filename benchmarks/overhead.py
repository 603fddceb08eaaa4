"""What an audit costs over plain inference: time and peak memory, each run in a process of its own, alternating.

    python benchmarks/overhead.py            # both networks, 64 and 256 samples
    python benchmarks/overhead.py --repeat 5

Ratios are of medians. Memory is the process's high-water mark (VmHWM), imports included; time is everything after them,
opening the model included. Both sides read the same .npy file and run batches of the same size.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networks
import numpy as np
import onnx

NETWORKS = {
    "ResNet-18, 224 px": (networks.resnet18, (3, 224, 224), 8),
    "FFN stack, 6 x 768 x 3072, 128 tokens": (networks.ffn_stack, (128, 768), 8),
}


def plain(model: str, data: str, batch: int) -> None:
    """Run the model over the data and throw the results away."""
    import onnxruntime as ort  # noqa: TID251 - the thing we measure ourselves against

    started = time.perf_counter()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    with Path(data).open("rb") as stream:
        np.lib.format.read_magic(stream)
        (samples, *row), _, dtype = np.lib.format.read_array_header_1_0(stream)
        for _ in range(0, samples, batch):
            block = np.frombuffer(stream.read(batch * int(np.prod(row)) * dtype.itemsize), dtype)
            session.run(None, {"input": block.reshape(-1, *row)})
    _report(time.perf_counter() - started)


def audit(model: str, data: str, batch: int, near_misses: bool) -> None:
    """Audit the model on the data."""
    import onnxruntime  # noqa: F401, TID251 - imported before the clock starts, as in plain()

    import relu_audit
    import relu_audit.api.audit

    started = time.perf_counter()
    relu_audit.audit(model, data, batch_size=batch, near_misses=near_misses)
    _report(time.perf_counter() - started)


def _report(seconds: float) -> None:
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "mib": int(peak.split()[1]) / 1024}))


def measure(kind: str, model: Path, data: Path, batch: int) -> dict[str, float]:
    """One run in a fresh process."""
    command = [sys.executable, __file__, "--child", kind, str(model), str(data), str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, model, data, batch = arguments.child
        if kind == "plain":
            plain(model, data, int(batch))
        else:
            audit(model, data, int(batch), near_misses=kind == "audit")
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print("| network | samples | batch | what | seconds | ratio | peak MiB | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (build, shape, batch) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            model, data = Path(folder, "model.onnx"), Path(folder, "data.npy")
            onnx.save(build(), model)
            for samples in arguments.samples:
                rng = np.random.default_rng(0)
                np.save(data, rng.standard_normal((samples, *shape), dtype=np.float32))
                runs: dict[str, list[dict[str, float]]] = {"plain": [], "audit": [], "audit, no near misses": []}
                for _ in range(arguments.repeat):
                    for kind, seen in runs.items():
                        seen.append(measure(kind, model, data, batch))
                middle = {
                    kind: {key: statistics.median(run[key] for run in seen) for key in ("seconds", "mib")}
                    for kind, seen in runs.items()
                }
                for kind, found in middle.items():
                    ratios = [found[key] / middle["plain"][key] for key in ("seconds", "mib")]
                    print(
                        f"| {name} | {samples} | {batch} | {kind} | {found['seconds']:.2f} | {ratios[0]:.2f} "
                        f"| {found['mib']:.0f} | {ratios[1]:.2f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
