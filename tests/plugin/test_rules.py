"""Each rule finds, is silent on the healthy twin, and on an accepted fault but not on a new one."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import pytest
from harness import APP, ASYNC_APP

ASYNC_INI = "[pytest]\nasyncio_mode = auto\n"

FAULTS = {
    "SG101": (
        """
        connection = engine.connect()
        kept.append(connection)
        connection.scalar(text("SELECT 1"))
        """,
        """
        with engine.connect() as connection:
            kept.append(connection)
            connection.scalar(text("SELECT 1"))
        """,
    ),
    "SG101 ": (
        """
        session = Session(engine)
        kept.append(session)
        session.scalar(text("SELECT 1"))
        """,
        """
        session = Session(engine)
        kept.append(session)
        session.scalar(text("SELECT 1"))
        session.close()
        """,
    ),
    "SG101  ": (
        "kept.append(engine.raw_connection())",
        "connection = engine.raw_connection()\nkept.append(connection)\nconnection.close()",
    ),
    "SG102": (
        'engine.connect().scalar(text("SELECT 1"))',
        'with engine.connect() as connection:\n    connection.scalar(text("SELECT 1"))',
    ),
    "SG102 ": (
        'Session(engine).scalar(text("SELECT 1"))',
        'with Session(engine) as session:\n    session.scalar(text("SELECT 1"))',
    ),
    "SG201": (
        """
        session = Session(engine)
        session.scalar(text("SELECT 1"))
        session.commit()
        """,
        """
        session = Session(engine)
        try:
            session.scalar(text("SELECT 1"))
            session.commit()
        finally:
            session.close()
        """,
    ),
    "SG201 ": (
        """
        session = Session(engine)
        kept.append(session)
        session.scalar(text("SELECT 1"))
        session.rollback()
        """,
        """
        session = Session(engine)
        kept.append(session)
        """,
    ),
    "SG202": (
        """
        with Session(engine) as session:
            session.scalar(text("SELECT 1"))
        session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
        """
        with Session(engine) as session:
            session.scalar(text("SELECT 1"))
        with session:
            session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
    ),
    "SG202 ": (
        """
        with Session(engine) as session:
            session.scalar(text("SELECT 1"))
        session.scalar(text("SELECT 1"))
        session.close()
        """,
        """
        session = Session(engine)
        session.close()
        session.scalar(text("SELECT 1"))
        session.close()
        """,
    ),
}

ASYNC_FAULTS = {
    "SG101": (
        """
        connection = await engine.connect()
        kept.append(connection)
        await connection.scalar(text("SELECT 1"))
        """,
        """
        async with engine.connect() as connection:
            kept.append(connection)
            await connection.scalar(text("SELECT 1"))
        """,
    ),
    "SG101 ": (
        """
        session = factory()
        kept.append(session)
        await session.scalar(text("SELECT 1"))
        """,
        """
        session = factory()
        kept.append(session)
        await session.scalar(text("SELECT 1"))
        await session.close()
        """,
    ),
    "SG102": (
        """
        connection = await engine.connect()
        await connection.scalar(text("SELECT 1"))
        """,
        """
        async with engine.begin() as connection:
            await connection.scalar(text("SELECT 1"))
        """,
    ),
    "SG102 ": (
        'await factory().scalar(text("SELECT 1"))',
        'async with factory() as session:\n    await session.scalar(text("SELECT 1"))',
    ),
    "SG201": (
        """
        session = factory()
        await session.scalar(text("SELECT 1"))
        await session.commit()
        """,
        """
        session = factory()
        try:
            await session.scalar(text("SELECT 1"))
            await session.commit()
        finally:
            await session.close()
        """,
    ),
    "SG202": (
        """
        async with factory() as session:
            await session.scalar(text("SELECT 1"))
        await session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
        """
        async with factory() as session:
            await session.scalar(text("SELECT 1"))
            await session.scalar(text("SELECT 1"))
        kept.append(session)
        """,
    ),
    "SG202 ": (
        """
        async with factory.begin() as session:
            await session.scalar(text("SELECT 1"))
        await session.scalar(text("SELECT 1"))
        await session.close()
        """,
        """
        async with factory.begin() as session:
            await session.scalar(text("SELECT 1"))
        await session.close()
        """,
    ),
}


def body(code: str) -> str:
    import textwrap

    return textwrap.indent(textwrap.dedent(code).strip(), "    ")


def write_suite(faulty: str, healthy: str, *, name: str, is_async: bool) -> dict[str, str]:
    word = "async def" if is_async else "def"
    mark = f'@pytest.mark.sessionguard(ignore="{name}", reason="known since last year")'
    tests = (
        f"{word} test_bad():\n{body(faulty)}\n\n"
        f"{word} test_good():\n{body(healthy)}\n\n"
        f"{mark}\n{word} test_old():\n{body(faulty)}\n\n"
        f"{word} test_new():\n{body(faulty)}\n"
    )
    names = "AsyncSession" if is_async else "Session"
    head = f"import pytest\nfrom app import {names}, engine, factory, kept, text\n\n"
    return {
        "app.py": ASYNC_APP if is_async else APP,
        "pytest.ini": ASYNC_INI,
        "test_x.py": head + tests,
    }


