"""``python -m relu_audit``: the command line, where no script of its name is on the path."""

import signal

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until the command line attends to it, a signal ends the process without a word.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from relu_audit.cli import main

    main()
