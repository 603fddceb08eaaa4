"""Rows of the axis table for attention and what stands around it, and for more of onnxruntime's own operators."""

from __future__ import annotations

import numpy as np
import pytest

from tests.traces import (
    IMAGES,
    NOUGHT,
    ONE,
    Cases,
    Fed,
    Trace,
    assert_units_own_their_entries,
    codes,
    ints,
    traces,
)

MS = "com.microsoft"
QUERY, HEADS = (2, 3, 4), (2, 2, 3, 4)
"""Queries of two samples: three tokens of width four; in two heads of that width."""

MASKS = {
    "rank one": Fed((2,), "int32", (1, 2, 3)),
    "ends and starts": Fed((4,), "int32", (0, 1, 2, 3)),
    "of keys": Fed((2, 3), "int32", (0, 1)),
    "of pairs": Fed((2, 3, 3), "int32", (0, 1)),
}
PAST = Fed((2, 2, 2, 5, 2))
WEIGHTS = {"w": (4, 12), "b": (12,)}

EMBEDDED = [
    Trace(
        f"y, m, e = {MS}.EmbedLayerNormalization (x, z, w, p, u, g, h{last})",
        x=(2, 3),
        z=(2, 3),
        dtype="int32",
        values=range(4),
        z_values=range(2),
        weights={"w": (4, 5), "p": (6, 5), "u": (2, 5), "g": (5,), "h": (5,)},
        more=more,
        outputs=("y", "m", "e"),
        spreads=("g", "h"),  # what scales the first result gives its name to the axis, whichever result it is
    )
    for last, more in (
        ("", {}),
        (", k", {"k": Fed((2, 3), "int32", (0, 1))}),
        (", k, i", {"k": Fed((2, 3), "int32", (0, 1)), "i": Fed((2, 3), "int32", range(6))}),
    )
]

