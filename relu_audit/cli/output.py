"""Write reports: to standard output for ``-``, else to a sibling that is renamed, so that no report is half a file."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from relu_audit.errors import UsageError


def deliver(reports: Mapping[str, str | bytes], files: Collection[tuple[Path, Path]] = ()) -> None:
    """Write reports by target, all of them or none: every file is complete beside its place before the first moves in.

    Args:
        reports: What to write.
        files: Others that are complete already, each with its place; they move in first, in their order.

    Raises:
        UsageError: ``output`` if a target cannot be written.
    """
    staged: list[tuple[Path, Path]] = []
    direct: list[tuple[str, str | bytes]] = []
    try:
        for target, content in reports.items():
            # A link stays a link, and a pipe or a device is written to, not replaced.
            if target == "-" or (Path(target).exists() and not Path(target).is_file()):
                direct.append((target, content))
            else:
                path = Path(target).resolve()
                staged.append((_staged(path, content), path))
        for temporary, path in (*files, *staged):
            _attempt(path, lambda temporary=temporary, path=path: temporary.replace(path))
        for target, content in direct:
            _write_directly(target, content)
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _staged(path: Path, content: str | bytes) -> Path:
    """A complete temporary sibling."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_bytes(content))
        temporary.chmod(_mode(path))
    except OSError as error:
        temporary.unlink()
        raise _cannot_write(path, error) from error
    return temporary


def _mode(path: Path) -> int:
    """Who may read a report: whoever could read the file it replaces, or any new file; mkstemp lets its owner only."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _write_directly(target: str, content: str | bytes) -> None:
    data = _bytes(content)
    if target == "-":
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - it is, once closed
            raise UsageError("standard output is closed", slug="output", hint="Write to a file instead.")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    else:
        _attempt(Path(target), lambda: Path(target).write_bytes(data))


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _attempt(path: Path, action: Callable[[], object]) -> None:
    try:
        action()
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_writable(targets: Mapping[str, str], inputs: Iterable[str | Path]) -> None:
    """Refuse targets that cannot work, or that are what is read, before minutes are spent or another file is written.

    Two names are one file if they resolve to one path, or are links to one file.

    Args:
        targets: Where to write, by what is written there.
        inputs: The files that are read; they are asked for only if a target is there already.

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
    places = {option: (target, _place(option, target)) for option, target in targets.items() if target != "-"}
    seen: dict[object, str] = {}
    if any(path.exists() for _, path in places.values()):
        seen = {key: f"'{path}', which is read," for path in inputs for key in _identities(Path(path))}
    for option, (target, path) in places.items():
        own = [*_identities(path)]
        other = next((seen[key] for key in own if key in seen), None)
        if other is not None:
            raise UsageError(f"{other} and {option} '{target}' are one file", slug="output", hint="Name another file.")
        if path.is_dir() or not path.parent.is_dir():
            what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
            raise UsageError(f"{option} '{target}' {what}", slug="output", hint="Name a file in an existing folder.")
        # An open pipe by its device name is there, though what it resolves to is not.
        if path.is_file() or not Path(target).exists():
            _attempt(path, lambda path=path: _try_folder(path.parent))
        seen.update(dict.fromkeys(own, option))


def _place(option: str, target: str) -> Path:
    """Where a target is written, links followed."""
    if not target:
        raise UsageError(f"the file name of {option} is empty", slug="output", hint="Name a file.")
    try:
        path = Path(target).resolve()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links is the last of these in older Pythons
        raise UsageError(
            f"{option} '{target[:60]}' is no name a file can have: {error}",
            slug="output",
            hint="Choose another name.",
        ) from error
    return path


def _identities(path: Path) -> Iterator[object]:
    """What a file is known by, whatever name it is given: its resolved path, and its number on its device."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        yield path.resolve()
        found = path.stat()
        yield found.st_dev, found.st_ino


def _try_folder(folder: Path) -> None:
    """Make a file there and let it go: permissions say less, above all to an administrator."""
    with tempfile.TemporaryFile(dir=folder, prefix=".relu-audit."):
        pass


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write '{path}': {error.strerror}", slug="output", hint="Choose another place.")
