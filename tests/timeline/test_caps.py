"""However much a run does, what is kept of it has a bound, and what is left out is counted."""

from __future__ import annotations

import doctest
import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from page.runs import make_lease, make_piece, make_story
from sqlalchemy import create_engine, text

from pytest_sessionguard.timeline import Timeline, gauges, merge
from pytest_sessionguard.timeline.gauges import thin
from pytest_sessionguard.timeline.story import CAPS


def test_statements_of_a_test(recording, database):
    """A test's statements beyond the cap are counted only."""
    engine = create_engine(f"sqlite://{database}")
    with engine.connect() as connection:
        for _ in range(CAPS["statements"] + 7):
            connection.execute(text("SELECT 1"))
    (story,) = recording.end()["tests"]
    assert len(story["statements"]) == CAPS["statements"]
    assert story["left_out"] == {"statements": 7}


def test_leases_of_a_test(recording, database):
    """A test's leases beyond the cap are counted only, and the number out is right all the same."""
    engine = create_engine(f"sqlite://{database}")
    for _ in range(CAPS["leases"] + 3):
        engine.connect().close()
    first, second = engine.connect(), engine.connect()
    told = recording.end()
    (story,) = told["tests"]
    assert len(story["leases"]) == CAPS["leases"]
    assert story["left_out"] == {"leases": 5}
    assert told["engines"][0]["peak"] == 2
    assert told["engines"][0]["out"][-1][1] == 2
    first.close()
    second.close()


def test_engines_that_are_alike(recording, database):
    """A suite that makes an engine for each test has few gauges, and each engine is counted."""
    for _ in range(30):
        create_engine(f"sqlite://{database}").connect().close()
    told = recording.end()
    assert len(told["engines"]) == gauges._ALONE + 1
    assert sum(gauge["engines"] for gauge in told["engines"]) == 30
    assert {gauge["peak"] for gauge in told["engines"]} == {1}


def test_many_tests(recording, database):
    """A process keeps nothing of the tests that are over."""
    engine = create_engine(f"sqlite://{database}")

    def run(number: int) -> None:
        recording.start(f"test_{number}")
        with engine.connect() as connection:
            connection.execute(text(f"SELECT {number}"))
        recording.guard.end_test(f"test_file.py::test_{number}", passed=True)
        recording.recorder.take()

    tracemalloc.start()
    for number in range(600):
        run(number)
    before = tracemalloc.take_snapshot()
    for number in range(400):
        run(number)
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    grown = sum(
        stat.size_diff
        for stat in after.compare_to(before, "filename")
        if "pytest_sessionguard" in stat.traceback[0].filename
    )
    assert grown < 200_000  # of which a kept story would take ten times as much
    assert len(recording.recorder._stories) <= 202


def test_run(monkeypatch):
    """Of a run so much is kept, and more of tests with findings; the rest is counted."""
    monkeypatch.setattr(merge, "_KEPT", 10)
    timeline = Timeline()
    for number in range(20):
        nodeid = f"test_file.py::test_{number}"
        story = make_story(number, nodeid, number * 10, leases=[make_lease(number, number * 10)])
        blamed = {(nodeid, f"test_{number}")} if number == 15 else set()
        timeline.add(
            make_piece([story], []) | {"engines": make_piece([], [[0, 1]])["engines"]}, blamed
        )
    told = timeline.to_json()["tests"]
    assert len(told) == 20
    kept = [story["name"] for story in told if story["leases"]]
    assert kept == [f"test_{number}" for number in (*range(10), 15)]
    assert all(story["left_out"] == {"leases": 1} for story in told if not story["leases"])


points = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=80)


@given(points, st.integers(2, 30))
def test_thin(steps, limit):
    """Thinned points keep the peak, the last one and their order, and add none."""
    at, whole = 0, []
    for by, number in steps:
        at += by
        whole.append((at, number))
    thinned = thin(whole, limit)
    assert len(thinned) <= max(limit, 2)
    rest = iter(whole)
    assert all(point in rest for point in thinned)
    assert max((n for _, n in whole), default=0) == max((n for _, n in thinned), default=0)
    assert whole[-1:] == thinned[-1:]


def test_busy_engine(recording, database):
    """A test that takes thousands of connections sends a bounded piece."""
    engine = create_engine(f"sqlite://{database}")
    for _ in range(3_000):
        engine.connect().close()
    recording.guard.end_test("test_file.py::test_it", passed=True)
    piece = recording.recorder.take()
    assert len(piece["engines"][0]["out"]) <= gauges._POINTS
    assert len(json.dumps(piece)) < 100_000


def test_examples():
    """The examples in the docstrings run."""
    result = doctest.testmod(gauges)
    assert result.attempted > 0
    assert result.failed == 0
