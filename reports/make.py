"""Write the reports of the sample models, with the commands that the README and this folder's README give."""

from __future__ import annotations

from pathlib import Path

from relu_audit.cli import run

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "sample_models"
DATA = {"mlp_dead": "digits.npz", "mlp_healthy": "digits.npz", "resnet_dead": "digits_images.npz"}


def make(name: str, folder: Path) -> int:
    """Audit one sample model and write its reports, with what pruning would give back, into a folder; the exit code."""
    model, data = SAMPLES / f"{name}.onnx", SAMPLES / DATA[name]
    outputs = [f"--json={folder / name}.json", f"--html={folder / name}.html"]
    return run([str(model), "--data", str(data), "--costs", *outputs, "--quiet"])


if __name__ == "__main__":
    for sample in DATA:
        make(sample, HERE)
