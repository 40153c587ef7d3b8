"""SG105: what a real Postgres still does for a connection that its pool has given up."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pytest_sessionguard.accounts import Address
from pytest_sessionguard.watch import monitor as monitor_module
from pytest_sessionguard.watch.monitor import AsyncpgAsker, Monitor, SyncAsker

APP = """
    import asyncio

    from sqlalchemy import create_engine, text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    ONE = text("SELECT 1")
    SLEEP = text("SELECT pg_sleep(15)")
    LOCK = text("SELECT pg_advisory_lock(7)")
    kept = []

    async def sleep(engine):
        async with AsyncSession(engine) as session:
            await session.execute(SLEEP)

    async def cancel(engine, times):
        async with engine.connect() as connection:
            await connection.execute(ONE)
        task = asyncio.create_task(sleep(engine))
        await asyncio.sleep(1)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(task, return_exceptions=True)

    async def cancel_once(engine):
        await cancel(engine, 1)

    async def cancel_twice(engine):
        await cancel(engine, 2)

    async def invalidate(engine):
        async with engine.connect() as connection:
            await connection.execute(ONE)
            await connection.invalidate()

    async def ask(engine):
        async with engine.connect() as connection:
            await connection.execute(ONE)

    def take_aside(engine):
        connection = engine.connect()
        connection.execute(ONE)
        connection.detach()
        kept.append(connection)

    def lock(engine):
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(LOCK)
        connection.detach()
        kept.append(connection)

    def close_aside(engine):
        with engine.connect() as connection:
            connection.execute(ONE)
            connection.detach()

    def keep_idle(engine):
        connection = engine.connect()
        connection.execute(ONE)
        connection.commit()
        connection.detach()
        kept.append(connection)
"""
INI = "[pytest]\nasyncio_mode = auto\nsessionguard_postgres = embedded\n"


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_async(project, driver):
    """A query that is cancelled twice runs on in its backend; cancelled once it does not."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": f"""
                import pytest
                from app import *

                @pytest.fixture
                async def engine(sessionguard_postgres):
                    engine = create_async_engine(sessionguard_postgres.url_for("{driver}"))
                    yield engine
                    await engine.dispose()

                @pytest.mark.parametrize("work", (cancel_once, cancel_twice, invalidate, ask))
                async def test_it(work, engine):
                    await work(engine)
                    assert 0 == engine.pool.checkedout()

                @pytest.mark.sessionguard(ignore="SG105", reason="known since last year")
                async def test_old(engine):
                    await cancel_twice(engine)

                async def test_new(engine):
                    await cancel_twice(engine)

                async def test_last(engine):
                    # The database is dropped at the end of the last test, and every backend with it.
                    await ask(engine)
            """,
            "pytest.ini": INI,
        }
    ).run("-v", subprocess=True)
    assert ["SG105 test_it[cancel_twice]", "SG105 test_new"] == run.found, run.text
    assert (0, "") == (run.exit, run.fault)
    assert "could not be asked" not in run.text
    assert run.shows(
        f"""
        SG105 open-server-transaction: 1 transaction was left open on the server after test_it[cancel_twice]

          checked out   app.py:13 in sleep  (engine postgresql+{driver})
          session       AsyncSession opened at app.py:12 in sleep
          closed        the block of app.py:12 in sleep, which ends at line 13

          Its query was cancelled and its pool gave it up; its backend is active, and nobody ends it.
          Fix: await a cancelled task, and do not cancel it again while it closes its connection.
          Accept: @pytest.mark.sessionguard(ignore="open-server-transaction", reason="...") or the baseline.
        """
    )


