"""Rows of the axis table for less common ONNX operators, and operators that say where the batch is or lose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from relu_audit import audit
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from tests.graphs import chosen_inputs, graph
from tests.oracle import Units, assert_all_agree, one_by_one, oracle, values
from tests.traces import (
    IMAGES,
    NOUGHT,
    QUANTIZED,
    SAMPLES,
    Cases,
    Trace,
    assert_entries_go_where_told,
    assert_units_own_their_entries,
    codes,
    ints,
    traces,
    whole,
)

RECURRENT: Cases = {
    op: [
        Trace(
            f'y, last = {op} <hidden_size = 2, direction = "bidirectional"> (x, w, r, b, z)',
            x=(3, 2, 4),
            z=(2,),
            z_dtype="int32",
            z_values=(1, 2, 3),
            weights={"w": (2, gates * 2, 4), "r": (2, gates * 2, 2), "b": (2, gates * 4)},
            outputs=("y", "last"),
            born=(1, 3),
            spreads=("w", "r"),
        ),
        Trace(
            f"y, last = {op} <hidden_size = 3> (x, w, r, , l, {', '.join(['z'] * states)})",
            x=(1, 2, 4),
            z=(1, 2, 3),
            weights={"w": (1, gates * 3, 4), "r": (1, gates * 3, 3), "l": np.array([1, 1], np.int32)},
            outputs=("y", "last"),
            born=(3,),
            spreads=("l",),
        ),
        Trace(
            f"y, last = {op} <hidden_size = 3> (x, w, r, , , {', '.join(['h'] * states)})",
            x=(1, 2, 4),
            weights={"w": (1, gates * 3, 4), "r": (1, gates * 3, 3), "h": (1, 2, 3)},
            outputs=("y", "last"),
            born=(3,),
        ),
        # onnxruntime refuses this layout; ONNX's reference has it.
        Trace(
            f"y, last = {op} <hidden_size = 3, layout = 1> (x, w, r, , , {', '.join(['z'] * states)})",
            x=(2, 1, 4),
            z=(2, 1, 3),
            weights={"w": (1, gates * 3, 4), "r": (1, gates * 3, 3)},
            outputs=("y", "last"),
            born=(3,),
        ),
    ]
    for op, gates, states in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1))
}

SMALL = "output_height = 2, output_width = 2"

CASES: Cases = {
    **RECURRENT,
    "ConvInteger": [
        Trace("y = ConvInteger (x, w)", x=IMAGES, dtype="uint8", weights={"w": codes(5, 3, 2, 2)}, born=(1,)),
        Trace(
            "y = ConvInteger <group = 2, pads = [1, 1]> (x, w, p, q)",
            x=(2, 4, 5),
            dtype="uint8",
            weights={"w": codes(6, 2, 3), "p": np.uint8(1), "q": NOUGHT},
            born=(1,),
        ),
    ],
    "MatMulInteger": [
        Trace("y = MatMulInteger (x, w)", dtype="uint8", weights={"w": codes(4, 5)}, born=(2,)),
        Trace("y = MatMulInteger (w, x)", dtype="uint8", weights={"w": codes(5, 3)}, born=(1,)),
        Trace(
            "y = MatMulInteger (x, w, p, q)",
            x=(3, 4),
            dtype="uint8",
            weights={"w": codes(4, 5, kind=np.int8), "p": NOUGHT, "q": codes(5, kind=np.int8)},
            born=(1,),
        ),
        Trace("y = MatMulInteger (x, w)", x=(4,), dtype="uint8", weights={"w": codes(4, 5)}, born=(0,)),
        Trace("y = MatMulInteger (x, w)", dtype="uint8", weights={"w": codes(4)}),
        Trace("y = MatMulInteger (w, x)", dtype="uint8", weights={"w": codes(3)}),
        Trace("y = MatMulInteger (x, w)", x=(2, 1, 3, 4), dtype="uint8", weights={"w": codes(6, 4, 5)}, born=(1, 3)),
        Trace("y = MatMulInteger (x, z)", z=(2, 4, 5), dtype="uint8"),
    ],
    "QLinearConv": [
        Trace(
            "y = QLinearConv (x, s, o, w, s, o, s, o, b)",
            x=IMAGES,
            dtype="uint8",
            weights={**QUANTIZED, "w": codes(5, 3, 2, 2), "b": codes(5, kind=np.int32)},
            born=(1,),
        ),
        Trace(
            "y = QLinearConv <group = 2> (x, s, o, w, v, q, s, o)",
            x=(2, 4, 5),
            dtype="uint8",
            weights={
                **QUANTIZED,
                "w": codes(6, 2, 3, kind=np.int8),
                "v": np.ones(6, np.float32),
                "q": np.zeros(6, np.int8),
            },
            born=(1,),
        ),
    ],
    "QLinearMatMul": [
        Trace(f"y = QLinearMatMul ({a}, s, o, {b}, s, o, s, o)", x=x, z=z, dtype="uint8", weights=weights, born=units)
        for a, b, x, z, weights, units in (
            ("x", "w", (3, 4), None, {**QUANTIZED, "w": codes(4, 5)}, (1,)),
            ("x", "w", (2, 3, 4), None, {**QUANTIZED, "w": codes(4, 5)}, (2,)),
            ("w", "x", (2, 3, 4), None, {**QUANTIZED, "w": codes(5, 3)}, (1,)),
            ("x", "w", (2, 1, 3, 4), None, {**QUANTIZED, "w": codes(6, 4, 5)}, (1, 3)),
            ("x", "w", (4,), None, {**QUANTIZED, "w": codes(4, 5)}, (0,)),
            ("x", "w", (2, 3, 4), None, {**QUANTIZED, "w": codes(4)}, ()),
            ("w", "x", (2, 3, 4), None, {**QUANTIZED, "w": codes(3)}, ()),
            ("x", "z", (2, 3, 4), (2, 4, 5), QUANTIZED, ()),
        )
    ]
    + [
        Trace(
            "y = QLinearMatMul (x, s, o, w, v, q, s, o)",
            dtype="uint8",
            weights={
                **QUANTIZED,
                "w": codes(4, 5, kind=np.int8),
                "v": np.ones(5, np.float32),
                "q": np.zeros(5, np.int8),
            },
            born=(2,),
        )
    ],
    "DynamicQuantizeLinear": Trace("y, s, o = DynamicQuantizeLinear (x)", outputs=("y", "s", "o")),
    "CumProd": Trace("y = CumProd (x, a)", weights={"a": np.array(1)}, opset=26),
    "SimplifiedLayerNormalization": Trace("y = SimplifiedLayerNormalization (x, w)", weights={"w": (4,)}),
    "ReverseSequence": [
        Trace("y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, l)", weights={"l": ints(3, 2)}, spreads=("l",)),
        Trace("y = ReverseSequence (x, l)", weights={"l": ints(2, 1, 2)}, spreads=("l",)),
        Trace("y = ReverseSequence (x, z)", x=(4, 3, 2), z=(3,), z_dtype="int64", z_values=range(1, 5)),
    ],
    "RotaryEmbedding": [
        Trace(
            "y = RotaryEmbedding (x, c, s, z)",
            x=(2, 2, 3, 4),
            z=(2, 3),
            z_dtype="int64",
            z_values=range(6),
            weights={"c": (6, 2), "s": (6, 2)},
            opset=23,
        ),
        Trace(
            "y = RotaryEmbedding <num_heads = 2, interleaved = 1> (x, c, s)",
            x=(2, 3, 8),
            weights={"c": (2, 3, 2), "s": (2, 3, 2)},
            opset=23,
        ),
    ],
    "ScatterElements": [
        Trace("y = ScatterElements <axis = 1> (x, i, z)", z=(1, 1, 4), weights={"i": np.full((1, 1, 4), 1)}),
        Trace(
            'y = ScatterElements <axis = -1, reduction = "add"> (x, i, z)',
            z=(2, 3, 2),
            weights={"i": np.tile(ints(3, 0), (2, 3, 1))},
            spreads=("i",),
        ),
    ],
    "ScatterND": [
        Trace("y = ScatterND (x, i, z)", z=(2, 4), weights={"i": np.array([[0, 1], [1, 2]])}),
        Trace("y = ScatterND (x, i, z)", z=(2,), weights={"i": np.array([[0, 1, 3], [1, 2, 0]])}),
    ],
    "TensorScatter": [
        Trace(
            "y = TensorScatter (x, z, i)",
            x=(2, 3, 5, 4),
            z=(2, 3, 2, 4),
            weights={"i": ints(1, 3)},
            opset=24,
            spreads=("i",),
        ),
        Trace(
            'y = TensorScatter <axis = 1, mode = "circular"> (x, z, i)',
            x=(2, 5, 4),
            z=(2, 2, 4),
            weights={"i": ints(4, 2)},
            opset=24,
            spreads=("i",),
        ),
    ],
    "DepthToSpace": [
        Trace(f'{made} <blocksize = 2, mode = "{mode}"> ({given})', x=x, weights=weights, born=units)
        for mode in ("DCR", "CRD")
        for made, given, x, weights, units in (
            ("y = DepthToSpace", "x", (2, 8, 2, 3), {}, ()),
            ("h = Conv (x, w)\n y = DepthToSpace", "h", (2, 3, 2, 3), {"w": (12, 3, 1, 1)}, (1, 2, 3)),
        )
    ],
    "SpaceToDepth": [
        Trace("y = SpaceToDepth <blocksize = 2> (x)", x=(2, 3, 4, 6)),
        Trace(
            "h = Conv (x, w)\n y = SpaceToDepth <blocksize = 2> (h)",
            x=(2, 3, 4, 6),
            weights={"w": (5, 3, 1, 1)},
            born=(1,),
        ),
    ],
    "GatherND": [
        Trace("y = GatherND (x, i)", weights={"i": ints([2], [0])}, x=(3, 4, 2)),
        Trace(
            "y = GatherND <batch_dims = 1> (x, i)",
            weights={"i": ints([[2], [0], [1]], [[1], [2], [0]])},
            spreads=("i",),
        ),
        Trace(
            "h = MatMul (x, w)\n t = Transpose <perm = [2, 0, 1]> (h)\n y = GatherND (t, i)",
            weights={"w": (4, 5), "i": ints([4], [0], [2], [1], [3])},
            born=(0,),
        ),
    ],
    "GatherElements": [
        Trace("y = GatherElements <axis = 1> (x, i)", weights={"i": np.tile(ints(2, 0)[:, None], (2, 1, 4))}),
        Trace("y = GatherElements <axis = -1> (x, i)", weights={"i": np.tile(ints(3, 1), (2, 2, 1))}),
        Trace("y = GatherElements (x, z)", z=(2, 3, 4), z_dtype="int64", z_values=range(2)),
    ],
    "Compress": [
        Trace("y = Compress <axis = 1> (x, c)", weights={"c": np.array([True, False, True])}),
        Trace("y = Compress <axis = -1> (x, c)", weights={"c": np.array([False, True])}),
        Trace("y = Compress (x, c)", weights={"c": np.array([False, True, True])}),
    ],
    "CenterCropPad": [
        Trace("y = CenterCropPad (x, t)", weights={"t": ints(2, 1, 6)}),
        Trace("y = CenterCropPad <axes = [1, -1]> (x, t)", weights={"t": ints(5, 2)}),
    ],
    "MaxUnpool": Trace(
        "p, i = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)\n"
        "y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (p, i)",
        x=(2, 3, 4, 6),
    ),
    "GridSample": [
        Trace("y = GridSample (x, z)", x=IMAGES, z=(2, 5, 6, 2), z_values=(-0.9, -0.4, 0.1, 0.5, 0.8)),
        Trace(
            "h = Conv (x, w)\n y = GridSample (h, g)",
            x=IMAGES,
            weights={"w": (5, 3, 1, 1), "g": (2, 3, 3, 2)},
            born=(1,),
        ),
    ],
    "RoiAlign": [
        Trace(
            f"b = Add (a, z)\n y = RoiAlign <{SMALL}> (x, b, i)",
            x=(2, 3, 6, 6),
            z=(4, 4),
            weights={
                "a": np.array([[0, 0, 5, 5], [1, 1, 4, 4], [0, 1, 3, 5], [1, 0, 5, 5]], np.float32),
                "i": ints(0, 1, 1, 0),
            },
        ),
        Trace(
            f"h = Conv (x, w)\n y = RoiAlign <{SMALL}> (h, b, i)",
            x=(2, 3, 6, 6),
            weights={
                "w": (5, 3, 1, 1),
                "b": np.array([[0, 0, 5, 5], [1, 1, 4, 4], [0, 1, 3, 5]], np.float32),
                "i": ints(0, 1, 1),
            },
            born=(1,),
        ),
    ],
    "MaxRoiPool": [
        Trace(
            "b = Add (a, z)\n y = MaxRoiPool <pooled_shape = [2, 2]> (x, b)",
            x=(2, 3, 6, 6),
            z=(3, 5),
            z_values=(0, 1),
            weights={"a": np.array([[0, 0, 0, 4, 4], [0, 1, 1, 4, 4], [0, 0, 1, 2, 4]], np.float32)},
            spreads=("a",),
        ),
        Trace(
            "h = Conv (x, w)\n y = MaxRoiPool <pooled_shape = [2, 2]> (h, b)",
            x=(2, 3, 6, 6),
            weights={
                "w": (5, 3, 1, 1),
                "b": np.array([[0, 0, 0, 5, 5], [1, 1, 1, 4, 4], [1, 0, 1, 3, 5]], np.float32),
            },
            born=(1,),
            spreads=("b",),
        ),
    ],
}

FORGETS = frozenset(
    {
        *(("GatherElements", "z", axis) for axis in range(3)),  # indices and updates, which come to places in the data
        ("ScatterND", "z", 0),
        *((op, "z", 2) for op in ("LSTM", "GRU", "RNN")),  # a state; what has one step keeps it in place, and no other
    }
)
"""Axes that an operator keeps in place though its row does not say so; it costs speed and not truth."""


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_where_the_table_says_an_axis_goes_its_entries_go(name: str, case: Trace) -> None:
    assert_entries_go_where_told(name, case, forgets=FORGETS)


@pytest.mark.parametrize(("name", "case"), traces(CASES))
def test_each_unit_that_the_table_tells_of_belongs_to_its_own_entries_of_the_weight(name: str, case: Trace) -> None:
    assert_units_own_their_entries(name, case, several=name in RECURRENT)


# Where the batch of an input is --------------------------------------------------------------------------------------

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class Sequences:
    """Inputs of a recurrent operator, what it takes of them, and the axis of each that holds samples."""

    inputs: str
    taken: str
    axes: Mapping[str, int]
    before: str = ""
    ops: tuple[str, ...] = tuple(GATES)

    def model(self, op: str) -> onnx.ModelProto:
        gates = GATES[op]
        weights = {"i": whole(1, gates * 2, 4) / 4, "r": whole(1, gates * 2, 2) / 4, "w": whole(2, 5), "one": ints(1)}
        body = f"{self.before} l, last = {op} <hidden_size = 2> ({self.taken})\n"
        body += "s = Squeeze (l, one)\n h = MatMul (s, w)\n y = Relu (h)"
        return graph(self.inputs, "float[a, b, 5] y", body, weights)

    @property
    def data(self) -> dict[str, np.ndarray]:
        lengths = np.array([1, 2, 3, 3, 2, 1], np.int32)
        kinds = {"x": (whole(3, SAMPLES, 4), 1), "k": (lengths, 0)}
        kinds |= {name: (whole(1, SAMPLES, 2, seed=seed), 1) for seed, name in enumerate(("h0", "c0"), 1)}
        return {name: np.moveaxis(kinds[name][0], kinds[name][1], axis) for name, axis in self.axes.items()}


TURNED = "t = Transpose <perm = [1, 0, 2]> (x)\n"
SEQUENCES = {
    "time first": Sequences("float[t, n, 4] x", "x, i, r", {"x": 1}),
    "time first, of fixed length": Sequences("float[3, n, 4] x", "x, i, r", {"x": 1}),
    "time first, everything open": Sequences("float[t, n, f] x", "x, i, r", {"x": 1}),
    "time first, with lengths": Sequences("float[t, n, 4] x, int32[n] k", "x, i, r, , k", {"x": 1, "k": 0}),
    "time first, with lengths under a name of their own": Sequences(
        "float[t, n, 4] x, int32[m] k", "x, i, r, , k", {"x": 1, "k": 0}
    ),
    "time first, with a state": Sequences("float[t, n, 4] x, float[1, n, 2] h0", "x, i, r, , , h0", {"x": 1, "h0": 1}),
    "states before the time": Sequences(
        "float[1, n, 2] h0, float[1, n, 2] c0, float[t, n, 4] x",
        "x, i, r, , , h0, c0",
        {"x": 1, "h0": 1, "c0": 1},
        ops=("LSTM",),
    ),
    "batch first": Sequences("float[n, t, 4] x", "t, i, r", {"x": 0}, TURNED),
    "batch first, with states": Sequences(
        "float[n, t, 4] x, float[1, n, 2] h0, float[1, n, 2] c0",
        "t, i, r, , , h0, c0",
        {"x": 0, "h0": 1, "c0": 1},
        TURNED,
        ops=("LSTM",),
    ),
    "batch first, with states all open": Sequences(
        "float[n, t, 4] x, float[d, m, 2] h0, float[d, m, 2] c0",
        "t, i, r, , , h0, c0",
        {"x": 0, "h0": 1, "c0": 1},
        TURNED,
        ops=("LSTM",),
    ),
    "states with the batch first, too": Sequences(
        "float[n, t, 4] x, float[n, 1, 2] h0",
        "t, i, r, , , g",
        {"x": 0, "h0": 0},
        f"{TURNED} g = Transpose <perm = [1, 0, 2]> (h0)\n",
        ops=("GRU", "RNN"),
    ),
    "states that the graph makes": Sequences(
        "float[t, n, 4] x",
        "x, i, r, , , g, g",
        {"x": 1},
        "v = Shape <start = 1, end = 2> (x)\n u = Constant <value_ints = [1]> ()\n e = Constant <value_ints = [2]> ()\n"
        "q = Concat <axis = 0> (u, v, e)\n g = ConstantOfShape (q)\n",
        ops=("LSTM",),
    ),
}


@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize(("name", "op"), [(name, op) for name, case in SEQUENCES.items() for op in case.ops])
def test_samples_lie_along_the_axis_that_a_recurrent_operator_takes_for_its_batch(
    name: str, op: str, batch_size: int | None
) -> None:
    case = SEQUENCES[name]
    network = normalize(open_checkpoint(case.model(op)))
    assert {i.name: i.batch_axis for i in chosen_inputs(network)} == case.axes
    truths = oracle(case.model(op), one_by_one(case.data, case.axes), {"y": 2})
    found = audit(case.model(op), case.data, batch_size=batch_size)
    assert [(site.unit_axis, site.assumed, site.weight) for site in found.sites] == [(2, False, "w")]
    assert found.data.samples == SAMPLES
    assert_all_agree(found, truths, exact=False)


@pytest.mark.parametrize("op", GATES)
def test_the_layout_attribute_puts_the_batch_first(op: str) -> None:
    gates = GATES[op]
    weights = {"i": whole(1, gates * 2, 4), "r": whole(1, gates * 2, 2)}
    body = f"l, last = {op} <hidden_size = 2, layout = 1> (x, i, r, , k, h)\n y = Relu (l)"
    model = graph("float[n, t, 4] x, int32[n] k, float[n, 1, 2] h", "float[n, t, 1, 2] y", body, weights)
    network = normalize(open_checkpoint(model))
    assert {i.name: i.batch_axis for i in chosen_inputs(network)} == {"x": 0, "k": 0, "h": 0}


def test_an_input_that_comes_to_no_recurrent_operator_keeps_its_batch() -> None:
    body = "l, last = GRU <hidden_size = 2> (x, i, r)\n s = Squeeze (last, nought)\n h = MatMul (z, w)\n"
    body += "g = Concat <axis = 1> (s, h)\n y = Relu (g)"
    weights = {"i": whole(1, 6, 4), "r": whole(1, 6, 2), "w": whole(4, 5), "nought": ints(0)}
    model = graph("float[t, n, 4] x, float[n, 4] z", "float[n, 7] y", body, weights)
    axes = {"x": 1, "z": 0}
    assert {i.name: i.batch_axis for i in chosen_inputs(normalize(open_checkpoint(model)))} == axes
    data = {"x": whole(3, SAMPLES, 4), "z": whole(SAMPLES, 4)}
    assert_all_agree(audit(model, data), oracle(model, one_by_one(data, axes), {"y": 1}), exact=False)


# Samples that change each other --------------------------------------------------------------------------------------

COUPLED = {
    "DynamicQuantizeLinear": "q, s, o = DynamicQuantizeLinear (x)\n p = MatMulInteger (q, w, o)\n"
    "f = Cast <to = 1> (p)\n h = Mul (f, s)\n y = Relu (h)",
    "DynamicQuantizeLinear there and back": "q, s, o = DynamicQuantizeLinear (x)\n f = DequantizeLinear (q, s, o)\n"
    "v = Cast <to = 1> (w)\n h = MatMul (f, v)\n y = Relu (h)",
    "DynamicQuantizeMatMul": "h = com.microsoft.DynamicQuantizeMatMul (x, w, c)\n y = Relu (h)",
}
LOUDER = (whole(SAMPLES, 3, 4) + np.float32(0.3)) * np.arange(1, SAMPLES + 1, dtype=np.float32)[:, None, None] / 7
"""Samples of different range: quantized together they share the scale of the loudest."""


def coupled(name: str, batch: int | str = "n") -> onnx.ModelProto:
    weights = {"w": whole(4, 5).astype(np.int8), "c": np.float32(0.1)}
    return graph(f"float[{batch}, 3, 4] x", f"float[{batch}, 3, 5] y", COUPLED[name], weights)


@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("name", COUPLED)
def test_samples_that_change_each_other_are_fed_one_at_a_time(name: str, batch_size: int | None) -> None:
    model, data = coupled(name), {"x": LOUDER}
    alone = np.concatenate([one["y"] for one in values(model, one_by_one(data), ["y"])])
    assert not np.allclose(alone, values(model, [data], ["y"])[0]["y"]), "these samples do not change each other"
    found = audit(model, data, batch_size=batch_size)
    assert [(s.unit_axis, s.assumed, s.weight, s.per_run) for s in found.sites] == [(2, False, "w", False)]
    assert found.data.samples == SAMPLES
    assert_all_agree(found, oracle(model, one_by_one(data), {"y": 2}), exact=False)


@pytest.mark.parametrize("name", COUPLED)
def test_samples_that_must_change_each_other_are_counted_per_run(name: str) -> None:
    (site,) = audit(coupled(name, batch=2), {"x": LOUDER}).sites
    assert (site.per_run, site.samples) == (True, SAMPLES // 2)


# Channels that become places, and places that become channels --------------------------------------------------------

REARRANGED: Mapping[str, tuple[str, tuple[int, ...], Units]] = {
    **{
        f"DepthToSpace {mode}": (
            f'd = DepthToSpace <blocksize = 2, mode = "{mode}"> (h)',
            (8, 3, 1, 1),
            lambda value, order=order: np.transpose(value.reshape(-1, 2, 4, 2, 4, 2), order).reshape(-1, 8),
        )
        for mode, order in (("DCR", (0, 2, 4, 3, 5, 1)), ("CRD", (0, 2, 4, 1, 3, 5)))
    },
    "SpaceToDepth": (
        "d = SpaceToDepth <blocksize = 2> (h)",
        (5, 3, 1, 1),
        lambda value: np.moveaxis(value.reshape(-1, 4, 5, 2, 2), 2, -1).reshape(-1, 5),
    ),
}


@pytest.mark.parametrize("name", REARRANGED)
def test_units_are_found_where_channels_and_places_were_exchanged(name: str) -> None:
    node, shape, units = REARRANGED[name]
    model = graph(
        "float[n, 3, 4, 4] x", "float[n, a, b, c] y", f"h = Conv (x, w)\n {node}\n y = Relu (d)", {"w": whole(*shape)}
    )
    data = {"x": whole(SAMPLES, 3, 4, 4)}
    found = audit(model, data)
    assert [(site.unit_axis, site.assumed, site.weight) for site in found.sites] == [(1, False, "w")]
    assert_all_agree(found, oracle(model, one_by_one(data), {"y": units}), exact=False)
