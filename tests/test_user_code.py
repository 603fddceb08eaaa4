"""Code of the user's own may raise anything, end the process or leave another state: none of that is an outcome."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from relu_audit import AuditError, audit, load
from relu_audit.cli import Exit, run
from relu_audit.observe.session import Session
from tests.graphs import graph, mlp

X = 3 * np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
CASES = Path(__file__).parents[2] / "shared/cases/hostile"

HEAD = """
import atexit, os, signal, subprocess, sys, threading, time
import numpy as np
X = np.load("d.npz")["x"]
def die(*_, **__):
    sys.exit(0)
class End(BaseException):
    pass
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model of 20 units, the last of them dead, and data."""
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 20, 3), dead={0: (19,)}), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=X)
    return tmp_path


def loader(code: str) -> str:
    Path("feeds.py").write_text(HEAD + code, encoding="utf-8")
    return "feeds.py:feeds"


def process(*arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "relu_audit", *arguments], capture_output=True, timeout=60, **more)


# Whatever is raised -------------------------------------------------------------------------------------------------

ENDS: dict[str, tuple[str, str]] = {
    "an exit at import": ("die()", "SystemExit: 0"),
    "another exception at import": ("raise End('x')", "End: x"),
    "an exit of the module's __getattr__": ("def __getattr__(name): die()", "SystemExit"),
    "an exit in the function": ("def feeds(): die()", "SystemExit"),
    "another exception in the function": ("def feeds(): raise End('x')", "End: x"),
    "an end of iteration in the function": ("def feeds(): raise StopIteration", "StopIteration"),
    "a closed generator in the function": ("def feeds(): raise GeneratorExit", "GeneratorExit"),
    "an exit in the generator": ("def feeds():\n    yield X\n    die()", "SystemExit"),
    "another exception in the generator": ("def feeds():\n    yield X\n    raise End('x')", "End: x"),
    "an interrupt of a kind of its own": (
        "class Mine(KeyboardInterrupt): pass\ndef feeds():\n    yield X\n    raise Mine('x')",
        "Mine: x",
    ),
    "an exit in __iter__": ("class D:\n    __iter__ = die\ndef feeds(): return D()", "SystemExit"),
    "an end of iteration in __iter__": (
        "class D:\n    def __iter__(self): raise StopIteration\ndef feeds(): return D()",
        "StopIteration",
    ),
    "an exit in __next__": (
        "class D:\n    __next__ = die\n    def __iter__(self): return self\ndef feeds(): return D()",
        "SystemExit",
    ),
    "an exit in __array__": ("class D:\n    __array__ = die\ndef feeds(): return [D()]", "SystemExit"),
    "an exit in __array__ of one feed": ("class D:\n    __array__ = die\ndef feeds(): return D()", "SystemExit"),
    "an exit in __array_interface__": (
        "class D:\n    __array_interface__ = property(die)\ndef feeds(): return [{'x': D()}]",
        "SystemExit",
    ),
    "an exit in items": (
        "class D(dict):\n    items = die\ndef feeds():\n    yield D(x=X)",
        "SystemExit",
    ),
    "an exit of a sequence's iterator": (
        "class D(list):\n    __iter__ = die\ndef feeds():\n    yield D([X])",
        "SystemExit",
    ),
    "an exit in the text of a key": ("class K:\n    __str__ = die\ndef feeds(): return [{K(): X}]", "SystemExit"),
    "an exit in __getattr__": ("class D:\n    __getattr__ = die\ndef feeds(): return D()", "SystemExit"),
    "an exit in __class__": ("class D:\n    __class__ = property(die)\ndef feeds(): return D()", "SystemExit"),
    "an exit of a subclass of arrays": (
        "class A(np.ndarray):\n    __array__ = die\n    shape = dtype = property(die)\n    __array_finalize__ = die\n"
        "def feeds(): yield {'x': X.view(A)}",
        "SystemExit",
    ),
    "an exit when the generator is closed": (
        "def feeds():\n    try:\n        while True: yield X\n    finally: die()",
        "SystemExit",
    ),
    "an exit of click": ("import click\ndef feeds(): raise click.exceptions.Exit(0)", "Exit"),
    "an error of ours": (
        "from relu_audit.errors import VerificationError\n"
        "def feeds(): raise VerificationError('no', slug='verification')",
        "VerificationError: no",
    ),
    "no more depth": ("def deep(): deep()\ndef feeds(): deep()", "RecursionError"),
    "an end of file": ("def feeds(): raise EOFError", "EOFError"),
    "a pipe without a reader": ("def feeds(): raise BrokenPipeError(32, 'x')", "BrokenPipeError"),
    "an exception without a message": (
        "class E(Exception):\n    __str__ = __repr__ = die\ndef feeds(): raise E",
        "E: its message cannot be read",
    ),
    "an exception with a lying class": (
        "class M(type):\n    __name__ = property(die)\nclass E(Exception, metaclass=M): __traceback__ = property(die)\n"
        "def feeds(): raise E('x')",
        "E: x",
    ),
    "an exception with a terminal's codes": (
        "E = type('E\\x1b[2J\\n::error::', (Exception,), {})\ndef feeds(): raise E('a\\n::error::b\\x1b[31m')",
        "E?[2J ::error::: a ::error::b?[31m",
    ),
}


@pytest.mark.parametrize(("code", "said"), ENDS.values(), ids=ENDS)
def test_whatever_the_user_s_code_raises_is_quoted_with_its_line(
    code: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = loader(code)
    assert run(["m.onnx", "--data", data, "--max-dead", "100%", "--limit", "301", "--json", "-"]) == Exit.UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    message, hint = err.splitlines()
    assert message.startswith("error: ")
    assert message.endswith(" [data-code]")
    assert said in message
    assert "(feeds.py:" in message
    assert hint


def test_the_line_is_the_last_one_of_the_user_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import json\ndef inner():\n    json.loads('{')\ndef feeds():\n    yield X\n    inner()\n"
    assert run(["m.onnx", "--data", loader(code)]) == Exit.UNUSABLE
    number = (HEAD + code).splitlines().index("    json.loads('{')") + 1
    assert f"(feeds.py:{number})" in capsys.readouterr().err


def test_a_loader_that_runs_out_of_memory_has_a_slug_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", loader("def feeds(): raise MemoryError('Unable to allocate')")]) == Exit.UNUSABLE
    assert "MemoryError: Unable to allocate (feeds.py:9) [memory]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["l_base.py", "l_iterexit.py"])
def test_given_loaders_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not (CASES / name).is_file():
        pytest.skip("the shared cases are not there")
    assert run([str(CASES / "ok.onnx"), "--data", f"{CASES / name}:b", "--max-dead", "0"]) == Exit.UNUSABLE
    assert "[data-code]" in capsys.readouterr().err


def leave(*_: object) -> Iterator[object]:
    raise SystemExit(0)


class Leaving:
    """Data that ends the process wherever it is touched."""

    __iter__ = __array__ = leave


class Feeds:
    """Data whose second feed is never given."""

    def __iter__(self) -> Iterator[object]:
        yield {"x": X}
        leave()


@pytest.mark.parametrize("make", [Leaving, Feeds, lambda: [Leaving()], lambda: {"x": Leaving()}])
def test_the_library_guards_objects_alike(make: Callable[[], object]) -> None:
    with pytest.raises(AuditError, match=r"SystemExit: 0 \(test_user_code.py:") as caught:
        audit("m.onnx", make())
    assert caught.value.slug == "data-code"


CLOSES = "def feeds():\n os.closerange({first}, 100)\n yield {{'x': X}}"


@pytest.mark.parametrize("command", [["m.onnx"], ["prune", "m.onnx", "-o", "new.onnx", "--no-latency"]], ids=" ".join)
def test_a_loader_that_closes_all_files_ends_the_run_and_nothing_is_written(command: list[str]) -> None:
    """Onnxruntime would wait at the end of the process for ever, and a note could be printed into a report."""
    data = loader(CLOSES.format(first=3))
    done = process(*command, "--data", data, "--json", "new.json")
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: code of the user's own has closed files that it had not opened [data-code]")
    assert not [*Path().glob("new*")]
    data = loader(CLOSES.format(first=0))
    done = process(*command, "--data", data, "--json", "new.json")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")  # nothing is left to say a word with
    assert not [*Path().glob("new*")]


def test_what_runs_at_the_end_of_the_process_is_run() -> None:
    code = "atexit.register(lambda: open('ran', 'w').close())\ndef feeds(): yield {'x': X}"
    done = process("m.onnx", "--data", loader(code), "-q")
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path("ran").exists()


ASYNC = {
    "coroutine": "async def feeds(): return {'x': X}",
    "async generator": "async def feeds(): yield {'x': X}",
    "async iterator": "class A:\n def __aiter__(self): return self\ndef feeds(): return A()",
    "coroutine as a feed": "async def f(): return X\ndef feeds(): yield f()",
    "coroutines in a feed": "async def f(): return X\ndef feeds(): yield {'x': X, 'y': f(), 'z': f()}",
    "coroutines in a sequence": "async def f(): return X\ndef feeds(): yield (f(), f())",
}


@pytest.mark.parametrize("code", ASYNC.values(), ids=ASYNC)
def test_an_async_loader_is_refused_in_so_many_words(code: str) -> None:
    done = process("m.onnx", "--data", loader(code))
    assert done.returncode == 2
    assert b"a loader must not be async [data-kind]" in done.stderr
    assert b"never awaited" not in done.stderr


def test_a_loader_that_is_both_async_and_plain_is_read() -> None:
    code = "class A:\n def __aiter__(self): return self\n def __iter__(self): yield {'x': X}\ndef feeds(): return A()"
    assert run(["m.onnx", "--data", loader(code), "-q"]) == 0


def test_a_generator_that_the_caller_holds_is_left_open() -> None:
    given = iter([{"x": X}, {"x": X}, {"x": X[:5]}])
    held = (feed for feed in given)
    assert audit("m.onnx", held, limit=300).data.samples == 300
    assert [len(feed["x"]) for feed in held] == [300, 5]


def test_an_exit_from_outside_is_no_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A handler of signals, which a loader may have set, runs in the midst of ours."""
    monkeypatch.setattr(Session, "run", leave)
    assert run(["m.onnx", "--data", "d.npz", "--max-dead", "100%"]) == Exit.UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    assert "SystemExit: 0 (test_user_code.py:" in err
    assert "[data-code]" in err


