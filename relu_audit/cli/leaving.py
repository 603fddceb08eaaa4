"""The process leaves with the exit code of its run, whoever ends the process."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

ENDINGS = ("_exit", "execv", "execve")
"""Functions of ``os`` that end a process before any handler could say a word; all others of their kinds call them."""


class Leaving:
    """Takes the place of functions with which code of the user's own could leave with 0 before any word was said.

    Until the run has come to its exit code, a call is an exit that can be refused like any other. Afterwards, as from a
    handler that runs at the end, a call leaves with that code. Processes that were forked leave as they like.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._leave = os._exit
        self._process = os.getpid()
        for name in ENDINGS:
            if hasattr(os, name):
                setattr(os, name, self._instead_of(name, getattr(os, name)))

    def leave(self) -> NoReturn:
        """Leave with the code, without waiting for what code of the user's own has started, or has made to wait.

        That is its threads; and onnxruntime, which waits at the end for ever if its files were closed.
        """
        waiting = any(one is not threading.main_thread() and not one.daemon for one in threading.enumerate())
        if self.code is None or not (waiting or "onnxruntime" in sys.modules):
            raise SystemExit(self.code)
        if not waiting:  # or else the handlers might wait for the threads
            with contextlib.suppress(BaseException):
                atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._leave(self.code)

    def _instead_of(self, name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def leave(*arguments: Any) -> Any:
            if os.getpid() != self._process:
                return really(*arguments)
            if self.code is not None:
                self._leave(self.code)
            raise SystemExit(f"os.{name} was called")

        return leave
