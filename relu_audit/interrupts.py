"""SIGINT and SIGTERM, for the command line: the first ends what runs, in good order; another one ends the process.

Python calls a handler between two of its own instructions, and so never while onnxruntime runs a model that has no end.
The interpreter's own handler writes the signal's number into a socket as well, and a thread that waits there asks
onnxruntime to stop. The library leaves signals alone: nothing here happens unless :func:`attend` was called.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

ATTENDED = (signal.SIGINT, signal.SIGTERM)

TOGETHER = 1.0
"""Seconds within which signals are one: a terminal, ``timeout`` and what starts jobs send theirs to a process twice."""


class Stoppable(Protocol):
    """A run that ends once this is set."""

    terminate: bool


_running: set[Stoppable] = set()


@contextmanager
def stoppable(run: Stoppable) -> Generator[None]:
    """Let a signal end a run meanwhile."""
    _running.add(run)
    try:
        yield
    finally:
        _running.discard(run)


def attend() -> None:
    """Let the first signal raise KeyboardInterrupt in the main thread and end its runs, and another one be the last.

    Signals that the process was told to ignore stay ignored.
    """
    attended = [one for one in ATTENDED if signal.getsignal(one) is not signal.SIG_IGN]
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    threading.Thread(target=_watch, args=(ours,), name="signals", daemon=True).start()
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    raising = _Raising()
    sys.unraisablehook = raising.again
    for one in attended:
        signal.signal(one, raising)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave)


def dismiss() -> None:
    """From here on a first signal ends the process at once: nothing is left to be put in order."""
    for one in ATTENDED:
        handler = signal.getsignal(one)
        if isinstance(handler, _Raising) and not handler.raised:
            signal.signal(one, signal.SIG_DFL)


def _leave() -> None:
    """In a process that user code forks off, signals are its own."""
    signal.set_wakeup_fd(-1)
    for one in ATTENDED:
        if isinstance(signal.getsignal(one), _Raising):
            signal.signal(one, signal.SIG_DFL)


class _Raising:
    """The handler: it raises once."""

    def __init__(self) -> None:
        self.raised = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.raised:
            return
        if _imports(frame):
            # What a module makes of an exception while it is imported is its own affair, and nothing is begun yet.
            _die(number)
        self.raised = True
        raise KeyboardInterrupt

    def again(self, lost: Any) -> None:
        """Raise once more what was raised where nobody can catch it."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
            return
        self.raised = False
        # Not at once: that would be raised in here, where nobody catches it either.
        threading.Timer(0.05, signal.raise_signal, (signal.SIGTERM,)).start()


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(signals: socket.socket) -> None:
    """Stop what runs when a signal comes, and the process when another one does."""
    first: float | None = None
    while numbers := signals.recv(64):
        caught = [one for one in numbers if one in ATTENDED]
        if not caught:
            continue
        now = time.monotonic()
        first = now if first is None else first
        if now - first > TOGETHER:
            _die(caught[-1])
        for run in tuple(_running):
            run.terminate = True


def _die(number: int) -> None:
    """End the process by a signal, from any thread: only the main one may change handlers by way of Python."""
    import ctypes

    ctypes.pythonapi.PyOS_setsig(number, None)
    os.kill(os.getpid(), number)
