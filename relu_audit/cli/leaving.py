"""The process leaves with the exit code of its run, whoever ends the process."""

from __future__ import annotations

import os
from typing import NoReturn


class Leaving:
    """Takes the place of ``os._exit``, with which code of the user's own could leave with 0 before any word was said.

    Before the run has come to its exit code, a call is an exit that can be refused like any other. Afterwards, as from
    a handler that runs at the end, it leaves with that code. Processes that were forked leave as they like.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self._really = os._exit
        self._process = os.getpid()
        setattr(os, "_exit", self)  # noqa: B010 - by name, since a type checker knows that it is not to be replaced

    def __call__(self, status: int) -> NoReturn:
        """Leave, or refuse to."""
        if os.getpid() != self._process:
            self._really(status)
        if self.code is not None:
            self._really(self.code)
        raise SystemExit(status)
