"""``relu-audit sites MODEL``: what an audit would observe, without data."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from relu_audit.cli.command import OPERATORS, batch_axis_option, config_option
from relu_audit.cli.options import Argument, Axis, option
from relu_audit.cli.output import deliver
from relu_audit.cli.places import check_places, model_files
from relu_audit.cli.streams import claimed, show


@click.command()
@click.argument("model", cls=Argument, reads=model_files, type=click.Path(path_type=Path))
@option("--json", "json_file", writes=True, metavar="FILE", help="Write the list as JSON; - is standard output.")
@option(
    "--unit-axis",
    "unit_axes",
    type=Axis(),
    multiple=True,
    metavar="TENSOR=AXIS",
    help="Set the axis of the units where it cannot be derived.",
)
@batch_axis_option
@config_option
def sites(
    model: Path,
    json_file: str | None,
    unit_axes: tuple[tuple[str, int], ...],
    batch_axes: tuple[tuple[str, int | None], ...],
) -> int:
    """List the rectifiers of MODEL, their units, and what cannot be observed."""
    gc.disable()  # a second's work leaves little garbage, and looking for it takes a tenth of the time
    from relu_audit.api.sites import sites as run
    from relu_audit.report import listing as report

    context = click.get_current_context()
    check_places(context)
    stated = context.meta.get(OPERATORS, ())
    with claimed():  # installed packages bring rows of operators, with code of their own
        found = run(model, unit_axes=dict(unit_axes), batch_axes=dict(batch_axes), operators=stated)
    deliver(
        {} if json_file is None else {json_file: report.write(found)},
        tell=lambda: None if json_file == "-" else show(report.render(found)),
    )
    return 0
