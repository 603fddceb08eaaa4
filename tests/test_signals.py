"""SIGINT and SIGTERM: the first ends a run in good order, another one the process; never a traceback."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from relu_audit import interrupts
from tests.graphs import mlp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

BOTH = (signal.SIGINT, signal.SIGTERM)


def endless() -> onnx.ModelProto:
    """A Loop of 2^62 iterations around a Relu, entered by samples above zero alone."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["ci"], ["co"]), helper.make_node("Relu", ["vi"], ["vo"])],
        "body",
        [value("i", TensorProto.INT64, []), value("ci", TensorProto.BOOL, []), value("vi", TensorProto.FLOAT, None)],
        [value("co", TensorProto.BOOL, []), value("vo", TensorProto.FLOAT, None)],
    )
    weight = np.ones((4, 3), np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", "zero"], ["enter"]),
        helper.make_node("Loop", ["many", "enter", "h"], ["y"], body=body),
    ]
    constants = {"w": weight, "many": np.int64(1 << 62), "zero": np.float32(0)}
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


LOADER = """
import pathlib
import numpy as np

def feeds():
    for i in range(40):
        if i == 20:
            pathlib.Path("reached").touch()
        yield {"x": np.full((1, 4), 1 if i >= 20 else -1, np.float32)}
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        # A test run in the background hands down that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def audit(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return start(folder, "-m", "relu_audit", *arguments)


def ended(process: subprocess.Popen[str], within: float = 20) -> tuple[int, str]:
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out + err


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    while not file.exists():
        assert process.poll() is None, ended(process)
        time.sleep(0.02)
    time.sleep(0.5)


@pytest.mark.parametrize("number", BOTH)
def test_one_signal_ends_a_run_that_has_no_end(number: signal.Signals, tmp_path: Path) -> None:
    onnx.save(endless(), tmp_path / "m.onnx")
    (tmp_path / "load.py").write_text(LOADER, encoding="utf-8")
    process = audit(tmp_path, "m.onnx", "--data", "load.py:feeds", "--samples", "feeds", "--json", "a.json")
    wait_for(tmp_path / "reached", process)
    process.send_signal(number)
    process.send_signal(number)  # as a terminal and `timeout` do: both are one
    code, said = ended(process)
    assert code == 3, said
    assert "Traceback" not in said
    assert '"partial": true' in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [["audit"], ["prune", "--dry-run"]])
def test_a_run_before_any_data_is_ended_too(command: list[str], tmp_path: Path) -> None:
    onnx.save(endless(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.ones((1, 4), np.float32))
    process = audit(tmp_path, *command, "m.onnx", "--data", "x.npy")
    time.sleep(8)
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert code in (3, -signal.SIGTERM)
    assert "Traceback" not in said


DEAF = """
import ctypes
from relu_audit import interrupts

interrupts.attend()
print("ready", flush=True)
mutex = ctypes.create_string_buffer(64)
ctypes.CDLL(None).pthread_mutex_lock(mutex)
ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a mutex of zeros")
@pytest.mark.parametrize("number", BOTH)
def test_another_signal_ends_a_process_that_heeds_none(number: signal.Signals, tmp_path: Path) -> None:
    """While onnxruntime opens a model, as in this call of C, Python runs no handler and nothing can be stopped."""
    process = start(tmp_path, "-c", DEAF)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(number)
    time.sleep(interrupts.TOGETHER + 0.5)
    assert process.poll() is None
    process.send_signal(number)
    assert ended(process)[0] == -number


FORKED = """
import multiprocessing, os, signal, time
from relu_audit import interrupts

interrupts.attend()
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
child.start()
time.sleep(0.3)
child.terminate()
child.join()
time.sleep(1.5)
print(child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_signal_to_a_worker_of_the_loader_is_its_own(tmp_path: Path) -> None:
    process = start(tmp_path, "-c", FORKED)
    code, said = ended(process)
    assert code == 0
    assert said.split() == [str(-signal.SIGTERM)]


LOST = """
import signal, time
from relu_audit import interrupts

class Late:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        sum(range(10))

interrupts.attend()
try:
    late = Late()
    del late
    for _ in range(100):
        time.sleep(0.1)
    print("lost")
except KeyboardInterrupt:
    print("caught")
"""


def test_an_interrupt_where_nobody_can_catch_it_is_raised_again(tmp_path: Path) -> None:
    code, said = ended(start(tmp_path, "-c", LOST))
    assert (code, said.split()) == (0, ["caught"])


def moments(count: int) -> list[float]:
    drawn = random.Random(count)  # noqa: S311
    return [drawn.uniform(0.03, 1.0) for _ in range(count)]


def check_moment(after: float, number: signal.Signals, folder: Path) -> None:
    onnx.save(mlp(), folder / "m.onnx")
    process = audit(folder, "m.onnx", "--data", "random:300", "--quiet")
    time.sleep(after)
    process.send_signal(number)
    code, said = ended(process, 60)
    # Before its first line of ours runs, the interpreter says what it likes.
    assert "Traceback" not in said or "relu_audit/" not in said, said
    assert code in (0, 3, -number) or "relu_audit/" not in said


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("after", moments(2))
def test_at_any_moment_a_signal_is_no_traceback(after: float, number: signal.Signals, tmp_path: Path) -> None:
    check_moment(after, number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("after", moments(20))
def test_at_many_moments_a_signal_is_no_traceback(after: float, number: signal.Signals, tmp_path: Path) -> None:
    check_moment(after, number, tmp_path)
