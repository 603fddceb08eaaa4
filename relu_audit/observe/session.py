"""The one face of onnxruntime: open a session on a graph, run a batch, say in plain words what went wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import onnxruntime as ort  # noqa: TID251 - this is the importer

from relu_audit import interrupts, memory
from relu_audit.errors import RunError, UsageError
from relu_audit.model.precision import in_float32

_ORT: Any = ort  # it ships no types; this file is its typed face

CPU = "CPUExecutionProvider"
LENT_BYTES = 1 << 16
"""Weights from this size on are not copied into the session."""

_LENDABLE = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.INT8, ir.DataType.UINT8)

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


@dataclass(frozen=True)
class Engine:
    """What runs the model.

    Attributes:
        provider: Execution provider.
        threads: Threads within an operator; 0 for as many as onnxruntime likes.
        custom_ops: Libraries of custom operators, by absolute path.
        carried: Element types it has no kernels for; float32 takes their place in models and in what they are fed.
    """

    provider: str = CPU
    threads: int = 0
    custom_ops: tuple[str, ...] = ()
    carried: tuple[ir.DataType, ...] = ()

    @property
    def keeps_denormals(self) -> bool:
        """Whether the provider can be trusted with the smallest numbers."""
        return self.provider == CPU

    @staticmethod
    def version() -> str:
        """Onnxruntime's version."""
        return str(_ORT.__version__)


def engine(provider: str = "cpu", threads: int = 0, custom_ops: Sequence[str | os.PathLike[str]] = ()) -> Engine:
    """Choose a provider by its full name or its first part, in any case (``cuda`` for CUDAExecutionProvider).

    Raises:
        UsageError: ``provider`` if this installation of onnxruntime does not have it; ``custom-ops`` for a library that
            is not there.
    """
    libraries = tuple(str(Path(library).absolute()) for library in custom_ops)
    for library in libraries:
        if not Path(library).is_file():
            raise UsageError(f"there is no custom operator library '{library}'", slug="custom-ops")
    available: list[str] = _ORT.get_available_providers()
    plain = provider.lower().removesuffix("executionprovider")
    match = [name for name in available if name.lower().removesuffix("executionprovider") == plain]
    if not match:
        raise UsageError(
            f"this onnxruntime has no execution provider '{provider}' (it has: {', '.join(available)})",
            slug="provider",
            hint="For a GPU, install onnxruntime-gpu in place of onnxruntime.",
        )
    return Engine(provider=match[0], threads=threads, custom_ops=libraries)


