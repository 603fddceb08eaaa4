"""Two audits held against each other, as the library hands it out."""

from __future__ import annotations

import os

from relu_audit import files, records
from relu_audit.judge.comparison import comparison
from relu_audit.report.comparison import text as report
from relu_audit.report.json import load
from relu_audit.version import tool_name

AuditLike = str | bytes | os.PathLike[str] | records.Audit
"""An audit, its file, or the file's contents."""


class Comparison(records.Comparison, frozen=True, kw_only=True):
    """What became of the units, from :func:`relu_audit.compare`."""

    def to_json(self) -> str:
        """The comparison as JSON. Same audits, same bytes."""
        return report.write(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison as JSON. The file is whole or not written.

        Raises:
            UsageError: ``output`` if the file cannot be written.
        """
        files.write(path, self.to_json().encode())


def compare(old: AuditLike, new: AuditLike) -> Comparison:
    """What became of the units from one audit to another: which died, revived, stayed dead.

    Layers are matched by name and number of units; where a re-export renamed a layer, by the content of its weight, by
    the weight's name or by its place. What could be one of several layers stays unmatched. Units are matched by index.

    Args:
        old: The earlier audit, or its file.
        new: The later one.

    Raises:
        RecordError: ``audit-unreadable``, ``audit-schema`` or ``audit-inconsistent`` for a file that is no audit.
    """
    record = comparison(_audit(old), _audit(new), tool_name())
    return Comparison(**{name: getattr(record, name) for name in records.Comparison.__struct_fields__})


def _audit(given: AuditLike) -> records.Audit:
    return given if isinstance(given, records.Audit) else load(given)
