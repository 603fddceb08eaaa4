"""The command line's entry, for ``python -m relu_audit`` and for the script of its name."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and let a signal end the process without a word until the command line attends to it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from relu_audit.cli import main as run

        run()
    except Exception as error:  # not even the files of this program can be read
        raise SystemExit(_not_started(error)) from None


def _not_started(error: Exception) -> int:
    """Say that the command line does not run; the exit code."""
    sys.stderr.write(f"error: relu-audit does not start: {error} [system]\n")
    return 2


if __name__ == "__main__":
    main()
