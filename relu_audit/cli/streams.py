"""The way to standard output and standard error: all that commands print goes through here.

Most of what is printed quotes names and messages of strangers' files. None of them may move a terminal, or be a command
to the CI service that reads the log. And what is written to standard output is ours alone: what loaders print goes to
standard error, even from C code, threads and other processes.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import logging
import os
import re
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from relu_audit.errors import DataError, UsageError, cut, quoted
from relu_audit.report.names import COMMAND_MARK

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.segment import Segment

WIDTH = 120
"""Columns where no terminal says how many it has."""

LONGEST_LINE = 900
"""Characters of a line on standard error."""


class ReaderGoneError(Exception):
    """Nobody reads standard output any more, as behind ``| head``: nothing to complain of, and nobody to tell."""


class Streams:
    """Standard output and standard error, held while a command runs; see :func:`opened`."""

    def __init__(self) -> None:
        self.given = (sys.stdout, sys.stderr)
        self._hooks = (warnings.showwarning, logging.lastResort, sys.unraisablehook)
        for stream in self.given:
            with contextlib.suppress(Exception):
                stream.flush()
        self.out = _held(sys.stdout, 1)
        self.err = _held(sys.stderr, 2)
        self._led = [_leads_to(stream) for stream in (self.out, self.err)]
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - once closed
            sys.stdout = _Closed()
        self.claimed = False
        self._first: int | None = None

    def claim(self) -> None:
        """From now on standard output takes what is written here and nothing else."""
        if not self.claimed and os.name == "posix" and (_descriptor(sys.__stdout__) == 1 or not _is_open(1)):
            self._first = os.dup(1) if _is_open(1) else None
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            _redirect(1, 2 if _is_open(2) else None)
        self.claimed = True
        sys.stderr = self.given[1]
        sys.stdout = sys.stderr
        warnings.showwarning, logging.lastResort = _warn, _LastResort(logging.WARNING)
        sys.unraisablehook = _ignore

    def reopen(self) -> None:
        """Open again what was closed: a file that is opened next must not become standard output of other processes.

        Raises:
            DataError: ``data-code`` if our own descriptors were closed: what is printed next could end up in any file.
        """
        if [_leads_to(stream) for stream in (self.out, self.err)] != self._led:
            self.out, self.err = None, self.given[1] if _leads_to(self.given[1]) == self._led[1] else None
            raise DataError(
                "code of the user's own has closed files that it had not opened",
                slug="data-code",
                hint="Let it close its own files only; os.closerange closes those of the whole process.",
            )
        for descriptor in (1, 2):
            if os.name == "posix" and not _is_open(descriptor):
                _redirect(descriptor, _descriptor(self.err))

    def settle(self) -> None:
        """Let others have Python's two streams again."""
        sys.stdout, sys.stderr = self.given
        warnings.showwarning, logging.lastResort, sys.unraisablehook = self._hooks

    def close(self) -> None:
        """Let others have all again."""
        self.settle()
        if self._first is not None:
            with contextlib.suppress(OSError):  # closed by code of the user's own
                os.dup2(self._first, 1)
                os.close(self._first)
        for own, given in zip((self.out, self.err), self.given, strict=True):
            if own is not None and own is not given:
                with contextlib.suppress(OSError):
                    os.close(own.fileno())
        _OPENED.remove(self)


class _Closed(io.TextIOBase):
    """Takes the place of a standard output that is closed; to click, there is nothing to print without one."""

    def write(self, text: str, /) -> int:
        del text
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


_OPENED: list[Streams] = []


def _current() -> Streams:
    return _OPENED[-1] if _OPENED else Streams()


def opened() -> Streams:
    """Hold standard output and standard error, until they are closed."""
    _OPENED.append(Streams())
    return _OPENED[-1]


def is_claimed() -> bool:
    """Whether code of the user's own may have run."""
    return _current().claimed


@contextlib.contextmanager
def claimed() -> Generator[None]:
    """Run what may call code of the user's own: standard output stays ours, the folder is as before afterwards."""
    folder = None
    with contextlib.suppress(OSError):
        folder = Path.cwd()
    _current().claim()
    try:
        yield
    finally:
        _current().reopen()
        if folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(folder)


def terminal() -> TextIO | None:
    """Standard error, where a person watches."""
    stream = _current().err
    with contextlib.suppress(ValueError):  # closed
        return stream if stream is not None and stream.isatty() else None
    return None


def check_open() -> None:
    """Refuse a standard output that is closed, before minutes are spent on what is to be printed there.

    Raises:
        UsageError: ``output``.
    """
    if _current().out is None:
        raise _closed()


def _closed() -> UsageError:
    return UsageError(
        "standard output is closed",
        slug="output",
        hint="Lead it somewhere, as to /dev/null; or write to a file instead, and print nothing (--quiet).",
    )


