"""Defaults for options from a configuration file; a flag or an environment variable goes before them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from relu_audit.cli.configuration import MOST_QUOTED, Configuration
from relu_audit.cli.options import Share, Shares
from relu_audit.errors import UsageError

PREFIX = "RELU_AUDIT_"
TABLES = frozenset({"layers", "waivers", "operators"})
"""Settings that no option can hold; see :func:`tables`."""


def defaults(command: click.Command, family: Collection[click.Command], configuration: Configuration) -> dict[str, Any]:
    """The table as defaults for a command's parameters.

    Args:
        command: The command.
        family: All commands that read the table; a setting of another one is none of this one's business.
        configuration: The file.

    Raises:
        UsageError: ``config`` for a key that is no option, naming the nearest one.
    """
    path = configuration.path
    known = {name for one in family for name in _options(one)} | TABLES
    own = _options(command)
    out: dict[str, Any] = {}
    for key, value in configuration.table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            raise UsageError(
                f"{path.name}: '{key[:MOST_QUOTED]}' is not a setting of relu-audit",
                slug="config",
                hint=f"Did you mean '{near[0]}'?" if near else f"Settings: {', '.join(sorted(known))}",
            )
        if key in own:
            out[own[key].name or key] = _for_click(own[key], value, path, key)
    return out


def name_source(error: click.BadParameter, configuration: Configuration | None) -> None:
    """Have an error say what set the refused value, where that is not the command line.

    Args:
        error: What click refuses.
        configuration: The configuration file, if there is one.
    """
    if error.ctx is None or error.param is None or error.param_hint is not None:
        return
    source = error.ctx.get_parameter_source(error.param.name)
    if source is ParameterSource.DEFAULT_MAP and configuration is not None:
        where = f"in {configuration.path.name}"
    elif source is ParameterSource.ENVIRONMENT:
        where = f"by the environment variable {error.param.envvar}"
    else:
        return
    error.param_hint = f"{error.param.get_error_hint(error.ctx)} (set {where})"


def tables(configuration: Configuration) -> dict[str, Any]:
    """The limits of layers by pattern, and the waivers, as :func:`relu_audit.audit` takes them.

    Args:
        configuration: The file.

    Raises:
        UsageError: ``config`` for a table of another form.
    """
    path = configuration.path
    layers = configuration.table.get("layers", {})
    if not isinstance(layers, Mapping):
        raise _no_table(path, "layers", '"/encoder/*" = { max-dead-layer = "10%" }')
    waivers = _list_of_tables(configuration, "waivers", "pattern, reason and until")
    limits = cast("Mapping[str, object]", layers)
    return {
        "layers": {pattern: _layer_limit(path, pattern, limit) for pattern, limit in limits.items()},
        "waivers": waivers,
    }


def operators(configuration: Configuration) -> tuple[Mapping[str, Any], ...]:
    """What custom operators do to axes, as :func:`relu_audit.audit` takes it.

    Args:
        configuration: The file.

    Raises:
        UsageError: ``config`` for a table of another form.
    """
    return _list_of_tables(configuration, "operators", "domain, op and signature")


def _list_of_tables(configuration: Configuration, key: str, settings: str) -> tuple[Mapping[str, Any], ...]:
    found = configuration.table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in cast("list[object]", found)):
        raise _no_table(configuration.path, key, f"[[tool.relu-audit.{key}]], then {settings}")
    return tuple(cast("list[Mapping[str, Any]]", found))


def _layer_limit(path: Path, pattern: str, given: object) -> float:
    """The one setting that a layer can have of its own."""
    if not isinstance(given, Mapping) or [*cast("Mapping[str, object]", given)] != ["max-dead-layer"]:
        raise _no_table(path, f"layers.'{pattern}'", '{ max-dead-layer = "10%" }')
    value = cast("Mapping[str, object]", given)["max-dead-layer"]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UsageError(
            f"{path.name}: layers.'{pattern}': max-dead-layer cannot be {_kind(value)}",
            slug="config",
            hint=f"Write max-dead-layer = {Share.example}",
        )
    try:
        return Share().convert(value, None, None)
    except click.BadParameter as error:
        raise UsageError(f"{path.name}: layers.'{pattern}': {error.message}", slug="config") from error


def _no_table(path: Path, key: str, example: str) -> UsageError:
    return UsageError(f"{path.name}: '{key}' is not of the right form", slug="config", hint=f"Write {example}.")


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options that are settings: those that a variable can set as well."""
    return {
        name.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.is_eager and parameter.envvar
        for name in parameter.opts
        if name.startswith("--")
    }


def check_environment(family: Collection[click.Command], names: Collection[str]) -> None:
    """Refuse a variable of ours that sets nothing: a misspelt limit would be no limit.

    Raises:
        UsageError: ``config``, naming the nearest variable.
    """
    known = {str(p.envvar) for one in family for p in one.params if isinstance(p, click.Option) and p.envvar}
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise UsageError(
                f"the environment variable {name} is no setting of relu-audit",
                slug="config",
                hint=f"Did you mean {near[0]}?" if near else "See relu-audit --help.",
            )


def _for_click(option: click.Option, value: object, path: Path, key: str) -> Any:
    """What a file sets, as the option takes it."""

    def plain(item: object) -> str:
        if option.is_flag or isinstance(item, bool) or not isinstance(item, int | float | str):
            raise _cannot_be(option, item, path, key)
        return str(item)

    if option.is_flag and isinstance(value, bool):
        return value
    if isinstance(value, Mapping) and option.multiple:
        return [f"{name}={plain(target)}" for name, target in cast("Mapping[str, object]", value).items()]
    if isinstance(value, list) and (option.multiple or isinstance(option.type, Shares)):
        items = [plain(item) for item in cast("list[object]", value)]
        return items if option.multiple else ",".join(items)
    if option.multiple and not isinstance(value, str):
        raise _cannot_be(option, cast("object", value), path, key)
    one = plain(cast("object", value))
    return [one] if option.multiple else one


def _cannot_be(option: click.Option, value: object, path: Path, key: str) -> UsageError:
    """The error for a value of a kind that the option does not take, with one that it takes."""
    if option.is_flag:
        example = "true"
    elif isinstance(option.type, click.Choice):
        example = f'"{option.type.choices[0]}"'
    else:
        example = getattr(option.type, "example", f'"{option.metavar}"')
    return UsageError(
        f"{path.name}: '{key}' cannot be {_kind(value)}",
        slug="config",
        hint=f"Write {key} = {f'[{example}]' if option.multiple else example}",
    )


def _kind(value: object) -> str:
    """A value as the file has it, and of what kind it is."""
    if isinstance(value, Mapping | list):
        return "a table" if isinstance(value, Mapping) else "an array"
    if isinstance(value, datetime | date | time):
        kind = "time" if isinstance(value, time) else "date"
        return f"the {kind} {value.isoformat()}"
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    return text[:MOST_QUOTED]
