"""The page about pruning: every reason is explained, and its example works."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_audit
from relu_audit.surgery.choose.solve import ALIGNED, LAST, NEEDED
from tests.graphs import graph

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/pruning.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "relu_audit/surgery").rglob("*.py"))

BODY = """
    h = Gemm<transB = 1> (x, first_weight, first_bias)
    r = Relu (h)
    b = BatchNormalization (r, norm_weight, norm_bias, norm_running_mean, norm_running_var)
    y = Gemm<transB = 1> (b, last_weight, last_bias)
"""


def slugs() -> Iterator[str]:
    """Reasons that the sources give: of pins, and whatever else is written like one, but for the slugs of errors."""
    yield from (ALIGNED, LAST, NEEDED)
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        errors = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
        of_errors = {id(part) for error in errors for part in ast.walk(error)}
        for node in ast.walk(tree):
            if id(node) in of_errors:
                continue
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="pin" | "pin_value" | "pin_node"), args=[_, ast.Constant(slug), *_]
                ):
                    yield slug
                case ast.Constant(str(slug)) if re.fullmatch(r"[a-z]+(-[a-z]+)+", slug):
                    yield slug


def test_every_reason_is_explained() -> None:
    assert set(re.findall(r"^### `([a-z-]+)`", PAGE, re.MULTILINE)) == set(slugs())


def test_the_example_slices_and_folds_a_state_dict() -> None:
    torch: Any = pytest.importorskip("torch")
    example: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], example)  # noqa: S102 - our own page

    def module(width: int) -> Any:
        layers = torch.nn.ModuleDict()
        layers["first"], layers["norm"] = torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width).eval()
        layers["last"] = torch.nn.Linear(width, 3)
        return layers

    def run(layers: Any, x: Any) -> Any:
        return layers["last"](layers["norm"](torch.relu(layers["first"](x))))

    torch.manual_seed(0)
    before = module(8)
    with torch.no_grad():
        before["first"].bias[[2, 5, 6]] = -100
        before["norm"].bias[:] = torch.arange(1.0, 9.0)
    state = {name: one for name, one in before.state_dict().items() if one.ndim}
    names = {name.replace(".", "_"): name for name in state}
    model = graph("float[n, 4] x", "float[n, 3] y", BODY, {name: one.numpy() for name, one in state.items()})
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    pruned = relu_audit.prune(model, relu_audit.audit(model, {"x": x}), data={"x": x}, align=1)
    assert pruned.plan.folds
    smaller = example["sliced"](state, pruned)
    after = module(smaller["first.weight"].shape[0])
    after.load_state_dict(smaller, strict=False)
    assert after["first"].out_features == 5
    torch.testing.assert_close(run(after, torch.tensor(x)), run(before, torch.tensor(x)), rtol=0, atol=1e-4)