ATTENTION: Cases = {
    f"{MS}.Attention": [
        Trace(f"y = {MS}.Attention <num_heads = 2> (x, w, b)", x=QUERY, weights=WEIGHTS),
        Trace(f"y = {MS}.Attention <num_heads = 2, unidirectional = 1> (x, w, b)", x=QUERY, weights=WEIGHTS),
        *(
            Trace(f"y = {MS}.Attention <num_heads = 2> (x, w, b, m)", x=QUERY, weights=WEIGHTS, more={"m": mask})
            for mask in MASKS.values()
        ),
        Trace(
            f"y, present = {MS}.Attention <num_heads = 2> (x, w, b, , p)",
            x=QUERY,
            weights=WEIGHTS,
            more={"p": PAST},
            outputs=("y", "present"),
        ),
        Trace(
            f"y = {MS}.Attention <num_heads = 2> (x, w, b, , , a)",
            x=QUERY,
            weights=WEIGHTS,
            more={"a": Fed((2, 2, 3, 3))},
        ),
    ],
    f"{MS}.MultiHeadAttention": [
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v)", x=QUERY, more={"k": Fed(QUERY), "v": Fed(QUERY)}
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v, b)",
            x=QUERY,
            weights={"b": (12,)},
            more={"k": Fed((2, 5, 4)), "v": Fed((2, 5, 4))},
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2, unidirectional = 1> (x, k, v)",
            x=QUERY,
            more={"k": Fed(QUERY), "v": Fed(QUERY)},
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v, , m)",
            x=QUERY,
            more={"k": Fed(QUERY), "v": Fed(QUERY), "m": MASKS["of keys"]},
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v, , m)",
            x=QUERY,
            more={"k": Fed(QUERY), "v": Fed(QUERY), "m": MASKS["rank one"]},
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v, , , a)",
            x=QUERY,
            more={"k": Fed(QUERY), "v": Fed(QUERY), "a": Fed((2, 2, 3, 3))},
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v, , , a)",
            x=QUERY,
            weights={"a": (1, 2, 3, 3)},
            more={"k": Fed(QUERY), "v": Fed(QUERY)},
        ),
        Trace(
            f"y, pk, pv = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v, , , , p, q)",
            x=QUERY,
            more={"k": Fed(QUERY), "v": Fed(QUERY), "p": Fed((2, 2, 5, 2)), "q": Fed((2, 2, 5, 2))},
            outputs=("y", "pk", "pv"),
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v)",
            x=QUERY,
            more={"k": Fed((2, 2, 5, 2)), "v": Fed((2, 2, 5, 2))},
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x)",
            x=(2, 3, 2, 3, 2),
            weights={"s": ints(0, 0, 4), "a": ints(3)},
            by="q4, k4, v4 = Split <axis = 3, num_outputs = 3> (x)\n q5 = Squeeze (q4, a)\n k5 = Squeeze (k4, a)\n"
            "v5 = Squeeze (v4, a)\n q = Reshape (q5, s)\n k = Reshape (k5, s)\n v = Reshape (v5, s)\n"
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (q, k, v)",
        ),
        Trace(
            f"y = {MS}.MultiHeadAttention <num_heads = 2> (x, z)",
            x=QUERY,
            z=(2, 5, 2, 2, 2),
            weights={"s": ints(0, 0, 4), "a": ints(3)},
            by="k4, v4 = Split <axis = 3, num_outputs = 2> (z)\n k5 = Squeeze (k4, a)\n v5 = Squeeze (v4, a)\n"
            f"k = Reshape (k5, s)\n v = Reshape (v5, s)\n y = {MS}.MultiHeadAttention <num_heads = 2> (x, k, v)",
        ),
    ],
    "Attention": [
        Trace("y = Attention (x, k, v)", x=HEADS, more={"k": Fed((2, 2, 5, 4)), "v": Fed((2, 2, 5, 3))}, opset=23),
        Trace("y = Attention <is_causal = 1> (x, k, v)", x=HEADS, more={"k": Fed(HEADS), "v": Fed(HEADS)}, opset=23),
        Trace("y = Attention (x, k, v)", x=(2, 4, 3, 4), more={"k": Fed(HEADS), "v": Fed(HEADS)}, opset=23),
        Trace(
            "y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, k, v)",
            x=QUERY,
            more={"k": Fed((2, 5, 4)), "v": Fed((2, 5, 6))},
            opset=23,
        ),
        Trace(
            "y = Attention <q_num_heads = 4, kv_num_heads = 2> (x, k, v)",
            x=(2, 3, 8),
            more={"k": Fed(QUERY), "v": Fed(QUERY)},
            opset=23,
        ),
        *(
            Trace(
                "y = Attention (x, k, v, m)",
                x=HEADS,
                more={"k": Fed((2, 2, 5, 4)), "v": Fed((2, 2, 5, 4)), "m": Fed(shape)},
                opset=23,
            )
            for shape in ((3, 5), (2, 2, 3, 5), (2, 1, 3, 5))
        ),
        Trace(
            "y, pk, pv = Attention (x, k, v, , p, q)",
            x=HEADS,
            more={"k": Fed(HEADS), "v": Fed(HEADS), "p": Fed((2, 2, 4, 4)), "q": Fed((2, 2, 4, 4))},
            outputs=("y", "pk", "pv"),
            opset=23,
        ),
        Trace(
            "y, pk, pv, qk = Attention <qk_matmul_output_mode = 1> (x, k, v)",
            x=HEADS,
            more={"k": Fed((2, 2, 5, 4)), "v": Fed((2, 2, 5, 4))},
            outputs=("y", "qk"),
            opset=23,
        ),
        Trace(
            "y = Attention (x, k, v, , , , l)",
            x=HEADS,
            more={"k": Fed((2, 2, 5, 4)), "v": Fed((2, 2, 5, 4)), "l": Fed((2,), "int64", (2, 3, 5))},
            opset=24,
        ),
    ],
    f"{MS}.GroupQueryAttention": [
        Trace(
            f"y, pk, pv = {MS}.GroupQueryAttention <num_heads = 4, kv_num_heads = 2> (x, k, v, , , l, t)",
            x=(2, 3, 32),
            more={"k": Fed((2, 3, 16)), "v": Fed((2, 3, 16)), "l": Fed((2,), "int32", (1, 2))},
            weights={"t": np.array(3, np.int32)},
            outputs=("y", "pk", "pv"),
        ),
        Trace(
            f"y, pk, pv = {MS}.GroupQueryAttention <num_heads = 2, kv_num_heads = 2> (x, , , , , l, t)",
            x=(2, 3, 48),
            more={"l": Fed((2,), "int32", (1, 2))},
            weights={"t": np.array(3, np.int32)},
            outputs=("y", "pk", "pv"),
        ),
    ],
    f"{MS}.QAttention": [
        Trace(
            f"y = {MS}.QAttention <num_heads = 2> (x, w, b, s, s{mask})",
            x=QUERY,
            dtype="uint8",
            weights={"w": codes(4, 12), "b": (12,), "s": np.float32(0.1)},
            more=more,
        )
        for mask, more in (
            ("", {}),
            *((", m", {"m": MASKS[rank]}) for rank in ("rank one", "ends and starts", "of keys")),
        )
    ],
    f"{MS}.EmbedLayerNormalization": [
        *EMBEDDED,
        Trace(
            f"y, m = {MS}.EmbedLayerNormalization (x, , w, p, , g, h)",
            x=(2, 3),
            dtype="int32",
            values=range(4),
            weights={"p": (6, 5), "g": (5,), "h": (5,)},
            more={"w": Fed((4, 5))},
            outputs=("y", "m"),
        ),
    ],
    f"{MS}.RotaryEmbedding": [
        Trace(
            f"y = {MS}.RotaryEmbedding (x, z, c, s)",
            x=shape,
            z=positions,
            z_dtype="int64",
            z_values=range(3),
            weights={"c": (6, 4), "s": (6, 4)},
        )
        for shape in ((2, 3, 8), (2, 2, 3, 8))
        for positions in ((2, 3), (1,))
    ],
}

