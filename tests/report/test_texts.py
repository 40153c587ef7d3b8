"""Markdown, JUnit, GitLab and JSON, as they read."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from report.documents import ROOT, make, make_finding

from pytest_sessionguard.model import Frame, Owner, Severity
from pytest_sessionguard.report.forms import gitlab, json_form, junit, markdown


def test_markdown() -> None:
    """A heading counts, a table names rules and places, and each has its text."""
    document = make(
        make_finding(),
        make_finding(test="test_b"),
        make_finding("SG201", Severity.WARN, "app/x.py", 3, "f"),
        accepted=(make_finding(function="old"),),
    )
    text = markdown.write(document)
    assert text.startswith(
        "### sessionguard: 2 errors and 1 warning\n\n"
        "9 tests judged, 1 engine and 12 sessions seen.\n\n"
        "1 accepted by the baseline.\n\n"
        "| rule | place | severity | findings |\n"
        "|---|---|---|---|\n"
        "| SG101 leaked-connection | `app/db.py:41` in `get_user` | error | 2 |\n"
        "| SG201 unclosed-session | `app/x.py:3` in `f` | warn | 1 |\n\n"
        "<details><summary>SG101 leaked-connection at <code>app/db.py:41</code></summary>\n\n"
        "```text\n"
        "SG101 leaked-connection: 1 connection was still checked out after test_b\n"
    )
    assert "\n  Also in tests/test_app.py::test_user.\n```\n\n</details>\n" in text
    assert 2 == text.count("<details>")


def test_markdown_of_nothing() -> None:
    """A run that found nothing says so, and one that saw no engine says that."""
    assert (
        "### sessionguard: no new finding\n\n9 tests judged, 1 engine and 12 sessions seen.\n"
    ) == markdown.write(make())
    document = make()
    document["tally"] = {"tests": 2, "engines": 0, "sessions": 0}
    assert "No connection was taken, so little could be found." in markdown.write(document)


def test_markdown_tells_how_it_ended() -> None:
    """An interrupted run and one whose guard stood down say so."""
    document = make(interrupted=True)
    document["fault"] = "ValueError: <b>"
    text = markdown.write(document)
    assert "The run was interrupted" in text
    assert "<code>ValueError: &lt;b&gt;</code>" in text


def test_markdown_tells_of_pools() -> None:
    """What the pools need is folded away at the end."""
    document = make()
    document["advice"]["pools"] = [{"text": "engine x\n  ```\n  any pool"}]
    end = "<details><summary>Pools</summary>\n\n````text\nengine x\n  ```\n  any pool\n````\n\n"
    assert markdown.write(document).endswith(f"{end}</details>\n")


def test_markdown_names() -> None:
    """Names stand as they are, in marks that they do not hold; pipes and lines are kept apart."""
    finding = make_finding(path="a|b`c.py", function="`f\n``", line=1)
    text = markdown.write(make(finding))
    assert "| `` a\\|b`c.py:1 `` in ``` `f\\n`` ``` |" in text.replace("``a", "`` a").replace(
        "1``", "1 ``"
    )


def test_junit() -> None:
    """An error is a failure, a warning is a text, what is accepted is skipped."""
    document = make(
        make_finding(),
        make_finding("SG201", Severity.WARN),
        accepted=(make_finding(function="old", line=9),),
    )
    suite = ET.fromstring(junit.write(document))[0]
    assert ("3", "1", "1") == (suite.get("tests"), suite.get("failures"), suite.get("skipped"))
    error, warning, accepted = suite
    assert "SG101 leaked-connection" == error.get("classname")
    assert "app/db.py:41 get_user" == error.get("name")
    assert "1 connection was still checked out after test_user" == error[0].get("message")
    assert (error[0].text or "").startswith("SG101 leaked-connection: ")
    assert ["system-out"] == [child.tag for child in warning]
    assert ["skipped", "system-out"] == [child.tag for child in accepted]


def test_properties() -> None:
    """A test case gets a property for each finding; what XML cannot hold is written out."""
    owner = Owner("test", "test\x00")
    one = make_finding(owner=owner, path=f"{ROOT}/app/db.py")
    other = make_finding("SG301", path="/home/ann/lib.py", outer=(Frame("x.py", 1, "g"),))
    (first, told), (second, also) = junit.make_properties([one, other], ROOT)
    assert "sessionguard" == first == second
    assert told == (
        "SG101 leaked-connection: 1 connection was still checked out after test\\x00, "
        "at app/db.py:41 in get_user"
    )
    assert also.startswith("SG301 attached-result: add_user returned ")
    assert also.endswith(", at ../lib.py:41 in get_user")


def test_gitlab() -> None:
    """An entry a rule and place, without what is accepted; a second one of a function is salted."""
    document = make(
        make_finding(line=41),
        make_finding(line=44),
        make_finding("SG201", Severity.WARN),
        accepted=(make_finding(function="old"),),
    )
    first, second, third = json.loads(gitlab.write(document))
    assert {
        "description": "SG101 leaked-connection: 1 connection was still checked out after "
        "test_user. Fix: open the session in `with Session(engine) as session:`, or close it in "
        "`finally`.",
        "check_name": "leaked-connection",
        "fingerprint": document["findings"][0]["fingerprint"],
        "severity": "major",
        "location": {"path": "app/db.py", "lines": {"begin": 41}},
    } == first
    assert second["fingerprint"] != first["fingerprint"]
    assert 44 == second["location"]["lines"]["begin"]
    assert "minor" == third["severity"]


def test_json() -> None:
    """The JSON is the document."""
    document = make(make_finding(path="ü.py"))
    text = json_form.write(document)
    assert document == json.loads(text)
    assert "ü.py" in text
