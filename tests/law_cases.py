"""A small graph for every row of the law table: rectified units, the operator, and a layer that reads what it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import compose

from relu_audit.operators.families import ELEMENTWISE, ENTRY_BY_ENTRY
from tests.graphs import graph
from tests.prune_kit import DEAD, STEM, Numbers, Pattern, Weights, X, whole
from tests.prune_patterns import PATTERNS

Key = tuple[str, str]
MS = "com.microsoft"

FLAT, IMAGE = "float[n, 6] x", "float[n, 3, a, b] y"
ROWS = "h = Gemm (x, w0, b0)\n r = Relu (h)\n p = Mul (r, small)\n"
BESIDE = "g = Gemm (x, w2, b2)\n e = Relu (g)\n p2 = Mul (e, small)\n"
"""Units ``p`` and, beside them, ``p2``: multiples of 1 / 64 from zero up to one."""

ASLEEP = (
    "l0 = Abs (asleep)\n l1 = Mul (l0, far)\n l2 = Floor (l1)\n g = MatMul (l2, w2)\n e = Abs (g)\n"
    "p2 = Mul (e, small)\n"
)
"""The same for numbers that are zero unless inputs are much larger than the audit's: no law makes them constant."""

READ = "t = Mul (q, large)\n i = Round (t)\n y = Gemm (i, w1)"
"""Whatever the operator makes, the next layer reads whole numbers, so that no sum is rounded."""

NUMBERS: Weights = {
    "small": np.float32(1 / 64),
    "large": np.float32(64),
    "zero": np.float32(0),
    "far": np.float32(2**-12),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "one_i": np.int32(1),
    "four": np.float32(4),
    "mask": np.array([1, 1, 0, 0, 1, 0, 1, 1], bool),
    "first": whole(0),
    "last": whole(1),
}


def _named(name: str, build: object) -> object:
    build.__name__ = name  # type: ignore[attr-defined]
    return build


def rows(
    name: str,
    body: str,
    *,
    removed: int = 3,
    partner: Sequence[int] | None = None,
    asleep: bool = False,
    read: str = READ,
    opset: int = 18,
    kept: Sequence[str] = (),
    **weights: np.ndarray,
) -> Pattern:
    """Rows of units, whose ``partner`` is dead or lives."""

    def build(some: Numbers) -> onnx.ModelProto:
        held = NUMBERS | {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD), "w1": some.weights(8, 3)}
        beside = ASLEEP if asleep else "" if partner is None else BESIDE
        if partner is not None:
            held |= {"w2": some.weights(6, 8), "b2": some.bias(8, partner)}
        text = f"{ROWS} {beside} {body}\n {read}"
        inputs = f"{FLAT}, float[n, 6] asleep" if asleep else FLAT
        return graph(inputs, "float[n, k] y", text, used(text, held | weights), opset=opset, ir=10 if opset > 18 else 8)

    _named(name, build)
    return Pattern(build, {"r": DEAD}, removed, kept=frozenset(kept))


