"""Healthy ways to share a session, none of which may be told."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.from_thread
import pytest
from anyio import to_thread
from loads.zoo import Author
from sharing.conftest import ONE, SLOW, run
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("starlette.testclient")
ROWS = select(Author).order_by(Author.id)


async def use(session: Any) -> Any:
    return await session.scalar(ONE)


def silent(main: Any) -> Any:
    """Make a test of a coroutine function that gets an async engine."""

    def test(async_engine: Any, findings: Any) -> None:
        run(main, async_engine)
        assert [] == findings()

    test.__doc__ = main.__doc__
    return test


@silent
async def test_one_after_the_other(engine: Any) -> None:
    """Child tasks that take turns, and the block's end, for which SQLAlchemy makes a task."""
    for _ in range(3):
        async with AsyncSession(engine) as session:
            await use(session)
            for _ in range(3):
                await asyncio.create_task(use(session))
            await session.commit()


@silent
async def test_gather_with_a_lock(engine: Any) -> None:
    """Ten tasks that wait for each other."""
    lock = asyncio.Lock()

    async def work(session: Any) -> None:
        async with lock:
            await session.execute(SLOW)
            await session.commit()

    async with AsyncSession(engine) as session:
        await asyncio.gather(*(work(session) for _ in range(10)))


@silent
async def test_a_session_for_each(engine: Any) -> None:
    """A gather of tasks with sessions of their own."""

    async def work() -> None:
        async with AsyncSession(engine) as session, session.begin():
            await use(session)

    await asyncio.gather(*(work() for _ in range(20)))


@silent
async def test_registry_of_tasks(engine: Any) -> None:
    """A registry whose scope is the task."""
    registry = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)

    async def work() -> None:
        await registry.execute(SLOW)
        await registry.remove()

    await asyncio.gather(*(work() for _ in range(5)))


@silent
async def test_wait_for_and_timeout(engine: Any) -> None:
    """`wait_for` makes a task of its own up to Python 3.11."""
    async with AsyncSession(engine) as session:
        await asyncio.wait_for(use(session), 5)
        with anyio.fail_after(5):
            await use(session)
        await session.rollback()
        await use(session)


@silent
async def test_a_cancelled_task(engine: Any) -> None:
    """A task that is cancelled in a statement, and waited for."""
    async with AsyncSession(engine) as session:
        task = asyncio.create_task(use(session))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await session.rollback()
        await use(session)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not tell who is cancelled")
@silent
async def test_a_cancelled_task_on_its_way_out(engine: Any) -> None:
    """A task that was cancelled and not waited for."""
    async with AsyncSession(engine) as session:
        await use(session)
        task = asyncio.create_task(use(session))
        await asyncio.sleep(0)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@silent
async def test_run_sync(engine: Any) -> None:
    """A function of the user's in SQLAlchemy's greenlet, with lazy loads and nested calls."""

    def work(session: Any) -> None:
        for author in session.scalars(ROWS):
            assert author.id
        session.commit()

    async with AsyncSession(engine) as session:
        await session.run_sync(work)
        await session.run_sync(lambda inner: inner.execute(ONE))


@silent
async def test_open_streams(engine: Any) -> None:
    """A result that stands open while the same task, or its child, executes another statement."""
    async with AsyncSession(engine) as session:
        async for author in await session.stream_scalars(ROWS):
            await use(session)
            await asyncio.create_task(use(session))
            if author.id > 2:
                break
        result = await session.stream(ROWS)
        await use(session)
        await result.close()


@silent
async def test_task_groups(engine: Any) -> None:
    """A group whose one task has the session; another one has its own."""

    async def own() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(SLOW)

    async with AsyncSession(engine) as session:
        await use(session)
        async with anyio.create_task_group() as group:
            group.start_soon(use, session)
            group.start_soon(own)
        await use(session)


@silent
async def test_handed_on_by_a_queue(engine: Any) -> None:
    """Workers that hand one session on, each when it has done with it."""
    queue: Any = asyncio.Queue()

    async def work() -> None:
        session = await queue.get()
        await session.execute(SLOW)
        await queue.put(session)

    async with AsyncSession(engine) as session:
        await queue.put(session)
        await asyncio.gather(*(work() for _ in range(5)))


@silent
async def test_blocks_that_close_twice(engine: Any) -> None:
    """Two blocks around one session, both of which close it when the task is cancelled."""

    @asynccontextmanager
    async def lend() -> Any:
        async with AsyncSession(engine) as session:
            try:
                yield session
            finally:
                await session.close()

    async def work() -> None:
        async with lend() as session, session:
            await use(session)
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await task


@silent
async def test_used_by_its_own_events(engine: Any) -> None:
    """A listener that executes with the session in the middle of its flush and commit."""
    async with AsyncSession(engine) as session:
        for name in ("before_flush", "after_flush", "before_commit"):
            event.listen(
                session.sync_session, name, lambda inner, *_: inner.connection().execute(ONE)
            )
        session.add(Author(id=901, name="new"))
        await session.commit()
        await session.rollback()


