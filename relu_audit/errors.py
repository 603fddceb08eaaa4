"""The one tree of errors: what went wrong, where, and what to do about it.

Every error carries a ``slug``, a stable name that a script can match and a page can explain, and a ``hint``,
the next thing to try. The command line prints both and never a traceback; the library raises.
"""

from __future__ import annotations


class AuditError(Exception):
    """Something that kept an audit from running, in words a user can act on.

    Args:
        message: What happened and where, on one line.
        slug: The stable name of this kind of error, in kebab-case.
        hint: What to do next; empty when the message says it all.
    """

    exit_code = 2

    def __init__(self, message: str, *, slug: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.slug = slug
        self.hint = one_line(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.slug, self.hint)


def one_line(text: str) -> str:
    """Names and quoted messages come from strangers' files: no line breaks and no terminal codes."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in text).split())


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
