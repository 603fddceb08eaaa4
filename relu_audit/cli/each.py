"""``relu-audit each MODEL...``: several models, each by itself, under the same options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from relu_audit.cli import Exit
from relu_audit.cli.audit import EPILOG, INTERRUPTED, SEVERAL, audit
from relu_audit.cli.command import Configured
from relu_audit.cli.outcome import told
from relu_audit.cli.output import check_writable
from relu_audit.cli.streams import ReaderGoneError, say
from relu_audit.report.formats import FORMATS
from relu_audit.report.names import short

WORST_FIRST = (Exit.BUG, Exit.UNUSABLE, Exit.UNFAITHFUL, Exit.FAILED, Exit.INCONCLUSIVE, Exit.PASSED)
"""Which outcome of several the exit code tells."""

WRITING = ("--annotate", "--prune", *(one.option for one in FORMATS if not one.streamed))
"""The options that name a file to write."""

OPTIONS = tuple(parameter for parameter in audit.params if isinstance(parameter, click.Option))


@click.pass_context
def _each(ctx: click.Context, /, models: tuple[Path, ...], **options: Any) -> int:
    """Audit several MODELS, one after the other; the exit code is the worst of theirs.

    In what is given to an option, {stem} stands for the model's file name without its ending and {folder} for the
    folder that it is in: --data "{folder}/calib.npz" --junit "{stem}.xml".
    """
    ctx.meta[SEVERAL] = True
    jobs = {model: filled(options, model) for model in models}
    _check_targets(jobs)
    codes: dict[Path, int] = {}
    for model, own in jobs.items():
        codes[model] = _audited(ctx, model, own)
        if ctx.meta.get(INTERRUPTED):
            break
    broken = [short(str(model)) for model, code in codes.items() if code == Exit.BUG]
    if broken:
        say(f"internal errors in {len(broken)} of {len(jobs)} models: {', '.join(broken)}")
    return worst([*codes.values()])


each = Configured(
    "each",
    callback=_each,
    params=[
        click.Argument(["models"], nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODELS..."),
        *OPTIONS,
    ],
    help=_each.__doc__,
    epilog=EPILOG,
)


def filled(options: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """Options, the model's own words in place of ``{stem}`` and ``{folder}``."""
    words = {"{stem}": model.stem, "{folder}": str(model.parent)}
    return {
        name: _WORD.sub(lambda found: words[found.group()], value) if isinstance(value, str) else value
        for name, value in options.items()
    }


_WORD = re.compile(r"\{(?:stem|folder)\}")


def worst(codes: Sequence[int]) -> Exit:
    """The exit code that tells the worst of several outcomes."""
    return next(code for code in WORST_FIRST if code in codes)


def _audited(ctx: click.Context, model: Path, options: Mapping[str, Any]) -> int:
    """The exit code of one audit. What goes wrong with one model is said, and keeps no other from its turn."""
    try:
        return int(ctx.invoke(audit, model=model, **options))
    except (click.ClickException, click.Abort, click.exceptions.Exit, ReaderGoneError):
        raise
    except Exception as error:
        return told(error, about=str(model))


def _check_targets(jobs: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse what would write the report of one model over that of another, or over a model.

    Raises:
        UsageError: ``output``.
    """
    names = {option.opts[0]: str(option.name) for option in OPTIONS}
    targets = {
        f"{option} of '{model}'": own[names[option]]
        for model, own in jobs.items()
        for option in WRITING
        if own[names[option]] is not None
    }
    check_writable(targets, [str(model) for model in jobs])
