"""Write reports: to standard output for ``-``, else to a sibling that is renamed, so that no half file is left."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from relu_audit.errors import UsageError


def deliver(text: str, target: str) -> None:
    """Write a report.

    Raises:
        UsageError: ``output`` if the target cannot be written.
    """
    if target == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = Path(target)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # mkstemp makes files that only their owner can read; a report is as public as any new file.
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


def check_writable(targets: dict[str, str]) -> None:
    """Refuse targets that cannot work before minutes are spent on the audit.

    Raises:
        UsageError: ``output``.
    """
    on_stdout = [option for option, target in targets.items() if target == "-"]
    if len(on_stdout) > 1:
        raise UsageError(
            f"{' and '.join(on_stdout)} both write to standard output",
            slug="output",
            hint="Give one of them a file name.",
        )
    seen: dict[Path, str] = {}
    for option, target in targets.items():
        path = Path(target).absolute()
        if target != "-" and path in seen:
            raise UsageError(f"{seen[path]} and {option} both write to '{target}'", slug="output")
        if target != "-" and (path.is_dir() or not path.parent.is_dir()):
            what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
            raise UsageError(f"{option} '{target}' {what}", slug="output", hint="Name a file in an existing folder.")
        seen[path] = option


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write '{path}': {error.strerror}", slug="output", hint="Choose another place.")