OWN: Cases = {
    f"{MS}.BiasDropout": [
        Trace(
            f"y, m = {MS}.BiasDropout <seed = 7> (x, w, z, r{flag})",
            z=(2, 3, 4),
            weights={"w": (4,), "r": np.float32(0.5), **training},
            by=f"v = Add (x, w)\n u, m = Dropout <seed = 7> (v, r{flag})\n y = Add (u, z)",
            outputs=("y", "m"),
            spreads=("w",),  # the mask is not made of the bias
        )
        for flag, training in (("", {}), (", t", {"t": np.array(True)}), (", t", {"t": np.array(False)}))
    ],
    f"{MS}.TransposeMatMul": [
        Trace(f"y = {MS}.TransposeMatMul <transA = 1> (x, w)", x=(2, 4, 3), weights={"w": (4, 5)}, born=(2,)),
        Trace(f"y = {MS}.TransposeMatMul <transB = 1> (x, z)", z=(2, 5, 4)),
    ],
    f"{MS}.FusedMatMul": Trace(
        f"y = {MS}.FusedMatMul <transA = 1, transBatchA = 1, transB = 1, transBatchB = 1> (x, z)",
        x=(4, 2, 3),
        z=(5, 2, 4),
    ),
    f"{MS}.ConvTransposeWithDynamicPads": Trace(
        f"y = {MS}.ConvTransposeWithDynamicPads (x, w, p, b)",
        x=IMAGES,
        weights={"w": (3, 5, 2, 2), "p": ints(0, 0, 0, 0), "b": (5,)},
        born=(1,),
    ),
    f"{MS}.MatMulBnb4": Trace(
        f"y = {MS}.MatMulBnb4 <K = 16, N = 4, block_size = 16, quant_type = 1> (x, w, a)",
        x=(2, 3, 16),
        weights={"w": codes(32, 1, most=200), "a": (4,)},
    ),
    f"{MS}.GatherBlockQuantized": [
        Trace(
            f"y = {MS}.GatherBlockQuantized <block_size = 16, quantize_axis = 1, bits = 8> (w, z, s)",
            x=(2,),
            z=(2, 3),
            z_dtype="int64",
            z_values=range(4),
            weights={"w": codes(4, 32, most=200), "s": (4, 2)},
        ),
        Trace(
            f"y = {MS}.GatherBlockQuantized <block_size = 16, quantize_axis = 1> (w, z, s)",
            z=(2, 3),
            z_dtype="int64",
            z_values=range(4),
            weights={"w": codes(4, 16, most=200), "s": (4, 2)},
        ),
    ],
    f"{MS}.GridSample": Trace(
        f"y = {MS}.GridSample (x, z)", x=IMAGES, z=(2, 5, 6, 2), z_values=(-0.9, -0.4, 0.1, 0.5, 0.8)
    ),
    f"{MS}.Trilu": Trace(f"y = {MS}.Trilu (x, k)", x=(3, 3, 3), weights={"k": np.array(0)}),
    f"{MS}.QLinearAveragePool": [
        Trace(
            f"y = {MS}.QLinearAveragePool <kernel_shape = [1, 2], channels_last = {last}> (x, s, o, t, o)",
            x=(2, 4, 5, 3),
            dtype="uint8",
            weights={"s": ONE, "o": NOUGHT, "t": np.float32(1 / 16)},
        )
        for last in (0, 1)
    ],
    f"{MS}.QLinearConv": [
        Trace(
            f"y = {MS}.QLinearConv <channels_last = {last}> (x, s, o, w, s, o, s, o)",
            x=(2, 3, 3, 3),
            dtype="uint8",
            weights={"s": ONE, "o": NOUGHT, "w": codes(5, 3, 1, 2)},
            born=(3 if last else 1,),
        )
        for last in (0, 1)
    ],
    f"{MS}.NhwcMaxPool": Trace(
        f"y = {MS}.NhwcMaxPool <kernel_shape = [1, 2]> (x)", x=(2, 4, 5, 3), dtype="uint8", values=range(200)
    ),
    f"{MS}.QuantizeLinear": Trace(
        f"y = {MS}.QuantizeLinear <axis = 0> (x, w, o)",
        x=(3, 3),
        weights={"w": np.array([0.01, 0.02, 0.03], np.float32), "o": np.array([3, 5, 9], np.uint8)},
    ),
    f"{MS}.QLinearSoftmax": [
        Trace(
            f"y = {MS}.QLinearSoftmax <axis = {axis}, opset = {opset}> (x, s, o, t, o)",
            x=(3, 3, 3),
            dtype="uint8",
            weights={"s": ONE, "o": NOUGHT, "t": np.float32(1 / 256)},
        )
        for axis, opset in ((1, 12), (0, 13), (2, 12))
    ],
}

CASES: Cases = {**ATTENTION, **OWN}


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_each_unit_that_the_table_tells_of_belongs_to_its_own_entries_of_the_weight(name: str, case: Trace) -> None:
    assert_units_own_their_entries(name, case)
