"""``relu-audit schema``: the JSON Schema of the audit format."""

from __future__ import annotations

import click

from relu_audit.cli.streams import write


@click.command()
def schema() -> int:
    """Print the JSON Schema of the audit format."""
    from relu_audit.report.json import schema as text

    write(text().encode())
    return 0
