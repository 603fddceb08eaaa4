"""Rows of the axis table by the attributes and operator sets that change them, and of rare operators."""

from __future__ import annotations

import numpy as np
import pytest

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.operators.axes import rule
from relu_audit.operators.layout import BATCH
from relu_audit.units.channels import follow
from tests.graphs import graph
from tests.traces import (
    IMAGES,
    NOUGHT,
    QUANTIZED,
    Cases,
    Fed,
    Trace,
    assert_units_own_their_entries,
    codes,
    ints,
    traces,
)

ML = "ai.onnx.ml"
TOKENS = (2, 3, 4)
CUBE = (3, 3, 3)
"""All axes alike, so that none is told by its length."""


def floats(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


SOFTMAX: Cases = {
    op: [
        *(Trace(f"y = {op} <axis = {axis}> (x)", x=CUBE, opset=13) for axis in (-1, 0, 1)),
        *(Trace(f"y = {op} <axis = {axis}> (x)", x=CUBE, opset=11) for axis in (0, 1, 2, -1)),
        Trace(f"y = {op} (x)", x=CUBE, opset=11),
        Trace(f"y = {op} (x)", x=CUBE, opset=13),
    ]
    for op in ("Softmax", "LogSoftmax", "Hardmax")
}

CUMULATED: Cases = {
    op: [
        Trace(f"y = {op} <{given}> (x, a)", x=CUBE, weights={"a": np.array(axis)}, opset=opset)
        for given in ("exclusive = 0", "exclusive = 1", "reverse = 1", "exclusive = 1, reverse = 1")
        for axis in (0, -1)
    ]
    for op, opset in (("CumSum", 14), ("CumProd", 26))
}

REDUCED: Cases = {
    op: [
        Trace(f"y = {op} <axes = [1], keepdims = 0> (x)", x=CUBE, opset=12 if op == "ReduceSum" else 17),
        Trace(f"y = {op} (x)", x=CUBE, opset=12 if op == "ReduceSum" else 17),
        Trace(f"y = {op} <keepdims = 0> (x)", x=CUBE),
        Trace(f"y = {op} <noop_with_empty_axes = 1> (x)", x=CUBE),
        Trace(f"y = {op} (x, a)", x=CUBE, weights={"a": ints(0, -1)}),
        Trace(f"y = {op} <keepdims = 0> (x, a)", x=CUBE, weights={"a": ints(1)}),
    ]
    for op in (
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    )
}

POOLED: Cases = {
    op: [
        *(
            Trace(f"y = {op} <kernel_shape = [{kernel}], strides = [{strides}]> (x)", x=IMAGES)
            for kernel, strides in (("1, 1", "1, 1"), ("1, 1", "2, 1"), ("1, 2", "1, 1"), ("2, 1", "1, 2"))
        ),
        Trace(f"y = {op} <kernel_shape = [3], pads = [1, 1]> (x)", x=TOKENS),
        Trace(f"y = {op} <kernel_shape = [1, 1, 2], strides = [1, 1, 2]> (x)", x=(2, 2, 3, 3, 4)),
        Trace(f'y = {op} <kernel_shape = [2, 2], auto_pad = "SAME_UPPER"> (x)', x=IMAGES),
    ]
    for op in ("AveragePool", "LpPool", "MaxPool")
}

NORMALISED: Cases = {
    "BatchNormalization": [
        *(
            Trace("y = BatchNormalization (x, w, b, m, v)", x=IMAGES, weights=dict.fromkeys("wbmv", (3,)), opset=opset)
            for opset in (7, 9, 14, 15)
        ),
        Trace(
            "y = BatchNormalization <spatial = 0> (x, w, b, m, v)",
            x=IMAGES,
            weights=dict.fromkeys("wbmv", (3, 4, 4)),
            opset=7,
        ),
        *(
            Trace(
                "y, a, c, d, e = BatchNormalization (x, w, b, m, v)",
                x=IMAGES,
                weights=dict.fromkeys("wbmv", (3,)),
                opset=opset,
            )
            for opset in (7, 9)
        ),
        Trace(
            "y, rm, rv = BatchNormalization <training_mode = 1> (x, w, b, m, v)",
            x=IMAGES,
            weights=dict.fromkeys("wbmv", (3,)),
            opset=15,
        ),
        Trace(
            "y, rm, rv = BatchNormalization <training_mode = 1> (x, w, b, m, v)",
            x=(4, 3),
            weights=dict.fromkeys("wbmv", (3,)),
            opset=14,
        ),
        Trace(
            "y = BatchNormalization <training_mode = 0> (x, w, b, m, v)", x=(4, 3), weights=dict.fromkeys("wbmv", (3,))
        ),
    ],
    "InstanceNormalization": Trace("y = InstanceNormalization (x, w, b)", x=TOKENS, weights=dict.fromkeys("wb", (3,))),
    "GroupNormalization": [
        Trace(
            f"y = GroupNormalization <num_groups = {groups}> (x, w, b)",
            x=(2, 4, 3, 2),
            weights=dict.fromkeys("wb", (4,)),
            opset=21,
        )
        for groups in (1, 2)
    ],
    "LayerNormalization": [
        Trace(f"y = LayerNormalization <axis = {axis}> (x, w)", x=CUBE, weights={"w": (3,) * width})
        for axis, width in ((0, 3), (1, 2), (-1, 1), (-2, 2))
    ],
    "RMSNormalization": [
        Trace(f"y = RMSNormalization <axis = {axis}> (x, w)", x=CUBE, weights={"w": (3,) * width}, opset=23)
        for axis, width in ((0, 3), (-2, 2))
    ],
    "SimplifiedLayerNormalization": Trace(
        "y = SimplifiedLayerNormalization <axis = 1> (x, w)", x=CUBE, weights={"w": (3, 3)}
    ),
    "LRN": Trace("y = LRN <size = 5> (x)", x=(2, 6, 3, 3)),
    "LpNormalization": [
        *(Trace(f"y = LpNormalization <axis = {axis}, p = {p}> (x)", x=CUBE) for axis in (0, -1) for p in (1, 2)),
        Trace("y = LpNormalization (x)", x=CUBE),
    ],
    "MeanVarianceNormalization": [
        Trace("y = MeanVarianceNormalization <axes = [0, 2]> (x)", x=CUBE, opset=13),
        Trace("y = MeanVarianceNormalization <axes = [1, 2, 3]> (x)", x=IMAGES, opset=9),
    ],
    f"{ML}.Normalizer": [
        Trace(f'y = {ML}.Normalizer <norm = "{norm}"> (x)', x=(3, 4), values=(-3, -2, -1, 1, 2, 4))
        for norm in ("L1", "L2", "MAX")
    ],
}

SORTED: Cases = {
    "TopK": [
        *(
            Trace(f"y, where = TopK <axis = {axis}> (x, k)", x=CUBE, weights={"k": ints(2)}, outputs=("y", "where"))
            for axis in (0, 1, -1)
        ),
        Trace("y, where = TopK <axis = 1, largest = 0> (x, k)", x=CUBE, weights={"k": ints(3)}, outputs=("y", "where")),
    ],
    **{
        op: [
            Trace(f"y = {op} <axis = 1, select_last_index = 1> (x)", x=CUBE),
            Trace(f"y = {op} <keepdims = 0> (x)", x=CUBE),
        ]
        for op in ("ArgMax", "ArgMin")
    },
}


def scaled(*numbers: float) -> dict[str, np.ndarray]:
    return {"s": floats(*numbers)}


SQUARE = (4, 4, 4, 4)
RESIZED: Cases = {
    "Resize": [
        *(
            Trace(f'y = Resize <mode = "{mode}"> (x, , s)', x=SQUARE, weights=scaled(*scales))
            for mode in ("nearest", "linear", "cubic")
            for scales in ((1, 1, 2, 2), (1, 1, 1, 2))
        ),
        *(
            Trace(f'y = Resize <mode = "{mode}"> (x, , s)', x=SQUARE, weights=scaled(*scales))
            for mode, scales in (
                ("nearest", (2, 1, 1, 1)),
                ("nearest", (1, 0.5, 1, 1)),
                ("nearest", (1, 2, 2, 1)),
            )
        ),
        *(
            Trace(f'y = Resize <mode = "{mode}"> (x, , , t)', x=SQUARE, weights={"t": ints(*sizes)})
            for mode, sizes in (
                ("nearest", (4, 4, 6, 4)),
                ("nearest", (4, 3, 4, 4)),
                ("linear", (4, 4, 6, 4)),
            )
        ),
        Trace('y = Resize <mode = "linear", axes = [3, 2]> (x, , s)', x=SQUARE, weights=scaled(1, 2)),
        Trace("y = Resize <axes = [0]> (x, , , t)", x=SQUARE, weights={"t": ints(6)}),
        Trace(
            'y = Resize <axes = [2, 3], keep_aspect_ratio_policy = "not_larger"> (x, , , t)',
            x=SQUARE,
            weights={"t": ints(4, 3)},
        ),
        Trace(
            'y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize"> (x, r, s)',
            x=SQUARE,
            weights={**scaled(1, 1, 2, 2), "r": floats(0, 0, 0.4, 0, 1, 1, 1, 1)},
            opset=13,
        ),
        Trace('y = Resize <mode = "linear"> (x, s)', x=SQUARE, weights=scaled(1, 1, 2, 1), opset=10),
        Trace('y = Resize <mode = "linear", antialias = 1> (x, , s)', x=SQUARE, weights=scaled(1, 1, 0.5, 1)),
    ],
    "Upsample": [
        *(
            Trace(f'y = Upsample <mode = "{mode}"> (x, s)', x=IMAGES, weights=scaled(1, 1, 2, 2), opset=9)
            for mode in ("nearest", "linear")
        ),
        Trace("y = Upsample (x, s)", x=SQUARE, weights=scaled(2, 1, 1, 1), opset=9),
        Trace('y = Upsample <mode = "linear", scales = [1.0, 1.0, 2.0, 1.0]> (x)', x=IMAGES, opset=7),
    ],
}

NARROW = {"w": (5, 3, 1, 1)}
WINDOWS: Cases = {
    "Conv": [
        Trace("y = Conv (x, w)", x=IMAGES, weights=NARROW, born=(1,)),
        Trace("y = Conv <kernel_shape = [1, 1]> (x, z)", x=IMAGES, z=(5, 3, 1, 1)),
        Trace("y = Conv (x, z)", x=IMAGES, z=(5, 3, 2, 1)),
        Trace("y = Conv <strides = [2, 1]> (x, w)", x=IMAGES, weights=NARROW, born=(1,)),
        Trace("y = Conv <pads = [0, 1, 0, 1]> (x, w)", x=IMAGES, weights=NARROW, born=(1,)),
        Trace("y = Conv (x, w)", x=IMAGES, weights={"w": (5, 3, 1, 3)}, born=(1,)),
        Trace('y = Conv <auto_pad = "SAME_LOWER"> (x, w)', x=IMAGES, weights={"w": (5, 3, 3, 1)}, born=(1,)),
    ],
    "ConvTranspose": [
        Trace("y = ConvTranspose (x, w)", x=IMAGES, weights={"w": (3, 5, 1, 1)}, born=(1,)),
        Trace("y = ConvTranspose <strides = [1, 2]> (x, w)", x=IMAGES, weights={"w": (3, 5, 1, 3)}, born=(1,)),
    ],
    "ConvInteger": Trace(
        "y = ConvInteger (x, w)", x=IMAGES, dtype="uint8", weights={"w": codes(5, 3, 1, 1)}, born=(1,)
    ),
    "QLinearConv": Trace(
        "y = QLinearConv (x, s, o, w, s, o, s, o)",
        x=IMAGES,
        dtype="uint8",
        weights={**QUANTIZED, "w": codes(5, 3, 1, 1)},
        born=(1,),
    ),
    "DeformConv": [
        Trace(
            "y = DeformConv (x, w, z, , k)",
            x=IMAGES,
            z=(2, 8, 3, 3),
            more={"k": Fed((2, 4, 3, 3))},
            weights={"w": (5, 3, 2, 2)},
            opset=19,
            born=(1,),
        ),
        Trace("y = DeformConv (x, w, z)", x=IMAGES, z=(2, 2, 4, 4), weights=NARROW, opset=19, born=(1,)),
    ],
    "GridSample": [
        Trace(
            f'y = GridSample <mode = "{mode}"> (x, z)',
            x=IMAGES,
            z=(2, 5, 6, 2),
            z_values=(-0.9, -0.4, 0.1, 0.5),
            opset=20,
        )
        for mode in ("nearest", "cubic")
    ],
}

RECURRENT: Cases = {
    op: [
        Trace(
            f'y, last = {op} <hidden_size = 2, direction = "{direction}"> (x, w, r)',
            x=(3, 2, 4),
            weights={"w": (1, gates * 2, 4), "r": (1, gates * 2, 2)},
            outputs=("y", "last"),
            born=(3,),
            spreads=("w", "r"),
        )
        for direction in ("forward", "reverse")
    ]
    + [
        Trace(
            f"y, last = {op} <hidden_size = 2, layout = 1> (x, w, r, b, , {', '.join(['z'] * states)})",
            x=(2, 3, 4),
            z=(2, 1, 2),
            weights={"w": (1, gates * 2, 4), "r": (1, gates * 2, 2), "b": (1, gates * 4)},
            outputs=("y", "last"),
            born=(3,),
            spreads=("w", "r"),
        ),
        Trace(
            f"y, last = {op} <hidden_size = 2> (x, w, r, , k, {', '.join(['z'] * states)})",
            x=(3, 2, 4),
            z=(1, 2, 2),
            more={"k": Fed((2,), "int32", (1, 2, 3))},
            weights={"w": (1, gates * 2, 4), "r": (1, gates * 2, 2)},
            outputs=("y", "last"),
            born=(3,),
            spreads=("w", "r"),
        ),
    ]
    for op, gates, states in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1))
}

