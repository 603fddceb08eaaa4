"""What the documents hold between fences, and what is to be done with it.

- ``bash`` and ``python`` blocks of a page run one after the other in one folder, and Python keeps its names.
- ``text`` is what the block before it that ran has printed. ``…`` stands for anything within a line, a line that is
  only ``…`` for any number of lines. Runs of spaces are alike, since a column is as wide as what is in it.
- In Python, a literal behind an expression (``x.dead  # 120``) is its value.
- A command that ends with another code than 0 says so: ``# exit code 1``.
- ``<!-- not run: reason -->`` in front of a block keeps it from being run; its options are checked all the same.
- ``pip`` does nothing: what a page installs is there, or the page is skipped.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md")),
]
RUN = ("bash", "python")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """One fence.

    Attributes:
        page: Where it stands.
        line: Of its first line of code, from 1.
        language: The first word behind the fence.
        code: What it holds.
        not_run: Why it is not run; None if it is.
    """

    page: Path
    line: int
    language: str
    code: str
    not_run: str | None

    @property
    def runs(self) -> bool:
        """Whether it is run."""
        return self.language in RUN and self.not_run is None


def name(page: Path) -> str:
    """A page as the tests call it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All fences of a page, in order, wherever they are nested."""
    found: list[Block] = []
    reason: str | None = None
    for token in _tokens(page):
        if token.type == "html_block":
            stated = _NOT_RUN.search(token.content)
            reason = stated[1] if stated else None
        elif token.type == "fence":
            language = (token.info.split() or [""])[0]
            first = (token.map or [0])[0] + 2
            found.append(Block(page, first, language, token.content, reason))
            reason = None
        elif token.block and token.nesting >= 0:
            reason = None
    return found


def indented_fences(page: Path) -> list[int]:
    """Lines of indented code that holds a fence: a block that a reader sees and no test would."""
    return [
        (token.map or [0])[0] + 1 for token in _tokens(page) if token.type == "code_block" and "```" in token.content
    ]


def inline_codes(page: Path) -> Iterator[str]:
    """What stands between single backticks."""
    for token in _tokens(page):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def invocations(code: str) -> Iterator[list[str]]:
    """The words of every call of relu-audit in some code, whatever language it is in."""
    for line in code.replace("\\\n", " ").splitlines():
        for call in re.findall(r"(?<![\w./-])relu-audit\s[^;&|#]*", line):
            try:
                yield shlex.split(call)
            except ValueError:  # a quote of the surrounding language
                yield call.replace('"', " ").replace("'", " ").split()


def pattern(shown: str) -> re.Pattern[str]:
    """What a page says is printed, as an expression that has to match all that is."""
    lines = [r"(?:.*\n)*?" if line.strip() == "…" else _line(line) + r"[^\S\n]*\n" for line in shown.splitlines()]
    return re.compile("".join(lines))


def _line(text: str) -> str:
    parts = (re.escape(part) for part in re.sub(r" {2,}", "  ", text.rstrip()).split("…"))
    return ".*".join(parts).replace(r"\ \ ", " +")


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
