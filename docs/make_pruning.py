"""Write the table of real models in docs/pruning.md. ``python docs/make_pruning.py``.

The models are not part of the project; point CORPUS_OF_MODELS at them, or keep them in ../shared/corpus.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import relu_audit

TARGET = Path(__file__).with_name("pruning.md")
CORPUS = Path(os.environ.get("CORPUS_OF_MODELS", Path(__file__).absolute().parents[2] / "shared" / "corpus"))
BEGIN, END = "<!-- table of make_pruning.py -->", "<!-- end of the table of make_pruning.py -->"
ALIGNS = (1, 8)

HEADER = (
    "model",
    "samples",
    "units",
    "dead",
    "removed, align 1",
    "removed, align 8",
    "kept at align 8, by reason",
    "parameters at align 1",
    "largest difference",
)


def rows() -> Iterator[tuple[str, ...]]:
    """One row per model that has units, the worst of both alignments for its difference."""
    for name in json.loads((CORPUS / "ground_truth.json").read_text(encoding="utf-8")):
        model, data = CORPUS / f"{name}.onnx", CORPUS / f"{name}.inputs.npz"
        audit = relu_audit.audit(model, data, near_misses=False)
        pruned = [relu_audit.prune(model, audit, data=data, align=align) for align in ALIGNS]
        plans = [one.plan for one in pruned]
        dead = {(site.tensor, unit) for site in audit.sites for unit in site.dead}
        reasons = Counter(one.slug for one in plans[-1].kept if (one.tensor, one.unit) in dead)
        before, after = plans[0].before.parameters, plans[0].after.parameters
        yield (
            name,
            f"{audit.data.samples:,}",
            f"{sum(site.units for site in audit.sites):,}",
            f"{len(dead):,}",
            *(f"{sum(unit.why == 'dead' for unit in plan.removed):,}" for plan in plans),
            ", ".join(f"{slug} {count:,}" for slug, count in reasons.most_common()) or "-",
            "-" if not before else "the same" if before == after else f"{100 * (after / before - 1):+.1f} %",
            _number(max(one.verification.relative for one in pruned if one.verification is not None)),
        )


def _number(relative: float) -> str:
    return f"{relative:.1e}" if relative else "0"


def table() -> str:
    """The table in Markdown."""
    lines = [HEADER, ("---", *("---:" for _ in range(5)), "---", "---:", "---:"), *sorted(rows())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Put the table between its markers."""
    page = TARGET.read_text(encoding="utf-8")
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        sys.exit(f"{TARGET.name} has no place for the table: {BEGIN} ... {END}")
    TARGET.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
