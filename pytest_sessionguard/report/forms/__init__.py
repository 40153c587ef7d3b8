"""The forms of a report: each is one file, and a function from the document to its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_sessionguard.report.document import Document
from pytest_sessionguard.report.forms import (
    github,
    gitlab,
    html_form,
    json_form,
    junit,
    markdown,
    sarif,
)

__all__ = ["FORMS", "Form"]


@dataclass(frozen=True)
class Form:
    """One form of a report.

    Attributes:
        name: What the setting calls it.
        write: Turns the document of a run into the text of a file.
        path: The file where none is named; nothing where it does not go to a file by itself.
        help: What it is good for.
        shows_timeline: Whether it shows what happened when, so that the run has to be recorded.
    """

    name: str
    write: Callable[[Document], str]
    path: str
    help: str
    shows_timeline: bool = False


FORMS: tuple[Form, ...] = (
    Form(
        "html",
        html_form.write,
        "sessionguard.html",
        "a page to look at: what happened when, in every test",
        shows_timeline=True,
    ),
    Form(
        "json",
        json_form.write,
        "sessionguard.json",
        "everything, for programs and other forms",
        shows_timeline=True,
    ),
    Form("sarif", sarif.write, "sessionguard.sarif", "SARIF 2.1.0, for code scanning"),
    Form("github", github.write, "", "annotations and the step summary of GitHub Actions"),
    Form("gitlab", gitlab.write, "gl-code-quality-report.json", "the code quality of GitLab"),
    Form("junit", junit.write, "", "properties in the file of --junit-xml"),
    Form("markdown", markdown.write, "sessionguard.md", "a table and the texts, for a comment"),
)
