"""Defaults for options from pyproject.toml or relu-audit.toml; a flag or an environment variable goes before them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from relu_audit.cli.options import Share, Shares
from relu_audit.errors import UsageError

PREFIX = "RELU_AUDIT_"
OWN_FILE = "relu-audit.toml"
SHARED_FILE = "pyproject.toml"
TABLES = frozenset({"layers", "waivers", "operators"})
"""Settings that no option can hold; see :func:`tables`."""


def find(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The nearest configuration upwards from a folder: the file and its table.

    Raises:
        UsageError: ``config`` if a file is not TOML.
    """
    for parent in (folder, *folder.parents):
        for name in (OWN_FILE, SHARED_FILE):
            path = parent / name
            if path.is_file():
                table = _read(path)
                if name == OWN_FILE and "tool" in table:
                    raise UsageError(
                        f"{name} has a [tool] table",
                        slug="config",
                        hint="In this file, leave out the line [tool.relu-audit].",
                    )
                if name == SHARED_FILE and "relu_audit" in (_part(table, "tool", name) or {}):
                    raise UsageError(
                        f"{name} has a table [tool.relu_audit]", slug="config", hint="Its name is [tool.relu-audit]."
                    )
                if name == SHARED_FILE:
                    table = _part(_part(table, "tool", name) or {}, "relu-audit", name)
                if table is not None:
                    return path, table
    return None


def defaults(
    command: click.Command, family: Collection[click.Command], path: Path, table: Mapping[str, Any]
) -> dict[str, Any]:
    """The table as defaults for a command's parameters.

    Args:
        command: The command.
        family: All commands that read the table; a setting of another one is none of this one's business.
        path: The file, for errors.
        table: Its settings.

    Raises:
        UsageError: ``config`` for a key that is no option, naming the nearest one.
    """
    known = {name for one in family for name in _options(one)} | TABLES
    own = _options(command)
    out: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            raise UsageError(
                f"{path.name}: '{key}' is not a setting of relu-audit",
                slug="config",
                hint=f"Did you mean '{near[0]}'?" if near else f"Settings: {', '.join(sorted(known))}",
            )
        if key in own:
            out[own[key].name or key] = _for_click(own[key], value, path, key)
    return out


def name_source(error: click.BadParameter, path: Path | None) -> None:
    """Have an error say what set the refused value, where that is not the command line.

    Args:
        error: What click refuses.
        path: The configuration file, if there is one.
    """
    if error.ctx is None or error.param is None or error.param_hint is not None:
        return
    source = error.ctx.get_parameter_source(error.param.name)
    if source is ParameterSource.DEFAULT_MAP and path is not None:
        where = f"in {path.name}"
    elif source is ParameterSource.ENVIRONMENT:
        where = f"by the environment variable {error.param.envvar}"
    else:
        return
    error.param_hint = f"{error.param.get_error_hint(error.ctx)} (set {where})"


def tables(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """The limits of layers by pattern, and the waivers, as :func:`relu_audit.audit` takes them.

    Args:
        path: The file, for errors.
        table: Its settings.

    Raises:
        UsageError: ``config`` for a table of another form.
    """
    layers = table.get("layers", {})
    if not isinstance(layers, Mapping):
        raise _no_table(path, "layers", '"/encoder/*" = { max-dead-layer = "10%" }')
    waivers = _list_of_tables(path, table, "waivers", "pattern, reason and until")
    limits = cast("Mapping[str, object]", layers)
    return {
        "layers": {pattern: _layer_limit(path, pattern, limit) for pattern, limit in limits.items()},
        "waivers": waivers,
    }


def operators(path: Path, table: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What custom operators do to axes, as :func:`relu_audit.audit` takes it.

    Args:
        path: The file, for errors.
        table: Its settings.

    Raises:
        UsageError: ``config`` for a table of another form.
    """
    return _list_of_tables(path, table, "operators", "domain, op and signature")


def _list_of_tables(path: Path, table: Mapping[str, Any], key: str, settings: str) -> tuple[Mapping[str, Any], ...]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in cast("list[object]", found)):
        raise _no_table(path, key, f"[[tool.relu-audit.{key}]], then {settings}")
    return tuple(cast("list[Mapping[str, Any]]", found))


def _layer_limit(path: Path, pattern: str, given: object) -> float:
    """The one setting that a layer can have of its own."""
    if not isinstance(given, Mapping) or [*cast("Mapping[str, object]", given)] != ["max-dead-layer"]:
        raise _no_table(path, f"layers.'{pattern}'", '{ max-dead-layer = "10%" }')
    value = cast("Mapping[str, object]", given)["max-dead-layer"]
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


def _part(table: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any] | None:
    part = table.get(key)
    if part is not None and not isinstance(part, Mapping):
        raise UsageError(f"{name}: '{key}' is not a table", slug="config", hint="Write [tool.relu-audit].")
    return cast("Mapping[str, Any] | None", part)


def _for_click(option: click.Option, value: Any, path: Path, key: str) -> Any:
    if option.multiple:
        if isinstance(value, Mapping):
            pairs = cast("Mapping[str, object]", value)
            return [f"{name}={target}" for name, target in pairs.items()]
        if isinstance(value, list):
            return [str(item) for item in cast("list[object]", value)]
        if isinstance(value, str):
            return [value]
    elif isinstance(value, list) and isinstance(option.type, Shares):
        return ",".join(str(item) for item in cast("list[object]", value))
    elif isinstance(value, bool):
        if option.is_flag:
            return value
    elif isinstance(value, int | float | str) and not option.is_flag:
        return str(value)
    raise UsageError(f"{path.name}: '{key}' cannot be {value!r}", slug="config", hint="See relu-audit --help.")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}", slug="config") from error