MOVED: Cases = {
    "Gemm": [
        Trace("y = Gemm (x, w, z)", x=(3, 4), z=(3, 5), weights={"w": (4, 5)}, born=(1,)),
        Trace("y = Gemm (x, w, z)", x=(3, 4), z=(3, 1), weights={"w": (4, 5)}, born=(1,)),
        Trace("y = Gemm <transA = 1> (x, w, b)", x=(4, 3), weights={"w": (4, 5), "b": (3, 5)}, born=(1,)),
        Trace("y = Gemm (x, w, b)", x=(3, 4), weights={"w": (4, 5), "b": (1, 5)}, born=(1,)),
        Trace("y = Gemm (x, w, z)", x=(3, 4), z=(5,), weights={"w": (4, 5)}, born=(1,)),
    ],
    "Einsum": [
        Trace('y = Einsum <equation = "ii->i"> (x)', x=(4, 4)),
        Trace('y = Einsum <equation = "cii->c"> (x)', x=CUBE),
        Trace('y = Einsum <equation = "cij,cjk->cik"> (x, z)', x=CUBE, z=(3, 3, 5)),
        Trace('y = Einsum <equation = "ij,ij->i"> (x, z)', x=(3, 4), z=(3, 4)),
        Trace('y = Einsum <equation = "...ij->...ji"> (x)', x=TOKENS),
        Trace('y = Einsum <equation = "...ij,jk"> (x, w)', x=TOKENS, weights={"w": (TOKENS[-1], 5)}, born=(2,)),
        Trace('y = Einsum <equation = "i,j->ij"> (x, z)', x=(3,), z=(4,)),
        Trace('y = Einsum <equation = "ij->"> (x)', x=(3, 4)),
    ],
    "Trilu": [
        Trace("y = Trilu <upper = 0> (x)", x=CUBE),
        Trace("y = Trilu (x, k)", x=CUBE, weights={"k": np.array(1)}),
    ],
    "Tile": [
        Trace("y = Tile (x, r)", x=CUBE, weights={"r": ints(2, 1, 1)}),
        Trace("y = Tile (x, r)", x=CUBE, weights={"r": ints(1, 1, 3)}),
    ],
    "Pad": [
        Trace(f'y = Pad <mode = "{mode}"> (x, p)', x=CUBE, weights={"p": ints(0, 1, 0, 0, 0, 1)})
        for mode in ("constant", "edge", "reflect")
    ]
    + [
        Trace("y = Pad (x, p)", x=CUBE, weights={"p": ints(1, 0, 0, -1, 0, 0)}),
        Trace("y = Pad (x, p, , a)", x=CUBE, weights={"p": ints(1, -1), "a": ints(-2)}),
    ],
    "Slice": Trace(
        "y = Slice (x, a, b, c, d)",
        x=CUBE,
        weights={"a": ints(-1, 0), "b": ints(-9, 2**31 - 1), "c": ints(0, 1), "d": ints(-1, 1)},
    ),
    "Expand": Trace("y = Expand (x, s)", x=(3, 1), weights={"s": ints(2, 1, 4)}),
    "Gather": Trace("y = Gather (x, z)", x=CUBE, z=(4, 2), z_dtype="int64", z_values=range(3)),
    "GatherND": [
        Trace("y = GatherND (x, z)", x=CUBE, z=(4, 2), z_dtype="int64", z_values=range(3)),
        Trace("y = GatherND <batch_dims = 1> (x, z)", x=CUBE, z=(3, 1), z_dtype="int64", z_values=range(3)),
    ],
    "GatherElements": Trace("y = GatherElements (x, z)", x=CUBE, z=(2, 3, 2), z_dtype="int64", z_values=range(3)),
    "Scatter": Trace(
        "y = Scatter <axis = 1> (x, i, z)", x=CUBE, z=(3, 1, 3), weights={"i": np.full((3, 1, 3), 1)}, opset=10
    ),
    "ScatterElements": [
        Trace(
            f'y = ScatterElements <axis = 1, reduction = "{how}"> (x, z, u)',
            x=CUBE,
            z=(3, 2, 3),
            z_dtype="int64",
            z_values=range(3),
            more={"u": Fed((3, 2, 3))},
        )
        for how in ("add", "max")
    ]
    + [
        Trace(
            'y = ScatterElements <reduction = "add"> (x, z, u)',
            x=CUBE,
            z=(2, 3, 2),
            z_dtype="int64",
            z_values=range(3),
            more={"u": Fed((2, 3, 2))},
        )
    ],
    "ScatterND": [
        Trace(
            'y = ScatterND <reduction = "add"> (x, z, u)',
            x=CUBE,
            z=(4, 1),
            z_dtype="int64",
            z_values=range(3),
            more={"u": Fed((4, 3, 3))},
        ),
        Trace(
            'y = ScatterND <reduction = "max"> (x, z, u)',
            x=CUBE,
            z=(2, 2, 2),
            z_dtype="int64",
            z_values=range(3),
            more={"u": Fed((2, 2, 3))},
        ),
    ],
    "TensorScatter": Trace(
        "y = TensorScatter (x, z, k)", x=(2, 5, 4), z=(2, 2, 4), more={"k": Fed((2,), "int64", range(4))}, opset=24
    ),
    "ReverseSequence": Trace(
        "y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, z)",
        x=(3, 4, 2),
        z=(3,),
        z_dtype="int64",
        z_values=range(1, 5),
    ),
    "RotaryEmbedding": [
        Trace(
            "y = RotaryEmbedding <interleaved = 1, rotary_embedding_dim = 2> (x, c, s, z)",
            x=(2, 2, 3, 4),
            z=(2, 3),
            z_dtype="int64",
            z_values=range(6),
            weights={"c": (6, 1), "s": (6, 1)},
            opset=23,
        ),
        Trace("y = RotaryEmbedding (x, z, s)", x=(2, 2, 3, 4), z=(2, 3, 2), weights={"s": (2, 3, 2)}, opset=23),
    ],
    "QuantizeLinear": [
        Trace(
            f"y = QuantizeLinear <axis = {axis}> (x, w, o)",
            x=CUBE,
            weights={"w": floats(0.01, 0.02, 0.03), "o": np.array([3, 5, 9], np.uint8)},
        )
        for axis in (0, 1, -1)
    ]
    + [
        Trace(
            "y = QuantizeLinear <axis = 1, block_size = 2> (x, w)",
            x=(3, 4),
            weights={"w": np.array([[0.01, 0.02], [0.03, 0.05], [0.02, 0.04]], np.float32)},
            opset=21,
        ),
        Trace(
            "y = QuantizeLinear (x, z, o)", x=CUBE, z=(3,), z_values=(0.01, 0.02), weights={"o": np.zeros(3, np.uint8)}
        ),
    ],
    "DequantizeLinear": [
        Trace(
            f"y = DequantizeLinear <axis = {axis}> (x, w, o)",
            x=CUBE,
            dtype="uint8",
            weights={"w": floats(0.1, 0.2, 0.3), "o": np.array([1, 2, 3], np.uint8)},
        )
        for axis in (0, -2)
    ]
    + [
        Trace("y = DequantizeLinear (x, w, o)", x=CUBE, dtype="uint8", weights={"w": floats(0.1), "o": NOUGHT}),
        Trace(
            "y = DequantizeLinear <axis = 0, block_size = 2> (x, w)",
            x=(4, 3),
            dtype="uint8",
            weights={"w": np.array([[0.1, 0.2, 0.3], [0.3, 0.5, 0.1]], np.float32)},
            opset=21,
        ),
    ],
    "CenterCropPad": Trace("y = CenterCropPad <axes = [0]> (x, t)", x=CUBE, weights={"t": ints(5)}),
    "MaxPool": Trace("y, where = MaxPool <kernel_shape = [2, 2]> (x)", x=IMAGES, outputs=("y", "where")),
}

