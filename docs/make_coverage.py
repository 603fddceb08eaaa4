"""Write docs/coverage.md from the tables that the program runs on. ``python docs/make_coverage.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from relu_audit.graph import axes, fused, inside, rectifiers, signs

TARGET = Path(__file__).with_name("coverage.md")

INTRODUCTION = """# Coverage

What relu-audit knows, written from its own tables by `docs/make_coverage.py`; a test fails when this page is behind.
`relu-audit sites MODEL` says what that means for one model.

A *rectifier* is zero, with no slope, on one side of its input. Activations with a slope on both sides are listed as
alive by construction and never counted. An operator that is in none of these tables is not taken for a rectifier, and
the axes behind it are unknown: the unit axis of a rectifier there is assumed, and said to be.
"""


def page() -> str:
    """The whole page."""
    parts = [
        INTRODUCTION,
        _section(
            "Rectifiers and other activations, by node",
            "",
            ("operator", "read as"),
            ((_name(*key), _first_line(reader.__doc__)) for key, reader in rectifiers.READERS.items()),
        ),
        _section(
            "Fused operators",
            "Files that onnxruntime has optimised hold activations inside other operators. Each is taken apart, and "
            f"what is rectified keeps its name. Activations: {', '.join(sorted(fused.ACTIVATIONS))}.",
            ("operator", "taken apart into"),
            ((_name(row.domain, row.op), _parts(row)) for row in fused.TABLE),
        ),
        _section(
            "Recurrent operators",
            "An activation named Relu, ThresholdedRelu or LeakyRelu with a slope of 0 makes units of the hidden state. "
            "Gate activations show nowhere outside the operator and are listed as not observed (`in-operator`). Steps "
            "that `sequence_lens` cuts off count as positions at which nothing fires.",
            ("operator", "activations per direction", "that rectify the hidden state"),
            (
                (_name(*key), str(len(row.defaults)), ", ".join("fgh"[i] for i in row.hidden))
                for key, row in inside.RECURRENCES.items()
            ),
        ),
        _section(
            "Quantized codes",
            "A zero point that is the least code of its type makes an implicit rectifier, unless the value cannot be "
            "negative anyway or no weight is upstream. A unit fires when its code is above the zero point.",
            ("operator", "input that holds the zero point"),
            ((_name(*key), str(index)) for key, index in signs.ZERO_POINTS.items()),
        ),
        _section(
            "Axes",
            "How each operator carries axes, in the notation that `relu_audit/graph/axes.py` explains.",
            ("operator", "since opset", "axes"),
            ((_name(row.domain, row.op), str(row.since), _axes(row)) for row in axes.TABLE),
        ),
    ]
    return "\n".join(parts)


def _section(title: str, text: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"## {title}", ""]
    if text:
        lines += [text, ""]
    lines += [_row(header), _row("---" for _ in header), *map(_row, sorted(rows, key=lambda row: row[0].lower()))]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name(domain: str, op: str) -> str:
    return f"`{domain}.{op}`" if domain else f"`{op}`"


def _parts(row: fused.Fusion) -> str:
    core = _name(*row.core) + (" between Transposes" if row.channels_last else "")
    return ", ".join([core, *(["Add"] if row.addend is not None else []), "its activation"])


def _axes(row: axes.AxisRule) -> str:
    if row.body is not None:
        text = "through its bodies"
    elif row.move is not None:
        text = _first_line(row.move.__doc__).rstrip(".") or "data movement"
    else:
        text = f"`{row.signature}`" if row.signature else _first_line(row.letters.__doc__ if row.letters else "")
    return f"{text}; samples change each other" if row.couples else text


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
