"""Write docs/reference/ from the code: commands, settings, JSON, Python. ``python docs/make_reference.py``."""

from __future__ import annotations

import datetime
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import griffe
import msgspec

import relu_audit
import relu_audit.testing
from relu_audit.cli.options import Option
from relu_audit.cli.root import DEFAULT, root
from relu_audit.records import Comparison, Listing
from relu_audit.records import pruning as plan
from relu_audit.report.json import Document

FOLDER = Path(__file__).with_name("reference")

JSON_FILES: Mapping[type[msgspec.Struct], str] = {
    Document: "`relu-audit MODEL --data DATA --json FILE`, and `Audit.save(FILE)`",
    Comparison: "`relu-audit compare OLD NEW --json FILE`, and `Comparison.save(FILE)`",
    Listing: "`relu-audit sites MODEL --json FILE`",
    plan.PruningRecord: "`relu-audit prune MODEL --data DATA --output OUT --json FILE`",
}
"""The files that are written as JSON, by the record that each holds."""

MODULES = (relu_audit, relu_audit.testing)
"""Whose public names the page about Python tells."""

NAMED_APART: Mapping[type[msgspec.Struct], str] = {plan.Comparison: "Comparison of runs"}
"""Records that share their name with another one, by the heading they get on the page."""

JSON_WORDS = {str: "string", int: "integer", float: "number", bool: "boolean", datetime.date: "date, as `2027-01-31`"}


# Commands and settings ----------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with every option, from click."""
    parts = [
        "# Commands",
        "Written from the program by `docs/make_reference.py`. `relu-audit COMMAND --help` prints the same. Options "
        "with a star are settings too; [settings](settings.md) says how they are set.",
    ]
    for name, command in _commands():
        shown = "relu-audit MODEL --data DATA" if command is DEFAULT else f"relu-audit {name}"
        parts += [f"## `{shown}`", f"```text\n{_usage(name, command)}\n```", *_paragraphs(command.help)]
        options = [one for one in command.params if isinstance(one, click.Option)]
        if options:
            parts.append(_table(("option", "does"), ((_spelling(one), _help(one)) for one in options)))
        parts += _paragraphs(getattr(command, "epilog", None))
    return _page(parts)


def settings() -> str:
    """Every option that a file or a variable can set, from the same."""
    by_name: dict[str, tuple[click.Option, list[str]]] = {}
    for name, command in _commands():
        for one in command.params:
            if isinstance(one, click.Option) and one.envvar:
                by_name.setdefault(_long(one), (one, []))[1].append("audit" if command is DEFAULT else name)
    rows = (
        (
            f"`{name.removeprefix('--')}`<br>`{one.envvar}`",
            _value(one),
            _default(one) or ("`false`" if one.is_flag else "-"),
            ", ".join(f"`{command}`" for command in of),
            f"{_sentence(one.help)}{_in_a_file(one)}",
        )
        for name, (one, of) in sorted(by_name.items())
    )
    parts = [
        "# Settings",
        "Written from the program by `docs/make_reference.py`. A setting is an option that need not be given every "
        "time. The command line goes before the environment, the environment before the file, the file before the "
        "default.",
        "The file is the nearest `relu-audit.toml`, or `pyproject.toml` with a table `[tool.relu-audit]`, from the "
        "current folder upwards to the root of the repository; `--no-config` leaves it out. A key or a variable that "
        "is no setting is an error, since a misspelt limit would be no limit. What may be given several times is an "
        "array, or a table of names. Paths start at the current folder.",
        "A setting marked *by hand* cannot be set in a file. A setting marked *beneath* names a file beneath the "
        "configuration's own folder, if a file sets it: under the ending that is named there, and no hidden file or "
        "folder. [Inside a repository that you do not trust]"
        "(../howto/untrusted.md) says why. To undo a setting, give the opposite of a flag (`--no-quiet`), or the value "
        "`none` (`--max-dead none`).",
        "Three tables are set in the file only: `layers`, limits for some layers, and `waivers`; "
        "[the gate](../gate.md) has both. `operators` says [what custom operators do to axes]"
        "(../howto/custom-operators.md#say-what-an-operator-does-to-axes).",
        "```toml\n"
        "[tool.relu-audit]               # in pyproject.toml; relu-audit.toml leaves this line out\n"
        'data = "calib.npz"\n'
        'max-dead = "5%"\n'
        "min-samples = 1000\n"
        'input = { pixels = "images" }   # --input pixels=images\n'
        "```",
        _table(("key in the file, variable", "value", "default", "read by", "does"), rows),
    ]
    return _page(parts)


def _in_a_file(one: click.Option) -> str:
    """What a configuration file may not do with an option."""
    if not isinstance(one, Option):
        return ""
    if one.is_eager or one.trusts("file"):
        return " *By hand.*"
    if one.trusts("file.py:function"):
        return " A function is given *by hand*."
    endings = ", ".join(f"`{ending}`" for ending in one.endings)
    return f" *Beneath*, {endings}." if one.writes and not one.is_flag else ""