# Whatever is left behind --------------------------------------------------------------------------------------------


def test_what_is_set_for_the_user_s_code_holds_for_that_code_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code = """
np.seterr(all="raise")
def feeds():
    for _ in range(2):
        try:
            np.float32(1) / np.float32(0)
        except FloatingPointError:
            yield {"x": X}
"""
    before = np.geterr()
    assert run(["m.onnx", "--data", loader(code), "--json", "a.json"]) == Exit.PASSED
    assert np.geterr() == before
    assert load("a.json").data.samples == 600


def test_outputs_go_where_they_were_meant_to_go_whatever_folder_the_loader_chooses(folder: Path) -> None:
    Path("sub").mkdir()
    np.savez("sub/other.npz", x=X)
    code = "os.chdir('sub')\ndef feeds():\n    yield {'x': np.load('other.npz')['x']}\n"
    wanted = ["--json", "a.json", "--prune", "p.onnx", "--annotate", "annotated.onnx", "--no-latency"]
    assert run(["m.onnx", "--data", loader(code), *wanted]) == Exit.PASSED
    assert Path.cwd() == folder
    assert {"a.json", "p.onnx", "annotated.onnx"} <= {path.name for path in folder.iterdir()}
    assert [path.name for path in (folder / "sub").iterdir()] == ["other.npz"]


