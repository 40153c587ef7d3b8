"""Every pool with async drivers, and every way in which a lease ends."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import AssertionPool, AsyncAdaptedQueuePool, NullPool, StaticPool
from sqlalchemy.util import greenlet_spawn

OUT = {"out": 1, "lost": 0}
LOST = {"out": 0, "lost": 1}
RETURNED = {"out": 0, "lost": 0}
ONE = text("SELECT 1")

Keep = list[Any]


async def close_without_transaction(engine: Any, keep: Keep) -> None:
    connection = await engine.connect()
    await connection.close()


async def close_with_transaction(engine: Any, keep: Keep) -> None:
    connection = await engine.connect()
    await connection.execute(ONE)
    await connection.close()


async def leave_block(engine: Any, keep: Keep) -> None:
    async with engine.begin() as connection:
        await connection.execute(ONE)


async def leave_block_cancelled(engine: Any, keep: Keep) -> None:
    async def wait() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def keep_connection(engine: Any, keep: Keep) -> None:
    keep.append(await engine.connect())


async def keep_with_transaction(engine: Any, keep: Keep) -> None:
    keep.append(await engine.connect())
    await keep[0].execute(ONE)


async def keep_session(engine: Any, keep: Keep) -> None:
    keep.append(AsyncSession(engine))
    await keep[0].execute(ONE)


async def keep_session_after_commit(engine: Any, keep: Keep) -> None:
    keep.append(AsyncSession(engine))
    await keep[0].execute(ONE)
    await keep[0].commit()


async def keep_open_stream(engine: Any, keep: Keep) -> None:
    keep.append(AsyncSession(engine))
    await keep[0].stream(ONE)


async def drop_connection(engine: Any, keep: Keep) -> None:
    await engine.connect()


async def drop_with_transaction(engine: Any, keep: Keep) -> None:
    connection = await engine.connect()
    await connection.execute(ONE)


async def drop_in_cycle(engine: Any, keep: Keep) -> None:
    class Holder:
        pass

    holder: Any = Holder()
    holder.me = holder
    holder.connection = await engine.connect()


async def drop_session(engine: Any, keep: Keep) -> None:
    await AsyncSession(engine).execute(ONE)


async def invalidate_and_close(engine: Any, keep: Keep) -> None:
    connection = await engine.connect()
    await connection.invalidate()
    await connection.close()


async def invalidate_and_use_again(engine: Any, keep: Keep) -> None:
    keep.append(await engine.connect())
    await keep[0].invalidate()
    await keep[0].execute(ONE)


async def raise_in_other_listener(engine: Any, keep: Keep) -> None:
    def refuse(dbapi: Any, record: Any, proxy: Any) -> None:
        raise ZeroDivisionError

    event.listen(engine.sync_engine, "checkout", refuse)
    with pytest.raises(ZeroDivisionError):
        await engine.connect()


async def close_raw(engine: Any, keep: Keep) -> None:
    proxy = await engine.raw_connection()
    await greenlet_spawn(proxy.close)


async def drop_raw(engine: Any, keep: Keep) -> None:
    await engine.raw_connection()


async def dispose_while_out(engine: Any, keep: Keep) -> None:
    keep.append(await engine.connect())
    await engine.dispose()


async def dispose_and_drop(engine: Any, keep: Keep) -> None:
    connection = await engine.connect()
    await engine.dispose()
    del connection


async def use_recreated_pool(engine: Any, keep: Keep) -> None:
    async with engine.connect():
        pass
    await engine.dispose()
    keep.append(await engine.connect())


async def close_in_a_task_of_its_own(engine: Any, keep: Keep) -> None:
    connection = await engine.connect()
    await asyncio.create_task(connection.close())


Case = Callable[[Any, Keep], Awaitable[None]]
CASES: list[tuple[Case, dict[str, int]]] = [
    (close_without_transaction, RETURNED),
    (close_with_transaction, RETURNED),
    (leave_block, RETURNED),
    (leave_block_cancelled, RETURNED),
    (keep_connection, OUT),
    (keep_with_transaction, OUT),
    (keep_session, OUT),
    (keep_session_after_commit, RETURNED),
    (keep_open_stream, OUT),
    (drop_connection, LOST),
    (drop_with_transaction, LOST),
    (drop_in_cycle, LOST),
    (drop_session, LOST),
    (invalidate_and_close, RETURNED),
    (invalidate_and_use_again, OUT),
    (raise_in_other_listener, RETURNED),
    (close_raw, RETURNED),
    (drop_raw, LOST),
    (dispose_while_out, OUT),
    (dispose_and_drop, LOST),
    (use_recreated_pool, OUT),
    (close_in_a_task_of_its_own, RETURNED),
]

# AssertionPool refuses to be disposed of while its one connection is out.
UNDISPOSABLE = {dispose_while_out, dispose_and_drop}
SQLITE = [AsyncAdaptedQueuePool, NullPool, StaticPool, AssertionPool]
POSTGRES = [AsyncAdaptedQueuePool, NullPool]


def each(pools: list[Any]) -> list[Any]:
    """Every case with every pool that can do it."""
    return [
        pytest.param(pool, case, expected, id=f"{case.__name__}-{pool.__name__}")
        for case, expected in CASES
        for pool in pools
        if not (pool is AssertionPool and case in UNDISPOSABLE)
    ]


async def workers_end() -> None:
    """Wait for the threads of dropped aiosqlite connections, which still talk to the loop."""
    for _ in range(400):
        if not any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
            break
        await asyncio.sleep(0.005)


def check(watching: Any, collect: Any, url: str, pool: Any, case: Any, expected: Any) -> None:
    keep: Keep = []

    async def run() -> None:
        engine = create_async_engine(url, poolclass=pool)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is dropped on purpose
            await case(engine, keep)
            collect()
            assert expected == watching.fates
            assert expected["out"] == len(watching.account.leases)
            for thing in keep:
                await thing.close()
            assert 0 == watching.fates["out"]
            assert {} == watching.ledger.out
            await engine.dispose()
            collect()
            await workers_end()

    asyncio.run(run())


@pytest.mark.parametrize(("pool", "case", "expected"), each(SQLITE))
def test_aiosqlite(
    pool: Any, case: Any, expected: Any, watching: Any, collect: Any, database: str
) -> None:
    """The ledger knows the fate of a lease of every pool with aiosqlite."""
    check(watching, collect, f"sqlite+aiosqlite://{database}", pool, case, expected)


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(("pool", "case", "expected"), each(POSTGRES))
def test_postgres(
    driver: str,
    pool: Any,
    case: Any,
    expected: Any,
    watching: Any,
    collect: Any,
    sessionguard_postgres: Any,
) -> None:
    """The ledger knows the fate of a lease of every pool with asyncpg and async psycopg."""
    check(watching, collect, sessionguard_postgres.url_for(driver), pool, case, expected)


@pytest.mark.parametrize(
    ("pool", "out"),
    [(AsyncAdaptedQueuePool, 2), (NullPool, 2), (StaticPool, 2)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nested_checkouts(pool: Any, out: int, watching: Any, database: str) -> None:
    """Two checkouts at a time are two leases, one of which is left when the other ends."""

    async def run() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}", poolclass=pool)
        outer, inner = await engine.connect(), await engine.connect()
        assert out == watching.fates["out"]
        await inner.close()
        assert 1 == watching.fates["out"]
        await outer.close()
        assert RETURNED == watching.fates
        await engine.dispose()

    asyncio.run(run())


def test_a_lost_lease_after_its_loop_was_closed(watching: Any, collect: Any, database: str) -> None:
    """A connection that is collected when its loop is gone is lost like any other."""
    keep: Keep = []

    async def run() -> Any:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}")
        keep.append(await engine.connect())
        return engine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = asyncio.run(run())
        assert OUT == watching.fates
        keep.clear()
        collect()
        assert LOST == watching.fates
        engine.sync_engine.dispose(close=False)
        del engine
        collect()


def test_facts_of_an_async_pool(watching: Any, database: str) -> None:
    """The ledger knows an async pool's driver and its numbers."""

    async def run() -> Any:
        url = f"sqlite+aiosqlite://{database}"
        engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=2)
        async with engine.connect():
            pool = watching.lease.pool
        await engine.dispose()
        return (pool.engine, pool.kind, pool.size, pool.overflow, pool.timeout, pool.loop_bound)

    expected = ("sqlite+aiosqlite", "AsyncAdaptedQueuePool", 1, 0, 2, False)
    assert expected == asyncio.run(run())


def test_ten_tasks_hold_ten_leases_and_return_them(watching: Any, database: str) -> None:
    """Leases of concurrent tasks are told apart, and each session's lease is its own."""

    async def run() -> None:
        url = f"sqlite+aiosqlite://{database}"
        engine = create_async_engine(url, pool_size=10)
        everybody = asyncio.Barrier(10) if hasattr(asyncio, "Barrier") else None
        seen: list[tuple[Any, Any]] = []

        async def work() -> None:
            async with AsyncSession(engine) as session:
                connection = await session.connection()
                proxy = await connection.get_raw_connection()
                lease = watching.ledger.find_lease(proxy)
                seen.append((lease.session, watching.record(session)))
                if everybody is not None:
                    await everybody.wait()
                    assert 10 == watching.fates["out"]

        await asyncio.gather(*(work() for _ in range(10)))
        assert 10 == len(seen)
        assert all(found is own for found, own in seen)
        assert RETURNED == watching.fates
        await engine.dispose()

    asyncio.run(run())