@pytest.mark.parametrize("case", FAULTS)
def test_sync(project, case):
    """Found in a bad test; silent in its twin and where accepted; found again beside that."""
    code = case.strip()
    run = project(write_suite(*FAULTS[case], name=code, is_async=False)).run()
    assert run.found == [f"{code} test_bad", f"{code} test_new"]
    assert run.results["test_good"] == run.results["test_old"] == "passed"
    assert run.exit == (0 if code == "SG201" else 1)


@pytest.mark.parametrize("case", ASYNC_FAULTS)
def test_async(project, case):
    """The same with aiosqlite."""
    code = case.strip()
    run = project(write_suite(*ASYNC_FAULTS[case], name=code, is_async=True)).run()
    assert run.found == [f"{code} test_bad", f"{code} test_new"]
    assert run.results["test_good"] == run.results["test_old"] == "passed"
    assert run.exit == (0 if code == "SG201" else 1)


def crossing_app(driver: str) -> str:
    return f"""
        import pytest
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import create_async_engine

        @pytest.fixture(autouse=True)
        def engine(sessionguard_postgres):
            engine = create_async_engine(sessionguard_postgres.url_for("{driver}"))
            yield engine
            engine.sync_engine.dispose(close=False)

        async def ask(engine):
            async with engine.connect() as connection:
                return await connection.scalar(text("SELECT 1"))

        async def ask_and_dispose(engine):
            try:
                return await ask(engine)
            finally:
                await engine.dispose()
    """


@pytest.mark.postgres
def test_across_loops(project):
    """SG103: an asyncpg connection of one loop that another takes; not where it was disposed of."""
    run = project(
        {
            "conftest.py": crossing_app("asyncpg"),
            "test_x.py": """
                import asyncio
                import pytest
                from conftest import ask, ask_and_dispose

                def cross(engine):
                    asyncio.run(ask(engine))
                    with pytest.raises(Exception):
                        asyncio.run(ask(engine))

                def test_bad(engine):
                    cross(engine)

                def test_good(engine):
                    asyncio.run(ask_and_dispose(engine))
                    asyncio.run(ask_and_dispose(engine))

                @pytest.mark.sessionguard(ignore="SG103", reason="known since last year")
                def test_old(engine):
                    cross(engine)

                def test_new(engine):
                    cross(engine)
            """,
        }
    ).run("-o", "sessionguard_postgres=embedded", "-Wignore", subprocess=True)
    assert run.found == ["SG103 test_bad", "SG103 test_new"]
    assert run.results["test_good"] == run.results["test_old"] == "passed"
    assert run.shows(
        """
        SG103 connection-across-loops: 1 connection was opened under another event loop than that of test_bad

          checked out   conftest.py:12 in ask  (engine postgresql+asyncpg, pool 5+10)
          opened        conftest.py:12 in ask, in the loop of test_bad

          asyncpg ties a connection to its loop: the first statement fails, or waits for ever.
          Fix: `await engine.dispose()` before a loop ends, or use one loop for all that share it.
          Accept: @pytest.mark.sessionguard(ignore="connection-across-loops", reason="...") or the baseline.
        """
    )


@pytest.mark.postgres
def test_across_loops_that_may(project):
    """SG103 leaves psycopg alone, whose connections work under any loop."""
    run = project(
        {
            "conftest.py": crossing_app("psycopg"),
            "test_x.py": """
                import asyncio
                from conftest import ask

                def test_twice(engine):
                    assert asyncio.run(ask(engine)) == asyncio.run(ask(engine)) == 1
            """,
        }
    ).run("-o", "sessionguard_postgres=embedded", "-Wignore", subprocess=True)
    assert run.is_clean()


def test_aiosqlite_across_loops(project):
    """So are aiosqlite's."""
    run = project(
        {
            "app.py": ASYNC_APP,
            "test_x.py": """
                import asyncio
                from app import fine

                def test_twice():
                    assert asyncio.run(fine()) == asyncio.run(fine()) == 1
            """,
        }
    ).run()
    assert run.is_clean()


def test_places_are_told_apart(project):
    """Leaks at two places are two findings, two leaks at one place are one that counts them."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import engine, kept

                def test_a():
                    for _ in range(3):
                        kept.append(engine.connect())
                    kept.append(engine.connect())
            """,
        }
    ).run()
    assert [(f.site.frames[0].line, f.facts["count"]) for f in run.findings] == [(5, 3), (6, 1)]


def test_ignored_rule_does_not_pass_it_on(project):
    """A session that is accepted as SG202 does not come back as SG101 or SG201."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import use_after

                @pytest.mark.sessionguard(ignore="SG202", reason="known")
                def test_a():
                    use_after()
            """,
        }
    ).run()
    assert run.found == []


def test_ignored_lease_does_not_pass_it_on(project):
    """A lease that is accepted as SG101 does not come back as SG201, its session's."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import Session, engine, kept, text

                @pytest.mark.sessionguard(ignore="SG101", reason="known")
                def test_a():
                    kept.append(Session(engine))
                    kept[0].execute(text("SELECT 1"))
            """,
        }
    ).run()
    assert run.found == []


def test_close_that_raises(project):
    """A session whose close raised was closed by its user: no SG201."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import Session, engine
                from sqlalchemy import event

                def refuse(*args):
                    raise ValueError("mine")

                def test_block():
                    with pytest.raises(ValueError, match="mine"):
                        with Session(engine) as session:
                            session.connection()
                            event.listen(session, "after_transaction_end", refuse)
            """,
        }
    ).run()
    assert run.is_clean()
