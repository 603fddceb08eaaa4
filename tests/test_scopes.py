"""Rectifiers in the bodies of If, Loop and Scan: what a body shows is counted, and nothing else is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import relu_audit
from tests.graphs import chosen_inputs, graph

RNG = np.random.default_rng(7)
W = RNG.standard_normal((4, 6)).astype(np.float32)
W[:, 2] = 0  # unit 2 is dead
X = RNG.standard_normal((300, 4)).astype(np.float32)
FIRED = (np.maximum(X @ W, 0) > 0).sum(axis=0)


def body(name: str, text: str, inputs: str = "", outputs: str = "float[n, 6] r") -> str:
    return f"{name} = {name}_graph ({inputs}) => ({outputs}) {{ {text} }}"


def one_site(model: onnx.ModelProto, data: object, **options: object) -> relu_audit.Audit:
    audit = relu_audit.audit(model, data, **options)  # type: ignore[arg-type]
    assert not audit.skipped
    return audit


IF = (
    "c = Cast<to=9> (flag)\n"
    "y = If (c) <"
    + body("then_branch", "h = MatMul (x, w)\n r = Relu (h)")
    + ", "
    + body("else_branch", "g = MatMul (x, v)\n r = Relu (g)").replace(" r)", " q)").replace("r =", "q =")
    + ">"
)


def if_model() -> onnx.ModelProto:
    return graph("float[n, 4] x, int64 flag", "float[n, 6] y", IF, {"w": W, "v": W[:, ::-1].copy()})


def test_branch_not_taken_is_unseen_and_not_dead() -> None:
    audit = one_site(if_model(), {"x": X, "flag": np.int64(1)}, max_dead=0.5)
    taken, other = sorted(audit.sites, key=lambda site: len(site.unseen))
    assert (taken.dead, taken.samples, list(taken.fired_samples)) == ((2,), 300, FIRED.tolist())
    assert (other.dead, other.samples, other.unseen) == ((), 0, (0, 1, 2, 3, 4, 5))
    assert audit.dead_fraction == 1 / 6
    assert audit.gate.outcome == "inconclusive"


def test_every_sample_counts_in_the_branch_it_takes() -> None:
    flags = (np.arange(300) % 3 == 0).astype(np.int64)
    audit = one_site(if_model(), {"x": X, "flag": flags}, max_dead=0.5)
    by_scope = {site.scope.rsplit("/", 1)[-1]: site for site in audit.sites}
    then, other = by_scope["then_branch"], by_scope["else_branch"]
    taken = np.maximum(X[flags == 1] @ W, 0) > 0
    assert (then.samples, other.samples) == (100, 200)
    assert list(then.fired_samples) == taken.sum(axis=0).tolist()
    assert (then.dead, other.dead) == ((2,), (3,))
    assert audit.gate.outcome == "failed" if audit.dead_fraction > 0.5 else "passed"


LOOP_BODY = body(
    "body",
    "h = MatMul (s, w)\n r = Relu (h)\n t = MatMul (r, back)\n u = Add (t, x)\n"
    "keep = Identity (cond)\n o = Identity (u)",
    "int64 i, bool cond, float[n, 4] s",
    "bool keep, float[n, 4] u, float[n, 4] o",
)


def loop_truth(samples: np.ndarray, back: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray]:
    fired, state = np.zeros((len(samples), 6), np.int64), samples
    for _ in range(times):
        r = np.maximum(state @ W, 0)
        fired += r > 0
        state = r @ back + samples
    return fired, state


@pytest.mark.parametrize("times", [0, 1, 5])
def test_every_iteration_of_a_loop_counts(times: int) -> None:
    back = (RNG.standard_normal((6, 4)) * 0.3).astype(np.float32)
    model = graph(
        "float[n, 4] x, int64 times, bool go",
        "float[n, 4] y, float[t, n, 4] all",
        f"y, all = Loop (times, go, x) <{LOOP_BODY}>",
        {"w": W, "back": back},
    )
    audit = one_site(model, {"x": X, "times": np.int64(times), "go": np.bool_(True)})
    (site,) = audit.sites
    fired, _ = loop_truth(X, back, times)
    if times == 0:
        assert site.unseen == (0, 1, 2, 3, 4, 5)
        return
    assert (site.samples, site.positions, site.dead) == (300, 300 * times, (2,))
    assert list(site.fired_positions) == fired.sum(axis=0).tolist()
    assert list(site.fired_samples) == (fired > 0).sum(axis=0).tolist()


def test_a_branch_within_a_loop_counts_when_it_is_taken() -> None:
    inner = (
        "even = Mod (i, two)\n zero = Equal (even, none)\n"
        "r = If (zero) <"
        + body("then_branch", "h = MatMul (x, w)\n a = Relu (h)", outputs="float[n, 6] a")
        + ", "
        + body("else_branch", "b = MatMul (x, w)", outputs="float[n, 6] b")
        + ">\n keep = Identity (cond)\n o = Add (s, r)"
    )
    loop = body("body", inner, "int64 i, bool cond, float[n, 6] s", "bool keep, float[n, 6] o")
    model = graph(
        "float[n, 4] x, int64 times, bool go",
        "float[n, 6] y",
        f"start = MatMul (x, w)\n y = Loop (times, go, start) <{loop}>",
        {"w": W, "two": np.int64(2), "none": np.int64(0)},
    )
    audit = one_site(model, {"x": X, "times": np.int64(5), "go": np.bool_(True)})
    (site,) = audit.sites
    assert (site.samples, site.positions, site.dead) == (300, 900, (2,))
    assert list(site.fired_positions) == (3 * FIRED).tolist()


def test_every_step_of_a_scan_counts() -> None:
    scan = body(
        "body",
        "h = MatMul (step, w)\n r = Relu (h)\n o = Add (s, r)",
        "float[6] s, float[4] step",
        "float[6] o, float[6] r",
    )
    model = graph(
        "float[steps, 4] x",
        "float[6] y, float[steps, 6] all",
        f"y, all = Scan<num_scan_inputs=1, {scan}> (start, x)",
        {"w": W, "start": np.zeros(6, np.float32)},
    )
    audit = one_site(model, {"x": X[None]})
    (site,) = audit.sites
    assert (site.samples, site.positions, site.dead) == (1, 300, (2,))
    assert list(site.fired_positions) == FIRED.tolist()


def test_positions_and_numerics_survive_the_way_out() -> None:
    kernel = RNG.standard_normal((3, 2, 3, 3)).astype(np.float32)
    kernel[1] = 0
    images = RNG.standard_normal((40, 2, 8, 8)).astype(np.float32)
    text = "h = Conv (x, k)\n r = Relu (h)"
    plain = graph("float[n, 2, 8, 8] x", "float[n, 3, 6, 6] r", text, {"k": kernel})
    branches = ", ".join(
        body(name, text.replace("r =", f"{name} ="), outputs=f"float[n, 3, 6, 6] {name}")
        for name in ("then_branch", "else_branch")
    )
    wrapped = graph("float[n, 2, 8, 8] x, bool c", "float[n, 3, 6, 6] y", f"y = If (c) <{branches}>", {"k": kernel})
    (expected,) = relu_audit.audit(plain, {"x": images}).sites
    (found,) = one_site(wrapped, {"x": images, "c": np.bool_(True)}).sites
    for field in ("samples", "positions", "fired_samples", "fired_positions", "first_fired", "dead"):
        assert getattr(found, field) == getattr(expected, field), field
    for field in ("peak", "trough", "pre_peak", "mean"):  # a body may be computed by other kernels
        assert getattr(found, field) == pytest.approx(getattr(expected, field), rel=1e-5), field


def test_the_result_of_the_model_is_unchanged() -> None:
    import onnxruntime as ort  # noqa: TID251 - the model as its user runs it

    from relu_audit.model import checkpoint
    from relu_audit.network import normalize
    from relu_audit.observe import instrument, session
    from relu_audit.units import locate, overview

    back = (RNG.standard_normal((6, 4)) * 0.3).astype(np.float32)
    model = graph(
        "float[n, 4] x, int64 times, bool go",
        "float[n, 4] y, float[t, n, 4] all",
        f"y, all = Loop (times, go, x) <{LOOP_BODY}>",
        {"w": W, "back": back},
    )
    feeds = {"x": X, "times": np.array(3), "go": np.array(True)}
    expected = ort.InferenceSession(model.SerializeToString()).run(["y", "all"], feeds)
    network = normalize.normalize(checkpoint.open_checkpoint(model))
    census = locate.locate(overview.overview(network), chosen_inputs(network))
    observed = instrument.instrument(network, census.located, instrument.Form(True, True, True))
    results = session.Session(observed.model, None, session.engine()).run(feeds, ["y", "all"])
    np.testing.assert_array_equal(results["y"], expected[0])
    np.testing.assert_array_equal(results["all"], expected[1])