MADE: Cases = {
    "EyeLike": Trace("y = EyeLike (x)", x=(3, 4)),
    "OneHot": [
        Trace(
            f"y = OneHot{axis} (x, d, v)",
            x=(2, 3),
            dtype="int64",
            values=range(4),
            weights={"d": ints(4), "v": floats(0, 1)},
        )
        for axis in ("", " <axis = 0>", " <axis = 1>", " <axis = -2>")
    ],
    "NonZero": Trace("y = NonZero (x)", x=(3, 4), values=(0, 1)),
    "Range": [
        Trace(
            "y = Range (a, x, b)", x=(), dtype="int64", values=(3, 4, 5), weights={"a": np.array(0), "b": np.array(1)}
        ),
        Trace("y = Range (a, x, b)", x=(), values=(3, 4, 5), weights={"a": np.float32(2), "b": np.float32(0.5)}),
    ],
    "ConstantOfShape": Trace("y = ConstantOfShape (x)", x=(2,), dtype="int64", values=(2, 3)),
    "Dropout": [
        Trace(
            "y, m = Dropout <seed = 7> (x, r, t)",
            weights={"r": np.float32(0.5), "t": np.array(True)},
            outputs=("y", "m"),
            opset=13,
        ),
        Trace("y = Dropout <seed = 7> (x, r, t)", weights={"r": np.float32(0.5), "t": np.array(False)}, opset=12),
        Trace("y = Dropout (x)", opset=12),
        Trace("y = Dropout <ratio = 0.5> (x)", opset=10),
    ],
    "Bernoulli": Trace("y = Bernoulli <seed = 7.0> (x)"),
    "RandomNormalLike": Trace("y = RandomNormalLike <seed = 7.0> (x)"),
    "RandomUniformLike": Trace("y = RandomUniformLike <seed = 7.0> (x)"),
    "Multinomial": Trace("y = Multinomial <sample_size = 5, seed = 7.0> (x)", x=(3, 40)),
}

