import importlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import console, seed

__all__ = ["browser", "console", "page", "seed"]

BROWSER_VARIABLE = "STOCKWRIGHT_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
)
MISSING_DRIVER = (
    "The browser's driver is not installed. Run the browser tests by: make browser-test"
)
MISSING_BROWSER = (
    "No Chromium or Chrome was found. Install one (Debian and Ubuntu: apt-get install chromium; "
    f"elsewhere: .venv/bin/playwright install chromium), or name its program in {BROWSER_VARIABLE}."
)


def program(playwright: Any) -> str:
    """The browser to drive: the one named, one of the system, or the driver's own."""
    named = os.environ.get(BROWSER_VARIABLE)
    own = playwright.chromium.executable_path
    found = [named] if named else [*(shutil.which(name) for name in NAMES), own]
    for candidate in found:
        if candidate and Path(candidate).exists():
            return candidate
    pytest.fail(MISSING_BROWSER, pytrace=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for the run; a test that cannot have it fails and says what is missing."""
    try:
        # By name: the driver is no dependency of `make test`, nor of the type checks.
        api = importlib.import_module("playwright.sync_api")
    except ModuleNotFoundError:
        pytest.fail(MISSING_DRIVER, pytrace=False)
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program(playwright), headless=True, args=list(FLAGS)
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page; whatever it complains about (also to the content policy) fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(20_000)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda failure: complaints.append(str(failure)))
    opened.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            # A form that is answered with what is wrong with it is no fault of the page.
            if said.type == "error" and not re.search("net::ERR|status of 400", said.text)
            else None
        ),
    )
    yield opened
    context.close()
    assert complaints == []
