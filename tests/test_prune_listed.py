"""Initializers among the inputs: what a caller has to feed never changes, and what cannot be fed any more is told."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - the models as their users run them
import pytest
from onnx import helper, numpy_helper

import relu_audit
from tests.graphs import graph, mlp
from tests.prune_checks import assert_same_function

DEAD = {0: (1, 4), 1: (0, 3, 5)}
DATA = {"x": np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)}
ALL = ("w0", "b0", "w1", "b1", "w2", "b2")


def listing(names: Collection[str], ir: int, *, first: bool = False) -> onnx.ModelProto:
    """Three layers, of which the first two have dead units, with some weights listed among the inputs."""
    model = mlp((6, 8, 8, 3), dead=DEAD)
    model.ir_version = ir
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 8 if ir == 3 else 17))
    held = [
        helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in model.graph.initializer if w.name in names
    ]
    inputs = [*held, *model.graph.input] if first else [*model.graph.input, *held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def pruned(model: onnx.ModelProto, **options: object) -> relu_audit.Pruned:
    audit = relu_audit.audit(model, DATA)
    assert [len(site.dead) for site in audit.sites] == [2, 3]
    return relu_audit.prune(model, audit, data=DATA, align=1, **options)  # type: ignore[arg-type]


def opened(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def to_feed(model: onnx.ModelProto) -> list[tuple[str, str, list[object]]]:
    return [(one.name, one.type, one.shape) for one in opened(model).get_inputs()]


def overridable(model: onnx.ModelProto) -> list[str]:
    return [one.name for one in opened(model).get_overridable_initializers()]


@pytest.mark.parametrize("first", [False, True], ids=["behind", "in front"])
@pytest.mark.parametrize("ir", [3, 4, 8])
@pytest.mark.parametrize("names", [(), ALL, ("w1",), ("w1", "b1", "w2", "b2")], ids=["none", "all", "one", "some"])
def test_what_has_to_be_fed_stays_what_it_was(names: tuple[str, ...], ir: int, first: bool) -> None:
    if ir == 3 and names != ALL:
        pytest.skip("the old format lists all of them")
    model = listing(names, ir, first=first)
    result = pruned(model).model
    onnx.checker.check_model(result, full_check=True)
    assert to_feed(result) == to_feed(model)
    assert_same_function(model, result, [DATA], limit=1e-5)


def test_in_the_old_format_all_weights_are_listed_again_as_they_are_now() -> None:
    model = listing(ALL, 3)
    done = pruned(model)
    assert len(done.plan.removed) == 5
    shapes = {w.name: list(w.dims) for w in done.model.graph.initializer}
    told = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in done.model.graph.input[1:]}
    assert told == shapes
    assert [i.name for i in done.model.graph.input] == [i.name for i in model.graph.input]
    assert done.plan.fixed == ()
    assert overridable(model) == overridable(done.model) == []


@pytest.mark.parametrize("ir", [4, 8])
def test_what_changed_can_no_longer_be_fed_and_is_named(ir: int) -> None:
    model = listing(ALL, ir)
    done = pruned(model)
    assert len(done.plan.removed) == 5
    assert done.plan.fixed == ("b0", "b1", "w0", "w1", "w2")
    assert sorted(overridable(model)) == sorted(ALL)
    assert overridable(done.model) == ["b2"]
    (w1,) = [numpy_helper.to_array(w) for w in model.graph.initializer if w.name == "w1"]
    with pytest.raises(Exception, match="w1"):
        opened(done.model).run(None, DATA | {"w1": w1})
    other = DATA | {"b2": np.ones(3, np.float32)}
    before, after = (opened(one).run(None, other)[0] for one in (model, done.model))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_nothing_is_taken_from_the_list_where_nothing_changes() -> None:
    model = listing(ALL, 8)
    done = pruned(model, spare=["r0", "r1"])
    assert done.plan.fixed == ()
    assert sorted(overridable(done.model)) == sorted(ALL)


def test_a_weight_that_the_caller_chose_to_list_keeps_its_units() -> None:
    model = listing(("w1",), 8)
    done = pruned(model)
    assert not {cut.initializer for cut in done.plan.cuts} & {"w1"}
    assert {one.slug for one in done.plan.kept} == {"graph-input"}
    assert overridable(done.model) == ["w1"]
    other = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    before, after = (opened(one).run(None, DATA | {"w1": other})[0] for one in (model, done.model))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_zeros_in_a_weight_that_can_be_fed_are_not_relied_on() -> None:
    """Where a column is zero nobody reads the unit, but with other numbers somebody would."""
    rng = np.random.default_rng(2)
    weights = {"w0": rng.standard_normal((6, 8)).astype(np.float32), "b0": np.ones(8, np.float32)}
    weights["w1"] = rng.standard_normal((8, 3)).astype(np.float32)
    weights["w1"][2] = 0
    text = "h = Gemm (x, w0, b0)\n r = Relu (h)\n y = MatMul (r, w1)"
    model = graph("float[n, 6] x, float[8, 3] w1", "float[n, 3] y", text, weights)
    result = relu_audit.prune(model, relu_audit.audit(model, DATA), data=DATA, align=1).model
    other = rng.standard_normal((8, 3)).astype(np.float32)
    assert_same_function(model, result, [DATA | {"w1": other}], limit=1e-5)


@pytest.mark.parametrize("listed", [("b2",), ALL], ids=["chosen", "habit"])
def test_a_bias_that_takes_up_constants_cannot_be_overridden_without_them(listed: tuple[str, ...]) -> None:
    """Behind a unit that is dead, a shift makes a constant of it, which goes into the next bias."""
    rng = np.random.default_rng(3)
    shapes = {"w0": (6, 8), "b0": (8,), "shift": (8,), "w2": (8, 3), "b2": (3,)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    weights["b0"][[1, 5]] = -1000
    inputs = ", ".join(f"float[{', '.join(map(str, shapes[n]))}] {n}" for n in (shapes if listed == ALL else listed))
    text = "h = Gemm (x, w0, b0)\n r = Relu (h)\n s = Add (r, shift)\n y = Gemm (s, w2, b2)"
    model = graph(f"float[n, 6] x, {inputs}", "float[n, 3] y", text, weights)
    done = relu_audit.prune(model, relu_audit.audit(model, DATA), data=DATA, align=1)
    other = DATA | {"b2": np.full(3, 7, np.float32)}
    assert_same_function(model, done.model, [DATA], limit=1e-5)
    if "b2" in overridable(done.model):
        assert_same_function(model, done.model, [other], limit=1e-5)
    else:
        assert "b2" in done.plan.fixed


def test_the_terminal_and_the_page_name_what_can_no_longer_be_fed() -> None:
    from rich.console import Console

    from relu_audit.report.pruning import html as pruning_html
    from relu_audit.report.pruning import text as pruning

    done = pruned(listing(ALL, 8))
    console = Console(width=120)
    with console.capture() as capture:
        console.print(pruning.render(done.record(), done.audit))
    assert "No longer inputs that can be fed, as they changed or are gone: b0, b1, w0 and 2 more" in capture.get()
    assert "5 initializers that the original lists among its inputs" in pruning_html.write(done.record(), done.audit)
    silent = pruned(listing((), 8))
    assert "among its inputs" not in pruning_html.write(silent.record(), silent.audit)


def test_a_weight_that_nobody_reads_is_no_obstacle_in_the_old_format() -> None:
    model = listing(ALL, 3)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unread"))
    model.graph.input.append(helper.make_tensor_value_info("unread", onnx.TensorProto.FLOAT, [3]))
    result = pruned(model)
    assert result.plan.dropped == ("unread",)
    assert result.model.ir_version == 3
    assert to_feed(result.model) == to_feed(model)
    assert_same_function(model, result.model, [DATA], limit=1e-5)