@silent
async def test_a_sync_session_in_threads_of_the_loop(engine: Any) -> None:
    """`to_thread`, asyncio's and anyio's, one after the other."""
    async with AsyncSession(engine) as session:
        await use(session)
        inner = session.sync_session
        for _ in range(3):
            await asyncio.to_thread(inner.expire_all)
            await to_thread.run_sync(inner.in_transaction)
            await use(session)


def test_an_abandoned_loop(async_engine: Any, findings: Any) -> None:
    """A task that waits in a statement of a loop that runs no more is in nobody's way."""
    loop = asyncio.new_event_loop()
    session = AsyncSession(async_engine)
    loop.run_until_complete(use(session))
    task = loop.create_task(session.execute(SLOW))
    loop.run_until_complete(asyncio.sleep(0.02))
    session.sync_session.get_transaction()
    with suppress(Exception):
        asyncio.run(session.rollback())
    with suppress(Exception):
        loop.run_until_complete(task)
    loop.run_until_complete(session.close())
    loop.run_until_complete(async_engine.dispose())
    loop.close()
    assert [] == [f for f in findings() if f.rule == "SG203"]


def test_a_task_that_the_collector_kills(async_engine: Any, findings: Any) -> None:
    """A greenlet that died in the middle of a statement has left a mark, and accuses nobody."""
    session = AsyncSession(async_engine)

    async def start() -> None:
        await use(session)
        work = session.execute(SLOW)
        work.send(None)  # type: ignore[attr-defined]
        with suppress(RuntimeError):  # SQLAlchemy cleans up in it, and so ignores its end
            work.close()
        del work
        gc.collect()

    async def main() -> None:
        await start()
        await asyncio.sleep(0.15)
        await session.rollback()
        await use(session)
        await session.close()
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == findings()


def test_threads_that_take_turns(engine: Any, findings: Any) -> None:
    """Three threads with a lock, and an executor that does one thing after another."""
    lock = threading.Lock()
    with Session(engine) as session:

        def work() -> None:
            for _ in range(30):
                with lock:
                    session.scalars(ROWS).all()
                    session.commit()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ThreadPoolExecutor() as executor:
            for _ in range(20):
                executor.submit(session.scalar, ONE).result()
                session.rollback()
    assert [] == findings()


def test_a_failed_statement(engine: Any, findings: Any) -> None:
    """What an exception leaves behind accuses nobody, of whatever kind it is."""

    class Stop(BaseException):
        pass

    def fail(*_: Any) -> None:
        raise Stop

    with Session(engine) as session:
        session.execute(ONE)
        event.listen(engine, "before_cursor_execute", fail)
        thread = threading.Thread(target=lambda: suppress(Stop).__enter__())
        thread.start()
        thread.join()
        with pytest.raises(Stop):
            session.execute(ONE)
        event.remove(engine, "before_cursor_execute", fail)
        with ThreadPoolExecutor() as executor:
            executor.submit(session.rollback).result()
            executor.submit(session.scalar, ONE).result()
    assert [] == findings()


def make_app(get_session: Any, *, is_async: bool) -> Any:
    app = fastapi.FastAPI()
    depends = fastapi.Depends(get_session)

    if is_async:

        @app.get("/")
        async def read(session: Any = depends) -> Any:
            return await session.scalar(ONE)

    else:

        @app.get("/")
        def read_sync(session: Any = depends) -> Any:
            return session.scalar(ONE)

    return app


def test_sync_endpoints(engine: Any, findings: Any) -> None:
    """Dependency and endpoint run in threads of the pool; the client in a portal's."""

    def get_session() -> Any:
        with Session(engine) as session:
            session.execute(ONE)
            yield session
            session.commit()

    with testclient.TestClient(make_app(get_session, is_async=False)) as client:
        assert [200] * 5 == [client.get("/").status_code for _ in range(5)]
    assert [] == findings()


def test_the_tests_own_session(engine: Any, findings: Any) -> None:
    """A test lends its session to the app, and uses it between the requests."""
    with Session(engine) as session:
        app = make_app(lambda: session, is_async=False)
        with testclient.TestClient(app) as client:
            for _ in range(5):
                session.scalars(ROWS).all()
                assert 200 == client.get("/").status_code
                session.rollback()
    assert [] == findings()


@silent
async def test_async_endpoints(engine: Any) -> None:
    """Requests at the same time, each with a session of its own."""

    async def get_session() -> Any:
        async with AsyncSession(engine) as session:
            yield session

    transport = httpx.ASGITransport(app=make_app(get_session, is_async=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(10)))
    assert {200} == {answer.status_code for answer in answers}


def test_a_portal(async_engine: Any, findings: Any) -> None:
    """A thread that has a loop in another one work with the session, and waits for it."""
    with anyio.from_thread.start_blocking_portal() as portal:
        session = AsyncSession(async_engine)
        for _ in range(3):
            portal.call(use, session)
        portal.call(session.close)
        portal.call(async_engine.dispose)
    assert [] == findings()
