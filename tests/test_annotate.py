"""The annotated model: the same file, with what was found on its nodes and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from relu_audit import AuditError, audit, load
from relu_audit.cli import run
from relu_audit.records import Audit
from relu_audit.surgery.annotate import PREFIX, annotate
from tests.graphs import graph, mlp
from tests.spellings import with_functions

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(3)
W = RNG.integers(-3, 4, (4, 6)).astype(np.float32)
V = RNG.integers(-3, 4, (6, 6)).astype(np.float32)
W[:, 2], V[:, 4] = 0, 0
X = RNG.integers(-3, 4, (50, 4)).astype(np.float32)


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    left = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while left:
        node = left.pop(0)
        yield node
        for attribute in node.attribute:
            left += attribute.g.node
            left += [inner for body in attribute.graphs for inner in body.node]


def notes(data: bytes) -> dict[str, dict[str, object]]:
    """What is written on every node, by its first output."""
    found = {}
    for node in nodes(onnx.ModelProto.FromString(data)):
        if node.metadata_props:
            entries = {entry.key.removeprefix(PREFIX): json.loads(entry.value) for entry in node.metadata_props}
            assert len(entries) == len(node.metadata_props)
            found[node.output[0]] = entries
    return found


def bare(data: bytes) -> bytes:
    model = onnx.ModelProto.FromString(data)
    for node in nodes(model):
        kept = [entry for entry in node.metadata_props if not entry.key.startswith(PREFIX)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model.SerializeToString()


def annotated(model: onnx.ModelProto, found: Audit) -> dict[str, dict[str, object]]:
    done = annotate(model, found)
    assert not done.missing
    assert bare(done.data) == bare(model.SerializeToString())
    onnx.checker.check_model(onnx.ModelProto.FromString(done.data))
    return notes(done.data)


@pytest.mark.parametrize("name", ["mlp_dead", "mlp_healthy", "resnet_dead"])
def test_sample_is_the_same_file_with_notes_on_its_rectifiers(name: str) -> None:
    source, found = (ROOT / f"sample_models/{name}.onnx").read_bytes(), load(ROOT / f"reports/{name}.json")
    done = annotate(source, found)
    assert not done.missing
    told = notes(done.data)
    assert set(told) == {tensor for site in found.sites for tensor in site.tensors}
    for site in found.sites:
        assert told[site.tensor]["dead_indices"] == list(site.dead)
        assert told[site.tensor]["dead_fraction"] == site.dead_fraction
        assert told[site.tensor]["dead"] == len(site.dead)
        assert told[site.tensor]["units"] == site.units
        assert told[site.tensor]["active"] == site.active
    assert bare(done.data) == onnx.ModelProto.FromString(source).SerializeToString()


def test_without_layers_every_byte_is_as_it_was() -> None:
    source, found = (ROOT / "sample_models/mlp_dead.onnx").read_bytes(), load(ROOT / "reports/mlp_dead.json")
    assert annotate(source, msgspec.structs.replace(found, sites=())).data == source


def test_annotated_model_audits_alike_and_is_annotated_anew() -> None:
    model = mlp((4, 6, 5, 3), dead={0: (1,)})
    model.graph.node[0].metadata_props.add(key="of", value="others")
    first = annotate(model, audit(model, X)).data
    again = audit(first, X)
    assert again.sites == audit(model, X).sites
    assert annotate(first, again).data == first
    fewer = msgspec.structs.replace(again, sites=again.sites[1:])
    kept = onnx.ModelProto.FromString(annotate(first, fewer).data)
    assert [len(node.metadata_props) > 0 for node in kept.graph.node] == [True, False, False, True, False]


def branch(attribute: str, body: str, out: str) -> str:
    return f"{attribute} = {attribute}_graph () => (float[n, 6] {out}) {{ {body} }}"


def test_rectifiers_in_branches_are_told_apart_by_their_scope() -> None:
    then = branch("then_branch", "h = MatMul (x, w)\n r = Relu (h)", "r")
    other = branch("else_branch", "h = MatMul (x, v)\n r = Relu (h)", "r")
    model = graph(
        "float[n, 4] x, bool c", "float[n, 6] y", f"y = If (c) <{then}, {other}>", {"w": W, "v": np.zeros((4, 6), "f4")}
    )
    found = audit(model, {"x": X, "c": np.array(True)})
    done = annotate(model, found)
    assert not done.missing
    assert bare(done.data) == bare(model.SerializeToString())
    branches = {a.name: a.g.node[1] for a in onnx.ModelProto.FromString(done.data).graph.node[0].attribute}
    told = {
        name: {entry.key.removeprefix(PREFIX): json.loads(entry.value) for entry in node.metadata_props}
        for name, node in branches.items()
    }
    assert told["then_branch"]["dead_indices"] == [2]
    assert told["else_branch"]["unseen"] == 6


LAYER = "Layer (a, w) => (r) { h = MatMul (a, w)\n r = Relu (h) }"


def test_a_function_s_rectifier_is_annotated_where_it_is_written() -> None:
    model = with_functions(graph("float[n, 4] x", "float[n, 6] y", "y = local.Layer (x, w)", {"w": W}), LAYER)
    told = annotated(model, audit(model, X))
    assert told["r"]["dead_indices"] == [2]


def test_a_function_called_with_several_weights_tells_of_each() -> None:
    made = graph("float[n, 4] x", "float[n, 6] y", "z = local.Layer (x, w)\n y = local.Layer (z, v)", {"w": W, "v": V})
    model = with_functions(made, LAYER)
    found = audit(model, X)
    told = annotated(model, found)["r"]
    assert len(found.sites) == 2
    for site in found.sites:
        assert told[f"dead_indices[{site.scope}]"] == list(site.dead)


def test_layers_that_share_weights_are_annotated_in_every_place() -> None:
    body = "h = MatMul (x, w)\n r = Relu (h)\n k = MatMul (x2, w)\n s = Relu (k)\n y = Add (r, s)"
    model = graph("float[n, 4] x, float[n, 4] x2", "float[n, 6] y", body, {"w": W})
    found = audit(model, {"x": X, "x2": -X})
    told = annotated(model, found)
    assert len(found.sites) == 1
    assert told["r"] == told["s"]


def test_fused_operator_is_annotated_itself() -> None:
    kernel = RNG.standard_normal((3, 1, 2, 2)).astype(np.float32)
    body = 'y = com.microsoft.FusedConv <activation = "Relu"> (x, k)'
    model = graph("float[n, 1, 4, 4] x", "float[n, 3, 3, 3] y", body, {"k": kernel})
    done = annotate(model, audit(model, RNG.standard_normal((9, 1, 4, 4)).astype(np.float32)))
    assert not done.missing
    assert notes(done.data)["y"]["units"] == 3


def test_another_model_is_refused() -> None:
    with pytest.raises(AuditError) as caught:
        annotate(mlp(seed=1), audit(mlp(), "random:5"))
    assert caught.value.slug == "audit-mismatch"


# Files --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    onnx.save(mlp((4, 20, 3), dead={0: (19,)}), "m.onnx")
    big = mlp((4, 20, 3), dead={0: (19,)})
    onnx.save(big, "big.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    np.savez("d.npz", x=X)
    return tmp_path


@pytest.mark.parametrize("name", ["m.onnx", "big.onnx"])
def test_command_writes_beside_the_model_and_changes_nothing_else(name: str, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert run([name, "--data", "d.npz", "--annotate", "out.onnx", "--json", "a.json", "-q"]) == 0
    assert {path: path.read_bytes() for path in before} == before
    told = notes(Path("out.onnx").read_bytes())
    assert told["r0"]["dead_indices"] == [19]
    assert audit("out.onnx", "d.npz").sites == load("a.json").sites
    assert run(["report", "a.json", "--annotate", "later.onnx", "--model", name]) == 0
    assert Path("later.onnx").read_bytes() == Path("out.onnx").read_bytes()


REFUSED = [
    (["m.onnx", "--data", "d.npz", "--annotate", "m.onnx"], "which is read"),
    (["m.onnx", "--data", "d.npz", "--annotate", "link.onnx"], "which is read"),
    (["m.onnx", "--data", "d.npz", "--annotate", "-"], "standard output"),
    (["m.onnx", "--data", "d.npz", "--annotate", "o.onnx", "--prune", "o.onnx"], "o.onnx"),
    (["big.onnx", "--data", "d.npz", "--annotate", "elsewhere/out.onnx"], "would not be found"),
    (["big.onnx", "--data", "d.npz", "--annotate", "weights.bin"], "which is read"),
    (["report", "a.json", "--annotate", "out.onnx"], "--model"),
    (["report", "a.json", "--model", "m.onnx"], "--annotate"),
    (["report", "a.json", "--annotate", "m.onnx", "--model", "m.onnx"], "which is read"),
    (["report", "a.json", "--annotate", "out.onnx", "--model", "big.onnx"], "another model"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda value: " ".join(value))
def test_place_that_cannot_work_is_refused(
    arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    audit("m.onnx", "d.npz").save("a.json")
    Path("link.onnx").symlink_to("m.onnx")
    monkeypatch.setattr("relu_audit.api.audit.audit", None)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(arguments) == 2
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
