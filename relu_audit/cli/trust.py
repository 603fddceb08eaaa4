"""What a configuration file may not do: run code, write where it should not, or raise a limit that was given by hand.

The file may be a stranger's, as part of a repository. Which settings run code and which write is told by the columns of
:class:`relu_audit.cli.options.Option`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from relu_audit.cli.configuration import MOST_QUOTED, Configuration
from relu_audit.cli.options import Option
from relu_audit.errors import UsageError
from relu_audit.report.numbers import limit, plural

BY_HAND = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def refuse_untrusted(context: click.Context, values: Mapping[str, Any], configuration: Configuration) -> None:
    """Refuse what the configuration sets and only the command line and the environment may set.

    Args:
        context: The command's context, which knows where each value is from.
        values: The values of its parameters, by name.
        configuration: The file.

    Raises:
        UsageError: ``config``.
    """
    for one in context.command.params:
        if isinstance(one, Option) and context.get_parameter_source(one.name or "") is ParameterSource.DEFAULT_MAP:
            for value in given(values.get(one.name or "")):  # a limit of the process is no value of the command
                _refuse(one, value, configuration)


def given(value: object) -> list[str]:
    """The values of a parameter that takes one or several."""
    values = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return [str(one) for one in values if one is not None]


def _refuse(one: Option, value: str, configuration: Configuration) -> None:
    option, name, quoted = one.opts[0], configuration.path.name, value[:MOST_QUOTED]
    by_hand = f"give {option} on the command line, or set the environment variable {one.envvar}"
    if one.trusts(value):
        raise UsageError(
            f"{name} sets {option} to '{quoted}'; a configuration file may not name code, or what is trusted like code",
            slug="config",
            hint=f"If you trust that code, {by_hand}.",
        )
    if one.writes and not one.is_flag and value != "-":
        wrong = _misplaced(value, configuration.path.parent, one.endings)
        if wrong:
            raise UsageError(
                f"{name} sets {option} to '{quoted}', which {wrong}",
                slug="config",
                hint=f"Name another file in {name}; or {by_hand}.",
            )


def _misplaced(target: str, folder: Path, endings: Sequence[str]) -> str:
    """Why a file may not be written for a configuration in a folder; empty if it may be.

    What is code to a program, as ``src.py`` or ``.git/hooks/update``, is told by its ending or by a hidden folder.
    """
    try:
        place = Path(target).resolve()
        beneath = place.relative_to(folder.resolve()).parts
    except (OSError, ValueError, RuntimeError):  # another place, or no name that a file can have
        return "lies outside the folder of that file"
    hidden = next((part for part in beneath if part.startswith(".")), None)
    if hidden is not None:
        return f"has '{hidden}' in its path; a configuration file may name no hidden file or folder"
    if place.suffix.lower() not in endings:
        return f"ends neither in {' nor in '.join(endings)}" if len(endings) > 1 else f"does not end in {endings[0]}"
    return ""


def capped(
    context: click.Context, layers: Mapping[str, float], configuration: Configuration
) -> tuple[dict[str, float], list[str]]:
    """Limits of layers by pattern, none above the limit for each layer that was given by hand.

    Args:
        context: The command's context.
        layers: The limits that the configuration sets, by pattern.
        configuration: The file.

    Returns:
        The limits, and what to say of those that were lowered.
    """
    ceiling = context.params.get("max_dead_layer")
    if ceiling is None or context.get_parameter_source("max_dead_layer") not in BY_HAND:
        return dict(layers), []
    above = [pattern for pattern, own in layers.items() if own > ceiling]
    if not above:
        return dict(layers), []
    more = f" (and {plural(len(above) - 1, 'more pattern', 'more patterns')})" if len(above) > 1 else ""
    return {pattern: min(own, ceiling) for pattern, own in layers.items()}, [
        f"--max-dead-layer {limit(ceiling)}, given by hand, holds in place of the {limit(layers[above[0]])} that "
        f"{configuration.path.name} allows for '{above[0]}'{more}"
    ]
