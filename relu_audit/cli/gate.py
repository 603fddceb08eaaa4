"""The options of the gate, by the library's names for them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from relu_audit.cli.command import TABLES
from relu_audit.cli.options import Share, Whole, flag, option
from relu_audit.cli.places import the_file

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    option(
        "--max-dead",
        type=Share(),
        metavar="SHARE",
        help="Gate: fail above this dead share of all units, as 5% or 0.05.",
    ),
    option(
        "--max-dead-layer",
        type=Share(),
        metavar="SHARE",
        help="Gate: fail if any layer by itself is above this dead share.",
    ),
    option("--max-rare", type=Share(), metavar="SHARE", help="Gate: fail above this share of rare units."),
    option(
        "--allow-faulty",
        type=Whole(min=0),
        metavar="N",
        help="Gate: fail above so many units with NaN or infinity.  [default: 0, once there is any limit]",
    ),
    flag(
        "--require-observed",
        help="Gate: fail for a rectifier that cannot be observed, and for units that no sample reaches.",
    ),
    option(
        "--baseline",
        metavar="AUDIT",
        type=click.Path(dir_okay=False),
        reads=the_file,
        help="Gate: fail only for what is worse than in this earlier audit (its JSON).",
    ),
    option(
        "--min-samples",
        type=Whole(min=1),
        default=256,
        show_default=True,
        help="Gate: fewest samples on which it decides.",
    ),
    option(
        "--rare-below",
        type=Share(),
        default="5%",
        show_default=True,
        metavar="SHARE",
        help="Call a unit rare that fires in fewer samples than this share.",
    ),
)


def gate_options(function: F) -> F:
    """The options that say what passes, and with them the limits of layers and the waivers of the configuration."""

    @functools.wraps(function)
    def run(*arguments: Any, **rest: Any) -> Any:
        return function(*arguments, **rest, **click.get_current_context().meta.get(TABLES, {}))

    wrapped: Any = run
    for decorate in reversed(_OPTIONS):
        wrapped = decorate(wrapped)
    return wrapped
