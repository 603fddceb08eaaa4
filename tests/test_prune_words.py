"""What a pruning says of one unit, and of several: grammar, wherever units are counted."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rich.console import Console

import relu_audit
from relu_audit.report.pruning import html as pruning_html
from relu_audit.report.pruning import text as pruning
from tests.graphs import mlp

DATA = {"x": np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)}


def told(dead: tuple[int, ...], align: int, samples: int = 64) -> tuple[str, str]:
    """What the terminal says, in one line, and what the page does."""
    model = mlp((6, 8, 3), dead={0: dead})
    data = {"x": DATA["x"][:samples]}
    audit = relu_audit.audit(model, data)
    done = relu_audit.prune(model, audit, data=data, align=align, verify=False)
    console = Console(width=400)
    with console.capture() as capture:
        console.print(pruning.render(done.record(), audit))
    page = re.sub(r"<[^>]+>", "", pruning_html.write(done.record(), audit))
    return " ".join(capture.get().split()), " ".join(page.split())


@pytest.mark.parametrize(
    ("dead", "align", "said"),
    [
        ((2,), 8, "nothing to remove; 1 dead stays"),
        ((2,), 8, "kept [alignment] 1: unit 2 of r0:"),
        ((2, 5), 8, "nothing to remove; 2 dead stay"),
        ((2, 5), 8, "kept [alignment] 2: for example unit 2 of r0:"),
        ((2,), 1, "1 dead unit can be removed"),
        ((2,), 1, "Premise: 1 unit that was cut was silent on all 64 samples of"),
        ((2, 5), 1, "2 dead units can be removed"),
        ((2, 5), 1, "Premise: 2 units that were cut were silent on all 64 samples of"),
    ],
)
def test_the_terminal_counts_one_as_one(dead: tuple[int, ...], align: int, said: str) -> None:
    assert said in told(dead, align)[0]


def test_one_sample_is_the_one_sample() -> None:
    assert "silent on the one sample of" in told((2, 5), 1, samples=1)[0]


@pytest.mark.parametrize("align", [1, 8])
def test_the_page_has_no_plural_of_one(align: int) -> None:
    page = told((2,), align)[1]
    assert not re.search(r"(?<![\d.,])1 (units|dead units|layers|constants|initializers|groups)\b", page)
    assert not re.search(r"\b1 dead (unit )?stay\b", page)
