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
from relu_audit.cli.configuration import Configuration
from relu_audit.cli.options import Argument, Option
from relu_audit.cli.outcome import report_failure
from relu_audit.cli.places import CONFIGURATION, check_targets, model_files, runs_code, targets
from relu_audit.cli.streams import ReaderGoneError, say
from relu_audit.cli.trust import refuse_untrusted
from relu_audit.errors import UsageError
from relu_audit.report.names import short

WORST_FIRST = (Exit.BUG, Exit.UNUSABLE, Exit.UNFAITHFUL, Exit.FAILED, Exit.INCONCLUSIVE, Exit.PASSED)
"""Which outcome of several the exit code tells."""

OPTIONS = tuple(parameter for parameter in audit.params if isinstance(parameter, click.Option))

WRITING = tuple(one for one in OPTIONS if isinstance(one, Option) and one.writes and not one.is_flag)
"""The options that name a file to write."""


@click.pass_context
def _each(ctx: click.Context, /, models: tuple[Path, ...], **options: Any) -> int:
    """Audit several MODELS, one after the other; the exit code is the worst of theirs.

    In what is given to an option, {stem} stands for the model's file name without its ending and {folder} for the
    folder that it is in: --data "{folder}/calib.npz" --junit "{stem}.xml".
    """
    ctx.meta[SEVERAL] = True
    jobs = {model: filled(options, model) for model in models}
    _check_places(ctx, jobs)
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
        Argument(
            ["models"],
            reads=model_files,
            nargs=-1,
            required=True,
            type=click.Path(path_type=Path),
            metavar="MODELS...",
        ),
        *OPTIONS,
    ],
    help=_each.__doc__,
    epilog=EPILOG,
)


def filled(options: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """Options, the model's own words in place of ``{stem}`` and ``{folder}``.

    Raises:
        UsageError: ``option-range`` if a colon in the model's path would make a value the name of code.
    """
    return {name: _filled(value, model) if isinstance(value, str) else value for name, value in options.items()}


def _filled(value: str, model: Path) -> str:
    words = {"{stem}": model.stem, "{folder}": str(model.parent)}
    colons = {word for word, own in words.items() if ":" in own.removeprefix(model.drive)}
    made = _WORD.sub(lambda found: words[found.group()], value)
    if colons & {*_WORD.findall(value)} and runs_code(made):
        raise UsageError(
            f"'{value}' would name code by the path of the model '{model}', which has a colon",
            slug="option-range",
            hint="Rename the model or its folder, or audit it by itself.",
        )
    return made


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
        return report_failure(error, about=str(model))


def _check_places(ctx: click.Context, jobs: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse what would write the report of one model over that of another, or over what is read for any of them.

    Raises:
        UsageError: ``output``; ``config`` for what a configuration file may not set.
    """
    configuration: Configuration | None = ctx.meta.get(CONFIGURATION)
    if configuration is not None:
        for own in jobs.values():
            refuse_untrusted(ctx, own, configuration)
    written = {
        f"{option} of '{model}'": target
        for model, own in jobs.items()
        for option, target in targets(WRITING, own).items()
    }
    check_targets(ctx, written, *({**own, "models": model} for model, own in jobs.items()))
