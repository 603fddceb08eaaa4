"""Write reports, together or not at all, to files or to standard output for ``-``; refuse targets that cannot work."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from relu_audit import files
from relu_audit.cli import streams
from relu_audit.errors import UsageError


def deliver(
    reports: Mapping[str, str | bytes],
    moves: Sequence[files.Move] = (),
    obsolete: Callable[[], Iterable[Path]] = tuple,
    tell: Callable[[], object] = lambda: None,
) -> None:
    """Write reports by target, all of them or none: every file is complete beside its place before the first moves in.

    What is printed counts as an output too: if the summary cannot be printed, no file is written.

    Args:
        reports: What to write.
        moves: Other files that are complete already; they move in first, in their order.
        obsolete: Files that nothing needs once all are in their places.
        tell: Prints what was done.

    Raises:
        UsageError: ``output`` if a target cannot be written.
    """
    direct = {target: _bytes(content) for target, content in reports.items() if _is_direct(target)}

    def finish() -> None:
        for target, content in direct.items():
            _write_directly(target, content)
        tell()

    with contextlib.ExitStack() as stack:
        staged = [
            stack.enter_context(files.staged(target, _bytes(content)))
            for target, content in reports.items()
            if target not in direct
        ]
        files.put([*moves, *staged], finish, obsolete)


def _is_direct(target: str) -> bool:
    return target == "-" or files.is_special(target)


def _write_directly(target: str, data: bytes) -> None:
    if target == "-":
        streams.write(data)
    else:
        files.write(target, data)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


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
            with files.writing(path):
                _try_folder(path.parent)
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
