"""The async engine under loops that a test runs itself: disposed under each, before it ends."""

from __future__ import annotations

HEAD = """
import asyncio
import gc
import sys
import threading
import unittest

import pytest
from sqlalchemy import text

pytestmark = pytest.mark.filterwarnings("error")

async def ask(engine):
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1

@pytest.fixture(autouse=True)
def count(sessionguard_postgres):
    import psycopg
    yield
    gc.collect()
    with psycopg.connect(sessionguard_postgres.url, autocommit=True) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        for _ in range(100):
            if (number := connection.execute(others).fetchone()[0]) == 1:
                break
        assert number == 1
"""
TESTS = """
@pytest.mark.skipif(sys.version_info < (3, 11), reason="unittest closes no generators there")
class TestUnit(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def take(self, sessionguard_async_engine):
        self.engine = sessionguard_async_engine

    async def test_isolated(self):
        await ask(self.engine)
        await ask(self.engine)

def test_run(sessionguard_async_engine):
    # The pool of one does not hand the first loop's connection to the second.
    asyncio.run(ask(sessionguard_async_engine))
    asyncio.run(ask(sessionguard_async_engine))

def test_loop_closed_in_haste(sessionguard_async_engine):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask(sessionguard_async_engine))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()

def test_loop_still_open(loop, sessionguard_async_engine):
    loop.run_until_complete(ask(sessionguard_async_engine))

def test_loop_of_a_thread(sessionguard_async_engine):
    thread = threading.Thread(target=asyncio.run, args=[ask(sessionguard_async_engine)])
    thread.start()
    thread.join()

def test_last():
    gc.collect()
"""
INI = "[pytest]\nsessionguard_postgres = embedded\n"


def test_loops_of_the_tests_own(project):
    """No connection is left to the server or to the collector, whoever runs the loop."""
    run = project({"pytest.ini": INI, "test_x.py": HEAD + TESTS}).run(subprocess=True)
    assert set(run.results.values()) <= {"passed", "skipped"}
    assert list(run.results.values()).count("passed") >= 5
    assert [] == run.found
