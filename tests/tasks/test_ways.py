"""Each way to hand a session over is found, and the right way beside it is silent."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest
from loads.zoo import Author
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tasks.conftest import line_of
from tasks.ways import FROM_LOOPS, IN_TASKS, IN_THREADS

ONE = select(Author.id).limit(1)


async def begin(start: Any, *args: Any) -> None:
    started = start(*args)
    if inspect.iscoroutine(started):  # and no handle of a task that was started
        await started


def is_handed(line: str) -> bool:
    return line.endswith("# handed") or "# handed" in line


# What tasks do: the fault, and what is right beside it.


async def use_late(session: Any, gate: Any) -> None:
    await gate.wait()
    await session.scalar(ONE)


async def wait_only(session: Any, gate: Any) -> None:
    await gate.wait()


async def use_own(engine: Any, author_id: int, gate: Any) -> None:
    await gate.wait()
    async with AsyncSession(engine) as session:
        assert author_id == (await session.get_one(Author, author_id)).id


@pytest.mark.parametrize("work", (use_late, wait_only), ids=lambda f: f.__name__)
@pytest.mark.parametrize("way", IN_TASKS)
def test_session_in_a_task(way: str, work: Any, async_engine: Any, findings: Any) -> None:
    """A task that gets a session and outlives it is found where it was handed over, once."""

    async def main() -> None:
        gate = asyncio.Event()
        async with IN_TASKS[way]() as start:
            async with AsyncSession(async_engine) as session:
                await session.scalar(ONE)
                await begin(start, work, session, gate)
                await asyncio.sleep(0)
            gate.set()
        await async_engine.dispose()

    asyncio.run(main())
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert is_handed(line_of(finding))
    assert "async with AsyncSession(async_engine) as session:" == line_of(finding, "session")
    assert "async with AsyncSession(async_engine) as session:" == line_of(finding, "closed")
    if work is use_late:
        assert "await session.scalar(ONE)" == line_of(finding, "used again")
        assert "lost" == finding.facts["connection"]


@pytest.mark.parametrize("way", IN_TASKS)
def test_instance_in_a_task(way: str, async_engine: Any, findings: Any) -> None:
    """So is a task that gets an instance."""

    async def main() -> None:
        gate = asyncio.Event()
        async with IN_TASKS[way]() as start:
            async with AsyncSession(async_engine) as session:
                author = await session.get(Author, 1)
                await begin(start, wait_only, author, gate)
            gate.set()
        await async_engine.dispose()

    asyncio.run(main())
    (finding,) = findings()
    assert ("SG305", "Author") == (finding.rule, finding.facts["models"])
    assert is_handed(line_of(finding))


@pytest.mark.parametrize("way", IN_TASKS)
def test_id_in_a_task(way: str, async_engine: Any, found: Any) -> None:
    """An id goes in, and the task opens a session of its own: none."""

    async def main() -> None:
        gate = asyncio.Event()
        async with IN_TASKS[way]() as start:
            async with AsyncSession(async_engine) as session:
                author = await session.get_one(Author, 1)
                await begin(start, use_own, async_engine, author.id, gate)
            gate.set()
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


@pytest.mark.parametrize("way", IN_TASKS)
def test_task_that_ends_in_the_block(way: str, async_engine: Any, found: Any) -> None:
    """A task that ends before the session's block does is none."""

    async def main() -> None:
        gate = asyncio.Event()
        gate.set()
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            async with IN_TASKS[way]() as start:
                await begin(start, use_late, session, gate)
            async with IN_TASKS[way]() as start:
                await begin(start, wait_only, author, gate)
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


@pytest.mark.parametrize("way", IN_TASKS)
def test_task_that_closes_it(way: str, async_engine: Any, found: Any) -> None:
    """A task that closes the session itself got it for good: none."""

    async def own(session: Any, gate: Any) -> None:
        await gate.wait()
        async with session:
            await session.scalar(ONE)

    async def main() -> None:
        gate = asyncio.Event()
        async with IN_TASKS[way]() as start:
            session = AsyncSession(async_engine)
            await session.scalar(ONE)
            await begin(start, own, session, gate)
            gate.set()
        await async_engine.dispose()

    asyncio.run(main())
    assert [] == found()