BOTH = (
    "nodes_treeids = [0, 0, 0, 1, 1, 1], nodes_nodeids = [0, 1, 2, 0, 1, 2], nodes_featureids = [1, 0, 0, 3, 0, 0],"
    ' nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],'
    " nodes_values = [0.5, 0.0, 0.0, 0.4, 0.0, 0.0], nodes_truenodeids = [1, 0, 0, 1, 0, 0],"
    " nodes_falsenodeids = [2, 0, 0, 2, 0, 0]"
)
LEAVES = (
    "treeids = [0, 0, 1, 1], {0}_nodeids = [1, 2, 1, 2], {0}_ids = [0, 1, 1, 0], {0}_weights = [0.3, 0.9, 0.2, 0.7]"
)
LABELS = "classlabels_ints = [0, 1, 2], coefficients = [0.3, -0.4, 0.5, 0.2, 0.6, 0.1, -0.7, 0.2, 0.9, 0.8, -0.5, 0.4]"
VECTORS = 'n_supports = 2, rho = [0.1], kernel_type = "RBF", kernel_params = [0.5, 0.0, 3.0]'

LEARNT: Cases = {
    f"{ML}.LinearRegressor": Trace(
        f"y = {ML}.LinearRegressor <targets = 2, coefficients = [0.3, -0.4, 0.5, 0.2, 0.6, 0.1, -0.7, 0.2],"
        " intercepts = [0.1, 0.2]> (x)",
        x=(3, 4),
    ),
    f"{ML}.LinearClassifier": Trace(
        f"q, y = {ML}.LinearClassifier <{LABELS}, intercepts = [0.1, 0.2, 0.3]> (x)", x=(3, 4)
    ),
    f"{ML}.SVMRegressor": Trace(
        f"y = {ML}.SVMRegressor <{VECTORS}, coefficients = [0.7, -0.4],"
        " support_vectors = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]> (x)",
        x=(3, 4),
    ),
    f"{ML}.SVMClassifier": Trace(
        f"q, y = {ML}.SVMClassifier <classlabels_ints = [0, 1], vectors_per_class = [1, 1], coefficients = [0.7, -0.4],"
        ' support_vectors = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], rho = [0.1], kernel_type = "RBF",'
        " kernel_params = [0.5, 0.0, 3.0]> (x)",
        x=(3, 4),
    ),
    f"{ML}.TreeEnsembleRegressor": Trace(
        f"y = {ML}.TreeEnsembleRegressor <n_targets = 2, {BOTH}, target_{LEAVES.format('target')}> (x)", x=(3, 4)
    ),
    f"{ML}.TreeEnsembleClassifier": Trace(
        f"q, y = {ML}.TreeEnsembleClassifier <classlabels_int64s = [0, 1], {BOTH}, class_{LEAVES.format('class')}> (x)",
        x=(3, 4),
    ),
    f"{ML}.TreeEnsemble": Trace(
        f"y = {ML}.TreeEnsemble <n_targets = 2, nodes_splits = float[2] {{0.5, 0.4}}, nodes_modes = uint8[2] {{0, 0}},"
        " nodes_featureids = [1, 3], nodes_truenodeids = [0, 2], nodes_trueleafs = [1, 1], nodes_falsenodeids = [1, 3],"
        " nodes_falseleafs = [1, 1], leaf_targetids = [0, 1, 1, 0], leaf_weights = float[4] {0.3, 0.9, 0.2, 0.7},"
        " tree_roots = [0, 1]> (x)",
        x=(3, 4),
        ml=5,
    ),
    f"{ML}.LabelEncoder": Trace(
        f"y = {ML}.LabelEncoder <keys_int64s = [0, 1, 2, 3], values_floats = [0.5, 0.1, 0.7, 0.2]> (x)",
        dtype="int64",
        values=range(4),
    ),
    f"{ML}.CategoryMapper": Trace(
        f'q = {ML}.CategoryMapper <cats_int64s = [0, 1, 2], cats_strings = ["a", "c", "d"]> (x)\n'
        f'y = {ML}.CategoryMapper <cats_int64s = [5, 7, 9], cats_strings = ["a", "c", "d"]> (q)',
        dtype="int64",
        values=range(3),
    ),
    f"{ML}.OneHotEncoder": Trace(
        f"y = {ML}.OneHotEncoder <cats_int64s = [0, 1, 2]> (x)", x=(2, 3), dtype="int64", values=range(3)
    ),
    f"{ML}.FeatureVectorizer": Trace(
        f"y = {ML}.FeatureVectorizer <inputdimensions = [2, 3]> (x, z)", x=(4, 2), z=(4, 3)
    ),
    f"{ML}.ArrayFeatureExtractor": [
        Trace(f"y = {ML}.ArrayFeatureExtractor (x, i)", x=(3, 4), weights={"i": ints(2, 0)}),
        Trace(f"y = {ML}.ArrayFeatureExtractor (x, i)", weights={"i": ints(2, 0, 1)}),
    ],
}

