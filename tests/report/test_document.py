"""The document of a run: what stands in it, in which order, and what does not."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page.runs import make_lease, make_piece, make_story
from report.documents import ROOT, RUN, hostile, make, make_finding, patient

from pytest_sessionguard.identity import identify
from pytest_sessionguard.model import Finding, Frame, Owner, Severity
from pytest_sessionguard.report import document as module
from pytest_sessionguard.report.document import DocumentError, check_document, make_document
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.report.wording import tell
from pytest_sessionguard.survey import Holdout, PoolUse, Survey
from pytest_sessionguard.tally import Tally


def read_schema() -> Any:
    from importlib.resources import files

    text = (files("pytest_sessionguard.report") / "document.schema.json").read_text("utf-8")
    return json.loads(text)


def close(schema: Any) -> Any:
    """Let a schema allow nothing that it does not name: a new property needs its line."""
    if isinstance(schema, dict):
        closed = {name: close(part) for name, part in schema.items()}
        if "properties" in schema and "required" in schema:
            closed["additionalProperties"] = False
        return closed
    return [close(part) for part in schema] if isinstance(schema, list) else schema


VALIDATOR = jsonschema.Draft202012Validator(
    close(read_schema()), format_checker=jsonschema.FormatChecker()
)


def test_schema_is_one() -> None:
    """The schema is itself valid, and names the version that is written."""
    jsonschema.Draft202012Validator.check_schema(read_schema())
    assert module.VERSION == read_schema()["properties"]["version"]["const"]


def test_document() -> None:
    """A finding comes with its words, its state and its fingerprint."""
    finding, old = make_finding(), make_finding("SG201", Severity.WARN, function="old")
    document = make(finding, accepted=(old,))
    VALIDATOR.validate(document)
    first, second = document["findings"]
    assert "new" == first["state"]
    assert "accepted" == second["state"]
    assert identify(finding).fingerprint == first["fingerprint"]
    assert tell(finding) == first["text"]
    assert f"{first['rule']} {first['name']}: {first['title']}" == first["text"].splitlines()[0]
    assert f"  Fix: {first['fix']}" in first["text"].splitlines()
    assert finding == Finding.from_json(first)
    assert {"tests": 9, "engines": 1, "sessions": 12} == document["tally"]
    assert {"name", "version"} == set(document["tool"])


def test_pools() -> None:
    """The use of pools comes with what it leads to, in an order of its own."""
    summary = Summary()
    use = PoolUse("postgresql+asyncpg", "QueuePool", 5, 10, in_task=2, in_task_at="app/x.py:3 in f")
    other = PoolUse("duckdb", "NullPool")
    for survey in (Survey((use, other)), Survey((other, use))):
        summary.survey = survey
        document = make_document(summary, RUN, ROOT)
        VALIDATOR.validate(document)
        first, second = document["advice"]["pools"]
        assert ("duckdb", None, None) == (first["engine"], first["limit"], first["safe_workers"])
        assert ("postgresql+asyncpg", 15, 14) == (
            second["engine"],
            second["limit"],
            second["safe_workers"],
        )
        assert second["text"].splitlines()[-1].startswith("  up to 14 workers cannot deadlock")


def test_no_timeline() -> None:
    """A timeline stands in it only where one was recorded."""
    summary = Summary()
    assert "timeline" not in make_document(summary, RUN, ROOT)
    lease = make_lease(2, 1, site=[[f"{ROOT}/app/db.py", 41, "get_user"]])
    story = make_story(1, "test_a.py::test_a", 0, leases=[lease])
    summary.add(pack([], Tally(), timeline=make_piece([story], [[1, 1]])))
    document = make_document(summary, RUN, ROOT)
    VALIDATOR.validate(document)
    assert [[["app/db.py", 41, "get_user"]]] == document["timeline"]["sites"]


@patient
@given(st.lists(hostile, max_size=4))
def test_any_document_is_valid(findings: list[Finding]) -> None:
    """Whatever a project is called, its document fits the schema and survives a file."""
    document = make(*findings)
    VALIDATOR.validate(document)
    assert document == json.loads(json.dumps(document))
    assert document == check_document(document)


@patient
@given(st.lists(hostile, max_size=5), st.randoms(use_true_random=False))
def test_order_does_not_matter(findings: list[Finding], chance: random.Random) -> None:
    """Whichever test or worker came first, the document is the same."""
    shuffled = list(findings)
    chance.shuffle(shuffled)
    assert make(*findings) == make(*shuffled)


def test_wide_fixture_of_two_workers() -> None:
    """A fixture of the session is set up by every worker, and is told once."""
    owner = Owner("fixture", "fixture `db`", "session")
    told = [make_finding(owner=owner, test=test) for test in ("test_b", "test_a")]
    (finding,) = make(*told)["findings"]
    assert "tests/test_app.py::test_a" == finding["told_at"]


def test_same_line_of_two_tests() -> None:
    """What two tests did at one line are two findings."""
    assert 2 == len(make(make_finding(test="test_a"), make_finding(test="test_b"))["findings"])


def test_paths_are_relative() -> None:
    """A file outside the root is seen from it, in the places and in the words."""
    document = make(make_finding(path="/home/ann/lib/pool.py", outer=(Frame("/x.py", 1, "f"),)))
    (finding,) = document["findings"]
    assert ["../lib/pool.py", 41, "get_user"] == finding["places"][0]["frames"][0]
    assert "../lib/pool.py:41 in get_user" in finding["text"]
    assert "/home/ann" not in json.dumps(document)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql+asyncpg://ann:s3cret@db:5432/app", "postgresql+asyncpg://ann:***@db:5432/app"),
        ("x://u:p%40ss:w@h y://v:q@i", "x://u:***@h y://v:***@i"),
        ("postgresql://ann@db/app", "postgresql://ann@db/app"),
        ("x://u:p@ss@h/d", "x://u:***@h/d"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("host=db password=s3cret user=ann", "host=db password=*** user=ann"),
        ("PWD='a b';x, password = \"c\"", "PWD=***;x, password = ***"),
        (f"/mnt{ROOT}/x.py", f"/mnt{ROOT}/x.py"),
        (f"({ROOT}/x.py)", "(x.py)"),
        (f"KeyError: {ROOT}/app/db.py", "KeyError: app/db.py"),
        ("E: boom\n[SQL: INSERT INTO t VALUES (7)]\n[parameters: ('s3cret',)]", "E: boom"),
        ("lone \udc80", "lone \\udc80"),
    ],
)
def test_nothing_is_given_away(text: str, left: str) -> None:
    """No text holds a password, a value of a statement, or a folder of this machine."""
    summary = Summary()
    summary.add(pack([], Tally(), text))
    summary.gone = [{text: text}]
    summary.survey = Survey((PoolUse("e", "QueuePool", made=text),), (Holdout(text),))
    document = make_document(summary, RUN, ROOT)
    assert left == document["fault"]
    assert [{left: left}] == document["gone"]
    assert left == document["advice"]["pools"][0]["made"]
    assert left == document["advice"]["holdouts"][0]["engine"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "it is no JSON report of sessionguard"),
        ({}, "it is no JSON report of sessionguard"),
        ({"findings": {}}, "it is no JSON report of sessionguard"),
        ({"findings": [], "version": 2}, "its version is 2, and this sessionguard reads 1"),
        ({"findings": []}, "its version is None, and this sessionguard reads 1"),
    ],
)
def test_no_document(data: Any, words: str) -> None:
    """What is no document, or a newer one, is refused with the reason."""
    with pytest.raises(DocumentError) as caught:
        check_document(data)
    assert words == str(caught.value)
