"""A plan is data: applied to a PyTorch state dict, it makes the weights of a smaller module."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import relu_audit
from tests.graphs import graph

torch: Any = pytest.importorskip("torch")

BODY = """
    h1 = Conv<pads = [1, 1, 1, 1]> (x, conv1_weight, conv1_bias)
    r1 = Relu (h1)
    h2 = Conv<pads = [1, 1, 1, 1]> (r1, conv2_weight, conv2_bias)
    r2 = Relu (h2)
    p = GlobalAveragePool (r2)
    f = Flatten (p)
    y = Gemm<transB = 1> (f, fc_weight, fc_bias)
"""


class Small(torch.nn.Module):
    """Two convolutions and a linear layer, as wide as asked."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(2, first, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(first, second, 3, padding=1)
        self.fc = torch.nn.Linear(second, 4)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.fc(x.mean(dim=(2, 3)))


def exported(state: dict[str, Any]) -> onnx.ModelProto:
    """The module as a graph, whose weights have the names of the state dict."""
    names = {name.replace(".", "_"): name for name in state}
    model = graph("float[n, 2, 6, 6] x", "float[n, 4] y", BODY, {name: one.numpy() for name, one in state.items()})
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return model


def sliced(state: dict[str, Any], plan: Any) -> dict[str, Any]:
    """The state dict without the indices that a plan cuts."""
    for cut in plan.cuts:
        left = [index for index in range(cut.size) if index not in cut.indices]
        state = state | {cut.initializer: state[cut.initializer].index_select(cut.axis, torch.tensor(left))}
    return state


def test_a_plan_slices_a_state_dict() -> None:
    torch.manual_seed(0)
    before = Small(16, 8)
    with torch.no_grad():
        before.conv1.bias[[1, 4, 6, 15]] = -100
        before.conv2.bias[[0, 7]] = -100
    state = before.state_dict()
    model = exported(state)
    x = np.random.default_rng(0).standard_normal((32, 2, 6, 6)).astype(np.float32)
    pruned = relu_audit.prune(model, relu_audit.audit(model, {"x": x}), data={"x": x}, align=1)
    smaller = sliced(state, pruned.plan)
    after = Small(*(smaller[name].shape[0] for name in ("conv1.weight", "conv2.weight")))
    after.load_state_dict(smaller)
    assert after.conv1.out_channels < 16
    assert after.conv2.out_channels < 8
    torch.testing.assert_close(after(torch.tensor(x)), before(torch.tensor(x)), rtol=0, atol=1e-5)
