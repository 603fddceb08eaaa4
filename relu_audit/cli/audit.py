"""``relu-audit MODEL --data DATA``: the audit itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relu_audit.cli import Exit
from relu_audit.cli.annotate import annotated, check_annotated
from relu_audit.cli.command import Configured, config_option, progress, recorded, running_options
from relu_audit.cli.formats import check_formats, report_options
from relu_audit.cli.gate import gate_options
from relu_audit.cli.options import Argument, Shares, flag, option
from relu_audit.cli.output import deliver
from relu_audit.cli.places import check_places, data_files, data_gathers, model_files, runs_code
from relu_audit.cli.prune import Shown, write_pruned
from relu_audit.cli.prune_options import How, pruning_options, refuse_idle
from relu_audit.cli.streams import check_open, claimed, say, say_trace, show
from relu_audit.errors import one_line

if TYPE_CHECKING:
    from rich.text import Text

    from relu_audit.records import Audit

INTERRUPTED = "relu_audit.interrupted"
"""Set in a context's ``meta`` when an audit was cut short: what would have come after it is not to be begun."""

SEVERAL = "relu_audit.several"
"""Set in a context's ``meta`` where a word of the gate has to say which model it is for."""

MODELS = (".onnx",)
"""Endings of the names of models."""

EPILOG = """\b
Exit codes: 0 passed or no limit set, 1 a limit was breached, 2 could not be audited,
3 inconclusive, 4 a pruned model was wrong and not written, 70 a bug in relu-audit.

\b
Every option can be set by an environment variable (--max-dead by RELU_AUDIT_MAX_DEAD) and in
[tool.relu-audit] of pyproject.toml or in relu-audit.toml (max-dead = "5%"). To undo such a
setting, give the opposite of a flag (--no-quiet), or the value none (--max-dead none). A file
names no code (--custom-ops, --data file.py:function) and writes only reports and models
beneath its folder, under their usual endings.
"""


@click.command(cls=Configured, epilog=EPILOG)
@click.argument("model", cls=Argument, reads=model_files, type=click.Path(path_type=Path))
@option(
    "--data",
    required=True,
    metavar="DATA",
    reads=data_files,
    gathers=data_gathers,
    trusts=runs_code,
    help="Calibration data: .npz, .npy, a folder of them or of ONNX test sets, random:N, "
    "or a function (module:function or file.py:function).",
)
@report_options(settings=True)
@option(
    "--annotate",
    "annotated_file",
    metavar="FILE",
    writes=True,
    endings=MODELS,
    help="Write the model with what was found on its nodes, as viewers of models show it.",
)
@option(
    "--prune",
    "pruned_file",
    metavar="FILE",
    writes=True,
    endings=MODELS,
    help="Also write the model without its dead units.",
)
@gate_options
@option(
    "--bands",
    type=Shares(),
    default="50%,30%,20%",
    show_default=True,
    metavar="SHARES",
    help="Let layers stand out with fewer of their units alive.",
)
@option(
    "--near-misses/--no-near-misses", default=True, show_default=True, help="Record how far dead units are from firing."
)
@option(
    "--costs/--no-costs",
    default=False,
    show_default=True,
    help="Also plan a pruning, to tell what it would give back; takes as long as prune --dry-run.",
)
@running_options
@pruning_options
@flag("--exit-zero", help="Exit with 0 whatever the gate says.")
@flag("--quiet", "-q", help="Print nothing but errors and the gate's word.")
@flag("--verbose", "-v", help="Also list the dead units of every layer, and name the file of settings.")
@flag("--debug", help="Show a traceback when something goes wrong.")
@config_option
def audit(
    model: Path,
    data: str,
    reports: Mapping[str, str],
    annotated_file: str | None,
    pruned_file: str | None,
    exit_zero: bool,
    quiet: bool,
    verbose: bool,
    debug: bool,
    how: How,
    **options: Any,
) -> int:
    """Audit MODEL: which rectifier units never fire on DATA, and how sure that is."""
    if pruned_file is None:
        refuse_idle()
    try:
        check_formats(reports)
        check_places(click.get_current_context())
        if not quiet:
            check_open()
        if annotated_file is not None:
            check_annotated(model, annotated_file)
        result = _audit(reports, annotated_file, quiet, verbose, model, data, **options)
        if pruned_file is not None and not result.partial:
            shown = Shown(to_stderr="-" in reports.values(), quiet=quiet, verbose=verbose)
            write_pruned(model, result, pruned_file, data=data, shown=shown, running=options, how=how)
        click.get_current_context().meta[INTERRUPTED] = result.partial
        return _exit_code(result, exit_zero=exit_zero)
    except Exception:
        if debug:
            say_trace()
        raise


def _audit(
    wanted: Mapping[str, str],
    annotated_file: str | None,
    quiet: bool,
    verbose: bool,
    model: Path,
    data: str,
    **options: Any,
) -> Audit:
    from relu_audit.api.audit import audit as run
    from relu_audit.report import text
    from relu_audit.report.formats import written

    with claimed(), progress(quiet) as on_progress:
        result = recorded(run(model, data, on_progress=on_progress, **options))
    models = {} if annotated_file is None else {annotated_file: annotated(model, result)}

    def tell() -> None:
        if not quiet or result.policy.gated:
            summary = _word(model, result) if quiet else text.render(result, dead_units=verbose)
            show(summary, to_stderr="-" in wanted.values())
        elif result.partial:
            say(f"interrupted after {result.data.samples:,} samples")

    deliver({**written(wanted, result), **models}, tell=tell)
    return result


def _word(model: Path, result: Audit) -> Text:
    """The gate's word, behind the model's path where several are audited."""
    from rich.text import Text

    from relu_audit.report.text import gate_line

    several = click.get_current_context().meta.get(SEVERAL)
    return Text(f"{one_line(str(model))}: " if several else "").append_text(gate_line(result))


def _exit_code(result: Audit, *, exit_zero: bool) -> Exit:
    """An interrupted audit is none of what can be asked to be overlooked."""
    if result.partial:
        return Exit.INCONCLUSIVE
    codes = {"failed": Exit.FAILED, "inconclusive": Exit.INCONCLUSIVE}
    return Exit.PASSED if exit_zero else codes.get(result.gate.outcome, Exit.PASSED)
