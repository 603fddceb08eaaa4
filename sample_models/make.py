"""Train the sample models on scikit-learn's 8x8 digits, export them to ONNX and record which ReLU units are dead.

No weight is planted or edited. `python sample_models/make.py` rewrites the .onnx and .npz files and `truth.json` in
under a minute on one core.
"""

import json
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Training at these rates is chaotic: one different last bit leads to a different set of dead units. So keep to the
# kernels every x86 CPU has rather than the best this one has. Set before torch loads.
os.environ["ATEN_CPU_CAPABILITY"] = "default"
os.environ["MKL_CBWR"] = "COMPATIBLE"

import numpy as np
import torch
from census import census
from sklearn.datasets import load_digits
from torch import Tensor, nn

HERE = Path(__file__).parent
HELD_OUT = 360  # digits kept from training, a fifth of the 1797
OPSET = 17


class Block(nn.Module):
    """A basic residual block; each ReLU is a module of its own so that the export can name it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Take and give so many channels; a change of width comes with a projection on the skip path."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(
                OrderedDict(conv=nn.Conv2d(inputs, outputs, 1, stride, bias=False), bn=nn.BatchNorm2d(outputs))
            )
        )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add the inner branch to the skip path."""
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + self.skip(x))


def mlp() -> nn.Module:
    """Five hidden ReLU layers of 128 and a linear head."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(1, 6):
        layers[f"hidden{index}"] = nn.Linear(64 if index == 1 else 128, 128)
        layers[f"relu{index}"] = nn.ReLU()
    layers["head"] = nn.Linear(128, 10)
    for layer in layers.values():
        if isinstance(layer, nn.Linear):  # with torch's own default a third of the deep units start out dead
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(layers)


def resnet() -> nn.Module:
    """A stem of 16 channels, three residual blocks and a linear head on the channel means."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 16, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            block1=Block(16, 16, stride=1),
            block2=Block(16, 32, stride=2),
            block3=Block(32, 32, stride=1),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            head=nn.Linear(32, 10),
        )
    )


@dataclass(frozen=True)
class Recipe:
    """One sample model: what to build, what to feed it and how hard to train it."""

    name: str
    build: Callable[[], nn.Module]
    data: str  # calibration file; holds one array, named as the graph input
    seed: int
    lr: float
    momentum: float
    batch: int
    epochs: int


RECIPES = [
    Recipe("mlp_dead", mlp, "digits.npz", seed=3, lr=0.5, momentum=0.0, batch=80, epochs=100),
    Recipe("mlp_healthy", mlp, "digits.npz", seed=3, lr=0.1, momentum=0.0, batch=16, epochs=100),
    Recipe("resnet_dead", resnet, "digits_images.npz", seed=3, lr=1.0, momentum=0.9, batch=64, epochs=20),
]


def train(model: nn.Module, recipe: Recipe, inputs: Tensor, labels: Tensor) -> float:
    """Fit by SGD at a constant rate and return the accuracy on the held-out digits."""
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    held_out, training = order[:HELD_OUT], order[HELD_OUT:]
    model.train()
    for _ in range(recipe.epochs):
        for picked in training[torch.randperm(len(training))].split(recipe.batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[picked]), labels[picked]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        hits = model(inputs[held_out]).argmax(dim=1) == labels[held_out]
    return hits.double().mean().item()


def export(model: nn.Module, path: Path, input_name: str, example: Tensor) -> None:
    """Write the model with a dynamic batch, keeping each BatchNormalization a node of its own."""
    torch.onnx.export(
        model,
        (example,),
        path,
        input_names=[input_name],
        output_names=["logits"],
        dynamic_axes={input_name: {0: "batch"}, "logits": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,  # this exporter names a tensor after the module it came from
        training=torch.onnx.TrainingMode.PRESERVE,  # as EVAL, but without folding BatchNorm into the convolutions
        do_constant_folding=False,
    )


def make(recipe: Recipe, input_name: str, inputs: Tensor, labels: Tensor) -> dict[str, object]:
    """Train and export one sample; return its entry for `truth.json`."""
    example, data = inputs[:2], HERE / recipe.data
    torch.manual_seed(recipe.seed)
    model = recipe.build().eval()
    with tempfile.TemporaryDirectory() as scratch:  # some units are dead before the first step: tell them apart
        untrained = Path(scratch) / "untrained.onnx"
        export(model, untrained, input_name, example)
        before = census(untrained, data)

    accuracy = train(model, recipe, inputs, labels)
    trained = HERE / f"{recipe.name}.onnx"
    export(model, trained, input_name, example)
    relus = census(trained, data)

    print(f"{recipe.name}: {accuracy:.1%} on held-out digits")
    for output, layer in relus.items():
        print(f"  {output:28}{len(layer['dead']):4} dead of {layer['units']} ({len(before[output]['dead'])} untrained)")
    return {
        "model": trained.name,
        "data": data.name,
        "samples": len(inputs),
        "held_out_accuracy": round(accuracy, 4),
        "dead_before_training": {output: layer["dead"] for output, layer in before.items()},
        "relus": relus,
    }


def main() -> None:
    """Make every sample and write the census of each to `truth.json`."""
    torch.set_num_threads(1)  # a sum split over threads rounds differently
    torch.backends.mkldnn.enabled = False  # picks its kernels by CPU, as above

    digits, targets = load_digits(return_X_y=True)
    pixels = (digits / 8 - 1).astype(np.float32)  # 0..16 to -1..1
    arrays = {"digits.npz": ("pixels", pixels), "digits_images.npz": ("image", pixels.reshape(-1, 1, 8, 8))}
    truth = {}
    for file, (input_name, array) in arrays.items():
        np.savez_compressed(HERE / file, allow_pickle=False, **{input_name: array})
        for recipe in RECIPES:
            if recipe.data == file:
                truth[recipe.name] = make(recipe, input_name, torch.from_numpy(array), torch.from_numpy(targets))

    text = json.dumps(truth, indent=2)
    one_line_lists = re.sub(r"\[[^]]*]", lambda match: json.dumps(json.loads(match[0])), text)
    (HERE / "truth.json").write_text(one_line_lists + "\n")


if __name__ == "__main__":
    main()