def test_what_a_destructor_raises_is_said_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = """
class D:
    def __iter__(self): yield {"x": X}
    def __del__(self): raise End("x\\n::error::y")
def feeds(): return D()
"""
    assert run(["m.onnx", "--data", loader(code), "--max-dead", "100%"]) == Exit.PASSED
    assert capsys.readouterr().err == "note: ignored where Python cannot raise: End: x ::error::y\n"


NOISE = """
import ctypes
print("NOISE at import")
def feeds():
    print("NOISE from Python")
    sys.__stdout__.write("NOISE from the first stream\\n")
    sys.__stdout__.flush()
    os.write(1, b"NOISE from the descriptor\\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"NOISE from C")
    libc.fflush(None)
    subprocess.run(["echo", "NOISE from a child"])
    thread = threading.Thread(target=print, args=("NOISE from a thread",))
    thread.start()
    thread.join()
    yield {"x": X}
"""


def test_standard_output_is_for_reports_whoever_prints(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", loader(NOISE), "--json", "-"]) == Exit.PASSED
    out, err = capfd.readouterr()
    assert load(out.encode()).dead == 1
    assert err.count("NOISE") == 7 - (sys.__stdout__.fileno() != 1)
    os.write(1, b"as before\n")
    assert capfd.readouterr() == ("as before\n", "")


def test_the_summary_stands_alone_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["m.onnx", "--data", loader(NOISE)]) == Exit.PASSED
    out, _ = capfd.readouterr()
    assert out.startswith("m.onnx on 300 samples")
    assert "NOISE" not in out
    assert run(["prune", "m.onnx", "--data", "feeds.py:feeds", "--output", "p.onnx", "--no-latency"]) == Exit.PASSED
    out, _ = capfd.readouterr()
    assert out.startswith("m.onnx: ")
    assert "NOISE" not in out


