"""Tests that stop the clock, or put another in its place: the guard has one of its own."""

from __future__ import annotations

APP = """
    import threading
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session

    SELECT = text("SELECT 1")
    engine = create_engine("sqlite:///app.db", connect_args={"check_same_thread": False})

    def hold(began, end):
        with engine.connect():
            began.set()
            end.wait(60)

    def use(session):
        end = threading.Event()
        thread = threading.Thread(target=lambda session: end.wait(0.005), args=(session,))
        thread.start()
        session.execute(SELECT)
        session.close()
        thread.join()
"""
TESTS = """
    import time
    from unittest import mock
    import pytest
    from app import *
    from pytest_sessionguard import LeakedConnectionError, assert_no_leaked_connections

    @pytest.fixture(autouse=True)
    def frozen():
        clocks = ("time.monotonic", "time.perf_counter", "time.time")
        patches = [mock.patch(clock, return_value=0.0) for clock in clocks]
        for patch in patches: patch.start()
        yield
        for patch in patches: patch.stop()

    def test_frozen():
        began, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=hold, args=(began, end))
        thread.start()
        began.wait()
        with pytest.raises(LeakedConnectionError):
            assert_no_leaked_connections()
        end.set()
        thread.join()

    def test_sleep():
        with mock.patch("time.sleep") as sleep:
            use(Session(engine))
        sleep.assert_not_called()

    def test_sleep_that_fails():
        with mock.patch("time.sleep", side_effect=AssertionError):
            use(Session(engine))

    def test_times():
        with mock.patch("time.perf_counter", side_effect=[10.0, 12.5]):
            begin = time.perf_counter()
            with Session(engine) as session:
                session.execute(SELECT)
            assert time.perf_counter() - begin == 2.5
"""


def test_clocks(project):
    """Neither waits for it, nor takes part in what is counted of it."""
    run = project({"app.py": APP, "test_x.py": TESTS}).run(
        "--sessionguard-report=json:report.json", subprocess=True, timeout=60
    )
    assert set(run.results.values()) == {"passed"}, run.text
    assert run.found == []
    assert run.fault == ""
