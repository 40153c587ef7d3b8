"""The pages that are made of the code: each rule and each option has its place."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pytest_sessionguard.options import OPTIONS
from pytest_sessionguard.report.forms import FORMS
from pytest_sessionguard.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The extension that makes them; it needs no Sphinx."""
    spec = importlib.util.spec_from_file_location("pages", DOCS / "_extensions" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rules(pages: ModuleType, tmp_path: Path) -> None:
    """Each rule has a page and a row; the page of a rule that is gone goes."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "SG999.md").write_text("gone")
    pages.write_pages(tmp_path)
    names = {path.stem for path in (tmp_path / "rules").iterdir()}
    assert {rule.code for rule in RULES} | {"index"} == names
    index = (tmp_path / "rules" / "index.md").read_text("utf-8")
    for rule in RULES:
        page = (tmp_path / "rules" / f"{rule.code}.md").read_text("utf-8")
        assert page.startswith(f"# {rule.code} {rule.name}\n\n")
        assert rule.text in page
        assert f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.severity.value} |" in index


def test_options(pages: ModuleType) -> None:
    """Each option has a part with its flag and its twin, or the reason why it has none."""
    page = pages.make_options_page()
    for option in OPTIONS:
        (part,) = re.findall(rf"^## {option.name}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
        assert part.lstrip().startswith(f"`{option.flag}")
        assert option.help in part
        assert (f"in the ini file `{option.name}`" in part) != bool(option.no_ini)
        assert option.no_ini in part
        if option.default not in ((), None, "") and option.kind != "flag":
            assert f"The default is `{option.default}`." in part


def test_unchanged_pages_stay(pages: ModuleType, tmp_path: Path) -> None:
    """A page that is what it was is not written again, for Sphinx would read it anew."""
    pages.write_pages(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}
    pages.write_pages(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.md")}


def test_nothing_generated_is_kept() -> None:
    """What is made of the code is in nobody's repository."""
    ignored = (DOCS.parent / ".gitignore").read_text("utf-8").splitlines()
    assert {"/docs/rules/", "/docs/options.md", "/docs/_build/"} <= set(ignored)


def test_forms() -> None:
    """The page on reports has a part for each form, and the README a row."""
    page = (DOCS / "reports.md").read_text("utf-8")
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    for form in FORMS:
        assert f"\n## {form.name}\n" in page
        path = f"`{form.path}`" if form.path else ""
        assert f"| `{form.name}` | {path} |".replace("|  |", "| |") in readme


def test_links_of_the_readme() -> None:
    """Pages that the README names are there."""
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    for link in re.findall(r"\]\((docs/[^)#]+)", readme):
        assert (DOCS.parent / link).exists()
