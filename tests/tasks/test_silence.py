"""Healthy ways to share work and sessions, none of which may be told."""

from __future__ import annotations

import asyncio
import sys
import threading
import unittest
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio import to_thread
from loads.zoo import Author
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

ONE = select(Author.id).limit(1)


async def use(session: Any) -> Any:
    return await session.scalar(ONE)


def silent(main: Any) -> Any:
    """Make a test of a coroutine function that gets an async engine."""

    def test(async_engine: Any, found: Any) -> None:
        async def run() -> None:
            await main(async_engine)
            await async_engine.dispose()

        asyncio.run(run())
        assert [] == found()

    test.__doc__ = main.__doc__
    return test


@silent
async def test_gather_in_the_block(engine: Any) -> None:
    """Children that are waited for in the block, one after the other."""
    async with AsyncSession(engine) as session:
        for _ in range(3):
            await asyncio.gather(use(session))
        await asyncio.wait([asyncio.create_task(use(session))])


@silent
async def test_wait_for_and_timeout(engine: Any) -> None:
    """`wait_for` makes a task of its own up to Python 3.11, and waits for it."""
    async with AsyncSession(engine) as session:
        await asyncio.wait_for(use(session), 5)
        if sys.version_info >= (3, 11):
            async with asyncio.timeout(5):
                await use(session)
        with anyio.fail_after(5):
            await use(session)
        await asyncio.shield(use(session))


@silent
async def test_wait_for_that_times_out(engine: Any) -> None:
    """A child that is cancelled in the block, and ends there."""

    async def slow(session: Any) -> None:
        await asyncio.sleep(60)

    async with AsyncSession(engine) as session:
        await use(session)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(slow(session), 0.05)
        await use(session)


@silent
async def test_cancelled_at_the_end(engine: Any) -> None:
    """A child that the block's end only asks to stop, and that never uses the session again."""

    async def watch(session: Any) -> None:
        while True:
            await asyncio.sleep(60)

    async with AsyncSession(engine) as session:
        await use(session)
        before = asyncio.create_task(watch(session))
        after = asyncio.create_task(watch(session))
        await asyncio.sleep(0)
        before.cancel()
    after.cancel()
    await asyncio.wait([before, after])


@silent
async def test_closed_in_a_child(engine: Any) -> None:
    """A session that is closed in a task of its own, by whoever opened it."""
    session = AsyncSession(engine)
    await use(session)
    await asyncio.wait_for(session.close(), 5)
    session = AsyncSession(engine)
    await use(session)
    await asyncio.create_task(session.close())
    session = AsyncSession(engine)
    await use(session)
    await asyncio.shield(session.close())
    session = AsyncSession(engine)
    await use(session)
    await asyncio.gather(session.close())


@silent
async def test_handed_on_and_on(engine: Any) -> None:
    """A session that goes from hand to hand, and is closed by the last one."""

    async def last(session: Any) -> None:
        await use(session)
        await session.close()

    async def middle(session: Any) -> None:
        await asyncio.create_task(last(session))
        await asyncio.sleep(0)

    async def first(session: Any) -> None:
        await asyncio.wait_for(middle(session), 5)
        await asyncio.sleep(0)

    session = AsyncSession(engine)
    await use(session)
    await asyncio.create_task(first(session))


@silent
async def test_one_of_two_closes(engine: Any) -> None:
    """Of two tasks the last that needs it closes it, and the other does other things."""

    async def early(session: Any, used: Any) -> None:
        await use(session)
        used.set()
        await asyncio.sleep(0.05)

    async def late(session: Any, used: Any) -> None:
        await used.wait()
        await use(session)
        await session.close()

    session, used = AsyncSession(engine), asyncio.Event()
    await asyncio.gather(early(session, used), late(session, used))


@silent
async def test_closed_by_a_thread_of_the_task(engine: Any) -> None:
    """A task that has a thread close what it got, and waits for it."""

    async def own(session: Any) -> None:
        await to_thread.run_sync(session.close)
        await asyncio.sleep(0)

    await asyncio.create_task(own(Session(engine.sync_engine)))


