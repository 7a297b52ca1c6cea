"""A real browser over pages that are served: the installed Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
REQUIRE = "ML_ASSETS_REQUIRE_BROWSER"
PATIENCE = 60_000  # milliseconds until a page shows what it should, on a busy machine


def find_chromium() -> str:
    """Return the path of an installed Chromium; skip the test without one, or fail it where one is required."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get(REQUIRE):
        pytest.fail(f"no Chromium on PATH, and {REQUIRE} is set")
    pytest.skip("no Chromium on PATH: install the system package chromium to test the pages")


@contextmanager
def open_browser() -> Iterator["Browser"]:
    """Run a browser until the block ends."""
    chromium = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started, started.chromium.launch(executable_path=chromium, args=OPTIONS) as browser:
        yield browser


def open_page(browser: "Browser", **options: object) -> "Page":
    """Open a page that keeps the addresses it asked for, in `asked`, and what went wrong, in `wrong`.

    Args:
        options: of a page of Playwright's, such as `color_scheme`.
    """
    opened = browser.new_page(**{"viewport": {"width": 1200, "height": 1000}} | options)
    opened.set_default_timeout(PATIENCE)
    opened.asked, opened.wrong = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda message: opened.wrong.append(message.text))
    opened.on("dialog", lambda dialog: opened.wrong.append(dialog.message))
    return opened
