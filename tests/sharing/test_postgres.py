"""Two in one session on a real Postgres, whose drivers wait for each other, or refuse."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from sharing.conftest import ONE, run
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SLEEP = text("SELECT pg_sleep(0.1)")


@pytest.fixture(params=("asyncpg", "psycopg"))
def server_engine(request: Any, sessionguard_postgres: Any, watching: Any) -> Any:
    url = sessionguard_postgres.url_for(request.param)
    return create_async_engine(url, pool_size=1, max_overflow=1)


async def commit_later(session: Any) -> None:
    await asyncio.sleep(0.03)
    with suppress(SQLAlchemyError):
        await session.commit()


@pytest.mark.parametrize("how", ("fresh", "begun", "commit", "own"))
def test_gather(how: str, server_engine: Any, findings: Any) -> None:
    """A gather on a fresh and on a begun session, a slow query beside a commit; and the twin."""

    async def own(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(SLEEP)

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            if how != "fresh":
                await session.execute(ONE)
            works = {
                "fresh": lambda: (session.execute(ONE), session.execute(ONE)),
                "begun": lambda: (session.execute(SLEEP), session.execute(ONE)),
                "commit": lambda: (session.execute(SLEEP), commit_later(session)),
                "own": lambda: (own(engine), session.execute(SLEEP)),
            }[how]()
            await asyncio.gather(*works, return_exceptions=True)
            await session.rollback()

    run(main, server_engine)
    assert ([] if how == "own" else ["SG203"]) == [finding.rule for finding in findings()]


def test_cancelled_statements(server_engine: Any, findings: Any) -> None:
    """What ends too early is cancelled and waited for; the session goes on."""

    async def time_out(session: Any) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(session.execute(SLEEP), 0.02)
        with suppress(SQLAlchemyError):  # of a connection that the driver has closed
            await session.rollback()
        await session.execute(ONE)

    async def leave(session: Any) -> None:
        await session.execute(ONE)
        task = asyncio.create_task(session.execute(SLEEP))
        await asyncio.sleep(0.02)
        task.cancel()
        if sys.version_info < (3, 11):  # which does not tell that it is on its way out
            await asyncio.wait([task])

    async def main(engine: Any) -> None:
        for work in (time_out, time_out, leave):
            with suppress(SQLAlchemyError):
                async with AsyncSession(engine) as session:
                    await work(session)
            await asyncio.sleep(0.05)

    run(main, server_engine)
    assert [] == [f for f in findings() if f.rule == "SG203"]


@pytest.mark.parametrize("is_right", (False, True), ids=("fault", "twin"))
def test_threads(is_right: bool, sessionguard_postgres: Any, watching: Any, findings: Any) -> None:
    """Two threads in one session of psycopg, or one after the other."""
    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
    with Session(engine) as session:
        session.execute(ONE)

        def work() -> None:
            with suppress(SQLAlchemyError):
                session.execute(SLEEP)

        thread = threading.Thread(target=work)
        thread.start()
        if is_right:
            thread.join()
        else:
            threading.Event().wait(0.03)
        with suppress(SQLAlchemyError):
            session.commit()
        thread.join()
    engine.dispose()
    assert ([] if is_right else ["SG203"]) == [finding.rule for finding in findings()]
