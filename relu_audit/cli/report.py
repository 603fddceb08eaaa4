"""``relu-audit report AUDIT``: a saved audit in any format, without model or data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from relu_audit.cli import Exit
from relu_audit.cli.annotate import annotated, check_annotated
from relu_audit.cli.formats import check_formats, report_options
from relu_audit.cli.options import Argument, flag, option
from relu_audit.cli.output import deliver
from relu_audit.cli.places import check_places, model_files, the_file
from relu_audit.cli.streams import say_trace, show


@click.command()
@click.argument("audit_file", cls=Argument, reads=the_file, metavar="AUDIT", type=click.Path(path_type=Path))
@report_options(settings=False)
@option(
    "--annotate",
    "annotated_file",
    setting=False,
    writes=True,
    metavar="FILE",
    help="Write the model with what was found on its nodes.",
)
@option(
    "--model",
    setting=False,
    reads=model_files,
    type=click.Path(path_type=Path),
    help="The audited model, for --annotate.",
)
@flag("--debug", setting=False, help="Show a traceback when something goes wrong.")
def report(
    audit_file: Path, reports: Mapping[str, str], annotated_file: str | None, model: Path | None, debug: bool
) -> int:
    """Write reports of a saved AUDIT (relu-audit --json); print its summary if none is asked for.

    What is written is what this command line says: settings from environment and configuration are the audit's. The
    exit code is 0 whatever the gate said, since that was the audit's to tell.
    """
    from relu_audit.report.formats import written
    from relu_audit.report.json import load

    if (annotated_file is None) != (model is None):
        raise click.UsageError("--annotate FILE and --model MODEL go together: the one is written from the other")
    try:
        check_formats(reports)
        check_places(click.get_current_context())
        found = load(audit_file)
        contents = written(reports, found)
        if annotated_file is not None and model is not None:
            check_annotated(model, annotated_file)
            contents[annotated_file] = annotated(model, found)
        deliver(contents)
        if not contents:
            from relu_audit.report import text

            show(text.render(found))
    except Exception:
        if debug:
            say_trace()
        raise
    return Exit.PASSED
