"""Layers made of counts, and the gate over them, without any model."""

from __future__ import annotations

from collections.abc import Collection

from relu_audit.cli.options import Share
from relu_audit.judge.gate import gate
from relu_audit.records import Baseline, BaselineSite, DataInfo, Gate, Place, Policy, SiteAudit, Skipped

ENOUGH = 300
SKIPPED = Skipped(tensor="s", scope="", op="Relu", slug="in-subgraph", detail="inside a loop")


def data(samples: int = ENOUGH, *, synthetic: bool = False, sha256: str = "0" * 64) -> DataInfo:
    return DataInfo(source="d.npz", sha256=sha256, samples=samples, synthetic=synthetic, inputs=())


def site(
    units: int,
    dead: int | Collection[int] = 0,
    unseen: int = 0,
    tensor: str = "r",
    samples: int = ENOUGH,
    *,
    rare: Collection[int] = (),
    faulty: Collection[int] = (),
    scope: str = "",
    op: str = "Relu",
    weight: str | None = "w",
    content: str | None = None,
    signs: str | None = None,
    assumed: bool = False,
) -> SiteAudit:
    """A layer of which these units, or so many of the first, are dead, and the last ones no sample reached."""
    silent = range(dead) if isinstance(dead, int) else dead
    lost = range(units - unseen, units)
    often = max(samples - 1, 1)
    fired = tuple(0 if u in silent or u in lost else 1 if u in rare else often for u in range(units))
    values = tuple(None if u in faulty or u in lost else float(count > 0) for u, count in enumerate(fired))
    return SiteAudit(
        tensor=tensor,
        tensors=(tensor,),
        scope=scope,
        op=op,
        layout="n u",
        unit_axis=1,
        axis_from="output axis of weight 'w'",
        assumed=assumed,
        weight=weight,
        weight_sha256=content,
        weight_signs=signs,
        units=units,
        samples=samples,
        positions=samples,
        per_run=False,
        fired_samples=fired,
        fired_positions=fired,
        first_fired=tuple(0 if count else None for count in fired),
        mean=tuple(None if v is None else count / samples for v, count in zip(values, fired, strict=True)),
        peak=values,
        trough=tuple(None if value is None else 0.0 for value in values),
        pre_peak=(None,) * units,
        dead=tuple(silent),
        rare=tuple(rare),
        always_on=(),
        constant=(),
        faulty=tuple(faulty),
        unseen=tuple(lost),
    )


def measure(*sites: SiteAudit, samples: int = ENOUGH, skipped: tuple[Skipped, ...] = ()) -> Baseline:
    """These layers as a baseline."""
    kept = ("scope", "tensor", "op", "units", "samples", "weight", "weight_sha256", "weight_signs")
    names = (*kept, "dead", "rare", "faulty", "unseen")
    return Baseline(
        source="old.json",
        model="old.onnx",
        model_sha256="1" * 64,
        data_sha256="0" * 64,
        samples=samples,
        sites=tuple(BaselineSite(**{name: getattr(one, name) for name in names}) for one in sites),
        skipped=tuple(Place(scope=one.scope, tensor=one.tensor) for one in skipped),
    )


def judge(policy: Policy, *sites: SiteAudit, **more: object) -> Gate:
    return gate(
        policy,
        more.pop("data", data()),
        sites,
        more.pop("skipped", ()),
        partial=more.pop("partial", False),
        baseline=more.pop("baseline", None),
    )


def share(text: str) -> float:
    """What the command line makes of a limit."""
    return Share().convert(text, None, None)
