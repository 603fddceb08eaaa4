"""An audit the size of a language model's, in which units die the deeper the layer, of every cause."""

from __future__ import annotations

import msgspec
import numpy as np

from relu_audit.records import Audit, Policy, SiteAudit, Status, Tied
from tests.drawn_causes import all_causes
from tests.test_report_html import audit, site


def large_audit(layers: int = 32, units: int = 10_938, samples: int = 5000, dead: float = 0.2) -> Audit:
    """Firing rates over four decades, peaks and means as they come, about so many units dead of all."""
    slope = 2 * min(dead, 1 - dead)
    return audit(
        *(_layer(depth, dead + slope * ((depth + 0.5) / layers - 0.5), units, samples) for depth in range(layers)),
        samples=samples,
        policy=Policy(max_dead=0.1),
    )


def _layer(depth: int, dead: float, units: int, samples: int) -> SiteAudit:
    random = np.random.default_rng(depth)
    rates = 10 ** random.uniform(-4.2, 0, units)
    fired = np.maximum(1, (samples * rates).astype(int)) * (random.random(units) >= dead)
    first = np.minimum(random.geometric(rates), samples) - 1
    peaks = random.lognormal(size=units)
    means = peaks * random.random(units) / 10 * (fired > 0)
    statuses: list[Status] = ["dead" if n == 0 else "rare" if n < 0.05 * samples else "active" for n in fired]
    made = site(f"/model/layers.{depth}/mlp/act/Relu_output_0", statuses, samples=samples)
    return msgspec.structs.replace(
        made,
        weight=f"model.layers.{depth}.mlp.up_proj.weight",
        positions=16 * samples,
        fired_samples=tuple(fired.tolist()),
        fired_positions=tuple((3 * fired).tolist()),
        first_fired=tuple(None if n == 0 else i for n, i in zip(fired.tolist(), first.tolist(), strict=True)),
        peak=tuple(np.where(fired > 0, peaks, 0.0).tolist()),
        pre_peak=tuple(np.where(fired > 0, peaks, -peaks).tolist()),
        mean=tuple(float(f"{mean:.6g}") for mean in means.tolist()),
        causes=all_causes(made.dead, peaks[list(made.dead)].tolist(), random) if made.dead else None,
        tied=Tied(parameters=4096, multiply_adds=4096, read_parameters=2048, read_multiply_adds=2048)
        if made.dead
        else None,
    )
