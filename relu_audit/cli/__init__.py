"""The command line: one file per command, no arithmetic. The entry point gives every outcome its own exit code."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NoReturn


class Exit(IntEnum):
    """What the exit code means."""

    PASSED = 0
    FAILED = 1
    UNUSABLE = 2
    INCONCLUSIVE = 3
    UNFAITHFUL = 4
    BUG = 70


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    from relu_audit import interrupts
    from relu_audit.cli import leaving

    left = leaving.Leaving()
    try:
        # Pipelines end a job with SIGTERM; what was seen so far is worth as much as after Ctrl-C.
        interrupts.attend()
        _forgive_characters()
        from relu_audit.cli import streams

        # They are never closed: what outlives the run must not print into a report.
        held = streams.opened()
        left.code = _outcome(sys.argv[1:] if arguments is None else arguments)
        held.settle()
        interrupts.dismiss()
    except KeyboardInterrupt:
        from relu_audit.cli.streams import say

        if left.code is None:
            say("interrupted before any data was seen")
            left.code = Exit.INCONCLUSIVE
    # The process ends: to search all that was ever imported for garbage would take a quarter of a second.
    gc.freeze()
    left.leave()


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. Whatever goes wrong is said on standard error, in a line or two."""
    from relu_audit.cli import streams

    with contextlib.closing(streams.opened()):
        return _outcome(arguments)


def _outcome(arguments: Sequence[str]) -> int:
    try:
        return int(_said(arguments))
    except BaseException as error:  # to say more takes memory and files, and there are none
        with contextlib.suppress(BaseException):
            os.write(2, f"error: {getattr(error, 'strerror', None) or type(error).__name__} [system]\n".encode())
        return Exit.UNUSABLE


def _said(arguments: Sequence[str]) -> int:
    """Run a command, and say what ended it if that was no command's end."""
    import click

    from relu_audit.cli.outcome import report_failure
    from relu_audit.cli.root import root
    from relu_audit.cli.streams import is_claimed, say

    try:
        code = root.main(list(arguments), prog_name="relu-audit", standalone_mode=False)
        if not is_claimed() and sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - once closed
            sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # to click an end of file is an end of input from the keyboard
            return report_failure(error.__cause__)
        say("interrupted before any data was seen")
        return Exit.INCONCLUSIVE
    except BaseException as error:
        printing = isinstance(error, OSError) and error.filename is None
        if is_claimed() or not (printing or isinstance(error, SystemExit)):
            return report_failure(error)
        # click leaves this way when it has completed a word, and when the reader of our output has gone away.
        if isinstance(error, OSError):
            say(f"error: cannot write to standard output: {error.strerror} [output]", "Write to a file instead.")
        elif isinstance(error, SystemExit) and not error.code:
            return Exit.PASSED
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.UNUSABLE


def _forgive_characters() -> None:
    """Spell out on standard output what its encoding lacks, as Python does on standard error."""
    stdout: Any = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")
