"""Mutations that keep a model a model, more or less: nodes, wires, operators, scopes, types and opsets are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fuzzing.fields import FLOATS, INTEGERS, NAMES

OPERATORS = tuple(sorted({(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas()}))
UNARY = (
    *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid", "Sigmoid", "Tanh", "Neg", "Abs"),
    *("Floor", "Sqrt", "Reciprocal", "Exp", "Log", "Sign", "Softmax", "Hardmax", "Identity", "Not", "Shape", "Size"),
    *("NonZero", "Flatten", "GlobalMaxPool", "GlobalAveragePool", "LpNormalization", "Dropout", "Clip", "Softplus"),
    *(
        "Transpose",
        "Squeeze",
        "ReduceMax",
        "ReduceSum",
        "ArgMax",
        "CumSum",
        "Det",
        "IsNaN",
        "Gelu",
        "Mish",
        "HardSwish",
    ),
    *("QuickGelu", "DynamicQuantizeLinear", "SequenceConstruct", "Optional", "Unique", "RandomNormalLike", "Trilu"),
)
BINARY = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "MatMul", "Gemm", "Where", "Greater", "Less", "Equal", "And"),
    *("Mod", "PRelu", "Gather", "GatherND", "Concat", "Reshape", "Expand", "Tile", "Slice", "Pad", "TopK", "Einsum"),
    *("Conv", "ConvTranspose", "InstanceNormalization", "LayerNormalization", "ScatterElements", "Resize", "OneHot"),
)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those in its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for below in (attribute.g, *attribute.graphs):
                if below.node or below.output:
                    yield from graphs(below)


def mutate(model: onnx.ModelProto, rng: Random) -> None:
    """Change one thing."""
    graph = rng.choice([*graphs(model.graph)])
    if graph.node:
        rng.choice(WAYS)(model, graph, rng)


def _node(graph: onnx.GraphProto, rng: Random) -> onnx.NodeProto:
    return rng.choice(graph.node)


def _names(model: onnx.ModelProto, graph: onnx.GraphProto) -> list[str]:
    """Values that a node of a graph may name."""
    outer = [w.name for w in model.graph.initializer] + [i.name for i in model.graph.input]
    return [*outer, *(i.name for i in graph.input), *(name for node in graph.node for name in node.output)] or [""]


def _remove(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """A node goes; what read it reads its input."""
    index = rng.randrange(len(graph.node))
    gone = onnx.NodeProto()
    gone.CopyFrom(graph.node[index])
    del graph.node[index]
    if gone.input and rng.random() < 0.8:
        for node in graph.node:
            for i, name in enumerate(node.input):
                if name in gone.output:
                    node.input[i] = gone.input[0]
        if graph.output and graph.output[0].name in gone.output:
            graph.node.append(helper.make_node("Identity", [gone.input[0]], [graph.output[0].name]))


def _double(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """A node is there twice, mostly under other names, and is read perhaps."""
    node = onnx.NodeProto()
    node.CopyFrom(_node(graph, rng))
    if rng.random() < 0.9:
        for i, name in enumerate(node.output):
            node.output[i] = f"{name}_2"
    graph.node.append(node)
    if node.output and rng.random() < 0.5:
        _read(graph, node.output[0], rng)


def _read(graph: onnx.GraphProto, name: str, rng: Random) -> None:
    node = _node(graph, rng)
    if node.input:
        node.input[rng.randrange(len(node.input))] = name


def _reconnect(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    _read(graph, rng.choice(_names(model, graph)), rng)


def _swap_inputs(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    node = _node(graph, rng)
    names = [*node.input]
    rng.shuffle(names)
    del node.input[:]
    node.input.extend(names[: rng.randint(0, len(names) + 1)] if rng.random() < 0.3 else names)


def _retype(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """Another operator with the same operands."""
    node = _node(graph, rng)
    domain, name = rng.choice(OPERATORS)
    if rng.random() < 0.6:
        domain, name = "", rng.choice(UNARY if len(node.input) == 1 else BINARY)
    node.op_type, node.domain = name, domain
    if rng.random() < 0.5:
        del node.attribute[:]


def _insert(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """A node behind another, read by all or by some."""
    node, name = _node(graph, rng), f"new{rng.randrange(1000)}"
    if not node.output or not node.output[0]:
        return
    value = node.output[0]
    if rng.random() < 0.6:
        new = helper.make_node(rng.choice(UNARY), [value], [name])
    else:
        new = helper.make_node(rng.choice(BINARY), [value, rng.choice(_names(model, graph))], [name])
    for other in graph.node:
        for i, read in enumerate(other.input):
            if read == value and rng.random() < 0.8:
                other.input[i] = name
    graph.node.append(new)
    if rng.random() < 0.3:
        graph.output.append(helper.make_empty_tensor_value_info(name))


def _attribute(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """An attribute of the operator, with a value of any kind."""
    node = _node(graph, rng)
    try:
        known = [*onnx.defs.get_schema(node.op_type, 18, node.domain).attributes]
    except onnx.defs.SchemaError:
        known = []
    name = rng.choice([*known, *(a.name for a in node.attribute), rng.choice(NAMES)])
    for index in reversed([i for i, a in enumerate(node.attribute) if a.name == name]):
        del node.attribute[index]
    value = rng.choice(
        [
            rng.choice(INTEGERS),
            rng.choice(FLOATS),
            rng.choice(NAMES),
            [rng.choice(INTEGERS[:8]) for _ in range(rng.randrange(1, 5))],
            [rng.choice(FLOATS)],
            [rng.choice(("Relu", "Tanh", "Sigmoid", "Clip", "", "relu"))],
            numpy_helper.from_array(np.array(rng.choice(FLOATS), "f4")),
        ]
    )
    node.attribute.append(helper.make_attribute(name, value))


def _opset(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    entry = rng.choice(model.opset_import)
    entry.version = rng.choice((1, 6, 7, 9, 11, 12, 13, 15, 17, 20, 22, 24, 99, 0, -1))


def _rename(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """A value gets a hostile name wherever it stands."""
    old, new = rng.choice(_names(model, graph)), rng.choice(NAMES)
    for one in graphs(model.graph):
        for node in one.node:
            for names in node.input, node.output:
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new
        for value in (*one.input, *one.output, *one.initializer, *one.value_info):
            if value.name == old:
                value.name = new


def _declare(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """An input or output has another type or shape, or some value is declared."""
    declared = [*graph.input, *graph.output, *graph.value_info]
    if not declared or rng.random() < 0.2:
        declared = [graph.value_info.add(name=rng.choice(_names(model, graph)))]
    value = rng.choice(declared)
    tensor = value.type.tensor_type
    way = rng.randrange(5)
    if way == 0:
        tensor.elem_type = rng.randrange(24)
    elif way == 1 and tensor.shape.dim:
        del tensor.shape.dim[rng.randrange(len(tensor.shape.dim))]
    elif way == 2:
        tensor.shape.dim.add(dim_value=rng.choice((1, 2, 0, -1, 7)))
    elif way == 3 and tensor.shape.dim:
        dim = rng.choice(tensor.shape.dim)
        if rng.random() < 0.5:
            dim.dim_param = rng.choice(("n", "m", "batch", "", "None", "4"))
        else:
            dim.dim_value = rng.choice(INTEGERS)
    else:
        tensor.ClearField("shape")


def _weight(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """A weight is empty, of another type or shape, listed as an input, a Constant, sparse, or away in a file."""
    where = graph if graph.initializer else model.graph
    if not where.initializer:
        return
    index = rng.randrange(len(where.initializer))
    weight = where.initializer[index]
    if weight.data_location == TensorProto.EXTERNAL:
        weight.ClearField("data_location")
        return
    try:
        array = numpy_helper.to_array(weight)
        way = rng.randrange(8)
        if way == 0:
            kind = rng.choice(("f2", "f2", "f8", "f8", "i4", "?"))
            weight.CopyFrom(numpy_helper.from_array(array.astype(kind), weight.name))
        elif way == 1:
            shape = rng.choice(((0, *array.shape), array.shape[:-1], (1, *array.shape), array.shape[::-1], (), (0,)))
            weight.CopyFrom(numpy_helper.from_array(np.resize(array, shape), weight.name))
        elif way == 2:
            where.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
        elif way == 3:
            where.node.append(helper.make_node("Constant", [], [weight.name], value=weight))
            del where.initializer[index]
        elif way == 4:
            _make_sparse(where, index, array, rng)
        elif way == 5:
            weight.ClearField("raw_data")
            weight.data_location = TensorProto.EXTERNAL
            for key, value in ("location", rng.choice(("weights.bin", *NAMES))), ("offset", "0"), ("length", "16"):
                weight.external_data.add(key=key, value=value)
        elif way == 6:
            filled = np.full_like(array, rng.choice(FLOATS) if array.dtype.kind == "f" else 1)
            weight.CopyFrom(numpy_helper.from_array(filled, weight.name))
        else:
            del where.initializer[index]
    except (ValueError, TypeError, OverflowError, KeyError):  # an earlier mutation left no array to speak of
        del where.initializer[index]


def _make_sparse(graph: onnx.GraphProto, index: int, array: np.ndarray, rng: Random) -> None:
    flat = array.reshape(-1)
    at = np.flatnonzero(flat)[: rng.randrange(1, 9)].astype(np.int64)
    if rng.random() < 0.3:
        at = at + rng.choice((-1, 1000))
    sparse = graph.sparse_initializer.add()
    sparse.values.CopyFrom(numpy_helper.from_array(flat[: len(at)], graph.initializer[index].name))
    sparse.indices.CopyFrom(numpy_helper.from_array(at))
    sparse.dims.extend(array.shape)
    del graph.initializer[index]


def _into_scope(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """A node moves into a branch, into the body of a loop, or into a function."""
    index = rng.randrange(len(graph.node))
    node = onnx.NodeProto()
    node.CopyFrom(graph.node[index])
    outputs = [name for name in node.output if name]
    inside = onnx.NodeProto()
    inside.CopyFrom(node)
    way = rng.randrange(3)
    if way == 2:
        function = helper.make_function(
            *("moved", f"f{len(model.functions)}", [*dict.fromkeys(n for n in node.input if n)], outputs, [inside]),
            [*model.opset_import],
        )
        model.functions.append(function)
        if "moved" not in {entry.domain for entry in model.opset_import}:
            model.opset_import.append(helper.make_opsetid("moved", 1))
        call = helper.make_node(function.name, [*function.input], outputs, domain="moved")
        graph.node[index].CopyFrom(call)
        return
    for i, name in enumerate(inside.output):
        inside.output[i] = f"{name}_in" if name else ""
    results = [helper.make_empty_tensor_value_info(f"{name}_in") for name in outputs]
    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(rng.random() < 0.5)))
    if way == 0:
        branch = helper.make_graph([inside], "branch", [], results)
        outer = helper.make_node("If", ["yes"], outputs, then_branch=branch, else_branch=branch)
        graph.node.insert(0, yes)
    else:
        count = numpy_helper.from_array(np.array(rng.choice((0, 1, 3)), np.int64))
        inputs = [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ]
        on = helper.make_node("Identity", ["go"], ["go_on"])
        info = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
        body = helper.make_graph([on, inside], "body", inputs, [info, *results])
        outer = helper.make_node("Loop", ["count", ""], outputs, body=body)
        graph.node.insert(0, helper.make_node("Constant", [], ["count"], value=count))
    graph.node[index + 1].CopyFrom(outer)


def _chain(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """Many nodes in a row behind one value."""
    node = _node(graph, rng)
    if not node.output or not node.output[0]:
        return
    value = f"{node.output[0]}_chained"
    op = rng.choice(("Relu", "Identity", "Neg", "Abs", "Transpose", "Flatten"))
    for i in range(rng.choice((3, 300, 300))):
        graph.node.append(helper.make_node(op, [value], [f"{value}{i}"]))
        value = f"{value}{i}"
    original = node.output[0]
    node.output[0] = f"{original}_chained"
    graph.node.append(helper.make_node("Identity", [value], [original]))


def _shuffle(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    nodes = [*graph.node]
    rng.shuffle(nodes)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _outputs(model: onnx.ModelProto, graph: onnx.GraphProto, rng: Random) -> None:
    """Another value is an output, or an output goes."""
    if graph.output and rng.random() < 0.3:
        del graph.output[rng.randrange(len(graph.output))]
    else:
        graph.output.append(helper.make_empty_tensor_value_info(rng.choice(_names(model, graph))))


WAYS: tuple[Callable[[onnx.ModelProto, onnx.GraphProto, Random], None], ...] = (
    *(_remove, _double, _reconnect, _swap_inputs, _retype, _retype, _insert, _insert, _insert, _attribute, _attribute),
    *(
        _opset,
        _rename,
        _declare,
        _weight,
        _weight,
        _weight,
        _into_scope,
        _into_scope,
        _chain,
        _chain,
        _shuffle,
        _outputs,
    ),
)
