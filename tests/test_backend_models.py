"""onnx's own backend tests: every model audits, has nothing to audit or is refused for a reason, and counts are right.

The models in folders come with the onnx wheel; those of single operators are made by its generators, in the same form.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # noqa: TID251 - what it says of a model by itself judges our refusals
import pytest
from onnx import TensorProto, helper, numpy_helper

import relu_audit
from relu_audit.records import SiteAudit

SHIPPED = Path(onnx.__file__).parent / "backend/test/data"
FOLDERS = [path for kind in ("simple", "pytorch-converted", "pytorch-operator") for path in (SHIPPED / kind).glob("*/")]
LIGHT = sorted((SHIPPED / "light").glob("*.onnx"))
ERRORS = Path(__file__).parents[1] / "docs/errors.md"
SLUGS = set(re.findall(r"^### `([a-z-]+)`", ERRORS.read_text(encoding="utf-8"), re.MULTILINE))

CHUNKS = 16
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
BY_CHANCE = re.compile(r"test_(training_dropout|bernoulli|random|multinomial)")
ROUNDS_AROUND_ZERO = re.compile(r"test_(i?dft|stft|blackmanwindow|hannwindow|hammingwindow)")

Outcome = relu_audit.Audit | relu_audit.AuditError


@functools.cache
def node_cases() -> list[Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return sorted(collect_testcases(), key=lambda case: case.name)


def as_proto(value: Any, info: onnx.ValueInfoProto) -> Any:
    """What onnx writes into a test set: a tensor, or a sequence, an optional or a map of them."""
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(list(value), info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    return value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), info.name)


def written(model: onnx.ModelProto, values: tuple[list[Any], list[Any]], folder: Path) -> Path:
    """The case as a folder, as ``onnx/backend/test/cmd_tools.py`` writes it."""
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    for what, infos, given in zip(("input", "output"), (model.graph.input, model.graph.output), values, strict=True):
        for i, (info, value) in enumerate(zip(infos, given, strict=True)):
            (data / f"{what}_{i}.pb").write_bytes(as_proto(value, info).SerializeToString())
    return folder


def tensors(folder: Path, what: str, infos: Any) -> dict[str, np.ndarray]:
    """The tensors of a written case, by name; what is no tensor is left out."""
    return {
        info.name: numpy_helper.to_array(TensorProto.FromString(file.read_bytes()))
        for i, info in enumerate(infos)
        if info.type.HasField("tensor_type") and (file := folder / "test_data_set_0" / f"{what}_{i}.pb").exists()
    }


def outcome(model: Path, data: object) -> Outcome:
    """An audit or a refusal; anything else is raised, and the test fails."""
    try:
        return relu_audit.audit(model, data, threads=1)
    except relu_audit.AuditError as error:
        return error


def kind_of(result: Outcome) -> str:
    if isinstance(result, relu_audit.AuditError):
        return result.slug
    return "audited" if result.sites else "not observed" if result.skipped else "nothing to audit"


def complaints(folder: Path, result: Outcome) -> Iterator[str]:
    """Why an outcome is wrong: a refusal without a reason, a rectifier that is passed over, a count that is not so."""
    model = onnx.load(folder / "model.onnx")
    feeds = tensors(folder, "input", model.graph.input)
    if isinstance(result, relu_audit.AuditError):
        if result.slug not in SLUGS:
            yield f"the slug {result.slug} is not documented"
        if not is_justified(result, model, feeds):
            yield f"refused without need: {result}"
        return
    told = {tensor for site in result.sites for tensor in site.tensors} | {one.tensor for one in result.skipped}
    moved = moved_by_data(model)
    for node in model.graph.node:
        if node.op_type in ("Relu", "ThresholdedRelu") and node.output[0] in moved - told:
            yield f"{node.op_type} '{node.output[0]}' is passed over"
    truths = tensors(folder, "output", model.graph.output)
    for site in result.sites:
        yield from miscounts(site, truths, folder.name)


def moved_by_data(model: onnx.ModelProto) -> set[str]:
    """Values that the numbers in an input can change; a rectifier of any others is one of parameters."""
    moved = {info.name for info in model.graph.input} - {weight.name for weight in model.graph.initializer}
    for node in model.graph.node:
        bodies = any(attribute.type in (5, 10) for attribute in node.attribute)
        by_size = node.op_type in ("Shape", "Size")
        if bodies or not node.input or (moved & set(node.input) and not by_size):
            moved |= {*node.output} if node.op_type != "Constant" else set()
    return moved


def is_justified(error: relu_audit.AuditError, model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> bool:
    if error.slug == "data-nan":
        return any(np.isnan(array.astype(np.float64)).any() for array in feeds.values() if array.dtype.kind != "O")
    if error.slug == "data-empty":
        return any(array.size == 0 for array in feeds.values())
    if error.slug in ("data-kind", "input-kind"):
        return any(not info.type.HasField("tensor_type") for info in model.graph.input)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        if error.slug == "run":
            session.run(None, dict(feeds))
    except Exception:
        return error.slug in ("session", "unsupported-operator", "run")
    return False


def miscounts(site: SiteAudit, truths: Mapping[str, np.ndarray], name: str) -> Iterator[str]:
    """What a site says of outputs of the graph, against the outputs that onnx expects."""
    if BY_CHANCE.match(name) or ROUNDS_AROUND_ZERO.match(name) or not set(site.tensors) <= set(truths):
        return
    turned = {"negated": np.negative, "magnitude": np.abs}.get(site.counted_as or "", np.positive)
    values = [turned(truths[tensor].astype(np.float64)) for tensor in site.tensors]
    if site.units * site.positions != sum(value.size for value in values):
        yield f"{site.tensor}: {site.units} units at {site.positions} positions of {[v.shape for v in values]}"
        return
    if not site.units or not all(np.isfinite(value).all() for value in values):
        return
    if "(" in site.layout or len(values) > 1:  # what is flattened or added up is compared as a whole
        columns = np.concatenate([value.reshape(-1, 1) for value in values])
        fired = np.array([sum(site.fired_positions)])
    else:
        axes = [axis for axis, term in enumerate(site.layout.split()) if term == "u"]
        columns = np.moveaxis(values[0], axes, range(-len(axes), 0)).reshape(-1, site.units)
        fired = np.array(site.fired_positions)
    slack = 1e-4 * np.abs(columns).max(initial=0)
    least = (columns > slack).sum(axis=0)
    unsure = ((columns != 0) & (np.abs(columns) <= slack)).sum(axis=0)
    if ((fired < least) | (fired > least + unsure)).any():
        yield f"{site.tensor} ({site.layout}): fired {fired.tolist()}, not {least.tolist()} (+ {unsure.tolist()})"
    elif site.positions and len(fired) == site.units and set(site.dead) != set(np.flatnonzero(fired == 0)):
        yield f"{site.tensor}: units {site.dead} are not the dead ones"


def sweep(folders: Iterator[Path], data: str | None = None) -> Counter[str]:
    """Audit every case; fail on those that go wrong, all of them at once. Gives how many came out how."""
    wrong: list[str] = []
    kinds: Counter[str] = Counter()
    for folder in folders:
        try:
            result = outcome(folder / "model.onnx", data or folder)
            wrong += [f"{folder.name}: {complaint}" for complaint in (complaints(folder, result) if not data else ())]
            kinds[kind_of(result)] += 1
        except Exception as error:
            wrong.append(f"{folder.name}: {type(error).__name__}: {error}")
    print(dict(kinds))  # noqa: T201 - for pytest -rP
    assert not wrong, "\n".join([f"{len(wrong)} of {len(wrong) + kinds.total()}", *wrong])
    return kinds


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_single_operators(chunk: int, tmp_path: Path) -> None:
    cases = node_cases()[chunk::CHUNKS]
    kinds = sweep(written(case.model, case.data_sets[0], tmp_path / case.name) for case in cases)
    assert kinds.total() == len(cases)
    assert kinds["nothing to audit"] > 0.75 * len(cases)


@pytest.mark.parametrize("data", [None, "random:4"])
@pytest.mark.parametrize("chunk", range(4))
def test_models_that_ship_in_folders(chunk: int, data: str | None) -> None:
    folders = sorted(FOLDERS)[chunk::4]
    kinds = sweep(iter(folders), data)
    assert len(folders) >= 30
    assert kinds["audited"] + kinds["nothing to audit"] + kinds["not observed"] >= 0.8 * len(folders)


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_light_models_audit_with_every_rectifier(path: Path) -> None:
    audit = relu_audit.audit(path, "random:4")
    graph = onnx.load(path, load_external_data=False).graph
    rectified = [node.output[0] for node in graph.node if node.op_type == "Relu"]
    assert sorted(tensor for site in audit.sites for tensor in site.tensors) == sorted(rectified)
    assert (audit.skipped, audit.alive, audit.data.samples) == ((), (), 4)
    assert {(site.unit_axis, site.assumed) for site in audit.sites} == {(1, False)}
    assert all(site.samples == 4 and not site.faulty and not site.unseen for site in audit.sites)


def with_rectifiers(case: Any) -> tuple[onnx.ModelProto, tuple[list[Any], list[Any]]] | None:
    """The case with all inputs but the first as weights, as a file has them, and a Relu behind each result."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    inputs, outputs = case.data_sets[0]
    shown = [
        i
        for i, info in enumerate(graph.output)
        if info.type.HasField("tensor_type") and info.type.tensor_type.elem_type in FLOATS
    ]
    if not shown or not all(info.type.HasField("tensor_type") for info in graph.input):
        return None
    for info, value in list(zip(graph.input, inputs, strict=True))[1:]:
        weight = TensorProto()
        weight.CopyFrom(as_proto(value, info))
        weight.name = info.name
        graph.initializer.append(weight)
        graph.input.remove(info)
    results = [graph.output[i] for i in shown]
    del graph.output[:]
    for info in results:
        graph.node.append(helper.make_node("Relu", [info.name], [f"rectified {info.name}"]))
        graph.output.append(info)
        graph.output[-1].name = f"rectified {info.name}"
    if all(opset.domain not in ("", "ai.onnx") for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 21))
    return model, (list(inputs[:1]), [outputs[i] for i in shown])


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_rectifier_behind_each_operator_counts_what_onnx_expects(chunk: int, tmp_path: Path) -> None:
    made = [(case.name, with_rectifiers(case)) for case in node_cases()[chunk::CHUNKS]]
    usable = [(name, *model) for name, model in made if model is not None]
    kinds = sweep(written(model, values, tmp_path / name) for name, model, values in usable)
    assert kinds["audited"] > 0.6 * len(usable)
    fixed = [
        name for name, model, _ in usable if moved_by_data(model).isdisjoint(info.name for info in model.graph.output)
    ]
    assert kinds["nothing to audit"] <= len(fixed) <= 1, fixed


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "BatchNormalization", "Gemm", "InstanceNormalization"])
def test_units_are_what_the_operator_makes(op: str, tmp_path: Path) -> None:
    of_op = [case for case in node_cases() if [node.op_type for node in case.model.graph.node] == [op]]
    axes: Counter[tuple[int | None, bool]] = Counter()
    for case in of_op:
        model = with_rectifiers(case)
        assert model is not None
        folder = written(*model, tmp_path / case.name)
        site = relu_audit.audit(folder / "model.onnx", folder).sites[0]
        axes[site.unit_axis, site.assumed] += 1
        assert math.prod(case.data_sets[0][1][0].shape) == site.units * site.positions
    assert dict(axes) == {(1, False): len(of_op)}
    assert of_op


