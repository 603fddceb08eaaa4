"""What nodes random graphs are made of, and how a graph of them is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.drawn_graphs import COUNTS, ML, MS, Draw, Unfit

Op = Callable[[Draw], object]


def unary(d: Draw) -> None:
    d.add(d.one("Abs", "Neg", "Tanh", "Sigmoid", "Softplus", "Identity"), d.of("f"))


def broadcast_constant(d: Draw) -> None:
    v = d.of("f")
    shape = d.shape(v)
    shape = shape[int(d.rng.integers(len(shape) + 1)) :]
    shape = [1 if d.often(0.4) else s for s in shape]
    d.add(d.one("Add", "Mul", "Sub", "Max", "PRelu"), v, d.floats(*shape))


def together(d: Draw) -> None:
    a, b = d.of("f"), d.one(*[n for n, v in d.values.items() if v[0].dtype == np.float32])
    d.add(d.one("Add", "Mul", "Sub", "Min", "Sum"), *(a, b) if d.often(0.5) else (b, a))


def where(d: Draw) -> None:
    a, b, c = d.of("f"), d.of("f"), d.of("f")
    d.add("Where", d.add("Greater", a, d.constant(0.1, np.float32) if d.often(0.5) else b), b, c)


def transpose(d: Draw) -> None:
    v = d.of("fi", range(2, 6))
    d.add("Transpose", v, perm=[int(i) for i in d.rng.permutation(d.rank(v))])


def lengths(d: Draw) -> str:
    """A list of lengths of a value, grouped, multiplied, and perhaps in a disguise."""
    v = d.of("f", range(1, 6))
    s = d.add("Shape", v)
    parts: list[str] = []
    order = list(range(d.rank(v)))
    if d.often(0.25):
        order = [int(i) for i in d.rng.permutation(order)]
    unknown = False
    while order:
        take = min(len(order), d.one(1, 1, 1, 2))
        part = None
        for axis in order[:take]:
            if d.often(0.2) and d.values[v][0].shape[axis] == d.values[v][1].shape[axis]:
                found = d.constant([d.shape(v)[axis]])
            elif d.often(0.5):
                found = d.add("Slice", s, d.constant([axis]), d.constant([axis + 1]), d.constant([0]))
            else:
                found = d.add("Gather", s, d.constant([axis]))
            part = found if part is None else d.add("Mul", part, found)
        order = order[take:]
        if not unknown and d.often(0.2):
            unknown, part = True, d.constant([-1])
        parts.append(part or "")
    if d.often(0.2):
        parts.insert(int(d.rng.integers(len(parts) + 1)), d.constant([1]))
    made = d.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
    return disguised(d, made) if d.often(0.3) else made


def disguised(d: Draw, made: str) -> str:
    match d.one("cast", "line", "turn", "float", "table", "where", "sum"):
        case "cast":
            return d.add("Cast", d.add("Cast", made, to=d.one(6, 9, 3, 2, 7)), to=7)
        case "float":
            f = d.add("Cast", made, to=1)
            f = d.add(d.one("Mul", "Div"), f, d.constant(d.one(0.5, 1.0, 2.0), np.float32))
            return d.add("Cast", d.add(d.one("Floor", "Ceil"), f), to=7)
        case "line":
            return d.add("Reshape", d.add("Unsqueeze", made, d.constant([d.one(0, 1)])), d.constant([-1]))
        case "turn":
            return d.add("Slice", made, d.constant([-1]), d.constant([-(2**31)]), d.constant([0]), d.constant([-1]))
        case "table":
            t = d.add("Unsqueeze", made, d.constant([d.one(0, 1)]))
            axis = d.one(0, 1)
            t = d.one(
                lambda: d.add(
                    "Slice", t, d.constant([-1]), d.constant([-(2**31)]), d.constant([axis]), d.constant([-1])
                ),
                lambda: d.add("Concat", t, t, axis=axis),
                lambda: d.add("Transpose", t),
                lambda: d.add("Gather", t, d.constant([0]), axis=axis),
            )()
            return d.add("Reshape", t, d.constant([-1]))
        case "where":
            ones = d.add(
                "ConstantOfShape", d.add("Shape", made), value=numpy_helper.from_array(np.array([d.one(1, -1)]))
            )
            return d.add("Where", d.add("Equal", made, d.constant(-1)), ones, made)
        case _:
            return d.add(d.one("Add", "Sub", "Max", "Min", "Mod", "Div"), made, d.constant(d.one([1], [2], [0])))


def reshape_by_lengths(d: Draw) -> None:
    made = lengths(d)
    d.add("Reshape", d.of("f"), made)


def reshape(d: Draw) -> None:
    v = d.of("fi", range(1, 6))
    shape = list(d.shape(v))
    k = d.one(2, 3, 4, shape[-1])
    target = d.one([-1, k], [0, -1], [-1], [k, -1], [0, k, -1], [-1, 1], [0, 0, -1], [0, -1, k], [1, -1], [-1, 1, k])
    d.add("Reshape", v, d.constant(target))


def folded_back(d: Draw) -> None:
    """Fold, change, unfold by the shape of before."""
    v = d.of("f", range(2, 6))
    s = d.add("Shape", v)
    f = d.add("Reshape", v, d.constant(d.one([-1, d.shape(v)[-1]], [-1, 1], [0, -1], [-1], [1, -1], [-1, 2])))
    for _ in range(d.one(1, 2)):
        f = _one_shape(d, f)
    d.add("Reshape", f, s)


def _one_shape(d: Draw, v: str) -> str:
    axis = d.axis(v)
    return d.one(
        lambda: d.add("Softmax", v, axis=axis),
        lambda: d.add("CumSum", v, d.constant(axis)),
        lambda: d.add("Tanh", v),
        lambda: d.add("Mul", v, d.floats(*d.shape(v)[1:])),
        lambda: d.add("LayerNormalization", v, d.floats(d.shape(v)[-1]), axis=-1),
        lambda: d.add("Sub", v, d.add("ReduceMean", v, *_axes(d, [axis]), **_axes_attr(d, [axis]))),
    )()


def _axes(d: Draw, axes: list[int]) -> list[str]:
    return [d.constant(axes)] if d.opset >= 18 else []


def _axes_attr(d: Draw, axes: list[int]) -> dict[str, object]:
    return {} if d.opset >= 18 else {"axes": axes}


def flatten(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    d.add("Flatten", v, axis=d.axis(v))


def unsqueeze(d: Draw) -> None:
    v = d.of("fi", range(4))
    d.add("Unsqueeze", v, d.constant([int(d.rng.integers(-d.rank(v) - 1, d.rank(v) + 1))]))


def squeeze(d: Draw) -> None:
    v = d.of("fi", range(1, 6))
    ones = [i for i, s in enumerate(d.shape(v)) if s == 1]
    d.add("Squeeze", v, *([d.constant(ones)] if d.often(0.8) else []))


def split(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    axis = d.axis(v)
    size = d.shape(v)[axis]
    more = {"num_outputs": 2} if d.opset >= 18 else {}
    if d.often(0.5) and size > 1:
        d.add("Split", v, d.constant([1, size - 1]), results=2, axis=axis)
    else:
        d.add("Split", v, results=2, axis=axis, **more)


def cut(d: Draw) -> None:
    v = d.of("fi", range(1, 6))
    count = d.one(1, 1, min(2, d.rank(v)))
    axes = [int(a) for a in d.rng.permutation(d.rank(v))[:count]]
    bounds = [
        d.one(
            (0, 2**31 - 1, 1),
            (-1, -(2**31), -1),
            (1, 2**31 - 1, 1),
            (0, 2, 1),
            (0, -1, 1),
            (0, 2**31 - 1, 2),
            (-1, 2**31 - 1, 1),
        )
        for _ in axes
    ]
    start, end, step = ([b[i] for b in bounds] for i in range(3))
    d.add("Slice", v, d.constant(start), d.constant(end), d.constant(axes), d.constant(step))


def cut_by_lengths(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    s = d.add("Gather", d.add("Shape", d.of("f", range(1, 6))), d.constant([d.one(0, 1, 2)]))
    d.add("Slice", v, d.constant([0]), s, d.constant([d.axis(v)]))


def concat(d: Draw) -> None:
    a = d.of("f", range(1, 6))
    same = [n for n, v in d.values.items() if v[0].dtype == np.float32 and v[0].ndim == d.rank(a)]
    parts = [a, d.one(*same)]
    d.add("Concat", *(parts if d.often(0.5) else parts[::-1]), axis=d.axis(a))


def tile(d: Draw) -> None:
    v = d.of("fi", range(1, 5))
    d.add("Tile", v, d.constant([d.one(1, 1, 2) for _ in range(d.rank(v))]))


def tile_by_lengths(d: Draw) -> None:
    made = lengths(d)
    d.add("Tile", d.one(d.floats(*[1] * d.values[made][0].size), d.of("f")), made)


def expand(d: Draw) -> None:
    made = lengths(d)
    count = d.values[made][0].size
    d.add("Expand", d.one(lambda: d.floats(*[1] * count), lambda: d.floats(1), lambda: d.of("f"))(), made)


def filled(d: Draw) -> None:
    d.add("ConstantOfShape", lengths(d), value=helper.make_tensor("v", 1, [1], [1.5]))


def numbered(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    s = d.add("Shape", v)
    n = d.add("Gather", s, d.constant(d.one(0, 0, d.axis(v))))
    a = d.add("Range", d.constant(0), n, d.constant(1))
    for _ in range(d.one(0, 1, 1, 2)):
        a = d.one(
            lambda a=a: d.add("Unsqueeze", a, d.constant([d.one(-1, 0)])),
            lambda a=a: d.add("Cast", a, to=d.one(6, 7)),
            lambda a=a: d.add("Tile", a, d.constant([1] * (d.rank(a) - 1) + [d.one(1, 2)])),
            lambda a=a: d.add("Mul", a, d.constant(d.one(0, 1))),
            lambda a=a: d.add("Concat", a, a, axis=-1),
            lambda a=a: d.add("Add", a, d.constant(d.one(0, -1))),
        )()
    if d.often(0.3):
        d.add("Cast", a, to=1)


def reduce(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    op = d.one("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp", "ReduceL1")
    axes = d.one([d.axis(v)], [d.axis(v)], [-1], [], [-1, -2] if d.rank(v) > 1 else [0])
    keep = {"keepdims": d.one(0, 1)}
    if d.opset >= 18 or op == "ReduceSum":
        given = [d.constant(axes)] if axes or d.often(0.5) else []
        d.add(op, v, *given, noop_with_empty_axes=d.one(0, 0, 1), **keep)
    else:
        d.add(op, v, **({"axes": axes} if axes else {}), **keep)


def place_of_largest(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    d.add(d.one("ArgMax", "ArgMin"), v, axis=d.axis(v), keepdims=d.one(0, 1))


def along_axis(d: Draw) -> None:
    v = d.of("f", range(1, 6))
    match d.one("Softmax", "LogSoftmax", "Hardmax", "CumSum", "LpNormalization", "TopK", "MeanVarianceNormalization"):
        case "CumSum":
            d.add("CumSum", v, d.constant(d.axis(v)), exclusive=d.one(0, 1), reverse=d.one(0, 1))
        case "TopK":
            d.add("TopK", v, d.constant([d.one(1, 2)]), results=2, axis=d.axis(v))
        case "MeanVarianceNormalization":
            d.add("MeanVarianceNormalization", v, axes=d.one([d.axis(v)], [0, 2, 3], [1], [2, 3]))
        case op:
            d.add(op, v, **({} if d.often(0.3) else {"axis": d.axis(v)}))


def normalized(d: Draw) -> None:
    v = d.of("f", range(2, 6))
    c = d.shape(v)[1]
    match d.one("layer", "group", "instance", "batch", "lrn", "skip"):
        case "layer":
            axis = d.axis(v)
            d.add("LayerNormalization", v, d.floats(*d.shape(v)[axis:]), axis=axis)
        case "group":
            groups = d.one(1, c)
            size = c if d.opset >= 21 else groups
            d.add("GroupNormalization", v, d.floats(size), d.floats(size), num_groups=groups)
        case "instance":
            d.add("InstanceNormalization", v, d.floats(c), d.floats(c))
        case "batch":
            p = d.constant(np.abs(d.rng.standard_normal(c)) + 0.5, np.float32)
            d.add("BatchNormalization", v, p, p, p, p)
        case "lrn":
            d.add("LRN", v, size=3)
        case _:
            d.add("SkipLayerNormalization", v, d.of("f"), d.floats(d.shape(v)[-1]), domain=MS)


def pad(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    count = d.one(1, d.rank(v))
    axes = [int(a) for a in d.rng.permutation(d.rank(v))[:count]]
    pads = [d.one(0, 0, 1, -1) for _ in range(2 * count)]
    if d.opset >= 18:
        d.add("Pad", v, d.constant(pads), "", d.constant(axes), mode=d.one("constant", "edge", "reflect"))
    elif count == d.rank(v):
        d.add("Pad", v, d.constant(pads), mode=d.one("constant", "edge", "reflect"))


def image(d: Draw) -> None:
    v = d.of("f", [4])
    c = d.shape(v)[1]
    k = d.one([1, 1], [2, 2], [1, 2], [2, 1], [3, 1])
    match d.one("d2s", "s2d", "max", "average", "conv", "transposed", "global", "resize", "lp"):
        case "d2s":
            d.add("DepthToSpace", v, blocksize=2, mode=d.one("DCR", "CRD"))
        case "s2d":
            d.add("SpaceToDepth", v, blocksize=2)
        case "max":
            i = d.add("MaxPool", v, kernel_shape=k, results=d.one(1, 2))
            if d.values[i][0].dtype.kind == "i":
                d.add("Cast", i, to=1)
        case "average":
            d.add("AveragePool", v, kernel_shape=k, pads=[0, 0, *d.one([0, 0], [0, 0], [k[0] - 1, 0])])
        case "lp":
            d.add("LpPool", v, kernel_shape=k)
        case "conv":
            g = d.one(1, c)
            d.add("Conv", v, d.floats(c, c // g, *k), group=g)
        case "transposed":
            d.add("ConvTranspose", v, d.floats(c, d.one(2, c), *k), strides=d.one([1, 1], [2, 1]))
        case "global":
            d.add(d.one("GlobalAveragePool", "GlobalMaxPool"), v)
        case _:
            resize(d)


def resize(d: Draw) -> None:
    v = d.of("f", range(2, 5))
    how = {
        "mode": d.one("nearest", "linear"),
        "coordinate_transformation_mode": d.one("half_pixel", "asymmetric", "align_corners"),
    }
    if d.often(0.6):
        scales = [d.one(1.0, 1.0, 2.0, 0.5) for _ in range(d.rank(v))]
        d.add("Resize", v, "", d.constant(scales, np.float32), **how)
    elif d.often(0.5):
        d.add("Resize", v, "", "", lengths(d), **how)
    else:
        s = d.add("Shape", v)
        d.add("Resize", v, "", "", d.add("Mul", s, d.constant([d.one(1, 1, 2) for _ in range(d.rank(v))])), **how)


def product(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    k = d.shape(v)[-1]
    match d.one("weight", "weight", "batched", "left", "pair", "gemm", "fused", "vector"):
        case "weight":
            d.add("MatMul", v, d.floats(k, d.one(3, 5)))
        case "batched":
            d.add("MatMul", v, d.floats(d.one(1, 2, 3), k, 3))
        case "left":
            d.add("MatMul", d.floats(3, d.shape(v)[-2] if d.rank(v) > 1 else k), v)
        case "pair":
            d.add("MatMul", v, d.of("f", range(1, 5)))
        case "vector":
            d.add("MatMul", v, d.floats(k))
        case "gemm":
            a, b = d.one(0, 1), d.one(0, 1)
            inner = d.shape(v)[0] if a else k
            w = d.one(d.floats(*((3, inner) if b else (inner, 3))), d.of("f", [2]))
            d.add(
                "Gemm",
                v,
                w,
                *([d.one(d.floats(3), d.floats(1, 3), d.of("f"))] if d.often(0.5) else []),
                transA=a,
                transB=b,
            )
        case _:
            flags = {f: d.one(0, 0, 1) for f in ("transA", "transB", "transBatchA", "transBatchB")}
            d.add("FusedMatMul", v, d.of("f", range(1, 5)), domain=MS, **flags)


def einsum(d: Draw) -> None:
    a = d.of("f", range(1, 5))
    letters = "abcdefg"
    first = [d.one(*letters[: d.rank(a) + 1]) for _ in range(d.rank(a))] if d.often(0.2) else list(letters[: d.rank(a)])
    if d.often(0.5):
        b = d.of("f", range(1, 5))
        second = [d.one(*letters[: d.rank(a) + 1]) for _ in range(d.rank(b))]
    else:
        second = [str(x) for x in d.rng.permutation(first)[: d.one(1, 2)]]
        sizes = dict(zip(first, d.shape(a), strict=True))
        b = d.floats(*[sizes[x] for x in second])
    whole = sorted({*first, *second})
    out = [str(x) for x in d.rng.permutation(whole)[: int(d.rng.integers(1, len(whole) + 1))]]
    left, right, result = "".join(first), "".join(second), "".join(out)
    if d.often(0.3):
        left, right, result = "..." + left[1:], "..." + right[d.one(0, 1) :], "..." + result
    d.add("Einsum", a, b, equation=f"{left},{right}" + (f"->{result}" if d.often(0.8) else ""))


def indices(d: Draw) -> str:
    found = d.one(
        lambda: d.of("i"),
        lambda: d.of("i"),
        lambda: d.constant(d.rng.integers(-1, 2, d.one((), (1,), (2,), (2, 1), (1, 2)))),
    )()
    return d.add("Cast", found, to=7) if d.values[found][0].dtype != np.int64 else found


def picked(d: Draw) -> None:
    v = d.of("fi", range(1, 5))
    if d.often(0.4):
        d.add("Gather", v, indices(d), axis=d.axis(v))
    elif d.often(0.5):
        d.add("GatherND", v, indices(d), batch_dims=d.one(0, 0, 1))
    else:
        d.add("GatherElements", v, indices(d), axis=d.axis(v))


def picked_in_sample(d: Draw) -> None:
    """Indices that lie beside the data, made of the data."""
    v = d.of("f", range(2, 5))
    axis = d.axis(v)
    i = d.add("ArgMax", v, axis=axis, keepdims=1)
    if d.often(0.5):
        i = d.add("Concat", i, i, axis=axis)
    if d.often(0.5):
        d.add("GatherElements", d.of("f", [d.rank(v)]), i, axis=axis)
    else:
        shape = d.add("Shape", i)
        u = d.add("Expand", d.floats(*[1] * d.rank(v)), shape)
        d.add("ScatterElements", d.of("f", [d.rank(v)]), i, u, axis=axis)


def scattered(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    i = indices(d)
    if d.often(0.5):
        shape = d.values[i][-1].shape
        fits = [n for n, both in d.values.items() if both[0].dtype == np.float32 and both[-1].shape == shape]
        d.add("ScatterElements", v, i, d.one(*fits) if fits else d.floats(*shape), axis=d.axis(v))
    else:
        d.add("ScatterND", v, i, d.of("f"), **({"reduction": d.one("none", "add")} if d.opset >= 16 else {}))


def scattered_slices(d: Draw) -> None:
    v = d.of("f", range(2, 5))
    size = d.shape(v)[0]
    i = d.constant(d.rng.permutation(size)[: d.one(1, 2)].reshape(-1, 1))
    same = [n for n, both in d.values.items() if both[-1].ndim == d.rank(v) and both[0].dtype == np.float32]
    u = d.add("Slice", d.one(*same), d.constant([0]), d.constant([d.values[i][0].shape[0]]), d.constant([0]))
    d.add("ScatterND", v, i, u)


def one_hot(d: Draw) -> None:
    i = indices(d)
    d.add("OneHot", i, d.constant(d.one(2, 4)), d.floats(2), axis=d.one(-1, 0, 1))


def cast(d: Draw) -> None:
    v = d.of("fib")
    kind = d.one(1, 1, 7, 6, 9)
    found = d.add("Cast", v, to=kind)
    if kind == 9:
        d.add("Cast", found, to=d.one(1, 7))


def arithmetic(d: Draw) -> None:
    a = d.of("i")
    b = d.one(d.constant(d.one(0, 1, 2)), d.of("i"))
    d.add(d.one("Add", "Mul", "Sub", "Div", "Max", "Min"), a, b)


def shape_of(d: Draw) -> None:
    v = d.of("fi")
    s = d.add(d.one("Shape", "Shape", "Size"), v)
    if d.often(0.6):
        d.add("Gather", s, d.constant(d.one(0, [0], [1], 1, [1, 0])))


def scaled_by_length(d: Draw) -> None:
    s = d.add("Gather", d.add("Shape", d.of("f", range(1, 5))), d.constant(d.one(0, 1, 2)))
    d.add(d.one("Mul", "Div"), d.of("f"), d.add("Cast", s, to=1))


def quantized(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    scale, zero = d.constant(0.1, np.float32), d.constant(100, np.uint8)
    axis = d.axis(v)
    if d.often(0.4):
        size = d.shape(v)[axis]
        scale, zero = d.constant(d.rng.random(size) + 0.05, np.float32), d.constant(np.full(size, 99), np.uint8)
    q = d.add("QuantizeLinear", v, scale, zero, axis=axis)
    if d.often(0.4):
        q = d.one(
            lambda: d.add("Transpose", q),
            lambda: d.add("Concat", q, q, axis=d.axis(q)),
            lambda: d.add("MaxPool", q, kernel_shape=[1, 2]),
            lambda: d.add(
                "QLinearSoftmax", q, scale, zero, scale, zero, domain=MS, axis=d.axis(q), opset=d.one(12, 13)
            ),
            lambda: d.add("QLinearAdd", q, scale, zero, q, scale, zero, scale, zero, domain=MS),
            lambda: d.add("QLinearConcat", scale, zero, q, scale, zero, q, scale, zero, domain=MS, axis=d.axis(q)),
            lambda: d.add(
                "QLinearGlobalAveragePool", q, scale, zero, scale, zero, domain=MS, channels_last=d.one(0, 1)
            ),
        )()
    if d.often(0.3):
        w = d.constant(d.rng.integers(0, 9, (d.shape(q)[-1], 3)), np.uint8)
        d.add("Cast", d.add("MatMulInteger", q, w, d.constant(100, np.uint8)), to=1)
    else:
        d.add("DequantizeLinear", q, scale, zero, axis=axis)


def recurrent(d: Draw) -> None:
    v = d.of("f", [3])
    k, h = d.shape(v)[-1], 2
    op, gates = d.one(("LSTM", 4), ("GRU", 3), ("RNN", 1))
    both = d.one("forward", "bidirectional", "reverse")
    n = 2 if both == "bidirectional" else 1
    d.add(op, v, d.floats(n, gates * h, k), d.floats(n, gates * h, h), hidden_size=h, direction=both, results=2)


def reversed_sequence(d: Draw) -> None:
    v = d.of("f", range(2, 5))
    row, time = d.one((0, 1), (1, 0))
    d.add("ReverseSequence", v, d.constant([1] * d.shape(v)[row]), batch_axis=row, time_axis=time)


def microsoft(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    k = d.shape(v)[-1]
    d.one(
        lambda: d.add("BiasGelu", v, d.floats(k), domain=MS),
        lambda: d.add("FastGelu", v, domain=MS),
        lambda: d.add("Trilu", v, domain=MS),
        lambda: d.add("MultiHeadAttention", v, v, v, domain=MS, num_heads=1),
        lambda: d.add("MultiHeadAttention", v, d.of("f", [3]), d.of("f", [3]), domain=MS, num_heads=1),
        lambda: d.add("Attention", v, d.floats(k, 3 * 4), d.floats(12), domain=MS, num_heads=2),
        lambda: d.add("QuickGelu", v, domain=MS),
        lambda: d.add("Normalizer", v, domain=ML, norm="MAX"),
        lambda: d.add(
            "Scaler",
            v,
            domain=ML,
            offset=[0.5] * d.shape(v)[min(1, d.rank(v) - 1)],
            scale=[float(i + 1) for i in range(d.shape(v)[min(1, d.rank(v) - 1)])],
        ),
        lambda: d.add("Imputer", v, domain=ML, imputed_value_floats=[1.0], replaced_value_float=0.0),
        lambda: d.add("ArrayFeatureExtractor", v, d.constant([0, 1]), domain=ML),
        lambda: d.add("FeatureVectorizer", v, d.of("f"), domain=ML, inputdimensions=[k, k]),
        lambda: d.add("LinearRegressor", v, domain=ML, coefficients=[1.0] * k, intercepts=[0.5], targets=1),
        lambda: d.add("GridSample", v, d.floats(1, 2, 2, 2)),
        lambda: d.add("GridSample", d.floats(1, 2, 3, 3), v),
        lambda: d.add("CenterCropPad", v, lengths(d)),
        lambda: d.add("CenterCropPad", v, d.constant([d.one(2, 4)]), axes=[d.axis(v)]),
    )()


# Bodies ---------------------------------------------------------------------------------------------------------------


def _info(name: str, kind: int = 1, rank: int | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None if rank is None else [f"{name}{i}" for i in range(rank)])


def _step(d: Draw, a: str, rank: int, tag: str) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Nodes that change ``a`` to ``{tag}out``, perhaps by a captured value."""
    out, c = f"{tag}out", f"{tag}c"
    axis = int(d.rng.integers(max(rank, 1)))
    other = d.of("f")
    return d.one(
        ([helper.make_node("Add", [a, other], [out])], {}),
        ([helper.make_node("Tanh", [a], [out])], {}),
        ([helper.make_node("Mul", [a, a], [out])], {}),
        ([helper.make_node("Softmax", [a], [out], axis=axis)], {}),
        ([helper.make_node("Identity", [other if d.rank(other) == rank else a], [out])], {}),
        ([helper.make_node("CumSum", [a, c], [out])], {c: np.array(axis)}),
        ([helper.make_node("Add", [a, c], [out])], {c: np.array(0.25, np.float32)}),
        (
            [
                helper.make_node("ReduceMean", [a], [f"{tag}m"], axes=[axis], keepdims=1)
                if d.opset < 18
                else helper.make_node("ReduceMean", [a, c], [f"{tag}m"], keepdims=1),
                helper.make_node("Sub", [a, f"{tag}m"], [out]),
            ],
            {c: np.array([axis])} if d.opset >= 18 else {},
        ),
    )


