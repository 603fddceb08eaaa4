"""``--annotate OUT.onnx``: the model with what was found on its nodes, as one more thing to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from relu_audit.cli.streams import say
from relu_audit.errors import UsageError

if TYPE_CHECKING:
    from relu_audit.records import Audit


def check_annotated(model: Path, target: str) -> None:
    """Refuse a place for the annotated model from which its weights would not be found.

    Raises:
        UsageError: ``output``.
    """
    from relu_audit.model.checkpoint import open_checkpoint

    if target == "-":
        raise click.UsageError("a model is not written to standard output; name a file")
    external = open_checkpoint(model).external
    place = Path(target).resolve()
    if external and place.parent != model.resolve().parent:
        raise UsageError(
            f"'{model}' keeps weights in '{next(iter(external))}', which would not be found from '{target}'",
            slug="output",
            hint=f"Write the annotated model into '{model.parent}', or copy the weights along and run it there.",
        )


def annotated(model: Path, audit: Audit) -> bytes:
    """The annotated model; what could not be annotated is said on standard error."""
    from relu_audit.report.findings import layer_name
    from relu_audit.surgery.annotate import annotate

    found = annotate(model, audit)
    for site in found.missing:
        say(f"note: not annotated: no one node of the file makes {layer_name(site)}")
    return found.data
