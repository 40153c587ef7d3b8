"""On a real Postgres: statements of both drivers, sync and async, and no password."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner
from pytest_sessionguard.timeline import Recorder, RecordingLedger, Timeline

pytestmark = pytest.mark.postgres
SQL = text("SELECT E'it\\'s Zq7', $$Zq8$$, CAST(:number AS INTEGER) -- Zq9")


def record(work):
    """Run something as a recorded test, and return its timeline."""
    recorder = Recorder("/")
    guard = Guard("/", ledger=RecordingLedger(recorder))
    guard.start()
    guard.look(at_once=True)
    try:
        guard.start_test(Owner("test", "test_it", nodeid="test_it"), {})
        work()
        guard.end_test("test_it", passed=True)
        timeline = Timeline()
        timeline.add(json.loads(json.dumps(recorder.take())))
        assert guard.shield.fault is None
        return timeline.to_json()
    finally:
        guard.stop()


def check(told, url, driver):
    (story,) = told["tests"]
    (lease,), (session,), (gauge,) = story["leases"], story["sessions"], told["engines"]
    assert lease["session"] == session["id"]
    assert lease["fate"] == "returned"
    assert gauge["engine"] == f"postgresql+{driver}"
    assert gauge["limit"] == 15
    assert gauge["peak"] == 1
    mine = [s for s in story["statements"] if "CAST" in told["sql"][s["sql"]]]
    assert [statement["lease"] for statement in mine] == [lease["id"]]
    assert all(statement["took"] > 0 for statement in mine)
    shown = json.dumps(told)
    assert "Zq" not in shown
    assert make_url(url).password not in shown


def test_psycopg(sessionguard_postgres):
    url = sessionguard_postgres.url_for("psycopg")

    def work():
        engine = create_engine(url)
        with Session(engine) as session:
            session.execute(SQL, {"number": 7})
        engine.dispose()

    check(record(work), url, "psycopg")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_async(sessionguard_postgres, driver):
    url = sessionguard_postgres.url_for(driver)

    async def main():
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session:
            await session.execute(SQL, {"number": 7})
        await engine.dispose()

    told = record(lambda: asyncio.run(main()))
    check(told, url, told["engines"][0]["engine"].split("+")[1])
