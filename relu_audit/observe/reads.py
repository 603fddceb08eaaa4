"""Which files calibration data is read from, told without reading them and without running code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from relu_audit.observe.entry_points import named_code, source_files

KINDS = (".npz", ".npy", ".pb")
"""Endings of the files that a folder of data is read from."""


def files(data: str) -> Iterator[Path]:
    """The files that are known to be read for calibration data: a file, those of a folder, or those of a module.

    What a user's own function reads is not known.

    Args:
        data: As :func:`relu_audit.audit` takes it from the command line.
    """
    path = Path(data)
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, it takes any text
        yield from (file for folder in _folders(path) for file in folder.iterdir() if file.name.endswith(KINDS))
        return
    yield path
    named = named_code(data)
    if named is not None:
        yield from source_files(named[0])


def gathers(data: str, file: Path) -> bool:
    """Whether a file would be read for calibration data once it is there, since the data is the folder that it is in.

    Args:
        data: As :func:`files` takes it.
        file: Where it would be, links followed.
    """
    folder = Path(data)
    if not file.name.endswith(KINDS) or not os.path.isdir(folder):  # noqa: PTH112 - as above
        return False
    return any(file.parent == one.resolve() for one in _folders(folder))


def _folders(folder: Path) -> Iterator[Path]:
    """A folder of data, and those of the ONNX test sets in it."""
    yield folder
    yield from (one for one in folder.glob("test_data_set_*") if one.is_dir())
