"""``relu-audit prune MODEL``: dead units out of the graph, the function unchanged."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relu_audit.cli import Exit
from relu_audit.cli.command import Configured, config_option, progress, running_options, settings_file
from relu_audit.cli.options import Argument, always, flag, option
from relu_audit.cli.output import deliver
from relu_audit.cli.places import check_places, data_files, data_gathers, model_files, runs_code, the_file
from relu_audit.cli.prune_options import How, pruning_options
from relu_audit.cli.streams import check_open, claimed, say, say_trace, show

if TYPE_CHECKING:
    from relu_audit.api.pruned import Pruned, Staged
    from relu_audit.records import Audit
    from relu_audit.records.pruning import Files, Latency, PruningRecord

EPILOG = """\b
Exit codes: 0 done, also if nothing could be removed, 2 could not be pruned, 3 interrupted,
4 the result computes something else and was not written, 70 a bug in relu-audit.
"""


_output = functools.partial(option, setting=False, writes=True, metavar="FILE")


@click.command(cls=Configured, epilog=EPILOG)
@click.argument("model", cls=Argument, reads=model_files, type=click.Path(path_type=Path))
@option(
    "--data",
    metavar="DATA",
    reads=data_files,
    gathers=data_gathers,
    trusts=runs_code,
    help="Calibration data, as for an audit. With --audit, to compare on.",
)
@option(
    "--audit",
    "audit_file",
    metavar="FILE",
    reads=the_file,
    trusts=always,
    help="Take the dead units from this audit of the same model.",
)
@_output("--output", "-o", help="Write the smaller model here.")
@flag("--dry-run", help="Print the plan and what it would save; write no model.")
@_output("--json", "json_file", help="Write plan and verification as JSON; - is standard output.")
@_output("--html", "html_file", help="Write the same as one HTML page; - is standard output.")
@pruning_options
@running_options
@flag("--quiet", "-q", help="Print nothing but errors.")
@flag("--verbose", "-v", help="Also name the file of settings.")
@flag("--debug", help="Show a traceback when something goes wrong.")
@config_option
def prune(
    model: Path,
    data: str | None,
    audit_file: str | None,
    output: str | None,
    dry_run: bool,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
    verbose: bool,
    debug: bool,
    how: How,
    **running: Any,
) -> int:
    """Remove every dead unit of MODEL that can go without changing what it computes."""
    if data is None and audit_file is None:
        raise click.UsageError("give calibration data with --data, or an audit of this model with --audit")
    if (output is None) != dry_run:
        raise click.UsageError("name the file to write with --output FILE, or ask for the plan alone with --dry-run")
    reports = {name: file for name, file in (("--json", json_file), ("--html", html_file)) if file is not None}
    if output == "-":
        raise click.UsageError("a model is not written to standard output; name a file")
    shown = Shown(to_stderr="-" in reports.values(), quiet=quiet, verbose=verbose)
    try:
        check_places(click.get_current_context())
        if not quiet:
            check_open()
        found = _audit(model, data, audit_file, quiet, running)
        if found.partial:
            say("interrupted: what part of the data did not wake may not be cut")
            return Exit.INCONCLUSIVE
        write_pruned(model, found, output, data=data, reports=reports, shown=shown, running=running, how=how)
    except Exception:
        if debug:
            say_trace()
        raise
    return Exit.PASSED


@dataclass(frozen=True)
class Shown:
    """Where what was done is told, if it is."""

    to_stderr: bool
    quiet: bool
    verbose: bool


def write_pruned(
    model: Path,
    audit: Audit,
    output: str | None,
    *,
    data: str | None,
    shown: Shown,
    running: Mapping[str, Any],
    how: How,
    reports: Mapping[str, str] | None = None,
) -> None:
    """Prune by an audit, write the model if there is a name for it, time it, and say what was done."""
    from msgspec.structs import replace

    from relu_audit.api.prune import prune as run
    from relu_audit.report.pruning import text as pruning

    same = {name: running[name] for name in ("provider", "threads", "custom_ops", "operators", "inputs", "limit")}
    with claimed():
        pruned = run(model, audit, data=data, verify=output is not None, **same, **how.options)
    # Model and reports are complete, each beside its place, before the first of them moves in.
    with contextlib.nullcontext() if output is None else pruned.staged(output) as staged:
        record = pruned.record() if staged is None else _measured(model, pruned, staged, running, timing=how.latency)
        record = replace(record, configuration=settings_file())
        written = {target: _report(name, record, audit) for name, target in (reports or {}).items()}
        moves, older = ((), tuple) if staged is None else (staged.moves, staged.older)

        def tell() -> None:
            if not shown.quiet:
                show(pruning.render(record, audit, settings=shown.verbose), to_stderr=shown.to_stderr)

        deliver(written, moves, older, tell)


def _measured(
    model: Path, pruned: Pruned, staged: Staged, running: Mapping[str, Any], *, timing: bool
) -> PruningRecord:
    """The record, with what was measured of the result's file."""
    latency = _latency(model, staged.files[0], pruned, running) if timing and pruned.plan.cuts else None
    return pruned.record(_files(model, pruned.audit, staged.files), latency)


def _report(option_name: str, record: PruningRecord, audit: Audit) -> str:
    from relu_audit.report.pruning import html as pruning_html
    from relu_audit.report.pruning import text as pruning

    return pruning_html.write(record, audit) if option_name == "--html" else pruning.write(record)


def _audit(model: Path, data: str | None, audit_file: str | None, quiet: bool, running: Mapping[str, Any]) -> Audit:
    if audit_file is not None:
        from relu_audit.api.audited import load

        return load(Path(audit_file))
    from relu_audit.api.audit import audit as run

    with claimed(), progress(quiet) as on_progress:
        return run(model, data, on_progress=on_progress, near_misses=False, **running)


def _latency(model: Path, result: Path, pruned: Pruned, running: Mapping[str, Any]) -> Latency | None:
    from relu_audit.errors import RunError
    from relu_audit.observe.latency import latencies
    from relu_audit.observe.session import engine
    from relu_audit.records.pruning import Latency

    ran_by = engine(running["provider"], running["threads"], running["custom_ops"])
    try:
        before, after = latencies((model, result), pruned.example, ran_by)
    except RunError as error:
        say(f"note: {error.message}")
        return None
    return Latency(before=before, after=after)


def _files(model: Path, audit: Audit, written: Sequence[Path]) -> Files:
    from relu_audit.records.pruning import Files

    beside = [model.parent / file.location for file in audit.model.external]
    return Files(
        before=sum(path.stat().st_size for path in (model, *beside)),
        after=sum(path.stat().st_size for path in written),
    )
