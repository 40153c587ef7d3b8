"""The rule in runs of pytest: the fault, its twin, and a new fault beside an accepted one."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Project

FILES = {
    "pytest.ini": "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n",
    "app.py": """
        import asyncio

        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
        from sqlalchemy.pool import NullPool

        engine = create_async_engine("sqlite+aiosqlite:///app.db", poolclass=NullPool)

        async def read(session):
            return await session.scalar(text("SELECT 1"))

        async def write(session):
            return await session.scalar(text("SELECT 2"))

        async def share(work):
            async with AsyncSession(engine) as session:
                await read(session)
                return await asyncio.gather(work(session), work(session))

        async def own(work):
            async with AsyncSession(engine) as session:
                return await work(session)

        async def share_nothing(work):
            return await asyncio.gather(own(work), own(work))
    """,
    "test_x.py": """
        import app
        import pytest

        @pytest.fixture
        async def session():
            async with app.AsyncSession(app.engine) as session:
                await app.read(session)
                yield session
                await session.rollback()

        async def test_twin(session):
            await app.read(session)
            assert await app.share_nothing(app.read) == [1, 1]

        async def test_old():
            assert await app.share(app.read) == [1, 1]
    """,
}
BASELINE = "--sessionguard-baseline=sessionguard-baseline.jsonl"
NEW = """

async def test_new():
    assert await app.share(app.write) == [2, 2]
"""


@pytest.fixture
def project(pytester: Any) -> Project:
    pytest.importorskip("pytest_asyncio")
    return Project(pytester, FILES)


def test_triple(project: Project) -> None:
    """The fault fails its test, the twin passes; accepted, it hides no other one."""
    run = project.run()
    assert ["SG203 test_old"] == run.found
    assert "error at teardown" in run.results["test_old"]
    assert "passed" == run.results["test_twin"]
    project.run(BASELINE, "--sessionguard-update-baseline")
    assert {"passed"} == set(project.run(BASELINE).results.values())
    test = project.path / "test_x.py"
    test.write_text(test.read_text("utf-8") + NEW, "utf-8")
    results = project.run(BASELINE).results
    assert "passed" == results["test_old"]
    assert "error at teardown" in results["test_new"]


def test_ignored_by_a_mark(project: Project) -> None:
    """A mark accepts it."""
    test = project.path / "test_x.py"
    mark = '@pytest.mark.sessionguard(ignore="session-shared-between-tasks", reason="it reads")\n'
    text = test.read_text("utf-8").replace("async def test_old", f"{mark}async def test_old")
    test.write_text(text, "utf-8")
    assert {"passed"} == set(project.run().results.values())
