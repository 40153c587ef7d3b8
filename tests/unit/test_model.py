"""Findings are plain values, and travel as plain JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity

frames = st.builds(Frame, st.text(max_size=8), st.integers(0, 9), st.text(max_size=8))
sites = st.builds(CallSite, st.lists(frames, max_size=3).map(tuple))
owners = st.builds(
    Owner,
    st.sampled_from(["test", "fixture", "import"]),
    st.text(max_size=8),
    st.sampled_from(["function", "class", "module", "package", "session"]),
    st.text(max_size=8),
)
facts = st.dictionaries(
    st.text(max_size=6),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
    max_size=4,
)
findings = st.builds(
    Finding,
    rule=st.text(max_size=5),
    name=st.text(max_size=8),
    severity=st.sampled_from(Severity),
    owner=owners,
    places=st.lists(
        st.builds(Place, st.text(max_size=8), sites, st.text(max_size=8)), max_size=3
    ).map(tuple),
    facts=facts,
    told_at=st.text(max_size=8),
)


@given(findings)
def test_round_trip(finding: Finding) -> None:
    """A finding that went through JSON is equal to the one that was written."""
    assert finding == Finding.from_json(json.loads(json.dumps(finding.to_json())))


@given(findings)
def test_json_is_a_copy(finding: Finding) -> None:
    """Whoever changes what was written does not change the finding."""
    before = json.dumps(finding.to_json())
    data = finding.to_json()
    data["facts"]["a new fact"] = 1
    data["owner"]["name"] = "another owner"
    data["places"].append("a new place")
    assert before == json.dumps(finding.to_json())


def test_json_of_one_finding() -> None:
    """The written form is this one: others read it too."""
    finding = Finding(
        rule="SG101",
        name="leaked-connection",
        severity=Severity.ERROR,
        owner=Owner("test", "test_a", nodeid="test_x.py::test_a"),
        places=(Place("checked out", CallSite((Frame("app/db.py", 41, "get"),)), "{}, out"),),
        facts={"count": 1},
        told_at="test_x.py::test_a",
    )
    assert {
        "rule": "SG101",
        "name": "leaked-connection",
        "severity": "error",
        "owner": {
            "kind": "test",
            "name": "test_a",
            "scope": "function",
            "nodeid": "test_x.py::test_a",
        },
        "places": [
            {"label": "checked out", "text": "{}, out", "frames": [["app/db.py", 41, "get"]]}
        ],
        "facts": {"count": 1},
        "told_at": "test_x.py::test_a",
    } == finding.to_json()


def test_an_unknown_severity_is_refused() -> None:
    """A severity that does not exist is not read as one."""
    data = Finding("SG101", "x", Severity.WARN, Owner("test", "t"), ()).to_json()
    with pytest.raises(ValueError, match="loud"):
        Finding.from_json({**data, "severity": "loud"})


def test_site_of_a_finding() -> None:
    """A finding is about its first place; one without places is about none."""
    site = CallSite((Frame("a.py", 1, "f"),))
    owner = Owner("test", "t")
    finding = Finding(
        "SG101", "x", Severity.WARN, owner, (Place("a", site), Place("b", CallSite()))
    )
    assert site == finding.site
    assert CallSite() == dataclasses.replace(finding, places=()).site


def test_texts_of_places() -> None:
    """A frame reads as file, line and function; a call site as its innermost frame."""
    site = CallSite((Frame("a.py", 1, "f"), Frame("b.py", 2, "g")))
    assert "a.py:1 in f" == str(site)
    assert "an unknown place" == str(CallSite())


@pytest.mark.parametrize(
    ("owner", "text", "bound"),
    [
        (Owner("test", "test_a[1]"), "test_a[1]", True),
        (Owner("fixture", "fixture `db`"), "the function-scoped fixture `db`", True),
        (Owner("fixture", "fixture `db`", "module"), "the module-scoped fixture `db`", False),
        (Owner("fixture", "fixture `db`", "session"), "the session-scoped fixture `db`", False),
        (Owner("import", "app", "session"), "app", False),
        (Owner("import", "app"), "app", False),
    ],
)
def test_owners(owner: Owner, text: str, bound: bool) -> None:
    """A fixture is called by its scope too; only function-scoped things end with the test."""
    assert (text, bound) == (str(owner), owner.is_test_bound)


@pytest.mark.parametrize("class_", [Frame, CallSite, Owner, Place, Finding])
def test_values_are_frozen(class_: type) -> None:
    """No value of the model can be changed."""
    assert class_.__dataclass_params__.frozen  # type: ignore[attr-defined]