@silent
async def test_workers_of_a_queue(engine: Any) -> None:
    """Workers with a session of their own each."""
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def worker() -> None:
        while True:
            number = await queue.get()
            async with AsyncSession(engine) as session:
                assert await session.get(Author, number)
            queue.task_done()

    workers = [asyncio.create_task(worker()) for _ in range(3)]
    for number in (1, 2, 1, 2):
        queue.put_nowait(number)
    await queue.join()
    for each in workers:
        each.cancel()
    await asyncio.wait(workers)


@silent
async def test_exit_stack(engine: Any) -> None:
    """A session that outlives the group, as it should."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(AsyncSession(engine))
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(use, session)


@silent
async def test_threads_that_are_waited_for(engine: Any) -> None:
    """A sync session in a thread that the block waits for, whichever way."""

    def work(session: Any) -> Any:
        return session.scalar(ONE)

    with Session(engine.sync_engine) as session:
        assert session is not None
    sync_url = engine.sync_engine.url.set(drivername="sqlite")
    from sqlalchemy import create_engine

    sync_engine = create_engine(sync_url)
    with Session(sync_engine) as session:
        assert 1 == await asyncio.to_thread(work, session)
        assert 1 == await to_thread.run_sync(work, session)
        assert 1 == await to_thread.run_sync(work, session, abandon_on_cancel=True)
        assert 1 == await asyncio.get_running_loop().run_in_executor(None, work, session)
        thread = threading.Thread(target=work, args=(session,))
        thread.start()
        thread.join()
    sync_engine.dispose()


def test_thread_that_tells_its_end(engine: Any, found: Any) -> None:
    """A thread whose last act is to tell that it is done, and which then ends."""
    for _ in range(30):
        done = threading.Event()

        def work(session: Any, done: Any = done) -> None:
            session.scalar(ONE)
            done.set()

        with Session(engine) as session:
            thread = threading.Thread(target=work, args=(session,))
            thread.start()
            done.wait(10)
        thread.join()
    assert [] == found()


@silent
async def test_dependency(engine: Any) -> None:
    """A session that a generator lends to the caller's tasks."""

    @asynccontextmanager
    async def get_session() -> Any:
        async with AsyncSession(engine) as session:
            yield session

    async with get_session() as session:
        await asyncio.gather(use(session))


@silent
async def test_call_that_never_begins(engine: Any) -> None:
    """A call that is cancelled before its thread begins, never to be made."""
    with Session(engine.sync_engine) as session:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await to_thread.run_sync(session.close, abandon_on_cancel=True)
        assert scope.cancelled_caught


def test_runs_of_loops(async_engine: Any, found: Any) -> None:
    """What a loop is run for is waited for, though another may close the session."""
    session = AsyncSession(async_engine)

    async def use_and_wait(session: Any) -> None:
        await use(session)

        def close() -> None:
            asyncio.run(session.close())

        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
        await async_engine.dispose()

    asyncio.run(use_and_wait(session))
    assert [] == found()


def test_isolated_asyncio_test_case(async_engine: Any, found: Any) -> None:
    """unittest's runner, whose tests share a session with their set-up."""

    class Case(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self) -> None:
            self.session = AsyncSession(async_engine)
            self.ticker = asyncio.create_task(self.tick())

        async def tick(self) -> None:
            while True:
                await asyncio.sleep(0.001)

        async def test_it(self) -> None:
            await asyncio.create_task(use(self.session))

        async def asyncTearDown(self) -> None:
            await self.session.close()
            self.ticker.cancel()
            await async_engine.dispose()

    result = unittest.TestResult()
    Case("test_it").run(result)
    assert result.wasSuccessful(), result.errors
    assert [] == found()


def test_group_around_the_test(async_engine: Any, found: Any) -> None:
    """Tasks that get nothing, and look their session up where it is kept."""
    kept: dict[str, Any] = {}

    async def main() -> None:
        async def work() -> None:
            await use(kept["session"])

        async with AsyncSession(async_engine) as session:
            kept["session"] = session
            await asyncio.create_task(work())
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


def test_own_block(async_engine: Any, found: Any) -> None:
    """SQLAlchemy's task at the end of a block hands nothing over, nor does a task that closes."""

    async def main() -> None:
        async with AsyncSession(async_engine) as session:
            await session.execute(ONE)
        session = AsyncSession(async_engine)
        await session.execute(ONE)
        closing = session.close()
        task = asyncio.create_task(closing)
        await task
        with pytest.raises(RuntimeError):
            await asyncio.create_task(closing)
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()
