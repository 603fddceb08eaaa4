"""The command line: one file per command, no arithmetic. The entry point gives every outcome its own exit code."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from relu_audit.errors import AuditError


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

    try:
        # Pipelines end a job with SIGTERM; what was seen so far is worth as much as after Ctrl-C.
        interrupts.attend()
        _forgive_characters()
        code = run(sys.argv[1:] if arguments is None else arguments)
        interrupts.dismiss()
    except KeyboardInterrupt:
        _say("interrupted before any data was seen", "")
        code = Exit.INCONCLUSIVE
    # The process ends: to search all that was ever imported for garbage would take a quarter of a second.
    gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code. Whatever goes wrong is said on standard error, in a line or two."""
    import click

    from relu_audit.cli.root import root
    from relu_audit.errors import AuditError

    try:
        code = root.main(list(arguments), prog_name="relu-audit", standalone_mode=False)
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - it is, once closed
            sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.UNUSABLE
    except AuditError as error:
        complain(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted before any data was seen", "")
        return Exit.INCONCLUSIVE
    except SystemExit as leaving:
        # click leaves this way when it has completed a word, and when the reader of our output has gone away.
        if leaving.code:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.UNUSABLE if leaving.code else Exit.PASSED
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _say(f"error: cannot write to standard output: {error.strerror} [output]", "Write to a file instead.")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return Exit.UNUSABLE
    except Exception as error:  # the last resort: a bug of ours must not look like a breached gate
        _say(
            f"internal error: {type(error).__name__}: {error}",
            "This is a bug in relu-audit. Please report it with the output of the same command with --debug.",
        )
        return Exit.BUG


def _forgive_characters() -> None:
    """Spell out on standard output what its encoding lacks, as Python does on standard error."""
    stdout: Any = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")


def complain(error: AuditError, about: str = "") -> None:
    """Say on standard error what was wrong, with the model it was about where there are several, and what to do."""
    from relu_audit.errors import one_line

    where = f"{one_line(about)}: " if about else ""
    _say(f"error: {where}{error.message} [{error.slug}]", error.hint)


def _say(message: str, hint: str) -> None:
    for line in (message, hint):
        if line:
            sys.stderr.write(line + "\n")
