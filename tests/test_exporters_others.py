"""Models as scikit-learn, Keras, TensorFlow, JAX and onnxscript write them; the truth comes from the frameworks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import relu_audit
from relu_audit.records import Audit, SiteAudit

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporters and of what they import
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:.*(Torch|TracerWarning|trace).*"),
]

SAMPLES = 40
RNG = np.random.default_rng(5)
TABLE = RNG.standard_normal((SAMPLES, 6)).astype(np.float32)
IMAGES = RNG.standard_normal((SAMPLES, 6, 6, 4)).astype(np.float32)  # channels last, as Keras and JAX have them
DEAD = (2, 5)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def biased(units: int, *dead: int) -> np.ndarray:
    """A bias that silences some units."""
    bias = normal(units) * 0.1
    bias[list(dead)] = -50
    return bias


def feed(model: onnx.ModelProto, array: np.ndarray) -> dict[str, np.ndarray]:
    (given,) = model.graph.input
    return {given.name: array}


def check(audit: Audit, shown: Sequence[np.ndarray], dead: Sequence[tuple[int, ...]]) -> None:
    """Every site is what the framework showed behind that rectifier: [samples, ..., units], one array per site.

    A single position may differ: rounding, where a pre-activation is all but zero.
    """
    assert not audit.skipped
    assert [site.units for site in audit.sites] == [value.shape[-1] for value in shown], describe(audit)
    for site, value, planted in zip(audit.sites, shown, dead, strict=True):
        fires = value.reshape(len(value), -1, value.shape[-1]) > 0
        silent = tuple(np.flatnonzero(~fires.any((0, 1))).tolist())
        assert set(planted) <= set(silent), f"{site.tensor}: planted {planted}, but the framework shows {silent}"
        assert site.dead == silent, describe(audit)
        assert (site.samples, site.positions) == (len(value), fires[..., 0].size), describe(audit)
        assert np.abs(np.array(site.fired_samples) - fires.any(1).sum(0)).max() <= 1, site.tensor
        assert np.abs(np.array(site.fired_positions) - fires.sum((0, 1))).max() <= 1, site.tensor
        assert not site.assumed, describe(audit)
        assert site.weight, describe(audit)


def describe(audit: Audit) -> str:
    def line(s: SiteAudit) -> str:
        return f"{s.tensor} {s.op} [{s.layout}] {s.units} units, dead {s.dead}: {s.axis_from}"

    return "\n".join(map(line, audit.sites))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_scikit_learn(kind: str, scaled: bool) -> None:
    neural_network = pytest.importorskip("sklearn.neural_network")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = getattr(neural_network, kind)(hidden_layer_sizes=(8, 7), max_iter=5, random_state=0)
    chosen = make_pipeline(StandardScaler(), network) if scaled else network
    chosen.fit(TABLE, (TABLE[:, 0] > 0).astype(int))
    network.intercepts_[0][list(DEAD)] = -50
    network.intercepts_[1][1] = -50
    options = {"zipmap": False} if kind == "MLPClassifier" else None
    model = skl2onnx.to_onnx(chosen, TABLE[:1], options=options and {type(network): options})
    value, shown = chosen[0].transform(TABLE) if scaled else TABLE, []
    for weight, bias in zip(network.coefs_[:2], network.intercepts_[:2], strict=True):
        value = relu(value @ weight + bias)
        shown.append(value)
    check(relu_audit.audit(model, feed(model, TABLE)), shown, [DEAD, (1,)])


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Keras with any backend that KERAS_BACKEND names, by default PyTorch's."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if "KERAS_BACKEND" not in os.environ:
        pytest.importorskip("torch")
        monkeypatch.setenv("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras")
    if module.backend.backend() == "jax":
        pytest.importorskip("tf2onnx")
    return module


def keras_cnn(layers: Any) -> list[Any]:
    # fmt: off
    return [
        layers.Input((6, 6, 4)),
        layers.Conv2D(8, 3, use_bias=False), layers.BatchNormalization(name="silenced"), layers.ReLU(name="r0"),
        layers.DepthwiseConv2D(2, depth_multiplier=2, name="silenced_1"), layers.ReLU(6.0, name="r1"),
        layers.Conv2DTranspose(7, 2, activation="relu", name="silenced_2"),
        layers.Flatten(),
        layers.Dense(9, activation="relu", name="silenced_3"), layers.Dense(3),
    ]
    # fmt: on


def keras_sequence(layers: Any) -> list[Any]:
    # What Keras makes of a layer norm on PyTorch, PyTorch cannot export.
    norm = layers.BatchNormalization if os.environ["KERAS_BACKEND"] == "torch" else layers.LayerNormalization
    # fmt: off
    return [
        layers.Input((6, 24)), layers.Reshape((12, 12)),
        layers.Conv1D(8, 3, name="silenced"), layers.ReLU(name="r0"),
        layers.Dense(10), norm(name="silenced_1"), layers.ReLU(name="r1"),
        layers.Permute((2, 1)), layers.Dense(7, activation="relu", name="silenced_2"),
        layers.GlobalAveragePooling1D(), layers.Dense(9, activation="relu", name="silenced_3"),
    ]
    # fmt: on


@pytest.mark.parametrize("build", [keras_cnn, keras_sequence])
def test_keras(keras: Any, build: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(build(keras.layers))
    silenced = [layer for layer in model.layers if layer.name.startswith("silenced")]
    for layer in silenced:
        bias = layer.beta if hasattr(layer, "beta") else layer.bias
        bias.assign(np.where(np.isin(np.arange(bias.shape[0]), DEAD), -50, 0.1 * normal(bias.shape[0])))
    points = [model.get_layer(name) for name in ("r0", "r1", "silenced_2", "silenced_3")]
    data = IMAGES.reshape(SAMPLES, *model.input_shape[1:])
    shown = keras.Model(model.inputs, [layer.output for layer in points]).predict(data, verbose=0)
    model(data[:1])  # an exporter wants a model that has been called
    file = tmp_path / "model.onnx"
    model.export(file, format="onnx", verbose=False)
    exported = onnx.load(file)
    check(relu_audit.audit(exported, feed(exported, data)), shown, [DEAD] * 4)


KERNEL, KERNEL_BIAS = normal(3, 3, 4, 8), biased(8, *DEAD)
DENSE, DENSE_BIAS = normal(8, 7), biased(7, 1)
HEADS = normal(7, 2, 5)
HEADS[:, 0, 3] = 0


def test_tensorflow() -> None:
    tf2onnx = pytest.importorskip("tf2onnx")
    tf = pytest.importorskip("tensorflow")

    def layers(x: Any) -> list[Any]:
        a = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, KERNEL, 1, "SAME"), KERNEL_BIAS))
        b = tf.nn.relu6(tf.reduce_mean(a, (1, 2)) @ DENSE + DENSE_BIAS)
        c = tf.nn.relu(tf.einsum("nd,dhe->nhe", b, HEADS))
        return [a, b, c]

    signature = [tf.TensorSpec((None, 6, 6, 4), name="x")]
    model, _ = tf2onnx.convert.from_function(tf.function(lambda x: layers(x)[-1]), signature)
    a, b, c = (value.numpy() for value in layers(tf.constant(IMAGES)))
    check(relu_audit.audit(model, feed(model, IMAGES)), [a, b, c.reshape(SAMPLES, -1)], [DEAD, (1,), (3,)])


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    jax2onnx = pytest.importorskip("jax2onnx")
    jnp = jax.numpy

    def layers(x: Any) -> list[Any]:
        dims = ("NHWC", "HWIO", "NHWC")
        a = jax.nn.relu(jax.lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=dims) + KERNEL_BIAS)
        b = jax.nn.relu6(a.mean((1, 2)) @ DENSE + DENSE_BIAS)
        c = jnp.maximum(jnp.einsum("nd,dhe->nhe", b, HEADS), 0)
        return [a, b, c]

    model = jax2onnx.to_onnx(lambda x: layers(x)[-1], [("n", 6, 6, 4)])
    a, b, c = (np.asarray(value) for value in layers(IMAGES))
    check(relu_audit.audit(model, feed(model, IMAGES)), [a, b, c.reshape(SAMPLES, -1)], [DEAD, (1,), (3,)])


def test_onnxscript_functions() -> None:
    """A function within a function, called twice: a site for each of the two layers."""
    onnxscript = pytest.importorskip("onnxscript")
    from onnxscript import opset18, script
    from onnxscript.values import Opset

    local = Opset("tests.relu_audit", 1)
    w0, w1 = (numpy_helper.from_array(array, name) for array, name in ((DENSE.T.copy(), "w0"), (DENSE, "w1")))
    b0, b1 = (numpy_helper.from_array(array, name) for array, name in ((biased(8, *DEAD), "b0"), (DENSE_BIAS, "b1")))

    @script(local)
    def rectified(x):
        return opset18.Relu(x)

    @script(local)
    def layer(x, w, b):
        return rectified(opset18.Add(opset18.MatMul(x, w), b))

    @script(opset18)
    def network(x):
        h = layer(x, opset18.Constant(value=w0), opset18.Constant(value=b0))
        return layer(h, opset18.Constant(value=w1), opset18.Constant(value=b1))

    signature = onnxscript.FLOAT["n", 7]
    model = network.to_model_proto(input_types=[signature], output_types=[signature])
    assert {function.name for function in model.functions} == {"layer", "rectified"}
    x = normal(SAMPLES, 7)
    first = relu(x @ DENSE.T + numpy_helper.to_array(b0))
    audit = relu_audit.audit(model, {"x": x})
    check(audit, [first, relu(first @ DENSE + DENSE_BIAS)], [DEAD, (1,)])
    assert len({site.tensor for site in audit.sites}) == 2


NAMES = [
    "p2o.pd_op.relu.0.0",  # PaddlePaddle
    "relu_0.tmp_0",
    "linear_0.w_0@GRAD",
    "StatefulPartitionedCall/model/re_lu/Relu:0",  # TensorFlow
    "/encoder/layers.0/activation/Relu_output_0",
    "a name with spaces",
    "слой/層 ünïcode ∘ €",
    "quotes ' \" and <tags> & [brackets] {braces}",
    "a=b=c",
    "0",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_name(name: str, tmp_path: Path) -> None:
    """Tensors, weights, nodes and inputs may have any name; reports and options take it as it is."""
    bias = biased(7, 1)
    nodes = [
        helper.make_node("MatMul", [f"{name}.x", f"{name}.w"], [f"{name}.h"], name=f"{name}.mul"),
        helper.make_node("Add", [f"{name}.h", f"{name}.b"], [f"{name}.a"], name=f"{name}.add"),
        helper.make_node("Relu", [f"{name}.a"], [name], name=f"{name}.relu"),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(f"{name}.x", TensorProto.FLOAT, [f"{name}.n", 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}.n", 7])],
        [numpy_helper.from_array(DENSE, f"{name}.w"), numpy_helper.from_array(bias, f"{name}.b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = normal(SAMPLES, 8)
    data = {f"{name}.x": x}
    audit = relu_audit.audit(model, data)
    check(audit, [relu(x @ DENSE + bias)], [(1,)])
    (site,) = audit.sites
    assert (site.tensor, site.weight) == (name, f"{name}.w")
    assert relu_audit.audit(model, data, unit_axes={name: 1}).sites[0].dead == site.dead
    audit.save(tmp_path / "audit.json")
    assert relu_audit.load(tmp_path / "audit.json") == audit


def test_a_classifier_whose_result_is_a_map_is_audited() -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    neural_network = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5)).astype(np.float32)
    classifier = neural_network.MLPClassifier((7,), max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(x, x[:, 0] > 0)
    model = skl2onnx.to_onnx(classifier, x[:1])
    assert "ZipMap" in {node.op_type for node in model.graph.node}
    found = relu_audit.audit(model, {"X": x})
    hidden = np.maximum(x @ classifier.coefs_[0] + classifier.intercepts_[0], 0)
    assert list(found.sites[0].fired_samples) == (hidden > 0).sum(axis=0).tolist()
    assert not found.notes
