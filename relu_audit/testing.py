"""Assertions for test suites, of pytest or of anything else that knows ``AssertionError``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np

    from relu_audit.api.audited import Audit
    from relu_audit.model.checkpoint import ModelSource


def assert_alive(
    model: ModelSource,
    data: object,
    *,
    max_dead: float | None = None,
    max_dead_layer: float | None = None,
    **options: Any,
) -> Audit:
    """Assert that a model's rectifier units are alive.

    Args:
        model: Path, bytes or protobuf of an ONNX model.
        data: Calibration data, in any form that :func:`relu_audit.audit` takes.
        max_dead: Largest dead fraction of all units that passes, 0 to 1. Where neither this nor ``max_dead_layer`` is
            given, no unit may be dead.
        max_dead_layer: The same for every layer by itself.
        **options: Any other of :func:`relu_audit.audit`.

    Returns:
        The audit, whose gate has passed.

    Raises:
        AssertionError: A limit was breached, or there was too little evidence to decide, as with fewer than
            ``min_samples`` samples. Its first line says which; the layer table follows.
        AuditError: The model, the data or an option is no good, so that nothing could be asserted.
    """
    __tracebackhide__ = True  # pytest then shows the caller's line, which is the one that failed
    from relu_audit.api.audit import audit

    if max_dead is None and max_dead_layer is None:
        max_dead = 0.0
    result = audit(model, data, max_dead=max_dead, max_dead_layer=max_dead_layer, **options)
    if result.partial:  # the audit turned an interrupt into an outcome; here it has to end the whole test run
        raise KeyboardInterrupt
    if result.gate.outcome != "passed":
        raise AssertionError(_message(result))
    return result


def _message(audit: Audit) -> str:
    """A line that can stand alone, as a list of failed tests shows it, and what a terminal would have shown."""
    from relu_audit.report import text

    verdict, *why = (line.strip() for line in text.gate_line(audit).plain.splitlines())
    more = f" (and {len(why) - 1} more)" if len(why) > 1 else ""
    return f"{', '.join([verdict, *why[:1]])}{more}\n\n{text.write(audit)}"


def assert_axes(
    row: Mapping[str, Any],
    model: ModelSource,
    data: Mapping[str, np.ndarray],
    *,
    provider: str = "cpu",
    threads: int = 0,
    custom_ops: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Assert that an operator does to axes what a row says of the operator.

    Entries of the operator's operands are replaced, index by index along every axis, and what changes in its results is
    compared with the row. So lengths that differ from axis to axis, and more than two entries along each, show most.

    Args:
        row: The row, as :func:`relu_audit.audit` takes it.
        model: Path, bytes or protobuf of a model that uses the operator, in as many variants as you like.
        data: One array for each input of the model.
        provider: An onnxruntime execution provider.
        threads: Threads within an operator; 0 leaves it to onnxruntime.
        custom_ops: Libraries of custom operators to register with onnxruntime. They are code, and it is run.

    Raises:
        AssertionError: Something contradicts the row; each line of the message says what.
        AuditError: The row is none, the model does not have the operator, or does not run on the data.
    """
    __tracebackhide__ = True
    from relu_audit.observe.operators import against
    from relu_audit.observe.session import engine
    from relu_audit.operators.rules import row_of

    stated = row_of(row)
    found = against(stated, model, data, engine(provider, threads, custom_ops))
    if found:
        lines = "\n".join(f"- {one.text}" for one in found)
        raise AssertionError(f"the row of {stated.domain}.{stated.op} is contradicted by the operator:\n{lines}")
