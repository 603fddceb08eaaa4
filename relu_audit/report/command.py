"""The command line that would make an audit again, from what the audit recorded."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from relu_audit.records import Audit, Policy

IN_MEMORY = "<memory>"


def command(audit: Audit) -> str | None:
    """The command, for a shell, in the folder of model and data; None if either was never a file.

    Options are given where they differ from what they are by default. The number of samples always is, so that the same
    ones are used whatever limit or interrupt there was.
    """
    if IN_MEMORY in (audit.model.name, audit.data.source):
        return None
    return shlex.join(["relu-audit", _not_an_option(audit.model.name), *_options(audit)])


def _options(audit: Audit) -> Iterator[str]:
    yield from ("--data", audit.data.source)
    for one in audit.data.inputs:
        if one.key != one.name:
            yield f"--input={one.name}={one.key}"
    for site in audit.sites:
        if site.axis_from == "given by --unit-axis" and site.unit_axis is not None:
            yield f"--unit-axis={site.tensor}={site.unit_axis}"
    if audit.data.known == "stated":
        yield from (f"--batch-axis={one.name}={one.axis}" for one in audit.data.inputs if one.axis is not None)
    if audit.data.known == "feeds" or (audit.data.known == "stated" and audit.data.detail):
        yield f"--samples={'feeds' if audit.data.known == 'feeds' else 'rows'}"
    if not audit.data.synthetic and audit.data.samples:
        yield f"--limit={audit.data.samples}"
    if audit.runtime.provider != "CPUExecutionProvider":
        yield f"--provider={audit.runtime.provider}"
    if not any(peak is not None for site in audit.sites for peak in site.pre_peak):
        yield "--no-near-misses"
    if audit.prospect is not None:
        yield "--costs"
    if audit.baseline is not None and audit.baseline.source != IN_MEMORY:
        yield f"--baseline={audit.baseline.source}"
    yield from _policy(audit.policy)


def _policy(policy: Policy) -> Iterator[str]:
    asked, usual = policy, Policy()
    for name in ("max_dead", "max_dead_layer", "max_rare", "allow_faulty", "min_samples", "rare_below"):
        if getattr(asked, name) != getattr(usual, name):
            yield f"--{name.replace('_', '-')}={getattr(asked, name)!r}"
    if asked.require_observed:
        yield "--require-observed"
    if asked.bands != usual.bands:
        yield f"--bands={','.join(map(repr, asked.bands))}"


def _not_an_option(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name
