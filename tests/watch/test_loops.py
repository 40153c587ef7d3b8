"""Connections that are opened under one event loop and checked out under another."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import warnings
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

ONE = text("SELECT 1")
HERE = "tests/watch/test_loops.py"

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:pytest.PytestUnraisableExceptionWarning",
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    "ignore::ResourceWarning",
)


async def ask(engine: Any) -> None:
    async with engine.connect() as connection:  # taken
        await connection.execute(ONE)


async def ask_by_session(engine: Any) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(ONE)  # taken


async def take_and_return(engine: Any) -> None:
    connection = await engine.connect()  # taken
    await connection.close()


def run_in_two_loops(url: str, work: Any = ask, collect: Any = None, **options: Any) -> None:
    """Use one engine under two loops, and let go of its connections."""
    engine = create_async_engine(url, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(work(engine))
        with contextlib.suppress(RuntimeError, InterfaceError):
            asyncio.run(work(engine))
        engine.sync_engine.dispose(close=False)
        del engine
        collect()


def line_of(function: Any) -> int:
    lines, first = inspect.getsourcelines(function)
    (found,) = [number for number, line in enumerate(lines, first) if "# taken" in line]
    return found


@pytest.mark.postgres
@pytest.mark.parametrize("pre_ping", [False, True], ids=["plain", "pre_ping"])
@pytest.mark.parametrize("work", [ask, ask_by_session, take_and_return], ids=lambda w: w.__name__)
def test_asyncpg(
    work: Any, pre_ping: bool, watching: Any, collect: Any, sessionguard_postgres: Any
) -> None:
    """An asyncpg connection that crosses is told once, with its checkout and its opening."""
    url = sessionguard_postgres.url_for("asyncpg")
    run_in_two_loops(url, work, collect, pool_pre_ping=pre_ping)
    (crossing,) = watching.account.crossings
    here = (HERE, line_of(work), work.__name__)
    assert [here, here] == [watching.where(crossing)[0], watching.where(crossing.birth)[0]]
    assert "postgresql+asyncpg" == crossing.pool.engine
    assert "test_it" == crossing.birth.owner.name
    assert ["SG103"] == [finding.rule for finding in watching.end() if finding.rule == "SG103"]


@pytest.mark.postgres
def test_asyncpg_without_a_pool(watching: Any, collect: Any, sessionguard_postgres: Any) -> None:
    """A NullPool keeps no connection that could cross."""
    url = sessionguard_postgres.url_for("asyncpg")
    run_in_two_loops(url, ask, collect, poolclass=NullPool)
    assert [] == watching.account.crossings
    assert [] == watching.end()


@pytest.mark.postgres
def test_asyncpg_disposed_between(watching: Any, sessionguard_postgres: Any) -> None:
    """An engine that is disposed of before its loop ends hands out no foreign connection."""
    engine = create_async_engine(sessionguard_postgres.url_for("asyncpg"))

    async def work() -> None:
        await ask(engine)
        await engine.dispose()

    asyncio.run(work())
    asyncio.run(work())
    assert [] == watching.account.crossings
    assert [] == watching.end()


@pytest.mark.postgres
def test_asyncpg_in_one_loop(watching: Any, sessionguard_postgres: Any) -> None:
    """Many tasks of one loop share a pool by right, also where a ping finds the server gone."""

    async def work() -> None:
        url = sessionguard_postgres.url_for("asyncpg")
        engine = create_async_engine(url, pool_size=2, pool_pre_ping=True)
        await asyncio.gather(*(ask(engine) for _ in range(5)))
        async with engine.connect() as connection:
            await connection.invalidate()
        await asyncio.create_task(ask(engine))
        await engine.dispose()

    asyncio.run(work())
    assert [] == watching.account.crossings
    assert [] == watching.end()


@pytest.mark.postgres
@pytest.mark.parametrize("pre_ping", [False, True], ids=["plain", "pre_ping"])
def test_psycopg(pre_ping: bool, watching: Any, sessionguard_postgres: Any) -> None:
    """psycopg works under any loop: its connections may cross."""
    engine = create_async_engine(sessionguard_postgres.url_for("psycopg"), pool_pre_ping=pre_ping)
    asyncio.run(ask(engine))
    asyncio.run(ask(engine))
    asyncio.run(engine.dispose())
    assert [] == watching.account.crossings
    assert [] == watching.end()


@pytest.mark.parametrize("pre_ping", [False, True], ids=["plain", "pre_ping"])
def test_aiosqlite(pre_ping: bool, watching: Any, database: str) -> None:
    """So does aiosqlite."""
    engine = create_async_engine(f"sqlite+aiosqlite://{database}", pool_pre_ping=pre_ping)
    asyncio.run(ask(engine))
    asyncio.run(ask(engine))
    asyncio.run(engine.dispose())
    assert [] == watching.account.crossings
    assert [] == watching.end()


@pytest.mark.postgres
def test_the_owner_of_the_second_loop_is_told(
    watching: Any, collect: Any, sessionguard_postgres: Any
) -> None:
    """The finding belongs to who met the foreign connection, and names who opened it."""
    from pytest_sessionguard.model import Owner

    engine = create_async_engine(sessionguard_postgres.url_for("asyncpg"))
    asyncio.run(take_and_return(engine))
    assert [] == watching.end()
    watching.guard.start_test(Owner("test", "test_two", nodeid="test_two"), {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(RuntimeError, InterfaceError):
            asyncio.run(take_and_return(engine))
        findings = watching.end()
        engine.sync_engine.dispose(close=False)
        del engine
        collect()
    (finding,) = [finding for finding in findings if finding.rule == "SG103"]
    assert "test_two" == finding.owner.name
    assert "{}, in the loop of test_it" == finding.places[1].text