def _commands() -> Iterator[tuple[str, click.Command]]:
    """The default command first, then the others by name."""
    yield DEFAULT.name or "", DEFAULT
    for name, command in sorted(root.commands.items()):
        if command is not DEFAULT:
            yield name, command


def _usage(name: str, command: click.Command) -> str:
    words = "" if command is DEFAULT else f" {name}"
    context = click.Context(command, info_name=name)
    return f"relu-audit{words} {' '.join(command.collect_usage_pieces(context))}"


def _spelling(one: click.Option) -> str:
    value = "" if one.is_flag else f" {_metavar(one)}"
    *short, last = sorted(one.opts, key=len)
    spelt = ", ".join(f"`{name}`" for name in (*short, f"{last}{value}"))
    off = "".join(f" / `{name}`" for name in one.secondary_opts)
    return f"{spelt}{off} \\*" if one.envvar else f"{spelt}{off}"


def _metavar(one: click.Option) -> str:
    if one.metavar or isinstance(one.type, click.Choice):
        return one.metavar or "|".join(map(str, one.type.choices))
    return "N" if isinstance(one.type, click.IntRange) else one.type.name.upper()


def _value(one: click.Option) -> str:
    kind = "boolean" if one.is_flag else f"`{_metavar(one)}`"
    return f"{kind}, several" if one.multiple else kind


def _help(one: click.Option) -> str:
    default = _default(one)
    return " ".join(filter(None, [_sentence(one.help), f"Default: {default}." if default else ""]))


def _default(one: click.Option) -> str:
    stated = re.search(r"\[default: (.*)\]", one.help or "")
    if stated:
        return stated[1]
    if one.is_flag:
        return "`true`" if one.default is True else ""
    return f"`{one.default}`" if one.show_default and one.default is not None else ""


def _sentence(text: str | None) -> str:
    return re.sub(r"\s*\[default: .*\]", "", text or "").strip()


def _long(one: click.Option) -> str:
    return max(one.opts, key=len)


# JSON files ---------------------------------------------------------------------------------------------------------


def files() -> str:
    """Every field of every JSON file, from the records."""
    parts = [
        "# JSON files",
        "Written from the records by `docs/make_reference.py`. `relu-audit schema` prints the JSON Schema of an audit. "
        "A record with unknown fields is refused. Keys are sorted, numbers are finite, shares are 0 to 1.",
    ]
    seen: set[type[msgspec.Struct]] = set()
    for record, written_by in JSON_FILES.items():
        schema = next((one.default for one in msgspec.structs.fields(record) if one.name == "schema"), None)
        parts += [f"## `{schema}`", f"Written by {written_by}. The file holds one `{record.__name__}`."]
        for one in _reached(record, seen):
            rows = [*_fields(one)]
            width = 3 if any(meant for *_, meant in rows) else 2
            header = ("field", "type", "is")[:width]
            parts += [f"### {_title(one)}", _text(one.__doc__), _table(header, (row[:width] for row in rows))]
    titles = [*map(_title, seen)]
    if len(titles) > len({*titles}):
        raise ValueError(f"two records of one name, which a link cannot tell apart: {sorted(titles)}")
    return _page(parts)


def _title(record: type[msgspec.Struct]) -> str:
    return NAMED_APART.get(record, record.__name__)


def _reached(record: type[msgspec.Struct], seen: set[type[msgspec.Struct]]) -> Iterator[type[msgspec.Struct]]:
    """A record and all that its fields hold, each once."""
    if record in seen:
        return
    seen.add(record)
    yield record
    for kind in typing.get_type_hints(record).values():
        for inner in _leaves(kind):
            if _is_record(inner):
                yield from _reached(inner, seen)


def _leaves(kind: object) -> Iterator[object]:
    arguments = typing.get_args(kind)
    yield from (leaf for one in arguments for leaf in _leaves(one)) if arguments else [kind]