@pytest.mark.postgres
def test_taken_aside(project):
    """A detached connection that keeps a transaction, or a lock; not one that was closed, or idles."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture
                def engine(sessionguard_postgres):
                    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
                    yield engine
                    engine.dispose()

                @pytest.fixture
                def closed():
                    yield
                    while kept:
                        kept.pop().close()

                @pytest.mark.parametrize("work", (take_aside, lock, close_aside, keep_idle))
                def test_it(work, engine):
                    work(engine)

                def test_closed_by_its_fixture(engine, closed):
                    take_aside(engine)
            """,
            "pytest.ini": INI,
        }
    ).run(subprocess=True)
    assert ["SG105 test_it[lock]", "SG105 test_it[take_aside]"] == run.found, run.text
    assert "its backend is idle with 1 advisory lock, and nobody ends it." in run.text
    assert "its backend is idle in transaction, and nobody ends it." in run.text


@pytest.mark.postgres
def test_a_server_that_cannot_be_asked(project):
    """It is tried once, told at `-v` in one line, and changes nothing."""
    run = project(
        {
            "app.py": APP,
            "conftest.py": """
                from pytest_sessionguard.watch import monitor

                class Refusing:
                    def __init__(self, address):
                        raise ConnectionRefusedError("password hunter2")

                monitor._find_asker = lambda: Refusing
            """,
            "test_x.py": """
                import pytest
                from app import *

                @pytest.fixture
                def engine(sessionguard_postgres):
                    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
                    yield engine
                    engine.dispose()

                @pytest.mark.parametrize("number", range(3))
                def test_it(engine, number):
                    take_aside(engine)
            """,
            "pytest.ini": INI,
        }
    ).run("-v", subprocess=True)
    assert ([], 0, "") == (run.found, run.exit, run.fault), run.text
    assert (
        "sessionguard: the Postgres server could not be asked (ConnectionRefusedError): "
        "SG105 judged nothing since"
    ) in run.text
    assert "hunter2" not in run.text


@pytest.fixture
def address(sessionguard_postgres):
    url = make_url(str(sessionguard_postgres.url_for("psycopg").render_as_string(False)))
    return Address(url.host, url.port, url.username, url.password, url.database)


@pytest.fixture
def backend(sessionguard_postgres):
    """A connection in a transaction that holds a lock, and its pid."""
    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(11)"))
        yield connection.scalar(text("SELECT pg_backend_pid()"))
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("psycopg", "asyncpg"))
def test_monitor(driver, address, backend, monkeypatch):
    """With either driver: the state of a backend and its locks; a free one and a gone one are none."""
    import psycopg

    asker = AsyncpgAsker if driver == "asyncpg" else lambda where: SyncAsker(psycopg, where)
    monkeypatch.setattr(monitor_module, "_find_asker", lambda: asker)
    threads = set(threading.enumerate())
    monitor = Monitor()
    assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend, 1])
    assert {} == monitor.ask(address, [1])
    (connection,) = monitor._askers.values()
    monitor.close()
    assert "" == monitor.trouble
    assert threads == set(threading.enumerate())
    assert {} == monitor._askers
    assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend])
    assert connection not in monitor._askers.values()
    # One that somebody has cut is opened anew.
    for kept in monitor._askers.values():
        kept.close()
    assert {backend: ("idle in transaction", 1)} == monitor.ask(address, [backend])
    monitor.close()
    assert "" == monitor.trouble


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ("psycopg", "asyncpg"))
def test_monitor_that_fails(driver, address, monkeypatch):
    """The first failure is kept by its name, and nothing is tried again; no thread is left."""
    import psycopg

    asker = AsyncpgAsker if driver == "asyncpg" else lambda where: SyncAsker(psycopg, where)
    tries = []
    monkeypatch.setattr(
        monitor_module, "_find_asker", lambda: lambda where: tries.append(where) or asker(where)
    )
    threads = set(threading.enumerate())
    monitor = Monitor()
    wrong = address._replace(database="there_is_none")
    assert {} == monitor.ask(wrong, [1]) == monitor.ask(address, [1])
    assert [wrong] == tries
    assert "Error" in monitor.trouble and "there_is_none" not in monitor.trouble
    monitor.close()
    assert threads == set(threading.enumerate())


def test_address_hides_its_password():
    """What a traceback or a debugger shows of it has no password."""
    assert "hunter2" not in repr(Address("localhost", 5432, "me", "hunter2", "db"))
