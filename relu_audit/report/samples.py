"""What a sample is, in words: which axis of which input holds samples, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relu_audit.errors import one_line
from relu_audit.records import DataInfo, InputInfo, Known, ListedInput
from relu_audit.report.numbers import count, plural

_HOW: Mapping[Known, str] = {
    "proved": "no operator mixes them",
    "stated": "as stated",
    "single": "a run takes one",
    "range": "each run alone",
    "tried": "each run alone; tried, not proved",
    "untried": "each run alone; neither proved nor tried, since no two samples could be compared",
    "run": "the file fixes the rows of a run, and each run is one sample",
    "feeds": "each feed is one sample",
}


def samples_in_words(data: DataInfo) -> str:
    """What the samples of an audit are: which axes hold them, and how that is known."""
    places = _places([one for one in data.inputs if one.axis is not None])
    what = f"rows of {places}" if places and data.known != "feeds" else "whole feeds"
    because = f": {one_line(data.detail)}" if data.detail else ""
    return f"{what}; {_HOW[data.known]}{because}"


def few_in_words(data: DataInfo) -> str:
    """How many samples differ from each other; empty where all do."""
    if data.evidence >= data.samples:
        return ""
    return f"the {count(data.samples)} samples hold only {plural(data.evidence, 'distinct sample', 'distinct samples')}"


def inputs_in_words(inputs: Sequence[ListedInput], known: Known, detail: str) -> list[str]:
    """For every input of a model which axis holds samples, and how that is known."""
    said: list[str] = []
    for one in inputs:
        name = f"input '{one_line(one.name)}' {_shape(one.shape)}"
        if one.axis is None:
            said.append(f"{name}: no axis holds samples")
        else:
            said.append(f"{name}: axis {one.axis} holds samples")
    because = f": {one_line(detail)}" if detail else ""
    return [*said, f"samples: {_LISTED[known]}{because}"] if inputs else said


_LISTED: Mapping[Known, str] = {
    **_HOW,
    "tried": "not proved; the audit compares samples run together with samples run alone",
    "feeds": "each run of the model is one sample, because its rows change each other",
}


def _places(inputs: Sequence[InputInfo]) -> str:
    return ", ".join(f"'{one_line(one.name)}', axis {one.axis}" for one in inputs)


def _shape(shape: Sequence[int | str | None] | None) -> str:
    return "of unknown rank" if shape is None else f"[{', '.join('?' if s is None else str(s) for s in shape)}]"
