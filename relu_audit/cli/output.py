"""Write reports, together or not at all, to files or to standard output for ``-``; refuse targets that cannot work."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from relu_audit import files
from relu_audit.cli import streams
from relu_audit.errors import UsageError


def deliver(
    reports: Mapping[str, str | bytes],
    moves: Sequence[files.Move] = (),
    obsolete: Callable[[], Iterable[Path]] = tuple,
) -> None:
    """Write reports by target, all of them or none: every file is complete beside its place before the first moves in.

    Args:
        reports: What to write.
        moves: Other files that are complete already; they move in first, in their order.
        obsolete: Files that nothing needs once all are in their places.

    Raises:
        UsageError: ``output`` if a target cannot be written.
    """
    direct = {target: _bytes(content) for target, content in reports.items() if _is_direct(target)}

    def write_directly() -> None:
        for target, content in direct.items():
            _write_directly(target, content)

    with contextlib.ExitStack() as stack:
        staged = [
            stack.enter_context(files.staged(target, _bytes(content)))
            for target, content in reports.items()
            if target not in direct
        ]
        files.put([*moves, *staged], write_directly, obsolete)


def _is_direct(target: str) -> bool:
    return target == "-" or files.is_special(target)


def _write_directly(target: str, data: bytes) -> None:
    if target == "-":
        streams.write(data)
    else:
        files.write(target, data)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def check_writable(targets: Mapping[str, str], inputs: Collection[str]) -> None:
    """Refuse targets that cannot work, or that are what is read, before minutes are spent or another file is written.

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
    # os.path: pathlib raises where a link leads to itself
    seen = {Path(os.path.realpath(path)): f"'{path}', which is read," for path in inputs if os.path.lexists(path)}
    for option, target in targets.items():
        if not target:
            raise UsageError(f"the file name of {option} is empty", slug="output", hint="Name a file.")
        try:
            path = Path(target).resolve()
            path.is_dir()
        except (OSError, ValueError, RuntimeError) as error:  # the last for a link that leads to itself
            raise UsageError(
                f"{option} '{target[:60]}' is no name a file can have: {error}",
                slug="output",
                hint="Choose another name.",
            ) from error
        if target != "-" and path in seen:
            raise UsageError(
                f"{seen[path]} and {option} '{target}' are one file", slug="output", hint="Name another file."
            )
        if target != "-" and (path.is_dir() or not path.parent.is_dir()):
            what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
            raise UsageError(f"{option} '{target}' {what}", slug="output", hint="Name a file in an existing folder.")
        # An open pipe by its device name is there, though what it resolves to is not.
        if target != "-" and (path.is_file() or not Path(target).exists()):
            with files.writing(path):
                _try_folder(path.parent)
        seen[path] = option


def _try_folder(folder: Path) -> None:
    """Make a file there and let it go: permissions say less, above all to an administrator."""
    with tempfile.TemporaryFile(dir=folder, prefix=".relu-audit."):
        pass
