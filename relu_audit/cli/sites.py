"""``relu-audit sites MODEL``: what an audit would observe, without data."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from relu_audit.cli import config
from relu_audit.cli.command import batch_axis_option
from relu_audit.cli.options import Axis, option
from relu_audit.cli.output import check_writable, deliver
from relu_audit.cli.streams import claimed, show


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - is standard output.")
@option(
    "--unit-axis",
    "unit_axes",
    type=Axis(),
    multiple=True,
    metavar="TENSOR=AXIS",
    help="Set the axis of the units where it cannot be derived.",
)
@batch_axis_option
def sites(
    model: Path,
    json_file: str | None,
    unit_axes: tuple[tuple[str, int], ...],
    batch_axes: tuple[tuple[str, int | None], ...],
) -> int:
    """List the rectifiers of MODEL, their units, and what cannot be observed."""
    gc.disable()  # a second's work leaves little garbage, and looking for it takes a tenth of the time
    from relu_audit.listing import sites as run
    from relu_audit.report import listing as report

    wanted = {} if json_file is None else {"--json": json_file}
    check_writable(wanted, (str(model),))
    settings = config.find(Path.cwd())
    stated = () if settings is None else config.operators(*settings)
    with claimed():  # installed packages bring rows of operators, with code of their own
        found = run(model, unit_axes=dict(unit_axes), batch_axes=dict(batch_axes), operators=stated)
    deliver({target: report.write(found) for target in wanted.values()})
    if json_file != "-":
        show(report.render(found))
    return 0
