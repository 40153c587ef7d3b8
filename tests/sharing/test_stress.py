"""Thousands of healthy sessions over small pools: no finding, no deadlock, no lost record."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sharing.conftest import ONE
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, QueuePool

POOLS = (1, 5, 0)
IDS = ("pool of 1", "pool of 5", "no pool")


def arguments(size: int, pool: Any) -> dict[str, Any]:
    if not size:
        return {"poolclass": NullPool}
    return {"poolclass": pool, "pool_size": size, "max_overflow": 0, "pool_timeout": 60}


def sync_work(engine: Any, count: int) -> None:
    for _ in range(count):
        with Session(engine) as session:
            session.execute(ONE)
            session.commit()
            session.execute(ONE)


async def async_work(engine: Any, count: int) -> None:
    for _ in range(count):
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            await session.commit()
            await session.execute(ONE)


def nothing_is_left(watching: Any, sessions: int, before: int) -> bool:
    """Assert that the books are exact: each session counted, none open, no lease out."""
    account = watching.account
    assert sessions == watching.ledger.sessions - before
    assert {} == account.leases
    assert {} == account.sessions
    assert {} == {record: lease for record, lease in watching.ledger.out.items() if lease.is_out}
    assert [] == account.overlaps
    assert [] == watching.end()
    return True


@pytest.mark.parametrize("size", POOLS, ids=IDS)
def test_threads(size: int, watching: Any, database: str) -> None:
    """Ten threads with a hundred sessions each."""
    options = arguments(size, QueuePool)
    options["connect_args"] = {"check_same_thread": False}
    engine = create_engine(f"sqlite:///{database}", **options)
    before = watching.ledger.sessions
    with ThreadPoolExecutor(10) as executor:
        list(executor.map(lambda _: sync_work(engine, 100), range(10)))
    engine.dispose()
    assert nothing_is_left(watching, 1000, before)


@pytest.mark.parametrize("tasks", (10, 100, 500))
@pytest.mark.parametrize("size", POOLS, ids=IDS)
def test_tasks(size: int, tasks: int, watching: Any, database: str) -> None:
    """Many tasks at once, five hundred sessions in all."""
    if not size and tasks > 10:
        pytest.skip("as many threads of aiosqlite as tasks")
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{database}", **arguments(size, AsyncAdaptedQueuePool)
    )
    before = watching.ledger.sessions
    each = 500 // tasks

    async def main() -> None:
        await asyncio.gather(*(async_work(engine, each) for _ in range(tasks)))
        await engine.dispose()

    asyncio.run(main())
    assert nothing_is_left(watching, tasks * each, before)


@pytest.mark.parametrize("size", POOLS, ids=IDS)
def test_both(size: int, watching: Any, database: str) -> None:
    """Four threads, each with a loop of ten tasks, beside four with sync sessions."""
    options = arguments(size, QueuePool)
    options["connect_args"] = {"check_same_thread": False}
    engine = create_engine(f"sqlite:///{database}", **options)
    before = watching.ledger.sessions

    def loop(_: int) -> None:
        async def main() -> None:
            own = create_async_engine(
                f"sqlite+aiosqlite:///{database}", **arguments(size, AsyncAdaptedQueuePool)
            )
            await asyncio.gather(*(async_work(own, 5) for _ in range(10)))
            await own.dispose()

        asyncio.run(main())

    with ThreadPoolExecutor(8) as executor:
        works = [executor.submit(loop, number) for number in range(4)]
        works += [executor.submit(sync_work, engine, 50) for _ in range(4)]
        for work in works:
            work.result(60)
    engine.dispose()
    assert nothing_is_left(watching, 400, before)
