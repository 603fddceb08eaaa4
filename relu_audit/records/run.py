"""What was audited, what it was shown, and what ran it."""

from __future__ import annotations

from typing import Literal

from relu_audit.records.base import Record

Known = Literal["proved", "stated", "single", "range", "tried", "untried", "run", "feeds"]
"""How it is known what a sample is."""


class ExternalFile(Record, frozen=True, kw_only=True):
    """A file of weights beside the model, by its location as the model gives it."""

    location: str
    sha256: str


class ModelInfo(Record, frozen=True, kw_only=True):
    """What was audited.

    Attributes:
        name: File name without folder, or ``<memory>``.
        sha256: Of the .onnx file's bytes.
        external: The weight files the model names, each with its own hash.
        producer: Producer name and version as the file gives them.
        ir_version: Version of the ONNX file format.
        opsets: Operator-set version by domain; the default domain is ``ai.onnx``.
        parameters: Elements of its weights, in initializers and Constant nodes, in bodies and functions too: floating
            point of any width, quantized codes and quantized biases. What serves several places counts once.
    """

    name: str
    sha256: str
    external: tuple[ExternalFile, ...]
    producer: str
    ir_version: int
    opsets: dict[str, int]
    parameters: int


class InputInfo(Record, frozen=True, kw_only=True):
    """How one graph input was fed.

    Attributes:
        name: The graph input.
        key: The array it came from.
        dtype: The array's dtype.
        shape: The array's shape; of its first piece where the data comes in pieces.
        feeding: ``samples`` along an axis, ``rows`` (a whole feed each) or ``repeated`` (the whole array for a run).
        axis: The axis that holds the samples; None where no axis does.
        cast: The dtype it was converted to; None if it was fed as it came.
    """

    name: str
    key: str
    dtype: str
    shape: tuple[int, ...]
    feeding: Literal["samples", "rows", "repeated"]
    axis: int | None = None
    cast: str | None


class DataInfo(Record, frozen=True, kw_only=True):
    """What the model was shown.

    Attributes:
        source: Name of the file or folder, entry point, or ``<memory>``.
        sha256: Of the arrays as streamed (names, dtypes, shapes and bytes of the samples used), so that the same
            samples give the same hash however they are stored.
        samples: Samples used.
        distinct: How many of them differ from each other in an input that reaches a rectifier; where a run of several
            samples counts as one, how many runs do. None in files of earlier versions.
        known: How it is known what a sample is. ``proved``: no operator lets the samples of a run change each other.
            ``stated`` by the user. ``single``: a run takes one sample. ``range``: the samples of a run share nothing
            but the range of their codes; each was run alone. ``tried``: not proved; samples run together and alone
            showed the same, and each was run alone. ``untried``: the same without a trial. ``run``: a run of a fixed
            number of rows is one sample. ``feeds``: each feed was run as it came, and is one sample.
        detail: What stood against a proof, with the node; empty where nothing did.
        synthetic: True for generated data, which can never pass a gate.
        inputs: How each graph input was fed.
    """

    source: str
    sha256: str
    samples: int
    distinct: int | None = None
    known: Known = "proved"
    detail: str = ""
    synthetic: bool
    inputs: tuple[InputInfo, ...]

    @property
    def evidence(self) -> int:
        """Samples that findings rest on: copies of a sample say nothing new."""
        return self.samples if self.distinct is None else min(self.samples, self.distinct)


class RuntimeInfo(Record, frozen=True, kw_only=True):
    """What ran the model.

    Attributes:
        onnxruntime: Version.
        provider: Execution provider.
        optimization: Graph optimisation level.
        batch_size: Samples per run, at most.
        in_float32: Element types of the model that were computed in float32, since the provider lacks kernels for them.
    """

    onnxruntime: str
    provider: str
    optimization: str
    batch_size: int
    in_float32: tuple[str, ...]


class ConfigurationInfo(Record, frozen=True, kw_only=True):
    """The file that settings were read from.

    Attributes:
        name: Its path from the folder that the audit was run in.
        sha256: Of the file's bytes.
    """

    name: str
    sha256: str