def _graph(nodes, name, inputs, outputs, weights):
    return helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights.items()])


def branches(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    tag = f"b{len(d.nodes)}"
    bodies = []
    for side in "te":
        nodes, weights = _step(d, v, d.rank(v), tag + side)
        bodies.append(_graph(nodes, side, [], [_info(f"{tag}{side}out", 1, d.rank(v))], weights))
    how = d.one("constant", "size", "data", "input")
    if how == "constant":
        c = d.constant(d.one(True, False), np.bool_)
    elif how == "size":
        c = d.add("Less", d.add("Size", d.of("f")), d.constant(20))
    elif how == "input":
        c = d.add("Less", d.add("Gather", d.add("Shape", d.of("f", range(1, 5))), d.constant(1)), d.constant(3))
    else:
        c = d.add("Less", d.add("ReduceMax", d.of("f"), keepdims=0), d.constant(0.5, np.float32))
    d.add("If", c, then_branch=bodies[0], else_branch=bodies[1])


def loop(d: Draw) -> None:
    v = d.of("f", range(1, 5))
    tag, rank = f"l{len(d.nodes)}", d.rank(v)
    nodes, weights = _step(d, f"{tag}a", rank, tag)
    nodes = [
        helper.make_node("Identity", [f"{tag}k"], [f"{tag}g"]),
        *nodes,
        helper.make_node("Neg", [f"{tag}out"], [f"{tag}s"]),
    ]
    body = _graph(
        nodes,
        "body",
        [_info(f"{tag}i", 7, 0), _info(f"{tag}k", 9, 0), _info(f"{tag}a", 1, rank)],
        [_info(f"{tag}g", 9, 0), _info(f"{tag}out", 1, rank), _info(f"{tag}s", 1, rank)],
        weights,
    )
    trips = (
        d.constant(2)
        if d.often(0.7)
        else d.add("Gather", d.add("Shape", d.of("f", range(1, 5))), d.constant(d.one(0, 1)))
    )
    d.add("Loop", trips, d.constant(True, np.bool_), v, body=body, results=2)


def scan(d: Draw) -> None:
    v, w = d.of("f", range(1, 5)), d.of("f", range(1, 5))
    tag, rank = f"s{len(d.nodes)}", d.rank(v)
    axis = d.axis(w)
    nodes, weights = _step(d, f"{tag}a", rank, tag)
    second = helper.make_node(d.one("Tanh", "Neg"), [d.one(f"{tag}r", f"{tag}r", f"{tag}a")], [f"{tag}s"])
    body = _graph(
        [*nodes, second],
        "body",
        [_info(f"{tag}a", 1, rank), _info(f"{tag}r", 1, d.rank(w) - 1)],
        [_info(f"{tag}out", 1, rank), _info(f"{tag}s")],
        weights,
    )
    more = {"scan_output_axes": [d.one(0, 1, -1)]} if d.often(0.5) else {}
    d.add("Scan", v, w, body=body, num_scan_inputs=1, scan_input_axes=[axis], results=2, **more)


OPS: Sequence[tuple[Op, int]] = (
    (unary, 2),
    (broadcast_constant, 5),
    (together, 8),
    (where, 2),
    (transpose, 7),
    (reshape_by_lengths, 10),
    (reshape, 6),
    (folded_back, 5),
    (flatten, 2),
    (unsqueeze, 3),
    (squeeze, 2),
    (split, 2),
    (cut, 4),
    (cut_by_lengths, 1),
    (concat, 4),
    (tile, 2),
    (tile_by_lengths, 1),
    (expand, 4),
    (filled, 2),
    (numbered, 6),
    (reduce, 6),
    (place_of_largest, 4),
    (along_axis, 5),
    (normalized, 4),
    (pad, 2),
    (image, 6),
    (resize, 2),
    (product, 6),
    (einsum, 5),
    (picked, 8),
    (picked_in_sample, 3),
    (scattered, 4),
    (scattered_slices, 2),
    (one_hot, 2),
    (cast, 3),
    (arithmetic, 3),
    (shape_of, 2),
    (scaled_by_length, 1),
    (quantized, 3),
    (recurrent, 2),
    (reversed_sequence, 1),
    (microsoft, 5),
    (branches, 3),
    (loop, 2),
    (scan, 3),
)
"""Kinds of nodes, and how often each is drawn."""


def drawn(seed: int) -> Draw:
    """The graph of a seed: a few nodes, then a layer or none, then a Relu."""
    rng = np.random.default_rng(seed)
    d = Draw(rng, int(rng.choice([13, 15, 18, 18, 21])))
    rank = int(rng.integers(1, 5))
    place = 0 if rng.random() < 0.75 else int(rng.integers(rank))
    for name in ("x", "z")[: 1 + int(rng.random() < 0.3)]:
        dims: list[int | str] = [("tuv"[i % 3] if rng.random() < 0.3 else int(rng.integers(2, 5))) for i in range(rank)]
        dims[place] = "n"
        d.inputs[name] = dims
    d.lengths = {letter: int(rng.integers(2, 6)) for letter in "tuv"}
    runs = [d.feeds(count) for count in COUNTS]
    d.values = {name: [run[name] for run in runs] for name in d.inputs}
    weight = np.array([w for _, w in OPS], float)
    wanted, tries = int(rng.integers(3, 9)), 0
    before = 0
    while before < wanted and tries < 40:
        tries += 1
        op = OPS[int(rng.choice(len(OPS), p=weight / weight.sum()))][0]
        kept = (len(d.nodes), dict(d.values), dict(d.weights))
        try:
            op(d)
            before += 1
        except (Unfit, ValueError, IndexError, TypeError):
            del d.nodes[kept[0] :]
            d.values, d.weights = kept[1], kept[2]
    last = d.of("f")
    if last in d.inputs:
        last = d.add("Tanh", last)
    if rng.random() < 0.5 and d.rank(last):
        with suppress(Unfit):
            last = d.add("MatMul", last, d.floats(d.shape(last)[-1], 3))
    d.add("Relu", last)
    return d
