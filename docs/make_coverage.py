"""Write docs/coverage.md from the tables that the program runs on. ``python docs/make_coverage.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from relu_audit.activations import inside, rectifiers, spelt, steps
from relu_audit.model import fused
from relu_audit.operators import along, axes
from relu_audit.values import signs

TARGET = Path(__file__).with_name("coverage.md")

INTRODUCTION = """# Coverage

What relu-audit knows, written from its own tables by `docs/make_coverage.py`; a test fails when this page is behind.
`relu-audit sites MODEL` says what that means for one model.

A *rectifier* is zero, with no slope, on one side of its input. A unit is dead if its output was zero on every sample.
Activations with a slope everywhere are listed as alive by construction and never counted. An operator that is in none
of these tables is not taken for a rectifier, and the axes behind it are unknown: the unit axis of a rectifier there
is assumed, and said to be.

- **Slopes and bounds are judged by unit.** Of a `PRelu`, units with a slope of zero are rectified, and the others are
  not: they are counted (`not_rectified` in the JSON), and never dead or rare. If no unit is rectified, the activation
  is alive by construction. The same holds of `Max`, `Min`, `Where` and products with vectors: a unit that is held at
  another number than zero is not rectified.
- **The output is counted where it is not zero.** Behind `Min(x, 0)` or `Clip(x, max = 0)` units fire below zero: the
  opposite of the output is counted (`counted_as`: `negated`). HardSwish and thresholds below zero give both signs: the
  output's distance from zero is counted (`magnitude`).
- **A gate is a rectifier.** A HardSigmoid that is zero for every sample is dead, in either spelling. One that is stuck
  at one is `constant`.
- **Parameters have no units.** A rectifier that only parameters and sizes of the data reach needs no data, and is no
  layer: `Relu(weight)` is not listed.
- **Ranks are no units.** Behind `TopK` along the units' axis, a place in the order is a position, so that a rectifier
  there is one unit. Where the rectified values are scattered back among zeros, the units are the places they come from.
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
            "Activations of several nodes",
            "What a few of these operators make of one value, with constants among their operands, is read as one "
            "function: `(x + |x|) / 2`, `x - Min(x, 0)`, `Relu(x) - slope * Relu(-x)`, `x * Clip(x + 3, 0, 6) / 6`. If "
            "the function is zero on one side, the last node is the rectifier; if it has a slope everywhere, it is "
            "alive by construction. The nodes between are no rectifiers of their own, unless others read them as well. "
            f"At most {spelt.LONGEST} operators may lie between the value and what is made of it.",
            ("operator", "read as"),
            ((_name(*key), _made(step)) for key, step in steps.STEPS.items()),
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
            "An activation named Relu, ThresholdedRelu, HardSigmoid, or LeakyRelu or Elu with an alpha of 0 makes "
            "units of the hidden state. A rectifier whose zeros do not show there, as that of a gate, is listed as not "
            "observed (`in-operator`); a HardSigmoid for a gate is read as the Sigmoid that it stands for. Steps that "
            "`sequence_lens` cuts off count as positions at which nothing fires.",
            ("operator", "activations per direction", "that rectify the hidden state"),
            (
                (_name(*key), str(len(row.defaults)), ", ".join("fgh"[i] for i in row.hidden))
                for key, row in inside.RECURRENCES.items()
            ),
        ),
        _section(
            "Activations inside other operators",
            "An operator that names its activation in an attribute (`activation`, `activations`, `activation_type`, "
            "`hidden_act`, ...) and is not taken apart shows nothing of it. Where the name is that of a rectifier, the "
            "operator is listed as not observed (`in-operator`); where it is not known, likewise "
            "(`unknown-activation`). So `--require-observed` fails. `MoE` and `QMoE` have `relu` where they name none.",
            ("activation", "rectifies"),
            ((f"`{name}`", "yes" if rectifies else "no") for name, rectifies in inside.RECTIFY.items()),
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
            "How each operator carries axes, in the notation that `relu_audit/operators/axes.py` explains. Two columns "
            "say along which axes of the first operand samples would change each other, because entries are combined "
            "or moved, and along which a sample would depend on its place among the others. Letters that are in no "
            "result are summed over. Along all other axes an entry of the result is made of one entry.",
            ("operator", "since opset", "axes", "entries mix along", "places count along"),
            (
                (_name(row.domain, row.op), str(row.since), _axes(row), _along(row.mixes), _along(row.placed))
                for row in axes.TABLE
            ),
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


def _made(step: steps.Step) -> str:
    """What a step is, in a word."""
    if step.condition:
        return "condition"
    return "activation" if step.activation else "part of one"


def _parts(row: fused.Fusion) -> str:
    core = _name(*row.core) + (" between Transposes" if row.channels_last else "")
    return ", ".join([core, *(["Add"] if row.addend is not None else []), "its activation"])


def _axes(row: axes.AxisRule) -> str:
    if row.body is not None:
        text = "through its bodies"
    elif row.move is not None:
        text = _first_line(row.move.__doc__).rstrip(".") or "data movement"
    else:
        told = _first_line(row.letters.__doc__ if row.letters else "").rstrip(".")
        text = ": ".join(filter(None, [row.signature and f"`{row.signature}`", told]))
    return f"{text}; all entries share a range of codes" if row.couples else text


def _along(column: along.Along) -> str:
    if column is along.nowhere:
        return ""
    text = re.sub(r" \([A-Z][^)]*\)", "", _first_line(column.__doc__).rstrip("."))
    return text[0].lower() + text[1:]


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
