"""Bodies in every opset: what a branch may return differs between them, and what is brought out must suit each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import relu_audit
from tests.graphs import graph
from tests.test_scopes import body

RNG = np.random.default_rng(11)
W = RNG.standard_normal((6, 6)).astype(np.float32)
W[:, 2] = 0  # unit 2 is dead
X = RNG.standard_normal((40, 6)).astype(np.float32)
FIRED = ((X @ W > 0).sum(axis=0)).tolist()
KERNEL = RNG.standard_normal((5, 2, 3, 3)).astype(np.float32)
KERNEL[1] = 0
IMAGES = RNG.standard_normal((40, 2, 8, 8)).astype(np.float32)


def branches(then: str, other: str, level: str = "") -> str:
    """A choice between two texts whose last line computes ``t`` and ``e``, with the level behind."""
    first = body("then_branch", then, outputs=f"float[n, 6] t{level}")
    return f"<{first}, {body('else_branch', other, outputs=f'float[n, 6] e{level}')}>"


def repeated(text: str) -> str:
    """The body of a loop around a text that computes ``r``."""
    text = f"{text}\n o = Add (s, r)\n keep = Identity (go)"
    return f"<{body('body', text, 'int64 i, bool go, float[n, 6] s', 'bool keep, float[n, 6] o')}>"


RELU = "h = MatMul (x, w)\n {} = Relu (h)"
CHOICE = branches(RELU.format("t"), "e = MatMul (x, w)")
LOOP = repeated(RELU.format("r"))
STEP = body(
    "body", f"{RELU.format('r')}\n o = Add (s, r)\n u = Neg (p)", "float[n, 6] s, float p", "float[n, 6] o, float u"
)

TEXTS: Mapping[str, str] = {
    "If": f"y = If (c) {CHOICE}",
    "Loop": f"y = Loop (times, c, x) {LOOP}",
    "Scan": f"y, z = Scan<num_scan_inputs=1, {STEP}> (x, steps)",
    "If in If": f"y = If (c) {branches(f't2 = If (c) {CHOICE}', 'e2 = Identity (x)', '2')}",
    "If in Loop": f"y = Loop (times, c, x) {repeated(f'r = If (c) {CHOICE}')}",
    "Loop in If": f"y = If (c) {branches(f't2 = Loop (times, c, x) {LOOP}', 'e2 = Identity (x)', '2')}",
}


@pytest.mark.parametrize("opset", range(8, 22))
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_what_a_body_shows_is_counted_in_every_opset(text: str, opset: int) -> None:
    if opset == 8 and "Scan" in text:
        pytest.skip("Scan of opset 8 is another operator")
    model = graph(
        "float[n, 6] x, bool c",
        "float[n, 6] y",
        text,
        {"w": W, "times": np.int64(1), "steps": np.zeros(1, np.float32)},
        opset=opset,
    )
    audit = relu_audit.audit(model, {"x": X, "c": np.bool_(True)}, batch_size=16)
    (site,) = audit.sites
    assert (site.samples, list(site.fired_samples), site.dead) == (40, FIRED, (2,))


@pytest.mark.parametrize("opset", range(8, 22))
@pytest.mark.parametrize("fixed", [False, True], ids=["open", "fixed"])
def test_maps_of_either_branch_are_counted_in_every_opset(fixed: bool, opset: int) -> None:
    batch = "40" if fixed else "n"
    conv = ", ".join(
        body(f"{name}_branch", f"h = Conv (x, k_{name})\n {name} = Relu (h)", outputs=f"float[{batch}, 5, 6, 6] {name}")
        for name in ("then", "else")
    )
    model = graph(
        f"float[{batch}, 2, 8, 8] x, bool c",
        f"float[{batch}, 5, 6, 6] y",
        f"y = If (c) <{conv}>",
        {"k_then": KERNEL, "k_else": KERNEL},
        opset=opset,
    )
    audit = relu_audit.audit(model, {"x": IMAGES, "c": np.bool_(False)})
    not_taken, taken = sorted(audit.sites, key=lambda site: site.samples)
    assert (not_taken.samples, not_taken.unseen) == (0, (0, 1, 2, 3, 4))
    assert (taken.samples, taken.positions, taken.dead) == (40, 40 * 36, (1,))


@pytest.mark.parametrize("opset", range(8, 22))
@pytest.mark.parametrize("condition", [np.bool_(True), np.array([True])], ids=["scalar", "one entry"])
def test_a_condition_that_is_a_constant_does_no_harm(condition: np.ndarray, opset: int) -> None:
    model = graph("float[n, 6] x", "float[n, 6] y", TEXTS["If"], {"w": W, "c": condition}, opset=opset)
    (site,) = relu_audit.audit(model, {"x": X}).sites
    assert (site.samples, list(site.fired_samples), site.dead) == (40, FIRED, (2,))


@pytest.mark.parametrize("opset", range(9, 22))
def test_a_rank_that_no_file_tells_is_found_out_in_every_opset(opset: int) -> None:
    choice = CHOICE.replace("x, w", "v, w")
    unknown = "s = Shape (x)\n z = NonZero (s)\n g = Gather (s, z)\n a = Reshape (g, all)\n v = Reshape (x, a)"
    text = f"{unknown}\n y = If (c) {choice}"
    model = graph("float[n, 6] x, bool c", "float[n, 6] y", text, {"w": W, "all": np.array([-1])}, opset=opset)
    (site,) = relu_audit.audit(model, {"x": X, "c": np.bool_(True)}).sites
    assert (list(site.fired_samples), site.dead) == (FIRED, (2,))
