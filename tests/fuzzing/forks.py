"""Run cases: a process that has imported everything forks a child for each, watches it and what it writes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzzing.cases import Case

SECONDS = 20
"""What any run may take of a processor."""

PATIENCE = 4
"""How many times as long it may take altogether, on a machine that is busy, before it is ended."""

MAPPED = 4 << 30
"""Bytes that any run may map beyond what its process had before."""

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """What a run did.

    Attributes:
        code: Its exit code; negative for a signal, None if it had to be ended.
        said: Standard output and error.
        seconds: How long it took.
        peak: Bytes of memory that it had at most.
        strayed: Paths outside its folder that it wrote to, programs that it started.
        before: Content of every file in its folder, by name.
        after: The same afterwards.
        raw: For a run that crashed: whether onnxruntime by itself does, on the same model.
    """

    code: int | None
    said: str
    seconds: float
    peak: int
    strayed: tuple[str, ...]
    before: dict[str, bytes]
    after: dict[str, bytes]
    raw: bool = False


class Runner:
    """One process that forks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RELU_AUDIT")},
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),
            "TMPDIR": str(folder / "case/tmp"),
            "GITHUB_STEP_SUMMARY": "",
            "COLUMNS": "120",
        }
        command = [sys.executable, "-m", "tests.fuzzing.forks"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )

    def close(self) -> None:
        self._process.communicate()

    def run(self, case: Case, fault: str = "", limit: int = SECONDS) -> Result:
        """Run a case in a folder of its own.

        Args:
            case: The case.
            fault: A bug to plant.
            limit: Seconds of a processor that the run may take.
        """
        work = self.folder / "case" / "repo" / "work"
        shutil.rmtree(self.folder / "case", ignore_errors=True)
        work.mkdir(parents=True)
        (self.folder / "case" / "tmp").mkdir()
        for name, content in case.files.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(content)
        before = _contents(self.folder / "case")
        job = {"arguments": case.arguments, "environment": dict(case.environment), "fault": fault, "limit": limit}
        told = self._ask(job)
        said, strayed = (
            (self.folder / name).read_text(encoding="utf-8", errors="replace") for name in ("said", "strayed")
        )
        after = _contents(self.folder / "case")
        raw = False
        if told["code"] is None or told["code"] < 0:
            alone = self._ask({**job, "arguments": None, "environment": {}})
            raw = alone["code"] is None or alone["code"] < 0
        return Result(told["code"], said, told["seconds"], told["peak"], (*strayed.splitlines(),), before, after, raw)

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**job, "folder": str(self.folder)}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for one that onnxruntime makes for its telemetry."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ".ses")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def serve(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Answer jobs, each by a child."""
    import relu_audit.api.audit
    import relu_audit.api.prune
    import relu_audit.report.formats
    import relu_audit.report.html
    import relu_audit.surgery.annotate
    from relu_audit.cli import main, root
    from tests.fuzzing.faults import FAULTS

    del relu_audit, root
    for line in lines:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _begin(job)
                if job["arguments"] is None:
                    _onnxruntime_alone()
                else:
                    if job["fault"]:
                        FAULTS[job["fault"]].plant()
                    main(job["arguments"])
                code = 0
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                code = 1
            for stream in sys.stdout, sys.stderr:
                stream.flush()
            os._exit(code)
        start, code = time.monotonic(), None
        while time.monotonic() - start < job["limit"] * PATIENCE:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                code = None if code == -signal.SIGXCPU else code
                break
            time.sleep(0.002)
        else:
            os.kill(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
        yield {"code": code, "seconds": time.monotonic() - start, "peak": usage.ru_maxrss << 10}


def _begin(job: dict[str, Any]) -> None:
    """What a child does first: its folder, its limits, where it speaks, and who watches it."""
    folder = Path(job["folder"])
    os.chdir(folder / "case" / "repo" / "work")
    os.environ.update(job["environment"])
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    strayed = os.open(folder / "strayed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MAPPED, mapped + MAPPED))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (job["limit"], job["limit"] + 5))
    home = os.path.realpath(folder / "case")

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"):
            os.write(strayed, f"{event} {arguments[0]!r}\n".encode(errors="replace"))
        elif event == "open" and isinstance(arguments[0], str | bytes) and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                _report(arguments[0])
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"):
            _report(arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            _report(arguments[1])

    def _report(path: Any) -> None:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else home
        if not os.path.realpath(text).startswith((home, "/dev/", "/proc/")):
            os.write(strayed, f"{text!r}\n".encode(errors="replace"))

    sys.addaudithook(watch)


def _onnxruntime_alone() -> None:
    """Open and run a model as its owner would, with ones for its inputs."""
    import numpy as np
    import onnxruntime  # noqa: TID251

    try:
        session: Any = onnxruntime.InferenceSession("m.onnx")
        feeds = {}
        for given in session.get_inputs():
            kind = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8", "tensor(bool)": "?"}
            shape = [size if isinstance(size, int) else 2 for size in given.shape]
            feeds[given.name] = np.ones(shape, kind.get(given.type, "f4"))
        session.run(None, feeds)
    except Exception:  # noqa: S110 - a refusal is no crash
        pass


if __name__ == "__main__":
    for answer in serve(sys.stdin):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
