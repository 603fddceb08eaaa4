"""``relu-audit schema``: the JSON Schema of the audit format."""

from __future__ import annotations

import click


@click.command()
def schema() -> int:
    """Print the JSON Schema of the audit format."""
    from relu_audit.report.json import schema as text

    click.echo(text(), nl=False)
    return 0