class Session:
    """An opened model; without ``optimize``, onnxruntime runs its nodes as they stand, on the weights as they lie.

    Raises:
        RunError: ``unsupported-operator`` or ``session`` if onnxruntime does not take the model.
    """

    def __init__(self, model: ir.Model, folder: Path | None, engine: Engine, *, optimize: bool = True) -> None:
        options: Any = _ORT.SessionOptions()
        if not optimize:
            options.graph_optimization_level = _ORT.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.add_session_config_entry("session.disable_prepacking", "1")  # it keeps another copy of each weight
        options.log_severity_level = 4
        options.intra_op_num_threads = engine.threads
        # Batches differ in shape, and memory planned for one is not given back for the next; measured in benchmarks/.
        options.enable_mem_pattern = False
        # Behind a quantized weight onnxruntime would round activations to 8 bits, and small units to death.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        for library in engine.custom_ops:
            _register(options, library)
        if folder is not None:
            options.add_session_config_entry(_EXTERNAL_FOLDER, str(folder))
        provider_options = {"arena_extend_strategy": "kSameAsRequested"} if engine.provider == CPU else {}
        in_float32(model, engine.carried)
        self._carried = {dtype.numpy() for dtype in engine.carried}
        # The session reads these arrays in place, so they live as long as it does.
        self._weights, held = _lend_weights(model, options)
        data = _serialized(model)
        for value, tensor in held.items():
            value.const_value = tensor
        try:
            self._session: Any = _ORT.InferenceSession(data, options, providers=[(engine.provider, provider_options)])
        except Exception as error:  # onnxruntime has its own, unrelated, error classes
            raise _refusal(error) from error
        self._half = {i.name for i in self._session.get_inputs() if i.type == "tensor(bfloat16)"}

    def run(self, feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> dict[str, np.ndarray]:
        """Run one batch and return the results asked for, by name.

        Raises:
            RunError: ``run`` with what onnxruntime says.
        """
        options: Any = _ORT.RunOptions()
        options.log_severity_level = 4
        if self._carried:
            feeds = {name: a.astype(np.float32) if a.dtype in self._carried else a for name, a in feeds.items()}
        try:
            if self._half:
                feeds = {name: _ort_value(array) if name in self._half else array for name, array in feeds.items()}
            with interrupts.stoppable(options):
                arrays = self._session.run(list(fetch), dict(feeds), options)
        except Exception as error:  # as above
            if options.terminate:
                raise KeyboardInterrupt from error
            if _is_lack(error):
                raise memory.exceeded("a run of the model") from error
            raise RunError(
                f"onnxruntime could not run the model on this data: {_plain(error)}",
                slug="run",
                hint="Check that the data has the shapes and values the model was made for.",
            ) from error
        return dict(zip(fetch, arrays, strict=True))


def refused(model: str | bytes | os.PathLike[str], engine: Engine) -> str:
    """What onnxruntime says against a model as it is; empty if it takes it."""
    options: Any = _ORT.SessionOptions()
    options.log_severity_level = 4
    for library in engine.custom_ops:
        _register(options, library)
    try:
        _ORT.InferenceSession(
            model if isinstance(model, bytes) else os.fspath(model), options, providers=[engine.provider]
        )
    except Exception as error:  # onnxruntime has its own, unrelated, error classes
        return _plain(error)
    return ""


def _register(options: Any, library: str) -> None:
    try:
        options.register_custom_ops_library(library)
    except Exception as error:  # onnxruntime has its own, unrelated, error classes
        raise UsageError(
            f"onnxruntime cannot use '{library}' as a custom operator library: {_plain(error)}",
            slug="custom-ops",
            hint="It must be a shared library for this system that exports RegisterCustomOps.",
        ) from error


def _serialized(model: ir.Model) -> bytes:
    """The model without the shapes we inferred: onnxruntime infers its own, and refuses a model over a wrong one."""
    proto = ir.to_proto(model)
    graphs = [proto.graph]
    while graphs:
        graph = graphs.pop()
        del graph.value_info[:]
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return proto.SerializeToString()


def _lend_weights(model: ir.Model, options: Any) -> tuple[dict[str, Any], dict[ir.Value, ir.TensorProtocol]]:
    """Take large weights out of the graph and hand them over as they lie in memory, instead of in three more copies.

    Returns:
        What was handed over, by name, and what is to be put back once the graph is serialized.
    """
    lent: dict[str, Any] = {}
    held: dict[ir.Value, ir.TensorProtocol] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or isinstance(tensor, ir.ExternalTensor) or tensor.nbytes < LENT_BYTES:
            continue
        if tensor.dtype not in _LENDABLE:
            continue
        lent[name] = _ORT.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor.numpy()))
        held[value] = tensor
        value.const_value = ir.ExternalTensor(
            "lent", offset=0, length=tensor.nbytes, dtype=tensor.dtype, shape=ir.Shape(tensor.shape.numpy()), name=name
        )
    options.add_external_initializers(list(lent), list(lent.values()))
    return lent, held


def _ort_value(array: np.ndarray) -> Any:
    assert array.dtype == ml_dtypes.bfloat16  # noqa: S101 - the dataset casts to the input's type
    return _ORT.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), int(ir.DataType.BFLOAT16))


def _is_lack(error: Exception) -> bool:
    """Whether the runtime says that memory did not suffice."""
    said = "bad_alloc", "bad allocation", "Failed to allocate memory", "Cannot allocate memory"
    return isinstance(error, MemoryError) or any(one in str(error) for one in said)


def _refusal(error: Exception) -> RunError:
    text = _plain(error)
    if _is_lack(error):
        return memory.exceeded("opening the model in onnxruntime")
    missing = re.search(r"find an implementation for (\S+)|(\S+) is not a registered function/op", text)
    if missing:
        operator = (missing.group(1) or missing.group(2)).removesuffix("(-1)")
        domain, _, name = operator.rpartition(":")
        return RunError(
            f"onnxruntime has no kernel for the operator {name} of domain '{domain or 'ai.onnx'}': {text}",
            slug="unsupported-operator",
            hint="If it is a custom operator, name the library that has it: --custom-ops LIB.so. "
            "Otherwise try another --provider, or a build of onnxruntime that has it.",
        )
    return RunError(
        f"onnxruntime does not accept this model: {text}",
        slug="session",
        hint="If it does not run in onnxruntime by itself either, export it again; otherwise please report this.",
    )


def _plain(error: Exception) -> str:
    """Onnxruntime's message without its own source locations."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(r"/\S+?\.(cc|h):\d+ ?\S* ?", "", text)
    return text[:400]


def timed(model: Path, feeds: Mapping[str, np.ndarray], engine: Engine) -> Callable[[], object]:
    """A function that runs a model file once, as a user of onnxruntime would with no options set.

    Raises:
        RunError: onnxruntime does not take the model.
    """
    options: Any = _ORT.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = engine.threads
    for library in engine.custom_ops:
        _register(options, library)
    try:
        session: Any = _ORT.InferenceSession(model, options, providers=[engine.provider])
    except Exception as error:  # as above
        raise _refusal(error) from error
    return lambda: session.run(None, dict(feeds))