def used(body: str, weights: Weights) -> Weights:
    """Those weights that a graph names."""
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").replace("{", " ").split())
    return {name: array for name, array in weights.items() if name in words}


def images(
    name: str,
    body: str,
    *,
    removed: int = 3,
    opset: int = 18,
    x: str = X,
    kept: Sequence[str] = (),
    read: str = "y = Conv (q, w1)",
    **weights: np.ndarray,
) -> Pattern:
    """Images ``r`` of eight channels, and a convolution that reads ``q``."""

    def build(some: Numbers) -> onnx.ModelProto:
        text = f"{STEM} {body}\n {read}"
        held = NUMBERS | some.stem() | {"w1": some.weights(3, 8, 1, 1)}
        return graph(x, IMAGE, text, used(text, held | weights), opset=opset, ir=10 if opset > 18 else 8)

    _named(name, build)
    return Pattern(build, {"r": DEAD}, removed, kept=frozenset(kept))


SHIFTED = {op: f"u = Add (p, one)\n q = {op} (u)" for op in ("Acosh", "Log", "Reciprocal")}
FLAGS = {op: f"u = {op} (p)\n q = Cast <to = 1> (u)" for op in ("IsInf", "IsNaN")}
ENTRY: Mapping[str, str] = {
    **SHIFTED,
    **FLAGS,
    "BitwiseNot": "u = Cast <to = 6> (r)\n v = BitwiseNot (u)\n q = Cast <to = 1> (v)",
    "Cast": "u = Cast <to = 6> (r)\n q = Cast <to = 1> (u)",
    "Not": "u = Greater (p, zero)\n v = Not (u)\n q = Cast <to = 1> (v)",
    "ThresholdedRelu": "q = ThresholdedRelu <alpha = 0.1> (p)",
}
"""How an operator of one operand is reached, where its number has to be of another range or type."""

SINCE = {"Gelu": 20, "Swish": 24, "RMSNormalization": 23}


def _converted(op: str, kind: int, options: str = "") -> str:
    return (
        f"u = Cast <to = {kind}> (r)\n v = Cast <to = {kind}> (e)\n w = {op} {options} (u, v)\n q = Cast <to = 1> (w)"
    )


def _compared(op: str) -> str:
    return f"w = {op} (p, p2)\n q = Cast <to = 1> (w)"


def _of_flags(op: str) -> str:
    return f"u = Greater (p, half)\n v = Greater (p2, half)\n w = {op} (u, v)\n q = Cast <to = 1> (w)"


PAIRED: Mapping[str, str] = {
    **{op: _of_flags(op) for op in ("And", "Or", "Xor")},
    **{op: _compared(op) for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    **{op: _converted(op, 6) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    "BitShift": "u = Cast <to = 12> (r)\n f = Mul (p2, four)\n v = Cast <to = 12> (f)\n"
    'w = BitShift <direction = "LEFT"> (u, v)\n q = Cast <to = 1> (w)',
    "Mod": "u = Cast <to = 6> (r)\n o = Cast <to = 6> (e)\n v = Add (o, one_i)\n w = Mod (u, v)\nq = Cast <to = 1> (w)",
    "Div": "u = Add (p2, one)\n q = Div (p, u)",
    "Where": "q = Where (mask, p, p2)",
    **{op: f"q = {op} (p, p2, p)" for op in ("Max", "Min", "Sum")},
    "Mean": "q = Mean (p, p2)",
}
"""How an operator of several operands is reached."""


def entry_by_entry(op: str) -> list[Pattern]:
    """An operator of one operand."""
    return [rows(f"units_through_{op}", ENTRY.get(op, f"q = {op} (p)"), opset=SINCE.get(op, 18))]


ALSO_WITH_A_LIVING_PARTNER = {"Mul": 3, "Div": 3}
"""Units that go although what they meet lives."""


SUMS = dict.fromkeys(("Add", "Mean", "Sub", "Sum"), ("residual-partner-alive",))
"""What units stay for, where their partner lives."""


def elementwise(op: str) -> list[Pattern]:
    """An operator of several operands: what they meet is dead in one case, and lives in the other."""
    body = PAIRED.get(op, f"q = {op} (p, p2)")
    alone = ALSO_WITH_A_LIVING_PARTNER.get(op, 0)
    return [
        rows(f"dead_units_meet_in_{op}", body, removed=6, partner=DEAD),
        rows(f"sleeping_numbers_meet_in_{op}", body, removed=alone, partner=(), asleep=True, kept=SUMS.get(op, ())),
    ]


def together(name: str, patterns: Sequence[Pattern]) -> Pattern:
    """Several graphs of the same inputs as one."""

    def build(some: Numbers) -> onnx.ModelProto:
        del some
        whole_model, *others = [
            compose.add_prefix(one.model, f"{i}_", rename_inputs=False) for i, one in enumerate(patterns)
        ]
        for one in others:
            for own, more in ((whole_model.graph.node, one.graph.node), (whole_model.graph.output, one.graph.output)):
                own.extend(more)
            whole_model.graph.initializer.extend(one.graph.initializer)
        return whole_model

    _named(name, build)
    dead = {f"{i}_{tensor}": units for i, one in enumerate(patterns) for tensor, units in one.dead.items()}
    kept = frozenset().union(*(one.kept for one in patterns))
    return Pattern(build, dead, sum(one.removed for one in patterns), kept=kept)


AT_ONCE = 9
"""Operators in one graph, at most."""


def grouped(cases: Mapping[str, Sequence[Pattern]]) -> dict[Key, list[Pattern]]:
    """Cases of operators, those of the same kind in one graph."""
    kinds: dict[object, list[tuple[str, Pattern]]] = {}
    for op, patterns in cases.items():
        for number, one in enumerate(patterns):
            opset = next(entry.version for entry in one.model.opset_import if not entry.domain)
            kinds.setdefault((number, opset, one.kept), []).append((op, one))
    found: dict[Key, list[Pattern]] = {("", op): [] for op in cases}
    for members in kinds.values():
        for start in range(0, len(members), AT_ONCE):
            part = members[start : start + AT_ONCE]
            whole_part = together("_and_".join(one.name for _, one in part), [one for _, one in part])
            for op, _ in part:
                found["", op].append(whole_part)
    return found


def over_positions(op: str, opset: int = 18) -> list[Pattern]:
    """A reduction over the positions of an image; behind a zero that must not be, one is added."""
    axes = "(u, axes)" if opset >= 18 else "<axes = [2, 3]> (u)"
    body = f"u = Add (r, one)\n k = {op} {axes}\n m = Mul (k, large)\n q = Round (m)"
    return [images(f"positions_of_a_unit_by_{op}", body, axes=whole(2, 3))]


def over_units(op: str, *, removed: int, shifted: bool = False) -> list[Pattern]:
    """A reduction over all units, which is added to a layer that reads them."""
    source = "z = Add (p, one)\n" if shifted else "z = Identity (p)\n"
    body = f"{source} s = {op} (z, last)\n q = Add (p, s)"
    read = "t = Mul (s, large)\n i = Round (t)\n j = Mul (p, large)\n k = Gemm (j, w1)\n y = Add (k, i)"
    name = f"{'shifted_' if shifted else ''}units_together_by_{op}"
    return [rows(name, body.rsplit("\n", 1)[0], removed=removed, read=read)]


def known(*names: str) -> list[Pattern]:
    """Patterns of the register."""
    return [PATTERNS[name] for name in names]


# Rows that say more


def joined(op: str, options: str = "", *, opset: int = 18, more: str = "", **weights: np.ndarray) -> list[Pattern]:
    """An operator along the units, none of which may go, and along positions, where those that are zero may."""
    units = f"u = Neg (p)\n s = {op} {options.replace('AXIS', '1')} (u{more})\n q = Mul (s, p)"
    image = (
        f"m = Mul (r, small)\n s = {op} {options.replace('AXIS', '3')} (m{more})\n k = Mul (s, r)\n l = Mul (k, large)"
    )
    return [
        rows(f"units_joined_by_{op}_{opset}", units, removed=0, kept=["combined-axis"], opset=opset, **weights),
        images(f"positions_joined_by_{op}_{opset}", f"{image}\n q = Round (l)", opset=opset, **weights),
    ]


def normalised(op: str, opset: int = 18) -> list[Pattern]:
    """The same with a scale, which has one entry for each of what is normalised."""
    units = f"u = Add (p, one)\n s = {op} (u, gamma)\n q = Mul (s, p)"
    image = f"s = {op} <axis = 3> (r, gamma)\n k = Mul (s, r)\n q = Round (k)"
    gamma = np.arange(1, 9, dtype=np.float32)
    return [
        rows(f"units_normalised_by_{op}", units, removed=0, kept=["combined-axis"], opset=opset, gamma=gamma),
        images(f"positions_normalised_by_{op}", image, opset=opset, gamma=gamma),
    ]


def recurrent(op: str, gates: int) -> list[Pattern]:
    """What it reads may go; states feed each other."""

    def build(some: Numbers) -> onnx.ModelProto:
        body = f"h = MatMul (x, w0)\n hb = Add (h, b0)\n r = Relu (hb)\n u, v = {op} <hidden_size = 2> (r, w1, k1)\n"
        held = {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD), "first": whole(0)}
        held |= {"w1": some.weights(1, gates * 2, 8) / 16, "k1": some.weights(1, gates * 2, 2) / 16}
        return graph("float[n, 5, 6] x", "float[b, 2] y", body + "y = Squeeze (v, first)", held)

    _named(f"units_read_by_{op}", build)
    return [Pattern(build, {"r": DEAD}, 3, exact=False, shapes={"w1": (1, gates * 2, 5)})]


def quantized(
    name: str,
    body: str,
    *,
    removed: int = 3,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    kept: Sequence[str] = (),
    x: str = X,
    y: str = IMAGE,
    exact: bool = True,
    opset: int = 18,
    stem: str = STEM,
    **weights: np.ndarray,
) -> Pattern:
    """Rectified units as codes: ``rq``, with the scale ``s`` and the zero point ``z``."""

    def build(some: Numbers) -> onnx.ModelProto:
        text = f"{stem} rq = QuantizeLinear (r, s, z)\n {body}"
        own = some.stem() if stem == STEM else {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD)}
        held = NUMBERS | own | CODES | {"w1": some.weights(3, 8, 1, 1)}
        held |= {"v1": some.weights(8, 3), "v2": some.weights(6, 8)}
        held |= {"c1": some.weights(3, 8, 1, 1).astype(np.int8), "d1": some.weights(8, 1, 1, 1).astype(np.int8)}
        held |= {"m1": some.weights(8, 3).astype(np.int8)}
        return graph(x, y, text, used(text, held | weights), opset=opset, ir=10 if opset > 18 else 8)

    _named(name, build)
    return Pattern(build, {"r": DEAD}, removed, kept=frozenset(kept), shapes=dict(shapes or {}), exact=exact)


CODES: Weights = {
    "s": np.float32(1),
    "z": np.uint8(7),
    "o": np.uint8(3),
    "ws": np.float32(1),
    "wz": np.int8(0),
    "s8": np.array([1, 0.5, 2, 1, 4, 0.5, 1, 2], np.float32),
    "z8": np.arange(8, dtype=np.uint8),
    "s3": np.array([1, 0.5, 2], np.float32),
    "z3": np.array([0, 1, -1], np.int8),
    "tiny": np.float32(2**-6),
    "fine": np.float32(2**-8),
    "sy": np.float32(64),
    "zy": np.uint8(128),
}
FROM_CODES = "q = DequantizeLinear (aq, s, o)\n y = Conv (q, w1)"
MATRIX = "float[n, 3] y"
DENSE = "h = Gemm (x, w0, b0)\n r = Relu (h)\n"
OPEN = "float[n, 2, a, b] x"
TURNED = "h = Gemm (w0, x, b0)\n r = Relu (h)\n"


def turned() -> Pattern:
    """Units are rows, and so is what is added to each."""

    def build(some: Numbers) -> onnx.ModelProto:
        body = "t = Transpose (x)\n h = Gemm (w0, t, b0)\n r = Relu (h)\n u = Add (r, shift)\n g = Gemm (w1, u, b1)\n"
        held = {"w0": some.weights(8, 6), "b0": some.bias(8, DEAD)[:, None], "w1": some.weights(3, 8)}
        held |= {"shift": some.bias(8)[:, None], "b1": some.bias(3)[:, None]}
        return graph(FLAT, MATRIX, body + "y = Transpose (g)", held)

    _named("constants_into_a_column", build)
    return Pattern(build, {"r": DEAD}, 3)


def linear_twice(name: str, first: str, second: str, weights: Mapping[str, tuple[int, ...]], x: str, y: str) -> Pattern:
    """Two layers with nothing between that is ever cut off: they are one."""

    def build(some: Numbers) -> onnx.ModelProto:
        held = {name: some.weights(*shape) for name, shape in weights.items()}
        held |= {"b0": some.bias(4) + 2**10}
        return graph(x, y, f"{first}\n r = Relu (h)\n {second}", used(f"{first} {second}", held))

    _named(name, build)
    return Pattern(build, {"r": ()}, 0)


def picked_on_an_axis_of_units() -> Pattern:
    """Positions are read elsewhere than where they lie: here they are the units."""

    def build(some: Numbers) -> onnx.ModelProto:
        body = (
            f"{STEM} t = Transpose <perm = [0, 2, 1, 3]> (r)\n u = Add (t, one)\n"
            'k = GridSample <mode = "nearest", padding_mode = "border"> (u, g)\n m = Mul (k, t)\n'
            "q = Transpose <perm = [0, 2, 1, 3]> (m)\n y = Conv (q, w1)"
        )
        held = some.stem() | {"w1": some.weights(3, 8, 1, 1), "one": np.float32(1)}
        return graph(f"{X}, float[n, 8, 8, 2] g", IMAGE, body, held)

    _named("places_among_the_units", build)
    return Pattern(build, {"r": DEAD}, 0)


def gated(name: str, op: str) -> Pattern:
    """Channels that live, up to where silent ones are multiplied by them: they need not be computed either."""

    def build(some: Numbers) -> onnx.ModelProto:
        body = f"{STEM} g = Conv <pads = [1, 1, 1, 1]> (x, w2, b2)\n k = {op} (g)\n m = Mul (r, k)\n q = Round (m)\n"
        return graph(
            X,
            IMAGE,
            body + "y = Conv (q, w1)",
            used(body + "w1", some.stem() | some.layer(2, 8, 2, 3, 3) | some.layer(1, 3, 8, 1, 1)),
        )

    _named(name, build)
    return Pattern(build, {"r": DEAD}, 3, shapes={"w2": (5, 2, 3, 3)})


def range_of_an_unread_unit() -> Pattern:
    """No weight reads unit 0, which lives: the range of all codes is often its own."""

    def build(some: Numbers) -> onnx.ModelProto:
        weight = some.weights(8, 3).astype(np.int8)
        weight[0] = 1
        held = {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD) + np.eye(8, dtype=np.float32)[0] * 64}
        held |= {"w1": weight, "s1": np.float32(1), "z1": np.int8(1)}
        return graph(FLAT, MATRIX, f"{DENSE} y = {MS}.DynamicQuantizeMatMul (r, w1, s1, z1)", held)

    _named("range_of_an_unread_unit", build)
    return Pattern(build, {"r": DEAD}, 3, exact=False)


