"""What commands that run a model share: where their defaults come from, how the model is run, the progress bar."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relu_audit.cli import config
from relu_audit.cli.configuration import Configuration, find
from relu_audit.cli.memory import Size, set_limit
from relu_audit.cli.options import Axis, Pair, SampleAxis, Whole, always, option
from relu_audit.cli.places import CONFIGURATION, the_file
from relu_audit.cli.streams import say, terminal
from relu_audit.cli.trust import capped, refuse_untrusted
from relu_audit.errors import one_line
from relu_audit.records import as_text

if TYPE_CHECKING:
    from msgspec import UnsetType

    from relu_audit.observe.stream import Progress
    from relu_audit.records import Audit, ConfigurationInfo

F = TypeVar("F", bound=Callable[..., Any])


TABLES = "relu_audit.tables"
"""Where a command's context keeps the settings of the gate that no option can hold."""

OPERATORS = "relu_audit.operators"
"""Where a command's context keeps what custom operators do to axes."""

REMARKS = "relu_audit.remarks"
"""Where a command's context keeps what is to be said of the configuration."""


class Configured(click.Command):
    """A command whose defaults come from a configuration file, if there is one, which :func:`config_option` reads."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hold what the file sets against what a file may set, once the options are read."""
        try:
            context = super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as error:
            config.name_source(error, None if error.ctx is None else error.ctx.meta.get(CONFIGURATION))
            raise
        configuration: Configuration | None = context.meta.get(CONFIGURATION)
        if configuration is not None:
            refuse_untrusted(context, context.params, configuration)
            tables = config.tables(configuration)
            tables["layers"], remarks = capped(context, tables["layers"], configuration)
            context.meta[TABLES] = tables
            _remark(context, remarks)
        return context


def _configure(context: click.Context, _: click.Parameter, without: bool) -> None:
    """Look the configuration up before the other options are read."""
    if context.resilient_parsing:
        return
    group = None if context.parent is None else context.parent.command
    family = [*group.commands.values()] if isinstance(group, click.Group) else [context.command]
    if isinstance(context.command, Configured):
        config.check_environment(family, os.environ)
    configuration = None if without else find(Path.cwd())
    if configuration is None:
        return
    context.meta[CONFIGURATION] = configuration
    context.meta[OPERATORS] = config.operators(configuration)
    if isinstance(context.command, Configured):
        context.default_map = config.defaults(context.command, family, configuration)
    used = f"{shown(configuration.path)} is used{'' if configuration.table else ' and has no settings'}"
    _remark(context, [f"{used}; the settings of {shown(path)} are not used" for path in configuration.hidden])


def _remark(context: click.Context, remarks: Sequence[str]) -> None:
    """Say something of the configuration at once, and keep it for the reports."""
    for remark in remarks:
        say(f"note: {one_line(remark)}")
    context.meta[REMARKS] = (*context.meta.get(REMARKS, ()), *remarks)


def shown(path: Path) -> str:
    """The path of a file from the current folder, the same on every machine that has the same folders."""
    return as_text(Path(os.path.relpath(path)).as_posix())


def settings_file() -> ConfigurationInfo | UnsetType:
    """The configuration file that the settings of the command are from, if there was one, as records name it."""
    from msgspec import UNSET

    from relu_audit.records import ConfigurationInfo

    used: Configuration | None = click.get_current_context().meta.get(CONFIGURATION)
    return UNSET if used is None else ConfigurationInfo(name=shown(used.path), sha256=used.sha256)


def recorded(audit: Audit) -> Audit:
    """An audit, with the configuration file that its settings are from, and what is to be said of that file."""
    from msgspec.structs import replace

    remarks = click.get_current_context().meta.get(REMARKS, ())
    return replace(audit, configuration=settings_file(), notes=(*audit.notes, *remarks))


config_option = option(
    "--no-config/--config",
    is_eager=True,
    expose_value=False,
    callback=_configure,
    help="Use no settings from pyproject.toml and relu-audit.toml.",
)

batch_axis_option = option(
    "--batch-axis",
    "batch_axes",
    type=SampleAxis(),
    multiple=True,
    metavar="INPUT=AXIS",
    help="State which axis of an input holds samples; INPUT=none if the whole input belongs to every sample.",
)

_RUNNING = (
    option("--limit", type=Whole(min=1), metavar="N", help="Use at most N samples."),
    option(
        "--batch-size",
        type=Whole(min=1),
        metavar="N",
        help="Samples per run.  [default: by the size of the activations]",
    ),
    option(
        "--input",
        "inputs",
        type=Pair(),
        multiple=True,
        metavar="NAME=KEY",
        help="Feed the model's input NAME from the array KEY.",
    ),
    batch_axis_option,
    option(
        "--samples",
        type=click.Choice(["rows", "feeds"]),
        help="State what a sample is: a row along that axis, or a whole feed.  "
        "[default: rows, where no operator lets rows change each other]",
    ),
    option(
        "--unit-axis",
        "unit_axes",
        type=Axis(),
        multiple=True,
        metavar="TENSOR=AXIS",
        help="Set the axis of the units where it cannot be derived.",
    ),
    option("--provider", default="cpu", show_default=True, metavar="NAME", help="onnxruntime execution provider."),
    option(
        "--threads",
        type=Whole(min=0, max=256),
        default=0,
        show_default=True,
        metavar="N",
        help="Threads within an operator; 0 leaves it to onnxruntime.",
    ),
    option(
        "--memory-limit",
        type=Size(),
        callback=set_limit,
        expose_value=False,
        metavar="SIZE",
        help="Let the process take at most SIZE more memory than it has after its start, as 4GB.  [default: no limit]",
    ),
    option(
        "--custom-ops",
        multiple=True,
        type=click.Path(dir_okay=False),
        metavar="LIB",
        reads=the_file,
        trusts=always,
        help="Register a library of custom operators with onnxruntime. Its code is run.",
    ),
)


def running_options(function: F) -> F:
    """The options that say how a model is run; a command gets their values by the library's names for them."""

    @functools.wraps(function)
    def run(*arguments: Any, inputs: Any, unit_axes: Any, batch_axes: Any, **rest: Any) -> Any:
        given = {"inputs": dict(inputs), "unit_axes": dict(unit_axes), "batch_axes": dict(batch_axes)}
        stated = click.get_current_context().meta.get(OPERATORS, ())
        return function(*arguments, **given, operators=stated, **rest)

    wrapped: Any = run
    for decorate in reversed(_RUNNING):
        wrapped = decorate(wrapped)
    return wrapped


@contextmanager
def progress(quiet: bool) -> Generator[Callable[[Progress], None] | None]:
    """A bar on standard error where a person watches; nothing elsewhere."""
    stream = terminal()
    if quiet or stream is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("samples"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("[red]{task.fields[silent]}[/] silent of {task.fields[units]} units"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("audit", total=None, rate="", silent=0, units=0)

        def show(event: Any) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(
                task, completed=event.samples, total=event.expected, silent=event.silent, units=event.units, rate=rate
            )

        yield show
