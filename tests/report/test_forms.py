"""Every form, with whatever a project may be called: it can be read, and nothing breaks out."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report.documents import hostile, make, make_finding, patient

from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.forms import FORMS
from pytest_sessionguard.report.places import group_findings

WRITE = {form.name: form.write for form in FORMS}
documents = st.builds(
    lambda new, old, folder: make(*new, accepted=tuple(old), folder=folder),
    st.lists(hostile, max_size=4),
    st.lists(hostile, max_size=1),
    st.sampled_from(["", "services/api"]),
)


def test_names_and_files() -> None:
    """No two forms share a name or a default file."""
    assert len(FORMS) == len({form.name for form in FORMS})
    paths = [form.path for form in FORMS if form.path]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@patient
@given(document=documents)
def test_any_document(form: Any, document: Any) -> None:
    """A form takes any document, leaves it alone, and gives text that UTF-8 holds."""
    before = json.dumps(document)
    text = form.write(document)
    text.encode("utf-8")
    assert before == json.dumps(document)
    assert text == form.write(json.loads(before))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_no_finding(form: Any) -> None:
    """A run without findings is told as well."""
    form.write(make())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_rule(form: Any) -> None:
    """Each rule's words go through every form, and each shows it."""
    from pytest_sessionguard.rules import RULES

    for rule in RULES:
        text = form.write(make(make_finding(rule.code)))
        assert rule.name in text
        assert "app/db.py" in text


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_no_password(form: Any) -> None:
    """No form shows a password, wherever it came from."""
    url = "postgresql://ann:s3cret@db/app"
    finding = make_finding(test=f"test_user[{url}]", function=url, engine=url, attribute=url)
    assert "s3cret" not in form.write(make(finding, make_finding("SG401", path=url)))


@patient
@given(documents)
def test_github_lines(document: Any) -> None:
    """Each line is one command of ours, with a severity and a cap; no name begins another."""
    lines = WRITE["github"](document).split("\n")
    assert "" == lines.pop()
    for line in lines:
        match = re.fullmatch(r"::(error|warning) ([^:\r\n]*)::([^\r\n]*)", line)
        assert match
        properties = dict(part.split("=", 1) for part in match[2].split(","))
        assert {"title"} <= set(properties) <= {"file", "line", "title"}
        assert not re.search(r"%(?!25|0D|0A|3A|2C)", match[2] + match[3])
    for kind in ("error", "warning"):
        assert 10 >= sum(line.startswith(f"::{kind} ") for line in lines)


@patient
@given(documents)
def test_junit_is_xml(document: Any) -> None:
    """The file is XML, and counts what it holds."""
    suite = ET.fromstring(WRITE["junit"](document).encode())[0]
    cases = suite.findall("testcase")
    groups = group_findings(document)
    assert len(groups) == len(cases) == int(suite.get("tests", ""))
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures", ""))
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped", ""))


@patient
@given(documents)
def test_gitlab_entries(document: Any) -> None:
    """Each entry has what GitLab demands, and a fingerprint that no other has."""
    entries = json.loads(WRITE["gitlab"](document))
    assert len(entries) == len({entry["fingerprint"] for entry in entries})
    for entry in entries:
        assert {"description", "check_name", "fingerprint", "severity", "location"} == set(entry)
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["location"]["path"]
        assert 1 <= entry["location"]["lines"]["begin"]


@patient
@given(documents)
def test_markdown_holds_names_as_code(document: Any) -> None:
    """Names make no markup: all HTML is ours, and the table has its rows and four columns."""
    text = WRITE["markdown"](document)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    groups = [group for group in group_findings(document) if not group.is_accepted]
    kinds = [token.type for token in tokens]
    assert max(len(groups) + 1, 1) - (not groups) == kinds.count("tr_open")
    assert 4 * kinds.count("tr_open") == kinds.count("th_open") + kinds.count("td_open")
    fences = [token for token in tokens if token.type == "fence"]
    assert len(groups) == len(fences) == text.count("\n</details>\n")
    for token in tokens:
        assert token.type not in ("link_open", "code_block")
        if token.type == "html_block":
            pattern = (
                r"</details>|<details><summary>SG\d+ [a-z0-9-]+ at <code>[^<>]*</code></summary>"
            )
            assert re.fullmatch(pattern, token.content.strip())
        for child in token.children or ():
            assert child.type in ("text", "code_inline", "softbreak", "html_inline")
            if child.type == "html_inline":
                assert child.content in ("<code>", "</code>")
    for group in groups:
        spans = [
            child.content
            for token in tokens
            for child in token.children or ()
            if child.type == "code_inline"
        ]
        assert bool(group.spot.path) <= bool(spans)


@patient
@given(documents, st.integers(0, 3000))
def test_markdown_fits(document: Any, limit: int) -> None:
    """However little room there is, it is kept to, and what does not fit is counted."""
    from pytest_sessionguard.report.forms import markdown

    text = markdown.write(document, limit)
    assert limit >= len(text.encode("utf-8"))
    shown = text.count("\n</details>\n")
    new = sum(not group.is_accepted for group in group_findings(document))
    if text and shown < new:
        assert f"The full texts of {new - shown} more did not fit" in text


@patient
@given(st.lists(hostile, max_size=4))
def test_groups_hold_all(findings: list[Finding]) -> None:
    """Each finding stands in one group, with those of its rule, place, severity and state."""
    document = make(*findings)
    groups = group_findings(document)
    assert len(document["findings"]) == sum(len(group.findings) for group in groups)
    assert len(groups) == len(
        {
            (
                group.is_accepted,
                group.is_error,
                group.first["rule"],
                group.spot.path,
                group.spot.line,
            )
            for group in groups
        }
    )
