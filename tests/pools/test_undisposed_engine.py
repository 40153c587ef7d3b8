"""SG106: an engine of a test or fixture that keeps connections open; off unless asked for."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import pytest

SUITE = {
    "app.py": """
        from sqlalchemy import NullPool, create_engine, text

        ONE = text("SELECT 1")
        engine = create_engine("sqlite:///app.db")
        kept = []

        def ask(engine):
            with engine.connect() as connection:
                return connection.scalar(ONE)

        def make(**kwargs):
            kept.append(create_engine("sqlite:///app.db", **kwargs))
            return kept[-1]
    """,
    "test_x.py": """
        import pytest
        from app import *

        @pytest.fixture(scope="module")
        def wide():
            engine = make()
            yield engine

        @pytest.fixture
        def disposed():
            engine = make()
            yield engine
            engine.dispose()

        def test_bad():
            ask(make())

        def test_of_a_wider_fixture(wide):
            ask(wide)

        def test_disposed():
            engine = make()
            ask(engine)
            engine.dispose()

        def test_disposed_by_its_fixture(disposed):
            ask(disposed)

        def test_invalidated():
            connection = make().connect()
            connection.invalidate()
            connection.close()

        def test_unused():
            make()

        def test_no_pool():
            ask(make(poolclass=NullPool))

        def test_of_an_import():
            ask(engine)

        @pytest.mark.sessionguard(ignore="SG106", reason="known since last year")
        def test_old():
            ask(make())

        def test_last():
            connection = make().connect()
            connection.detach()
            connection.close()
    """,
}


def test_off_by_default(project):
    """Nobody hears of it unless they ask."""
    assert project(SUITE).run().is_clean()


def test_warned(project):
    """Each engine is told of the one that made it, and only where connections are open."""
    run = project(SUITE).run("-o", "sessionguard_warn=SG106")
    assert ["SG106 fixture `wide`", "SG106 test_bad"] == run.found, run.text
    assert run.exit == 0
    assert run.shows(
        """
        SG106 undisposed-engine: 1 engine was left with open connections after test_bad

          made          app.py:12 in make  (engine sqlite+pysqlite)
                        test_x.py:16 in test_bad

          1 connection stays open until the collector comes or the process ends.
          Fix: `engine.dispose()` where it is torn down, on the loop that used it.
          Accept: @pytest.mark.sessionguard(ignore="undisposed-engine", reason="...") or the baseline.
        """
    )


def test_error(project):
    """As an error it fails the test; what a wide fixture left is told at the end of its module."""
    run = project(SUITE).run("-o", "sessionguard_error=SG106")
    assert run.results["test_bad"] == "passed, error at teardown"
    assert run.results["test_disposed"] == run.results["test_old"] == "passed"


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_postgres(project, driver):
    """The same of async engines."""
    run = project(
        {
            "test_x.py": f"""
                import pytest
                from sqlalchemy import text
                from sqlalchemy.ext.asyncio import create_async_engine

                kept = []

                async def ask(engine):
                    kept.append(engine)
                    async with engine.connect() as connection:
                        return await connection.scalar(text("SELECT 1"))

                @pytest.fixture
                def url(sessionguard_postgres):
                    return sessionguard_postgres.url_for("{driver}")

                async def test_bad(url):
                    await ask(create_async_engine(url))

                async def test_good(url):
                    engine = create_async_engine(url)
                    await ask(engine)
                    await engine.dispose()

                async def test_own(sessionguard_async_engine):
                    await ask(sessionguard_async_engine)
            """,
            "pytest.ini": "[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n",
        }
    ).run("--sessionguard-warn=SG106", "-Wignore", subprocess=True)
    assert (["SG106 test_bad"], 0) == (run.found, run.exit), run.text
    assert "Fix: `await engine.dispose()` where" in run.text
