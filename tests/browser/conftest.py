"""A real Chromium, without a window and without a network."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page.runs import (
    make_big_document,
    make_empty_document,
    make_hostile_document,
    make_rich_document,
)

from pytest_sessionguard.report.html import render

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# As root Chromium starts without its sandbox only; the others keep it from calling home.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def find_chromium() -> str:
    """The browser that SESSIONGUARD_TEST_CHROMIUM names, or one on PATH, or none: a skip."""
    named = os.environ.get("SESSIONGUARD_TEST_CHROMIUM")
    if named:
        return named  # whoever names one wants the tests run, or failed
    pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install --group browser")
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium: none of {', '.join(_NAMES)} is on PATH")
    return found


# A module's and not the session's: Playwright keeps an event loop running, beside which tests of
# async code could have none.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    playwright = sync_playwright().start()
    try:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        yield browser
        browser.close()
    finally:
        playwright.stop()


class View:
    """A page in a browser, and all that it said, asked for or threw.

    Attributes:
        page: Playwright's page.
        noise: Messages, errors, dialogs, and requests beside that for the page itself.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.url = url
        self.noise: list[str] = []
        page.on("console", lambda message: self.noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        page.on("request", self._note_request)
        page.on("dialog", self._note_dialog)

    def _note_request(self, request: Any) -> None:
        if request.url.split("#")[0] != self.url:
            self.noise.append(f"request: {request.url}")

    def _note_dialog(self, dialog: Any) -> None:
        self.noise.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, address: str = "") -> View:
        """Load the page, at an address within it."""
        self.page.goto("about:blank")
        self.page.goto(self.url + address)
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self

    def wait_for_rows(self, number: int) -> None:
        """Wait until so many tests are listed; Playwright's own way would need `eval`."""
        deadline = time.monotonic() + 10
        while len(self.rows) != number and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        assert len(self.rows) == number

    def find(self, selector: str) -> Any:
        return self.page.locator(selector)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def focused(self) -> str:
        """The text of what has the focus."""
        return str(self.page.evaluate("document.activeElement.textContent.trim()"))

    @property
    def rows(self) -> list[str]:
        """The names of the tests that are listed."""
        return list(self.find("#test-list .name").all_text_contents())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The addresses of some pages, by what they show."""
    folder = tmp_path_factory.mktemp("pages")
    documents = {
        "rich": make_rich_document(),
        "hostile": make_hostile_document(),
        "empty": make_empty_document(),
        "fine": make_big_document(20, 0),
        "big": make_big_document(5_000, 1_000),
    }
    for name, document in documents.items():
        (folder / f"{name}.html").write_text(render(document), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in documents}


@pytest.fixture
def view(browser: Any, pages: dict[str, str]) -> Iterator[Callable[..., View]]:
    """Open one of the pages; what it says, asks for or throws fails the test."""
    views: list[View] = []
    contexts = []

    def open_view(name: str, address: str = "", **settings: Any) -> View:
        known = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
        context = browser.new_context(**{**known, **settings}, offline=True)
        contexts.append(context)
        views.append(View(context.new_page(), pages[name]))
        return views[-1].open(address)

    yield open_view
    for context in contexts:
        context.close()
    assert [] == [line for one in views for line in one.noise]
