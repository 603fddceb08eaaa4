"""What a command reads and where it writes, told by the columns of its parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from relu_audit.cli.configuration import Configuration
from relu_audit.cli.options import Argument, Option, nowhere
from relu_audit.cli.output import check_writable
from relu_audit.cli.trust import given
from relu_audit.errors import AuditError, UsageError

CONFIGURATION = "relu_audit.configuration"
"""Where a command's context keeps the configuration that is in use."""


def check_places(context: click.Context) -> None:
    """Refuse the outputs of a command that cannot be written, or that are files that the command reads.

    Raises:
        UsageError: ``output``.
    """
    check_targets(context, targets(context.command.params, context.params), context.params)


def check_targets(context: click.Context, written: Mapping[str, str], *several: Mapping[str, Any]) -> None:
    """The same for outputs of a command that may have several models.

    Args:
        context: The command's context.
        written: Where to write, by what is written there.
        several: Values of its parameters, by name, for each model.

    Raises:
        UsageError: ``output``.
    """
    check_writable(written, inputs(context, *several))
    data = [(one, value) for one, value in _values(context, several) if isinstance(one, Option)]
    folders = dict.fromkeys((one, value) for one, value in data if one.gathers is not nowhere)
    for name, target in written.items():
        _refuse_gathered(name, target, folders)


def _refuse_gathered(name: str, target: str, folders: Iterable[tuple[Option, str]]) -> None:
    """Refuse an output that would be an input of the next run."""
    if target == "-":
        return
    place = Path(target).resolve()
    for one, value in folders:
        gathered = False
        with contextlib.suppress(OSError):  # as in inputs
            gathered = one.gathers(value, place)
        if gathered:
            raise UsageError(
                f"{name} '{target}' lies in the folder '{value}', and the next run would read it for {one.opts[0]}",
                slug="output",
                hint="Name a file in another folder, or with another ending.",
            )


def targets(parameters: Iterable[click.Parameter], values: Mapping[str, Any]) -> dict[str, str]:
    """The outputs that values ask for, by option; ``-`` is standard output."""
    asked = {one: values.get(one.name or "") for one in parameters if isinstance(one, Option) and one.writes}
    return {
        one.opts[0]: "-" if one.is_flag else str(value)
        for one, value in asked.items()
        if value is not None and value is not False
    }


def inputs(context: click.Context, *several: Mapping[str, Any]) -> Iterator[Path]:
    """The files that a command reads, those of its configuration too.

    Args:
        context: The command's context.
        several: Values of its parameters, by name; more than one where the command has several models.
    """
    configuration: Configuration | None = context.meta.get(CONFIGURATION)
    yield from () if configuration is None else configuration.read
    for one, value in _values(context, several):
        # A folder that cannot be listed is refused by the code that reads it.
        with contextlib.suppress(OSError):
            yield from one.reads(value)


def _values(context: click.Context, several: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Argument | Option, str]]:
    """The values of a command's parameters, each by itself."""
    for values in several:
        for one in context.command.params:
            if isinstance(one, Argument | Option):
                yield from ((one, value) for value in given(values.get(one.name or "")))


def the_file(value: str) -> Iterator[Path]:
    """The file that a value names."""
    yield Path(value)


def model_files(value: str) -> Iterator[Path]:
    """The model that a value names and its files of weights; what is wrong with a model is said when it is audited."""
    from relu_audit.model import checkpoint

    yield Path(value)
    with contextlib.suppress(AuditError):
        yield from checkpoint.files(Path(value))


def data_files(value: str) -> Iterator[Path]:
    """The files of the calibration data that a value names."""
    from relu_audit.observe import sources

    yield from sources.files(value)


def data_gathers(value: str, file: Path) -> bool:
    """Whether a file would be calibration data once it is there."""
    from relu_audit.observe import sources

    return sources.gathers(value, file)


def runs_code(value: str) -> bool:
    """Whether calibration data is a function that is run."""
    from relu_audit.observe import sources

    return sources.runs_code(value)
