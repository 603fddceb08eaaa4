"""What commands that run a model share: where their defaults come from, how the model is run, the progress bar."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relu_audit.cli import config
from relu_audit.cli.memory import Size, set_limit
from relu_audit.cli.options import Axis, Pair, SampleAxis, option

if TYPE_CHECKING:
    from relu_audit.observe.stream import Progress

F = TypeVar("F", bound=Callable[..., Any])


TABLES = "relu_audit.tables"
"""Where a command's context keeps the settings of the gate that no option can hold."""

OPERATORS = "relu_audit.operators"
"""Where a command's context keeps what custom operators do to axes."""


class Configured(click.Command):
    """A command whose defaults come from a configuration file, if there is one."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Look the configuration up before the options are read."""
        found = None
        if not extra.get("resilient_parsing"):
            group = None if parent is None else parent.command
            family = [*group.commands.values()] if isinstance(group, click.Group) else [self]
            config.check_environment(family, os.environ)
            found = config.find(Path.cwd())
            if found is not None:
                extra["default_map"] = config.defaults(self, family, *found)
        try:
            context = super().make_context(info_name, args, parent, **extra)
        except click.BadParameter as error:
            config.name_source(error, None if found is None else found[0])
            raise
        context.meta[TABLES] = {} if found is None else config.tables(*found)
        context.meta[OPERATORS] = () if found is None else config.operators(*found)
        return context


batch_axis_option = option(
    "--batch-axis",
    "batch_axes",
    type=SampleAxis(),
    multiple=True,
    metavar="INPUT=AXIS",
    help="State which axis of an input holds samples; INPUT=none if the whole input belongs to every sample.",
)

_RUNNING = (
    option("--limit", type=click.IntRange(min=1), metavar="N", help="Use at most N samples."),
    option(
        "--batch-size",
        type=click.IntRange(min=1),
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
        type=click.IntRange(min=0, max=256),
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
    if quiet or not sys.stderr.isatty():
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
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("audit", total=None, rate="", silent=0, units=0)

        def show(event: Any) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(
                task, completed=event.samples, total=event.expected, silent=event.silent, units=event.units, rate=rate
            )

        yield show
