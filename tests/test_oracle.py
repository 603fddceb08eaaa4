"""Random small graphs: an audit says of every unit what brute force says of it.

Numbers are small integers and powers of two wherever the graph allows, so float32 sums are exact in any order, extrema
are compared bit for bit, and a difference of one is an error and not rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.printer
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from relu_audit import audit
from tests.graphs import graph
from tests.oracle import Units, assert_all_agree, one_by_one, oracle, runs, spread

SAMPLES = 10
OPSETS = (7, 9, 11, 12, 13, 17, 18, 21, 22)
NEWEST = 26
BATCHES = (None, 1, 3, 7)

fixed = settings(
    derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow], database=None
)


@dataclass
class Sketch:
    """A graph as it is drawn, and what is known of it by construction."""

    draw: st.DrawFn
    opset: int
    rng: np.random.Generator
    exact: bool = True
    lines: list[str] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, Units] = field(default_factory=dict)
    dead: dict[str, set[int]] = field(default_factory=dict)

    def op(self, text: str, outputs: int = 1) -> str:
        names = [f"v{len(self.lines)}_{i}" for i in range(outputs)]
        self.lines.append(f"{', '.join(names)} = {text}")
        return names[0] if outputs == 1 else ",".join(names)

    def constant(self, array: np.ndarray | Sequence[int] | float) -> str:
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"c{len(self.weights)}"
        self.weights[name] = array
        return name

    def numbers(self, *shape: int) -> np.ndarray:
        if self.exact:
            return self.rng.integers(-1, 2, shape).astype(np.float32)
        return self.rng.standard_normal(shape).astype(np.float32)

    def one_of(self, *choices: object) -> object:
        return self.draw(st.sampled_from(choices))

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def offsets(self, units: int) -> tuple[np.ndarray, set[int]]:
        """A bias with dead units planted in it, and sometimes one that is always on."""
        bias = self.numbers(units) * 2 + (0 if self.exact else 0.1)
        dead = self.draw(st.sets(st.integers(0, units - 1), max_size=2))
        bias[list(dead)] = -(2**17)
        free = sorted(set(range(units)) - dead)
        if free and self.flag():
            bias[free[0]] = 64
        return bias.astype(np.float32), dead

    def shaped(self, op: str, value: str, axes: Sequence[int]) -> str:
        """Squeeze and Unsqueeze took their axes as an attribute before opset 13."""
        if self.opset < 13:
            return self.op(f"{op} <axes = {list(axes)}> ({value})")
        return self.op(f"{op} ({value}, {self.constant(np.array(axes))})")

    def rectify(self, value: str, units: Units, rank: int, dead: set[int] | None = None) -> str:
        """One of the spellings of a rectifier that the opset has."""
        spellings = ["Relu", "Relu", "Clip(0, 6)", "LeakyRelu(0)", "PRelu(0)"]
        spellings += ["Max(x, 0)", "Max(0, x)"] * (self.opset >= 8) + ["ThresholdedRelu"] * (self.opset >= 10)
        spelling = self.one_of(*spellings)
        if spelling == "Relu":
            out = self.op(f"Relu ({value})")
        elif spelling == "Clip(0, 6)" and self.opset < 11:
            out = self.op(f"Clip <min = 0.0, max = 6.0> ({value})")
        elif spelling == "Clip(0, 6)":
            out = self.op(f"Clip ({value}, {self.constant(0.0)}, {self.constant(6.0)})")
        elif spelling == "LeakyRelu(0)":
            out = self.op(f"LeakyRelu <alpha = 0.0> ({value})")
        elif spelling == "PRelu(0)":
            out = self.op(f"PRelu ({value}, {self.constant(np.zeros([1] * (rank - 1), np.float32))})")
        elif spelling == "Max(x, 0)":
            out = self.op(f"Max ({value}, {self.constant(0.0)})")
        elif spelling == "Max(0, x)":
            out = self.op(f"Max ({self.constant(0.0)}, {value})")
        else:
            out = self.op(f"ThresholdedRelu <alpha = {self.one_of(0.0, 0.5, 2.0)}> ({value})")
        self.units[out] = units
        if dead:
            self.dead[out] = dead
        return out

    def finished(self, inputs: str, value: str, rank: int) -> onnx.ModelProto:
        """The model; sometimes rectifiers are among its results."""
        results = {value: rank}
        sizes = ", ".join(f"{value}_{i}" for i in range(rank))
        outputs = [f"float[{sizes}] {name}" for name in results]
        return graph(inputs, ", ".join(outputs), "\n".join(self.lines), self.weights, opset=self.opset)


@dataclass(frozen=True)
class Case:
    """A drawn model with its data and what is known by construction."""

    model: onnx.ModelProto
    data: dict[str, np.ndarray]
    units: dict[str, Units]
    dead: dict[str, set[int]]
    batch_size: int | None
    near_misses: bool
    exact: bool

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """What a failure shows: the graph in ONNX's text syntax."""
        printer.text(
            f"batch_size={self.batch_size}, near_misses={self.near_misses}\n{onnx.printer.to_text(self.model)}"
        )