def _fields(record: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    hints = typing.get_type_hints(record)
    meant = {name: text for kind in reversed(record.__mro__) for name, text in _attributes(kind).items()}
    for name in record.__struct_fields__:
        held = next((kind for kind in _leaves(hints[name]) if _is_record(kind)), None)
        yield f"`{name}`", _json_type(hints[name]), meant.get(name) or (_line(held.__doc__) if held else "")


def _is_record(kind: object) -> typing.TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _json_type(kind: Any, ending: str = "") -> str:
    """A type by JSON's words for it; the ending makes a plural."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin in (types.UnionType, typing.Union):
        given = [one for one in arguments if one is not msgspec.UnsetType]
        return " or ".join(_json_type(one, ending) for one in given)
    if origin is tuple:
        return f"array{ending} of {_json_type(arguments[0], 's')}"
    if origin is dict:
        return f"object{ending} of {_json_type(arguments[1], 's')}"
    if _is_record(kind):
        return f"[{_title(kind)}](#{_title(kind).lower().replace(' ', '-')})"
    return "`null`" if kind is type(None) else f"{JSON_WORDS[kind]}{ending}"


# Python -------------------------------------------------------------------------------------------------------------


def python() -> str:
    """The public names of the package, from their signatures and docstrings."""
    parts = [
        "# Python",
        "Written from the package by `docs/make_reference.py`. What is not on this page is not public. Importing "
        "`relu_audit` costs next to nothing: a name is loaded when it is first used. Records are frozen, and their "
        "fields are those of the [JSON files](json.md).",
    ]
    for module in MODULES:
        public = [(name, getattr(module, name)) for name in _public(module)]
        for name, one in sorted(public, key=lambda item: (inspect.isclass(item[1]), item[0])):
            write = _class if inspect.isclass(one) else _function
            parts += write(f"{module.__name__}.{name}", one, "##")
    return _page(parts)


def _public(module: types.ModuleType) -> list[str]:
    """The names a module gives out: those it lists, or else those it defines."""
    defined = (name for name, one in vars(module).items() if getattr(one, "__module__", None) == module.__name__)
    return [name for name in getattr(module, "__all__", defined) if not name.startswith("_")]


def _class(name: str, kind: type, level: str) -> Iterator[str]:
    yield f"{level} `{name}`"
    yield _text(kind.__doc__)
    attributes = _attributes(kind)
    if issubclass(kind, msgspec.Struct):
        yield "Its fields are those of the [JSON file](json.md)."
    elif attributes:
        yield _table(("attribute", "is"), ((f"`{key}`", text) for key, text in attributes.items()))
    members = {key: one for base in reversed(kind.__mro__) for key, one in vars(base).items() if _ours(base)}
    properties = {key: one for key, one in members.items() if isinstance(one, property) and not key.startswith("_")}
    if properties:
        yield _table(("property", "is"), ((f"`{key}`", _line(one.__doc__)) for key, one in properties.items()))
    if kinds := kind.__subclasses__():
        yield _table(("subclass", "is"), ((f"`{one.__name__}`", _line(one.__doc__)) for one in kinds if _ours(one)))
    for key, one in members.items():
        if inspect.isfunction(one) and not key.startswith("_") and one.__doc__:
            yield from _function(f"{name.rpartition('.')[2]}.{key}", one, f"{level}#")


def _ours(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "relu_audit"


def _function(name: str, function: Callable[..., object], level: str) -> Iterator[str]:
    yield f"{level} `{name}`"
    yield f"```text\n{_signature(name, function)}\n```"
    for section in _sections(function.__doc__):
        value: Any = section.value
        match section.kind:
            case griffe.DocstringSectionKind.text:
                yield _plain(value)
            case griffe.DocstringSectionKind.parameters:
                yield _table(("argument", "is"), ((f"`{one.name}`", _plain(one.description)) for one in value))
            case griffe.DocstringSectionKind.returns:
                yield "Returns: " + " ".join(_plain(one.description) for one in value)
            case griffe.DocstringSectionKind.raises:
                yield _table(("raises", "when"), ((f"`{one.annotation}`", _plain(one.description)) for one in value))
            case _:
                raise ValueError(f"{name}: no place for the section {section.kind}")


def _signature(name: str, function: Callable[..., object]) -> str:
    """As the source has it; one parameter a line where they are many."""
    signature = inspect.signature(function)
    words: list[str] = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        stars = "**" if one.kind is one.VAR_KEYWORD else ""
        default = "" if one.default is one.empty else f" = {one.default!r}"
        words += [] if one.name == "self" else [f"{stars}{one.name}: {one.annotation}{default}"]
    line = f"{name}({', '.join(words)}) -> {signature.return_annotation}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f") -> {signature.return_annotation}"])


# Docstrings and Markdown --------------------------------------------------------------------------------------------


def _sections(text: str | None) -> list[griffe.DocstringSection]:
    return griffe.Docstring(inspect.cleandoc(text or "")).parse("google", warnings=False)


def _text(text: str | None) -> str:
    """What a docstring says before its first section."""
    said = (one.value for one in _sections(text) if one.kind is griffe.DocstringSectionKind.text)
    return _plain("\n\n".join(said))


def _line(text: str | None) -> str:
    return " ".join(_text(text).split("\n\n")[0].split())


def _attributes(kind: type) -> dict[str, str]:
    """What a class says of its attributes, or of what it is made from, by name."""
    told = (griffe.DocstringSectionKind.attributes, griffe.DocstringSectionKind.parameters)
    listed = (section for section in _sections(vars(kind).get("__doc__")) if section.kind in told)
    return {one.name: _plain(one.description) for section in listed for one in section.value}


def _plain(text: str) -> str:
    """Docstrings mark code by two backticks and name objects by roles."""
    return re.sub(r":\w+:`([^`]*)`", r"`\1`", text).replace("``", "`").strip()


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.replace("\b", "").split()) for part in inspect.cleandoc(text or "").split("\n\n") if part]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands,
    "settings.md": settings,
    "json.md": files,
    "python.md": python,
}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
