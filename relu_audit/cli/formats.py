"""The options that ask for reports: one for every row of the table of formats."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from relu_audit.cli.options import flag, option
from relu_audit.report.formats import FORMATS, Format

F = TypeVar("F", bound=Callable[..., Any])


def report_options(*, settings: bool) -> Callable[[F], F]:
    """An option for each format; a command gets the targets that were asked for, by option, as ``reports``.

    Args:
        settings: Whether environment and configuration set them too.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def run(*arguments: Any, **rest: Any) -> Any:
            given = {one: rest.pop(_keyword(one)) for one in FORMATS}
            reports = {one.option: "-" if one.streamed else str(value) for one, value in given.items() if _asked(value)}
            return function(*arguments, reports=reports, **rest)

        wrapped: Any = run
        for one in reversed(FORMATS):
            declare, kind = (flag, {}) if one.streamed else (option, {"metavar": "FILE", "endings": one.endings})
            wrapped = declare(one.option, _keyword(one), setting=settings, writes=True, help=one.help, **kind)(wrapped)
        return wrapped

    return decorate


def check_formats(reports: Mapping[str, str]) -> None:
    """Refuse formats whose packages are not installed.

    Raises:
        UsageError: ``extra``.
    """
    for one in FORMATS:
        if one.option in reports:
            one.check()


def _keyword(one: Format) -> str:
    return f"{one.name}_report"


def _asked(value: object) -> bool:
    return value is not None and value is not False
