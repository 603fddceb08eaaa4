"""The command group: auditing is what happens when no other command is named."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from relu_audit.cli.audit import audit
from relu_audit.cli.compare import compare
from relu_audit.cli.completion import completion
from relu_audit.cli.each import each
from relu_audit.cli.prune import prune
from relu_audit.cli.report import report
from relu_audit.cli.schema import schema
from relu_audit.cli.sites import sites
from relu_audit.version import __version__

DEFAULT = audit


class Root(click.Group):
    """A group whose default command takes over when the first word is none of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in front where none is named."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        if args and args[0] not in self.commands and args[0] not in own:
            self._refuse_mistyped(ctx, args[0])
            args = [DEFAULT.name or "", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The default command's help, then the other commands."""
        formatter.write_usage("relu-audit", "MODEL --data DATA [OPTIONS]")
        formatter.write_usage("relu-audit", "COMMAND [ARGS]...", prefix="       ")
        DEFAULT.format_help_text(ctx, formatter)
        DEFAULT.format_options(click.Context(DEFAULT, parent=ctx, info_name="audit"), formatter)
        self.format_commands(ctx, formatter)
        DEFAULT.format_epilog(ctx, formatter)

    def _refuse_mistyped(self, ctx: click.Context, word: str) -> None:
        looks_like_file = word.startswith("-") or any(c in word for c in "./\\") or Path(word).exists()
        if looks_like_file or ctx.resilient_parsing:
            return
        near = difflib.get_close_matches(word, self.commands, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Commands: {', '.join(sorted(self.commands))}."
        raise click.UsageError(f"there is no command and no model file named '{word}'. {hint}", ctx)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relu-audit", message="%(prog)s %(version)s")
def root() -> None:
    """Find the rectifier units of an ONNX model that never fire, and gate on them."""


for command in (audit, each, prune, report, compare, sites, schema, completion):
    root.add_command(command)