def unread(name: str, body: str, *shape: int, **weights: np.ndarray) -> Pattern:
    """All factors of unit 0, which lives, are the zero point of their codes; those of unit 2 are the code zero."""

    def build(some: Numbers) -> onnx.ModelProto:
        factors = some.weights(*shape).astype(np.int8)
        by_unit = factors if len(shape) == 2 else factors.swapaxes(0, 1)
        by_unit[0], by_unit[2] = 3, 0
        stem, x, y = (DENSE, FLAT, MATRIX) if len(shape) == 2 else (STEM, X, IMAGE)
        first = {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD)} if len(shape) == 2 else some.stem()
        text = f"{stem} rq = QuantizeLinear (r, s, z)\n {body}"
        held = NUMBERS | CODES | first | {"f1": factors, "w3": np.int8(3), "e3": np.full(3, 3, np.int8)}
        return graph(x, y, text, used(text, held | weights))

    _named(name, build)
    return Pattern(build, {"r": DEAD}, 3, also={"r": (0,)})


def blocks(name: str) -> Pattern:
    """Weights that are quantized in blocks of two, along the units that read them."""

    def build(some: Numbers) -> onnx.ModelProto:
        body = (
            f"{DENSE} c = QuantizeLinear <axis = 0, block_size = 2> (w1, sb, zb)\n"
            "d = DequantizeLinear <axis = 0, block_size = 2> (c, sb, zb)\n y = Gemm (r, d)"
        )
        held = {"w0": some.weights(6, 8), "b0": some.bias(8, DEAD), "w1": some.weights(8, 3)}
        scale = some.rng.choice([0.5, 1.0], (4, 3)).astype(np.float32)
        return graph(FLAT, MATRIX, body, held | {"sb": scale, "zb": np.zeros((4, 3), np.int8)}, opset=21, ir=10)

    _named(name, build)
    return Pattern(build, {"r": DEAD}, 0)


