"""THE TABLE of formats an audit can be written in. The audit, and the command that writes them later, share it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from relu_audit.errors import UsageError
from relu_audit.records import Audit


class Writer(Protocol):
    """What every format's module has under the name ``write``: a pure function. Same audit, same bytes."""

    def __call__(self, audit: Audit, /) -> str | bytes:
        """The audit in this format."""
        ...


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: Of the option that asks for it, and of the module of this package that writes it.
        help: What the option says of itself.
        streamed: Whether it is only ever read from standard output, so that the option takes no file name.
        endings: Of the names of its files, as is usual. A configuration file may name no others; not ``.txt``,
            since ``CMakeLists.txt`` is code.
        needs: The package that has to be there besides what relu-audit depends on; also the name of its extra.
    """

    name: str
    help: str
    endings: tuple[str, ...] = ()
    streamed: bool = False
    needs: str | None = None

    @property
    def option(self) -> str:
        """The option that asks for it."""
        return f"--{self.name}"

    def write(self, audit: Audit) -> str | bytes:
        """The audit in this format.

        Raises:
            UsageError: ``extra`` if a package is missing.
        """
        self.check()
        writer: Writer = importlib.import_module(f"relu_audit.report.{self.name}").write
        return writer(audit)

    def check(self) -> None:
        """Refuse a format whose package is not installed, before minutes are spent on the audit.

        Raises:
            UsageError: ``extra``.
        """
        if self.needs is not None and importlib.util.find_spec(self.needs) is None:
            raise UsageError(
                f"{self.option} needs the package {self.needs}, which is not installed",
                slug="extra",
                hint=f"pip install 'relu-audit[{self.name}]'",
            )


FORMATS = (
    Format("json", "Write the audit as JSON; - is standard output.", (".json",)),
    Format("html", "Write the report as one HTML page; - is standard output.", (".html", ".htm")),
    Format("markdown", "Write a summary as Markdown, as for $GITHUB_STEP_SUMMARY.", (".md", ".markdown")),
    Format("junit", "Write JUnit XML: a test case per layer, as CI services show them.", (".xml",)),
    Format("sarif", "Write findings as SARIF 2.1.0, for code scanning.", (".sarif", ".json")),
    Format("csv", "Write one row per unit as CSV.", (".csv",)),
    Format("parquet", "Write one row per unit as Parquet; needs the extra parquet.", (".parquet",), needs="pyarrow"),
    Format("github", "Print annotations for GitHub Actions to standard output.", streamed=True),
)


def written(wanted: Mapping[str, str], audit: Audit) -> dict[str, str | bytes]:
    """What to write, by target, of what is wanted: targets by option."""
    return {wanted[one.option]: one.write(audit) for one in FORMATS if one.option in wanted}
