"""assert_dependency_closes on real Postgres: what the server sees afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pytest_sessionguard import DependencyError, assert_dependency_closes

pytestmark = pytest.mark.postgres
TIGHT = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 2}
BUSY = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
)


@pytest.mark.parametrize("driver", ("asyncpg", "psycopg"))
def test_async(driver: str, sessionguard_postgres: Any) -> None:
    """The faulty is told, the mended is not, and no transaction is left on the server."""
    engine = create_async_engine(sessionguard_postgres.url_for(driver), **TIGHT)
    other = create_async_engine(sessionguard_postgres.url_for(driver), **TIGHT)

    async def faulty() -> Any:
        session = AsyncSession(engine)
        yield session
        await session.close()

    async def mended() -> Any:
        async with AsyncSession(engine) as session:
            yield session

    async def run() -> None:
        async with other.connect() as connection:
            await assert_dependency_closes(mended)
            with pytest.raises(DependencyError):
                await assert_dependency_closes(faulty)
            assert 0 == await connection.scalar(BUSY)
        assert 0 == engine.pool.checkedout()
        await engine.dispose()
        await other.dispose()

    asyncio.run(run())


def test_sync(sessionguard_postgres: Any) -> None:
    """The same for psycopg."""
    engine = create_engine(sessionguard_postgres.url_for("psycopg"), **TIGHT)
    other = create_engine(sessionguard_postgres.url_for("psycopg"), **TIGHT)

    def faulty() -> Any:
        session = Session(engine)
        yield session
        session.close()

    def mended() -> Any:
        with Session(engine) as session:
            yield session

    with other.connect() as connection:
        assert_dependency_closes(mended)
        with pytest.raises(DependencyError):
            assert_dependency_closes(faulty)
        assert 0 == connection.scalar(BUSY)
    assert 0 == engine.pool.checkedout()
    engine.dispose()
    other.dispose()