def write(data: bytes) -> None:
    """Write a report to standard output, as it is.

    Raises:
        UsageError: ``output`` if that is not possible.
        ReaderGoneError: As it says.
    """
    stream = _current().out
    if stream is None:
        raise _closed()
    with _to_standard_output(stream):
        stream.flush()
        stream.buffer.write(data)
        stream.flush()


def show(content: RenderableType, *, to_stderr: bool = False) -> None:
    """Print something as a terminal shows it; where standard error is closed, nothing.

    Raises:
        UsageError: ``output`` if it cannot be printed.
        ReaderGoneError: As it says.
    """
    from rich.console import Console
    from rich.segment import SegmentLines

    stream = _current().err if to_stderr else _current().out
    if stream is None and not to_stderr:
        raise _closed()
    if stream is None:
        return
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    lines = [_inert(line) for line in console.render_lines(content, pad=False)]
    with console.capture() as capture:
        console.print(SegmentLines(lines, new_lines=True), crop=False, end="")
    with contextlib.nullcontext() if to_stderr else _to_standard_output(stream):
        stream.write(capture.get())
        stream.flush()


def say(*texts: str) -> None:
    """Print lines to standard error; where that is not possible, nothing."""
    stream = _current().err
    if stream is None:
        return
    lines = [cut(inert(line), LONGEST_LINE) + "\n" for text in texts for line in text.splitlines()]
    with contextlib.suppress(OSError, ValueError):
        stream.writelines(lines)
        stream.flush()


def say_trace() -> None:
    """Print the traceback of the exception at hand to standard error."""
    say(traceback.format_exc())


def inert(line: str) -> str:
    """A line that may quote anything, so that it moves no terminal and holds no command to a CI service.

    GitHub takes ``::`` for a command where nothing but blanks comes before, as actions/runner says in its
    ``ActionCommand.cs``; for others see :data:`COMMAND_MARK`.

    >>> inert("  ::error::x"), inert("a ##vso[task.complete]"), inert("a::b")
    ('  : :error::x', 'a # #vso[task.complete]', 'a::b')
    """
    return _COMMAND.sub(r"\g<0> ", _printable(line))


_COMMAND = re.compile(rf"^\s*:(?=:)|#(?={COMMAND_MARK.pattern[1:]})")


def _inert(line: Iterable[Segment]) -> list[Segment]:
    """The same for a line in pieces, each with its style."""
    from rich.segment import Segment

    pieces = [Segment(_printable(piece.text), piece.style) for piece in line if not piece.control]
    whole = "".join(piece.text for piece in pieces)
    ends = [found.end() for found in _COMMAND.finditer(whole)]
    start = 0
    out: list[Segment] = []
    for piece in pieces:
        stop = start + len(piece.text)
        bounds = [start, *(end for end in ends if start < end <= stop), stop]
        text = " ".join(whole[a:b] for a, b in itertools.pairwise(bounds))
        out.append(Segment(text, piece.style))
        start = stop
    return out


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" or unicodedata.category(c) == "Zs" else "?" for c in text)


@contextlib.contextmanager
def _to_standard_output(stream: TextIO) -> Generator[None]:
    try:
        yield
    except OSError as error:
        own = _descriptor(stream)
        if own is not None and stream is not _current().given[0]:
            _redirect(own, None)  # what is left in its buffer has no way out
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from error
        raise UsageError(
            f"cannot write to standard output: {error.strerror}", slug="output", hint="Write to a file instead."
        ) from error


def _warn(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    del file
    say(warnings.formatwarning(message, category, filename, lineno, line))


def _ignore(found: Any) -> None:
    """Say what a destructor raised, or whatever else runs where nothing can be raised."""
    if found.exc_value is not None:
        say(f"note: ignored where Python cannot raise: {quoted(found.exc_value)}")


class _LastResort(logging.Handler):
    """What libraries log that nobody listens to."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def _held(stream: TextIO | None, descriptor: int) -> TextIO | None:
    """Our own way to where a standard stream leads: what runs meanwhile may close the stream, or lead it elsewhere."""
    if stream is None or os.name != "posix" or _descriptor(stream) != descriptor:
        return stream
    return os.fdopen(os.dup(descriptor), "w", encoding=stream.encoding, errors=stream.errors, closefd=False)


def _descriptor(stream: TextIO | None) -> int | None:
    """The open descriptor that a stream has, if it has one."""
    try:
        found = None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    return found if found is not None and _is_open(found) else None


def _leads_to(stream: TextIO | None) -> tuple[int, int] | None:
    """Device and number of the file that a stream's descriptor leads to; None without one."""
    own = _descriptor(stream)
    if own is None:
        return None
    found = os.fstat(own)
    return found.st_dev, found.st_ino


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _redirect(descriptor: int, to: int | None) -> None:
    """Lead a descriptor to where another one leads, or to nowhere."""
    if to is not None:
        os.dup2(to, descriptor)
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