GROUPS: tuple[Cases, ...] = (
    SOFTMAX,
    CUMULATED,
    REDUCED,
    POOLED,
    NORMALISED,
    SORTED,
    RESIZED,
    WINDOWS,
    RECURRENT,
    MOVED,
    MADE,
    LEARNT,
)


def _all() -> Cases:
    names = {name: None for group in GROUPS for name in group}
    found: dict[str, list[Trace]] = {name: [] for name in names}
    for group in GROUPS:
        for name, cases in group.items():
            found[name] += [cases] if isinstance(cases, Trace) else cases
    return found


CASES: Cases = _all()

NO_ENTRIES = (
    "Dropout",
    "Bernoulli",
    "EyeLike",
    "Multinomial",
    "NonZero",
    "RandomNormalLike",
    "RandomUniformLike",
    "Range",
    "ConstantOfShape",
)
"""Operators whose results are not made of their operands' entries one by one; the tests of origins try them."""

FOLLOWED = {name: cases for name, cases in CASES.items() if name not in NO_ENTRIES}


@pytest.mark.parametrize(("name", "case"), traces(FOLLOWED))
def test_each_unit_that_the_table_tells_of_belongs_to_its_own_entries_of_the_weight(name: str, case: Trace) -> None:
    assert_units_own_their_entries(name, case, several=name in RECURRENT)


def test_an_axis_that_is_there_once_is_untouched_whatever_is_known_of_its_length() -> None:
    model = graph(
        "float[a, c, 4] x, float[1, 1, 4] z",
        "float[d, e, f] y",
        "h = Add (x, z)\n y = Tile (h, r)",
        {"r": ints(1, 2, 1)},
    )
    for value in (*model.graph.input[:1], *model.graph.output):
        for dim in value.type.tensor_type.shape.dim[:2]:
            dim.ClearField("dim_param")
    layouts = {v.name: layout for v, layout in follow(normalize(open_checkpoint(model)), rule, {"x": 0}).items()}
    assert [[factor.letter == BATCH for factor in axis] for axis in layouts["y"]] == [[True], [False], [False]]
