"""The options that say how to prune, which ``prune`` and an audit with ``--prune FILE`` share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from relu_audit.cli.options import Whole, flag, option

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "align": option(
        "--align",
        type=Whole(min=1),
        default=8,
        show_default=True,
        metavar="N",
        help="Keep channel counts that were multiples of N so: odd ones lose the runtime's fast kernels. 1 for size.",
    ),
    "merge_linear": flag("--merge-linear", help="Also merge layers whose units are all always on."),
    "scatter": flag("--scatter", help="Also compute residual branches narrower and scatter them back."),
    "spare": option(
        "--spare", multiple=True, metavar="TENSOR", help="Leave the units of this layer alone; may be repeated."
    ),
    "latency": option(
        "--latency/--no-latency", default=True, show_default=True, help="Time original and pruned result."
    ),
}


@dataclass(frozen=True)
class How:
    """How to prune.

    Attributes:
        options: Arguments of the library's :func:`relu_audit.prune`.
        latency: Whether original and result are timed.
    """

    options: Mapping[str, Any]
    latency: bool


def pruning_options(function: F) -> F:
    """The options that say how to prune; a command gets them as ``how``."""

    @functools.wraps(function)
    def run(*arguments: Any, **rest: Any) -> Any:
        given = {name: rest.pop(name) for name in _OPTIONS}
        return function(*arguments, how=How(latency=given.pop("latency"), options=given), **rest)

    wrapped: Any = run
    for decorate in reversed([*_OPTIONS.values()]):
        wrapped = decorate(wrapped)
    return wrapped


def refuse_idle() -> None:
    """Refuse options that say how to prune where nothing is pruned; settings for those who do prune are no mistake.

    Raises:
        click.UsageError: One of them is on the command line.
    """
    context: click.Context | None = click.get_current_context()
    while context is not None:
        for name in _OPTIONS:
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                spelt = "--" + name.replace("_", "-")
                raise click.UsageError(
                    f"{spelt} says how to prune, and nothing is pruned here; add --prune FILE, "
                    "or see: relu-audit prune --help"
                )
        context = context.parent