def test_model_without_rectifier_is_never_refused_for_its_data(tmp_path: Path) -> None:
    """There is nothing to audit, whatever the data is: NaN, text, sequences, optional values, arrays of size zero."""
    odd = re.compile(r"test_(isnan|isinf|string|strnorm|sequence_(insert|map)|optional|identity_|split_zero|triu_zero)")
    refused: list[str] = []
    for case in node_cases():
        if odd.match(case.name):
            folder = written(case.model, case.data_sets[0], tmp_path / case.name)
            try:
                audit = relu_audit.audit(folder / "model.onnx", folder)
            except Exception as error:
                refused.append(f"{case.name}: {type(error).__name__}: {error}")
            else:
                assert kind_of(audit) == "nothing to audit"
    assert not refused, "\n".join([str(len(refused)), *refused])


def test_one_feed_for_inputs_of_different_lengths_is_one_sample(tmp_path: Path) -> None:
    """A test set is one run of the model; no input's first axis has to be a batch."""
    wanted = ["test_matmul_2d", "test_gemm_alpha", "test_convtranspose_group_2", "test_lstm_bidirectional"]
    for case in node_cases():
        if case.name in wanted:
            model = onnx.ModelProto()
            model.CopyFrom(case.model)
            result = model.graph.output[0]
            model.graph.node.append(helper.make_node("Relu", [result.name], ["rectified"]))
            result.name = "rectified"
            folder = written(model, case.data_sets[0], tmp_path / case.name)
            audit = relu_audit.audit(folder / "model.onnx", folder)
            assert not list(complaints(folder, audit))
