"""What reports are asked for: forms, files, and what cannot be meant."""

from __future__ import annotations

import pytest

from pytest_sessionguard.report.forms import FORMS
from pytest_sessionguard.report.requests import RequestError, find_form, read_requests

NAMES = ", ".join(form.name for form in FORMS)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("json", ("json", "sessionguard.json")),
        ("JSON:x.json", ("json", "x.json")),
        ("sarif: out/a b.sarif ", ("sarif", "out/a b.sarif")),
        ("markdown:-", ("markdown", "-")),
        ("json:C:\\x.json", ("json", "C:\\x.json")),
        ("github", ("github", "")),
        ("junit", ("junit", "")),
        ("junit:j.xml", ("junit", "j.xml")),
    ],
)
def test_request(value: str, told: tuple[str, str]) -> None:
    """A form alone goes to its own file, or to the one behind the colon."""
    (request,) = read_requests([value])
    assert told == (request.form.name, request.path)


def test_several() -> None:
    """Each form can be asked for, also one of them twice; what is asked for twice is made once."""
    values = [form.name for form in FORMS]
    assert values == [request.form.name for request in read_requests(values)]
    assert 2 == len(read_requests(["json", "json:other.json"]))
    assert 1 == len(read_requests(["github", "github"]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["jsn"], f"no form is named 'jsn'. Did you mean 'json'? The forms are {NAMES}."),
        (["pdf"], f"no form is named 'pdf'. The forms are {NAMES}."),
        ([""], f"no form is named ''. The forms are {NAMES}."),
        (["json:"], "'json:' names no file after the colon."),
        (["github:x"], "github goes to the log of the step and takes no path."),
        (["json:x", "sarif:x"], "two reports cannot go to one file, 'x'."),
    ],
)
def test_refused(values: list[str], words: str) -> None:
    """What cannot be meant is refused with what would be right."""
    with pytest.raises(RequestError) as caught:
        read_requests(values)
    assert words == str(caught.value)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_find(form: object) -> None:
    """Each form is found by its name."""
    assert form is find_form(form.name)  # type: ignore[attr-defined]
