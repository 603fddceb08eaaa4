"""``relu-audit prune`` and ``--prune``: whole files or none, one exit code per meaning, the plan told in full."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import relu_audit
import relu_audit.api.prune
from relu_audit.cli import run
from relu_audit.observe import latency
from relu_audit.surgery.change import rewrite
from tests.graphs import graph, mlp

X = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of 20 units of which four are dead, one without dead units, and data."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("RELU_AUDIT_"):
            monkeypatch.delenv(name)
    onnx.save(mlp((4, 20, 3), dead={0: (1, 5, 6, 19)}), tmp_path / "m.onnx")
    onnx.save(mlp((4, 5, 3), seed=2), tmp_path / "alive.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    return tmp_path


def pruned(*arguments: str) -> int:
    return run(["prune", "m.onnx", "--no-latency", *arguments])


def width(path: str) -> int:
    return next(w.dims[-1] for w in onnx.load(path).graph.initializer if w.name == "w0")


def outputs(path: str) -> np.ndarray:
    import onnxruntime as ort  # noqa: TID251 - the file as its user runs it

    return ort.InferenceSession(path).run(None, {"x": X})[0]


def test_writes_the_smaller_model_and_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert pruned("--data", "d.npz", "-o", "s.onnx", "--align", "1") == 0
    out = capsys.readouterr().out
    assert "4 dead units removed" in out
    assert "parameters" in out
    assert "Premise: " in out
    assert width("s.onnx") == 16
    np.testing.assert_allclose(outputs("s.onnx"), outputs("m.onnx"), rtol=1e-5, atol=1e-5)
    props = {prop.key: prop.value for prop in onnx.load("s.onnx").metadata_props}
    assert json.loads(props["relu_audit.removed"]) == {"r0": [1, 5, 6, 19]}


def test_takes_a_saved_audit_without_data_and_refuses_another_models(capsys: pytest.CaptureFixture[str]) -> None:
    run(["m.onnx", "--data", "d.npz", "--json", "a.json", "-q"])
    assert pruned("--audit", "a.json", "-o", "s.onnx", "--align", "1") == 0
    assert width("s.onnx") == 16
    capsys.readouterr()
    assert run(["prune", "alive.onnx", "--audit", "a.json", "-o", "t.onnx"]) == 2
    assert "[audit-mismatch]" in capsys.readouterr().err
    assert not Path("t.onnx").exists()


def test_audits_and_prunes_in_one_go_and_leaves_with_the_gates_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "TURNS", 1)
    assert run(["m.onnx", "--data", "d.npz", "--max-dead", "5%", "--prune", "s.onnx"]) == 1
    out = capsys.readouterr().out
    assert out.index("FAILED") < out.index("dead units removed")
    assert width("s.onnx") == 16  # 20 is no multiple of 8, so there is nothing to keep


def test_one_go_takes_the_options_of_pruning_and_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    one_go = ["m.onnx", "--data", "d.npz", "-q", "--no-latency", "--prune"]
    assert run([*one_go, "spared.onnx", "--spare", "r0", "--align", "1"]) == 0
    assert width("spared.onnx") == 20
    assert run([*one_go, "few.onnx", "--align", "5"]) == 0
    assert width("few.onnx") == 20  # four of them are dead, and one multiple is five
    monkeypatch.setenv("RELU_AUDIT_ALIGN", "5")
    assert run([*one_go, "set.onnx"]) == 0
    assert width("set.onnx") == 20


@pytest.mark.parametrize("command", [[], ["each"]], ids=["audit", "each"])
@pytest.mark.parametrize("options", [["--align", "1"], ["--merge-linear"], ["--spare", "r0"], ["--no-latency"]])
def test_options_of_pruning_are_refused_where_nothing_is_pruned(
    command: list[str], options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*command, "m.onnx", "--data", "d.npz", *options]) == 2
    assert "nothing is pruned here; add --prune FILE" in capsys.readouterr().err
    monkeypatch.setenv("RELU_AUDIT_ALIGN", "1")
    assert run([*command, "m.onnx", "--data", "d.npz", "-q"]) == 0


def test_a_dry_run_writes_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(Path().iterdir())
    assert pruned("--data", "d.npz", "--dry-run", "--json", "p.json") == 0
    assert set(Path().iterdir()) - before == {Path("p.json")}
    record = json.loads(Path("p.json").read_text())
    assert (record["schema"], record["verification"]) == ("relu-audit/pruning/1", None)
    assert len(record["plan"]["removed"]) == 4
    assert "Nothing was written" in capsys.readouterr().out


def test_json_on_standard_output_is_all_there_is_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert pruned("--data", "d.npz", "-o", "s.onnx", "--json", "-") == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["verification"]["passed"] is True
    assert record["verification"]["relative"] <= record["verification"]["limit"]
    assert "dead units removed" in captured.err


def test_nothing_to_remove_is_said_and_a_model_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prune", "alive.onnx", "--data", "d.npz", "-o", "s.onnx"]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    np.testing.assert_array_equal(outputs("s.onnx"), outputs("alive.onnx"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "d.npz"], "--output"),
        (["--data", "d.npz", "-o", "s.onnx", "--dry-run"], "--dry-run"),
        (["-o", "s.onnx"], "--data"),
        (["--data", "d.npz", "-o", "m.onnx"], "one file"),
        (["--data", "d.npz", "-o", "-"], "standard output"),
        (["--data", "d.npz", "-o", "no/such/folder/s.onnx"], "does not exist"),
        (["--data", "d.npz", "-o", "s.onnx", "--align", "0"], "--align"),
        (["--data", "nothing.npz", "-o", "s.onnx"], "[data-not-found]"),
        (["--audit", "d.npz", "-o", "s.onnx"], "[audit-unreadable]"),
    ],
)
def test_what_cannot_be_done_is_refused_in_plain_words(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("m.onnx").read_bytes()
    assert pruned(*arguments) == 2
    assert said in capsys.readouterr().err
    assert Path("m.onnx").read_bytes() == before
    assert not Path("s.onnx").exists()


def test_a_wrong_result_is_not_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real: Callable[..., Any] = rewrite.rewrite

    def wrong(survey: Any, *rest: Any) -> Any:
        done = real(survey, *rest)
        weight = survey.network.model.graph.initializers["w1"]
        weight.const_value = onnx_tensor(2 * weight.const_value.numpy())
        return done

    monkeypatch.setattr(relu_audit.api.prune, "rewrite", wrong)
    Path("s.onnx").write_text("what was there before")
    assert pruned("--data", "d.npz", "-o", "s.onnx") == 4
    assert "[verification]" in capsys.readouterr().err
    assert Path("s.onnx").read_text() == "what was there before"
    assert {path.name for path in Path().iterdir()} == {"m.onnx", "alive.onnx", "d.npz", "s.onnx"}


def onnx_tensor(array: np.ndarray) -> Any:
    import onnx_ir as ir

    return ir.Tensor(array)


def test_made_up_data_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert pruned("--data", "random:64", "-o", "s.onnx") == 0
    assert "made up" in capsys.readouterr().out


def test_the_time_of_a_run_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "TURNS", 1)
    assert run(["prune", "m.onnx", "--data", "d.npz", "-o", "s.onnx", "--json", "p.json"]) == 0
    assert "milliseconds a run" in capsys.readouterr().out
    times = json.loads(Path("p.json").read_text())["latency"]
    assert min(*times["before"], *times["after"]) > 0


def test_weights_beside_the_model_stay_beside_it() -> None:
    onnx.save(
        mlp((4, 20, 3), dead={0: (1, 5)}),
        "e.onnx",
        save_as_external_data=True,
        location="e.data",
        size_threshold=16,
    )
    assert run(["prune", "e.onnx", "--data", "d.npz", "-o", "s.onnx", "--align", "1", "--no-latency"]) == 0
    (weights,) = Path().glob("s.onnx.*.data")
    np.testing.assert_allclose(outputs("s.onnx"), outputs("e.onnx"), rtol=1e-5, atol=1e-5)
    assert run(["prune", "e.onnx", "--data", "d.npz", "-o", "s.onnx", "--json", "p.json", "--no-latency"]) == 0
    sizes = json.loads(Path("p.json").read_text())["files"]
    (weights,) = Path().glob("s.onnx.*.data")
    assert sizes["after"] == Path("s.onnx").stat().st_size + weights.stat().st_size


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="a folder in which nobody can write")
@pytest.mark.parametrize("option", ["--json", "--html"])
def test_nothing_is_written_where_one_target_cannot_be(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pruned("--data", "d.npz", "-o", "s.onnx", option, "/sys/kernel/x") == 2
    assert "[output]" in capsys.readouterr().err
    assert not Path("s.onnx").exists()


def test_settings_of_the_audit_do_not_disturb_it(folder: Path) -> None:
    (folder / "relu-audit.toml").write_text('max-dead = "5%"\nalign = 1\n')
    assert run(["prune", "m.onnx", "--data", "d.npz", "-o", "s.onnx", "--no-latency"]) == 0
    assert width("s.onnx") == 16


def test_map_results_stay() -> None:
    body = "g = MatMul (x, w)\n r = Relu (g)\n p = Softmax (r)"
    model = graph("float[n, 4] x", "float[n, 2] p", body, {"w": np.ones((4, 2), np.float32)})
    zipped = onnx.helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    model.graph.node.append(zipped)
    model.graph.output.add(name="z").type.sequence_type.elem_type.map_type.key_type = onnx.TensorProto.INT64
    onnx.save(model, "z.onnx")
    assert run(["prune", "z.onnx", "--data", "d.npz", "-o", "s.onnx", "--no-latency"]) == 0
    assert onnx.load("s.onnx").graph.output == model.graph.output
