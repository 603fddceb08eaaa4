"""Write files together or not at all: complete beside their places first, then moved in; put back if one cannot be."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relu_audit.errors import UsageError

LOCK = ".relu-audit.lock"
"""Held while files are moved into a folder."""

PREFIX, SUFFIX = ".relu-audit.", ".tmp"
"""Around eight characters: the name of a folder that holds files until they are moved."""

_STAGING = re.compile(rf"{re.escape(PREFIX)}[a-z0-9_]{{8}}{re.escape(SUFFIX)}")


@dataclass(frozen=True)
class Move:
    """A complete file and its place, which is in the same file system.

    Attributes:
        file: The file.
        place: Where it goes.
        named_by_content: The name tells the content, so a file that is there already is as good.
    """

    file: Path
    place: Path
    named_by_content: bool = False


def write(target: str | os.PathLike[str], content: bytes) -> None:
    """Write one file whole or not at all; into a pipe or a device directly.

    Raises:
        UsageError: ``output`` if the file cannot be written.
    """
    if is_special(target):
        with writing(Path(target)):
            Path(target).write_bytes(content)
    else:
        with staged(target, content) as move:
            put([move])


def is_special(target: str | os.PathLike[str]) -> bool:
    """Whether a target is a pipe or a device: written to, not replaced."""
    return Path(target).exists() and not Path(target).is_file()


@contextlib.contextmanager
def staged(target: str | os.PathLike[str], content: bytes) -> Generator[Move]:
    """A complete file beside its place; gone at the end if it was not moved. A target that is a link stays one.

    Raises:
        UsageError: ``output`` if the file cannot be written.
    """
    place = Path(target).resolve()
    with staging(place) as folder:
        file = folder / "new"
        with writing(place):
            file.write_bytes(content)
        yield Move(file, place)


@contextlib.contextmanager
def staging(place: Path) -> Generator[Path]:
    """A folder beside a place for files that are to go there; it is removed at the end, with what was not moved.

    Such folders of runs that were killed are removed at the start. The lock on a folder tells that its run lives.

    Raises:
        UsageError: ``output`` if nothing can be written there.
    """
    with writing(place), _locked([place.parent]) as alone:
        if alone:
            _sweep(place.parent)
        folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=PREFIX, suffix=SUFFIX))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def put(
    moves: Sequence[Move],
    finish: Callable[[], object] = lambda: None,
    obsolete: Callable[[], Iterable[Path]] = tuple,
) -> None:
    """Move files to their places: all of them, or none if one cannot be moved, ``finish`` fails or the user interrupts.

    Two runs that write to one folder take turns. A run that is killed between two moves leaves some files of the
    earlier run and some of this one, each of them whole.

    Args:
        moves: The files, in the order in which they move.
        finish: What has to succeed as well, done last.
        obsolete: Files that nothing needs once all are in their places. They stay where folders cannot be locked, since
            another run may have just written them.

    Raises:
        UsageError: ``output``; every place is as it was, but for those that the hint names.
    """
    folders = sorted({move.place.parent for move in moves})
    before: list[tuple[Move, Path | None, bool]] = []
    with _locked(folders) as alone:
        try:
            for move in moves:
                with writing(move.place):
                    before.append((move, *_prepared(move)))
            for move in moves:
                with writing(move.place):
                    move.file.replace(move.place)
            finish()
        except BaseException as error:
            stuck = [move.place for move, kept, new in reversed(before) if not _put_back(move, kept, new and alone)]
            if stuck and isinstance(error, UsageError):
                names = ", ".join(f"'{place}'" for place in stuck)
                error.hint = f"{error.hint} Written already, and not to be undone: {names}."
            raise
        for folder in folders:
            with contextlib.suppress(OSError):  # not every system can
                _sync(folder, os.O_RDONLY)
        if alone:
            with contextlib.suppress(OSError):
                for file in obsolete():
                    file.unlink()


@contextlib.contextmanager
def writing(place: Path) -> Generator[None]:
    """Say which file cannot be written.

    Raises:
        UsageError: ``output``.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(place, error) from error


def cannot_write(place: Path, error: OSError) -> UsageError:
    """What to raise where the system refuses to write."""
    return UsageError(f"cannot write '{place}': {error.strerror}", slug="output", hint="Choose another place.")


def _prepared(move: Move) -> tuple[Path | None, bool]:
    """Have a file on the disk and as readable as the one it replaces; that one, kept, and whether there is none."""
    _sync(move.file, os.O_RDWR)
    if not move.place.exists():
        return None, True
    shutil.copymode(move.place, move.file)
    if move.named_by_content:  # no second link to weights: runtimes refuse those
        return None, False
    kept = move.file.with_name(f"{move.file.name}.old")
    try:
        os.link(move.place, kept)
    except OSError:  # not every file system has links
        shutil.copy2(move.place, kept)
    return kept, False


def _put_back(move: Move, kept: Path | None, new: bool) -> bool:
    """Undo a move if it was made; whether the place is as it was."""
    if move.file.exists():
        return True
    try:
        if kept is not None:
            kept.replace(move.place)
        elif new:
            move.place.unlink()
    except OSError:
        return False
    return True


def _sync(path: Path, access: int) -> None:
    """Have the system write to the disk: a rename may outlive a power cut that the file's data does not."""
    handle = os.open(path, access)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(folders: Collection[Path]) -> Generator[bool]:
    """Wait for other runs to be done with folders and keep them out; whether that is possible there."""
    with contextlib.ExitStack() as stack:
        locked = [stack.enter_context(_folder_locked(folder)) for folder in folders]
        yield all(locked)


@contextlib.contextmanager
def _folder_locked(folder: Path) -> Generator[bool]:
    """Lock one folder by a file in it, as the lock of the folder itself may be the user's.

    The file is gone at the end. A run that is killed leaves it for the next one to take and remove.
    """
    path, flags = folder / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    lock = _lock(path, flags)
    while lock is not None and not _is_at(lock, path):  # the run that held it has removed it
        os.close(lock)
        lock = _lock(path, flags)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            if _is_at(lock, path):
                path.unlink()
            os.close(lock)


def _lock(path: Path, flags: int = os.O_RDONLY, *, wait: bool = True) -> int | None:
    """An open file or folder that is locked until it is closed or its process ends; None if it cannot be locked."""
    try:
        import fcntl
    except ImportError:  # Windows: so nothing of another run is ever removed there
        return None
    try:
        handle = os.open(path, flags, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException as error:
        os.close(handle)
        if isinstance(error, OSError):
            return None
        raise
    return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _sweep(folder: Path) -> None:
    """Remove what killed runs left in a folder: what nobody has locked, and what can be locked at all."""
    for left in folder.glob(f"{PREFIX}*{SUFFIX}"):
        if not _STAGING.fullmatch(left.name) or left.is_symlink() or not left.is_dir():
            continue
        lock = _lock(left, wait=False)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
