"""How options are declared, what they do to the world, and the types of value they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

import click

F = TypeVar("F", bound=Callable[..., Any])

MOST_DIGITS = 15
"""Digits of a whole number, at most: every reader of JSON keeps as many."""

LONGEST_NUMBER = 100
"""Characters of a number with a fraction, at most."""

MOST_SHARES = 20
"""Shares in a list, at most."""

SHOWN = 60
"""Characters of a wrong value that a message shows."""

_WHOLE = re.compile(rf"[+-]?[0-9]{{1,{MOST_DIGITS}}}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")

NOTHING = "none"
"""The value that unsets an option: no limit, no file. A file of that name is given as ``./none``."""

STANDARD_OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
"""Names of standard output on systems that have files for it. Code of the user's own may lead those elsewhere."""

Reads = Callable[[str], Iterable[Path]]
"""The files that a command reads for a value of a parameter."""


def no_file(value: str) -> Iterable[Path]:
    """The files read for a value that names none."""
    del value
    return ()


def never(value: str) -> bool:
    """Whether a value that is only data has to be trusted."""
    del value
    return False


def nowhere(value: str, file: Path) -> bool:
    """Whether a file is read, once it is there, for a value that names no folder."""
    del value, file
    return False


def always(value: str) -> bool:
    """Whether a value has to be trusted that is code, or counts as code."""
    del value
    return True


class Argument(click.Argument):
    """An argument, with the column that :class:`Option` has for what is read."""

    def __init__(self, declarations: Sequence[str], *, reads: Reads = no_file, **settings: Any) -> None:
        super().__init__(declarations, **settings)
        self.reads = reads


class Option(click.Option):
    """An option, with columns for what a value does to the world.

    Args:
        declarations: As click has them.
        reads: The files that the command reads for a value.
        gathers: Whether the command would read a file for a value once it is there, as from a folder.
        writes: Whether a value names a file that is written; a flag that writes does so to standard output.
        endings: Of the names of files that a configuration file may have written.
        trusts: Whether a value runs code, or is trusted as code is. A configuration file may not set such a value.
        settings: As click has them.
    """

    def __init__(
        self,
        declarations: Sequence[str],
        *,
        reads: Reads = no_file,
        gathers: Callable[[str, Path], bool] = nowhere,
        writes: bool = False,
        endings: tuple[str, ...] = (),
        trusts: Callable[[str], bool] = never,
        **settings: Any,
    ) -> None:
        super().__init__(declarations, **settings)
        self.reads, self.gathers, self.trusts = reads, gathers, trusts
        self.writes, self.endings = writes, endings
        self.unsettable = not self.is_flag and not self.required and "default" not in settings

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Read ``none`` as no value, so that a command line can undo what a file sets; and standard output as ``-``."""
        unset = self.unsettable and value in (NOTHING, [NOTHING], (NOTHING,))
        if self.writes and value in STANDARD_OUTPUT:
            value = "-"
        return super().type_cast_value(ctx, None if unset else value)


def option(name: str, *more: str, setting: bool = True, **settings: Any) -> Callable[[F], F]:
    """An option; as a setting, it can also be set by an environment variable: RELU_AUDIT_ and the option's name.

    Args:
        name: Its long name; of a flag that has an opposite, ``--name/--no-name``.
        more: Short names, and the name of the command's parameter.
        setting: Whether the environment and a configuration file set it too.
        settings: Arguments of :class:`Option`.
    """
    variable = "RELU_AUDIT_" + name.split("/")[0].removeprefix("--").replace("-", "_").upper()
    return click.option(name, *more, cls=Option, envvar=variable if setting else None, **settings)


def flag(name: str, *more: str, **settings: Any) -> Callable[[F], F]:
    """A flag, with the opposite that undoes what the environment or a configuration file sets."""
    return option(f"{name}/--no-{name.removeprefix('--')}", *more, **settings)


class Whole(click.IntRange):
    """A whole number in ASCII digits, of at most :data:`MOST_DIGITS`."""

    example = "256"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number; Python would also read ``1_000``, digits of other scripts, and 2.7 as 2."""
        number = whole(str(value))
        if number is None:
            self.fail(f"'{cut(value)}' is no whole number of at most {MOST_DIGITS} digits; write 256", param, ctx)
        return int(super().convert(number, param, ctx))


class Share(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older clicks have no argument to give
    """A fraction, written ``5%`` or ``0.05``."""

    name = "share"
    example = '"5%"'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a percentage or a fraction; anything outside 0 to 1 is refused, since 5 could mean either."""
        text = str(value).strip()
        # In decimal, so that 0.7% is the very number that 0.007 is.
        number = _decimal(text.removesuffix("%").rstrip())
        if number is None:
            self.fail(f"'{cut(value)}' is no share; write 5% or 0.05", param, ctx)
        if not 0 <= number <= (100 if text.endswith("%") else 1):
            self.fail(f"'{cut(value)}' is not between 0 and 1; write 5% or 0.05", param, ctx)
        return float(number / 100 if text.endswith("%") else number) + 0.0


class Shares(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older clicks have no argument to give
    """Several fractions, written ``50%,30%`` or ``0.5,0.3``, or ``50,30``: one above 1 makes all percentages."""

    name = "shares"
    example = '"50%,30%,20%"'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Read each of them as a :class:`Share`."""
        if isinstance(value, tuple):
            return cast("tuple[float, ...]", value)
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) > MOST_SHARES:
            self.fail(f"'{cut(value)}' are {len(parts):,} shares; at most {MOST_SHARES} make sense", param, ctx)
        if any((number := _decimal(part)) is not None and number > 1 for part in parts):
            parts = [part if part.endswith("%") else f"{part}%" for part in parts]
        return tuple(Share().convert(part, param, ctx) for part in parts)


def whole(text: str) -> int | None:
    """A whole number in ASCII digits; None for any other text."""
    return int(text) if _WHOLE.fullmatch(text.strip()) else None


def _decimal(text: str) -> Decimal | None:
    """A number in ASCII digits, of a length that a person writes; None for any other text."""
    return Decimal(text) if len(text) <= LONGEST_NUMBER and _NUMBER.fullmatch(text) else None


def cut(value: object) -> str:
    """What was given, as far as a message bears it."""
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}\N{HORIZONTAL ELLIPSIS}"


class Pair(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older clicks have no argument to give
    """``NAME=VALUE``; the name may itself hold an equals sign, the value may not."""

    name = "pair"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the last equals sign."""
        name, equals, rest = str(value).rpartition("=")
        if not (equals and name and rest):
            self.fail(f"'{cut(value)}' is not of the form NAME=VALUE", param, ctx)
        return name, rest


class SampleAxis(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older clicks have no argument to give
    """``INPUT=AXIS`` or ``INPUT=none``."""

    name = "sample axis"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int | None]:
        """Split at the last equals sign and read the number."""
        name, number = Pair().convert(value, param, ctx)
        if number.strip().lower() == "none":
            return name, None
        axis = whole(number)
        if axis is None:
            self.fail(f"'{cut(number)}' is no axis; write INPUT=0, or INPUT=none", param, ctx)
        return name, axis


class Axis(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older clicks have no argument to give
    """``TENSOR=AXIS``, the axis a whole number, negative from the end."""

    name = "axis"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Split at the last equals sign and read the number."""
        name, number = Pair().convert(value, param, ctx)
        axis = whole(number)
        if axis is None:
            self.fail(f"'{cut(number)}' is no axis; write TENSOR=1", param, ctx)
        return name, axis
