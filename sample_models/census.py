"""A naive count of which ReLU units ever fire: the ground truth the samples are committed with.

It knows nothing of relu-audit and takes no shortcuts: every Relu output of the graph is exposed, the whole calibration
file is run as one batch, and whole activation arrays are reduced in numpy. That only suits small models.

Run as a script, it recounts the committed models and compares the result with `truth.json`.
"""

import json
import sys
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251  a witness, no part of the package

HERE = Path(__file__).parent
UNIT_AXIS = 1  # features of an [n, units] layer, channels of an [n, units, height, width] one


class Layer(TypedDict):
    """What one ReLU output did over the calibration samples."""

    unit_axis: int
    units: int
    dead: list[int]  # units that fired on no sample
    fired: list[int]  # per unit: samples on which it was above zero at any position


def census(model_path: Path, data_path: Path) -> dict[str, Layer]:
    """Count, for each Relu output in graph order, the samples on which each unit fires."""
    model = onnx.load(model_path)
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in relus)

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # run the graph as it is written
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with np.load(data_path) as data:
        activations = session.run(relus, {name: data[name] for name in data.files})
    return {name: _count(name, values) for name, values in zip(relus, activations, strict=True)}


def _count(name: str, values: np.ndarray) -> Layer:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is not finite: NaN > 0 is false, so a broken unit would pass for a dead one")
    by_unit = np.moveaxis(values, UNIT_AXIS, 1).reshape(values.shape[0], values.shape[UNIT_AXIS], -1)
    fired = (by_unit > 0).any(axis=2).sum(axis=0)
    return Layer(unit_axis=UNIT_AXIS, units=len(fired), dead=np.flatnonzero(fired == 0).tolist(), fired=fired.tolist())


def main() -> int:
    """Recount every committed model; the exit status is 1 if any differs from `truth.json`."""
    truth = json.loads((HERE / "truth.json").read_text())
    same = True
    for name, entry in truth.items():
        layers = census(HERE / entry["model"], HERE / entry["data"])
        same &= layers == entry["relus"]
        print(f"{name}: {'as recorded' if layers == entry['relus'] else 'DIFFERS from truth.json'}")
        for output, layer in layers.items():
            print(f"  {output:34} {len(layer['dead']):4} dead of {layer['units']}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
