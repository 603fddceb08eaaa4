"""Folders of calibration data: of ``.npz`` files, of ``.npy`` files, and of ONNX test sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from relu_audit.errors import DataError
from relu_audit.model.protos import MOST_AXES
from relu_audit.observe.archives import keeping_open, npz_table
from relu_audit.observe.columns import ArrayColumn, Column, Source, Table
from relu_audit.observe.stored import check_regular, npy_column, unreadable

ENDINGS = (".npz", ".npy", ".pb")
"""Of the files that a folder of data is read from."""

DIGITS = "0123456789"

MOST_TEXT = 1 << 28
"""Bytes of an array of texts, at most: in memory each of them takes as much as the longest."""


def open_folder(path: Path, names: tuple[str, ...]) -> Source:
    """Find out which kind of data is in a folder.

    Args:
        path: The folder.
        names: The model's input names, in order.

    Raises:
        DataError: ``data-not-found``, ``data-kind`` or ``data-empty``.
    """
    held = _held(path)
    sets = [one for one in held if one.name.startswith("test_data_set_") and one.is_dir()]
    if sets or _inputs(held):
        return Source(path.name, lambda: (_test_set(one, names) for one in sets or [path]))
    archives = [one for one in held if one.name.endswith(".npz")]
    arrays = [one for one in held if one.name.endswith(".npy")]
    if archives and arrays:
        raise DataError(
            f"the folder '{path.name}' holds both .npz and .npy files",
            slug="data-kind",
            hint="Which of them to read cannot be told: keep one kind in it.",
        )
    if archives:
        opener = keeping_open()
        return Source(path.name, lambda: (npz_table(file, opener) for file in archives))
    if arrays and {file.stem for file in arrays} <= set(names):
        return Source(path.name, lambda: iter([Table(path.name, {f.stem: npy_column(f) for f in arrays})]), single=True)
    if arrays:
        return Source(path.name, lambda: (Table(file.name, {"": npy_column(file)}) for file in arrays))
    raise DataError(
        f"the folder '{path.name}' holds no calibration data",
        slug="data-empty",
        hint="It should hold .npz files, .npy files or test_data_set_*/input_*.pb.",
    )


def sets_of(folder: Path) -> Iterator[Path]:
    """The folders of the ONNX test sets in a folder."""
    return (one for one in folder.glob("test_data_set_*") if one.is_dir())


def _held(folder: Path) -> list[Path]:
    """What is in a folder; numbers in names count as numbers: set_2 before set_10."""
    try:
        return sorted(folder.iterdir(), key=_natural)
    except OSError as error:
        raise unreadable(folder, error) from error


def _natural(path: Path) -> list[tuple[int, str]]:
    digits = "".join(c if c in DIGITS else " " for c in path.name).split()
    return [(len(d), d) for d in digits] + [(0, path.name)]


def _inputs(held: Sequence[Path]) -> list[Path]:
    return [one for one in held if one.name.startswith("input_") and one.name.endswith(".pb")]


def _test_set(folder: Path, names: tuple[str, ...]) -> Table:
    columns: dict[str, Column] = {}
    for file in _inputs(_held(folder)):
        where = f"{folder.name}/{file.name}"
        check_regular(file)
        tensor = onnx.TensorProto()
        try:
            tensor.ParseFromString(file.read_bytes())
        except OSError as error:
            raise unreadable(file, error) from error
        except Exception as error:  # damaged bytes raise many kinds
            raise _no_tensor(where) from error
        index = int("".join(c for c in file.stem if c in DIGITS) or "0")
        name = tensor.name if tensor.name in names else names[index] if index < len(names) else file.stem
        if name in columns:
            raise DataError(
                f"{where} and another file of its folder are both for the input '{name}'",
                slug="data-name",
                hint="Keep one of them, or name the tensors as the model names its inputs.",
            )
        columns[name] = ArrayColumn(_array(tensor, where))
    return Table(folder.name, columns)


def _array(tensor: onnx.TensorProto, where: str) -> np.ndarray:
    """The numbers of a tensor, which has to hold them itself."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise _no_tensor(where, "is a tensor whose numbers lie in another file")
    if any(size < 0 for size in tensor.dims) or len(tensor.dims) > MOST_AXES:
        raise _no_tensor(where, f"is a tensor of the shape {[*tensor.dims[: MOST_AXES + 1]]}")
    if tensor.data_type == onnx.TensorProto.STRING:
        _check_texts(tensor, where)
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except MemoryError:
        raise
    except Exception as error:  # a damaged tensor raises many kinds
        raise _no_tensor(where) from error
    return array.astype(np.str_) if array.dtype.hasobject else array


def _check_texts(tensor: onnx.TensorProto, where: str) -> None:
    longest = max(map(len, tensor.string_data), default=0)
    if 4 * longest * math.prod(tensor.dims) > MOST_TEXT:
        raise _no_tensor(where, f"holds texts of up to {longest:,} bytes, which are too many to be read at once")


def _no_tensor(where: str, what: str = "is not a tensor") -> DataError:
    return DataError(
        f"{where} {what}",
        slug="data-damaged",
        hint="Write or copy it again. Sequences and optional values cannot be fed.",
    )
