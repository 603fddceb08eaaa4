"""Which files calibration data is read from, told without reading them and without running code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from relu_audit.observe.entry_points import named_code, source_files

KINDS = frozenset({".npz", ".npy", ".pb"})
"""Endings of the files that a folder of data is read from."""


def files(data: str) -> Iterator[Path]:
    """The files that are known to be read for calibration data: a file, those of a folder, or those of a module.

    What a user's own function reads is not known.

    Args:
        data: As :func:`relu_audit.audit` takes it from the command line.
    """
    path = Path(data)
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, it takes any text
        sets = (one for one in path.glob("test_data_set_*") if one.is_dir())
        yield from (file for folder in (path, *sets) for file in folder.iterdir() if file.suffix in KINDS)
        return
    yield path
    named = named_code(data)
    if named is not None:
        yield from source_files(named[0])
