"""What is said of whatever ends a command, and the exit code that it comes to."""

from __future__ import annotations

import errno
import io
import sys
import traceback

import click

from relu_audit.cli import Exit
from relu_audit.cli.streams import ReaderGoneError, say
from relu_audit.errors import AuditError, ModelError, RunError, UsageError, one_line, quoted
from relu_audit.guard import their_fault


def report_failure(error: BaseException, about: str = "") -> int:
    """Say on standard error what went wrong and what to do; the exit code.

    Args:
        error: What ended a command.
        about: The model that the command was at, where there are several.
    """
    if isinstance(error, ReaderGoneError):
        return Exit.UNUSABLE
    if isinstance(error, click.ClickException):
        text = io.StringIO()
        error.show(text)
        say(text.getvalue())
        return Exit.UNUSABLE
    where = f"{one_line(about)}: " if about else ""
    known = _without_files(error) or (error if isinstance(error, AuditError) else _known(error))
    if known is None:
        say(
            f"internal error: {where}{quoted(error)}",
            "This is a bug in relu-audit. Please report it with the output of the same command with --debug.",
        )
        return Exit.BUG
    say(f"error: {where}{known.message} [{known.slug}]", known.hint)
    return known.exit_code


def _without_files(error: BaseException) -> AuditError | None:
    """What to say of a process that may open no more files, whatever was made of that where it came up."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    refused = any(isinstance(one, OSError) and one.errno in (errno.EMFILE, errno.ENFILE) for one in causes)
    if not refused or (isinstance(error, AuditError) and error.slug == "data-code"):  # such code has lines of its own
        return None
    return UsageError(
        "the operating system refused: too many open files",
        slug="system",
        hint="Let the process open more of them, as with: ulimit -n 1024",
    )


def _known(error: BaseException) -> AuditError | None:
    """What is no bug of ours, though nothing has foreseen it where it came up."""
    trace = error.__traceback__
    if isinstance(error, MemoryError):
        traceback.clear_frames(trace)  # they hold what filled the memory, and to say so takes a little
        return RunError(
            f"there is not enough memory ({quoted(error)})",
            slug="memory",
            hint="Run fewer samples at a time (--batch-size 1) or fewer samples (--limit), or raise --memory-limit.",
        )
    # Where calls are not deep, a RecursionError is a bug of ours.
    if isinstance(error, RecursionError) and sum(1 for _ in traceback.walk_tb(trace)) > sys.getrecursionlimit() // 2:
        return ModelError(
            "the model, or another file, is nested too deeply to be read",
            slug="too-deep",
            hint="If it is not, please report this with the output of the same command with --debug.",
        )
    if isinstance(error, OSError):
        return UsageError(f"the operating system refused: {quoted(error)}", slug="system")
    if not isinstance(error, Exception):  # as from a handler of signals that the user's code has set
        return their_fault("code of the user's own", error, trace)
    return None
