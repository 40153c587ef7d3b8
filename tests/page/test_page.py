"""The page as text: well formed, with nothing from outside, and nothing that breaks out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import html5lib
import pytest
from hypothesis import given
from page.runs import (
    make_big_document,
    make_empty_document,
    make_hostile_document,
    make_rich_document,
)
from report.documents import hostile, make, make_finding, patient
from report.test_document import VALIDATOR

from pytest_sessionguard.report.html import render


class Page(HTMLParser):
    """What stands where in a page, as a browser's tokenizer has it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.style = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.style += data

    @property
    def document(self) -> Any:
        return json.loads(self.scripts[0])

    @property
    def policy(self) -> str:
        return next(
            str(a["content"])
            for _, a in self.tags
            if a.get("http-equiv") == "Content-Security-Policy"
        )


PLAIN = render(make(make_finding()))
SHAPE = [tag for tag, _ in Page(PLAIN).tags]


def test_well_formed() -> None:
    """A strict parser of HTML 5 has nothing to say against it."""
    html5lib.HTMLParser(strict=True).parse(PLAIN)


@patient
@given(finding=hostile)
def test_hostile_finding(finding: Any) -> None:
    """Whatever a project is called, the page has the same elements, and the document is whole."""
    document = make(finding)
    text = render(document)
    page = Page(text)
    assert SHAPE == [tag for tag, _ in page.tags]
    assert document == page.document
    assert text.isascii()
    html5lib.HTMLParser(strict=True).parse(text)


@pytest.mark.parametrize(
    "document",
    [make_rich_document(), make_hostile_document(), make_empty_document()],
    ids=["rich", "hostile", "empty"],
)
def test_documents_are_real(document: Any) -> None:
    """The documents of these tests are such as the schema allows."""
    VALIDATOR.validate(document)


def test_hostile_timeline() -> None:
    """Names, paths and SQL of the timeline break out of nothing either."""
    document = make_hostile_document()
    page = Page(render(document))
    assert SHAPE == [tag for tag, _ in page.tags]
    assert document == page.document
    assert "<" not in page.scripts[0]


def test_policy() -> None:
    """Only the script and the style that stand in the page may run, and nothing may be fetched."""
    page = Page(PLAIN)

    def hash_of(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "script-src": hash_of(page.scripts[1]),
        "style-src": hash_of(page.style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_nothing_from_outside() -> None:
    """No element fetches anything, and the page asks for no address."""
    for tag, attributes in Page(PLAIN).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "srcset", "style"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert re.findall(r"https?://[^\"'\s]+", Page(PLAIN).style) == []
    script = Page(PLAIN).scripts[1]
    assert re.findall(r"https?://[^\"'\s]+", script) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize(
    "name", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
)
def test_text_stays_text(name: str) -> None:
    """The script has no way to turn text into elements or into code."""
    assert name not in Page(PLAIN).scripts[1]


def test_files_are_shipped() -> None:
    """What the page is made of lies in the package, where a wheel takes it along."""
    folder = files("pytest_sessionguard.report.html")
    names = {path.name for path in folder.iterdir()}
    assert {"page.html", "style.css", "start.js"} <= names
    script = Page(PLAIN).scripts[1]
    for name in names:
        if name.endswith(".js"):
            assert folder.joinpath(name).read_text(encoding="utf-8") in script


def test_no_module_is_long() -> None:
    """The page's files keep to what the Python keeps to."""
    for path in files("pytest_sessionguard.report.html").iterdir():
        if path.name.endswith(".js"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_title() -> None:
    """The title tells what came of the run, before any script has run."""
    assert "<title>sessionguard: 1 finding in " in PLAIN
    assert "<title>sessionguard: no findings in " in render(make())


def test_size() -> None:
    """A run of 5,000 tests with 1,000 findings is a file that can be sent around."""
    assert len(render(make_big_document(5_000, 1_000))) < 8_000_000
