"""Bugs to plant: each must be found by the cases of the default run."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzzing.surgery import OPERATORS


def _before(module: Any, name: str, act: Callable[..., object]) -> None:
    """Have something done before a function is called, with its arguments."""
    real = getattr(module, name)

    def replaced(*arguments: Any, **options: Any) -> Any:
        act(*arguments, **options)
        return real(*arguments, **options)

    setattr(module, name, replaced)


def _key_error() -> None:
    """An operator that a table lacks is looked up without asking."""
    from relu_audit.observe import opening

    rows = dict.fromkeys(name for _, name in OPERATORS if name not in ("Pow", "Mod", "Tile", "Where", "Einsum"))
    _before(opening, "locate", lambda network, *_, **__: [rows[n.op_type] for n in network.model.graph if not n.domain])


def _exit_code() -> None:
    """A whole class of errors leaves with the code of a bug."""
    from relu_audit.errors import DataError

    DataError.exit_code = 70


def _undocumented_code() -> None:
    from relu_audit.errors import UsageError

    UsageError.exit_code = 64


def _endless() -> None:
    """The opset is counted up to one that is known."""
    from relu_audit.observe import opening

    def count(checkpoint: Any, *_: object) -> None:
        while not 9 <= checkpoint.opsets.get("ai.onnx", 18) <= 24:
            pass

    _before(opening, "normalize", count)


def _weights(checkpoint: Any) -> list[Any]:
    return [v.const_value for v in checkpoint.model.graph.initializers.values() if v.const_value is not None]


def _memory() -> None:
    """Memory goes by what an attribute or a shape says."""
    from relu_audit.observe import opening

    def take(checkpoint: Any, *_: object) -> None:
        graph = checkpoint.model.graph
        given = [attribute.value for node in graph for attribute in node.attributes.values()]
        given += [size for value in (*graph.inputs, *graph.outputs) for size in value.shape or ()]
        np.ones(max((min(value, 230 << 20) for value in given if isinstance(value, int) and value > 0), default=1))

    _before(opening, "normalize", take)


def _crash() -> None:
    """A weight of booleans is too much for some C code."""
    from relu_audit.observe import opening

    def fall(checkpoint: Any, *_: object) -> None:
        if any(value.dtype.name in ("BOOL", "INT32", "UINT8") for value in _weights(checkpoint)):
            os.kill(os.getpid(), signal.SIGSEGV)

    _before(opening, "normalize", fall)


def _traceback() -> None:
    """A traceback is shown with an error."""
    from relu_audit import cli

    _before(cli, "complain", lambda *_, **__: traceback.print_exc())


def _elsewhere() -> None:
    """A file is written where nobody asked for it."""
    from relu_audit.cli import audit

    _before(audit, "deliver", lambda *_, **__: Path("../cache.txt").write_text("x", encoding="utf-8"))


def _outside() -> None:
    from relu_audit.cli import audit

    def write(*_: object, **__: object) -> None:
        path = Path("/var/tmp/relu-audit-fuzzing")  # noqa: S108
        path.write_text("x", encoding="utf-8")
        path.unlink()

    _before(audit, "deliver", write)


def _half() -> None:
    """A report is begun before it is known whether there is one."""
    from relu_audit.cli import places

    def begin(targets: dict[str, str], _: object) -> None:
        for target in targets.values():
            if target != "-":
                Path(target).touch()

    _before(places, "check_writable", begin)


def _no_slug() -> None:
    """An error has a name that no page explains."""
    from relu_audit.cli import outcome
    from relu_audit.errors import AuditError

    def rename(error: Any, *_: object, **__: object) -> None:
        if isinstance(error, AuditError):
            error.slug = {"session": "sesion", "config": "configuration"}.get(error.slug, error.slug)

    _before(outcome, "report_failure", rename)


def _nothing_written() -> None:
    """A report is forgotten, and all is said to be well."""
    from relu_audit.cli import report

    report.deliver = lambda *_, **__: None


def _recursion() -> None:
    """A graph is followed to its end by calling oneself."""
    from relu_audit.observe import opening

    def follow(network: Any, *_: object, **__: object) -> None:
        def step(value: Any, depth: int = 0) -> None:
            for node in {use.node for use in value.uses()} if depth < 2000 else ():
                for output in node.outputs[:1]:
                    step(output, depth + 1)
                    break
                break

        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(min(limit, 250))
        try:
            for value in network.model.graph.inputs:
                step(value)
        finally:
            sys.setrecursionlimit(limit)

    _before(opening, "locate", follow)


@dataclass(frozen=True)
class Fault:
    """A bug.

    Attributes:
        plant: Has this process make the mistake.
        what: As what it must be found.
        kinds: By which cases.
    """

    plant: Callable[[], None]
    what: str
    kinds: tuple[str, ...] = ("surgery", "fields", "real")


FAULTS: dict[str, Fault] = {
    "KeyError for an operator": Fault(_key_error, "bug"),
    "errors of data exit with 70": Fault(_exit_code, "bug", ("data",)),
    "errors of usage exit with 64": Fault(_undocumented_code, "code", ("config", "options", "audit")),
    "endless for an unknown opset": Fault(_endless, "endless"),
    "memory as the file says": Fault(_memory, "memory"),
    "segmentation fault": Fault(_crash, "crash"),
    "traceback with an error": Fault(_traceback, "traceback"),
    "file beside the folder": Fault(_elsewhere, "wrote"),
    "file far away": Fault(_outside, "strayed"),
    "report begun too early": Fault(_half, "half"),
    "error without a paragraph": Fault(_no_slug, "silent"),
    "report forgotten": Fault(_nothing_written, "missing", ("audit",)),
    "recursion over depth": Fault(_recursion, "bug"),
}
