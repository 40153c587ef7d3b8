"""A run of pytest is recorded where a report shows it, in one process and in several."""

from __future__ import annotations

import json

import pytest
from harness import APP
from report.test_document import VALIDATOR

SUITE = {
    "app.py": APP,
    "test_one.py": """
        import pytest
        from app import engine, fine, forget, leak

        @pytest.fixture(scope="module")
        def row():
            yield fine()

        @pytest.fixture
        def own():
            yield fine()

        def test_fine(row):
            fine()

        def test_own(own):
            pass

        def test_leak():
            leak()

        def test_quiet():
            pass
    """,
    "test_two.py": """
        from app import fine, leave_open, use_after

        def test_after():
            use_after()

        def test_open():
            leave_open()

        def test_failed():
            fine()
            assert False
    """,
}


def read(suite, *args):
    """Run a suite and read its JSON report."""
    suite.run("--sessionguard-report=json", *args)
    document = json.loads((suite.path / "sessionguard.json").read_text(encoding="utf-8"))
    VALIDATOR.validate(document)
    return document


def outline(document):
    """What does not depend on clocks and processes."""
    timeline = document["timeline"]
    return sorted(
        (
            story["kind"],
            story["name"],
            story["nodeid"],
            story["judged"],
            [lease["fate"] for lease in story["leases"]],
            [session["fate"] for session in story["sessions"]],
            [timeline["sql"][statement["sql"]] for statement in story["statements"]],
        )
        for story in timeline["tests"]
    )


def test_run(project):
    """Each owner that opened something has its story."""
    document = read(project(SUITE))
    one, two, twice = "test_one.py", "test_two.py", ["SELECT ?"] * 2
    assert outline(document) == [
        ("fixture", "fixture `own`", f"{one}::test_own", True, ["returned"], [], ["SELECT ?"]),
        ("fixture", "fixture `row`", one, True, ["returned"], [], ["SELECT ?"]),
        ("test", "test_after", f"{two}::test_after", True, ["returned", "out"], ["open"], twice),
        ("test", "test_failed", f"{two}::test_failed", False, ["returned"], [], ["SELECT ?"]),
        ("test", "test_fine", f"{one}::test_fine", True, ["returned"], [], ["SELECT ?"]),
        ("test", "test_leak", f"{one}::test_leak", True, ["out"], [], ["SELECT ?"]),
        ("test", "test_open", f"{two}::test_open", True, ["returned"], ["dropped"], ["SELECT ?"]),
    ]  # fmt: skip
    assert document["timeline"]["quiet"] == 1
    assert [process["name"] for process in document["timeline"]["processes"]] == ["main"]


def test_spread(project):
    """Two workers tell the same stories as one process, each in its own name."""
    suite = project(SUITE)
    alone = read(suite)
    spread = read(suite, "-n2", "--dist=loadfile")
    assert outline(alone) == outline(spread)
    assert alone["timeline"]["quiet"] == spread["timeline"]["quiet"]
    timeline = spread["timeline"]
    assert {process["name"] for process in timeline["processes"]} == {"gw0", "gw1"}
    assert {engine["process"] for engine in timeline["engines"]} == {"gw0", "gw1"}
    assert min(process["shift"] for process in timeline["processes"]) == 0


def test_killed_worker(project):
    """What tests of a worker did before it was killed stays in the report."""
    document = read(
        project(
            {
                "app.py": APP,
                "test_x.py": """
                    import os
                    from app import leak

                    def test_a():
                        leak()

                    def test_b():
                        os._exit(3)

                    def test_c():
                        leak()
                """,
            }
        ),
        "-n1",
        "--max-worker-restart=2",
    )
    assert [story["name"] for story in document["timeline"]["tests"]] == ["test_a", "test_c"]


def test_not_recorded(project):
    """Only for a report that shows it a recorder is made."""
    made = []

    def count(patch):
        from pytest_sessionguard.plugin import recording

        real = recording.Recorder
        patch.setattr(recording, "Recorder", lambda *args: made.append(args) or real(*args))

    suite = project(SUITE)
    for form, times in (("sarif", 0), ("markdown", 0), ("html", 1), ("json", 1)):
        made.clear()
        run = suite.run(f"--sessionguard-report={form}", sabotage=count)
        assert f"sessionguard report: {form} in sessionguard." in run.text
        assert len(made) == times
    assert "SELECT ?" in (suite.path / "sessionguard.html").read_text(encoding="utf-8")


def test_same_outcomes(project):
    """Recording changes no outcome and no finding."""
    plain, recorded = project(SUITE).run(), project(SUITE).run("--sessionguard-report=html")
    assert recorded.outcomes == plain.outcomes
    assert recorded.found == plain.found
    assert recorded.tally == plain.tally
    assert recorded.exit == plain.exit


def test_fault_inside(project):
    """A fault of the recorder changes no outcome, and is told."""

    def break_recorder(patch):
        from pytest_sessionguard.timeline import Recorder

        def fail(self):
            raise ZeroDivisionError("inside")

        patch.setattr(Recorder, "take", fail)

    run = project({"test_x.py": "from sqlalchemy import text\ndef test_x(): pass"}).run(
        "--sessionguard-report=html", sabotage=break_recorder
    )
    assert run.results == {"test_x": "passed"}
    assert "ZeroDivisionError" in run.fault
    assert run.exit == 0


def test_rerun(project):
    """A test that ran again has a story for each time."""
    pytest.importorskip("pytest_rerunfailures")
    document = read(
        project(
            {
                "app.py": APP,
                "test_x.py": """
                    from app import fine

                    times = []

                    def test_flaky():
                        fine()
                        times.append(1)
                        assert len(times) > 1
                """,
            }
        ),
        "--reruns=2",
    )
    stories = document["timeline"]["tests"]
    assert [(story["name"], story["judged"]) for story in stories] == [
        ("test_flaky", False),
        ("test_flaky", True),
    ]
