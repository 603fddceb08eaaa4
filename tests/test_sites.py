"""``relu-audit sites``: what an audit would observe, from the file alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.cli import run
from tests.graphs import graph, mlp

W = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def test_lists_rectifiers_with_where_their_units_come_from() -> None:
    listing = relu_audit.sites(mlp((6, 8, 5, 3)))
    assert [(s.tensor, s.op, s.units, s.unit_axis, s.layout, s.weight) for s in listing.sites] == [
        ("r0", "Relu", 8, 1, "n u", "w0"),
        ("r1", "Relu", 5, 1, "n u", "w1"),
    ]
    assert not any(site.assumed for site in listing.sites)


def test_lists_what_an_audit_would_list() -> None:
    body = """
        h = MatMul (x, w)
        a = Relu (h)
        b = Elu (a)
        c = LSTM <hidden_size=5, activations=["Relu", "Tanh", "Tanh"]> (b, k, r)
        y = Clip (c, low)
    """
    weights = {"w": W, "k": np.ones((1, 20, 6), np.float32), "r": np.ones((1, 20, 5), np.float32)}
    model = graph("float[t, n, 4] x, float low", "float[t, d, n, 5] y", body, weights)
    listing = relu_audit.sites(model)
    audit = relu_audit.audit(model, {"x": np.ones((3, 7, 4), np.float32), "low": np.zeros(7, np.float32)})
    assert [site.tensor for site in listing.sites] == [site.tensor for site in audit.sites] == ["a"]
    assert listing.alive == audit.alive
    assert listing.skipped == audit.skipped
    assert {skipped.slug for skipped in listing.skipped} == {"in-operator", "bounds-not-constant"}


def test_what_the_file_does_not_tell_is_not_made_up() -> None:
    body = "h = MatMul (x, w)\n g = Reshape (h, s)\n r = Relu (g)\n y = ReduceSum <keepdims = 0> (r)"
    model = graph("float[n, 4] x, int64[k] s", "float y", body, {"w": W})
    (site,) = relu_audit.sites(model).sites
    assert (site.layout, site.units, site.unit_axis) == ("?", None, None)


def test_terminal_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(mlp((4, 8, 3)), path)
    assert run(["sites", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "1 rectifiers with 8 units" in shown
    assert "output axis of weight 'w0'" in shown
    assert run(["sites", str(path), "--json", "-"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert listing["schema"] == "relu-audit/sites/1"
    assert [site["units"] for site in listing["sites"]] == [8]
    assert run(["sites", str(path), "--json", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text()) == listing


def test_a_model_without_rectifiers_has_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(graph("float[n, 4] x", "float[n, 4] y", "y = Add (x, x)"), tmp_path / "m.onnx")
    assert run(["sites", str(tmp_path / "m.onnx")]) == 0
    assert "has no rectifier" in capsys.readouterr().out


def test_bad_input_is_said_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sites", str(tmp_path / "nothing.onnx")]) == 2
    assert "[model-not-found]" in capsys.readouterr().err
    onnx.save(mlp((4, 8, 3)), tmp_path / "m.onnx")
    assert run(["sites", str(tmp_path / "m.onnx"), "--json", str(tmp_path / "m.onnx")]) == 2
    assert "one file" in capsys.readouterr().err
    assert run(["sites", str(tmp_path / "m.onnx"), "--unit-axis", "nobody=1"]) == 2
    assert "[unit-axis]" in capsys.readouterr().err


def test_two_gigabytes_are_listed_without_being_read(tmp_path: Path) -> None:
    layers, width = 34, 4096
    weights = tmp_path / "w.bin"
    with weights.open("wb") as file:
        file.truncate(layers * width * width * 4)  # a hole: no disk, and reading it would still take seconds
    model = mlp((width, 1, 1))
    del model.graph.node[:], model.graph.initializer[:], model.graph.output[:]
    value = "x"
    for i in range(layers):
        tensor = model.graph.initializer.add(name=f"w{i}", data_type=1, dims=[width, width], data_location=1)
        for key, text in (("location", "w.bin"), ("offset", i * width * width * 4), ("length", width * width * 4)):
            tensor.external_data.add(key=key, value=str(text))
        model.graph.node.extend(
            [
                onnx.helper.make_node("MatMul", [value, f"w{i}"], [f"h{i}"]),
                onnx.helper.make_node("Relu", [f"h{i}"], [f"r{i}"]),
            ]
        )
        value = f"r{i}"
    model.graph.output.append(onnx.helper.make_tensor_value_info(value, 1, ["n", width]))
    onnx.save(model, tmp_path / "m.onnx")
    code = (
        "import sys, time\n"
        "from relu_audit.cli import run\n"
        "code = run(['sites', sys.argv[1]])\n"
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(time.process_time(), peak, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.onnx")], capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - start
    seconds, peak = done.stderr.split()
    assert f"{layers} rectifiers with {layers * width:,} units" in done.stdout
    # Processor time: the machine may be busy with other tests.
    assert float(seconds) < 1, f"{seconds} s of processor time, {wall} s in all"
    assert int(peak) < 300_000
