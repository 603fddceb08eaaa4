"""The option that limits the memory of the process."""

from __future__ import annotations

import re
from typing import Any

import click

from relu_audit.cli.options import cut

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


class Size(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - older clicks have no argument to give
    """A number of bytes: ``4GB``, ``512MiB``."""

    name = "size"
    example = '"4GB"'

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?b?", str(value).strip().lower(), re.ASCII)
        size = 0 if found is None else int(float(found[1]) * _UNITS[found[2] or ""])
        if size < 1:
            self.fail(f"'{cut(value)}' is no amount of memory. Write 4GB, or 512MiB.", param, ctx)
        return size


def set_limit(ctx: click.Context, param: click.Parameter, size: int | None) -> None:
    """Limit the process, once what it runs models with is loaded."""
    del param
    if size is None or ctx.resilient_parsing:
        return
    from relu_audit import memory
    from relu_audit.observe import session

    del session
    memory.limit(size)
