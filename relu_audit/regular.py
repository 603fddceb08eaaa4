"""Tell files from pipes, sockets and devices before they are opened: to open a pipe may never end."""

from __future__ import annotations

import contextlib
import os
import stat

DESCRIPTORS = "/dev/fd"
"""The folder of the process's open descriptors, on systems that have one."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def other_than_file(path: str | os.PathLike[str]) -> str | None:
    """What a path names in place of a regular file, as ``a pipe``; None for a regular file.

    Raises:
        OSError: There is nothing at the path, or the system does not tell.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - of any path
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def handed_over(path: str | os.PathLike[str]) -> int | None:
    """The open descriptor of the pipe that a path names, as ``/dev/stdin`` and ``<(command)`` do; None for others.

    Such a pipe has had a writer; a pipe that only has a name may never get one, and to open it would wait.

    Raises:
        OSError: There is nothing at the path, or the system does not tell.
    """
    found = os.stat(path)  # noqa: PTH116 - of any path
    if stat.S_ISFIFO(found.st_mode):
        with contextlib.suppress(FileNotFoundError):  # a system without that folder
            for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - names
                with contextlib.suppress(OSError):  # closed meanwhile, as the one that lists the folder is
                    if os.path.samestat(found, os.fstat(int(name))):
                        return int(name)
    return None
