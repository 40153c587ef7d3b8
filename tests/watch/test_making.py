"""Tasks that the user's code makes of SQLAlchemy's own coroutines: the line that makes them."""

from __future__ import annotations

import sys

import pytest

HEAD = """
import asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

ONE = text("SELECT 1")
kept = []

def run(work):
    async def main():
        engine = create_async_engine("sqlite+aiosqlite:///app.db")
        await work(engine)
    asyncio.run(main())

def test_it():
    run(work)

async def work(engine):
    session = AsyncSession(engine)
    kept.append(session)
"""
LINE = HEAD.count("\n")
LEAKS = {
    "gather": "await asyncio.gather(session.scalar(ONE))",
    "wait_for": "await asyncio.wait_for(session.scalar(ONE), 5)",
    "create_task": "await asyncio.create_task(session.scalar(ONE))",
    "ensure_future": "await asyncio.ensure_future(session.scalar(ONE))",
    "connection": "kept.append(await asyncio.wait_for(engine.connect(), 5))",
    "connection in gather": "kept.append(await asyncio.gather(engine.connect()))",
    "shield": "await asyncio.shield(session.scalar(ONE))",
}
if sys.version_info >= (3, 11):
    LEAKS["timeout"] = "async with asyncio.timeout(5): await session.scalar(ONE)"
    LEAKS["TaskGroup"] = (
        "async with asyncio.TaskGroup() as group: group.create_task(session.scalar(ONE))"
    )


@pytest.mark.parametrize("how", LEAKS)
def test_leak(project, how):
    """A connection that such a task took was taken there."""
    run = project({"test_x.py": f"{HEAD}    {LEAKS[how]}\n"}).run("-Wignore")
    assert run.found == ["SG101 test_it"], run.text
    assert run.findings[0].site.frames[0].line == LINE
    assert run.findings[0].site.frames[0].function == "work"


@pytest.mark.parametrize(
    "code",
    (
        "await asyncio.gather(session.scalar(ONE), session.scalar(ONE), return_exceptions=True)",
        "await asyncio.wait([asyncio.create_task(session.scalar(ONE)) for _ in range(2)])",
    ),
)
def test_shared_session(project, code):
    """Two of them that meet in a session both stand there."""
    code = f"{HEAD}    {code}\n    await session.close()\n    await engine.dispose()\n"
    run = project({"test_x.py": code}).run("-Wignore")
    assert "SG203 test_it" in run.found, run.text
    for place in ("entered at    ", "still inside  "):
        assert f"{place}test_x.py:{LINE} in " in run.text


def test_of_a_library(project):
    """Where a library makes it, the line of the user's that calls the library is shown."""
    library = """
        import asyncio

        async def call(session, query):
            return await asyncio.gather(session.scalar(query))
    """
    test = f"{HEAD}    await lib.call(session, ONE)\n"
    run = project(
        {"env/site-packages/lib.py": library, "test_x.py": f"\nimport lib{test}", "pytest.ini": INI}
    ).run("-Wignore", subprocess=True)
    assert run.found == ["SG101 test_it"], run.text
    assert run.findings[0].site.frames[0].line == LINE + 1


INI = "[pytest]\npythonpath = env/site-packages\n"
