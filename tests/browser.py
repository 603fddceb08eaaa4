"""A real Chromium for tests of pages: found on the machine, driven by Playwright, never downloaded.

A page is opened from disk, as people open it. Whatever it should not do is collected: messages on the console, errors,
breaches of its own policy, requests for anything but itself, dialogs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra: tests)")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What the browser is called, by whom it comes from."""

FAULTS = "window.faults = []; addEventListener('securitypolicyviolation', (e) => faults.push(e.violatedDirective))"


@dataclass
class Opened:
    """A page in the browser, and what it did that it should not."""

    page: Any
    faults: list[str] = field(default_factory=list)

    def all_faults(self) -> list[str]:
        """Those of the browser and those that the page itself was told of."""
        return [*self.faults, *self.page.evaluate("window.faults ?? []")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; tests that ask for it are skipped where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium on this machine: none of {', '.join(NAMES)} is on the path")
    # Chromium's sandbox does not run as root, as in most containers.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Any, path: Path, *, scheme: str = "light", width: int = 1280, scripts: bool = True
) -> Iterator[Opened]:
    """A page from disk in a window of its own."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, java_script_enabled=scripts
    )
    page = context.new_page()
    seen = Opened(page)
    address = path.as_uri()
    page.add_init_script(FAULTS)
    page.on("console", lambda message: seen.faults.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.faults.append(f"error: {error}"))
    page.on("request", lambda request: request.url == address or seen.faults.append(f"request: {request.url}"))
    page.on("dialog", lambda dialog: (seen.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(address)
    try:
        yield seen
    finally:
        context.close()