# The same in threads.


def use_late_sync(session: Any, gate: Any) -> None:
    gate.wait(10)
    session.scalar(ONE)


def wait_only_sync(session: Any, gate: Any) -> None:
    gate.wait(10)


def use_own_sync(engine: Any, author_id: int, gate: Any) -> None:
    gate.wait(10)
    with Session(engine) as session:
        assert author_id == session.get_one(Author, author_id).id


def own_sync(session: Any, gate: Any) -> None:
    gate.wait(10)
    with session:
        session.scalar(ONE)


@pytest.mark.parametrize("work", (use_late_sync, wait_only_sync), ids=lambda f: f.__name__)
@pytest.mark.parametrize("way", IN_THREADS)
def test_session_in_a_thread(way: str, work: Any, engine: Any, findings: Any) -> None:
    """A thread or a submitted call that gets a session and outlives it is found, once."""
    gate = threading.Event()
    with IN_THREADS[way]() as start:
        with Session(engine) as session:
            session.scalar(ONE)
            start(work, session, gate)
        gate.set()
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert is_handed(line_of(finding))
    assert "with Session(engine) as session:" == line_of(finding, "closed")
    if work is use_late_sync:
        assert "session.scalar(ONE)" == line_of(finding, "used again")


@pytest.mark.parametrize("way", IN_THREADS)
def test_instance_in_a_thread(way: str, engine: Any, findings: Any) -> None:
    """So is an instance, persistent or pending, and with a plain `close()`."""
    gate = threading.Event()
    with IN_THREADS[way]() as start:
        session = Session(engine)
        author = Author(name="eve")
        session.add(author)
        start(wait_only_sync, author, gate)
        session.close()
        gate.set()
    (finding,) = findings()
    assert ("SG305", "Author") == (finding.rule, finding.facts["models"])
    assert "session.close()" == line_of(finding, "closed")


@pytest.mark.parametrize("way", IN_THREADS)
def test_right_ways_in_a_thread(way: str, engine: Any, found: Any) -> None:
    """An id, work that ends in the block, and work that closes the session itself are none."""
    gate = threading.Event()
    gate.set()
    with IN_THREADS[way]() as start, Session(engine) as session:
        start(use_own_sync, engine, session.get_one(Author, 1).id, gate)
    with Session(engine) as session, IN_THREADS[way]() as start:
        start(use_late_sync, session, gate)
    with IN_THREADS[way]() as start:
        session = Session(engine)
        session.scalar(ONE)
        start(own_sync, session, gate)
    assert [] == found()


# The same in threads that a loop's code hands work to.


@pytest.mark.parametrize("way", FROM_LOOPS)
def test_session_in_a_thread_of_a_loop(way: str, engine: Any, findings: Any) -> None:
    """A thread of a loop's that gets a session and outlives it is found, once."""
    gate = threading.Event()

    async def main() -> None:
        async with FROM_LOOPS[way]() as start:
            with Session(engine) as session:
                session.scalar(ONE)
                await begin(start, use_late_sync, session, gate)
            gate.set()

    asyncio.run(main())
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert is_handed(line_of(finding)), line_of(finding)
    assert "used again" in [place.label for place in finding.places]


@pytest.mark.parametrize("way", FROM_LOOPS)
def test_right_ways_in_a_thread_of_a_loop(way: str, engine: Any, found: Any) -> None:
    """An id, work that ends in the block, and work that closes the session itself are none."""
    gate = threading.Event()
    gate.set()

    async def main() -> None:
        async with FROM_LOOPS[way]() as start:
            with Session(engine) as session:
                await begin(start, use_own_sync, engine, session.get_one(Author, 1).id, gate)

    asyncio.run(main())

    async def in_block() -> None:
        with Session(engine) as session:
            async with FROM_LOOPS[way]() as start:
                await begin(start, use_late_sync, session, gate)

    asyncio.run(in_block())

    async def hand_on() -> None:
        async with FROM_LOOPS[way]() as start:
            session = Session(engine)
            session.scalar(ONE)
            await begin(start, own_sync, session, gate)

    asyncio.run(hand_on())
    assert [] == found()
