"""``relu-audit MODEL --data DATA``: the audit itself."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relu_audit.cli import Exit, config
from relu_audit.cli.options import Axis, Pair, Share, option
from relu_audit.cli.output import check_writable, deliver

if TYPE_CHECKING:
    from relu_audit.observe.stream import Progress
    from relu_audit.records import Audit

EPILOG = """\b
Exit codes: 0 passed or no limit set, 1 a limit was breached, 2 could not be audited,
3 inconclusive, 70 a bug in relu-audit.

\b
Every option can be set by an environment variable (--max-dead by RELU_AUDIT_MAX_DEAD) and in
[tool.relu-audit] of pyproject.toml or in relu-audit.toml (max-dead = "5%").
"""


class Configured(click.Command):
    """A command whose defaults come from a configuration file, if there is one."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Look the configuration up before the options are read."""
        if not extra.get("resilient_parsing"):
            config.check_environment(self, os.environ)
            found = config.find(Path.cwd())
            if found is not None:
                extra["default_map"] = config.defaults(self, *found)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=Configured, epilog=EPILOG)
@click.argument("model", type=click.Path(path_type=Path))
@option(
    "--data",
    required=True,
    metavar="DATA",
    help="Calibration data: .npz, .npy, a folder of them or of ONNX test sets, "
    "module:function, file.py:function, or random:N.",
)
@option("--json", "json_file", metavar="FILE", help="Write the audit as JSON; - is standard output.")
@option("--html", "html_file", metavar="FILE", help="Write the report as one HTML page; - is standard output.")
@option(
    "--max-dead", type=Share(), metavar="SHARE", help="Gate: fail above this dead share of all units, as 5% or 0.05."
)
@option(
    "--max-dead-layer",
    type=Share(),
    metavar="SHARE",
    help="Gate: fail if any layer by itself is above this dead share.",
)
@option(
    "--min-samples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Gate: fewest samples on which it decides.",
)
@option(
    "--rare-below",
    type=Share(),
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Call a unit rare that fires in fewer samples than this share.",
)
@option("--limit", type=click.IntRange(min=1), metavar="N", help="Use at most N samples.")
@option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Samples per run.  [default: by the size of the activations]",
)
@option(
    "--input",
    "inputs",
    type=Pair(),
    multiple=True,
    metavar="NAME=KEY",
    help="Feed the model's input NAME from the array KEY.",
)
@option(
    "--unit-axis",
    "unit_axes",
    type=Axis(),
    multiple=True,
    metavar="TENSOR=AXIS",
    help="Set the axis of the units where it cannot be derived.",
)
@option(
    "--near-misses/--no-near-misses", default=True, show_default=True, help="Record how far dead units are from firing."
)
@option("--provider", default="cpu", show_default=True, metavar="NAME", help="onnxruntime execution provider.")
@option(
    "--threads",
    type=click.IntRange(min=0, max=256),
    default=0,
    show_default=True,
    metavar="N",
    help="Threads within an operator; 0 leaves it to onnxruntime.",
)
@option(
    "--custom-ops",
    multiple=True,
    type=click.Path(dir_okay=False),
    metavar="LIB",
    help="Register a library of custom operators with onnxruntime. Its code is run.",
)
@option("--quiet", "-q", is_flag=True, help="Print nothing but errors and the gate's word.")
@option("--verbose", "-v", is_flag=True, help="Also list the dead units of every layer.")
@option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def audit(
    model: Path,
    data: str,
    json_file: str | None,
    html_file: str | None,
    inputs: tuple[tuple[str, str], ...],
    unit_axes: tuple[tuple[str, int], ...],
    quiet: bool,
    verbose: bool,
    debug: bool,
    **options: Any,
) -> int:
    """Audit MODEL: which rectifier units never fire on DATA, and how sure that is."""
    targets = {"--json": json_file, "--html": html_file}
    wanted = {name: target for name, target in targets.items() if target is not None}
    try:
        check_writable(wanted, (str(model), data))
        return _audit(wanted, quiet, verbose, model, data, inputs=dict(inputs), unit_axes=dict(unit_axes), **options)
    except Exception:
        if debug:
            traceback.print_exc()
        raise


def _audit(wanted: Mapping[str, str], quiet: bool, verbose: bool, model: Path, data: str, **options: Any) -> int:
    from relu_audit.pipeline import audit as run

    # Calibration code of the user's own may print; standard output is for reports.
    with contextlib.redirect_stdout(sys.stderr), _progress(quiet) as on_progress:
        result = run(model, data, on_progress=on_progress, **options)
    deliver({target: _writer(name)(result) for name, target in wanted.items()})
    _summarise(result, to_stderr="-" in wanted.values(), quiet=quiet, verbose=verbose)
    return _exit_code(result)


def _writer(option_name: str) -> Callable[[Audit], str]:
    from relu_audit.report import html, json

    return {"--json": json.write, "--html": html.write}[option_name]


def _summarise(result: Audit, *, to_stderr: bool, quiet: bool, verbose: bool) -> None:
    from rich.console import Console

    from relu_audit.report import text

    closed = sys.stdout is None  # pyright: ignore[reportUnnecessaryComparison] - it is, once closed
    if (quiet and not result.policy.gated) or (closed and not to_stderr):
        return
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(text.gate_line(result) if quiet else text.render(result, dead_units=verbose))


def _exit_code(result: Audit) -> Exit:
    if result.partial:
        return Exit.INCONCLUSIVE
    codes = {"failed": Exit.FAILED, "inconclusive": Exit.INCONCLUSIVE}
    return codes.get(result.gate.outcome, Exit.PASSED)


@contextmanager
def _progress(quiet: bool) -> Generator[Callable[[Progress], None] | None]:
    """A bar on standard error where a person watches; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("samples"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("[red]{task.fields[silent]}[/] silent of {task.fields[units]} units"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("audit", total=None, rate="", silent=0, units=0)

        def show(event: Any) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(
                task, completed=event.samples, total=event.expected, silent=event.silent, units=event.units, rate=rate
            )

        yield show
