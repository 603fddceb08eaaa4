"""Code that is not ours: a user's loader, the objects that it hands over, what is passed to the library.

It may raise anything at any moment, end the process, or leave the process in another state. All of it is called through
a :class:`Guard`, so that nothing of that is taken for an outcome of the audit.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TypeVar

from relu_audit.errors import DataError, quoted

T = TypeVar("T")


class Guard:
    """Calls code of the user's own.

    What the code sets for its own context, as numpy's handling of floating-point errors, holds for its later calls and
    for nothing of ours.

    Args:
        name: What the code is called in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._context = contextvars.copy_context()
        self._process = os.getpid()

    def __call__(self, function: Callable[..., T], *arguments: object, doing: str = "") -> T:
        """Call a function.

        Args:
            function: The function.
            *arguments: Its arguments.
            doing: What messages say it was, where that is not the code's name.

        Raises:
            DataError: ``data-code`` for whatever the code raised, an exit included; ``memory`` if it ran out of that.
            KeyboardInterrupt: As it is: an interrupt from the keyboard arrives wherever the process is at work.
        """
        try:
            result = self._context.run(function, *arguments)
        except BaseException as error:
            if os.getpid() != self._process:
                _leave(error)
            if type(error) is KeyboardInterrupt:
                raise
            raise their_fault(doing or self.name, error, sys.exc_info()[2]) from error
        if os.getpid() != self._process:
            _leave(None)
        return result


def their_fault(where: str, error: BaseException, trace: TracebackType | None) -> DataError:
    """An error of the user's own code, quoted, with the line of that code."""
    message = f"{where} raised {quoted(error)}{_line(trace)}"
    if isinstance(error, MemoryError):
        return DataError(message, slug="memory", hint="Hold fewer samples in memory at a time: yield smaller feeds.")
    return DataError(message, slug="data-code", hint="Run it by itself first.")


def _line(trace: TracebackType | None) -> str:
    """The last line of the user's own on the way to an error; of libraries, the line that was called first."""
    steps = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    called = [(file, line) for file, line in steps if not _is_within(file, (_OURS,)) and not file.startswith("<")]
    own = [(file, line) for file, line in called if _is_theirs(file)]
    for file, line in (*own[-1:], *called[:1]):
        return f" ({Path(file).name}:{line})"
    return ""


_OURS = str(Path(__file__).parent)


def _is_theirs(file: str) -> bool:
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not file.startswith("<") and not _is_within(file, (_OURS, *libraries))


def _is_within(file: str, folders: tuple[str, ...]) -> bool:
    return any(file.startswith(os.path.join(folder, "")) for folder in folders)  # noqa: PTH118 - a prefix


def _leave(error: BaseException | None) -> NoReturn:
    """End a process that the user's code forked: it is not the one that audits, so it must not write or judge."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    fine = error is None or (isinstance(error, SystemExit) and not error.code)
    os._exit(0 if fine else 1)
