"""The files of a model as they were when it was opened: a trainer may write its checkpoint anew at any moment.

Small files are read into memory once. Larger ones are mapped, and compared by size, time and inode with what they were:
a file that is cut short while it is mapped ends the process (SIGBUS), and no program can keep it from that.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from relu_audit.errors import ModelError

SMALL = 64 << 20
"""Bytes up to which a file is read into memory."""


@dataclass(frozen=True)
class Opened:
    """A file.

    Attributes:
        path: Where it lies.
        stamp: Its size, the time of its last change in nanoseconds, its device and its inode.
        data: Its bytes; None for a large file.
    """

    path: Path
    stamp: tuple[int, int, int, int]
    data: memoryview | None

    def check(self) -> None:
        """Refuse a large file that is not what it was.

        Raises:
            ModelError: ``model-changed``.
        """
        if self.data is not None:
            return
        try:
            same = _stamp(self.path.stat()) == self.stamp
        except OSError:
            same = False
        if not same:
            raise changed(self.path)


def open_file(path: Path) -> Opened:
    """Read a small file, and remember a large one.

    Raises:
        OSError: There is no such file, or it cannot be read.
        ModelError: ``model-changed`` if it is being written.
    """
    with path.open("rb") as file:
        stamp = _stamp(os.fstat(file.fileno()))
        data = memoryview(file.read(stamp[0])) if stamp[0] <= SMALL else None
        if _stamp(os.fstat(file.fileno())) != stamp or (data is not None and len(data) < stamp[0]):
            raise changed(path)
    return Opened(path, stamp, data)


def mapped(file: Opened) -> memoryview:
    """The bytes of a file, mapped if it is large.

    Raises:
        OSError: It cannot be read.
    """
    if file.data is not None:
        return file.data
    with file.path.open("rb") as opened:
        if _stamp(os.fstat(opened.fileno())) != file.stamp:
            raise changed(file.path)
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def changed(path: Path) -> ModelError:
    """The error for a file that is written while it is read."""
    return ModelError(
        f"'{path}' was changed while it was read",
        slug="model-changed",
        hint="Wait until it is written, or audit a copy of it.",
    )


def _stamp(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_dev, stat.st_ino