def sketched(draw: st.DrawFn, *, exact: bool = True) -> Sketch:
    opset = draw(st.sampled_from([*OPSETS, NEWEST]))
    return Sketch(draw, opset, np.random.default_rng(draw(st.integers(0, 2**16))), exact=exact)


def case(s: Sketch, inputs: str, value: str, rank: int, *shape: int) -> Case:
    if s.exact:
        data = s.rng.integers(-3, 4, (SAMPLES, *shape)).astype(np.float32)
    else:
        data = s.rng.standard_normal((SAMPLES, *shape)).astype(np.float32)
    return Case(
        model=s.finished(inputs, value, rank),
        data={"x": data},
        units=s.units,
        dead=s.dead,
        batch_size=s.draw(st.sampled_from(BATCHES)),
        near_misses=s.flag(),
        exact=s.exact,
    )


@st.composite
def mlps(draw: st.DrawFn) -> Case:
    """Gemm with either operand transposed, MatMul and Add, residuals, Concat, Split, and axes of one come and gone."""
    s = sketched(draw)
    width = first = draw(st.integers(2, 6))
    value = "x"
    for _ in range(draw(st.integers(1, 3))):
        units = draw(st.integers(2, 6))
        before, entering = value, width
        value, dead = _affine(s, value, width, units)
        tail = s.one_of("plain", "plain", "residual", "concat", "split", "unsqueeze", "norm")
        if tail == "residual":
            other, _ = _affine(s, before, entering, units)
            value, dead = s.op(f"Add ({value}, {other})"), set()
        elif tail == "concat":
            other, _ = _affine(s, before, entering, 2)
            value, dead = s.op(f"Concat <axis = {s.one_of(1, -1)}> ({value}, {other})"), dead
            units += 2
        elif tail == "norm":
            value = _batch_norm(s, value, units)
        elif tail == "split":
            cut = draw(st.integers(1, units - 1))
            halves = _split(s, value, cut, units - cut).split(",")
            rectified = [s.rectify(half, 1, 2) for half in halves]
            value, width = s.op(f"Concat <axis = 1> ({', '.join(rectified)})"), units
            continue
        if tail == "unsqueeze":
            axis = draw(st.integers(0, 2))
            lifted = s.rectify(s.shaped("Unsqueeze", value, [axis]), 1 if axis == 2 else 2, 3, dead)
            value = s.shaped("Squeeze", lifted, [axis])
        else:
            value = s.rectify(value, 1, 2, dead)
        width = units
    value, _ = _affine(s, value, width, 2)
    return case(s, f"float[n, {first}] x", value, 2, first)


def _affine(s: Sketch, value: str, width: int, units: int) -> tuple[str, set[int]]:
    bias, dead = s.offsets(units)
    weight = s.numbers(width, units)
    spelling = s.one_of("Gemm", "transB", "transA", "MatMul")
    if spelling == "MatMul":
        product = s.op(f"MatMul ({value}, {s.constant(weight)})")
        return s.op(f"Add ({product}, {s.constant(bias)})"), dead
    if spelling == "transA":
        turned = s.op(f"Transpose <perm = [1, 0]> ({value})")
        return s.op(f"Gemm <transA = 1> ({turned}, {s.constant(weight)}, {s.constant(bias)})"), dead
    if spelling == "transB":
        return s.op(f"Gemm <transB = 1> ({value}, {s.constant(weight.T.copy())}, {s.constant(bias)})"), dead
    return s.op(f"Gemm ({value}, {s.constant(weight)}, {s.constant(bias)})"), dead


