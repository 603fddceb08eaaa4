"""``relu-audit compare OLD NEW``: what became of the units from one saved audit to another."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relu_audit.cli import Exit
from relu_audit.cli.options import Argument, flag, option
from relu_audit.cli.output import deliver
from relu_audit.cli.places import check_places, the_file
from relu_audit.cli.streams import say, say_trace, show
from relu_audit.errors import one_line

if TYPE_CHECKING:
    from relu_audit.api.compared import Comparison

EPILOG = """\b
Exit codes: 0 compared, 2 could not be compared, 70 a bug in relu-audit; with --fail-on-worse also 1 where a unit died
or became faulty, even if more units revived, and 3 where that cannot be told.
"""


_report = functools.partial(option, setting=False, writes=True, metavar="FILE")


@click.command(epilog=EPILOG)
@click.argument("old", cls=Argument, reads=the_file, type=click.Path(path_type=Path))
@click.argument("new", cls=Argument, reads=the_file, type=click.Path(path_type=Path))
@_report("--json", "json_file", help="Write the comparison as JSON; - is standard output.")
@_report("--html", "html_file", help="Write it as one HTML page; - is standard output.")
@_report("--markdown", "markdown_file", help="Write it as Markdown, as for $GITHUB_STEP_SUMMARY.")
@flag(
    "--fail-on-worse",
    setting=False,
    help="Exit with 1 if any unit died or became faulty, with 3 if that cannot be told.",
)
@flag("--quiet", "-q", setting=False, help="Print nothing but errors.")
@flag("--debug", setting=False, help="Show a traceback when something goes wrong.")
def compare(
    old: Path,
    new: Path,
    json_file: str | None,
    html_file: str | None,
    markdown_file: str | None,
    fail_on_worse: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Compare two saved audits (relu-audit --json): which units died, revived and stayed dead from OLD to NEW."""
    given = {"--json": json_file, "--html": html_file, "--markdown": markdown_file}
    reports = {name: file for name, file in given.items() if file is not None}
    try:
        check_places(click.get_current_context())
        from relu_audit.api.compared import compare as run

        found = run(old, new)
        from relu_audit.report.comparison.text import render

        deliver(
            {target: _written(name, found) for name, target in reports.items()},
            tell=lambda: None if quiet else show(render(found), to_stderr="-" in reports.values()),
        )
    except Exception:
        if debug:
            say_trace()
        raise
    return _exit_code(found) if fail_on_worse else Exit.PASSED


def _exit_code(found: Comparison) -> Exit:
    """What is asked for with --fail-on-worse; why is said even where all else is quiet, unless the heading says it."""
    if found.worse:
        if found.outcome != "worse":
            units = found.total("died") + found.total("broke")
            which = "unit" if units == 1 else "units"
            say(f"failed: {units} {which} died or became faulty (--fail-on-worse)")
        return Exit.FAILED
    if not found.reasons:
        return Exit.PASSED
    say(f"inconclusive: {'; '.join(map(one_line, found.reasons))}")
    return Exit.INCONCLUSIVE


def _written(option: str, found: Comparison) -> str:
    from relu_audit.report.comparison import html as comparison_html
    from relu_audit.report.comparison import markdown as comparison_markdown
    from relu_audit.report.comparison import text as comparison

    return {
        "--json": comparison.write,
        "--html": comparison_html.write,
        "--markdown": comparison_markdown.write,
    }[option](found)
