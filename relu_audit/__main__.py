"""The command line's entry, for ``python -m relu_audit`` and for the script of its name."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and let a signal end the process without a word until the command line attends to it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from relu_audit.cli import main as run

    run()


if __name__ == "__main__":
    main()