def _split(s: Sketch, value: str, *sizes: int) -> str:
    if s.opset < 13:
        return s.op(f"Split <axis = 1, split = {list(sizes)}> ({value})", outputs=len(sizes))
    return s.op(f"Split <axis = 1> ({value}, {s.constant(np.array(sizes))})", outputs=len(sizes))


def _batch_norm(s: Sketch, value: str, units: int) -> str:
    """Powers of two throughout: variance and epsilon add up to 1, 4 or 16, so the square root is exact."""
    scale = 2.0 ** s.rng.integers(-1, 2, units)
    variance = 4.0 ** s.rng.integers(0, 3, units) - 0.25
    names = [s.constant(array) for array in (scale, s.numbers(units), s.numbers(units), variance)]
    return s.op(f"BatchNormalization <epsilon = 0.25> ({value}, {', '.join(names)})")


@st.composite
def convolutions(draw: st.DrawFn, dims: int) -> Case:
    """Chains of convolutions with everything that usually stands between them and a rectifier."""
    s = sketched(draw)
    channels = draw(st.integers(1, 3))
    size = draw(st.integers(4, 6)) if dims < 3 else 4
    last = draw(st.booleans())  # channels last, as TensorFlow exports
    shape = [*[size] * dims, channels] if last else [channels, *[size] * dims]
    forth, back = [0, dims + 1, *range(1, dims + 1)], [0, *range(2, dims + 2), 1]
    value = s.op(f"Transpose <perm = {forth}> (x)") if last else "x"
    for _ in range(draw(st.integers(1, 2))):
        before, entering = value, channels
        value, channels, size_after, dead = _convolution(s, value, channels, size, dims)
        tail = s.one_of("plain", "plain", "norm", "residual", "concat")
        if tail == "norm":
            value = _batch_norm(s, value, channels)
        elif tail == "residual" and size_after == size:
            weight = s.constant(s.numbers(channels, entering, *[1] * dims))
            value, dead = s.op(f"Add ({value}, {s.op(f'Conv ({before}, {weight})')})"), set()
        elif tail == "concat" and size_after == size:
            weight = s.constant(s.numbers(2, entering, *[1] * dims))
            value = s.op(f"Concat <axis = 1> ({value}, {s.op(f'Conv ({before}, {weight})')})")
            channels += 2
        size = size_after
        where = s.one_of("first", "first", "last", "lifted")
        if where == "last":
            turned = s.rectify(s.op(f"Transpose <perm = {back}> ({value})"), dims + 1, dims + 2, dead)
            value = s.op(f"Transpose <perm = {forth}> ({turned})")
        elif where == "lifted":
            lifted = s.rectify(s.shaped("Unsqueeze", value, [2]), 1, dims + 3, dead)
            value = s.shaped("Squeeze", lifted, [2])
        else:
            value = s.rectify(value, 1, dims + 2, dead)
        if size >= 2 and s.flag():
            pool = s.one_of("MaxPool", "AveragePool")
            value = s.op(f"{pool} <kernel_shape = {[2] * dims}, strides = {[2] * dims}> ({value})")
            size //= 2
    head = s.one_of("none", "flatten", "reshape")
    inputs = f"float[n, {', '.join(map(str, shape))}] x"
    if head == "none":
        return case(s, inputs, value, dims + 2, *shape)
    value, channels, size, dead = _convolution(s, value, channels, size, dims)
    if head == "flatten":
        value = s.op(f"Flatten ({value})")
    else:
        target = s.one_of([0, -1], [-1, channels * size**dims])
        value = s.op(f"Reshape ({value}, {s.constant(np.array(target))})")
    value = s.rectify(value, runs(1, channels), 2, dead)
    value, dead = _affine(s, value, channels * size**dims, 3)
    return case(s, inputs, s.rectify(value, 1, 2, dead), 2, *shape)


