"""The audit as the library hands it out: the record, able to save, load and show itself."""

from __future__ import annotations

import os

from relu_audit import files, records
from relu_audit.report import html, json


class Audit(records.Audit, frozen=True, kw_only=True):
    """Everything one audit recorded, from :func:`relu_audit.audit` or :func:`load`."""

    def to_json(self) -> str:
        """The audit as JSON. Same audit, same bytes."""
        return json.write(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the audit as JSON, from which :func:`load` makes an equal one. The file is whole or not written.

        Raises:
            UsageError: ``output`` if the file cannot be written.
        """
        files.write(path, self.to_json().encode())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html.fragment(self)


def load(source: str | bytes | os.PathLike[str]) -> Audit:
    """Read a saved audit.

    Args:
        source: Path of the file, or its contents as bytes.

    Raises:
        RecordError: ``audit-unreadable``; ``audit-schema`` for a version this program does not know;
            ``audit-inconsistent`` if something derived does not follow from the counts in the file.
    """
    record = json.load(source)
    return Audit(**{name: getattr(record, name) for name in records.Audit.__struct_fields__})
