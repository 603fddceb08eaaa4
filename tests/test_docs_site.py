"""The documentation as a site: it builds without a warning, asks nobody else for anything, and is current."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.docs_blocks import ROOT

LINKED = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]


def build(root: Path, target: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("material", reason="needs mkdocs-material, of the extra docs")
    # Not --quiet: it keeps warnings from being counted, and then nothing is strict.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT, target)
    assert done.returncode == 0, done.stdout
    return target


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert built == {*pages, Path("404")}
    assert not [*site.rglob("*.py")]


def test_a_reader_is_seen_by_nobody_else(site: Path) -> None:
    """No page loads anything from elsewhere; links that a reader may follow are another matter."""
    for path in site.rglob("*.html"):
        for tag, address in loaded(path.read_text(encoding="utf-8")):
            assert not re.match(r"(\w+:)?//", address), f"{path.name}: <{tag}> loads {address}"
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(\w+:)?//", path.read_text(encoding="utf-8")), path.name


def loaded(text: str) -> Iterator[tuple[str, str]]:
    """What a page makes a browser fetch: tag and address."""
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            held = {name: value for name, value in attrs if value}
            if tag == "link" and held.get("rel") not in ("canonical", "next", "prev"):
                found.append((tag, held.get("href", "")))
            elif tag not in ("a", "link"):
                found.extend((tag, held[name]) for name in ("src", "data", "action") if name in held)

    Reader().feed(text)
    yield from found


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("tutorial.md", "[gone](no-such-page.md)"),
        ("tutorial.md", "[gone](errors.md#no-such-slug)"),
        ("nowhere.md", "# A page that is in no menu"),
        ("changelog.md", '--8<-- "NO_SUCH_FILE.md"'),
    ],
)
def test_what_is_broken_is_not_built(page: str, text: str, tmp_path: Path) -> None:
    for name in ("docs", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    with (tmp_path / "docs" / page).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")
    assert build(tmp_path, tmp_path / "site").returncode != 0


@pytest.mark.parametrize("name", ["commands.md", "json.md", "python.md", "settings.md"])
def test_the_reference_is_current(name: str) -> None:
    pytest.importorskip("griffe", reason="needs griffelib, of the extra docs")
    written = runpy.run_path(str(ROOT / "docs/make_reference.py"))["PAGES"]
    assert {*written} == {path.name for path in (ROOT / "docs/reference").iterdir()}
    current = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
    assert written[name]() == current, "run: python docs/make_reference.py"


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_outside_the_site_lead_somewhere(page: Path) -> None:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            target = str(child.attrs.get("href", ""))
            if child.type == "link_open" and not re.match(r"https?://", target):
                assert (page.parent / target.split("#")[0]).exists(), f"{page.name}: {target}"