def _convolution(s: Sketch, value: str, channels: int, size: int, dims: int) -> tuple[str, int, int, set[int]]:
    """Plain, grouped, depthwise or transposed; a one-dimensional one perhaps by way of two dimensions."""
    kind = s.one_of("plain", "plain", "depthwise", "grouped", "transposed")
    group = {"depthwise": channels, "grouped": 2 if channels % 2 == 0 else 1}.get(kind, 1)
    out = group * s.draw(st.integers(1, 3))
    kernel = s.draw(st.integers(1, min(3, size)))
    stride, pad = s.draw(st.integers(1, 2)), s.draw(st.integers(0, kernel // 2))
    bias, dead = s.offsets(out)
    if kind == "transposed":
        if size > 3:
            stride = 1
        shape, op, size = (channels, out, *[kernel] * dims), "ConvTranspose", (size - 1) * stride + kernel - 2 * pad
        if size < 1:
            return _convolution(s, value, channels, size, dims)
    else:
        shape, op, size = (out, channels // group, *[kernel] * dims), "Conv", (size + 2 * pad - kernel) // stride + 1
    weight = s.numbers(*shape)
    by_two = dims == 1 and s.flag()
    if by_two:
        value, weight = s.shaped("Unsqueeze", value, [2]), weight[:, :, None]
        pads, strides, kernels = [0, pad, 0, pad], [1, stride], [1, kernel]
    else:
        pads, strides, kernels = [pad] * (2 * dims), [stride] * dims, [kernel] * dims
    attributes = f"group = {group}, kernel_shape = {kernels}, strides = {strides}, pads = {pads}"
    value = s.op(f"{op} <{attributes}> ({value}, {s.constant(weight)}, {s.constant(bias)})")
    return s.shaped("Squeeze", value, [2]) if by_two else value, out, size, dead


@st.composite
def sequences(draw: st.DrawFn) -> Case:
    """Batch x sequence x hidden: MatMul, residuals, heads split and joined, tokens folded into the batch."""
    s = sketched(draw)
    length, first = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    value, width = "x", first
    for _ in range(draw(st.integers(1, 2))):
        heads, size = draw(st.integers(1, 2)), draw(st.integers(1, 3))
        units = heads * size
        bias, dead = s.offsets(units)
        form = s.one_of("plain", "residual", "heads", "heads turned", "folded", "folded back", "einsum")
        if form in ("folded", "folded back"):
            flat = s.op(f"Reshape ({value}, {s.constant(np.array([-1, width]))})")
            weight = s.constant(s.numbers(width, units))
            value = s.op(f"Gemm ({flat}, {weight}, {s.constant(bias)})")
            again = s.constant(np.array([-1, length, units]))
            if form == "folded":
                value = s.op(f"Reshape ({s.rectify(value, 1, 2, dead)}, {again})")
            else:
                value = s.rectify(s.op(f"Reshape ({value}, {again})"), 2, 3, dead)
            width = units
            continue
        if form == "einsum" and s.opset >= 12:
            value = s.op(f'Einsum <equation = "bsd,hd->bsh"> ({value}, {s.constant(s.numbers(units, width))})')
        else:
            value = s.op(f"MatMul ({value}, {s.constant(s.numbers(width, units))})")
        value, width = s.op(f"Add ({value}, {s.constant(bias)})"), units
        joined = s.constant(np.array([0, 0, units]))
        if form == "residual":
            inner = s.rectify(value, 2, 3, dead)
            inner = s.op(f"MatMul ({inner}, {s.constant(s.numbers(units, units))})")
            value = s.rectify(s.op(f"Add ({value}, {inner})"), 2, 3)
        elif form == "heads":
            cut = s.op(f"Reshape ({value}, {s.constant(np.array([0, 0, heads, size]))})")
            value = s.op(f"Reshape ({s.rectify(cut, spread(2, 3), 4, dead)}, {joined})")
        elif form == "heads turned":
            cut = s.op(f"Reshape ({value}, {s.constant(np.array([0, 0, heads, size]))})")
            turned = s.rectify(s.op(f"Transpose <perm = [0, 2, 1, 3]> ({cut})"), spread(1, 3), 4, dead)
            value = s.op(f"Reshape ({s.op(f'Transpose <perm = [0, 2, 1, 3]> ({turned})')}, {joined})")
        else:
            value = s.rectify(value, 2, 3, dead)
    return case(s, f"float[n, {length}, {first}] x", value, 3, length, first)


@st.composite
def normalized(draw: st.DrawFn) -> Case:
    """Layer normalization before the weights, spelt out where the opset has no operator for it. Sums are not exact."""
    s = sketched(draw, exact=False)
    length, width = draw(st.integers(1, 3)), draw(st.integers(3, 6))
    value = "x"
    for _ in range(draw(st.integers(1, 2))):
        scale, shift = s.constant(s.numbers(width)), s.constant(s.numbers(width))
        if s.opset >= 17:
            value = s.op(f"LayerNormalization <axis = -1> ({value}, {scale}, {shift})")
        else:
            centred = s.op(f"Sub ({value}, {_mean(s, value)})")
            spread_out = s.op(f"Add ({_mean(s, s.op(f'Mul ({centred}, {centred})'))}, {s.constant(1e-5)})")
            unit = s.op(f"Div ({centred}, {s.op(f'Sqrt ({spread_out})')})")
            value = s.op(f"Add ({s.op(f'Mul ({unit}, {scale})')}, {shift})")
        bias, dead = s.offsets(width)
        value = s.op(f"MatMul ({value}, {s.constant(s.numbers(width, width))})")
        value = s.rectify(s.op(f"Add ({value}, {s.constant(bias)})"), 2, 3, dead)
    return case(s, f"float[n, {length}, {width}] x", value, 3, length, width)


def _mean(s: Sketch, value: str) -> str:
    return s.op(f"ReduceMean <axes = [-1]> ({value})")


def assert_audit_is_true(drawn: Case, *, batch: int | None = None) -> None:
    """Audited as drawn, or with its batch fixed in the file, the model shows what it shows sample by sample."""
    truths = oracle(drawn.model, one_by_one(drawn.data), drawn.units, rare_below=0.3)
    if not drawn.exact:
        assume(all(truth.margin > 1e-4 for truth in truths.values()))
    model, size = drawn.model, drawn.batch_size
    if batch is not None:
        model, size = onnx.ModelProto.FromString(model.SerializeToString()), None
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    found = audit(model, drawn.data, batch_size=size, near_misses=drawn.near_misses, rare_below=0.3)
    assert not found.skipped
    assert not any(site.assumed for site in found.sites)
    assert not any(site.per_run for site in found.sites)
    assert_all_agree(found, truths, exact=drawn.exact, near_misses=drawn.near_misses)
    for tensor, planted in drawn.dead.items():
        site = next(site for site in found.sites if site.tensor == tensor)
        assert planted <= set(site.dead), f"{tensor}: units {planted} were planted dead, {site.dead} found"


@fixed
@given(mlps())
def test_mlps_are_audited_as_brute_force_sees_them(drawn: Case) -> None:
    assert_audit_is_true(drawn)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_are_audited_as_brute_force_sees_them(dims: int) -> None:
    @fixed
    @given(convolutions(dims))
    def law(drawn: Case) -> None:
        assert_audit_is_true(drawn)

    law()


@fixed
@given(sequences())
def test_sequences_are_audited_as_brute_force_sees_them(drawn: Case) -> None:
    assert_audit_is_true(drawn)


@fixed
@given(normalized())
def test_graphs_with_layer_normalization_are_audited_as_brute_force_sees_them(drawn: Case) -> None:
    assert_audit_is_true(drawn)


@pytest.mark.parametrize("family", [mlps(), convolutions(2), normalized()], ids=["mlp", "convolution", "normalized"])
def test_a_batch_fixed_in_the_file_changes_nothing_and_its_padding_never_counts(
    family: st.SearchStrategy[Case],
) -> None:
    @settings(fixed, max_examples=15)
    @given(family)
    def law(drawn: Case) -> None:
        assert_audit_is_true(drawn, batch=4)

    law()