# Real processes -----------------------------------------------------------------------------------------------------


def test_nothing_that_outlives_the_loader_prints_into_the_report_or_changes_the_exit_code() -> None:
    code = """
def late():
    while True:
        print("NOISE", flush=True)
        os.write(1, b"NOISE")
        time.sleep(0.01)
sys.stdout.write("NOISE in a buffer")
threading.Thread(target=late, daemon=True).start()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1); print('NOISE')"])
atexit.register(lambda: os._exit(0))
atexit.register(lambda: child.wait())
atexit.register(lambda: os.write(1, b"NOISE at the end"))
def feeds():
    yield {"x": X}
"""
    done = process("m.onnx", "--data", loader(code), "--json", "-", "--max-dead", "0")
    assert done.returncode == Exit.FAILED
    assert load(done.stdout).gate.outcome == "failed"
    assert b"NOISE at the end" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("os._exit(0)", True),
        ("os.execlp('true', 'true')", True),
        ("threading.Thread(target=os._exit, args=(0,)).start(); time.sleep(0.1)", False),
    ],
)
def test_leaving_at_once_is_an_exit_like_any_other(code: str, refused: bool) -> None:
    data = loader(f"def feeds():\n    yield {{'x': X}}\n    {code}\n")
    done = process("m.onnx", "--data", data, "--max-dead", "0")
    assert done.returncode == (Exit.UNUSABLE if refused else Exit.FAILED)
    assert (b"gate: FAILED" in done.stdout) != refused
    assert (b"was called (feeds.py:" in done.stderr) == refused


