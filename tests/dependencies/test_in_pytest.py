"""assert_dependency_closes in a suite: what it provokes is its own, and it must be awaited."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from harness import tidy_up

APP = """
    from contextlib import asynccontextmanager
    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.orm import Session

    engine = create_engine("sqlite:///app.db", pool_size=1, max_overflow=0, pool_timeout=0.5)
    async_engine = create_async_engine("sqlite+aiosqlite:///app.db", pool_size=1, max_overflow=0)

    def faulty():
        session = Session(engine)
        yield session
        session.close()

    def mended():
        with Session(engine) as session:
            yield session

    def drops_a_connection():
        with Session(engine) as session:
            yield session
        engine.raw_connection()

    def closed_and_used():
        with Session(engine) as session:
            pass
        yield session
        session.execute(text("SELECT 1"))

    async def async_faulty():
        session = AsyncSession(async_engine)
        yield session
        await session.close()

    async def async_mended():
        async with AsyncSession(async_engine) as session:
            yield session
"""
INI = """
    [pytest]
    asyncio_mode = auto
    asyncio_default_fixture_loop_scope = function
    sessionguard_error = all
    filterwarnings = error
"""
HEAD = """
    import asyncio
    import gc
    import pytest
    from app import *
    from pytest_sessionguard import DependencyError, assert_dependency_closes
"""


@pytest.fixture(autouse=True)
def nothing_of_others() -> None:
    """Collect what earlier tests have lost: in these suites every warning is an error."""
    tidy_up()


def suite(tests: str, *, head: str = HEAD) -> dict[str, str]:
    return {"app.py": APP, "pytest.ini": INI, "test_it.py": head + tests}


def test_provoked_is_not_told(project: Any) -> None:
    """What the assertion provokes comes back as no finding of its test, failed or not."""
    run = project(
        suite(
            """
    @pytest.mark.parametrize("dependency", (faulty, closed_and_used, drops_a_connection))
    def test_sync(dependency):
        with pytest.raises(DependencyError):
            assert_dependency_closes(dependency)
        assert_dependency_closes(mended)
        gc.collect()

    async def test_async():
        with pytest.raises(DependencyError):
            await assert_dependency_closes(async_faulty)
        await assert_dependency_closes(async_mended)
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await async_engine.dispose()
    """
        )
    ).run()
    assert run.is_clean()


def test_failing_tests(project: Any) -> None:
    """A test fails with the assertion's own error, and nothing is said to be left open."""
    run = project(
        suite(
            """
    def test_sync():
        assert_dependency_closes(faulty)

    async def test_async():
        try:
            await assert_dependency_closes(async_faulty)
        finally:
            await async_engine.dispose()
    """
        )
    ).run()
    assert {"test_sync": "failed", "test_async": "failed"} == run.results
    assert [] == run.found
    assert {} == run.sections
    assert [] == run.warnings
    assert "faulty() does not close its Session in 3 ways of 4" in run.failure("test_sync")
    assert "app.py:10 in faulty" in run.failure("test_sync")
    assert "assertions/dependencies.py" not in run.failure("test_sync")


def test_never_awaited(project: Any) -> None:
    """A test that calls it for an async dependency and does not await it fails."""
    run = project(
        suite(
            """
    @pytest.mark.filterwarnings("ignore:coroutine")
    def test_forgotten():
        assert_dependency_closes(async_mended)
    """
        )
    ).run()
    assert {"test_forgotten": "passed, error at teardown"} == run.results
    assert ["SG201 test_forgotten"] == run.found
    text = run.failure("test_forgotten")
    title = "SG201 unclosed-session: test_forgotten called assert_dependency_closes()"
    assert f"{title} and never awaited it" in text
    assert "test_it.py:9 in test_forgotten" in text
    assert "Fix: `await assert_dependency_closes(...)`" in text


def test_own_sessions_stay_the_tests(project: Any) -> None:
    """What the test itself leaves open is told as before, also beside a dependency's sessions."""
    run = project(
        suite(
            """
    kept = []

    def test_leak():
        session = Session(create_engine("sqlite:///other.db"))
        session.execute(text("SELECT 1"))
        kept.append(session)
        assert_dependency_closes(mended)
    """
        )
    ).run()
    assert ["SG101 test_leak", "SG106 test_leak"] == run.found
    assert "test_it.py:11" in run.failure("test_leak")


def test_services(project: Any) -> None:
    """A dependency that is a service function is driven, and its own check stays quiet."""
    files = suite(
        """
    def test_sync():
        with pytest.raises(DependencyError):
            assert_dependency_closes(faulty)
        assert_dependency_closes(mended)

    async def test_async():
        await assert_dependency_closes(async_mended)
        await async_engine.dispose()
    """
    )
    files["pytest.ini"] += "    sessionguard_services = app\n"
    assert project(files).run().is_clean()


def test_after_a_fault_inside(project: Any) -> None:
    """Where the plugin's guard has stood down, the assertion has a guard of its own."""

    def sabotage(patch: Any) -> None:
        from pytest_sessionguard.ledger import Ledger

        original, calls = Ledger.use_session, []

        def fail_once(self: Any, *args: Any) -> None:
            calls.append(1)
            if len(calls) == 1:
                raise ZeroDivisionError("sabotage")
            original(self, *args)

        patch.setattr(Ledger, "use_session", fail_once)

    run = project(
        suite(
            """
    def test_first():
        with Session(engine) as session:
            session.execute(text("SELECT 1"))

    def test_second():
        with pytest.raises(DependencyError):
            assert_dependency_closes(faulty)
        assert_dependency_closes(mended)
    """
        )
    ).run(sabotage=sabotage)
    assert {"test_first": "passed", "test_second": "passed"} == run.results
    assert "ZeroDivisionError: sabotage" == run.fault


@pytest.mark.parametrize(
    "place",
    (
        "ledger.Ledger.open_session",
        "ledger.Ledger.use_session",
        "ledger.Ledger.close_session",
        "ledger.Ledger.end_lease",
        "dependencies.opened.Opened.take_session",
        "dependencies.opened.Opened.take_lease",
    ),
)
def test_fault_inside(place: str, project: Any) -> None:
    """A fault inside while a dependency is driven is told once, and fails no test."""
    module, class_, method = place.rsplit(".", 2)
    target = getattr(importlib.import_module(f"pytest_sessionguard.{module}"), class_)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("sabotage")

    run = project(
        suite(
            """
    def test_sync():
        assert_dependency_closes(mended)

    async def test_async():
        await assert_dependency_closes(async_mended)
        await async_engine.dispose()
    """
        )
    ).run(sabotage=lambda patch: patch.setattr(target, method, fail))
    assert {"test_sync": "passed", "test_async": "passed"} == run.results, run.text
    assert "ZeroDivisionError: sabotage" == run.fault
    assert ["SessionGuardWarning"] == [category for category, _ in run.warnings]