SPECIAL: Mapping[Key, Sequence[Pattern]] = {
    ("", "CastLike"): [rows("units_cast_like_another", "q = CastLike (p, one)")],
    ("", "Clip"): [rows("units_clipped", "q = Clip (p, small, half)")],
    ("", "BatchNormalization"): known("norm_after_then_unpadded", "norm_after_then_gemm"),
    ("", "InstanceNormalization"): [
        images(
            "channels_normalised_and_gated",
            "k = InstanceNormalization (r, g8, g8)\n m = Mul (k, r)\n q = Round (m)",
            g8=np.arange(1, 9, dtype=np.float32),
        ),
        *known("instance_normalisation"),
    ],
    ("", "GlobalAveragePool"): known("global_average_pool_flatten_gemm"),
    ("", "GlobalMaxPool"): known("global_max_pool_squeeze_gemm"),
    ("", "GlobalLpPool"): [images("lengths_of_channels", "k = GlobalLpPool (r)\n q = Round (k)")],
    **{
        ("", op): [*over_positions(op), *over_units(op, removed=0)]
        for op in ("ReduceLogSumExp", "ReduceMean", "ReduceMin", "ReduceProd")
    },
    ("", "ArgMax"): [images("places_of_the_largest", "k = ArgMax <axis = 2> (r)\n q = Cast <to = 1> (k)")],
    ("", "ArgMin"): [images("places_of_the_least", "k = ArgMin <axis = 2> (r)\n q = Cast <to = 1> (k)")],
    ("", "MaxPool"): [
        *known("max_pool"),
        images(
            "places_of_what_is_pooled",
            "k, l = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)\n m = Mod (l, prime)\n"
            "c = Cast <to = 1> (m)\n q = Mul (c, k)",
            removed=0,
            prime=np.int64(61),
        ),
    ],
    ("", "AveragePool"): known("average_pool"),
    ("", "LpPool"): [images("pooled_lengths", "q = LpPool <p = 1, kernel_shape = [2, 2], strides = [2, 2]> (r)")],
    ("", "Add"): known("matmul_and_add", "living_partner_in_the_second_place", "constant_into_a_matmul"),
    ("", "Sub"): known("constant_into_a_gemm_without_bias"),
    ("", "Sum"): known("sum_of_three_where_all_are_dead"),
    ("", "Mul"): known("product_of_two_towers", "gated_by_another_branch"),
    ("", "Where"): known("masked_with_zeros", "picked_between_zero_and_another_number"),
    ("", "Div"): [rows("dead_units_over_living", "q = Div (p, p2)", removed=0, partner=())],
    **{("", op): over_units(op, removed=3) for op in ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")},
    ("", "ReduceLogSum"): known("logarithm_of_a_sum_of_units"),
    ("", "ReduceMax"): [*over_units("ReduceMax", removed=3), *known("largest_of_units_below_zero")],
    **{
        ("", op): [
            *joined(op, "<axis = AXIS>"),
            images(
                f"flattened_units_joined_by_{op}",
                f"m = Mul (r, small)\n s = {op} <axis = 2> (m)\n k = Mul (s, r)\n l = Mul (k, large)\n q = Round (l)",
                opset=11,
            )
            if op == "Hardmax"
            else images(
                f"positions_joined_by_{op}_of_old",
                f"m = Mul (r, small)\n s = {op} <axis = 2> (m)\n k = Mul (s, r)\n l = Mul (k, large)\n q = Floor (l)",
                opset=11,
            ),
            rows(
                f"units_joined_by_{op}_of_old",
                f"n = Unsqueeze <axes = [1]> (p)\n u = Neg (n)\n s = {op} <axis = 1> (u)\n m = Mul (s, n)\n"
                "q = Squeeze <axes = [1]> (m)",
                removed=0,
                kept=["combined-axis"],
                opset=11,
                read="t = Mul (q, large)\n i = Floor (t)\n y = Gemm (i, w1)",
            ),
        ]
        for op in ("Softmax", "LogSoftmax", "Hardmax")
    },
    ("", "LayerNormalization"): normalised("LayerNormalization"),
    ("", "RMSNormalization"): normalised("RMSNormalization", 23),
    ("", "LpNormalization"): [
        *known("units_normalised_by_one_operator"),
        images(
            "positions_normalised_by_LpNormalization",
            "k = LpNormalization <axis = 3> (r)\n m = Mul (k, large)\n q = Round (m)",
        ),
        rows(
            "shifted_units_normalised_by_LpNormalization",
            "u = Add (p, one)\n s = LpNormalization <axis = 1> (u)\n q = Mul (s, p)",
            removed=0,
            kept=["combined-axis"],
        ),
    ],
    ("", "MeanVarianceNormalization"): [
        images(
            "channels_normalised_together",
            "u = Add (r, one)\n k = MeanVarianceNormalization <axes = [1, 2, 3]> (u)\n m = Mul (k, r)\n q = Round (m)",
            removed=0,
            kept=["combined-axis"],
        ),
        gated("channels_normalised_apart_and_gated", "MeanVarianceNormalization"),
    ],
    ("", "GroupNormalization"): [
        *known("group_normalisation"),
        images(
            "groups_normalised_with_a_scale_for_each",
            "u = Add (r, one)\n k = GroupNormalization <num_groups = 2> (u, g2, g2)\n m = Mul (k, r)\n q = Round (m)",
            removed=0,
            kept=["combined-axis"],
            g2=np.array([1, 2], np.float32),
        ),
    ],
    ("", "LRN"): [
        images(
            "channels_divided_by_their_neighbours",
            "u = Add (r, one)\n k = LRN <size = 3, alpha = 1.0> (u)\n m = Mul (k, r)\n q = Round (m)",
            removed=0,
            kept=["combined-axis"],
        )
    ],
    ("", "Trilu"): [
        images("triangles_of_positions", "q = Trilu (r)"),
        images(
            "triangles_of_units",
            "t = Transpose <perm = [0, 2, 1, 3]> (r)\n k = Trilu (t)\n q = Transpose <perm = [0, 2, 1, 3]> (k)",
            removed=0,
            kept=["combined-axis"],
        ),
    ],
    ("", "CumSum"): [
        *known("running_sum_over_positions"),
        rows(
            "running_sum_over_shifted_units",
            "u = Add (p, one)\n s = CumSum (u, last)\n q = Mul (s, p)",
            removed=0,
            kept=["combined-axis"],
        ),
    ],
    ("", "TopK"): [
        images("largest_positions", "q, l = TopK <axis = 3> (r, three)", three=whole(3)),
        images(
            "largest_channels", "q, l = TopK <axis = 1> (r, eight)", removed=0, kept=["combined-axis"], eight=whole(8)
        ),
    ],
    ("", "Einsum"): [
        rows("units_summed_by_letters", 'q = Einsum <equation = "nk,km->nm"> (p, w3)', w3=Numbers(3).weights(8, 8)),
        rows("units_multiplied_by_letters", 'q = Einsum <equation = "nk,nk->nk"> (p, p2)', partner=()),
        rows("units_gated_by_letters", 'q = Einsum <equation = "nk,nk->nk"> (p2, p)', partner=()),
    ],
    ("", "LSTM"): recurrent("LSTM", 4),
    ("", "GRU"): recurrent("GRU", 3),
    ("", "RNN"): recurrent("RNN", 1),
    ("", "QuantizeLinear"): [
        quantized(
            "codes_with_a_scale_for_each",
            "cq = QuantizeLinear (r, s8, z8)\n q = DequantizeLinear (cq, s8, z8)\n y = Conv (q, w1)",
            shapes={"s8": (5,), "z8": (5,)},
        ),
        blocks("codes_in_blocks"),
    ],
    ("", "DequantizeLinear"): [
        blocks("numbers_in_blocks"),
        quantized(
            "decoded_with_a_scale_for_each",
            "q = DequantizeLinear (rq, s8, z8)\n y = Conv (q, w1)",
            shapes={"s8": (5,), "z8": (5,)},
        ),
    ],
    ("", "Conv"): [
        *known(
            "conv2d_chain",
            "norm_after_then_unpadded",
            "depthwise_after_with_bias",
            "constant_that_grows_with_the_image_multiplies",
        ),
        linear_twice(
            "convolutions_that_are_one",
            "h = Conv (x, w0, b0)",
            "y = Conv (r, w1)",
            {"w0": (4, 2, 1, 1), "w1": (3, 4, 1, 1)},
            X,
            IMAGE,
        ),
    ],
    ("", "ConvTranspose"): [
        *known("conv_transpose_reads", "conv_transpose_writes", "norm_after_then_conv_transpose"),
        images(
            "depthwise_transposed",
            "k = ConvTranspose <group = 8> (r, d)\n q = Mul (k, one)",
            d=Numbers(4).weights(8, 1, 2, 2),
        ),
        images(
            "constants_into_a_transposed_convolution",
            "u = Add (r, one)\n q = Identity (u)",
            read="y = ConvTranspose (q, c, b3)",
            c=Numbers(5).weights(8, 3, 1, 1),
            b3=np.ones(3, np.float32),
        ),
    ],
    ("", "Gemm"): [
        *known("gemm_chain", "gemm_with_weights_first", "norm_after_then_gemm", "gemm_with_alpha_and_beta"),
        turned(),
        linear_twice(
            "products_that_are_one",
            "h = Gemm <alpha = 2.0> (x, w0, b0)",
            "y = Gemm <alpha = 0.5> (r, w1)",
            {"w0": (6, 4), "w1": (4, 2)},
            FLAT,
            "float[n, 2] y",
        ),
    ],
    ("", "MatMul"): [
        *known("matmul_and_add", "head_of_dead_values", "constant_into_a_matmul"),
        linear_twice(
            "matrices_that_are_one",
            "g = MatMul (x, w0)\n h = Add (g, b0)",
            "y = MatMul (r, w1)",
            {"w0": (6, 4), "w1": (4, 2)},
            FLAT,
            "float[n, 2] y",
        ),
    ],
    ("", "ConvInteger"): [
        *known("codes_found_out_for_a_convolution"),
        unread("integers_that_no_factor_counts", "i = ConvInteger (rq, f1, z, w3)\n y = Cast <to = 1> (i)", 3, 8, 1, 1),
        quantized(
            "depthwise_integers",
            "i = ConvInteger <group = 8> (rq, d1, z, wz)\n q = Cast <to = 1> (i)\n y = Conv (q, w1)",
        ),
    ],
    ("", "MatMulInteger"): [
        *known("codes_found_out_for_a_product"),
        unread(
            "integer_products_that_no_factor_counts", "i = MatMulInteger (rq, f1, z, e3)\n y = Cast <to = 1> (i)", 8, 3
        ),
        quantized(
            "integer_products_with_a_zero_point",
            "i = MatMulInteger (rq, m1, z, z3)\n y = Cast <to = 1> (i)",
            stem=DENSE,
            x=FLAT,
            y=MATRIX,
        ),
    ],
    ("", "QLinearConv"): [
        *known("quantised_operators", "codes_in_groups_at_different_positions"),
        unread(
            "codes_that_no_factor_counts",
            "aq = QLinearConv (rq, s, z, f1, ws, w3, sy, zy)\n y = DequantizeLinear (aq, sy, zy)",
            3,
            8,
            1,
            1,
        ),
        quantized("depthwise_codes", "aq = QLinearConv <group = 8> (rq, s, z, d1, ws, wz, s, o)\n" + FROM_CODES),
    ],
    ("", "QLinearMatMul"): [
        *known("quantised_matrix_product"),
        unread(
            "products_of_codes_that_no_factor_counts",
            "aq = QLinearMatMul (rq, s, z, f1, s3, e3, sy, zy)\n y = DequantizeLinear (aq, sy, zy)",
            8,
            3,
        ),
        quantized(
            "codes_by_a_matrix_with_a_scale_for_each",
            "aq = QLinearMatMul (rq, s, z, m1, s3, z3, sy, zy)\n y = DequantizeLinear (aq, sy, zy)",
            stem=DENSE,
            x=FLAT,
            y=MATRIX,
        ),
        quantized(
            "codes_made_by_a_matrix_with_a_scale_for_each",
            "xq = QuantizeLinear (x, s, zy)\n kq = QLinearMatMul (xq, s, zy, n1, s8, z8i, s, o)\n"
            "k = DequantizeLinear (kq, s, o)\n m = Mul (k, r)\n y = Gemm (m, v1)",
            stem=DENSE,
            x=FLAT,
            y=MATRIX,
            n1=Numbers(6).weights(6, 8).astype(np.int8),
            z8i=np.arange(8, dtype=np.int8),
            shapes={"n1": (6, 5), "s8": (5,), "z8i": (5,)},
        ),
    ],
    ("", "DynamicQuantizeLinear"): known("codes_found_out_for_a_product", "codes_found_out_for_another_number"),
    ("", "Transpose"): known("channel_shuffle", "channels_last"),
    ("", "Flatten"): known("flatten_gemm"),
    ("", "Squeeze"): known("global_max_pool_squeeze_gemm", "codes_of_a_softmax_over_positions"),
    ("", "Unsqueeze"): known("codes_of_a_softmax_over_positions"),
    ("", "Tile"): [
        images(
            "channels_repeated",
            "q = Tile (r, times)",
            read="y = Conv (q, w3)",
            times=whole(1, 2, 1, 1),
            w3=Numbers(7).weights(3, 16, 1, 1),
        )
    ],
    ("", "DepthToSpace"): known("eight_channels_into_two_and_back", "four_channels_into_one_and_back"),
    ("", "SpaceToDepth"): known("eight_channels_into_two_and_back"),
    ("", "Concat"): known("halves_rejoined", "half_that_is_dead_as_a_whole", "channels_of_zeros_beside_the_units"),
    ("", "Reshape"): known("reshape_static_gemm", "reshape_with_zero_and_minus_one"),
    ("", "Expand"): known("mask_spread_to_the_shape_of_what_it_masks", "units_divided_by_their_length"),
    ("", "ConstantOfShape"): known("one_number_as_large_as_the_units"),
    ("", "GridSample"): [
        *known("picked_at_places_that_the_data_decides", "picked_at_places_beyond_the_border"),
        picked_on_an_axis_of_units(),
    ],
    ("", "Resize"): known("resize_to_constant_sizes", "channels_twice", "channels_one_and_a_half_times"),
    ("", "Upsample"): [
        images(
            "channels_twice_by_Upsample",
            'q = Upsample <mode = "nearest"> (r, twice)',
            read="y = Conv (q, w3)",
            opset=9,
            twice=np.float32([1, 2, 1, 1]),
            w3=Numbers(7).weights(3, 16, 1, 1),
        ),
        images(
            "channels_half_more_by_Upsample",
            'q = Upsample <mode = "nearest"> (r, more)',
            read="y = Conv (q, w3)",
            opset=9,
            removed=0,
            kept=["combined-axis"],
            more=np.float32([1, 1.5, 1, 1]),
            w3=Numbers(8).weights(3, 12, 1, 1),
        ),
    ],
    ("", "Split"): known("split_unevenly"),
    ("", "Slice"): [
        *known("slice_of_channels", "halves_in_turn"),
        images(
            "cut_where_the_size_of_the_image_says",
            "d = Shape (r)\n e = Slice (d, two, three)\n f = Sub (e, last)\n g = Concat <axis = 0> (six, f)\n"
            "q = Slice (r, starts, g, axes)",
            x=OPEN,
            removed=0,
            read="y = Conv (q, w3)",
            two=whole(2),
            three=whole(3),
            six=whole(6),
            starts=whole(1, 0),
            axes=whole(1, 2),
            w3=Numbers(9).weights(3, 5, 1, 1),
        ),
    ],
    ("", "Gather"): known("gather_of_channels"),
    ("", "Pad"): [
        replace(PATTERNS["pad_with_channels"], shapes={"w1": (3, 5, 3, 3)}),
        *known("channels_reflected_at_their_edge"),
        images(
            "filled_as_the_size_of_the_image_says",
            "d = Shape (r)\n e = Slice (d, two, three)\n g = Concat <axis = 0> (o2, e, o4, e, o1)\n q = Pad (r, g)",
            x=OPEN,
            removed=0,
            read="y = Conv (q, w3)",
            two=whole(2),
            three=whole(3),
            o2=whole(0, 1),
            o4=whole(0, 0, 2),
            o1=whole(0),
            w3=Numbers(9).weights(3, 11, 1, 1),
        ),
    ],
    ("", "Shape"): known("divided_by_a_length", "reshape_by_shape_gather_concat"),
    ("", "Size"): known("divided_by_how_many_there_are"),
    **{(MS, op): [rows(f"units_through_{MS}_{op}", f"q = {MS}.{op} (p)")] for op in ("Gelu", "QuickGelu")},
    **{
        (MS, op): [rows(f"units_beside_a_bias_of_{op}", f"q = {MS}.{op} (p, b)", b=np.arange(8, dtype=np.float32))]
        for op in ("FastGelu", "BiasGelu")
    },
    (MS, "QLinearAdd"): [
        *known("quantised_residual_sum"),
        quantized(
            "codes_added_to_living_codes",
            f"gf = Conv (x, w2)\n gq = QuantizeLinear (gf, s, zy)\n"
            f"aq = {MS}.QLinearAdd (rq, s, z, gq, s, zy, s, zy)\n q = DequantizeLinear (aq, s, zy)\n y = Conv (q, w1)",
            removed=0,
            kept=["residual-partner-alive"],
            w2=Numbers(10).weights(8, 2, 1, 1),
        ),
    ],
    (MS, "QLinearLeakyRelu"): [
        quantized(
            "codes_of_a_leaky_rectifier", f"aq = {MS}.QLinearLeakyRelu <alpha = 0.5> (rq, s, z, s, o)\n" + FROM_CODES
        )
    ],
    (MS, "QLinearSigmoid"): known("codes_gated_by_their_own_mean"),
    (MS, "QLinearGlobalAveragePool"): known("codes_gated_by_their_own_mean"),
    (MS, "QLinearWhere"): known("codes_chosen_from_others"),
    (MS, "QLinearMul"): [
        *known("codes_gated_by_their_own_mean"),
        quantized(
            "codes_gated_by_codes",
            "gf = Conv (x, w2)\n gq = QuantizeLinear (gf, s, zy)\n"
            f"aq = {MS}.QLinearMul (rq, s, z, gq, s, zy, sy, o)\n q = DequantizeLinear (aq, sy, o)\n"
            "y = Conv (q, w1)",
            w2=Numbers(10).weights(8, 2, 1, 1),
        ),
        quantized(
            "codes_that_gate_codes",
            "gf = Conv (x, w2)\n gq = QuantizeLinear (gf, s, zy)\n"
            f"aq = {MS}.QLinearMul (gq, s, zy, rq, s, z, sy, o)\n q = DequantizeLinear (aq, sy, o)\n"
            "y = Conv (q, w1)",
            w2=Numbers(10).weights(8, 2, 1, 1),
        ),
    ],
    (MS, "QGemm"): known(
        "products_of_codes_with_a_scale_for_each_unit",
        "product_of_codes_behind_a_rectifier_with_a_zero_point",
        "products_of_codes_one_of_which_is_the_zero_point",
    ),
    (MS, "QLinearConcat"): known("codes_side_by_side", "codes_beside_a_dead_layer"),
    (MS, "MatMulIntegerToFloat"): known("codes_found_out_for_a_product_in_floats"),
    (MS, "DynamicQuantizeMatMul"): [*known("codes_found_out_within_a_product"), range_of_an_unread_unit()],
    (MS, "QLinearSoftmax"): [
        *known("codes_of_a_softmax_over_positions", "codes_of_a_softmax_over_units"),
        quantized(
            "codes_of_a_softmax_over_units_that_gates_them",
            f"aq = {MS}.QLinearSoftmax <axis = 1, opset = 13> (rq, tiny, z, fine, o)\n"
            "k = DequantizeLinear (aq, fine, o)\n"
            "m = Mul (k, r)\n y = Gemm (m, v1)",
            removed=0,
            kept=["combined-axis"],
            stem=DENSE,
            x=FLAT,
            y=MATRIX,
        ),
        quantized(
            "codes_of_a_softmax_of_old_over_units",
            f"n = Unsqueeze (rq, axes)\n aq = {MS}.QLinearSoftmax <axis = 1, opset = 11> (n, tiny, z, fine, o)\n"
            "a = Squeeze (aq, axes)\n k = DequantizeLinear (a, fine, o)\n m = Mul (k, r)\n y = Gemm (m, v1)",
            removed=0,
            kept=["combined-axis"],
            stem=DENSE,
            x=FLAT,
            y=MATRIX,
            axes=whole(1),
        ),
    ],
    (MS, "QLinearAveragePool"): [
        quantized(
            "pooled_codes",
            f"aq = {MS}.QLinearAveragePool <kernel_shape = [2, 2], strides = [2, 2]> (rq, s, z, s, o)\n" + FROM_CODES,
        )
    ],
}


def pooled_silence(op: str, options: str = "") -> Pattern:
    """A layer that is silent as a whole, in an image of open size: what comes out of the windows is written down."""

    def build(some: Numbers) -> onnx.ModelProto:
        codes = op.startswith(MS)
        read = "rq = QuantizeLinear (r, s, z)\n" if codes else ""
        operands = "rq, s, z, s, o" if codes else "r"
        body = f"{STEM} {read} p = {op} <kernel_shape = [2, 2], strides = [2, 1]{options}> ({operands})\n"
        body += "d = DequantizeLinear (p, s, o)\n y = Add (d, one)" if codes else "y = Add (p, one)"
        return graph(OPEN, "float[n, 8, a, b] y", body, used(body, NUMBERS | CODES | some.stem(range(8))))

    _named(f"silence_behind_{op}", build)
    return Pattern(build, {"r": tuple(range(8))}, 8)


WINDOWS: Mapping[Key, Pattern] = {
    ("", "MaxPool"): pooled_silence("MaxPool"),
    ("", "AveragePool"): pooled_silence("AveragePool"),
    ("", "LpPool"): pooled_silence("LpPool", ", p = 1"),
    (MS, "QLinearAveragePool"): pooled_silence(f"{MS}.QLinearAveragePool"),
}

ABSENT: Mapping[str, str] = {pattern.name: op for (_, op), pattern in WINDOWS.items()}
"""Operators that have nothing left to do."""

OPTIONS: Mapping[str, Mapping[str, bool]] = {
    name: {"merge_linear": True}
    for name in ("convolutions_that_are_one", "products_that_are_one", "matrices_that_are_one")
}
"""How patterns are pruned."""

NODES: Mapping[str, int] = {
    "convolutions_that_are_one": -2,
    "products_that_are_one": -2,
    "matrices_that_are_one": -2,
    "constants_into_a_transposed_convolution": 0,
    "constant_into_a_matmul": 0,
    "norm_after_then_unpadded": 0,
}
"""How many nodes more there are afterwards, at most."""

GROUPED = grouped({op: entry_by_entry(op) for op in ENTRY_BY_ENTRY}) | grouped(
    {op: elementwise(op) for op in ELEMENTWISE}
)
CASES: Mapping[Key, Sequence[Pattern]] = {
    key: [*SPECIAL.get(key, ()), *GROUPED.get(key, ()), *([WINDOWS[key]] if key in WINDOWS else [])]
    for key in {**GROUPED, **SPECIAL}
}
"""The cases of every row."""

EARLIER: Mapping[Key, Sequence[Pattern]] = {
    key: [pattern for pattern in CASES[key] if pattern.name.endswith("_of_old") or pattern.name.startswith("flattened")]
    for key in (("", "Softmax"), ("", "LogSoftmax"), ("", "Hardmax"))
}
"""The cases of laws that held before an opset."""
