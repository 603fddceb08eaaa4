"""``python -m relu_audit``: the command line, where no script of its name is on the path."""

from relu_audit.cli import main

if __name__ == "__main__":
    main()
