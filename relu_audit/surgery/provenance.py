"""What a pruned file says of itself: by what it was made, on what premise, and what is gone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from relu_audit.errors import one_line
from relu_audit.records import Audit
from relu_audit.records.pruning import KeptUnit, Plan, RemovedUnit
from relu_audit.version import tool_name


def premise_in_words(audit: Audit, plan: Plan) -> str:
    """What was observed and is relied on."""
    counted = {why: sum(one.why == why for one in plan.removed) for why in ("dead", "merged")}
    said = [
        f"{counted[why]} {'unit that was' if counted[why] == 1 else 'units that were'} {done} "
        f"{'was' if counted[why] == 1 else 'were'} {seen}"
        for why, done, seen in (("dead", "cut", "silent"), ("merged", "merged", "always on"))
        if counted[why]
    ]
    relied = sum(one.relied for one in plan.kept)
    if relied:
        said.append(f"{relied} kept but relied on {'was' if relied == 1 else 'were'} silent")
    if not said:
        return "none: nothing was cut for its silence"
    data = audit.data
    samples = "the one sample" if data.samples == 1 else f"all {data.samples} samples"
    return f"{' and '.join(said)} on {samples} of {one_line(data.source)} ({data.sha256})"


def provenance(audit: Audit, plan: Plan) -> Mapping[str, str]:
    """What the file says of itself: by what, on what premise, what is gone."""
    return {
        "relu_audit.tool": tool_name(),
        "relu_audit.original": audit.model.sha256,
        "relu_audit.premise": premise_in_words(audit, plan),
        "relu_audit.removed": _units(plan.removed),
        "relu_audit.relied": _units([one for one in plan.kept if one.relied]),
    }


def _units(ones: Iterable[RemovedUnit | KeptUnit]) -> str:
    """Numbers by tensor, as JSON."""
    units: dict[str, list[int]] = {}
    for one in ones:
        units.setdefault(one.tensor, []).append(one.unit)
    return json.dumps(units, sort_keys=True)
