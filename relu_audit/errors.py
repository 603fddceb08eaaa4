"""The one tree of errors: what went wrong, where, and what to do about it.

Every error carries a ``slug``, a stable name that a script can match and a page can explain, and a ``hint``,
the next thing to try. The command line prints both and never a traceback; the library raises.
"""

from __future__ import annotations

LONGEST = 600
"""Characters of a message that are kept: what it quotes may be a name or an exception of any length."""

_TAIL = 150


class AuditError(Exception):
    """Something that kept an audit from running, in words a user can act on.

    Args:
        message: What happened and where, on one line.
        slug: The stable name of this kind of error, in kebab-case.
        hint: What to do next; empty when the message says it all.
    """

    exit_code = 2

    def __init__(self, message: str, *, slug: str, hint: str = "") -> None:
        self.message = one_line(cut(message))
        self.slug = slug
        self.hint = one_line(cut(hint))
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.slug, self.hint)


def one_line(text: str) -> str:
    """Names and quoted messages come from strangers' files: no line breaks and no terminal codes."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())


def cut(text: str, longest: int = LONGEST) -> str:
    """A text, or both ends of one that is longer, and how much was left out between them.

    >>> cut("a" * 600) == "a" * 600, cut("a" * 5000)[445:490]
    (True, 'aaaaa [4,400 characters left out] aaaaaaaaaaa')
    """
    left_out = len(text) - longest
    if left_out <= 0:
        return text
    return f"{text[: longest - _TAIL]} [{left_out:,} characters left out] {text[-_TAIL:]}"


def quoted(error: BaseException) -> str:
    """An exception's kind and message on one line, also where its own code for them raises."""
    try:
        said = str.__str__(str(error))
    except BaseException:  # whoever wrote the exception may have written anything
        said = "its message cannot be read"
    return one_line(cut(f"{kind(error)}: {said}" if said else kind(error)))


def kind(value: object) -> str:
    """The name of an object's type, as it is and not as a metaclass tells it."""
    return str(type.__dict__["__name__"].__get__(type(value)))


def _rebuild(kind: type[AuditError], message: str, slug: str, hint: str) -> AuditError:
    return kind(message, slug=slug, hint=hint)


class ModelError(AuditError):
    """The model file cannot be read, is not valid ONNX, or may not be read from where it is."""


class DataError(AuditError):
    """The calibration data cannot be read or does not fit the model's inputs."""


class RunError(AuditError):
    """onnxruntime refused the model, the provider or a batch."""


class UsageError(AuditError):
    """An option has a value that it cannot have."""


class RecordError(AuditError):
    """A saved audit cannot be read, or says something that does not follow from its own counts."""


class VerificationError(AuditError):
    """A rewritten model does not compute what the original does. Nothing was written."""

    exit_code = 4
