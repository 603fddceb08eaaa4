"""``relu-audit completion``: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from relu_audit.cli.streams import write


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the completion script for a shell.

    For bash: eval "$(relu-audit completion bash)"
    """
    kind = get_completion_class(shell)
    root = ctx.find_root().command
    if kind is None:
        raise click.UsageError(f"click has no completion for {shell}")
    script = kind(root, {}, "relu-audit", "_RELU_AUDIT_COMPLETE").source()
    write(f"{script}\n".encode())
    return 0
