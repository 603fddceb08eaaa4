"""What exact pruning would give back: a plan that is made, not carried out, and never the end of an audit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from relu_audit.api.audited import Audit
from relu_audit.api.prune import plan
from relu_audit.errors import AuditError, one_line
from relu_audit.model.checkpoint import ModelSource
from relu_audit.records import Prospect

ALIGN = 8
"""What lengths stay multiples of, as by default when a model is pruned."""


def with_prospect(
    audit: Audit,
    model: ModelSource,
    data: object,
    *,
    inputs: Mapping[str, str] | None,
    provider: str,
    threads: int,
    custom_ops: Sequence[str | os.PathLike[str]],
    operators: Sequence[Mapping[str, Any]],
) -> Audit:
    """The audit with what pruning would give back; as it is where no unit is dead or the run was cut short.

    Args:
        audit: The audit.
        model: What was audited.
        data: What it was shown. An iterable is used up by then, so the plan rests on made-up inputs of its shapes.
        inputs: Array name by input name, where they differ.
        provider: An onnxruntime execution provider.
        threads: Threads within an operator.
        custom_ops: Libraries of custom operators.
        operators: What custom operators do to axes.
    """
    if not audit.dead or audit.partial:
        return audit
    try:
        planned = plan(
            model,
            audit,
            data=data if _lasts(data) else None,
            inputs=inputs,
            align=ALIGN,
            provider=provider,
            threads=threads,
            custom_ops=custom_ops,
            operators=operators,
        )
    except AuditError as error:
        return _failed(audit, error.slug, error.message)
    except Exception as error:  # a bug of the planner's must not cost anybody an audit that is done
        return _failed(audit, "bug", f"{type(error).__name__}: {error}")
    kept = Counter(one.slug for one in planned.kept if one.why == "dead")
    prospect = Prospect(
        removed=sum(one.why == "dead" for one in planned.removed),
        kept=dict(sorted(kept.items())),
        align=ALIGN,
        before=planned.before,
        after=planned.after,
    )
    return msgspec.structs.replace(audit, prospect=prospect)


def _lasts(data: object) -> bool:
    """Whether data can be gone through again."""
    return isinstance(data, (str, os.PathLike, Mapping))


def _failed(audit: Audit, slug: str, message: str) -> Audit:
    return msgspec.structs.replace(audit, prospect=Prospect(align=ALIGN, failure=(slug, one_line(message))))
