"""Numbers at the edge: what is not finite is faulty, what is tiny is alive, and what is padding is nothing."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from relu_audit import audit
from relu_audit.errors import DataError
from relu_audit.records import STATUSES, SiteAudit
from tests.graphs import graph
from tests.oracle import assert_all_agree, one_by_one, oracle

ELEMENT = {"float": np.float32, "double": np.float64, "float16": np.float16}

SPELLINGS: dict[str, tuple[str, int, dict[str, float | list[float]]]] = {
    "Relu": ("y = Relu (h)", 18, {}),
    "Clip(0, 6)": ("y = Clip (h, zero, six)", 18, {"zero": 0.0, "six": 6.0}),
    "Clip(0, 6) attribute": ("y = Clip <min = 0.0, max = 6.0> (h)", 9, {}),
    "Clip(0)": ("y = Clip (h, zero)", 18, {"zero": 0.0}),
    "Max(x, 0)": ("y = Max (h, zero)", 18, {"zero": 0.0}),
    "Max(0, x)": ("y = Max (zero, h)", 18, {"zero": 0.0}),
    "ThresholdedRelu": ("y = ThresholdedRelu <alpha = 0.5> (h)", 18, {}),
    "LeakyRelu(0)": ("y = LeakyRelu <alpha = 0.0> (h)", 18, {}),
    "PRelu(0)": ("y = PRelu (h, zeros)", 18, {"zeros": [0.0]}),
}


def scaled(
    shape: tuple[int, ...],
    body: str = "y = Relu (h)",
    element: str = "float",
    opset: int = 18,
    batch: int | str = "n",
    before: str = "",
    source: str = "x",
    **more: float | list[float],
) -> onnx.ModelProto:
    """Units that show their inputs as they are: a scale of one per channel (axis 1), then a rectifier."""
    dtype = ELEMENT[element]
    sizes = ", ".join(map(str, (batch, *shape)))
    weights = {"s": np.ones((shape[0], *[1] * (len(shape) - 1)), dtype)}
    weights |= {name: np.asarray(value, dtype) for name, value in more.items()}
    body = f"{before}\n h = Mul ({source}, s)\n {body}"
    return graph(f"{element}[{sizes}] x", f"{element}[{sizes}] y", body, weights, opset=opset)


def shown(model: onnx.ModelProto, x: np.ndarray, **options: object) -> SiteAudit:
    (site,) = audit(model, {"x": x}, **options).sites  # type: ignore[arg-type]
    return site


# A value that is not finite ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("near_misses", [True, False])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_nan_at_any_position_makes_its_unit_faulty_and_no_other(spelling: str, near_misses: bool) -> None:
    body, opset, more = SPELLINGS[spelling]
    length = 11  # a vector of eight and a rest: kernels treat the two differently
    model = scaled((2, length), body, opset=opset, before="q = Sqrt (x)", source="q", **more)
    for position in range(length):
        x = np.zeros((3, 2, length), np.float32)
        x[1, 1, position] = -1
        site = shown(model, x, near_misses=near_misses)
        assert site.statuses == ("dead", "faulty"), f"position {position}"
        assert (site.peak[1], site.trough[1], site.mean[1]) == (None, None, None)


@pytest.mark.parametrize("element", ["double", "float16"])
@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if "attribute" not in name])
def test_a_nan_is_seen_in_other_element_types_too(spelling: str, element: str) -> None:
    body, opset, more = SPELLINGS[spelling]
    model = scaled((2, 3), body, element, opset, before="q = Sqrt (x)", source="q", **more)
    x = np.zeros((3, 2, 3), ELEMENT[element])
    x[2, 0, 1] = -1
    assert shown(model, x).statuses == ("faulty", "dead")


@pytest.mark.parametrize("near_misses", [True, False])
@pytest.mark.parametrize("spelling", ["Relu", "Clip(0, 6)", "LeakyRelu(0)"])
def test_a_nan_is_seen_behind_a_convolution_that_the_runtime_may_fuse(spelling: str, near_misses: bool) -> None:
    body, opset, more = SPELLINGS[spelling]
    weights = {"w": np.ones((8, 1, 1, 1), np.float32)}
    weights |= {name: np.asarray(value, np.float32) for name, value in more.items()}
    text = f"q = Sqrt (x)\n h = Conv <group = 8> (q, w)\n {body}"
    model = graph("float[n, 8, 3, 3] x", "float[n, 8, 3, 3] y", text, weights, opset=opset)
    for row, column in np.ndindex(3, 3):
        x = np.ones((2, 8, 3, 3), np.float32)
        x[1, 5, row, column] = -1
        assert shown(model, x, near_misses=near_misses).faulty == (5,)


@pytest.mark.parametrize("shape", [(2,), (2, 5), (2, 3, 3)])
@pytest.mark.parametrize("spelling", ["Relu", "Max(x, 0)", "ThresholdedRelu", "LeakyRelu(0)", "PRelu(0)"])
def test_an_infinite_output_is_faulty_and_gives_no_numbers(spelling: str, shape: tuple[int, ...]) -> None:
    body, opset, more = SPELLINGS[spelling]
    x = np.ones((4, *shape), np.float32)
    x.reshape(4, 2, -1)[2, 0, -1] = 0
    site = shown(scaled(shape, body, opset=opset, before="q = Reciprocal (x)", source="q", **more), x)
    assert site.statuses == ("faulty", "constant")
    assert (site.peak[0], site.mean[0], site.pre_peak[0]) == (None, None, None)
    assert (site.peak[1], site.mean[1]) == (1, 1)


def test_an_infinite_input_that_clip_saturates_is_not_faulty() -> None:
    body, opset, more = SPELLINGS["Clip(0, 6)"]
    x = np.zeros((4, 2, 3), np.float32)
    x[2, 0, 1] = np.inf
    site = shown(scaled((2, 3), body, opset=opset, **more), x)
    assert site.statuses == ("active", "dead")
    assert site.peak == (6, 0)
    assert site.pre_peak == (None, 0)


@pytest.mark.parametrize("spelling", ["LeakyRelu(0)", "PRelu(0)"])
def test_minus_infinity_times_zero_is_faulty(spelling: str) -> None:
    body, opset, more = SPELLINGS[spelling]
    x = np.zeros((4, 2, 3), np.float32)
    x[2, 0, 1] = -np.inf
    assert shown(scaled((2, 3), body, opset=opset, **more), x).statuses == ("faulty", "dead")


# Small, large and negative zero --------------------------------------------------------------------------------------

OPSETS = [7, 11, 12, 13, 18, 26]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("shape", [(2,), (2, 7), (2, 3, 3)])
@pytest.mark.parametrize(
    ("element", "tiny"),
    [("float", 1e-45), ("double", 1e-300), ("double", 5e-324), ("float16", 6e-8)],
    ids=["float-denormal", "double", "double-denormal", "half-denormal"],
)
def test_the_smallest_number_there_is_counts_as_alive(
    element: str, tiny: float, shape: tuple[int, ...], opset: int
) -> None:
    x = np.zeros((5, *shape), ELEMENT[element])
    x.reshape(5, 2, -1)[3, 0, -1] = tiny
    assert x.max() > 0
    site = shown(scaled(shape, element=element, opset=opset), x)
    assert site.statuses == ("active", "dead")
    assert (site.fired_samples, site.fired_positions) == ((1, 0), (1, 0))
    assert site.first_fired == (3, None)
    assert site.peak == (float(x.max()), 0)


@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize(
    ("element", "huge"), [("float", 3e38), ("double", 1.7e308), ("float16", 65504)], ids=["float", "double", "half"]
)
def test_sums_beyond_the_element_type_fault_no_unit(element: str, huge: float, batch_size: int | None) -> None:
    x = np.full((4, 2, 3, 3), huge, ELEMENT[element])
    x[0, :, 0, 0] = 0
    x[:, 1] = 0.5
    site = shown(scaled((2, 3, 3), element=element), x, batch_size=batch_size)
    assert site.statuses == ("active", "constant")
    assert site.fired_positions == (35, 36)
    assert site.peak == (float(x.max()), 0.5)
    assert site.mean[1] == 0.5
    if element == "float16":
        assert site.mean[0] == pytest.approx(65504 * 35 / 36, rel=1e-5)
    elif element == "double":
        assert site.mean[0] is None
    else:
        assert site.mean[0] is None or site.mean[0] == pytest.approx(3e38 * 35 / 36, rel=1e-4)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("element", ["float", "double", "float16"])
@pytest.mark.parametrize("shape", [(2,), (2, 4), (2, 3, 3)])
def test_negative_zero_is_zero(element: str, shape: tuple[int, ...], opset: int) -> None:
    site = shown(scaled(shape, element=element, opset=opset), np.full((5, *shape), -0.0, ELEMENT[element]))
    assert site.statuses == ("dead", "dead")
    assert (site.fired_samples, site.fired_positions) == ((0, 0), (0, 0))
    for told in (site.peak, site.trough, site.mean, site.pre_peak):
        assert [str(x) for x in told] == ["0.0", "0.0"], "a minus sign that means nothing"


@pytest.mark.parametrize("spelling", ["LeakyRelu(0)", "PRelu(0)"])
def test_a_slope_of_zero_leaves_negative_zeros_that_count_as_nothing(spelling: str) -> None:
    body, opset, more = SPELLINGS[spelling]
    x = np.full((5, 2, 4), -1, np.float32)
    x[0, 1, 0] = 1
    site = shown(scaled((2, 4), body, opset=opset, **more), x)
    assert site.statuses == ("dead", "active")
    assert site.fired_positions == (0, 1)
    assert site.positions == 20


def test_the_runtime_does_not_round_a_unit_to_death_behind_a_quantized_weight() -> None:
    # Left to itself, onnxruntime turns DequantizeLinear and MatMul into MatMulNBits with activations in eight bits.
    weights = {"w": np.array([[0], [1]], np.int8), "s": np.float32(1)}
    model = graph(
        "float[n, 2] x", "float[n, 1] y", "d = DequantizeLinear (w, s)\n h = MatMul (x, d)\n y = Relu (h)", weights
    )
    data = {"x": np.array([[1000, 1]] * 4, np.float32)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data), {"y": 1}))


# Batches -------------------------------------------------------------------------------------------------------------


def spotted(samples: int) -> np.ndarray:
    """Unit 0 fires in the last sample only, unit 1 always but there, unit 2 everywhere, unit 3 is stuck above six."""
    x = np.zeros((samples, 4, 2), np.float32)
    x[-1, 0, 1] = 1
    x[:-1, 1] = 2
    x[:, 2] = np.arange(1, samples + 1)[:, None]
    x[:, 3] = 100
    return x


@pytest.mark.parametrize("batch", ["n", 1, 4, 16])
@pytest.mark.parametrize("batch_size", [None, 1, 4, 7])
@pytest.mark.parametrize("samples", [1, 3, 4, 10])
def test_padding_never_counts_however_the_batch_is_cut(batch: int | str, batch_size: int | None, samples: int) -> None:
    body, opset, more = SPELLINGS["Clip(0, 6)"]
    x = spotted(samples)
    truths = oracle(scaled((4, 2), body, opset=opset, **more), one_by_one({"x": x}), {"y": 1})
    found = audit(scaled((4, 2), body, opset=opset, batch=batch, **more), {"x": x}, batch_size=batch_size)
    assert found.data.samples == samples
    assert_all_agree(found, truths)


def folded(batch: int | str) -> onnx.ModelProto:
    """Tokens folded into the batch: no axis of the rectifier is the batch alone."""
    return graph(
        f"float[{batch}, 2, 3] x",
        "float[k, 3] y",
        "f = Reshape (x, flat)\n h = MatMul (f, w)\n y = Relu (h)",
        {"flat": np.array([-1, 3]), "w": np.eye(3, dtype=np.float32)},
    )


@pytest.mark.parametrize("samples", [3, 6, 8])
def test_a_run_that_holds_padding_counts_no_positions_where_samples_cannot_be_told_apart(samples: int) -> None:
    x = np.ones((samples, 2, 3), np.float32)
    x[:, :, 1] = -1
    site = shown(folded(4), x)
    assert site.per_run
    assert site.positions == samples // 4 * 4 * 2
    assert site.fired_positions == (site.positions, 0, site.positions)
    assert site.dead == (1,)


def test_a_unit_that_falls_silent_in_a_padded_run_is_not_always_on() -> None:
    x = np.ones((6, 2, 3), np.float32)
    x[0, 0] = 2
    x[5, 1, 0] = -1
    site = shown(folded(4), x)
    assert site.trough == (0, 1, 1)
    assert site.always_on == (1, 2)


def test_a_batch_of_one_in_the_file_tells_samples_apart_without_a_batch_axis() -> None:
    x = np.random.default_rng(0).integers(-2, 3, (6, 2, 3)).astype(np.float32)
    assert_all_agree(audit(folded(1), {"x": x}), oracle(folded("n"), one_by_one({"x": x}), {"y": 1}))


@pytest.mark.parametrize("alike", [False, True], ids=["different", "first two alike"])
def test_samples_that_change_each_other_are_fed_one_at_a_time_where_rows_are_stated(alike: bool) -> None:
    body = "m = ReduceMean <axes = [0]> (x)\n d = Sub (x, m)\n h = MatMul (d, w)\n g = Add (h, b)\n y = Relu (g)"
    weights = {"w": np.eye(3, dtype=np.float32), "b": np.array([1, 0, -1], np.float32)}
    model = graph("float[n, 3] x", "float[n, 3] y", body, weights, opset=13)
    x = np.random.default_rng(0).integers(-5, 6, (9, 3)).astype(np.float32)
    if alike:
        x[1] = x[0]
    with pytest.raises(DataError, match="change each other"):
        audit(model, {"x": x})
    found = audit(model, {"x": x}, samples="rows")
    assert found.runtime.batch_size == 1
    assert_all_agree(found, oracle(model, one_by_one({"x": x}), {"y": 1}))


# Statuses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fired", "samples", "rare_below", "rare"),
    [
        (1, 100, 0.05, True),
        (4, 100, 0.05, True),
        (5, 100, 0.05, False),  # a smaller share, not an equal one
        (7, 100, 0.07, False),  # 0.07 * 100 is more than 7 in floating point
        (6, 100, 0.07, True),
        (1, 20, 0.05, False),
        (1, 21, 0.05, True),
        (1, 100, 0.0, False),
        (99, 100, 1.0, True),
    ],
)
def test_a_unit_is_rare_below_the_share_that_the_policy_names(
    fired: int, samples: int, rare_below: float, rare: bool
) -> None:
    x = np.full((samples, 2, 2), -1, np.float32)
    x[:fired, 0, 0] = 1
    site = shown(scaled((2, 2)), x, rare_below=rare_below)
    assert site.fired_samples == (fired, 0)
    assert site.statuses == ("rare" if rare else "active", "dead")


def test_always_on_is_every_position_of_every_sample() -> None:
    x = np.random.default_rng(0).uniform(1, 2, (9, 3, 4)).astype(np.float32)
    x[8, 1, 3] = 0
    x[:, 2, 0] = 0
    site = shown(scaled((3, 4)), x)
    assert site.always_on == (0,)
    assert site.statuses[1:] == ("active", "active")


def test_a_rectifier_stuck_at_its_ceiling_is_constant_and_not_always_on() -> None:
    body, opset, more = SPELLINGS["Clip(0, 6)"]
    x = np.random.default_rng(0).uniform(7, 9, (9, 2, 4)).astype(np.float32)
    x[4, 1, 2] = 5
    site = shown(scaled((2, 4), body, opset=opset, **more), x)
    assert site.constant == (0,)
    assert site.always_on == (1,)
    assert (site.peak[0], site.trough[0], site.mean[0]) == (6, 6, 6)


@pytest.mark.parametrize("shape", [(7,), (7, 3)])
def test_each_unit_has_one_status_and_every_status_is_reached(shape: tuple[int, ...]) -> None:
    x = np.zeros((40, *shape), np.float32)
    x[7, 1] = 1  # rare
    x[::2, 2] = 1  # active
    x[:, 3] = np.arange(1, 41).reshape(40, *[1] * (len(shape) - 1))  # always on
    x[:, 4] = 3  # constant
    x[5, 5] = -1  # faulty: the square root of it
    x[:, 6] = np.where(np.arange(40) < 2, 1, 0).reshape(40, *[1] * (len(shape) - 1))
    model = scaled(shape, before="q = Sqrt (x)", source="q")
    site = shown(model, x, rare_below=0.05)
    assert site.statuses == ("dead", "rare", "active", "always_on", "constant", "faulty", "active")
    listed = [unit for status in STATUSES if status != "active" for unit in getattr(site, status)]
    assert sorted(listed) == sorted(set(listed)), "a unit has two statuses"
    assert len(listed) + site.active == site.units


def test_a_faulty_unit_is_never_anything_else() -> None:
    x = np.full((4, 1, 3), -1, np.float32)
    site = shown(scaled((1, 3), before="q = Sqrt (x)", source="q"), x)
    assert site.statuses == ("faulty",)
    assert (site.dead, site.constant, site.always_on, site.rare) == ((), (), (), ())
