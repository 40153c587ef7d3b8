"""An end that comes: what keeps the interpreter alive after pytest's last line is named."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

# SQLAlchemy makes the threads of aiosqlite daemons; of a connection that a creator of the user's
# opens it does not (`sqlalchemy.dialects.sqlite.aiosqlite`, `async_creator_fn`), and before 2.0.46
# it did not where aiosqlite is 0.22 or newer.
APP = """
    import aiosqlite
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    ONE = text("SELECT 1")
    kept = []

    def make():
        async def connect():
            connection = aiosqlite.connect("app.db")
            return await connection

        return create_async_engine("sqlite+aiosqlite:///app.db", async_creator=connect)

    async def ask(engine):
        async with engine.connect() as connection:
            return await connection.scalar(ONE)

    async def leak(engine):
        kept.append(await engine.connect())
"""
TESTS = """
    import pytest
    from app import *

    @pytest.fixture
    def engine():
        kept.append(make())
        return kept[-1]

    async def test_undisposed(engine):
        await ask(engine)

    @pytest.mark.sessionguard(ignore="SG101", reason="to see what becomes of it")
    async def test_leaked(engine):
        await leak(engine)
"""
HEALTHY = """
    import pytest
    from app import *

    @pytest.fixture
    async def engine():
        engine = make()
        yield engine
        await engine.dispose()

    async def test_disposed(engine):
        await ask(engine)
"""
# The threads end a while after the connections.
LINGER = """
    import functools
    import time

    import aiosqlite.core as core

    original = core._connection_worker_thread

    @functools.wraps(original)
    def linger(queue):
        original(queue)
        time.sleep(0.5)

    core._connection_worker_thread = linger
"""
PAST = """
    import aiosqlite
    import app

    kept = []

    async def test_past():
        kept.append(await aiosqlite.connect("app.db"))
"""
INI = "[pytest]\nasyncio_mode = auto\n"

pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in version("aiosqlite").split(".")[:2]) < (0, 22),
    reason="older connections of aiosqlite are daemons unless somebody says otherwise",
)


class Ending:
    """A run in a process of its own: what it wrote to its last line, and whether it ended."""

    def __init__(self, folder, *, patience):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            lines = []
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(line)
                    # pytest's last line.
                    if " passed" in line and " in " in line:
                        break
                try:
                    process.wait(patience)
                    self.ends = True
                except subprocess.TimeoutExpired:
                    self.ends = False
            finally:
                process.kill()
        self.text = "".join(lines)

    def lines(self):
        """The lines about the end."""
        found = self.text.split("sessionguard: this process will not end by itself", 1)
        return found[1].split("\nsessionguard: ")[0].splitlines() if len(found) == 2 else []


def test_what_keeps_it_alive(project):
    """The leaked lease and the undisposed engine are named, with their places and owners."""
    suite = project({"app.py": APP, "test_x.py": TESTS, "pytest.ini": INI})
    ending = Ending(suite.path, patience=4)
    assert not ending.ends, ending.text
    head, *named, fix = ending.lines()
    assert head == ": 2 connections keep threads for which Python waits"
    assert sorted(named) == [
        "  - 1 connection of sqlite+aiosqlite, checked out at app.py:20 in leak by test_leaked, never returned, engine made at app.py:13 in make by the function-scoped fixture `engine`",
        "  - 1 connection of sqlite+aiosqlite, opened at app.py:16 in ask by test_undisposed, in its pool, engine made at app.py:13 in make by the function-scoped fixture `engine`",
    ]
    assert fix == (
        "  Fix: close them on their loop: `await connection.close()`, `await engine.dispose()`"
    )


def test_healthy(project):
    """Where all engines are disposed of nothing is said, and the process ends."""
    suite = project({"app.py": APP, "test_x.py": HEALTHY, "pytest.ini": INI})
    ending = Ending(suite.path, patience=60)
    assert ending.ends, ending.text
    assert [] == ending.lines()


def test_threads_that_are_ending(project):
    """A closed connection's thread that needs a while for its end keeps nothing alive."""
    files = {"conftest.py": LINGER, "app.py": APP, "test_x.py": HEALTHY, "pytest.ini": INI}
    ending = Ending(project(files).path, patience=60)
    assert ending.ends, ending.text
    assert [] == ending.lines()


def test_past_every_engine(project):
    """A connection that no engine knows is counted; the guard does not know who opened it."""
    suite = project({"app.py": APP, "test_x.py": PAST, "pytest.ini": INI})
    ending = Ending(suite.path, patience=4)
    assert not ending.ends, ending.text
    assert ending.lines()[:2] == [
        ": 1 connection keeps a thread for which Python waits",
        "  - 1 connection of aiosqlite, opened past every engine",
    ]


def test_daemons(project):
    """Threads that nobody waits for are not named: the process ends."""
    app = APP.replace(", async_creator=connect", "")
    suite = project({"app.py": app, "test_x.py": TESTS, "pytest.ini": INI})
    daemons = tuple(int(part) for part in version("sqlalchemy").split(".")[:3]) >= (2, 0, 46)
    ending = Ending(suite.path, patience=60 if daemons else 4)
    assert (ending.ends, ending.lines() == []) == (daemons, daemons), ending.text