def test_closed_streams_keep_neither_the_report_nor_the_word_from_coming_out() -> None:
    code = """
def feeds():
    yield {"x": X}
    sys.stdout.close()
    sys.__stdout__.close()
    sys.stderr.close()
    for descriptor in (1, 2):
        try: os.close(descriptor)
        except OSError: pass
    sys.stdout = sys.stderr = None
    sys.exit = print
"""
    arguments = ["--max-dead", "0", "--json", "a.json", "--github"]
    done = process("m.onnx", "--data", loader(code), *arguments)
    assert done.returncode == Exit.FAILED
    assert load("a.json").gate.outcome == "failed"
    assert b"::error title=relu-audit" in done.stdout
    assert b"gate: FAILED" in done.stderr


def test_a_handler_of_signals_that_leaves_is_no_pass() -> None:
    onnx.save(graph("float[n, 4] x", "float[n, 4] y", "y = Relu (x)"), "slow.onnx")
    code = """
signal.signal(signal.SIGALRM, die)
def feeds():
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    while True: yield {"x": X}
"""
    done = process("m.onnx", "--data", loader(code), "--max-dead", "100%")
    assert done.returncode == Exit.UNUSABLE
    assert done.stdout == b""
    assert b"[data-code]" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("child", ["sys.exit(0)", "pass", "raise End"])
def test_a_process_that_the_loader_forks_does_not_audit(child: str) -> None:
    code = f"def feeds():\n    if not os.fork():\n        {child}\n    else: os.wait()\n    return [X]\n"
    done = process("m.onnx", "--data", loader(code), "--max-dead", "0")
    assert done.returncode == Exit.FAILED
    assert done.stdout.count(b"gate: FAILED") == 1
    assert done.stderr == b""


def test_closed_standard_error_is_no_bug_of_ours() -> None:
    command = f"{sys.executable} -m relu_audit m.onnx --data d.npz --max-dead 0 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE)
    assert done.returncode == Exit.FAILED
    assert b"gate: FAILED" in done.stdout


# What a stranger found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [True, np.eye(300, 4, dtype=bool)], ids=["all", "some"])
def test_a_masked_entry_is_no_number(mask: Any) -> None:
    with pytest.raises(AuditError) as caught:
        audit(mlp((4, 8, 2)), [{"x": np.ma.masked_array(np.ones((300, 4), "f"), mask)}])
    assert caught.value.slug == "data-kind"
    assert "masked" in str(caught.value)


def test_a_masked_array_without_a_masked_entry_is_read() -> None:
    audit(mlp((4, 8, 2)), [{"x": np.ma.masked_array(np.ones((3, 4), "f"))}])


@pytest.mark.parametrize(
    ("feed", "slug", "said"),
    [
        (None, "data-kind", "holds no arrays"),
        ({}, "data-name", "found: none"),
        ({"x": None}, "data-name", "found: none"),
    ],
)
def test_a_feed_without_arrays_is_refused(feed: object, slug: str, said: str) -> None:
    with pytest.raises(AuditError) as caught:
        audit(mlp((4, 8, 2)), [feed])
    assert caught.value.slug == slug
    assert said in str(caught.value)


def test_a_thread_that_a_loader_leaves_behind_keeps_no_process(tmp_path: Path) -> None:
    onnx.save(mlp((4, 8, 2)), tmp_path / "m.onnx")
    code = "import threading, time, numpy as np\ndef f():\n threading.Thread(target=time.sleep, args=(600,)).start()\n"
    (tmp_path / "t.py").write_text(code + " yield {'x': np.ones((3, 4), 'f')}\n")
    command = [sys.executable, "-m", "relu_audit", "m.onnx", "--data", "t.py:f", "-q", "--json", "-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith(b"}")


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="the system has no file for standard output")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_standard_output_goes_by_its_other_names(name: str, tmp_path: Path) -> None:
    onnx.save(mlp((4, 8, 2)), tmp_path / "m.onnx")
    command = [sys.executable, "-m", "relu_audit", "m.onnx", "--data", "random:3", "-q", "--json", name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout[:1]) == (0, b"{")
